//! A bounded cache in memory.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use moka::{Expiry, future::Cache as Moka};

use crate::ports::Cache;

/// A value and when it expires.
#[derive(Clone)]
struct Entry {
    value: Vec<u8>,
    expires: Instant,
}

struct EntryExpiry;

impl Expiry<String, Entry> for EntryExpiry {
    fn expire_after_create(&self, _: &String, entry: &Entry, now: Instant) -> Option<Duration> {
        Some(entry.expires.saturating_duration_since(now))
    }

    fn expire_after_update(
        &self,
        _: &String,
        entry: &Entry,
        now: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(entry.expires.saturating_duration_since(now))
    }
}

/// A bounded cache of this process. It evicts the values that are used least.
#[derive(Clone)]
pub struct MemoryCache(Moka<String, Entry>);

impl MemoryCache {
    /// Creates a cache of about `bytes` bytes, keys included.
    pub fn new(bytes: u64) -> Self {
        let weight = |key: &String, entry: &Entry| {
            u32::try_from(key.len() + entry.value.len() + 64).unwrap_or(u32::MAX)
        };
        Self(
            Moka::builder()
                .max_capacity(bytes)
                .weigher(weight)
                .expire_after(EntryExpiry)
                .build(),
        )
    }

    fn entry(value: &[u8], ttl: Duration) -> Entry {
        Entry {
            value: value.to_owned(),
            expires: Instant::now() + ttl,
        }
    }
}

#[async_trait]
impl Cache for MemoryCache {
    async fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.0.get(key).await.map(|entry| entry.value)
    }

    async fn set(&self, key: &str, value: &[u8], ttl: Duration) {
        self.0.insert(key.to_owned(), Self::entry(value, ttl)).await;
    }

    async fn add(&self, key: &str, value: &[u8], ttl: Duration) -> bool {
        let entry = self
            .0
            .entry_by_ref(key)
            .or_insert_with(async { Self::entry(value, ttl) })
            .await;
        entry.is_fresh()
    }

    async fn delete(&self, keys: &[String]) -> u64 {
        let mut found = 0;
        for key in keys {
            found += u64::from(self.0.remove(key).await.is_some());
        }
        found
    }

    async fn clear(&self, prefix: &str) {
        let keys: Vec<_> = self.0.iter().map(|(key, _)| key).collect();
        for key in keys.iter().filter(|key| key.starts_with(prefix)) {
            self.0.invalidate(key.as_str()).await;
        }
    }

    async fn ttl(&self, key: &str) -> Option<Duration> {
        let entry = self.0.get(key).await?;
        Some(entry.expires.saturating_duration_since(Instant::now()))
    }
}
