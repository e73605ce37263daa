//! One sample from bytes to faces, on one thread that keeps its sessions and its memory.

use std::time::{Duration, Instant};

use image::RgbImage;
use metrics::{counter, histogram};

use super::{
    decode::{SampleLimits, decode},
    detect::{Detection, Detector},
    embed::Embedder,
    liveness::Liveness,
    measure::{measure, visible},
    pack::{LivenessSpec, Pack, PackError, Variant},
    runtime::Runtime,
};
use crate::{
    domain::biometrics::Embedding,
    ports::{Analysis, EngineError, Face, SampleError, Work},
};

/// Longer side that the detector sees at first, pixels.
pub const FIRST_LOOK: u32 = 640;
/// Longer side of the second look, for faces far away in a large image.
pub const SECOND_LOOK: u32 = 1600;
/// Longer side of the last look, for a face that fills the image: too large for the detector's
/// coarsest grid at full size.
pub const LAST_LOOK: u32 = 224;
/// Decoded pixels that a thread keeps memory for between samples, bytes: 8 megapixels.
const KEPT: usize = 24 << 20;

/// Everything that looks at one sample at a time.
pub struct Pipeline {
    detector: Detector,
    embedder: Embedder,
    liveness: Vec<Liveness>,
    limits: SampleLimits,
    spare: Vec<u8>,
    chip: Vec<u8>,
}

/// A pack's files, read once and verified, to make pipelines from.
pub struct Models<'a> {
    pack: &'a Pack,
    detector: Vec<u8>,
    liveness: Vec<(&'a LivenessSpec, Vec<u8>)>,
}

impl<'a> Models<'a> {
    /// Reads every file but the embedder's variants.
    pub fn read(pack: &'a Pack) -> Result<Self, PackError> {
        let manifest = pack.manifest();
        Ok(Self {
            pack,
            detector: pack.read(&manifest.detector.model_file())?,
            liveness: manifest
                .liveness
                .iter()
                .map(|spec| Ok((spec, pack.read(&spec.model_file())?)))
                .collect::<Result<_, PackError>>()?,
        })
    }

    /// Opens one variant of the embedder and tries it.
    pub fn embedder(
        &self,
        runtime: &Runtime,
        variant: &Variant,
        model: &[u8],
    ) -> Result<Embedder, PackError> {
        Embedder::new(runtime, &self.pack.manifest().embedder, model)
            .map_err(|cause| self.not_a_model(&variant.file, cause))
    }

    /// Opens the other models, tries each, and puts the embedder with them.
    pub fn pipeline(
        &self,
        runtime: &Runtime,
        embedder: Embedder,
        limits: SampleLimits,
    ) -> Result<Pipeline, PackError> {
        let spec = &self.pack.manifest().detector;
        let detector = Detector::new(runtime, spec, &self.detector)
            .map_err(|cause| self.not_a_model(&spec.file, cause))?;
        let liveness = self
            .liveness
            .iter()
            .map(|(spec, model)| {
                Liveness::new(runtime, spec, model)
                    .map_err(|cause| self.not_a_model(&spec.file, cause))
            })
            .collect::<Result<_, PackError>>()?;
        Ok(Pipeline {
            detector,
            embedder,
            liveness,
            limits,
            spare: Vec::new(),
            chip: Vec::new(),
        })
    }

    fn not_a_model(&self, file: &str, cause: String) -> PackError {
        PackError::NotAModel {
            path: self.pack.path(file),
            cause,
        }
    }
}

/// Records how long a stage took, and starts the next.
fn stage(name: &'static str, start: &mut Instant) {
    let now = Instant::now();
    record(name, now - *start);
    *start = now;
}

fn record(name: &'static str, took: Duration) {
    histogram!("rollcall_stage_seconds", "stage" => name).record(took.as_secs_f64());
}

impl Pipeline {
    /// Looks at one sample.
    pub fn analyse(&mut self, bytes: &[u8], work: Work) -> Result<Analysis, EngineError> {
        let mut start = Instant::now();
        let image = self.decode(bytes)?;
        stage("decode", &mut start);
        let found = self.detect(&image)?;
        stage("detect", &mut start);
        let mut faces = Vec::with_capacity(found.len());
        for (rank, detection) in found.iter().enumerate() {
            faces.extend(self.face(&image, detection, (rank < work.embed).then_some(work))?);
        }
        let (width, height) = image.dimensions();
        self.spare = image.into_raw();
        if self.spare.capacity() > KEPT {
            self.spare = Vec::new();
        }
        counter!("rollcall_inferences_total").increment(1);
        Ok(Analysis {
            width,
            height,
            faces,
        })
    }

    /// The first stage alone: upright pixels.
    pub fn decode(&mut self, bytes: &[u8]) -> Result<RgbImage, SampleError> {
        decode(bytes, self.limits, std::mem::take(&mut self.spare))
    }

    /// The second stage alone: faces, largest first. Looks closer, then from further away, when
    /// nothing is found.
    pub fn detect(&mut self, image: &RgbImage) -> Result<Vec<Detection>, EngineError> {
        let longest = image.width().max(image.height());
        let mut looks = vec![FIRST_LOOK];
        if longest > FIRST_LOOK {
            looks.push(SECOND_LOOK);
        }
        if longest > LAST_LOOK {
            looks.push(LAST_LOOK);
        }
        let mut found = Vec::new();
        for side in looks {
            found = self
                .detector
                .detect(image, side)
                .map_err(EngineError::Failed)?;
            if !found.is_empty() {
                break;
            }
        }
        // What can be seen of a face counts: one cut off at the edge is rarely whom it is about.
        let visible = |face: &Detection| visible(&face.bounds, image.dimensions());
        found.sort_by(|a, b| visible(b).total_cmp(&visible(a)));
        Ok(found)
    }

    /// The other stages for one face; the embedding and the liveness only when `work` is given.
    /// `None` for a detection whose points do not make a face.
    pub fn face(
        &mut self,
        image: &RgbImage,
        detection: &Detection,
        work: Option<Work>,
    ) -> Result<Option<Face>, EngineError> {
        let mut start = Instant::now();
        let Some(place) = self.embedder.place(&detection.landmarks) else {
            return Ok(None);
        };
        let mut chip = std::mem::take(&mut self.chip);
        self.embedder.chip(image, place, &mut chip);
        stage("align", &mut start);
        let quality = measure(
            detection,
            image.dimensions(),
            place,
            &chip,
            self.embedder.side(),
        );
        stage("quality", &mut start);
        let (mut embedding, mut liveness): (Option<Embedding>, _) = (None, None);
        if let Some(work) = work {
            let made = self.embedder.embed(image, place, &chip, work.views);
            embedding = Some(made.map_err(EngineError::Failed)?);
            stage("embed", &mut start);
            if !self.liveness.is_empty() {
                let mut sum = 0.0;
                for model in &mut self.liveness {
                    sum += model
                        .live(image, &detection.bounds)
                        .map_err(EngineError::Failed)?;
                }
                liveness = Some(sum / self.liveness.len() as f32);
                stage("liveness", &mut start);
            }
        }
        self.chip = chip;
        Ok(Some(Face {
            bounds: detection.bounds,
            landmarks: detection.landmarks,
            quality,
            embedding,
            liveness,
        }))
    }
}
