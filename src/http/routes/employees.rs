//! Employees.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    domain::{grants::Permission, ids::EmployeeId},
    http::{
        auth::{Administering, Allowed, Confirmed, Correcting, Reading},
        extract::{Json, Path, Query},
        field_error::FieldError,
        merge_patch::MergePatch,
        page::{List, PageQuery},
        problem::{Code, Problem},
        views::{
            Created, created,
            employees::{EditableEmployee, EmployeeQuery, EmployeeView},
        },
    },
    ports::StoreError,
    service::{
        employees::{EmployeeError, Employees, Person},
        sites::{SiteMap, Sites},
    },
};

impl From<EmployeeError> for Problem {
    fn from(error: EmployeeError) -> Self {
        match error {
            EmployeeError::NotFound => Self::not_found("employee"),
            EmployeeError::CodeTaken => Self::new(Code::CodeTaken, error.to_string()),
            EmployeeError::UnknownSite => Self::field("site", FieldError::UnknownSite),
            EmployeeError::Duplicate(_) => Self::new(Code::DuplicatePerson, error.to_string()),
            EmployeeError::Raced => StoreError::Conflict.into(),
            EmployeeError::Reference(error) => error.into(),
            EmployeeError::Store(error) => error.into(),
        }
    }
}

/// Returns the view of a person.
fn view(employees: &Employees, sites: &SiteMap, person: &Person) -> EmployeeView {
    let mut view = EmployeeView::new(person, sites);
    view.enroll_again = employees.outdated(person);
    view
}

/// Lists employees by name.
#[utoipa::path(
    get, path = "/api/employees", tag = "employees",
    params(EmployeeQuery, PageQuery),
    responses((status = 200, description = "A page of employees", body = List<EmployeeView>)),
)]
pub async fn list_employees(
    allowed: Allowed<Reading>,
    State(employees): State<Arc<Employees>>,
    State(sites): State<Arc<Sites>>,
    Query(query): Query<EmployeeQuery>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<List<EmployeeView>>, Problem> {
    let (filter, wanted) = (query.filter()?, page.page()?);
    let found = employees
        .list(allowed.reach(), &filter, &wanted.page)
        .await?;
    let (found, next) = wanted.cut(found, |last| (last.name.key(), last.id))?;
    let sites = sites.all().await?;
    let items = found
        .iter()
        .map(|person| view(&employees, &sites, person))
        .collect();
    Ok(axum::Json(List { items, next }))
}

/// Adds an employee.
#[utoipa::path(
    post, path = "/api/employees", tag = "employees",
    request_body = EditableEmployee,
    responses(
        (status = 201, description = "Added", body = EmployeeView,
         headers(("Location" = String, description = "The address of the employee"))),
        (status = 409, description = "`code_taken`"),
    ),
)]
pub async fn create_employee(
    allowed: Allowed<Correcting>,
    State(employees): State<Arc<Employees>>,
    State(sites): State<Arc<Sites>>,
    Json(new): Json<EditableEmployee>,
) -> Result<Created<EmployeeView>, Problem> {
    let (reach, actor) = (allowed.reach(), allowed.actor());
    let employee = employees.add(reach, actor, new.read()?).await?;
    let address = format!("/api/employees/{}", employee.id);
    let view = EmployeeView::new(&employee, &*sites.all().await?);
    Ok(created(address, view))
}

/// Returns an employee.
#[utoipa::path(
    get, path = "/api/employees/{id}", tag = "employees",
    params(("id" = String, Path, description = "The employee")),
    responses((status = 200, description = "The employee", body = EmployeeView)),
)]
pub async fn get_employee(
    allowed: Allowed<Reading>,
    State(employees): State<Arc<Employees>>,
    State(sites): State<Arc<Sites>>,
    Path(id): Path<EmployeeId>,
) -> Result<axum::Json<EmployeeView>, Problem> {
    let employee = employees.find(allowed.reach(), id).await?;
    let sites = sites.all().await?;
    Ok(axum::Json(view(&employees, &sites, &employee)))
}

type EmployeeChanges = MergePatch<EditableEmployee>;

/// A change of an employee.
#[derive(Deserialize, ToSchema)]
pub struct EmployeePatch {
    /// `true`: make the employee active even if another active employee has the same face; for
    /// admins.
    #[serde(default)]
    r#override: bool,
    #[serde(flatten)]
    changes: EmployeeChanges,
}

/// Changes an employee.
#[utoipa::path(
    patch, path = "/api/employees/{id}", tag = "employees",
    params(("id" = String, Path, description = "The employee")),
    request_body = EmployeePatch,
    responses(
        (status = 200, description = "Changed", body = EmployeeView),
        (status = 409, description = "`code_taken`, `duplicate_person`, or `conflict` if other requests keep changing it at the same time"),
    ),
)]
pub async fn update_employee(
    allowed: Allowed<Correcting>,
    State(employees): State<Arc<Employees>>,
    State(sites): State<Arc<Sites>>,
    Path(id): Path<EmployeeId>,
    Json(patch): Json<EmployeePatch>,
) -> Result<axum::Json<EmployeeView>, Problem> {
    if patch.r#override && !allowed.permits(Permission::Administer) {
        return Err(Problem::new(Code::Forbidden, "only admins may override"));
    }
    let (reach, actor) = (allowed.reach(), allowed.actor());
    let changed = employees.change(reach, actor, id, patch.r#override, |employee| {
        patch.changes.apply(&employee.into())?.read()
    });
    let (changed, sites) = (changed.await?, sites.all().await?);
    Ok(axum::Json(view(&employees, &sites, &changed)))
}

/// Deletes the templates and photos of an employee permanently, and removes the employee from all
/// lists. Name and code stay in the store until the person is erased.
#[utoipa::path(
    delete, path = "/api/employees/{id}", tag = "employees",
    params(("id" = String, Path, description = "The employee")),
    responses((status = 204, description = "Deleted")),
)]
pub async fn delete_employee(
    allowed: Allowed<Administering>,
    _: Confirmed,
    State(employees): State<Arc<Employees>>,
    Path(id): Path<EmployeeId>,
) -> Result<StatusCode, Problem> {
    employees
        .delete(allowed.reach(), allowed.actor(), id)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
