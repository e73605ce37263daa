//! The application cache: typed values by key for a while, computed where they are missing, and
//! in groups that are forgotten at once when what they were made of changes.

use std::{sync::Arc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};

use super::sealed_cache::SealedCache;
use crate::clock::Clock;

/// How long the mark of a group lives; everything under it dies long before.
const MARKED: Duration = Duration::from_hours(24);

/// How long a group's values live while nobody hears of other instances' changes.
const UNHEARD: Duration = Duration::from_secs(2);

/// Values under an alias, which has a prefix and a time-out of its own. Names of people stand in
/// them, and what is read is shown: so they are sealed, as everything that leaves this process.
#[derive(Clone)]
pub struct AppCache {
    alias: &'static str,
    /// `None` for one that remembers nothing.
    cache: Option<(SealedCache, Arc<dyn Clock>)>,
    time_out: Duration,
}

impl AppCache {
    /// Over a cache; values live for `time_out`.
    pub fn new(
        alias: &'static str,
        cache: SealedCache,
        clock: Arc<dyn Clock>,
        time_out: Duration,
    ) -> Self {
        Self {
            alias,
            cache: Some((cache, clock)),
            time_out,
        }
    }

    /// One that remembers nothing.
    pub fn dummy() -> Self {
        Self {
            alias: "dummy",
            cache: None,
            time_out: Duration::ZERO,
        }
    }

    fn sealed(&self) -> Option<&SealedCache> {
        self.cache.as_ref().map(|(sealed, _)| sealed)
    }

    fn key(&self, key: &str) -> String {
        format!("app:{}:{key}", self.alias)
    }

    /// The value, when there is one.
    pub async fn get<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        let json: Vec<u8> = self.sealed()?.get(&self.key(key)).await?;
        serde_json::from_slice(&json).ok()
    }

    /// The values of several keys, in their order.
    pub async fn get_many<T: DeserializeOwned>(&self, keys: &[&str]) -> Vec<Option<T>> {
        futures::future::join_all(keys.iter().map(|key| self.get(key))).await
    }

    /// Puts a value for the time-out.
    pub async fn set<T: Serialize>(&self, key: &str, value: &T) {
        self.set_for(key, value, self.time_out).await;
    }

    /// Puts a value for so long.
    pub async fn set_for<T: Serialize>(&self, key: &str, value: &T, ttl: Duration) {
        if let (Some(sealed), Ok(json)) = (self.sealed(), serde_json::to_vec(value)) {
            sealed.set(&self.key(key), &json, ttl).await;
        }
    }

    /// Puts several values for the time-out.
    pub async fn set_many<T: Serialize>(&self, values: &[(&str, T)]) {
        let puts = values.iter().map(|(key, value)| self.set(key, value));
        futures::future::join_all(puts).await;
    }

    /// Takes a value out; whether there was one.
    pub async fn delete(&self, key: &str) -> bool {
        match self.sealed() {
            Some(sealed) => sealed.plain().delete(&[self.key(key)]).await > 0,
            None => false,
        }
    }

    /// Whether there is a value.
    pub async fn exists(&self, key: &str) -> bool {
        self.ttl(key).await.is_some()
    }

    /// How long the value still lives.
    pub async fn ttl(&self, key: &str) -> Option<Duration> {
        self.sealed()?.plain().ttl(&self.key(key)).await
    }

    /// Adds to a number, which begins at 0; what it is now.
    pub async fn increment(&self, key: &str, by: i64, ttl: Duration) -> i64 {
        match self.sealed() {
            Some(sealed) => sealed.plain().increment(&self.key(key), by, ttl).await,
            None => by,
        }
    }

    /// Takes out every key that begins so; how many.
    pub async fn clear(&self, prefix: &str) -> u64 {
        match self.sealed() {
            Some(sealed) => sealed.plain().clear(&self.key(prefix)).await,
            None => 0,
        }
    }

    /// Whether all instances see what is put in now, see [`crate::ports::Cache::shared`].
    pub fn shared(&self) -> bool {
        self.sealed().is_some_and(|sealed| sealed.plain().shared())
    }

    /// The value, computed and put in when there is none. Errors are not remembered.
    pub async fn get_or_compute<T: Serialize + DeserializeOwned, E>(
        &self,
        key: &str,
        compute: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        if let Some(value) = self.get(key).await {
            return Ok(value);
        }
        let value = compute.await?;
        self.set(key, &value).await;
        Ok(value)
    }

    /// The same, until the group is [forgotten](Self::forget).
    pub async fn in_group<T: Serialize + DeserializeOwned, E>(
        &self,
        group: &str,
        key: &str,
        compute: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        // The mark is read before the value is made: what is made of what was, while it changes,
        // is put where nobody looks any more.
        match self.mark(group).await {
            Some(mark) => {
                let key = format!("{group}:{mark}:{key}");
                if let Some(value) = self.get(&key).await {
                    return Ok(value);
                }
                let value = compute.await?;
                let ttl = match self.shared() {
                    true => self.time_out,
                    false => self.time_out.min(UNHEARD),
                };
                self.set_for(&key, &value, ttl).await;
                Ok(value)
            }
            None => compute.await,
        }
    }

    async fn mark(&self, group: &str) -> Option<String> {
        let (sealed, clock) = self.cache.as_ref()?;
        let key = self.key(&format!("mark:{group}"));
        if let Some(mark) = sealed.get(&key).await {
            return Some(mark);
        }
        sealed.add(&key, &clock.id().to_string(), MARKED).await;
        sealed.get(&key).await
    }

    /// Forgets everything in a group, on all instances.
    pub async fn forget(&self, group: &str) {
        if let Some((sealed, clock)) = &self.cache {
            let key = self.key(&format!("mark:{group}"));
            sealed.set(&key, &clock.id().to_string(), MARKED).await;
        }
    }
}
