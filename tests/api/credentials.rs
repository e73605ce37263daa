//! PINs and badges: set, checked, locked, issued, revoked and printed.

use std::time::{Duration, Instant};

use jiff::SignedDuration;
use reqwest::Method;
use rollcall::{
    clock::Clock,
    domain::{grants::Role, ids::SiteId},
};
use serde_json::{Value, json};

use crate::app::{Answer, Client, Kiosk, TestApp, count, images, photo};

/// The least time until a refused PIN is answered.
const REFUSAL: Duration = Duration::from_millis(400);

async fn set_pin(admin: &Client, id: &str, pin: &str) {
    let path = format!("/api/employees/{id}/pin");
    let set = admin.put(&path, json!({ "pin": pin })).await.expect(200);
    assert_eq!(set, json!({ "pin": null }));
}

async fn try_pin(kiosk: &Kiosk, code: &str, pin: &str) -> Answer {
    let body = json!({ "code": code, "pin": pin });
    kiosk.client.post("/api/punches/pin", body).await
}

async fn outcome(kiosk: &Kiosk, code: &str, pin: &str) -> Value {
    try_pin(kiosk, code, pin).await.json()["outcome"].clone()
}

async fn with_badge(kiosk: &Kiosk, badge: &str) -> Answer {
    let body = json!({ "badge": badge });
    kiosk.client.post("/api/punches/badge", body).await
}

async fn site(admin: &Client, patch: Value) {
    let main = format!("/api/sites/{}", SiteId::DEFAULT);
    admin.patch(&main, patch).await.expect(200);
}

#[tokio::test]
async fn a_person_punches_with_number_and_pin() {
    let app = TestApp::start().await;
    let (admin, kiosk) = (app.admin().await, app.kiosk().await);
    let id = admin.add_employee("Grace Hopper", "E7").await;
    set_pin(&admin, &id, "402817").await;
    app.clock.advance(SignedDuration::from_mins(8));

    let came = try_pin(&kiosk, " e7 ", "402817").await.expect(201);
    assert_eq!(came["outcome"], "punched");
    assert_eq!(came["name"], "Grace Hopper");
    assert_eq!(came["punch"]["proof"], json!({ "kind": "pin" }));
    assert_eq!(came["punch"]["kind"], "in");
    assert_eq!(came["punch"]["origin"]["id"], kiosk.id);
    let again = try_pin(&kiosk, "E7", "402817").await.expect(200);
    assert_eq!(again["outcome"], "cooldown");
    assert_eq!(again["punch"]["id"], came["punch"]["id"]);

    app.clock.advance(SignedDuration::from_mins(5));
    let body = json!({ "code": "E7", "pin": "402817", "kind": "break_start" });
    let went = kiosk
        .client
        .post("/api/punches/pin", body)
        .await
        .expect(201);
    assert_eq!(went["punch"]["kind"], "break_start");

    // Offline, by the same rules as a face.
    let at = came["punch"]["at"].as_str().unwrap();
    let before: jiff::Timestamp = at.parse().unwrap();
    let late = json!({
        "code": "E7", "pin": "402817", "captured_at": (before - SignedDuration::from_mins(5)).to_string(),
    });
    let late = kiosk
        .client
        .post("/api/punches/pin", late)
        .await
        .expect(201);
    assert_eq!(late["punch"]["doubt"], "before_last");

    // Neither after a deletion nor while inactive.
    let path = format!("/api/employees/{id}");
    admin
        .patch(&path, json!({ "active": false }))
        .await
        .expect(200);
    assert_eq!(outcome(&kiosk, "E7", "402817").await, "wrong_pin");
    admin
        .patch(&path, json!({ "active": true }))
        .await
        .expect(200);
    assert_eq!(outcome(&kiosk, "E7", "402817").await, "punched");
    admin.delete(&path).await.expect(204);
    assert_eq!(outcome(&kiosk, "E7", "402817").await, "wrong_pin");
    let stored = app.stores.punch_credentials.find(id.parse().unwrap()).await;
    assert_eq!(stored.unwrap().unwrap().pin, None, "nothing of it is left");
}

