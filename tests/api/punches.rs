//! Punches: exactly once, at the right time, by the right person.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use reqwest::Method;
use rollcall::domain::{
    attendance::{Origin, Proof, Punch},
    grants::Role,
    ids::{AccountId, PunchId},
    text::Reason,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::app::{Client, TestApp, at_once, count, images, photo};

async fn punches(client: &Client) -> Vec<Value> {
    let list = client.get("/api/punches").await.expect(200);
    list["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_day_is_in_cooldown_out_and_the_next_day_starts_with_in() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let id = app.enrolled(&admin).await;
    let kiosk = app.kiosk().await;
    let face = photo("obama3");

    let came = kiosk.punch(&face).await.expect(201);
    assert_eq!(
        (&came["outcome"], &came["name"]),
        (&json!("punched"), &json!("Barack Obama"))
    );
    let punch = &came["punch"];
    assert_eq!(
        (&punch["employee"], &punch["kind"]),
        (&json!(id), &json!("in"))
    );
    assert_eq!(punch["clock"], "server");
    assert_eq!(
        punch["origin"],
        json!({"kind": "device", "id": kiosk.id, "name": "Front door"})
    );
    let proof = &punch["proof"];
    assert_eq!(
        (&proof["kind"], &proof["frames"], &proof["look"]),
        (&json!("face"), &json!(1), &json!(1))
    );
    assert_eq!(proof["similarity"], came["similarity"]);
    assert!(came["similarity"].as_f64() >= came["threshold"].as_f64());
    assert!(came.get("more").is_none() && came.get("replayed").is_none());

    let again = kiosk.punch(&face).await.expect(200);
    assert_eq!(
        (&again["outcome"], &again["punch"]["id"]),
        (&json!("cooldown"), &punch["id"])
    );
    assert_eq!(again["name"], "Barack Obama");

    // Not longer, or the workday could end in between.
    app.clock.advance(SignedDuration::from_secs(61));
    let went = kiosk.punch(&face).await.expect(201);
    assert_eq!(went["punch"]["kind"], "out");
    app.clock.advance(SignedDuration::from_hours(24));
    let next_day = kiosk.punch(&face).await.expect(201);
    assert_eq!(next_day["punch"]["kind"], "in");
    // Yesterday's session has expired.
    let admin = app.admin().await;
    assert_eq!(punches(&admin).await.len(), 3);
    let one = format!("/api/punches/{}", punch["id"].as_str().unwrap());
    assert_eq!(admin.get(&one).await.expect(200), *punch);
    admin
        .get("/api/punches/0199f3a0-7c1e-7d5a-9f0e-2b7f6f0c1a2b")
        .await
        .problem(404, "not_found");
}

#[tokio::test]
async fn a_requested_kind_is_kept_and_a_burst_is_fused() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    app.enrolled(&admin).await;
    let kiosk = app.kiosk().await;
    let out = kiosk
        .punch_with("?kind=break_start", &[], &photo("obama3"))
        .await;
    assert_eq!(out.expect(201)["punch"]["kind"], "break_start");
    app.clock.advance(SignedDuration::from_mins(10));
    // The first frame has no usable face, so a quick look does not suffice.
    let frames = ["obama_cut_off", "obama", "obama2", "obama3"].map(photo);
    let form = images("image", &frames).text("kind", "out");
    let answer = kiosk
        .client
        .post_form("/api/punches", form)
        .await
        .expect(201);
    let punch = &answer["punch"];
    assert_eq!(
        (&punch["kind"], &punch["proof"]["frames"]),
        (&json!("out"), &json!(3))
    );
}

#[tokio::test]
async fn strangers_and_bad_pictures_get_a_response_and_write_nothing() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let id = app.enrolled(&admin).await;
    let kiosk = app.kiosk().await;
    let nobody = kiosk.punch(&photo("hopper")).await.expect(200);
    assert_eq!(nobody["outcome"], "nobody");
    for absent in ["name", "punch", "similarity", "threshold", "margin"] {
        assert!(nobody.get(absent).is_none(), "{absent}");
    }

    let wall = image::RgbImage::from_pixel(320, 240, image::Rgb([90, 90, 90]));
    let mut png = std::io::Cursor::new(Vec::new());
    wall.write_to(&mut png, image::ImageFormat::Png).unwrap();
    let empty = kiosk.punch(png.get_ref()).await.expect(200);
    assert_eq!(
        (&empty["outcome"], &empty["reason"]),
        (&json!("no_face"), &json!("no_face"))
    );
    assert!(empty["detail"].is_string());

    kiosk.punch(b"no image").await.problem(422, "bad_image");

    // Inactive and deleted employees are not identified.
    let path = format!("/api/employees/{id}");
    admin
        .patch(&path, json!({"active": false}))
        .await
        .expect(200);
    assert_eq!(
        kiosk.punch(&photo("obama3")).await.expect(200)["outcome"],
        "nobody"
    );
    admin
        .patch(&path, json!({"active": true}))
        .await
        .expect(200);
    admin.delete(&path).await.expect(204);
    assert_eq!(
        kiosk.punch(&photo("obama3")).await.expect(200)["outcome"],
        "nobody"
    );
    assert_eq!(punches(&admin).await.len(), 0);
}

