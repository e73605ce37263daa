//! Measures the quality of a face: size, pose from the five points, sharpness and brightness of
//! the aligned chip, and the share of the face that lies inside the picture.

use super::{align::SimilarityTransform, detect::Detection};
use crate::{domain::quality::Quality, ports::FaceBox};

/// Distance of the nose tip from the line between the middle of the eyes and the middle of the
/// mouth, over the distance between the eyes. Anthropometry puts it near 0.5.
const NOSE_DEPTH: f32 = 0.5;
/// The same distance over the height from eyes to mouth.
const NOSE_DEPTH_UPRIGHT: f32 = 0.48;
/// Height of the nose tip of an upright head, between the eyes (0) and the mouth (1).
const NOSE_HEIGHT: f32 = 0.575;
/// Side of the centered part of the chip that is measured for light, over the side of the chip:
/// the face without its background.
const INNER: f32 = 0.64;

/// Measures a detected face. `to_chip` maps the image to the chip of `side` × `side` RGB pixels.
pub fn measure(
    face: &Detection,
    size: (u32, u32),
    to_chip: SimilarityTransform,
    chip: &[u8],
    side: usize,
) -> Quality {
    let (yaw, pitch) = pose(&face.landmarks);
    let [right_eye, left_eye, ..] = face.landmarks;
    let roll = (left_eye.1 - right_eye.1)
        .atan2(left_eye.0 - right_eye.0)
        .to_degrees();
    let (brightness, contrast, sharpness) = light(chip, side);
    // Enlarging a face that is smaller than the chip blurs it. That is not the lens's fault, and
    // size has a rule of its own, so the loss is compensated: the Laplacian of a smooth surface
    // falls with the square of the enlargement.
    let enlarged = to_chip.scale().max(1.0);
    let bounds = &face.bounds;
    Quality {
        width: bounds.width,
        yaw,
        pitch,
        roll,
        sharpness: sharpness * enlarged * enlarged,
        brightness,
        contrast,
        inside: (visible_area(bounds, size) / bounds.area()).clamp(0.0, 1.0),
        score: face.score,
    }
}

/// Returns the area of a box that lies inside an image of `width` × `height`, in square pixels.
pub fn visible_area(bounds: &FaceBox, (width, height): (u32, u32)) -> f32 {
    let across = (bounds.x + bounds.width).min(width as f32) - bounds.x.max(0.0);
    let down = (bounds.y + bounds.height).min(height as f32) - bounds.y.max(0.0);
    across.max(0.0) * down.max(0.0)
}

/// Estimates yaw and pitch, in degrees, from the position of the nose tip between eyes and mouth.
///
/// In the head's own axes, the nose tip lies in front of the plane of eyes and mouth. A turn by φ
/// moves it by depth · sin φ and shortens the plane to cos φ, so the shift over the shortened size
/// is depth · tan φ.
fn pose(points: &[(f32, f32); 5]) -> (f32, f32) {
    let middle = |a: (f32, f32), b: (f32, f32)| ((a.0 + b.0) / 2.0, (a.1 + b.1) / 2.0);
    let [right_eye, left_eye, nose, right_mouth, left_mouth] = *points;
    let (eyes, mouth) = (middle(right_eye, left_eye), middle(right_mouth, left_mouth));
    // The head's own axes: across runs along the eyes, down from eyes to mouth.
    let across = (left_eye.0 - right_eye.0, left_eye.1 - right_eye.1);
    let down = (mouth.0 - eyes.0, mouth.1 - eyes.1);
    let from = (nose.0 - eyes.0, nose.1 - eyes.1);
    // nose − eyes = u · across + v · down, solved by Cramer's rule.
    let area = across.0 * down.1 - across.1 * down.0;
    if area.abs() < 1e-3 {
        // Eyes and mouth are on one line: a profile, or a turn beyond it.
        return (90.0, 0.0);
    }
    let u = (from.0 * down.1 - from.1 * down.0) / area;
    let v = (across.0 * from.1 - across.1 * from.0) / area;
    (
        (u / NOSE_DEPTH).atan().to_degrees(),
        ((v - NOSE_HEIGHT) / NOSE_DEPTH_UPRIGHT).atan().to_degrees(),
    )
}

