//! Pictures of punches and of unknown faces.

use jiff::Timestamp;

use crate::{
    domain::{
        grants::Reach,
        ids::{EmployeeId, PictureId, PunchId},
        pictures::{Picture, PictureKind},
        record::Key,
    },
    ports::{Page, Range, StoreError},
};

repository! {
    /// The repository of pictures. A second one of a punch is a [`StoreError::Conflict`].
    Pictures(Picture): insert, find
}

impl Pictures {
    /// Returns the picture of a punch.
    pub async fn find_by_punch(&self, punch: PunchId) -> Result<Option<Picture>, StoreError> {
        self.0.find_by(Picture::OF_PUNCH, (punch.uuid(),)).await
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
