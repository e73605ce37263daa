//! Employees.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderName, StatusCode, header},
};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::time;
use crate::{
    domain::{
        accounts::Permission,
        employees::{Consent, Employee},
        ids::EmployeeId,
        text::{Code, Name, SiteName, normal},
    },
    http::{
        auth::{Administering, Allowed, Correcting, Reading},
        extract::{Json, Path, Query},
        page::{List, PageQuery},
        problem::{self, Fields, Problem},
    },
    ports::{EmployeeFilter, StoreError},
    service::employees::{EmployeeChange, Employees},
};

/// Consent to having a face enrolled.
#[derive(Serialize, ToSchema)]
#[schema(title = "Consent")]
pub struct ConsentView {
    /// When it was given.
    #[schema(format = "date-time")]
    at: String,
    /// The version of the text that was agreed to.
    #[schema(example = "2026-11")]
    text: String,
}

impl From<&Consent> for ConsentView {
    fn from(consent: &Consent) -> Self {
        Self {
            at: time(consent.at),
            text: consent.text.clone(),
        }
    }
}

/// Somebody whose presence is recorded.
#[derive(Serialize, ToSchema)]
#[schema(title = "Employee")]
pub struct EmployeeView {
    /// Identity.
    #[schema(format = "uuid", example = "0199f3a0-7c1e-7d5a-9f0e-2b7f6f0c1a2b")]
    id: String,
    /// What the kiosk greets them by.
    #[schema(example = "Grace Hopper")]
    name: String,
    /// Unique, without regard to case.
    #[schema(example = "E7")]
    code: String,
    /// Where they usually work.
    #[schema(example = "Harbour")]
    site: Option<String>,
    /// Inactive people are not identified and cannot punch.
    active: bool,
    /// Whether a face is enrolled.
    enrolled: bool,
    /// Whether it is enrolled only under another model than the present one, so that nobody
    /// recognises them: enroll it again.
    enroll_again: bool,
    /// How many templates are enrolled.
    #[schema(example = 5)]
    templates: u32,
    /// The consent under which their face is enrolled.
    consent: Option<ConsentView>,
    /// When the record was made.
    #[schema(format = "date-time")]
    created_at: String,
}

impl From<&Employee> for EmployeeView {
    fn from(employee: &Employee) -> Self {
        Self {
            id: employee.id.to_string(),
            name: employee.name.to_string(),
            code: employee.code.to_string(),
            site: employee.site.as_ref().map(ToString::to_string),
            active: employee.active,
            enrolled: employee.enrolled(),
            enroll_again: false,
            templates: employee.templates,
            consent: employee.consent.as_ref().map(Into::into),
            created_at: time(employee.created_at),
        }
    }
}

/// Employees with what the present model knows of them.
async fn views(employees: &Employees, found: &[Employee]) -> Result<Vec<EmployeeView>, StoreError> {
    let outdated = employees.outdated(found).await?;
    let view = |employee: &Employee| EmployeeView {
        enroll_again: outdated.contains(&employee.id),
        ..employee.into()
    };
    Ok(found.iter().map(view).collect())
}

/// One of them.
async fn view(
    employees: &Employees,
    found: Employee,
) -> Result<axum::Json<EmployeeView>, StoreError> {
    let views = views(employees, std::slice::from_ref(&found)).await?;
    let view = views.into_iter().next();
    Ok(axum::Json(view.unwrap_or_else(|| (&found).into())))
}

/// Which employees to list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct EmployeeQuery {
    /// Part of the name or code.
    q: Option<String>,
    /// Those of one site.
    site: Option<String>,
    /// Only active, or only inactive ones.
    active: Option<bool>,
}

/// Lists employees by name.
#[utoipa::path(
    get, path = "/api/employees", tag = "employees",
    params(EmployeeQuery, PageQuery),
    responses((status = 200, description = "A page of employees", body = List<EmployeeView>)),
    security(("session" = [])),
)]
pub async fn list_employees(
    _: Allowed<Reading>,
    State(employees): State<Arc<Employees>>,
    Query(query): Query<EmployeeQuery>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<List<EmployeeView>>, Problem> {
    let site = query.site.as_deref().filter(|site| !site.is_empty());
    let site = site
        .map(SiteName::parse)
        .transpose()
        .map_err(|error| Problem::field("site", error.to_string()))?;
    let text = query.q.map(|text| normal(&text));
    let filter = EmployeeFilter {
        text: text.filter(|text| !text.is_empty()),
        site,
        active: query.active,
    };
    let wanted = page.page()?;
    let found = employees.list(&filter, &wanted.page).await?;
    let (found, next) = wanted.cut(found, |last| (last.name.key(), last.id))?;
    let items = views(&employees, &found).await?;
    Ok(axum::Json(List { items, next }))
}

/// A new employee.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewEmployee {
    /// 1 to 120 characters.
    #[schema(example = "Grace Hopper")]
    name: String,
    /// 1 to 64 characters, unique without regard to case.
    #[schema(example = "E7")]
    code: String,
    /// 1 to 64 characters.
    #[schema(example = "Harbour")]
    site: Option<String>,
}

