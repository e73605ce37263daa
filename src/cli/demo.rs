//! `rollcall demo`: the main job, end to end, over the HTTP API of a service of its own that
//! listens on loopback and keeps its data in a temporary folder.

use std::{
    collections::BTreeMap,
    process::ExitCode,
    time::{Duration, Instant},
};

use jiff::{Zoned, tz::TimeZone};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::Failure;
use crate::{
    boot::Running,
    clock::{Clock, SystemClock},
    config::{Environment, NotUnicode, Settings, Source},
    telemetry,
};

/// Official portraits in the public domain, see tests/fixtures/faces/README.md.
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

/// The demo's own settings. Of the environment only what says which models run, and how.
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
        // Half a day away, so that no workday ends in the middle of the demo.
        let hour = Zoned::new(SystemClock.now(), TimeZone::UTC).hour();
        Self(BTreeMap::from([
            ("DATA_DIR", folder.display().to_string()),
            ("PORT", "0".to_owned()),
            ("COOLDOWN", format!("{}s", COOLDOWN.as_secs())),
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
            "A service of its own, in a temporary folder, started in {} ms:",
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
            .ok_or_else(|| unexpected("no set-up token"))?;
        let base = format!("http://{}", running.address);
        let (stop, hurry) = (CancellationToken::new(), CancellationToken::new());
        let play = async {
            let played =
                tokio::task::spawn_blocking(move || play(&base, token.expose_secret())).await;
            stop.cancel();
            played
        };
        let (served, played) = tokio::join!(running.serve(stop.clone(), hurry), play);
        played??;
        served?;
        println!(
            "\nAll as it should be, in {:.1} s.",
            begin.elapsed().as_secs_f32()
        );
        Ok(ExitCode::SUCCESS)
    })
}

fn unexpected(what: impl Into<String>) -> Failure {
    Failure::Refused(format!("the demo did not go as it should: {}", what.into()))
}

fn play(base: &str, setup_token: &str) -> Result<(), Failure> {
    let mut client = Client::new(base);

    println!("\nSetting up");
    let admin = json!({
        "token": setup_token, "email": "admin@example.org", "name": "Admin", "password": setup_token,
    });
    let answer = client.json("/api/setup", &admin)?;
    answer.expect(201)?;
    answer.tell("the first admin signs in");

    println!("\nEnrolling");
    client.enroll("Barack Obama", "44", portraits::OBAMA)?;
    client.enroll("Joe Biden", "46", &[portraits::BIDEN])?;

    println!("\nPairing a kiosk");
    let answer = client.json("/api/devices", &json!({"name": "Front door"}))?;
    answer.expect(201)?;
    answer.tell("it gets a token of its own");
    let kiosk = Kiosk {
        client: &client,
        token: answer.text("/token")?,
    };

    println!("\nPunching");
    let begin = Instant::now();
    let came = kiosk.punch(portraits::OBAMA_AT_THE_KIOSK, "morning")?;
    came.expect(201)?
        .expect_text("/outcome", "punched")?
        .expect_text("/punch/kind", "in")?;
    came.expect_text("/name", "Barack Obama")?;
    came.tell(&format!(
        "a photo that was never enrolled: {}",
        came.numbers("Barack Obama, in")
    ));

    let again = kiosk.punch(portraits::OBAMA_AT_THE_KIOSK, "morning")?;
    again
        .expect(200)?
        .expect_text("/punch/id", &came.text("/punch/id")?)?;
    again.tell("the network fails and the kiosk sends it again: the same punch is answered");

    let soon = kiosk.punch(portraits::OBAMA_AT_THE_KIOSK, "a second later")?;
    soon.expect(200)?.expect_text("/outcome", "cooldown")?;
    soon.tell("he stays in front of the camera: cooldown, no second punch");

    let stranger = kiosk.punch(portraits::HOPPER, "a stranger")?;
    stranger.expect(200)?.expect_text("/outcome", "nobody")?;
    stranger.tell(&format!(
        "somebody who is not enrolled: {}",
        stranger.numbers("nobody")
    ));

    let colleague = kiosk.punch(portraits::BIDEN, "colleague")?;
    colleague
        .expect(201)?
        .expect_text("/name", "Joe Biden")?
        .expect_text("/punch/kind", "in")?;
    colleague.tell(&format!(
        "the other one: {}",
        colleague.numbers("Joe Biden, in")
    ));

    println!(
        "            … waiting for the cooldown, {} s",
        COOLDOWN.as_secs()
    );
    std::thread::sleep((COOLDOWN + Duration::from_millis(100)).saturating_sub(begin.elapsed()));
    let left = kiosk.punch(portraits::OBAMA_AT_THE_KIOSK, "evening")?;
    left.expect(201)?
        .expect_text("/punch/kind", "out")?
        .expect_text("/name", "Barack Obama")?;
    left.tell(&format!(
        "after the cooldown: {}",
        left.numbers("Barack Obama, out")
    ));

    println!("\nThe day, as the desk sees it");
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
        let text = |field: &str| punch[field].as_str().unwrap_or_default().to_owned();
        let time = text("at").get(11..19).unwrap_or_default().to_owned();
        println!(
            "  {time} UTC  {:<14} {:<4} {}",
            text("name"),
            text("kind"),
            text("device_name")
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
            "the day should be {wanted:?}, it is {seen:?}"
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
        let request = self
            .client
            .post("/api/punches")
            .header("content-type", "image/jpeg")
            .header("authorization", format!("Bearer {}", self.token))
            .header("idempotency-key", key.replace(' ', "-"));
        self.client.send(request, photo)
    }
}

