//! Alive, ready, and in figures: for balancers and monitoring.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    extract::State,
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
use secrecy::ExposeSecret;
use serde::Serialize;
use subtle::ConstantTimeEq;
use utoipa::ToSchema;

use crate::{
    http::{
        HttpState,
        auth::{bearer, unauthenticated},
        problem::Problem,
    },
    service::health::{Answer, Health},
    telemetry::Condition,
};

/// How one dependency is.
#[derive(Serialize, ToSchema)]
#[schema(title = "Dependency")]
pub struct DependencyView {
    /// `ok`, `degraded` (the service does without it), `down` or `not configured`.
    #[schema(example = "ok")]
    state: &'static str,
    /// What it is, or what is known of the trouble.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "sqlite 3.50")]
    detail: Option<String>,
}

/// Whether the service can do its work.
#[derive(Serialize, ToSchema)]
#[schema(title = "Readiness")]
pub struct ReadinessView {
    ready: bool,
    /// By name: `store`, `engine`, `gallery`, `redis`; `service` once it stops.
    checks: BTreeMap<&'static str, DependencyView>,
}

/// Alive: the process answers.
#[utoipa::path(
    get, path = "/healthz", tag = "service",
    responses((status = 200, description = "Alive", body = String)),
)]
pub async fn get_health() -> &'static str {
    "ok\n"
}

/// Ready: able to serve, with each dependency's state.
#[utoipa::path(
    get, path = "/readyz", tag = "service",
    responses(
        (status = 200, description = "Able to serve", body = ReadinessView),
        (status = 503, description = "Not able to serve", body = ReadinessView),
    ),
)]
pub async fn get_readiness(
    State(state): State<HttpState>,
    State(health): State<Arc<Health>>,
) -> Response {
    let mut checks = BTreeMap::from([
        ("redis", DependencyView::of("not configured", None)),
        ("store", answered(health.store().await)),
        ("engine", answered(health.engine())),
    ]);
    if state.stopping.is_cancelled() {
        let why = "stopping".to_owned();
        checks.insert("service", DependencyView::of("down", Some(why)));
    }
    let people = format!("{} people", health.people());
    checks.insert("gallery", DependencyView::of("ok", Some(people)));
    for (part, condition) in state.health.parts() {
        let view = match condition {
            // What is known of it above says more.
            Condition::Fine if part != "redis" && checks.contains_key(part) => continue,
            Condition::Fine => DependencyView::of("ok", None),
            Condition::Degraded(why) => DependencyView::of("degraded", Some(why)),
            Condition::Down(why) => DependencyView::of("down", Some(why)),
        };
        checks.insert(part, view);
    }
    let ready = checks.values().all(|check| check.state != "down");
    let view = axum::Json(ReadinessView { ready, checks });
    if ready {
        view.into_response()
    } else {
        let retry = [(header::RETRY_AFTER, "2")];
        (StatusCode::SERVICE_UNAVAILABLE, retry, view).into_response()
    }
}

fn answered(answer: Answer) -> DependencyView {
    match answer {
        Ok(what) => DependencyView::of("ok", Some(what)),
        Err(why) => DependencyView::of("down", Some(why)),
    }
}

impl DependencyView {
    fn of(state: &'static str, detail: Option<String>) -> Self {
        Self { state, detail }
    }
}

/// How long the figures wait for the store to say that it is there.
const STORE_PATIENCE: Duration = Duration::from_secs(1);

/// Figures for Prometheus.
#[utoipa::path(
    get, path = "/metrics", tag = "service",
    responses(
        (status = 200, description = "Figures in Prometheus' text format", body = String),
        (status = 401, description = "`unauthenticated`: a token is needed"),
    ),
    security((), ("metrics" = [])),
)]
pub async fn get_metrics(
    State(state): State<HttpState>,
    State(health): State<Arc<Health>>,
    headers: HeaderMap,
) -> Result<([(HeaderName, &'static str); 1], String), Problem> {
    if let Some(wanted) = &state.settings.metrics_token {
        let token = headers.get(header::AUTHORIZATION).and_then(bearer);
        let right = token.is_some_and(|token| {
            let wanted = wanted.expose_secret().as_bytes();
            bool::from(token.as_bytes().ct_eq(wanted))
        });
        if !right {
            let refused = token.is_some();
            return Err(unauthenticated(
                "send METRICS_TOKEN as bearer token",
                refused,
            ));
        }
    }
    let store = tokio::time::timeout(STORE_PATIENCE, health.store()).await;
    let store = f64::from(u8::from(matches!(store, Ok(Ok(_)))));
    metrics::gauge!("rollcall_store_up").set(store);
    metrics::gauge!("rollcall_gallery_people").set(health.people() as f64);
    let version = env!("CARGO_PKG_VERSION");
    metrics::gauge!("rollcall_build_info", "version" => version).set(1.0);
    let text = (state.metrics)();
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text))
}
