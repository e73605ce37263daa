//! The whole service under load, from a kiosk's view: `cargo bench --bench service`.
//!
//! Starts the real binary on loopback with a store in a temporary folder, and enrolls a person.
//! Prints, all from one run with one photo, whose bytes differ each time unless noted:
//!
//! - the time of a 640×480 punch, compared with the sum of the stages that the service timed;
//! - images a second on all cores, for punches and for identification;
//! - the memory after 500 and after 10,000 punches;
//! - with Redis, if there is a `redis-server`: identification of new photos, of photos that this
//!   instance analyzed before, and of photos that another instance analyzed before; and the cost
//!   of a session and of a limit.
//!
//! The benchmark ends after a bounded number of requests. It asserts nothing: machines differ, so
//! compare the ratios.

#[path = "support.rs"]
mod support;

use std::{
    collections::BTreeMap,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};
use reqwest::Client;
use rollcall::http_client;
use serde_json::json;

use support::{
    Admin, EMAIL, Kiosk, Outcome, PASSWORD, Service, fixture, free_port, numbered, percentiles,
    photo, ready,
};

/// Requests before the measurement.
const WARM: usize = 20;
/// Sequential requests, for the time of one request.
const ALONE: usize = 300;
/// Concurrent requests in total.
const TOGETHER: usize = 600;
/// Punches after which the memory is measured.
const MEMORY: [usize; 2] = [500, 10_000];
/// A queue of which one device's share suffices for all requests at once.
const MANY: (&str, &str) = ("ENGINE_QUEUE", "1024");

/// A Redis without persistence, stopped on drop.
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
        // The process can have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Returns the total seconds of each stage from `/metrics`.
async fn stages(kiosk: &Kiosk) -> Outcome<BTreeMap<String, f64>> {
    let text = kiosk
        .client
        .get(format!("{}/metrics", kiosk.base))
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

async fn set_up(service: &Service) -> Outcome<Kiosk> {
    let admin = Admin::of(service).await?;
    admin.enroll("obama").await?;
    Ok(Kiosk::new(
        service,
        admin.device().await?,
        photo(&fixture("obama"))?,
    ))
}

/// Sends `count` requests, several at a time, and returns the answers a second.
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
    let before = stages(kiosk).await?;
    let mut times = Vec::with_capacity(ALONE);
    for _ in 0..ALONE {
        let start = Instant::now();
        kiosk.punch().await?;
        times.push(start.elapsed());
    }
    let after = stages(kiosk).await?;
    let mean = times.iter().sum::<Duration>().as_secs_f64() * 1e3 / ALONE as f64;
    let (median, high) = percentiles(&mut times);
    println!(
        "a 640×480 punch, {ALONE} in sequence, {} KiB each",
        kiosk.photo.len() / 1024
    );
    let mut floor = 0.0;
    for (stage, sum) in &after {
        let taken = (sum - before.get(stage).copied().unwrap_or(0.0)) * 1e3 / ALONE as f64;
        // Waiting in the queue is not work, so it is not part of the sum.
        if stage != "queue" {
            floor += taken;
        }
        println!("  stage {stage:<10} {taken:7.3} ms");
    }
    println!("  sum of the stages {floor:6.3} ms");
    println!(
        "  request mean      {mean:6.3} ms = {:.2} × the sum (goal: 1.25)",
        mean / floor
    );
    println!("  request median {median:.3} ms, 95th percentile {high:.3} ms");
    Ok(())
}

/// Photos that are analyzed twice.
const SEEN: usize = 200;

/// Compares new photos with cached ones, on two instances with Redis.
async fn remembered() -> Outcome<()> {
    let server = match Redis::start() {
        Ok(server) => server,
        Err(why) => {
            println!(
                "skipped: savings and costs of Redis, because redis-server does not start: {why}"
            );
            return Ok(());
        }
    };
    let shared = [("REDIS_URL", server.url.as_str()), MANY];
    let service = Service::start(&shared, None)?;
    let one = set_up(&service).await?;
    let other = Service::start(&shared, Some(&service))?;
    ready(&one.client, &other.base).await?;
    let cores = std::thread::available_parallelism()?.get();
    let identify = async |base: &str| {
        let number = AtomicU64::new(1 << 32);
        let kiosk = one.at(base);
        let look = async || {
            let photo = numbered(&kiosk.photo, number.fetch_add(1, Ordering::Relaxed));
            kiosk.send("/api/identify", photo).await.map(drop)
        };
        together(SEEN, cores * 2, look).await
    };
    let unseen = identify(&service.base).await?;
    let here = identify(&service.base).await?;
    let there = identify(&other.base).await?;
    println!(
        "identification with Redis, {SEEN} photos, {} at once",
        cores * 2
    );
    println!("  new photos                {unseen:7.1} images/s");
    println!(
        "  analyzed by this instance {here:7.1} images/s = {:.1} ×",
        here / unseen
    );
    println!(
        "  analyzed by another one   {there:7.1} images/s = {:.1} ×",
        there / unseen
    );

    let plain = Service::start(
        &[("REDIS_URL", &server.url), ("SESSION_ENGINE", "db")],
        Some(&service),
    )?;
    ready(&one.client, &plain.base).await?;
    println!("requests in sequence, median of {ALONE}");
    let health = median(&one.client, &service.base, "/healthz", None).await?;
    println!("  without any lookup                  {health:6.3} ms");
    for (what, at) in [("in redis", &service.base), ("in sqlite", &plain.base)] {
        let cookie = sign_in(at).await?;
        let took = median(&one.client, at, "/api/session", Some(&cookie)).await?;
        println!("  with session and account, {what:<9} {took:6.3} ms");
    }
    // A wrong body is counted and then refused before any other work.
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
    println!("  counted by all instances            {took:6.3} ms");
    Ok(())
}

async fn sign_in(base: &str) -> Outcome<String> {
    let answer = http_client::builder()
        .build()?
        .post(format!("{base}/api/session"))
        .json(&json!({"email": EMAIL, "password": PASSWORD}))
        .send()
        .await?
        .error_for_status()?;
    let cookie = answer.headers().get("set-cookie").ok_or("no cookie")?;
    let pair = cookie.to_str()?.split(';').next().unwrap_or_default();
    Ok(pair.to_owned())
}

/// Returns the median time of a request in milliseconds.
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
    let service = Service::start(&[MANY], None)?;
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
    println!("  ratio {:.2} (goal: at most 1.20)", late / early);
    drop(service);
    remembered().await
}

fn main() -> Outcome<()> {
    tokio::runtime::Runtime::new()?.block_on(run())
}
