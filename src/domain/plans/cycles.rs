//! Cycles: kinds of shifts that repeat, one a day.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::entry::{BY_NAME, Settings};
use crate::domain::{
    ids::{CycleId, ShiftKindId, SiteId},
    record::{Changes, Kind},
    text::SiteName,
};

/// A cycle of a site.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cycle {
    /// The site, whose shifts it consists of.
    pub site: SiteId,
    /// The name, unique at the site without regard to case.
    pub name: SiteName,
    /// A date of its first day. It holds before that date, too.
    pub starts: Date,
    /// The shift of each day, or `None` for a day without one. 1 to [`MOST`](Self::MOST) days.
    pub shifts: Vec<Option<ShiftKindId>>,
}

impl Cycle {
    /// The most days of a cycle.
    pub const MOST: usize = 366;
}

impl Settings for Cycle {
    const KIND: &'static Kind =
        &Kind::archived("cycles", "cycle", &[BY_NAME]).changing(Changes::Audited);

    type Id = CycleId;

    fn name(&self) -> &SiteName {
        &self.name
    }

    fn home(&self) -> Option<SiteId> {
        Some(self.site)
    }

    fn sites(&self) -> &[SiteId] {
        std::slice::from_ref(&self.site)
    }

    fn detail(&self) -> String {
        let days = self.shifts.len();
        format!("{}, {days} days from {}", self.name, self.starts)
    }
}
