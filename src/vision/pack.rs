//! Model packs: a folder with a `pack.toml` that says what its ONNX files are, how to feed
//! them, what is known of their error rates, and under which licence they come.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::domain::biometrics::{Calibration, ModelId};

/// The file in a pack's folder that describes it.
pub const MANIFEST: &str = "pack.toml";

/// A pack's description, read and checked; the files are read when the engine starts.
#[derive(Debug, Clone)]
pub struct Pack {
    folder: PathBuf,
    manifest: Manifest,
}

/// What `pack.toml` says. Sizes are pixels, colours 0..255.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The pack's own name, and that of its folder.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// The pack's version.
    pub version: String,
    /// SPDX expression that covers all files.
    pub licence: String,
    /// How faces are found.
    pub detector: DetectorSpec,
    /// How a face becomes an embedding.
    pub embedder: EmbedderSpec,
    /// Models that tell live people from pictures; their probabilities are averaged.
    #[serde(default)]
    pub liveness: Vec<LivenessSpec>,
    /// Without it nobody is identified.
    pub calibration: Option<Calibration>,
    /// Where the files come from.
    #[serde(default)]
    pub sources: Vec<Source>,
}

/// A file of a pack and how to know it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ModelFile {
    /// Name inside the pack's folder.
    pub file: String,
    /// Hexadecimal SHA-256 of the content.
    pub sha256: String,
    /// Size of the content.
    pub bytes: u64,
}

/// Order of the colour planes that a model takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Colour {
    /// Red first.
    Rgb,
    /// Blue first.
    Bgr,
}

/// How a detector's outputs are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DetectorFamily {
    /// `{cls,obj,bbox,kps}_{8,16,32}`, as the YuNet models put out.
    Yunet,
}

/// A face detector.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetectorSpec {
    /// How its outputs are read.
    pub family: DetectorFamily,
    /// Its file.
    pub file: String,
    /// Hexadecimal SHA-256 of the file.
    pub sha256: String,
    /// Size of the file.
    pub bytes: u64,
    /// Order of the planes.
    pub colour: Colour,
    /// Subtracted from each plane.
    pub mean: [f32; 3],
    /// Multiplied afterwards.
    pub scale: f32,
    /// Both sides of the input are padded to multiples of this.
    pub stride: u32,
    /// Least score of a face, 0..1.
    pub score_threshold: f32,
    /// Boxes that overlap more than this are one face.
    pub nms_iou: f32,
}

/// How an embedding model is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Floating point.
    Fp,
    /// Quantised to eight bits.
    Int8,
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Precision::Fp => "fp",
            Precision::Int8 => "int8",
        })
    }
}

/// One file of an embedding model.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// How it is stored.
    pub precision: Precision,
    /// Its file.
    pub file: String,
    /// Hexadecimal SHA-256 of the file.
    pub sha256: String,
    /// Size of the file.
    pub bytes: u64,
}

/// An embedding model, in one or more precisions that are comparable with each other.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbedderSpec {
    /// Names the embedding space.
    pub model: ModelId,
    /// Side of the square chip.
    pub input: u32,
    /// Order of the planes.
    pub colour: Colour,
    /// Subtracted from each plane.
    pub mean: [f32; 3],
    /// Multiplied afterwards.
    pub scale: f32,
    /// Length of an embedding.
    pub dimensions: usize,
    /// Whether a face is the mean of the chip's embedding and its mirror image's.
    pub mirror: bool,
    /// Where the five points land in the chip, in the order of [`crate::ports::Face::landmarks`].
    pub template: [(f32, f32); 5],
    /// The files.
    pub variants: Vec<Variant>,
}

/// A liveness model.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LivenessSpec {
    /// Its file.
    pub file: String,
    /// Hexadecimal SHA-256 of the file.
    pub sha256: String,
    /// Size of the file.
    pub bytes: u64,
    /// Side of the square input.
    pub input: u32,
    /// Order of the planes.
    pub colour: Colour,
    /// Subtracted from each plane.
    pub mean: [f32; 3],
    /// Multiplied afterwards.
    pub scale: f32,
    /// How much larger than the face box the crop is.
    pub crop_scale: f32,
    /// Which output is that of a live person.
    pub live_class: usize,
}

