//! The change of the template key: who seals with which key, and sealing anew, with the first
//! key, what older ones sealed, while instances go on.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::{StreamExt, TryStreamExt, stream};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{audit::Audit, copying::at_once, exclusive::with_lease, faces::SEALED};
use crate::{
    clock::Clock,
    domain::accounts::Actor,
    ports::{LeaseStore, StoreError, StoredRecord, Stores},
    vault::Vault,
};

/// How long whoever was killed still counts as sealing.
pub const LENGTH: Duration = Duration::from_secs(60);

/// How soon one instance follows another that stops.
const EVERY: Duration = Duration::from_secs(2);

/// The lease that stands for "somebody seals with this key".
fn lease(key_id: &str) -> String {
    format!("sealing with {key_id}")
}

/// Lets it be known that somebody seals with a key, until `stop` is cancelled. Of all who do, one
/// has the lease, and the next follows as soon as it stops.
pub async fn hold(
    leases: &dyn LeaseStore,
    clock: &dyn Clock,
    key_id: &str,
    stop: &CancellationToken,
) {
    let (name, here) = (lease(key_id), clock.id().to_string());
    while !stop.is_cancelled() {
        let work = async |_: &_| stop.cancelled().await;
        // Somebody else has it, or the store is away.
        let _ = with_lease((leases, clock), (&name, &here), LENGTH, work).await;
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// Whether anybody seals with one of the keys: has the lease now, or takes it when it is free.
///
/// # Errors
/// When the store cannot say.
pub async fn anybody_seals(
    leases: &dyn LeaseStore,
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
                Some(lease) => drop(leases.let_go(&lease).await?),
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

/// What came of sealing anew, in templates, photos and pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Resealed {
    /// Those that are sealed with the first key now.
    pub done: u64,
    /// Those that no key here opens; they stay as they are.
    pub unopened: u64,
    /// Those that were deleted or changed meanwhile.
    pub gone: u64,
}

impl std::ops::AddAssign for Resealed {
    fn add_assign(&mut self, other: Self) {
        self.done += other.done;
        self.unopened += other.unopened;
        self.gone += other.gone;
    }
}

/// Looks over all templates, photos and pictures once, and seals anew with the vault's first key what
/// another one sealed. What was looked over can be looked over again.
///
/// # Errors
/// When the store fails; what is done until then stays so.
pub async fn reseal(
    stores: &Stores,
    vault: &Vault,
    clock: &dyn Clock,
    mut told: impl FnMut(&Resealed),
) -> Result<Resealed, StoreError> {
    let mut all = Resealed::default();
    for kind in SEALED {
        let mut pages = stores.archive.records(kind);
        while let Some(page) = pages.try_next().await? {
            let mut people: BTreeMap<String, Vec<&StoredRecord>> = BTreeMap::new();
            for record in &page {
                people.entry(record.subject()).or_default().push(record);
            }
            let mut became = stream::iter(people.into_values())
                .map(|records| reseal_some(stores, vault, clock, records))
                .buffer_unordered(at_once(kind));
            while let Some(one) = became.try_next().await? {
                all += one;
            }
            told(&all);
        }
    }
    Ok(all)
}

/// Those of one person one after the other: some servers look at a whole enrollment first, and
/// write it after.
async fn reseal_some(
    stores: &Stores,
    vault: &Vault,
    clock: &dyn Clock,
    records: Vec<&StoredRecord>,
) -> Result<Resealed, StoreError> {
    let mut became = Resealed::default();
    for record in records {
        match vault.reseal(clock.nonce(), record) {
            None => {}
            Some(Ok(sealed)) => match stores.reseal(record, &sealed).await? {
                true => became.done += 1,
                false => became.gone += 1,
            },
            Some(Err(cause)) => {
                let (kind, id) = (record.kind().singular(), record.id());
                warn!(kind, id, %cause, "cannot be sealed anew");
                became.unopened += 1;
            }
        }
    }
    Ok(became)
}

/// How often everything is looked over at most, until there is nothing to do.
const PASSES: u32 = 5;

/// The same until nothing is left to do; `None` when too much changes meanwhile.
///
/// # Errors
/// As for [`reseal`].
pub async fn reseal_all(
    stores: &Stores,
    vault: &Vault,
    clock: &Arc<dyn Clock>,
    mut told: impl FnMut(&Resealed),
) -> Result<Option<Resealed>, StoreError> {
    let audit = Audit::new(stores.audit.clone(), clock.clone());
    audit
        .record(Actor::Operator, "keys.rotate", vault.key_id(), None)
        .await?;
    let mut done = 0;
    for _ in 0..PASSES {
        let pass = reseal(stores, vault, &**clock, &mut told).await?;
        done += pass.done;
        if pass.done + pass.gone == 0 {
            return Ok(Some(Resealed { done, ..pass }));
        }
    }
    Ok(None)
}
