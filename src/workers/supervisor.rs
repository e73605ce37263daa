//! The supervisor, parent of every task: names and starts tasks, restarts those that panic, stops
//! them by their token, and awaits them at shutdown.

use std::{
    collections::BTreeMap,
    future::Future,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::FutureExt;
use tokio::{task::AbortHandle, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, error, warn};

/// A supervisor of tasks. Clones share the same tasks.
#[derive(Clone, Default)]
pub struct Supervisor {
    tracker: TaskTracker,
    stop: CancellationToken,
    running: Arc<Mutex<Running>>,
}

#[derive(Default)]
struct Running {
    started: u64,
    tasks: BTreeMap<u64, (&'static str, Option<AbortHandle>)>,
}

/// The first pause before a panicked task is restarted; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// If a task ran this long before it panicked, its pause is reset.
const STABLE_AFTER: Duration = Duration::from_secs(60);

impl Supervisor {
    /// Creates a supervisor without tasks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the token that stops the tasks; [`shutdown`](Self::shutdown) cancels it.
    pub fn token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Returns the names of the running tasks, in the order of their start.
    pub fn tasks(&self) -> Vec<&'static str> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.tasks.values().map(|(name, _)| *name).collect()
    }

    /// Starts a task that ends by itself. A panic is logged and ends the task.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.start(name, async move {
            let _ = finishes(name, task).await;
        });
    }

    /// Starts a task that runs until its token is canceled. If it panics, it is created and started
    /// again after a pause, which grows.
    pub fn keep<F, T>(&self, name: &'static str, mut make: F)
    where
        F: FnMut(CancellationToken) -> T + Send + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        let stop = self.stop.clone();
        self.start(name, async move {
            let mut pause = FIRST_PAUSE;
            loop {
                let begin = Instant::now();
                if finishes(name, make(stop.child_token())).await {
                    break;
                }
                if begin.elapsed() >= STABLE_AFTER {
                    pause = FIRST_PAUSE;
                }
                warn!(
                    task = name,
                    ?pause,
                    "task panicked; restarting after a pause"
                );
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = tokio::time::sleep(pause) => {}
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        });
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that starts tasks"
    )]
    fn start(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let id = {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            running.started += 1;
            let id = running.started;
            running.tasks.insert(id, (name, None));
            id
        };
        let registry = self.running.clone();
        let handle = tokio::spawn(self.tracker.track_future(async move {
            task.await;
            debug!(task = name, "task ended");
            let mut running = registry.lock().unwrap_or_else(PoisonError::into_inner);
            running.tasks.remove(&id);
        }));
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, abort)) = running.tasks.get_mut(&id) {
            *abort = Some(handle.abort_handle());
        }
    }

    /// Stops all tasks and waits for them. Aborts those that do not end in time, and returns their
    /// names.
    pub async fn shutdown(&self, patience: Duration) -> Vec<&'static str> {
        self.stop.cancel();
        self.tracker.close();
        if tokio::time::timeout(patience, self.tracker.wait())
            .await
            .is_ok()
        {
            return Vec::new();
        }
        let late: Vec<_> = {
            let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            running.tasks.values().cloned().collect()
        };
        late.iter()
            .filter_map(|(_, abort)| abort.as_ref())
            .for_each(AbortHandle::abort);
        // An aborted task ends at its next await point; a task that never awaits cannot be awaited.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.tracker.wait()).await;
        late.into_iter().map(|(name, _)| name).collect()
    }
}

/// Runs a future to its end; logs a panic and returns false.
async fn finishes(name: &'static str, task: impl Future<Output = ()>) -> bool {
    let Err(panic) = AssertUnwindSafe(task).catch_unwind().await else {
        return true;
    };
    let cause = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    error!(task = name, cause, "task panicked");
    false
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn every_task_is_named_stopped_and_awaited() {
        let supervisor = Supervisor::new();
        let ended = Arc::new(AtomicU32::new(0));
        for name in ["one", "two"] {
            let ended = ended.clone();
            supervisor.keep(name, move |stop| {
                let ended = ended.clone();
                async move {
                    stop.cancelled().await;
                    ended.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        assert_eq!(supervisor.tasks(), ["one", "two"]);
        assert!(supervisor.shutdown(Duration::from_secs(5)).await.is_empty());
        assert_eq!(ended.load(Ordering::SeqCst), 2);
        assert!(supervisor.tasks().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_does_not_stop_is_aborted_and_named() {
        let supervisor = Supervisor::new();
        supervisor.spawn("stubborn", std::future::pending());
        let late = supervisor.shutdown(Duration::from_millis(20)).await;
        assert_eq!(late, ["stubborn"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_panicking_task_is_restarted_after_growing_pauses() {
        let supervisor = Supervisor::new();
        let starts = Arc::new(AtomicU32::new(0));
        let counted = starts.clone();
        supervisor.keep("shaky", move |stop| {
            let start = counted.fetch_add(1, Ordering::SeqCst);
            async move {
                assert!(start >= 2, "not yet");
                stop.cancelled().await;
            }
        });
        let begin = Instant::now();
        while starts.load(Ordering::SeqCst) < 3 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let pauses = begin.elapsed();
        assert!(pauses >= Duration::from_millis(250 + 500), "{pauses:?}");
        assert!(supervisor.shutdown(Duration::from_secs(1)).await.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn shutdown_does_not_wait_for_a_restart_pause() {
        let supervisor = Supervisor::new();
        supervisor.keep("broken", |_| async { panic!("always") });
        tokio::time::sleep(Duration::from_millis(50)).await;
        let begin = Instant::now();
        assert!(supervisor.shutdown(Duration::from_secs(5)).await.is_empty());
        assert!(begin.elapsed() < FIRST_PAUSE / 2);
    }
}
