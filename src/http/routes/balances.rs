//! Entries of the balances of employees.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};

use crate::{
    domain::ids::{BalanceEntryId, EmployeeId},
    http::{
        auth::{Allowed, Correcting, Reading},
        deciding::Deciding,
        extract::{Json, Path, Query},
        field_error::FieldError,
        page::{List, PageQuery},
        problem::{Code, Problem},
        views::{
            Created,
            balances::{BalanceEntryView, NewBalanceEntryView},
            created,
        },
    },
    service::balances::{BalanceError, Balances},
};

impl From<BalanceError> for Problem {
    fn from(error: BalanceError) -> Self {
        let text = error.to_string();
        match error {
            BalanceError::NotFound => Self::not_found("balance entry"),
            BalanceError::NoEmployee => Self::not_found("employee"),
            BalanceError::OwnHours => Self::new(Code::OwnHours, text),
            BalanceError::Locked(_) => Self::new(Code::TimesheetLocked, text),
            BalanceError::Opened => Self::field("date", FieldError::OpeningExists),
            BalanceError::Store(error) => error.into(),
        }
    }
}

/// Lists what was entered beside the days of an employee, latest date first.
#[utoipa::path(
    get, path = "/api/employees/{id}/balance-entries", tag = "attendance",
    params(("id" = String, Path, description = "The employee"), PageQuery),
    responses((status = 200, description = "A page of balance entries", body = List<BalanceEntryView>)),
)]
pub async fn list_balance_entries(
    allowed: Allowed<Reading>,
    State(balances): State<Arc<Balances>>,
    Path(id): Path<EmployeeId>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<List<BalanceEntryView>>, Problem> {
    let wanted = page.page()?;
    let found = balances.list(allowed.reach(), id, &wanted.page).await?;
    let (found, next) = wanted.cut(found, |last| (last.date, last.id))?;
    let items = found.iter().map(BalanceEntryView::from).collect();
    Ok(axum::Json(List { items, next }))
}

/// Adds an opening value, a payout or another change to the balance of an employee.
#[utoipa::path(
    post, path = "/api/employees/{id}/balance-entries", tag = "attendance",
    params(("id" = String, Path, description = "The employee")),
    request_body = NewBalanceEntryView,
    responses(
        (status = 201, description = "Added", body = BalanceEntryView,
         headers(("Location" = String, description = "The address to delete it"))),
        (status = 403, description = "`own_hours`: another manager must decide about the caller's own hours"),
        (status = 409, description = "`timesheet_locked`: the date lies in a locked period"),
    ),
)]
pub async fn create_balance_entry(
    allowed: Allowed<Correcting>,
    State(balances): State<Arc<Balances>>,
    Path(id): Path<EmployeeId>,
    Json(new): Json<NewBalanceEntryView>,
) -> Result<Created<BalanceEntryView>, Problem> {
    let deciding = Deciding::of(&allowed)?;
    let added = balances.add(deciding.by(&allowed), id, new.read()?);
    let entry = added.await?;
    let address = format!("/api/balance-entries/{}", entry.id);
    Ok(created(address, (&entry).into()))
}

/// Deletes an entry of a balance.
#[utoipa::path(
    delete, path = "/api/balance-entries/{id}", tag = "attendance",
    params(("id" = String, Path, description = "The balance entry")),
    responses(
        (status = 204, description = "Deleted"),
        (status = 403, description = "`own_hours`: another manager must decide about the caller's own hours"),
        (status = 409, description = "`timesheet_locked`: its date lies in a locked period"),
    ),
)]
pub async fn delete_balance_entry(
    allowed: Allowed<Correcting>,
    State(balances): State<Arc<Balances>>,
    Path(id): Path<BalanceEntryId>,
) -> Result<StatusCode, Problem> {
    let deciding = Deciding::of(&allowed)?;
    balances.remove(deciding.by(&allowed), id).await?;
    Ok(StatusCode::NO_CONTENT)
}
