//! Consent at the kiosk: people enroll their own face and withdraw, with their PIN or badge.

use reqwest::multipart::Form;
use rollcall::domain::ids::SiteId;
use serde_json::{Value, json};

use crate::app::{Answer, Client, Kiosk, TestApp, images, photo};

/// A photo that no engine can read.
const NO_IMAGE: &str = "no image";

async fn allow(admin: &Client, allowed: bool) {
    let main = format!("/api/sites/{}", SiteId::DEFAULT);
    let body = json!({ "kiosk_enrollment": allowed });
    admin.patch(&main, body).await.expect(200);
}

async fn with_pin(admin: &Client, name: &str, code: &str) -> String {
    let id = admin.add_employee(name, code).await;
    let path = format!("/api/employees/{id}/pin");
    let pin = json!({ "pin": "402817" });
    admin.put(&path, pin).await.expect(200);
    id
}

/// Returns the form of an enrollment with the present text.
async fn form(kiosk: &Kiosk, photos: &[&str]) -> Form {
    let device = kiosk.client.get("/api/device").await.expect(200);
    let version = device["consent"]["version"].as_str().unwrap_or_default();
    let read = |name: &&str| match *name {
        NO_IMAGE => b"no image".to_vec(),
        name => photo(name),
    };
    let photos: Vec<_> = photos.iter().map(read).collect();
    images("photo", &photos).text("consent", version.to_owned())
}

fn as_person(form: Form, code: &str, pin: &str) -> Form {
    form.text("code", code.to_owned())
        .text("pin", pin.to_owned())
}

async fn enroll(kiosk: &Kiosk, form: Form) -> Answer {
    kiosk
        .client
        .post_form("/api/device/enrollments", form)
        .await
}

#[tokio::test]
async fn a_person_agrees_enrolls_punches_and_withdraws_at_a_kiosk() {
    let app = TestApp::start().await;
    let (admin, kiosk) = (app.admin().await, app.kiosk().await);
    let id = with_pin(&admin, "Barack Obama", "E1").await;
    let credential = json!({ "code": "E1", "pin": "402817" });
    let ask = async |path: &str| {
        let path = format!("/api/device/{path}");
        kiosk.client.post(&path, credential.clone()).await
    };

    // Sites do not allow it by default.
    let device = kiosk.client.get("/api/device").await.expect(200);
    assert_eq!(
        (&device["kiosk_enrollment"], &device["consent"]),
        (&json!(false), &Value::Null)
    );
    ask("person").await.problem(403, "forbidden");
    ask("withdrawals").await.problem(403, "forbidden");
    allow(&admin, true).await;
    let consent = admin.get("/api/consent").await.expect(200);
    let off = images("photo", &[photo("obama")])
        .text("consent", consent["version"].as_str().unwrap().to_owned());
    allow(&admin, false).await;
    let refused = enroll(&kiosk, as_person(off, "E1", "402817")).await;
    refused.problem(403, "forbidden");
    allow(&admin, true).await;

    let device = kiosk.client.get("/api/device").await.expect(200);
    assert_eq!(device["consent"], consent);
    let known = ask("person").await.expect(200);
    assert_eq!(
        known,
        json!({ "outcome": "known", "employee": id, "name": "Barack Obama", "enrolled": false })
    );
    let photos = form(&kiosk, &["obama", "obama2"]).await;
    let enrolled = enroll(&kiosk, as_person(photos, "E1", "402817")).await;
    let enrolled = enrolled.expect(201);
    assert_eq!(enrolled["outcome"], "enrolled");
    assert!(
        enrolled["photos"]
            .as_array()
            .unwrap()
            .iter()
            .all(|photo| photo["accepted"] == true)
    );
    let path = format!("/api/employees/{id}");
    let person = admin.get(&path).await.expect(200);
    let given = &person["consent"];
    assert_eq!(
        (&given["given"], &given["text"]),
        (&json!("kiosk"), &consent["version"])
    );
    assert_eq!(ask("person").await.expect(200)["enrolled"], true);
    let punched = kiosk.punch(&photo("obama3")).await.expect(201);
    assert_eq!(punched["name"], "Barack Obama");
    let trail = app.stores.audit.latest(30).await.unwrap();
    let entry = trail.iter().find(|one| one.action == "templates.enroll");
    assert_eq!(entry.unwrap().actor.id().unwrap().to_string(), kiosk.id);

    for _ in 0..2 {
        let withdrawn = ask("withdrawals").await.expect(200);
        assert_eq!(withdrawn["outcome"], "withdrawn");
    }
    assert_eq!(admin.get(&path).await.expect(200)["consent"], Value::Null);
    assert_eq!(
        kiosk.punch(&photo("obama3")).await.expect(200)["outcome"],
        "nobody"
    );
}

