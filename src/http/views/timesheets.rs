//! Timesheets and corrections.

use std::{collections::HashMap, sync::Arc};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    read_id, read_time, time,
    workdays::{AdjustmentView, DaysView},
};
use crate::{
    clock::whole_milliseconds,
    domain::{
        accounts::Actor,
        attendance::{Correction, PunchKind, TimedPunch, Timesheet},
        balances::RunningBalance,
        employees::Employee,
        ids::{AccountId, EmployeeId, PunchId},
        record::Record,
        text::Reason,
    },
    http::{
        field_error::FieldError,
        problem::{Fields, Problem},
    },
    service::{
        sites::SiteMap,
        timesheets::{BlockedDay, Change, FiledCorrection, NewCorrection, TimesheetDetail},
    },
};

/// Who did something.
#[derive(Serialize, ToSchema)]
#[schema(title = "Person")]
pub struct ByView {
    /// `account`, `token`, `device`, `operator` or `system`.
    #[schema(example = "account")]
    kind: &'static str,
    /// The ID of the account, API token or device.
    #[schema(format = "uuid")]
    id: Option<String>,
}

impl From<Actor> for ByView {
    fn from(actor: Actor) -> Self {
        Self {
            kind: actor.kind(),
            id: actor.id().map(|id| id.to_string()),
        }
    }
}

/// What a correction can do.
const ACTIONS: [&str; 3] = ["add", "void", "move"];

/// A correction to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "NewCorrection")]
pub struct CorrectionRequest {
    /// `add` a punch that was not made, `void` a punch for good, or `move` it to another time.
    #[schema(example = "add")]
    action: String,
    /// The kind of an added punch: `in`, `out`, `break_start` or `break_end`.
    #[schema(example = "out")]
    kind: Option<String>,
    /// The time of an added punch, or the new time of a moved one, RFC 3339. Not in the future; a
    /// punch is moved by at most 7 days.
    #[schema(format = "date-time", example = "2026-03-02T16:30:00+01:00")]
    at: Option<String>,
    /// The ID of the punch to void or move.
    #[schema(format = "uuid")]
    punch: Option<String>,
    /// Why; 1 to 500 characters.
    #[schema(example = "Forgot to punch")]
    reason: String,
    /// Whether it may become an adjustment of a locked period.
    #[serde(default)]
    adjust: bool,
}

impl CorrectionRequest {
    /// Reads the correction.
    pub fn read(self) -> Result<NewCorrection, Problem> {
        let mut fields = Fields::default();
        let reason = fields.required("reason", Reason::parse(&self.reason));
        let kind = fields.optional("kind", self.kind, |text| PunchKind::parse(&text));
        let at = fields
            .optional("at", self.at, read_time)
            .map(whole_milliseconds);
        let punch = fields.optional("punch", self.punch, read_id);
        fields_check(fields, |fields| {
            let action = self.action.as_str();
            let (needs_kind, needs_at, needs_punch) = match action {
                "add" => (true, true, false),
                "void" => (false, false, true),
                "move" => (false, true, true),
                _ => {
                    let values = ACTIONS.to_vec();
                    fields.add("action", FieldError::NotOneOf { values });
                    return;
                }
            };
            for (name, needed, there) in [
                ("kind", needs_kind, kind.is_some()),
                ("at", needs_at, at.is_some()),
                ("punch", needs_punch, punch.is_some()),
            ] {
                if needed && !there {
                    fields.add(name, FieldError::Required);
                } else if there && !needed {
                    fields.add(name, FieldError::Excluded { by: "action" });
                }
            }
        })?;
        let change = match (kind, at, punch) {
            (Some(kind), Some(at), None) => Some(Change::Add { kind, at }),
            (None, None, Some(punch)) => Some(Change::Void { punch }),
            (None, Some(at), Some(punch)) => Some(Change::Move { punch, at }),
            _ => None,
        };
        let (Some(change), Some(reason)) = (change, reason) else {
            return Err(Problem::field("action", FieldError::InvalidValue));
        };
        Ok(NewCorrection {
            change,
            reason,
            adjust: self.adjust,
        })
    }
}

/// Checks fields together after each was read, unless one could not be read.
fn fields_check(fields: Fields, check: impl FnOnce(&mut Fields)) -> Result<(), Problem> {
    fields.check()?;
    let mut fields = Fields::default();
    check(&mut fields);
    fields.check()
}

