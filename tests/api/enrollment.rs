//! Enrollment of faces.

use reqwest::Method;
use rollcall::domain::accounts::Actor;
use serde_json::{Value, json};

use crate::app::{TestApp, enroll_form, photo};

#[tokio::test]
async fn photos_are_enrolled_with_consent_and_deleted_on_request() {
    let app = TestApp::with(|options| options.keep_photos = true).await;
    let admin = app.admin().await;
    let id = admin.add_employee("Barack Obama", "E1").await;
    let photos = [photo("obama"), photo("obama2")];
    let refused = admin
        .post_form("/api/enroll", enroll_form(&id, &photos))
        .await;
    refused.problem(422, "consent_required");

    let enrolled = admin.enroll(&id, &photos).await.expect(201);
    assert_eq!(enrolled["templates"], 2);
    assert_eq!(enrolled["employee"]["enrolled"], true);
    assert!(enrolled["employee"]["consent"]["at"].is_string());
    for index in [0, 1] {
        let verdict = &enrolled["photos"][index];
        assert_eq!(
            (&verdict["index"], &verdict["accepted"]),
            (&json!(index), &json!(true))
        );
        assert!(verdict["quality"]["width"].as_f64().unwrap() > 100.0);
        assert!(verdict.get("reason").is_none());
    }

    let path = format!("/api/employees/{id}/templates");
    let answer = admin.get(&path).await;
    let templates = answer.expect(200);
    assert_eq!(templates["items"].as_array().unwrap().len(), 2);
    assert_eq!(templates["photos"], 2);
    assert!(templates["consent"]["text"].is_string());
    let keys: Vec<_> = templates["items"][0].as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        ["created_at", "grown", "id", "model", "quality"],
        "the numbers are never returned"
    );

    admin.delete(&path).await.expect(204);
    let templates = admin.get(&path).await.expect(200);
    let none = json!({"items": [], "photos": 0, "consent": null});
    assert_eq!(templates, none);
    let employee = admin.get(&format!("/api/employees/{id}")).await.expect(200);
    assert_eq!(
        (&employee["enrolled"], &employee["consent"]),
        (&json!(false), &Value::Null)
    );

    let audit = app.stores.audit.latest(20).await.unwrap();
    for action in ["templates.enroll", "templates.delete"] {
        let entry = audit.iter().find(|entry| entry.action == action).unwrap();
        assert_eq!(entry.subject, id);
        assert!(matches!(entry.actor, Actor::Account(_)));
    }
}

#[tokio::test]
async fn every_photo_gets_an_actionable_verdict() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let id = admin.add_employee("Barack Obama", "E1").await;
    let both = b"both".to_vec();
    app.scripted.shows(&both, "obama~0.1#4 | biden width=110");
    let photos = [photo("obama"), both.clone(), b"no image".to_vec()];
    let enrolled = admin.enroll(&id, &photos).await.expect(201);
    assert_eq!(enrolled["templates"], 1);
    let verdicts = enrolled["photos"].as_array().unwrap();
    let reason = |index: usize| verdicts[index]["reason"].as_str();
    assert_eq!(
        (reason(0), reason(1), reason(2)),
        (None, Some("several_faces"), Some("unreadable"))
    );
    assert!(
        verdicts[1]["detail"]
            .as_str()
            .unwrap()
            .starts_with("two faces")
    );

    let other = admin.add_employee("Nobody", "E2").await;
    let refused = admin.enroll(&other, &[both]).await;
    let problem = refused.problem(422, "no_usable_photo");
    assert_eq!(problem["photos"][0]["reason"], "several_faces");
    assert_eq!(problem["photos"][0]["accepted"], false);
}

