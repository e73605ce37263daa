//! Cameras that the service watches.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use async_stream::stream;
use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use axum_extra::extract::CookieJar;
use jiff::civil::Time;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    employees::{Created, given, parse_site},
    events::{CHECK, follower},
    number, time,
};
use crate::{
    domain::{
        accounts::{Account, Permission},
        cameras::{Camera, Direction, LookEvery, VisitGap, WatchHours},
        employees::Employee,
        ids::CameraId,
        text::{Email, Name, StreamName},
    },
    http::{
        HttpState,
        auth::{Administering, Allowed, Reading},
        extract::{Json, Path, Query},
        page::{List, PageQuery},
        problem::{Fields, Problem},
        session,
    },
    ports::Sample,
    service::{
        cameras::{CameraChange, Cameras, Configured, NewCamera, Overlay, OverlayFace, Watched},
        employees::Employees,
    },
};

/// When a camera is watched, in the time zone of the service.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "WatchHours")]
pub struct HoursView {
    /// From this time of the day on.
    #[schema(example = "06:30")]
    from: String,
    /// Up to this one; over midnight when it is the earlier one.
    #[schema(example = "19:00")]
    to: String,
    /// Days on which the hours begin, 1 (Monday) to 7; every day when empty.
    #[serde(default)]
    #[schema(example = json!([1, 2, 3, 4, 5]))]
    days: Vec<u8>,
}

/// How hours are written.
const CLOCK: &str = "%H:%M";

impl From<&WatchHours> for HoursView {
    fn from(hours: &WatchHours) -> Self {
        let text = |at: Time| at.strftime(CLOCK).to_string();
        Self {
            from: text(hours.from),
            to: text(hours.to),
            days: hours.days.clone(),
        }
    }
}

impl HoursView {
    fn read(self) -> Result<WatchHours, &'static str> {
        let time = |text: &str| Time::strptime(CLOCK, text).map_err(|_| WatchHours::TAKES);
        let hours = WatchHours {
            from: time(&self.from)?,
            to: time(&self.to)?,
            days: self.days,
        };
        hours.valid().then_some(hours).ok_or(WatchHours::TAKES)
    }
}

/// How a camera is.
#[derive(Serialize, ToSchema)]
#[schema(title = "CameraState")]
pub struct StateView {
    /// `live`, `stale`, `dark`, `unreachable` or `refused`.
    #[schema(example = "live")]
    state: &'static str,
    /// What is wrong.
    #[schema(example = "go2rtc has no picture of the camera")]
    cause: Option<String>,
    /// Since when.
    #[schema(format = "date-time")]
    since: String,
    /// Whether somebody watches it now; else this is what was last known.
    watched: bool,
}

/// A go2rtc stream that the service watches.
#[derive(Serialize, ToSchema)]
#[schema(title = "Camera")]
pub struct CameraView {
    /// Identity; it stands in `device` of the camera's punches, too.
    #[schema(format = "uuid", example = "0199f3a0-7c1e-7d5a-9f0e-2b7f6f0c1a2b")]
    id: String,
    /// What people call it.
    #[schema(example = "Yard gate")]
    name: String,
    /// The stream's name in go2rtc.
    #[schema(example = "yard")]
    stream: String,
    /// Where it stands.
    #[schema(example = "Harbour")]
    site: Option<String>,
    /// Which way people pass it: `in`, `out`, or `auto`: the last punch tells.
    #[schema(example = "auto")]
    direction: &'static str,
    /// When it is watched; always when null.
    hours: Option<HoursView>,
    /// Least time between two looks, milliseconds.
    #[schema(example = 200)]
    every_ms: u32,
    /// How long somebody must have been away for a new visit, seconds.
    #[schema(example = 300)]
    visit_s: u32,
    /// Whether it is watched at all.
    active: bool,
    /// How it is; null before anybody watched it.
    state: Option<StateView>,
    /// When it was added.
    #[schema(format = "date-time")]
    created_at: String,
    /// Who may look through it besides admins: e-mail addresses of accounts; null for everybody
    /// who signs in. For admins only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>, example = json!(["ada@example.com"]))]
    viewers: Option<Option<Vec<String>>>,
}

