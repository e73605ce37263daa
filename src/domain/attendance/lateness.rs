//! Late, early, absent: judged by when the employee was there, whichever span the time belongs to.

use jiff::tz::TimeZone;

use super::{
    exceptions::ExceptionCode,
    excused::Excused,
    pairing::Span,
    steps::Step,
    stretch::{Stretch, total},
    time::{Seconds, WallTime},
    timeline::{PlannedShift, Timeline},
    worked::Closed,
};

/// When an employee was there, over all days.
pub(super) struct Presence(Vec<Stretch>);

impl Presence {
    /// Takes spans in order of time. What begins after the instant at which it is asked is not
    /// known yet.
    pub fn new(spans: &[Span]) -> Self {
        let there = spans
            .iter()
            .map(|span| Stretch::new(span.came.at, span.until));
        Self(there.filter(|there| there.from <= there.to).collect())
    }

    /// Returns the first and the last known instant of presence in some time. The in of an open
    /// span is one, although no time has passed since.
    fn within(&self, time: &[Stretch]) -> Option<Stretch> {
        let mut found: Option<Stretch> = None;
        for piece in time {
            let first = self.0.partition_point(|there| there.to < piece.from);
            let near = self.0[first..].iter();
            for there in near.take_while(|there| there.from < piece.to) {
                if there.to > piece.from || there.from >= piece.from {
                    let part = there.and(*piece);
                    found = Some(found.map_or(part, |found| {
                        Stretch::new(found.from.min(part.from), found.to.max(part.to))
                    }));
                }
            }
        }
        found
    }
}

/// What is known of a workday.
pub(super) struct Judging<'a> {
    pub timeline: &'a Timeline<'a>,
    pub day: usize,
    pub excused: &'a Excused,
    pub presence: &'a Presence,
    pub closed: &'a [Closed<'a>],
    /// Whether the workday has spans, closed or open.
    pub has_spans: bool,
    pub has_stray_out: bool,
    pub as_of: Seconds,
}

/// What was not kept of the plan.
#[derive(Default)]
pub(super) struct Verdict {
    pub late: Seconds,
    pub early: Seconds,
    pub codes: Vec<ExceptionCode>,
}

impl Judging<'_> {
    /// Judges a workday.
    pub fn judge(&self, steps: &mut Vec<Step>) -> Verdict {
        let mut verdict = Verdict::default();
        if self.excused.due == 0 {
            return verdict;
        }
        let mut absent = Vec::new();
        let shifts = self.timeline.shifts_of(self.day).iter();
        for (shift, due) in shifts.zip(&self.excused.due_time) {
            let is_absent = if shift.fixed_break.is_some() {
                self.judge_shift(shift, due, &mut verdict, steps)
            } else {
                let window = Stretch::new(shift.start, shift.end);
                !self.has_spans
                    && self.as_of >= shift.end
                    && self.presence.within(&[window]).is_none()
            };
            if is_absent && !self.has_stray_out {
                absent.push(shift.label());
            }
        }
        let mut due = self.excused.due_time.iter().flatten();
        let off_plan = !self.closed.is_empty()
            && due.all(|due| {
                self.closed
                    .iter()
                    .all(|span| span.time().and(*due).is_empty())
            });
        for shift in absent {
            verdict.codes.push(if off_plan {
                steps.push(Step::OffPlan { shift });
                ExceptionCode::OffPlan
            } else {
                steps.push(Step::Absence { shift });
                ExceptionCode::Absence
            });
        }
        verdict
    }

    /// Judges a fixed shift; returns whether nobody was there.
    fn judge_shift(
        &self,
        shift: &PlannedShift<'_>,
        due: &[Stretch],
        verdict: &mut Verdict,
        steps: &mut Vec<Step>,
    ) -> bool {
        let Some(first_due) = due.iter().map(|due| due.from).min() else {
            return false;
        };
        let last_due = due.iter().map(|due| due.to).max().unwrap_or(first_due);
        let over = self.as_of >= last_due;
        let Some(there) = self.presence.within(due) else {
            return over;
        };
        let workday = &self.timeline.days[self.day];
        let rules = workday.rules;
        let zone: &TimeZone = workday.zone.time_zone();
        let missed = |away: Stretch| {
            let parts: Vec<_> = due.iter().map(|due| due.and(away)).collect();
            total(&parts) / 60 * 60
        };
        let late = missed(Stretch::before(there.from));
        if late > 0 {
            let came = WallTime::new(zone, there.from);
            let (shift, amount, grace) = (shift.label(), late, rules.grace_late.seconds());
            if late > grace {
                verdict.late += late;
                verdict.codes.push(ExceptionCode::Late);
                let due = WallTime::new(zone, first_due);
                steps.push(Step::Late {
                    shift,
                    due,
                    came,
                    amount,
                });
            } else {
                steps.push(Step::LateForgiven {
                    shift,
                    came,
                    amount,
                    grace,
                });
            }
        }
        let early = missed(Stretch::since(there.to));
        if over && early > 0 {
            let left = WallTime::new(zone, there.to);
            let (shift, amount, grace) = (shift.label(), early, rules.grace_early.seconds());
            if early > grace {
                verdict.early += early;
                verdict.codes.push(ExceptionCode::Early);
                let due = WallTime::new(zone, last_due);
                steps.push(Step::Early {
                    shift,
                    due,
                    left,
                    amount,
                });
            } else {
                steps.push(Step::EarlyForgiven {
                    shift,
                    left,
                    amount,
                    grace,
                });
            }
        }
        false
    }
}
