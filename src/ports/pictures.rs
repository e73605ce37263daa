//! Ports to the pictures that a site keeps for a while, of punches and of unknown faces: cutting
//! them out, and their records.

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Page, SampleError, Sealed, StoreError};
use crate::domain::{
    attendance::PunchSource,
    ids::{DeviceId, EmployeeId, PictureId, PunchId},
    samples::Still,
};

/// What a picture is kept for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PictureKind {
    /// To see who punched.
    Punch,
    /// To see who was there whom nobody knows.
    Unknown,
}

impl PictureKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Punch, Self::Unknown];

    /// The word in stores.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Punch => "punch",
            Self::Unknown => "unknown",
        }
    }
}

/// Whom a picture shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Pictured {
    /// Somebody who punched.
    Punch {
        /// The punch.
        punch: PunchId,
        /// Whose it is.
        employee: EmployeeId,
    },
    /// Somebody whom nobody knows.
    Unknown,
}

impl Pictured {
    /// What the picture is kept for.
    pub fn kind(self) -> PictureKind {
        match self {
            Self::Punch { .. } => PictureKind::Punch,
            Self::Unknown => PictureKind::Unknown,
        }
    }

    /// Whose punch it is of.
    pub fn employee(self) -> Option<EmployeeId> {
        match self {
            Self::Punch { employee, .. } => Some(employee),
            Self::Unknown => None,
        }
    }
}

/// A picture of a face, JPEG, sealed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredPicture {
    /// Identity.
    pub id: PictureId,
    /// When it was taken.
    pub at: Timestamp,
    /// Whom it shows.
    pub of: Pictured,
    /// What took it.
    pub source: PunchSource,
    /// Which device, or camera.
    pub device: DeviceId,
    /// The sealed image file.
    pub sealed: Sealed,
}

/// Pictures, part of the system of record.
#[async_trait]
pub trait PictureStore: Send + Sync {
    /// Adds one. [`StoreError::Conflict`] when its punch has one.
    async fn insert(&self, picture: &StoredPicture) -> Result<(), StoreError>;

    /// One by identity.
    async fn find(&self, id: PictureId) -> Result<Option<StoredPicture>, StoreError>;

    /// The one of a punch.
    async fn of_punch(&self, punch: PunchId) -> Result<Option<StoredPicture>, StoreError>;

    /// A page of a kind, newest first by time, then identity; the cursor is those of the last one.
    async fn list(
        &self,
        kind: PictureKind,
        page: &Page<(Timestamp, PictureId)>,
    ) -> Result<Vec<StoredPicture>, StoreError>;

    /// Replaces what is sealed in one, while that is sealed as it `was`; false when it is not, and
    /// nothing is done.
    async fn reseal(&self, was: &StoredPicture, sealed: &Sealed) -> Result<bool, StoreError>;

    /// Deletes one for good; false when it was not there.
    async fn delete(&self, id: PictureId) -> Result<bool, StoreError>;

    /// Deletes those of an employee for good; how many.
    async fn delete_of(&self, employee: EmployeeId) -> Result<u64, StoreError>;

    /// Deletes those of a kind from before a moment for good; how many.
    async fn purge(&self, kind: PictureKind, before: Timestamp) -> Result<u64, StoreError>;
}

/// Cuts pictures of faces out of samples.
#[async_trait]
pub trait Cutting: Send + Sync {
    /// A JPEG of the face with some of what is around it, of at most 320 pixels a side, with
    /// nothing of the sample's metadata.
    async fn cut(&self, still: Still) -> Result<Vec<u8>, SampleError>;
}
