//! Watching cameras: one task at a time for each, whatever is changed, fails or dies.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use rollcall::{
    clock::Clock,
    domain::{
        cameras::{Camera, CameraState, CameraStatus, Direction, Glance, LookEvery, VisitGap},
        ids::CameraId,
        text::{Name, StreamName},
    },
    ports::{
        CameraStore, Glancing, Lease, LeaseStore, Page, PictureStream, Sample, SampleError,
        StoreError, StreamError, Streams,
    },
    service::{
        application_cache::AppCache,
        cameras::Overlays,
        feed::{Feed, News},
        probing::Probing,
        sealed_cache::SealedCache,
        watching::Watching,
    },
    storage::memory::{MemoryBus, MemoryCache},
    vault::Vault,
    workers::{Supervisor, cameras},
};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::world::{HeldClock, Instance, instance};

/// How long anything may take that happens by itself.
const PATIENCE: Duration = Duration::from_secs(20);

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let begin = Instant::now();
    while !holds().await {
        assert!(begin.elapsed() < PATIENCE, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Cameras in memory, which fail when a test says so.
#[derive(Default)]
struct Records {
    cameras: Mutex<BTreeMap<CameraId, Camera>>,
    noted: Mutex<BTreeMap<CameraId, CameraStatus>>,
    /// How many notes still fail.
    deaf: AtomicU32,
    /// Whether the next list is one too much.
    shaky: AtomicBool,
}

impl Records {
    fn put(&self, camera: &Camera) {
        let camera = camera.clone();
        self.cameras.lock().unwrap().insert(camera.id, camera);
    }

    fn state(&self, id: CameraId) -> Option<CameraState> {
        Some(self.noted.lock().unwrap().get(&id)?.state)
    }
}

#[async_trait]
impl CameraStore for Records {
    async fn insert(&self, camera: &Camera) -> Result<(), StoreError> {
        self.put(camera);
        Ok(())
    }

    async fn update(&self, _: &Camera, is: &Camera) -> Result<bool, StoreError> {
        self.put(is);
        Ok(true)
    }

    async fn find(&self, id: CameraId) -> Result<Option<Camera>, StoreError> {
        Ok(self.cameras.lock().unwrap().get(&id).cloned())
    }

    async fn find_many(&self, _: &[CameraId]) -> Result<Vec<Camera>, StoreError> {
        unreachable!("nobody asks who watches")
    }

    async fn list(&self, page: &Page<CameraId>) -> Result<Vec<Camera>, StoreError> {
        assert!(
            !self.shaky.swap(false, Ordering::SeqCst),
            "as the test wants"
        );
        let cameras = self.cameras.lock().unwrap();
        let after = |id: &CameraId| page.after.is_none_or(|after| *id > after);
        let cameras = cameras.values().filter(|camera| after(&camera.id));
        Ok(cameras.take(page.limit).cloned().collect())
    }

    async fn note(&self, id: CameraId, status: &CameraStatus) -> Result<(), StoreError> {
        let less = |left: u32| left.checked_sub(1);
        let fails = self
            .deaf
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, less);
        if fails.is_ok() {
            return Err(StoreError::Unavailable("as the test wants".to_owned()));
        }
        self.noted.lock().unwrap().insert(id, status.clone());
        Ok(())
    }

    async fn statuses(
        &self,
        ids: &[CameraId],
    ) -> Result<Vec<(CameraId, CameraStatus)>, StoreError> {
        let noted = self.noted.lock().unwrap();
        let of = |id: &CameraId| Some((*id, noted.get(id)?.clone()));
        Ok(ids.iter().filter_map(of).collect())
    }
}

/// Leases of a store that takes its time to let go.
struct SlowToLetGo(Arc<dyn LeaseStore>);

/// Longer than another task waits before it tries.
const SLOW: Duration = Duration::from_millis(1_500);

#[async_trait]
impl LeaseStore for SlowToLetGo {
    async fn take(
        &self,
        name: &str,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Lease>, StoreError> {
        self.0.take(name, holder, now, until).await
    }

    async fn keep(
        &self,
        lease: &Lease,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        self.0.keep(lease, now, until).await
    }

    async fn let_go(&self, lease: &Lease) -> Result<bool, StoreError> {
        tokio::time::sleep(SLOW).await;
        self.0.let_go(lease).await
    }
}

/// Streams of one scene: what the engine of these tests sees in its text, in pictures that
/// differ.
#[derive(Clone, Default)]
struct Scene {
    shows: Arc<Mutex<String>>,
    number: Arc<AtomicU64>,
    open: Arc<AtomicUsize>,
    most_open: Arc<AtomicUsize>,
}

impl Scene {
    fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

struct Opened(Scene);

#[async_trait]
impl Streams for Scene {
    async fn names(&self) -> Result<Vec<StreamName>, StreamError> {
        Ok(Vec::new())
    }

    async fn open(&self, _: &StreamName) -> Result<Box<dyn PictureStream>, StreamError> {
        let open = self.open.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_open.fetch_max(open, Ordering::SeqCst);
        Ok(Box::new(Opened(self.clone())))
    }
}

#[async_trait]
impl PictureStream for Opened {
    async fn next(&mut self) -> Result<Sample, StreamError> {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let number = self.0.number.fetch_add(1, Ordering::SeqCst);
        let shows = self.0.shows.lock().unwrap().clone();
        let picture = match shows.as_str() {
            "" => " ".repeat(1 + number as usize % 50),
            who => format!("{who}~0.1#{number}"),
        };
        Ok(Sample::new(picture.into_bytes()))
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Every glance is at something else.
#[derive(Default)]
struct Moving(AtomicU64);

#[async_trait]
impl Glancing for Moving {
    async fn glance(&self, _: Sample) -> Result<Glance, SampleError> {
        let number = self.0.fetch_add(1, Ordering::SeqCst);
        let mut cells = [100; Glance::CELLS];
        cells[..Glance::CELLS / 4].fill(if number % 2 == 0 { 50 } else { 200 });
        Ok(Glance::new(cells))
    }
}

/// An instance that watches.
struct Watcher {
    supervisor: Supervisor,
}

/// What instances share, and what happens before the cameras.
struct Rig {
    instance: Instance,
    records: Arc<Records>,
    leases: Arc<dyn LeaseStore>,
    scene: Scene,
    feed: Feed,
    stop: CancellationToken,
}

impl Rig {
    async fn new() -> Self {
        let instance = instance().await;
        let stop = CancellationToken::new();
        tokio::spawn(tick(instance.clock.clone(), stop.clone()));
        Self {
            leases: instance.stores.leases.clone(),
            instance,
            records: Arc::default(),
            scene: Scene::default(),
            feed: Feed::new(Arc::new(MemoryBus::default())),
            stop,
        }
    }

    fn camera(&self, stream: &str) -> Camera {
        Camera {
            id: CameraId::new(self.instance.clock.id()),
            name: Name::parse("Door").unwrap(),
            stream: StreamName::parse(stream).unwrap(),
            site: None,
            direction: Direction::Auto,
            hours: None,
            every: LookEvery::new(100).unwrap(),
            visit: VisitGap::new(60).unwrap(),
            active: true,
            created_at: self.instance.clock.now(),
            removed_at: None,
        }
    }

    /// Adds a camera.
    fn has(&self, stream: &str) -> Camera {
        let camera = self.camera(stream);
        self.records.put(&camera);
        camera
    }

    /// Changes a camera, and tells.
    async fn change(&self, camera: &Camera, change: impl FnOnce(&mut Camera)) {
        let mut changed = camera.clone();
        change(&mut changed);
        self.records.put(&changed);
        self.feed.tell(News::Camera(camera.id)).await;
    }

    /// Starts to watch as one more instance would.
    fn watch(&self, of: &Instance) -> Watcher {
        let clock: Arc<dyn Clock> = of.clock.clone();
        let vault = Arc::new(Vault::new(&Zeroizing::new([7; 32]), &[]));
        let memory = Arc::new(MemoryCache::new(1 << 20));
        let sealed = SealedCache::new("overlays", memory, vault, clock.clone());
        let watching = Watching::new(
            of.engine.clone(),
            Arc::new(Moving::default()),
            Arc::new(Probing::new(of.engine.clone(), None)),
            of.punching.clone(),
            clock.clone(),
        );
        let deck = Arc::new(cameras::Deck {
            store: self.records.clone(),
            leases: self.leases.clone(),
            streams: Arc::new(self.scene.clone()),
            watching: Arc::new(watching),
            overlays: Overlays::new(AppCache::new(
                "overlay",
                sealed,
                clock.clone(),
                Overlays::LIVES,
            )),
            feed: self.feed.clone(),
            zone: TimeZone::UTC,
            clock,
            held: AtomicU32::new(0),
        });
        let supervisor = Supervisor::new();
        let parent = supervisor.clone();
        supervisor.keep("cameras", move |stop| {
            cameras::run(deck.clone(), parent.clone(), stop)
        });
        Watcher { supervisor }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Lets the clock go.
async fn tick(clock: Arc<HeldClock>, stop: CancellationToken) {
    let mut told = Instant::now();
    while !stop.is_cancelled() {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let passed = told.elapsed().as_millis() as i64;
        told += Duration::from_millis(passed as u64);
        clock.advance(SignedDuration::from_millis(passed));
    }
}

#[tokio::test]
async fn a_changed_camera_is_never_free_while_it_is_watched() {
    let mut rig = Rig::new().await;
    rig.leases = Arc::new(SlowToLetGo(rig.leases.clone()));
    let camera = rig.has("door");
    let watcher = rig.watch(&rig.instance);
    until("somebody watches", async || rig.scene.open() == 1).await;
    rig.change(&camera, |camera| {
        camera.every = LookEvery::new(500).unwrap()
    })
    .await;
    // Somebody who wants it all the time gets it only while nobody looks.
    let name = format!("camera:{}", camera.id);
    let begin = Instant::now();
    while begin.elapsed() < SLOW * 3 {
        let now = rig.instance.clock.now();
        let until = now + Duration::from_millis(1);
        let taken = rig.leases.take(&name, "rival", now, until).await.unwrap();
        assert!(taken.is_none() || rig.scene.open() == 0, "both watch");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    until("it is watched again", async || rig.scene.open() == 1).await;
    assert_eq!(rig.scene.most_open.load(Ordering::SeqCst), 1);
    watcher.supervisor.shutdown(PATIENCE).await;
}

#[tokio::test]
async fn when_the_list_of_cameras_is_begun_anew_so_is_their_watch() {
    let rig = Rig::new().await;
    rig.has("door");
    let watcher = rig.watch(&rig.instance);
    until("somebody watches", async || rig.scene.open() == 1).await;
    let first = rig.scene.number.load(Ordering::SeqCst);
    rig.records.shaky.store(true, Ordering::SeqCst);
    rig.feed.tell(News::Missed).await;
    until("the list was asked for", async || {
        !rig.records.shaky.load(Ordering::SeqCst)
    })
    .await;
    until("the first watch ended", async || rig.scene.open() == 0).await;
    until("it is watched again", async || rig.scene.open() == 1).await;
    assert!(rig.scene.number.load(Ordering::SeqCst) > first);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(rig.scene.most_open.load(Ordering::SeqCst), 1);
    let tasks = watcher.supervisor.tasks();
    assert_eq!(tasks.iter().filter(|name| **name == "camera").count(), 1);
    watcher.supervisor.shutdown(PATIENCE).await;
}

#[tokio::test]
async fn the_last_of_very_many_cameras_is_watched_too() {
    let rig = Rig::new().await;
    for number in 0..1_001 {
        let mut camera = rig.camera(&format!("off-{number}"));
        camera.active = false;
        rig.records.put(&camera);
    }
    let last = rig.has("door");
    assert_eq!(
        rig.records.cameras.lock().unwrap().keys().last(),
        Some(&last.id)
    );
    let watcher = rig.watch(&rig.instance);
    until("somebody watches", async || rig.scene.open() == 1).await;
    watcher.supervisor.shutdown(PATIENCE).await;
}
