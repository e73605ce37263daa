//! Workdays: derives the days of employees from what is on record, and shows who is there.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use futures::future::try_join_all;
use jiff::{SignedDuration, Span, Timestamp, civil::Date, tz::TimeZone};

use super::{
    plans::{EmployeePlan, Plans},
    sites::Sites,
};
use crate::{
    clock::Clock,
    domain::{
        attendance::{
            Adjusted, Adjustment, Correction, DateRange, Day, Derived, Presence, Punch, TimedPunch,
            Timesheet, TimesheetId, adjust, derive, derive_days, outstanding, presence,
            time::Seconds,
        },
        employees::Employee,
        grants::Reach,
        ids::{EmployeeId, SiteId},
        record::Record,
    },
    ports::{EmployeeFilter, Page, StoreError},
    repositories::Repositories,
};

/// Days before and after the asked ones whose punches are read: enough for the longest span, the
/// start of a week, and a punch that was [moved](super::timesheets::MOVED_MOST).
const MARGIN: (i64, i64) = (38, 14);

/// Days before and after the day of the board whose punches are read. A span has at most 16 hours.
const BOARD_MARGIN: (i64, i64) = (2, 2);

/// Days before and after a moment whose punches are read to say whether an employee is there.
const STAY_MARGIN: (i64, i64) = (4, 2);

/// Time after the end of a shift in which an out is not missed.
pub const OVERDUE: SignedDuration = SignedDuration::from_hours(1);

/// Employees that are read at a time.
const PAGE: usize = 1000;

/// The most employees whose records are read one by one, instead of in one scan of everyone's.
const FEW: usize = 200;

/// Employees whose records are read at the same moment.
const AT_ONCE: usize = 16;

/// Why workdays cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum WorkdayError {
    /// The employee does not exist.
    #[error("no such employee")]
    NotFound,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The workdays of an employee.
#[derive(Debug, Clone, PartialEq)]
pub struct EmployeeDays {
    /// The dates that were asked for.
    pub range: DateRange,
    /// The days and the weeks that they are in; locked ones as they were approved.
    pub derived: Derived,
    /// The dates that are locked.
    pub locked: Vec<DateRange>,
    /// The sums of the days.
    pub totals: Totals,
    /// What changed of locked days and weeks since they were approved.
    pub adjustments: Vec<Adjustment>,
    /// The days and weeks with an adjustment of which nothing is left to settle.
    pub settled: Vec<Adjusted>,
}

/// Returns the adjustments that timesheets settle.
pub fn settled_by(sheets: &[Timesheet]) -> impl Iterator<Item = &Adjustment> {
    let approvals = sheets.iter().filter_map(|sheet| sheet.progress.approval());
    approvals.flat_map(|approval| &approval.settled)
}

/// Sums of days, in seconds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Totals {
    /// The figures by name.
    pub figures: BTreeMap<&'static str, Seconds>,
    /// Work in each band.
    pub bands: BTreeMap<String, Seconds>,
    /// Leave by kind.
    pub leave_by_kind: BTreeMap<String, Seconds>,
    /// Overtime of the weeks that end in the dates, beyond that of their days.
    pub week_overtime: Seconds,
}

impl Totals {
    /// Returns the sums over days, and over the weeks that end in a range.
    pub fn new(derived: &Derived, range: DateRange) -> Self {
        let mut totals = Self::default();
        for day in &derived.days {
            for (name, figure) in day.figures() {
                *totals.figures.entry(name).or_default() += figure;
            }
            let maps = [
                (&day.bands, &mut totals.bands),
                (&day.leave_by_kind, &mut totals.leave_by_kind),
            ];
            for (figures, sums) in maps {
                for (name, figure) in figures {
                    *sums.entry(name.clone()).or_default() += figure;
                }
            }
        }
        let weeks = derived.weeks.iter();
        let weeks = weeks.filter(|week| range.contains(week.ends));
        totals.week_overtime = weeks.map(|week| week.overtime).sum();
        totals
    }
}

/// An employee on the board.
#[derive(Debug, Clone, PartialEq)]
pub struct BoardLine {
    /// The employee.
    pub employee: Employee,
    /// The workday.
    pub day: Day,
    /// Whether the employee is there.
    pub presence: Presence,
}

/// An employee who has not punched out, although the last shift of the day is over.
#[derive(Debug, Clone, PartialEq)]
pub struct Overdue {
    /// The employee.
    pub employee: Employee,
    /// The workday.
    pub day: Date,
    /// When the shift ended.
    pub ended: Timestamp,
}

