//! The application cache: typed, encrypted values by key, for a time.

use std::time::Duration;

use serde::{Serialize, de::DeserializeOwned};

use super::sealed_cache::SealedCache;

/// Values under an alias with its own key prefix and default lifetime. They contain people's names
/// and are shown as they are read, so they are encrypted and bound to their keys.
#[derive(Clone, derive_new::new)]
pub struct AppCache {
    alias: &'static str,
    cache: SealedCache,
    /// How long values live.
    ttl: Duration,
}

impl AppCache {
    fn key(&self, key: &str) -> String {
        format!("app:{}:{key}", self.alias)
    }

    /// Returns the value, if there is one of this type.
    pub async fn get<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        let json: Vec<u8> = self.cache.get(&self.key(key)).await?;
        serde_json::from_slice(&json).ok()
    }

    /// Caches a value for the default lifetime.
    pub async fn set<T: Serialize>(&self, key: &str, value: &T) {
        self.set_for(key, value, self.ttl).await;
    }

    /// Caches a value for a lifetime.
    pub async fn set_for<T: Serialize>(&self, key: &str, value: &T, ttl: Duration) {
        if let Ok(json) = serde_json::to_vec(value) {
            self.cache.set(&self.key(key), &json, ttl).await;
        }
    }

    /// Caches a value for a lifetime if the key has none.
    pub async fn add_for<T: Serialize>(&self, key: &str, value: &T, ttl: Duration) {
        if let Ok(json) = serde_json::to_vec(value) {
            self.cache.add(&self.key(key), &json, ttl).await;
        }
    }

    /// Deletes a value; returns whether there was one.
    pub async fn delete(&self, key: &str) -> bool {
        self.cache.plain().delete(&[self.key(key)]).await > 0
    }

    /// Returns whether all instances share the cache now, see [`crate::ports::Cache::shared`].
    pub fn shared(&self) -> bool {
        self.cache.plain().shared()
    }
}
