//! Detects faces: runs a detector, reads its outputs, and keeps one box for each face.

use fast_image_resize::{
    FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer,
    images::{Image, ImageRef},
};
use image::RgbImage;
use ort::{
    inputs,
    session::{RunOptions, Session},
    value::TensorRef,
};

use super::{
    pack::{DetectorFamily, DetectorSpec},
    runtime::Runtime,
    tensor::Feed,
};
use crate::ports::FaceBox;

/// A detected face, in pixels of the image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detection {
    /// Its bounding box.
    pub bounds: FaceBox,
    /// Right eye (image left), left eye, nose tip, right and left mouth corner.
    pub landmarks: [(f32, f32); 5],
    /// The detector's score, 0..1.
    pub score: f32,
}

/// The strides of the detector's three grids, in pixels.
const STRIDES: [usize; 3] = [8, 16, 32];
/// Maximum number of candidates for the suppression of overlaps, best first. Its cost is
/// quadratic.
const MOST_CANDIDATES: usize = 1000;
/// Maximum number of faces in one image.
const MOST_FACES: usize = 64;

/// A detection model with its buffers, for one thread.
pub struct Detector {
    session: Session,
    input: String,
    feed: Feed,
    family: DetectorFamily,
    stride: usize,
    threshold: f32,
    overlap: f32,
    /// Width and height, if the model accepts one input size only.
    fixed: Option<(usize, usize)>,
    resizer: Resizer,
    small: Vec<u8>,
    shrinking: RunOptions,
    planes: Vec<f32>,
}

impl Detector {
    /// Opens the model and checks, by running it, that it is a detector of its family.
    pub fn new(runtime: &Runtime, spec: &DetectorSpec, model: &[u8]) -> Result<Self, String> {
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
        let fixed = match shape[..] {
            [_, 3, height, width] if height > 0 && width > 0 => {
                Some((width as usize, height as usize))
            }
            [_, 3 | -1, _, _] => None,
            _ => {
                return Err(format!(
                    "its input has the shape {:?} instead of [N, 3, H, W]",
                    &shape[..]
                ));
            }
        };
        let mut detector = Self {
            input: input.name().to_owned(),
            session,
            feed: Feed {
                color: spec.color,
                mean: spec.mean,
                scale: spec.scale,
            },
            family: spec.family,
            stride: spec.stride as usize,
            threshold: spec.score_threshold,
            overlap: spec.nms_iou,
            fixed,
            resizer: Resizer::new(),
            small: Vec::new(),
            shrinking: shrinking()?,
            planes: Vec::new(),
        };
        detector.detect(&RgbImage::new(64, 64), 64)?;
        Ok(detector)
    }

