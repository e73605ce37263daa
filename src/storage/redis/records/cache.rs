//! Cached bytes, for instances that cache in no other Redis: keys that end by themselves.

use std::time::Duration;

use async_trait::async_trait;
use futures::future::try_join_all;
use jiff::Timestamp;
use redis::cmd;

use super::{BATCH, RedisStore, scripts};
use crate::ports::{CacheStore, StoreError};

/// What stands between the prefix and the key.
const KIND: &str = "cache";

/// Milliseconds, at least one: Redis refuses a life of none.
fn life(now: Timestamp, until: Timestamp) -> i64 {
    (until.as_millisecond() - now.as_millisecond()).max(1)
}

impl RedisStore {
    fn cached(&self, key: &str) -> String {
        self.keys.key(&format!("{KIND}:{key}"))
    }
}

#[async_trait]
impl CacheStore for RedisStore {
    async fn get(&self, keys: &[String], _: Timestamp) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let keys: Vec<_> = keys.iter().map(|key| self.cached(key)).collect();
        self.command(cmd("MGET").arg(keys)).await
    }

    async fn put(
        &self,
        values: &[(String, Vec<u8>)],
        now: Timestamp,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        let puts = values.iter().map(async |(key, value)| {
            let mut set = cmd("SET");
            set.arg(self.cached(key)).arg(value);
            self.command::<()>(set.arg("PX").arg(life(now, until)))
                .await
        });
        try_join_all(puts).await.map(drop)
    }

    async fn add(
        &self,
        key: &str,
        value: &[u8],
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut set = cmd("SET");
        set.arg(self.cached(key)).arg(value).arg("NX");
        let set: Option<String> = self.command(set.arg("PX").arg(life(now, until))).await?;
        Ok(set.is_some())
    }

    async fn delete(&self, keys: &[String], _: Timestamp) -> Result<u64, StoreError> {
        if keys.is_empty() {
            return Ok(0);
        }
        let keys: Vec<_> = keys.iter().map(|key| self.cached(key)).collect();
        self.command(cmd("UNLINK").arg(keys)).await
    }

    async fn clear(&self, prefix: &str, now: Timestamp) -> Result<u64, StoreError> {
        let mut keys = self.ends_of(KIND).await?;
        keys.retain(|key| key.starts_with(prefix));
        let mut cleared = 0;
        for keys in keys.chunks(BATCH) {
            cleared += CacheStore::delete(self, keys, now).await?;
        }
        Ok(cleared)
    }

    async fn increment(
        &self,
        key: &str,
        by: i64,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<i64, StoreError> {
        let arguments = [by, life(now, until)].map(|number| number.to_string().into_bytes());
        let keys = [self.cached(key)];
        self.script(&scripts::INCREMENT, &keys, &arguments, false)
            .await
    }

    async fn ends(&self, key: &str, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let left: i64 = self.command(cmd("PTTL").arg(self.cached(key))).await?;
        // -2: there is no key; -1: one without an end, which nothing here makes.
        let left = u64::try_from(left).ok().map(Duration::from_millis);
        Ok(left.map(|left| now.checked_add(left).unwrap_or(Timestamp::MAX)))
    }

    async fn purge(&self, _: Timestamp) -> Result<u64, StoreError> {
        Ok(0)
    }
}
