//! Cycles of shifts.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};

use crate::{
    domain::ids::CycleId,
    http::{
        auth::{Allowed, Correcting, Surveying},
        extract::{Json, Path, Query},
        merge_patch::MergePatch,
        page::{List, PageQuery},
        problem::Problem,
        views::{
            Created, created,
            entries::{CycleView, EditableCycle, page_of},
            sites::SiteQuery,
        },
    },
    service::catalog::Cycles,
};

/// Lists the cycles of sites.
#[utoipa::path(
    get, path = "/api/cycles", tag = "plans",
    params(SiteQuery, PageQuery),
    responses((status = 200, description = "A page of the cycles of sites", body = List<CycleView>)),
    security(("session" = [])),
)]
pub async fn list_cycles(
    allowed: Allowed<Surveying>,
    State(catalog): State<Arc<Cycles>>,
    Query(site): Query<SiteQuery>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<List<CycleView>>, Problem> {
    page_of(&catalog, allowed.reach(), site, &page).await
}

/// Adds a cycle of shifts.
#[utoipa::path(
    post, path = "/api/cycles", tag = "plans",
    request_body = EditableCycle,
    responses(
        (status = 201, description = "Added", body = CycleView,
         headers(("Location" = String, description = "The address to change or remove it"))),
        (status = 409, description = "`name_taken`"),
    ),
    security(("session" = [])),
)]
pub async fn create_cycle(
    allowed: Allowed<Correcting>,
    State(catalog): State<Arc<Cycles>>,
    Json(new): Json<EditableCycle>,
) -> Result<Created<CycleView>, Problem> {
    let (reach, actor) = (allowed.reach(), allowed.actor());
    let entry = catalog.add(reach, actor, new.read()?).await?;
    let address = format!("/api/cycles/{}", entry.id);
    Ok(created(address, (&entry).into()))
}

/// A change of a cycle of shifts.
type CyclePatch = MergePatch<EditableCycle>;

/// Changes a cycle. The change counts for all days that are not locked, past ones too.
#[utoipa::path(
    patch, path = "/api/cycles/{id}", tag = "plans",
    params(("id" = String, Path, description = "The cycle")),
    request_body = CyclePatch,
    responses(
        (status = 200, description = "Changed", body = CycleView),
        (status = 404, description = "`not_found`"),
        (status = 409, description = "`name_taken`, or `conflict` if other requests keep changing it at the same time"),
    ),
    security(("session" = [])),
)]
pub async fn update_cycle(
    allowed: Allowed<Correcting>,
    State(catalog): State<Arc<Cycles>>,
    Path(id): Path<CycleId>,
    Json(patch): Json<CyclePatch>,
) -> Result<axum::Json<CycleView>, Problem> {
    let (reach, actor) = (allowed.reach(), allowed.actor());
    let changed = catalog.change(reach, actor, id, |old| patch.apply(&old.into())?.read());
    Ok(axum::Json((&changed.await?).into()))
}

/// Removes a cycle. It stays in what is already planned.
#[utoipa::path(
    delete, path = "/api/cycles/{id}", tag = "plans",
    params(("id" = String, Path, description = "The cycle")),
    responses(
        (status = 204, description = "Removed"),
        (status = 404, description = "`not_found`"),
        (status = 409, description = "`conflict` if other requests keep changing it at the same time"),
    ),
    security(("session" = [])),
)]
pub async fn delete_cycle(
    allowed: Allowed<Correcting>,
    State(catalog): State<Arc<Cycles>>,
    Path(id): Path<CycleId>,
) -> Result<StatusCode, Problem> {
    catalog.remove(allowed.reach(), allowed.actor(), id).await?;
    Ok(StatusCode::NO_CONTENT)
}
