//! Following faces from one picture of a camera to the next, so that one person who passes is
//! one track, and picking the pictures of a track that tell the most together.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{
    biometrics::{Embedding, Fused, Look, Similarity, Threshold},
    cameras::Presence,
    ids::EmployeeId,
    quality::Quality,
    samples::Still,
};

/// A rectangle in pixels of the upright image; may reach beyond it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FaceBox {
    /// Left edge.
    pub x: f32,
    /// Upper edge.
    pub y: f32,
    /// Width.
    pub width: f32,
    /// Height.
    pub height: f32,
}

impl FaceBox {
    /// Width times height, square pixels.
    pub fn area(&self) -> f32 {
        self.width * self.height
    }

    /// Intersection over union, 0..1.
    pub fn overlap(&self, other: &Self) -> f32 {
        let shared = |a: f32, a_size: f32, b: f32, b_size: f32| {
            ((a + a_size).min(b + b_size) - a.max(b)).max(0.0)
        };
        let both = shared(self.x, self.width, other.x, other.width)
            * shared(self.y, self.height, other.y, other.height);
        let either = self.area() + other.area() - both;
        if either > 0.0 { both / either } else { 0.0 }
    }
}

/// A face in one picture.
#[derive(Debug, Clone)]
pub struct Sighting {
    /// Where.
    pub bounds: FaceBox,
    /// What can be compared of it, when it is good enough for that.
    pub frame: Option<Frame>,
}

/// A face in one picture, good enough to be compared.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Its embedding.
    pub embedding: Embedding,
    /// What was measured on it.
    pub quality: Quality,
    /// Probability of a live person, 0..1; `None` without a liveness model.
    pub liveness: Option<f32>,
    /// What it was seen in, when pictures are kept.
    pub still: Option<Still>,
}

/// Names a track among those of one camera since it is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TrackId(u64);

/// One person who passes a camera.
#[derive(Debug, Clone)]
pub struct Track {
    /// Identity.
    pub id: TrackId,
    /// Where the face was last.
    pub bounds: FaceBox,
    /// Who it is, once that is known.
    pub employee: Option<EmployeeId>,
    /// When it was last in a picture.
    last: Timestamp,
    /// The same, moved on by the time in which nobody looked.
    alive: Timestamp,
    /// How many times in a row a face unlike all its pictures was in its place.
    unlike: u32,
    picks: Vec<Frame>,
    /// Pictures good enough to be compared, picked or not.
    usable: u32,
    /// Looks taken.
    looks: u8,
    /// What was known at the last look.
    looked: Option<Known>,
    first_usable: Option<Timestamp>,
}

/// What was known of a track at a look.
#[derive(Debug, Clone, Copy)]
struct Known {
    at: Timestamp,
    /// Usable pictures.
    usable: u32,
    /// Rank of the best picture.
    rank: f32,
    /// R of all that were picked.
    resultant: f32,
}

/// A track whose pictures are to be held against the gallery.
#[derive(Debug, Clone)]
pub struct Due {
    /// Which.
    pub track: TrackId,
    /// When it was last seen: the time that counts.
    pub at: Timestamp,
    /// Which look it is.
    pub look: Look,
    /// What was picked of it, the best first.
    pub frames: Vec<Frame>,
}

/// Follows the faces of one camera.
///
/// Every track is looked at up to [`Look::LAST`] times, each held to its share of the wanted
/// FPIR, so that however long a stranger stays, or how often they come back within
/// [`REMEMBERED`], the rate holds.
#[derive(Debug, Clone)]
pub struct Follower {
    tracks: Vec<Track>,
    /// Those who left and were looked at in vain: when they come back soon they go on with the
    /// looks that they have left.
    gone: Vec<Track>,
    next: u64,
    /// How alike two pictures of one person within a second are at least: at the same place, and
    /// anywhere.
    same: Option<(Threshold, Threshold)>,
    /// When faces were last looked for.
    looked: Option<Timestamp>,
    /// Whether others came first since then.
    blinded: bool,
}

