//! Periods: which dates a timesheet covers.

use jiff::civil::{Date, Weekday};
use serde::{Deserialize, Serialize};

use super::time::{DateRange, days_between, shifted};

/// The most days of a period.
pub const LONGEST_PERIOD: i64 = 31;

/// The length of a timesheet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// A week as the rules begin it.
    Week,
    /// Two such weeks.
    TwoWeeks,
    /// From the 1st to the 15th, and from the 16th to the end of the month.
    HalfMonth,
    /// A month of the calendar.
    #[default]
    Month,
}

/// A division of the calendar into periods. Two that are equal have the same periods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Grid(Kind);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Kind {
    #[default]
    Month,
    HalfMonth,
    /// Periods of `length` days, of which one begins `offset` days after the origin.
    Days {
        length: i64,
        offset: i64,
    },
}

impl Grid {
    /// A date in the first week of a two-week period, where a site has stated none: a Monday.
    pub const ORIGIN: Date = jiff::civil::date(2026, 1, 5);

    /// Returns the periods of a length.
    ///
    /// Weeks begin on `week_starts`. Two-week periods are counted from the week with `anchor`, by
    /// default [`Grid::ORIGIN`]; other lengths have no use for it.
    pub fn new(period: Period, week_starts: Weekday, anchor: Option<Date>) -> Self {
        let weeks = |length: i64, anchor: Date| {
            let first = shifted(anchor, -i64::from(week_starts.until(anchor.weekday())));
            let offset = days_after_origin(first).rem_euclid(length);
            Kind::Days { length, offset }
        };
        Self(match period {
            Period::Month => Kind::Month,
            Period::HalfMonth => Kind::HalfMonth,
            Period::Week => weeks(7, Self::ORIGIN),
            Period::TwoWeeks => weeks(14, anchor.unwrap_or(Self::ORIGIN)),
        })
    }

    /// Returns the period of a date.
    fn around(self, date: Date) -> DateRange {
        let (first, last) = (date.first_of_month(), date.last_of_month());
        let middle = shifted(first, 14);
        match self.0 {
            Kind::Month => DateRange {
                from: first,
                to: last,
            },
            Kind::HalfMonth if date <= middle => DateRange {
                from: first,
                to: middle,
            },
            Kind::HalfMonth => DateRange {
                from: shifted(middle, 1),
                to: last,
            },
            Kind::Days { length, offset } => {
                let place = (days_after_origin(date) - offset).rem_euclid(length);
                DateRange {
                    from: shifted(date, -place),
                    to: shifted(date, length - 1 - place),
                }
            }
        }
    }
}

fn days_after_origin(date: Date) -> i64 {
    days_between(Grid::ORIGIN, date)
}

/// The periods of a site over time: months, until its rules say something else.
///
/// Where other periods begin to hold, the last old one ends on the day before, and the first new one
/// begins there. Both may be shorter than usual.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Periods {
    /// The first date of each grid but the first one, in order. Neighbors differ.
    later: Vec<(Date, Grid)>,
}

impl Periods {
    /// Returns the periods that hold from dates on; before the first date, they are months.
    pub fn new(mut from: Vec<(Date, Grid)>) -> Self {
        from.sort_by_key(|(from, _)| *from);
        let mut later: Vec<(Date, Grid)> = Vec::new();
        for (from, grid) in from {
            let present = later.last().map_or(Grid::default(), |(_, grid)| *grid);
            if grid != present {
                later.push((from, grid));
            }
        }
        Self { later }
    }

