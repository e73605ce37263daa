//! Cameras that the service watches.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    domain::{accounts::Account, cameras::StreamFault, grants::Permission, ids::CameraId},
    http::{
        auth::{Administering, Allowed, Surveying},
        extract::{Json, Path, Query},
        field_error::FieldError,
        merge_patch::MergePatch,
        page::{List, PageQuery},
        problem::{Code, Problem},
        views::{
            Created,
            cameras::{EditableCamera, StateView},
            created,
            sites::SiteQuery,
            time,
        },
    },
    ports::{StoreError, StreamError},
    service::{
        cameras::{CameraError, Cameras, Configured, Watched},
        sites::{SiteMap, Sites},
    },
};

impl From<StreamError> for Problem {
    fn from(error: StreamError) -> Self {
        let code = match error.fault {
            StreamFault::Unreachable => Code::CameraUnreachable,
            StreamFault::Refused => Code::CameraRefused,
        };
        Self::new(code, error.cause)
    }
}

impl From<CameraError> for Problem {
    fn from(error: CameraError) -> Self {
        let text = error.to_string();
        match error {
            CameraError::NotFound => Self::not_found("camera"),
            CameraError::StreamTaken => Self::new(Code::StreamTaken, text),
            CameraError::NoAccount(email) => Self::field(
                "viewers",
                FieldError::UnknownAccount {
                    email: email.into(),
                },
            ),
            CameraError::UnknownStream => Self::field("stream", FieldError::UnknownStream),
            CameraError::UnknownSite => Self::field("site", FieldError::UnknownSite),
            CameraError::Raced => StoreError::Conflict.into(),
            CameraError::TooManyViewers => Self::new(Code::TooManyViewers, text).retry_after(10),
            CameraError::Stream(error) => error.into(),
            CameraError::Store(error) => error.into(),
        }
    }
}

/// A go2rtc stream that the service watches.
#[derive(Serialize, ToSchema)]
#[schema(title = "Camera")]
pub struct CameraView {
    /// The ID; punches of the camera have it in `origin`.
    #[schema(format = "uuid", example = "0199f3a0-7c1e-7d5a-9f0e-2b7f6f0c1a2b")]
    id: String,
    #[serde(flatten)]
    settings: EditableCamera,
    /// The name of the site.
    #[schema(example = "Harbor")]
    site_name: String,
    /// The state; null if the service never watched the camera.
    state: Option<StateView>,
    /// When it was added.
    #[schema(format = "date-time")]
    created_at: String,
}

impl CameraView {
    /// Returns a camera as the account may see it.
    fn for_account(watched: &Watched, account: &Account, sites: &SiteMap) -> Self {
        let camera = &watched.camera;
        let mut settings = EditableCamera::from(camera);
        if !account.permits(Permission::Administer) {
            settings.viewers = None;
        }
        Self {
            id: camera.id.to_string(),
            settings,
            site_name: sites.name(camera.site).to_owned(),
            state: StateView::from_watched(watched),
            created_at: time(camera.created_at),
        }
    }
}

/// Lists the cameras that the account may see.
#[utoipa::path(
    get, path = "/api/cameras", tag = "cameras",
    params(SiteQuery, PageQuery),
    responses((status = 200, description = "A page of cameras", body = List<CameraView>)),
)]
pub async fn list_cameras(
    allowed: Allowed<Surveying>,
    State(cameras): State<Arc<Cameras>>,
    State(sites): State<Arc<Sites>>,
    Query(query): Query<SiteQuery>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<List<CameraView>>, Problem> {
    let wanted = page.page()?;
    let account = allowed.account()?;
    let found = cameras.list(query.read()?, &wanted.page, account).await?;
    let (found, next) = wanted.cut(found, |last| last.camera.id)?;
    let sites = sites.all().await?;
    let view = |one| CameraView::for_account(one, account, &sites);
    let items = found.iter().map(view).collect();
    Ok(axum::Json(List { items, next }))
}

/// Adds a camera.
///
/// Its stream must be in go2rtc's configuration. If go2rtc does not respond, the camera is added
/// anyway, and its state reports the fault.
#[utoipa::path(
    post, path = "/api/cameras", tag = "cameras",
    request_body = EditableCamera,
    responses(
        (status = 201, description = "Added", body = CameraView,
         headers(("Location" = String, description = "The address of the camera"))),
        (status = 409, description = "`stream_taken`"),
    ),
)]
pub async fn create_camera(
    allowed: Allowed<Administering>,
    State(cameras): State<Arc<Cameras>>,
    State(sites): State<Arc<Sites>>,
    Json(new): Json<EditableCamera>,
) -> Result<Created<CameraView>, Problem> {
    let camera = cameras.add(allowed.actor(), new.read_new()?).await?;
    let address = format!("/api/cameras/{}", camera.id);
    let added = Watched {
        camera,
        status: None,
        fresh: false,
    };
    let sites = sites.all().await?;
    let view = CameraView::for_account(&added, allowed.account()?, &sites);
    Ok(created(address, view))
}

