//! Queueing, listing and canceling jobs.

use std::sync::Arc;

use metrics::{Counter, counter};

use super::{
    handler::NewJob,
    reembed::{self, REEMBED},
    registry::KINDS,
};
use crate::{
    clock::Clock,
    domain::{
        accounts::Actor,
        biometrics::ModelId,
        grants::Reach,
        ids::JobId,
        jobs::{Job, JobKind, JobState},
    },
    ports::{Page, StoreError},
    repositories::Repositories,
    service::{
        audit::Audit,
        feed::{Feed, News},
    },
};

/// Why a job was not queued, found or canceled.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// There is no such job.
    #[error("no such job")]
    NotFound,
    /// Too many jobs have not ended.
    #[error("{UNFINISHED_MOST} jobs have not ended yet: wait for some of them")]
    Full,
    /// A job that must be the only one of its kind has not ended.
    #[error("a job of this kind has not ended yet")]
    Pending,
    /// The job has ended already.
    #[error("the job has ended already")]
    Ended,
    /// No job can be queued by the name of this kind alone.
    #[error("jobs of the kind {0} cannot be queued by their name alone")]
    Unnamed(JobKind),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The maximum number of jobs that have not ended; each may hold a megabyte.
pub const UNFINISHED_MOST: u64 = 20;

/// Returns the counter of jobs of a kind that ended in a state.
pub(super) fn count_end(kind: &JobKind, state: JobState) -> Counter {
    let kind = kind.as_str().to_owned();
    counter!("rollcall_jobs_total", "kind" => kind, "state" => state.as_str())
}

/// Queues, lists and cancels jobs.
pub struct Jobs {
    stores: Repositories,
    model: ModelId,
    audit: Audit,
    clock: Arc<dyn Clock>,
    feed: Feed,
}

impl Jobs {
    /// Makes the service over the store; `model` is the present one.
    pub fn new(
        stores: Repositories,
        model: ModelId,
        audit: Audit,
        clock: Arc<dyn Clock>,
        feed: Feed,
    ) -> Self {
        // A counter must exist before its first increase, or Prometheus does not see that one.
        for kind in KINDS {
            for state in JobState::ENDS {
                count_end(&kind.kind, state).increment(0);
            }
        }
        Self {
            stores,
            model,
            audit,
            clock,
            feed,
        }
    }

    /// Queues a job that needs no more than the name of its kind.
    pub async fn queue_by_name(&self, actor: Actor, kind: &JobKind) -> Result<Job, JobError> {
        let known = KINDS.iter().find(|known| known.kind == *kind);
        let new = known
            .and_then(|known| known.by_name)
            .ok_or_else(|| JobError::Unnamed(kind.clone()))?;
        self.queue(actor, new(&self.model)).await
    }

    /// Queues a job that makes templates of the present model, if an enrolled employee has stored
    /// photos but no such templates. Returns the job.
    pub async fn reembed_if_needed(&self) -> Result<Option<Job>, JobError> {
        for id in reembed::outdated(&self.stores, &self.model).await? {
            if self.stores.photos.count_by_employee(id).await? == 0 {
                continue;
            }
            return match self.queue_by_name(Actor::System, &REEMBED).await {
                Ok(job) => Ok(Some(job)),
                // Another instance queued it at the same time.
                Err(JobError::Pending) => Ok(None),
                Err(error) => Err(error),
            };
        }
        Ok(None)
    }

    /// Queues a job.
    pub async fn queue(&self, actor: Actor, new: NewJob) -> Result<Job, JobError> {
        if self.stores.jobs.unfinished().await? >= UNFINISHED_MOST {
            return Err(JobError::Full);
        }
        let now = self.clock.now();
        let NewJob {
            kind,
            payload,
            total,
            once,
        } = new;
        let job = Job {
            id: JobId::new(self.clock.id()),
            kind,
            payload,
            once,
            state: JobState::Queued,
            due: Some(now),
            claims: 0,
            attempts: 0,
            done: 0,
            total,
            result: None,
            error: None,
            created_by: actor,
            created_at: now,
            finished_at: None,
        };
        let detail = Some(job.kind.to_string());
        self.audit.record(actor, "job.add", job.id, detail).await?;
        match self.stores.jobs.insert(&job).await {
            Ok(()) => {}
            Err(StoreError::Conflict) => return Err(JobError::Pending),
            Err(error) => return Err(error.into()),
        }
        self.feed.publish(News::Job(job.id)).await;
        Ok(job)
    }

    /// Returns a job.
    pub async fn find(&self, id: JobId) -> Result<Job, JobError> {
        let job = self.stores.jobs.find(id).await?;
        job.ok_or(JobError::NotFound)
    }

    /// Cancels a job that has not ended. Its worker stops at its next report of progress. What is
    /// done stays done.
    pub async fn cancel(&self, actor: Actor, id: JobId) -> Result<Job, JobError> {
        let job = self.find(id).await?;
        if job.ended() {
            return Err(JobError::Ended);
        }
        let detail = Some(job.kind.to_string());
        self.audit.record(actor, "job.cancel", id, detail).await?;
        let job = job.cancelled(self.clock.now());
        if !self.stores.jobs.end(&job).await? {
            return Err(JobError::Ended);
        }
        count_end(&job.kind, job.state).increment(1);
        Ok(job)
    }

    /// Returns a page, newest first; nothing for a reach of less than everything.
    pub async fn list(&self, reach: &Reach, page: &Page<JobId>) -> Result<Vec<Job>, StoreError> {
        self.stores.jobs.list(reach, page).await
    }
}
