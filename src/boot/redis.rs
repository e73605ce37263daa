//! The short-lived data that instances share: on Redis if it is configured, else in this process.

use std::{sync::Arc, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    config::{CacheFallback, Redis, SessionEngine},
    ports::{Bus, Cache, RateLimits},
    repositories::StoredCache,
    service::{self, feed::Feed, store_cache::StoreCache},
    storage::{
        degrading::{DegradingBus, DegradingCache, DegradingLimits},
        memory::{MemoryBus, MemoryCache, MemoryLimits},
        redis::{
            Address, AddressError, Patience, Prefix, RedisBus, RedisCache, RedisLimits, RedisLocks,
            RedisServers, Server, Standing,
        },
    },
    telemetry::{Condition, Health},
};

/// The reason why the shared parts cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SharedError {
    /// A URL is invalid.
    #[error("{variable} {cause}")]
    Address {
        /// The variable with the URL.
        variable: &'static str,
        /// What is wrong.
        cause: AddressError,
    },
    /// The file of the certificate authority cannot be read.
    #[error("could not read REDIS_CA: {0}")]
    Authority(std::io::Error),
}

/// Keys and locks of an operator's own, beside those of the service.
pub struct Custom {
    /// The keys, under `custom:`, where the cache is.
    pub keys: RedisCache,
    /// The locks.
    pub locks: RedisLocks,
}

/// Capacity of the application cache in this process, in bytes.
const APPLICATION_BYTES: u64 = 16 << 20;

/// The parts of the service that instances share.
#[derive(Clone)]
pub struct Shared {
    /// The shared cache; `None` without Redis, where every cache is in memory.
    pub cache: Option<Arc<dyn Cache>>,
    /// The session cache; `None` if sessions are in the store only.
    pub sessions: Option<Arc<dyn Cache>>,
    /// The application cache, for pairings and names on live pictures; without Redis, in this process
    /// or in the store.
    pub application: Arc<dyn Cache>,
    /// Whether the application cache is in the store without Redis.
    pub in_store: bool,
    /// Rate limits.
    pub limits: Arc<dyn RateLimits>,
    /// What an operator uses of Redis for other programs; `None` without Redis.
    pub custom: Option<Arc<Custom>>,
    /// The bus.
    pub bus: Arc<dyn Bus>,
    /// The same bus, if a task must listen to it.
    pub remote_bus: Option<Arc<DegradingBus>>,
    /// Every Redis server, for monitoring; empty without Redis.
    pub servers: Vec<Arc<Server>>,
    prefix: Prefix,
}

impl Shared {
    /// Creates the shared parts by the settings, without connecting. `store` is the cache in the
    /// store, if there is one.
    ///
    /// # Errors
    /// Fails if a URL is invalid or the certificate authority cannot be read.
    pub fn new(
        settings: &Redis,
        clock: &Arc<dyn Clock>,
        store: Option<StoredCache>,
    ) -> Result<Self, SharedError> {
        let store = store.filter(|_| settings.cache_fallback == CacheFallback::Store);
        let in_store = store.is_some();
        let fallback: Arc<dyn Cache> = match store {
            Some(store) => Arc::new(StoreCache::new(store, clock.clone())),
            None => Arc::new(MemoryCache::new(APPLICATION_BYTES)),
        };
        let shared = match settings.connection() {
            Some(url) => Self::on_redis(settings, &url, &**clock, fallback)?,
            None => Self {
                application: fallback,
                ..Self::alone()
            },
        };
        Ok(Self { in_store, ..shared })
    }

    /// Creates the parts for a single process.
    pub fn alone() -> Self {
        Self {
            cache: None,
            sessions: None,
            application: Arc::new(MemoryCache::new(APPLICATION_BYTES)),
            in_store: false,
            limits: Arc::new(MemoryLimits::default()),
            custom: None,
            bus: Arc::new(MemoryBus::default()),
            remote_bus: None,
            servers: Vec::new(),
            prefix: Prefix::new(""),
        }
    }

