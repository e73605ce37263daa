//! Punches.

use std::sync::Arc;

use axum::{
    RequestExt,
    extract::{FromRequest, Request, State},
    http::{HeaderMap, StatusCode},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    clock::whole_milliseconds,
    domain::{
        attendance::{Capture, Origin, PunchKind},
        biometrics::{Look, NobodyReason},
        devices::Device,
        ids::{CameraId, DeviceId, PunchId},
        quality::Flaw,
        text::{Code as EmployeeCode, IdempotencyKey, Reason},
    },
    http::{
        HttpState,
        auth::{Allowed, Correcting, PunchingDevice, Reading},
        extract::{Json, Path, Query},
        field_error::FieldError,
        limits::format_wait,
        page::{List, PageQuery},
        problem::{Code, Fields, Problem},
        room::Room,
        upload::{Shape, Upload},
        views::{
            number,
            punch_requests::{credential_detail, read_credential, read_headers},
            punches::{NameLookup, PunchView},
            read_id, read_time,
        },
    },
    ports::PunchFilter,
    service::{
        credential_punches::{CredentialPunches, CredentialRequest},
        face_punches::{self, FacePunches, Outcome, PunchAnswer, PunchError},
        manual_punches::{ManualPunchError, ManualPunches},
        mistaken_punches::{MistakenPunches, TakeBackError},
        probe_builder::BURST_MOST,
        punch_credentials::PersonCredential,
        punch_ledger::{LedgerError, PunchLedger, Recorded, Replay},
    },
};

impl From<PunchError> for Problem {
    fn from(error: PunchError) -> Self {
        match error {
            PunchError::Recognition(error) => error.into(),
            PunchError::Ledger(error) => error.into(),
            PunchError::TooManyPins { reset } => {
                // Rounded up, so that a device that waits that long is not too early.
                let wait = reset.as_secs() + 1;
                let detail = format!(
                    "{error}: try again in {}, or use another device",
                    format_wait(wait)
                );
                Self::new(Code::TooManyRequests, detail).retry_after(wait)
            }
            PunchError::Hashing(error) => Self::internal(error.to_string()),
        }
    }
}

impl From<LedgerError> for Problem {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::KeyReused => Self::new(Code::IdempotencyKeyReused, error.to_string()),
            LedgerError::Contended => {
                Self::new(Code::Contended, format!("{error}: try again in a moment"))
            }
            LedgerError::Store(error) => error.into(),
        }
    }
}

impl From<TakeBackError> for Problem {
    fn from(error: TakeBackError) -> Self {
        match error {
            TakeBackError::NotFound => Self::not_found("punch of this device"),
            TakeBackError::TooLate => Self::new(Code::TooLate, error.to_string()),
            TakeBackError::Timesheet(error) => error.into(),
            TakeBackError::Store(error) => error.into(),
        }
    }
}

impl From<ManualPunchError> for Problem {
    fn from(error: ManualPunchError) -> Self {
        match error {
            ManualPunchError::NotFound => Self::not_found("employee"),
            ManualPunchError::Inactive => Self::field("employee", FieldError::InactiveEmployee),
            ManualPunchError::Ledger(error) => error.into(),
            ManualPunchError::Store(error) => error.into(),
        }
    }
}

/// The upload of `POST /api/punches`.
pub const SHAPE: Shape = Shape {
    images: "image",
    least: 1,
    most: BURST_MOST,
    bytes: usize::MAX,
    texts: &[
        "kind",
        "captured_at",
        "sent_at",
        "instead_of",
        "code",
        "pin",
        "badge",
    ],
    bare: true,
};

