//! The composition root: settings in, running service out. The one place that names every adapter.

mod running;
mod shared;
mod stalls;
mod stores;
mod tls;

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tracing::warn;
use zeroize::Zeroizing;

use crate::{
    app::App,
    cameras::{Access, Go2rtc, UrlError},
    clock::{Clock, SystemClock},
    config::{self, KeyFileError, SessionEngine, Settings, TemplateKeys},
    domain::{attendance::WorkdayRule, biometrics::Policy},
    gallery::MemoryGallery,
    ports::{Cache, FaceEngine, Gallery, StoreError, Stores, Streams},
    service::{
        accounts::{AccountError, Accounts},
        application_cache::AppCache,
        audit::{Audit, Trail},
        cached_lists::{CachedEmployees, CachedPunches},
        cameras::{Cameras, Overlays},
        devices::Devices,
        employees::Employees,
        enrollment::Enrolling,
        faces::{self, Census},
        health::Health,
        identification::Identifying,
        jobs::Jobs,
        pairing::{PAIRING, Pairing},
        pictures::{Keeps, Pictures},
        probing::Probing,
        punching::{PunchRules, Punching},
        references::{Filled, References},
        sealed_cache::SealedCache,
        seen::Remembering,
        sessions::{CacheSessions, CachedSessions},
        watching::Watching,
    },
    storage::{mongo, sqlite},
    vault::Vault,
    vision::{
        self, Cutter, Engine, EngineOptions, EngineStartError, Glancer, Pack, PackError,
        PrecisionChoice, Runtime, RuntimeError,
    },
};

pub use running::{REQUESTS_PATIENCE, Running};
pub use shared::{Shared, SharedError};
pub use stores::{Opened, in_use, open as open_store, open_present, open_url};
pub use tls::{EXPIRES_SOON, Tls, TlsError, certificate_ends, certificate_names, names_a_host};

