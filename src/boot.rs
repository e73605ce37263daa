//! The composition root: creates a running service from the settings. The only module that uses
//! every adapter.

mod compose;
mod connection;
mod process;
mod redis;
mod server;
mod stores;
mod tls;

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::tz::TimeZone;
use secrecy::ExposeSecret;
use tracing::{info, warn};
use zeroize::Zeroizing;

use crate::{
    app::App,
    cameras::{Access, Go2rtc, UrlError},
    clock::{Clock, SystemClock},
    config::{self, KeyFileError, SessionEngine, Settings, TemplateKeys},
    domain::{
        biometrics::{Calibration, ModelId, Policy},
        ids::SiteId,
        self_calibration::SelfCalibration,
        sites::{Site, Zone},
    },
    gallery::MemoryGallery,
    http_client::Trust,
    identity::{self, OpenIdProvider, ProviderSettings},
    ports::{Broker, Cache, FaceEngine, Gallery, MailSending, StoreError, Streams},
    repositories::{self, Repositories},
    senders::{Allowed, MailSender, MqttBroker, WebhookSender},
    service::{
        accounts::{AccountError, AccountRules, Accounts, GUESSES},
        analysis_cache::CachedEngine,
        application_cache::AppCache,
        audit::Audit,
        camera_pipeline::CameraPipeline,
        cameras::Overlays,
        gallery_loader::{Filled, GalleryLoader},
        invitations::Invitations,
        leased_work::with_lease,
        messages::Outbox,
        pairing::PAIRING,
        passwords::HashCost,
        pictures::Keeps,
        probe_builder::BURST_MOST,
        punch_ledger::PunchRules,
        sealed_cache::SealedCache,
        sealed_faces::{self, Census},
        second_factor::PATIENCE,
        sessions::{CacheSessions, CachedSessions},
        single_sign_on::SignOnProvider,
        sites::Seed,
    },
    storage::{mongo, sqlite},
    vault::Vault,
    vision::{
        self, Cropper, Engine, EngineOptions, EngineStartError, MotionSensor, Pack, PackError,
        PrecisionChoice, Runtime, RuntimeError,
    },
    workers::mqtt::MqttContext,
};

pub use compose::{Composed, Parts, Rules, compose};
pub use process::{FileLimit, connections_most, file_limit, return_freed_memory};
pub use redis::{Custom, Shared, SharedError};
pub use server::{REQUESTS_PATIENCE, Running};
pub use stores::{Opened, in_use, open as open_store, open_present, open_url};
pub use tls::{EXPIRES_SOON, Tls, TlsError, certificate_ends, certificate_names, names_a_host};

