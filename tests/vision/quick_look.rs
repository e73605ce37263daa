//! Tests of the quick look: a coarse search for the face, and its chip alone.

use image::{RgbImage, imageops::FilterType};

use crate::{
    runtime::missing,
    support::{PROBE, QUICK, pipeline, portrait},
};

/// Returns a frame of 1280×960 pixels with a portrait of this width in its middle.
fn frame(width: u32) -> RgbImage {
    let portrait = image::load_from_memory(&portrait("obama.jpg")).unwrap();
    let small = portrait
        .resize(width, width, FilterType::Triangle)
        .into_rgb8();
    let mut frame = RgbImage::from_pixel(1280, 960, image::Rgb([90, 100, 110]));
    let (x, y) = (640 - small.width() / 2, 480 - small.height() / 2);
    image::imageops::replace(&mut frame, &small, i64::from(x), i64::from(y));
    frame
}

#[test]
fn a_quick_look_locates_large_and_small_faces_as_the_full_one_does() {
    if missing() {
        return;
    }
    let mut pipeline = pipeline();
    // The smaller ones are located again in a crop.
    for width in [900, 500, 300] {
        let [quick, full] = [true, false].map(|quick| {
            let found = pipeline.detect(&frame(width), quick).unwrap();
            assert_eq!(found.len(), 1, "{width}");
            found[0]
        });
        assert_ne!(quick, full, "it had a pass of its own");
        for (a, b) in quick.landmarks.iter().zip(&full.landmarks) {
            let distance = (a.0 - b.0).hypot(a.1 - b.1);
            let most = 0.06 * full.bounds.width;
            assert!(distance < most, "{width}: {quick:?} {full:?}");
        }
    }
    // Too small for the coarse pass.
    let [quick, full] = [true, false].map(|quick| pipeline.detect(&frame(200), quick).unwrap());
    assert_eq!(full.len(), 1);
    assert_eq!(quick, full);
}

#[test]
fn a_quick_look_embeds_the_face_as_the_full_one_does() {
    if missing() {
        return;
    }
    let mut pipeline = pipeline();
    let mut embedding = |name: &str, work| {
        let analysis = pipeline.analyze(&portrait(name), work).unwrap();
        analysis.faces[0].embedding.clone().unwrap()
    };
    for name in ["obama.jpg", "obama2.jpg", "biden.jpg", "hopper.jpg"] {
        let (quick, full) = (embedding(name, QUICK), embedding(name, PROBE));
        let other = embedding("collins.jpg", PROBE);
        let same = full.similarity(&quick).unwrap().value();
        assert!(same > 0.9, "{name}: {same}");
        assert!(same < 0.99999, "{name}: the mirror image was not left out");
        assert!(same > other.similarity(&quick).unwrap().value() + 0.1);
    }
}
