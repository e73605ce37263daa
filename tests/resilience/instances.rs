//! Two instances on one MongoDB and one Redis, also while Redis is unavailable.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures::future::join_all;
use reqwest::{Client, StatusCode};
use rollcall::{
    http_client,
    repositories::{KINDS, Repositories},
    storage::mongo::{MongoEngine, MongoSettings},
};
use serde_json::{Value, json};

use crate::{
    EMAIL, Environment, PASSWORD, PATIENCE, Service, client, portrait, redis_server::RedisServer,
    runtime, servers::MongoServer, skip::skip, small, store,
};

/// Both instances decrypt what the other one encrypted.
const TEMPLATE_KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// On a machine that is busy with other tests, Redis may take longer than the default limit.
fn patient() -> (&'static str, String) {
    ("REDIS_COMMAND_TIMEOUT", "3000".to_owned())
}

/// The servers of both instances.
pub struct Servers {
    redis: RedisServer,
    mongo: MongoServer,
}

impl Servers {
    pub fn start(test: &str) -> Option<Self> {
        if runtime::missing() {
            return None;
        }
        let start = || {
            Ok::<_, String>(Self {
                redis: RedisServer::with(&[])?,
                mongo: MongoServer::start()?,
            })
        };
        start().inspect_err(|why| skip(test, why)).ok()
    }

