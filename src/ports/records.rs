//! The port to the system of record: six operations on records as JSON text and bytes. A store does
//! not know which kinds of records exist, or what they contain.

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;

use super::StoreError;
use crate::domain::record::{Damaged, Index, Key, Keys, Kind, Record};

/// A number that changes with every write of a record; 1 after it is inserted.
pub type Revision = u64;

/// A record as a store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its ID.
    pub id: String,
    /// Its current revision.
    pub revision: Revision,
    /// The version of its JSON.
    pub version: u16,
    /// Its JSON; empty if it was not requested.
    pub body: String,
    /// Its blob; `None` if it has none, or the blob was not requested.
    pub blob: Option<Vec<u8>>,
}

/// How much of a record to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Parts {
    /// ID, revision and version.
    Head,
    /// The head and the JSON.
    Body,
    /// The head, the JSON and the blob.
    Whole,
}

/// The precondition of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// No record has this ID.
    Absent,
    /// The record has this revision.
    Revision(Revision),
    /// None: the write adds or replaces the record.
    Any,
}

/// A record to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Its kind.
    pub kind: &'static Kind,
    /// Its ID.
    pub id: String,
    /// The version of its JSON.
    pub version: u16,
    /// Its JSON.
    pub body: String,
    /// Its blob.
    pub blob: Option<Vec<u8>>,
    /// All its keys. They replace the keys of the replaced record.
    pub keys: Keys,
    /// The precondition.
    pub expect: Expect,
}

/// A range of an index, and the direction of reading.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Range {
    /// First key, inclusive.
    pub from: Option<Key>,
    /// Last key, exclusive.
    pub before: Option<Key>,
    /// Whether to read in descending order, of the keys and then of the IDs.
    pub backwards: bool,
    /// The cursor: key and ID of the last record of the previous page. In the index of the IDs, the
    /// key is ignored.
    pub after: Option<(Key, String)>,
}

impl Range {
    /// Returns the whole index.
    pub fn all() -> Self {
        Self::default()
    }

    /// Returns the keys that begin with the parts of `prefix`.
    pub fn within(prefix: Key) -> Self {
        Self {
            before: Some(prefix.end()),
            from: Some(prefix),
            ..Self::default()
        }
    }

    /// Sets the first key.
    #[must_use]
    pub fn from(self, key: Key) -> Self {
        let from = Some(key);
        Self { from, ..self }
    }

    /// Sets the key before which the range ends.
    #[must_use]
    pub fn before(self, key: Key) -> Self {
        let before = Some(key);
        Self { before, ..self }
    }

    /// Reads in descending order.
    #[must_use]
    pub fn backwards(self) -> Self {
        Self {
            backwards: true,
            ..self
        }
    }

    /// Sets the cursor, if there is one.
    #[must_use]
    pub fn after(self, last: Option<(Key, String)>) -> Self {
        let after = last;
        Self { after, ..self }
    }
}

/// A system of record.
///
/// Each write is atomic, and durable after it is acknowledged. There are no transactions over
/// several records. Keys and IDs are compared byte by byte. A read returns everything that was
/// acknowledged before it began.
#[async_trait]
pub trait RecordEngine: Send + Sync {
    /// Reads records by ID, in the order of the IDs.
    async fn get(
        &self,
        kind: &'static Kind,
        ids: &[String],
        parts: Parts,
    ) -> Result<Vec<Option<Stored>>, StoreError>;

    /// Reads a page of an index: at most `limit` records of the range, each once. May or may not
    /// include records that are written or deleted at the same time.
    async fn scan(
        &self,
        kind: &'static Kind,
        index: Index,
        range: &Range,
        limit: usize,
        parts: Parts,
    ) -> Result<Vec<Stored>, StoreError>;

    /// Writes a record and returns its new revision. Returns `None` without writing if the record
    /// does not exist or does not have the expected revision.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if the record exists despite [`Expect::Absent`], or if another
    /// record has one of the unique keys. Then nothing is written.
    async fn put(&self, write: Write) -> Result<Option<Revision>, StoreError>;

    /// Deletes records, if they have the given revisions. Returns the number of deleted records.
    async fn delete(
        &self,
        kind: &'static Kind,
        records: &[(String, Option<Revision>)],
    ) -> Result<u64, StoreError>;

    /// Counts the records of a range. Ignores its cursor and direction.
    async fn count(
        &self,
        kind: &'static Kind,
        index: Index,
        range: &Range,
    ) -> Result<u64, StoreError>;

    /// Returns a description for logs and readiness, without secrets, such as `sqlite 3.50` or
    /// `mongodb 7.0`.
    fn description(&self) -> String;

    /// Checks within 2 seconds that the store responds and accepts writes.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Returns the time by the store's own clock; `None` if it has none, because it runs in this
    /// process.
    async fn time(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(None)
    }

    /// Removes traces of deleted records, such as in logs, as far as possible. Returns a text that
    /// explains where traces may be left.
    async fn clear_traces(&self) -> Result<Option<String>, StoreError>;

    /// Finishes all writes and closes the store; later calls fail.
    async fn close(&self);
}

impl From<Damaged> for StoreError {
    fn from(damaged: Damaged) -> Self {
        Self::Corrupt(damaged.0)
    }
}

impl Write {
    /// Encodes a record.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if it contains a value that JSON cannot represent, such as NaN.
    pub fn from_record<R: Record>(record: &R, expect: Expect) -> Result<Self, StoreError> {
        let (keys, id) = (Keys::from_record(record), record.id().to_string());
        let mut record = record.clone();
        debug_assert!(
            R::KIND.seals || record.sealed().is_empty(),
            "the kind must be declared as sealing"
        );
        let blob = record.take_blob();
        let body = serde_json::to_string(&record)
            .map_err(|_| StoreError::Corrupt(format!("a {} cannot be encoded", R::KIND.one)))?;
        Ok(Self {
            kind: R::KIND,
            id,
            version: R::VERSION,
            body,
            blob,
            keys,
            expect,
        })
    }
}

impl Stored {
    /// Decodes a record, with its blob if it was read. Checks the ID, unless the stored ID is
    /// empty.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if the record is damaged; [`StoreError::Refused`] if a newer program
    /// wrote it.
    pub fn read<R: Record>(self) -> Result<R, StoreError> {
        let damaged = || StoreError::Corrupt(format!("a damaged {}", R::KIND.one));
        let mut record: R = match self.version {
            version if version == R::VERSION => {
                serde_json::from_str(&self.body).map_err(|_| damaged())?
            }
            version if version < R::VERSION => {
                let json: Value = serde_json::from_str(&self.body).map_err(|_| damaged())?;
                serde_json::from_value(R::upgrade(version, json)?).map_err(|_| damaged())?
            }
            _ => {
                return Err(StoreError::Refused(
                    "a newer version of Rollcall has written some records: run that version",
                ));
            }
        };
        if !self.id.is_empty() && record.id().to_string() != self.id {
            return Err(damaged());
        }
        if let Some(blob) = self.blob {
            record.put_blob(blob)?;
        }
        Ok(record)
    }
}