#[tokio::test]
async fn a_picture_punches_once_in_thirty_days() {
    let month = SignedDuration::from_hours(30 * 24);
    let app = TestApp::with(|options| options.replay_window = Some(month)).await;
    let admin = app.admin().await;
    app.enrolled(&admin).await;
    let kiosk = app.kiosk().await;
    let first = kiosk.punch_once("1", &photo("obama3")).await.expect(201);
    app.clock.advance(SignedDuration::from_hours(9));
    // A retry of the same request is no replay.
    let retry = kiosk.punch_once("1", &photo("obama3")).await.expect(200);
    assert_eq!(retry["replayed"], true);
    let other = app.kiosk().await;
    for (device, pictures) in [
        (&kiosk, vec![photo("obama3")]),
        (&other, vec![photo("obama3")]),
        (&kiosk, vec![photo("obama2"), photo("obama3")]),
    ] {
        let form = images("image", &pictures);
        let again = device.client.post_form("/api/punches", form).await;
        let again = again.expect(200);
        assert_eq!(again["outcome"], "cooldown");
        assert_eq!(again["punch"]["id"], first["punch"]["id"]);
    }
    let left = kiosk.punch(&photo("obama2")).await.expect(201);
    assert_eq!(left["punch"]["kind"], "out");

    // A picture whose punch was taken back may show another person.
    app.clock.advance(SignedDuration::from_hours(15));
    let came = kiosk.punch(&photo("obama")).await.expect(201);
    let path = format!(
        "/api/punches/{}/not-me",
        came["punch"]["id"].as_str().unwrap()
    );
    let not_me = kiosk.client.post(&path, json!({})).await;
    assert!(not_me.status.is_success(), "{}", not_me.text);
    app.clock.advance(SignedDuration::from_mins(2));
    kiosk.punch(&photo("obama")).await.expect(201);

    app.clock.advance(month);
    kiosk.punch(&photo("obama3")).await.expect(201);
}

