//! What changed after figures were approved.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::{
    day::{Day, Derived, Week},
    time::Seconds,
};

/// The differences between what was approved of a day or a week and what is now known of it. It is
/// paid in the first open period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adjustment {
    /// What it is for.
    #[serde(flatten)]
    pub of: Adjusted,
    /// The difference in worked time.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub worked: Seconds,
    /// The difference in overtime.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub overtime: Seconds,
    /// The difference in what was planned.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub planned: Seconds,
    /// The difference in what a holiday took off.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub holiday: Seconds,
    /// The difference in what leave took off.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub leave: Seconds,
    /// The differences in bands, without those that are the same.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub bands: BTreeMap<String, Seconds>,
    /// What `leave` is made of: the differences by kind of leave, without those that are the same.
    /// Another kind for the same time is no adjustment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub leave_by_kind: BTreeMap<String, Seconds>,
    /// Whether it waits until a blocking exception is settled.
    #[serde(default)]
    pub held: bool,
}

/// What an adjustment is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Adjusted {
    /// A workday.
    Day(Date),
    /// The week that starts on the date.
    Week(Date),
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(figure: &Seconds) -> bool {
    *figure == 0
}

impl Adjustment {
    fn new(of: Adjusted, held: bool) -> Self {
        Self {
            of,
            worked: 0,
            overtime: 0,
            planned: 0,
            holiday: 0,
            leave: 0,
            bands: BTreeMap::new(),
            leave_by_kind: BTreeMap::new(),
            held,
        }
    }

    fn of_day(locked: &Day, derived: &Day) -> Self {
        Self {
            worked: derived.worked - locked.worked,
            overtime: derived.overtime - locked.overtime,
            planned: derived.planned - locked.planned,
            holiday: derived.holiday - locked.holiday,
            leave: derived.leave - locked.leave,
            bands: differences(&locked.bands, &derived.bands),
            leave_by_kind: differences(&locked.leave_by_kind, &derived.leave_by_kind),
            ..Self::new(Adjusted::Day(locked.day), derived.is_blocked())
        }
    }

    fn of_week(locked: &Week, derived: &Week) -> Self {
        Self {
            overtime: derived.overtime - locked.overtime,
            ..Self::new(Adjusted::Week(locked.starts), derived.blocked)
        }
    }

    /// Returns the difference in the balance.
    pub fn balance(&self) -> Seconds {
        self.worked - (self.planned - self.holiday - self.leave)
    }