impl CameraView {
    /// As somebody may see it.
    fn of(watched: &Watched, by: &Account) -> Self {
        let camera = &watched.camera;
        let emails = |viewers: &Vec<Email>| viewers.iter().map(ToString::to_string).collect();
        let administers = by.role.permits(Permission::Administer);
        Self {
            id: camera.id.to_string(),
            name: camera.name.to_string(),
            stream: camera.stream.to_string(),
            site: camera.site.as_ref().map(ToString::to_string),
            direction: camera.direction.as_str(),
            hours: camera.hours.as_ref().map(Into::into),
            every_ms: camera.every.value(),
            visit_s: camera.visit.value(),
            active: camera.active,
            state: StateView::of(watched),
            created_at: time(camera.created_at),
            viewers: administers.then(|| camera.viewers.as_ref().map(emails)),
        }
    }
}

impl StateView {
    /// How a camera is, when anybody said.
    pub(super) fn of(watched: &Watched) -> Option<Self> {
        let status = watched.status.as_ref()?;
        Some(Self {
            state: status.state.as_str(),
            cause: status.cause.clone(),
            since: time(status.since),
            watched: watched.fresh,
        })
    }
}

/// Lists the cameras that one may look through.
#[utoipa::path(
    get, path = "/api/cameras", tag = "cameras",
    params(PageQuery),
    responses((status = 200, description = "A page of cameras", body = List<CameraView>)),
    security(("session" = [])),
)]
pub async fn list_cameras(
    allowed: Allowed<Reading>,
    State(cameras): State<Arc<Cameras>>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<List<CameraView>>, Problem> {
    let wanted = page.page()?;
    let by = allowed.account()?;
    let found = cameras.list(&wanted.page, by).await?;
    let (found, next) = wanted.cut(found, |last| last.camera.id)?;
    let items = found.iter().map(|one| CameraView::of(one, by)).collect();
    Ok(axum::Json(List { items, next }))
}

/// A new camera.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "NewCamera")]
pub struct NewCameraBody {
    /// 1 to 120 characters.
    #[schema(example = "Yard gate")]
    name: String,
    /// A stream that go2rtc is configured with; 1 to 64 letters, digits, `-` and `_`.
    #[schema(example = "yard")]
    stream: String,
    /// Where it stands; 1 to 64 characters.
    #[schema(example = "Harbour")]
    site: Option<String>,
    /// `in`, `out` or `auto`; `auto` when left out.
    #[schema(example = "auto")]
    direction: Option<String>,
    /// When it is watched; always when left out.
    hours: Option<HoursView>,
    /// Least time between two looks, 100 to 10000 milliseconds; 200 when left out.
    #[schema(minimum = 100, maximum = 10000, default = 200)]
    every_ms: Option<u32>,
    /// How long somebody must have been away for a new visit, 10 to 86400 seconds; 300 when left out.
    #[schema(minimum = 10, maximum = 86400, default = 300)]
    visit_s: Option<u32>,
    /// Who may look through it besides admins: e-mail addresses of at most 200 accounts; null for
    /// everybody who signs in; nobody else when left out.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Vec<String>>, example = json!(["ada@example.com"]))]
    viewers: Option<Option<Vec<String>>>,
}

/// Each address once.
fn parse_viewers(viewers: Option<Vec<String>>) -> Result<Option<Vec<Email>>, String> {
    let Some(viewers) = viewers else {
        return Ok(None);
    };
    let viewers = viewers.iter().map(|email| {
        let wrong = |cause| format!("{email:?} {cause}");
        Email::parse(email).map_err(wrong)
    });
    let viewers: BTreeSet<Email> = viewers.collect::<Result<_, _>>()?;
    match viewers.len() {
        0..=Camera::VIEWERS_MOST => Ok(Some(viewers.into_iter().collect())),
        _ => Err(format!("must be {} at most", Camera::VIEWERS_MOST)),
    }
}

fn parse_direction(text: Option<&str>) -> Result<Option<Direction>, &'static str> {
    let parse = |text| Direction::parse(text).ok_or("must be in, out or auto");
    text.map(parse).transpose()
}

