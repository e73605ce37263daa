//! Punches.

use std::{collections::HashMap, sync::Arc};

use axum::{
    extract::{FromRef, Request, State},
    http::{HeaderMap, StatusCode},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{number, time};
use crate::{
    domain::{
        attendance::{ClockSource, Punch, PunchKind, PunchSource},
        biometrics::Look,
        employees::Employee,
        ids::{CameraId, DeviceId, EmployeeId, PunchId},
        quality::Flaw,
        text::IdempotencyKey,
    },
    http::{
        HttpState,
        auth::{Allowed, PunchingDevice, Reading},
        extract::{Path, Query},
        page::{List, PageQuery},
        problem::{Fields, Problem},
        upload::{Shape, Upload},
    },
    ports::PunchFilter,
    service::{
        cameras::Cameras,
        devices::Devices,
        employees::Employees,
        probing::BURST_MOST,
        punching::{Outcome, PunchAnswer, PunchRequest, Punching},
    },
};

/// What `POST /api/punches` takes.
pub const SHAPE: Shape = Shape {
    images: "image",
    most: BURST_MOST,
    texts: &["kind", "captured_at"],
    bare: true,
};

/// A clock event.
#[derive(Serialize, ToSchema)]
#[schema(title = "Punch")]
pub struct PunchView {
    /// Identity.
    #[schema(format = "uuid", example = "0199f3a0-7c1e-7d5a-9f0e-2b7f6f0c1a2b")]
    id: String,
    /// The employee's id.
    #[schema(format = "uuid")]
    employee: String,
    /// The employee's name.
    #[schema(example = "Grace Hopper")]
    name: Option<String>,
    /// Whether the employee was deleted since.
    employee_deleted: bool,
    /// `in`, `out`, `break_start` or `break_end`.
    #[schema(example = "in")]
    kind: &'static str,
    /// The time that counts.
    #[schema(format = "date-time", example = "2026-11-21T07:58:12.345Z")]
    at: String,
    /// When the server wrote it.
    #[schema(format = "date-time")]
    recorded_at: String,
    /// Whose clock `at` comes from: `server`, or `device` for one captured offline.
    #[schema(example = "server")]
    clock: &'static str,
    /// What the device said of an offline capture, believed or not.
    #[schema(format = "date-time")]
    captured_at: Option<String>,
    /// The business date.
    #[schema(format = "date", example = "2026-11-21")]
    workday: String,
    /// Where the device stands.
    site: Option<String>,
    /// Where it came from: a `device`, or a `camera` that the service watches.
    #[schema(example = "device")]
    source: &'static str,
    /// The id of the device or camera.
    #[schema(format = "uuid")]
    device: String,
    /// Its name.
    #[schema(example = "Front door")]
    device_name: Option<String>,
    /// How alike, −1 to 1.
    similarity: f64,
    /// What was needed.
    threshold: f64,
    /// Lead over the second; null without one.
    margin: Option<f64>,
    /// Probability of a live person; null without a liveness model.
    liveness: Option<f64>,
    /// The embedding model.
    model: String,
    /// How many frames were fused.
    frames: u8,
    /// Which look it was.
    look: u8,
}

/// Those who know the names behind punches.
#[derive(Clone)]
pub(in crate::http) struct Namers {
    employees: Arc<Employees>,
    devices: Arc<Devices>,
    cameras: Arc<Cameras>,
}

impl FromRef<HttpState> for Namers {
    fn from_ref(state: &HttpState) -> Self {
        Self {
            employees: state.app.employees.clone(),
            devices: state.app.devices.clone(),
            cameras: state.app.cameras.clone(),
        }
    }
}

impl Namers {
    /// The names of devices and cameras.
    pub(super) async fn places(
        &self,
        places: &[(PunchSource, DeviceId)],
    ) -> Result<HashMap<DeviceId, String>, Problem> {
        let of = |wanted| {
            let places = places.iter().filter(move |(source, _)| *source == wanted);
            let mut ids: Vec<_> = places.map(|(_, id)| *id).collect();
            ids.sort_unstable();
            ids.dedup();
            ids
        };
        let cameras = of(PunchSource::Camera);
        let cameras: Vec<_> = cameras.iter().map(|id| CameraId::new(id.uuid())).collect();
        let kiosks = self.devices.find_many(&of(PunchSource::Device)).await?;
        let cameras = self.cameras.find_many(&cameras).await?;
        let cameras = cameras
            .into_iter()
            .map(|camera| (DeviceId::new(camera.id.uuid()), camera.name.into()));
        let kiosks = kiosks
            .into_iter()
            .map(|device| (device.id, device.name.into()));
        Ok(kiosks.chain(cameras).collect())
    }
}

/// The names behind punches.
pub(super) struct Names {
    employees: HashMap<EmployeeId, Employee>,
    /// Of devices and cameras, which stand in the same place.
    devices: HashMap<DeviceId, String>,
}

impl Names {
    pub(super) async fn behind(punches: &[&Punch], namers: &Namers) -> Result<Self, Problem> {
        let mut people: Vec<_> = punches.iter().map(|punch| punch.employee).collect();
        people.sort_unstable();
        people.dedup();
        let places: Vec<_> = punches.iter().map(|one| (one.source, one.device)).collect();
        let devices = namers.places(&places).await?;
        let people = namers.employees.find_many(&people).await?.into_iter();
        Ok(Self {
            employees: people.map(|employee| (employee.id, employee)).collect(),
            devices,
        })
    }

    pub(super) fn view(&self, punch: &Punch) -> PunchView {
        let evidence = &punch.evidence;
        let employee = self.employees.get(&punch.employee);
        PunchView {
            id: punch.id.to_string(),
            employee: punch.employee.to_string(),
            name: employee.map(|employee| employee.name.to_string()),
            employee_deleted: employee.is_none_or(|employee| employee.deleted_at.is_some()),
            kind: punch.kind.as_str(),
            at: time(punch.at),
            recorded_at: time(punch.recorded_at),
            clock: match punch.clock {
                ClockSource::Server => "server",
                ClockSource::Device => "device",
            },
            captured_at: punch.captured_at.map(time),
            workday: punch.workday.to_string(),
            site: punch.site.as_ref().map(ToString::to_string),
            source: punch.source.as_str(),
            device: punch.device.to_string(),
            device_name: self.devices.get(&punch.device).cloned(),
            similarity: number(evidence.similarity.value()),
            threshold: number(evidence.threshold.value()),
            margin: evidence.margin.map(number),
            liveness: evidence.liveness.map(number),
            model: evidence.model.to_string(),
            frames: evidence.frames,
            look: evidence.look,
        }
    }
}

/// What became of a sample.
#[derive(Serialize, ToSchema)]
#[schema(title = "PunchAnswer")]
pub struct AnswerView {
    /// `punched`, `cooldown`, `nobody`, `no_face`, `poor_quality` or `attack`.
    #[schema(example = "punched")]
    outcome: &'static str,
    /// The punch that was written, or during the cooldown the one that counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    punch: Option<PunchView>,
    /// Whom to greet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "Grace Hopper")]
    name: Option<String>,
    /// How alike the best candidate is.
    #[serde(skip_serializing_if = "Option::is_none")]
    similarity: Option<f64>,
    /// What was needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    threshold: Option<f64>,
    /// Lead over the second.
    #[serde(skip_serializing_if = "Option::is_none")]
    margin: Option<f64>,
    /// It was close: another look (`Rollcall-Look`) at different frames may settle it.
    #[serde(skip_serializing_if = "Option::is_none")]
    more: Option<bool>,
    /// Why no face can be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// What the person in front can do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// This is the first answer to an earlier request with the same key.
    #[serde(skip_serializing_if = "Option::is_none")]
    replayed: Option<bool>,
}

impl AnswerView {
    fn of(answer: &PunchAnswer, names: &Names) -> Self {
        let (more, flaw) = match &answer.outcome {
            Outcome::Punched { .. } | Outcome::Cooldown { .. } => (false, None),
            Outcome::Nobody { more } => (*more, None),
            Outcome::NoFace => (false, Some(Flaw::NoFace)),
            Outcome::PoorQuality { flaw } => (false, Some(*flaw)),
            Outcome::Attack => (false, Some(Flaw::Attack)),
        };
        let punch = answer.outcome.punch().map(|punch| names.view(punch));
        Self {
            outcome: answer.outcome.name(),
            name: punch.as_ref().and_then(|punch| punch.name.clone()),
            punch,
            similarity: answer.numbers.map(|of| number(of.similarity.value())),
            threshold: answer.numbers.map(|of| number(of.threshold.value())),
            margin: answer.numbers.and_then(|of| of.margin).map(number),
            more: more.then_some(true),
            reason: flaw.map(Flaw::reason),
            detail: flaw.map(Flaw::detail),
            replayed: answer.replayed.then_some(true),
        }
    }
}

/// What a punch shall mean.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PunchQuery {
    /// `in`, `out`, `break_start` or `break_end`; by the last punch when left out.
    #[param(example = "in")]
    kind: Option<String>,
    /// When an offline device captured it, RFC 3339. Believed within bounds, else the time is
    /// the server's.
    captured_at: Option<String>,
}

