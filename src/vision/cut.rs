//! Cutting pictures of faces out of samples.

use async_trait::async_trait;
use fast_image_resize::{
    PixelType, ResizeOptions, Resizer,
    images::{Image, ImageRef},
};
use image::{ExtendedColorType, RgbImage, codecs::jpeg::JpegEncoder};

use super::decode::{SampleLimits, decode};
use crate::{
    domain::samples::Still,
    ports::{Cutting, FaceBox, SampleError},
};

/// Longer side of a picture, pixels.
const SIDE: u32 = 320;
/// How much wider and higher than the face: hair and shoulders tell people more than a face does.
const AROUND: f32 = 2.2;
/// Of 100.
const JPEG_QUALITY: u8 = 80;

/// Cuts pictures.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cutter {
    limits: SampleLimits,
}

#[async_trait]
impl Cutting for Cutter {
    async fn cut(&self, still: Still) -> Result<Vec<u8>, SampleError> {
        let limits = self.limits;
        // Off the threads that answer requests.
        tokio::task::spawn_blocking(move || {
            let image = decode(still.sample.bytes(), limits, Vec::new())?;
            picture(&image, &still.face).ok_or(SampleError::Corrupt)
        })
        .await
        .unwrap_or(Err(SampleError::Corrupt))
    }
}

/// Left, upper edge, width and height of what is cut out: all within the image.
fn around(face: &FaceBox, (width, height): (u32, u32)) -> (f64, f64, f64, f64) {
    let side = face.width.max(face.height) * AROUND;
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

/// `None` when the image is none.
fn picture(image: &RgbImage, face: &FaceBox) -> Option<Vec<u8>> {
    let (left, top, width, height) = around(face, image.dimensions());
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
        let jpeg = picture(image, face).unwrap();
        let cut = decode(&jpeg, SampleLimits::default(), Vec::new()).unwrap();
        cut.dimensions()
    }

    #[test]
    fn a_picture_is_small_and_never_larger_than_what_it_shows() {
        let image = RgbImage::new(1280, 720);
        assert_eq!(size(&image, &face(500.0, 250.0, 100.0)), (220, 220));
        assert_eq!(size(&image, &face(400.0, 200.0, 300.0)), (320, 320));
        // At the edge and beyond it there is less around.
        assert_eq!(size(&image, &face(0.0, 250.0, 100.0)), (160, 220));
        assert_eq!(size(&image, &face(1230.0, 690.0, 100.0)), (110, 90));
        // A face that fills more than the picture.
        assert_eq!(size(&image, &face(-100.0, -100.0, 2000.0)), (320, 180));
    }

    #[test]
    fn what_is_cut_out_is_the_face() {
        let image = RgbImage::from_fn(400, 400, |x, y| {
            let inside = (200..240).contains(&x) && (100..140).contains(&y);
            image::Rgb(if inside { [250, 20, 20] } else { [20, 20, 20] })
        });
        let jpeg = picture(&image, &face(200.0, 100.0, 40.0)).unwrap();
        let cut = decode(&jpeg, SampleLimits::default(), Vec::new()).unwrap();
        let middle = cut.get_pixel(cut.width() / 2, cut.height() / 2).0;
        let corner = cut.get_pixel(4, 4).0;
        assert!(middle[0] > 200 && corner[0] < 60, "{middle:?} {corner:?}");
    }
}
