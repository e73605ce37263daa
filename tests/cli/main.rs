//! Tests of the real program: its commands, messages and exit codes.

mod accounts;
mod audit;
mod backup;
mod cameras;
mod evaluation;
#[path = "../support/frozen.rs"]
mod frozen;
#[path = "../support/go2rtc.rs"]
#[expect(dead_code, reason = "other tests use its pictures")]
mod go2rtc;
#[path = "../support/installation.rs"]
#[expect(dead_code, reason = "other tests read more of it")]
mod installation;
mod keys;
mod memory;
mod personal_data;
#[path = "../support/ports.rs"]
mod ports;
#[path = "../support/records.rs"]
#[expect(dead_code, reason = "other tests make more of them")]
mod records;
mod redis_keys;
#[path = "../support/redis.rs"]
#[expect(dead_code, reason = "other tests freeze and restart it")]
mod redis_server;
mod redis_store;
#[path = "../support/runtime.rs"]
mod runtime;
#[path = "../support/servers.rs"]
#[expect(dead_code, reason = "other tests freeze and restart it")]
mod servers;
mod sites;
#[path = "../support/skip.rs"]
mod skip;
mod store;
mod tls;

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use ports::free_port;
use reqwest::blocking::{Client, Response};
use rollcall::http_client;
use serde_json::Value;
use tempfile::TempDir;

/// Prepares the program with its own data; of the environment it gets only the path of ONNX
/// Runtime.
fn rollcall(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollcall"));
    command.env_clear();
    if let Some(path) = std::env::var_os("ORT_DYLIB_PATH") {
        command.env("ORT_DYLIB_PATH", path);
    }
    command
        .args(arguments)
        .env("DATA_DIR", data)
        .env("TIME_ZONE", "UTC")
        .stdin(Stdio::null());
    command
}

fn run(command: &mut Command) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        status.code().expect("it ends without a signal"),
        text(stdout),
        text(stderr),
    )
}

fn with_input(mut command: Command, input: &str) -> (i32, String, String) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// Maximum time of every wait: a machine that runs all tests at once may take this long.
const PATIENCE: Duration = Duration::from_secs(180);

/// A running service, killed when dropped.
struct Service {
    child: Child,
    port: u16,
    link: Option<String>,
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Service {
    fn start(data: &Path, settings: &[(&str, &str)]) -> Self {
        let port = free_port();
        let mut child = rollcall(data, &["serve"])
            .env("PORT", port.to_string())
            .envs(settings.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Its output is complete once it is ready.
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut service = Self {
            child,
            port,
            link: None,
        };
        let begin = Instant::now();
        while service.get("/readyz").0 != 200 {
            assert!(
                service.child.try_wait().unwrap().is_none(),
                "it does not start"
            );
            assert!(begin.elapsed() < PATIENCE, "it is not ready in time");
            std::thread::sleep(Duration::from_millis(50));
        }
        let expects_link = !settings.iter().any(|(name, _)| *name == "ADMIN_EMAIL");
        for line in stdout.lines().map_while(Result::ok) {
            if line.contains("/setup#") {
                service.link = Some(line.trim().to_owned());
                break;
            }
            if !expects_link && line.contains("address") {
                break;
            }
        }
        service
    }

    fn client() -> Client {
        http_client::blocking().build().unwrap()
    }

    fn get(&self, path: &str) -> (u16, String) {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        match Self::client().get(url).send() {
            Ok(answer) => (answer.status().as_u16(), answer.text().unwrap()),
            Err(_) => (0, String::new()),
        }
    }

    fn sign_in(&self, email: &str, password: &str) -> (u16, String) {
        let body = serde_json::json!({"email": email, "password": password});
        let answer = Self::client()
            .post(format!("http://127.0.0.1:{}/api/session", self.port))
            .json(&body)
            .send()
            .unwrap();
        let cookie = answer
            .headers()
            .get("set-cookie")
            .and_then(|cookie| cookie.to_str().ok());
        let cookie = cookie
            .and_then(|cookie| cookie.split(';').next())
            .unwrap_or_default()
            .to_owned();
        (answer.status().as_u16(), cookie)
    }

    /// Returns a client with a session cookie.
    fn signed(&self, cookie: &str) -> ApiClient<'_> {
        ApiClient {
            service: self,
            header: ("cookie", cookie.to_owned()),
        }
    }

    /// Returns a client with a device's token.
    fn bearer(&self, token: &str) -> ApiClient<'_> {
        ApiClient {
            service: self,
            header: ("authorization", format!("Bearer {token}")),
        }
    }

