//! CameraPipeline: turns the pictures of a camera into at most one punch per visit.
//!
//! Each picture is first compared with an earlier one. Faces are detected if something moved, and
//! every few seconds in any case. They are followed from picture to picture, and the best frames of
//! a track are compared with the gallery until the person is identified. A punch is written when a
//! person begins a new visit.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use jiff::{SignedDuration, Timestamp};
use metrics::counter;
use tokio::sync::Notify;
use tracing::{debug, error, info, warn};

use super::{
    face_punches::{FacePunches, Outcome, PunchError},
    probe_builder::ProbeBuilder,
    punch_ledger::{LedgerError, PunchPoint},
    recognition::{Recognition, RecognitionError, Recognized},
};
use crate::{
    clock::Clock,
    domain::{
        attendance::PunchKind,
        biometrics::{NobodyReason, Views},
        cameras::{Camera, Glance, Presence},
        geometry::FaceBox,
        ids::{CameraId, EmployeeId},
        quality::Flaw,
        samples::Still,
        tracking::{Due, Follower, Sighting, TrackId, Visits},
    },
    ports::{EngineError, Face, FaceEngine, MotionSensing, Sample, StoreError, Work},
};

/// Maximum number of faces compared per picture, the largest first.
const FACES: usize = 6;
/// Interval of face detection while nothing moves.
const STILL_EVERY: SignedDuration = SignedDuration::from_secs(5);
/// Interval of face detection while faces are in view and nothing moves.
const KNOWN_EVERY: SignedDuration = SignedDuration::from_secs(1);
/// Maximum number of punches that wait for the store. Beyond it the oldest ones are dropped and
/// logged.
const WAITING_MOST: usize = 10_000;

/// Maximum number of waiting punches that keep the image for their picture, which is large.
const STILLS_MOST: usize = 100;

/// The pipeline from camera pictures to punches, shared by all watched cameras.
#[derive(derive_new::new)]
pub struct CameraPipeline {
    /// Needs no cache, because no picture of a camera comes twice.
    engine: Arc<dyn FaceEngine>,
    motion: Arc<dyn MotionSensing>,
    probes: Arc<ProbeBuilder>,
    recognition: Arc<Recognition>,
    punches: Arc<FacePunches>,
    #[new(default)]
    unwritten: Unwritten,
    /// Open visits by camera. A watch that is restarted continues them.
    #[new(default)]
    visits: Mutex<HashMap<CameraId, Arc<Mutex<Visits>>>>,
    clock: Arc<dyn Clock>,
}

/// The state of one camera while it is watched.
#[derive(Debug)]
pub struct Watch {
    camera: Camera,
    point: PunchPoint,
    follower: Follower,
    visits: Arc<Mutex<Visits>>,
    /// The glance of the last picture in which faces were detected, and its time.
    looked: Option<(Glance, Timestamp)>,
    /// Images of tracks that no attempt has identified yet, if pictures are kept. A later attempt
    /// may still identify the person.
    strangers: HashMap<TrackId, (Still, Timestamp)>,
}

/// The outcome of looking at a picture.
#[derive(Debug, Clone, PartialEq)]
pub enum Looked {
    /// The picture cannot be decoded.
    Broken,
    /// Nothing moved.
    Still,
    /// The engine was busy with other work.
    Busy,
    /// Faces were detected.
    Faces(Box<View>),
}

impl Looked {
    /// Returns the label for metrics.
    fn name(&self) -> &'static str {
        match self {
            Self::Broken => "broken",
            Self::Still => "still",
            Self::Busy => "busy",
            Self::Faces(_) => "looked",
        }
    }
}

/// A picture in which faces were detected.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// When the picture arrived.
    pub at: Timestamp,
    /// Width, pixels.
    pub width: u32,
    /// Height, pixels.
    pub height: u32,
    /// The box of each followed face, and the employee once identified.
    pub faces: Vec<(FaceBox, Option<EmployeeId>)>,
}

/// The brightness and the outcome of a picture.
#[derive(Debug)]
pub struct Seen {
    /// Whether the picture is black; `None` if it cannot be decoded.
    pub dark: Option<bool>,
    /// The outcome.
    pub looked: Looked,
}

impl CameraPipeline {
    /// Returns the queue of punches that wait for the store.
    pub fn unwritten(&self) -> Unwritten {
        self.unwritten.clone()
    }