/// A browser of sorts: keeps the session cookie.
struct Client {
    base: String,
    agent: ureq::Agent,
    cookie: String,
}

impl Client {
    fn new(base: &str) -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(60)))
            .build()
            .new_agent();
        Self {
            base: base.to_owned(),
            agent,
            cookie: String::new(),
        }
    }

    fn get(&self, path: &str) -> Result<Answer, Failure> {
        let begin = Instant::now();
        let answer = self
            .agent
            .get(format!("{}{path}", self.base))
            .header("cookie", &self.cookie)
            .call()?;
        Answer::read(answer, begin)
    }

    fn json(&mut self, path: &str, body: &Value) -> Result<Answer, Failure> {
        let request = self
            .post(path)
            .header("content-type", "application/json")
            .header("cookie", &self.cookie);
        let answer = self.send(request, body.to_string().as_bytes())?;
        if let Some(cookie) = &answer.cookie {
            self.cookie.clone_from(cookie);
        }
        Ok(answer)
    }

    fn enroll(&mut self, name: &str, code: &str, photos: &[&[u8]]) -> Result<(), Failure> {
        let employee = self.json("/api/employees", &json!({"name": name, "code": code}))?;
        let id = employee.expect(201)?.text("/id")?;
        let mut form = Form::default();
        form.part("name=\"employee\"", None, id.as_bytes());
        form.part("name=\"consent\"", None, b"true");
        for photo in photos {
            form.part(
                "name=\"photo\"; filename=\"photo.jpg\"",
                Some("image/jpeg"),
                photo,
            );
        }
        let request = self
            .post("/api/enroll")
            .header(
                "content-type",
                format!("multipart/form-data; boundary={BOUNDARY}"),
            )
            .header("cookie", &self.cookie);
        let answer = self.send(request, &form.finish())?;
        answer.expect(201)?;
        let templates = answer.body["templates"].as_u64().unwrap_or_default();
        if templates != photos.len() as u64 {
            return Err(unexpected(format!(
                "{} photos of {name} made {templates} templates",
                photos.len()
            )));
        }
        answer.tell(&format!(
            "{name}, from {} photo{}",
            photos.len(),
            if photos.len() == 1 { "" } else { "s" }
        ));
        Ok(())
    }

    fn send(&self, request: ureq::http::request::Builder, body: &[u8]) -> Result<Answer, Failure> {
        let begin = Instant::now();
        Answer::read(self.agent.run(request.body(body)?)?, begin)
    }

    fn post(&self, path: &str) -> ureq::http::request::Builder {
        ureq::http::Request::post(format!("{}{path}", self.base))
    }
}

const BOUNDARY: &str = "rollcall-demo-boundary";

/// A multipart form.
#[derive(Default)]
struct Form(Vec<u8>);

impl Form {
    fn part(&mut self, disposition: &str, kind: Option<&str>, content: &[u8]) {
        let kind = kind.map_or(String::new(), |kind| format!("content-type: {kind}\r\n"));
        let head =
            format!("--{BOUNDARY}\r\ncontent-disposition: form-data; {disposition}\r\n{kind}\r\n");
        self.0.extend_from_slice(head.as_bytes());
        self.0.extend_from_slice(content);
        self.0.extend_from_slice(b"\r\n");
    }

    fn finish(mut self) -> Vec<u8> {
        self.0
            .extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
        self.0
    }
}

/// What the service answered, and how long it took.
struct Answer {
    status: u16,
    cookie: Option<String>,
    body: Value,
    took: Duration,
}

impl Answer {
    fn read(mut answer: ureq::http::Response<ureq::Body>, begin: Instant) -> Result<Self, Failure> {
        let cookie = answer
            .headers()
            .get("set-cookie")
            .and_then(|value| value.to_str().ok()?.split(';').next().map(str::to_owned));
        let text = answer.body_mut().read_to_string()?;
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(Self {
            status: answer.status().as_u16(),
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
                "the answer should be {status}, it is {} {}",
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
            .ok_or_else(|| unexpected(format!("no {pointer} in the answer")))
    }

    /// What was decided, and on which numbers.
    fn numbers(&self, decision: &str) -> String {
        match (
            self.body["similarity"].as_f64(),
            self.body["threshold"].as_f64(),
        ) {
            (Some(similarity), Some(threshold)) => {
                format!("{decision} (similarity {similarity:.3}, needed {threshold:.3})")
            }
            _ => decision.to_owned(),
        }
    }

    fn tell(&self, what: &str) {
        println!("  {:>5} ms  {what}", self.took.as_millis());
    }
}
