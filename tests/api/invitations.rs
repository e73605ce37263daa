//! Invitations: accounts, self-enrollment and new passwords by link.

use std::time::Duration;

use jiff::SignedDuration;
use rollcall::{
    domain::{
        grants::{Role, Scope},
        ids::SiteId,
        invitations::Invitation,
    },
    ports::Quota,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::app::{Answer, Client, PASSWORD, TestApp, at_once, count, images, photo};

const NEW: &str = "another long pass phrase";

/// Returns the token of the link in an answer.
fn token(answer: &Value) -> String {
    let link = answer["link"].as_str().unwrap();
    let token = link.strip_prefix("https://rollcall.example/join#");
    token.unwrap().to_owned()
}

async fn invite(client: &Client, body: Value) -> Value {
    client.post("/api/invitations", body).await.expect(201)
}

async fn look(app: &TestApp, token: &str) -> Answer {
    let body = json!({ "token": token });
    app.anybody().post("/api/invitations/look", body).await
}

async fn accept(client: &Client, token: &str, password: &str) -> Answer {
    let body = json!({ "token": token, "password": password });
    client.post("/api/invitations/accept", body).await
}

async fn enroll(app: &TestApp, token: &str, consent: &str, photos: &[Vec<u8>]) -> Answer {
    let form = images("photo", photos).text("token", token.to_owned());
    let form = form.text("consent", consent.to_owned());
    app.anybody()
        .post_form("/api/invitations/enroll", form)
        .await
}

/// Every token that cannot be used gets the same answer.
#[track_caller]
fn ended(answer: &Answer) {
    let problem = answer.problem(410, "invitation_ended");
    let expected = "this link cannot be used: it was used before, has expired or was revoked; ask for a new one";
    assert_eq!(problem["detail"], expected);
}

#[tokio::test]
async fn an_invited_person_creates_the_account_once() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let yard = admin.add_site("Yard", "UTC").await;
    let grants = json!([{ "role": "manager", "site": yard }]);
    let body = json!({ "email": "Grace@Example.com", "name": "Grace", "grants": grants });
    let made = invite(&admin, body.clone()).await;
    assert_eq!(made["email"], "grace@example.com");
    assert_eq!(made["purpose"], "account");
    assert_eq!(made["grants"][0]["site_name"], "Yard");
    assert_eq!(made["sent"], false);
    let token = token(&made);

    let offer = look(&app, &token).await.expect(200);
    let expected = json!({ "purpose": "account", "name": "Grace", "site": null, "consent": null });
    assert_eq!(offer, expected, "and nothing more");

    // A password that is refused does not use the link up.
    let client = app.anybody();
    for weak in ["short", "passwordpassword", "the grace umbrella"] {
        let refused = accept(&client, &token, weak).await;
        refused.problem(422, "invalid");
        assert_eq!(refused.fields(), ["password"], "{weak}");
    }
    let accepted = accept(&client, &token, NEW).await.expect(200);
    assert_eq!(accepted["account"]["grants"][0]["role"], "manager");
    client.get("/api/session").await.expect(200);
    app.anybody()
        .sign_in("grace@example.com", NEW)
        .await
        .expect(200);
    ended(&accept(&app.anybody(), &token, NEW).await);
    ended(&look(&app, &token).await);
    let list = admin.get("/api/invitations").await.expect(200);
    assert_eq!(list["items"], json!([]));
    let again = admin.post("/api/invitations", body).await;
    again.problem(409, "conflict");

    let trail = admin.get("/api/audit").await.expect(200);
    let actions = trail["items"].as_array().unwrap().iter();
    let actions: Vec<_> = actions
        .map(|entry| entry["action"].as_str().unwrap())
        .collect();
    for action in ["invitation.create", "invitation.accept", "account.create"] {
        assert!(actions.contains(&action), "{actions:?}");
    }
}

#[tokio::test]
async fn of_many_who_use_a_link_at_the_same_time_one_gets_in() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let grants = json!([{ "role": "viewer" }]);
    let body = json!({ "email": "a@example.com", "name": "A", "grants": grants });
    let token = token(&invite(&admin, body).await);
    let answers = at_once(8, |_| async { accept(&app.anybody(), &token, NEW).await }).await;
    let counts = count(&answers);
    assert_eq!(counts[&200], 1, "{counts:?}");
    assert!(
        answers
            .iter()
            .all(|answer| [200, 409, 410].contains(&answer.status.as_u16()))
    );
}

