//! What was seen in a sample is remembered for an hour: by this process, then by the shared
//! cache, sealed. The same bytes are looked at once, by whichever instance has them first.

use std::{pin::pin, sync::Arc, time::Duration};

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

/// How long an analysis is remembered.
const REMEMBERED: Duration = Duration::from_hours(1);

/// How many analyses this process holds, at 1 to 2 KiB each.
const HELD: u64 = 4096;

/// How long after its last word an instance that works on a sample is taken for gone, and another one
/// does the work.
const WORKING: Duration = Duration::from_millis(500);

/// How often is looked whether the other instance is done.
const LOOK: Duration = Duration::from_millis(10);

/// A face engine with a memory.
pub struct Remembering {
    engine: Arc<dyn FaceEngine>,
    here: Moka<String, Arc<Analysis>>,
    cache: Option<SealedCache>,
}

impl Remembering {
    /// In front of an engine; `cache` is what instances share.
    pub fn new(engine: Arc<dyn FaceEngine>, cache: Option<SealedCache>) -> Self {
        let here = Moka::builder()
            .max_capacity(HELD)
            .time_to_live(REMEMBERED)
            .build();
        Self {
            engine,
            here,
            cache,
        }
    }

    /// The model, the SHA-256 of the bytes, what was asked for, and of whom.
    fn key(&self, sample: &Sample, work: Work) -> String {
        let views = match work.views {
            Views::Pair => "pair",
            Views::All => "all",
        };
        let sum = hex::encode(Sha256::digest(sample.bytes()));
        format!(
            "embedding:{}:{sum}:{views}:{}:{}",
            self.engine.model(),
            work.embed,
            self.engine.fingerprint()
        )
    }

    /// From the shared cache, else from the engine, once among all instances.
    async fn look(
        &self,
        key: &str,
        sample: Sample,
        work: Work,
    ) -> Result<Arc<Analysis>, EngineError> {
        let Some(cache) = &self.cache else {
            return self.engine.analyse(sample, work).await.map(Arc::new);
        };
        if let Some(seen) = recall(cache, key).await {
            return Ok(seen);
        }
        let working = format!("working:{key}");
        let shared = cache.plain();
        if !shared.add(&working, b"1", WORKING).await {
            // Another instance is at it: what it sees will be there in a moment. A cache that is
            // away knows of nobody, and the work is done here.
            while shared.exists(&working).await {
                tokio::time::sleep(LOOK).await;
            }
            if let Some(seen) = recall(cache, key).await {
                return Ok(seen);
            }
        }
        let mut analysis = pin!(self.engine.analyse(sample, work));
        let seen = loop {
            tokio::select! {
                seen = &mut analysis => break seen,
                () = tokio::time::sleep(WORKING / 3) => shared.set(&working, b"1", WORKING).await,
            }
        };
        if let Ok(seen) = &seen {
            cache.set(key, &Kept::of(seen), REMEMBERED).await;
        }
        shared.delete(&[working]).await;
        seen.map(Arc::new)
    }
}

async fn recall(cache: &SealedCache, key: &str) -> Option<Arc<Analysis>> {
    let kept = cache.get::<Kept>(key).await?;
    kept.analysis().map(Arc::new)
}

#[async_trait]
impl FaceEngine for Remembering {
    fn model(&self) -> &ModelId {
        self.engine.model()
    }

    fn calibration(&self) -> Option<&Calibration> {
        self.engine.calibration()
    }

    fn judges_liveness(&self) -> bool {
        self.engine.judges_liveness()
    }

    fn fingerprint(&self) -> &str {
        self.engine.fingerprint()
    }

    async fn analyse(&self, sample: Sample, work: Work) -> Result<Analysis, EngineError> {
        let key = self.key(&sample, work);
        if let Some(seen) = self.here.get(&key).await {
            telemetry::cached("memory", true);
            return Ok(seen.as_ref().clone());
        }
        telemetry::cached("memory", false);
        // Whoever asks for the same meanwhile waits for this one; errors are not remembered.
        let look = self.look(&key, sample, work);
        match self.here.try_get_with_by_ref(&key, look).await {
            Ok(seen) => Ok(seen.as_ref().clone()),
            Err(error) => Err(error.as_ref().clone()),
        }
    }

    /// Not remembered: what can wait is looked at once.
    async fn analyse_if_idle(&self, sample: Sample, work: Work) -> Result<Analysis, EngineError> {
        self.engine.analyse_if_idle(sample, work).await
    }
}

/// An analysis as it is cached.
#[derive(Serialize, Deserialize)]
struct Kept {
    size: (u32, u32),
    faces: Vec<KeptFace>,
}

#[derive(Serialize, Deserialize)]
struct KeptFace {
    bounds: [f32; 4],
    landmarks: [(f32, f32); 5],
    quality: Quality,
    embedding: Option<Vec<f32>>,
    liveness: Option<f32>,
}

impl Kept {
    fn of(analysis: &Analysis) -> Self {
        let face = |face: &Face| KeptFace {
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

    /// `None` when an embedding is none.
    fn analysis(self) -> Option<Analysis> {
        let face = |face: KeptFace| {
            let [x, y, width, height] = face.bounds;
            let embedding = match face.embedding {
                Some(values) => Some(Embedding::normalise(values)?),
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
