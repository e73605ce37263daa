//! `rollcall doctor`: prints the configuration, with secrets hidden, and checks everything that the
//! service needs. Changes nothing.

use std::{
    fs,
    io::{self, Write},
    net::{SocketAddr, TcpListener},
    path::Path,
    process::ExitCode,
    sync::Arc,
};

use clap::Args;
use jiff::{SignedDuration, Zoned};
use serde::Serialize;

use super::{Failure, health};
use crate::{
    boot::{self, Shared},
    clock::{Clock, SystemClock},
    config::{ConfigError, Environment, Settings, Shown, StoreKind, TemplateKeys},
    domain::{
        cameras::Camera,
        self_calibration::{LEAST_PEOPLE, OffsetSource, SelfCalibration},
        sites::{Site, Zone},
        text::StreamName,
    },
    service::{cameras::every_camera, clock_check::ClockCheck},
    telemetry,
    vision::{Engine, EngineOptions, Pack, Runtime},
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// The state of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Ok,
    Off,
    Warning,
    Failed,
}

#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    state: State,
    detail: String,
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    version: &'static str,
    ok: bool,
    settings: Vec<Setting<'a>>,
    checks: Vec<Check>,
}

#[derive(Debug, Serialize)]
struct Setting<'a> {
    name: &'a str,
    value: Option<&'a str>,
    set: bool,
}

impl<'a> From<&'a Shown> for Setting<'a> {
    fn from(shown: &'a Shown) -> Self {
        Self {
            name: shown.name,
            value: shown.value.as_deref(),
            set: shown.set,
        }
    }
}

/// The outcome of a check: its state with a detail, or the problem.
type Outcome = Result<(State, String), String>;

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let settings = Settings::read(&Environment);
    let (settings, checks) = match &settings {
        Ok(settings) => {
            telemetry::start_log(&settings.log);
            (settings.shown(), run_checks(settings)?)
        }
        Err(error) => (&[][..], setting_failures(error)),
    };
    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        ok: checks.iter().all(|check| check.state != State::Failed),
        settings: settings.iter().map(Setting::from).collect(),
        checks,
    };
    let mut out = io::stdout().lock();
    if arguments.json {
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
    } else {
        print(&mut out, &report)?;
    }
    Ok(match (report.ok, settings.is_empty()) {
        (true, _) => ExitCode::SUCCESS,
        (false, false) => ExitCode::FAILURE,
        // The same code as of every command with invalid settings.
        (false, true) => ExitCode::from(2),
    })
}

fn print(out: &mut impl Write, report: &Report<'_>) -> io::Result<()> {
    writeln!(out, "rollcall {}\n", report.version)?;
    for Setting { name, value, set } in &report.settings {
        let mark = if *set { '*' } else { ' ' };
        writeln!(out, "{mark} {name:<20} {}", value.unwrap_or("-"))?;
    }
    if !report.settings.is_empty() {
        writeln!(out, "\n* set in the environment, the others are defaults\n")?;
    }
    for Check {
        name,
        state,
        detail,
    } in &report.checks
    {
        let state = match state {
            State::Ok => "ok",
            State::Off => "off",
            State::Warning => "warning",
            State::Failed => "FAILED",
        };
        writeln!(out, "{state:>8}  {name:<12} {detail}")?;
    }
    Ok(())
}

fn setting_failures(error: &ConfigError) -> Vec<Check> {
    error
        .problems
        .iter()
        .map(|problem| Check {
            name: problem.name,
            state: State::Failed,
            detail: problem.message.clone(),
        })
        .collect()
}

