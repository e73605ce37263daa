//! Bytes by key in Redis: for the cache, and for the keys of an operator.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use redis::{Script, cmd};

use super::{
    keys::Prefix,
    server::{Server, Unavailable},
};

/// Values under a prefix. Like [`crate::ports::Cache`], but reports when Redis is unavailable.
pub struct RedisCache {
    server: Arc<Server>,
    prefix: Prefix,
    increment: Script,
}

/// Adds to a number, and sets the expiry of a new key.
const INCREMENT: &str = r"
local now = redis.pcall('INCRBY', KEYS[1], ARGV[1])
if type(now) == 'table' then return false end
if redis.call('PTTL', KEYS[1]) < 0 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return now";

/// The value of a key is not a number that can be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotANumber;

/// Returns milliseconds, at least one: Redis refuses a lifetime of zero.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}

impl RedisCache {
    /// Makes a cache under a prefix of one server.
    pub fn new(server: Arc<Server>, prefix: Prefix) -> Self {
        Self {
            server,
            prefix,
            increment: Script::new(INCREMENT),
        }
    }

    /// Returns the server.
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// Returns the value, if there is one.
    pub async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Unavailable> {
        self.server.run(cmd("GET").arg(self.prefix.key(key))).await
    }

    /// Returns several values. Sends one command each, because a cluster spreads the keys over its
    /// nodes; the commands share the connections and so the round trip.
    pub async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, Unavailable> {
        join_all(keys.iter().map(|key| self.get(key)))
            .await
            .into_iter()
            .collect()
    }

    /// Sets a value for a lifetime.
    pub async fn set(&self, key: &str, value: &[u8], ttl: Duration) -> Result<(), Unavailable> {
        let mut set = cmd("SET");
        set.arg(self.prefix.key(key)).arg(value);
        self.server.run(set.arg("PX").arg(millis(ttl))).await
    }

    /// Sets several values for the same lifetime.
    pub async fn set_many(
        &self,
        values: &[(String, Vec<u8>)],
        ttl: Duration,
    ) -> Result<(), Unavailable> {
        join_all(values.iter().map(|(key, value)| self.set(key, value, ttl)))
            .await
            .into_iter()
            .collect()
    }

    /// Sets a value if the key has none; returns whether it did.
    pub async fn add(&self, key: &str, value: &[u8], ttl: Duration) -> Result<bool, Unavailable> {
        let mut set = cmd("SET");
        set.arg(self.prefix.key(key)).arg(value).arg("NX");
        let answer: Option<String> = self.server.run(set.arg("PX").arg(millis(ttl))).await?;
        Ok(answer.is_some())
    }

    /// Deletes keys and returns how many existed. In a cluster, the driver sends each node its
    /// keys.
    pub async fn delete(&self, keys: &[String]) -> Result<u64, Unavailable> {
        if keys.is_empty() {
            return Ok(0);
        }
        let keys: Vec<_> = keys.iter().map(|key| self.prefix.key(key)).collect();
        self.server.run(cmd("UNLINK").arg(keys)).await
    }

    /// Deletes all keys that begin with a text.
    pub async fn clear(&self, beginning: &str) -> Result<(), Unavailable> {
        let pattern = self.prefix.pattern(beginning);
        self.server.delete_matching(&pattern).await
    }

    /// Deletes all keys that begin with a text before Redis is used again after it was away.
    pub fn clear_when_back(&self, beginning: &str) {
        self.server.delete_when_back(self.prefix.pattern(beginning));
    }

    /// Adds to a number and returns the sum. A number that does not exist is 0 and gets the
    /// lifetime; others keep theirs.
    ///
    /// # Errors
    /// [`NotANumber`] when the value is something else.
    pub async fn increment(
        &self,
        key: &str,
        by: i64,
        ttl: Duration,
    ) -> Result<Result<i64, NotANumber>, Unavailable> {
        let arguments = [by.to_string(), millis(ttl).to_string()];
        let arguments: Vec<&[u8]> = arguments.iter().map(String::as_bytes).collect();
        let key = self.prefix.key(key);
        let sum: Option<i64> = self
            .server
            .script(&self.increment, &[&key], &arguments)
            .await?;
        Ok(sum.ok_or(NotANumber))
    }

    /// Gives a value another lifetime; returns false if there is no value.
    pub async fn expire(&self, key: &str, ttl: Duration) -> Result<bool, Unavailable> {
        let mut expire = cmd("PEXPIRE");
        expire.arg(self.prefix.key(key)).arg(millis(ttl));
        self.server.run(&expire).await
    }

    /// Returns the rest of the value's life; `None` without a value.
    pub async fn ttl(&self, key: &str) -> Result<Option<Duration>, Unavailable> {
        let left: i64 = self
            .server
            .run(cmd("PTTL").arg(self.prefix.key(key)))
            .await?;
        // -2: there is no key; -1: it does not expire, which only others set.
        Ok(match left {
            -2 => None,
            -1 => Some(Duration::MAX),
            left => Some(Duration::from_millis(left.unsigned_abs())),
        })
    }
}
