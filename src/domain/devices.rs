//! Devices: registered clients, each with its own token.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    accounts::TokenHash,
    grants::{Place, Placed},
    ids::{DeviceId, SiteId},
    record::{About, Changes, Index, Keys, Kind, Record},
    text::Name,
};

/// A kiosk or a pushing camera.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Device {
    /// The ID.
    pub id: DeviceId,
    /// The name.
    pub name: Name,
    /// The site where it stands.
    pub site: SiteId,
    /// The hash of its token.
    pub token: TokenHash,
    /// When the device was registered.
    pub created_at: Timestamp,
    /// When the token was revoked. The record stays, because old punches
    /// show the name of their device.
    pub revoked_at: Option<Timestamp>,
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device")
            .field("id", &self.id)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Device {
    /// Devices by the hash of the token, including revoked ones.
    pub const BY_TOKEN: Index = Index::unique("by_token");
    /// Devices that are not revoked, by ID.
    pub const PRESENT: Index = Index::ordered("present");
}

impl Placed for Device {
    fn place(&self) -> Place {
        Place {
            site: self.site,
            employee: None,
        }
    }
}

impl Record for Device {
    const KIND: &'static Kind =
        &Kind::archived("devices", "device", &[Self::BY_TOKEN, Self::PRESENT])
            .changing(Changes::Audited);

    type Id = DeviceId;

    fn id(&self) -> DeviceId {
        self.id
    }

    fn keys(&self, keys: &mut Keys) {
        keys.add(Self::BY_TOKEN, (self.token.to_hex(),));
        if self.revoked_at.is_none() {
            keys.add(Self::PRESENT, ());
        }
    }

    fn about(&self) -> About {
        About::NoEmployee
    }
}
