//! Health: the present state of what the service depends on.

use std::sync::Arc;

use super::gallery_loader::GalleryLoader;
use crate::{
    domain::self_calibration::SelfCalibration,
    ports::{FaceEngine, Gallery, RecordEngine, StoreError},
};

/// What the service runs on, for signed-in users.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// The system of record.
    pub store: String,
    /// The embedding model.
    pub model: String,
    /// The number of people who can be identified.
    pub people: usize,
    /// The number of people who must be enrolled again, because the model changed.
    pub outdated: usize,
    /// The offsets of the thresholds.
    pub thresholds: SelfCalibration,
}

/// Checks what the service depends on.
#[derive(derive_new::new)]
pub struct Health {
    store: Arc<dyn RecordEngine>,
    engine: Arc<dyn FaceEngine>,
    gallery: Arc<dyn Gallery>,
    loader: Arc<GalleryLoader>,
}

/// The description of a dependency, or its problem. Neither contains secrets.
pub type Answer = Result<String, String>;

impl Health {
    /// Checks whether the store responds. Only the log has the cause of a failure.
    pub async fn store(&self) -> Answer {
        match self.store.ping().await {
            Ok(()) => Ok(self.store.description()),
            Err(cause) => {
                tracing::warn!(%cause, "the store does not respond");
                Err(match cause {
                    StoreError::Refused(text) => text.to_owned(),
                    _ => "does not respond".to_owned(),
                })
            }
        }
    }

    /// Checks whether the engine can identify people.
    pub fn engine(&self) -> Answer {
        let model = self.engine.model();
        match self.engine.calibration() {
            Some(_) => Ok(model.to_string()),
            None => Err(format!(
                "{model} has no calibration: run `rollcall models calibrate`"
            )),
        }
    }

    /// Returns the number of people who can be identified.
    pub fn people(&self) -> usize {
        self.gallery.people()
    }

    /// Returns the offsets of the thresholds.
    pub fn thresholds(&self) -> SelfCalibration {
        self.gallery.self_calibration()
    }

    /// Returns what the service runs on.
    pub fn facts(&self) -> Facts {
        Facts {
            store: self.store.description(),
            model: self.engine.model().to_string(),
            people: self.people(),
            outdated: self.loader.outdated(),
            thresholds: self.thresholds(),
        }
    }
}
