//! The port that crops pictures of faces from samples.

use async_trait::async_trait;

use super::SampleError;
use crate::domain::samples::Still;

/// A service that crops pictures of faces from samples.
#[async_trait]
pub trait Cropping: Send + Sync {
    /// Returns a JPEG of the face and its surroundings, at most 320 pixels a side, without the
    /// sample's metadata.
    async fn crop(&self, still: Still) -> Result<Vec<u8>, SampleError>;
}