fn run_checks(settings: &Settings) -> Result<Vec<Check>, Failure> {
    let runtime = Runtime::load(settings.recognition.ort_dylib_path.as_deref());
    let mut checks = vec![
        check("data folder", data_folder(&settings.store.data_dir)),
        check("template key", template_key(settings)),
        check(
            "store",
            super::block_on(async { Ok(store(settings).await) })?,
        ),
    ];
    checks.push(check(
        "faces",
        super::block_on(async { Ok(faces(settings).await) })?,
    ));
    checks.push(check(
        "ONNX Runtime",
        match &runtime {
            Ok(runtime) => Ok((
                State::Ok,
                format!("{} in {}", runtime.version(), runtime.path().display()),
            )),
            Err(error) => Err(error.to_string()),
        },
    ));
    checks.push(check(
        "model pack",
        model_pack(settings, runtime.as_ref().ok()),
    ));
    let thresholds = super::block_on(async { Ok(thresholds(settings).await) })?;
    checks.extend(thresholds.map(|outcome| check("thresholds", outcome)));
    checks.push(check("port", port(settings)));
    checks.push(check("open files", open_files()));
    checks.push(check("tls", tls(settings)));
    checks.push(check("address", Ok(address(settings))));
    let zone = super::block_on(async { Ok(time_zone(settings).await) })?;
    checks.push(check("time zone", zone));
    let clock = super::block_on(async { Ok(clock(settings).await) })?;
    checks.extend(clock.map(|outcome| check("clock", outcome)));
    checks.push(check(
        "redis",
        super::block_on(async { Ok(redis(settings).await) })?,
    ));
    checks.push(check(
        "mail",
        super::block_on(async { Ok(mail(settings).await) })?,
    ));
    let cameras = super::block_on(async { Ok(cameras(settings).await) })?;
    checks.extend(cameras.map(|outcome| check("cameras", outcome)));
    Ok(checks)
}

fn check(name: &'static str, outcome: Outcome) -> Check {
    let (state, detail) = outcome.unwrap_or_else(|cause| (State::Failed, cause));
    Check {
        name,
        state,
        detail,
    }
}

fn data_folder(path: &Path) -> Outcome {
    let shown = path.display();
    if !path.exists() {
        return Ok((
            State::Ok,
            format!("{shown} will be created at the first start"),
        ));
    }
    boot::make_data_dir(path).map_err(|error| error.to_string())?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(path)
            .map_err(|error| error.to_string())?
            .permissions()
            .mode()
            & 0o777;
        if mode & 0o077 != 0 {
            return Ok((
                State::Warning,
                format!("other users can access {shown} (mode {mode:o}): chmod 700 is safer"),
            ));
        }
    }
    Ok((State::Ok, format!("{shown} is writable")))
}

fn template_key(settings: &Settings) -> Outcome {
    if let Some(keys) = &settings.privacy.template_key {
        return Ok((
            State::Ok,
            format!("from TEMPLATE_KEY, with {} older keys", keys.older.len()),
        ));
    }
    let file = boot::key_file(settings);
    match TemplateKeys::read(&file).map_err(|error| error.to_string())? {
        Some(_) => Ok((State::Ok, format!("in {}", file.display()))),
        None => Ok((
            State::Ok,
            format!("{} will be created at the first start", file.display()),
        )),
    }
}

/// Returns the address under which people open the service.
fn address(settings: &Settings) -> (State, String) {
    match settings.server.public_url.as_deref() {
        Some(url) if url.starts_with("https://") => (State::Ok, url.to_owned()),
        Some(url) => (
            State::Warning,
            format!("{url}: without https:// browsers offer no passkeys and others can read along"),
        ),
        None => (
            State::Off,
            "PUBLIC_URL is not set: links have no address, and no emails can be sent".to_owned(),
        ),
    }
}

/// Checks Redis. If it is unavailable, that is a warning, because the service works without it.
async fn redis(settings: &Settings) -> Outcome {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let shared = Shared::new(&settings.redis, &clock, None).map_err(|error| error.to_string())?;
    if shared.servers.is_empty() {
        return Ok((
            State::Off,
            "not configured: Running without Redis caching".to_owned(),
        ));
    }
    shared.connect().await;
    let up = shared.servers.iter().all(|server| server.is_up());
    let state = if up { State::Ok } else { State::Warning };
    Ok((state, shared.line()))
}