/// The outcome of a request to punch.
#[derive(Serialize, ToSchema)]
#[schema(title = "PunchAnswer")]
pub struct AnswerView {
    /// `punched`, `cooldown`, `nobody`, `no_face`, `poor_quality`, `attack`, `wrong_pin`,
    /// `pin_locked`, `unknown_badge`, `pin_needed` or `face_needed`.
    #[schema(example = "punched")]
    outcome: &'static str,
    /// The new punch; during the cooldown, the punch that counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    punch: Option<PunchView>,
    /// The name to greet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "Grace Hopper")]
    name: Option<String>,
    /// The similarity of the recognized face.
    #[serde(skip_serializing_if = "Option::is_none")]
    similarity: Option<f64>,
    /// The similarity that was needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    threshold: Option<f64>,
    /// The lead over the second candidate.
    #[serde(skip_serializing_if = "Option::is_none")]
    margin: Option<f64>,
    /// Whether it was close, so that another look (`Rollcall-Look`) at different frames may settle
    /// it.
    #[serde(skip_serializing_if = "Option::is_none")]
    more: Option<bool>,
    /// Why the outcome is `nobody`: `unknown`, `margin` (too close to the second candidate) or
    /// `look_alike` (too close to a look-alike); or why no face can be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// What the person in front of the device can do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// Whether this is the answer to an earlier request with the same key.
    #[serde(skip_serializing_if = "Option::is_none")]
    replayed: Option<bool>,
}

impl AnswerView {
    fn new(answer: &PunchAnswer, punch: Option<PunchView>) -> Self {
        let flaw = match &answer.outcome {
            Outcome::Punched { .. }
            | Outcome::Cooldown { .. }
            | Outcome::Nobody { .. }
            | Outcome::WrongPin
            | Outcome::PinLocked
            | Outcome::UnknownBadge
            | Outcome::PinNeeded
            | Outcome::FaceNeeded => None,
            Outcome::NoFace => Some(Flaw::NoFace),
            Outcome::PoorQuality { flaw } => Some(*flaw),
            Outcome::Attack => Some(Flaw::Attack),
        };
        let (nobody, more) = match answer.outcome {
            Outcome::Nobody { reason, more } => (Some(reason), more),
            _ => (None, false),
        };
        // A thief of the device's token must not be able to improve a picture by its similarity.
        let numbers = answer.numbers.filter(|_| nobody.is_none());
        Self {
            outcome: answer.outcome.name(),
            name: punch.as_ref().and_then(|punch| punch.name.clone()),
            punch,
            similarity: numbers.map(|of| number(of.similarity.value())),
            threshold: numbers.map(|of| number(of.threshold.value())),
            margin: numbers.and_then(|of| of.margin).map(number),
            more: more.then_some(true),
            reason: flaw.map(Flaw::reason).or(nobody.map(NobodyReason::as_str)),
            detail: flaw
                .map(Flaw::detail)
                .or(nobody.and_then(NobodyReason::detail).map(str::to_owned))
                .or(credential_detail(&answer.outcome).map(str::to_owned)),
            replayed: answer.replayed.then_some(true),
        }
    }
}

/// The parameters of a punch.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PunchQuery {
    /// `in`, `out`, `break_start` or `break_end`; by default, what follows the last punch.
    #[param(example = "in")]
    kind: Option<String>,
    /// When an offline device captured the punch, RFC 3339. A time that is in the future, more than
    /// 72 hours ago, or, without `sent_at`, before the last punch that the device sent at once is
    /// doubtful: the punch is kept, but does not count.
    captured_at: Option<String>,
    /// When the device sends the request, by the same clock as `captured_at`. Then the clock of the
    /// device may be wrong, because only the time between the two counts, and late punches may be
    /// sent in any order.
    sent_at: Option<String>,
    /// The ID of a punch that this device has just taken back (`not-me`): this is the person whom it
    /// shows.
    instead_of: Option<String>,
}

/// A burst of images in a form, for the description of the API.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the form that Upload reads")]
pub struct PunchForm {
    /// 1 to 5 images of one person: JPEG, PNG or WebP, at most 12 MiB each.
    #[schema(value_type = Vec<String>, format = Binary)]
    image: Vec<Vec<u8>>,
    /// Like the query parameter.
    kind: Option<String>,
    /// Like the query parameter.
    captured_at: Option<String>,
    /// Like the query parameter.
    sent_at: Option<String>,
    /// Like the query parameter.
    instead_of: Option<String>,
    /// The code of the employee, with `pin`: the face must be that employee's.
    code: Option<String>,
    /// The PIN of the employee, with `code`.
    pin: Option<String>,
    /// The code of a badge, instead of `code` and `pin`: the face must be the holder's.
    badge: Option<String>,
}

