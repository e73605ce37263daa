//! Timesheets: the workdays of an employee over a period, with the corrections of their punches and
//! the state of their approval. All of it is one record, so that of a lock and a late correction
//! only one is written.

use std::{borrow::Borrow, fmt, str::FromStr};

use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Serialize, Serializer, ser};
use serde_json::Value;

use super::super::{
    accounts::Actor,
    ids::{CorrectionId, EmployeeId, PunchId},
    record::{About, Changes, Index, Keys, Kind, OnErase, Record},
    text::Reason,
};
use super::{
    adjustments::Adjustment,
    corrections::{Correction, TimedPunch},
    day::Derived,
    rules::Rules,
    time::{DateRange, shifted},
};

/// The ID of a timesheet. As text `EMPLOYEE:FIRST_DATE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct TimesheetId {
    /// The employee.
    pub employee: EmployeeId,
    /// The first date of the period.
    pub from: Date,
}

/// The error for a text that is not an ID of this kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be an ID")]
pub struct NoSuchId;

impl fmt::Display for TimesheetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.employee, self.from)
    }
}

impl FromStr for TimesheetId {
    type Err = NoSuchId;

    fn from_str(text: &str) -> Result<Self, NoSuchId> {
        let (employee, from) = text.split_once(':').ok_or(NoSuchId)?;
        let id = Self {
            employee: employee.parse().map_err(|_| NoSuchId)?,
            from: from.parse().map_err(|_| NoSuchId)?,
        };
        // Other spellings of dates name nothing.
        let exact = id.to_string() == text;
        exact.then_some(id).ok_or(NoSuchId)
    }
}

/// Where a correction is found. As text `EMPLOYEE:FIRST_DATE:CORRECTION`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct CorrectionPath {
    /// The timesheet that has it.
    pub timesheet: TimesheetId,
    /// The correction.
    pub correction: CorrectionId,
}

impl fmt::Display for CorrectionPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.timesheet, self.correction)
    }
}

impl FromStr for CorrectionPath {
    type Err = NoSuchId;

    fn from_str(text: &str) -> Result<Self, NoSuchId> {
        let (timesheet, correction) = text.rsplit_once(':').ok_or(NoSuchId)?;
        Ok(Self {
            timesheet: timesheet.parse()?,
            correction: correction.parse().map_err(|_| NoSuchId)?,
        })
    }
}

impl TryFrom<String> for TimesheetId {
    type Error = NoSuchId;

    fn try_from(text: String) -> Result<Self, NoSuchId> {
        text.parse()
    }
}

impl TryFrom<String> for CorrectionPath {
    type Error = NoSuchId;

    fn try_from(text: String) -> Result<Self, NoSuchId> {
        text.parse()
    }
}

/// A correction with its author, its reason and what was decided about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RequestedCorrection {
    /// The ID. An added punch has the same UUID.
    pub id: CorrectionId,
    /// What it changes.
    pub change: Correction,
    /// Why.
    pub reason: Reason,
    /// Who made it.
    pub made_by: Actor,
    /// When it was made.
    pub made_at: Timestamp,
    /// What was decided about it.
    pub decision: Decision,
    /// Whether it counts until a manager decides about it, as for a punch of another person.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub provisional: bool,
}

impl RequestedCorrection {
    /// Returns since when the correction counts; `None` if it does not.
    fn counts_since(&self) -> Option<Timestamp> {
        match self.decision {
            Decision::Approved { at, .. } => Some(at),
            Decision::Requested if self.provisional => Some(self.made_at),
            Decision::Requested | Decision::Rejected { .. } | Decision::Withdrawn { .. } => None,
        }
    }
}

/// What was decided about a correction. Only an approved one counts, and a provisional one until it
/// is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the fields say who decided, and when")]
pub enum Decision {
    /// Nothing yet.
    Requested,
    /// It counts.
    Approved { by: Actor, at: Timestamp },
    /// It does not count.
    Rejected { by: Actor, at: Timestamp },
    /// Its author took it back.
    Withdrawn { at: Timestamp },
}

impl Decision {
    /// The words in the API and the store.
    pub const WORDS: [&str; 4] = ["requested", "approved", "rejected", "withdrawn"];