/// What is on record of an employee around some dates.
#[derive(Debug, Clone)]
pub struct OnRecord {
    /// What holds for the employee.
    pub plan: EmployeePlan,
    /// The punches.
    pub punches: Vec<TimedPunch>,
    /// The approved corrections, in the order of approval.
    pub corrections: Vec<Correction>,
    /// The stored timesheets.
    pub timesheets: Vec<Timesheet>,
}

impl OnRecord {
    pub(super) fn new(
        plan: EmployeePlan,
        punches: Vec<TimedPunch>,
        timesheets: Vec<Timesheet>,
    ) -> Self {
        let mut approved: Vec<_> = timesheets.iter().flat_map(Timesheet::approved).collect();
        approved.sort_by_key(|(order, _)| *order);
        Self {
            plan,
            punches,
            corrections: approved.into_iter().map(|(_, change)| change).collect(),
            timesheets,
        }
    }

    /// Derives the days of a range.
    pub fn derive(&self, range: DateRange, as_of: Timestamp) -> Derived {
        derive(
            &self.punches,
            &self.corrections,
            self.plan.terms(),
            self.plan.calendar(),
            range,
            as_of,
        )
    }

    /// Derives the days of a range without their weeks; locked ones are as they were approved.
    fn days(&self, range: DateRange, as_of: Timestamp) -> Vec<Day> {
        let mut days = derive_days(
            &self.punches,
            &self.corrections,
            self.plan.terms(),
            self.plan.calendar(),
            range,
            as_of,
        );
        replace(&mut days, self.locked(range).days, |day| day.day);
        days
    }

    /// Returns the locked days of a range, and the locked weeks, as they were approved.
    pub fn locked(&self, range: DateRange) -> Derived {
        let mut locked = Derived::default();
        for approval in self.timesheets.iter().filter_map(Timesheet::locked) {
            let days = approval.figures.days.iter();
            let days = days.filter(|day| range.contains(day.day));
            locked.days.extend(days.cloned());
            locked.weeks.extend(approval.figures.weeks.iter().cloned());
        }
        locked
    }
}

/// The service for workdays.
#[derive(derive_new::new)]
pub struct Workdays {
    stores: Repositories,
    sites: Arc<Sites>,
    plans: Arc<Plans>,
    clock: Arc<dyn Clock>,
}

impl Workdays {
    /// Returns a covered employee who is not deleted.
    ///
    /// # Errors
    /// [`WorkdayError::NotFound`] if there is none.
    pub async fn employee(&self, reach: &Reach, id: EmployeeId) -> Result<Employee, WorkdayError> {
        let employee = self.stores.employees.find_covered(reach, id).await?;
        employee.ok_or(WorkdayError::NotFound)
    }

    /// Checks whether the site of an employee wants another person to decide.
    pub async fn needs_four_eyes(&self, employee: &Employee) -> Result<bool, StoreError> {
        self.plans.needs_four_eyes(employee.site).await
    }

    /// Checks whether the site of an employee wants overtime of a period that ends on a day to be
    /// approved.
    pub async fn asks_for_overtime(
        &self,
        employee: &Employee,
        day: Date,
    ) -> Result<bool, StoreError> {
        let rules = self.plans.site_rules(employee.site, day).await?;
        Ok(rules.is_some_and(|rules| rules.overtime_approval))
    }

    /// Returns what holds for an employee around a range of dates.
    pub async fn plan(
        &self,
        employee: &Employee,
        range: DateRange,
    ) -> Result<EmployeePlan, StoreError> {
        self.plans.of(employee, range).await
    }

    /// Returns what is on record of an employee around a range of dates.
    pub async fn on_record(
        &self,
        employee: &Employee,
        range: DateRange,
    ) -> Result<OnRecord, StoreError> {
        let dates = widened(range, MARGIN);
        let plan = self.plan(employee, dates).await?;
        self.read(employee, plan, dates).await
    }

    /// Returns what is on record of an employee from some days before a moment on: enough to say
    /// whether the employee is there.
    pub async fn on_record_before(
        &self,
        employee: &Employee,
        at: Timestamp,
    ) -> Result<OnRecord, StoreError> {
        let date = at.to_zoned(TimeZone::UTC).date();
        let range = DateRange {
            from: date,
            to: date,
        };
        let dates = widened(range, STAY_MARGIN);
        let plan = self.plans.shifts_of(employee, dates).await?;
        self.read(employee, plan, dates).await
    }

