//! Registered devices.

use std::sync::Arc;

use super::{Collection, Versioned};
use crate::{
    domain::{
        accounts::TokenHash,
        devices::Device,
        grants::Reach,
        ids::{DeviceId, SiteId},
        record::Key,
    },
    ports::{Page, Range, RecordEngine, StoreError},
};

/// The repository of devices.
#[derive(Clone)]
pub struct Devices(Collection<Device>);

impl Devices {
    /// Creates the repository on a store.
    pub fn new(engine: Arc<dyn RecordEngine>) -> Self {
        Self(Collection::new(engine))
    }

    /// Adds a device.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if the hash of its token is taken.
    pub async fn insert(&self, device: &Device) -> Result<(), StoreError> {
        self.0.insert(device).await
    }

    /// Replaces a device if it equals `old`; otherwise changes nothing and returns false.
    pub async fn exchange(&self, old: &Device, new: &Device) -> Result<bool, StoreError> {
        self.0.exchange(old, new).await
    }

    /// Returns a device, revoked or not.
    pub async fn find(&self, id: DeviceId) -> Result<Option<Device>, StoreError> {
        Ok(self.0.get(&id).await?.map(Versioned::into_inner))
    }

    /// Returns the device with the hash of a token, revoked or not.
    pub async fn find_by_token(&self, token: TokenHash) -> Result<Option<Device>, StoreError> {
        let found = self
            .0
            .find(Device::BY_TOKEN, Key::new((token.to_hex(),)))
            .await?;
        Ok(found.map(Versioned::into_inner))
    }

    /// Returns the devices that exist, revoked or not.
    pub async fn find_many(&self, ids: &[DeviceId]) -> Result<Vec<Device>, StoreError> {
        self.0.get_many(ids).await
    }

    /// Returns a page of the covered devices that are not revoked, sorted by ID; only of
    /// `site` if it is given.
    pub async fn list(
        &self,
        reach: &Reach,
        site: Option<SiteId>,
        page: &Page<DeviceId>,
    ) -> Result<Vec<Device>, StoreError> {
        let after = page.after.map(|id| (Key::default(), id.to_string()));
        let range = Range::all().after(after);
        let wanted =
            |device: &Device| reach.covers(device) && site.is_none_or(|site| device.site == site);
        self.0
            .filter(Device::PRESENT, range, page.limit, wanted)
            .await
    }
}
