//! TestApp: the real services and routes over SQLite in a temporary folder and the built-in
//! model pack, on a loopback port, with clients that know the API.

#[path = "streams.rs"]
pub mod streams;

use std::{
    collections::HashMap,
    future::Future,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicI64, AtomicU32, Ordering},
    },
    time::Duration,
};

use self::streams::FakeStreams;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use reqwest::{
    Method, RequestBuilder, StatusCode,
    header::{HeaderMap, HeaderName, HeaderValue},
    multipart::{Form, Part},
};
use rollcall::{
    app::App,
    boot::Shared,
    clock::{Clock, SystemClock, whole_milliseconds},
    domain::{
        accounts::{Actor, Role},
        attendance::WorkdayRule,
        biometrics::{ErrorRate, Policy},
        jobs::JobKind,
        text::{Email, Name},
    },
    gallery::MemoryGallery,
    http::{self, Settings},
    ports::{Bus, FaceEngine, Gallery, RateLimits, Stores},
    service::{
        accounts::{Accounts, NewAccount},
        application_cache::AppCache,
        audit::{Audit, Trail},
        cameras::{Cameras, Overlays},
        devices::Devices,
        employees::Employees,
        enrollment::Enrolling,
        feed::Feed,
        health::Health,
        identification::Identifying,
        jobs::{Jobs, Runner},
        pairing::{PAIRING, Pairing},
        pictures::{Keeps, Pictures},
        probing::Probing,
        punching::{PunchRules, Punching},
        references::References,
        sealed_cache::SealedCache,
    },
    storage::{
        memory::{MemoryBus, MemoryCache, MemoryLimits},
        sqlite::SqliteStore,
    },
    telemetry,
    vault::Vault,
    vision::{Cutter, Engine, EngineOptions, Pack, Runtime},
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use zeroize::Zeroizing;

/// One engine for all tests of a process: loading models takes longer than most tests.
static ENGINE: LazyLock<(Arc<Engine>, usize)> = LazyLock::new(|| {
    let runtime = Runtime::load(None).expect("run `make setup` first");
    let pack = Pack::open(project("models/builtin")).unwrap();
    let options = EngineOptions {
        threads: 2,
        queue: 256,
        ..EngineOptions::default()
    };
    let engine = Engine::start(&runtime, &pack, options).unwrap();
    (Arc::new(engine), pack.manifest().embedder.dimensions)
});

/// The password of every account here.
pub const PASSWORD: &str = "correct horse battery";

/// A path inside the project.
pub fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The bytes of a fixture portrait.
pub fn photo(name: &str) -> Vec<u8> {
    let file = project("tests/fixtures/faces").join(format!("{name}.jpg"));
    std::fs::read(file).unwrap()
}

/// The machine's clock, moved on by hand.
#[derive(Default)]
pub struct TestClock(AtomicI64);

impl TestClock {
    pub fn advance(&self, by: SignedDuration) {
        self.0.fetch_add(by.as_millis() as i64, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let moved = SignedDuration::from_millis(self.0.load(Ordering::SeqCst));
        whole_milliseconds(SystemClock.now() + moved)
    }

    fn id(&self) -> Uuid {
        SystemClock.id()
    }

    fn secret(&self) -> [u8; 32] {
        SystemClock.secret()
    }
}

type MakeDevices = Box<dyn FnOnce(&Stores, Arc<dyn Clock>) -> Devices>;

/// What a test may want otherwise.
pub struct Options {
    /// Another device service, over a store that fails.
    pub devices: Option<MakeDevices>,
    pub settings: Settings,
    pub cooldown: SignedDuration,
    pub keep_photos: bool,
    pub keeps: Keeps,
}

/// A running service.
pub struct TestApp {
    pub address: SocketAddr,
    pub app: App,
    pub stores: Stores,
    /// Does jobs when a test says so.
    pub runner: Runner,
    pub clock: Arc<TestClock>,
    pub health: Arc<telemetry::Health>,
    /// What cameras do.
    pub streams: FakeStreams,
    /// Faces that cameras see.
    pub overlays: Overlays,
    /// Cancelled to end streams.
    pub stopping: CancellationToken,
    accounts: AtomicU32,
    _folder: tempfile::TempDir,
}

impl TestApp {
    /// Without limits, with a cooldown of a minute.
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Options)) -> Self {
        let mut options = Options {
            devices: None,
            settings: Settings {
                rate_limit: 0,
                sign_in: None,
                pairing: None,
                enroll_limit: 0,
                ..Settings::default()
            },
            cooldown: SignedDuration::from_secs(60),
            keep_photos: false,
            keeps: Keeps::default(),
        };
        change(&mut options);
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("rollcall.db"))
            .await
            .unwrap();
        let stores = Stores::of(Arc::new(store));
        let clock = Arc::new(TestClock::default());
        let devices = options.devices.take();
        let bus: Arc<dyn Bus> = Arc::new(MemoryBus::default());
        let (streams, stopping) = (FakeStreams::default(), CancellationToken::new());
        let memory = Arc::new(MemoryCache::new(1 << 20));
        let overlays = Overlays::new(remembered(
            "overlay",
            memory,
            clock.clone(),
            Overlays::LIVES,
        ));
        let eyes = (streams.clone(), overlays.clone());
        let (begin, passing) = (clock.now(), clock.clone());
        let limits = MemoryLimits::by(move || passing.now().duration_since(begin).unsigned_abs());
        let limits: Arc<dyn RateLimits> = Arc::new(limits);
        let mut app = compose(
            &stores,
            clock.clone(),
            Feed::new(bus.clone()),
            &options,
            (eyes, limits.clone()),
        );
        let (pictures, stop) = (app.pictures.clone(), stopping.clone());
        tokio::spawn(async move { pictures.work(stop).await });
        let runner = Runner::new(
            stores.clone(),
            app.employees.clone(),
            app.enrolling.clone(),
            clock.clone(),
            Feed::new(bus.clone()),
        );
        if let Some(make) = devices {
            app.devices = Arc::new(make(&stores, clock.clone()));
        }
        let health = Arc::new(telemetry::Health::default());
        let router = http::router(http::Parts {
            app: app.clone(),
            settings: options.settings,
            limits,
            feed: Feed::new(bus),
            redis: Shared::alone().redis(),
            stopping: stopping.clone(),
            clock: clock.clone(),
            health: health.clone(),
            metrics: Arc::new(|| "rollcall_up 1\n".to_owned()),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
        Self {
            address,
            app,
            stores,
            runner,
            clock,
            health,
            streams,
            overlays,
            stopping,
            accounts: AtomicU32::new(0),
            _folder: folder,
        }
    }

    /// Somebody who is not signed in.
    pub fn anybody(&self) -> Client {
        Client::new(self.address)
    }

    /// An account of a role, signed in.
    pub async fn role(&self, role: Role) -> Client {
        let number = self.accounts.fetch_add(1, Ordering::SeqCst);
        let email = format!("{}{number}@example.com", role.as_str());
        let new = NewAccount {
            email: Email::parse(&email).unwrap(),
            name: Name::parse("Ada").unwrap(),
            password: PASSWORD.into(),
            role,
        };
        self.app
            .accounts
            .create(Actor::Operator, new)
            .await
            .unwrap();
        let client = self.anybody();
        client.sign_in(&email, PASSWORD).await.expect(200);
        client
    }

    pub async fn admin(&self) -> Client {
        self.role(Role::Admin).await
    }

    /// Does everything that is due.
    pub async fn do_jobs(&self) {
        let stop = CancellationToken::new();
        for kind in JobKind::ALL {
            while self.runner.step(kind, &stop).await.unwrap() {}
        }
    }

    /// A registered device.
    pub async fn kiosk(&self) -> Kiosk {
        let name = Name::parse("Front door").unwrap();
        let (device, token) = self
            .app
            .devices
            .register(Actor::Operator, name, None)
            .await
            .unwrap();
        Kiosk {
            id: device.id.to_string(),
            client: self.anybody().bearer(token.reveal()),
        }
    }

    /// Somebody with two photos enrolled, whom `obama3` shows.
    pub async fn enrolled(&self, admin: &Client) -> String {
        let id = admin.add_employee("Barack Obama", "E1").await;
        let photos = [photo("obama"), photo("obama2")];
        admin.enroll(&id, &photos).await.expect(201);
        id
    }
}

/// Values that this process remembers for a while.
fn remembered(
    alias: &'static str,
    memory: Arc<MemoryCache>,
    clock: Arc<dyn Clock>,
    time_out: Duration,
) -> AppCache {
    let vault = Arc::new(Vault::new(&Zeroizing::new([7; 32]), &[]));
    let sealed = SealedCache::new(alias, memory, vault, clock.clone());
    AppCache::new(alias, sealed, clock, time_out)
}

fn compose(
    stores: &Stores,
    clock: Arc<dyn Clock>,
    feed: Feed,
    options: &Options,
    ((streams, overlays), limits): ((FakeStreams, Overlays), Arc<dyn RateLimits>),
) -> App {
    let (engine, dimensions) = &*ENGINE;
    let engine: Arc<dyn FaceEngine> = engine.clone();
    let model = engine.model().clone();
    let gallery: Arc<dyn Gallery> = Arc::new(MemoryGallery::new(*dimensions));
    let vault = Arc::new(Vault::new(&Zeroizing::new([7; 32]), &[]));
    let audit = Audit::new(stores.audit.clone(), clock.clone());
    let references = Arc::new(References::new(
        stores.clone(),
        vault.clone(),
        gallery.clone(),
        model.clone(),
        feed.clone(),
    ));
    let policy = Policy {
        fpir: ErrorRate::new(0.001).unwrap(),
        least_margin: 0.0,
    };
    let probing = Probing::new(engine.clone(), Some(0.5)).with_stills(options.keeps.any());
    let probing = Arc::new(probing);
    let pictures = Arc::new(Pictures::new(
        stores.clone(),
        vault.clone(),
        Arc::new(Cutter::default()),
        limits,
        audit.clone(),
        clock.clone(),
        options.keeps,
    ));
    let identifying = Arc::new(Identifying::new(
        probing,
        gallery.clone(),
        references.clone(),
        policy,
    ));
    let rules = PunchRules {
        cooldown: options.cooldown,
        workday: WorkdayRule {
            zone: TimeZone::UTC,
            starts: SignedDuration::from_hours(4),
        },
    };
    let devices = Arc::new(Devices::new(
        stores.devices.clone(),
        audit.clone(),
        clock.clone(),
        feed.clone(),
    ));
    let memory = Arc::new(MemoryCache::new(1 << 20));
    let pairings = remembered("pairing", memory, clock.clone(), PAIRING);
    App {
        jobs: Arc::new(Jobs::new(
            stores.clone(),
            model.clone(),
            audit.clone(),
            clock.clone(),
            feed.clone(),
        )),
        accounts: Arc::new(Accounts::new(
            stores.clone(),
            audit.clone(),
            clock.clone(),
            SignedDuration::from_hours(24),
        )),
        cameras: Arc::new(Cameras::new(
            (stores.cameras.clone(), stores.accounts.clone()),
            Arc::new(streams),
            overlays,
            audit.clone(),
            clock.clone(),
            feed.clone(),
        )),
        pairing: Arc::new(Pairing::new(pairings, devices.clone(), clock.clone())),
        devices,
        employees: Arc::new(Employees::new(
            stores.clone(),
            references.clone(),
            identifying.clone(),
            audit.clone(),
            clock.clone(),
        )),
        enrolling: Arc::new(Enrolling::new(
            stores.clone(),
            engine.clone(),
            identifying.clone(),
            references,
            vault,
            audit,
            clock.clone(),
            options.keep_photos,
        )),
        punching: Arc::new(Punching::new(
            stores.clone(),
            identifying.clone(),
            clock,
            model,
            rules,
            feed,
            pictures.clone(),
        )),
        pictures,
        identifying,
        trail: Arc::new(Trail::new(stores)),
        health: Arc::new(Health::new(stores.health.clone(), engine, gallery)),
    }
}

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    /// The JSON body, after checking the status.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self.json()
    }

    /// The JSON body; null for none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    /// The problem details, after checking status and code and what every problem has.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Value {
        let body = self.expect(status);
        assert_eq!(body["code"], code, "{body}");
        assert_eq!(body["status"], status, "{body}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(body["type"], format!("/api/docs#problem-{code}"));
        assert_eq!(body["request_id"], self.header("x-request-id"));
        assert!(body["title"].is_string() && body["detail"].is_string());
        body
    }

    /// The fields that a problem names.
    pub fn fields(&self) -> Vec<String> {
        let errors = self.json()["errors"].as_array().cloned();
        let field = |error: &Value| error["field"].as_str().unwrap().to_owned();
        errors.unwrap_or_default().iter().map(field).collect()
    }

    /// A header; empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

