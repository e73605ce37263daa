//! From the bytes that a client sent to upright RGB pixels, within limits that are checked
//! before memory is taken.

use std::io::Cursor;

use image::{
    DynamicImage, ImageDecoder, ImageError, Limits, RgbImage,
    codecs::{png::PngDecoder, webp::WebPDecoder},
    metadata::Orientation,
};
use zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions};
use zune_jpeg::{JpegDecoder, errors::DecodeErrors};

use crate::ports::SampleError;

/// How large a sample may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleLimits {
    /// Most bytes, encoded.
    pub bytes: usize,
    /// Most pixels, in millions.
    pub megapixels: u32,
}

impl Default for SampleLimits {
    fn default() -> Self {
        Self {
            bytes: 12 << 20,
            megapixels: 40,
        }
    }
}

/// Neither side may be shorter: no face fits.
const LEAST_SIDE: u32 = 16;

impl SampleLimits {
    pub(super) fn check(self, width: u32, height: u32) -> Result<(), SampleError> {
        if u64::from(width) * u64::from(height) > u64::from(self.megapixels) * 1_000_000 {
            return Err(SampleError::TooManyPixels {
                width,
                height,
                most: self.megapixels,
            });
        }
        if width.min(height) < LEAST_SIDE {
            return Err(SampleError::TooFewPixels { width, height });
        }
        Ok(())
    }

    /// What a decoder may take beside the pixels themselves.
    fn decoder(self) -> Limits {
        let mut limits = Limits::default();
        limits.max_alloc = Some(u64::from(self.megapixels) * 1_000_000 * 8 + (16 << 20));
        limits
    }
}

/// Decodes a JPEG, PNG or WebP image into upright RGB pixels.
///
/// `spare` is memory of an earlier image to be used again. Orientation by EXIF is honoured,
/// transparency is laid on white, 16-bit and grey images become 8-bit RGB.
pub fn decode(bytes: &[u8], limits: SampleLimits, spare: Vec<u8>) -> Result<RgbImage, SampleError> {
    if bytes.is_empty() {
        return Err(SampleError::Empty);
    }
    if bytes.len() > limits.bytes {
        return Err(SampleError::TooManyBytes {
            bytes: bytes.len(),
            most: limits.bytes,
        });
    }
    let (image, orientation) = match bytes {
        [0xFF, 0xD8, 0xFF, ..] => jpeg(bytes, limits, spare)?,
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => png(bytes, limits)?,
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'E',
            b'B',
            b'P',
            ..,
        ] => webp(bytes, limits)?,
        _ => return Err(SampleError::Unsupported),
    };
    Ok(upright(image, orientation))
}

fn upright(image: RgbImage, orientation: Orientation) -> RgbImage {
    if orientation == Orientation::NoTransforms {
        return image;
    }
    let mut image = DynamicImage::ImageRgb8(image);
    image.apply_orientation(orientation);
    image.into_rgb8()
}

fn jpeg(
    bytes: &[u8],
    limits: SampleLimits,
    mut pixels: Vec<u8>,
) -> Result<(RgbImage, Orientation), SampleError> {
    // Real cameras put odd things between the headers, so those are read leniently; in the
    // picture itself every error counts, or a truncated upload would be half a grey face.
    let lenient = DecoderOptions::default()
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
        .set_strict_mode(false);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), lenient);
    decoder.decode_headers().map_err(jpeg_error)?;
    let (width, height) = decoder.dimensions().ok_or(SampleError::Corrupt)?;
    let (width, height) = (width as u32, height as u32);
    limits.check(width, height)?;
    let grey = matches!(
        decoder.input_colorspace(),
        Some(ColorSpace::Luma | ColorSpace::LumaA)
    );
    let wanted = if grey {
        ColorSpace::Luma
    } else {
        ColorSpace::RGB
    };
    decoder.set_options(
        lenient
            .set_strict_mode(true)
            .jpeg_set_out_colorspace(wanted),
    );
    let orientation = decoder
        .exif()
        .and_then(|chunk| Orientation::from_exif_chunk(chunk))
        .unwrap_or(Orientation::NoTransforms);
    let size = decoder.output_buffer_size().ok_or(SampleError::Corrupt)?;
    let count = width as usize * height as usize;
    if size != count * wanted.num_components() {
        return Err(SampleError::Unsupported);
    }
    pixels.resize(size, 0);
    decoder.decode_into(&mut pixels).map_err(jpeg_error)?;
    if grey {
        pixels = pixels.iter().flat_map(|&luma| [luma; 3]).collect();
    }
    let image = RgbImage::from_raw(width, height, pixels).ok_or(SampleError::Corrupt)?;
    Ok((image, orientation))
}

fn jpeg_error(error: DecodeErrors) -> SampleError {
    match error {
        DecodeErrors::Unsupported(_) => SampleError::Unsupported,
        _ => SampleError::Corrupt,
    }
}

fn png(bytes: &[u8], limits: SampleLimits) -> Result<(RgbImage, Orientation), SampleError> {
    let decoder =
        PngDecoder::with_limits(Cursor::new(bytes), limits.decoder()).map_err(image_error)?;
    let (width, height) = decoder.dimensions();
    limits.check(width, height)?;
    if decoder.is_apng().map_err(image_error)? {
        return Err(SampleError::Animated);
    }
    by_image(decoder)
}

fn webp(bytes: &[u8], limits: SampleLimits) -> Result<(RgbImage, Orientation), SampleError> {
    let mut decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(image_error)?;
    let (width, height) = decoder.dimensions();
    limits.check(width, height)?;
    if decoder.has_animation() {
        return Err(SampleError::Animated);
    }
    decoder.set_limits(limits.decoder()).map_err(image_error)?;
    by_image(decoder)
}

fn by_image(mut decoder: impl ImageDecoder) -> Result<(RgbImage, Orientation), SampleError> {
    // Metadata that cannot be read is no reason to refuse a picture.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let image = DynamicImage::from_decoder(decoder).map_err(image_error)?;
    let image = if image.color().has_alpha() {
        on_white(&image)
    } else {
        image.into_rgb8()
    };
    Ok((image, orientation))
}

fn on_white(image: &DynamicImage) -> RgbImage {
    let source = image.to_rgba8();
    let mut flat = RgbImage::new(source.width(), source.height());
    for (target, pixel) in flat.pixels_mut().zip(source.pixels()) {
        let [red, green, blue, alpha] = pixel.0.map(u32::from);
        target.0 = [red, green, blue]
            .map(|value| ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8);
    }
    flat
}

fn image_error(error: ImageError) -> SampleError {
    match error {
        ImageError::Unsupported(_) => SampleError::Unsupported,
        _ => SampleError::Corrupt,
    }
}
