//! The explanation of a workday: each step that made its figures, as a code with parameters that
//! pages translate, and as an English sentence.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

use super::super::ids::PunchId;
use super::{
    calendar::HolidayPart,
    pairing::Belonging,
    time::{Hours, Seconds, WallTime},
};

/// A step. In JSON its `code`, its parameters and its `text`. Lengths are seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
#[expect(
    missing_docs,
    reason = "the sentence that a step displays says what its fields are"
)]
pub enum Step {
    /// An in and an out made a span.
    Span {
        from: WallTime,
        to: WallTime,
        punches: [PunchId; 2],
        shift: Option<String>,
        by: Belonging,
    },
    /// An in has no out, or none yet.
    OpenSpan {
        from: WallTime,
        punch: PunchId,
        shift: Option<String>,
        by: Belonging,
    },
    /// Two punches made a break; the second can be an in or an out.
    Break {
        from: WallTime,
        to: WallTime,
        punches: [PunchId; 2],
    },
    /// A break has no end yet.
    OpenBreak {
        from: WallTime,
        punch: PunchId,
    },
    MissingOut {
        at: WallTime,
        punch: PunchId,
    },
    DoubleIn {
        at: WallTime,
        punch: PunchId,
    },
    StrayOut {
        at: WallTime,
        punch: PunchId,
    },
    StrayBreak {
        at: WallTime,
        punch: PunchId,
    },
    MissingBreakEnd {
        at: WallTime,
        punch: PunchId,
    },
    Planned {
        shift: String,
        from: WallTime,
        to: WallTime,
        flexible: bool,
        unpaid_break: Seconds,
        amount: Seconds,
    },
    Holiday {
        part: HolidayPart,
        amount: Seconds,
    },
    Leave {
        kind: String,
        part: String,
        amount: Seconds,
    },
    RoundedIn {
        from: WallTime,
        to: WallTime,
        step: Seconds,
    },
    RoundedOut {
        from: WallTime,
        to: WallTime,
        step: Seconds,
    },
    Clipped {
        until: WallTime,
        amount: Seconds,
    },
    NotCounted {
        from: WallTime,
        to: WallTime,
    },
    PaidBreak {
        from: WallTime,
        to: WallTime,
        amount: Seconds,
    },
    PaidBetween {
        from: WallTime,
        to: WallTime,
        amount: Seconds,
    },
    UnpaidBreak {
        from: WallTime,
        to: WallTime,
        amount: Seconds,
    },
    AutoBreak {
        after: Seconds,
        total: Seconds,
        taken: Seconds,
        amount: Seconds,
    },
    RoundedDay {
        from: Seconds,
        to: Seconds,
        step: Seconds,
    },
    Late {
        shift: String,
        due: WallTime,
        came: WallTime,
        amount: Seconds,
    },
    LateForgiven {
        shift: String,
        came: WallTime,
        amount: Seconds,
        grace: Seconds,
    },
    Early {
        shift: String,
        due: WallTime,
        left: WallTime,
        amount: Seconds,
    },
    EarlyForgiven {
        shift: String,
        left: WallTime,
        amount: Seconds,
        grace: Seconds,
    },
    Absence {
        shift: String,
    },
    OffPlan {
        shift: String,
    },
    OutsideEmployment,
    Unplanned,
    WorkOnLeave {
        amount: Seconds,
    },
    BreakNotTaken {
        planned: Seconds,
        taken: Seconds,
    },
    ShortBreak {
        after: Seconds,
        total: Seconds,
        taken: Seconds,
    },
    LongDay {
        amount: Seconds,
        most: Seconds,
    },
    ShortRest {
        last: WallTime,
        first: WallTime,
        rest: Seconds,
        least: Seconds,
    },
    Overtime {
        threshold: Seconds,
        amount: Seconds,
    },
    OvertimeTooShort {
        threshold: Seconds,
        amount: Seconds,
        least: Seconds,
    },
    Band {
        name: String,
        amount: Seconds,
    },
    BandLimited {
        name: String,
        amount: Seconds,
        worked: Seconds,
    },
}

