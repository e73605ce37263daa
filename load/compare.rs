//! Punches a second, compared with a plain service in Python: `make bench-compare`.
//!
//! Starts the real binary, and `load/peer/app.py` under gunicorn with a process for each core, once
//! with the detector at 320 pixels and once at 640. Both use the model files of the default pack in
//! full precision. The peer computes one embedding of an image and stores nothing; Rollcall decides
//! by its rules and writes a punch. Every request has different bytes.
//!
//! The services take turns, several times, in one run on loopback. The benchmark ends after a
//! bounded number of requests. It asserts nothing: compare the ratios.

#[path = "support.rs"]
mod support;

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};
use image::imageops;
use reqwest::Client;
use rollcall::{
    http_client,
    vision::{Pack, pack::Precision},
};
use serde_json::json;

use support::{Admin, Kiosk, Outcome, Service, fixture, free_port, numbered, photo};

/// Requests of one turn.
const REQUESTS: usize = 300;
/// Turns of each service.
const TURNS: usize = 5;
/// The people who punch in turns: punches of one person at the same moment would wait for each other.
const PEOPLE: [&str; 4] = ["obama", "biden", "hopper", "collins"];
/// Sides of the peer's detector, in pixels.
const SIDES: [u32; 2] = [320, 640];

/// A peer, stopped on drop.
struct Peer {
    process: Child,
    url: String,
}

impl Drop for Peer {
    fn drop(&mut self) {
        // gunicorn ends its workers on SIGTERM only.
        let id = self.process.id().to_string();
        let _ = Command::new("kill").arg(id).status();
        let _ = self.process.wait();
    }
}

/// Returns Python with the packages of `load/peer/requirements.txt`.
fn python() -> PathBuf {
    let path = std::env::var_os("PEER_PYTHON").map(PathBuf::from);
    path.unwrap_or_else(|| project(".tools/peer/bin/python"))
}

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

