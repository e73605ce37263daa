//! Recognition: identifies and verifies people in samples. Records nothing.

use std::{fmt::Display, sync::Arc, time::Instant};

use serde::{Deserialize, Serialize};

use super::{
    audit::Audit,
    gallery_loader::{GalleryLoader, ReferenceError},
    probe_builder::{ProbeBuilder, ReadyProbe},
};
use crate::{
    domain::{
        accounts::Actor,
        attendance::{Evidence, Origin},
        biometrics::{
            self, Calibration, Embedding, Fused, Identification, Look, Match, ModelId,
            NobodyReason, Policy, Probe, Resultant, Similarity, Threshold, Views,
        },
        ids::EmployeeId,
        quality::{Flaw, QualityLimits},
        samples::Still,
        self_calibration::SelfCalibration,
        template_growth,
    },
    ports::{Analysis, EngineError, Face, Gallery, Sample, StoreError, Work},
    telemetry,
};

/// Why a person could not be identified or verified.
#[derive(Debug, thiserror::Error)]
pub enum RecognitionError {
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The model pack has no calibration.
    #[error(
        "the model pack has no calibration, so it identifies nobody: run `rollcall models calibrate`"
    )]
    NoCalibration,
    /// The employee to verify does not exist, is not active, or has no enrolled face.
    #[error("no face of this employee is enrolled")]
    NotEnrolled,
    /// A stored template could not be opened.
    #[error(transparent)]
    Reference(ReferenceError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<ReferenceError> for RecognitionError {
    fn from(error: ReferenceError) -> Self {
        match error {
            ReferenceError::Store(error) => Self::Store(error),
            sealed @ ReferenceError::Sealed { .. } => Self::Reference(sealed),
        }
    }
}

/// Number of candidates in an answer; look-alikes of the best one are added.
const CANDIDATES: usize = 5;
/// Number of faces of one image that are identified, the largest first.
const FACES: usize = 16;

/// A face of an image, with the person.
#[derive(Debug, Clone)]
pub struct IdentifiedFace {
    /// The engine's analysis.
    pub face: Face,
    /// Why the face is not good enough to be identified.
    pub flaw: Option<Flaw>,
    /// The person; `None` for a face with a flaw.
    pub identification: Option<Identification>,
}

/// The result of a verification.
#[derive(Debug, Clone, PartialEq)]
pub enum Verification {
    /// The faces were compared.
    Compared {
        /// Whether it is the claimed person.
        same: bool,
        /// The similarity.
        similarity: Similarity,
        /// The similarity that was needed.
        threshold: Threshold,
    },
    /// No frame was good enough.
    Unusable(Flaw),
}

/// A recognized person.
#[derive(Debug, Clone)]
pub struct Recognized {
    /// The person.
    pub employee: EmployeeId,
    /// The numbers of the recognition.
    pub evidence: Evidence,
    /// The image and the face of the best frame, if pictures are kept.
    pub still: Option<Still>,
}

/// The numbers of the best candidate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Numbers {
    /// The similarity.
    pub similarity: Similarity,
    /// The similarity that was needed.
    pub threshold: Threshold,
    /// The lead over the second candidate; `None` without one.
    pub margin: Option<f32>,
}

impl From<&Evidence> for Numbers {
    fn from(evidence: &Evidence) -> Self {
        Self {
            similarity: evidence.similarity,
            threshold: evidence.threshold,
            margin: evidence.margin,
        }
    }
}

/// The result of a recognition.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// The person, or why no one was recognized.
    pub recognized: Result<Recognized, NobodyReason>,
    /// The numbers of the best candidate; `None` if no one is enrolled.
    pub numbers: Option<Numbers>,
    /// Whether no one was recognized, but a candidate was close.
    pub close: bool,
    /// Whether another look at different frames may decide it.
    pub more: bool,
}

/// Frames that were compared with the templates of one employee.
struct Compared {
    same: bool,
    numbers: Numbers,
    ready: ReadyProbe,
    model: ModelId,
}

/// The service that recognizes people.
#[derive(derive_new::new)]
pub struct Recognition {
    probes: Arc<ProbeBuilder>,
    gallery: Arc<dyn Gallery>,
    loader: Arc<GalleryLoader>,
    /// The policy of a single search.
    policy: Policy,
    audit: Audit,
    /// The gallery of the other model during a change of the model; see
    /// [`Recognition::with_previous`].
    #[new(default)]
    other: Option<Arc<dyn Gallery>>,
    #[new(default)]
    previous: Option<Box<Recognition>>,
}

impl Recognition {
    /// Also recognizes people with the previous model. Its gallery must not have people of this
    /// one, so that each person is compared once and the accepted FPIR holds for both together.
    pub fn with_previous(self, previous: Self) -> Self {
        let previous = Self {
            other: Some(self.gallery.clone()),
            ..previous
        };
        Self {
            other: Some(previous.gallery.clone()),
            previous: Some(Box::new(previous)),
            ..self
        }
    }