    /// Detects faces, best first, after the image's longer side is scaled down to `side` pixels.
    /// Small images are not enlarged.
    pub fn detect(&mut self, image: &RgbImage, side: u32) -> Result<Vec<Detection>, String> {
        let (width, height) = image.dimensions();
        let longest = width.max(height) as f32;
        let mut shrink = (side as f32 / longest).min(1.0);
        if let Some((across, down)) = self.fixed {
            shrink = shrink
                .min(across as f32 / width as f32)
                .min(down as f32 / height as f32);
        }
        let target = |length: u32| ((length as f32 * shrink).round() as u32).max(1);
        let (across, down) = (target(width), target(height));
        let pixels: &[u8] = if (across, down) == (width, height) {
            image.as_raw()
        } else {
            self.small.resize(across as usize * down as usize * 3, 0);
            let source = ImageRef::new(width, height, image.as_raw(), PixelType::U8x3)
                .map_err(|error| error.to_string())?;
            let mut small = Image::from_slice_u8(across, down, &mut self.small, PixelType::U8x3)
                .map_err(|error| error.to_string())?;
            let options =
                ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
            self.resizer
                .resize(&source, &mut small, &options)
                .map_err(|error| error.to_string())?;
            &self.small
        };
        let (across, down) = (across as usize, down as usize);
        let padded = |length: usize| length.next_multiple_of(self.stride);
        let (wide, high) = self.fixed.unwrap_or((padded(across), padded(down)));
        self.planes.resize(wide * high * 3, 0.0);
        self.feed
            .fill(pixels, (across, down), &mut self.planes, wide);

        let tensor = TensorRef::from_array_view(([1, 3, high, wide], &self.planes[..]))
            .map_err(|error| error.to_string())?;
        let inputs = inputs![self.input.as_str() => tensor];
        let outputs = match wide * high > LARGE_INPUT {
            true => self.session.run_with_options(inputs, &self.shrinking),
            false => self.session.run(inputs),
        };
        let outputs = outputs.map_err(|error| error.to_string())?;
        let output = |name: String, values: usize| {
            let value = outputs
                .get(&name)
                .ok_or_else(|| format!("it has no output {name}"))?;
            let (_, data) = value
                .try_extract_tensor::<f32>()
                .map_err(|error| error.to_string())?;
            if data.len() == values {
                Ok(data)
            } else {
                Err(format!(
                    "its output {name} has {} values instead of {values}",
                    data.len()
                ))
            }
        };
        let mut found = Vec::new();
        match self.family {
            DetectorFamily::Yunet => {
                for stride in STRIDES {
                    let (columns, rows) = (wide / stride, high / stride);
                    let cells = columns * rows;
                    let grid = Grid {
                        columns,
                        stride: stride as f32,
                        class: output(format!("cls_{stride}"), cells)?,
                        object: output(format!("obj_{stride}"), cells)?,
                        boxes: output(format!("bbox_{stride}"), cells * 4)?,
                        points: output(format!("kps_{stride}"), cells * 10)?,
                    };
                    grid.read(self.threshold, &mut found);
                }
            }
        }
        let mut kept = suppress_overlaps(found, self.overlap);
        let (grow_x, grow_y) = (width as f32 / across as f32, height as f32 / down as f32);
        for face in &mut kept {
            face.bounds = FaceBox {
                x: face.bounds.x * grow_x,
                y: face.bounds.y * grow_y,
                width: face.bounds.width * grow_x,
                height: face.bounds.height * grow_y,
            };
            for point in &mut face.landmarks {
                *point = (point.0 * grow_x, point.1 * grow_y);
            }
        }
        drop(outputs);
        if wide * high > LARGE_INPUT {
            (self.small, self.planes) = (Vec::new(), Vec::new());
            self.resizer.reset_internal_buffers();
        }
        Ok(kept)
    }
}

/// Inputs of more pixels are rare, and take over a hundred megabytes in ONNX Runtime and here. Both
/// keep the memory of their largest run otherwise, so it is given back after each of these.
const LARGE_INPUT: usize = 1_000_000;

/// Returns the options of a run after which the session gives memory back.
fn shrinking() -> Result<RunOptions, String> {
    let mut options = RunOptions::new().map_err(|error| error.to_string())?;
    options
        .set("memory.enable_memory_arena_shrinkage", "cpu:0")
        .map_err(|error| error.to_string())?;
    Ok(options)
}

/// The outputs of one stride, with cells in row-major order.
struct Grid<'a> {
    columns: usize,
    stride: f32,
    class: &'a [f32],
    object: &'a [f32],
    boxes: &'a [f32],
    points: &'a [f32],
}