    /// Returns the word in the API and the store.
    pub fn as_str(self) -> &'static str {
        let [requested, approved, rejected, withdrawn] = Self::WORDS;
        match self {
            Self::Requested => requested,
            Self::Approved { .. } => approved,
            Self::Rejected { .. } => rejected,
            Self::Withdrawn { .. } => withdrawn,
        }
    }

    /// Returns who decided.
    pub fn by(self) -> Option<Actor> {
        match self {
            Self::Requested | Self::Withdrawn { .. } => None,
            Self::Approved { by, .. } | Self::Rejected { by, .. } => Some(by),
        }
    }

    /// Returns when it was decided.
    pub fn at(self) -> Option<Timestamp> {
        match self {
            Self::Requested => None,
            Self::Approved { at, .. } | Self::Rejected { at, .. } | Self::Withdrawn { at } => {
                Some(at)
            }
        }
    }
}

/// What was approved, and by whom.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Approval {
    /// Hexadecimal SHA-256 of everything that the figures were made of.
    pub digest: String,
    /// Who approved it.
    pub by: Actor,
    /// When it was approved.
    pub at: Timestamp,
    /// The workdays of the period, and the weeks that end in it.
    #[serde(serialize_with = "without_texts")]
    pub figures: Derived,
    /// Adjustments of earlier, locked periods that were approved with it and are paid in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settled: Vec<Adjustment>,
    /// Whether the overtime in all of this is approved, too. If not, it is not paid.
    #[serde(default = "yes")]
    pub overtime: bool,
}

fn yes() -> bool {
    true
}

/// What an approval covers, in the form whose digest is taken. The steps of the days have the
/// spans, the shifts, the holidays and the leave.
#[derive(Debug, Serialize)]
pub struct Covered<'a> {
    /// The timesheet.
    pub timesheet: &'a str,
    /// The punches that were made in the period.
    pub punches: Vec<TimedPunch>,
    /// The approved corrections of the timesheet, in order.
    pub corrections: Vec<Correction>,
    /// The rules of the period, each with the first day on which they hold.
    pub rules: Vec<(Date, &'a Rules)>,
    /// The figures.
    #[serde(serialize_with = "without_texts")]
    pub figures: &'a Derived,
    /// The adjustments of earlier periods that it settles.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub settled: &'a [Adjustment],
}

/// Writes figures without the English sentences of their steps, which follow from the codes.
fn without_texts<D: Borrow<Derived>, S: Serializer>(
    figures: &D,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut figures = serde_json::to_value(figures.borrow()).map_err(ser::Error::custom)?;
    let days = figures.get_mut("days").and_then(Value::as_array_mut);
    let steps = days.into_iter().flatten();
    let steps = steps.filter_map(|day| day.get_mut("steps")?.as_array_mut());
    for step in steps.flatten().filter_map(Value::as_object_mut) {
        step.remove("text");
    }
    figures.serialize(serializer)
}

/// How far a timesheet is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the fields say who did it, and when")]
pub enum Progress {
    /// It is being filled.
    Open,
    /// The employee or a manager says that it is complete.
    Submitted { by: Actor, at: Timestamp },
    /// A manager approved the figures. A later correction opens it again.
    Approved { approval: Approval },
    /// The approved figures stay as they are. What comes later becomes an adjustment.
    Locked {
        approval: Approval,
        by: Actor,
        at: Timestamp,
    },
}

impl Progress {
    /// The words in the API and the store.
    pub const WORDS: [&str; 4] = ["open", "submitted", "approved", "locked"];

    /// Returns the word in the API and the store.
    pub fn as_str(&self) -> &'static str {
        let [open, submitted, approved, locked] = Self::WORDS;
        match self {
            Self::Open => open,
            Self::Submitted { .. } => submitted,
            Self::Approved { .. } => approved,
            Self::Locked { .. } => locked,
        }
    }

    /// Returns what was approved.
    pub fn approval(&self) -> Option<&Approval> {
        match self {
            Self::Open | Self::Submitted { .. } => None,
            Self::Approved { approval } | Self::Locked { approval, .. } => Some(approval),
        }
    }
}

