//! Background jobs. The payload is beside the record, so that word of progress does not write it
//! again.

use async_trait::async_trait;
use jiff::Timestamp;
use redis::cmd;

use super::{
    RedisStore,
    forms::own,
    plan::{Kept, Range, Ties, member, sortable},
};
use crate::{
    domain::{
        ids::JobId,
        jobs::{Ability, Job, JobKind, JobState},
    },
    ports::{JobStore, Page, StoreError},
};

/// The index of those that have not ended, by the time when they may be claimed.
pub(super) const DUE: &str = "jobs_due";

/// The same for each kind.
pub(super) fn due_of(kind: JobKind) -> String {
    format!("{DUE}:{}", kind.as_str())
}

/// The index of those that have, by the time when they did.
pub(super) const FINISHED: &str = "jobs_finished";

/// How many of the jobs that are due are tried, when others are quicker with the first.
const TRIED: usize = 8;

/// A job without its payload, which is not even read.
struct Told(Job);

impl Kept for Told {
    const KIND: &str = Job::KIND;
    const PLAIN: bool = Job::PLAIN;
    const BESIDE: bool = false;

    fn id(&self) -> String {
        Kept::id(&self.0)
    }

    fn ties(&self) -> Result<Ties, StoreError> {
        self.0.ties()
    }

    fn body(&self) -> Result<Vec<u8>, StoreError> {
        self.0.body()
    }

    fn read(body: &[u8], _: Option<&[u8]>) -> Result<Self, StoreError> {
        own(body, "job").map(Self)
    }
}

#[async_trait]
impl JobStore for RedisStore {
    async fn insert(&self, job: &Job) -> Result<(), StoreError> {
        self.insert_record(job).await
    }

    async fn claim(&self, ability: &Ability, now: Timestamp) -> Result<Option<Job>, StoreError> {
        let (index, due) = (due_of(ability.kind), Range::all().up_to(&sortable(now)));
        let place = |job: &Job| member(&sortable(job.due.unwrap_or(now)), job.id);
        let fits = |job: &Job| ability.fits(job);
        for seen in self.select_wanted(&index, due, TRIED, fits, place).await? {
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

    async fn end(&self, job: &Job) -> Result<bool, StoreError> {
        // Whoever has it may write word of progress between the look and the change.
        for _ in 0..TRIED {
            let mut ended = true;
            let open = |there: &Job| {
                ended = there.ended();
                !ended
            };
            if self.exchange_record(&job.id.to_string(), open, job).await? {
                return Ok(true);
            }
            if ended {
                return Ok(false);
            }
        }
        Err(StoreError::Conflict)
    }

    async fn find(&self, id: JobId) -> Result<Option<Job>, StoreError> {
        let told: Option<Told> = self.fetch_one(id.to_string()).await?;
        Ok(told.map(|told| told.0))
    }

    async fn list(&self, page: &Page<JobId>) -> Result<Vec<Job>, StoreError> {
        let range = match page.after {
            Some(after) => Range::back().after(&after.to_string()),
            None => Range::back(),
        };
        let told: Vec<Told> = self.select("jobs", &range, page.limit).await?;
        Ok(told.into_iter().map(|told| told.0).collect())
    }

    async fn unfinished(&self) -> Result<u64, StoreError> {
        self.command(cmd("ZCARD").arg(self.keys.key(DUE))).await
    }

    async fn purge(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.drop_before::<Job>(FINISHED, before).await
    }
}
