//! Opens the system of record: the one that the settings name, or one by its URL.

use std::{path::Path, sync::Arc, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use tracing::warn;

use super::{BootError, SharedError, database, make_data_dir};
use crate::{
    config::{Settings, StoreKind},
    ports::{StoreError, Stores},
    storage::{
        mongo::{MongoSettings, MongoStore},
        redis::{Address, records::RedisStore},
        sqlite::SqliteStore,
    },
};

/// How long a start waits for a store that does not answer yet, as when both start together.
const PATIENCE: Duration = Duration::from_secs(30);

/// An open store.
pub struct Opened {
    /// Its ports.
    pub stores: Stores,
    /// What somebody should know who keeps records there.
    pub warnings: Vec<String>,
}

impl From<Stores> for Opened {
    fn from(stores: Stores) -> Self {
        Self {
            stores,
            warnings: Vec::new(),
        }
    }
}

/// Opens the store that the settings name.
pub(super) async fn open(settings: &Settings) -> Result<Opened, BootError> {
    match settings.store.used() {
        StoreKind::Redis => match settings.redis.connection() {
            Some(url) => {
                let mut opened = redis(settings, &url, settings.redis.database).await?;
                if settings.privacy.template_key.is_none() {
                    opened.warnings.push(
                        "TEMPLATE_KEY is not set: templates in redis can be opened only with the key file in DATA_DIR, and are lost with it".to_owned(),
                    );
                }
                Ok(opened)
            }
            None => Err(BootError::NoAddress("REDIS_URL or REDIS_HOST")),
        },
        StoreKind::Mongodb => match settings.store.mongodb_connection() {
            Some(uri) => mongo(settings, uri).await,
            None => Err(BootError::NoAddress("MONGODB_URI or MONGODB_HOST")),
        },
        StoreKind::Sqlite | StoreKind::Auto => {
            make_data_dir(&settings.store.data_dir)?;
            sqlite(&database(settings)).await
        }
    }
}

/// Opens a store by its URL: `sqlite:PATH`, or one of the forms of `MONGODB_URI` and
/// `REDIS_URL`. The settings tell the rest, such as `MONGODB_DATABASE` and `REDIS_PREFIX`.
///
/// # Errors
/// When it has another form, or as for the store of the settings.
pub async fn open_url(settings: &Settings, url: &SecretString) -> Result<Opened, BootError> {
    let (scheme, rest) = url
        .expose_secret()
        .split_once(':')
        .ok_or(BootError::StoreUrl)?;
    match scheme {
        "sqlite" => sqlite(Path::new(rest)).await,
        "mongodb" | "mongodb+srv" => mongo(settings, url.clone()).await,
        "unix" => redis(settings, url, None).await,
        scheme if scheme.starts_with("redis") => redis(settings, url, None).await,
        _ => Err(BootError::StoreUrl),
    }
}

async fn sqlite(path: &Path) -> Result<Opened, BootError> {
    Ok(Stores::of(Arc::new(SqliteStore::open(path).await?)).into())
}

async fn mongo(settings: &Settings, uri: SecretString) -> Result<Opened, BootError> {
    let store = MongoStore::connect(MongoSettings {
        uri,
        database: settings.store.mongodb_database.clone(),
        app_name: "rollcall".to_owned(),
    });
    let stores = Stores::of(Arc::new(store.await?));
    await_store(&stores).await?;
    Ok(stores.into())
}

async fn redis(
    settings: &Settings,
    url: &SecretString,
    database: Option<i64>,
) -> Result<Opened, BootError> {
    let authority = match &settings.redis.authority {
        Some(path) => Some(std::fs::read(path).map_err(SharedError::Authority)?),
        None => None,
    };
    let address =
        Address::parse(url, database, authority).map_err(|cause| SharedError::Address {
            variable: "REDIS_URL",
            cause,
        })?;
    let store = Arc::new(RedisStore::new(address, &settings.redis.prefix));
    let stores = Stores::of(store.clone());
    await_store(&stores).await?;
    Ok(Opened {
        stores,
        warnings: store.warnings().await?,
    })
}

/// Waits for a store that does not answer yet; what it will never take back is told at once.
async fn await_store(stores: &Stores) -> Result<(), BootError> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let mut told = false;
    while let Err(cause) = stores.health.ping().await {
        let hopeless = !matches!(cause, StoreError::Unavailable(_));
        if hopeless || tokio::time::Instant::now() >= deadline {
            return Err(cause.into());
        }
        if !std::mem::replace(&mut told, true) {
            warn!(%cause, "waiting for the store");
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Ok(())
}
