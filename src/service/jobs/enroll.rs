//! The job that enrolls photos of many people, which the limit on enrollments does not concern.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tracing::warn;

use super::{
    handler::{Interruption, JobHandler, JobRun, JobType, NewJob},
    list::code_and_name,
};
use crate::{
    domain::{
        accounts::Actor,
        employees::ConsentGiven,
        grants::Reach,
        ids::EmployeeId,
        jobs::{Ability, JobKind},
        sealed::Sealed,
        text::Code,
    },
    ports::{EngineError, Sample, StoreError},
    service::{
        employees::{EmployeeError, Employees},
        enrollment::{EnrollError, EnrollRequest, Enrollments, PHOTOS_MOST, PhotoFlaw},
        gallery_loader::ReferenceError,
        recognition::RecognitionError,
    },
    vault::VaultError,
};

/// The kind of these jobs.
pub const ENROLL: JobKind = JobKind::new("enroll");

/// The row of the registry.
pub(super) const TYPE: JobType = JobType {
    kind: ENROLL,
    handler: |services| {
        Arc::new(Enroll {
            employees: services.employees.clone(),
            enrollments: services.enrollments.clone(),
        })
    },
    by_name: None,
    result_schema,
};

/// The maximum size of the photos of a job together, in bytes. Sealed and as text they must fit into
/// a document of MongoDB, which has at most 16 MiB.
pub const PHOTO_BYTES_MOST: usize = 10 << 20;

/// The maximum number of refused photos in a result.
const REFUSALS_MOST: usize = 100;

/// A photo with the name of its file.
#[derive(Debug, Clone)]
pub struct PhotoFile {
    /// The name of the file, perhaps with its folder, which says whom it shows; see [`codes`].
    pub name: String,
    /// The photo.
    pub photo: Sample,
}

/// Why no job was made.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Encryption failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// The input of a job.
#[derive(Serialize, Deserialize)]
struct Payload {
    /// How the people consented.
    given: ConsentGiven,
    people: Vec<Waiting>,
    /// The photos that were refused before the job began.
    refused: Vec<RefusedPhoto>,
}

/// A person who waits to be enrolled.
#[derive(Serialize, Deserialize)]
struct Waiting {
    employee: EmployeeId,
    photos: Vec<WaitingPhoto>,
}

/// A sealed photo with the name of its file.
#[derive(Serialize, Deserialize)]
struct WaitingPhoto {
    file: String,
    sealed: Sealed,
}

/// The result so far.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EnrollResult {
    /// How many people were enrolled.
    pub enrolled: u64,
    /// How many people had an enrolled face already; it was not changed.
    pub existing: u64,
    /// How many photos were enrolled.
    pub photos: u64,
    /// How many photos were refused.
    pub refused: u64,
    /// The first 100 refused photos.
    pub refusals: Vec<RefusedPhoto>,
}

/// A refused photo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedPhoto {
    /// The name of the file.
    pub file: String,
    /// The reason.
    pub reason: String,
}

fn result_schema() -> serde_json::Value {
    let number =
        |description| json!({ "type": "integer", "minimum": 0, "description": description });
    json!({
        "type": "object",
        "title": "EnrollResult",
        "description": "The result of an `enroll`.",
        "properties": {
            "enrolled": number("How many people were enrolled"),
            "existing": number("How many people had an enrolled face already; it was not changed"),
            "photos": number("How many photos were enrolled"),
            "refused": number("How many photos were refused"),
            "refusals": {
                "type": "array",
                "description": "The first 100 refused photos",
                "items": {
                    "type": "object",
                    "properties": {
                        "file": { "type": "string", "description": "The name of the file" },
                        "reason": { "type": "string" },
                    },
                    "required": ["file", "reason"],
                },
            },
        },
        "required": ["enrolled", "existing", "photos", "refused", "refusals"],
    })
}

impl EnrollResult {
    fn refuse(&mut self, file: &str, reason: &str) {
        self.refused += 1;
        if self.refusals.len() < REFUSALS_MOST {
            self.refusals.push(RefusedPhoto {
                file: file.to_owned(),
                reason: reason.to_owned(),
            });
        }
    }
}

