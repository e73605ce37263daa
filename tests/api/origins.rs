//! Requests from other sites, and security headers.

use reqwest::Method;
use serde_json::json;

use crate::app::TestApp;

#[tokio::test]
async fn browsers_can_make_changes_only_from_our_own_pages() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let own = format!("http://{}", app.address);
    let add = async |code: &str, headers: &[(&str, &str)]| {
        let mut request = admin.request(Method::POST, "/api/employees");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        admin
            .send(request.json(&json!({"name": "A", "code": code})))
            .await
    };
    // curl sends neither header.
    add("1", &[]).await.expect(201);
    add("2", &[("sec-fetch-site", "same-origin"), ("origin", &own)])
        .await
        .expect(201);
    add("3", &[("sec-fetch-site", "none")]).await.expect(201);
    add("4", &[("origin", &own)]).await.expect(201);
    for headers in [
        &[("sec-fetch-site", "cross-site")][..],
        &[("sec-fetch-site", "same-site")],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[("sec-fetch-site", "cross-site"), ("origin", own.as_str())],
    ] {
        add("5", headers).await.problem(403, "cross_site");
    }
    // Reading is harmless: without CORS headers, no other site can see the response.
    let read = admin
        .request(Method::GET, "/api/employees")
        .header("sec-fetch-site", "cross-site");
    let read = admin.send(read).await;
    read.expect(200);
    assert_eq!(read.header("access-control-allow-origin"), "");
    let preflight = admin
        .request(Method::OPTIONS, "/api/employees")
        .header("origin", "https://evil.example")
        .header("access-control-request-method", "POST");
    let preflight = admin.send(preflight).await;
    assert_eq!(preflight.header("access-control-allow-origin"), "");
    // The same holds for signing in: a foreign page cannot sign a visitor in to another account.
    let login = app.anybody().with("sec-fetch-site", "cross-site");
    login
        .sign_in("admin0@example.com", crate::app::PASSWORD)
        .await
        .problem(403, "cross_site");
}

#[tokio::test]
async fn every_response_has_the_security_headers() {
    let app = TestApp::start().await;
    let anybody = app.anybody();
    for path in [
        "/",
        "/kiosk",
        "/api/session",
        "/nowhere",
        "/healthz",
        "/static/css/base.css",
    ] {
        let answer = anybody.get(path).await;
        let policy = answer.header("content-security-policy");
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"));
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("referrer-policy"), "no-referrer");
        assert!(
            answer
                .header("permissions-policy")
                .contains("camera=(self)")
        );
        assert_ne!(answer.header("x-request-id"), "", "{path}");
    }
    assert_eq!(
        anybody.get("/api/session").await.header("cache-control"),
        "no-store"
    );
}

#[tokio::test]
async fn a_valid_request_id_is_kept_and_an_invalid_one_replaced() {
    let app = TestApp::start().await;
    let anybody = app.anybody();
    let kept = anybody
        .clone()
        .with("x-request-id", "trace-1.a_B")
        .get("/api/session")
        .await;
    assert_eq!(
        kept.problem(401, "unauthenticated")["request_id"],
        "trace-1.a_B"
    );
    for bad in ["with space", "a;b", &"x".repeat(65)] {
        let replaced = anybody
            .clone()
            .with("x-request-id", bad)
            .get("/api/session")
            .await;
        assert_eq!(replaced.header("x-request-id").len(), 36, "{bad}");
    }
}
