//! Identification and verification: who is this, and is this the claimed person?

use std::sync::Arc;

use super::{
    probing::{Probing, ReadyProbe},
    references::{ReferenceError, References},
};
use crate::{
    domain::{
        biometrics::{
            self, Calibration, Fused, Identification, ModelId, Policy, Probe, Resultant,
            Similarity, Threshold, Views,
        },
        ids::EmployeeId,
        quality::{Flaw, QualityLimits},
    },
    ports::{Analysis, EngineError, Face, Gallery, Sample, StoreError, Work},
};

/// Why nobody could be identified or verified.
#[derive(Debug, thiserror::Error)]
pub enum IdentifyError {
    /// The engine gave no answer.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The model pack tells nothing of its error rates.
    #[error(
        "the model pack has no calibration, so it identifies nobody: run `rollcall models calibrate`"
    )]
    NoCalibration,
    /// The employee to verify is not there, not active, or has no face enrolled.
    #[error("no face of this employee is enrolled")]
    NotEnrolled,
    /// A stored template could not be opened.
    #[error(transparent)]
    Reference(ReferenceError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How many candidates an answer carries.
const CANDIDATES: usize = 5;
/// How many faces of one image are identified, the largest first.
const FACES: usize = 16;

/// One face of an image with who it is.
#[derive(Debug, Clone)]
pub struct IdentifiedFace {
    /// What the engine saw.
    pub face: Face,
    /// Why it is not good enough to be identified.
    pub flaw: Option<Flaw>,
    /// Who it is; `None` for a face with a flaw.
    pub identification: Option<Identification>,
}

/// What verification says.
#[derive(Debug, Clone, PartialEq)]
pub enum Verification {
    /// Compared.
    Compared {
        /// Whether it is the claimed person.
        same: bool,
        /// How alike.
        similarity: Similarity,
        /// What was needed.
        threshold: Threshold,
    },
    /// No frame was good enough.
    Unusable(Flaw),
}

/// Identification and verification; neither records anything.
pub struct Identifying {
    probing: Arc<Probing>,
    gallery: Arc<dyn Gallery>,
    references: Arc<References>,
    policy: Policy,
}

impl Identifying {
    /// Over the gallery, with one policy for all.
    pub fn new(
        probing: Arc<Probing>,
        gallery: Arc<dyn Gallery>,
        references: Arc<References>,
        policy: Policy,
    ) -> Self {
        Self {
            probing,
            gallery,
            references,
            policy,
        }
    }

    /// The policy of a single search.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// The embedding model.
    pub fn model(&self) -> &ModelId {
        self.probing.engine().model()
    }

    /// Everybody in an image.
    pub async fn identify(&self, sample: Sample) -> Result<Vec<IdentifiedFace>, IdentifyError> {
        let calibration = self.calibration()?;
        let work = Work {
            views: Views::Pair,
            embed: FACES,
        };
        let analysis: Analysis = self.probing.engine().analyse(sample, work).await?;
        let decide = |face: Face| {
            // Faces that are only located are judged by nobody.
            let attack = face.embedding.is_some() && self.probing.is_attack(face.liveness);
            let flaw = face.quality.flaw(&QualityLimits::PROBE);
            let flaw = flaw.or(attack.then_some(Flaw::Attack));
            let identification = match (&face.embedding, flaw) {
                (Some(embedding), None) => {
                    let fused = Fused {
                        embedding: embedding.clone(),
                        resultant: Resultant::ONE,
                    };
                    Some(self.search(
                        &Probe {
                            fused,
                            views: Views::Pair,
                        },
                        calibration,
                        self.policy,
                    ))
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

    /// Who a probe is of, held to a policy.
    pub fn decide(&self, probe: &Probe, policy: Policy) -> Result<Identification, IdentifyError> {
        Ok(self.search(probe, self.calibration()?, policy))
    }

    /// Whether somebody is enrolled, and may be identified.
    pub fn knows(&self, employee: EmployeeId) -> bool {
        self.gallery.find(employee).is_some()
    }

    /// Whom the gallery takes a probe for, other than the one whose it is said to be.
    pub fn somebody_else(
        &self,
        id: EmployeeId,
        probe: Probe,
    ) -> Result<Option<EmployeeId>, IdentifyError> {
        let identification = self.decide(&probe, self.policy)?;
        let other = identification
            .candidates
            .iter()
            .find(|candidate| candidate.employee != id)
            .filter(|candidate| candidate.similarity.value() >= candidate.threshold.value());
        Ok(other.map(|candidate| candidate.employee))
    }

    /// Makes a probe of one to five frames.
    pub async fn probe(
        &self,
        samples: Vec<Sample>,
    ) -> Result<Result<ReadyProbe, Flaw>, EngineError> {
        self.probing.probe(samples).await
    }

    /// Whether one to five frames are of the claimed person. The wanted FPIR is taken as the
    /// false match rate of this one comparison.
    pub async fn verify(
        &self,
        employee: EmployeeId,
        samples: Vec<Sample>,
    ) -> Result<Verification, IdentifyError> {
        let calibration = self.calibration()?;
        let reference = match self.gallery.find(employee) {
            Some(reference) => reference,
            // Enrolled on another instance a moment ago, or not at all: the store knows.
            None => {
                self.references.refresh(employee).await?;
                self.gallery
                    .find(employee)
                    .ok_or(IdentifyError::NotEnrolled)?
            }
        };
        let probe = match self.probing.probe(samples).await? {
            Ok(ready) => ready.probe,
            Err(flaw) => return Ok(Verification::Unusable(flaw)),
        };
        let similarity = probe
            .fused
            .embedding
            .similarity(&reference.fused.embedding)
            .ok_or(IdentifyError::NotEnrolled)?;
        let threshold = calibration
            .at(self.policy.fpir.fmr_among(1), reference.views, probe.views)
            .threshold(reference.fused.resultant, probe.fused.resultant);
        let same = similarity.value() >= threshold.value();
        Ok(Verification::Compared {
            same,
            similarity,
            threshold,
        })
    }

    fn calibration(&self) -> Result<&Calibration, IdentifyError> {
        self.probing
            .engine()
            .calibration()
            .ok_or(IdentifyError::NoCalibration)
    }

    /// Enrollment makes templates of all views, so that is what the threshold is for.
    fn search(&self, probe: &Probe, calibration: &Calibration, policy: Policy) -> Identification {
        let people = self.gallery.people();
        let slope = calibration
            .at(policy.fpir.fmr_among(people), Views::All, probe.views)
            .slope();
        let matches = self
            .gallery
            .search(&probe.fused.embedding, slope, CANDIDATES);
        biometrics::identify(&matches, people, Views::All, probe, calibration, policy)
    }
}

impl From<ReferenceError> for IdentifyError {
    fn from(error: ReferenceError) -> Self {
        match error {
            ReferenceError::Store(error) => Self::Store(error),
            sealed @ ReferenceError::Sealed { .. } => Self::Reference(sealed),
        }
    }
}
