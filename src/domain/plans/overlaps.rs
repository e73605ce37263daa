//! Shifts of one employee in time, and those that overlap, which no entry may bring about.

use jiff::{
    SignedDuration, Span, Timestamp,
    civil::{Date, Time},
};

use crate::domain::{
    attendance::{DateRange, Plan, Shift, plan::ShiftKinds},
    sites::Zone,
};

/// A shift on a date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedOn {
    /// The name of the shift.
    pub shift: String,
    /// The date.
    pub day: Date,
}

/// Two shifts of one employee that overlap. One may start when the other ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlap {
    /// The one that starts first.
    pub first: PlannedOn,
    /// The other one.
    pub second: PlannedOn,
}

/// A shift of a date, and the instants between which it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedShift {
    /// The name of the shift.
    pub name: String,
    /// The date.
    pub day: Date,
    /// When it starts.
    pub from: Timestamp,
    /// When it ends.
    pub to: Timestamp,
}

/// Returns the shifts of a plan on some dates, in the order of the dates. `home` is the zone of
/// shifts that name none.
pub fn planned_shifts(
    plan: &Plan,
    kinds: &ShiftKinds,
    home: &Zone,
    range: DateRange,
) -> Vec<PlannedShift> {
    let days = range.from.series(Span::new().days(1));
    let days = days.take_while(|day| *day <= range.to);
    let shifts = days.flat_map(|day| {
        on(plan, kinds, day).map(move |(name, shift)| {
            let (from, to) = instants(shift, home, day);
            let name = name.to_owned();
            PlannedShift {
                name,
                day,
                from,
                to,
            }
        })
    });
    shifts.collect()
}

/// Returns the first two shifts of a plan that overlap, among those of some dates in ascending
/// order. `home` is the zone of shifts that name none.
pub fn first_overlap(
    plan: &Plan,
    kinds: &ShiftKinds,
    home: &Zone,
    dates: impl IntoIterator<Item = Date>,
) -> Option<Overlap> {
    let mut shifts: Vec<_> = dates
        .into_iter()
        .filter(|day| exists(home, *day))
        .flat_map(|day| on(plan, kinds, day).map(move |(name, shift)| (day, name, shift)))
        .map(|(day, name, shift)| (instants(shift, home, day), day, name))
        .collect();
    shifts.sort_by_key(|(instants, ..)| *instants);
    let mut pairs = shifts.windows(2);
    pairs.find_map(|pair| {
        let [first, second] = pair else { return None };
        let planned = |(_, day, name): &(_, Date, &str)| PlannedOn {
            shift: (*name).to_owned(),
            day: *day,
        };
        (second.0.0 < first.0.1).then(|| Overlap {
            first: planned(first),
            second: planned(second),
        })
    })
}

/// Checks whether a zone has a date. One that the calendar left out has no shifts.
fn exists(zone: &Zone, day: Date) -> bool {
    let begins = |day: Date| {
        let begins = zone.time_zone().to_ambiguous_timestamp(day.into());
        begins.compatible().unwrap_or(Timestamp::MAX)
    };
    day.tomorrow().is_ok_and(|next| begins(day) < begins(next))
}

/// Returns the shifts of a date with their names.
fn on<'a>(
    plan: &'a Plan,
    kinds: &'a ShiftKinds,
    day: Date,
) -> impl Iterator<Item = (&'a str, &'a Shift)> {
    let single = plan.days.get(&day);
    let mut made = plan.assignments.iter().rev();
    let covers = |to: Option<Date>| to.is_none_or(|to| day <= to);
    let assignment = made.find(|made| made.from <= day && covers(made.to));
    let cycle = assignment.filter(|_| single.is_none());
    let of_cycle = cycle.and_then(|made| kinds.get_key_value(made.cycle.on(day)));
    let entered = single.into_iter().flatten();
    of_cycle
        .map(|(name, shift)| (name.as_str(), shift))
        .into_iter()
        .chain(entered.map(|shift| (shift.name.as_deref().unwrap_or_default(), shift)))
}

