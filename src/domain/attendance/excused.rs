//! What holidays and leave take off the plan of a workday, and what is left to do.

use std::collections::BTreeMap;

use super::{
    calendar::{HolidayPart, Leave, LeavePart},
    steps::Step,
    stretch::{Stretch, overlap, put_in, take_off, total},
    time::{EndTime, Seconds, StartTime, instant, next_date},
    timeline::Timeline,
};

/// What is excused on a workday.
#[derive(Default)]
pub(super) struct Excused {
    pub planned: Seconds,
    pub holiday: Seconds,
    pub leave: Seconds,
    pub leave_by_kind: BTreeMap<String, Seconds>,
    /// What is left to do.
    pub due: Seconds,
    /// The time that leave, and not the holiday, excuses.
    pub leave_time: Vec<Stretch>,
    /// The due time of each shift of the day; none for a flexible one.
    pub due_time: Vec<Vec<Stretch>>,
}

impl Excused {
    /// Returns the first due instant.
    pub fn first_due(&self) -> Option<Seconds> {
        self.due_time.iter().flatten().map(|due| due.from).min()
    }

    /// Returns from where on worked time is beyond the plan. If a part of the day is excused, it is
    /// at least the real length of the time that is due.
    pub fn threshold(&self) -> Seconds {
        if self.due == 0 || self.holiday + self.leave == 0 {
            return self.due;
        }
        let length = self.due_time.iter().map(|due| total(due)).sum();
        self.due.max(length)
    }
}

/// Excuses a workday from its plan: the holiday first, then leave in the order in which it was
/// made.
pub(super) fn excuse<'l>(
    timeline: &Timeline<'_>,
    day: usize,
    holiday: Option<HolidayPart>,
    leave: impl Iterator<Item = &'l Leave>,
    steps: &mut Vec<Step>,
) -> Excused {
    let shifts = timeline.shifts_of(day);
    let planned: Seconds = shifts.iter().map(|shift| shift.work).sum();
    let (Some(first), Some(end)) = (
        shifts.first().map(|shift| shift.start),
        shifts.iter().map(|shift| shift.end).max(),
    ) else {
        return Excused::default();
    };
    let mut excused = Excused {
        planned,
        ..Excused::default()
    };
    let middle = first + (end - first) / 2;
    let in_shifts: Vec<_> = shifts
        .iter()
        .map(|shift| Stretch::new(shift.start, shift.end))
        .collect();
    let flexible = shifts.iter().all(|shift| shift.fixed_break.is_none());

    let mut all = Vec::new();
    if let Some(part) = holiday {
        let (time, amount) = match part {
            HolidayPart::Whole => (Stretch::ALWAYS, planned),
            HolidayPart::Half => (Stretch::since(middle), planned / 2),
        };
        all.push(time);
        excused.holiday = amount;
        steps.push(Step::Holiday { part, amount });
    }
    let holiday_time = all.clone();

    let mut left = planned - excused.holiday;
    let mut halves = Vec::new();
    for leave in leave {
        // On half a holiday the half that is left is the first, whichever the leave names.
        let part = match leave.part {
            LeavePart::SecondHalf if holiday == Some(HolidayPart::Half) => LeavePart::FirstHalf,
            part => part,
        };
        let time = match part {
            LeavePart::Whole => Some(Stretch::ALWAYS),
            LeavePart::FirstHalf | LeavePart::SecondHalf if flexible => None,
            LeavePart::FirstHalf => Some(Stretch::before(middle)),
            LeavePart::SecondHalf => Some(Stretch::since(middle)),
            LeavePart::Hours { from, to } => Some(hours(timeline, day, first, from, to)),
        };
        // What is new of a time counts; what was excused already comes off.
        let new = |whole: Option<Seconds>, time: Stretch| {
            let lengths = in_shifts.iter().map(|shift| {
                let there = time.and(*shift);
                (there.length(), overlap(there, &all))
            });
            let (length, known) = lengths.fold((0, 0), |sum, add| (sum.0 + add.0, sum.1 + add.1));
            if length == known {
                return 0;
            }
            (whole.unwrap_or(length) - known).max(0)
        };
        let amount = match (part, time) {
            (LeavePart::Whole, _) => left,
            // Half of flexible hours is no particular time, but the same half counts once.
            (_, None) if halves.contains(&part) => 0,
            (_, None) => {
                halves.push(part);
                planned / 2
            }
            (LeavePart::Hours { .. }, Some(time)) => new(None, time),
            (_, Some(time)) => new(Some(planned / 2), time),
        };
        let amount = amount.min(left);
        left -= amount;
        if let Some(time) = time {
            put_in(&mut all, time);
            put_in(&mut excused.leave_time, time);
        }
        *excused.leave_by_kind.entry(leave.kind.clone()).or_default() += amount;
        steps.push(Step::Leave {
            kind: leave.kind.clone(),
            part: leave.part.as_str().to_owned(),
            amount,
        });
    }
    for time in holiday_time {
        take_off(&mut excused.leave_time, time);
    }
    excused.due = left;
    excused.leave = planned - excused.holiday - left;
    excused.leave_by_kind.retain(|_, amount| *amount > 0);
    excused.due_time = shifts
        .iter()
        .zip(in_shifts)
        .map(|(shift, time)| {
            let mut due = Vec::new();
            if left > 0 && shift.fixed_break.is_some() && !time.is_empty() {
                due.push(time);
                for off in &all {
                    take_off(&mut due, *off);
                }
            }
            due
        })
        .collect();
    excused
}

/// Returns the time of leave by the hour: on the workday's own date, or a day later if it would be
/// over by the start of the first shift.
fn hours(
    timeline: &Timeline<'_>,
    day: usize,
    first: Seconds,
    from: StartTime,
    to: EndTime,
) -> Stretch {
    let workday = &timeline.days[day];
    let on = |date| {
        let zone = workday.zone.time_zone();
        let overnight = to.seconds() <= from.seconds();
        let last = if overnight { next_date(date) } else { date };
        Stretch::new(instant(zone, from.on(date)), instant(zone, to.on(last)))
    };
    let time = on(workday.date);
    if time.to <= first {
        on(next_date(workday.date))
    } else {
        time
    }
}
