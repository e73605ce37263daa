//! TestApp: the real services and routes on a store in memory, on a loopback port, with typed
//! clients of the API. Its scripted face engine knows the people in the fixture portraits.

#[path = "streams.rs"]
pub mod streams;

use std::{
    collections::HashMap,
    future::Future,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicI64, AtomicU32, Ordering},
    },
    time::Duration,
};

use self::streams::FakeStreams;
use crate::scripted::{DIMENSIONS, ScriptedEngine};
use argon2::{
    Algorithm, Argon2, Params, PasswordHasher, Version, password_hash::phc::PasswordHash,
};
use jiff::{SignedDuration, Timestamp, civil};
use reqwest::{
    Method, RequestBuilder, StatusCode,
    header::{HeaderMap, HeaderName, HeaderValue},
    multipart::{Form, Part},
};
use rollcall::{
    app::App,
    boot::{self, Composed, Shared},
    clock::{Clock, SystemClock, whole_milliseconds},
    domain::{
        accounts::{Account, Actor},
        biometrics::{ErrorRate, Policy},
        grants::{Access, Grant, Role, Scope},
        ids::{AccountId, SiteId},
        sites::Zone,
        text::{Email, Name},
    },
    gallery::MemoryGallery,
    http::{self, Settings},
    http_client::{self, Trust},
    ports::{Broker, Bus, FaceEngine, MailSending, Quota, RateLimits, RecordEngine},
    repositories::{Devices, Repositories},
    senders::{Allowed, WebhookSender},
    service::{
        accounts::AccountRules,
        application_cache::AppCache,
        cameras::Overlays,
        devices::DeviceSettings,
        feed::Feed,
        jobs::{JobHandler, JobServices, Runner, handlers},
        messages::{Outbox, Signals},
        pairing::PAIRING,
        passwords::HashCost,
        pictures::Keeps,
        punch_ledger::PunchRules,
        sealed_cache::SealedCache,
        second_factor::PATIENCE,
        single_sign_on::SignOnProvider,
        sites::Seed,
    },
    storage::memory::{MemoryBus, MemoryCache, MemoryEngine, MemoryLimits},
    telemetry,
    vault::Vault,
    vision::{Cropper, MotionSensor},
    workers::{
        mqtt::{self, MqttContext},
        outbox,
    },
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use zeroize::Zeroizing;

/// The people in the fixture portraits.
const PORTRAITS: [(&str, &str); 7] = [
    ("obama", "obama~0.1#1"),
    ("obama2", "obama~0.1#2"),
    ("obama3", "obama~0.1#3"),
    ("biden", "biden"),
    ("hopper", "hopper"),
    ("collins", "collins"),
    ("two_people", "hopper~0.1#2 | collins~0.1#2 width=90"),
];

/// The password of every account in tests.
pub const PASSWORD: &str = "correct horse battery";

/// Its hash, with the least work: the usual one takes longer than most tests.
static PASSWORD_HASH: LazyLock<String> = LazyLock::new(|| {
    let least = Params::new(Params::MIN_M_COST, 1, 1, None).unwrap();
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, least);
    let hash: PasswordHash = argon2.hash_password(PASSWORD.as_bytes()).unwrap();
    hash.to_string()
});

/// Returns a path inside the project.
pub fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Returns the bytes of a fixture portrait.
pub fn photo(name: &str) -> Vec<u8> {
    let file = project("tests/fixtures/faces").join(format!("{name}.jpg"));
    std::fs::read(file).unwrap()
}

/// The system's clock, which tests can advance.
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

/// The options of a test.
pub struct Options {
    /// Another face engine.
    pub engine: Option<Arc<dyn FaceEngine>>,
    /// A separate store for devices, such as one that fails.
    pub devices: Option<Arc<dyn RecordEngine>>,
    /// An identity provider.
    pub sign_on: Option<SignOnProvider>,
    pub settings: Settings,
    pub cooldown: SignedDuration,
    /// How long the same picture does not punch again; off by default, because tests have few.
    pub replay_window: Option<SignedDuration>,
    pub keep_photos: bool,
    pub keeps: Keeps,
    pub session_idle: Option<SignedDuration>,
    /// The wrong passwords that an account allows.
    pub guesses: Option<Quota>,
    /// The mail server.
    pub mail: Option<Arc<dyn MailSending>>,
    /// Where webhooks may lead.
    pub webhooks_allowed: Allowed,
    /// How long the token of a device lasts.
    pub device_token_age: Option<SignedDuration>,
}

