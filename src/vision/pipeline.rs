//! Processes one sample from bytes to faces, on one thread that keeps its sessions and buffers.

use std::time::{Duration, Instant};

use image::{RgbImage, imageops};
use metrics::{counter, histogram};

use super::{
    decode::{SampleLimits, Upright, decode},
    detect::{Detection, Detector, overlap},
    embed::Embedder,
    face_quality::{measure, visible_area},
    liveness::Liveness,
    pack::{LivenessSpec, Pack, PackError, Variant},
    runtime::Runtime,
};
use crate::{
    domain::biometrics::{Embedding, Views},
    ports::{Analysis, EngineError, Face, FaceBox, SampleError, Work},
};

/// Longer side of the image in the pass of a quick look, in pixels. It takes a quarter of the time of
/// the first pass.
pub const QUICK_PASS: u32 = 320;
/// Longer side of the image in the first full pass, in pixels.
pub const FIRST_PASS: u32 = 640;
/// Longer side in the second pass, which finds distant faces in a large image.
pub const SECOND_PASS: u32 = 1600;
/// Longer side in the last pass, which finds a face that fills the image: at full size it is too
/// large for the detector's coarsest grid.
pub const LAST_PASS: u32 = 224;
/// Minimum width of a face in a quick look, in pixels of the scaled image. The landmarks of smaller
/// faces are too coarse.
const QUICK_FACE_LEAST: f32 = 40.0;
/// Side of the crop in which a small face is located again, in sides of its box.
const CROP_FACTOR: f32 = 2.0;
/// Minimum overlap (intersection over union) of the two boxes of one face.
const SAME_FACE: f32 = 0.3;
/// Longer side of that crop for the detector, in pixels.
const CROP_PASS: u32 = 160;
/// Largest pixel buffer that a thread keeps between samples, in bytes: 8 megapixels.
const SPARE_BYTES_MOST: usize = 24 << 20;

/// The models and buffers that analyze one sample at a time.
pub struct Pipeline {
    detector: Detector,
    embedder: Embedder,
    /// The embedder for photos to enroll, if it is another one.
    photo_embedder: Option<Embedder>,
    liveness: Vec<Liveness>,
    limits: SampleLimits,
    spare: Vec<u8>,
    chip: Vec<u8>,
}

/// The files of a pack, read once and verified, from which pipelines are made.
pub struct Models<'a> {
    pack: &'a Pack,
    detector: Vec<u8>,
    liveness: Vec<(&'a LivenessSpec, Vec<u8>)>,
}

impl<'a> Models<'a> {
    /// Reads every file except the embedder's variants.
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

    /// Opens one variant of the embedder and checks that it runs.
    pub fn embedder(
        &self,
        runtime: &Runtime,
        variant: &Variant,
        model: &[u8],
    ) -> Result<Embedder, PackError> {
        Embedder::new(runtime, &self.pack.manifest().embedder, model)
            .map_err(|cause| self.not_a_model(&variant.file, cause))
    }

    /// Opens the other models, checks that each runs, and joins them with the embedder.
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
            photo_embedder: None,
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

/// Records the duration of a stage and starts the next.
fn stage(name: &'static str, start: &mut Instant) {
    let now = Instant::now();
    record(name, now - *start);
    *start = now;
}

fn record(name: &'static str, took: Duration) {
    histogram!("rollcall_stage_seconds", "stage" => name).record(took.as_secs_f64());
}

/// Sorts faces by their visible area, because the subject of a picture is rarely cut off at its edge.
fn largest_first(faces: &mut [Detection], image: &RgbImage) {
    let visible = |face: &Detection| visible_area(&face.bounds, image.dimensions());
    faces.sort_by(|a, b| visible(b).total_cmp(&visible(a)));
}

impl Pipeline {
    /// Analyzes one sample.
    pub fn analyze(&mut self, bytes: &[u8], work: Work) -> Result<Analysis, EngineError> {
        let mut start = Instant::now();
        let image = self.decode(bytes, work.photo)?;
        stage("decode", &mut start);
        let found = self.detect(&image, work.views == Views::One)?;
        stage("detect", &mut start);
        let mut faces = Vec::with_capacity(found.len());
        for (rank, detection) in found.iter().enumerate() {
            faces.extend(self.face(&image, detection, (rank < work.embed).then_some(work))?);
        }
        let (width, height) = image.dimensions();
        self.spare = image.into_image().into_raw();
        if self.spare.capacity() > SPARE_BYTES_MOST {
            self.spare = Vec::new();
        }
        counter!("rollcall_inferences_total").increment(1);
        Ok(Analysis {
            width,
            height,
            faces,
        })
    }

