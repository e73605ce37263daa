//! The description of the API, OpenAPI 3.1. Paths come from the handlers themselves; what holds
//! for many of them (problems, security) is added here once.

use std::collections::HashMap;

use axum::{
    extract::{MatchedPath, Request, State},
    http::Method,
    middleware::Next,
    response::IntoResponse,
};
use utoipa::{
    OpenApi as _,
    openapi::{
        ContentBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder,
        path::{Operation, ParameterIn, PathItem},
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use super::{
    problem::{Code, FieldProblem, Fields, ProblemView},
    session::COOKIE,
};

/// What the description says of the API as a whole.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Rollcall",
        description = "Self-hosted face attendance. Errors are RFC 9457 problem details with a stable `code`; lists come in pages with a `next` cursor; times are RFC 3339 in UTC.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    components(schemas(ProblemView, FieldProblem)),
    tags(
        (name = "session", description = "Signing in and out, the first admin"),
        (name = "employees", description = "The people whose presence is recorded"),
        (name = "enrollment", description = "Making templates from photos, with consent"),
        (name = "recognition", description = "Who is this, is this them; nothing is recorded"),
        (name = "punches", description = "Clock events"),
        (name = "devices", description = "Kiosks and pushing cameras"),
        (name = "cameras", description = "Streams of go2rtc that the service watches itself"),
        (name = "jobs", description = "What is done in the background"),
        (name = "service", description = "The service itself"),
    ),
)]
struct Base;

/// The document before any path is in it.
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
            "What POST /api/session sets. Changing requests of browsers are held to their origin.",
        ))),
    );
    components.add_security_scheme(
        "device",
        bearer("The token that POST /api/devices shows once"),
    );
    components.add_security_scheme(
        "pairing",
        bearer("The secret that POST /api/pairings answers with"),
    );
    components.add_security_scheme("metrics", bearer("METRICS_TOKEN, when it is set"));
    document
}

/// Every code of a problem, for the page that `type` points at.
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

/// Adds what every operation may answer, and the body of every problem.
pub(super) fn finish(mut document: OpenApi) -> OpenApi {
    for item in document.paths.paths.values_mut() {
        let changing = [&mut item.post, &mut item.patch, &mut item.delete];
        for operation in changing.into_iter().flatten() {
            say(operation, Code::CrossSite, "");
        }
        let all = [
            &mut item.get,
            &mut item.post,
            &mut item.patch,
            &mut item.delete,
        ];
        for operation in all.into_iter().flatten() {
            common(operation);
        }
    }
    document
}

/// What the layers around the routes may answer.
fn common(operation: &mut Operation) {
    let service = operation
        .tags
        .as_ref()
        .is_some_and(|tags| tags.iter().any(|tag| tag == "service"));
    let open = operation.security.is_none();
    if service && open {
        return;
    }
    if !open && operation.responses.responses.contains_key("401") {
        // Said by the operation itself.
    } else if !open {
        say(operation, Code::Unauthenticated, "");
        say(operation, Code::Forbidden, "");
    }
    if operation.parameters.is_some() || operation.request_body.is_some() {
        say(operation, Code::Malformed, "");
        say(operation, Code::Invalid, "");
    }
    say(operation, Code::TooManyRequests, "");
    say(
        operation,
        Code::StoreUnavailable,
        ", `engine_busy`, `not_ready`, `contended` or `timed_out`",
    );
    say(operation, Code::Internal, "");
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

/// Adds a code to an operation's responses.
fn say(operation: &mut Operation, code: Code, or: &str) {
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

/// What each operation takes in its query, by method and path.
pub(super) struct QueryNames(HashMap<(Method, String), Vec<String>>);

impl QueryNames {
    /// As the document says.
    pub(super) fn of(document: &OpenApi) -> Self {
        let operations = document.paths.paths.iter().flat_map(|(path, item)| {
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
        (Method::PATCH, &item.patch),
        (Method::DELETE, &item.delete),
    ];
    all.into_iter()
        .filter_map(|(method, operation)| Some((method, operation.as_ref()?)))
}

/// The beginning of a list, and a text that everything holds.
const MAY_BE_EMPTY: [&str; 2] = ["cursor", "q"];

/// Refuses parameters that the operation does not know, and empty ones: a misspelled filter, or an
/// unset variable in one, must not be taken for none.
pub(super) async fn hold_query(
    State(names): State<std::sync::Arc<QueryNames>>,
    path: MatchedPath,
    request: Request,
    next: Next,
) -> axum::response::Response {
    let operation = (request.method().clone(), path.as_str().to_owned());
    if let (Some(query), Some(known)) = (request.uri().query(), names.0.get(&operation)) {
        let mut fields = Fields::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let means_nothing = !MAY_BE_EMPTY.contains(&&*name);
            if value.is_empty() && means_nothing && known.iter().any(|known| *known == name) {
                fields.add(&name, "is empty: leave it out");
            } else if !known.iter().any(|known| *known == name) {
                let takes = match known.as_slice() {
                    [] => "this address takes no parameters".to_owned(),
                    known => format!("this address takes {}", known.join(", ")),
                };
                fields.add(&name, takes);
            }
        }
        if let Err(problem) = fields.check() {
            return problem.into_response();
        }
    }
    next.run(request).await
}
