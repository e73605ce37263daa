//! FacePunches: recognizes the person in samples, then records the punch.

use std::{sync::Arc, time::Instant};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    employees::{Person, find_person},
    pictures::Pictures,
    punch_ledger::{LedgerError, NewPunch, PunchLedger, PunchPoint, Recorded, Replay},
    recognition::{Numbers, Recognition, RecognitionError, Recognized},
    template_growth::TemplateGrowth,
};
use crate::{
    clock::Clock,
    domain::{
        attendance::{Capture, Moment, Origin, Proof, Punch, PunchKind, RequestKey},
        biometrics::{Look, NobodyReason},
        devices::Device,
        quality::Flaw,
        samples::Still,
        text::IdempotencyKey,
    },
    ports::{EngineError, Sample, StoreError},
    repositories::Repositories,
    telemetry,
};

/// Why a punch request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum PunchError {
    /// The person could not be recognized.
    #[error(transparent)]
    Recognition(#[from] RecognitionError),
    /// The punch could not be recorded.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl From<EngineError> for PunchError {
    fn from(error: EngineError) -> Self {
        Self::Recognition(error.into())
    }
}

impl From<StoreError> for PunchError {
    fn from(error: StoreError) -> Self {
        Self::Ledger(error.into())
    }
}

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
        hex::encode(hash.finalize())
    }
}

/// The outcome of a punch with a face.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// A punch was written.
    Punched {
        /// The punch.
        punch: Box<Punch>,
    },
    /// The punch repeats an earlier one within the cooldown.
    Cooldown {
        /// The punch that counts.
        punch: Box<Punch>,
    },
    /// No one who may punch was recognized.
    Nobody {
        /// Why.
        reason: NobodyReason,
        /// Whether it was close, so that another look at different frames may decide it.
        more: bool,
    },
    /// There is no face.
    NoFace,
    /// No frame is good enough.
    PoorQuality {
        /// What is wrong with the face.
        flaw: Flaw,
    },
    /// Not a live person.
    Attack,
}

impl Outcome {
    /// Returns the word in the API.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Punched { .. } => "punched",
            Self::Cooldown { .. } => "cooldown",
            Self::Nobody { .. } => "nobody",
            Self::NoFace => "no_face",
            Self::PoorQuality { .. } => "poor_quality",
            Self::Attack => "attack",
        }
    }

    /// Counts the outcome in the metrics, by device or camera.
    pub fn count(&self, origin: Origin) {
        let (outcome, source) = (self.name(), origin.as_str());
        metrics::counter!("rollcall_punches_total", "outcome" => outcome, "source" => source)
            .increment(1);
    }

    /// Returns the new punch, or the one that counts.
    pub fn punch(&self) -> Option<&Punch> {
        match self {
            Self::Punched { punch } | Self::Cooldown { punch } => Some(punch),
            Self::Nobody { .. } | Self::NoFace | Self::PoorQuality { .. } | Self::Attack => None,
        }
    }
}

/// Returns the outcome for samples from which no probe could be made.
impl From<Flaw> for Outcome {
    fn from(flaw: Flaw) -> Self {
        match flaw {
            Flaw::NoFace => Self::NoFace,
            Flaw::Attack => Self::Attack,
            flaw => Self::PoorQuality { flaw },
        }
    }
}

/// The answer to a punch request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PunchAnswer {
    /// The outcome.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// The numbers of the best candidate, if there is one.
    pub numbers: Option<Numbers>,
    /// Whether this is the first answer to an earlier request with the same key.
    #[serde(skip)]
    pub replayed: bool,
}

impl PunchAnswer {
    fn new(outcome: Outcome, numbers: Option<Numbers>) -> Self {
        Self {
            outcome,
            numbers,
            replayed: false,
        }
    }

    fn recorded(recorded: Recorded, numbers: Option<Numbers>) -> Result<Self, StoreError> {
        match recorded {
            Recorded::Written(punch) => Ok(Self::new(Outcome::Punched { punch }, numbers)),
            Recorded::Cooldown(punch) => Ok(Self::new(Outcome::Cooldown { punch }, numbers)),
            Recorded::Replayed(replay) => Self::replayed(replay),
        }
    }

    /// Returns the answer that the first request got, or would have got.
    fn replayed(replay: Replay) -> Result<Self, StoreError> {
        let answer = match replay {
            Replay::Punch(punch) => {
                let numbers = punch.proof.evidence().map(Numbers::from);
                Self::new(Outcome::Punched { punch }, numbers)
            }
            Replay::Answer(text) => serde_json::from_str(&text)
                .map_err(|error| StoreError::Corrupt(format!("a kept answer: {error}")))?,
        };
        Ok(Self {
            replayed: true,
            ..answer
        })
    }
}

/// A recognized person who may punch.
struct Present {
    person: Person,
    recognized: Recognized,
    numbers: Option<Numbers>,
}

