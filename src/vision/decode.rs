//! Decodes the bytes that a client sent into upright RGB pixels. Limits are checked before memory
//! is allocated.

use std::{io::Cursor, ops::Deref};

use fast_image_resize::{
    FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer,
    images::{Image, ImageRef},
};
use futures::executor::block_on;
use image::{
    DynamicImage, ExtendedColorType, ImageDecoder, ImageError, Limits, RgbImage,
    codecs::{jpeg::JpegEncoder, webp::WebPDecoder},
    metadata::Orientation,
};
use png::{BitDepth, ColorType, DecodingError, InterlaceInfo, Transformations};
use tokio::sync::{Semaphore, SemaphorePermit};
use zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions};
use zune_jpeg::{JpegDecoder, SampleRatios, errors::DecodeErrors};

use crate::ports::SampleError;

/// The size limits of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleLimits {
    /// Maximum size of the encoded file, in bytes.
    pub bytes: usize,
    /// Maximum number of pixels, in millions.
    pub megapixels: u32,
}

/// Maximum number of pixels of a photo to enroll, in millions: phones take photos of up to 50.
const PHOTO_MEGAPIXELS: u32 = 50;
/// Maximum size of a file from which [`reduced_photo`] makes a smaller one, in bytes.
const PHOTO_BYTES: usize = 64 << 20;

/// The limits of probes. Kiosks and cameras send far less.
impl Default for SampleLimits {
    fn default() -> Self {
        Self {
            bytes: 12 << 20,
            megapixels: 16,
        }
    }
}

/// Shortest side of an image, in pixels: no face fits into less.
const LEAST_SIDE: u32 = 16;

/// Maximum number of pixels to work on: a larger image is scaled down.
const WORKING_PIXELS: u32 = 16_000_000;

/// Maximum memory for pixels over all requests, in MiB. An image waits until there is room for it
/// and for what its decoder needs.
const MEMORY: u32 = 300;
static MEMORY_LEFT: Semaphore = Semaphore::const_new(MEMORY as usize);
/// Images up to this size do not wait, so that a kiosk never waits for a large photo. In MiB.
const SMALL: u32 = 16;

/// Memory for one pixel while an image is decoded and then turned or scaled down, in bytes.
const BYTES_PER_PIXEL: u64 = 6;
/// The same for WebP, whose decoder keeps other copies: of RGBA pixels, or of the planes.
const BYTES_PER_WEBP_PIXEL: u64 = 7;
/// The same with transparency, which can be an image of its own.
const BYTES_PER_CLEAR_WEBP_PIXEL: u64 = 11;

impl SampleLimits {
    /// Returns the limits of photos to enroll, which may have more pixels.
    #[must_use]
    pub fn for_photos(self) -> Self {
        Self {
            megapixels: PHOTO_MEGAPIXELS,
            ..self
        }
    }

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

    /// Checks the size of an image, and waits for the memory to decode it.
    fn reserve(self, width: u32, height: u32, bytes_per_pixel: u64) -> Result<Memory, SampleError> {
        let affordable = (u64::from(MEMORY) << 20) / bytes_per_pixel / 1_000_000;
        let megapixels = self.megapixels.min(affordable as u32);
        Self { megapixels, ..self }.check(width, height)?;
        Ok(reserve(
            u64::from(width) * u64::from(height) * bytes_per_pixel,
        ))
    }
}

type Memory = Option<SemaphorePermit<'static>>;

fn mebibytes(bytes: u64) -> u32 {
    bytes.div_ceil(1 << 20) as u32
}

/// Waits for memory, in the order of the calls. Returns `None` for a small image.
fn reserve(bytes: u64) -> Memory {
    let wanted = mebibytes(bytes);
    if wanted <= SMALL {
        return None;
    }
    // Only closing the semaphore fails, which nothing does.
    block_on(MEMORY_LEFT.acquire_many(wanted)).ok()
}

/// An upright image, with its part of the memory for pixels.
#[derive(Debug)]
pub struct Upright {
    image: RgbImage,
    _memory: Memory,
}

impl Upright {
    /// Keeps the image and releases what else its decoder needed.
    fn new(image: RgbImage, memory: Memory) -> Self {
        let kept = mebibytes(image.as_raw().len() as u64) as usize;
        let memory = memory.and_then(|mut memory| {
            let unused = memory.num_permits().saturating_sub(kept);
            drop(memory.split(unused));
            (kept > SMALL as usize).then_some(memory)
        });
        Self {
            image,
            _memory: memory,
        }
    }

    /// Returns the image, whose memory is not counted from now on.
    pub fn into_image(self) -> RgbImage {
        self.image
    }
}

impl Deref for Upright {
    type Target = RgbImage;

    fn deref(&self) -> &RgbImage {
        &self.image
    }
}

