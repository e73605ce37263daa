//! Consent at the kiosk: people enroll their own face, or withdraw, with their PIN or badge.

use std::sync::Arc;

use axum::{
    extract::{FromRequest, Request, State},
    http::StatusCode,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    http::{
        HttpState,
        auth::PunchingDevice,
        extract::Json,
        field_error::FieldError,
        problem::{Code, Fields, Problem},
        room::Room,
        upload::{Shape, Upload},
        views::{
            consent::{alike, check_consent},
            faces::{PhotoView, photo_views},
            punch_requests::{credential_detail, read_credential},
        },
    },
    ports::Sample,
    service::{
        employees::Person,
        enrollment::{EnrollError, PHOTOS_MOST},
        face_punches::{Outcome, PunchError},
        kiosk_enrollment::{KioskEnrollmentError, KioskEnrollments, Turned},
        punch_credentials::PersonCredential,
    },
};

impl From<KioskEnrollmentError> for Problem {
    fn from(error: KioskEnrollmentError) -> Self {
        match error {
            KioskEnrollmentError::NotAllowed => Self::new(Code::Forbidden, error.to_string()),
            KioskEnrollmentError::Check(error) => PunchError::from(error).into(),
            KioskEnrollmentError::Enroll(EnrollError::Duplicate { photos, .. }) => alike(&photos),
            KioskEnrollmentError::Enroll(error) => error.into(),
            KioskEnrollmentError::Employee(error) => error.into(),
            KioskEnrollmentError::Store(error) => error.into(),
        }
    }
}

/// What a person at a kiosk typed or showed: `code` and `pin`, or `badge`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KioskCredential {
    /// The code of the employee: the staff number.
    #[schema(example = "4711")]
    code: Option<String>,
    /// The PIN of the employee.
    #[schema(example = "402817")]
    pin: Option<String>,
    /// The code of the badge.
    badge: Option<String>,
}

impl KioskCredential {
    fn read(&self) -> Result<PersonCredential, Problem> {
        let mut fields = Fields::default();
        let text = |text: &Option<String>| text.as_deref().map(str::to_owned);
        let given = [text(&self.code), text(&self.pin), text(&self.badge)];
        required(read_credential(given, &mut fields), fields)
    }
}

fn required(
    credential: Option<PersonCredential>,
    fields: Fields,
) -> Result<PersonCredential, Problem> {
    fields.check()?;
    credential.ok_or_else(|| Problem::field("code", FieldError::Required))
}

/// The outcome of a request at a kiosk.
#[derive(Serialize, ToSchema)]
#[schema(title = "KioskAnswer")]
pub struct KioskAnswer {
    /// `known`, `enrolled` or `withdrawn`; or `wrong_pin`, `pin_locked`, `unknown_badge` or
    /// `elsewhere` (the person works at another site), and nothing happened.
    #[schema(example = "known")]
    outcome: &'static str,
    /// The ID of the person, if the outcome is `known`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = "uuid")]
    employee: Option<String>,
    /// The name of the person.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "Grace Hopper")]
    name: Option<String>,
    /// Whether a face of the person is enrolled, if the outcome is `known`.
    #[serde(skip_serializing_if = "Option::is_none")]
    enrolled: Option<bool>,
    /// The verdict on each photo.
    #[serde(skip_serializing_if = "Option::is_none")]
    photos: Option<Vec<PhotoView>>,
    /// What the person can do about it, if nothing happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'static str>,
}

impl KioskAnswer {
    fn new(outcome: &'static str, person: &Person) -> Self {
        Self {
            outcome,
            employee: None,
            name: Some(person.employee.name.to_string()),
            enrolled: None,
            photos: None,
            detail: None,
        }
    }
}

impl From<Turned> for KioskAnswer {
    fn from(turned: Turned) -> Self {
        let (outcome, detail) = match turned {
            Turned::Unproven(unproven) => {
                let outcome = Outcome::from(unproven);
                (outcome.name(), credential_detail(&outcome))
            }
            Turned::Elsewhere => ("elsewhere", Some("use a kiosk of the site where you work")),
        };
        Self {
            outcome,
            employee: None,
            name: None,
            enrolled: None,
            photos: None,
            detail,
        }
    }
}

/// Returns who a person at a kiosk is, and whether their face is enrolled.
///
/// The site must let people enroll at kiosks (`kiosk_enrollment`). PINs are limited and locked as for
/// punches.
#[utoipa::path(
    post, path = "/api/device/person", tag = "devices",
    request_body = KioskCredential,
    responses(
        (status = 200, description = "The person, or why not", body = KioskAnswer),
        (status = 403, description = "`forbidden`: the site does not allow it"),
        (status = 429, description = "`too_many_requests`: this device sent too many PINs, or too many wrong ones"),
    ),
    security(("device" = [])),
)]
pub async fn find_person_at_kiosk(
    PunchingDevice(device): PunchingDevice,
    State(kiosk): State<Arc<KioskEnrollments>>,
    Json(credential): Json<KioskCredential>,
) -> Result<axum::Json<KioskAnswer>, Problem> {
    let found = kiosk.identify(&device, credential.read()?).await?;
    Ok(axum::Json(match found {
        Ok(person) => KioskAnswer {
            employee: Some(person.employee.id.to_string()),
            enrolled: Some(person.enrolled()),
            ..KioskAnswer::new("known", &person)
        },
        Err(turned) => turned.into(),
    }))
}

