//! Watches cameras: each on exactly one instance, the one that has its lease in the store.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use jiff::tz::TimeZone;
use tokio::time::{Instant, MissedTickBehavior, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Supervisor;
use crate::{
    clock::Clock,
    domain::{
        cameras::{Camera, CameraState, CameraStatus, PictureJudge},
        ids::CameraId,
        tracking::back_off,
    },
    ports::{CameraStore, LeaseStore, PictureStream, Sample, StreamError, Streams},
    service::{
        cameras::{Overlay, OverlayFace, Overlays, every_camera},
        exclusive::with_lease,
        feed::{Feed, News},
        watching::{Looked, View, Watch, Watching},
    },
};

/// How long a camera's lease outlives an instance that dies.
pub const LEASE: Duration = Duration::from_secs(6);
/// How often an instance tries to get a camera that another one has.
const TRY_EVERY: Duration = Duration::from_secs(1);
/// How much longer an instance waits before each try for every camera it has, so that instances
/// share them.
const WAIT_FOR_EACH: Duration = Duration::from_millis(400);
/// The most of it, however many it has.
const WAIT_MOST: Duration = Duration::from_secs(2);
/// How often the store is asked which cameras there are; word of a change comes sooner.
const LIST_EVERY: Duration = Duration::from_secs(5);
/// How often it is looked whether a camera stands still.
const JUDGE_EVERY: Duration = Duration::from_millis(500);
/// How long what was seen last may take to be told, once all is to stop.
const LAST_WORDS: Duration = Duration::from_millis(100);
/// Everything that watching needs.
pub struct Deck {
    /// The records of cameras.
    pub store: Arc<dyn CameraStore>,
    /// Who watches which.
    pub leases: Arc<dyn LeaseStore>,
    /// Where pictures come from.
    pub streams: Arc<dyn Streams>,
    /// Looks at them.
    pub watching: Arc<Watching>,
    /// Where what is seen is left for whoever looks at the live picture.
    pub overlays: Overlays,
    /// Word of changes.
    pub feed: Feed,
    /// The time zone of hours.
    pub zone: TimeZone,
    /// Time and entropy.
    pub clock: Arc<dyn Clock>,
    /// How many cameras this instance has.
    pub held: AtomicU32,
}

/// Keeps a task for every camera until the token is cancelled.
pub async fn run(deck: Arc<Deck>, supervisor: Supervisor, stop: CancellationToken) {
    let mut news = deck.feed.follow();
    // Whatever ends this ends its tasks: those of the next start would watch beside them.
    let all = stop.child_token();
    let _ends = all.clone().drop_guard();
    let mut tasks: HashMap<CameraId, (Camera, CancellationToken)> = HashMap::new();
    let mut away = false;
    loop {
        match every_camera(&*deck.store).await {
            Ok(cameras) => {
                if std::mem::take(&mut away) {
                    info!("the store tells of cameras again");
                }
                follow(&deck, &supervisor, &all, &mut tasks, cameras);
            }
            // What is watched is watched on.
            Err(cause) if !std::mem::replace(&mut away, true) => {
                warn!(%cause, "the store does not tell of cameras");
            }
            Err(_) => {}
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = sleep(LIST_EVERY) => {}
            () = news.until(|news| matches!(news, News::Camera(_))) => {}
        }
    }
}

/// Starts a task for each camera that is new or was changed, and stops those of the others.
fn follow(
    deck: &Arc<Deck>,
    supervisor: &Supervisor,
    stop: &CancellationToken,
    tasks: &mut HashMap<CameraId, (Camera, CancellationToken)>,
    cameras: Vec<Camera>,
) {
    let wanted: HashMap<CameraId, Camera> = cameras
        .into_iter()
        .filter(|camera| camera.active)
        .map(|camera| (camera.id, camera))
        .collect();
    tasks.retain(|id, (camera, stop)| {
        let stays = wanted.get(id) == Some(camera);
        if !stays {
            stop.cancel();
        }
        stays
    });
    for (id, camera) in wanted {
        tasks.entry(id).or_insert_with(|| {
            let stop = stop.child_token();
            let task = Arc::new(Task {
                deck: deck.clone(),
                camera: camera.clone(),
                holder: deck.clock.id().to_string(),
                stop: stop.clone(),
            });
            supervisor.keep("camera", move |_| {
                let task = task.clone();
                async move { task.attend().await }
            });
            (camera, stop)
        });
    }
}

/// Writes the punches that the store did not take, until the token is cancelled; then for a last
/// time.
pub async fn write_waiting(watching: Arc<Watching>, stop: CancellationToken) {
    let unwritten = watching.unwritten();
    let mut failures = 0;
    while !stop.is_cancelled() {
        failures = match watching.write_waiting().await {
            true => 0,
            false => failures + 1,
        };
        let again = async {
            match failures {
                0 => unwritten.changed().await,
                failures => sleep(back_off(failures, 1.0)).await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = again => {}
        }
    }
    // Cameras that stop at the same moment say their last.
    sleep(LAST_WORDS).await;
    if !watching.write_waiting().await {
        warn!(
            punches = unwritten.len(),
            "the store took no punches any more: they are lost"
        );
    }
}

/// What watches one camera as it is now; another one follows when it is changed.
struct Task {
    deck: Arc<Deck>,
    camera: Camera,
    /// Who it is among all tasks of all instances: the task before it on this instance is
    /// somebody else, whose lease has to be let go first.
    holder: String,
    stop: CancellationToken,
}

impl Task {
    /// Watches whenever the camera is to be watched and nobody else does, until it is stopped.
    async fn attend(&self) {
        let Self {
            deck, camera, stop, ..
        } = self;
        let name = format!("camera:{}", camera.id);
        while !stop.is_cancelled() {
            let held = deck.held.load(Ordering::Relaxed);
            let pause =
                TRY_EVERY.mul_f64(jitter(&*deck.clock)) + (WAIT_FOR_EACH * held).min(WAIT_MOST);
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(pause) => {}
            }
            if !camera.watched_at(deck.clock.now(), &deck.zone) {
                continue;
            }
            let watched = with_lease(
                (&*deck.leases, &*deck.clock),
                (&name, &self.holder),
                LEASE,
                async |_| {
                    let _held = Count::up(&deck.held);
                    info!(camera = %camera.id, "watching");
                    // Left from inside, so that the lease is let go.
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = watch(deck, camera) => {}
                    }
                },
            );
            if let Err(cause) = watched.await {
                tracing::debug!(camera = %camera.id, %cause, "the store does not tell who watches");
            }
        }
    }
}

