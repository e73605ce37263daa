//! From aligned chips to an embedding: several views of one face, their unit embeddings' mean.

use std::time::{Duration, Instant};

use image::RgbImage;
use ort::{inputs, session::Session, value::TensorRef};

use super::{
    align::{Shrunk, Similar, chip},
    pack::EmbedderSpec,
    runtime::Runtime,
    tensor::Feed,
};
use crate::domain::biometrics::{Embedding, Views};

/// The seven views of [`Views::All`] as turn (degrees), scale and move (shares of the chip's
/// side): the face as it is, larger and smaller, moved to both sides, turned to both sides.
/// Measured for docs/MODELS.md; moves are 4 pixels of a chip of 150.
const VIEWS: [(f32, f32, (f32, f32)); 7] = [
    (0.0, 1.0, (0.0, 0.0)),
    (0.0, 0.92, (0.0, 0.0)),
    (0.0, 1.08, (0.0, 0.0)),
    (0.0, 1.0, (4.0 / 150.0, 0.0)),
    (0.0, 1.0, (0.0, 4.0 / 150.0)),
    (5.0, 1.0, (0.0, 0.0)),
    (-5.0, 1.0, (0.0, 0.0)),
];

/// An embedder on one thread, with its memory.
pub struct Embedder {
    session: Session,
    input: String,
    feed: Feed,
    side: usize,
    dimensions: usize,
    template: [(f32, f32); 5],
    mirror: bool,
    /// Chips in one run: two when the face and its mirror image fit in one.
    batch: usize,
    planes: Vec<f32>,
    view: Vec<u8>,
    shrunk: Shrunk,
}

impl Embedder {
    /// Opens the model and makes sure, by running it, that it is the embedder that the pack
    /// tells of.
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
            .ok_or("its input is no tensor")?;
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
        let batch = if spec.mirror && count != 1 { 2 } else { 1 };
        let side = spec.input as usize;
        let mut embedder = Self {
            input: input.name().to_owned(),
            session,
            feed: Feed {
                colour: spec.colour,
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
            shrunk: Shrunk::default(),
        };
        let mut sum = vec![0.0; spec.dimensions];
        let grey = vec![128; side * side * 3];
        embedder.add(&grey, &mut sum)?;
        if Embedding::normalise(sum).is_none() {
            return Err("its embedding of a grey image has no direction".into());
        }
        Ok(embedder)
    }

    /// Side of the chip, pixels.
    pub fn side(&self) -> usize {
        self.side
    }

    /// What brings a face to its place in the chip; `None` when the points do not make a face.
    pub fn place(&self, landmarks: &[(f32, f32); 5]) -> Option<Similar> {
        Similar::fit(landmarks, &self.template)
    }

    /// Cuts the face out at its place.
    pub fn chip(&mut self, image: &RgbImage, place: Similar, out: &mut Vec<u8>) {
        chip(image, place, self.side, &mut self.shrunk, out);
    }

    /// Embeds a face whose chip was cut out already; further views are cut from the image.
    pub fn embed(
        &mut self,
        image: &RgbImage,
        place: Similar,
        face: &[u8],
        views: Views,
    ) -> Result<Embedding, String> {
        let mut sum = vec![0.0; self.dimensions];
        self.add(face, &mut sum)?;
        if views == Views::All {
            let middle = (self.side as f32 - 1.0) / 2.0;
            let mut view = std::mem::take(&mut self.view);
            for (degrees, scale, (dx, dy)) in &VIEWS[1..] {
                let shift = (dx * self.side as f32, dy * self.side as f32);
                let nudge = Similar::about((middle, middle), *degrees, *scale, shift);
                chip(
                    image,
                    place.then(nudge),
                    self.side,
                    &mut self.shrunk,
                    &mut view,
                );
                self.add(&view, &mut sum)?;
            }
            self.view = view;
        }
        Embedding::normalise(sum).ok_or_else(|| "the embedding has no direction".to_owned())
    }

    /// Adds the unit embeddings of a chip, and of its mirror image if the pack wants it.
    fn add(&mut self, chip: &[u8], sum: &mut [f32]) -> Result<(), String> {
        let size = 3 * self.side * self.side;
        let square = (self.side, self.side);
        self.feed
            .fill(chip, square, &mut self.planes[..size], self.side);
        if self.batch == 2 {
            self.feed
                .fill_mirrored(chip, self.side, &mut self.planes[size..]);
        }
        self.run(sum)?;
        if self.mirror && self.batch == 1 {
            self.feed.fill_mirrored(chip, self.side, &mut self.planes);
            self.run(sum)?;
        }
        Ok(())
    }

    fn run(&mut self, sum: &mut [f32]) -> Result<(), String> {
        let shape = [self.batch, 3, self.side, self.side];
        let tensor = TensorRef::from_array_view((shape, &self.planes[..]))
            .map_err(|error| error.to_string())?;
        let outputs = self
            .session
            .run(inputs![self.input.as_str() => tensor])
            .map_err(|error| error.to_string())?;
        let value = outputs.values().next().ok_or("it has no output")?;
        let (shape, data) = value
            .try_extract_tensor::<f32>()
            .map_err(|error| error.to_string())?;
        if data.len() != self.batch * self.dimensions {
            return Err(format!(
                "its output has the shape {:?} instead of [{}, {}]",
                &shape[..],
                self.batch,
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

    /// The median time of a face, to choose between variants.
    pub fn time(&mut self) -> Result<Duration, String> {
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
