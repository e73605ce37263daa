//! The real program during failures: it is killed while it writes punches, and its store fails.

mod cameras;
#[path = "../support/frozen.rs"]
mod frozen;
#[path = "../support/go2rtc.rs"]
#[expect(dead_code, reason = "a benchmark asks more of it")]
mod go2rtc;
mod instances;
mod jobs;
mod messages;
#[path = "../support/ports.rs"]
mod ports;
#[path = "../support/receiver.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod receiver;
#[path = "../support/redis.rs"]
mod redis_server;
#[path = "../support/runtime.rs"]
mod runtime;
#[path = "../support/servers.rs"]
mod servers;
#[path = "../support/skip.rs"]
mod skip;
mod stopping;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use reqwest::{Client, Method, StatusCode, multipart};
use rollcall::http_client;
use serde_json::{Value, json};
use servers::MongoServer;

const EMAIL: &str = "ada@example.com";
const PASSWORD: &str = "correct horse battery";

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Returns the bytes of a fixture portrait.
fn portrait(name: &str) -> Vec<u8> {
    let file = project("tests/fixtures/faces").join(format!("{name}.jpg"));
    std::fs::read(file).unwrap()
}

/// Returns a smaller portrait, so that a thousand of them are fast.
fn small(name: &str) -> Vec<u8> {
    let picture = image::load_from_memory(&portrait(name)).unwrap();
    let picture = picture.resize(500, 500, image::imageops::FilterType::Triangle);
    let mut jpeg = std::io::Cursor::new(Vec::new());
    let rgb = picture.to_rgb8();
    rgb.write_to(&mut jpeg, image::ImageFormat::Jpeg).unwrap();
    jpeg.into_inner()
}

/// Maximum time of every wait: a machine that runs all tests at once may take this long.
const PATIENCE: Duration = Duration::from_secs(300);

/// The program, with its own folder, at an address that survives a restart.
struct Service {
    child: Child,
    folder: tempfile::TempDir,
    port: u16,
    environment: Environment,
}

