//! Devices: registers kiosks and cameras, and authenticates them by their tokens.

use std::sync::Arc;

use super::{
    audit::Audit,
    feed::{Feed, News},
    sites::Sites,
    tokens::{self, Token},
};
use crate::{
    clock::Clock,
    domain::{
        accounts::Actor,
        devices::Device,
        grants::Reach,
        ids::{DeviceId, SiteId},
        text::Name,
    },
    ports::{Page, StoreError},
    repositories,
};

/// Why a request about devices failed.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The device does not exist, or its token was revoked.
    #[error("no such device")]
    NotFound,
    /// The site does not exist or was removed.
    #[error("there is no such site: add it first")]
    UnknownSite,
    /// Other requests kept changing the device at the same time.
    #[error("other requests are changing this device at the same time")]
    Raced,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The settings of a device that an admin edits.
#[derive(Debug, Clone, PartialEq)]
pub struct DeviceSettings {
    /// The name.
    pub name: Name,
    /// The site where it stands.
    pub site: SiteId,
}

/// Number of attempts at a change while other requests change the same device.
const TRIES: usize = 8;

/// The service for devices.
pub struct Devices {
    store: repositories::Devices,
    sites: Arc<Sites>,
    audit: Audit,
    clock: Arc<dyn Clock>,
    feed: Feed,
}

impl Devices {
    /// Creates the service.
    pub fn new(
        store: repositories::Devices,
        sites: Arc<Sites>,
        audit: Audit,
        clock: Arc<dyn Clock>,
        feed: Feed,
    ) -> Self {
        Self {
            store,
            sites,
            audit,
            clock,
            feed,
        }
    }

    /// Registers a device. Returns its token, which cannot be read again.
    pub async fn register(
        &self,
        actor: Actor,
        new: DeviceSettings,
    ) -> Result<(Device, Token), DeviceError> {
        self.check_site(new.site).await?;
        let token = Token::mint(&*self.clock);
        let device = Device {
            id: DeviceId::new(self.clock.id()),
            name: new.name,
            site: new.site,
            token: token.hash(),
            created_at: self.clock.now(),
            revoked_at: None,
        };
        self.audit
            .record(actor, "device.register", device.id, None)
            .await?;
        self.store.insert(&device).await?;
        self.feed.publish(News::Device(device.id)).await;
        Ok((device, token))
    }

    /// Checks that devices can belong to a site.
    async fn check_site(&self, site: SiteId) -> Result<(), DeviceError> {
        match self.sites.is_present(site).await? {
            true => Ok(()),
            false => Err(DeviceError::UnknownSite),
        }
    }

    /// Returns a device that is not revoked.
    pub async fn find(&self, id: DeviceId) -> Result<Device, DeviceError> {
        let device = self.store.find(id).await?;
        device
            .filter(|device| device.revoked_at.is_none())
            .ok_or(DeviceError::NotFound)
    }

    /// Changes the settings of a device to what `edit` returns. Its token stays valid.
    ///
    /// If the device changes at the same moment, `edit` is called again.
    pub async fn change<E: From<DeviceError>>(
        &self,
        actor: Actor,
        id: DeviceId,
        edit: impl Fn(&Device) -> Result<DeviceSettings, E>,
    ) -> Result<Device, E> {
        let edited = |device: &Device| -> Result<Device, E> {
            let DeviceSettings { name, site } = edit(device)?;
            Ok(Device {
                name,
                site,
                ..device.clone()
            })
        };
        let old = self.find(id).await?;
        let new = edited(&old)?;
        if new.site != old.site {
            self.check_site(new.site).await?;
        }
        let recorded = self.audit.record(actor, "device.change", id, None).await;
        recorded.map_err(DeviceError::from)?;
        self.exchange(id, edited).await
    }

    /// Revokes a device's token.
    pub async fn revoke(&self, actor: Actor, id: DeviceId) -> Result<Device, DeviceError> {
        self.find(id).await?;
        self.audit.record(actor, "device.revoke", id, None).await?;
        let at = self.clock.now();
        let revoked = |device: &Device| {
            Ok::<_, DeviceError>(Device {
                revoked_at: Some(at),
                ..device.clone()
            })
        };
        self.exchange(id, revoked).await
    }

    /// Replaces a device with what `change` returns, and announces the change.
    async fn exchange<E: From<DeviceError>>(
        &self,
        id: DeviceId,
        change: impl Fn(&Device) -> Result<Device, E>,
    ) -> Result<Device, E> {
        for _ in 0..TRIES {
            let old = self.find(id).await?;
            let new = change(&old)?;
            let exchanged = self.store.exchange(&old, &new).await;
            if exchanged.map_err(DeviceError::from)? {
                self.feed.publish(News::Device(id)).await;
                return Ok(new);
            }
        }
        Err(DeviceError::Raced.into())
    }

    /// Returns a page of the covered devices with a valid token, at `site` if given.
    pub async fn list(
        &self,
        reach: &Reach,
        site: Option<SiteId>,
        page: &Page<DeviceId>,
    ) -> Result<Vec<Device>, StoreError> {
        self.store.list(reach, site, page).await
    }

    /// Returns the devices with these IDs, including revoked ones, for the names on old punches.
    pub async fn find_many(&self, ids: &[DeviceId]) -> Result<Vec<Device>, StoreError> {
        self.store.find_many(ids).await
    }

    /// Returns the device of a token; `None` if the token is unknown or was revoked.
    pub async fn authenticate(&self, token: &str) -> Result<Option<Device>, StoreError> {
        let device = self.store.find_by_token(tokens::hash(token)).await?;
        Ok(device.filter(|device| device.revoked_at.is_none()))
    }
}
