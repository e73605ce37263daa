//! Timesheets: corrections of punches, and the approval and lock of periods.

use std::{collections::HashMap, sync::Arc};

use jiff::{SignedDuration, Span, Timestamp, civil::Date};
use sha2::{Digest, Sha256};

use super::{
    audit::Audit,
    workdays::{EmployeeDays, OnRecord, WorkdayError, Workdays, has_punches},
};
use crate::{
    clock::Clock,
    domain::{
        accounts::Actor,
        attendance::{
            Approval, Correction, CorrectionPath, CorrectionRefusal, Covered, DateRange, Decision,
            Derived, ExceptionCode, Progress, PunchKind, RequestedCorrection, TimedPunch,
            Timesheet, TimesheetId, adjust,
        },
        employees::Employee,
        grants::Reach,
        ids::{CorrectionId, EmployeeId, PunchId},
        record::Record,
        text::Reason,
    },
    ports::{EmployeeFilter, Page, StoreError},
    repositories::Repositories,
};

/// How far a correction may move a punch, so that reading some days more finds every moved punch.
pub const MOVED_MOST: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Days around a correction on which it may change figures.
const AROUND: i64 = 2;

/// The error for a request about corrections or timesheets.
#[derive(Debug, thiserror::Error)]
pub enum TimesheetError {
    /// The employee does not exist.
    #[error("no such employee")]
    NoEmployee,
    /// No period of the employee begins on this date.
    #[error("no such timesheet")]
    NotFound,
    /// The punch does not exist, or is another employee's.
    #[error("the employee has no such punch")]
    NoPunch,
    /// The time is in the future.
    #[error("must not be in the future")]
    Future,
    /// The new time is too far from the old one.
    #[error("a punch can be moved by 7 days: void it and add another one")]
    TooFar,
    /// The correction cannot be made or decided.
    #[error(transparent)]
    Correction(#[from] CorrectionRefusal),
    /// The caller is not the author of the correction.
    #[error("only the person who made a correction can withdraw it")]
    NotAuthor,
    /// The caller may not decide about their own hours.
    #[error("another manager or an admin must decide about your own hours")]
    OwnHours,
    /// The site wants another person to decide.
    #[error("the site wants another person to decide than the one who asked")]
    FourEyes,
    /// The timesheet is not in a state for this.
    #[error("the timesheet is {is}, and must be {must}")]
    State {
        /// The present state.
        is: &'static str,
        /// The states in which it is possible.
        must: &'static str,
    },
    /// Another timesheet has some of its dates.
    #[error("another timesheet, from {0} on, has some of its dates: approve that one")]
    Overlap(Date),
    /// The period is not over.
    #[error("the period lasts until {0}: approve it when the last workday is over")]
    NotOver(Date),
    /// Days have exceptions that must be settled first.
    #[error("days have exceptions that must be settled first: correct their punches")]
    Blocked(Vec<BlockedDay>),
    /// The figures are not those that the caller saw.
    #[error("the figures have changed: read the timesheet again, then approve it")]
    Changed,
    /// Another request changed the timesheet at the same time.
    #[error("another request changed the timesheet at the same time")]
    Raced,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<WorkdayError> for TimesheetError {
    fn from(error: WorkdayError) -> Self {
        match error {
            WorkdayError::NotFound => Self::NoEmployee,
            WorkdayError::Store(error) => Self::Store(error),
        }
    }
}

/// A day that cannot be approved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockedDay {
    /// The date.
    pub day: Date,
    /// The exceptions to settle; none if the employee has not left yet.
    pub exceptions: Vec<ExceptionCode>,
}

/// The caller of a change.
#[derive(Debug, Clone, Copy)]
pub struct By<'a> {
    /// Who it is.
    pub actor: Actor,
    /// The employees for whom the caller may ask for something.
    pub reach: &'a Reach,
    /// The employees for whom the caller may decide.
    pub decides: &'a Reach,
    /// The caller as an employee, unless they may decide about their own hours.
    pub own: Option<EmployeeId>,
}

impl By<'_> {
    /// Checks whether the caller may decide about the hours of an employee.
    pub(super) fn decides_for(&self, employee: &Employee) -> bool {
        self.decides.covers(employee) && self.own != Some(employee.id)
    }
}

