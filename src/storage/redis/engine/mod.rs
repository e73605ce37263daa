//! The record engine on Redis, for installations without a file system.
//!
//! Every key begins with the installation's prefix as a hash tag, such as `{rollcall}:`, so that
//! everything that a script touches is in one slot of a cluster. `KIND` is the name of a kind of
//! records, such as `employees`; `INDEX` is the name of one of its indexes, such as `by_name`.
//!
//! | key | type | value |
//! |---|---|---|
//! | `KIND:ID` | hash | a record |
//! | `KIND:x:id` | sorted set | the IDs of all records of the kind |
//! | `KIND:x:INDEX` | sorted set | for each record that has a key in the index: the key, a zero byte, the ID |
//! | `schema` | string | the version of this layout: 2 |
//! | `probe` | string | written to check that the server takes writes; expires after a minute |
//!
//! If an ID begins with `x:`, its record is at `KIND:x:ID`, out of the way of the indexes.
//!
//! | field of a record | value |
//! |---|---|
//! | `r` | revision |
//! | `n` | version of the JSON |
//! | `v` | JSON of the record |
//! | `b` | blob; missing if the record has none |
//! | `x` | JSON object with the record's key in each index, to remove it from them |
//!
//! All scores of an index are 0, so that its members sort byte by byte. Unique indexes have the
//! same form: a script that writes a record looks for another member with the key. Records never
//! expire, and no call uses `KEYS` or `SCAN`.

mod bounds;
pub(super) mod durability;
pub(super) mod link;
mod scripts;

use std::collections::{BTreeMap, HashSet};

use async_trait::async_trait;
use jiff::Timestamp;
use redis::{FromRedisValue, Script, ToRedisArgs, cmd};

use self::{
    bounds::{Bounds, id_of},
    link::{Call, Connection},
};
use super::{Address, Prefix};
use crate::{
    domain::record::{Index, Kind},
    ports::{Expect, Parts, Range, RecordEngine, Revision, StoreError, Stored, Write},
};

/// The version of the layout of keys and fields.
const SCHEMA: u32 = 2;

/// The maximum number of records that one script reads or deletes: a script blocks the server.
const BATCH: usize = 500;

/// Revision, version, body and blob of a record, if they exist and were requested.
type Fields = (
    Option<Revision>,
    Option<u16>,
    Option<String>,
    Option<Vec<u8>>,
);

/// A record engine on a Redis server, a Sentinel's master or a cluster.
///
/// Each round trip succeeds or fails within 2 seconds. A call makes one round trip, unless it
/// reads or deletes more than 500 records.
pub struct RedisEngine {
    connection: Connection,
    keys: Prefix,
}

impl std::fmt::Debug for RedisEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RedisEngine")
    }
}

/// Returns how many fields of a record scripts have to read.
fn field_count(parts: Parts) -> usize {
    match parts {
        Parts::Head => 2,
        Parts::Body => 3,
        Parts::Whole => 4,
    }
}

/// Returns how many records a script may read: fewer if they are large.
fn batch_size(kind: &Kind, parts: Parts) -> usize {
    match parts {
        Parts::Head | Parts::Body => BATCH,
        Parts::Whole => kind.page.clamp(1, BATCH),
    }
}

/// Builds a record from its fields; returns `None` if it does not exist.
fn stored(
    kind: &Kind,
    id: String,
    parts: Parts,
    (revision, version, body, blob): Fields,
) -> Result<Option<Stored>, StoreError> {
    let Some(revision) = revision else {
        return Ok(None);
    };
    let complete = version.is_some() && (parts == Parts::Head || body.is_some());
    if !complete {
        return Err(StoreError::Corrupt(format!("a damaged {}", kind.one)));
    }
    Ok(Some(Stored {
        id,
        revision,
        version: version.unwrap_or_default(),
        body: body.unwrap_or_default(),
        blob,
    }))
}

impl RedisEngine {
    /// Creates an engine. `prefix` separates installations that share a server. The first call
    /// connects.
    pub fn new(address: Address, prefix: &str) -> Self {
        let keys = Prefix::new(&format!("{{{prefix}}}"));
        Self {
            connection: Connection::new(address, keys.key("schema"), SCHEMA),
            keys,
        }
    }

    /// Returns warnings for the operator: which records may be lost, and when.
    ///
    /// # Errors
    /// When the server does not answer, or is too old.
    pub async fn warnings(&self) -> Result<Vec<String>, StoreError> {
        durability::warnings(&self.connection).await
    }

    /// Runs a script that changes records of a kind.
    async fn change<T: FromRedisValue>(
        &self,
        script: &Script,
        kind: &Kind,
        arguments: impl ToRedisArgs,
    ) -> Result<T, StoreError> {
        let mut call = script.key(self.keys.key(kind.name));
        call.arg(arguments);
        self.connection.run(Call::Script(&call)).await
    }

    /// Runs a script that reads records of a kind.
    async fn read<T: FromRedisValue>(
        &self,
        script: &Script,
        kind: &Kind,
        arguments: impl ToRedisArgs,
    ) -> Result<T, StoreError> {
        let mut call = script.key(self.keys.key(kind.name));
        call.arg(arguments);
        self.connection.run(Call::Reading(&call)).await
    }
}

