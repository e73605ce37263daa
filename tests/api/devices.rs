//! Devices.

use serde_json::json;

use crate::app::{TestApp, photo};

#[tokio::test]
async fn a_device_is_registered_used_and_withdrawn() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let answer = admin
        .post(
            "/api/devices",
            json!({"name": "Front door", "site": "Harbour"}),
        )
        .await;
    let device = answer.expect(201);
    let id = device["id"].as_str().unwrap();
    let token = device["token"].as_str().unwrap();
    assert!(token.len() >= 43);
    assert_eq!(answer.header("cache-control"), "no-store");

    let kiosk = app.anybody().bearer(token);
    let own = kiosk.get("/api/device").await.expect(200);
    assert_eq!(
        (&own["id"], &own["name"]),
        (&device["id"], &json!("Front door"))
    );
    assert!(own.get("token").is_none());
    let list = admin.get("/api/devices").await;
    assert_eq!(list.expect(200)["items"][0]["site"], "Harbour");
    assert!(!list.text.contains(token));

    let path = format!("/api/devices/{id}");
    admin.delete(&path).await.expect(204);
    admin.delete(&path).await.problem(404, "not_found");
    let gone = kiosk.get("/api/device").await;
    gone.problem(401, "unauthenticated");
    assert!(gone.header("www-authenticate").contains("invalid_token"));
    let punch = kiosk
        .post_bytes("/api/punches", "image/jpeg", photo("hopper"))
        .await;
    punch.problem(401, "unauthenticated");
    assert_eq!(
        admin.get("/api/devices").await.expect(200)["items"],
        json!([])
    );

    let bad = admin
        .post("/api/devices", json!({"name": "", "site": ""}))
        .await;
    assert_eq!(bad.fields(), ["name", "site"]);
}