    fn on_redis(
        settings: &Redis,
        url: &SecretString,
        clock: &dyn Clock,
        fallback: Arc<dyn Cache>,
    ) -> Result<Self, SharedError> {
        let prefix = Prefix::new(&settings.prefix);
        let instance = clock.id().simple().to_string();
        let mut servers = Servers {
            settings,
            authority: match &settings.authority {
                Some(path) => Some(std::fs::read(path).map_err(SharedError::Authority)?),
                None => None,
            },
            forget: vec![prefix.pattern("session:")],
            probe: prefix.key(&format!("probe:{instance}")),
            made: Vec::new(),
        };
        let main = ("REDIS_URL", url);
        let cache = settings
            .cache_url
            .as_ref()
            .map_or(main, |url| ("CACHE_URL", url));
        let sessions = settings
            .sessions_url
            .as_ref()
            .map_or(main, |url| ("SESSION_CACHE_URL", url));
        let cache = servers.at(cache, settings.cache_database)?;
        let sessions = servers.at(sessions, settings.sessions_database)?;
        let limits = servers.at(main, settings.limits_database)?;
        let locks = servers.at(main, settings.locks_database)?;
        let bus = servers.at(main, None)?;

        let cached = |server, fallback| {
            let redis = RedisCache::new(server, prefix.clone());
            Arc::new(DegradingCache::new(redis, fallback)) as Arc<dyn Cache>
        };
        let sessions = match settings.session_engine {
            SessionEngine::CachedDb => Some(cached(sessions, None)),
            SessionEngine::Cache => Some(cached(sessions, None)),
            SessionEngine::Db => None,
        };
        let bus = RedisBus::new(bus, prefix.clone(), instance.clone());
        let custom = Custom {
            keys: RedisCache::new(cache.clone(), Prefix::new(&prefix.key("custom"))),
            locks: RedisLocks::new(locks, prefix.clone(), instance.clone()),
        };
        let bus = Arc::new(DegradingBus::new(bus));
        Ok(Self {
            application: cached(cache.clone(), Some(fallback)),
            in_store: false,
            cache: Some(cached(cache, None)),
            sessions,
            limits: Arc::new(DegradingLimits::new(RedisLimits::new(
                limits,
                prefix.clone(),
                instance,
            ))),
            custom: Some(Arc::new(custom)),
            bus: bus.clone(),
            remote_bus: Some(bus),
            servers: servers.made.into_iter().map(|(_, server)| server).collect(),
            prefix,
        })
    }

    /// Returns whether nothing is cached outside of this process.
    pub fn is_local(&self) -> bool {
        self.servers.is_empty() && !self.in_store
    }

    /// Connects to each Redis once, so that its state is known at start.
    pub async fn connect(&self) {
        futures::future::join_all(self.servers.iter().map(|server| server.try_now())).await;
    }

    /// Returns the servers, for inspection.
    pub fn redis(&self) -> service::redis::Redis {
        service::redis::Redis::new(Arc::new(RedisServers::new(
            self.servers.clone(),
            self.prefix.clone(),
        )))
    }

    /// Returns the feed of changes over the bus.
    pub fn feed(&self) -> Feed {
        Feed::new(self.bus.clone())
    }

    /// Describes Redis in one line, for the start.
    pub fn line(&self) -> String {
        if self.servers.is_empty() {
            let line = "Running without Redis caching".to_owned();
            return match self.in_store {
                true => line + ", the cache is in the store",
                false => line,
            };
        }
        let how = |server: &Arc<Server>| match server.standing() {
            Standing::Down(why) => format!("{}, unavailable: {why}", server.address().shown()),
            _ => server.address().shown().to_owned(),
        };
        let all: Vec<_> = self.servers.iter().map(how).collect();
        all.join(", ")
    }
}

/// How often the condition of Redis is reported to the health registry.
const REPORT_EVERY: Duration = Duration::from_millis(200);

/// Reports the condition of Redis to the health registry until `stop` is canceled.
pub(super) async fn report_health(
    servers: Vec<Arc<Server>>,
    parts: Arc<Health>,
    stop: CancellationToken,
) {
    loop {
        parts.note("redis", condition(&servers));
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(REPORT_EVERY) => {}
        }
    }
}

/// Summarizes the conditions of the servers.
fn condition(servers: &[Arc<Server>]) -> Condition {
    let unavailable = servers.iter().find_map(|server| match server.standing() {
        Standing::Up => None,
        Standing::Unknown => Some("not tried yet".to_owned()),
        Standing::Down(why) => Some(why),
    });
    match unavailable {
        None => Condition::Fine,
        Some(why) => Condition::Degraded(format!("running without Redis caching: {why}")),
    }
}

/// Identifies a server: its URL, with user and password, and the database number.
type ServerKey = (String, Option<i64>);

/// A factory that creates one server per address and user, which all uses share.
struct Servers<'a> {
    settings: &'a Redis,
    authority: Option<Vec<u8>>,
    forget: Vec<String>,
    probe: String,
    made: Vec<(ServerKey, Arc<Server>)>,
}

impl Servers<'_> {
    fn at(
        &mut self,
        (variable, url): (&'static str, &SecretString),
        database: Option<i64>,
    ) -> Result<Arc<Server>, SharedError> {
        let database = database.or(self.settings.database);
        let address = Address::parse(url, database, self.authority.clone())
            .map_err(|cause| SharedError::Address { variable, cause })?;
        // The user is part of the key, because each may have other permissions.
        let key = (url.expose_secret().to_owned(), database);
        if let Some((_, server)) = self.made.iter().find(|(made, _)| *made == key) {
            return Ok(server.clone());
        }
        let patience = Patience {
            connect: Duration::from_millis(self.settings.connection_timeout),
            command: Duration::from_millis(self.settings.command_timeout),
        };
        let server = Server::new(
            address,
            patience,
            self.settings.pool_size,
            self.probe.clone(),
            self.forget.clone(),
        );
        self.made.push((key, server.clone()));
        Ok(server)
    }
}
