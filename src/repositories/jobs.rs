//! Background jobs, which one worker at a time can claim.

use jiff::Timestamp;

use super::cursor;
use crate::{
    domain::{
        grants::Reach,
        ids::JobId,
        jobs::{Ability, Job, JobState},
        record::{Index, Key},
    },
    ports::{Page, Parts, Range, StoreError},
};

/// Number of due jobs that a claim reads at once.
const BATCH: usize = 20;

repository! {
    /// The repository of jobs. Of many workers that claim a job one wins, and only the last winner
    /// changes the job: its claim has the highest number ([`Job::claims`]). A job is durable once it is
    /// inserted; it is a [`StoreError::Conflict`] if a job that has not ended has the same `once`.
    Jobs(Job): insert, purge
}

impl Jobs {
    /// Claims the job that has been due the longest, of those that the worker can run, as by
    /// [`Job::claimed`]. A job is due if it is queued for this time, or if the lease of its worker
    /// has expired. If several workers claim at once, each job goes to one of them, and a worker
    /// may get `None` although another job is due.
    pub async fn claim(
        &self,
        ability: &Ability,
        now: Timestamp,
    ) -> Result<Option<Job>, StoreError> {
        let kind = ability.kind.as_str();
        let mut range = Range::within(Key::new((kind,))).before(Key::new((kind, now)).end());
        loop {
            let due = self.0.scan(Job::DUE, &range, BATCH, Parts::Whole).await?;
            for job in due.iter().filter(|job| ability.fits(job)) {
                let claimed = (**job).clone().claimed(now);
                if let Some(claimed) = self.0.swap(job, claimed).await? {
                    return Ok(Some(claimed.into_inner()));
                }
            }
            // Skips jobs that only other workers can do; these may stay in the queue for long.
            match due.last().filter(|_| due.len() == BATCH) {
                Some(last) => range = range.after(cursor(Job::DUE, &**last)),
                None => return Ok(None),
            }
        }
    }

    /// Replaces a job, except its payload, while the claim holds. The payload is deleted if the job
    /// has ended. Returns false, without a change, if the claim was lost.
    pub async fn update(&self, job: &Job) -> Result<bool, StoreError> {
        self.replace(job, |stored| {
            stored.state == JobState::Running && stored.claims == job.claims
        })
        .await
    }

    /// Ends a job, regardless of the worker that has claimed it. Returns false if it has already
    /// ended or does not exist.
    pub async fn end(&self, job: &Job) -> Result<bool, StoreError> {
        self.replace(job, |stored| !stored.ended()).await
    }

    async fn replace(
        &self,
        job: &Job,
        condition: impl Fn(&Job) -> bool,
    ) -> Result<bool, StoreError> {
        let change = |stored: Job| {
            condition(&stored).then(|| Job {
                payload: match job.ended() {
                    true => String::new(),
                    false => stored.payload,
                },
                ..job.clone()
            })
        };
        Ok(self.0.change(&job.id, change).await?.is_some())
    }

    /// Returns a job without its payload.
    pub async fn find(&self, id: JobId) -> Result<Option<Job>, StoreError> {
        Ok(self.0.get_many(&[id]).await?.pop())
    }

    /// Returns a page of jobs, newest first by ID, without payloads. Jobs belong to no site: a reach of
    /// less than everything covers none.
    pub async fn list(&self, reach: &Reach, page: &Page<JobId>) -> Result<Vec<Job>, StoreError> {
        if !reach.covers_everything() {
            return Ok(Vec::new());
        }
        let after = page.after.map(|id| (Key::default(), id.to_string()));
        let range = Range::all().backwards().after(after);
        self.0.list(Index::ID, &range, page.limit).await
    }

    /// Counts the jobs that have not ended.
    pub async fn unfinished(&self) -> Result<u64, StoreError> {
        self.0.count(Job::DUE, &Range::all()).await
    }
}
