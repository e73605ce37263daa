//! Letters, with a real mail server.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use rollcall::{
    clock::Clock,
    domain::{
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

fn sender(port: u16) -> Arc<dyn MailSending> {
    let url = format!("smtp://rollcall:s3cret@127.0.0.1:{port}");
    Arc::new(MailSender::new(&url, FROM, &Trust::default()).unwrap())
}

async fn start(port: u16) -> TestApp {
    TestApp::with(|options| options.mail = Some(sender(port))).await
}

async fn outbox(app: &TestApp) -> Vec<Delivery> {
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