/// Returns the codes that the name of a file may stand for, the most likely one first.
///
/// A folder names the person, as `E7` or `E7 Ada Lovelace`. Without a folder the file does, and may
/// end with a number: `E7.jpg`, `E7-2.jpg`, `E7 Ada Lovelace.jpg`.
fn codes(file: &str) -> Vec<Code> {
    let mut parts = file.rsplit(['/', '\\']);
    let name = parts.next().unwrap_or_default();
    let texts = match parts.next().filter(|folder| !folder.is_empty()) {
        Some(folder) => vec![folder, code_and_name(folder).0],
        None => {
            let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
            let numbered = stem.trim_end_matches(|c: char| c.is_ascii_digit() || "()".contains(c));
            let unnumbered = numbered.strip_suffix(['-', '_', ' ']).unwrap_or(stem);
            vec![stem, unnumbered, code_and_name(stem).0]
        }
    };
    let texts = texts.into_iter();
    texts.filter_map(|text| Code::parse(text).ok()).collect()
}

/// Makes the job that enrolls photos of people who exist and consented. The photos are sealed until
/// then. A photo of a person who is not found is refused in the result.
pub async fn new_enrollment(
    employees: &Employees,
    enrollments: &Enrollments,
    given: ConsentGiven,
    files: Vec<PhotoFile>,
) -> Result<NewJob, QueueError> {
    let mut payload = Payload {
        given,
        people: Vec::new(),
        refused: Vec::new(),
    };
    for PhotoFile { name, photo } in files {
        let mut found = None;
        for code in codes(&name) {
            found = employees.find_by_code(&code).await?;
            if found.is_some() {
                break;
            }
        }
        let Some(person) = found else {
            let reason = "nobody has this staff number: name the file NUMBER.jpg, or put it in a folder with the number as its name";
            payload.refused.push(RefusedPhoto {
                file: name,
                reason: reason.to_owned(),
            });
            continue;
        };
        let sealed = enrollments.seal_photo(person.id, &photo)?;
        let photo = WaitingPhoto { file: name, sealed };
        let mut people = payload.people.iter_mut();
        match people.find(|waiting| waiting.employee == person.id) {
            Some(waiting) => waiting.photos.push(photo),
            None => payload.people.push(Waiting {
                employee: person.id,
                photos: vec![photo],
            }),
        }
    }
    let total = payload.people.len() as u64;
    let payload = serde_json::to_string(&payload);
    Ok(NewJob {
        kind: ENROLL,
        payload: payload.map_err(|error| StoreError::Corrupt(error.to_string()))?,
        total,
        once: None,
    })
}

/// Returns an error that concerns one employee alone.
///
/// # Errors
/// When the error concerns all of them, so that the job must pause or end.
pub(super) fn concerns_one(
    id: EmployeeId,
    cause: EnrollError,
) -> Result<EnrollError, Interruption> {
    let sealed = |cause: &dyn std::fmt::Display| {
        Interruption::Permanent(format!(
            "could not decrypt the stored faces of employee {id}: {cause}"
        ))
    };
    match cause {
        EnrollError::Store(error)
        | EnrollError::Recognition(
            RecognitionError::Store(error)
            | RecognitionError::Reference(ReferenceError::Store(error)),
        ) => Err(error.into()),
        EnrollError::Recognition(RecognitionError::Engine(EngineError::Stopped)) => {
            Err(Interruption::Stopping)
        }
        EnrollError::Recognition(RecognitionError::Engine(
            error @ (EngineError::Overloaded | EngineError::Failed(_)),
        )) => {
            warn!(employee = %id, cause = %error, "the face engine failed in a job");
            Err(Interruption::Retry(format!(
                "the face engine failed on a photo of employee {id}: see the log"
            )))
        }
        EnrollError::Busy => Err(Interruption::Retry(cause.to_string())),
        EnrollError::Vault(cause) => Err(sealed(&cause)),
        EnrollError::Recognition(RecognitionError::Reference(ReferenceError::Sealed {
            cause,
            ..
        })) => Err(sealed(&cause)),
        EnrollError::NotFound
        | EnrollError::Inactive
        | EnrollError::NoConsent
        | EnrollError::PhotoCount
        | EnrollError::Full
        | EnrollError::NoUsablePhoto(_)
        | EnrollError::Duplicate { .. }
        | EnrollError::Recognition(
            RecognitionError::Engine(EngineError::Sample(_))
            | RecognitionError::NoCalibration
            | RecognitionError::NotEnrolled,
        ) => Ok(cause),
    }
}

/// Runs these jobs.
struct Enroll {
    employees: Arc<Employees>,
    enrollments: Arc<Enrollments>,
}

