//! Locks between the tasks of this process.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;

use crate::ports::{Held, Locks};

#[derive(Debug)]
struct Lock {
    fence: u64,
    until: Instant,
}

/// One holder at a time, within this process.
#[derive(Debug, Default)]
pub struct MemoryLocks(Mutex<HashMap<String, Lock>>);

impl MemoryLocks {
    fn change(&self, held: &Held, change: impl FnOnce(&mut Lock, Instant)) -> bool {
        let now = Instant::now();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get_mut(&held.name) {
            Some(lock) if lock.fence == held.fence && lock.until > now => {
                change(lock, now);
                true
            }
            _ => false,
        }
    }
}

#[async_trait]
impl Locks for MemoryLocks {
    async fn acquire(&self, name: &str, lease: Duration) -> Option<Held> {
        let now = Instant::now();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = all.get(name);
        if before.is_some_and(|lock| lock.until > now) {
            return None;
        }
        // The record stays when the lock is let go, so that the fence always grows.
        let fence = before.map_or(1, |lock| lock.fence + 1);
        let until = now + lease;
        all.insert(name.to_owned(), Lock { fence, until });
        Some(Held {
            name: name.to_owned(),
            token: fence.to_string(),
            fence,
        })
    }

    async fn extend(&self, held: &Held, lease: Duration) -> bool {
        self.change(held, |lock, now| lock.until = now + lease)
    }

    async fn release(&self, held: &Held) -> bool {
        self.change(held, |lock, now| lock.until = now)
    }
}