#[tokio::test]
async fn a_retry_gets_the_first_response() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    app.enrolled(&admin).await;
    let kiosk = app.kiosk().await;
    let face = photo("obama3");

    let first = kiosk.punch_once("one", &face).await.expect(201);
    app.clock.advance(SignedDuration::from_hours(1));
    let mut retry = kiosk.punch_once("one", &face).await.expect(200);
    assert_eq!(
        retry.as_object_mut().unwrap().remove("replayed"),
        Some(json!(true))
    );
    assert_eq!(retry, first);

    app.clock.advance(SignedDuration::from_hours(-1));
    let cooldown = kiosk.punch_once("two", &face).await.expect(200);
    assert_eq!(cooldown["outcome"], "cooldown");
    app.clock.advance(SignedDuration::from_hours(1));
    let retry = kiosk.punch_once("two", &face).await.expect(200);
    assert_eq!(
        (&retry["outcome"], &retry["replayed"]),
        (&json!("cooldown"), &json!(true))
    );

    let nobody = kiosk
        .punch_once("three", &photo("hopper"))
        .await
        .expect(200);
    assert_eq!(nobody["outcome"], "nobody");
    let retry = kiosk
        .punch_once("three", &photo("hopper"))
        .await
        .expect(200);
    assert_eq!(
        (&retry["outcome"], &retry["replayed"]),
        (&json!("nobody"), &json!(true))
    );

    let other = kiosk.punch_once("one", &photo("obama2")).await;
    other.problem(422, "idempotency_key_reused");
    let other = kiosk
        .punch_with("?kind=out", &[("idempotency-key", "one")], &face)
        .await;
    other.problem(422, "idempotency_key_reused");
    assert_eq!(punches(&admin).await.len(), 1);

    // The key belongs to the device: with another device it is another request.
    let elsewhere = app.kiosk().await.punch_once("one", &face).await.expect(201);
    assert_ne!(elsewhere["punch"]["id"], first["punch"]["id"]);
    for key in ["", "a b", &"k".repeat(129)] {
        let answer = kiosk.punch_once(key, &face).await;
        assert_eq!(answer.fields(), ["Idempotency-Key"], "{key:?}");
    }
}

#[tokio::test]
async fn twenty_concurrent_requests_with_one_key_are_one_punch() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    app.enrolled(&admin).await;
    let kiosk = app.kiosk().await;
    let face = photo("obama3");
    let answers = at_once(20, |_| kiosk.punch_once("same", &face)).await;
    let counts = count(&answers);
    assert_eq!(
        (counts.get(&201), counts.get(&200)),
        (Some(&1), Some(&19)),
        "{counts:?}"
    );
    let ids: BTreeSet<_> = answers
        .iter()
        .map(|answer| answer.json()["punch"]["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 1);
    assert!(
        answers
            .iter()
            .all(|answer| answer.json()["outcome"] == "punched")
    );
    assert_eq!(punches(&admin).await.len(), 1);
}

#[tokio::test]
async fn twenty_concurrent_requests_without_a_key_are_one_punch_in_the_cooldown() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    app.enrolled(&admin).await;
    let kiosk = app.kiosk().await;
    let face = photo("obama3");
    let answers = at_once(20, |_| kiosk.punch(&face)).await;
    let counts = count(&answers);
    assert_eq!(
        (counts.get(&201), counts.get(&200)),
        (Some(&1), Some(&19)),
        "{counts:?}"
    );
    let duplicates = answers.iter().filter(|answer| answer.status == 200);
    assert!(
        duplicates
            .into_iter()
            .all(|answer| answer.json()["outcome"] == "cooldown")
    );
    assert_eq!(punches(&admin).await.len(), 1);
}

