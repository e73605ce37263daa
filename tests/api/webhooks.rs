//! Webhooks over the API, with real receivers.

use std::{collections::BTreeSet, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use jiff::SignedDuration;
use rollcall::{
    domain::{
        attendance::{Moment, Origin, Proof, PunchKind},
        ids::{DeviceId, EmployeeId, SiteId},
        messages::{Channel, Topic, WebhookState, WebhookUrl},
    },
    senders::Allowed,
    service::punch_ledger::{NewPunch, PunchPoint, Recorded},
};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    app::{Client, Kiosk, Options, TestApp},
    receiver::{Answering, Received, Receiver},
};

/// Checks the signature as a receiver does, by the words of the specification.
fn signed_with(message: &Received, secret: &str) -> bool {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap());
    let (id, timestamp) = (message.id(), message.header("webhook-timestamp"));
    let mut mac = Hmac::<Sha256>::new_from_slice(&key.unwrap()).unwrap();
    mac.update(format!("{id}.{timestamp}.{}", message.body).as_bytes());
    let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    let signatures = message.header("webhook-signature").split(' ');
    signatures.into_iter().any(|one| one == expected)
}

async fn start() -> TestApp {
    TestApp::with(|options| options.cooldown = SignedDuration::ZERO).await
}

/// Adds a webhook; returns its ID and its secret.
async fn add(admin: &Client, url: &str, topics: &[&str]) -> (String, String) {
    let new = json!({ "name": "Payroll", "url": url, "topics": topics });
    let answer = admin.post("/api/webhooks", new).await;
    let added = answer.expect(201);
    let found = admin.get(answer.header("location")).await.expect(200);
    assert_eq!(
        (&found["id"], &found["secret"]),
        (&added["id"], &Value::Null)
    );
    let text = |name: &str| added[name].as_str().unwrap().to_owned();
    (text("id"), text("secret"))
}

/// Writes a punch now; returns its ID.
async fn punch(app: &TestApp, employee: &str) -> String {
    let id: EmployeeId = employee.parse().unwrap();
    let employee = app.stores.employees.find(id).await.unwrap().unwrap();
    let point = PunchPoint {
        origin: Origin::Device(DeviceId::new(uuid::Uuid::now_v7())),
        site: SiteId::DEFAULT,
        gap: SignedDuration::ZERO,
    };
    let now = rollcall::clock::Clock::now(&*app.clock);
    let new = NewPunch {
        employee: &employee,
        point: &point,
        proof: Proof::Pin,
        moment: Moment::of(now, None, None),
        kind: Some(PunchKind::In),
        request: None,
    };
    match app.app.ledger.record(new, |_| {}).await.unwrap() {
        Recorded::Written(punch) => punch.id.to_string(),
        other => panic!("{other:?}"),
    }
}

async fn deliveries(admin: &Client, webhook: &str) -> Vec<Value> {
    let path = format!("/api/webhooks/{webhook}/deliveries");
    let list = admin.get(&path).await.expect(200);
    list["items"].as_array().unwrap().clone()
}

