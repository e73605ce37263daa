//! Punching: from a sample to one punch in the store, exactly once.

use std::{sync::Arc, time::Instant};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tracing::info;

use super::{
    feed::{Feed, News},
    identification::{IdentifyError, Identifying},
    pictures::Pictures,
    probing::ReadyProbe,
};
use crate::{
    clock::Clock,
    domain::{
        attendance::{
            self, ClockSource, Evidence, Moment, Punch, PunchDecision, PunchKind, PunchSource,
            RequestKey, WorkdayRule,
        },
        biometrics::{Candidate, Identification, Look, ModelId, Similarity, Threshold},
        cameras::Camera,
        devices::Device,
        employees::Employee,
        ids::{DeviceId, EmployeeId, PunchId},
        quality::Flaw,
        samples::Still,
        text::{IdempotencyKey, SiteName},
    },
    ports::{EngineError, KeptAnswer, Page, PunchFilter, Sample, StoreError, Stores},
    telemetry,
};

/// Why a punch request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum PunchError {
    /// The key was used for another request.
    #[error("this idempotency key was used for another request: make a new key for each punch")]
    KeyReused,
    /// So many others punched for this employee at once that it never was our turn.
    #[error("too many punches of one employee at the same moment")]
    Contended,
    /// The engine, the gallery or the calibration gave no answer.
    #[error(transparent)]
    Identify(#[from] IdentifyError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<EngineError> for PunchError {
    fn from(error: EngineError) -> Self {
        Self::Identify(error.into())
    }
}

/// A request to punch.
#[derive(Debug, Clone)]
pub struct PunchRequest {
    /// 1 to 5 frames of one person.
    pub samples: Vec<Sample>,
    /// What it shall mean; by the last punch when there is none.
    pub kind: Option<PunchKind>,
    /// When the device captured it, if it was offline.
    pub captured_at: Option<Timestamp>,
    /// The client's key, so that a retry gets the first answer.
    pub key: Option<IdempotencyKey>,
    /// Which look at this person.
    pub look: Look,
}

impl PunchRequest {
    /// The SHA-256 of everything that makes this request what it is.
    fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        for sample in &self.samples {
            hash.update((sample.bytes().len() as u64).to_be_bytes());
            hash.update(sample.bytes());
        }
        let kind = self.kind.map_or("auto", PunchKind::as_str);
        let captured_at = self
            .captured_at
            .map(|at| at.to_string())
            .unwrap_or_default();
        hash.update(format!("{kind}|{captured_at}|{}", self.look.number()));
        hex::encode(hash.finalize())
    }
}

/// What became of a sample.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// A punch was written.
    Punched {
        /// The punch.
        punch: Box<Punch>,
    },
    /// So soon after another punch that it says nothing new.
    Cooldown {
        /// The punch that counts.
        punch: Box<Punch>,
    },
    /// Nobody who is enrolled.
    Nobody {
        /// It was close: a look at different frames may settle it.
        more: bool,
    },
    /// Nobody in the picture.
    NoFace,
    /// Not good enough to say.
    PoorQuality {
        /// What to do about it.
        flaw: Flaw,
    },
    /// Not a live person.
    Attack,
}

impl Outcome {
    /// The word in the API.
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

    /// Counts it among the answers to samples, of devices or of cameras.
    pub fn count(&self, source: PunchSource) {
        let (outcome, source) = (self.name(), source.as_str());
        metrics::counter!("rollcall_punches_total", "outcome" => outcome, "source" => source)
            .increment(1);
    }

    /// The punch that it is about.
    pub fn punch(&self) -> Option<&Punch> {
        match self {
            Self::Punched { punch } | Self::Cooldown { punch } => Some(punch),
            Self::Nobody { .. } | Self::NoFace | Self::PoorQuality { .. } | Self::Attack => None,
        }
    }
}

/// The numbers of the best candidate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Numbers {
    /// How alike.
    pub similarity: Similarity,
    /// What was needed.
    pub threshold: Threshold,
    /// Lead over the runner-up; `None` without one.
    pub margin: Option<f32>,
}

