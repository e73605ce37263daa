//! Cameras through a real go2rtc: people who pass are punched once, whatever fails meanwhile.

use std::time::{Duration, Instant};

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use crate::{
    Environment, PATIENCE, Service,
    go2rtc::{Go2rtc, PASSWORD, Scene, TestCamera, USER},
    portrait, runtime,
    servers::MongoServer,
    skip::skip,
    store,
};

const TEMPLATE_KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
fn scene(portraits: &[&str]) -> Scene {
    let portraits: Vec<_> = portraits.iter().map(|name| portrait(name)).collect();
    let portraits: Vec<&[u8]> = portraits.iter().map(Vec::as_slice).collect();
    Scene::of(&portraits)
}

fn go2rtc(test: &str, streams: &[(&str, String)]) -> Option<Go2rtc> {
    if runtime::missing() {
        return None;
    }
    Go2rtc::with(streams)
        .inspect_err(|why| skip(test, why))
        .ok()
}

fn environment(go2rtc: &Go2rtc, mongo: Option<String>) -> Environment {
    let mut environment = store(mongo);
    environment.extend([
        ("GO2RTC_URL", go2rtc.url()),
        ("GO2RTC_USERNAME", USER.to_owned()),
        ("GO2RTC_PASSWORD", PASSWORD.to_owned()),
        ("TEMPLATE_KEY", TEMPLATE_KEY.to_owned()),
    ]);
    environment
}

/// Number of looks after which a person who has just come is recognized.
const LOOKS: u64 = 8;

async fn get(service: &Service, admin: &Client, path: &str) -> Value {
    let answer = admin.get(service.url(path)).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "{path}");
    answer.json().await.unwrap()
}

async fn add(service: &Service, admin: &Client, stream: &str, direction: &str) -> String {
    let new = json!({"name": stream, "stream": stream, "direction": direction});
    let camera = service.create(admin, "/api/cameras", new).await;
    camera["id"].as_str().unwrap().to_owned()
}

/// Returns the kinds of the employee's punches, oldest first.
async fn punches(service: &Service, admin: &Client, employee: &str) -> Vec<String> {
    let path = format!("/api/punches?employee={employee}");
    let page = get(service, admin, &path).await;
    let items = page["items"].as_array().unwrap().iter().rev();
    items
        .map(|punch| punch["kind"].as_str().unwrap().to_owned())
        .collect()
}