#[tokio::test]
async fn only_people_of_the_site_with_their_pin_or_badge_enroll_their_own_face() {
    let app = TestApp::start().await;
    let (admin, kiosk) = (app.admin().await, app.kiosk().await);
    allow(&admin, true).await;
    app.enrolled(&admin).await;
    let grace = with_pin(&admin, "Grace Hopper", "E7").await;
    let wrong = as_person(form(&kiosk, &["hopper"]).await, "E7", "402818");
    let wrong = enroll(&kiosk, wrong).await.expect(200);
    assert_eq!(wrong["outcome"], "wrong_pin");
    assert!(wrong["detail"].is_string() && wrong.get("name").is_none());
    let badge = form(&kiosk, &["hopper"]).await.text("badge", "1");
    assert_eq!(
        enroll(&kiosk, badge).await.expect(200)["outcome"],
        "unknown_badge"
    );
    let nothing = form(&kiosk, &["hopper"]).await;
    assert_eq!(enroll(&kiosk, nothing).await.fields(), ["code"]);
    let silent = images("photo", &[photo("hopper")]);
    let silent = enroll(&kiosk, as_person(silent, "E7", "402817")).await;
    silent.problem(422, "consent_required");
    let old = images("photo", &[photo("hopper")]).text("consent", "2020-1");
    let old = enroll(&kiosk, as_person(old, "E7", "402817")).await;
    assert_eq!(old.fields(), ["consent"]);

    // Someone else's face, without a word about whose it is.
    let other = as_person(form(&kiosk, &["obama"]).await, "E7", "402817");
    let alike = enroll(&kiosk, other).await.problem(409, "duplicate_person");
    assert!(alike.get("other").is_none() && alike["photos"].is_array());
    let none = as_person(form(&kiosk, &[NO_IMAGE]).await, "E7", "402817");
    let none = enroll(&kiosk, none).await;
    none.problem(422, "no_usable_photo");

    let issued = admin
        .post(&format!("/api/employees/{grace}/badge"), json!({}))
        .await
        .expect(201);
    let code = issued["code"].as_str().unwrap().to_owned();
    let enrolled = form(&kiosk, &["hopper"]).await.text("badge", code);
    assert_eq!(
        enroll(&kiosk, enrolled).await.expect(201)["outcome"],
        "enrolled"
    );

    let yard = admin.add_site("Yard", "UTC").await;
    let path = format!("/api/employees/{grace}");
    admin
        .patch(&path, json!({ "site": yard }))
        .await
        .expect(200);
    let body = json!({ "code": "E7", "pin": "402817" });
    for path in ["/api/device/person", "/api/device/withdrawals"] {
        let elsewhere = kiosk.client.post(path, body.clone()).await.expect(200);
        assert_eq!(elsewhere["outcome"], "elsewhere");
        assert!(elsewhere.get("name").is_none());
    }
    let face = app.stores.faces.find(grace.parse().unwrap()).await.unwrap();
    assert!(face.unwrap().face.is_some(), "nothing was deleted");
}

#[tokio::test]
async fn enrollments_at_a_kiosk_count_towards_the_limit_of_the_device() {
    let app = TestApp::with(|options| options.settings.enroll_limit = 5).await;
    let (admin, kiosk, gate) = (app.admin().await, app.kiosk().await, app.kiosk().await);
    allow(&admin, true).await;
    with_pin(&admin, "Barack Obama", "E1").await;
    let attempt = async |kiosk: &Kiosk, face: &str| {
        let form = as_person(form(kiosk, &[face]).await, "E1", "402817");
        enroll(kiosk, form).await
    };
    // Photos that are refused do not count.
    attempt(&kiosk, NO_IMAGE)
        .await
        .problem(422, "no_usable_photo");
    for _ in 0..5 {
        attempt(&kiosk, "obama").await.expect(201);
    }
    let full = attempt(&kiosk, "obama").await;
    full.problem(429, "too_many_enrollments");
    attempt(&gate, "obama").await.expect(201);
    let lift = admin.post("/api/enrollment-limit/lift", json!({})).await;
    lift.expect(200);
    attempt(&kiosk, "obama").await.expect(201);
}
