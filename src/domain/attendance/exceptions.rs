//! Codes that say why a figure may be wrong, or what was not kept.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A code of a workday.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExceptionCode {
    /// A span has no out.
    MissingOut,
    /// An in while at work; the first counts.
    DoubleIn,
    /// An out without a span.
    StrayOut,
    /// A break punch that begins or ends nothing.
    StrayBreak,
    /// An out during a break.
    MissingBreakEnd,
    /// Work outside the dates of employment; it counts.
    OutsideEmployment,
    /// A planned employee worked on a day without a shift.
    Unplanned,
    /// More than a quarter of an hour of work in time of leave.
    WorkOnLeave,
    /// The first presence was later than the grace.
    Late,
    /// The last presence ended earlier than the grace.
    Early,
    /// Nobody was there.
    Absence,
    /// The employee worked on the day, but never when work was due.
    OffPlan,
    /// The planned break was longer than what was taken, and work longer than due.
    BreakNotTaken,
    /// The breaks were shorter than the rules ask for.
    ShortBreak,
    /// More work than a day may have.
    LongDay,
    /// Less rest than there must be between workdays.
    ShortRest,
}

impl ExceptionCode {
    /// Returns whether a timesheet with it cannot be approved, and whether an adjustment is held.
    pub fn blocks(self) -> bool {
        match self {
            Self::MissingOut
            | Self::DoubleIn
            | Self::StrayOut
            | Self::StrayBreak
            | Self::MissingBreakEnd
            | Self::OutsideEmployment => true,
            Self::Unplanned
            | Self::WorkOnLeave
            | Self::Late
            | Self::Early
            | Self::Absence
            | Self::OffPlan
            | Self::BreakNotTaken
            | Self::ShortBreak
            | Self::LongDay
            | Self::ShortRest => false,
        }
    }

    /// Returns the word in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MissingOut => "missing_out",
            Self::DoubleIn => "double_in",
            Self::StrayOut => "stray_out",
            Self::StrayBreak => "stray_break",
            Self::MissingBreakEnd => "missing_break_end",
            Self::OutsideEmployment => "outside_employment",
            Self::Unplanned => "unplanned",
            Self::WorkOnLeave => "work_on_leave",
            Self::Late => "late",
            Self::Early => "early",
            Self::Absence => "absence",
            Self::OffPlan => "off_plan",
            Self::BreakNotTaken => "break_not_taken",
            Self::ShortBreak => "short_break",
            Self::LongDay => "long_day",
            Self::ShortRest => "short_rest",
        }
    }
}

impl fmt::Display for ExceptionCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
