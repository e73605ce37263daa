//! Ports to cameras: their streams, and cheap motion detection.

use async_trait::async_trait;

use super::{Sample, SampleError};
use crate::domain::{
    cameras::{Glance, StreamFault},
    text::StreamName,
};

/// The reason why a stream has no picture. The message is for an admin and contains no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct StreamError {
    /// Whether a retry without a change can help.
    pub fault: StreamFault,
    /// What happened, and what to do about it.
    pub cause: String,
}

/// The server that connects the cameras (go2rtc).
#[async_trait]
pub trait Streams: Send + Sync {
    /// Returns the names of the configured streams, sorted.
    async fn names(&self) -> Result<Vec<StreamName>, StreamError>;

    /// Opens a configured stream; fails for any other. [`PictureStream::next`] waits for the first
    /// picture.
    async fn open(&self, stream: &StreamName) -> Result<Box<dyn PictureStream>, StreamError>;
}

/// The pictures of one camera, one after the other. Dropping it closes the connection.
#[async_trait]
pub trait PictureStream: Send {
    /// Returns the newest picture, a JPEG; waits for one that it did not return before. An answer
    /// without a picture, the end of the stream, and silence for several seconds are errors that
    /// end the stream.
    async fn next(&mut self) -> Result<Sample, StreamError>;

    /// Returns whether each picture needs a request of its own, which costs the server work, instead
    /// of being pushed. Known after the first picture.
    fn asked(&self) -> bool {
        false
    }
}

/// A motion sensor for pictures, far cheaper than face detection.
#[async_trait]
pub trait MotionSensing: Send + Sync {
    /// Returns the mean brightness of a picture over a coarse grid.
    async fn glance(&self, picture: Sample) -> Result<Glance, SampleError>;
}