    /// Returns the period that a workday belongs to.
    pub fn at(&self, day: Date) -> DateRange {
        let next = self.later.partition_point(|(from, _)| *from <= day);
        let present = next.checked_sub(1).map(|index| self.later[index]);
        let grid = present.map_or(Grid::default(), |(_, grid)| grid);
        let mut period = grid.around(day);
        if let Some((from, _)) = present {
            period.from = period.from.max(from);
        }
        if let Some((next, _)) = self.later.get(next) {
            period.to = period.to.min(shifted(*next, -1));
        }
        period
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;

    fn span(periods: &Periods, day: Date) -> (String, String) {
        let period = periods.at(day);
        (period.from.to_string(), period.to.to_string())
    }

    fn from(day: Date, period: Period, week_starts: Weekday) -> (Date, Grid) {
        (day, Grid::new(period, week_starts, None))
    }

    fn periods(period: Period, week_starts: Weekday) -> Periods {
        Periods::new(vec![from(date(2000, 1, 1), period, week_starts)])
    }

    fn assert_period(periods: &Periods, day: Date, first: &str, last: &str) {
        assert_eq!(
            span(periods, day),
            (first.to_owned(), last.to_owned()),
            "{day}"
        );
    }

    #[test]
    fn a_period_is_a_month_where_no_rules_say_otherwise() {
        let months = Periods::default();
        assert_period(&months, date(2028, 2, 29), "2028-02-01", "2028-02-29");
        let same = from(date(2028, 2, 10), Period::Month, Weekday::Sunday);
        assert_eq!(Periods::new(vec![same]), months);
    }

    #[test]
    fn each_length_covers_the_dates_that_it_says() {
        let day = date(2026, 3, 18);
        let weeks = periods(Period::Week, Weekday::Monday);
        assert_period(&weeks, day, "2026-03-16", "2026-03-22");
        let weeks = periods(Period::Week, Weekday::Sunday);
        assert_period(&weeks, day, "2026-03-15", "2026-03-21");
        let halves = periods(Period::HalfMonth, Weekday::Monday);
        assert_period(&halves, date(2026, 2, 15), "2026-02-01", "2026-02-15");
        assert_period(&halves, date(2026, 2, 16), "2026-02-16", "2026-02-28");
        // Counted from the week of 2026-01-05, also before it.
        let two = periods(Period::TwoWeeks, Weekday::Monday);
        assert_period(&two, date(2026, 1, 18), "2026-01-05", "2026-01-18");
        assert_period(&two, date(2026, 1, 4), "2025-12-22", "2026-01-04");
        let two = periods(Period::TwoWeeks, Weekday::Sunday);
        assert_period(&two, date(2026, 1, 10), "2026-01-04", "2026-01-17");
    }

    #[test]
    fn a_site_states_which_weeks_begin_two_week_periods() {
        let two = |anchor| {
            let grid = Grid::new(Period::TwoWeeks, Weekday::Monday, Some(anchor));
            Periods::new(vec![(date(2026, 1, 1), grid)])
        };
        let other = two(date(2026, 1, 14));
        assert_period(&other, date(2026, 1, 20), "2026-01-12", "2026-01-25");
        // Any date of the first week, of any of these periods, states the same.
        assert_eq!(other, two(date(2026, 1, 12)));
        assert_eq!(other, two(date(2027, 3, 14)));
        assert_ne!(other, two(date(2026, 1, 19)));
    }

    #[test]
    fn at_a_change_the_old_period_ends_and_a_new_one_begins() {
        let changed = Periods::new(vec![
            from(date(2026, 3, 11), Period::Week, Weekday::Monday),
            // Other rules with the same periods change nothing.
            from(date(2026, 3, 18), Period::Week, Weekday::Monday),
            from(date(2026, 4, 10), Period::Month, Weekday::Monday),
        ]);
        assert_period(&changed, date(2026, 3, 10), "2026-03-01", "2026-03-10");
        assert_period(&changed, date(2026, 3, 11), "2026-03-11", "2026-03-15");
        assert_period(&changed, date(2026, 3, 18), "2026-03-16", "2026-03-22");
        assert_period(&changed, date(2026, 4, 9), "2026-04-06", "2026-04-09");
        assert_period(&changed, date(2026, 4, 10), "2026-04-10", "2026-04-30");
    }

    fn lengths() -> impl Strategy<Value = Period> {
        prop::sample::select(vec![
            Period::Week,
            Period::TwoWeeks,
            Period::HalfMonth,
            Period::Month,
        ])
    }

    proptest! {
        #[test]
        fn every_date_is_in_exactly_one_period(
            changes in prop::collection::vec((0i64..400, lengths(), 0i8..7, 0i64..30), 0..5),
        ) {
            let start = date(2026, 1, 1);
            let changes = changes.into_iter().map(|(day, period, weekday, anchor)| {
                let weekday = Weekday::from_monday_zero_offset(weekday).unwrap();
                let grid = Grid::new(period, weekday, Some(shifted(start, anchor)));
                (shifted(start, day), grid)
            });
            let periods = Periods::new(changes.collect());
            let (mut day, end) = (start, shifted(start, 430));
            while day < end {
                let period = periods.at(day);
                prop_assert!(period.contains(day));
                prop_assert!(days_between(period.from, period.to) < LONGEST_PERIOD);
                for other in super::super::time::dates(period.from, period.to) {
                    prop_assert_eq!(periods.at(other), period);
                }
                day = shifted(period.to, 1);
            }
        }
    }
}
