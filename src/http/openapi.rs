//! The description of the API, OpenAPI 3.1. Paths come from the handlers. What many of them have in
//! common (problems, security) is added here once.

use std::collections::{BTreeMap, HashMap};

use axum::{
    extract::{MatchedPath, Request, State},
    http::Method,
    middleware::Next,
    response::IntoResponse,
};
use utoipa::{
    OpenApi as _,
    openapi::{
        ContentBuilder, Object, OpenApi, Ref, RefOr, Response, ResponseBuilder, Schema,
        path::{Operation, ParameterIn, PathItem},
        schema::ArrayItems,
        security::{
            ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
        },
    },
};

use super::{
    field_error::FieldError,
    problem::{Code, FieldProblem, Fields, ProblemView},
    session::COOKIE,
};

/// The description of the API as a whole.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Rollcall",
        description = "Self-hosted face attendance. Errors are RFC 9457 problem details with a stable `code`. Lists have pages with a `next` cursor. Times are RFC 3339 in UTC.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    components(schemas(ProblemView, FieldProblem)),
    tags(
        (name = "session", description = "Sign in and out, create the first admin"),
        (name = "accounts", description = "Who can sign in, and what they may do"),
        (name = "tokens", description = "Tokens by which programs use the API"),
        (name = "employees", description = "The people whose presence is recorded"),
        (name = "enrollment", description = "Make templates from photos, with consent"),
        (name = "me", description = "The caller's own employee record, as far as an account belongs to one"),
        (name = "credentials", description = "PINs and badges, to punch without a face"),
        (name = "recognition", description = "Identify and verify faces; nothing is recorded"),
        (name = "punches", description = "Clock events"),
        (name = "attendance", description = "Workdays, corrections of punches, and timesheets"),
        (name = "sites", description = "Places where people work, with their time zones"),
        (name = "plans", description = "Rules, shifts, cycles, assignments, holidays and leave"),
        (name = "devices", description = "Kiosks and pushing cameras"),
        (name = "cameras", description = "go2rtc streams that the service watches"),
        (name = "webhooks", description = "Receivers of messages about what happens"),
        (name = "jobs", description = "Background jobs"),
        (name = "service", description = "The service itself"),
    ),
)]
struct Base;

/// Returns the document without paths.
pub(super) fn base() -> OpenApi {
    let mut document = Base::openapi();
    document.info.version = env!("CARGO_PKG_VERSION").to_owned();
    let extensions = document.extensions.get_or_insert_default();
    extensions.insert("x-problems".to_owned(), problems());
    let components = document.components.get_or_insert_default();
    let bearer = |text: &str| {
        SecurityScheme::Http(
            HttpBuilder::new()
                .scheme(HttpAuthScheme::Bearer)
                .description(Some(text))
                .build(),
        )
    };
    components.add_security_scheme(
        "session",
        SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::with_description(
            COOKIE,
            "Set by POST /api/session. A browser may send changing requests from the service's own pages only.",
        ))),
    );
    components.add_security_scheme(
        "token",
        bearer("An API token that POST /api/tokens returns once. It may do what its account may, within its permissions and sites, where `session` is accepted; but nothing that concerns accounts, sessions and tokens."),
    );
    components.add_security_scheme(
        "device",
        bearer("The token that POST /api/devices returns once"),
    );
    components.add_security_scheme(
        "pairing",
        bearer("The secret that POST /api/pairings returns"),
    );
    components.add_security_scheme("metrics", bearer("METRICS_TOKEN, if it is set"));
    document
}

/// Returns all codes of problems, for the page that `type` points to.
fn problems() -> serde_json::Value {
    let codes = Code::ALL.iter().map(|code| {
        serde_json::json!({
            "code": code.as_str(),
            "status": code.status().as_u16(),
            "title": code.title(),
        })
    });
    codes.collect()
}

/// Adds the problems that the layers return, and the body of all problems.
pub(super) fn finish(mut document: OpenApi) -> OpenApi {
    if let Some(components) = &mut document.components {
        let all = components.schemas.clone();
        for schema in components.schemas.values_mut() {
            merge_extensions(schema, &all);
        }
    }
    for item in document.paths.paths.values_mut() {
        let changing = [
            &mut item.post,
            &mut item.put,
            &mut item.patch,
            &mut item.delete,
        ];
        for operation in changing.into_iter().flatten() {
            add_problem(operation, Code::CrossSite, "");
            add_common_problems(operation);
        }
        if let Some(operation) = &mut item.get {
            add_common_problems(operation);
        }
    }
    document
}

/// Sets the security of an operation: a session if it declares none. `security(())` declares that
/// everyone may call it.
fn set_security(operation: &mut Operation) {
    let nothing = [SecurityRequirement::default()];
    operation.security = match operation.security.take() {
        None => Some(vec![SecurityRequirement::new("session", [""; 0])]),
        Some(declared) => Some(declared).filter(|declared| declared[..] != nothing),
    };
}

