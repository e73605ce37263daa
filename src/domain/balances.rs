//! Balances of employees: what days add up to, with the values that are entered beside them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Serialize};

use super::{
    accounts::Actor,
    attendance::{DateRange, time::Seconds},
    ids::{BalanceEntryId, EmployeeId},
    record::{About, Changes, Index, Keys, Kind, OnErase, Record},
    text::Reason,
    words::words,
};

/// A value that is entered beside what the days of an employee make.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BalanceEntry {
    /// The ID.
    pub id: BalanceEntryId,
    /// The employee.
    pub employee: EmployeeId,
    /// The date at which it counts.
    pub date: Date,
    /// What it is.
    pub kind: BalanceKind,
    /// What the balance is at the start of the date, for an opening value; otherwise what is added
    /// to it. At most [`MOST`](Self::MOST) in either direction.
    pub seconds: Seconds,
    /// Why it was entered.
    pub reason: Reason,
    /// Who entered it.
    pub made_by: Actor,
    /// When it was entered.
    pub made_at: Timestamp,
}

words! {
    /// What an entry of a balance is.
    BalanceKind {
        /// The balance at the start of the date, whatever came before.
        Opening = "opening",
        /// Time that was paid; negative.
        Payout = "payout",
        /// Another change that was entered by hand.
        Manual = "manual",
    }
}

impl BalanceKind {
    /// Returns the least and the most seconds of an entry.
    pub fn bounds(self) -> (Seconds, Seconds) {
        let most = BalanceEntry::MOST;
        match self {
            Self::Opening | Self::Manual => (-most, most),
            Self::Payout => (-most, -1),
        }
    }
}

impl BalanceEntry {
    /// Entries by employee and date.
    pub const BY_EMPLOYEE: Index = Index::ordered("by_employee");
    /// Opening values, of which an employee has at most one at a date.
    pub const BY_OPENING: Index = Index::unique("by_opening");

    /// The most seconds of an entry: 10,000 hours.
    pub const MOST: Seconds = 10_000 * 3600;
}

impl Record for BalanceEntry {
    const KIND: &'static Kind = &Kind::archived(
        "balance_entries",
        "balance entry",
        &[Self::BY_EMPLOYEE, Self::BY_OPENING],
    )
    .changing(Changes::Deleted);

    type Id = BalanceEntryId;

    fn id(&self) -> BalanceEntryId {
        self.id
    }

    fn keys(&self, keys: &mut Keys) {
        keys.add(Self::BY_EMPLOYEE, (self.employee.uuid(), self.date));
        if self.kind == BalanceKind::Opening {
            keys.add(Self::BY_OPENING, (self.employee.uuid(), self.date));
        }
    }

    fn about(&self) -> About {
        About::employee(self.employee, OnErase::DeleteAttendance)
    }
}

/// Returns the date of the opening value that holds at the start of a date.
pub fn opened(entries: &[BalanceEntry], date: Date) -> Option<Date> {
    let openings = entries.iter().filter(|entry| {
        let opening = entry.kind == BalanceKind::Opening;
        opening && entry.date <= date
    });
    openings.map(|entry| entry.date).max()
}

/// The running balance of an employee over a range of dates.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunningBalance {
    /// The balance at the start of the first date, with an opening value of that date.
    pub start: Seconds,
    /// The balance at the end of each date until the last one whose workday is over.
    pub days: BTreeMap<Date, Seconds>,
    /// The balance at the end of the last date.
    pub end: Seconds,
}

impl RunningBalance {
    /// Adds up entries, in any order, and the balances of days.
    ///
    /// `days` has the days that count: those that are over, from the opening value on that holds at
    /// the start of the range. `over` is the last date whose workday is over.
    pub fn new(
        entries: &[BalanceEntry],
        days: &BTreeMap<Date, Seconds>,
        range: DateRange,
        over: Date,
    ) -> Self {
        let mut openings = BTreeMap::new();
        let mut changes = days.clone();
        for entry in entries {
            match entry.kind {
                BalanceKind::Opening => drop(openings.insert(entry.date, entry.seconds)),
                BalanceKind::Payout | BalanceKind::Manual => {
                    *changes.entry(entry.date).or_default() += entry.seconds;
                }
            }
        }
        let asked = range.from.series(jiff::Span::new().days(1));
        let asked = asked.take_while(|date| *date <= range.to);
        let mut dates: BTreeSet<Date> = openings.keys().chain(changes.keys()).copied().collect();
        dates.extend(asked);
        let mut running = Self::default();
        for date in dates.range(..=range.to) {
            if let Some(opening) = openings.get(date) {
                running.end = *opening;
            }
            if *date == range.from {
                running.start = running.end;
            }
            running.end += changes.get(date).copied().unwrap_or_default();
            if range.contains(*date) && *date <= over {
                running.days.insert(*date, running.end);
            }
        }
        running
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use uuid::Uuid;

    use super::*;

    fn entry(kind: BalanceKind, day: i8, seconds: Seconds) -> BalanceEntry {
        BalanceEntry {
            id: Uuid::nil().into(),
            employee: Uuid::nil().into(),
            date: date(2026, 3, day),
            kind,
            seconds,
            reason: Reason::parse("Old system").unwrap(),
            made_by: Actor::Operator,
            made_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn range(from: i8, to: i8) -> DateRange {
        let day = |day| date(2026, 3, day);
        DateRange {
            from: day(from),
            to: day(to),
        }
    }

    fn running(entries: &[BalanceEntry], range: DateRange, over: i8) -> (i64, Vec<i64>, i64) {
        // Each day until the last one that is over adds its number.
        let days = (1..=over).map(|day| (date(2026, 3, day), day.into()));
        let days = days.collect();
        let found = RunningBalance::new(entries, &days, range, date(2026, 3, over));
        (found.start, found.days.into_values().collect(), found.end)
    }

    #[test]
    fn a_balance_adds_up_days_and_entries() {
        assert_eq!(running(&[], range(1, 3), 9), (0, vec![1, 3, 6], 6));
        assert_eq!(running(&[], range(3, 4), 9), (3, vec![6, 10], 10));
        let entries = [
            entry(BalanceKind::Payout, 4, -100),
            entry(BalanceKind::Manual, 2, 50),
            entry(BalanceKind::Manual, 2, 7),
        ];
        assert_eq!(running(&entries, range(3, 4), 9), (60, vec![63, -33], -33));
        // What is later does not matter.
        assert_eq!(running(&entries, range(1, 1), 9), (0, vec![1], 1));
    }

    #[test]
    fn an_opening_value_begins_anew() {
        let entries = [
            entry(BalanceKind::Manual, 3, 20),
            entry(BalanceKind::Opening, 3, 1000),
            entry(BalanceKind::Manual, 2, 50),
        ];
        assert_eq!(opened(&entries, date(2026, 3, 2)), None);
        assert_eq!(opened(&entries, date(2026, 3, 3)), Some(date(2026, 3, 3)));
        // At the start of its date, also in the middle of a range.
        assert_eq!(running(&entries, range(3, 4), 9).0, 1000);
        let of_range = (0, vec![1, 53, 1023, 1027], 1027);
        assert_eq!(running(&entries, range(1, 4), 9), of_range);
    }

    #[test]
    fn a_day_counts_when_it_is_over_and_an_entry_at_its_date() {
        let entries = [entry(BalanceKind::Payout, 4, -100)];
        assert_eq!(running(&entries, range(2, 5), 3), (1, vec![3, 6], -94));
    }
}
