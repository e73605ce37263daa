//! Timesheets: corrections of punches, and the approval and lock of periods.

use std::{collections::HashMap, sync::Arc};

use jiff::{SignedDuration, Span, Timestamp, civil::Date};
use sha2::{Digest, Sha256};

use super::{
    audit::Audit,
    feed::{Feed, News},
    workdays::{EmployeeDays, OnRecord, WorkdayError, Workdays, has_punches, settled_by},
};
use crate::{
    clock::Clock,
    domain::{
        accounts::Actor,
        attendance::{
            Adjustment, Approval, Correction, CorrectionPath, CorrectionRefusal, Covered,
            DateRange, Decision, Derived, ExceptionCode, Progress, Punch, PunchKind,
            RequestedCorrection, TimedPunch, Timesheet, TimesheetId, adjust, outstanding,
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

/// Days before a timesheet whose changes are settled by its approval: two years.
const SETTLED_BACK: i64 = 731;

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
    #[error(
        "at this site another person must decide: not the one who asked, nor the one who invited that person"
    )]
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
    /// The site wants overtime to be approved, and the caller does not say whether it is.
    #[error("the figures have overtime: say whether it is approved")]
    OvertimeUnsaid,
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

/// What waits for a decision.
#[derive(Debug, Clone, Default)]
pub struct Waiting {
    /// The requested corrections.
    pub corrections: Vec<(Employee, FiledCorrection)>,
    /// The submitted timesheets.
    pub timesheets: Vec<(Employee, Timesheet)>,
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
    /// Adjustments of earlier periods that an approval settles, or has settled.
    pub settles: Vec<Adjustment>,
    /// Those that wait, because their days have exceptions.
    pub held: Vec<Adjustment>,
    /// Whether an approval must say whether the overtime is approved.
    pub asks_for_overtime: bool,
}

/// What an approval of a timesheet covers.
struct Closing {
    record: OnRecord,
    figures: Derived,
    settles: Vec<Adjustment>,
    held: Vec<Adjustment>,
    digest: String,
    asks_for_overtime: bool,
}

/// The service for timesheets.
#[derive(derive_new::new)]
pub struct Timesheets {
    stores: Repositories,
    workdays: Arc<Workdays>,
    audit: Audit,
    clock: Arc<dyn Clock>,
    feed: Feed,
}

impl Timesheets {
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
        let id = CorrectionId::new(self.clock.id());
        self.correct_as(id, by, employee, new).await
    }

    /// Like [`correct`](Self::correct), under an ID that the caller chose. If the timesheet has it
    /// already, returns that correction.
    pub(super) async fn correct_as(
        &self,
        id: CorrectionId,
        by: By<'_>,
        employee: EmployeeId,
        new: NewCorrection,
    ) -> Result<FiledCorrection, TimesheetError> {
        let employee = self.workdays.employee(by.reach, employee).await?;
        let now = self.clock.now();
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
            provisional: false,
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
            if sheet.correction(id).is_some() {
                return Ok(());
            }
            let corrected = sheet.correct(correction.clone(), new.adjust);
            corrected.map_err(TimesheetError::from)
        });
        let correction = filed.await?.correction(id).cloned().unwrap_or(correction);
        self.feed.publish(News::Timesheet(employee.id)).await;
        Ok(FiledCorrection { path, correction })
    }

    /// Checks whether a correction with this ID was made of a punch of an employee at a time.
    pub(super) async fn is_made(
        &self,
        id: CorrectionId,
        employee: EmployeeId,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let near = around(at.to_zoned(jiff::tz::TimeZone::UTC).date());
        let sheets = self.stores.timesheets.of_employee(employee, near).await?;
        Ok(sheets.iter().any(|sheet| sheet.correction(id).is_some()))
    }

    /// Voids a punch in which another person was recognized. It does not count from now on, and a
    /// manager decides whether that is right.
    ///
    /// # Errors
    /// [`CorrectionRefusal::Voided`] if it was voided before.
    pub async fn void_mistaken(
        &self,
        actor: Actor,
        punch: &Punch,
    ) -> Result<FiledCorrection, TimesheetError> {
        let employee = self.workdays.employee(&Reach::Everything, punch.employee);
        let employee = employee.await?;
        let (id, now) = (CorrectionId::new(self.clock.id()), self.clock.now());
        let change = Correction::Void { punch: punch.id };
        let correction = RequestedCorrection {
            id,
            change,
            reason: Reason::not_me(),
            made_by: actor,
            made_at: now,
            decision: Decision::Requested,
            provisional: true,
        };
        let day = self.workday(&employee, punch.at).await?;
        let timesheet = self.workdays.timesheet_of(&employee, day).await?;
        let path = CorrectionPath {
            timesheet: timesheet.id(),
            correction: id,
        };
        self.record(actor, "correction.not_me", path, &change)
            .await?;
        let timesheets = &self.stores.timesheets;
        let filed = timesheets.change(&timesheet, |sheet| {
            if !sheet.period().contains(day) {
                return Err(TimesheetError::Raced);
            }
            // The difference of a locked period is paid later.
            let corrected = sheet.correct(correction.clone(), true);
            corrected.map_err(TimesheetError::from)
        });
        filed.await?;
        self.feed.publish(News::Timesheet(employee.id)).await;
        Ok(FiledCorrection { path, correction })
    }

    /// Checks whether a punch was voided and does not count.
    pub async fn is_voided(&self, punch: &Punch) -> Result<bool, StoreError> {
        self.workdays.is_voided(punch).await
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
        let author = correction.made_by;
        if approve
            && self.workdays.needs_four_eyes(&employee).await?
            && self.stores.accounts.may_be_author(by.actor, author).await?
        {
            return Err(TimesheetError::FourEyes);
        }
        let change = correction.change;
        if approve && !adjust {
            let at = match change {
                Correction::Add(punch) => Some(punch.at),
                Correction::Void { punch } | Correction::Move { punch, .. } => {
                    self.punch(employee.id, punch).await?.map(|old| old.at)
                }
            };
            let day = match at {
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
        // A punch that counts again in a locked period is paid later.
        self.settle(&sheet, path, decision, adjust || !approve)
            .await
    }

    /// Takes back a correction that the caller requested.
    pub async fn withdraw(
        &self,
        by: By<'_>,
        path: CorrectionPath,
    ) -> Result<FiledCorrection, TimesheetError> {
        let (_, sheet, correction) = self.requested(by.reach, path).await?;
        if !correction.made_by.is_same(by.actor) {
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
        self.feed.publish(News::Timesheet(sheet.employee)).await;
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

    /// Returns the corrections of recorded punches that count: what voids each of them, or else what
    /// moved it last. Reads the timesheets of the employees, who are those of the punches.
    pub async fn corrected(
        &self,
        punches: &[Punch],
        employees: &[Employee],
    ) -> Result<HashMap<PunchId, Correction>, StoreError> {
        let days = punches.iter().map(|punch| punch.workday);
        let (Some(first), Some(last)) = (days.clone().min(), days.max()) else {
            return Ok(HashMap::new());
        };
        // A timesheet has the workday by the rules of the employee's site, which can be another one.
        let dates = DateRange {
            from: around(first).from,
            to: around(last).to,
        };
        let sheets = self.workdays.timesheets_of(employees, dates).await?;
        let mut counting: Vec<_> = sheets
            .iter()
            .flatten()
            .flat_map(Timesheet::approved)
            .collect();
        counting.sort_unstable_by_key(|(order, _)| *order);
        let mut corrected = HashMap::new();
        for (_, change) in counting {
            match change {
                Correction::Add(_) => {}
                Correction::Void { punch } => drop(corrected.insert(punch, change)),
                Correction::Move { punch, .. } => {
                    let voided = Correction::Void { punch };
                    if corrected.get(&punch) != Some(&voided) {
                        corrected.insert(punch, change);
                    }
                }
            }
        }
        Ok(corrected)
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

    /// Returns the timesheets with a correction that nobody has decided on, of covered employees.
    async fn undecided(&self, reach: &Reach) -> Result<Vec<Timesheet>, StoreError> {
        let sheets = self.stores.timesheets.undecided().await?;
        let covered = self.covered(reach, sheets).await?.into_iter();
        Ok(covered.map(|(_, sheet)| sheet).collect())
    }

    /// Returns what waits for a decision about covered employees: corrections that were requested,
    /// and timesheets that were submitted.
    pub async fn waiting(&self, reach: &Reach) -> Result<Waiting, StoreError> {
        let stored = &self.stores.timesheets;
        let (undecided, submitted) = tokio::try_join!(stored.undecided(), stored.submitted())?;
        let undecided = self.covered(reach, undecided).await?.into_iter();
        let corrections = undecided.flat_map(|(employee, sheet)| {
            let all = FiledCorrection::all_of(&sheet).into_iter();
            let requested = all.filter(|one| one.correction.decision == Decision::Requested);
            requested.map(move |filed| (employee.clone(), filed))
        });
        Ok(Waiting {
            corrections: corrections.collect(),
            timesheets: self.covered(reach, submitted).await?,
        })
    }

    /// Returns those of some timesheets whose employees are covered and not deleted.
    async fn covered(
        &self,
        reach: &Reach,
        sheets: Vec<Timesheet>,
    ) -> Result<Vec<(Employee, Timesheet)>, StoreError> {
        let ids: Vec<_> = sheets.iter().map(|sheet| sheet.employee).collect();
        let employees = self.stores.employees.find_many(&ids).await?;
        let covered = |one: &&Employee| one.deleted_at.is_none() && reach.covers(*one);
        let covered: HashMap<_, _> = employees
            .iter()
            .filter(covered)
            .map(|one| (one.id, one))
            .collect();
        let both = sheets.into_iter().filter_map(|sheet| {
            let employee = covered.get(&sheet.employee)?;
            Some(((*employee).clone(), sheet))
        });
        Ok(both.collect())
    }

    /// Returns a page of timesheets: those of a period for each covered employee who is employed in
    /// it by name, or the stored ones of one covered employee, latest first. Without either, those of
    /// the present period, or all submitted ones by name. The cursor is the key and the employee of
    /// the last one.
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
        if filter.period.is_none() && filter.state == Some(Progress::WORDS[1]) {
            let submitted = self.covered(reach, timesheets.submitted().await?);
            let place =
                |(one, sheet): &(Employee, Timesheet)| ((one.name.key(), one.id), sheet.from);
            let mut submitted = submitted.await?;
            submitted.retain(|one| {
                page.after
                    .as_ref()
                    .is_none_or(|after| place(one).0 > *after)
            });
            submitted.sort_by_cached_key(place);
            submitted.truncate(page.limit);
            return Ok(submitted);
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
        let closing = self.closing(&employee, &timesheet).await?;
        let digest = match timesheet.locked() {
            Some(approval) => approval.digest.clone(),
            None => closing.digest,
        };
        let period = timesheet.period();
        let record = &closing.record;
        let mut days = self.workdays.days_of(&employee, record, period).await?;
        let employed = record.plan.employed;
        let days_of = &mut days.derived.days;
        days_of.retain(|day| employed.contains(day.day) || has_punches(day));
        Ok(TimesheetDetail {
            days,
            blocked: blocked(&closing.figures),
            timesheet,
            digest,
            settles: closing.settles,
            held: closing.held,
            asks_for_overtime: closing.asks_for_overtime,
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

    /// Approves the figures with this digest, and the adjustments of earlier periods that are paid
    /// in this one. `overtime` says whether the overtime in them is approved, too; it may be left out
    /// where the site does not ask.
    ///
    /// # Errors
    /// If the caller may not decide, the period is not over, a day is blocked, the figures have
    /// another digest, or the site asks whether overtime is approved.
    pub async fn approve(
        &self,
        by: By<'_>,
        id: TimesheetId,
        seen: &str,
        overtime: Option<bool>,
    ) -> Result<Timesheet, TimesheetError> {
        let employee = self.decided_by(by, id).await?;
        let old = self.timesheet(&employee, id).await?;
        let closing = self.closed(&employee, &old).await?;
        // An approval whose figures have changed since can be repeated.
        let approvable = match &old.progress {
            Progress::Open | Progress::Submitted { .. } => true,
            Progress::Approved { approval } => approval.digest != closing.digest,
            Progress::Locked { .. } => false,
        };
        must(&old, approvable, "open or submitted")?;
        if closing.digest != seen {
            return Err(TimesheetError::Changed);
        }
        if overtime.is_none() && closing.asks_for_overtime {
            return Err(TimesheetError::OvertimeUnsaid);
        }
        let approval = Approval {
            digest: closing.digest,
            by: by.actor,
            at: self.clock.now(),
            figures: closing.figures,
            settled: closing.settles,
            overtime: overtime.unwrap_or(true),
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
        let closing = self.closed(&employee, &old).await?;
        if closing.digest != approval.digest {
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

    /// Returns what an approval of a period that is over covers.
    async fn closed(
        &self,
        employee: &Employee,
        sheet: &Timesheet,
    ) -> Result<Closing, TimesheetError> {
        let closing = self.closing(employee, sheet).await?;
        check_alone(sheet, &closing.record.timesheets)?;
        // The timesheet of an employee who leaves ends with the last day.
        let plan = &closing.record.plan;
        let employed = plan.employed.to.map(|last| last.max(sheet.from));
        let last = employed.map_or(sheet.to, |last| last.min(sheet.to));
        if self.clock.now() < plan.begins(last.tomorrow().unwrap_or(last)) {
            return Err(TimesheetError::NotOver(last));
        }
        let blocked = blocked(&closing.figures);
        match blocked.is_empty() {
            true => Ok(closing),
            false => Err(TimesheetError::Blocked(blocked)),
        }
    }

    /// Returns what an approval of a timesheet would cover now. Its figures are derived also if it
    /// is approved or locked, but what it settles is what was approved.
    async fn closing(
        &self,
        employee: &Employee,
        sheet: &Timesheet,
    ) -> Result<Closing, TimesheetError> {
        let sheets = match sheet.progress.approval() {
            Some(_) => Vec::new(),
            None => {
                let near = DateRange {
                    from: sheet.from.saturating_sub(Span::new().days(SETTLED_BACK)),
                    to: Date::MAX,
                };
                self.stores
                    .timesheets
                    .of_employee(employee.id, near)
                    .await?
            }
        };
        let earlier = closed_before(sheet, &sheets);
        let locked: Vec<_> = earlier.into_iter().filter_map(Timesheet::locked).collect();
        let range = DateRange {
            from: first_day(&locked).unwrap_or(sheet.from).min(sheet.from),
            to: sheet.to,
        };
        let record = self.workdays.on_record(employee, range).await?;
        let derived = record.derive(range, self.clock.now());
        let (mut settles, mut held) = (Vec::new(), Vec::new());
        match sheet.progress.approval() {
            Some(approval) => settles.clone_from(&approval.settled),
            None => {
                let mut approved = Derived::default();
                for approval in locked {
                    approved.days.extend(approval.figures.days.iter().cloned());
                    approved
                        .weeks
                        .extend(approval.figures.weeks.iter().cloned());
                }
                for adjustment in outstanding(&approved, &derived, settled_by(&sheets)) {
                    match adjustment.held {
                        true => held.push(adjustment),
                        false => settles.push(adjustment),
                    }
                }
            }
        }
        let figures = of_period(derived, sheet.period());
        let asks_for_overtime = has_overtime(&figures, &settles)
            && self.workdays.asks_for_overtime(employee, sheet.to).await?;
        let digest = digest(sheet, &record, &figures, &settles)?;
        Ok(Closing {
            record,
            figures,
            settles,
            held,
            digest,
            asks_for_overtime,
        })
    }

    /// Writes the next state, unless another request has changed the timesheet since it was read.
    async fn advance(
        &self,
        actor: Actor,
        action: &str,
        old: &Timesheet,
        progress: Progress,
    ) -> Result<Timesheet, TimesheetError> {
        let detail = progress.approval().map(|of| match of.overtime {
            true => of.digest.clone(),
            false => format!("{}, without overtime", of.digest),
        });
        self.audit.record(actor, action, old.id(), detail).await?;
        let new = Timesheet {
            progress,
            ..old.clone()
        };
        match self.stores.timesheets.exchange(old, &new).await? {
            true => {
                self.feed.publish(News::Timesheet(new.employee)).await;
                Ok(new)
            }
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

/// Returns the timesheets before one that is open, as far back as no open period is between: what
/// changed of those that are locked is paid in this one. Latest first.
fn closed_before<'a>(sheet: &Timesheet, stored: &'a [Timesheet]) -> Vec<&'a Timesheet> {
    let (mut closed, mut next) = (Vec::new(), sheet.from);
    let before = stored.iter().rev().filter(|other| other.to < sheet.from);
    for other in before {
        if other.progress.approval().is_none() || other.to.tomorrow().ok() != Some(next) {
            break;
        }
        closed.push(other);
        next = other.from;
    }
    closed
}

/// Returns the first day that was approved.
fn first_day(approvals: &[&Approval]) -> Option<Date> {
    let days = approvals.iter().flat_map(|approval| &approval.figures.days);
    days.map(|day| day.day).min()
}

/// Checks whether there is overtime to be approved.
fn has_overtime(figures: &Derived, settles: &[Adjustment]) -> bool {
    figures.days.iter().any(|day| day.overtime > 0)
        || figures.weeks.iter().any(|week| week.overtime > 0)
        || settles.iter().any(|adjustment| adjustment.overtime > 0)
}

/// Returns the days of a period and the weeks that end in it.
fn of_period(mut figures: Derived, period: DateRange) -> Derived {
    figures.days.retain(|day| period.contains(day.day));
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
    settled: &[Adjustment],
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
        settled,
    };
    let json = serde_json::to_vec(&covered);
    let json = json.map_err(|error| StoreError::Corrupt(error.to_string()))?;
    Ok(hex::encode(Sha256::digest(json)))
}
