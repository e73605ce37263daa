//! Ports for state that instances share and that is not a record: cache, rate limits, bus.
//!
//! Each port has an adapter for Redis, one for this process, and one that uses Redis while it is
//! available and otherwise falls back to this process (`storage::degrading`). So callers always get
//! a result.

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::broadcast;

/// A cache of bytes by key. A value may disappear at any moment, and nothing may depend on it. Keys
/// are `use:…`, without the installation's prefix.
#[async_trait]
pub trait Cache: Send + Sync {
    /// Returns the value of a key.
    async fn get(&self, key: &str) -> Option<Vec<u8>>;

    /// Stores a value, which expires after `ttl`.
    async fn set(&self, key: &str, value: &[u8], ttl: Duration);

    /// Stores a value if the key has none. Returns whether it did.
    async fn add(&self, key: &str, value: &[u8], ttl: Duration) -> bool;

    /// Deletes keys. Returns how many existed.
    async fn delete(&self, keys: &[String]) -> u64;

    /// Deletes all keys that begin with `prefix`.
    async fn clear(&self, prefix: &str);

    /// Returns the time until a value expires; `None` if there is none.
    async fn ttl(&self, key: &str) -> Option<Duration>;

    /// Checks whether a key has a value.
    async fn exists(&self, key: &str) -> bool {
        self.ttl(key).await.is_some()
    }

    /// Checks whether the cache is currently shared by all instances, and not a local fallback.
    fn shared(&self) -> bool {
        true
    }
}

/// A limit on uses within a sliding window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Maximum number of uses within the window; at least 1.
    pub most: u32,
    /// The window.
    pub window: Duration,
}

/// The decision of a rate limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Whether this use is allowed. If so, it was counted.
    pub allowed: bool,
    /// Number of further uses that are allowed now.
    pub remaining: u32,
    /// Time until the oldest counted use leaves the window, and one more is allowed.
    pub reset: Duration,
}

/// Exact rate limits in sliding windows, shared by all instances.
#[async_trait]
pub trait RateLimits: Send + Sync {
    /// Counts one use of `key` if the quota allows it.
    async fn check(&self, key: &str, quota: Quota) -> Verdict;

    /// Takes back the newest counted use of `key`, because it turned out not to count.
    async fn take_back(&self, key: &str);
}

/// A bus for messages from one instance to all of them, including itself. Delivery is not
/// guaranteed: what must not be missed has to be read from the store.
#[async_trait]
pub trait Bus: Send + Sync {
    /// Sends a message to all subscribers.
    async fn publish(&self, topic: &str, message: &[u8]);

    /// Returns a receiver of all messages from now on, of every topic.
    fn subscribe(&self) -> broadcast::Receiver<Message>;
}

/// Facts about a Redis server. What it did not report is `None`, 0 or empty.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ServerFacts {
    /// The address, without user and password.
    pub address: String,
    /// Why it is unavailable; `None` if it is available.
    pub unavailable: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// `master` or `slave`, as Redis reports it.
    pub role: Option<String>,
    /// Bytes in use.
    pub memory: u64,
    /// Maximum bytes; 0 for no limit.
    pub memory_limit: u64,
    /// The eviction policy.
    pub policy: Option<String>,
    /// Whether it writes an append-only file.
    pub persistent: Option<bool>,
    /// Number of connected clients.
    pub clients: u64,
    /// Number of keys evicted since it started.
    pub evicted: u64,
    /// Number of hits and misses of all its clients since it started.
    pub reads: (u64, u64),
    /// Number of keys of this installation, by the part before the first colon.
    pub keys: Vec<(String, u64)>,
    /// The slowest recent commands, with their durations in microseconds.
    pub slow: Vec<(String, u64)>,
    /// The 50th and 99th percentile of the durations of this instance's latest commands, in
    /// microseconds.
    pub latency: Option<(u64, u64)>,
}

/// The Redis servers that instances share.
#[async_trait]
pub trait SharedServers: Send + Sync {
    /// Returns what is known of each server; nothing without Redis.
    async fn facts(&self) -> Vec<ServerFacts>;

    /// Returns the keys of this installation that match a pattern of Redis, on every server, without
    /// the installation's prefix; `None` if a server is unavailable.
    async fn find(&self, pattern: &str) -> Option<Vec<SharedKey>>;

    /// Deletes keys on every server and returns how many there were; `None` if a server is
    /// unavailable.
    async fn delete(&self, keys: &[String]) -> Option<u64>;
}

/// A key in Redis.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SharedKey {
    /// The key, without the installation's prefix.
    pub key: String,
    /// The rest of its life; `None` if it does not expire.
    pub ttl: Option<Duration>,
}

/// The topic of a message that the bus sends, with 16 zero bytes, after it has connected to the
/// other instances. Their earlier messages may have been missed.
pub const BUS_BEGINS: &str = "begins";

/// A message of the bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The topic.
    pub topic: String,
    /// The content.
    pub payload: Vec<u8>,
}