    /// Starts to watch a camera and continues the open visits in `present`.
    pub fn begin(&self, camera: Camera, present: &[Presence]) -> Watch {
        let mut visits = self.visits.lock().unwrap_or_else(PoisonError::into_inner);
        let visits = visits.entry(camera.id).or_default().clone();
        visits
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .resume(present);
        let same = self.probes.same_moment();
        Watch {
            point: PunchPoint::from(&camera),
            follower: Follower::new(same.zip(self.probes.same_anywhere())),
            visits,
            looked: None,
            strangers: HashMap::new(),
            camera,
        }
    }

    /// Makes the last identification attempts after the connection to the camera is lost.
    pub fn lost(&self, watch: &mut Watch) {
        for due in watch.follower.end() {
            self.settle(watch, due);
        }
        self.keep_departed_strangers(watch);
        watch.looked = None;
    }

    /// Checks whether a picture is black; `None` if it cannot be decoded.
    pub async fn dark(&self, picture: Sample) -> Option<bool> {
        let glance = self.motion.glance(picture).await.ok()?;
        Some(glance.dark())
    }

    /// Processes a picture that has just arrived.
    pub async fn look(&self, watch: &mut Watch, picture: Sample) -> Seen {
        let now = self.clock.now();
        // After a face is deleted, the person is not identified anymore, even while in view.
        watch
            .follower
            .forget_unless(|employee| self.recognition.knows(employee));
        let seen = match self.motion.glance(picture.clone()).await {
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
            photo: false,
            sender: Some(watch.point.origin),
        };
        let sample = picture.clone();
        let analysis = match self.engine.analyze_if_idle(picture, work).await {
            Ok(analysis) => analysis,
            Err(EngineError::Overloaded | EngineError::Stopped) => {
                watch.follower.picture_skipped();
                return Looked::Busy;
            }
            Err(EngineError::Sample(_)) => return Looked::Broken,
            Err(EngineError::Failed(cause)) => {
                warn!(camera = %watch.camera.id, %cause, "could not analyze a picture");
                return Looked::Broken;
            }
        };
        watch.looked = Some((glance, now));
        let sighting = |face: Face| Sighting {
            bounds: face.bounds,
            frame: self.probes.usable(face, &sample).ok(),
        };
        let sightings = analysis.faces.into_iter().map(sighting).collect();
        watch.follower.begin(now);
        // Tracks that are out of sight end before new faces can take their place.
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
        self.keep_departed_strangers(watch);
    }

    /// Requests pictures of people who were not recognized and are no longer followed.
    fn keep_departed_strangers(&self, watch: &mut Watch) {
        let followed: Vec<_> = watch.follower.tracks().iter().map(|one| one.id).collect();
        let departed = watch
            .strangers
            .extract_if(|track, _| !followed.contains(track));
        for (_, (still, at)) in departed {
            self.punches.keep_unknown(&watch.point, at, Some(still));
        }
    }

    /// Identifies the person of a track, and queues a punch if a new visit begins. This never
    /// waits, so the punch is queued even if the watch ends right afterwards.
    fn settle(&self, watch: &mut Watch, due: Due) {
        let ready = match self.probes.fuse(due.frames, Flaw::NoFace) {
            Ok(ready) => ready,
            Err(flaw) => {
                info!(camera = %watch.camera.id, flaw = flaw.reason(), "face rejected");
                return;
            }
        };
        let recognized = match self.recognition.recognize(&ready, due.look) {
            Ok(verdict) => verdict.recognized,
            Err(cause @ RecognitionError::NoCalibration) => {
                warn!(%cause);
                return;
            }
            Err(cause) => {
                warn!(camera = %watch.camera.id, %cause, "could not recognize a face");
                watch.follower.return_look(due.track);
                return;
            }
        };
        let recognized = match recognized {
            Ok(recognized) => recognized,
            Err(reason) => {
                let (camera, look, why) = (watch.camera.id, due.look.number(), reason.as_str());
                match reason {
                    // Strangers are frequent.
                    NobodyReason::Unknown => debug!(%camera, look, reason = why, "nobody"),
                    // An enrolled person may be waiting for their punch.
                    NobodyReason::Margin | NobodyReason::LookAlike => {
                        info!(%camera, look, reason = why, "nobody");
                    }
                }
                if let Some(still) = ready.still {
                    watch.strangers.insert(due.track, (still, due.at));
                }
                return;
            }
        };
        watch.strangers.remove(&due.track);
        let employee = recognized.employee;
        watch.follower.assign(due.track, employee);
        if watch.visit(employee, due.at) {
            self.unwritten.add(Waiting {
                point: watch.point.clone(),
                recognized,
                at: due.at,
                kind: watch.camera.direction.kind(),
            });
        }
    }

