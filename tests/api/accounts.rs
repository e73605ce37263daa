//! Setup, signing in and out, and the session cookie.

use jiff::SignedDuration;
use rollcall::domain::grants::Role;
use serde_json::json;

use crate::app::{PASSWORD, TestApp};

#[tokio::test]
async fn the_first_admin_is_created_once_with_the_printed_token() {
    let app = TestApp::start().await;
    let anybody = app.anybody();
    assert_eq!(
        anybody.get("/api/setup").await.expect(200),
        json!({"needed": true})
    );
    let token = app.app.accounts.offer_setup().unwrap();
    let body = |token: &str, password: &str| json!({"token": token, "email": "Ada@Example.com", "name": "Ada", "password": password});
    let wrong = anybody.post("/api/setup", body("guess", PASSWORD)).await;
    wrong.problem(403, "bad_setup_token");
    let short = anybody
        .post("/api/setup", body(token.reveal(), "short"))
        .await;
    short.problem(422, "invalid");
    assert_eq!(short.fields(), ["password"]);
    let bad = json!({"token": token.reveal(), "email": "no", "name": " ", "password": PASSWORD});
    assert_eq!(
        anybody.post("/api/setup", bad).await.fields(),
        ["email", "name"]
    );

    let made = anybody
        .post("/api/setup", body(token.reveal(), PASSWORD))
        .await;
    assert_eq!(made.expect(201)["account"]["grants"][0]["role"], "admin");
    let me = anybody.get("/api/session").await.expect(200);
    assert_eq!(me["account"]["email"], "ada@example.com");
    assert_eq!(
        anybody.get("/api/setup").await.expect(200),
        json!({"needed": false})
    );
    let again = anybody
        .post("/api/setup", body(token.reveal(), PASSWORD))
        .await;
    again.problem(409, "already_set_up");
}

#[tokio::test]
async fn a_session_starts_with_the_password_and_ends_by_signing_out_or_expiry() {
    let app = TestApp::start().await;
    let viewer = app.role(Role::Viewer).await;
    let me = viewer.get("/api/session").await.expect(200);
    assert_eq!(me["account"]["grants"][0]["role"], "viewer");
    let email = me["account"]["email"].as_str().unwrap();

    let other = app.anybody();
    for (email, password) in [(email, "wrong"), ("nobody@example.com", PASSWORD), ("", "")] {
        let refused = other.sign_in(email, password).await;
        let body = refused.problem(401, "bad_credentials");
        assert_ne!(refused.header("www-authenticate"), "");
        assert_eq!(body["detail"], "the email address or the password is wrong");
    }
    other
        .get("/api/session")
        .await
        .problem(401, "unauthenticated");

    viewer.delete("/api/session").await.expect(204);
    viewer
        .get("/api/session")
        .await
        .problem(401, "unauthenticated");
    viewer.delete("/api/session").await.expect(204);

    viewer.sign_in(email, PASSWORD).await.expect(200);
    app.clock.advance(SignedDuration::from_hours(24));
    viewer
        .get("/api/session")
        .await
        .problem(401, "unauthenticated");
}

#[tokio::test]
async fn signing_in_again_ends_the_previous_session() {
    let app = TestApp::start().await;
    let viewer = app.role(Role::Viewer).await;
    let me = viewer.get("/api/session").await.expect(200);
    let email = me["account"]["email"].as_str().unwrap();
    let first = app.anybody().sign_in(email, PASSWORD).await;
    let cookie = first
        .header("set-cookie")
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    let old = app.anybody().with("cookie", &cookie);
    old.get("/api/session").await.expect(200);
    old.sign_in(email, PASSWORD).await.expect(200);
    old.get("/api/session")
        .await
        .problem(401, "unauthenticated");
}

#[tokio::test]
async fn the_cookie_is_http_only_and_secure_behind_tls() {
    let proxy = "127.0.0.0/8".parse().unwrap();
    let app = TestApp::with(|options| {
        options.settings.trusted_proxies = vec![proxy];
        options.settings.hsts = Some(std::time::Duration::from_hours(1));
    })
    .await;
    let admin = app.admin().await;
    let me = admin.get("/api/session").await.expect(200);
    let email = me["account"]["email"].as_str().unwrap();
    let plain = app.anybody().sign_in(email, PASSWORD).await;
    let cookie = plain.header("set-cookie");
    assert!(cookie.starts_with("rollcall_session="), "{cookie}");
    for flag in ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=86400"] {
        assert!(cookie.contains(flag), "{cookie} has no {flag}");
    }
    assert!(!cookie.contains("Secure") && !cookie.contains("Domain"));
    assert_eq!(plain.header("strict-transport-security"), "");

    let tls = app.anybody().with("x-forwarded-proto", "https");
    let behind = tls.sign_in(email, PASSWORD).await;
    assert!(behind.header("set-cookie").contains("Secure"));
    assert_eq!(behind.header("strict-transport-security"), "max-age=3600");

    let stranger = TestApp::start().await;
    stranger.admin().await;
    let spoofed = stranger.anybody().with("x-forwarded-proto", "https");
    let answer = spoofed.sign_in("admin0@example.com", PASSWORD).await;
    answer.expect(200);
    assert!(!answer.header("set-cookie").contains("Secure"));

    let strict = TestApp::with(|options| {
        options.settings.strict_cookies = true;
        options.settings.cookies_end_with_browser = true;
    })
    .await;
    strict.admin().await;
    let answer = strict
        .anybody()
        .sign_in("admin0@example.com", PASSWORD)
        .await;
    let cookie = answer.header("set-cookie");
    assert!(
        cookie.contains("SameSite=Strict") && !cookie.contains("Max-Age"),
        "{cookie}"
    );

    let itself = TestApp::with(|options| options.settings.tls = true).await;
    itself.admin().await;
    let answer = itself
        .anybody()
        .sign_in("admin0@example.com", PASSWORD)
        .await;
    assert!(answer.header("set-cookie").contains("Secure"));
    assert_eq!(
        answer.header("strict-transport-security"),
        "",
        "not configured"
    );

    let forced = TestApp::with(|options| options.settings.secure_cookies = Some(true)).await;
    let token = forced.app.accounts.offer_setup().unwrap();
    let body =
        json!({"token": token.reveal(), "email": "a@b.c", "name": "A", "password": PASSWORD});
    let made = forced.anybody().post("/api/setup", body).await;
    assert!(made.header("set-cookie").contains("Secure"));
}

#[tokio::test]
async fn an_account_lists_its_sessions_and_ends_one() {
    let app = TestApp::start().await;
    let here = app.admin().await;
    let there = app.anybody();
    there
        .sign_in("admin0@example.com", PASSWORD)
        .await
        .expect(200);
    let other = app.role(Role::Viewer).await;

    let list = here.get("/api/sessions").await.expect(200);
    let sessions = list["items"].as_array().unwrap();
    assert_eq!(sessions.len(), 2);
    let lost = sessions
        .iter()
        .find(|session| session["current"] == false)
        .unwrap();
    let path = format!("/api/sessions/{}", lost["id"].as_str().unwrap());
    other.delete(&path).await.problem(404, "not_found");
    there.get("/api/session").await.expect(200);
    assert_eq!(here.delete(&path).await.status, 204);
    there
        .get("/api/session")
        .await
        .problem(401, "unauthenticated");
    here.get("/api/session").await.expect(200);
    here.delete(&path).await.problem(404, "not_found");
    app.clock.advance(SignedDuration::from_hours(25));
    here.get("/api/sessions")
        .await
        .problem(401, "unauthenticated");
}