/// Waits until an employee has this many punches.
async fn until_punched(service: &Service, admin: &Client, employee: &str, count: usize) {
    let begin = Instant::now();
    loop {
        let found = punches(service, admin, employee).await.len();
        if found == count {
            return;
        }
        assert!(found < count, "{found} punches");
        assert!(begin.elapsed() < PATIENCE, "only {found} punches");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Waits until an instance reports this state of a camera.
async fn until_state(service: &Service, admin: &Client, camera: &str, wanted: &str) -> Value {
    let begin = Instant::now();
    loop {
        let found = get(service, admin, &format!("/api/cameras/{camera}")).await;
        let state = &found["state"];
        if state["state"] == wanted && state["watched"] == true {
            return state.clone();
        }
        assert!(begin.elapsed() < PATIENCE, "{state} and not {wanted}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Returns the number of pictures with this result, from the metrics.
async fn pictures(service: &Service, became: &str) -> u64 {
    let name = format!("rollcall_camera_pictures_total{{became=\"{became}\"}}");
    crate::instances::figure(service, &name).await
}

#[tokio::test]
async fn people_who_pass_are_punched_once_per_visit_and_strangers_never() {
    let door = TestCamera::new(Scene::empty());
    let test = "people who pass a camera";
    let Some(go2rtc) = go2rtc(test, &[("door", door.source())]) else {
        return;
    };
    let mut service = Service::with(environment(&go2rtc, None)).await;
    let admin = service.admin().await;
    let obama = service.enroll(&admin, "E1", &["obama", "obama2"]).await;
    let biden = service.enroll(&admin, "E2", &["biden"]).await;
    let camera = add(&service, &admin, "door", "in").await;
    until_state(&service, &admin, &camera, "live").await;

    door.show(scene(&["obama3"]));
    until_punched(&service, &admin, &obama, 1).await;
    // Two people at once; one of them has been there before.
    door.show(scene(&["obama3", "biden"]));
    until_punched(&service, &admin, &biden, 1).await;
    // A person who is not enrolled, for long enough for three attempts.
    door.show(scene(&["hopper"]));
    let before = pictures(&service, "looked").await;
    let begin = Instant::now();
    while pictures(&service, "looked").await < before + 25 {
        assert!(begin.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(punches(&service, &admin, &obama).await, ["in"]);
    assert_eq!(punches(&service, &admin, &biden).await, ["in"]);
    let all = get(&service, &admin, "/api/punches").await;
    assert_eq!(all["items"].as_array().unwrap().len(), 2);
    assert_eq!(all["items"][0]["origin"]["kind"], "camera");

    // An empty room is checked for motion, but its pictures are hardly ever analyzed.
    door.show(Scene::empty());
    let counts = async || {
        let looked = pictures(&service, "looked").await;
        (looked, pictures(&service, "still").await)
    };
    let until_still = async |more: u64| {
        let (begin, wanted) = (Instant::now(), counts().await.1 + more);
        while counts().await.1 < wanted {
            assert!(begin.elapsed() < PATIENCE, "it is never still");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        counts().await
    };
    // The hall is still once the last picture of the person was compared.
    let (looked, still) = until_still(3).await;
    let (looked_after, still_after) = until_still(20).await;
    let (looked, still) = (looked_after - looked, still_after - still);
    assert!(looked * 3 <= still, "{looked} looked at, {still} not");

    assert_eq!(service.stop().await, Some(0));
}

#[tokio::test]
async fn each_fault_of_a_camera_is_reported_and_recovers() {
    let door = TestCamera::new(scene(&["hopper"]));
    let test = "faults of a camera";
    let Some(mut go2rtc) = go2rtc(test, &[("door", door.source())]) else {
        return;
    };
    let service = Service::with(environment(&go2rtc, None)).await;
    let admin = service.admin().await;
    let camera = add(&service, &admin, "door", "auto").await;
    let live = until_state(&service, &admin, &camera, "live").await;
    assert_eq!(live["cause"], Value::Null);

    door.show(scene(&["hopper"]).frozen());
    let stale = until_state(&service, &admin, &camera, "stale").await;
    assert!(stale["cause"].as_str().unwrap().contains("same"));
    door.show(scene(&["hopper"]));
    until_state(&service, &admin, &camera, "live").await;

    door.stall();
    until_state(&service, &admin, &camera, "stale").await;
    door.show(Scene::black());
    until_state(&service, &admin, &camera, "dark").await;
    door.show(scene(&["hopper"]));
    until_state(&service, &admin, &camera, "live").await;
    door.show(Scene::black().frozen());
    until_state(&service, &admin, &camera, "dark").await;
    door.show(scene(&["hopper"]).frozen());
    until_state(&service, &admin, &camera, "stale").await;

    door.off();
    until_state(&service, &admin, &camera, "unreachable").await;
    door.show(scene(&["hopper"]));
    until_state(&service, &admin, &camera, "live").await;

    go2rtc.kill();
    let gone = until_state(&service, &admin, &camera, "unreachable").await;
    assert!(gone["cause"].as_str().unwrap().contains("go2rtc"));
    go2rtc.restart();
    until_state(&service, &admin, &camera, "live").await;
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_stream_are_refused_without_connecting() {
    let door = TestCamera::new(Scene::empty());
    let test = "what go2rtc refuses";
    let Some(go2rtc) = go2rtc(test, &[("door", door.source())]) else {
        return;
    };
    let mut wrong = environment(&go2rtc, None);
    wrong.retain(|(name, _)| *name != "GO2RTC_PASSWORD");
    wrong.push(("GO2RTC_PASSWORD", "close sesame".to_owned()));
    let service = Service::with(wrong).await;
    let admin = service.admin().await;
    let camera = add(&service, &admin, "door", "auto").await;
    let state = until_state(&service, &admin, &camera, "refused").await;
    assert!(state["cause"].as_str().unwrap().contains("GO2RTC_PASSWORD"));
    drop(service);

    let service = Service::with(environment(&go2rtc, None)).await;
    let admin = service.admin().await;
    for stream in ["window", "exec:true", "http://127.0.0.1:1/", "../door"] {
        let new = json!({"name": "Door", "stream": stream, "direction": "auto"});
        let request = admin.post(service.url("/api/cameras")).json(&new);
        let answer = request.send().await.unwrap();
        assert_eq!(
            answer.status(),
            StatusCode::UNPROCESSABLE_ENTITY,
            "{stream}"
        );
    }
}

#[tokio::test]
async fn another_instance_takes_over_a_killed_one_and_punches_nobody_twice() {
    let door = TestCamera::new(Scene::empty());
    let test = "two instances and a camera";
    let Some(go2rtc) = go2rtc(test, &[("door", door.source())]) else {
        return;
    };
    let mongo = match MongoServer::start() {
        Ok(mongo) => mongo,
        Err(why) => return skip(test, &why),
    };
    let both = environment(&go2rtc, Some(mongo.uri()));
    let mut instances = [
        Service::with(both.clone()).await,
        Service::with(both.clone()).await,
    ];
    let admin = instances[0].admin().await;
    let obama = instances[0]
        .enroll(&admin, "E1", &["obama", "obama2"])
        .await;
    let biden = instances[0].enroll(&admin, "E2", &["biden"]).await;
    let camera = add(&instances[0], &admin, "door", "auto").await;
    until_state(&instances[0], &admin, &camera, "live").await;
    door.show(scene(&["obama3"]));
    until_punched(&instances[0], &admin, &obama, 1).await;

    let looked = [
        pictures(&instances[0], "looked").await,
        pictures(&instances[1], "looked").await,
    ];
    let owner = usize::from(looked[1] > 0);
    assert_eq!(looked[1 - owner], 0, "both watched: {looked:?}");
    instances[owner].child.kill().unwrap();
    instances[owner].child.wait().unwrap();
    let killed = Instant::now();

    let other = &instances[1 - owner];
    let admin = other.admin().await;
    while pictures(other, "looked").await == 0 {
        assert!(killed.elapsed() < PATIENCE, "no instance watches");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("another instance watches after {:?}", killed.elapsed());
    // A new person is punched; the person who stayed all the time is not punched again.
    door.show(scene(&["obama3", "biden"]));
    until_punched(other, &admin, &biden, 1).await;
    assert_eq!(punches(other, &admin, &obama).await, ["in"]);
}

#[tokio::test]
async fn people_who_pass_while_the_store_is_unavailable_are_punched_with_their_time() {
    let door = TestCamera::new(Scene::empty());
    let test = "a camera while the store is unavailable";
    let Some(go2rtc) = go2rtc(test, &[("door", door.source())]) else {
        return;
    };
    let mongo = match MongoServer::start() {
        Ok(mongo) => mongo,
        Err(why) => return skip(test, &why),
    };
    let service = Service::with(environment(&go2rtc, Some(mongo.uri()))).await;
    let admin = service.admin().await;
    let obama = service.enroll(&admin, "E1", &["obama", "obama2"]).await;
    let biden = service.enroll(&admin, "E2", &["biden"]).await;
    let camera = add(&service, &admin, "door", "in").await;
    until_state(&service, &admin, &camera, "live").await;

    mongo.freeze();
    let before = pictures(&service, "looked").await;
    door.show(scene(&["obama3"]));
    let begin = Instant::now();
    while pictures(&service, "looked").await < before + LOOKS {
        assert!(begin.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    door.show(Scene::empty());
    // Longer than a lease: the camera is still watched, and punches are kept.
    tokio::time::sleep(Duration::from_secs(8)).await;
    let before = pictures(&service, "looked").await;
    door.show(scene(&["biden"]));
    while pictures(&service, "looked").await < before + LOOKS {
        assert!(begin.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    door.show(Scene::empty());
    let back = jiff::Timestamp::now();
    mongo.thaw();
    until_punched(&service, &admin, &obama, 1).await;
    until_punched(&service, &admin, &biden, 1).await;
    let all = get(&service, &admin, "/api/punches").await;
    for punch in all["items"].as_array().unwrap() {
        let at: jiff::Timestamp = punch["at"].as_str().unwrap().parse().unwrap();
        assert!(at < back, "{at} and back at {back}");
    }
    until_state(&service, &admin, &camera, "live").await;
}