#[tokio::test]
async fn links_end_by_expiry_resending_and_revocation() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let grants = json!([{ "role": "viewer" }]);
    let body = json!({ "email": "a@example.com", "name": "A", "grants": grants });
    let made = invite(&admin, body).await;
    let path = format!("/api/invitations/{}", made["id"].as_str().unwrap());
    let first = token(&made);
    ended(&look(&app, "nonsense").await);
    ended(&look(&app, "").await);
    app.clock.advance(SignedDuration::from_hours(7 * 24));
    ended(&look(&app, &first).await);
    admin
        .sign_in("admin0@example.com", PASSWORD)
        .await
        .expect(200);
    let list = admin.get("/api/invitations").await.expect(200);
    assert_eq!(list["items"][0]["open"], false);
    assert!(!list.to_string().contains(&first));

    let again = admin
        .post(&format!("{path}/resend"), json!({}))
        .await
        .expect(200);
    let second = token(&again);
    assert_eq!(again["open"], true);
    ended(&look(&app, &first).await);
    look(&app, &second).await.expect(200);
    let again = admin
        .post(&format!("{path}/resend"), json!({}))
        .await
        .expect(200);
    let third = token(&again);
    ended(&accept(&app.anybody(), &second, NEW).await);
    assert_eq!(admin.delete(&path).await.status, 204);
    ended(&accept(&app.anybody(), &third, NEW).await);
    admin.delete(&path).await.problem(404, "not_found");
    // Making and sending one needs a recent proof of who the sender is.
    app.clock.advance(SignedDuration::from_mins(16));
    let refused = admin.post(&format!("{path}/resend"), json!({})).await;
    refused.problem(403, "confirmation_required");
}

#[tokio::test]
async fn managers_invite_only_employees_whom_they_cover() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let (harbor, yard) = (
        admin.add_site("Harbor", "UTC").await,
        admin.add_site("Yard", "UTC").await,
    );
    let add = async |name: &str, site: &str| {
        let body = json!({ "name": name, "code": name, "site": site });
        let added = admin.post("/api/employees", body).await.expect(201);
        added["id"].as_str().unwrap().to_owned()
    };
    let (ann, bob) = (add("Ann", &harbor).await, add("Bob", &yard).await);
    let scope = Scope::Site(harbor.parse().unwrap());
    let manager = app.grant(Role::Manager, scope).await;
    let everywhere = app.role(Role::Manager).await;
    let account = |email: &str, role: Value, employee: &str| json!({ "email": email, "grants": [role], "employee": employee, "enroll": true });
    let own = json!({ "role": "employee" });
    let made = invite(&manager, account("ann@example.com", own.clone(), &ann)).await;
    assert_eq!(made["name"], "Ann", "that of the employee");
    assert_eq!(made["purpose"], "account_and_face");
    invite(&manager, json!({ "employee": ann, "enroll": true })).await;
    let of_bob = invite(&everywhere, account("bob@example.com", own.clone(), &bob)).await;
    let of_bob = format!("/api/invitations/{}", of_bob["id"].as_str().unwrap());
    let boss = json!({ "email": "c@example.com", "name": "C", "grants": [{ "role": "viewer" }] });
    let boss = invite(&admin, boss).await;
    let boss = format!("/api/invitations/{}", boss["id"].as_str().unwrap());

    for (client, body) in [
        (&manager, account("b@example.com", own.clone(), &bob)),
        (&manager, json!({ "employee": bob, "enroll": true })),
    ] {
        let refused = client.post("/api/invitations", body).await;
        refused.problem(422, "invalid");
        assert_eq!(refused.fields(), ["employee"]);
    }
    for client in [&manager, &everywhere] {
        for role in ["admin", "manager", "viewer"] {
            let body = account("a@example.com", json!({ "role": role }), &ann);
            let refused = client.post("/api/invitations", body).await;
            refused.problem(403, "forbidden");
        }
        let accounts = "/api/accounts/0199f3a0-7c1e-7d5a-9f0e-2b7f6f0c1a2b/password-reset";
        client
            .post(accounts, json!({}))
            .await
            .problem(403, "forbidden");
        // Those of others do not exist for them.
        client.delete(&boss).await.problem(404, "not_found");
    }
    manager.delete(&of_bob).await.problem(404, "not_found");
    let listed = async |client: &Client| {
        let mut names = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = client
                .get(&format!("/api/invitations?limit=1{cursor}"))
                .await
                .expect(200);
            for item in page["items"].as_array().unwrap() {
                names.push(item["name"].as_str().unwrap().to_owned());
            }
            let Some(next) = page["next"].as_str() else {
                names.sort();
                return names;
            };
            cursor = format!("&cursor={next}");
        }
    };
    assert_eq!(listed(&manager).await, ["Ann", "Ann"]);
    assert_eq!(listed(&everywhere).await, ["Ann", "Ann", "Bob"]);
    assert_eq!(listed(&admin).await, ["Ann", "Ann", "Bob", "C"]);

    for (body, field) in [
        (json!({}), "employee"),
        (json!({ "employee": ann }), "grants"),
        (json!({ "grants": [own.clone()], "employee": ann }), "email"),
        (
            json!({ "email": "x@example.com", "grants": [{ "role": "viewer" }] }),
            "name",
        ),
        (
            json!({ "email": "x@example.com", "name": "X", "grants": [{ "role": "viewer" }], "enroll": true }),
            "employee",
        ),
        (
            json!({ "email": "x", "employee": ann, "enroll": true }),
            "email",
        ),
    ] {
        let refused = admin.post("/api/invitations", body).await;
        refused.problem(422, "invalid");
        assert!(
            refused.fields().contains(&field.to_owned()),
            "{}",
            refused.text
        );
    }
}

