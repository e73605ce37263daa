//! Second factors: one-time codes, recovery codes, the second step of signing in, and who needs one.

use jiff::SignedDuration;
use rollcall::domain::{
    accounts::Actor,
    grants::{Access, Grant, Role, Scope},
    ids::AccountId,
    text::Email,
};
use serde_json::{Value, json};
use totp_rs::Builder;

use crate::app::{Answer, Client, PASSWORD, TestApp};

/// An app that shows one-time codes.
pub struct Phone {
    secret: Vec<u8>,
}

impl Phone {
    /// Returns an app with a secret in base32.
    pub fn new(text: &str) -> Self {
        let secret = totp_rs::Secret::try_from_base32(text).unwrap();
        Self {
            secret: secret.as_bytes().to_vec(),
        }
    }

    /// Returns the code at this moment.
    pub fn code(&self, app: &TestApp) -> String {
        use rollcall::clock::Clock;
        let now = app.clock.now().as_second() as u64;
        let totp = Builder::new().with_secret(self.secret.clone());
        totp.build().unwrap().generate(now).to_string()
    }

    /// Returns a code that is wrong at this moment.
    fn wrong_code(&self, app: &TestApp) -> String {
        let right: u32 = self.code(app).parse().unwrap();
        // The neighbors in time are three of a million codes, and seldom the next in value.
        format!("{:06}", (right + 1) % 1_000_000)
    }
}

/// Waits for the next code of every phone.
fn next_step(app: &TestApp) {
    app.clock.advance(SignedDuration::from_secs(30));
}

/// Adds an app to the account of a client; also returns the recovery codes.
pub async fn with_phone(app: &TestApp, client: &Client) -> (Phone, Vec<String>) {
    let made = client.post("/api/account/totp", json!({})).await;
    let phone = Phone::new(made.expect(201)["secret"].as_str().unwrap());
    let code = json!({ "code": phone.code(app) });
    let answer = client.post("/api/account/totp/confirm", code).await;
    next_step(app);
    (phone, recovery_codes(&answer.expect(200)))
}

fn recovery_codes(answer: &Value) -> Vec<String> {
    let codes = answer["recovery_codes"].as_array().unwrap();
    codes
        .iter()
        .map(|code| code.as_str().unwrap().to_owned())
        .collect()
}

/// Signs in with the password; returns the ticket for the second step.
async fn ticket(client: &Client, email: &str) -> String {
    let answer = client.sign_in(email, PASSWORD).await.expect(202);
    answer["ticket"].as_str().unwrap().to_owned()
}

async fn second_step(client: &Client, ticket: &str, name: &str, value: &str) -> Answer {
    let body = json!({ "ticket": ticket, name: value });
    client.post("/api/session/second-factor", body).await
}

async fn state(client: &Client) -> Value {
    client.get("/api/account/second-factor").await.expect(200)
}

/// The email address of the first account that a test adds.
const ADMIN: &str = "admin0@example.com";

