//! Entitlements: how much leave of a kind an employee has in some dates.

use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Serialize};

use super::{leave::LeaveState, leave_kinds::LeaveUnit};
use crate::domain::{
    accounts::Actor,
    attendance::{DateRange, time::Seconds},
    ids::{EmployeeId, EntitlementId, LeaveKindId},
    record::{About, Changes, Index, Keys, Kind, OnErase, Record},
};

/// Days or hours, in hundredths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hundredths(u32);

impl Hundredths {
    /// The most days or hours.
    pub const MOST: u32 = 10_000;

    /// Returns a number of at least 0, at most [`MOST`](Self::MOST) and with at most two decimals.
    pub fn from_number(number: f64) -> Option<Self> {
        let hundredths = (number * 100.0).round();
        let fits = (0.0..=f64::from(Self::MOST * 100)).contains(&hundredths);
        let exact = (hundredths / 100.0 - number).abs() < 1e-9;
        // The range makes the cast exact.
        (fits && exact).then_some(Self(hundredths as u32))
    }

    /// Returns the number.
    pub fn number(self) -> f64 {
        f64::from(self.0) / 100.0
    }
}

/// How much leave of a kind an employee has in some dates, usually a year. An employee has at most
/// one of a kind on each date.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entitlement {
    /// The ID.
    pub id: EntitlementId,
    /// The employee.
    pub employee: EmployeeId,
    /// The kind of leave, which says whether it is counted in days or in hours.
    pub kind: LeaveKindId,
    /// The amount.
    #[serde(flatten)]
    pub grant: LeaveGrant,
    /// When it was entered.
    pub made_at: Timestamp,
    /// Who entered it.
    pub made_by: Actor,
}

/// An amount of leave, and the dates in which it is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaveGrant {
    /// The first date.
    pub from: Date,
    /// The last date, less than [`LONGEST`](Self::LONGEST) days later.
    pub to: Date,
    /// The amount.
    pub amount: Hundredths,
    /// What was carried over from before.
    pub carried: Hundredths,
}

impl LeaveGrant {
    /// The most days.
    pub const LONGEST: i32 = 3 * 366;

    /// Returns the dates.
    pub fn dates(&self) -> DateRange {
        let (from, to) = (self.from, self.to);
        DateRange { from, to }
    }

    /// Returns the amount with what was carried over.
    pub fn total(&self) -> f64 {
        self.amount.number() + self.carried.number()
    }
}

impl Entitlement {
    /// Entitlements by employee and first date.
    pub const BY_EMPLOYEE: Index = Index::ordered("by_employee");

    /// Checks whether another entitlement is to the same leave on one of the dates.
    pub fn overlaps(&self, other: &Self) -> bool {
        let (one, two) = (self.grant.dates(), other.grant.dates());
        let same = self.employee == other.employee && self.kind == other.kind;
        same && self.id != other.id && one.from <= two.to && two.from <= one.to
    }
}

impl Record for Entitlement {
    const KIND: &'static Kind =
        &Kind::archived("entitlements", "entitlement", &[Self::BY_EMPLOYEE])
            .changing(Changes::Audited);

    type Id = EntitlementId;

    fn id(&self) -> EntitlementId {
        self.id
    }

    fn keys(&self, keys: &mut Keys) {
        keys.add(Self::BY_EMPLOYEE, (self.employee.uuid(), self.grant.from));
    }

    fn about(&self) -> About {
        About::employee(self.employee, OnErase::DeleteAttendance)
    }
}

/// How much of a workday leave uses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LeaveUse {
    /// The date.
    pub day: Date,
    /// The kind of leave.
    pub kind: LeaveKindId,
    /// Whether it was approved.
    pub state: LeaveState,
    /// The time.
    pub seconds: Seconds,
    /// What was planned on the day.
    pub planned: Seconds,
}

impl LeaveUse {
    /// Returns the amount in a unit. Days are the part of what was planned.
    pub fn amount(&self, unit: LeaveUnit) -> f64 {
        let of = match unit {
            LeaveUnit::Days => self.planned,
            LeaveUnit::Hours => 3600,
        };
        match of {
            0 => 0.0,
            of => self.seconds as f64 / of as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_has_two_decimals() {
        for (number, expected) in [
            (0.0, Some(0)),
            (27.5, Some(2750)),
            (0.29, Some(29)),
            (10_000.0, Some(1_000_000)),
            (10_000.01, None),
            (-1.0, None),
            (1.005, None),
            (f64::NAN, None),
        ] {
            let found = Hundredths::from_number(number);
            assert_eq!(found, expected.map(Hundredths), "{number}");
        }
        assert_eq!(Hundredths(2750).number().to_string(), "27.5");
    }
}
