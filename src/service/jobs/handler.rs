//! What a kind of jobs is: a handler, which runs one job at a time under a claim.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use serde::Serialize;
use tokio::{sync::Mutex, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{
    clock::Clock,
    domain::{
        biometrics::ModelId,
        jobs::{Ability, Job, JobKind, LEASE},
    },
    ports::StoreError,
    repositories::{self, Repositories},
    service::{employees::Employees, enrollment::Enrollments},
};

/// The least time between two writes of a job's progress.
const REPORT_EVERY: Duration = Duration::from_millis(500);

/// Runs the jobs of a kind.
#[async_trait]
pub trait JobHandler: Send + Sync {
    /// Returns the name of the worker that runs these jobs, for logs and metrics.
    fn worker(&self) -> &'static str;

    /// Returns the jobs that this instance can run.
    fn ability(&self) -> Ability;

    /// Runs a job from where an earlier attempt stopped, to its end.
    ///
    /// # Errors
    /// When the attempt ends before the job is done.
    async fn run(&self, run: &JobRun<'_>) -> Result<(), Interruption>;
}

/// A kind of jobs, as far as it is known without an instance of the service.
pub struct JobType {
    /// The name.
    pub kind: JobKind,
    /// Makes the handler of an instance.
    pub handler: fn(&JobServices) -> Arc<dyn JobHandler>,
    /// Makes the job that an admin queues by the name of the kind alone, for a model; `None` if
    /// the kind needs more than its name.
    pub by_name: Option<fn(&ModelId) -> NewJob>,
    /// Returns the JSON Schema of the result.
    pub result_schema: fn() -> serde_json::Value,
}

/// The services that handlers use.
#[derive(Clone)]
pub struct JobServices {
    /// The system of record.
    pub stores: Repositories,
    /// Employees.
    pub employees: Arc<Employees>,
    /// Enrollment.
    pub enrollments: Arc<Enrollments>,
}

/// A job to be queued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    /// The kind.
    pub kind: JobKind,
    /// The input, in a format of the kind.
    pub payload: String,
    /// How many steps there are; 0 while that is unknown.
    pub total: u64,
    /// A unique name among the jobs that have not ended; see [`Job::once`].
    pub once: Option<String>,
}

/// Why an attempt ended before the job was done.
#[derive(Debug)]
pub enum Interruption {
    /// The job was canceled, or another worker claimed it: nothing of it may be written.
    ClaimLost,
    /// The service stops.
    Stopping,
    /// This attempt failed, and another one may succeed. The text is for an admin.
    Retry(String),
    /// Every attempt would fail. The text is for an admin.
    Permanent(String),
}

impl From<StoreError> for Interruption {
    /// Logs the cause, and leaves its details out of the job.
    fn from(cause: StoreError) -> Self {
        warn!(%cause, "the store failed in a job");
        Self::Retry(match cause {
            StoreError::Unavailable(_) => "the store did not respond".to_owned(),
            StoreError::Refused(text) => format!("the store refuses: {text}"),
            StoreError::Conflict => "another request changed the same record".to_owned(),
            StoreError::Corrupt(_) => "the store contains a damaged record: see the log".to_owned(),
        })
    }
}

/// A job that runs under a claim.
pub struct JobRun<'a> {
    jobs: &'a repositories::Jobs,
    clock: &'a dyn Clock,
    /// Canceled when the service stops, and when the claim is lost.
    stop: CancellationToken,
    /// The present job, which the store may not have yet, and when it was last written.
    job: Mutex<(Job, Instant)>,
}

impl<'a> JobRun<'a> {
    /// Begins to run a job that this worker has claimed.
    pub(super) fn new(
        jobs: &'a repositories::Jobs,
        clock: &'a dyn Clock,
        stop: CancellationToken,
        job: Job,
    ) -> Self {
        Self {
            jobs,
            clock,
            stop,
            job: Mutex::new((job, Instant::now())),
        }
    }

    /// Returns the job with its progress so far.
    pub async fn job(&self) -> Job {
        self.job.lock().await.0.clone()
    }

    /// Returns the job at the end of the run.
    pub(super) fn into_job(self) -> Job {
        self.job.into_inner().0
    }

    /// Reports progress, which is written every half a second at most.
    ///
    /// # Errors
    /// When the handler must return at once.
    pub async fn report(
        &self,
        done: u64,
        total: u64,
        result: &(impl Serialize + Sync),
    ) -> Result<(), Interruption> {
        let mut held = self.job.lock().await;
        let (job, written) = &mut *held;
        let result = serde_json::to_string(result).ok();
        *job = job.clone().advanced(done, total, result);
        if self.stop.is_cancelled() {
            return Err(Interruption::Stopping);
        }
        if written.elapsed() >= REPORT_EVERY {
            self.write(job).await?;
            *written = Instant::now();
        }
        Ok(())
    }

    /// Returns the token that is canceled when the handler must return, for long steps.
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Extends the lease while the job runs; returns when the claim is lost.
    pub(super) async fn keep_claim(&self) {
        let third = LEASE.unsigned_abs() / 3;
        loop {
            tokio::time::sleep(third).await;
            let mut held = self.job.lock().await;
            match self.write(&mut held.0).await {
                Err(Interruption::ClaimLost) => return,
                // The claim may still be valid: the next write finds out.
                Ok(())
                | Err(
                    Interruption::Retry(_) | Interruption::Permanent(_) | Interruption::Stopping,
                ) => {}
            }
        }
    }

    /// Writes the progress and extends the lease.
    async fn write(&self, job: &mut Job) -> Result<(), Interruption> {
        *job = job.clone().extended(self.clock.now());
        match self.jobs.update(job).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Interruption::ClaimLost),
            Err(error) => Err(error.into()),
        }
    }
}
