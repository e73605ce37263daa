//! The whole service under load, as a kiosk sees it: `cargo bench --bench service`.
//!
//! Starts the real binary on loopback with a store in a temporary folder, enrolls somebody, and
//! prints, all from one run on one photo, which has other bytes each time unless said otherwise:
//!
//! - the time of a 640×480 punch against the sum of the stages that the service itself timed;
//! - images a second on all cores, for punches and for identification;
//! - the memory after 500 and after 10,000 punches;
//! - with a Redis, when there is a `redis-server`: identification of what nobody saw, what this
//!   instance saw and what another one saw; and what a session and a limit cost a request.
//!
//! It stops by itself after a bounded number of requests. Nothing is asserted: machines differ,
//! so read the ratios.

use std::{
    collections::BTreeMap,
    error::Error,
    io::{BufRead, BufReader, Cursor},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};
use image::{ImageFormat, Rgb, RgbImage, imageops};
use reqwest::{Client, multipart};
use serde_json::{Value, json};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Requests before anything is timed.
const WARM: usize = 20;
/// Requests one after another, for the time of one.
const ALONE: usize = 300;
/// Requests at once, in all.
const TOGETHER: usize = 600;
/// Punches after which memory is read.
const MEMORY: [usize; 2] = [500, 10_000];
const EMAIL: &str = "bench@rollcall.example";
const PASSWORD: &str = "only for this bench";

/// The service, ended when dropped.
struct Service {
    process: Child,
    base: String,
    folder: Arc<tempfile::TempDir>,
}

fn free_port() -> Outcome<u16> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    Ok(listener.local_addr()?.port())
}

/// A Redis that keeps nothing, ended when dropped.
struct Redis {
    process: Child,
    url: String,
}

impl Redis {
    fn start() -> Outcome<Self> {
        let port = free_port()?.to_string();
        let process = Command::new("redis-server")
            .args(["--port", &port, "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no"])
            .stdout(Stdio::null())
            .spawn()?;
        let url = format!("redis://127.0.0.1:{port}");
        Ok(Self { process, url })
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Service {
    /// With these environment variables besides; in the folder of another one, or its own.
    fn start(variables: &[(&str, &str)], beside: Option<&Self>) -> Outcome<Self> {
        let folder = match beside {
            Some(other) => other.folder.clone(),
            None => Arc::new(tempfile::tempdir()?),
        };
        let port = free_port()?;
        let process = Command::new(env!("CARGO_BIN_EXE_rollcall"))
            .arg("serve")
            .envs(variables.iter().copied())
            .env("DATA_DIR", folder.path())
            .env("PORT", port.to_string())
            .env("ADMIN_EMAIL", EMAIL)
            .env("ADMIN_PASSWORD", PASSWORD)
            .env("RATE_LIMIT", "0")
            .env("ENROLL_LIMIT", "0")
            .env("COOLDOWN", "0s")
            .env("LOG_LEVEL", "warn")
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Self {
            process,
            base: format!("http://127.0.0.1:{port}"),
            folder,
        })
    }

    /// Resident memory in MiB, from `/proc`.
    fn memory(&self) -> Outcome<f64> {
        let status = std::fs::File::open(format!("/proc/{}/status", self.process.id()))?;
        for line in BufReader::new(status).lines() {
            if let Some(rest) = line?.strip_prefix("VmRSS:") {
                let kib: f64 = rest.trim().trim_end_matches("kB").trim().parse()?;
                return Ok(kib / 1024.0);
            }
        }
        Err("no VmRSS".into())
    }
}

/// The fixture scaled to the height of 480 pixels, in the middle of a grey 640×480 picture.
fn photo(path: &str) -> Outcome<Vec<u8>> {
    let face = image::open(path)?.into_rgb8();
    let width = face.width() * 480 / face.height();
    let face = imageops::resize(&face, width.min(640), 480, imageops::FilterType::Triangle);
    let mut picture = RgbImage::from_pixel(640, 480, Rgb([128; 3]));
    imageops::overlay(&mut picture, &face, i64::from((640 - face.width()) / 2), 0);
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Jpeg)?;
    Ok(bytes.into_inner())
}

