//! The audit trail, as admins read it.

use jiff::SignedDuration;
use rollcall::domain::{accounts::Actor, grants::Role};
use serde_json::{Value, json};

use crate::{
    app::{PASSWORD, TestApp},
    second_factors::with_phone,
};

#[tokio::test]
async fn admins_read_the_audit_trail_in_pages_newest_first() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let kiosk = app.kiosk().await;
    let added = admin.add_employee("Ada Lovelace", "E1").await;
    admin
        .delete(&format!("/api/employees/{added}"))
        .await
        .expect(204);
    let own = kiosk.client.get("/api/device").await.expect(200);
    let device = own["id"].as_str().unwrap().parse().unwrap();
    let clock = rollcall::clock::SystemClock;
    let audit =
        rollcall::service::audit::Audit::new(app.stores.audit.clone(), std::sync::Arc::new(clock));
    let by = [Actor::Device(device), Actor::Operator];
    for actor in by {
        let detail = Some("for a test".to_owned());
        audit
            .record(actor, "test.act", &added, detail)
            .await
            .unwrap();
    }

    let all = admin.get("/api/audit?limit=200").await.expect(200);
    assert_eq!(all["next"], Value::Null);
    let all = all["items"].as_array().unwrap();
    assert!(all.is_sorted_by_key(|entry| std::cmp::Reverse(entry["at"].as_str().unwrap())));
    let of = |action: &str| {
        let mut found = all.iter().filter(|entry| entry["action"] == action);
        found.next().unwrap_or_else(|| panic!("{action}: {all:?}"))
    };
    let me = admin.get("/api/session").await.expect(200);
    for action in ["employee.delete", "employee.add"] {
        let entry = of(action);
        assert_eq!(entry["subject"], added);
        assert_eq!(entry["actor"]["kind"], "account");
        assert_eq!(entry["actor"]["id"], me["account"]["id"]);
        assert_eq!(entry["actor"]["name"], me["account"]["email"]);
        assert_eq!(entry["detail"], Value::Null);
    }
    assert_eq!(
        all[0]["actor"],
        serde_json::json!({"kind": "operator", "id": null, "name": null})
    );
    assert_eq!(all[0]["detail"], "for a test");
    assert_eq!(all[1]["actor"]["kind"], "device");
    assert_eq!(all[1]["actor"]["id"], own["id"]);
    assert_eq!(all[1]["actor"]["name"], own["name"]);

    let (mut paged, mut next) = (Vec::new(), String::new());
    loop {
        let page = admin
            .get(&format!("/api/audit?limit=2&cursor={next}"))
            .await;
        let page = page.expect(200);
        let items = page["items"].as_array().unwrap();
        assert!((1..=2).contains(&items.len()));
        paged.extend(items.clone());
        match page["next"].as_str() {
            Some(cursor) => cursor.clone_into(&mut next),
            None => break,
        }
    }
    assert_eq!(&paged, all);

    let wrong = admin.get("/api/audit?cursor=none").await;
    wrong.problem(422, "invalid");
    assert_eq!(wrong.fields(), ["cursor"]);
    for role in [Role::Manager, Role::Viewer] {
        let client = app.role(role).await;
        client.get("/api/audit").await.problem(403, "forbidden");
    }
}

#[tokio::test]
async fn wrong_proofs_and_ended_sessions_are_in_the_trail() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let viewer = app.role(Role::Viewer).await;
    let me = viewer.get("/api/session").await.expect(200)["account"].clone();
    let email = me["email"].as_str().unwrap();
    let entries = async |action: &str| {
        let trail = admin.get("/api/audit?limit=200").await.expect(200);
        let trail = trail["items"].as_array().unwrap().clone();
        let own = trail
            .into_iter()
            .filter(|entry| entry["subject"] == me["id"]);
        own.filter(|entry| entry["action"] == action)
            .collect::<Vec<_>>()
    };
    // Many, and one entry a minute.
    for _ in 0..3 {
        let wrong = json!({ "password": "wrong horse battery" });
        let refused = viewer.post("/api/session/confirm", wrong).await;
        refused.problem(422, "invalid");
    }
    let refused = entries("session.refused").await;
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0]["detail"], "password in a session from 127.0.0.1");
    assert_eq!(refused[0]["actor"]["kind"], "system");

    with_phone(&app, &viewer).await;
    app.clock.advance(SignedDuration::from_mins(1));
    let thief = app.anybody();
    let ticket = thief.sign_in(email, PASSWORD).await.expect(202)["ticket"].clone();
    let wrong = json!({ "ticket": ticket, "recovery_code": "guess" });
    let wrong = thief.post("/api/session/second-factor", wrong).await;
    wrong.problem(403, "wrong_second_factor");
    let refused = entries("session.refused").await;
    assert_eq!(refused.len(), 2);
    assert_eq!(refused[0]["detail"], "recovery code");

    let sessions = viewer.get("/api/sessions").await.expect(200);
    let id = sessions["items"][0]["id"].as_str().unwrap();
    let ended = viewer.delete(&format!("/api/sessions/{id}")).await;
    ended.expect(204);
    let ended = entries("session.end").await;
    assert_eq!((ended.len(), &ended[0]["detail"]), (1, &json!(id)));
}
