//! Embeds aligned chips: the mean of the unit embeddings of several views of one face.

use std::time::{Duration, Instant};

use image::RgbImage;
use ort::{inputs, session::Session, value::TensorRef};

use super::{
    align::{ShrinkBuffer, SimilarityTransform, chip},
    pack::EmbedderSpec,
    runtime::Runtime,
    tensor::Feed,
};
use crate::domain::biometrics::{Embedding, Views};

/// The seven views of [`Views::All`] as rotation (degrees), scale and shift (shares of the chip's
/// side): unchanged, smaller, larger, shifted right, shifted down, rotated both ways. Measured for
/// docs/MODELS.md; a shift is 4 pixels of a chip of 150.
const VIEWS: [(f32, f32, (f32, f32)); 7] = [
    (0.0, 1.0, (0.0, 0.0)),
    (0.0, 0.92, (0.0, 0.0)),
    (0.0, 1.08, (0.0, 0.0)),
    (0.0, 1.0, (4.0 / 150.0, 0.0)),
    (0.0, 1.0, (0.0, 4.0 / 150.0)),
    (5.0, 1.0, (0.0, 0.0)),
    (-5.0, 1.0, (0.0, 0.0)),
];

/// An embedding model with its buffers, for one thread.
pub struct Embedder {
    session: Session,
    input: String,
    feed: Feed,
    side: usize,
    dimensions: usize,
    template: [(f32, f32); 5],
    mirror: bool,
    /// Chips per run: two if the model accepts the face and its mirror image at once.
    batch: usize,
    planes: Vec<f32>,
    view: Vec<u8>,
    shrunk: ShrinkBuffer,
}

impl Embedder {
    /// Opens the model and checks, by running it, that it matches the pack's description.
    pub fn new(runtime: &Runtime, spec: &EmbedderSpec, model: &[u8]) -> Result<Self, String> {
        let session = runtime.session(model)?;
        let [input] = session.inputs() else {
            return Err(format!(
                "it has {} inputs instead of one",
                session.inputs().len()
            ));
        };
        let shape = input
            .dtype()
            .tensor_shape()
            .ok_or("its input is not a tensor")?;
        let side = i64::from(spec.input);
        let fits = |dimension: i64, wanted: i64| dimension == wanted || dimension == -1;
        let &[count, planes, height, width] = &shape[..] else {
            return Err(format!("its input has the shape {:?}", &shape[..]));
        };
        if !fits(planes, 3) || !fits(height, side) || !fits(width, side) {
            return Err(format!(
                "its input has the shape {:?} instead of [N, 3, {side}, {side}]",
                &shape[..]
            ));
        }
        // A quick look embeds one chip, so a model that wants exactly two cannot be used.
        if count > 1 {
            return Err(format!(
                "it wants {count} chips at once instead of any number, or one"
            ));
        }
        let batch = if spec.mirror && count == -1 { 2 } else { 1 };
        let side = spec.input as usize;
        let mut embedder = Self {
            input: input.name().to_owned(),
            session,
            feed: Feed {
                color: spec.color,
                mean: spec.mean,
                scale: spec.scale,
            },
            side,
            dimensions: spec.dimensions,
            template: spec.template,
            mirror: spec.mirror,
            batch,
            planes: vec![0.0; batch * 3 * side * side],
            view: vec![0; side * side * 3],
            shrunk: ShrinkBuffer::default(),
        };
        let mut sum = vec![0.0; spec.dimensions];
        let gray = vec![128; side * side * 3];
        embedder.add(&gray, &mut sum)?;
        if Embedding::normalize(sum).is_none() {
            return Err("its embedding of a gray image has no direction".into());
        }
        Ok(embedder)
    }

    /// Returns the side of the chip, in pixels.
    pub fn side(&self) -> usize {
        self.side
    }

    /// Returns the transform that maps a face to the chip; `None` if the points do not form a face.
    pub fn alignment(&self, landmarks: &[(f32, f32); 5]) -> Option<SimilarityTransform> {
        SimilarityTransform::fit(landmarks, &self.template)
    }

    /// Samples the chip of a face.
    pub fn chip(&mut self, image: &RgbImage, to_chip: SimilarityTransform, out: &mut Vec<u8>) {
        chip(image, to_chip, self.side, &mut self.shrunk, out);
    }

