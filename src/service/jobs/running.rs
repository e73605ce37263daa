//! Doing a job: claiming it, keeping the claim, telling how far it is, ending it.

use std::{pin::pin, sync::Arc, time::Duration};

use serde::Serialize;
use tokio::{sync::Mutex, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{ended, import, reembed};
use crate::{
    clock::Clock,
    domain::jobs::{ATTEMPTS_MOST, Ability, Job, JobKind, LEASE},
    ports::{StoreError, Stores},
    service::{
        employees::Employees,
        enrollment::Enrolling,
        feed::{Feed, News},
    },
};

/// Word of progress goes to the store no more often than this.
const TOLD_EVERY: Duration = Duration::from_millis(500);

/// The end of a job is tried to be written so often, so long apart. After that the lease runs
/// out, and somebody does what is left again.
const END_TRIES: u32 = 5;
const END_PAUSE: Duration = Duration::from_secs(1);

/// Why a job was left before its end.
#[derive(Debug)]
pub(super) enum Left {
    /// Somebody else has it now: nothing may be written of it.
    Lost,
    /// The service stops.
    Stopping,
    /// Another attempt may do better; the words are for an admin.
    Again(String),
    /// Every attempt would fail alike; the words are for an admin.
    Never(String),
}

impl From<StoreError> for Left {
    /// The words of stores may be long, and are in the log.
    fn from(cause: StoreError) -> Self {
        warn!(%cause, "a job met a store that failed");
        Self::Again(match cause {
            StoreError::Unavailable(_) => "the store did not answer".to_owned(),
            StoreError::Refused(words) => format!("the store refuses: {words}"),
            StoreError::Conflict => "others changed the same at the same time".to_owned(),
            StoreError::Corrupt(_) => "the store holds a damaged record: see the log".to_owned(),
        })
    }
}

/// A job under way, under its claim.
pub(super) struct Turn<'a> {
    runner: &'a Runner,
    /// Cancelled when the service stops, and when the claim is lost.
    stop: CancellationToken,
    /// As it is; in the store it may be a little behind.
    job: Mutex<(Job, Instant)>,
}

impl Turn<'_> {
    /// The job as it is now.
    pub async fn job(&self) -> Job {
        self.job.lock().await.0.clone()
    }

    /// Takes word of progress; an error when the job is to be left.
    pub async fn tell(&self, done: u64, total: u64, result: &impl Serialize) -> Result<(), Left> {
        let mut held = self.job.lock().await;
        let (job, told) = &mut *held;
        *job = job
            .clone()
            .advanced(done, total, serde_json::to_string(result).ok());
        if self.stop.is_cancelled() {
            return Err(Left::Stopping);
        }
        if told.elapsed() >= TOLD_EVERY {
            self.runner.further(job).await?;
            *told = Instant::now();
        }
        Ok(())
    }

    /// Cancelled when the job is to be left: for steps that take long.
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Extends the lease while the work goes on; ends when the claim is lost.
    async fn keep(&self) {
        let third = LEASE.unsigned_abs() / 3;
        loop {
            tokio::time::sleep(third).await;
            let mut held = self.job.lock().await;
            match self.runner.further(&mut held.0).await {
                Err(Left::Lost) => return,
                // Once the store is back it says whether the claim holds.
                Ok(()) | Err(Left::Again(_) | Left::Never(_) | Left::Stopping) => {}
            }
        }
    }
}

/// Does jobs.
pub struct Runner {
    pub(super) stores: Stores,
    pub(super) employees: Arc<Employees>,
    pub(super) enrolling: Arc<Enrolling>,
    clock: Arc<dyn Clock>,
    feed: Feed,
}

impl Runner {
    /// Over everything that the kinds of jobs need.
    pub fn new(
        stores: Stores,
        employees: Arc<Employees>,
        enrolling: Arc<Enrolling>,
        clock: Arc<dyn Clock>,
        feed: Feed,
    ) -> Self {
        Self {
            stores,
            employees,
            enrolling,
            clock,
            feed,
        }
    }

    /// What this instance can do of a kind: templates of the model that it runs.
    fn ability(&self, kind: JobKind) -> Ability {
        let payload = match kind {
            JobKind::Import => None,
            JobKind::Reembed => Some(self.enrolling.model().to_string()),
        };
        Ability { kind, payload }
    }

    /// Claims the job of a kind that is due and does it, to its end or until `stop`; false when
    /// none is.
    pub async fn step(&self, kind: JobKind, stop: &CancellationToken) -> Result<bool, StoreError> {
        let (ability, now) = (self.ability(kind), self.clock.now());
        let Some(job) = self.stores.jobs.claim(&ability, now).await? else {
            return Ok(false);
        };
        let (id, attempt) = (job.id, job.attempts);
        info!(job = %id, kind = kind.as_str(), attempt, "begins a job");
        let turn = Turn {
            runner: self,
            stop: stop.child_token(),
            job: Mutex::new((job, Instant::now())),
        };
        let left = if attempt > ATTEMPTS_MOST {
            // Whoever began it died of it each time, and so may we.
            Err(Left::Again("whoever did it died each time".to_owned()))
        } else {
            let mut work = pin!(self.work(kind, &turn));
            tokio::select! {
                left = &mut work => left,
                () = turn.keep() => {
                    // A step that has begun to write is not cut short, and no other begins.
                    turn.stop.cancel();
                    let _ = work.await;
                    Err(Left::Lost)
                }
            }
        };
        let (job, now) = (turn.job.into_inner().0, self.clock.now());
        let job = match left {
            Ok(()) => job.finished(now),
            Err(Left::Stopping) => job.given_back(now),
            Err(Left::Again(words)) => job.failed(words, now),
            Err(Left::Never(words)) => job.given_up(words, now),
            Err(Left::Lost) => {
                warn!(job = %id, "the job was cancelled, or somebody else goes on with it");
                return Ok(true);
            }
        };
        self.end(job).await;
        Ok(true)
    }

    async fn work(&self, kind: JobKind, turn: &Turn<'_>) -> Result<(), Left> {
        match kind {
            JobKind::Import => import::run(self, turn).await,
            JobKind::Reembed => reembed::run(self, turn).await,
        }
    }

    /// Writes how far a job is, and extends its lease.
    async fn further(&self, job: &mut Job) -> Result<(), Left> {
        *job = job.clone().progressed(self.clock.now());
        match self.stores.jobs.update(job).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Left::Lost),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes what became of a job.
    async fn end(&self, job: Job) {
        for attempt in 1..=END_TRIES {
            match self.stores.jobs.update(&job).await {
                Ok(true) => break,
                // Or an earlier try of ours came through without an answer.
                Ok(false) => return warn!(job = %job.id, "the claim on the job was lost"),
                Err(cause) if attempt == END_TRIES => {
                    return error!(job = %job.id, %cause, "the end of a job could not be written");
                }
                Err(_) => tokio::time::sleep(END_PAUSE).await,
            }
        }
        let (kind, state) = (job.kind.as_str(), job.state.as_str());
        match &job.error {
            Some(words) => warn!(job = %job.id, kind, state, %words, "a job failed"),
            None => info!(job = %job.id, kind, state, done = job.done, "left a job"),
        }
        if job.ended() {
            ended(job.kind, job.state).increment(1);
        } else {
            self.feed.tell(News::Job(job.id)).await;
        }
    }
}
