//! Adapters that use Redis while it is available, and a fallback while it is not. The circuit
//! breaker in [`super::redis::Server`] decides which, logs each change once, and never makes a
//! caller wait for a connection.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::future::BoxFuture;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use super::{
    memory::{MemoryBus, MemoryLimits},
    redis::{RedisBus, RedisCache, RedisLimits, Unavailable},
};
use crate::ports::{Bus, Cache, Message, Quota, RateLimits, Verdict};

/// A cache in Redis, with an optional fallback while Redis is unavailable.
#[derive(derive_new::new)]
pub struct DegradingCache {
    redis: RedisCache,
    /// `None` if values must not be stale: then the cache is empty while Redis is unavailable.
    fallback: Option<Arc<dyn Cache>>,
}

impl DegradingCache {
    /// Returns the reply of Redis, of the fallback, or of an empty cache, in this order.
    async fn first_available<'a, T: Default>(
        &'a self,
        redis: impl Future<Output = Result<T, Unavailable>>,
        fallback: impl FnOnce(&'a dyn Cache) -> BoxFuture<'a, T>,
    ) -> T {
        match (redis.await, &self.fallback) {
            (Ok(value), _) => value,
            (Err(_), Some(cache)) => fallback(&**cache).await,
            (Err(_), None) => T::default(),
        }
    }

    /// Removes values from both caches, so that neither returns them later.
    async fn remove_from_both<'a>(
        &'a self,
        redis: impl Future<Output = Result<u64, Unavailable>>,
        fallback: impl FnOnce(&'a dyn Cache) -> BoxFuture<'a, u64>,
    ) -> u64 {
        let fallback = match &self.fallback {
            Some(cache) => fallback(&**cache).await,
            None => 0,
        };
        redis.await.unwrap_or(0).max(fallback)
    }
}

#[async_trait]
impl Cache for DegradingCache {
    async fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.first_available(self.redis.get(key), |cache| cache.get(key))
            .await
    }

    async fn set(&self, key: &str, value: &[u8], ttl: Duration) {
        self.first_available(self.redis.set(key, value, ttl), |cache| {
            cache.set(key, value, ttl)
        })
        .await;
    }

    async fn add(&self, key: &str, value: &[u8], ttl: Duration) -> bool {
        self.first_available(self.redis.add(key, value, ttl), |cache| {
            cache.add(key, value, ttl)
        })
        .await
    }

    async fn delete(&self, keys: &[String]) -> u64 {
        self.remove_from_both(self.redis.delete(keys), |cache| cache.delete(keys))
            .await
    }

    async fn clear(&self, prefix: &str) {
        if let Some(cache) = &self.fallback {
            cache.clear(prefix).await;
        }
        if self.redis.clear(prefix).await.is_err() {
            self.redis.clear_when_back(prefix);
        }
    }

    async fn ttl(&self, key: &str) -> Option<Duration> {
        self.first_available(self.redis.ttl(key), |cache| cache.ttl(key))
            .await
    }

    fn shared(&self) -> bool {
        self.redis.server().up_for().is_some()
    }
}

/// Rate limits in Redis and in this process. This process always counts its own uses, so that
/// its limit also holds while Redis is unavailable or has lost its counts.
#[derive(derive_new::new)]
pub struct DegradingLimits {
    redis: RedisLimits,
    #[new(default)]
    memory: MemoryLimits,
}

#[async_trait]
impl RateLimits for DegradingLimits {
    async fn check(&self, key: &str, quota: Quota) -> Verdict {
        let local = self.memory.check(key, quota).await;
        if !local.allowed {
            return local;
        }
        match self.redis.check(key, quota).await {
            Ok(shared) if shared.allowed => Verdict {
                remaining: shared.remaining.min(local.remaining),
                reset: shared.reset.max(local.reset),
                ..shared
            },
            Ok(refused) => {
                self.memory.take_back(key).await;
                refused
            }
            Err(_) => local,
        }
    }

    async fn take_back(&self, key: &str) {
        self.memory.take_back(key).await;
        // If Redis is unavailable, the use counts there until it leaves the window.
        let _ = self.redis.take_back(key).await;
    }
}

/// A bus to all instances; while Redis is unavailable, only to the subscribers of this process.
#[derive(derive_new::new)]
pub struct DegradingBus {
    redis: RedisBus,
    #[new(default)]
    memory: MemoryBus,
}

impl DegradingBus {
    /// Receives messages from the other instances until `stop`.
    pub async fn listen(&self, stop: CancellationToken) {
        self.redis.listen(&self.memory, stop).await;
    }
}

#[async_trait]
impl Bus for DegradingBus {
    async fn publish(&self, topic: &str, message: &[u8]) {
        self.memory.publish(topic, message).await;
        // An instance that misses the message reads the store later.
        let _ = self.redis.publish(topic, message).await;
    }

    fn subscribe(&self) -> broadcast::Receiver<Message> {
        self.memory.subscribe()
    }
}