/// Decodes a JPEG, PNG or WebP image into upright RGB pixels, 16 million at most: a larger image is
/// scaled down.
///
/// `spare` is the buffer of an earlier image, for reuse. Applies the EXIF orientation, blends
/// transparency with white, and converts gray images to RGB. Blocks while other images take too
/// much memory.
pub fn decode(bytes: &[u8], limits: SampleLimits, spare: Vec<u8>) -> Result<Upright, SampleError> {
    if bytes.is_empty() {
        return Err(SampleError::Empty);
    }
    if bytes.len() > limits.bytes {
        return Err(SampleError::TooManyBytes {
            bytes: bytes.len(),
            most: limits.bytes,
        });
    }
    let Decoded {
        image,
        orientation,
        memory,
    } = match bytes {
        [0xFF, 0xD8, 0xFF, ..] => jpeg(bytes, limits, spare)?,
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => png(bytes, limits, spare)?,
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
    let image = upright(scaled_down(image)?, orientation);
    Ok(Upright::new(image, memory))
}

/// Makes a photo smaller whose file is too large to enroll: as JPEG, upright.
pub fn reduced_photo(bytes: &[u8]) -> Result<Vec<u8>, SampleError> {
    let limits = SampleLimits {
        bytes: PHOTO_BYTES,
        ..SampleLimits::default().for_photos()
    };
    let image = decode(bytes, limits, Vec::new())?;
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, 90)
        .encode(
            image.as_raw(),
            image.width(),
            image.height(),
            ExtendedColorType::Rgb8,
        )
        .map_err(|_| SampleError::Corrupt)?;
    Ok(jpeg)
}

/// An image as it is stored in the file.
struct Decoded {
    image: RgbImage,
    orientation: Orientation,
    memory: Memory,
}

/// Turns an image. A quarter turn needs a second image for a moment.
fn upright(image: RgbImage, orientation: Orientation) -> RgbImage {
    if orientation == Orientation::NoTransforms {
        return image;
    }
    let mut image = DynamicImage::ImageRgb8(image);
    image.apply_orientation(orientation);
    image.into_rgb8()
}

/// Scales an image down to [`WORKING_PIXELS`] if it is larger.
fn scaled_down(image: RgbImage) -> Result<RgbImage, SampleError> {
    let (width, height) = image.dimensions();
    let pixels = f64::from(width) * f64::from(height);
    let scale = (f64::from(WORKING_PIXELS) / pixels).sqrt();
    if scale >= 1.0 {
        return Ok(image);
    }
    let scaled = |side: u32| ((f64::from(side) * scale) as u32).max(1);
    let source = ImageRef::new(width, height, image.as_raw(), PixelType::U8x3)
        .map_err(|_| SampleError::Corrupt)?;
    let mut target = Image::new(scaled(width), scaled(height), PixelType::U8x3);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    Resizer::new()
        .resize(&source, &mut target, &options)
        .map_err(|_| SampleError::Corrupt)?;
    let (width, height) = (target.width(), target.height());
    RgbImage::from_raw(width, height, target.into_vec()).ok_or(SampleError::Corrupt)
}

fn jpeg(bytes: &[u8], limits: SampleLimits, mut pixels: Vec<u8>) -> Result<Decoded, SampleError> {
    // Headers are read leniently, because real cameras write odd segments. The pixels are read
    // strictly, because a truncated upload would otherwise show half a gray face.
    let lenient = DecoderOptions::default()
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
        .set_strict_mode(false);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), lenient);
    decoder.decode_headers().map_err(jpeg_error)?;
    let info = decoder.info().ok_or(SampleError::Corrupt)?;
    let (width, height) = (u32::from(info.width), u32::from(info.height));
    // An image in several scans is kept as coefficients of two bytes until the last one.
    let coefficients = match info.sample_ratio {
        SampleRatios::HV => 3,
        SampleRatios::H | SampleRatios::V => 4,
        SampleRatios::Generic(..) | SampleRatios::None => 2 * u64::from(info.components),
    };
    let memory = limits.reserve(width, height, BYTES_PER_PIXEL.max(3 + coefficients))?;
    let gray = matches!(
        decoder.input_colorspace(),
        Some(ColorSpace::Luma | ColorSpace::LumaA)
    );
    let wanted = if gray {
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
    if gray {
        pixels = pixels.iter().flat_map(|&luma| [luma; 3]).collect();
    }
    let image = RgbImage::from_raw(width, height, pixels).ok_or(SampleError::Corrupt)?;
    Ok(Decoded {
        image,
        orientation,
        memory,
    })
}

fn jpeg_error(error: DecodeErrors) -> SampleError {
    match error {
        DecodeErrors::Unsupported(_) => SampleError::Unsupported,
        _ => SampleError::Corrupt,
    }
}

/// Memory of the PNG decoder for everything but pixels, such as metadata, in bytes.
const PNG_METADATA: usize = 16 << 20;

