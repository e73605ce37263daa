//! The enrollment of faces.

use std::sync::Arc;

use axum::{
    extract::{FromRequest, Request, State},
    http::StatusCode,
    response::Response,
};
use jiff::{Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    domain::{employees::ConsentGiven, grants::Permission},
    http::{
        HttpState,
        auth::{Allowed, Enrolling, Reading},
        extract::Query,
        field_error::FieldError,
        limits::with_headers,
        problem::{Code, Problem},
        room::Room,
        upload::{Shape, Upload},
        views::{
            Created,
            consent::ConsentTextView,
            employees::EmployeeView,
            faces::{PhotoView, photo_views},
            jobs::{JobView, queued},
            read_date,
        },
    },
    service::{
        employees::Employees,
        enrollment::{EnrollError, EnrollRequest, Enrollments, PHOTOS_MOST, TEMPLATES_MOST},
        jobs::{Jobs, PHOTO_BYTES_MOST, PhotoFile, QueueError, new_enrollment},
        personal_data::PersonalData,
    },
};

impl From<EnrollError> for Problem {
    fn from(error: EnrollError) -> Self {
        let text = error.to_string();
        match error {
            EnrollError::NotFound => Self::not_found("employee"),
            EnrollError::Inactive => Self::field("employee", FieldError::InactiveEmployee),
            EnrollError::NoConsent => Self::new(Code::ConsentRequired, text),
            EnrollError::Busy => Self::new(Code::EngineBusy, text),
            EnrollError::PhotoCount => Self::field(
                "photo",
                FieldError::WrongCount {
                    least: 1,
                    most: PHOTOS_MOST,
                },
            ),
            EnrollError::Full => Self::field(
                "photo",
                FieldError::TooManyTemplates {
                    most: TEMPLATES_MOST,
                },
            ),
            EnrollError::NoUsablePhoto(photos) => {
                Self::new(Code::NoUsablePhoto, text).with("photos", photo_views(&photos))
            }
            EnrollError::Duplicate { other, photos } => Self::new(Code::DuplicatePerson, text)
                .with(
                    "other",
                    serde_json::json!({
                        "id": other.id, "name": other.name, "code": other.code,
                    }),
                )
                .with("photos", photo_views(&photos)),
            EnrollError::Recognition(error) => error.into(),
            EnrollError::Vault(error) => error.into(),
            EnrollError::Store(error) => error.into(),
        }
    }
}

/// The upload of `POST /api/enroll`.
pub const SHAPE: Shape = Shape {
    images: "photo",
    least: 1,
    most: PHOTOS_MOST,
    bytes: usize::MAX,
    texts: &[
        "employee",
        "consent",
        "consent_given",
        "signed_on",
        "override",
    ],
    bare: false,
};

/// The upload of `POST /api/enrollments`.
pub const MANY: Shape = Shape {
    images: "photo",
    least: 1,
    most: 60,
    bytes: PHOTO_BYTES_MOST,
    texts: &["consent", "consent_given", "signed_on"],
    bare: false,
};

/// The result of an enrollment.
#[derive(Serialize, ToSchema)]
#[schema(title = "Enrollment")]
pub struct EnrollmentView {
    /// The employee after the enrollment.
    employee: EmployeeView,
    /// The verdict on each photo.
    photos: Vec<PhotoView>,
    /// The number of templates after the enrollment.
    templates: usize,
}

/// The form of an enrollment, for the description of the API.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the form that Upload reads")]
pub struct EnrollForm {
    /// The ID of the employee.
    #[schema(format = "uuid")]
    employee: String,
    /// `true`: the employee consents to the enrollment.
    consent: bool,
    /// How: `stated` (the account states it), which is the default, or `sheet` (signed on paper).
    #[schema(example = "sheet")]
    consent_given: Option<String>,
    /// The date on the sheet.
    #[schema(format = "date", example = "2026-11-21")]
    signed_on: Option<String>,
    /// 1 to 10 photos: JPEG, PNG or WebP, at most 12 MiB each.
    #[schema(value_type = Vec<String>, format = Binary)]
    photo: Vec<Vec<u8>>,
    /// `true`: enroll even if the face belongs to another employee; for admins, audited.
    r#override: Option<bool>,
}

