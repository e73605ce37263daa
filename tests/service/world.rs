//! The services of these tests, composed as in the program: a store in memory, a clock that stands
//! still until a test advances it, and an engine that sees the text of a sample.

use std::{
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp, civil};
use rollcall::{
    app::App,
    boot::{Parts, Rules, compose},
    clock::{Clock, SystemClock},
    domain::{
        accounts::{Actor, Browser},
        biometrics::{ErrorRate, ModelId, Policy},
        cameras::{Camera, Direction, Glance, LookEvery, StreamFault, VisitGap},
        devices::Device,
        employees::{ConsentGiven, Employee, EmployeeSettings},
        faces::{EnrolledFace, FaceEnrollment},
        grants::Reach,
        ids::{CameraId, EmployeeId, SiteId},
        samples::Still,
        sites::Zone,
        text::{Code, Name, StreamName},
    },
    gallery::MemoryGallery,
    http_client::Trust,
    ports::{
        Cropping, FaceEngine, Gallery, MotionSensing, PictureStream, RecordEngine, Sample,
        SampleError, StreamError, Streams,
    },
    repositories::Repositories,
    senders::{Allowed, WebhookSender},
    service::{
        accounts::{AccountRules, GUESSES, Visitor},
        analysis_cache::CachedEngine,
        application_cache::AppCache,
        camera_pipeline::CameraPipeline,
        cameras::Overlays,
        devices::DeviceSettings,
        employees::{EmployeeError, Person},
        enrollment::{EnrollError, EnrollRequest, Enrollment},
        face_punches::{PunchAnswer, PunchError, PunchRequest},
        feed::Feed,
        gallery_loader::GalleryLoader,
        passwords::HashCost,
        pictures::Keeps,
        punch_ledger::PunchRules,
        sealed_cache::SealedCache,
        sites::Seed,
    },
    storage::memory::{MemoryBus, MemoryCache, MemoryEngine, MemoryLimits},
    vault::Vault,
};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    failing_engine::FailingEngine,
    scripted::{DIMENSIONS, ScriptedEngine},
};

/// A clock that stands still until it is advanced.
pub struct HeldClock {
    milliseconds: AtomicI64,
    minted: AtomicU64,
}

impl HeldClock {
    /// Returns a clock at this Unix time in milliseconds.
    fn at(milliseconds: i64) -> Self {
        Self {
            milliseconds: AtomicI64::new(milliseconds),
            minted: AtomicU64::new(0),
        }
    }

    /// Returns a clock at noon of 2026-01-15, UTC.
    pub fn noon() -> Self {
        Self::at(1_768_478_400_000)
    }

    pub fn advance(&self, by: SignedDuration) {
        self.milliseconds
            .fetch_add(by.as_millis() as i64, Ordering::SeqCst);
    }
}

impl Clock for HeldClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.milliseconds.load(Ordering::SeqCst)).unwrap()
    }

    fn id(&self) -> Uuid {
        let milliseconds = self.milliseconds.load(Ordering::SeqCst) as u64;
        let mut bytes = [0; 10];
        bytes[2..].copy_from_slice(&self.minted.fetch_add(1, Ordering::SeqCst).to_be_bytes());
        uuid::Builder::from_unix_timestamp_millis(milliseconds, &bytes).into_uuid()
    }

    fn secret(&self) -> [u8; 32] {
        SystemClock.secret()
    }
}

/// A cropper that returns the whole sample as the picture.
struct WholeSample;

#[async_trait]
impl Cropping for WholeSample {
    async fn crop(&self, still: Still) -> Result<Vec<u8>, SampleError> {
        Ok(still.sample.bytes().to_vec())
    }
}

/// An unconfigured go2rtc.
struct NoStreams;

#[async_trait]
impl Streams for NoStreams {
    async fn names(&self) -> Result<Vec<StreamName>, StreamError> {
        Ok(Vec::new())
    }

    async fn open(&self, _: &StreamName) -> Result<Box<dyn PictureStream>, StreamError> {
        Err(StreamError {
            fault: StreamFault::Refused,
            cause: "no such stream".to_owned(),
        })
    }
}

/// A motion sensor that reports no motion.
struct NothingMoves;

