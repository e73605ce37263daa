//! The real program as a process, and people and devices that use it over HTTP.

use std::{
    fs::{File, OpenOptions},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use reqwest::{Client, Method, RequestBuilder, header, multipart};
use rollcall::http_client;
use serde_json::Value;

use crate::ports::free_port;

/// The most time that a test waits for something.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `look` finds something; returns it.
pub async fn until<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begin.elapsed() < PATIENCE, "waited too long for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A running program, with its own folder, at an address that survives a restart. It ends when this
/// is dropped.
pub struct Service {
    child: Child,
    folder: tempfile::TempDir,
    port: u16,
    settings: Vec<(&'static str, String)>,
    cookies: Arc<Mutex<Vec<String>>>,
}

impl Service {
    pub async fn start(settings: Vec<(&'static str, String)>) -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let child = spawn(folder.path(), port, &settings);
        let mut service = Self {
            child,
            folder,
            port,
            settings,
            cookies: Arc::default(),
        };
        service.until_ready().await;
        service
    }

    pub fn address(&self) -> String {
        address(self.port)
    }

    /// Ends it without a chance to finish anything.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again after [`kill`](Self::kill), with the same data.
    pub async fn restart(&mut self) {
        self.child = spawn(self.folder.path(), self.port, &self.settings);
        self.until_ready().await;
    }

    /// Asks it to stop, and waits; returns its exit code.
    pub async fn stop(&mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &id]).status();
        assert!(asked.unwrap().success());
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(begin.elapsed() < PATIENCE, "it does not stop");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn until_ready(&mut self) {
        let nobody = self.caller();
        let begin = Instant::now();
        loop {
            let request = nobody.request(Method::GET, "/readyz").send().await;
            if request.is_ok_and(|answer| answer.status() == 200) {
                return;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "it does not start: {}", self.log());
            assert!(begin.elapsed() < PATIENCE, "it is not ready in time");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Returns what it printed.
    pub fn output(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("stdout")).unwrap()
    }

    /// Returns its log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("stderr")).unwrap()
    }

    /// Returns the files of its data.
    pub fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let entries = std::fs::read_dir(self.folder.path().join("data")).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths
            .filter(|path| path.is_file())
            .map(|path| (path.clone(), std::fs::read(path).unwrap()))
            .collect()
    }

    /// Returns the values of all cookies that it set.
    pub fn cookies(&self) -> Vec<String> {
        self.cookies.lock().unwrap().clone()
    }

    /// Returns a new browser.
    pub fn caller(&self) -> Caller {
        // No connection is kept, because the program may be another one for the next request.
        let client = http_client::builder()
            .cookie_store(true)
            .pool_max_idle_per_host(0)
            .timeout(PATIENCE);
        Caller {
            client: client.build().unwrap(),
            address: self.address(),
            token: None,
            cookies: self.cookies.clone(),
        }
    }

    /// Returns a device or program with a token.
    pub fn bearer(&self, token: &str) -> Caller {
        Caller {
            token: Some(token.to_owned()),
            ..self.caller()
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // The test may have ended it already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
    }
}

fn address(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

fn spawn(folder: &Path, port: u16, settings: &[(&'static str, String)]) -> Child {
    let file = |name: &str| -> File {
        let path = folder.join(name);
        let options = OpenOptions::new().create(true).append(true).open(path);
        options.unwrap()
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollcall"));
    command.env_clear();
    if let Some(path) = std::env::var_os("ORT_DYLIB_PATH") {
        command.env("ORT_DYLIB_PATH", path);
    }
    command
        .arg("serve")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("PORT", port.to_string())
        .env("PUBLIC_URL", address(port))
        .env("DATA_DIR", folder.join("data"))
        .env("TIME_ZONE", "UTC")
        .envs(settings.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(file("stdout"))
        .stderr(file("stderr"));
    command.spawn().unwrap()
}

/// A person with a browser, or a device.
pub struct Caller {
    client: Client,
    address: String,
    token: Option<String>,
    cookies: Arc<Mutex<Vec<String>>>,
}

impl Caller {
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self
            .client
            .request(method, format!("{}{path}", self.address));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn send(&self, request: RequestBuilder) -> Answer {
        let answer = request.send().await.unwrap();
        for cookie in answer.headers().get_all(header::SET_COOKIE) {
            let (_, rest) = cookie.to_str().unwrap().split_once('=').unwrap();
            let value = rest.split(';').next().unwrap();
            self.cookies.lock().unwrap().push(value.to_owned());
        }
        Answer {
            status: answer.status().as_u16(),
            text: answer.text().await.unwrap(),
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(self.request(Method::POST, path).json(&body))
            .await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.send(self.request(Method::PUT, path).json(&body)).await
    }

    /// Posts photos in a form.
    pub async fn photos(
        &self,
        path: &str,
        field: &'static str,
        photos: &[&str],
        texts: &[(&'static str, &str)],
    ) -> Answer {
        let mut form = multipart::Form::new();
        for name in photos {
            let part = multipart::Part::bytes(photo(name)).file_name("photo.jpg");
            form = form.part(field, part);
        }
        for (name, text) in texts {
            form = form.text(*name, (*text).to_owned());
        }
        self.send(self.request(Method::POST, path).multipart(form))
            .await
    }
}

/// Returns a photo of `tests/fixtures/faces`.
fn photo(name: &str) -> Vec<u8> {
    let faces = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/faces");
    std::fs::read(faces.join(format!("{name}.jpg"))).unwrap()
}

/// An answer of the program.
pub struct Answer {
    status: u16,
    text: String,
}

impl Answer {
    /// Returns the body; the status must be this one.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        match self.text.as_str() {
            "" => Value::Null,
            text => serde_json::from_str(text).unwrap(),
        }
    }

    /// Checks that it is a problem with this code.
    #[track_caller]
    pub fn problem(self, status: u16, code: &str) {
        assert_eq!(self.expect(status)["code"], code);
    }
}

/// Returns a text of a body.
#[track_caller]
pub fn text(body: &Value, name: &str) -> String {
    let text = body[name].as_str();
    text.unwrap_or_else(|| panic!("no {name} in {body}"))
        .to_owned()
}

/// Returns the items of a list.
#[track_caller]
pub fn items(list: &Value) -> Vec<Value> {
    list["items"].as_array().unwrap().clone()
}
