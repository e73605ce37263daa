//! Rate limits that all instances share.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use redis::Script;

use super::{
    cache::millis,
    keys::Prefix,
    server::{Server, Unavailable},
};
use crate::ports::{Quota, Verdict};

/// Counts a use. The uses of a key are members of a sorted set, with times by the server's clock, so
/// that the clocks of instances do not matter. One script makes checking and counting atomic.
const CHECK: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local window, most = tonumber(ARGV[1]), tonumber(ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - window)
local used = redis.call('ZCARD', KEYS[1])
local allowed = 0
if used < most then
  allowed = 1
  used = used + 1
  redis.call('ZADD', KEYS[1], now, ARGV[3])
  redis.call('PEXPIRE', KEYS[1], window)
end
local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
local reset = window
if oldest[2] then reset = tonumber(oldest[2]) + window - now end
return {allowed, most - used, reset}";

/// Takes back the newest use.
const TAKE_BACK: &str = "return redis.call('ZREMRANGEBYRANK', KEYS[1], -1, -1)";

/// Like [`crate::ports::RateLimits`], but reports when Redis is unavailable.
pub struct RedisLimits {
    server: Arc<Server>,
    prefix: Prefix,
    check: Script,
    take_back: Script,
    /// Distinguishes this instance's uses from those of others.
    instance: String,
    uses: AtomicU64,
}

impl RedisLimits {
    /// Creates limits under a prefix. `instance` must be unique to this process.
    pub fn new(server: Arc<Server>, prefix: Prefix, instance: String) -> Self {
        Self {
            server,
            prefix,
            check: Script::new(CHECK),
            take_back: Script::new(TAKE_BACK),
            instance,
            uses: AtomicU64::new(0),
        }
    }

    /// Counts one use if the quota allows it.
    pub async fn check(&self, key: &str, quota: Quota) -> Result<Verdict, Unavailable> {
        let number = self.uses.fetch_add(1, Ordering::Relaxed);
        let arguments = [
            millis(quota.window).to_string(),
            quota.most.to_string(),
            format!("{}-{number}", self.instance),
        ];
        let arguments: Vec<&[u8]> = arguments.iter().map(String::as_bytes).collect();
        let key = self.prefix.key(&format!("limit:{key}"));
        let (allowed, remaining, reset): (u8, i64, u64) =
            self.server.script(&self.check, &[&key], &arguments).await?;
        Ok(Verdict {
            allowed: allowed == 1,
            remaining: u32::try_from(remaining.max(0)).unwrap_or(u32::MAX),
            reset: Duration::from_millis(reset),
        })
    }

    /// Takes back the newest counted use.
    pub async fn take_back(&self, key: &str) -> Result<(), Unavailable> {
        let key = self.prefix.key(&format!("limit:{key}"));
        let _: u64 = self.server.script(&self.take_back, &[&key], &[]).await?;
        Ok(())
    }
}