/// Somebody who talks to the service. Keeps cookies.
#[derive(Clone)]
pub struct Client {
    pub http: reqwest::Client,
    pub base: String,
    pub headers: HeaderMap,
}

impl Client {
    fn new(address: SocketAddr) -> Self {
        let http = reqwest::Client::builder()
            .cookie_store(true)
            .build()
            .unwrap();
        Self {
            http,
            base: format!("http://{address}"),
            headers: HeaderMap::new(),
        }
    }

    /// The same with a header on every request.
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_str(value).unwrap();
        self.headers.insert(HeaderName::from_static(name), value);
        self
    }

    pub fn bearer(self, token: &str) -> Self {
        self.with("authorization", &format!("Bearer {token}"))
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.base))
            .headers(self.headers.clone())
    }

    pub async fn send(&self, request: RequestBuilder) -> Answer {
        let response = request.send().await.unwrap();
        Answer {
            status: response.status(),
            headers: response.headers().clone(),
            text: String::from_utf8_lossy(&response.bytes().await.unwrap()).into_owned(),
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(self.request(Method::POST, path).json(&body))
            .await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send(self.request(Method::PATCH, path).json(&body))
            .await
    }

    /// A body of any type.
    pub async fn post_bytes(&self, path: &str, kind: &str, body: impl Into<Vec<u8>>) -> Answer {
        let request = self.request(Method::POST, path);
        self.send(request.header("content-type", kind).body(body.into()))
            .await
    }

    pub async fn post_form(&self, path: &str, form: Form) -> Answer {
        self.send(self.request(Method::POST, path).multipart(form))
            .await
    }

    pub async fn sign_in(&self, email: &str, password: &str) -> Answer {
        let body = json!({ "email": email, "password": password });
        self.post("/api/session", body).await
    }

    /// Adds an employee; their id.
    pub async fn add_employee(&self, name: &str, code: &str) -> String {
        let body = json!({ "name": name, "code": code });
        let answer = self.post("/api/employees", body).await.expect(201);
        answer["id"].as_str().unwrap().to_owned()
    }

    /// Enrolls photos with consent.
    pub async fn enroll(&self, employee: &str, photos: &[Vec<u8>]) -> Answer {
        let form = enroll_form(employee, photos).text("consent", "true");
        self.post_form("/api/enroll", form).await
    }
}

