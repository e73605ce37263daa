//! Health, readiness and metrics.

use rollcall::{domain::grants::Role, telemetry::Condition};
use serde_json::json;

use crate::app::TestApp;

#[tokio::test]
async fn readiness_reports_each_dependency() {
    let app = TestApp::start().await;
    let anybody = app.anybody();
    let alive = anybody.get("/healthz").await;
    assert_eq!((alive.status.as_u16(), alive.text.as_str()), (200, "ok\n"));
    let ready = anybody.get("/readyz").await.expect(200);
    assert_eq!(ready["ready"], true);
    assert_eq!(ready["checks"]["redis"]["state"], "not configured");
    for (name, detail) in [("store", "memory"), ("engine", ""), ("gallery", "0 people")] {
        let check = &ready["checks"][name];
        assert_eq!(check["state"], "ok", "{ready}");
        let text = check["detail"].as_str().unwrap().to_lowercase();
        assert!(text.contains(detail), "{ready}");
    }

    app.health
        .note("gallery", Condition::Down("is being filled".to_owned()));
    let answer = anybody.get("/readyz").await;
    let waiting = answer.expect(503);
    assert_eq!(waiting["ready"], false);
    assert_eq!(
        waiting["checks"]["gallery"],
        json!({"state": "down", "detail": "is being filled"})
    );
    assert_eq!(answer.header("retry-after"), "2");
    app.health.note("gallery", Condition::Fine);
    app.health
        .note("redis", Condition::Degraded("unavailable".to_owned()));
    let degraded = anybody.get("/readyz").await.expect(200);
    assert_eq!(degraded["checks"]["redis"]["state"], "degraded");
    anybody.get("/healthz").await;
}

#[tokio::test]
async fn metrics_can_require_a_token() {
    let open = TestApp::start().await;
    let figures = open.anybody().get("/metrics").await;
    assert_eq!(figures.status, 200);
    assert!(
        figures
            .header("content-type")
            .starts_with("text/plain; version=0.0.4")
    );
    assert!(figures.text.contains("rollcall_up 1"));

    let closed =
        TestApp::with(|options| options.settings.metrics_token = Some("figures".into())).await;
    closed
        .anybody()
        .get("/metrics")
        .await
        .problem(401, "unauthenticated");
    closed
        .anybody()
        .bearer("figure")
        .get("/metrics")
        .await
        .problem(401, "unauthenticated");
    assert_eq!(
        closed
            .anybody()
            .bearer("figures")
            .get("/metrics")
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn the_status_page_reports_store_engine_and_model() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    app.enrolled(&admin).await;
    let status = app
        .role(Role::Viewer)
        .await
        .get("/api/status")
        .await
        .expect(200);
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["people"], 1);
    assert_eq!(status["store"], "memory");
    assert!(status["model"].is_string());
}