#[tokio::test]
async fn a_face_of_another_employee_is_refused_unless_an_admin_overrides() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let first = app.enrolled(&admin).await;
    let twin = admin.add_employee("Twin", "E2").await;
    let refused = admin.enroll(&twin, &[photo("obama3")]).await;
    let problem = refused.problem(409, "duplicate_person");
    let other = json!({"id": first, "name": "Barack Obama", "code": "E1"});
    assert_eq!(problem["other"], other);
    assert_eq!(problem["photos"][0]["accepted"], true);

    let form = enroll_form(&twin, &[photo("obama3")])
        .text("consent", "true")
        .text("override", "true");
    let enrolled = admin.post_form("/api/enroll", form).await.expect(201);
    assert_eq!(enrolled["templates"], 1);
    let audit = app.stores.audit.latest(20).await.unwrap();
    let entry = audit
        .iter()
        .find(|entry| entry.action == "templates.override");
    let entry = entry.unwrap();
    assert_eq!(entry.subject, twin);
    assert!(entry.detail.as_ref().unwrap().contains(&first));

    // From now on nobody can say which of the two it is, and the answer names neither.
    let nobody = app.kiosk().await.punch(&photo("obama3")).await.expect(200);
    assert_eq!(
        (&nobody["outcome"], &nobody["reason"]),
        (&json!("nobody"), &json!("look_alike"))
    );
    let detail = "this face looks too much like a colleague's: ask a manager";
    assert_eq!(nobody["detail"], detail);
    assert!(nobody.get("name").is_none() && nobody.get("punch").is_none());
    let found = admin
        .post_bytes("/api/identify", "image/jpeg", photo("obama3"))
        .await
        .expect(200);
    let face = &found["faces"][0];
    assert_eq!(
        (&face["decision"], &face["reason"]),
        (&json!("nobody"), &json!("look_alike"))
    );
    assert_eq!(face["candidates"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn invalid_forms_are_refused_with_a_reason() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let id = admin.add_employee("A", "1").await;
    let small = || b"x".to_vec();

    let unknown = admin
        .enroll("0199f3a0-7c1e-7d5a-9f0e-2b7f6f0c1a2b", &[small()])
        .await;
    unknown.problem(404, "not_found");
    for (form, field) in [
        (
            enroll_form("nonsense", &[small()]).text("consent", "true"),
            "employee",
        ),
        (
            enroll_form(&id, &[small()]).text("consent", "perhaps"),
            "consent",
        ),
        (
            enroll_form(&id, &[small()]).text("override", "1"),
            "override",
        ),
        (enroll_form(&id, &[]).text("consent", "true"), "photo"),
        (
            enroll_form(&id, &vec![small(); 11]).text("consent", "true"),
            "photo",
        ),
        (enroll_form(&id, &[small()]).text("color", "red"), "color"),
        (
            enroll_form(&id, &[small()]).text("employee", id.clone()),
            "employee",
        ),
    ] {
        let answer = admin.post_form("/api/enroll", form).await;
        answer.problem(422, "invalid");
        assert_eq!(answer.fields(), [field]);
    }
    let path = format!("/api/employees/{id}");
    admin
        .patch(&path, json!({"active": false}))
        .await
        .expect(200);
    let inactive = admin.enroll(&id, &[small()]).await;
    assert_eq!(inactive.fields(), ["employee"]);

    let json = admin.post("/api/enroll", json!({"employee": id})).await;
    json.problem(415, "unsupported_type");
    let bare = admin.post_bytes("/api/enroll", "image/jpeg", small()).await;
    bare.problem(415, "unsupported_type");
    let untyped = admin.send(admin.request(Method::POST, "/api/enroll")).await;
    untyped.problem(415, "unsupported_type");
    let multipart = "multipart/form-data; boundary=x";
    for body in [
        "",
        "--x\r\n",
        "--x\r\nContent-Disposition: form-data; name=\"photo\"\r\n\r\nabc",
    ] {
        let cut = admin.post_bytes("/api/enroll", multipart, body).await;
        assert!(
            [400, 422].contains(&cut.status.as_u16()),
            "{body:?}: {}",
            cut.text
        );
        assert_eq!(cut.header("content-type"), "application/problem+json");
    }
    let boundless = admin
        .post_bytes("/api/enroll", "multipart/form-data", "x")
        .await;
    boundless.problem(400, "malformed");
}