/// Why the service cannot start; the messages say what to do.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// The folder for data cannot be used.
    #[error("the data folder {path} cannot be used: {cause}; set DATA_DIR to a folder that can be written", path = .path.display())]
    DataDir {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// The template key file cannot be used.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// What the store holds is sealed with a key that is not there.
    #[error("the store holds faces, and the key that opens them is not there: put {file} back, or set TEMPLATE_KEY to what it held; to start over without these faces run `rollcall employees delete-faces --yes`, then enroll everybody again", file = .0.display())]
    KeyLost(PathBuf),
    /// The SQLite database cannot be opened.
    #[error(transparent)]
    Sqlite(#[from] sqlite::OpenError),
    /// MongoDB's settings are no good.
    #[error(transparent)]
    Mongo(#[from] mongo::ConnectError),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nothing says where the store is.
    #[error("the store has no address: set {0}")]
    NoAddress(&'static str),
    /// A store's URL has none of the known forms; it may hold a password and is not shown.
    #[error(
        "a store is sqlite:///path, mongodb://…/database or redis://…/number with its other forms"
    )]
    StoreUrl,
    /// Nothing to read from.
    #[error("there is no database {}", .0.display())]
    NoDatabase(PathBuf),
    /// ONNX Runtime is missing.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The model pack cannot be used.
    #[error("model pack: {0}")]
    Pack(#[from] PackError),
    /// The engine does not start.
    #[error("the face engine cannot start: {0}")]
    Engine(#[from] EngineStartError),
    /// The first account cannot be made.
    #[error("the account of ADMIN_EMAIL cannot be made: {0}")]
    Admin(#[from] AccountError),
    /// Somebody else listens there.
    #[error("{0} is in use already: stop what listens there, or set PORT to another port")]
    PortInUse(SocketAddr),
    /// Listening there is not possible.
    #[error("cannot listen on {address}: {cause}; check HOST and PORT")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        cause: io::Error,
    },
    /// What instances share cannot be set up.
    #[error(transparent)]
    Shared(#[from] SharedError),
    /// The certificate or its key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// go2rtc's address is none.
    #[error(transparent)]
    Go2rtc(#[from] UrlError),
    /// The metrics recorder cannot be installed.
    #[error("metrics cannot be collected: {0}")]
    Metrics(String),
    /// The server failed.
    #[error("the server failed: {0}")]
    Serve(io::Error),
    /// A task that starts something was cut off.
    #[error("starting was cut off")]
    CutOff,
}

/// The system of record, and what every command needs with it.
#[derive(Clone)]
pub struct Records {
    /// Every port of the store.
    pub stores: Stores,
    /// Time and entropy.
    pub clock: Arc<dyn Clock>,
    /// The audit trail.
    pub audit: Audit,
    /// Accounts.
    pub accounts: Arc<Accounts>,
    /// Pairings that are under way.
    pub pairings: AppCache,
    /// Faces that cameras see.
    pub overlays: Overlays,
    /// What instances share for a while.
    pub shared: Shared,
    /// What somebody should know who keeps records in this store.
    pub warnings: Vec<String>,
}

/// What the SQLite database is called in its folder.
const DATABASE_FILE: &str = "rollcall.db";

/// Where the SQLite database is.
pub fn database(settings: &Settings) -> PathBuf {
    settings.store.data_dir.join(DATABASE_FILE)
}

/// Where the generated template key is.
pub fn key_file(settings: &Settings) -> PathBuf {
    settings.store.data_dir.join("template.key")
}

/// Where model packs are looked for, the first that has one counts.
pub fn pack_roots(settings: &Settings) -> Vec<PathBuf> {
    vec![
        settings.recognition.models_dir.clone(),
        settings.store.data_dir.join("models"),
    ]
}

/// Opens the store that the settings name.
///
/// # Errors
/// When it cannot be opened or does not answer.
pub async fn records(settings: &Settings) -> Result<Records, BootError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let Opened {
        mut stores,
        warnings,
    } = stores::open(settings).await?;
    let shared = Shared::new(&settings.redis, &clock, Some(stores.cache.clone()))?;
    shared.connect().await;
    // What stays in this process needs no key that outlives it.
    let vault = Arc::new(match shared.keeps_to_itself() {
        true => Vault::new(&Zeroizing::new(clock.secret()), &[]),
        false => vault(settings, &stores, &*clock).await?,
    });
    let sealed = |name, cache: &Arc<dyn Cache>| {
        SealedCache::new(name, cache.clone(), vault.clone(), clock.clone())
    };
    if let Some(cache) = &shared.sessions {
        let cache = sealed("sessions", cache);
        stores.sessions = match settings.redis.session_engine {
            SessionEngine::Cache => {
                let age = settings.server.session_age;
                let age = Duration::try_from(age).unwrap_or_default();
                let cache = AppCache::new("session", cache, clock.clone(), age);
                Arc::new(CacheSessions::new(cache, stores.sessions, clock.clone()))
            }
            _ => Arc::new(CachedSessions::new(stores.sessions, cache)),
        };
    }
    let application = sealed("application", &shared.application);
    let application = AppCache::new("default", application, clock.clone(), shared.remembered());
    stores.employees = Arc::new(CachedEmployees::new(stores.employees, application.clone()));
    stores.punches = Arc::new(CachedPunches::new(stores.punches, application));
    let pairings = sealed("pairings", &shared.application);
    let pairings = AppCache::new("pairing", pairings, clock.clone(), PAIRING);
    let overlays = sealed("overlays", &shared.application);
    let overlays = AppCache::new("overlay", overlays, clock.clone(), Overlays::LIVES);
    let audit = Audit::new(stores.audit.clone(), clock.clone());
    let accounts = Accounts::new(
        stores.clone(),
        audit.clone(),
        clock.clone(),
        settings.server.session_age,
    );
    Ok(Records {
        stores,
        clock,
        audit,
        accounts: Arc::new(accounts),
        pairings,
        overlays: Overlays::new(overlays),
        shared,
        warnings,
    })
}

/// Makes the folder, for its owner alone, when it is missing, and makes sure that it can be written.
///
/// # Errors
/// When it cannot be made or written.
pub fn make_data_dir(path: &Path) -> Result<(), BootError> {
    let make = || {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(path)?;
        let probe = path.join(format!(".probe-{}", std::process::id()));
        fs::File::create(&probe)?;
        fs::remove_file(&probe)
    };
    make().map_err(|cause| BootError::DataDir {
        path: path.to_owned(),
        cause,
    })
}

/// Everything but the server: what `serve` and the commands that enroll stand on.
pub struct Core {
    /// The store, clock, accounts.
    pub records: Records,
    /// The services.
    pub app: App,
    /// The face engine.
    pub engine: Arc<Engine>,
    /// go2rtc.
    pub streams: Arc<dyn Streams>,
    /// Watches cameras.
    pub watching: Arc<Watching>,
    /// Keeps the gallery in step.
    pub references: Arc<References>,
    /// The id of the key that seals here.
    pub key_id: String,
    /// Who is in the gallery.
    pub filled: Filled,
    /// What the gallery was filled from is no older than this.
    pub filled_at: jiff::Timestamp,
}

impl Core {
    /// Opens the store, starts the engine and fills the gallery.
    ///
    /// # Errors
    /// The first thing that is missing.
    pub async fn start(settings: &Settings) -> Result<Self, BootError> {
        let records = records(settings).await?;
        let vault = Arc::new(vault(settings, &records.stores, &*records.clock).await?);
        let key_id = vault.key_id().to_owned();
        let (engine, dimensions) = engine(settings).await?;
        let cache = records.shared.cache.clone();
        let cache = cache.map(|cache| {
            SealedCache::new("embeddings", cache, vault.clone(), records.clock.clone())
        });
        let face_engine: Arc<dyn FaceEngine> = Arc::new(Remembering::new(engine.clone(), cache));
        let gallery: Arc<dyn Gallery> = Arc::new(MemoryGallery::new(dimensions));
        let Records {
            stores,
            clock,
            audit,
            accounts,
            ..
        } = records.clone();
        let model = face_engine.model().clone();
        let feed = records.shared.feed();
        let references = Arc::new(References::new(
            stores.clone(),
            vault.clone(),
            gallery.clone(),
            model.clone(),
            feed.clone(),
        ));
        let least_liveness = Some(settings.recognition.min_liveness).filter(|least| *least > 0.0);
        let keeps = Keeps {
            punches: settings.privacy.keep_punch_pictures.is_some(),
            unknown: settings.privacy.keep_unknown_faces.is_some(),
        };
        let probing = Probing::new(face_engine.clone(), least_liveness).with_stills(keeps.any());
        let probing = Arc::new(probing);
        let pictures = Arc::new(Pictures::new(
            stores.clone(),
            vault.clone(),
            Arc::new(Cutter::default()),
            records.shared.limits.clone(),
            audit.clone(),
            clock.clone(),
            keeps,
        ));
        let identifying = Arc::new(Identifying::new(
            probing.clone(),
            gallery.clone(),
            references.clone(),
            Policy {
                fpir: settings.recognition.fpir,
                least_margin: settings.recognition.min_margin,
            },
        ));
        let health = Arc::new(Health::new(
            stores.health.clone(),
            face_engine.clone(),
            gallery,
        ));
        let devices = Arc::new(Devices::new(
            stores.devices.clone(),
            audit.clone(),
            clock.clone(),
            feed.clone(),
        ));
        let jobs = Arc::new(Jobs::new(
            stores.clone(),
            model.clone(),
            audit.clone(),
            clock.clone(),
            feed.clone(),
        ));
        let trail = Arc::new(Trail::new(&stores));
        let streams = streams(settings)?;
        let app = App {
            accounts,
            cameras: Arc::new(Cameras::new(
                (stores.cameras.clone(), stores.accounts.clone()),
                streams.clone(),
                records.overlays.clone(),
                audit.clone(),
                clock.clone(),
                feed.clone(),
            )),
            employees: Arc::new(Employees::new(
                stores.clone(),
                references.clone(),
                identifying.clone(),
                audit.clone(),
                clock.clone(),
            )),
            pairing: Arc::new(Pairing::new(
                records.pairings.clone(),
                devices.clone(),
                clock.clone(),
            )),
            devices,
            enrolling: Arc::new(Enrolling::new(
                stores.clone(),
                face_engine,
                identifying.clone(),
                references.clone(),
                vault,
                audit,
                clock.clone(),
                settings.privacy.keep_photos,
            )),
            punching: Arc::new(Punching::new(
                stores,
                identifying.clone(),
                clock.clone(),
                model,
                PunchRules {
                    cooldown: settings.attendance.cooldown,
                    workday: WorkdayRule {
                        zone: settings.attendance.time_zone.clone(),
                        starts: settings.attendance.workday_starts,
                    },
                },
                feed,
                pictures.clone(),
            )),
            pictures,
            identifying,
            jobs,
            trail,
            health,
        };
        let watching = Arc::new(Watching::new(
            engine.clone(),
            Arc::new(Glancer::default()),
            probing,
            app.punching.clone(),
            clock.clone(),
        ));
        let filled_at = clock.now();
        let filled = references.fill().await?;
        Ok(Self {
            records,
            app,
            engine,
            streams,
            watching,
            references,
            key_id,
            filled,
            filled_at,
        })
    }

    /// Stops the engine and closes the store.
    pub async fn stop(self) {
        let engine = self.engine;
        if tokio::task::spawn_blocking(move || engine.stop())
            .await
            .is_err()
        {
            warn!("the face engine did not stop cleanly");
        }
        self.records.stores.health.close().await;
    }
}

/// What brings in the cameras; nothing is connected yet.
///
/// # Errors
/// When its address is none.
pub fn streams(settings: &Settings) -> Result<Arc<dyn Streams>, BootError> {
    let cameras = &settings.cameras;
    let access = Access {
        url: cameras.url.clone(),
        user: cameras.user.clone().zip(cameras.password.clone()),
    };
    Ok(Arc::new(Go2rtc::new(access)?))
}

/// The vault, with a key that is made when there is none and nothing is sealed yet.
async fn vault(
    settings: &Settings,
    stores: &Stores,
    clock: &dyn Clock,
) -> Result<Vault, BootError> {
    if let Some(vault) = present_vault(settings)? {
        return Ok(vault);
    }
    let file = key_file(settings);
    if faces::any(stores).await? {
        return Err(BootError::KeyLost(file));
    }
    make_data_dir(&settings.store.data_dir)?;
    let keys = TemplateKeys::read_or_create(&file, clock.secret())?;
    Ok(Vault::new(&keys.sealing, &keys.older))
}

/// The vault with the keys that there are; `None` when there is none yet.
///
/// # Errors
/// When the key file cannot be used.
pub fn present_vault(settings: &Settings) -> Result<Option<Vault>, BootError> {
    Ok(present_keys(settings)?.as_ref().map(vault_with))
}

/// The vault with some keys.
pub fn vault_with(keys: &TemplateKeys) -> Vault {
    Vault::new(&keys.sealing, &keys.older)
}

/// The keys that there are: those of the settings, else of the key file.
///
/// # Errors
/// When the key file cannot be used.
pub fn present_keys(settings: &Settings) -> Result<Option<TemplateKeys>, KeyFileError> {
    match &settings.privacy.template_key {
        Some(keys) => Ok(Some(keys.clone())),
        None => TemplateKeys::read(&key_file(settings)),
    }
}

/// Makes a new key, puts it before those in the key file, and keeps these to open with.
///
/// # Errors
/// When the file cannot be written.
pub fn add_key(settings: &Settings, keys: &TemplateKeys) -> Result<(), KeyFileError> {
    let new = Zeroizing::new(SystemClock.secret());
    keys.preceded_by(new).replace(&key_file(settings))
}

/// What the store holds of faces, and what of it the present keys open.
///
/// # Errors
/// When the store does not answer, or the key file cannot be used.
pub async fn census(settings: &Settings) -> Result<Census, BootError> {
    let vault = present_vault(settings)?;
    let stores = stores::open(settings).await?.stores;
    let census = faces::census(&stores, vault.as_ref()).await;
    stores.health.close().await;
    Ok(census?)
}

/// Deletes every enrolled face of a service that does not run, also when no key opens them; of
/// how many people.
///
/// # Errors
/// When the store does not answer.
pub async fn delete_faces(settings: &Settings) -> Result<usize, BootError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let stores = stores::open(settings).await?.stores;
    let audit = Audit::new(stores.audit.clone(), clock.clone());
    let deleted = faces::delete_all(&stores, &audit, &*clock).await;
    stores.health.close().await;
    Ok(deleted?)
}

/// Starts the engine off the async threads: reading, checking and timing models takes a while.
async fn engine(settings: &Settings) -> Result<(Arc<Engine>, usize), BootError> {
    let recognition = settings.recognition.clone();
    let roots = pack_roots(settings);
    let start = move || {
        let runtime = Runtime::load(recognition.ort_dylib_path.as_deref())?;
        let pack = Pack::with_liveness(
            &recognition.model_pack,
            recognition.liveness_pack.as_deref(),
            &roots,
        )?;
        let options = EngineOptions {
            threads: recognition.threads.unwrap_or_else(vision::cpu_quota),
            queue: recognition.queue,
            precision: match recognition.precision {
                config::Precision::Auto => PrecisionChoice::Auto,
                config::Precision::Fp => PrecisionChoice::Only(vision::pack::Precision::Fp),
                config::Precision::Int8 => PrecisionChoice::Only(vision::pack::Precision::Int8),
            },
            ..EngineOptions::default()
        };
        let dimensions = pack.manifest().embedder.dimensions;
        Ok((
            Arc::new(Engine::start(&runtime, &pack, options)?),
            dimensions,
        ))
    };
    tokio::task::spawn_blocking(start)
        .await
        .map_err(|_| BootError::CutOff)?
}
