//! Tracks faces across the pictures of a camera, so that one passing person is one track, and picks
//! the pictures of a track that identify the person best.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{
    biometrics::{Embedding, Fused, Look, Similarity, Threshold},
    cameras::Presence,
    geometry::FaceBox,
    ids::EmployeeId,
    quality::Quality,
    samples::Still,
};

/// A face in one picture.
#[derive(Debug, Clone)]
pub struct Sighting {
    /// The box of the face.
    pub bounds: FaceBox,
    /// The face for comparison, if its quality is sufficient.
    pub frame: Option<Frame>,
}

/// A face in one picture, of sufficient quality for a comparison.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Its embedding.
    pub embedding: Embedding,
    /// Its measured quality.
    pub quality: Quality,
    /// Probability of a live person, 0..1; `None` without a liveness model.
    pub liveness: Option<f32>,
    /// The picture with the face, if the site stores pictures.
    pub still: Option<Still>,
}

/// The ID of a track, unique within one [`Follower`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TrackId(u64);

/// The track of one person who passes a camera.
#[derive(Debug, Clone)]
pub struct Track {
    /// The ID.
    pub id: TrackId,
    /// The last box of the face.
    pub bounds: FaceBox,
    /// The person, once identified.
    pub employee: Option<EmployeeId>,
    /// When the face was last in a picture.
    last: Timestamp,
    /// The same, moved on by the time in which no faces were detected because pictures were skipped.
    active_at: Timestamp,
    /// How many times in a row a face at this place was unlike all pictures of the track.
    mismatches: u32,
    picks: Vec<Frame>,
    /// Number of pictures of sufficient quality, picked or not.
    usable: u32,
    /// Number of identification attempts.
    looks: u8,
    /// The state at the last attempt.
    looked: Option<LookState>,
    first_usable: Option<Timestamp>,
}

/// The state of a track at an identification attempt.
#[derive(Debug, Clone, Copy)]
struct LookState {
    at: Timestamp,
    /// Number of usable pictures.
    usable: u32,
    /// Rank of the best picture.
    rank: f32,
    /// R of the picked pictures.
    resultant: f32,
}

/// A track that is due for an identification attempt.
#[derive(Debug, Clone)]
pub struct Due {
    /// The track.
    pub track: TrackId,
    /// When the face was last seen, which is the time of the punch.
    pub at: Timestamp,
    /// The number of the attempt.
    pub look: Look,
    /// The picked pictures, best first.
    pub frames: Vec<Frame>,
}

/// A tracker for the faces of one camera.
///
/// Every track gets up to [`Look::LAST`] identification attempts, each with its share of the
/// accepted FPIR. So the FPIR holds for a stranger, no matter how long they stay, or how often they
/// come back within [`REMEMBERED`].
#[derive(Debug, Clone)]
pub struct Follower {
    tracks: Vec<Track>,
    /// Tracks that ended without an identification. A person who returns soon continues their
    /// track, with the remaining attempts.
    departed: Vec<Track>,
    next: u64,
    /// Minimum similarity of two pictures of one person within a second: at the same place, and at
    /// any place.
    same: Option<(Threshold, Threshold)>,
    /// When faces were last detected.
    looked: Option<Timestamp>,
    /// Whether a picture was skipped since then.
    skipped: bool,
}

