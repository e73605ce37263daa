//! Workdays, and who is there.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::read_date;
use crate::{
    domain::{
        attendance::{
            Adjusted, Adjustment, DateRange, Day, DaySpan, PresenceState, Step, Week,
            time::{Seconds, WallTime},
        },
        balances::RunningBalance,
        employees::Employee,
    },
    http::{
        field_error::FieldError,
        problem::{Fields, Problem},
    },
    service::workdays::{BoardLine, EmployeeDays, Totals, Workdays},
};

/// The figures of a day, or their sums, in seconds.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the figures by name of a day")]
pub struct Figures {
    /// The sum of closed spans, as punched.
    presence: i64,
    /// What counts as work.
    #[schema(example = 28800)]
    worked: i64,
    /// Unpaid breaks.
    breaks: i64,
    /// Paid breaks.
    paid_breaks: i64,
    /// The break that was deducted.
    auto_break: i64,
    /// What rounding added to `worked`.
    rounded_by: i64,
    /// What was planned.
    planned: i64,
    /// What a holiday took off the plan.
    holiday: i64,
    /// What leave took off the plan.
    leave: i64,
    /// What was left to do: planned − holiday − leave.
    due: i64,
    /// worked − due.
    balance: i64,
    /// Due time before the employee came.
    late: i64,
    /// Due time after the employee left.
    early: i64,
    /// Overtime of the day.
    overtime: i64,
}

/// A span of a workday.
#[derive(ToSchema)]
#[schema(title = "Span")]
#[expect(dead_code, reason = "describes how a span is serialized")]
pub struct SpanView {
    /// When the employee came.
    #[schema(format = "date-time", example = "2026-03-02T08:00:00+01:00")]
    r#in: String,
    /// When the employee left; null for an open span, which counts nothing.
    #[schema(format = "date-time")]
    out: Option<String>,
    /// Its breaks.
    breaks: Vec<BreakView>,
    /// The shift, by its name or its times.
    shift: Option<String>,
}

/// A break of a span.
#[derive(ToSchema)]
#[schema(title = "Break")]
#[expect(dead_code, reason = "describes how a break is serialized")]
pub struct BreakView {
    /// The start.
    #[schema(format = "date-time")]
    start: String,
    /// The end; null for a break that lasts.
    #[schema(format = "date-time")]
    end: Option<String>,
}

/// The code of a step. Its other fields depend on the code.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes how a step is serialized")]
pub struct StepCode {
    /// The code.
    #[schema(example = "span")]
    code: String,
}

/// A step that made the figures.
#[derive(Serialize, ToSchema)]
#[schema(title = "Step")]
pub struct StepView {
    #[serde(flatten)]
    #[schema(value_type = StepCode)]
    step: Step,
    /// The same as an English sentence.
    #[schema(example = "present from 08:00 to 14:20")]
    text: String,
}

/// A workday.
#[derive(Serialize, ToSchema)]
#[schema(title = "Day")]
pub struct DayView {
    /// The date.
    #[schema(format = "date", example = "2026-03-02")]
    day: String,
    /// The zone in which its times are read.
    #[schema(example = "Europe/Berlin")]
    zone: String,
    /// The spans, as punched.
    #[schema(value_type = Vec<SpanView>)]
    spans: Vec<DaySpan>,
    #[serde(flatten)]
    #[schema(value_type = Figures)]
    figures: BTreeMap<&'static str, Seconds>,
    /// The running balance at the end of the day; null for a day that is not over.
    running_balance: Option<i64>,
    /// Work in each band of the rules, seconds.
    #[schema(value_type = BTreeMap<String, i64>)]
    bands: BTreeMap<String, Seconds>,
    /// `leave` by the kind of leave, seconds.
    #[schema(value_type = BTreeMap<String, i64>)]
    leave_by_kind: BTreeMap<String, Seconds>,
    /// Why figures may be wrong, or what was not kept.
    #[schema(example = json!(["missing_out"]))]
    exceptions: Vec<&'static str>,
    /// Whether an exception prevents the approval of the day.
    blocked: bool,
    /// Whether the figures are those that were approved and locked.
    locked: bool,
    /// How the figures were made.
    steps: Vec<StepView>,
}

impl DayView {
    fn new(day: &Day, running: Option<Seconds>, locked: bool) -> Self {
        let steps = day.steps.iter().map(|step| StepView {
            text: step.to_string(),
            step: step.clone(),
        });
        Self {
            day: day.day.to_string(),
            zone: day.zone.to_string(),
            spans: day.spans.clone(),
            figures: day.figures().into_iter().collect(),
            running_balance: running,
            bands: day.bands.clone(),
            leave_by_kind: day.leave_by_kind.clone(),
            exceptions: day.exceptions.iter().map(|code| code.as_str()).collect(),
            blocked: day.is_blocked(),
            locked,
            steps: steps.collect(),
        }
    }
}