#[tokio::test]
async fn an_app_is_added_by_its_first_code_and_signing_in_needs_a_code_then() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let none = json!({ "required": false, "totp": null, "recovery_codes": 0, "passkeys": [] });
    assert_eq!(state(&admin).await, none);
    let confirm = "/api/account/totp/confirm";
    let early = admin.post(confirm, json!({ "code": "123456" })).await;
    early.problem(404, "not_found");

    let made = admin.post("/api/account/totp", json!({})).await.expect(201);
    let secret = made["secret"].as_str().unwrap();
    let uri =
        format!("otpauth://totp/Rollcall:admin0%40example.com?secret={secret}&issuer=Rollcall");
    assert_eq!(made["uri"], uri);
    let qr = made["qr"].as_str().unwrap();
    assert!(qr.contains("<svg") && !qr.contains(secret), "{qr}");
    // The account is not protected yet, so a person whose app does not work is not locked out.
    app.anybody().sign_in(ADMIN, PASSWORD).await.expect(200);
    let phone = Phone::new(secret);
    let wrong = json!({ "code": phone.wrong_code(&app) });
    let refused = admin.post(confirm, wrong).await;
    refused.problem(403, "wrong_second_factor");
    let code = phone.code(&app);
    let added = admin
        .post(confirm, json!({ "code": code }))
        .await
        .expect(200);
    assert_eq!(recovery_codes(&added).len(), 10);
    let again = admin.post(confirm, json!({ "code": code })).await;
    again.problem(404, "not_found");
    let present = state(&admin).await;
    assert!(present["totp"].is_string());
    assert_eq!(present["recovery_codes"], 10);

    let browser = app.anybody();
    let challenge = browser.sign_in(ADMIN, PASSWORD).await.expect(202);
    assert_eq!(challenge["methods"], json!(["code", "recovery_code"]));
    assert_eq!(challenge["expires_in"], 300);
    browser
        .get("/api/session")
        .await
        .problem(401, "unauthenticated");
    let ticket = challenge["ticket"].as_str().unwrap();
    // The code that confirmed the app was used.
    let used = second_step(&browser, ticket, "code", &code).await;
    used.problem(403, "wrong_second_factor");
    next_step(&app);
    let code = phone.code(&app);
    let spaced = format!("{} {}", &code[..3], &code[3..]);
    let signed_in = second_step(&browser, ticket, "code", &spaced).await;
    assert_eq!(signed_in.expect(200)["account"]["email"], ADMIN);
    browser.get("/api/session").await.expect(200);
    // The ticket and the code were used.
    let again = second_step(&browser, ticket, "code", &code).await;
    again.problem(403, "sign_in_expired");
    let other = self::ticket(&app.anybody(), ADMIN).await;
    let again = second_step(&app.anybody(), &other, "code", &code).await;
    again.problem(403, "wrong_second_factor");

    assert_eq!(admin.delete("/api/account/totp").await.status, 204);
    assert_eq!(state(&admin).await, none);
    app.anybody().sign_in(ADMIN, PASSWORD).await.expect(200);
    let gone = admin.delete("/api/account/totp").await;
    gone.problem(404, "not_found");
}

#[tokio::test]
async fn one_code_signs_in_once_however_many_requests_send_it() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let (phone, _) = with_phone(&app, &admin).await;
    let code = phone.code(&app);
    let mut tickets = Vec::new();
    for _ in 0..8 {
        tickets.push(ticket(&app.anybody(), ADMIN).await);
    }
    let requests = tickets
        .iter()
        .map(async |ticket| second_step(&app.anybody(), ticket, "code", &code).await);
    let answers = futures::future::join_all(requests).await;
    let counts = crate::app::count(&answers);
    assert_eq!((counts[&200], counts[&403]), (1, 7));
}

#[tokio::test]
async fn a_ticket_ends_after_five_tries_five_minutes_or_a_new_password() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let (phone, _) = with_phone(&app, &admin).await;
    let browser = app.anybody();
    let first = ticket(&browser, ADMIN).await;
    for _ in 0..5 {
        let wrong = second_step(&browser, &first, "code", &phone.wrong_code(&app)).await;
        wrong.problem(403, "wrong_second_factor");
    }
    let sixth = second_step(&browser, &first, "code", &phone.code(&app)).await;
    sixth.problem(403, "sign_in_expired");

    let third = ticket(&browser, ADMIN).await;
    let email = Email::parse(ADMIN).unwrap();
    let reset = app
        .app
        .accounts
        .reset_password(Actor::Operator, &email, PASSWORD.into());
    reset.await.unwrap();
    let late = second_step(&browser, &third, "code", &phone.code(&app)).await;
    late.problem(403, "sign_in_expired");
    let forged = second_step(&browser, "guess", "code", "123456").await;
    forged.problem(403, "sign_in_expired");
    for (body, field) in [
        (json!({ "ticket": third }), "code"),
        (
            json!({ "ticket": third, "code": "1", "recovery_code": "2" }),
            "recovery_code",
        ),
    ] {
        let answer = browser.post("/api/session/second-factor", body).await;
        answer.problem(422, "invalid");
        assert_eq!(answer.fields(), [field]);
    }
}

