//! Ports to what instances share for a while: cached bytes, limits, locks, the bus.
//!
//! Nothing here is a record. Each port has an adapter for Redis, one for this process alone,
//! and one that takes the first and, while Redis is away, the second (`storage::degrading`), so
//! that callers get an answer at any time.

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::broadcast;

/// Bytes by key for a time. A cache: what was put in may be gone at any moment, and nothing may
/// depend on its being there. Keys are `use:…`, without the installation's prefix.
#[async_trait]
pub trait Cache: Send + Sync {
    /// The value, when there is one.
    async fn get(&self, key: &str) -> Option<Vec<u8>>;

    /// The values of several keys, in their order.
    async fn get_many(&self, keys: &[String]) -> Vec<Option<Vec<u8>>>;

    /// Puts a value, for at most so long.
    async fn set(&self, key: &str, value: &[u8], ttl: Duration);

    /// Puts several values, all for at most so long.
    async fn set_many(&self, values: &[(String, Vec<u8>)], ttl: Duration);

    /// Puts a value only where there is none; whether it was put.
    async fn add(&self, key: &str, value: &[u8], ttl: Duration) -> bool;

    /// Takes values out; how many were there.
    async fn delete(&self, keys: &[String]) -> u64;

    /// Takes out every key that begins so; how many there were.
    async fn clear(&self, prefix: &str) -> u64;

    /// Adds to a number, which begins at 0 and then lives so long; what it is now.
    async fn increment(&self, key: &str, by: i64, ttl: Duration) -> i64;

    /// How long the value still lives; `None` without one.
    async fn ttl(&self, key: &str) -> Option<Duration>;

    /// Whether there is a value.
    async fn exists(&self, key: &str) -> bool {
        self.ttl(key).await.is_some()
    }

    /// Whether what was last asked of it was asked of what all instances share, and not of a
    /// stand-in of this one.
    fn shared(&self) -> bool {
        true
    }
}

/// How much is allowed in a window that slides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// The most that is allowed within the window; at least 1.
    pub most: u32,
    /// The window.
    pub window: Duration,
}

/// The answer of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Whether this one is allowed; if so it is counted.
    pub allowed: bool,
    /// How many more are.
    pub remaining: u32,
    /// How long it takes until the oldest that is counted is forgotten: after it, one more is
    /// allowed.
    pub reset: Duration,
}

/// Limits that all instances count together, exactly, in windows that slide.
#[async_trait]
pub trait RateLimits: Send + Sync {
    /// Counts one use of `key`, when the quota allows it.
    async fn check(&self, key: &str, quota: Quota) -> Verdict;
}

/// A lock that is held. Whoever acts under it passes `fence` on: it grows with every holder, so
/// that a holder who was paused past the end of its lease is told from the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// What is locked.
    pub name: String,
    /// Who holds it, one of a kind for each time it is acquired.
    pub token: String,
    /// The fencing token.
    pub fence: u64,
}

/// Locks with a lease: one holder at a time, gone with its holder.
#[async_trait]
pub trait Locks: Send + Sync {
    /// Takes the lock for so long; `None` when somebody has it, or when nobody can say. A lock
    /// that cannot be had is never assumed.
    async fn acquire(&self, name: &str, lease: Duration) -> Option<Held>;

    /// Holds it for so long from now; false when it is lost: its holder must stop at once.
    async fn extend(&self, held: &Held, lease: Duration) -> bool;

    /// Lets go. False when it was lost before.
    async fn release(&self, held: &Held) -> bool;
}

/// Messages from any instance to all of them, this one too. Who does not listen misses them:
/// whatever must not be missed is read from the store.
#[async_trait]
pub trait Bus: Send + Sync {
    /// Tells all who listen to the topic.
    async fn publish(&self, topic: &str, message: &[u8]);

    /// Every message from now on, of every topic.
    fn subscribe(&self) -> broadcast::Receiver<Message>;
}

/// What is known of one Redis server. Whatever it did not tell is `None`, 0 or empty.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ServerFacts {
    /// Where it is, without user and password.
    pub address: String,
    /// Why it is away; `None` while it is up.
    pub away: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// `master` or `slave`, as it calls itself.
    pub role: Option<String>,
    /// Bytes in use.
    pub memory: u64,
    /// Bytes that it may use; 0 for no limit.
    pub memory_limit: u64,
    /// What it does when memory is full.
    pub policy: Option<String>,
    /// Whether it keeps an append-only file.
    pub persistent: Option<bool>,
    /// Connected clients.
    pub clients: u64,
    /// Keys that had to go for others, since it started.
    pub evicted: u64,
    /// Reads that found a key, and those that did not, of all its clients since it started.
    pub reads: (u64, u64),
    /// Our keys, by what stands before their first colon.
    pub keys: Vec<(String, u64)>,
    /// The slowest commands it remembers: name and microseconds.
    pub slow: Vec<(String, u64)>,
    /// How long our last commands took, microseconds: half of them less, 99 of 100 less.
    pub latency: Option<(u64, u64)>,
}

/// Looks at the servers that instances share.
#[async_trait]
pub trait SharedServers: Send + Sync {
    /// What is known of each; none without Redis.
    async fn facts(&self) -> Vec<ServerFacts>;

    /// Takes out every key of ours that begins so, everywhere; how many. `None` when a server
    /// is away.
    async fn clear(&self, prefix: &str) -> Option<u64>;
}

/// The topic of a message, with 16 bytes of zeros, by which a bus tells that it hears the other
/// instances from now on: what they said before may have been missed.
pub const BUS_BEGINS: &str = "begins";

/// A message of the bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What it is about.
    pub topic: String,
    /// What it says.
    pub payload: Vec<u8>,
}
