//! Cached bytes in memory, bounded.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use moka::{Expiry, future::Cache as Moka, ops::compute::Op};

use crate::{ports::Cache, storage::parts};

/// A value and how long it lives from its writing.
#[derive(Clone)]
struct Entry {
    value: Vec<u8>,
    until: Instant,
}

struct UntilItsEnd;

impl Expiry<String, Entry> for UntilItsEnd {
    fn expire_after_create(&self, _: &String, entry: &Entry, now: Instant) -> Option<Duration> {
        Some(entry.until.saturating_duration_since(now))
    }

    fn expire_after_update(
        &self,
        _: &String,
        entry: &Entry,
        now: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(entry.until.saturating_duration_since(now))
    }
}

/// A bounded cache of this process; what is used least goes first.
#[derive(Clone)]
pub struct MemoryCache(Moka<String, Entry>);

impl MemoryCache {
    /// One that holds about so many bytes, keys included.
    pub fn new(bytes: u64) -> Self {
        let weight = |key: &String, entry: &Entry| {
            u32::try_from(key.len() + entry.value.len() + 64).unwrap_or(u32::MAX)
        };
        Self(
            Moka::builder()
                .max_capacity(bytes)
                .weigher(weight)
                .expire_after(UntilItsEnd)
                .build(),
        )
    }

    fn entry(value: &[u8], ttl: Duration) -> Entry {
        Entry {
            value: value.to_owned(),
            until: Instant::now() + ttl,
        }
    }
}

#[async_trait]
impl Cache for MemoryCache {
    async fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.0.get(key).await.map(|entry| entry.value)
    }

    async fn get_many(&self, keys: &[String]) -> Vec<Option<Vec<u8>>> {
        let mut values = Vec::with_capacity(keys.len());
        for key in keys {
            values.push(self.get(key).await);
        }
        values
    }

    async fn set(&self, key: &str, value: &[u8], ttl: Duration) {
        self.0.insert(key.to_owned(), Self::entry(value, ttl)).await;
    }

    async fn set_many(&self, values: &[(String, Vec<u8>)], ttl: Duration) {
        for (key, value) in values {
            self.set(key, value, ttl).await;
        }
    }

    async fn add(&self, key: &str, value: &[u8], ttl: Duration) -> bool {
        let made = self
            .0
            .entry_by_ref(key)
            .or_insert_with(async { Self::entry(value, ttl) })
            .await;
        made.is_fresh()
    }

    async fn delete(&self, keys: &[String]) -> u64 {
        let mut found = 0;
        for key in keys {
            found += u64::from(self.0.remove(key).await.is_some());
        }
        found
    }

    async fn clear(&self, prefix: &str) -> u64 {
        let keys: Vec<String> = self
            .0
            .iter()
            .filter(|(key, _)| key.starts_with(prefix))
            .map(|(key, _)| key.as_ref().clone())
            .collect();
        self.delete(&keys).await
    }

    async fn increment(&self, key: &str, by: i64, ttl: Duration) -> i64 {
        let mut now = by;
        self.0
            .entry_by_ref(key)
            .and_compute_with(|entry| {
                let (before, until) = entry.map_or((0, Instant::now() + ttl), |entry| {
                    let entry = entry.into_value();
                    (parts::counted(&entry.value), entry.until)
                });
                now = before.saturating_add(by);
                let value = now.to_string().into_bytes();
                async move { Op::Put(Entry { value, until }) }
            })
            .await;
        now
    }

    async fn ttl(&self, key: &str) -> Option<Duration> {
        let entry = self.0.get(key).await?;
        Some(entry.until.saturating_duration_since(Instant::now()))
    }
}