/// Counts one more as long as it lives.
struct Count<'a>(&'a AtomicU32);

impl<'a> Count<'a> {
    fn up(count: &'a AtomicU32) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Count<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Shift<'_> {
    /// Whoever watches next tells.
    fn drop(&mut self) {
        for state in CameraState::ALL {
            self.gauge(state).set(0.0);
        }
    }
}

fn overlay(view: &View) -> Overlay {
    let face = |(bounds, employee): &_| OverlayFace::new(*bounds, *employee);
    Overlay {
        at: view.at,
        width: view.width,
        height: view.height,
        faces: view.faces.iter().map(face).collect(),
    }
}

fn jitter(clock: &dyn Clock) -> f64 {
    f64::from(clock.secret()[0]) / 255.0
}

/// Watches until the camera's hours are over.
async fn watch(deck: &Deck, camera: &Camera) {
    let mut shift = Shift {
        deck,
        watch: deck.watching.begin(camera.clone()),
        judge: PictureJudge::new(camera.every, deck.clock.now()),
        told: None,
        cause: None,
        next_look: Instant::now(),
    };
    let mut failures = 0u32;
    while camera.watched_at(deck.clock.now(), &deck.zone) {
        let Err(error) = shift.follow_stream(&mut failures).await else {
            break;
        };
        deck.watching.lost(&mut shift.watch);
        shift.judge.failed(error.fault);
        shift.cause = Some(error.cause);
        shift.tell().await;
        failures = failures.saturating_add(1);
        sleep(back_off(failures, jitter(&*deck.clock))).await;
    }
    deck.watching.lost(&mut shift.watch);
}

/// One camera while this instance watches it.
struct Shift<'a> {
    deck: &'a Deck,
    watch: Watch,
    judge: PictureJudge,
    /// What was told last.
    told: Option<CameraStatus>,
    /// What was wrong last.
    cause: Option<String>,
    next_look: Instant,
}

impl Shift<'_> {
    /// Follows the stream until it breaks, or until the camera's hours are over. A picture ends
    /// the row of failures.
    async fn follow_stream(&mut self, failures: &mut u32) -> Result<(), StreamError> {
        let (deck, camera) = (self.deck, self.watch.camera().clone());
        let mut stream = deck.streams.open(&camera.stream).await?;
        let mut before = None;
        while camera.watched_at(deck.clock.now(), &deck.zone) {
            if stream.asked() {
                tokio::time::sleep_until(self.next_look).await;
            }
            let picture = self.next(&mut *stream).await?;
            *failures = 0;
            let mut hash = DefaultHasher::new();
            picture.bytes().hash(&mut hash);
            let fingerprint = hash.finish();
            // The first picture of a stream may be an old one, and one that never changes is: only
            // what follows another picture is of now.
            let fresh = before.is_some_and(|before| before != fingerprint);
            before = Some(fingerprint);
            let mut dark = None;
            if fresh && Instant::now() >= self.next_look {
                let every = Duration::from_millis(camera.every.value().into());
                self.next_look = Instant::now() + every;
                dark = self.look(picture).await;
            }
            self.judge.picture(deck.clock.now(), fingerprint, dark);
            self.tell().await;
        }
        Ok(())
    }