/// Maximum number of picked pictures of a track.
pub const PICKS: usize = 5;
/// Number of usable pictures for the first attempt.
const FIRST_LOOK_PICTURES: u32 = 3;
/// Maximum wait of the first attempt for these pictures.
const FIRST_LOOK_WAIT: SignedDuration = SignedDuration::from_millis(800);
/// Minimum time between the first and the second attempt.
const NEXT_LOOK_PAUSE: SignedDuration = SignedDuration::from_millis(1_000);
/// Number of further usable pictures for the next attempt.
const NEXT_LOOK_PICTURES: u32 = 3;
/// Minimum time between the second and the last attempt.
const LAST_LOOK_PAUSE: SignedDuration = SignedDuration::from_millis(4_000);
/// Minimum gain in the spread 1 − R for another attempt without better quality, as a factor, because
/// spreads differ between models. A larger spread means that the pictures differ more.
const SPREAD_GAIN: f32 = 1.15;
/// Minimum gain in the rank of the best picture for another attempt, as a factor.
const RANK_GAIN: f32 = 1.15;
/// How long a place alone identifies a track; afterwards another person may stand there.
const PLACE_VALID: SignedDuration = SignedDuration::from_millis(600);
/// Longest gap of skipped pictures after which people still count as present.
const SKIP_MOST: SignedDuration = SignedDuration::from_secs(10);
/// Number of consecutive mismatches at one place that belong to another person.
const MISMATCHES_MOST: u32 = 2;
/// Minimum overlap of two boxes for the same face, by place alone.
const PLACE_OVERLAP: f32 = 0.3;
/// How long a track continues after the face was last seen: a person who looks elsewhere for a
/// moment keeps their track.
pub const LOST_AFTER: SignedDuration = SignedDuration::from_secs(2);
/// How long a person without an identification gets no new attempts after they were last seen.
pub const REMEMBERED: SignedDuration = SignedDuration::from_secs(60);
/// Maximum number of remembered tracks.
const DEPARTED_MOST: usize = 32;

impl Follower {
    /// Creates a tracker without tracks. `same` is the minimum similarity of two pictures of one
    /// person within a second: at the same place, and, stricter, at any place. Without it, tracks
    /// are matched by place only.
    pub fn new(same: Option<(Threshold, Threshold)>) -> Self {
        Self {
            tracks: Vec::new(),
            departed: Vec::new(),
            next: 0,
            same,
            looked: None,
            skipped: false,
        }
    }

    /// Returns the tracks.
    pub fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    /// Returns whether any track is unidentified and has attempts left.
    pub fn has_undecided(&self) -> bool {
        self.tracks
            .iter()
            .any(|track| track.employee.is_none() && track.looks < Look::LAST.number())
    }

    /// Records that faces in a picture were not detected, because other work had priority.
    pub fn picture_skipped(&mut self) {
        self.skipped = true;
    }

    /// Begins the detection in a picture. If pictures were skipped because other work had priority,
    /// a short gap does not end any track. If there was no reason to detect faces, because nothing
    /// moved, the gap counts: a person who left a still scene is gone.
    pub fn begin(&mut self, at: Timestamp) {
        let gap = self.looked.map(|before| at.duration_since(before));
        self.looked = Some(at);
        if !std::mem::take(&mut self.skipped) {
            return;
        }
        let Some(gap) = gap.filter(|gap| *gap <= SKIP_MOST) else {
            return;
        };
        for track in &mut self.tracks {
            track.active_at = track.active_at.checked_add(gap).unwrap_or(at).min(at);
        }
    }

    /// Adds the faces of a picture. Each joins the track that it fits best, or begins a new track.
    pub fn see(&mut self, at: Timestamp, sightings: Vec<Sighting>) {
        self.departed
            .retain(|track| at.duration_since(track.last) < REMEMBERED);
        let mut pairs: Vec<(f32, usize, usize)> = Vec::new();
        for (number, sighting) in sightings.iter().enumerate() {
            for (index, track) in self.tracks.iter().enumerate() {
                if let Some(fit) = self.fit(at, track, sighting) {
                    pairs.push((fit, number, index));
                }
            }
        }
        pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut of: Vec<Option<usize>> = vec![None; sightings.len()];
        let mut taken = vec![false; self.tracks.len()];
        for (_, number, index) in pairs {
            if of[number].is_none() && !taken[index] {
                of[number] = Some(index);
                taken[index] = true;
            }
        }
        for (sighting, of) in sightings.into_iter().zip(of) {
            let index = of.unwrap_or_else(|| {
                self.next += 1;
                self.tracks
                    .push(Track::new(TrackId(self.next), at, sighting.bounds));
                self.tracks.len() - 1
            });
            if self.tracks[index].picks.is_empty() {
                self.resume(index, &sighting);
            }
            let alike = self.similarity_excess(&self.tracks[index], &sighting);
            self.tracks[index].add(at, sighting, alike.is_none_or(|over| over >= 0.0));
        }
    }

    /// Ends all tracks, for example if the connection to the camera is lost. Returns those that are
    /// due for a last attempt.
    pub fn end(&mut self) -> Vec<Due> {
        self.looked = None;
        let mut ended = std::mem::take(&mut self.tracks);
        let due = ended
            .iter_mut()
            .filter_map(|track| track.due(track.last, true))
            .collect();
        ended.into_iter().for_each(|track| self.remember(track));
        due
    }