/// Adds a camera.
///
/// Its stream must be in go2rtc's configuration; when go2rtc does not answer the camera is added
/// all the same, and its state tells.
#[utoipa::path(
    post, path = "/api/cameras", tag = "cameras",
    request_body = NewCameraBody,
    responses(
        (status = 201, description = "Added", body = CameraView,
         headers(("Location" = String, description = "The address of the camera"))),
        (status = 409, description = "`stream_taken`"),
    ),
    security(("session" = [])),
)]
pub async fn create_camera(
    allowed: Allowed<Administering>,
    State(cameras): State<Arc<Cameras>>,
    Json(new): Json<NewCameraBody>,
) -> Result<Created<CameraView>, Problem> {
    let mut fields = Fields::default();
    let name = fields.take("name", Name::parse(&new.name));
    let stream = fields.take("stream", StreamName::parse(&new.stream));
    let site = fields.take("site", parse_site(new.site.as_deref()));
    let direction = fields.take("direction", parse_direction(new.direction.as_deref()));
    let hours = fields.take("hours", new.hours.map(HoursView::read).transpose());
    let every = new.every_ms.map(LookEvery::try_from).transpose();
    let every = fields.take("every_ms", every);
    let visit = new.visit_s.map(VisitGap::try_from).transpose();
    let visit = fields.take("visit_s", visit);
    let viewers = fields.take(
        "viewers",
        parse_viewers(new.viewers.unwrap_or_else(|| Some(Vec::new()))),
    );
    let (Some(name), Some(stream)) = (name, stream) else {
        return Err(fields.problem());
    };
    fields.check()?;
    let new = NewCamera {
        name,
        stream,
        site: site.flatten(),
        direction: direction.flatten().unwrap_or_default(),
        hours: hours.flatten(),
        every: every.flatten().unwrap_or_default(),
        visit: visit.flatten().unwrap_or_default(),
        viewers: viewers.unwrap_or_else(|| Some(Vec::new())),
    };
    let camera = cameras.add(allowed.actor(), new).await?;
    let location = format!("/api/cameras/{}", camera.id);
    let added = Watched {
        camera,
        status: None,
        fresh: false,
    };
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, location)],
        axum::Json(CameraView::of(&added, allowed.account()?)),
    ))
}

/// One camera.
#[utoipa::path(
    get, path = "/api/cameras/{id}", tag = "cameras",
    params(("id" = String, Path, description = "The camera")),
    responses(
        (status = 200, description = "The camera", body = CameraView),
        (status = 404, description = "`not_found`"),
    ),
    security(("session" = [])),
)]
pub async fn get_camera(
    allowed: Allowed<Reading>,
    State(cameras): State<Arc<Cameras>>,
    Path(id): Path<CameraId>,
) -> Result<axum::Json<CameraView>, Problem> {
    let by = allowed.account()?;
    let camera = cameras.watched(id, by).await?;
    Ok(axum::Json(CameraView::of(&camera, by)))
}

/// What to change: fields that are left out stay as they are.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CameraPatch {
    /// A new name.
    name: Option<String>,
    /// Another stream.
    stream: Option<String>,
    /// Another site; null for none.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    site: Option<Option<String>>,
    /// Another direction.
    direction: Option<String>,
    /// Other hours; null for always.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<HoursView>)]
    hours: Option<Option<HoursView>>,
    /// Least time between two looks, milliseconds.
    #[schema(minimum = 100, maximum = 10000)]
    every_ms: Option<u32>,
    /// How long somebody must have been away for a new visit, seconds.
    #[schema(minimum = 10, maximum = 86400)]
    visit_s: Option<u32>,
    /// Whether it is watched.
    active: Option<bool>,
    /// Others who may look through it besides admins; null for everybody who signs in.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Vec<String>>)]
    viewers: Option<Option<Vec<String>>>,
}

impl CameraPatch {
    fn read(self) -> Result<CameraChange, Problem> {
        let mut fields = Fields::default();
        let name = self.name.as_deref().map(Name::parse).transpose();
        let stream = self.stream.as_deref().map(StreamName::parse).transpose();
        let site = |site: Option<String>| parse_site(site.as_deref());
        let hours = |hours: Option<HoursView>| hours.map(HoursView::read).transpose();
        let direction = parse_direction(self.direction.as_deref());
        let every = self.every_ms.map(LookEvery::try_from).transpose();
        let visit = self.visit_s.map(VisitGap::try_from).transpose();
        let change = CameraChange {
            name: fields.take("name", name).flatten(),
            stream: fields.take("stream", stream).flatten(),
            site: fields
                .take("site", self.site.map(site).transpose())
                .flatten(),
            direction: fields.take("direction", direction).flatten(),
            hours: fields
                .take("hours", self.hours.map(hours).transpose())
                .flatten(),
            every: fields.take("every_ms", every).flatten(),
            visit: fields.take("visit_s", visit).flatten(),
            active: self.active,
            viewers: fields
                .take("viewers", self.viewers.map(parse_viewers).transpose())
                .flatten(),
        };
        fields.check()?;
        Ok(change)
    }
}