    /// Writes a punch. Returns false if it has to wait for the store.
    async fn write(&self, punch: Waiting) -> bool {
        let Waiting {
            point,
            recognized,
            at,
            kind,
        } = punch;
        let employee = recognized.employee;
        let written = self
            .punches
            .record_recognized(&point, recognized, at, kind)
            .await;
        match written {
            Ok(Outcome::Punched { .. }) => {}
            Ok(outcome) => info!(%employee, outcome = outcome.name(), "no punch written"),
            Err(PunchError::Ledger(LedgerError::Store(
                cause @ (StoreError::Unavailable(_) | StoreError::Refused(_)),
            ))) => {
                warn!(%employee, %cause, "could not write a punch; retrying");
                return false;
            }
            Err(PunchError::Ledger(LedgerError::Contended)) => return false,
            // A retry would fail again and hold up all other punches.
            Err(cause) => error!(%employee, %at, %cause, "could not write a punch; dropped"),
        }
        true
    }

    /// Writes the waiting punches, the oldest first. Returns false if some must wait for the store.
    /// A punch stays in the queue until it is written, so nothing is lost if this future is
    /// dropped: the next call writes it again, and the ledger recognizes the repeat.
    pub async fn write_waiting(&self) -> bool {
        while let Some((number, punch)) = self.unwritten.first() {
            if !self.write(punch).await {
                return false;
            }
            self.unwritten.done(number);
        }
        true
    }

    /// Returns the open visits at a camera. People who were erased or are not enrolled anymore are
    /// left out, so that the camera's stored presence does not restore them.
    pub fn present(&self, watch: &Watch, now: Timestamp) -> Vec<Presence> {
        let mut present = watch.present(now);
        present.retain(|one| self.recognition.knows(one.employee));
        present
    }
}

impl Watch {
    /// Returns the camera.
    pub fn camera(&self) -> &Camera {
        &self.camera
    }

    /// Returns the open visits.
    pub fn present(&self, now: Timestamp) -> Vec<Presence> {
        let visits = self.visits.lock().unwrap_or_else(PoisonError::into_inner);
        visits.present(now, self.camera.visit.duration())
    }

    /// Records that a person was seen. Returns whether that begins a new visit.
    fn visit(&self, employee: EmployeeId, at: Timestamp) -> bool {
        let mut visits = self.visits.lock().unwrap_or_else(PoisonError::into_inner);
        visits.seen(employee, at, self.camera.visit.duration())
    }

    /// Extends the visits of identified people who are still in view.
    fn extend_visits(&self, now: Timestamp) {
        for track in self.follower.tracks() {
            if let (Some(employee), true) = (track.employee, track.seen_at(now)) {
                self.visit(employee, now);
            }
        }
    }

    /// Checks whether faces should be detected in a picture.
    fn worth_a_look(&self, glance: &Glance, now: Timestamp) -> bool {
        let Some((before, at)) = &self.looked else {
            return true;
        };
        let since = now.duration_since(*at);
        let occupied = !self.follower.tracks().is_empty();
        self.follower.has_undecided()
            || glance.moved_since(before)
            || since >= STILL_EVERY
            || occupied && since >= KNOWN_EVERY
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

/// A punch that waits to be written.
#[derive(Debug, Clone)]
struct Waiting {
    point: PunchPoint,
    recognized: Recognized,
    at: Timestamp,
    kind: Option<PunchKind>,
}

/// The queue of punches that wait for the store. It outlives the watch that queued them, so that no
/// punch is lost while the store is unavailable.
#[derive(Debug, Clone, Default)]
pub struct Unwritten(Arc<(Mutex<Queue>, Notify)>);

#[derive(Debug, Default)]
struct Queue {
    /// The number of punches removed so far, which is the number of the first one in the queue.
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
            punch.recognized.still = None;
        }
        if queue.waiting.len() >= WAITING_MOST {
            error!("the store was unavailable for too long; dropped the oldest waiting punch");
            queue.waiting.pop_front();
            queue.first += 1;
        }
        queue.waiting.push_back(punch);
        self.0.1.notify_one();
    }

    /// Returns the first punch and its number without removing it.
    fn first(&self) -> Option<(u64, Waiting)> {
        let queue = self.queue();
        Some((queue.first, queue.waiting.front()?.clone()))
    }

    /// Removes the first punch if it still has this number.
    fn done(&self, number: u64) {
        let mut queue = self.queue();
        if queue.first == number && queue.waiting.pop_front().is_some() {
            queue.first += 1;
        }
    }

    /// Returns how many punches wait.
    pub fn len(&self) -> usize {
        self.queue().waiting.len()
    }

    /// Checks whether no punch waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits until a punch may have been queued.
    pub async fn changed(&self) {
        self.0.1.notified().await;
    }
}
