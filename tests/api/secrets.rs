//! Nothing secret gets into the log: no password, token, cookie, key, photo or embedding.

use std::{
    io::Write,
    sync::{Arc, Mutex},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;

use crate::app::{PASSWORD, TestApp, photo};

/// All that the service and its layers have to say, without what `telemetry` always leaves out.
/// The client's libraries, in the same process
/// here, tell their own cookies at this level.
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
async fn the_log_knows_requests_but_no_secrets() {
    // For the whole process, because requests are served on other threads; other tests only
    // add lines.
    let log = Captured::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_env_filter(EVERYTHING_OF_OURS)
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .init();

    let app = TestApp::start().await;
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
        "it knows requests"
    );
    let picture = STANDARD.encode(&face[1000..1030]);
    let secrets = [
        setup.reveal(),
        PASSWORD,
        wrong,
        &cookie,
        &token,
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
    // Numbers of an embedding would come in long rows.
    let row = log.lines().find(|line| line.matches("0.0").count() > 40);
    assert_eq!(row, None);
}
