//! Watching: from the pictures of a camera to at most one punch a visit.
//!
//! A picture is glanced at first. Faces are looked for where something moved, and now and then
//! in any case; they are followed from picture to picture, and what was picked of a track is
//! held against the gallery until it is known whose it is. Whoever is seen for the first time in
//! a while is punched.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::{SignedDuration, Timestamp};
use metrics::counter;
use tokio::sync::Notify;
use tracing::{info, warn};

use super::{
    identification::IdentifyError,
    probing::{Probing, usable},
    punching::{Origin, Outcome, PunchError, Punching, Recognised},
};
use crate::{
    clock::Clock,
    domain::biometrics::Views,
    domain::{
        attendance::PunchKind,
        cameras::{Camera, Glance},
        ids::EmployeeId,
        quality::Flaw,
        tracking::{Due, FaceBox, Follower, Sighting, Visits},
    },
    ports::{Analysis, EngineError, Face, FaceEngine, Glancing, Sample, Work},
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

/// Watches cameras.
pub struct Watching {
    engine: Arc<dyn FaceEngine>,
    glancing: Arc<dyn Glancing>,
    probing: Arc<Probing>,
    punching: Arc<Punching>,
    unwritten: Unwritten,
    clock: Arc<dyn Clock>,
}

/// What is known of one camera while it is watched.
#[derive(Debug)]
pub struct Watch {
    camera: Camera,
    origin: Origin,
    follower: Follower,
    visits: Visits,
    /// What the last picture looked like in which faces were looked for, and when.
    looked: Option<(Glance, Timestamp)>,
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
            clock,
        }
    }

    /// The punches that wait for the store.
    pub fn unwritten(&self) -> Unwritten {
        self.unwritten.clone()
    }

    /// Begins to watch a camera.
    pub fn begin(&self, camera: Camera) -> Watch {
        Watch {
            origin: Origin::from(&camera),
            follower: Follower::new(self.probing.same_moment()),
            visits: Visits::default(),
            looked: None,
            camera,
        }
    }

    /// Looks at a picture that came just now.
    pub async fn look(&self, watch: &mut Watch, picture: Sample) -> Seen {
        let now = self.clock.now();
        let Ok(glance) = self.glancing.glance(picture.clone()).await else {
            counter!("rollcall_camera_pictures_total", "became" => "broken").increment(1);
            return Seen {
                dark: None,
                looked: Looked::Broken,
            };
        };
        let dark = Some(glance.dark());
        let (looked, became) = if watch.worth_a_look(&glance, now) {
            self.faces(watch, glance, picture, now).await
        } else {
            (Looked::Still, "still")
        };
        counter!("rollcall_camera_pictures_total", "became" => became).increment(1);
        // Also of those who are no more to be seen.
        for due in watch.follower.due(now) {
            self.settle(watch, due, now).await;
        }
        let looked = match looked {
            Looked::Faces(mut view) => {
                view.faces = watch.faces(now);
                Looked::Faces(view)
            }
            looked => looked,
        };
        Seen { dark, looked }
    }

    async fn faces(
        &self,
        watch: &mut Watch,
        glance: Glance,
        picture: Sample,
        now: Timestamp,
    ) -> (Looked, &'static str) {
        let work = Work {
            views: Views::Pair,
            embed: FACES,
        };
        match self.engine.analyse_if_idle(picture, work).await {
            Ok(Analysis {
                width,
                height,
                faces,
            }) => {
                watch.looked = Some((glance, now));
                let sightings = faces.into_iter().map(sighting).collect();
                watch.follower.see(now, sightings);
                self.extend_visits(watch, now);
                let view = View {
                    at: now,
                    width,
                    height,
                    faces: Vec::new(),
                };
                (Looked::Faces(Box::new(view)), "looked")
            }
            Err(EngineError::Overloaded | EngineError::Stopped) => (Looked::Busy, "busy"),
            Err(EngineError::Sample(_)) => (Looked::Broken, "broken"),
            Err(EngineError::Failed(cause)) => {
                warn!(camera = %watch.camera.id, %cause, "a picture could not be looked at");
                (Looked::Broken, "broken")
            }
        }
    }

    /// Whoever is known and still there goes on with their visit.
    fn extend_visits(&self, watch: &mut Watch, now: Timestamp) {
        let gap = watch.camera.visit.duration();
        for track in watch.follower.tracks() {
            if let (Some(employee), true) = (track.employee, track.seen_at(now)) {
                watch.visits.seen(employee, now, gap);
            }
        }
    }

    /// Finds out whose a track is; of a new visit, a punch is written.
    async fn settle(&self, watch: &mut Watch, due: Due, now: Timestamp) {
        let ready = match self.probing.fuse(&due.frames, Flaw::NoFace) {
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
                None
            }
            Err(cause) => {
                warn!(camera = %watch.camera.id, %cause, "nobody could be recognised");
                watch.follower.not_looked(due.track);
                return;
            }
        };
        let Some(recognised) = recognised else {
            return;
        };
        let employee = recognised.employee;
        watch.follower.known(due.track, employee);
        if !watch
            .visits
            .seen(employee, now, watch.camera.visit.duration())
        {
            return;
        }
        let punch = Waiting {
            origin: watch.origin.clone(),
            recognised,
            at: now,
            kind: watch.camera.direction.kind(),
        };
        if let Err(punch) = self.write(punch).await {
            // The visit is recorded as soon as the store takes it.
            self.unwritten.add(punch);
        }
    }

    /// Writes a punch; gives it back when the store does not take it now.
    async fn write(&self, punch: Waiting) -> Result<(), Waiting> {
        let Waiting {
            origin,
            recognised,
            at,
            kind,
        } = punch.clone();
        let employee = recognised.employee;
        match self
            .punching
            .punch_recognised(&origin, recognised, at, kind)
            .await
        {
            Ok(Outcome::Punched { .. }) => {}
            Ok(outcome) => info!(%employee, outcome = outcome.name(), "seen by a camera"),
            Err(PunchError::Store(cause)) => {
                warn!(%employee, %cause, "a punch waits for the store");
                return Err(punch);
            }
            Err(PunchError::Contended) => return Err(punch),
            Err(cause) => warn!(%employee, %cause, "a punch could not be written"),
        }
        Ok(())
    }

    /// Writes the punches that wait, the oldest first; false when some have to wait on.
    pub async fn write_waiting(&self) -> bool {
        while let Some(punch) = self.unwritten.take() {
            if let Err(punch) = self.write(punch).await {
                self.unwritten.put_back(punch);
                return false;
            }
        }
        true
    }
}

