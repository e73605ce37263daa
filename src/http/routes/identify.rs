//! Identification and verification of faces. Nothing is recorded.

use std::{collections::HashMap, sync::Arc};

use axum::extract::{Request, State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    domain::{
        attendance::Origin,
        biometrics::{Candidate, NobodyReason},
        employees::Employee,
        ids::EmployeeId,
        quality::Flaw,
    },
    http::{
        auth::{Allowed, Identifying},
        field_error::FieldError,
        problem::{Code, Problem},
        upload::{Shape, Upload},
        views::{
            faces::{BoxView, QualityView},
            number,
        },
    },
    service::{
        employees::Employees,
        probe_builder::BURST_MOST,
        recognition::{IdentifiedFace, Recognition, RecognitionError, Verification},
    },
};

impl From<RecognitionError> for Problem {
    fn from(error: RecognitionError) -> Self {
        match error {
            RecognitionError::Engine(error) => error.into(),
            RecognitionError::NoCalibration => Self::new(Code::NotReady, error.to_string()),
            RecognitionError::NotEnrolled => Self::new(Code::NotEnrolled, error.to_string()),
            RecognitionError::Reference(error) => error.into(),
            RecognitionError::Store(error) => error.into(),
        }
    }
}

/// The upload of `POST /api/identify`.
pub const ONE: Shape = Shape {
    images: "image",
    least: 1,
    most: 1,
    bytes: usize::MAX,
    texts: &[],
    bare: true,
};

/// The upload of `POST /api/verify`.
pub const CLAIM: Shape = Shape {
    images: "image",
    least: 1,
    most: BURST_MOST,
    bytes: usize::MAX,
    texts: &["employee"],
    bare: false,
};

/// A candidate for the person of a face.
#[derive(Serialize, ToSchema)]
#[schema(title = "Candidate")]
pub struct CandidateView {
    /// The ID of the employee.
    #[schema(format = "uuid")]
    employee: String,
    /// The name of the employee.
    name: Option<String>,
    /// The similarity, −1 to 1.
    similarity: f64,
    /// The similarity that this candidate needs.
    threshold: f64,
}

/// A face in the image.
#[derive(Serialize, ToSchema)]
#[schema(title = "IdentifiedFace")]
pub struct FaceView {
    /// The box of the face.
    r#box: BoxView,
    /// The score of the detector, 0 to 1.
    score: f64,
    /// The measurements.
    quality: QualityView,
    /// `identified` or `nobody`.
    #[schema(example = "identified")]
    decision: &'static str,
    /// The ID of the identified employee.
    #[serde(skip_serializing_if = "Option::is_none")]
    employee: Option<String>,
    /// The similarity of the best candidate; null without one, and for a device that identifies
    /// nobody.
    similarity: Option<f64>,
    /// The similarity that was needed; null as `similarity`.
    threshold: Option<f64>,
    /// The lead over the second candidate; null without one, and for devices.
    margin: Option<f64>,
    /// The candidates, best first; for devices only the identified employee.
    candidates: Vec<CandidateView>,
    /// Why the decision is `nobody`: `unknown`, `margin` or `look_alike`; or why the face is not
    /// good enough to be identified.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "unknown")]
    reason: Option<&'static str>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

impl FaceView {
    /// Leaves out what devices do not need.
    fn for_device(mut self) -> Self {
        self.margin = None;
        self.candidates
            .retain(|candidate| Some(&candidate.employee) == self.employee.as_ref());
        if self.employee.is_none() {
            (self.similarity, self.threshold) = (None, None);
        }
        self
    }
}

/// The faces in an image.
#[derive(Serialize, ToSchema)]
#[schema(title = "Identification")]
pub struct IdentificationView {
    /// The faces, largest first.
    faces: Vec<FaceView>,
    /// The embedding model.
    model: String,
}

/// An image in a form, for the description of the API.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the form that Upload reads")]
pub struct ImageForm {
    /// A JPEG, PNG or WebP image, at most 12 MiB.
    #[schema(value_type = String, format = Binary)]
    image: Vec<u8>,
}

/// Identifies the faces in an image. No punch is recorded.
///
/// If an account may identify only the people of some sites, only these people are candidates. The
/// faces of all others get the decision `nobody`. A device learns only who was identified, so that a
/// thief of its token can neither list people nor improve a picture by its similarity.
#[utoipa::path(
    post, path = "/api/identify", tag = "recognition",
    request_body(content(
        (Vec<u8> = "image/jpeg"), (Vec<u8> = "image/png"), (Vec<u8> = "image/webp"),
        (ImageForm = "multipart/form-data"),
    )),
    responses(
        (status = 200, description = "All faces", body = IdentificationView),
        (status = 415, description = "`unsupported_type`"),
        (status = 422, description = "`bad_image`"),
    ),
    security(("session" = []), ("device" = [])),
)]
pub async fn create_identification(
    allowed: Allowed<Identifying>,
    State(recognition): State<Arc<Recognition>>,
    State(employees): State<Arc<Employees>>,
    request: Request,
) -> Result<axum::Json<IdentificationView>, Problem> {
    let mut upload = Upload::read(request, &ONE).await?;
    let sample = upload.images.remove(0);
    let faces = recognition.identify(sample, allowed.sender()).await?;
    let candidates = faces
        .iter()
        .filter_map(|face| face.identification.as_ref())
        .flat_map(|identification| &identification.candidates);
    let ids: Vec<EmployeeId> = candidates.map(|candidate| candidate.employee).collect();
    let found = employees.find_many(&ids).await?.into_iter();
    let covered = found.filter(|employee| allowed.reach().covers(employee));
    let names = names(covered.collect());
    let view = |face| {
        let view = face_view(face, &names);
        match allowed.sender() {
            Origin::Device(_) => view.for_device(),
            Origin::Account(_) | Origin::Camera(_) => view,
        }
    };
    let faces: Vec<_> = faces.into_iter().map(view).collect();
    let found = faces.iter().filter_map(|face| face.employee.as_deref());
    let found = format!(
        "faces: {}; {}",
        faces.len(),
        found.collect::<Vec<_>>().join(" ")
    );
    recognition
        .record_search(allowed.actor(), "face.identify", "faces", found)
        .await?;
    Ok(axum::Json(IdentificationView {
        faces,
        model: recognition.model().to_string(),
    }))
}

