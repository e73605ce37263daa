//! Workdays, and who is there.

use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    domain::ids::EmployeeId,
    http::{
        auth::{Allowed, Reading},
        extract::{Path, Query},
        problem::{Fields, Problem},
        views::{
            read_date, read_id,
            workdays::{BoardView, DaysQuery, DaysView},
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

/// Returns the workdays of an employee, with explanations, the sums of weeks and of all days, and the
/// running balance.
#[utoipa::path(
    get, path = "/api/employees/{id}/days", tag = "attendance",
    params(("id" = String, Path, description = "The employee"), DaysQuery),
    responses((status = 200, description = "The days", body = DaysView)),
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