/// Writes the sentence.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Span {
                from,
                to,
                shift,
                by,
                ..
            } => {
                write!(f, "present from {from} to {to}")?;
                belongs(f, shift.as_deref(), *by)
            }
            Self::OpenSpan {
                from, shift, by, ..
            } => {
                write!(f, "present from {from}, without an out")?;
                belongs(f, shift.as_deref(), *by)
            }
            Self::Break { from, to, .. } => write!(f, "on a break from {from} to {to}"),
            Self::OpenBreak { from, .. } => write!(f, "on a break from {from}, without an end"),
            Self::MissingOut { at, .. } => {
                write!(
                    f,
                    "the out after {at} is missing, so this time counts nothing"
                )
            }
            Self::DoubleIn { at, .. } => {
                write!(f, "the in at {at} is ignored, because the first in counts")
            }
            Self::StrayOut { at, .. } => write!(f, "the out at {at} has no in"),
            Self::StrayBreak { at, .. } => {
                write!(f, "the break punch at {at} begins or ends nothing")
            }
            Self::MissingBreakEnd { at, .. } => {
                write!(
                    f,
                    "the break was not ended, so it lasts until the out at {at}"
                )
            }
            Self::Planned {
                shift,
                from,
                to,
                flexible,
                unpaid_break,
                amount,
            } => {
                write!(f, "planned: {shift} from {from} to {to}, ")?;
                match (flexible, unpaid_break) {
                    (true, _) => write!(f, "{} at any time in it", Hours(*amount)),
                    (false, 0) => write!(f, "{}", Hours(*amount)),
                    (false, off) => {
                        write!(f, "{} without the break of {}", Hours(*amount), Hours(*off))
                    }
                }
            }
            Self::Holiday { part, amount } => {
                let part = match part {
                    HolidayPart::Whole => "holiday",
                    HolidayPart::Half => "half a holiday, from the middle of the day on",
                };
                write!(f, "{part}: {} less to do", Hours(*amount))
            }
            Self::Leave { kind, part, amount } => {
                let part = part.replace('_', " ");
                write!(f, "{kind} ({part}): {} less to do", Hours(*amount))
            }
            Self::RoundedIn { from, to, step } => {
                write!(
                    f,
                    "the first in counts as {to} instead of {from}, in steps of {}",
                    Hours(*step)
                )
            }
            Self::RoundedOut { from, to, step } => {
                write!(
                    f,
                    "the last out counts as {to} instead of {from}, in steps of {}",
                    Hours(*step)
                )
            }
            Self::Clipped { until, amount } => {
                write!(
                    f,
                    "{} before {until} do not count, because nothing was due yet",
                    Hours(*amount)
                )
            }
            Self::NotCounted { from, to } => {
                write!(f, "nothing is left of the time from {from} to {to}")
            }
            Self::PaidBreak { from, to, amount } => {
                write!(
                    f,
                    "{} of the break from {from} to {to} are paid",
                    Hours(*amount)
                )
            }
            Self::PaidBetween { from, to, amount } => {
                write!(
                    f,
                    "{} of the time from {from} to {to} are paid as a break",
                    Hours(*amount)
                )
            }
            Self::UnpaidBreak { from, to, amount } => {
                write!(
                    f,
                    "{} of the break from {from} to {to} are not paid",
                    Hours(*amount)
                )
            }
            Self::AutoBreak {
                after,
                total,
                taken,
                amount,
            } => write!(
                f,
                "more than {} of work ask for {} of break, {} were taken: {} are deducted",
                Hours(*after),
                Hours(*total),
                Hours(*taken),
                Hours(*amount)
            ),
            Self::RoundedDay { from, to, step } => write!(
                f,
                "worked counts as {} instead of {}, in steps of {}",
                Hours(*to),
                Hours(*from),
                Hours(*step)
            ),
            Self::Late {
                shift,
                due,
                came,
                amount,
            } => write!(
                f,
                "late for {shift}: due at {due}, there at {came}, {} late",
                Hours(*amount)
            ),
            Self::LateForgiven {
                shift,
                came,
                amount,
                grace,
            } => write!(
                f,
                "there for {shift} at {came}: {} late are within the grace of {}",
                Hours(*amount),
                Hours(*grace)
            ),
            Self::Early {
                shift,
                due,
                left,
                amount,
            } => write!(
                f,
                "early from {shift}: due until {due}, there until {left}, {} early",
                Hours(*amount)
            ),
            Self::EarlyForgiven {
                shift,
                left,
                amount,
                grace,
            } => write!(
                f,
                "there for {shift} until {left}: {} early are within the grace of {}",
                Hours(*amount),
                Hours(*grace)
            ),
            Self::Absence { shift } => write!(f, "not there for {shift}"),
            Self::OffPlan { shift } => write!(f, "there on the day, but not for {shift}"),
            Self::OutsideEmployment => f.write_str("work outside the dates of employment"),
            Self::Unplanned => f.write_str("work on a day without a shift"),
            Self::WorkOnLeave { amount } => {
                write!(f, "{} of presence in time of leave", Hours(*amount))
            }
            Self::BreakNotTaken { planned, taken } => write!(
                f,
                "worked through a break: {} were planned, {} taken",
                Hours(*planned),
                Hours(*taken)
            ),
            Self::ShortBreak {
                after,
                total,
                taken,
            } => write!(
                f,
                "more than {} of work ask for {} of break, and breaks that count were {}",
                Hours(*after),
                Hours(*total),
                Hours(*taken)
            ),
            Self::LongDay { amount, most } => {
                write!(f, "worked {}, more than {}", Hours(*amount), Hours(*most))
            }
            Self::ShortRest {
                last,
                first,
                rest,
                least,
            } => write!(
                f,
                "rest of {} from {last} to {first}, less than {}",
                Hours(*rest),
                Hours(*least)
            ),
            Self::Overtime { threshold, amount } => {
                write!(
                    f,
                    "{} of overtime beyond {}",
                    Hours(*amount),
                    Hours(*threshold)
                )
            }
            Self::OvertimeTooShort {
                threshold,
                amount,
                least,
            } => write!(
                f,
                "{} beyond {} are less than the least overtime of {}",
                Hours(*amount),
                Hours(*threshold),
                Hours(*least)
            ),
            Self::Band { name, amount } => {
                write!(f, "{} of work in the band {name}", Hours(*amount))
            }
            Self::BandLimited {
                name,
                amount,
                worked,
            } => write!(
                f,
                "{} in the band {name}, limited to the {} that were worked",
                Hours(*amount),
                Hours(*worked)
            ),
        }
    }
}

/// Writes why a span belongs to its workday.
fn belongs(f: &mut fmt::Formatter<'_>, shift: Option<&str>, by: Belonging) -> fmt::Result {
    let shift = shift.unwrap_or_default();
    match by {
        Belonging::InsideShift => write!(f, ", during the shift {shift}"),
        Belonging::BeforeShift => write!(f, ", before the shift {shift}"),
        Belonging::NextShift => write!(f, ", for the shift {shift}, which starts within an hour"),
        Belonging::CutOff => Ok(()),
        Belonging::Rested => f.write_str(", a new workday after seven hours of rest"),
    }
}

/// Writes steps with their sentences.
pub(super) fn with_text<S: Serializer>(steps: &[Step], serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Explained<'a> {
        #[serde(flatten)]
        step: &'a Step,
        text: String,
    }
    serializer.collect_seq(steps.iter().map(|step| Explained {
        step,
        text: step.to_string(),
    }))
}