/// Environment variables of the program, besides its folder and port.
type Environment = Vec<(&'static str, String)>;

impl Service {
    async fn start(mongo: Option<String>) -> Self {
        Self::with(store(mongo)).await
    }

    async fn with(environment: Environment) -> Self {
        let port = ports::free_port();
        let folder = tempfile::tempdir().unwrap();
        let child = spawn(folder.path(), port, &environment);
        let mut service = Self {
            child,
            folder,
            port,
            environment,
        };
        service.until_ready().await;
        service
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Kills it without a chance to finish anything, and starts it again.
    async fn kill_and_restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.start_again().await;
    }

    /// Starts it again after it has ended.
    async fn start_again(&mut self) {
        self.child = spawn(self.folder.path(), self.port, &self.environment);
        self.until_ready().await;
    }

    /// Stops it and waits; returns its exit code.
    async fn stop(&mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(asked.unwrap().success());
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("did not stop in time");
    }

    /// Waits until it is ready. A program that ended because its store was not ready is started
    /// again, as a process supervisor would do.
    async fn until_ready(&mut self) {
        let client = client();
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            let answer = client.get(self.url("/readyz")).send().await;
            if answer.is_ok_and(|answer| answer.status() == StatusCode::OK) {
                return;
            }
            if self.child.try_wait().unwrap().is_some() {
                self.child = spawn(self.folder.path(), self.port, &self.environment);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("not ready in time");
    }

    /// Returns a signed-in admin.
    async fn admin(&self) -> Client {
        let client = client();
        let body = json!({"email": EMAIL, "password": PASSWORD});
        let answer = client.post(self.url("/api/session")).json(&body).send();
        assert_eq!(answer.await.unwrap().status(), StatusCode::OK);
        client
    }

    async fn create(&self, admin: &Client, path: &str, body: Value) -> Value {
        let answer = admin.post(self.url(path)).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::CREATED);
        answer.json().await.unwrap()
    }

    /// Adds an employee and enrolls photos; returns the ID.
    async fn enroll(&self, admin: &Client, code: &str, photos: &[&str]) -> String {
        let new = json!({"name": code, "code": code});
        let employee = self.create(admin, "/api/employees", new).await;
        let id = employee["id"].as_str().unwrap().to_owned();
        let form = multipart::Form::new()
            .text("employee", id.clone())
            .text("consent", "true");
        let form = photos.iter().fold(form, |form, name| {
            form.part("photo", multipart::Part::bytes(portrait(name)))
        });
        let request = admin.post(self.url("/api/enroll")).multipart(form);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::CREATED);
        id
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn client() -> Client {
    // Shorter than the time for which the service keeps an idle connection.
    let idle = Duration::from_secs(10);
    let client = http_client::builder()
        .cookie_store(true)
        .pool_idle_timeout(idle);
    client.timeout(PATIENCE).build().unwrap()
}

/// Returns the settings for MongoDB at this address, or for SQLite.
fn store(mongo: Option<String>) -> Environment {
    match mongo {
        Some(uri) => vec![("STORE", "mongodb".to_owned()), ("MONGODB_URI", uri)],
        None => vec![("STORE", "sqlite".to_owned())],
    }
}

fn spawn(folder: &Path, port: u16, environment: &Environment) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollcall"));
    command
        .arg("serve")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove("MONGODB_HOST")
        .env_remove("MONGODB_URI")
        .env("HOST", "127.0.0.1")
        .env("PORT", port.to_string())
        .env("DATA_DIR", folder)
        .env("TIME_ZONE", "UTC")
        .env("ADMIN_EMAIL", EMAIL)
        .env("ADMIN_PASSWORD", PASSWORD)
        .env("COOLDOWN", "0s")
        .env("REPLAY_WINDOW", "off")
        .env("RATE_LIMIT", "0")
        .env("ENROLL_LIMIT", "0")
        .env_remove("REDIS_URL")
        .env_remove("REDIS_HOST")
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().unwrap()
}

/// Number of clients.
const CLIENTS: usize = 4;

/// Sends one punch, retried with its key until it succeeds. Repeats every tenth request although it
/// succeeded, like a client that lost the response. Returns the ID of the punch, unless another
/// punch of the same person was written in the same millisecond.
async fn punch(
    client: &Client,
    (service, token): (&str, &str),
    number: usize,
    photo: &[u8],
) -> Option<String> {
    let mut first = None;
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        let request = client
            .request(Method::POST, service)
            .bearer_auth(token)
            .header("content-type", "image/jpeg")
            .header("idempotency-key", format!("punch-{number}"))
            .body(photo.to_vec());
        let answer = match request.send().await {
            Ok(answer) if answer.status().is_success() => answer.json::<Value>().await,
            Ok(answer) => {
                // Only 503 may be retried; any other status is a failure.
                assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
                tokio::time::sleep(Duration::from_millis(30)).await;
                continue;
            }
            Err(error) => Err(error),
        };
        let Ok(answer) = answer else {
            tokio::time::sleep(Duration::from_millis(30)).await;
            continue;
        };
        let id = match answer["outcome"].as_str().unwrap() {
            "punched" => Some(answer["punch"]["id"].as_str().unwrap().to_owned()),
            "cooldown" => None,
            other => panic!("punch {number} was answered with {other}"),
        };
        match first {
            None if number.is_multiple_of(10) => first = Some(id),
            None => return id,
            Some(first) => {
                assert_eq!(id, first, "a retry gets the first response");
                return first;
            }
        }
    }
    panic!("punch {number} never succeeded");
}

/// Returns the IDs of all punches of a service.
async fn stored_punches(service: &Service) -> Vec<String> {
    let admin = service.admin().await;
    let (mut stored, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/api/punches?limit=200&cursor={cursor}");
        let answer = admin.get(service.url(&path)).send().await.unwrap();
        let list: Value = answer.json().await.unwrap();
        for item in list["items"].as_array().unwrap() {
            stored.push(item["id"].as_str().unwrap().to_owned());
        }
        let Some(next) = list["next"].as_str() else {
            return stored;
        };
        cursor = next.to_owned();
    }
}