    /// Remembers an ended track if it had attempts but no identification.
    fn remember(&mut self, track: Track) {
        if track.employee.is_some() || track.looks == 0 {
            return;
        }
        if self.departed.len() == DEPARTED_MOST {
            self.departed.remove(0);
        }
        self.departed.push(track);
    }

    /// Continues an ended track if the first face of a new track belongs to the same person.
    fn resume(&mut self, index: usize, sighting: &Sighting) {
        let (Some((_, far)), Some(frame)) = (self.same, &sighting.frame) else {
            return;
        };
        let similarity = |track: &Track| track.best_similarity(&frame.embedding);
        let similarities = self.departed.iter().map(similarity).enumerate();
        let best = similarities
            .filter_map(|(place, alike)| Some((place, alike?)))
            .filter(|(_, alike)| *alike >= far.value())
            .max_by(|a, b| a.1.total_cmp(&b.1));
        let Some((place, _)) = best else {
            return;
        };
        let before = self.departed.remove(place);
        let track = &mut self.tracks[index];
        *track = Track {
            bounds: track.bounds,
            last: track.last,
            active_at: track.active_at,
            mismatches: 0,
            ..before
        };
    }

    /// Returns the tracks that are due for an attempt now. Ends the tracks that are out of sight;
    /// those without an identification may be due for a last time.
    pub fn due(&mut self, at: Timestamp) -> Vec<Due> {
        let due = self
            .tracks
            .iter_mut()
            .filter_map(|track| {
                let over = at.duration_since(track.active_at) >= LOST_AFTER;
                track.due(at, over)
            })
            .collect();
        let over = |track: &mut Track| at.duration_since(track.active_at) >= LOST_AFTER;
        let over: Vec<_> = self.tracks.extract_if(.., over).collect();
        over.into_iter().for_each(|track| self.remember(track));
        due
    }

    /// Records the identified person of a track.
    pub fn assign(&mut self, id: TrackId, employee: EmployeeId) {
        if let Some(track) = self.tracks.iter_mut().find(|track| track.id == id) {
            track.employee = Some(employee);
        }
        self.departed.retain(|track| track.id != id);
    }

    /// Resets the tracks of people who may not be identified anymore, with their pictures. If they
    /// stay in view, they are treated like new arrivals.
    pub fn forget_unless(&mut self, known: impl Fn(EmployeeId) -> bool) {
        for track in &mut self.tracks {
            if track.employee.is_some_and(|employee| !known(employee)) {
                *track = Track {
                    last: track.last,
                    ..Track::new(track.id, track.active_at, track.bounds)
                };
            }
        }
    }

    /// Gives back an attempt that could not be made, so that it is made at the next chance.
    pub fn return_look(&mut self, id: TrackId) {
        let mut all = self.tracks.iter_mut().chain(&mut self.departed);
        if let Some(track) = all.find(|track| track.id == id) {
            track.looks = track.looks.saturating_sub(1);
            track.looked = None;
        }
    }

    /// Returns by how much the similarity of a face to a track exceeds the minimum for the same
    /// person at the same place; `None` if they cannot be compared.
    fn similarity_excess(&self, track: &Track, sighting: &Sighting) -> Option<f32> {
        let (near, _) = self.same?;
        let found = track.best_similarity(&sighting.frame.as_ref()?.embedding)?;
        Some(found - near.value())
    }

    /// Scores how well a face fits a track; `None` if it belongs to another person or place.
    fn fit(&self, at: Timestamp, track: &Track, sighting: &Sighting) -> Option<f32> {
        let overlap = track.bounds.overlap(&sighting.bounds);
        let soon = at.duration_since(track.active_at) <= PLACE_VALID;
        let Some(over) = self.similarity_excess(track, sighting) else {
            return (soon && overlap >= PLACE_OVERLAP).then_some(overlap);
        };
        let stricter = self
            .same
            .map_or(0.0, |(near, far)| far.value() - near.value());
        let enough = if soon && overlap > 0.0 { 0.0 } else { stricter };
        if over >= enough {
            return Some(1.0 + overlap + over);
        }
        // Either the person turns, or the next person in the queue is at the same place.
        let turns = soon && overlap >= CERTAIN_OVERLAP && track.mismatches + 1 < MISMATCHES_MOST;
        turns.then_some(overlap)
    }
}

