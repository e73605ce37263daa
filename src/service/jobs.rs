//! Background jobs: queueing them, looking at them, and doing them one at a time.
//!
//! A job is in the store before anybody is told of it, and word of progress goes there too, so
//! that whoever takes it over from somebody who died goes on from there. Every kind of job can be
//! done twice without harm: what was done after the last word of progress is.

mod import;
mod reembed;
mod running;

use std::sync::Arc;

use crate::{
    clock::Clock,
    domain::{
        accounts::Actor,
        biometrics::ModelId,
        employees::Employee,
        ids::JobId,
        jobs::{Job, JobKind, JobState},
    },
    ports::{EmployeeFilter, Page, StoreError, Stores},
    service::{
        audit::Audit,
        feed::{Feed, News},
    },
};

pub use import::{BYTES_MOST, ImportResult, ListError, Refusal};
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
        Self {
            stores,
            model,
            audit,
            clock,
            feed,
        }
    }

    /// Queues adding the people of a list, CSV in UTF-8. The list as a whole is checked now, its
    /// rows when they are added.
    pub async fn import(&self, actor: Actor, list: &[u8]) -> Result<Job, JobError> {
        let text = std::str::from_utf8(list).map_err(|_| ListError::NotText)?;
        let rows = import::rows(text)?.len() as u64;
        self.queue(actor, JobKind::Import, text.to_owned(), rows, None)
            .await
    }

    /// Queues making templates of the present model from kept photos.
    pub async fn reembed(&self, actor: Actor) -> Result<Job, JobError> {
        let once = Some("reembed".to_owned());
        self.queue(actor, JobKind::Reembed, String::new(), 0, once)
            .await
    }

    /// Queues the same when people are enrolled and nobody under the present model, once for each
    /// model; what was queued.
    pub async fn reembed_if_changed(&self) -> Result<Option<Job>, JobError> {
        let done = format!("reembed:{}", self.model);
        if self.stores.settings.get(&done).await?.is_some() {
            return Ok(None);
        }
        let one = Page {
            after: None,
            limit: 1,
        };
        let present = self.stores.templates.list(&self.model, &one).await?;
        if !present.is_empty() || !self.anybody_enrolled().await? {
            return Ok(None);
        }
        match self.reembed(Actor::System).await {
            Ok(job) => {
                // After it: were this the only thing written, nobody would queue it any more.
                self.stores
                    .settings
                    .claim(&done, &job.id.to_string())
                    .await?;
                Ok(Some(job))
            }
            // Another instance was quicker.
            Err(JobError::Pending) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn anybody_enrolled(&self) -> Result<bool, StoreError> {
        let mut page = Page {
            after: None,
            limit: PAGE,
        };
        let everybody = EmployeeFilter::default();
        loop {
            let people = self.stores.employees.list(&everybody, &page).await?;
            if people.iter().any(Employee::enrolled) {
                return Ok(true);
            }
            let Some(last) = people.last().filter(|_| people.len() == PAGE) else {
                return Ok(false);
            };
            page.after = Some((last.name.key(), last.id));
        }
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

    /// A page, newest first.
    pub async fn list(&self, page: &Page<JobId>) -> Result<Vec<Job>, StoreError> {
        self.stores.jobs.list(page).await
    }
}