    /// Returns the differences by their names, without bands.
    pub fn figures(&self) -> [(&'static str, Seconds); 5] {
        [
            ("worked", self.worked),
            ("overtime", self.overtime),
            ("planned", self.planned),
            ("holiday", self.holiday),
            ("leave", self.leave),
        ]
    }

    fn take_off(&mut self, settled: &Self) {
        self.worked -= settled.worked;
        self.overtime -= settled.overtime;
        self.planned -= settled.planned;
        self.holiday -= settled.holiday;
        self.leave -= settled.leave;
        self.bands = differences(&settled.bands, &self.bands);
        self.leave_by_kind = differences(&settled.leave_by_kind, &self.leave_by_kind);
    }

    fn is_nothing(&self) -> bool {
        self.bands.is_empty() && self.figures().iter().all(|(_, figure)| *figure == 0)
    }
}

/// Returns what figures by name are more than others, without those that are the same.
fn differences(
    than: &BTreeMap<String, Seconds>,
    figures: &BTreeMap<String, Seconds>,
) -> BTreeMap<String, Seconds> {
    let names: BTreeSet<_> = than.keys().chain(figures.keys()).collect();
    let figure = |of: &BTreeMap<String, Seconds>, name| of.get(name).copied().unwrap_or_default();
    let all = names
        .into_iter()
        .map(|name| (name.clone(), figure(figures, name) - figure(than, name)));
    all.filter(|(_, difference)| *difference != 0).collect()
}

/// Compares locked days and weeks with what is derived now; days first, each in order of date.
///
/// `locked` has the days that were approved, and the weeks whose last day is among them or before
/// them; a week that is only partly locked is not in it. `derived` has at least these days and
/// weeks. Lateness is not adjusted, and neither are days or weeks that `derived` does not have.
pub fn adjust(locked: &Derived, derived: &Derived) -> Vec<Adjustment> {
    outstanding(locked, derived, [])
}

/// Returns what of the adjustments is left after some were settled. If a day is what was approved
/// again, what was settled of it is left with the opposite sign.
pub fn outstanding<'a>(
    locked: &Derived,
    derived: &Derived,
    settled: impl IntoIterator<Item = &'a Adjustment>,
) -> Vec<Adjustment> {
    let now: BTreeMap<_, _> = derived.days.iter().map(|day| (day.day, day)).collect();
    let days = locked.days.iter().filter_map(|locked| {
        let derived = now.get(&locked.day)?;
        Some(Adjustment::of_day(locked, derived))
    });
    let now: BTreeMap<_, _> = derived
        .weeks
        .iter()
        .map(|week| (week.starts, week))
        .collect();
    let weeks = locked.weeks.iter().filter_map(|locked| {
        let derived = now.get(&locked.starts)?;
        Some(Adjustment::of_week(locked, derived))
    });
    let mut all: Vec<_> = days.chain(weeks).collect();
    let mut places: BTreeMap<_, _> = BTreeMap::new();
    for (place, one) in all.iter().enumerate() {
        places.entry(one.of).or_insert(place);
    }
    for settled in settled {
        if let Some(place) = places.get(&settled.of) {
            all[*place].take_off(settled);
        }
    }
    all.retain(|adjustment| !adjustment.is_nothing());
    all
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::super::super::sites::Zone;
    use super::*;

    fn day(worked: Seconds, night: Seconds) -> Derived {
        let day = Day {
            day: date(2026, 3, 2),
            zone: Zone::UTC,
            spans: Vec::new(),
            presence: worked,
            worked,
            breaks: 0,
            paid_breaks: 0,
            auto_break: 0,
            rounded_by: 0,
            planned: 0,
            holiday: 0,
            leave: 0,
            leave_by_kind: BTreeMap::new(),
            due: 0,
            balance: worked,
            late: 0,
            early: 0,
            overtime: 0,
            bands: BTreeMap::from([("night".to_owned(), night)]),
            exceptions: Vec::new(),
            steps: Vec::new(),
        };
        let week = Week {
            starts: day.day,
            ends: date(2026, 3, 8),
            worked,
            overtime: worked / 2,
            blocked: false,
        };
        Derived {
            days: vec![day],
            weeks: vec![week],
        }
    }

    #[test]
    fn what_was_settled_is_not_outstanding_again() {
        let (locked, changed) = (day(100, 10), day(80, 4));
        let settled = adjust(&locked, &changed);
        assert_eq!((settled[0].worked, settled[0].bands["night"]), (-20, -6));
        assert_eq!(settled[1].overtime, -10);
        assert_eq!(outstanding(&locked, &changed, &settled), []);
        // Later changes are the difference to what was settled.
        let later = outstanding(&locked, &day(90, 4), &settled);
        assert_eq!((later[0].worked, later[0].bands.len()), (10, 0));
        let twice: Vec<_> = settled.iter().chain(&later).collect();
        assert_eq!(outstanding(&locked, &day(90, 4), twice), []);
        // What was settled of a day that is as approved again is given back.
        let back = outstanding(&locked, &locked, &settled);
        assert_eq!((back[0].worked, back[0].bands["night"]), (20, 6));
    }

    #[test]
    fn what_was_settled_of_a_day_that_is_not_locked_is_left_out() {
        let settled = adjust(&day(100, 10), &day(80, 4));
        assert_eq!(outstanding(&Derived::default(), &day(80, 4), &settled), []);
    }
}
