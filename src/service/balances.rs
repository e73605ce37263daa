//! Balances of employees: what their days and the entries beside them add up to.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::{Span, Timestamp, civil::Date, tz::TimeZone};

use super::{
    audit::Audit,
    timesheets::By,
    workdays::{EmployeeDays, OnRecord, WorkdayError, Workdays, settled_by},
};
use crate::{
    clock::Clock,
    domain::{
        attendance::{Adjusted, DateRange, time::Seconds},
        balances::{BalanceEntry, BalanceKind, RunningBalance, opened},
        employees::Employee,
        grants::Reach,
        ids::{BalanceEntryId, EmployeeId},
        text::Reason,
    },
    ports::{Page, StoreError},
    repositories::Repositories,
};

/// Why a request about balance entries failed.
#[derive(Debug, thiserror::Error)]
pub enum BalanceError {
    /// The entry does not exist.
    #[error("no such balance entry")]
    NotFound,
    /// The employee does not exist.
    #[error("no such employee")]
    NoEmployee,
    /// The caller may not decide about their own hours.
    #[error("another manager or an admin must decide about your own hours")]
    OwnHours,
    /// The date lies in a locked period.
    #[error(
        "{0} lies in a locked period: choose a later date, or ask an admin to unlock the timesheet"
    )]
    Locked(Date),
    /// The employee has an opening value at the date.
    #[error("the employee has an opening value at this date")]
    Opened,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<WorkdayError> for BalanceError {
    fn from(error: WorkdayError) -> Self {
        match error {
            WorkdayError::NotFound => Self::NoEmployee,
            WorkdayError::Store(error) => Self::Store(error),
        }
    }
}

/// An entry to add.
#[derive(Debug, Clone, PartialEq)]
pub struct NewBalanceEntry {
    /// The date at which it counts.
    pub date: Date,
    /// What it is.
    pub kind: BalanceKind,
    /// The seconds, within the bounds of the kind.
    pub seconds: Seconds,
    /// Why.
    pub reason: Reason,
}

/// The service for balances.
#[derive(derive_new::new)]
pub struct Balances {
    stores: Repositories,
    workdays: Arc<Workdays>,
    audit: Audit,
    clock: Arc<dyn Clock>,
}

impl Balances {
    /// Returns a page of the entries of a covered employee, latest date first.
    pub async fn list(
        &self,
        reach: &Reach,
        employee: EmployeeId,
        page: &Page<(Date, BalanceEntryId)>,
    ) -> Result<Vec<BalanceEntry>, BalanceError> {
        let employee = self.workdays.employee(reach, employee).await?;
        Ok(self.stores.balance_entries.list(employee.id, page).await?)
    }

