//! Watching: from the pictures of a camera to at most one punch a visit.
//!
//! A picture is glanced at first. Faces are looked for where something moved, and now and then
//! in any case; they are followed from picture to picture, and what was picked of a track is
//! held against the gallery until it is known whose it is. Whoever is seen for the first time in
//! a while is punched.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use jiff::{SignedDuration, Timestamp};
use metrics::counter;
use tokio::sync::Notify;
use tracing::{error, info, warn};

use super::{
    identification::IdentifyError,
    probing::Probing,
    punching::{Origin, Outcome, PunchError, Punching, Recognised},
};
use crate::{
    clock::Clock,
    domain::{
        attendance::PunchKind,
        biometrics::Views,
        cameras::{Camera, Glance, Presence},
        ids::{CameraId, EmployeeId},
        quality::Flaw,
        samples::Still,
        tracking::{Due, FaceBox, Follower, Sighting, TrackId, Visits},
    },
    ports::{EngineError, Face, FaceEngine, Glancing, Sample, StoreError, Work},
};

/// How many faces of one picture are compared, the largest first.
const FACES: usize = 6;
/// How often a picture in which nothing moves is looked at in any case.
const STILL_EVERY: SignedDuration = SignedDuration::from_secs(5);
/// How often while somebody who is known stands there.
const KNOWN_EVERY: SignedDuration = SignedDuration::from_secs(1);
/// How many punches wait for the store at most; beyond, the oldest are given up, and the log
/// tells.
const WAITING_MOST: usize = 10_000;

/// How many of them keep what their picture is made of, which is large.
const STILLS_MOST: usize = 100;

/// Watches cameras.
pub struct Watching {
    engine: Arc<dyn FaceEngine>,
    glancing: Arc<dyn Glancing>,
    probing: Arc<Probing>,
    punching: Arc<Punching>,
    unwritten: Unwritten,
    /// Who is there, by camera: a watch that begins anew goes on with it.
    visits: Mutex<HashMap<CameraId, Arc<Mutex<Visits>>>>,
    clock: Arc<dyn Clock>,
}

/// What is known of one camera while it is watched.
#[derive(Debug)]
pub struct Watch {
    camera: Camera,
    origin: Origin,
    follower: Follower,
    visits: Arc<Mutex<Visits>>,
    /// What the last picture looked like in which faces were looked for, and when.
    looked: Option<(Glance, Timestamp)>,
    /// Those who are followed and were not known when they were looked at, when pictures are
    /// kept: the last look may know them.
    strangers: HashMap<TrackId, (Still, Timestamp)>,
}

/// What became of a picture.
#[derive(Debug, Clone, PartialEq)]
pub enum Looked {
    /// It cannot be decoded.
    Broken,
    /// Nothing moved.
    Still,
    /// The engine had something better to do.
    Busy,
    /// Faces were looked for.
    Faces(Box<View>),
}

impl Looked {
    /// The word in metrics.
    fn name(&self) -> &'static str {
        match self {
            Self::Broken => "broken",
            Self::Still => "still",
            Self::Busy => "busy",
            Self::Faces(_) => "looked",
        }
    }
}

/// A picture that was looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// When.
    pub at: Timestamp,
    /// Width, pixels.
    pub width: u32,
    /// Height, pixels.
    pub height: u32,
    /// Those who are followed: where, and who it is once that is known.
    pub faces: Vec<(FaceBox, Option<EmployeeId>)>,
}

/// A glance and what became of the picture.
#[derive(Debug)]
pub struct Seen {
    /// Whether the picture is black; `None` when it cannot be decoded.
    pub dark: Option<bool>,
    /// What became of it.
    pub looked: Looked,
}

