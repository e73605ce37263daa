//! Sites and their settings.

use jiff::{Timestamp, civil::Time};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{read_id, time};
use crate::{
    domain::{
        ids::SiteId,
        punch_credentials::PinDigits,
        sites::{Site, SiteSettings, UnknownZone, Zone},
        text::SiteName,
    },
    http::{
        field_error::FieldError,
        problem::{Fields, Problem},
    },
};

impl From<UnknownZone> for FieldError {
    fn from(_: UnknownZone) -> Self {
        Self::NotATimeZone
    }
}

/// The format of a time of the day.
const CLOCK: &str = "%H:%M";

/// The settings of a site.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "SiteSettings")]
pub struct EditableSite {
    /// The name, 1 to 64 characters, unique without regard to case.
    #[schema(example = "Harbor")]
    name: String,
    /// The IANA time zone of its workdays and of the hours of its cameras.
    #[schema(example = "Europe/Berlin")]
    zone: String,
    /// The time of the day at which a workday begins, so that the end of a late shift belongs to
    /// the day on which it began.
    #[serde(default = "default_start")]
    #[schema(example = "04:00", default = default_start)]
    workday_starts: String,
    /// Whether clear punches at the site improve the templates of people who consented to that.
    #[serde(default)]
    grow_templates: bool,
    /// The number of digits of the PINs of people who work at the site, 4 to 8. PINs that were set
    /// before a change stay valid.
    #[serde(default = "default_digits")]
    #[schema(example = 6, default = default_digits, minimum = 4, maximum = 8)]
    pin_digits: u8,
    /// Whether a face alone is not enough to punch at the site: the person also types a PIN or shows
    /// a badge. People without an enrolled face punch with their PIN or badge alone.
    #[serde(default)]
    face_and_pin: bool,
    /// Whether people of the site can read the consent, agree and enroll their face at its kiosks, and
    /// withdraw there, with their PIN or badge.
    #[serde(default)]
    kiosk_enrollment: bool,
    /// Whether signals for home automation (`MQTT_URL`) have the name of the person who punched
    /// last at the site.
    #[serde(default)]
    mqtt_names: bool,
}

fn default_digits() -> u8 {
    PinDigits::default().count()
}

fn default_start() -> String {
    "04:00".to_owned()
}

impl From<&Site> for EditableSite {
    fn from(site: &Site) -> Self {
        Self {
            name: site.name.to_string(),
            zone: site.zone.to_string(),
            workday_starts: site.workday_starts.strftime(CLOCK).to_string(),
            grow_templates: site.grow_templates,
            pin_digits: site.pin_digits.count(),
            face_and_pin: site.face_and_pin,
            kiosk_enrollment: site.kiosk_enrollment,
            mqtt_names: site.mqtt_names,
        }
    }
}

impl EditableSite {
    /// Parses the settings.
    pub fn read(self) -> Result<SiteSettings, Problem> {
        let mut fields = Fields::default();
        let name = fields.required("name", SiteName::parse(&self.name));
        let zone = fields.required("zone", Zone::parse(&self.zone));
        let starts = Time::strptime(CLOCK, &self.workday_starts);
        let starts = starts.map_err(|_| FieldError::NotATimeOfDay);
        let starts = fields.required("workday_starts", starts);
        let digits = PinDigits::try_from(self.pin_digits);
        let digits = digits.map_err(|_| FieldError::OutOfRange {
            least: PinDigits::LEAST.into(),
            most: PinDigits::MOST.into(),
        });
        let digits = fields.required("pin_digits", digits);
        let (Some(name), Some(zone), Some(workday_starts), Some(pin_digits)) =
            (name, zone, starts, digits)
        else {
            return Err(fields.problem());
        };
        Ok(SiteSettings {
            name,
            zone,
            workday_starts,
            grow_templates: self.grow_templates,
            pin_digits,
            face_and_pin: self.face_and_pin,
            kiosk_enrollment: self.kiosk_enrollment,
            mqtt_names: self.mqtt_names,
        })
    }
}

/// A place where people work.
#[derive(Serialize, ToSchema)]
#[schema(title = "Site")]
pub struct SiteView {
    /// The ID.
    #[schema(format = "uuid", example = "0199f3a0-7c1e-7d5a-9f0e-2b7f6f0c1a2b")]
    id: String,
    #[serde(flatten)]
    settings: EditableSite,
    /// Whether this is the default site of people, devices and cameras.
    is_default: bool,
    /// The business date at the site now.
    #[schema(format = "date", example = "2026-11-21")]
    workday: String,
    /// When that workday began.
    #[schema(format = "date-time", example = "2026-11-21T03:00:00.000Z")]
    workday_since: String,
    /// When it was added.
    #[schema(format = "date-time")]
    created_at: String,
    /// In the answer to a change, if a face alone is not enough at the site: the number of active
    /// people with an enrolled face, but without a PIN or badge. They cannot punch.
    #[serde(skip_serializing_if = "Option::is_none")]
    face_alone: Option<usize>,
}

impl SiteView {
    /// Returns a site with its workday at a moment.
    pub fn at(site: &Site, now: Timestamp) -> Self {
        let workday = site.workday(now);
        Self {
            id: site.id.to_string(),
            settings: site.into(),
            is_default: site.id == SiteId::DEFAULT,
            workday: workday.to_string(),
            workday_since: time(site.workday_begins(workday)),
            created_at: time(site.created_at),
            face_alone: None,
        }
    }

    /// Adds the number of people who have a face, but neither a PIN nor a badge.
    pub fn with_face_alone(self, people: usize) -> Self {
        Self {
            face_alone: Some(people),
            ..self
        }
    }
}

/// A filter of lists by site.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SiteQuery {
    /// The ID of a site.
    site: Option<String>,
}

impl SiteQuery {
    /// Returns the site.
    ///
    /// # Errors
    /// When the parameter is not an ID.
    pub fn read(self) -> Result<Option<SiteId>, Problem> {
        let site = self.site.map(read_id).transpose();
        site.map_err(|error| Problem::field("site", error))
    }
}

/// Returns the ID of the default site.
pub fn default_site() -> String {
    SiteId::DEFAULT.to_string()
}
