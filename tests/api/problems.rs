//! Bad requests of every kind, and faults of ours: one shape, nothing of the inside.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use reqwest::Method;
use rollcall::{
    domain::{devices::Device, ids::DeviceId},
    ports::{DeviceStore, Page, StoreError},
    service::{audit::Audit, devices::Devices},
};
use rollcall::{service::feed::Feed, storage::memory::MemoryBus};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::app::TestApp;

#[tokio::test]
async fn malformed_json_is_told_what_is_wrong() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    for body in [
        "",
        "{",
        "{\"name\": \"A\", ",
        "nonsense",
        "\u{0}",
        "{\"name\"}",
    ] {
        let answer = admin
            .post_bytes("/api/employees", "application/json", body)
            .await;
        answer.problem(400, "malformed");
    }
    for body in [
        "[]",
        "null",
        "1",
        "{}",
        "{\"name\": 1, \"code\": \"x\"}",
        "{\"name\": null, \"code\": \"x\"}",
    ] {
        let answer = admin
            .post_bytes("/api/employees", "application/json", body)
            .await;
        answer.problem(422, "invalid");
        assert!(!answer.text.contains("struct"), "{}", answer.text);
    }
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let answer = admin
        .post_bytes("/api/employees", "application/json", deep)
        .await;
    assert!(
        [400, 422].contains(&answer.status.as_u16()),
        "{}",
        answer.text
    );
    let not_utf8 = admin
        .post_bytes("/api/employees", "application/json", [0xff, 0xfe])
        .await;
    not_utf8.problem(400, "malformed");
    let body = "{\"name\": \"A\", \"code\": \"x\"}";
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
    ] {
        let answer = admin.post_bytes("/api/employees", kind, body).await;
        answer.problem(415, "unsupported_type");
    }
}

#[tokio::test]
async fn a_field_that_does_not_fit_is_named() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    for (body, field, word) in [
        (json!({ "name": "A" }), "code", "must be given"),
        (json!({ "name": 5, "code": "x" }), "name", "integer `5`"),
        (
            json!({ "name": "A", "code": "x", "sight": "y" }),
            "sight",
            "`site`",
        ),
    ] {
        let answer = admin.post("/api/employees", body).await;
        let problem = answer.problem(422, "invalid");
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
        let detail = problem["errors"][0]["detail"].as_str().unwrap();
        assert!(detail.contains(word), "{problem}");
        assert!(!detail.contains("line"), "{problem}");
    }
    // Of another kind altogether: said in words of JSON, not of the program.
    let camera = |hours: Value, viewers: Value, every: Value| {
        json!({
            "name": "Gate", "stream": "gate", "hours": hours, "viewers": viewers,
            "every_ms": every,
        })
    };
    for (body, said) in [
        (
            json!([]),
            "\"detail\":\"the body must be a JSON object as documented\"",
        ),
        (json!("x"), "the body must be a JSON object"),
        (
            camera(json!([]), json!([]), json!(1)),
            "must be a JSON object",
        ),
        (
            camera(json!(5), json!([]), json!(1)),
            "must be a JSON object",
        ),
        (camera(json!(null), json!("x"), json!(1)), "must be a list"),
        (camera(json!(null), json!([]), json!(-1)), "a whole number"),
    ] {
        let answer = admin.post("/api/cameras", body).await;
        answer.problem(422, "invalid");
        let text = &answer.text;
        assert!(text.contains(said), "{said}: {text}");
        for inside in ["struct", "Body", "sequence", "elements", "u32", "u64"] {
            assert!(!text.contains(inside), "{text}");
        }
    }
    for (path, field, word) in [
        (
            "/api/punches?employe=x",
            "employe",
            "employee, device, from, to",
        ),
        ("/api/punches?employee=", "employee", "empty"),
        ("/api/status?verbose", "verbose", "no parameters"),
    ] {
        let answer = admin.get(path).await;
        let problem = answer.problem(422, "invalid");
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
        let detail = problem["errors"][0]["detail"].as_str().unwrap();
        assert!(detail.contains(word), "{problem}");
    }
}

#[tokio::test]
async fn operators_of_a_store_are_only_text_or_refused() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let email = json!({"$ne": null});
    let answer = app
        .anybody()
        .post(
            "/api/session",
            json!({"email": email, "password": {"$gt": ""}}),
        )
        .await;
    answer.problem(422, "invalid");
    for text in [
        "{\"$ne\": null}",
        "$where",
        "'; DROP TABLE employees; --",
        "a.b$c",
        "%",
        "_",
    ] {
        let refused = app.anybody().sign_in(text, text).await;
        refused.problem(401, "bad_credentials");
        let body = json!({"name": text, "code": text, "site": text});
        let added = admin.post("/api/employees", body).await.expect(201);
        assert_eq!(
            (&added["name"], &added["code"]),
            (&json!(text), &json!(text))
        );
    }
    let filtered = admin
        .get("/api/employees?q=%7B%22%24ne%22%3A%20null%7D")
        .await
        .expect(200);
    assert_eq!(filtered["items"].as_array().unwrap().len(), 1);
    let operator = admin.get("/api/employees?site[$ne]=x").await;
    operator.problem(422, "invalid");
}

#[tokio::test]
async fn other_addresses_and_methods_are_told_so() {
    let app = TestApp::start().await;
    let anybody = app.anybody();
    anybody.get("/api/nothing").await.problem(404, "not_found");
    let put = anybody
        .send(anybody.request(Method::PUT, "/api/session"))
        .await;
    put.problem(405, "method_not_allowed");
    assert!(put.header("allow").contains("POST"));
    let head = anybody
        .send(anybody.request(Method::HEAD, "/api/setup"))
        .await;
    assert_eq!((head.status.as_u16(), head.text.as_str()), (200, ""));
}

