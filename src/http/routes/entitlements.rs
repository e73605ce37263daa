//! Entitlements to leave, and how much of it is left.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    domain::{
        ids::{EmployeeId, EntitlementId},
        plans::Entitlement,
    },
    http::{
        auth::{Allowed, Correcting, Reading},
        deciding::Deciding,
        extract::{Json, Path, Query},
        field_error::FieldError,
        merge_patch::MergePatch,
        page::{List, PageQuery},
        problem::{Code, Problem},
        views::{
            Created, created,
            entitlements::{
                EditableEntitlement, EntitlementView, LeaveBalanceView, LeaveBalancesView,
                NewEntitlementView,
            },
            plans::PlanQuery,
            read_date,
        },
    },
    ports::StoreError,
    service::{
        entitlements::{EntitlementError, Entitlements},
        workdays::Workdays,
    },
};

impl From<EntitlementError> for Problem {
    fn from(error: EntitlementError) -> Self {
        match error {
            EntitlementError::NotFound => Self::not_found("entitlement"),
            EntitlementError::UnknownEmployee => {
                Self::field("employee", FieldError::UnknownEmployee)
            }
            EntitlementError::UnknownKind => Self::field("kind", FieldError::UnknownLeaveKind),
            EntitlementError::Overlap(other) => Self::field(
                "from",
                FieldError::OverlappingEntitlement {
                    from: other.grant.from,
                    to: other.grant.to,
                },
            ),
            EntitlementError::Own => Self::new(Code::OwnHours, error.to_string()),
            EntitlementError::Raced => StoreError::Conflict.into(),
            EntitlementError::Store(error) => error.into(),
        }
    }
}

/// Lists the entitlements that cover one of the dates, by employee and first date.
#[utoipa::path(
    get, path = "/api/entitlements", tag = "plans",
    params(PlanQuery, PageQuery),
    responses((status = 200, description = "A page of entitlements", body = List<EntitlementView>)),
)]
pub async fn list_entitlements(
    allowed: Allowed<Reading>,
    State(entitlements): State<Arc<Entitlements>>,
    Query(query): Query<PlanQuery>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<List<EntitlementView>>, Problem> {
    let ((whose, within), wanted) = (query.read()?, page.page()?);
    let found = entitlements.list(allowed.reach(), whose, within, &wanted.page);
    let cursor = |last: &Entitlement| (last.employee, last.grant.from, last.id);
    let (found, next) = wanted.cut(found.await?, cursor)?;
    let items = found.iter().map(EntitlementView::from).collect();
    Ok(axum::Json(List { items, next }))
}

/// Adds an entitlement.
#[utoipa::path(
    post, path = "/api/entitlements", tag = "plans",
    request_body = NewEntitlementView,
    responses(
        (status = 201, description = "Added", body = EntitlementView,
         headers(("Location" = String, description = "The address to change or delete it"))),
        (status = 403, description = "`own_hours`: another manager must decide about the caller's own leave"),
    ),
)]
pub async fn create_entitlement(
    allowed: Allowed<Correcting>,
    State(entitlements): State<Arc<Entitlements>>,
    Json(new): Json<NewEntitlementView>,
) -> Result<Created<EntitlementView>, Problem> {
    let deciding = Deciding::of(&allowed)?;
    let (employee, kind, grant) = new.read()?;
    let added = entitlements.add(deciding.by(&allowed), employee, kind, grant);
    let added = added.await?;
    let address = format!("/api/entitlements/{}", added.id);
    Ok(created(address, (&added).into()))
}

/// A change of an entitlement.
type EntitlementPatch = MergePatch<EditableEntitlement>;

/// Changes an entitlement.
#[utoipa::path(
    patch, path = "/api/entitlements/{id}", tag = "plans",
    params(("id" = String, Path, description = "The entitlement")),
    request_body = EntitlementPatch,
    responses(
        (status = 200, description = "Changed", body = EntitlementView),
        (status = 403, description = "`own_hours`: another manager must decide about the caller's own leave"),
        (status = 409, description = "`conflict` if other requests keep changing it at the same time"),
    ),
)]
pub async fn update_entitlement(
    allowed: Allowed<Correcting>,
    State(entitlements): State<Arc<Entitlements>>,
    Path(id): Path<EntitlementId>,
    Json(patch): Json<EntitlementPatch>,
) -> Result<axum::Json<EntitlementView>, Problem> {
    let deciding = Deciding::of(&allowed)?;
    let by = deciding.by(&allowed);
    let changed = entitlements.change(by, id, |old| patch.apply(&old.into())?.read());
    Ok(axum::Json((&changed.await?).into()))
}

/// Deletes an entitlement.
#[utoipa::path(
    delete, path = "/api/entitlements/{id}", tag = "plans",
    params(("id" = String, Path, description = "The entitlement")),
    responses(
        (status = 204, description = "Deleted"),
        (status = 403, description = "`own_hours`: another manager must decide about the caller's own leave"),
    ),
)]
pub async fn delete_entitlement(
    allowed: Allowed<Correcting>,
    State(entitlements): State<Arc<Entitlements>>,
    Path(id): Path<EntitlementId>,
) -> Result<StatusCode, Problem> {
    let deciding = Deciding::of(&allowed)?;
    entitlements.remove(deciding.by(&allowed), id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The date of a leave balance.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct LeaveBalanceQuery {
    /// The date that divides what was taken from what is planned; by default today.
    #[param(format = "date", example = "2026-06-30")]
    date: Option<String>,
}

/// Returns how much leave of each kind an employee has: entitled, taken, planned, requested, left.
#[utoipa::path(
    get, path = "/api/employees/{id}/leave-balance", tag = "plans",
    params(("id" = String, Path, description = "The employee"), LeaveBalanceQuery),
    responses((status = 200, description = "The leave of each kind", body = LeaveBalancesView)),
)]
pub async fn get_leave_balance(
    allowed: Allowed<Reading>,
    State(entitlements): State<Arc<Entitlements>>,
    State(workdays): State<Arc<Workdays>>,
    Path(id): Path<EmployeeId>,
    Query(query): Query<LeaveBalanceQuery>,
) -> Result<axum::Json<LeaveBalancesView>, Problem> {
    let date = query.date.map(|text| read_date(&text)).transpose();
    let date = match date.map_err(|error| Problem::field("date", error))? {
        Some(date) => date,
        None => {
            let employee = workdays.employee(allowed.reach(), id).await?;
            workdays.today(&employee).await?
        }
    };
    let found = entitlements.balances(allowed.reach(), id, date).await;
    let found = found.map_err(|error| match error {
        EntitlementError::UnknownEmployee => Problem::not_found("employee"),
        error => error.into(),
    })?;
    Ok(axum::Json(LeaveBalancesView {
        date: date.to_string(),
        items: found.iter().map(LeaveBalanceView::from).collect(),
    }))
}
