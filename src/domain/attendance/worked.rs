//! Worked time of a workday: rounding, coming early, breaks, and the automatic break, in this
//! order.

use jiff::tz::TimeZone;

use super::{
    pairing::{Mark, Span},
    rules::{BreakMode, BreakRule, Rounded, Rounding, RoundingMode, Rules},
    steps::Step,
    stretch::{Stretch, take_off, total},
    time::{Length, Seconds, WallTime, timestamp},
};

/// A span with an out.
#[derive(Clone, Copy)]
pub(super) struct Closed<'a> {
    pub came: Mark,
    pub left: Mark,
    pub breaks: &'a [(Mark, Mark)],
}

impl<'a> Closed<'a> {
    pub fn new(span: &'a Span) -> Option<Self> {
        Some(Self {
            came: span.came,
            left: span.left?,
            breaks: &span.breaks,
        })
    }

    /// Returns the presence, as punched.
    pub fn time(self) -> Stretch {
        Stretch::new(self.came.at, self.left.at)
    }

    /// Returns the breaks, as punched.
    pub fn breaks(self) -> impl Iterator<Item = Stretch> {
        let breaks = self.breaks.iter();
        breaks.map(|(start, end)| Stretch::new(start.at, end.at))
    }
}

/// Returns the times between closed spans, as punched.
pub(super) fn between(spans: &[Closed<'_>]) -> impl Iterator<Item = Stretch> {
    let pairs = spans.windows(2);
    pairs.map(|pair| Stretch::new(pair[0].left.at, pair[1].came.at))
}

/// Worked time.
pub(super) struct Worked {
    pub worked: Seconds,
    /// Unpaid breaks.
    pub breaks: Seconds,
    pub paid_breaks: Seconds,
    pub auto_break: Seconds,
    /// What was worked before the automatic break.
    pub time: Vec<Stretch>,
}

/// What decides on the worked time of a workday.
pub(super) struct Counting<'a> {
    pub rules: &'a Rules,
    pub zone: &'a TimeZone,
    /// The first due instant, if time before it does not count.
    pub clip: Option<Seconds>,
}