/// Sends the head of a request that declares a large body, without the body.
async fn declare(app: &TestApp, head: &str) -> String {
    let mut socket = tokio::net::TcpStream::connect(app.address).await.unwrap();
    let head = format!("{head}\r\nHost: x\r\nConnection: close\r\n\r\n");
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = socket.read_to_end(&mut answer);
    tokio::time::timeout(Duration::from_secs(5), read)
        .await
        .unwrap()
        .unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn large_bodies_are_refused_before_they_are_read() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let kiosk = app.kiosk().await;
    let token = kiosk.client.headers["authorization"].to_str().unwrap();
    for (kind, length, said) in [
        ("image/jpeg", 12 << 20, "12 MiB (12582912 bytes)"),
        (
            "multipart/form-data; boundary=x",
            (60 << 20) + (64 << 10),
            "61504 KiB",
        ),
    ] {
        let head = format!(
            "POST /api/punches HTTP/1.1\r\nAuthorization: {token}\r\nContent-Type: {kind}\r\nContent-Length: {}",
            length + 1
        );
        let answer = declare(&app, &head).await;
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
        assert!(
            answer.contains("too_large") && answer.contains(said),
            "{answer}"
        );
    }
    // Without a token nobody reads at all.
    let answer = declare(
        &app,
        "POST /api/punches HTTP/1.1\r\nContent-Type: image/jpeg\r\nContent-Length: 999999999",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");

    let long = json!({"name": "A", "code": "x", "site": "y".repeat(70_000)});
    let answer = admin.post("/api/employees", long).await;
    let problem = answer.problem(413, "too_large");
    assert!(
        problem.to_string().contains("64 KiB (65536 bytes)"),
        "{problem}"
    );
    let list = "x".repeat((1 << 20) + 1);
    let answer = admin.post_bytes("/api/imports", "text/csv", list).await;
    let problem = answer.problem(413, "too_large");
    assert!(
        problem.to_string().contains("1 MiB (1048576 bytes)"),
        "{problem}"
    );
    let file = vec![0xff; (12 << 20) + 1];
    let form = crate::app::images("image", &[file]);
    let answer = kiosk.client.post_form("/api/punches", form).await;
    let problem = answer.problem(413, "too_large");
    assert!(problem.to_string().contains("12 MiB"), "{problem}");
}

/// A store that fails as it is told.
struct Failing(fn() -> StoreError, Duration);

impl Failing {
    async fn fail<T>(&self) -> Result<T, StoreError> {
        tokio::time::sleep(self.1).await;
        Err((self.0)())
    }
}

#[async_trait]
impl DeviceStore for Failing {
    async fn insert(&self, _: &Device) -> Result<(), StoreError> {
        panic!("the secret of the inside")
    }
    async fn update(&self, _: &Device) -> Result<bool, StoreError> {
        self.fail().await
    }
    async fn find(&self, _: DeviceId) -> Result<Option<Device>, StoreError> {
        self.fail().await
    }
    async fn find_by_token(
        &self,
        _: rollcall::domain::accounts::TokenHash,
    ) -> Result<Option<Device>, StoreError> {
        self.fail().await
    }
    async fn find_many(&self, _: &[DeviceId]) -> Result<Vec<Device>, StoreError> {
        self.fail().await
    }
    async fn list(&self, _: &Page<DeviceId>) -> Result<Vec<Device>, StoreError> {
        self.fail().await
    }
}

async fn failing(error: fn() -> StoreError, after: Duration) -> TestApp {
    TestApp::with(|options| {
        options.settings.timeout = Duration::from_millis(500);
        options.devices = Some(Box::new(move |stores, clock| {
            let audit = Audit::new(stores.audit.clone(), clock.clone());
            let feed = Feed::new(Arc::new(MemoryBus::default()));
            Devices::new(Arc::new(Failing(error, after)), audit, clock, feed)
        }));
    })
    .await
}

#[tokio::test]
async fn faults_of_ours_are_told_without_the_inside() {
    let inside = "connection to db.internal refused";
    let app = failing(
        || StoreError::Unavailable("connection to db.internal refused".into()),
        Duration::ZERO,
    )
    .await;
    let admin = app.admin().await;
    let away = admin.get("/api/devices").await;
    away.problem(503, "store_unavailable");
    assert_eq!(away.header("retry-after"), "2");
    assert!(!away.text.contains(inside));
    // A token that cannot be looked up is not a bad token.
    app.anybody()
        .bearer("x")
        .get("/api/device")
        .await
        .problem(503, "store_unavailable");

    let panicked = admin.post("/api/devices", json!({"name": "A"})).await;
    panicked.problem(500, "internal");
    assert!(!panicked.text.contains("secret of the inside"));

    // What its operator can do is told.
    let app = failing(|| StoreError::Refused("the disk is full"), Duration::ZERO).await;
    let full = app.admin().await.get("/api/devices").await;
    let problem = full.problem(503, "store_unavailable");
    assert_eq!(problem["detail"], "the store refuses: the disk is full");

    let app = failing(
        || StoreError::Corrupt("row 7 of /var/lib/x".into()),
        Duration::ZERO,
    )
    .await;
    let broken = app.admin().await.get("/api/devices").await;
    broken.problem(500, "internal");
    assert!(!broken.text.contains("/var/lib"));

    let app = failing(|| StoreError::Conflict, Duration::ZERO).await;
    app.admin()
        .await
        .get("/api/devices")
        .await
        .problem(409, "conflict");
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_ended() {
    let app = failing(|| StoreError::Conflict, Duration::from_secs(60)).await;
    let slow = app.admin().await.get("/api/devices").await;
    slow.problem(503, "timed_out");
    assert_eq!(slow.header("retry-after"), "1");
}
