//! Bad requests and internal errors: one format, and no internal details.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use reqwest::Method;
use rollcall::{
    domain::record::{Index, Kind},
    ports::{Parts, Range, RecordEngine, Revision, StoreError, Stored, Write},
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::app::TestApp;

#[tokio::test]
async fn invalid_json_is_refused() {
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
async fn an_invalid_field_is_reported_with_a_code() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    for (body, error) in [
        (
            json!({ "name": "A" }),
            json!({ "field": "code", "code": "required", "detail": "is required" }),
        ),
        (
            json!({ "name": "\u{7}x", "code": "x" }),
            json!({
                "field": "name", "code": "control_characters",
                "detail": "must not contain control characters",
            }),
        ),
        (
            json!({ "name": "A", "code": "x".repeat(65) }),
            json!({
                "field": "code", "code": "too_long", "params": { "most": 64 },
                "detail": "must have at most 64 characters",
            }),
        ),
        (
            json!({ "name": 5, "code": "x" }),
            json!({
                "field": "name", "code": "wrong_type", "params": { "expected": "string" },
                "detail": "must be a text",
            }),
        ),
        (
            json!({ "name": "A", "code": "x", "sight": "y" }),
            json!({
                "field": "sight", "code": "unknown_field",
                "params": { "known": ["name", "code", "site", "active", "employed_from", "employed_until"] },
                "detail": "is unknown: accepted are name, code, site, active, employed_from, employed_until",
            }),
        ),
    ] {
        let answer = admin.post("/api/employees", body).await;
        let problem = answer.problem(422, "invalid");
        assert_eq!(problem["errors"], json!([error]), "{problem}");
    }
    // Types are named as in JSON, not as in Rust.
    let camera = |hours: Value, viewers: Value, every: Value| {
        json!({
            "name": "Gate", "stream": "gate", "hours": hours, "viewers": viewers,
            "every_ms": every,
        })
    };
    let nights = json!({ "from": "06:00", "to": "07:00", "days": [1, 300] });
    for (body, detail) in [
        (json!([]), "the body must be a JSON object as documented"),
        (json!("x"), "the body must be a JSON object as documented"),
        (
            camera(json!([]), json!([]), json!(1)),
            "hours must be a JSON object",
        ),
        (
            camera(json!(5), json!([]), json!(1)),
            "hours must be a JSON object",
        ),
        (
            camera(json!({ "to": "07:00" }), json!([]), json!(1)),
            "hours.from is required",
        ),
        (
            camera(nights, json!([]), json!(1)),
            "hours.days[1] must be 0 to 255",
        ),
        (
            camera(json!(null), json!("x"), json!(1)),
            "viewers must be a list",
        ),
        (
            camera(json!(null), json!([]), json!("x")),
            "every_ms must be a whole number",
        ),
        (
            camera(json!(null), json!([]), json!(-1)),
            "every_ms must be 0 to 4294967295",
        ),
    ] {
        let answer = admin.post("/api/cameras", body).await;
        let problem = answer.problem(422, "invalid");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let found = match &problem["errors"][0] {
            Value::Null => text(&problem["detail"]),
            error => format!("{} {}", text(&error["field"]), text(&error["detail"])),
        };
        assert_eq!(found, detail, "{problem}");
        for inside in ["struct", "Editable", "sequence", "elements", "u32", "u64"] {
            assert!(!answer.text.contains(inside), "{problem}");
        }
    }
    for (path, error) in [
        (
            "/api/punches?employe=x",
            json!({
                "field": "employe", "code": "unknown_field",
                "params": { "known": ["employee", "device", "camera", "site", "from", "to", "limit", "cursor"] },
                "detail": "is unknown: accepted are employee, device, camera, site, from, to, limit, cursor",
            }),
        ),
        (
            "/api/punches?employee=",
            json!({
                "field": "employee", "code": "empty_parameter",
                "detail": "is empty: leave it out",
            }),
        ),
        (
            "/api/status?verbose",
            json!({
                "field": "verbose", "code": "unknown_field", "params": { "known": [] },
                "detail": "is unknown: nothing is accepted here",
            }),
        ),
        (
            "/api/punches?limit=201",
            json!({
                "field": "limit", "code": "out_of_range", "params": { "least": 1, "most": 200 },
                "detail": "must be 1 to 200",
            }),
        ),
    ] {
        let problem = admin.get(path).await.problem(422, "invalid");
        assert_eq!(problem["errors"], json!([error]), "{problem}");
    }
}

#[tokio::test]
async fn store_operators_are_taken_as_text_or_refused() {
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
        let body = json!({"name": text, "code": text});
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
async fn unknown_addresses_and_methods_are_refused() {
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
    tokio::time::timeout(Duration::from_secs(60), read)
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
    for (kind, length, expected) in [
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
            answer.contains("too_large") && answer.contains(expected),
            "{answer}"
        );
    }
    // Without a token the body is not read.
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

/// A store that fails with an error after a delay.
struct Failing(fn() -> StoreError, Duration);

impl Failing {
    async fn fail<T>(&self) -> Result<T, StoreError> {
        tokio::time::sleep(self.1).await;
        Err((self.0)())
    }
}

#[async_trait]
impl RecordEngine for Failing {
    async fn get(
        &self,
        _: &'static Kind,
        _: &[String],
        _: Parts,
    ) -> Result<Vec<Option<Stored>>, StoreError> {
        self.fail().await
    }

    async fn scan(
        &self,
        _: &'static Kind,
        _: Index,
        _: &Range,
        _: usize,
        _: Parts,
    ) -> Result<Vec<Stored>, StoreError> {
        self.fail().await
    }

    async fn put(&self, _: Write) -> Result<Option<Revision>, StoreError> {
        panic!("the secret of the inside")
    }

    async fn delete(
        &self,
        _: &'static Kind,
        _: &[(String, Option<Revision>)],
    ) -> Result<u64, StoreError> {
        self.fail().await
    }

    async fn count(&self, _: &'static Kind, _: Index, _: &Range) -> Result<u64, StoreError> {
        self.fail().await
    }

    fn description(&self) -> String {
        "a store that fails".to_owned()
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.fail().await
    }

    async fn clear_traces(&self) -> Result<Option<String>, StoreError> {
        self.fail().await
    }

    async fn close(&self) {}
}

async fn failing(error: fn() -> StoreError, after: Duration) -> TestApp {
    TestApp::with(|options| {
        // Only the slow store takes longer.
        if !after.is_zero() {
            options.settings.timeout = Duration::from_secs(2);
        }
        options.devices = Some(Arc::new(Failing(error, after)));
    })
    .await
}

#[tokio::test]
async fn internal_errors_hide_their_causes() {
    let inside = "connection to db.internal refused";
    let app = failing(
        || StoreError::Unavailable("connection to db.internal refused".into()),
        Duration::ZERO,
    )
    .await;
    let admin = app.admin().await;
    let response = admin.get("/api/devices").await;
    response.problem(503, "store_unavailable");
    assert_eq!(response.header("retry-after"), "2");
    assert!(!response.text.contains(inside));
    // A token that cannot be looked up does not count as a wrong token.
    app.anybody()
        .bearer("x")
        .get("/api/device")
        .await
        .problem(503, "store_unavailable");

    let panicked = admin.post("/api/devices", json!({"name": "A"})).await;
    panicked.problem(500, "internal");
    assert!(!panicked.text.contains("secret of the inside"));

    // The detail says what the operator can do.
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
async fn a_request_that_takes_too_long_times_out() {
    let app = failing(|| StoreError::Conflict, Duration::from_secs(60)).await;
    let slow = app.admin().await.get("/api/devices").await;
    slow.problem(503, "timed_out");
    assert_eq!(slow.header("retry-after"), "1");
}
