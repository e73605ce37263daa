//! Kinds of leave, such as vacation.

use serde::{Deserialize, Serialize};

use super::entry::{BY_NAME, Settings};
use crate::domain::{
    ids::{LeaveKindId, SiteId},
    record::{Changes, Kind},
    text::SiteName,
    words::words,
};

/// A kind of leave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeaveKind {
    /// The name, unique without regard to case.
    pub name: SiteName,
    /// Whether payroll pays it. Figures do not depend on it; exports show it.
    pub paid: bool,
    /// How entitlements to it are counted.
    #[serde(default)]
    pub unit: LeaveUnit,
    /// Whether a request for more than an employee is entitled to is refused.
    #[serde(default)]
    pub limited: bool,
}

words! {
    /// How entitlements to leave are counted.
    #[derive(Default)]
    LeaveUnit {
        /// In days: the part of what was planned on a day.
        #[default]
        Days = "days",
        /// In hours.
        Hours = "hours",
    }
}

impl Settings for LeaveKind {
    const KIND: &'static Kind =
        &Kind::archived("leave_kinds", "kind of leave", &[BY_NAME]).changing(Changes::Audited);

    type Id = LeaveKindId;

    fn name(&self) -> &SiteName {
        &self.name
    }

    fn home(&self) -> Option<SiteId> {
        None
    }

    fn sites(&self) -> &[SiteId] {
        &[]
    }

    fn detail(&self) -> String {
        let paid = if self.paid { "paid" } else { "unpaid" };
        let (unit, limited) = (
            self.unit.as_str(),
            if self.limited { ", limited" } else { "" },
        );
        format!("{}, {paid}, in {unit}{limited}", self.name)
    }
}