/// Changes a camera, pauses it or goes on with it.
#[utoipa::path(
    patch, path = "/api/cameras/{id}", tag = "cameras",
    params(("id" = String, Path, description = "The camera")),
    request_body = CameraPatch,
    responses(
        (status = 200, description = "Changed", body = CameraView),
        (status = 404, description = "`not_found`"),
        (status = 409, description = "`stream_taken`, or `conflict` when others change it at the same time"),
    ),
    security(("session" = [])),
)]
pub async fn update_camera(
    allowed: Allowed<Administering>,
    State(cameras): State<Arc<Cameras>>,
    Path(id): Path<CameraId>,
    Json(patch): Json<CameraPatch>,
) -> Result<axum::Json<CameraView>, Problem> {
    cameras.change(allowed.actor(), id, patch.read()?).await?;
    let by = allowed.account()?;
    let camera = cameras.watched(id, by).await?;
    Ok(axum::Json(CameraView::of(&camera, by)))
}

/// Takes a camera out. Its name stays behind old punches, its stream is free for another one.
#[utoipa::path(
    delete, path = "/api/cameras/{id}", tag = "cameras",
    params(("id" = String, Path, description = "The camera")),
    responses(
        (status = 204, description = "Removed"),
        (status = 404, description = "`not_found`"),
    ),
    security(("session" = [])),
)]
pub async fn delete_camera(
    allowed: Allowed<Administering>,
    State(cameras): State<Arc<Cameras>>,
    Path(id): Path<CameraId>,
) -> Result<StatusCode, Problem> {
    cameras.remove(allowed.actor(), id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A picture of a camera, as it comes now.
#[utoipa::path(
    get, path = "/api/cameras/{id}/picture", tag = "cameras",
    params(("id" = String, Path, description = "The camera")),
    responses(
        (status = 200, description = "A picture", content_type = "image/jpeg", body = Vec<u8>),
        (status = 404, description = "`not_found`"),
        (status = 502, description = "`camera_unreachable` or `camera_refused`: `detail` says why"),
        (status = 503, description = "`too_many_viewers`"),
    ),
    security(("session" = [])),
)]
pub async fn get_picture(
    allowed: Allowed<Reading>,
    State(cameras): State<Arc<Cameras>>,
    Path(id): Path<CameraId>,
) -> Result<Response, Problem> {
    let picture = cameras.picture(id, allowed.account()?).await?;
    let kind = [(header::CONTENT_TYPE, "image/jpeg")];
    Ok((kind, picture.bytes().clone()).into_response())
}

/// What comes between two live pictures.
const BOUNDARY: &str = "rollcall-picture";

/// How long a live picture is shown at most.
const LIVE_MOST: Duration = Duration::from_mins(10);

/// A picture as a part, and the boundary after it: with that, a browser shows it at once.
fn part(picture: &Sample) -> Bytes {
    let jpeg = picture.bytes();
    let head = format!(
        "Content-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n",
        jpeg.len()
    );
    let end = format!("\r\n--{BOUNDARY}\r\n");
    [head.as_bytes(), jpeg, end.as_bytes()].concat().into()
}

