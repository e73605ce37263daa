//! Analyses are cached, and an unavailable cache delays no one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures::future::join_all;
use rollcall::{
    clock::SystemClock,
    domain::biometrics::{Calibration, ModelId, Views},
    ports::{Analysis, Cache, EngineError, FaceEngine, Sample, Work},
    service::{analysis_cache::CachedEngine, sealed_cache::SealedCache},
    storage::memory::MemoryCache,
    vault::Vault,
};
use zeroize::Zeroizing;

use crate::scripted::ScriptedEngine;

/// An engine that counts its analyses, each of which takes this long.
struct Counting {
    engine: ScriptedEngine,
    looks: AtomicUsize,
    takes: Duration,
}

impl Counting {
    fn new(takes: Duration) -> Arc<Self> {
        Arc::new(Self {
            engine: ScriptedEngine::default(),
            looks: AtomicUsize::new(0),
            takes,
        })
    }

    fn looks(&self) -> usize {
        self.looks.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl FaceEngine for Counting {
    fn model(&self) -> &ModelId {
        self.engine.model()
    }

    fn calibration(&self) -> Option<&Calibration> {
        self.engine.calibration()
    }

    fn enrollment_views(&self) -> Views {
        Views::All
    }

    fn judges_liveness(&self) -> bool {
        false
    }

    fn fingerprint(&self) -> &str {
        "counting"
    }

    async fn analyze(&self, sample: Sample, work: Work) -> Result<Analysis, EngineError> {
        self.looks.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(self.takes).await;
        self.engine.analyze(sample, work).await
    }

    /// It is never idle.
    async fn analyze_if_idle(&self, _: Sample, _: Work) -> Result<Analysis, EngineError> {
        Err(EngineError::Overloaded)
    }
}

/// A cache while Redis is unavailable.
struct Empty;

#[async_trait]
impl Cache for Empty {
    async fn get(&self, _: &str) -> Option<Vec<u8>> {
        None
    }
    async fn set(&self, _: &str, _: &[u8], _: Duration) {}
    async fn add(&self, _: &str, _: &[u8], _: Duration) -> bool {
        false
    }
    async fn delete(&self, _: &[String]) -> u64 {
        0
    }
    async fn ttl(&self, _: &str) -> Option<Duration> {
        None
    }
}

const WORK: Work = Work {
    sender: None,
    views: Views::Pair,
    embed: 1,
    photo: false,
};

fn over(engine: &Arc<Counting>, cache: Arc<dyn Cache>) -> CachedEngine {
    let vault = Arc::new(Vault::new(&Zeroizing::new([7; 32]), &[]));
    let sealed = SealedCache::new("embeddings", cache, vault, Arc::new(SystemClock));
    CachedEngine::new(engine.clone(), Some(sealed))
}

fn ann() -> Sample {
    Sample::new(&b"ann"[..])
}

#[tokio::test]
async fn an_unavailable_cache_delays_no_one() {
    let engine = Counting::new(Duration::ZERO);
    let one = over(&engine, Arc::new(Empty));
    let seen = tokio::time::timeout(Duration::from_secs(5), one.analyze(ann(), WORK)).await;
    assert_eq!(seen.unwrap().unwrap().faces.len(), 1);
    // This process has its own cache.
    one.analyze(ann(), WORK).await.unwrap();
    assert_eq!(engine.looks(), 1);
}

#[tokio::test]
async fn only_one_of_two_instances_analyzes_however_long_it_takes() {
    let engine = Counting::new(Duration::from_secs(3));
    let cache: Arc<dyn Cache> = Arc::new(MemoryCache::new(1 << 20));
    let (one, two) = (over(&engine, cache.clone()), over(&engine, cache));
    let both = [one.analyze(ann(), WORK), two.analyze(ann(), WORK)];
    for seen in join_all(both).await {
        assert_eq!(seen.unwrap().faces.len(), 1);
    }
    assert_eq!(engine.looks(), 1);
}

#[tokio::test]
async fn background_analyses_stay_background_analyses() {
    let engine = Counting::new(Duration::ZERO);
    let one = over(&engine, Arc::new(Empty));
    let later = one.analyze_if_idle(ann(), WORK).await;
    assert_eq!(later.unwrap_err(), EngineError::Overloaded);
    assert_eq!(engine.looks(), 0);
}
