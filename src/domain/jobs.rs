//! Background jobs: work that goes on after the request that queued it was answered, and what
//! becomes of it when an attempt fails or its worker crashes.

use std::{borrow::Cow, fmt};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    accounts::Actor,
    ids::JobId,
    record::{About, Damaged, Index, Keys, Kind, Record},
    words::words,
};

/// The name of a kind of jobs, in the API and in the store. A store may hold jobs of kinds that
/// this program does not know: it lists them and leaves them to instances that do.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobKind(Cow<'static, str>);

impl JobKind {
    /// Names a kind.
    pub const fn new(name: &'static str) -> Self {
        Self(Cow::Borrowed(name))
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

words! {
    /// The state of a job.
    JobState {
        /// Waits until it is due and a worker claims it.
        Queued = "queued",
        /// A worker runs it, or crashed while it did.
        Running = "running",
        /// Done.
        Done = "done",
        /// Given up.
        Failed = "failed",
        /// Canceled before it was done.
        Cancelled = "cancelled",
    }
}

impl JobState {
    /// The states in which a job has ended.
    pub const ENDS: [Self; 3] = [Self::Done, Self::Failed, Self::Cancelled];
}

/// The jobs that a worker can run: those of a kind and, if a payload is given, only those with
/// exactly this payload. A job for one model is thus left to the instances that run that model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ability {
    /// The kind.
    pub kind: JobKind,
    /// The whole payload.
    pub payload: Option<String>,
}

impl Ability {
    /// Returns whether the worker can run the job.
    pub fn fits(&self, job: &Job) -> bool {
        let payload = self.payload.as_ref();
        self.kind == job.kind && payload.is_none_or(|payload| *payload == job.payload)
    }
}

/// How long a claim is valid unless its worker extends it. Clocks of instances must not differ by
/// more.
pub const LEASE: SignedDuration = SignedDuration::from_secs(15);

/// How many attempts without progress a job has before it is given up.
pub const ATTEMPTS_MOST: u32 = 5;

/// The pause after the first failed attempt; each further pause is four times as long.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_secs(5);

/// A job. Every claim increases `claims`, and a worker changes the job only while this number is
/// its own. A worker that was paused past the end of its lease therefore changes nothing.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// The ID.
    pub id: JobId,
    /// The kind.
    pub kind: JobKind,
    /// The input, in a format of the kind; empty after the job has ended. It is read when the job
    /// is claimed, and omitted everywhere else.
    pub payload: String,
    /// A unique name among the jobs that have not ended, for a job that must not run twice at the
    /// same time.
    pub once: Option<String>,
    /// The state.
    pub state: JobState,
    /// When it may be claimed: while it is running, this is the end of the lease. `None` after it
    /// has ended.
    pub due: Option<Timestamp>,
    /// How often it was claimed.
    pub claims: u32,
    /// How many attempts were made since the last progress, without those that were given back.
    pub attempts: u32,
    /// How many steps of the kind are done; never decreases.
    pub done: u64,
    /// How many steps there are; 0 while that is unknown.
    pub total: u64,
    /// The result so far, JSON of the kind.
    pub result: Option<String>,
    /// Why the last attempt failed, for an admin.
    pub error: Option<String>,
    /// Who queued it.
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
            .field("claims", &self.claims)
            .field("attempts", &self.attempts)
            .field("done", &self.done)
            .field("total", &self.total)
            .finish_non_exhaustive()
    }
}

impl Job {
    /// Returns whether the job has ended.
    pub fn ended(&self) -> bool {
        match self.state {
            JobState::Queued | JobState::Running => false,
            JobState::Done | JobState::Failed | JobState::Cancelled => true,
        }
    }

    /// Returns the job as a worker claims it.
    #[must_use]
    pub fn claimed(self, now: Timestamp) -> Self {
        Self {
            state: JobState::Running,
            due: Some(after(now, LEASE)),
            claims: self.claims.saturating_add(1),
            attempts: self.attempts.saturating_add(1),
            ..self
        }
    }

    /// Returns the job with a lease that begins now.
    #[must_use]
    pub fn extended(self, now: Timestamp) -> Self {
        Self {
            due: Some(after(now, LEASE)),
            ..self
        }
    }

    /// Returns the job with its progress. More steps than ever before make this the first attempt
    /// of the rest, so that a long job survives any number of faults while it moves.
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

    /// Returns the job as a worker that stops gives it back: due at once, without counting this
    /// attempt.
    #[must_use]
    pub fn given_back(self, now: Timestamp) -> Self {
        Self {
            state: JobState::Queued,
            due: Some(now),
            attempts: self.attempts.saturating_sub(1),
            ..self
        }
    }