impl Watching {
    /// Over an engine that remembers nothing: no picture of a camera comes twice.
    pub fn new(
        engine: Arc<dyn FaceEngine>,
        glancing: Arc<dyn Glancing>,
        probing: Arc<Probing>,
        punching: Arc<Punching>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            engine,
            glancing,
            probing,
            punching,
            unwritten: Unwritten::default(),
            visits: Mutex::default(),
            clock,
        }
    }

    /// The punches that wait for the store.
    pub fn unwritten(&self) -> Unwritten {
        self.unwritten.clone()
    }

    /// Begins to watch a camera where others left off: with those whose visit lasts.
    pub fn begin(&self, camera: Camera, present: &[Presence]) -> Watch {
        let mut visits = self.visits.lock().unwrap_or_else(PoisonError::into_inner);
        let visits = visits.entry(camera.id).or_default().clone();
        visits
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .resume(present);
        let same = self.probing.same_moment();
        Watch {
            origin: Origin::from(&camera),
            follower: Follower::new(same.zip(self.probing.same_anywhere())),
            visits,
            looked: None,
            strangers: HashMap::new(),
            camera,
        }
    }

    /// Makes what can be made of those who were seen last, when no more pictures come.
    pub fn lost(&self, watch: &mut Watch) {
        for due in watch.follower.end() {
            self.settle(watch, due);
        }
        self.strangers_gone(watch);
        watch.looked = None;
    }

    /// Whether a picture is black; `None` when it cannot be decoded.
    pub async fn dark(&self, picture: Sample) -> Option<bool> {
        let glance = self.glancing.glance(picture).await.ok()?;
        Some(glance.dark())
    }

    /// Looks at a picture that came just now.
    pub async fn look(&self, watch: &mut Watch, picture: Sample) -> Seen {
        let now = self.clock.now();
        // Whose face was deleted meanwhile is nobody, also while they stay in view.
        watch
            .follower
            .forget_unless(|employee| self.punching.knows(employee));
        let seen = match self.glancing.glance(picture.clone()).await {
            Err(_) => Seen {
                dark: None,
                looked: Looked::Broken,
            },
            Ok(glance) => Seen {
                dark: Some(glance.dark()),
                looked: match watch.worth_a_look(&glance, now) {
                    true => self.faces(watch, glance, picture, now).await,
                    false => Looked::Still,
                },
            },
        };
        counter!("rollcall_camera_pictures_total", "became" => seen.looked.name()).increment(1);
        seen
    }

    async fn faces(
        &self,
        watch: &mut Watch,
        glance: Glance,
        picture: Sample,
        now: Timestamp,
    ) -> Looked {
        let work = Work {
            views: Views::Pair,
            embed: FACES,
        };
        let sample = picture.clone();
        let analysis = match self.engine.analyse_if_idle(picture, work).await {
            Ok(analysis) => analysis,
            Err(EngineError::Overloaded | EngineError::Stopped) => {
                watch.follower.blinded();
                return Looked::Busy;
            }
            Err(EngineError::Sample(_)) => return Looked::Broken,
            Err(EngineError::Failed(cause)) => {
                warn!(camera = %watch.camera.id, %cause, "a picture could not be looked at");
                return Looked::Broken;
            }
        };
        watch.looked = Some((glance, now));
        let sighting = |face: Face| Sighting {
            bounds: face.bounds,
            frame: self.probing.usable(face, &sample).ok(),
        };
        let sightings = analysis.faces.into_iter().map(sighting).collect();
        watch.follower.begin(now);
        // Those who are no more to be seen go before others come to their place.
        self.settle_due(watch, now);
        watch.follower.see(now, sightings);
        watch.extend_visits(now);
        self.settle_due(watch, now);
        Looked::Faces(Box::new(View {
            at: now,
            width: analysis.width,
            height: analysis.height,
            faces: watch.faces(now),
        }))
    }

    fn settle_due(&self, watch: &mut Watch, now: Timestamp) {
        for due in watch.follower.due(now) {
            self.settle(watch, due);
        }
        self.strangers_gone(watch);
    }

    /// Tells of those who are followed no more and were known by nobody, whatever was looked at.
    fn strangers_gone(&self, watch: &mut Watch) {
        let there: Vec<_> = watch.follower.tracks().iter().map(|one| one.id).collect();
        let gone = watch
            .strangers
            .extract_if(|track, _| !there.contains(track));
        for (_, (still, at)) in gone {
            self.punching.nobody(&watch.origin, at, Some(still));
        }
    }

    /// Finds out whose a track is; of a new visit, a punch is to be written. Nothing is waited for
    /// here: what was seen is kept from this moment on, whatever becomes of the watch.
    fn settle(&self, watch: &mut Watch, due: Due) {
        let ready = match self.probing.fuse(due.frames, Flaw::NoFace) {
            Ok(ready) => ready,
            Err(flaw) => {
                info!(camera = %watch.camera.id, flaw = flaw.reason(), "somebody is not taken");
                return;
            }
        };
        let recognised = match self.punching.recognise(&ready, due.look) {
            Ok(recognition) => recognition.recognised,
            Err(cause @ IdentifyError::NoCalibration) => {
                warn!(%cause);
                return;
            }
            Err(cause) => {
                warn!(camera = %watch.camera.id, %cause, "nobody could be recognised");
                watch.follower.not_looked(due.track);
                return;
            }
        };
        let Some(recognised) = recognised else {
            if let Some(still) = ready.still {
                watch.strangers.insert(due.track, (still, due.at));
            }
            return;
        };
        watch.strangers.remove(&due.track);
        let employee = recognised.employee;
        watch.follower.known(due.track, employee);
        if watch.visit(employee, due.at) {
            self.unwritten.add(Waiting {
                origin: watch.origin.clone(),
                recognised,
                at: due.at,
                kind: watch.camera.direction.kind(),
            });
        }
    }

    /// Writes a punch; false when it has to wait on.
    async fn write(&self, punch: Waiting) -> bool {
        let Waiting {
            origin,
            recognised,
            at,
            kind,
        } = punch;
        let employee = recognised.employee;
        let written = self
            .punching
            .punch_recognised(&origin, recognised, at, kind)
            .await;
        match written {
            Ok(Outcome::Punched { .. }) => {}
            Ok(outcome) => info!(%employee, outcome = outcome.name(), "seen by a camera"),
            Err(PunchError::Store(
                cause @ (StoreError::Unavailable(_) | StoreError::Refused(_)),
            )) => {
                warn!(%employee, %cause, "a punch waits for the store");
                return false;
            }
            Err(PunchError::Contended) => return false,
            // Waiting would help nobody, and hold up all others.
            Err(cause) => error!(%employee, %at, %cause, "a punch could not be written"),
        }
        true
    }

    /// Writes the punches that wait, the oldest first; false when some have to wait on. A punch
    /// waits until it is written, so nothing is lost when this is dropped half-way: it is written
    /// again then, and found to be there.
    pub async fn write_waiting(&self) -> bool {
        while let Some((number, punch)) = self.unwritten.first() {
            if !self.write(punch).await {
                return false;
            }
            self.unwritten.done(number);
        }
        true
    }

    /// Those before a camera whose visit lasts. Whoever was erased or is not enrolled any more is
    /// left out: what is noted of a camera shall not bring them back.
    pub fn present(&self, watch: &Watch, now: Timestamp) -> Vec<Presence> {
        let mut present = watch.present(now);
        present.retain(|one| self.punching.knows(one.employee));
        present
    }
}

