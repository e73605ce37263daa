//! Nothing secret is logged: no password, token, cookie, key, photo or embedding.

use std::{
    io::Write,
    sync::{Arc, Mutex},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;

use crate::{
    app::{PASSWORD, TestApp, photo},
    engine,
    second_factors::Phone,
};

/// Logs everything of the service and its layers, except what `telemetry` always leaves out. The
/// libraries of the client, in the same process, would log their own cookies at this level.
const EVERYTHING_OF_OURS: &str = "debug,rollcall=trace,axum=trace,tower_http=trace,tower_http::csrf=info,tower_governor=trace,reqwest=info,cookie_store=info";

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_log_has_requests_but_no_secrets() {
    // Applies to the whole process, because other threads serve the requests; other tests only add
    // lines.
    let log = Captured::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_env_filter(EVERYTHING_OF_OURS)
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .init();

    // The real face engine must not log secrets either, if it can run here.
    let engine = engine::engine().ok();
    let app = TestApp::with(|options| options.engine = engine.map(|engine| engine as _)).await;
    let setup = app.app.accounts.offer_setup().unwrap();
    let anybody = app.anybody();
    let body = json!({"token": setup.reveal(), "email": "secret.person@example.com", "name": "Ada", "password": PASSWORD});
    let made = anybody.post("/api/setup", body).await;
    made.expect(201);
    let cookie = made
        .header("set-cookie")
        .split(['=', ';'])
        .nth(1)
        .unwrap()
        .to_owned();
    let wrong = "a wrong and secret password";
    anybody
        .sign_in("secret.person@example.com", wrong)
        .await
        .problem(401, "bad_credentials");
    let device = anybody
        .post("/api/devices", json!({"name": "Door"}))
        .await
        .expect(201);
    let token = device["token"].as_str().unwrap().to_owned();
    app.enrolled(&anybody).await;
    let kiosk = app.anybody().bearer(&token);
    let face = photo("obama3");
    for (query, status) in [("note=query-secret", 422), ("kind=in", 201)] {
        let path = format!("/api/punches?{query}");
        let answer = kiosk.post_bytes(&path, "image/jpeg", face.clone()).await;
        assert_eq!(answer.status, status, "{}", answer.text);
    }
    let ann = anybody.add_employee("Ann", "A1").await;
    let path = format!("/api/employees/{ann}/calendar");
    let calendar = anybody.post(&path, json!({})).await.expect(201);
    let calendar = calendar["path"].as_str().unwrap();
    assert_eq!(app.anybody().get(calendar).await.status, 200);
    let calendar = calendar.rsplit('/').next().unwrap();
    let made = anybody.post("/api/account/totp", json!({})).await;
    let secret = made.expect(201)["secret"].as_str().unwrap().to_owned();
    let phone = Phone::new(&secret);
    let code = json!({ "code": phone.code(&app) });
    let answer = anybody.post("/api/account/totp/confirm", code).await;
    let recovery = answer.expect(200)["recovery_codes"][0].clone();
    let browser = app.anybody();
    let challenge = browser.sign_in("secret.person@example.com", PASSWORD).await;
    let ticket = challenge.expect(202)["ticket"].clone();
    let step = json!({ "ticket": ticket, "recovery_code": recovery });
    let second = browser.post("/api/session/second-factor", step).await;
    second.expect(200);
    app.anybody()
        .bearer("a-guessed-token")
        .get("/api/device")
        .await
        .problem(401, "unauthenticated");
    app.anybody()
        .get("/typed-by-a-stranger")
        .await
        .problem(404, "not_found");
    let id = "marked-request";
    anybody
        .clone()
        .with("x-request-id", id)
        .get("/api/status")
        .await
        .expect(200);

    let log = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(
        log.contains(id) && log.contains("/api/punches"),
        "requests are logged"
    );
    let picture = STANDARD.encode(&face[1000..1030]);
    let secrets = [
        setup.reveal(),
        PASSWORD,
        wrong,
        &cookie,
        &token,
        &calendar[..20],
        &secret,
        recovery.as_str().unwrap(),
        ticket.as_str().unwrap(),
        "a-guessed-token",
        "query-secret",
        "typed-by-a-stranger",
        &picture,
        "$argon2",
    ];
    for secret in secrets {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret} is in the log");
    }
    // The numbers of an embedding would be a long row.
    let row = log.lines().find(|line| line.matches("0.0").count() > 40);
    assert_eq!(row, None);
}