/// Returns when a shift of a date starts and ends.
fn instants(shift: &Shift, home: &Zone, day: Date) -> (Timestamp, Timestamp) {
    let zone = shift.zone.as_ref().unwrap_or(home).time_zone();
    let (from, to) = (shift.from.seconds(), shift.to.seconds());
    let at = |seconds: u32| {
        let clock = day.to_datetime(Time::midnight());
        let clock = clock.checked_add(SignedDuration::from_secs(seconds.into()));
        let read = clock.map(|clock| zone.to_ambiguous_timestamp(clock).compatible());
        read.and_then(|at| at).unwrap_or(Timestamp::MAX)
    };
    (at(from), at(if to <= from { to + 86_400 } else { to }))
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::domain::attendance::{Assignment, Cycle};

    fn shift(from: &str, to: &str, zone: Option<&str>) -> Shift {
        let mut json = serde_json::json!({ "name": from, "from": from, "to": to });
        if let Some(zone) = zone {
            json["zone"] = zone.into();
        }
        serde_json::from_value(json).unwrap()
    }

    fn overlap(days: &[(i8, &str, &str, Option<&str>)]) -> Option<Overlap> {
        let mut plan = Plan::default();
        for (day, from, to, zone) in days {
            let entry = plan.days.entry(date(2026, 3, *day)).or_default();
            entry.push(shift(from, to, *zone));
        }
        let home = Zone::parse("Europe/Berlin").unwrap();
        let dates = plan.days.keys().copied().collect::<Vec<_>>();
        first_overlap(&plan, &ShiftKinds::new(), &home, dates)
    }

    #[test]
    fn shifts_overlap_across_midnight_zones_and_clock_changes() {
        let found = overlap(&[(2, "22:00", "06:00", None), (3, "05:00", "13:00", None)]).unwrap();
        assert_eq!(
            (found.first.shift, found.first.day),
            ("22:00".into(), date(2026, 3, 2))
        );
        assert_eq!(
            (found.second.shift, found.second.day),
            ("05:00".into(), date(2026, 3, 3))
        );
        // One starts when another ends; 24 hours in a row.
        assert_eq!(
            overlap(&[(2, "22:00", "06:00", None), (3, "06:00", "14:00", None)]),
            None
        );
        assert_eq!(
            overlap(&[(2, "08:00", "08:00", None), (3, "08:00", "24:00", None)]),
            None
        );
        assert!(overlap(&[(2, "08:00", "12:00", None), (2, "11:00", "13:00", None)]).is_some());
        // 08:00 in London is 09:00 in Berlin.
        let london = Some("Europe/London");
        assert!(overlap(&[(2, "09:00", "10:00", None), (2, "08:00", "09:00", london)]).is_some());
        assert_eq!(
            overlap(&[(2, "08:00", "09:00", None), (2, "08:00", "09:00", london)]),
            None
        );
        // In the night of the 29th, 02:30 is 03:30.
        let gap = |day| {
            [
                (day, "20:00", "02:30", None),
                (day + 1, "03:00", "09:00", None),
            ]
        };
        assert!(overlap(&gap(28)).is_some() && overlap(&gap(27)).is_none());
    }

    #[test]
    fn a_single_day_replaces_the_cycle_and_is_compared_with_its_neighbors() {
        let mut kinds = ShiftKinds::new();
        kinds.insert("N".into(), shift("22:00", "06:00", None));
        let cycle = Cycle {
            starts: date(2026, 3, 2),
            days: vec!["N".into()],
        };
        let mut plan = Plan::default();
        plan.assignments.push(Assignment {
            from: date(2026, 3, 2),
            to: None,
            cycle,
        });
        let dates = || (2..9).map(|day| date(2026, 3, day));
        assert_eq!(first_overlap(&plan, &kinds, &Zone::UTC, dates()), None);
        let early = vec![shift("05:00", "13:00", None)];
        plan.days.insert(date(2026, 3, 4), early);
        let found = first_overlap(&plan, &kinds, &Zone::UTC, dates()).unwrap();
        assert_eq!(
            (found.first.shift.as_str(), found.first.day),
            ("N", date(2026, 3, 3))
        );
        plan.days.insert(date(2026, 3, 3), Vec::new());
        assert_eq!(first_overlap(&plan, &kinds, &Zone::UTC, dates()), None);
    }

    #[test]
    fn a_date_that_the_calendar_left_out_has_no_shifts() {
        let apia = Zone::parse("Pacific/Apia").unwrap();
        let mut plan = Plan::default();
        for day in [date(2011, 12, 30), date(2011, 12, 31)] {
            plan.days.insert(day, vec![shift("08:00", "16:00", None)]);
        }
        let days = plan.days.keys().copied();
        let found = |zone| first_overlap(&plan, &ShiftKinds::new(), zone, days.clone());
        assert_eq!((found(&apia), found(&Zone::UTC)), (None, None));
    }
}
