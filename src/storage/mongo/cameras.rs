//! Cameras on MongoDB.

use async_trait::async_trait;
use mongodb::bson::{Bson, doc};

use super::{
    MongoStore, PATIENCE,
    documents::{Kept, uuid},
    stores::rival_of,
    within,
};
use crate::{
    domain::{
        cameras::{Camera, CameraStatus},
        ids::CameraId,
    },
    ports::{CameraStore, Page, StoreError},
};

#[async_trait]
impl CameraStore for MongoStore {
    async fn insert(&self, camera: &Camera) -> Result<(), StoreError> {
        self.insert_record(camera).await
    }

    async fn update(&self, was: &Camera, is: &Camera) -> Result<bool, StoreError> {
        let rival = rival_of(uuid(is.id.uuid()), "stream_key", is.stream.as_str());
        let optional: &[_] = &["stream_key", "site", "hours", "removed_at", "viewers"];
        self.exchange_record((was, is), (&[], optional), rival)
            .await
    }

    async fn find(&self, id: CameraId) -> Result<Option<Camera>, StoreError> {
        self.select_one(doc! { "_id": uuid(id.uuid()) }, doc! {})
            .await
    }

    async fn find_many(&self, ids: &[CameraId]) -> Result<Vec<Camera>, StoreError> {
        self.select_among(ids.iter().map(|id| id.uuid())).await
    }

    async fn list(&self, page: &Page<CameraId>) -> Result<Vec<Camera>, StoreError> {
        let mut filter = doc! { "removed_at": Bson::Null };
        if let Some(after) = page.after {
            filter.insert("_id", doc! { "$gt": uuid(after.uuid()) });
        }
        self.select(filter, doc! { "_id": 1 }, Some(page.limit))
            .await
    }

    async fn note(&self, id: CameraId, status: &CameraStatus) -> Result<(), StoreError> {
        let document = (id, status.clone()).document()?;
        let link = self.link.clone();
        let call = async move {
            link.collection::<(CameraId, CameraStatus)>()
                .await?
                .replace_one(doc! { "_id": uuid(id.uuid()) }, document)
                .upsert(true)
                .await?;
            Ok(())
        };
        within(PATIENCE, call).await
    }

    async fn statuses(
        &self,
        ids: &[CameraId],
    ) -> Result<Vec<(CameraId, CameraStatus)>, StoreError> {
        self.select_among(ids.iter().map(|id| id.uuid())).await
    }
}