#[tokio::test]
async fn thirty_codes_a_day_can_be_tried_and_the_owner_still_gets_in() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let (phone, recovery) = with_phone(&app, &admin).await;
    let thief = app.anybody();
    for _ in 0..6 {
        let ticket = ticket(&thief, ADMIN).await;
        for _ in 0..5 {
            let wrong = second_step(&thief, &ticket, "code", &phone.wrong_code(&app)).await;
            wrong.problem(403, "wrong_second_factor");
        }
    }
    let owner = app.anybody();
    let late = ticket(&owner, ADMIN).await;
    let limited = second_step(&owner, &late, "code", &phone.code(&app)).await;
    limited.problem(429, "too_many_requests");
    let wait: u64 = limited.header("retry-after").parse().unwrap();
    assert!((86_000..=86_401).contains(&wait), "{wait}");
    second_step(&owner, &late, "recovery_code", &recovery[0])
        .await
        .expect(200);
    // Without the password nobody can try a code, so nobody can use up the tries of others.
    app.clock.advance(SignedDuration::from_hours(24));
    let tomorrow = ticket(&owner, ADMIN).await;
    second_step(&owner, &tomorrow, "code", &phone.code(&app))
        .await
        .expect(200);
}

#[tokio::test]
async fn right_codes_do_not_count() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let (phone, _) = with_phone(&app, &admin).await;
    for _ in 0..31 {
        let ticket = ticket(&app.anybody(), ADMIN).await;
        let right = second_step(&app.anybody(), &ticket, "code", &phone.code(&app)).await;
        right.expect(200);
        next_step(&app);
    }
}

#[tokio::test]
async fn a_stream_ends_when_the_account_needs_a_second_factor() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let manager = app.role(Role::Manager).await;
    let events = manager.request(reqwest::Method::GET, "/api/events");
    let mut events = events.send().await.unwrap();
    assert_eq!(events.status(), 200);
    let managers = json!({ "second_factor_required": ["manager"] });
    admin
        .put("/api/security-policy", managers)
        .await
        .expect(200);
    let end = async { while events.chunk().await.unwrap().is_some() {} };
    let ended = tokio::time::timeout(std::time::Duration::from_secs(25), end).await;
    ended.expect("the stream ends within 15 seconds");
}

#[tokio::test]
async fn each_recovery_code_signs_in_once_and_a_new_set_replaces_them() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let none = admin.post("/api/account/recovery-codes", json!({})).await;
    none.problem(404, "not_found");
    let (_, codes) = with_phone(&app, &admin).await;
    let browser = app.anybody();
    let first = ticket(&browser, ADMIN).await;
    let typed = codes[3].to_lowercase().replace('-', " ");
    second_step(&browser, &first, "recovery_code", &typed)
        .await
        .expect(200);
    assert_eq!(state(&browser).await["recovery_codes"], 9);
    let second = ticket(&app.anybody(), ADMIN).await;
    let again = second_step(&app.anybody(), &second, "recovery_code", &codes[3]).await;
    again.problem(403, "wrong_second_factor");

    let made = browser.post("/api/account/recovery-codes", json!({})).await;
    let new = recovery_codes(&made.expect(201));
    assert_eq!(state(&browser).await["recovery_codes"], 10);
    let old = second_step(&app.anybody(), &second, "recovery_code", &codes[4]).await;
    old.problem(403, "wrong_second_factor");
    let answer = second_step(&app.anybody(), &second, "recovery_code", &new[4]).await;
    answer.expect(200);
}

#[tokio::test]
async fn the_store_has_neither_secret_nor_codes() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let made = admin.post("/api/account/totp", json!({})).await.expect(201);
    let phone = Phone::new(made["secret"].as_str().unwrap());
    let code = json!({ "code": phone.code(&app) });
    let answer = admin.post("/api/account/totp/confirm", code).await;
    let codes = recovery_codes(&answer.expect(200));
    let stored = app.stores.second_factors.all().await.unwrap();
    let stored = serde_json::to_string(&stored).unwrap();
    assert!(stored.contains("ciphertext"));
    let bytes = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &phone.secret);
    for secret in [
        made["secret"].as_str().unwrap(),
        bytes.trim_end_matches('='),
    ] {
        assert!(!stored.contains(secret));
    }
    for code in codes {
        assert!(!stored.contains(&code) && !stored.contains(&code.replace('-', "")));
    }
}

