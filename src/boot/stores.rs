//! Opens the system of record, by the settings or by a URL.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use secrecy::{ExposeSecret, SecretString};
use tracing::warn;

use super::{BootError, DATABASE_FILE, SharedError, database, make_data_dir};
use crate::{
    config::{Settings, StoreKind},
    ports::StoreError,
    repositories::{KINDS, Repositories},
    storage::{
        mongo::{MongoEngine, MongoSettings, database_in},
        redis::{Address, RedisEngine},
        sqlite::SqliteEngine,
    },
};

/// How long a start waits for a store that does not respond yet, because both start at once.
const PATIENCE: Duration = Duration::from_secs(30);

/// An open store.
pub struct Opened {
    /// Its repositories.
    pub stores: Repositories,
    /// Warnings about the store, for the operator.
    pub warnings: Vec<String>,
}

impl From<Repositories> for Opened {
    fn from(stores: Repositories) -> Self {
        Self {
            stores,
            warnings: Vec::new(),
        }
    }
}

/// Opens the store that is configured.
///
/// # Errors
/// When it cannot be opened or does not respond.
pub async fn open(settings: &Settings) -> Result<Opened, BootError> {
    match settings.store.used() {
        StoreKind::Redis => match settings.redis.connection() {
            Some(url) => {
                let mut opened =
                    redis(settings, &url, settings.redis.database, "REDIS_URL").await?;
                if settings.privacy.template_key.is_none() {
                    opened.warnings.push(
                        "TEMPLATE_KEY is not set: templates in redis are lost if the key file in DATA_DIR is lost".to_owned(),
                    );
                }
                Ok(opened)
            }
            None => Err(BootError::NoAddress("REDIS_URL or REDIS_HOST")),
        },
        StoreKind::Mongodb => match settings.store.mongodb_connection() {
            Some(uri) => mongo(uri, settings.store.mongodb_database.clone()).await,
            None => Err(BootError::NoAddress("MONGODB_URI or MONGODB_HOST")),
        },
        StoreKind::Sqlite | StoreKind::Auto => {
            make_data_dir(&settings.store.data_dir)?;
            sqlite(&database(settings)).await
        }
    }
}

/// Checks whether another process uses the store that is configured. Can only detect this for
/// SQLite.
///
/// # Errors
/// When the file cannot be used.
pub fn in_use(settings: &Settings) -> Result<bool, BootError> {
    let file = database(settings);
    let sqlite = matches!(settings.store.used(), StoreKind::Sqlite | StoreKind::Auto);
    Ok(sqlite && file.is_file() && SqliteEngine::in_use(&file)?)
}

/// Opens the store that is configured, without creating a SQLite file.
///
/// # Errors
/// As for [`open`], and when there is no SQLite file.
pub async fn open_present(settings: &Settings) -> Result<Opened, BootError> {
    match settings.store.used() {
        StoreKind::Sqlite | StoreKind::Auto if !database(settings).is_file() => {
            Err(BootError::NoDatabase(database(settings)))
        }
        _ => open(settings).await,
    }
}

/// Opens a store by its URL: `sqlite:///path` of a file or its folder, or one of the forms of
/// `MONGODB_URI` (with the database) and `REDIS_URL`. The settings provide the rest, such as
/// `REDIS_PREFIX`, `REDIS_CA` and the default for the database of MongoDB. If `create` is true,
/// creates a missing SQLite file.
///
/// # Errors
/// When the URL has another form, and as for [`open`].
pub async fn open_url(
    settings: &Settings,
    url: &SecretString,
    create: bool,
) -> Result<Opened, BootError> {
    let (scheme, rest) = url
        .expose_secret()
        .split_once(':')
        .ok_or(BootError::StoreUrl)?;
    match scheme {
        "sqlite" => {
            let file = sqlite_file(rest).ok_or(BootError::StoreUrl)?;
            if !create && !file.is_file() {
                return Err(BootError::NoDatabase(file));
            }
            sqlite(&file).await
        }
        "mongodb" | "mongodb+srv" => {
            let default = || settings.store.mongodb_database.clone();
            let database = database_in(url).unwrap_or_else(default);
            mongo(url.clone(), database).await
        }
        "unix" => redis(settings, url, None, THE_URL).await,
        scheme if scheme.starts_with("redis") => redis(settings, url, None, THE_URL).await,
        _ => Err(BootError::StoreUrl),
    }
}

/// The name of the URL in errors, if it is not in a setting.
const THE_URL: &str = "the URL of the store";

/// Returns the file of a `sqlite:` URL. A folder, or a path that ends with a slash, stands for the
/// database in it.
fn sqlite_file(rest: &str) -> Option<PathBuf> {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    let folder = path.ends_with('/') || Path::new(path).is_dir();
    match (path, folder) {
        ("", _) => None,
        (path, true) => Some(Path::new(path).join(DATABASE_FILE)),
        (path, false) => Some(path.into()),
    }
}

async fn sqlite(path: &Path) -> Result<Opened, BootError> {
    Ok(Repositories::new(Arc::new(SqliteEngine::open(path, KINDS).await?)).into())
}

async fn mongo(uri: SecretString, database: String) -> Result<Opened, BootError> {
    let store = MongoEngine::connect(
        MongoSettings {
            uri,
            database,
            app_name: "rollcall".to_owned(),
        },
        KINDS,
    );
    let stores = Repositories::new(Arc::new(store.await?));
    await_store(&stores).await?;
    Ok(stores.into())
}

async fn redis(
    settings: &Settings,
    url: &SecretString,
    database: Option<i64>,
    variable: &'static str,
) -> Result<Opened, BootError> {
    let authority = match &settings.redis.authority {
        Some(path) => Some(std::fs::read(path).map_err(SharedError::Authority)?),
        None => None,
    };
    let address = Address::parse(url, database, authority)
        .map_err(|cause| SharedError::Address { variable, cause })?;
    let store = Arc::new(RedisEngine::new(address, &settings.redis.prefix));
    let stores = Repositories::new(store.clone());
    await_store(&stores).await?;
    Ok(Opened {
        stores,
        warnings: store.warnings().await?,
    })
}

/// Waits for a store that does not respond yet. Fails immediately if waiting cannot help.
async fn await_store(stores: &Repositories) -> Result<(), BootError> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let mut warned = false;
    while let Err(cause) = stores.engine.ping().await {
        let permanent = !matches!(cause, StoreError::Unavailable(_));
        if permanent || tokio::time::Instant::now() >= deadline {
            return Err(cause.into());
        }
        if !std::mem::replace(&mut warned, true) {
            warn!(%cause, "could not reach the store; waiting for it");
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sqlite_url_names_a_file_or_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let folder_text = folder.path().display();
        let inside = folder.path().join(DATABASE_FILE);
        for (rest, file) in [
            (format!("//{folder_text}"), inside.clone()),
            (format!("//{folder_text}/"), inside.clone()),
            (format!("{folder_text}/rollcall.db"), inside.clone()),
            (format!("//{folder_text}/new"), folder.path().join("new")),
            (
                format!("//{folder_text}/new/"),
                folder.path().join("new").join(DATABASE_FILE),
            ),
            ("old.db".to_owned(), "old.db".into()),
        ] {
            assert_eq!(sqlite_file(&rest), Some(file), "{rest}");
        }
        assert_eq!(sqlite_file(""), None);
        assert_eq!(sqlite_file("//"), None);
    }
}