    /// Adds an entry for a covered employee.
    pub async fn add(
        &self,
        by: By<'_>,
        employee: EmployeeId,
        new: NewBalanceEntry,
    ) -> Result<BalanceEntry, BalanceError> {
        let employee = self.workdays.employee(by.reach, employee).await?;
        let entry = BalanceEntry {
            id: self.clock.id().into(),
            employee: employee.id,
            date: new.date,
            kind: new.kind,
            seconds: new.seconds,
            reason: new.reason,
            made_by: by.actor,
            made_at: self.clock.now(),
        };
        self.check(by, &employee, &entry).await?;
        self.record(by, "balance.add", &entry).await?;
        match self.stores.balance_entries.insert(&entry).await {
            Ok(()) => Ok(entry),
            Err(StoreError::Conflict) => Err(BalanceError::Opened),
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes an entry of a covered employee.
    pub async fn remove(&self, by: By<'_>, id: BalanceEntryId) -> Result<(), BalanceError> {
        let entry = self.stores.balance_entries.find(id).await?;
        let entry = entry.ok_or(BalanceError::NotFound)?;
        let employee = match self.workdays.employee(by.reach, entry.employee).await {
            Err(WorkdayError::NotFound) => return Err(BalanceError::NotFound),
            found => found?,
        };
        self.check(by, &employee, &entry).await?;
        self.record(by, "balance.remove", &entry).await?;
        match self.stores.balance_entries.remove(entry.id).await? {
            true => Ok(()),
            false => Err(BalanceError::NotFound),
        }
    }

    /// Checks whether the caller may change what is entered at the date of an entry.
    async fn check(
        &self,
        by: By<'_>,
        employee: &Employee,
        entry: &BalanceEntry,
    ) -> Result<(), BalanceError> {
        if !by.decides_for(employee) {
            return Err(BalanceError::OwnHours);
        }
        match is_locked(&self.stores, employee.id, entry.date).await? {
            true => Err(BalanceError::Locked(entry.date)),
            false => Ok(()),
        }
    }

    /// Writes the audit entry. Its subject is the employee: an erasure and a copy find it by that.
    async fn record(
        &self,
        by: By<'_>,
        action: &str,
        entry: &BalanceEntry,
    ) -> Result<(), StoreError> {
        let BalanceEntry { id, date, .. } = entry;
        let (kind, seconds) = (entry.kind.as_str(), entry.seconds);
        let detail = format!("{kind} {id}, {seconds} s at {date}");
        let subject = entry.employee;
        let audit = &self.audit;
        audit.record(by.actor, action, subject, Some(detail)).await
    }

    /// Returns the workdays of a covered employee with the running balance.
    ///
    /// # Errors
    /// [`WorkdayError::NotFound`] if there is no such employee.
    pub async fn days(
        &self,
        reach: &Reach,
        employee: EmployeeId,
        range: DateRange,
    ) -> Result<(EmployeeDays, RunningBalance), WorkdayError> {
        let employee = self.workdays.employee(reach, employee).await?;
        let (record, running) = self.running(&employee, range).await?;
        let days = self.workdays.days_of(&employee, &record, range).await?;
        Ok((days, running))
    }

    /// Returns the time of the first punch of an employee, recorded or added by a correction; `None`
    /// if there is none until a date.
    async fn first_punched(
        &self,
        employee: EmployeeId,
        last: Date,
    ) -> Result<Option<Timestamp>, StoreError> {
        let recorded = self.stores.punches.first(employee).await?;
        let recorded = recorded.map(|punch| punch.at);
        let date = recorded.map(|at| at.to_zoned(TimeZone::UTC).date());
        let last = date.map_or(last, |date| date.min(last));
        let added = self.stores.timesheets.first_added(employee, last).await?;
        Ok(recorded.into_iter().chain(added).min())
    }

    /// Returns what is on record of an employee around a range of dates, and the running balance.
    ///
    /// Days count from the opening value on that holds at the start of the range; without one, from
    /// the first workday on that has a punch. Only days that are over count. A locked day counts as
    /// it was approved, with its adjustment; if that is held, only with what was settled of it.
    pub async fn running(
        &self,
        employee: &Employee,
        range: DateRange,
    ) -> Result<(OnRecord, RunningBalance), StoreError> {
        let entries = self.stores.balance_entries.until(employee.id, range.to);
        let entries = entries.await?;
        let opened = opened(&entries, range.from);
        let (first, punched) = match opened {
            Some(opened) => (opened, None),
            None => match self.first_punched(employee.id, range.to).await? {
                Some(at) => {
                    let date = at.to_zoned(TimeZone::UTC).date();
                    (date.saturating_sub(Span::new().days(2)), Some(at))
                }
                None => (range.to, None),
            },
        };
        let read = DateRange {
            from: first.min(range.from),
            to: range.to,
        };
        let record = self.workdays.on_record(employee, read).await?;
        let now = self.clock.now();
        let today = record.plan.workday(now);
        let over = today.yesterday().unwrap_or(today);
        let counted = DateRange {
            from: match (opened, punched) {
                (Some(opened), _) => opened,
                (None, Some(at)) => record.plan.workday(at),
                // Without a punch, the plan alone makes no balance.
                (None, None) => Date::MAX,
            },
            to: range.to.min(over),
        };
        let (mut days, held) = match counted.from <= counted.to {
            true => days(&record, counted, now),
            false => Default::default(),
        };
        if let Some(first) = held.first() {
            let later = DateRange {
                from: *first,
                to: Date::MAX,
            };
            let sheets = self.stores.timesheets.of_employee(employee.id, later);
            for adjustment in settled_by(&sheets.await?) {
                match adjustment.of {
                    Adjusted::Day(day) if held.contains(&day) => {
                        *days.entry(day).or_default() += adjustment.balance();
                    }
                    Adjusted::Day(_) | Adjusted::Week(_) => {}
                }
            }
        }
        let running = RunningBalance::new(&entries, &days, range, over);
        Ok((record, running))
    }
}

/// Returns the balance of each day of a range, and the locked days whose adjustment is held.
///
/// What was approved and what changed since add up to what is derived now, so the approved figures
/// matter only where the difference is held.
fn days(
    record: &OnRecord,
    range: DateRange,
    now: Timestamp,
) -> (BTreeMap<Date, Seconds>, BTreeSet<Date>) {
    let locked = record.locked(range).days.into_iter();
    let locked: BTreeMap<_, _> = locked.map(|day| (day.day, day.balance)).collect();
    let (mut balances, mut held) = (BTreeMap::new(), BTreeSet::new());
    for day in record.derive(range, now).days {
        let approved = locked.get(&day.day).filter(|_| day.is_blocked());
        if approved.is_some() {
            held.insert(day.day);
        }
        balances.insert(day.day, approved.copied().unwrap_or(day.balance));
    }
    (balances, held)
}

/// Checks whether a date of an employee lies in a locked period.
pub(super) async fn is_locked(
    stores: &Repositories,
    employee: EmployeeId,
    date: Date,
) -> Result<bool, StoreError> {
    let of_date = DateRange {
        from: date,
        to: date,
    };
    let sheets = stores.timesheets.of_employee(employee, of_date).await?;
    Ok(sheets.iter().any(|sheet| sheet.locked().is_some()))
}
