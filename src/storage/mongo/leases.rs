//! Leases. Each change of one is a document of its own under the number that follows the last
//! one's, of whose unique identity one is written: finding and changing one document at once
//! would do on MongoDB, but not on servers that only speak its protocol.

use async_trait::async_trait;
use jiff::Timestamp;
use mongodb::bson::doc;

use super::{MongoStore, documents::LeaseChange};
use crate::ports::{Lease, LeaseStore, StoreError};

/// How often a change is tried while others are quicker.
const TRIES: u32 = 8;

impl LeaseChange {
    /// Whether somebody has it at a moment.
    fn is_held(&self, now: Timestamp) -> bool {
        self.holder.is_some() && now < self.until
    }

    fn is_of(&self, lease: &Lease) -> bool {
        self.holder.as_ref() == Some(&lease.holder) && self.fence == lease.fence
    }
}

impl MongoStore {
    async fn last_change(&self, name: &str) -> Result<Option<LeaseChange>, StoreError> {
        self.select_one(doc! { "name": name }, doc! { "number": -1 })
            .await
    }

    /// Makes the change that `next` makes of the last one; `None` when it makes none, or when
    /// others are always quicker.
    async fn change_lease(
        &self,
        name: &str,
        next: impl Fn(Option<LeaseChange>) -> Option<LeaseChange>,
    ) -> Result<Option<LeaseChange>, StoreError> {
        let mut freed = None;
        for _ in 0..TRIES {
            let last = self.last_change(name).await?;
            let number = last.as_ref().map_or(0, |last| last.number) + 1;
            let Some(mut change) = next(last) else {
                return Ok(freed);
            };
            change.number = number;
            match self.insert_record(&change).await {
                Ok(()) => {}
                Err(StoreError::Conflict) => continue,
                Err(error) => return Err(error),
            }
            // The numbers of changes that were deleted are free again for whoever looked before
            // that. Later changes were there before those were deleted, and are seen now.
            let last = self.last_change(name).await?;
            if last.is_some_and(|last| last.number == number) {
                self.forget_changes(name, number).await;
                return Ok(Some(change));
            }
            // Freed, somebody took it at once.
            freed = Some(change).filter(|change| change.holder.is_none());
        }
        Ok(None)
    }

    /// Deletes the changes before one. What is left goes with the next.
    async fn forget_changes(&self, name: &str, number: u64) {
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        let before = doc! { "name": name, "number": { "$lt": number } };
        if let Err(error) = self.delete_where::<LeaseChange>(before).await {
            tracing::debug!(%error, "earlier changes of a lease were left");
        }
    }
}

#[async_trait]
impl LeaseStore for MongoStore {
    async fn take(
        &self,
        name: &str,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Lease>, StoreError> {
        let next = |last: Option<LeaseChange>| {
            let fence = match last {
                Some(last) if last.is_held(now) => {
                    (last.holder.as_deref() == Some(holder)).then_some(last.fence)?
                }
                last => last.map_or(0, |last| last.fence) + 1,
            };
            Some(LeaseChange {
                name: name.to_owned(),
                number: 0,
                holder: Some(holder.to_owned()),
                fence,
                until,
            })
        };
        let taken = self.change_lease(name, next).await?;
        Ok(taken.map(|taken| Lease {
            name: name.to_owned(),
            holder: holder.to_owned(),
            fence: taken.fence,
            until,
        }))
    }

    async fn keep(
        &self,
        lease: &Lease,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        let next = |last: Option<LeaseChange>| {
            let held = last.filter(|last| last.is_of(lease) && last.is_held(now))?;
            Some(LeaseChange { until, ..held })
        };
        Ok(self.change_lease(&lease.name, next).await?.is_some())
    }

    async fn let_go(&self, lease: &Lease) -> Result<bool, StoreError> {
        let next = |last: Option<LeaseChange>| {
            let held = last.filter(|last| last.is_of(lease))?;
            Some(LeaseChange {
                holder: None,
                ..held
            })
        };
        Ok(self.change_lease(&lease.name, next).await?.is_some())
    }
}
