//! Devices: registered clients with tokens of their own.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    accounts::TokenHash,
    ids::DeviceId,
    text::{Name, SiteName},
};

/// A kiosk or a pushing camera.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Device {
    /// Identity.
    pub id: DeviceId,
    /// What people call it.
    pub name: Name,
    /// Where it stands.
    pub site: Option<SiteName>,
    /// The hash of its token.
    pub token: TokenHash,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When its token was withdrawn; its name stays behind old punches.
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