#[async_trait]
impl MotionSensing for NothingMoves {
    async fn glance(&self, _: Sample) -> Result<Glance, SampleError> {
        Ok(Glance::new([100; Glance::CELLS]))
    }
}

/// The settings of an instance.
#[derive(Clone)]
pub struct Setup {
    pub model: ModelId,
    /// The previous model, during a change of the model.
    pub previous: Option<ModelId>,
    pub keeps: Keeps,
    pub least_liveness: Option<f32>,
    pub motion: Arc<dyn MotionSensing>,
    pub streams: Arc<dyn Streams>,
    pub session_idle: Option<SignedDuration>,
    pub hash_cost: HashCost,
    /// Whether analyses are cached.
    pub caches_analyses: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            model: ModelId::new("scripted"),
            previous: None,
            keeps: Keeps::default(),
            least_liveness: Some(0.5),
            motion: Arc::new(NothingMoves),
            streams: Arc::new(NoStreams),
            session_idle: None,
            hash_cost: HashCost::LEAST,
            caches_analyses: false,
        }
    }
}

/// The parts that instances share: the store, the time and the announcements.
#[derive(Clone)]
pub struct Site {
    /// The records, without the failures of the store.
    pub records: Repositories,
    /// The store of the instances, which fails when a test wants it to.
    pub store: Arc<FailingEngine>,
    pub clock: Arc<HeldClock>,
    pub feed: Feed,
    /// The cache that the instances share.
    pub memory: Arc<MemoryCache>,
}

impl Site {
    fn new() -> Self {
        let engine: Arc<dyn RecordEngine> = Arc::new(MemoryEngine::default());
        Self {
            records: Repositories::new(engine.clone()),
            store: Arc::new(FailingEngine::over(engine)),
            clock: Arc::new(HeldClock::noon()),
            feed: Feed::new(Arc::new(MemoryBus::default())),
            memory: Arc::new(MemoryCache::new(1 << 20)),
        }
    }

    fn vault(&self) -> Arc<Vault> {
        Arc::new(Vault::new(&Zeroizing::new([7; 32]), &[]))
    }

    /// Returns an application cache with a name, which instances share.
    pub fn cache(&self, name: &'static str, time_out: Duration) -> AppCache {
        AppCache::new(name, self.sealed_cache(name), time_out)
    }

    fn sealed_cache(&self, name: &'static str) -> SealedCache {
        let clock: Arc<dyn Clock> = self.clock.clone();
        SealedCache::new(name, self.memory.clone(), self.vault(), clock)
    }
}

/// An instance of the service, on a store that others may share.
pub struct Instance {
    pub site: Site,
    pub clock: Arc<HeldClock>,
    setup: Setup,
    /// The instance's view of the store.
    pub stores: Repositories,
    pub gallery: Arc<MemoryGallery>,
    pub app: App,
    pub loader: Arc<GalleryLoader>,
    pub previous_loader: Option<Arc<GalleryLoader>>,
    pub watching: Arc<CameraPipeline>,
    pub overlays: Overlays,
    /// The scripted face engine, which can also be busy or fail.
    pub engine: Arc<ScriptedEngine>,
    /// The engine of the services: the scripted one, perhaps behind a cache.
    pub service_engine: Arc<dyn FaceEngine>,
}

impl Deref for Instance {
    type Target = App;

    fn deref(&self) -> &App {
        &self.app
    }
}

/// Returns the browser in these tests.
pub fn browser() -> Browser {
    Browser {
        address: [192, 0, 2, 7].into(),
        description: Some("Firefox on Windows".to_owned()),
    }
}

/// Returns a visitor whom no account knows.
pub fn visitor() -> Visitor {
    Visitor {
        browser: browser(),
        token: None,
    }
}

/// The actor in these tests.
pub const ADMIN: Actor = Actor::Operator;

/// Returns the first instance of an installation.
pub fn instance() -> Instance {
    Instance::set_up(Setup::default())
}

impl Instance {
    pub fn set_up(setup: Setup) -> Self {
        Self::at(Site::new(), setup)
    }

