//! What is shipped to run Rollcall elsewhere: the image, compose files, Render's blueprint, the
//! settings of the servers beside it. Each is held to what reads it, so that it cannot drift.
//!
//! There is no container engine here. The image's steps run as the scripts that they are, the
//! compose files go through the specification's own library, the servers' settings through the
//! real servers.

mod blueprint;
mod compose;
mod go2rtc;
mod image;
mod monitoring;
mod parts;
#[path = "../support/skip.rs"]
mod skip;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use rollcall::config::Settings;
use serde_json::Value;

/// Variables of Compose's interpolation that are no settings of the program.
const COMPOSE_OWN: &[&str] = &["ROLLCALL_DOMAIN"];

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn text(path: &str) -> String {
    fs::read_to_string(project(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&text(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A member's text; the whole member is told when it is none.
fn string<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name]
        .as_str()
        .unwrap_or_else(|| panic!("{name} is no text in {value}"))
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The variables that the program reads, with the `NAME_FILE` of secrets.
fn read_by_the_program() -> BTreeSet<String> {
    let variables = Settings::SECTIONS.iter().flat_map(|(_, all)| *all);
    let files = variables.clone().filter(|variable| variable.secret);
    variables
        .map(|variable| variable.name.to_owned())
        .chain(files.map(|variable| format!("{}_FILE", variable.name)))
        .collect()
}

/// Holds an environment to the settings: `doctor --json`, the real program, knows each name and
/// finds no value unfit. Secrets' files are made; nothing has to be running.
fn assert_settings(of: &str, environment: &BTreeMap<String, String>) {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    fs::write(&secret, "ab".repeat(32)).unwrap();
    let known = read_by_the_program();
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollcall"));
    command.args(["doctor", "--json"]).env_clear();
    for (name, value) in environment {
        assert!(known.contains(name), "{of} sets {name}, which nobody reads");
        let path = secret.to_str().unwrap();
        let of_file = name.ends_with("_FILE");
        command.env(name, if of_file { path } else { value });
    }
    // What checks would look at elsewhere or for long.
    command
        .env("DATA_DIR", folder.path())
        .env("MODELS_DIR", folder.path())
        .env("PORT", "0")
        .env("REDIS_HOST", "127.0.0.1")
        .env("REDIS_PORT", "1")
        .env("STORE", "sqlite");
    let Output { status, stdout, .. } = command.output().unwrap();
    let report: Value = serde_json::from_slice(&stdout).unwrap();
    assert_ne!(status.code(), Some(2), "{of}: {:#}", report["checks"]);
    for name in environment.keys() {
        let name = name.trim_end_matches("_FILE");
        let shown = items(&report["settings"]).find(|setting| setting["name"] == name);
        assert_eq!(shown.unwrap()["set"], true, "{of}: {name}");
    }
}

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Asks until the answer is there; `None` when it does not come in time.
fn eventually<T>(patience: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let begin = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if begin.elapsed() > patience {
            return None;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The status of a GET; `None` without an answer.
fn status(url: &str, authorization: Option<&str>) -> Option<u16> {
    let agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(5)))
        .proxy(None)
        .build()
        .new_agent();
    let mut request = agent.get(url);
    if let Some(authorization) = authorization {
        request = request.header("authorization", authorization);
    }
    request.call().ok().map(|answer| answer.status().as_u16())
}

/// Whether a command can be started here at all.
fn have(program: &str) -> bool {
    let mut which = Command::new("sh");
    which.args(["-c", "command -v \"$0\"", program]);
    let found = which.stdout(Stdio::null()).status();
    found.is_ok_and(|status| status.success())
}

/// Runs a command to its end and returns what it printed; panics with all of it when it fails.
fn run(command: &mut Command) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr),
    );
    assert!(status.success(), "{command:?}: {status}\n{out}{err}");
    out.into_owned()
}

/// Whether an image is pinned: a tag that says which version, and the hash of the very bytes.
fn pinned(image: &str) -> bool {
    let Some((name, digest)) = image.split_once("@sha256:") else {
        return false;
    };
    let hash = digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
    hash && name.contains('.') && !name.ends_with(":latest")
}