#[tokio::test]
async fn a_retry_gets_the_first_answer_and_no_hash_of_the_pin_is_stored() {
    let app = TestApp::start().await;
    let (admin, kiosk) = (app.admin().await, app.kiosk().await);
    let id = admin.add_employee("Grace Hopper", "E7").await;
    set_pin(&admin, &id, "402817").await;
    let send = async |key: &str, code: &str, pin: &str| {
        let body = json!({ "code": code, "pin": pin });
        let request = kiosk.client.request(Method::POST, "/api/punches/pin");
        let request = request.header("idempotency-key", key).json(&body);
        kiosk.client.send(request).await
    };
    let wrong = send("k1", "E7", "402818").await.expect(200);
    assert_eq!(wrong["outcome"], "wrong_pin");
    let replayed = send("k1", "E7", "402818").await.expect(200);
    assert_eq!(
        (&replayed["outcome"], &replayed["replayed"]),
        (&json!("wrong_pin"), &json!(true))
    );
    let path = format!("/api/employees/{id}/credentials");
    let tries = admin.get(&path).await.expect(200)["pin"]["wrong_tries"].clone();
    assert_eq!(tries, 1, "a retry is no second try");

    let first = send("k2", "E7", "402817").await.expect(201);
    let again = send("k2", "E7", "402817").await.expect(200);
    assert_eq!(
        (&again["punch"]["id"], &again["replayed"]),
        (&first["punch"]["id"], &json!(true))
    );
    let reused = send("k2", "E8", "402817").await;
    reused.problem(422, "idempotency_key_reused");

    // The stored fingerprint does not depend on the PIN.
    let other = send("k2", "E7", "999999").await.expect(200);
    assert_eq!(other["punch"]["id"], first["punch"]["id"]);
}

#[tokio::test]
async fn nobody_learns_which_numbers_exist_before_they_are_locked() {
    let app = TestApp::start().await;
    let (admin, kiosk) = (app.admin().await, app.kiosk().await);
    let id = admin.add_employee("Grace Hopper", "E7").await;
    admin.add_employee("Without a PIN", "E8").await;
    set_pin(&admin, &id, "402817").await;
    let left = admin.add_employee("Left", "E9").await;
    set_pin(&admin, &left, "402817").await;
    let path = format!("/api/employees/{left}");
    let inactive = json!({ "active": false });
    admin.patch(&path, inactive).await.expect(200);
    let mut answers = Vec::new();
    // In turn, so that a busy machine delays all alike.
    let tries = ["402818", "402818", "402817", "402818"];
    let mut times = [const { Vec::new() }; 4];
    for _ in 0..4 {
        for (number, code) in ["E7", "E8", "E9", "E10"].into_iter().enumerate() {
            let begin = Instant::now();
            let answer = try_pin(&kiosk, code, tries[number]).await;
            times[number].push(begin.elapsed());
            answers.push(answer.expect(200));
        }
    }
    let median = |mut times: Vec<Duration>| {
        times.sort();
        times[1]
    };
    let medians = times.map(median);
    let (least, most) = (medians.iter().min(), medians.iter().max());
    let (least, most) = (*least.unwrap(), *most.unwrap());
    assert!(least >= REFUSAL, "{medians:?}");
    // Fast enough for one step, they differ by less than the write of the store.
    let steps = |time: Duration| time.div_duration_f64(REFUSAL) as u32;
    if steps(most) == 1 {
        assert!(most - least < REFUSAL / 4, "{medians:?}");
    }
    assert_eq!(answers[0]["outcome"], "wrong_pin");
    assert!(
        answers.iter().all(|answer| *answer == answers[0]),
        "{answers:?}"
    );
    assert!(answers[0].get("name").is_none() && answers[0].get("punch").is_none());
}