    /// Returns the number of people with whom a face is compared.
    fn people(&self) -> usize {
        let other = self.other.as_ref().map_or(0, |other| other.people());
        self.gallery.people() + other
    }

    /// Returns the recognition with the previous model, if anyone needs it.
    fn needed_previous(&self) -> Option<&Self> {
        let previous = self.previous.as_deref();
        previous.filter(|previous| previous.gallery.people() > 0)
    }

    /// Returns the embedding model.
    pub fn model(&self) -> &ModelId {
        self.probes.engine().model()
    }

    /// Measures how alike the enrolled people look, and raises their thresholds; see
    /// [`crate::domain::self_calibration`]. Blocks. Returns `None` if no one was added, replaced or
    /// removed since the last call, or if the pack has no calibration.
    pub fn self_calibrate(&self) -> Option<SelfCalibration> {
        if let Some(previous) = &self.previous {
            previous.self_calibrate();
        }
        self.gallery.calibrate(self.probes.engine().calibration()?)
    }

    /// Checks whether a person is enrolled and may be identified.
    pub fn knows(&self, employee: EmployeeId) -> bool {
        self.gallery.find(employee).is_some()
    }

    /// Recognizes the person in one to five frames, or returns the flaw of the frames. The look has
    /// its share of the accepted FPIR.
    ///
    /// First takes a quick look at the first frame. If that recognizes the person, it is the
    /// verdict. A single frame that is not even close is not analyzed further. Otherwise all frames
    /// are analyzed in full. Both together keep the FPIR of the look; see [`Policy::quick`].
    ///
    /// During a change of the model, people who have only templates of the previous one are
    /// recognized with it, if this one recognizes no one.
    pub async fn recognize_frames(
        &self,
        samples: Vec<Sample>,
        look: Look,
        sender: Origin,
    ) -> Result<Result<(ReadyProbe, Verdict), Flaw>, RecognitionError> {
        let Some(previous) = self.needed_previous() else {
            return self.recognize_with_own_model(samples, look, sender).await;
        };
        let found = self
            .recognize_with_own_model(samples.clone(), look, sender)
            .await?;
        let Ok((ready, mut verdict)) = found else {
            return Ok(found);
        };
        match &verdict.recognized {
            // The other one of two look-alikes may still have templates of the previous model.
            Ok(person) if self.has_look_alike_in(&*previous.gallery, person.employee) => {
                verdict.recognized = Err(NobodyReason::LookAlike);
                return Ok(Ok((ready, verdict)));
            }
            Err(NobodyReason::Unknown) => {}
            Ok(_) | Err(NobodyReason::Margin | NobodyReason::LookAlike) => {
                return Ok(Ok((ready, verdict)));
            }
        }
        let other = previous
            .recognize_with_own_model(samples, look, sender)
            .await?;
        match other {
            // It knows more than that the face is unknown.
            Ok((ready, other))
                if other.more || !matches!(other.recognized, Err(NobodyReason::Unknown)) =>
            {
                Ok(Ok((ready, other)))
            }
            _ => Ok(Ok((ready, verdict))),
        }
    }

    /// Checks whether a person has a look-alike who is in another gallery.
    fn has_look_alike_in(&self, other: &dyn Gallery, employee: EmployeeId) -> bool {
        let reference = self.gallery.find(employee);
        let look_alikes = reference.map_or_else(Vec::new, |one| one.look_alikes);
        look_alikes.iter().any(|one| other.find(*one).is_some())
    }

    async fn recognize_with_own_model(
        &self,
        samples: Vec<Sample>,
        look: Look,
        sender: Origin,
    ) -> Result<Result<(ReadyProbe, Verdict), Flaw>, RecognitionError> {
        let policy = self.policy.for_look(look);
        if let Some(ready) = self.quick_probe(&samples, sender).await? {
            let quick = self.verdict(&ready, policy.quick(), look)?;
            if quick.recognized.is_ok() || (samples.len() == 1 && !quick.close) {
                return Ok(Ok((ready, quick)));
            }
        }
        match self.probes.probe(samples, Some(sender)).await? {
            Ok(ready) => {
                let verdict = self.verdict(&ready, policy, look)?;
                Ok(Ok((ready, verdict)))
            }
            Err(flaw) => Ok(Err(flaw)),
        }
    }

    /// Makes a probe of a quick look at the first frame; `None` if it shows no usable face. If
    /// liveness is judged, there is no quick look: all frames count, and each is judged once.
    async fn quick_probe(
        &self,
        samples: &[Sample],
        sender: Origin,
    ) -> Result<Option<ReadyProbe>, EngineError> {
        let Some(first) = samples.first().filter(|_| !self.probes.judges_liveness()) else {
            return Ok(None);
        };
        Ok(self.probes.quick_probe(first, sender).await?.ok())
    }

