//! Ports to face recognition: the face engine and the gallery.

use async_trait::async_trait;

use crate::domain::{
    attendance::Origin,
    biometrics::{Calibration, Embedding, Match, ModelId, Reference, Views},
    ids::EmployeeId,
    quality::Quality,
    self_calibration::SelfCalibration,
};

pub use crate::domain::{geometry::FaceBox, samples::Sample};

/// A face that the engine found in a sample.
#[derive(Debug, Clone)]
pub struct Face {
    /// Its bounding box, in pixels of the upright image.
    pub bounds: FaceBox,
    /// Right eye (image left), left eye, nose tip, right mouth corner and left mouth corner, in
    /// pixels of the upright image.
    pub landmarks: [(f32, f32); 5],
    /// The measured quality.
    pub quality: Quality,
    /// Its embedding; `None` if the [`Work`] did not request it.
    pub embedding: Option<Embedding>,
    /// Probability that it is a live person's face, 0..1; `None` without a liveness model, or if
    /// the face was not embedded.
    pub liveness: Option<f32>,
}

/// The engine's result for one sample.
#[derive(Debug, Clone)]
pub struct Analysis {
    /// Width of the upright image, in pixels.
    pub width: u32,
    /// Height of the upright image, in pixels.
    pub height: u32,
    /// The faces, largest first.
    pub faces: Vec<Face>,
}

/// How thoroughly to analyze a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    /// The views from which each embedding is computed.
    pub views: Views,
    /// Number of faces to embed, the largest first; the others are only located and measured.
    pub embed: usize,
    /// Whether it is a photo to enroll, which may be larger than a probe.
    pub photo: bool,
    /// The sender, who may only have a share of the queue; `None` for work of the service itself.
    pub sender: Option<Origin>,
}

/// The reason why a sample cannot be analyzed. The messages help a client to fix it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SampleError {
    /// The file is empty.
    #[error("the image is empty")]
    Empty,
    /// The file is not an image of a supported type.
    #[error("not a JPEG, PNG or WebP image")]
    Unsupported,
    /// The file is too large; nothing was decoded.
    #[error("the image has {bytes} bytes; the limit is {most}")]
    TooManyBytes {
        /// Size of the file.
        bytes: usize,
        /// Maximum size.
        most: usize,
    },
    /// The image has too many pixels, according to its header; nothing was decoded.
    #[error(
        "the image has {width}×{height} pixels; the limit is {most} megapixels: send a smaller one"
    )]
    TooManyPixels {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Maximum number of pixels, in millions.
        most: u32,
    },
    /// The image is too small for a face.
    #[error("the image has {width}×{height} pixels, too few for a face")]
    TooFewPixels {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// The image has 16 bits per channel, which takes twice the memory and shows no more.
    #[error("images with 16 bits per channel are not supported: save it with 8 bits per channel")]
    SixteenBit,
    /// The file contains more than one picture.
    #[error("animated images are not supported: send a single frame")]
    Animated,
    /// The file is truncated or damaged.
    #[error("the image is truncated or damaged")]
    Corrupt,
}

/// The reason why the engine returned no analysis.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The queue is full; the caller can retry in a moment.
    #[error("the face engine is busy")]
    Overloaded,
    /// The service is shutting down.
    #[error("the face engine has stopped")]
    Stopped,
    /// The sample cannot be analyzed.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// The runtime failed; the cause is for the log only.
    #[error("the face engine failed: {0}")]
    Failed(String),
}

/// An engine that analyzes samples: decode, detect, align, quality, liveness, embed.
#[async_trait]
pub trait FaceEngine: Send + Sync {
    /// Returns the embedding space of its embeddings.
    fn model(&self) -> &ModelId;

    /// Returns the error rates of the model, without which it cannot identify people.
    fn calibration(&self) -> Option<&Calibration>;

    /// Returns the views from which enrollment computes a template. The thresholds of a search are
    /// for templates of these views.
    fn enrollment_views(&self) -> Views;

    /// Returns whether every embedded face gets a liveness probability.
    fn judges_liveness(&self) -> bool;

    /// Returns a fingerprint of everything that an analysis depends on. A cache of analyses must
    /// use it as a part of its key.
    fn fingerprint(&self) -> &str;

    /// Analyzes one sample. Fails with [`EngineError::Overloaded`] if the queue is full, or if the
    /// sender has its share of it. Dropping the future cancels the work unless it has begun.
    async fn analyze(&self, sample: Sample, work: Work) -> Result<Analysis, EngineError>;

    /// Like [`FaceEngine::analyze`], but fails with [`EngineError::Overloaded`] while any sample
    /// waits. For callers that can retry later, so that kiosk requests go first.
    async fn analyze_if_idle(&self, sample: Sample, work: Work) -> Result<Analysis, EngineError> {
        self.analyze(sample, work).await
    }

    /// Forgets all earlier analyses, because a face was deleted and any of them may be of it.
    async fn forget(&self) {}
}

/// The enrolled people, in memory, for searching.
pub trait Gallery: Send + Sync {
    /// Returns the number of people.
    fn people(&self) -> usize;

    /// Returns the best `limit` people by similarity − slope · (1 − R) − offset, best first. That is
    /// the order of the excess over each person's own threshold; see [`crate::domain::biometrics`].
    /// Beyond `limit`, returns the look-alikes of the best person, in either direction.
    fn search(&self, probe: &Embedding, slope: f32, limit: usize) -> Vec<Match>;

    /// Compares a probe with one person; `None` if they are not enrolled.
    fn compare(&self, employee: EmployeeId, probe: &Embedding) -> Option<Match>;

    /// Returns the reference of one person, if enrolled.
    fn find(&self, employee: EmployeeId) -> Option<Reference>;

    /// Adds or replaces one person.
    fn put(&self, employee: EmployeeId, reference: Reference);

    /// Removes one person; returns false if they were not enrolled.
    fn remove(&self, employee: EmployeeId) -> bool;

    /// Measures how alike the enrolled people look, and raises their thresholds; see
    /// [`crate::domain::self_calibration`]. The result depends on the enrolled people only, not on
    /// their order or on earlier results. Blocks: 10,000 people take about a second.
    ///
    /// Returns `None` if no one was added, replaced or removed since the last call.
    fn calibrate(&self, calibration: &Calibration) -> Option<SelfCalibration>;

    /// Returns the result of the last [`Gallery::calibrate`].
    fn self_calibration(&self) -> SelfCalibration;
}
