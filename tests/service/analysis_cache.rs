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
use jiff::SignedDuration;
use rollcall::{
    clock::SystemClock,
    domain::{
        biometrics::{Calibration, ModelId, Views},
        grants::Reach,
    },
    ports::{Analysis, Cache, EngineError, FaceEngine, Sample, Work},
    service::{
        analysis_cache::CachedEngine, audit::Audit, personal_data::erase, sealed_cache::SealedCache,
    },
    storage::memory::MemoryCache,
    vault::Vault,
};
use zeroize::Zeroizing;

use crate::{
    scripted::ScriptedEngine,
    world::{ADMIN, Instance, Setup},
};

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
    async fn clear(&self, _: &str) {}
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
async fn an_analysis_during_a_deletion_is_not_cached() {
    let engine = Counting::new(Duration::from_millis(300));
    let cache: Arc<dyn Cache> = Arc::new(MemoryCache::new(1 << 20));
    let one = over(&engine, cache.clone());
    let forgetting = async {
        while engine.looks() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        one.forget().await;
    };
    let (seen, ()) = tokio::join!(one.analyze(ann(), WORK), forgetting);
    assert_eq!(seen.unwrap().faces.len(), 1);
    // Neither this instance nor another one knows it.
    for (instance, looks) in [(&one, 2), (&over(&engine, cache.clone()), 2)] {
        instance.analyze(ann(), WORK).await.unwrap();
        assert_eq!(engine.looks(), looks);
    }
}

/// What ends the enrollment of a face.
#[derive(Debug, Clone, Copy)]
enum End {
    Face,
    Employee,
    Erasure,
}

#[tokio::test]
async fn no_analysis_stays_after_a_face_was_deleted() {
    let world = Instance::set_up(Setup {
        caches_analyses: true,
        ..Setup::default()
    });
    let other = world.another();
    let enroll = Work {
        views: world.service_engine.enrollment_views(),
        photo: true,
        ..WORK
    };
    let asked = |instance: &Instance| instance.engine.works.lock().unwrap().len();
    for end in [End::Face, End::Employee, End::Erasure] {
        let ann = world.person(&format!("ann{end:?}")).await;
        world.enroll(ann.id, &["ann"]).await.unwrap();
        other.loader.catch_up().await.unwrap();
        // The enrolled photo, and a picture of a punch.
        let look = async |instance: &Instance, repeats: bool| {
            for (sample, work) in [("ann", enroll), ("ann~0.1#7", WORK)] {
                let before = asked(&world) + asked(&other);
                let sample = Sample::new(sample.as_bytes());
                instance.service_engine.analyze(sample, work).await.unwrap();
                assert_eq!(asked(&world) + asked(&other) == before, repeats, "{end:?}");
            }
        };
        world
            .service_engine
            .analyze(Sample::new(&b"ann~0.1#7"[..]), WORK)
            .await
            .unwrap();
        look(&world, true).await;
        look(&other, true).await;
        match end {
            End::Face => {
                let deleted = world
                    .employees
                    .delete_face(&Reach::Everything, ADMIN, ann.id);
                deleted.await.unwrap();
            }
            End::Employee => {
                let deleted = world.employees.delete(&Reach::Everything, ADMIN, ann.id);
                deleted.await.unwrap();
            }
            // A command, in a process of its own.
            End::Erasure => {
                let audit = Audit::new(world.stores.audit.clone(), world.clock.clone());
                let erased = erase(&world.stores, &audit, &*world.clock, ann.id, false);
                erased.await.unwrap();
                world.loader.catch_up().await.unwrap();
            }
        }
        look(&world, false).await;
        world.service_engine.forget().await;
        other.loader.catch_up().await.unwrap();
        look(&other, false).await;
        other.service_engine.forget().await;
        world.service_engine.forget().await;
    }
    // An instance that starts later deletes what an earlier one put into the shared cache.
    world.service_engine.analyze(ann(), WORK).await.unwrap();
    let late = world.another();
    late.loader.fill().await.unwrap();
    late.service_engine.analyze(ann(), WORK).await.unwrap();
    assert_eq!(asked(&late), 1);
    // An old deletion does not concern the cache.
    world.clock.advance(SignedDuration::from_mins(61));
    let later = world.another();
    later.loader.fill().await.unwrap();
    later.service_engine.analyze(ann(), WORK).await.unwrap();
    assert_eq!(asked(&later), 0);
}

#[tokio::test]
async fn background_analyses_stay_background_analyses() {
    let engine = Counting::new(Duration::ZERO);
    let one = over(&engine, Arc::new(Empty));
    let later = one.analyze_if_idle(ann(), WORK).await;
    assert_eq!(later.unwrap_err(), EngineError::Overloaded);
    assert_eq!(engine.looks(), 0);
}