/// The answer to a punch request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PunchAnswer {
    /// What became of the sample.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// The best candidate's numbers, when there was one.
    pub numbers: Option<Numbers>,
    /// Whether this is the first answer to an earlier request with the same key.
    #[serde(skip)]
    pub replayed: bool,
}

/// How punches are decided.
#[derive(Debug, Clone)]
pub struct PunchRules {
    /// How long after a punch another one of the same person says nothing new.
    pub cooldown: SignedDuration,
    /// When a workday begins.
    pub workday: WorkdayRule,
}

/// Punching.
pub struct Punching {
    stores: Stores,
    identifying: Arc<Identifying>,
    clock: Arc<dyn Clock>,
    model: ModelId,
    rules: PunchRules,
    feed: Feed,
    pictures: Arc<Pictures>,
}

/// How often a punch is decided anew because another one of the same employee was faster.
const TURNS: usize = 8;

/// Where a punch comes from.
#[derive(Debug, Clone)]
pub struct Origin {
    id: DeviceId,
    site: Option<SiteName>,
    source: PunchSource,
    /// Least time between two punches of one person, when it is more than the rules'.
    cooldown: SignedDuration,
}

impl From<&Device> for Origin {
    fn from(device: &Device) -> Self {
        Self {
            id: device.id,
            site: device.site.clone(),
            source: PunchSource::Device,
            cooldown: SignedDuration::ZERO,
        }
    }
}

impl From<&Camera> for Origin {
    fn from(camera: &Camera) -> Self {
        Self {
            id: DeviceId::new(camera.id.uuid()),
            site: camera.site.clone(),
            source: PunchSource::Camera,
            cooldown: camera.visit.duration(),
        }
    }
}

/// Somebody whom the gallery knows.
#[derive(Debug, Clone)]
pub struct Recognised {
    /// Who.
    pub employee: EmployeeId,
    /// Why.
    pub evidence: Evidence,
    /// What the best frame was seen in, when pictures are kept.
    pub still: Option<Still>,
}

/// What the gallery says of a probe.
#[derive(Debug, Clone)]
pub struct Recognition {
    /// Somebody, or nobody.
    pub recognised: Option<Recognised>,
    /// The best candidate's numbers, when there was one.
    pub numbers: Option<Numbers>,
    /// Nobody, but close: different frames may settle it.
    pub close: bool,
}

/// Who was seen, and the numbers.
struct Seen {
    employee: Employee,
    evidence: Evidence,
    numbers: Option<Numbers>,
    still: Option<Still>,
}

impl Punching {
    /// Over everything it needs; `model` is the engine's.
    pub fn new(
        stores: Stores,
        identifying: Arc<Identifying>,
        clock: Arc<dyn Clock>,
        model: ModelId,
        rules: PunchRules,
        feed: Feed,
        pictures: Arc<Pictures>,
    ) -> Self {
        Self {
            stores,
            identifying,
            clock,
            model,
            rules,
            feed,
            pictures,
        }
    }

    /// How punches are decided.
    pub fn rules(&self) -> &PunchRules {
        &self.rules
    }

    /// Punches whoever is in the samples. The time that counts is when this was called, or
    /// what the device says of an offline capture as far as it is believed.
    pub async fn punch(
        &self,
        device: &Device,
        request: PunchRequest,
    ) -> Result<PunchAnswer, PunchError> {
        let now = self.clock.now();
        let key = request.key.clone().map(|key| RequestKey {
            key,
            fingerprint: request.fingerprint(),
        });
        if let Some(key) = &key
            && let Some(answer) = self.first_answer(device.id, key).await?
        {
            return Ok(answer);
        }
        let (kind, captured_at, look) = (request.kind, request.captured_at, request.look);
        let origin = Origin::from(device);
        let answer = match self.see(&origin, now, request.samples, look).await? {
            Ok(seen) => {
                let start = Instant::now();
                let moment = self.moment(device, now, captured_at).await?;
                let answer = self
                    .write(&origin, seen, moment, kind, key.as_ref())
                    .await?;
                telemetry::stage("write", start.elapsed());
                answer
            }
            Err(answer) => answer,
        };
        match key {
            Some(key) if !matches!(answer.outcome, Outcome::Punched { .. }) => {
                self.keep(device, key, answer, now).await
            }
            _ => Ok(answer),
        }
    }

