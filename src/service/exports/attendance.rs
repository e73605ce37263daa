//! Punches, workdays, timesheets and absences as tables. Employees are read in pages, so that an
//! export of any length needs the same memory.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::PathBuf,
    sync::Arc,
};

use async_stream::try_stream;
use futures::Stream;
use jiff::{Span, Timestamp};

use super::super::{
    audit::Audit,
    balances::Balances,
    plans::Plans,
    sites::{SiteMap, Sites},
    workdays::{EmployeeDays, OnRecord, Totals, Workdays},
};
use super::table::{Cell, Column, ExportError, Form, Row, Table};
use crate::{
    domain::{
        accounts::Actor,
        attendance::{
            Adjusted, Adjustment, ClockError, Correction, DateRange, Day, Derived, ExceptionCode,
            LONGEST_PERIOD, Periods, Progress, Punch, PunchKind, Timesheet, Week,
            time::{Seconds, WallTime},
        },
        employees::Employee,
        grants::Reach,
        ids::{EmployeeId, PunchId, SiteId},
        words::words,
    },
    ports::{EmployeeFilter, Page, StoreError},
    repositories::Repositories,
};

/// Workdays that are read at a time: those of 100 employees in a month.
const DAYS_AT_ONCE: i32 = 3100;

/// The least and the most employees that are read at a time.
const PAGE: (i32, i32) = (8, 100);

words! {
    /// What is exported.
    What {
        /// Punches, with what corrections made of them.
        Punches = "punches",
        /// Workdays.
        Days = "days",
        /// Timesheets with their sums.
        Timesheets = "timesheets",
        /// Balances at the start and at the end of the dates.
        Balances = "balances",
        /// Days of leave, and days on which nobody came.
        Absences = "absences",
    }
}

/// Which rows are exported.
#[derive(Debug, Clone)]
pub struct Selection {
    /// The dates.
    pub range: DateRange,
    /// Only employees of this site.
    pub site: Option<SiteId>,
    /// Only this employee.
    pub employee: Option<EmployeeId>,
    /// Whether only what is approved or locked is exported.
    pub approved_only: bool,
}

/// The names of bands and of kinds of leave, which have a column each.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    bands: Vec<String>,
    leave: Vec<String>,
    /// The kinds of leave that payroll pays.
    paid: BTreeSet<String>,
}

/// An export in progress.
struct Job {
    what: What,
    selection: Selection,
    reach: Reach,
    names: Names,
}

/// The service for exports.
#[derive(derive_new::new)]
pub struct Exports {
    pub(super) stores: Repositories,
    pub(super) workdays: Arc<Workdays>,
    balances: Arc<Balances>,
    plans: Arc<Plans>,
    pub(super) sites: Arc<Sites>,
    audit: Audit,
    /// Where temporary files are.
    folder: PathBuf,
}

impl Exports {
    /// Returns the folder for temporary files.
    pub fn folder(&self) -> PathBuf {
        self.folder.clone()
    }

    /// Begins an export of what is covered, and writes it to the audit trail. `how` describes the
    /// form of the file there.
    ///
    /// # Errors
    /// If the site or the employee is not covered, or the store fails. Later failures are items of
    /// the pages.
    pub async fn begin(
        self: &Arc<Self>,
        actor: Actor,
        reach: &Reach,
        what: What,
        selection: Selection,
        how: &str,
    ) -> Result<Table, ExportError> {
        let action = format!("export.{}", what.as_str());
        self.check(actor, reach, &selection, &action, how).await?;
        let names = self.names(reach, selection.site).await?;
        let columns = columns(what, &names);
        let job = Job {
            what,
            selection,
            reach: reach.clone(),
            names,
        };
        let pages = Box::pin(self.clone().pages(job));
        Ok(Table { columns, pages })
    }

