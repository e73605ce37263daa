//! Pictures on MongoDB.

use async_trait::async_trait;
use jiff::Timestamp;
use mongodb::bson::doc;

use super::{
    MongoStore,
    documents::{uuid, when},
    stores::older_than,
};
use crate::{
    domain::ids::{EmployeeId, PictureId, PunchId},
    ports::{Page, PictureKind, PictureStore, Sealed, StoreError, StoredPicture},
};

#[async_trait]
impl PictureStore for MongoStore {
    async fn insert(&self, picture: &StoredPicture) -> Result<(), StoreError> {
        self.insert_record(picture).await
    }

    async fn find(&self, id: PictureId) -> Result<Option<StoredPicture>, StoreError> {
        self.select_one(doc! { "_id": uuid(id.uuid()) }, doc! {})
            .await
    }

    async fn of_punch(&self, punch: PunchId) -> Result<Option<StoredPicture>, StoreError> {
        self.select_one(doc! { "punch": uuid(punch.uuid()) }, doc! {})
            .await
    }

    async fn list(
        &self,
        kind: PictureKind,
        page: &Page<(Timestamp, PictureId)>,
    ) -> Result<Vec<StoredPicture>, StoreError> {
        let mut wanted = doc! { "kind": kind.as_str() };
        if let Some((at, id)) = page.after {
            wanted.insert("$or", older_than(at, id.uuid()));
        }
        let order = doc! { "at": -1, "_id": -1 };
        self.select(wanted, order, Some(page.limit)).await
    }

    async fn reseal(&self, was: &StoredPicture, sealed: &Sealed) -> Result<bool, StoreError> {
        let filter = doc! { "_id": uuid(was.id.uuid()) };
        self.exchange_sealed::<StoredPicture>(filter, "sealed", (&was.sealed, sealed))
            .await
    }

    async fn delete(&self, id: PictureId) -> Result<bool, StoreError> {
        let one = doc! { "_id": uuid(id.uuid()) };
        Ok(self.delete_where::<StoredPicture>(one).await? == 1)
    }

    async fn delete_of(&self, employee: EmployeeId) -> Result<u64, StoreError> {
        self.delete_where::<StoredPicture>(doc! { "employee": uuid(employee.uuid()) })
            .await
    }

    async fn purge(&self, kind: PictureKind, before: Timestamp) -> Result<u64, StoreError> {
        let old = doc! { "kind": kind.as_str(), "at": { "$lt": when(before) } };
        self.delete_where::<StoredPicture>(old).await
    }
}
