//! Locks between instances, with a lease and a fencing token.

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
    server::{Away, Server},
};
use crate::ports::Held;

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

/// How long the last fence of a lock is remembered.
const FENCE_TTL: Duration = Duration::from_hours(7 * 24);

/// [`crate::ports::Locks`], but with an answer for a Redis that is away.
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
    /// Under a prefix of one server; `instance` is different for every process.
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

    /// Takes the lock; `None` when somebody has it.
    pub async fn acquire(&self, name: &str, lease: Duration) -> Result<Option<Held>, Away> {
        let number = self.acquired.fetch_add(1, Ordering::Relaxed);
        let token = format!("{}-{number}", self.instance);
        let fence_key = self.prefix.key(&format!("fence:{{{name}}}"));
        let (lease, remembered) = (millis(lease).to_string(), millis(FENCE_TTL).to_string());
        let fence: u64 = self
            .server
            .script(
                &self.acquire,
                &[&self.key(name), &fence_key],
                &[token.as_bytes(), lease.as_bytes(), remembered.as_bytes()],
            )
            .await?;
        Ok((fence > 0).then(|| Held {
            name: name.to_owned(),
            token,
            fence,
        }))
    }

    /// Holds it for so long from now; false when it is lost.
    pub async fn extend(&self, held: &Held, lease: Duration) -> Result<bool, Away> {
        let lease = millis(lease).to_string();
        let arguments = [held.token.as_bytes(), lease.as_bytes()];
        self.server
            .script(&self.extend, &[&self.key(&held.name)], &arguments)
            .await
    }

    /// Lets go; false when it was lost before.
    pub async fn release(&self, held: &Held) -> Result<bool, Away> {
        self.server
            .script(
                &self.release,
                &[&self.key(&held.name)],
                &[held.token.as_bytes()],
            )
            .await
    }
}