    /// Checks what the selection names, and writes to the audit trail that it is exported.
    pub(super) async fn check(
        &self,
        actor: Actor,
        reach: &Reach,
        selection: &Selection,
        action: &str,
        how: &str,
    ) -> Result<(), ExportError> {
        if let Some(id) = selection.employee {
            let employee = self.stores.employees.find_covered(reach, id).await?;
            employee.ok_or(ExportError::UnknownEmployee)?;
        }
        if let Some(id) = selection.site {
            let covered = reach.covers_site(id) && self.sites.all().await?.contains_key(&id);
            covered.then_some(()).ok_or(ExportError::UnknownSite)?;
        }
        let DateRange { from, to } = selection.range;
        let subject = match (selection.employee, selection.site) {
            (Some(employee), _) => employee.to_string(),
            (None, Some(site)) => site.to_string(),
            (None, None) => "all".to_owned(),
        };
        let only = if selection.approved_only {
            ", approved only"
        } else {
            ""
        };
        let detail = format!("{from} to {to}, {how}{only}");
        let audit = &self.audit;
        Ok(audit.record(actor, action, subject, Some(detail)).await?)
    }

    /// Returns the names that have a column: those of the bands in the rules of a site, or of all
    /// covered sites, and of all kinds of leave, removed ones too.
    async fn names(&self, reach: &Reach, site: Option<SiteId>) -> Result<Names, StoreError> {
        let (rules, kinds) = tokio::try_join!(
            self.stores.site_rules.list(reach, site),
            self.stores.leave_kinds.all(),
        )?;
        let bands = rules.iter().flat_map(|rules| &rules.rules.bands);
        let bands: BTreeSet<_> = bands.map(|band| band.name.clone()).collect();
        let kinds = kinds.iter().map(|kind| &kind.settings);
        let leave: BTreeSet<_> = kinds.clone().map(|kind| kind.name.to_string()).collect();
        let paid = kinds.filter(|kind| kind.paid);
        Ok(Names {
            bands: bands.into_iter().collect(),
            leave: leave.into_iter().collect(),
            paid: paid.map(|kind| kind.name.to_string()).collect(),
        })
    }

    /// Returns the rows, a page for each page of employees.
    fn pages(
        self: Arc<Self>,
        job: Job,
    ) -> impl Stream<Item = Result<Vec<Row>, ExportError>> + Send {
        try_stream! {
            let mut after = None;
            loop {
                let (employees, next) = self.employees(&job.reach, &job.selection, after).await?;
                if !employees.is_empty() {
                    yield self.rows(&job, &employees).await?;
                }
                after = next;
                if after.is_none() {
                    break;
                }
            }
        }
    }

    /// Returns a page of the selected employees by name, and the cursor of the next page.
    pub(super) async fn employees(
        &self,
        reach: &Reach,
        selection: &Selection,
        after: Option<(String, EmployeeId)>,
    ) -> Result<(Vec<Employee>, Option<(String, EmployeeId)>), StoreError> {
        let employees = &self.stores.employees;
        if let Some(id) = selection.employee {
            let found = employees.find_covered(reach, id).await?;
            let wanted = |one: &Employee| selection.site.is_none_or(|site| one.site == site);
            return Ok((found.into_iter().filter(wanted).collect(), None));
        }
        let days = days_in(selection.range).max(1);
        let limit = (DAYS_AT_ONCE / days).clamp(PAGE.0, PAGE.1) as usize;
        let filter = EmployeeFilter {
            site: selection.site,
            ..EmployeeFilter::default()
        };
        let found = employees
            .list(reach, &filter, &Page { after, limit })
            .await?;
        let last = found.last().filter(|_| found.len() == limit);
        let next = last.map(|last| (last.name.key(), last.id));
        Ok((found, next))
    }

    async fn rows(&self, job: &Job, employees: &[Employee]) -> Result<Vec<Row>, StoreError> {
        let sites = self.sites.all().await?;
        let mut range = job.selection.range;
        match job.what {
            What::Punches => return self.punches(range, employees, &sites).await,
            What::Balances => return self.running(range, employees, &sites).await,
            // A timesheet is whole, also if only a part of it is wanted.
            What::Timesheets => {
                range.from = range.from.saturating_sub(Span::new().days(LONGEST_PERIOD));
                range.to = range.to.saturating_add(Span::new().days(LONGEST_PERIOD));
            }
            What::Days | What::Absences => {}
        }
        let records = self.workdays.on_record_of_all(employees, range).await?;
        let periods = self.plans.periods(employees.iter().map(|one| one.site));
        let periods = periods.await?;
        let mut rows = Vec::new();
        for (employee, record) in employees.iter().zip(records) {
            let line = Line {
                employee,
                sites: &sites,
                names: &job.names,
                record: &record,
                approved_only: job.selection.approved_only,
            };
            let days = self.workdays.days_of(employee, &record, range).await?;
            match job.what {
                What::Punches | What::Balances => {}
                What::Days => line.days(&days, &mut rows),
                What::Timesheets => {
                    let periods = periods.get(&employee.site).cloned().unwrap_or_default();
                    line.timesheets(&days, job.selection.range, &periods, &mut rows);
                }
                What::Absences => line.absences(&days, &mut rows),
            }
            // Deriving takes its time; other requests get their turn.
            tokio::task::yield_now().await;
        }
        Ok(rows)
    }

