//! Accounts as admins manage them, and what the person of an account changes.

use rollcall::{
    domain::{
        audit::AuditEntry,
        grants::{Role, Scope},
        ids::SiteId,
        record::{Index, Record},
    },
    ports::{Parts, Range},
    repositories::KINDS,
};
use serde_json::{Value, json};

use crate::{
    app::{Client, PASSWORD, TestApp},
    second_factors::with_phone,
};

async fn find(admin: &Client, email: &str) -> Value {
    let list = admin.get(&format!("/api/accounts?q={email}")).await;
    list.expect(200)["items"][0].clone()
}

fn address(account: &Value) -> String {
    format!("/api/accounts/{}", account["id"].as_str().unwrap())
}

#[tokio::test]
async fn accounts_are_listed_with_grants_employee_and_last_sign_in() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    app.grant(Role::Manager, Scope::Site(SiteId::DEFAULT)).await;
    let employee = admin.add_employee("Grace Hopper", "E7").await;
    app.employee(&employee).await;
    let list = async |query: &str| {
        let list = admin
            .get(&format!("/api/accounts{query}"))
            .await
            .expect(200);
        let items = list["items"].as_array().unwrap();
        let emails = items
            .iter()
            .map(|one| one["email"].as_str().unwrap().to_owned());
        emails.collect::<Vec<_>>()
    };
    let all = [
        "admin0@example.com",
        "employee2@example.com",
        "manager1@example.com",
    ];
    assert_eq!(list("").await, all);
    assert_eq!(list("?q=MANAGER1").await, all[2..]);
    assert_eq!(list("?q=ada").await, all, "by name");
    assert_eq!(list("?role=employee").await, all[1..2]);
    assert!(list("?active=false").await.is_empty());
    let wrong = admin.get("/api/accounts?role=boss").await;
    wrong.problem(422, "invalid");
    let page = admin.get("/api/accounts?limit=2").await.expect(200);
    let cursor = page["next"].as_str().unwrap();
    assert_eq!(list(&format!("?limit=2&cursor={cursor}")).await, all[2..]);

    let own = find(&admin, "employee2").await;
    assert_eq!(
        own["employee"],
        json!({ "id": employee, "name": "Grace Hopper", "code": "E7" })
    );
    let manager = find(&admin, "manager1").await;
    assert_eq!(manager["employee"], Value::Null);
    let site = SiteId::DEFAULT.to_string();
    let grants =
        json!([{ "role": "manager", "scope": "site", "site": site, "site_name": "Main site" }]);
    assert_eq!(manager["grants"], grants);
    assert_eq!(manager["active"], true);
    let read = admin.get(&address(&manager)).await.expect(200);
    assert_eq!(read, manager);
}

#[tokio::test]
async fn an_account_gets_other_grants_and_is_disabled_enabled_and_removed() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let client = app.role(Role::Viewer).await;
    let employee = admin.add_employee("Grace Hopper", "E7").await;
    let yard = admin.add_site("Yard", "UTC").await;
    let account = find(&admin, "viewer1").await;
    let path = address(&account);
    let change = async |body: Value| admin.patch(&path, body).await;

    let grants = json!([{ "role": "manager", "site": yard }, { "role": "employee" }]);
    let both = json!({ "employee": employee, "grants": grants, "name": "Grace" });
    let changed = change(both).await.expect(200);
    assert_eq!(changed["name"], "Grace");
    assert_eq!(changed["employee"]["code"], "E7");
    assert_eq!(changed["grants"][0]["site_name"], "Yard");
    assert_eq!(changed["grants"][1]["scope"], "own");
    let session = client.get("/api/session").await.expect(200);
    assert_eq!(session["account"]["employee"], employee, "at once");

    for (body, field, code) in [
        (json!({ "grants": [] }), "grants", "wrong_count"),
        (
            json!({ "grants": [{ "role": "boss" }] }),
            "grants[0].role",
            "not_one_of",
        ),
        (
            json!({ "grants": [{ "role": "admin", "site": yard }] }),
            "grants[0].site",
            "role_without_site",
        ),
        (
            json!({ "grants": [{ "role": "employee" }], "employee": null }),
            "employee",
            "needs_employee",
        ),
        (
            json!({ "grants": [{ "role": "viewer", "site": path.rsplit('/').next() }] }),
            "grants",
            "unknown_site",
        ),
        (
            json!({ "employee": path.rsplit('/').next() }),
            "employee",
            "unknown_employee",
        ),
        (json!({ "name": " " }), "name", "empty"),
        (
            json!({ "email": "other@example.com" }),
            "email",
            "unknown_field",
        ),
    ] {
        let refused = change(body).await;
        let problem = refused.problem(422, "invalid");
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
        assert_eq!(problem["errors"][0]["code"], code, "{problem}");
    }

    let disabled = change(json!({ "active": false })).await.expect(200);
    assert_eq!(disabled["active"], false);
    client
        .get("/api/session")
        .await
        .problem(401, "unauthenticated");
    let refused = client.sign_in("viewer1@example.com", PASSWORD).await;
    refused.problem(401, "bad_credentials");
    change(json!({ "active": true })).await.expect(200);
    client
        .get("/api/session")
        .await
        .problem(401, "unauthenticated");
    client
        .sign_in("viewer1@example.com", PASSWORD)
        .await
        .expect(200);

    assert_eq!(admin.delete(&path).await.status, 204);
    client
        .get("/api/session")
        .await
        .problem(401, "unauthenticated");
    admin.get(&path).await.problem(404, "not_found");
    admin.delete(&path).await.problem(404, "not_found");
    change(json!({})).await.problem(404, "not_found");
    // The address and the employee are free again.
    app.employee(&employee).await;
}

