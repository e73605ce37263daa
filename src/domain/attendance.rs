//! Attendance: punches, and the pure calculation that turns them into workdays.
//!
//! [`derive()`](derive::derive) makes figures of what is on record, [`direction()`](direction::direction)
//! chooses the kind of a punch that does not say, and [`adjust()`](adjustments::adjust) compares with
//! what was approved. None of them reads a clock, a store or a setting that is not an argument.
//! `docs/ATTENDANCE.md` explains the rules in plain words.

mod bands;
mod excused;
mod lateness;
mod pairing;
mod stretch;
mod timeline;
mod worked;

pub mod adjustments;
pub mod calendar;
pub mod corrections;
pub mod day;
pub mod derive;
pub mod direction;
pub mod exceptions;
pub mod kind;
pub mod periods;
pub mod plan;
pub mod presence;
pub mod presets;
pub mod punch;
pub mod rules;
pub mod steps;
pub mod time;
pub mod timesheet;

pub use adjustments::{Adjusted, Adjustment, adjust, outstanding};
pub use calendar::{Calendar, Holiday, HolidayPart, Holidays, Leave, LeavePart};
pub use corrections::{Correction, TimedPunch};
pub use day::{Day, DayBreak, DaySpan, Derived, Week};
pub use derive::{derive, derive_days};
pub use direction::{KindReason, direction};
pub use exceptions::ExceptionCode;
pub use kind::PunchKind;
pub use pairing::Belonging;
pub use periods::{Grid, LONGEST_PERIOD, Period, Periods};
pub use plan::{Assignment, Cycle, Employment, Plan, Shift};
pub use presence::{Presence, PresenceState, presence};
pub use punch::{
    Capture, ClockError, ClockSource, Evidence, KeptAnswer, Moment, OFFLINE_BOUND, Origin, Proof,
    Punch, RequestKey, believe,
};
pub use rules::{RuleBook, Rules};
pub use steps::Step;
pub use time::{DateRange, Length};
pub use timeline::Terms;
pub use timesheet::{
    Approval, CorrectionPath, CorrectionRefusal, Covered, Decision, Progress, RequestedCorrection,
    Timesheet, TimesheetId,
};