    fn stop(mut self) -> i32 {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
        self.child
            .wait()
            .unwrap()
            .code()
            .expect("it exits instead of dying from the signal")
    }
}

fn read(answer: Response) -> Value {
    let text = answer.text().unwrap();
    serde_json::from_str(&text).expect(&text)
}

/// A client of a service, with its authentication.
struct ApiClient<'a> {
    service: &'a Service,
    header: (&'static str, String),
}

impl ApiClient<'_> {
    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.service.port)
    }

    fn get(&self, path: &str) -> Value {
        let asked = Service::client()
            .get(self.url(path))
            .header(self.header.0, &self.header.1)
            .send();
        read(asked.unwrap())
    }

    fn post(&self, path: &str, form: &str, body: &[u8]) -> Value {
        let asked = Service::client()
            .post(self.url(path))
            .header(self.header.0, &self.header.1)
            .header("content-type", form)
            .body(body.to_vec())
            .send();
        read(asked.unwrap())
    }
}

/// Creates a folder of two people: one with two photos, one whose only photo shows two faces.
fn photos() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (from, to) in [
        ("obama.jpg", "44 Barack Obama/1.jpg"),
        ("obama2.jpg", "44 Barack Obama/2.jpg"),
        ("two_people.jpg", "9 Nobody/1.jpg"),
    ] {
        let to = folder.path().join(to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(Path::new("tests/fixtures/faces").join(from), to).unwrap();
    }
    folder
}

#[test]
fn doctor_passes_on_a_fresh_installation_and_changes_nothing() {
    if runtime::missing() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("data");
    let (code, out, err) = run(rollcall(&folder, &["doctor"])
        .env("PORT", "0")
        .env("METRICS_TOKEN", "hunter22"));
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("models run"), "{out}");
    assert!(
        out.contains("(hidden)") && !out.contains("hunter22"),
        "{out}"
    );
    assert!(!folder.exists());

    let (code, out, _) = run(rollcall(&folder, &["doctor", "--json"]).env("PORT", "0"));
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &report["ok"]), (0, &Value::Bool(true)));
}

#[test]
fn health_reports_by_exit_code_whether_the_service_responds() {
    if runtime::missing() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let public = ("PUBLIC_URL", "https://rollcall.example.com");
    let service = Service::start(data.path(), &[("HOST", "0.0.0.0"), public]);
    let link = service.link.clone().unwrap();
    assert!(
        link.starts_with("https://rollcall.example.com/setup#"),
        "{link}"
    );
    let port = service.port.to_string();
    let health = |port: &str| {
        run(rollcall(data.path(), &["health"])
            .env("HOST", "0.0.0.0")
            .env("HTTP_PROXY", "http://127.0.0.1:1")
            .env("PORT", port))
    };
    assert_eq!(health(&port), (0, String::new(), String::new()));
    assert_eq!(service.stop(), 0);
    let (code, _, err) = health(&port);
    assert_eq!(code, 1);
    assert!(err.contains("nothing answers on 127.0.0.1"), "{err}");
    // Another server on the port does not count.
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port().to_string();
    std::thread::spawn(move || {
        for mut connection in other.incoming().map_while(Result::ok) {
            let _ = connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        }
    });
    assert_eq!(health(&port).0, 1);
}

