//! Saved punches that the service refused: handed over by kiosks, added or dismissed by managers.

use jiff::{SignedDuration, Timestamp};
use reqwest::{Method, multipart::Form};
use rollcall::{
    clock::Clock,
    domain::{
        grants::{Reach, Role, Scope},
        ids::{DeviceId, SiteId},
        refused_punches::RefusedPunch,
    },
    service::pictures::Keeps,
};
use serde_json::{Value, json};

use crate::{
    app::{Answer, Kiosk, TestApp, images, photo},
    records::refused_punch,
};

const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// Hands over a punch that was captured an hour ago, by a clock that is a day ahead.
async fn hand_over(app: &TestApp, kiosk: &Kiosk, key: &str, form: Form) -> Answer {
    let sent = app.clock.now() + 24 * HOUR;
    let form = form
        .text("captured_at", (sent - HOUR).to_string())
        .text("sent_at", sent.to_string());
    let request = kiosk
        .client
        .request(Method::POST, "/api/device/refused-punches");
    let request = request.header("idempotency-key", key).multipart(form);
    kiosk.client.send(request).await
}

fn by_pin(code: &str) -> Form {
    Form::new()
        .text("how", "pin")
        .text("reason", "wrong_pin")
        .text("code", code.to_owned())
}

fn by_face(face: &str) -> Form {
    images("image", &[photo(face)])
        .text("how", "face")
        .text("reason", "nobody")
}

fn items(list: &Value) -> &Vec<Value> {
    list["items"].as_array().unwrap()
}

#[tokio::test]
async fn a_refused_pin_becomes_a_notice_and_a_manager_adds_it() {
    let app = TestApp::start().await;
    let (admin, kiosk) = (app.admin().await, app.kiosk().await);
    let grace = admin.add_employee("Grace Hopper", "E7").await;
    let at = app.clock.now() - HOUR;
    let taken = hand_over(&app, &kiosk, "k1", by_pin(" e7")).await;
    let id = taken.expect(201)["id"].as_str().unwrap().to_owned();
    // The answer was lost.
    let again = hand_over(&app, &kiosk, "k1", by_pin("E7")).await;
    assert_eq!(again.expect(200)["id"], *id);
    // A number that nobody has gets the same answer.
    hand_over(&app, &kiosk, "k2", by_pin("E8"))
        .await
        .expect(201);

    let manager = app.grant(Role::Manager, Scope::Site(SiteId::DEFAULT)).await;
    let list = manager.get("/api/refused-punches").await.expect(200);
    let [unknown, known] = items(&list).as_slice() else {
        panic!("{list}");
    };
    assert_eq!(
        (&known["employee"], &known["name"], &known["code"]),
        (&json!(grace), &json!("Grace Hopper"), &Value::Null)
    );
    assert_eq!(
        (&known["how"], &known["reason"], &known["device"]),
        (&json!("pin"), &json!("wrong_pin"), &json!(kiosk.id))
    );
    let moment: Timestamp = known["at"].as_str().unwrap().parse().unwrap();
    assert!(moment.duration_since(at).abs() < SignedDuration::from_secs(5));
    assert_eq!(
        (&unknown["employee"], &unknown["code"]),
        (&Value::Null, &json!("E8"))
    );
    let notices = manager.get("/api/notices").await.expect(200);
    let about = |id: &str| {
        let mut notices = items(&notices).iter();
        notices.find(|one| one["id"] == id).unwrap().clone()
    };
    let notice = about(&id);
    assert_eq!(
        (&notice["kind"], &notice["name"], &notice["since"]),
        (
            &json!("refused_punch"),
            &json!("Grace Hopper"),
            &known["at"]
        )
    );
    let device = about(unknown["id"].as_str().unwrap());
    assert_eq!(device["name"], unknown["device_name"]);

    // Another site's manager does not see it, nor decide.
    let yard: SiteId = admin.add_site("Yard", "UTC").await.parse().unwrap();
    let other = app.grant(Role::Manager, Scope::Site(yard)).await;
    let empty = other.get("/api/refused-punches").await.expect(200);
    assert_eq!(items(&empty).len(), 0);
    let (add, dismiss) = (
        format!("/api/refused-punches/{id}/add"),
        format!("/api/refused-punches/{id}/dismiss"),
    );
    let body = json!({ "employee": grace, "kind": "in", "reason": "Typed the old PIN" });
    other
        .post(&add, body.clone())
        .await
        .problem(404, "not_found");

    let added = manager.post(&add, body.clone()).await.expect(201);
    assert_eq!(
        (&added["action"], &added["state"], &added["at"]),
        (&json!("add"), &json!("approved"), &known["at"])
    );
    let again = manager.post(&add, body).await;
    again.problem(409, "already_decided");
    let late = manager.post(&dismiss, json!({})).await;
    late.problem(409, "already_decided");
    let path = format!("/api/corrections?employee={grace}&state=approved");
    let corrections = manager.get(&path).await.expect(200);
    assert_eq!(items(&corrections).len(), 1);
    let waiting = manager.get("/api/refused-punches").await.expect(200);
    assert_eq!(items(&waiting).len(), 1);
    let all = manager.get("/api/refused-punches?all=true").await;
    let all = all.expect(200);
    let resolution = &items(&all)[1]["resolution"];
    assert_eq!(
        (&resolution["kind"], &resolution["employee"]),
        (&json!("added"), &json!(grace))
    );
    let trail = app.stores.audit.latest(20).await.unwrap();
    let entry = trail.iter().find(|one| one.action == "refused_punch.add");
    assert_eq!(entry.unwrap().subject, id);
    // A retry of the kiosk after the decision makes no new one.
    let late = hand_over(&app, &kiosk, "k1", by_pin("E7")).await;
    assert_eq!(late.expect(200)["id"], *id);
}