    async fn running(
        &self,
        range: DateRange,
        employees: &[Employee],
        sites: &SiteMap,
    ) -> Result<Vec<Row>, StoreError> {
        let mut rows = Vec::new();
        for employee in employees {
            let (_, running) = self.balances.running(employee, range).await?;
            let mut row = person(employee, sites);
            row.extend([
                Cell::Date(range.from),
                Cell::Date(range.to),
                Cell::Seconds(running.start),
                Cell::Seconds(running.end),
                Cell::Seconds(running.end - running.start),
            ]);
            rows.push(row);
        }
        Ok(rows)
    }

    async fn punches(
        &self,
        range: DateRange,
        employees: &[Employee],
        sites: &SiteMap,
    ) -> Result<Vec<Row>, StoreError> {
        let everything = &Reach::Everything;
        let plans = self.plans.of_many(everything, employees, range).await?;
        let after = range.to.saturating_add(Span::new().days(1));
        let begins = plans.iter().map(|plan| plan.begins(range.from));
        let ends = plans.iter().map(|plan| plan.begins(after));
        let (from, to) = (begins.min(), ends.max());
        let (from, to) = (from.unwrap_or_default(), to.unwrap_or_default());
        let (punches, sheets) = tokio::try_join!(
            self.workdays.punches_of(employees, from, to),
            self.workdays.timesheets_of(employees, range),
        )?;
        let mut rows = Vec::new();
        let found = employees.iter().zip(plans).zip(punches).zip(sheets);
        for (((employee, plan), punches), sheets) in found {
            let during = plan.begins(range.from)..plan.begins(after);
            let record = OnRecord::new(plan, Vec::new(), sheets);
            let punches = punches.iter().filter(|punch| during.contains(&punch.at));
            let mut found: Vec<_> = punches.map(PunchLine::from).collect();
            apply(&record.corrections, &mut found);
            found.retain(|line| during.contains(&line.at));
            found.sort_by_key(|line| (line.at, line.id));
            let person = person(employee, sites);
            let lines = found.iter();
            rows.extend(lines.map(|line| line.row(person.clone(), &record, sites)));
        }
        Ok(rows)
    }
}

/// Returns the number of dates of a range.
fn days_in(range: DateRange) -> i32 {
    (range.to - range.from).get_days() + 1
}

/// The figures that may be negative.
const DIFFERENCES: [&str; 2] = ["rounded_by", "balance"];

/// Returns the columns of the figures of days, or of their sums.
fn figures(names: &Names) -> Vec<Column> {
    let form = |name| match DIFFERENCES.contains(&name) {
        true => Form::Difference,
        false => Form::Length,
    };
    let mut columns = Day::FIGURES
        .map(|name| Column::new(name, form(name)))
        .to_vec();
    let bands = names.bands.iter().map(|name| format!("bands.{name}"));
    let leave = names.leave.iter();
    let leave = leave.map(|name| format!("leave_by_kind.{name}"));
    let bands = bands.chain(["other_bands".to_owned()]);
    let leave = leave.chain(["other_leave".to_owned()]);
    columns.extend(
        bands
            .chain(leave)
            .map(|name| Column::new(name, Form::Length)),
    );
    columns
}

