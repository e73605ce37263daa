//! Ports to the eyes: the face engine and the gallery.

use async_trait::async_trait;

use crate::domain::{
    biometrics::{Calibration, Embedding, Match, ModelId, Reference, Views},
    ids::EmployeeId,
    quality::Quality,
};

pub use crate::domain::{samples::Sample, tracking::FaceBox};

/// A face that the engine found.
#[derive(Debug, Clone)]
pub struct Face {
    /// Where.
    pub bounds: FaceBox,
    /// Right eye (image left), left eye, nose tip, right mouth corner, left mouth corner; pixels of the upright image.
    pub landmarks: [(f32, f32); 5],
    /// What was measured on it.
    pub quality: Quality,
    /// Its embedding; `None` when the work did not ask for it.
    pub embedding: Option<Embedding>,
    /// Probability of a live person, 0..1; `None` without a liveness model.
    pub liveness: Option<f32>,
}

/// What the engine saw in one sample.
#[derive(Debug, Clone)]
pub struct Analysis {
    /// Width of the upright image, pixels.
    pub width: u32,
    /// Height of the upright image, pixels.
    pub height: u32,
    /// Largest first.
    pub faces: Vec<Face>,
}

/// How much to make of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    /// The views that each embedding is made from.
    pub views: Views,
    /// How many faces to embed, the largest first; the others are only located.
    pub embed: usize,
}

/// Why a sample cannot be looked at; the messages tell a client what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SampleError {
    /// No bytes.
    #[error("the image is empty")]
    Empty,
    /// Not an image of a supported type.
    #[error("not a JPEG, PNG or WebP image")]
    Unsupported,
    /// Too many bytes, before decoding.
    #[error("the image has {bytes} bytes, at most {most} are taken")]
    TooManyBytes {
        /// How many there are.
        bytes: usize,
        /// How many are taken.
        most: usize,
    },
    /// Too many pixels; said by the header, nothing was decoded.
    #[error("the image has {width}×{height} pixels, at most {most} megapixels are taken")]
    TooManyPixels {
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
        /// Megapixels taken.
        most: u32,
    },
    /// Too few pixels for a face.
    #[error("the image has {width}×{height} pixels, too few for a face")]
    TooFewPixels {
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
    },
    /// More than one picture in the file.
    #[error("animated images are not taken: send one frame")]
    Animated,
    /// Truncated or damaged.
    #[error("the image is truncated or damaged")]
    Corrupt,
}

/// Why the engine gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The queue is full: try again in a moment.
    #[error("the face engine is busy")]
    Overloaded,
    /// The service is shutting down.
    #[error("the face engine has stopped")]
    Stopped,
    /// The sample is no good.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// The runtime failed; the cause is for the log.
    #[error("the face engine failed: {0}")]
    Failed(String),
}

/// Looks at samples: decode, detect, align, quality, liveness, embed.
#[async_trait]
pub trait FaceEngine: Send + Sync {
    /// The embedding space of what it makes.
    fn model(&self) -> &ModelId;

    /// What is known of the model's error rates; without it nobody is identified.
    fn calibration(&self) -> Option<&Calibration>;

    /// Whether every embedded face gets a probability of a live person.
    fn judges_liveness(&self) -> bool;

    /// Changes with everything that its analyses depend on: who remembers them keeps this beside.
    fn fingerprint(&self) -> &str;

    /// Looks at one sample. Bounded: a full queue is an answer, and a caller who drops the
    /// future costs no more work.
    async fn analyse(&self, sample: Sample, work: Work) -> Result<Analysis, EngineError>;

    /// The same for whoever can come back later, so that those before a kiosk go first: refused
    /// with [`EngineError::Overloaded`] while any sample waits.
    async fn analyse_if_idle(&self, sample: Sample, work: Work) -> Result<Analysis, EngineError> {
        self.analyse(sample, work).await
    }
}

/// The enrolled people who are searched, in memory.
pub trait Gallery: Send + Sync {
    /// How many people are in it.
    fn people(&self) -> usize;

    /// The best `limit` people by similarity − slope · (1 − R), best first: the order of the
    /// excess over each one's own threshold, see [`crate::domain::biometrics`].
    fn search(&self, probe: &Embedding, slope: f32, limit: usize) -> Vec<Match>;

    /// What one person is compared by.
    fn find(&self, employee: EmployeeId) -> Option<Reference>;

    /// Adds or replaces one person.
    fn put(&self, employee: EmployeeId, reference: Reference);

    /// Removes one person; false when they were not there.
    fn remove(&self, employee: EmployeeId) -> bool;
}
