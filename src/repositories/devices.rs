//! Registered devices.

use std::sync::Arc;

use jiff::Timestamp;

use super::Collection;
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

/// The repository of devices. A token that another device has is a [`StoreError::Conflict`].
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

    forward!(devices: Device => insert, exchange, find, find_many);

    /// Returns the device with the hash of a token, or of the token before it, revoked or not.
    pub async fn find_by_token(&self, token: TokenHash) -> Result<Option<Device>, StoreError> {
        let key = || (token.to_hex(),);
        match self.devices.find_by(Device::BY_TOKEN, key()).await? {
            Some(found) => Ok(Some(found)),
            None => self.devices.find_by(Device::BY_OLD_TOKEN, key()).await,
        }
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
        let first = DeviceReport {
            device,
            seen_at: at,
            status: None,
        };
        let seen = |report| {
            Some(DeviceReport {
                seen_at: at,
                ..report
            })
        };
        self.reports.change_or_insert(&first, seen).await.map(drop)
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