/// Live pictures of a camera.
///
/// At most ten a second, the newest only, for ten minutes at most; then the answer ends. At most
/// eight answers at the same time.
#[utoipa::path(
    get, path = "/api/cameras/{id}/live", tag = "cameras",
    params(("id" = String, Path, description = "The camera")),
    responses(
        (status = 200, description = "JPEG after JPEG", content_type = "multipart/x-mixed-replace", body = Vec<u8>),
        (status = 404, description = "`not_found`"),
        (status = 502, description = "`camera_unreachable` or `camera_refused`: `detail` says why"),
        (status = 503, description = "`too_many_viewers`"),
    ),
    security(("session" = [])),
)]
pub async fn follow_camera(
    allowed: Allowed<Reading>,
    State(state): State<HttpState>,
    Path(id): Path<CameraId>,
    jar: CookieJar,
) -> Result<Response, Problem> {
    let cameras = state.app.cameras.clone();
    let mut live = cameras.live(id, allowed.account()?).await?;
    let stopping = state.stopping.clone();
    let accounts = state.app.accounts.clone();
    let token = session::token(&jar).map(str::to_owned);
    let end = tokio::time::Instant::now() + LIVE_MOST;
    let pictures = stream! {
        yield Ok::<_, std::convert::Infallible>(Bytes::from(format!("--{BOUNDARY}\r\n")));
        let mut check = tokio::time::interval_at(tokio::time::Instant::now() + CHECK, CHECK);
        loop {
            let picture = tokio::select! {
                picture = live.next() => picture,
                _ = check.tick() => {
                    // Signed out, disabled, of another role, or not to look any more.
                    let by = follower(&accounts, token.as_deref()).await;
                    let Some(by) = by else { break };
                    if cameras.seen_by(id, &by).await.is_err() {
                        break;
                    }
                    continue;
                }
                () = stopping.cancelled() => break,
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

/// Where a face is, pixels of the picture.
#[derive(Serialize, ToSchema)]
#[schema(title = "FaceBox")]
pub struct BoxView {
    /// Left edge.
    x: f64,
    /// Upper edge.
    y: f64,
    /// Width.
    width: f64,
    /// Height.
    height: f64,
}

/// Somebody who is known.
#[derive(Serialize, ToSchema)]
pub struct SeenEmployee {
    /// Identity.
    #[schema(format = "uuid")]
    id: String,
    /// Their name.
    #[schema(example = "Grace Hopper")]
    name: String,
}

/// A face that a camera sees.
#[derive(Serialize, ToSchema)]
pub struct SeenFace {
    /// Where.
    r#box: BoxView,
    /// Who it is, once that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    employee: Option<SeenEmployee>,
    /// Whether it is.
    known: bool,
}

/// The faces in the last picture that was looked at.
#[derive(Serialize, ToSchema)]
pub struct FacesView {
    /// When it was; null when none was looked at lately.
    #[schema(format = "date-time")]
    at: Option<String>,
    /// Width of the picture, pixels.
    #[schema(example = 640)]
    width: u32,
    /// Height of the picture, pixels.
    #[schema(example = 480)]
    height: u32,
    /// The faces.
    faces: Vec<SeenFace>,
}

impl FacesView {
    fn of(overlay: &Overlay, employees: &[Employee]) -> Self {
        let face = |face: &OverlayFace| {
            let known = employees.iter().find(|one| Some(one.id) == face.employee);
            SeenFace {
                r#box: BoxView {
                    x: number(face.x),
                    y: number(face.y),
                    width: number(face.width),
                    height: number(face.height),
                },
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
}

/// The faces that a camera sees, and whose they are: for boxes over its live picture.
#[utoipa::path(
    get, path = "/api/cameras/{id}/faces", tag = "cameras",
    params(("id" = String, Path, description = "The camera")),
    responses(
        (status = 200, description = "The faces", body = FacesView),
        (status = 404, description = "`not_found`"),
    ),
    security(("session" = [])),
)]
pub async fn get_faces(
    allowed: Allowed<Reading>,
    State(cameras): State<Arc<Cameras>>,
    State(employees): State<Arc<Employees>>,
    Path(id): Path<CameraId>,
) -> Result<axum::Json<FacesView>, Problem> {
    let Some(overlay) = cameras.faces(id, allowed.account()?).await? else {
        return Ok(axum::Json(FacesView {
            at: None,
            width: 0,
            height: 0,
            faces: Vec::new(),
        }));
    };
    let known: Vec<_> = overlay
        .faces
        .iter()
        .filter_map(|one| one.employee)
        .collect();
    let known = employees.find_many(&known).await?;
    Ok(axum::Json(FacesView::of(&overlay, &known)))
}

/// A stream that go2rtc is configured with.
#[derive(Serialize, ToSchema)]
pub struct StreamView {
    /// Its name.
    #[schema(example = "yard")]
    name: String,
    /// The id of the camera that uses it; null for none.
    #[schema(format = "uuid")]
    camera: Option<String>,
    /// What that camera is called.
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

/// Lists the streams that go2rtc is configured with, all on one page.
#[utoipa::path(
    get, path = "/api/camera-streams", tag = "cameras",
    responses(
        (status = 200, description = "The streams", body = List<StreamView>),
        (status = 502, description = "`camera_unreachable` or `camera_refused`: `detail` says why"),
    ),
    security(("session" = [])),
)]
pub async fn list_streams(
    _: Allowed<Administering>,
    State(cameras): State<Arc<Cameras>>,
) -> Result<axum::Json<List<StreamView>>, Problem> {
    let streams = cameras.streams().await?;
    let items = streams.iter().map(Into::into).collect();
    Ok(axum::Json(List { items, next: None }))
}