    /// Sets another embedder for photos to enroll, of the same model.
    pub fn set_photo_embedder(&mut self, embedder: Embedder) {
        self.photo_embedder = Some(embedder);
    }

    /// Runs the first stage: decodes a sample into upright pixels.
    pub fn decode(&mut self, bytes: &[u8], photo: bool) -> Result<Upright, SampleError> {
        let limits = match photo {
            true => self.limits.for_photos(),
            false => self.limits,
        };
        decode(bytes, limits, std::mem::take(&mut self.spare))
    }

    /// Runs the second stage: detects faces, largest first. If a pass finds nothing, the next one
    /// looks at the image in more detail, and the last one in less.
    ///
    /// A quick look begins with a coarse pass. If its largest face is small, only that face is
    /// returned, located again in a crop of the image.
    pub fn detect(&mut self, image: &RgbImage, quick: bool) -> Result<Vec<Detection>, EngineError> {
        let longest = image.width().max(image.height());
        let mut found = Vec::new();
        if quick && longest > QUICK_PASS {
            found = self.pass(image, QUICK_PASS)?;
            largest_first(&mut found, image);
            let least = QUICK_FACE_LEAST * longest as f32 / QUICK_PASS as f32;
            if let Some(face) = found.first_mut()
                && face.bounds.width < least
            {
                let coarse = face.bounds;
                match self.locate_again(image, coarse)? {
                    Some(fine) => found = vec![fine],
                    None => found.clear(),
                }
            }
        }
        let more = [
            (true, FIRST_PASS),
            (longest > FIRST_PASS, SECOND_PASS),
            (longest > LAST_PASS, LAST_PASS),
        ];
        for (_, side) in more.into_iter().filter(|(useful, _)| *useful) {
            if found.is_empty() {
                found = self.pass(image, side)?;
            }
        }
        largest_first(&mut found, image);
        Ok(found)
    }

    /// Detects the face of a coarse box in a crop around it.
    fn locate_again(
        &mut self,
        image: &RgbImage,
        coarse: FaceBox,
    ) -> Result<Option<Detection>, EngineError> {
        let side = CROP_FACTOR * coarse.width.max(coarse.height);
        let start = |middle: f32, length: u32| {
            ((middle - side / 2.0).max(0.0) as u32).min(length.saturating_sub(1))
        };
        let left = start(coarse.x + coarse.width / 2.0, image.width());
        let top = start(coarse.y + coarse.height / 2.0, image.height());
        let side = side.ceil() as u32;
        let (width, height) = (
            side.min(image.width() - left),
            side.min(image.height() - top),
        );
        let crop = imageops::crop_imm(image, left, top, width, height).to_image();
        let (left, top) = (left as f32, top as f32);
        let found = self.pass(&crop, CROP_PASS)?.into_iter();
        let moved = found.map(|face| Detection {
            bounds: FaceBox {
                x: face.bounds.x + left,
                y: face.bounds.y + top,
                ..face.bounds
            },
            landmarks: face.landmarks.map(|(x, y)| (x + left, y + top)),
            ..face
        });
        // The crop can show a neighbor too.
        let same = |face: &Detection| overlap(&face.bounds, &coarse);
        let best = moved.max_by(|a, b| same(a).total_cmp(&same(b)));
        Ok(best.filter(|face| same(face) >= SAME_FACE))
    }

    fn pass(&mut self, image: &RgbImage, side: u32) -> Result<Vec<Detection>, EngineError> {
        self.detector
            .detect(image, side)
            .map_err(EngineError::Failed)
    }

    /// Runs the other stages for one face; computes embedding and liveness only if `work` is given.
    /// Returns `None` for a detection whose points do not form a face.
    pub fn face(
        &mut self,
        image: &RgbImage,
        detection: &Detection,
        work: Option<Work>,
    ) -> Result<Option<Face>, EngineError> {
        let mut start = Instant::now();
        let Some(to_chip) = self.embedder.alignment(&detection.landmarks) else {
            return Ok(None);
        };
        let mut chip = std::mem::take(&mut self.chip);
        self.embedder.chip(image, to_chip, &mut chip);
        stage("align", &mut start);
        let quality = measure(
            detection,
            image.dimensions(),
            to_chip,
            &chip,
            self.embedder.side(),
        );
        stage("quality", &mut start);
        let (mut embedding, mut liveness): (Option<Embedding>, _) = (None, None);
        if let Some(work) = work {
            let embedder = match &mut self.photo_embedder {
                Some(embedder) if work.photo => embedder,
                _ => &mut self.embedder,
            };
            let made = embedder.embed(image, to_chip, &chip, work.views);
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
