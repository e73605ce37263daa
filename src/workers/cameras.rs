//! Watches cameras, each on one instance: the holder of its lease in the store.

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
        sites::Zone,
        tracking::back_off,
    },
    ports::{PictureStream, Sample, StoreError, StreamError, Streams},
    repositories::{Cameras, Leases},
    service::{
        camera_pipeline::{CameraPipeline, Looked, View, Watch},
        cameras::{Overlay, OverlayFace, Overlays, every_camera},
        feed::{Feed, News},
        leased_work::until_taken,
        sites::Sites,
    },
};

/// How long a camera's lease outlives an instance that crashes.
pub const LEASE: Duration = Duration::from_secs(6);
/// How often an instance tries to get the lease of a camera that another one watches.
const TRY_EVERY: Duration = Duration::from_secs(1);
/// How much longer an instance waits before each try, per camera that it already watches, so that
/// instances share the cameras evenly.
const WAIT_PER_CAMERA: Duration = Duration::from_millis(400);
/// Maximum of this additional wait.
const WAIT_MOST: Duration = Duration::from_secs(2);
/// How often the list of cameras is read; announced changes are read immediately.
const LIST_EVERY: Duration = Duration::from_secs(5);
/// How long other instances wait before they try after the store comes back, so that the instance
/// that kept watching can renew its lease first.
const FIRST_CHANCE: Duration = Duration::from_secs(3);
/// How often the state of a camera is judged between its pictures.
const JUDGE_EVERY: Duration = Duration::from_millis(500);
/// How long the cameras may take to hand over their last punches when the service stops.
const LAST_PUNCHES: Duration = Duration::from_millis(100);

/// The dependencies of the camera workers.
pub struct CameraWorkerContext {
    /// The records of cameras.
    pub store: Cameras,
    /// The leases that decide which instance watches which camera.
    pub leases: Leases,
    /// The source of pictures.
    pub streams: Arc<dyn Streams>,
    /// Analyzes the pictures.
    pub pipeline: Arc<CameraPipeline>,
    /// The boxes and names that are drawn over live pictures.
    pub overlays: Overlays,
    /// Announcements of changes.
    pub feed: Feed,
    /// Sites, in whose time zones cameras have hours.
    pub sites: Arc<Sites>,
    /// Time and entropy.
    pub clock: Arc<dyn Clock>,
    /// Number of cameras that this instance watches.
    pub held: AtomicU32,
}

/// Keeps a task for every active camera, until the token is canceled.
pub async fn run(
    context: Arc<CameraWorkerContext>,
    supervisor: Supervisor,
    stop: CancellationToken,
) {
    let mut news = context.feed.follow();
    // If this task panics and is restarted, the old tasks must not keep watching.
    let all = stop.child_token();
    let _guard = all.clone().drop_guard();
    let mut tasks = HashMap::new();
    let mut store_unavailable = false;
    loop {
        match zoned_cameras(&context).await {
            Ok(cameras) => {
                if std::mem::take(&mut store_unavailable) {
                    info!("listing cameras again");
                }
                update_tasks(&context, &supervisor, &all, &mut tasks, cameras);
            }
            // Known cameras are still watched.
            Err(cause) if !std::mem::replace(&mut store_unavailable, true) => {
                warn!(%cause, "could not list cameras; retrying");
            }
            Err(_) => {}
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = sleep(LIST_EVERY) => {}
            () = news.until(|news| matches!(news, News::Camera(_) | News::Site(_))) => {}
        }
    }
}

/// A camera with the time zone of its site.
type Zoned = (Camera, Zone);

/// Returns all cameras that are not removed.
async fn zoned_cameras(context: &CameraWorkerContext) -> Result<Vec<Zoned>, StoreError> {
    let cameras = every_camera(&context.store).await?;
    let sites = context.sites.all().await?;
    let zoned = cameras.into_iter().map(|camera| {
        let site = sites.or_default(camera.site);
        let zone = site.map_or(Zone::UTC, |site| site.zone.clone());
        (camera, zone)
    });
    Ok(zoned.collect())
}

