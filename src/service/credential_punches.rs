//! Punches with a PIN or a badge, alone or together with the face.

use std::sync::Arc;

use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};

use super::{
    employees::Person,
    face_punches::digests,
    punch_answers::{Asked, Established, Outcome, PunchAnswer, PunchAnswers, PunchError},
    punch_credentials::{CheckError, PersonCredential, PunchCredentials, Unproven},
    punch_ledger::PunchPoint,
    recognition::Recognition,
    sites::Sites,
    tokens,
};
use crate::{
    clock::Clock,
    domain::{
        attendance::{Capture, Evidence, Proof, PunchKind, RequestKey},
        biometrics::Look,
        devices::Device,
        ids::PunchId,
        text::IdempotencyKey,
    },
    ports::Sample,
};

impl From<CheckError> for PunchError {
    fn from(error: CheckError) -> Self {
        match error {
            CheckError::TooMany { reset } => Self::TooManyPins { reset },
            CheckError::Hashing(error) => error.into(),
            CheckError::Store(error) => error.into(),
        }
    }
}

impl From<Unproven> for Outcome {
    fn from(unproven: Unproven) -> Self {
        match unproven {
            Unproven::WrongPin => Self::WrongPin,
            Unproven::PinLocked => Self::PinLocked,
            Unproven::UnknownBadge => Self::UnknownBadge,
        }
    }
}

/// A request to punch with a PIN or a badge.
#[derive(Debug, Clone)]
pub struct CredentialRequest {
    /// What the person punches with.
    pub credential: PersonCredential,
    /// Frames of the person, if the site wants the face as well.
    pub samples: Vec<Sample>,
    /// The number of the look at this person.
    pub look: Look,
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
            PersonCredential::Pin { code, .. } => hash.update(format!("pin|{}|", code.key())),
            PersonCredential::Badge(code) => {
                hash.update("badge|");
                hash.update(tokens::hash(code.expose_secret()).0);
            }
        }
        hash.update(format!("{}|", self.look.number()));
        for sample in &self.samples {
            hash.update((sample.bytes().len() as u64).to_be_bytes());
            hash.update(sample.bytes());
        }
        hash.update(format!("|{kind}|{captured_at}|{instead_of}"));
        hex::encode(hash.finalize())
    }
}

/// The service that records punches with PINs and badges.
#[derive(derive_new::new)]
pub struct CredentialPunches {
    credentials: Arc<PunchCredentials>,
    recognition: Arc<Recognition>,
    answers: Arc<PunchAnswers>,
    sites: Arc<Sites>,
    clock: Arc<dyn Clock>,
}

impl CredentialPunches {
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
        let (samples, look) = (request.samples, request.look);
        let captured = asked
            .capture
            .map(|capture| capture.by_server(self.clock.now()));
        let establish = async {
            let proof = match &request.credential {
                PersonCredential::Pin { .. } => Proof::Pin,
                PersonCredential::Badge(_) => Proof::Badge,
            };
            let credentials = &self.credentials;
            let proven = credentials.prove(device, request.credential, captured);
            match proven.await? {
                Ok(person) => self.with_face(&point, person, proof, samples, look).await,
                Err(unproven) => Ok(Err(PunchAnswer::new(unproven.into(), None))),
            }
        };
        self.answers.answer(&point, asked, establish).await
    }

    /// Compares the face of a person whose PIN or badge was right, if there are frames and an
    /// enrolled face. A person without an enrolled face punches with the PIN or badge alone at any
    /// site, so that consent stays free.
    async fn with_face(
        &self,
        point: &PunchPoint,
        person: Person,
        proof: Proof,
        samples: Vec<Sample>,
        look: Look,
    ) -> Result<Result<Established, PunchAnswer>, PunchError> {
        let needed = person.enrolled()
            && samples.is_empty()
            && self.sites.of(point.site).await?.face_and_pin;
        if needed {
            return Ok(Err(PunchAnswer::new(Outcome::FaceNeeded, None)));
        }
        if samples.is_empty() || !person.enrolled() {
            return Ok(Ok(Established {
                person,
                proof,
                still: None,
                numbers: None,
            }));
        }
        let (recognition, digests) = (&self.recognition, digests(&samples));
        let recognized = recognition.recognize_claimed(person.id, samples, look, point.origin);
        let verdict = match recognized.await? {
            Ok(verdict) => verdict,
            Err(flaw) => return Ok(Err(PunchAnswer::new(flaw.into(), None))),
        };
        let (numbers, more) = (verdict.numbers, verdict.more);
        Ok(match verdict.recognized {
            Ok(recognized) => Ok(Established {
                person,
                proof: proof.with_face(Evidence {
                    digests,
                    ..recognized.evidence
                }),
                still: recognized.still,
                numbers,
            }),
            Err(reason) => Err(PunchAnswer::new(Outcome::Nobody { reason, more }, numbers)),
        })
    }
}