struct Kiosk {
    client: Client,
    base: String,
    token: String,
    photo: Vec<u8>,
    posted: AtomicU64,
}

impl Kiosk {
    /// A photo that nobody has seen.
    fn fresh(&self) -> Vec<u8> {
        self.numbered(self.posted.fetch_add(1, Ordering::Relaxed))
    }

    /// The same picture in other bytes: with a comment behind the JPEG's first marker.
    fn numbered(&self, number: u64) -> Vec<u8> {
        let mut bytes = self.photo[..2].to_vec();
        bytes.extend([0xff, 0xfe, 0, 10]);
        bytes.extend(number.to_be_bytes());
        bytes.extend(&self.photo[2..]);
        bytes
    }

    async fn post(&self, path: &str) -> Outcome<Value> {
        self.send(path, self.fresh()).await
    }

    async fn send(&self, path: &str, photo: Vec<u8>) -> Outcome<Value> {
        let answer = self
            .client
            .post(format!("{}{path}", self.base))
            .bearer_auth(&self.token)
            .header("content-type", "image/jpeg")
            .body(photo)
            .send()
            .await?;
        let status = answer.status();
        let body: Value = answer.json().await?;
        if status.is_success() {
            Ok(body)
        } else {
            Err(format!("{status}: {body}").into())
        }
    }

    async fn punch(&self) -> Outcome<()> {
        let answer = self.post("/api/punches").await?;
        match answer["outcome"].as_str() {
            Some("punched") => Ok(()),
            _ => Err(format!("not a punch: {answer}").into()),
        }
    }

    /// Seconds that each stage has taken in all, as `/metrics` tells.
    async fn stages(&self) -> Outcome<BTreeMap<String, f64>> {
        let text = self
            .client
            .get(format!("{}/metrics", self.base))
            .send()
            .await?
            .text()
            .await?;
        let mut stages = BTreeMap::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("rollcall_stage_seconds_sum{stage=\"")
                && let Some((stage, sum)) = rest.split_once("\"} ")
            {
                stages.insert(stage.to_owned(), sum.parse()?);
            }
        }
        Ok(stages)
    }
}