/// Why a correction cannot be made or decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CorrectionRefusal {
    /// The timesheet is locked, and the caller did not ask for an adjustment.
    #[error(
        "the timesheet is locked: send \"adjust\": true to keep its figures and pay the difference later, or ask an admin to unlock it"
    )]
    Locked,
    /// The timesheet has too many corrections.
    #[error(
        "the timesheet has {} corrections, which is the most",
        Timesheet::MOST_CORRECTIONS
    )]
    TooMany,
    /// The punch was voided.
    #[error("the punch was voided: add another one instead")]
    Voided,
    /// The correction was decided before.
    #[error("the correction was decided before: read it again")]
    Decided,
    /// The timesheet has no such correction.
    #[error("no such correction")]
    NotFound,
}

/// The workdays of an employee over a period.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Timesheet {
    /// The employee.
    pub employee: EmployeeId,
    /// The first date.
    pub from: Date,
    /// The last date.
    pub to: Date,
    /// How far it is.
    pub progress: Progress,
    /// Corrections of punches that lie in the period, in the order in which they were made.
    pub corrections: Vec<RequestedCorrection>,
}

impl Timesheet {
    /// The most corrections of a timesheet, so that the record stays small.
    pub const MOST_CORRECTIONS: usize = 500;
    /// Timesheets of an employee, by the last date of their period.
    pub const BY_EMPLOYEE: Index = Index::unique("by_employee");
    /// All timesheets, by the last date of their period.
    pub const BY_PERIOD: Index = Index::ordered("by_period");
    /// Timesheets with a correction that nobody has decided on, by the first of these.
    pub const BY_REQUEST: Index = Index::ordered("by_request");
    /// Timesheets that were submitted and not approved, by the time of that.
    pub const BY_SUBMISSION: Index = Index::ordered("by_submission");

    /// Returns the open timesheet of a period.
    pub fn new(employee: EmployeeId, DateRange { from, to }: DateRange) -> Self {
        Self {
            employee,
            from,
            to,
            progress: Progress::Open,
            corrections: Vec::new(),
        }
    }

    /// Checks whether nothing was ever done with the timesheet.
    pub fn is_untouched(&self) -> bool {
        self.progress == Progress::Open && self.corrections.is_empty()
    }

    /// Returns the timesheet of a workday: the stored one that has it, or an open one.
    ///
    /// A stored timesheet keeps its dates, whatever the rules say now. The open one has those dates
    /// of `period`, the period of the workday, that are around it and in no stored timesheet.
    /// `stored` has at least the timesheets that share dates with the period, in order.
    pub fn of_day(employee: EmployeeId, day: Date, mut period: DateRange, stored: &[Self]) -> Self {
        if let Some(found) = stored.iter().find(|sheet| sheet.period().contains(day)) {
            return found.clone();
        }
        for sheet in stored {
            match sheet.to < day {
                true => period.from = period.from.max(shifted(sheet.to, 1)),
                false => period.to = period.to.min(shifted(sheet.from, -1)),
            }
        }
        Self::new(employee, period)
    }

    /// Returns the period.
    pub fn period(&self) -> DateRange {
        DateRange {
            from: self.from,
            to: self.to,
        }
    }

    /// Returns what is locked.
    pub fn locked(&self) -> Option<&Approval> {
        match &self.progress {
            Progress::Locked { approval, .. } => Some(approval),
            Progress::Open | Progress::Submitted { .. } | Progress::Approved { .. } => None,
        }
    }

    /// Returns a correction.
    pub fn correction(&self, id: CorrectionId) -> Option<&RequestedCorrection> {
        self.corrections.iter().find(|one| one.id == id)
    }