/// Waits until all deliveries to a webhook are in a state.
async fn until_all(admin: &Client, webhook: &str, state: &str) -> Vec<Value> {
    for _ in 0..3000 {
        let found = deliveries(admin, webhook).await;
        if !found.is_empty() && found.iter().all(|one| one["state"] == state) {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{:?}", deliveries(admin, webhook).await);
}

fn punch_of(message: &Received) -> String {
    message.json()["data"]["punch"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_punch_arrives_signed_once_and_says_nothing_about_the_face() {
    let (app, receiver) = (start().await, Receiver::start().await);
    let admin = app.admin().await;
    let ann = admin.add_employee("Ann", "E7").await;
    let before = punch(&app, &ann).await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    let (id, secret) = add(&admin, &receiver.url(), &["punch.created"]).await;
    app.send_messages();
    let made = punch(&app, &ann).await;
    let message = receiver.count(1).await.remove(0);
    assert!(signed_with(&message, &secret));
    assert!(!signed_with(
        &message,
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    ));
    assert_eq!(message.header("content-type"), "application/json");
    let body = message.json();
    assert_eq!(body["type"], "punch.created");
    let data = &body["data"];
    assert_eq!(data["punch"], made.as_str());
    assert_ne!(made, before);
    assert_eq!(data["employee"], json!({ "id": ann, "code": "E7" }));
    assert_eq!(data["site"]["name"], "Main site");
    assert_eq!(
        (&data["kind"], &data["proof"]),
        (&json!("in"), &json!("pin"))
    );
    for word in ["Ann", "similarity", "threshold", "liveness"] {
        assert!(!message.body.contains(word), "{word}");
    }
    let done = until_all(&admin, &id, "delivered").await;
    assert_eq!(done.len(), 1, "what happened before is not sent");
    assert_eq!(done[0]["id"], message.id());
    assert_eq!(
        (&done[0]["status"], &done[0]["attempts"]),
        (&json!(204), &json!(1))
    );

    // With names, and only of one site.
    let yard = admin.add_site("Yard", "UTC").await;
    let path = format!("/api/webhooks/{id}");
    let change = json!({ "with_names": true, "sites": [yard] });
    let changed = admin.patch(&path, change).await.expect(200);
    assert_eq!(changed["sites"], json!([yard]));
    assert!(changed.get("secret").is_none());
    punch(&app, &ann).await;
    let all = json!({ "sites": null });
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(receiver.received().len(), 1);
    admin.patch(&path, all).await.expect(200);
    punch(&app, &ann).await;
    let received = receiver.until(|all| all.iter().any(|one| one.body.contains("Ann")));
    let named = received.await.pop().unwrap();
    assert_eq!(named.json()["data"]["employee"]["name"], "Ann");

    admin.delete(&path).await.expect(204);
    admin
        .get(&format!("{path}/deliveries"))
        .await
        .problem(404, "not_found");
    let channel = Channel::Webhook(id.parse().unwrap());
    let left = app.stores.deliveries.remove_channel(channel).await;
    assert_eq!(left, Ok(0));
}

/// Returns the topic of a message and the state that it reports.
fn change_of(message: &Received) -> (String, String) {
    let data = &message.json()["data"];
    let state = data["state"].as_str().map(str::to_owned);
    (
        message.topic(),
        state.unwrap_or_else(|| data["enrolled"].to_string()),
    )
}

#[tokio::test]
async fn every_change_becomes_its_messages_once() {
    let (app, receiver) = (start().await, Receiver::start().await);
    let admin = app.admin().await;
    let words: Vec<_> = Topic::ALL.iter().map(|topic| topic.as_str()).collect();
    add(&admin, &receiver.url(), &words).await;
    app.send_messages();
    let seen = std::cell::Cell::new(0);
    let expect = async |changes: &[(&str, &str)]| {
        let begin = seen.get();
        seen.set(begin + changes.len());
        let received = receiver.count(seen.get()).await;
        let found: Vec<_> = received[begin..].iter().map(change_of).collect();
        let found: Vec<_> = found.iter().map(|one| (&*one.0, &*one.1)).collect();
        assert_eq!(found, changes);
        received[begin].json()["data"].clone()
    };
    let call = async |client: &Client, path: &str, body: Value| {
        let answer = client.post(path, body).await;
        assert!(answer.status.is_success(), "{path}: {}", answer.text);
        answer.json()
    };
    let ann = app.enrolled(&admin).await;
    expect(&[("enrollment.changed", "true")]).await;
    let own = app.employee(&ann).await;

    let path = format!("/api/employees/{ann}/corrections");
    let filed = async |client: &Client, hour: u8| {
        let at = format!("2026-03-02T{hour:02}:00:00Z");
        let new = json!({ "action": "add", "kind": "in", "at": at, "reason": "Forgot" });
        call(client, &path, new).await["id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    for (hour, client, verb, state) in [
        (8, &admin, "approve", "approved"),
        (9, &admin, "reject", "rejected"),
        (10, &own, "withdraw", "withdrawn"),
    ] {
        let id = filed(&own, hour).await;
        let data = expect(&[("correction.filed", "requested")]).await;
        assert_eq!(
            (&data["correction"], &data["change"]["action"]),
            (&json!(id), &json!("add"))
        );
        call(client, &format!("/api/corrections/{id}/{verb}"), json!({})).await;
        let decided = ("correction.decided", state);
        match verb {
            "approve" => expect(&[decided, ("punch.corrected", state)]).await,
            _ => expect(&[decided]).await,
        };
    }
    filed(&admin, 12).await;
    expect(&[
        ("correction.filed", "approved"),
        ("punch.corrected", "approved"),
    ])
    .await;

    let sheet = format!("/api/timesheets/{ann}:2026-01-01");
    call(&own, &format!("{sheet}/submit"), json!({})).await;
    expect(&[("timesheet.submitted", "submitted")]).await;
    let digest = admin.get(&sheet).await.expect(200)["digest"].clone();
    call(
        &admin,
        &format!("{sheet}/approve"),
        json!({ "digest": digest }),
    )
    .await;
    expect(&[("timesheet.approved", "approved")]).await;
    call(&admin, &format!("{sheet}/lock"), json!({})).await;
    expect(&[("timesheet.locked", "locked")]).await;
    call(&admin, &format!("{sheet}/unlock"), json!({})).await;
    expect(&[("timesheet.reopened", "open")]).await;
    // If two approve at the same moment, one of them does it.
    let manager = app.role(rollcall::domain::grants::Role::Manager).await;
    for month in 2..=9 {
        if month == 3 {
            continue;
        }
        let sheet = format!("/api/timesheets/{ann}:2026-{month:02}-01");
        let digest = admin.get(&sheet).await.expect(200)["digest"].clone();
        let approve = async |client: &Client| {
            let body = json!({ "digest": digest });
            client
                .post(&format!("{sheet}/approve"), body)
                .await
                .status
                .as_u16()
        };
        let answers = futures::join!(approve(&admin), approve(&manager));
        assert!([answers.0, answers.1].contains(&200), "{answers:?}");
        expect(&[("timesheet.approved", "approved")]).await;
    }

    let kind = json!({ "name": "Vacation", "paid": true });
    let kind = call(&admin, "/api/leave-kinds", kind).await["id"].clone();
    let asked = async |client: &Client, month: u8, approved: bool| {
        let (from, to) = (format!("2027-{month:02}-01"), format!("2027-{month:02}-02"));
        let new =
            json!({ "employee": ann, "kind": kind, "from": from, "to": to, "approved": approved });
        call(client, "/api/leave", new).await["id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    for (month, client, verbs) in [
        (
            3,
            &admin,
            [("approve", "approved"), ("cancel", "cancelled")].as_slice(),
        ),
        (4, &admin, &[("reject", "rejected")]),
        (5, &own, &[("withdraw", "withdrawn")]),
    ] {
        let id = asked(&own, month, false).await;
        expect(&[("leave.requested", "requested")]).await;
        for (verb, state) in verbs {
            call(client, &format!("/api/leave/{id}/{verb}"), json!({})).await;
            let data = expect(&[("leave.decided", state)]).await;
            assert_eq!(data["leave"], id.as_str());
        }
    }
    asked(&admin, 6, true).await;
    expect(&[("leave.decided", "approved")]).await;

    let templates = format!("/api/employees/{ann}/templates");
    admin.delete(&templates).await.expect(204);
    expect(&[("enrollment.changed", "false")]).await;
    // The others have tests of their own: punches, missing outs and kiosks.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let received = receiver.received();
    assert_eq!(received.len(), seen.get(), "each once");
    let reported: BTreeSet<_> = received.iter().map(Received::topic).collect();
    let others = [
        "punch.created",
        "exception.found",
        "device.silent",
        "device.back",
    ];
    let missing: Vec<_> = words
        .iter()
        .filter(|word| !reported.contains(**word))
        .collect();
    assert!(
        missing.iter().all(|word| others.contains(word)),
        "{missing:?}"
    );
}

/// Starts a server that answers with a beginning, and then with pieces without end.
async fn endless(begin: &'static str, piece: &'static [u8], pause: Duration) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let mut open = stream.write_all(begin.as_bytes()).await.is_ok();
                while open {
                    open = stream.write_all(piece).await.is_ok();
                    tokio::time::sleep(pause).await;
                }
            });
        }
    });
    format!("http://{address}/")
}

