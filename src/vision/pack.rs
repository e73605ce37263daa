//! Model packs: folders with a `pack.toml` that describes their ONNX files, the inputs of these
//! models, their error rates and their licenses.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use crate::domain::biometrics::{Calibration, ModelId, Views};

/// The name of the file that describes a pack.
pub const MANIFEST: &str = "pack.toml";
/// The pack that is used by default, and its other name, under which it was installed before.
const DEFAULT: &str = "mobilefacenet";
const DEFAULT_ALIAS: &str = "builtin";

/// A pack whose description was read and checked. Its model files are read when the engine starts.
#[derive(Debug, Clone)]
pub struct Pack {
    folder: PathBuf,
    manifest: Manifest,
}

/// The content of a pack's `pack.toml`. Sizes are in pixels, colors are 0..255.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The pack's name, and the name of its folder.
    pub id: String,
    /// The name for people.
    pub name: String,
    /// The pack's version.
    pub version: String,
    /// The license of all files, as an SPDX expression.
    pub license: String,
    /// The model that finds faces.
    pub detector: DetectorSpec,
    /// The model that embeds faces.
    pub embedder: EmbedderSpec,
    /// The models that tell live people from pictures; their probabilities are averaged.
    #[serde(default)]
    pub liveness: Vec<LivenessSpec>,
    /// The measured error rates, without which the model cannot identify people.
    pub calibration: Option<Calibration>,
    /// The sources of the files.
    #[serde(default)]
    pub sources: Vec<Source>,
}

/// Liveness models that can be added to a pack: a folder whose `pack.toml` has neither a detector
/// nor an embedder.
#[derive(Debug, Clone)]
pub struct AddOn {
    folder: PathBuf,
    manifest: AddOnManifest,
}

/// The content of an add-on's `pack.toml`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddOnManifest {
    /// The add-on's name, and the name of its folder.
    pub id: String,
    /// The name for people.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The license of all files, as an SPDX expression.
    pub license: String,
    /// The models; their probabilities are averaged.
    pub liveness: Vec<LivenessSpec>,
    /// The sources of the files.
    #[serde(default)]
    pub sources: Vec<Source>,
}

/// The content of a folder with a `pack.toml`.
#[derive(Debug, Clone)]
pub enum Installed {
    /// A complete pack.
    Pack(Box<Pack>),
    /// Models that can be added to a pack.
    AddOn(AddOn),
}

/// A file of a pack, with its hash and size.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ModelFile {
    /// Name inside the pack's folder.
    pub file: String,
    /// SHA-256 of the content, hexadecimal.
    pub sha256: String,
    /// Size of the content, in bytes.
    pub bytes: u64,
}

/// Order of the color planes in a model's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Color {
    /// Red first.
    Rgb,
    /// Blue first.
    Bgr,
}

/// A family of detectors with the same outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DetectorFamily {
    /// The YuNet models, with the outputs `{cls,obj,bbox,kps}_{8,16,32}`.
    Yunet,
}

/// The description of a face detector.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetectorSpec {
    /// Its family, which determines how its outputs are read.
    pub family: DetectorFamily,
    /// Its file.
    pub file: String,
    /// SHA-256 of the file, hexadecimal.
    pub sha256: String,
    /// Size of the file, in bytes.
    pub bytes: u64,
    /// Order of the color planes.
    pub color: Color,
    /// Mean that is subtracted from each plane.
    pub mean: [f32; 3],
    /// Factor that is applied after the mean is subtracted.
    pub scale: f32,
    /// Both sides of the input are padded to a multiple of this, in pixels.
    pub stride: u32,
    /// Minimum score of a face, 0..1.
    pub score_threshold: f32,
    /// Boxes with an intersection over union above this are one face, 0..1.
    pub nms_iou: f32,
}

/// The number format of an embedding model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Floating point.
    Fp,
    /// Quantized to 8-bit integers.
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

/// An embedding model in one precision.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// Its number format.
    pub precision: Precision,
    /// Its file.
    pub file: String,
    /// SHA-256 of the file, hexadecimal.
    pub sha256: String,
    /// Size of the file, in bytes.
    pub bytes: u64,
}

