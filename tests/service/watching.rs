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
        CameraStore, Glancing, Lease, LeaseStore, Page, PictureStream, PunchFilter, Sample,
        SampleError, StoreError, StreamError, Streams,
    },
    service::{
        application_cache::AppCache,
        audit::Audit,
        cameras::{CameraError, Cameras, NewCamera, Overlay, Overlays},
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

use crate::world::{ADMIN, HeldClock, Instance, instance};

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
    /// Whether nothing answers.
    away: Arc<AtomicBool>,
}

impl Records {
    fn put(&self, camera: &Camera) {
        let camera = camera.clone();
        self.cameras.lock().unwrap().insert(camera.id, camera);
    }

    fn answers(&self) -> Result<(), StoreError> {
        answers(&self.away)
    }

    fn state(&self, id: CameraId) -> Option<CameraState> {
        Some(self.noted.lock().unwrap().get(&id)?.state)
    }
}

fn answers(away: &AtomicBool) -> Result<(), StoreError> {
    match away.load(Ordering::SeqCst) {
        true => Err(StoreError::Unavailable("as the test wants".to_owned())),
        false => Ok(()),
    }
}

#[async_trait]
impl CameraStore for Records {
    async fn insert(&self, camera: &Camera) -> Result<(), StoreError> {
        self.answers()?;
        self.put(camera);
        Ok(())
    }

    async fn update(&self, _: &Camera, is: &Camera) -> Result<bool, StoreError> {
        self.put(is);
        Ok(true)
    }

    async fn find(&self, id: CameraId) -> Result<Option<Camera>, StoreError> {
        self.answers()?;
        Ok(self.cameras.lock().unwrap().get(&id).cloned())
    }

    async fn find_many(&self, _: &[CameraId]) -> Result<Vec<Camera>, StoreError> {
        unreachable!("nobody asks who watches")
    }