/// Returns the mean and standard deviation of luma, and the variance of its Laplacian, over the
/// inner part of the chip.
fn light(chip: &[u8], side: usize) -> (f32, f32, f32) {
    let margin = (side as f32 * (1.0 - INNER) / 2.0) as usize;
    let luma = |x: usize, y: usize| {
        let [red, green, blue] =
            [0, 1, 2].map(|channel| i32::from(chip[(y * side + x) * 3 + channel]));
        // ITU-R BT.601 weights, in 256ths.
        (77 * red + 150 * green + 29 * blue + 128) >> 8
    };
    let inner = side - 2 * margin;
    // One more pixel on each side for the Laplacian; each luma is computed once.
    let width = inner + 2;
    let plane: Vec<i32> = (margin - 1..side - margin + 1)
        .flat_map(|y| (margin - 1..side - margin + 1).map(move |x| luma(x, y)))
        .collect();
    let (mut sum, mut squares, mut edges, mut edge_squares) = (0i64, 0i64, 0i64, 0i64);
    for y in 1..=inner {
        let rows = &plane[(y - 1) * width..(y + 2) * width];
        for x in 1..=inner {
            let here = rows[width + x];
            let edge = rows[x] + rows[2 * width + x] + rows[width + x - 1] + rows[width + x + 1]
                - 4 * here;
            sum += i64::from(here);
            squares += i64::from(here * here);
            edges += i64::from(edge);
            edge_squares += i64::from(edge * edge);
        }
    }
    let count = (inner * inner) as f64;
    let variance = |sum: i64, squares: i64| {
        let mean = sum as f64 / count;
        (squares as f64 / count - mean * mean).max(0.0)
    };
    (
        (sum as f64 / count) as f32,
        variance(sum, squares).sqrt() as f32,
        variance(edges, edge_squares) as f32,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Projects a head of unit size, turned, nodded and tilted, from far away.
    fn head(yaw: f32, pitch: f32, roll: f32) -> [(f32, f32); 5] {
        let (eyes, mouth) = (1.0, NOSE_DEPTH / NOSE_DEPTH_UPRIGHT);
        let points = [
            (-eyes / 2.0, 0.0, 0.0),
            (eyes / 2.0, 0.0, 0.0),
            (0.0, NOSE_HEIGHT * mouth, NOSE_DEPTH),
            (-0.4, mouth, 0.0),
            (0.4, mouth, 0.0),
        ];
        let (yaw, pitch, roll) = (yaw.to_radians(), pitch.to_radians(), roll.to_radians());
        points.map(|(x, y, z)| {
            let (x, z) = (x * yaw.cos() + z * yaw.sin(), z * yaw.cos() - x * yaw.sin());
            let y = y * pitch.cos() + z * pitch.sin();
            (
                100.0 + 60.0 * (x * roll.cos() - y * roll.sin()),
                80.0 + 60.0 * (x * roll.sin() + y * roll.cos()),
            )
        })
    }

    #[test]
    fn yaw_is_measured_at_any_roll() {
        for yaw in [-45.0, -20.0, 0.0, 30.0, 60.0f32] {
            for roll in [-30.0, 0.0, 20.0] {
                let (measured, _) = pose(&head(yaw, 0.0, roll));
                assert!(
                    (measured - yaw).abs() < 1.0,
                    "{measured} for {yaw} tilted {roll}"
                );
            }
        }
    }

    #[test]
    fn pitch_is_measured_and_down_is_positive() {
        for pitch in [-30.0, 0.0, 25.0f32] {
            let (yaw, measured) = pose(&head(0.0, pitch, 10.0));
            assert!(
                (measured - pitch).abs() < 1.0 && yaw.abs() < 1.0,
                "{measured} for {pitch}"
            );
        }
    }

    #[test]
    fn points_in_one_place_count_as_a_profile() {
        assert_eq!(pose(&[(5.0, 5.0); 5]).0, 90.0);
    }

    #[test]
    fn light_is_measured_in_the_middle_of_the_chip() {
        let side = 100;
        let mut chip = vec![0u8; side * side * 3];
        for y in 10..90 {
            for x in 10..90 {
                let value = if (x + y) % 2 == 0 { 110 } else { 90 };
                chip[(y * side + x) * 3..][..3].fill(value);
            }
        }
        let (brightness, contrast, sharpness) = light(&chip, side);
        assert!((brightness - 100.0).abs() < 0.5 && (contrast - 10.0).abs() < 0.1);
        // Each pixel differs by 20 from its four neighbors, up and down in turn.
        assert!((sharpness - 6400.0).abs() < 10.0, "{sharpness}");
    }
}