/// Where a file of the pack comes from; for people, and for the pack's own build.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Source {
    /// What it is and who made it.
    pub name: String,
    /// SPDX expression.
    pub licence: String,
}

/// Why a pack cannot be used. Names the file, and what is wrong with it.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// No folder of that name has a `pack.toml`.
    #[error("no model pack {name:?}: looked for {}", list(.tried))]
    Unknown {
        /// What was asked for.
        name: String,
        /// The places.
        tried: Vec<PathBuf>,
    },
    /// A file is not there.
    #[error("{} is missing: get the pack again with `rollcall models pull`", .0.display())]
    Missing(PathBuf),
    /// A file cannot be read.
    #[error("{} cannot be read: {cause}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The description is not what it should be.
    #[error("{} is not a pack description: {cause}", .path.display())]
    Manifest {
        /// The description.
        path: PathBuf,
        /// What is wrong.
        cause: String,
    },
    /// A file is shorter or longer than the description says.
    #[error("{} has {found} bytes instead of {wanted}: it is truncated or another file", .path.display())]
    Size {
        /// The file.
        path: PathBuf,
        /// Bytes that the description tells.
        wanted: u64,
        /// Bytes that are there.
        found: u64,
    },
    /// A file has the right size and another content.
    #[error("{} has SHA-256 {found} instead of {wanted}", .path.display())]
    Hash {
        /// The file.
        path: PathBuf,
        /// Hash that the description tells.
        wanted: String,
        /// Hash of what is there.
        found: String,
    },
    /// A file is intact and not the model that the description tells of.
    #[error("{} is not the face model that {MANIFEST} tells of: {cause}", .path.display())]
    NotAModel {
        /// The file.
        path: PathBuf,
        /// What it lacks.
        cause: String,
    },
}

fn list(paths: &[PathBuf]) -> String {
    let shown: Vec<_> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    shown.join(", ")
}

impl Pack {
    /// Reads and checks the description in a pack's folder.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, PackError> {
        let folder = folder.into();
        let path = folder.join(MANIFEST);
        let text = std::fs::read_to_string(&path).map_err(|cause| unreadable(&path, cause))?;
        let refuse = |cause: String| PackError::Manifest {
            path: path.clone(),
            cause,
        };
        let manifest: Manifest =
            toml::from_str(&text).map_err(|error| refuse(error.to_string().trim().to_owned()))?;
        manifest.check().map_err(refuse)?;
        Ok(Self { folder, manifest })
    }

    /// Opens the pack that a setting names: a folder when it is one (or looks like a path),
    /// else the folder of that name in one of the `roots`.
    pub fn find(name: &str, roots: &[PathBuf]) -> Result<Self, PackError> {
        let path = Path::new(name);
        let candidates: Vec<PathBuf> = if path.components().count() > 1 || path.is_absolute() {
            vec![path.to_owned()]
        } else {
            roots.iter().map(|root| root.join(name)).collect()
        };
        match candidates
            .iter()
            .find(|folder| folder.join(MANIFEST).is_file())
        {
            Some(folder) => Self::open(folder),
            None => Err(PackError::Unknown {
                name: name.to_owned(),
                tried: candidates
                    .iter()
                    .map(|folder| folder.join(MANIFEST))
                    .collect(),
            }),
        }
    }

    /// Every pack that is installed under `roots`, or why it cannot be used, by folder.
    pub fn installed(roots: &[PathBuf]) -> Vec<(PathBuf, Result<Self, PackError>)> {
        let mut folders: Vec<PathBuf> = roots
            .iter()
            .filter_map(|root| std::fs::read_dir(root).ok())
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|folder| folder.join(MANIFEST).is_file())
            .collect();
        folders.sort();
        folders
            .into_iter()
            .map(|folder| (folder.clone(), Self::open(folder)))
            .collect()
    }

    /// What the description says.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Where the pack is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The path of one of the pack's files.
    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    /// Reads one file and makes sure that it is the one the description tells of.
    pub fn read(&self, file: &ModelFile) -> Result<Vec<u8>, PackError> {
        let path = self.path(&file.file);
        let content = std::fs::read(&path).map_err(|cause| unreadable(&path, cause))?;
        if content.len() as u64 != file.bytes {
            return Err(PackError::Size {
                path,
                wanted: file.bytes,
                found: content.len() as u64,
            });
        }
        let found = hex::encode(Sha256::digest(&content));
        if !found.eq_ignore_ascii_case(&file.sha256) {
            return Err(PackError::Hash {
                path,
                wanted: file.sha256.clone(),
                found,
            });
        }
        Ok(content)
    }

    /// Reads every file of the pack: sizes and hashes. Whether they are face models shows when
    /// the engine starts.
    pub fn verify(&self) -> Result<(), PackError> {
        self.manifest
            .files()
            .iter()
            .try_for_each(|file| self.read(file).map(drop))
    }
}