/// A burst of images in a form, for the API's description.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the form that Upload reads")]
pub struct PunchForm {
    /// 1 to 5 images of one person: JPEG, PNG or WebP, at most 12 MiB each.
    #[schema(value_type = Vec<String>, format = Binary)]
    image: Vec<Vec<u8>>,
    /// As the query parameter.
    kind: Option<String>,
    /// As the query parameter.
    captured_at: Option<String>,
}

/// Punches with a face.
///
/// Only a new punch is answered with 201. With an `Idempotency-Key`, a retry of the same
/// request gets the first answer again.
#[utoipa::path(
    post, path = "/api/punches", tag = "punches",
    params(
        PunchQuery,
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 128 printable ASCII characters, new for each punch"),
        ("Rollcall-Look" = Option<u8>, Header, description = "Which look at this person it is, 1 to 3", minimum = 1, maximum = 3),
    ),
    request_body(content(
        (Vec<u8> = "image/jpeg"), (Vec<u8> = "image/png"), (Vec<u8> = "image/webp"),
        (PunchForm = "multipart/form-data"),
    )),
    responses(
        (status = 201, description = "A new punch", body = AnswerView),
        (status = 200, description = "No new punch: `outcome` says why", body = AnswerView),
        (status = 413, description = "`too_large`"),
        (status = 415, description = "`unsupported_type`"),
        (status = 422, description = "`idempotency_key_reused`, `bad_image` or `invalid`"),
    ),
    security(("device" = [])),
)]
pub async fn create_punch(
    PunchingDevice(device): PunchingDevice,
    State(punching): State<Arc<Punching>>,
    State(namers): State<Namers>,
    Query(query): Query<PunchQuery>,
    headers: HeaderMap,
    request: Request,
) -> Result<(StatusCode, axum::Json<AnswerView>), Problem> {
    let (key, look) = read_headers(&headers)?;
    let upload = Upload::read(request, &SHAPE).await?;
    let mut fields = Fields::default();
    let kind = once(&mut fields, "kind", query.kind, upload.text("kind"));
    let kind =
        kind.map(|kind| PunchKind::parse(&kind).ok_or("must be in, out, break_start or break_end"));
    let kind = fields.take("kind", kind.transpose());
    let captured_at = once(
        &mut fields,
        "captured_at",
        query.captured_at,
        upload.text("captured_at"),
    );
    let captured_at = captured_at.map(|at| at.parse::<Timestamp>().map_err(|_| NOT_A_TIME));
    let captured_at = fields.take("captured_at", captured_at.transpose());
    fields.check()?;
    let request = PunchRequest {
        samples: upload.images,
        kind: kind.flatten(),
        captured_at: captured_at.flatten().map(crate::clock::whole_milliseconds),
        key,
        look,
    };
    let answer = punching.punch(&device, request).await?;
    let new = matches!(answer.outcome, Outcome::Punched { .. }) && !answer.replayed;
    let status = if new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    answer.outcome.count(PunchSource::Device);
    let punches: Vec<&Punch> = answer.outcome.punch().into_iter().collect();
    let names = Names::behind(&punches, &namers).await?;
    Ok((status, axum::Json(AnswerView::of(&answer, &names))))
}

