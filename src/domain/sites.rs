//! Sites: places where people work, each with a time zone and a start of the workday.

use std::{fmt, ops::Deref};

use jiff::{
    Timestamp,
    civil::{Date, Time},
    tz::TimeZone,
};
use serde::{Deserialize, Serialize};

use super::{
    grants::{Place, Placed},
    ids::SiteId,
    punch_credentials::PinDigits,
    record::{About, Changes, Index, Keys, Kind, Record},
    text::SiteName,
};

/// The settings of a site, which an admin edits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SiteSettings {
    /// The name, unique among sites that are not removed, without regard to case.
    pub name: SiteName,
    /// The time zone of its workdays and of the hours of its cameras.
    pub zone: Zone,
    /// The time of day at which the business date changes, so that the end of a late shift belongs
    /// to the day on which it began.
    pub workday_starts: Time,
    /// Whether clear punches at the site improve templates; see [`super::template_growth`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub grow_templates: bool,
    /// The digits of the PINs of people who work at the site.
    #[serde(default, skip_serializing_if = "PinDigits::is_default")]
    pub pin_digits: PinDigits,
    /// Whether a face alone is not enough to punch at the site, and the person also types a PIN
    /// or shows a badge.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub face_and_pin: bool,
    /// Whether people of the site can enroll their face at its kiosks, and withdraw there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub kiosk_enrollment: bool,
    /// Whether signals for home automation have the name of the person who punched last.
    #[serde(default)]
    pub mqtt_names: bool,
}

impl SiteSettings {
    /// Returns the settings of a site where nothing else is chosen.
    pub fn new(name: SiteName, zone: Zone, workday_starts: Time) -> Self {
        Self {
            name,
            zone,
            workday_starts,
            grow_templates: false,
            pin_digits: PinDigits::default(),
            face_and_pin: false,
            kiosk_enrollment: false,
            mqtt_names: false,
        }
    }
}

/// A place where people work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Site {
    /// The ID.
    pub id: SiteId,
    /// The settings, which are stored beside the other fields.
    #[serde(flatten)]
    pub settings: SiteSettings,
    /// When the record was created.
    pub created_at: Timestamp,
    /// When an admin last changed the settings; `None` for the default site before the first
    /// change.
    pub changed_at: Option<Timestamp>,
    /// When the site was removed. The record stays, because old punches
    /// show the name of their site.
    pub removed_at: Option<Timestamp>,
}

impl Deref for Site {
    type Target = SiteSettings;

    fn deref(&self) -> &SiteSettings {
        &self.settings
    }
}

impl Site {
    /// Returns a new default site.
    pub fn default_site(zone: Zone, workday_starts: Time, now: Timestamp) -> Self {
        Self {
            id: SiteId::DEFAULT,
            settings: SiteSettings::new(SiteName::main(), zone, workday_starts),
            created_at: now,
            changed_at: None,
            removed_at: None,
        }
    }

    /// Returns the business date of a moment.
    pub fn workday(&self, at: Timestamp) -> Date {
        let date = self.zone.time_zone().to_datetime(at).date();
        match at < self.workday_begins(date) {
            true => date.yesterday().unwrap_or(date),
            false => date,
        }
    }

    /// Returns the moment at which a business date begins.
    pub fn workday_begins(&self, date: Date) -> Timestamp {
        let zoned = date
            .to_datetime(self.workday_starts)
            .to_zoned(self.zone.time_zone().clone());
        zoned.map_or(Timestamp::MIN, |zoned| zoned.timestamp())
    }
}

impl Site {
    /// Sites that are not removed, by lowercase name.
    pub const BY_NAME: Index = Index::unique("by_name");
    /// Changed sites, by the last change.
    pub const BY_CHANGE: Index = Index::ordered("by_change");
}

impl Placed for Site {
    fn place(&self) -> Place {
        Place {
            site: self.id,
            employee: None,
        }
    }
}

impl Record for Site {
    const KIND: &'static Kind = &Kind::archived("sites", "site", &[Self::BY_NAME, Self::BY_CHANGE])
        .changing(Changes::Grows(Self::BY_CHANGE));

    type Id = SiteId;

    fn id(&self) -> SiteId {
        self.id
    }

    fn keys(&self, keys: &mut Keys) {
        if self.removed_at.is_none() {
            keys.add(Self::BY_NAME, (self.name.key(),));
        }
        if let Some(at) = self.changed_at {
            keys.add(Self::BY_CHANGE, (at,));
        }
    }

    fn about(&self) -> About {
        About::NoEmployee
    }
}

/// A time zone of the IANA database, such as `Europe/Berlin`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone(TimeZone);

/// The error for a text that is not the name of an IANA time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be an IANA time zone such as Europe/Berlin")]
pub struct UnknownZone;

impl Zone {
    /// Coordinated universal time.
    pub const UTC: Self = Self(TimeZone::UTC);

    /// Parses the name of a zone, without regard to case.
    ///
    /// # Errors
    /// When no zone has this name.
    pub fn parse(text: &str) -> Result<Self, UnknownZone> {
        let zone = TimeZone::get(text.trim()).map_err(|_| UnknownZone)?;
        // A zone without a name could not be stored.
        zone.iana_name().ok_or(UnknownZone)?;
        Ok(Self(zone))
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// Returns the rules of the zone.
    pub fn time_zone(&self) -> &TimeZone {
        &self.0
    }
}

impl TryFrom<String> for Zone {
    type Error = UnknownZone;

