//! Cheap motion detection: the mean brightness of a picture over a coarse grid.

use async_trait::async_trait;
use zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions};
use zune_jpeg::JpegDecoder;

use super::decode::{SampleLimits, decode};
use crate::{
    domain::cameras::Glance,
    ports::{MotionSensing, Sample, SampleError},
};

/// A sensor that decodes JPEG, which cameras send, without its colors.
#[derive(Debug, Clone, Copy, Default)]
pub struct MotionSensor {
    limits: SampleLimits,
}

#[async_trait]
impl MotionSensing for MotionSensor {
    async fn glance(&self, picture: Sample) -> Result<Glance, SampleError> {
        let sensor = *self;
        // Takes a few milliseconds, which would block the threads that serve requests.
        tokio::task::spawn_blocking(move || sensor.brightness(&picture))
            .await
            .unwrap_or(Err(SampleError::Corrupt))
    }
}

impl MotionSensor {
    fn brightness(self, picture: &Sample) -> Result<Glance, SampleError> {
        let bytes = picture.bytes();
        let lenient = DecoderOptions::default()
            .set_strict_mode(false)
            .jpeg_set_out_colorspace(ColorSpace::Luma);
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(&bytes[..]), lenient);
        let dimensions = match decoder.decode_headers() {
            Ok(()) => decoder.dimensions(),
            Err(_) => None,
        };
        let Some((width, height)) = dimensions else {
            // Not a JPEG. Other formats are rare in a stream, and cost more.
            let image = decode(bytes, self.limits, Vec::new())?;
            let luma = image::DynamicImage::ImageRgb8(image.into_image()).into_luma8();
            let (width, height) = luma.dimensions();
            return Ok(grid(luma.as_raw(), width as usize, height as usize));
        };
        self.limits.check(width as u32, height as u32)?;
        let luma = decoder.decode().map_err(|_| SampleError::Corrupt)?;
        if luma.len() != width * height {
            return Err(SampleError::Unsupported);
        }
        Ok(grid(&luma, width, height))
    }
}

/// Averages each cell over every other row and column of its pixels.
fn grid(luma: &[u8], width: usize, height: usize) -> Glance {
    let mut cells = [0; Glance::CELLS];
    for (number, cell) in cells.iter_mut().enumerate() {
        let (column, row) = (number % Glance::COLUMNS, number / Glance::COLUMNS);
        let across = span(column, Glance::COLUMNS, width);
        let down = span(row, Glance::ROWS, height);
        let (mut sum, mut count) = (0u32, 0u32);
        for line in down.step_by(2) {
            let line = &luma[line * width..][..width];
            for &pixel in line[across.clone()].iter().step_by(2) {
                sum += u32::from(pixel);
                count += 1;
            }
        }
        *cell = (sum / count.max(1)) as u8;
    }
    Glance::new(cells)
}

/// Returns the range of pixels that a cell covers: at least one pixel.
fn span(cell: usize, cells: usize, pixels: usize) -> std::ops::Range<usize> {
    let from = (cell * pixels / cells).min(pixels.saturating_sub(1));
    from..((cell + 1) * pixels / cells).max(from + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jpeg(pixels: impl Fn(u32, u32) -> [u8; 3]) -> Sample {
        let image = image::RgbImage::from_fn(641, 479, |x, y| image::Rgb(pixels(x, y)));
        let mut bytes = Vec::new();
        image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 90)
            .encode_image(&image)
            .unwrap();
        Sample::new(bytes)
    }

    #[test]
    fn darkness_and_movement_are_detected() {
        let dark = MotionSensor::default()
            .brightness(&jpeg(|_, _| [0, 0, 0]))
            .unwrap();
        assert!(dark.dark());
        let room = |x: u32, _: u32| {
            if x < 320 {
                [60, 60, 60]
            } else {
                [200, 180, 190]
            }
        };
        let empty = MotionSensor::default().brightness(&jpeg(room)).unwrap();
        let face = MotionSensor::default()
            .brightness(&jpeg(|x, y| match (x, y) {
                (100..148, 200..260) => [220, 180, 160],
                _ => room(x, y),
            }))
            .unwrap();
        assert!(!empty.dark());
        assert!(face.moved_since(&empty));
        assert!(!empty.moved_since(&empty));
    }

    #[test]
    fn empty_and_broken_pictures_are_rejected() {
        let broken = Sample::new(&b"\xFF\xD8\xFF\xE0 no picture"[..]);
        assert!(MotionSensor::default().brightness(&broken).is_err());
        assert_eq!(
            MotionSensor::default().brightness(&Sample::new(Vec::new())),
            Err(SampleError::Empty)
        );
    }
}
