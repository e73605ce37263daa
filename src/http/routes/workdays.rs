//! Workdays, and who is there.

use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    domain::{attendance::DateRange, employees::Employee, ids::EmployeeId},
    http::{
        auth::{Allowed, Reading},
        extract::{Path, Query},
        field_error::FieldError,
        problem::{Fields, Problem},
        views::{
            read_date, read_id,
            workdays::{BoardView, DaysView},
        },
    },
    service::{
        balances::Balances,
        workdays::{WorkdayError, Workdays},
    },
};

impl From<WorkdayError> for Problem {
    fn from(error: WorkdayError) -> Self {
        match error {
            WorkdayError::NotFound => Self::not_found("employee"),
            WorkdayError::Store(error) => error.into(),
        }
    }
}

/// The board to show.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct BoardQuery {
    /// The workday; by default the present one at each employee's site.
    #[param(example = "2026-03-02")]
    date: Option<String>,
    /// The ID of a site; by default all.
    site: Option<String>,
}

/// Shows who is there: a line for each active employee, by name.
#[utoipa::path(
    get, path = "/api/days", tag = "attendance",
    params(BoardQuery),
    responses((status = 200, description = "The board", body = BoardView)),
    security(("session" = [])),
)]
pub async fn get_board(
    allowed: Allowed<Reading>,
    State(workdays): State<Arc<Workdays>>,
    Query(query): Query<BoardQuery>,
) -> Result<axum::Json<BoardView>, Problem> {
    let mut fields = Fields::default();
    let date = fields.optional("date", query.date, |text| read_date(&text));
    let site = fields.optional("site", query.site, read_id);
    fields.check()?;
    let lines = workdays.board(allowed.reach(), site, date).await?;
    Ok(axum::Json(lines.into()))
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
    async fn range(self, employee: &Employee, workdays: &Workdays) -> Result<DateRange, Problem> {
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

/// Returns the workdays of an employee, with explanations, the sums of weeks and of all days, and the
/// running balance.
#[utoipa::path(
    get, path = "/api/employees/{id}/days", tag = "attendance",
    params(("id" = String, Path, description = "The employee"), DaysQuery),
    responses(
        (status = 200, description = "The days", body = DaysView),
        (status = 404, description = "`not_found`"),
    ),
    security(("session" = [])),
)]
pub async fn get_days(
    allowed: Allowed<Reading>,
    State(workdays): State<Arc<Workdays>>,
    State(balances): State<Arc<Balances>>,
    Path(id): Path<EmployeeId>,
    Query(query): Query<DaysQuery>,
) -> Result<axum::Json<DaysView>, Problem> {
    let employee = workdays.employee(allowed.reach(), id).await?;
    let range = query.range(&employee, &workdays).await?;
    let (days, running) = balances.days(allowed.reach(), id, range).await?;
    Ok(axum::Json(DaysView::new(days, &running)))
}