    /// Recognizes the person of a probe. The look has its share of the accepted FPIR.
    pub fn recognize(&self, ready: &ReadyProbe, look: Look) -> Result<Verdict, RecognitionError> {
        self.verdict(ready, self.policy.for_look(look), look)
    }

    fn verdict(
        &self,
        ready: &ReadyProbe,
        policy: Policy,
        look: Look,
    ) -> Result<Verdict, RecognitionError> {
        let start = Instant::now();
        let identification = self.decide(&ready.probe, policy)?;
        telemetry::stage("match", start.elapsed());
        let numbers = identification.best.map(|best| Numbers {
            similarity: best.similarity,
            threshold: best.threshold,
            margin: identification.margin,
        });
        let recognized = identification.identified.and_then(|employee| {
            let numbers = numbers.ok_or(NobodyReason::Unknown)?;
            Ok(Recognized {
                employee,
                evidence: self.evidence(ready, numbers, look),
                still: ready.still.clone(),
            })
        });
        Ok(Verdict {
            recognized,
            numbers,
            close: identification.close,
            more: identification.close && look != Look::LAST,
        })
    }

    fn evidence(&self, ready: &ReadyProbe, numbers: Numbers, look: Look) -> Evidence {
        Evidence {
            similarity: numbers.similarity,
            threshold: numbers.threshold,
            margin: numbers.margin,
            liveness: ready.liveness,
            model: self.model().clone(),
            frames: ready.frames,
            look: look.number(),
            digests: Vec::new(),
        }
    }

    /// Writes into the audit trail that an account searched for a face, before it gets the result.
    /// Searches of devices are too many, and they learn less.
    pub async fn record_search(
        &self,
        actor: Actor,
        action: &str,
        subject: impl Display,
        result: String,
    ) -> Result<(), StoreError> {
        if actor.account().is_none() {
            return Ok(());
        }
        self.audit
            .record(actor, action, subject, Some(result))
            .await
    }

    /// Identifies all faces of an image, the largest first.
    pub async fn identify(
        &self,
        sample: Sample,
        sender: Origin,
    ) -> Result<Vec<IdentifiedFace>, RecognitionError> {
        let calibration = self.calibration()?;
        let work = Work {
            views: Views::Pair,
            embed: FACES,
            photo: false,
            sender: Some(sender),
        };
        let analysis: Analysis = self.probes.engine().analyze(sample, work).await?;
        let decide = |face: Face| {
            // A face without an embedding was only located, and its liveness was not judged.
            let attack = face.embedding.is_some() && self.probes.is_attack(face.liveness);
            let flaw = face.quality.flaw(&QualityLimits::PROBE);
            let flaw = flaw.or(attack.then_some(Flaw::Attack));
            let identification = match (&face.embedding, flaw) {
                (Some(embedding), None) => {
                    let fused = Fused {
                        embedding: embedding.clone(),
                        resultant: Resultant::ONE,
                    };
                    let probe = Probe {
                        fused,
                        views: Views::Pair,
                    };
                    Some(self.search(&probe, calibration, self.policy))
                }
                _ => None,
            };
            IdentifiedFace {
                face,
                flaw,
                identification,
            }
        };
        Ok(analysis.faces.into_iter().map(decide).collect())
    }

    /// Returns the other people whom a person's probe also matches, most similar first.
    pub fn others_with_face(
        &self,
        id: EmployeeId,
        probe: &Probe,
    ) -> Result<Vec<EmployeeId>, RecognitionError> {
        let identification = self.decide(probe, self.policy)?;
        let others = identification
            .candidates
            .iter()
            .filter(|one| one.employee != id)
            .filter(|one| one.similarity.value() >= one.threshold.value());
        Ok(others.map(|one| one.employee).collect())
    }

    /// Checks whether an embedding of these views is certainly of a person, by a reference to
    /// compare with: it exceeds a threshold with a far lower false match rate than a punch needs,
    /// and matches no one else.
    pub fn is_certain(
        &self,
        id: EmployeeId,
        reference: &Fused,
        views: Views,
        embedding: &Embedding,
    ) -> Result<bool, RecognitionError> {
        let fmr = template_growth::certain(self.policy.fmr_among(self.people()));
        let fused = Fused {
            embedding: embedding.clone(),
            resultant: Resultant::ONE,
        };
        let probe = Probe { fused, views };
        let Some(present) = self.gallery.compare(id, embedding) else {
            return Ok(false);
        };
        let Some(similarity) = reference.embedding.similarity(embedding) else {
            return Ok(false);
        };
        let enrolled = Match {
            similarity,
            resultant: reference.resultant,
            ..present
        };
        let threshold = enrolled.threshold(self.calibration()?, fmr, &probe);
        let certain = similarity.value() >= threshold.value();
        Ok(certain && self.others_with_face(id, &probe)?.is_empty())
    }