/// A correction of punches.
#[derive(Serialize, ToSchema)]
#[schema(title = "Correction")]
pub struct CorrectionView {
    /// The ID.
    #[schema(
        example = "0199f3a0-7c1e-7d5a-9f0e-2b7f6f0c1a2b:2026-03-01:0199f3a0-7c1e-7d5a-9f0e-2b7f6f0c0011"
    )]
    id: String,
    /// The ID of the timesheet that has it.
    timesheet: String,
    /// The ID of the employee.
    #[schema(format = "uuid")]
    employee: String,
    /// `add`, `void` or `move`.
    #[schema(example = "add")]
    action: &'static str,
    /// The ID of the punch that is added, voided or moved.
    #[schema(format = "uuid")]
    punch: String,
    /// The kind of an added punch.
    #[schema(example = "out")]
    kind: Option<&'static str>,
    /// The time of an added punch, or the new time of a moved one.
    #[schema(format = "date-time")]
    at: Option<String>,
    /// Why.
    reason: String,
    /// `requested`, `approved`, `rejected` or `withdrawn`. Only an approved correction counts, and a
    /// provisional one until it is decided.
    #[schema(example = "approved")]
    state: &'static str,
    /// Whether it counts until it is decided: a person said at the kiosk that a punch is not theirs.
    provisional: bool,
    /// Who made it.
    made_by: ByView,
    /// When it was made.
    #[schema(format = "date-time")]
    made_at: String,
    /// Who approved or rejected it.
    decided_by: Option<ByView>,
    /// When it was approved, rejected or withdrawn.
    #[schema(format = "date-time")]
    decided_at: Option<String>,
}

impl From<&FiledCorrection> for CorrectionView {
    fn from(FiledCorrection { path, correction }: &FiledCorrection) -> Self {
        let (action, punch, kind, at) = match correction.change {
            Correction::Add(punch) => ("add", punch.id, Some(punch.kind), Some(punch.at)),
            Correction::Void { punch } => ("void", punch, None, None),
            Correction::Move { punch, at } => ("move", punch, None, Some(at)),
        };
        Self {
            id: path.to_string(),
            timesheet: path.timesheet.to_string(),
            employee: path.timesheet.employee.to_string(),
            action,
            punch: punch.to_string(),
            kind: kind.map(PunchKind::as_str),
            at: at.map(time),
            reason: correction.reason.to_string(),
            state: correction.decision.as_str(),
            provisional: correction.provisional,
            made_by: correction.made_by.into(),
            made_at: time(correction.made_at),
            decided_by: correction.decision.by().map(ByView::from),
            decided_at: correction.decision.at().map(time),
        }
    }
}

/// A punch before a correction.
#[derive(Serialize, ToSchema)]
#[schema(title = "OldPunch")]
pub struct OldPunchView {
    /// `in`, `out`, `break_start` or `break_end`.
    #[schema(example = "out")]
    kind: &'static str,
    /// When it was made.
    #[schema(format = "date-time")]
    at: String,
}

/// A correction in a list.
#[derive(Serialize, ToSchema)]
#[schema(title = "ListedCorrection")]
pub struct ListedCorrectionView {
    #[serde(flatten)]
    correction: CorrectionView,
    /// The name of the employee.
    #[schema(example = "Grace Hopper")]
    name: String,
    /// The zone of the employee's site.
    #[schema(example = "Europe/Berlin")]
    zone: Option<String>,
    /// The name of the account that made it; null if it no longer exists.
    #[schema(example = "Ada Admin")]
    made_by_name: Option<String>,
    /// The punch that is voided or moved, as it was recorded or added; null for an added one.
    old: Option<OldPunchView>,
}

/// What a list of corrections shows beside them.
pub struct CorrectionContext {
    /// The employees.
    pub employees: HashMap<EmployeeId, Employee>,
    /// All sites.
    pub sites: Arc<SiteMap>,
    /// The names of the accounts that made them.
    pub accounts: HashMap<AccountId, String>,
    /// The punches that they void or move.
    pub old: HashMap<PunchId, TimedPunch>,
}

impl CorrectionContext {
    /// Returns a correction as it is listed.
    pub fn view(&self, filed: &FiledCorrection) -> ListedCorrectionView {
        let employee = self.employees.get(&filed.path.timesheet.employee);
        let site = employee.and_then(|employee| self.sites.or_default(employee.site));
        let author = filed.correction.made_by.account();
        let old = match filed.correction.change {
            Correction::Add(_) => None,
            Correction::Void { punch } | Correction::Move { punch, .. } => self.old.get(&punch),
        };
        ListedCorrectionView {
            correction: filed.into(),
            name: employee.map(|one| one.name.to_string()).unwrap_or_default(),
            zone: site.map(|site| site.zone.to_string()),
            made_by_name: author.and_then(|id| self.accounts.get(&id).cloned()),
            old: old.map(|punch| OldPunchView {
                kind: punch.kind.as_str(),
                at: time(punch.at),
            }),
        }
    }
}

/// An approval.
#[derive(Serialize, ToSchema)]
#[schema(title = "Approval")]
pub struct ApprovalView {
    /// Hexadecimal SHA-256 of what was approved.
    digest: String,
    /// Who approved it.
    by: ByView,
    /// When it was approved.
    #[schema(format = "date-time")]
    at: String,
    /// Whether the overtime is approved, too. If not, it is not paid.
    overtime: bool,
}

