//! Background jobs. The payload is beside the record, so that word of progress does not write it
//! again.

use async_trait::async_trait;
use jiff::Timestamp;
use redis::cmd;

use super::{
    RedisStore,
    plan::{Range, sortable},
};
use crate::{
    domain::{
        ids::JobId,
        jobs::{Job, JobState},
    },
    ports::{JobStore, Page, StoreError},
};

/// The index of those that have not ended, by the time when they may be claimed.
pub(super) const DUE: &str = "jobs_due";

/// The index of those that have, by the time when they did.
pub(super) const FINISHED: &str = "jobs_finished";

/// How many of the jobs that are due are tried, when others are quicker with the first.
const TRIED: usize = 8;

#[async_trait]
impl JobStore for RedisStore {
    async fn insert(&self, job: &Job) -> Result<(), StoreError> {
        self.insert_record(job).await
    }

    async fn claim(&self, now: Timestamp) -> Result<Option<Job>, StoreError> {
        let due = Range::all().up_to(&sortable(now));
        for seen in self.select::<Job>(DUE, &due, TRIED).await? {
            let job = seen.clone().claimed(now);
            let same = |there: &Job| *there == seen;
            if self
                .exchange_record(&job.id.to_string(), same, &job)
                .await?
            {
                return Ok(Some(job));
            }
        }
        Ok(None)
    }

    async fn update(&self, job: &Job) -> Result<bool, StoreError> {
        let held = |there: &Job| there.state == JobState::Running && there.turn == job.turn;
        self.exchange_record(&job.id.to_string(), held, job).await
    }

    async fn find(&self, id: JobId) -> Result<Option<Job>, StoreError> {
        self.fetch_one(id.to_string()).await
    }

    async fn list(&self, page: &Page<JobId>) -> Result<Vec<Job>, StoreError> {
        let range = match page.after {
            Some(after) => Range::back().after(&after.to_string()),
            None => Range::back(),
        };
        self.select("jobs", &range, page.limit).await
    }

    async fn unfinished(&self) -> Result<u64, StoreError> {
        self.command(cmd("ZCARD").arg(self.keys.key(DUE))).await
    }

    async fn purge(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.drop_before::<Job>(FINISHED, before).await
    }
}
