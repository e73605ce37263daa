//! Liveness detection: tells live people from pictures of people, if the pack has models for it.

use fast_image_resize::{
    FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer,
    images::{Image, ImageRef},
};
use image::RgbImage;
use ort::{inputs, session::Session, value::TensorRef};

use super::{pack::LivenessSpec, runtime::Runtime, tensor::Feed};
use crate::ports::FaceBox;

/// A liveness model with its buffers, for one thread.
pub struct Liveness {
    session: Session,
    input: String,
    feed: Feed,
    side: usize,
    crop: f32,
    bona_fide: usize,
    resizer: Resizer,
    pixels: Vec<u8>,
    planes: Vec<f32>,
}

impl Liveness {
    /// Opens the model and checks, by running it, that it matches the pack's description.
    pub fn new(runtime: &Runtime, spec: &LivenessSpec, model: &[u8]) -> Result<Self, String> {
        let session = runtime.session(model)?;
        let [input] = session.inputs() else {
            return Err(format!(
                "it has {} inputs instead of one",
                session.inputs().len()
            ));
        };
        let side = spec.input as usize;
        let mut liveness = Self {
            input: input.name().to_owned(),
            session,
            feed: Feed {
                color: spec.color,
                mean: spec.mean,
                scale: spec.scale,
            },
            side,
            crop: spec.crop_scale,
            bona_fide: spec.live_class,
            resizer: Resizer::new(),
            pixels: vec![0; side * side * 3],
            planes: vec![0.0; side * side * 3],
        };
        let trial = FaceBox {
            x: 20.0,
            y: 20.0,
            width: 24.0,
            height: 24.0,
        };
        liveness.live(&RgbImage::new(64, 64), &trial)?;
        Ok(liveness)
    }

    /// Returns the probability that the face is a live person's, 0..1.
    pub fn live(&mut self, image: &RgbImage, bounds: &FaceBox) -> Result<f32, String> {
        let (left, top, width, height) = enlarge(bounds, self.crop, image.dimensions());
        let source = ImageRef::new(
            image.width(),
            image.height(),
            image.as_raw(),
            PixelType::U8x3,
        )
        .map_err(|error| error.to_string())?;
        let side = self.side as u32;
        let mut target = Image::from_slice_u8(side, side, &mut self.pixels, PixelType::U8x3)
            .map_err(|error| error.to_string())?;
        // Bilinear interpolation without an area filter, because the models were trained on such
        // crops.
        let options = ResizeOptions::new()
            .resize_alg(ResizeAlg::Interpolation(FilterType::Bilinear))
            .crop(left, top, width, height);
        self.resizer
            .resize(&source, &mut target, &options)
            .map_err(|error| error.to_string())?;
        self.feed.fill(
            &self.pixels,
            (self.side, self.side),
            &mut self.planes,
            self.side,
        );
        let tensor = TensorRef::from_array_view(([1, 3, self.side, self.side], &self.planes[..]))
            .map_err(|error| error.to_string())?;
        let outputs = self
            .session
            .run(inputs![self.input.as_str() => tensor])
            .map_err(|error| error.to_string())?;
        let value = outputs.values().next().ok_or("it has no output")?;
        let (_, classes) = value
            .try_extract_tensor::<f32>()
            .map_err(|error| error.to_string())?;
        let live = classes.get(self.bona_fide).ok_or_else(|| {
            format!(
                "it has {} classes, but class {} should be the bona fide one",
                classes.len(),
                self.bona_fide
            )
        })?;
        Ok(probability(classes, *live))
    }
}

/// Returns the probability of one class. Outputs that already are probabilities are used as they
/// are; logits go through softmax.
fn probability(classes: &[f32], one: f32) -> f32 {
    let sum: f32 = classes.iter().sum();
    if classes.iter().all(|value| (0.0..=1.0).contains(value)) && (sum - 1.0).abs() < 0.01 {
        return one;
    }
    let most = classes.iter().copied().fold(f32::MIN, f32::max);
    let total: f32 = classes.iter().map(|value| (value - most).exp()).sum();
    (one - most).exp() / total
}

/// Enlarges a box around its middle, `times` as large or as large as fits, and moves it into the
/// image. Returns left, top, width and height, in pixels.
fn enlarge(bounds: &FaceBox, times: f32, (width, height): (u32, u32)) -> (f64, f64, f64, f64) {
    let (wide, high) = (width as f32, height as f32);
    let times = times
        .min((high - 1.0) / bounds.height)
        .min((wide - 1.0) / bounds.width);
    let (w, h) = (
        (bounds.width * times).max(1.0),
        (bounds.height * times).max(1.0),
    );
    let x = (bounds.x + bounds.width / 2.0 - w / 2.0).clamp(0.0, (wide - w).max(0.0));
    let y = (bounds.y + bounds.height / 2.0 - h / 2.0).clamp(0.0, (high - h).max(0.0));
    let fit = |start: f32, length: f32, most: f32| f64::from(length.min(most - start));
    (f64::from(x), f64::from(y), fit(x, w, wide), fit(y, h, high))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_crop_always_lies_inside_the_image(
            x in -100f32..700.0, y in -100f32..500.0, w in 1f32..900.0, h in 1f32..900.0, times in 0.5f32..20.0,
        ) {
            let bounds = FaceBox { x, y, width: w, height: h };
            let (left, top, width, height) = enlarge(&bounds, times, (640, 480));
            prop_assert!(left >= 0.0 && top >= 0.0 && width > 0.0 && height > 0.0);
            prop_assert!(left + width <= 640.0 && top + height <= 480.0);
        }
    }

    #[test]
    fn probabilities_are_used_as_they_are_and_logits_go_through_softmax() {
        assert_eq!(probability(&[0.2, 0.7, 0.1], 0.7), 0.7);
        assert!((probability(&[1.0, 1.0 + 2f32.ln(), 1.0], 1.0 + 2f32.ln()) - 0.5).abs() < 1e-6);
    }

    #[test]
    fn a_crop_at_the_edge_is_moved_and_not_shortened() {
        let bounds = FaceBox {
            x: 0.0,
            y: 0.0,
            width: 100.0,
            height: 100.0,
        };
        assert_eq!(enlarge(&bounds, 2.0, (640, 480)), (0.0, 0.0, 200.0, 200.0));
    }
}
