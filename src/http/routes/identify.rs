//! Who is in an image, and is it the claimed person: nothing is recorded.

use std::{collections::HashMap, sync::Arc};

use axum::extract::{Request, State};
use serde::Serialize;
use utoipa::ToSchema;

use super::{enroll::QualityView, number};
use crate::{
    domain::{biometrics::Candidate, employees::Employee, ids::EmployeeId, quality::Flaw},
    http::{
        auth::{Allowed, Identifying as IdentifyPermit},
        problem::{Code, Problem},
        upload::{Shape, Upload},
    },
    ports::FaceBox,
    service::{
        employees::Employees,
        identification::{IdentifiedFace, Identifying, Verification},
        probing::BURST_MOST,
    },
};

/// What `POST /api/identify` takes.
pub const ONE: Shape = Shape {
    images: "image",
    most: 1,
    texts: &[],
    bare: true,
};

/// What `POST /api/verify` takes.
pub const CLAIM: Shape = Shape {
    images: "image",
    most: BURST_MOST,
    texts: &["employee"],
    bare: false,
};

/// Where a face is, pixels of the upright image.
#[derive(Serialize, ToSchema)]
#[schema(title = "Box")]
pub struct BoxView {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

impl From<FaceBox> for BoxView {
    fn from(bounds: FaceBox) -> Self {
        Self {
            x: number(bounds.x),
            y: number(bounds.y),
            width: number(bounds.width),
            height: number(bounds.height),
        }
    }
}

/// Somebody whom a face might be.
#[derive(Serialize, ToSchema)]
#[schema(title = "Candidate")]
pub struct CandidateView {
    /// The employee's id.
    #[schema(format = "uuid")]
    employee: String,
    /// Their name.
    name: Option<String>,
    /// How alike, −1 to 1.
    similarity: f64,
    /// What is needed of this candidate.
    threshold: f64,
}

/// One face.
#[derive(Serialize, ToSchema)]
#[schema(title = "IdentifiedFace")]
pub struct FaceView {
    /// Where.
    r#box: BoxView,
    /// Score of the detector, 0 to 1.
    score: f64,
    /// What was measured.
    quality: QualityView,
    /// `identified` or `nobody`.
    #[schema(example = "identified")]
    decision: &'static str,
    /// Whose face it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    employee: Option<String>,
    /// How alike the best candidate is; null without one.
    similarity: Option<f64>,
    /// What was needed; null without a candidate.
    threshold: Option<f64>,
    /// Lead over the second; null without one.
    margin: Option<f64>,
    /// Best first.
    candidates: Vec<CandidateView>,
    /// Why the face is not good enough to be identified.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// Everybody in an image.
#[derive(Serialize, ToSchema)]
#[schema(title = "Identification")]
pub struct IdentificationView {
    /// Largest first.
    faces: Vec<FaceView>,
    /// The embedding model.
    model: String,
}

/// An image in a form, for the API's description.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the form that Upload reads")]
pub struct ImageForm {
    /// A JPEG, PNG or WebP image, at most 12 MiB.
    #[schema(value_type = String, format = Binary)]
    image: Vec<u8>,
}

/// Who is in an image. No punch is recorded.
#[utoipa::path(
    post, path = "/api/identify", tag = "recognition",
    request_body(content(
        (Vec<u8> = "image/jpeg"), (Vec<u8> = "image/png"), (Vec<u8> = "image/webp"),
        (ImageForm = "multipart/form-data"),
    )),
    responses(
        (status = 200, description = "Every face", body = IdentificationView),
        (status = 413, description = "`too_large`"),
        (status = 415, description = "`unsupported_type`"),
        (status = 422, description = "`bad_image`"),
    ),
    security(("session" = []), ("device" = [])),
)]
pub async fn create_identification(
    _: Allowed<IdentifyPermit>,
    State(identifying): State<Arc<Identifying>>,
    State(employees): State<Arc<Employees>>,
    request: Request,
) -> Result<axum::Json<IdentificationView>, Problem> {
    let mut upload = Upload::read(request, &ONE).await?;
    let sample = upload.images.remove(0);
    let faces = identifying.identify(sample).await?;
    let candidates = faces
        .iter()
        .filter_map(|face| face.identification.as_ref())
        .flat_map(|identification| &identification.candidates);
    let ids: Vec<EmployeeId> = candidates.map(|candidate| candidate.employee).collect();
    let names = names(employees.find_many(&ids).await?);
    let faces = faces.into_iter().map(|face| face_view(face, &names));
    Ok(axum::Json(IdentificationView {
        faces: faces.collect(),
        model: identifying.model().to_string(),
    }))
}