    /// Returns the job as it is when it is done.
    #[must_use]
    pub fn finished(self, now: Timestamp) -> Self {
        Self {
            error: None,
            ..self.ending(JobState::Done, now)
        }
    }

    /// Returns the job after a failed attempt: queued again with a growing pause, or failed after
    /// the last attempt.
    #[must_use]
    pub fn failed(self, error: String, now: Timestamp) -> Self {
        if self.attempts >= ATTEMPTS_MOST {
            return self.given_up(error, now);
        }
        let pause = FIRST_PAUSE * 4_i32.pow(self.attempts.saturating_sub(1));
        Self {
            state: JobState::Queued,
            due: Some(after(now, pause)),
            error: Some(error),
            ..self
        }
    }

    /// Returns the job given up, because every attempt would fail.
    #[must_use]
    pub fn given_up(self, error: String, now: Timestamp) -> Self {
        Self {
            error: Some(error),
            ..self.ending(JobState::Failed, now)
        }
    }

    /// Returns the job canceled.
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

impl Job {
    /// The value of `once`, of jobs that have not ended.
    pub const ONCE: Index = Index::unique("once");
    /// The kind and the time from which the job may be claimed, of jobs that have not ended.
    pub const DUE: Index = Index::ordered("due");
    /// The end, of jobs that have ended.
    pub const BY_END: Index = Index::ordered("by_end");
}

/// A job is about no employee: its payload is emptied when it ends. The result of an import may
/// quote names until retention deletes the job.
impl Record for Job {
    const KIND: &'static Kind =
        &Kind::transient("jobs", "job", &[Self::ONCE, Self::DUE, Self::BY_END]).aging(Self::BY_END);

    type Id = JobId;

    fn id(&self) -> JobId {
        self.id
    }

    fn keys(&self, keys: &mut Keys) {
        if let Some(once) = &self.once {
            keys.add(Self::ONCE, (once.as_str(),));
        }
        if let Some(due) = self.due {
            keys.add(Self::DUE, (self.kind.as_str(), due));
        }
        if let Some(end) = self.finished_at {
            keys.add(Self::BY_END, (end,));
        }
    }

    fn about(&self) -> About {
        About::NoEmployee
    }

    fn take_blob(&mut self) -> Option<Vec<u8>> {
        Some(std::mem::take(&mut self.payload).into_bytes())
    }

    fn put_blob(&mut self, blob: Vec<u8>) -> Result<(), Damaged> {
        let payload = String::from_utf8(blob);
        self.payload = payload.map_err(|_| Damaged("the payload of a job".to_owned()))?;
        Ok(())
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
            kind: JobKind::new("import"),
            payload: "name,code".to_owned(),
            once: Some("import".to_owned()),
            state: JobState::Queued,
            due: Some(at(0)),
            claims: 0,
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
    fn every_claim_is_counted_and_has_a_lease() {
        let first = job().claimed(at(1));
        assert_eq!((first.claims, first.attempts), (1, 1));
        assert_eq!(first.due, Some(at(1) + LEASE));
        let back = first.given_back(at(2));
        assert_eq!((back.state, back.due), (JobState::Queued, Some(at(2))));
        assert_eq!((back.claims, back.attempts), (1, 0), "it does not count");
        assert_eq!(back.claimed(at(3)).claims, 2);
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
    fn progress_makes_the_attempt_the_first_of_the_rest() {
        let tired = (0..4).fold(job(), |job, _| {
            job.claimed(at(0)).failed("no luck".to_owned(), at(0))
        });
        let tired = tired.claimed(at(0));
        assert_eq!(tired.attempts, 5);
        let further = tired.advanced(3, 7, None);
        assert_eq!((further.attempts, further.done, further.total), (1, 3, 7));
        // Repeating steps is not progress.
        let again = further.failed(String::new(), at(0)).claimed(at(0));
        for done in [1, 3] {
            let again = again.clone().advanced(done, 2, None);
            assert_eq!((again.attempts, again.done, again.total), (2, 3, 3));
        }
        assert_eq!(again.advanced(4, 7, None).given_back(at(1)).attempts, 0);
    }

    #[test]
    fn jobs_are_left_to_workers_that_can_run_them() {
        let ability = |kind, payload: Option<&str>| Ability {
            kind: JobKind::new(kind),
            payload: payload.map(str::to_owned),
        };
        assert!(ability("import", None).fits(&job()));
        assert!(ability("import", Some("name,code")).fits(&job()));
        assert!(!ability("import", Some("name")).fits(&job()));
        assert!(!ability("reembed", None).fits(&job()));
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
