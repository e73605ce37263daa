//! What people do about their own employee record.

use jiff::SignedDuration;
use reqwest::Method;
use rollcall::{
    clock::Clock,
    domain::{
        faces::FaceEnrollment,
        grants::{Access, Grant, Role, Scope},
        ids::SiteId,
    },
};
use serde_json::{Value, json};

use crate::{
    app::{Client, PASSWORD, TestApp, enroll_form, photo},
    scripted::DIMENSIONS,
};

/// The account of a manager of a site who is also an employee, without a grant of own records.
async fn manager_of_elsewhere(app: &TestApp, admin: &Client, employee: &str) -> Client {
    let site: SiteId = admin.add_site("Elsewhere", "UTC").await.parse().unwrap();
    let grant = Grant::new(Role::Manager, Scope::Site(site)).unwrap();
    let access = Access::new(Some(employee.parse().unwrap()), [grant]);
    app.access(access.unwrap()).await
}

#[tokio::test]
async fn everybody_reads_their_own_record_whatever_else_they_may_do() {
    let app = TestApp::start().await;
    let (admin, kiosk) = (app.admin().await, app.kiosk().await);
    let id = app.enrolled(&admin).await;
    kiosk.punch(&photo("obama3")).await.expect(201);
    let manager = manager_of_elsewhere(&app, &admin, &id).await;
    let grace = admin.add_employee("Grace Hopper", "E7").await;
    let own = app.employee(&grace).await;
    for (me, id, many) in [(&own, &grace, 0), (&manager, &id, 1)] {
        let record = me.get("/api/me").await.expect(200);
        let person = admin.get(&format!("/api/employees/{id}")).await.expect(200);
        assert_eq!(record["employee"], person);
        assert_eq!(record["credentials"], json!({ "pin": null, "badge": null }));
        let days = me.get("/api/me/days").await.expect(200);
        let same = admin
            .get(&format!("/api/employees/{id}/days"))
            .await
            .expect(200);
        assert_eq!(
            days["days"].as_array().unwrap().len(),
            same["days"].as_array().unwrap().len()
        );
        let punches = me.get("/api/me/punches").await.expect(200);
        let punches = punches["items"].as_array().unwrap().clone();
        assert_eq!(punches.len(), many);
        assert!(punches.iter().all(|punch| punch["employee"] == *id));
        let faces = me.get("/api/me/faces").await.expect(200);
        assert_eq!(faces["items"].as_array().unwrap().len(), 2 * many);
        assert!(!faces.to_string().contains("sealed"));
    }
    // An account without an employee has nothing of its own, and a device neither.
    let paths = ["", "/days", "/punches", "/faces", "/consent", "/export"];
    for path in paths {
        let path = format!("/api/me{path}");
        admin.get(&path).await.problem(404, "not_found");
        kiosk.client.get(&path).await.problem(403, "forbidden");
        app.anybody()
            .get(&path)
            .await
            .problem(401, "unauthenticated");
    }
    // A deleted employee has no record.
    admin
        .delete(&format!("/api/employees/{id}"))
        .await
        .expect(204);
    manager.get("/api/me").await.problem(404, "not_found");
}

