//! Samples of every kind that a client may send: good ones give the same result, bad ones are
//! rejected with a reason, and none does harm.

use std::io::Write;

use image::{
    DynamicImage, ExtendedColorType, ImageEncoder, ImageFormat, RgbImage, codecs::jpeg::JpegEncoder,
};
use rollcall::{
    ports::SampleError,
    vision::decode::{SampleLimits, Upright, decode, reduced_photo},
};

use crate::{
    runtime::missing,
    support::{PROBE, pipeline, portrait},
};

fn open(bytes: &[u8]) -> Result<RgbImage, SampleError> {
    decode(bytes, SampleLimits::default(), Vec::new()).map(Upright::into_image)
}

/// Decodes a photo to enroll.
fn open_photo(bytes: &[u8]) -> Result<RgbImage, SampleError> {
    let limits = SampleLimits::default().for_photos();
    decode(bytes, limits, Vec::new()).map(Upright::into_image)
}

fn photo() -> DynamicImage {
    image::load_from_memory(&portrait("biden.jpg")).unwrap()
}

/// Encodes an image through a file: this code of the library is optimized in tests, while what is
/// generic over the writer would not be.
fn encode(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let file = tempfile::NamedTempFile::new().unwrap();
    image.save_with_format(file.path(), format).unwrap();
    std::fs::read(file.path()).unwrap()
}

/// Encodes a JPEG with an EXIF orientation.
fn jpeg(image: &RgbImage, orientation: u8) -> Vec<u8> {
    let mut plain = Vec::new();
    JpegEncoder::new_with_quality(&mut plain, 92)
        .write_image(
            image,
            image.width(),
            image.height(),
            ExtendedColorType::Rgb8,
        )
        .unwrap();
    turned(&plain, orientation)
}

/// Adds an EXIF orientation to a JPEG.
fn turned(plain: &[u8], orientation: u8) -> Vec<u8> {
    let mut exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let length = (exif.len() + 2) as u16;
    let mut bytes = vec![0xFF, 0xD8, 0xFF, 0xE1];
    bytes.extend(length.to_be_bytes());
    bytes.extend(exif);
    bytes.extend(&plain[2..]);
    bytes
}

#[test]
fn every_file_type_gives_the_same_face() {
    if missing() {
        return;
    }
    let (mut pipeline, photo) = (pipeline(), photo());
    let reference = pipeline.analyze(&portrait("biden.jpg"), PROBE).unwrap();
    let reference = reference.faces[0].embedding.clone().unwrap();
    let kinds = [
        ("png", encode(&photo, ImageFormat::Png)),
        ("webp", encode(&photo, ImageFormat::WebP)),
        ("interlaced png", interlaced(&photo.to_rgba8())),
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
        let seen = pipeline.analyze(&bytes, PROBE).unwrap();
        let alike = seen.faces[0]
            .embedding
            .as_ref()
            .unwrap()
            .similarity(&reference)
            .unwrap();
        assert!(alike.value() > 0.999, "{kind}: {}", alike.value());
    }
    for gray in [
        encode(
            &DynamicImage::ImageLuma8(photo.to_luma8()),
            ImageFormat::Jpeg,
        ),
        encode(
            &DynamicImage::ImageLuma8(photo.to_luma8()),
            ImageFormat::Png,
        ),
        encode(
            &DynamicImage::ImageLumaA8(photo.to_luma_alpha8()),
            ImageFormat::Png,
        ),
    ] {
        assert_eq!(pipeline.analyze(&gray, PROBE).unwrap().faces.len(), 1);
    }
}

/// Encodes an opaque image as an interlaced PNG (Adam7), which no encoder here can make: each pass
/// is a smaller picture of every few pixels.
fn interlaced(image: &image::RgbaImage) -> Vec<u8> {
    let passes = [
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ];
    let (width, height) = image.dimensions();
    let mut rows = Vec::new();
    for (left, top, across, down) in passes {
        for y in (top..height).step_by(down) {
            rows.push(0);
            for x in (left..width).step_by(across) {
                rows.extend(image.get_pixel(x, y).0);
            }
        }
    }
    let mut stream = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    stream.write_all(&rows).unwrap();
    let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
    header.extend([8, 6, 0, 0, 1]);
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, data) in [
        (b"IHDR", header),
        (b"IDAT", stream.finish().unwrap()),
        (b"IEND", Vec::new()),
    ] {
        let chunk = [&kind[..], &data].concat();
        png.extend((data.len() as u32).to_be_bytes());
        png.extend(&chunk);
        png.extend(crc(&chunk).to_be_bytes());
    }
    png
}

/// Encodes the photo as a CMYK JPEG, without black ink.
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
fn a_cmyk_photo_gives_the_same_face() {
    if missing() {
        return;
    }
    let mut pipeline = pipeline();
    let mut embed = |bytes: &[u8]| {
        pipeline.analyze(bytes, PROBE).unwrap().faces[0]
            .embedding
            .clone()
    };
    let rgb = embed(&portrait("biden.jpg")).unwrap();
    let cmyk = embed(&cmyk(&photo().into_rgb8())).unwrap();
    let alike = rgb.similarity(&cmyk).unwrap().value();
    assert!(alike > 0.99, "{alike}");
}

