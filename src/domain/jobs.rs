//! Background jobs: what is done after the request that asked for it was answered, and what
//! becomes of it when it fails or whoever does it dies.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{accounts::Actor, ids::JobId};

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// Adds people from a list.
    Import,
    /// Makes templates of the present model from kept photos.
    Reembed,
}

impl JobKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Import, Self::Reembed];

    /// The word for the kind in the API and the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Import => "import",
            Self::Reembed => "reembed",
        }
    }
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Waits for its time and for somebody to do it.
    Queued,
    /// Somebody does it, or died doing it.
    Running,
    /// Done.
    Done,
    /// Given up.
    Failed,
    /// Ended by somebody before it was done.
    Cancelled,
}

impl JobState {
    /// How a job ends.
    pub const ENDS: [Self; 3] = [Self::Done, Self::Failed, Self::Cancelled];

    /// The word for the state in the API and the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Which jobs somebody can do: those of a kind, and if a payload is named only those that have it.
/// So a job that asks for templates of one model is left to those who run that model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ability {
    /// The kind.
    pub kind: JobKind,
    /// The whole payload.
    pub payload: Option<String>,
}

impl Ability {
    /// Whether a job is one of these.
    pub fn fits(&self, job: &Job) -> bool {
        let payload = self.payload.as_ref();
        self.kind == job.kind && payload.is_none_or(|payload| *payload == job.payload)
    }
}

/// How long a claim holds without a word from whoever has it. Clocks of instances must not differ
/// by more.
pub const LEASE: SignedDuration = SignedDuration::from_secs(15);

/// How often a job is begun before it is given up.
pub const ATTEMPTS_MOST: u32 = 5;

/// The pause after the first attempt that failed; each further one is four times as long.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_secs(5);

/// A job. Its claim is `turn`, which grows with every claim: whoever was paused past the end of
/// their lease has an older one, and changes nothing any more.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Identity.
    pub id: JobId,
    /// What is to be done.
    pub kind: JobKind,
    /// What to do it with, as the kind understands it; empty once the job has ended. It is read
    /// when the job is claimed, and left out everywhere else.
    pub payload: String,
    /// Of the jobs that have not ended, only one has this.
    pub once: Option<String>,
    /// How far it is.
    pub state: JobState,
    /// When it may be claimed: not before this while it waits, the end of the lease while it
    /// runs. `None` once it has ended.
    pub due: Option<Timestamp>,
    /// How often it was claimed; the claim of whoever did so last.
    pub turn: u32,
    /// How often it was begun and not given back since it last got further than ever before.
    pub attempts: u32,
    /// How much of it is done, in steps of the kind; never falls.
    pub done: u64,
    /// How many steps there are; 0 while nobody knows.
    pub total: u64,
    /// What came of it so far, JSON of the kind.
    pub result: Option<String>,
    /// Why the last attempt failed, in words for an admin.
    pub error: Option<String>,
    /// Who asked for it.
    pub created_by: Actor,
    /// When it was queued.
    pub created_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .field("state", &self.state)
            .field("turn", &self.turn)
            .field("attempts", &self.attempts)
            .field("done", &self.done)
            .field("total", &self.total)
            .finish_non_exhaustive()
    }
}

impl Job {
    /// Whether nothing will become of it any more.
    pub fn ended(&self) -> bool {
        match self.state {
            JobState::Queued | JobState::Running => false,
            JobState::Done | JobState::Failed | JobState::Cancelled => true,
        }
    }

    /// Claimed at a moment.
    #[must_use]
    pub fn claimed(self, now: Timestamp) -> Self {
        Self {
            state: JobState::Running,
            due: Some(after(now, LEASE)),
            turn: self.turn.saturating_add(1),
            attempts: self.attempts.saturating_add(1),
            ..self
        }
    }

    /// Further, with a lease from this moment on.
    #[must_use]
    pub fn progressed(self, now: Timestamp) -> Self {
        Self {
            due: Some(after(now, LEASE)),
            ..self
        }
    }

    /// This far. Whoever gets further than anybody before makes the first attempt of the rest:
    /// a long job survives any number of faults as long as it moves.
    #[must_use]
    pub fn advanced(self, done: u64, total: u64, result: Option<String>) -> Self {
        let attempts = match done > self.done {
            true => self.attempts.min(1),
            false => self.attempts,
        };
        let done = done.max(self.done);
        Self {
            attempts,
            done,
            total: total.max(done),
            result,
            ..self
        }
    }

    /// Given back as it is, for anybody to go on at once: this attempt does not count.
    #[must_use]
    pub fn given_back(self, now: Timestamp) -> Self {
        Self {
            state: JobState::Queued,
            due: Some(now),
            attempts: self.attempts.saturating_sub(1),
            ..self
        }
    }

    /// Done.
    #[must_use]
    pub fn finished(self, now: Timestamp) -> Self {
        Self {
            error: None,
            ..self.ending(JobState::Done, now)
        }
    }

