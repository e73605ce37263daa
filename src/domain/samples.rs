//! Samples: images as they were captured, and faces in them.

use std::fmt;

use bytes::Bytes;

use super::geometry::FaceBox;

/// An image as it was captured, still encoded. `Debug` shows its size only.
#[derive(Clone, PartialEq, Eq)]
pub struct Sample(Bytes);

impl Sample {
    /// Wraps the bytes of an encoded image without checking them.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }

    /// Returns the encoded image.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }
}

impl fmt::Debug for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sample({} bytes)", self.0.len())
    }
}

/// A sample and a face in it, from which a picture of that face can be cropped.
#[derive(Debug, Clone, PartialEq)]
pub struct Still {
    /// The image.
    pub sample: Sample,
    /// The box of the face, in pixels of the upright image.
    pub face: FaceBox,
}
