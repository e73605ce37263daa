//! Samples: images as they were captured, and faces in them.

use std::fmt;

use bytes::Bytes;

use super::tracking::FaceBox;

/// An image as it was captured, still encoded. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Sample(Bytes);

impl Sample {
    /// Wraps the bytes of an encoded image; nothing is checked yet.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }

    /// The encoded image.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }
}

impl fmt::Debug for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sample({} bytes)", self.0.len())
    }
}

/// A sample, and where in it the face is that it is about: what a picture is cut from.
#[derive(Debug, Clone, PartialEq)]
pub struct Still {
    /// The image.
    pub sample: Sample,
    /// The face, pixels of the upright image.
    pub face: FaceBox,
}
