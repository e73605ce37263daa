//! Watching cameras: one task at a time for each, whatever is changed or fails.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures::future::{FutureExt, ready};
use jiff::SignedDuration;
use rollcall::{
    clock::Clock,
    domain::{
        cameras::{Camera, CameraReport, CameraState, CameraStatus, Glance, LookEvery, VisitGap},
        grants::Reach,
        ids::CameraId,
        installation::Lease,
        record::Record,
        text::StreamName,
    },
    ports::{
        MotionSensing, Page, PictureStream, PunchFilter, Sample, SampleError, StoreError,
        StreamError, Streams, Write,
    },
    repositories::Repositories,
    service::{
        cameras::{CameraError, CameraSettings, Overlay, Overlays, every_camera},
        feed::News,
    },
    workers::{Supervisor, cameras},
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    failing_engine::Call,
    world::{ADMIN, HeldClock, Instance, Setup},
};

/// Maximum time of everything. Most tests are on tokio's paused clock, which advances when all tasks
/// wait, so that no time passes while a busy machine computes.
const PATIENCE: Duration = Duration::from_secs(60);

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let begin = Instant::now();
    while !holds().await {
        assert!(begin.elapsed() < PATIENCE, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// How long a slow store takes to release a lease: longer than another task waits before it tries.
const SLOW: Duration = Duration::from_millis(1_500);

fn unavailable() -> StoreError {
    StoreError::Unavailable("as the test wants".to_owned())
}

/// Streams of one scene: pictures that differ, and whose text is what the engine of these tests
/// sees.
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

    /// Returns how often a stream was opened.
    fn opened(&self) -> usize {
        self.opened.load(Ordering::SeqCst)
    }

    fn configure(&self, stream: &StreamName) {
        self.configured.lock().unwrap().push(stream.clone());
    }

    fn show(&self, who: &str) {
        *self.shows.lock().unwrap() = who.to_owned();
    }

    /// Waits until this many more pictures were delivered.
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

/// A motion sensor that reports motion in every picture.
#[derive(Default)]
struct Moving(AtomicU64);

#[async_trait]
impl MotionSensing for Moving {
    async fn glance(&self, _: Sample) -> Result<Glance, SampleError> {
        let number = self.0.fetch_add(1, Ordering::SeqCst);
        let mut cells = [100; Glance::CELLS];
        cells[..Glance::CELLS / 4].fill(if number.is_multiple_of(2) { 50 } else { 200 });
        Ok(Glance::new(cells))
    }
}

/// An instance that watches cameras.
struct Watcher {
    supervisor: Supervisor,
}

/// The instances, and the scene in front of the cameras.
struct Rig {
    instance: Instance,
    scene: Scene,
    stop: CancellationToken,
}

impl Rig {
    fn new() -> Self {
        let scene = Scene::default();
        let instance = Instance::set_up(Setup {
            least_liveness: None,
            motion: Arc::new(Moving::default()),
            streams: Arc::new(scene.clone()),
            ..Setup::default()
        });
        let stop = CancellationToken::new();
        tokio::spawn(tick(instance.clock.clone(), stop.clone()));
        Self {
            instance,
            scene,
            stop,
        }
    }

    /// Returns the records, without the failures of the store.
    fn records(&self) -> &Repositories {
        &self.instance.site.records
    }

    fn camera(&self, stream: &str) -> Camera {
        Camera {
            every: LookEvery::new(100).unwrap(),
            visit: VisitGap::new(60).unwrap(),
            ..self.instance.camera(stream)
        }
    }

    /// Adds a camera.
    async fn has(&self, stream: &str) -> Camera {
        let camera = self.camera(stream);
        self.records().cameras.insert(&camera).await.unwrap();
        camera
    }

    /// Changes a camera, and announces the change.
    async fn change(&self, camera: &Camera, change: impl FnOnce(&mut Camera)) {
        let mut changed = camera.clone();
        change(&mut changed);
        let cameras = &self.records().cameras;
        assert_eq!(cameras.exchange(camera, &changed).await, Ok(true));
        self.instance
            .site
            .feed
            .publish(News::Camera(camera.id))
            .await;
    }

    /// Starts to watch on an instance.
    fn watch(&self, of: &Instance) -> Watcher {
        let context = Arc::new(cameras::CameraWorkerContext {
            store: of.stores.cameras.clone(),
            leases: of.stores.leases.clone(),
            streams: Arc::new(self.scene.clone()),
            pipeline: of.watching.clone(),
            overlays: of.overlays.clone(),
            feed: of.site.feed.clone(),
            sites: of.sites.clone(),
            clock: of.clock.clone(),
            held: AtomicU32::new(0),
        });
        let supervisor = Supervisor::new();
        let watching = context.pipeline.clone();
        supervisor.keep("punches of cameras", move |stop| {
            cameras::write_waiting(watching.clone(), stop)
        });
        let parent = supervisor.clone();
        supervisor.keep("cameras", move |stop| {
            cameras::run(context.clone(), parent.clone(), stop)
        });
        Watcher { supervisor }
    }

    /// Returns the last reported state of a camera.
    async fn state(&self, id: CameraId) -> Option<CameraState> {
        let reported = self.records().cameras.statuses(&[id]).await.unwrap();
        reported.first().map(|(_, status)| status.state)
    }

    /// Returns the number of punches.
    async fn punches(&self) -> usize {
        let page = Page {
            after: None,
            limit: 100,
        };
        let all = PunchFilter::default();
        let punches = self.records().punches.list(&Reach::Everything, &all, &page);
        punches.await.unwrap().len()
    }

    /// Makes the cameras and leases of the store unavailable while the switch is on.
    fn with_outages(&self) -> Arc<AtomicBool> {
        let switch = Arc::new(AtomicBool::default());
        let outage = switch.clone();
        self.instance.site.store.fail(move |kind, _| {
            let concerned = [Camera::KIND, CameraReport::KIND, Lease::KIND].contains(&kind);
            (concerned && outage.load(Ordering::SeqCst)).then(unavailable)
        });
        switch
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Advances the clock with the time of the runtime.
async fn tick(clock: Arc<HeldClock>, stop: CancellationToken) {
    let mut last = Instant::now();
    while !stop.is_cancelled() {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let passed = last.elapsed().as_millis() as i64;
        last += Duration::from_millis(passed as u64);
        clock.advance(SignedDuration::from_millis(passed));
    }
}

#[tokio::test(start_paused = true)]
async fn the_lease_of_a_changed_camera_is_held_while_it_is_watched() {
    let rig = Rig::new();
    rig.instance.site.store.before(|kind, call| {
        let released = |write: &Write| write.body.contains(r#""holder":"""#);
        let releases = kind == Lease::KIND && matches!(call, Call::Put(write) if released(write));
        async move {
            if releases {
                tokio::time::sleep(SLOW).await;
            }
            Ok(())
        }
        .boxed()
    });
    let camera = rig.has("door").await;
    let watcher = rig.watch(&rig.instance);
    until("an instance watches", async || rig.scene.open() == 1).await;
    rig.change(&camera, |camera| {
        camera.every = LookEvery::new(500).unwrap();
    })
    .await;
    // Another holder that constantly tries gets the lease only while no one watches.
    let name = format!("camera:{}", camera.id);
    let begin = Instant::now();
    while begin.elapsed() < SLOW * 3 {
        let now = rig.instance.clock.now();
        let until = now + Duration::from_millis(1);
        let leases = &rig.records().leases;
        let taken = leases.take(&name, "rival", now, until).await.unwrap();
        assert!(taken.is_none() || rig.scene.open() == 0, "both watch");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    until("it is watched again", async || rig.scene.open() == 1).await;
    assert_eq!(rig.scene.most_open.load(Ordering::SeqCst), 1);
    watcher.supervisor.shutdown(PATIENCE).await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_of_the_camera_list_restarts_all_cameras() {
    let rig = Rig::new();
    rig.has("door").await;
    let watcher = rig.watch(&rig.instance);
    until("an instance watches", async || rig.scene.open() == 1).await;
    let first = rig.scene.number.load(Ordering::SeqCst);
    // Reading the next list panics.
    let shaky = Arc::new(AtomicBool::new(true));
    let fails = shaky.clone();
    rig.instance.site.store.before(move |kind, call| {
        let lists = kind == Camera::KIND && matches!(call, Call::Read);
        assert!(
            !lists || !fails.swap(false, Ordering::SeqCst),
            "as the test wants"
        );
        ready(Ok(())).boxed()
    });
    rig.instance.site.feed.publish(News::Missed).await;
    until("the list was asked for", async || {
        !shaky.load(Ordering::SeqCst)
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

#[tokio::test(start_paused = true)]
async fn the_last_of_many_cameras_is_also_watched() {
    let rig = Rig::new();
    for number in 0..1_001 {
        let mut camera = rig.camera(&format!("off-{number}"));
        camera.active = false;
        rig.records().cameras.insert(&camera).await.unwrap();
    }
    let last = rig.has("door").await;
    let all = every_camera(&rig.records().cameras).await.unwrap();
    assert_eq!(all.last(), Some(&last));
    let watcher = rig.watch(&rig.instance);
    until("an instance watches", async || rig.scene.open() == 1).await;
    watcher.supervisor.shutdown(PATIENCE).await;
}
#[tokio::test(start_paused = true)]
async fn a_camera_state_is_reported_as_soon_as_the_store_accepts_it() {
    let rig = Rig::new();
    let camera = rig.has("door").await;
    let deaf = AtomicU32::new(3);
    rig.instance.site.store.fail(move |kind, call| {
        let reports = kind == CameraReport::KIND && matches!(call, Call::Put(_));
        let less = |left: u32| left.checked_sub(1);
        let fails = || deaf.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less);
        (reports && fails().is_ok()).then(unavailable)
    });
    let mut news = rig.instance.site.feed.follow();
    let watcher = rig.watch(&rig.instance);
    let announced = news.until(|news| news == News::Camera(camera.id));
    let announced = tokio::time::timeout(CameraStatus::REPORT_EVERY.unsigned_abs() / 2, announced);
    announced.await.expect("the change is announced");
    assert_eq!(rig.state(camera.id).await, Some(CameraState::Live));
    watcher.supervisor.shutdown(PATIENCE).await;
}

#[tokio::test(start_paused = true)]
async fn while_the_store_is_unavailable_only_the_current_holder_watches() {
    let rig = Rig::new();
    let outage = rig.with_outages();
    rig.has("door").await;
    let other = rig.instance.another();
    let watchers = [rig.watch(&rig.instance), rig.watch(&other)];
    until("an instance watches", async || rig.scene.open() == 1).await;
    outage.store(true, Ordering::SeqCst);
    // Far longer than a lease.
    rig.instance.clock.advance(SignedDuration::from_secs(30));
    tokio::time::sleep(Duration::from_secs(5)).await;
    rig.scene.pictures(5).await;
    outage.store(false, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!((rig.scene.open(), rig.scene.opened()), (1, 1));
    for watcher in watchers {
        watcher.supervisor.shutdown(PATIENCE).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_isolated_instance_leaves_a_camera_to_its_new_holder() {
    let rig = Rig::new();
    let outage = rig.with_outages();
    let camera = rig.has("door").await;
    let watcher = rig.watch(&rig.instance);
    until("an instance watches", async || rig.scene.open() == 1).await;
    outage.store(true, Ordering::SeqCst);
    rig.instance.clock.advance(SignedDuration::from_secs(30));
    let (name, now) = (format!("camera:{}", camera.id), rig.instance.clock.now());
    let leases = &rig.records().leases;
    let taken = leases.take(&name, "rival", now, now + PATIENCE * 3).await;
    assert!(taken.unwrap().is_some());
    outage.store(false, Ordering::SeqCst);
    until("it is left", async || rig.scene.open() == 0).await;
    watcher.supervisor.shutdown(PATIENCE).await;
}

/// Checks that a person who stays in front of a camera for longer than the gap of a visit is not
/// punched again after `takes_over` has made another instance watch.
async fn lingers(takes_over: impl AsyncFnOnce(&Rig)) {
    let rig = Rig::new();
    for name in ["ann", "ben"] {
        rig.instance.enrolled(name).await;
    }
    rig.has("door").await;
    rig.scene.show("ann");
    takes_over(&rig).await;

    let other = rig.instance.another();
    other.loader.fill().await.unwrap();
    let before = rig.scene.opened();
    let watcher = rig.watch(&other);
    until("another one watches", async || rig.scene.opened() > before).await;
    rig.scene.pictures(100).await;
    assert_eq!(rig.punches().await, 1, "it would be a new visit");
    // New people are still seen.
    rig.scene.show("ben");
    until("the next one is punched", async || rig.punches().await == 2).await;
    watcher.supervisor.shutdown(PATIENCE).await;
}

/// A person arrives and stays for a long time.
async fn stays(rig: &Rig) {
    until("who comes is punched", async || rig.punches().await == 1).await;
    for _ in 0..25 {
        rig.instance.clock.advance(SignedDuration::from_secs(4));
        rig.scene.pictures(12).await;
    }
    assert_eq!(rig.punches().await, 1);
}

#[tokio::test]
async fn a_person_who_stays_is_no_new_visit_after_a_takeover() {
    lingers(async |rig| {
        // On real time, because a paused clock is only for one runtime.
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let dies = {
            let _inside = runtime.enter();
            rig.watch(&rig.instance)
        };
        stays(rig).await;
        // Everything ends at once: nothing more is reported or released.
        runtime.shutdown_background();
        drop(dies);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_person_who_stays_is_no_new_visit_after_a_restart() {
    lingers(async |rig| {
        let stops = rig.watch(&rig.instance);
        stays(rig).await;
        assert!(stops.supervisor.shutdown(PATIENCE).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn overlays_are_shared_only_while_a_client_requests_them() {
    let rig = Rig::new();
    let other = rig.instance.another();
    let (watches, asks) = (&rig.instance.overlays, &other.overlays);
    let cache = rig.instance.site.cache("overlay", Overlays::LIVES);
    let camera = rig.has("door").await.id;
    let overlay = Overlay {
        at: rig.instance.clock.now(),
        width: 640,
        height: 480,
        faces: Vec::new(),
    };
    for _ in 0..10 {
        watches.show(camera, &overlay).await;
    }
    let key = format!("faces:{camera}");
    assert_eq!(cache.get::<serde_json::Value>(&key).await, None);
    let mut seen = None;
    until("it is left", async || {
        seen = asks.find(camera).await;
        watches.show(camera, &overlay).await;
        seen.is_some()
    })
    .await;
    assert_eq!(seen, Some(overlay));
}

#[tokio::test(start_paused = true)]
async fn every_added_camera_is_in_the_audit_trail() {
    let rig = Rig::new();
    let outage = rig.with_outages();
    let wanted = rig.camera("door");
    rig.scene.configure(&wanted.stream);
    let new = CameraSettings {
        name: wanted.name,
        stream: wanted.stream,
        site: wanted.site,
        direction: wanted.direction,
        hours: None,
        every: wanted.every,
        visit: wanted.visit,
        active: true,
        viewers: None,
    };
    // Fails in the middle.
    outage.store(true, Ordering::SeqCst);
    let added = rig.instance.cameras.add(ADMIN, new).await;
    assert!(matches!(added, Err(CameraError::Store(_))), "{added:?}");
    let entries = rig.records().audit.latest(10).await.unwrap();
    assert_eq!(entries[0].action, "camera.add");
}