/// A week, with all of its days.
#[derive(Serialize, ToSchema)]
#[schema(title = "Week")]
pub struct WeekView {
    /// Its first date.
    #[schema(format = "date")]
    starts: String,
    /// Its last workday.
    #[schema(format = "date")]
    ends: String,
    /// The sum of its days, seconds.
    worked: i64,
    /// Overtime beyond that of its days, seconds.
    overtime: i64,
    /// Whether one of its days cannot be approved.
    blocked: bool,
}

impl From<&Week> for WeekView {
    fn from(week: &Week) -> Self {
        Self {
            starts: week.starts.to_string(),
            ends: week.ends.to_string(),
            worked: week.worked,
            overtime: week.overtime,
            blocked: week.blocked,
        }
    }
}

/// Sums over days, seconds.
#[derive(Serialize, ToSchema)]
#[schema(title = "Totals")]
pub struct TotalsView {
    #[serde(flatten)]
    #[schema(value_type = Figures)]
    figures: BTreeMap<&'static str, Seconds>,
    /// Work in each band.
    #[schema(value_type = BTreeMap<String, i64>)]
    bands: BTreeMap<String, Seconds>,
    /// Leave by kind.
    #[schema(value_type = BTreeMap<String, i64>)]
    leave_by_kind: BTreeMap<String, Seconds>,
    /// Overtime of the weeks that end in these days, beyond that of their days.
    week_overtime: i64,
}

impl From<Totals> for TotalsView {
    fn from(totals: Totals) -> Self {
        Self {
            figures: totals.figures,
            bands: totals.bands,
            leave_by_kind: totals.leave_by_kind,
            week_overtime: totals.week_overtime,
        }
    }
}

/// What changed of a locked day or week since it was approved. Figures that did not change are left
/// out.
#[derive(Serialize, ToSchema)]
#[schema(title = "Adjustment")]
pub struct AdjustmentView {
    /// The day that it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = "date")]
    day: Option<String>,
    /// The first date of the week that it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = "date")]
    week: Option<String>,
    /// The differences by the name of the figure, seconds.
    #[serde(flatten)]
    #[schema(value_type = Differences)]
    differences: BTreeMap<&'static str, Seconds>,
    /// The differences in bands, seconds.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, i64>)]
    bands: BTreeMap<String, Seconds>,
    /// What `leave` is made of: the differences by kind of leave, seconds.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, i64>)]
    leave_by_kind: BTreeMap<String, Seconds>,
    /// Whether it waits until a blocking exception is settled.
    held: bool,
    /// Whether a later timesheet was approved with it, so that it is paid there. False if a part is
    /// left.
    settled: bool,
}

/// Differences, in seconds.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "describes the differences by name of an adjustment"
)]
pub struct Differences {
    /// In worked time.
    worked: Option<i64>,
    /// In overtime.
    overtime: Option<i64>,
    /// In what was planned.
    planned: Option<i64>,
    /// In what a holiday took off.
    holiday: Option<i64>,
    /// In what leave took off.
    leave: Option<i64>,
}

impl AdjustmentView {
    /// Returns the view of an adjustment that was settled or not.
    pub fn new(adjustment: &Adjustment, settled: bool) -> Self {
        let (day, week) = match adjustment.of {
            Adjusted::Day(day) => (Some(day.to_string()), None),
            Adjusted::Week(week) => (None, Some(week.to_string())),
        };
        let differences = adjustment.figures().into_iter();
        Self {
            day,
            week,
            differences: differences.filter(|(_, figure)| *figure != 0).collect(),
            bands: adjustment.bands.clone(),
            leave_by_kind: adjustment.leave_by_kind.clone(),
            held: adjustment.held,
            settled,
        }
    }
}

/// The running balance over some days, seconds.
#[derive(Serialize, ToSchema)]
#[schema(title = "RunningBalance")]
pub struct RunningBalanceView {
    /// At the start of the first day, with an opening value of that date.
    start: i64,
    /// At the end of the last day. Days that are not over do not count.
    end: i64,
}

/// The days to show.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DaysQuery {
    /// The first date; by default that of the timesheet with `to`.
    #[param(example = "2026-03-01")]
    from: Option<String>,
    /// The last date, at most 366 days with the first; by default today.
    #[param(example = "2026-03-31")]
    to: Option<String>,
}

/// The most days in an answer.
const DAYS_MOST: i32 = 366;

impl DaysQuery {
    /// Returns the dates to show of an employee.
    ///
    /// # Errors
    /// When a parameter is not valid.
    pub async fn range(
        self,
        employee: &Employee,
        workdays: &Workdays,
    ) -> Result<DateRange, Problem> {
        let mut fields = Fields::default();
        let to = fields.optional("to", self.to, |text| read_date(&text));
        let from = fields.optional("from", self.from, |text| read_date(&text));
        fields.check()?;
        let to = match to {
            Some(to) => to,
            None => workdays.today(employee).await?,
        };
        let from = match from {
            Some(from) => from,
            None => workdays.timesheet_of(employee, to).await?.from,
        };
        if !(0..DAYS_MOST).contains(&(to - from).get_days()) {
            let most = DAYS_MOST;
            return Err(Problem::field("to", FieldError::WrongDays { most }));
        }
        Ok(DateRange { from, to })
    }
}