#[tokio::test]
async fn an_admin_removes_the_second_factor_of_another_account() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let viewer = app.role(Role::Viewer).await;
    let me = viewer.get("/api/session").await.expect(200);
    let id = me["account"]["id"].as_str().unwrap().to_owned();
    let path = format!("/api/accounts/{id}/second-factor");
    admin.delete(&path).await.problem(404, "not_found");
    with_phone(&app, &viewer).await;
    assert_eq!(admin.delete(&path).await.status, 204);
    viewer
        .get("/api/session")
        .await
        .problem(401, "unauthenticated");
    let email = me["account"]["email"].as_str().unwrap();
    viewer.sign_in(email, PASSWORD).await.expect(200);
    let audit = admin.get("/api/audit").await.expect(200);
    let mut entries = audit["items"].as_array().unwrap().iter();
    let reset = entries.find(|entry| entry["action"] == "second_factor.reset");
    let reset = reset.unwrap();
    assert_eq!(
        (&reset["subject"], &reset["actor"]["name"]),
        (&json!(id), &json!(ADMIN))
    );
}

#[tokio::test]
async fn a_link_for_a_new_password_does_not_replace_the_second_factor() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let viewer = app.role(Role::Viewer).await;
    let (phone, _) = with_phone(&app, &viewer).await;
    let me = viewer.get("/api/session").await.expect(200);
    let id = me["account"]["id"].as_str().unwrap();
    let path = format!("/api/accounts/{id}/password-reset");
    let made = admin.post(&path, json!({})).await.expect(201);
    let token = made["link"]
        .as_str()
        .unwrap()
        .strip_prefix("https://rollcall.example/join#")
        .unwrap();

    let browser = app.anybody();
    let new = json!({ "token": token, "password": "another long pass phrase" });
    let accepted = browser.post("/api/invitations/accept", new).await;
    let challenge = accepted.expect(202);
    assert_eq!(challenge["methods"], json!(["code", "recovery_code"]));
    for client in [&browser, &viewer] {
        let none = client.get("/api/session").await;
        none.problem(401, "unauthenticated");
    }
    let ticket = challenge["ticket"].as_str().unwrap();
    let wrong = second_step(&browser, ticket, "code", &phone.wrong_code(&app)).await;
    wrong.problem(403, "wrong_second_factor");
    let right = second_step(&browser, ticket, "code", &phone.code(&app)).await;
    right.expect(200);
    browser.get("/api/session").await.expect(200);
}

#[tokio::test]
async fn a_person_with_a_second_factor_confirms_with_both() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let (phone, recovery) = with_phone(&app, &admin).await;
    let register = async || admin.post("/api/devices", json!({ "name": "Door" })).await;
    let confirm = async |body: Value| admin.post("/api/session/confirm", body).await;
    let begin = async || {
        let challenge = confirm(json!({ "password": PASSWORD })).await.expect(202);
        challenge["ticket"].as_str().unwrap().to_owned()
    };
    app.clock.advance(SignedDuration::from_mins(16));
    register().await.problem(403, "confirmation_required");
    let first = begin().await;
    // The password alone does not suffice, nor does a new password.
    register().await.problem(403, "confirmation_required");
    let new = json!({ "present": PASSWORD, "password": "another long pass phrase" });
    admin.put("/api/account/password", new).await.expect(204);
    register().await.problem(403, "confirmation_required");
    let back = json!({ "present": "another long pass phrase", "password": PASSWORD });
    admin.put("/api/account/password", back).await.expect(204);
    let late = confirm(json!({ "ticket": first, "code": phone.code(&app) })).await;
    late.problem(403, "sign_in_expired");

    let ticket = begin().await;
    let wrong = confirm(json!({ "ticket": ticket, "code": phone.wrong_code(&app) })).await;
    wrong.problem(403, "wrong_second_factor");
    register().await.problem(403, "confirmation_required");
    let right = confirm(json!({ "ticket": ticket, "code": phone.code(&app) })).await;
    assert!(right.expect(200)["confirmed_until"].is_string());
    register().await.expect(201);

    app.clock.advance(SignedDuration::from_mins(16));
    let ticket = begin().await;
    let right = confirm(json!({ "ticket": ticket, "recovery_code": recovery[0] })).await;
    right.expect(200);
    register().await.expect(201);
    for (body, field) in [
        (json!({}), "password"),
        (json!({ "password": "x", "ticket": "x" }), "ticket"),
        (json!({ "ticket": "x" }), "code"),
    ] {
        let refused = confirm(body).await;
        refused.problem(422, "invalid");
        assert_eq!(refused.fields(), [field]);
    }
}

