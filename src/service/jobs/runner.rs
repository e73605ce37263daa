//! Running jobs: claims one, keeps the claim while its handler runs, and writes how it ended.

use std::{pin::pin, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{
    handler::{Interruption, JobHandler, JobRun},
    queue::count_end,
};
use crate::{
    clock::Clock,
    domain::jobs::{ATTEMPTS_MOST, Job},
    ports::StoreError,
    repositories::{self, Repositories},
    service::feed::{Feed, News},
};

/// How often writing the end of a job is tried. If every try fails, the lease runs out and another
/// attempt repeats the last steps.
const END_WRITE_TRIES: u32 = 5;

/// The pause between two tries.
const END_WRITE_PAUSE: Duration = Duration::from_secs(1);

/// Runs jobs that are due.
pub struct Runner {
    jobs: repositories::Jobs,
    clock: Arc<dyn Clock>,
    feed: Feed,
}

impl Runner {
    /// Makes a runner over the store.
    pub fn new(stores: &Repositories, clock: Arc<dyn Clock>, feed: Feed) -> Self {
        Self {
            jobs: stores.jobs.clone(),
            clock,
            feed,
        }
    }

    /// Claims the job of a handler that has been due the longest, and runs it to its end or until
    /// `stop` is canceled. Returns false if no job is due.
    ///
    /// # Errors
    /// When the store cannot say whether a job is due.
    pub async fn run_next(
        &self,
        handler: &dyn JobHandler,
        stop: &CancellationToken,
    ) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let Some(job) = self.jobs.claim(&handler.ability(), now).await? else {
            return Ok(false);
        };
        let (id, attempt) = (job.id, job.attempts);
        info!(job = %id, kind = job.kind.as_str(), attempt, "job started");
        let run = JobRun::new(&self.jobs, &*self.clock, stop.child_token(), job);
        let outcome = if attempt > ATTEMPTS_MOST {
            // The job itself may crash the workers.
            Err(Interruption::Retry(
                "the worker crashed on every attempt".to_owned(),
            ))
        } else {
            let mut work = pin!(handler.run(&run));
            tokio::select! {
                outcome = &mut work => outcome,
                () = run.keep_claim() => {
                    // The step that has begun to write ends, and no other begins.
                    run.stop().cancel();
                    let _ = work.await;
                    Err(Interruption::ClaimLost)
                }
            }
        };
        let (job, now) = (run.into_job(), self.clock.now());
        let job = match outcome {
            Ok(()) => job.finished(now),
            Err(Interruption::Stopping) => job.given_back(now),
            Err(Interruption::Retry(error)) => job.failed(error, now),
            Err(Interruption::Permanent(error)) => job.given_up(error, now),
            Err(Interruption::ClaimLost) => {
                warn!(job = %id, "stopped a job: it was canceled, or another worker claimed it");
                return Ok(true);
            }
        };
        self.write_end(job).await;
        Ok(true)
    }

    /// Writes the job after an attempt.
    async fn write_end(&self, job: Job) {
        for attempt in 1..=END_WRITE_TRIES {
            match self.jobs.update(&job).await {
                Ok(true) => break,
                // Or an earlier try succeeded, and its answer was lost.
                Ok(false) => return warn!(job = %job.id, "the claim on the job was lost"),
                Err(cause) if attempt == END_WRITE_TRIES => {
                    return error!(job = %job.id, %cause, "could not write the end of a job; its lease will run out");
                }
                Err(_) => tokio::time::sleep(END_WRITE_PAUSE).await,
            }
        }
        let (kind, state) = (job.kind.as_str(), job.state.as_str());
        match &job.error {
            Some(cause) => warn!(job = %job.id, kind, state, %cause, "job failed"),
            None => info!(job = %job.id, kind, state, done = job.done, "job stopped"),
        }
        if job.ended() {
            count_end(&job.kind, job.state).increment(1);
        } else {
            self.feed.publish(News::Job(job.id)).await;
        }
    }
}