impl Grid<'_> {
    /// Reads the cells at or above the threshold. The score is √(class · objectness). A box is the
    /// offset of its center and the logarithm of its size, both in cells; a point is an offset in
    /// cells.
    fn read(&self, threshold: f32, found: &mut Vec<Detection>) {
        let least = threshold * threshold;
        for (cell, (&class, &object)) in self.class.iter().zip(self.object).enumerate() {
            let product = class.clamp(0.0, 1.0) * object.clamp(0.0, 1.0);
            // Not written as `product < least`, because NaN must not pass.
            if !(product >= least && product > 0.0) {
                continue;
            }
            let (row, column) = ((cell / self.columns) as f32, (cell % self.columns) as f32);
            let [dx, dy, w, h] = std::array::from_fn(|i| self.boxes[cell * 4 + i]);
            let (width, height) = (w.exp() * self.stride, h.exp() * self.stride);
            let points = &self.points[cell * 10..][..10];
            let face = Detection {
                bounds: FaceBox {
                    x: (column + dx) * self.stride - width / 2.0,
                    y: (row + dy) * self.stride - height / 2.0,
                    width,
                    height,
                },
                landmarks: std::array::from_fn(|i| {
                    (
                        (column + points[2 * i]) * self.stride,
                        (row + points[2 * i + 1]) * self.stride,
                    )
                }),
                score: product.sqrt(),
            };
            let numbers = [face.bounds.x, face.bounds.y, width, height];
            if numbers
                .iter()
                .chain(points)
                .all(|number| number.is_finite())
            {
                found.push(face);
            }
        }
    }
}

/// Keeps the best of the boxes that overlap by more than `most` (intersection over union).
fn suppress_overlaps(mut found: Vec<Detection>, most: f32) -> Vec<Detection> {
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    found.truncate(MOST_CANDIDATES);
    let mut kept: Vec<Detection> = Vec::new();
    for face in found {
        if kept.len() == MOST_FACES {
            break;
        }
        if kept
            .iter()
            .all(|other| overlap(&other.bounds, &face.bounds) <= most)
        {
            kept.push(face);
        }
    }
    kept
}

/// Returns the intersection over union of two boxes, 0..1.
pub(super) fn overlap(a: &FaceBox, b: &FaceBox) -> f32 {
    let across = (a.x + a.width).min(b.x + b.width) - a.x.max(b.x);
    let down = (a.y + a.height).min(b.y + b.height) - a.y.max(b.y);
    let common = across.max(0.0) * down.max(0.0);
    common / (a.area() + b.area() - common)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn face(x: f32, score: f32) -> Detection {
        Detection {
            bounds: FaceBox {
                x,
                y: 0.0,
                width: 10.0,
                height: 10.0,
            },
            landmarks: [(0.0, 0.0); 5],
            score,
        }
    }

    #[test]
    fn the_best_of_overlapping_boxes_is_kept() {
        let kept = suppress_overlaps(vec![face(0.0, 0.7), face(2.0, 0.9), face(30.0, 0.6)], 0.3);
        let scores: Vec<f32> = kept.iter().map(|face| face.score).collect();
        assert_eq!(scores, [0.9, 0.6]);
    }

    #[test]
    fn overlap_is_intersection_over_union() {
        let (a, b) = (face(0.0, 1.0).bounds, face(5.0, 1.0).bounds);
        assert!((overlap(&a, &b) - 50.0 / 150.0).abs() < 1e-6);
        assert_eq!(overlap(&a, &face(20.0, 1.0).bounds), 0.0);
    }

    #[test]
    fn cells_are_read_by_the_formula_and_noise_is_skipped() {
        let mut boxes = vec![0.0; 8];
        boxes[4..].copy_from_slice(&[0.5, 0.25, 2f32.ln(), 3f32.ln()]);
        let mut points = vec![0.0; 20];
        points[10] = 0.5;
        let grid = Grid {
            columns: 2,
            stride: 8.0,
            class: &[f32::NAN, 0.81],
            object: &[1.0, 1.3],
            boxes: &boxes,
            points: &points,
        };
        let mut found = Vec::new();
        grid.read(0.6, &mut found);
        let [face] = found[..] else {
            panic!("{found:?}")
        };
        assert!((face.score - 0.9).abs() < 1e-6);
        assert!(
            (face.bounds.width - 16.0).abs() < 1e-4 && (face.bounds.height - 24.0).abs() < 1e-4
        );
        assert!(
            (face.bounds.x - (12.0 - 8.0)).abs() < 1e-4
                && (face.bounds.y - (2.0 - 12.0)).abs() < 1e-4
        );
        assert_eq!(face.landmarks[0], (12.0, 0.0));
    }
}
