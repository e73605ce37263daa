//! One database of a Redis: its connections, and the circuit breaker in front of them.
//!
//! A request never waits for a connection. A watcher opens the connections, checks them by
//! writing, and closes the breaker. The first caller that finds the server unreachable, hanging or
//! read-only opens the breaker. From then on, every caller gets [`Unavailable`] immediately, until
//! the watcher succeeds again.

use std::{
    collections::{BTreeSet, VecDeque},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use metrics::{counter, gauge, histogram};
use redis::{
    Cmd, ErrorKind, FromRedisValue, Pipeline, RedisError, RedisFuture, RedisResult, Script,
    ServerErrorKind, Value,
    aio::ConnectionLike,
    cluster_routing::{RoutingInfo, SingleNodeRoutingInfo},
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::address::{Address, Link, Patience};

/// Redis is unreachable, does not reply in time, or accepts no writes. A command that was sent may
/// or may not have been executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("redis is unavailable")]
pub struct Unavailable;

/// The number of latest commands whose durations are kept.
const LATENCIES: usize = 1000;

/// The number of keys that one command scans or deletes.
const BATCH: usize = 500;

/// How often the watcher tries a server that is down.
const RETRY: Duration = Duration::from_millis(250);

/// How often the watcher checks a server that is up.
const CHECK: Duration = Duration::from_secs(1);

/// A node of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Host or address.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// The state of a server, as this instance sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It was not tried yet.
    Unknown,
    /// It accepts commands.
    Up,
    /// It does not accept commands, with the reason.
    Down(String),
}

/// A server, a Sentinel's master or a cluster, with shared connections.
pub struct Server {
    address: Address,
    patience: Patience,
    links: RwLock<Vec<Link>>,
    next: AtomicUsize,
    standing: Mutex<Standing>,
    came_back: AtomicU64,
    started: Instant,
    wake: Notify,
    size: usize,
    probe: String,
    forget: Vec<String>,
    /// Patterns of keys that could not be deleted.
    undeleted: Mutex<BTreeSet<String>>,
    durations: Mutex<VecDeque<Duration>>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redis at {}", self.address.shown())
    }
}

impl ConnectionLike for Link {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Server(link) => link.req_packed_command(cmd),
            Self::Cluster(link) => link.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Server(link) => link.req_packed_commands(pipeline, offset, count),
            Self::Cluster(link) => link.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Server(link) => link.get_db(),
            Self::Cluster(link) => link.get_db(),
        }
    }
}

impl Server {
    /// Creates a server without connections; [`watch`](Self::watch) opens them. `size` is the
    /// number of connections; `probe` is the key that the watcher writes. Whenever the server comes
    /// back, keys that match a pattern in `forget` are deleted first: they may be stale, because
    /// this instance could not invalidate them while the server was down.
    pub fn new(
        address: Address,
        patience: Patience,
        size: usize,
        probe: String,
        forget: Vec<String>,
    ) -> Arc<Self> {
        Arc::new(Self {
            address,
            patience,
            links: RwLock::default(),
            next: AtomicUsize::new(0),
            standing: Mutex::new(Standing::Unknown),
            came_back: AtomicU64::new(0),
            started: Instant::now(),
            wake: Notify::new(),
            size: size.max(1),
            probe,
            forget,
            undeleted: Mutex::default(),
            durations: Mutex::default(),
        })
    }

    /// Returns the address.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Returns the time limits.
    pub fn patience(&self) -> Patience {
        self.patience
    }

