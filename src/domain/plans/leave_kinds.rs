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
        format!("{}, {paid}", self.name)
    }
}
