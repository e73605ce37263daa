//! Shared parts of the face pipeline's tests: the pack, the runtime, photos, a pipeline.

use std::path::{Path, PathBuf};

use rollcall::{
    domain::biometrics::Views,
    ports::Work,
    vision::{
        Pack, Runtime,
        decode::SampleLimits,
        pack::Precision,
        pipeline::{Models, Pipeline},
    },
};

/// The work for a probe of one face.
pub const PROBE: Work = Work {
    sender: None,
    views: Views::Pair,
    embed: 1,
    photo: false,
};

/// The work for a quick look at one face.
pub const QUICK: Work = Work {
    views: Views::One,
    embed: 1,
    photo: false,
    sender: None,
};

/// The work for a template of one face.
pub const TEMPLATE: Work = Work {
    sender: None,
    views: Views::All,
    embed: 1,
    photo: true,
};

/// Returns a path inside the project.
pub fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Reads a portrait of the fixtures.
pub fn portrait(name: &str) -> Vec<u8> {
    std::fs::read(project("tests/fixtures/faces").join(name)).unwrap()
}

/// Loads ONNX Runtime.
pub fn runtime() -> Runtime {
    Runtime::load(None).unwrap()
}

/// Opens the default pack.
pub fn default_pack() -> Pack {
    Pack::open(project("models/mobilefacenet")).unwrap()
}

/// Opens a pipeline with the default pack in full precision.
pub fn pipeline() -> Pipeline {
    let (runtime, pack) = (runtime(), default_pack());
    let models = Models::read(&pack).unwrap();
    let variants = &pack.manifest().embedder.variants;
    let variant = variants
        .iter()
        .find(|variant| variant.precision == Precision::Fp)
        .unwrap();
    let file = pack.read(&variant.model_file()).unwrap();
    let embedder = models.embedder(&runtime, variant, &file).unwrap();
    models
        .pipeline(&runtime, embedder, SampleLimits::default())
        .unwrap()
}