/// The form of an enrollment, without consent.
pub fn enroll_form(employee: &str, photos: &[Vec<u8>]) -> Form {
    images("photo", photos).text("employee", employee.to_owned())
}

/// A form with images.
pub fn images(name: &'static str, photos: &[Vec<u8>]) -> Form {
    photos.iter().fold(Form::new(), |form, photo| {
        form.part(name, Part::bytes(photo.clone()).file_name("photo.jpg"))
    })
}

/// A device with its token.
#[derive(Clone)]
pub struct Kiosk {
    pub id: String,
    pub client: Client,
}

impl Kiosk {
    /// Punches with one image.
    pub async fn punch(&self, photo: &[u8]) -> Answer {
        self.punch_with("", &[], photo).await
    }

    /// Punches with a query and headers.
    pub async fn punch_with(
        &self,
        query: &str,
        headers: &[(&'static str, &str)],
        photo: &[u8],
    ) -> Answer {
        let client = &self.client;
        let mut request = client.request(Method::POST, &format!("/api/punches{query}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.header("content-type", "image/jpeg");
        client.send(request.body(photo.to_vec())).await
    }

    /// Punches with a key.
    pub async fn punch_once(&self, key: &str, photo: &[u8]) -> Answer {
        self.punch_with("", &[("idempotency-key", key)], photo)
            .await
    }
}

/// Does the same many times at once.
pub async fn at_once<F: Future<Output = Answer>>(
    count: usize,
    make: impl Fn(usize) -> F,
) -> Vec<Answer> {
    futures::future::join_all((0..count).map(make)).await
}

/// How many answers had each status.
pub fn count(answers: &[Answer]) -> HashMap<u16, usize> {
    answers.iter().fold(HashMap::new(), |mut counts, answer| {
        *counts.entry(answer.status.as_u16()).or_default() += 1;
        counts
    })
}
