//! Eight cameras beside a kiosk: `cargo bench --bench cameras`.
//!
//! Starts the real binary and a real go2rtc on loopback, and simulates people who walk past
//! cameras with 640×480 pictures, 5 a second. Prints, all from one run:
//!
//! - the time from a face at a single camera to its written punch;
//! - the same with eight cameras, the number of missed people, and how long a kiosk waits for an
//!   answer beside them, compared with a kiosk alone;
//! - the same with H.264, which go2rtc must transcode, and the processor time of each part.
//!
//! `-- mjpeg` and `-- h264` each run one half. The benchmark ends after seven minutes. It asserts
//! nothing: machines differ, so compare the ratios.

#[path = "../tests/support/go2rtc.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod go2rtc;
#[path = "../tests/support/ports.rs"]
mod ports;
#[path = "support.rs"]
mod support;

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde_json::json;

use go2rtc::{Go2rtc, PASSWORD, Scene, TestCamera, USER};
use support::{Admin, Kiosk, Outcome, Service, fixture, percentiles, photo, text};

const CAMERAS: usize = 8;
/// Pictures a second of each camera, and how many of them are analyzed.
const RATE: u32 = 5;
/// How long a person is in view.
const IN_VIEW: Duration = Duration::from_secs(4);
/// Pause before the next person at the same camera: long enough for a new visit, which can begin
/// 10 seconds after the last one ended.
const BETWEEN: Duration = Duration::from_secs(20);
const PERIOD: Duration = Duration::from_secs(24);
/// How many people pass each camera.
const PASSES: usize = 4;
/// Punches of the kiosk without cameras, one a second.
const ALONE: usize = 20;
/// The people who pass the cameras; another person stands at the kiosk.
const PEOPLE: [&str; 3] = ["biden", "collins", "hopper"];

/// A person came into view of a camera.
struct Pass {
    camera: usize,
    at: Timestamp,
}

fn scene(people: &[&str]) -> Outcome<Scene> {
    let portraits = people.iter().map(|name| std::fs::read(fixture(name)));
    let portraits = portraits.collect::<Result<Vec<_>, _>>()?;
    let portraits: Vec<&[u8]> = portraits.iter().map(Vec::as_slice).collect();
    Ok(Scene::of(&portraits).at(RATE))
}

/// A service with a go2rtc, enrolled people, and cameras on its streams.
struct Site {
    service: Service,
    admin: Admin,
    kiosk: Kiosk,
    cameras: Vec<String>,
}

impl Site {
    async fn start(go2rtc: &Go2rtc, streams: &[String]) -> Outcome<Self> {
        let url = go2rtc.url();
        let variables = [
            ("GO2RTC_URL", url.as_str()),
            ("GO2RTC_USERNAME", USER),
            ("GO2RTC_PASSWORD", PASSWORD),
        ];
        let service = Service::start(&variables, None)?;
        let admin = Admin::of(&service).await?;
        for name in PEOPLE.iter().chain(&["obama"]) {
            admin.enroll(name).await?;
        }
        let kiosk = Kiosk::new(&service, admin.device().await?, photo(&fixture("obama"))?);
        let mut cameras = Vec::new();
        for stream in streams {
            let new = json!({
                "name": stream,
                "stream": stream,
                "direction": "in",
                "every_ms": 1000 / RATE,
                "visit_s": 10,
            });
            cameras.push(text(&admin.post("/api/cameras", new).await?, "id")?);
        }
        let site = Self {
            service,
            admin,
            kiosk,
            cameras,
        };
        site.until_live().await?;
        Ok(site)
    }

