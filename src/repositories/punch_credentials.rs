//! PINs and badges of employees.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::{Collection, Versioned};
use crate::{
    domain::{
        accounts::TokenHash, ids::EmployeeId, punch_credentials::PunchCredential, record::Key,
    },
    ports::{Parts, Range, RecordEngine, StoreError},
};

/// The repository of PINs and badges.
#[derive(Clone)]
pub struct PunchCredentials(Collection<PunchCredential>);

impl PunchCredentials {
    /// Creates the repository on a store.
    pub fn new(engine: Arc<dyn RecordEngine>) -> Self {
        Self(Collection::new(engine))
    }

    /// Returns the PIN and badge of an employee; `None` if they never had one.
    pub async fn find(&self, id: EmployeeId) -> Result<Option<PunchCredential>, StoreError> {
        Ok(self.0.get(&id).await?.map(Versioned::into_inner))
    }

    /// Returns the records of these employees, without the employees who never had a PIN or badge.
    pub async fn find_many(&self, ids: &[EmployeeId]) -> Result<Vec<PunchCredential>, StoreError> {
        self.0.get_many(ids).await
    }

    /// Returns the record with the hash of a badge.
    pub async fn find_by_badge(
        &self,
        badge: TokenHash,
    ) -> Result<Option<PunchCredential>, StoreError> {
        let key = Key::new((badge.to_hex(),));
        let found = self.0.find(PunchCredential::BY_BADGE, key).await?;
        Ok(found.map(Versioned::into_inner))
    }

    /// Returns the records with a locked PIN, first locked first.
    pub async fn locked(&self) -> Result<Vec<PunchCredential>, StoreError> {
        let all = Range::all();
        self.0.all(PunchCredential::BY_LOCK, all, Parts::Body).await
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
            let later = old
                .changed_at
                .saturating_add(SignedDuration::from_millis(1));
            let mut new = change(old)?;
            new.changed_at = later.map_or(now, |later| now.max(later));
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
