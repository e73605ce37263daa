//! Ports to cameras: their records, their streams, and a cheap glance at a picture.

use async_trait::async_trait;

use super::{Page, Sample, SampleError, StoreError};
use crate::domain::{
    cameras::{Camera, CameraStatus, Glance, StreamFault},
    ids::CameraId,
    text::StreamName,
};

/// Why there is no picture; the words are for an admin and hold no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct StreamError {
    /// Whether trying again can help by itself.
    pub fault: StreamFault,
    /// What happened, and what to do about it.
    pub cause: String,
}

/// The server that brings in the cameras.
#[async_trait]
pub trait Streams: Send + Sync {
    /// The streams that it is configured with, sorted.
    async fn names(&self) -> Result<Vec<StreamName>, StreamError>;

    /// Opens a stream that it is configured with, and no other. Gives the first picture only
    /// with [`PictureStream::next`].
    async fn open(&self, stream: &StreamName) -> Result<Box<dyn PictureStream>, StreamError>;
}

/// The pictures of one camera, one after the other; dropping it ends it.
#[async_trait]
pub trait PictureStream: Send {
    /// The newest picture, JPEG: waits for one that was not given yet. An answer without a
    /// picture, its end, and silence for several seconds are errors; the stream is over then.
    async fn next(&mut self) -> Result<Sample, StreamError>;

    /// Whether each picture is asked for, which costs the server something, and does not come
    /// by itself. Known once there was one.
    fn asked(&self) -> bool {
        false
    }
}

/// Glances at pictures: far cheaper than looking for faces.
#[async_trait]
pub trait Glancing: Send + Sync {
    /// Mean brightness over a coarse grid.
    async fn glance(&self, picture: Sample) -> Result<Glance, SampleError>;
}

/// Cameras, part of the system of record.
#[async_trait]
pub trait CameraStore: Send + Sync {
    /// Adds one. [`StoreError::Conflict`] when one that is not removed has the same stream.
    async fn insert(&self, camera: &Camera) -> Result<(), StoreError>;

    /// Replaces one while it is as it `was`; false when it is not, because somebody else changed
    /// it or it is not there, and nothing is done. [`StoreError::Conflict`] as for `insert`.
    async fn update(&self, was: &Camera, is: &Camera) -> Result<bool, StoreError>;

    /// One by identity, removed or not.
    async fn find(&self, id: CameraId) -> Result<Option<Camera>, StoreError>;

    /// Those of the identities that are there, removed or not, in any order.
    async fn find_many(&self, ids: &[CameraId]) -> Result<Vec<Camera>, StoreError>;

    /// A page of those not removed, by identity.
    async fn list(&self, page: &Page<CameraId>) -> Result<Vec<Camera>, StoreError>;

    /// Notes how one is; what was noted before is gone. No record of the archive.
    async fn note(&self, id: CameraId, status: &CameraStatus) -> Result<(), StoreError>;

    /// What was noted of each; nothing for those of which nothing was.
    async fn statuses(&self, ids: &[CameraId])
    -> Result<Vec<(CameraId, CameraStatus)>, StoreError>;
}