    /// Returns the current state.
    pub fn standing(&self) -> Standing {
        self.standing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Returns a number that changes each time the server comes back.
    pub fn return_number(&self) -> u64 {
        self.came_back.load(Ordering::Acquire)
    }

    /// Checks whether the server accepts commands.
    pub fn is_up(&self) -> bool {
        !self
            .links
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .is_empty()
    }

    /// Returns how long the server has accepted commands without interruption; `None` if it does
    /// not.
    pub fn up_for(&self) -> Option<Duration> {
        let since = Duration::from_millis(self.came_back.load(Ordering::Acquire));
        self.is_up()
            .then(|| self.started.elapsed().saturating_sub(since))
    }

    fn link(&self) -> Result<Link, Unavailable> {
        let links = self.links.read().unwrap_or_else(PoisonError::into_inner);
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        links
            .get(number % links.len().max(1))
            .cloned()
            .ok_or(Unavailable)
    }

    /// Runs one command.
    pub async fn run<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Unavailable> {
        let mut link = self.link()?;
        self.guarded(async { command.query_async(&mut link).await })
            .await
    }

    /// Runs several commands in one round trip.
    pub async fn pipe<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T, Unavailable> {
        let mut link = self.link()?;
        self.guarded(async { commands.query_async(&mut link).await })
            .await
    }

    /// Runs a script, which is atomic.
    pub async fn script<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[&str],
        arguments: &[&[u8]],
    ) -> Result<T, Unavailable> {
        let mut link = self.link()?;
        let mut call = script.prepare_invoke();
        keys.iter().for_each(|key| {
            call.key(*key);
        });
        arguments.iter().for_each(|argument| {
            call.arg(*argument);
        });
        self.guarded(async { call.invoke_async(&mut link).await })
            .await
    }

    /// Returns all keys that match a pattern. Uses SCAN, which does not block the server; in a
    /// cluster, scans every primary.
    pub async fn scan(&self, pattern: &str) -> Result<Vec<String>, Unavailable> {
        let mut link = self.link()?;
        self.scan_on(&mut link, pattern).await
    }

    async fn scan_on(&self, link: &mut Link, pattern: &str) -> Result<Vec<String>, Unavailable> {
        let mut found = Vec::new();
        for node in self.primaries(link).await? {
            let mut cursor = 0u64;
            loop {
                let mut scan = redis::cmd("SCAN");
                scan.arg(cursor)
                    .arg("MATCH")
                    .arg(pattern)
                    .arg("COUNT")
                    .arg(BATCH);
                let (next, keys): (u64, Vec<String>) =
                    self.guarded(run_on(link, node.as_ref(), scan)).await?;
                found.extend(keys);
                cursor = next;
                if cursor == 0 {
                    break;
                }
            }
        }
        // A scan may return a key twice.
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// Runs a command on every primary of a cluster, or on the server. Returns each node's reply.
    pub async fn everywhere<T: FromRedisValue>(
        &self,
        command: &Cmd,
    ) -> Result<Vec<(Option<Node>, T)>, Unavailable> {
        let mut link = self.link()?;
        let mut replies = Vec::new();
        for node in self.primaries(&mut link).await? {
            let reply = self
                .guarded(run_on(&mut link, node.as_ref(), command.clone()))
                .await?;
            replies.push((node, reply));
        }
        Ok(replies)
    }

    /// Returns the primaries of a cluster; one `None` for a single server.
    async fn primaries(&self, link: &mut Link) -> Result<Vec<Option<Node>>, Unavailable> {
        if !self.address.is_cluster() {
            return Ok(vec![None]);
        }
        let mut command = redis::cmd("CLUSTER");
        command.arg("NODES");
        let nodes: String = self.guarded(run_on(link, None, command)).await?;
        Ok(nodes.lines().filter_map(primary).map(Some).collect())
    }

    /// Deletes all keys that match a pattern.
    pub async fn delete_matching(&self, pattern: &str) -> Result<(), Unavailable> {
        let mut link = self.link()?;
        self.delete_on(&mut link, pattern).await
    }

    async fn delete_on(&self, link: &mut Link, pattern: &str) -> Result<(), Unavailable> {
        for keys in self.scan_on(link, pattern).await?.chunks(BATCH) {
            let mut unlink = redis::cmd("UNLINK");
            unlink.arg(keys);
            // In a cluster the driver sends each node its keys.
            self.guarded(run_on::<u64>(link, None, unlink)).await?;
        }
        Ok(())
    }

    /// Deletes the keys that match a pattern when the server is back, because it was not possible
    /// now.
    pub fn delete_when_back(&self, pattern: String) {
        tracing::warn!(pattern, "could not delete keys in Redis");
        self.undeleted().insert(pattern);
    }

    fn undeleted(&self) -> MutexGuard<'_, BTreeSet<String>> {
        let undeleted = self.undeleted.lock();
        undeleted.unwrap_or_else(PoisonError::into_inner)
    }