impl Peer {
    async fn start(pack: &Pack, side: u32, workers: usize) -> Outcome<Self> {
        let manifest = pack.manifest();
        let embedder = &manifest.embedder;
        let fp = |one: &&rollcall::vision::pack::Variant| one.precision == Precision::Fp;
        let variant = embedder.variants.iter().find(fp).ok_or("no fp variant")?;
        let settings = json!({
            "detector": pack.path(&manifest.detector.file),
            "embedder": pack.path(&variant.file),
            "score_threshold": manifest.detector.score_threshold,
            "template": embedder.template,
            "input": embedder.input,
            "dimensions": embedder.dimensions,
            "mean": embedder.mean,
            "scale": embedder.scale,
        });
        let port = free_port()?;
        let process = Command::new(python())
            .args(["-m", "gunicorn", "-k", "sync", "app:app"])
            .args([
                "-w",
                &workers.to_string(),
                "-b",
                &format!("127.0.0.1:{port}"),
            ])
            .current_dir(project("load/peer"))
            .env("SIDE", side.to_string())
            .env("PACK", settings.to_string())
            .envs([("OMP_NUM_THREADS", "1"), ("OPENBLAS_NUM_THREADS", "1")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let url = format!("http://127.0.0.1:{port}");
        let peer = Self { process, url };
        let client = http_client::builder().build()?;
        for _ in 0..100 {
            if client
                .get(format!("{}/health", peer.url))
                .send()
                .await
                .is_ok()
            {
                return Ok(peer);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Err("the peer was not ready within 20 s".into())
    }

    async fn recognize(&self, client: &Client, photo: Vec<u8>) -> Outcome<()> {
        let answer = client.post(format!("{}/recognize", self.url)).body(photo);
        let answer: serde_json::Value = answer.send().await?.error_for_status()?.json().await?;
        match answer["similarity"].is_number() {
            true => Ok(()),
            false => Err(format!("the peer found no face: {answer}").into()),
        }
    }
}

/// Sends the requests of a turn, and returns the answers a second.
async fn turn<F: Future<Output = Outcome<()>>>(
    at_once: usize,
    request: impl Fn() -> F,
) -> Outcome<f64> {
    let start = Instant::now();
    let mut answers = stream::iter(0..REQUESTS)
        .map(|_| request())
        .buffer_unordered(at_once);
    while let Some(answer) = answers.next().await {
        answer?;
    }
    Ok(REQUESTS as f64 / start.elapsed().as_secs_f64())
}

/// Returns the frame of a camera with 1920×1080 pixels: the photo, enlarged, in its middle.
fn large(path: &str) -> Outcome<Vec<u8>> {
    let small = image::load_from_memory(&photo(path)?)?.into_rgb8();
    let face = imageops::resize(&small, 1440, 1080, imageops::FilterType::Triangle);
    let mut frame = image::RgbImage::from_pixel(1920, 1080, image::Rgb([128; 3]));
    imageops::overlay(&mut frame, &face, 240, 0);
    let mut bytes = std::io::Cursor::new(Vec::new());
    frame.write_to(&mut bytes, image::ImageFormat::Jpeg)?;
    Ok(bytes.into_inner())
}

/// Makes the frame of a camera from a fixture.
type MakeFrame = fn(&str) -> Outcome<Vec<u8>>;

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[tokio::main]
async fn main() -> Outcome<()> {
    // `cargo test --benches` runs it with this argument.
    if std::env::args().any(|argument| argument == "--test") {
        return Ok(());
    }
    if !python().exists() {
        println!(
            "skipped: the comparison, because {} does not exist: run `make bench-compare`",
            python().display()
        );
        return Ok(());
    }
    let cores = std::thread::available_parallelism()?.get();
    let pack = Pack::find("builtin", &[project("models")])?;
    let service = Service::start(&[], None)?;
    let admin = Admin::of(&service).await?;
    for person in PEOPLE {
        admin.enroll(person).await?;
    }
    let token = admin.device().await?;
    let mut peers = Vec::new();
    for side in SIDES {
        peers.push((side, Peer::start(&pack, side, cores).await?));
    }
    let client = http_client::builder().build()?;
    let number = AtomicU64::new(1 << 40);
    let frames: [(&str, MakeFrame); 2] = [("640×480", photo), ("1920×1080", large)];
    for (name, frame) in frames {
        let photos = PEOPLE.map(|person| frame(&fixture(person)));
        let photos = photos.into_iter().collect::<Outcome<Vec<_>>>()?;
        let size = photos.iter().map(Vec::len).sum::<usize>() / photos.len() / 1024;
        println!("{name}, {size} KiB, {} at once", cores * 2);
        let kiosk = |photo: &Vec<u8>| Kiosk::new(&service, token.clone(), photo.clone());
        let kiosks: Vec<_> = photos.iter().map(kiosk).collect();
        let place = |number: u64| number as usize % PEOPLE.len();
        let mut ours = Vec::new();
        let mut theirs = vec![Vec::new(); peers.len()];
        for round in 0..=TURNS {
            let punch = || kiosks[place(number.fetch_add(1, Ordering::Relaxed))].punch();
            let mine = turn(cores * 2, punch).await?;
            let mut rates = Vec::new();
            for (_, peer) in &peers {
                let fresh = || {
                    let number = number.fetch_add(1, Ordering::Relaxed);
                    numbered(&photos[place(number)], number)
                };
                rates.push(turn(cores * 2, || peer.recognize(&client, fresh())).await?);
            }
            // The first round warms up.
            if round > 0 {
                ours.push(mine);
                theirs
                    .iter_mut()
                    .zip(rates)
                    .for_each(|(all, rate)| all.push(rate));
            }
        }
        println!(
            "  punches                 {:6.1} a second",
            median(ours.clone())
        );
        for ((side, _), rates) in peers.iter().zip(theirs) {
            let ratios = ours.iter().zip(&rates).map(|(mine, rate)| mine / rate);
            println!(
                "  peer, detector at {side}   {:6.1} a second: Rollcall {:.2} ×",
                median(rates.clone()),
                median(ratios.collect())
            );
        }
    }
    Ok(())
}
