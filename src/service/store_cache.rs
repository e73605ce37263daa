//! A cache in the store, which all instances share without Redis.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;

use crate::{
    clock::Clock,
    ports::{Cache, StoreError},
    repositories::StoredCache,
};

/// A cache in the store; an empty one while the store is unavailable.
#[derive(derive_new::new)]
pub struct StoreCache {
    store: StoredCache,
    clock: Arc<dyn Clock>,
}

impl StoreCache {
    /// Returns now, and the end of a life that begins now.
    fn life(&self, ttl: Duration) -> (Timestamp, Timestamp) {
        let now = self.clock.now();
        (now, now.checked_add(ttl).unwrap_or(Timestamp::MAX))
    }
}

/// Returns the answer, or that of an empty cache.
fn or<T>(answer: Result<T, StoreError>, empty: T) -> T {
    answer.unwrap_or_else(|error| {
        tracing::debug!(%error, "could not use the cache in the store");
        empty
    })
}

#[async_trait]
impl Cache for StoreCache {
    async fn get(&self, key: &str) -> Option<Vec<u8>> {
        or(self.store.get(key, self.clock.now()).await, None)
    }

    async fn set(&self, key: &str, value: &[u8], ttl: Duration) {
        let (_, until) = self.life(ttl);
        or(self.store.put(key, value, until).await, ());
    }

    async fn add(&self, key: &str, value: &[u8], ttl: Duration) -> bool {
        let (now, until) = self.life(ttl);
        or(self.store.add(key, value, now, until).await, false)
    }

    async fn delete(&self, keys: &[String]) -> u64 {
        or(self.store.delete(keys, self.clock.now()).await, 0)
    }

    async fn clear(&self, prefix: &str) {
        or(self.store.clear(prefix).await, ());
    }

    async fn ttl(&self, key: &str) -> Option<Duration> {
        let now = self.clock.now();
        let ends = or(self.store.end(key, now).await, None)?;
        Some(ends.duration_since(now).unsigned_abs())
    }
}
