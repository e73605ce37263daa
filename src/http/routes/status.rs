//! What the service runs on, for the desk.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    http::auth::{Allowed, Reading},
    service::health::Health,
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
}

/// What the service runs on.
#[utoipa::path(
    get, path = "/api/status", tag = "service",
    responses((status = 200, description = "What it runs on", body = StatusView)),
    security(("session" = [])),
)]
pub async fn get_status(
    _: Allowed<Reading>,
    State(health): State<Arc<Health>>,
) -> axum::Json<StatusView> {
    let facts = health.facts();
    axum::Json(StatusView {
        version: env!("CARGO_PKG_VERSION"),
        store: facts.store,
        model: facts.model,
        people: facts.people,
    })
}