#[tokio::test]
async fn a_manager_cannot_approve_as_themselves_what_they_ask_for_as_an_invited_employee() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let manager = app.role(Role::Manager).await;
    let ann = admin.add_employee("Ann", "A1").await;
    let rules = format!("/api/sites/{}/rules/2020-01-01", SiteId::DEFAULT);
    let four_eyes = json!({ "rules": {}, "four_eyes": true });
    admin.put(&rules, four_eyes).await.expect(201);
    let body = json!({
        "email": "manager+ann@example.com", "employee": ann,
        "grants": [{ "role": "employee" }], "enroll": true,
    });
    let link = token(&invite(&manager, body).await);
    let puppet = app.anybody();
    accept(&puppet, &link, NEW).await.expect(200);

    let path = format!("/api/employees/{ann}/corrections");
    let at = "2026-03-02T08:00:00Z";
    let body = json!({ "action": "add", "kind": "in", "at": at, "reason": "Forgot" });
    let made = puppet.post(&path, body).await.expect(201);
    let correction = format!("/api/corrections/{}", made["id"].as_str().unwrap());
    let kind = json!({ "name": "Vacation", "paid": true });
    let kind = admin.post("/api/leave-kinds", kind).await.expect(201);
    let body =
        json!({ "employee": ann, "kind": kind["id"], "from": "2027-01-04", "to": "2027-01-04" });
    let leave = puppet.post("/api/leave", body).await.expect(201);
    let leave = format!("/api/leave/{}", leave["id"].as_str().unwrap());
    for path in [&correction, &leave] {
        let approve = format!("{path}/approve");
        let refused = manager.post(&approve, json!({})).await;
        refused.problem(403, "four_eyes");
        admin.post(&approve, json!({})).await.expect(200);
    }

    // The sender of the link answers for the address, also for the consent.
    let version = look(&app, &link).await.expect(200)["consent"]["version"].clone();
    let photos = [photo("obama")];
    enroll(&app, &link, version.as_str().unwrap(), &photos)
        .await
        .expect(201);
    let entries = app.stores.audit.latest(100).await.unwrap();
    let find = |action: &str| entries.iter().find(|entry| entry.action == action).unwrap();
    let (invited, created) = (find("invitation.create"), find("account.create"));
    let by = format!("invited by {}", invited.actor);
    assert!(
        created.detail.as_ref().unwrap().contains(&by),
        "{created:?}"
    );
    let face = app.stores.faces.find(ann.parse().unwrap()).await.unwrap();
    let consent = face.unwrap().face.unwrap().consent;
    assert_eq!(consent.recorded_by, invited.actor);
    // The address can be compared with one that is known, and is not readable.
    let detail = invited.detail.as_ref().unwrap();
    let digest = hex::encode(Sha256::digest("manager+ann@example.com"));
    assert!(
        detail.contains(&format!("address {}", &digest[..16])),
        "{detail}"
    );
    assert!(!detail.contains('@'), "{detail}");
}