#[test]
fn counters_of_alerts_start_at_zero() {
    if runtime::missing() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path(), &[]);
    let (status, figures) = service.get("/metrics");
    assert_eq!(status, 200);
    let mut awaited = vec![
        "rollcall_engine_refused_total".to_owned(),
        r#"rollcall_http_requests_total{method="GET",route="/readyz",status="500"}"#.to_owned(),
        r#"rollcall_cache_refused_total{cache="overlays"}"#.to_owned(),
        r#"rollcall_cache_refused_total{cache="pairings"}"#.to_owned(),
    ];
    for kind in ["import", "reembed"] {
        for state in ["done", "failed", "cancelled"] {
            awaited.push(format!(
                r#"rollcall_jobs_total{{kind="{kind}",state="{state}"}}"#
            ));
        }
    }
    for series in awaited {
        let line = format!("{series} 0");
        assert!(
            figures.lines().any(|actual| actual == line),
            "{line}\n{figures}"
        );
    }
    // Invented methods do not create metrics.
    let mut connection = TcpStream::connect(("127.0.0.1", service.port)).unwrap();
    let request = b"MADEUP /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    connection.write_all(request).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
    let (_, figures) = service.get("/metrics");
    let other = r#"{method="OTHER",route="/readyz",status="405"} 1"#;
    assert!(
        figures.contains(other) && !figures.contains("MADEUP"),
        "{figures}"
    );
    assert_eq!(service.stop(), 0);
}

#[test]
fn doctor_reports_every_failure() {
    let data = tempfile::tempdir().unwrap();
    let (code, out, _) = run(rollcall(data.path(), &["doctor"])
        .env("PORT", "0")
        .env("MODEL_PACK", "none-such")
        .env("ORT_DYLIB_PATH", "/none/such.so"));
    assert_eq!(code, 1);
    assert!(
        out.contains("FAILED  ONNX Runtime") && out.contains("/none/such.so"),
        "{out}"
    );
    assert!(
        out.contains("FAILED  model pack") && out.contains("none-such"),
        "{out}"
    );
}

#[test]
fn invalid_settings_fail_the_start_with_names_and_accepted_values() {
    let data = tempfile::tempdir().unwrap();
    let mut command = rollcall(data.path(), &["serve"]);
    let (code, _, err) = run(command
        .env("COOLDOWN", "soon")
        .env("FPIR", "2")
        .env("TEMPLATE_KEY", "hunter22"));
    assert_eq!(code, 2);
    for part in [
        "COOLDOWN: \"soon\" is invalid",
        "a duration such as 60s",
        "FPIR: ",
        "TEMPLATE_KEY: ",
        "32 bytes",
    ] {
        assert!(err.contains(part), "{part}: {err}");
    }
    assert!(!err.contains("hunter22"), "{err}");
}

#[test]
fn start_failures_name_the_cause_and_the_remedy() {
    if runtime::missing() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let file = data.path().join("a file");
    fs::write(&file, "").unwrap();
    let open_key = data.path().join("open");
    fs::create_dir(&open_key).unwrap();
    fs::write(open_key.join("template.key"), "x").unwrap();
    fs::set_permissions(
        open_key.join("template.key"),
        fs::Permissions::from_mode(0o644),
    )
    .unwrap();

    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let cases = [
        ("PORT", port, "already in use"),
        ("DATA_DIR", path(&file), "set DATA_DIR to a folder"),
        ("DATA_DIR", path(&open_key), "chmod 600"),
        ("MODEL_PACK", "none-such".to_owned(), "none-such"),
        ("ORT_DYLIB_PATH", "/none/such.so".to_owned(), "make setup"),
    ];
    for (name, value, wanted) in cases {
        let mut command = rollcall(data.path(), &["serve"]);
        let (code, _, err) = run(command.env("PORT", "0").env(name, &value));
        assert_eq!(code, 1, "{name}: {err}");
        assert!(err.contains(wanted), "{name}: {err}");
        assert!(
            !err.contains("panicked") && !err.contains("backtrace"),
            "{err}"
        );
    }
}