/// What a new correction changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of a punch")]
pub enum Change {
    /// Adds a punch that was not made.
    Add { kind: PunchKind, at: Timestamp },
    /// Makes a punch not count.
    Void { punch: PunchId },
    /// Gives a punch another time.
    Move { punch: PunchId, at: Timestamp },
}

/// A correction to make.
#[derive(Debug, Clone)]
pub struct NewCorrection {
    /// What it changes.
    pub change: Change,
    /// Why.
    pub reason: Reason,
    /// Whether it may become an adjustment of a locked period.
    pub adjust: bool,
}

/// A correction with its timesheet and employee.
#[derive(Debug, Clone, PartialEq)]
pub struct FiledCorrection {
    /// Where it is.
    pub path: CorrectionPath,
    /// The correction.
    pub correction: RequestedCorrection,
}

impl FiledCorrection {
    /// Returns the corrections of a timesheet, in the order in which they were made.
    pub fn all_of(sheet: &Timesheet) -> Vec<Self> {
        let timesheet = sheet.id();
        let corrections = sheet.corrections.iter().cloned();
        let filed = corrections.map(|correction| Self {
            path: CorrectionPath {
                timesheet,
                correction: correction.id,
            },
            correction,
        });
        filed.collect()
    }
}

/// The timesheets to list.
#[derive(Debug, Clone, Default)]
pub struct TimesheetFilter {
    /// Only those of this employee.
    pub employee: Option<EmployeeId>,
    /// Only those in this state.
    pub state: Option<&'static str>,
    /// Only those of the period with this date.
    pub period: Option<Date>,
}

/// A timesheet with its figures.
#[derive(Debug, Clone, PartialEq)]
pub struct TimesheetDetail {
    /// The timesheet.
    pub timesheet: Timesheet,
    /// Its days.
    pub days: EmployeeDays,
    /// The digest of what an approval would cover, or covers if it is locked.
    pub digest: String,
    /// The days that prevent an approval.
    pub blocked: Vec<BlockedDay>,
}

/// The service for timesheets.
pub struct Timesheets {
    stores: Repositories,
    workdays: Arc<Workdays>,
    audit: Audit,
    clock: Arc<dyn Clock>,
}

