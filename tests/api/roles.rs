//! Each role at each route: what it may do, what it may not.

use reqwest::Method;
use rollcall::domain::accounts::Role;

use crate::app::TestApp;

const NOBODY: &str = "0199f3a0-7c1e-7d5a-9f0e-2b7f6f0c1a2b";

/// Method, path, and who is let in: admin, manager, viewer, device.
const ROUTES: &[(&str, &str, [bool; 4])] = &[
    ("GET", "/api/session", [true, true, true, false]),
    ("GET", "/api/sessions", [true, true, true, false]),
    ("DELETE", "/api/sessions/{id}", [true, true, true, false]),
    ("GET", "/api/status", [true, true, true, false]),
    ("GET", "/api/employees", [true, true, true, false]),
    ("POST", "/api/employees", [true, true, false, false]),
    ("GET", "/api/employees/{id}", [true, true, true, false]),
    ("PATCH", "/api/employees/{id}", [true, true, false, false]),
    ("DELETE", "/api/employees/{id}", [true, false, false, false]),
    (
        "GET",
        "/api/employees/{id}/templates",
        [true, true, true, false],
    ),
    (
        "DELETE",
        "/api/employees/{id}/templates",
        [true, false, false, false],
    ),
    ("GET", "/api/consent", [true, true, true, false]),
    ("POST", "/api/enroll", [true, false, false, false]),
    ("POST", "/api/identify", [true, true, false, true]),
    ("POST", "/api/verify", [true, true, false, true]),
    ("GET", "/api/punches", [true, true, true, false]),
    ("POST", "/api/punches", [false, false, false, true]),
    ("GET", "/api/punches/{id}", [true, true, true, false]),
    (
        "GET",
        "/api/punches/{id}/picture",
        [true, true, false, false],
    ),
    ("GET", "/api/unknown-faces", [true, true, false, false]),
    (
        "GET",
        "/api/unknown-faces/{id}/picture",
        [true, true, false, false],
    ),
    (
        "DELETE",
        "/api/unknown-faces/{id}",
        [true, true, false, false],
    ),
    ("GET", "/api/cameras", [true, true, true, false]),
    ("POST", "/api/cameras", [true, false, false, false]),
    ("GET", "/api/cameras/{id}", [true, true, true, false]),
    ("PATCH", "/api/cameras/{id}", [true, false, false, false]),
    ("DELETE", "/api/cameras/{id}", [true, false, false, false]),
    (
        "GET",
        "/api/cameras/{id}/picture",
        [true, true, true, false],
    ),
    ("GET", "/api/cameras/{id}/live", [true, true, true, false]),
    ("GET", "/api/cameras/{id}/faces", [true, true, true, false]),
    ("GET", "/api/camera-streams", [true, false, false, false]),
    ("GET", "/api/devices", [true, true, true, false]),
    ("POST", "/api/devices", [true, false, false, false]),
    ("DELETE", "/api/devices/{id}", [true, false, false, false]),
    ("GET", "/api/device", [false, false, false, true]),
    ("GET", "/api/events", [true, true, true, false]),
    ("GET", "/api/redis", [true, false, false, false]),
    ("GET", "/api/audit", [true, false, false, false]),
    ("GET", "/api/jobs", [true, false, false, false]),
    ("POST", "/api/jobs", [true, false, false, false]),
    ("GET", "/api/jobs/{id}", [true, false, false, false]),
    ("DELETE", "/api/jobs/{id}", [true, false, false, false]),
    ("POST", "/api/imports", [true, false, false, false]),
];

/// What anybody may use; a pairing knows its own secret.
const OPEN: &[(&str, &str)] = &[
    ("POST", "/api/session"),
    ("DELETE", "/api/session"),
    ("GET", "/api/setup"),
    ("POST", "/api/setup"),
    ("POST", "/api/pairings"),
    ("GET", "/api/pairing"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
];

#[tokio::test]
async fn every_role_gets_in_exactly_where_it_may() {
    let app = TestApp::start().await;
    let callers = [
        app.role(Role::Admin).await,
        app.role(Role::Manager).await,
        app.role(Role::Viewer).await,
        app.kiosk().await.client,
    ];
    for (method, path, allowed) in ROUTES {
        let (method, path) = (
            Method::try_from(*method).unwrap(),
            path.replace("{id}", NOBODY),
        );
        for (caller, allowed) in callers.iter().zip(allowed) {
            // With this header a stream is refused before it begins.
            let request = caller.request(method.clone(), &path);
            let answer = caller.send(request.header("last-event-id", "none")).await;
            // Whoever is let in gets as far as a record that is not there, or a body that is not.
            match allowed {
                true => assert!(
                    ![401, 403].contains(&answer.status.as_u16()),
                    "{method} {path}: {}",
                    answer.text
                ),
                false => drop(answer.problem(403, "forbidden")),
            }
        }
        let anybody = app.anybody();
        let answer = anybody.send(anybody.request(method.clone(), &path)).await;
        answer.problem(401, "unauthenticated");
        assert!(answer.header("www-authenticate").starts_with("Bearer"));
    }
}

#[test]
fn the_matrix_holds_every_documented_route() {
    let document = serde_json::to_value(rollcall::http::document()).unwrap();
    let known = |method: &str, path: &str| {
        ROUTES.iter().any(|(m, p, _)| (*m, *p) == (method, path)) || OPEN.contains(&(method, path))
    };
    let mut count = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let method = method.to_uppercase();
            assert!(known(&method, path), "{method} {path} is not in the matrix");
            count += 1;
        }
    }
    assert_eq!(count, ROUTES.len() + OPEN.len());
}

#[tokio::test]
async fn a_disabled_account_is_shut_out_at_once() {
    let app = TestApp::start().await;
    let viewer = app.role(Role::Viewer).await;
    viewer.get("/api/status").await.expect(200);
    let email = "viewer0@example.com";
    let email = rollcall::domain::text::Email::parse(email).unwrap();
    let mut account = app
        .stores
        .accounts
        .find_by_email(&email)
        .await
        .unwrap()
        .unwrap();
    account.active = false;
    app.stores.accounts.update(&account).await.unwrap();
    viewer
        .get("/api/status")
        .await
        .problem(401, "unauthenticated");
}

#[tokio::test]
async fn only_a_bearer_token_of_a_device_counts() {
    let app = TestApp::start().await;
    for value in [
        "Bearer",
        "Bearer ",
        "Basic YTpi",
        "Bearer nonsense",
        "nonsense",
        "Bearer \u{1}",
    ] {
        let Ok(value) = reqwest::header::HeaderValue::from_str(value) else {
            continue;
        };
        let anybody = app.anybody();
        let request = anybody
            .request(Method::GET, "/api/device")
            .header("authorization", value);
        anybody.send(request).await.problem(401, "unauthenticated");
    }
    // A bad token is not made good by a good cookie.
    let admin = app.admin().await.bearer("nonsense");
    admin
        .get("/api/status")
        .await
        .problem(401, "unauthenticated");
}