/// How many pictures of a track are kept.
pub const PICKS: usize = 5;
/// How many usable pictures the first look waits for.
const FIRST_LOOK: u32 = 3;
/// How long the first look waits for them.
const FIRST_WAIT: SignedDuration = SignedDuration::from_millis(800);
/// How much later than the one before another look is.
const NEXT_LOOK: SignedDuration = SignedDuration::from_millis(1_000);
/// How many usable pictures more it takes.
const NEXT_PICTURES: u32 = 3;
/// The same before the last one.
const LAST_LOOK: SignedDuration = SignedDuration::from_millis(4_000);
/// How much lower R has to be for another look at pictures of no better quality: they differ more.
const MORE_DIFFERENT: f32 = 0.001;
/// How much better the best picture has to be, as a factor of its rank.
const BETTER: f32 = 1.15;
/// How long the place alone tells who somebody is; after that another one may stand there.
const PLACE_TELLS: SignedDuration = SignedDuration::from_millis(600);
/// How long nobody may have looked for those who were there to be there still.
const BLIND_MOST: SignedDuration = SignedDuration::from_secs(10);
/// How many faces in a row at one place and unlike the track's are somebody else's.
const UNLIKE_MOST: u32 = 2;
/// How much two pictures overlap at least that are of one face by place alone.
const PLACE: f32 = 0.3;
/// How long after it was last seen a face is still followed: somebody who looks away for a
/// moment is no new person.
pub const LOST_AFTER: SignedDuration = SignedDuration::from_secs(2);
/// How long after they were last seen whoever was looked at in vain gets no new looks.
pub const REMEMBERED: SignedDuration = SignedDuration::from_secs(60);
/// How many of them are remembered.
const GONE_MOST: usize = 32;

impl Follower {
    /// Without tracks. Two pictures of one person within a second are at least as alike as the
    /// first of `same` at one place, and as the second, stricter one anywhere; without it only the
    /// place tells.
    pub fn new(same: Option<(Threshold, Threshold)>) -> Self {
        Self {
            tracks: Vec::new(),
            gone: Vec::new(),
            next: 0,
            same,
            looked: None,
            blinded: false,
        }
    }

    /// The tracks.
    pub fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    /// Whether somebody is followed whom nobody knows yet.
    pub fn curious(&self) -> bool {
        self.tracks
            .iter()
            .any(|track| track.employee.is_none() && track.looks < Look::LAST.number())
    }

    /// Notes that a picture was to be looked at and was not, because others came first.
    pub fn blinded(&mut self) {
        self.blinded = true;
    }

    /// Begins a look. Time in which nobody looked, because others came first, makes nobody leave
    /// as long as it is short. Time in which there was no reason to look does: whoever left a
    /// scene in which nothing stirs is gone.
    pub fn begin(&mut self, at: Timestamp) {
        let blind = self.looked.map(|before| at.duration_since(before));
        self.looked = Some(at);
        if !std::mem::take(&mut self.blinded) {
            return;
        }
        let Some(blind) = blind.filter(|blind| *blind <= BLIND_MOST) else {
            return;
        };
        for track in &mut self.tracks {
            track.alive = track.alive.checked_add(blind).unwrap_or(at).min(at);
        }
    }

