//! The composition root: creates a running service from the settings. The only module that uses
//! every adapter.

mod clients;
mod compose;
mod connection;
mod engines;
mod error;
mod keys;
mod process;
mod redis;
mod server;
mod stores;
mod tls;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::tz::TimeZone;
use tracing::{info, warn};
use zeroize::Zeroizing;

use self::{
    clients::{broker, sign_on, webhook_sender},
    engines::{engine, previous_engine},
    keys::vault,
};
use crate::{
    app::App,
    clock::{Clock, SystemClock},
    config::{SessionEngine, Settings},
    domain::{
        biometrics::Policy,
        ids::SiteId,
        sites::{Site, Zone},
    },
    ports::{Cache, FaceEngine, StoreError, Streams},
    repositories::{self, Repositories},
    service::{
        accounts::{AccountRules, Accounts, GUESSES},
        analysis_cache::CachedEngine,
        application_cache::AppCache,
        audit::Audit,
        camera_pipeline::CameraPipeline,
        cameras::Overlays,
        consent_texts,
        gallery_loader::{Filled, GalleryLoader},
        invitations::Invitations,
        leased_work::with_lease,
        messages::Outbox,
        pairing::PAIRING,
        passwords::HashCost,
        pictures::Keeps,
        punch_ledger::PunchRules,
        sealed_cache::SealedCache,
        second_factor::PATIENCE,
        sessions::{CacheSessions, CachedSessions},
        sites::Seed,
    },
    vault::Vault,
    vision::{Cropper, Engine, MotionSensor},
    workers::mqtt::MqttContext,
};

pub use clients::{mail_sender, streams};
pub use compose::{Composed, Parts, Rules, compose};
pub use engines::{gallery, pack_roots, precision, self_calibration};
pub use error::BootError;
pub use keys::{add_key, census, delete_faces, key_file, present_keys, present_vault, vault_with};
pub use process::{FileLimit, connections_most, file_limit, return_freed_memory};
pub use redis::{Custom, Shared, SharedError};
pub use server::{REQUESTS_PATIENCE, Running};
pub use stores::{Opened, in_use, open as open_store, open_present, open_url};
pub use tls::{EXPIRES_SOON, Tls, TlsError, certificate_ends, certificate_names, names_a_host};

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
        let zone = default_site(&app, settings).await?.settings.zone;
        if !consent_texts::keep(&records.stores).await? {
            return Err(BootError::ConsentText);
        }
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
