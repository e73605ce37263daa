//! Assignments: which employee works which shifts when.

use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Serialize};

use crate::domain::{
    accounts::Actor,
    attendance::DateRange,
    ids::{AssignmentId, CycleId, EmployeeId, ShiftKindId},
    record::{About, Changes, Index, Keys, Kind, OnErase, Record},
};

/// An assignment. Of several that cover a date, one of that single day replaces cycles, and
/// otherwise the one that was made last holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Assignment {
    /// The ID.
    pub id: AssignmentId,
    /// The employee.
    pub employee: EmployeeId,
    /// What is assigned.
    #[serde(flatten)]
    pub plan: Assigned,
    /// When it was made.
    pub made_at: Timestamp,
    /// Who made it.
    pub made_by: Actor,
}

/// What is assigned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "plan", rename_all = "snake_case")]
pub enum Assigned {
    /// A cycle.
    Cycle {
        /// The cycle.
        cycle: CycleId,
        /// The first date.
        from: Date,
        /// The last date; `None` until another one is assigned.
        to: Option<Date>,
    },
    /// The shifts of a single day.
    Day {
        /// The date.
        day: Date,
        /// The shifts, at most [`MOST_SHIFTS`](Self::MOST_SHIFTS); none for a day off.
        shifts: Vec<ShiftKindId>,
    },
}

impl Assigned {
    /// The most shifts of a single day.
    pub const MOST_SHIFTS: usize = 8;

    /// Returns the dates that it covers.
    pub fn dates(&self) -> DateRange {
        match *self {
            Self::Cycle { from, to, .. } => DateRange {
                from,
                to: to.unwrap_or(Date::MAX),
            },
            Self::Day { day, .. } => DateRange { from: day, to: day },
        }
    }
}

impl Assignment {
    /// Assignments by employee, and by the time when they were made.
    pub const BY_EMPLOYEE: Index = Index::ordered("by_employee");
    /// Assignments by what is assigned, `cycle` or `day`, and the first date.
    pub const BY_DATE: Index = Index::ordered("by_date");
    /// The first part of [`BY_DATE`](Self::BY_DATE) for cycles.
    pub const CYCLES: &str = "cycle";
    /// The first part of [`BY_DATE`](Self::BY_DATE) for single days.
    pub const DAYS: &str = "day";
}

impl Record for Assignment {
    const KIND: &'static Kind = &Kind::archived(
        "assignments",
        "assignment",
        &[Self::BY_EMPLOYEE, Self::BY_DATE],
    )
    .changing(Changes::Deleted);

    type Id = AssignmentId;

    fn id(&self) -> AssignmentId {
        self.id
    }

    fn keys(&self, keys: &mut Keys) {
        keys.add(Self::BY_EMPLOYEE, (self.employee.uuid(), self.made_at));
        let what = match self.plan {
            Assigned::Cycle { .. } => Self::CYCLES,
            Assigned::Day { .. } => Self::DAYS,
        };
        keys.add(Self::BY_DATE, (what, self.plan.dates().from));
    }

    fn about(&self) -> About {
        About::employee(self.employee, OnErase::DeleteAttendance)
    }
}
