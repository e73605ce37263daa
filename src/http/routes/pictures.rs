//! Stored pictures: of punches, and of unknown faces.

use std::{collections::HashSet, sync::Arc};

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    domain::{
        accounts::{Account, Actor},
        attendance::Origin,
        ids::{PictureId, PunchId},
        pictures::Picture,
    },
    http::{
        auth::{Allowed, Looking},
        extract::{Path, Query},
        page::{List, PageQuery},
        problem::Problem,
        views::{
            punches::{NameLookup, OriginView},
            time,
        },
    },
    service::{
        cameras::Cameras,
        pictures::{PictureError, Pictures},
    },
};

impl From<PictureError> for Problem {
    fn from(error: PictureError) -> Self {
        match error {
            PictureError::Sample(error) => error.into(),
            PictureError::Vault(error) => error.into(),
            PictureError::Store(error) => error.into(),
        }
    }
}

/// A face that was not recognized.
#[derive(Serialize, ToSchema)]
#[schema(title = "UnknownFace")]
pub struct UnknownFaceView {
    /// The ID.
    #[schema(format = "uuid")]
    id: String,
    /// When it was seen.
    #[schema(format = "date-time", example = "2026-11-21T07:58:12.345Z")]
    at: String,
    /// The time zone of the site where it was seen.
    #[schema(example = "Europe/Berlin")]
    zone: Option<String>,
    /// What took the picture.
    origin: OriginView,
}

/// Checks whether the account may see pictures of an origin: of all devices, but only of the
/// cameras that it may see.
async fn may_see(cameras: &Cameras, account: &Account, origin: Origin) -> Result<bool, Problem> {
    match origin {
        Origin::Device(_) | Origin::Account(_) => Ok(true),
        Origin::Camera(id) => Ok(cameras.shows(id, account).await?),
    }
}

/// Returns the picture if the account may see it.
async fn visible(
    cameras: &Cameras,
    account: &Account,
    picture: Option<Picture>,
) -> Result<Option<Picture>, Problem> {
    match picture {
        Some(one) if may_see(cameras, account, one.origin).await? => Ok(Some(one)),
        _ => Ok(None),
    }
}

/// Opens a picture for the response; its bytes are not cached.
async fn jpeg(
    pictures: &Pictures,
    actor: Actor,
    picture: Option<Picture>,
) -> Result<(HeaderMap, Vec<u8>), Problem> {
    let picture = picture.ok_or_else(|| Problem::not_found("picture"))?;
    let opened = pictures.look(actor, &picture).await?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("image/jpeg")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers.into_iter().collect(), opened.to_vec()))
}

/// Returns the picture of a punch.
///
/// It exists if the installation keeps pictures (`KEEP_PUNCH_PICTURES`) and the employee consented to
/// them. The audit trail records who sees it.
#[utoipa::path(
    get, path = "/api/punches/{id}/picture", tag = "punches",
    params(("id" = String, Path, description = "The punch")),
    responses(
        (status = 200, description = "The face and some of its surroundings, at most 320 pixels a side", body = Vec<u8>, content_type = "image/jpeg"),
        (status = 404, description = "`not_found`: there is no picture"),
    ),
)]
pub async fn get_punch_picture(
    allowed: Allowed<Looking>,
    State(pictures): State<Arc<Pictures>>,
    State(cameras): State<Arc<Cameras>>,
    Path(id): Path<PunchId>,
) -> Result<(HeaderMap, Vec<u8>), Problem> {
    let picture = pictures.find_by_punch(allowed.reach(), id).await?;
    let picture = visible(&cameras, allowed.account()?, picture).await?;
    jpeg(&pictures, allowed.actor(), picture).await
}

/// Lists unknown faces, newest first.
///
/// The list is empty unless the installation keeps them (`KEEP_UNKNOWN_FACES`). It leaves out faces of
/// cameras that the account may not see, so a page may have fewer items than its limit.
#[utoipa::path(
    get, path = "/api/unknown-faces", tag = "punches",
    params(PageQuery),
    responses((status = 200, description = "A page of unknown faces", body = List<UnknownFaceView>)),
)]
pub async fn list_unknown_faces(
    allowed: Allowed<Looking>,
    State(pictures): State<Arc<Pictures>>,
    State(cameras): State<Arc<Cameras>>,
    State(names): State<NameLookup>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<List<UnknownFaceView>>, Problem> {
    let wanted = page.page()?;
    let found = pictures
        .unknown_faces(allowed.reach(), &wanted.page)
        .await?;
    let (mut found, next) = wanted.cut(found, |last| (last.at, last.id))?;
    let mut hidden = HashSet::new();
    let origins: HashSet<_> = found.iter().map(|one| one.origin).collect();
    for origin in origins {
        if !may_see(&cameras, allowed.account()?, origin).await? {
            hidden.insert(origin);
        }
    }
    found.retain(|one| !hidden.contains(&one.origin));
    let sites = names.sites().await?;
    let names = names.origins(found.iter().map(|one| one.origin)).await?;
    let items = found.iter().map(|face| UnknownFaceView {
        id: face.id.to_string(),
        at: time(face.at),
        zone: sites.zone(face.site),
        origin: OriginView::new(face.origin, &names),
    });
    let items = items.collect();
    Ok(axum::Json(List { items, next }))
}

/// Returns the picture of an unknown face. The audit trail records who sees it.
#[utoipa::path(
    get, path = "/api/unknown-faces/{id}/picture", tag = "punches",
    params(("id" = String, Path, description = "The unknown face")),
    responses((status = 200, description = "The face and some of its surroundings, at most 320 pixels a side", body = Vec<u8>, content_type = "image/jpeg")),
)]
pub async fn get_unknown_face_picture(
    allowed: Allowed<Looking>,
    State(pictures): State<Arc<Pictures>>,
    State(cameras): State<Arc<Cameras>>,
    Path(id): Path<PictureId>,
) -> Result<(HeaderMap, Vec<u8>), Problem> {
    let picture = pictures.unknown_face(allowed.reach(), id).await?;
    let picture = visible(&cameras, allowed.account()?, picture).await?;
    jpeg(&pictures, allowed.actor(), picture).await
}

/// Deletes an unknown face permanently.
#[utoipa::path(
    delete, path = "/api/unknown-faces/{id}", tag = "punches",
    params(("id" = String, Path, description = "The unknown face")),
    responses((status = 204, description = "Deleted")),
)]
pub async fn delete_unknown_face(
    allowed: Allowed<Looking>,
    State(pictures): State<Arc<Pictures>>,
    State(cameras): State<Arc<Cameras>>,
    Path(id): Path<PictureId>,
) -> Result<StatusCode, Problem> {
    let picture = pictures.unknown_face(allowed.reach(), id).await?;
    let picture = visible(&cameras, allowed.account()?, picture).await?;
    let (reach, actor) = (allowed.reach(), allowed.actor());
    if picture.is_some() && pictures.delete_unknown(reach, actor, id).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::not_found("unknown face"))
    }
}