/// The description of an embedding model, in one or more precisions whose embeddings can be
/// compared with each other.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbedderSpec {
    /// The name of the embedding space.
    pub model: ModelId,
    /// Side of the square chip, in pixels.
    pub input: u32,
    /// Order of the color planes.
    pub color: Color,
    /// Mean that is subtracted from each plane.
    pub mean: [f32; 3],
    /// Factor that is applied after the mean is subtracted.
    pub scale: f32,
    /// Number of dimensions of an embedding.
    pub dimensions: usize,
    /// Whether an embedding is the mean of those of the chip and its mirror image.
    pub mirror: bool,
    /// The views of a photo from which enrollment computes a template.
    #[serde(default = "all_views")]
    pub enroll_views: Views,
    /// The positions of the five points in the chip, in the order of
    /// [`crate::ports::Face::landmarks`].
    pub template: [(f32, f32); 5],
    /// The model in each precision.
    pub variants: Vec<Variant>,
}

fn all_views() -> Views {
    Views::All
}

/// The description of a liveness model.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LivenessSpec {
    /// Its file.
    pub file: String,
    /// SHA-256 of the file, hexadecimal.
    pub sha256: String,
    /// Size of the file, in bytes.
    pub bytes: u64,
    /// Side of the square input, in pixels.
    pub input: u32,
    /// Order of the color planes.
    pub color: Color,
    /// Mean that is subtracted from each plane.
    pub mean: [f32; 3],
    /// Factor that is applied after the mean is subtracted.
    pub scale: f32,
    /// Size of the crop over the size of the face box.
    pub crop_scale: f32,
    /// Index of the output for a live person.
    pub live_class: usize,
}

/// The source of a file of the pack, for people and for the build of the pack.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Source {
    /// Description and author.
    pub name: String,
    /// License, as an SPDX expression.
    pub license: String,
    /// What is known about the origin of the weights, if the license does not say enough.
    pub lineage: Option<String>,
    /// The photos with which the model was trained, and their terms.
    pub training_data: Option<String>,
}

/// The reason why a pack cannot be used. Names the file and what is wrong with it.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// No folder of that name has a `pack.toml`.
    #[error("no model pack {name:?}: found none of {}", list(.tried))]
    Unknown {
        /// The requested name.
        name: String,
        /// The paths that were tried.
        tried: Vec<PathBuf>,
    },
    /// A file is missing.
    #[error("{} is missing: download the pack again with `rollcall models pull`", .0.display())]
    Missing(PathBuf),
    /// A file cannot be read.
    #[error("could not read {}: {cause}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        cause: io::Error,
    },
    /// The description is invalid.
    #[error("{} is not a valid pack description: {cause}", .path.display())]
    Manifest {
        /// The description's file.
        path: PathBuf,
        /// What is wrong.
        cause: String,
    },
    /// A file has another size than the description says.
    #[error("{} has {found} bytes instead of {wanted}: it is truncated or another file", .path.display())]
    Size {
        /// The file.
        path: PathBuf,
        /// Size according to the description, in bytes.
        wanted: u64,
        /// Size of the file, in bytes.
        found: u64,
    },
    /// A file has the right size but another content.
    #[error("{} has SHA-256 {found} instead of {wanted}", .path.display())]
    Hash {
        /// The file.
        path: PathBuf,
        /// Hash according to the description.
        wanted: String,
        /// Hash of the file.
        found: String,
    },
    /// A file is intact, but its model does not match the description.
    #[error("{} is not the model that {MANIFEST} describes: {cause}", .path.display())]
    NotAModel {
        /// The file.
        path: PathBuf,
        /// What does not match.
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

    /// Opens the pack that a setting names: the folder itself if the name looks like a path, else
    /// the folder of that name in one of the `roots`.
    pub fn find(name: &str, roots: &[PathBuf]) -> Result<Self, PackError> {
        Self::open(locate(name, roots)?)
    }

    /// Opens the pack that one setting names, with the add-on that another names.
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

    /// Replaces the pack's liveness models with those of an add-on.
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

    /// Returns the description.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Returns the pack's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the path of a file of the pack. Files of a joined add-on are described by their
    /// full path.
    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    /// Reads one file and checks its size and hash.
    pub fn read(&self, file: &ModelFile) -> Result<Vec<u8>, PackError> {
        read(self.path(&file.file), file)
    }

    /// Reads every file of the pack and checks sizes and hashes. Only the engine checks that they
    /// are face models.
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
        Self::open(locate(name, roots)?)
    }

    /// Returns the description.
    pub fn manifest(&self) -> &AddOnManifest {
        &self.manifest
    }

    /// Reads every file and checks sizes and hashes.
    pub fn verify(&self) -> Result<(), PackError> {
        self.manifest
            .liveness
            .iter()
            .try_for_each(|spec| read(self.folder.join(&spec.file), &spec.model_file()).map(drop))
    }
}