    /// Takes in the faces of a picture. Each goes to the track it fits best, or begins one.
    pub fn see(&mut self, at: Timestamp, sightings: Vec<Sighting>) {
        self.gone
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
            let alike = self.alike(&self.tracks[index], &sighting);
            self.tracks[index].add(at, sighting, alike.is_none_or(|over| over >= 0.0));
        }
    }

    /// Ends all tracks, as when the camera is lost; those that something is still to be made of.
    pub fn end(&mut self) -> Vec<Due> {
        self.looked = None;
        let mut ended = std::mem::take(&mut self.tracks);
        let due = ended
            .iter_mut()
            .filter_map(|track| track.due(track.last, true))
            .collect();
        ended.into_iter().for_each(|track| self.leave(track));
        due
    }

    /// Remembers a track that is over, if it was looked at in vain.
    fn leave(&mut self, track: Track) {
        if track.employee.is_some() || track.looks == 0 {
            return;
        }
        if self.gone.len() == GONE_MOST {
            self.gone.remove(0);
        }
        self.gone.push(track);
    }

    /// Goes on with somebody's track that was over, when a face at the beginning of another one
    /// is theirs.
    fn resume(&mut self, index: usize, sighting: &Sighting) {
        let (Some((_, far)), Some(frame)) = (self.same, &sighting.frame) else {
            return;
        };
        let likeness = |track: &Track| track.likeness(&frame.embedding);
        let alike = self.gone.iter().map(likeness).enumerate();
        let best = alike
            .filter_map(|(place, alike)| Some((place, alike?)))
            .filter(|(_, alike)| *alike >= far.value())
            .max_by(|a, b| a.1.total_cmp(&b.1));
        let Some((place, _)) = best else {
            return;
        };
        let before = self.gone.remove(place);
        let track = &mut self.tracks[index];
        *track = Track {
            bounds: track.bounds,
            last: track.last,
            alive: track.alive,
            unlike: 0,
            ..before
        };
    }

    /// The tracks that are to be held against the gallery now. Those that were lost from sight
    /// are given for a last time, if nothing was made of them yet, and are over.
    pub fn due(&mut self, at: Timestamp) -> Vec<Due> {
        let due = self
            .tracks
            .iter_mut()
            .filter_map(|track| {
                let over = at.duration_since(track.alive) >= LOST_AFTER;
                track.due(at, over)
            })
            .collect();
        let over = |track: &mut Track| at.duration_since(track.alive) >= LOST_AFTER;
        let over: Vec<_> = self.tracks.extract_if(.., over).collect();
        over.into_iter().for_each(|track| self.leave(track));
        due
    }

    /// Notes who a track is of.
    pub fn known(&mut self, id: TrackId, employee: EmployeeId) {
        if let Some(track) = self.tracks.iter_mut().find(|track| track.id == id) {
            track.employee = Some(employee);
        }
        self.gone.retain(|track| track.id != id);
    }

    /// Forgets those whom nobody may know any more, and what was picked of them: who stays in
    /// view is looked at as if they had just come.
    pub fn forget_unless(&mut self, known: impl Fn(EmployeeId) -> bool) {
        for track in &mut self.tracks {
            if track.employee.is_some_and(|employee| !known(employee)) {
                *track = Track {
                    last: track.last,
                    ..Track::new(track.id, track.alive, track.bounds)
                };
            }
        }
    }

    /// Takes a look back that could not be made, so that it is made at the next chance.
    pub fn not_looked(&mut self, id: TrackId) {
        let mut all = self.tracks.iter_mut().chain(&mut self.gone);
        if let Some(track) = all.find(|track| track.id == id) {
            track.looks = track.looks.saturating_sub(1);
            track.looked = None;
        }
    }

    /// How much more alike a face is to a track's pictures than those of one person at one place
    /// are at least; `None` when that cannot be told.
    fn alike(&self, track: &Track, sighting: &Sighting) -> Option<f32> {
        let (near, _) = self.same?;
        let found = track.likeness(&sighting.frame.as_ref()?.embedding)?;
        Some(found - near.value())
    }

    /// How well a face fits a track; `None` when it is another person's, or somewhere else.
    fn fit(&self, at: Timestamp, track: &Track, sighting: &Sighting) -> Option<f32> {
        let overlap = track.bounds.overlap(&sighting.bounds);
        let soon = at.duration_since(track.alive) <= PLACE_TELLS;
        let Some(over) = self.alike(track, sighting) else {
            return (soon && overlap >= PLACE).then_some(overlap);
        };
        let stricter = self
            .same
            .map_or(0.0, |(near, far)| far.value() - near.value());
        let enough = if soon && overlap > 0.0 { 0.0 } else { stricter };
        if over >= enough {
            return Some(1.0 + overlap + over);
        }
        // Somebody turns; or another face is at the same place, the next in the queue.
        let turns = soon && overlap >= SURELY && track.unlike + 1 < UNLIKE_MOST;
        turns.then_some(overlap)
    }
}

/// How much two pictures overlap that are of one face even if they are hardly alike, as when
/// somebody turns: nobody else can be there within a fraction of a second.
const SURELY: f32 = 0.7;

impl Track {
    fn new(id: TrackId, at: Timestamp, bounds: FaceBox) -> Self {
        Self {
            id,
            bounds,
            employee: None,
            last: at,
            alive: at,
            unlike: 0,
            picks: Vec::new(),
            usable: 0,
            looks: 0,
            looked: None,
            first_usable: None,
        }
    }

    /// Whether it was in the picture of that moment.
    pub fn seen_at(&self, at: Timestamp) -> bool {
        self.last == at
    }

