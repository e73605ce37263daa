//! Registered devices.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Collection, Versioned};
use crate::{
    domain::{
        accounts::TokenHash,
        devices::{Device, DeviceReport},
        grants::Reach,
        ids::{DeviceId, SiteId},
        record::Key,
    },
    ports::{Page, Range, RecordEngine, StoreError},
};

/// The repository of devices.
#[derive(Clone)]
pub struct Devices {
    devices: Collection<Device>,
    reports: Collection<DeviceReport>,
}

impl Devices {
    /// Creates the repository on a store.
    pub fn new(engine: Arc<dyn RecordEngine>) -> Self {
        Self {
            devices: Collection::new(engine.clone()),
            reports: Collection::new(engine),
        }
    }

    /// Adds a device.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if the hash of its token is taken.
    pub async fn insert(&self, device: &Device) -> Result<(), StoreError> {
        self.devices.insert(device).await
    }

    /// Replaces a device if it equals `old`; otherwise changes nothing and returns false.
    pub async fn exchange(&self, old: &Device, new: &Device) -> Result<bool, StoreError> {
        self.devices.exchange(old, new).await
    }

    /// Returns a device, revoked or not.
    pub async fn find(&self, id: DeviceId) -> Result<Option<Device>, StoreError> {
        Ok(self.devices.get(&id).await?.map(Versioned::into_inner))
    }

    /// Returns the device with the hash of a token, or of the token before it, revoked or not.
    pub async fn find_by_token(&self, token: TokenHash) -> Result<Option<Device>, StoreError> {
        let key = || Key::new((token.to_hex(),));
        let found = match self.devices.find(Device::BY_TOKEN, key()).await? {
            Some(found) => Some(found),
            None => self.devices.find(Device::BY_OLD_TOKEN, key()).await?,
        };
        Ok(found.map(Versioned::into_inner))
    }

    /// Returns what devices last reported.
    pub async fn reports(&self, ids: &[DeviceId]) -> Result<Vec<DeviceReport>, StoreError> {
        self.reports.get_many(ids).await
    }

    /// Writes what a device tells of itself.
    pub async fn report(&self, report: &DeviceReport) -> Result<(), StoreError> {
        self.reports.put(report).await
    }

    /// Writes that a device was seen. The state that it reported stays.
    pub async fn seen(&self, device: DeviceId, at: Timestamp) -> Result<(), StoreError> {
        let later = |report: DeviceReport| {
            Some(DeviceReport {
                seen_at: at,
                ..report
            })
        };
        if self.reports.change(&device, later).await?.is_some() {
            return Ok(());
        }
        let first = DeviceReport {
            device,
            seen_at: at,
            status: None,
        };
        match self.reports.insert(&first).await {
            // The device reported itself at the same moment.
            Err(StoreError::Conflict) => Ok(()),
            written => written,
        }
    }

    /// Returns the devices that exist, revoked or not.
    pub async fn find_many(&self, ids: &[DeviceId]) -> Result<Vec<Device>, StoreError> {
        self.devices.get_many(ids).await
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
        self.devices
            .filter(Device::PRESENT, range, page.limit, wanted)
            .await
    }
}
