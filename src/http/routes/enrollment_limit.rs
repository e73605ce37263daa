//! The limit on enrollments, and its lift.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    http::{
        HttpState,
        auth::{Administering, Allowed, Enrolling, InPerson},
        problem::Problem,
        views::time,
    },
    ports::StoreError,
    service::enrollment_limit::{EnrollmentLimit, Lift},
};

/// The limit on enrollments.
#[derive(Serialize, ToSchema)]
#[schema(title = "EnrollmentLimit")]
pub struct EnrollmentLimitView {
    /// The most enrollments of an account within an hour (`ENROLL_LIMIT`); null for no limit.
    #[schema(example = 5)]
    limit: Option<u32>,
    /// Until when the limit is lifted; null if it counts.
    #[schema(format = "date-time")]
    lifted_until: Option<String>,
    /// The address of the admin who lifted it; null if the account no longer exists.
    #[schema(example = "ada@example.com")]
    lifted_by: Option<String>,
}

impl EnrollmentLimitView {
    async fn new(lift: Option<Lift>, state: &HttpState) -> Result<Self, StoreError> {
        let by = match &lift {
            Some(lift) => state.app.enrollment_limit.lifted_by(lift).await?,
            None => None,
        };
        Ok(Self {
            limit: state.enrollments.most(),
            lifted_until: lift.map(|lift| time(lift.until)),
            lifted_by: by.map(|email| email.to_string()),
        })
    }
}

/// Returns the limit on enrollments, and whether it is lifted.
#[utoipa::path(
    get, path = "/api/enrollment-limit/lift", tag = "enrollment",
    responses((status = 200, description = "The limit", body = EnrollmentLimitView)),
)]
pub async fn get_lift(
    _: Allowed<Enrolling>,
    State(limit): State<Arc<EnrollmentLimit>>,
    State(state): State<HttpState>,
) -> Result<axum::Json<EnrollmentLimitView>, Problem> {
    let view = EnrollmentLimitView::new(limit.lift().await?, &state).await?;
    Ok(axum::Json(view))
}

/// Lifts the limit on enrollments for 24 hours, for every account and on all instances.
#[utoipa::path(
    post, path = "/api/enrollment-limit/lift", tag = "enrollment",
    responses((status = 200, description = "Lifted", body = EnrollmentLimitView)),
)]
pub async fn create_lift(
    InPerson(admin): InPerson<Administering>,
    State(limit): State<Arc<EnrollmentLimit>>,
    State(state): State<HttpState>,
) -> Result<axum::Json<EnrollmentLimitView>, Problem> {
    let lift = limit.begin(admin.account()?.id).await?;
    let view = EnrollmentLimitView::new(Some(lift), &state).await?;
    Ok(axum::Json(view))
}

/// Ends the lift of the limit on enrollments.
#[utoipa::path(
    delete, path = "/api/enrollment-limit/lift", tag = "enrollment",
    responses((status = 204, description = "The limit counts again")),
)]
pub async fn delete_lift(
    InPerson(admin): InPerson<Administering>,
    State(limit): State<Arc<EnrollmentLimit>>,
) -> Result<StatusCode, Problem> {
    limit.end(admin.account()?.id).await?;
    Ok(StatusCode::NO_CONTENT)
}