    /// How alike a face is to the most similar picture of this track.
    fn likeness(&self, embedding: &Embedding) -> Option<f32> {
        self.picks
            .iter()
            .filter_map(|pick| pick.embedding.similarity(embedding))
            .map(Similarity::value)
            .reduce(f32::max)
    }

    /// Takes in a face; one that is not `alike` tells only where somebody is.
    fn add(&mut self, at: Timestamp, sighting: Sighting, alike: bool) {
        (self.last, self.alive) = (at, at);
        self.bounds = sighting.bounds;
        let Some(frame) = sighting.frame else {
            return;
        };
        if !alike {
            self.unlike += 1;
            return;
        }
        self.unlike = 0;
        self.usable += 1;
        self.first_usable.get_or_insert(at);
        self.pick(frame);
    }

    /// Keeps the pictures that differ most from each other, which tell most of who it is (their
    /// mean has the lowest R), among those that are half as good as the best or better.
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
        let leave = poor.or_else(|| {
            (0..self.picks.len()).min_by(|&a, &b| self.without(a).total_cmp(&self.without(b)))
        });
        if let Some(index) = leave {
            self.picks.remove(index);
        }
    }

    /// R of the pictures without one of them.
    fn without(&self, index: usize) -> f32 {
        let (before, after) = (&self.picks[..index], &self.picks[index + 1..]);
        resultant(before.iter().chain(after))
    }

    /// What was picked, when it is to be held against the gallery: as soon as there is enough,
    /// again when it got clearly better, and before it is over.
    fn due(&mut self, at: Timestamp, over: bool) -> Option<Due> {
        if self.employee.is_some() || self.picks.is_empty() {
            return None;
        }
        let look = Look::new(self.looks + 1)?;
        let ranks = self.picks.iter().map(|pick| pick.quality.rank());
        let now = Known {
            at,
            usable: self.usable,
            rank: ranks.fold(0.0, f32::max),
            resultant: resultant(&self.picks),
        };
        let waited = self
            .first_usable
            .is_some_and(|first| at.duration_since(first) >= FIRST_WAIT);
        let ready = match self.looked {
            None => over || waited || self.usable >= FIRST_LOOK,
            Some(then) => {
                let pause = if look == Look::LAST {
                    LAST_LOOK
                } else {
                    NEXT_LOOK
                };
                let later = at.duration_since(then.at) >= pause;
                let better = now.rank >= then.rank * BETTER
                    || now.resultant <= then.resultant - MORE_DIFFERENT;
                let more = now.usable - then.usable;
                better && (later && more >= NEXT_PICTURES || over && more > 0)
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

/// R of some pictures; 1 of none.
fn resultant<'a>(frames: impl IntoIterator<Item = &'a Frame>) -> f32 {
    let embeddings: Vec<Embedding> = frames
        .into_iter()
        .map(|frame| frame.embedding.clone())
        .collect();
    Fused::of(&embeddings).map_or(1.0, |fused| fused.resultant.value())
}

/// Who was seen by a camera, and when last: what a visit is told by.
#[derive(Debug, Clone, Default)]
pub struct Visits(std::collections::HashMap<EmployeeId, Timestamp>);

impl Visits {
    /// Notes that somebody is there; whether that is a new visit, because they were not there
    /// for so long.
    pub fn seen(&mut self, employee: EmployeeId, at: Timestamp, gap: SignedDuration) -> bool {
        self.0.retain(|_, last| at.duration_since(*last) < gap);
        self.0.insert(employee, at).is_none()
    }

    /// Goes on with visits that somebody else noted.
    pub fn resume(&mut self, present: &[Presence]) {
        for noted in present {
            let last = self.0.entry(noted.employee).or_insert(noted.last);
            *last = noted.last.max(*last);
        }
    }

    /// Those whose visit lasts, the last seen first, [`PRESENT_MOST`] at most.
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

/// How many visits are noted at most. Of whom a camera has not seen for so long, their punch is
/// all that there is to know.
const PRESENT_MOST: usize = 200;

/// How long until another try after so many that failed in a row: doubled each time from half a
/// second up to 30 s, and then spread by `jitter` (0..1) between half of that and all of it, so
/// that cameras which died together do not come back together.
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

    /// Of a person, told by an axis, a little different in each picture.
    fn embedding(person: usize, picture: usize) -> Embedding {
        let mut values = vec![0.0; 16];
        values[person] = 1.0;
        values[8 + picture % 8] = 0.15;
        Embedding::normalise(values).unwrap()
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
    fn somebody_who_walks_is_one_track_however_fast() {
        let mut follower = follower();
        for picture in 0..10 {
            let x = picture as f32 * 150.0;
            follower.see(
                at(picture * 200),
                vec![sighting(x, Some(embedding(0, picture as usize)))],
            );
        }
        assert_eq!(follower.tracks().len(), 1);
        // Turned away, seen no better than that somebody is there.
        follower.see(at(2_000), vec![sighting(1_360.0, None)]);
        assert_eq!(follower.tracks().len(), 1);
        assert!(follower.tracks()[0].seen_at(at(2_000)));
    }

    #[test]
    fn people_who_cross_stay_who_they_are_and_the_next_in_the_queue_is_new() {
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
        // Somebody else comes to stand half where the first one stood.
        follower.see(at(2_000), vec![sighting(480.0, Some(embedding(2, 0)))]);
        assert_eq!(follower.tracks().len(), 3);
    }

    #[test]
    fn a_track_is_looked_at_three_times_at_most_however_long_it_lasts() {
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
        assert_eq!(looks, [(400, 1, 3), (1_400, 2, 5)], "no better since");
        // Closer at last.
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
        assert!(!follower.curious());
    }

    #[test]
    fn whoever_comes_back_soon_has_no_new_looks() {
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
        assert_eq!(stay(&mut follower, 0, 20_000, 5_000), 2, "no better since");
        for _ in 0..10 {
            // The same face: nothing more is to be learned of it.
            assert_eq!(stay(&mut follower, 0, 3_000, 5_000), 0);
        }
        // Somebody else is somebody else.
        assert_eq!(stay(&mut follower, 1, 3_000, 5_000), 2);
        assert_eq!(stay(&mut follower, 0, 1_000, 61_000), 0);
        assert_eq!(stay(&mut follower, 0, 3_000, 5_000), 2, "long ago");
        // When the camera is lost it is the same.
        assert!(follower.end().is_empty());
        assert_eq!(stay(&mut follower, 0, 3_000, 5_000), 0);
    }

    #[test]
    fn whoever_is_known_at_last_is_not_remembered_as_a_stranger() {
        let mut follower = follower();
        let pass = |follower: &mut Follower, from: i64| {
            for picture in 0..2 {
                let seen = sighting(0.0, Some(embedding(0, picture as usize)));
                follower.see(at(from + picture * 200), vec![seen]);
            }
            follower.due(at(from + 2_300)).remove(0)
        };
        let due = pass(&mut follower, 0);
        follower.known(due.track, EmployeeId::new(uuid::Uuid::from_u128(1)));
        let again = pass(&mut follower, 5_000);
        assert_ne!(again.track, due.track);
        // A look that could not be made is made when they come back.
        follower.not_looked(again.track);
        let back = pass(&mut follower, 10_000);
        assert_eq!((back.track, back.look), (again.track, Look::FIRST));
    }

    #[test]
    fn whoever_passes_quickly_is_looked_at_once_gone_and_forgotten_then() {
        let mut follower = follower();
        follower.see(at(0), vec![sighting(0.0, Some(embedding(0, 0)))]);
        assert!(follower.due(at(200)).is_empty());
        let due = follower.due(at(800));
        assert_eq!((due.len(), due[0].frames.len()), (1, 1));
        assert!(follower.due(at(2_000)).is_empty());
        assert!(follower.tracks().is_empty());
    }

    #[test]
    fn the_next_in_the_queue_is_not_taken_for_the_one_before() {
        let mut follower = follower();
        for picture in 0..5 {
            let seen = sighting(0.0, Some(embedding(0, picture as usize)));
            follower.see(at(picture * 200), vec![seen]);
        }
        let first = follower.tracks()[0].id;
        follower.known(first, EmployeeId::new(uuid::Uuid::from_u128(1)));
        // At the same place, blurred at first.
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
        // Somebody comes to where the first one stood a second ago, and cannot be seen well.
        let mut late = Follower::new(Threshold::new(0.9).zip(Threshold::new(0.95)));
        late.see(at(0), vec![sighting(0.0, Some(embedding(0, 0)))]);
        late.see(at(1_000), vec![sighting(0.0, None)]);
        assert_eq!(late.tracks().len(), 2);
    }

    #[test]
    fn what_was_seen_before_the_camera_was_lost_counts_at_its_own_time() {
        let mut follower = follower();
        follower.begin(at(0));
        follower.blinded();
        follower.see(at(0), vec![sighting(0.0, Some(embedding(0, 0)))]);
        let due = follower.clone().end();
        assert_eq!((due.len(), due[0].at), (1, at(0)));
        // Nobody looked for hours.
        follower.begin(at(14_400_000));
        let due = follower.due(at(14_400_000));
        assert_eq!((due.len(), due[0].at), (1, at(0)));
        assert!(follower.tracks().is_empty());
    }

    #[test]
    fn nobody_leaves_while_others_are_looked_at_first() {
        let mut follower = follower();
        follower.begin(at(0));
        follower.blinded();
        follower.see(at(0), vec![sighting(0.0, Some(embedding(0, 0)))]);
        follower.begin(at(8_000));
        let _ = follower.due(at(8_000));
        follower.see(at(8_000), vec![sighting(0.0, Some(embedding(0, 1)))]);
        assert_eq!(follower.tracks().len(), 1);
    }

    /// Where nothing stirs looks are rare, and late by a picture: that is no reason to stay.
    #[test]
    fn whoever_left_a_still_scene_is_gone() {
        for pause in [1_000, 1_200, 5_200] {
            let mut follower = follower();
            follower.begin(at(0));
            follower.see(at(0), vec![sighting(0.0, Some(embedding(0, 0)))]);
            for look in 1..=3 {
                follower.begin(at(look * pause));
                let _ = follower.due(at(look * pause));
                follower.see(at(look * pause), Vec::new());
            }
            assert!(follower.tracks().is_empty(), "{pause} ms between looks");
        }
    }

    #[test]
    fn whoever_is_known_is_asked_for_no_more_and_a_look_can_be_given_back() {
        let mut follower = follower();
        for picture in 0..3 {
            let seen = sighting(0.0, Some(embedding(0, picture as usize)));
            follower.see(at(picture * 200), vec![seen]);
        }
        let due = follower.due(at(400)).remove(0);
        follower.not_looked(due.track);
        let again = follower.due(at(401)).remove(0);
        assert_eq!(again.look, Look::FIRST);
        let employee = EmployeeId::new(uuid::Uuid::from_u128(1));
        follower.known(again.track, employee);
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
        assert!(follower.due(at(5_801)).is_empty(), "of old pictures");
        let seen = sighting(0.0, Some(embedding(0, 30)));
        follower.see(at(6_000), vec![seen]);
        let due = follower.due(at(6_800)).remove(0);
        assert_eq!((due.track, due.look), (again.track, Look::FIRST));
        assert_eq!(due.frames.len(), 1);
    }

    #[test]
    fn the_pictures_that_differ_most_are_kept_and_poor_ones_left() {
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
    fn a_visit_goes_on_while_somebody_is_seen_and_ends_with_the_gap() {
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
    fn visits_are_gone_on_with_by_whoever_watches_next() {
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
            "its own word is newer"
        );
        next.resume(&noted);
        assert!(next.seen(who(7), at(900_000), gap));
    }

    proptest! {
        #[test]
        fn overlap_is_a_share_and_knows_no_first_and_second(
            a in (0f32..500.0, 1f32..300.0), b in (0f32..500.0, 1f32..300.0),
        ) {
            let (a, b) = (bounds(a.0, a.1), bounds(b.0, b.1));
            let overlap = a.overlap(&b);
            // Edges are sums of numbers of very different size.
            prop_assert!((0.0..=1.001).contains(&overlap));
            prop_assert!((overlap - b.overlap(&a)).abs() < 1e-3);
            prop_assert!((a.overlap(&a) - 1.0).abs() < 1e-3);
        }

        #[test]
        fn pauses_grow_and_stay_bounded(failures in 0u32..1_000, jitter in 0.0f64..1.0) {
            let pause = back_off(failures, jitter);
            prop_assert!(pause >= Duration::from_millis(250) && pause <= Duration::from_secs(30));
            prop_assert!(back_off(failures + 1, jitter) >= pause);
        }
    }
}
