//! Devices and pairing.

use serde_json::json;

use crate::app::{TestApp, photo};

const UNKNOWN: &str = "0199f3a0-7c1e-7d5a-9f0e-2b7f6f0c1a2b";

#[tokio::test]
async fn a_kiosk_is_paired_by_the_code_that_it_shows() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let begun = app.anybody().post("/api/pairings", json!({})).await;
    let begun = begun.expect(201);
    let (code, secret) = (begun["code"].as_str().unwrap(), &begun["secret"]);
    assert_eq!(begun["expires_in"], 600);
    let kiosk = app.anybody().bearer(secret.as_str().unwrap());
    let waiting = kiosk.get("/api/pairing").await.expect(200);
    assert_eq!(waiting, json!({"paired": false}));

    // A wrong code registers nothing.
    let harbor = admin.add_site("Harbor", "UTC").await;
    let device = |code: &str| json!({"name": "Front door", "site": harbor, "code": code});
    let nowhere = json!({"name": "Front door", "site": UNKNOWN, "code": code});
    let nowhere = admin.post("/api/devices", nowhere).await;
    assert_eq!(nowhere.fields(), ["site"], "the code stays good");

    let wrong = admin.post("/api/devices", device("0000-0000")).await;
    wrong.problem(422, "invalid");
    assert_eq!(wrong.fields(), ["code"]);
    let none = admin.get("/api/devices").await.expect(200);
    assert_eq!(none["items"], json!([]));

    // Codes are accepted as people type them.
    let typed = code.to_lowercase().replace('-', " ");
    let added = admin.post("/api/devices", device(&typed)).await.expect(201);
    assert!(added.get("token").is_none(), "{added}");
    let twice = admin.post("/api/devices", device(code)).await;
    twice.problem(422, "invalid");

    let paired = kiosk.get("/api/pairing").await.expect(200);
    assert_eq!(paired["paired"], true);
    let token = paired["token"].as_str().unwrap();
    let own = app.anybody().bearer(token).get("/api/device").await;
    assert_eq!(own.expect(200)["id"], added["id"]);
    // If the response is lost, the kiosk gets it again.
    let again = kiosk.get("/api/pairing").await.expect(200);
    assert_eq!(again, paired);
    let guess = app.anybody().bearer("a-guess").get("/api/pairing").await;
    guess.problem(401, "unauthenticated");
}

#[tokio::test]
async fn pairing_codes_are_rate_limited() {
    let quota = rollcall::ports::Quota {
        most: 3,
        window: std::time::Duration::from_mins(1),
    };
    let app = TestApp::with(|options| options.settings.pairing = Some(quota)).await;
    let ask = async || app.anybody().post("/api/pairings", json!({})).await;
    for left in ["2", "1", "0"] {
        let given = ask().await;
        given.expect(201);
        assert!(given.header("ratelimit").contains(&format!("r={left}")));
    }
    let refused = ask().await;
    refused.problem(429, "too_many_requests");
    assert!(refused.text.contains("codes a minute"), "{}", refused.text);
    assert!(!refused.header("retry-after").is_empty());
}

#[tokio::test]
async fn a_device_is_registered_used_and_revoked() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let harbor = admin.add_site("Harbor", "UTC").await;
    let answer = admin
        .post(
            "/api/devices",
            json!({"name": "Front door", "site": harbor}),
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
    let listed = &list.expect(200)["items"][0];
    assert_eq!(
        (&listed["site"], &listed["site_name"]),
        (&json!(harbor), &json!("Harbor"))
    );
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