impl Enroll {
    /// Enrolls one person. An enrolled face stays as it is, so that a step that is repeated, or
    /// photos that are sent again, change nothing.
    async fn enroll(
        &self,
        run: &JobRun<'_>,
        (actor, given): (Actor, ConsentGiven),
        waiting: &Waiting,
        result: &mut EnrollResult,
    ) -> Result<(), Interruption> {
        let id = waiting.employee;
        match self.employees.find(&Reach::Everything, id).await {
            Ok(person) if person.enrolled() => {
                result.existing += 1;
                return Ok(());
            }
            Err(EmployeeError::Store(error)) => return Err(error.into()),
            // The enrollment says why nobody of this ID can be enrolled.
            Ok(_) | Err(_) => {}
        }
        let (used, left) = waiting
            .photos
            .split_at(waiting.photos.len().min(PHOTOS_MOST));
        let open = |photo: &WaitingPhoto| self.enrollments.open_photo(id, &photo.sealed);
        let photos = used.iter().map(open).collect::<Result<_, _>>();
        let photos = photos.map_err(|cause| {
            Interruption::Permanent(format!(
                "could not decrypt the waiting photos: {cause}; send them again"
            ))
        })?;
        let request = EnrollRequest {
            employee: id,
            consent: Some(given),
            photos,
            override_duplicate: false,
        };
        let enrolled = self
            .enrollments
            .enroll_when_idle(actor, request, run.stop())
            .await;
        let (verdicts, reason) = match enrolled {
            Ok(enrollment) => {
                result.enrolled += 1;
                (enrollment.photos, None)
            }
            Err(cause) => match concerns_one(id, cause)? {
                EnrollError::NoUsablePhoto(verdicts) => (verdicts, None),
                EnrollError::Duplicate { other, .. } => {
                    let (name, code) = (&other.name, &other.code);
                    let reason = format!("the face is enrolled for {name} ({code})");
                    (Vec::new(), Some(reason))
                }
                cause => (Vec::new(), Some(cause.to_string())),
            },
        };
        for (index, photo) in used.iter().enumerate() {
            let verdict = verdicts.iter().find(|verdict| verdict.index == index);
            let flaw = verdict.and_then(|verdict| verdict.flaw.as_ref());
            match flaw.map(PhotoFlaw::detail).or_else(|| reason.clone()) {
                Some(reason) => result.refuse(&photo.file, &reason),
                None => result.photos += 1,
            }
        }
        for photo in left {
            let reason = format!("at most {PHOTOS_MOST} photos of a person are enrolled");
            result.refuse(&photo.file, &reason);
        }
        Ok(())
    }
}

#[async_trait]
impl JobHandler for Enroll {
    fn worker(&self) -> &'static str {
        "enroll jobs"
    }

    fn ability(&self) -> Ability {
        Ability {
            kind: ENROLL,
            payload: None,
        }
    }

    async fn run(&self, run: &JobRun<'_>) -> Result<(), Interruption> {
        let job = run.job().await;
        let payload: Payload = serde_json::from_str(&job.payload)
            .map_err(|error| Interruption::Permanent(error.to_string()))?;
        let before = job.result.as_deref();
        let before = before.and_then(|result| serde_json::from_str(result).ok());
        let mut result: EnrollResult = before.unwrap_or_else(|| {
            let mut result = EnrollResult::default();
            for photo in &payload.refused {
                result.refuse(&photo.file, &photo.reason);
            }
            result
        });
        let total = payload.people.len() as u64;
        run.report(job.done, total, &result).await?;
        let by = (job.created_by, payload.given);
        for (number, waiting) in (0..).zip(&payload.people) {
            if number < job.done {
                continue;
            }
            self.enroll(run, by, waiting, &mut result).await?;
            run.report(number + 1, total, &result).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(file: &str) -> Vec<String> {
        codes(file).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_file_or_its_folder_names_the_person() {
        assert_eq!(texts("E7.jpg")[0], "E7");
        assert_eq!(texts("staff/E7/front.jpg"), ["E7", "E7"]);
        assert_eq!(
            texts("staff\\E7 Ada Lovelace\\1.jpg"),
            ["E7 Ada Lovelace", "E7"]
        );
        for file in ["E7-2.jpg", "E7_2.jpeg", "E7 (2).png"] {
            assert!(texts(file).contains(&"E7".to_owned()), "{file}");
        }
        assert_eq!(texts("E7 Ada Lovelace.jpg").last().unwrap(), "E7");
        // The whole name counts before a part of it.
        assert_eq!(texts("12-34.jpg"), ["12-34", "12", "12-34"]);
        assert_eq!(texts(""), [""; 0]);
    }
}
