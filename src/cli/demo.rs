//! `rollcall demo`: shows the main workflow end to end, over the HTTP API of a service that listens
//! on loopback and stores its data in a temporary folder.

use std::{
    collections::BTreeMap,
    process::ExitCode,
    time::{Duration, Instant},
};

use jiff::{Zoned, tz::TimeZone};
use reqwest::blocking::{
    Client as HttpClient, RequestBuilder,
    multipart::{Form, Part},
};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::Failure;
use crate::{
    boot::Running,
    clock::{Clock, SystemClock},
    config::{Environment, NotUnicode, Settings, Source},
    http_client, telemetry,
};

/// Official portraits in the public domain; see tests/fixtures/faces/README.md.
mod portraits {
    pub const OBAMA: &[&[u8]] = &[
        include_bytes!("../../tests/fixtures/faces/obama.jpg"),
        include_bytes!("../../tests/fixtures/faces/obama2.jpg"),
    ];
    pub const OBAMA_AT_THE_KIOSK: &[u8] = include_bytes!("../../tests/fixtures/faces/obama3.jpg");
    pub const BIDEN: &[u8] = include_bytes!("../../tests/fixtures/faces/biden.jpg");
    pub const HOPPER: &[u8] = include_bytes!("../../tests/fixtures/faces/hopper.jpg");
}

const COOLDOWN: Duration = Duration::from_secs(8);

