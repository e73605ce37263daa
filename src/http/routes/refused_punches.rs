//! Saved punches that the service refused: kiosks hand them over, managers add or dismiss them.

use std::{collections::HashMap, sync::Arc};

use axum::{
    extract::{FromRequest, Request, State},
    http::StatusCode,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    clock::whole_milliseconds,
    domain::{
        attendance::{Capture, Origin, PunchKind},
        ids::{EmployeeId, RefusedPunchId},
        refused_punches::{PunchedWith, RefusalReason, RefusedPunch},
        text::{Code as EmployeeCode, Reason},
    },
    http::{
        HttpState,
        auth::{Allowed, Correcting, PunchingDevice, Reading},
        deciding::Deciding,
        extract::{Json, Path, Query},
        field_error::FieldError,
        page::{List, PageQuery},
        problem::{Code, Fields, Problem},
        room::Room,
        upload::{Shape, Upload},
        views::{
            punch_requests::read_headers,
            punches::NameLookup,
            read_id, read_time, time,
            timesheets::{ByView, CorrectionView},
        },
    },
    service::{
        employees::Employees,
        refused_punches::{HandOverError, HandedOver, RefusedPunches, ResolveError},
    },
};

/// Seconds after which a kiosk asks again whether a manager has decided about some.
const WAIT: u64 = 1800;

impl From<HandOverError> for Problem {
    fn from(error: HandOverError) -> Self {
        match error {
            HandOverError::TooMany => {
                let detail = format!("{error}: keep this one and try again later");
                Self::new(Code::TooManyRequests, detail).retry_after(WAIT)
            }
            HandOverError::Engine(error) => error.into(),
            HandOverError::Picture(error) => error.into(),
            HandOverError::Store(error) => error.into(),
        }
    }
}

impl From<ResolveError> for Problem {
    fn from(error: ResolveError) -> Self {
        match error {
            ResolveError::NotFound => Self::not_found("refused punch"),
            ResolveError::Resolved | ResolveError::BeingAdded => {
                Self::new(Code::AlreadyDecided, error.to_string())
            }
            ResolveError::Timesheet(error) => error.into(),
            ResolveError::Store(error) => error.into(),
        }
    }
}

/// The upload of `POST /api/device/refused-punches`.
pub const SHAPE: Shape = Shape {
    images: "image",
    least: 0,
    most: 1,
    bytes: usize::MAX,
    texts: &["how", "reason", "captured_at", "sent_at", "code"],
    bare: false,
};

/// A refused punch in a form, for the description of the API.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the form that Upload reads")]
#[schema(title = "HandedOverPunch")]
pub struct RefusedPunchForm {
    /// What the person punched with: `face`, `pin` or `badge`.
    #[schema(example = "pin")]
    how: String,
    /// The outcome of the punch, or `unreadable` (the kiosk cannot open the PIN or badge that it had
    /// sealed), `failed` (the service failed at it) or `refused` (any other problem).
    #[schema(example = "wrong_pin")]
    reason: String,
    /// When the person was at the kiosk, RFC 3339.
    captured_at: String,
    /// When the kiosk sends this, by the same clock: only the time between the two counts.
    sent_at: String,
    /// The staff number that was typed; never a PIN or badge.
    #[schema(example = "4711")]
    code: Option<String>,
    /// One frame of a face. It is kept only if the installation keeps unknown faces.
    #[schema(value_type = Option<String>, format = Binary)]
    image: Option<Vec<u8>>,
}

/// A request to hand over a refused punch.
pub struct HandOver {
    request: HandedOver,
    _room: Room,
}

impl FromRequest<HttpState> for HandOver {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &HttpState) -> Result<Self, Problem> {
        let (key, _) = read_headers(request.headers())?;
        let mut upload = Upload::read(request, &SHAPE).await?;
        let mut fields = Fields::default();
        let key = fields.required("Idempotency-Key", key.ok_or(FieldError::Required));
        let how = upload.text("how").unwrap_or_default();
        let with = fields.required("how", PunchedWith::parse(how));
        let why = upload.text("reason").unwrap_or_default();
        let reason = fields.required("reason", RefusalReason::parse(why));
        let mut moment = |name: &'static str| {
            let text = upload.text(name).ok_or(FieldError::Required);
            let read = text.and_then(|text| read_time(text.to_owned()));
            fields.required(name, read).map(whole_milliseconds)
        };
        let (at, sent_at) = (moment("captured_at"), moment("sent_at"));
        let code = fields.optional("code", upload.text("code"), EmployeeCode::parse);
        let face = with.is_none_or(|with| with == PunchedWith::Face);
        if !face && !upload.images.is_empty() {
            fields.add("image", FieldError::Excluded { by: "how" });
        }
        let (Some(key), Some(with), Some(reason), Some(at)) = (key, with, reason, at) else {
            return Err(fields.problem());
        };
        fields.check()?;
        Ok(Self {
            request: HandedOver {
                key,
                with,
                reason,
                capture: Capture { at, sent_at },
                code,
                frame: upload.images.pop(),
            },
            _room: upload.room,
        })
    }
}

