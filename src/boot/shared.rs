//! What instances share for a while: on Redis where there is one, in this process else.

use std::{sync::Arc, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    config::{CacheFallback, Redis, SessionEngine},
    ports::{Bus, Cache, CacheStore, Locks, RateLimits},
    service::{self, feed::Feed, store_cache::StoreCache},
    storage::{
        degrading::{DegradingBus, DegradingCache, DegradingLimits, StrictLocks},
        memory::{MemoryBus, MemoryCache, MemoryLimits, MemoryLocks},
        redis::{
            Address, AddressError, Patience, Prefix, RedisBus, RedisCache, RedisLimits, RedisLocks,
            RedisServers, Server, Standing,
        },
    },
    telemetry::{Condition, Health},
};

/// Why what is shared cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SharedError {
    /// A URL cannot be used.
    #[error("{variable} {cause}")]
    Address {
        /// The variable it stands in.
        variable: &'static str,
        /// What it should be.
        cause: AddressError,
    },
    /// The authority's file cannot be read.
    #[error("REDIS_CA cannot be read: {0}")]
    Authority(std::io::Error),
}

/// How much the application's cache holds in this process.
const APPLICATION_BYTES: u64 = 16 << 20;

/// Everything that instances share for a while.
#[derive(Clone)]
pub struct Shared {
    /// Cached bytes; `None` without Redis, where each cache keeps to its own memory.
    pub cache: Option<Arc<dyn Cache>>,
    /// Cached sessions; `None` where they are only in the store.
    pub sessions: Option<Arc<dyn Cache>>,
    /// What the application remembers for a while; where there is nothing else, in this process
    /// or in the store.
    pub application: Arc<dyn Cache>,
    /// Whether it is in the store where there is nothing else.
    pub in_store: bool,
    /// Rate limits.
    pub limits: Arc<dyn RateLimits>,
    /// Locks.
    pub locks: Arc<dyn Locks>,
    /// The bus.
    pub bus: Arc<dyn Bus>,
    /// The same bus, when it has to be listened to.
    pub remote_bus: Option<Arc<DegradingBus>>,
    /// Every Redis, to be watched; none without Redis.
    pub servers: Vec<Arc<Server>>,
    prefix: Prefix,
}

impl Shared {
    /// As the settings say, with what the store keeps of the application cache, if there is one.
    /// Nothing is connected yet.
    ///
    /// # Errors
    /// A URL of another form; an authority that cannot be read.
    pub fn new(
        settings: &Redis,
        clock: &Arc<dyn Clock>,
        store: Option<Arc<dyn CacheStore>>,
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

    /// For one process.
    pub fn alone() -> Self {
        Self {
            cache: None,
            sessions: None,
            application: Arc::new(MemoryCache::new(APPLICATION_BYTES)),
            in_store: false,
            limits: Arc::new(MemoryLimits::default()),
            locks: Arc::new(MemoryLocks::default()),
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
            forget: vec![prefix.pattern("session:"), prefix.pattern("app:default:")],
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

        let cached = |server, stand_in| {
            let redis = RedisCache::new(server, prefix.clone());
            Arc::new(DegradingCache::new(redis, stand_in)) as Arc<dyn Cache>
        };
        let sessions = match settings.session_engine {
            SessionEngine::CachedDb => Some(cached(sessions, None)),
            SessionEngine::Cache => Some(cached(sessions, None)),
            SessionEngine::Db => None,
        };
        let bus = RedisBus::new(bus, prefix.clone(), instance.clone());
        let bus = Arc::new(DegradingBus::new(bus));
        Ok(Self {
            application: cached(cache.clone(), Some(fallback)),
            in_store: false,
            cache: Some(cached(cache, None)),
            sessions,
            limits: Arc::new(DegradingLimits::new(RedisLimits::new(
                limits,
                prefix.clone(),
                instance.clone(),
            ))),
            locks: Arc::new(StrictLocks::new(RedisLocks::new(
                locks,
                prefix.clone(),
                instance,
            ))),
            bus: bus.clone(),
            remote_bus: Some(bus),
            servers: servers.made.into_iter().map(|(_, server)| server).collect(),
            prefix,
        })
    }

    /// Whether nothing is remembered outside of this process.
    pub fn keeps_to_itself(&self) -> bool {
        self.servers.is_empty() && !self.in_store
    }

    /// How long lists are remembered. By itself this instance does not hear of what others and
    /// commands change.
    pub fn remembered(&self) -> Duration {
        Duration::from_secs(if self.keeps_to_itself() { 2 } else { 10 })
    }

    /// Tries each Redis once, so that a start says how it is.
    pub async fn connect(&self) {
        futures::future::join_all(self.servers.iter().map(|server| server.try_now())).await;
    }

    /// The servers, to be looked at.
    pub fn redis(&self) -> service::redis::Redis {
        service::redis::Redis::new(Arc::new(RedisServers::new(
            self.servers.clone(),
            self.prefix.clone(),
        )))
    }

    /// What is new, over the bus.
    pub fn feed(&self) -> Feed {
        Feed::new(self.bus.clone())
    }

    /// What a start says of it.
    pub fn line(&self) -> String {
        if self.servers.is_empty() {
            let line = "Running without Redis caching".to_owned();
            return match self.in_store {
                true => line + ", the cache is in the store",
                false => line,
            };
        }
        let how = |server: &Arc<Server>| match server.standing() {
            Standing::Away(why) => format!("{}, away: {why}", server.address().shown()),
            _ => server.address().shown().to_owned(),
        };
        let all: Vec<_> = self.servers.iter().map(how).collect();
        all.join(", ")
    }
}

/// How often the health registry learns how Redis is.
const TELL: Duration = Duration::from_millis(200);

/// Tells the health registry how Redis is, until `stop`.
pub(super) async fn tell(servers: Vec<Arc<Server>>, parts: Arc<Health>, stop: CancellationToken) {
    loop {
        parts.note("redis", condition(&servers));
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(TELL) => {}
        }
    }
}

/// How some servers are doing, as one.
fn condition(servers: &[Arc<Server>]) -> Condition {
    let away = servers.iter().find_map(|server| match server.standing() {
        Standing::Up => None,
        Standing::Unknown => Some("not tried yet".to_owned()),
        Standing::Away(why) => Some(why),
    });
    match away {
        None => Condition::Fine,
        Some(why) => Condition::Degraded(format!("running without Redis caching: {why}")),
    }
}

/// A server's URL, with user and password, and number.
type Who = (String, Option<i64>);

/// Makes one server for each address and user, however many uses share it.
struct Servers<'a> {
    settings: &'a Redis,
    authority: Option<Vec<u8>>,
    forget: Vec<String>,
    probe: String,
    made: Vec<(Who, Arc<Server>)>,
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
        // Of one user, too: each may have rights of its own.
        let who = (url.expose_secret().to_owned(), database);
        if let Some((_, server)) = self.made.iter().find(|(made, _)| *made == who) {
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
        self.made.push((who, server.clone()));
        Ok(server)
    }
}