/// Names by identity.
pub fn names(employees: Vec<Employee>) -> HashMap<EmployeeId, String> {
    let named = |employee: Employee| (employee.id, employee.name.into());
    employees.into_iter().map(named).collect()
}

fn face_view(face: IdentifiedFace, names: &HashMap<EmployeeId, String>) -> FaceView {
    let best = face.identification.as_ref().and_then(|found| found.best);
    let identified = face
        .identification
        .as_ref()
        .and_then(|found| found.identified);
    let candidates = face
        .identification
        .iter()
        .flat_map(|found| &found.candidates);
    let candidate = |candidate: &Candidate| CandidateView {
        employee: candidate.employee.to_string(),
        name: names.get(&candidate.employee).cloned(),
        similarity: number(candidate.similarity.value()),
        threshold: number(candidate.threshold.value()),
    };
    FaceView {
        r#box: face.face.bounds.into(),
        score: number(face.face.quality.score),
        quality: face.face.quality.into(),
        decision: if identified.is_some() {
            "identified"
        } else {
            "nobody"
        },
        employee: identified.map(|id| id.to_string()),
        similarity: best.map(|best| number(best.similarity.value())),
        threshold: best.map(|best| number(best.threshold.value())),
        margin: face
            .identification
            .as_ref()
            .and_then(|found| found.margin)
            .map(number),
        candidates: candidates.map(candidate).collect(),
        reason: face.flaw.map(Flaw::reason),
        detail: face.flaw.map(Flaw::detail),
    }
}

/// Whether it is the claimed person.
#[derive(Serialize, ToSchema)]
#[schema(title = "Verification")]
pub struct VerificationView {
    /// The same person.
    r#match: bool,
    /// How alike, −1 to 1.
    similarity: f64,
    /// What was needed.
    threshold: f64,
}

/// The form of a verification, for the API's description.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the form that Upload reads")]
pub struct ClaimForm {
    /// The id of the claimed employee.
    #[schema(format = "uuid")]
    employee: String,
    /// 1 to 5 images of one person.
    #[schema(value_type = Vec<String>, format = Binary)]
    image: Vec<Vec<u8>>,
}

/// Whether one to five images are of the claimed employee. No punch is recorded.
#[utoipa::path(
    post, path = "/api/verify", tag = "recognition",
    request_body(content = ClaimForm, content_type = "multipart/form-data"),
    responses(
        (status = 200, description = "Compared", body = VerificationView),
        (status = 413, description = "`too_large`"),
        (status = 415, description = "`unsupported_type`"),
        (status = 422, description = "`not_enrolled`, `no_usable_face` with `reason`, or `bad_image`"),
    ),
    security(("session" = []), ("device" = [])),
)]
pub async fn create_verification(
    _: Allowed<IdentifyPermit>,
    State(identifying): State<Arc<Identifying>>,
    request: Request,
) -> Result<axum::Json<VerificationView>, Problem> {
    let upload = Upload::read(request, &CLAIM).await?;
    let employee = upload.text("employee").unwrap_or_default().parse();
    let employee =
        employee.map_err(|_| Problem::field("employee", "must be the id of an employee"))?;
    match identifying.verify(employee, upload.images).await? {
        Verification::Compared {
            same,
            similarity,
            threshold,
        } => Ok(axum::Json(VerificationView {
            r#match: same,
            similarity: number(similarity.value()),
            threshold: number(threshold.value()),
        })),
        Verification::Unusable(flaw) => {
            Err(Problem::new(Code::NoUsableFace, flaw.detail()).with("reason", flaw.reason()))
        }
    }
}