#[tokio::test]
async fn five_misses_lock_a_pin_until_a_manager_unlocks_it() {
    let app = TestApp::start().await;
    let (admin, kiosk) = (app.admin().await, app.kiosk().await);
    let manager = app.role(Role::Manager).await;
    let id = admin.add_employee("Grace Hopper", "E7").await;
    set_pin(&admin, &id, "402817").await;
    for _ in 0..4 {
        assert_eq!(outcome(&kiosk, "E7", "402818").await, "wrong_pin");
    }
    // Misses in a row: a right PIN forgives them.
    assert_eq!(outcome(&kiosk, "E7", "402817").await, "punched");
    for _ in 0..4 {
        assert_eq!(outcome(&kiosk, "E7", "402818").await, "wrong_pin");
    }
    let fifth = try_pin(&kiosk, "E7", "402818").await.expect(200);
    assert_eq!(fifth["outcome"], "pin_locked");
    let until = "until your manager unlocks it, or until you set a new one";
    assert!(fifth["detail"].as_str().unwrap().contains(until), "{fifth}");
    // The right one says nothing else, or a guesser could go on.
    let right = try_pin(&kiosk, "E7", "402817").await.expect(200);
    assert_eq!(right, fifth);
    assert!(right.get("name").is_none());

    let path = format!("/api/employees/{id}");
    let state = manager
        .get(&(path.clone() + "/credentials"))
        .await
        .expect(200);
    assert_eq!(state["pin"]["wrong_tries"], 5);
    assert!(state["pin"]["locked_at"].is_string() && state["badge"].is_null());
    let notices = manager.get("/api/notices").await.expect(200);
    let notice = &notices["items"][0];
    assert_eq!(
        (&notice["kind"], &notice["employee"]),
        (&json!("pin_locked"), &json!(id))
    );

    let unlock = path.clone() + "/pin/unlock";
    manager.post(&unlock, json!({})).await.expect(204);
    assert_eq!(
        manager.get("/api/notices").await.expect(200)["items"],
        json!([])
    );
    app.clock.advance(SignedDuration::from_mins(5));
    assert_eq!(outcome(&kiosk, "E7", "402817").await, "punched");

    manager.delete(&(path.clone() + "/pin")).await.expect(204);
    manager
        .delete(&(path + "/pin"))
        .await
        .problem(404, "not_found");
    manager
        .post(&unlock, json!({}))
        .await
        .problem(404, "not_found");
    app.clock.advance(SignedDuration::from_mins(5));
    assert_eq!(outcome(&kiosk, "E7", "402817").await, "wrong_pin");
    let trail = app.stores.audit.latest(20).await.unwrap();
    let of_pin: Vec<_> = trail.iter().filter(|entry| entry.subject == id).collect();
    let did: Vec<_> = of_pin.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(
        did,
        [
            "pin.remove",
            "pin.unlock",
            "pin.lock",
            "pin.set",
            "employee.add"
        ]
    );
    assert_eq!(of_pin[2].actor.kind(), "device");
}

#[tokio::test]
async fn a_device_that_sends_many_wrong_pins_must_wait() {
    let app = TestApp::start().await;
    let (admin, kiosk, other) = (app.admin().await, app.kiosk().await, app.kiosk().await);
    let id = admin.add_employee("Grace Hopper", "E7").await;
    set_pin(&admin, &id, "402817").await;
    let tries = (0..20).map(|number| {
        let kiosk = kiosk.clone();
        async move { try_pin(&kiosk, &format!("X{number}"), "402818").await }
    });
    let answers = futures::future::join_all(tries).await;
    assert_eq!(count(&answers), [(200, 20)].into());
    let refused = try_pin(&kiosk, "E7", "402817").await;
    refused.problem(429, "too_many_requests");
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((3000..=3601).contains(&wait), "{wait}");
    assert_eq!(
        outcome(&other, "E7", "402817").await,
        "punched",
        "only this device"
    );
    app.clock.advance(SignedDuration::from_secs(3601));
    assert_eq!(outcome(&kiosk, "E7", "402817").await, "punched");
}

#[tokio::test]
async fn a_pin_follows_the_site_and_a_random_one_is_returned_once() {
    let app = TestApp::start().await;
    let (admin, kiosk) = (app.admin().await, app.kiosk().await);
    let id = admin.add_employee("Grace Hopper", "4711").await;
    let path = format!("/api/employees/{id}/pin");
    for (pin, code) in [
        ("40281", "not_a_pin"),
        ("40281a", "not_a_pin"),
        ("123456", "guessable_pin"),
        ("004711", "guessable_pin"),
    ] {
        let refused = admin.put(&path, json!({ "pin": pin })).await;
        let refused = refused.problem(422, "invalid");
        assert_eq!(refused["errors"][0]["code"], code, "{pin}: {refused}");
        assert!(!refused.to_string().contains(pin), "{refused}");
    }
    site(&admin, json!({ "pin_digits": 4 })).await;
    let made = admin.put(&path, json!({})).await.expect(200);
    let pin = made["pin"].as_str().unwrap();
    assert!(
        pin.len() == 4 && pin.bytes().all(|byte| byte.is_ascii_digit()),
        "{made}"
    );
    assert_eq!(outcome(&kiosk, "4711", pin).await, "punched");
    // Those that were set before stay valid.
    site(&admin, json!({ "pin_digits": 8 })).await;
    app.clock.advance(SignedDuration::from_mins(5));
    assert_eq!(outcome(&kiosk, "4711", pin).await, "punched");
}

/// Reads the QR code of an SVG with another program than the one that drew it.
fn decode_qr(svg: &str) -> String {
    let (grid, width) = squares(svg);
    let scale = 6;
    let dark = |x: usize, y: usize| grid[y / scale][x / scale];
    let side = width * scale;
    let picture =
        rqrr::PreparedImage::prepare_from_greyscale(
            side,
            side,
            |x, y| {
                if dark(x, y) { 0 } else { 255 }
            },
        );
    let mut picture = picture;
    let grids = picture.detect_grids();
    assert_eq!(grids.len(), 1);
    grids[0].decode().unwrap().1
}

