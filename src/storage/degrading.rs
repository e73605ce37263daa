//! Redis first, this process or the store while Redis is away, Redis again by itself. The breaker in
//! [`super::redis::Server`] says which, writes one line in the log for each change, and costs nobody time.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::future::BoxFuture;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use super::{
    memory::{MemoryBus, MemoryLimits},
    redis::{Away, RedisBus, RedisCache, RedisLimits, RedisLocks},
};
use crate::ports::{Bus, Cache, Held, Locks, Message, Quota, RateLimits, Verdict};

/// A cache in Redis, else in its stand-in, else none.
pub struct DegradingCache {
    redis: RedisCache,
    stand_in: Option<Arc<dyn Cache>>,
}

impl DegradingCache {
    /// Over Redis; the stand-in is for values that may be a little old while Redis is away, and
    /// left out for those that may not.
    pub fn new(redis: RedisCache, stand_in: Option<Arc<dyn Cache>>) -> Self {
        Self { redis, stand_in }
    }

    /// Redis's answer, else the stand-in's, else that of an empty cache.
    async fn either<'a, T: Default>(
        &'a self,
        redis: impl Future<Output = Result<T, Away>>,
        aside: impl FnOnce(&'a dyn Cache) -> BoxFuture<'a, T>,
    ) -> T {
        match (redis.await, &self.stand_in) {
            (Ok(value), _) => value,
            (Err(_), Some(cache)) => aside(&**cache).await,
            (Err(_), None) => T::default(),
        }
    }

    /// Taken out of both, so that it does not come back with either.
    async fn both<'a>(
        &'a self,
        redis: impl Future<Output = Result<u64, Away>>,
        aside: impl FnOnce(&'a dyn Cache) -> BoxFuture<'a, u64>,
    ) -> u64 {
        let aside = match &self.stand_in {
            Some(cache) => aside(&**cache).await,
            None => 0,
        };
        redis.await.unwrap_or(0).max(aside)
    }
}

#[async_trait]
impl Cache for DegradingCache {
    async fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.either(self.redis.get(key), |cache| cache.get(key))
            .await
    }

    async fn get_many(&self, keys: &[String]) -> Vec<Option<Vec<u8>>> {
        let mut values = self
            .either(self.redis.get_many(keys), |cache| cache.get_many(keys))
            .await;
        values.resize(keys.len(), None);
        values
    }

    async fn set(&self, key: &str, value: &[u8], ttl: Duration) {
        self.either(self.redis.set(key, value, ttl), |cache| {
            cache.set(key, value, ttl)
        })
        .await;
    }

    async fn set_many(&self, values: &[(String, Vec<u8>)], ttl: Duration) {
        self.either(self.redis.set_many(values, ttl), |cache| {
            cache.set_many(values, ttl)
        })
        .await;
    }

    async fn add(&self, key: &str, value: &[u8], ttl: Duration) -> bool {
        self.either(self.redis.add(key, value, ttl), |cache| {
            cache.add(key, value, ttl)
        })
        .await
    }

    async fn delete(&self, keys: &[String]) -> u64 {
        self.both(self.redis.delete(keys), |cache| cache.delete(keys))
            .await
    }

    async fn clear(&self, prefix: &str) -> u64 {
        self.both(self.redis.clear(prefix), |cache| cache.clear(prefix))
            .await
    }

    async fn increment(&self, key: &str, by: i64, ttl: Duration) -> i64 {
        self.either(self.redis.increment(key, by, ttl), |cache| {
            cache.increment(key, by, ttl)
        })
        .await
    }

    async fn ttl(&self, key: &str) -> Option<Duration> {
        self.either(self.redis.ttl(key), |cache| cache.ttl(key))
            .await
    }

    fn shared(&self) -> bool {
        self.redis.server().up_for().is_some()
    }
}

/// Limits that hold with and without Redis: this process counts its own uses at any time, so
/// that neither a Redis that vanishes nor one that forgets lets more through here.
pub struct DegradingLimits {
    redis: RedisLimits,
    memory: MemoryLimits,
}

impl DegradingLimits {
    /// Over both.
    pub fn new(redis: RedisLimits) -> Self {
        Self {
            redis,
            memory: MemoryLimits::default(),
        }
    }
}

#[async_trait]
impl RateLimits for DegradingLimits {
    async fn check(&self, key: &str, quota: Quota) -> Verdict {
        let here = self.memory.check(key, quota).await;
        if !here.allowed {
            return here;
        }
        match self.redis.check(key, quota).await {
            Ok(all) if all.allowed => Verdict {
                remaining: all.remaining.min(here.remaining),
                reset: all.reset.max(here.reset),
                ..all
            },
            Ok(refused) => {
                self.memory.take_back(key);
                refused
            }
            Err(_) => here,
        }
    }
}

/// Locks of all instances. While Redis is away nobody can say who holds one, so none is had.
pub struct StrictLocks(RedisLocks);

impl StrictLocks {
    /// Over Redis.
    pub fn new(redis: RedisLocks) -> Self {
        Self(redis)
    }
}

#[async_trait]
impl Locks for StrictLocks {
    async fn acquire(&self, name: &str, lease: Duration) -> Option<Held> {
        self.0.acquire(name, lease).await.ok().flatten()
    }

    async fn extend(&self, held: &Held, lease: Duration) -> bool {
        self.0.extend(held, lease).await.unwrap_or(false)
    }

    async fn release(&self, held: &Held) -> bool {
        self.0.release(held).await.unwrap_or(false)
    }
}

/// A bus to all instances, else to this one's listeners.
pub struct DegradingBus {
    redis: RedisBus,
    memory: MemoryBus,
}

impl DegradingBus {
    /// Over both.
    pub fn new(redis: RedisBus) -> Self {
        Self {
            redis,
            memory: MemoryBus::default(),
        }
    }

    /// Hears the other instances until `stop`.
    pub async fn listen(&self, stop: CancellationToken) {
        self.redis.listen(&self.memory, stop).await;
    }
}

#[async_trait]
impl Bus for DegradingBus {
    async fn publish(&self, topic: &str, message: &[u8]) {
        self.memory.publish(topic, message).await;
        // Instances that do not hear it read the store.
        let _ = self.redis.publish(topic, message).await;
    }

    fn subscribe(&self) -> broadcast::Receiver<Message> {
        self.memory.subscribe()
    }
}