#[async_trait]
impl RecordEngine for RedisEngine {
    async fn get(
        &self,
        kind: &'static Kind,
        ids: &[String],
        parts: Parts,
    ) -> Result<Vec<Option<Stored>>, StoreError> {
        let mut found = Vec::with_capacity(ids.len());
        for ids in ids.chunks(batch_size(kind, parts)) {
            let arguments = (field_count(parts), ids);
            let records: Vec<Fields> = self.read(&scripts::GET, kind, arguments).await?;
            for (id, fields) in ids.iter().zip(records) {
                found.push(stored(kind, id.clone(), parts, fields)?);
            }
        }
        Ok(found)
    }

    async fn scan(
        &self,
        kind: &'static Kind,
        index: Index,
        range: &Range,
        limit: usize,
        parts: Parts,
    ) -> Result<Vec<Stored>, StoreError> {
        let mut bounds = Bounds::new(index, range);
        let (mut found, mut seen) = (Vec::new(), HashSet::new());
        while found.len() < limit {
            let count = batch_size(kind, parts).min(limit - found.len());
            let (ends, command) = bounds.select();
            let arguments = (field_count(parts), index.name, &ends[..], command, count);
            let page: Vec<(String, Fields)> = self.read(&scripts::SCAN, kind, arguments).await?;
            let last = page.last().filter(|_| page.len() == count);
            let last = last.map(|(member, _)| member.clone());
            for (member, fields) in page {
                let id = id_of(index, &member)?;
                // The script that deletes a record also removes it from the indexes. So this one
                // was evicted, or deleted by hand.
                let record = stored(kind, id, parts, fields)?
                    .ok_or_else(|| StoreError::Corrupt(format!("a missing {}", kind.one)))?;
                // A record whose key changes between two pages may be in both.
                if seen.insert(record.id.clone()) {
                    found.push(record);
                }
            }
            match last {
                Some(member) => bounds.continue_after(member),
                None => break,
            }
        }
        Ok(found)
    }

    async fn put(&self, write: Write) -> Result<Option<Revision>, StoreError> {
        let keys = write.keys.iter();
        let entries: BTreeMap<_, _> = keys
            .map(|(index, key)| (index.name, key.as_str()))
            .collect();
        let entries = serde_json::to_string(&entries).expect("texts serialize");
        let unique = write.keys.iter().filter(|(index, _)| index.unique);
        let unique: Vec<_> = unique.map(|(index, _)| index.name).collect();
        let expected = match write.expect {
            Expect::Absent => "absent".to_owned(),
            Expect::Any => "any".to_owned(),
            Expect::Revision(revision) => revision.to_string(),
        };
        let arguments = (
            (write.id, expected, write.version),
            (write.body, entries, unique.join(" ")),
            write.blob,
        );
        match self
            .change::<i64>(&scripts::PUT, write.kind, arguments)
            .await?
        {
            0 => Ok(None),
            -1 => Err(StoreError::Conflict),
            revision => Ok(Some(revision.unsigned_abs())),
        }
    }

    async fn delete(
        &self,
        kind: &'static Kind,
        records: &[(String, Option<Revision>)],
    ) -> Result<u64, StoreError> {
        let mut deleted = 0;
        for records in records.chunks(BATCH) {
            let revision = |expected: &Option<Revision>| expected.map(|number| number.to_string());
            let arguments: Vec<_> = records
                .iter()
                .flat_map(|(id, expected)| [id.clone(), revision(expected).unwrap_or_default()])
                .collect();
            deleted += self
                .change::<u64>(&scripts::DELETE, kind, arguments)
                .await?;
        }
        Ok(deleted)
    }

    async fn count(
        &self,
        kind: &'static Kind,
        index: Index,
        range: &Range,
    ) -> Result<u64, StoreError> {
        let range = range.clone().after(None);
        let bounds = Bounds::new(index, &range).ascending();
        self.read(&scripts::COUNT, kind, (index.name, &bounds[..]))
            .await
    }

    fn description(&self) -> String {
        match self.connection.version() {
            Some(version) => format!("redis {version}"),
            None => "redis, not reached yet".to_owned(),
        }
    }

    /// Writes a key: a server that is full, cannot save or is a replica still replies to reads.
    async fn ping(&self) -> Result<(), StoreError> {
        let mut set = cmd("SET");
        set.arg(self.keys.key("probe")).arg(1).arg("PX").arg(60_000);
        self.connection.run(Call::Command(&set)).await
    }

    async fn time(&self) -> Result<Option<Timestamp>, StoreError> {
        let (seconds, micros): (i64, i32) =
            self.connection.run(Call::Command(&cmd("TIME"))).await?;
        let time = Timestamp::new(seconds, micros.saturating_mul(1000)).ok();
        let time = time.ok_or_else(|| StoreError::Corrupt("the reply to TIME".into()))?;
        Ok(Some(time))
    }

    async fn clear_traces(&self) -> Result<Option<String>, StoreError> {
        let left = "Redis's files contain it until Redis rewrites them (BGREWRITEAOF, BGSAVE)";
        Ok(Some(left.to_owned()))
    }

    async fn close(&self) {
        self.connection.close();
    }
}