/// Returns the columns of an export.
fn columns(what: What, names: &Names) -> Vec<Column> {
    use Form::{Count, Date, Days, Difference, Flag, Length, Text, Time};
    let own: &[(&str, Form)] = match what {
        What::Punches => &[
            ("punch", Text),
            ("workday", Date),
            ("at", Time),
            ("kind", Text),
            ("counts", Flag),
            ("correction", Text),
            ("counts_at", Time),
            ("punch_site_name", Text),
            ("origin", Text),
            ("proof", Text),
            ("clock", Text),
            ("doubt", Text),
        ],
        What::Days => &[
            ("date", Date),
            ("timesheet", Text),
            ("exceptions", Text),
            ("blocked", Flag),
            ("first_in", Time),
            ("last_out", Time),
        ],
        What::Timesheets => &[
            ("from", Date),
            ("to", Date),
            ("timesheet", Text),
            ("exceptions", Text),
            ("blocked_days", Count),
            ("adjusted_worked", Difference),
            ("adjusted_overtime", Difference),
            ("adjustments_held", Count),
            ("week_overtime", Length),
        ],
        What::Balances => &[
            ("from", Date),
            ("to", Date),
            ("balance_start", Difference),
            ("balance_end", Difference),
            ("change", Difference),
        ],
        What::Absences => &[
            ("date", Date),
            ("timesheet", Text),
            ("exceptions", Text),
            ("absence", Text),
            ("leave_kind", Text),
            ("paid", Flag),
            ("time", Length),
            ("planned", Length),
            ("days", Days),
        ],
    };
    let person = ["employee_code", "employee_name", "site_name"];
    let person = person.map(|name| Column::new(name, Text)).into_iter();
    let own = own.iter().map(|(name, form)| Column::new(*name, *form));
    let figures = match what {
        What::Days | What::Timesheets => figures(names),
        What::Punches | What::Balances | What::Absences => Vec::new(),
    };
    person.chain(own).chain(figures).collect()
}

/// Returns the first cells of each row.
fn person(employee: &Employee, sites: &SiteMap) -> Row {
    vec![
        Cell::text(&employee.code),
        Cell::text(&employee.name),
        Cell::text(sites.name(employee.site)),
    ]
}

/// A punch with what corrections made of it.
struct PunchLine<'a> {
    id: PunchId,
    at: Timestamp,
    kind: PunchKind,
    /// `None` for one that a correction added.
    punch: Option<&'a Punch>,
    correction: Option<&'static str>,
    /// When it counts; `None` if it does not.
    counts_at: Option<Timestamp>,
}

impl<'a> From<&'a Punch> for PunchLine<'a> {
    fn from(punch: &'a Punch) -> Self {
        Self {
            id: punch.id,
            at: punch.at,
            kind: punch.kind,
            punch: Some(punch),
            correction: None,
            counts_at: punch.counted().map(|counted| counted.at),
        }
    }
}

/// Applies approved corrections to punches.
fn apply(corrections: &[Correction], lines: &mut Vec<PunchLine<'_>>) {
    let numbered = lines.iter().enumerate();
    let mut places: HashMap<_, _> = numbered.map(|(place, line)| (line.id, place)).collect();
    for correction in corrections {
        match *correction {
            Correction::Add(punch) => {
                places.insert(punch.id, lines.len());
                lines.push(PunchLine {
                    id: punch.id,
                    at: punch.at,
                    kind: punch.kind,
                    punch: None,
                    correction: Some("added"),
                    counts_at: Some(punch.at),
                });
            }
            Correction::Void { punch } => {
                if let Some(place) = places.get(&punch) {
                    let line = &mut lines[*place];
                    (line.correction, line.counts_at) = (Some("voided"), None);
                }
            }
            Correction::Move { punch, at } => {
                let line = places.get(&punch).map(|place| &mut lines[*place]);
                if let Some(line) = line.filter(|line| line.counts_at.is_some()) {
                    line.counts_at = Some(at);
                    line.correction.get_or_insert("moved");
                }
            }
        }
    }
}

impl PunchLine<'_> {
    fn row(&self, mut row: Row, record: &OnRecord, sites: &SiteMap) -> Row {
        let zone = record.plan.zone.time_zone();
        let wall = |at| {
            let offset = zone.to_offset(at);
            Cell::Time(WallTime { at, offset })
        };
        let punch = self.punch;
        let workday = punch.map_or_else(|| record.plan.workday(self.at), |punch| punch.workday);
        let text = |text: Option<&'static str>| Cell::of(text, Cell::text);
        row.extend([
            Cell::text(self.id),
            Cell::Date(workday),
            wall(self.at),
            Cell::text(self.kind.as_str()),
            Cell::Flag(self.counts_at.is_some()),
            text(self.correction),
            Cell::of(self.counts_at, wall),
            Cell::of(punch, |punch| Cell::text(sites.name(punch.site))),
            text(punch.map(|punch| punch.origin.as_str())),
            text(punch.map_or(Some("correction"), |punch| Some(punch.proof.as_str()))),
            text(punch.map(|punch| punch.clock.as_str())),
            text(punch.and_then(|punch| punch.doubt).map(ClockError::as_str)),
        ]);
        row
    }
}