    /// Deletes keys that may be stale.
    async fn delete_stale(&self, link: &mut Link) -> Result<(), Unavailable> {
        let undeleted = self.undeleted().clone();
        for pattern in self.forget.iter().chain(&undeleted) {
            self.delete_on(link, pattern).await?;
        }
        self.undeleted()
            .retain(|pattern| !undeleted.contains(pattern));
        Ok(())
    }

    /// Runs `work` with a time limit. Opens the breaker after a timeout, or an error that means
    /// that the server is unusable.
    async fn guarded<T>(
        &self,
        work: impl Future<Output = RedisResult<T>>,
    ) -> Result<T, Unavailable> {
        let begun = Instant::now();
        let result = tokio::time::timeout(self.patience.command, work).await;
        self.record(begun.elapsed());
        let why = match result {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) if !is_unusable(&error) => {
                counter!("rollcall_redis_errors_total").increment(1);
                tracing::warn!(error = describe(&error), "could not run a redis command");
                return Err(Unavailable);
            }
            Ok(Err(error)) => describe(&error),
            Err(_) => "it does not reply in time".to_owned(),
        };
        counter!("rollcall_redis_errors_total").increment(1);
        self.open_breaker(why);
        Err(Unavailable)
    }

    fn record(&self, duration: Duration) {
        histogram!("rollcall_redis_command_seconds").record(duration.as_secs_f64());
        let mut last = self
            .durations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if last.len() == LATENCIES {
            last.pop_front();
        }
        last.push_back(duration);
    }

    /// Returns the 50th and 99th percentile of the durations of the latest commands, in
    /// microseconds; `None` before the first command.
    pub fn latency(&self) -> Option<(u64, u64)> {
        let last = self
            .durations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut last: Vec<Duration> = last.iter().copied().collect();
        last.sort_unstable();
        let at = |share: usize| {
            let duration = last.get(last.len().saturating_sub(1) * share / 100)?;
            u64::try_from(duration.as_micros()).ok()
        };
        at(50).zip(at(99))
    }

    /// Opens the breaker. Logs it once, even if several callers notice.
    fn open_breaker(&self, why: String) {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        self.links
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        if !matches!(*standing, Standing::Down(_)) {
            tracing::warn!(
                redis = self.address.shown(),
                why,
                "Running without Redis caching"
            );
            gauge!("rollcall_redis_up", "redis" => self.address.shown().to_owned()).set(0.0);
        }
        *standing = Standing::Down(why);
        drop(standing);
        self.wake.notify_one();
    }

    /// Closes the breaker.
    fn close_breaker(&self, links: Vec<Link>) {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.came_back.store(now, Ordering::Release);
        *self.links.write().unwrap_or_else(PoisonError::into_inner) = links;
        tracing::info!(redis = self.address.shown(), "running with Redis");
        gauge!("rollcall_redis_up", "redis" => self.address.shown().to_owned()).set(1.0);
        *standing = Standing::Up;
    }

    /// Connects, and checks that the server accepts writes.
    async fn connect(&self) -> Result<Vec<Link>, String> {
        let make = async {
            let mut links = self.address.connect_all(self.patience, self.size).await?;
            if let Some(link) = links.first_mut() {
                self.probe().query_async::<()>(link).await?;
            }
            Ok::<_, RedisError>(links)
        };
        let patience = self.patience.connect * 2 + self.patience.command;
        match tokio::time::timeout(patience, make).await {
            Ok(made) => made.map_err(|error| describe(&error)),
            Err(_) => Err("it does not reply in time".to_owned()),
        }
    }

    /// Returns a command that writes: a replica or a full server would still reply to PING.
    fn probe(&self) -> Cmd {
        let mut probe = redis::cmd("SET");
        probe.arg(&self.probe).arg(1).arg("PX").arg(1000);
        probe
    }

    /// Tries once to connect, or checks the connection if there is one.
    pub async fn try_now(&self) {
        if self.is_up() {
            // On failure, `guarded` opens the breaker.
            let _ = self.run::<()>(&self.probe()).await;
            return;
        }
        let first = self.standing() == Standing::Unknown;
        let mut links = match self.connect().await {
            Ok(links) => links,
            Err(why) => return self.open_breaker(why),
        };
        // A process that has just started did not miss an invalidation.
        let clean = match links.first_mut() {
            Some(link) if !first => self.delete_stale(link).await.is_ok(),
            link => link.is_some(),
        };
        if clean {
            self.close_breaker(links);
        }
    }

    /// Opens, checks and replaces the connections, until `stop`.
    pub async fn watch(&self, stop: CancellationToken) {
        loop {
            self.try_now().await;
            let pause = if self.is_up() { CHECK } else { RETRY };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
                // A caller has opened the breaker: retries immediately, then at intervals.
                () = self.wake.notified(), if self.is_up() => {}
            }
        }
    }
}

