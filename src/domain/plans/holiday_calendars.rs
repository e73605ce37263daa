//! Calendars of public holidays.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::entry::{BY_NAME, Settings};
use crate::domain::{
    attendance::HolidayPart,
    ids::{HolidayCalendarId, SiteId},
    record::{Changes, Kind},
    text::SiteName,
};

/// A calendar of public holidays. A site may follow several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HolidayCalendar {
    /// The name, unique without regard to case.
    pub name: SiteName,
    /// The sites that follow it; none if all do.
    pub sites: Vec<SiteId>,
    /// The holidays, by date; at most [`MOST`](Self::MOST).
    pub days: Vec<NamedHoliday>,
}

impl HolidayCalendar {
    /// The most holidays of a calendar.
    pub const MOST: usize = 500;
}

/// A public holiday with its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedHoliday {
    /// The date.
    pub day: Date,
    /// How much of the day it is.
    pub part: HolidayPart,
    /// The name.
    pub name: SiteName,
}

impl Settings for HolidayCalendar {
    const KIND: &'static Kind =
        &Kind::archived("holiday_calendars", "holiday calendar", &[BY_NAME])
            .changing(Changes::Audited);

    type Id = HolidayCalendarId;

    fn name(&self) -> &SiteName {
        &self.name
    }

    fn home(&self) -> Option<SiteId> {
        None
    }

    fn sites(&self) -> &[SiteId] {
        &self.sites
    }

    fn detail(&self) -> String {
        format!("{}, {} days", self.name, self.days.len())
    }
}
