//! Enrolling a face.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{employees::EmployeeView, number};
use crate::{
    domain::{
        accounts::Permission,
        employees::{CONSENT_TEXT, CONSENT_VERSION},
        quality::Quality,
    },
    http::{
        HttpState,
        auth::{Allowed, Enrolling as EnrollPermit, Reading},
        limits::{also, with_headers},
        problem::{Code, Problem},
        upload::{Shape, Upload},
    },
    ports::Sample,
    service::enrollment::{EnrollRequest, Enrolling, PHOTOS_MOST, PhotoFlaw, PhotoVerdict},
};

/// What `POST /api/enroll` takes.
pub const SHAPE: Shape = Shape {
    images: "photo",
    most: PHOTOS_MOST,
    texts: &["employee", "consent", "override"],
    bare: false,
};

/// What was measured on a face.
#[derive(Serialize, ToSchema)]
#[schema(title = "Quality")]
pub struct QualityView {
    /// Width of the face, pixels.
    #[schema(example = 212.0)]
    width: f64,
    /// Turn to the side, degrees.
    yaw: f64,
    /// Nod, degrees.
    pitch: f64,
    /// Tilt, degrees.
    roll: f64,
    /// Variance of the Laplacian; low is blurred.
    sharpness: f64,
    /// Mean luma, 0 to 255.
    brightness: f64,
    /// Standard deviation of luma.
    contrast: f64,
    /// Share of the face inside the image, 0 to 1.
    inside: f64,
    /// Score of the detector, 0 to 1.
    score: f64,
}

impl From<Quality> for QualityView {
    fn from(quality: Quality) -> Self {
        let Quality {
            width,
            yaw,
            pitch,
            roll,
            sharpness,
            brightness,
            contrast,
            inside,
            score,
        } = quality;
        Self {
            width: number(width),
            yaw: number(yaw),
            pitch: number(pitch),
            roll: number(roll),
            sharpness: number(sharpness),
            brightness: number(brightness),
            contrast: number(contrast),
            inside: number(inside),
            score: number(score),
        }
    }
}

/// What became of one photo.
#[derive(Serialize, ToSchema)]
#[schema(title = "PhotoVerdict")]
pub struct PhotoView {
    /// Its place in the request, from 0.
    index: usize,
    /// Whether a template was made of it.
    accepted: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "too_small")]
    reason: Option<&'static str>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "too small: 38 px, needs 80: come closer")]
    detail: Option<String>,
    /// What was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    quality: Option<QualityView>,
}

/// The verdicts as the API tells them.
pub fn photo_views(photos: &[PhotoVerdict]) -> Vec<PhotoView> {
    let view = |photo: &PhotoVerdict| PhotoView {
        index: photo.index,
        accepted: photo.flaw.is_none(),
        reason: photo.flaw.as_ref().map(PhotoFlaw::reason),
        detail: photo.flaw.as_ref().map(PhotoFlaw::detail),
        quality: photo.quality.map(Into::into),
    };
    photos.iter().map(view).collect()
}

/// What was enrolled.
#[derive(Serialize, ToSchema)]
#[schema(title = "Enrollment")]
pub struct EnrollmentView {
    /// The employee as they are now.
    employee: EmployeeView,
    /// What became of each photo.
    photos: Vec<PhotoView>,
    /// How many templates there are now.
    templates: u32,
}

/// The form of an enrollment, for the API's description.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the form that Upload reads")]
pub struct EnrollForm {
    /// The employee's id.
    #[schema(format = "uuid")]
    employee: String,
    /// `true`: the employee agreed to have their face enrolled.
    consent: bool,
    /// 1 to 10 photos: JPEG, PNG or WebP, at most 12 MiB each.
    #[schema(value_type = Vec<String>, format = Binary)]
    photo: Vec<Vec<u8>>,
    /// `true`: enroll even if the face belongs to somebody else; for admins, audited.
    r#override: Option<bool>,
}

/// What people agree to.
#[derive(Serialize, ToSchema)]
#[schema(title = "ConsentText")]
pub struct ConsentTextView {
    /// Which text it is; kept with every consent.
    #[schema(example = "2026-11.3")]
    version: &'static str,
    /// The text, to be shown before somebody is enrolled.
    text: &'static str,
}

/// What people agree to whose face is enrolled.
#[utoipa::path(
    get, path = "/api/consent", tag = "enrollment",
    responses((status = 200, description = "The text and its version", body = ConsentTextView)),
    security(("session" = [])),
)]
pub async fn get_consent(_: Allowed<Reading>) -> axum::Json<ConsentTextView> {
    axum::Json(ConsentTextView {
        version: CONSENT_VERSION,
        text: CONSENT_TEXT,
    })
}

/// Enrolls photos of an employee who consented.
///
/// Only requests that reach the face engine count towards `ENROLL_LIMIT`.
#[utoipa::path(
    post, path = "/api/enroll", tag = "enrollment",
    request_body(content = EnrollForm, content_type = "multipart/form-data"),
    responses(
        (status = 201, description = "Enrolled", body = EnrollmentView),
        (status = 404, description = "`not_found`: no such employee"),
        (status = 409, description = "`duplicate_person`: the face belongs to `other`"),
        (status = 413, description = "`too_large`"),
        (status = 415, description = "`unsupported_type`"),
        (status = 422, description = "`consent_required`, `no_usable_photo` with `photos`, or `invalid`"),
        (status = 429, description = "`too_many_enrollments`"),
    ),
    security(("session" = [])),
)]
pub async fn create_enrollment(
    allowed: Allowed<EnrollPermit>,
    State(state): State<HttpState>,
    State(enrolling): State<Arc<Enrolling>>,
    request: Request,
) -> Result<Response, Problem> {
    let upload = Upload::read(request, &SHAPE).await?;
    let employee = upload.text("employee").unwrap_or_default().parse();
    let employee =
        employee.map_err(|_| Problem::field("employee", "must be the id of an employee"))?;
    let override_duplicate = upload.flag("override")?;
    if override_duplicate && !allowed.permits(Permission::Administer) {
        return Err(Problem::new(Code::Forbidden, "only admins may override"));
    }
    let consent = upload.flag("consent")?;
    let limit = match consent {
        // Refused without a look at the photos, so it does not count.
        false => Vec::new(),
        true => state.enrollments.count(allowed.actor()).await?,
    };
    let photos: Vec<Sample> = upload.images;
    let enrollment = enrolling
        .enroll(
            allowed.actor(),
            EnrollRequest {
                employee,
                consent,
                photos,
                override_duplicate,
            },
        )
        .await
        .map_err(|error| also(&limit, error.into()))?;
    let view = EnrollmentView {
        templates: enrollment.employee.templates,
        employee: (&enrollment.employee).into(),
        photos: photo_views(&enrollment.photos),
    };
    Ok(with_headers(limit, (StatusCode::CREATED, axum::Json(view))))
}
