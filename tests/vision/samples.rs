//! Samples of every kind that a client may send: good ones are seen the same, bad ones are
//! refused with a reason, and none does harm.

use std::io::Cursor;

use image::{
    DynamicImage, ExtendedColorType, ImageEncoder, ImageFormat, RgbImage, codecs::jpeg::JpegEncoder,
};
use rollcall::{
    ports::SampleError,
    vision::decode::{SampleLimits, decode},
};

use crate::support::{PROBE, pipeline, portrait};

fn open(bytes: &[u8]) -> Result<RgbImage, SampleError> {
    decode(bytes, SampleLimits::default(), Vec::new())
}

fn photo() -> DynamicImage {
    image::load_from_memory(&portrait("biden.jpg")).unwrap()
}

fn encode(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// A JPEG whose EXIF says how it must be turned.
fn jpeg(image: &RgbImage, orientation: u8) -> Vec<u8> {
    let mut exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let mut plain = Vec::new();
    JpegEncoder::new_with_quality(&mut plain, 92)
        .write_image(
            image,
            image.width(),
            image.height(),
            ExtendedColorType::Rgb8,
        )
        .unwrap();
    let length = (exif.len() + 2) as u16;
    let mut bytes = vec![0xFF, 0xD8, 0xFF, 0xE1];
    bytes.extend(length.to_be_bytes());
    bytes.extend(exif);
    bytes.extend(&plain[2..]);
    bytes
}

#[test]
fn every_type_shows_the_same_face() {
    let (mut pipeline, photo) = (pipeline(), photo());
    let reference = pipeline.analyse(&portrait("biden.jpg"), PROBE).unwrap();
    let reference = reference.faces[0].embedding.clone().unwrap();
    let kinds = [
        ("png", encode(&photo, ImageFormat::Png)),
        ("webp", encode(&photo, ImageFormat::WebP)),
        (
            "16-bit png",
            encode(
                &DynamicImage::ImageRgb16(photo.to_rgb16()),
                ImageFormat::Png,
            ),
        ),
        (
            "png with alpha",
            encode(
                &DynamicImage::ImageRgba8(photo.to_rgba8()),
                ImageFormat::Png,
            ),
        ),
        (
            "webp with alpha",
            encode(
                &DynamicImage::ImageRgba8(photo.to_rgba8()),
                ImageFormat::WebP,
            ),
        ),
    ];
    for (kind, bytes) in kinds {
        let seen = pipeline.analyse(&bytes, PROBE).unwrap();
        let alike = seen.faces[0]
            .embedding
            .as_ref()
            .unwrap()
            .similarity(&reference)
            .unwrap();
        assert!(alike.value() > 0.999, "{kind}: {}", alike.value());
    }
    for grey in [
        encode(
            &DynamicImage::ImageLuma8(photo.to_luma8()),
            ImageFormat::Jpeg,
        ),
        encode(
            &DynamicImage::ImageLuma16(photo.to_luma16()),
            ImageFormat::Png,
        ),
    ] {
        assert_eq!(pipeline.analyse(&grey, PROBE).unwrap().faces.len(), 1);
    }
}

/// The photo as printers want it: four inks instead of three lights, without black.
fn cmyk(image: &RgbImage) -> Vec<u8> {
    let inks: Vec<u8> = image
        .pixels()
        .flat_map(|pixel| [255 - pixel[0], 255 - pixel[1], 255 - pixel[2], 0])
        .collect();
    let mut bytes = Vec::new();
    jpeg_encoder::Encoder::new(&mut bytes, 92)
        .encode(
            &inks,
            image.width() as u16,
            image.height() as u16,
            jpeg_encoder::ColorType::Cmyk,
        )
        .unwrap();
    bytes
}

#[test]
fn a_photo_for_the_press_shows_the_same_face() {
    let mut pipeline = pipeline();
    let mut embed = |bytes: &[u8]| {
        pipeline.analyse(bytes, PROBE).unwrap().faces[0]
            .embedding
            .clone()
    };
    let light = embed(&portrait("biden.jpg")).unwrap();
    let press = embed(&cmyk(&photo().into_rgb8())).unwrap();
    let alike = light.similarity(&press).unwrap().value();
    assert!(alike > 0.99, "{alike}");
}

#[test]
fn every_orientation_stands_upright() {
    // Left upper red, right upper green, left lower blue: what the upright image must show.
    let upright = RgbImage::from_fn(64, 48, |x, y| {
        image::Rgb(match (x < 32, y < 24) {
            (true, true) => [220, 20, 20],
            (false, true) => [20, 220, 20],
            (true, false) => [20, 20, 220],
            (false, false) => [200, 200, 200],
        })
    });
    use image::imageops::{flip_horizontal, flip_vertical, rotate90, rotate180, rotate270};
    let stored = [
        upright.clone(),
        flip_horizontal(&upright),
        rotate180(&upright),
        flip_vertical(&upright),
        flip_horizontal(&rotate90(&upright)),
        rotate270(&upright),
        flip_horizontal(&rotate270(&upright)),
        rotate90(&upright),
    ];
    for (number, image) in (1u8..).zip(&stored) {
        let seen = open(&jpeg(image, number)).unwrap();
        assert_eq!(seen.dimensions(), (64, 48), "orientation {number}");
        for (x, y) in [(8, 8), (56, 8), (8, 40), (56, 40)] {
            let (got, wanted) = (seen.get_pixel(x, y).0, upright.get_pixel(x, y).0);
            let off = got
                .iter()
                .zip(wanted)
                .map(|(a, b)| a.abs_diff(b))
                .max()
                .unwrap();
            assert!(
                off < 40,
                "orientation {number} at {x},{y}: {got:?} for {wanted:?}"
            );
        }
    }
    assert!(
        open(&jpeg(&upright, 77)).is_ok(),
        "an orientation that does not exist is none"
    );
}

#[test]
fn what_is_no_image_is_said_to_be_none() {
    assert_eq!(open(b""), Err(SampleError::Empty));
    for bytes in [
        &b"hello"[..],
        b"GIF89a",
        b"<svg/>",
        b"%PDF-1.7",
        b"\xFF\xD8",
        b"RIFF\0\0\0\0WAVE",
    ] {
        assert_eq!(open(bytes), Err(SampleError::Unsupported));
    }
}

#[test]
fn a_truncated_image_is_corrupt_wherever_it_ends() {
    let photo = photo().thumbnail(120, 120);
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP] {
        let bytes = encode(&photo, format);
        assert!(open(&bytes).is_ok());
        for share in 1..20 {
            let cut = &bytes[..12 + (bytes.len() - 12) * share / 20];
            assert_eq!(
                open(cut),
                Err(SampleError::Corrupt),
                "{format:?} cut at {share}/20"
            );
        }
    }
}