impl Installed {
    /// Opens a folder as a pack or an add-on, depending on its description.
    pub fn open(folder: &Path) -> Result<Self, PackError> {
        /// The sections that only a pack has.
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

    /// Opens every pack and add-on under `roots`. Returns each folder with its content, or with the
    /// reason why it cannot be used.
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

/// Returns the ID of the pack that a setting names.
pub fn id_of(name: &str) -> &str {
    if name == DEFAULT_ALIAS { DEFAULT } else { name }
}

/// Finds the folder that a setting names: the folder itself if the name looks like a path, else
/// the folder of that name in one of the `roots`.
fn locate(name: &str, roots: &[PathBuf]) -> Result<PathBuf, PackError> {
    let name = id_of(name);
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

/// Reads a file and checks its size and hash.
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
            /// Returns the file with its hash and size.
            pub fn model_file(&self) -> ModelFile {
                ModelFile { file: self.file.clone(), sha256: self.sha256.clone(), bytes: self.bytes }
            }
        }
    )*};
}
has_file!(DetectorSpec, Variant, LivenessSpec);

impl Manifest {
    /// Lists every file that the pack needs.
    pub fn files(&self) -> Vec<ModelFile> {
        let embedders = self.embedder.variants.iter().map(Variant::model_file);
        let liveness = self.liveness.iter().map(LivenessSpec::model_file);
        std::iter::once(self.detector.model_file())
            .chain(embedders)
            .chain(liveness)
            .collect()
    }

    /// Returns a fingerprint of everything that an analysis depends on: the models that run, with
    /// these variants of the embedder, and the version of the code around them.
    pub fn fingerprint<'a>(&'a self, variants: impl Iterator<Item = &'a Variant>) -> String {
        let mut sum = Sha256::new();
        let files = variants.map(|variant| &variant.sha256);
        let files = std::iter::once(&self.detector.sha256).chain(files);
        let liveness = self.liveness.iter().map(|model| &model.sha256);
        let words = [&self.version, env!("CARGO_PKG_VERSION")];
        for word in files.chain(liveness).map(String::as_str).chain(words) {
            sum.update(word);
            sum.update([0]);
        }
        hex::encode(&sum.finalize()[..6])
    }

    /// Checks what the types do not guarantee.
    fn check(&self) -> Result<(), String> {
        self.files().iter().try_for_each(ModelFile::check)?;
        let detector = &self.detector;
        let embedder = &self.embedder;
        let scales = [detector.scale, embedder.scale];
        let means = detector.mean.iter().chain(&embedder.mean);
        let points = embedder.template.iter().flat_map(|&(x, y)| [x, y]);
        if !scales.iter().chain(means).all(|value| value.is_finite()) || scales.contains(&0.0) {
            return Err("mean and scale must be finite, and scale must not be 0".into());
        }
        if !(1..=256).contains(&detector.stride) || !detector.stride.is_multiple_of(32) {
            return Err("detector.stride must be a multiple of 32, at most 256".into());
        }
        if !(0.0..=1.0).contains(&detector.score_threshold)
            || !(0.0..=1.0).contains(&detector.nms_iou)
        {
            return Err("detector.score_threshold and nms_iou must be between 0 and 1".into());
        }
        if !(16..=1024).contains(&embedder.input) || !(2..=8192).contains(&embedder.dimensions) {
            return Err("embedder.input must be 16 to 1024, and dimensions 2 to 8192".into());
        }
        let side = embedder.input as f32;
        if !points.into_iter().all(|value| (0.0..side).contains(&value)) {
            return Err("embedder.template must lie inside the chip".into());
        }
        if embedder.variants.is_empty() {
            return Err("embedder.variants must not be empty".into());
        }
        if embedder.enroll_views == Views::One {
            return Err("embedder.enroll_views must be pair or all".into());
        }
        self.liveness.iter().try_for_each(LivenessSpec::check)
    }
}

impl AddOnManifest {
    fn check(&self) -> Result<(), String> {
        if self.liveness.is_empty() {
            return Err("an add-on must have at least one [[liveness]] model".into());
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
                "{}: input must be 16 to 1024, crop_scale 0.5 to 20, and scale not 0",
                self.file
            ));
        }
        Ok(())
    }
}
