//! Pictures that a site keeps: of punches, and of faces that nobody knows.

use std::{collections::HashSet, sync::Arc};

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{punches::Namers, time};
use crate::{
    domain::{
        accounts::{Account, Actor},
        attendance::PunchSource,
        ids::{CameraId, DeviceId, PictureId, PunchId},
    },
    http::{
        auth::{Allowed, Looking},
        extract::{Path, Query},
        page::{List, PageQuery},
        problem::Problem,
    },
    ports::StoredPicture,
    service::{cameras::Cameras, pictures::Pictures},
};

/// A face that nobody knows.
#[derive(Serialize, ToSchema)]
#[schema(title = "UnknownFace")]
pub struct UnknownFaceView {
    /// Identity.
    #[schema(format = "uuid")]
    id: String,
    /// When it was there.
    #[schema(format = "date-time", example = "2026-11-21T07:58:12.345Z")]
    at: String,
    /// Before what: a `device`, or a `camera` that the service watches.
    #[schema(example = "camera")]
    source: &'static str,
    /// The id of the device or camera.
    #[schema(format = "uuid")]
    device: String,
    /// Its name.
    #[schema(example = "Front door")]
    device_name: Option<String>,
}

/// Whether somebody may look at what was made at a place: of cameras, only through those that
/// were given to them.
async fn seen(
    cameras: &Cameras,
    by: &Account,
    (source, device): (PunchSource, DeviceId),
) -> Result<bool, Problem> {
    match source {
        PunchSource::Device => Ok(true),
        PunchSource::Camera => Ok(cameras.shows(CameraId::new(device.uuid()), by).await?),
    }
}

/// A picture that somebody may look at; of others they do not even know.
async fn shown(
    cameras: &Cameras,
    by: &Account,
    picture: Option<StoredPicture>,
) -> Result<Option<StoredPicture>, Problem> {
    match picture {
        Some(one) if seen(cameras, by, (one.source, one.device)).await? => Ok(Some(one)),
        _ => Ok(None),
    }
}

/// Opens a picture; its bytes go out and are forgotten.
async fn jpeg(
    pictures: &Pictures,
    actor: Actor,
    picture: Option<StoredPicture>,
) -> Result<(HeaderMap, Vec<u8>), Problem> {
    let picture = picture.ok_or_else(|| Problem::not_found("picture"))?;
    let opened = pictures.look(actor, &picture).await?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("image/jpeg")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers.into_iter().collect(), opened.to_vec()))
}

/// The picture of a punch.
///
/// There is one when the site keeps them (`KEEP_PUNCH_PICTURES`) and the employee consented to
/// it. Who looks is in the audit trail.
#[utoipa::path(
    get, path = "/api/punches/{id}/picture", tag = "punches",
    params(("id" = String, Path, description = "The punch")),
    responses(
        (status = 200, description = "The face with some of what is around it, at most 320 pixels a side", body = Vec<u8>, content_type = "image/jpeg"),
        (status = 404, description = "`not_found`: none is kept"),
    ),
    security(("session" = [])),
)]
pub async fn get_punch_picture(
    allowed: Allowed<Looking>,
    State(pictures): State<Arc<Pictures>>,
    State(cameras): State<Arc<Cameras>>,
    Path(id): Path<PunchId>,
) -> Result<(HeaderMap, Vec<u8>), Problem> {
    let picture = pictures.of_punch(id).await?;
    let picture = shown(&cameras, allowed.account()?, picture).await?;
    jpeg(&pictures, allowed.actor(), picture).await
}

/// Lists faces that nobody knew, newest first.
///
/// Empty unless the site keeps them (`KEEP_UNKNOWN_FACES`). Those before cameras that one may not
/// look through are left out, so that a page may have fewer than its limit.
#[utoipa::path(
    get, path = "/api/unknown-faces", tag = "punches",
    params(PageQuery),
    responses((status = 200, description = "A page of unknown faces", body = List<UnknownFaceView>)),
    security(("session" = [])),
)]
pub async fn list_unknown_faces(
    allowed: Allowed<Looking>,
    State(pictures): State<Arc<Pictures>>,
    State(cameras): State<Arc<Cameras>>,
    State(namers): State<Namers>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<List<UnknownFaceView>>, Problem> {
    let wanted = page.page()?;
    let found = pictures.unknown_faces(&wanted.page).await?;
    let (mut found, next) = wanted.cut(found, |last| (last.at, last.id))?;
    let mut hidden = HashSet::new();
    for place in found
        .iter()
        .map(|one| (one.source, one.device))
        .collect::<HashSet<_>>()
    {
        if !seen(&cameras, allowed.account()?, place).await? {
            hidden.insert(place);
        }
    }
    found.retain(|one| !hidden.contains(&(one.source, one.device)));
    let places: Vec<_> = found.iter().map(|one| (one.source, one.device)).collect();
    let names = namers.places(&places).await?;
    let items = found.iter().map(|face| UnknownFaceView {
        id: face.id.to_string(),
        at: time(face.at),
        source: face.source.as_str(),
        device: face.device.to_string(),
        device_name: names.get(&face.device).cloned(),
    });
    let items = items.collect();
    Ok(axum::Json(List { items, next }))
}

/// The picture of a face that nobody knew. Who looks is in the audit trail.
#[utoipa::path(
    get, path = "/api/unknown-faces/{id}/picture", tag = "punches",
    params(("id" = String, Path, description = "The unknown face")),
    responses(
        (status = 200, description = "The face with some of what is around it, at most 320 pixels a side", body = Vec<u8>, content_type = "image/jpeg"),
        (status = 404, description = "`not_found`"),
    ),
    security(("session" = [])),
)]
pub async fn get_unknown_face_picture(
    allowed: Allowed<Looking>,
    State(pictures): State<Arc<Pictures>>,
    State(cameras): State<Arc<Cameras>>,
    Path(id): Path<PictureId>,
) -> Result<(HeaderMap, Vec<u8>), Problem> {
    let picture = pictures.unknown_face(id).await?;
    let picture = shown(&cameras, allowed.account()?, picture).await?;
    jpeg(&pictures, allowed.actor(), picture).await
}

/// Deletes an unknown face for good.
#[utoipa::path(
    delete, path = "/api/unknown-faces/{id}", tag = "punches",
    params(("id" = String, Path, description = "The unknown face")),
    responses(
        (status = 204, description = "It is gone"),
        (status = 404, description = "`not_found`"),
    ),
    security(("session" = [])),
)]
pub async fn delete_unknown_face(
    allowed: Allowed<Looking>,
    State(pictures): State<Arc<Pictures>>,
    State(cameras): State<Arc<Cameras>>,
    Path(id): Path<PictureId>,
) -> Result<StatusCode, Problem> {
    let picture = pictures.unknown_face(id).await?;
    let picture = shown(&cameras, allowed.account()?, picture).await?;
    if picture.is_some() && pictures.delete_unknown(allowed.actor(), id).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::not_found("unknown face"))
    }
}