/// A request to enroll photos.
pub struct EnrollUpload {
    request: EnrollRequest,
    _room: Room,
}

impl FromRequest<HttpState> for EnrollUpload {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &HttpState) -> Result<Self, Problem> {
        let upload = Upload::read(request, &SHAPE).await?;
        let employee = upload.text("employee").unwrap_or_default().parse();
        let consent = read_consent(&upload, state.clock.now())?;
        Ok(Self {
            request: EnrollRequest {
                employee: employee.map_err(|_| Problem::field("employee", FieldError::NotAnId))?,
                override_duplicate: upload.flag("override")?,
                consent,
                photos: upload.images,
            },
            _room: upload.room,
        })
    }
}

/// The form of an enrollment of many people, for the description of the API.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the form that Upload reads")]
pub struct ManyForm {
    /// `true`: all the employees consent to the enrollment.
    consent: bool,
    /// How: `stated` (the account states it), which is the default, or `sheet` (signed on paper).
    #[schema(example = "sheet")]
    consent_given: Option<String>,
    /// The date on the sheets.
    #[schema(format = "date", example = "2026-11-21")]
    signed_on: Option<String>,
    /// 1 to 60 photos, 10 MiB together: JPEG, PNG or WebP. The name of the file, or of its folder, is
    /// the code of the employee: `E7.jpg`, `E7-2.jpg`, `E7 Ada Lovelace/front.jpg`.
    #[schema(value_type = Vec<String>, format = Binary)]
    photo: Vec<Vec<u8>>,
}

/// Photos of many people to enroll.
pub struct ManyUpload {
    consent: Option<ConsentGiven>,
    photos: Vec<PhotoFile>,
    _room: Room,
}

impl FromRequest<HttpState> for ManyUpload {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &HttpState) -> Result<Self, Problem> {
        let upload = Upload::read(request, &MANY).await?;
        let consent = read_consent(&upload, state.clock.now())?;
        let photos = upload.names.into_iter().zip(upload.images);
        Ok(Self {
            consent,
            photos: photos
                .map(|(name, photo)| PhotoFile { name, photo })
                .collect(),
            _room: upload.room,
        })
    }
}

/// Reads how the employee consented; `None` if they did not.
fn read_consent(upload: &Upload, now: Timestamp) -> Result<Option<ConsentGiven>, Problem> {
    let given = read_given(upload, now)?;
    Ok(upload.flag("consent")?.then_some(given))
}

/// Reads how the employee consented, if they did.
fn read_given(upload: &Upload, now: Timestamp) -> Result<ConsentGiven, Problem> {
    let signed_on = upload.text("signed_on").filter(|text| !text.is_empty());
    match (upload.text("consent_given"), signed_on) {
        (None | Some("" | "stated"), None) => Ok(ConsentGiven::Stated),
        (None | Some("" | "stated"), Some(_)) => {
            let by = "consent_given";
            Err(Problem::field("signed_on", FieldError::Excluded { by }))
        }
        (Some("sheet"), None) => Err(Problem::field("signed_on", FieldError::Required)),
        (Some("sheet"), Some(date)) => {
            let signed_on = read_date(date).map_err(|error| Problem::field("signed_on", error))?;
            // Somewhere it is tomorrow already.
            let today = now.to_zoned(TimeZone::UTC).date();
            match signed_on > today.tomorrow().unwrap_or(today) {
                true => Err(Problem::field("signed_on", FieldError::InTheFuture)),
                false => Ok(ConsentGiven::Sheet { signed_on }),
            }
        }
        (Some(_), _) => {
            let values = vec!["stated", "sheet"];
            Err(Problem::field(
                "consent_given",
                FieldError::NotOneOf { values },
            ))
        }
    }
}

/// The text to return.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ConsentQuery {
    /// The version of a text that people agreed to; without it, the present one.
    version: Option<String>,
}

