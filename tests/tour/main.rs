//! The tour: an installation from its set-up to its messages, with the real program, the included
//! model pack, real photos, a real mail server and real receivers of webhooks. Each part is tested
//! alone elsewhere; this shows that they fit together.

#[path = "../support/node.rs"]
#[expect(dead_code, reason = "other tests stop it")]
mod node;
#[path = "../support/ports.rs"]
mod ports;
#[path = "../support/receiver.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod receiver;
#[path = "../support/runtime.rs"]
mod runtime;
mod service;
#[path = "../support/skip.rs"]
mod skip;

use std::{
    collections::{BTreeMap, HashSet},
    net::SocketAddr,
    sync::Mutex,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use jiff::{SignedDuration, Timestamp};
use node::NodeServer;
use receiver::{Answering, Received, Receiver};
use serde_json::{Value, json};
use service::{Caller, Service, items, text, until};
use sha2::Sha256;

/// The most time that all of it may take.
const ALL: Duration = Duration::from_mins(6);

const ADMIN: (&str, &str) = ("ada@example.com", "umbrella walrus 71 lantern");
const MANAGER: (&str, &str) = ("grace@example.com", "quarry violin 38 thistle");
const EMPLOYEE: (&str, &str) = ("barack@example.com", "pepper glacier 52 saddle");
const MAIL_PASSWORD: &str = "s3cret";
/// The part of the webhook's address that only its receiver knows.
const HOOK_KEY: &str = "h00k-k3y";
const PIN: &str = "40281739";

const TOPICS: [&str; 6] = [
    "punch.created",
    "punch.corrected",
    "correction.filed",
    "correction.decided",
    "enrollment.changed",
    "timesheet.submitted",
];

#[tokio::test]
async fn an_installation_works_from_its_set_up_to_its_messages() {
    if runtime::missing() {
        return;
    }
    let mail = match NodeServer::start("smtp.mjs", 0) {
        Ok(mail) => mail,
        Err(why) => return skip::skip("the tour", &why),
    };
    let tour = tokio::time::timeout(ALL, tour(&mail));
    tour.await.expect("the tour takes too long");
}

/// What must not be in logs and letters, with the name of each.
#[derive(Default)]
struct Secrets(BTreeMap<String, String>);

impl Secrets {
    fn add(&mut self, name: &str, secret: &str) {
        assert!(!secret.is_empty(), "{name}");
        self.0.insert(name.to_owned(), secret.to_owned());
    }

    /// Returns the names of those that are in a text, besides some.
    fn found_in(&self, text: &[u8], besides: &[&str]) -> Vec<&str> {
        let contains = |secret: &str| memchr::memmem::find(text, secret.as_bytes()).is_some();
        let found = self.0.iter().filter(|(_, secret)| contains(secret));
        let names = found.map(|(name, _)| name.as_str());
        names.filter(|name| !besides.contains(name)).collect()
    }
}

async fn tour(mail: &NodeServer) {
    let mut secrets = Secrets::default();
    for (name, secret) in [
        ("password of the admin", ADMIN.1),
        ("password of the manager", MANAGER.1),
        ("password of the employee", EMPLOYEE.1),
        ("password of the mail server", MAIL_PASSWORD),
        ("key of the webhook's address", HOOK_KEY),
        ("PIN", PIN),
    ] {
        secrets.add(name, secret);
    }
    let smtp = format!("smtp://rollcall:{MAIL_PASSWORD}@127.0.0.1:{}", mail.port);
    let mut service = Service::start(vec![
        ("STORE", "sqlite".to_owned()),
        ("SMTP_URL", smtp),
        ("MAIL_FROM", "Rollcall <rollcall@example.org>".to_owned()),
        ("WEBHOOK_ALLOW", "127.0.0.2".to_owned()),
        ("COOLDOWN", "0s".to_owned()),
        ("REPLAY_WINDOW", "off".to_owned()),
        ("LOG_LEVEL", "debug".to_owned()),
    ])
    .await;

    // The admin sets up, and adds two sites and two webhooks.
    let admin = set_up(&service, &mut secrets).await;
    let (harbor, yard) = (site(&admin, "Harbor").await, site(&admin, "Yard").await);
    let elsewhere = Receiver::start().await;
    let private = Receiver::start().await;
    let here: SocketAddr = ([127, 0, 0, 2], ports::free_port()).into();
    let url = |host: String| format!("http://{host}/hook?key={HOOK_KEY}");
    let hook = webhook(
        &admin,
        json!({ "name": "Payroll", "url": url(here.to_string()), "topics": TOPICS, "sites": [harbor] }),
    );
    let (hook, hook_secret) = hook.await;
    // Not before its name is resolved.
    let name = format!("localhost:{}", private.address.port());
    let refused = webhook(
        &admin,
        json!({ "name": "Router", "url": url(name), "topics": TOPICS }),
    );
    let (refused, refused_secret) = refused.await;
    secrets.add("secret of the webhook", &hook_secret);
    secrets.add("secret of the refused webhook", &refused_secret);
    let test = format!("/api/webhooks/{refused}/test");
    let tested = admin.post(&test, json!({})).await.expect(200);
    assert_eq!(tested["state"], "failed");
    assert_refused(&tested);

    // A manager of one site is invited, and sees only that site.
    let elsewhere_employed = add_employee(&admin, "Eileen Collins", "Y1", &yard).await;
    let grants = json!([{ "role": "manager", "site": harbor }]);
    let new = json!({ "email": MANAGER.0, "name": "Grace", "grants": grants });
    let sent = admin.post("/api/invitations", new).await.expect(201);
    assert_eq!((&sent["sent"], &sent["link"]), (&json!(true), &Value::Null));
    let link = invited(mail, &service, MANAGER.0).await;
    secrets.add("link of the manager", &link);
    let manager = service.caller();
    let accepted = accept(&manager, &link, MANAGER.1).await;
    assert_eq!(accepted["account"]["email"], MANAGER.0);
    let sites = items(&manager.get("/api/sites").await.expect(200));
    let names: Vec<_> = sites.iter().map(|site| text(site, "name")).collect();
    assert_eq!(names, ["Harbor"]);
    let of_yard = format!("/api/employees/{elsewhere_employed}");
    manager.get(&of_yard).await.problem(404, "not_found");
    let seen = manager.get("/api/employees").await.expect(200);
    assert!(items(&seen).is_empty(), "{seen}");
    let settings = manager.get("/api/webhooks").await;
    settings.problem(403, "forbidden");

    // The manager adds an employee and invites them; the employee enrolls their own face.
    let barack = add_employee(&manager, "Barack Obama", "H1", &harbor).await;
    let new = json!({
        "email": EMPLOYEE.0, "grants": [{ "role": "employee" }], "employee": barack, "enroll": true,
    });
    let sent = manager.post("/api/invitations", new).await.expect(201);
    assert_eq!(sent["purpose"], "account_and_face");
    let link = invited(mail, &service, EMPLOYEE.0).await;
    secrets.add("link of the employee", &link);
    let employee = service.caller();
    join(&service, &employee, &link).await;
    let me = employee.get("/api/me").await.expect(200);
    assert_eq!(me["employee"]["id"], barack);

    // The receiver is down until the first message has failed.
    let failed = until("an attempt while the receiver is down", async || {
        let tried = deliveries(&admin, &hook).await;
        tried.into_iter().find(|one| one["attempts"] == 1)
    });
    let failed = failed.await;
    assert_eq!(failed["topic"], "enrollment.changed");
    assert!(text(&failed, "error").contains("could not connect"));
    let receiver = Receiver::at(here).await;
    receiver.answers(moody(elsewhere.url()));

    // The employee punches with face, PIN and badge, and with a face that is "not me".
    let kiosk = kiosk(&service, (&admin, &manager), &harbor, &mut secrets).await;
    let path = format!("/api/employees/{barack}");
    let pin = json!({ "pin": PIN });
    let set = manager.put(&format!("{path}/pin"), pin).await;
    set.expect(200);
    let badge = manager.post(&format!("{path}/badge"), json!({})).await;
    let badge = text(&badge.expect(201), "code");
    secrets.add("badge", &badge);
    let look = async |photo| {
        let path = "/api/punches";
        kiosk.photos(path, "image", &[photo], &[]).await
    };
    let with_face = async || punched(look("obama3").await);
    let with_pin = async || {
        let body = json!({ "code": "H1", "pin": PIN });
        punched(kiosk.post("/api/punches/pin", body).await)
    };
    let with_badge = async || {
        let body = json!({ "badge": badge });
        punched(kiosk.post("/api/punches/badge", body).await)
    };
    let mut punches = vec![with_face().await, with_pin().await, with_badge().await];
    let stranger = look("biden").await.expect(200);
    assert_eq!(stranger["outcome"], "nobody");
    let mistaken = with_face().await;
    punches.push(mistaken.clone());
    let not_me = format!("/api/punches/{mistaken}/not-me");
    kiosk.post(&not_me, json!({})).await.expect(204);

    // The manager decides on that, and on what the employee asks for.
    let taken_back = waiting(&manager, &mistaken).await;
    decide(&manager, &taken_back).await;
    let at = (Timestamp::now() - SignedDuration::from_hours(2)).to_string();
    let forgot = json!({ "action": "add", "kind": "in", "at": at, "reason": "Forgot to punch" });
    let filed = employee.post(&format!("{path}/corrections"), forgot).await;
    let filed = filed.expect(201);
    assert_eq!(filed["state"], "requested");
    let own = format!("/api/corrections/{}/approve", text(&filed, "id"));
    let not_allowed = employee.post(&own, json!({})).await;
    not_allowed.problem(403, "forbidden");
    let listed = waiting(&manager, &text(&filed, "punch")).await;
    assert_eq!(listed, text(&filed, "id"));
    decide(&manager, &listed).await;
    // An employee of the other site punches, too; the webhook is only for this one.
    let by_hand = json!({ "employee": elsewhere_employed, "reason": "The kiosk is broken" });
    admin.post("/api/punches/manual", by_hand).await.expect(201);

    let mut expected = vec!["enrollment.changed enrolled".to_owned()];
    expected.extend(punches.iter().map(|id| format!("punch.created {id}")));
    for correction in [&taken_back, &listed] {
        expected.push(format!("correction.filed {correction} requested"));
        expected.push(format!("correction.decided {correction} approved"));
        expected.push(format!("punch.corrected {correction} approved"));
    }
    receiver
        .until(|received| order(received).len() == expected.len())
        .await;
    let redirected = attempts(&receiver.received(), &punches[2]);
    assert_eq!(redirected, 2, "once with a redirect, once accepted");
    assert_eq!(attempts(&receiver.received(), &punches[1]), 2);
    assert_eq!(attempts(&receiver.received(), &punches[0]), 1, "slow");

    // The receiver fails when the program is killed: right after a punch was acknowledged whose
    // message waits behind another one.
    receiver.answers_with(500);
    let tried = with_pin().await;
    receiver
        .until(|received| attempts(received, &tried) > 0)
        .await;
    let last = with_badge().await;
    service.kill();
    assert_eq!(attempts(&receiver.received(), &last), 0);
    receiver.answers_with(204);
    service.restart().await;
    for id in [tried, last] {
        expected.push(format!("punch.created {id}"));
        punches.push(id);
    }
    let received = receiver
        .until(|received| order(received).len() == expected.len())
        .await;

    // Everything is still there, and the sessions are valid.
    let own = items(&employee.get("/api/me/punches").await.expect(200));
    let own: Vec<_> = own.iter().rev().map(|punch| text(punch, "id")).collect();
    assert_eq!(own, punches);
    until("the outcomes of all messages", async || {
        let all = deliveries(&admin, &hook).await;
        let accepted = all.iter().all(|one| one["state"] == "delivered");
        (accepted && all.len() == expected.len()).then_some(())
    })
    .await;

    // All messages arrived signed and in order, and nothing came where it must not.
    assert_eq!(order(&received), expected);
    for message in &received {
        assert!(is_signed(message, &hook_secret), "{message:?}");
        assert_eq!(message.json()["data"]["employee"]["id"], barack);
    }
    assert_eq!(elsewhere.received().len(), 0, "no redirect is followed");
    assert_eq!(private.received().len(), 0, "a private address");
    let kept = deliveries(&admin, &refused).await;
    let more = ["the test", "the punch by hand"].len();
    assert_eq!(kept.len(), expected.len() + more);
    assert!(kept.iter().all(|one| one["state"] != "delivered"));
    let tried = kept.iter().filter(|one| one["attempts"] != 0);
    assert!(tried.inspect(|one| assert_refused(one)).count() >= 3);

    // A sign-in in another browser is reported by mail.
    let body = json!({ "email": MANAGER.0, "password": MANAGER.1 });
    let other = service.caller().post("/api/session", body).await;
    other.expect(200);
    let letters = mail
        .until(|letters| letters.iter().any(|one| is_about(one, "New sign-in")))
        .await;
    assert_eq!(service.stop().await, Some(0));
    no_secret_leaks(&service, &letters, secrets);
}

/// Sets up with the token that the program printed; returns the admin.
async fn set_up(service: &Service, secrets: &mut Secrets) -> Caller {
    let token = until("the set-up link", async || {
        let output = service.output();
        let (_, rest) = output.split_once("/setup#")?;
        rest.split_once('\n').map(|(token, _)| token.to_owned())
    });
    let token = token.await;
    secrets.add("set-up token", token.trim());
    let admin = service.caller();
    let (email, password) = ADMIN;
    let body = |token: &str| json!({ "token": token, "email": email, "name": "Ada", "password": password });
    let wrong = admin.post("/api/setup", body("wrong")).await;
    wrong.problem(403, "bad_setup_token");
    admin
        .post("/api/setup", body(token.trim()))
        .await
        .expect(201);
    let again = service.caller();
    let again = again.post("/api/setup", body(token.trim())).await;
    again.problem(409, "already_set_up");
    admin
}

/// Adds a site; returns its ID.
async fn site(admin: &Caller, name: &str) -> String {
    let new = json!({ "name": name, "zone": "UTC", "pin_digits": PIN.len() });
    text(&admin.post("/api/sites", new).await.expect(201), "id")
}

/// Adds a webhook; returns its ID and secret.
async fn webhook(admin: &Caller, new: Value) -> (String, String) {
    let made = admin.post("/api/webhooks", new).await.expect(201);
    (text(&made, "id"), text(&made, "secret"))
}

/// Adds an employee of a site; returns the ID.
async fn add_employee(by: &Caller, name: &str, code: &str, site: &str) -> String {
    let new = json!({ "name": name, "code": code, "site": site });
    text(&by.post("/api/employees", new).await.expect(201), "id")
}

/// Waits for the letter with an invitation; returns the token of its link.
async fn invited(mail: &NodeServer, service: &Service, email: &str) -> String {
    let is_it = |letter: &Value| {
        letter["recipients"] == json!([email]) && is_about(letter, "You are invited")
    };
    let letters = mail.until(|letters| letters.iter().any(is_it)).await;
    let letter = letters.iter().find(|letter| is_it(letter)).unwrap();
    let link = format!("{}/join#", service.address());
    let (body, html) = (text(letter, "text"), text(letter, "html"));
    let (_, rest) = body.split_once(&link).expect("the letter has the link");
    let token = rest.split_whitespace().next().unwrap().to_owned();
    assert!(html.contains(&format!("\"{link}{token}\"")), "{html}");
    token
}

fn is_about(letter: &Value, subject: &str) -> bool {
    letter["subject"].as_str().unwrap().starts_with(subject)
}

/// Creates the account of an invitation.
async fn accept(person: &Caller, token: &str, password: &str) -> Value {
    let body = json!({ "token": token, "password": password });
    let accepted = person.post("/api/invitations/accept", body).await;
    accepted.expect(200)
}

/// Uses the link of an employee for everything that it allows; after that it allows nothing.
async fn join(service: &Service, employee: &Caller, token: &str) {
    let look = async || {
        let visitor = service.caller();
        let body = json!({ "token": token });
        visitor.post("/api/invitations/look", body).await
    };
    let offer = look().await.expect(200);
    assert_eq!(
        (&offer["name"], &offer["site"]),
        (&json!("Barack Obama"), &json!("Harbor"))
    );
    accept(employee, token, EMPLOYEE.1).await;
    let offer = look().await.expect(200);
    assert_eq!(offer["purpose"], "face");
    let enroll = async |consent: &str| {
        let texts = [("token", token), ("consent", consent)];
        let photos = ["obama", "obama2"];
        let path = "/api/invitations/enroll";
        employee.photos(path, "photo", &photos, &texts).await
    };
    enroll("").await.problem(422, "consent_required");
    let version = text(&offer["consent"], "version");
    let enrolled = enroll(&version).await.expect(201);
    assert_eq!(enrolled["photos"].as_array().unwrap().len(), 2);

    look().await.problem(410, "invitation_ended");
    enroll(&version).await.problem(410, "invitation_ended");
    let body = json!({ "token": token, "password": EMPLOYEE.1 });
    let again = service.caller();
    let again = again.post("/api/invitations/accept", body).await;
    again.problem(410, "invitation_ended");
    let consent = employee.get("/api/me/consent").await.expect(200);
    let given = &consent["consent"];
    assert_eq!(given["given"], "invitation", "{given}");
    assert_eq!(given["text"], version, "{given}");
}

/// Pairs a kiosk, which only an admin may do; returns it.
async fn kiosk(
    service: &Service,
    (admin, manager): (&Caller, &Caller),
    site: &str,
    secrets: &mut Secrets,
) -> Caller {
    let begun = service.caller().post("/api/pairings", json!({})).await;
    let begun = begun.expect(201);
    let secret = text(&begun, "secret");
    let new = json!({ "name": "Front door", "site": site, "code": begun["code"] });
    let refused = manager.post("/api/devices", new.clone()).await;
    refused.problem(403, "forbidden");
    let device = admin.post("/api/devices", new).await.expect(201);
    assert_eq!(device["site_name"], "Harbor");
    let paired = service.bearer(&secret).get("/api/pairing").await;
    let token = text(&paired.expect(200), "token");
    secrets.add("secret of the pairing", &secret);
    secrets.add("token of the kiosk", &token);
    service.bearer(&token)
}

/// Returns the ID of a new punch.
#[track_caller]
fn punched(answer: service::Answer) -> String {
    let answer = answer.expect(201);
    assert_eq!(answer["outcome"], "punched");
    assert_eq!(answer["name"], "Barack Obama");
    text(&answer["punch"], "id")
}

/// Returns the ID of the correction of a punch that waits for a manager.
async fn waiting(manager: &Caller, punch: &str) -> String {
    let inbox = items(&manager.get("/api/corrections").await.expect(200));
    let [correction] = inbox.as_slice() else {
        panic!("{inbox:?}");
    };
    assert_eq!(correction["punch"], punch);
    text(correction, "id")
}

async fn decide(manager: &Caller, correction: &str) {
    let path = format!("/api/corrections/{correction}/approve");
    let approved = manager.post(&path, json!({})).await.expect(200);
    assert_eq!(approved["state"], "approved");
}

/// Returns how the receiver answers the first attempt of a message: slowly for a face, with an
/// error for a PIN, with a redirect for a badge. It accepts everything else.
fn moody(elsewhere: String) -> impl Fn(&Received) -> Answering + Send + Sync {
    let known = Mutex::new(HashSet::new());
    move |message| {
        let first = known.lock().unwrap().insert(message.id().to_owned());
        let mut answer = Answering::default();
        match message.json()["data"]["proof"].as_str() {
            Some("face") if first => answer.after = Duration::from_secs(2),
            Some("pin") if first => answer.status = Some(500),
            Some("badge") if first => {
                answer.status = Some(302);
                answer.location = Some(elsewhere.clone());
            }
            _ => {}
        }
        answer
    }
}

/// Returns all deliveries of a webhook.
async fn deliveries(admin: &Caller, webhook: &str) -> Vec<Value> {
    let path = format!("/api/webhooks/{webhook}/deliveries?limit=100");
    items(&admin.get(&path).await.expect(200))
}

/// Checks that a delivery says that its address is not allowed.
#[track_caller]
fn assert_refused(delivery: &Value) {
    let error = text(delivery, "error");
    let says = error.contains("is not on the internet") && error.contains("WEBHOOK_ALLOW");
    assert!(says, "{error}");
    assert_eq!(delivery["status"], Value::Null);
}

/// Returns how often a punch arrived.
fn attempts(received: &[Received], punch: &str) -> usize {
    let is_it = |one: &&Received| one.json()["data"]["punch"] == punch;
    received.iter().filter(is_it).count()
}

/// Returns what arrived, in its order, without repetitions. What happened at the same moment is
/// sorted by name.
fn order(received: &[Received]) -> Vec<String> {
    let summary = |message: &Received| {
        let message = message.json();
        let (topic, data) = (text(&message, "type"), &message["data"]);
        let what = match topic.as_str() {
            "punch.created" => text(data, "punch"),
            "enrollment.changed" if data["enrolled"] == true => "enrolled".to_owned(),
            _ => format!("{} {}", text(data, "correction"), text(data, "state")),
        };
        (text(&message, "timestamp"), format!("{topic} {what}"))
    };
    let mut all: Vec<_> = received.iter().map(summary).collect();
    // A message that was not accepted comes again before the next one.
    all.dedup();
    let by_time = |(one, _): &(String, String), (other, _): &(String, String)| one <= other;
    assert!(all.is_sorted_by(by_time), "{all:#?}");
    all.sort();
    all.into_iter().map(|(_, what)| what).collect()
}

/// Checks the signature of a message, by the specification *Standard Webhooks*.
fn is_signed(message: &Received, secret: &str) -> bool {
    let (id, timestamp) = (message.id(), message.header("webhook-timestamp"));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let age = now.as_secs().abs_diff(timestamp.parse().unwrap());
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap());
    let mut mac = Hmac::<Sha256>::new_from_slice(&key.unwrap()).unwrap();
    mac.update(format!("{id}.{timestamp}.{}", message.body).as_bytes());
    let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    age < 300 && message.header("webhook-signature") == expected
}