/// A timesheet: the workdays of an employee over a period.
#[derive(Serialize, ToSchema)]
#[schema(title = "Timesheet")]
pub struct TimesheetView {
    /// The ID: that of the employee and the first date.
    #[schema(example = "0199f3a0-7c1e-7d5a-9f0e-2b7f6f0c1a2b:2026-03-01")]
    id: String,
    /// The ID of the employee.
    #[schema(format = "uuid")]
    employee: String,
    /// The first date.
    #[schema(format = "date")]
    from: String,
    /// The last date.
    #[schema(format = "date")]
    to: String,
    /// `open`, `submitted`, `approved` or `locked`.
    #[schema(example = "open")]
    state: &'static str,
    /// What was approved; null unless it is approved or locked.
    approval: Option<ApprovalView>,
    /// How many corrections nobody has decided on.
    requested_corrections: usize,
}

impl From<&Timesheet> for TimesheetView {
    fn from(sheet: &Timesheet) -> Self {
        let approval = sheet.progress.approval().map(|approval| ApprovalView {
            digest: approval.digest.clone(),
            by: approval.by.into(),
            at: time(approval.at),
            overtime: approval.overtime,
        });
        let requested = sheet.corrections.iter();
        let requested = requested.filter(|one| one.decision.at().is_none());
        Self {
            id: sheet.id().to_string(),
            employee: sheet.employee.to_string(),
            from: sheet.from.to_string(),
            to: sheet.to.to_string(),
            state: sheet.progress.as_str(),
            approval,
            requested_corrections: requested.count(),
        }
    }
}

/// A timesheet in a list.
#[derive(Serialize, ToSchema)]
#[schema(title = "NamedTimesheet")]
pub struct NamedTimesheetView {
    #[serde(flatten)]
    timesheet: TimesheetView,
    /// The name of the employee.
    #[schema(example = "Grace Hopper")]
    name: String,
    /// The code of the employee.
    #[schema(example = "E7")]
    code: String,
    /// The ID of the employee's site.
    #[schema(format = "uuid")]
    site: String,
}

impl From<&(Employee, Timesheet)> for NamedTimesheetView {
    fn from((employee, sheet): &(Employee, Timesheet)) -> Self {
        Self {
            timesheet: sheet.into(),
            name: employee.name.to_string(),
            code: employee.code.to_string(),
            site: employee.site.to_string(),
        }
    }
}

/// A day that cannot be approved.
#[derive(Serialize, ToSchema)]
#[schema(title = "BlockedDay")]
pub struct BlockedDayView {
    /// The date.
    #[schema(format = "date")]
    day: String,
    /// The exceptions to settle; none if the employee has not left yet.
    #[schema(example = json!(["missing_out"]))]
    exceptions: Vec<&'static str>,
}

impl From<&BlockedDay> for BlockedDayView {
    fn from(blocked: &BlockedDay) -> Self {
        let exceptions = blocked.exceptions.iter();
        Self {
            day: blocked.day.to_string(),
            exceptions: exceptions.map(|code| code.as_str()).collect(),
        }
    }
}

/// A timesheet with its figures.
#[derive(Serialize, ToSchema)]
#[schema(title = "TimesheetDetail")]
pub struct TimesheetDetailView {
    /// The timesheet.
    timesheet: TimesheetView,
    /// Its days, weeks and sums.
    figures: DaysView,
    /// Hexadecimal SHA-256 of what an approval would cover; send it to approve these figures.
    digest: String,
    /// The days that prevent an approval.
    blocked: Vec<BlockedDayView>,
    /// What changed of earlier periods that are locked, and is paid in this one once it is approved.
    /// Held ones wait.
    settles: Vec<AdjustmentView>,
    /// Whether an approval must say whether the overtime is approved, too.
    asks_for_overtime: bool,
    /// Its corrections, in the order in which they were made.
    corrections: Vec<CorrectionView>,
}

impl TimesheetDetailView {
    /// Returns a timesheet with the running balance of its days.
    pub fn new(detail: TimesheetDetail, running: &RunningBalance) -> Self {
        let corrections = FiledCorrection::all_of(&detail.timesheet);
        let approved = detail.timesheet.progress.approval().is_some();
        let settles = detail.settles.iter();
        let settles = settles.map(|one| AdjustmentView::new(one, approved));
        let held = detail.held.iter();
        let held = held.map(|one| AdjustmentView::new(one, false));
        Self {
            timesheet: (&detail.timesheet).into(),
            figures: DaysView::new(detail.days, running),
            digest: detail.digest,
            blocked: detail.blocked.iter().map(BlockedDayView::from).collect(),
            settles: settles.chain(held).collect(),
            asks_for_overtime: detail.asks_for_overtime,
            corrections: corrections.iter().map(CorrectionView::from).collect(),
        }
    }
}
