//! Letters, with a real mail server.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use rollcall::{
    clock::Clock,
    domain::{
        accounts::Account,
        grants::{Access, Grant, Role, Scope},
        ids::SiteId,
        messages::{Channel, Delivery, DeliveryState},
        text::Email,
    },
    http_client::Trust,
    ports::{MailError, MailSending, Page},
    senders::MailSender,
};
use serde_json::{Value, json};

use crate::{
    app::{Client, PASSWORD, TestApp},
    node::NodeServer,
    receiver::Receiver,
    second_factors::with_phone,
    skip::skip,
};

const FROM: &str = "Rollcall <rollcall@example.org>";

pub fn sender(port: u16) -> Arc<dyn MailSending> {
    let url = format!("smtp://rollcall:s3cret@127.0.0.1:{port}");
    Arc::new(MailSender::new(&url, FROM, &Trust::default()).unwrap())
}

async fn start(port: u16) -> TestApp {
    TestApp::with(|options| options.mail = Some(sender(port))).await
}

pub async fn outbox(app: &TestApp) -> Vec<Delivery> {
    let page = Page {
        after: None,
        limit: 100,
    };
    let deliveries = &app.stores.deliveries;
    deliveries.list(Channel::Mail, None, &page).await.unwrap()
}

fn until(app: &TestApp) -> Timestamp {
    app.clock.now() + SignedDuration::from_hours(24)
}