/// A record with its address.
pub type Created<T> = (StatusCode, [(HeaderName, String); 1], axum::Json<T>);

/// Adds an employee.
#[utoipa::path(
    post, path = "/api/employees", tag = "employees",
    request_body = NewEmployee,
    responses(
        (status = 201, description = "Added", body = EmployeeView,
         headers(("Location" = String, description = "The address of the employee"))),
        (status = 409, description = "`code_taken`"),
    ),
    security(("session" = [])),
)]
pub async fn create_employee(
    allowed: Allowed<Correcting>,
    State(employees): State<Arc<Employees>>,
    Json(new): Json<NewEmployee>,
) -> Result<Created<EmployeeView>, Problem> {
    let mut fields = Fields::default();
    let name = fields.take("name", Name::parse(&new.name));
    let code = fields.take("code", Code::parse(&new.code));
    let site = fields.take("site", parse_site(new.site.as_deref()));
    let (Some(name), Some(code), Some(site)) = (name, code, site) else {
        return Err(fields.problem());
    };
    let employee = employees.add(allowed.actor(), name, code, site).await?;
    let location = format!("/api/employees/{}", employee.id);
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, location)],
        axum::Json((&employee).into()),
    ))
}

/// A site, when one is named.
pub fn parse_site(site: Option<&str>) -> Result<Option<SiteName>, crate::domain::text::TextError> {
    site.map(SiteName::parse).transpose()
}

/// One employee.
#[utoipa::path(
    get, path = "/api/employees/{id}", tag = "employees",
    params(("id" = String, Path, description = "The employee")),
    responses(
        (status = 200, description = "The employee", body = EmployeeView),
        (status = 404, description = "`not_found`"),
    ),
    security(("session" = [])),
)]
pub async fn get_employee(
    _: Allowed<Reading>,
    State(employees): State<Arc<Employees>>,
    Path(id): Path<EmployeeId>,
) -> Result<axum::Json<EmployeeView>, Problem> {
    let employee = employees.find(id).await?;
    Ok(view(&employees, employee).await?)
}

/// What to change: fields that are left out stay as they are.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EmployeePatch {
    /// A new name.
    name: Option<String>,
    /// A new code.
    code: Option<String>,
    /// A new site; null for none.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    site: Option<Option<String>>,
    /// Whether they are identified and may punch.
    active: Option<bool>,
    /// Make them active although somebody else who is has the same face; for admins.
    #[serde(default)]
    r#override: bool,
}

/// Tells null from nothing.
pub fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    value: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(value).map(Some)
}

/// Changes an employee.
#[utoipa::path(
    patch, path = "/api/employees/{id}", tag = "employees",
    params(("id" = String, Path, description = "The employee")),
    request_body = EmployeePatch,
    responses(
        (status = 200, description = "Changed", body = EmployeeView),
        (status = 404, description = "`not_found`"),
        (status = 409, description = "`code_taken`, `duplicate_person`, or `conflict` when others change them at the same time"),
    ),
    security(("session" = [])),
)]
pub async fn update_employee(
    allowed: Allowed<Correcting>,
    State(employees): State<Arc<Employees>>,
    Path(id): Path<EmployeeId>,
    Json(patch): Json<EmployeePatch>,
) -> Result<axum::Json<EmployeeView>, Problem> {
    if patch.r#override && !allowed.permits(Permission::Administer) {
        return Err(Problem::new(
            problem::Code::Forbidden,
            "only admins may override",
        ));
    }
    let mut fields = Fields::default();
    let name = patch.name.as_deref().map(Name::parse).transpose();
    let name = fields.take("name", name);
    let code = patch.code.as_deref().map(Code::parse).transpose();
    let code = fields.take("code", code);
    let site = patch
        .site
        .map(|site| parse_site(site.as_deref()))
        .transpose();
    let site = fields.take("site", site);
    let (Some(name), Some(code), Some(site)) = (name, code, site) else {
        return Err(fields.problem());
    };
    let change = EmployeeChange {
        name,
        code,
        site,
        active: patch.active,
        override_duplicate: patch.r#override,
    };
    let employee = employees.change(allowed.actor(), id, change).await?;
    Ok(view(&employees, employee).await?)
}

/// Deletes an employee with templates and photos for good. The name stays behind old punches.
#[utoipa::path(
    delete, path = "/api/employees/{id}", tag = "employees",
    params(("id" = String, Path, description = "The employee")),
    responses(
        (status = 204, description = "Deleted"),
        (status = 404, description = "`not_found`"),
    ),
    security(("session" = [])),
)]
pub async fn delete_employee(
    allowed: Allowed<Administering>,
    State(employees): State<Arc<Employees>>,
    Path(id): Path<EmployeeId>,
) -> Result<StatusCode, Problem> {
    employees.delete(allowed.actor(), id).await?;
    Ok(StatusCode::NO_CONTENT)
}
