//! Punches with a PIN or a badge, or with a PIN and the face.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::{
    employees::{Person, find_person},
    face_punches::digests,
    punch_answers::{Asked, Established, Outcome, PunchAnswer, PunchAnswers, PunchError},
    punch_credentials::{CheckError, PinCheck, PunchCredentials},
    punch_ledger::PunchPoint,
    recognition::Recognition,
    sites::Sites,
    tokens,
};
use crate::{
    domain::{
        attendance::{Capture, Evidence, Proof, PunchKind, RequestKey},
        biometrics::Look,
        devices::Device,
        ids::PunchId,
        punch_credentials::BadgeCode,
        text::{Code, IdempotencyKey},
    },
    ports::{Sample, StoreError},
    repositories::Repositories,
};

impl From<CheckError> for PunchError {
    fn from(error: CheckError) -> Self {
        match error {
            CheckError::Hashing(error) => error.into(),
            CheckError::Store(error) => error.into(),
        }
    }
}

/// What a person punches with.
#[derive(Debug, Clone)]
pub enum Credential {
    /// The staff number says who, the PIN proves it.
    Pin {
        /// The staff number: the code of the employee.
        code: Code,
        /// The PIN.
        pin: SecretString,
        /// Frames of the person, if the site wants the face as well.
        samples: Vec<Sample>,
        /// The number of the look at this person.
        look: Look,
    },
    /// The code of a badge, as the scanner sent it.
    Badge(SecretString),
}

/// A request to punch with a PIN or a badge.
#[derive(Debug, Clone)]
pub struct CredentialRequest {
    /// What the person punches with.
    pub credential: Credential,
    /// The wanted kind; `None` for what follows the last punch.
    pub kind: Option<PunchKind>,
    /// What the device says about when it happened, if it was offline.
    pub capture: Option<Capture>,
    /// The client's key, so that a retry gets the first answer.
    pub key: Option<IdempotencyKey>,
    /// The punch of another person that this one takes the place of.
    pub instead_of: Option<PunchId>,
}

impl CredentialRequest {
    /// Returns the SHA-256 of all relevant parts of the request. A PIN is not one of them: the
    /// fingerprint is stored, and would tell a thief of the store which of a million it is.
    fn fingerprint(&self) -> String {
        let kind = self.kind.map_or("auto", PunchKind::as_str);
        // A retry is sent at another time, but captured at the same one.
        let captured_at = self.capture.map(|capture| capture.at.to_string());
        let captured_at = captured_at.unwrap_or_default();
        let instead_of = self.instead_of.map(|id| id.to_string()).unwrap_or_default();
        let mut hash = Sha256::new();
        match &self.credential {
            Credential::Pin {
                code,
                samples,
                look,
                ..
            } => {
                hash.update(format!("pin|{}|{}|", code.key(), look.number()));
                for sample in samples {
                    hash.update((sample.bytes().len() as u64).to_be_bytes());
                    hash.update(sample.bytes());
                }
            }
            Credential::Badge(code) => {
                hash.update("badge|");
                hash.update(tokens::hash(code.expose_secret()).0);
            }
        }
        hash.update(format!("|{kind}|{captured_at}|{instead_of}"));
        hex::encode(hash.finalize())
    }
}

/// A refused PIN is answered after a multiple of this time. It covers what differs between a number
/// that nobody has and a wrong PIN: one write of the store.
const REFUSAL: Duration = Duration::from_millis(400);

/// The service that records punches with PINs and badges.
pub struct CredentialPunches {
    stores: Repositories,
    credentials: Arc<PunchCredentials>,
    recognition: Arc<Recognition>,
    answers: Arc<PunchAnswers>,
    sites: Arc<Sites>,
}

impl CredentialPunches {
    /// Creates the service.
    pub fn new(
        stores: Repositories,
        credentials: Arc<PunchCredentials>,
        recognition: Arc<Recognition>,
        answers: Arc<PunchAnswers>,
        sites: Arc<Sites>,
    ) -> Self {
        Self {
            stores,
            credentials,
            recognition,
            answers,
            sites,
        }
    }

