//! FacePunches: recognizes the person in samples, then records the punch.

use std::sync::Arc;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

pub use super::punch_answers::{Outcome, PunchAnswer, PunchError};
use super::{
    employees::{Person, find_person},
    pictures::Pictures,
    punch_answers::{Asked, Established, PunchAnswers},
    punch_ledger::PunchPoint,
    recognition::{Numbers, Recognition, Recognized},
    sites::Sites,
};
use crate::{
    clock::Clock,
    domain::{
        attendance::{Capture, Moment, Proof, PunchKind, RequestKey},
        biometrics::{Look, NobodyReason},
        devices::Device,
        ids::PunchId,
        samples::Still,
        text::IdempotencyKey,
    },
    ports::{Sample, StoreError},
    repositories::Repositories,
};

/// A request to punch with a face.
#[derive(Debug, Clone)]
pub struct PunchRequest {
    /// 1 to 5 frames of one person.
    pub samples: Vec<Sample>,
    /// The wanted kind; `None` for what follows the last punch.
    pub kind: Option<PunchKind>,
    /// What the device says about when it captured it, if it was offline.
    pub capture: Option<Capture>,
    /// The client's key, so that a retry gets the first answer.
    pub key: Option<IdempotencyKey>,
    /// The number of the look at this person.
    pub look: Look,
    /// The punch of another person that this one takes the place of.
    pub instead_of: Option<PunchId>,
}

impl PunchRequest {
    /// Returns the SHA-256 of all relevant parts of the request.
    fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        for sample in &self.samples {
            hash.update((sample.bytes().len() as u64).to_be_bytes());
            hash.update(sample.bytes());
        }
        let kind = self.kind.map_or("auto", PunchKind::as_str);
        // A retry is sent at another time, but captured at the same one.
        let captured_at = self.capture.map(|capture| capture.at.to_string());
        let captured_at = captured_at.unwrap_or_default();
        hash.update(format!("{kind}|{captured_at}|{}", self.look.number()));
        if let Some(id) = self.instead_of {
            hash.update(format!("|{id}"));
        }
        hex::encode(hash.finalize())
    }
}

/// Returns the first 128 bits of the SHA-256 of each picture, in hexadecimal.
pub(super) fn digests(samples: &[Sample]) -> Vec<String> {
    let digest = |sample: &Sample| hex::encode(&Sha256::digest(sample.bytes())[..16]);
    samples.iter().map(digest).collect()
}

/// The service that records punches of faces.
#[derive(derive_new::new)]
pub struct FacePunches {
    stores: Repositories,
    recognition: Arc<Recognition>,
    answers: Arc<PunchAnswers>,
    sites: Arc<Sites>,
    pictures: Arc<Pictures>,
    clock: Arc<dyn Clock>,
}

impl FacePunches {
    /// Punches for the person in the samples of a device. The time of the punch is that of this
    /// call, or within bounds that of an offline capture. At a site that wants a PIN as well, nobody
    /// is recognized.
    pub async fn punch(
        &self,
        device: &Device,
        request: PunchRequest,
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
        let establish = async {
            if self.sites.of(point.site).await?.face_and_pin {
                return Ok(Err(PunchAnswer::new(Outcome::PinNeeded, None)));
            }
            self.recognize(&point, request.samples, request.look).await
        };
        self.answers.answer(&point, asked, establish).await
    }

    /// Records a punch of a person whom a camera recognized. `at` is the server's time, which is
    /// in the past if the store was unavailable. Returns [`Outcome::Nobody`] if the person is no
    /// longer in the store or may not punch, and [`Outcome::PinNeeded`] if the site wants a PIN.
    pub async fn record_recognized(
        &self,
        point: &PunchPoint,
        recognized: Recognized,
        at: Timestamp,
        kind: Option<PunchKind>,
    ) -> Result<Outcome, PunchError> {
        if self.sites.of(point.site).await?.face_and_pin {
            return Ok(Outcome::PinNeeded);
        }
        let Some(established) = self.established(recognized, None).await? else {
            return Ok(Outcome::Nobody {
                reason: NobodyReason::Unknown,
                more: false,
            });
        };
        let moment = Moment::of(at, None, None);
        let answers = &self.answers;
        let answer = answers
            .record(point, established, moment, kind, None)
            .await?;
        answer.outcome.count(point.origin);
        Ok(answer.outcome)
    }

    /// Requests a picture of a face that was not recognized, if the site keeps them.
    pub fn keep_unknown(&self, point: &PunchPoint, at: Timestamp, still: Option<Still>) {
        self.pictures.unknown(point.origin, point.site, at, still);
    }

    /// Recognizes the person in samples. If no one who may punch is recognized, returns the answer.
    async fn recognize(
        &self,
        point: &PunchPoint,
        samples: Vec<Sample>,
        look: Look,
    ) -> Result<Result<Established, PunchAnswer>, PunchError> {
        let now = self.clock.now();
        let digests = digests(&samples);
        let recognized = self
            .recognition
            .recognize_frames(samples, look, point.origin);
        let (ready, verdict) = match recognized.await? {
            Ok(recognized) => recognized,
            Err(flaw) => return Ok(Err(PunchAnswer::new(flaw.into(), None))),
        };
        let (numbers, more) = (verdict.numbers, verdict.more);
        let nobody = |reason| PunchAnswer::new(Outcome::Nobody { reason, more }, numbers);
        match verdict.recognized {
            Ok(mut recognized) => {
                recognized.evidence.digests = digests;
                let established = self.established(recognized, numbers).await?;
                Ok(established.ok_or_else(|| nobody(NobodyReason::Unknown)))
            }
            Err(reason) => {
                if !more {
                    self.keep_unknown(point, now, ready.still);
                }
                Ok(Err(nobody(reason)))
            }
        }
    }

    /// Finds a recognized person in the store; `None` if they may not punch. The gallery of this
    /// instance can lag behind the store for a moment.
    async fn established(
        &self,
        recognized: Recognized,
        numbers: Option<Numbers>,
    ) -> Result<Option<Established>, StoreError> {
        let found = find_person(&self.stores, recognized.employee).await?;
        Ok(found
            .filter(Person::recognizable)
            .map(|person| Established {
                person,
                proof: Proof::Face(recognized.evidence),
                still: recognized.still,
                numbers,
            }))
    }
}