    async fn until_live(&self) -> Outcome<()> {
        let begin = Instant::now();
        loop {
            let mut live = 0;
            for camera in &self.cameras {
                let camera = self.admin.get(&format!("/api/cameras/{camera}")).await?;
                live += usize::from(camera["state"]["state"] == "live");
            }
            if live == self.cameras.len() {
                return Ok(());
            }
            if begin.elapsed() > Duration::from_secs(60) {
                return Err(format!("only {live} cameras are live").into());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Returns when punches since a moment were written, by camera, oldest first.
    async fn punches(&self, since: Timestamp) -> Outcome<Vec<Vec<Timestamp>>> {
        let mut punches = vec![Vec::new(); self.cameras.len()];
        let mut cursor = String::new();
        loop {
            let path = format!("/api/punches?limit=200&cursor={cursor}");
            let page = self.admin.get(&path).await?;
            for punch in page["items"].as_array().into_iter().flatten() {
                let at: Timestamp = text(punch, "recorded_at")?.parse()?;
                let origin = text(&punch["origin"], "id")?;
                if let Some(camera) = self.cameras.iter().position(|id| *id == origin)
                    && at >= since
                {
                    punches[camera].push(at);
                }
            }
            match page["next"].as_str() {
                Some(next) => next.clone_into(&mut cursor),
                None => break,
            }
        }
        punches.iter_mut().for_each(|times| times.sort());
        Ok(punches)
    }

    /// Measures how long the kiosk waits for each of `punches` answers, one a second.
    async fn at_the_kiosk(&self, punches: usize) -> Outcome<Vec<Duration>> {
        let mut times = Vec::with_capacity(punches);
        for _ in 0..punches {
            let begin = Instant::now();
            self.kiosk.punch().await?;
            times.push(begin.elapsed());
            tokio::time::sleep_until((begin + Duration::from_secs(1)).into()).await;
        }
        Ok(times)
    }

    async fn busy_pictures(&self) -> Outcome<f64> {
        let url = format!("{}/metrics", self.service.base);
        let metrics = self.kiosk.client.get(url).send().await?.text().await?;
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix("rollcall_camera_pictures_total{became=\"busy\"} "));
        Ok(line.map_or(Ok(0.0), str::parse)?)
    }
}

/// Simulates people who pass the cameras, each camera a little after the previous one.
async fn pass(cameras: &[TestCamera], passes: usize) -> Outcome<Vec<Pass>> {
    let empty = scene(&[])?;
    let people = PEOPLE.iter().map(|name| scene(&[name]));
    let people = Arc::new(people.collect::<Outcome<Vec<_>>>()?);
    let begin = Instant::now();
    let stagger = PERIOD / CAMERAS as u32;
    let each = cameras.iter().enumerate().map(|(camera, shown)| {
        let (empty, people) = (empty.clone(), people.clone());
        async move {
            let mut passed = Vec::new();
            for number in 0..passes {
                let offset = stagger * camera as u32 + PERIOD * number as u32;
                tokio::time::sleep_until((begin + offset).into()).await;
                shown.show(people[(camera + number) % people.len()].clone());
                let at = Timestamp::now();
                passed.push(Pass { camera, at });
                tokio::time::sleep(IN_VIEW).await;
                shown.show(empty.clone());
            }
            tokio::time::sleep(BETWEEN).await;
            passed
        }
    });
    let passed = futures::future::join_all(each).await;
    Ok(passed.into_iter().flatten().collect())
}

/// Returns the time from each pass to its written punch, and the number of passes without one.
fn delays(passed: &[Pass], punches: &[Vec<Timestamp>]) -> (Vec<Duration>, usize) {
    let (mut delays, mut missed) = (Vec::new(), 0);
    for pass in passed {
        let until = pass.at + IN_VIEW + BETWEEN;
        let punch = punches[pass.camera]
            .iter()
            .find(|at| **at >= pass.at && **at < until);
        match punch {
            Some(at) => delays.push(at.duration_since(pass.at).unsigned_abs()),
            None => missed += 1,
        }
    }
    (delays, missed)
}

/// Seconds of processor time until now, of the service, of go2rtc, of the transcoders that go2rtc
/// started, and of its processes that play files.
#[derive(Clone, Copy)]
struct Used {
    service: f64,
    go2rtc: f64,
    transcoding: f64,
    playing: f64,
    at: Instant,
}

fn used(service: u32, go2rtc: u32) -> Outcome<Used> {
    let mut used = Used {
        service: 0.0,
        go2rtc: 0.0,
        transcoding: 0.0,
        playing: 0.0,
        at: Instant::now(),
    };
    for entry in std::fs::read_dir("/proc")? {
        let path = entry?.path();
        let id = path.file_name().and_then(|name| name.to_str());
        let Some(id) = id.and_then(|id| id.parse::<u32>().ok()) else {
            continue;
        };
        // The process can have ended in the meantime.
        let Ok(stat) = std::fs::read_to_string(path.join("stat")) else {
            continue;
        };
        // After the name in brackets: state, parent, …. User and system time are fields 14 and
        // 15 of the whole line, in hundredths of a second (proc(5)).
        let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        let fields: Vec<&str> = rest.split(' ').collect();
        let (Some(parent), Some(user), Some(system)) =
            (fields.get(1), fields.get(11), fields.get(12))
        else {
            continue;
        };
        let seconds = (user.parse::<f64>()? + system.parse::<f64>()?) / 100.0;
        if id == service {
            used.service = seconds;
        } else if id == go2rtc {
            used.go2rtc = seconds;
        } else if parent.parse() == Ok(go2rtc) {
            let command = std::fs::read_to_string(path.join("cmdline")).unwrap_or_default();
            match command.contains("stream_loop") {
                true => used.playing += seconds,
                false => used.transcoding += seconds,
            }
        }
    }
    Ok(used)
}

fn show_used(before: Used, after: Used) {
    let wall = (after.at - before.at).as_secs_f64();
    let cores = |from: f64, to: f64| (to - from) / wall;
    println!(
        "  processors: Rollcall {:.2}, go2rtc {:.2}, its transcoders {:.2}, file players {:.2}",
        cores(before.service, after.service),
        cores(before.go2rtc, after.go2rtc),
        cores(before.transcoding, after.transcoding),
        cores(before.playing, after.playing),
    );
}

fn show_kiosk(alone: &mut [Duration], beside: &mut [Duration]) {
    let (idle, idle_high) = percentiles(alone);
    let (busy, busy_high) = percentiles(beside);
    println!("  kiosk alone: {idle:.1} ms (median), {idle_high:.1} ms (95 %)");
    println!(
        "  beside the cameras: {busy:.1} ms = {:.2} × (goal: under 2), {busy_high:.1} ms (95 %)",
        busy / idle
    );
}

fn stream(number: usize) -> String {
    format!("door{number}")
}

async fn mjpeg(count: usize, passes: usize) -> Outcome<()> {
    let mut cameras = Vec::new();
    for _ in 0..count {
        cameras.push(TestCamera::new(scene(&[])?));
    }
    let names: Vec<String> = (0..count).map(stream).collect();
    let streams: Vec<(&str, String)> = names
        .iter()
        .zip(&cameras)
        .map(|(name, camera)| (name.as_str(), camera.source()))
        .collect();
    let go2rtc = Go2rtc::with(&streams)?;
    let site = Site::start(&go2rtc, &names).await?;
    // Between people the cameras show an empty scene, so its cost is included.
    site.at_the_kiosk(5).await?;
    let mut alone = match count {
        1 => Vec::new(),
        _ => idle_kiosk(&site).await?,
    };
    let (since, before) = (Timestamp::now(), used(site.service.id(), go2rtc.id())?);
    let passing = pass(&cameras, passes);
    let seconds = PERIOD.as_secs() as usize * (passes + 1);
    let (passed, beside) = match count {
        1 => (passing.await?, Vec::new()),
        _ => {
            let (passed, beside) = futures::join!(passing, site.at_the_kiosk(seconds));
            (passed?, beside?)
        }
    };
    let after = used(site.service.id(), go2rtc.id())?;
    let punches = site.punches(since).await?;
    let (mut delays, missed) = delays(&passed, &punches);
    let extra = punches.iter().map(Vec::len).sum::<usize>() - delays.len();
    let (median, high) = percentiles(&mut delays);
    println!(
        "{count} × MJPEG 640×480 at {RATE} a second, {} passes",
        passed.len()
    );
    println!("  from face to punch: {median:.0} ms (median), {high:.0} ms (95 %) (goal: 2000)");
    println!("  missed {missed}, punched twice {extra}");
    if !beside.is_empty() {
        let mut beside = beside;
        show_kiosk(&mut alone, &mut beside);
    }
    println!(
        "  pictures dropped because kiosks come first: {}",
        site.busy_pictures().await?
    );
    show_used(before, after);
    Ok(())
}

/// Measures how long a kiosk waits while no camera is watched.
async fn idle_kiosk(site: &Site) -> Outcome<Vec<Duration>> {
    let active = async |active: bool| -> Outcome<()> {
        for camera in &site.cameras {
            let url = format!("{}/api/cameras/{camera}", site.service.base);
            let change = site
                .admin
                .client
                .patch(url)
                .json(&json!({"active": active}));
            change.send().await?.error_for_status()?;
        }
        Ok(())
    };
    active(false).await?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let alone = site.at_the_kiosk(ALONE).await?;
    active(true).await?;
    site.until_live().await?;
    Ok(alone)
}

/// Creates an H.264 file of one period: a person appears after `begin`, stays in view, and leaves.
fn film(path: &Path, person: &str, begin: Duration) -> Outcome<()> {
    let (empty, person) = (scene(&[])?, scene(&[person])?);
    let mut ffmpeg = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "image2pipe", "-c:v", "mjpeg"])
        .args(["-framerate", &RATE.to_string(), "-i", "-"])
        .args(["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p"])
        // One key frame a second, as cameras send them.
        .args(["-r", "15", "-g", "15", "-bf", "0", "-f", "mp4"])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()?;
    let mut input = ffmpeg.stdin.take().ok_or("no input")?;
    let count = PERIOD.as_secs() as u32 * RATE;
    for number in 0..count {
        let at = Duration::from_secs(1) * number / RATE;
        let there = at >= begin && at < begin + IN_VIEW;
        let (pictures, _) = if there { &person } else { &empty }.pictures();
        input.write_all(&pictures[number as usize % pictures.len()])?;
    }
    drop(input);
    match ffmpeg.wait()?.success() {
        true => Ok(()),
        false => Err("ffmpeg could not create a film".into()),
    }
}