/// Minimum overlap of two boxes that belong to one face even if the faces differ, as when the
/// person turns: no one else can take that place within a fraction of a second.
const CERTAIN_OVERLAP: f32 = 0.7;

impl Track {
    fn new(id: TrackId, at: Timestamp, bounds: FaceBox) -> Self {
        Self {
            id,
            bounds,
            employee: None,
            last: at,
            active_at: at,
            mismatches: 0,
            picks: Vec::new(),
            usable: 0,
            looks: 0,
            looked: None,
            first_usable: None,
        }
    }

    /// Returns whether the face was in the picture of that moment.
    pub fn seen_at(&self, at: Timestamp) -> bool {
        self.last == at
    }

    /// Returns the similarity of a face to the most similar picture of this track.
    fn best_similarity(&self, embedding: &Embedding) -> Option<f32> {
        self.picks
            .iter()
            .filter_map(|pick| pick.embedding.similarity(embedding))
            .map(Similarity::value)
            .reduce(f32::max)
    }

    /// Adds a face. A face that is not `alike` only updates the place.
    fn add(&mut self, at: Timestamp, sighting: Sighting, alike: bool) {
        (self.last, self.active_at) = (at, at);
        self.bounds = sighting.bounds;
        let Some(frame) = sighting.frame else {
            return;
        };
        if !alike {
            self.mismatches += 1;
            return;
        }
        self.mismatches = 0;
        self.usable += 1;
        self.first_usable.get_or_insert(at);
        self.pick(frame);
    }

    /// Adds a picture. If there are too many, removes one: the worst, if its rank is below half of
    /// the best; otherwise the one without which the others have the lowest R. Pictures that differ
    /// most identify a person best.
    fn pick(&mut self, pick: Frame) {
        self.picks.push(pick);
        if self.picks.len() <= PICKS {
            return;
        }
        let rank = |pick: &Frame| pick.quality.rank();
        let best = self.picks.iter().map(rank).fold(0.0, f32::max);
        let worst = (0..self.picks.len())
            .min_by(|&a, &b| rank(&self.picks[a]).total_cmp(&rank(&self.picks[b])));
        let poor = worst.filter(|&index| rank(&self.picks[index]) < best / 2.0);
        let removed = poor.or_else(|| {
            (0..self.picks.len()).min_by(|&a, &b| {
                self.resultant_without(a)
                    .total_cmp(&self.resultant_without(b))
            })
        });
        if let Some(index) = removed {
            self.picks.remove(index);
        }
    }

    /// Returns R of the picked pictures without one of them.
    fn resultant_without(&self, index: usize) -> f32 {
        let (before, after) = (&self.picks[..index], &self.picks[index + 1..]);
        resultant(before.iter().chain(after))
    }

    /// Returns the picked pictures if an attempt is due: once there are enough pictures, again if
    /// they improved clearly, and at the end of the track.
    fn due(&mut self, at: Timestamp, over: bool) -> Option<Due> {
        if self.employee.is_some() || self.picks.is_empty() {
            return None;
        }
        let look = Look::new(self.looks + 1)?;
        let ranks = self.picks.iter().map(|pick| pick.quality.rank());
        let now = LookState {
            at,
            usable: self.usable,
            rank: ranks.fold(0.0, f32::max),
            resultant: resultant(&self.picks),
        };
        let waited = self
            .first_usable
            .is_some_and(|first| at.duration_since(first) >= FIRST_LOOK_WAIT);
        let ready = match self.looked {
            None => over || waited || self.usable >= FIRST_LOOK_PICTURES,
            Some(then) => {
                let pause = if look == Look::LAST {
                    LAST_LOOK_PAUSE
                } else {
                    NEXT_LOOK_PAUSE
                };
                let later = at.duration_since(then.at) >= pause;
                let better = now.rank >= then.rank * RANK_GAIN
                    || 1.0 - now.resultant > (1.0 - then.resultant) * SPREAD_GAIN;
                let more = now.usable - then.usable;
                better && (later && more >= NEXT_LOOK_PICTURES || over && more > 0)
            }
        };
        if !ready {
            return None;
        }
        self.looks += 1;
        self.looked = Some(now);
        let mut frames = self.picks.clone();
        frames.sort_by(|a, b| b.quality.rank().total_cmp(&a.quality.rank()));
        Some(Due {
            track: self.id,
            at: self.last,
            look,
            frames,
        })
    }
}