/// Returns the kinds of the records, except the audit trail, that mention an ID.
async fn mentions(app: &TestApp, id: &str) -> Vec<&'static str> {
    let mut kinds = Vec::new();
    for kind in KINDS.iter().filter(|kind| **kind != AuditEntry::KIND) {
        let (engine, range) = (&app.stores.engine, Range::all());
        let scan = engine.scan(kind, Index::ID, &range, 1000, Parts::Body);
        let found = scan.await.unwrap();
        if found
            .iter()
            .any(|one| one.id == id || one.body.contains(id))
        {
            kinds.push(kind.name);
        }
    }
    kinds
}

#[tokio::test]
async fn nothing_of_an_account_stays_when_it_is_removed() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let client = app.role(Role::Viewer).await;
    let me = client.get("/api/session").await.expect(200)["account"].clone();
    let (path, id) = (address(&me), me["id"].as_str().unwrap());
    with_phone(&app, &client).await;
    let new = json!({ "name": "x", "permissions": ["read"] });
    let revoked = client.post("/api/tokens", new.clone()).await.expect(201);
    let revoked = format!("/api/tokens/{}", revoked["id"].as_str().unwrap());
    client.delete(&revoked).await.expect(204);
    let made = client.post("/api/tokens", new).await.expect(201);
    let token = made["id"].as_str().unwrap();
    let program = app.anybody().bearer(made["token"].as_str().unwrap());
    program.get("/api/employees").await.expect(200);
    let off = json!({ "off": ["sign_in"] });
    client.put("/api/account/mail", off).await.expect(200);
    let reset = format!("{path}/password-reset");
    admin.post(&reset, json!({})).await.expect(201);
    let expected = [
        "accounts",
        "mail_preferences",
        "second_factors",
        "api_tokens",
        "invitations",
        "sessions",
        "known_browsers",
    ];
    assert_eq!(mentions(&app, id).await, expected);
    assert_eq!(
        mentions(&app, token).await,
        ["api_tokens", "api_token_uses"]
    );
    let kept = id.parse().unwrap();
    let factors = app.stores.second_factors.of(kept).await.unwrap();

    admin.delete(&path).await.expect(204);
    for id in [id, token] {
        assert!(mentions(&app, id).await.is_empty());
    }
    admin.delete(&path).await.problem(404, "not_found");
    // As if the store had failed after the account was removed: the removal can be repeated.
    let again = |_| Some(factors.clone());
    let left = app.stores.second_factors.change(kept, again).await;
    assert!(left.unwrap().is_some());
    admin.delete(&path).await.expect(204);
    assert!(mentions(&app, id).await.is_empty());
}

#[tokio::test]
async fn the_last_admin_stays() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let path = address(&find(&admin, "admin0").await);
    let viewer = json!({ "grants": [{ "role": "viewer" }] });
    for answer in [
        admin.patch(&path, viewer.clone()).await,
        admin.patch(&path, json!({ "active": false })).await,
        admin.delete(&path).await,
    ] {
        answer.problem(409, "last_admin");
    }
    let other = app.admin().await;
    admin.patch(&path, viewer).await.expect(200);
    admin.get("/api/accounts").await.problem(403, "forbidden");
    let path = address(&find(&other, "admin1").await);
    other.delete(&path).await.problem(409, "last_admin");
}
