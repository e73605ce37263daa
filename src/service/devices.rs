//! Devices: registers kiosks and cameras, and authenticates them by their tokens.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::{SignedDuration, Timestamp};
use tracing::debug;

use super::{
    audit::Audit,
    feed::{Feed, News},
    notice::{Notice, NoticeKind},
    sites::Sites,
    tokens::{self, Token},
};
use crate::{
    clock::Clock,
    domain::{
        accounts::Actor,
        devices::{Device, DeviceReport, DeviceStatus},
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
#[derive(derive_new::new)]
pub struct Devices {
    store: repositories::Devices,
    sites: Arc<Sites>,
    audit: Audit,
    clock: Arc<dyn Clock>,
    feed: Feed,
    /// How long a token lasts; `None` if it does not end.
    token_age: Option<SignedDuration>,
    /// What this instance last wrote of each device.
    #[new(default)]
    written: Mutex<HashMap<DeviceId, Written>>,
}

impl Devices {
    /// Returns when a token that is made now ends.
    fn token_end(&self) -> Option<Timestamp> {
        let age = self.token_age?;
        self.clock.now().checked_add(age).ok()
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
            expires_at: self.token_end(),
            old_token: None,
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

    /// Returns the device of a token; `None` if the token is unknown, has ended or was revoked. The
    /// first use of a new token ends the one before it.
    pub async fn authenticate(&self, token: &str) -> Result<Option<Device>, StoreError> {
        let hash = tokens::hash(token);
        let device = self.store.find_by_token(hash).await?;
        let accepted = device.filter(|device| device.accepts(hash, self.clock.now()));
        let Some(device) = accepted else {
            return Ok(None);
        };
        self.note_seen(device.id).await;
        match device.old_token.is_some() && device.token == hash {
            true => self.end_old_token(device).await.map(Some),
            false => Ok(Some(device)),
        }
    }

    /// Ends the token before the one in use.
    async fn end_old_token(&self, device: Device) -> Result<Device, StoreError> {
        let (id, actor) = (device.id, Actor::Device(device.id));
        let new = Device {
            old_token: None,
            ..device.clone()
        };
        self.audit
            .record(actor, "device.end_old_token", id, None)
            .await?;
        // Another request of the device may have been faster.
        self.store.exchange(&device, &new).await?;
        Ok(new)
    }

    /// Gives a device a new token, for the one with which it asks. That one stays valid until the
    /// new one is used: if the answer is lost, the device asks again.
    ///
    /// # Errors
    /// [`DeviceError::NotFound`] if the token in use is not valid anymore.
    pub async fn renew_token(
        &self,
        id: DeviceId,
        used: &str,
    ) -> Result<(Device, Token), DeviceError> {
        let (used, token) = (tokens::hash(used), Token::mint(&*self.clock));
        let actor = Actor::Device(id);
        self.audit
            .record(actor, "device.renew_token", id, None)
            .await?;
        let renewed = |device: &Device| match device.accepts(used, self.clock.now()) {
            true => Ok(device.clone().renewed(used, token.hash(), self.token_end())),
            false => Err(DeviceError::NotFound),
        };
        Ok((self.exchange(id, renewed).await?, token))
    }

    /// Gives a device a new token, and ends the ones before. Its name, its site and its punches stay.
    pub async fn replace_token(
        &self,
        actor: Actor,
        id: DeviceId,
    ) -> Result<(Device, Token), DeviceError> {
        self.find(id).await?;
        let token = Token::mint(&*self.clock);
        self.audit.record(actor, "device.pair", id, None).await?;
        let replaced = |device: &Device| {
            Ok::<_, DeviceError>(Device {
                token: token.hash(),
                expires_at: self.token_end(),
                old_token: None,
                ..device.clone()
            })
        };
        Ok((self.exchange(id, replaced).await?, token))
    }

    /// Checks whether a device should renew the token with which it asks.
    pub fn should_renew(&self, device: &Device, used: &str) -> bool {
        device.should_renew(tokens::hash(used), self.token_age, self.clock.now())
    }

    /// Takes the state that a kiosk reports. It is written at once when people should learn of it,
    /// and otherwise every few minutes, so that hundreds of kiosks do not load the store.
    pub async fn report(&self, id: DeviceId, status: DeviceStatus) -> Result<(), StoreError> {
        let now = self.clock.now();
        let news = {
            let written = self.written();
            match written.get(&id).and_then(|last| last.status.as_ref()) {
                Some((last, at)) => {
                    let news = status.is_news(last);
                    // Written even if nothing changed: another instance may have written since.
                    if !news && now.duration_since(*at).abs() < DeviceReport::EVERY {
                        return Ok(());
                    }
                    news
                }
                None => true,
            }
        };
        let report = DeviceReport {
            device: id,
            seen_at: now,
            status: Some(status.clone()),
        };
        self.store.report(&report).await?;
        let written = Written {
            seen_at: now,
            status: Some((status, now)),
        };
        self.written().insert(id, written);
        if news {
            self.feed.publish(News::Device(id)).await;
        }
        Ok(())
    }

    /// Notes that a device sent a request, and writes that every few minutes.
    async fn note_seen(&self, id: DeviceId) {
        let now = self.clock.now();
        {
            let mut written = self.written();
            // The reports of a kiosk say as much.
            let every =
                |last: &Written| DeviceReport::EVERY * if last.status.is_some() { 2 } else { 1 };
            let lately = |last: &Written| now.duration_since(last.seen_at).abs() < every(last);
            if written.get(&id).is_some_and(lately) {
                return;
            }
            // Noted before it is written, so that a store that fails is not asked by each request.
            written.entry(id).or_default().seen_at = now;
        }
        if let Err(cause) = self.store.seen(id, now).await {
            debug!(device = %id, %cause, "could not write that a device was seen");
        }
    }

    fn written(&self) -> MutexGuard<'_, HashMap<DeviceId, Written>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what devices last reported.
    pub async fn reports(
        &self,
        devices: &[Device],
    ) -> Result<HashMap<DeviceId, DeviceReport>, StoreError> {
        let ids: Vec<_> = devices.iter().map(|device| device.id).collect();
        let reports = self.store.reports(&ids).await?.into_iter();
        Ok(reports.map(|report| (report.device, report)).collect())
    }

    /// Returns the covered devices with a valid token, each with its last report.
    pub async fn with_reports(
        &self,
        reach: &Reach,
    ) -> Result<Vec<(Device, Option<DeviceReport>)>, StoreError> {
        let (mut all, mut after, limit) = (Vec::new(), None, 500);
        loop {
            let devices = self.list(reach, None, &Page { after, limit }).await?;
            after = devices.last().map(|last| last.id);
            let more = devices.len() == limit;
            let mut reports = self.reports(&devices).await?;
            all.extend(devices.into_iter().map(|device| {
                let report = reports.remove(&device.id);
                (device, report)
            }));
            if !more {
                return Ok(all);
            }
        }
    }

    /// Returns what is wrong with covered devices: kiosks that are silent, and tokens that end soon.
    pub async fn notices(&self, reach: &Reach) -> Result<Vec<Notice>, StoreError> {
        let (mut notices, now) = (Vec::new(), self.clock.now());
        if *reach == Reach::nothing() {
            return Ok(notices);
        }
        for (device, report) in self.with_reports(reach).await? {
            let notice = |kind, since| {
                let name = device.name.to_string();
                Notice::of(kind, name, since).with(device.id)
            };
            if let Some(silent) = report.filter(|report| report.silent(now)) {
                notices.push(notice(NoticeKind::DeviceSilent, silent.seen_at));
            }
            let end = device.expires_at;
            if let Some(end) = end.filter(|end| end.duration_since(now) < Device::WARNING) {
                let since = end.checked_sub(Device::WARNING).unwrap_or(end);
                notices.push(Notice {
                    ends: Some(end),
                    ..notice(NoticeKind::DeviceTokenEnds, since)
                });
            }
        }
        Ok(notices)
    }
}

/// What an instance last wrote of a device.
#[derive(Debug, Default)]
struct Written {
    seen_at: Timestamp,
    status: Option<(DeviceStatus, Timestamp)>,
}
