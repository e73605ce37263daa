//! Devices: registering kiosks and cameras, and knowing them again by their tokens.

use std::sync::Arc;

use super::{
    audit::Audit,
    feed::{Feed, News},
    tokens::{self, Token},
};
use crate::{
    clock::Clock,
    domain::{
        accounts::Actor,
        devices::Device,
        ids::DeviceId,
        text::{Name, SiteName},
    },
    ports::{DeviceStore, Page, StoreError},
};

/// Devices.
pub struct Devices {
    store: Arc<dyn DeviceStore>,
    audit: Audit,
    clock: Arc<dyn Clock>,
    feed: Feed,
}

impl Devices {
    /// Over a store.
    pub fn new(
        store: Arc<dyn DeviceStore>,
        audit: Audit,
        clock: Arc<dyn Clock>,
        feed: Feed,
    ) -> Self {
        Self {
            store,
            audit,
            clock,
            feed,
        }
    }

    /// Registers a device; its token is returned this once.
    pub async fn register(
        &self,
        actor: Actor,
        name: Name,
        site: Option<SiteName>,
    ) -> Result<(Device, Token), StoreError> {
        let token = Token::mint(&*self.clock);
        let device = Device {
            id: DeviceId::new(self.clock.id()),
            name,
            site,
            token: token.hash(),
            created_at: self.clock.now(),
            revoked_at: None,
        };
        self.audit
            .record(actor, "device.register", device.id, None)
            .await?;
        self.store.insert(&device).await?;
        self.feed.tell(News::Device(device.id)).await;
        Ok((device, token))
    }

    /// Withdraws a device's token; `None` when there is no such device.
    pub async fn revoke(&self, actor: Actor, id: DeviceId) -> Result<Option<Device>, StoreError> {
        let Some(mut device) = self
            .store
            .find(id)
            .await?
            .filter(|device| device.revoked_at.is_none())
        else {
            return Ok(None);
        };
        self.audit.record(actor, "device.revoke", id, None).await?;
        device.revoked_at = Some(self.clock.now());
        self.store.update(&device).await?;
        self.feed.tell(News::Device(id)).await;
        Ok(Some(device))
    }

    /// A page of the devices that have a valid token.
    pub async fn list(&self, page: &Page<DeviceId>) -> Result<Vec<Device>, StoreError> {
        self.store.list(page).await
    }

    /// Devices by identity, revoked ones too: the names behind punches.
    pub async fn find_many(&self, ids: &[DeviceId]) -> Result<Vec<Device>, StoreError> {
        if ids.is_empty() {
            Ok(Vec::new())
        } else {
            self.store.find_many(ids).await
        }
    }

    /// Whose token this is; `None` when it is nobody's or was withdrawn.
    pub async fn authenticate(&self, token: &str) -> Result<Option<Device>, StoreError> {
        let device = self.store.find_by_token(tokens::hash(token)).await?;
        Ok(device.filter(|device| device.revoked_at.is_none()))
    }
}