/// Checks whether the mail server responds, if there is one.
async fn mail(settings: &Settings) -> Outcome {
    let Some(mail) = boot::mail_sender(settings).map_err(|error| error.to_string())? else {
        let off = "not configured: no emails are sent".to_owned();
        return Ok((State::Off, off));
    };
    mail.check().await.map_err(|error| error.to_string())?;
    Ok((State::Ok, "the mail server answers".to_owned()))
}

/// Checks whether go2rtc responds and has the stream of each active camera. Returns `None` if there
/// is no active camera, or if the store does not respond, which another check reports.
async fn cameras(settings: &Settings) -> Option<Outcome> {
    let stores = boot::open_present(settings).await.ok()?.stores;
    let cameras = every_camera(&stores.cameras).await;
    stores.engine.close().await;
    let mut cameras = cameras.ok()?;
    cameras.retain(|camera| camera.active);
    if cameras.is_empty() {
        return None;
    }
    let names = match boot::streams(settings) {
        Ok(streams) => streams.names().await.map_err(|error| error.cause),
        Err(error) => Err(error.to_string()),
    };
    let url = &settings.cameras.url;
    Some(names.map_or_else(
        |cause| Err(format!("GO2RTC_URL {url}: {cause}")),
        |names| streams_of(&cameras, &names, url),
    ))
}

fn streams_of(cameras: &[Camera], names: &[StreamName], url: &str) -> Outcome {
    let missing: Vec<_> = cameras
        .iter()
        .filter(|camera| !names.contains(&camera.stream))
        .map(|camera| format!("{} ({})", camera.name, camera.stream))
        .collect();
    if missing.is_empty() {
        let number = cameras.len();
        return Ok((State::Ok, format!("{number}, connected by go2rtc at {url}")));
    }
    Err(format!(
        "go2rtc at {url} has no stream for {}: add it to its configuration, or change the camera",
        missing.join(", ")
    ))
}

async fn store(settings: &Settings) -> Outcome {
    let file = boot::database(settings);
    if settings.store.used() == StoreKind::Sqlite && !file.exists() {
        return Ok((
            State::Ok,
            format!("{} will be created at the first start", file.display()),
        ));
    }
    let records = boot::records(settings)
        .await
        .map_err(|error| error.to_string())?;
    let health = &records.stores.engine;
    let answer = health.ping().await;
    health.close().await;
    answer.map_err(|error| error.to_string())?;
    let mut details = vec![health.description()];
    details.extend(records.warnings);
    let state = if details.len() > 1 {
        State::Warning
    } else {
        State::Ok
    };
    Ok((state, details.join("; ")))
}

/// Checks whether the keys decrypt every template, photo and picture.
async fn faces(settings: &Settings) -> Outcome {
    if settings.store.used() == StoreKind::Sqlite && !boot::database(settings).exists() {
        return Ok((State::Ok, "nobody is enrolled yet".to_owned()));
    }
    let census = boot::census(settings)
        .await
        .map_err(|error| error.to_string())?;
    let images = census.unopened_images;
    match (census.people, census.unopened) {
        (_, 0) if images > 0 => Err(format!(
            "{images} stored photos or pictures cannot be decrypted with this key: restore {}, or set TEMPLATE_KEY to its content",
            boot::key_file(settings).display()
        )),
        (people, 0) => {
            let detail = match people {
                0 => "nobody is enrolled yet".to_owned(),
                people => format!("{people} enrolled, all can be decrypted"),
            };
            Ok((State::Ok, detail + &old_keys(settings, census.older)))
        }
        (people, unopened) => Err(format!(
            "{unopened} of {people} enrolled cannot be decrypted with this key: restore {}, or set TEMPLATE_KEY to its content",
            boot::key_file(settings).display()
        )),
    }
}