fn unreadable(path: &Path, cause: io::Error) -> PackError {
    match cause.kind() {
        io::ErrorKind::NotFound => PackError::Missing(path.to_owned()),
        _ => PackError::Unreadable {
            path: path.to_owned(),
            cause,
        },
    }
}

macro_rules! has_file {
    ($($spec:ty),*) => {$(
        impl $spec {
            /// The file and how to know it.
            pub fn model_file(&self) -> ModelFile {
                ModelFile { file: self.file.clone(), sha256: self.sha256.clone(), bytes: self.bytes }
            }
        }
    )*};
}
has_file!(DetectorSpec, Variant, LivenessSpec);

impl Manifest {
    /// Every file that the pack needs.
    pub fn files(&self) -> Vec<ModelFile> {
        let embedders = self.embedder.variants.iter().map(Variant::model_file);
        let liveness = self.liveness.iter().map(LivenessSpec::model_file);
        std::iter::once(self.detector.model_file())
            .chain(embedders)
            .chain(liveness)
            .collect()
    }

    /// What the types cannot say.
    fn check(&self) -> Result<(), String> {
        for file in self.files() {
            let plain = Path::new(&file.file).components().count() == 1
                && !file.file.starts_with('.')
                && !file.file.contains(['/', '\\']);
            if !plain {
                return Err(format!(
                    "{:?} is not a file name in the pack's folder",
                    file.file
                ));
            }
            if file.sha256.len() != 64 || !file.sha256.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(format!(
                    "sha256 of {} is not 64 hexadecimal digits",
                    file.file
                ));
            }
        }
        let detector = &self.detector;
        let embedder = &self.embedder;
        let scales = [detector.scale, embedder.scale];
        let means = detector.mean.iter().chain(&embedder.mean);
        let points = embedder.template.iter().flat_map(|&(x, y)| [x, y]);
        if !scales.iter().chain(means).all(|value| value.is_finite()) || scales.contains(&0.0) {
            return Err("mean and scale must be finite, scale not 0".into());
        }
        if !(1..=256).contains(&detector.stride) || !detector.stride.is_multiple_of(32) {
            return Err("detector.stride must be a multiple of 32, at most 256".into());
        }
        if !(0.0..=1.0).contains(&detector.score_threshold)
            || !(0.0..=1.0).contains(&detector.nms_iou)
        {
            return Err("detector.score_threshold and nms_iou lie between 0 and 1".into());
        }
        if !(16..=1024).contains(&embedder.input) || !(2..=8192).contains(&embedder.dimensions) {
            return Err("embedder.input is 16 to 1024, dimensions 2 to 8192".into());
        }
        let side = embedder.input as f32;
        if !points.into_iter().all(|value| (0.0..side).contains(&value)) {
            return Err("embedder.template must lie inside the chip".into());
        }
        if embedder.variants.is_empty() {
            return Err("embedder.variants is empty".into());
        }
        for spec in &self.liveness {
            let fed =
                (16..=1024).contains(&spec.input) && spec.scale.is_finite() && spec.scale != 0.0;
            if !fed || !(0.5..=20.0).contains(&spec.crop_scale) {
                return Err(format!(
                    "{}: input is 16 to 1024, crop_scale 0.5 to 20, scale not 0",
                    spec.file
                ));
            }
        }
        Ok(())
    }
}
