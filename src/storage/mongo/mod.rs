//! The system of record on MongoDB.
//!
//! Stands on single-document atomicity and plain unique indexes alone. A write is acknowledged
//! by a majority, with journal; a read sees only what a majority has, so that a retried request
//! is never answered with a write that a failover takes back. Every call is bounded in time; the
//! driver finds a server that comes back by itself.

mod archive;
mod cache;
mod cameras;
mod documents;
mod indexes;
mod jobs;
mod leases;
mod pictures;
mod stores;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use mongodb::{
    Client, Collection, Database,
    bson::doc,
    error::{Error, ErrorKind, WriteFailure},
    options::{
        Acknowledgment, ClientOptions, ConnectionString, ReadConcern, ReadPreference,
        SelectionCriteria, WriteConcern,
    },
};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::OnceCell;

use documents::Kept;

use crate::ports::StoreError;

/// How long finding a usable server may take.
const SELECTION_TIMEOUT: Duration = Duration::from_millis(1500);

/// How long a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1000);

/// How long any call may take, finding a server included.
const PATIENCE: Duration = Duration::from_millis(1900);

/// How long the first preparation may take: building an index over many records takes a while.
const PREPARATION: Duration = Duration::from_secs(60);

/// Connections to one server, unless the connection string says otherwise.
const POOL: u32 = 32;

/// What is needed to reach a server.
#[derive(Debug, Clone)]
pub struct MongoSettings {
    /// The connection string; its options count, but for read and write concern, which are ours.
    pub uri: SecretString,
    /// The database.
    pub database: String,
    /// The name the server's logs show.
    pub app_name: String,
}

/// The database that a connection string names, if it names one.
pub fn database_in(uri: &SecretString) -> Option<String> {
    ConnectionString::parse(uri.expose_secret())
        .ok()?
        .default_database
}

/// Why the store cannot be used at all. That no server answers is none of the reasons.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The connection string or database name is no good; the message does not repeat it.
    #[error("the MongoDB settings cannot be used: {0}")]
    Settings(&'static str),
    /// The database was made by a later version of the program.
    #[error(
        "the database has schema version {found}, this program knows {known}: \
         run the newer program, or restore a backup"
    )]
    Newer {
        /// The version it has.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
}

/// Every port on one MongoDB database.
pub struct MongoStore {
    link: Arc<Link>,
}

/// The way to the database, shared by the calls under way.
struct Link {
    address: ConnectionString,
    settings: MongoSettings,
    client: OnceCell<Client>,
    /// Set once the schema version was checked and all indexes are there.
    prepared: OnceCell<Database>,
    version: OnceLock<String>,
}

impl MongoStore {
    /// Makes the store. When no server answers it is made all the same, not ready: the first
    /// call after one came up makes the indexes.
    pub async fn connect(settings: MongoSettings) -> Result<Self, ConnectError> {
        let address = ConnectionString::parse(settings.uri.expose_secret()).map_err(|_| {
            ConnectError::Settings("a connection string looks like mongodb://host:27017")
        })?;
        if settings.database.is_empty()
            || settings
                .database
                .contains(['/', '\\', '.', ' ', '"', '$', '\0'])
        {
            return Err(ConnectError::Settings(
                "a database name has none of / \\ . \" $ and no spaces",
            ));
        }
        let link = Arc::new(Link {
            address,
            settings,
            client: OnceCell::new(),
            prepared: OnceCell::new(),
            version: OnceLock::new(),
        });
        if let Err(error) = reach(&link).await {
            match error {
                indexes::PrepareError::Newer(error) => return Err(error),
                indexes::PrepareError::Store(error) => {
                    tracing::warn!(%error, "mongodb does not answer yet, starting without");
                }
            }
        }
        Ok(Self { link })
    }
}

/// Tries once to get ready: quickly finds out whether a server is there, then takes its time.
async fn reach(link: &Arc<Link>) -> Result<(), indexes::PrepareError> {
    let owned = link.clone();
    let answers = async move {
        let database = owned.client().await?.database(&owned.settings.database);
        database.run_command(doc! { "ping": 1 }).await?;
        Ok(())
    };
    within(PATIENCE, answers).await?;
    let owned = link.clone();
    let prepared = async move { Ok(owned.prepare().await.map(drop)) };
    within(PREPARATION, prepared).await?
}

