//! Pictures.

use async_trait::async_trait;
use jiff::Timestamp;

use super::{
    RedisStore,
    accounts::back_after,
    forms::pictures_of,
    plan::{Kept, record_key},
    scripts,
};
use crate::{
    domain::ids::{EmployeeId, PictureId, PunchId},
    ports::{Page, PictureKind, PictureStore, Sealed, StoreError, StoredPicture},
};

/// The index of a kind.
fn index(kind: PictureKind) -> String {
    format!("pictures:{}", kind.as_str())
}

#[async_trait]
impl PictureStore for RedisStore {
    async fn insert(&self, picture: &StoredPicture) -> Result<(), StoreError> {
        self.insert_record(picture).await
    }

    async fn find(&self, id: PictureId) -> Result<Option<StoredPicture>, StoreError> {
        self.fetch_one(id.to_string()).await
    }

    async fn of_punch(&self, punch: PunchId) -> Result<Option<StoredPicture>, StoreError> {
        self.fetch_by(&format!("picture_of_punch:{punch}")).await
    }

    async fn list(
        &self,
        kind: PictureKind,
        page: &Page<(Timestamp, PictureId)>,
    ) -> Result<Vec<StoredPicture>, StoreError> {
        let range = back_after(page.after);
        self.select(&index(kind), &range, page.limit).await
    }

    async fn reseal(&self, was: &StoredPicture, sealed: &Sealed) -> Result<bool, StoreError> {
        let is = StoredPicture {
            sealed: sealed.clone(),
            ..was.clone()
        };
        let same = |there: &StoredPicture| there.sealed == was.sealed;
        self.exchange_record(&was.id.to_string(), same, &is).await
    }

    async fn delete(&self, id: PictureId) -> Result<bool, StoreError> {
        let keys = [record_key::<StoredPicture>(&self.keys, &id.to_string())];
        self.script(&scripts::DROP_ONE, &keys, &[], false).await
    }

    async fn delete_of(&self, employee: EmployeeId) -> Result<u64, StoreError> {
        let indexes = [(pictures_of(employee), StoredPicture::KIND)];
        self.drop_of(&indexes, "+", -1).await
    }

    async fn purge(&self, kind: PictureKind, before: Timestamp) -> Result<u64, StoreError> {
        self.drop_before::<StoredPicture>(&index(kind), before)
            .await
    }
}