/// A running service.
pub struct TestApp {
    pub address: SocketAddr,
    pub app: App,
    pub stores: Repositories,
    runner: Runner,
    handlers: Vec<Arc<dyn JobHandler>>,
    pub clock: Arc<TestClock>,
    pub health: Arc<telemetry::Health>,
    /// The scripted face engine.
    pub scripted: Arc<ScriptedEngine>,
    /// The fake cameras.
    pub streams: FakeStreams,
    /// Boxes and names over live pictures.
    pub overlays: Overlays,
    /// Collects and sends messages.
    pub outbox: Arc<Outbox>,
    signals: Mutex<Option<Signals>>,
    /// Announcements of changes.
    pub feed: Feed,
    /// Canceled to end streams.
    pub stopping: CancellationToken,
    accounts: AtomicU32,
}

impl TestApp {
    /// Starts a service without rate limits, and with a cooldown of a minute.
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Options)) -> Self {
        let mut options = Options {
            engine: None,
            devices: None,
            sign_on: None,
            settings: Settings {
                rate_limit: 0,
                sign_in: None,
                pairing: None,
                enroll_limit: 0,
                ..Settings::default()
            },
            cooldown: SignedDuration::from_secs(60),
            replay_window: None,
            keep_photos: false,
            keeps: Keeps::default(),
            session_idle: None,
            guesses: None,
            mail: None,
            webhooks_allowed: Allowed {
                networks: vec!["127.0.0.0/8".parse().unwrap()],
                hosts: Vec::new(),
            },
            device_token_age: None,
        };
        change(&mut options);
        let mut stores = Repositories::new(Arc::new(MemoryEngine::default()));
        if let Some(engine) = options.devices {
            stores.devices = Devices::new(engine);
        }
        let clock = Arc::new(TestClock::default());
        let bus: Arc<dyn Bus> = Arc::new(MemoryBus::default());
        let feed = Feed::new(bus);
        let (streams, stopping) = (FakeStreams::default(), CancellationToken::new());
        let overlays = Overlays::new(remembered("overlay", clock.clone(), Overlays::LIVES));
        let (begin, passing) = (clock.now(), clock.clone());
        let limits =
            MemoryLimits::with_clock(move || passing.now().duration_since(begin).unsigned_abs());
        let limits: Arc<dyn RateLimits> = Arc::new(limits);
        let scripted = Arc::new(ScriptedEngine::of_pictures());
        for (name, who) in PORTRAITS {
            scripted.shows(&photo(name), who);
        }
        let engine = options.engine.unwrap_or_else(|| scripted.clone());
        let parts = boot::Parts {
            stores: stores.clone(),
            clock: clock.clone(),
            vault: vault(),
            engine: engine.clone(),
            camera_engine: engine,
            gallery: Arc::new(MemoryGallery::new(DIMENSIONS)),
            previous: None,
            streams: Arc::new(streams.clone()),
            motion: Arc::new(MotionSensor::default()),
            cropping: Arc::new(Cropper::default()),
            posting: Arc::new(
                WebhookSender::new(options.webhooks_allowed, &Trust::default()).unwrap(),
            ),
            mail: options.mail,
            limits: limits.clone(),
            feed: feed.clone(),
            pairings: remembered("pairing", clock.clone(), PAIRING),
            sign_ins: remembered("sign-in", clock.clone(), PATIENCE),
            sign_on: options.sign_on,
            overlays: overlays.clone(),
        };
        let rules = boot::Rules {
            policy: Policy::new(ErrorRate::new(0.001).unwrap(), Some(0.0)),
            least_liveness: Some(0.5),
            keeps: options.keeps,
            keep_photos: options.keep_photos,
            punches: PunchRules {
                cooldown: options.cooldown,
                replay_window: options.replay_window,
            },
            seed: Seed {
                zone: Zone::UTC,
                workday_starts: civil::time(4, 0, 0, 0),
            },
            accounts: AccountRules {
                session_age: SignedDuration::from_hours(24),
                session_idle: options.session_idle,
                hash_cost: HashCost::LEAST,
                guesses: options.guesses,
            },
            public_url: Some("https://rollcall.example".to_owned()),
            summary_at: civil::time(7, 0, 0, 0),
            device_token_age: options.device_token_age,
            folder: std::env::temp_dir(),
        };
        let Composed {
            app,
            outbox,
            signals,
            ..
        } = boot::compose(parts, rules);
        let signals = Mutex::new(Some(signals));
        let (pictures, stop) = (app.pictures.clone(), stopping.clone());
        tokio::spawn(async move { pictures.work(stop).await });
        let (resets, stop) = (app.password_resets.clone(), stopping.clone());
        tokio::spawn(async move { resets.work(stop).await });
        let runner = Runner::new(&stores, clock.clone(), feed.clone());
        let handlers = handlers(&JobServices {
            stores: stores.clone(),
            employees: app.employees.clone(),
            enrollments: app.enrolling.clone(),
        });
        let health = Arc::new(telemetry::Health::default());
        let router = http::router(http::Parts {
            app: app.clone(),
            settings: options.settings,
            limits,
            feed: feed.clone(),
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
            handlers,
            clock,
            health,
            scripted,
            streams,
            overlays,
            outbox,
            signals,
            feed,
            stopping,
            accounts: AtomicU32::new(0),
        }
    }

    /// Returns a client that is not signed in.
    pub fn anybody(&self) -> Client {
        Client::new(self.address)
    }

    /// Returns a client that is signed in with a role for everything.
    pub async fn role(&self, role: Role) -> Client {
        self.grant(role, Scope::Everything).await
    }

    /// An account that has a role in a scope, signed in.
    pub async fn grant(&self, role: Role, scope: Scope) -> Client {
        let grant = Grant::new(role, scope).unwrap();
        self.access(Access::new(None, [grant]).unwrap()).await
    }

    /// The account of an employee who has no other grant, signed in.
    pub async fn employee(&self, id: &str) -> Client {
        let own = Grant::new(Role::Employee, Scope::Own).unwrap();
        let access = Access::new(Some(id.parse().unwrap()), [own]);
        self.access(access.unwrap()).await
    }

    /// An account that may do what is given, signed in.
    pub async fn access(&self, access: Access) -> Client {
        let number = self.accounts.fetch_add(1, Ordering::SeqCst);
        let role = access.grants().next().unwrap().role();
        let email = format!("{role}{number}@example.com");
        let account = Account {
            id: AccountId::new(self.clock.id()),
            email: Email::parse(&email).unwrap(),
            name: Name::parse("Ada").unwrap(),
            access,
            password_hash: PASSWORD_HASH.clone(),
            active: true,
            created_at: self.clock.now(),
            signed_in_at: None,
            invited_by: None,
            sessions_ended: 0,
        };
        self.stores.accounts.insert(&account).await.unwrap();
        let client = self.anybody();
        client.sign_in(&email, PASSWORD).await.expect(200);
        client
    }

    pub async fn admin(&self) -> Client {
        self.role(Role::Admin).await
    }

    /// Returns a program with an API token that an account makes.
    pub async fn program(&self, account: &Client, new: Value) -> Client {
        let made = account.post("/api/tokens", new).await.expect(201);
        self.anybody().bearer(made["token"].as_str().unwrap())
    }

    /// Runs all jobs that are due.
    pub async fn do_jobs(&self) {
        let stop = CancellationToken::new();
        while self.run_next_job(&stop).await {}
    }

    /// Runs one job that is due; false if none is.
    pub async fn run_next_job(&self, stop: &CancellationToken) -> bool {
        for handler in &self.handlers {
            if self.runner.run_next(&**handler, stop).await.unwrap() {
                return true;
            }
        }
        false
    }

    /// Collects and sends messages from now on, as an instance does, until the token is canceled.
    pub fn send_messages(&self) -> CancellationToken {
        let (outbox, leases) = (self.outbox.clone(), self.stores.leases.clone());
        let stop = self.stopping.child_token();
        let worker = outbox::run(
            outbox,
            leases,
            self.clock.clone(),
            self.feed.clone(),
            stop.clone(),
        );
        tokio::spawn(worker);
        stop
    }

    /// Publishes signals from now on, as an instance does, until the token is canceled.
    pub fn publish_signals(&self, broker: Arc<dyn Broker>) -> CancellationToken {
        let context = Arc::new(MqttContext {
            broker,
            signals: self.signals.lock().unwrap().take().unwrap(),
            leases: self.stores.leases.clone(),
            feed: self.feed.clone(),
            clock: self.clock.clone(),
        });
        let stop = self.stopping.child_token();
        tokio::spawn(mqtt::run(context, stop.clone()));
        stop
    }

    /// Returns a registered device.
    pub async fn kiosk(&self) -> Kiosk {
        let new = DeviceSettings {
            name: Name::parse("Front door").unwrap(),
            site: SiteId::DEFAULT,
        };
        let devices = &self.app.devices;
        let (device, token) = devices.register(Actor::Operator, new).await.unwrap();
        Kiosk {
            id: device.id.to_string(),
            client: self.anybody().bearer(token.reveal()),
        }
    }

    /// Enrolls a person with two photos; `obama3` shows the same person.
    pub async fn enrolled(&self, admin: &Client) -> String {
        let id = admin.add_employee("Barack Obama", "E1").await;
        let photos = [photo("obama"), photo("obama2")];
        admin.enroll(&id, &photos).await.expect(201);
        id
    }
}

