//! Probing: one to five frames of one person made one probe.

use std::sync::Arc;

use futures::future::try_join_all;

use crate::{
    domain::{
        biometrics::{Embedding, ErrorRate, Fused, Probe, Resultant, Threshold, Views},
        quality::{Flaw, Quality, QualityLimits},
        samples::Still,
        tracking::Frame,
    },
    ports::{EngineError, Face, FaceEngine, Sample, Work},
};

/// Most frames in one burst.
pub const BURST_MOST: usize = 5;

/// Makes probes.
pub struct Probing {
    engine: Arc<dyn FaceEngine>,
    least_liveness: Option<f32>,
    stills: bool,
}

/// A probe with what is known of the frames behind it.
#[derive(Debug, Clone)]
pub struct ReadyProbe {
    /// To be compared.
    pub probe: Probe,
    /// Of the best frame.
    pub quality: Quality,
    /// Mean probability of a live person; `None` without a liveness model.
    pub liveness: Option<f32>,
    /// How many frames it is made of.
    pub frames: u8,
    /// What the best frame was seen in, when pictures are kept.
    pub still: Option<Still>,
}

impl Probing {
    /// Over an engine. With a liveness model, frames whose mean probability of a live person
    /// is under `least_liveness` are an attack.
    pub fn new(engine: Arc<dyn FaceEngine>, least_liveness: Option<f32>) -> Self {
        Self {
            engine,
            least_liveness,
            stills: false,
        }
    }

    /// Whether frames keep what they were seen in, for pictures.
    pub fn with_stills(self, stills: bool) -> Self {
        Self { stills, ..self }
    }

    /// The engine behind it.
    pub fn engine(&self) -> &Arc<dyn FaceEngine> {
        &self.engine
    }

    /// Whether a probability of a live person is too low; also when there is none although the
    /// engine has a model for it.
    pub fn is_attack(&self, liveness: Option<f32>) -> bool {
        self.least_liveness.is_some_and(|least| match liveness {
            Some(found) => found < least,
            None => self.engine.judges_liveness(),
        })
    }

    /// The largest face of each frame, fused. Frames that are not good enough, or show somebody
    /// else than the best one, are left out, unless they are half of the burst or more: that is nobody's.
    /// The flaw of the first is told when none is left.
    pub async fn probe(
        &self,
        samples: Vec<Sample>,
    ) -> Result<Result<ReadyProbe, Flaw>, EngineError> {
        let work = Work {
            views: Views::Pair,
            embed: 1,
        };
        let analyses = samples
            .iter()
            .map(|sample| self.engine.analyse(sample.clone(), work));
        let analyses = try_join_all(analyses).await?;
        let mut flaw = None;
        let mut frames: Vec<Frame> = Vec::with_capacity(analyses.len());
        for (analysis, sample) in analyses.into_iter().zip(&samples) {
            let face = analysis.faces.into_iter().next().ok_or(Flaw::NoFace);
            match face.and_then(|face| self.usable(face, sample)) {
                Ok(frame) => frames.push(frame),
                // Somebody's flaw says more than an empty frame before or after.
                Err(found) if flaw.is_none() || flaw == Some(Flaw::NoFace) => flaw = Some(found),
                Err(_) => {}
            }
        }
        Ok(self.fuse(frames, flaw.unwrap_or(Flaw::NoFace)))
    }

    /// Fuses frames of one moment, in any order; those of others than the one in the best are left
    /// out, unless they are half or more. `none` is the flaw when there are no frames.
    pub fn fuse(&self, mut frames: Vec<Frame>, none: Flaw) -> Result<ReadyProbe, Flaw> {
        let usable = frames.len();
        self.keep_one_person(&mut frames);
        // As many of others as of the one: nobody can say who was meant.
        if usable > 1 && frames.len() * 2 <= usable {
            return Err(Flaw::SeveralFaces { faces: 2 });
        }
        let embeddings: Vec<Embedding> =
            frames.iter().map(|frame| frame.embedding.clone()).collect();
        let (Some(best), Some(fused)) = (frames.first(), Fused::of(&embeddings)) else {
            return Err(none);
        };
        let liveness = mean(frames.iter().filter_map(|frame| frame.liveness));
        if self.is_attack(liveness) {
            return Err(Flaw::Attack);
        }
        Ok(ReadyProbe {
            probe: Probe {
                fused,
                views: Views::Pair,
            },
            quality: best.quality,
            liveness,
            frames: frames.len() as u8,
            still: best.still.clone(),
        })
    }

    /// A face of a sample that is good enough to be compared, or what is wrong with it.
    pub(super) fn usable(&self, face: Face, sample: &Sample) -> Result<Frame, Flaw> {
        if let Some(flaw) = face.quality.flaw(&QualityLimits::PROBE) {
            return Err(flaw);
        }
        Ok(Frame {
            embedding: face.embedding.ok_or(Flaw::NoFace)?,
            quality: face.quality,
            liveness: face.liveness,
            still: self.stills.then(|| Still {
                sample: sample.clone(),
                face: face.bounds,
            }),
        })
    }

    /// How alike two frames of one person within a moment are at least; `None` without a
    /// calibration.
    pub fn same_moment(&self) -> Option<Threshold> {
        self.alike(SAME_MOMENT)
    }

    /// The same where not even the place tells that it is one person.
    pub fn same_anywhere(&self) -> Option<Threshold> {
        self.alike(SAME_ANYWHERE)
    }

    fn alike(&self, fmr: ErrorRate) -> Option<Threshold> {
        let point = self.engine.calibration()?.at(fmr, Views::Pair, Views::Pair);
        Some(point.threshold(Resultant::ONE, Resultant::ONE))
    }

    /// Sorts frames by quality and drops those that are not of the person in the best one.
    fn keep_one_person(&self, frames: &mut Vec<Frame>) {
        frames.sort_by(|a, b| b.quality.rank().total_cmp(&a.quality.rank()));
        let (Some(same), Some(best)) = (self.same_moment(), frames.first()) else {
            return;
        };
        let anchor = best.embedding.clone();
        frames.retain(|frame| {
            frame
                .embedding
                .similarity(&anchor)
                .is_some_and(|found| found.value() >= same.value())
        });
    }
}

/// The false match rate at which two frames of one burst count as one person's: lax, because
/// they were taken within a second before one camera.
const SAME_MOMENT: ErrorRate = ErrorRate::ONE_IN_HUNDRED;

/// As many faces are compared with as a few people have pictures.
const SAME_ANYWHERE: ErrorRate = ErrorRate::ONE_IN_TEN_THOUSAND;

/// The mean; `None` of nothing.
pub(super) fn mean(values: impl Iterator<Item = f32>) -> Option<f32> {
    let (sum, count) = values.fold((0.0, 0u32), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f32)
}