/// Replaces each schema that extends others by one object, because the others may be closed to more
/// fields. In it, fields with a default are always present.
fn merge_extensions(schema: &mut RefOr<Schema>, all: &BTreeMap<String, RefOr<Schema>>) {
    match schema {
        RefOr::T(Schema::Object(object)) => {
            for property in object.properties.values_mut() {
                merge_extensions(property, all);
            }
        }
        RefOr::T(Schema::Array(array)) => {
            if let ArrayItems::RefOrSchema(items) = &mut array.items {
                merge_extensions(items, all);
            }
        }
        RefOr::T(Schema::AllOf(extension)) => {
            let mut merged = Object::new();
            merged.title.clone_from(&extension.title);
            merged.description.clone_from(&extension.description);
            for part in &extension.items {
                let part = match part {
                    RefOr::Ref(part) => part
                        .ref_location
                        .rsplit('/')
                        .next()
                        .and_then(|name| all.get(name)),
                    part => Some(part),
                };
                let Some(RefOr::T(Schema::Object(part))) = part else {
                    return;
                };
                for (name, property) in &part.properties {
                    let has_default = matches!(property,
                        RefOr::T(Schema::Object(property)) if property.default.is_some());
                    if has_default || part.required.contains(name) {
                        merged.required.push(name.clone());
                    }
                    merged.properties.insert(name.clone(), property.clone());
                }
            }
            *schema = RefOr::T(merged.into());
        }
        _ => {}
    }
}

/// Adds the security, and the problems that the layers around the routes return.
fn add_common_problems(operation: &mut Operation) {
    set_security(operation);
    let service = operation
        .tags
        .as_ref()
        .is_some_and(|tags| tags.iter().any(|tag| tag == "service"));
    let open = operation.security.is_none();
    if service && open {
        return;
    }
    if !open && operation.responses.responses.contains_key("401") {
        // The operation describes it itself.
    } else if !open {
        add_problem(operation, Code::Unauthenticated, "");
        add_problem(operation, Code::Forbidden, "");
    }
    let mut parameters = operation.parameters.iter().flatten();
    if parameters.any(|one| matches!(one, RefOr::T(one) if one.parameter_in == ParameterIn::Path)) {
        add_problem(operation, Code::NotFound, "");
    }
    if let Some(RefOr::T(body)) = &operation.request_body
        && body.content.keys().any(|kind| kind != "application/json")
    {
        add_problem(operation, Code::TooLarge, "");
    }
    if operation.parameters.is_some() || operation.request_body.is_some() {
        add_problem(operation, Code::Malformed, "");
        add_problem(operation, Code::Invalid, "");
    }
    add_problem(operation, Code::TooManyRequests, "");
    add_problem(
        operation,
        Code::StoreUnavailable,
        ", `engine_busy`, `not_ready`, `contended` or `timed_out`",
    );
    add_problem(operation, Code::Internal, "");
    for (status, response) in &mut operation.responses.responses {
        let problem = status.starts_with('4') || status.starts_with('5');
        if let (true, RefOr::T(response)) = (problem, response)
            && response.content.is_empty()
        {
            response.content.insert(
                "application/problem+json".to_owned(),
                ContentBuilder::new()
                    .schema(Some(Ref::from_schema_name("ProblemView")))
                    .build()
                    .into(),
            );
        }
    }
}

/// Adds a code to the responses of an operation.
fn add_problem(operation: &mut Operation, code: Code, or: &str) {
    let status = code.status().as_str().to_owned();
    let text = format!("`{}`{or}", code.as_str());
    let responses = &mut operation.responses.responses;
    match responses.get_mut(&status) {
        Some(RefOr::T(Response { description, .. })) if description.contains(&text) => {}
        Some(RefOr::T(Response { description, .. })) => {
            *description = format!("{description}; {text}");
        }
        Some(RefOr::Ref(_)) => {}
        None => {
            let response = ResponseBuilder::new().description(text).build();
            responses.insert(status, response.into());
        }
    }
}

/// The query parameters of each operation, by method and path.
pub(super) struct QueryNames(HashMap<(Method, String), Vec<String>>);

impl QueryNames {
    /// Reads them from the document.
    pub(super) fn new(document: &OpenApi) -> Self {
        let paths = document.paths.paths.iter();
        let paths = paths.filter(|(path, _)| *path != QUERY_OF_OTHERS);
        let operations = paths.flat_map(|(path, item)| {
            methods(item).map(move |(method, operation)| {
                let parameters = operation.parameters.iter().flatten();
                let names = parameters.filter_map(|parameter| match parameter {
                    RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Query => {
                        Some(parameter.name.clone())
                    }
                    _ => None,
                });
                ((method, path.clone()), names.collect())
            })
        });
        Self(operations.collect())
    }
}

fn methods(item: &PathItem) -> impl Iterator<Item = (Method, &Operation)> {
    let all = [
        (Method::GET, &item.get),
        (Method::POST, &item.post),
        (Method::PUT, &item.put),
        (Method::PATCH, &item.patch),
        (Method::DELETE, &item.delete),
    ];
    all.into_iter()
        .filter_map(|(method, operation)| Some((method, operation.as_ref()?)))
}

/// Where an identity provider adds parameters of its own.
const QUERY_OF_OTHERS: &str = "/api/session/oidc/callback";

/// Parameters that may be empty: for the first page of a list, and for a text that matches all.
const MAY_BE_EMPTY: [&str; 2] = ["cursor", "q"];

/// Refuses unknown and empty parameters: a misspelled filter, or one with an unset variable, must
/// not return everything.
pub(super) async fn reject_unknown_query(
    State(names): State<std::sync::Arc<QueryNames>>,
    path: MatchedPath,
    request: Request,
    next: Next,
) -> axum::response::Response {
    let operation = (request.method().clone(), path.as_str().to_owned());
    if let (Some(query), Some(known)) = (request.uri().query(), names.0.get(&operation)) {
        let mut fields = Fields::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if !known.iter().any(|known| *known == name) {
                let known = known.clone();
                fields.add(&name, FieldError::UnknownField { known });
            } else if value.is_empty() && !MAY_BE_EMPTY.contains(&&*name) {
                fields.add(&name, FieldError::EmptyParameter);
            }
        }
        if let Err(problem) = fields.check() {
            return problem.into_response();
        }
    }
    next.run(request).await
}
