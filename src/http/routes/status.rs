//! What the service runs on, for the desk.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    domain::accounts::Permission,
    http::{
        HttpState,
        auth::{Allowed, Reading},
    },
    service::{health::Health, pictures::Pictures},
    telemetry::Condition,
};

/// What the service runs on.
#[derive(Serialize, ToSchema)]
#[schema(title = "Status")]
pub struct StatusView {
    /// The service's version.
    #[schema(example = "0.1.0")]
    version: &'static str,
    /// The system of record.
    #[schema(example = "sqlite 3.50")]
    store: String,
    /// The embedding model.
    model: String,
    /// How many people can be identified.
    people: usize,
    /// Whether pictures of punches are kept.
    punch_pictures: bool,
    /// Whether pictures of faces that nobody knows are kept.
    unknown_faces: bool,
    /// For admins: what the service does without, or cannot do, in words.
    #[schema(example = json!(["redis: running without Redis caching: connection refused"]))]
    troubles: Vec<String>,
}

/// What the service runs on.
#[utoipa::path(
    get, path = "/api/status", tag = "service",
    responses((status = 200, description = "What it runs on", body = StatusView)),
    security(("session" = [])),
)]
pub async fn get_status(
    allowed: Allowed<Reading>,
    State(health): State<Arc<Health>>,
    State(pictures): State<Arc<Pictures>>,
    State(state): State<HttpState>,
) -> axum::Json<StatusView> {
    let (facts, keeps) = (health.facts(), pictures.keeps());
    let mut troubles = Vec::new();
    if allowed.permits(Permission::Administer) {
        if let Err(why) = health.store().await {
            troubles.push(format!("store: {why}"));
        }
        for (part, condition) in state.health.parts() {
            match condition {
                Condition::Fine => {}
                // Asked just now, above.
                _ if part == "store" => {}
                Condition::Degraded(why) | Condition::Down(why) => {
                    troubles.push(format!("{part}: {why}"));
                }
            }
        }
    }
    axum::Json(StatusView {
        version: env!("CARGO_PKG_VERSION"),
        store: facts.store,
        model: facts.model,
        people: facts.people,
        punch_pictures: keeps.punches,
        unknown_faces: keeps.unknown,
        troubles,
    })
}
