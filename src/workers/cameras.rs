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
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, sleep},
};
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
    ports::{CameraStore, LeaseStore, PictureStream, Sample, StoreError, StreamError, Streams},
    service::{
        cameras::{Overlay, OverlayFace, Overlays, every_camera},
        exclusive::until_taken,
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
/// How long others wait when the store is back before they try: whoever watched meanwhile gets
/// the first chance, so that nobody changes without need.
const FIRST_CHANCE: Duration = Duration::from_secs(3);
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
        let (mut away, mut first_chance) = (false, Duration::ZERO);
        while !stop.is_cancelled() {
            let held = deck.held.load(Ordering::Relaxed);
            let pause =
                TRY_EVERY.mul_f64(jitter(&*deck.clock)) + (WAIT_FOR_EACH * held).min(WAIT_MOST);
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(pause + std::mem::take(&mut first_chance)) => {}
            }
            if away {
                away = deck.store.find(camera.id).await.is_err();
                first_chance = FIRST_CHANCE;
                continue;
            }
            if !camera.watched_at(deck.clock.now(), &deck.zone) {
                continue;
            }
            let watched = until_taken(
                (&*deck.leases, &*deck.clock),
                (&name, &self.holder),
                LEASE,
                async || {
                    let _held = Count::up(&deck.held);
                    info!(camera = %camera.id, "watching");
                    watch(deck, camera, stop).await
                },
            );
            if let Err(cause) = watched.await.and_then(|ended| ended.unwrap_or(Ok(()))) {
                tracing::debug!(camera = %camera.id, %cause, "the store does not tell who watches");
                away = true;
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

/// Watches until the camera's hours are over, or the token is cancelled: from inside the lease,
/// so that the last word is said before it is let go.
async fn watch(deck: &Deck, camera: &Camera, stop: &CancellationToken) -> Result<(), StoreError> {
    let present = match deck.store.statuses(&[camera.id]).await {
        Ok(told) => told
            .into_iter()
            .flat_map(|(_, told)| told.present)
            .collect(),
        Err(StoreError::Corrupt(_)) => Vec::new(),
        Err(cause) => return Err(cause),
    };
    let (says, said) = watch::channel(None);
    let mut shift = Shift {
        deck,
        watch: deck.watching.begin(camera.clone(), &present),
        judge: PictureJudge::new(camera.every, deck.clock.now()),
        said: None,
        says,
        cause: None,
        next_look: Instant::now(),
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = shift.run() => {}
        () = pass_on(deck, camera.id, said) => {}
    }
    deck.watching.lost(&mut shift.watch);
    shift.leave().await;
    Ok(())
}

/// Writes what is said of a camera, the last of it, until the store has it. Beside watching, which
/// a store that is away does not hold up.
async fn pass_on(deck: &Deck, id: CameraId, mut said: watch::Receiver<Option<CameraStatus>>) {
    let mut known = None;
    while said.changed().await.is_ok() {
        let mut failures = 0u32;
        loop {
            let Some(mut status) = said.borrow_and_update().clone() else {
                break;
            };
            status.told_at = deck.clock.now();
            if deck.store.note(id, &status).await.is_ok() {
                if known.replace(status.state) != Some(status.state) {
                    deck.feed.tell(News::Camera(id)).await;
                }
                break;
            }
            failures = failures.saturating_add(1);
            sleep(back_off(failures, jitter(&*deck.clock))).await;
        }
    }
}

/// One camera while this instance watches it.
struct Shift<'a> {
    deck: &'a Deck,
    watch: Watch,
    judge: PictureJudge,
    /// What was said last.
    said: Option<CameraStatus>,
    /// Where it is said.
    says: watch::Sender<Option<CameraStatus>>,
    /// What was wrong last.
    cause: Option<String>,
    next_look: Instant,
}

impl Shift<'_> {
    /// Watches until the camera's hours are over.
    async fn run(&mut self) {
        let (deck, camera) = (self.deck, self.watch.camera().clone());
        let mut failures = 0u32;
        while camera.watched_at(deck.clock.now(), &deck.zone) {
            let Err(error) = self.follow_stream(&mut failures).await else {
                break;
            };
            deck.watching.lost(&mut self.watch);
            self.judge.failed(error.fault);
            self.cause = Some(error.cause);
            self.tell();
            failures = failures.saturating_add(1);
            sleep(back_off(failures, jitter(&*deck.clock))).await;
        }
    }

    /// Notes once more who is there, for whoever watches next.
    async fn leave(&mut self) {
        let now = self.deck.clock.now();
        let Some(said) = self.said.take() else {
            return;
        };
        let last = CameraStatus {
            told_at: now,
            present: self.deck.watching.present(&self.watch, now),
            ..said
        };
        if let Err(cause) = self.deck.store.note(self.watch.camera().id, &last).await {
            tracing::debug!(%cause, "who is in view was not noted");
        }
    }

    /// Follows the stream until it breaks, or until the camera's hours are over. A picture ends
    /// the row of failures.
    async fn follow_stream(&mut self, failures: &mut u32) -> Result<(), StreamError> {
        let (deck, camera) = (self.deck, self.watch.camera().clone());
        let mut stream = deck.streams.open(&camera.stream).await?;
        // What came last, and what of it was last looked at or judged.
        let (mut before, mut judged) = (None, None);
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
            if Instant::now() >= self.next_look && (fresh || judged != before) {
                let every = Duration::from_millis(camera.every.value().into());
                self.next_look = Instant::now() + every;
                judged = before;
                dark = match fresh {
                    true => self.look(picture).await,
                    false => deck.watching.dark(picture).await,
                };
            }
            self.judge.picture(deck.clock.now(), fingerprint, dark);
            self.tell();
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
                _ = tick.tick() => self.tell(),
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

    /// Says how the camera is and who is there, when it is another state, or was last said a
    /// while ago.
    fn tell(&mut self) {
        let now = self.deck.clock.now();
        let Some(state) = self.judge.state(now) else {
            return;
        };
        let same = self.said.as_ref().filter(|said| said.state == state);
        let since = same.map_or(now, |said| said.since);
        let camera = self.watch.camera();
        if let Some(said) = same {
            let age = now.duration_since(said.told_at);
            // Whoever watches next has to know in time who was there all the while.
            let soon = (camera.visit.duration() / 3).min(CameraStatus::TOLD_EVERY);
            let due = age >= CameraStatus::TOLD_EVERY
                || age >= soon
                    && self.deck.watching.present(&self.watch, now).first() != said.present.first();
            if !due {
                return;
            }
        }
        let status = CameraStatus {
            state,
            cause: self.cause_of(state),
            since,
            told_at: now,
            present: self.deck.watching.present(&self.watch, now),
        };
        if same.is_none() {
            let cause = status.cause.as_deref().unwrap_or("all is well");
            match state {
                CameraState::Live => info!(camera = %camera.id, %state, "the camera"),
                _ => warn!(camera = %camera.id, %state, cause, "the camera"),
            }
            for each in CameraState::ALL {
                self.gauge(each).set(if each == state { 1.0 } else { 0.0 });
            }
        }
        self.says.send_replace(Some(status.clone()));
        self.said = Some(status);
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
