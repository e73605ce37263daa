//! Cameras on SQLite.

use async_trait::async_trait;

use super::{
    SqliteStore,
    rows::{Record, blob},
    stores::{Conditions, exchange, hot, put},
};
use crate::{
    domain::{
        cameras::{Camera, CameraStatus},
        ids::CameraId,
    },
    ports::{CameraStore, Page, StoreError},
};

#[async_trait]
impl CameraStore for SqliteStore {
    async fn insert(&self, camera: &Camera) -> Result<(), StoreError> {
        self.insert_record(camera).await
    }

    async fn update(&self, was: &Camera, is: &Camera) -> Result<bool, StoreError> {
        let (was, is) = (was.values()?, is.values()?);
        self.threads
            .write(move |connection| exchange::<Camera>(connection, was, is))
            .await
    }

    async fn find(&self, id: CameraId) -> Result<Option<Camera>, StoreError> {
        self.select_one(hot::CAMERA, [blob(id.uuid())]).await
    }

    async fn find_many(&self, ids: &[CameraId]) -> Result<Vec<Camera>, StoreError> {
        self.select_among(ids.iter().map(|id| id.uuid())).await
    }

    async fn list(&self, page: &Page<CameraId>) -> Result<Vec<Camera>, StoreError> {
        let mut wanted = Conditions::default();
        wanted.and("removed_at IS NULL", []);
        wanted.and_if("id > ?", page.after.map(|id| blob(id.uuid())));
        self.select_page(wanted, "id", page.limit).await
    }

    async fn note(&self, id: CameraId, status: &CameraStatus) -> Result<(), StoreError> {
        let values = (id, status.clone()).values()?;
        self.threads
            .write(move |connection| put::<(CameraId, CameraStatus)>(connection, values))
            .await
    }

    async fn statuses(
        &self,
        ids: &[CameraId],
    ) -> Result<Vec<(CameraId, CameraStatus)>, StoreError> {
        self.select_among(ids.iter().map(|id| id.uuid())).await
    }
}