    fn environment(&self, more: &[(&'static str, &str)]) -> Environment {
        let mut environment = store(Some(self.mongo.uri()));
        environment.push(("REDIS_URL", self.redis.url()));
        environment.push(("TEMPLATE_KEY", TEMPLATE_KEY.to_owned()));
        // On a busy machine, either precision may be measured as faster, and cached analyses are
        // shared only by instances with the same precision.
        environment.push(("PRECISION", "int8".to_owned()));
        environment.push(patient());
        environment.extend(
            more.iter()
                .map(|(name, value)| (*name, (*value).to_owned())),
        );
        environment
    }

    /// Returns the records of both instances.
    pub async fn records(&self) -> Repositories {
        let settings = MongoSettings {
            uri: self.mongo.uri().into(),
            database: "rollcall".to_owned(),
            app_name: "rollcall-tests".to_owned(),
        };
        let engine = MongoEngine::connect(settings, KINDS).await;
        Repositories::new(Arc::new(engine.unwrap()))
    }

    pub async fn instance(&self, more: &[(&'static str, &str)]) -> Service {
        Service::with(self.environment(more)).await
    }
}

async fn json(client: &Client, url: String) -> Value {
    let answer = client.get(url).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    answer.json().await.unwrap()
}

/// Returns a metric of an instance; 0 if it was never counted.
pub async fn figure(service: &Service, name: &str) -> u64 {
    let answer = client().get(service.url("/metrics")).send().await.unwrap();
    let text = answer.text().await.unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0, |value| value.trim().parse::<f64>().unwrap() as u64)
}

async fn identify(service: &Service, client: &Client, photo: &[u8]) -> Value {
    let request = client.post(service.url("/api/identify"));
    let request = request
        .header("content-type", "image/jpeg")
        .body(photo.to_vec());
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    answer.json().await.unwrap()
}

/// Returns a client with the same cookie, for another instance.
async fn sign_in(service: &Service) -> (Client, String) {
    let body = json!({"email": EMAIL, "password": PASSWORD});
    let answer = client()
        .post(service.url("/api/session"))
        .json(&body)
        .send();
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let cookie = answer.headers()["set-cookie"].to_str().unwrap();
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let mut headers = reqwest::header::HeaderMap::new();
    headers.insert("cookie", cookie.parse().unwrap());
    let client = http_client::builder().default_headers(headers);
    let client = client.timeout(PATIENCE).build().unwrap();
    (client, cookie)
}

async fn status(client: &Client, service: &Service) -> StatusCode {
    let answer = client
        .get(service.url("/api/session"))
        .send()
        .await
        .unwrap();
    answer.status()
}

#[tokio::test]
async fn an_image_is_analyzed_by_one_instance_only() {
    let Some(servers) = Servers::start("two instances and what was seen") else {
        return;
    };
    let mut one = servers.instance(&[]).await;
    let two = servers.instance(&[]).await;
    let (admin, _) = sign_in(&one).await;
    let inferences = "rollcall_inferences_total";
    let photo = portrait("obama3");

    let first = identify(&one, &admin, &photo).await;
    let looked = figure(&one, inferences).await;
    assert!(looked > 0);
    assert_eq!(identify(&one, &admin, &photo).await, first);
    assert_eq!(figure(&one, inferences).await, looked, "the second request");

    assert_eq!(identify(&two, &admin, &photo).await, first);
    assert_eq!(figure(&two, inferences).await, 0, "the other instance");
    one.kill_and_restart().await;
    assert_eq!(identify(&one, &admin, &photo).await, first);
    assert_eq!(figure(&one, inferences).await, 0, "after a restart");

    // Concurrently at both: one of them analyzes it, once.
    let photo = portrait("biden");
    let before = [
        figure(&one, inferences).await,
        figure(&two, inferences).await,
    ];
    let asked = (0..8).map(|n| identify(if n % 2 == 0 { &one } else { &two }, &admin, &photo));
    let answers = join_all(asked).await;
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    let after = [
        figure(&one, inferences).await,
        figure(&two, inferences).await,
    ];
    let by = after
        .iter()
        .zip(before)
        .filter(|(after, before)| *after > before);
    assert_eq!(by.count(), 1, "{before:?} {after:?}");

    // An admin sees this, on the page and in the terminal.
    let seen = json(&admin, one.url("/api/redis")).await;
    assert_eq!(seen["connected"], true);
    let server = &seen["servers"][0];
    assert_eq!(server["role"], "master");
    assert!(server["memory"].as_u64().unwrap() > 100_000, "{seen}");
    assert!(server["latency_p99"].as_u64().unwrap() > 0, "{seen}");
    let kinds = server["keys"].as_array().unwrap();
    let embeddings = kinds
        .iter()
        .find(|kind| kind["kind"] == "embedding")
        .unwrap();
    assert_eq!(embeddings["count"], 2, "{seen}");
    assert!(
        seen["words"][0]
            .as_str()
            .unwrap()
            .contains("no memory limit")
    );
    let (ended, output) = program(&servers.redis, &["redis", "stats"]);
    assert!(
        ended && output.contains("master") && output.contains("2 embedding"),
        "{output}"
    );
    let (ended, output) = program(&servers.redis, &["redis", "clear", "lock:"]);
    assert!(
        !ended && output.contains("is not a group or pattern"),
        "{output}"
    );

    // Cached values are encrypted: they can be neither read nor planted.
    let keys: Vec<String> = servers.redis.ask(&["KEYS", "rollcall:embedding:*"]);
    assert_eq!(keys.len(), 2, "{keys:?}");
    let other: Vec<u8> = servers.redis.ask(&["GET", &keys[1]]);
    let client = redis::Client::open(servers.redis.url()).unwrap();
    let mut connection = client.get_connection().unwrap();
    redis::cmd("SET")
        .arg(&keys[0])
        .arg(other)
        .arg("KEEPTTL")
        .exec(&mut connection)
        .unwrap();
    let fresh = servers.instance(&[]).await;
    for (photo, expected) in [
        (portrait("obama3"), &first),
        (portrait("biden"), &answers[0]),
    ] {
        assert_eq!(identify(&fresh, &admin, &photo).await, *expected);
    }
    assert!(
        figure(&fresh, inferences).await > 0,
        "the planted value was ignored"
    );
    let (ended, output) = program(&servers.redis, &["redis", "clear", "--yes", "images"]);
    assert!(ended && output.contains("2 keys"), "{output}");
    let left: Vec<String> = servers.redis.ask(&["KEYS", "rollcall:embedding:*"]);
    assert!(left.is_empty(), "{left:?}");
}

/// Runs a command of the program; returns whether it succeeded, and its output.
fn program(redis: &RedisServer, arguments: &[&str]) -> (bool, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_rollcall"));
    let command = command.args(arguments).env("REDIS_URL", redis.url());
    let command = command.envs([patient()]);
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[tokio::test]
async fn the_enrollment_limit_and_its_lift_are_shared() {
    let Some(servers) = Servers::start("two instances and the enrollment limit") else {
        return;
    };
    let one = servers.instance(&[("ENROLL_LIMIT", "5")]).await;
    let two = servers.instance(&[("ENROLL_LIMIT", "5")]).await;
    let (admin, _) = sign_in(&one).await;
    let new = json!({"name": "Ada", "code": "1"});
    let employee = one.create(&admin, "/api/employees", new).await;
    let id = employee["id"].as_str().unwrap();
    let photo = std::fs::read("tests/fixtures/faces/obama.jpg").unwrap();
    let enroll = async |number: usize| {
        let service = if number.is_multiple_of(2) { &one } else { &two };
        let form = reqwest::multipart::Form::new()
            .text("employee", id.to_owned())
            .text("consent", "true")
            .part("photo", reqwest::multipart::Part::bytes(photo.clone()));
        let request = admin.post(service.url("/api/enroll")).multipart(form);
        request.send().await.unwrap().status().as_u16()
    };
    let answers = join_all((0..50).map(enroll)).await;
    let enrolled = answers.iter().filter(|status| **status == 201).count();
    let refused = answers.iter().filter(|status| **status == 429).count();
    assert_eq!((enrolled, refused), (5, 45));

    // An admin lifts the limit on one instance, and the other one knows it.
    let lifted = admin.post(one.url("/api/enrollment-limit/lift")).send();
    assert_eq!(lifted.await.unwrap().status(), StatusCode::OK);
    assert_eq!(enroll(1).await, 201);
    assert_eq!(enroll(0).await, 201);
}

#[tokio::test]
async fn a_session_is_valid_and_ends_on_every_instance() {
    let Some(mut servers) = Servers::start("two instances and sessions") else {
        return;
    };
    let one = servers.instance(&[]).await;
    let two = servers.instance(&[]).await;
    let (admin, _) = sign_in(&one).await;
    for _ in 0..3 {
        assert_eq!(status(&admin, &one).await, StatusCode::OK);
        assert_eq!(status(&admin, &two).await, StatusCode::OK);
    }
    let cached: Vec<String> = servers.redis.ask(&["KEYS", "rollcall:session:*"]);
    assert_eq!(cached.len(), 1);
    let out = admin.delete(one.url("/api/session")).send().await.unwrap();
    assert_eq!(out.status(), StatusCode::NO_CONTENT);
    assert_eq!(status(&admin, &two).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(&admin, &one).await, StatusCode::UNAUTHORIZED);

    // Signed out while Redis is unavailable, with the session still in its data: the session stays
    // ended.
    let (admin, _) = sign_in(&one).await;
    assert_eq!(status(&admin, &two).await, StatusCode::OK);
    servers.redis.freeze();
    let out = admin.delete(one.url("/api/session")).send().await.unwrap();
    assert_eq!(out.status(), StatusCode::NO_CONTENT);
    assert_eq!(status(&admin, &one).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(&admin, &two).await, StatusCode::UNAUTHORIZED);
    servers.redis.thaw();
    until(&one, "ok").await;
    until(&two, "ok").await;
    assert_eq!(status(&admin, &one).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(&admin, &two).await, StatusCode::UNAUTHORIZED);
    servers.redis.kill();
    let (admin, _) = sign_in(&one).await;
    assert_eq!(status(&admin, &two).await, StatusCode::OK, "without Redis");
}

#[tokio::test]
async fn sessions_only_in_redis_are_shared_and_their_end_is_never_claimed_falsely() {
    let Some(servers) = Servers::start("sessions in redis alone") else {
        return;
    };
    let engine = [("SESSION_ENGINE", "cache")];
    let mut one = servers.instance(&engine).await;
    let two = servers.instance(&engine).await;
    let (admin, _) = sign_in(&one).await;
    let (other, _) = sign_in(&one).await;
    assert_eq!(status(&admin, &two).await, StatusCode::OK);
    one.kill_and_restart().await;
    assert_eq!(
        status(&admin, &one).await,
        StatusCode::OK,
        "a restart ends none"
    );
    let all = json(&admin, one.url("/api/sessions")).await;
    assert_eq!(all["items"].as_array().unwrap().len(), 2);
    let end = async |client: &Client| {
        let answer = client.delete(two.url("/api/session")).send().await;
        answer.unwrap().status()
    };
    assert_eq!(end(&admin).await, StatusCode::NO_CONTENT);
    assert_eq!(status(&admin, &one).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(&other, &one).await, StatusCode::OK);

    // While Redis is unavailable, people sign in again.
    servers.redis.freeze();
    until(&two, "degraded").await;
    assert_eq!(status(&other, &two).await, StatusCode::UNAUTHORIZED);
    let (here, _) = sign_in(&two).await;
    assert_eq!(status(&here, &two).await, StatusCode::OK);
    assert_eq!(status(&here, &one).await, StatusCode::OK, "from the store");
    assert_eq!(end(&here).await, StatusCode::NO_CONTENT);
    assert_eq!(status(&here, &two).await, StatusCode::UNAUTHORIZED);
    assert_eq!(end(&other).await, StatusCode::SERVICE_UNAVAILABLE);
    servers.redis.thaw();
    until(&two, "ok").await;
    until(&one, "ok").await;
    assert_eq!(status(&other, &two).await, StatusCode::OK);
    assert_eq!(end(&other).await, StatusCode::NO_CONTENT);
    assert_eq!(status(&other, &one).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn lists_are_the_same_on_every_instance_after_every_change() {
    let Some(servers) = Servers::start("lists on two instances") else {
        return;
    };
    let one = servers.instance(&[]).await;
    let two = servers.instance(&[]).await;
    same_lists(&one, &two).await;
}

/// Without Redis, instances share pairings in the store.
#[tokio::test]
async fn without_redis_pairings_are_shared_in_the_store() {
    if runtime::missing() {
        return;
    }
    let mongo = match MongoServer::start() {
        Ok(mongo) => mongo,
        Err(why) => return skip("two instances without Redis", &why),
    };
    let mut environment = store(Some(mongo.uri()));
    environment.push(("TEMPLATE_KEY", TEMPLATE_KEY.to_owned()));
    environment.push(("CACHE_FALLBACK", "store".to_owned()));
    let one = Service::with(environment.clone()).await;
    let two = Service::with(environment).await;
    let admin = same_lists(&one, &two).await;

    // A kiosk shows the code of one instance, and the admin types it at the other.
    let begun = client().post(one.url("/api/pairings")).json(&json!({}));
    let begun: Value = begun.send().await.unwrap().json().await.unwrap();
    let device = json!({"name": "Door", "code": begun["code"]});
    let added = two.create(&admin, "/api/devices", device).await;
    let secret = begun["secret"].as_str().unwrap();
    let paired = client().get(one.url("/api/pairing")).bearer_auth(secret);
    let paired: Value = paired.send().await.unwrap().json().await.unwrap();
    assert_eq!(paired["paired"], true, "{paired}");
    let token = paired["token"].as_str().unwrap();
    let own = client().get(two.url("/api/device")).bearer_auth(token);
    let own: Value = own.send().await.unwrap().json().await.unwrap();
    assert_eq!(own["id"], added["id"]);
}

/// Checks that a change on either instance is immediately in the lists of both; returns the admin.
async fn same_lists(one: &Service, two: &Service) -> Client {
    let (admin, _) = sign_in(one).await;
    let names = async |at: &Service| {
        let list = json(&admin, at.url("/api/employees")).await;
        let items = list["items"].as_array().unwrap();
        let name = |item: &Value| item["name"].as_str().unwrap().to_owned();
        items.iter().map(name).collect::<Vec<_>>()
    };
    let mut expected: Vec<String> = Vec::new();
    for number in 0..6 {
        assert_eq!(names(one).await, expected);
        assert_eq!(names(two).await, expected);
        let at = if number % 2 == 0 { one } else { two };
        let name = format!("Person {number}");
        let body = json!({"name": name, "code": format!("P{number}")});
        let added = admin.post(at.url("/api/employees")).json(&body).send();
        assert_eq!(added.await.unwrap().status(), StatusCode::CREATED);
        expected.push(name);
    }
    admin
}

/// Waits until the instance reports this state of Redis; it must be ready all the time.
async fn until(service: &Service, state: &str) {
    let begin = Instant::now();
    loop {
        let answer = client().get(service.url("/readyz")).send().await.unwrap();
        let status = answer.status();
        let ready: Value = answer.json().await.unwrap();
        // On a busy machine, the store may not answer in time.
        let slow = ready["checks"]["store"]["state"] == "down";
        assert!(status == StatusCode::OK || slow, "{ready}");
        if ready["checks"]["redis"]["state"] == state {
            return;
        }
        assert!(begin.elapsed() < PATIENCE, "{ready}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Reads events until one has this name; returns its data.
async fn event(stream: &mut reqwest::Response, text: &mut String, name: &str) -> Value {
    let found = async {
        loop {
            while let Some((event, rest)) = text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                *text = rest;
                if event.lines().any(|line| line == format!("event: {name}")) {
                    let data = event.lines().find_map(|line| line.strip_prefix("data: "));
                    return serde_json::from_str(data.unwrap()).unwrap();
                }
            }
            let more = stream.chunk().await.unwrap().expect("the stream continues");
            text.push_str(std::str::from_utf8(&more).unwrap());
        }
    };
    tokio::time::timeout(PATIENCE, found)
        .await
        .unwrap_or_else(|_| panic!("no event {name}"))
}

#[tokio::test]
async fn a_punch_is_announced_on_the_other_instance() {
    let Some(mut servers) = Servers::start("two instances and the live feed") else {
        return;
    };
    let one = servers.instance(&[]).await;
    let two = servers.instance(&[]).await;
    let (admin, _) = sign_in(&one).await;
    let mut stream = admin.get(two.url("/api/events")).send().await.unwrap();
    assert_eq!(stream.status(), StatusCode::OK);
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let mut text = String::new();

    // Enrolled on one instance, recognized on the other.
    let id = one.enroll(&admin, "E1", &["obama", "obama2"]).await;
    assert_eq!(event(&mut stream, &mut text, "employee").await["id"], *id);
    let device = two
        .create(&admin, "/api/devices", json!({"name": "Door"}))
        .await;
    let token = device["token"].as_str().unwrap();
    let photo = portrait("obama3");
    let punch = async |service: &Service| -> Value {
        let request = client()
            .post(service.url("/api/punches"))
            .bearer_auth(token);
        let request = request
            .header("content-type", "image/jpeg")
            .body(photo.clone());
        request.send().await.unwrap().json().await.unwrap()
    };
    let begin = Instant::now();
    let mut answer = punch(&two).await;
    while answer["outcome"] != "punched" {
        assert!(begin.elapsed() < PATIENCE, "{answer}");
        tokio::time::sleep(Duration::from_millis(50)).await;
        answer = punch(&two).await;
    }
    let received = event(&mut stream, &mut text, "punch").await;
    assert_eq!(received["id"], answer["punch"]["id"]);
    let answer = punch(&one).await;
    let received = event(&mut stream, &mut text, "punch").await;
    assert_eq!(received["id"], answer["punch"]["id"]);
    assert_eq!(received["name"], "E1");

    // So is what a board shows besides: a correction, and a plan.
    let correction = json!({
        "action": "add", "kind": "in", "at": "2026-03-02T08:00:00Z", "reason": "Forgot",
    });
    let path = format!("/api/employees/{id}/corrections");
    one.create(&admin, &path, correction).await;
    let received = event(&mut stream, &mut text, "timesheet").await;
    assert_eq!(received["employee"], *id);
    let plan = json!({ "employees": [id], "day": "2026-03-02", "shifts": [] });
    one.create(&admin, "/api/assignments", plan).await;
    let received = event(&mut stream, &mut text, "plan").await;
    assert_eq!(received["employee"], *id);

    // Without Redis, each instance announces only its own punches, and a client that reconnects
    // gets the others.
    servers.redis.kill();
    until(&two, "degraded").await;
    let alone = punch(&two).await;
    let received = event(&mut stream, &mut text, "punch").await;
    assert_eq!(received["id"], alone["punch"]["id"]);
    let at = jiff::Timestamp::now().as_millisecond();
    let elsewhere = punch(&one).await;
    drop(stream);
    let last = format!("{at}-{}", alone["punch"]["id"].as_str().unwrap());
    let request = admin
        .get(two.url("/api/events"))
        .header("last-event-id", last);
    let mut stream = request.send().await.unwrap();
    let mut text = String::new();
    let mut replayed = event(&mut stream, &mut text, "punch").await;
    while replayed["id"] != elsewhere["punch"]["id"] {
        assert_ne!(
            replayed["id"], alone["punch"]["id"],
            "that event was already received"
        );
        replayed = event(&mut stream, &mut text, "punch").await;
    }
    // Signing out ends the stream.
    let refused = client().get(two.url("/api/events")).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    let bad = admin
        .get(two.url("/api/events"))
        .header("last-event-id", "x");
    assert_eq!(
        bad.send().await.unwrap().status(),
        StatusCode::UNPROCESSABLE_ENTITY
    );
}

/// Returns a percentile of durations, in milliseconds.
fn percentile(times: &mut [Duration], share: f64) -> u128 {
    times.sort_unstable();
    let place = ((times.len() - 1) as f64 * share) as usize;
    times[place].as_millis()
}

/// A steady load of punches during every kind of failure of Redis.
#[tokio::test]
async fn punches_continue_whatever_redis_does() {
    if runtime::missing() {
        return;
    }
    let mut redis = match RedisServer::with(&[]) {
        Ok(redis) => redis,
        Err(why) => return skip("punches while Redis suffers", &why),
    };
    let mut environment = store(None);
    environment.push(("REDIS_URL", redis.url()));
    let one = Service::with(environment).await;
    let (admin, _) = sign_in(&one).await;
    one.enroll(&admin, "E1", &["obama", "obama2"]).await;
    let device = one
        .create(&admin, "/api/devices", json!({"name": "Door"}))
        .await;
    let token = device["token"].as_str().unwrap();
    let base = small("obama3");

    let (stop, next) = (AtomicBool::new(false), AtomicUsize::new(0));
    let answered = AtomicUsize::new(0);
    let load = async || {
        let client = client();
        let mut done = Vec::new();
        while !stop.load(Ordering::SeqCst) {
            let number = next.fetch_add(1, Ordering::SeqCst);
            // Bytes after the end change only the digest, so that each photo is analyzed.
            let mut photo = base.clone();
            photo.extend(number.to_le_bytes());
            let begin = Instant::now();
            let request = client.post(one.url("/api/punches")).bearer_auth(token);
            let request = request
                .header("content-type", "image/jpeg")
                .header("idempotency-key", format!("n{number}"))
                .body(photo);
            let answer = request.send().await.unwrap();
            let (at, took) = (begin, begin.elapsed());
            assert!(
                answer.status().is_success(),
                "punch {number}: {}",
                answer.status()
            );
            let answer: Value = answer.json().await.unwrap();
            let punched = answer["outcome"] == "punched";
            answered.fetch_add(1, Ordering::SeqCst);
            done.push((
                at,
                took,
                punched.then(|| answer["punch"]["id"].as_str().unwrap().to_owned()),
            ));
        }
        done
    };
    let mut marks: Vec<(&str, Instant)> = Vec::new();
    let suffer = async {
        // Also long enough for punches that begin and end meanwhile, however slow the machine is.
        let pause = async |millis| {
            let enough = answered.load(Ordering::SeqCst) + 6;
            tokio::time::sleep(Duration::from_millis(millis)).await;
            while answered.load(Ordering::SeqCst) < enough {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        marks.push(("well", Instant::now()));
        pause(2500).await;
        marks.push(("killed", Instant::now()));
        redis.kill();
        pause(2000).await;
        redis.restart();
        until(&one, "ok").await;
        marks.push(("frozen", Instant::now()));
        redis.freeze();
        pause(2000).await;
        redis.thaw();
        until(&one, "ok").await;
        marks.push(("flushed and reset", Instant::now()));
        for _ in 0..10 {
            redis.ask::<()>(&["FLUSHALL"]);
            redis.ask::<u64>(&["CLIENT", "KILL", "TYPE", "normal"]);
            pause(150).await;
        }
        marks.push(("full", Instant::now()));
        redis.ask::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
        pause(1500).await;
        redis.ask::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
        until(&one, "ok").await;
        marks.push(("read-only", Instant::now()));
        redis.ask::<()>(&["REPLICAOF", "127.0.0.1", "1"]);
        pause(1500).await;
        redis.ask::<()>(&["REPLICAOF", "NO", "ONE"]);
        until(&one, "ok").await;
        marks.push(("well again", Instant::now()));
        pause(1500).await;
        marks.push(("end", Instant::now()));
        stop.store(true, Ordering::SeqCst);
    };
    let (done, ()) = futures::join!(join_all([load(), load()]), suffer);
    let done: Vec<_> = done.into_iter().flatten().collect();
    for pair in marks.windows(2) {
        let ((name, from), (_, to)) = (pair[0], pair[1]);
        let within = done.iter().filter(|(at, ..)| (from..to).contains(at));
        let mut times: Vec<Duration> = within.map(|(_, took, _)| *took).collect();
        assert!(!times.is_empty(), "nothing was punched while {name}");
        let [half, most] = [0.5, 0.99].map(|share| percentile(&mut times, share));
        println!(
            "{name}: {} punches, median {half} ms, p99 {most} ms",
            times.len()
        );
    }
    let punched: std::collections::BTreeSet<_> =
        done.iter().filter_map(|(.., id)| id.clone()).collect();
    let mut stored = std::collections::BTreeSet::new();
    let mut cursor = String::new();
    loop {
        let list = json(
            &admin,
            one.url(&format!("/api/punches?limit=200&cursor={cursor}")),
        )
        .await;
        for item in list["items"].as_array().unwrap() {
            assert!(
                stored.insert(item["id"].as_str().unwrap().to_owned()),
                "listed twice"
            );
        }
        match list["next"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(
        stored, punched,
        "exactly the acknowledged punches are stored"
    );
    assert!(punched.len() > 30, "{} punches", punched.len());
}
