//! What is enrolled of an employee: never the numbers.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::{employees::ConsentView, enroll::QualityView, time};
use crate::{
    domain::ids::EmployeeId,
    http::{
        auth::{Allowed, Enrolling, Reading},
        extract::Path,
        problem::Problem,
    },
    service::employees::Employees,
};

/// One template.
#[derive(Serialize, ToSchema)]
#[schema(title = "Template")]
pub struct TemplateView {
    /// Identity.
    #[schema(format = "uuid")]
    id: String,
    /// The embedding model that made it.
    model: String,
    /// When it was enrolled.
    #[schema(format = "date-time")]
    created_at: String,
    /// What was measured on the photo.
    quality: QualityView,
}

/// What is enrolled.
#[derive(Serialize, ToSchema)]
#[schema(title = "Templates")]
pub struct TemplatesView {
    /// The templates, oldest first.
    items: Vec<TemplateView>,
    /// How many photos were kept.
    photos: usize,
    /// The consent.
    consent: Option<ConsentView>,
}

/// What is enrolled of an employee.
#[utoipa::path(
    get, path = "/api/employees/{id}/templates", tag = "enrollment",
    params(("id" = String, Path, description = "The employee")),
    responses(
        (status = 200, description = "What is enrolled", body = TemplatesView),
        (status = 404, description = "`not_found`"),
    ),
    security(("session" = [])),
)]
pub async fn get_templates(
    _: Allowed<Reading>,
    State(employees): State<Arc<Employees>>,
    Path(id): Path<EmployeeId>,
) -> Result<axum::Json<TemplatesView>, Problem> {
    let enrolled = employees.enrolled(id).await?;
    let view = |template: &crate::ports::StoredTemplate| TemplateView {
        id: template.id.to_string(),
        model: template.model.to_string(),
        created_at: time(template.created_at),
        quality: template.quality.into(),
    };
    Ok(axum::Json(TemplatesView {
        items: enrolled.templates.iter().map(view).collect(),
        photos: enrolled.photos,
        consent: enrolled.employee.consent.as_ref().map(Into::into),
    }))
}

/// Deletes templates, photos and consent of an employee for good.
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
    employees.delete_face(allowed.actor(), id).await?;
    Ok(StatusCode::NO_CONTENT)
}
