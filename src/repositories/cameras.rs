//! Cameras, and the status reports of the instances that watch them.

use std::sync::Arc;

use super::Collection;
use crate::{
    domain::{
        cameras::{Camera, CameraReport, CameraStatus},
        grants::Reach,
        ids::{CameraId, SiteId},
        record::Key,
    },
    ports::{Page, Range, RecordEngine, StoreError},
};

/// The repository of cameras. A stream that a camera has which is not removed is a
/// [`StoreError::Conflict`].
#[derive(Clone)]
pub struct Cameras {
    cameras: Collection<Camera>,
    reports: Collection<CameraReport>,
}

impl Cameras {
    /// Creates the repository on a store.
    pub fn new(engine: Arc<dyn RecordEngine>) -> Self {
        Self {
            cameras: Collection::new(engine.clone()),
            reports: Collection::new(engine),
        }
    }

    forward!(cameras: Camera => insert, exchange, find, find_many);

    /// Returns a page of the covered cameras that are not removed, sorted by ID; only of
    /// `site` if it is given.
    pub async fn list(
        &self,
        reach: &Reach,
        site: Option<SiteId>,
        page: &Page<CameraId>,
    ) -> Result<Vec<Camera>, StoreError> {
        let after = page.after.map(|id| (Key::default(), id.to_string()));
        let range = Range::all().after(after);
        let wanted =
            |camera: &Camera| reach.covers(camera) && site.is_none_or(|site| camera.site == site);
        self.cameras
            .filter(Camera::PRESENT, range, page.limit, wanted)
            .await
    }

    /// Replaces the last reported status of a camera.
    pub async fn report(&self, camera: CameraId, status: &CameraStatus) -> Result<(), StoreError> {
        let status = status.clone();
        self.reports.put(&CameraReport { camera, status }).await
    }

    /// Returns the last reported statuses of cameras, omitting cameras without one.
    pub async fn statuses(
        &self,
        ids: &[CameraId],
    ) -> Result<Vec<(CameraId, CameraStatus)>, StoreError> {
        let reports = self.reports.get_many(ids).await?;
        Ok(reports
            .into_iter()
            .map(|report| (report.camera, report.status))
            .collect())
    }
}