const NOT_A_TIME: &str = "must be a time such as 2026-11-21T07:58:12Z";

/// A parameter that may stand in the query or in the form, not in both.
fn once(
    fields: &mut Fields,
    name: &str,
    query: Option<String>,
    form: Option<&str>,
) -> Option<String> {
    if query.is_some() && form.is_some() {
        fields.add(name, "stands in the query and in the form: send it once");
    }
    query
        .or_else(|| form.map(str::to_owned))
        .filter(|text| !text.is_empty())
}

fn read_headers(headers: &HeaderMap) -> Result<(Option<IdempotencyKey>, Look), Problem> {
    let mut fields = Fields::default();
    let text = |name| {
        let value = headers.get(name)?;
        Some(value.to_str().unwrap_or("\u{0}"))
    };
    let key = text("idempotency-key").map(IdempotencyKey::parse);
    let key = fields.take("Idempotency-Key", key.transpose());
    let look = text("rollcall-look").map(|look| {
        let look = look.trim().parse().ok().and_then(Look::new);
        look.ok_or("must be 1, 2 or 3")
    });
    let look = fields.take("Rollcall-Look", look.transpose());
    fields.check()?;
    Ok((key.flatten(), look.flatten().unwrap_or(Look::FIRST)))
}

/// Which punches to list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PunchesQuery {
    /// One employee's.
    employee: Option<String>,
    /// One device's or camera's.
    device: Option<String>,
    /// At or after this time, RFC 3339.
    from: Option<String>,
    /// Before this time, RFC 3339.
    to: Option<String>,
}

