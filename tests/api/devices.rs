//! Devices and pairing.

use jiff::SignedDuration;
use rollcall::{
    clock::Clock,
    domain::{
        devices::DeviceReport,
        grants::{Role, Scope},
        record::Record,
    },
    ports::Parts,
    service::feed::News,
    workers::devices::SilenceWatch,
};
use serde_json::{Value, json};

use crate::app::{Client, Kiosk, TestApp, photo};

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
    let harbor = admin.add_site("Harbor", "Europe/Berlin").await;
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
        (&own["id"], &own["name"], &own["zone"]),
        (&device["id"], &json!("Front door"), &json!("Europe/Berlin"))
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

#[tokio::test]
async fn an_admin_sees_which_kiosk_shows_a_code() {
    let app = TestApp::with(|options| {
        options.settings.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    })
    .await;
    let admin = app.admin().await;
    let kiosk = app.anybody().with("x-forwarded-for", "203.0.113.9");
    let begun = kiosk.post("/api/pairings", json!({})).await.expect(201);
    let code = json!({ "code": begun["code"] });
    for _ in 0..2 {
        let asker = admin.post("/api/pairings/look", code.clone()).await;
        let asker = asker.expect(200);
        assert_eq!(asker["address"], "203.0.113.9");
        let at: jiff::Timestamp = asker["at"].as_str().unwrap().parse().unwrap();
        let ago = at.duration_until(jiff::Timestamp::now());
        assert!(ago.abs() < SignedDuration::from_mins(1), "{asker}");
    }
    let device = json!({ "name": "Door", "code": begun["code"] });
    admin.post("/api/devices", device).await.expect(201);
    let used = admin.post("/api/pairings/look", code).await;
    assert_eq!(used.fields(), ["code"]);
    let wrong = admin
        .post("/api/pairings/look", json!({ "code": "0000-0000" }))
        .await;
    assert_eq!(wrong.fields(), ["code"]);
}