#[tokio::test]
async fn a_correction_that_cannot_be_made_leaves_the_refused_punch_waiting() {
    let app = TestApp::start().await;
    let (admin, kiosk) = (app.admin().await, app.kiosk().await);
    let yard: SiteId = admin.add_site("Yard", "UTC").await.parse().unwrap();
    let grace = admin.add_employee("Grace Hopper", "E7").await;
    let path = format!("/api/employees/{grace}");
    let moved = admin.patch(&path, json!({ "site": yard.to_string() }));
    moved.await.expect(200);
    let taken = hand_over(&app, &kiosk, "k1", by_pin("E7")).await;
    let id = taken.expect(201)["id"].as_str().unwrap().to_owned();
    // The manager of the kiosk's site may not correct the punches of an employee of another one.
    let manager = app.grant(Role::Manager, Scope::Site(SiteId::DEFAULT)).await;
    let body = json!({ "employee": grace, "kind": "in", "reason": "x" });
    let add = format!("/api/refused-punches/{id}/add");
    let refused = manager.post(&add, body.clone()).await;
    refused.problem(404, "not_found");
    admin.post(&add, body).await.expect(201);
}

#[tokio::test]
async fn a_refused_face_has_a_picture_only_if_unknown_faces_are_kept() {
    for unknown in [true, false] {
        let app = TestApp::with(|options| {
            options.keeps = Keeps {
                punches: false,
                unknown,
            };
        })
        .await;
        let (admin, kiosk) = (app.admin().await, app.kiosk().await);
        let own = kiosk.client.get("/api/device").await.expect(200);
        assert_eq!(own["keeps_unknown_faces"], unknown);
        // Several at once: each has its picture.
        for key in ["k1", "k2"] {
            let taken = hand_over(&app, &kiosk, key, by_face("hopper")).await;
            taken.expect(201);
        }
        let list = admin.get("/api/refused-punches").await.expect(200);
        let one = items(&list)[0].clone();
        assert_eq!(one["picture"].is_string(), unknown, "{one}");
        let id = one["id"].as_str().unwrap();
        if unknown {
            let faces = admin.get("/api/unknown-faces").await.expect(200);
            assert_eq!(items(&faces).len(), 2);
            let picture = one["picture"].as_str().unwrap();
            let path = format!("/api/unknown-faces/{picture}/picture");
            admin.get(&path).await.expect(200);
        }
        let path = format!("/api/refused-punches/{id}/dismiss");
        admin.post(&path, json!({})).await.expect(204);
        let faces = admin.get("/api/unknown-faces").await.expect(200);
        assert_eq!(items(&faces).len(), usize::from(unknown));
    }
}

#[tokio::test]
async fn a_kiosk_hands_over_what_is_said_and_not_too_much() {
    let app = TestApp::start().await;
    let (admin, kiosk) = (app.admin().await, app.kiosk().await);
    let without = images("image", &[photo("hopper")]).text("how", "pin");
    let refused = hand_over(&app, &kiosk, "k1", without).await;
    let mut fields = refused.fields();
    fields.sort();
    assert_eq!(fields, ["image", "reason"]);
    // Never a PIN or a badge.
    let secret = by_pin("E7").text("pin", "402817");
    let refused = hand_over(&app, &kiosk, "k1", secret).await;
    assert_eq!(refused.fields(), ["pin"]);
    let form = by_pin("E7")
        .text("captured_at", "2026-01-01T00:00:00Z")
        .text("sent_at", "2026-01-01T00:00:00Z");
    let keyless = kiosk
        .client
        .post_form("/api/device/refused-punches", form)
        .await;
    assert_eq!(keyless.fields(), ["Idempotency-Key"]);

    let device: DeviceId = kiosk.id.parse().unwrap();
    for number in 0..RefusedPunch::MOST_WAITING {
        let one = refused_punch(device, None, number as i64);
        app.stores.refused_punches.insert(&one).await.unwrap();
    }
    let full = hand_over(&app, &kiosk, "k1", by_pin("E7")).await;
    full.problem(429, "too_many_requests");
    assert!(full.header("retry-after").parse::<u64>().unwrap() > 60);
    // Another kiosk is not affected, and this one is not after a decision.
    let gate = app.kiosk().await;
    hand_over(&app, &gate, "k1", by_pin("E7")).await.expect(201);
    let waiting = app.stores.refused_punches.waiting(&Reach::Everything).await;
    let path = format!("/api/refused-punches/{}/dismiss", waiting.unwrap()[0].id);
    admin.post(&path, json!({})).await.expect(204);
    hand_over(&app, &kiosk, "k1", by_pin("E7"))
        .await
        .expect(201);
}