    fn at(site: Site, setup: Setup) -> Self {
        let stores = Repositories::new(site.store.clone());
        let gallery = Arc::new(MemoryGallery::new(DIMENSIONS));
        let engine = Arc::new(ScriptedEngine::of_model(setup.model.clone()));
        let service_engine: Arc<dyn FaceEngine> = match setup.caches_analyses {
            true => Arc::new(CachedEngine::new(
                engine.clone(),
                Some(site.sealed_cache("embeddings")),
            )),
            false => engine.clone(),
        };
        let previous = setup.previous.clone().map(|model| {
            let engine: Arc<dyn FaceEngine> = Arc::new(ScriptedEngine::of_model(model));
            let gallery: Arc<dyn Gallery> = Arc::new(MemoryGallery::new(DIMENSIONS));
            (engine, gallery)
        });
        let passing = site.clock.clone();
        let limits = MemoryLimits::with_clock(move || {
            let since = passing.now().duration_since(Timestamp::UNIX_EPOCH);
            since.unsigned_abs()
        });
        let overlays = Overlays::new(site.cache("overlay", Overlays::LIVES));
        let parts = Parts {
            stores: stores.clone(),
            clock: site.clock.clone(),
            vault: site.vault(),
            engine: service_engine.clone(),
            camera_engine: engine.clone(),
            gallery: gallery.clone(),
            previous,
            streams: setup.streams.clone(),
            motion: setup.motion.clone(),
            cropping: Arc::new(WholeSample),
            posting: Arc::new(WebhookSender::new(Allowed::default(), &Trust::default()).unwrap()),
            mail: None,
            limits: Arc::new(limits),
            feed: site.feed.clone(),
            pairings: site.cache("pairing", Duration::from_mins(10)),
            sign_ins: site.cache("sign-in", Duration::from_mins(5)),
            sign_on: None,
            overlays: overlays.clone(),
        };
        let rules = Rules {
            policy: Policy::new(ErrorRate::new(0.001).unwrap(), Some(0.0)),
            least_liveness: setup.least_liveness,
            keeps: setup.keeps,
            keep_photos: true,
            punches: PunchRules {
                cooldown: SignedDuration::from_secs(60),
                replay_window: None,
            },
            seed: Seed {
                zone: Zone::UTC,
                workday_starts: civil::time(4, 0, 0, 0),
            },
            accounts: AccountRules {
                session_age: SignedDuration::from_hours(24),
                session_idle: setup.session_idle,
                hash_cost: setup.hash_cost,
                guesses: Some(GUESSES),
            },
            public_url: Some("https://rollcall.example".to_owned()),
            summary_at: civil::time(7, 0, 0, 0),
            device_token_age: Some(SignedDuration::from_hours(180 * 24)),
            folder: std::env::temp_dir(),
        };
        let composed = compose(parts, rules);
        Self {
            clock: site.clock.clone(),
            site,
            setup,
            stores,
            gallery,
            app: composed.app,
            loader: composed.loader,
            previous_loader: composed.previous_loader,
            watching: composed.pipeline,
            overlays,
            engine,
            service_engine,
        }
    }

    /// Returns another instance on the same store, whose gallery is empty until it is filled.
    pub fn another(&self) -> Self {
        Self::at(self.site.clone(), self.setup.clone())
    }

    /// Returns another instance whose clock differs by this duration.
    pub fn with_clock(&self, by: SignedDuration) -> Self {
        let now = self.clock.now() + by;
        let clock = Arc::new(HeldClock::at(now.as_millisecond()));
        let site = self.site.clone();
        Self::at(Site { clock, ..site }, self.setup.clone())
    }

    /// Returns another instance with another model, which still knows this one's.
    pub fn after(&self, model: &str) -> Self {
        let setup = Setup {
            model: ModelId::new(model),
            previous: Some(self.setup.model.clone()),
            ..self.setup.clone()
        };
        Self::at(self.site.clone(), setup)
    }

    /// Returns another instance with another model.
    pub fn of_model(&self, model: &str) -> Self {
        let setup = Setup {
            model: ModelId::new(model),
            ..self.setup.clone()
        };
        Self::at(self.site.clone(), setup)
    }

    /// Returns another instance that hashes passwords with other work.
    pub fn with_hash_cost(&self, hash_cost: HashCost) -> Self {
        let setup = Setup {
            hash_cost,
            ..self.setup.clone()
        };
        Self::at(self.site.clone(), setup)
    }

