//! A small world for the services: a real SQLite file, a clock that stands still until it is
//! told otherwise, and an engine that sees what the sample's text says.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use rollcall::{
    clock::{Clock, SystemClock},
    domain::{
        accounts::Actor,
        attendance::WorkdayRule,
        biometrics::{
            Calibration, CalibrationTable, Embedding, ErrorRate, Match, ModelId, Policy, Reference,
        },
        devices::Device,
        employees::Employee,
        ids::EmployeeId,
        quality::Quality,
        samples::Still,
        text::{Code, Name},
    },
    ports::{
        Analysis, Cutting, EngineError, Face, FaceBox, FaceEngine, Gallery, Sample, SampleError,
        Stores, Work,
    },
    service::{
        accounts::Accounts,
        audit::Audit,
        devices::Devices,
        employees::Employees,
        enrollment::{EnrollError, EnrollRequest, Enrolling, Enrollment},
        identification::Identifying,
        pictures::{Keeps, Pictures},
        probing::Probing,
        punching::{PunchAnswer, PunchError, PunchRequest, PunchRules, Punching},
        references::References,
    },
    storage::sqlite::SqliteStore,
    vault::Vault,
};
use rollcall::{
    service::feed::Feed,
    storage::memory::{MemoryBus, MemoryLimits},
};
use uuid::Uuid;
use zeroize::Zeroizing;

/// Stands still until it is moved.
pub struct HeldClock {
    milliseconds: AtomicI64,
    minted: AtomicU64,
}

impl HeldClock {
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

/// A face in a scripted sample: `ann~0.2#3` is Ann, 0.2 away from her own direction, in the
/// third of many possible ways.
fn direction(seed: &str, size: usize) -> Vec<f32> {
    use sha2::{Digest, Sha256};
    let values: Vec<f32> = (0..size)
        .map(|place| {
            let digest = Sha256::digest(format!("{seed}/{place}"));
            f32::from(digest[0]) + f32::from(digest[1]) / 256.0 - 127.5
        })
        .collect();
    Embedding::normalise(values).unwrap().as_slice().to_vec()
}

fn face(text: &str) -> Face {
    let mut quality = Quality {
        width: 120.0,
        yaw: 0.0,
        pitch: 0.0,
        roll: 0.0,
        sharpness: 200.0,
        brightness: 120.0,
        contrast: 50.0,
        inside: 1.0,
        score: 0.9,
    };
    let mut liveness = None;
    let mut parts = text.split_whitespace();
    let who = parts.next().unwrap();
    for part in parts {
        match part.split_once('=').unwrap() {
            ("width", value) => quality.width = value.parse().unwrap(),
            ("yaw", value) => quality.yaw = value.parse().unwrap(),
            ("sharpness", value) => quality.sharpness = value.parse().unwrap(),
            ("live", value) => liveness = Some(value.parse().unwrap()),
            other => panic!("unknown part {other:?}"),
        }
    }
    let (name, drift) = who.split_once('~').unwrap_or((who, "0"));
    let (drift, _) = drift.split_once('#').unwrap_or((drift, ""));
    let drift: f32 = drift.parse().unwrap();
    let noise = direction(who, 128);
    let values = direction(name, 128)
        .into_iter()
        .zip(&noise)
        .map(|(own, other)| own + drift * other);
    Face {
        bounds: FaceBox {
            x: 10.0,
            y: 10.0,
            width: quality.width,
            height: quality.width,
        },
        landmarks: [(0.0, 0.0); 5],
        quality,
        embedding: Embedding::normalise(values.collect()),
        liveness,
    }
}

/// Sees in a sample what its text says: faces separated by `|`, `broken` for no image.
pub struct ScriptedEngine {
    model: ModelId,
    calibration: Calibration,
    /// How often it still says that it is busy.
    pub busy: AtomicU64,
    /// How often it still fails.
    pub faults: AtomicU64,
}

impl Default for ScriptedEngine {
    fn default() -> Self {
        let table = CalibrationTable {
            fmr: vec![1e-2, 1e-3, 1e-4, 1e-5],
            t0: vec![0.88, 0.90, 0.92, 0.94],
            s: vec![0.6; 4],
            enroll_views_shift: vec![],
            probe_views_shift: vec![],
            source: "made up".into(),
        };
        Self {
            model: ModelId::new("scripted"),
            calibration: table.try_into().unwrap(),
            busy: AtomicU64::new(0),
            faults: AtomicU64::new(0),
        }
    }
}

#[async_trait]
impl FaceEngine for ScriptedEngine {
    fn model(&self) -> &ModelId {
        &self.model
    }