impl Link {
    /// The client; made once, which for `mongodb+srv` takes an answer of the name server.
    async fn client(&self) -> Result<&Client, StoreError> {
        self.client
            .get_or_try_init(|| async {
                let mut options = ClientOptions::parse(self.address.clone()).await?;
                options
                    .app_name
                    .get_or_insert(self.settings.app_name.clone());
                options.max_pool_size.get_or_insert(POOL);
                options.server_selection_timeout = Some(SELECTION_TIMEOUT);
                options.connect_timeout = Some(CONNECT_TIMEOUT);
                options.retry_reads.get_or_insert(true);
                options.retry_writes.get_or_insert(true);
                options.selection_criteria =
                    Some(SelectionCriteria::ReadPreference(ReadPreference::Primary));
                options.read_concern = Some(ReadConcern::majority());
                options.write_concern = Some(
                    WriteConcern::builder()
                        .w(Acknowledgment::Majority)
                        .journal(true)
                        .build(),
                );
                Ok(Client::with_options(options)?)
            })
            .await
    }

    /// The database with schema version checked and indexes made, by whoever comes first.
    async fn prepare(&self) -> Result<&Database, indexes::PrepareError> {
        self.prepared
            .get_or_try_init(|| async {
                let database = self.client().await?.database(&self.settings.database);
                let version = indexes::prepare(&database).await?;
                tracing::info!(version, "mongodb is ready");
                let _ = self.version.set(version);
                Ok(database)
            })
            .await
    }

    /// The database, ready to be used.
    async fn database(&self) -> Result<&Database, StoreError> {
        self.prepare().await.map_err(|error| match error {
            indexes::PrepareError::Store(error) => error,
            indexes::PrepareError::Newer(error) => StoreError::Unavailable(error.to_string()),
        })
    }

    async fn collection<K: Kept>(&self) -> Result<Collection<K::Document>, StoreError> {
        Ok(self.database().await?.collection(K::COLLECTION))
    }
}

impl std::fmt::Debug for MongoStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MongoStore({})", self.link.settings.database)
    }
}

/// Bounds a call in time. It goes on by itself when the caller has gone or waited long enough,
/// because the driver's pool does not stand it when its futures are dropped half-way: after a
/// frozen server came back, it never gave a connection again. The driver ends the call when its
/// monitor finds the server gone.
async fn within<T: Send + 'static>(
    patience: Duration,
    call: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    #[expect(
        clippy::disallowed_methods,
        reason = "ends with the driver's call, and must outlive the caller"
    )]
    let call = tokio::spawn(call);
    match tokio::time::timeout(patience, call).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(StoreError::Unavailable(
            "mongodb: the call was aborted".into(),
        )),
        Err(_) => Err(StoreError::Unavailable(
            "mongodb did not answer in time".into(),
        )),
    }
}

/// The code of a duplicate key.
const DUPLICATE: i32 = 11000;

/// Only codes and kinds are passed on: the driver's messages may hold what was to be written.
impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        let unavailable = |what: &str| Self::Unavailable(format!("mongodb: {what}"));
        match error.kind.as_ref() {
            ErrorKind::Write(WriteFailure::WriteError(error)) if error.code == DUPLICATE => {
                Self::Conflict
            }
            ErrorKind::Command(error) if error.code == DUPLICATE => Self::Conflict,
            ErrorKind::Write(WriteFailure::WriteError(error)) => {
                unavailable(&format!("write error {}", error.code))
            }
            ErrorKind::Write(WriteFailure::WriteConcernError(error)) => unavailable(&format!(
                "not acknowledged, {} {}",
                error.code, error.code_name
            )),
            ErrorKind::Command(error) => unavailable(&format!(
                "command failed, {} {}",
                error.code, error.code_name
            )),
            ErrorKind::InsertMany(failed) => {
                let errors = failed.write_errors.as_deref().unwrap_or_default();
                if failed.write_concern_error.is_none()
                    && !errors.is_empty()
                    && errors.iter().all(|error| error.code == DUPLICATE)
                {
                    Self::Conflict
                } else {
                    unavailable("some documents were not written")
                }
            }
            ErrorKind::BsonDeserialization(_) | ErrorKind::Bson(_) => {
                Self::Corrupt("a document of another shape".into())
            }
            ErrorKind::Authentication { .. } => unavailable("user or password refused"),
            ErrorKind::DnsResolve { .. } => unavailable("the name was not resolved"),
            ErrorKind::Io(error) => unavailable(&format!("i/o error, {}", error.kind())),
            ErrorKind::ServerSelection { .. } => unavailable("no server can be reached"),
            ErrorKind::ConnectionPoolCleared { .. } => unavailable("the connection was lost"),
            ErrorKind::Shutdown => unavailable("the store is closed"),
            ErrorKind::InvalidTlsConfig { .. } => unavailable("the TLS settings are invalid"),
            ErrorKind::IncompatibleServer { .. } => unavailable("the server is too old"),
            ErrorKind::InvalidResponse { .. } => unavailable("an invalid reply"),
            _ => unavailable("an error of the driver"),
        }
    }
}