async fn ready(client: &Client, base: &str) -> Outcome<()> {
    for _ in 0..300 {
        if let Ok(answer) = client.get(format!("{base}/readyz")).send().await
            && answer.status().is_success()
        {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err("the service was not ready within 30 s".into())
}

async fn set_up(service: &Service) -> Outcome<Kiosk> {
    let client = Client::builder().cookie_store(true).build()?;
    let base = service.base.clone();
    ready(&client, &base).await?;
    let post = async |path: &str, body: Value| -> Outcome<Value> {
        let answer = client
            .post(format!("{base}{path}"))
            .json(&body)
            .send()
            .await?;
        Ok(answer.error_for_status()?.json().await?)
    };
    post(
        "/api/session",
        json!({"email": EMAIL, "password": PASSWORD}),
    )
    .await?;
    let person = post("/api/employees", json!({"name": "Bench", "code": "B1"})).await?;
    let device = post("/api/devices", json!({"name": "Bench"})).await?;
    let fixture = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/faces/obama.jpg"
    );
    let form = multipart::Form::new()
        .text("employee", person["id"].as_str().ok_or("no id")?.to_owned())
        .text("consent", "true")
        .part(
            "photo",
            multipart::Part::bytes(std::fs::read(fixture)?).mime_str("image/jpeg")?,
        );
    let enrolled = client
        .post(format!("{base}/api/enroll"))
        .multipart(form)
        .send()
        .await?;
    enrolled.error_for_status()?;
    let token = device["token"].as_str().ok_or("no token")?.to_owned();
    Ok(Kiosk {
        client: Client::new(),
        base,
        token,
        photo: photo(fixture)?,
        posted: AtomicU64::new(0),
    })
}

/// The median and the 95th percentile, milliseconds.
fn percentiles(times: &mut [Duration]) -> (f64, f64) {
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    (at(0.5), at(0.95))
}

/// Sends `count` requests, so many at a time, and tells how many a second were answered.
async fn together<F: Future<Output = Outcome<()>>>(
    count: usize,
    at_once: usize,
    request: impl Fn() -> F,
) -> Outcome<f64> {
    let start = Instant::now();
    let mut answers = stream::iter(0..count)
        .map(|_| request())
        .buffer_unordered(at_once);
    while let Some(answer) = answers.next().await {
        answer?;
    }
    Ok(count as f64 / start.elapsed().as_secs_f64())
}

async fn alone(kiosk: &Kiosk) -> Outcome<()> {
    for _ in 0..WARM {
        kiosk.punch().await?;
    }
    let before = kiosk.stages().await?;
    let mut times = Vec::with_capacity(ALONE);
    for _ in 0..ALONE {
        let start = Instant::now();
        kiosk.punch().await?;
        times.push(start.elapsed());
    }
    let after = kiosk.stages().await?;
    let mean = times.iter().sum::<Duration>().as_secs_f64() * 1e3 / ALONE as f64;
    let (median, high) = percentiles(&mut times);
    println!(
        "a 640×480 punch, {ALONE} one after another, {} KiB each",
        kiosk.photo.len() / 1024
    );
    let mut floor = 0.0;
    for (stage, sum) in &after {
        let taken = (sum - before.get(stage).copied().unwrap_or(0.0)) * 1e3 / ALONE as f64;
        // Waiting in a queue is no work, so it is no part of the floor.
        if stage != "queue" {
            floor += taken;
        }
        println!("  stage {stage:<10} {taken:7.3} ms");
    }
    println!("  sum of the stages {floor:6.3} ms");
    println!(
        "  request mean      {mean:6.3} ms = {:.2} × the sum (aim: 1.25)",
        mean / floor
    );
    println!("  request median {median:.3} ms, 95th percentile {high:.3} ms");
    Ok(())
}

/// Photos that are looked at, and again.
const SEEN: usize = 200;

/// What is remembered against what is not, on two instances and a Redis.
async fn remembered() -> Outcome<()> {
    let server = match Redis::start() {
        Ok(server) => server,
        Err(why) => {
            println!(
                "skipped: what a Redis saves and costs, because redis-server does not start: {why}"
            );
            return Ok(());
        }
    };
    let shared = [("REDIS_URL", server.url.as_str())];
    let service = Service::start(&shared, None)?;
    let one = set_up(&service).await?;
    let other = Service::start(&shared, Some(&service))?;
    ready(&one.client, &other.base).await?;
    let cores = std::thread::available_parallelism()?.get();
    let identify = async |base: &str| {
        let number = AtomicU64::new(1 << 32);
        let kiosk = Kiosk {
            client: one.client.clone(),
            base: base.to_owned(),
            token: one.token.clone(),
            photo: one.photo.clone(),
            posted: AtomicU64::new(0),
        };
        let look = async || {
            let photo = kiosk.numbered(number.fetch_add(1, Ordering::Relaxed));
            kiosk.send("/api/identify", photo).await.map(drop)
        };
        together(SEEN, cores * 2, look).await
    };
    let unseen = identify(&service.base).await?;
    let here = identify(&service.base).await?;
    let there = identify(&other.base).await?;
    println!(
        "identification with a Redis, {SEEN} photos, {} at once",
        cores * 2
    );
    println!("  seen by nobody        {unseen:7.1} images/s");
    println!(
        "  seen by this instance {here:7.1} images/s = {:.1} ×",
        here / unseen
    );
    println!(
        "  seen by another one   {there:7.1} images/s = {:.1} ×",
        there / unseen
    );

    let plain = Service::start(
        &[("REDIS_URL", &server.url), ("SESSION_ENGINE", "db")],
        Some(&service),
    )?;
    ready(&one.client, &plain.base).await?;
    println!("a request one after another, median of {ALONE}");
    let health = median(&one.client, &service.base, "/healthz", None).await?;
    println!("  that asks nothing                     {health:6.3} ms");
    for (what, at) in [("in redis", &service.base), ("in sqlite", &plain.base)] {
        let cookie = sign_in(at).await?;
        let took = median(&one.client, at, "/api/session", Some(&cookie)).await?;
        println!("  with a session and account, {what:<9} {took:6.3} ms");
    }
    // A wrong body is counted and refused before anything else is done.
    let limited = [
        ("REDIS_URL", server.url.as_str()),
        ("SIGN_IN_LIMIT", "1000000"),
    ];
    let limited = Service::start(&limited, Some(&service))?;
    ready(&one.client, &limited.base).await?;
    let mut times = Vec::with_capacity(ALONE);
    for _ in 0..WARM + ALONE {
        let start = Instant::now();
        let answer = one.client.post(format!("{}/api/session", limited.base));
        let answer = answer.json(&json!({})).send().await?;
        times.push(start.elapsed());
        if answer.status() != 422 {
            return Err(format!("answered {}", answer.status()).into());
        }
    }
    let mut connection = redis::Client::open(server.url.as_str())?.get_connection()?;
    let key: Vec<String> = redis::cmd("KEYS")
        .arg("rollcall:limit:sign-in:*")
        .query(&mut connection)?;
    let key = key.first().ok_or("nothing was counted")?;
    let counted: usize = redis::cmd("ZCARD").arg(key).query(&mut connection)?;
    if counted < WARM + ALONE {
        return Err(format!("{counted} were counted").into());
    }
    let (took, _) = percentiles(&mut times[WARM..]);
    println!("  that is counted by all instances      {took:6.3} ms");
    Ok(())
}

async fn sign_in(base: &str) -> Outcome<String> {
    let answer = Client::new()
        .post(format!("{base}/api/session"))
        .json(&json!({"email": EMAIL, "password": PASSWORD}))
        .send()
        .await?
        .error_for_status()?;
    let cookie = answer.headers().get("set-cookie").ok_or("no cookie")?;
    let pair = cookie.to_str()?.split(';').next().unwrap_or_default();
    Ok(pair.to_owned())
}

/// The median time of a request, milliseconds.
async fn median(client: &Client, base: &str, path: &str, cookie: Option<&str>) -> Outcome<f64> {
    let mut times = Vec::with_capacity(ALONE);
    for _ in 0..WARM + ALONE {
        let mut request = client.get(format!("{base}{path}"));
        if let Some(cookie) = cookie {
            request = request.header("cookie", cookie);
        }
        let start = Instant::now();
        request.send().await?.error_for_status()?.bytes().await?;
        times.push(start.elapsed());
    }
    Ok(percentiles(&mut times[WARM..]).0)
}

async fn run() -> Outcome<()> {
    let service = Service::start(&[], None)?;
    let kiosk = Arc::new(set_up(&service).await?);
    alone(&kiosk).await?;

    let cores = std::thread::available_parallelism()?.get();
    together(MEMORY[0] - WARM - ALONE, cores * 2, || kiosk.punch()).await?;
    let early = service.memory()?;

    let punches = together(TOGETHER, cores * 2, || kiosk.punch()).await?;
    let identify = async || kiosk.post("/api/identify").await.map(drop);
    let identified = together(TOGETHER, cores * 2, identify).await?;
    println!(
        "on {cores} cores, client and server together, {} at once",
        cores * 2
    );
    println!("  punches        {punches:6.1} images/s");
    println!("  identification {identified:6.1} images/s");

    together(MEMORY[1] - MEMORY[0] - TOGETHER, cores * 2, || {
        kiosk.punch()
    })
    .await?;
    let late = service.memory()?;
    println!(
        "memory after {} punches {early:.1} MiB, after {} {late:.1} MiB",
        MEMORY[0], MEMORY[1]
    );
    println!("  ratio {:.2} (aim: at most 1.20)", late / early);
    drop(service);
    remembered().await
}

fn main() -> Outcome<()> {
    tokio::runtime::Runtime::new()?.block_on(run())
}
