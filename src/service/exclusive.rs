//! Work that one instance at a time does: under a lock that is kept while the work goes on, and
//! that ends the work when it is lost.

use std::time::Duration;

use crate::ports::{Held, Locks};

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
    let done = tokio::select! {
        done = work(&held) => Some(done),
        () = lost => {
            tracing::warn!(lock = name, "lost while it was needed: the work was left");
            None
        }
    };
    locks.release(&held).await;
    done
}
