//! Payroll layouts.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};

use crate::{
    domain::{ids::PayrollLayoutId, plans::payroll_layouts::examples},
    http::{
        auth::{Administering, Allowed, Surveying},
        extract::{Json, Path, Query},
        merge_patch::MergePatch,
        page::{List, PageQuery},
        problem::Problem,
        views::{
            Created, created,
            entries::page_of,
            payroll::{EditablePayrollLayout, PayrollExampleView, PayrollLayoutView},
            sites::SiteQuery,
        },
    },
    service::catalog::PayrollLayouts,
};

/// Lists the examples of layouts. They show what payroll programs read; check them with your payroll
/// office, and set your own wage types.
#[utoipa::path(
    get, path = "/api/payroll-layout-examples", tag = "plans",
    responses((status = 200, description = "The examples", body = List<PayrollExampleView>)),
    security(("session" = [])),
)]
pub async fn list_payroll_examples(_: Allowed<Surveying>) -> axum::Json<List<PayrollExampleView>> {
    let items = examples().iter().map(Into::into).collect();
    axum::Json(List { items, next: None })
}

/// Lists payroll layouts.
#[utoipa::path(
    get, path = "/api/payroll-layouts", tag = "plans",
    params(SiteQuery, PageQuery),
    responses((status = 200, description = "A page of payroll layouts", body = List<PayrollLayoutView>)),
    security(("session" = [])),
)]
pub async fn list_payroll_layouts(
    allowed: Allowed<Surveying>,
    State(catalog): State<Arc<PayrollLayouts>>,
    Query(site): Query<SiteQuery>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<List<PayrollLayoutView>>, Problem> {
    page_of(&catalog, allowed.reach(), site, &page).await
}

/// Adds a payroll layout.
#[utoipa::path(
    post, path = "/api/payroll-layouts", tag = "plans",
    request_body = EditablePayrollLayout,
    responses(
        (status = 201, description = "Added", body = PayrollLayoutView,
         headers(("Location" = String, description = "The address to change or remove it"))),
        (status = 409, description = "`name_taken`"),
    ),
    security(("session" = [])),
)]
pub async fn create_payroll_layout(
    allowed: Allowed<Administering>,
    State(catalog): State<Arc<PayrollLayouts>>,
    Json(new): Json<EditablePayrollLayout>,
) -> Result<Created<PayrollLayoutView>, Problem> {
    let (reach, actor) = (allowed.reach(), allowed.actor());
    let entry = catalog.add(reach, actor, new.read()?).await?;
    let address = format!("/api/payroll-layouts/{}", entry.id);
    Ok(created(address, (&entry).into()))
}

/// A change of a payroll layout.
type PayrollLayoutPatch = MergePatch<EditablePayrollLayout>;

/// Changes a payroll layout.
#[utoipa::path(
    patch, path = "/api/payroll-layouts/{id}", tag = "plans",
    params(("id" = String, Path, description = "The layout")),
    request_body = PayrollLayoutPatch,
    responses(
        (status = 200, description = "Changed", body = PayrollLayoutView),
        (status = 404, description = "`not_found`"),
        (status = 409, description = "`name_taken`, or `conflict` if other requests keep changing it at the same time"),
    ),
    security(("session" = [])),
)]
pub async fn update_payroll_layout(
    allowed: Allowed<Administering>,
    State(catalog): State<Arc<PayrollLayouts>>,
    Path(id): Path<PayrollLayoutId>,
    Json(patch): Json<PayrollLayoutPatch>,
) -> Result<axum::Json<PayrollLayoutView>, Problem> {
    let (reach, actor) = (allowed.reach(), allowed.actor());
    let changed = catalog.change(reach, actor, id, |old| patch.apply(&old.into())?.read());
    Ok(axum::Json((&changed.await?).into()))
}

/// Removes a payroll layout.
#[utoipa::path(
    delete, path = "/api/payroll-layouts/{id}", tag = "plans",
    params(("id" = String, Path, description = "The layout")),
    responses(
        (status = 204, description = "Removed"),
        (status = 404, description = "`not_found`"),
        (status = 409, description = "`conflict` if other requests keep changing it at the same time"),
    ),
    security(("session" = [])),
)]
pub async fn delete_payroll_layout(
    allowed: Allowed<Administering>,
    State(catalog): State<Arc<PayrollLayouts>>,
    Path(id): Path<PayrollLayoutId>,
) -> Result<StatusCode, Problem> {
    catalog.remove(allowed.reach(), allowed.actor(), id).await?;
    Ok(StatusCode::NO_CONTENT)
}