    /// Returns the corrections that count with the time and ID of the decision, which order them.
    pub fn approved(&self) -> impl Iterator<Item = ((Timestamp, CorrectionId), Correction)> + '_ {
        let counts = |one: &RequestedCorrection| Some(((one.counts_since()?, one.id), one.change));
        self.corrections.iter().filter_map(counts)
    }

    /// Returns the punch that an approved correction added.
    pub fn added(&self, punch: PunchId) -> Option<TimedPunch> {
        self.approved().find_map(|(_, change)| match change {
            Correction::Add(added) if added.id == punch => Some(added),
            _ => None,
        })
    }

    /// Adds a correction. An approved one opens a timesheet that was approved and not locked.
    ///
    /// # Errors
    /// If the timesheet is locked and the correction is not meant to be an adjustment, if the punch
    /// was voided, or if there are too many corrections.
    pub fn correct(
        &mut self,
        correction: RequestedCorrection,
        adjust: bool,
    ) -> Result<(), CorrectionRefusal> {
        if self.locked().is_some() && !adjust {
            return Err(CorrectionRefusal::Locked);
        }
        if self.corrections.len() >= Self::MOST_CORRECTIONS {
            return Err(CorrectionRefusal::TooMany);
        }
        if let Correction::Void { punch } | Correction::Move { punch, .. } = correction.change {
            let voided = Correction::Void { punch };
            if self.approved().any(|(_, change)| change == voided) {
                return Err(CorrectionRefusal::Voided);
            }
        }
        let counts = correction.counts_since().is_some();
        self.corrections.push(correction);
        self.reopen_if(counts);
        Ok(())
    }

    /// Decides about a correction that was requested.
    ///
    /// # Errors
    /// If there is no such correction, if it was decided before, or if the figures change while the
    /// timesheet is locked and it is not meant to be an adjustment.
    pub fn decide(
        &mut self,
        id: CorrectionId,
        decision: Decision,
        adjust: bool,
    ) -> Result<(), CorrectionRefusal> {
        let locked = self.locked().is_some();
        let mut corrections = self.corrections.iter_mut();
        let correction = corrections.find(|one| one.id == id);
        let correction = correction.ok_or(CorrectionRefusal::NotFound)?;
        if correction.decision != Decision::Requested {
            return Err(CorrectionRefusal::Decided);
        }
        let counts = matches!(decision, Decision::Approved { .. });
        let changed = counts != correction.counts_since().is_some();
        if locked && changed && !adjust {
            return Err(CorrectionRefusal::Locked);
        }
        correction.decision = decision;
        self.reopen_if(changed);
        Ok(())
    }

    /// Withdraws an approval whose figures changed, unless it is locked.
    fn reopen_if(&mut self, changed: bool) {
        if changed && matches!(self.progress, Progress::Approved { .. }) {
            self.progress = Progress::Open;
        }
    }
}

