//! ProbeBuilder: fuses one to five frames of one person into one probe.

use std::sync::Arc;

use futures::future::try_join_all;

use crate::{
    domain::{
        attendance::Origin,
        biometrics::{Embedding, ErrorRate, Fused, Probe, Resultant, Threshold, Views},
        quality::{Flaw, Quality, QualityLimits},
        samples::Still,
        tracking::Frame,
    },
    ports::{EngineError, Face, FaceEngine, Sample, Work},
};

/// Maximum number of frames in one burst.
pub const BURST_MOST: usize = 5;

/// A builder of probes.
#[derive(derive_new::new)]
pub struct ProbeBuilder {
    engine: Arc<dyn FaceEngine>,
    /// Frames whose mean probability of a live person is below count as an attack, with a liveness
    /// model.
    least_liveness: Option<f32>,
}

/// A probe with what was measured on its frames.
#[derive(Debug, Clone)]
pub struct ReadyProbe {
    /// The probe.
    pub probe: Probe,
    /// The quality of the best frame.
    pub quality: Quality,
    /// Mean probability of a live person, 0..1; `None` without a liveness model.
    pub liveness: Option<f32>,
    /// Number of frames in the probe.
    pub frames: u8,
    /// The image of the best frame with the box of the face.
    pub still: Option<Still>,
}

impl ProbeBuilder {
    /// Returns the engine.
    pub fn engine(&self) -> &Arc<dyn FaceEngine> {
        &self.engine
    }

    /// Checks whether a probability of a live person is too low. A missing probability is too low
    /// if the engine has a liveness model.
    pub fn is_attack(&self, liveness: Option<f32>) -> bool {
        self.least_liveness.is_some_and(|least| match liveness {
            Some(found) => found < least,
            None => self.judges_liveness(),
        })
    }

    /// Returns whether every embedded face gets a liveness probability.
    pub fn judges_liveness(&self) -> bool {
        self.engine.judges_liveness()
    }

    /// Takes a quick look at one frame: a coarse search for the face, and its chip alone.
    pub async fn quick_probe(
        &self,
        sample: &Sample,
        sender: Origin,
    ) -> Result<Result<ReadyProbe, Flaw>, EngineError> {
        let work = Work {
            views: Views::One,
            embed: 1,
            photo: false,
            sender: Some(sender),
        };
        let analysis = self.engine.analyze(sample.clone(), work).await?;
        let face = analysis.faces.into_iter().next().ok_or(Flaw::NoFace);
        let frame = face.and_then(|face| self.usable(face, sample));
        Ok(frame.and_then(|frame| self.fuse_views(vec![frame], Views::One, Flaw::NoFace)))
    }

    /// Analyzes the burst of a sender and fuses the largest face of each frame.
    ///
    /// Frames that are not good enough, or show another person than the best frame, are left
    /// out. If other people are on half of the usable frames or more, returns
    /// [`Flaw::SeveralFaces`]. If no frame is usable, returns the flaw of the first frame with a
    /// face, or [`Flaw::NoFace`].
    pub async fn probe(
        &self,
        samples: Vec<Sample>,
        sender: Option<Origin>,
    ) -> Result<Result<ReadyProbe, Flaw>, EngineError> {
        let work = Work {
            views: Views::Pair,
            embed: 1,
            photo: false,
            sender,
        };
        let analyses = samples
            .iter()
            .map(|sample| self.engine.analyze(sample.clone(), work));
        let analyses = try_join_all(analyses).await?;
        let mut flaw = None;
        let mut frames: Vec<Frame> = Vec::with_capacity(analyses.len());
        for (analysis, sample) in analyses.into_iter().zip(&samples) {
            let face = analysis.faces.into_iter().next().ok_or(Flaw::NoFace);
            match face.and_then(|face| self.usable(face, sample)) {
                Ok(frame) => frames.push(frame),
                // The flaw of a face is more useful than that of an empty frame before or after.
                Err(found) if flaw.is_none() || flaw == Some(Flaw::NoFace) => flaw = Some(found),
                Err(_) => {}
            }
        }
        Ok(self.fuse(frames, flaw.unwrap_or(Flaw::NoFace)))
    }

    /// Fuses frames of one moment, in any order. Frames of another person than the one in the best
    /// frame are left out; if they are half of the frames or more, returns [`Flaw::SeveralFaces`].
    /// Returns `none` if there are no frames.
    pub fn fuse(&self, frames: Vec<Frame>, none: Flaw) -> Result<ReadyProbe, Flaw> {
        self.fuse_views(frames, Views::Pair, none)
    }

    fn fuse_views(
        &self,
        mut frames: Vec<Frame>,
        views: Views,
        none: Flaw,
    ) -> Result<ReadyProbe, Flaw> {
        let usable = frames.len();
        self.keep_one_person(&mut frames);
        // With as many frames of other people, it is unclear which person was meant.
        if usable > 1 && frames.len() * 2 <= usable {
            return Err(Flaw::SeveralFaces { faces: 2 });
        }
        let embeddings: Vec<Embedding> =
            frames.iter().map(|frame| frame.embedding.clone()).collect();
        let (Some(best), Some(fused)) = (frames.first(), Fused::from_embeddings(&embeddings))
        else {
            return Err(none);
        };
        let liveness = mean(frames.iter().filter_map(|frame| frame.liveness));
        if self.is_attack(liveness) {
            return Err(Flaw::Attack);
        }
        Ok(ReadyProbe {
            probe: Probe { fused, views },
            quality: best.quality,
            liveness,
            frames: frames.len() as u8,
            still: best.still.clone(),
        })
    }

    /// Returns a face as a frame if its quality suffices for a comparison, otherwise its flaw.
    pub(super) fn usable(&self, face: Face, sample: &Sample) -> Result<Frame, Flaw> {
        if let Some(flaw) = face.quality.flaw(&QualityLimits::PROBE) {
            return Err(flaw);
        }
        Ok(Frame {
            embedding: face.embedding.ok_or(Flaw::NoFace)?,
            quality: face.quality,
            liveness: face.liveness,
            still: Some(Still {
                sample: sample.clone(),
                face: face.bounds,
            }),
        })
    }

    /// Returns the minimum similarity of two frames of one person at the same place within a
    /// moment; `None` without a calibration.
    pub fn same_moment(&self) -> Option<Threshold> {
        self.alike(SAME_MOMENT)
    }

    /// Returns the minimum similarity of two frames of one person at any place, which is stricter.
    pub fn same_anywhere(&self) -> Option<Threshold> {
        self.alike(SAME_ANYWHERE)
    }

    fn alike(&self, fmr: ErrorRate) -> Option<Threshold> {
        let point = self.engine.calibration()?.at(fmr, Views::Pair, Views::Pair);
        Some(point.threshold(Resultant::ONE, Resultant::ONE))
    }

    /// Sorts frames by quality and drops those that do not show the person in the best one.
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

/// The false match rate at which two frames of one burst count as one person's. It is lax, because
/// they were taken within a second by one camera.
const SAME_MOMENT: ErrorRate = ErrorRate::ONE_IN_HUNDRED;

/// The false match rate for two frames at different places. It is stricter, because a face is
/// compared with the pictures of several people.
const SAME_ANYWHERE: ErrorRate = ErrorRate::ONE_IN_TEN_THOUSAND;

/// Returns the mean; `None` if there are no values.
pub(super) fn mean(values: impl Iterator<Item = f32>) -> Option<f32> {
    let (sum, count) = values.fold((0.0, 0u32), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f32)
}