#[test]
fn a_pack_with_a_missing_or_altered_file_fails_the_start() {
    if runtime::missing() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let models = tempfile::tempdir().unwrap();
    let pack = models.path().join("mobilefacenet");
    fs::create_dir(&pack).unwrap();
    for entry in fs::read_dir("models/mobilefacenet")
        .unwrap()
        .map(Result::unwrap)
    {
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), pack.join(entry.file_name())).unwrap();
        }
    }
    let start = || {
        let mut command = rollcall(data.path(), &["serve"]);
        run(command.env("PORT", "0").env("MODELS_DIR", models.path()))
    };
    let detector = pack.join("detector.onnx");
    let mut bytes = fs::read(&detector).unwrap();
    bytes[1000] ^= 1;
    fs::write(&detector, &bytes).unwrap();
    let (code, _, err) = start();
    assert!(
        code == 1 && err.contains("detector.onnx has SHA-256"),
        "{err}"
    );
    fs::remove_file(&detector).unwrap();
    let (code, _, err) = start();
    assert!(
        code == 1 && err.contains("detector.onnx is missing"),
        "{err}"
    );
}

#[test]
fn the_first_start_prints_a_link_and_accounts_created_by_command_can_sign_in() {
    if runtime::missing() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path(), &[]);
    let link = service.link.clone().expect("there is no account yet");
    assert!(
        link.starts_with(&format!("http://localhost:{}/setup#", service.port)),
        "{link}"
    );
    assert_eq!(
        fs::metadata(data.path().join("template.key"))
            .unwrap()
            .permissions()
            .mode()
            & 0o777,
        0o600
    );

    let create = ["admin", "add", "A@example.org", "--password-stdin"];
    let (code, _, err) = with_input(rollcall(data.path(), &create), "short\n");
    assert!(code == 1 && err.contains("12 to 256"), "{err}");
    let (code, out, err) = with_input(rollcall(data.path(), &create), "the first password\n");
    assert!(
        code == 0 && out.contains("a@example.org can sign in as admin"),
        "{out}{err}"
    );
    let (code, _, err) = with_input(rollcall(data.path(), &create), "the first password\n");
    assert!(code == 1 && err.contains("already has an account"), "{err}");
    let list = || run(&mut rollcall(data.path(), &["admin", "list"]));
    let (code, out, err) = list();
    assert_eq!(
        (code, &*out),
        (0, "a@example.org\tAdmin\tadmin\tnever signed in\n"),
        "{err}"
    );
    let (status, cookie) = service.sign_in("a@example.org", "the first password");
    assert_eq!(status, 200);
    assert!(list().1.contains("\tsigned in 20"), "{}", list().1);

    let reset = [
        "admin",
        "reset-password",
        "--email",
        "a@example.org",
        "--password-stdin",
    ];
    let (code, _, err) = with_input(rollcall(data.path(), &reset), "the second password\n");
    assert_eq!(code, 0, "{err}");
    assert_eq!(
        service.sign_in("a@example.org", "the first password").0,
        401
    );
    assert_eq!(
        service.sign_in("a@example.org", "the second password").0,
        200
    );
    let session = Service::client()
        .get(format!("http://127.0.0.1:{}/api/session", service.port))
        .header("cookie", &cookie)
        .send()
        .unwrap();
    assert_eq!(
        session.status().as_u16(),
        401,
        "the earlier session has ended"
    );
    let (code, _, err) = run(&mut rollcall(
        data.path(),
        &["admin", "add", "b@example.org"],
    ));
    assert!(code == 1 && err.contains("--password-stdin"), "{err}");
    assert_eq!(service.stop(), 0);
}

