//! The connection to a database: one client, set-up on the first call, and a time limit on every
//! call.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use jiff::Timestamp;
use mongodb::{
    Client, Collection, Database,
    bson::{RawDocumentBuf, doc},
    options::{
        Acknowledgment, ClientOptions, ConnectionString, ReadConcern, ReadPreference,
        SelectionCriteria, WriteConcern,
    },
};
use secrecy::ExposeSecret;
use tokio::{sync::OnceCell, time::Instant};

use super::{
    ConnectError, MongoSettings,
    schema::{self, Layout, PrepareError},
};
use crate::ports::StoreError;

/// Time limit for finding a usable server.
const SELECTION_TIMEOUT: Duration = Duration::from_millis(1500);

/// Time limit for opening a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1000);

/// Time limit for a call, including finding a server.
pub(super) const PATIENCE: Duration = Duration::from_millis(1900);

/// Time limit for set-up, which may build indexes over many records.
const PREPARATION: Duration = Duration::from_secs(60);

/// Maximum number of connections to one server, unless the connection string sets it.
const POOL: u32 = 32;

/// The connection to a database, shared by all calls.
pub(super) struct Link {
    address: ConnectionString,
    settings: MongoSettings,
    layout: Layout,
    client: OnceCell<Client>,
    /// Set after the schema version was checked and all indexes exist.
    prepared: OnceCell<Database>,
    version: OnceLock<String>,
}

impl Link {
    /// Creates the link and tries to prepare the database. If no server answers, the first call
    /// that reaches one prepares it.
    pub async fn connect(
        settings: MongoSettings,
        layout: Layout,
    ) -> Result<Arc<Self>, ConnectError> {
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
        let link = Arc::new(Self {
            address,
            settings,
            layout,
            client: OnceCell::new(),
            prepared: OnceCell::new(),
            version: OnceLock::new(),
        });
        match link.try_prepare().await {
            Ok(()) => {}
            Err(PrepareError::Unusable(error)) => return Err(error),
            Err(PrepareError::Store(error)) => {
                tracing::warn!(%error, "could not reach mongodb; starting without it");
            }
        }
        Ok(link)
    }

    /// Tries once to prepare the database, with a short time limit for reaching a server and a
    /// long one for building indexes.
    async fn try_prepare(self: &Arc<Self>) -> Result<(), PrepareError> {
        let link = self.clone();
        let answers = async move {
            let database = link.client().await?.database(&link.settings.database);
            database.run_command(doc! { "ping": 1 }).await?;
            Ok(())
        };
        within(PATIENCE, answers).await?;
        let link = self.clone();
        let prepared = async move { Ok(link.prepare().await.map(drop)) };
        within(PREPARATION, prepared).await?
    }

    /// Returns the client. The first call creates it, which queries DNS for `mongodb+srv`.
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

    /// Returns the database; the first caller checks its schema version and creates its indexes.
    async fn prepare(&self) -> Result<&Database, PrepareError> {
        self.prepared
            .get_or_try_init(|| async {
                let database = self.client().await?.database(&self.settings.database);
                let version = schema::prepare(&database, &self.layout).await?;
                tracing::info!(version, "mongodb is ready");
                let _ = self.version.set(version);
                Ok(database)
            })
            .await
    }

    /// Returns the prepared database.
    pub async fn database(&self) -> Result<&Database, StoreError> {
        self.prepare().await.map_err(|error| match error {
            PrepareError::Store(error) => error,
            PrepareError::Unusable(error) => StoreError::Unavailable(error.to_string()),
        })
    }

    /// Makes a call to a collection, with a time limit. Does not start it if preparing the
    /// database took so long that the caller has already received a timeout.
    pub async fn call<T, F>(
        self: &Arc<Self>,
        collection: &'static str,
        call: impl FnOnce(Collection<RawDocumentBuf>) -> F + Send + 'static,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let (link, begun) = (self.clone(), Instant::now());
        within(PATIENCE, async move {
            let database = link.database().await?;
            if begun.elapsed() >= PATIENCE {
                return Err(timeout_error());
            }
            call(database.collection(collection)).await
        })
        .await
    }

    /// Returns the server's name and version.
    pub fn description(&self) -> String {
        match self.version.get() {
            Some(version) => format!("mongodb {version}"),
            None => "mongodb, not reached yet".to_owned(),
        }
    }

    /// Checks that a primary server answers.
    pub async fn ping(self: &Arc<Self>) -> Result<(), StoreError> {
        let link = self.clone();
        let call = async move {
            link.database()
                .await?
                .run_command(doc! { "ping": 1 })
                .await?;
            Ok(())
        };
        within(PATIENCE, call).await
    }

    /// Returns the server's time.
    pub async fn time(self: &Arc<Self>) -> Result<Timestamp, StoreError> {
        let link = self.clone();
        let call = async move {
            let hello = link
                .database()
                .await?
                .run_command(doc! { "hello": 1 })
                .await?;
            let time = hello.get_datetime("localTime").ok();
            time.and_then(|time| Timestamp::from_millisecond(time.timestamp_millis()).ok())
                .ok_or_else(|| StoreError::Corrupt("the reply to hello, without localTime".into()))
        };
        within(PATIENCE, call).await
    }

    /// Closes the connections.
    pub async fn close(&self) {
        let Some(client) = self.client.get().cloned() else {
            return;
        };
        let closed = async move {
            client.shutdown().await;
            Ok(())
        };
        if let Err(error) = within(PATIENCE, closed).await {
            tracing::warn!(%error, "could not close the connections to mongodb in time");
        }
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.settings.database)
    }
}

/// Sets a time limit for a call. The call continues in its own task after the limit, or after its
/// caller is dropped, because the driver's pool breaks if its futures are dropped: after a frozen
/// server recovers, it never provides a connection again. The driver ends the call when its
/// monitor notices that the server is unavailable.
pub(super) async fn within<T: Send + 'static>(
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
        Err(_) => Err(timeout_error()),
    }
}

fn timeout_error() -> StoreError {
    StoreError::Unavailable("mongodb did not answer in time".into())
}