async fn h264() -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let mut streams = Vec::new();
    for number in 0..CAMERAS {
        let path = folder.path().join(format!("{number}.mp4"));
        // Staggered, so that nobody is at two cameras at once.
        let begin = Duration::from_secs(2)
            + (PERIOD - IN_VIEW - Duration::from_secs(2)) * number as u32 / CAMERAS as u32;
        film(&path, PEOPLE[number % PEOPLE.len()], begin)?;
        let play = format!(
            "exec:ffmpeg -v error -re -stream_loop -1 -i {} -c copy -rtsp_transport tcp -f rtsp {{output}}",
            path.display()
        );
        streams.push((format!("film{number}"), play));
        let decode = format!("ffmpeg:film{number}#video=mjpeg#raw=-r {RATE} -q:v 4");
        streams.push((stream(number), decode));
    }
    let streams: Vec<_> = streams
        .iter()
        .map(|(name, source)| (name.as_str(), source.clone()))
        .collect();
    let go2rtc = Go2rtc::with(&streams)?;
    let names: Vec<String> = (0..CAMERAS).map(stream).collect();
    let site = Site::start(&go2rtc, &names).await?;
    let mut alone = idle_kiosk(&site).await?;
    let (since, before) = (Timestamp::now(), used(site.service.id(), go2rtc.id())?);
    let seconds = PERIOD.as_secs() as usize * (PASSES + 1);
    let mut beside = site.at_the_kiosk(seconds).await?;
    let after = used(site.service.id(), go2rtc.id())?;
    let (mut punched, mut missed) = (0, 0);
    for times in site.punches(since).await? {
        punched += times.len();
        // The film repeats: two punches are one period apart, unless one was missed.
        let gaps = times
            .windows(2)
            .map(|pair| pair[1].duration_since(pair[0]).as_secs_f64());
        let periods = |gap: f64| (gap / PERIOD.as_secs_f64()).round() as usize;
        missed += gaps
            .map(|gap| periods(gap).saturating_sub(1))
            .sum::<usize>();
        // Counts missed punches at both ends.
        missed += PASSES.saturating_sub(times.len() + 1);
    }
    println!("{CAMERAS} × H.264 640×480 at 15 a second, transcoded to {RATE}");
    println!("  {punched} punches, missed {missed}");
    show_kiosk(&mut alone, &mut beside);
    println!(
        "  pictures dropped because kiosks come first: {}",
        site.busy_pictures().await?
    );
    show_used(before, after);
    Ok(())
}

async fn run() -> Outcome<()> {
    if let Err(why) = Go2rtc::with(&[]) {
        println!("skipped: cameras, because {why}");
        return Ok(());
    }
    let cores = std::thread::available_parallelism()?;
    println!("on {cores} cores, all processes together");
    // Cargo's own arguments start with a hyphen.
    let only = std::env::args().skip(1).find(|one| !one.starts_with('-'));
    let wanted = |part| only.as_deref().is_none_or(|only| only == part);
    if wanted("mjpeg") {
        mjpeg(1, PASSES).await?;
        mjpeg(CAMERAS, PASSES).await?;
    }
    if wanted("h264") {
        h264().await?;
    }
    Ok(())
}

fn main() -> Outcome<()> {
    tokio::runtime::Runtime::new()?.block_on(run())
}