/// Returns R of some pictures; 1 if there are none.
fn resultant<'a>(frames: impl IntoIterator<Item = &'a Frame>) -> f32 {
    let embeddings: Vec<Embedding> = frames
        .into_iter()
        .map(|frame| frame.embedding.clone())
        .collect();
    Fused::from_embeddings(&embeddings).map_or(1.0, |fused| fused.resultant.value())
}

/// The people whom a camera saw, each with the last time, from which visits are derived.
#[derive(Debug, Clone, Default)]
pub struct Visits(std::collections::HashMap<EmployeeId, Timestamp>);

impl Visits {
    /// Records that a person was seen. Returns whether that begins a new visit, because they were
    /// not seen for `gap`.
    pub fn seen(&mut self, employee: EmployeeId, at: Timestamp, gap: SignedDuration) -> bool {
        self.0.retain(|_, last| at.duration_since(*last) < gap);
        self.0.insert(employee, at).is_none()
    }

    /// Continues visits that another instance recorded.
    pub fn resume(&mut self, present: &[Presence]) {
        for noted in present {
            let last = self.0.entry(noted.employee).or_insert(noted.last);
            *last = noted.last.max(*last);
        }
    }

    /// Returns the open visits, most recently seen first, at most [`PRESENT_MOST`].
    pub fn present(&self, at: Timestamp, gap: SignedDuration) -> Vec<Presence> {
        let mut present: Vec<_> = self
            .0
            .iter()
            .map(|(&employee, &last)| Presence { employee, last })
            .filter(|noted| at.duration_since(noted.last) < gap)
            .collect();
        present.sort_by_key(|noted| std::cmp::Reverse((noted.last, noted.employee)));
        present.truncate(PRESENT_MOST);
        present
    }
}

/// Maximum number of open visits that are passed on. Older ones are lost to the next instance,
/// which then knows only the punches of these people.
const PRESENT_MOST: usize = 200;

