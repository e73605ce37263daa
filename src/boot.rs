//! The composition root: settings in, running service out. The one place that names every adapter.

mod shared;
mod stores;
mod tls;

use std::{
    fs, io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicU32},
    time::Duration,
};

use axum_server::{Address, Server, accept::NoDelayAcceptor, tls_rustls::RustlsAcceptor};
use hyper_util::rt::TokioTimer;
use jiff::SignedDuration;
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use zeroize::Zeroizing;

use crate::{
    app::App,
    cameras::{Access, Go2rtc, UrlError},
    clock::{Clock, SystemClock},
    config::{self, KeyFileError, SessionEngine, Settings, StoreKind, TemplateKeys},
    domain::{
        accounts::Role, attendance::WorkdayRule, biometrics::Policy, jobs::JobKind, text::Name,
    },
    gallery::MemoryGallery,
    http,
    ports::{Cache, FaceEngine, Gallery, Quota, StoreError, Stores, Streams},
    service::{
        accounts::{AccountError, Accounts, NewAccount},
        application_cache::AppCache,
        audit::Audit,
        cached_lists::{CachedEmployees, CachedPunches},
        cameras::{Cameras, Overlays},
        devices::Devices,
        employees::Employees,
        enrollment::Enrolling,
        faces::{self, Census},
        health::Health,
        identification::Identifying,
        jobs::{Jobs, Runner},
        pairing::{PAIRING, Pairing},
        probing::Probing,
        punching::{PunchRules, Punching},
        references::{Filled, References},
        sealed_cache::SealedCache,
        seen::Remembering,
        sessions::{CacheSessions, CachedSessions},
        watching::Watching,
    },
    storage::{mongo, sqlite},
    telemetry,
    vault::Vault,
    vision::{
        self, Engine, EngineOptions, EngineStartError, Glancer, Pack, PackError, PrecisionChoice,
        Runtime, RuntimeError,
    },
    workers::{
        Supervisor, cameras,
        gallery_sync::{self, GallerySync},
        jobs, retention,
    },
};

