//! Model packs: a folder with a `pack.toml` that says what its ONNX files are, how to feed
//! them, what is known of their error rates, and under which licence they come.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, de::DeserializeOwned};
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

/// Liveness models that join a pack: a folder whose `pack.toml` has neither a detector nor an
/// embedder.
#[derive(Debug, Clone)]
pub struct AddOn {
    folder: PathBuf,
    manifest: AddOnManifest,
}

/// What an add-on's `pack.toml` says.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddOnManifest {
    /// The add-on's own name, and that of its folder.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SPDX expression that covers all files.
    pub licence: String,
    /// Its models; their probabilities are averaged.
    pub liveness: Vec<LivenessSpec>,
    /// Where the files come from.
    #[serde(default)]
    pub sources: Vec<Source>,
}

/// What a folder with a `pack.toml` holds.
#[derive(Debug, Clone)]
pub enum Installed {
    /// A pack that stands alone.
    Pack(Box<Pack>),
    /// Models that join one.
    AddOn(AddOn),
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
        let manifest = describe(&folder, Manifest::check)?;
        Ok(Self { folder, manifest })
    }

    /// Opens the pack that a setting names: a folder when it is one (or looks like a path),
    /// else the folder of that name in one of the `roots`.
    pub fn find(name: &str, roots: &[PathBuf]) -> Result<Self, PackError> {
        Self::open(located(name, roots)?)
    }

    /// Opens the pack and the add-on that two settings name.
    pub fn with_liveness(
        name: &str,
        add_on: Option<&str>,
        roots: &[PathBuf],
    ) -> Result<Self, PackError> {
        let mut pack = Self::find(name, roots)?;
        if let Some(add_on) = add_on {
            pack.join(&AddOn::find(add_on, roots)?);
        }
        Ok(pack)
    }

    /// Puts an add-on's liveness models in the place of the pack's own.
    pub fn join(&mut self, add_on: &AddOn) {
        self.manifest.liveness = add_on
            .manifest
            .liveness
            .iter()
            .map(|spec| LivenessSpec {
                file: add_on.folder.join(&spec.file).display().to_string(),
                ..spec.clone()
            })
            .collect();
    }

    /// What the description says.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Where the pack is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The path of one of the pack's files; that of an add-on's file is in its description.
    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    /// Reads one file and makes sure that it is the one the description tells of.
    pub fn read(&self, file: &ModelFile) -> Result<Vec<u8>, PackError> {
        read(self.path(&file.file), file)
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

impl AddOn {
    /// Reads and checks the description in an add-on's folder.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, PackError> {
        let folder = folder.into();
        let manifest = describe(&folder, AddOnManifest::check)?;
        Ok(Self { folder, manifest })
    }

    /// Opens the add-on that a setting names, as [`Pack::find`] does.
    pub fn find(name: &str, roots: &[PathBuf]) -> Result<Self, PackError> {
        Self::open(located(name, roots)?)
    }

    /// What the description says.
    pub fn manifest(&self) -> &AddOnManifest {
        &self.manifest
    }

    /// Reads every file: sizes and hashes.
    pub fn verify(&self) -> Result<(), PackError> {
        self.manifest
            .liveness
            .iter()
            .try_for_each(|spec| read(self.folder.join(&spec.file), &spec.model_file()).map(drop))
    }
}

impl Installed {
    /// Opens whatever the folder holds.
    pub fn open(folder: &Path) -> Result<Self, PackError> {
        /// The parts that only a pack has.
        #[derive(Deserialize)]
        struct Parts {
            detector: Option<toml::Table>,
            embedder: Option<toml::Table>,
        }
        let parts: Parts = describe(folder, |_| Ok(()))?;
        if parts.detector.is_none() && parts.embedder.is_none() {
            AddOn::open(folder).map(Self::AddOn)
        } else {
            Pack::open(folder).map(|pack| Self::Pack(Box::new(pack)))
        }
    }

