//! Timesheets, and the corrections of punches in them.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::{
    domain::{
        attendance::{CorrectionPath, CorrectionRefusal, Decision, Progress, TimesheetId},
        grants::Reach,
        ids::EmployeeId,
    },
    http::{
        auth::{Administering, Allowed, Correcting, Own, Reading, Requesting},
        deciding::Deciding,
        extract::{Json, Path, Query},
        field_error::FieldError,
        page::{List, PageQuery},
        problem::{Code, Fields, Problem},
        views::{
            punches::NameLookup,
            read_date, read_id,
            timesheets::{
                BlockedDayView, CorrectionRequest, CorrectionView, ListedCorrectionView,
                NamedTimesheetView, TimesheetDetailView, TimesheetView,
            },
        },
    },
    service::{
        balances::Balances,
        timesheets::{FiledCorrection, TimesheetError, TimesheetFilter, Timesheets},
    },
};

impl From<TimesheetError> for Problem {
    fn from(error: TimesheetError) -> Self {
        let text = error.to_string();
        match error {
            TimesheetError::NoEmployee => Self::not_found("employee"),
            TimesheetError::NotFound => Self::not_found("timesheet"),
            TimesheetError::NoPunch => Self::field("punch", FieldError::UnknownPunch),
            TimesheetError::Future => Self::field("at", FieldError::InTheFuture),
            TimesheetError::TooFar => Self::field("at", FieldError::TooFarAway { days: 7 }),
            TimesheetError::Correction(refusal) => match refusal {
                CorrectionRefusal::Locked => Self::new(Code::TimesheetLocked, text),
                CorrectionRefusal::TooMany => Self::new(Code::TooManyCorrections, text),
                CorrectionRefusal::Voided => Self::field("punch", FieldError::VoidedPunch),
                CorrectionRefusal::Decided => Self::new(Code::CorrectionDecided, text),
                CorrectionRefusal::NotFound => Self::not_found("correction"),
            },
            TimesheetError::NotAuthor => Self::new(Code::Forbidden, text),
            TimesheetError::OwnHours => Self::new(Code::OwnHours, text),
            TimesheetError::FourEyes => Self::new(Code::FourEyes, text),
            TimesheetError::State { .. } | TimesheetError::Overlap(_) => {
                Self::new(Code::TimesheetState, text)
            }
            TimesheetError::NotOver(_) => Self::new(Code::PeriodNotOver, text),
            TimesheetError::Blocked(days) => {
                let days: Vec<_> = days.iter().map(BlockedDayView::from).collect();
                Self::new(Code::DaysBlocked, text).with("days", days)
            }
            TimesheetError::OvertimeUnsaid => Self::field("overtime", FieldError::Required),
            TimesheetError::Changed => Self::new(Code::FiguresChanged, text),
            TimesheetError::Raced => Self::new(
                Code::Conflict,
                format!("{text}: read it again, then repeat"),
            ),
            TimesheetError::Store(error) => error.into(),
        }
    }
}

/// Makes a correction of an employee's punches. If the caller may decide about the employee, it
/// counts at once; otherwise it is requested.
#[utoipa::path(
    post, path = "/api/employees/{id}/corrections", tag = "attendance",
    params(("id" = String, Path, description = "The employee")),
    request_body = CorrectionRequest,
    responses(
        (status = 201, description = "Approved, or requested", body = CorrectionView),
        (status = 409, description = "`timesheet_locked`: the period is locked, and `adjust` is not true; `too_many_corrections`"),
    ),
)]
pub async fn create_correction(
    allowed: Allowed<Requesting>,
    State(timesheets): State<Arc<Timesheets>>,
    Path(id): Path<EmployeeId>,
    Json(new): Json<CorrectionRequest>,
) -> Result<(StatusCode, axum::Json<CorrectionView>), Problem> {
    let deciding = Deciding::of(&allowed)?;
    let filed = timesheets.correct(deciding.by(&allowed), id, new.read()?);
    let filed = filed.await?;
    Ok((StatusCode::CREATED, axum::Json((&filed).into())))
}

/// The corrections to list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CorrectionsQuery {
    /// `requested` by default; `approved`, `rejected` and `withdrawn` need `employee`.
    #[param(example = "requested")]
    state: Option<String>,
    /// The ID of an employee.
    employee: Option<String>,
}