#[tokio::test]
async fn the_proof_of_another_account_confirms_nothing() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let viewer = app.role(Role::Viewer).await;
    let (phone, _) = with_phone(&app, &viewer).await;
    app.clock.advance(SignedDuration::from_mins(16));
    let ticket = ticket(&app.anybody(), "viewer1@example.com").await;
    let foreign = json!({ "ticket": ticket, "code": phone.code(&app) });
    let foreign = admin.post("/api/session/confirm", foreign).await;
    foreign.problem(403, "wrong_second_factor");
    let refused = admin.post("/api/devices", json!({ "name": "Door" })).await;
    refused.problem(403, "confirmation_required");
}

#[tokio::test]
async fn a_change_of_the_second_factors_ends_the_other_sessions() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let thief = app.anybody();
    thief.sign_in(ADMIN, PASSWORD).await.expect(200);
    let (phone, _) = with_phone(&app, &admin).await;
    let ended = async |thief: &Client| {
        let session = thief.get("/api/session").await;
        session.problem(401, "unauthenticated");
        admin.get("/api/session").await.expect(200);
    };
    ended(&thief).await;
    for (method, path) in [
        (reqwest::Method::POST, "/api/account/recovery-codes"),
        (reqwest::Method::DELETE, "/api/account/totp"),
    ] {
        let ticket = ticket(&thief, ADMIN).await;
        let proved = second_step(&thief, &ticket, "code", &phone.code(&app)).await;
        proved.expect(200);
        next_step(&app);
        let changed = admin.send(admin.request(method, path)).await;
        assert!(changed.status.is_success(), "{}", changed.text);
        ended(&thief).await;
    }
}