impl Timesheets {
    /// Creates the service.
    pub fn new(
        stores: Repositories,
        workdays: Arc<Workdays>,
        audit: Audit,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            stores,
            workdays,
            audit,
            clock,
        }
    }

    /// Makes a correction. If the caller may decide about the employee, it is approved at once,
    /// unless the site wants another person to decide.
    ///
    /// It belongs to the timesheet of the period in which the punch lies that it adds, voids or
    /// moves, so that one write of one record decides between it and a lock.
    pub async fn correct(
        &self,
        by: By<'_>,
        employee: EmployeeId,
        new: NewCorrection,
    ) -> Result<FiledCorrection, TimesheetError> {
        let employee = self.workdays.employee(by.reach, employee).await?;
        let (id, now) = (CorrectionId::new(self.clock.id()), self.clock.now());
        let (lies, change) = match new.change {
            Change::Add { kind, at } => {
                let id = PunchId::new(id.uuid());
                (at, Correction::Add(TimedPunch { id, kind, at }))
            }
            Change::Void { punch } => {
                let lies = self.own_punch(&employee, punch).await?;
                (lies, Correction::Void { punch })
            }
            Change::Move { punch, at } => {
                let lies = self.own_punch(&employee, punch).await?;
                if lies.duration_since(at).abs() > MOVED_MOST {
                    return Err(TimesheetError::TooFar);
                }
                (lies, Correction::Move { punch, at })
            }
        };
        if time_of(&change).is_some_and(|at| at > now) {
            return Err(TimesheetError::Future);
        }
        let day = self.workday(&employee, lies).await?;
        let decided =
            by.decides_for(&employee) && !self.workdays.needs_four_eyes(&employee).await?;
        if decided && !new.adjust {
            self.check_locked(&employee, day, change).await?;
        }
        let decision = match decided {
            true => Decision::Approved {
                by: by.actor,
                at: now,
            },
            false => Decision::Requested,
        };
        let correction = RequestedCorrection {
            id,
            change,
            reason: new.reason,
            made_by: by.actor,
            made_at: now,
            decision,
        };
        let timesheet = self.workdays.timesheet_of(&employee, day).await?;
        let path = CorrectionPath {
            timesheet: timesheet.id(),
            correction: id,
        };
        let action = match decided {
            true => "correction.make",
            false => "correction.request",
        };
        self.record(by.actor, action, path, &change).await?;
        let timesheets = &self.stores.timesheets;
        let filed = timesheets.change(&timesheet, |sheet| {
            if !sheet.period().contains(day) {
                return Err(TimesheetError::Raced);
            }
            let corrected = sheet.correct(correction.clone(), new.adjust);
            corrected.map_err(TimesheetError::from)
        });
        filed.await?;
        Ok(FiledCorrection { path, correction })
    }

    /// Approves or rejects a correction that was requested.
    pub async fn decide(
        &self,
        by: By<'_>,
        path: CorrectionPath,
        approve: bool,
        adjust: bool,
    ) -> Result<FiledCorrection, TimesheetError> {
        let (employee, sheet, correction) = self.requested(by.reach, path).await?;
        if !by.decides_for(&employee) {
            return Err(TimesheetError::OwnHours);
        }
        let author = approve && correction.made_by == by.actor;
        if author && self.workdays.needs_four_eyes(&employee).await? {
            return Err(TimesheetError::FourEyes);
        }
        let change = correction.change;
        if approve && !adjust {
            let day = match time_of(&change) {
                Some(at) => self.workday(&employee, at).await?,
                None => sheet.from,
            };
            self.check_locked(&employee, day, change).await?;
        }
        let at = self.clock.now();
        let (action, decision) = match approve {
            true => (
                "correction.approve",
                Decision::Approved { by: by.actor, at },
            ),
            false => ("correction.reject", Decision::Rejected { by: by.actor, at }),
        };
        self.record(by.actor, action, path, &change).await?;
        self.settle(&sheet, path, decision, adjust).await
    }

    /// Takes back a correction that the caller requested.
    pub async fn withdraw(
        &self,
        by: By<'_>,
        path: CorrectionPath,
    ) -> Result<FiledCorrection, TimesheetError> {
        let (_, sheet, correction) = self.requested(by.reach, path).await?;
        if correction.made_by != by.actor {
            return Err(TimesheetError::NotAuthor);
        }
        let action = "correction.withdraw";
        self.record(by.actor, action, path, &correction.change)
            .await?;
        let at = self.clock.now();
        self.settle(&sheet, path, Decision::Withdrawn { at }, false)
            .await
    }

    async fn settle(
        &self,
        sheet: &Timesheet,
        path: CorrectionPath,
        decision: Decision,
        adjust: bool,
    ) -> Result<FiledCorrection, TimesheetError> {
        let timesheets = &self.stores.timesheets;
        let settled = timesheets.change(sheet, |sheet| {
            let decided = sheet.decide(path.correction, decision, adjust);
            decided.map_err(TimesheetError::from)
        });
        let correction = settled.await?.correction(path.correction).cloned();
        let correction = correction.ok_or(CorrectionRefusal::NotFound)?;
        Ok(FiledCorrection { path, correction })
    }

    /// Returns a correction of a covered employee, with its timesheet.
    async fn requested(
        &self,
        reach: &Reach,
        path: CorrectionPath,
    ) -> Result<(Employee, Timesheet, RequestedCorrection), TimesheetError> {
        let employee = self.workdays.employee(reach, path.timesheet.employee);
        let employee = match employee.await {
            Err(WorkdayError::NotFound) => return Err(CorrectionRefusal::NotFound.into()),
            found => found?,
        };
        let sheet = self.stores.timesheets.find(path.timesheet).await?;
        let sheet = sheet.ok_or(CorrectionRefusal::NotFound)?;
        let correction = sheet.correction(path.correction).cloned();
        let correction = correction.ok_or(CorrectionRefusal::NotFound)?;
        Ok((employee, sheet, correction))
    }

    /// Returns when a punch of an employee was made.
    async fn own_punch(
        &self,
        employee: &Employee,
        id: PunchId,
    ) -> Result<Timestamp, TimesheetError> {
        let found = self.punch(employee.id, id).await?;
        found.map(|punch| punch.at).ok_or(TimesheetError::NoPunch)
    }

    /// Returns a punch of an employee: a recorded one, or one that an approved correction added.
    async fn punch(
        &self,
        employee: EmployeeId,
        id: PunchId,
    ) -> Result<Option<TimedPunch>, StoreError> {
        let stores = &self.stores;
        if let Some(punch) = stores.punches.find(id).await? {
            let (kind, at) = (punch.kind, punch.at);
            return Ok((punch.employee == employee).then_some(TimedPunch { id, kind, at }));
        }
        let ever = DateRange {
            from: Date::MIN,
            to: Date::MAX,
        };
        let sheets = stores.timesheets.of_employee(employee, ever).await?;
        Ok(sheets.iter().find_map(|sheet| sheet.added(id)))
    }

    /// Returns the punches that corrections void or move, as they were recorded or added.
    pub async fn old_punches(
        &self,
        filed: &[FiledCorrection],
    ) -> Result<HashMap<PunchId, TimedPunch>, TimesheetError> {
        let mut found = HashMap::new();
        for FiledCorrection { path, correction } in filed {
            let (Correction::Void { punch } | Correction::Move { punch, .. }) = correction.change
            else {
                continue;
            };
            let old = self.punch(path.timesheet.employee, punch).await?;
            found.extend(old.map(|old| (punch, old)));
        }
        Ok(found)
    }

    async fn workday(&self, employee: &Employee, at: Timestamp) -> Result<Date, StoreError> {
        let date = at.to_zoned(jiff::tz::TimeZone::UTC).date();
        let plan = self.workdays.plan(employee, around(date)).await?;
        Ok(plan.workday(at))
    }

    /// Refuses a correction that would change figures of locked days, also of the period before or
    /// after its own: an out on the first of a month can end a night shift of the month before.
    async fn check_locked(
        &self,
        employee: &Employee,
        day: Date,
        change: Correction,
    ) -> Result<(), TimesheetError> {
        let range = around(day);
        let mut record = self.workdays.on_record(employee, range).await?;
        let locked = record.locked(range);
        if locked.days.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        let before = adjust(&locked, &record.derive(range, now));
        record.corrections.push(change);
        let after = adjust(&locked, &record.derive(range, now));
        match before == after {
            true => Ok(()),
            false => Err(CorrectionRefusal::Locked.into()),
        }
    }

    async fn record(
        &self,
        actor: Actor,
        action: &str,
        path: CorrectionPath,
        change: &Correction,
    ) -> Result<(), StoreError> {
        let what = match change {
            Correction::Add(punch) => format!("add {} at {}", punch.kind.as_str(), punch.at),
            Correction::Void { punch } => format!("void {punch}"),
            Correction::Move { punch, at } => format!("move {punch} to {at}"),
        };
        let detail = Some(format!("{}: {what}", path.correction));
        let audit = &self.audit;
        audit.record(actor, action, path.timesheet, detail).await
    }

    /// Returns a page of the corrections in a state, oldest first: of one covered employee, or of
    /// all, which only those that nobody has decided on are listed for. The cursor is the time and
    /// ID of the last one.
    pub async fn corrections(
        &self,
        reach: &Reach,
        employee: Option<EmployeeId>,
        state: &str,
        page: &Page<(Timestamp, CorrectionId)>,
    ) -> Result<Vec<FiledCorrection>, TimesheetError> {
        let sheets = match employee {
            Some(id) => {
                let employee = self.workdays.employee(reach, id).await?;
                let ever = DateRange {
                    from: Date::MIN,
                    to: Date::MAX,
                };
                let timesheets = &self.stores.timesheets;
                timesheets.of_employee(employee.id, ever).await?
            }
            None => self.undecided(reach).await?,
        };
        let mut found: Vec<_> = sheets.iter().flat_map(FiledCorrection::all_of).collect();
        let order = |filed: &FiledCorrection| (filed.correction.made_at, filed.correction.id);
        found.retain(|filed| {
            filed.correction.decision.as_str() == state
                && page.after.is_none_or(|after| order(filed) > after)
        });
        found.sort_by_key(order);
        found.truncate(page.limit);
        Ok(found)
    }

    /// Returns the timesheets of covered employees with a correction that nobody has decided on.
    async fn undecided(&self, reach: &Reach) -> Result<Vec<Timesheet>, StoreError> {
        let mut sheets = self.stores.timesheets.undecided().await?;
        let ids: Vec<_> = sheets.iter().map(|sheet| sheet.employee).collect();
        let employees = self.stores.employees.find_many(&ids).await?;
        let covered = |employee: &Employee| employee.deleted_at.is_none() && reach.covers(employee);
        let covered: Vec<_> = employees.iter().filter(|one| covered(one)).collect();
        sheets.retain(|sheet| covered.iter().any(|one| one.id == sheet.employee));
        Ok(sheets)
    }

    /// Returns a page of timesheets: those of a period for each covered employee who is employed in
    /// it by name, or the stored ones of one covered employee, latest first. Without either, the present period. The
    /// cursor is the key and the employee of the last one.
    pub async fn list(
        &self,
        reach: &Reach,
        filter: &TimesheetFilter,
        page: &Page<(String, EmployeeId)>,
    ) -> Result<Vec<(Employee, Timesheet)>, TimesheetError> {
        let wanted = |sheet: &Timesheet| {
            filter
                .state
                .is_none_or(|state| sheet.progress.as_str() == state)
        };
        let timesheets = &self.stores.timesheets;
        if let Some(id) = filter.employee {
            let employee = self.workdays.employee(reach, id).await?;
            let found = match filter.period {
                Some(date) if page.after.is_none() => {
                    vec![self.workdays.timesheet_of(&employee, date).await?]
                }
                Some(_) => Vec::new(),
                None => {
                    let after = page.after.as_ref();
                    let after = after.and_then(|(to, _)| to.parse().ok());
                    let page = Page {
                        after,
                        limit: page.limit,
                    };
                    timesheets.list_by_employee(id, &page, wanted).await?
                }
            };
            let found = found.into_iter().filter(wanted);
            return Ok(found.map(|sheet| (employee.clone(), sheet)).collect());
        }
        let (mut found, mut after) = (Vec::new(), page.after.clone());
        loop {
            let batch = Page {
                after,
                limit: page.limit,
            };
            let everyone = EmployeeFilter::default();
            let employees = self.stores.employees.list(reach, &everyone, &batch);
            let employees = employees.await?;
            let full = employees.len() == page.limit;
            after = employees.last().map(|last| (last.name.key(), last.id));
            let sheets = self.workdays.timesheets(&employees, filter.period).await?;
            let both = employees.into_iter().zip(sheets);
            found.extend(both.filter(|(employee, sheet)| {
                let employed = employee.employment().overlaps(sheet.period());
                (employed || !sheet.is_untouched()) && wanted(sheet)
            }));
            if found.len() >= page.limit || !full {
                found.truncate(page.limit);
                return Ok(found);
            }
        }
    }

    /// Returns a timesheet of a covered employee with its figures.
    pub async fn find(
        &self,
        reach: &Reach,
        id: TimesheetId,
    ) -> Result<TimesheetDetail, TimesheetError> {
        let employee = self.workdays.employee(reach, id.employee).await?;
        let timesheet = self.timesheet(&employee, id).await?;
        let period = timesheet.period();
        let record = self.workdays.on_record(&employee, period).await?;
        let figures = figures(&record, period, self.clock.now());
        let digest = match timesheet.locked() {
            Some(approval) => approval.digest.clone(),
            None => digest(&timesheet, &record, &figures)?,
        };
        let mut days = self.workdays.days_of(&record, period);
        let employed = record.plan.employed;
        let days_of = &mut days.derived.days;
        days_of.retain(|day| employed.contains(day.day) || has_punches(day));
        Ok(TimesheetDetail {
            days,
            blocked: blocked(&figures),
            timesheet,
            digest,
        })
    }

    /// Submits an open timesheet: the employee or a manager says that it is complete.
    pub async fn submit(&self, by: By<'_>, id: TimesheetId) -> Result<Timesheet, TimesheetError> {
        let employee = self.workdays.employee(by.reach, id.employee).await?;
        let old = self.timesheet(&employee, id).await?;
        must(&old, matches!(old.progress, Progress::Open), "open")?;
        let progress = Progress::Submitted {
            by: by.actor,
            at: self.clock.now(),
        };
        self.advance(by.actor, "timesheet.submit", &old, progress)
            .await
    }

    /// Approves the figures with this digest.
    ///
    /// # Errors
    /// If the caller may not decide, the period is not over, a day is blocked, or the figures have
    /// another digest.
    pub async fn approve(
        &self,
        by: By<'_>,
        id: TimesheetId,
        seen: &str,
    ) -> Result<Timesheet, TimesheetError> {
        let employee = self.decided_by(by, id).await?;
        let old = self.timesheet(&employee, id).await?;
        let open = matches!(old.progress, Progress::Open | Progress::Submitted { .. });
        must(&old, open, "open or submitted")?;
        let (figures, digest) = self.closed(&employee, &old).await?;
        if digest != seen {
            return Err(TimesheetError::Changed);
        }
        let approval = Approval {
            digest,
            by: by.actor,
            at: self.clock.now(),
            figures,
        };
        let progress = Progress::Approved { approval };
        self.advance(by.actor, "timesheet.approve", &old, progress)
            .await
    }

    /// Locks an approved timesheet. From then on its figures stay as they were approved.
    ///
    /// # Errors
    /// If it is not approved, or its figures have changed since.
    pub async fn lock(&self, by: By<'_>, id: TimesheetId) -> Result<Timesheet, TimesheetError> {
        let employee = self.decided_by(by, id).await?;
        let old = self.timesheet(&employee, id).await?;
        let Progress::Approved { approval } = old.progress.clone() else {
            must(&old, false, "approved")?;
            return Err(TimesheetError::Raced);
        };
        let (_, digest) = self.closed(&employee, &old).await?;
        if digest != approval.digest {
            return Err(TimesheetError::Changed);
        }
        let progress = Progress::Locked {
            approval,
            by: by.actor,
            at: self.clock.now(),
        };
        self.advance(by.actor, "timesheet.lock", &old, progress)
            .await
    }

    /// Withdraws the approval and the lock of a timesheet, for an admin.
    pub async fn unlock(&self, actor: Actor, id: TimesheetId) -> Result<Timesheet, TimesheetError> {
        let everything = &Reach::Everything;
        let employee = self.workdays.employee(everything, id.employee).await?;
        let old = self.timesheet(&employee, id).await?;
        let closed = old.progress.approval().is_some();
        must(&old, closed, "approved or locked")?;
        self.advance(actor, "timesheet.unlock", &old, Progress::Open)
            .await
    }

    async fn timesheet(
        &self,
        employee: &Employee,
        id: TimesheetId,
    ) -> Result<Timesheet, TimesheetError> {
        let found = self.workdays.timesheet(employee, id).await?;
        found.ok_or(TimesheetError::NotFound)
    }

    async fn decided_by(&self, by: By<'_>, id: TimesheetId) -> Result<Employee, TimesheetError> {
        let employee = self.workdays.employee(by.reach, id.employee).await?;
        match by.decides_for(&employee) {
            true => Ok(employee),
            false => Err(TimesheetError::OwnHours),
        }
    }

    /// Returns the figures of a period that is over, with their digest.
    async fn closed(
        &self,
        employee: &Employee,
        sheet: &Timesheet,
    ) -> Result<(Derived, String), TimesheetError> {
        let (period, now) = (sheet.period(), self.clock.now());
        let record = self.workdays.on_record(employee, period).await?;
        check_alone(sheet, &record.timesheets)?;
        // The timesheet of an employee who leaves ends with the last day.
        let employed = record.plan.employed.to.map(|last| last.max(period.from));
        let last = employed.map_or(period.to, |last| last.min(period.to));
        if now < record.plan.begins(last.tomorrow().unwrap_or(last)) {
            return Err(TimesheetError::NotOver(last));
        }
        let figures = figures(&record, period, now);
        let blocked = blocked(&figures);
        if !blocked.is_empty() {
            return Err(TimesheetError::Blocked(blocked));
        }
        let digest = digest(sheet, &record, &figures)?;
        Ok((figures, digest))
    }

    /// Writes the next state, unless another request has changed the timesheet since it was read.
    async fn advance(
        &self,
        actor: Actor,
        action: &str,
        old: &Timesheet,
        progress: Progress,
    ) -> Result<Timesheet, TimesheetError> {
        let detail = progress.approval().map(|of| of.digest.clone());
        self.audit.record(actor, action, old.id(), detail).await?;
        let new = Timesheet {
            progress,
            ..old.clone()
        };
        match self.stores.timesheets.exchange(old, &new).await? {
            true => Ok(new),
            false => Err(TimesheetError::Raced),
        }
    }
}