/// Why the service cannot start. The messages say what to do.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// The data folder cannot be used.
    #[error("could not write to the data folder {path}: {cause}; set DATA_DIR to a folder that is writable", path = .path.display())]
    DataDir {
        /// The folder.
        path: PathBuf,
        /// The error of the operating system.
        cause: io::Error,
    },
    /// The template key file cannot be used.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The previous model pack has the same model as the present one.
    #[error("PREVIOUS_MODEL_PACK has the same model as MODEL_PACK, {0}: remove it")]
    SameModel(ModelId),
    /// The store contains encrypted data, but there is no key that decrypts it.
    #[error("the store contains encrypted data, such as faces, and the template key is missing: restore {file} from its backup, or set TEMPLATE_KEY to its content; to start over without these faces, run `rollcall employees delete-faces --yes`, then enroll everybody again", file = .0.display())]
    KeyLost(PathBuf),
    /// The SQLite database cannot be opened.
    #[error(transparent)]
    Sqlite(#[from] sqlite::OpenError),
    /// The settings of MongoDB are invalid.
    #[error(transparent)]
    Mongo(#[from] mongo::ConnectError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The address of the store is not set.
    #[error("the store has no address: set {0}")]
    NoAddress(&'static str),
    /// The URL of a store has none of the known forms. It is not shown, because it may contain a
    /// password.
    #[error(
        "the URL of the store is invalid; it must be sqlite:///path, mongodb://…/database or redis://…/number"
    )]
    StoreUrl,
    /// The SQLite database does not exist.
    #[error("there is no database {}: check DATA_DIR", .0.display())]
    NoDatabase(PathBuf),
    /// ONNX Runtime is missing.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The model pack cannot be used.
    #[error("model pack: {0}")]
    Pack(#[from] PackError),
    /// The face engine cannot start.
    #[error("could not start the face engine: {0}")]
    Engine(#[from] EngineStartError),
    /// The first account cannot be created.
    #[error("could not create the account of ADMIN_EMAIL: {0}")]
    Admin(#[from] AccountError),
    /// Another program listens on the address.
    #[error(
        "{0} is already in use: stop the program that listens there, or set PORT to another port"
    )]
    PortInUse(SocketAddr),
    /// The address cannot be listened on.
    #[error("could not listen on {address}: {cause}; check HOST and PORT")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The error of the operating system.
        cause: io::Error,
    },
    /// The shared parts cannot be set up.
    #[error(transparent)]
    Shared(#[from] SharedError),
    /// The certificate or its key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The identity provider cannot be set up.
    #[error(transparent)]
    SignOn(#[from] identity::SetUpError),
    /// The URL of go2rtc is invalid.
    #[error(transparent)]
    Go2rtc(#[from] UrlError),
    /// The client that sends messages to webhooks cannot be created.
    #[error("could not create the client for webhooks: {0}")]
    Webhooks(String),
    /// The file with other authorities cannot be used.
    #[error("EXTRA_CA {path}: {cause}; it must be a PEM file with the certificates of authorities", path = .path.display())]
    ExtraCa {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: String,
    },
    /// The settings of the mail server or of the broker are invalid.
    #[error("{0}")]
    Mail(String),
    /// The metrics recorder cannot be installed.
    #[error("could not start the metrics: {0}")]
    Metrics(String),
    /// The server failed.
    #[error("the server failed: {0}")]
    Serve(io::Error),
    /// The task that starts the engine was aborted, or has panicked.
    #[error("the start of the face engine was aborted")]
    Aborted,
}

/// The system of record, with everything that every command needs.
#[derive(Clone)]
pub struct Records {
    /// The repositories.
    pub stores: Repositories,
    /// Time and entropy.
    pub clock: Arc<dyn Clock>,
    /// The audit trail.
    pub audit: Audit,
    /// Accounts.
    pub accounts: Arc<Accounts>,
    /// Invitations.
    pub invitations: Arc<Invitations>,
    /// Pairings in progress.
    pub pairings: AppCache,
    /// Sign-ins that wait for their second step.
    pub sign_ins: AppCache,
    /// Faces that cameras see.
    pub overlays: Overlays,
    /// The parts that instances share.
    pub shared: Shared,
    /// Warnings about the store, for the operator.
    pub warnings: Vec<String>,
}

/// The lease of reindexing: how long others wait after an instance has crashed meanwhile.
const REINDEXING: Duration = Duration::from_secs(15);

/// The file name of the SQLite database.
const DATABASE_FILE: &str = "rollcall.db";

/// Returns the path of the SQLite database.
pub fn database(settings: &Settings) -> PathBuf {
    settings.store.data_dir.join(DATABASE_FILE)
}

/// Returns the path of the generated template key.
pub fn key_file(settings: &Settings) -> PathBuf {
    settings.store.data_dir.join("template.key")
}

/// Returns the folders that may contain model packs; the first one that has a pack counts.
pub fn pack_roots(settings: &Settings) -> Vec<PathBuf> {
    vec![
        settings.recognition.models_dir.clone(),
        settings.store.data_dir.join("models"),
    ]
}

/// Opens the store that is configured, with everything that commands need.
///
/// # Errors
/// When the store cannot be opened or does not respond.
pub async fn records(settings: &Settings) -> Result<Records, BootError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let Opened {
        mut stores,
        warnings,
    } = stores::open(settings).await?;
    reindex_if_outdated(&stores, &*clock).await?;
    let shared = Shared::new(&settings.redis, &clock, Some(stores.cache.clone()))?;
    shared.connect().await;
    // A local cache needs no key that outlives the process.
    let vault = Arc::new(match shared.is_local() {
        true => Vault::new(&Zeroizing::new(clock.secret()), &[]),
        false => vault(settings, &stores, &*clock).await?,
    });
    let sealed = |name, cache: &Arc<dyn Cache>| {
        SealedCache::new(name, cache.clone(), vault.clone(), clock.clone())
    };
    if let Some(cache) = &shared.sessions {
        let cache = sealed("sessions", cache);
        stores.sessions = match settings.redis.session_engine {
            // Without caching, too: these sessions are nowhere else.
            SessionEngine::Cache => {
                let age = settings.server.session_age;
                let age = Duration::try_from(age).unwrap_or_default();
                let cache = AppCache::new("session", cache, age);
                Arc::new(CacheSessions::new(cache, stores.sessions, clock.clone()))
            }
            _ if !settings.redis.caching => stores.sessions,
            _ => Arc::new(CachedSessions::new(stores.sessions, cache)),
        };
    }
    let pairings = sealed("pairings", &shared.application);
    let pairings = AppCache::new("pairing", pairings, PAIRING);
    let sign_ins = sealed("sign-ins", &shared.application);
    let sign_ins = AppCache::new("sign-in", sign_ins, PATIENCE);
    let overlays = sealed("overlays", &shared.application);
    let overlays = AppCache::new("overlay", overlays, Overlays::LIVES);
    let audit = Audit::new(stores.audit.clone(), clock.clone());
    let accounts = Arc::new(Accounts::new(
        stores.clone(),
        audit.clone(),
        clock.clone(),
        shared.limits.clone(),
        account_rules(settings),
    ));
    let invitations = Invitations::new(
        stores.clone(),
        accounts.clone(),
        audit.clone(),
        clock.clone(),
    );
    Ok(Records {
        stores,
        clock,
        audit,
        accounts,
        invitations: Arc::new(invitations),
        pairings,
        sign_ins,
        overlays: Overlays::new(overlays),
        shared,
        warnings,
    })
}

/// Returns the identity provider of the settings, without contacting it.
fn sign_on(settings: &Settings) -> Result<Option<SignOnProvider>, BootError> {
    let trust = trust(settings)?;
    let settings = &settings.sign_on;
    let (Some(issuer), Some(client_id)) = (&settings.issuer, &settings.client_id) else {
        return Ok(None);
    };
    let provider = ProviderSettings {
        issuer: issuer.clone(),
        client_id: client_id.clone(),
        client_secret: settings.client_secret.clone(),
        groups_claim: settings.groups_claim.clone(),
    };
    let provider = OpenIdProvider::new(provider, &trust)?;
    Ok(Some(SignOnProvider {
        provider: Arc::new(provider),
        name: settings.name.clone(),
        roles: settings.roles.clone(),
    }))
}

/// Writes records again if this program derives other keys from them. If several instances start at
/// once, one does this while the others wait.
async fn reindex_if_outdated(stores: &Repositories, clock: &dyn Clock) -> Result<(), BootError> {
    let holder = clock.id().to_string();
    while !repositories::outdated(stores).await?.is_empty() {
        let by = (&stores.leases, clock);
        let work = async |_: &_| repositories::reindex(stores).await;
        match with_lease(by, ("reindexing", &holder), REINDEXING, work).await? {
            Some(written) => {
                let records = written?;
                if records > 0 {
                    info!(records, "updated the indexes of records");
                }
            }
            None => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
    Ok(())
}

/// Creates the data folder (mode 0700) if it is missing, and checks that it is writable.
///
/// # Errors
/// When it cannot be created or written.
pub fn make_data_dir(path: &Path) -> Result<(), BootError> {
    let create = || {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(path)?;
        let probe = path.join(format!(".probe-{}", std::process::id()));
        fs::File::create(&probe)?;
        fs::remove_file(&probe)
    };
    create().map_err(|cause| BootError::DataDir {
        path: path.to_owned(),
        cause,
    })
}

/// Everything except the server, for `serve` and for commands that enroll.
pub struct Core {
    /// The store, and everything that belongs to it.
    pub records: Records,
    /// The services.
    pub app: App,
    /// The face engine.
    pub engine: Arc<Engine>,
    /// The face engine of the previous model, during a change of the model.
    pub previous_engine: Option<Arc<Engine>>,
    /// go2rtc.
    pub streams: Arc<dyn Streams>,
    /// Analyzes the pictures of cameras.
    pub pipeline: Arc<CameraPipeline>,
    /// Collects and sends messages.
    pub outbox: Arc<Outbox>,
    /// Publishes signals, if there is a broker.
    pub mqtt: Option<Arc<MqttContext>>,
    /// Loads the gallery.
    pub loader: Arc<GalleryLoader>,
    /// Loads the gallery of the previous model.
    pub previous_loader: Option<Arc<GalleryLoader>>,
    /// The ID of the key that seals.
    pub key_id: String,
    /// The result of filling the gallery.
    pub filled: Filled,
    /// The time zone of the default site.
    pub zone: Zone,
}

impl Core {
    /// Opens the store, starts the engine and fills the gallery.
    ///
    /// # Errors
    /// The first failure.
    pub async fn start(settings: &Settings) -> Result<Self, BootError> {
        let records = records(settings).await?;
        let vault = Arc::new(vault(settings, &records.stores, &*records.clock).await?);
        let key_id = vault.key_id().to_owned();
        let recognition = &settings.recognition;
        let (engine, gallery) = engine(settings, &recognition.model_pack).await?;
        let previous = match &recognition.previous_model_pack {
            Some(pack) => Some(previous_engine(settings, pack, &engine).await?),
            None => None,
        };
        let previous_engine = previous.as_ref().map(|(engine, _)| engine.clone());
        let cache = records.shared.cache.clone();
        let cache = cache.map(|cache| {
            SealedCache::new("embeddings", cache, vault.clone(), records.clock.clone())
        });
        let face_engine: Arc<dyn FaceEngine> = match settings.redis.caching {
            true => Arc::new(CachedEngine::new(engine.clone(), cache)),
            false => engine.clone(),
        };
        let streams = streams(settings)?;
        let parts = Parts {
            stores: records.stores.clone(),
            clock: records.clock.clone(),
            vault,
            engine: face_engine,
            camera_engine: engine.clone(),
            gallery,
            previous: previous.map(|(engine, gallery)| (engine as Arc<dyn FaceEngine>, gallery)),
            streams: streams.clone(),
            motion: Arc::new(MotionSensor::default()),
            cropping: Arc::new(Cropper::default()),
            posting: Arc::new(webhook_sender(settings)?),
            mail: mail_sender(settings)?,
            limits: records.shared.limits.clone(),
            feed: records.shared.feed(),
            pairings: records.pairings.clone(),
            sign_ins: records.sign_ins.clone(),
            sign_on: sign_on(settings)?,
            overlays: records.overlays.clone(),
        };
        let Composed {
            mut app,
            loader,
            previous_loader,
            pipeline,
            outbox,
            signals,
            ..
        } = compose(parts, rules(settings));
        let mqtt = broker(settings, &records).await?.map(|broker| {
            Arc::new(MqttContext {
                broker,
                signals,
                leases: records.stores.leases.clone(),
                feed: records.shared.feed(),
                clock: records.clock.clone(),
            })
        });
        // The instance that issued the setup link.
        app.accounts = records.accounts.clone();
        app.invitations = records.invitations.clone();
        let zone = default_site(&app, settings).await?.zone;
        let filled = loader.fill().await?;
        if let Some(loader) = &previous_loader {
            let people = loader.fill().await?.people;
            info!(people, "recognizing people with the previous model too");
        }
        Ok(Self {
            records,
            app,
            engine,
            previous_engine,
            streams,
            pipeline,
            outbox,
            mqtt,
            loader,
            previous_loader,
            key_id,
            filled,
            zone,
        })
    }

    /// Stops the engine and closes the store.
    pub async fn stop(self) {
        for engine in [Some(self.engine), self.previous_engine]
            .into_iter()
            .flatten()
        {
            if tokio::task::spawn_blocking(move || engine.stop())
                .await
                .is_err()
            {
                warn!("could not stop the face engine cleanly");
            }
        }
        self.records.stores.engine.close().await;
    }
}

/// Returns the settings of accounts.
fn account_rules(settings: &Settings) -> AccountRules {
    AccountRules {
        session_age: settings.server.session_age,
        session_idle: settings.server.session_idle,
        hash_cost: HashCost::STRONG,
        guesses: (settings.server.sign_in_limit > 0).then_some(GUESSES),
    }
}

/// Returns the settings of the services.
fn rules(settings: &Settings) -> Rules {
    let recognition = &settings.recognition;
    Rules {
        policy: Policy::new(recognition.fpir, recognition.min_margin),
        least_liveness: Some(recognition.min_liveness).filter(|least| *least > 0.0),
        keeps: Keeps {
            punches: settings.privacy.keep_punch_pictures.is_some(),
            unknown: settings.privacy.keep_unknown_faces.is_some(),
        },
        keep_photos: settings.privacy.keep_photos,
        punches: PunchRules {
            cooldown: settings.attendance.cooldown,
            replay_window: settings.attendance.replay_window,
        },
        seed: seed(settings),
        accounts: account_rules(settings),
        public_url: settings.server.public_url.clone(),
        summary_at: settings.messages.mail_summary,
        device_token_age: settings.server.device_token_age,
        folder: settings.store.data_dir.clone(),
    }
}

/// Returns the values with which the default site is made.
fn seed(settings: &Settings) -> Seed {
    Seed {
        zone: time_zone(settings),
        workday_starts: settings.attendance.workday_starts,
    }
}

/// Returns the time zone of the default site before its first change: that of the settings, or of
/// the machine, or UTC if the machine does not name one.
pub fn time_zone(settings: &Settings) -> Zone {
    let machine = || {
        let zone = TimeZone::try_system().ok()?;
        Zone::parse(zone.iana_name()?).ok()
    };
    let set = settings.attendance.time_zone.clone();
    set.or_else(machine).unwrap_or(Zone::UTC)
}

/// Makes the default site if it does not exist. Logs if the settings differ from it, because they
/// no longer count. Returns the site.
async fn default_site(app: &App, settings: &Settings) -> Result<Site, StoreError> {
    let site = app.sites.of(SiteId::DEFAULT).await?;
    let zone = &settings.attendance.time_zone;
    let same_zone = zone.as_ref().is_none_or(|zone| *zone == site.zone);
    if !same_zone || settings.attendance.workday_starts != site.workday_starts {
        info!(
            site = %site.name,
            time_zone = %site.zone,
            workday_starts = %site.workday_starts.strftime("%H:%M"),
            "TIME_ZONE and WORKDAY_STARTS differ from the default site and are ignored: they only set its initial values; change the site on the Sites page"
        );
    }
    Ok(site)
}

/// Creates an empty gallery for embeddings of this size.
pub fn gallery(dimensions: usize) -> Arc<dyn Gallery> {
    Arc::new(MemoryGallery::new(dimensions))
}

/// Creates the client of go2rtc, without connecting.
///
/// # Errors
/// When the URL is invalid.
pub fn streams(settings: &Settings) -> Result<Arc<dyn Streams>, BootError> {
    let cameras = &settings.cameras;
    let access = Access {
        url: cameras.url.clone(),
        user: cameras.user.clone().zip(cameras.password.clone()),
    };
    Ok(Arc::new(Go2rtc::new(access)?))
}

/// The name of the fact with the name under which instances connect to the broker of MQTT.
const MQTT_CLIENT: &str = "mqtt.client";

/// Creates the client of the broker of MQTT, without connecting; `None` without a broker.
///
/// # Errors
/// When its URL is invalid, or the store fails.
async fn broker(
    settings: &Settings,
    records: &Records,
) -> Result<Option<Arc<dyn Broker>>, BootError> {
    let Some(url) = &settings.messages.mqtt_url else {
        return Ok(None);
    };
    // All instances have one name, so that the broker ends the connection of the last one, with its
    // will, before it accepts the next.
    let facts = &records.stores.facts;
    let id = match facts.get(MQTT_CLIENT).await? {
        Some(id) => id,
        None => {
            let id = format!("rollcall-{}", records.clock.id().simple());
            facts.set(MQTT_CLIENT, &id).await?;
            id
        }
    };
    let broker = MqttBroker::new(url.expose_secret(), &id, &trust(settings)?);
    let broker = broker.map_err(BootError::Mail)?;
    Ok(Some(Arc::new(broker)))
}

/// Creates the client of the mail server, without connecting; `None` without a mail server.
///
/// # Errors
/// When its settings are invalid.
pub fn mail_sender(settings: &Settings) -> Result<Option<Arc<dyn MailSending>>, BootError> {
    let messages = &settings.messages;
    let Some((url, from)) = messages.smtp_url.as_ref().zip(messages.mail_from.as_ref()) else {
        return Ok(None);
    };
    let sender = MailSender::new(url.expose_secret(), from, &trust(settings)?);
    let sender = sender.map_err(BootError::Mail)?;
    Ok(Some(Arc::new(sender)))
}

/// Creates the client that sends messages to webhooks.
fn webhook_sender(settings: &Settings) -> Result<WebhookSender, BootError> {
    let allow = settings.messages.webhook_allow.clone();
    let allowed = Allowed {
        networks: allow.networks,
        hosts: allow.hosts,
    };
    WebhookSender::new(allowed, &trust(settings)?).map_err(BootError::Webhooks)
}

/// Returns the authorities whose certificates clients accept.
fn trust(settings: &Settings) -> Result<Trust, BootError> {
    let Some(path) = &settings.server.extra_ca else {
        return Ok(Trust::default());
    };
    Trust::with_file(path).map_err(|cause| BootError::ExtraCa {
        path: path.clone(),
        cause,
    })
}

/// Returns the vault. Creates a key if there is none and nothing is sealed yet.
async fn vault(
    settings: &Settings,
    stores: &Repositories,
    clock: &dyn Clock,
) -> Result<Vault, BootError> {
    if let Some(vault) = present_vault(settings)? {
        return Ok(vault);
    }
    let file = key_file(settings);
    if sealed_faces::any(stores).await? {
        return Err(BootError::KeyLost(file));
    }
    make_data_dir(&settings.store.data_dir)?;
    let keys = TemplateKeys::read_or_create(&file, clock.secret())?;
    Ok(Vault::new(&keys.sealing, &keys.older))
}

/// Returns the vault with the existing keys; `None` if there is no key yet.
///
/// # Errors
/// When the key file cannot be used.
pub fn present_vault(settings: &Settings) -> Result<Option<Vault>, BootError> {
    Ok(present_keys(settings)?.as_ref().map(vault_with))
}

/// Returns a vault with these keys.
pub fn vault_with(keys: &TemplateKeys) -> Vault {
    Vault::new(&keys.sealing, &keys.older)
}

/// Returns the existing keys: those of the settings, else those of the key file.
///
/// # Errors
/// When the key file cannot be used.
pub fn present_keys(settings: &Settings) -> Result<Option<TemplateKeys>, KeyFileError> {
    match &settings.privacy.template_key {
        Some(keys) => Ok(Some(keys.clone())),
        None => TemplateKeys::read(&key_file(settings)),
    }
}

/// Creates a key and writes it before the others into the key file, so that it seals from now on.
///
/// # Errors
/// When the file cannot be written.
pub fn add_key(settings: &Settings, keys: &TemplateKeys) -> Result<(), KeyFileError> {
    let new = Zeroizing::new(SystemClock.secret());
    keys.preceded_by(new).replace(&key_file(settings))
}

/// Counts the faces in the store, and those that the existing keys can open.
///
/// # Errors
/// When the store does not respond, or the key file cannot be used.
pub async fn census(settings: &Settings) -> Result<Census, BootError> {
    let vault = present_vault(settings)?;
    let stores = stores::open(settings).await?.stores;
    let census = sealed_faces::census(&stores, vault.as_ref()).await;
    stores.engine.close().await;
    Ok(census?)
}

/// Measures how much the service raises the thresholds for the enrolled people; `None` without a key
/// or a calibration.
///
/// # Errors
/// When the store does not respond, or the key file or the model pack cannot be used.
pub async fn self_calibration(settings: &Settings) -> Result<Option<SelfCalibration>, BootError> {
    let Some(vault) = present_vault(settings)? else {
        return Ok(None);
    };
    let pack = Pack::find(&settings.recognition.model_pack, &pack_roots(settings))?;
    let Some(calibration) = &pack.manifest().calibration else {
        return Ok(None);
    };
    let embedder = &pack.manifest().embedder;
    let gallery = gallery(embedder.dimensions);
    let records = records(settings).await?;
    let loader = GalleryLoader::new(
        records.stores.clone(),
        Arc::new(vault),
        gallery.clone(),
        embedder.model.clone(),
        records.shared.feed(),
        records.clock.clone(),
    );
    let filled = loader.fill().await;
    records.stores.engine.close().await;
    filled?;
    Ok(gallery.calibrate(calibration))
}

/// Deletes all enrolled faces, even if no key opens them; returns the number of people. The service
/// must not be running.
///
/// # Errors
/// When the store does not respond.
pub async fn delete_faces(settings: &Settings) -> Result<usize, BootError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let stores = stores::open(settings).await?.stores;
    let audit = Audit::new(stores.audit.clone(), clock.clone());
    let deleted = sealed_faces::delete_all(&stores, &audit, &*clock).await;
    stores.engine.close().await;
    Ok(deleted?)
}

/// Returns the engine's choice between the variants of the embedder.
pub fn precision(setting: config::Precision) -> PrecisionChoice {
    match setting {
        config::Precision::Auto => PrecisionChoice::Auto,
        config::Precision::Fp => PrecisionChoice::Only(vision::pack::Precision::Fp),
        config::Precision::Int8 => PrecisionChoice::Only(vision::pack::Precision::Int8),
    }
}

/// Starts the engine of the previous model, with an empty gallery.
async fn previous_engine(
    settings: &Settings,
    pack: &str,
    present: &Engine,
) -> Result<(Arc<Engine>, Arc<dyn Gallery>), BootError> {
    let (engine, gallery) = engine(settings, pack).await?;
    if engine.model() == present.model() {
        return Err(BootError::SameModel(engine.model().clone()));
    }
    Ok((engine, gallery))
}

/// Starts the engine of a pack, with an empty gallery. Uses a blocking thread, because reading,
/// checking and timing models takes long.
async fn engine(
    settings: &Settings,
    pack: &str,
) -> Result<(Arc<Engine>, Arc<dyn Gallery>), BootError> {
    let pack = pack.to_owned();
    let recognition = settings.recognition.clone();
    let roots = pack_roots(settings);
    let start = move || {
        let runtime = Runtime::load(recognition.ort_dylib_path.as_deref())?;
        let pack = Pack::with_liveness(&pack, recognition.liveness_pack.as_deref(), &roots)?;
        let options = EngineOptions {
            threads: recognition.threads.unwrap_or_else(vision::cpu_quota),
            queue: recognition.queue,
            // A burst fits in any case.
            share: (recognition.queue / 4).max(BURST_MOST),
            precision: precision(recognition.precision),
            ..EngineOptions::default()
        };
        let manifest = pack.manifest();
        let prior = manifest
            .calibration
            .as_ref()
            .map_or(0.0, Calibration::prior_offset);
        let gallery = MemoryGallery::new(manifest.embedder.dimensions).with_prior(prior);
        let engine = Engine::start(&runtime, &pack, options)?;
        let gallery: Arc<dyn Gallery> = Arc::new(gallery);
        Ok((Arc::new(engine), gallery))
    };
    tokio::task::spawn_blocking(start)
        .await
        .map_err(|_| BootError::Aborted)?
}