/// The upload of `POST /api/device/enrollments`.
pub const SHAPE: Shape = Shape {
    images: "photo",
    least: 1,
    most: PHOTOS_MOST,
    bytes: usize::MAX,
    texts: &["code", "pin", "badge", "consent"],
    bare: false,
};

/// The form with which a person enrolls at a kiosk, for the description of the API.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the form that Upload reads")]
pub struct KioskEnrollForm {
    /// The code of the employee, with `pin`.
    code: Option<String>,
    /// The PIN of the employee, with `code`.
    pin: Option<String>,
    /// The code of the badge, instead of `code` and `pin`.
    badge: Option<String>,
    /// The version of the text that the person agreed to, as `GET /api/device` returned it.
    consent: String,
    /// 1 to 10 photos: JPEG, PNG or WebP, at most 12 MiB each.
    #[schema(value_type = Vec<String>, format = Binary)]
    photo: Vec<Vec<u8>>,
}

/// The photos of a person who enrolls at a kiosk.
pub struct KioskUpload {
    credential: PersonCredential,
    photos: Vec<Sample>,
    _room: Room,
}

impl FromRequest<HttpState> for KioskUpload {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &HttpState) -> Result<Self, Problem> {
        let upload = Upload::read(request, &SHAPE).await?;
        check_consent(&upload)?;
        let mut fields = Fields::default();
        let given = ["code", "pin", "badge"].map(|name| upload.text(name).map(str::to_owned));
        Ok(Self {
            credential: required(read_credential(given, &mut fields), fields)?,
            photos: upload.images,
            _room: upload.room,
        })
    }
}

/// Enrolls the face of a person at a kiosk, with the consent that they give there.
///
/// The site must let people enroll at kiosks (`kiosk_enrollment`), and the person must work there.
/// Faces that were enrolled count towards `ENROLL_LIMIT` of the device, unless an admin has lifted it.
#[utoipa::path(
    post, path = "/api/device/enrollments", tag = "devices",
    request_body(content = KioskEnrollForm, content_type = "multipart/form-data"),
    responses(
        (status = 201, description = "Enrolled", body = KioskAnswer),
        (status = 200, description = "Not enrolled: `outcome` has the reason", body = KioskAnswer),
        (status = 403, description = "`forbidden`: the site does not allow it"),
        (status = 409, description = "`duplicate_person`: the face belongs to another person"),
        (status = 415, description = "`unsupported_type`"),
        (status = 422, description = "`consent_required`, `no_usable_photo` with `photos`, or `invalid`"),
        (status = 429, description = "`too_many_enrollments`; `too_many_requests`: this device sent too many PINs, or too many wrong ones"),
    ),
    security(("device" = [])),
)]
pub async fn enroll_at_kiosk(
    PunchingDevice(device): PunchingDevice,
    State(state): State<HttpState>,
    State(kiosk): State<Arc<KioskEnrollments>>,
    KioskUpload {
        credential,
        photos,
        _room,
    }: KioskUpload,
) -> Result<(StatusCode, axum::Json<KioskAnswer>), Problem> {
    let person = match kiosk.identify(&device, credential).await? {
        Ok(person) => person,
        Err(turned) => return Ok((StatusCode::OK, axum::Json(turned.into()))),
    };
    let counts = state.app.enrollment_limit.lift().await?.is_none();
    let who = format!("device:{}", device.id);
    if counts {
        state.enrollments.count(&who).await?;
    }
    match kiosk.enroll(&device, person.id, photos).await {
        Ok(enrolled) => {
            let answer = KioskAnswer {
                photos: Some(photo_views(&enrolled.photos)),
                ..KioskAnswer::new("enrolled", &enrolled.person)
            };
            Ok((StatusCode::CREATED, axum::Json(answer)))
        }
        Err(error) => {
            if counts {
                state.enrollments.take_back(&who).await;
            }
            Err(error.into())
        }
    }
}

/// Withdraws the consent of a person at a kiosk. Templates, photos and pictures of punches are deleted
/// at once; PIN and badge stay. The site must let people enroll at kiosks (`kiosk_enrollment`).
#[utoipa::path(
    post, path = "/api/device/withdrawals", tag = "devices",
    request_body = KioskCredential,
    responses(
        (status = 200, description = "Withdrawn, now or before; or why not", body = KioskAnswer),
        (status = 403, description = "`forbidden`: the site does not allow it"),
        (status = 429, description = "`too_many_requests`: this device sent too many PINs, or too many wrong ones"),
    ),
    security(("device" = [])),
)]
pub async fn withdraw_at_kiosk(
    PunchingDevice(device): PunchingDevice,
    State(kiosk): State<Arc<KioskEnrollments>>,
    Json(credential): Json<KioskCredential>,
) -> Result<axum::Json<KioskAnswer>, Problem> {
    let person = match kiosk.identify(&device, credential.read()?).await? {
        Ok(person) => person,
        Err(turned) => return Ok(axum::Json(turned.into())),
    };
    kiosk.withdraw(&device, person.id).await?;
    Ok(axum::Json(KioskAnswer::new("withdrawn", &person)))
}