/// Starts a task for each camera that is new or was changed, or whose time zone was, and stops the
/// tasks of cameras that are gone or were changed.
fn update_tasks(
    context: &Arc<CameraWorkerContext>,
    supervisor: &Supervisor,
    stop: &CancellationToken,
    tasks: &mut HashMap<CameraId, (Zoned, CancellationToken)>,
    cameras: Vec<Zoned>,
) {
    let wanted: HashMap<CameraId, Zoned> = cameras
        .into_iter()
        .filter(|(camera, _)| camera.active)
        .map(|zoned| (zoned.0.id, zoned))
        .collect();
    tasks.retain(|id, (zoned, stop)| {
        let unchanged = wanted.get(id) == Some(zoned);
        if !unchanged {
            stop.cancel();
        }
        unchanged
    });
    for (id, (camera, zone)) in wanted {
        tasks.entry(id).or_insert_with(|| {
            let stop = stop.child_token();
            let task = Arc::new(Task {
                context: context.clone(),
                camera: camera.clone(),
                zone: zone.clone(),
                holder: context.clock.id().to_string(),
                stop: stop.clone(),
            });
            supervisor.keep("camera", move |_| {
                let task = task.clone();
                async move { task.run().await }
            });
            ((camera, zone), stop)
        });
    }
}

