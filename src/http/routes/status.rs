//! The status of the service, for the desk.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    domain::{grants::Permission, self_calibration::SelfCalibration},
    http::{
        HttpState,
        auth::{Allowed, Surveying},
        problem::Problem,
    },
    service::{employees::Employees, health::Health, pictures::Pictures},
    telemetry::Condition,
};

/// The status of the service.
#[derive(Serialize, ToSchema)]
#[schema(title = "Status")]
pub struct StatusView {
    /// The version of the service.
    #[schema(example = "0.1.0")]
    version: &'static str,
    /// The system of record.
    #[schema(example = "sqlite 3.50")]
    store: String,
    /// The embedding model.
    model: String,
    /// The number of people who can be identified and whom the account may see.
    people: usize,
    /// The number of people who must be enrolled again, because the model changed, and whom the
    /// account may see.
    enroll_again: usize,
    /// How much the thresholds are raised, because the enrolled people look more alike than those
    /// with whom the model was calibrated.
    thresholds: ThresholdsView,
    /// Whether the installation keeps pictures of punches.
    punch_pictures: bool,
    /// Whether the installation keeps pictures of unknown faces.
    unknown_faces: bool,
    /// For admins: the parts that do not work, and why.
    #[schema(example = json!(["redis: running without Redis caching: connection refused"]))]
    troubles: Vec<String>,
}

/// The offsets of the thresholds.
#[derive(Serialize, ToSchema)]
#[schema(title = "Thresholds")]
pub struct ThresholdsView {
    /// `measured` on the enrolled people, or the model's `prior`, while fewer than 20 people are
    /// enrolled.
    #[schema(example = "measured")]
    source: &'static str,
    /// Offset of everybody's threshold, in units of the similarity.
    #[schema(example = 0.03)]
    common: f32,
    /// Largest offset of a person's threshold.
    #[schema(example = 0.08)]
    largest: f32,
}

impl From<SelfCalibration> for ThresholdsView {
    fn from(of: SelfCalibration) -> Self {
        Self {
            source: of.source.as_str(),
            common: of.common,
            largest: of.largest,
        }
    }
}

/// Returns the status of the service.
#[utoipa::path(
    get, path = "/api/status", tag = "service",
    responses((status = 200, description = "The status", body = StatusView)),
)]
pub async fn get_status(
    allowed: Allowed<Surveying>,
    State(employees): State<Arc<Employees>>,
    State(health): State<Arc<Health>>,
    State(pictures): State<Arc<Pictures>>,
    State(state): State<HttpState>,
) -> Result<axum::Json<StatusView>, Problem> {
    let (facts, keeps) = (health.facts(), pictures.keeps());
    let mut troubles = Vec::new();
    if allowed.permits(Permission::Administer) {
        if let Err(why) = health.store().await {
            troubles.push(format!("store: {why}"));
        }
        for (part, condition) in state.health.parts() {
            match condition {
                Condition::Fine => {}
                // Checked above.
                _ if part == "store" => {}
                Condition::Degraded(why) | Condition::Down(why) => {
                    troubles.push(format!("{part}: {why}"));
                }
            }
        }
    }
    let (people, enroll_again) = match allowed.reach().covers_everything() {
        true => (facts.people, facts.outdated),
        false => employees.count_faces(allowed.reach()).await?,
    };
    Ok(axum::Json(StatusView {
        version: env!("CARGO_PKG_VERSION"),
        store: facts.store,
        model: facts.model,
        people,
        enroll_again,
        thresholds: facts.thresholds.into(),
        punch_pictures: keeps.punches,
        unknown_faces: keeps.unknown,
        troubles,
    }))
}