#[test]
fn every_orientation_is_turned_upright() {
    // The upright image: red upper left, green upper right, blue lower left.
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
        "an unknown orientation is ignored"
    );
}

#[test]
fn other_file_types_are_unsupported() {
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
fn oversized_images_are_rejected_before_decoding() {
    let limits = SampleLimits {
        bytes: 100,
        megapixels: 1,
    };
    let photo = portrait("biden.jpg");
    let refused = decode(&photo, limits, Vec::new()).unwrap_err();
    assert_eq!(
        refused,
        SampleError::TooManyBytes {
            bytes: photo.len(),
            most: 100
        }
    );

    // A header that declares 60,000 × 60,000 pixels, in a few hundred bytes.
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
        most: 16,
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

/// Computes the checksum of a PNG chunk.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |sum, &byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| {
            (sum >> 1) ^ (0xEDB8_8320 & (sum & 1).wrapping_neg())
        })
    })
}

#[test]
fn probes_have_at_most_16_megapixels_and_photos_to_enroll_are_scaled_down_to_that() {
    let row = [[200, 40, 40].repeat(2500), [40, 40, 200].repeat(2500)].concat();
    let large = RgbImage::from_raw(5000, 4000, row.repeat(4000)).unwrap();
    let large = DynamicImage::ImageRgb8(large);
    let [jpeg, png, webp] = [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP]
        .map(|format| encode(&large, format));
    for bytes in [&jpeg, &png, &webp] {
        let refused = open(bytes);
        assert!(
            matches!(refused, Err(SampleError::TooManyPixels { most: 16, .. })),
            "{refused:?}"
        );
    }
    for (bytes, turned) in [(turned(&jpeg, 6), true), (jpeg, false)] {
        let image = open_photo(&bytes).unwrap();
        let (width, height) = match turned {
            true => (image.height(), image.width()),
            false => image.dimensions(),
        };
        assert_eq!((width, height), (4472, 3577));
        let (red, blue) = match turned {
            true => (image.get_pixel(9, 9).0, image.get_pixel(9, 4400).0),
            false => (image.get_pixel(9, 9).0, image.get_pixel(4400, 9).0),
        };
        assert!(
            red[0] > 150 && red[2] < 90 && blue[2] > 150,
            "{red:?} {blue:?}"
        );
    }
}

#[test]
fn photos_that_need_too_much_memory_are_refused_with_the_limit_of_their_type() {
    // The pixels of a transparent WebP take 11 bytes each while they are decoded.
    let clear = image::RgbaImage::new(5400, 5400);
    let bytes = encode(&DynamicImage::ImageRgba8(clear), ImageFormat::WebP);
    assert_eq!(
        open_photo(&bytes),
        Err(SampleError::TooManyPixels {
            width: 5400,
            height: 5400,
            most: 28
        })
    );
}

#[test]
fn a_file_that_is_too_large_to_enroll_can_be_reduced() {
    let mut state = 1u32;
    let noise = RgbImage::from_fn(2300, 2000, |_, _| {
        // Marsaglia's xorshift.
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        image::Rgb([0, 8, 16].map(|bits| (state >> bits) as u8))
    });
    let large = encode(&DynamicImage::ImageRgb8(noise), ImageFormat::Png);
    assert!(
        large.len() > SampleLimits::default().bytes,
        "{}",
        large.len()
    );
    assert!(matches!(
        open_photo(&large),
        Err(SampleError::TooManyBytes { .. })
    ));
    let reduced = reduced_photo(&large).unwrap();
    assert!(reduced.len() < SampleLimits::default().bytes);
    assert!(open(&reduced).is_ok());
}

#[test]
fn sixteen_bits_per_channel_are_rejected_before_decoding() {
    let photo = photo().thumbnail(64, 64);
    for deep in [
        DynamicImage::ImageRgb16(photo.to_rgb16()),
        DynamicImage::ImageRgba16(photo.to_rgba16()),
        DynamicImage::ImageLuma16(photo.to_luma16()),
    ] {
        let mut png = encode(&deep, ImageFormat::Png);
        assert_eq!(open(&png), Err(SampleError::SixteenBit));
        // Without any pixels, too.
        png.truncate(60);
        assert_eq!(open(&png), Err(SampleError::SixteenBit));
    }
}

#[test]
fn an_animated_png_is_rejected() {
    let png = encode(
        &DynamicImage::ImageRgb8(RgbImage::new(32, 32)),
        ImageFormat::Png,
    );
    // An acTL chunk right after the header makes the PNG animated.
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
fn an_animated_webp_is_rejected() {
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
fn transparency_is_blended_with_white() {
    let clear = image::RgbaImage::from_pixel(20, 20, image::Rgba([10, 20, 30, 0]));
    let seen = open(&encode(&DynamicImage::ImageRgba8(clear), ImageFormat::Png)).unwrap();
    assert_eq!(seen.get_pixel(5, 5).0, [255, 255, 255]);
}

#[test]
fn damaged_bytes_never_panic() {
    let photo = photo().thumbnail(100, 100);
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP] {
        let bytes = encode(&photo, format);
        for step in 0..200 {
            let mut broken = bytes.clone();
            let place = (step * 7919) % broken.len();
            broken[place] ^= 1 << (step % 8);
            // Accepted or rejected, but never a panic.
            let _ = open(&broken);
        }
    }
}
