//! Health, readiness and metrics, for load balancers and monitoring.

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

/// The state of a dependency.
#[derive(Serialize, ToSchema)]
#[schema(title = "Dependency")]
pub struct DependencyView {
    /// `ok`, `degraded` (the service works without it), `down` or `not configured`.
    #[schema(example = "ok")]
    state: &'static str,
    /// Details, or what is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "sqlite 3.50")]
    detail: Option<String>,
}

/// Whether the service can serve requests.
#[derive(Serialize, ToSchema)]
#[schema(title = "Readiness")]
pub struct ReadinessView {
    /// Whether the service can serve requests.
    ready: bool,
    /// The dependencies by name: `store`, `engine`, `gallery`, `redis`; `service` while it stops.
    checks: BTreeMap<&'static str, DependencyView>,
}

/// Reports that the process responds.
#[utoipa::path(
    get, path = "/healthz", tag = "service",
    responses((status = 200, description = "It responds", body = String)),
    security(()),
)]
pub async fn get_health() -> &'static str {
    "ok\n"
}

/// Reports whether the service can serve requests, with the state of each dependency.
#[utoipa::path(
    get, path = "/readyz", tag = "service",
    responses(
        (status = 200, description = "Ready", body = ReadinessView),
        (status = 503, description = "Not ready", body = ReadinessView),
    ),
    security(()),
)]
pub async fn get_readiness(
    State(state): State<HttpState>,
    State(health): State<Arc<Health>>,
) -> Response {
    let mut checks = BTreeMap::from([
        ("redis", DependencyView::new("not configured", None)),
        ("store", DependencyView::from_answer(health.store().await)),
        ("engine", DependencyView::from_answer(health.engine())),
    ]);
    if state.stopping.is_cancelled() {
        let why = "stopping".to_owned();
        checks.insert("service", DependencyView::new("down", Some(why)));
    }
    let people = format!("{} people", health.people());
    checks.insert("gallery", DependencyView::new("ok", Some(people)));
    for (part, condition) in state.health.parts() {
        let view = match condition {
            // The view added above has more detail.
            Condition::Fine if part != "redis" && checks.contains_key(part) => continue,
            Condition::Fine => DependencyView::new("ok", None),
            Condition::Degraded(why) => DependencyView::new("degraded", Some(why)),
            Condition::Down(why) => DependencyView::new("down", Some(why)),
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

impl DependencyView {
    fn new(state: &'static str, detail: Option<String>) -> Self {
        Self { state, detail }
    }

    fn from_answer(answer: Answer) -> Self {
        match answer {
            Ok(what) => Self::new("ok", Some(what)),
            Err(why) => Self::new("down", Some(why)),
        }
    }
}

/// How long the metrics wait for the store.
const STORE_TIMEOUT: Duration = Duration::from_secs(1);

/// Returns metrics for Prometheus.
#[utoipa::path(
    get, path = "/metrics", tag = "service",
    responses(
        (status = 200, description = "Metrics in Prometheus' text format", body = String),
        (status = 401, description = "`unauthenticated`: a token is required"),
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
                "send METRICS_TOKEN as the bearer token",
                refused,
            ));
        }
    }
    let store = tokio::time::timeout(STORE_TIMEOUT, health.store()).await;
    let store = f64::from(u8::from(matches!(store, Ok(Ok(_)))));
    metrics::gauge!("rollcall_store_up").set(store);
    metrics::gauge!("rollcall_gallery_people").set(health.people() as f64);
    let thresholds = health.thresholds();
    let source = thresholds.source.as_str();
    metrics::gauge!("rollcall_threshold_offset", "source" => source).set(thresholds.common);
    metrics::gauge!("rollcall_threshold_offset_largest").set(thresholds.largest);
    let version = env!("CARGO_PKG_VERSION");
    metrics::gauge!("rollcall_build_info", "version" => version).set(1.0);
    let text = (state.metrics)();
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text))
}
