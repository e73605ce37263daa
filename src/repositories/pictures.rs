//! Pictures of punches and of unknown faces.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Collection, Versioned};
use crate::{
    domain::{
        grants::Reach,
        ids::{EmployeeId, PictureId, PunchId},
        pictures::{Picture, PictureKind},
        record::Key,
    },
    ports::{Page, Range, RecordEngine, StoreError},
};

/// The repository of pictures.
#[derive(Clone)]
pub struct Pictures(Collection<Picture>);

impl Pictures {
    /// Creates the repository on a store.
    pub fn new(engine: Arc<dyn RecordEngine>) -> Self {
        Self(Collection::new(engine))
    }

    /// Adds a picture.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if its punch already has one.
    pub async fn insert(&self, picture: &Picture) -> Result<(), StoreError> {
        self.0.insert(picture).await
    }

    /// Returns a picture.
    pub async fn find(&self, id: PictureId) -> Result<Option<Picture>, StoreError> {
        Ok(self.0.get(&id).await?.map(Versioned::into_inner))
    }

    /// Returns the picture of a punch.
    pub async fn find_by_punch(&self, punch: PunchId) -> Result<Option<Picture>, StoreError> {
        let found = self
            .0
            .find(Picture::OF_PUNCH, Key::new((punch.uuid(),)))
            .await?;
        Ok(found.map(Versioned::into_inner))
    }

    /// Returns a page of the covered pictures without the images, newest first by time, then ID.
    /// Both are the cursor.
    pub async fn list(
        &self,
        reach: &Reach,
        kind: PictureKind,
        page: &Page<(Timestamp, PictureId)>,
    ) -> Result<Vec<Picture>, StoreError> {
        let after = page
            .after
            .map(|(at, id)| (Key::new((kind.as_str(), at)), id.to_string()));
        let range = Range::within(Key::new((kind.as_str(),)))
            .backwards()
            .after(after);
        let wanted = |picture: &Picture| reach.covers(picture);
        self.0
            .filter(Picture::BY_KIND, range, page.limit, wanted)
            .await
    }

    /// Permanently deletes a picture; returns false if it did not exist.
    pub async fn delete(&self, id: PictureId) -> Result<bool, StoreError> {
        self.0.remove(&id).await
    }

    /// Permanently deletes the pictures of an employee's punches; returns how many there were.
    pub async fn delete_by_employee(&self, id: EmployeeId) -> Result<u64, StoreError> {
        let range = Range::within(Key::new((id.uuid(),)));
        self.0.remove_range(Picture::BY_EMPLOYEE, range).await
    }

    /// Permanently deletes the pictures of a kind before a moment; returns how many there were.
    pub async fn purge(&self, kind: PictureKind, before: Timestamp) -> Result<u64, StoreError> {
        self.0.purge((kind.as_str(),), before).await
    }
}
