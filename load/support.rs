//! Shared by the benchmarks of the whole service: the real binary, a signed-in admin, pictures,
//! and statistics.

#![expect(dead_code, reason = "each benchmark uses a part of it")]

use std::{
    error::Error,
    io::{BufRead, BufReader, Cursor},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use image::{ImageFormat, Rgb, RgbImage, imageops};
use reqwest::{Client, multipart};
use rollcall::http_client;
use serde_json::{Value, json};

pub type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

pub const EMAIL: &str = "bench@rollcall.example";
pub const PASSWORD: &str = "only for this bench";

/// The service, stopped on drop.
pub struct Service {
    process: Child,
    pub base: String,
    folder: Arc<tempfile::TempDir>,
}

pub fn free_port() -> Outcome<u16> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    Ok(listener.local_addr()?.port())
}

impl Drop for Service {
    fn drop(&mut self) {
        // The process can have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Service {
    /// Starts a service with additional environment variables, in its own data folder or in that of
    /// another service.
    pub fn start(variables: &[(&str, &str)], beside: Option<&Self>) -> Outcome<Self> {
        let folder = match beside {
            Some(other) => other.folder.clone(),
            None => Arc::new(tempfile::tempdir()?),
        };
        let port = free_port()?;
        let process = Command::new(env!("CARGO_BIN_EXE_rollcall"))
            .arg("serve")
            .env("DATA_DIR", folder.path())
            .env("PORT", port.to_string())
            .env("ADMIN_EMAIL", EMAIL)
            .env("ADMIN_PASSWORD", PASSWORD)
            .env("RATE_LIMIT", "0")
            .env("ENROLL_LIMIT", "0")
            .env("COOLDOWN", "0s")
            .env("REPLAY_WINDOW", "off")
            .env("LOG_LEVEL", "warn")
            .envs(variables.iter().copied())
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Self {
            process,
            base: format!("http://127.0.0.1:{port}"),
            folder,
        })
    }

    /// Returns the process ID.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Returns the resident memory in MiB, from `/proc`.
    pub fn memory(&self) -> Outcome<f64> {
        self.status("VmRSS:")
    }

    /// Returns the peak of the resident memory in MiB since [`reset_peak`](Self::reset_peak).
    pub fn peak(&self) -> Outcome<f64> {
        self.status("VmHWM:")
    }

    /// Begins a new measurement of the peak.
    pub fn reset_peak(&self) -> Outcome<()> {
        let file = format!("/proc/{}/clear_refs", self.process.id());
        Ok(std::fs::write(file, "5")?)
    }

    fn status(&self, field: &str) -> Outcome<f64> {
        let status = std::fs::File::open(format!("/proc/{}/status", self.process.id()))?;
        for line in BufReader::new(status).lines() {
            if let Some(rest) = line?.strip_prefix(field) {
                let kib: f64 = rest.trim().trim_end_matches("kB").trim().parse()?;
                return Ok(kib / 1024.0);
            }
        }
        Err(format!("no {field}").into())
    }
}

/// Returns the path of a fixture portrait.
pub fn fixture(name: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/faces");
    format!("{folder}/{name}.jpg")
}

/// Scales a fixture to a height of 480 pixels, in the middle of a gray 640×480 picture.
pub fn photo(path: &str) -> Outcome<Vec<u8>> {
    let face = image::open(path)?.into_rgb8();
    let width = face.width() * 480 / face.height();
    let face = imageops::resize(&face, width.min(640), 480, imageops::FilterType::Triangle);
    let mut picture = RgbImage::from_pixel(640, 480, Rgb([128; 3]));
    imageops::overlay(&mut picture, &face, i64::from((640 - face.width()) / 2), 0);
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Jpeg)?;
    Ok(bytes.into_inner())
}

/// A registered device with a photo of a person.
pub struct Kiosk {
    pub client: Client,
    pub base: String,
    token: String,
    pub photo: Vec<u8>,
    posted: AtomicU64,
}

