//! What was seen is remembered, and a cache that knows nothing holds nobody up.

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
    service::{sealed_cache::SealedCache, seen::Remembering},
    storage::memory::MemoryCache,
    vault::Vault,
};
use zeroize::Zeroizing;

use crate::world::ScriptedEngine;

/// Counts what it looks at, each for so long.
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

    fn judges_liveness(&self) -> bool {
        false
    }

    fn fingerprint(&self) -> &str {
        "counting"
    }

    async fn analyse(&self, sample: Sample, work: Work) -> Result<Analysis, EngineError> {
        self.looks.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(self.takes).await;
        self.engine.analyse(sample, work).await
    }

    /// Never idle.
    async fn analyse_if_idle(&self, _: Sample, _: Work) -> Result<Analysis, EngineError> {
        Err(EngineError::Overloaded)
    }
}

/// A cache as it is while Redis is away.
struct Empty;

#[async_trait]
impl Cache for Empty {
    async fn get(&self, _: &str) -> Option<Vec<u8>> {
        None
    }
    async fn get_many(&self, keys: &[String]) -> Vec<Option<Vec<u8>>> {
        vec![None; keys.len()]
    }
    async fn set(&self, _: &str, _: &[u8], _: Duration) {}
    async fn set_many(&self, _: &[(String, Vec<u8>)], _: Duration) {}
    async fn add(&self, _: &str, _: &[u8], _: Duration) -> bool {
        false
    }
    async fn delete(&self, _: &[String]) -> u64 {
        0
    }
    async fn clear(&self, _: &str) -> u64 {
        0
    }
    async fn increment(&self, _: &str, _: i64, _: Duration) -> i64 {
        0
    }
    async fn ttl(&self, _: &str) -> Option<Duration> {
        None
    }
}

const WORK: Work = Work {
    views: Views::Pair,
    embed: 1,
};

fn over(engine: &Arc<Counting>, cache: Arc<dyn Cache>) -> Remembering {
    let vault = Arc::new(Vault::new(&Zeroizing::new([7; 32]), &[]));
    let sealed = SealedCache::new("embeddings", cache, vault, Arc::new(SystemClock));
    Remembering::new(engine.clone(), Some(sealed))
}

fn ann() -> Sample {
    Sample::new(&b"ann"[..])
}

#[tokio::test]
async fn a_cache_that_is_away_holds_nobody_up() {
    let engine = Counting::new(Duration::ZERO);
    let one = over(&engine, Arc::new(Empty));
    let seen = tokio::time::timeout(Duration::from_secs(5), one.analyse(ann(), WORK)).await;
    assert_eq!(seen.unwrap().unwrap().faces.len(), 1);
    // This process remembers it by itself.
    one.analyse(ann(), WORK).await.unwrap();
    assert_eq!(engine.looks(), 1);
}

#[tokio::test]
async fn of_two_instances_one_looks_however_long_it_takes() {
    let engine = Counting::new(Duration::from_millis(1200));
    let cache: Arc<dyn Cache> = Arc::new(MemoryCache::new(1 << 20));
    let (one, two) = (over(&engine, cache.clone()), over(&engine, cache));
    let both = [one.analyse(ann(), WORK), two.analyse(ann(), WORK)];
    for seen in join_all(both).await {
        assert_eq!(seen.unwrap().faces.len(), 1);
    }
    assert_eq!(engine.looks(), 1);
}

#[tokio::test]
async fn what_can_wait_is_asked_of_the_engine_as_such() {
    let engine = Counting::new(Duration::ZERO);
    let one = over(&engine, Arc::new(Empty));
    let later = one.analyse_if_idle(ann(), WORK).await;
    assert_eq!(later.unwrap_err(), EngineError::Overloaded);
    assert_eq!(engine.looks(), 0);
}
