//! Opens the system of record: the one that the settings name, or one by its URL.

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
    ports::{StoreError, Stores},
    storage::{
        mongo::{MongoSettings, MongoStore, database_in},
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
///
/// # Errors
/// When it cannot be opened or does not answer.
pub async fn open(settings: &Settings) -> Result<Opened, BootError> {
    match settings.store.used() {
        StoreKind::Redis => match settings.redis.connection() {
            Some(url) => {
                let mut opened =
                    redis(settings, &url, settings.redis.database, "REDIS_URL").await?;
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
            Some(uri) => mongo(uri, settings.store.mongodb_database.clone()).await,
            None => Err(BootError::NoAddress("MONGODB_URI or MONGODB_HOST")),
        },
        StoreKind::Sqlite | StoreKind::Auto => {
            make_data_dir(&settings.store.data_dir)?;
            sqlite(&database(settings)).await
        }
    }
}

/// Whether somebody uses the store that the settings name, as far as that can be seen: another
/// process that has a SQLite file open.
///
/// # Errors
/// When the file cannot be used.
pub fn in_use(settings: &Settings) -> Result<bool, BootError> {
    let file = database(settings);
    let sqlite = matches!(settings.store.used(), StoreKind::Sqlite | StoreKind::Auto);
    Ok(sqlite && file.is_file() && SqliteStore::in_use(&file)?)
}

/// Opens the store that the settings name, which is made only where a server makes it by itself.
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

/// Opens a store by its URL: `sqlite:///path` of a file or of the folder that it is in, or one
/// of the forms of `MONGODB_URI` (with the database) and `REDIS_URL`. The settings tell the rest,
/// such as `REDIS_PREFIX`, `REDIS_CA` and, where the URL has none, `MONGODB_DATABASE`. With
/// `make` a SQLite file that is not there is made.
///
/// # Errors
/// When it has another form, or as for the store of the settings.
pub async fn open_url(
    settings: &Settings,
    url: &SecretString,
    make: bool,
) -> Result<Opened, BootError> {
    let (scheme, rest) = url
        .expose_secret()
        .split_once(':')
        .ok_or(BootError::StoreUrl)?;
    match scheme {
        "sqlite" => {
            let file = sqlite_file(rest).ok_or(BootError::StoreUrl)?;
            if !make && !file.is_file() {
                return Err(BootError::NoDatabase(file));
            }
            sqlite(&file).await
        }
        "mongodb" | "mongodb+srv" => {
            let usual = || settings.store.mongodb_database.clone();
            let database = database_in(url).unwrap_or_else(usual);
            mongo(url.clone(), database).await
        }
        "unix" => redis(settings, url, None, THE_URL).await,
        scheme if scheme.starts_with("redis") => redis(settings, url, None, THE_URL).await,
        _ => Err(BootError::StoreUrl),
    }
}

/// What an error calls a URL that stands in no setting.
const THE_URL: &str = "the URL of the store";

/// The file of a `sqlite:` URL: what is a folder, or ends like one, stands for the database in it.
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
    Ok(Stores::of(Arc::new(SqliteStore::open(path).await?)).into())
}

async fn mongo(uri: SecretString, database: String) -> Result<Opened, BootError> {
    let store = MongoStore::connect(MongoSettings {
        uri,
        database,
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
    variable: &'static str,
) -> Result<Opened, BootError> {
    let authority = match &settings.redis.authority {
        Some(path) => Some(std::fs::read(path).map_err(SharedError::Authority)?),
        None => None,
    };
    let address = Address::parse(url, database, authority)
        .map_err(|cause| SharedError::Address { variable, cause })?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sqlite_url_names_a_file_or_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path().display();
        let inside = folder.path().join(DATABASE_FILE);
        for (rest, file) in [
            (format!("//{here}"), inside.clone()),
            (format!("//{here}/"), inside.clone()),
            (format!("{here}/rollcall.db"), inside.clone()),
            (format!("//{here}/new"), folder.path().join("new")),
            (
                format!("//{here}/new/"),
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
