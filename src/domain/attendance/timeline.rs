//! The plan on the axis of time: when workdays begin, and which shifts are near an instant.

use std::ops::Range;

use jiff::civil::Date;

use super::super::sites::Zone;
use super::{
    plan::{Employment, Plan, Shift, ShiftHours, ShiftKinds},
    rules::{RuleBook, Rules},
    time::{Seconds, dates, days_between, instant, local_date, next_date, shifted},
};

/// What holds for an employee.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// The home zone, which is that of the employee's site.
    pub zone: &'a Zone,
    /// When the employee works here.
    pub employed: Employment,
    /// The shifts that cycles refer to.
    pub shifts: &'a ShiftKinds,
    /// The plan.
    pub plan: &'a Plan,
    /// The rules.
    pub rules: &'a RuleBook,
}

/// A workday.
pub(super) struct Workday<'a> {
    pub date: Date,
    pub begins: Seconds,
    /// Whether it begins before the next one.
    pub exists: bool,
    /// Its places in [`Timeline::shifts`], by start.
    pub shifts: Range<usize>,
    /// The zone of its first shift, else the home zone.
    pub zone: &'a Zone,
    pub rules: &'a Rules,
}

/// A shift of a workday.
pub(super) struct PlannedShift<'a> {
    pub day: usize,
    pub start: Seconds,
    pub end: Seconds,
    pub work: Seconds,
    /// The break of a fixed shift; `None` for a flexible one.
    pub fixed_break: Option<Seconds>,
    reach: Seconds,
    shift: &'a Shift,
    name: Option<&'a str>,
}

impl PlannedShift<'_> {
    pub fn contains(&self, at: Seconds) -> bool {
        self.start <= at && at < self.end
    }

    /// Returns the end of the time in which an out may belong to the shift.
    pub fn reaches_until(&self) -> Seconds {
        self.end + self.reach
    }

    /// Returns the name, or the times of a shift without one.
    pub fn label(&self) -> String {
        match self.name {
            Some(name) => name.to_owned(),
            None => format!("{}–{}", self.shift.from, self.shift.to),
        }
    }
}

/// Workdays in a row, with their shifts.
pub(super) struct Timeline<'a> {
    pub terms: Terms<'a>,
    pub days: Vec<Workday<'a>>,
    /// By day, and by start within a day.
    pub shifts: Vec<PlannedShift<'a>>,
    /// Places in `shifts`, by start.
    by_start: Vec<usize>,
    longest: Seconds,
    reach: Seconds,
}

impl<'a> Timeline<'a> {
    /// Days around the dates in question, so that every punch has its workday and every shift that
    /// is near it is known.
    const MARGIN: i64 = 3;

    /// Lays out the workdays from some days before a date to some days after another.
    pub fn new(terms: Terms<'a>, from: Date, to: Date) -> Self {
        let from = shifted(from, -Self::MARGIN);
        let to = shifted(to, Self::MARGIN);
        let capacity = usize::try_from(days_between(from, to) + 1).unwrap_or_default();
        let mut timeline = Self {
            terms,
            days: Vec::with_capacity(capacity),
            shifts: Vec::with_capacity(capacity),
            by_start: Vec::new(),
            longest: 0,
            reach: 0,
        };
        let begin = |date: Date| {
            let rules = terms.rules.at(date);
            (
                rules,
                instant(terms.zone.time_zone(), rules.cut_off.on(date)),
            )
        };
        let (mut rules, mut begins) = begin(from);
        for date in dates(from, to) {
            let (next_rules, next_begins) = begin(next_date(date));
            timeline.add(date, begins, next_begins, rules);
            (rules, begins) = (next_rules, next_begins);
        }
        let shifts = &timeline.shifts;
        timeline.by_start = (0..shifts.len()).collect();
        timeline.by_start.sort_by_key(|place| shifts[*place].start);
        timeline
    }

    fn add(&mut self, date: Date, begins: Seconds, next: Seconds, rules: &'a Rules) {
        let terms = self.terms;
        let exists = begins < next;
        let first = self.shifts.len();
        if exists && terms.employed.contains(date) {
            for (name, shift) in terms.plan.on(date, terms.shifts) {
                let planned = self.place(date, name, shift, rules);
                self.longest = self.longest.max(planned.end - planned.start);
                self.reach = self.reach.max(planned.reach);
                self.shifts.push(planned);
            }
        }
        self.shifts[first..].sort_by_key(|shift| shift.start);
        let zone = self
            .shifts
            .get(first)
            .and_then(|first| first.shift.zone.as_ref());
        self.days.push(Workday {
            date,
            begins,
            exists,
            shifts: first..self.shifts.len(),
            zone: zone.unwrap_or(terms.zone),
            rules,
        });
    }

    fn place(
        &self,
        date: Date,
        name: Option<&'a str>,
        shift: &'a Shift,
        rules: &Rules,
    ) -> PlannedShift<'a> {
        let zone = shift.zone.as_ref().unwrap_or(self.terms.zone).time_zone();
        let overnight = shift.to.seconds() <= shift.from.seconds();
        let last = if overnight { next_date(date) } else { date };
        let start = instant(zone, shift.from.on(date));
        // Where clocks go forward between the two, the end can be read as earlier than the start.
        let end = instant(zone, shift.to.on(last)).max(start);
        let (work, fixed_break) = match shift.hours {
            ShiftHours::Flexible { work } => (work.seconds(), None),
            ShiftHours::Fixed { unpaid_break } => {
                let off = unpaid_break.seconds();
                ((end - start - off).max(0), Some(off))
            }
        };
        PlannedShift {
            day: self.days.len(),
            start,
            end,
            work,
            fixed_break,
            reach: rules.reach.seconds(),
            shift,
            name,
        }
    }

    /// Returns the shifts of a day.
    pub fn shifts_of(&self, day: usize) -> &[PlannedShift<'a>] {
        &self.shifts[self.days[day].shifts.clone()]
    }

    /// Returns the last workday that has begun.
    pub fn by_cut_off(&self, at: Seconds) -> usize {
        let begun = self.days.partition_point(|day| day.begins <= at);
        begun.saturating_sub(1)
    }

    /// Returns the next workday that exists, if an instant is on its date by the home calendar.
    pub fn next_by_calendar(&self, day: usize, at: Seconds) -> Option<usize> {
        let mut later = (day + 1)..self.days.len();
        let next = later.find(|next| self.days[*next].exists)?;
        let today = local_date(self.terms.zone.time_zone(), at);
        (self.days[next].date == today).then_some(next)
    }

    fn starting(&self, from: Seconds, to: Seconds) -> impl DoubleEndedIterator<Item = usize> {
        let start = |place: &usize| self.shifts[*place].start;
        let first = self.by_start.partition_point(|place| start(place) < from);
        let after = self.by_start.partition_point(|place| start(place) <= to);
        self.by_start[first..after.max(first)].iter().copied()
    }

    /// Returns the shifts to which an in may belong, by start.
    pub fn near_in(&self, at: Seconds) -> impl Iterator<Item = usize> {
        let near = self.starting(at - self.longest, at + self.reach);
        near.filter(move |place| {
            let shift = &self.shifts[*place];
            shift.start - shift.reach <= at && at < shift.end
        })
    }

    /// Returns the workday of an out or a break punch without a span.
    pub fn workday_of_stray(&self, at: Seconds) -> usize {
        let mut near = self.starting(at - self.longest - self.reach, at - 1);
        let last = near.rfind(|place| at <= self.shifts[*place].reaches_until());
        last.map_or_else(|| self.by_cut_off(at), |place| self.shifts[place].day)
    }
}
