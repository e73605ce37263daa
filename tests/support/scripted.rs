//! A face engine that sees what a test scripted, without ONNX Runtime.

use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use rollcall::{
    domain::{
        biometrics::{Calibration, CalibrationTable, Embedding, ModelId, Views},
        quality::Quality,
    },
    ports::{Analysis, EngineError, Face, FaceBox, FaceEngine, Sample, SampleError, Work},
    vision::decode::{SampleLimits, decode},
};

/// The dimensions of its embeddings: those of the default pack, so that a gallery fits both engines.
pub const DIMENSIONS: usize = 192;

/// Returns the direction of a seed; the directions of two seeds are nearly orthogonal.
fn direction(seed: &str, size: usize) -> Vec<f32> {
    use sha2::{Digest, Sha256};
    let values: Vec<f32> = (0..size)
        .map(|place| {
            let digest = Sha256::digest(format!("{seed}/{place}"));
            f32::from(digest[0]) + f32::from(digest[1]) / 256.0 - 127.5
        })
        .collect();
    Embedding::normalize(values).unwrap().as_slice().to_vec()
}

/// Returns the face of a text: `ann~0.2#3` is Ann, 0.2 from her own direction, in the third of many
/// possible ways; `ann width=90` also sets the quality.
fn face(text: &str) -> Face {
    let mut quality = Quality {
        width: 120.0,
        yaw: 0.0,
        pitch: 0.0,
        roll: 0.0,
        sharpness: 200.0,
        brightness: 120.0,
        contrast: 50.0,
        inside: 1.0,
        score: 0.9,
    };
    let mut liveness = None;
    let mut parts = text.split_whitespace();
    let who = parts.next().unwrap();
    for part in parts {
        match part.split_once('=').unwrap() {
            ("width", value) => quality.width = value.parse().unwrap(),
            ("yaw", value) => quality.yaw = value.parse().unwrap(),
            ("sharpness", value) => quality.sharpness = value.parse().unwrap(),
            ("live", value) => liveness = Some(value.parse().unwrap()),
            other => panic!("unknown part {other:?}"),
        }
    }
    let (name, drift) = who.split_once('~').unwrap_or((who, "0"));
    let (drift, _) = drift.split_once('#').unwrap_or((drift, ""));
    let drift: f32 = drift.parse().unwrap();
    let noise = direction(who, DIMENSIONS);
    let values = direction(name, DIMENSIONS)
        .into_iter()
        .zip(&noise)
        .map(|(own, other)| own + drift * other);
    Face {
        bounds: FaceBox {
            x: 10.0,
            y: 10.0,
            width: quality.width,
            height: quality.width,
        },
        landmarks: [(0.0, 0.0); 5],
        quality,
        embedding: Embedding::normalize(values.collect()),
        liveness,
    }
}

/// An engine that sees the text of a sample: faces separated by `|`, or `broken` for an invalid
/// image.
pub struct ScriptedEngine {
    model: ModelId,
    calibration: Calibration,
    /// The texts of known pictures, if samples are pictures and not texts.
    pictures: Option<Mutex<HashMap<Vec<u8>, String>>>,
    /// The work of every analysis.
    pub works: Mutex<Vec<Work>>,
    /// How many more times it reports that it is busy.
    pub busy: AtomicU64,
    /// How many more times it fails.
    pub faults: AtomicU64,
    /// Whether enrollment uses a face and its mirror image, and not all views.
    pub enrolls_pairs: AtomicBool,
}

impl Default for ScriptedEngine {
    fn default() -> Self {
        let table = CalibrationTable {
            fmr: vec![1e-2, 1e-3, 1e-4, 1e-5],
            t0: vec![0.88, 0.90, 0.92, 0.94],
            s: vec![0.6; 4],
            enroll_views_shift: vec![],
            probe_views_shift: vec![],
            prior_offset: 0.0,
            source: "made up".into(),
        };
        Self {
            model: ModelId::new("scripted"),
            calibration: table.try_into().unwrap(),
            pictures: None,
            works: Mutex::default(),
            busy: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            enrolls_pairs: AtomicBool::new(false),
        }
    }
}

impl ScriptedEngine {
    /// Returns an engine for pictures. It sees no face in a picture until a test scripts it, and
    /// refuses files that are not pictures.
    pub fn of_pictures() -> Self {
        Self {
            pictures: Some(Mutex::default()),
            ..Self::default()
        }
    }

    /// Returns an engine whose embeddings are of another model.
    pub fn of_model(model: ModelId) -> Self {
        Self {
            model,
            ..Self::default()
        }
    }

    /// Scripts what a picture shows.
    pub fn shows(&self, picture: &[u8], text: &str) {
        let pictures = self.pictures.as_ref().expect("its samples are pictures");
        let (picture, text) = (picture.to_vec(), text.to_owned());
        pictures.lock().unwrap().insert(picture, text);
    }

    fn text(&self, bytes: &[u8]) -> Result<String, SampleError> {
        let Some(pictures) = &self.pictures else {
            return Ok(String::from_utf8(bytes.to_vec()).unwrap());
        };
        let known = pictures.lock().unwrap().get(bytes).cloned();
        let nothing = || decode(bytes, SampleLimits::default(), Vec::new()).map(|_| String::new());
        known.map_or_else(nothing, Ok)
    }
}

#[async_trait]
impl FaceEngine for ScriptedEngine {
    fn model(&self) -> &ModelId {
        &self.model
    }

    fn calibration(&self) -> Option<&Calibration> {
        Some(&self.calibration)
    }

    fn enrollment_views(&self) -> Views {
        match self.enrolls_pairs.load(Ordering::SeqCst) {
            true => Views::Pair,
            false => Views::All,
        }
    }

    fn judges_liveness(&self) -> bool {
        false
    }

    fn fingerprint(&self) -> &str {
        "scripted"
    }

    async fn analyze(&self, sample: Sample, work: Work) -> Result<Analysis, EngineError> {
        self.works.lock().unwrap().push(work);
        let text = self.text(sample.bytes())?;
        tokio::task::yield_now().await;
        let once_less = |left: &AtomicU64| {
            let less = |left: u64| left.checked_sub(1);
            left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less)
                .is_ok()
        };
        if once_less(&self.busy) {
            return Err(EngineError::Overloaded);
        }
        if once_less(&self.faults) {
            return Err(EngineError::Failed("no luck".into()));
        }
        if text == "broken" {
            return Err(SampleError::Corrupt.into());
        }
        let mut faces: Vec<Face> = text
            .split('|')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(face)
            .collect();
        faces.sort_by(|a, b| b.bounds.area().total_cmp(&a.bounds.area()));
        Ok(Analysis {
            width: 640,
            height: 480,
            faces,
        })
    }
}
