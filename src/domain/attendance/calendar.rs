//! What excuses from work: public holidays and leave.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::time::{EndTime, StartTime};

/// A public holiday.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holiday {
    /// The date.
    pub day: Date,
    /// How much of the day it is.
    pub part: HolidayPart,
}

/// How much of a day is a holiday.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HolidayPart {
    /// From the middle of the day on.
    Half,
    /// The whole day.
    Whole,
}

/// Holidays by date; of two on one date, the larger counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Holidays(BTreeMap<Date, HolidayPart>);

impl Holidays {
    /// Returns how much of a date is a holiday.
    pub fn on(&self, date: Date) -> Option<HolidayPart> {
        self.0.get(&date).copied()
    }
}

impl FromIterator<Holiday> for Holidays {
    fn from_iter<I: IntoIterator<Item = Holiday>>(holidays: I) -> Self {
        let mut days = BTreeMap::new();
        for Holiday { day, part } in holidays {
            let kept = days.entry(day).or_insert(part);
            *kept = part.max(*kept);
        }
        Self(days)
    }
}

/// Leave of an employee from a workday, or from a part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leave {
    /// The workday.
    pub day: Date,
    /// The kind, such as vacation; payroll decides what it pays.
    #[serde(default = "leave")]
    pub kind: String,
    /// How much of the day it is.
    #[serde(flatten)]
    pub part: LeavePart,
}

fn leave() -> String {
    "leave".to_owned()
}

/// How much of a workday is leave. In JSON `"part": "whole"`, or `"part": "hours"` with `from` and
/// `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "part", rename_all = "snake_case")]
pub enum LeavePart {
    /// The whole day.
    Whole,
    /// Up to the middle of the day.
    FirstHalf,
    /// From the middle of the day on.
    SecondHalf,
    /// From one time to another.
    Hours {
        /// The start.
        from: StartTime,
        /// The end; on the next date if that is not later than `from`.
        to: EndTime,
    },
}

impl LeavePart {
    /// Returns the word in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::FirstHalf => "first_half",
            Self::SecondHalf => "second_half",
            Self::Hours { .. } => "hours",
        }
    }
}

/// What excuses an employee.
#[derive(Debug, Clone, Copy)]
pub struct Calendar<'a> {
    /// The holidays of the employee's site.
    pub holidays: &'a Holidays,
    /// Leave of the employee, in the order in which it was made.
    pub leave: &'a [Leave],
}