#[tokio::test]
async fn offline_captures_are_accepted_within_limits() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    app.enrolled(&admin).await;
    let kiosk = app.kiosk().await;
    let face = photo("obama3");
    let ago = |hours| {
        let at = rollcall::clock::Clock::now(&*app.clock) - SignedDuration::from_hours(hours);
        format!("{at:.3}")
    };
    let two_hours = ago(2);
    let offline = kiosk
        .punch_with(&format!("?captured_at={two_hours}"), &[], &face)
        .await;
    let punch = &offline.expect(201)["punch"];
    assert_eq!(
        (&punch["clock"], &punch["at"]),
        (&json!("device"), &json!(two_hours))
    );
    assert_ne!(punch["recorded_at"], punch["at"]);

    // Too old, or in the future: the punch is kept, and does not count.
    for (hours, doubt, clock) in [(100, "too_old", "device"), (-5, "future", "server")] {
        let claimed = ago(hours);
        let other = app.kiosk().await;
        app.clock.advance(SignedDuration::from_mins(5));
        let answer = other
            .punch_with(&format!("?captured_at={claimed}"), &[], &face)
            .await;
        let punch = &answer.expect(201)["punch"];
        assert_eq!(
            (&punch["clock"], &punch["captured_at"], &punch["doubt"]),
            (&json!(clock), &json!(claimed), &json!(doubt))
        );
    }
    // Earlier than a punch that this device has already synchronized.
    app.clock.advance(SignedDuration::from_mins(5));
    kiosk.punch(&face).await.expect(201);
    app.clock.advance(SignedDuration::from_mins(5));
    let early = kiosk
        .punch_with(&format!("?captured_at={}", ago(1)), &[], &face)
        .await;
    let punch = &early.expect(201)["punch"];
    assert_eq!(
        (&punch["clock"], &punch["doubt"]),
        (&json!("server"), &json!("before_last"))
    );
    // A clock that is a year slow makes no difference if the device says when it sends.
    let other = app.kiosk().await;
    app.clock.advance(SignedDuration::from_mins(5));
    let query = format!("?captured_at={}&sent_at={}", ago(8762), ago(8760));
    let slow = other.punch_with(&query, &[], &face).await;
    let punch = &slow.expect(201)["punch"];
    assert_eq!(
        (&punch["clock"], &punch["doubt"]),
        (&json!("device"), &Value::Null)
    );
    let at: jiff::Timestamp = punch["at"].as_str().unwrap().parse().unwrap();
    let apart = at.duration_until(ago(2).parse().unwrap());
    assert!(apart < SignedDuration::from_mins(1), "{punch}");

    let form = images("image", std::slice::from_ref(&face)).text("captured_at", ago(0));
    let path = format!("/api/punches?captured_at={}", ago(0));
    let both = kiosk.client.post_form(&path, form).await;
    assert_eq!(both.fields(), ["captured_at"]);
}

#[tokio::test]
async fn attempts_are_numbered_one_to_three() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    app.enrolled(&admin).await;
    let kiosk = app.kiosk().await;
    let first = kiosk.punch(&photo("obama3")).await.expect(201);
    app.clock.advance(SignedDuration::from_mins(10));
    let second = kiosk
        .punch_with("", &[("rollcall-look", "2")], &photo("obama3"))
        .await
        .expect(201);
    app.clock.advance(SignedDuration::from_mins(10));
    assert!(
        second["threshold"].as_f64() > first["threshold"].as_f64(),
        "a second look has a share of the FPIR: {first} {second}"
    );
    let third = kiosk
        .punch_with("", &[("rollcall-look", "3")], &photo("obama3"))
        .await
        .expect(201);
    assert_eq!(third["punch"]["proof"]["look"], 3);
    for look in ["0", "4", "two", "-1", "1.0"] {
        let answer = kiosk
            .punch_with("", &[("rollcall-look", look)], &photo("hopper"))
            .await;
        assert_eq!(answer.fields(), ["Rollcall-Look"], "{look}");
    }
}

#[tokio::test]
async fn malformed_punches_are_refused_with_a_reason() {
    let app = TestApp::start().await;
    let kiosk = app.kiosk().await;
    let face = photo("hopper");
    for (query, field) in [
        ("?kind=lunch", "kind"),
        ("?captured_at=yesterday", "captured_at"),
    ] {
        let answer = kiosk.punch_with(query, &[], &face).await;
        answer.problem(422, "invalid");
        assert_eq!(answer.fields(), [field]);
    }
    let none = images("image", &[]).text("kind", "in");
    assert_eq!(
        kiosk.client.post_form("/api/punches", none).await.fields(),
        ["image"]
    );
    let six = images("image", &vec![face.clone(); 6]);
    assert_eq!(
        kiosk.client.post_form("/api/punches", six).await.fields(),
        ["image"]
    );
    let twice = images("image", std::slice::from_ref(&face)).text("kind", "in");
    let twice = kiosk.client.post_form("/api/punches?kind=in", twice).await;
    assert_eq!(twice.fields(), ["kind"]);
    kiosk
        .client
        .post("/api/punches", json!({"image": "x"}))
        .await
        .problem(415, "unsupported_type");
    let empty = kiosk
        .client
        .send(kiosk.client.request(Method::POST, "/api/punches"))
        .await;
    empty.problem(415, "unsupported_type");
}