impl Counting<'_> {
    fn wall(&self, at: Seconds) -> WallTime {
        WallTime::new(self.zone, at)
    }

    fn ends(&self, time: Stretch) -> (WallTime, WallTime) {
        (self.wall(time.from), self.wall(time.to))
    }

    /// Counts the closed spans of a workday, which are in order of time.
    pub fn count(
        &self,
        spans: &[Closed<'_>],
        rounding: Option<Rounding>,
        steps: &mut Vec<Step>,
    ) -> Worked {
        let counted = self.counted_spans(spans, rounding, steps);
        let mut result = self.with_breaks(spans, &counted, steps);
        self.deduct_break(spans, &mut result, steps);
        if let Some(rounding) = rounding
            && rounding.of == Rounded::Day
        {
            let step = rounding.to.seconds();
            let from = result.worked;
            let rest = from % step;
            let up = match rounding.mode {
                RoundingMode::Nearest => 2 * rest >= step,
                RoundingMode::Employee => rest > 0,
            };
            let to = from - rest + if up { step } else { 0 };
            if to != from {
                result.worked = to;
                steps.push(Step::RoundedDay { from, to, step });
            }
        }
        result
    }

    /// Rounds the first in and the last out, and cuts off what comes before the first due instant.
    fn counted_spans(
        &self,
        spans: &[Closed<'_>],
        rounding: Option<Rounding>,
        steps: &mut Vec<Step>,
    ) -> Vec<Stretch> {
        let mut counted: Vec<_> = spans.iter().map(|span| span.time()).collect();
        if let Some(rounding) = rounding
            && rounding.of == Rounded::Punch
        {
            let step = rounding.to.seconds();
            if let Some(first) = counted.first_mut() {
                let from = first.from;
                first.from = self.round(from, rounding, true);
                if first.from != from {
                    let (from, to) = (self.wall(from), self.wall(first.from));
                    steps.push(Step::RoundedIn { from, to, step });
                }
            }
            if let Some(last) = counted.last_mut() {
                let from = last.to;
                last.to = self.round(from, rounding, false);
                if last.to != from {
                    let (from, to) = (self.wall(from), self.wall(last.to));
                    steps.push(Step::RoundedOut { from, to, step });
                }
            }
        }
        if let Some(due) = self.clip {
            let before = total(&counted);
            for span in &mut counted {
                span.from = span.from.max(due);
            }
            let amount = before - total(&counted);
            if amount > 0 {
                let until = self.wall(due);
                steps.push(Step::Clipped { until, amount });
            }
        }
        for (span, counted) in spans.iter().zip(&counted) {
            if counted.is_empty() {
                let (from, to) = self.ends(span.time());
                steps.push(Step::NotCounted { from, to });
            }
        }
        counted
    }

    /// Rounds an in or an out to the grid of the wall clock.
    fn round(&self, at: Seconds, rounding: Rounding, is_in: bool) -> Seconds {
        let step = rounding.to.seconds();
        let offset = self.zone.to_offset(timestamp(at)).seconds();
        let rest = (at + Seconds::from(offset)).rem_euclid(step);
        let down = match rounding.mode {
            RoundingMode::Nearest if is_in => 2 * rest <= step,
            RoundingMode::Nearest => 2 * rest < step,
            RoundingMode::Employee => is_in || rest == 0,
        };
        at - rest + if down { 0 } else { step }
    }

    /// Takes off unpaid breaks, and adds paid time between spans.
    fn with_breaks(
        &self,
        spans: &[Closed<'_>],
        counted: &[Stretch],
        steps: &mut Vec<Step>,
    ) -> Worked {
        let paid = self.rules.paid_breaks;
        let mut budget = paid
            .and_then(|paid| paid.total)
            .map_or(Seconds::MAX, Length::seconds);
        // Pays what the budget allows of what is left of a pause, from its start.
        let mut pay = |pause: Stretch, left: Stretch| -> Seconds {
            let short = paid.is_some_and(|paid| pause.length() <= paid.up_to.seconds());
            let amount = if short { left.length().min(budget) } else { 0 };
            budget -= amount;
            amount
        };
        let mut time: Vec<_> = counted
            .iter()
            .copied()
            .filter(|span| !span.is_empty())
            .collect();
        let bounds = match (
            time.iter().map(|span| span.from).min(),
            time.iter().map(|span| span.to).max(),
        ) {
            (Some(from), Some(to)) => Stretch::new(from, to),
            _ => Stretch::new(0, 0),
        };
        let (mut breaks, mut paid_breaks) = (0, 0);
        let mut gaps = between(spans);
        for (span, counted) in spans.iter().zip(counted) {
            for pause in span.breaks() {
                let left = pause.and(*counted);
                let amount = pay(pause, left);
                let unpaid = Stretch::new(left.from + amount, left.to);
                let (from, to) = self.ends(pause);
                if amount > 0 {
                    paid_breaks += amount;
                    steps.push(Step::PaidBreak { from, to, amount });
                }
                if !unpaid.is_empty() {
                    let amount = unpaid.length();
                    breaks += amount;
                    take_off(&mut time, unpaid);
                    steps.push(Step::UnpaidBreak { from, to, amount });
                }
            }
            if let Some(gap) = gaps.next() {
                let left = gap.and(bounds);
                let amount = pay(gap, left);
                if amount > 0 {
                    paid_breaks += amount;
                    time.push(Stretch::new(left.from, left.from + amount));
                    let (from, to) = self.ends(gap);
                    steps.push(Step::PaidBetween { from, to, amount });
                }
            }
        }
        Worked {
            worked: total(&time),
            breaks,
            paid_breaks,
            auto_break: 0,
            time,
        }
    }

    /// Deducts the break that was not taken, never below the hours that ask for it.
    fn deduct_break(&self, spans: &[Closed<'_>], worked: &mut Worked, steps: &mut Vec<Step>) {
        let Some(rule) = &self.rules.breaks else {
            return;
        };
        if rule.mode != BreakMode::Deduct {
            return;
        }
        let mut taken = taken(spans);
        for (after, total) in ascending(rule) {
            let amount = (total - taken).min(worked.worked - after).max(0);
            if amount > 0 {
                steps.push(Step::AutoBreak {
                    after,
                    total,
                    taken,
                    amount,
                });
            }
            worked.worked -= amount;
            worked.auto_break += amount;
            taken += amount;
        }
    }
}

/// Returns the steps of a rule as seconds, by the hours that ask for a break.
fn ascending(rule: &BreakRule) -> Vec<(Seconds, Seconds)> {
    let steps = rule.steps.iter();
    let mut steps: Vec<_> = steps
        .map(|step| (step.after.seconds(), step.total.seconds()))
        .collect();
    steps.sort_unstable();
    steps
}

/// Returns all punched breaks and times between spans, paid or not, as punched.
pub(super) fn taken(spans: &[Closed<'_>]) -> Seconds {
    let breaks = spans.iter().flat_map(|span| span.breaks());
    breaks.chain(between(spans)).map(Stretch::length).sum()
}

/// Returns the first step of a watched rule that the breaks do not fulfill.
pub(super) fn short_break(rules: &Rules, spans: &[Closed<'_>]) -> Option<Step> {
    let rule = rules.breaks.as_ref()?;
    if rule.mode != BreakMode::Warn {
        return None;
    }
    let presence: Seconds = spans.iter().map(|span| span.time().length()).sum();
    let breaks = || spans.iter().flat_map(|span| span.breaks());
    let work = presence - breaks().map(Stretch::length).sum::<Seconds>();
    let pieces = breaks().chain(between(spans)).map(Stretch::length);
    let taken = pieces.filter(|piece| *piece >= rule.piece.seconds()).sum();
    let mut steps = ascending(rule).into_iter();
    let (after, total) = steps.find(|(after, total)| work > *after && taken < *total)?;
    Some(Step::ShortBreak {
        after,
        total,
        taken,
    })
}