/// Makes the rows of an employee.
struct Line<'a> {
    employee: &'a Employee,
    sites: &'a SiteMap,
    names: &'a Names,
    record: &'a OnRecord,
    approved_only: bool,
}

impl Line<'_> {
    fn begin(&self) -> Row {
        person(self.employee, self.sites)
    }

    /// Checks whether something in this state is exported.
    fn wanted(&self, state: &str) -> bool {
        !self.approved_only || is_approved(state)
    }

    fn days(&self, of: &EmployeeDays, rows: &mut Vec<Row>) {
        for day in &of.derived.days {
            let state = state_of(self.record, day, &of.derived.weeks);
            if !self.wanted(state) {
                continue;
            }
            let last_out = day.spans.last().and_then(|span| span.left);
            let mut row = self.begin();
            row.extend([
                Cell::Date(day.day),
                Cell::text(state),
                codes(std::slice::from_ref(day)),
                Cell::Flag(day.is_blocked()),
                Cell::of(day.spans.first(), |span| Cell::Time(span.came)),
                Cell::of(last_out, Cell::Time),
            ]);
            let figures = day.figures().into_iter();
            row.extend(figures.map(|(_, figure)| Cell::Seconds(figure)));
            self.by_name(&day.bands, &day.leave_by_kind, &mut row);
            rows.push(row);
        }
    }

    /// Adds the cells of bands and kinds of leave.
    fn by_name(
        &self,
        bands: &BTreeMap<String, Seconds>,
        leave: &BTreeMap<String, Seconds>,
        row: &mut Row,
    ) {
        for (figures, names) in [(bands, &self.names.bands), (leave, &self.names.leave)] {
            let of = |name| figures.get(name).copied().unwrap_or_default();
            let known: Vec<_> = names.iter().map(of).collect();
            // Locked days keep the names of their time.
            let other = figures.values().sum::<Seconds>() - known.iter().sum::<Seconds>();
            row.extend(known.into_iter().chain([other]).map(Cell::Seconds));
        }
    }

    fn timesheets(
        &self,
        of: &EmployeeDays,
        wanted: DateRange,
        periods: &Periods,
        rows: &mut Vec<Row>,
    ) {
        let stored = &self.record.timesheets;
        let mut day = wanted.from;
        while day <= wanted.to {
            let sheet = Timesheet::of_day(self.employee.id, day, periods.at(day), stored);
            self.timesheet(of, sheet.period(), rows);
            match sheet.to.tomorrow() {
                Ok(next) => day = next,
                Err(_) => break,
            }
        }
    }

    fn timesheet(&self, of: &EmployeeDays, period: DateRange, rows: &mut Vec<Row>) {
        let days = of.derived.days.iter();
        let days: Vec<_> = days
            .filter(|day| period.contains(day.day))
            .cloned()
            .collect();
        let weeks = &of.derived.weeks;
        let states = days.iter().map(|day| state_of(self.record, day, weeks));
        let states: BTreeSet<_> = states.collect();
        // If any day is open, the timesheet is.
        let open = Progress::WORDS[0];
        let state = match states.contains(open) {
            true => open,
            false => states.first().copied().unwrap_or(open),
        };
        if !self.wanted(state) {
            return;
        }
        let (mut worked, mut overtime, mut held) = (0, 0, 0);
        let due = |one: &&Adjustment| ends_in(of, one, period) && !of.settled.contains(&one.of);
        for one in of.adjustments.iter().filter(due) {
            worked += one.worked;
            overtime += one.overtime;
            held += i64::from(one.held);
        }
        let derived = Derived {
            weeks: of.derived.weeks.clone(),
            days,
        };
        let totals = Totals::new(&derived, period);
        let blocked = derived.days.iter().filter(|day| day.is_blocked());
        let mut row = self.begin();
        row.extend([
            Cell::Date(period.from),
            Cell::Date(period.to),
            Cell::text(state),
            codes(&derived.days),
            Cell::Count(blocked.count() as i64),
            Cell::Seconds(worked),
            Cell::Seconds(overtime),
            Cell::Count(held),
            Cell::Seconds(totals.week_overtime),
        ]);
        let figures = Day::FIGURES.map(|name| totals.figures.get(name).copied());
        row.extend(figures.map(|figure| Cell::Seconds(figure.unwrap_or_default())));
        self.by_name(&totals.bands, &totals.leave_by_kind, &mut row);
        rows.push(row);
    }

    fn absences(&self, of: &EmployeeDays, rows: &mut Vec<Row>) {
        for day in &of.derived.days {
            let state = state_of(self.record, day, &of.derived.weeks);
            if !self.wanted(state) {
                continue;
            }
            let leave = day.leave_by_kind.iter().filter(|(_, time)| **time > 0);
            let leave = leave.map(|(kind, time)| ("leave", Some(kind), *time));
            let absent = day.exceptions.contains(&ExceptionCode::Absence);
            let missed = (day.due - day.worked).max(0);
            let absent = absent.then_some(("absence", None, missed));
            for (absence, kind, time) in leave.chain(absent) {
                let mut row = self.begin();
                row.extend([
                    Cell::Date(day.day),
                    Cell::text(state),
                    codes(std::slice::from_ref(day)),
                    Cell::text(absence),
                    Cell::of(kind, Cell::text),
                    Cell::of(kind, |kind| Cell::Flag(self.names.paid.contains(kind))),
                    Cell::Seconds(time),
                    Cell::Seconds(day.planned),
                    Cell::Days(time as f64 / day.planned.max(1) as f64),
                ]);
                rows.push(row);
            }
        }
    }
}