/// A request to punch with a face, or with a face and a PIN or badge.
enum Punching {
    Face(face_punches::PunchRequest),
    FaceAndCredential(CredentialRequest),
}

/// A request to punch: headers, query and upload.
pub struct PunchRequest {
    request: Punching,
    _room: Room,
}

impl FromRequest<HttpState> for PunchRequest {
    type Rejection = Problem;

    async fn from_request(mut request: Request, state: &HttpState) -> Result<Self, Problem> {
        let Query(query) = request
            .extract_parts_with_state::<Query<PunchQuery>, _>(state)
            .await?;
        let (key, look) = read_headers(request.headers())?;
        let upload = Upload::read(request, &SHAPE).await?;
        let mut fields = Fields::default();
        let mut text = |name, query| either(&mut fields, name, query, upload.text(name));
        let sent = Sent {
            kind: text("kind", query.kind),
            captured_at: text("captured_at", query.captured_at),
            sent_at: text("sent_at", query.sent_at),
            instead_of: text("instead_of", query.instead_of),
        };
        let Read {
            kind,
            capture,
            instead_of,
        } = sent.read(&mut fields);
        let given = ["code", "pin", "badge"].map(|name| upload.text(name).map(str::to_owned));
        let credential = read_credential(given, &mut fields);
        fields.check()?;
        let request = match credential {
            Some(credential) => Punching::FaceAndCredential(CredentialRequest {
                credential,
                samples: upload.images,
                look,
                kind,
                capture,
                key,
                instead_of,
            }),
            None => Punching::Face(face_punches::PunchRequest {
                samples: upload.images,
                kind,
                capture,
                key,
                look,
                instead_of,
            }),
        };
        Ok(Self {
            request,
            _room: upload.room,
        })
    }
}

/// What requests to punch have in common, as it was sent.
struct Sent {
    kind: Option<String>,
    captured_at: Option<String>,
    sent_at: Option<String>,
    instead_of: Option<String>,
}

/// The same, parsed.
struct Read {
    kind: Option<PunchKind>,
    capture: Option<Capture>,
    instead_of: Option<PunchId>,
}

impl Sent {
    /// Parses it. Errors are added to `fields`.
    fn read(self, fields: &mut Fields) -> Read {
        let kind = fields.optional("kind", self.kind, |text| PunchKind::parse(&text));
        let mut time = |name, text| {
            let time = fields.optional(name, text, read_time);
            time.map(whole_milliseconds)
        };
        let captured_at = time("captured_at", self.captured_at);
        let sent_at = time("sent_at", self.sent_at);
        Read {
            kind,
            capture: captured_at.map(|at| Capture { at, sent_at }),
            instead_of: fields.optional("instead_of", self.instead_of, read_id),
        }
    }
}

/// Returns a parameter that is in the query or in the form, but must not be in both.
fn either(
    fields: &mut Fields,
    name: &str,
    query: Option<String>,
    form: Option<&str>,
) -> Option<String> {
    if query.is_some() && form.is_some() {
        fields.add(name, FieldError::SentTwice);
    }
    query
        .or_else(|| form.map(str::to_owned))
        .filter(|text| !text.is_empty())
}

/// Records a punch of the person in one or more images.
///
/// Only a new punch returns 201. With an `Idempotency-Key`, a retry of the same request gets the
/// first answer again.
#[utoipa::path(
    post, path = "/api/punches", tag = "punches",
    params(
        PunchQuery,
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 128 printable ASCII characters, new for each punch"),
        ("Rollcall-Look" = Option<u8>, Header, description = "The number of the look at this person, 1 to 3", minimum = 1, maximum = 3),
    ),
    request_body(content(
        (Vec<u8> = "image/jpeg"), (Vec<u8> = "image/png"), (Vec<u8> = "image/webp"),
        (PunchForm = "multipart/form-data"),
    )),
    responses(
        (status = 201, description = "A new punch", body = AnswerView),
        (status = 200, description = "No new punch: `outcome` has the reason", body = AnswerView),
        (status = 415, description = "`unsupported_type`"),
        (status = 422, description = "`idempotency_key_reused`, `bad_image` or `invalid`"),
    ),
    security(("device" = [])),
)]
pub async fn create_punch(
    PunchingDevice(device): PunchingDevice,
    State(faces): State<Arc<FacePunches>>,
    State(credentials): State<Arc<CredentialPunches>>,
    State(names): State<NameLookup>,
    punch: PunchRequest,
) -> Result<Answered, Problem> {
    let answer = match punch.request {
        Punching::Face(request) => faces.punch(&device, request).await?,
        Punching::FaceAndCredential(request) => credentials.punch(&device, request).await?,
    };
    answered(&device, &answer, &names).await
}