/// Writes many punches with retries, and kills the program in the middle: every acknowledged punch
/// exists once.
async fn many_punches(mongo: Option<String>, punches: usize) {
    let mut service = Service::start(mongo).await;
    let admin = service.admin().await;
    service.enroll(&admin, "E1", &["obama", "obama2"]).await;
    for portrait in ["biden", "collins", "hopper"] {
        service.enroll(&admin, portrait, &[portrait]).await;
    }
    let device = service
        .create(&admin, "/api/devices", json!({"name": "Front door"}))
        .await;
    let token = device["token"].as_str().unwrap();
    let photos = ["obama3", "biden", "collins", "hopper"].map(small);

    let (next, answered) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let url = service.url("/api/punches");
    let to = (url.as_str(), token);
    let work = async || {
        let (client, mut acknowledged) = (client(), BTreeMap::new());
        loop {
            let number = next.fetch_add(1, Ordering::SeqCst);
            if number >= punches {
                return acknowledged;
            }
            let id = punch(&client, to, number, &photos[number % photos.len()]).await;
            acknowledged.insert(number, id);
            answered.fetch_add(1, Ordering::SeqCst);
        }
    };
    let kill = async {
        while answered.load(Ordering::SeqCst) < punches / 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        service.kill_and_restart().await;
    };
    let workers = futures::future::join_all((0..CLIENTS).map(|_| work()));
    let (acknowledged, ()) = futures::join!(workers, kill);
    let acknowledged: BTreeMap<usize, Option<String>> =
        acknowledged.into_iter().flatten().collect();
    assert_eq!(acknowledged.len(), punches);
    let ids: BTreeSet<&String> = acknowledged.values().flatten().collect();
    assert_eq!(ids.len(), acknowledged.values().flatten().count());
    assert!(ids.len() > punches * 9 / 10, "only {} were new", ids.len());

    let stored = stored_punches(&service).await;
    let admin = service.admin().await;
    let unique: BTreeSet<&String> = stored.iter().collect();
    assert_eq!(unique.len(), stored.len(), "no punch is listed twice");
    assert_eq!(unique, ids, "exactly the acknowledged punches are stored");
    for number in (0..punches).step_by(97) {
        let again = punch(&admin, to, number, &photos[number % photos.len()]).await;
        assert_eq!(again, acknowledged[&number], "even long after");
    }
}

#[tokio::test]
async fn a_kill_among_a_thousand_punches_loses_and_duplicates_nothing_on_sqlite() {
    if runtime::missing() {
        return;
    }
    many_punches(None, 1000).await;
}

/// Fewer, because the test server scans all punches for each new one.
#[tokio::test]
async fn a_kill_among_hundreds_of_punches_loses_and_duplicates_nothing_on_mongodb() {
    if runtime::missing() {
        return;
    }
    match MongoServer::start() {
        Ok(server) => many_punches(Some(server.uri()), 300).await,
        Err(why) => skip::skip("hundreds of punches on MongoDB", &why),
    }
}

/// The store fails and comes back: the service reports it after its time limit of 1.9 seconds, and
/// recovers.
async fn outage(leave: impl FnOnce(&mut MongoServer), back: impl FnOnce(&mut MongoServer)) {
    let mut server = match MongoServer::start() {
        Ok(server) => server,
        Err(why) => return skip::skip("an outage of MongoDB", &why),
    };
    let mut service = Service::start(Some(server.uri())).await;
    let admin = service.admin().await;
    leave(&mut server);
    for _ in 0..3 {
        let begin = Instant::now();
        let answer = admin.get(service.url("/api/employees")).send().await;
        let answer = answer.unwrap();
        let took = begin.elapsed();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.headers().contains_key("retry-after"));
        // The driver alone would wait for half a minute.
        assert!(took < Duration::from_secs(10), "took {took:?}");
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(problem["code"], "store_unavailable");
    }
    let ready = admin.get(service.url("/readyz")).send().await.unwrap();
    assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);
    let ready: Value = ready.json().await.unwrap();
    assert_eq!(ready["checks"]["store"]["state"], "down");
    let alive = admin.get(service.url("/healthz")).send().await.unwrap();
    assert_eq!(alive.status(), StatusCode::OK);

    back(&mut server);
    service.until_ready().await;
    let answer = admin.get(service.url("/api/employees")).send().await;
    assert_eq!(answer.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_hanging_store_is_reported_and_recovers() {
    if runtime::missing() {
        return;
    }
    outage(|server| server.freeze(), |server| server.thaw()).await;
}

#[tokio::test]
async fn a_killed_store_is_reported_and_recovers() {
    if runtime::missing() {
        return;
    }
    outage(MongoServer::kill, MongoServer::restart).await;
}