/// Decodes row by row, so that no other format of the pixels is ever complete in memory.
fn png(bytes: &[u8], limits: SampleLimits, mut pixels: Vec<u8>) -> Result<Decoded, SampleError> {
    let metadata = png::Limits {
        bytes: PNG_METADATA,
    };
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), metadata);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    decoder.set_transformations(Transformations::EXPAND);
    let info = decoder.read_header_info().map_err(png_error)?;
    let (width, height) = info.size();
    if info.bit_depth == BitDepth::Sixteen {
        return Err(SampleError::SixteenBit);
    }
    limits.check(width, height)?;
    let mut reader = decoder.read_info().map_err(png_error)?;
    let info = reader.info();
    if info.animation_control.is_some() {
        return Err(SampleError::Animated);
    }
    let orientation = info
        .exif_metadata
        .as_ref()
        .and_then(|chunk| Orientation::from_exif_chunk(chunk))
        .unwrap_or(Orientation::NoTransforms);
    let memory = limits.reserve(width, height, BYTES_PER_PIXEL)?;
    let (color, _) = reader.output_color_type();
    let stride = width as usize * 3;
    pixels.resize(stride * height as usize, 0);
    let (mut number, mut line) = (0, vec![0; stride]);
    while let Some(row) = reader.next_interlaced_row().map_err(png_error)? {
        match row.interlace() {
            InterlaceInfo::Null(_) => {
                rgb_row(color, row.data(), &mut pixels[number * stride..][..stride])?;
                number += 1;
            }
            InterlaceInfo::Adam7(pass) => {
                rgb_row(color, row.data(), &mut line)?;
                png::expand_interlaced_row(&mut pixels, stride, &line, pass, 24);
            }
        }
    }
    let image = RgbImage::from_raw(width, height, pixels).ok_or(SampleError::Corrupt)?;
    Ok(Decoded {
        image,
        orientation,
        memory,
    })
}

/// Converts a row to RGB. It may be shorter than the target.
fn rgb_row(color: ColorType, row: &[u8], target: &mut [u8]) -> Result<(), SampleError> {
    let pixels = target.chunks_exact_mut(3);
    match color {
        ColorType::Rgb => target[..row.len()].copy_from_slice(row),
        ColorType::Rgba => {
            for (pixel, source) in pixels.zip(row.chunks_exact(4)) {
                pixel.copy_from_slice(&over_white(source));
            }
        }
        ColorType::Grayscale => {
            for (pixel, &luma) in pixels.zip(row) {
                pixel.fill(luma);
            }
        }
        ColorType::GrayscaleAlpha => {
            for (pixel, source) in pixels.zip(row.chunks_exact(2)) {
                let [luma, alpha] = [source[0], source[1]];
                pixel.copy_from_slice(&over_white(&[luma, luma, luma, alpha]));
            }
        }
        // The decoder expands it.
        ColorType::Indexed => return Err(SampleError::Unsupported),
    }
    Ok(())
}

/// Blends a pixel of red, green, blue and alpha with white.
fn over_white(pixel: &[u8]) -> [u8; 3] {
    let [red, green, blue, alpha] = [0, 1, 2, 3].map(|place| u32::from(pixel[place]));
    [red, green, blue].map(|value| ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8)
}

fn png_error(error: DecodingError) -> SampleError {
    match error {
        DecodingError::LimitsExceeded => SampleError::Unsupported,
        DecodingError::IoError(_) | DecodingError::Format(_) | DecodingError::Parameter(_) => {
            SampleError::Corrupt
        }
    }
}

fn webp(bytes: &[u8], limits: SampleLimits) -> Result<Decoded, SampleError> {
    let mut decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(webp_error)?;
    let (width, height) = decoder.dimensions();
    limits.check(width, height)?;
    if decoder.has_animation() {
        return Err(SampleError::Animated);
    }
    let clear = decoder.color_type().has_alpha();
    let bytes_per_pixel = match clear {
        true => BYTES_PER_CLEAR_WEBP_PIXEL,
        false => BYTES_PER_WEBP_PIXEL,
    };
    let memory = limits.reserve(width, height, bytes_per_pixel)?;
    let mut sizes = Limits::default();
    sizes.max_alloc = Some(u64::from(MEMORY) << 20);
    decoder.set_limits(sizes).map_err(webp_error)?;
    // Unreadable metadata is no reason to reject a picture.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut pixels = vec![0; decoder.total_bytes() as usize];
    decoder.read_image(&mut pixels).map_err(webp_error)?;
    if clear {
        drop_alpha(&mut pixels);
    }
    let image = RgbImage::from_raw(width, height, pixels).ok_or(SampleError::Corrupt)?;
    Ok(Decoded {
        image,
        orientation,
        memory,
    })
}

/// Blends RGBA pixels with white, in place.
fn drop_alpha(pixels: &mut Vec<u8>) {
    let count = pixels.len() / 4;
    for number in 0..count {
        let blended = over_white(&pixels[number * 4..][..4]);
        pixels[number * 3..][..3].copy_from_slice(&blended);
    }
    pixels.truncate(count * 3);
    pixels.shrink_to_fit();
}

fn webp_error(error: ImageError) -> SampleError {
    match error {
        ImageError::Unsupported(_) => SampleError::Unsupported,
        _ => SampleError::Corrupt,
    }
}