/// The response to a request to punch.
type Answered = (StatusCode, axum::Json<AnswerView>);

async fn answered(
    device: &Device,
    answer: &PunchAnswer,
    names: &NameLookup,
) -> Result<Answered, Problem> {
    answer.outcome.count(Origin::Device(device.id));
    let status = match answer.outcome {
        Outcome::Punched { .. } if !answer.replayed => StatusCode::CREATED,
        _ => StatusCode::OK,
    };
    let view = names.view(answer.outcome.punch()).await?;
    Ok((status, axum::Json(AnswerView::new(answer, view))))
}

/// Declares a body of a request to punch: some fields, and those that all of them have.
macro_rules! punch_body {
    ($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: String,)+ }) => {
        $(#[$meta])*
        #[derive(Deserialize, ToSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($(#[$field_meta])* $field: String,)+
            /// As for `POST /api/punches`.
            kind: Option<String>,
            /// As for `POST /api/punches`.
            captured_at: Option<String>,
            /// As for `POST /api/punches`.
            sent_at: Option<String>,
            /// As for `POST /api/punches`.
            instead_of: Option<String>,
        }

        impl $name {
            /// Takes apart the fields of its own and those that all requests have.
            fn split(self) -> ($(punch_body!(@text $field),)+ Sent) {
                let sent = Sent {
                    kind: self.kind,
                    captured_at: self.captured_at,
                    sent_at: self.sent_at,
                    instead_of: self.instead_of,
                };
                ($(self.$field,)+ sent)
            }
        }
    };
    (@text $field:ident) => { String };
}

punch_body! {
    /// A punch with a PIN.
    PinPunch {
        /// The code of the employee: the staff number.
        #[schema(example = "4711")]
        code: String,
        /// The PIN of the employee.
        #[schema(example = "402817")]
        pin: String,
    }
}

punch_body! {
    /// A punch with a badge.
    BadgePunch {
        /// The code of the badge, as the scanner or the camera read it.
        #[schema(example = "402817…")]
        badge: String,
    }
}

/// Records a punch of the person with a staff number and PIN.
///
/// An unknown number, a number without a PIN and a wrong PIN are all `wrong_pin`. After 5 wrong tries
/// in a row the number is `pin_locked` until a manager unlocks it. A retry with the same
/// `Idempotency-Key` gets the first answer again, whatever its PIN.
#[utoipa::path(
    post, path = "/api/punches/pin", tag = "punches",
    params(("Idempotency-Key" = Option<String>, Header, description = "As for `POST /api/punches`")),
    request_body = PinPunch,
    responses(
        (status = 201, description = "A new punch", body = AnswerView),
        (status = 200, description = "No new punch: `outcome` has the reason", body = AnswerView),
        (status = 422, description = "`idempotency_key_reused` or `invalid`"),
        (status = 429, description = "`too_many_requests`: this device sent too many PINs, or too many wrong ones"),
    ),
    security(("device" = [])),
)]
pub async fn create_pin_punch(
    PunchingDevice(device): PunchingDevice,
    State(credentials): State<Arc<CredentialPunches>>,
    State(names): State<NameLookup>,
    headers: HeaderMap,
    Json(punch): Json<PinPunch>,
) -> Result<Answered, Problem> {
    let (code, pin, sent) = punch.split();
    let (key, look) = read_headers(&headers)?;
    let mut fields = Fields::default();
    let code = fields.required("code", EmployeeCode::parse(&code));
    let read = sent.read(&mut fields);
    let Some(code) = code else {
        return Err(fields.problem());
    };
    fields.check()?;
    let pin = pin.into();
    let request = read.with(PersonCredential::Pin { code, pin }, look, key);
    let answer = credentials.punch(&device, request).await?;
    answered(&device, &answer, &names).await
}