#[tokio::test]
async fn a_consent_says_how_it_was_given_and_is_withdrawn_at_once() {
    let app = TestApp::start().await;
    let (admin, kiosk) = (app.admin().await, app.kiosk().await);
    let id = admin.add_employee("Barack Obama", "E1").await;
    let enroll = async |given: &[(&'static str, &str)]| {
        let photos = [photo("obama"), photo("obama2")];
        let mut form = enroll_form(&id, &photos).text("consent", "true");
        for (name, value) in given {
            form = form.text(*name, (*value).to_owned());
        }
        admin.post_form("/api/enroll", form).await
    };
    for (given, field, code) in [
        (&[("consent_given", "sheet")][..], "signed_on", "required"),
        (&[("signed_on", "2026-03-01")], "signed_on", "excluded"),
        (&[("consent_given", "kiosk")], "consent_given", "not_one_of"),
        (
            &[("consent_given", "sheet"), ("signed_on", "1.3.2026")],
            "signed_on",
            "not_a_date",
        ),
        (
            &[("consent_given", "sheet"), ("signed_on", "2999-01-01")],
            "signed_on",
            "in_the_future",
        ),
    ] {
        let refused = enroll(given).await.problem(422, "invalid");
        assert_eq!(refused["errors"][0]["field"], field, "{refused}");
        assert_eq!(refused["errors"][0]["code"], code, "{refused}");
    }
    let stated = enroll(&[]).await.expect(201)["employee"]["consent"].clone();
    assert_eq!(
        (&stated["given"], &stated["signed_on"]),
        (&json!("stated"), &Value::Null)
    );
    let signed = [("consent_given", "sheet"), ("signed_on", "2026-03-01")];
    let signed = enroll(&signed).await.expect(201)["employee"]["consent"].clone();
    assert_eq!(
        (&signed["given"], &signed["signed_on"]),
        (&json!("sheet"), &json!("2026-03-01"))
    );

    let pin = format!("/api/employees/{id}/pin");
    admin
        .put(&pin, json!({ "pin": "402817" }))
        .await
        .expect(200);
    let own = app.employee(&id).await;
    let consent = own.get("/api/me/consent").await.expect(200);
    assert_eq!(consent["consent"], signed);
    let present = own.get("/api/consent").await.expect(200);
    assert_eq!(
        (&consent["text"], &consent["version"]),
        (&present["text"], &present["version"])
    );
    assert_eq!(consent["agreed_text"], present["text"]);

    own.delete("/api/me/consent").await.expect(204);
    let withdrawn = own.get("/api/me/consent").await.expect(200);
    assert_eq!(withdrawn["consent"], Value::Null);
    assert_eq!(withdrawn["agreed_text"], Value::Null);
    assert_eq!(
        own.get("/api/me/faces").await.expect(200)["items"],
        json!([])
    );
    assert_eq!(
        kiosk.punch(&photo("obama3")).await.expect(200)["outcome"],
        "nobody"
    );
    // The PIN stays.
    let body = json!({ "code": "E1", "pin": "402817" });
    kiosk
        .client
        .post("/api/punches/pin", body)
        .await
        .expect(201);
}

#[tokio::test]
async fn a_person_sets_their_pin_after_a_confirmation_and_reports_a_lost_badge() {
    let app = TestApp::start().await;
    let (admin, kiosk) = (app.admin().await, app.kiosk().await);
    let id = admin.add_employee("Grace Hopper", "E7").await;
    let own = app.employee(&id).await;
    let set = async |pin: &str| own.put("/api/me/pin", json!({ "pin": pin })).await;
    app.clock.advance(SignedDuration::from_mins(16));
    set("402817").await.problem(403, "confirmation_required");
    let confirmed = own.post("/api/session/confirm", json!({ "password": PASSWORD }));
    confirmed.await.expect(200);
    let weak = set("123456").await.problem(422, "invalid");
    assert_eq!(weak["errors"][0]["code"], "guessable_pin");
    set("402817").await.expect(204);
    let body = json!({ "code": "E7", "pin": "402817" });
    let punched = kiosk
        .client
        .post("/api/punches/pin", body)
        .await
        .expect(201);
    assert_eq!(punched["punch"]["employee"], id);

    own.delete("/api/me/badge").await.problem(404, "not_found");
    let badge = admin
        .post(&format!("/api/employees/{id}/badge"), json!({}))
        .await
        .expect(201);
    assert!(own.get("/api/me").await.expect(200)["credentials"]["badge"].is_object());
    own.delete("/api/me/badge").await.expect(204);
    let body = json!({ "badge": badge["code"] });
    let lost = kiosk
        .client
        .post("/api/punches/badge", body)
        .await
        .expect(200);
    assert_eq!(lost["outcome"], "unknown_badge");
}

#[tokio::test]
async fn a_person_copies_their_data_without_secrets_and_asks_to_be_erased() {
    let app = TestApp::with(|options| options.keep_photos = true).await;
    let (admin, kiosk) = (app.admin().await, app.kiosk().await);
    let id = app.enrolled(&admin).await;
    let grace = admin.add_employee("Grace Hopper", "E7").await;
    let path = format!("/api/employees/{id}");
    admin
        .put(&(path.clone() + "/pin"), json!({}))
        .await
        .expect(200);
    admin
        .post(&(path.clone() + "/badge"), json!({}))
        .await
        .expect(201);
    kiosk.punch(&photo("obama3")).await.expect(201);
    let own = app.employee(&id).await;
    let copy = own.get("/api/me/export").await.expect(200);
    assert_eq!(copy["employee"], id);
    let records = copy["records"].as_object().unwrap();
    let kinds: Vec<_> = records.keys().map(String::as_str).collect();
    let expected = [
        "accounts",
        "audit_entries",
        "employees",
        "face_enrollments",
        "photos",
        "punch_credentials",
        "punches",
        "sessions",
    ];
    assert_eq!(kinds, expected);
    assert_eq!(records["punches"][0]["origin_name"], "Front door");
    assert_eq!(records["punches"][0]["site_name"], "Main site");
    let template = &records["face_enrollments"][0]["face"]["templates"][0];
    assert_eq!(template["numbers"].as_array().unwrap().len(), DIMENSIONS);
    assert_eq!(template["model"], "scripted");
    let sign_in = records["audit_entries"].as_array().unwrap().iter();
    let mut sign_in = sign_in.filter(|one| one["action"] == "session.begin");
    assert_eq!(
        sign_in.next().unwrap()["subject"],
        records["accounts"][0]["id"]
    );
    assert!(records["sessions"][0]["browser"]["address"].is_string());
    // Each kept photo, for its person alone, after a confirmation.
    let file = records["photos"][0]["file"].as_str().unwrap();
    let of_grace = app.employee(&grace).await;
    of_grace.get(file).await.problem(404, "not_found");
    let answer = own.request(Method::GET, file).send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "image/jpeg");
    let bytes = answer.bytes().await.unwrap().to_vec();
    assert!([photo("obama"), photo("obama2")].contains(&bytes));
    let other = file.replace("photos", "face_enrollments");
    own.get(&other).await.problem(404, "not_found");
    assert!(records["punch_credentials"][0]["pin"]["set_at"].is_string());
    let text = copy.to_string();
    for secret in ["argon2", "hash", "ciphertext", "sealed", "Grace"] {
        assert!(!text.contains(secret), "{secret}");
    }
    let trail = app.stores.audit.latest(10).await.unwrap();
    let copies = trail.iter().filter(|one| one.action == "employee.export");
    let copies: Vec<_> = copies.map(|one| (&one.subject, &one.detail)).collect();
    let photo = file.rsplit_once('/').unwrap().1;
    assert_eq!(
        copies,
        [(&id, &Some(format!("photo {photo}"))), (&id, &None)]
    );

    let asked = own
        .post("/api/me/erasure-request", json!({}))
        .await
        .expect(200);
    let again = own
        .post("/api/me/erasure-request", json!({}))
        .await
        .expect(200);
    assert!(asked["requested_at"].is_string() && asked == again);
    let manager = app.role(Role::Manager).await;
    let notices = manager.get("/api/notices").await.expect(200);
    let notice = &notices["items"][0];
    assert_eq!(
        (&notice["kind"], &notice["employee"], &notice["since"]),
        (
            &json!("erasure_request"),
            &json!(id),
            &asked["requested_at"]
        )
    );
    assert_eq!(
        of_grace.get("/api/notices").await.expect(200)["items"],
        json!([])
    );
    let person = manager.get(&path).await.expect(200);
    assert_eq!(person["erasure_requested_at"], asked["requested_at"]);
    own.delete("/api/me/erasure-request").await.expect(204);
    assert_eq!(
        manager.get("/api/notices").await.expect(200)["items"],
        json!([])
    );

    app.clock.advance(SignedDuration::from_mins(16));
    for path in [file, "/api/me/export"] {
        own.get(path).await.problem(403, "confirmation_required");
    }
}