    /// Everything that is installed under `roots`, or why it cannot be used, by folder.
    pub fn all(roots: &[PathBuf]) -> Vec<(PathBuf, Result<Self, PackError>)> {
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
            .map(|folder| (folder.clone(), Self::open(&folder)))
            .collect()
    }
}

/// Reads and checks the `pack.toml` of a folder.
fn describe<M: DeserializeOwned>(
    folder: &Path,
    check: impl FnOnce(&M) -> Result<(), String>,
) -> Result<M, PackError> {
    let path = folder.join(MANIFEST);
    let text = std::fs::read_to_string(&path).map_err(|cause| unreadable(&path, cause))?;
    let refuse = |cause: String| PackError::Manifest {
        path: path.clone(),
        cause,
    };
    let manifest: M =
        toml::from_str(&text).map_err(|error| refuse(error.to_string().trim().to_owned()))?;
    check(&manifest).map_err(refuse)?;
    Ok(manifest)
}

/// The folder that a setting names: a folder when it is one (or looks like a path), else the
/// folder of that name in one of the `roots`.
fn located(name: &str, roots: &[PathBuf]) -> Result<PathBuf, PackError> {
    let path = Path::new(name);
    let candidates: Vec<PathBuf> = if path.components().count() > 1 || path.is_absolute() {
        vec![path.to_owned()]
    } else {
        roots.iter().map(|root| root.join(name)).collect()
    };
    let holds = |folder: &&PathBuf| folder.join(MANIFEST).is_file();
    candidates
        .iter()
        .find(holds)
        .cloned()
        .ok_or_else(|| PackError::Unknown {
            name: name.to_owned(),
            tried: candidates
                .iter()
                .map(|folder| folder.join(MANIFEST))
                .collect(),
        })
}

/// Reads a file and makes sure that it is the one that is meant.
fn read(path: PathBuf, file: &ModelFile) -> Result<Vec<u8>, PackError> {
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

    /// Tells apart what analyses depend on: the models that run, and what is done around them.
    pub fn fingerprint(&self, variant: &Variant) -> String {
        let mut sum = Sha256::new();
        let files = [&self.detector.sha256, &variant.sha256];
        let liveness = self.liveness.iter().map(|model| &model.sha256);
        let words = [&self.version, env!("CARGO_PKG_VERSION")];
        for word in files
            .into_iter()
            .chain(liveness)
            .map(String::as_str)
            .chain(words)
        {
            sum.update(word);
            sum.update([0]);
        }
        hex::encode(&sum.finalize()[..6])
    }

    /// What the types cannot say.
    fn check(&self) -> Result<(), String> {
        self.files().iter().try_for_each(ModelFile::check)?;
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
        self.liveness.iter().try_for_each(LivenessSpec::check)
    }
}

impl AddOnManifest {
    fn check(&self) -> Result<(), String> {
        if self.liveness.is_empty() {
            return Err("an add-on has at least one [[liveness]] model".into());
        }
        for spec in &self.liveness {
            spec.model_file().check()?;
            spec.check()?;
        }
        Ok(())
    }
}

impl ModelFile {
    fn check(&self) -> Result<(), String> {
        let Self { file, sha256, .. } = self;
        let plain = Path::new(file).components().count() == 1
            && !file.starts_with('.')
            && !file.contains(['/', '\\']);
        if !plain {
            return Err(format!("{file:?} is not a file name in the pack's folder"));
        }
        if sha256.len() != 64 || !sha256.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(format!("sha256 of {file} is not 64 hexadecimal digits"));
        }
        Ok(())
    }
}

impl LivenessSpec {
    fn check(&self) -> Result<(), String> {
        let fed = (16..=1024).contains(&self.input) && self.scale.is_finite() && self.scale != 0.0;
        if !fed || !(0.5..=20.0).contains(&self.crop_scale) {
            return Err(format!(
                "{}: input is 16 to 1024, crop_scale 0.5 to 20, scale not 0",
                self.file
            ));
        }
        Ok(())
    }
}
