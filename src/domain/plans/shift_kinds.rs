//! Kinds of shifts: planned work of a day under a name, such as Early.

use serde::{Deserialize, Serialize};

use super::entry::{BY_NAME, Settings};
use crate::domain::{
    attendance::Shift,
    ids::{ShiftKindId, SiteId},
    record::{Changes, Kind},
    text::SiteName,
};

/// A kind of shift of a site.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShiftKind {
    /// The site, whose time zone the times are in.
    pub site: SiteId,
    /// The name, unique at the site without regard to case.
    pub name: SiteName,
    /// The times, without a name and a zone of their own.
    pub shift: Shift,
}

impl Settings for ShiftKind {
    const KIND: &'static Kind =
        &Kind::archived("shift_kinds", "shift", &[BY_NAME]).changing(Changes::Audited);

    type Id = ShiftKindId;

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
        format!("{}, {} to {}", self.name, self.shift.from, self.shift.to)
    }
}