impl Watch {
    /// The camera.
    pub fn camera(&self) -> &Camera {
        &self.camera
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

fn sighting(face: Face) -> Sighting {
    let (bounds, quality) = (face.bounds, face.quality);
    let frame = usable(face).ok();
    Sighting {
        bounds,
        quality,
        liveness: frame.as_ref().and_then(|frame| frame.liveness),
        embedding: frame.map(|frame| frame.embedding),
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

/// Punches that the store did not take yet. They outlive the watch that made them, so that
/// nobody's is lost while the store is away.
#[derive(Debug, Clone, Default)]
pub struct Unwritten(Arc<(Mutex<VecDeque<Waiting>>, Notify)>);

impl Unwritten {
    fn waiting(&self) -> std::sync::MutexGuard<'_, VecDeque<Waiting>> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, punch: Waiting) {
        let mut waiting = self.waiting();
        if waiting.len() >= WAITING_MOST {
            warn!("the store was away for so long that the oldest punch that waited is lost");
            waiting.pop_front();
        }
        waiting.push_back(punch);
        self.0.1.notify_one();
    }

    fn take(&self) -> Option<Waiting> {
        self.waiting().pop_front()
    }

    fn put_back(&self, punch: Waiting) {
        self.waiting().push_front(punch);
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting().len()
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