/// The receipt of a refused punch.
#[derive(Serialize, ToSchema)]
#[schema(title = "HandedOver")]
pub struct HandedOverView {
    /// The ID.
    #[schema(format = "uuid")]
    id: String,
}

/// Takes a saved punch that the service refused, or that found nobody, when the device delivered it.
/// The managers of the site see it among the notices. Afterward the device can forget it.
#[utoipa::path(
    post, path = "/api/device/refused-punches", tag = "devices",
    params(("Idempotency-Key" = String, Header, description = "The key of the punch, also on a retry")),
    request_body(content = RefusedPunchForm, content_type = "multipart/form-data"),
    responses(
        (status = 201, description = "Taken", body = HandedOverView),
        (status = 200, description = "Taken before, under the same key", body = HandedOverView),
        (status = 415, description = "`unsupported_type`"),
        (status = 422, description = "`invalid`"),
        (status = 429, description = "`too_many_requests`: 300 of this device wait for a manager"),
    ),
    security(("device" = [])),
)]
pub async fn take_refused_punch(
    PunchingDevice(device): PunchingDevice,
    State(refused): State<Arc<RefusedPunches>>,
    HandOver { request, _room }: HandOver,
) -> Result<(StatusCode, axum::Json<HandedOverView>), Problem> {
    let (id, new) = refused.take(&device, request).await?;
    let status = match new {
        true => StatusCode::CREATED,
        false => StatusCode::OK,
    };
    let id = id.to_string();
    Ok((status, axum::Json(HandedOverView { id })))
}

/// What a manager did about a refused punch.
#[derive(Serialize, ToSchema)]
#[schema(title = "Resolution")]
pub struct ResolutionView {
    /// `added` as a correction, or `dismissed`.
    #[schema(example = "added")]
    kind: &'static str,
    /// The ID of the employee whose punches the correction adds it to.
    #[schema(format = "uuid")]
    employee: Option<String>,
    /// Who decided.
    by: ByView,
    /// When.
    #[schema(format = "date-time")]
    at: String,
}

/// A saved punch that the service refused.
#[derive(Serialize, ToSchema)]
#[schema(title = "RefusedPunch")]
pub struct RefusedPunchView {
    /// The ID.
    #[schema(format = "uuid")]
    id: String,
    /// The ID of the device.
    #[schema(format = "uuid")]
    device: String,
    /// The name of the device.
    #[schema(example = "Front door")]
    device_name: String,
    /// The ID of the site where the device was.
    #[schema(format = "uuid")]
    site: String,
    /// What the person punched with: `face`, `pin` or `badge`.
    #[schema(example = "pin")]
    how: &'static str,
    /// Why it was refused: the outcome of the punch, `unreadable`, `failed` or `refused`.
    #[schema(example = "wrong_pin")]
    reason: &'static str,
    /// When the person was at the device.
    #[schema(format = "date-time")]
    at: String,
    /// When the device handed it over.
    #[schema(format = "date-time")]
    received_at: String,
    /// The ID of the employee whose staff number was typed. Nothing proves that it was this person.
    #[schema(format = "uuid")]
    employee: Option<String>,
    /// The name of that employee.
    #[schema(example = "Grace Hopper")]
    name: Option<String>,
    /// The staff number that was typed, if no employee has it.
    #[schema(example = "4711")]
    code: Option<String>,
    /// The ID of the unknown face, if there is a picture.
    #[schema(format = "uuid")]
    picture: Option<String>,
    /// What became of it; null while it waits.
    resolution: Option<ResolutionView>,
}

fn view(
    refused: &RefusedPunch,
    devices: &HashMap<Origin, String>,
    names: &HashMap<EmployeeId, String>,
) -> RefusedPunchView {
    let device = devices.get(&Origin::Device(refused.device)).cloned();
    let name = refused.employee.and_then(|id| names.get(&id).cloned());
    RefusedPunchView {
        id: refused.id.to_string(),
        device: refused.device.to_string(),
        device_name: device.unwrap_or_default(),
        site: refused.site.to_string(),
        how: refused.with.as_str(),
        reason: refused.reason.as_str(),
        at: time(refused.at),
        received_at: time(refused.received_at),
        employee: refused.employee.map(|id| id.to_string()),
        name,
        code: refused.code.as_ref().map(ToString::to_string),
        picture: refused.picture.map(|id| id.to_string()),
        resolution: refused.resolved().map(|resolution| ResolutionView {
            kind: match resolution.added_to {
                Some(_) => "added",
                None => "dismissed",
            },
            employee: resolution.added_to.map(|id| id.to_string()),
            by: resolution.by.into(),
            at: time(resolution.at),
        }),
    }
}