#[test]
fn an_import_beside_a_running_service_updates_its_gallery_and_can_be_repeated() {
    if runtime::missing() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let admin = [
        ("ADMIN_EMAIL", "a@example.org"),
        ("ADMIN_PASSWORD", "the first password"),
    ];
    let service = Service::start(data.path(), &admin);
    assert!(service.link.is_none());
    assert_eq!(
        service.sign_in("a@example.org", "the first password").0,
        200
    );
    let photos = photos();
    let from = photos.path().to_str().unwrap();

    let (code, _, err) = run(&mut rollcall(data.path(), &["employees", "import", from]));
    assert!(code == 2 && err.contains("--consent"), "{err}");

    let import = ["employees", "import", from, "--consent"];
    let (code, out, err) = run(&mut rollcall(data.path(), &import));
    assert!(
        out.contains("1 enrolled with 2 photos, 0 already enrolled, 1 added without a face"),
        "{out}{err}"
    );
    assert!(err.contains("9 Nobody/1.jpg: two faces"), "{err}");
    assert_eq!(code, 1, "a person was added without a face");

    let begin = Instant::now();
    while !service.get("/readyz").1.contains("1 people") {
        assert!(begin.elapsed() < PATIENCE, "{}", service.get("/readyz").1);
        std::thread::sleep(Duration::from_millis(100));
    }

    fs::remove_dir_all(photos.path().join("9 Nobody")).unwrap();
    let (code, out, err) = run(&mut rollcall(data.path(), &import));
    assert!(
        code == 0 && out.contains("0 enrolled with 0 photos, 1 already enrolled"),
        "{out}{err}"
    );
    assert_eq!(service.stop(), 0);
}

#[test]
fn a_lost_key_is_not_replaced_while_faces_are_encrypted_with_it() {
    if runtime::missing() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let photos = photos();
    fs::remove_dir_all(photos.path().join("9 Nobody")).unwrap();
    let from = photos.path().to_str().unwrap();
    let import = ["employees", "import", from, "--consent"];
    let (code, _, err) = run(&mut rollcall(data.path(), &import));
    assert_eq!(code, 0, "{err}");
    let key = data.path().join("template.key");
    fs::remove_file(&key).unwrap();

    let serve = || run(rollcall(data.path(), &["serve"]).env("PORT", "0"));
    let (code, _, err) = serve();
    assert_eq!(code, 1, "{err}");
    for part in ["template.key", "TEMPLATE_KEY", "employees delete-faces"] {
        assert!(err.contains(part), "{part}: {err}");
    }
    assert!(!key.exists());
    let doctor = |key: Option<&str>| {
        let mut command = rollcall(data.path(), &["doctor"]);
        command.envs(key.map(|key| ("TEMPLATE_KEY", key)));
        let (code, out, _) = run(command.env("PORT", "0"));
        (code, out)
    };
    let other = "ab".repeat(32);
    for key in [None, Some(&*other)] {
        let (code, out) = doctor(key);
        assert!(
            code == 1 && out.contains("FAILED  faces        1 of 1 enrolled cannot be decrypted"),
            "{out}"
        );
    }

    let (code, _, err) = run(&mut rollcall(data.path(), &["employees", "delete-faces"]));
    assert!(code == 2 && err.contains("--yes"), "{err}");
    let delete = ["employees", "delete-faces", "--yes"];
    let (code, out, err) = run(&mut rollcall(data.path(), &delete));
    assert!(code == 0 && out.contains("faces of 1 people"), "{out}{err}");
    let (code, out) = doctor(None);
    assert!(code == 0 && out.contains("nobody is enrolled"), "{out}");
    let (code, out, err) = run(&mut rollcall(data.path(), &import));
    assert!(
        code == 0 && out.contains("1 enrolled with 2 photos"),
        "{out}{err}"
    );
    let (code, out) = doctor(None);
    assert!(
        code == 0 && out.contains("1 enrolled, all can be decrypted"),
        "{out}"
    );
}