/// The settings of the demo. Only those for models, the engine and the log come from the
/// environment.
struct DemoSource(BTreeMap<&'static str, String>);

impl Source for DemoSource {
    fn get(&self, name: &str) -> Result<Option<String>, NotUnicode> {
        const PASSED_ON: [&str; 7] = [
            "MODEL_PACK",
            "MODELS_DIR",
            "PRECISION",
            "ENGINE_THREADS",
            "ORT_DYLIB_PATH",
            "LOG_FORMAT",
            "RUST_LOG",
        ];
        match self.0.get(name) {
            Some(text) => Ok(Some(text.clone())),
            None if PASSED_ON.contains(&name) => Environment.get(name),
            None => Ok(None),
        }
    }
}

impl DemoSource {
    fn new(folder: &std::path::Path) -> Self {
        // Half a day from now, so that no workday ends during the demo.
        let hour = Zoned::new(SystemClock.now(), TimeZone::UTC).hour();
        Self(BTreeMap::from([
            ("DATA_DIR", folder.display().to_string()),
            ("PORT", "0".to_owned()),
            ("COOLDOWN", format!("{}s", COOLDOWN.as_secs())),
            // The demo has one portrait to punch with.
            ("REPLAY_WINDOW", "off".to_owned()),
            ("WORKDAY_STARTS", format!("{:02}:00", (hour + 12) % 24)),
            ("LOG_LEVEL", "warn".to_owned()),
        ]))
    }
}

pub(super) fn run() -> Result<ExitCode, Failure> {
    let folder = tempfile::Builder::new()
        .prefix("rollcall-demo-")
        .tempdir()?;
    let settings = Settings::read(&DemoSource::new(folder.path())).map_err(Failure::Settings)?;
    telemetry::start_log(&settings.log);
    super::block_on(async {
        let begin = Instant::now();
        let running = Running::start(&settings).await?;
        println!(
            "Started a service in a temporary folder, in {} ms:",
            begin.elapsed().as_millis()
        );
        for (what, line) in running
            .lines
            .iter()
            .filter(|(what, _)| ["models", "engine", "address"].contains(what))
        {
            println!("  {what:<8} {line}");
        }
        let token = running
            .setup_token
            .clone()
            .ok_or_else(|| unexpected("there is no setup token"))?;
        let base = format!("http://{}", running.address);
        let (stop, abort) = (CancellationToken::new(), CancellationToken::new());
        let play = async {
            let played =
                tokio::task::spawn_blocking(move || play(&base, token.expose_secret())).await;
            stop.cancel();
            played
        };
        let (served, played) = tokio::join!(running.serve(stop.clone(), abort), play);
        played??;
        served?;
        println!(
            "\nThe demo succeeded in {:.1} s.",
            begin.elapsed().as_secs_f32()
        );
        Ok(ExitCode::SUCCESS)
    })
}

fn unexpected(what: impl Into<String>) -> Failure {
    Failure::Refused(format!("the demo failed: {}", what.into()))
}

fn play(base: &str, setup_token: &str) -> Result<(), Failure> {
    let mut client = Client::new(base)?;

    println!("\nSetting up");
    let admin = json!({
        "token": setup_token, "email": "admin@example.org", "name": "Admin", "password": setup_token,
    });
    let answer = client.json("/api/setup", &admin)?;
    answer.expect(201)?;
    answer.print("created the first admin, who is signed in");

    println!("\nEnrolling");
    client.enroll("Barack Obama", "44", portraits::OBAMA)?;
    client.enroll("Joe Biden", "46", &[portraits::BIDEN])?;

    println!("\nPairing a kiosk");
    let answer = client.json("/api/devices", &json!({"name": "Front door"}))?;
    answer.expect(201)?;
    answer.print("the kiosk received its own token");
    let kiosk = Kiosk {
        client: &client,
        token: answer.text("/token")?,
    };

    println!("\nPunching");
    let came = kiosk.punch(portraits::OBAMA_AT_THE_KIOSK, "morning")?;
    // No earlier than the punch, so that the cooldown has passed after this time.
    let punched = Instant::now();
    came.expect(201)?
        .expect_text("/outcome", "punched")?
        .expect_text("/punch/kind", "in")?;
    came.expect_text("/name", "Barack Obama")?;
    came.print(&format!(
        "a photo that was not enrolled: {}",
        came.numbers("Barack Obama, in")
    ));

    let again = kiosk.punch(portraits::OBAMA_AT_THE_KIOSK, "morning")?;
    again
        .expect(200)?
        .expect_text("/punch/id", &came.text("/punch/id")?)?;
    again.print("the network fails and the kiosk retries: the response is the same punch");

    let soon = kiosk.punch(portraits::OBAMA_AT_THE_KIOSK, "a second later")?;
    soon.expect(200)?.expect_text("/outcome", "cooldown")?;
    soon.print("he stays in front of the camera: cooldown, no second punch");

    let stranger = kiosk.punch(portraits::HOPPER, "a stranger")?;
    stranger.expect(200)?.expect_text("/outcome", "nobody")?;
    stranger.print(&format!(
        "a person who is not enrolled: {}",
        stranger.numbers("nobody")
    ));

    let colleague = kiosk.punch(portraits::BIDEN, "colleague")?;
    colleague
        .expect(201)?
        .expect_text("/name", "Joe Biden")?
        .expect_text("/punch/kind", "in")?;
    colleague.print(&format!(
        "a colleague: {}",
        colleague.numbers("Joe Biden, in")
    ));

    println!(
        "            … waiting for the cooldown, {} s",
        COOLDOWN.as_secs()
    );
    std::thread::sleep((COOLDOWN + Duration::from_millis(100)).saturating_sub(punched.elapsed()));
    let left = kiosk.punch(portraits::OBAMA_AT_THE_KIOSK, "evening")?;
    left.expect(201)?
        .expect_text("/punch/kind", "out")?
        .expect_text("/name", "Barack Obama")?;
    left.print(&format!(
        "after the cooldown: {}",
        left.numbers("Barack Obama, out")
    ));

    println!("\nThe day on the desk");
    let day = client.get("/api/punches")?;
    day.expect(200)?;
    let punches = day
        .body
        .pointer("/items")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let mut seen = Vec::new();
    for punch in punches.iter().rev() {
        let text = |field: &str| {
            let value = punch.pointer(&format!("/{field}"));
            value.and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let time = text("at").get(11..19).unwrap_or_default().to_owned();
        println!(
            "  {time} UTC  {:<14} {:<4} {}",
            text("name"),
            text("kind"),
            text("origin/name")
        );
        seen.push((text("name"), text("kind")));
    }
    let wanted = [
        ("Barack Obama", "in"),
        ("Joe Biden", "in"),
        ("Barack Obama", "out"),
    ];
    let same = seen
        .iter()
        .map(|(name, kind)| (name.as_str(), kind.as_str()))
        .eq(wanted);
    if same {
        Ok(())
    } else {
        Err(unexpected(format!(
            "the punches should be {wanted:?}, but are {seen:?}"
        )))
    }
}

/// A kiosk with its own token.
struct Kiosk<'a> {
    client: &'a Client,
    token: String,
}

impl Kiosk<'_> {
    fn punch(&self, photo: &'static [u8], key: &str) -> Result<Answer, Failure> {
        let request = self.client.post("/api/punches");
        Answer::to(
            request
                .header("content-type", "image/jpeg")
                .bearer_auth(&self.token)
                .header("idempotency-key", key.replace(' ', "-"))
                .body(photo),
        )
    }
}

