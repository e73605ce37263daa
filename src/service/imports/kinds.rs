//! What lists are about, and their columns.

use super::super::jobs::list::{self, Columns};

/// What a list is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportKind {
    /// Employees.
    Employees,
    /// Kinds of shifts.
    Shifts,
    /// Cycles and single days of employees.
    Assignments,
    /// Public holidays.
    Holidays,
    /// Approved leave.
    Leave,
    /// Opening values of balances.
    OpeningBalances,
    /// Punches of the past.
    Punches,
}

impl ImportKind {
    /// All kinds.
    pub const ALL: [Self; 7] = [
        Self::Employees,
        Self::Shifts,
        Self::Assignments,
        Self::Holidays,
        Self::Leave,
        Self::OpeningBalances,
        Self::Punches,
    ];

    /// Returns the word in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Employees => "employees",
            Self::Shifts => "shifts",
            Self::Assignments => "assignments",
            Self::Holidays => "holidays",
            Self::Leave => "leave",
            Self::OpeningBalances => "opening-balances",
            Self::Punches => "punches",
        }
    }

    /// Returns the columns of a list.
    pub fn columns(self) -> &'static Columns {
        static SHIFTS: Columns = Columns::new(
            &["name", "from", "to"],
            &["site", "unpaid_break", "flexible", "work"],
        );
        static ASSIGNMENTS: Columns =
            Columns::new(&["code"], &["cycle", "from", "to", "date", "shifts"]);
        static HOLIDAYS: Columns = Columns::new(&["calendar", "date", "name"], &["part"]);
        static LEAVE: Columns = Columns::new(
            &["code", "kind", "from"],
            &["to", "part", "hours_from", "hours_to", "reason"],
        );
        static OPENINGS: Columns = Columns::new(&["code", "date", "hours"], &["reason"]);
        static PUNCHES: Columns = Columns::new(&["code", "date", "time", "kind"], &["reason"]);
        match self {
            Self::Employees => &list::PEOPLE,
            Self::Shifts => &SHIFTS,
            Self::Assignments => &ASSIGNMENTS,
            Self::Holidays => &HOLIDAYS,
            Self::Leave => &LEAVE,
            Self::OpeningBalances => &OPENINGS,
            Self::Punches => &PUNCHES,
        }
    }
}