impl Read {
    /// Returns a request to punch with a credential, without frames.
    fn with(
        self,
        credential: PersonCredential,
        look: Look,
        key: Option<IdempotencyKey>,
    ) -> CredentialRequest {
        CredentialRequest {
            credential,
            samples: Vec::new(),
            look,
            kind: self.kind,
            capture: self.capture,
            key,
            instead_of: self.instead_of,
        }
    }
}

/// Records a punch of the person with a badge. A badge that was revoked or replaced, and every other
/// text, is `unknown_badge`.
#[utoipa::path(
    post, path = "/api/punches/badge", tag = "punches",
    params(("Idempotency-Key" = Option<String>, Header, description = "As for `POST /api/punches`")),
    request_body = BadgePunch,
    responses(
        (status = 201, description = "A new punch", body = AnswerView),
        (status = 200, description = "No new punch: `outcome` has the reason", body = AnswerView),
        (status = 422, description = "`idempotency_key_reused` or `invalid`"),
    ),
    security(("device" = [])),
)]
pub async fn create_badge_punch(
    PunchingDevice(device): PunchingDevice,
    State(credentials): State<Arc<CredentialPunches>>,
    State(names): State<NameLookup>,
    headers: HeaderMap,
    Json(punch): Json<BadgePunch>,
) -> Result<Answered, Problem> {
    let (badge, sent) = punch.split();
    let (key, look) = read_headers(&headers)?;
    let mut fields = Fields::default();
    let read = sent.read(&mut fields);
    fields.check()?;
    let request = read.with(PersonCredential::Badge(badge.into()), look, key);
    let answer = credentials.punch(&device, request).await?;
    answered(&device, &answer, &names).await
}

/// Takes back a punch of a face that this device has just made, because it shows another person. The
/// punch does not count anymore, and a manager decides whether that is right.
#[utoipa::path(
    post, path = "/api/punches/{id}/not-me", tag = "punches",
    params(("id" = String, Path, description = "The punch, at most 15 seconds old")),
    responses(
        (status = 204, description = "Taken back, now or before"),
        (status = 404, description = "`not_found`: this device made no such punch of a face"),
        (status = 409, description = "`too_late`"),
    ),
    security(("device" = [])),
)]
pub async fn take_back_punch(
    PunchingDevice(device): PunchingDevice,
    State(mistakes): State<Arc<MistakenPunches>>,
    Path(id): Path<PunchId>,
) -> Result<StatusCode, Problem> {
    mistakes.take_back(&device, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A punch to write by hand.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "NewManualPunch")]
pub struct ManualPunch {
    /// The ID of the employee, who must be active.
    #[schema(format = "uuid")]
    employee: String,
    /// `in`, `out`, `break_start` or `break_end`; by default, what follows the last punch.
    #[schema(example = "in")]
    kind: Option<String>,
    /// Why; 1 to 500 characters.
    #[schema(example = "The kiosk is broken")]
    reason: String,
}

/// The outcome of a punch by hand.
#[derive(Serialize, ToSchema)]
#[schema(title = "ManualPunchAnswer")]
pub struct ManualPunchAnswer {
    /// `punched` or `cooldown`.
    #[schema(example = "punched")]
    outcome: &'static str,
    /// The new punch; during the cooldown, the punch that counts.
    punch: Option<PunchView>,
}