/// Lists corrections, oldest first.
#[utoipa::path(
    get, path = "/api/corrections", tag = "attendance",
    params(CorrectionsQuery, PageQuery),
    responses((status = 200, description = "A page of corrections", body = List<ListedCorrectionView>)),
)]
pub async fn list_corrections(
    allowed: Allowed<Reading>,
    State(timesheets): State<Arc<Timesheets>>,
    State(names): State<NameLookup>,
    Query(query): Query<CorrectionsQuery>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<List<ListedCorrectionView>>, Problem> {
    corrections(allowed.reach(), &timesheets, &names, query, page).await
}

/// The own corrections to list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OwnCorrectionsQuery {
    /// `requested` by default, or `approved`, `rejected` or `withdrawn`.
    #[param(example = "requested")]
    state: Option<String>,
}

/// Lists the caller's own corrections, as `GET /api/corrections`.
#[utoipa::path(
    get, path = "/api/me/corrections", tag = "me",
    params(OwnCorrectionsQuery, PageQuery),
    responses(
        (status = 200, description = "A page of corrections", body = List<ListedCorrectionView>),
        (status = 404, description = "`not_found`: the account belongs to no employee"),
    ),
)]
pub async fn list_own_corrections(
    own: Own,
    State(timesheets): State<Arc<Timesheets>>,
    State(names): State<NameLookup>,
    Query(OwnCorrectionsQuery { state }): Query<OwnCorrectionsQuery>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<List<ListedCorrectionView>>, Problem> {
    let employee = Some(own.employee.to_string());
    let query = CorrectionsQuery { state, employee };
    corrections(&own.reach, &timesheets, &names, query, page).await
}

async fn corrections(
    reach: &Reach,
    timesheets: &Timesheets,
    names: &NameLookup,
    query: CorrectionsQuery,
    page: PageQuery,
) -> Result<axum::Json<List<ListedCorrectionView>>, Problem> {
    let requested = Decision::Requested.as_str();
    let mut fields = Fields::default();
    let state = fields.optional("state", query.state, |text| {
        read_word(&text, Decision::WORDS)
    });
    let employee = fields.optional("employee", query.employee, read_id);
    let state = state.unwrap_or(requested);
    if employee.is_none() && state != requested {
        fields.add("employee", FieldError::Required);
    }
    fields.check()?;
    let wanted = page.page()?;
    let found = timesheets.corrections(reach, employee, state, &wanted.page);
    let cursor = |last: &FiledCorrection| (last.correction.made_at, last.correction.id);
    let (found, next) = wanted.cut(found.await?, cursor)?;
    let old = timesheets.old_punches(&found).await?;
    let context = names.corrections(&found, old).await?;
    let items = found.iter().map(|one| context.view(one)).collect();
    Ok(axum::Json(List { items, next }))
}

fn read_word(text: &str, words: [&'static str; 4]) -> Result<&'static str, FieldError> {
    let found = words.into_iter().find(|word| *word == text);
    found.ok_or_else(|| FieldError::NotOneOf {
        values: words.to_vec(),
    })
}

/// How to approve a correction.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ApprovalQuery {
    /// Whether it may become an adjustment of a locked period.
    #[serde(default)]
    adjust: bool,
}

/// Approves a correction that was requested. It counts from now on.
#[utoipa::path(
    post, path = "/api/corrections/{id}/approve", tag = "attendance",
    params(("id" = String, Path, description = "The correction"), ApprovalQuery),
    responses(
        (status = 200, description = "Approved", body = CorrectionView),
        (status = 403, description = "`own_hours` or `four_eyes`: another person must decide"),
        (status = 409, description = "`correction_decided`; `timesheet_locked`: the period is locked, and `adjust` is not true"),
    ),
)]
pub async fn approve_correction(
    allowed: Allowed<Correcting>,
    State(timesheets): State<Arc<Timesheets>>,
    Path(id): Path<CorrectionPath>,
    Query(query): Query<ApprovalQuery>,
) -> Result<axum::Json<CorrectionView>, Problem> {
    let deciding = Deciding::of(&allowed)?;
    let by = deciding.by(&allowed);
    let filed = timesheets.decide(by, id, true, query.adjust).await?;
    Ok(axum::Json((&filed).into()))
}