    /// Checks whether a punch was voided and does not count.
    pub async fn is_voided(&self, punch: &Punch) -> Result<bool, StoreError> {
        // Its timesheet has its workday by the rules of the employee's site, which can be another
        // date.
        let dates = DateRange {
            from: punch.workday.yesterday().unwrap_or(punch.workday),
            to: punch.workday.tomorrow().unwrap_or(punch.workday),
        };
        let sheets = self
            .stores
            .timesheets
            .of_employee(punch.employee, dates)
            .await?;
        let voided = Correction::Void { punch: punch.id };
        let mut counting = sheets.iter().flat_map(Timesheet::approved);
        Ok(counting.any(|(_, change)| change == voided))
    }

    /// Returns what is on record of employees around a range of dates, in their order.
    pub async fn on_record_of_all(
        &self,
        employees: &[Employee],
        range: DateRange,
    ) -> Result<Vec<OnRecord>, StoreError> {
        self.read_all(employees, widened(range, MARGIN)).await
    }

    /// Reads what is on record of an employee with a plan in some dates.
    async fn read(
        &self,
        employee: &Employee,
        plan: EmployeePlan,
        dates: DateRange,
    ) -> Result<OnRecord, StoreError> {
        let one = self.read_planned(std::slice::from_ref(employee), vec![plan], dates);
        let record = one.await?.pop();
        record.ok_or_else(|| StoreError::Corrupt("an employee without a record".to_owned()))
    }

    /// Reads what is on record of employees in some dates, in their order.
    async fn read_all(
        &self,
        employees: &[Employee],
        dates: DateRange,
    ) -> Result<Vec<OnRecord>, StoreError> {
        let everything = &Reach::Everything;
        let plans = self.plans.of_many(everything, employees, dates).await?;
        self.read_planned(employees, plans, dates).await
    }

    /// Reads what is on record of employees with their plans in some dates, in their order.
    async fn read_planned(
        &self,
        employees: &[Employee],
        plans: Vec<EmployeePlan>,
        dates: DateRange,
    ) -> Result<Vec<OnRecord>, StoreError> {
        let begins = plans.iter().map(|plan| plan.begins(dates.from)).min();
        let ends = plans.iter().map(|plan| plan.begins(dates.to)).max();
        let (from, to) = (begins.unwrap_or_default(), ends.unwrap_or_default());
        let (punches, sheets) = tokio::try_join!(
            self.punches_of(employees, from, to),
            self.timesheets_of(employees, dates),
        )?;
        let records = plans.into_iter().zip(punches).zip(sheets);
        let records = records.map(|((plan, punches), sheets)| {
            let counted = punches.iter().filter_map(Punch::counted).collect();
            OnRecord::new(plan, counted, sheets)
        });
        Ok(records.collect())
    }

