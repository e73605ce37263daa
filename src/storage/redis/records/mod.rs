//! Redis as the only store: the system of record without a file system. docs/REDIS.md has the
//! table of keys.
//!
//! Every key carries the installation's prefix as a hash tag, so that what a script touches is in
//! one slot of a cluster. No record has an expiry; nothing is ever searched by KEYS or SCAN, but
//! for reading everything there is, and for clearing what is cached.

mod accounts;
mod archive;
mod cache;
mod cameras;
mod durability;
mod employees;
mod forms;
mod jobs;
mod leases;
mod link;
mod pictures;
mod plan;
mod punches;
mod scripts;

use std::collections::BTreeSet;

use redis::{Cmd, FromRedisValue, Script};

use self::{
    link::{Call, Connection},
    plan::{Kept, Plan, Range, record_key},
};
use super::{Address, Prefix};
use crate::{ports::StoreError, storage::parts};

/// How many records are deleted in one go, so that others are served in between.
const BATCH: usize = 500;

/// How many records are read in one go while looking for those that a filter lets through.
const MOST_READ: usize = 1000;

/// Every port on one Redis.
pub struct RedisStore {
    connection: Connection,
    keys: Prefix,
}

impl std::fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RedisStore")
    }
}

/// What a row of an answer holds: the record's JSON and what is beside it.
type Row = Vec<Option<Vec<u8>>>;

fn record_of<K: Kept>(row: &Row) -> Result<Option<K>, StoreError> {
    let Some(Some(body)) = row.first() else {
        return Ok(None);
    };
    let beside = row.get(1).and_then(Option::as_deref);
    K::read(body, beside).map(Some)
}

fn flag(on: bool) -> Vec<u8> {
    if on { b"1".to_vec() } else { b"0".to_vec() }
}

/// How scripts read records of a kind.
fn form_of<K: Kept>() -> Vec<u8> {
    if K::BESIDE {
        flag(K::PLAIN)
    } else {
        b"v".to_vec()
    }
}

impl RedisStore {
    /// The records of an installation, which has the same prefix as in [`Prefix`]. Connects when
    /// it is first asked for something.
    pub fn new(address: Address, prefix: &str) -> Self {
        let keys = Prefix::new(&format!("{{{prefix}}}"));
        Self {
            connection: Connection::new(address, keys.key("schema")),
            keys,
        }
    }

    async fn command<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, StoreError> {
        self.connection.run(Call::Command(command)).await
    }