#[test]
fn faces_that_cannot_be_decrypted_are_logged_in_one_line() {
    if runtime::missing() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let photos = photos();
    let (from, two) = ("44 Barack Obama", "46 Joe Biden/1.jpg");
    fs::create_dir(photos.path().join("46 Joe Biden")).unwrap();
    fs::copy("tests/fixtures/faces/biden.jpg", photos.path().join(two)).unwrap();
    assert!(photos.path().join(from).is_dir());
    let from = photos.path().to_str().unwrap().to_owned();
    let import = ["employees", "import", &from, "--consent"];
    let key = |digit: &str| ("TEMPLATE_KEY", digit.repeat(64));
    let with = |digit| run(rollcall(data.path(), &import).envs([key(digit)]));
    let (_, out, err) = with("1");
    assert!(out.contains("2 enrolled with 3 photos"), "{out}{err}");
    let (_, out, err) = with("2");
    assert!(out.contains("2 already enrolled"), "{out}{err}");
    assert_eq!(err.matches("ERROR").count(), 1, "{err}");
    assert!(err.contains("people=2"), "{err}");
}

#[test]
fn the_documented_consent_text_is_the_one_that_enrollment_shows() {
    use rollcall::domain::employees::{CONSENT_TEXT, CONSENT_VERSION};
    let privacy = fs::read_to_string("docs/PRIVACY.md").unwrap();
    assert!(privacy.contains(&format!("\n> {CONSENT_TEXT}\n")));
    assert!(privacy.contains(&format!("The version today is `{CONSENT_VERSION}`:")));
}

#[test]
fn the_demo_succeeds_and_leaves_nothing_behind() {
    if runtime::missing() {
        return;
    }
    let temporary = tempfile::tempdir().unwrap();
    let (code, out, err) =
        run(rollcall(temporary.path(), &["demo"]).env("TMPDIR", temporary.path()));
    assert_eq!(code, 0, "{out}{err}");
    assert!(
        out.contains("Barack Obama, in") && out.contains("Barack Obama, out"),
        "{out}"
    );
    assert!(out.contains("not enrolled: nobody"), "{out}");
    assert!(out.contains("waiting for the cooldown"), "{out}");
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
}

#[test]
fn the_demo_fails_without_onnx_runtime() {
    let temporary = tempfile::tempdir().unwrap();
    let mut command = rollcall(temporary.path(), &["demo"]);
    let (code, _, err) = run(command.env("ORT_DYLIB_PATH", "/none/such.so"));
    assert!(
        code == 1 && err.contains("ONNX Runtime was not found"),
        "{err}"
    );
}

#[test]
fn models_are_listed_and_verified() {
    if runtime::missing() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    for name in ["mobilefacenet", "builtin"] {
        let mut list = rollcall(data.path(), &["models", "list"]);
        let (code, out, err) = run(list.env("MODEL_PACK", name));
        assert!(
            code == 0 && out.contains("* mobilefacenet") && out.contains("calibrated"),
            "{out}{err}"
        );
        assert!(
            out.contains("  dlib") && out.contains("trained on: MS1M-V2"),
            "{out}"
        );
    }
    let (code, out, err) = run(&mut rollcall(data.path(), &["models", "verify"]));
    assert!(code == 0 && out.contains("the models run"), "{out}{err}");
    let (code, _, err) = run(&mut rollcall(
        data.path(),
        &["models", "verify", "none-such"],
    ));
    assert!(code == 1 && err.contains("none-such"), "{err}");
}

