//! Aligns a face with the template of the embedder.
//!
//! A similarity transform (rotation, scale, translation: 4 degrees of freedom) is fitted to the
//! five points by least squares (Umeyama 1991). The chip is sampled from the image through its
//! inverse, with bilinear interpolation and black outside of the image. Faces of at least twice
//! the chip's size are averaged down first.

use image::RgbImage;

/// The transform x' = a·x − b·y + x0, y' = b·x + a·y + y0. Pixels are points: (0, 0) is the center
/// of the first pixel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SimilarityTransform {
    a: f32,
    b: f32,
    x0: f32,
    y0: f32,
}

impl SimilarityTransform {
    /// Fits the transform that maps `from` to `to` with the least squared error; `None` if the
    /// points of `from` are practically the same point.
    pub fn fit(from: &[(f32, f32); 5], to: &[(f32, f32); 5]) -> Option<Self> {
        let mean = |points: &[(f32, f32); 5]| {
            let (x, y) = points
                .iter()
                .fold((0.0, 0.0), |sum, p| (sum.0 + p.0, sum.1 + p.1));
            (x / 5.0, y / 5.0)
        };
        let (p, q) = (mean(from), mean(to));
        let (mut dot, mut cross, mut spread) = (0.0, 0.0, 0.0);
        for (f, t) in from.iter().zip(to) {
            let (fx, fy, tx, ty) = (f.0 - p.0, f.1 - p.1, t.0 - q.0, t.1 - q.1);
            dot += fx * tx + fy * ty;
            cross += fx * ty - fy * tx;
            spread += fx * fx + fy * fy;
        }
        let (a, b) = (dot / spread, cross / spread);
        let fitted = Self {
            a,
            b,
            x0: q.0 - a * p.0 + b * p.1,
            y0: q.1 - b * p.0 - a * p.1,
        };
        (spread > 1e-3 && fitted.scale() > 1e-4 && fitted.scale().is_finite()).then_some(fitted)
    }

    /// Creates the transform that rotates by `degrees` and scales around a point, then moves.
    pub fn about((x, y): (f32, f32), degrees: f32, scale: f32, (dx, dy): (f32, f32)) -> Self {
        let (sin, cos) = degrees.to_radians().sin_cos();
        let (a, b) = (cos * scale, sin * scale);
        Self {
            a,
            b,
            x0: x - a * x + b * y + dx,
            y0: y - b * x - a * y + dy,
        }
    }

    /// Returns the transform that applies this one first, then `next`.
    pub fn then(self, next: Self) -> Self {
        let (x0, y0) = next.apply((self.x0, self.y0));
        Self {
            a: next.a * self.a - next.b * self.b,
            b: next.b * self.a + next.a * self.b,
            x0,
            y0,
        }
    }

    /// Transforms a point.
    pub fn apply(self, (x, y): (f32, f32)) -> (f32, f32) {
        (
            self.a * x - self.b * y + self.x0,
            self.b * x + self.a * y + self.y0,
        )
    }

    /// Returns the factor by which it enlarges.
    pub fn scale(self) -> f32 {
        self.a.hypot(self.b)
    }

    fn inverse(self) -> Self {
        let square = self.a * self.a + self.b * self.b;
        let (a, b) = (self.a / square, -self.b / square);
        Self {
            a,
            b,
            x0: -(a * self.x0 - b * self.y0),
            y0: -(b * self.x0 + a * self.y0),
        }
    }
}

/// A reusable buffer for the shrunk part of an image.
#[derive(Debug, Default)]
pub struct ShrinkBuffer {
    pixels: Vec<u8>,
}

/// A view of RGB pixels, row by row.
#[derive(Clone, Copy)]
struct Pixels<'a> {
    data: &'a [u8],
    width: usize,
    height: usize,
}

