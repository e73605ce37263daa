//! Background jobs. A claim is a document of its own, of whose unique identity one is written:
//! finding and changing the job at once would do on MongoDB, but not on servers that only speak
//! its protocol.

use async_trait::async_trait;
use futures::TryStreamExt;
use jiff::{SignedDuration, Timestamp};
use mongodb::bson::{Bson, Document, doc, serialize_to_document};

use super::{
    MongoStore, PATIENCE,
    documents::{Kept, Turn, uuid, when},
    stores::limit_of,
    within,
};
use crate::{
    domain::{
        ids::JobId,
        jobs::{Ability, Job, JobState},
    },
    ports::{JobStore, Page, StoreError},
    storage::parts,
};

/// How many of the jobs that are due are tried, when others are quicker with the first.
const TRIED: usize = 8;

/// After so long whoever wrote a turn and not the job has died in between, and the next turn is
/// free. Far longer than a call may take.
const BETWEEN: SignedDuration = SignedDuration::from_secs(10);

impl MongoStore {
    /// Replaces a job while it is still so.
    async fn replace_job(&self, job: &Job, mut still: Document) -> Result<bool, StoreError> {
        const OPTIONAL: [&str; 5] = ["once", "due", "result", "error", "finished_at"];
        let mut set = serialize_to_document(&job.document()?)
            .map_err(|_| parts::damaged("a record that is no document"))?;
        set.remove("_id");
        if !job.ended() {
            set.remove("payload");
        }
        let unset: Document = OPTIONAL
            .into_iter()
            .filter(|name| !set.contains_key(*name))
            .map(|name| (name.to_owned(), Bson::from("")))
            .collect();
        let mut change = doc! { "$set": set };
        if !unset.is_empty() {
            change.insert("$unset", unset);
        }
        still.insert("_id", uuid(job.id.uuid()));
        let link = self.link.clone();
        let call = async move {
            let collection = link.collection::<Job>().await?;
            let updated = collection.update_one(still, change).await?;
            Ok(updated.matched_count == 1)
        };
        within(PATIENCE, call).await
    }

    /// Jobs without their payloads, newest first.
    async fn told(&self, filter: Document, limit: usize) -> Result<Vec<Job>, StoreError> {
        let link = self.link.clone();
        let call = async move {
            let collection = link.collection::<Job>().await?;
            let find = collection
                .find(filter)
                .sort(doc! { "_id": -1 })
                .limit(limit_of(limit));
            let found = find.projection(doc! { "payload": 0 }).await?;
            Ok(found.try_collect::<Vec<_>>().await?)
        };
        let documents = within(PATIENCE, call).await?;
        documents.into_iter().map(Job::record).collect()
    }

    /// Claims one job as it was seen; `None` when somebody else is quicker.
    async fn claim_one(&self, seen: Job, now: Timestamp) -> Result<Option<Job>, StoreError> {
        let was = in_turn(seen.state, seen.turn);
        let mut job = seen.claimed(now);
        let newest = self
            .select::<Turn>(
                doc! { "job": uuid(job.id.uuid()) },
                doc! { "turn": -1 },
                Some(1),
            )
            .await?
            .pop();
        if let Some(newest) = newest.filter(|newest| newest.turn >= job.turn) {
            if now.duration_since(newest.at) < BETWEEN {
                return Ok(None);
            }
            job.turn = newest.turn.saturating_add(1);
        }
        let turn = Turn {
            job: job.id,
            turn: job.turn,
            at: now,
        };
        match self.insert_record(&turn).await {
            Ok(()) => {}
            Err(StoreError::Conflict) => return Ok(None),
            Err(error) => return Err(error),
        }
        Ok(self.replace_job(&job, was).await?.then_some(job))
    }
}

/// In this state and turn.
fn in_turn(state: JobState, turn: u32) -> Document {
    doc! { "state": state.as_str(), "turn": i64::from(turn) }
}

/// Not ended.
fn open() -> Document {
    doc! { "due": { "$gte": when(Timestamp::UNIX_EPOCH) } }
}

#[async_trait]
impl JobStore for MongoStore {
    async fn insert(&self, job: &Job) -> Result<(), StoreError> {
        self.insert_record(job).await
    }

    async fn claim(&self, ability: &Ability, now: Timestamp) -> Result<Option<Job>, StoreError> {
        let mut due = doc! { "due": { "$lte": when(now) }, "kind": ability.kind.as_str() };
        due.extend(
            ability
                .payload
                .as_ref()
                .map(|payload| ("payload".to_owned(), Bson::from(payload.as_str()))),
        );
        let order = doc! { "due": 1, "_id": 1 };
        for seen in self.select::<Job>(due, order, Some(TRIED)).await? {
            if let Some(job) = self.claim_one(seen, now).await? {
                return Ok(Some(job));
            }
        }
        Ok(None)
    }

    async fn update(&self, job: &Job) -> Result<bool, StoreError> {
        self.replace_job(job, in_turn(JobState::Running, job.turn))
            .await
    }

    async fn end(&self, job: &Job) -> Result<bool, StoreError> {
        self.replace_job(job, open()).await
    }

    async fn find(&self, id: JobId) -> Result<Option<Job>, StoreError> {
        Ok(self.told(doc! { "_id": uuid(id.uuid()) }, 1).await?.pop())
    }

    async fn list(&self, page: &Page<JobId>) -> Result<Vec<Job>, StoreError> {
        let filter = match page.after {
            Some(after) => doc! { "_id": { "$lt": uuid(after.uuid()) } },
            None => doc! {},
        };
        self.told(filter, page.limit).await
    }

    async fn unfinished(&self) -> Result<u64, StoreError> {
        let link = self.link.clone();
        let call = async move {
            let collection = link.collection::<Job>().await?;
            Ok(collection.count_documents(open()).await?)
        };
        within(PATIENCE, call).await
    }

    async fn purge(&self, before: Timestamp) -> Result<u64, StoreError> {
        let ended = doc! { "finished_at": { "$lt": when(before) } };
        let purged = self.delete_where::<Job>(ended).await?;
        // A turn counts only while somebody may still write the one before it.
        let old = doc! { "at": { "$lt": when(before) } };
        self.delete_where::<Turn>(old).await?;
        Ok(purged)
    }
}