    fn try_from(text: String) -> Result<Self, UnknownZone> {
        Self::parse(&text)
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.name().to_owned()
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Zone({})", self.name())
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil;
    use proptest::prelude::*;

    use super::*;

    fn site(zone: &str) -> Site {
        let starts = civil::time(4, 0, 0, 0);
        Site::default_site(Zone::parse(zone).unwrap(), starts, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_moment_belongs_to_the_workday_of_its_site() {
        // 20:30 UTC is the next morning in Auckland (UTC+13) and the afternoon in New York.
        let at = "2026-01-15T20:30:00Z".parse().unwrap();
        assert_eq!(site("UTC").workday(at), civil::date(2026, 1, 15));
        assert_eq!(
            site("Pacific/Auckland").workday(at),
            civil::date(2026, 1, 16)
        );
        assert_eq!(
            site("America/New_York").workday(at),
            civil::date(2026, 1, 15)
        );
    }

    #[test]
    fn a_workday_begins_at_the_time_that_the_clock_on_the_wall_shows() {
        let berlin = site("Europe/Berlin");
        let day = |text: &str| berlin.workday(text.parse().unwrap());
        assert_eq!(day("2026-01-15T02:59:59Z"), civil::date(2026, 1, 14));
        assert_eq!(day("2026-01-15T03:00:00Z"), civil::date(2026, 1, 15));
        // The night in which clocks go forward has 23 hours; the day still begins at 4.
        assert_eq!(day("2026-03-29T01:59:59Z"), civil::date(2026, 3, 28));
        assert_eq!(day("2026-03-29T02:00:00Z"), civil::date(2026, 3, 29));
        let mut midnight = berlin;
        midnight.settings.workday_starts = Time::midnight();
        let day = |text: &str| midnight.workday(text.parse().unwrap());
        assert_eq!(day("2026-01-14T22:59:59Z"), civil::date(2026, 1, 14));
        assert_eq!(day("2026-01-14T23:00:00Z"), civil::date(2026, 1, 15));
    }

    #[test]
    fn a_workday_that_has_begun_does_not_end_when_clocks_go_back() {
        let mut berlin = site("Europe/Berlin");
        berlin.settings.workday_starts = civil::time(2, 30, 0, 0);
        let day = |text: &str| berlin.workday(text.parse().unwrap());
        assert_eq!(day("2026-10-25T00:29:59Z"), civil::date(2026, 10, 24));
        assert_eq!(day("2026-10-25T00:30:00Z"), civil::date(2026, 10, 25));
        // The clock on the wall shows 02:10 again.
        assert_eq!(day("2026-10-25T01:10:00Z"), civil::date(2026, 10, 25));
    }

    #[test]
    fn a_zone_is_read_by_its_name_in_any_case_and_written_as_the_database_does() {
        for (text, name) in [
            ("Europe/Berlin", "Europe/Berlin"),
            (" europe/berlin ", "Europe/Berlin"),
            ("UTC", "UTC"),
        ] {
            let zone = Zone::parse(text).unwrap();
            assert_eq!(zone.name(), name);
            let json = serde_json::to_string(&zone).unwrap();
            assert_eq!(json, format!("{name:?}"));
            assert_eq!(serde_json::from_str::<Zone>(&json).unwrap(), zone);
        }
        for text in ["", "Berlin", "Europe/Atlantis", "+01:00", "../etc/passwd"] {
            assert_eq!(Zone::parse(text), Err(UnknownZone), "{text}");
        }
    }

    #[test]
    fn a_removed_site_frees_its_name_and_the_seeded_one_never_changed() {
        let site = site("UTC");
        let keys = Keys::from_record(&site);
        assert_eq!(keys.get(Site::BY_NAME).unwrap().as_str(), "main site");
        assert_eq!(keys.get(Site::BY_CHANGE), None);
        let removed = Site {
            changed_at: Some(Timestamp::UNIX_EPOCH),
            removed_at: Some(Timestamp::UNIX_EPOCH),
            ..site
        };
        let keys = Keys::from_record(&removed);
        assert_eq!(keys.get(Site::BY_NAME), None);
        assert!(keys.get(Site::BY_CHANGE).is_some());
    }

    proptest! {
        #[test]
        fn a_workday_is_at_most_one_day_from_the_date_in_utc(
            seconds in 0i64..4_000_000_000,
            hour in 0i8..24,
            zone in prop::sample::select(vec!["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago", "Europe/Berlin"]),
        ) {
            let at = Timestamp::from_second(seconds).unwrap();
            let mut site = site(zone);
            site.settings.workday_starts = civil::time(hour, 0, 0, 0);
            let utc = at.to_zoned(TimeZone::UTC).date();
            let days = (site.workday(at) - utc).get_days();
            prop_assert!((-2..=1).contains(&days), "{days}");
        }

        #[test]
        fn a_workday_begins_before_its_moments_and_after_those_of_the_day_before(
            seconds in 0i64..4_000_000_000,
            zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "Pacific/Kiritimati", "Asia/Kolkata"]),
        ) {
            let at = Timestamp::from_second(seconds).unwrap();
            let site = site(zone);
            let day = site.workday(at);
            prop_assert!(site.workday_begins(day) <= at);
            prop_assert!(at < site.workday_begins(day.tomorrow().unwrap()));
        }

        #[test]
        fn a_later_moment_never_has_an_earlier_workday_in_utc(
            seconds in 0i64..4_000_000_000,
            later in 0i64..200_000,
        ) {
            let at = |seconds| Timestamp::from_second(seconds).unwrap();
            let site = site("UTC");
            prop_assert!(site.workday(at(seconds)) <= site.workday(at(seconds + later)));
        }
    }
}