#[test]
fn the_curl_commands_of_the_readme_work_in_order() {
    if runtime::missing() {
        return;
    }
    if Command::new("curl").arg("--version").output().is_err() {
        println!("skipped: the curl commands of the README, because curl is not installed");
        return;
    }
    let readme = fs::read_to_string("README.md").unwrap();
    let block = readme
        .split_once("<!-- a test runs what follows -->\n```sh\n")
        .unwrap()
        .1;
    let block = block.split_once("```").unwrap().0;
    let data = tempfile::tempdir().unwrap();
    let admin = [
        ("ADMIN_EMAIL", "admin@example.org"),
        ("ADMIN_PASSWORD", "a long pass phrase"),
    ];
    let service = Service::start(data.path(), &admin);
    let mut shell = Command::new("sh");
    shell
        .args(["-eu", "-c", block])
        .env("ROLLCALL", format!("http://127.0.0.1:{}", service.port))
        .env("TMPDIR", data.path());
    let (code, out, err) = run(&mut shell);
    assert_eq!(code, 0, "{out}{err}");
    for outcome in [
        "\"outcome\":\"punched\"",
        "\"outcome\":\"nobody\"",
        "\"decision\":\"identified\"",
    ] {
        assert!(out.contains(outcome), "{outcome}: {out}");
    }
}

#[test]
fn the_settings_of_the_readme_match_their_declarations() {
    let readme = fs::read_to_string("README.md").unwrap();
    let after = readme
        .split_once("by a test -->\n")
        .expect("the marks are there")
        .1;
    let table = after
        .split_once("<!-- /settings -->")
        .expect("the marks are there")
        .0;
    let declared = rollcall::config::settings_table();
    assert_eq!(table, declared, "put this into README.md:\n{declared}");
}

#[test]
fn an_unknown_pack_fails_with_the_list_of_packs() {
    let data = tempfile::tempdir().unwrap();
    let pull = |name| run(&mut rollcall(data.path(), &["models", "pull", name]));
    let (code, _, err) = pull("none-such");
    assert!(code == 1 && err.contains("opencv"), "{err}");
    assert!(err.contains("liveness-minifasnet"), "{err}");
}

#[test]
fn a_calibrated_pack_passes_the_doctor() {
    if runtime::missing() {
        return;
    }
    let faces = Path::new("../shared/faces/people");
    if !faces.is_dir() {
        println!("skipped: calibrating a pack, because there are no photos of many people");
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let pack = data.path().join("models/mine");
    fs::create_dir_all(&pack).unwrap();
    for file in ["detector.onnx", "embedder.onnx", "embedder-int8.onnx"] {
        fs::copy(
            Path::new("models/mobilefacenet").join(file),
            pack.join(file),
        )
        .unwrap();
    }
    let manifest = fs::read_to_string("models/mobilefacenet/pack.toml").unwrap();
    let (before, after) = manifest.split_once("\n[calibration]").unwrap();
    let after = after
        .split_once("\n[[sources]]")
        .map_or("", |(_, after)| after);
    let manifest =
        format!("{before}\n[[sources]]{after}").replace("id = \"mobilefacenet\"", "id = \"mine\"");
    fs::write(pack.join("pack.toml"), manifest).unwrap();

    let mut doctor = rollcall(data.path(), &["doctor"]);
    let (code, out, _) = run(doctor.env("PORT", "0").env("MODEL_PACK", "mine"));
    assert!(code == 1 && out.contains("not calibrated"), "{out}");

    let faces = faces.to_str().unwrap();
    let calibrate = ["models", "calibrate", "mine", faces, "--write"];
    let (code, out, err) = run(&mut rollcall(data.path(), &calibrate));
    assert!(
        code == 0 && out.contains("[calibration]") && out.contains("written"),
        "{out}{err}"
    );
    println!("{out}");

    let (code, _, err) = run(&mut rollcall(data.path(), &calibrate));
    assert!(code == 1 && err.contains("has a calibration"), "{err}");
    let mut doctor = rollcall(data.path(), &["doctor"]);
    let (code, out, _) = run(doctor.env("PORT", "0").env("MODEL_PACK", "mine"));
    assert!(code == 0 && out.contains("models run"), "{out}");
}
