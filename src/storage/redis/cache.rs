//! Cached bytes in Redis.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use redis::{Script, cmd};

use super::{
    keys::Prefix,
    server::{Away, Server},
};

/// [`crate::ports::Cache`], but with an answer for a Redis that is away.
pub struct RedisCache {
    server: Arc<Server>,
    prefix: Prefix,
    increment: Script,
}

/// Adds, and gives a key that was not there its end.
pub(super) const INCREMENT: &str = r"
local now = redis.call('INCRBY', KEYS[1], ARGV[1])
if redis.call('PTTL', KEYS[1]) < 0 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return now";

/// Milliseconds, at least one: Redis refuses a life of none.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}

impl RedisCache {
    /// Under a prefix of one server.
    pub fn new(server: Arc<Server>, prefix: Prefix) -> Self {
        Self {
            server,
            prefix,
            increment: Script::new(INCREMENT),
        }
    }

    /// The server behind it.
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// The value, when there is one.
    pub async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Away> {
        self.server.run(cmd("GET").arg(self.prefix.key(key))).await
    }

    /// Several values. One command each, so that a cluster may keep them apart; they share the
    /// connections and so the round trip.
    pub async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, Away> {
        join_all(keys.iter().map(|key| self.get(key)))
            .await
            .into_iter()
            .collect()
    }

    /// Puts a value.
    pub async fn set(&self, key: &str, value: &[u8], ttl: Duration) -> Result<(), Away> {
        let mut set = cmd("SET");
        set.arg(self.prefix.key(key)).arg(value);
        self.server.run(set.arg("PX").arg(millis(ttl))).await
    }

    /// Puts several values.
    pub async fn set_many(&self, values: &[(String, Vec<u8>)], ttl: Duration) -> Result<(), Away> {
        join_all(values.iter().map(|(key, value)| self.set(key, value, ttl)))
            .await
            .into_iter()
            .collect()
    }

    /// Puts a value only where there is none.
    pub async fn add(&self, key: &str, value: &[u8], ttl: Duration) -> Result<bool, Away> {
        let mut set = cmd("SET");
        set.arg(self.prefix.key(key)).arg(value).arg("NX");
        let answer: Option<String> = self.server.run(set.arg("PX").arg(millis(ttl))).await?;
        Ok(answer.is_some())
    }

    /// Takes values out, in one command: in a cluster the driver sends each node its keys.
    pub async fn delete(&self, keys: &[String]) -> Result<u64, Away> {
        if keys.is_empty() {
            return Ok(0);
        }
        let keys: Vec<_> = keys.iter().map(|key| self.prefix.key(key)).collect();
        self.server.run(cmd("UNLINK").arg(keys)).await
    }

    /// Takes out every key that begins so, a scan's page after the other.
    pub async fn clear(&self, prefix: &str) -> Result<u64, Away> {
        let mut found = 0;
        for keys in self
            .server
            .scan(&self.prefix.pattern(prefix))
            .await?
            .chunks(256)
        {
            let keys: Vec<String> = keys
                .iter()
                .filter_map(|key| self.prefix.strip(key).map(str::to_owned))
                .collect();
            found += self.delete(&keys).await?;
        }
        Ok(found)
    }

    /// Adds to a number.
    pub async fn increment(&self, key: &str, by: i64, ttl: Duration) -> Result<i64, Away> {
        let arguments = [by.to_string(), millis(ttl).to_string()];
        let arguments: Vec<&[u8]> = arguments.iter().map(String::as_bytes).collect();
        self.server
            .script(&self.increment, &[&self.prefix.key(key)], &arguments)
            .await
    }

    /// How long the value still lives.
    pub async fn ttl(&self, key: &str) -> Result<Option<Duration>, Away> {
        let left: i64 = self
            .server
            .run(cmd("PTTL").arg(self.prefix.key(key)))
            .await?;
        // -2: there is no key; -1: one without an end, which nothing here makes.
        Ok(match left {
            -2 => None,
            -1 => Some(Duration::MAX),
            left => Some(Duration::from_millis(left.unsigned_abs())),
        })
    }
}
