//! Typed access to the records of one kind.

use std::{marker::PhantomData, ops::Deref, sync::Arc};

use futures::{Stream, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp};

use crate::{
    domain::record::{Index, Key, KeyParts, Keys, Kind, Record},
    ports::{Expect, Parts, Range, RecordEngine, Revision, StoreError, Stored, Write},
};

/// Number of records that one call deletes.
const BATCH: usize = 500;

/// Maximum number of attempts at a change if others change the same record at the same time.
const TRIES: usize = 32;

/// A record with the revision in which it was read. It can be replaced only if the store still has
/// this revision.
#[derive(Debug, Clone, PartialEq)]
pub struct Versioned<R> {
    record: R,
    revision: Revision,
}

impl<R> Versioned<R> {
    /// Returns the record without its revision.
    pub fn into_inner(self) -> R {
        self.record
    }

    /// Returns the revision.
    pub fn revision(&self) -> Revision {
        self.revision
    }
}

impl<R> Deref for Versioned<R> {
    type Target = R;

    fn deref(&self) -> &R {
        &self.record
    }
}

/// The records of a kind in a store.
pub struct Collection<R> {
    engine: Arc<dyn RecordEngine>,
    records: PhantomData<fn() -> R>,
}

impl<R> Clone for Collection<R> {
    fn clone(&self) -> Self {
        Self {
            engine: self.engine.clone(),
            records: PhantomData,
        }
    }
}

/// Returns the cursor of a record in an index, for the page after it.
pub fn cursor<R: Record>(index: Index, record: &R) -> Option<(Key, String)> {
    let id = record.id().to_string();
    if index == Index::ID {
        return Some((Key::default(), id));
    }
    Some((Keys::from_record(record).get(index)?.clone(), id))
}

fn versioned<R: Record>(stored: Stored) -> Result<Versioned<R>, StoreError> {
    let revision = stored.revision;
    let record = stored.read()?;
    Ok(Versioned { record, revision })
}

fn records<R>(found: Vec<Versioned<R>>) -> Vec<R> {
    found.into_iter().map(Versioned::into_inner).collect()
}

impl<R: Record> Collection<R> {
    /// The kind of its records.
    pub const KIND: &'static Kind = R::KIND;

    /// Creates the collection on a store.
    pub fn new(engine: Arc<dyn RecordEngine>) -> Self {
        Self {
            engine,
            records: PhantomData,
        }
    }

    /// Returns the record with an ID.
    pub async fn get(&self, id: &R::Id) -> Result<Option<Versioned<R>>, StoreError> {
        let found = self
            .engine
            .get(R::KIND, &[id.to_string()], Parts::Whole)
            .await?;
        found
            .into_iter()
            .flatten()
            .next()
            .map(versioned)
            .transpose()
    }

    /// Returns the record with an ID, without its revision.
    pub async fn find(&self, id: &R::Id) -> Result<Option<R>, StoreError> {
        Ok(self.get(id).await?.map(Versioned::into_inner))
    }

    /// Returns the records with these IDs that exist, in the order of the IDs, without blobs.
    pub async fn get_many(&self, ids: &[R::Id]) -> Result<Vec<R>, StoreError> {
        let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.engine.get(R::KIND, &ids, Parts::Body).await?;
        found.into_iter().flatten().map(Stored::read).collect()
    }

    /// Returns the record with a key in a unique index.
    pub async fn get_by(
        &self,
        index: Index,
        key: impl KeyParts,
    ) -> Result<Option<Versioned<R>>, StoreError> {
        debug_assert!(index.unique);
        let key = exactly(Key::new(key));
        Ok(self.scan(index, &key, 1, Parts::Whole).await?.pop())
    }

    /// Returns the record with a key in a unique index, without its revision.
    pub async fn find_by(&self, index: Index, key: impl KeyParts) -> Result<Option<R>, StoreError> {
        Ok(self.get_by(index, key).await?.map(Versioned::into_inner))
    }

    /// Returns a page of an index, with the requested parts.
    pub async fn scan(
        &self,
        index: Index,
        range: &Range,
        limit: usize,
        parts: Parts,
    ) -> Result<Vec<Versioned<R>>, StoreError> {
        let found = self
            .engine
            .scan(R::KIND, index, range, limit, parts)
            .await?;
        found.into_iter().map(versioned).collect()
    }

    /// Returns a page of an index, without blobs.
    pub async fn list(
        &self,
        index: Index,
        range: &Range,
        limit: usize,
    ) -> Result<Vec<R>, StoreError> {
        self.scan(index, range, limit, Parts::Body)
            .await
            .map(records)
    }

    /// Returns the first record of a range, without its blob.
    pub async fn first(&self, index: Index, range: &Range) -> Result<Option<R>, StoreError> {
        Ok(self.list(index, range, 1).await?.pop())
    }

