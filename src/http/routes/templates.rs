//! The enrolled templates of an employee, without their numbers.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};

use crate::{
    domain::ids::EmployeeId,
    http::{
        auth::{Allowed, ConfirmedUnlessProgram, Enrolling, Reading},
        extract::Path,
        problem::Problem,
        views::faces::TemplatesView,
    },
    service::employees::Employees,
};

/// Returns the enrolled face of an employee.
#[utoipa::path(
    get, path = "/api/employees/{id}/templates", tag = "enrollment",
    params(("id" = String, Path, description = "The employee")),
    responses((status = 200, description = "The enrolled face", body = TemplatesView)),
)]
pub async fn get_templates(
    allowed: Allowed<Reading>,
    State(employees): State<Arc<Employees>>,
    Path(id): Path<EmployeeId>,
) -> Result<axum::Json<TemplatesView>, Problem> {
    let enrolled = employees.enrolled(allowed.reach(), id).await?;
    Ok(axum::Json((&enrolled).into()))
}

/// Deletes the templates from punches. Those from enrollment photos stay.
#[utoipa::path(
    delete, path = "/api/employees/{id}/templates/grown", tag = "enrollment",
    params(("id" = String, Path, description = "The employee")),
    responses((status = 204, description = "Deleted")),
)]
pub async fn delete_grown_templates(
    allowed: Allowed<Enrolling>,
    _: ConfirmedUnlessProgram,
    State(employees): State<Arc<Employees>>,
    Path(id): Path<EmployeeId>,
) -> Result<StatusCode, Problem> {
    employees
        .delete_grown_templates(allowed.reach(), allowed.actor(), id)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes the templates, photos and consent of an employee permanently.
#[utoipa::path(
    delete, path = "/api/employees/{id}/templates", tag = "enrollment",
    params(("id" = String, Path, description = "The employee")),
    responses((status = 204, description = "Deleted")),
)]
pub async fn delete_templates(
    allowed: Allowed<Enrolling>,
    _: ConfirmedUnlessProgram,
    State(employees): State<Arc<Employees>>,
    Path(id): Path<EmployeeId>,
) -> Result<StatusCode, Problem> {
    employees
        .delete_face(allowed.reach(), allowed.actor(), id)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
