//! The audit trail, as admins read it.

use rollcall::domain::{accounts::Actor, grants::Role};
use serde_json::Value;

use crate::app::TestApp;

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