    /// Returns the punches of employees from one moment until before another, in their order.
    /// Punches at all sites count, so for many employees one scan reads those of everyone.
    pub async fn punches_of(
        &self,
        employees: &[Employee],
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<Vec<Punch>>, StoreError> {
        let store = &self.stores.punches;
        if employees.len() > FEW {
            let found = store.between(None, from, to).await?;
            return Ok(by_employee(employees, found, |punch| punch.employee));
        }
        let mut all = Vec::with_capacity(employees.len());
        for some in employees.chunks(AT_ONCE) {
            let reads = some.iter().map(|one| store.between(Some(one.id), from, to));
            all.extend(try_join_all(reads).await?);
        }
        Ok(all)
    }

    /// Returns the stored timesheets of employees that have some of the dates, in their order.
    pub async fn timesheets_of(
        &self,
        employees: &[Employee],
        dates: DateRange,
    ) -> Result<Vec<Vec<Timesheet>>, StoreError> {
        let store = &self.stores.timesheets;
        if employees.len() > FEW {
            let found = store.of_all(dates).await?;
            return Ok(by_employee(employees, found, |sheet| sheet.employee));
        }
        let mut all = Vec::with_capacity(employees.len());
        for some in employees.chunks(AT_ONCE) {
            let reads = some.iter().map(|one| store.of_employee(one.id, dates));
            all.extend(try_join_all(reads).await?);
        }
        Ok(all)
    }

    /// Returns the present workday at an employee's site.
    pub async fn today(&self, employee: &Employee) -> Result<Date, StoreError> {
        let site = self.sites.of(employee.site).await?;
        Ok(site.workday(self.clock.now()))
    }

    /// Returns the timesheet of each of some employees that has a workday: the stored one, or an
    /// open one for the period at the employee's site. Without a workday, the present ones.
    pub async fn timesheets(
        &self,
        people: &[Employee],
        day: Option<Date>,
    ) -> Result<Vec<Timesheet>, StoreError> {
        let (now, sites) = (self.clock.now(), self.sites.all().await?);
        let periods = self.plans.periods(people.iter().map(|one| one.site));
        let periods = periods.await?;
        let wanted = people.iter().map(|one| {
            let site = sites.or_default(one.site);
            let day = day.or_else(|| Some(site?.workday(now)));
            let day = day.unwrap_or_default();
            let of_site = periods.get(&one.site).cloned().unwrap_or_default();
            (day, of_site.at(day))
        });
        let wanted: Vec<_> = wanted.collect();
        let from = wanted.iter().map(|(_, period)| period.from).min();
        let to = wanted.iter().map(|(_, period)| period.to).max();
        let (Some(from), Some(to)) = (from, to) else {
            return Ok(Vec::new());
        };
        let stored = self.timesheets_of(people, DateRange { from, to }).await?;
        let sheets = people.iter().zip(wanted).zip(stored);
        let sheets = sheets
            .map(|((one, (day, period)), stored)| Timesheet::of_day(one.id, day, period, &stored));
        Ok(sheets.collect())
    }

    /// Returns the timesheet of an employee that has a workday.
    pub async fn timesheet_of(
        &self,
        employee: &Employee,
        day: Date,
    ) -> Result<Timesheet, StoreError> {
        let one = self.timesheets(std::slice::from_ref(employee), Some(day));
        let sheet = one.await?.pop();
        sheet.ok_or_else(|| StoreError::Corrupt("an employee without a timesheet".to_owned()))
    }

    /// Returns a timesheet by its ID; `None` if no period of the employee begins on its date.
    pub async fn timesheet(
        &self,
        employee: &Employee,
        id: TimesheetId,
    ) -> Result<Option<Timesheet>, StoreError> {
        if let Some(stored) = self.stores.timesheets.find(id).await? {
            return Ok(Some(stored));
        }
        let sheet = self.timesheet_of(employee, id.from).await?;
        Ok((sheet.id() == id).then_some(sheet))
    }

    /// Returns the workdays of a covered employee.
    ///
    /// Locked days and weeks are answered as they were approved; what changed since then is an
    /// adjustment.
    ///
    /// # Errors
    /// [`WorkdayError::NotFound`] if there is no such employee.
    pub async fn days(
        &self,
        reach: &Reach,
        employee: EmployeeId,
        range: DateRange,
    ) -> Result<EmployeeDays, WorkdayError> {
        let employee = self.employee(reach, employee).await?;
        let record = self.on_record(&employee, range).await?;
        Ok(self.days_of(&employee, &record, range).await?)
    }

    /// Returns the workdays of what is on record of an employee.
    pub async fn days_of(
        &self,
        employee: &Employee,
        record: &OnRecord,
        range: DateRange,
    ) -> Result<EmployeeDays, StoreError> {
        let mut derived = record.derive(range, self.clock.now());
        let locked = record.locked(range);
        let adjustments = adjust(&locked, &derived);
        let mut settled = Vec::new();
        if !adjustments.is_empty() {
            let since = DateRange {
                from: range.from,
                to: Date::MAX,
            };
            let sheets = self.stores.timesheets.of_employee(employee.id, since);
            let left = outstanding(&locked, &derived, settled_by(&sheets.await?));
            let is_left = |of: &Adjusted| left.iter().any(|left| left.of == *of);
            let all = adjustments.iter().map(|adjustment| adjustment.of);
            settled.extend(all.filter(|of| !is_left(of)));
        }
        replace(&mut derived.days, locked.days, |day| day.day);
        replace(&mut derived.weeks, locked.weeks, |week| week.starts);
        let sheets = record.timesheets.iter();
        let sheets = sheets.filter(|sheet| sheet.locked().is_some());
        Ok(EmployeeDays {
            range,
            locked: sheets.map(Timesheet::period).collect(),
            totals: Totals::new(&derived, range),
            derived,
            adjustments,
            settled,
        })
    }

    /// Returns a line for each covered employee who is active and employed on the date, or punched,
    /// at one site or at all, by name. The date is by default the present workday of each employee's
    /// site.
    pub async fn board(
        &self,
        reach: &Reach,
        site: Option<SiteId>,
        date: Option<Date>,
    ) -> Result<Vec<BoardLine>, StoreError> {
        let now = self.clock.now();
        let lines = self.near(reach, site, date).await?.into_iter();
        let lines = lines.filter_map(|(employee, date, record)| {
            let range = DateRange {
                from: date,
                to: date,
            };
            let day = record.days(range, now).pop()?;
            // Outside of their employment, only employees who punched are listed.
            if !record.plan.employed.contains(date) && !has_punches(&day) {
                return None;
            }
            let grace = record.plan.rules.at(date).grace_late;
            Some(BoardLine {
                employee,
                presence: presence(&day, grace, now),
                day,
            })
        });
        Ok(lines.collect())
    }

    /// Returns the covered employees who have not punched out some time after their last shift of
    /// the present workday or of the one before, by name.
    pub async fn overdue(&self, reach: &Reach) -> Result<Vec<Overdue>, StoreError> {
        let now = self.clock.now();
        let found = self.near(reach, None, None).await?.into_iter();
        let overdue = found.filter_map(|(employee, date, record)| {
            let range = DateRange {
                from: date.yesterday().unwrap_or(date),
                to: date,
            };
            let days = record.days(range, now).into_iter();
            let mut overdue = days.filter_map(|day| {
                let is_open = day.spans.iter().any(|span| span.left.is_none());
                let ended = is_open.then(|| day.plan_ends()).flatten()?;
                (now.duration_since(ended) >= OVERDUE).then_some((day.day, ended))
            });
            let (day, ended) = overdue.next()?;
            Some(Overdue {
                employee,
                day,
                ended,
            })
        });
        Ok(overdue.collect())
    }

    /// Returns the covered employees who are active, at one site or at all, by name, each with a
    /// date and with what is on record around it. The date is by default the present workday of the
    /// employee's site.
    async fn near(
        &self,
        reach: &Reach,
        site: Option<SiteId>,
        date: Option<Date>,
    ) -> Result<Vec<(Employee, Date, OnRecord)>, StoreError> {
        let now = self.clock.now();
        let (sites, employees) = tokio::try_join!(self.sites.all(), self.people(reach, site))?;
        let today = |site| sites.or_default(site).map(|site| site.workday(now));
        let placed = employees
            .into_iter()
            .filter_map(|employee| Some((date.or_else(|| today(employee.site))?, employee)));
        let (dates, employees): (Vec<_>, Vec<_>) = placed.unzip();
        let (Some(first), Some(last)) = (dates.iter().min(), dates.iter().max()) else {
            return Ok(Vec::new());
        };
        let range = DateRange {
            from: *first,
            to: *last,
        };
        let dates_read = widened(range, BOARD_MARGIN);
        let records = self.read_all(&employees, dates_read).await?;
        let all = employees.into_iter().zip(dates).zip(records);
        Ok(all
            .map(|((one, date), record)| (one, date, record))
            .collect())
    }

    /// Returns the covered employees who are active, at one site or at all, by name.
    async fn people(
        &self,
        reach: &Reach,
        site: Option<SiteId>,
    ) -> Result<Vec<Employee>, StoreError> {
        let filter = EmployeeFilter {
            site,
            active: Some(true),
            ..EmployeeFilter::default()
        };
        let (mut people, mut after) = (Vec::new(), None);
        loop {
            let page = Page { after, limit: PAGE };
            let found = self.stores.employees.list(reach, &filter, &page).await?;
            let full = found.len() == PAGE;
            after = found.last().map(|last| (last.name.key(), last.id));
            people.extend(found);
            if !full {
                return Ok(people);
            }
        }
    }
}

/// Checks whether punches belong to a day.
pub(super) fn has_punches(day: &Day) -> bool {
    !day.spans.is_empty() || !day.exceptions.is_empty()
}

/// Sorts records by employees, in the order of the employees.
fn by_employee<T>(
    employees: &[Employee],
    found: Vec<T>,
    employee: impl Fn(&T) -> EmployeeId,
) -> Vec<Vec<T>> {
    let mut sorted = HashMap::<_, Vec<_>>::new();
    for one in found {
        sorted.entry(employee(&one)).or_default().push(one);
    }
    let of = |one: &Employee| sorted.remove(&one.id).unwrap_or_default();
    employees.iter().map(of).collect()
}

/// Returns a range with some days before and after it.
fn widened(range: DateRange, (before, after): (i64, i64)) -> DateRange {
    DateRange {
        from: range.from.saturating_sub(Span::new().days(before)),
        to: range.to.saturating_add(Span::new().days(after)),
    }
}

/// Replaces items by those with the same date.
fn replace<T>(items: &mut [T], by: Vec<T>, date: impl Fn(&T) -> Date) {
    for new in by {
        let of = date(&new);
        if let Some(old) = items.iter_mut().find(|old| date(old) == of) {
            *old = new;
        }
    }
}