/// Returns the time of a punch that a correction adds or moves.
fn time_of(change: &Correction) -> Option<Timestamp> {
    match change {
        Correction::Add(punch) => Some(punch.at),
        Correction::Move { at, .. } => Some(*at),
        Correction::Void { .. } => None,
    }
}

/// Returns the dates on which a correction may change figures.
fn around(day: Date) -> DateRange {
    DateRange {
        from: day.saturating_sub(Span::new().days(AROUND)),
        to: day.saturating_add(Span::new().days(AROUND)),
    }
}

/// Checks the state of a timesheet.
fn must(sheet: &Timesheet, allowed: bool, must: &'static str) -> Result<(), TimesheetError> {
    let is = sheet.progress.as_str();
    match allowed {
        true => Ok(()),
        false => Err(TimesheetError::State { is, must }),
    }
}

/// Checks that no other timesheet has dates of one that is to be approved.
///
/// That happens only if other periods began to hold while both were written for the first time. Then
/// the dates are those of the timesheet that begins first, unless the other one is approved already.
fn check_alone(sheet: &Timesheet, stored: &[Timesheet]) -> Result<(), TimesheetError> {
    let mut others = stored.iter().filter(|other| {
        let shared = other.from <= sheet.to && sheet.from <= other.to;
        let before = other.from < sheet.from || other.progress.approval().is_some();
        other.from != sheet.from && shared && before
    });
    match others.next() {
        None => Ok(()),
        Some(other) => Err(TimesheetError::Overlap(other.from)),
    }
}