/// Returns the vault of every service in tests.
pub fn vault() -> Arc<Vault> {
    Arc::new(Vault::new(&Zeroizing::new([7; 32]), &[]))
}

/// Returns an application cache in memory.
fn remembered(alias: &'static str, clock: Arc<dyn Clock>, time_out: Duration) -> AppCache {
    let memory = Arc::new(MemoryCache::new(1 << 20));
    let sealed = SealedCache::new(alias, memory, vault(), clock);
    AppCache::new(alias, sealed, time_out)
}

/// A response.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    /// Returns the JSON body, after checking the status.
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

    /// The fields that a problem mentions.
    pub fn fields(&self) -> Vec<String> {
        let errors = self.json()["errors"].as_array().cloned();
        let field = |error: &Value| error["field"].as_str().unwrap().to_owned();
        errors.unwrap_or_default().iter().map(field).collect()
    }

    /// A header; empty if the response does not have it.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

/// A client with a cookie jar.
#[derive(Clone)]
pub struct Client {
    pub http: reqwest::Client,
    pub base: String,
    pub headers: HeaderMap,
}

impl Client {
    fn new(address: SocketAddr) -> Self {
        let http = http_client::builder().cookie_store(true).build().unwrap();
        Self {
            http,
            base: format!("http://{address}"),
            headers: HeaderMap::new(),
        }
    }