    /// Failed: queued again after a pause that grows, or given up after the last attempt.
    #[must_use]
    pub fn failed(self, words: String, now: Timestamp) -> Self {
        if self.attempts >= ATTEMPTS_MOST {
            return self.given_up(words, now);
        }
        let pause = FIRST_PAUSE * 4_i32.pow(self.attempts.saturating_sub(1));
        Self {
            state: JobState::Queued,
            due: Some(after(now, pause)),
            error: Some(words),
            ..self
        }
    }

    /// Given up, because another attempt would fail alike.
    #[must_use]
    pub fn given_up(self, words: String, now: Timestamp) -> Self {
        Self {
            error: Some(words),
            ..self.ending(JobState::Failed, now)
        }
    }

    /// Ended before it was done.
    #[must_use]
    pub fn cancelled(self, now: Timestamp) -> Self {
        Self {
            error: None,
            ..self.ending(JobState::Cancelled, now)
        }
    }

    fn ending(self, state: JobState, now: Timestamp) -> Self {
        Self {
            state,
            due: None,
            once: None,
            payload: String::new(),
            finished_at: Some(now),
            ..self
        }
    }
}

fn after(now: Timestamp, pause: SignedDuration) -> Timestamp {
    now.saturating_add(pause).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn job() -> Job {
        Job {
            id: JobId::new(uuid::Uuid::from_u128(1)),
            kind: JobKind::Import,
            payload: "name,code".to_owned(),
            once: Some("import".to_owned()),
            state: JobState::Queued,
            due: Some(at(0)),
            turn: 0,
            attempts: 0,
            done: 0,
            total: 0,
            result: None,
            error: None,
            created_by: Actor::System,
            created_at: at(0),
            finished_at: None,
        }
    }

    #[test]
    fn every_claim_has_a_later_turn_and_a_lease() {
        let first = job().claimed(at(1));
        assert_eq!((first.turn, first.attempts), (1, 1));
        assert_eq!(first.due, Some(at(1) + LEASE));
        let back = first.given_back(at(2));
        assert_eq!((back.state, back.due), (JobState::Queued, Some(at(2))));
        assert_eq!((back.turn, back.attempts), (1, 0), "it does not count");
        assert_eq!(back.claimed(at(3)).turn, 2);
    }

    #[test]
    fn pauses_grow_until_it_is_given_up() {
        let (mut job, mut pauses) = (job(), Vec::new());
        while !job.ended() {
            job = job.claimed(at(0)).failed("no luck".to_owned(), at(0));
            pauses.extend(job.due.map(|due| due.duration_since(at(0)).as_secs()));
        }
        assert_eq!(pauses, [5, 20, 80, 320]);
        assert_eq!((job.state, job.attempts), (JobState::Failed, ATTEMPTS_MOST));
        assert_eq!(job.error.as_deref(), Some("no luck"));
    }

    #[test]
    fn whoever_gets_further_begins_to_count_anew() {
        let tired = (0..4).fold(job(), |job, _| {
            job.claimed(at(0)).failed("no luck".to_owned(), at(0))
        });
        let tired = tired.claimed(at(0));
        assert_eq!(tired.attempts, 5);
        let further = tired.advanced(3, 7, None);
        assert_eq!((further.attempts, further.done, further.total), (1, 3, 7));
        // Going over the same again is not getting further.
        let again = further.failed(String::new(), at(0)).claimed(at(0));
        for done in [1, 3] {
            let again = again.clone().advanced(done, 2, None);
            assert_eq!((again.attempts, again.done, again.total), (2, 3, 3));
        }
        assert_eq!(again.advanced(4, 7, None).given_back(at(1)).attempts, 0);
    }

    #[test]
    fn jobs_are_left_to_those_who_can_do_them() {
        let ability = |kind, payload: Option<&str>| Ability {
            kind,
            payload: payload.map(str::to_owned),
        };
        assert!(ability(JobKind::Import, None).fits(&job()));
        assert!(ability(JobKind::Import, Some("name,code")).fits(&job()));
        assert!(!ability(JobKind::Import, Some("name")).fits(&job()));
        assert!(!ability(JobKind::Reembed, None).fits(&job()));
    }

    #[test]
    fn nothing_of_the_payload_outlives_the_job() {
        let done = job().claimed(at(1)).finished(at(2));
        assert_eq!(
            (done.payload.as_str(), done.once, done.due),
            ("", None, None)
        );
        assert_eq!(done.finished_at, Some(at(2)));
        let failed = job().claimed(at(1)).given_up("never".to_owned(), at(2));
        assert_eq!(failed.payload, "");
        let cancelled = job().cancelled(at(2));
        assert_eq!(
            (cancelled.state, cancelled.due),
            (JobState::Cancelled, None)
        );
        assert!(cancelled.ended() && cancelled.payload.is_empty());
        assert!(!format!("{:?}", job()).contains("name,code"));
    }
}