    fn calibration(&self) -> Option<&Calibration> {
        Some(&self.calibration)
    }

    fn judges_liveness(&self) -> bool {
        false
    }

    fn fingerprint(&self) -> &str {
        "scripted"
    }

    async fn analyse(&self, sample: Sample, _: Work) -> Result<Analysis, EngineError> {
        let text = std::str::from_utf8(sample.bytes()).unwrap().to_owned();
        tokio::task::yield_now().await;
        let once_less = |left: &AtomicU64| {
            let less = |left: u64| left.checked_sub(1);
            left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less)
                .is_ok()
        };
        if once_less(&self.busy) {
            return Err(EngineError::Overloaded);
        }
        if once_less(&self.faults) {
            return Err(EngineError::Failed("no luck".into()));
        }
        if text == "broken" {
            return Err(SampleError::Corrupt.into());
        }
        let mut faces: Vec<Face> = text
            .split('|')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(face)
            .collect();
        faces.sort_by(|a, b| b.bounds.area().total_cmp(&a.bounds.area()));
        Ok(Analysis {
            width: 640,
            height: 480,
            faces,
        })
    }
}

/// Takes the whole sample for a picture.
struct WholeSample;

#[async_trait]
impl Cutting for WholeSample {
    async fn cut(&self, still: Still) -> Result<Vec<u8>, SampleError> {
        Ok(still.sample.bytes().to_vec())
    }
}

/// Searches everybody one by one.
#[derive(Default)]
pub struct PlainGallery(Mutex<BTreeMap<EmployeeId, Reference>>);

impl Gallery for PlainGallery {
    fn people(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    fn search(&self, probe: &Embedding, slope: f32, limit: usize) -> Vec<Match> {
        let people = self.0.lock().unwrap();
        let mut matches: Vec<Match> = people
            .iter()
            .map(|(&employee, reference)| Match {
                employee,
                similarity: probe.similarity(&reference.fused.embedding).unwrap(),
                resultant: reference.fused.resultant,
            })
            .collect();
        let rank = |found: &Match| found.similarity.value() - slope * found.resultant.spread();
        matches.sort_by(|a, b| rank(b).total_cmp(&rank(a)));
        matches.truncate(limit);
        matches
    }

    fn find(&self, employee: EmployeeId) -> Option<Reference> {
        self.0.lock().unwrap().get(&employee).cloned()
    }

    fn put(&self, employee: EmployeeId, reference: Reference) {
        self.0.lock().unwrap().insert(employee, reference);
    }

    fn remove(&self, employee: EmployeeId) -> bool {
        self.0.lock().unwrap().remove(&employee).is_some()
    }
}

/// One instance of the service over a store that others may share.
pub struct Instance {
    pub stores: Stores,
    pub clock: Arc<HeldClock>,
    pub gallery: Arc<PlainGallery>,
    pub accounts: Accounts,
    pub devices: Devices,
    pub employees: Arc<Employees>,
    pub enrolling: Arc<Enrolling>,
    pub identifying: Arc<Identifying>,
    pub punching: Arc<Punching>,
    pub pictures: Arc<Pictures>,
    pub references: Arc<References>,
    /// What the engine is, and how often it says that it is busy.
    pub engine: Arc<ScriptedEngine>,
    _folder: Option<tempfile::TempDir>,
}

/// Who does things in these tests.
pub const ADMIN: Actor = Actor::Operator;

pub async fn instance() -> Instance {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("rollcall.db"))
        .await
        .unwrap();
    let clock = Arc::new(HeldClock {
        milliseconds: AtomicI64::new(1_768_478_400_000), // 2026-01-15T12:00:00Z
        minted: AtomicU64::new(0),
    });
    Instance {
        _folder: Some(folder),
        ..Instance::over(Stores::of(Arc::new(store)), clock)
    }
}

impl Instance {
    fn over(stores: Stores, held: Arc<HeldClock>) -> Self {
        Self::with(stores, held, ScriptedEngine::default(), Keeps::default())
    }

