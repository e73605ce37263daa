//! Devices: registered clients, each with its own token.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    accounts::TokenHash,
    grants::{Place, Placed},
    ids::{DeviceId, SiteId},
    record::{About, Changes, Index, Keys, Kind, Record},
    text::{Name, Version},
    words::words,
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
    /// When the token ends; `None` if it does not.
    pub expires_at: Option<Timestamp>,
    /// The token before the last renewal, until the new one is used.
    pub old_token: Option<OldToken>,
    /// When the device was registered.
    pub created_at: Timestamp,
    /// When the token was revoked. The record stays, because old punches
    /// show the name of their device.
    pub revoked_at: Option<Timestamp>,
}

/// A token that was renewed. It stays valid until the new one is used, so that a device that did not
/// get the answer can ask again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OldToken {
    /// Its hash.
    pub token: TokenHash,
    /// When it ends; `None` if it does not.
    pub expires_at: Option<Timestamp>,
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
    /// Devices that have an old token, by its hash, including revoked ones.
    pub const BY_OLD_TOKEN: Index = Index::unique("by_old_token");
    /// Devices that are not revoked, by ID.
    pub const PRESENT: Index = Index::ordered("present");

    /// How long before the end of a token there is a notice about it.
    pub const WARNING: SignedDuration = SignedDuration::from_hours(30 * 24);

    /// Checks whether a token of the device, given by its hash, is valid.
    pub fn accepts(&self, token: TokenHash, now: Timestamp) -> bool {
        let lasts = |end: Option<Timestamp>| end.is_none_or(|end| now < end);
        let old = self.old_token.as_ref();
        let valid = match token == self.token {
            true => lasts(self.expires_at),
            false => old.is_some_and(|old| old.token == token && lasts(old.expires_at)),
        };
        valid && self.revoked_at.is_none()
    }

    /// Returns the device with a new token, which ends at some moment. The token in use, given by
    /// its hash, stays valid until the new one is used.
    #[must_use]
    pub fn renewed(self, used: TokenHash, new: TokenHash, expires_at: Option<Timestamp>) -> Self {
        let old_token = match self.old_token {
            Some(old) if old.token == used => old,
            _ => OldToken {
                token: self.token,
                expires_at: self.expires_at,
            },
        };
        Self {
            token: new,
            expires_at,
            old_token: Some(old_token),
            ..self
        }
    }

    /// Checks whether the device should renew its token, if new tokens last for `age`: when a third
    /// of that is over, or when the token ends at another time than a new one would.
    pub fn should_renew(
        &self,
        used: TokenHash,
        age: Option<SignedDuration>,
        now: Timestamp,
    ) -> bool {
        let Some((age, end)) = age.zip(self.expires_at) else {
            return age.is_some() || self.expires_at.is_some();
        };
        let left = end.duration_since(now);
        used != self.token || left < age / 3 * 2 || left > age
    }
}

/// What a device last reported. It is a record of its own, because it changes often.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeviceReport {
    /// The device.
    pub device: DeviceId,
    /// When the device last sent a request, to within [`EVERY`](Self::EVERY).
    pub seen_at: Timestamp,
    /// The state of a kiosk; `None` for devices that report none.
    pub status: Option<DeviceStatus>,
}

/// The state of a kiosk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeviceStatus {
    /// The version of its page.
    pub version: Version,
    /// Saved punches that it has not sent yet.
    pub unsent: u32,
    /// Saved punches that the service refused.
    pub refused: u32,
    /// How far its clock is ahead of the service's, milliseconds.
    pub clock_offset: i64,
    /// Its camera.
    pub camera: CameraUse,
}

words! {
    /// The state of a kiosk's camera.
    CameraUse {
        /// It shows pictures.
        On = "on",
        /// It does not: it is missing, busy, or the browser blocks it.
        Off = "off",
    }
}

impl DeviceStatus {
    /// The difference between two clocks that is worth telling, milliseconds.
    const CLOCK_MOVED: u64 = 10_000;

    /// Checks whether people should learn at once of the change from another state. That its clock
    /// runs a little differently is due to the network, and one more saved punch can wait.
    pub fn is_news(&self, other: &Self) -> bool {
        let moved = self.clock_offset.abs_diff(other.clock_offset) > Self::CLOCK_MOVED;
        let rest = |one: &Self| (one.unsent > 0, one.refused, one.camera, one.version.clone());
        moved || rest(self) != rest(other)
    }
}

impl DeviceReport {
    /// How often an instance writes that a device was seen, if nothing else changed.
    pub const EVERY: SignedDuration = SignedDuration::from_mins(5);
    /// After this time without a request a kiosk is silent. Kiosks report every minute.
    pub const SILENT: SignedDuration = SignedDuration::from_mins(15);