/// Draws the squares of an SVG whose dark path has runs such as `M4 4h7v1h-7z`.
fn squares(svg: &str) -> (Vec<Vec<bool>>, usize) {
    let view = svg
        .split("viewBox=\"0 0 ")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let (width, height) = view.split_once(' ').unwrap();
    let (width, height): (usize, usize) = (width.parse().unwrap(), height.parse().unwrap());
    let path = svg
        .split("fill=\"#000\" d=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let mut grid = vec![vec![false; width]; height];
    for run in path.split('M').skip(1) {
        let (place, rest) = run.split_once('h').unwrap();
        let (x, y) = place.split_once(' ').unwrap();
        let (x, y): (usize, usize) = (x.parse().unwrap(), y.parse().unwrap());
        let length: usize = rest.split_once('v').unwrap().0.parse().unwrap();
        grid[y][x..x + length].fill(true);
    }
    (grid, width)
}

/// Reads the Code 128 of an SVG by the widths of its bars, as ISO/IEC 15417 lists them.
fn decode_bars(svg: &str) -> String {
    let (grid, _) = squares(svg);
    let bars: Vec<bool> = grid[0].clone();
    let begin = bars.iter().position(|bar| *bar).unwrap();
    let end = bars.iter().rposition(|bar| *bar).unwrap() + 1;
    assert!(begin >= 10 && bars.len() - end >= 10, "the quiet zones");
    let widths: Vec<usize> = bars[begin..end]
        .chunk_by(|a, b| a == b)
        .map(<[bool]>::len)
        .collect();
    let symbols: Vec<usize> = widths[..widths.len() - 7]
        .chunks(6)
        .map(|widths| {
            let widths: String = widths.iter().map(ToString::to_string).collect();
            CODE_128.iter().position(|known| *known == widths).unwrap()
        })
        .collect();
    let stop: String = widths[widths.len() - 7..]
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(stop, "2331112");
    let (check, data) = symbols.split_last().unwrap();
    let sum: usize = data
        .iter()
        .enumerate()
        .map(|(place, one)| place.max(1) * one)
        .sum();
    assert_eq!(sum % 103, *check, "the check character");
    assert_eq!(data[0], 105, "begins in the set of digits");
    data[1..].iter().map(|pair| format!("{pair:02}")).collect()
}

/// The widths of bars and spaces of each symbol, from 0 to the start characters.
#[rustfmt::skip]
const CODE_128: [&str; 106] = [
    "212222", "222122", "222221", "121223", "121322", "131222", "122213", "122312", "132212", "221213",
    "221312", "231212", "112232", "122132", "122231", "113222", "123122", "123221", "223211", "221132",
    "221231", "213212", "223112", "312131", "311222", "321122", "321221", "312212", "322112", "322211",
    "212123", "212321", "232121", "111323", "131123", "131321", "112313", "132113", "132311", "211313",
    "231113", "231311", "112133", "112331", "132131", "113123", "113321", "133121", "313121", "211331",
    "231131", "213113", "213311", "213131", "311123", "311321", "331121", "312113", "312311", "332111",
    "314111", "221411", "431111", "111224", "111422", "121124", "121421", "141122", "141221", "112214",
    "112412", "122114", "122411", "142112", "142211", "241211", "221114", "413111", "241112", "134111",
    "111242", "121142", "121241", "114212", "124112", "124211", "411212", "421112", "421211", "212141",
    "214121", "412121", "111143", "111341", "131141", "114113", "114311", "411113", "411311", "113141",
    "114131", "311141", "411131", "211412", "211214", "211232",
];

#[tokio::test]
async fn a_badge_is_read_by_scanners_and_ends_with_the_next_one() {
    let app = TestApp::start().await;
    let (admin, kiosk) = (app.admin().await, app.kiosk().await);
    let id = admin.add_employee("Grace Hopper", "E7").await;
    let path = format!("/api/employees/{id}/badge");
    let issued = admin.post(&path, json!({})).await.expect(201);
    let code = issued["code"].as_str().unwrap();
    assert!(
        code.len() == 30 && code.bytes().all(|byte| byte.is_ascii_digit()),
        "{code}"
    );
    assert_eq!(decode_qr(issued["qr"].as_str().unwrap()), code);
    assert_eq!(decode_bars(issued["code128"].as_str().unwrap()), code);

    let came = with_badge(&kiosk, code).await.expect(201);
    assert_eq!(
        (&came["outcome"], &came["name"]),
        (&json!("punched"), &json!("Grace Hopper"))
    );
    assert_eq!(came["punch"]["proof"], json!({ "kind": "badge" }));
    // As a scanner and as a person types it.
    let spaced = format!("{} {}\n", &code[..15], &code[15..]);
    assert_eq!(
        with_badge(&kiosk, &spaced).await.expect(200)["outcome"],
        "cooldown"
    );
    for other in ["", "12345", &"7".repeat(30), &"x".repeat(3000)] {
        let unknown = with_badge(&kiosk, other).await.expect(200);
        assert_eq!(unknown["outcome"], "unknown_badge");
    }

    app.clock.advance(SignedDuration::from_mins(5));
    let next = admin.post(&path, json!({})).await.expect(201);
    assert_ne!(next["code"], code);
    assert_eq!(
        with_badge(&kiosk, code).await.expect(200)["outcome"],
        "unknown_badge"
    );
    let next = next["code"].as_str().unwrap();
    assert_eq!(
        with_badge(&kiosk, next).await.expect(201)["outcome"],
        "punched"
    );
    // A lost badge.
    admin.delete(&path).await.expect(204);
    admin.delete(&path).await.problem(404, "not_found");
    assert_eq!(
        with_badge(&kiosk, next).await.expect(200)["outcome"],
        "unknown_badge"
    );
    let stored = app.stores.punch_credentials.find(id.parse().unwrap()).await;
    assert_eq!(stored.unwrap().unwrap().badge, None);
}

#[tokio::test]
async fn a_sheet_of_badges_is_one_page_without_scripts_and_styles() {
    let app = TestApp::start().await;
    let (admin, kiosk) = (app.admin().await, app.kiosk().await);
    let mut ids = Vec::new();
    for number in 0..9 {
        ids.push(
            admin
                .add_employee(&format!("Ann <b>{number}</b>"), &format!("E&{number}"))
                .await,
        );
    }
    let twice = [&ids[..], &ids[..1]].concat();
    let sheet = admin.post("/api/badges/sheet", json!({ "employees": twice }));
    let sheet = sheet.await;
    sheet.expect(200);
    assert_eq!(sheet.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(sheet.header("cache-control"), "no-store");
    let page = &sheet.text;
    for refused in ["<script", "style", "<link", "href", "<b>", "E&1"] {
        assert!(!page.contains(refused), "{refused}");
    }
    assert_eq!(page.matches("<div>").count(), 2, "eight badges on a page");
    let texts = page.split("text-anchor=\"middle\">").skip(1);
    let code = |text: &str| text.split('<').next().unwrap().to_owned();
    let codes: Vec<String> = texts.map(code).collect();
    assert_eq!(codes.len(), 9);
    for (id, code) in ids.iter().zip(&codes) {
        let came = with_badge(&kiosk, code).await.expect(201);
        assert_eq!(came["punch"]["employee"], *id);
    }
    let squares: Vec<&str> = page
        .split("<svg ")
        .filter(|svg| svg.contains("#000"))
        .collect();
    assert_eq!(squares.len(), 18);
    let plain: String = codes[0].split(' ').collect();
    assert_eq!(decode_qr(squares[0]), plain);
    assert_eq!(decode_bars(squares[1]), plain);

    let unknown = json!({ "employees": [ids[0], "0199f3a0-7c1e-7d5a-9f0e-2b7f6f0c1a2b"] });
    let refused = admin.post("/api/badges/sheet", unknown).await;
    assert_eq!(refused.fields(), ["employees"]);
    app.clock.advance(SignedDuration::from_mins(5));
    assert_eq!(
        with_badge(&kiosk, &codes[0]).await.expect(201)["outcome"],
        "punched"
    );
    for body in [json!({ "employees": [] }), json!({ "employees": ["x"] })] {
        admin
            .post("/api/badges/sheet", body)
            .await
            .problem(422, "invalid");
    }
}

#[tokio::test]
async fn where_a_face_is_not_enough_the_pin_and_the_face_are_one_person() {
    let app = TestApp::start().await;
    let (admin, kiosk) = (app.admin().await, app.kiosk().await);
    let id = app.enrolled(&admin).await;
    set_pin(&admin, &id, "402817").await;
    let grace = admin.add_employee("Grace Hopper", "E7").await;
    set_pin(&admin, &grace, "402817").await;
    let badge = admin
        .post(&format!("/api/employees/{id}/badge"), json!({}))
        .await
        .expect(201);
    let ben = admin.add_employee("Joe Biden", "E8").await;
    admin.enroll(&ben, &[photo("biden")]).await.expect(201);
    // People with a face alone cannot punch: the answer says how many they are.
    let main = format!("/api/sites/{}", SiteId::DEFAULT);
    let both = json!({ "face_and_pin": true });
    let changed = admin.patch(&main, both.clone()).await.expect(200);
    assert_eq!(changed["face_alone"], 1);
    set_pin(&admin, &ben, "402817").await;
    let changed = admin.patch(&main, both).await.expect(200);
    assert_eq!(changed["face_alone"], 0);

    let device = kiosk.client.get("/api/device").await.expect(200);
    assert_eq!(device["face_and_pin"], true);
    assert_eq!(
        kiosk.punch(&photo("obama3")).await.expect(200)["outcome"],
        "pin_needed"
    );
    let code = badge["code"].as_str().unwrap();
    let badge = with_badge(&kiosk, code).await;
    assert_eq!(badge.expect(200)["outcome"], "face_needed");
    let with_face = async |face: &str| {
        let form = images("image", &[photo(face)]).text("badge", code.to_owned());
        kiosk.client.post_form("/api/punches", form).await
    };
    let other = with_face("hopper").await.expect(200);
    assert_eq!(other["outcome"], "nobody");
    let punched = with_face("obama3").await.expect(201);
    assert_eq!(punched["punch"]["proof"]["kind"], "face_and_badge");
    app.clock.advance(SignedDuration::from_mins(5));
    assert_eq!(outcome(&kiosk, "E1", "402817").await, "face_needed");
    let both = async |face: &str, code: &str, pin: &str| {
        let form = images("image", &[photo(face)]);
        let form = form
            .text("code", code.to_owned())
            .text("pin", pin.to_owned());
        kiosk.client.post_form("/api/punches", form).await
    };
    let other = both("hopper", "E1", "402817").await.expect(200);
    assert_eq!(
        (&other["outcome"], &other["more"]),
        (&json!("nobody"), &json!(true))
    );
    assert_eq!(
        both("obama3", "E1", "402818").await.expect(200)["outcome"],
        "wrong_pin"
    );
    let punched = both("obama3", "E1", "402817").await.expect(201);
    assert_eq!(punched["punch"]["proof"]["kind"], "face_and_pin");
    assert!(punched["similarity"].as_f64() >= punched["threshold"].as_f64());
    // Consent is free: a person without an enrolled face needs none.
    assert_eq!(outcome(&kiosk, "E7", "402817").await, "punched");

    let form = images("image", &[photo("obama3")]).text("code", "E1");
    let refused = kiosk.client.post_form("/api/punches", form).await;
    assert_eq!(refused.fields(), ["pin"]);
    let form = images("image", &[photo("obama3")])
        .text("code", "E1")
        .text("pin", "402817")
        .text("badge", "1");
    let refused = kiosk.client.post_form("/api/punches", form).await;
    assert_eq!(refused.fields(), ["badge"]);
}

#[tokio::test]
async fn a_person_takes_back_a_punch_of_another_person() {
    let app = TestApp::start().await;
    let (admin, kiosk, other) = (app.admin().await, app.kiosk().await, app.kiosk().await);
    let obama = app.enrolled(&admin).await;
    let grace = admin.add_employee("Grace Hopper", "E7").await;
    admin.enroll(&grace, &[photo("hopper")]).await.expect(201);
    set_pin(&admin, &grace, "402817").await;
    let mistaken = kiosk.punch(&photo("obama3")).await.expect(201);
    let id = mistaken["punch"]["id"].as_str().unwrap();
    let path = format!("/api/punches/{id}/not-me");
    other
        .client
        .post(&path, json!({}))
        .await
        .problem(404, "not_found");
    for _ in 0..2 {
        kiosk.client.post(&path, json!({})).await.expect(204);
    }

    // It does not count, a manager sees it, and the board shows that nobody came.
    let manager = app.role(Role::Manager).await;
    let waiting = manager.get("/api/corrections").await.expect(200);
    let correction = &waiting["items"][0];
    assert_eq!(waiting["items"].as_array().unwrap().len(), 1);
    assert_eq!(
        (
            &correction["action"],
            &correction["punch"],
            &correction["state"],
            &correction["provisional"]
        ),
        (
            &json!("void"),
            &json!(id),
            &json!("requested"),
            &json!(true)
        )
    );
    assert_eq!(correction["made_by"]["kind"], "device");
    assert_eq!(correction["reason"], "At the kiosk: this is not me");
    let state = async || {
        let board = manager.get("/api/days").await.expect(200);
        let lines = board["items"].as_array().unwrap().clone();
        let line = lines
            .iter()
            .find(|line| line["employee"] == json!(obama))
            .unwrap()
            .clone();
        line["state"].clone()
    };
    assert_eq!(state().await, "not_due");

    // The person is Grace, by her PIN; the two are look-alikes from now on.
    let body = json!({ "code": "E7", "pin": "402817", "instead_of": id });
    let really = kiosk
        .client
        .post("/api/punches/pin", body)
        .await
        .expect(201);
    assert_eq!(really["name"], "Grace Hopper");
    // The person who comes next is not another look-alike.
    let ben = admin.add_employee("Joe Biden", "E8").await;
    admin.enroll(&ben, &[photo("biden")]).await.expect(201);
    set_pin(&admin, &ben, "402817").await;
    let body = json!({ "code": "E8", "pin": "402817", "instead_of": id });
    let next = kiosk.client.post("/api/punches/pin", body).await;
    assert_eq!(next.expect(201)["name"], "Joe Biden");
    for (one, look_alike) in [(&obama, &grace), (&grace, &obama)] {
        let face = app
            .stores
            .faces
            .find(one.parse().unwrap())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(face.look_alikes(), [look_alike.parse().unwrap()]);
    }

    // The one who was mistaken for another arrives within the cooldown and loses nothing.
    let arrived = kiosk.punch(&photo("obama3")).await.expect(201);
    assert_eq!(
        (&arrived["outcome"], &arrived["punch"]["kind"]),
        (&json!("punched"), &json!("in"))
    );
    assert_eq!(state().await, "present");

    // A rejection makes the punch count again.
    let reject = format!(
        "/api/corrections/{}/reject",
        correction["id"].as_str().unwrap()
    );
    let rejected = manager.post(&reject, json!({})).await.expect(200);
    assert_eq!(rejected["state"], "rejected");
    let actions = app.stores.audit.latest(30).await.unwrap();
    let not_me = actions
        .iter()
        .filter(|entry| entry.action == "correction.not_me");
    assert!(not_me.count() >= 1);
}

#[tokio::test]
async fn a_punch_is_taken_back_only_at_once_and_not_recognized_as_the_same_again() {
    let app = TestApp::start().await;
    let (admin, kiosk) = (app.admin().await, app.kiosk().await);
    let person = app.enrolled(&admin).await;
    set_pin(&admin, &person, "402817").await;
    let face = photo("obama3");
    let mistaken = kiosk.punch(&face).await.expect(201);
    let id = mistaken["punch"]["id"].as_str().unwrap().to_owned();
    let path = format!("/api/punches/{id}/not-me");
    // Before it is taken back, the parameter means nothing.
    let query = format!("?instead_of={id}");
    assert_eq!(
        kiosk.punch_with(&query, &[], &face).await.expect(200)["outcome"],
        "cooldown"
    );
    kiosk.client.post(&path, json!({})).await.expect(204);
    let again = kiosk.punch_with(&query, &[], &face).await.expect(200);
    assert_eq!(
        (&again["outcome"], &again["reason"]),
        (&json!("nobody"), &json!("look_alike"))
    );

    // Nor in a picture of the same moment that arrives much later.
    app.clock.advance(SignedDuration::from_mins(10));
    let now = app.clock.now();
    let late = |seconds: i64| {
        let captured = now - SignedDuration::from_secs(600 - seconds);
        format!("{query}&captured_at={captured}&sent_at={now}")
    };
    let offline = kiosk.punch_with(&late(20), &[], &face).await.expect(200);
    assert_eq!(offline["reason"], "look_alike");
    // The right person has the PIN: one tap of a stranger takes nothing away.
    let captured = now - SignedDuration::from_secs(600 - 30);
    let body = json!({
        "code": "E1", "pin": "402817", "instead_of": id,
        "captured_at": captured.to_string(), "sent_at": now.to_string(),
    });
    let proven = kiosk.client.post("/api/punches/pin", body).await;
    assert_eq!(proven.expect(201)["name"], "Barack Obama");
    let stored = app.stores.faces.find(person.parse().unwrap()).await;
    assert_eq!(stored.unwrap().unwrap().look_alikes(), []);

    app.clock.advance(SignedDuration::from_mins(2));
    let late = kiosk.punch(&face).await.expect(201);
    app.clock.advance(SignedDuration::from_secs(19));
    let path = format!(
        "/api/punches/{}/not-me",
        late["punch"]["id"].as_str().unwrap()
    );
    kiosk
        .client
        .post(&path, json!({}))
        .await
        .problem(409, "too_late");
    // Only punches of a face: a PIN is the person's own doing.
    let id = admin.add_employee("Grace Hopper", "E7").await;
    set_pin(&admin, &id, "402817").await;
    let by_pin = try_pin(&kiosk, "E7", "402817").await.expect(201);
    let path = format!(
        "/api/punches/{}/not-me",
        by_pin["punch"]["id"].as_str().unwrap()
    );
    kiosk
        .client
        .post(&path, json!({}))
        .await
        .problem(404, "not_found");
}

#[tokio::test]
async fn a_queue_of_wrong_pins_neither_closes_the_kiosk_nor_makes_right_ones_doubtful() {
    let app = TestApp::start().await;
    let (admin, kiosk) = (app.admin().await, app.kiosk().await);
    let grace = admin.add_employee("Grace Hopper", "E7").await;
    let ada = admin.add_employee("Ada Lovelace", "E8").await;
    set_pin(&admin, &grace, "402817").await;
    set_pin(&admin, &ada, "402817").await;
    let captured = app.clock.now();
    app.clock.advance(SignedDuration::from_hours(2));
    let late = async |code: &str, pin: &str| {
        let body = json!({
            "code": code, "pin": pin,
            "captured_at": captured.to_string(), "sent_at": app.clock.now().to_string(),
        });
        kiosk.client.post("/api/punches/pin", body).await
    };
    let codes: Vec<_> = (0..20).map(|number| format!("unknown {number}")).collect();
    let misses = codes[1..].iter().map(|code| late(code, "402818"));
    for missed in futures::future::join_all(misses).await {
        assert_eq!(missed.expect(200)["outcome"], "wrong_pin");
    }
    // Neither the wrong ones nor a live punch in between make a right one doubtful.
    try_pin(&kiosk, "E8", "402817").await.expect(201);
    let right = late("E7", "402817").await.expect(201);
    assert_eq!(right["punch"].get("doubt"), None, "{right}");
    let at: jiff::Timestamp = right["punch"]["at"].as_str().unwrap().parse().unwrap();
    assert!(at.duration_since(captured).abs() < SignedDuration::from_secs(30));

    late(&codes[0], "402818").await.expect(200);
    let closed = late("E7", "402817").await;
    closed.problem(429, "too_many_requests");
    // People who stand at the kiosk can still punch.
    app.clock.advance(SignedDuration::from_mins(5));
    let live = try_pin(&kiosk, "E8", "402817").await.expect(201);
    assert_eq!(live["outcome"], "punched");
}

#[tokio::test]
async fn pins_and_badges_of_many_people_are_one_list() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let mut ids = Vec::new();
    for (name, code) in [("Ada", "X1"), ("Bea", "X2"), ("Cleo", "Y1")] {
        ids.push(admin.add_employee(name, code).await);
    }
    let badge = format!("/api/employees/{}/badge", ids[1]);
    admin.post(&badge, json!({})).await.expect(201);
    let pin = format!("/api/employees/{}/pin", ids[0]);
    admin.put(&pin, json!({})).await.expect(200);
    let first = admin.get("/api/credentials?limit=2").await.expect(200);
    let next = format!(
        "/api/credentials?limit=2&cursor={}",
        first["next"].as_str().unwrap()
    );
    let rest = admin.get(&next).await.expect(200);
    assert_eq!(rest["next"], Value::Null);
    let items = [&first, &rest].map(|list| list["items"].as_array().unwrap().clone());
    let items = items.concat();
    assert_eq!(items.len(), 3);
    for (id, one) in ids.iter().zip(&items) {
        let path = format!("/api/employees/{id}/credentials");
        let mut expected = admin.get(&path).await.expect(200);
        expected["employee"] = json!(id);
        assert_eq!(*one, expected);
    }
    assert!(items[0]["pin"]["set_at"].is_string() && items[1]["badge"]["issued_at"].is_string());
    let found = admin.get("/api/credentials?q=y1").await.expect(200);
    assert_eq!(found["items"].as_array().unwrap().len(), 1);
    // Only of covered people.
    let own = app.employee(&ids[2]).await;
    let found = own.get("/api/credentials").await.expect(200);
    assert_eq!(
        found["items"],
        json!([{ "employee": ids[2], "pin": null, "badge": null }])
    );
    let refused = admin.get("/api/credentials?site=%20").await;
    assert_eq!(refused.fields(), ["site"]);
}