/// Checks whether the day or week of an adjustment belongs to a period.
fn ends_in(of: &EmployeeDays, adjustment: &Adjustment, period: DateRange) -> bool {
    match adjustment.of {
        Adjusted::Day(day) => period.contains(day),
        Adjusted::Week(starts) => {
            let mut weeks = of.derived.weeks.iter();
            weeks.any(|week| week.starts == starts && period.contains(week.ends))
        }
    }
}

/// Returns the exceptions of days, each once.
fn codes(days: &[Day]) -> Cell {
    let codes: BTreeSet<_> = days.iter().flat_map(|day| &day.exceptions).collect();
    Cell::Codes(codes.into_iter().map(|code| code.as_str()).collect())
}

/// Checks whether the word is that of an approved or locked timesheet.
pub(super) fn is_approved(state: &str) -> bool {
    let [_, _, approved, locked] = Progress::WORDS;
    state == approved || state == locked
}

/// Returns how far the timesheet of a day is. A day of an approved timesheet whose figures have
/// changed since is open: a manager has not seen what they are now.
pub(super) fn state_of(record: &OnRecord, day: &Day, weeks: &[Week]) -> &'static str {
    let progress = sheet_of(record, day.day).map(|sheet: &Timesheet| &sheet.progress);
    if let Some(Progress::Approved { approval }) = progress {
        let mut approved = approval.figures.days.iter();
        let figures = |day: &Day| (day.figures(), day.bands.clone(), day.leave_by_kind.clone());
        let same = |approved: &Day| figures(approved) == figures(day);
        let week_of = |weeks: &[Week]| {
            let week = weeks.iter().find(|week| week.ends == day.day);
            week.map(|week| (week.worked, week.overtime))
        };
        let same_week = week_of(&approval.figures.weeks) == week_of(weeks);
        if !same_week || !approved.any(|approved| approved.day == day.day && same(approved)) {
            return Progress::Open.as_str();
        }
    }
    progress.unwrap_or(&Progress::Open).as_str()
}

/// Returns the stored timesheet of an employee that has a date.
pub(super) fn sheet_of(record: &OnRecord, date: jiff::civil::Date) -> Option<&Timesheet> {
    let mut sheets = record.timesheets.iter();
    sheets.find(|sheet| sheet.period().contains(date))
}