    /// Returns a page of the records in a range for which `wanted` returns true, without blobs.
    pub async fn filter(
        &self,
        index: Index,
        range: Range,
        limit: usize,
        wanted: impl Fn(&R) -> bool,
    ) -> Result<Vec<R>, StoreError> {
        let (mut found, mut range, mut fetch) = (Vec::new(), range, limit.clamp(1, 1000));
        loop {
            let batch = self.list(index, &range, fetch).await?;
            let full = batch.len() == fetch;
            let last = batch.last().and_then(|last| cursor(index, last));
            found.extend(batch.into_iter().filter(&wanted));
            if found.len() >= limit || !full || last.is_none() {
                break;
            }
            range = range.after(last);
            // Few matched: a larger next page means fewer round trips.
            fetch = (fetch * 2).min(1000);
        }
        found.truncate(limit);
        Ok(found)
    }

    /// Streams a range in pages. May or may not include records that are written at the same time.
    pub fn pages(
        &self,
        index: Index,
        range: Range,
        parts: Parts,
    ) -> impl Stream<Item = Result<Vec<Versioned<R>>, StoreError>> + Send + '_ {
        let limit = R::KIND.page;
        stream::try_unfold(Some(range), move |range| async move {
            let Some(range) = range else {
                return Ok(None);
            };
            let page = self.scan(index, &range, limit, parts).await?;
            // A page that is not full is the last one. Otherwise, reading might never end while
            // records are written as fast as they are read.
            let last = page.last().filter(|_| page.len() == limit);
            let next = last
                .and_then(|last| cursor(index, &**last))
                .map(|last| range.after(Some(last)));
            Ok((!page.is_empty()).then_some((page, next)))
        })
    }

    /// Returns all records of a range, without blobs.
    pub async fn all(&self, index: Index, range: Range) -> Result<Vec<R>, StoreError> {
        self.all_parts(index, range, Parts::Body).await
    }

    /// Returns all records of a range, with the requested parts.
    pub async fn all_parts(
        &self,
        index: Index,
        range: Range,
        parts: Parts,
    ) -> Result<Vec<R>, StoreError> {
        let pages = self.pages(index, range, parts);
        pages.try_concat().await.map(records)
    }

    /// Counts the records of a range.
    pub async fn count(&self, index: Index, range: &Range) -> Result<u64, StoreError> {
        self.engine.count(R::KIND, index, range).await
    }

    /// Adds a record.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if the ID or a unique key is taken.
    pub async fn insert(&self, record: &R) -> Result<(), StoreError> {
        self.engine
            .put(Write::from_record(record, Expect::Absent)?)
            .await
            .map(drop)
    }

    /// Adds a record. Returns false, without a change, if the ID or a unique key is taken.
    pub async fn insert_new(&self, record: &R) -> Result<bool, StoreError> {
        match self.insert(record).await {
            Ok(()) => Ok(true),
            Err(StoreError::Conflict) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Adds or replaces a record.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if another record has one of its unique keys.
    pub async fn put(&self, record: &R) -> Result<(), StoreError> {
        self.engine
            .put(Write::from_record(record, Expect::Any)?)
            .await
            .map(drop)
    }

    /// Replaces a record if it was not changed since it was read. Returns `None`, without a change,
    /// if it was changed or deleted.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if another record has one of its unique keys.
    pub async fn swap(
        &self,
        old: &Versioned<R>,
        new: R,
    ) -> Result<Option<Versioned<R>>, StoreError> {
        debug_assert!(old.id() == new.id(), "the ID never changes");
        let write = Write::from_record(&new, Expect::Revision(old.revision))?;
        let revision = self.engine.put(write).await?;
        Ok(revision.map(|revision| Versioned {
            record: new,
            revision,
        }))
    }

    /// Replaces a record if it still equals `old`. Returns false, without a change, if it does not.
    ///
    /// # Errors
    /// As for [`swap`](Self::swap).
    pub async fn exchange(&self, old: &R, new: &R) -> Result<bool, StoreError> {
        match self.get(&old.id()).await? {
            Some(stored) if *stored == *old => Ok(self.swap(&stored, new.clone()).await?.is_some()),
            _ => Ok(false),
        }
    }

    /// Changes a record; retries if others change it at the same time. `change` receives the
    /// current record and returns the new one, or `None` to leave it unchanged. Returns the new
    /// record; `None` if the record does not exist or was left unchanged.
    ///
    /// # Errors
    /// As for [`swap`](Self::swap); [`StoreError::Unavailable`] if every attempt fails because of
    /// other changes.
    pub async fn change(
        &self,
        id: &R::Id,
        mut change: impl FnMut(R) -> Option<R>,
    ) -> Result<Option<R>, StoreError> {
        for _ in 0..TRIES {
            let Some(stored) = self.get(id).await? else {
                return Ok(None);
            };
            let Some(new) = change(stored.record.clone()) else {
                return Ok(None);
            };
            if let Some(new) = self.swap(&stored, new).await? {
                return Ok(Some(new.record));
            }
        }
        Err(contended(R::KIND))
    }

    /// Changes a record, as [`change`](Self::change), or inserts what `change` makes of `absent` if
    /// there is none with its ID.
    ///
    /// # Errors
    /// As for [`change`](Self::change).
    pub async fn change_or_insert(
        &self,
        absent: &R,
        mut change: impl FnMut(R) -> Option<R>,
    ) -> Result<Option<R>, StoreError> {
        let id = absent.id();
        for _ in 0..TRIES {
            let stored = self.get(&id).await?;
            let old = stored.as_ref().map_or(absent, |stored| &stored.record);
            let Some(new) = change(old.clone()) else {
                return Ok(None);
            };
            let written = match &stored {
                Some(stored) => self.swap(stored, new.clone()).await?.is_some(),
                None => self.insert_new(&new).await?,
            };
            if written {
                return Ok(Some(new));
            }
        }
        Err(contended(R::KIND))
    }

    /// Deletes a record; returns false if it did not exist.
    pub async fn remove(&self, id: &R::Id) -> Result<bool, StoreError> {
        let deleted = self
            .engine
            .delete(R::KIND, &[(id.to_string(), None)])
            .await?;
        Ok(deleted > 0)
    }

    /// Deletes a record if it was not changed since it was read. Returns false, without a change, if
    /// it was changed or deleted.
    pub async fn remove_unchanged(&self, old: &Versioned<R>) -> Result<bool, StoreError> {
        let record = (old.id().to_string(), Some(old.revision));
        Ok(self.engine.delete(R::KIND, &[record]).await? > 0)
    }

    /// Deletes all records of a range; returns how many there were.
    pub async fn remove_range(&self, index: Index, range: Range) -> Result<u64, StoreError> {
        let mut deleted = 0;
        loop {
            let page = self
                .engine
                .scan(R::KIND, index, &range, BATCH, Parts::Head)
                .await?;
            let full = page.len() == BATCH;
            let records: Vec<_> = page.into_iter().map(|stored| (stored.id, None)).collect();
            if !records.is_empty() {
                deleted += self.engine.delete(R::KIND, &records).await?;
            }
            if !full {
                return Ok(deleted);
            }
        }
    }

    /// Deletes the records before a moment, by the index [`Kind::ages`]; returns how many there
    /// were. `group` is the part of the key before the timestamp, `()` if there is none.
    pub async fn purge(&self, group: impl KeyParts, before: Timestamp) -> Result<u64, StoreError> {
        let Some(index) = R::KIND.ages else {
            return Ok(0);
        };
        let group = Key::new(group);
        let range = match group.as_str() {
            "" => Range::all().before(Key::new((before,))),
            _ => Range::within(group.clone()).before(group.followed_by(before)),
        };
        self.remove_range(index, range).await
    }

    /// Returns the IDs and revisions of all records.
    pub async fn revisions(&self) -> Result<Vec<(R::Id, Revision)>, StoreError> {
        self.heads(Index::ID, |_| Key::default()).await
    }

    /// Returns the IDs and revisions of the records in an index, in which `key` is the key of a record
    /// with an ID.
    pub async fn heads(
        &self,
        index: Index,
        key: impl Fn(&R::Id) -> Key,
    ) -> Result<Vec<(R::Id, Revision)>, StoreError> {
        let (mut found, mut range) = (Vec::new(), Range::all());
        loop {
            let page = self
                .engine
                .scan(R::KIND, index, &range, BATCH, Parts::Head)
                .await?;
            let full = page.len() == BATCH;
            for stored in page {
                let id = stored
                    .id
                    .parse()
                    .map_err(|_| StoreError::Corrupt(format!("the ID of a {}", R::KIND.one)))?;
                found.push((id, stored.revision));
            }
            if !full {
                return Ok(found);
            }
            range = range.after(found.last().map(|(id, _)| (key(id), id.to_string())));
        }
    }
}

/// Returns the error for a change that failed at every attempt because of other changes.
pub fn contended(kind: &Kind) -> StoreError {
    StoreError::Unavailable(format!("too many changes to the same {} at once", kind.one))
}

/// Returns the time of a change: now, but later than the change before it.
pub(super) fn later_than(before: Timestamp, now: Timestamp) -> Timestamp {
    let later = before.saturating_add(SignedDuration::from_millis(1));
    later.map_or(now, |later| now.max(later))
}

/// Returns the range of a single key.
pub fn exactly(key: Key) -> Range {
    // In longer keys that begin with the same parts, the separator follows.
    let next = Key::from_text(format!("{}\u{1}", key.as_str()));
    Range::all().from(key).before(next)
}