    async fn list(&self, page: &Page<CameraId>) -> Result<Vec<Camera>, StoreError> {
        self.answers()?;
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
        self.answers()?;
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
        self.answers()?;
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

/// Leases of a store that is away when a test says so.
struct SometimesAway(Arc<dyn LeaseStore>, Arc<AtomicBool>);

#[async_trait]
impl LeaseStore for SometimesAway {
    async fn take(
        &self,
        name: &str,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Lease>, StoreError> {
        answers(&self.1)?;
        self.0.take(name, holder, now, until).await
    }

    async fn keep(
        &self,
        lease: &Lease,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        answers(&self.1)?;
        self.0.keep(lease, now, until).await
    }

    async fn let_go(&self, lease: &Lease) -> Result<bool, StoreError> {
        answers(&self.1)?;
        self.0.let_go(lease).await
    }
}

/// Streams of one scene: what the engine of these tests sees in its text, in pictures that
/// differ.
#[derive(Clone, Default)]
struct Scene {
    shows: Arc<Mutex<String>>,
    configured: Arc<Mutex<Vec<StreamName>>>,
    number: Arc<AtomicU64>,
    open: Arc<AtomicUsize>,
    opened: Arc<AtomicUsize>,
    most_open: Arc<AtomicUsize>,
}

impl Scene {
    fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// How often a stream was opened.
    fn opened(&self) -> usize {
        self.opened.load(Ordering::SeqCst)
    }

    fn configure(&self, stream: &StreamName) {
        self.configured.lock().unwrap().push(stream.clone());
    }

    fn show(&self, who: &str) {
        *self.shows.lock().unwrap() = who.to_owned();
    }

    /// Waits until so many pictures more were given.
    async fn pictures(&self, more: u64) {
        let wanted = self.number.load(Ordering::SeqCst) + more;
        let given = || self.number.load(Ordering::SeqCst);
        until("pictures come", async || given() >= wanted).await;
    }
}

struct Opened(Scene);

#[async_trait]
impl Streams for Scene {
    async fn names(&self) -> Result<Vec<StreamName>, StreamError> {
        Ok(self.configured.lock().unwrap().clone())
    }

    async fn open(&self, _: &StreamName) -> Result<Box<dyn PictureStream>, StreamError> {
        let open = self.open.fetch_add(1, Ordering::SeqCst) + 1;
        self.opened.fetch_add(1, Ordering::SeqCst);
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
        cells[..Glance::CELLS / 4].fill(if number.is_multiple_of(2) { 50 } else { 200 });
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
            viewers: None,
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
        let memory = Arc::new(MemoryCache::new(1 << 20));
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
            overlays: Overlays::new(remembered(&memory, clock.clone())),
            feed: self.feed.clone(),
            zone: TimeZone::UTC,
            clock,
            held: AtomicU32::new(0),
        });
        let supervisor = Supervisor::new();
        let watching = deck.watching.clone();
        supervisor.keep("punches of cameras", move |stop| {
            cameras::write_waiting(watching.clone(), stop)
        });
        let parent = supervisor.clone();
        supervisor.keep("cameras", move |stop| {
            cameras::run(deck.clone(), parent.clone(), stop)
        });
        Watcher { supervisor }
    }

    /// How many punches there are.
    async fn punches(&self) -> usize {
        let page = Page {
            after: None,
            limit: 100,
        };
        let all = PunchFilter::default();
        let punches = self.instance.stores.punches.list(&all, &page);
        punches.await.unwrap().len()
    }

    /// Makes the store be away when it is said.
    fn with_outages(&mut self) -> Arc<AtomicBool> {
        let away = self.records.away.clone();
        self.leases = Arc::new(SometimesAway(self.leases.clone(), away.clone()));
        away
    }
}

/// What is remembered of overlays.
fn remembered(memory: &Arc<MemoryCache>, clock: Arc<dyn Clock>) -> AppCache {
    let vault = Arc::new(Vault::new(&Zeroizing::new([7; 32]), &[]));
    let sealed = SealedCache::new("overlays", memory.clone(), vault, clock.clone());
    AppCache::new("overlay", sealed, clock, Overlays::LIVES)
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
        camera.every = LookEvery::new(500).unwrap();
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
#[tokio::test]
async fn how_a_camera_is_is_told_as_soon_as_the_store_takes_it() {
    let rig = Rig::new().await;
    let camera = rig.has("door");
    rig.records.deaf.store(3, Ordering::SeqCst);
    let mut news = rig.feed.follow();
    let watcher = rig.watch(&rig.instance);
    let told = news.until(|news| news == News::Camera(camera.id));
    let told = tokio::time::timeout(CameraStatus::TOLD_EVERY.unsigned_abs() / 2, told);
    told.await.expect("the change is told");
    assert_eq!(rig.records.state(camera.id), Some(CameraState::Live));
    watcher.supervisor.shutdown(PATIENCE).await;
}

#[tokio::test]
async fn while_the_store_is_away_whoever_watches_goes_on_and_nobody_else_begins() {
    let mut rig = Rig::new().await;
    let away = rig.with_outages();
    rig.has("door");
    let watchers = [rig.watch(&rig.instance), rig.watch(&rig.instance)];
    until("somebody watches", async || rig.scene.open() == 1).await;
    away.store(true, Ordering::SeqCst);
    // Far longer than a lease.
    rig.instance.clock.advance(SignedDuration::from_secs(30));
    tokio::time::sleep(Duration::from_secs(5)).await;
    rig.scene.pictures(5).await;
    away.store(false, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!((rig.scene.open(), rig.scene.opened()), (1, 1));
    for watcher in watchers {
        watcher.supervisor.shutdown(PATIENCE).await;
    }
}

#[tokio::test]
async fn an_instance_that_was_cut_off_leaves_a_camera_to_whoever_took_it_meanwhile() {
    let mut rig = Rig::new().await;
    let shared = rig.leases.clone();
    let away = rig.with_outages();
    let camera = rig.has("door");
    let watcher = rig.watch(&rig.instance);
    until("somebody watches", async || rig.scene.open() == 1).await;
    away.store(true, Ordering::SeqCst);
    rig.instance.clock.advance(SignedDuration::from_secs(30));
    let (name, now) = (format!("camera:{}", camera.id), rig.instance.clock.now());
    let taken = shared.take(&name, "rival", now, now + PATIENCE * 3).await;
    assert!(taken.unwrap().is_some());
    away.store(false, Ordering::SeqCst);
    until("it is left", async || rig.scene.open() == 0).await;
    watcher.supervisor.shutdown(PATIENCE).await;
}

/// Somebody who stands before a camera for longer than a visit's gap is still there when
/// `takes_over` has made another instance watch, and is not punched again.
async fn lingers(takes_over: impl AsyncFnOnce(&Rig)) {
    let rig = Rig::new().await;
    for name in ["ann", "ben"] {
        rig.instance.enrolled(name).await;
    }
    rig.has("door");
    rig.scene.show("ann");
    takes_over(&rig).await;

    let other = rig.instance.another();
    other.references.fill().await.unwrap();
    let before = rig.scene.opened();
    let watcher = rig.watch(&other);
    until("another one watches", async || rig.scene.opened() > before).await;
    rig.scene.pictures(100).await;
    assert_eq!(rig.punches().await, 1, "a new visit");
    // It does see who comes.
    rig.scene.show("ben");
    until("the next one is punched", async || rig.punches().await == 2).await;
    watcher.supervisor.shutdown(PATIENCE).await;
}

/// Somebody comes and stays for long.
async fn stays(rig: &Rig) {
    until("who comes is punched", async || rig.punches().await == 1).await;
    for _ in 0..25 {
        rig.instance.clock.advance(SignedDuration::from_secs(4));
        rig.scene.pictures(12).await;
    }
    assert_eq!(rig.punches().await, 1);
}

#[tokio::test]
async fn whoever_lingers_is_no_new_visit_for_an_instance_that_takes_over() {
    lingers(async |rig| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let dies = {
            let _inside = runtime.enter();
            rig.watch(&rig.instance)
        };
        stays(rig).await;
        // All at once: nothing more is said or let go.
        runtime.shutdown_background();
        drop(dies);
    })
    .await;
}

#[tokio::test]
async fn whoever_lingers_is_no_new_visit_after_a_restart() {
    lingers(async |rig| {
        let stops = rig.watch(&rig.instance);
        stays(rig).await;
        assert!(stops.supervisor.shutdown(PATIENCE).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn what_a_camera_sees_is_left_for_others_only_while_somebody_asks() {
    let rig = Rig::new().await;
    let clock: Arc<dyn Clock> = rig.instance.clock.clone();
    let memory = Arc::new(MemoryCache::new(1 << 20));
    let cache = remembered(&memory, clock.clone());
    // Of two instances, over what they share.
    let watches = Overlays::new(cache.clone());
    let asks = Overlays::new(cache.clone());
    let camera = rig.has("door").id;
    let overlay = Overlay {
        at: clock.now(),
        width: 640,
        height: 480,
        faces: Vec::new(),
    };
    for _ in 0..10 {
        watches.show(camera, &overlay).await;
    }
    assert!(!cache.exists(&format!("faces:{camera}")).await);
    let mut seen = None;
    until("it is left", async || {
        seen = asks.of(camera).await;
        watches.show(camera, &overlay).await;
        seen.is_some()
    })
    .await;
    assert_eq!(seen, Some(overlay));
}

#[tokio::test]
async fn no_camera_is_added_of_which_the_audit_trail_does_not_tell() {
    let mut rig = Rig::new().await;
    let away = rig.with_outages();
    let clock: Arc<dyn Clock> = rig.instance.clock.clone();
    let trail = rig.instance.stores.audit.clone();
    let memory = Arc::new(MemoryCache::new(1 << 20));
    let cameras = Cameras::new(
        (rig.records.clone(), rig.instance.stores.accounts.clone()),
        Arc::new(rig.scene.clone()),
        Overlays::new(remembered(&memory, clock.clone())),
        Audit::new(trail.clone(), clock.clone()),
        clock,
        rig.feed.clone(),
    );
    let wanted = rig.camera("door");
    rig.scene.configure(&wanted.stream);
    let new = NewCamera {
        name: wanted.name,
        stream: wanted.stream,
        site: None,
        direction: wanted.direction,
        hours: None,
        every: wanted.every,
        visit: wanted.visit,
        viewers: None,
    };
    // Cut off half-way.
    away.store(true, Ordering::SeqCst);
    let added = cameras.add(ADMIN, new).await;
    assert!(matches!(added, Err(CameraError::Store(_))), "{added:?}");
    let entries = trail.latest(10).await.unwrap();
    assert_eq!(entries[0].action, "camera.add");
}