/// Writes the punches that the store did not accept before, until the token is canceled; then once
/// more.
pub async fn write_waiting(pipeline: Arc<CameraPipeline>, stop: CancellationToken) {
    let unwritten = pipeline.unwritten();
    let mut failures = 0;
    while !stop.is_cancelled() {
        failures = match pipeline.write_waiting().await {
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
    // Waits for cameras that stop at the same moment.
    sleep(LAST_PUNCHES).await;
    if !pipeline.write_waiting().await {
        warn!(
            punches = unwritten.len(),
            "could not write the last punches before the stop; they are lost"
        );
    }
}

/// A task that watches one camera with its current settings. A change of the camera replaces it.
struct Task {
    context: Arc<CameraWorkerContext>,
    camera: Camera,
    /// The time zone of its hours.
    zone: Zone,
    /// Identifies this task among the tasks of all instances. A previous task for the same camera
    /// has another value, so its lease must be released first.
    holder: String,
    stop: CancellationToken,
}

impl Task {
    /// Watches during the camera's hours while no other instance does, until it is stopped.
    async fn run(&self) {
        let Self {
            context,
            camera,
            stop,
            ..
        } = self;
        let name = format!("camera:{}", camera.id);
        let (mut store_unavailable, mut first_chance) = (false, Duration::ZERO);
        while !stop.is_cancelled() {
            let held = context.held.load(Ordering::Relaxed);
            let pause = TRY_EVERY.mul_f64(jitter(&*context.clock))
                + (WAIT_PER_CAMERA * held).min(WAIT_MOST);
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(pause + std::mem::take(&mut first_chance)) => {}
            }
            if store_unavailable {
                store_unavailable = context.store.find(camera.id).await.is_err();
                first_chance = FIRST_CHANCE;
                continue;
            }
            if !camera.watched_at(context.clock.now(), self.zone.time_zone()) {
                continue;
            }
            let watched = until_taken(
                (&context.leases, &*context.clock),
                (&name, &self.holder),
                LEASE,
                async || {
                    let _held = Count::up(&context.held);
                    info!(camera = %camera.id, "watching");
                    watch(context, (camera, &self.zone), stop).await
                },
            );
            if let Err(cause) = watched.await.and_then(|ended| ended.unwrap_or(Ok(()))) {
                tracing::debug!(camera = %camera.id, %cause, "could not read the camera's lease");
                store_unavailable = true;
            }
        }
    }
}

/// A guard that adds one to a counter until it is dropped.
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
    /// Clears the state metric, which the next instance to watch will set.
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

/// Watches until the camera's hours are over, or the token is canceled. Runs inside the lease, so
/// that the last report is written before the lease is released.
async fn watch(
    context: &CameraWorkerContext,
    (camera, zone): (&Camera, &Zone),
    stop: &CancellationToken,
) -> Result<(), StoreError> {
    let present = match context.store.statuses(&[camera.id]).await {
        Ok(report) => report
            .into_iter()
            .flat_map(|(_, report)| report.present)
            .collect(),
        Err(StoreError::Corrupt(_)) => Vec::new(),
        Err(cause) => return Err(cause),
    };
    let (report_to, reported) = watch::channel(None);
    let mut shift = Shift {
        context,
        zone: zone.time_zone(),
        watch: context.pipeline.begin(camera.clone(), &present),
        judge: PictureJudge::new(camera.every, context.clock.now()),
        reported: None,
        report_to,
        cause: None,
        next_look: Instant::now(),
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = shift.run() => {}
        () = write_reports(context, camera.id, reported) => {}
    }
    context.pipeline.lost(&mut shift.watch);
    shift.report_last().await;
    Ok(())
}

/// Writes the latest status of a camera, with retries. Runs beside the pipeline, so that an
/// unavailable store does not delay it.
async fn write_reports(
    context: &CameraWorkerContext,
    id: CameraId,
    mut reported: watch::Receiver<Option<CameraStatus>>,
) {
    let mut known = None;
    while reported.changed().await.is_ok() {
        let mut failures = 0u32;
        loop {
            let Some(mut status) = reported.borrow_and_update().clone() else {
                break;
            };
            status.reported_at = context.clock.now();
            if context.store.report(id, &status).await.is_ok() {
                if known.replace(status.state) != Some(status.state) {
                    context.feed.publish(News::Camera(id)).await;
                }
                break;
            }
            failures = failures.saturating_add(1);
            sleep(back_off(failures, jitter(&*context.clock))).await;
        }
    }
}

/// The time in which this instance watches a camera.
struct Shift<'a> {
    context: &'a CameraWorkerContext,
    /// The time zone of the camera's hours.
    zone: &'a TimeZone,
    watch: Watch,
    judge: PictureJudge,
    /// The last reported status.
    reported: Option<CameraStatus>,
    /// Where statuses are reported to.
    report_to: watch::Sender<Option<CameraStatus>>,
    /// The cause of the last failure.
    cause: Option<String>,
    next_look: Instant,
}

