//! What lists are about, and their columns.

use super::super::jobs::list::{self, Columns};
use crate::domain::words::words;

words! {
    /// What a list is about.
    ImportKind {
        /// Employees.
        Employees = "employees",
        /// Kinds of shifts.
        Shifts = "shifts",
        /// Cycles and single days of employees.
        Assignments = "assignments",
        /// Public holidays.
        Holidays = "holidays",
        /// Approved leave.
        Leave = "leave",
        /// Opening values of balances.
        OpeningBalances = "opening-balances",
        /// Punches of the past.
        Punches = "punches",
    }
}

impl ImportKind {
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
