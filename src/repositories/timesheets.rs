//! Timesheets, with the corrections of punches.

use std::sync::Arc;

use jiff::{Timestamp, civil::Date};

use super::{Collection, Versioned, contended};
use crate::{
    domain::{
        attendance::{Correction, DateRange, Timesheet, TimesheetId},
        ids::EmployeeId,
        record::{Key, Record},
    },
    ports::{Page, Parts, Range, RecordEngine, StoreError},
};

/// Maximum number of attempts at a change if others change the same timesheet at the same time.
const TRIES: usize = 32;

/// The repository of timesheets. A timesheet that nobody has written to is not stored, and is open.
#[derive(Clone)]
pub struct Timesheets(Collection<Timesheet>);

impl Timesheets {
    /// Creates the repository on a store.
    pub fn new(engine: Arc<dyn RecordEngine>) -> Self {
        Self(Collection::new(engine))
    }

    /// Returns a timesheet; an open one if none is stored.
    pub async fn find(&self, id: TimesheetId) -> Result<Timesheet, StoreError> {
        let found = self.0.get(&id).await?.map(Versioned::into_inner);
        Ok(found.unwrap_or_else(|| Timesheet::new(id.employee, id.from)))
    }

    /// Returns those of the timesheets that are stored.
    pub async fn find_many(&self, ids: &[TimesheetId]) -> Result<Vec<Timesheet>, StoreError> {
        self.0.get_many(ids).await
    }

    /// Replaces a timesheet if the record still equals `old`, or is still not stored if `old` is a
    /// new one. Returns false, without a change, if another request changed it.
    pub async fn exchange(&self, old: &Timesheet, new: &Timesheet) -> Result<bool, StoreError> {
        if *old != Timesheet::new(old.employee, old.from) || self.0.get(&old.id()).await?.is_some()
        {
            return self.0.exchange(old, new).await;
        }
        match self.0.insert(new).await {
            Ok(()) => Ok(true),
            Err(StoreError::Conflict) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Changes a timesheet; retries with the new record if others change it at the same time. An
    /// error of `change` leaves it as it is.
    pub async fn change<E: From<StoreError>>(
        &self,
        id: TimesheetId,
        mut change: impl FnMut(&mut Timesheet) -> Result<(), E>,
    ) -> Result<Timesheet, E> {
        for _ in 0..TRIES {
            let old = self.find(id).await?;
            let mut new = old.clone();
            change(&mut new)?;
            if self.exchange(&old, &new).await? {
                return Ok(new);
            }
        }
        Err(contended(Timesheet::KIND).into())
    }

    /// Returns the stored timesheets of an employee whose period begins within a range, by period.
    pub async fn of_employee(
        &self,
        employee: EmployeeId,
        first_dates: DateRange,
    ) -> Result<Vec<Timesheet>, StoreError> {
        let key = |date: Date| Key::new((employee.uuid(), date));
        let range = Range::all().from(key(first_dates.from));
        let range = range.before(key(first_dates.to).end());
        self.0.all(Timesheet::BY_EMPLOYEE, range, Parts::Body).await
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
        let range = range.before(Key::new((employee.uuid(), last)).end());
        let (index, wanted) = (Timesheet::BY_EMPLOYEE, |sheet: &_| added(sheet).is_some());
        let first = self.0.filter(index, range, 1, wanted).await?;
        Ok(first.first().and_then(added))
    }

    /// Returns a page of the stored timesheets of an employee, latest period first. The cursor is
    /// the first date of the last one.
    pub async fn list_by_employee(
        &self,
        employee: EmployeeId,
        page: &Page<Date>,
        wanted: impl Fn(&Timesheet) -> bool,
    ) -> Result<Vec<Timesheet>, StoreError> {
        let after = page.after.map(|from| {
            let id = TimesheetId { employee, from };
            (Key::new((employee.uuid(), from)), id.to_string())
        });
        let range = Range::within(Key::new((employee.uuid(),)));
        let range = range.backwards().after(after);
        let index = Timesheet::BY_EMPLOYEE;
        self.0.filter(index, range, page.limit, wanted).await
    }

    /// Returns all stored timesheets whose period begins within a range.
    pub async fn of_all(&self, first_dates: DateRange) -> Result<Vec<Timesheet>, StoreError> {
        let range = Range::all().from(Key::new((first_dates.from,)));
        let range = range.before(Key::new((first_dates.to,)).end());
        self.0.all(Timesheet::BY_PERIOD, range, Parts::Body).await
    }

    /// Returns the timesheets with a correction that nobody has decided on.
    pub async fn undecided(&self) -> Result<Vec<Timesheet>, StoreError> {
        let all = Range::all();
        self.0.all(Timesheet::BY_REQUEST, all, Parts::Body).await
    }
}