#[tokio::test]
async fn letters_arrive_as_text_and_html_and_their_links_are_not_in_the_store() {
    let server = match NodeServer::start("smtp.mjs", 0) {
        Ok(server) => server,
        Err(why) => return skip("letters", &why),
    };
    let app = start(server.port).await;
    app.send_messages();
    let to = Email::parse("zoe@example.org").unwrap();
    // A name cannot add a header.
    let name = "Zo\u{eb} \u{1f469}\r\nBcc: eve@example.org";
    let link = "https://rollcall.example/join#s3cret-token";
    let letters = &app.app.letters;
    letters
        .invitation(&to, name, link, until(&app))
        .await
        .unwrap();
    let letter = server.until(|lines| lines.len() == 1).await.remove(0);
    assert_eq!(letter["user"], "rollcall");
    assert_eq!(letter["recipients"], json!(["zoe@example.org"]));
    assert_eq!(
        letter["to"][0]["name"],
        "Zo\u{eb} \u{1f469}  Bcc: eve@example.org"
    );
    assert_eq!(
        letter["from"][0],
        json!({ "address": "rollcall@example.org", "name": "Rollcall" })
    );
    assert_eq!(letter["subject"], "You are invited to Rollcall");
    let headers = letter["headers"].as_array().unwrap();
    assert!(!headers.contains(&json!("bcc")) && headers.contains(&json!("date")));
    for part in ["text", "html"] {
        assert!(letter[part].as_str().unwrap().contains(link), "{letter}");
    }
    let stored = outbox(&app).await;
    let id = letter["id"].as_str().unwrap();
    assert!(id.contains(&stored[0].id.to_string()), "{id}");
    let json = serde_json::to_string(&stored).unwrap();
    for secret in ["s3cret-token", "zoe@example.org", "Zo\u{eb}"] {
        assert!(!json.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn links_in_letters_do_not_follow_the_host_of_a_request() {
    let server = match NodeServer::start("smtp.mjs", 0) {
        Ok(server) => server,
        Err(why) => return skip("letters", &why),
    };
    let app = start(server.port).await;
    app.send_messages();
    let admin = app.admin().await;
    let ann = admin.add_employee("Ann", "A1").await;
    let new = json!({ "email": "ann@example.org", "employee": ann, "enroll": true });
    let made = admin
        .request(Method::POST, "/api/invitations")
        .header("host", "evil.example")
        .json(&new);
    let made = admin.send(made).await.expect(201);
    assert_eq!((&made["sent"], &made["link"]), (&json!(true), &Value::Null));
    let letter = server.until(|lines| lines.len() == 1).await.remove(0);
    for part in ["text", "html"] {
        let text = letter[part].as_str().unwrap();
        assert!(text.contains("https://rollcall.example/join#"), "{text}");
        assert!(!text.contains("evil"), "{text}");
        // Nobody promises an account to a person who only enrolls.
        assert!(text.contains("add your face"), "{text}");
        assert!(!text.contains("create an account"), "{text}");
    }
}

#[tokio::test]
async fn letters_wait_for_a_mail_server_that_is_down_and_a_reset_for_an_hour_only() {
    let server = match NodeServer::start("smtp.mjs", 0) {
        Ok(server) => server,
        Err(why) => return skip("letters", &why),
    };
    let port = server.kill();
    let app = start(port).await;
    let admin = app.admin().await;
    let me = admin.get("/api/session").await.expect(200);
    let email = Email::parse(
        me["account"]["email"]
            .as_str()
            .unwrap_or("admin0@example.com"),
    );
    let account = app
        .stores
        .accounts
        .find_by_email(&email.unwrap())
        .await
        .unwrap();
    let account = account.unwrap();
    app.send_messages();
    let to = Email::parse("ann@example.org").unwrap();
    let letters = &app.app.letters;
    let link = "https://rollcall.example/x";
    letters
        .invitation(&to, "Ann", link, until(&app))
        .await
        .unwrap();
    letters.reset(&account, link, until(&app)).await.unwrap();
    let tried = async |topic: &str| {
        let all = outbox(&app).await;
        let one = all.into_iter().find(|one| one.topic == topic).unwrap();
        (one.attempts, one.state, one.error)
    };
    // One of the two shows that the server does not answer.
    for _ in 0..500 {
        if outbox(&app).await.iter().any(|one| one.attempts > 0) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    app.clock.advance(SignedDuration::from_mins(5));
    for _ in 0..500 {
        if tried("reset").await.0 > 0 && tried("invitation").await.0 > 0 {
            break;
        }
        app.clock.advance(SignedDuration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (_, state, error) = tried("reset").await;
    assert_eq!(state, DeliveryState::Waiting);
    assert_eq!(
        error.as_deref(),
        Some("could not connect to the mail server")
    );
    // After two hours the link for a new password is given up; the invitation is not.
    for _ in 0..500 {
        if tried("reset").await.1 == DeliveryState::Failed {
            break;
        }
        app.clock.advance(SignedDuration::from_mins(20));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(tried("reset").await.1, DeliveryState::Failed);
    assert_eq!(tried("invitation").await.1, DeliveryState::Waiting);
    let server = NodeServer::start("smtp.mjs", port).unwrap();
    for _ in 0..500 {
        if !server.lines().is_empty() {
            break;
        }
        app.clock.advance(SignedDuration::from_mins(20));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let arrived = server.until(|lines| !lines.is_empty()).await;
    assert_eq!(arrived[0]["recipients"], json!(["ann@example.org"]));
    assert_eq!(arrived.len(), 1);
}

#[tokio::test]
async fn a_mailbox_that_does_not_exist_is_not_tried_again() {
    let server = match NodeServer::start("smtp.mjs", 0) {
        Ok(server) => server,
        Err(why) => return skip("letters", &why),
    };
    assert_eq!(sender(server.port).check().await, Ok(()));
    let wrong = format!("smtp://rollcall:wrong@127.0.0.1:{}", server.port);
    let wrong = MailSender::new(&wrong, FROM, &Trust::default()).unwrap();
    let refused = wrong.check().await.unwrap_err();
    assert_eq!(
        refused,
        MailError::Unusable("the mail server answered 535".to_owned())
    );
    let app = start(server.port).await;
    app.send_messages();
    let nobody = Email::parse("nobody@example.org").unwrap();
    let letters = &app.app.letters;
    let link = "https://rollcall.example/x";
    letters
        .invitation(&nobody, "Nobody", link, until(&app))
        .await
        .unwrap();
    for _ in 0..500 {
        if outbox(&app).await[0].state == DeliveryState::Failed {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let one = &outbox(&app).await[0];
    assert_eq!((one.state, one.attempts), (DeliveryState::Failed, 1));
    assert_eq!(one.error.as_deref(), Some("the mail server answered 550"));
}

#[tokio::test]
async fn a_mail_server_that_refuses_the_service_loses_no_letter() {
    for (mode, error) in [("greets with 554", "554"), ("550 5.7.1", "550")] {
        let server = match NodeServer::with("smtp.mjs", 0, &[mode]) {
            Ok(server) => server,
            Err(why) => return skip("letters", &why),
        };
        let app = start(server.port).await;
        app.send_messages();
        let to = Email::parse("ann@example.org").unwrap();
        let letters = &app.app.letters;
        let link = "https://rollcall.example/x";
        letters
            .invitation(&to, "Ann", link, until(&app))
            .await
            .unwrap();
        while outbox(&app).await[0].attempts == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let one = &outbox(&app).await[0];
        assert_eq!(one.state, DeliveryState::Waiting, "{mode}");
        assert!(one.error.as_ref().unwrap().contains(error), "{one:?}");
    }
}

#[tokio::test]
async fn admins_learn_that_no_letters_leave() {
    let server = match NodeServer::start("smtp.mjs", 0) {
        Ok(server) => server,
        Err(why) => return skip("letters", &why),
    };
    let wrong = format!("smtp://rollcall:wrong@127.0.0.1:{}", server.port);
    let wrong = Arc::new(MailSender::new(&wrong, FROM, &Trust::default()).unwrap());
    let app = TestApp::with(|options| options.mail = Some(wrong)).await;
    let admin = app.admin().await;
    app.send_messages();
    let to = Email::parse("ann@example.org").unwrap();
    let letters = &app.app.letters;
    let link = "https://rollcall.example/x";
    letters
        .invitation(&to, "Ann", link, until(&app))
        .await
        .unwrap();
    let failing = async |client: &Client| {
        let notices = client.get("/api/notices").await.expect(200);
        let items = notices["items"].as_array().unwrap().clone();
        items.into_iter().find(|one| one["kind"] == "mail_failing")
    };
    while outbox(&app).await[0].attempts == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(failing(&admin).await, None);
    app.clock.advance(SignedDuration::from_mins(61));
    let notice = failing(&admin).await.unwrap();
    assert_eq!(
        (&notice["name"], &notice["reason"]),
        (
            &json!("Mail server"),
            &json!("the mail server answered 535")
        )
    );
    assert_eq!(failing(&app.role(Role::Manager).await).await, None);
}

#[tokio::test]
async fn a_person_hears_of_each_change_of_how_they_sign_in() {
    let server = match NodeServer::start("smtp.mjs", 0) {
        Ok(server) => server,
        Err(why) => return skip("letters", &why),
    };
    let app = start(server.port).await;
    let admin = app.admin().await;
    let ann = app.role(Role::Viewer).await;
    let known = ann.get("/api/account/mail").await.expect(200);
    // All that can be turned off is.
    let off = json!({ "off": known["kinds"] });
    ann.put("/api/account/mail", off).await.expect(200);
    app.send_messages();
    with_phone(&app, &ann).await;
    let renewed = ann.post("/api/account/recovery-codes", json!({})).await;
    renewed.expect(201);
    let token = json!({ "name": "x", "permissions": ["read"] });
    ann.post("/api/tokens", token).await.expect(201);
    let new = "another long pass phrase";
    let password = json!({ "present": PASSWORD, "password": new });
    ann.put("/api/account/password", password).await.expect(204);
    ann.delete("/api/account/totp").await.expect(204);
    with_phone(&app, &ann).await;
    let me = ann.get("/api/session").await.expect(200)["account"].clone();
    let path = format!("/api/accounts/{}", me["id"].as_str().unwrap());
    let reset = admin.delete(&format!("{path}/second-factor")).await;
    reset.expect(204);
    let mut letters = server.until(|lines| lines.len() == 7).await;
    letters.retain(|letter| letter["recipients"] == json!([me["email"]]));
    let mut subjects: Vec<_> = letters
        .iter()
        .map(|letter| letter["subject"].as_str().unwrap())
        .collect();
    subjects.sort_unstable();
    let expected = [
        "An API token of your account was made",
        "An administrator removed the second step of your account",
        "An app that shows one-time codes was added to your account",
        "An app that shows one-time codes was added to your account",
        "The app that shows one-time codes was removed from your account",
        "The password of your account was changed",
        "Your account has new recovery codes",
    ];
    assert_eq!(subjects, expected);
}

#[tokio::test]
async fn managers_hear_of_what_waits_unless_they_do_not_want_to() {
    let server = match NodeServer::start("smtp.mjs", 0) {
        Ok(server) => server,
        Err(why) => return skip("letters", &why),
    };
    let app = start(server.port).await;
    let admin = app.admin().await;
    let yard = admin.add_site("Yard", "UTC").await;
    let elsewhere = app
        .grant(Role::Manager, Scope::Site(yard.parse().unwrap()))
        .await;
    let quiet = app.role(Role::Manager).await;
    let preferences = json!({ "off": ["waiting", "summary"] });
    let set = quiet
        .put("/api/account/mail", preferences)
        .await
        .expect(200);
    assert_eq!(set["off"], json!(["waiting", "summary"]));
    assert_eq!(set["available"], true);
    let wrong = json!({ "off": ["invitation"] });
    let refused = quiet.put("/api/account/mail", wrong).await;
    refused.problem(422, "invalid");
    assert_eq!(refused.fields(), ["off[0]"]);
    assert_eq!(
        quiet.get("/api/account/mail").await.expect(200)["off"],
        set["off"]
    );
    drop(elsewhere);
    let ann = admin.add_employee("Ann <b>", "E7").await;
    let own = Grant::new(Role::Employee, Scope::Own).unwrap();
    let own = Access::new(Some(ann.parse().unwrap()), [own]).unwrap();
    let own = app.access(own).await;
    let correction = json!({
        "action": "add", "kind": "in", "at": "2026-03-02T08:00:00Z", "reason": "Forgot",
    });
    let path = format!("/api/employees/{ann}/corrections");
    own.post(&path, correction).await.expect(201);
    // To the next seven o'clock, and in any case to another hour.
    let now = app.clock.now();
    let day = SignedDuration::from_hours(24).as_secs();
    let seven = 7 * 3600 + 300;
    let ahead = (seven - now.as_second().rem_euclid(day)).rem_euclid(day);
    app.clock.advance(SignedDuration::from_secs(ahead));
    app.send_messages();
    let about = |line: &Value| {
        let to = line["recipients"][0].as_str().unwrap().to_owned();
        (to, line["subject"].as_str().unwrap().to_owned())
    };
    let summary = (
        "admin0@example.com".to_owned(),
        "Today in Rollcall: 1 correction".to_owned(),
    );
    let enough = |lines: &[Value]| lines.iter().any(|line| about(line) == summary);
    server.until(enough).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let lines = server.lines();
    let others: Vec<_> = lines
        .iter()
        .map(about)
        .filter(|one| one.0 != summary.0)
        .collect();
    assert!(others.is_empty(), "{others:?}");
    let letter = lines.iter().find(|line| about(line) == summary).unwrap();
    assert!(
        letter["text"]
            .as_str()
            .unwrap()
            .contains("It is about Ann <b>.")
    );
    assert!(letter["html"].as_str().unwrap().contains("Ann &lt;b&gt;"));
    assert!(
        letter["text"]
            .as_str()
            .unwrap()
            .contains("https://rollcall.example/inbox")
    );
    let before = lines.len();
    app.clock.advance(SignedDuration::from_secs(301));
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(server.lines().len(), before, "each once");
}

#[tokio::test]
async fn a_person_who_has_not_punched_out_gets_a_letter_and_a_webhook_a_message() {
    let server = match NodeServer::start("smtp.mjs", 0) {
        Ok(server) => server,
        Err(why) => return skip("letters", &why),
    };
    let (app, receiver) = (start(server.port).await, Receiver::start().await);
    let until = |moment: &str| {
        let moment: Timestamp = moment.parse().unwrap();
        app.clock.advance(moment.duration_since(app.clock.now()));
    };
    until("2027-03-01T07:00:00Z");
    let admin = app.admin().await;
    let ann = admin.add_employee("Ann", "E7").await;
    let new = json!({ "name": "Pay", "url": receiver.url(), "topics": ["exception.found"] });
    admin.post("/api/webhooks", new).await.expect(201);
    let early = json!({ "site": SiteId::DEFAULT, "name": "Early", "from": "08:00", "to": "16:00" });
    let early = admin.post("/api/shifts", early).await.expect(201)["id"].clone();
    let plan = json!({ "employees": [ann], "day": "2027-03-01", "shifts": [early] });
    admin.post("/api/assignments", plan).await.expect(201);
    app.employee(&ann).await;
    until("2027-03-01T08:00:00Z");
    let punch = json!({ "employee": ann, "kind": "in", "reason": "Kiosk is broken" });
    admin.post("/api/punches/manual", punch).await.expect(201);
    until("2027-03-01T17:00:01Z");
    app.send_messages();
    let message = receiver.count(1).await.remove(0).json();
    let data = &message["data"];
    assert_eq!(
        (&data["exception"], &data["workday"]),
        (&json!("missing_out"), &json!("2027-03-01"))
    );
    assert_eq!(data["shift_ended"], "2027-03-01T16:00:00.000Z");
    let letter = server.until(|lines| !lines.is_empty()).await.remove(0);
    assert_eq!(letter["recipients"], json!(["employee1@example.com"]));
    assert_eq!(letter["subject"], "You have not punched out on 2027-03-01");
    assert!(letter["text"].as_str().unwrap().contains("ended at 16:00"));
    // Each once, however often it is looked for.
    app.clock.advance(SignedDuration::from_mins(20));
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!((receiver.received().len(), server.lines().len()), (1, 1));
    // A webhook that is added afterwards does not get it.
    let late = Receiver::start().await;
    let new = json!({ "name": "Late", "url": late.url(), "topics": ["exception.found"] });
    app.admin()
        .await
        .post("/api/webhooks", new)
        .await
        .expect(201);
    app.clock.advance(SignedDuration::from_mins(6));
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(late.received().len(), 0);

    // Another person forgets it, and the receiver is gone: admins hear of it.
    receiver.answers_with(410);
    let bob = admin.add_employee("Bob", "E8").await;
    let plan = json!({ "employees": [bob], "day": "2027-03-02", "shifts": [early] });
    admin.post("/api/assignments", plan).await.expect(201);
    until("2027-03-02T08:00:00Z");
    let admin = app.admin().await;
    let punch = json!({ "employee": bob, "kind": "in", "reason": "Kiosk is broken" });
    admin.post("/api/punches/manual", punch).await.expect(201);
    until("2027-03-02T17:00:01Z");
    let is_disabled = |line: &Value| line["subject"] == "The webhook Pay was disabled";
    for _ in 0..100 {
        if server.lines().iter().any(is_disabled) {
            break;
        }
        app.clock.advance(SignedDuration::from_mins(1));
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let lines = server.until(|lines| lines.iter().any(is_disabled)).await;
    let letter = lines.iter().find(|line| is_disabled(line)).unwrap();
    assert!(letter["text"].as_str().unwrap().contains("answered 410"));
}

async fn forgot(app: &TestApp, email: &str) {
    let body = json!({ "email": email });
    let answer = app.anybody().post("/api/password-resets", body).await;
    assert_eq!(
        (answer.status.as_u16(), &*answer.text),
        (202, ""),
        "{email}"
    );
}

async fn look(app: &TestApp, token: &str) -> u16 {
    let body = json!({ "token": token });
    let answer = app.anybody().post("/api/invitations/look", body).await;
    answer.status.as_u16()
}

/// Returns the tokens of the links for a new password that were sent to an address.
fn tokens(letters: &[Value], email: &str) -> Vec<String> {
    let to = letters
        .iter()
        .filter(|letter| letter["recipients"] == json!([email]))
        .filter_map(|letter| letter["text"].as_str()?.split_once("/join#"));
    to.map(|(_, rest)| rest.split_whitespace().next().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_person_who_forgot_the_password_gets_a_link_and_nobody_learns_of_an_account() {
    let server = match NodeServer::start("smtp.mjs", 0) {
        Ok(server) => server,
        Err(why) => return skip("letters", &why),
    };
    let app = start(server.port).await;
    app.send_messages();
    let methods = app.anybody().get("/api/session/methods").await.expect(200);
    assert_eq!(methods["password_reset"], true);
    let admin = app.admin().await;
    let ann = app.role(Role::Viewer).await;
    app.role(Role::Viewer).await;
    app.role(Role::Viewer).await;
    let [ann_at, ben_at, cleo_at] = [1, 2, 3].map(|number| format!("viewer{number}@example.com"));
    let change = async |email: &str, edit: fn(Account) -> Account| {
        let email = Email::parse(email).unwrap();
        let account = app.stores.accounts.find_by_email(&email).await.unwrap();
        let changed = app.stores.accounts.change(account.unwrap().id, edit);
        assert!(changed.await.unwrap().is_some());
    };
    change(&ben_at, |account| Account {
        active: false,
        ..account
    })
    .await;
    // Of a person of the identity provider.
    change(&cleo_at, |account| Account {
        password_hash: String::new(),
        ..account
    })
    .await;
    let refused = app.anybody();
    let refused = refused.post("/api/password-resets", json!({ "email": "ann" }));
    assert_eq!(refused.await.fields(), ["email"]);

    // One after the other, so that the last letter shows that the others are not written.
    for email in [
        "stranger@example.com",
        &ben_at,
        &cleo_at,
        "Viewer1@Example.com",
    ] {
        forgot(&app, email).await;
    }
    let letters = server.until(|lines| !tokens(lines, &ann_at).is_empty());
    let letters = letters.await;
    assert_eq!(outbox(&app).await.len(), 1);
    let text = letters[0]["text"].as_str().unwrap();
    for words in ["on the sign-in page", "If you did not ask for it, ignore"] {
        assert!(text.contains(words), "{text}");
    }
    let first = tokens(&letters, &ann_at).remove(0);
    assert_eq!(look(&app, &first).await, 200);
    let trail = admin.get("/api/audit").await.expect(200);
    let asked = trail["items"].as_array().unwrap().iter();
    let mut asked = asked.filter(|entry| entry["action"] == "account.forgot");
    let asked = asked.next().unwrap();
    assert_eq!(
        (&asked["actor"]["kind"], &asked["detail"]),
        (&json!("system"), &json!("from 127.0.0.1"))
    );

    // A new link ends the one before, not that of an admin. After three, there is none for an hour.
    let me = ann.get("/api/session").await.expect(200);
    let path = format!(
        "/api/accounts/{}/password-reset",
        me["account"]["id"].as_str().unwrap()
    );
    admin.post(&path, json!({})).await.expect(201);
    for _ in 0..4 {
        forgot(&app, &ann_at).await;
    }
    forgot(&app, "admin0@example.com").await;
    let letters = server.until(|lines| lines.len() == 5).await;
    assert_eq!(outbox(&app).await.len(), 5);
    assert_eq!(tokens(&letters, "admin0@example.com").len(), 1);
    let mut open = 0;
    for token in &tokens(&letters, &ann_at) {
        open += usize::from(look(&app, token).await == 200);
    }
    assert_eq!(open, 2, "the last one and that of the admin");
    app.clock.advance(SignedDuration::from_mins(61));
    forgot(&app, &ann_at).await;
    let letters = server
        .until(|lines| tokens(lines, &ann_at).len() == 5)
        .await;
    let last = tokens(&letters, &ann_at).pop().unwrap();

    // The new password ends the sessions and the other links.
    let new = json!({ "token": last, "password": "another long pass phrase" });
    let set = app.anybody().post("/api/invitations/accept", new).await;
    set.expect(200);
    ann.get("/api/session")
        .await
        .problem(401, "unauthenticated");
    for token in tokens(&letters, &ann_at) {
        assert_eq!(look(&app, &token).await, 410);
    }

    // So does a password that the person changes because of a letter that they did not expect.
    app.clock.advance(SignedDuration::from_mins(61));
    forgot(&app, "admin0@example.com").await;
    let mine = |lines: &[Value]| tokens(lines, "admin0@example.com").len() == 2;
    let letters = server.until(mine).await;
    let link = tokens(&letters, "admin0@example.com").pop().unwrap();
    assert_eq!(look(&app, &link).await, 200);
    let new = json!({ "present": PASSWORD, "password": "another long pass phrase" });
    admin.put("/api/account/password", new).await.expect(204);
    assert_eq!(look(&app, &link).await, 410);
}

#[tokio::test]
async fn without_a_mail_server_a_person_who_forgot_the_password_learns_whom_to_ask() {
    let app = TestApp::start().await;
    let body = json!({ "email": "ann@example.com" });
    let refused = app.anybody().post("/api/password-resets", body).await;
    let problem = refused.problem(409, "mail_unavailable");
    let detail = problem["detail"].as_str().unwrap();
    for words in ["ask an admin", "rollcall admin reset-password --email"] {
        assert!(detail.contains(words), "{detail}");
    }
    let methods = app.anybody().get("/api/session/methods").await.expect(200);
    assert_eq!(methods["password_reset"], false);
}
