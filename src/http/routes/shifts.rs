//! Kinds of shifts.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};

use crate::{
    domain::ids::ShiftKindId,
    http::{
        auth::{Allowed, Correcting, Surveying},
        extract::{Json, Path, Query},
        merge_patch::MergePatch,
        page::{List, PageQuery},
        problem::Problem,
        views::{
            Created, created,
            entries::{EditableShift, ShiftView, page_of},
            sites::SiteQuery,
        },
    },
    service::catalog::Shifts,
};

/// Lists the shifts of sites.
#[utoipa::path(
    get, path = "/api/shifts", tag = "plans",
    params(SiteQuery, PageQuery),
    responses((status = 200, description = "A page of the shifts of sites", body = List<ShiftView>)),
    security(("session" = [])),
)]
pub async fn list_shifts(
    allowed: Allowed<Surveying>,
    State(catalog): State<Arc<Shifts>>,
    Query(site): Query<SiteQuery>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<List<ShiftView>>, Problem> {
    page_of(&catalog, allowed.reach(), site, &page).await
}

/// Adds a shift.
#[utoipa::path(
    post, path = "/api/shifts", tag = "plans",
    request_body = EditableShift,
    responses(
        (status = 201, description = "Added", body = ShiftView,
         headers(("Location" = String, description = "The address to change or remove it"))),
        (status = 409, description = "`name_taken`"),
    ),
    security(("session" = [])),
)]
pub async fn create_shift(
    allowed: Allowed<Correcting>,
    State(catalog): State<Arc<Shifts>>,
    Json(new): Json<EditableShift>,
) -> Result<Created<ShiftView>, Problem> {
    let (reach, actor) = (allowed.reach(), allowed.actor());
    let entry = catalog.add(reach, actor, new.read()?).await?;
    let address = format!("/api/shifts/{}", entry.id);
    Ok(created(address, (&entry).into()))
}

/// A change of a shift.
type ShiftPatch = MergePatch<EditableShift>;

/// Changes a shift. Other times count for all days that are not locked, past ones too.
#[utoipa::path(
    patch, path = "/api/shifts/{id}", tag = "plans",
    params(("id" = String, Path, description = "The shift")),
    request_body = ShiftPatch,
    responses(
        (status = 200, description = "Changed", body = ShiftView),
        (status = 404, description = "`not_found`"),
        (status = 409, description = "`name_taken`, `shift_in_use` if it would move to another site, or `conflict` if other requests keep changing it at the same time"),
    ),
    security(("session" = [])),
)]
pub async fn update_shift(
    allowed: Allowed<Correcting>,
    State(catalog): State<Arc<Shifts>>,
    Path(id): Path<ShiftKindId>,
    Json(patch): Json<ShiftPatch>,
) -> Result<axum::Json<ShiftView>, Problem> {
    let (reach, actor) = (allowed.reach(), allowed.actor());
    let changed = catalog.change(reach, actor, id, |old| patch.apply(&old.into())?.read());
    Ok(axum::Json((&changed.await?).into()))
}

/// Removes a shift that no cycle has. It stays in what is already planned.
#[utoipa::path(
    delete, path = "/api/shifts/{id}", tag = "plans",
    params(("id" = String, Path, description = "The shift")),
    responses(
        (status = 204, description = "Removed"),
        (status = 404, description = "`not_found`"),
        (status = 409, description = "`shift_in_use` if a cycle has it, or `conflict` if other requests keep changing it at the same time"),
    ),
    security(("session" = [])),
)]
pub async fn delete_shift(
    allowed: Allowed<Correcting>,
    State(catalog): State<Arc<Shifts>>,
    Path(id): Path<ShiftKindId>,
) -> Result<StatusCode, Problem> {
    catalog.remove(allowed.reach(), allowed.actor(), id).await?;
    Ok(StatusCode::NO_CONTENT)
}