    /// Returns another instance that keeps pictures.
    pub fn keeping(&self, keeps: Keeps) -> Self {
        let setup = Setup {
            keeps,
            ..self.setup.clone()
        };
        Self::at(self.site.clone(), setup)
    }

    /// Returns the enrolled face of an employee.
    pub async fn face(&self, id: EmployeeId) -> Option<EnrolledFace> {
        let enrollment = self.site.records.faces.find(id).await.unwrap();
        enrollment?.face
    }

    /// Changes the enrolled face of an employee, without notifying instances.
    pub async fn change_face(&self, id: EmployeeId, change: impl Fn(&mut EnrolledFace)) {
        let changed = |mut stored: FaceEnrollment| {
            change(stored.face.as_mut()?);
            Some(stored)
        };
        let faces = &self.site.records.faces;
        let changed = faces.change(id, self.clock.now(), changed).await;
        assert!(changed.unwrap().is_some(), "nothing is enrolled");
    }

    pub async fn person(&self, name: &str) -> Person {
        let (name, code) = (Name::parse(name).unwrap(), Code::parse(name).unwrap());
        let new = EmployeeSettings::new(name, code, SiteId::DEFAULT);
        self.employees
            .add(&Reach::Everything, ADMIN, new)
            .await
            .unwrap()
    }

    /// Changes the settings of an employee.
    pub async fn change(
        &self,
        id: EmployeeId,
        edit: impl Fn(&mut EmployeeSettings),
    ) -> Result<Person, EmployeeError> {
        self.change_with(id, false, edit).await
    }

    /// Changes the settings of an employee, even if another employee has their face.
    pub async fn change_with(
        &self,
        id: EmployeeId,
        override_duplicate: bool,
        edit: impl Fn(&mut EmployeeSettings),
    ) -> Result<Person, EmployeeError> {
        let edited = |employee: &Employee| {
            let mut settings = employee.settings.clone();
            edit(&mut settings);
            Ok(settings)
        };
        let employees = &self.employees;
        employees
            .change(&Reach::Everything, ADMIN, id, override_duplicate, edited)
            .await
    }

    pub async fn enroll(
        &self,
        who: EmployeeId,
        photos: &[&str],
    ) -> Result<Enrollment, EnrollError> {
        self.enrolling
            .enroll(&Reach::Everything, ADMIN, request(who, photos))
            .await
    }

    /// Adds a person with two enrolled photos.
    pub async fn enrolled(&self, name: &str) -> Person {
        let person = self.person(name).await;
        let photos = [format!("{name}~0.1#1"), format!("{name}~0.1#2")];
        self.enroll(person.id, &photos.each_ref().map(String::as_str))
            .await
            .unwrap()
            .person
    }

    pub async fn kiosk(&self) -> Device {
        self.devices
            .register(
                ADMIN,
                DeviceSettings {
                    name: Name::parse("Front door").unwrap(),
                    site: SiteId::DEFAULT,
                },
            )
            .await
            .unwrap()
            .0
    }

    /// Returns a camera that was not added yet.
    pub fn camera(&self, stream: &str) -> Camera {
        Camera {
            id: CameraId::new(self.clock.id()),
            name: Name::parse("Door").unwrap(),
            stream: StreamName::parse(stream).unwrap(),
            site: SiteId::DEFAULT,
            direction: Direction::default(),
            hours: None,
            every: LookEvery::default(),
            visit: VisitGap::default(),
            active: true,
            created_at: self.clock.now(),
            removed_at: None,
            viewers: None,
        }
    }

    pub async fn punch(
        &self,
        kiosk: &Device,
        request: PunchRequest,
    ) -> Result<PunchAnswer, PunchError> {
        self.face_punches.punch(kiosk, request).await
    }
}

/// Waits while other tasks run this many steps.
pub async fn steps(count: usize) {
    for _ in 0..count {
        tokio::task::yield_now().await;
    }
}

pub fn request(employee: EmployeeId, photos: &[&str]) -> EnrollRequest {
    EnrollRequest {
        employee,
        consent: Some(ConsentGiven::Stated),
        photos: samples(photos),
        override_duplicate: false,
    }
}

pub fn samples(texts: &[&str]) -> Vec<Sample> {
    texts
        .iter()
        .map(|text| Sample::new(text.as_bytes().to_vec()))
        .collect()
}
