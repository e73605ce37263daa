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
    let cookie = behind.header("set-cookie").to_owned();
    assert!(cookie.starts_with("__Host-rollcall_session="), "{cookie}");
    for flag in ["Secure", "HttpOnly", "Path=/"] {
        assert!(cookie.contains(flag), "{cookie} has no {flag}");
    }
    // Over TLS, a cookie that a neighbor may have set does not count, nor does it hide the right one.
    let token = cookie.split(['=', ';']).nth(1).unwrap();
    let session = async |cookies: &str| {
        let tls = app.anybody().with("x-forwarded-proto", "https");
        tls.with("cookie", cookies).get("/api/session").await
    };
    session(&format!("rollcall_session={token}"))
        .await
        .problem(401, "unauthenticated");
    let both = format!("__Host-rollcall_session={token}; rollcall_session=planted");
    session(&both).await.expect(200);
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

#[tokio::test]
async fn sessions_show_their_browser_and_last_use_and_end_all_at_once() {
    let app = TestApp::start().await;
    let here = app.admin().await;
    let agent = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0";
    let there = app.anybody().with("user-agent", agent);
    there
        .sign_in("admin0@example.com", PASSWORD)
        .await
        .expect(200);
    app.clock.advance(SignedDuration::from_mins(10));
    there.get("/api/session").await.expect(200);
    let list = here.get("/api/sessions").await.expect(200);
    let other = &list["items"][0];
    assert_eq!(other["current"], false);
    assert_eq!(other["browser"], "Firefox on Linux");
    assert_eq!(other["address"], "127.0.0.1");
    assert!(other["used_at"].as_str().unwrap() > other["created_at"].as_str().unwrap());

    assert_eq!(here.delete("/api/sessions").await.status, 204);
    there
        .get("/api/session")
        .await
        .problem(401, "unauthenticated");
    here.get("/api/session").await.expect(200);
    let list = here.get("/api/sessions").await.expect(200);
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    assert_eq!(list["items"][0]["current"], true);
}

#[tokio::test]
async fn risky_changes_need_a_recent_proof_of_who_the_person_is() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    app.role(Role::Viewer).await;
    let employee = admin.add_employee("Ann", "A1").await;
    let accounts = admin.get("/api/accounts?q=viewer1").await.expect(200);
    let account = format!(
        "/api/accounts/{}",
        accounts["items"][0]["id"].as_str().unwrap()
    );
    let attempts = async || {
        [
            admin.post("/api/devices", json!({ "name": "Door" })).await,
            admin.patch(&account, json!({ "name": "Vi" })).await,
            admin.delete(&account).await,
            admin.delete(&format!("/api/employees/{employee}")).await,
        ]
    };
    app.clock.advance(SignedDuration::from_mins(15));
    for refused in attempts().await {
        refused.problem(403, "confirmation_required");
    }
    // Reading and everyday work need none.
    admin.get(&account).await.expect(200);
    admin.add_employee("Bob", "B1").await;

    let confirm = async |password: &str| {
        let body = json!({ "password": password });
        admin.post("/api/session/confirm", body).await
    };
    let wrong = confirm("wrong horse battery").await;
    let problem = wrong.problem(422, "invalid");
    assert_eq!(problem["errors"][0]["code"], "wrong_password");
    admin
        .post("/api/devices", json!({ "name": "Door" }))
        .await
        .problem(403, "confirmation_required");
    let confirmed = confirm(PASSWORD).await.expect(200);
    assert!(confirmed["confirmed_until"].is_string());
    for done in attempts().await {
        assert!(done.status.is_success(), "{}", done.text);
    }
    // Another session of the account is not confirmed by that.
    app.clock.advance(SignedDuration::from_mins(15));
    let other = app.anybody();
    other
        .sign_in("admin0@example.com", PASSWORD)
        .await
        .expect(200);
    let refused = admin.post("/api/devices", json!({ "name": "Door" })).await;
    refused.problem(403, "confirmation_required");
}

#[tokio::test]
async fn people_change_their_own_name_and_password() {
    let app = TestApp::start().await;
    let client = app.role(Role::Viewer).await;
    let other = app.anybody();
    other
        .sign_in("viewer0@example.com", PASSWORD)
        .await
        .expect(200);
    let renamed = client
        .patch("/api/account", json!({ "name": "Grace" }))
        .await;
    assert_eq!(renamed.expect(200)["account"]["name"], "Grace");
    let grants = json!({ "name": "Grace", "grants": [{ "role": "admin" }] });
    let refused = client.patch("/api/account", grants).await;
    assert_eq!(refused.fields(), ["grants"]);

    let set = async |present: &str, password: &str| {
        let body = json!({ "present": present, "password": password });
        client.put("/api/account/password", body).await
    };
    let new = "another long pass phrase";
    let wrong = set("wrong horse battery", new).await;
    wrong.problem(422, "invalid");
    assert_eq!(wrong.fields(), ["present"]);
    assert_eq!(set(PASSWORD, "short").await.fields(), ["password"]);
    other.get("/api/session").await.expect(200);
    assert_eq!(set(PASSWORD, new).await.status, 204);
    client.get("/api/session").await.expect(200);
    other
        .get("/api/session")
        .await
        .problem(401, "unauthenticated");
    let old = other.sign_in("viewer0@example.com", PASSWORD).await;
    old.problem(401, "bad_credentials");
    other.sign_in("viewer0@example.com", new).await.expect(200);
}