/// Returns the text that people consent to before their faces are enrolled, or one that they consented
/// to earlier.
#[utoipa::path(
    get, path = "/api/consent", tag = "enrollment",
    params(ConsentQuery),
    responses(
        (status = 200, description = "The text and its version", body = ConsentTextView),
        (status = 404, description = "`not_found`: there is no text of this version on record"),
    ),
)]
pub async fn get_consent(
    _: Allowed<Reading>,
    State(data): State<Arc<PersonalData>>,
    Query(query): Query<ConsentQuery>,
) -> Result<axum::Json<ConsentTextView>, Problem> {
    let Some(version) = query.version else {
        return Ok(axum::Json(ConsentTextView::current()));
    };
    let text = data.consent_text(&version).await?;
    let text = text.ok_or_else(|| Problem::not_found("consent text"))?;
    Ok(axum::Json(ConsentTextView { version, text }))
}

/// Enrolls photos of an employee who consented.
///
/// Only faces that were enrolled count towards `ENROLL_LIMIT`, and none while an admin has lifted it.
#[utoipa::path(
    post, path = "/api/enroll", tag = "enrollment",
    request_body(content = EnrollForm, content_type = "multipart/form-data"),
    responses(
        (status = 201, description = "Enrolled", body = EnrollmentView),
        (status = 404, description = "`not_found`: no such employee"),
        (status = 409, description = "`duplicate_person`: the face belongs to `other`"),
        (status = 415, description = "`unsupported_type`"),
        (status = 422, description = "`consent_required`, `no_usable_photo` with `photos`, or `invalid`"),
        (status = 429, description = "`too_many_enrollments`"),
    ),
)]
pub async fn create_enrollment(
    allowed: Allowed<Enrolling>,
    State(state): State<HttpState>,
    State(enrolling): State<Arc<Enrollments>>,
    EnrollUpload { request, _room }: EnrollUpload,
) -> Result<Response, Problem> {
    if request.override_duplicate && !allowed.permits(Permission::Administer) {
        return Err(Problem::new(Code::Forbidden, "only admins may override"));
    }
    // A request without consent is refused before its photos are analyzed.
    let counts = request.consent.is_some() && state.app.enrollment_limit.lift().await?.is_none();
    let limit = match counts {
        false => Vec::new(),
        true => state.enrollments.count(allowed.sender()).await?,
    };
    let enrolled = enrolling.enroll(allowed.reach(), allowed.actor(), request);
    let enrollment = match enrolled.await {
        Ok(enrollment) => enrollment,
        Err(error) => {
            if counts {
                state.enrollments.take_back(allowed.sender()).await;
            }
            return Err(error.into());
        }
    };
    let view = EnrollmentView {
        templates: enrollment.person.templates(),
        employee: EmployeeView::new(&enrollment.person, &*state.app.sites.all().await?),
        photos: photo_views(&enrollment.photos),
    };
    Ok(with_headers(limit, (StatusCode::CREATED, axum::Json(view))))
}

impl From<QueueError> for Problem {
    fn from(error: QueueError) -> Self {
        match error {
            QueueError::Store(error) => error.into(),
            QueueError::Vault(error) => error.into(),
        }
    }
}

/// Queues the enrollment of photos of many people, all of whom consented.
///
/// The people must be in the list of employees; the names of the files say which photo shows whom. A
/// person with an enrolled face is left as they are. The job enrolls one person after the other while
/// no kiosk needs the face engine, and its result lists the photos that were refused. `ENROLL_LIMIT`
/// does not count it. The photos are stored encrypted until the job ends.
#[utoipa::path(
    post, path = "/api/enrollments", tag = "enrollment",
    request_body(content = ManyForm, content_type = "multipart/form-data"),
    responses(
        (status = 202, description = "Queued", body = JobView,
         headers(("Location" = String, description = "The address of the job"))),
        (status = 413, description = "`too_large`: send fewer photos at a time"),
        (status = 415, description = "`unsupported_type`"),
        (status = 422, description = "`consent_required`, or `invalid`"),
        (status = 429, description = "`too_many_jobs`: 20 have not ended yet"),
    ),
)]
pub async fn create_enrollments(
    allowed: Allowed<Enrolling>,
    State(employees): State<Arc<Employees>>,
    State(enrolling): State<Arc<Enrollments>>,
    State(jobs): State<Arc<Jobs>>,
    upload: ManyUpload,
) -> Result<Created<JobView>, Problem> {
    let given = upload.consent.ok_or(EnrollError::NoConsent)?;
    let new = new_enrollment(&employees, &enrolling, given, upload.photos).await?;
    let job = jobs.queue(allowed.actor(), new).await?;
    Ok(queued(&job))
}