fn names(employees: Vec<Employee>) -> HashMap<EmployeeId, String> {
    let named = |employee: Employee| (employee.id, employee.settings.name.into());
    employees.into_iter().map(named).collect()
}

/// Returns the view of a face for a caller who may know only the people in `names`.
fn face_view(mut face: IdentifiedFace, names: &HashMap<EmployeeId, String>) -> FaceView {
    let known = |id: EmployeeId| names.contains_key(&id);
    face.identification = face.identification.map(|found| found.among(known));
    let found = face.identification.as_ref();
    let best = found.and_then(|found| found.best);
    let identified = found.and_then(|found| found.identified.ok());
    let nobody = found.and_then(|found| found.identified.err());
    let candidates = found.into_iter().flat_map(|found| &found.candidates);
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
        margin: found.and_then(|found| found.margin).map(number),
        candidates: candidates.map(candidate).collect(),
        reason: face
            .flaw
            .map(Flaw::reason)
            .or(nobody.map(NobodyReason::as_str)),
        detail: face
            .flaw
            .map(Flaw::detail)
            .or(nobody.and_then(NobodyReason::detail).map(str::to_owned)),
    }
}

/// The result of a verification.
#[derive(Serialize, ToSchema)]
#[schema(title = "Verification")]
pub struct VerificationView {
    /// Whether the images show the claimed employee.
    r#match: bool,
    /// The similarity, −1 to 1; null for a device if it is no match.
    similarity: Option<f64>,
    /// The similarity that was needed.
    threshold: f64,
}

/// The form of a verification, for the description of the API.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the form that Upload reads")]
pub struct ClaimForm {
    /// The ID of the claimed employee.
    #[schema(format = "uuid")]
    employee: String,
    /// 1 to 5 images of one person.
    #[schema(value_type = Vec<String>, format = Binary)]
    image: Vec<Vec<u8>>,
}

/// Checks whether one to five images show the claimed employee. No punch is recorded.
#[utoipa::path(
    post, path = "/api/verify", tag = "recognition",
    request_body(content = ClaimForm, content_type = "multipart/form-data"),
    responses(
        (status = 200, description = "Compared", body = VerificationView),
        (status = 415, description = "`unsupported_type`"),
        (status = 422, description = "`not_enrolled`, `no_usable_face` with `reason`, or `bad_image`"),
    ),
    security(("session" = []), ("device" = [])),
)]
pub async fn create_verification(
    allowed: Allowed<Identifying>,
    State(recognition): State<Arc<Recognition>>,
    State(employees): State<Arc<Employees>>,
    request: Request,
) -> Result<axum::Json<VerificationView>, Problem> {
    let upload = Upload::read(request, &CLAIM).await?;
    let employee = upload.text("employee").unwrap_or_default().parse();
    let employee = employee.map_err(|_| Problem::field("employee", FieldError::NotAnId))?;
    let claimed = employees.find_many(&[employee]).await?.pop();
    if allowed.reach().admit(claimed).is_none() {
        return Err(RecognitionError::NotEnrolled.into());
    }
    let sender = allowed.sender();
    match recognition.verify(employee, upload.images, sender).await? {
        Verification::Compared {
            same,
            similarity,
            threshold,
        } => {
            let result = if same { "match" } else { "no match" };
            recognition
                .record_search(allowed.actor(), "face.verify", employee, result.to_owned())
                .await?;
            let shown = same || !matches!(sender, Origin::Device(_));
            Ok(axum::Json(VerificationView {
                r#match: same,
                similarity: shown.then(|| number(similarity.value())),
                threshold: number(threshold.value()),
            }))
        }
        Verification::Unusable(flaw) => {
            Err(Problem::new(Code::NoUsableFace, flaw.detail()).with("reason", flaw.reason()))
        }
    }
}