/// Describes the remaining steps of a key rotation; empty if there are none. `older` is the number
/// of templates, photos and pictures that older keys encrypted.
fn old_keys(settings: &Settings, older: usize) -> String {
    let given = settings.privacy.template_key.is_some();
    let file = boot::key_file(settings);
    let holds =
        || TemplateKeys::read(&file).is_ok_and(|keys| keys.is_some_and(|k| !k.older.is_empty()));
    if older > 0 {
        let last = match given {
            true => "remove the old key from TEMPLATE_KEY",
            false => "run `rollcall keys rotate --finish`",
        };
        return format!(
            "; {older} templates, photos and pictures are encrypted with an older key: restart every instance that has not been restarted since the key changed, run `rollcall keys rotate`, then {last}"
        );
    }
    match !given && holds() {
        true => format!(
            "; {} still contains an old key: after every instance was restarted with the new one, remove it with `rollcall keys rotate --finish`",
            file.display()
        ),
        false => String::new(),
    }
}

/// Checks the hash of every file, then starts the models, because only that shows whether they are
/// face models.
fn model_pack(settings: &Settings, runtime: Option<&Runtime>) -> Outcome {
    let text = |error: &dyn std::error::Error| error.to_string();
    let recognition = &settings.recognition;
    let pack = Pack::with_liveness(
        &recognition.model_pack,
        recognition.liveness_pack.as_deref(),
        &boot::pack_roots(settings),
    )
    .map_err(|error| text(&error))?;
    pack.verify().map_err(|error| text(&error))?;
    let manifest = pack.manifest();
    let name = format!(
        "{} {} ({}; `rollcall models list` shows its origin) in {}",
        manifest.id,
        manifest.version,
        manifest.license,
        pack.folder().display()
    );
    let Some(runtime) = runtime else {
        return Ok((
            State::Warning,
            format!("{name}: files are intact, models were not started without ONNX Runtime"),
        ));
    };
    let options = EngineOptions {
        threads: 1,
        ..EngineOptions::default()
    };
    let engine = Engine::start(runtime, &pack, options).map_err(|error| text(&error))?;
    engine.stop();
    if manifest.calibration.is_none() {
        return Err(format!(
            "{name}: not calibrated, so it cannot identify people: run `rollcall models calibrate`"
        ));
    }
    Ok((State::Ok, format!("{name}: files are intact, models run")))
}

/// Describes how much the service raises the thresholds; `None` if another check reports why they
/// cannot be measured, or if no one is enrolled.
async fn thresholds(settings: &Settings) -> Option<Outcome> {
    if settings.store.used() == StoreKind::Sqlite && !boot::database(settings).exists() {
        return None;
    }
    let found = boot::self_calibration(settings).await.ok().flatten()?;
    let SelfCalibration {
        source,
        people,
        common,
        largest,
    } = found;
    let reason = match source {
        _ if people == 0 => return None,
        OffsetSource::Prior => {
            format!("the model's prior, because fewer than {LEAST_PEOPLE} people are enrolled")
        }
        OffsetSource::Measured => {
            format!(
                "measured on {people} people: how much more alike they look than the people with whom the model was calibrated"
            )
        }
    };
    Some(Ok((
        State::Ok,
        format!(
            "raised by {common:.3} for everybody, by at most {largest:.3} for a person ({reason})"
        ),
    )))
}

fn port(settings: &Settings) -> Outcome {
    let address = SocketAddr::new(settings.server.host, settings.server.port);
    match TcpListener::bind(address) {
        Ok(_) => Ok((State::Ok, format!("{address} is free"))),
        Err(error)
            if error.kind() == io::ErrorKind::AddrInUse && health::answers(&settings.server) =>
        {
            Ok((
                State::Ok,
                format!("{address} is in use by a running Rollcall"),
            ))
        }
        Err(error) => Err(format!(
            "could not listen on {address}: {error}; set HOST or PORT"
        )),
    }
}

