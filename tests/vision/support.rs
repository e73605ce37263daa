//! What the tests of the eyes share: the pack, the runtime, photos, a pipeline.

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

/// One face, as a probe.
pub const PROBE: Work = Work {
    views: Views::Pair,
    embed: 1,
};

/// One face, as a template.
pub const TEMPLATE: Work = Work {
    views: Views::All,
    embed: 1,
};

/// A path inside the project.
pub fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The bytes of a fixture portrait.
pub fn portrait(name: &str) -> Vec<u8> {
    std::fs::read(project("tests/fixtures/faces").join(name)).unwrap()
}

/// ONNX Runtime.
pub fn runtime() -> Runtime {
    Runtime::load(None).unwrap()
}

/// The pack that comes with the project.
pub fn builtin() -> Pack {
    Pack::open(project("models/builtin")).unwrap()
}

/// A pipeline of the built-in pack in full precision.
pub fn pipeline() -> Pipeline {
    let (runtime, pack) = (runtime(), builtin());
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