#[tokio::test]
async fn people_list_their_own_corrections_and_leave() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let kind = admin
        .post(
            "/api/leave-kinds",
            json!({ "name": "Vacation", "paid": true }),
        )
        .await
        .expect(201);
    let (grace, ada) = (
        admin.add_employee("Grace Hopper", "E7").await,
        admin.add_employee("Ada Lovelace", "E8").await,
    );
    for id in [&grace, &ada] {
        let correction = json!({
            "action": "add", "kind": "in", "at": "2026-01-05T08:00:00Z", "reason": "Forgot to punch",
        });
        let path = format!("/api/employees/{id}/corrections");
        admin.post(&path, correction).await.expect(201);
        let leave = json!({
            "employee": id, "kind": kind["id"], "from": "2026-01-12", "to": "2026-01-14",
        });
        admin.post("/api/leave", leave).await.expect(201);
    }
    // A manager of another site, whose other permissions do not cover the own record.
    let me = manager_of_elsewhere(&app, &admin, &grace).await;
    let list = async |path: &str| {
        let list = me.get(&format!("/api/me/{path}")).await.expect(200);
        list["items"].as_array().unwrap().clone()
    };
    let corrections = list("corrections?state=approved").await;
    assert_eq!(corrections.len(), 1, "{corrections:?}");
    assert_eq!(corrections[0]["name"], "Grace Hopper");
    assert_eq!(list("corrections").await, [] as [Value; 0]);
    let leave = list("leave?from=2026-01-14&to=2026-01-31").await;
    assert_eq!(leave.len(), 1, "{leave:?}");
    assert_eq!(leave[0]["employee"], *grace);
    assert_eq!(list("leave?to=2026-01-11").await, [] as [Value; 0]);
    let refused = me.get("/api/me/corrections?state=open").await;
    assert_eq!(refused.fields(), ["state"]);
}