#[tokio::test]
async fn links_of_an_account_end_with_its_permissions() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let leaver = app.admin().await;
    let body =
        |email: &str| json!({ "email": email, "name": "A", "grants": [{ "role": "admin" }] });
    let link = token(&invite(&leaver, body("a@example.com")).await);
    let other = token(&invite(&admin, body("b@example.com")).await);
    let accounts = admin.get("/api/accounts?q=admin1").await.expect(200);
    let path = format!(
        "/api/accounts/{}",
        accounts["items"][0]["id"].as_str().unwrap()
    );
    let manager = json!({ "grants": [{ "role": "manager" }] });
    admin.patch(&path, manager).await.expect(200);
    ended(&accept(&app.anybody(), &link, NEW).await);
    admin.delete(&path).await.expect(204);
    ended(&look(&app, &link).await);
    accept(&app.anybody(), &other, NEW).await.expect(200);
}

#[tokio::test]
async fn a_person_enrolls_their_own_face_with_their_consent() {
    let app = TestApp::with(|options| options.settings.enroll_limit = 1).await;
    let admin = app.admin().await;
    let ann = admin.add_employee("Ann", "A1").await;
    let made = invite(&admin, json!({ "employee": ann, "enroll": true })).await;
    assert_eq!(made["purpose"], "face");
    let link = token(&made);
    let offer = look(&app, &link).await.expect(200);
    assert_eq!(
        (&offer["purpose"], &offer["name"]),
        (&json!("face"), &json!("Ann"))
    );
    assert_eq!(offer["site"], "Main site");
    let consent = app.anybody();
    consent
        .get("/api/consent")
        .await
        .problem(401, "unauthenticated");
    let version = offer["consent"]["version"].as_str().unwrap();
    assert!(
        offer["consent"]["text"]
            .as_str()
            .unwrap()
            .contains("withdraw")
    );

    let photos = [photo("obama"), photo("obama2")];
    enroll(&app, &link, "", &photos)
        .await
        .problem(422, "consent_required");
    enroll(&app, &link, "2020-01", &photos)
        .await
        .problem(422, "invalid");
    // Photos that are refused do not use the link up, and count against nobody.
    for _ in 0..3 {
        let refused = enroll(&app, &link, version, &[b"no image".to_vec()]).await;
        refused.problem(422, "no_usable_photo");
    }
    // An account cannot be made with it.
    ended(&accept(&app.anybody(), &link, NEW).await);
    let enrolled = enroll(&app, &link, version, &photos).await.expect(201);
    assert_eq!(enrolled["photos"].as_array().unwrap().len(), 2);
    assert!(
        !enrolled.to_string().contains("quality_template"),
        "{enrolled}"
    );
    ended(&enroll(&app, &link, version, &photos).await);
    let person = admin
        .get(&format!("/api/employees/{ann}"))
        .await
        .expect(200);
    assert_eq!(person["enrolled"], true);
    assert_eq!(person["consent"]["text"], version);
    let kiosk = app.kiosk().await;
    let punched = kiosk.punch(&photo("obama3")).await.expect(201);
    assert_eq!(punched["outcome"], "punched");

    // Another person with the same face does not learn whose it is.
    let bob = admin.add_employee("Bob", "B1").await;
    let link = token(&invite(&admin, json!({ "employee": bob, "enroll": true })).await);
    let refused = enroll(&app, &link, version, &photos).await;
    refused.problem(409, "duplicate_person");
    assert!(!refused.text.contains("Ann") && !refused.text.contains(&ann));
    // The admin's own limit is untouched.
    admin.enroll(&bob, &[photo("biden")]).await.expect(201);
}

#[tokio::test]
async fn tries_to_enroll_are_limited_by_the_link() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let ann = admin.add_employee("Ann", "A1").await;
    let link = token(&invite(&admin, json!({ "employee": ann, "enroll": true })).await);
    let version = look(&app, &link).await.expect(200)["consent"]["version"].clone();
    let version = version.as_str().unwrap();
    for _ in 0..Invitation::TRIES {
        let refused = enroll(&app, &link, version, &[b"no image".to_vec()]).await;
        refused.problem(422, "no_usable_photo");
    }
    ended(&enroll(&app, &link, version, &[photo("obama")]).await);
    ended(&look(&app, &link).await);
}