/// Samples a square chip of `side` × `side` RGB pixels; `to_chip` maps the image to the chip.
pub fn chip(
    image: &RgbImage,
    to_chip: SimilarityTransform,
    side: usize,
    shrunk: &mut ShrinkBuffer,
    chip: &mut Vec<u8>,
) {
    chip.resize(side * side * 3, 0);
    let whole = Pixels {
        data: image.as_raw(),
        width: image.width() as usize,
        height: image.height() as usize,
    };
    let back = to_chip.inverse();
    let factor = (1.0 / to_chip.scale()).floor() as usize;
    if factor < 2 {
        return sample(whole, back, side, chip);
    }
    // The part of the image that the chip covers, in blocks of `factor` pixels.
    let end = (side - 1) as f32;
    let corners = [(0.0, 0.0), (end, 0.0), (0.0, end), (end, end)].map(|corner| back.apply(corner));
    let span = |pick: fn((f32, f32)) -> f32, length: usize| {
        let low = corners
            .iter()
            .map(|&corner| pick(corner))
            .fold(f32::MAX, f32::min);
        let high = corners
            .iter()
            .map(|&corner| pick(corner))
            .fold(f32::MIN, f32::max);
        let first = (low / factor as f32).floor().max(1.0) as usize - 1;
        let last = (high / factor as f32).ceil().max(0.0) as usize + 2;
        let last = last.min(length.div_ceil(factor));
        (first.min(last), last)
    };
    let (left, right) = span(|corner| corner.0, whole.width);
    let (top, bottom) = span(|corner| corner.1, whole.height);
    if left >= right || top >= bottom {
        return chip.fill(0);
    }
    let small = shrink(
        whole,
        factor,
        (left, right),
        (top, bottom),
        &mut shrunk.pixels,
    );
    // The center of a small pixel is the center of the pixels that it averages.
    let half = (factor as f32 - 1.0) / 2.0;
    let step = factor as f32;
    let back = back.then(SimilarityTransform {
        a: 1.0 / step,
        b: 0.0,
        x0: -half / step - left as f32,
        y0: -half / step - top as f32,
    });
    sample(small, back, side, chip);
}

/// Averages blocks of `factor` × `factor` pixels, for the given columns and rows of blocks.
fn shrink<'a>(
    image: Pixels<'_>,
    factor: usize,
    (left, right): (usize, usize),
    (top, bottom): (usize, usize),
    out: &'a mut Vec<u8>,
) -> Pixels<'a> {
    let (width, height) = (right - left, bottom - top);
    out.clear();
    out.reserve(width * height * 3);
    let mut sums = vec![[0u32; 3]; width];
    for row in top..bottom {
        sums.fill([0; 3]);
        let (first, last) = (row * factor, ((row + 1) * factor).min(image.height));
        for y in first..last {
            let start = (y * image.width + left * factor) * 3;
            let end = (y * image.width + (right * factor).min(image.width)) * 3;
            for (block, sum) in image.data[start..end].chunks(factor * 3).zip(&mut sums) {
                for pixel in block.as_chunks::<3>().0 {
                    for (total, &value) in sum.iter_mut().zip(pixel) {
                        *total += u32::from(value);
                    }
                }
            }
        }
        for (column, sum) in sums.iter().enumerate() {
            let across = ((left + column + 1) * factor).min(image.width) - (left + column) * factor;
            let count = (across * (last - first)) as u32;
            out.extend(sum.map(|total| ((total + count / 2) / count) as u8));
        }
    }
    Pixels {
        data: out,
        width,
        height,
    }
}