/// Lists punches, newest first.
#[utoipa::path(
    get, path = "/api/punches", tag = "punches",
    params(PunchesQuery, PageQuery),
    responses((status = 200, description = "A page of punches", body = List<PunchView>)),
    security(("session" = [])),
)]
pub async fn list_punches(
    _: Allowed<Reading>,
    State(punching): State<Arc<Punching>>,
    State(namers): State<Namers>,
    Query(query): Query<PunchesQuery>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<List<PunchView>>, Problem> {
    let filter = query.filter()?;
    let wanted = page.page()?;
    let found = punching.list(&filter, &wanted.page).await?;
    let (found, next) = wanted.cut(found, |last| (last.at, last.id))?;
    let names = Names::behind(&found.iter().collect::<Vec<_>>(), &namers).await?;
    let items = found.iter().map(|punch| names.view(punch)).collect();
    Ok(axum::Json(List { items, next }))
}

impl PunchesQuery {
    fn filter(self) -> Result<PunchFilter, Problem> {
        let mut fields = Fields::default();
        let employee = parse(&mut fields, "employee", self.employee, "must be an id");
        let device = parse(&mut fields, "device", self.device, "must be an id");
        let from = parse(&mut fields, "from", self.from, NOT_A_TIME);
        let to = parse(&mut fields, "to", self.to, NOT_A_TIME);
        fields.check()?;
        Ok(PunchFilter {
            employee,
            device,
            from,
            to,
        })
    }
}

fn parse<T: std::str::FromStr>(
    fields: &mut Fields,
    name: &str,
    text: Option<String>,
    takes: &'static str,
) -> Option<T> {
    let text = text.filter(|text| !text.is_empty());
    let value = text.map(|text| text.parse().map_err(|_| takes)).transpose();
    fields.take(name, value).flatten()
}

/// One punch.
#[utoipa::path(
    get, path = "/api/punches/{id}", tag = "punches",
    params(("id" = String, Path, description = "The punch")),
    responses(
        (status = 200, description = "The punch", body = PunchView),
        (status = 404, description = "`not_found`"),
    ),
    security(("session" = [])),
)]
pub async fn get_punch(
    _: Allowed<Reading>,
    State(punching): State<Arc<Punching>>,
    State(namers): State<Namers>,
    Path(id): Path<PunchId>,
) -> Result<axum::Json<PunchView>, Problem> {
    let punch = punching
        .find(id)
        .await?
        .ok_or_else(|| Problem::not_found("punch"))?;
    let names = Names::behind(&[&punch], &namers).await?;
    Ok(axum::Json(names.view(&punch)))
}
