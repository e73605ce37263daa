//! Current pictures of cameras, live pictures, and the faces in them.

use std::{convert::Infallible, sync::Arc, time::Duration};

use async_stream::stream;
use axum::{
    body::{Body, Bytes},
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    domain::{employees::Employee, grants::Permission, ids::CameraId},
    http::{
        HttpState,
        auth::{Allowed, Surveying},
        extract::Path,
        live::LiveSession,
        problem::Problem,
        views::{faces::BoxView, time},
    },
    ports::Sample,
    service::{
        cameras::{Cameras, Overlay, OverlayFace},
        employees::Employees,
    },
};

/// Returns a new picture of a camera.
#[utoipa::path(
    get, path = "/api/cameras/{id}/picture", tag = "cameras",
    params(("id" = String, Path, description = "The camera")),
    responses(
        (status = 200, description = "A picture", content_type = "image/jpeg", body = Vec<u8>),
        (status = 502, description = "`camera_unreachable` or `camera_refused`: `detail` has the reason"),
        (status = 503, description = "`too_many_viewers`"),
    ),
)]
pub async fn get_picture(
    allowed: Allowed<Surveying>,
    State(cameras): State<Arc<Cameras>>,
    Path(id): Path<CameraId>,
) -> Result<Response, Problem> {
    let picture = cameras.picture(id, allowed.account()?).await?;
    let kind = [(header::CONTENT_TYPE, "image/jpeg")];
    Ok((kind, picture.bytes().clone()).into_response())
}

/// The boundary between live pictures.
const BOUNDARY: &str = "rollcall-picture";

/// The longest time that live pictures are sent.
const LIVE_MOST: Duration = Duration::from_mins(10);

/// Returns a picture as a part. The boundary follows it, so that a browser shows the picture at
/// once.
fn part(picture: &Sample) -> Bytes {
    let jpeg = picture.bytes();
    let head = format!(
        "Content-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n",
        jpeg.len()
    );
    let end = format!("\r\n--{BOUNDARY}\r\n");
    [head.as_bytes(), jpeg, end.as_bytes()].concat().into()
}

/// Streams live pictures of a camera.
///
/// Sends only the newest pictures, at most ten a second. The response ends after ten minutes.
/// There are at most eight such responses at the same time.
#[utoipa::path(
    get, path = "/api/cameras/{id}/live", tag = "cameras",
    params(("id" = String, Path, description = "The camera")),
    responses(
        (status = 200, description = "A sequence of JPEGs", content_type = "multipart/x-mixed-replace", body = Vec<u8>),
        (status = 502, description = "`camera_unreachable` or `camera_refused`: `detail` has the reason"),
        (status = 503, description = "`too_many_viewers`"),
    ),
)]
pub async fn follow_camera(
    _: Allowed<Surveying>,
    mut session: LiveSession,
    State(state): State<HttpState>,
    State(cameras): State<Arc<Cameras>>,
    Path(id): Path<CameraId>,
) -> Result<Response, Problem> {
    let mut live = cameras.live(id, session.account()).await?;
    let end = tokio::time::Instant::now() + LIVE_MOST;
    let pictures = stream! {
        yield Ok::<_, Infallible>(Bytes::from(format!("--{BOUNDARY}\r\n")));
        loop {
            let picture = tokio::select! {
                picture = live.next() => picture,
                () = session.check_due() => {
                    if session.check().await && cameras.seen_by(id, session.account()).await.is_ok() {
                        continue;
                    }
                    break;
                }
                () = state.stopping.cancelled() => break,
                () = tokio::time::sleep_until(end) => break,
            };
            match picture {
                Ok(picture) => yield Ok(part(&picture)),
                Err(_) => break,
            }
        }
    };
    let kind = format!("multipart/x-mixed-replace; boundary={BOUNDARY}");
    Ok(([(header::CONTENT_TYPE, kind)], Body::from_stream(pictures)).into_response())
}

/// An employee whom a camera recognizes.
#[derive(Serialize, ToSchema)]
pub struct SeenEmployee {
    /// The ID.
    #[schema(format = "uuid")]
    id: String,
    /// The name.
    #[schema(example = "Grace Hopper")]
    name: String,
}

/// A face that a camera sees.
#[derive(Serialize, ToSchema)]
pub struct SeenFace {
    /// The box of the face.
    r#box: BoxView,
    /// The employee, once recognized.
    #[serde(skip_serializing_if = "Option::is_none")]
    employee: Option<SeenEmployee>,
    /// Whether the employee is recognized.
    known: bool,
}

/// The faces in the last picture that the service analyzed.
#[derive(Serialize, ToSchema)]
pub struct FacesView {
    /// When the picture arrived; null if there is no recent one.
    #[schema(format = "date-time")]
    at: Option<String>,
    /// The width of the picture, pixels.
    #[schema(example = 640)]
    width: u32,
    /// The height of the picture, pixels.
    #[schema(example = 480)]
    height: u32,
    /// The faces.
    faces: Vec<SeenFace>,
}

impl FacesView {
    fn new(overlay: &Overlay, employees: &[Employee]) -> Self {
        let face = |face: &OverlayFace| {
            let known = employees.iter().find(|one| Some(one.id) == face.employee);
            SeenFace {
                r#box: face.into(),
                known: known.is_some(),
                employee: known.map(|known| SeenEmployee {
                    id: known.id.to_string(),
                    name: known.name.to_string(),
                }),
            }
        };
        Self {
            at: Some(time(overlay.at)),
            width: overlay.width,
            height: overlay.height,
            faces: overlay.faces.iter().map(face).collect(),
        }
    }

    /// Returns the view without a recent picture.
    fn empty() -> Self {
        Self {
            at: None,
            width: 0,
            height: 0,
            faces: Vec::new(),
        }
    }
}

/// Returns the faces that a camera sees and their employees, for boxes over its live pictures.
#[utoipa::path(
    get, path = "/api/cameras/{id}/faces", tag = "cameras",
    params(("id" = String, Path, description = "The camera")),
    responses((status = 200, description = "The faces", body = FacesView)),
)]
pub async fn get_faces(
    allowed: Allowed<Surveying>,
    State(cameras): State<Arc<Cameras>>,
    State(employees): State<Arc<Employees>>,
    Path(id): Path<CameraId>,
) -> Result<axum::Json<FacesView>, Problem> {
    let account = allowed.account()?;
    let Some(overlay) = cameras.faces(id, account).await? else {
        return Ok(axum::Json(FacesView::empty()));
    };
    let known = overlay.faces.iter().filter_map(|one| one.employee);
    let mut known = employees.find_many(&known.collect::<Vec<_>>()).await?;
    // People of other sites pass as well; the account may not learn their names here.
    let reach = account.access.reach(Permission::Read);
    known.retain(|employee| reach.as_ref().is_some_and(|reach| reach.covers(employee)));
    Ok(axum::Json(FacesView::new(&overlay, &known)))
}