    /// Punches for the person with a PIN or a badge at a device, by the rules for punches of faces.
    pub async fn punch(
        &self,
        device: &Device,
        request: CredentialRequest,
    ) -> Result<PunchAnswer, PunchError> {
        let point = PunchPoint::from(device);
        let key = request.key.clone().map(|key| RequestKey {
            key,
            fingerprint: request.fingerprint(),
        });
        let asked = Asked {
            kind: request.kind,
            capture: request.capture,
            key,
            instead_of: request.instead_of,
        };
        let credential = request.credential;
        let establish = async {
            match credential {
                Credential::Pin {
                    code,
                    pin,
                    samples,
                    look,
                } => {
                    let person = match self.by_pin(device, &code, pin).await? {
                        Ok(person) => person,
                        Err(outcome) => return Ok(Err(PunchAnswer::new(outcome, None))),
                    };
                    self.with_face(&point, person, samples, look).await
                }
                Credential::Badge(code) => self.by_badge(&point, &code).await,
            }
        };
        self.answers.answer(&point, asked, establish).await
    }

    /// Finds the person with a staff number and PIN, or says why not.
    async fn by_pin(
        &self,
        device: &Device,
        code: &Code,
        pin: SecretString,
    ) -> Result<Result<Person, Outcome>, PunchError> {
        let admitted = self.credentials.admit_pin(device).await;
        admitted.map_err(|reset| PunchError::TooManyPins { reset })?;
        let begin = Instant::now();
        let refused = match self.credentials.check_pin(device, code, pin).await? {
            PinCheck::Right(employee) => match find_person(&self.stores, employee.id).await? {
                Some(person) => return Ok(Ok(person)),
                None => Outcome::WrongPin,
            },
            PinCheck::Wrong => Outcome::WrongPin,
            PinCheck::Locked => Outcome::PinLocked,
        };
        let elapsed = begin.elapsed();
        let steps = elapsed.div_duration_f64(REFUSAL).ceil();
        tokio::time::sleep(REFUSAL.mul_f64(steps).saturating_sub(elapsed)).await;
        Ok(Err(refused))
    }

    /// Compares the face of a person whose PIN was right, if there are frames and an enrolled face.
    /// A person without an enrolled face punches with the PIN alone at any site, so that consent
    /// stays free.
    async fn with_face(
        &self,
        point: &PunchPoint,
        person: Person,
        samples: Vec<Sample>,
        look: Look,
    ) -> Result<Result<Established, PunchAnswer>, PunchError> {
        let alone = |person| Established {
            person,
            proof: Proof::Pin,
            still: None,
            numbers: None,
        };
        if !person.enrolled() {
            return Ok(Ok(alone(person)));
        }
        if samples.is_empty() {
            return Ok(match self.sites.of(point.site).await?.face_and_pin {
                true => Err(PunchAnswer::new(Outcome::FaceNeeded, None)),
                false => Ok(alone(person)),
            });
        }
        let (recognition, pictures) = (&self.recognition, digests(&samples));
        let recognized = recognition.recognize_claimed(person.id, samples, look, point.origin);
        let verdict = match recognized.await? {
            Ok(verdict) => verdict,
            Err(flaw) => return Ok(Err(PunchAnswer::new(flaw.into(), None))),
        };
        let (numbers, more) = (verdict.numbers, verdict.more);
        Ok(match verdict.recognized {
            Ok(recognized) => Ok(Established {
                person,
                proof: Proof::FaceAndPin(Evidence {
                    pictures,
                    ..recognized.evidence
                }),
                still: recognized.still,
                numbers,
            }),
            Err(reason) => Err(PunchAnswer::new(Outcome::Nobody { reason, more }, numbers)),
        })
    }

    /// Finds the person with a badge. Where a face alone is not enough, neither is a badge.
    async fn by_badge(
        &self,
        point: &PunchPoint,
        code: &SecretString,
    ) -> Result<Result<Established, PunchAnswer>, PunchError> {
        let person = match BadgeCode::parse(code.expose_secret()) {
            Some(code) => self.holder(&code).await?,
            None => None,
        };
        let Some(person) = person else {
            return Ok(Err(PunchAnswer::new(Outcome::UnknownBadge, None)));
        };
        if person.enrolled() && self.sites.of(point.site).await?.face_and_pin {
            return Ok(Err(PunchAnswer::new(Outcome::PinNeeded, None)));
        }
        Ok(Ok(Established {
            person,
            proof: Proof::Badge,
            still: None,
            numbers: None,
        }))
    }

    async fn holder(&self, code: &BadgeCode) -> Result<Option<Person>, StoreError> {
        match self.credentials.find_by_badge(code).await? {
            Some(employee) => find_person(&self.stores, employee.id).await,
            None => Ok(None),
        }
    }
}
