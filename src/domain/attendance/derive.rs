//! From punches to workdays and weeks.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{Timestamp, civil::Date};

use super::{
    bands::bands,
    calendar::{Calendar, Leave},
    corrections::{Correction, TimedPunch, effective},
    day::{Day, DayBreak, DaySpan, Derived, Week},
    exceptions::ExceptionCode,
    excused::{Excused, excuse},
    lateness::{Judging, Presence},
    pairing::{Mark, Remark, Span, Walk},
    rules::{DayThreshold, RuleBook, Rules},
    steps::Step,
    stretch::overlap,
    time::{DateRange, Seconds, WallTime, dates, local_date, shifted, whole_second},
    timeline::{Terms, Timeline},
    worked::{Closed, Counting, Worked, short_break, taken},
};

/// Presence in time of leave that is still no work on leave.
const SHORT_VISIT: Seconds = 15 * 60;

/// Derives the workdays of a range, and the weeks that they are in.
///
/// The order of punches does not matter; corrections are in the order in which they were approved.
/// Both must go back to before the last time at which the employee was surely away, and before the
/// last workday that a short rest can be measured from; a month is plenty. A workday that the
/// calendar of the home zone leaves out is not in the answer. `as_of` is when it is asked: what
/// comes after it is neither absent nor missing yet.
pub fn derive(
    punches: &[TimedPunch],
    corrections: &[Correction],
    terms: Terms<'_>,
    calendar: Calendar<'_>,
    range: DateRange,
    as_of: Timestamp,
) -> Derived {
    let asked = asked(terms.rules, range);
    let mut derived = derive_dates(punches, corrections, terms, calendar, &asked, as_of);
    derived.days.retain(|day| range.contains(day.day));
    derived
}

/// Derives the workdays of a range without their weeks, which takes less time.
pub fn derive_days(
    punches: &[TimedPunch],
    corrections: &[Correction],
    terms: Terms<'_>,
    calendar: Calendar<'_>,
    range: DateRange,
    as_of: Timestamp,
) -> Vec<Day> {
    let asked = dates(range.from, range.to).collect();
    derive_dates(punches, corrections, terms, calendar, &asked, as_of).days
}

/// Derives the workdays of some dates, and the weeks that these make.
fn derive_dates(
    punches: &[TimedPunch],
    corrections: &[Correction],
    terms: Terms<'_>,
    calendar: Calendar<'_>,
    asked: &BTreeSet<Date>,
    as_of: Timestamp,
) -> Derived {
    let as_of = whole_second(as_of);
    let punches = effective(punches, corrections);
    let (Some(first), Some(last)) = (asked.first(), asked.last()) else {
        return Derived::default();
    };
    let date = |at| local_date(terms.zone.time_zone(), at);
    let first_punch = punches.first().map_or(*first, |punch| date(punch.at));
    let last_punch = punches.last().map_or(*last, |punch| date(punch.at));
    let timeline = Timeline::new(terms, first_punch.min(*first), last_punch.max(*last));

    let mut walk = Walk::new(&timeline);
    for punch in punches {
        walk.step(punch);
    }
    walk.finish(as_of);
    let presence = Presence::new(&walk.spans);
    let mut spans: Vec<_> = walk.spans.iter().collect();
    spans.sort_by_key(|span| span.place.day);
    walk.remarks.sort_by_key(|remark| remark.day);
    let mut leave: Vec<_> = calendar.leave.iter().collect();
    leave.sort_by_key(|leave| leave.day);

    let mut derived = Derived::default();
    let mut weeks = Weeks::default();
    let (mut spans, mut remarks) = (&spans[..], &walk.remarks[..]);
    let mut last_known = None;
    for (place, workday) in timeline.days.iter().enumerate() {
        let of_day = split_off(&mut spans, |span| span.place.day == place);
        let remarks = split_off(&mut remarks, |remark| remark.day == place);
        if workday.exists && asked.contains(&workday.date) {
            let first = leave.partition_point(|leave| leave.day < workday.date);
            let leave = leave[first..].iter().copied();
            let context = Context {
                timeline: &timeline,
                place,
                calendar,
                presence: &presence,
                spans: of_day,
                remarks,
                last_known,
                as_of,
            };
            let day = context.day(leave.take_while(|leave| leave.day == workday.date));
            weeks.add(terms.rules, &day);
            derived.days.push(day);
        }
        let known = of_day
            .iter()
            .map(|span| span.left.map_or(span.came.at, |left| left.at));
        last_known = last_known.max(known.max());
    }
    derived.weeks = weeks.finish(terms.rules);
    derived
}

