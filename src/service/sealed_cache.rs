//! A cache with encrypted values that are bound to their keys: read access reveals no value, and
//! write access cannot plant one.

use std::{sync::Arc, time::Duration};

use metrics::{Counter, counter};
use serde::{Serialize, de::DeserializeOwned};

use crate::{clock::Clock, domain::sealed::Sealed, ports::Cache, telemetry, vault::Vault};

/// Encrypted values by key.
#[derive(Clone)]
pub struct SealedCache {
    name: &'static str,
    cache: Arc<dyn Cache>,
    vault: Arc<Vault>,
    clock: Arc<dyn Clock>,
}

impl SealedCache {
    /// Makes a cache over another one; `name` labels its metrics.
    pub fn new(
        name: &'static str,
        cache: Arc<dyn Cache>,
        vault: Arc<Vault>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let sealed = Self {
            name,
            cache,
            vault,
            clock,
        };
        // A counter must exist before its first increase, or Prometheus does not see that one.
        sealed.refused().increment(0);
        sealed
    }

    /// Returns the counter of values that this installation did not encrypt.
    fn refused(&self) -> Counter {
        counter!("rollcall_cache_refused_total", "cache" => self.name)
    }

    /// Returns the cache behind it, for values that need no encryption.
    pub fn plain(&self) -> &Arc<dyn Cache> {
        &self.cache
    }

    /// Returns the value, if there is one that this installation encrypted for this key.
    pub async fn get<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        let bytes = self.cache.get(key).await;
        let value = bytes.and_then(|bytes| self.open(key, &bytes));
        telemetry::cached(self.name, value.is_some());
        value
    }

    fn open<T: DeserializeOwned>(&self, key: &str, bytes: &[u8]) -> Option<T> {
        let (key_id, nonce, ciphertext): (String, [u8; 12], Vec<u8>) =
            postcard::from_bytes(bytes).ok()?;
        let sealed = Sealed {
            key_id,
            nonce,
            ciphertext,
        };
        match self.vault.open_cached(&sealed, key) {
            Ok(plain) => postcard::from_bytes(&plain).ok(),
            Err(error) => {
                self.refused().increment(1);
                tracing::warn!(cache = self.name, %error, "could not decrypt a cached value; ignored it");
                None
            }
        }
    }

    /// Encrypts a value for a key.
    fn seal<T: Serialize>(&self, key: &str, value: &T) -> Option<Vec<u8>> {
        let plain = zeroize::Zeroizing::new(postcard::to_stdvec(value).ok()?);
        let nonce = self.clock.nonce();
        let Sealed {
            key_id,
            nonce,
            ciphertext,
        } = self.vault.seal_cached(nonce, key, &plain).ok()?;
        postcard::to_stdvec(&(key_id, nonce, ciphertext)).ok()
    }

    /// Caches a value for at most a time.
    pub async fn set<T: Serialize>(&self, key: &str, value: &T, ttl: Duration) {
        if let Some(bytes) = self.seal(key, value) {
            self.cache.set(key, &bytes, ttl).await;
        }
    }

    /// Caches a value if the key has none, not even an empty one of [`withdraw`](Self::withdraw).
    pub async fn add<T: Serialize>(&self, key: &str, value: &T, ttl: Duration) {
        if let Some(bytes) = self.seal(key, value) {
            self.cache.add(key, &bytes, ttl).await;
        }
    }

    /// Replaces a value by an empty one for a time. An instance that read the source before it
    /// changed cannot [`add`](Self::add) the old value then.
    pub async fn withdraw(&self, key: &str, ttl: Duration) {
        self.cache.set(key, b"", ttl).await;
    }
}
