//! The rotation of the template key: tracks which keys instances encrypt with, and encrypts data of
//! older keys again with the first key, while instances serve.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, TryStreamExt, stream};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{audit::Audit, leased_work::with_lease, sealed_faces, store_copy::batch_size};
use crate::{
    clock::Clock,
    domain::accounts::Actor,
    ports::{Expect, Parts, StoreError},
    repositories::{Found, Leases, Repositories},
    vault::Vault,
};

/// How long a process that was killed still counts as encrypting.
pub const LENGTH: Duration = Duration::from_secs(60);

/// How soon an instance takes the lease of another one that stops.
const EVERY: Duration = Duration::from_secs(2);

/// Returns the name of the lease that means "an instance encrypts with this key".
fn lease(key_id: &str) -> String {
    format!("sealing with {key_id}")
}

/// Announces that this instance encrypts with a key, until `stop` is canceled. One of the instances
/// with this key holds the lease, and another one takes it as soon as that one stops.
pub async fn hold(leases: &Leases, clock: &dyn Clock, key_id: &str, stop: &CancellationToken) {
    let (name, here) = (lease(key_id), clock.id().to_string());
    while !stop.is_cancelled() {
        let work = async |_: &_| stop.cancelled().await;
        // Another instance holds the lease, or the store is unavailable.
        let _ = with_lease((leases, clock), (&name, &here), LENGTH, work).await;
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// Returns whether an instance encrypts with one of the keys: it holds the lease now, or takes it
/// when it is free.
///
/// # Errors
/// When the store cannot say.
pub async fn any_instance_uses(
    leases: &Leases,
    clock: &dyn Clock,
    key_ids: &[&str],
) -> Result<bool, StoreError> {
    let here = clock.id().to_string();
    let taken = async || {
        for key_id in key_ids {
            let now = clock.now();
            match leases
                .take(&lease(key_id), &here, now, now + LENGTH)
                .await?
            {
                Some(lease) => drop(leases.release(&lease).await?),
                None => return Ok(true),
            }
        }
        Ok(false)
    };
    if taken().await? {
        return Ok(true);
    }
    tokio::time::sleep(EVERY * 3).await;
    taken().await
}

/// The result of encrypting records again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Resealed {
    /// The number of parts that are encrypted with the first key now.
    pub done: u64,
    /// The number of parts that no present key decrypts; they stay as they are.
    pub unopened: u64,
    /// The number of parts that were deleted or changed meanwhile.
    pub changed_meanwhile: u64,
}

impl std::ops::AddAssign for Resealed {
    fn add_assign(&mut self, other: Self) {
        self.done += other.done;
        self.unopened += other.unopened;
        self.changed_meanwhile += other.changed_meanwhile;
    }
}

/// Goes over all encrypted data once, and encrypts data of other keys again with the vault's first
/// key. Can be repeated.
///
/// # Errors
/// When the store fails. What was encrypted before the error stays so.
pub async fn reseal(
    stores: &Repositories,
    vault: &Vault,
    clock: &dyn Clock,
    mut report: impl FnMut(&Resealed),
) -> Result<Resealed, StoreError> {
    let mut all = Resealed::default();
    for registered in sealed_faces::kinds(stores) {
        let mut pages = std::pin::pin!(registered.pages(&*stores.engine, Parts::Whole));
        while let Some(page) = pages.try_next().await? {
            let mut resealed = stream::iter(page)
                .map(|found| reseal_one(stores, vault, clock, found))
                .buffer_unordered(batch_size(registered.kind));
            while let Some(one) = resealed.try_next().await? {
                all += one;
            }
            report(&all);
        }
    }
    Ok(all)
}

/// Encrypts the parts of a record again, and writes the record unless it changed meanwhile.
async fn reseal_one(
    stores: &Repositories,
    vault: &Vault,
    clock: &dyn Clock,
    mut found: Found,
) -> Result<Resealed, StoreError> {
    let mut resealed = Resealed::default();
    let (kind, id) = (found.record.kind_of(), found.record.id_text());
    for part in found.record.sealed_parts() {
        match vault.reseal(clock.nonce(), &part) {
            None => {}
            Some(Ok(sealed)) => {
                *part.sealed = sealed;
                resealed.done += 1;
            }
            Some(Err(cause)) => {
                warn!(kind = kind.one, id, %cause, "could not encrypt data again");
                resealed.unopened += 1;
            }
        }
    }
    if resealed.done > 0 {
        let write = found.record.to_write(Expect::Revision(found.revision))?;
        if stores.engine.put(write).await?.is_none() {
            resealed.changed_meanwhile = std::mem::take(&mut resealed.done);
        }
    }
    Ok(resealed)
}

/// The maximum number of passes over all data.
const PASSES: u32 = 5;

/// Encrypts again until nothing is left to do. Returns `None` if too much changes at the same time.
///
/// # Errors
/// As for [`reseal`].
pub async fn reseal_all(
    stores: &Repositories,
    vault: &Vault,
    clock: &Arc<dyn Clock>,
    mut report: impl FnMut(&Resealed),
) -> Result<Option<Resealed>, StoreError> {
    let audit = Audit::new(stores.audit.clone(), clock.clone());
    audit
        .record(Actor::Operator, "keys.rotate", vault.key_id(), None)
        .await?;
    let mut done = 0;
    for _ in 0..PASSES {
        let pass = reseal(stores, vault, &**clock, &mut report).await?;
        done += pass.done;
        if pass.done + pass.changed_meanwhile == 0 {
            return Ok(Some(Resealed { done, ..pass }));
        }
    }
    Ok(None)
}
