//! Face engines and galleries, from the settings.

use std::{path::PathBuf, sync::Arc};

use super::{BootError, keys::present_vault, records};
use crate::{
    config::{self, Settings},
    domain::{biometrics::Calibration, self_calibration::SelfCalibration},
    gallery::MemoryGallery,
    ports::{FaceEngine, Gallery},
    service::{gallery_loader::GalleryLoader, probe_builder::BURST_MOST},
    vision::{self, Engine, EngineOptions, Pack, PrecisionChoice, Runtime},
};

/// Returns the folders that may contain model packs; the first one that has a pack counts.
pub fn pack_roots(settings: &Settings) -> Vec<PathBuf> {
    vec![
        settings.recognition.models_dir.clone(),
        settings.store.data_dir.join("models"),
    ]
}

/// Creates an empty gallery for embeddings of this size.
pub fn gallery(dimensions: usize) -> Arc<dyn Gallery> {
    Arc::new(MemoryGallery::new(dimensions))
}

/// Measures how much the service raises the thresholds for the enrolled people; `None` without a key
/// or a calibration.
///
/// # Errors
/// When the store does not respond, or the key file or the model pack cannot be used.
pub async fn self_calibration(settings: &Settings) -> Result<Option<SelfCalibration>, BootError> {
    let Some(vault) = present_vault(settings)? else {
        return Ok(None);
    };
    let pack = Pack::find(&settings.recognition.model_pack, &pack_roots(settings))?;
    let Some(calibration) = &pack.manifest().calibration else {
        return Ok(None);
    };
    let embedder = &pack.manifest().embedder;
    let gallery = gallery(embedder.dimensions);
    let records = records(settings).await?;
    let loader = GalleryLoader::new(
        records.stores.clone(),
        Arc::new(vault),
        gallery.clone(),
        embedder.model.clone(),
        records.shared.feed(),
        records.clock.clone(),
    );
    let filled = loader.fill().await;
    records.stores.engine.close().await;
    filled?;
    Ok(gallery.calibrate(calibration))
}

/// Returns the engine's choice between the variants of the embedder.
pub fn precision(setting: config::Precision) -> PrecisionChoice {
    match setting {
        config::Precision::Auto => PrecisionChoice::Auto,
        config::Precision::Fp => PrecisionChoice::Only(vision::pack::Precision::Fp),
        config::Precision::Int8 => PrecisionChoice::Only(vision::pack::Precision::Int8),
    }
}

/// Starts the engine of the previous model, with an empty gallery.
pub(super) async fn previous_engine(
    settings: &Settings,
    pack: &str,
    present: &Engine,
) -> Result<(Arc<Engine>, Arc<dyn Gallery>), BootError> {
    let (engine, gallery) = engine(settings, pack).await?;
    if engine.model() == present.model() {
        return Err(BootError::SameModel(engine.model().clone()));
    }
    Ok((engine, gallery))
}

/// Starts the engine of a pack, with an empty gallery. Uses a blocking thread, because reading,
/// checking and timing models takes long.
pub(super) async fn engine(
    settings: &Settings,
    pack: &str,
) -> Result<(Arc<Engine>, Arc<dyn Gallery>), BootError> {
    let pack = pack.to_owned();
    let recognition = settings.recognition.clone();
    let roots = pack_roots(settings);
    let start = move || {
        let runtime = Runtime::load(recognition.ort_dylib_path.as_deref())?;
        let pack = Pack::with_liveness(&pack, recognition.liveness_pack.as_deref(), &roots)?;
        let options = EngineOptions {
            threads: recognition.threads.unwrap_or_else(vision::cpu_quota),
            queue: recognition.queue,
            // A burst fits in any case.
            share: (recognition.queue / 4).max(BURST_MOST),
            precision: precision(recognition.precision),
            ..EngineOptions::default()
        };
        let manifest = pack.manifest();
        let prior = manifest
            .calibration
            .as_ref()
            .map_or(0.0, Calibration::prior_offset);
        let gallery = MemoryGallery::new(manifest.embedder.dimensions).with_prior(prior);
        let engine = Engine::start(&runtime, &pack, options)?;
        let gallery: Arc<dyn Gallery> = Arc::new(gallery);
        Ok((Arc::new(engine), gallery))
    };
    tokio::task::spawn_blocking(start)
        .await
        .map_err(|_| BootError::Aborted)?
}