#[tokio::test]
async fn an_account_and_a_face_by_one_link_in_either_order() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    for (number, (face, first)) in [("obama", true), ("biden", false)].into_iter().enumerate() {
        let person = admin.add_employee("Ann", &format!("A{number}")).await;
        let email = format!("ann{number}@example.com");
        let grants = json!([{ "role": "employee" }]);
        let body = json!({ "email": email, "grants": grants, "employee": person, "enroll": true });
        let link = token(&invite(&admin, body).await);
        let version = look(&app, &link).await.expect(200)["consent"]["version"].clone();
        let version = version.as_str().unwrap();
        let client = app.anybody();
        if first {
            accept(&client, &link, NEW).await.expect(200);
            let offer = look(&app, &link).await.expect(200);
            assert_eq!(offer["purpose"], "face");
            ended(&accept(&client, &link, NEW).await);
        }
        enroll(&app, &link, version, &[photo(face)])
            .await
            .expect(201);
        if !first {
            let offer = look(&app, &link).await.expect(200);
            assert_eq!(offer["purpose"], "account");
            assert_eq!(offer["consent"], Value::Null);
            ended(&enroll(&app, &link, version, &[photo(face)]).await);
            accept(&client, &link, NEW).await.expect(200);
        }
        ended(&look(&app, &link).await);
        let session = client.get("/api/session").await.expect(200);
        assert_eq!(session["account"]["employee"], person);
    }
}

#[tokio::test]
async fn a_link_sets_a_new_password_once_and_ends_the_sessions() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let person = app.role(Role::Viewer).await;
    let accounts = admin.get("/api/accounts?q=viewer1").await.expect(200);
    let path = format!(
        "/api/accounts/{}",
        accounts["items"][0]["id"].as_str().unwrap()
    );
    let reset = async || {
        let made = admin
            .post(&format!("{path}/password-reset"), json!({}))
            .await;
        made.expect(201)
    };
    let made = reset().await;
    assert_eq!(made["purpose"], "password");
    assert_eq!(made["email"], "viewer1@example.com");
    let link = token(&made);
    let offer = look(&app, &link).await.expect(200);
    assert_eq!(
        (&offer["purpose"], &offer["name"]),
        (&json!("password"), &json!("Ada"))
    );
    person.get("/api/session").await.expect(200);
    accept(&app.anybody(), &link, "short")
        .await
        .problem(422, "invalid");
    let client = app.anybody();
    let other = token(&reset().await);
    accept(&client, &link, NEW).await.expect(200);
    // The new password ends the other link.
    ended(&look(&app, &other).await);
    client.get("/api/session").await.expect(200);
    person
        .get("/api/session")
        .await
        .problem(401, "unauthenticated");
    app.anybody()
        .sign_in("viewer1@example.com", NEW)
        .await
        .expect(200);
    ended(&accept(&app.anybody(), &link, PASSWORD).await);

    let link = token(&reset().await);
    app.clock.advance(SignedDuration::from_hours(24));
    ended(&accept(&app.anybody(), &link, PASSWORD).await);
    admin
        .sign_in("admin0@example.com", PASSWORD)
        .await
        .expect(200);
    let link = token(&reset().await);
    admin
        .patch(&path, json!({ "active": false }))
        .await
        .expect(200);
    ended(&accept(&app.anybody(), &link, PASSWORD).await);
    let refused = admin
        .post(&format!("{path}/password-reset"), json!({}))
        .await;
    refused.problem(409, "conflict");
}

#[tokio::test]
async fn accepting_a_link_ends_the_session_that_the_browser_had() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let browser = app.anybody();
    let signed_in = browser.sign_in("admin0@example.com", PASSWORD).await;
    signed_in.expect(200);
    let grants = json!([{ "role": "viewer" }]);
    let body = json!({ "email": "grace@example.com", "name": "Grace", "grants": grants });
    let link = token(&invite(&admin, body).await);
    let accepted = accept(&browser, &link, NEW).await.expect(200);
    assert_eq!(accepted["account"]["email"], "grace@example.com");
    let left = admin.get("/api/sessions").await.expect(200);
    assert_eq!(left["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn only_tokens_that_cannot_be_used_count_against_an_address() {
    let app = TestApp::with(|options| {
        options.settings.sign_in = Some(Quota {
            most: 3,
            window: Duration::from_secs(60),
        });
    })
    .await;
    let admin = app.admin().await;
    let grants = json!([{ "role": "viewer" }]);
    let body = json!({ "email": "a@example.com", "name": "A", "grants": grants });
    let link = token(&invite(&admin, body).await);
    for _ in 0..10 {
        look(&app, &link).await.expect(200);
    }
    for _ in 0..3 {
        ended(&look(&app, "guess").await);
    }
    look(&app, &link).await.problem(429, "too_many_requests");
    let refused = enroll(&app, "guess", "2026-11.5", &[photo("obama")]).await;
    refused.problem(429, "too_many_requests");
}
