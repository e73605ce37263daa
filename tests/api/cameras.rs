//! Cameras: adding, changing and removing them, their state, and their pictures.

use std::time::{Duration, Instant};

use jiff::SignedDuration;
use reqwest::{Method, Response};
use rollcall::{
    clock::Clock,
    domain::{
        attendance::{Origin, Punch},
        cameras::{CameraState, CameraStatus, StreamFault},
        grants::{Reach, Role},
        ids::{CameraId, EmployeeId, PunchId, SiteId},
    },
    ports::Page,
    service::cameras::{Overlay, OverlayFace},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::app::{
    Client, TestApp, photo,
    streams::{Does, fault, picture},
};

const FAST: Does = Does::Sends(Duration::from_millis(1));
/// Maximum time of every wait.
const PATIENCE: Duration = Duration::from_secs(60);

/// A service whose go2rtc has these streams.
async fn with_streams<const N: usize>(streams: [(&str, Does); N]) -> TestApp {
    let app = TestApp::start().await;
    for (name, does) in streams {
        app.streams.has(name, does);
    }
    app
}

/// Adds a camera for a stream; returns its address.
async fn add(admin: &Client, stream: &str) -> String {
    let name = format!("Camera {stream}");
    let body = json!({ "name": name, "stream": stream, "viewers": null });
    let answer = admin.post("/api/cameras", body).await;
    let camera = answer.expect(201);
    let address = format!("/api/cameras/{}", camera["id"].as_str().unwrap());
    assert_eq!(answer.header("location"), address);
    address
}

fn id_in(address: &str) -> CameraId {
    address.rsplit('/').next().unwrap().parse().unwrap()
}

async fn trail(app: &TestApp) -> Vec<(String, String)> {
    let entries = app.stores.audit.latest(50).await.unwrap();
    let entries = entries.into_iter().rev();
    entries
        .filter(|entry| entry.action.starts_with("camera."))
        .map(|entry| (entry.action, entry.subject))
        .collect()
}

#[tokio::test]
async fn a_camera_is_added_changed_and_removed() {
    let app = with_streams([("yard", FAST), ("gate", FAST)]).await;
    let admin = app.admin().await;
    let harbor = admin.add_site("Harbor", "Europe/Berlin").await;
    let new = json!({
        "name": "Yard gate", "stream": "yard", "site": harbor, "direction": "in",
        "hours": { "from": "22:00", "to": "06:30", "days": [1, 5] }, "every_ms": 500, "visit_s": 60,
    });
    let added = admin.post("/api/cameras", new).await.expect(201);
    let id = added["id"].as_str().unwrap().to_owned();
    let mut expected = json!({
        "id": id, "name": "Yard gate", "stream": "yard", "site": harbor, "site_name": "Harbor", "direction": "in",
        "hours": { "from": "22:00", "to": "06:30", "days": [1, 5] }, "every_ms": 500,
        "visit_s": 60, "active": true, "state": null, "created_at": added["created_at"],
        "viewers": [],
    });
    assert_eq!(added, expected);
    let address = format!("/api/cameras/{id}");
    assert_eq!(admin.get(&address).await.expect(200), expected);

    let patch = json!({
        "name": "Gate", "stream": "gate", "site": null, "direction": "auto", "hours": null,
        "every_ms": 100, "visit_s": 10, "active": false, "viewers": null,
    });
    let changed = admin.patch(&address, patch.clone()).await.expect(200);
    for (name, value) in patch.as_object().unwrap() {
        expected[name] = value.clone();
    }
    expected["site"] = json!(SiteId::DEFAULT.to_string());
    expected["site_name"] = json!("Main site");
    assert_eq!(changed, expected);
    // Omitted settings are unchanged.
    let same = admin.patch(&address, json!({})).await.expect(200);
    assert_eq!(same, expected);
    let viewer = app.role(Role::Viewer).await;
    let list = viewer.get("/api/cameras").await.expect(200);
    // Only admins see the viewers.
    expected.as_object_mut().unwrap().remove("viewers");
    assert_eq!(list, json!({ "items": [expected], "next": null }));

    assert_eq!(admin.delete(&address).await.status, 204);
    for answer in [
        admin.get(&address).await,
        admin.patch(&address, json!({})).await,
        admin.delete(&address).await,
        admin.get(&format!("{address}/picture")).await,
        admin.get(&format!("{address}/live")).await,
        admin.get(&format!("{address}/faces")).await,
    ] {
        answer.problem(404, "not_found");
    }
    let list = viewer.get("/api/cameras").await.expect(200);
    assert_eq!(list["items"], json!([]));
    let did = |action: &str| (action.to_owned(), id.clone());
    let expected = [
        "camera.add",
        "camera.change",
        "camera.change",
        "camera.remove",
    ];
    assert_eq!(trail(&app).await, expected.map(did));
}

#[tokio::test]
async fn settings_that_are_left_out_have_their_defaults() {
    let app = with_streams([("yard", FAST)]).await;
    let admin = app.admin().await;
    let address = add(&admin, "yard").await;
    let camera = admin.get(&address).await.expect(200);
    assert_eq!(camera["direction"], "auto");
    assert_eq!(camera["hours"], Value::Null);
    assert_eq!(
        (&camera["every_ms"], &camera["visit_s"]),
        (&json!(200), &json!(300))
    );
}

#[tokio::test]
async fn every_field_that_is_not_valid_is_named() {
    let app = with_streams([("yard", FAST)]).await;
    let admin = app.admin().await;
    let address = add(&admin, "yard").await;
    let hours = |from: &str, to: &str, days: Value| json!({ "from": from, "to": to, "days": days });
    let bad = [
        ("name", json!(" ")),
        ("stream", json!("rtsp://10.0.0.1/")),
        ("stream", json!("../yard")),
        ("stream", json!("")),
        ("site", json!("")),
        ("site", json!("Harbor")),
        ("site", json!("0199f3a0-7c1e-7d5a-9f0e-2b7f6f0c1a2b")),
        ("direction", json!("up")),
        ("hours", hours("06:00", "06:00", json!([]))),
        ("hours", hours("6 o'clock", "07:00", json!([]))),
        ("hours", hours("06:00", "24:00", json!([]))),
        ("hours", hours("06:00", "07:00", json!([0]))),
        ("hours", hours("06:00", "07:00", json!([8]))),
        ("every_ms", json!(99)),
        ("every_ms", json!(10_001)),
        ("visit_s", json!(9)),
        ("visit_s", json!(86_401)),
    ];
    for (field, value) in bad {
        let mut new = json!({ "name": "Gate", "stream": "yard" });
        new[field] = value.clone();
        for answer in [
            admin.post("/api/cameras", new).await,
            admin.patch(&address, json!({ field: value })).await,
        ] {
            answer.problem(422, "invalid");
            assert_eq!(answer.fields(), [field], "{value}");
        }
    }
    let many = json!({ "name": "", "stream": "a b", "every_ms": 1, "direction": "up" });
    let answer = admin.post("/api/cameras", many).await;
    assert_eq!(answer.fields(), ["name", "stream", "direction", "every_ms"]);
    let errors = &answer.json()["errors"];
    let params = |index: usize| {
        (
            errors[index]["code"].clone(),
            errors[index]["params"].clone(),
        )
    };
    let values = json!({ "values": ["in", "out", "auto"] });
    assert_eq!(params(0), (json!("empty"), Value::Null));
    assert_eq!(params(1), (json!("not_a_stream_name"), Value::Null));
    assert_eq!(params(2), (json!("not_one_of"), values));
    let range = json!({ "least": 100, "most": 10_000 });
    assert_eq!(params(3), (json!("out_of_range"), range));
}

#[tokio::test]
async fn a_patch_is_merged_and_a_null_restores_a_default() {
    let app = with_streams([("yard", FAST)]).await;
    let admin = app.admin().await;
    let hours = json!({ "from": "06:30", "to": "19:00", "days": [1, 5] });
    let new = json!({
        "name": "Yard", "stream": "yard", "hours": hours, "every_ms": 500, "visit_s": 60,
        "direction": "in", "active": false,
    });
    let added = admin.post("/api/cameras", new).await.expect(201);
    assert_eq!(added["active"], false);
    let address = format!("/api/cameras/{}", added["id"].as_str().unwrap());
    let later = json!({ "hours": { "to": "20:00", "days": null } });
    let changed = admin.patch(&address, later).await.expect(200);
    let expected = json!({ "from": "06:30", "to": "20:00", "days": [] });
    assert_eq!(changed["hours"], expected);
    assert_eq!(changed["every_ms"], 500);
    let defaults = json!({ "direction": null, "every_ms": null, "visit_s": null, "active": null });
    let changed = admin.patch(&address, defaults).await.expect(200);
    let settings = ["direction", "every_ms", "visit_s", "active"].map(|name| &changed[name]);
    assert_eq!(
        settings,
        [&json!("auto"), &json!(200), &json!(300), &json!(true)]
    );
    for (patch, field, code) in [
        (json!({ "stream": null }), "stream", "required"),
        (json!({ "steam": "yard" }), "steam", "unknown_field"),
        (json!({ "id": "x" }), "id", "unknown_field"),
        (
            json!({ "hours": { "nights": [] } }),
            "hours.nights",
            "unknown_field",
        ),
    ] {
        let refused = admin.patch(&address, patch).await;
        refused.problem(422, "invalid");
        assert_eq!(refused.fields(), [field]);
        assert_eq!(refused.json()["errors"][0]["code"], code);
    }
    assert_eq!(admin.get(&address).await.expect(200), changed);
}

#[tokio::test]
async fn a_stream_must_be_in_the_configuration_of_go2rtc_and_free() {
    let app = with_streams([("yard", FAST), ("gate", FAST)]).await;
    let admin = app.admin().await;
    let yard = add(&admin, "yard").await;
    let gate = add(&admin, "gate").await;
    let unknown = json!({ "name": "Roof", "stream": "roof" });
    for answer in [
        admin.post("/api/cameras", unknown.clone()).await,
        admin.patch(&yard, json!({ "stream": "roof" })).await,
    ] {
        answer.problem(422, "invalid");
        assert_eq!(answer.fields(), ["stream"]);
    }
    for answer in [
        admin
            .post("/api/cameras", json!({ "name": "Twin", "stream": "yard" }))
            .await,
        admin.patch(&gate, json!({ "stream": "yard" })).await,
    ] {
        answer.problem(409, "stream_taken");
    }
    assert_eq!(admin.delete(&yard).await.status, 204);
    admin
        .patch(&gate, json!({ "stream": "yard" }))
        .await
        .expect(200);

    // While go2rtc does not respond, a camera can be added anyway.
    app.streams.set_unavailable(Some(fault(
        StreamFault::Unreachable,
        "go2rtc is unavailable",
    )));
    admin.post("/api/cameras", unknown).await.expect(201);
}

#[tokio::test]
async fn the_streams_of_go2rtc_are_listed_with_their_cameras() {
    let app = with_streams([("yard", FAST), ("gate", FAST)]).await;
    let admin = app.admin().await;
    let yard = add(&admin, "yard").await;
    let listed = admin.get("/api/camera-streams").await.expect(200);
    let expected = json!({ "items": [
        { "name": "gate", "camera": null, "camera_name": null },
        { "name": "yard", "camera": id_in(&yard).to_string(), "camera_name": "Camera yard" },
    ], "next": null });
    assert_eq!(listed, expected);
    for (kind, code) in [
        (StreamFault::Unreachable, "camera_unreachable"),
        (StreamFault::Refused, "camera_refused"),
    ] {
        app.streams
            .set_unavailable(Some(fault(kind, "go2rtc wants another password")));
        let problem = admin.get("/api/camera-streams").await.problem(502, code);
        assert_eq!(problem["detail"], "go2rtc wants another password");
    }
}

#[tokio::test]
async fn a_state_that_is_no_longer_reported_is_not_watched() {
    let app = with_streams([("yard", FAST)]).await;
    let admin = app.admin().await;
    let address = add(&admin, "yard").await;
    let now = app.clock.now();
    let status = CameraStatus {
        state: CameraState::Dark,
        cause: Some("all pictures are black".to_owned()),
        since: now,
        reported_at: now,
        present: Vec::new(),
    };
    app.stores
        .cameras
        .report(id_in(&address), &status)
        .await
        .unwrap();
    let state = admin.get(&address).await.expect(200)["state"].clone();
    assert_eq!(state["state"], "dark");
    assert_eq!(state["cause"], "all pictures are black");
    assert_eq!(state["since"], format!("{now:.3}"));
    assert_eq!(state["watched"], true);
    app.clock.advance(SignedDuration::from_mins(2));
    let list = admin.get("/api/cameras").await.expect(200);
    assert_eq!(list["items"][0]["state"]["watched"], false);
}

#[tokio::test]
async fn a_picture_or_the_reason_without_one_is_returned() {
    let refused = fault(StreamFault::Refused, "go2rtc wants another password");
    let app = with_streams([
        ("yard", FAST),
        (
            "dead",
            Does::Fails(fault(StreamFault::Unreachable, "no picture")),
        ),
        ("shut", Does::Fails(refused)),
    ])
    .await;
    let admin = app.admin().await;
    let picture_of = async |stream: &str| {
        let address = add(&admin, stream).await;
        let request = admin.request(Method::GET, &format!("{address}/picture"));
        request.send().await.unwrap()
    };
    let shown = picture_of("yard").await;
    assert_eq!(shown.status(), 200);
    assert_eq!(shown.headers()["content-type"], "image/jpeg");
    assert_eq!(shown.headers()["cache-control"], "no-store");
    assert_eq!(shown.bytes().await.unwrap(), picture(1));
    for (stream, code, cause) in [
        ("dead", "camera_unreachable", "no picture"),
        ("shut", "camera_refused", "go2rtc wants another password"),
    ] {
        let failed = picture_of(stream).await;
        assert_eq!(failed.status(), 502);
        let problem: Value = failed.json().await.unwrap();
        assert_eq!(
            (&problem["code"], &problem["detail"]),
            (&json!(code), &json!(cause))
        );
    }
    assert_eq!(app.streams.open_now(), 0);
}

#[tokio::test]
async fn a_camera_that_sends_nothing_times_out_after_ten_seconds() {
    let app = with_streams([("mute", Does::Nothing)]).await;
    let admin = app.admin().await;
    let address = add(&admin, "mute").await;
    let begin = Instant::now();
    let (picture, live) = (format!("{address}/picture"), format!("{address}/live"));
    let (picture, live) = tokio::join!(admin.get(&picture), admin.get(&live));
    for answer in [picture, live] {
        let problem = answer.problem(502, "camera_unreachable");
        assert_eq!(problem["detail"], "no picture arrived within 10 s");
    }
    let waited = begin.elapsed().as_secs_f64();
    assert!((10.0..60.0).contains(&waited), "{waited}");
    assert_eq!(app.streams.open_now(), 0);
}

async fn follow(client: &Client, address: &str) -> Response {
    let request = client.request(Method::GET, &format!("{address}/live"));
    request
        .header("accept-encoding", "gzip")
        .send()
        .await
        .unwrap()
}

/// Reads until this many bytes have arrived.
async fn read(response: &mut Response, bytes: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while all.len() < bytes {
        let chunk = tokio::time::timeout(PATIENCE, response.chunk());
        all.extend(chunk.await.unwrap().unwrap().expect("the stream goes on"));
    }
    all
}

/// Returns the bytes of one picture of the live view, up to the boundary after it.
fn part(number: u32) -> Vec<u8> {
    let jpeg = picture(number);
    let head = format!(
        "Content-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n",
        jpeg.len()
    );
    [head.as_bytes(), &jpeg, b"\r\n--rollcall-picture\r\n"].concat()
}

#[tokio::test]
async fn live_pictures_are_sent_at_most_ten_a_second() {
    let app = with_streams([("yard", FAST)]).await;
    let address = add(&app.admin().await, "yard").await;
    let viewer = app.role(Role::Viewer).await;
    let mut live = follow(&viewer, &address).await;
    assert_eq!(live.status(), 200);
    let kind = "multipart/x-mixed-replace; boundary=rollcall-picture";
    assert_eq!(live.headers()["content-type"], kind);
    assert_eq!(live.headers()["cache-control"], "no-store");
    assert!(!live.headers().contains_key("content-encoding"));
    let begin = Instant::now();
    let mut expected = b"--rollcall-picture\r\n".to_vec();
    for number in 1..=11 {
        expected.extend(part(number));
    }
    assert_eq!(read(&mut live, expected.len()).await, expected);
    let took = begin.elapsed().as_secs_f64();
    assert!(took >= 0.95, "{took}");
}

/// Waits until this many streams are open.
async fn until_open(app: &TestApp, count: usize) {
    let waiting = async {
        while app.streams.open_now() != count {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let open = tokio::time::timeout(PATIENCE, waiting).await;
    open.unwrap_or_else(|_| panic!("{} are open", app.streams.open_now()));
}

#[tokio::test]
async fn at_most_eight_live_views_are_open_and_closing_one_frees_a_place() {
    let app = with_streams([("yard", FAST), ("gate", FAST)]).await;
    let admin = app.admin().await;
    let (yard, gate) = (add(&admin, "yard").await, add(&admin, "gate").await);
    let mut viewers = Vec::new();
    for number in 0..8 {
        let address = if number % 2 == 0 { &yard } else { &gate };
        let mut live = follow(&admin, address).await;
        read(&mut live, 1).await;
        viewers.push(live);
    }
    let refused = admin.get(&format!("{yard}/live")).await;
    refused.problem(503, "too_many_viewers");
    assert_eq!(refused.header("retry-after"), "10");
    // A single picture does not count as a live view.
    let single = admin.get(&format!("{yard}/picture")).await;
    assert_eq!(single.status, 200);

    viewers.pop();
    until_open(&app, 7).await;
    let mut live = follow(&admin, &yard).await;
    assert_eq!(live.status(), 200);
    read(&mut live, 1).await;
    drop((live, viewers));
    until_open(&app, 0).await;
}

#[tokio::test]
async fn at_most_eight_requests_wait_for_single_pictures() {
    let app = with_streams([("mute", Does::Nothing)]).await;
    let admin = app.admin().await;
    let address = add(&admin, "mute").await + "/picture";
    let waiting = (0..8).map(|_| admin.get(&address));
    let waiting = futures::future::join_all(waiting);
    let ninth = async {
        until_open(&app, 8).await;
        let refused = admin.get(&address).await;
        refused.problem(503, "too_many_viewers");
    };
    tokio::select! {
        answers = waiting => panic!("{answers:?}"),
        () = ninth => {}
    }
    until_open(&app, 0).await;
    app.streams.has("mute", FAST);
    assert_eq!(admin.get(&address).await.status, 200);
}

#[tokio::test]
async fn live_pictures_end_when_the_service_stops() {
    let app = with_streams([("yard", FAST)]).await;
    let admin = app.admin().await;
    let address = add(&admin, "yard").await;
    let live = follow(&admin, &address).await;
    app.stopping.cancel();
    let rest = tokio::time::timeout(PATIENCE, live.bytes());
    rest.await.expect("it ends").unwrap();
    until_open(&app, 0).await;
}

#[tokio::test]
async fn recognized_faces_have_the_names_of_their_employees() {
    let app = with_streams([("yard", FAST)]).await;
    let admin = app.admin().await;
    let address = add(&admin, "yard").await;
    let faces = format!("{address}/faces");
    let nothing = json!({ "at": null, "width": 0, "height": 0, "faces": [] });
    assert_eq!(admin.get(&faces).await.expect(200), nothing);

    let ann = admin.add_employee("Ann", "E1").await;
    let face = |x: f32, employee: Option<EmployeeId>| OverlayFace {
        x,
        y: 20.5,
        width: 100.0,
        height: 120.0,
        employee,
    };
    let gone = EmployeeId::new(Uuid::now_v7());
    let overlay = Overlay {
        at: app.clock.now(),
        width: 640,
        height: 480,
        faces: vec![
            face(10.0, ann.parse().ok()),
            face(300.0, None),
            face(500.0, Some(gone)),
        ],
    };
    app.overlays.show(id_in(&address), &overlay).await;
    let seen = app.role(Role::Viewer).await.get(&faces).await.expect(200);
    let bounds = |x: f64| json!({ "x": x, "y": 20.5, "width": 100.0, "height": 120.0 });
    let expected = json!({
        "at": format!("{:.3}", overlay.at), "width": 640, "height": 480,
        "faces": [
            { "box": bounds(10.0), "known": true, "employee": { "id": ann, "name": "Ann" } },
            { "box": bounds(300.0), "known": false },
            { "box": bounds(500.0), "known": false },
        ],
    });
    assert_eq!(seen, expected);
}

/// Returns the same punch, as if a camera had recorded it.
fn by_camera(of: &Punch, camera: CameraId) -> Punch {
    Punch {
        id: PunchId::new(Uuid::now_v7()),
        origin: Origin::Camera(camera),
        request: None,
        sequence: of.sequence + 1,
        ..of.clone()
    }
}

#[tokio::test]
async fn punches_keep_the_name_of_a_removed_camera() {
    let app = with_streams([("yard", FAST)]).await;
    let admin = app.admin().await;
    app.enrolled(&admin).await;
    let kiosk = app.kiosk().await;
    kiosk.punch(&photo("obama3")).await.expect(201);
    let address = add(&admin, "yard").await;
    let page = Page {
        after: None,
        limit: 1,
    };
    let punches = app
        .stores
        .punches
        .list(&Reach::Everything, &Default::default(), &page)
        .await;
    let seen = by_camera(&punches.unwrap()[0], id_in(&address));
    app.stores.punches.append(&seen).await.unwrap();
    assert_eq!(admin.delete(&address).await.status, 204);

    let list = admin.get("/api/punches").await.expect(200);
    let text = |origin: &Value, field: &str| origin[field].as_str().unwrap().to_owned();
    let mut origins: Vec<_> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["origin"])
        .map(|origin| (text(origin, "kind"), text(origin, "name")))
        .collect();
    origins.sort_unstable();
    let expected = [("camera", "Camera yard"), ("device", "Front door")];
    assert_eq!(
        origins,
        expected.map(|(kind, name)| (kind.to_owned(), name.to_owned()))
    );
    let one = admin
        .get(&format!("/api/punches/{}", seen.id))
        .await
        .expect(200);
    let camera = id_in(&address);
    let origin = json!({"kind": "camera", "id": camera.to_string(), "name": "Camera yard"});
    assert_eq!(one["origin"], origin);
    let ids = async |query: &str| {
        let list = admin
            .get(&format!("/api/punches?{query}"))
            .await
            .expect(200);
        let ids = list["items"].as_array().unwrap().iter();
        ids.map(|one| one["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&format!("camera={camera}")).await, [one["id"].clone()]);
    assert_eq!(ids(&format!("device={}", kiosk.id)).await.len(), 1);
    assert!(ids(&format!("device={camera}")).await.is_empty());
    let both = format!("/api/punches?device={}&camera={camera}", kiosk.id);
    let problem = admin.get(&both).await.problem(422, "invalid");
    assert_eq!(problem["errors"][0]["code"], "excluded");
}

#[tokio::test]
async fn the_feed_reports_changes_of_cameras() {
    let app = with_streams([("yard", FAST)]).await;
    let admin = app.admin().await;
    let viewer = app.role(Role::Viewer).await;
    let mut events = viewer
        .request(Method::GET, "/api/events")
        .send()
        .await
        .unwrap();
    let mut next = async || {
        let mut text = String::new();
        while !(text.contains("event: camera") && text.ends_with("\n\n")) {
            let chunk = tokio::time::timeout(PATIENCE, events.chunk()).await;
            let chunk = chunk.expect("an event comes").unwrap().unwrap();
            text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
        let data = text.lines().find_map(|line| line.strip_prefix("data: "));
        serde_json::from_str::<Value>(data.unwrap()).unwrap()
    };
    let address = add(&admin, "yard").await;
    let id = id_in(&address).to_string();
    assert_eq!(next().await, json!({ "id": id, "state": null }));

    let now = app.clock.now();
    let status = CameraStatus {
        state: CameraState::Live,
        cause: None,
        since: now,
        reported_at: now,
        present: Vec::new(),
    };
    app.stores
        .cameras
        .report(id_in(&address), &status)
        .await
        .unwrap();
    admin
        .patch(&address, json!({ "name": "Gate" }))
        .await
        .expect(200);
    let event = next().await;
    assert_eq!(event["id"], id);
    assert_eq!(event["state"]["state"], "live");
    assert_eq!(admin.delete(&address).await.status, 204);
    assert_eq!(next().await, json!({ "id": id, "state": null }));
}

/// Checks that a client cannot see a camera.
async fn hidden_from(client: &Client, address: &str) {
    for path in ["", "/picture", "/live", "/faces"] {
        let answer = client.get(&format!("{address}{path}")).await;
        answer.problem(404, "not_found");
    }
}

#[tokio::test]
async fn only_admins_and_viewers_of_a_camera_see_it() {
    let app = with_streams([("yard", FAST), ("gate", FAST), ("safe", FAST)]).await;
    let admin = app.admin().await;
    let manager = app.role(Role::Manager).await;
    let viewer = app.role(Role::Viewer).await;
    // Only admins by default.
    let new = json!({ "name": "Safe", "stream": "safe" });
    let safe = admin.post("/api/cameras", new).await.expect(201);
    assert_eq!(safe["viewers"], json!([]));
    let safe = format!("/api/cameras/{}", safe["id"].as_str().unwrap());
    let (yard, gate) = (add(&admin, "yard").await, add(&admin, "gate").await);
    let given = json!({ "viewers": [" Viewer2@example.com ", "viewer2@example.com"] });
    let changed = admin.patch(&gate, given).await.expect(200);
    assert_eq!(changed["viewers"], json!(["viewer2@example.com"]));

    hidden_from(&viewer, &safe).await;
    hidden_from(&manager, &safe).await;
    hidden_from(&manager, &gate).await;
    for address in [&yard, &gate] {
        for path in ["", "/picture", "/faces"] {
            let answer = viewer.get(&format!("{address}{path}")).await;
            assert_eq!(answer.status, 200, "{address}{path}");
        }
        read(&mut follow(&viewer, address).await, 100).await;
    }
    // Pages are full, although there are hidden cameras in between.
    let names = async |client: &Client| {
        let (mut names, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("/api/cameras?limit=1&cursor={cursor}");
            let page = client.get(&path).await.expect(200);
            let items = page["items"].as_array().unwrap();
            names.extend(
                items
                    .iter()
                    .map(|one| one["name"].as_str().unwrap().to_owned()),
            );
            match page["next"].as_str() {
                Some(next) => cursor = next.to_owned(),
                None => return names,
            }
            assert_eq!(items.len(), 1);
        }
    };
    assert_eq!(names(&admin).await, ["Safe", "Camera yard", "Camera gate"]);
    assert_eq!(names(&viewer).await, ["Camera yard", "Camera gate"]);
    assert_eq!(names(&manager).await, ["Camera yard"]);

    // A viewer who is removed loses access at once.
    admin
        .patch(&yard, json!({ "viewers": [] }))
        .await
        .expect(200);
    hidden_from(&viewer, &yard).await;
    let entries = app.stores.audit.latest(3).await.unwrap();
    let details: Vec<_> = entries.into_iter().map(|entry| entry.detail).collect();
    let detail = |who: &str| Some(format!("viewers: {who}"));
    let expected = [
        detail("admins"),
        detail("admins, viewer2@example.com"),
        detail("everybody"),
    ];
    assert_eq!(details, expected);
}

#[tokio::test]
async fn viewers_of_a_camera_must_have_accounts() {
    let app = with_streams([("yard", FAST)]).await;
    let admin = app.admin().await;
    let address = add(&admin, "yard").await;
    let many: Vec<_> = (0..201)
        .map(|number| format!("a{number}@example.com"))
        .collect();
    for viewers in [json!(["nobody@example.com"]), json!(["x"]), json!(many)] {
        let new = json!({ "name": "Gate", "stream": "yard", "viewers": viewers.clone() });
        for answer in [
            admin.patch(&address, json!({ "viewers": viewers })).await,
            admin.post("/api/cameras", new).await,
        ] {
            answer.problem(422, "invalid");
            assert_eq!(answer.fields(), ["viewers"]);
        }
    }
}

#[tokio::test]
async fn live_pictures_end_when_the_account_may_no_longer_see_the_camera() {
    let app = with_streams([("yard", FAST)]).await;
    let admin = app.admin().await;
    let address = add(&admin, "yard").await;
    let viewer = app.role(Role::Viewer).await;
    let mut live = follow(&viewer, &address).await;
    read(&mut live, 1).await;
    admin
        .patch(&address, json!({ "viewers": [] }))
        .await
        .expect(200);
    let rest = tokio::time::timeout(PATIENCE, live.bytes());
    rest.await.expect("it ends").unwrap();
    until_open(&app, 0).await;
}

#[tokio::test]
async fn the_feed_omits_cameras_that_the_account_may_not_see() {
    let app = with_streams([("yard", FAST), ("safe", FAST)]).await;
    let admin = app.admin().await;
    let yard = add(&admin, "yard").await;
    let new = json!({ "name": "Safe", "stream": "safe" });
    let safe = admin.post("/api/cameras", new).await.expect(201);
    let safe = format!("/api/cameras/{}", safe["id"].as_str().unwrap());
    let viewer = app.role(Role::Viewer).await;
    let events = viewer.request(Method::GET, "/api/events");
    let mut events = events.send().await.unwrap();
    for address in [&safe, &yard] {
        admin
            .patch(address, json!({ "every_ms": 300 }))
            .await
            .expect(200);
    }
    assert_eq!(admin.delete(&safe).await.status, 204);
    admin
        .patch(&yard, json!({ "name": "Last" }))
        .await
        .expect(200);
    let mut text = String::new();
    while text.matches("event: camera").count() < 2 || !text.ends_with("\n\n") {
        let chunk = tokio::time::timeout(PATIENCE, events.chunk()).await;
        let chunk = chunk.expect("an event comes").unwrap().unwrap();
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    assert_eq!(text.matches(&id_in(&yard).to_string()).count(), 2, "{text}");
    assert!(!text.contains(&id_in(&safe).to_string()), "{text}");
}