#[tokio::test]
async fn a_device_that_is_paired_again_keeps_its_history() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    app.enrolled(&admin).await;
    let old = app.kiosk().await;
    let punch = old.punch(&photo("obama3")).await.expect(201)["punch"].clone();
    let browser = app.anybody();
    let begun = browser.post("/api/pairings", json!({})).await.expect(201);
    let path = format!("/api/devices/{}/pair", old.id);
    let wrong = admin.post(&path, json!({ "code": "0000-0000" })).await;
    assert_eq!(wrong.fields(), ["code"]);
    old.client.get("/api/device").await.expect(200);
    let gone = format!("/api/devices/{UNKNOWN}/pair");
    let code = json!({ "code": begun["code"] });
    // The code can be typed again for the right device.
    admin
        .post(&gone, code.clone())
        .await
        .problem(404, "not_found");
    let paired = admin.post(&path, code).await.expect(200);
    assert_eq!(
        (&paired["id"], &paired["name"]),
        (&json!(old.id), &json!("Front door"))
    );

    let secret = begun["secret"].as_str().unwrap();
    let progress = app.anybody().bearer(secret).get("/api/pairing").await;
    let token = progress.expect(200)["token"].as_str().unwrap().to_owned();
    let new = app.anybody().bearer(&token);
    assert_eq!(new.get("/api/device").await.expect(200)["id"], old.id);
    let ended = old.client.get("/api/device").await;
    ended.problem(401, "unauthenticated");
    let of_device = format!("/api/punches?device={}", old.id);
    let punches = admin.get(&of_device).await.expect(200);
    assert_eq!(punches["items"][0]["id"], punch["id"]);
    assert_eq!(
        admin.get("/api/devices").await.expect(200)["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let trail = app.stores.audit.latest(50).await.unwrap();
    let entry = trail.iter().find(|entry| entry.action == "device.pair");
    assert_eq!(entry.unwrap().subject, old.id);
}

/// Renews the token of a device; a client with the new one.
async fn renew(app: &TestApp, client: &Client) -> Client {
    let renewed = client.post("/api/device/token", json!({})).await;
    assert_eq!(renewed.header("cache-control"), "no-store");
    let renewed = renewed.expect(200);
    app.anybody().bearer(renewed["token"].as_str().unwrap())
}

async fn refused(client: &Client) {
    let refused = client.get("/api/device").await;
    refused.problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_device_renews_its_token_and_loses_nothing_when_an_answer_is_lost() {
    let app = TestApp::start().await;
    let first = app.kiosk().await.client;
    let lost = renew(&app, &first).await;
    let second = renew(&app, &first).await;
    // The first answer was lost, so that token was never used.
    refused(&lost).await;
    for _ in 0..2 {
        first.get("/api/device").await.expect(200);
    }
    second.get("/api/device").await.expect(200);
    refused(&first).await;
    second.get("/api/device").await.expect(200);
    // Renewed twice in a row.
    let third = renew(&app, &second).await;
    let fourth = renew(&app, &third).await;
    refused(&second).await;
    third.get("/api/device").await.expect(200);
    fourth.get("/api/device").await.expect(200);
    refused(&third).await;
    let trail = app.stores.audit.latest(50).await.unwrap();
    let renewals = trail
        .iter()
        .filter(|entry| entry.action == "device.renew_token");
    assert_eq!(renewals.count(), 4);
}

#[tokio::test]
async fn a_token_of_a_device_ends_unless_it_is_renewed() {
    let days = |days: i64| SignedDuration::from_hours(24 * days);
    let app = TestApp::with(|options| options.device_token_age = Some(days(180))).await;
    let (kiosk, camera) = (app.kiosk().await, app.kiosk().await);
    let report = async |client: &Client| {
        let answer = client
            .post("/api/device/status", status(&app, json!({})))
            .await;
        answer.expect(200)["renew_token"] == true
    };
    assert!(!report(&kiosk.client).await);
    app.clock.advance(days(59));
    assert!(!report(&kiosk.client).await);
    app.clock.advance(days(2));
    assert!(report(&kiosk.client).await, "after a third of 180 days");
    let renewed = renew(&app, &kiosk.client).await;
    assert!(report(&kiosk.client).await, "until it has the new one");
    assert!(!report(&renewed).await);

    // A camera cannot renew its token: a notice warns for 30 days.
    let notices = async || {
        // Sessions have ended meanwhile.
        let notices = app.admin().await.get("/api/notices").await.expect(200);
        let items = notices["items"].as_array().unwrap().iter();
        let items = items.filter(|one| one["kind"] == "device_token_ends");
        items.cloned().collect::<Vec<_>>()
    };
    assert_eq!(notices().await, [] as [Value; 0]);
    app.clock.advance(days(90));
    let of_camera = notices().await;
    assert_eq!(of_camera.len(), 1, "{of_camera:?}");
    assert_eq!(of_camera[0]["id"], camera.id);
    assert!(of_camera[0]["ends"].is_string());
    camera.client.get("/api/device").await.expect(200);
    app.clock.advance(days(30));
    refused(&camera.client).await;
    renewed.get("/api/device").await.expect(200);
}

/// Returns the body of a report, with changes.
fn status(app: &TestApp, changes: Value) -> Value {
    let mut body = json!({
        "version": "0.1.0", "unsent": 0, "camera": "on", "now": app.clock.now().to_string(),
    });
    for (name, value) in changes.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

/// Returns the device as admins see it.
async fn seen(admin: &Client, kiosk: &Kiosk) -> Value {
    let list = admin.get("/api/devices").await.expect(200);
    let items = list["items"].as_array().unwrap();
    items
        .iter()
        .find(|one| one["id"] == kiosk.id)
        .unwrap()
        .clone()
}

#[tokio::test]
async fn a_kiosk_reports_its_state() {
    let app = TestApp::start().await;
    let (admin, kiosk) = (app.admin().await, app.kiosk().await);
    let before = seen(&admin, &kiosk).await;
    assert_eq!(
        (&before["seen_at"], &before["status"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(before["silent"], false);

    let mut following = app.feed.follow();
    let ahead = app.clock.now() + SignedDuration::from_secs(90);
    let ahead = json!({ "unsent": 3, "camera": "off", "now": ahead.to_string() });
    let report = status(&app, ahead);
    let answer = kiosk.client.post("/api/device/status", report).await;
    assert_eq!(answer.expect(200)["version"], env!("CARGO_PKG_VERSION"));
    let now = seen(&admin, &kiosk).await;
    assert!(now["seen_at"].is_string());
    let of = &now["status"];
    assert_eq!(
        (&of["version"], &of["unsent"], &of["refused"], &of["camera"]),
        (&json!("0.1.0"), &json!(3), &json!(0), &json!("off"))
    );
    let offset = of["clock_offset_ms"].as_i64().unwrap();
    assert!((85_000..=95_000).contains(&offset), "{offset}");
    let id = kiosk.id.parse().unwrap();
    assert_eq!(following.next().await, Some(News::Device(id)));

    for (changes, field) in [
        (json!({ "camera": "broken" }), "camera"),
        (json!({ "now": "today" }), "now"),
        (json!({ "version": "" }), "version"),
        (json!({ "unsent": -1 }), "unsent"),
        (json!({ "mood": "good" }), "mood"),
    ] {
        let body = status(&app, changes);
        let refused = kiosk.client.post("/api/device/status", body).await;
        refused.problem(422, "invalid");
        assert_eq!(refused.fields(), [field]);
    }
}

#[tokio::test]
async fn hundreds_of_reports_write_little() {
    let app = TestApp::start().await;
    let kiosk = app.kiosk().await;
    let revision = async || {
        let ids = vec![kiosk.id.clone()];
        let found = app
            .stores
            .engine
            .get(DeviceReport::KIND, &ids, Parts::Head)
            .await;
        found.unwrap()[0]
            .as_ref()
            .map_or(0, |stored| stored.revision)
    };
    let report = async |unsent: u32| {
        let body = status(&app, json!({ "unsent": unsent }));
        kiosk
            .client
            .post("/api/device/status", body)
            .await
            .expect(200);
    };
    report(0).await;
    let begin = revision().await;
    for _ in 0..30 {
        app.clock.advance(SignedDuration::from_mins(1));
        report(0).await;
    }
    let written = revision().await - begin;
    assert!((5..=7).contains(&written), "every five minutes: {written}");
    // What people should know is written at once, other changes within minutes.
    let begin = revision().await;
    report(1).await;
    assert_eq!(revision().await, begin + 1);
    report(2).await;
    assert_eq!(revision().await, begin + 1);
    app.clock.advance(SignedDuration::from_mins(5));
    report(2).await;
    let admin = app.admin().await;
    assert_eq!(seen(&admin, &kiosk).await["status"]["unsent"], 2);
    report(0).await;
    assert_eq!(seen(&admin, &kiosk).await["status"]["unsent"], 0);
}

#[tokio::test]
async fn a_silent_kiosk_is_noticed() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let harbor = admin.add_site("Harbor", "UTC").await;
    let (kiosk, camera) = (app.kiosk().await, app.kiosk().await);
    let report = async || {
        let body = status(&app, json!({}));
        kiosk
            .client
            .post("/api/device/status", body)
            .await
            .expect(200);
    };
    report().await;
    // A camera sends a request only when there is something to send.
    camera.client.get("/api/device").await.expect(200);
    let silent = async |client: &Client| -> Vec<String> {
        let notices = client.get("/api/notices").await.expect(200);
        let items = notices["items"].as_array().unwrap().iter();
        let items = items.filter(|one| one["kind"] == "device_silent");
        items
            .map(|one| one["id"].as_str().unwrap().to_owned())
            .collect()
    };
    app.clock.advance(SignedDuration::from_mins(14));
    assert_eq!(silent(&admin).await, [] as [&str; 0]);
    app.clock.advance(SignedDuration::from_mins(2));
    assert_eq!(silent(&admin).await, vec![kiosk.id.clone()]);
    assert_eq!(seen(&admin, &kiosk).await["silent"], true);
    assert_eq!(seen(&admin, &camera).await["silent"], false);
    assert_eq!(
        silent(&app.role(Role::Viewer).await).await,
        vec![kiosk.id.clone()]
    );
    // Not for others: a viewer of another site, an employee.
    let elsewhere = Scope::Site(harbor.parse().unwrap());
    let elsewhere = app.grant(Role::Viewer, elsewhere).await;
    assert_eq!(silent(&elsewhere).await, [] as [&str; 0]);
    let ann = admin.add_employee("Ann", "1").await;
    let employee = app.employee(&ann).await;
    assert_eq!(silent(&employee).await, [] as [&str; 0]);

    // Pages learn of it, once, and when it reports again.
    let mut watch = SilenceWatch::default();
    let mut following = app.feed.follow();
    let news = Some(News::Device(kiosk.id.parse().unwrap()));
    for expected in [news, None] {
        watch.look(&app.app.devices, &app.feed).await.unwrap();
        assert_eq!(following.try_next(), expected);
    }
    report().await;
    assert_eq!(silent(&admin).await, [] as [&str; 0]);
    watch.look(&app.app.devices, &app.feed).await.unwrap();
    assert_eq!(following.try_next(), news);
    app.clock.advance(SignedDuration::from_mins(16));
    admin
        .delete(&format!("/api/devices/{}", kiosk.id))
        .await
        .expect(204);
    assert_eq!(silent(&admin).await, [] as [&str; 0], "it was revoked");
}
