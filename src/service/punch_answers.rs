//! Answers to requests to punch: exactly one punch and one answer for each request, however the person
//! is established.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    employees::Person,
    mistaken_punches::MistakenPunches,
    passwords::HashError,
    pictures::Pictures,
    punch_ledger::{LedgerError, NewPunch, PunchLedger, PunchPoint, Recorded, Replay},
    recognition::{Numbers, RecognitionError},
    template_growth::TemplateGrowth,
};
use crate::{
    clock::Clock,
    domain::{
        attendance::{Capture, Moment, Origin, Proof, Punch, PunchKind, RequestKey},
        biometrics::NobodyReason,
        ids::PunchId,
        quality::Flaw,
        samples::Still,
    },
    ports::{EngineError, Quota, RateLimits, StoreError},
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
    /// The device sent too many PINs, or too many wrong ones.
    #[error("this device sent too many PINs")]
    TooManyPins {
        /// Time until another one is allowed.
        reset: Duration,
    },
    /// A secret could not be hashed.
    #[error(transparent)]
    Hashing(#[from] HashError),
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

/// The outcome of a request to punch.
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
    /// No employee has the staff number with this PIN.
    WrongPin,
    /// The PIN was missed too often: a manager must unlock it.
    PinLocked,
    /// No employee has the badge.
    UnknownBadge,
    /// The site wants a PIN as well.
    PinNeeded,
    /// The site wants the face as well.
    FaceNeeded,
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
            Self::WrongPin => "wrong_pin",
            Self::PinLocked => "pin_locked",
            Self::UnknownBadge => "unknown_badge",
            Self::PinNeeded => "pin_needed",
            Self::FaceNeeded => "face_needed",
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
            Self::Nobody { .. }
            | Self::NoFace
            | Self::PoorQuality { .. }
            | Self::Attack
            | Self::WrongPin
            | Self::PinLocked
            | Self::UnknownBadge
            | Self::PinNeeded
            | Self::FaceNeeded => None,
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, derive_new::new)]
pub struct PunchAnswer {
    /// The outcome.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// The numbers of the best candidate, if there is one.
    pub numbers: Option<Numbers>,
    /// Whether this is the first answer to an earlier request with the same key.
    #[serde(skip)]
    #[new(default)]
    pub replayed: bool,
}

