//! A face engine with a cache: analyses are cached for an hour in this process and, encrypted, in the
//! shared cache. Instances analyze the same bytes only once.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use moka::future::Cache as Moka;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::sealed_cache::SealedCache;
use crate::{
    domain::{
        biometrics::{Calibration, Embedding, ModelId, Views},
        quality::Quality,
    },
    ports::{Analysis, EngineError, Face, FaceBox, FaceEngine, Sample, Work},
    telemetry,
};

/// How long an analysis is cached.
pub const LIFETIME: Duration = Duration::from_hours(1);

/// How the keys of analyses begin.
const PREFIX: &str = "embedding:";

/// The maximum number of analyses in this process, at 1 to 2 KiB each.
const CAPACITY: u64 = 4096;

/// How long an instance that analyzes a sample keeps others from it without extending its claim. If
/// it dies, another instance does the work after this time.
const WORKING: Duration = Duration::from_secs(2);

/// How often an instance checks whether another one is done.
const POLL: Duration = Duration::from_millis(10);

/// A face engine with a cache.
pub struct CachedEngine {
    engine: Arc<dyn FaceEngine>,
    local: Moka<String, Arc<Analysis>>,
    shared: Option<SealedCache>,
    /// How often [`FaceEngine::forget`] was called.
    forgotten: AtomicU64,
}

impl CachedEngine {
    /// Makes a cache in front of an engine; `shared` is the cache that all instances share.
    pub fn new(engine: Arc<dyn FaceEngine>, shared: Option<SealedCache>) -> Self {
        let local = Moka::builder()
            .max_capacity(CAPACITY)
            .time_to_live(LIFETIME)
            .build();
        Self {
            engine,
            local,
            shared,
            forgotten: AtomicU64::new(0),
        }
    }

    /// Returns the key of a request: model, SHA-256 of the bytes, requested work, and engine.
    fn key(&self, sample: &Sample, work: Work) -> String {
        let views = match work.views {
            Views::One => "one",
            Views::Pair => "pair",
            Views::All => "all",
        };
        let purpose = match work.photo {
            true => "photo",
            false => "probe",
        };
        let sum = hex::encode(Sha256::digest(sample.bytes()));
        format!(
            "{PREFIX}{}:{sum}:{views}:{purpose}:{}:{}",
            self.engine.model(),
            work.embed,
            self.engine.fingerprint()
        )
    }

    /// Returns the analysis from the shared cache, or else from the engine. Only one instance asks its
    /// engine. `forgotten` is the count at the begin, which must still hold for the cache to get it.
    async fn analyze_shared(
        &self,
        key: &str,
        sample: Sample,
        work: Work,
        forgotten: u64,
    ) -> Result<Arc<Analysis>, EngineError> {
        let Some(cache) = &self.shared else {
            return self.engine.analyze(sample, work).await.map(Arc::new);
        };
        if let Some(cached) = find(cache, key).await {
            return Ok(cached);
        }
        let working = format!("working:{key}");
        let shared = cache.plain();
        if !shared.add(&working, b"1", WORKING).await {
            // Another instance analyzes the sample, and its result will be there in a moment. If the
            // cache is unavailable, this instance does the work.
            while shared.exists(&working).await {
                tokio::time::sleep(POLL).await;
            }
            if let Some(cached) = find(cache, key).await {
                return Ok(cached);
            }
        }
        let mut analysis = pin!(self.engine.analyze(sample, work));
        let result = loop {
            tokio::select! {
                result = &mut analysis => break result,
                () = tokio::time::sleep(WORKING / 3) => shared.set(&working, b"1", WORKING).await,
            }
        };
        if let Ok(analysis) = &result
            && self.forgotten.load(Ordering::Acquire) == forgotten
        {
            let cached = CachedAnalysis::from_analysis(analysis);
            cache.set(key, &cached, LIFETIME).await;
        }
        shared.delete(&[working]).await;
        result.map(Arc::new)
    }
}

