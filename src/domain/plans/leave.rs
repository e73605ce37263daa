//! Leave of employees, requested and decided.

use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Serialize};

use crate::domain::{
    accounts::Actor,
    attendance::{DateRange, LeavePart},
    ids::{EmployeeId, LeaveId, LeaveKindId},
    record::{About, Changes, Index, Keys, Kind, OnErase, Record},
    text::Reason,
    words::words,
};

/// Leave of an employee.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Leave {
    /// The ID.
    pub id: LeaveId,
    /// The employee.
    pub employee: EmployeeId,
    /// The kind.
    pub kind: LeaveKindId,
    /// The first date.
    pub from: Date,
    /// The last date, at most [`LONGEST`](Self::LONGEST) days later.
    pub to: Date,
    /// How much of each of these dates it is.
    pub part: LeavePart,
    /// What became of it.
    pub state: LeaveState,
    /// Why it was requested.
    pub reason: Option<Reason>,
    /// When it was requested or entered.
    pub made_at: Timestamp,
    /// Who requested or entered it.
    pub made_by: Actor,
    /// Who decided last.
    pub decided_by: Option<Actor>,
    /// When that was.
    pub decided_at: Option<Timestamp>,
}

words! {
    /// What became of leave.
    LeaveState {
        /// It waits for a decision.
        Requested = "requested",
        /// It counts.
        Approved = "approved",
        /// It was refused.
        Rejected = "rejected",
        /// It was taken back before a decision.
        Withdrawn = "withdrawn",
        /// It was taken back after it was approved.
        Cancelled = "cancelled",
    }
}

impl LeaveState {
    /// Checks whether the state can become another one.
    pub fn can_become(self, next: Self) -> bool {
        match next {
            Self::Requested => false,
            Self::Approved | Self::Rejected | Self::Withdrawn => self == Self::Requested,
            Self::Cancelled => self == Self::Approved,
        }
    }

    /// Checks whether leave in this state takes its time, so that no other leave may.
    pub fn takes_time(self) -> bool {
        matches!(self, Self::Requested | Self::Approved)
    }
}

impl Leave {
    /// Leave by employee and first date.
    pub const BY_EMPLOYEE: Index = Index::ordered("by_employee");
    /// Leave by first date.
    pub const BY_DATE: Index = Index::ordered("by_date");
    /// Leave by state, and by the time when it was made.
    pub const BY_STATE: Index = Index::ordered("by_state");

    /// The most days from the first date to the last.
    pub const LONGEST: i32 = 366;

    /// Returns the dates.
    pub fn dates(&self) -> DateRange {
        let (from, to) = (self.from, self.to);
        DateRange { from, to }
    }

    /// Checks whether it takes time that other leave of the employee takes. Half a day and hours do
    /// not exclude each other: only the plan of the day decides, and figures count the time once.
    pub fn overlaps(&self, other: &Self) -> bool {
        let dates = self.from <= other.to && other.from <= self.to;
        dates && self.state.takes_time() && other.state.takes_time() && self.excludes(other)
    }

    fn excludes(&self, other: &Self) -> bool {
        use LeavePart::{FirstHalf, Hours, SecondHalf, Whole};
        match (self.part, other.part) {
            (Whole, _) | (_, Whole) | (FirstHalf, FirstHalf) | (SecondHalf, SecondHalf) => true,
            (FirstHalf | SecondHalf, _) | (_, FirstHalf | SecondHalf) => false,
            (
                Hours { from, to },
                Hours {
                    from: start,
                    to: end,
                },
            ) => {
                // A time that ends on the next date is later than everything of its own date.
                let until = |from: u32, to: u32| if to <= from { to + 86_400 } else { to };
                let (one, other) = (
                    (from.seconds(), to.seconds()),
                    (start.seconds(), end.seconds()),
                );
                one.0 < until(other.0, other.1) && other.0 < until(one.0, one.1)
            }
        }
    }
}

impl Record for Leave {
    const KIND: &'static Kind = &Kind::archived(
        "leave",
        "leave",
        &[Self::BY_EMPLOYEE, Self::BY_DATE, Self::BY_STATE],
    )
    .changing(Changes::Audited);

    type Id = LeaveId;

    fn id(&self) -> LeaveId {
        self.id
    }

    fn keys(&self, keys: &mut Keys) {
        keys.add(Self::BY_EMPLOYEE, (self.employee.uuid(), self.from));
        keys.add(Self::BY_DATE, (self.from,));
        keys.add(Self::BY_STATE, (self.state.as_str(), self.made_at));
    }

    fn about(&self) -> About {
        About::employee(self.employee, OnErase::DeleteAttendance)
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use uuid::Uuid;

    use super::*;

    fn leave(part: LeavePart, state: LeaveState) -> Leave {
        Leave {
            id: Uuid::nil().into(),
            employee: Uuid::nil().into(),
            kind: Uuid::nil().into(),
            from: date(2026, 3, 2),
            to: date(2026, 3, 4),
            part,
            state,
            reason: None,
            made_at: Timestamp::UNIX_EPOCH,
            made_by: Actor::Operator,
            decided_by: None,
            decided_at: None,
        }
    }

    fn hours(from: &str, to: &str) -> LeavePart {
        LeavePart::Hours {
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
        }
    }

    #[test]
    fn leave_overlaps_leave_that_takes_the_same_time() {
        use LeavePart::{FirstHalf, SecondHalf, Whole};
        for (one, other, overlaps) in [
            (Whole, FirstHalf, true),
            (FirstHalf, FirstHalf, true),
            (FirstHalf, SecondHalf, false),
            (FirstHalf, hours("08:00", "09:00"), false),
            (Whole, hours("08:00", "09:00"), true),
            (hours("08:00", "10:00"), hours("09:00", "11:00"), true),
            (hours("08:00", "10:00"), hours("10:00", "11:00"), false),
            (hours("22:00", "02:00"), hours("23:00", "24:00"), true),
            (hours("22:00", "02:00"), hours("01:00", "02:00"), false),
        ] {
            let (one, other) = (
                leave(one, LeaveState::Requested),
                leave(other, LeaveState::Approved),
            );
            assert_eq!(one.overlaps(&other), overlaps, "{one:?} {other:?}");
            assert_eq!(other.overlaps(&one), overlaps, "{other:?} {one:?}");
            let rejected = Leave {
                state: LeaveState::Rejected,
                ..other.clone()
            };
            assert!(!one.overlaps(&rejected));
            let (from, to) = (date(2026, 3, 5), date(2026, 3, 5));
            assert!(!one.overlaps(&Leave { from, to, ..other }));
        }
    }

    #[test]
    fn leave_that_was_decided_stays_so_but_can_be_cancelled() {
        use LeaveState::{Approved, Cancelled, Rejected, Requested, Withdrawn};
        for state in LeaveState::ALL {
            let next = LeaveState::ALL.into_iter();
            let next: Vec<_> = next.filter(|next| state.can_become(*next)).collect();
            match state {
                Requested => assert_eq!(next, [Approved, Rejected, Withdrawn]),
                Approved => assert_eq!(next, [Cancelled]),
                Rejected | Withdrawn | Cancelled => assert_eq!(next, []),
            }
        }
    }
}
