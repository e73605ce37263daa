//! Saved punches that the service refused.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Collection, Versioned};
use crate::{
    domain::{
        grants::Reach,
        ids::{DeviceId, RefusedPunchId, SiteId},
        record::Key,
        refused_punches::RefusedPunch,
        text::IdempotencyKey,
    },
    ports::{Page, Parts, Range, RecordEngine, StoreError},
};

/// The repository of refused punches.
#[derive(Clone)]
pub struct RefusedPunches(Collection<RefusedPunch>);

impl RefusedPunches {
    /// Creates the repository on a store.
    pub fn new(engine: Arc<dyn RecordEngine>) -> Self {
        Self(Collection::new(engine))
    }

    /// Adds a refused punch.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if the kiosk handed one over with the same key.
    pub async fn insert(&self, refused: &RefusedPunch) -> Result<(), StoreError> {
        self.0.insert(refused).await
    }

    /// Returns a refused punch in the revision that the store has.
    pub async fn read(
        &self,
        id: RefusedPunchId,
    ) -> Result<Option<Versioned<RefusedPunch>>, StoreError> {
        self.0.get(&id).await
    }

    /// Returns the refused punch that a kiosk handed over with a key.
    pub async fn find_by_key(
        &self,
        device: DeviceId,
        key: &IdempotencyKey,
    ) -> Result<Option<RefusedPunch>, StoreError> {
        let key = Key::new((device.uuid(), key.as_str()));
        let found = self.0.find(RefusedPunch::BY_KEY, key).await?;
        Ok(found.map(Versioned::into_inner))
    }

    /// Counts those of a kiosk that wait.
    pub async fn count_waiting(&self, device: DeviceId) -> Result<u64, StoreError> {
        let range = Range::within(Key::new((device.uuid(),)));
        self.0.count(RefusedPunch::WAITING, &range).await
    }

    /// Returns the covered ones that wait.
    pub async fn waiting(&self, reach: &Reach) -> Result<Vec<RefusedPunch>, StoreError> {
        let all = self.0.all(RefusedPunch::WAITING, Range::all(), Parts::Body);
        let mut waiting = all.await?;
        waiting.retain(|refused| reach.covers(refused));
        Ok(waiting)
    }

    /// Returns a page of the covered ones, latest received first; the cursor is the time of receipt
    /// and the ID. Leaves out those that were resolved, unless `resolved`.
    pub async fn list(
        &self,
        reach: &Reach,
        site: Option<SiteId>,
        resolved: bool,
        page: &Page<(Timestamp, RefusedPunchId)>,
    ) -> Result<Vec<RefusedPunch>, StoreError> {
        let after = page.after.map(|(at, id)| (Key::new((at,)), id.to_string()));
        let range = Range::all().backwards().after(after);
        let wanted = |refused: &RefusedPunch| {
            reach.covers(refused)
                && site.is_none_or(|site| refused.site == site)
                && (resolved || refused.resolution.is_none())
        };
        self.0
            .filter(RefusedPunch::BY_RECEIPT, range, page.limit, wanted)
            .await
    }

    /// Replaces a refused punch if it was not changed since it was read. Returns the new version;
    /// `None` otherwise.
    pub async fn swap(
        &self,
        old: &Versioned<RefusedPunch>,
        new: RefusedPunch,
    ) -> Result<Option<Versioned<RefusedPunch>>, StoreError> {
        self.0.swap(old, new).await
    }

    /// Deletes those that were received before a moment; returns how many there were.
    pub async fn purge(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.0.purge((), before).await
    }
}