#[tokio::test]
async fn a_role_that_needs_a_second_factor_can_only_set_one_up() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let manager = app.role(Role::Manager).await;
    let policy = "/api/security-policy";
    let empty = json!({ "second_factor_required": [] });
    assert_eq!(admin.get(policy).await.expect(200), empty);
    let unknown = json!({ "second_factor_required": ["manager", "boss"] });
    let unknown = admin.put(policy, unknown).await;
    unknown.problem(422, "invalid");
    assert_eq!(unknown.fields(), ["second_factor_required[1]"]);
    let managers = json!({ "second_factor_required": ["manager"] });
    assert_eq!(
        admin.put(policy, managers.clone()).await.expect(200),
        managers
    );
    assert_eq!(admin.get(policy).await.expect(200), managers);

    admin.get("/api/employees").await.expect(200);
    for path in ["/api/employees", "/api/sessions", "/api/events"] {
        let refused = manager.get(path).await;
        refused.problem(403, "second_factor_required");
    }
    let change = json!({ "name": "Ada", "code": "A1" });
    let refused = manager.post("/api/employees", change).await;
    refused.problem(403, "second_factor_required");
    manager.get("/api/session").await.expect(200);
    assert_eq!(state(&manager).await["required"], true);
    let (phone, _) = with_phone(&app, &manager).await;
    manager.get("/api/employees").await.expect(200);
    let last = manager.delete("/api/account/totp").await;
    last.problem(403, "second_factor_required");

    // A new session, too.
    let browser = app.anybody();
    let ticket = ticket(&browser, "manager1@example.com").await;
    second_step(&browser, &ticket, "code", &phone.code(&app))
        .await
        .expect(200);
    browser.get("/api/employees").await.expect(200);
    let me = browser.get("/api/session").await.expect(200);
    let id: AccountId = me["account"]["id"].as_str().unwrap().parse().unwrap();
    assert_eq!(
        admin
            .delete(&format!("/api/accounts/{id}/second-factor"))
            .await
            .status,
        204
    );
    browser
        .sign_in("manager1@example.com", PASSWORD)
        .await
        .expect(200);
    let refused = browser.get("/api/employees").await;
    refused.problem(403, "second_factor_required");
    admin.put(policy, empty).await.expect(200);
    browser.get("/api/employees").await.expect(200);
    let audit = admin.get("/api/audit").await.expect(200);
    let changes = audit["items"].as_array().unwrap().iter();
    let changes: Vec<_> = changes
        .filter(|entry| entry["action"] == "security_policy.change")
        .map(|entry| entry["detail"].as_str().unwrap())
        .collect();
    let expected = [
        "second factor required for no role",
        "second factor required for manager",
    ];
    assert_eq!(changes, expected);
    // One grant of several is enough.
    let site = rollcall::domain::ids::SiteId::DEFAULT;
    let grants = [
        Grant::new(Role::Viewer, Scope::Everything).unwrap(),
        Grant::new(Role::Manager, Scope::Site(site)).unwrap(),
    ];
    let both = app.access(Access::new(None, grants).unwrap()).await;
    admin.put(policy, managers).await.expect(200);
    let refused = both.get("/api/employees").await;
    refused.problem(403, "second_factor_required");
}

#[tokio::test]
async fn passkeys_are_bound_to_the_public_address() {
    let app = TestApp::with(|options| {
        options.settings.public_url = Some("https://rollcall.example.com".to_owned());
    })
    .await;
    let admin = app.admin().await;
    let begun = admin.post("/api/account/passkeys/begin", json!({})).await;
    let options = begun.expect(200)["options"].clone();
    assert_eq!(options["rp"]["id"], "rollcall.example.com");
    assert_eq!(options["user"]["name"], ADMIN);
    assert_eq!(
        options["authenticatorSelection"]["userVerification"],
        "required"
    );
    let methods = app.anybody().get("/api/session/methods").await;
    assert_eq!(methods.expect(200)["passkey"], true);
    let begun = app
        .anybody()
        .post("/api/session/passkey/begin", json!({}))
        .await;
    let begun = begun.expect(200);
    assert_eq!(begun["options"]["rpId"], "rollcall.example.com");
    let challenge = |begun: &Value| begun["options"]["challenge"].clone();
    let again = app
        .anybody()
        .post("/api/session/passkey/begin", json!({}))
        .await;
    assert_ne!(challenge(&again.expect(200)), challenge(&begun));
    let ticket = &begun["ticket"];
    for (credential, status, code) in [
        (json!({}), 403, "wrong_second_factor"),
        (json!({ "id": "AAAA" }), 403, "sign_in_expired"),
    ] {
        let body = json!({ "ticket": ticket, "credential": credential });
        let answer = app.anybody().post("/api/session/passkey", body).await;
        answer.problem(status, code);
    }

    // At an IP address without TLS, browsers offer none.
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let begun = admin.post("/api/account/passkeys/begin", json!({})).await;
    begun.problem(409, "passkeys_unavailable");
    let begun = admin.post("/api/session/passkey/begin", json!({})).await;
    begun.problem(409, "passkeys_unavailable");
    // Behind a proxy, the origin of the browser counts if it has the host of the request.
    let proxied = app.anybody().with("host", "rollcall.example.com");
    let proxied = proxied.with("origin", "https://rollcall.example.com");
    let begun = proxied.post("/api/session/passkey/begin", json!({})).await;
    assert_eq!(begun.expect(200)["options"]["rpId"], "rollcall.example.com");
}
