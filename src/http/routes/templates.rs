//! The enrolled templates of an employee, without their numbers.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    domain::{faces::Template, ids::EmployeeId},
    http::{
        auth::{Allowed, Enrolling, Reading},
        extract::Path,
        problem::Problem,
        views::{employees::ConsentView, faces::QualityView, time},
    },
    service::employees::Employees,
};

/// A template.
#[derive(Serialize, ToSchema)]
#[schema(title = "Template")]
pub struct TemplateView {
    /// The ID.
    #[schema(format = "uuid")]
    id: String,
    /// The embedding model that made it.
    model: String,
    /// Whether it was made from a punch, not from an enrollment photo.
    grown: bool,
    /// When it was made.
    #[schema(format = "date-time")]
    created_at: String,
    /// The measurements of the photo.
    quality: QualityView,
}

/// The enrolled face of an employee.
#[derive(Serialize, ToSchema)]
#[schema(title = "Templates")]
pub struct TemplatesView {
    /// The templates, oldest first.
    items: Vec<TemplateView>,
    /// The number of stored photos.
    photos: u64,
    /// The consent.
    consent: Option<ConsentView>,
}

/// Returns the enrolled face of an employee.
#[utoipa::path(
    get, path = "/api/employees/{id}/templates", tag = "enrollment",
    params(("id" = String, Path, description = "The employee")),
    responses(
        (status = 200, description = "The enrolled face", body = TemplatesView),
        (status = 404, description = "`not_found`"),
    ),
    security(("session" = [])),
)]
pub async fn get_templates(
    allowed: Allowed<Reading>,
    State(employees): State<Arc<Employees>>,
    Path(id): Path<EmployeeId>,
) -> Result<axum::Json<TemplatesView>, Problem> {
    let enrolled = employees.enrolled(allowed.reach(), id).await?;
    let view = |template: &Template| TemplateView {
        id: template.id.to_string(),
        model: template.model.to_string(),
        grown: template.grown,
        created_at: time(template.created_at),
        quality: template.quality.into(),
    };
    let enrollment = enrolled.person.enrollment.as_ref();
    let templates = enrollment.map_or(&[][..], |enrollment| enrollment.templates());
    Ok(axum::Json(TemplatesView {
        items: templates.iter().map(view).collect(),
        photos: enrolled.photos,
        consent: enrolled.person.consent().map(Into::into),
    }))
}

/// Deletes the templates from punches. Those from enrollment photos stay.
#[utoipa::path(
    delete, path = "/api/employees/{id}/templates/grown", tag = "enrollment",
    params(("id" = String, Path, description = "The employee")),
    responses(
        (status = 204, description = "Deleted"),
        (status = 404, description = "`not_found`"),
    ),
    security(("session" = [])),
)]
pub async fn delete_grown_templates(
    allowed: Allowed<Enrolling>,
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
    responses(
        (status = 204, description = "Deleted"),
        (status = 404, description = "`not_found`"),
    ),
    security(("session" = [])),
)]
pub async fn delete_templates(
    allowed: Allowed<Enrolling>,
    State(employees): State<Arc<Employees>>,
    Path(id): Path<EmployeeId>,
) -> Result<StatusCode, Problem> {
    employees
        .delete_face(allowed.reach(), allowed.actor(), id)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