/// Derives the days of a period and the weeks that end in it.
fn figures(record: &OnRecord, period: DateRange, now: Timestamp) -> Derived {
    let mut figures = record.derive(period, now);
    figures.weeks.retain(|week| period.contains(week.ends));
    figures
}

/// Returns the days that cannot be approved: those with a blocking exception, and those on which
/// the employee is still there.
fn blocked(figures: &Derived) -> Vec<BlockedDay> {
    let days = figures.days.iter();
    let days =
        days.filter(|day| day.is_blocked() || day.spans.iter().any(|span| span.left.is_none()));
    let blocked = days.map(|day| BlockedDay {
        day: day.day,
        exceptions: day
            .exceptions
            .iter()
            .copied()
            .filter(|code| code.blocks())
            .collect(),
    });
    blocked.collect()
}

/// Returns the hexadecimal SHA-256 of everything that an approval of the figures covers.
fn digest(
    sheet: &Timesheet,
    record: &OnRecord,
    figures: &Derived,
) -> Result<String, TimesheetError> {
    let plan = &record.plan;
    let mut punches = record.punches.clone();
    punches.retain(|punch| sheet.period().contains(plan.workday(punch.at)));
    punches.sort_unstable_by_key(|punch| (punch.at, punch.id));
    let mut corrections: Vec<_> = sheet.approved().collect();
    corrections.sort_by_key(|(order, _)| *order);
    let mut rules: Vec<(Date, _)> = Vec::new();
    for day in &figures.days {
        let of = plan.rules.at(day.day);
        if rules.last().is_none_or(|(_, last)| *last != of) {
            rules.push((day.day, of));
        }
    }
    let covered = Covered {
        timesheet: &sheet.id().to_string(),
        punches,
        corrections: corrections.into_iter().map(|(_, change)| change).collect(),
        rules,
        figures,
    };
    let json = serde_json::to_vec(&covered);
    let json = json.map_err(|error| StoreError::Corrupt(error.to_string()))?;
    Ok(hex::encode(Sha256::digest(json)))
}