    /// Embeds a face whose chip was already sampled; further views are sampled from the image.
    pub fn embed(
        &mut self,
        image: &RgbImage,
        to_chip: SimilarityTransform,
        face: &[u8],
        views: Views,
    ) -> Result<Embedding, String> {
        let mut sum = vec![0.0; self.dimensions];
        match views {
            Views::One => self.add_one(face, &mut sum)?,
            Views::Pair | Views::All => self.add(face, &mut sum)?,
        }
        if views == Views::All {
            let middle = (self.side as f32 - 1.0) / 2.0;
            let mut view = std::mem::take(&mut self.view);
            for (degrees, scale, (dx, dy)) in &VIEWS[1..] {
                let shift = (dx * self.side as f32, dy * self.side as f32);
                let nudge = SimilarityTransform::about((middle, middle), *degrees, *scale, shift);
                chip(
                    image,
                    to_chip.then(nudge),
                    self.side,
                    &mut self.shrunk,
                    &mut view,
                );
                self.add(&view, &mut sum)?;
            }
            self.view = view;
        }
        Embedding::normalize(sum).ok_or_else(|| "the embedding has no direction".to_owned())
    }

    /// Adds the unit embedding of a chip to `sum`, and that of its mirror image if the pack asks for
    /// it.
    fn add(&mut self, chip: &[u8], sum: &mut [f32]) -> Result<(), String> {
        let size = 3 * self.side * self.side;
        if self.batch == 2 {
            self.feed
                .fill_mirrored(chip, self.side, &mut self.planes[size..]);
            self.fill(chip);
            return self.run(2, sum);
        }
        self.add_one(chip, sum)?;
        if self.mirror {
            self.feed.fill_mirrored(chip, self.side, &mut self.planes);
            self.run(1, sum)?;
        }
        Ok(())
    }

    /// Adds the unit embedding of a chip alone to `sum`.
    fn add_one(&mut self, chip: &[u8], sum: &mut [f32]) -> Result<(), String> {
        self.fill(chip);
        self.run(1, sum)
    }

    /// Writes a chip into the first planes.
    fn fill(&mut self, chip: &[u8]) {
        let size = 3 * self.side * self.side;
        let square = (self.side, self.side);
        self.feed
            .fill(chip, square, &mut self.planes[..size], self.side);
    }

    /// Runs the model on the first `chips` of the planes, and adds their unit embeddings to `sum`.
    fn run(&mut self, chips: usize, sum: &mut [f32]) -> Result<(), String> {
        let shape = [chips, 3, self.side, self.side];
        let planes = &self.planes[..chips * 3 * self.side * self.side];
        let tensor =
            TensorRef::from_array_view((shape, planes)).map_err(|error| error.to_string())?;
        let outputs = self
            .session
            .run(inputs![self.input.as_str() => tensor])
            .map_err(|error| error.to_string())?;
        let value = outputs.values().next().ok_or("it has no output")?;
        let (shape, data) = value
            .try_extract_tensor::<f32>()
            .map_err(|error| error.to_string())?;
        if data.len() != chips * self.dimensions {
            return Err(format!(
                "its output has the shape {:?} instead of [{}, {}]",
                &shape[..],
                chips,
                self.dimensions
            ));
        }
        for one in data.chunks_exact(self.dimensions) {
            let length = one.iter().map(|value| value * value).sum::<f32>().sqrt();
            if !length.is_finite() || length < 1e-6 {
                return Err("an embedding has no direction".into());
            }
            sum.iter_mut()
                .zip(one)
                .for_each(|(sum, value)| *sum += value / length);
        }
        Ok(())
    }

    /// Measures the median time of a face, to choose between variants.
    pub fn median_time(&mut self) -> Result<Duration, String> {
        const WARM_UP: usize = 3;
        const RUNS: usize = 9;
        let chip: Vec<u8> = (0..self.side * self.side * 3)
            .map(|i| (i * 7 % 251) as u8)
            .collect();
        let mut sum = vec![0.0; self.dimensions];
        let mut times = Vec::with_capacity(RUNS);
        for run in 0..WARM_UP + RUNS {
            let start = Instant::now();
            self.add(&chip, &mut sum)?;
            if run >= WARM_UP {
                times.push(start.elapsed());
            }
        }
        times.sort();
        Ok(times[RUNS / 2])
    }
}