#[test]
fn too_large_is_said_before_anything_is_decoded() {
    let limits = SampleLimits {
        bytes: 100,
        megapixels: 1,
    };
    let photo = portrait("biden.jpg");
    let refused = decode(&photo, limits, Vec::new());
    assert_eq!(
        refused,
        Err(SampleError::TooManyBytes {
            bytes: photo.len(),
            most: 100
        })
    );

    // A header that promises 60,000 × 60,000 pixels, in a few hundred bytes.
    let mut png = encode(
        &DynamicImage::ImageRgb8(RgbImage::new(16, 16)),
        ImageFormat::Png,
    );
    png[16..20].copy_from_slice(&60_000u32.to_be_bytes());
    png[20..24].copy_from_slice(&60_000u32.to_be_bytes());
    let sum = crc(&png[12..29]);
    png[29..33].copy_from_slice(&sum.to_be_bytes());
    let bomb = SampleError::TooManyPixels {
        width: 60_000,
        height: 60_000,
        most: 40,
    };
    assert_eq!(open(&png), Err(bomb.clone()));

    let mut jpeg = encode(
        &DynamicImage::ImageRgb8(RgbImage::new(16, 16)),
        ImageFormat::Jpeg,
    );
    let frame = jpeg
        .windows(2)
        .position(|pair| pair == [0xFF, 0xC0])
        .unwrap();
    jpeg[frame + 5..frame + 7].copy_from_slice(&60_000u16.to_be_bytes());
    jpeg[frame + 7..frame + 9].copy_from_slice(&60_000u16.to_be_bytes());
    assert_eq!(open(&jpeg), Err(bomb));

    let speck = encode(
        &DynamicImage::ImageRgb8(RgbImage::new(4, 40)),
        ImageFormat::Png,
    );
    assert_eq!(
        open(&speck),
        Err(SampleError::TooFewPixels {
            width: 4,
            height: 40
        })
    );
}

/// The checksum of a PNG chunk.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |sum, &byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| {
            (sum >> 1) ^ (0xEDB8_8320 & (sum & 1).wrapping_neg())
        })
    })
}

#[test]
fn an_animated_png_is_refused() {
    let png = encode(
        &DynamicImage::ImageRgb8(RgbImage::new(32, 32)),
        ImageFormat::Png,
    );
    // An acTL chunk right after the header makes it one.
    let mut chunk = b"acTL\0\0\0\x02\0\0\0\0".to_vec();
    let sum = crc(&chunk);
    chunk.extend(sum.to_be_bytes());
    let mut animated = png[..33].to_vec();
    animated.extend(8u32.to_be_bytes());
    animated.extend(chunk);
    animated.extend(&png[33..]);
    assert_eq!(open(&animated), Err(SampleError::Animated));
}

#[test]
fn an_animated_webp_is_refused() {
    let mut body =
        b"WEBPVP8X\x0a\0\0\0\x02\0\0\0\x1f\0\0\x1f\0\0ANIM\x06\0\0\0\0\0\0\0\0\0".to_vec();
    let still = encode(
        &DynamicImage::ImageRgb8(RgbImage::new(32, 32)),
        ImageFormat::WebP,
    );
    let frame = &still[12..];
    body.extend(b"ANMF");
    body.extend(((frame.len() + 16) as u32).to_le_bytes());
    body.extend([0, 0, 0, 0, 0, 0, 31, 0, 0, 31, 0, 0, 100, 0, 0, 0]);
    body.extend(frame);
    let mut animated = b"RIFF".to_vec();
    animated.extend((body.len() as u32).to_le_bytes());
    animated.extend(body);
    assert_eq!(open(&animated), Err(SampleError::Animated));
}

#[test]
fn transparency_is_laid_on_white() {
    let clear = image::RgbaImage::from_pixel(20, 20, image::Rgba([10, 20, 30, 0]));
    let seen = open(&encode(&DynamicImage::ImageRgba8(clear), ImageFormat::Png)).unwrap();
    assert_eq!(seen.get_pixel(5, 5).0, [255, 255, 255]);
}

#[test]
fn flipped_bytes_do_no_harm() {
    let photo = photo().thumbnail(100, 100);
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP] {
        let bytes = encode(&photo, format);
        for step in 0..200 {
            let mut broken = bytes.clone();
            let place = (step * 7919) % broken.len();
            broken[place] ^= 1 << (step % 8);
            // Seen or refused, but answered.
            let _ = open(&broken);
        }
    }
}
