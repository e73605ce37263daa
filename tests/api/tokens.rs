//! API tokens: what programs may do on behalf of accounts.

use jiff::SignedDuration;
use rollcall::domain::{
    accounts::Account,
    grants::{Access, Grant, Role, Scope},
    ids::SiteId,
    text::Email,
};
use serde_json::{Value, json};

use crate::{
    app::{Client, PASSWORD, TestApp, at_once, count, photo},
    places::{Of, Places},
    second_factors::with_phone,
};

/// Changes the first account of a role, as a command on the server would.
async fn change(app: &TestApp, role: Role, change: impl Fn(Account) -> Account) {
    for number in 0..9 {
        let email = Email::parse(&format!("{role}{number}@example.com")).unwrap();
        let found = app.stores.accounts.find_by_email(&email).await.unwrap();
        if let Some(account) = found {
            let changed = app.stores.accounts.change(account.id, change).await;
            assert!(changed.unwrap().is_some());
            return;
        }
    }
    panic!("there is no {role}");
}

fn access(role: Role, scope: Scope) -> Access {
    Access::new(None, [Grant::new(role, scope).unwrap()]).unwrap()
}

fn reading(name: &str) -> Value {
    json!({ "name": name, "permissions": ["read"] })
}

async fn tokens(client: &Client) -> Vec<Value> {
    let list = client.get("/api/tokens").await.expect(200);
    list["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_program_uses_the_api_as_its_token_permits() {
    let app = TestApp::start().await;
    let manager = app.role(Role::Manager).await;
    let new = json!({ "name": "Payroll", "permissions": ["read", "correct"], "days": 7 });
    let answer = manager.post("/api/tokens", new).await;
    let made = answer.expect(201);
    let token = made["token"].as_str().unwrap();
    assert!(token.starts_with("rc_") && token.len() == 46, "{token}");
    assert_eq!(made["permissions"], json!(["read", "correct"]));
    assert_eq!(made["account_email"], "manager0@example.com");
    assert_eq!(answer.header("cache-control"), "no-store");
    let list = manager.get("/api/tokens").await;
    assert!(!list.text.contains(token), "it is shown once");
    let listed = &list.expect(200)["items"][0];
    assert_eq!(
        (&listed["id"], &listed["used_at"]),
        (&made["id"], &Value::Null)
    );

    let program = app.anybody().bearer(token);
    let added = program.add_employee("Ann", "E7").await;
    program.get("/api/employees").await.expect(200);
    // The manager may, the token may not.
    for path in ["/api/status", "/api/sites", "/api/devices", "/api/cameras"] {
        manager.get(path).await.expect(200);
        program.get(path).await.problem(403, "forbidden");
    }
    let used = tokens(&manager).await[0]["used_at"].clone();
    assert!(used.is_string());
    // The use is written once an hour.
    app.clock.advance(SignedDuration::from_mins(59));
    program.get("/api/employees").await.expect(200);
    assert_eq!(tokens(&manager).await[0]["used_at"], used);
    app.clock.advance(SignedDuration::from_mins(2));
    program.get("/api/employees").await.expect(200);
    assert_ne!(tokens(&manager).await[0]["used_at"], used);

    let trail = app.admin().await.get("/api/audit").await.expect(200);
    let entries = trail["items"].as_array().unwrap();
    let entry = |action: &str| entries.iter().find(|entry| entry["action"] == action);
    let actor = json!({
        "kind": "token", "id": made["id"], "name": "Payroll of manager0@example.com",
    });
    assert_eq!(entry("employee.add").unwrap()["actor"], actor);
    assert_eq!(entry("employee.add").unwrap()["subject"], added);
    let makes = entry("api_token.make").unwrap();
    assert_eq!(makes["actor"]["kind"], "account");
    let detail = makes["detail"].as_str().unwrap();
    assert!(detail.starts_with("read, correct until 2"), "{detail}");
}

/// Checks that the token of a program is not valid anymore.
async fn ended(program: Client) {
    let refused = program.get("/api/employees").await;
    refused.problem(401, "unauthenticated");
    assert!(refused.header("www-authenticate").contains("invalid_token"));
}

#[tokio::test]
async fn a_token_ends_when_it_expires_or_is_revoked() {
    let app = TestApp::start().await;
    let viewer = app.role(Role::Viewer).await;
    let program = app.program(&viewer, reading("By default")).await;
    app.clock.advance(SignedDuration::from_hours(24 * 90 - 1));
    program.get("/api/employees").await.expect(200);
    app.clock.advance(SignedDuration::from_hours(1));
    ended(program).await;

    // The session of the account has ended meanwhile.
    let viewer = app.role(Role::Viewer).await;
    let program = app.program(&viewer, reading("Revoked")).await;
    let id = tokens(&viewer).await[0]["id"].clone();
    let path = format!("/api/tokens/{}", id.as_str().unwrap());
    let manager = app.role(Role::Manager).await;
    manager.delete(&path).await.problem(404, "not_found");
    program.get("/api/employees").await.expect(200);
    viewer.delete(&path).await.expect(204);
    ended(program).await;
    assert_eq!(tokens(&viewer).await, [] as [Value; 0]);
    viewer.delete(&path).await.problem(404, "not_found");

    // An admin sees and revokes everyone's, also expired ones.
    let admin = app.admin().await;
    let program = app.program(&manager, reading("Of the manager")).await;
    manager
        .get("/api/tokens?everyone=true")
        .await
        .problem(403, "forbidden");
    let first = admin.get("/api/tokens?everyone=true&limit=1").await;
    let first = first.expect(200);
    let cursor = first["next"].as_str().unwrap();
    let rest = format!("/api/tokens?everyone=true&limit=1&cursor={cursor}");
    let rest = admin.get(&rest).await.expect(200);
    let names = [&first["items"][0]["name"], &rest["items"][0]["name"]];
    assert_eq!(names, ["By default", "Of the manager"]);
    let id = rest["items"][0]["id"].as_str().unwrap();
    admin.delete(&format!("/api/tokens/{id}")).await.expect(204);
    ended(program).await;
}

#[tokio::test]
async fn a_token_never_has_more_than_its_account_has_now() {
    let app = TestApp::start().await;
    let places = Places::in_app(&app).await;
    let manager = app.role(Role::Manager).await;
    let new = json!({ "name": "All", "permissions": ["read", "correct", "look"] });
    let program = app.program(&manager, new).await;
    let near = places.add(&app, Of::Employee, places.home, false).await;
    let far = places
        .add(&app, Of::Employee, places.elsewhere, false)
        .await;
    let [near, far] = [near, far].map(|id| format!("/api/employees/{id}"));
    let new = json!({ "name": "x", "code": "y", "site": places.home.to_string() });

    program.get(&far).await.expect(200);
    change(&app, Role::Manager, |account| Account {
        access: access(Role::Viewer, Scope::Site(places.home)),
        ..account
    })
    .await;
    program.get(&near).await.expect(200);
    program.get(&far).await.problem(404, "not_found");
    let refused = program.post("/api/employees", new.clone()).await;
    refused.problem(403, "forbidden");

    // It does not get more than it had, either.
    let admin = access(Role::Admin, Scope::Everything);
    change(&app, Role::Manager, |account| Account {
        access: admin.clone(),
        ..account
    })
    .await;
    program.post("/api/employees", new).await.expect(201);
    program.get("/api/audit").await.problem(403, "forbidden");

    change(&app, Role::Manager, |account| Account {
        active: false,
        ..account
    })
    .await;
    program.get(&near).await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_token_of_a_site_covers_nothing_else() {
    let app = TestApp::start().await;
    let places = Places::in_app(&app).await;
    let admin = app.admin().await;
    let sites = [places.home.to_string()];
    let new = json!({
        "name": "Harbor", "permissions": ["read", "survey", "correct", "look"], "sites": sites,
    });
    let made = admin.post("/api/tokens", new).await.expect(201);
    assert_eq!(made["site_names"], json!(["Harbor"]));
    let program = app.anybody().bearer(made["token"].as_str().unwrap());
    for (of, path) in [
        (Of::Employee, "/api/employees"),
        (Of::Punch, "/api/punches"),
        (Of::PunchPicture, "/api/punches"),
        (Of::Site, "/api/sites"),
        (Of::Camera, "/api/cameras"),
    ] {
        let suffix = if of == Of::PunchPicture {
            "/picture"
        } else {
            ""
        };
        for (site, status) in [(places.home, 200), (places.elsewhere, 404)] {
            let id = places.add(&app, of, site, false).await;
            let answer = program.get(&format!("{path}/{id}{suffix}")).await;
            assert_eq!(answer.status, status, "{path}{suffix}: {}", answer.text);
            if suffix.is_empty() {
                let list = program.get(path).await.expect(200).to_string();
                assert_eq!(list.contains(&id), status == 200, "{path}");
            }
        }
    }
    let far = json!({ "name": "x", "code": "y", "site": places.elsewhere.to_string() });
    let refused = program.post("/api/employees", far).await;
    assert_eq!(refused.fields(), ["site"]);
}

#[tokio::test]
async fn a_token_has_only_what_its_maker_has() {
    let app = TestApp::start().await;
    let places = Places::in_app(&app).await;
    let of_site = app.grant(Role::Manager, Scope::Site(places.home)).await;
    let admin = app.admin().await;
    let [home, far] = [places.home, places.elsewhere].map(|site| site.to_string());
    let token = |permissions: &[&str], sites: Value| json!({ "name": "x", "permissions": permissions, "sites": sites });
    for (client, new, field, code) in [
        (
            &admin,
            token(&[], Value::Null),
            "permissions",
            "wrong_count",
        ),
        (
            &admin,
            token(&["punch"], Value::Null),
            "permissions[0]",
            "not_one_of",
        ),
        (&admin, token(&["read"], json!([])), "sites", "wrong_count"),
        (
            &admin,
            token(&["read"], json!(["x"])),
            "sites[0]",
            "not_an_id",
        ),
        (
            &admin,
            token(&["administer"], json!([home])),
            "sites",
            "excluded",
        ),
        (
            &admin,
            json!({ "name": "x", "permissions": ["read"], "days": 366 }),
            "days",
            "out_of_range",
        ),
        (
            &admin,
            json!({ "name": "x", "permissions": ["read"], "days": 0 }),
            "days",
            "out_of_range",
        ),
        (
            &of_site,
            token(&["administer"], Value::Null),
            "permissions[0]",
            "not_one_of",
        ),
        (
            &of_site,
            token(&["enroll"], Value::Null),
            "permissions[0]",
            "not_one_of",
        ),
        (
            &of_site,
            token(&["read"], json!([far])),
            "sites",
            "unknown_site",
        ),
        (
            &of_site,
            token(&["read"], json!([home, SiteId::DEFAULT.to_string()])),
            "sites",
            "unknown_site",
        ),
    ] {
        let refused = client.post("/api/tokens", new).await;
        let problem = refused.problem(422, "invalid");
        let error = &problem["errors"][0];
        assert_eq!(
            (&error["field"], &error["code"]),
            (&json!(field), &json!(code)),
            "{problem}"
        );
    }
    let far = places
        .add(&app, Of::Employee, places.elsewhere, false)
        .await;
    let program = app.program(&of_site, token(&["read"], Value::Null)).await;
    let far = program.get(&format!("/api/employees/{far}")).await;
    far.problem(404, "not_found");
    // An admin may make one that administers, by asking for it.
    let program = app
        .program(&admin, token(&["administer"], Value::Null))
        .await;
    program.get("/api/audit").await.expect(200);
    program
        .get("/api/employees")
        .await
        .problem(403, "forbidden");
}

#[tokio::test]
async fn an_account_has_at_most_fifty_tokens() {
    let app = TestApp::start().await;
    let viewer = app.role(Role::Viewer).await;
    for _ in 0..50 {
        viewer.post("/api/tokens", reading("x")).await.expect(201);
    }
    let refused = viewer.post("/api/tokens", reading("x")).await;
    refused.problem(409, "too_many_tokens");
    let id = tokens(&viewer).await[0]["id"].clone();
    let path = format!("/api/tokens/{}", id.as_str().unwrap());
    viewer.delete(&path).await.expect(204);
    viewer.post("/api/tokens", reading("x")).await.expect(201);
    let other = app.role(Role::Viewer).await;
    other.post("/api/tokens", reading("x")).await.expect(201);
}

#[tokio::test]
async fn many_requests_at_once_do_not_make_more_than_fifty_tokens() {
    let app = TestApp::start().await;
    let viewer = app.role(Role::Viewer).await;
    let answers = at_once(60, |_| viewer.post("/api/tokens", reading("x"))).await;
    let made = count(&answers).get(&201).copied().unwrap_or_default();
    assert!(made <= 50, "{made}");
    assert_eq!(tokens(&viewer).await.len(), made);
}

#[tokio::test]
async fn tokens_end_when_a_thief_could_have_made_them() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let viewer = app.role(Role::Viewer).await;
    let me = viewer.get("/api/session").await.expect(200);
    let path = format!("/api/accounts/{}", me["account"]["id"].as_str().unwrap());
    let email = me["account"]["email"].as_str().unwrap();
    let works = async |program: &Client| program.get("/api/employees").await.status == 200;

    let program = app.program(&viewer, reading("x")).await;
    let change = async |present: &str, password: &str, revoke: bool| {
        let body = json!({ "present": present, "password": password, "revoke_tokens": revoke });
        viewer.put("/api/account/password", body).await.expect(204);
    };
    let other = "another long pass phrase";
    change(PASSWORD, other, false).await;
    assert!(works(&program).await, "the person may keep them");
    change(other, PASSWORD, true).await;
    assert!(!works(&program).await);
    assert!(tokens(&viewer).await.is_empty());

    let program = app.program(&viewer, reading("x")).await;
    with_phone(&app, &viewer).await;
    assert!(works(&program).await);
    let reset = admin.delete(&format!("{path}/second-factor")).await;
    reset.expect(204);
    assert!(!works(&program).await);

    viewer.sign_in(email, PASSWORD).await.expect(200);
    let program = app.program(&viewer, reading("x")).await;
    let made = admin
        .post(&format!("{path}/password-reset"), json!({}))
        .await;
    let link = made.expect(201)["link"].as_str().unwrap().to_owned();
    let token = link.split_once("/join#").unwrap().1;
    assert!(works(&program).await, "the link is not used yet");
    let body = json!({ "token": token, "password": other });
    let accepted = app.anybody().post("/api/invitations/accept", body).await;
    accepted.expect(200);
    assert!(!works(&program).await);

    // The account ends with its employee.
    let grace = admin.add_employee("Grace Hopper", "E7").await;
    let own = app.employee(&grace).await;
    app.program(&own, reading("x")).await;
    let deleted = admin.delete(&format!("/api/employees/{grace}")).await;
    deleted.expect(204);
    let left = admin.get("/api/tokens?everyone=true").await.expect(200);
    assert_eq!(left["items"], json!([]));
    let trail = admin.get("/api/audit").await.expect(200);
    let trail = trail["items"].as_array().unwrap().iter();
    let revoked = trail.filter(|entry| entry["action"] == "api_token.revoke");
    assert_eq!(revoked.count(), 4);
}

#[tokio::test]
async fn an_account_and_its_tokens_are_one_person() {
    let app = TestApp::with(|options| options.settings.enroll_limit = 2).await;
    let admin = app.admin().await;
    let new = json!({ "name": "x", "permissions": ["read", "correct", "request", "enroll"] });
    let program = app.program(&admin, new).await;

    // Two people must decide.
    let ann = admin.add_employee("Ann", "A1").await;
    let rules = format!("/api/sites/{}/rules/2020-01-01", SiteId::DEFAULT);
    let four_eyes = json!({ "rules": {}, "four_eyes": true });
    admin.put(&rules, four_eyes).await.expect(201);
    let path = format!("/api/employees/{ann}/corrections");
    let at = "2026-03-02T08:00:00Z";
    let body = json!({ "action": "add", "kind": "in", "at": at, "reason": "Forgot" });
    let made = program.post(&path, body).await.expect(201);
    assert_eq!(made["made_by"]["kind"], "token");
    let path = format!("/api/corrections/{}", made["id"].as_str().unwrap());
    let own = admin.post(&format!("{path}/approve"), json!({})).await;
    own.problem(403, "four_eyes");
    let withdrawn = admin.post(&format!("{path}/withdraw"), json!({})).await;
    assert_eq!(withdrawn.expect(200)["state"], "withdrawn");

    // Both use up one limit.
    for client in [&admin, &program] {
        client.enroll(&ann, &[photo("obama")]).await.expect(201);
    }
    let refused = program.enroll(&ann, &[photo("obama")]).await;
    refused.problem(429, "too_many_enrollments");
}
