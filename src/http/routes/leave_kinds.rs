//! Kinds of leave.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};

use crate::{
    domain::ids::LeaveKindId,
    http::{
        auth::{Administering, Allowed, Reading},
        extract::{Json, Path, Query},
        merge_patch::MergePatch,
        page::{List, PageQuery},
        problem::Problem,
        views::{
            Created, created,
            entries::{EditableLeaveKind, LeaveKindView, page_of},
            sites::SiteQuery,
        },
    },
    service::catalog::LeaveKinds,
};

/// Lists kinds of leave.
#[utoipa::path(
    get, path = "/api/leave-kinds", tag = "plans",
    params(SiteQuery, PageQuery),
    responses((status = 200, description = "A page of kinds of leave", body = List<LeaveKindView>)),
    security(("session" = [])),
)]
pub async fn list_leave_kinds(
    allowed: Allowed<Reading>,
    State(catalog): State<Arc<LeaveKinds>>,
    Query(site): Query<SiteQuery>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<List<LeaveKindView>>, Problem> {
    page_of(&catalog, allowed.reach(), site, &page).await
}

/// Adds a kind of leave.
#[utoipa::path(
    post, path = "/api/leave-kinds", tag = "plans",
    request_body = EditableLeaveKind,
    responses(
        (status = 201, description = "Added", body = LeaveKindView,
         headers(("Location" = String, description = "The address to change or remove it"))),
        (status = 409, description = "`name_taken`"),
    ),
    security(("session" = [])),
)]
pub async fn create_leave_kind(
    allowed: Allowed<Administering>,
    State(catalog): State<Arc<LeaveKinds>>,
    Json(new): Json<EditableLeaveKind>,
) -> Result<Created<LeaveKindView>, Problem> {
    let (reach, actor) = (allowed.reach(), allowed.actor());
    let entry = catalog.add(reach, actor, new.read()?).await?;
    let address = format!("/api/leave-kinds/{}", entry.id);
    Ok(created(address, (&entry).into()))
}

/// A change of a kind of leave.
type LeaveKindPatch = MergePatch<EditableLeaveKind>;

/// Changes a kind of leave.
#[utoipa::path(
    patch, path = "/api/leave-kinds/{id}", tag = "plans",
    params(("id" = String, Path, description = "The kind of leave")),
    request_body = LeaveKindPatch,
    responses(
        (status = 200, description = "Changed", body = LeaveKindView),
        (status = 404, description = "`not_found`"),
        (status = 409, description = "`name_taken`, or `conflict` if other requests keep changing it at the same time"),
    ),
    security(("session" = [])),
)]
pub async fn update_leave_kind(
    allowed: Allowed<Administering>,
    State(catalog): State<Arc<LeaveKinds>>,
    Path(id): Path<LeaveKindId>,
    Json(patch): Json<LeaveKindPatch>,
) -> Result<axum::Json<LeaveKindView>, Problem> {
    let (reach, actor) = (allowed.reach(), allowed.actor());
    let changed = catalog.change(reach, actor, id, |old| patch.apply(&old.into())?.read());
    Ok(axum::Json((&changed.await?).into()))
}

/// Removes a kind of leave. Leave of this kind stays.
#[utoipa::path(
    delete, path = "/api/leave-kinds/{id}", tag = "plans",
    params(("id" = String, Path, description = "The kind of leave")),
    responses(
        (status = 204, description = "Removed"),
        (status = 404, description = "`not_found`"),
        (status = 409, description = "`conflict` if other requests keep changing it at the same time"),
    ),
    security(("session" = [])),
)]
pub async fn delete_leave_kind(
    allowed: Allowed<Administering>,
    State(catalog): State<Arc<LeaveKinds>>,
    Path(id): Path<LeaveKindId>,
) -> Result<StatusCode, Problem> {
    catalog.remove(allowed.reach(), allowed.actor(), id).await?;
    Ok(StatusCode::NO_CONTENT)
}