/// Samples the chip with bilinear interpolation, black outside of the image. `back` maps the chip
/// to the image.
fn sample(image: Pixels<'_>, back: SimilarityTransform, side: usize, chip: &mut [u8]) {
    let (wide, high) = (image.width as i64, image.height as i64);
    let at = |x: i64, y: i64, channel: usize| {
        if (0..wide).contains(&x) && (0..high).contains(&y) {
            f32::from(image.data[(y as usize * image.width + x as usize) * 3 + channel])
        } else {
            0.0
        }
    };
    let row_bytes = image.width * 3;
    for (v, row) in chip.chunks_exact_mut(side * 3).enumerate() {
        let v = v as f32;
        for (u, pixel) in row.as_chunks_mut::<3>().0.iter_mut().enumerate() {
            let (x, y) = back.apply((u as f32, v));
            let (left, top) = (x.floor(), y.floor());
            let (fx, fy) = (x - left, y - top);
            let weights = [
                (1.0 - fx) * (1.0 - fy),
                fx * (1.0 - fy),
                (1.0 - fx) * fy,
                fx * fy,
            ];
            let (left, top) = (left as i64, top as i64);
            let inside = left >= 0 && top >= 0 && left + 1 < wide && top + 1 < high;
            if inside {
                let start = top as usize * row_bytes + left as usize * 3;
                let upper = &image.data[start..start + 6];
                let lower = &image.data[start + row_bytes..start + row_bytes + 6];
                for channel in 0..3 {
                    let value = weights[0] * f32::from(upper[channel])
                        + weights[1] * f32::from(upper[channel + 3])
                        + weights[2] * f32::from(lower[channel])
                        + weights[3] * f32::from(lower[channel + 3]);
                    pixel[channel] = (value + 0.5) as u8;
                }
            } else {
                for (channel, out) in pixel.iter_mut().enumerate() {
                    let value = weights[0] * at(left, top, channel)
                        + weights[1] * at(left + 1, top, channel)
                        + weights[2] * at(left, top + 1, channel)
                        + weights[3] * at(left + 1, top + 1, channel);
                    *out = (value + 0.5) as u8;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use image::Rgb;
    use proptest::prelude::*;

    use super::*;

    const TEMPLATE: [(f32, f32); 5] = [
        (46.5, 44.9),
        (102.5, 44.9),
        (74.5, 78.9),
        (50.1, 104.1),
        (98.9, 104.1),
    ];

    proptest! {
        #[test]
        fn the_fit_of_transformed_points_is_exact(
            turn in -180f32..180.0, scale in 0.1f32..8.0, dx in -500f32..500.0, dy in -500f32..500.0,
        ) {
            let moved = SimilarityTransform::about((0.0, 0.0), turn, scale, (dx, dy));
            let points = TEMPLATE.map(|point| moved.apply(point));
            let back = SimilarityTransform::fit(&points, &TEMPLATE).unwrap();
            for (point, wanted) in points.iter().zip(&TEMPLATE) {
                let (x, y) = back.apply(*point);
                prop_assert!((x - wanted.0).abs() < 0.01 && (y - wanted.1).abs() < 0.01);
            }
        }

        #[test]
        fn no_transform_panics(
            turn in -180f32..180.0, scale in 0.02f32..20.0, dx in -900f32..900.0, dy in -900f32..900.0,
            width in 16u32..200, height in 16u32..200,
        ) {
            let image = RgbImage::from_pixel(width, height, Rgb([9, 9, 9]));
            let to_chip = SimilarityTransform::about((0.0, 0.0), turn, scale, (dx, dy));
            let mut out = Vec::new();
            chip(&image, to_chip, 32, &mut ShrinkBuffer::default(), &mut out);
            prop_assert!(out.iter().all(|&value| value <= 9));
        }
    }

    #[test]
    fn identical_points_have_no_fit() {
        assert_eq!(SimilarityTransform::fit(&[(5.0, 5.0); 5], &TEMPLATE), None);
    }

    #[test]
    fn the_identity_copies_the_image_and_leaves_the_rest_black() {
        let image = RgbImage::from_fn(20, 18, |x, y| Rgb([x as u8 * 5, y as u8 * 5, 200]));
        let mut out = Vec::new();
        let same = SimilarityTransform::about((0.0, 0.0), 0.0, 1.0, (0.0, 0.0));
        chip(&image, same, 24, &mut ShrinkBuffer::default(), &mut out);
        let at = |x: usize, y: usize| [0, 1, 2].map(|channel| out[(y * 24 + x) * 3 + channel]);
        assert_eq!(at(7, 9), [35, 45, 200]);
        assert_eq!(at(19, 17), [95, 85, 200]);
        assert_eq!(at(20, 3), [0, 0, 0]);
        assert_eq!(at(3, 18), [0, 0, 0]);
    }

    #[test]
    fn a_large_face_is_averaged_down_to_the_same_place() {
        // The mean of a symmetric block of a linear ramp is the value at its center.
        let image = RgbImage::from_fn(600, 600, |x, y| Rgb([(x / 3) as u8, (y / 3) as u8, 50]));
        let to_chip = SimilarityTransform::about((0.0, 0.0), 0.0, 0.2, (-20.0, -20.0));
        let mut out = Vec::new();
        chip(&image, to_chip, 60, &mut ShrinkBuffer::default(), &mut out);
        for (u, v) in [(5usize, 5usize), (30, 41), (55, 9)] {
            let wanted = [(u as f32 + 20.0) * 5.0 / 3.0, (v as f32 + 20.0) * 5.0 / 3.0];
            for (channel, wanted) in wanted.into_iter().enumerate() {
                let got = f32::from(out[(v * 60 + u) * 3 + channel]);
                assert!((got - wanted).abs() < 1.5, "{got} for {wanted} at {u},{v}");
            }
        }
    }
}