#[tokio::test]
async fn a_consent_shows_its_text_after_the_text_has_changed() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let id = app.enrolled(&admin).await;
    let (old, text) = ("2026-01.1", "I agree that photos of my face are kept.");
    let earlier = |version: &'static str| {
        move |mut stored: FaceEnrollment| {
            stored.face.as_mut()?.consent.text = version.to_owned();
            Some(stored)
        }
    };
    let change = async |version| {
        let (faces, now) = (&app.stores.faces, app.clock.now());
        let changed = faces.change(id.parse().unwrap(), now, earlier(version));
        assert!(changed.await.unwrap().is_some());
    };
    let name = format!("consent_text:{old}");
    let kept = app.stores.settings.claim(&name, text).await;
    assert_eq!(kept, Ok(true));
    let own = app.employee(&id).await;
    for (version, text) in [(old, json!(text)), ("2025-01.1", Value::Null)] {
        change(version).await;
        let consent = own.get("/api/me/consent").await.expect(200);
        assert_eq!(consent["agreed_text"], text);
        let copy = own.get("/api/me/export").await.expect(200);
        let consent = &copy["records"]["face_enrollments"][0]["face"]["consent"];
        assert_eq!(
            (&consent["text"], &consent["wording"]),
            (&json!(version), &text)
        );
        let found = admin.get(&format!("/api/consent?version={version}")).await;
        match text.is_null() {
            true => drop(found.problem(404, "not_found")),
            false => assert_eq!(found.expect(200)["text"], text),
        }
    }
    // The audit trail has the version of each enrollment.
    let trail = app.stores.audit.latest(20).await.unwrap();
    let entry = trail.iter().find(|one| one.action == "templates.enroll");
    let present = admin.get("/api/consent").await.expect(200);
    let version = present["version"].as_str().unwrap();
    assert!(entry.unwrap().detail.as_ref().unwrap().ends_with(version));
}
