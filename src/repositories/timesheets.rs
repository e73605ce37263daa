//! Timesheets, with the corrections of punches.

use jiff::{Span, Timestamp, civil::Date};

use super::contended;
use crate::{
    domain::{
        attendance::{Correction, DateRange, LONGEST_PERIOD, Timesheet},
        ids::EmployeeId,
        record::{Key, Record},
    },
    ports::{Page, Range, StoreError},
};

/// Maximum number of attempts at a change if others change the same timesheet at the same time.
const TRIES: usize = 32;

repository! {
    /// The repository of timesheets. A timesheet that nobody has written to is not stored, and is open.
    Timesheets(Timesheet): find
}

impl Timesheets {
    /// Replaces a timesheet if the record still equals `old`, or is still not stored if `old` is a
    /// new one. Returns false, without a change, if another request changed it.
    pub async fn exchange(&self, old: &Timesheet, new: &Timesheet) -> Result<bool, StoreError> {
        let new_one = old.is_untouched();
        if !new_one || self.0.get(&old.id()).await?.is_some() {
            return self.0.exchange(old, new).await;
        }
        self.0.insert_new(new).await
    }

    /// Changes a timesheet, which is `open` if none with its ID is stored; retries with the new
    /// record if others change it at the same time. An error of `change` leaves it as it is.
    pub async fn change<E: From<StoreError>>(
        &self,
        open: &Timesheet,
        mut change: impl FnMut(&mut Timesheet) -> Result<(), E>,
    ) -> Result<Timesheet, E> {
        let open = Timesheet::new(open.employee, open.period());
        for _ in 0..TRIES {
            let stored = self.find(open.id()).await?;
            let old = stored.unwrap_or_else(|| open.clone());
            let mut new = old.clone();
            change(&mut new)?;
            if self.exchange(&old, &new).await? {
                return Ok(new);
            }
        }
        Err(contended(Timesheet::KIND).into())
    }

    /// Returns the stored timesheets of an employee that have one of the dates, in order.
    pub async fn of_employee(
        &self,
        employee: EmployeeId,
        dates: DateRange,
    ) -> Result<Vec<Timesheet>, StoreError> {
        let key = |date: Date| Key::new((employee.uuid(), date));
        let range = Range::all().from(key(dates.from)).before(last(dates, key));
        let index = Timesheet::BY_EMPLOYEE;
        let mut found = self.0.all(index, range).await?;
        found.retain(|sheet| sheet.from <= dates.to);
        Ok(found)
    }

    /// Returns the time of the earliest punch that a correction added to a timesheet of an employee
    /// whose period begins until a date.
    pub async fn first_added(
        &self,
        employee: EmployeeId,
        last: Date,
    ) -> Result<Option<Timestamp>, StoreError> {
        let added = |sheet: &Timesheet| {
            let changes = sheet.approved().map(|(_, change)| change);
            let times = changes.filter_map(|change| match change {
                Correction::Add(punch) => Some(punch.at),
                Correction::Void { .. } | Correction::Move { .. } => None,
            });
            times.min()
        };
        let range = Range::within(Key::new((employee.uuid(),)));
        let wanted = |sheet: &Timesheet| sheet.from <= last && added(sheet).is_some();
        let index = Timesheet::BY_EMPLOYEE;
        let first = self.0.filter(index, range, 1, wanted).await?;
        Ok(first.first().and_then(added))
    }

    /// Returns a page of the stored timesheets of an employee, latest period first. The cursor is
    /// the last date of the last one.
    pub async fn list_by_employee(
        &self,
        employee: EmployeeId,
        page: &Page<Date>,
        wanted: impl Fn(&Timesheet) -> bool,
    ) -> Result<Vec<Timesheet>, StoreError> {
        let range = Range::within(Key::new((employee.uuid(),))).backwards();
        let range = match page.after {
            Some(to) => range.before(Key::new((employee.uuid(), to))),
            None => range,
        };
        let index = Timesheet::BY_EMPLOYEE;
        self.0.filter(index, range, page.limit, wanted).await
    }

    /// Returns all stored timesheets that have one of the dates.
    pub async fn of_all(&self, dates: DateRange) -> Result<Vec<Timesheet>, StoreError> {
        let key = |date: Date| Key::new((date,));
        let range = Range::all().from(key(dates.from)).before(last(dates, key));
        let index = Timesheet::BY_PERIOD;
        let mut found = self.0.all(index, range).await?;
        found.retain(|sheet| sheet.from <= dates.to);
        Ok(found)
    }

    /// Returns the timesheets with a correction that nobody has decided on.
    pub async fn undecided(&self) -> Result<Vec<Timesheet>, StoreError> {
        let all = Range::all();
        self.0.all(Timesheet::BY_REQUEST, all).await
    }

    /// Returns the timesheets that were submitted and not approved, first submitted first.
    pub async fn submitted(&self) -> Result<Vec<Timesheet>, StoreError> {
        let all = Range::all();
        self.0.all(Timesheet::BY_SUBMISSION, all).await
    }
}

/// Returns where the keys of timesheets end that have one of the dates, sorted by their last dates.
fn last(dates: DateRange, key: impl Fn(Date) -> Key) -> Key {
    let latest = dates.to.saturating_add(Span::new().days(LONGEST_PERIOD));
    key(latest).end()
}
