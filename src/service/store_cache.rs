//! Cached bytes in the store, where all instances see them without Redis.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;

use crate::{
    clock::Clock,
    ports::{Cache, CacheStore, StoreError},
};

/// A cache in the store. While the store does not answer it is an empty one.
pub struct StoreCache {
    store: Arc<dyn CacheStore>,
    clock: Arc<dyn Clock>,
}

impl StoreCache {
    /// Over a store.
    pub fn new(store: Arc<dyn CacheStore>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }

    /// Now, and the end of a life that begins now.
    fn life(&self, ttl: Duration) -> (Timestamp, Timestamp) {
        let now = self.clock.now();
        (now, now.checked_add(ttl).unwrap_or(Timestamp::MAX))
    }
}

/// The answer, else that of an empty cache.
fn or<T>(answer: Result<T, StoreError>, empty: T) -> T {
    answer.unwrap_or_else(|error| {
        tracing::debug!(%error, "the cache in the store was left out");
        empty
    })
}

#[async_trait]
impl Cache for StoreCache {
    async fn get(&self, key: &str) -> Option<Vec<u8>> {
        let mut values = self.get_many(&[key.to_owned()]).await;
        values.pop().flatten()
    }

    async fn get_many(&self, keys: &[String]) -> Vec<Option<Vec<u8>>> {
        let answer = self.store.get(keys, self.clock.now()).await;
        or(answer, vec![None; keys.len()])
    }

    async fn set(&self, key: &str, value: &[u8], ttl: Duration) {
        self.set_many(&[(key.to_owned(), value.to_owned())], ttl)
            .await;
    }

    async fn set_many(&self, values: &[(String, Vec<u8>)], ttl: Duration) {
        let (now, until) = self.life(ttl);
        or(self.store.put(values, now, until).await, ());
    }

    async fn add(&self, key: &str, value: &[u8], ttl: Duration) -> bool {
        let (now, until) = self.life(ttl);
        or(self.store.add(key, value, now, until).await, false)
    }

    async fn delete(&self, keys: &[String]) -> u64 {
        or(self.store.delete(keys, self.clock.now()).await, 0)
    }

    async fn clear(&self, prefix: &str) -> u64 {
        or(self.store.clear(prefix, self.clock.now()).await, 0)
    }

    async fn increment(&self, key: &str, by: i64, ttl: Duration) -> i64 {
        let (now, until) = self.life(ttl);
        or(self.store.increment(key, by, now, until).await, by)
    }

    async fn ttl(&self, key: &str) -> Option<Duration> {
        let now = self.clock.now();
        let ends = or(self.store.ends(key, now).await, None)?;
        Some(ends.duration_since(now).unsigned_abs())
    }
}
