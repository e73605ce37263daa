//! Tests of the files for running Rollcall elsewhere: the image, compose files, Render's blueprint,
//! and the settings of the servers beside it. Each file is checked with the program that really
//! reads it. There is no container engine here, so the steps of the image run as scripts, the
//! compose files go through the library of the specification, and the settings go to the real
//! servers.

mod blueprint;
mod compose;
mod go2rtc;
mod image;
mod monitoring;
mod parts;
#[path = "../support/ports.rs"]
mod ports;
#[path = "../support/runtime.rs"]
mod runtime;
#[path = "../support/skip.rs"]
mod skip;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use ports::free_port;
use reqwest::blocking::Response;
use rollcall::{config::Settings, http_client};
use serde_json::Value;

/// Variables for the interpolation of Compose that are not settings of the program.
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

/// Returns a text member; panics with the value if it is not a text.
fn string<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name]
        .as_str()
        .unwrap_or_else(|| panic!("{name} is not a text in {value}"))
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Returns the variables that the program reads, with the `NAME_FILE` of secrets.
fn read_by_the_program() -> BTreeSet<String> {
    let variables = Settings::SECTIONS.iter().flat_map(|(_, all)| *all);
    let files = variables.clone().filter(|variable| variable.secret);
    variables
        .map(|variable| variable.name.to_owned())
        .chain(files.map(|variable| format!("{}_FILE", variable.name)))
        .collect()
}

/// Checks an environment with the real program: `doctor --json` must know each variable and accept
/// each value. Creates the files of secrets; no server has to be running.
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
    // Excludes what checks would look for elsewhere, or wait for.
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
    for (name, value) in environment {
        let name = name.trim_end_matches("_FILE");
        let shown = items(&report["settings"]).find(|setting| setting["name"] == name);
        // Compose passes on what its caller sets, else nothing.
        assert_eq!(shown.unwrap()["set"], !value.is_empty(), "{of}: {name}");
    }
}

/// A process that is killed with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Maximum time of every wait: a machine that runs all tests at once may take this long.
const PATIENCE: Duration = Duration::from_secs(180);

/// Repeats a call until it returns something; `None` if it does not in time.
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

/// Returns the status of a GET; `None` without a response.
fn status(url: &str, authorization: Option<&str>) -> Option<u16> {
    let client = http_client::blocking()
        .timeout(Duration::from_secs(30))
        .no_proxy()
        .build()
        .unwrap();
    let mut request = client.get(url);
    if let Some(authorization) = authorization {
        request = request.header("authorization", authorization);
    }
    request.send().ok().map(|answer| answer.status().as_u16())
}

/// Checks whether a program can be started here.
fn have(program: &str) -> bool {
    let mut which = Command::new("sh");
    which.args(["-c", "command -v \"$0\"", program]);
    let found = which.stdout(Stdio::null()).status();
    found.is_ok_and(|status| status.success())
}

/// Runs a command and returns its output; panics with all output if it fails.
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

/// Checks whether an image is pinned: a tag with a version, and a digest.
fn pinned(image: &str) -> bool {
    let Some((name, digest)) = image.split_once("@sha256:") else {
        return false;
    };
    let hash = digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
    hash && name.contains('.') && !name.ends_with(":latest")
}
