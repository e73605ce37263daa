//! The answer: figures of workdays and weeks, in whole seconds, with the steps that made them.

use std::collections::BTreeMap;

use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Serialize};

use super::super::sites::Zone;
use super::{
    exceptions::ExceptionCode,
    steps::{Step, with_text},
    time::{Seconds, WallTime},
};

/// A workday. Every figure is whole seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Day {
    /// The date.
    pub day: Date,
    /// The zone in which its times are read.
    pub zone: Zone,
    /// Its spans, as punched.
    pub spans: Vec<DaySpan>,
    /// The sum of its closed spans, as punched.
    pub presence: Seconds,
    /// What counts as work.
    pub worked: Seconds,
    /// Unpaid breaks.
    pub breaks: Seconds,
    /// Paid breaks, with paid time between spans.
    pub paid_breaks: Seconds,
    /// The break that was deducted.
    pub auto_break: Seconds,
    /// What rounding added to `worked`; negative if it took something off.
    pub rounded_by: Seconds,
    /// What was planned.
    pub planned: Seconds,
    /// What a holiday took off the plan.
    pub holiday: Seconds,
    /// What leave took off the plan.
    pub leave: Seconds,
    /// `leave` by the kind of leave.
    pub leave_by_kind: BTreeMap<String, Seconds>,
    /// What was left to do: planned − holiday − leave.
    pub due: Seconds,
    /// worked − due.
    pub balance: Seconds,
    /// Due time before the employee came.
    pub late: Seconds,
    /// Due time after the employee left.
    pub early: Seconds,
    /// Overtime of the day.
    pub overtime: Seconds,
    /// Work in each band of the rules.
    pub bands: BTreeMap<String, Seconds>,
    /// Why figures may be wrong, or what was not kept; each code once.
    pub exceptions: Vec<ExceptionCode>,
    /// How the figures were made.
    #[serde(serialize_with = "with_text")]
    pub steps: Vec<Step>,
}

impl Day {
    /// The names of the figures, without bands.
    pub const FIGURES: [&'static str; 14] = [
        "presence",
        "worked",
        "breaks",
        "paid_breaks",
        "auto_break",
        "rounded_by",
        "planned",
        "holiday",
        "leave",
        "due",
        "balance",
        "late",
        "early",
        "overtime",
    ];

    /// Returns the figures by their names, without bands.
    pub fn figures(&self) -> [(&'static str, Seconds); 14] {
        let figures = [
            self.presence,
            self.worked,
            self.breaks,
            self.paid_breaks,
            self.auto_break,
            self.rounded_by,
            self.planned,
            self.holiday,
            self.leave,
            self.due,
            self.balance,
            self.late,
            self.early,
            self.overtime,
        ];
        std::array::from_fn(|number| (Self::FIGURES[number], figures[number]))
    }

    /// Returns when the last shift of the day ends.
    pub fn plan_ends(&self) -> Option<Timestamp> {
        let ends = self.steps.iter().filter_map(|step| match step {
            Step::Planned { to, .. } => Some(to.at),
            _ => None,
        });
        ends.max()
    }

    /// Returns whether the day cannot be approved.
    pub fn is_blocked(&self) -> bool {
        self.exceptions.iter().any(|code| code.blocks())
    }
}

/// A span of a workday.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DaySpan {
    /// When the employee came.
    #[serde(rename = "in")]
    pub came: WallTime,
    /// When the employee left; `None` for an open span, which counts nothing.
    #[serde(rename = "out")]
    pub left: Option<WallTime>,
    /// Its breaks.
    pub breaks: Vec<DayBreak>,
    /// The shift, by its name or its times.
    pub shift: Option<String>,
}

/// A break of a span.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DayBreak {
    /// The start.
    pub start: WallTime,
    /// The end; `None` for the break that an open span is in.
    pub end: Option<WallTime>,
}

/// A week. Every figure is whole seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Week {
    /// Its first date.
    pub starts: Date,
    /// The last workday of it.
    pub ends: Date,
    /// The sum of its days.
    pub worked: Seconds,
    /// Overtime beyond that of its days.
    pub overtime: Seconds,
    /// Whether one of its days cannot be approved.
    pub blocked: bool,
}

/// Workdays and weeks, in order of date.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Derived {
    /// The workdays that were asked for.
    pub days: Vec<Day>,
    /// The weeks of these workdays, each with all of its days.
    pub weeks: Vec<Week>,
}