/// Returns an analysis from a cache.
async fn find(cache: &SealedCache, key: &str) -> Option<Arc<Analysis>> {
    let cached = cache.get::<CachedAnalysis>(key).await?;
    cached.into_analysis().map(Arc::new)
}

#[async_trait]
impl FaceEngine for CachedEngine {
    fn model(&self) -> &ModelId {
        self.engine.model()
    }

    fn calibration(&self) -> Option<&Calibration> {
        self.engine.calibration()
    }

    fn enrollment_views(&self) -> Views {
        self.engine.enrollment_views()
    }

    fn judges_liveness(&self) -> bool {
        self.engine.judges_liveness()
    }

    fn fingerprint(&self) -> &str {
        self.engine.fingerprint()
    }

    async fn analyze(&self, sample: Sample, work: Work) -> Result<Analysis, EngineError> {
        let key = self.key(&sample, work);
        if let Some(cached) = self.local.get(&key).await {
            telemetry::cached("memory", true);
            return Ok(cached.as_ref().clone());
        }
        telemetry::cached("memory", false);
        let forgotten = self.forgotten.load(Ordering::Acquire);
        // Other callers with the same request wait for this one. Errors are not cached.
        let analysis = self.analyze_shared(&key, sample, work, forgotten);
        let result = self.local.try_get_with_by_ref(&key, analysis).await;
        if self.forgotten.load(Ordering::Acquire) != forgotten {
            self.local.invalidate(&key).await;
            if let Some(cache) = &self.shared {
                cache.plain().delete(&[key]).await;
            }
        }
        match result {
            Ok(analysis) => Ok(analysis.as_ref().clone()),
            Err(error) => Err(error.as_ref().clone()),
        }
    }

    /// Does not cache: background samples do not repeat.
    async fn analyze_if_idle(&self, sample: Sample, work: Work) -> Result<Analysis, EngineError> {
        self.engine.analyze_if_idle(sample, work).await
    }

    /// Also keeps analyses in progress from being cached.
    async fn forget(&self) {
        self.forgotten.fetch_add(1, Ordering::AcqRel);
        self.local.invalidate_all();
        // Otherwise, they would stay in memory until the cache is used again.
        self.local.run_pending_tasks().await;
        if let Some(cache) = &self.shared {
            cache.plain().clear(PREFIX).await;
        }
    }
}

/// The cached form of an analysis.
#[derive(Serialize, Deserialize)]
struct CachedAnalysis {
    size: (u32, u32),
    faces: Vec<CachedFace>,
}

#[derive(Serialize, Deserialize)]
struct CachedFace {
    bounds: [f32; 4],
    landmarks: [(f32, f32); 5],
    quality: Quality,
    embedding: Option<Vec<f32>>,
    liveness: Option<f32>,
}

impl CachedAnalysis {
    fn from_analysis(analysis: &Analysis) -> Self {
        let face = |face: &Face| CachedFace {
            bounds: [
                face.bounds.x,
                face.bounds.y,
                face.bounds.width,
                face.bounds.height,
            ],
            landmarks: face.landmarks,
            quality: face.quality,
            embedding: face
                .embedding
                .as_ref()
                .map(|embedding| embedding.as_slice().to_vec()),
            liveness: face.liveness,
        };
        Self {
            size: (analysis.width, analysis.height),
            faces: analysis.faces.iter().map(face).collect(),
        }
    }

    /// Returns the analysis; `None` if an embedding is invalid.
    fn into_analysis(self) -> Option<Analysis> {
        let face = |face: CachedFace| {
            let [x, y, width, height] = face.bounds;
            let embedding = match face.embedding {
                Some(values) => Some(Embedding::normalize(values)?),
                None => None,
            };
            Some(Face {
                bounds: FaceBox {
                    x,
                    y,
                    width,
                    height,
                },
                landmarks: face.landmarks,
                quality: face.quality,
                embedding,
                liveness: face.liveness,
            })
        };
        Some(Analysis {
            width: self.size.0,
            height: self.size.1,
            faces: self.faces.into_iter().map(face).collect::<Option<_>>()?,
        })
    }
}
