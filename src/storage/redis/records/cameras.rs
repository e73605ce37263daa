//! Cameras.

use async_trait::async_trait;
use redis::cmd;

use super::{
    RedisStore,
    accounts::page_after,
    plan::{Kept, record_key},
};
use crate::{
    domain::{
        cameras::{Camera, CameraStatus},
        ids::CameraId,
    },
    ports::{CameraStore, Page, StoreError},
};

#[async_trait]
impl CameraStore for RedisStore {
    async fn insert(&self, camera: &Camera) -> Result<(), StoreError> {
        self.insert_record(camera).await
    }

    async fn update(&self, was: &Camera, is: &Camera) -> Result<bool, StoreError> {
        let same = |there: &Camera| there == was;
        self.exchange_record(&was.id.to_string(), same, is).await
    }

    async fn find(&self, id: CameraId) -> Result<Option<Camera>, StoreError> {
        self.fetch_one(id.to_string()).await
    }

    async fn find_many(&self, ids: &[CameraId]) -> Result<Vec<Camera>, StoreError> {
        self.fetch(ids.iter().map(ToString::to_string)).await
    }

    async fn list(&self, page: &Page<CameraId>) -> Result<Vec<Camera>, StoreError> {
        self.select("cameras", &page_after(page.after), page.limit)
            .await
    }

    async fn note(&self, id: CameraId, status: &CameraStatus) -> Result<(), StoreError> {
        let noted = (id, status.clone());
        let mut set = cmd("SET");
        set.arg(record_key::<(CameraId, CameraStatus)>(
            &self.keys,
            &noted.id(),
        ))
        .arg(noted.body()?);
        self.command(&set).await
    }

    async fn statuses(
        &self,
        ids: &[CameraId],
    ) -> Result<Vec<(CameraId, CameraStatus)>, StoreError> {
        self.fetch(ids.iter().map(ToString::to_string)).await
    }
}
