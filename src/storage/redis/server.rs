//! One database of a Redis: its connections, and the breaker in front of them.
//!
//! Nobody on a request's path ever waits for a connection. A watcher makes them, tries them by
//! writing, and closes the breaker; the first caller who notices that the server is gone, hangs
//! or cannot be written opens it, and everybody else is told [`Away`] at once until the watcher
//! has tried it with success.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
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

/// Redis is not there, does not answer in time, or takes no writes. What was sent may or may
/// not have been done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("redis is away")]
pub struct Away;

/// How many commands' times are remembered.
const REMEMBERED: usize = 1000;

/// How many keys are looked over, or taken out, in one command.
const TOGETHER: usize = 500;

/// How often an absent server is tried.
const RETRY: Duration = Duration::from_millis(250);

/// How often a server that nobody complains about is tried.
const CHECK: Duration = Duration::from_secs(1);

/// A node of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Host or address.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// How an instance stands to the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Not tried yet.
    Unknown,
    /// It takes commands.
    Up,
    /// It does not, and why.
    Away(String),
}

/// A server, a Sentinel's master or a cluster, with a number of shared connections.
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
    took: Mutex<VecDeque<Duration>>,
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
    /// Not connected yet: [`watch`](Self::watch) does that. `probe` is the key that the watcher
    /// writes; `size` is how many connections share the work. Keys of the patterns in `forget`
    /// are taken out each time before the server counts as up again: what they cache may have been
    /// withdrawn while this instance could not tell it.
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
            took: Mutex::default(),
        })
    }

    /// Where it is.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// How long may be waited for what.
    pub fn patience(&self) -> Patience {
        self.patience
    }

    /// How it stands now.
    pub fn standing(&self) -> Standing {
        self.standing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Changes each time it comes back.
    pub fn return_number(&self) -> u64 {
        self.came_back.load(Ordering::Acquire)
    }

    /// Whether it takes commands.
    pub fn is_up(&self) -> bool {
        !self
            .links
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .is_empty()
    }

    /// How long it has been taking commands without a break; `None` when it does not.
    pub fn up_for(&self) -> Option<Duration> {
        let since = Duration::from_millis(self.came_back.load(Ordering::Acquire));
        self.is_up()
            .then(|| self.started.elapsed().saturating_sub(since))
    }

    fn link(&self) -> Result<Link, Away> {
        let links = self.links.read().unwrap_or_else(PoisonError::into_inner);
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        links.get(number % links.len().max(1)).cloned().ok_or(Away)
    }

    /// Runs one command.
    pub async fn run<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Away> {
        let mut link = self.link()?;
        self.judged(async { command.query_async(&mut link).await })
            .await
    }

    /// Runs several commands in one round trip.
    pub async fn pipe<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T, Away> {
        let mut link = self.link()?;
        self.judged(async { commands.query_async(&mut link).await })
            .await
    }

    /// Runs a script: all or nothing, and nothing else in between.
    pub async fn script<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[&str],
        arguments: &[&[u8]],
    ) -> Result<T, Away> {
        let mut link = self.link()?;
        let mut call = script.prepare_invoke();
        keys.iter().for_each(|key| {
            call.key(*key);
        });
        arguments.iter().for_each(|argument| {
            call.arg(*argument);
        });
        self.judged(async { call.invoke_async(&mut link).await })
            .await
    }

    /// Every key of the pattern, by SCAN: the server goes on serving others meanwhile. In a
    /// cluster each primary is asked.
    pub async fn scan(&self, pattern: &str) -> Result<Vec<String>, Away> {
        let mut link = self.link()?;
        self.scan_by(&mut link, pattern).await
    }

    async fn scan_by(&self, link: &mut Link, pattern: &str) -> Result<Vec<String>, Away> {
        let mut found = Vec::new();
        for node in self.primaries_by(link).await? {
            let mut cursor = 0u64;
            loop {
                let mut scan = redis::cmd("SCAN");
                scan.arg(cursor)
                    .arg("MATCH")
                    .arg(pattern)
                    .arg("COUNT")
                    .arg(TOGETHER);
                let (next, keys): (u64, Vec<String>) =
                    self.judged(ask(link, node.as_ref(), scan)).await?;
                found.extend(keys);
                cursor = next;
                if cursor == 0 {
                    break;
                }
            }
        }
        // A scan may tell a key twice.
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// Runs a command on every primary of a cluster, or on the server: who, and what it said.
    pub async fn everywhere<T: FromRedisValue>(
        &self,
        command: &Cmd,
    ) -> Result<Vec<(Option<Node>, T)>, Away> {
        let mut link = self.link()?;
        let mut answers = Vec::new();
        for node in self.primaries_by(&mut link).await? {
            let answer = self
                .judged(ask(&mut link, node.as_ref(), command.clone()))
                .await?;
            answers.push((node, answer));
        }
        Ok(answers)
    }

    /// The primaries of a cluster; one `None` for a server.
    async fn primaries_by(&self, link: &mut Link) -> Result<Vec<Option<Node>>, Away> {
        if !self.address.is_cluster() {
            return Ok(vec![None]);
        }
        let mut command = redis::cmd("CLUSTER");
        command.arg("NODES");
        let nodes: String = self.judged(ask(link, None, command)).await?;
        Ok(nodes.lines().filter_map(primary).map(Some).collect())
    }

    /// Takes out what may have been withdrawn meanwhile.
    async fn clean(&self, link: &mut Link) -> Result<(), Away> {
        for pattern in &self.forget {
            for keys in self.scan_by(link, pattern).await?.chunks(TOGETHER) {
                let mut unlink = redis::cmd("UNLINK");
                unlink.arg(keys);
                // In a cluster the driver sends each node its keys.
                self.judged(ask::<u64>(link, None, unlink)).await?;
            }
        }
        Ok(())
    }

    /// Waits no longer than patience allows, and opens the breaker for whatever says that the
    /// server is of no use.
    async fn judged<T>(&self, work: impl Future<Output = RedisResult<T>>) -> Result<T, Away> {
        let begun = Instant::now();
        let result = tokio::time::timeout(self.patience.command, work).await;
        self.note(begun.elapsed());
        let why = match result {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) if !is_of_no_use(&error) => {
                counter!("rollcall_redis_errors_total").increment(1);
                tracing::warn!(error = told(&error), "redis refused a command");
                return Err(Away);
            }
            Ok(Err(error)) => told(&error),
            Err(_) => "it does not answer in time".to_owned(),
        };
        counter!("rollcall_redis_errors_total").increment(1);
        self.leave(why);
        Err(Away)
    }

    fn note(&self, took: Duration) {
        histogram!("rollcall_redis_command_seconds").record(took.as_secs_f64());
        let mut last = self.took.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() == REMEMBERED {
            last.pop_front();
        }
        last.push_back(took);
    }

    /// How long the last commands took, microseconds: half of them less, 99 of 100 less;
    /// `None` before the first.
    pub fn latency(&self) -> Option<(u64, u64)> {
        let last = self.took.lock().unwrap_or_else(PoisonError::into_inner);
        let mut last: Vec<Duration> = last.iter().copied().collect();
        last.sort_unstable();
        let at = |share: usize| {
            let took = last.get(last.len().saturating_sub(1) * share / 100)?;
            u64::try_from(took.as_micros()).ok()
        };
        at(50).zip(at(99))
    }

    /// Opens the breaker. One line in the log, however many notice.
    fn leave(&self, why: String) {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        self.links
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        if !matches!(*standing, Standing::Away(_)) {
            tracing::warn!(
                redis = self.address.shown(),
                why,
                "Running without Redis caching"
            );
            gauge!("rollcall_redis_up", "redis" => self.address.shown().to_owned()).set(0.0);
        }
        *standing = Standing::Away(why);
        drop(standing);
        self.wake.notify_one();
    }

    fn join(&self, links: Vec<Link>) {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.came_back.store(now, Ordering::Release);
        *self.links.write().unwrap_or_else(PoisonError::into_inner) = links;
        tracing::info!(redis = self.address.shown(), "running with Redis");
        gauge!("rollcall_redis_up", "redis" => self.address.shown().to_owned()).set(1.0);
        *standing = Standing::Up;
    }

    /// Connects, and makes sure that it can be written.
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
            Ok(made) => made.map_err(|error| told(&error)),
            Err(_) => Err("it does not answer in time".to_owned()),
        }
    }

    /// A write, since a replica and a full server answer a PING as well.
    fn probe(&self) -> Cmd {
        let mut probe = redis::cmd("SET");
        probe.arg(&self.probe).arg(1).arg("PX").arg(1000);
        probe
    }

    /// Tries once to connect when it is not connected.
    pub async fn try_now(&self) {
        if self.is_up() {
            // Whoever does not answer is seen to by `judged`.
            let _ = self.run::<()>(&self.probe()).await;
            return;
        }
        let first = self.standing() == Standing::Unknown;
        let mut links = match self.connect().await {
            Ok(links) => links,
            Err(why) => return self.leave(why),
        };
        // A process that has just begun withdrew nothing while it could not tell.
        let clean = match links.first_mut() {
            Some(link) if !first => self.clean(link).await.is_ok(),
            link => link.is_some(),
        };
        if clean {
            self.join(links);
        }
    }

    /// Keeps the connections until `stop`.
    pub async fn watch(&self, stop: CancellationToken) {
        loop {
            self.try_now().await;
            let pause = if self.is_up() { CHECK } else { RETRY };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
                // Noticed between two checks: tried again at once, then at intervals.
                () = self.wake.notified(), if self.is_up() => {}
            }
        }
    }
}

/// Runs a command on one node of a cluster, or wherever it belongs.
async fn ask<T: FromRedisValue>(
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
            let answer = cluster.route_command(command, RoutingInfo::SingleNode(to));
            Ok(redis::from_redis_value(answer.await?)?)
        }
        (link, _) => command.query_async(link).await,
    }
}

/// A line of CLUSTER NODES, when it is a primary that serves: `id host:port@bus flags …`.
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

/// Whether the error says that the server, and not the command, is of no use now.
fn is_of_no_use(error: &RedisError) -> bool {
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

/// What an error says, for people: the server's own words hold no value of ours.
fn told(error: &RedisError) -> String {
    if error.kind() == ErrorKind::AuthenticationFailed {
        return "it refuses the user or password".to_owned();
    }
    match error.code() {
        Some("OOM") => "its memory is full and it may not evict (OOM)".to_owned(),
        Some("MISCONF") => "it cannot save to its disk (MISCONF)".to_owned(),
        Some("READONLY") => "it is a read-only replica (READONLY)".to_owned(),
        Some("NOAUTH" | "WRONGPASS") => "it refuses the user or password".to_owned(),
        Some(code) => format!("it answers {code}"),
        None => error.category().to_owned(),
    }
}