impl Watch {
    /// The camera.
    pub fn camera(&self) -> &Camera {
        &self.camera
    }

    /// Those whose visit lasts.
    pub fn present(&self, now: Timestamp) -> Vec<Presence> {
        let visits = self.visits.lock().unwrap_or_else(PoisonError::into_inner);
        visits.present(now, self.camera.visit.duration())
    }

    /// Notes that somebody was there at a moment; whether that is a new visit.
    fn visit(&self, employee: EmployeeId, at: Timestamp) -> bool {
        let mut visits = self.visits.lock().unwrap_or_else(PoisonError::into_inner);
        visits.seen(employee, at, self.camera.visit.duration())
    }

    /// Whoever is known and still there goes on with their visit.
    fn extend_visits(&self, now: Timestamp) {
        for track in self.follower.tracks() {
            if let (Some(employee), true) = (track.employee, track.seen_at(now)) {
                self.visit(employee, now);
            }
        }
    }

    /// Whether faces are looked for in a picture.
    fn worth_a_look(&self, glance: &Glance, now: Timestamp) -> bool {
        let Some((before, at)) = &self.looked else {
            return true;
        };
        let since = now.duration_since(*at);
        let somebody = !self.follower.tracks().is_empty();
        self.follower.curious()
            || glance.moved_since(before)
            || since >= STILL_EVERY
            || somebody && since >= KNOWN_EVERY
    }

    fn faces(&self, now: Timestamp) -> Vec<(FaceBox, Option<EmployeeId>)> {
        self.follower
            .tracks()
            .iter()
            .filter(|track| track.seen_at(now))
            .map(|track| (track.bounds, track.employee))
            .collect()
    }
}

/// A punch that is to be written.
#[derive(Debug, Clone)]
struct Waiting {
    origin: Origin,
    recognised: Recognised,
    at: Timestamp,
    kind: Option<PunchKind>,
}

/// Punches that are to be written. They outlive the watch that made them, so that nobody's is
/// lost while the store is away.
#[derive(Debug, Clone, Default)]
pub struct Unwritten(Arc<(Mutex<Queue>, Notify)>);

#[derive(Debug, Default)]
struct Queue {
    /// How many were taken out of it: the number of the first.
    first: u64,
    waiting: VecDeque<Waiting>,
}

impl Unwritten {
    fn queue(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, mut punch: Waiting) {
        let mut queue = self.queue();
        if queue.waiting.len() >= STILLS_MOST {
            punch.recognised.still = None;
        }
        if queue.waiting.len() >= WAITING_MOST {
            error!("the store was away for so long that the oldest punch that waited is lost");
            queue.waiting.pop_front();
            queue.first += 1;
        }
        queue.waiting.push_back(punch);
        self.0.1.notify_one();
    }

    /// The first with its number; it stays.
    fn first(&self) -> Option<(u64, Waiting)> {
        let queue = self.queue();
        Some((queue.first, queue.waiting.front()?.clone()))
    }

    /// Takes out the first, if it has this number still.
    fn done(&self, number: u64) {
        let mut queue = self.queue();
        if queue.first == number && queue.waiting.pop_front().is_some() {
            queue.first += 1;
        }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.queue().waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns when there may be some.
    pub async fn changed(&self) {
        self.0.1.notified().await;
    }
}