    /// Checks whether one to five frames show the claimed person. The accepted FPIR is the false
    /// match rate of this one comparison.
    pub async fn verify(
        &self,
        employee: EmployeeId,
        samples: Vec<Sample>,
        sender: Origin,
    ) -> Result<Verification, RecognitionError> {
        let compared = self.compare(employee, samples, sender, self.policy).await?;
        Ok(match compared {
            Ok(compared) => Verification::Compared {
                same: compared.same,
                similarity: compared.numbers.similarity,
                threshold: compared.numbers.threshold,
            },
            Err(flaw) => Verification::Unusable(flaw),
        })
    }

    /// Recognizes the person in one to five frames if they are the claimed one, or returns the flaw
    /// of the frames. The look has its share of the accepted FPIR.
    pub async fn recognize_claimed(
        &self,
        employee: EmployeeId,
        samples: Vec<Sample>,
        look: Look,
        sender: Origin,
    ) -> Result<Result<Verdict, Flaw>, RecognitionError> {
        let policy = self.policy.for_look(look);
        let compared = match self.compare(employee, samples, sender, policy).await? {
            Ok(compared) => compared,
            Err(flaw) => return Ok(Err(flaw)),
        };
        let Compared {
            same,
            numbers,
            ready,
            model,
        } = compared;
        let evidence = Evidence {
            model,
            ..self.evidence(&ready, numbers, look)
        };
        let recognized = Recognized {
            employee,
            evidence,
            still: ready.still,
        };
        Ok(Ok(Verdict {
            recognized: same.then_some(recognized).ok_or(NobodyReason::Unknown),
            numbers: Some(numbers),
            close: false,
            more: !same && look != Look::LAST,
        }))
    }

    /// Compares frames with the templates of one employee.
    async fn compare(
        &self,
        employee: EmployeeId,
        samples: Vec<Sample>,
        sender: Origin,
        policy: Policy,
    ) -> Result<Result<Compared, Flaw>, RecognitionError> {
        let with = self.with_templates_of(employee).await?;
        let calibration = with.calibration()?;
        let ready = match with.probes.probe(samples, Some(sender)).await? {
            Ok(ready) => ready,
            Err(flaw) => return Ok(Err(flaw)),
        };
        let found = with
            .gallery
            .compare(employee, &ready.probe.fused.embedding)
            .ok_or(RecognitionError::NotEnrolled)?;
        let similarity = found.similarity;
        let threshold = found.threshold(calibration, policy.fmr_among(1), &ready.probe);
        let numbers = Numbers {
            similarity,
            threshold,
            margin: None,
        };
        Ok(Ok(Compared {
            same: similarity.value() >= threshold.value(),
            numbers,
            ready,
            model: with.model().clone(),
        }))
    }

    /// Returns the recognition with the model under which an employee is enrolled: this one, or the
    /// previous one.
    async fn with_templates_of(&self, employee: EmployeeId) -> Result<&Self, RecognitionError> {
        for with in [Some(self), self.previous.as_deref()].into_iter().flatten() {
            if with.gallery.find(employee).is_none() {
                // Not enrolled, or just enrolled on another instance: the store has the answer.
                with.loader.refresh(employee).await?;
            }
            if with.gallery.find(employee).is_some() {
                return Ok(with);
            }
        }
        Err(RecognitionError::NotEnrolled)
    }

    fn calibration(&self) -> Result<&Calibration, RecognitionError> {
        self.probes
            .engine()
            .calibration()
            .ok_or(RecognitionError::NoCalibration)
    }

    fn decide(&self, probe: &Probe, policy: Policy) -> Result<Identification, RecognitionError> {
        Ok(self.search(probe, self.calibration()?, policy))
    }

    fn search(&self, probe: &Probe, calibration: &Calibration, policy: Policy) -> Identification {
        let (people, views) = (self.people(), self.probes.engine().enrollment_views());
        identify_among((&*self.gallery, people, views), probe, calibration, policy)
    }
}

/// Identifies the person of a probe in a gallery, if it is compared with so many people. The
/// templates of the gallery have these views, as enrollment makes them.
pub fn identify_among(
    (gallery, people, views): (&dyn Gallery, usize, Views),
    probe: &Probe,
    calibration: &Calibration,
    policy: Policy,
) -> Identification {
    let slope = calibration
        .at(policy.fmr_among(people), views, probe.views)
        .slope();
    let matches = gallery.search(&probe.fused.embedding, slope, CANDIDATES);
    biometrics::identify(&matches, people, probe, calibration, policy)
}
