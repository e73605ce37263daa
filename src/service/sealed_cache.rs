//! A cache whose values are sealed and bound to their keys: whoever can read it learns nothing,
//! and whoever can write it plants nothing.

use std::{sync::Arc, time::Duration};

use metrics::{Counter, counter};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    clock::Clock,
    ports::{Cache, Sealed},
    telemetry,
    vault::Vault,
};

/// Sealed values by key.
#[derive(Clone)]
pub struct SealedCache {
    name: &'static str,
    cache: Arc<dyn Cache>,
    vault: Arc<Vault>,
    clock: Arc<dyn Clock>,
}

impl SealedCache {
    /// Over a cache; `name` tells its figures from others'.
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
        // There from the start: only so is the first one an increase.
        sealed.refused().increment(0);
        sealed
    }

    /// Counts values that were not sealed by this installation.
    fn refused(&self) -> Counter {
        counter!("rollcall_cache_refused_total", "cache" => self.name)
    }

    /// The cache behind it, for what needs no seal.
    pub fn plain(&self) -> &Arc<dyn Cache> {
        &self.cache
    }

    /// The value, when there is one that this installation sealed for this key.
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
                tracing::warn!(cache = self.name, %error, "a cached value was left out");
                None
            }
        }
    }

    /// The value in the form in which it is kept.
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

    /// Puts a value, for at most so long.
    pub async fn set<T: Serialize>(&self, key: &str, value: &T, ttl: Duration) {
        if let Some(bytes) = self.seal(key, value) {
            self.cache.set(key, &bytes, ttl).await;
        }
    }

    /// Puts a value where there is nothing, not even a [`withdraw`](Self::withdraw).
    pub async fn add<T: Serialize>(&self, key: &str, value: &T, ttl: Duration) {
        if let Some(bytes) = self.seal(key, value) {
            self.cache.add(key, &bytes, ttl).await;
        }
    }

    /// Takes a value out, and keeps out for so long what is [`add`](Self::add)ed by those who
    /// read its source before it changed.
    pub async fn withdraw(&self, key: &str, ttl: Duration) {
        self.cache.set(key, b"", ttl).await;
    }
}