/// Checks the letters, the log, the output and the files of data. Links are only in the letters to
/// the people whom they invite.
fn no_secret_leaks(service: &Service, letters: &[Value], mut secrets: Secrets) {
    for (number, cookie) in service.cookies().iter().enumerate() {
        secrets.add(&format!("cookie {number}"), cookie);
    }
    let mut about = BTreeMap::new();
    for letter in letters {
        let (subject, recipients) = (text(letter, "subject"), &letter["recipients"]);
        let own = match recipients[0].as_str().unwrap() {
            email if email == MANAGER.0 => "link of the manager",
            email if email == EMPLOYEE.0 => "link of the employee",
            _ => "none",
        };
        let own = [own];
        let besides = if is_about(letter, "You are invited") {
            &own[..]
        } else {
            &[]
        };
        let found = secrets.found_in(letter.to_string().as_bytes(), besides);
        assert_eq!(found, [""; 0], "in a letter: {subject}");
        let to = recipients.to_string();
        *about.entry((subject, to)).or_insert(0) += 1;
    }
    // A full hour or the time of the daily letter may have passed meanwhile.
    about.retain(|(subject, _), _| {
        !subject.starts_with("New in your inbox") && !subject.starts_with("Today in Rollcall")
    });
    let one = |subject: &str, to: &str| ((subject.to_owned(), json!([to]).to_string()), 1);
    let expected = BTreeMap::from([
        one("You are invited to Rollcall", MANAGER.0),
        one("You are invited to Rollcall", EMPLOYEE.0),
        one("New sign-in to your account", MANAGER.0),
    ]);
    assert_eq!(about, expected);

    let log = service.log();
    let begun = log.matches("sending messages").count();
    assert_eq!(begun, 2, "before and after the kill");
    assert_eq!(secrets.found_in(log.as_bytes(), &[]), [""; 0], "in the log");
    let output = service.output();
    let found = secrets.found_in(output.as_bytes(), &["set-up token"]);
    assert_eq!(found, [""; 0], "in the output");
    // The address of a webhook is a setting, which the admin reads again.
    for (path, bytes) in service.files() {
        let found = secrets.found_in(&bytes, &["key of the webhook's address"]);
        assert_eq!(found, [""; 0], "in {}", path.display());
    }
}