/// Returns a camera.
#[utoipa::path(
    get, path = "/api/cameras/{id}", tag = "cameras",
    params(("id" = String, Path, description = "The camera")),
    responses((status = 200, description = "The camera", body = CameraView)),
)]
pub async fn get_camera(
    allowed: Allowed<Surveying>,
    State(cameras): State<Arc<Cameras>>,
    State(sites): State<Arc<Sites>>,
    Path(id): Path<CameraId>,
) -> Result<axum::Json<CameraView>, Problem> {
    let account = allowed.account()?;
    let camera = cameras.watched(id, account).await?;
    let sites = sites.all().await?;
    let view = CameraView::for_account(&camera, account, &sites);
    Ok(axum::Json(view))
}

/// A change of a camera.
type CameraPatch = MergePatch<EditableCamera>;

/// Changes, pauses or resumes a camera.
#[utoipa::path(
    patch, path = "/api/cameras/{id}", tag = "cameras",
    params(("id" = String, Path, description = "The camera")),
    request_body = CameraPatch,
    responses(
        (status = 200, description = "Changed", body = CameraView),
        (status = 409, description = "`stream_taken`, or `conflict` if other requests keep changing it at the same time"),
    ),
)]
pub async fn update_camera(
    allowed: Allowed<Administering>,
    State(cameras): State<Arc<Cameras>>,
    State(sites): State<Arc<Sites>>,
    Path(id): Path<CameraId>,
    Json(patch): Json<CameraPatch>,
) -> Result<axum::Json<CameraView>, Problem> {
    let account = allowed.account()?;
    let changed = cameras.change(allowed.actor(), id, |camera| {
        patch.apply(&camera.into())?.read()
    });
    changed.await?;
    let camera = cameras.watched(id, account).await?;
    let sites = sites.all().await?;
    let view = CameraView::for_account(&camera, account, &sites);
    Ok(axum::Json(view))
}

/// Removes a camera. Its name stays in old punches; its stream is free for another camera.
#[utoipa::path(
    delete, path = "/api/cameras/{id}", tag = "cameras",
    params(("id" = String, Path, description = "The camera")),
    responses((status = 204, description = "Removed")),
)]
pub async fn delete_camera(
    allowed: Allowed<Administering>,
    State(cameras): State<Arc<Cameras>>,
    Path(id): Path<CameraId>,
) -> Result<StatusCode, Problem> {
    cameras.remove(allowed.actor(), id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A stream in go2rtc's configuration.
#[derive(Serialize, ToSchema)]
pub struct StreamView {
    /// The name of the stream.
    #[schema(example = "yard")]
    name: String,
    /// The ID of the camera that uses it; null if none does.
    #[schema(format = "uuid")]
    camera: Option<String>,
    /// The name of that camera.
    #[schema(example = "Yard gate")]
    camera_name: Option<String>,
}

impl From<&Configured> for StreamView {
    fn from(configured: &Configured) -> Self {
        let camera = configured.camera.as_ref();
        Self {
            name: configured.stream.to_string(),
            camera: camera.map(|camera| camera.id.to_string()),
            camera_name: camera.map(|camera| camera.name.to_string()),
        }
    }
}

/// Lists the streams in go2rtc's configuration, all on one page.
#[utoipa::path(
    get, path = "/api/camera-streams", tag = "cameras",
    responses(
        (status = 200, description = "The streams", body = List<StreamView>),
        (status = 502, description = "`camera_unreachable` or `camera_refused`: `detail` has the reason"),
    ),
)]
pub async fn list_streams(
    _: Allowed<Administering>,
    State(cameras): State<Arc<Cameras>>,
) -> Result<axum::Json<List<StreamView>>, Problem> {
    let streams = cameras.streams().await?;
    let items = streams.iter().map(Into::into).collect();
    Ok(axum::Json(List { items, next: None }))
}