/// Writes a punch of an employee by hand, now. To add one at another time, make a correction.
#[utoipa::path(
    post, path = "/api/punches/manual", tag = "punches",
    request_body = ManualPunch,
    responses(
        (status = 201, description = "A new punch", body = ManualPunchAnswer),
        (status = 200, description = "No new punch, because the last one is so recent", body = ManualPunchAnswer),
        (status = 404, description = "`not_found`"),
    ),
)]
pub async fn create_manual_punch(
    allowed: Allowed<Correcting>,
    State(punches): State<Arc<ManualPunches>>,
    State(names): State<NameLookup>,
    Json(new): Json<ManualPunch>,
) -> Result<(StatusCode, axum::Json<ManualPunchAnswer>), Problem> {
    let mut fields = Fields::default();
    let employee = fields.required("employee", read_id(new.employee));
    let kind = fields.optional("kind", new.kind, |text| PunchKind::parse(&text));
    let reason = fields.required("reason", Reason::parse(&new.reason));
    let (Some(employee), Some(reason)) = (employee, reason) else {
        return Err(fields.problem());
    };
    fields.check()?;
    let (reach, account) = (allowed.reach(), allowed.account()?.id);
    let (status, outcome, punch) = match punches
        .punch(reach, account, allowed.actor(), employee, kind, reason)
        .await?
    {
        Recorded::Written(punch) => (StatusCode::CREATED, "punched", Some(punch)),
        Recorded::Cooldown(punch) | Recorded::Replayed(Replay::Punch(punch)) => {
            (StatusCode::OK, "cooldown", Some(punch))
        }
        Recorded::Replayed(Replay::Answer(_)) => (StatusCode::OK, "cooldown", None),
    };
    let punch = names.view(punch.as_deref()).await?;
    Ok((status, axum::Json(ManualPunchAnswer { outcome, punch })))
}

/// The punches to list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PunchesQuery {
    /// The ID of an employee.
    employee: Option<String>,
    /// The ID of a device.
    device: Option<String>,
    /// The ID of a camera. No punch has both a device and a camera.
    camera: Option<String>,
    /// The ID of the site where they were made.
    site: Option<String>,
    /// At or after this time, RFC 3339.
    from: Option<String>,
    /// Before this time, RFC 3339.
    to: Option<String>,
}

impl PunchesQuery {
    fn filter(self) -> Result<PunchFilter, Problem> {
        let mut fields = Fields::default();
        let device = fields.optional("device", self.device, read_id::<DeviceId>);
        let camera = fields.optional("camera", self.camera, read_id::<CameraId>);
        if device.is_some() && camera.is_some() {
            fields.add("camera", FieldError::Excluded { by: "device" });
        }
        let filter = PunchFilter {
            employee: fields.optional("employee", self.employee, read_id),
            origin: device.map(Origin::Device).or(camera.map(Origin::Camera)),
            site: fields.optional("site", self.site, read_id),
            from: fields.optional("from", self.from, read_time),
            to: fields.optional("to", self.to, read_time),
        };
        fields.check()?;
        Ok(filter)
    }
}

/// Lists punches, newest first.
#[utoipa::path(
    get, path = "/api/punches", tag = "punches",
    params(PunchesQuery, PageQuery),
    responses((status = 200, description = "A page of punches", body = List<PunchView>)),
)]
pub async fn list_punches(
    allowed: Allowed<Reading>,
    State(ledger): State<Arc<PunchLedger>>,
    State(names): State<NameLookup>,
    Query(query): Query<PunchesQuery>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<List<PunchView>>, Problem> {
    let (filter, wanted) = (query.filter()?, page.page()?);
    let found = ledger.list(allowed.reach(), &filter, &wanted.page).await?;
    let (found, next) = wanted.cut(found, |last| (last.at, last.id))?;
    let items = names.corrected_views(&found, allowed.reach()).await?;
    Ok(axum::Json(List { items, next }))
}

/// Returns a punch.
#[utoipa::path(
    get, path = "/api/punches/{id}", tag = "punches",
    params(("id" = String, Path, description = "The punch")),
    responses((status = 200, description = "The punch", body = PunchView)),
)]
pub async fn get_punch(
    allowed: Allowed<Reading>,
    State(ledger): State<Arc<PunchLedger>>,
    State(names): State<NameLookup>,
    Path(id): Path<PunchId>,
) -> Result<axum::Json<PunchView>, Problem> {
    let punch = ledger.find(allowed.reach(), id).await?;
    let view = names.corrected_views(punch.as_slice(), allowed.reach());
    let view = view.await?.pop();
    view.map(axum::Json)
        .ok_or_else(|| Problem::not_found("punch"))
}