    /// Returns the client with a header on every request.
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

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.send(self.request(Method::PUT, path).json(&body)).await
    }

    /// Sends a body of any type.
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

    /// Adds an employee; returns the ID.
    pub async fn add_employee(&self, name: &str, code: &str) -> String {
        let body = json!({ "name": name, "code": code });
        let answer = self.post("/api/employees", body).await.expect(201);
        answer["id"].as_str().unwrap().to_owned()
    }

    /// Adds a site; its id.
    pub async fn add_site(&self, name: &str, zone: &str) -> String {
        let body = json!({ "name": name, "zone": zone });
        let answer = self.post("/api/sites", body).await.expect(201);
        answer["id"].as_str().unwrap().to_owned()
    }

    /// Enrolls photos with consent.
    pub async fn enroll(&self, employee: &str, photos: &[Vec<u8>]) -> Answer {
        let form = enroll_form(employee, photos).text("consent", "true");
        self.post_form("/api/enroll", form).await
    }
}

/// Returns the form of an enrollment, without consent.
pub fn enroll_form(employee: &str, photos: &[Vec<u8>]) -> Form {
    images("photo", photos).text("employee", employee.to_owned())
}

/// Returns a form with images.
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

    /// Punches with an idempotency key.
    pub async fn punch_once(&self, key: &str, photo: &[u8]) -> Answer {
        self.punch_with("", &[("idempotency-key", key)], photo)
            .await
    }
}

/// Makes several requests at once.
pub async fn at_once<F: Future<Output = Answer>>(
    count: usize,
    make: impl Fn(usize) -> F,
) -> Vec<Answer> {
    futures::future::join_all((0..count).map(make)).await
}

/// Counts the responses with each status.
pub fn count(answers: &[Answer]) -> HashMap<u16, usize> {
    answers.iter().fold(HashMap::new(), |mut counts, answer| {
        *counts.entry(answer.status.as_u16()).or_default() += 1;
        counts
    })
}