/// Returns the dates of a range, and those of all weeks that they are in.
fn asked(rules: &RuleBook, range: DateRange) -> BTreeSet<Date> {
    let mut asked: BTreeSet<_> = dates(range.from, range.to).collect();
    let weeks: BTreeSet<_> = asked.iter().map(|date| rules.week_of(*date)).collect();
    for near in [
        (shifted(range.from, -6), range.from),
        (range.to, shifted(range.to, 6)),
    ] {
        let of_weeks = dates(near.0, near.1).filter(|date| weeks.contains(&rules.week_of(*date)));
        asked.extend(of_weeks);
    }
    asked
}

/// Returns the items at the front that fulfill a condition, and leaves the rest.
fn split_off<'a, T>(items: &mut &'a [T], condition: impl Fn(&T) -> bool) -> &'a [T] {
    let count = items.iter().take_while(|item| condition(item)).count();
    let (front, rest) = items.split_at(count);
    *items = rest;
    front
}

/// Everything that decides on a workday.
struct Context<'a> {
    timeline: &'a Timeline<'a>,
    place: usize,
    calendar: Calendar<'a>,
    presence: &'a Presence,
    spans: &'a [&'a Span],
    remarks: &'a [Remark],
    /// The last known instant of earlier workdays.
    last_known: Option<Seconds>,
    as_of: Seconds,
}

