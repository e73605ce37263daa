//! Crops pictures of faces out of samples.

use async_trait::async_trait;
use fast_image_resize::{
    PixelType, ResizeOptions, Resizer,
    images::{Image, ImageRef},
};
use image::{ExtendedColorType, RgbImage, codecs::jpeg::JpegEncoder};

use super::decode::{SampleLimits, decode};
use crate::{
    domain::samples::Still,
    ports::{Cropping, FaceBox, SampleError},
};

/// Maximum length of the longer side of a picture, in pixels.
const SIDE: u32 = 320;
/// Side of the crop over the longer side of the face box. Viewers recognize a person by hair and
/// shoulders more easily than by the face alone.
const MARGIN_FACTOR: f32 = 2.2;
/// JPEG quality, out of 100.
const JPEG_QUALITY: u8 = 80;

/// A cropper of JPEG pictures.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cropper {
    limits: SampleLimits,
}

#[async_trait]
impl Cropping for Cropper {
    async fn crop(&self, still: Still) -> Result<Vec<u8>, SampleError> {
        let limits = self.limits;
        // Decoding would block the threads that serve requests.
        tokio::task::spawn_blocking(move || {
            let image = decode(still.sample.bytes(), limits, Vec::new())?;
            cropped_jpeg(&image, &still.face).ok_or(SampleError::Corrupt)
        })
        .await
        .unwrap_or(Err(SampleError::Corrupt))
    }
}

/// Returns left, top, width and height of the crop, in pixels, clamped to the image.
fn crop_area(face: &FaceBox, (width, height): (u32, u32)) -> (f64, f64, f64, f64) {
    let side = face.width.max(face.height) * MARGIN_FACTOR;
    let span = |middle: f32, most: u32| {
        let most = f64::from(most);
        let low = f64::from(middle - side / 2.0).clamp(0.0, most - 1.0);
        let high = f64::from(middle + side / 2.0).clamp(low + 1.0, most);
        (low, high - low)
    };
    let (left, across) = span(face.x + face.width / 2.0, width);
    let (top, down) = span(face.y + face.height / 2.0, height);
    (left, top, across, down)
}

/// Encodes the crop around a face as JPEG; `None` if it cannot be resized or encoded.
fn cropped_jpeg(image: &RgbImage, face: &FaceBox) -> Option<Vec<u8>> {
    let (left, top, width, height) = crop_area(face, image.dimensions());
    let scale = (f64::from(SIDE) / width.max(height)).min(1.0);
    let scaled = |side: f64| ((side * scale).round() as u32).clamp(1, SIDE);
    let pixels = PixelType::U8x3;
    let source = ImageRef::new(image.width(), image.height(), image.as_raw(), pixels).ok()?;
    let mut target = Image::new(scaled(width), scaled(height), pixels);
    let options = ResizeOptions::new().crop(left, top, width, height);
    Resizer::new().resize(&source, &mut target, &options).ok()?;
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, JPEG_QUALITY)
        .encode(
            target.buffer(),
            target.width(),
            target.height(),
            ExtendedColorType::Rgb8,
        )
        .ok()?;
    Some(jpeg)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn face(x: f32, y: f32, side: f32) -> FaceBox {
        FaceBox {
            x,
            y,
            width: side,
            height: side,
        }
    }

    fn size(image: &RgbImage, face: &FaceBox) -> (u32, u32) {
        let jpeg = cropped_jpeg(image, face).unwrap();
        let picture = decode(&jpeg, SampleLimits::default(), Vec::new()).unwrap();
        picture.dimensions()
    }

    #[test]
    fn a_picture_is_at_most_320_pixels_and_never_enlarged() {
        let image = RgbImage::new(1280, 720);
        assert_eq!(size(&image, &face(500.0, 250.0, 100.0)), (220, 220));
        assert_eq!(size(&image, &face(400.0, 200.0, 300.0)), (320, 320));
        // At the edge of the image and beyond it, the crop is smaller.
        assert_eq!(size(&image, &face(0.0, 250.0, 100.0)), (160, 220));
        assert_eq!(size(&image, &face(1230.0, 690.0, 100.0)), (110, 90));
        // The face box is larger than the image.
        assert_eq!(size(&image, &face(-100.0, -100.0, 2000.0)), (320, 180));
    }

    #[test]
    fn the_crop_is_centered_on_the_face() {
        let image = RgbImage::from_fn(400, 400, |x, y| {
            let inside = (200..240).contains(&x) && (100..140).contains(&y);
            image::Rgb(if inside { [250, 20, 20] } else { [20, 20, 20] })
        });
        let jpeg = cropped_jpeg(&image, &face(200.0, 100.0, 40.0)).unwrap();
        let picture = decode(&jpeg, SampleLimits::default(), Vec::new()).unwrap();
        let middle = picture
            .get_pixel(picture.width() / 2, picture.height() / 2)
            .0;
        let corner = picture.get_pixel(4, 4).0;
        assert!(middle[0] > 200 && corner[0] < 60, "{middle:?} {corner:?}");
    }
}
