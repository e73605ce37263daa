//! Health: what the service stands on, asked now.

use std::sync::Arc;

use crate::ports::{FaceEngine, Gallery, StoreError, StoreHealth};

/// What the service is running on, for people who are signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The system of record.
    pub store: String,
    /// The embedding model.
    pub model: String,
    /// How many people can be identified.
    pub people: usize,
}

/// Asks what the service stands on.
pub struct Health {
    store: Arc<dyn StoreHealth>,
    engine: Arc<dyn FaceEngine>,
    gallery: Arc<dyn Gallery>,
}

/// What a dependency is, or what is known of its trouble; no secrets in either.
pub type Answer = Result<String, String>;

impl Health {
    /// Over the store, the engine and the gallery.
    pub fn new(
        store: Arc<dyn StoreHealth>,
        engine: Arc<dyn FaceEngine>,
        gallery: Arc<dyn Gallery>,
    ) -> Self {
        Self {
            store,
            engine,
            gallery,
        }
    }

    /// Whether the store answers. The cause of a failure is for the log.
    pub async fn store(&self) -> Answer {
        match self.store.ping().await {
            Ok(()) => Ok(self.store.description()),
            Err(cause) => {
                tracing::warn!(%cause, "the store does not answer");
                Err(match cause {
                    StoreError::Refused(words) => words.to_owned(),
                    _ => "does not answer".to_owned(),
                })
            }
        }
    }

    /// Whether the engine can tell people apart.
    pub fn engine(&self) -> Answer {
        let model = self.engine.model();
        match self.engine.calibration() {
            Some(_) => Ok(model.to_string()),
            None => Err(format!(
                "{model} has no calibration: run `rollcall models calibrate`"
            )),
        }
    }

    /// How many people can be identified.
    pub fn people(&self) -> usize {
        self.gallery.people()
    }

    /// What it runs on.
    pub fn facts(&self) -> Facts {
        Facts {
            store: self.store.description(),
            model: self.engine.model().to_string(),
            people: self.people(),
        }
    }
}