    /// Whether somebody is enrolled, and may be identified.
    pub fn knows(&self, employee: EmployeeId) -> bool {
        self.identifying.knows(employee)
    }

    /// A page of punches, newest first.
    pub async fn list(
        &self,
        filter: &PunchFilter,
        page: &Page<(Timestamp, PunchId)>,
    ) -> Result<Vec<Punch>, StoreError> {
        self.stores.punches.list(filter, page).await
    }

    /// What was recorded at or after a moment, oldest first, at most `limit`.
    pub async fn recorded_since(
        &self,
        from: Timestamp,
        limit: usize,
    ) -> Result<Vec<Punch>, StoreError> {
        self.stores.punches.recorded_since(from, limit).await
    }

    /// One punch.
    pub async fn find(&self, id: PunchId) -> Result<Option<Punch>, StoreError> {
        self.stores.punches.find(id).await
    }

    /// Who is in the samples; the answer when that is nobody who may punch.
    async fn see(
        &self,
        origin: &Origin,
        now: Timestamp,
        samples: Vec<Sample>,
        look: Look,
    ) -> Result<Result<Seen, PunchAnswer>, PunchError> {
        let ready = match self.identifying.probe(samples).await? {
            Ok(ready) => ready,
            Err(flaw) => return Ok(Err(PunchAnswer::of(unusable(flaw), None))),
        };
        let recognition = self.recognise(&ready, look)?;
        let numbers = recognition.numbers;
        let more = recognition.close && look != Look::LAST;
        let seen = match recognition.recognised {
            Some(recognised) => self.present(recognised, numbers).await?,
            None if more => None,
            None => {
                self.nobody(origin, now, ready.still);
                None
            }
        };
        Ok(seen.ok_or_else(|| PunchAnswer::of(Outcome::Nobody { more }, numbers)))
    }

    /// Who a probe is of, held to a look's share of the wanted FPIR.
    pub fn recognise(&self, ready: &ReadyProbe, look: Look) -> Result<Recognition, IdentifyError> {
        let policy = self.identifying.policy().for_look(look);
        let start = Instant::now();
        let identification = self.identifying.decide(&ready.probe, policy)?;
        telemetry::stage("match", start.elapsed());
        let numbers = identification
            .best
            .map(|best| Numbers::of(best, &identification));
        let recognised = identification.identified.zip(numbers);
        Ok(Recognition {
            recognised: recognised.map(|(employee, numbers)| Recognised {
                employee,
                evidence: self.evidence(ready, numbers, look),
                still: ready.still.clone(),
            }),
            numbers,
            close: identification.close,
        })
    }

    /// Tells of a face that nobody knows: a picture of it may be kept.
    pub fn nobody(&self, origin: &Origin, at: Timestamp, still: Option<Still>) {
        self.pictures.unknown((origin.source, origin.id), at, still);
    }

    /// Punches somebody who was recognised at a moment that the server's clock told, now or a
    /// while ago when the store was away. Nobody when they are no more in the store, or may not
    /// punch.
    pub async fn punch_recognised(
        &self,
        origin: &Origin,
        recognised: Recognised,
        at: Timestamp,
        kind: Option<PunchKind>,
    ) -> Result<Outcome, PunchError> {
        let Some(seen) = self.present(recognised, None).await? else {
            return Ok(Outcome::Nobody { more: false });
        };
        let moment = Moment::of(at, None, None);
        let outcome = self.write(origin, seen, moment, kind, None).await?.outcome;
        outcome.count(PunchSource::Camera);
        Ok(outcome)
    }

