//! PINs and badges of employees.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::{Collection, Versioned, contended};
use crate::{
    domain::{
        accounts::TokenHash,
        ids::EmployeeId,
        punch_credentials::PunchCredential,
        record::{Key, Record},
    },
    ports::{Parts, Range, RecordEngine, StoreError},
};

/// Maximum number of attempts at a change if others change the same record at the same time.
const TRIES: usize = 32;

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
        for _ in 0..TRIES {
            let stored = self.0.get(&id).await?;
            let old = match &stored {
                Some(stored) => (**stored).clone(),
                None => PunchCredential::none(id, Timestamp::MIN),
            };
            let next = old
                .changed_at
                .saturating_add(SignedDuration::from_millis(1));
            let Some(mut new) = change(old) else {
                return Ok(None);
            };
            new.changed_at = next.map_or(now, |next| now.max(next));
            let written = match &stored {
                Some(stored) => self.0.swap(stored, new.clone()).await?.is_some(),
                None => match self.0.insert(&new).await {
                    Ok(()) => true,
                    Err(StoreError::Conflict) => false,
                    Err(error) => return Err(error),
                },
            };
            if written {
                return Ok(Some(new));
            }
        }
        Err(contended(PunchCredential::KIND))
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
