//! Work that one instance at a time does: under a lease of the store or a lock of Redis, which is
//! kept while the work goes on and ends it when it is lost.

use std::time::Duration;

use jiff::SignedDuration;
use tokio::time::timeout;

use crate::{
    clock::Clock,
    ports::{Held, Lease, LeaseStore, Locks, StoreError},
};

/// Does the work under the lock `name`, or nothing when somebody else has it, or when nobody can
/// say. The lock is extended while the work goes on; when that fails the work is dropped where
/// it stands, since another instance may have begun. Whatever cannot bear that passes the
/// fencing token on to what it writes.
pub async fn with_lock<T>(
    locks: &dyn Locks,
    name: &str,
    lease: Duration,
    work: impl AsyncFnOnce(&Held) -> T,
) -> Option<T> {
    let held = locks.acquire(name, lease).await?;
    let lost = async {
        loop {
            tokio::time::sleep(lease / 3).await;
            if !locks.extend(&held, lease).await {
                return;
            }
        }
    };
    let done = unless_lost(name, work(&held), lost).await;
    locks.release(&held).await;
    done
}

/// Does the work under a lease of the store, for what must be single whether or not there is
/// Redis; `None` when somebody else has it, or when it was lost on the way and the work was
/// dropped where it stood. It is kept while the work goes on, and `length` long each time. A
/// store that is away for less than that costs it nothing.
///
/// # Errors
/// When the store cannot say who has it; then nothing was done.
pub async fn with_lease<T>(
    (leases, clock): (&dyn LeaseStore, &dyn Clock),
    (name, holder): (&str, &str),
    length: Duration,
    work: impl AsyncFnOnce(&Lease) -> T,
) -> Result<Option<T>, StoreError> {
    let now = clock.now();
    let Some(lease) = leases.take(name, holder, now, now + length).await? else {
        return Ok(None);
    };
    let lost = async {
        let mut until = lease.until;
        loop {
            let pause = left(clock, until).min(length / 3);
            tokio::time::sleep(pause).await;
            let (now, left) = (clock.now(), left(clock, until));
            if left.is_zero() {
                return;
            }
            match timeout(left, leases.keep(&lease, now, now + length)).await {
                Ok(Ok(true)) => until = now + length,
                Ok(Ok(false)) => return,
                // The store is away: asked again as long as it lasts.
                Ok(Err(_)) | Err(_) => {}
            }
        }
    };
    let done = unless_lost(name, work(&lease), lost).await;
    // Who cannot say so lets it run out.
    let _ = leases.let_go(&lease).await;
    Ok(done)
}

/// Does the work under a lease of the store until somebody else is known to have it: for what
/// goes on while the store is away, because nobody can begin it then, and is settled where it is
/// written should two do it after all. `None` when somebody else has it, or took it on the way,
/// and the work was dropped where it stood.
///
/// # Errors
/// When the store cannot say who has it at first; then nothing was done.
pub async fn until_taken<T>(
    (leases, clock): (&dyn LeaseStore, &dyn Clock),
    (name, holder): (&str, &str),
    length: Duration,
    work: impl AsyncFnOnce() -> T,
) -> Result<Option<T>, StoreError> {
    let take = async || {
        let now = clock.now();
        leases.take(name, holder, now, now + length).await
    };
    let Some(mut lease) = take().await? else {
        return Ok(None);
    };
    let lost = async {
        let (mut pause, mut away) = (length / 3, false);
        loop {
            tokio::time::sleep(pause).await;
            // It is had again when it was over and nobody took it meanwhile.
            match timeout(length / 3, take()).await {
                Ok(Ok(Some(again))) => {
                    (lease, pause) = (again, length / 3);
                    if std::mem::take(&mut away) {
                        tracing::info!(name, "the store is back, and nobody took over");
                    }
                }
                Ok(Ok(None)) => return,
                // Soon again: others wait for a moment when the store is back.
                Ok(Err(_)) | Err(_) => {
                    pause = length / 12;
                    if !std::mem::replace(&mut away, true) {
                        tracing::warn!(name, "the store is away: the work goes on");
                    }
                }
            }
        }
    };
    let done = unless_lost(name, work(), lost).await;
    let _ = leases.let_go(&lease).await;
    Ok(done)
}

/// How long it is until a moment; nothing once it has come.
fn left(clock: &dyn Clock, until: jiff::Timestamp) -> Duration {
    let left = until.duration_since(clock.now());
    left.max(SignedDuration::ZERO).unsigned_abs()
}

/// What the work comes to, unless what it is done under is lost first: then it is dropped.
async fn unless_lost<T>(
    name: &str,
    work: impl Future<Output = T>,
    lost: impl Future<Output = ()>,
) -> Option<T> {
    tokio::select! {
        // Whoever was paused learns first that it is over.
        biased;
        () = lost => {
            tracing::warn!(name, "lost while it was needed: the work was left");
            None
        }
        done = work => Some(done),
    }
}