impl Kiosk {
    pub fn new(service: &Service, token: String, photo: Vec<u8>) -> Self {
        Self {
            client: http_client::builder()
                .build()
                .expect("a client can be made"),
            base: service.base.clone(),
            token,
            photo,
            posted: AtomicU64::new(0),
        }
    }

    /// Returns the same kiosk at another instance.
    pub fn at(&self, base: &str) -> Self {
        Self {
            client: self.client.clone(),
            base: base.to_owned(),
            token: self.token.clone(),
            photo: self.photo.clone(),
            posted: AtomicU64::new(0),
        }
    }

    /// Returns a photo that no instance has analyzed.
    fn fresh(&self) -> Vec<u8> {
        numbered(&self.photo, self.posted.fetch_add(1, Ordering::Relaxed))
    }

    pub async fn post(&self, path: &str) -> Outcome<Value> {
        self.send(path, self.fresh()).await
    }

    pub async fn send(&self, path: &str, photo: Vec<u8>) -> Outcome<Value> {
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

    pub async fn punch(&self) -> Outcome<()> {
        let answer = self.post("/api/punches").await?;
        match answer["outcome"].as_str() {
            Some("punched") => Ok(()),
            _ => Err(format!("not a punch: {answer}").into()),
        }
    }
}

/// Returns the same picture with different bytes: adds a comment after the JPEG's first marker.
pub fn numbered(photo: &[u8], number: u64) -> Vec<u8> {
    let mut bytes = photo[..2].to_vec();
    bytes.extend([0xff, 0xfe, 0, 10]);
    bytes.extend(number.to_be_bytes());
    bytes.extend(&photo[2..]);
    bytes
}

pub async fn ready(client: &Client, base: &str) -> Outcome<()> {
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

/// A signed-in admin.
pub struct Admin {
    pub client: Client,
    base: String,
}

impl Admin {
    /// Waits until the service is ready, then signs in.
    pub async fn of(service: &Service) -> Outcome<Self> {
        let client = http_client::builder().cookie_store(true).build()?;
        let base = service.base.clone();
        ready(&client, &base).await?;
        let admin = Self { client, base };
        let who = json!({"email": EMAIL, "password": PASSWORD});
        admin.post("/api/session", who).await?;
        Ok(admin)
    }

    pub async fn post(&self, path: &str, body: Value) -> Outcome<Value> {
        let url = format!("{}{path}", self.base);
        let answer = self.client.post(url).json(&body).send().await?;
        Ok(answer.error_for_status()?.json().await?)
    }

    pub async fn get(&self, path: &str) -> Outcome<Value> {
        let answer = self.client.get(format!("{}{path}", self.base)).send();
        Ok(answer.await?.error_for_status()?.json().await?)
    }

    /// Enrolls a person from the fixture with that name; returns the ID.
    pub async fn enroll(&self, name: &str) -> Outcome<String> {
        let new = json!({"name": name, "code": name});
        let person = self.post("/api/employees", new).await?;
        let id = text(&person, "id")?;
        let photo = std::fs::read(fixture(name))?;
        let form = multipart::Form::new()
            .text("employee", id.clone())
            .text("consent", "true")
            .part(
                "photo",
                multipart::Part::bytes(photo).mime_str("image/jpeg")?,
            );
        let url = format!("{}/api/enroll", self.base);
        let enrolled = self.client.post(url).multipart(form).send().await?;
        enrolled.error_for_status()?;
        Ok(id)
    }

    /// Adds a device; returns its token.
    pub async fn device(&self) -> Outcome<String> {
        let device = self.post("/api/devices", json!({"name": "Bench"})).await?;
        text(&device, "token")
    }
}

/// Returns a text member of a JSON object.
pub fn text(value: &Value, member: &str) -> Outcome<String> {
    let text = value[member].as_str();
    Ok(text
        .ok_or_else(|| format!("no {member} in {value}"))?
        .to_owned())
}

/// Returns the median and the 95th percentile in milliseconds.
pub fn percentiles(times: &mut [Duration]) -> (f64, f64) {
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    (at(0.5), at(0.95))
}