pub use shared::{Shared, SharedError};
pub use stores::{Opened, open_url};
pub use tls::{Tls, TlsError};

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
        let probing = Arc::new(Probing::new(face_engine.clone(), least_liveness));
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
        let streams: Arc<dyn Streams> = Arc::new(Go2rtc::new(access(settings))?);
        let app = App {
            accounts,
            cameras: Arc::new(Cameras::new(
                stores.cameras.clone(),
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
            )),
            identifying,
            jobs,
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

fn access(settings: &Settings) -> Access {
    let cameras = &settings.cameras;
    Access {
        url: cameras.url.clone(),
        user: cameras.user.clone().zip(cameras.password.clone()),
    }
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
    let keys = match &settings.privacy.template_key {
        Some(keys) => Some(keys.clone()),
        None => TemplateKeys::read(&key_file(settings))?,
    };
    Ok(keys.map(|keys| Vault::new(&keys.sealing, &keys.older)))
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

/// A service that accepts requests.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// What to say at start, line by line.
    pub lines: Vec<(&'static str, String)>,
    /// The token of the one-time set-up link; `None` when there is an account.
    pub setup_token: Option<SecretString>,
    core: Core,
    supervisor: Supervisor,
    stopping: CancellationToken,
    router: axum::Router,
    listener: TcpListener,
    tls: Option<Tls>,
}

/// How long a client may take to send the head of a request, and to send another one on a
/// connection that it keeps.
const HEADERS_PATIENCE: Duration = Duration::from_secs(30);

/// How long a client may take to agree on TLS.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(10);

/// How long requests that are under way may take once the service stops.
pub const REQUESTS_PATIENCE: Duration = Duration::from_secs(10);
/// How long background tasks may take to stop.
const TASKS_PATIENCE: Duration = Duration::from_secs(5);

impl Running {
    /// Starts everything, first of all the port, so that a second start is told at once.
    ///
    /// # Errors
    /// The first thing that is missing.
    pub async fn start(settings: &Settings) -> Result<Self, BootError> {
        let listener = listen(settings.server.host, settings.server.port).await?;
        let address = listener.local_addr().map_err(BootError::Serve)?;
        let tls = tls(settings)?;
        let metrics =
            telemetry::start_metrics().map_err(|error| BootError::Metrics(error.to_string()))?;
        let core = Core::start(settings).await?;
        for warning in &core.records.warnings {
            warn!("{warning}");
        }
        let setup_token = first_account(settings, &core.records).await?;
        let parts = Arc::new(telemetry::Health::default());
        parts.note(gallery_sync::PART, telemetry::Condition::Fine);
        let (supervisor, stopping) = (Supervisor::new(), CancellationToken::new());
        start_workers(&supervisor, &core, &parts, metrics.clone());
        watch_cameras(&supervisor, &core, settings);
        let render = move || metrics.render();
        let router = http::router(http::Parts {
            app: core.app.clone(),
            settings: http_settings(settings),
            limits: core.records.shared.limits.clone(),
            feed: core.records.shared.feed(),
            redis: core.records.shared.redis(),
            stopping: stopping.clone(),
            clock: core.records.clock.clone(),
            health: parts,
            metrics: Arc::new(render),
        });
        if let Some(tls) = &tls {
            let tls = tls.clone();
            supervisor.keep("tls", move |stop| tls.clone().follow(stop));
        }
        let lines = lines(settings, &core, address);
        Ok(Self {
            address,
            lines,
            setup_token,
            core,
            supervisor,
            stopping,
            router,
            listener,
            tls,
        })
    }

    /// The one-time set-up link, for a terminal and nowhere else. Its token stands in the
    /// fragment, which browsers do not send.
    pub fn setup_link(&self) -> Option<String> {
        let token = self.setup_token.as_ref()?;
        Some(format!(
            "{}/setup#{}",
            url(self.address, self.tls.is_some()),
            token.expose_secret()
        ))
    }

    /// Serves until `stop` is cancelled, then lets requests finish, stops the tasks and the
    /// engine, and closes the store. Cancelling `hurry` cuts off requests that are under way.
    ///
    /// # Errors
    /// When the server fails.
    pub async fn serve(
        self,
        stop: CancellationToken,
        hurry: CancellationToken,
    ) -> Result<(), BootError> {
        let service = self
            .router
            .into_make_service_with_connect_info::<SocketAddr>();
        let listener = self.listener.into_std().map_err(BootError::Serve)?;
        let handle = axum_server::Handle::new();
        // An answer is small and complete: waiting for more to send only costs time.
        let plain = axum_server::from_tcp(listener)
            .map_err(BootError::Serve)?
            .handle(handle.clone())
            .acceptor(NoDelayAcceptor::new());
        let server = async {
            match &self.tls {
                None => bounded(plain).serve(service).await,
                Some(tls) => {
                    let tls = plain.map(|plain| {
                        RustlsAcceptor::new(tls.serving())
                            .handshake_timeout(HANDSHAKE_PATIENCE)
                            .acceptor(plain)
                    });
                    bounded(tls).serve(service).await
                }
            }
        };
        let patience = async {
            stop.cancelled().await;
            // Streams would go on for ever: they end with the word to stop. Tasks end meanwhile.
            self.stopping.cancel();
            self.supervisor.token().cancel();
            handle.graceful_shutdown(None);
            tokio::select! {
                () = tokio::time::sleep(REQUESTS_PATIENCE) => {}
                () = hurry.cancelled() => {}
            }
        };
        let served = tokio::select! {
            served = server => served.map_err(BootError::Serve),
            () = patience => {
                warn!("some requests were cut off");
                Ok(())
            }
        };
        for task in self.supervisor.shutdown(TASKS_PATIENCE).await {
            warn!(task, "the task did not stop in time");
        }
        self.core.stop().await;
        served
    }
}

/// Bounds what a silent client costs. HTTP/1 alone: whoever might speak HTTP/2 is waited for,
/// without end, until they say so.
fn bounded<A: Address, Acceptor>(server: Server<A, Acceptor>) -> Server<A, Acceptor> {
    let mut server = server.http1_only();
    server
        .http_builder()
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_PATIENCE);
    server
}

fn tls(settings: &Settings) -> Result<Option<Tls>, TlsError> {
    let server = &settings.server;
    let files = server.tls_cert.as_ref().zip(server.tls_key.as_ref());
    files
        .map(|(certificate, key)| Tls::open(certificate, key))
        .transpose()
}

async fn listen(host: IpAddr, port: u16) -> Result<TcpListener, BootError> {
    let address = SocketAddr::new(host, port);
    TcpListener::bind(address)
        .await
        .map_err(|cause| match cause.kind() {
            io::ErrorKind::AddrInUse => BootError::PortInUse(address),
            _ => BootError::Listen { address, cause },
        })
}

/// Makes the account that the settings ask for, or the token for whoever sets the service up;
/// neither when there is an account.
async fn first_account(
    settings: &Settings,
    records: &Records,
) -> Result<Option<SecretString>, BootError> {
    let accounts = &records.accounts;
    if !accounts.needs_setup().await? {
        if settings.admin.email.is_some() {
            info!(
                "ADMIN_EMAIL was left alone: there is an account already, `rollcall admin create` makes another"
            );
        }
        return Ok(None);
    }
    if let (Some(email), Some(password)) = (&settings.admin.email, &settings.admin.password) {
        let new = NewAccount {
            email: email.clone(),
            name: Name::parse("Admin").expect("it is a name"),
            password: password.clone(),
            role: Role::Admin,
        };
        if accounts.create_first(new).await?.is_none() {
            tracing::warn!("somebody else is making the first account: ADMIN_EMAIL was left alone");
        }
        return Ok(None);
    }
    Ok(accounts
        .offer_setup()
        .map(|token| token.reveal().to_owned().into()))
}

fn start_workers(
    supervisor: &Supervisor,
    core: &Core,
    parts: &Arc<telemetry::Health>,
    metrics: metrics_exporter_prometheus::PrometheusHandle,
) {
    let Records { stores, clock, .. } = core.records.clone();
    let (references, since) = (core.references.clone(), core.filled_at);
    let (templates, sync_clock, sync_parts) =
        (stores.templates.clone(), clock.clone(), parts.clone());
    let sync_feed = core.records.shared.feed();
    supervisor.keep("gallery sync", move |stop| {
        let (references, templates) = (references.clone(), templates.clone());
        GallerySync::new(
            references,
            templates,
            sync_clock.clone(),
            sync_parts.clone(),
            since,
        )
        .run(sync_feed.follow(), stop)
    });
    let shared = &core.records.shared;
    for server in shared.servers.clone() {
        supervisor.keep("redis", move |stop| {
            let server = server.clone();
            async move { server.watch(stop).await }
        });
    }
    if !shared.servers.is_empty() {
        let (servers, parts) = (shared.servers.clone(), parts.clone());
        supervisor.keep("redis health", move |stop| {
            shared::tell(servers.clone(), parts.clone(), stop)
        });
    }
    if let Some(bus) = shared.remote_bus.clone() {
        supervisor.keep("bus", move |stop| {
            let bus = bus.clone();
            async move { bus.listen(stop).await }
        });
    }
    let runner = Arc::new(Runner::new(
        stores.clone(),
        core.app.employees.clone(),
        core.app.enrolling.clone(),
        clock.clone(),
        shared.feed(),
    ));
    for kind in JobKind::ALL {
        let (runner, feed) = (runner.clone(), shared.feed());
        supervisor.keep(jobs::name(kind), move |stop| {
            jobs::run(kind, runner.clone(), feed.clone(), stop)
        });
    }
    supervisor.spawn(
        "model change",
        jobs::after_model_change(core.app.jobs.clone(), supervisor.token()),
    );
    if shared.in_store {
        let (cache, clock) = (stores.cache.clone(), clock.clone());
        supervisor.keep("cache", move |stop| {
            retention::sweep(cache.clone(), clock.clone(), stop)
        });
    }
    supervisor.keep("retention", move |stop| {
        retention::run(stores.clone(), clock.clone(), stop)
    });
    supervisor.keep("metrics", move |stop| {
        telemetry::keep_metrics(metrics.clone(), stop)
    });
}

fn watch_cameras(supervisor: &Supervisor, core: &Core, settings: &Settings) {
    let Records { stores, clock, .. } = &core.records;
    let deck = Arc::new(cameras::Deck {
        store: stores.cameras.clone(),
        leases: stores.leases.clone(),
        streams: core.streams.clone(),
        watching: core.watching.clone(),
        overlays: core.records.overlays.clone(),
        feed: core.records.shared.feed(),
        zone: settings.attendance.time_zone.clone(),
        clock: clock.clone(),
        instance: clock.id().to_string(),
        held: AtomicU32::new(0),
    });
    let parent = supervisor.clone();
    supervisor.keep("cameras", move |stop| {
        cameras::run(deck.clone(), parent.clone(), stop)
    });
    let watching = core.watching.clone();
    supervisor.keep("punches of cameras", move |stop| {
        cameras::write_waiting(watching.clone(), stop)
    });
}

fn a_minute(most: u32) -> Option<Quota> {
    let window = Duration::from_mins(1);
    (most > 0).then_some(Quota { most, window })
}

fn http_settings(settings: &Settings) -> http::Settings {
    let server = &settings.server;
    http::Settings {
        trusted_proxies: server.trusted_proxies.clone(),
        tls: server.tls_cert.is_some(),
        hsts: server.hsts.map(SignedDuration::unsigned_abs),
        secure_cookies: match server.cookie_secure {
            config::CookieSecure::Auto => None,
            config::CookieSecure::On => Some(true),
            config::CookieSecure::Off => Some(false),
        },
        strict_cookies: server.cookie_same_site == config::SameSite::Strict,
        cookies_end_with_browser: server.cookie_ends_with_browser,
        rate_limit: server.rate_limit,
        sign_in: a_minute(server.sign_in_limit),
        pairing: a_minute(server.pairing_limit),
        enroll_limit: server.enroll_limit,
        timeout: server.request_timeout.unsigned_abs(),
        metrics_token: server.metrics_token.clone(),
        static_dir: server.static_dir.clone(),
    }
}

/// The address as people type it. Browsers give pages from `localhost` the camera without TLS.
fn url(address: SocketAddr, tls: bool) -> String {
    let scheme = if tls { "https" } else { "http" };
    match address.ip() {
        ip if ip.is_loopback() || ip.is_unspecified() => {
            format!("{scheme}://localhost:{}", address.port())
        }
        _ => format!("{scheme}://{address}"),
    }
}

fn lines(settings: &Settings, core: &Core, address: SocketAddr) -> Vec<(&'static str, String)> {
    let engine = core.engine.describe();
    let place = if settings.store.used() == StoreKind::Sqlite {
        format!(" in {}", database(settings).display())
    } else {
        String::new()
    };
    let mut model = format!("{}, {}, {}", engine.pack, engine.model, engine.precision);
    if !engine.calibrated {
        model += ", not calibrated: nobody will be identified";
    }
    let mut people = core.filled.people.to_string();
    if core.filled.damaged > 0 {
        people += &format!(
            ", and {} whose templates cannot be opened",
            core.filled.damaged
        );
    }
    let mut key = String::from(if settings.privacy.template_key.is_some() {
        "from TEMPLATE_KEY"
    } else {
        "from the key file in the data folder: back it up apart from the data"
    });
    if settings.store.used() != StoreKind::Sqlite && settings.privacy.template_key.is_none() {
        key += "; other instances need the same as TEMPLATE_KEY";
    }
    vec![
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("store", core.records.stores.health.description() + &place),
        ("redis", core.records.shared.line()),
        ("models", model),
        (
            "engine",
            format!(
                "ONNX Runtime {}, {} threads",
                engine.runtime, engine.threads
            ),
        ),
        ("templates", key),
        ("people", people),
        ("address", url(address, settings.server.tls_cert.is_some())),
    ]
}
