//! Pictures that a site keeps: of punches, and of faces that nobody knows.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
};
use serde::Serialize;
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::{punches::Namers, time};
use crate::{
    domain::{
        attendance::PunchSource,
        ids::{PictureId, PunchId},
    },
    http::{
        auth::{Allowed, Looking},
        extract::{Path, Query},
        page::{List, PageQuery},
        problem::Problem,
    },
    service::pictures::Pictures,
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

/// The bytes of a picture, as they go out and are forgotten.
fn jpeg(picture: Option<Zeroizing<Vec<u8>>>) -> Result<(HeaderMap, Vec<u8>), Problem> {
    let picture = picture.ok_or_else(|| Problem::not_found("picture"))?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("image/jpeg")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers.into_iter().collect(), picture.to_vec()))
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
    Path(id): Path<PunchId>,
) -> Result<(HeaderMap, Vec<u8>), Problem> {
    jpeg(pictures.look_at_punch(allowed.actor(), id).await?)
}

/// Lists faces that nobody knew, newest first.
///
/// Empty unless the site keeps them (`KEEP_UNKNOWN_FACES`).
#[utoipa::path(
    get, path = "/api/unknown-faces", tag = "punches",
    params(PageQuery),
    responses((status = 200, description = "A page of unknown faces", body = List<UnknownFaceView>)),
    security(("session" = [])),
)]
pub async fn list_unknown_faces(
    _: Allowed<Looking>,
    State(pictures): State<Arc<Pictures>>,
    State(namers): State<Namers>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<List<UnknownFaceView>>, Problem> {
    let wanted = page.page()?;
    let found = pictures.unknown_faces(&wanted.page).await?;
    let (found, next) = wanted.cut(found, |last| (last.at, last.id))?;
    let places: Vec<_> = found.iter().map(|one| (one.source, one.device)).collect();
    let names = namers.places(&places).await?;
    let items = found.iter().map(|face| UnknownFaceView {
        id: face.id.to_string(),
        at: time(face.at),
        source: match face.source {
            PunchSource::Device => "device",
            PunchSource::Camera => "camera",
        },
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
    Path(id): Path<PictureId>,
) -> Result<(HeaderMap, Vec<u8>), Problem> {
    jpeg(pictures.look_at_unknown(allowed.actor(), id).await?)
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
    Path(id): Path<PictureId>,
) -> Result<StatusCode, Problem> {
    let deleted = pictures.delete_unknown(allowed.actor(), id).await?;
    if deleted {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::not_found("unknown face"))
    }
}
