//! Background jobs: queueing them, looking at them, and doing them.
//!
//! A job is in the store before anybody is told of it, and word of progress goes there too, so
//! that whoever takes it over from somebody who died goes on from there. Every kind of job can be
//! done twice without harm: what was done after the last word of progress is.

mod import;
mod list;
mod reembed;
mod running;

use std::sync::Arc;

use metrics::{Counter, counter};

use crate::{
    clock::Clock,
    domain::{
        accounts::Actor,
        biometrics::ModelId,
        ids::JobId,
        jobs::{Job, JobKind, JobState},
    },
    ports::{Page, StoreError, Stores},
    service::{
        audit::Audit,
        feed::{Feed, News},
    },
};

pub use import::{BYTES_MOST, ImportResult, Refusal};
pub use list::ListError;
pub use reembed::ReembedResult;
pub use running::Runner;

/// Why a job was not queued or found.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// There is no such job.
    #[error("no such job")]
    NotFound,
    /// Too many have not ended.
    #[error("{UNFINISHED_MOST} jobs have not ended yet: wait for some of them")]
    Full,
    /// One of its kind has not ended, and there is to be one at a time.
    #[error("a job of this kind has not ended yet")]
    Pending,
    /// It has ended already.
    #[error("the job has ended already")]
    Ended,
    /// The list of people cannot be read.
    #[error(transparent)]
    List(#[from] ListError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How many jobs may wait or run at a time; each may hold a megabyte.
pub const UNFINISHED_MOST: u64 = 20;

/// How many employees are read at once.
const PAGE: usize = 200;

/// Counts jobs of a kind that ended so.
fn ended(kind: JobKind, state: JobState) -> Counter {
    counter!("rollcall_jobs_total", "kind" => kind.as_str(), "state" => state.as_str())
}

/// Queues jobs and tells of them.
pub struct Jobs {
    stores: Stores,
    model: ModelId,
    audit: Audit,
    clock: Arc<dyn Clock>,
    feed: Feed,
}

impl Jobs {
    /// Over the stores; `model` is the present one.
    pub fn new(
        stores: Stores,
        model: ModelId,
        audit: Audit,
        clock: Arc<dyn Clock>,
        feed: Feed,
    ) -> Self {
        // There from the start: only so is the first one an increase.
        for kind in JobKind::ALL {
            for state in JobState::ENDS {
                ended(kind, state).increment(0);
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

    /// Queues adding the people of a list, CSV. The list as a whole is checked now, its rows when
    /// they are added.
    pub async fn import(&self, actor: Actor, list: &[u8]) -> Result<Job, JobError> {
        let text = list::decoded(list)?;
        let rows = list::rows(&text)?.len() as u64;
        self.queue(actor, JobKind::Import, text, rows, None).await
    }

    /// Queues making templates of the present model from kept photos.
    pub async fn reembed(&self, actor: Actor) -> Result<Job, JobError> {
        let model = self.model.to_string();
        let once = Some(format!("reembed:{model}"));
        self.queue(actor, JobKind::Reembed, model, 0, once).await
    }

    /// Queues the same when somebody is enrolled whose photos were kept, but not under the present
    /// model; what was queued.
    pub async fn reembed_if_needed(&self) -> Result<Option<Job>, JobError> {
        for id in reembed::outdated(&self.stores, &self.model).await? {
            if self.stores.templates.photos_of(id).await?.is_empty() {
                continue;
            }
            return match self.reembed(Actor::System).await {
                Ok(job) => Ok(Some(job)),
                // Another instance was quicker.
                Err(JobError::Pending) => Ok(None),
                Err(error) => Err(error),
            };
        }
        Ok(None)
    }

    async fn queue(
        &self,
        actor: Actor,
        kind: JobKind,
        payload: String,
        total: u64,
        once: Option<String>,
    ) -> Result<Job, JobError> {
        if self.stores.jobs.unfinished().await? >= UNFINISHED_MOST {
            return Err(JobError::Full);
        }
        let now = self.clock.now();
        let job = Job {
            id: JobId::new(self.clock.id()),
            kind,
            payload,
            once,
            state: JobState::Queued,
            due: Some(now),
            turn: 0,
            attempts: 0,
            done: 0,
            total,
            result: None,
            error: None,
            created_by: actor,
            created_at: now,
            finished_at: None,
        };
        let detail = Some(kind.as_str().to_owned());
        self.audit.record(actor, "job.add", job.id, detail).await?;
        match self.stores.jobs.insert(&job).await {
            Ok(()) => {}
            Err(StoreError::Conflict) => return Err(JobError::Pending),
            Err(error) => return Err(error.into()),
        }
        self.feed.tell(News::Job(job.id)).await;
        Ok(job)
    }

    /// One.
    pub async fn find(&self, id: JobId) -> Result<Job, JobError> {
        let job = self.stores.jobs.find(id).await?;
        job.ok_or(JobError::NotFound)
    }

    /// Ends one that has not ended. Whoever does it leaves it at their next word of progress; what
    /// is done stays done.
    pub async fn cancel(&self, actor: Actor, id: JobId) -> Result<Job, JobError> {
        let job = self.find(id).await?;
        if job.ended() {
            return Err(JobError::Ended);
        }
        let detail = Some(job.kind.as_str().to_owned());
        self.audit.record(actor, "job.cancel", id, detail).await?;
        let job = job.cancelled(self.clock.now());
        if !self.stores.jobs.end(&job).await? {
            return Err(JobError::Ended);
        }
        ended(job.kind, job.state).increment(1);
        Ok(job)
    }

    /// A page, newest first.
    pub async fn list(&self, page: &Page<JobId>) -> Result<Vec<Job>, StoreError> {
        self.stores.jobs.list(page).await
    }
}
