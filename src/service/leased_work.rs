//! Work that only one instance at a time does: under a lease in the store, which is extended while
//! the work goes on. If the lease is lost, the work is aborted.

use std::time::Duration;

use jiff::SignedDuration;
use tokio::time::timeout;

use crate::{clock::Clock, domain::installation::Lease, ports::StoreError, repositories::Leases};

/// Does the work under a lease of the given length, which is extended while the work goes on. A
/// store that is unavailable for less than the length does not disturb the work. Returns `None` if
/// another holder has the lease, or if the lease was lost and the work was dropped.
///
/// # Errors
/// When the store cannot say who has the lease; then nothing was done.
pub async fn with_lease<T>(
    (leases, clock): (&Leases, &dyn Clock),
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
            match timeout(left, leases.extend(&lease, now, now + length)).await {
                Ok(Ok(true)) => until = now + length,
                Ok(Ok(false)) => return,
                // The store is unavailable: tries again until the lease ends.
                Ok(Err(_)) | Err(_) => {}
            }
        }
    };
    let done = unless_lost(name, work(&lease), lost).await;
    // If this fails, the lease runs out.
    let _ = leases.release(&lease).await;
    Ok(done)
}

/// Does the work under a lease until another holder is known to have it. The work goes on while the
/// store is unavailable, because no other instance can begin it then; a duplicate run must be
/// harmless. Returns `None` if another holder has the lease, or took it and the work was dropped.
///
/// # Errors
/// When the store cannot say at first who has the lease; then nothing was done.
pub async fn until_taken<T>(
    (leases, clock): (&Leases, &dyn Clock),
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
        let (mut pause, mut failing) = (length / 3, false);
        loop {
            tokio::time::sleep(pause).await;
            // A lease that ran out is taken again, unless another holder took it meanwhile.
            match timeout(length / 3, take()).await {
                Ok(Ok(Some(again))) => {
                    (lease, pause) = (again, length / 3);
                    if std::mem::take(&mut failing) {
                        tracing::info!(name, "the store is back; the lease is still held");
                    }
                }
                Ok(Ok(None)) => return,
                // Tries again soon, to be first when the store is back.
                Ok(Err(_)) | Err(_) => {
                    pause = length / 12;
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(name, "could not extend a lease; the work goes on");
                    }
                }
            }
        }
    };
    let done = unless_lost(name, work(), lost).await;
    let _ = leases.release(&lease).await;
    Ok(done)
}

/// Returns the time until a moment; zero once it has come.
fn left(clock: &dyn Clock, until: jiff::Timestamp) -> Duration {
    let left = until.duration_since(clock.now());
    left.max(SignedDuration::ZERO).unsigned_abs()
}

/// Returns the result of the work; `None` if the lease is lost first, which drops the work.
async fn unless_lost<T>(
    name: &str,
    work: impl Future<Output = T>,
    lost: impl Future<Output = ()>,
) -> Option<T> {
    tokio::select! {
        // A process that was paused must notice the loss before it goes on.
        biased;
        () = lost => {
            tracing::warn!(name, "lease lost; work aborted");
            None
        }
        done = work => Some(done),
    }
}