/// The service that records punches of faces.
pub struct FacePunches {
    stores: Repositories,
    recognition: Arc<Recognition>,
    ledger: Arc<PunchLedger>,
    pictures: Arc<Pictures>,
    growth: Arc<TemplateGrowth>,
    clock: Arc<dyn Clock>,
}

impl FacePunches {
    /// Creates the service.
    pub fn new(
        stores: Repositories,
        recognition: Arc<Recognition>,
        ledger: Arc<PunchLedger>,
        pictures: Arc<Pictures>,
        growth: Arc<TemplateGrowth>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            stores,
            recognition,
            ledger,
            pictures,
            growth,
            clock,
        }
    }

    /// Punches for the person in the samples of a device. The time of the punch is that of this
    /// call, or within bounds that of an offline capture.
    pub async fn punch(
        &self,
        device: &Device,
        request: PunchRequest,
    ) -> Result<PunchAnswer, PunchError> {
        let now = self.clock.now();
        let point = PunchPoint::from(device);
        let key = request.key.clone().map(|key| RequestKey {
            key,
            fingerprint: request.fingerprint(),
        });
        if let Some(key) = &key
            && let Some(replay) = self.ledger.replay(point.origin, key).await?
        {
            return Ok(PunchAnswer::replayed(replay)?);
        }
        let (kind, capture, look) = (request.kind, request.capture, request.look);
        let present = self.recognize(&point, now, request.samples, look).await?;
        let answer = match present {
            Ok(present) => {
                let start = Instant::now();
                let moment = self.ledger.moment(point.origin, now, capture).await?;
                let answer = self
                    .record(&point, present, moment, kind, key.as_ref())
                    .await?;
                telemetry::stage("write", start.elapsed());
                answer
            }
            Err(answer) => answer,
        };
        match key {
            Some(key) if !matches!(answer.outcome, Outcome::Punched { .. }) => {
                self.keep(point.origin, key, answer, now).await
            }
            _ => Ok(answer),
        }
    }

    /// Records a punch of a person whom a camera recognized. `at` is the server's time, which is
    /// in the past if the store was unavailable. Returns [`Outcome::Nobody`] if the person is no
    /// longer in the store or may not punch.
    pub async fn record_recognized(
        &self,
        point: &PunchPoint,
        recognized: Recognized,
        at: Timestamp,
        kind: Option<PunchKind>,
    ) -> Result<Outcome, PunchError> {
        let Some(present) = self.present(recognized, None).await? else {
            return Ok(Outcome::Nobody {
                reason: NobodyReason::Unknown,
                more: false,
            });
        };
        let moment = Moment::of(at, None, None);
        let answer = self.record(point, present, moment, kind, None).await?;
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
        now: Timestamp,
        samples: Vec<Sample>,
        look: Look,
    ) -> Result<Result<Present, PunchAnswer>, PunchError> {
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
            Ok(recognized) => {
                let present = self.present(recognized, numbers).await?;
                Ok(present.ok_or_else(|| nobody(NobodyReason::Unknown)))
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
    async fn present(
        &self,
        recognized: Recognized,
        numbers: Option<Numbers>,
    ) -> Result<Option<Present>, StoreError> {
        let found = find_person(&self.stores, recognized.employee).await?;
        Ok(found.filter(Person::recognizable).map(|person| Present {
            person,
            recognized,
            numbers,
        }))
    }

    async fn record(
        &self,
        point: &PunchPoint,
        present: Present,
        moment: Moment,
        kind: Option<PunchKind>,
        request: Option<&RequestKey>,
    ) -> Result<PunchAnswer, PunchError> {
        let Present {
            person,
            recognized,
            numbers,
        } = present;
        let new = NewPunch {
            employee: &person.employee,
            point,
            proof: Proof::Face(recognized.evidence),
            moment,
            kind,
            request,
        };
        let still = recognized.still.clone();
        let keep_picture = |punch: &Punch| self.pictures.punched(punch, &person, still);
        let recorded = self.ledger.record(new, keep_picture).await?;
        if let Recorded::Written(punch) = &recorded {
            self.growth.offer(punch, &person, recognized.still).await;
        }
        Ok(PunchAnswer::recorded(recorded, numbers)?)
    }

    /// Keeps an answer that wrote no punch. Of two at once, the first one counts.
    async fn keep(
        &self,
        origin: Origin,
        request: RequestKey,
        answer: PunchAnswer,
        at: Timestamp,
    ) -> Result<PunchAnswer, PunchError> {
        let text = serde_json::to_string(&answer)
            .map_err(|error| StoreError::Corrupt(format!("an answer to keep: {error}")))?;
        match self.ledger.keep(origin, request, text, at).await? {
            Some(first) => Ok(PunchAnswer::replayed(first)?),
            None => Ok(answer),
        }
    }
}