/// Rejects a correction that was requested.
#[utoipa::path(
    post, path = "/api/corrections/{id}/reject", tag = "attendance",
    params(("id" = String, Path, description = "The correction")),
    responses(
        (status = 200, description = "Rejected", body = CorrectionView),
        (status = 403, description = "`own_hours`: another manager must decide about the caller's own hours"),
        (status = 409, description = "`correction_decided`"),
    ),
)]
pub async fn reject_correction(
    allowed: Allowed<Correcting>,
    State(timesheets): State<Arc<Timesheets>>,
    Path(id): Path<CorrectionPath>,
) -> Result<axum::Json<CorrectionView>, Problem> {
    let deciding = Deciding::of(&allowed)?;
    let by = deciding.by(&allowed);
    let filed = timesheets.decide(by, id, false, false).await?;
    Ok(axum::Json((&filed).into()))
}

/// Takes back a correction that the caller requested.
#[utoipa::path(
    post, path = "/api/corrections/{id}/withdraw", tag = "attendance",
    params(("id" = String, Path, description = "The correction")),
    responses(
        (status = 200, description = "Withdrawn", body = CorrectionView),
        (status = 403, description = "`forbidden`: another person made it"),
        (status = 409, description = "`correction_decided`"),
    ),
)]
pub async fn withdraw_correction(
    allowed: Allowed<Requesting>,
    State(timesheets): State<Arc<Timesheets>>,
    Path(id): Path<CorrectionPath>,
) -> Result<axum::Json<CorrectionView>, Problem> {
    let deciding = Deciding::of(&allowed)?;
    let filed = timesheets.withdraw(deciding.by(&allowed), id).await?;
    Ok(axum::Json((&filed).into()))
}

/// The timesheets to list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct TimesheetsQuery {
    /// The ID of an employee.
    employee: Option<String>,
    /// `open`, `submitted`, `approved` or `locked`.
    #[param(example = "submitted")]
    state: Option<String>,
    /// A date of the period at each employee's site; by default the present one, or with `employee`
    /// all.
    #[param(example = "2026-03-01")]
    period: Option<String>,
}

/// Lists timesheets: those of a period for each employee by name, or those of one employee that
/// were ever changed, latest first.
#[utoipa::path(
    get, path = "/api/timesheets", tag = "attendance",
    params(TimesheetsQuery, PageQuery),
    responses((status = 200, description = "A page of timesheets", body = List<NamedTimesheetView>)),
)]
pub async fn list_timesheets(
    allowed: Allowed<Reading>,
    State(timesheets): State<Arc<Timesheets>>,
    Query(query): Query<TimesheetsQuery>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<List<NamedTimesheetView>>, Problem> {
    let mut fields = Fields::default();
    let filter = TimesheetFilter {
        employee: fields.optional("employee", query.employee, read_id),
        state: fields.optional("state", query.state, |text| {
            read_word(&text, Progress::WORDS)
        }),
        period: fields.optional("period", query.period, |text| read_date(&text)),
    };
    fields.check()?;
    let wanted = page.page()?;
    let found = timesheets.list(allowed.reach(), &filter, &wanted.page);
    let (found, next) = wanted.cut(found.await?, |(employee, sheet)| {
        let key = match filter.employee {
            Some(_) => sheet.to.to_string(),
            None => employee.name.key(),
        };
        (key, employee.id)
    })?;
    let items = found.iter().map(NamedTimesheetView::from).collect();
    Ok(axum::Json(List { items, next }))
}

/// Returns a timesheet with its figures, its corrections and the digest to approve it with.
#[utoipa::path(
    get, path = "/api/timesheets/{id}", tag = "attendance",
    params(("id" = String, Path, description = "The timesheet")),
    responses((status = 200, description = "The timesheet", body = TimesheetDetailView)),
)]
pub async fn get_timesheet(
    allowed: Allowed<Reading>,
    State(timesheets): State<Arc<Timesheets>>,
    State(balances): State<Arc<Balances>>,
    Path(id): Path<TimesheetId>,
) -> Result<axum::Json<TimesheetDetailView>, Problem> {
    let detail = timesheets.find(allowed.reach(), id).await?;
    let period = detail.timesheet.period();
    let running = balances.days(allowed.reach(), id.employee, period);
    let (_, running) = running.await?;
    Ok(axum::Json(TimesheetDetailView::new(detail, &running)))
}

