//! Codes that say why a figure may be wrong, or what was not kept.

use crate::domain::words::words;

words! {
    /// A code of a workday.
    ExceptionCode {
        /// A span has no out.
        MissingOut = "missing_out",
        /// An in while at work; the first counts.
        DoubleIn = "double_in",
        /// An out without a span.
        StrayOut = "stray_out",
        /// A break punch that begins or ends nothing.
        StrayBreak = "stray_break",
        /// An out during a break.
        MissingBreakEnd = "missing_break_end",
        /// Work outside the dates of employment; it counts.
        OutsideEmployment = "outside_employment",
        /// A planned employee worked on a day without a shift.
        Unplanned = "unplanned",
        /// More than a quarter of an hour of work in time of leave.
        WorkOnLeave = "work_on_leave",
        /// The first presence was later than the grace.
        Late = "late",
        /// The last presence ended earlier than the grace.
        Early = "early",
        /// Nobody was there.
        Absence = "absence",
        /// The employee worked on the day, but never when work was due.
        OffPlan = "off_plan",
        /// The planned break was longer than what was taken, and work longer than due.
        BreakNotTaken = "break_not_taken",
        /// The breaks were shorter than the rules ask for.
        ShortBreak = "short_break",
        /// More work than a day may have.
        LongDay = "long_day",
        /// Less rest than there must be between workdays.
        ShortRest = "short_rest",
    }
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
}
