//! Kinds of leave, such as vacation.

use serde::{Deserialize, Serialize};

use super::entry::{BY_NAME, Settings};
use crate::domain::{
    ids::{LeaveKindId, SiteId},
    record::{Changes, Kind},
    text::SiteName,
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

/// How entitlements to leave are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaveUnit {
    /// In days: the part of what was planned on a day.
    #[default]
    Days,
    /// In hours.
    Hours,
}

impl LeaveUnit {
    /// The words in the API.
    pub const WORDS: [&str; 2] = ["days", "hours"];

    /// Returns the word in the API.
    pub fn as_str(self) -> &'static str {
        let [days, hours] = Self::WORDS;
        match self {
            Self::Days => days,
            Self::Hours => hours,
        }
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