    fn with(stores: Stores, held: Arc<HeldClock>, engine: ScriptedEngine, keeps: Keeps) -> Self {
        let clock: Arc<dyn Clock> = held.clone();
        let scripted = Arc::new(engine);
        let engine: Arc<dyn FaceEngine> = scripted.clone();
        let model = engine.model().clone();
        let gallery = Arc::new(PlainGallery::default());
        let vault = Arc::new(Vault::new(&Zeroizing::new([7; 32]), &[]));
        let audit = Audit::new(stores.audit.clone(), clock.clone());
        let feed = Feed::new(Arc::new(MemoryBus::default()));
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
        let probing = Probing::new(engine.clone(), Some(0.5)).with_stills(keeps.any());
        let probing = Arc::new(probing);
        let passing = held.clone();
        let limits = MemoryLimits::by(move || {
            let since = passing.now().duration_since(Timestamp::UNIX_EPOCH);
            since.unsigned_abs()
        });
        let pictures = Arc::new(Pictures::new(
            stores.clone(),
            vault.clone(),
            Arc::new(WholeSample),
            Arc::new(limits),
            audit.clone(),
            clock.clone(),
            keeps,
        ));
        let identifying = Arc::new(Identifying::new(
            probing,
            gallery.clone(),
            references.clone(),
            policy,
        ));
        let rules = PunchRules {
            cooldown: SignedDuration::from_secs(60),
            workday: WorkdayRule {
                zone: TimeZone::UTC,
                starts: SignedDuration::from_hours(4),
            },
        };
        Self {
            accounts: Accounts::new(
                stores.clone(),
                audit.clone(),
                clock.clone(),
                SignedDuration::from_hours(24),
            ),
            devices: Devices::new(
                stores.devices.clone(),
                audit.clone(),
                clock.clone(),
                feed.clone(),
            ),
            employees: Arc::new(Employees::new(
                stores.clone(),
                references.clone(),
                identifying.clone(),
                audit.clone(),
                clock.clone(),
            )),
            enrolling: Arc::new(Enrolling::new(
                stores.clone(),
                engine,
                identifying.clone(),
                references.clone(),
                vault,
                audit,
                clock.clone(),
                true,
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
            references,
            gallery,
            clock: held,
            stores,
            engine: scripted,
            _folder: None,
        }
    }

    /// Another instance on the same store, whose gallery is empty until it is filled.
    pub fn another(&self) -> Self {
        Self::over(self.stores.clone(), self.clock.clone())
    }

    /// The same with another model.
    pub fn of_model(&self, model: &str) -> Self {
        let engine = ScriptedEngine {
            model: ModelId::new(model),
            ..ScriptedEngine::default()
        };
        Self::with(
            self.stores.clone(),
            self.clock.clone(),
            engine,
            Keeps::default(),
        )
    }

    /// The same on stores that are made otherwise.
    pub fn on(&self, stores: Stores) -> Self {
        Self::over(stores, self.clock.clone())
    }

    /// The same, with pictures; the first instance's folder goes over.
    pub fn keeping(self, keeps: Keeps) -> Self {
        let engine = ScriptedEngine::default();
        Self {
            _folder: self._folder,
            ..Self::with(self.stores, self.clock, engine, keeps)
        }
    }

    pub async fn person(&self, name: &str) -> Employee {
        let (name, code) = (Name::parse(name).unwrap(), Code::parse(name).unwrap());
        self.employees.add(ADMIN, name, code, None).await.unwrap()
    }

    pub async fn enroll(
        &self,
        who: EmployeeId,
        photos: &[&str],
    ) -> Result<Enrollment, EnrollError> {
        self.enrolling.enroll(ADMIN, request(who, photos)).await
    }

    /// Somebody with two photos in the gallery.
    pub async fn enrolled(&self, name: &str) -> Employee {
        let person = self.person(name).await;
        let photos = [format!("{name}~0.1#1"), format!("{name}~0.1#2")];
        self.enroll(person.id, &photos.each_ref().map(String::as_str))
            .await
            .unwrap()
            .employee
    }

    pub async fn kiosk(&self) -> Device {
        self.devices
            .register(ADMIN, Name::parse("Front door").unwrap(), None)
            .await
            .unwrap()
            .0
    }

    pub async fn punch(
        &self,
        kiosk: &Device,
        request: PunchRequest,
    ) -> Result<PunchAnswer, PunchError> {
        self.punching.punch(kiosk, request).await
    }
}

/// Somebody who is not in any store yet.
pub fn person(name: &str) -> Employee {
    Employee {
        id: EmployeeId::new(SystemClock.id()),
        name: Name::parse(name).unwrap(),
        code: Code::parse(name).unwrap(),
        site: None,
        active: true,
        consent: None,
        templates: 0,
        created_at: Timestamp::from_millisecond(1_768_478_400_000).unwrap(),
        deleted_at: None,
    }
}

pub fn request(employee: EmployeeId, photos: &[&str]) -> EnrollRequest {
    EnrollRequest {
        employee,
        consent: true,
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
