//! Cameras: their states and settings.

use std::collections::BTreeSet;

use jiff::civil::Time;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::{read_id, sites::default_site, time};
use crate::{
    domain::{
        cameras::{Camera, Direction, LookEvery, VisitGap, WatchHours},
        text::{Email, Name, StreamName},
    },
    http::{
        field_error::FieldError,
        problem::{Fields, Problem},
    },
    service::cameras::{CameraSettings, Watched},
};

/// The state of a camera.
#[derive(Serialize, ToSchema)]
#[schema(title = "CameraState")]
pub struct StateView {
    /// `live`, `stale`, `dark`, `unreachable` or `refused`.
    #[schema(example = "live")]
    state: &'static str,
    /// What is wrong.
    #[schema(example = "go2rtc has no picture of the camera")]
    cause: Option<String>,
    /// Since when the camera is in this state.
    #[schema(format = "date-time")]
    since: String,
    /// Whether the service watches the camera now; if not, the rest is the last known state.
    watched: bool,
}

impl StateView {
    /// Returns the state of a camera; `None` if the service never watched it.
    pub fn from_watched(watched: &Watched) -> Option<Self> {
        let status = watched.status.as_ref()?;
        Some(Self {
            state: status.state.as_str(),
            cause: status.cause.clone(),
            since: time(status.since),
            watched: watched.fresh,
        })
    }
}

/// When a camera is watched, in the time zone of its site.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "WatchHours")]
pub struct HoursView {
    /// The first time of the day.
    #[schema(example = "06:30")]
    from: String,
    /// The end; if it is earlier than `from`, the hours go over midnight.
    #[schema(example = "19:00")]
    to: String,
    /// The days on which the hours begin, 1 (Monday) to 7; every day if empty.
    #[serde(default)]
    #[schema(example = json!([1, 2, 3, 4, 5]))]
    days: Vec<u8>,
}

/// The format of a time of the day.
const CLOCK: &str = "%H:%M";

impl From<&WatchHours> for HoursView {
    fn from(hours: &WatchHours) -> Self {
        let text = |at: Time| at.strftime(CLOCK).to_string();
        Self {
            from: text(hours.from),
            to: text(hours.to),
            days: hours.days.clone(),
        }
    }
}

impl HoursView {
    fn read(self) -> Result<WatchHours, FieldError> {
        let time = |text: &str| Time::strptime(CLOCK, text).map_err(|_| FieldError::NotWatchHours);
        let hours = WatchHours {
            from: time(&self.from)?,
            to: time(&self.to)?,
            days: self.days,
        };
        hours
            .valid()
            .then_some(hours)
            .ok_or(FieldError::NotWatchHours)
    }
}

/// The settings of a camera.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "CameraSettings")]
pub struct EditableCamera {
    /// The name, 1 to 120 characters.
    #[schema(example = "Yard gate")]
    name: String,
    /// The name of a stream in go2rtc's configuration; 1 to 64 letters, digits, `-` and `_`.
    #[schema(example = "yard")]
    stream: String,
    /// The ID of the site where the camera is.
    #[serde(default = "default_site")]
    #[schema(format = "uuid", default = default_site)]
    site: String,
    /// The direction in which people pass the camera: `in`, `out`, or `auto` (opposite to the last
    /// punch).
    #[serde(default = "default_direction")]
    #[schema(example = "auto", default = default_direction)]
    direction: String,
    /// When the camera is watched; always if null.
    hours: Option<HoursView>,
    /// The minimum time between two analyzed pictures, milliseconds.
    #[serde(default = "default_every")]
    #[schema(minimum = 100, maximum = 10000, default = default_every)]
    every_ms: u32,
    /// How long a person must be out of view for a new visit, seconds.
    #[serde(default = "default_visit")]
    #[schema(minimum = 10, maximum = 86400, default = default_visit)]
    visit_s: u32,
    /// Whether the camera is watched.
    #[serde(default = "default_active")]
    #[schema(default = default_active)]
    active: bool,
    /// The email addresses of at most 200 accounts that may see the camera, besides admins. If
    /// null, all accounts may see it. By default, only admins may. Only admins receive this field.
    #[serde(
        default,
        deserialize_with = "null_or_value",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<Vec<String>>, example = json!(["ada@example.com"]))]
    pub viewers: Option<Option<Vec<String>>>,
}

fn default_direction() -> String {
    Direction::default().as_str().to_owned()
}

fn default_every() -> u32 {
    LookEvery::default().value()
}

fn default_visit() -> u32 {
    VisitGap::default().value()
}

fn default_active() -> bool {
    true
}

/// Deserializes null as `Some(None)`, so that it differs from a missing field.
fn null_or_value<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    value: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(value).map(Some)
}

impl From<&Camera> for EditableCamera {
    fn from(camera: &Camera) -> Self {
        let emails = |viewers: &Vec<Email>| viewers.iter().map(ToString::to_string).collect();
        Self {
            name: camera.name.to_string(),
            stream: camera.stream.to_string(),
            site: camera.site.to_string(),
            direction: camera.direction.as_str().to_owned(),
            hours: camera.hours.as_ref().map(Into::into),
            every_ms: camera.every.value(),
            visit_s: camera.visit.value(),
            active: camera.active,
            viewers: Some(camera.viewers.as_ref().map(emails)),
        }
    }
}

impl EditableCamera {
    /// Parses the settings of a new camera, which only admins see by default.
    pub fn read_new(mut self) -> Result<CameraSettings, Problem> {
        self.viewers.get_or_insert_with(|| Some(Vec::new()));
        self.read()
    }

    /// Parses the settings.
    pub fn read(self) -> Result<CameraSettings, Problem> {
        let mut fields = Fields::default();
        let name = fields.required("name", Name::parse(&self.name));
        let stream = fields.required("stream", StreamName::parse(&self.stream));
        let site = fields.required("site", read_id(self.site));
        let direction = fields.required("direction", Direction::parse(&self.direction));
        let hours = fields.optional("hours", self.hours, HoursView::read);
        let every = LookEvery::new(self.every_ms);
        let every = fields.required("every_ms", every.ok_or(out_of_range(LookEvery::RANGE)));
        let visit = VisitGap::new(self.visit_s);
        let visit = fields.required("visit_s", visit.ok_or(out_of_range(VisitGap::RANGE)));
        let viewers = fields.optional("viewers", self.viewers.flatten(), read_viewers);
        let (Some(name), Some(stream), Some(site), Some(direction), Some(every), Some(visit)) =
            (name, stream, site, direction, every, visit)
        else {
            return Err(fields.problem());
        };
        fields.check()?;
        Ok(CameraSettings {
            name,
            stream,
            site,
            direction,
            hours,
            every,
            visit,
            active: self.active,
            viewers,
        })
    }
}

fn out_of_range(range: std::ops::RangeInclusive<u32>) -> FieldError {
    FieldError::OutOfRange {
        least: (*range.start()).into(),
        most: (*range.end()).into(),
    }
}

/// Parses email addresses and drops duplicates.
fn read_viewers(viewers: Vec<String>) -> Result<Vec<Email>, FieldError> {
    let viewers = viewers
        .into_iter()
        .map(|value| Email::parse(&value).map_err(|_| FieldError::NotAllEmails { value }));
    let viewers: BTreeSet<Email> = viewers.collect::<Result<_, _>>()?;
    match viewers.len() {
        0..=Camera::VIEWERS_MOST => Ok(viewers.into_iter().collect()),
        _ => Err(FieldError::WrongCount {
            least: 0,
            most: Camera::VIEWERS_MOST,
        }),
    }
}