/// Runs a command on one node of a cluster, or wherever its keys belong.
async fn run_on<T: FromRedisValue>(
    link: &mut Link,
    node: Option<&Node>,
    command: Cmd,
) -> RedisResult<T> {
    match (link, node) {
        (Link::Cluster(cluster), Some(Node { host, port })) => {
            let to = SingleNodeRoutingInfo::ByAddress {
                host: host.clone(),
                port: *port,
            };
            let reply = cluster.route_command(command, RoutingInfo::SingleNode(to));
            Ok(redis::from_redis_value(reply.await?)?)
        }
        (link, _) => command.query_async(link).await,
    }
}

/// Reads a line of CLUSTER NODES, `id host:port@bus flags …`. Returns the node if it is a primary
/// that serves.
fn primary(line: &str) -> Option<Node> {
    let mut fields = line.split(' ').skip(1);
    let (address, flags) = (fields.next()?, fields.next()?);
    let serves = flags.split(',').any(|flag| flag == "master")
        && !flags
            .split(',')
            .any(|flag| matches!(flag, "fail" | "noaddr" | "handshake"));
    let (host, port) = address.split('@').next()?.rsplit_once(':')?;
    serves.then_some(Node {
        host: host.to_owned(),
        port: port.parse().ok()?,
    })
}

/// Checks whether an error means that the server, not just the command, is unusable now.
fn is_unusable(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Server(
            ServerErrorKind::BusyLoading
            | ServerErrorKind::ReadOnly
            | ServerErrorKind::MasterDown
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::TryAgain,
        ) => true,
        ErrorKind::Server(_) | ErrorKind::Extension => {
            matches!(
                error.code(),
                Some(
                    "OOM"
                        | "MISCONF"
                        | "NOAUTH"
                        | "WRONGPASS"
                        | "NOREPLICAS"
                        | "BUSY"
                        | "UNKILLABLE"
                )
            )
        }
        ErrorKind::UnexpectedReturnType | ErrorKind::Parse => false,
        _ => true,
    }
}

/// Describes an error for operators. The server's own text is left out: it may contain values.
fn describe(error: &RedisError) -> String {
    if error.kind() == ErrorKind::AuthenticationFailed {
        return "it refuses the user name or password".to_owned();
    }
    match error.code() {
        Some("OOM") => "its memory is full and it must not evict (OOM)".to_owned(),
        Some("MISCONF") => "it cannot save to its disk (MISCONF)".to_owned(),
        Some("READONLY") => "it is a read-only replica (READONLY)".to_owned(),
        Some("NOAUTH" | "WRONGPASS") => "it refuses the user name or password".to_owned(),
        Some(code) => format!("it replies {code}"),
        None => error.category().to_owned(),
    }
}