impl<'a> Context<'a> {
    fn rules(&self) -> &'a Rules {
        self.timeline.days[self.place].rules
    }

    fn wall(&self, at: Seconds) -> WallTime {
        WallTime::new(self.timeline.days[self.place].zone.time_zone(), at)
    }

    fn day<'l>(&self, leave: impl Iterator<Item = &'l Leave>) -> Day {
        let workday = &self.timeline.days[self.place];
        let rules = self.rules();
        let zone = workday.zone.time_zone();
        let mut steps = Vec::new();
        let mut codes: BTreeSet<_> = self.remarks.iter().map(|remark| remark.code).collect();

        self.explain_plan(&mut steps);
        let holiday = self.calendar.holidays.on(workday.date);
        let excused = excuse(self.timeline, self.place, holiday, leave, &mut steps);
        self.explain_spans(&mut steps);

        let closed: Vec<_> = self
            .spans
            .iter()
            .filter_map(|span| Closed::new(span))
            .collect();
        let clip = if rules.clip {
            excused.first_due()
        } else {
            None
        };
        let counting = Counting { rules, zone, clip };
        let counted = counting.count(&closed, rules.rounding, &mut steps);
        let rounded_by = match rules.rounding {
            None => 0,
            Some(_) => counted.worked - counting.count(&closed, None, &mut Vec::new()).worked,
        };

        let judging = Judging {
            timeline: self.timeline,
            day: self.place,
            excused: &excused,
            presence: self.presence,
            closed: &closed,
            has_spans: !self.spans.is_empty(),
            has_stray_out: codes.contains(&ExceptionCode::StrayOut),
            as_of: self.as_of,
        };
        let verdict = judging.judge(&mut steps);
        codes.extend(verdict.codes);
        let overtime = self.overtime(&excused, counted.worked, &mut steps);
        let holidays = self.calendar.holidays;
        let bands = bands(
            &rules.bands,
            &counted.time,
            counted.worked,
            zone,
            holidays,
            &mut steps,
        );
        for (code, step) in self.exceptions(&excused, &closed, &counted) {
            codes.insert(code);
            steps.push(step);
        }

        Day {
            day: workday.date,
            zone: workday.zone.clone(),
            spans: self.spans.iter().map(|span| self.span(span)).collect(),
            presence: closed.iter().map(|span| span.time().length()).sum(),
            worked: counted.worked,
            breaks: counted.breaks,
            paid_breaks: counted.paid_breaks,
            auto_break: counted.auto_break,
            rounded_by,
            planned: excused.planned,
            holiday: excused.holiday,
            leave: excused.leave,
            due: excused.due,
            balance: counted.worked - excused.due,
            late: verdict.late,
            early: verdict.early,
            overtime,
            bands,
            leave_by_kind: excused.leave_by_kind,
            exceptions: codes.into_iter().collect(),
            steps,
        }
    }

    fn explain_plan(&self, steps: &mut Vec<Step>) {
        for shift in self.timeline.shifts_of(self.place) {
            steps.push(Step::Planned {
                shift: shift.label(),
                from: self.wall(shift.start),
                to: self.wall(shift.end),
                flexible: shift.fixed_break.is_none(),
                unpaid_break: shift.fixed_break.unwrap_or_default(),
                amount: shift.work,
            });
        }
    }

    fn label(&self, span: &Span) -> Option<String> {
        let shift = span.place.shift?;
        Some(self.timeline.shifts[shift].label())
    }

    fn explain_spans(&self, steps: &mut Vec<Step>) {
        let mark = |mark: &Mark| (self.wall(mark.at), mark.punch);
        for span in self.spans {
            let (from, punch) = mark(&span.came);
            let (shift, by) = (self.label(span), span.place.by);
            steps.push(match span.left {
                None => Step::OpenSpan {
                    from,
                    punch,
                    shift,
                    by,
                },
                Some(left) => Step::Span {
                    from,
                    to: self.wall(left.at),
                    punches: [punch, left.punch],
                    shift,
                    by,
                },
            });
            steps.extend(span.breaks.iter().map(|(start, end)| Step::Break {
                from: self.wall(start.at),
                to: self.wall(end.at),
                punches: [start.punch, end.punch],
            }));
            steps.extend(span.on_break.as_ref().map(|start| {
                let (from, punch) = mark(start);
                Step::OpenBreak { from, punch }
            }));
        }
        steps.extend(self.remarks.iter().filter_map(|remark| {
            let (at, punch) = mark(&remark.mark);
            match remark.code {
                ExceptionCode::MissingOut => Some(Step::MissingOut { at, punch }),
                ExceptionCode::DoubleIn => Some(Step::DoubleIn { at, punch }),
                ExceptionCode::StrayOut => Some(Step::StrayOut { at, punch }),
                ExceptionCode::StrayBreak => Some(Step::StrayBreak { at, punch }),
                ExceptionCode::MissingBreakEnd => Some(Step::MissingBreakEnd { at, punch }),
                _ => None,
            }
        }));
    }

    fn span(&self, span: &Span) -> DaySpan {
        let ended = span.breaks.iter();
        let ended = ended.map(|(start, end)| (start, Some(self.wall(end.at))));
        let open = span.on_break.iter().map(|start| (start, None));
        let breaks = ended.chain(open).map(|(start, end)| DayBreak {
            start: self.wall(start.at),
            end,
        });
        DaySpan {
            came: self.wall(span.came.at),
            left: span.left.map(|left| self.wall(left.at)),
            breaks: breaks.collect(),
            shift: self.label(span),
        }
    }

    /// Returns whether the employee has a plan at all.
    fn is_planned(&self) -> bool {
        !self.timeline.terms.plan.is_open()
    }

    fn overtime(&self, excused: &Excused, worked: Seconds, steps: &mut Vec<Step>) -> Seconds {
        let rules = self.rules();
        let threshold = match rules.overtime_day {
            DayThreshold::Plan if self.is_planned() => excused.threshold(),
            DayThreshold::Fixed(length) => length.seconds(),
            DayThreshold::Plan | DayThreshold::None => return 0,
        };
        let (amount, least) = (worked - threshold, rules.overtime_min.seconds());
        if amount <= 0 {
            return 0;
        }
        if amount < least {
            steps.push(Step::OvertimeTooShort {
                threshold,
                amount,
                least,
            });
            return 0;
        }
        steps.push(Step::Overtime { threshold, amount });
        amount
    }

    /// Returns the exceptions beyond those of punches and of lateness.
    fn exceptions(
        &self,
        excused: &Excused,
        closed: &[Closed<'_>],
        counted: &Worked,
    ) -> Vec<(ExceptionCode, Step)> {
        let workday = &self.timeline.days[self.place];
        let rules = self.rules();
        let mut found = Vec::new();
        if !closed.is_empty() {
            if !self.timeline.terms.employed.contains(workday.date) {
                found.push((ExceptionCode::OutsideEmployment, Step::OutsideEmployment));
            } else if self.is_planned() && workday.shifts.is_empty() {
                found.push((ExceptionCode::Unplanned, Step::Unplanned));
            }
        }
        let on_leave = closed
            .iter()
            .map(|span| overlap(span.time(), &excused.leave_time));
        let amount = on_leave.sum();
        if excused.leave > 0 && amount > SHORT_VISIT {
            found.push((ExceptionCode::WorkOnLeave, Step::WorkOnLeave { amount }));
        }
        let shifts = self.timeline.shifts_of(self.place).iter();
        let planned = shifts.filter_map(|shift| shift.fixed_break).sum();
        let taken = taken(closed) + counted.auto_break;
        if excused.due > 0 && planned > taken && counted.worked > excused.threshold() {
            found.push((
                ExceptionCode::BreakNotTaken,
                Step::BreakNotTaken { planned, taken },
            ));
        }
        if let Some(step) = short_break(rules, closed) {
            found.push((ExceptionCode::ShortBreak, step));
        }
        if let Some(most) = rules.max_day
            && counted.worked > most.seconds()
        {
            let (amount, most) = (counted.worked, most.seconds());
            found.push((ExceptionCode::LongDay, Step::LongDay { amount, most }));
        }
        if let (Some(least), Some(last), Some(first)) =
            (rules.min_rest, self.last_known, self.spans.first())
        {
            let (first, least) = (first.came.at, least.seconds());
            if first - last < least {
                let step = Step::ShortRest {
                    last: self.wall(last),
                    first: self.wall(first),
                    rest: first - last,
                    least,
                };
                found.push((ExceptionCode::ShortRest, step));
            }
        }
        found
    }
}

/// Sums of weeks.
#[derive(Default)]
struct Weeks(BTreeMap<Date, (Week, Seconds)>);

impl Weeks {
    fn add(&mut self, rules: &RuleBook, day: &Day) {
        let starts = rules.week_of(day.day);
        let (week, overtime) = self.0.entry(starts).or_insert_with(|| {
            let week = Week {
                starts,
                ends: day.day,
                worked: 0,
                overtime: 0,
                blocked: false,
            };
            (week, 0)
        });
        week.ends = day.day;
        week.worked += day.worked;
        week.blocked |= day.is_blocked();
        *overtime += day.overtime;
    }

    /// Returns the weeks with their overtime. The rules of a week are those of its last day.
    fn finish(self, rules: &RuleBook) -> Vec<Week> {
        let weeks = self.0.into_values().map(|(mut week, of_days)| {
            if let Some(threshold) = rules.at(week.ends).overtime_week {
                week.overtime = (week.worked - of_days - threshold.seconds()).max(0);
            }
            week
        });
        weeks.collect()
    }
}