impl Shift<'_> {
    /// Watches until the camera's hours are over.
    async fn run(&mut self) {
        let (context, camera) = (self.context, self.watch.camera().clone());
        let mut failures = 0u32;
        while camera.watched_at(context.clock.now(), self.zone) {
            let Err(error) = self.follow_stream(&mut failures).await else {
                break;
            };
            context.pipeline.lost(&mut self.watch);
            self.judge.failed(error.fault);
            self.cause = Some(error.cause);
            self.report_if_due();
            failures = failures.saturating_add(1);
            sleep(back_off(failures, jitter(&*context.clock))).await;
        }
    }

    /// Writes the open visits once more, for the next instance to watch.
    async fn report_last(&mut self) {
        let now = self.context.clock.now();
        let Some(reported) = self.reported.take() else {
            return;
        };
        let last = CameraStatus {
            reported_at: now,
            present: self.context.pipeline.present(&self.watch, now),
            ..reported
        };
        if let Err(cause) = self
            .context
            .store
            .report(self.watch.camera().id, &last)
            .await
        {
            tracing::debug!(%cause, "could not write the open visits");
        }
    }

    /// Follows the stream until it fails, or until the camera's hours are over. A picture resets
    /// the number of failures.
    async fn follow_stream(&mut self, failures: &mut u32) -> Result<(), StreamError> {
        let (context, camera) = (self.context, self.watch.camera().clone());
        let mut stream = context.streams.open(&camera.stream).await?;
        // Fingerprints of the last picture, and of the last one that was analyzed.
        let (mut before, mut judged) = (None, None);
        while camera.watched_at(context.clock.now(), self.zone) {
            if stream.asked() {
                tokio::time::sleep_until(self.next_look).await;
            }
            let picture = self.next(&mut *stream).await?;
            *failures = 0;
            let mut hash = DefaultHasher::new();
            picture.bytes().hash(&mut hash);
            let fingerprint = hash.finish();
            // The first picture of a stream may be old, and identical pictures are. Only a picture
            // that differs from the one before it is current.
            let fresh = before.is_some_and(|before| before != fingerprint);
            before = Some(fingerprint);
            let mut dark = None;
            if Instant::now() >= self.next_look && (fresh || judged != before) {
                let every = Duration::from_millis(camera.every.value().into());
                self.next_look = Instant::now() + every;
                judged = before;
                dark = match fresh {
                    true => self.look(picture).await,
                    false => context.pipeline.dark(picture).await,
                };
            }
            self.judge.picture(context.clock.now(), fingerprint, dark);
            self.report_if_due();
        }
        Ok(())
    }

    /// Waits for the next picture, and reports the camera's state meanwhile.
    async fn next(&mut self, stream: &mut dyn PictureStream) -> Result<Sample, StreamError> {
        let mut next = stream.next();
        let mut tick = tokio::time::interval(JUDGE_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tick.tick().await;
        loop {
            tokio::select! {
                next = &mut next => return next,
                _ = tick.tick() => self.report_if_due(),
            }
        }
    }

    /// Analyzes a picture. Returns whether it is dark, if that was measured.
    async fn look(&mut self, picture: Sample) -> Option<bool> {
        let seen = self.context.pipeline.look(&mut self.watch, picture).await;
        if let Looked::Faces(view) = seen.looked {
            let camera = self.watch.camera().id;
            self.context.overlays.show(camera, &overlay(&view)).await;
        }
        seen.dark
    }

    /// Reports the camera's state and the open visits, if the state has changed or the last report
    /// is old.
    fn report_if_due(&mut self) {
        let now = self.context.clock.now();
        let Some(state) = self.judge.state(now) else {
            return;
        };
        let same = self
            .reported
            .as_ref()
            .filter(|reported| reported.state == state);
        let since = same.map_or(now, |reported| reported.since);
        let camera = self.watch.camera();
        if let Some(reported) = same {
            let age = now.duration_since(reported.reported_at);
            // Sooner if the most recent visitor has changed, because the next instance continues
            // these visits.
            let soon = (camera.visit.duration() / 3).min(CameraStatus::REPORT_EVERY);
            let due = age >= CameraStatus::REPORT_EVERY
                || age >= soon
                    && self.context.pipeline.present(&self.watch, now).first()
                        != reported.present.first();
            if !due {
                return;
            }
        }
        let status = CameraStatus {
            state,
            cause: self.cause_of(state),
            since,
            reported_at: now,
            present: self.context.pipeline.present(&self.watch, now),
        };
        if same.is_none() {
            let cause = status.cause.as_deref().unwrap_or("none");
            match state {
                CameraState::Live => info!(camera = %camera.id, %state, "camera state changed"),
                _ => warn!(camera = %camera.id, %state, cause, "camera state changed"),
            }
            for each in CameraState::ALL {
                self.gauge(each).set(if each == state { 1.0 } else { 0.0 });
            }
        }
        self.report_to.send_replace(Some(status.clone()));
        self.reported = Some(status);
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
                "no new picture arrives: the stream is frozen, or repeats the same picture"
                    .to_owned(),
            ),
            CameraState::Dark => {
                Some("the pictures are black: is the lens covered, or the light off?".to_owned())
            }
        }
    }
}
