//! Pictures on SQLite.

use async_trait::async_trait;
use jiff::Timestamp;

use super::{
    SqliteStore,
    rows::blob,
    stores::{Conditions, hot},
};
use crate::{
    domain::ids::{EmployeeId, PictureId, PunchId},
    ports::{Page, PictureKind, PictureStore, Sealed, StoreError, StoredPicture},
};

#[async_trait]
impl PictureStore for SqliteStore {
    async fn insert(&self, picture: &StoredPicture) -> Result<(), StoreError> {
        self.insert_record(picture).await
    }

    async fn find(&self, id: PictureId) -> Result<Option<StoredPicture>, StoreError> {
        self.select_one(hot::PICTURE, [blob(id.uuid())]).await
    }

    async fn of_punch(&self, punch: PunchId) -> Result<Option<StoredPicture>, StoreError> {
        self.select_one(hot::PICTURE_OF_PUNCH, [blob(punch.uuid())])
            .await
    }

    async fn list(
        &self,
        kind: PictureKind,
        page: &Page<(Timestamp, PictureId)>,
    ) -> Result<Vec<StoredPicture>, StoreError> {
        let mut wanted = Conditions::default();
        wanted.and("kind = ?", [kind.as_str().to_owned().into()]);
        if let Some((at, id)) = page.after {
            wanted.and(
                "(at, id) < (?, ?)",
                [at.as_millisecond().into(), blob(id.uuid()).into()],
            );
        }
        self.select_page(wanted, "at DESC, id DESC", page.limit)
            .await
    }

    async fn reseal(&self, was: &StoredPicture, sealed: &Sealed) -> Result<bool, StoreError> {
        let id = blob(was.id.uuid());
        self.exchange_sealed::<StoredPicture>(id, (&was.sealed, sealed))
            .await
    }

    async fn delete(&self, id: PictureId) -> Result<bool, StoreError> {
        let deleted = self
            .execute("DELETE FROM pictures WHERE id = ?1", [blob(id.uuid())])
            .await?;
        Ok(deleted == 1)
    }

    async fn delete_of(&self, employee: EmployeeId) -> Result<u64, StoreError> {
        self.execute(
            "DELETE FROM pictures WHERE employee = ?1",
            [blob(employee.uuid())],
        )
        .await
    }

    async fn purge(&self, kind: PictureKind, before: Timestamp) -> Result<u64, StoreError> {
        self.execute(
            "DELETE FROM pictures WHERE kind = ?1 AND at < ?2",
            (kind.as_str(), before.as_millisecond()),
        )
        .await
    }
}