/// The open files below which a few clients can keep others out.
const FILES_LEAST: u64 = 1024;

/// Shows the limit of open files as the service has it, which raises it at start.
fn open_files() -> Outcome {
    let Some(limit) = boot::file_limit() else {
        return Ok((State::Off, "not limited on this system".to_owned()));
    };
    let raised = boot::FileLimit {
        soft: limit.hard,
        ..limit
    };
    let connections = boot::connections_most(Some(raised));
    let shown = |limit: Option<u64>| limit.map_or("unlimited".to_owned(), |most| most.to_string());
    let (soft, hard) = (shown(limit.soft), shown(limit.hard));
    let detail =
        format!("{hard} (raised from {soft} at start), for at most {connections} connections");
    Ok(match limit.hard {
        Some(most) if most < FILES_LEAST => (
            State::Warning,
            format!("{detail}: raise the hard limit (LimitNOFILE, ulimit -n)"),
        ),
        _ => (State::Ok, detail),
    })
}

/// Checks whether the certificate can be read, and when it expires.
fn tls(settings: &Settings) -> Outcome {
    let Some(path) = &settings.server.tls_cert else {
        return Ok((
            State::Off,
            "TLS_CERT is not set: TLS needs a proxy".to_owned(),
        ));
    };
    let ends = boot::certificate_ends(path).map_err(|error| error.to_string())?;
    let left = SystemClock.now().duration_until(ends);
    if left <= SignedDuration::ZERO {
        return Err(format!(
            "the certificate expired at {ends}: browsers reject it"
        ));
    }
    let (state, detail) = match left < boot::EXPIRES_SOON {
        true => (State::Warning, "replace it"),
        false => (State::Ok, "a new one is loaded without a restart"),
    };
    let days = left.as_hours() / 24;
    Ok((
        state,
        format!("the certificate expires at {ends}, in {days} days: {detail}"),
    ))
}

/// Shows the time of each site. Before the first start, and if the store does not respond, which
/// another check reports, it shows the time in the zone of the settings.
async fn time_zone(settings: &Settings) -> Outcome {
    let now = SystemClock.now();
    let time = |zone: &Zone| {
        let now = Zoned::new(now, zone.time_zone().clone());
        now.strftime("%Y-%m-%d %H:%M %Z").to_string()
    };
    let mut sites = sites(settings).await.unwrap_or_default();
    sites.retain(|site| site.removed_at.is_none());
    let times = match sites.as_slice() {
        [] => time(&boot::time_zone(settings)),
        [site] => time(&site.zone),
        sites => {
            let sites = sites.iter();
            let times = sites.map(|site| format!("{} at {}", time(&site.zone), site.name));
            times.collect::<Vec<_>>().join(", ")
        }
    };
    Ok((State::Ok, format!("it is {times}")))
}

/// Compares the clock of this machine with the store; `None` if the store does not respond, which
/// another check reports, or does not exist yet.
async fn clock(settings: &Settings) -> Option<Outcome> {
    let stores = boot::open_present(settings).await.ok()?.stores;
    let found = ClockCheck::run(&stores, &SystemClock).await;
    stores.engine.close().await;
    let found = found.ok()?;
    let warnings = found.warnings();
    if !warnings.is_empty() {
        return Some(Ok((State::Warning, warnings.join("; "))));
    }
    let detail = match found.ahead_of_store {
        Some(ahead) => format!("{:.3} s ahead of the store's", ahead.as_secs_f64()),
        None => "no record is newer than this moment".to_owned(),
    };
    Some(Ok((State::Ok, detail)))
}

async fn sites(settings: &Settings) -> Option<Vec<Site>> {
    let stores = boot::open_present(settings).await.ok()?.stores;
    let sites = stores.sites.all().await;
    stores.engine.close().await;
    sites.ok()
}