    /// The gallery of this instance may lag behind the store for a moment; the store decides.
    async fn present(
        &self,
        recognised: Recognised,
        numbers: Option<Numbers>,
    ) -> Result<Option<Seen>, StoreError> {
        let Recognised {
            employee,
            evidence,
            still,
        } = recognised;
        let found = self.stores.employees.find(employee).await?;
        let present = found.filter(|employee| employee.present() && employee.enrolled());
        Ok(present.map(|employee| Seen {
            employee,
            evidence,
            numbers,
            still,
        }))
    }

    fn evidence(&self, ready: &ReadyProbe, numbers: Numbers, look: Look) -> Evidence {
        Evidence {
            similarity: numbers.similarity,
            threshold: numbers.threshold,
            margin: numbers.margin,
            liveness: ready.liveness,
            model: self.model.clone(),
            frames: ready.frames,
            look: look.number(),
        }
    }

    async fn moment(
        &self,
        device: &Device,
        now: Timestamp,
        captured_at: Option<Timestamp>,
    ) -> Result<Moment, StoreError> {
        let last_synchronised = match captured_at {
            Some(_) => self.stores.punches.last_synchronised(device.id).await?,
            None => None,
        };
        Ok(Moment::of(now, captured_at, last_synchronised))
    }

    /// Decides on the employee's past and writes. When somebody else wrote a punch of the same
    /// employee or request in between, the unique indexes say so, and it is decided anew.
    async fn write(
        &self,
        origin: &Origin,
        seen: Seen,
        moment: Moment,
        kind: Option<PunchKind>,
        key: Option<&RequestKey>,
    ) -> Result<PunchAnswer, PunchError> {
        let longest = self.rules.cooldown.max(origin.cooldown);
        let workday = self.rules.workday.workday(moment.at);
        for _ in 0..TURNS {
            let last_written = self.stores.punches.last_written(seen.employee.id).await?;
            let last = match &last_written {
                // The usual case: nothing was written about a time after this one.
                Some(last) if last.at <= moment.at && last.clock == ClockSource::Server => {
                    last_written.clone()
                }
                Some(_) => self.neighbour(seen.employee.id, moment, longest).await?,
                None => None,
            };
            // A visit is one to this camera: at another door, or at a kiosk, the rules count.
            let cooldown = match &last {
                Some(last) if last.device == origin.id => longest,
                _ => self.rules.cooldown,
            };
            let decision =
                attendance::decide(last.as_ref(), moment, origin.id, workday, kind, cooldown);
            let kind = match (decision, last) {
                (PunchDecision::Accept(kind), _) => kind,
                (PunchDecision::Duplicate { .. }, Some(punch)) => {
                    if key.is_some() && punch.device == origin.id && punch.request.as_ref() == key {
                        return Ok(PunchAnswer::replay(punch));
                    }
                    return Ok(PunchAnswer::of(
                        Outcome::Cooldown {
                            punch: Box::new(punch),
                        },
                        seen.numbers,
                    ));
                }
                (PunchDecision::Duplicate { .. }, None) => continue,
            };
            let punch = Punch {
                id: PunchId::new(self.clock.id()),
                employee: seen.employee.id,
                kind,
                at: moment.at,
                recorded_at: self.clock.now(),
                clock: moment.clock,
                captured_at: moment.captured_at,
                workday,
                site: origin.site.clone().or_else(|| seen.employee.site.clone()),
                source: origin.source,
                device: origin.id,
                evidence: seen.evidence.clone(),
                request: key.cloned(),
                sequence: last_written.map_or(1, |last| last.sequence + 1),
            };
            match self.stores.punches.append(&punch).await {
                Ok(()) => {
                    info!(punch = %punch.id, employee = %punch.employee, kind = kind.as_str(), "punched");
                    self.pictures.punched(&punch, &seen.employee, seen.still);
                    self.feed.tell(News::Punch(punch.id)).await;
                    return Ok(PunchAnswer::of(
                        Outcome::Punched {
                            punch: Box::new(punch),
                        },
                        seen.numbers,
                    ));
                }
                Err(StoreError::Conflict) => {
                    if let Some(key) = key
                        && let Some(answer) = self.first_answer(origin.id, key).await?
                    {
                        return Ok(answer);
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(PunchError::Contended)
    }

    /// The punch that an offline capture has to be held against: the first one after it when
    /// that lies within the cooldown, else the last one before it.
    async fn neighbour(
        &self,
        employee: EmployeeId,
        moment: Moment,
        cooldown: SignedDuration,
    ) -> Result<Option<Punch>, StoreError> {
        let before = self.stores.punches.last_before(employee, moment.at).await?;
        let close = |punch: &Punch| moment.at.duration_since(punch.at).abs() < cooldown;
        if before.as_ref().is_some_and(close) {
            return Ok(before);
        }
        let filter = PunchFilter {
            employee: Some(employee),
            from: Some(moment.at),
            to: moment.at.checked_add(cooldown).ok(),
            ..PunchFilter::default()
        };
        let after = self
            .stores
            .punches
            .list(
                &filter,
                &Page {
                    after: None,
                    limit: 1,
                },
            )
            .await?
            .pop();
        Ok(after.or(before))
    }

    /// The first answer to a request with this key.
    async fn first_answer(
        &self,
        device: DeviceId,
        key: &RequestKey,
    ) -> Result<Option<PunchAnswer>, PunchError> {
        if let Some(punch) = self
            .stores
            .punches
            .find_by_request(device, &key.key)
            .await?
        {
            if punch.request.as_ref() != Some(key) {
                return Err(PunchError::KeyReused);
            }
            return Ok(Some(PunchAnswer::replay(punch)));
        }
        let Some(kept) = self.stores.punches.kept_answer(device, &key.key).await? else {
            return Ok(None);
        };
        if kept.request != *key {
            return Err(PunchError::KeyReused);
        }
        let answer: PunchAnswer = serde_json::from_str(&kept.answer)
            .map_err(|error| StoreError::Corrupt(format!("a kept answer: {error}")))?;
        Ok(Some(PunchAnswer {
            replayed: true,
            ..answer
        }))
    }

    /// Keeps an answer that wrote no punch; of two at once the first one kept counts.
    async fn keep(
        &self,
        device: &Device,
        request: RequestKey,
        answer: PunchAnswer,
        at: Timestamp,
    ) -> Result<PunchAnswer, PunchError> {
        let text = serde_json::to_string(&answer)
            .map_err(|error| StoreError::Corrupt(format!("an answer to keep: {error}")))?;
        let kept = KeptAnswer {
            device: device.id,
            request,
            answer: text,
            at,
        };
        match self.stores.punches.keep_answer(&kept).await {
            Ok(()) => Ok(answer),
            Err(StoreError::Conflict) => Ok(self
                .first_answer(device.id, &kept.request)
                .await?
                .unwrap_or(answer)),
            Err(error) => Err(error.into()),
        }
    }
}

impl Numbers {
    fn of(best: Candidate, identification: &Identification) -> Self {
        Self {
            similarity: best.similarity,
            threshold: best.threshold,
            margin: identification.margin,
        }
    }
}

impl PunchAnswer {
    fn of(outcome: Outcome, numbers: Option<Numbers>) -> Self {
        Self {
            outcome,
            numbers,
            replayed: false,
        }
    }

    /// The answer that the request which wrote this punch got, or would have got.
    fn replay(punch: Punch) -> Self {
        let Evidence {
            similarity,
            threshold,
            margin,
            ..
        } = punch.evidence;
        let numbers = Some(Numbers {
            similarity,
            threshold,
            margin,
        });
        Self {
            outcome: Outcome::Punched {
                punch: Box::new(punch),
            },
            numbers,
            replayed: true,
        }
    }
}

/// The outcome for samples of which no probe could be made.
fn unusable(flaw: Flaw) -> Outcome {
    match flaw {
        Flaw::NoFace => Outcome::NoFace,
        Flaw::Attack => Outcome::Attack,
        flaw => Outcome::PoorQuality { flaw },
    }
}