    /// The next picture; meanwhile it is judged how old the last one is.
    async fn next(&mut self, stream: &mut dyn PictureStream) -> Result<Sample, StreamError> {
        let mut next = stream.next();
        let mut tick = tokio::time::interval(JUDGE_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tick.tick().await;
        loop {
            tokio::select! {
                next = &mut next => return next,
                _ = tick.tick() => self.tell().await,
            }
        }
    }

    /// Looks at a picture; whether it is dark.
    async fn look(&mut self, picture: Sample) -> Option<bool> {
        let seen = self.deck.watching.look(&mut self.watch, picture).await;
        if let Looked::Faces(view) = seen.looked {
            let camera = self.watch.camera().id;
            self.deck.overlays.show(camera, &overlay(&view)).await;
        }
        seen.dark
    }

    /// Tells how the camera is, when that changed, or was last told a while ago.
    async fn tell(&mut self) {
        let now = self.deck.clock.now();
        let Some(state) = self.judge.state(now) else {
            return;
        };
        let same = self.told.as_ref().filter(|told| told.state == state);
        let soon =
            |told: &&CameraStatus| now.duration_since(told.told_at) < CameraStatus::TOLD_EVERY;
        if same.is_some_and(|told| soon(&told)) {
            return;
        }
        let status = CameraStatus {
            state,
            cause: self.cause_of(state),
            since: same.map_or(now, |told| told.since),
            told_at: now,
        };
        let id = self.watch.camera().id;
        if same.is_none() {
            let cause = status.cause.as_deref().unwrap_or("all is well");
            match state {
                CameraState::Live => info!(camera = %id, %state, "the camera"),
                _ => warn!(camera = %id, %state, cause, "the camera"),
            }
            for each in CameraState::ALL {
                self.gauge(each).set(if each == state { 1.0 } else { 0.0 });
            }
        }
        let changed = same.is_none();
        self.told = Some(status.clone());
        // What is not written now is written with the next word.
        if self.deck.store.note(id, &status).await.is_ok() && changed {
            self.deck.feed.tell(News::Camera(id)).await;
        }
    }

    fn gauge(&self, state: CameraState) -> metrics::Gauge {
        let id = self.watch.camera().id.to_string();
        metrics::gauge!("rollcall_camera_state", "camera" => id, "state" => state.as_str())
    }

    fn cause_of(&self, state: CameraState) -> Option<String> {
        match state {
            CameraState::Live => None,
            CameraState::Unreachable | CameraState::Refused => self.cause.clone(),
            CameraState::Stale => Some(
                "no new picture comes: it stands still, or always sends the same one".to_owned(),
            ),
            CameraState::Dark => {
                Some("the pictures are black: is the lens covered, or the light off?".to_owned())
            }
        }
    }
}
