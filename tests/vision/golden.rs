//! Compares the pipeline with reference values from a simple pipeline in another language.

use rollcall::domain::biometrics::Embedding;
use serde::Deserialize;

use crate::{
    runtime::missing,
    support::{PROBE, pipeline, portrait, project},
};

#[derive(Deserialize)]
struct Golden {
    photo: String,
    width: u32,
    height: u32,
    faces: Vec<GoldenFace>,
}

#[derive(Deserialize)]
struct GoldenFace {
    #[serde(rename = "box")]
    bounds: [f32; 4],
    points: [[f32; 2]; 5],
    score: f32,
    embedding: Vec<f32>,
}

fn golden(name: &str) -> Golden {
    let path = project("tests/fixtures/golden").join(format!("{name}.json"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn faces_and_embeddings_match_the_reference() {
    if missing() {
        return;
    }
    let mut pipeline = pipeline();
    for name in ["collins", "hopper", "obama", "two_people"] {
        let golden = golden(name);
        let everything = rollcall::ports::Work { embed: 9, ..PROBE };
        let seen = pipeline
            .analyze(&portrait(&golden.photo), everything)
            .unwrap();
        assert_eq!((seen.width, seen.height), (golden.width, golden.height));
        assert_eq!(seen.faces.len(), golden.faces.len(), "{name}");
        for wanted in &golden.faces {
            let [x, y, width, height] = wanted.bounds;
            let face = seen
                .faces
                .iter()
                .min_by(|a, b| (a.bounds.x - x).abs().total_cmp(&(b.bounds.x - x).abs()))
                .unwrap();
            // The reference detects faces at the photo's own size, the pipeline at 640 pixels.
            let near = 0.1 * width + 1.0;
            let got = [
                face.bounds.x,
                face.bounds.y,
                face.bounds.width,
                face.bounds.height,
            ];
            for (got, wanted) in got.iter().zip([x, y, width, height]) {
                assert!(
                    (got - wanted).abs() < near,
                    "{name}: box {got} for {wanted}"
                );
            }
            for (got, [x, y]) in face.landmarks.iter().zip(&wanted.points) {
                let off = (got.0 - x).hypot(got.1 - y);
                println!("{name}: point off by {off:.2} px of {width:.0}");
                assert!(
                    off < 0.07 * width + 0.5,
                    "{name}: point {got:?} for {x}, {y}"
                );
            }
            assert!((face.quality.score - wanted.score).abs() < 0.05);
            let reference = Embedding::normalize(wanted.embedding.clone()).unwrap();
            let alike = face
                .embedding
                .as_ref()
                .unwrap()
                .similarity(&reference)
                .unwrap();
            println!("{name}: cosine to the reference {}", alike.value());
            // Photos that fit into the first pass are not scaled down, as in the reference.
            let least = if golden.width.max(golden.height) <= 640 {
                0.9995
            } else {
                0.97
            };
            assert!(alike.value() > least, "{name}: {}", alike.value());
        }
    }
}
