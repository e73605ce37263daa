//! Sites.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};

use crate::{
    domain::ids::SiteId,
    http::{
        HttpState,
        auth::{Administering, Allowed, ConfirmedUnlessProgram, Surveying},
        extract::{Json, Path, Query},
        merge_patch::MergePatch,
        page::{List, PageQuery},
        problem::{Code, Problem},
        views::{
            Created, created,
            sites::{EditableSite, SiteView},
        },
    },
    ports::StoreError,
    service::{
        punch_credentials::PunchCredentials,
        sites::{SiteError, Sites},
    },
};

impl From<SiteError> for Problem {
    fn from(error: SiteError) -> Self {
        match error {
            SiteError::NotFound => Self::not_found("site"),
            SiteError::NameTaken => Self::new(Code::NameTaken, error.to_string()),
            SiteError::Default | SiteError::InUse(_) => {
                Self::new(Code::SiteInUse, error.to_string())
            }
            SiteError::Raced => StoreError::Conflict.into(),
            SiteError::Store(error) => error.into(),
        }
    }
}

/// Lists sites by name.
#[utoipa::path(
    get, path = "/api/sites", tag = "sites",
    params(PageQuery),
    responses((status = 200, description = "A page of sites", body = List<SiteView>)),
)]
pub async fn list_sites(
    allowed: Allowed<Surveying>,
    State(sites): State<Arc<Sites>>,
    State(state): State<HttpState>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<List<SiteView>>, Problem> {
    let (wanted, now) = (page.page()?, state.clock.now());
    let found = sites.list(allowed.reach(), &wanted.page).await?;
    let (found, next) = wanted.cut(found, |last| (last.name.key(), last.id))?;
    let items = found.iter().map(|site| SiteView::at(site, now)).collect();
    Ok(axum::Json(List { items, next }))
}

/// Adds a site.
#[utoipa::path(
    post, path = "/api/sites", tag = "sites",
    request_body = EditableSite,
    responses(
        (status = 201, description = "Added", body = SiteView,
         headers(("Location" = String, description = "The address of the site"))),
        (status = 409, description = "`name_taken`"),
    ),
)]
pub async fn create_site(
    allowed: Allowed<Administering>,
    State(sites): State<Arc<Sites>>,
    State(state): State<HttpState>,
    Json(new): Json<EditableSite>,
) -> Result<Created<SiteView>, Problem> {
    let site = sites.add(allowed.actor(), new.read()?).await?;
    let address = format!("/api/sites/{}", site.id);
    Ok(created(address, SiteView::at(&site, state.clock.now())))
}

/// Returns a site.
#[utoipa::path(
    get, path = "/api/sites/{id}", tag = "sites",
    params(("id" = String, Path, description = "The site")),
    responses((status = 200, description = "The site", body = SiteView)),
)]
pub async fn get_site(
    allowed: Allowed<Surveying>,
    State(sites): State<Arc<Sites>>,
    State(state): State<HttpState>,
    Path(id): Path<SiteId>,
) -> Result<axum::Json<SiteView>, Problem> {
    let site = sites.find(allowed.reach(), id).await?;
    Ok(axum::Json(SiteView::at(&site, state.clock.now())))
}

/// A change of a site.
type SitePatch = MergePatch<EditableSite>;

/// Changes a site. Punches from now on follow its new time zone and start of the workday.
#[utoipa::path(
    patch, path = "/api/sites/{id}", tag = "sites",
    params(("id" = String, Path, description = "The site")),
    request_body = SitePatch,
    responses(
        (status = 200, description = "Changed", body = SiteView),
        (status = 409, description = "`name_taken`, or `conflict` if other requests keep changing it at the same time"),
    ),
)]
pub async fn update_site(
    allowed: Allowed<Administering>,
    State(sites): State<Arc<Sites>>,
    State(credentials): State<Arc<PunchCredentials>>,
    State(state): State<HttpState>,
    Path(id): Path<SiteId>,
    Json(patch): Json<SitePatch>,
) -> Result<axum::Json<SiteView>, Problem> {
    let changed = sites.change(allowed.actor(), id, |site| {
        patch.apply(&site.into())?.read()
    });
    let site = changed.await?;
    let view = SiteView::at(&site, state.clock.now());
    Ok(axum::Json(match site.face_and_pin {
        true => view.with_face_alone(credentials.count_face_alone(id).await?),
        false => view,
    }))
}

/// Removes a site to which no people, devices or cameras belong. Its name stays in old punches.
#[utoipa::path(
    delete, path = "/api/sites/{id}", tag = "sites",
    params(("id" = String, Path, description = "The site")),
    responses(
        (status = 204, description = "Removed"),
        (status = 409, description = "`site_in_use`: something belongs to it, or it is the default site; `conflict` if other requests keep changing it at the same time"),
    ),
)]
pub async fn delete_site(
    allowed: Allowed<Administering>,
    _: ConfirmedUnlessProgram,
    State(sites): State<Arc<Sites>>,
    Path(id): Path<SiteId>,
) -> Result<StatusCode, Problem> {
    sites.remove(allowed.actor(), id).await?;
    Ok(StatusCode::NO_CONTENT)
}