/// Submits a timesheet: it is complete, and can be approved.
#[utoipa::path(
    post, path = "/api/timesheets/{id}/submit", tag = "attendance",
    params(("id" = String, Path, description = "The timesheet")),
    responses(
        (status = 200, description = "Submitted", body = TimesheetView),
        (status = 409, description = "`timesheet_state`: it is not open"),
    ),
)]
pub async fn submit_timesheet(
    allowed: Allowed<Requesting>,
    State(timesheets): State<Arc<Timesheets>>,
    Path(id): Path<TimesheetId>,
) -> Result<axum::Json<TimesheetView>, Problem> {
    let deciding = Deciding::of(&allowed)?;
    let sheet = timesheets.submit(deciding.by(&allowed), id).await?;
    Ok(axum::Json((&sheet).into()))
}

/// What is approved.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "NewApproval")]
pub struct NewApproval {
    /// The `digest` of the timesheet whose figures the caller saw.
    digest: String,
    /// Whether the overtime is approved, too. Required where the timesheet `asks_for_overtime`; true
    /// by default elsewhere.
    overtime: Option<bool>,
}

/// Approves the figures of a period that is over.
#[utoipa::path(
    post, path = "/api/timesheets/{id}/approve", tag = "attendance",
    params(("id" = String, Path, description = "The timesheet")),
    request_body = NewApproval,
    responses(
        (status = 200, description = "Approved", body = TimesheetView),
        (status = 403, description = "`own_hours`: another manager must decide about the caller's own hours"),
        (status = 409, description = "`days_blocked`: `days` have exceptions; `figures_changed`: the digest is another one; `period_not_over`; `timesheet_state`: it is approved already"),
    ),
)]
pub async fn approve_timesheet(
    allowed: Allowed<Correcting>,
    State(timesheets): State<Arc<Timesheets>>,
    Path(id): Path<TimesheetId>,
    Json(new): Json<NewApproval>,
) -> Result<axum::Json<TimesheetView>, Problem> {
    let deciding = Deciding::of(&allowed)?;
    let by = deciding.by(&allowed);
    let sheet = timesheets
        .approve(by, id, &new.digest, new.overtime)
        .await?;
    Ok(axum::Json((&sheet).into()))
}

/// Locks an approved timesheet. Its figures stay; what comes later becomes an adjustment.
#[utoipa::path(
    post, path = "/api/timesheets/{id}/lock", tag = "attendance",
    params(("id" = String, Path, description = "The timesheet")),
    responses(
        (status = 200, description = "Locked", body = TimesheetView),
        (status = 403, description = "`own_hours`: another manager must decide about the caller's own hours"),
        (status = 409, description = "`timesheet_state`: it is not approved; `figures_changed`: approve it again; `conflict`: another request changed it at the same time"),
    ),
)]
pub async fn lock_timesheet(
    allowed: Allowed<Correcting>,
    State(timesheets): State<Arc<Timesheets>>,
    Path(id): Path<TimesheetId>,
) -> Result<axum::Json<TimesheetView>, Problem> {
    let deciding = Deciding::of(&allowed)?;
    let sheet = timesheets.lock(deciding.by(&allowed), id).await?;
    Ok(axum::Json((&sheet).into()))
}

/// Withdraws the approval and the lock of a timesheet.
#[utoipa::path(
    post, path = "/api/timesheets/{id}/unlock", tag = "attendance",
    params(("id" = String, Path, description = "The timesheet")),
    responses(
        (status = 200, description = "Open again", body = TimesheetView),
        (status = 409, description = "`timesheet_state`: it is not approved"),
    ),
)]
pub async fn unlock_timesheet(
    allowed: Allowed<Administering>,
    State(timesheets): State<Arc<Timesheets>>,
    Path(id): Path<TimesheetId>,
) -> Result<axum::Json<TimesheetView>, Problem> {
    let sheet = timesheets.unlock(allowed.actor(), id).await?;
    Ok(axum::Json((&sheet).into()))
}