/// Returns the pause after a number of consecutive failures: half a second, doubled each time up to
/// 30 s, then scaled by `jitter` (0..1) to between half and all of it, so that cameras which failed
/// together do not reconnect at the same time.
pub fn back_off(failures: u32, jitter: f64) -> Duration {
    let longest = Duration::from_millis(500 << failures.saturating_sub(1).min(6));
    longest
        .min(Duration::from_secs(30))
        .mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_millisecond(1_800_000_000_000 + milliseconds).unwrap()
    }

    fn bounds(x: f32, width: f32) -> FaceBox {
        FaceBox {
            x,
            y: 100.0,
            width,
            height: width,
        }
    }

    /// Makes an embedding of a person (one axis per person), a little different in each picture.
    fn embedding(person: usize, picture: usize) -> Embedding {
        let mut values = vec![0.0; 16];
        values[person] = 1.0;
        values[8 + picture % 8] = 0.15;
        Embedding::normalize(values).unwrap()
    }

    fn quality() -> Quality {
        Quality {
            width: 100.0,
            yaw: 0.0,
            pitch: 0.0,
            roll: 0.0,
            sharpness: 100.0,
            brightness: 120.0,
            contrast: 40.0,
            inside: 1.0,
            score: 0.9,
        }
    }

    fn sighting(x: f32, embedding: Option<Embedding>) -> Sighting {
        Sighting {
            bounds: bounds(x, 100.0),
            frame: embedding.map(|embedding| Frame {
                embedding,
                quality: quality(),
                liveness: None,
                still: None,
            }),
        }
    }

    fn follower() -> Follower {
        Follower::new(Threshold::new(0.9).zip(Threshold::new(0.95)))
    }

    #[test]
    fn a_walking_person_is_one_track_at_any_speed() {
        let mut follower = follower();
        for picture in 0..10 {
            let x = picture as f32 * 150.0;
            follower.see(
                at(picture * 200),
                vec![sighting(x, Some(embedding(0, picture as usize)))],
            );
        }
        assert_eq!(follower.tracks().len(), 1);
        // Turned to the side, without a usable picture.
        follower.see(at(2_000), vec![sighting(1_360.0, None)]);
        assert_eq!(follower.tracks().len(), 1);
        assert!(follower.tracks()[0].seen_at(at(2_000)));
    }

    #[test]
    fn crossing_people_keep_their_tracks_and_the_next_in_the_queue_gets_a_new_one() {
        let mut follower = follower();
        for picture in 0..10i64 {
            let one = sighting(picture as f32 * 50.0, Some(embedding(0, picture as usize)));
            let two = sighting(
                500.0 - picture as f32 * 50.0,
                Some(embedding(1, picture as usize)),
            );
            follower.see(at(picture * 200), vec![one, two]);
        }
        let ids: Vec<_> = follower.tracks().iter().map(|track| track.id).collect();
        assert_eq!(ids.len(), 2);
        assert!(follower.tracks()[0].bounds.x > follower.tracks()[1].bounds.x);
        // Another person steps to where the first one stood, half overlapping.
        follower.see(at(2_000), vec![sighting(480.0, Some(embedding(2, 0)))]);
        assert_eq!(follower.tracks().len(), 3);
    }

    #[test]
    fn a_track_gets_three_attempts_however_long_it_lasts() {
        let mut follower = follower();
        let mut looks = Vec::new();
        for picture in 0..100i64 {
            let now = at(picture * 200);
            follower.see(
                now,
                vec![sighting(0.0, Some(embedding(0, picture as usize)))],
            );
            for due in follower.due(now) {
                looks.push((picture * 200, due.look.number(), due.frames.len()));
            }
        }
        assert_eq!(looks, [(400, 1, 3), (1_400, 2, 5)], "no improvement since");
        // Sharper at last.
        for picture in 100..200i64 {
            let now = at(picture * 200);
            let mut seen = sighting(0.0, Some(embedding(0, picture as usize)));
            seen.frame.as_mut().unwrap().quality.sharpness = 1_000.0;
            follower.see(now, vec![seen]);
            looks.extend(
                follower
                    .due(now)
                    .iter()
                    .map(|due| (picture * 200, due.look.number(), due.frames.len())),
            );
        }
        assert_eq!(looks.len(), 3, "{looks:?}");
        assert!(!follower.has_undecided());
    }

    #[test]
    fn a_person_who_returns_soon_gets_no_new_attempts() {
        let mut follower = follower();
        let mut looks = Vec::new();
        let mut now = 0i64;
        let mut stay = |follower: &mut Follower, person: usize, for_ms: i64, away_ms: i64| {
            let begin = looks.len();
            let end = now + for_ms;
            while now < end {
                let picture = (now / 200) as usize;
                let seen = sighting(0.0, Some(embedding(person, picture)));
                follower.begin(at(now));
                looks.extend(follower.due(at(now)));
                follower.see(at(now), vec![seen]);
                looks.extend(follower.due(at(now)));
                now += 200;
            }
            while now < end + away_ms {
                follower.begin(at(now));
                looks.extend(follower.due(at(now)));
                follower.see(at(now), Vec::new());
                now += 1_000;
            }
            assert!(looks.iter().all(|due: &Due| due.look.number() <= 2));
            looks.len() - begin
        };
        assert_eq!(
            stay(&mut follower, 0, 20_000, 5_000),
            2,
            "no improvement since"
        );
        for _ in 0..10 {
            // The same face gives no new information.
            assert_eq!(stay(&mut follower, 0, 3_000, 5_000), 0);
        }
        // Another person gets attempts of their own.
        assert_eq!(stay(&mut follower, 1, 3_000, 5_000), 2);
        assert_eq!(stay(&mut follower, 0, 1_000, 61_000), 0);
        assert_eq!(stay(&mut follower, 0, 3_000, 5_000), 2, "long ago");
        // The same holds after the camera was lost.
        assert!(follower.end().is_empty());
        assert_eq!(stay(&mut follower, 0, 3_000, 5_000), 0);
    }

    #[test]
    fn an_identified_person_is_not_remembered_as_a_stranger() {
        let mut follower = follower();
        let pass = |follower: &mut Follower, from: i64| {
            for picture in 0..2 {
                let seen = sighting(0.0, Some(embedding(0, picture as usize)));
                follower.see(at(from + picture * 200), vec![seen]);
            }
            follower.due(at(from + 2_300)).remove(0)
        };
        let due = pass(&mut follower, 0);
        follower.assign(due.track, EmployeeId::new(uuid::Uuid::from_u128(1)));
        let again = pass(&mut follower, 5_000);
        assert_ne!(again.track, due.track);
        // An attempt that could not be made is made when the person returns.
        follower.return_look(again.track);
        let back = pass(&mut follower, 10_000);
        assert_eq!((back.track, back.look), (again.track, Look::FIRST));
    }

    #[test]
    fn a_person_who_passes_quickly_gets_one_attempt_and_the_track_ends() {
        let mut follower = follower();
        follower.see(at(0), vec![sighting(0.0, Some(embedding(0, 0)))]);
        assert!(follower.due(at(200)).is_empty());
        let due = follower.due(at(800));
        assert_eq!((due.len(), due[0].frames.len()), (1, 1));
        assert!(follower.due(at(2_000)).is_empty());
        assert!(follower.tracks().is_empty());
    }

    #[test]
    fn the_next_in_the_queue_is_not_mistaken_for_the_person_before() {
        let mut follower = follower();
        for picture in 0..5 {
            let seen = sighting(0.0, Some(embedding(0, picture as usize)));
            follower.see(at(picture * 200), vec![seen]);
        }
        let first = follower.tracks()[0].id;
        follower.assign(first, EmployeeId::new(uuid::Uuid::from_u128(1)));
        // The next person stands at the same place, blurred at first.
        follower.see(at(1_000), vec![sighting(5.0, None)]);
        for picture in 6..12 {
            let seen = sighting(5.0, Some(embedding(1, picture as usize)));
            follower.see(at(picture * 200), vec![seen]);
        }
        let new = follower.tracks().iter().find(|track| track.id != first);
        let due = follower.clone().due(at(2_200));
        assert!(new.is_some_and(|track| track.employee.is_none()));
        assert!(due[0].frames.iter().all(|frame| {
            let alike = frame.embedding.similarity(&embedding(1, 0));
            alike.unwrap().value() > 0.9
        }));
        // Without a usable picture, a face at the place of a second ago is a new track.
        let mut late = Follower::new(Threshold::new(0.9).zip(Threshold::new(0.95)));
        late.see(at(0), vec![sighting(0.0, Some(embedding(0, 0)))]);
        late.see(at(1_000), vec![sighting(0.0, None)]);
        assert_eq!(late.tracks().len(), 2);
    }

    #[test]
    fn faces_seen_before_a_gap_keep_their_own_time() {
        let mut follower = follower();
        follower.begin(at(0));
        follower.picture_skipped();
        follower.see(at(0), vec![sighting(0.0, Some(embedding(0, 0)))]);
        let due = follower.clone().end();
        assert_eq!((due.len(), due[0].at), (1, at(0)));
        // The next detection is hours later.
        follower.begin(at(14_400_000));
        let due = follower.due(at(14_400_000));
        assert_eq!((due.len(), due[0].at), (1, at(0)));
        assert!(follower.tracks().is_empty());
    }

    #[test]
    fn skipped_pictures_end_no_track() {
        let mut follower = follower();
        follower.begin(at(0));
        follower.picture_skipped();
        follower.see(at(0), vec![sighting(0.0, Some(embedding(0, 0)))]);
        follower.begin(at(8_000));
        let _ = follower.due(at(8_000));
        follower.see(at(8_000), vec![sighting(0.0, Some(embedding(0, 1)))]);
        assert_eq!(follower.tracks().len(), 1);
    }

    /// In a still scene, detections are rare and may be late; that must not extend a track.
    #[test]
    fn a_person_who_left_a_still_scene_is_gone() {
        for pause in [1_000, 1_200, 5_200] {
            let mut follower = follower();
            follower.begin(at(0));
            follower.see(at(0), vec![sighting(0.0, Some(embedding(0, 0)))]);
            for look in 1..=3 {
                follower.begin(at(look * pause));
                let _ = follower.due(at(look * pause));
                follower.see(at(look * pause), Vec::new());
            }
            assert!(
                follower.tracks().is_empty(),
                "{pause} ms between detections"
            );
        }
    }

    #[test]
    fn an_identified_track_is_not_due_and_an_attempt_can_be_returned() {
        let mut follower = follower();
        for picture in 0..3 {
            let seen = sighting(0.0, Some(embedding(0, picture as usize)));
            follower.see(at(picture * 200), vec![seen]);
        }
        let due = follower.due(at(400)).remove(0);
        follower.return_look(due.track);
        let again = follower.due(at(401)).remove(0);
        assert_eq!(again.look, Look::FIRST);
        let employee = EmployeeId::new(uuid::Uuid::from_u128(1));
        follower.assign(again.track, employee);
        for picture in 3..30i64 {
            let seen = sighting(0.0, Some(embedding(0, picture as usize)));
            follower.see(at(picture * 200), vec![seen]);
            assert!(follower.due(at(picture * 200)).is_empty());
        }
        assert_eq!(follower.tracks()[0].employee, Some(employee));
        follower.forget_unless(|one| one == employee);
        assert_eq!(follower.tracks()[0].employee, Some(employee));
        follower.forget_unless(|_| false);
        assert_eq!(follower.tracks()[0].employee, None);
        assert!(
            follower.due(at(5_801)).is_empty(),
            "the old pictures are gone"
        );
        let seen = sighting(0.0, Some(embedding(0, 30)));
        follower.see(at(6_000), vec![seen]);
        let due = follower.due(at(6_800)).remove(0);
        assert_eq!((due.track, due.look), (again.track, Look::FIRST));
        assert_eq!(due.frames.len(), 1);
    }

    #[test]
    fn the_most_different_pictures_are_picked_and_poor_ones_dropped() {
        let mut track = Track::new(TrackId(1), at(0), bounds(0.0, 100.0));
        let frame = |picture: usize, sharpness: f32| Frame {
            embedding: embedding(0, picture),
            quality: Quality {
                sharpness,
                ..quality()
            },
            liveness: None,
            still: None,
        };
        for picture in [0, 0, 0, 0, 0, 1, 2, 3] {
            track.pick(frame(picture, 100.0));
        }
        let kept: Vec<_> = track.picks.iter().map(|pick| &pick.embedding).collect();
        assert_eq!(kept.len(), PICKS);
        for picture in [1, 2, 3] {
            assert!(kept.contains(&&embedding(0, picture)), "{picture}");
        }
        track.pick(frame(4, 1.0));
        assert!(track.picks.iter().all(|pick| pick.quality.sharpness > 1.0));
    }

    #[test]
    fn a_visit_continues_while_the_person_is_seen_and_ends_with_the_gap() {
        let gap = SignedDuration::from_secs(300);
        let who = EmployeeId::new(uuid::Uuid::from_u128(1));
        let mut visits = Visits::default();
        assert!(visits.seen(who, at(0), gap));
        for minute in 1..20 {
            assert!(!visits.seen(who, at(minute * 60_000), gap));
        }
        assert!(visits.seen(who, at(19 * 60_000 + 300_000), gap));
    }

    #[test]
    fn the_next_instance_continues_visits() {
        let gap = SignedDuration::from_secs(300);
        let who = |number| EmployeeId::new(uuid::Uuid::from_u128(number));
        let mut first = Visits::default();
        for number in 0..300 {
            first.seen(who(number), at(number as i64), gap);
        }
        first.seen(who(7), at(200_000), gap);
        let noted = first.present(at(299_999), gap);
        assert_eq!(noted.len(), PRESENT_MOST);
        assert_eq!((noted[0].employee, noted[0].last), (who(7), at(200_000)));
        assert_eq!(noted[1].employee, who(299));
        assert_eq!(first.present(at(400_000), gap).len(), 1);

        let mut next = Visits::default();
        next.seen(who(7), at(210_000), gap);
        next.resume(&noted);
        assert!(
            !next.seen(who(7), at(509_000), gap),
            "its own sighting is newer"
        );
        next.resume(&noted);
        assert!(next.seen(who(7), at(900_000), gap));
    }

    proptest! {
        #[test]
        fn pauses_grow_and_stay_bounded(failures in 0u32..1_000, jitter in 0.0f64..1.0) {
            let pause = back_off(failures, jitter);
            prop_assert!(pause >= Duration::from_millis(250) && pause <= Duration::from_secs(30));
            prop_assert!(back_off(failures + 1, jitter) >= pause);
        }
    }
}