/// The workdays of an employee. Figures are whole seconds.
#[derive(Serialize, ToSchema)]
#[schema(title = "Days")]
pub struct DaysView {
    /// The first date.
    #[schema(format = "date")]
    from: String,
    /// The last date.
    #[schema(format = "date")]
    to: String,
    /// The days.
    days: Vec<DayView>,
    /// The weeks that the days are in, each with all of its days.
    weeks: Vec<WeekView>,
    /// The sums of the days.
    totals: TotalsView,
    /// The running balance before and after these days.
    running_balance: RunningBalanceView,
    /// What changed of locked days and weeks since they were approved.
    adjustments: Vec<AdjustmentView>,
}

impl DaysView {
    /// Returns the workdays with the running balance.
    pub fn new(of: EmployeeDays, running: &RunningBalance) -> Self {
        let locked = |day: &Day| of.locked.iter().any(|range| range.contains(day.day));
        let at_end = |day: &Day| running.days.get(&day.day).copied();
        let days = of.derived.days.iter();
        let adjustments = of.adjustments.iter();
        let adjustments =
            adjustments.map(|one| AdjustmentView::new(one, of.settled.contains(&one.of)));
        Self {
            from: of.range.from.to_string(),
            to: of.range.to.to_string(),
            days: days
                .map(|day| DayView::new(day, at_end(day), locked(day)))
                .collect(),
            weeks: of.derived.weeks.iter().map(WeekView::from).collect(),
            adjustments: adjustments.collect(),
            totals: of.totals.into(),
            running_balance: RunningBalanceView {
                start: running.start,
                end: running.end,
            },
        }
    }
}

/// An employee on the board.
#[derive(Serialize, ToSchema)]
#[schema(title = "BoardLine")]
pub struct BoardLineView {
    /// The ID of the employee.
    #[schema(format = "uuid", example = "0199f3a0-7c1e-7d5a-9f0e-2b7f6f0c1a2b")]
    employee: String,
    /// The name of the employee.
    #[schema(example = "Grace Hopper")]
    name: String,
    /// The code of the employee.
    #[schema(example = "E7")]
    code: String,
    /// The ID of the employee's site.
    #[schema(format = "uuid")]
    site: String,
    /// The workday.
    #[schema(format = "date")]
    day: String,
    /// `present`, `on_break`, `left`, `late`, `missing`, `on_leave` or `not_due`.
    #[schema(example = "present")]
    state: &'static str,
    /// When the employee came first.
    #[schema(value_type = Option<String>, format = "date-time")]
    first_in: Option<WallTime>,
    /// When the employee left last; null while at work.
    #[schema(value_type = Option<String>, format = "date-time")]
    last_out: Option<WallTime>,
    /// What counts as work so far, seconds.
    worked: i64,
    /// What was planned, seconds.
    planned: i64,
    /// Why figures may be wrong, or what was not kept.
    exceptions: Vec<&'static str>,
}

impl From<&BoardLine> for BoardLineView {
    fn from(line: &BoardLine) -> Self {
        let BoardLine {
            employee,
            day,
            presence,
        } = line;
        Self {
            employee: employee.id.to_string(),
            name: employee.name.to_string(),
            code: employee.code.to_string(),
            site: employee.site.to_string(),
            day: day.day.to_string(),
            state: presence.state.as_str(),
            first_in: presence.first_in,
            last_out: presence.last_out,
            worked: presence.worked,
            planned: day.planned,
            exceptions: day.exceptions.iter().map(|code| code.as_str()).collect(),
        }
    }
}

/// Who is there. Not in pages, because the numbers are about everybody.
#[derive(Serialize, ToSchema)]
#[schema(title = "Board")]
pub struct BoardView {
    /// A line for each employee, by name.
    items: Vec<BoardLineView>,
    /// How many employees are in each state.
    #[schema(value_type = BTreeMap<String, u64>, example = json!({ "present": 12, "on_break": 1 }))]
    counts: BTreeMap<&'static str, usize>,
}

impl From<Vec<BoardLine>> for BoardView {
    fn from(lines: Vec<BoardLine>) -> Self {
        let states = PresenceState::ALL.into_iter();
        let mut counts: BTreeMap<_, _> = states.map(|state| (state.as_str(), 0)).collect();
        for line in &lines {
            *counts.entry(line.presence.state.as_str()).or_default() += 1;
        }
        Self {
            items: lines.iter().map(BoardLineView::from).collect(),
            counts,
        }
    }
}
