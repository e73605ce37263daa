//! Locks between processes, with a lease and a fencing token, for an operator's own work. What the
//! service itself must do only once is under a lease in the store.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use redis::Script;
use tokio::time::{Instant, timeout_at};

use super::{
    cache::millis,
    keys::Prefix,
    server::{Server, Unavailable},
};

/// The fence is the server's time in microseconds, or one more than the last: it grows even
/// when Redis has lost the last one.
const ACQUIRE: &str = r"
local time = redis.call('TIME')
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 0 end
local fence = time[1] * 1000000 + time[2]
local last = tonumber(redis.call('GET', KEYS[2]) or 0)
if fence <= last then fence = last + 1 end
redis.call('SET', KEYS[2], string.format('%.0f', fence), 'PX', ARGV[3])
return fence";

const EXTEND: &str = r"
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])";

const RELEASE: &str = r"
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])";

/// How long the last fence of a lock is stored.
const FENCE_TTL: Duration = Duration::from_hours(7 * 24);

/// A lock that is held. Its holder passes `fence` on with what it writes: it grows with every
/// holder, so that the writes of a holder that was paused past the end of its lease can be refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The name of the lock.
    pub name: String,
    /// The holder, different for each acquisition.
    pub token: String,
    /// The fencing token.
    pub fence: u64,
}

/// Why work under a lock was not done to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// Redis is unavailable, so the holder is unknown; nothing was begun.
    #[error("Redis is unavailable: see `rollcall redis stats`")]
    Unavailable,
    /// Another process holds the lock; nothing was begun.
    #[error("another process holds the lock")]
    Taken,
    /// The lock was lost while the work went on, and the work was dropped.
    #[error("the lock was lost")]
    Lost,
}

/// Locks under a prefix.
pub struct RedisLocks {
    server: Arc<Server>,
    prefix: Prefix,
    acquire: Script,
    extend: Script,
    release: Script,
    instance: String,
    acquired: AtomicU64,
}

impl RedisLocks {
    /// Makes locks under a prefix of one server; `instance` is different for every process.
    pub fn new(server: Arc<Server>, prefix: Prefix, instance: String) -> Self {
        Self {
            server,
            prefix,
            acquire: Script::new(ACQUIRE),
            extend: Script::new(EXTEND),
            release: Script::new(RELEASE),
            instance,
            acquired: AtomicU64::new(0),
        }
    }

    /// The name is the hash tag: a cluster keeps a lock and its fence together.
    fn key(&self, name: &str) -> String {
        self.prefix.key(&format!("lock:{{{name}}}"))
    }

    /// Takes the lock for the length of a lease; `None` if another process holds it.
    pub async fn acquire(&self, name: &str, lease: Duration) -> Result<Option<Held>, Unavailable> {
        let number = self.acquired.fetch_add(1, Ordering::Relaxed);
        let token = format!("{}-{number}", self.instance);
        let fence_key = self.prefix.key(&format!("fence:{{{name}}}"));
        let (lease, fence_ttl) = (millis(lease).to_string(), millis(FENCE_TTL).to_string());
        let fence: u64 = self
            .server
            .script(
                &self.acquire,
                &[&self.key(name), &fence_key],
                &[token.as_bytes(), lease.as_bytes(), fence_ttl.as_bytes()],
            )
            .await?;
        Ok((fence > 0).then(|| Held {
            name: name.to_owned(),
            token,
            fence,
        }))
    }

    /// Holds the lock for another lease from now; returns false if it was lost.
    pub async fn extend(&self, held: &Held, lease: Duration) -> Result<bool, Unavailable> {
        let lease = millis(lease).to_string();
        let arguments = [held.token.as_bytes(), lease.as_bytes()];
        self.server
            .script(&self.extend, &[&self.key(&held.name)], &arguments)
            .await
    }

    /// Releases the lock; returns false if it was lost before.
    pub async fn release(&self, held: &Held) -> Result<bool, Unavailable> {
        self.server
            .script(
                &self.release,
                &[&self.key(&held.name)],
                &[held.token.as_bytes()],
            )
            .await
    }

    /// Does the work under a lock, which is extended while the work goes on. A Redis that is
    /// unavailable for less than the lease does not disturb the work. If the lock is lost, the work
    /// is dropped, because another process may have begun.
    ///
    /// # Errors
    /// When the lock cannot be had, or was lost.
    pub async fn with_lock<T>(
        &self,
        name: &str,
        lease: Duration,
        work: impl AsyncFnOnce(&Held) -> T,
    ) -> Result<T, LockError> {
        let asked = Instant::now();
        let held = match self.acquire(name, lease).await {
            Ok(Some(held)) => held,
            Ok(None) => return Err(LockError::Taken),
            Err(Unavailable) => return Err(LockError::Unavailable),
        };
        let done = tokio::select! {
            // A process that was paused must notice the loss before it goes on.
            biased;
            () = self.until_lost(&held, lease, asked + lease) => Err(LockError::Lost),
            done = work(&held) => Ok(done),
        };
        // If this fails, the lease runs out.
        let _ = self.release(&held).await;
        done
    }

    /// Extends a lock until it is lost.
    async fn until_lost(&self, held: &Held, lease: Duration, mut end: Instant) {
        loop {
            let left = end.saturating_duration_since(Instant::now());
            tokio::time::sleep(left.min(lease / 3)).await;
            let asked = Instant::now();
            if asked >= end {
                return;
            }
            // A Redis that hangs must not delay the end of the work.
            match timeout_at(end, self.extend(held, lease)).await {
                Ok(Ok(true)) => end = asked + lease,
                Ok(Ok(false)) | Err(_) => return,
                Ok(Err(Unavailable)) => {}
            }
        }
    }
}
