//! PINs and badges of employees.

use jiff::Timestamp;

use super::collection::later_than;
use crate::{
    domain::{accounts::TokenHash, ids::EmployeeId, punch_credentials::PunchCredential},
    ports::{Range, StoreError},
};

repository! {
    /// The repository of PINs and badges.
    PunchCredentials(PunchCredential): find, find_many
}

impl PunchCredentials {
    /// Returns the record with the hash of a badge.
    pub async fn find_by_badge(
        &self,
        badge: TokenHash,
    ) -> Result<Option<PunchCredential>, StoreError> {
        self.0
            .find_by(PunchCredential::BY_BADGE, (badge.to_hex(),))
            .await
    }

    /// Returns the records with a locked PIN, first locked first.
    pub async fn locked(&self) -> Result<Vec<PunchCredential>, StoreError> {
        let all = Range::all();
        self.0.all(PunchCredential::BY_LOCK, all).await
    }

    /// Changes the record of an employee; retries if others change it at the same time. `change`
    /// receives the current record, or an empty one, and returns the new one, or `None` to leave it
    /// unchanged. Returns the new record; `None` if it was left unchanged.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if every attempt fails because of other changes.
    pub async fn change(
        &self,
        id: EmployeeId,
        now: Timestamp,
        mut change: impl FnMut(PunchCredential) -> Option<PunchCredential>,
    ) -> Result<Option<PunchCredential>, StoreError> {
        let absent = PunchCredential::none(id, Timestamp::MIN);
        let stamped = |old: PunchCredential| {
            let changed_at = later_than(old.changed_at, now);
            let mut new = change(old)?;
            new.changed_at = changed_at;
            Some(new)
        };
        self.0.change_or_insert(&absent, stamped).await
    }

    /// Removes the PIN and the badge of an employee.
    pub async fn forget(&self, id: EmployeeId, now: Timestamp) -> Result<(), StoreError> {
        if self.find(id).await?.is_some() {
            let empty = |old: PunchCredential| Some(PunchCredential::none(id, old.changed_at));
            self.change(id, now, empty).await?;
        }
        Ok(())
    }
}
