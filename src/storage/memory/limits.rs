//! Rate limits that this process counts on its own.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;

use crate::ports::{Quota, RateLimits, Verdict};

/// The times of the uses, oldest first, and how long each counts.
#[derive(Debug, Default)]
struct Window {
    uses: VecDeque<Duration>,
    window: Duration,
}

impl Window {
    fn forget(&mut self, now: Duration) {
        while self
            .uses
            .front()
            .is_some_and(|at| now.saturating_sub(*at) >= self.window)
        {
            self.uses.pop_front();
        }
    }
}

/// The number of keys from which unused ones are removed.
const SWEEP_AT: usize = 1024;

/// The minimum time between two removals of unused keys.
const SWEEP: Duration = Duration::from_secs(1);

/// Rate limits with exact sliding windows.
pub struct MemoryLimits {
    /// The windows by key, and when unused ones were last removed.
    windows: Mutex<(HashMap<String, Window>, Duration)>,
    now: Box<dyn Fn() -> Duration + Send + Sync>,
}

impl Default for MemoryLimits {
    fn default() -> Self {
        let started = Instant::now();
        Self::with_clock(move || started.elapsed())
    }
}

impl MemoryLimits {
    /// Creates limits that read the time from `now`: the time since a fixed moment.
    pub fn with_clock(now: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self {
            windows: Mutex::default(),
            now: Box::new(now),
        }
    }

    fn check_at(&self, key: &str, quota: Quota, now: Duration) -> Verdict {
        let mut all = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, swept) = &mut *all;
        let due = now.saturating_sub(*swept) >= SWEEP;
        if all.len() >= SWEEP_AT && due && !all.contains_key(key) {
            *swept = now;
            all.retain(|_, window| {
                window.forget(now);
                !window.uses.is_empty()
            });
        }
        let window = all.entry(key.to_owned()).or_default();
        window.window = quota.window;
        window.forget(now);
        let allowed = window.uses.len() < quota.most as usize;
        if allowed {
            window.uses.push_back(now);
        }
        let age = window
            .uses
            .front()
            .map_or(Duration::ZERO, |at| now.saturating_sub(*at));
        let used = u32::try_from(window.uses.len()).unwrap_or(u32::MAX);
        Verdict {
            allowed,
            remaining: quota.most.saturating_sub(used),
            reset: quota.window.saturating_sub(age),
        }
    }
}

#[async_trait]
impl RateLimits for MemoryLimits {
    async fn check(&self, key: &str, quota: Quota) -> Verdict {
        self.check_at(key, quota, (self.now)())
    }

    /// Takes back the last use: uses are counted, so it does not matter which.
    async fn take_back(&self, key: &str) {
        let mut all = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(window) = all.0.get_mut(key) {
            window.uses.pop_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO_AN_HOUR: Quota = Quota {
        most: 2,
        window: Duration::from_hours(1),
    };

    #[test]
    fn windows_slide_and_each_key_has_its_own() {
        let limits = MemoryLimits::default();
        let check = |key: &str, minutes: u64| {
            limits.check_at(key, TWO_AN_HOUR, Duration::from_mins(minutes))
        };
        assert_eq!(check("a", 0).remaining, 1);
        assert_eq!(check("a", 30).remaining, 0);
        let refused = check("a", 59);
        assert!(!refused.allowed);
        assert_eq!(refused.reset, Duration::from_mins(1));
        assert!(check("b", 59).allowed);
        assert!(check("a", 60).allowed);
        assert!(!check("a", 61).allowed);
        assert!(check("a", 90).allowed);
    }

    #[tokio::test]
    async fn uses_can_be_taken_back_and_unused_keys_are_removed() {
        let limits = MemoryLimits::default();
        let begin = Duration::ZERO;
        for n in 0..SWEEP_AT {
            limits.check_at(&n.to_string(), TWO_AN_HOUR, begin);
        }
        limits.take_back("0").await;
        assert_eq!(limits.check_at("0", TWO_AN_HOUR, begin).remaining, 1);
        limits.check_at("new", TWO_AN_HOUR, begin + Duration::from_hours(2));
        assert_eq!(limits.windows.lock().unwrap().0.len(), 1);
    }
}