#[tokio::test]
async fn a_receiver_cannot_keep_the_service_busy_with_its_answer() {
    let app = start().await;
    let admin = app.admin().await;
    let slow = Duration::from_millis(200);
    let slow_head = endless("HTTP/1.1 200 OK\r\nx-endless: ", b"a", slow).await;
    let slow_body = endless(
        "HTTP/1.1 200 OK\r\ncontent-length: 9999999\r\n\r\n",
        b"a",
        slow,
    )
    .await;
    const PIECE: &[u8] = &[b'a'; 64 << 10];
    let large = "HTTP/1.1 200 OK\r\ncontent-length: 999999999999\r\n\r\n";
    let large = endless(large, PIECE, Duration::ZERO).await;
    let outcome = async |url: &str| {
        let (id, _) = add(&admin, url, &["punch.created"]).await;
        let begin = std::time::Instant::now();
        let test = format!("/api/webhooks/{id}/test");
        let sent = admin.post(&test, json!({})).await.expect(200);
        let error = sent["error"].as_str().unwrap_or_default().to_owned();
        (sent["state"].clone(), error, begin.elapsed())
    };
    let (head, body) = futures::join!(outcome(&slow_head), outcome(&slow_body));
    assert_eq!(
        (&head.0, &*head.1),
        (&json!("failed"), "the receiver did not answer in time")
    );
    // The status was enough.
    assert_eq!(body.0, "delivered");
    for took in [head.2, body.2] {
        assert!(took < Duration::from_secs(25), "{took:?}");
    }
    let (state, _, took) = outcome(&large).await;
    assert_eq!(state, "delivered");
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[tokio::test]
async fn nothing_stays_of_what_is_written_while_a_webhook_is_removed() {
    let (app, receiver) = (start().await, Receiver::start().await);
    let admin = app.admin().await;
    let ann = admin.add_employee("Ann", "E7").await;
    let (id, _) = add(&admin, &receiver.url(), &["punch.created"]).await;
    app.send_messages();
    punch(&app, &ann).await;
    receiver.count(1).await;
    until_all(&admin, &id, "delivered").await;
    let channel = Channel::Webhook(id.parse().unwrap());
    let page = rollcall::ports::Page {
        after: None,
        limit: 1,
    };
    let stored = app
        .stores
        .deliveries
        .list(channel, None, &page)
        .await
        .unwrap();
    let remove = format!("/api/webhooks/{id}");
    admin.delete(&remove).await.expect(204);
    // A look that was under way writes it after that.
    assert_eq!(app.stores.deliveries.add(&stored[0]).await, Ok(true));
    for _ in 0..500 {
        let left = app
            .stores
            .deliveries
            .list(channel, None, &page)
            .await
            .unwrap();
        if left.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it stays");
}

/// Reports the state of a kiosk, as its page does every minute.
async fn report(app: &TestApp, kiosk: &Kiosk) {
    let now = rollcall::clock::Clock::now(&*app.clock).to_string();
    let body = json!({ "version": "0.1.0", "unsent": 0, "camera": "on", "now": now });
    let answer = kiosk.client.post("/api/device/status", body).await;
    answer.expect(200);
}

#[tokio::test]
async fn a_kiosk_that_falls_silent_and_comes_back_is_reported_once_each() {
    let (app, receiver) = (start().await, Receiver::start().await);
    let admin = app.admin().await;
    let topics = ["device.silent", "device.back"];
    add(&admin, &receiver.url(), &topics).await;
    let (kiosk, other) = (app.kiosk().await, app.kiosk().await);
    report(&app, &kiosk).await;
    report(&app, &other).await;
    let stop = app.send_messages();
    let minutes = async |minutes| {
        app.clock.advance(SignedDuration::from_mins(minutes));
        // The lease ends when the clock jumps, and is taken again.
        tokio::time::sleep(Duration::from_secs(5)).await;
    };
    minutes(14).await;
    report(&app, &other).await;
    minutes(2).await;
    // The other instances of the service may have been off as well: a moment to report.
    assert_eq!(receiver.received().len(), 0);
    minutes(3).await;
    let silent = receiver.count(1).await.remove(0);
    assert_eq!(silent.topic(), "device.silent");
    let data = &silent.json()["data"];
    let device = json!({ "id": kiosk.id, "name": "Front door" });
    assert_eq!(
        (&data["device"], &data["employee"]),
        (&device, &Value::Null)
    );
    assert_eq!(data["site"]["name"], "Main site");
    // Another holder of the lease reports it no second time, but knows of it.
    stop.cancel();
    app.send_messages();
    report(&app, &other).await;
    minutes(1).await;
    minutes(3).await;
    assert_eq!(receiver.received().len(), 1);
    report(&app, &kiosk).await;
    report(&app, &other).await;
    minutes(1).await;
    minutes(1).await;
    let received = receiver.count(2).await;
    assert_eq!(received.len(), 2, "{received:?}");
    assert_eq!(received[1].topic(), "device.back");
    let back = &received[1].json()["data"];
    assert_eq!(
        (&back["device"], &back["silent_since"]),
        (&device, &data["seen_at"])
    );
}

#[tokio::test]
async fn an_earlier_change_is_sent_before_later_punches() {
    let (app, receiver) = (start().await, Receiver::start().await);
    let admin = app.admin().await;
    let ann = admin.add_employee("Ann", "E7").await;
    let topics = ["punch.created", "correction.filed", "correction.decided"];
    // The place of the collector is written while nothing happens.
    let stop = app.send_messages();
    let (id, _) = add(&admin, &receiver.url(), &topics).await;
    punch(&app, &ann).await;
    until_all(&admin, &id, "delivered").await;
    stop.cancel();
    let own = app.employee(&ann).await;
    let correction = json!({
        "action": "add", "kind": "in", "at": "2026-03-02T08:00:00Z", "reason": "Forgot",
    });
    let path = format!("/api/employees/{ann}/corrections");
    let filed = own.post(&path, correction).await.expect(201)["id"].clone();
    let approve = format!("/api/corrections/{}/approve", filed.as_str().unwrap());
    admin.post(&approve, json!({})).await.expect(200);
    // More than a page of punches, so that the courier has time to send the first ones.
    for _ in 0..600 {
        punch(&app, &ann).await;
    }
    app.send_messages();
    let received = receiver.count(1 + 2 + 1).await;
    let topics: Vec<_> = received[1..3].iter().map(Received::topic).collect();
    assert_eq!(topics, ["correction.filed", "correction.decided"]);
}

#[tokio::test]
async fn what_happens_at_the_same_moment_keeps_its_order() {
    let (app, receiver) = (start().await, Receiver::start().await);
    let admin = app.admin().await;
    let ann = admin.add_employee("Ann", "E7").await;
    let topics = ["correction.filed", "correction.decided", "punch.corrected"];
    add(&admin, &receiver.url(), &topics).await;
    let own = app.employee(&ann).await;
    let path = format!("/api/employees/{ann}/corrections");
    // Whether the IDs of messages happen to be in the right order differs from one to the next.
    const CORRECTIONS: usize = 8;
    for hour in 0..CORRECTIONS {
        let correction = json!({
            "action": "add", "kind": "in", "at": format!("2026-03-02T0{hour}:00:00Z"),
            "reason": "Forgot",
        });
        if hour % 2 == 0 {
            // Made by a manager: filed and corrected at once.
            admin.post(&path, correction).await.expect(201);
            continue;
        }
        let filed = own.post(&path, correction).await.expect(201)["id"].clone();
        let approve = format!("/api/corrections/{}/approve", filed.as_str().unwrap());
        admin.post(&approve, json!({})).await.expect(200);
    }
    app.send_messages();
    let received = receiver.count(CORRECTIONS / 2 * 5).await;
    let mut by_correction = std::collections::BTreeMap::<String, Vec<String>>::new();
    for message in &received {
        let id = message.json()["data"]["correction"].to_string();
        by_correction.entry(id).or_default().push(message.topic());
    }
    let mut all: Vec<_> = by_correction.into_values().collect();
    all.sort();
    let made = ["correction.filed", "punch.corrected"].as_slice();
    let approved = ["correction.filed", "correction.decided", "punch.corrected"].as_slice();
    let expected = [[approved; CORRECTIONS / 2], [made; CORRECTIONS / 2]].concat();
    assert_eq!(all, expected);
}

#[tokio::test]
async fn punches_keep_their_order_although_the_clock_of_another_instance_is_ahead() {
    let (app, receiver) = (start().await, Receiver::start().await);
    let admin = app.admin().await;
    let ann = admin.add_employee("Ann", "E7").await;
    add(&admin, &receiver.url(), &["punch.created"]).await;
    let mut made = Vec::new();
    for _ in 0..4 {
        app.clock.advance(SignedDuration::from_secs(2));
        made.push(punch(&app, &ann).await);
        app.clock.advance(SignedDuration::from_secs(-2));
        made.push(punch(&app, &ann).await);
    }
    app.send_messages();
    let received = receiver.count(made.len()).await;
    assert_eq!(received.iter().map(punch_of).collect::<Vec<_>>(), made);
    let sequences: Vec<_> = received
        .iter()
        .map(|one| one.json()["data"]["sequence"].as_u64().unwrap())
        .collect();
    assert!(sequences.is_sorted(), "{sequences:?}");
}

#[tokio::test]
async fn leave_that_is_imported_again_is_announced_as_new() {
    let (app, receiver) = (start().await, Receiver::start().await);
    let admin = app.admin().await;
    admin.add_employee("Ann", "E7").await;
    let topics = ["leave.decided", "punch.corrected", "correction.filed"];
    add(&admin, &receiver.url(), &topics).await;
    let kind = json!({ "name": "Vacation", "paid": true });
    admin.post("/api/leave-kinds", kind).await.expect(201);
    app.send_messages();
    let import = async |kind: &str, list: &str| {
        let path = format!("/api/imports/{kind}?dry_run=false");
        let answer = admin.post_bytes(&path, "text/csv", list.to_owned()).await;
        answer.expect(200);
    };
    let list = "code,kind,from,to\nE7,Vacation,2027-03-01,2027-03-02\n";
    import("leave", list).await;
    let first = receiver.count(1).await[0].json()["data"]["leave"].clone();
    let cancel = format!("/api/leave/{}/cancel", first.as_str().unwrap());
    admin.post(&cancel, json!({})).await.expect(200);
    receiver.count(2).await;
    import("leave", list).await;
    let received = receiver.count(3).await;
    let states: Vec<_> = received
        .iter()
        .map(|one| one.json()["data"]["state"].clone())
        .collect();
    assert_eq!(states, ["approved", "cancelled", "approved"]);
    let again = &received[2].json()["data"]["leave"];
    assert!(
        *again != first,
        "the leave that was taken back is not approved again"
    );
    // Punches of a list are not announced.
    import("punches", "code,date,time,kind\nE7,2026-03-02,08:00,in\n").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(receiver.received().len(), 3);
}

#[tokio::test]
async fn messages_of_an_employee_keep_their_order_and_hold_up_nobody_else() {
    let (app, receiver) = (start().await, Receiver::start().await);
    let admin = app.admin().await;
    let ann = admin.add_employee("Ann", "E7").await;
    let bob = admin.add_employee("Bob", "E8").await;
    let other = Receiver::start().await;
    let (id, _) = add(&admin, &receiver.url(), &["punch.created"]).await;
    add(&admin, &other.url(), &["punch.created"]).await;
    // The first message about Ann fails twice.
    let first = punch(&app, &ann).await;
    let poison = first.clone();
    let failures = std::sync::atomic::AtomicU32::new(0);
    receiver.answers(move |message| {
        let fails = punch_of(message) == poison
            && failures.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 2;
        Answering {
            status: Some(if fails { 500 } else { 200 }),
            ..Answering::default()
        }
    });
    let second = punch(&app, &ann).await;
    let others = [punch(&app, &bob).await, punch(&app, &bob).await];
    app.send_messages();
    let three = receiver.count(3).await;
    let seen: BTreeSet<_> = three.iter().map(punch_of).collect();
    assert_eq!(
        seen,
        BTreeSet::from([first.clone(), others[0].clone(), others[1].clone()])
    );
    assert_eq!(
        other.count(4).await.len(),
        4,
        "another receiver waits for nothing"
    );
    let waiting = deliveries(&admin, &id).await;
    let failed = waiting.iter().find(|one| one["status"] == 500).unwrap();
    assert_eq!(failed["error"], "the receiver answered 500");
    assert!(failed["next_attempt_at"].is_string());

    for seconds in [6, 31] {
        app.clock.advance(SignedDuration::from_secs(seconds));
        tokio::time::sleep(Duration::from_millis(50)).await;
        let count = if seconds == 6 { 4 } else { 6 };
        receiver.count(count).await;
    }
    let order: Vec<_> = receiver.received().iter().map(punch_of).collect();
    let of_ann: Vec<_> = order.iter().filter(|one| !others.contains(one)).collect();
    assert_eq!(of_ann, [&first, &first, &first, &second]);
    let of_bob: Vec<_> = order.iter().filter(|one| others.contains(one)).collect();
    assert_eq!(of_bob, [&others[0], &others[1]]);
    until_all(&admin, &id, "delivered").await;
}

#[tokio::test]
async fn a_receiver_that_was_down_gets_everything_and_a_slow_one_holds_up_nobody() {
    let (app, receiver) = (start().await, Receiver::start().await);
    let admin = app.admin().await;
    let ann = admin.add_employee("Ann", "E7").await;
    let slow = Receiver::start().await;
    slow.answers(|_| Answering {
        after: Duration::from_secs(3),
        ..Answering::default()
    });
    let (down, url) = (Receiver::start().await, slow.url());
    let down_url = down.url();
    let address = down.stop().await;
    add(&admin, &url, &["punch.created"]).await;
    let (unreachable, _) = add(&admin, &down_url, &["punch.created"]).await;
    add(&admin, &receiver.url(), &["punch.created"]).await;
    app.send_messages();
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(punch(&app, &ann).await);
    }
    let begin = std::time::Instant::now();
    receiver.count(5).await;
    assert!(begin.elapsed() < Duration::from_secs(3));
    let failed = async || {
        let all = deliveries(&admin, &unreachable).await;
        all.iter().any(|one| one["attempts"] == 1)
    };
    while !failed().await {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let all = deliveries(&admin, &unreachable).await;
    let error = all.iter().find_map(|one| one["error"].as_str()).unwrap();
    assert!(error.starts_with("could not connect"), "{error}");
    assert!(!error.contains("s3cret"), "{error}");
    // It comes back.
    let back = Receiver::at(address).await;
    app.clock.advance(SignedDuration::from_secs(60));
    let received = back.count(5).await;
    let order: Vec<_> = received.iter().map(punch_of).collect();
    assert_eq!(order, made);
    until_all(&admin, &unreachable, "delivered").await;
}

#[tokio::test]
async fn many_slow_receivers_hold_up_no_other_webhook() {
    let (app, fast) = (start().await, Receiver::start().await);
    let admin = app.admin().await;
    let mut employees = Vec::new();
    for number in 0..20 {
        let name = format!("Person {number}");
        employees.push(admin.add_employee(&name, &format!("E{number}")).await);
    }
    let mut slow = Vec::new();
    for _ in 0..12 {
        let receiver = Receiver::start().await;
        receiver.answers(|_| Answering {
            after: Duration::from_secs(14),
            ..Answering::default()
        });
        add(&admin, &receiver.url(), &["punch.created"]).await;
        slow.push(receiver);
    }
    for employee in &employees {
        punch(&app, employee).await;
    }
    app.send_messages();
    let enough = |all: &[Received]| all.len() >= 2;
    for receiver in &slow {
        receiver.until(|all| !all.is_empty()).await;
    }
    slow[0].until(enough).await;
    // Each has a slot, and the others are taken, too.
    add(&admin, &fast.url(), &["punch.created"]).await;
    punch(&app, &employees[0]).await;
    let begin = std::time::Instant::now();
    fast.count(1).await;
    assert!(
        begin.elapsed() < Duration::from_secs(8),
        "{:?}",
        begin.elapsed()
    );
}

#[tokio::test]
async fn a_long_lane_that_fails_holds_up_nobody_else() {
    let (app, receiver) = (start().await, Receiver::start().await);
    let admin = app.admin().await;
    let ann = admin.add_employee("Ann", "E7").await;
    let bob = admin.add_employee("Bob", "E8").await;
    add(&admin, &receiver.url(), &["punch.created"]).await;
    let poison = ann.clone();
    receiver.answers(move |message| Answering {
        status: message.body.contains(&poison).then_some(500),
        ..Answering::default()
    });
    for _ in 0..500 {
        punch(&app, &ann).await;
    }
    let last = punch(&app, &bob).await;
    app.send_messages();
    let of_bob = |all: &[Received]| all.iter().any(|one| punch_of(one) == last);
    receiver.count(1).await;
    let begin = std::time::Instant::now();
    let received = receiver.until(of_bob).await;
    assert!(
        begin.elapsed() < Duration::from_secs(3),
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(received.len(), 2, "only the first of the lane was tried");
}

#[tokio::test]
async fn an_overloaded_receiver_is_asked_by_one_message_at_a_time() {
    let (app, receiver) = (start().await, Receiver::start().await);
    let admin = app.admin().await;
    const PEOPLE: usize = 100;
    let mut employees = Vec::new();
    for number in 0..PEOPLE {
        let name = format!("Person {number}");
        employees.push(admin.add_employee(&name, &format!("E{number}")).await);
    }
    let begin = std::time::Instant::now();
    receiver.answers(move |_| Answering {
        status: Some(503),
        // The second pause would be four seconds.
        retry_after: (begin.elapsed() > Duration::from_secs(3)).then_some(60),
        ..Answering::default()
    });
    add(&admin, &receiver.url(), &["punch.created"]).await;
    for employee in &employees {
        punch(&app, employee).await;
    }
    app.send_messages();
    // Those that were under way together, and one after each pause.
    tokio::time::sleep(Duration::from_secs(12)).await;
    let asked = receiver.received().len();
    assert!((2..=7).contains(&asked), "{asked}");
    receiver.answers_with(204);
    app.clock.advance(SignedDuration::from_mins(6));
    let all = |received: &[Received]| {
        let ids: BTreeSet<_> = received.iter().map(|one| one.id().to_owned()).collect();
        ids.len() == PEOPLE && received.len() == asked + PEOPLE
    };
    receiver.until(all).await;
}

#[tokio::test]
async fn a_receiver_that_is_gone_or_accepts_nothing_is_disabled() {
    let (app, receiver) = (start().await, Receiver::start().await);
    let admin = app.admin().await;
    let ann = admin.add_employee("Ann", "E7").await;
    receiver.answers_with(410);
    let (id, _) = add(&admin, &receiver.url(), &["punch.created"]).await;
    app.send_messages();
    punch(&app, &ann).await;
    until_all(&admin, &id, "failed").await;
    let state = async || {
        let all = admin.get("/api/webhooks").await.expect(200);
        all["items"][0].clone()
    };
    while state().await["state"] == "on" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let gone = state().await;
    assert_eq!(gone["state"], "disabled");
    assert_eq!(
        gone["disabled_reason"],
        "the receiver answered 410: it is gone"
    );
    assert_eq!(gone["active"], false);
    let path = format!("/api/webhooks/{id}");
    // A change of the name does not turn it on.
    let renamed = admin
        .patch(&path, json!({ "name": "Pay" }))
        .await
        .expect(200);
    assert_eq!(renamed["state"], "disabled");
    let turned = admin
        .patch(&path, json!({ "active": true }))
        .await
        .expect(200);
    assert_eq!(
        (&turned["state"], &turned["disabled_reason"]),
        (&json!("on"), &Value::Null)
    );

    // It accepts nothing for three days.
    receiver.answers_with(503);
    punch(&app, &ann).await;
    let stored = async || {
        let found = app.stores.webhooks.find(id.parse().unwrap()).await.unwrap();
        found.unwrap().state
    };
    for _ in 0..1000 {
        if stored().await != WebhookState::On {
            break;
        }
        app.clock.advance(SignedDuration::from_hours(9));
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    // The sessions have ended meanwhile.
    let admin = app.admin().await;
    match stored().await {
        WebhookState::Disabled { reason, .. } => {
            assert_eq!(reason, "the receiver accepted nothing for three days");
        }
        state => panic!("{state:?}"),
    }
    let notices = admin.get("/api/notices").await.expect(200);
    let items = notices["items"].as_array().unwrap();
    let notice = items.iter().find(|one| one["kind"] == "webhook_disabled");
    assert_eq!(notice.unwrap()["id"], id.as_str(), "{notices}");
    let manager = app.role(rollcall::domain::grants::Role::Manager).await;
    let notices = manager.get("/api/notices").await.expect(200);
    assert_eq!(notices["items"], json!([]));

    // What was given up can be sent again, with the same ID.
    receiver.answers_with(200);
    admin
        .patch(&path, json!({ "active": true }))
        .await
        .expect(200);
    let failed = deliveries(&admin, &id).await[0].clone();
    let replay = format!("/api/deliveries/{}/replay", failed["id"].as_str().unwrap());
    let again = admin.post(&replay, json!({})).await.expect(200);
    assert_eq!(again["state"], "waiting");
    let count = receiver.received().len();
    let last = receiver.count(count + 1).await.pop().unwrap();
    assert_eq!(last.id(), failed["id"]);
    // The same body with a new signature.
    assert_eq!(last.body, failed["body"].as_str().unwrap());
}

#[tokio::test]
async fn a_webhook_that_is_turned_on_again_is_patient_again() {
    let (app, receiver) = (start().await, Receiver::start().await);
    let admin = app.admin().await;
    let ann = admin.add_employee("Ann", "E7").await;
    receiver.answers_with(500);
    let (id, _) = add(&admin, &receiver.url(), &["punch.created"]).await;
    let path = format!("/api/webhooks/{id}");
    app.send_messages();
    punch(&app, &ann).await;
    receiver.count(1).await;
    app.clock.advance(SignedDuration::from_secs(10));
    receiver.count(2).await;
    let turn = async |active: bool| {
        let body = json!({ "active": active });
        app.admin().await.patch(&path, body).await.expect(200);
    };
    turn(false).await;
    app.clock.advance(SignedDuration::from_hours(4 * 24));
    // That a test is accepted says nothing about messages.
    receiver.answers_with(204);
    let test = format!("{path}/test");
    app.admin().await.post(&test, json!({})).await.expect(200);
    receiver.answers_with(500);
    turn(true).await;
    receiver.count(4).await;
    let admin = app.admin().await;
    let attempts = async || {
        let all = deliveries(&admin, &id).await;
        all.iter()
            .find(|one| one["topic"] == "punch.created")
            .unwrap()
            .clone()
    };
    while attempts().await["attempts"] != 3 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(attempts().await["state"], "waiting");
    let webhook = app.stores.webhooks.find(id.parse().unwrap()).await.unwrap();
    assert_eq!(webhook.unwrap().state, WebhookState::On);
}

#[tokio::test]
async fn what_was_given_up_is_sent_again_in_order_by_one_request() {
    let (app, receiver) = (start().await, Receiver::start().await);
    let admin = app.admin().await;
    let ann = admin.add_employee("Ann", "E7").await;
    let (id, _) = add(&admin, &receiver.url(), &["punch.created"]).await;
    let (path, mut made) = (format!("/api/webhooks/{id}"), Vec::new());
    let stop = app.send_messages();
    for _ in 0..4 {
        made.push(punch(&app, &ann).await);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    receiver.count(4).await;
    until_all(&admin, &id, "delivered").await;
    stop.cancel();
    let mut all = deliveries(&admin, &id).await;
    all.reverse();
    let now = rollcall::clock::Clock::now(&*app.clock);
    for one in &all {
        let id = one["id"].as_str().unwrap().parse().unwrap();
        let failed = |one: rollcall::domain::messages::Delivery| {
            Some(one.given_up(now, "the receiver answered 500".to_owned()))
        };
        app.stores.deliveries.change(id, failed).await.unwrap();
    }
    let since = json!({ "since": all[1]["at"] });
    let replay = format!("{path}/replay");
    let answer = admin.post(&replay, since).await.expect(200);
    assert_eq!(answer, json!({ "replayed": 3 }));
    app.send_messages();
    let received = receiver.count(7).await;
    let again: Vec<_> = received[4..].iter().map(punch_of).collect();
    assert_eq!(again, made[1..]);
    let wrong = admin.post(&replay, json!({ "since": "today" })).await;
    wrong.problem(422, "invalid");
}

#[tokio::test]
async fn both_secrets_sign_for_a_day_after_a_rotation() {
    let (app, receiver) = (start().await, Receiver::start().await);
    let admin = app.admin().await;
    let (id, old) = add(&admin, &receiver.url(), &["punch.created"]).await;
    let path = format!("/api/webhooks/{id}");
    let rotated = admin
        .post(&format!("{path}/rotate"), json!({}))
        .await
        .expect(200);
    let new = rotated["secret"].as_str().unwrap();
    assert_ne!(new, old);
    assert!(rotated["old_secret_until"].is_string());
    let test = async |admin: &Client| {
        let sent = admin
            .post(&format!("{path}/test"), json!({}))
            .await
            .expect(200);
        assert_eq!(
            (&sent["state"], &sent["topic"]),
            (&json!("delivered"), &json!("webhook.test"))
        );
        let all = receiver.received();
        let last = all.last().unwrap().clone();
        assert_eq!(sent["id"], last.id());
        last
    };
    let message = test(&admin).await;
    assert!(signed_with(&message, new) && signed_with(&message, &old));
    // The new one was not copied, and another one is made, and so on: the receiver has the first.
    let mut new = new.to_owned();
    for _ in 0..4 {
        let again = format!("{path}/rotate");
        let rotated = admin.post(&again, json!({})).await.expect(200);
        new = rotated["secret"].as_str().unwrap().to_owned();
        let message = test(&admin).await;
        assert!(signed_with(&message, &new) && signed_with(&message, &old));
    }
    let new = new.as_str();
    app.clock.advance(SignedDuration::from_hours(25));
    let again = app.admin().await;
    let message = test(&again).await;
    assert!(signed_with(&message, new) && !signed_with(&message, &old));
    // The store has no secret in clear.
    let stored = app.stores.webhooks.find(id.parse().unwrap()).await.unwrap();
    let stored = serde_json::to_string(&stored.unwrap()).unwrap();
    for secret in [new, &old] {
        assert!(!stored.contains(secret.strip_prefix("whsec_").unwrap()));
    }
    let trail = app.stores.audit.latest(10).await.unwrap();
    let actions: Vec<_> = trail.iter().map(|one| one.action.as_str()).collect();
    assert!(actions.contains(&"webhook.add") && actions.contains(&"webhook.rotate"));
}

/// Sends a test; returns its outcome.
async fn tested(admin: &Client, url: &str) -> Value {
    let (id, _) = add(admin, url, &["punch.created"]).await;
    let path = format!("/api/webhooks/{id}");
    let sent = admin
        .post(&format!("{path}/test"), json!({}))
        .await
        .expect(200);
    // A failed test does not disable it.
    let all = admin.get("/api/webhooks").await.expect(200);
    assert_eq!(all["items"][0]["state"], "on");
    admin.delete(&path).await.expect(204);
    sent
}

#[tokio::test]
async fn a_webhook_leads_only_where_it_may() {
    let inside = Receiver::start().await;
    let none = |options: &mut Options| options.webhooks_allowed = Allowed::default();
    let app = TestApp::with(none).await;
    let admin = app.admin().await;
    let port = inside.address.port();
    let resolved = format!("http://localhost:{port}/");
    let sent = tested(&admin, &resolved).await;
    assert_eq!(sent["state"], "failed");
    let error = sent["error"].as_str().unwrap();
    assert!(error.contains("WEBHOOK_ALLOW"), "{error}");
    // An address that is written down is refused before anything waits for it.
    let (id, _) = add(&admin, &resolved, &["punch.created"]).await;
    let path = format!("/api/webhooks/{id}");
    for host in [
        "127.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "2130706433",
        "0x7f.1",
        "0.0.0.0",
        "10.0.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "[fd00::1]",
        "[fe80::1]",
    ] {
        let url = format!("http://{host}:{port}/");
        let new = json!({ "name": "Inside", "url": url, "topics": ["punch.created"] });
        let added = admin.post("/api/webhooks", new).await;
        let changed = admin.patch(&path, json!({ "url": url })).await;
        for refused in [added, changed] {
            refused.problem(422, "invalid");
            assert_eq!(refused.fields(), ["url"], "{host}");
            assert!(refused.text.contains("WEBHOOK_ALLOW"), "{}", refused.text);
        }
    }
    // One that is no longer allowed can be turned off, and not on again.
    let stored = &app.stores.webhooks;
    let old = stored.find(id.parse().unwrap()).await.unwrap().unwrap();
    let mut inward = old.clone();
    inward.settings.url = WebhookUrl::parse("http://10.0.0.1/").unwrap();
    assert!(stored.exchange(&old, &inward).await.unwrap());
    let turn = async |on: bool| admin.patch(&path, json!({ "active": on })).await;
    turn(false).await.expect(200);
    turn(true).await.problem(422, "invalid");
    assert_eq!(inside.received().len(), 0);

    // A name may be allowed, and a redirect is never followed.
    let by_name = |options: &mut Options| {
        options.webhooks_allowed = Allowed {
            networks: Vec::new(),
            hosts: vec!["localhost".to_owned()],
        };
    };
    let app = TestApp::with(by_name).await;
    let admin = app.admin().await;
    let target = Receiver::start().await;
    let sent = tested(&admin, &format!("http://localhost:{port}/")).await;
    assert_eq!(sent["state"], "delivered", "{sent}");
    let elsewhere = format!("http://localhost:{}/", target.address.port());
    inside.answers(move |_| Answering {
        status: Some(307),
        location: Some(elsewhere.clone()),
        ..Answering::default()
    });
    let sent = tested(&admin, &format!("http://localhost:{port}/")).await;
    assert_eq!(
        (&sent["state"], &sent["status"]),
        (&json!("failed"), &json!(307))
    );
    assert!(
        sent["error"].as_str().unwrap().contains("redirect"),
        "{sent}"
    );
    assert_eq!(target.received().len(), 0);
}

#[tokio::test]
async fn settings_that_make_no_sense_are_refused() {
    let app = start().await;
    let admin = app.admin().await;
    let good = json!({ "name": "A", "url": "https://a.org/", "topics": ["punch.created"] });
    for (field, value, wrong) in [
        ("url", json!("ftp://a.org/"), "url"),
        ("url", json!("https://user:word@a.org/"), "url"),
        ("topics", json!([]), "topics"),
        ("topics", json!(["punch.deleted"]), "topics[0]"),
        ("sites", json!([]), "sites"),
        ("sites", json!(["x"]), "sites[0]"),
        ("sites", json!([uuid::Uuid::now_v7()]), "sites"),
        ("secret", json!("whsec_x"), "secret"),
        ("name", json!(""), "name"),
    ] {
        let mut body = good.clone();
        body[field] = value;
        let answer = admin.post("/api/webhooks", body).await;
        answer.problem(422, "invalid");
        assert_eq!(answer.fields(), [wrong], "{}", answer.text);
    }
    for number in 0..50 {
        let answer = admin.post("/api/webhooks", good.clone()).await;
        assert_eq!(answer.status.as_u16(), 201, "{number}");
    }
    admin
        .post("/api/webhooks", good)
        .await
        .problem(409, "too_many_webhooks");
    let waiting = format!("/api/deliveries/{}/replay", uuid::Uuid::now_v7());
    admin
        .post(&waiting, json!({}))
        .await
        .problem(404, "not_found");
}

#[tokio::test]
async fn one_instance_sends_at_a_time_and_another_takes_over() {
    let (app, receiver) = (start().await, Receiver::start().await);
    let admin = app.admin().await;
    let ann = admin.add_employee("Ann", "E7").await;
    add(&admin, &receiver.url(), &["punch.created"]).await;
    // Slow answers make it likely that a second instance would send the same message.
    receiver.answers(|_| Answering {
        after: Duration::from_millis(100),
        ..Answering::default()
    });
    let first = app.send_messages();
    app.send_messages();
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(punch(&app, &ann).await);
    }
    receiver.count(5).await;
    first.cancel();
    for _ in 0..5 {
        made.push(punch(&app, &ann).await);
    }
    receiver.count(10).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let received = receiver.received();
    let ids: BTreeSet<_> = received.iter().map(|one| one.id().to_owned()).collect();
    assert_eq!(ids.len(), 10);
    // The instance that stopped may have sent one whose answer it did not read.
    assert!(received.len() <= 11, "{}", received.len());
    let mut order: Vec<_> = received.iter().map(punch_of).collect();
    order.dedup();
    assert_eq!(order, made);
}