    async fn script<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[String],
        arguments: &[Vec<u8>],
        reads: bool,
    ) -> Result<T, StoreError> {
        let mut call = script.prepare_invoke();
        for key in keys {
            call.key(key);
        }
        for argument in arguments {
            call.arg(argument);
        }
        let call = if reads {
            Call::Reading(&call)
        } else {
            Call::Script(&call)
        };
        self.connection.run(call).await
    }

    /// Writes everything or nothing; false when a record to be replaced is not there.
    async fn write(&self, plan: Plan) -> Result<bool, StoreError> {
        let Some((key, arguments)) = plan.call() else {
            return Ok(true);
        };
        match self
            .script(&scripts::PUT, &[key], &arguments, false)
            .await?
        {
            1 => Ok(true),
            0 => Ok(false),
            -1 => Err(StoreError::Conflict),
            _ => Err(parts::damaged("an answer of a script")),
        }
    }

    async fn insert_record<K: Kept>(&self, record: &K) -> Result<(), StoreError> {
        let mut plan = Plan::default();
        plan.insert(&self.keys, record)?;
        self.write(plan).await.map(drop)
    }

    async fn replace_record<K: Kept>(&self, record: &K) -> Result<bool, StoreError> {
        let mut plan = Plan::default();
        plan.replace(&self.keys, record)?;
        self.write(plan).await
    }

    /// Replaces a record while it is the `same` as it was.
    async fn exchange_record<K: Kept>(
        &self,
        id: &str,
        same: impl FnOnce(&K) -> bool,
        is: &K,
    ) -> Result<bool, StoreError> {
        let key = record_key::<K>(&self.keys, id);
        let arguments = [form_of::<K>(), Vec::new()];
        let rows: Vec<Row> = self
            .script(&scripts::FETCH, &[key], &arguments, true)
            .await?;
        let Some(row) = rows.first() else {
            return Ok(false);
        };
        let (Some(there), Some(body)) = (record_of::<K>(row)?, row.first().cloned().flatten())
        else {
            return Ok(false);
        };
        if !same(&there) {
            return Ok(false);
        }
        let body = String::from_utf8(body).map_err(|_| parts::damaged("a record"))?;
        let mut plan = Plan::default();
        plan.exchange(&self.keys, body, is)?;
        self.write(plan).await
    }

    /// Those of the identities that are there.
    async fn fetch<K: Kept>(
        &self,
        ids: impl IntoIterator<Item = String>,
    ) -> Result<Vec<K>, StoreError> {
        // Asked for twice, it is there once.
        let ids: BTreeSet<String> = ids.into_iter().collect();
        let keys: Vec<_> = ids
            .iter()
            .map(|id| record_key::<K>(&self.keys, id))
            .collect();
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let arguments = [form_of::<K>(), Vec::new()];
        let rows: Vec<Row> = self
            .script(&scripts::FETCH, &keys, &arguments, true)
            .await?;
        rows.iter()
            .filter_map(|row| record_of(row).transpose())
            .collect()
    }

    async fn fetch_one<K: Kept>(&self, id: String) -> Result<Option<K>, StoreError> {
        Ok(self.fetch([id]).await?.pop())
    }

    /// The record whose identity a claim holds.
    async fn fetch_by<K: Kept>(&self, claim: &str) -> Result<Option<K>, StoreError> {
        let arguments = [form_of::<K>(), record_key::<K>(&self.keys, "").into_bytes()];
        let keys = [self.keys.key(claim)];
        let rows: Vec<Row> = self
            .script(&scripts::FETCH, &keys, &arguments, true)
            .await?;
        rows.first().map_or(Ok(None), record_of)
    }

    /// The first records of a part of an index.
    async fn select<K: Kept>(
        &self,
        index: &str,
        range: &Range,
        limit: usize,
    ) -> Result<Vec<K>, StoreError> {
        let (low, high) = (range.low.clone(), range.high.clone());
        let (first, last) = if range.backwards {
            (high, low)
        } else {
            (low, high)
        };
        // More than a script can count is all.
        let limit = i64::try_from(limit).unwrap_or(-1).to_string();
        let arguments = [
            first,
            last,
            flag(range.backwards),
            limit.into_bytes(),
            form_of::<K>(),
            record_key::<K>(&self.keys, "").into_bytes(),
        ];
        let keys = [self.keys.key(index)];
        let rows: Vec<Row> = self
            .script(&scripts::SELECT, &keys, &arguments, true)
            .await?;
        rows.iter()
            .map(|row| {
                // A record that vanished without its places: taken out by an eviction or by hand.
                record_of(row)?.ok_or_else(|| parts::damaged("an index that names a lost record"))
            })
            .collect()
    }

    /// All records of an index, in its order.
    async fn select_all<K: Kept>(&self, index: &str) -> Result<Vec<K>, StoreError> {
        self.select(index, &Range::all(), usize::MAX).await
    }

    /// The first records of a part of an index that are wanted; `place` is a record's member.
    async fn select_wanted<K: Kept>(
        &self,
        index: &str,
        mut range: Range,
        limit: usize,
        wanted: impl Fn(&K) -> bool,
        place: impl Fn(&K) -> String,
    ) -> Result<Vec<K>, StoreError> {
        let (mut found, mut fetch) = (Vec::new(), limit.clamp(1, MOST_READ));
        loop {
            let batch: Vec<K> = self.select(index, &range, fetch).await?;
            let next = batch.last().filter(|_| batch.len() == fetch).map(&place);
            found.extend(batch.into_iter().filter(&wanted));
            match next {
                Some(place) if found.len() < limit => range = range.after(&place),
                _ => break,
            }
            // Few were wanted: more at once, for fewer questions.
            fetch = (fetch * 2).min(MOST_READ);
        }
        found.truncate(limit);
        Ok(found)
    }

    /// Deletes the records of indexes up to a bound; how many there were of the last one.
    async fn drop_of(
        &self,
        indexes: &[(String, &str)],
        bound: &str,
        limit: i64,
    ) -> Result<u64, StoreError> {
        let keys: Vec<_> = indexes.iter().map(|(key, _)| self.keys.key(key)).collect();
        let mut arguments = vec![bound.as_bytes().to_vec(), limit.to_string().into_bytes()];
        arguments.extend(
            indexes
                .iter()
                .map(|(_, kind)| self.keys.key(&format!("{kind}:")).into_bytes()),
        );
        self.script(&scripts::DROP, &keys, &arguments, false).await
    }

    /// Deletes the records of an index that come before a moment, a batch at a time.
    async fn drop_before<K: Kept>(
        &self,
        index: &str,
        before: jiff::Timestamp,
    ) -> Result<u64, StoreError> {
        let (indexes, bound) = (
            [(index.to_owned(), K::KIND)],
            format!("({}", plan::sortable(before)),
        );
        let mut all = 0;
        loop {
            let dropped = self.drop_of(&indexes, &bound, BATCH as i64).await?;
            all += dropped;
            if dropped < BATCH as u64 {
                return Ok(all);
            }
        }
    }
}
