//! What is planned: shifts, cycles of them, and who works which when.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::super::sites::Zone;
use super::time::{DateRange, EndTime, Length, Seconds, StartTime, days_between};

/// Planned work of one workday. In JSON `{"from": "08:00", "to": "16:30", "unpaid_break": "30m"}`,
/// or with flexible hours `{"from": "06:00", "to": "20:00", "flexible": true, "work": "8h"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ShiftText", into = "ShiftText")]
pub struct Shift {
    /// The name, if it has one.
    pub name: Option<String>,
    /// When it starts.
    pub from: StartTime,
    /// When it ends; on the next date if that is not later than `from`.
    pub to: EndTime,
    /// How much of it is work.
    pub hours: ShiftHours,
    /// The zone of its site; without one, the home zone of the employee.
    pub zone: Option<Zone>,
}

impl Shift {
    /// Returns the seconds from its start to its end by the clock.
    pub fn clock_length(&self) -> Seconds {
        let (from, to) = (self.from.seconds(), self.to.seconds());
        i64::from(to) - i64::from(from) + if to <= from { 86_400 } else { 0 }
    }
}

/// How much of a shift is work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShiftHours {
    /// The whole shift but for a break.
    Fixed {
        /// The break, at no certain time.
        unpaid_break: Length,
    },
    /// The shift is a window in which this much is worked at any time.
    Flexible {
        /// The work.
        work: Length,
    },
}

/// Why a shift is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ShiftError {
    /// A flexible shift without `work`.
    #[error("a flexible shift needs work, its hours")]
    FlexibleWithoutWork,
    /// A fixed shift with `work`.
    #[error("only a flexible shift has work; give unpaid_break instead")]
    WorkOfFixed,
}

impl ShiftHours {
    /// Returns the hours that the fields of a shift describe.
    ///
    /// # Errors
    /// When a flexible shift has no `work`, or another one has.
    pub fn new(
        flexible: bool,
        work: Option<Length>,
        unpaid_break: Length,
    ) -> Result<Self, ShiftError> {
        match (flexible, work) {
            (true, Some(work)) => Ok(Self::Flexible { work }),
            (true, None) => Err(ShiftError::FlexibleWithoutWork),
            (false, Some(_)) => Err(ShiftError::WorkOfFixed),
            (false, None) => Ok(Self::Fixed { unpaid_break }),
        }
    }
}

/// A shift as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ShiftText {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    from: StartTime,
    to: EndTime,
    #[serde(default, skip_serializing_if = "is_zero")]
    unpaid_break: Length,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    flexible: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    work: Option<Length>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    zone: Option<Zone>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(length: &Length) -> bool {
    *length == Length::ZERO
}

impl TryFrom<ShiftText> for Shift {
    type Error = ShiftError;

    fn try_from(text: ShiftText) -> Result<Self, ShiftError> {
        Ok(Self {
            name: text.name,
            from: text.from,
            to: text.to,
            hours: ShiftHours::new(text.flexible, text.work, text.unpaid_break)?,
            zone: text.zone,
        })
    }
}

impl From<Shift> for ShiftText {
    fn from(shift: Shift) -> Self {
        let (flexible, work, unpaid_break) = match shift.hours {
            ShiftHours::Fixed { unpaid_break } => (false, None, unpaid_break),
            ShiftHours::Flexible { work } => (true, Some(work), Length::ZERO),
        };
        Self {
            name: shift.name,
            from: shift.from,
            to: shift.to,
            unpaid_break,
            flexible,
            work,
            zone: shift.zone,
        }
    }
}

/// Shifts by name, which cycles refer to.
pub type ShiftKinds = BTreeMap<String, Shift>;

/// Names of shifts that repeat, one a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cycle {
    /// A date of the first day of the cycle. The cycle holds before it too.
    pub starts: Date,
    /// The names, [`FREE`](Self::FREE) for a day without a shift. A name that is not known is a day
    /// without a shift too.
    pub days: Vec<String>,
}

impl Cycle {
    /// The name of a day without a shift.
    pub const FREE: &str = "-";

    /// Returns the name of the shift of a date.
    pub fn on(&self, date: Date) -> &str {
        let length = i64::try_from(self.days.len()).unwrap_or(i64::MAX).max(1);
        let place = days_between(self.starts, date).rem_euclid(length);
        let name = usize::try_from(place)
            .ok()
            .and_then(|place| self.days.get(place));
        name.map_or(Self::FREE, String::as_str)
    }
}

/// A cycle for an employee.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The first date.
    pub from: Date,
    /// The last date; without one, it holds until another is made.
    pub to: Option<Date>,
    /// The cycle.
    pub cycle: Cycle,
}

/// The plan of an employee. An employee with an empty plan is *open*: never late or absent, and
/// without overtime by the plan. Give the whole plan, not only that of the dates in question.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Plan {
    /// Cycles in the order in which they were made: of several that cover a date, the last holds.
    pub assignments: Vec<Assignment>,
    /// Shifts for single dates, which replace what cycles say; an empty list is a day off.
    pub days: BTreeMap<Date, Vec<Shift>>,
}

impl Plan {
    /// Returns whether the employee has no plan at all.
    pub fn is_open(&self) -> bool {
        self.assignments.is_empty() && self.days.is_empty()
    }

    /// Returns the shifts of a date, with the names under which cycles know them.
    pub(super) fn on<'a>(
        &'a self,
        date: Date,
        kinds: &'a ShiftKinds,
    ) -> impl Iterator<Item = (Option<&'a str>, &'a Shift)> {
        let single = self.days.get(&date);
        let cycle = single.is_none().then(|| {
            let mut made = self.assignments.iter().rev();
            let covers = |to: Option<Date>| to.is_none_or(|to| date <= to);
            let assignment = made.find(|made| made.from <= date && covers(made.to))?;
            kinds.get_key_value(assignment.cycle.on(date))
        });
        let from_cycle = cycle
            .flatten()
            .map(|(name, shift)| (Some(name.as_str()), shift));
        let entered = single.into_iter().flatten();
        from_cycle
            .into_iter()
            .chain(entered.map(|shift| (shift.name.as_deref(), shift)))
    }
}

/// The dates between which an employee works here, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Employment {
    /// The first date; without one, always.
    #[serde(default)]
    pub from: Option<Date>,
    /// The last date; without one, forever.
    #[serde(default)]
    pub to: Option<Date>,
}

impl Employment {
    /// Returns whether a date is one of them.
    pub fn contains(self, date: Date) -> bool {
        self.from.is_none_or(|from| from <= date) && self.to.is_none_or(|to| date <= to)
    }

    /// Returns whether one of the dates of a range is one of them.
    pub fn overlaps(self, range: DateRange) -> bool {
        self.from.is_none_or(|from| from <= range.to) && self.to.is_none_or(|to| range.from <= to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shift_is_written_as_it_is_read_and_needs_hours_that_fit() {
        for text in [
            r#"{"from":"22:00","to":"06:00","unpaid_break":"30m","zone":"Asia/Kolkata"}"#,
            r#"{"name":"F","from":"06:00","to":"24:00","flexible":true,"work":"7h36m"}"#,
        ] {
            let shift: Shift = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&shift).unwrap(), text);
        }
        for text in [
            r#"{"from":"22:00","to":"06:00","flexible":true}"#,
            r#"{"from":"22:00","to":"06:00","work":"8h"}"#,
            r#"{"from":"22:00"}"#,
        ] {
            assert!(serde_json::from_str::<Shift>(text).is_err(), "{text}");
        }
    }
}
