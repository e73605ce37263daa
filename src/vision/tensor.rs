//! Converts pixels to network inputs: color order, mean and scale, one plane after another.

use super::pack::Color;

/// The input format of a model.
#[derive(Debug, Clone, Copy)]
pub(super) struct Feed {
    /// Order of the planes.
    pub color: Color,
    /// Mean that is subtracted from each plane, in the planes' order.
    pub mean: [f32; 3],
    /// Factor that is applied after the mean is subtracted.
    pub scale: f32,
}

impl Feed {
    /// Returns the index of the byte of an RGB pixel that goes into a plane.
    fn channel(self, plane: usize) -> usize {
        match self.color {
            Color::Rgb => plane,
            Color::Bgr => 2 - plane,
        }
    }

    /// Writes `across` × `down` RGB pixels into the upper left of three planes, which are `width`
    /// pixels wide; the rest becomes black. The height follows from the length of `planes`.
    pub fn fill(
        self,
        pixels: &[u8],
        (across, down): (usize, usize),
        planes: &mut [f32],
        width: usize,
    ) {
        let size = planes.len() / 3;
        for (plane, values) in planes.chunks_exact_mut(size).enumerate() {
            let channel = self.channel(plane);
            let (mean, scale) = (self.mean[plane], self.scale);
            let black = -mean * scale;
            let (reached, beyond) = values.split_at_mut(down * width);
            for (row, source) in reached
                .chunks_exact_mut(width)
                .zip(pixels.chunks_exact(across * 3))
            {
                let (inside, outside) = row.split_at_mut(across);
                for (value, pixel) in inside.iter_mut().zip(source.as_chunks::<3>().0) {
                    *value = (f32::from(pixel[channel]) - mean) * scale;
                }
                outside.fill(black);
            }
            beyond.fill(black);
        }
    }

    /// Like [`Feed::fill`], for a square chip that is mirrored left to right.
    pub fn fill_mirrored(self, chip: &[u8], side: usize, planes: &mut [f32]) {
        for (plane, values) in planes.chunks_exact_mut(side * side).enumerate() {
            let channel = self.channel(plane);
            let (mean, scale) = (self.mean[plane], self.scale);
            for (row, source) in values
                .chunks_exact_mut(side)
                .zip(chip.chunks_exact(side * 3))
            {
                for (value, pixel) in row.iter_mut().rev().zip(source.as_chunks::<3>().0) {
                    *value = (f32::from(pixel[channel]) - mean) * scale;
                }
            }
        }
    }
}