impl Record for Timesheet {
    const KIND: &'static Kind = &Kind::archived(
        "timesheets",
        "timesheet",
        &[
            Self::BY_EMPLOYEE,
            Self::BY_PERIOD,
            Self::BY_REQUEST,
            Self::BY_SUBMISSION,
        ],
    )
    .paged(50)
    .changing(Changes::Audited);

    type Id = TimesheetId;

    fn id(&self) -> TimesheetId {
        TimesheetId {
            employee: self.employee,
            from: self.from,
        }
    }

    fn keys(&self, keys: &mut Keys) {
        keys.add(Self::BY_EMPLOYEE, (self.employee.uuid(), self.to));
        keys.add(Self::BY_PERIOD, (self.to, self.employee.uuid()));
        let mut undecided = self.corrections.iter();
        if let Some(first) = undecided.find(|one| one.decision == Decision::Requested) {
            keys.add(Self::BY_REQUEST, (first.made_at,));
        }
        if let Progress::Submitted { at, .. } = self.progress {
            keys.add(Self::BY_SUBMISSION, (at,));
        }
    }

    fn about(&self) -> About {
        About::employee(self.employee, OnErase::DeleteAttendance)
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use uuid::Uuid;

    use super::{super::kind::PunchKind, *};

    const BY: Actor = Actor::Operator;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn correction(number: u128, decision: Decision) -> RequestedCorrection {
        let id = Uuid::from_u128(number);
        RequestedCorrection {
            id: CorrectionId::new(id),
            change: Correction::Add(TimedPunch {
                id: PunchId::new(id),
                kind: PunchKind::In,
                at: at(0),
            }),
            reason: Reason::parse("Forgot to punch").unwrap(),
            made_by: BY,
            made_at: at(10),
            decision,
            provisional: false,
        }
    }

    fn sheet_of(from: Date, to: Date) -> Timesheet {
        let employee = EmployeeId::new(Uuid::from_u128(1));
        Timesheet::new(employee, DateRange { from, to })
    }

    fn sheet() -> Timesheet {
        sheet_of(date(2026, 2, 1), date(2026, 2, 28))
    }

    fn approval() -> Approval {
        Approval {
            digest: "ab".repeat(32),
            by: BY,
            at: at(20),
            figures: Derived::default(),
            settled: Vec::new(),
            overtime: true,
        }
    }

    const APPROVED: Decision = Decision::Approved {
        by: BY,
        at: Timestamp::UNIX_EPOCH,
    };

    #[test]
    fn an_id_names_the_first_date_of_a_period_in_one_spelling() {
        let sheet = sheet();
        let text = sheet.id().to_string();
        assert_eq!(text, format!("{}:2026-02-01", sheet.employee));
        assert_eq!(text.parse(), Ok(sheet.id()));
        for wrong in ["2026-2-1", "20260201", "2026-02-01T00:00", "x"] {
            let text = format!("{}:{wrong}", sheet.employee);
            assert_eq!(text.parse::<TimesheetId>(), Err(NoSuchId), "{text}");
        }
        let path = CorrectionPath {
            timesheet: sheet.id(),
            correction: CorrectionId::new(Uuid::from_u128(7)),
        };
        assert_eq!(path.to_string().parse(), Ok(path));
    }

    #[test]
    fn no_date_is_in_two_timesheets() {
        let stored = [
            sheet_of(date(2026, 3, 1), date(2026, 3, 10)),
            sheet_of(date(2026, 3, 23), date(2026, 3, 29)),
        ];
        let of = |day, from, to| {
            let period = DateRange { from, to };
            let found = Timesheet::of_day(stored[0].employee, day, period, &stored);
            (found.from, found.to)
        };
        let march = (date(2026, 3, 1), date(2026, 3, 31));
        // A stored timesheet keeps its dates.
        let kept = (stored[1].from, stored[1].to);
        assert_eq!(of(date(2026, 3, 25), march.0, march.1), kept);
        // What is left of the period, before, between and after them.
        let between = (date(2026, 3, 11), date(2026, 3, 22));
        assert_eq!(of(date(2026, 3, 11), march.0, march.1), between);
        let after = (date(2026, 3, 30), date(2026, 3, 31));
        assert_eq!(of(date(2026, 3, 31), march.0, march.1), after);
        let week = (date(2026, 3, 16), date(2026, 3, 22));
        assert_eq!(of(date(2026, 3, 18), week.0, week.1), week);
    }

    #[test]
    fn a_locked_timesheet_takes_corrections_only_as_adjustments() {
        let mut sheet = sheet();
        sheet
            .correct(correction(1, Decision::Requested), false)
            .unwrap();
        sheet.progress = Progress::Locked {
            approval: approval(),
            by: BY,
            at: at(30),
        };
        let (refused, id) = (
            Err(CorrectionRefusal::Locked),
            CorrectionId::new(Uuid::from_u128(1)),
        );
        assert_eq!(sheet.correct(correction(2, APPROVED), false), refused);
        assert_eq!(sheet.decide(id, APPROVED, false), refused);
        assert_eq!(sheet.approved().count(), 0);
        sheet.correct(correction(2, APPROVED), true).unwrap();
        sheet.decide(id, APPROVED, true).unwrap();
        assert_eq!(sheet.approved().count(), 2);
        assert!(sheet.locked().is_some());
        assert_eq!(
            sheet.decide(id, APPROVED, true),
            Err(CorrectionRefusal::Decided)
        );
    }

    #[test]
    fn a_correction_that_counts_opens_an_approved_timesheet() {
        let approved = Progress::Approved {
            approval: approval(),
        };
        let mut sheet = Timesheet {
            progress: approved.clone(),
            ..sheet()
        };
        sheet
            .correct(correction(1, Decision::Requested), false)
            .unwrap();
        assert_eq!(sheet.progress, approved);
        let id = CorrectionId::new(Uuid::from_u128(1));
        let rejected = Decision::Rejected { by: BY, at: at(1) };
        assert_eq!(sheet.decide(id, rejected, false), Ok(()));
        assert_eq!(sheet.progress, approved);
        sheet.correct(correction(2, APPROVED), false).unwrap();
        assert_eq!(sheet.progress, Progress::Open);
    }

    #[test]
    fn what_was_voided_stays_voided() {
        let mut sheet = sheet();
        sheet.correct(correction(1, APPROVED), false).unwrap();
        let punch = PunchId::new(Uuid::from_u128(1));
        let void = RequestedCorrection {
            change: Correction::Void { punch },
            ..correction(2, APPROVED)
        };
        sheet.correct(void.clone(), false).unwrap();
        assert_eq!(sheet.correct(void, false), Err(CorrectionRefusal::Voided));
    }
}
