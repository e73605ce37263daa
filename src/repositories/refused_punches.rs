//! Saved punches that the service refused.

use jiff::Timestamp;

use crate::{
    domain::{
        grants::Reach,
        ids::{DeviceId, RefusedPunchId, SiteId},
        record::Key,
        refused_punches::RefusedPunch,
        text::IdempotencyKey,
    },
    ports::{Page, Range, StoreError},
};

repository! {
    /// The repository of refused punches. A second one of a kiosk with the same key is a
    /// [`StoreError::Conflict`].
    RefusedPunches(RefusedPunch): insert, read, swap, purge
}

impl RefusedPunches {
    /// Returns the refused punch that a kiosk handed over with a key.
    pub async fn find_by_key(
        &self,
        device: DeviceId,
        key: &IdempotencyKey,
    ) -> Result<Option<RefusedPunch>, StoreError> {
        self.0
            .find_by(RefusedPunch::BY_KEY, (device.uuid(), key.as_str()))
            .await
    }

    /// Counts those of a kiosk that wait.
    pub async fn count_waiting(&self, device: DeviceId) -> Result<u64, StoreError> {
        let range = Range::within(Key::new((device.uuid(),)));
        self.0.count(RefusedPunch::WAITING, &range).await
    }

    /// Returns the covered ones that wait.
    pub async fn waiting(&self, reach: &Reach) -> Result<Vec<RefusedPunch>, StoreError> {
        let all = self.0.all(RefusedPunch::WAITING, Range::all());
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
                && (resolved || refused.resolved().is_none())
        };
        self.0
            .filter(RefusedPunch::BY_RECEIPT, range, page.limit, wanted)
            .await
    }
}