#[tokio::test]
async fn punches_are_listed_newest_first_by_employee_device_and_time() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let id = app.enrolled(&admin).await;
    let (front, back) = (app.kiosk().await, app.kiosk().await);
    let mut times = Vec::new();
    for number in 0..5 {
        let kiosk = if number % 2 == 0 { &front } else { &back };
        let punch = kiosk.punch(&photo("obama3")).await.expect(201);
        times.push(punch["punch"]["at"].as_str().unwrap().to_owned());
        app.clock.advance(SignedDuration::from_mins(2));
    }
    let list = async |query: String| {
        let list = admin
            .get(&format!("/api/punches?{query}"))
            .await
            .expect(200);
        let items = list["items"].as_array().unwrap().clone();
        let at = |item: &Value| item["at"].as_str().unwrap().to_owned();
        (
            items.iter().map(at).collect::<Vec<_>>(),
            list["next"].clone(),
        )
    };
    let newest: Vec<String> = times.iter().rev().cloned().collect();
    assert_eq!(list(String::new()).await.0, newest);
    assert_eq!(list(format!("device={}", back.id)).await.0.len(), 2);
    assert_eq!(list(format!("employee={id}")).await.0.len(), 5);
    assert_eq!(list(format!("employee={}", back.id)).await.0.len(), 0);
    let range = format!("from={}&to={}", times[1], times[3]);
    assert_eq!(list(range).await.0, [times[2].clone(), times[1].clone()]);
    let (page, next) = list("limit=3".to_owned()).await;
    let (rest, end) = list(format!("limit=3&cursor={}", next.as_str().unwrap())).await;
    assert_eq!([page, rest].concat(), newest);
    assert_eq!(end, Value::Null);
    for field in ["employee", "device", "camera", "from", "to", "cursor"] {
        let answer = admin.get(&format!("/api/punches?{field}=nonsense")).await;
        answer.problem(422, "invalid");
        assert_eq!(answer.fields(), [field]);
    }
    let viewer = app.role(Role::Viewer).await;
    let shown = async || {
        let punches = viewer.get("/api/punches").await.expect(200);
        let newest = &punches["items"][0];
        (newest["name"].clone(), newest["employee_deleted"].clone())
    };
    let (name, deleted) = shown().await;
    assert_eq!(deleted, false);
    admin
        .delete(&format!("/api/employees/{id}"))
        .await
        .expect(204);
    assert_eq!(shown().await, (name, json!(true)), "a punch stays");
}

#[tokio::test]
async fn a_punch_that_was_written_by_hand_says_by_whom_and_why() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    app.enrolled(&admin).await;
    let kiosk = app.kiosk().await;
    let came = kiosk.punch(&photo("obama3")).await.expect(201);
    let came = came["punch"]["id"].as_str().unwrap().parse().unwrap();
    let came = app.stores.punches.find(came).await.unwrap().unwrap();
    let session = admin.get("/api/session").await.expect(200);
    let account: Uuid = session["account"]["id"].as_str().unwrap().parse().unwrap();
    let by_hand = |number: u64, proof: Proof| Punch {
        id: PunchId::new(Uuid::now_v7()),
        origin: Origin::Account(AccountId::new(account)),
        proof,
        request: None,
        sequence: came.sequence + number,
        ..came.clone()
    };
    let reason = Reason::parse("Forgot to punch").unwrap();
    let manual = by_hand(1, Proof::Manual { reason });
    let import = by_hand(2, Proof::Import);
    for punch in [&manual, &import] {
        app.stores.punches.append(punch).await.unwrap();
    }
    let origin = json!({"kind": "account", "id": account, "name": session["account"]["name"]});
    let proofs = [
        json!({"kind": "manual", "reason": "Forgot to punch"}),
        json!({"kind": "import"}),
    ];
    for (punch, proof) in [manual, import].iter().zip(proofs) {
        let path = format!("/api/punches/{}", punch.id);
        let shown = admin.get(&path).await.expect(200);
        assert_eq!((&shown["origin"], &shown["proof"]), (&origin, &proof));
    }
}