impl PunchAnswer {
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

/// What a request to punch asks for, besides who the person is.
pub(super) struct Asked {
    /// The wanted kind; `None` for what follows the last punch.
    pub kind: Option<PunchKind>,
    /// What the device says about when it captured it, if it was offline.
    pub capture: Option<Capture>,
    /// The client's key with the fingerprint of the request.
    pub key: Option<RequestKey>,
    /// The punch of another person that this one takes the place of.
    pub instead_of: Option<PunchId>,
}

/// A person who may punch.
pub(super) struct Established {
    pub person: Person,
    pub proof: Proof,
    /// The best frame, if pictures are kept.
    pub still: Option<Still>,
    /// The numbers of the recognition.
    pub numbers: Option<Numbers>,
}

/// The most answers of a device that are kept in an hour, so that it cannot fill the store. Answers
/// are kept for a day.
pub const KEPT: Quota = Quota {
    most: 1000,
    window: Duration::from_secs(3600),
};

/// Writes punches of people who were established, and answers each request once.
#[derive(derive_new::new)]
pub struct PunchAnswers {
    ledger: Arc<PunchLedger>,
    mistakes: Arc<MistakenPunches>,
    pictures: Arc<Pictures>,
    growth: Arc<TemplateGrowth>,
    limits: Arc<dyn RateLimits>,
    clock: Arc<dyn Clock>,
}

impl PunchAnswers {
    /// Answers a request of a device. `establish` finds out who the person is, or returns the
    /// answer; it does not run if the request was answered before. The time of the punch is that of
    /// this call, or within bounds that of an offline capture.
    pub(super) async fn answer(
        &self,
        point: &PunchPoint,
        asked: Asked,
        establish: impl Future<Output = Result<Result<Established, PunchAnswer>, PunchError>>,
    ) -> Result<PunchAnswer, PunchError> {
        let now = self.clock.now();
        if let Some(key) = &asked.key
            && let Some(replay) = self.ledger.replay(point.origin, key).await?
        {
            return Ok(PunchAnswer::replayed(replay)?);
        }
        let captured = asked.capture.map_or(now, |capture| capture.by_server(now));
        let mistaken = match asked.instead_of {
            Some(id) => self.mistakes.find(point.origin, id, captured).await?,
            None => None,
        };
        let answer = match establish.await? {
            // The same wrong person again. A PIN or badge is proof enough that it is the person.
            Ok(Established {
                person,
                numbers,
                proof: Proof::Face(_),
                ..
            }) if mistaken == Some(person.id) => {
                let reason = NobodyReason::LookAlike;
                PunchAnswer::new(
                    Outcome::Nobody {
                        reason,
                        more: false,
                    },
                    numbers,
                )
            }
            Ok(established) => {
                let start = Instant::now();
                let moment = self.ledger.moment(point.origin, now, asked.capture).await?;
                let key = asked.key.as_ref();
                let recorded = self.record(point, established, moment, asked.kind, key);
                let answer = recorded.await?;
                telemetry::stage("write", start.elapsed());
                if let (Some(id), Some(mistaken), Outcome::Punched { punch }) =
                    (asked.instead_of, mistaken, &answer.outcome)
                {
                    let pair = [mistaken, punch.employee];
                    self.mistakes.remember(point.origin, id, pair).await;
                }
                answer
            }
            Err(answer) => answer,
        };
        match asked.key {
            Some(key) if !matches!(answer.outcome, Outcome::Punched { .. }) => {
                self.keep(point.origin, key, answer, now).await
            }
            _ => Ok(answer),
        }
    }

    /// Records a punch of an established person.
    pub(super) async fn record(
        &self,
        point: &PunchPoint,
        established: Established,
        moment: Moment,
        kind: Option<PunchKind>,
        request: Option<&RequestKey>,
    ) -> Result<PunchAnswer, PunchError> {
        let Established {
            person,
            proof,
            still,
            numbers,
        } = established;
        let new = NewPunch {
            employee: &person.employee,
            point,
            proof,
            moment,
            kind,
            request,
        };
        let picture = still.clone();
        let keep_picture = |punch: &Punch| self.pictures.punched(punch, &person, picture);
        let recorded = self.ledger.record(new, keep_picture).await?;
        if let Recorded::Written(punch) = &recorded {
            self.growth.offer(punch, &person, still).await;
        }
        Ok(PunchAnswer::recorded(recorded, numbers)?)
    }

    /// Keeps an answer that wrote no punch. Of two at once, the first one counts. An answer that
    /// follows from the picture alone is not kept, because a retry gets it anyway; nor are those of
    /// a device beyond [`KEPT`], whose retries are decided again.
    async fn keep(
        &self,
        origin: Origin,
        request: RequestKey,
        answer: PunchAnswer,
        at: Timestamp,
    ) -> Result<PunchAnswer, PunchError> {
        if matches!(
            answer.outcome,
            Outcome::NoFace | Outcome::PoorQuality { .. }
        ) {
            return Ok(answer);
        }
        let limit = format!("kept-answers:{origin}");
        if !self.limits.check(&limit, KEPT).await.allowed {
            return Ok(answer);
        }
        let text = serde_json::to_string(&answer)
            .map_err(|error| StoreError::Corrupt(format!("an answer to keep: {error}")))?;
        match self.ledger.keep(origin, request, text, at).await? {
            Some(first) => Ok(PunchAnswer::replayed(first)?),
            None => Ok(answer),
        }
    }
}