    /// Checks whether the device is silent. Devices that report no state never are, because they
    /// send requests only when there is something to send.
    pub fn silent(&self, now: Timestamp) -> bool {
        self.status.is_some() && now.duration_since(self.seen_at) > Self::SILENT
    }
}

impl Record for DeviceReport {
    const KIND: &'static Kind = &Kind::transient("device_reports", "device report", &[]);

    type Id = DeviceId;

    fn id(&self) -> DeviceId {
        self.device
    }

    fn keys(&self, _keys: &mut Keys) {}

    fn about(&self) -> About {
        About::NoEmployee
    }
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
    const KIND: &'static Kind = &Kind::archived(
        "devices",
        "device",
        &[Self::BY_TOKEN, Self::BY_OLD_TOKEN, Self::PRESENT],
    )
    .changing(Changes::Audited);

    type Id = DeviceId;

    fn id(&self) -> DeviceId {
        self.id
    }

    fn keys(&self, keys: &mut Keys) {
        keys.add(Self::BY_TOKEN, (self.token.to_hex(),));
        if let Some(old) = &self.old_token {
            keys.add(Self::BY_OLD_TOKEN, (old.token.to_hex(),));
        }
        if self.revoked_at.is_none() {
            keys.add(Self::PRESENT, ());
        }
    }

    fn about(&self) -> About {
        About::NoEmployee
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;
    const DAY: SignedDuration = SignedDuration::from_hours(24);

    fn hash(seed: u8) -> TokenHash {
        TokenHash([seed; 32])
    }

    fn device(expires_at: Option<Timestamp>) -> Device {
        Device {
            id: DeviceId::new(uuid::Uuid::from_u128(1)),
            name: Name::parse("Door").unwrap(),
            site: SiteId::DEFAULT,
            token: hash(1),
            expires_at,
            old_token: None,
            created_at: NOW,
            revoked_at: None,
        }
    }

    #[test]
    fn the_old_token_stays_until_the_new_one_is_used_however_often_it_is_renewed() {
        let first = device(Some(NOW + DAY));
        let renewed = first.renewed(hash(1), hash(2), Some(NOW + 9 * DAY));
        // The answer was lost: the device asks again with the token that it has.
        let again = renewed
            .clone()
            .renewed(hash(1), hash(3), Some(NOW + 9 * DAY));
        assert!(renewed.accepts(hash(2), NOW) && !again.accepts(hash(2), NOW));
        for device in [&renewed, &again] {
            assert!(device.accepts(hash(1), NOW));
            // It does not last longer for that.
            assert!(!device.accepts(hash(1), NOW + DAY));
        }
        assert!(again.accepts(hash(3), NOW + 8 * DAY) && !again.accepts(hash(3), NOW + 9 * DAY));
        let revoked = Device {
            revoked_at: Some(NOW),
            ..again
        };
        assert!(
            [1, 2, 3]
                .iter()
                .all(|seed| !revoked.accepts(hash(*seed), NOW))
        );
    }

    #[test]
    fn people_learn_of_what_they_should_know() {
        let status = DeviceStatus {
            version: Version::parse("1").unwrap(),
            unsent: 1,
            refused: 0,
            clock_offset: 0,
            camera: CameraUse::On,
        };
        let changed = |change: fn(&mut DeviceStatus)| {
            let mut other = status.clone();
            change(&mut other);
            other.is_news(&status)
        };
        assert!(!changed(|other| other.clock_offset = 900));
        assert!(!changed(|other| other.unsent = 2));
        assert!(changed(|other| other.unsent = 0));
        assert!(changed(|other| other.refused = 1));
        assert!(changed(|other| other.clock_offset = 90_000));
        assert!(changed(|other| other.camera = CameraUse::Off));
        let version = Version::parse("2").unwrap();
        let other = DeviceStatus {
            version,
            ..status.clone()
        };
        assert!(other.is_news(&status));
    }

    #[test]
    fn a_device_renews_its_token_after_a_third_of_its_time() {
        let age = Some(9 * DAY);
        let should = |end: Option<i32>, age| {
            let end = end.map(|days| NOW + days * DAY);
            device(end).should_renew(hash(1), age, NOW)
        };
        assert!(!should(Some(9), age) && !should(Some(6), age) && should(Some(5), age));
        // The setting changed.
        assert!(should(None, age) && should(Some(10), age) && should(Some(9), None));
        assert!(!should(None, None));
        let renewed = device(Some(NOW + 5 * DAY)).renewed(hash(1), hash(2), Some(NOW + 9 * DAY));
        assert!(renewed.should_renew(hash(1), age, NOW));
        assert!(!renewed.should_renew(hash(2), age, NOW));
    }
}
