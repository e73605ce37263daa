//! `rollcall doctor`: prints the configuration, secrets hidden, and checks everything that the
//! service stands on. Changes nothing.

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
    domain::{cameras::Camera, text::StreamName},
    service::cameras::every_camera,
    telemetry,
    vision::{Engine, EngineOptions, Pack, Runtime},
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// How something is.
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

/// What a check says: fine, or what is wrong.
type Outcome = Result<(State, String), String>;

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let settings = Settings::read(&Environment);
    let (settings, checks) = match &settings {
        Ok(settings) => {
            telemetry::start_log(&settings.log);
            (settings.shown(), examine(settings)?)
        }
        Err(error) => (&[][..], complaints(error)),
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
        // As every command ends whose settings cannot be used.
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

fn complaints(error: &ConfigError) -> Vec<Check> {
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

fn examine(settings: &Settings) -> Result<Vec<Check>, Failure> {
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
    checks.push(check("port", port(settings)));
    checks.push(check("tls", tls(settings)));
    checks.push(check("time zone", time_zone(settings)));
    checks.push(check(
        "redis",
        super::block_on(async { Ok(redis(settings).await) })?,
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
            format!("{shown} will be made at the first start"),
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
                format!("{shown} can be entered by others (mode {mode:o}): chmod 700 is safer"),
            ));
        }
    }
    Ok((State::Ok, format!("{shown} can be written")))
}

fn template_key(settings: &Settings) -> Outcome {
    if let Some(keys) = &settings.privacy.template_key {
        return Ok((
            State::Ok,
            format!("from TEMPLATE_KEY, with {} older", keys.older.len()),
        ));
    }
    let file = boot::key_file(settings);
    match TemplateKeys::read(&file).map_err(|error| error.to_string())? {
        Some(_) => Ok((State::Ok, format!("in {}", file.display()))),
        None => Ok((
            State::Ok,
            format!("{} will be made at the first start", file.display()),
        )),
    }
}

/// Redis is never needed, so that it is away is only a warning.
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

/// Whether go2rtc answers, and has the stream of each camera that is not paused. `None` when there
/// is none, and when the store does not say: another check tells why.
async fn cameras(settings: &Settings) -> Option<Outcome> {
    let stores = boot::open_present(settings).await.ok()?.stores;
    let cameras = every_camera(&*stores.cameras).await;
    stores.health.close().await;
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
        return Ok((
            State::Ok,
            format!("{number}, brought in by go2rtc at {url}"),
        ));
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
            format!("{} will be made at the first start", file.display()),
        ));
    }
    let records = boot::records(settings)
        .await
        .map_err(|error| error.to_string())?;
    let health = &records.stores.health;
    let answer = health.ping().await;
    health.close().await;
    answer.map_err(|error| error.to_string())?;
    let mut told = vec![health.description()];
    told.extend(records.warnings);
    let state = if told.len() > 1 {
        State::Warning
    } else {
        State::Ok
    };
    Ok((state, told.join("; ")))
}

/// Tries every template, photo and picture with the keys that there are.
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
            "{images} kept photos or pictures cannot be opened with this key: put {} back, or set TEMPLATE_KEY to what it held",
            boot::key_file(settings).display()
        )),
        (people, 0) => {
            let told = match people {
                0 => "nobody is enrolled yet".to_owned(),
                people => format!("{people} enrolled, all can be opened"),
            };
            Ok((State::Ok, told + &old_keys(settings, census.older)))
        }
        (people, unopened) => Err(format!(
            "{unopened} of {people} enrolled cannot be opened with this key: put {} back, or set TEMPLATE_KEY to what it held",
            boot::key_file(settings).display()
        )),
    }
}

/// What is left to do of a change of the template key; empty when there is nothing. `older` is how
/// many templates, photos and pictures older keys sealed.
fn old_keys(settings: &Settings, older: usize) -> String {
    let given = settings.privacy.template_key.is_some();
    let file = boot::key_file(settings);
    let holds =
        || TemplateKeys::read(&file).is_ok_and(|keys| keys.is_some_and(|k| !k.older.is_empty()));
    if older > 0 {
        let last = match given {
            true => "leave the old key out of TEMPLATE_KEY",
            false => "`rollcall keys rotate --finish`",
        };
        return format!(
            "; {older} templates, photos and pictures are sealed with an older key: restart every instance unless that was done since the new key came, then run `rollcall keys rotate`, then {last}"
        );
    }
    match !given && holds() {
        true => format!(
            "; {} still holds an old key: `rollcall keys rotate --finish` takes it out, once every instance was restarted with the new one",
            file.display()
        ),
        false => String::new(),
    }
}

/// Reads and hashes every file, then starts the models, because only that tells a face model
/// from another one.
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
        "{} {} in {}",
        manifest.id,
        manifest.version,
        pack.folder().display()
    );
    let Some(runtime) = runtime else {
        return Ok((
            State::Warning,
            format!("{name}: files are right, not tried without ONNX Runtime"),
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
            "{name}: not calibrated, nobody will be identified; run `rollcall models calibrate`"
        ));
    }
    Ok((State::Ok, format!("{name}: files are right, models run")))
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
            "cannot listen on {address}: {error}; set HOST or PORT"
        )),
    }
}

/// Whether the certificate can be read, and how long it lasts.
fn tls(settings: &Settings) -> Outcome {
    let Some(path) = &settings.server.tls_cert else {
        return Ok((State::Off, "no TLS_CERT: a proxy's, or none".to_owned()));
    };
    let ends = boot::certificate_ends(path).map_err(|error| error.to_string())?;
    let left = SystemClock.now().duration_until(ends);
    if left <= SignedDuration::ZERO {
        return Err(format!(
            "the certificate ended at {ends}: browsers refuse it"
        ));
    }
    let (state, detail) = match left < boot::EXPIRES_SOON {
        true => (State::Warning, "put a new one in its place"),
        false => (State::Ok, "new ones are taken while serving"),
    };
    let days = left.as_hours() / 24;
    Ok((
        state,
        format!("the certificate ends at {ends}, in {days} days: {detail}"),
    ))
}

fn time_zone(settings: &Settings) -> Outcome {
    let zone = settings.attendance.time_zone.clone();
    let now = Zoned::new(SystemClock.now(), zone);
    Ok((
        State::Ok,
        format!("it is {}", now.strftime("%Y-%m-%d %H:%M %Z")),
    ))
}