/// The refused punches to list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RefusedPunchesQuery {
    /// The ID of the site where the device was.
    site: Option<String>,
    /// Whether to list those that were added or dismissed, too. They are deleted after 90 days.
    #[serde(default)]
    all: bool,
}

/// Lists saved punches that the service refused and that wait for a manager, latest received first.
#[utoipa::path(
    get, path = "/api/refused-punches", tag = "punches",
    params(RefusedPunchesQuery, PageQuery),
    responses((status = 200, description = "A page of refused punches", body = List<RefusedPunchView>)),
)]
pub async fn list_refused_punches(
    allowed: Allowed<Reading>,
    State(refused): State<Arc<RefusedPunches>>,
    State(employees): State<Arc<Employees>>,
    State(names): State<NameLookup>,
    Query(query): Query<RefusedPunchesQuery>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<List<RefusedPunchView>>, Problem> {
    let site = query.site.map(read_id).transpose();
    let site = site.map_err(|error| Problem::field("site", error))?;
    let wanted = page.page()?;
    let found = refused.list(allowed.reach(), site, query.all, &wanted.page);
    let (found, next) = wanted.cut(found.await?, |last| (last.received_at, last.id))?;
    let ids: Vec<_> = found.iter().filter_map(|one| one.employee).collect();
    let people = employees.find_many(&ids).await?.into_iter();
    let people = people.map(|one| (one.id, one.name.to_string())).collect();
    let devices = names
        .origins(found.iter().map(|one| Origin::Device(one.device)))
        .await?;
    let items = found.iter().map(|one| view(one, &devices, &people));
    Ok(axum::Json(List {
        items: items.collect(),
        next,
    }))
}

/// How to add a refused punch.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "AddedPunch")]
pub struct AddRefusedPunch {
    /// The ID of the employee who punched.
    #[schema(format = "uuid")]
    employee: String,
    /// `in`, `out`, `break_start` or `break_end`.
    #[schema(example = "in")]
    kind: String,
    /// Why; 1 to 500 characters.
    #[schema(example = "Typed the old PIN during the outage")]
    reason: String,
    /// Whether it may become an adjustment of a locked period.
    #[serde(default)]
    adjust: bool,
}

/// Adds a refused punch to the punches of an employee, as a correction at the time at which the
/// person was at the device. The picture is deleted.
#[utoipa::path(
    post, path = "/api/refused-punches/{id}/add", tag = "punches",
    params(("id" = String, Path, description = "The refused punch")),
    request_body = AddRefusedPunch,
    responses(
        (status = 201, description = "Approved, or requested", body = CorrectionView),
        (status = 409, description = "`already_decided`; `timesheet_locked`: the period is locked, and `adjust` is not true; `too_many_corrections`"),
    ),
)]
pub async fn add_refused_punch(
    allowed: Allowed<Correcting>,
    State(refused): State<Arc<RefusedPunches>>,
    Path(id): Path<RefusedPunchId>,
    Json(new): Json<AddRefusedPunch>,
) -> Result<(StatusCode, axum::Json<CorrectionView>), Problem> {
    let mut fields = Fields::default();
    let employee = fields.required("employee", read_id(new.employee));
    let kind = fields.required("kind", PunchKind::parse(&new.kind));
    let reason = fields.required("reason", Reason::parse(&new.reason));
    let (Some(employee), Some(kind), Some(reason)) = (employee, kind, reason) else {
        return Err(fields.problem());
    };
    let add = async move {
        let deciding = Deciding::of(&allowed)?;
        let by = deciding.by(&allowed);
        let filed = refused.add(by, id, (employee, kind), reason, new.adjust);
        Ok::<_, Problem>(filed.await?)
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "a manager who closes the page must not leave it half done: the request waits for it"
    )]
    let added = tokio::spawn(add).await;
    let filed = added.map_err(|error| Problem::internal(error.to_string()))??;
    Ok((StatusCode::CREATED, axum::Json((&filed).into())))
}

/// Dismisses a refused punch, because nobody punched. The picture is deleted.
#[utoipa::path(
    post, path = "/api/refused-punches/{id}/dismiss", tag = "punches",
    params(("id" = String, Path, description = "The refused punch")),
    responses(
        (status = 204, description = "Dismissed"),
        (status = 409, description = "`already_decided`"),
    ),
)]
pub async fn dismiss_refused_punch(
    allowed: Allowed<Correcting>,
    State(refused): State<Arc<RefusedPunches>>,
    Path(id): Path<RefusedPunchId>,
) -> Result<StatusCode, Problem> {
    let dismissed = refused.dismiss(allowed.reach(), allowed.actor(), id);
    dismissed.await?;
    Ok(StatusCode::NO_CONTENT)
}