/// A simple HTTP client that stores the session cookie.
struct Client {
    base: String,
    http: HttpClient,
    cookie: String,
}

impl Client {
    fn new(base: &str) -> Result<Self, Failure> {
        let http = http_client::blocking()
            .timeout(Duration::from_secs(60))
            .no_proxy()
            .build()?;
        Ok(Self {
            base: base.to_owned(),
            http,
            cookie: String::new(),
        })
    }

    fn get(&self, path: &str) -> Result<Answer, Failure> {
        let request = self.http.get(format!("{}{path}", self.base));
        Answer::to(request.header("cookie", &self.cookie))
    }

    fn post(&self, path: &str) -> RequestBuilder {
        self.http.post(format!("{}{path}", self.base))
    }

    fn json(&mut self, path: &str, body: &Value) -> Result<Answer, Failure> {
        let request = self.post(path).header("cookie", &self.cookie);
        let answer = Answer::to(request.json(body))?;
        if let Some(cookie) = &answer.cookie {
            self.cookie.clone_from(cookie);
        }
        Ok(answer)
    }

    fn enroll(&mut self, name: &str, code: &str, photos: &[&'static [u8]]) -> Result<(), Failure> {
        let employee = self.json("/api/employees", &json!({"name": name, "code": code}))?;
        let id = employee.expect(201)?.text("/id")?;
        let mut form = Form::new().text("employee", id).text("consent", "true");
        for photo in photos {
            let part = Part::bytes(*photo).file_name("photo.jpg");
            form = form.part("photo", part.mime_str("image/jpeg")?);
        }
        let request = self.post("/api/enroll").header("cookie", &self.cookie);
        let answer = Answer::to(request.multipart(form))?;
        answer.expect(201)?;
        let templates = answer.body["templates"].as_u64().unwrap_or_default();
        if templates != photos.len() as u64 {
            return Err(unexpected(format!(
                "{} photos of {name} gave {templates} templates",
                photos.len()
            )));
        }
        answer.print(&format!(
            "{name}, from {} photo{}",
            photos.len(),
            if photos.len() == 1 { "" } else { "s" }
        ));
        Ok(())
    }
}

/// A response of the service, with its duration.
struct Answer {
    status: u16,
    cookie: Option<String>,
    body: Value,
    took: Duration,
}

impl Answer {
    /// Sends a request and reads the answer to it.
    fn to(request: RequestBuilder) -> Result<Self, Failure> {
        let begin = Instant::now();
        let answer = request.send()?;
        let cookie = answer
            .headers()
            .get("set-cookie")
            .and_then(|value| value.to_str().ok()?.split(';').next().map(str::to_owned));
        let status = answer.status().as_u16();
        let body = serde_json::from_str(&answer.text()?).unwrap_or(Value::Null);
        Ok(Self {
            status,
            cookie,
            body,
            took: begin.elapsed(),
        })
    }

    fn expect(&self, status: u16) -> Result<&Self, Failure> {
        if self.status == status {
            Ok(self)
        } else {
            Err(unexpected(format!(
                "the response should be {status}, but is {} {}",
                self.status, self.body
            )))
        }
    }

    fn expect_text(&self, pointer: &str, wanted: &str) -> Result<&Self, Failure> {
        match self.body.pointer(pointer).and_then(Value::as_str) {
            Some(text) if text == wanted => Ok(self),
            _ => Err(unexpected(format!(
                "{pointer} should be {wanted:?} in {}",
                self.body
            ))),
        }
    }

    fn text(&self, pointer: &str) -> Result<String, Failure> {
        let text = self.body.pointer(pointer).and_then(Value::as_str);
        text.map(str::to_owned)
            .ok_or_else(|| unexpected(format!("the response has no {pointer}")))
    }

    /// Formats the decision with its numbers.
    fn numbers(&self, decision: &str) -> String {
        match (
            self.body["similarity"].as_f64(),
            self.body["threshold"].as_f64(),
        ) {
            (Some(similarity), Some(threshold)) => {
                format!("{decision} (similarity {similarity:.3}, threshold {threshold:.3})")
            }
            _ => decision.to_owned(),
        }
    }

    fn print(&self, what: &str) {
        println!("  {:>5} ms  {what}", self.took.as_millis());
    }
}
