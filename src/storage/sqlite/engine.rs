//! The record engine on SQLite.

use std::{collections::HashMap, path::Path, sync::Arc};

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params, types::Value};

use super::{OpenError, schema, tables::Table, threads::Threads};
use crate::{
    domain::record::{Index, Key, Kind},
    ports::{Expect, Parts, Range, RecordEngine, Revision, StoreError, Stored, Write},
};

/// A record engine on one SQLite file, with a table per kind. Concurrent writes share a commit;
/// each is acknowledged after the file is synchronized.
pub struct SqliteEngine {
    threads: Threads,
    tables: HashMap<&'static str, Arc<Table>>,
}

impl SqliteEngine {
    /// Opens the file and creates the tables and indexes of the kinds. Creates the file and its
    /// folder if they are missing (modes 0600 and 0700).
    ///
    /// # Errors
    /// When the file cannot be used.
    pub async fn open(path: &Path, kinds: &'static [&'static Kind]) -> Result<Self, OpenError> {
        let tables: Vec<_> = kinds
            .iter()
            .map(|kind| Arc::new(Table::new(kind)))
            .collect();
        let prepared = tables.clone();
        let threads = Threads::start(path, move |connection, path| {
            schema::prepare(connection, path, &prepared)
        });
        Ok(Self {
            threads: threads.await?,
            tables: kinds.iter().map(|kind| kind.name).zip(tables).collect(),
        })
    }

    /// Checks whether any process has the file open. The file must exist.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn in_use(path: &Path) -> Result<bool, OpenError> {
        schema::in_use(path)
    }

    fn table(&self, kind: &'static Kind) -> Result<Arc<Table>, StoreError> {
        self.tables.get(kind.name).cloned().ok_or(UNDECLARED)
    }
}

impl std::fmt::Debug for SqliteEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SqliteEngine")
    }
}

/// The kind was not declared when the store was opened, or its kind does not have this index.
const UNDECLARED: StoreError = StoreError::Refused("this kind of record is not declared");

/// A part of an index, between two places. A place is a key and an ID; in [`Index::ID`] the key
/// is empty.
struct Span {
    /// The first place of the span.
    low: (String, String),
    /// The first place after the span; `None` if the span ends with the index.
    high: Option<(String, String)>,
}

impl Span {
    fn new(index: Index, range: &Range) -> Self {
        let place = |key: &Key| match index {
            Index::ID => (String::new(), key.as_str().to_owned()),
            _ => (key.as_str().to_owned(), String::new()),
        };
        let mut low = range.from.as_ref().map(place).unwrap_or_default();
        let mut high = range.before.as_ref().map(place);
        if let Some((key, id)) = &range.after {
            let key = match index {
                Index::ID => String::new(),
                _ => key.as_str().to_owned(),
            };
            if range.backwards {
                let after = (key, id.clone());
                high = Some(high.map_or(after.clone(), |high| high.min(after)));
            } else {
                // The next text in byte order.
                low = low.max((key, format!("{id}\0")));
            }
        }
        Self { low, high }
    }

    /// Returns the parameters of [`Table::list`] before the limit.
    fn places(self, index: Index) -> Vec<Value> {
        let (low, high) = (self.low, self.high);
        let (high_key, high_id) =
            high.map_or((AFTER_ALL, AFTER_ALL), |(key, id)| (key.into(), id.into()));
        match index {
            Index::ID => vec![low.1.into(), high_id],
            _ => vec![low.0.into(), low.1.into(), high_key, high_id],
        }
    }

    /// Returns the parameters of [`Table::count`].
    fn keys(self, index: Index) -> [Value; 2] {
        let key = |(key, id): (String, String)| match index {
            Index::ID => id.into(),
            _ => key.into(),
        };
        [key(self.low), self.high.map_or(AFTER_ALL, key)]
    }
}

/// In SQLite, every blob sorts after every text.
const AFTER_ALL: Value = Value::Blob(Vec::new());

/// Converts a number to SQLite's integers, up to their maximum. No revision is that high.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn revision(row: &Row<'_>, column: usize) -> rusqlite::Result<Revision> {
    row.get::<_, i64>(column).map(i64::unsigned_abs)
}

fn stored(row: &Row<'_>) -> rusqlite::Result<Stored> {
    Ok(Stored {
        id: row.get(0)?,
        revision: revision(row, 1)?,
        version: row.get(2)?,
        body: row.get(3)?,
        blob: row.get(4)?,
    })
}

fn put(
    connection: &Connection,
    table: &Table,
    write: &Write,
) -> Result<Option<Revision>, StoreError> {
    let keys: Vec<_> = table
        .indexes
        .iter()
        .map(|index| write.keys.get(*index).map(Key::as_str))
        .collect();
    let mut values: Vec<&dyn ToSql> = vec![&write.id, &write.version, &write.body, &write.blob];
    values.extend(keys.iter().map(|key| key as &dyn ToSql));
    let expected = match write.expect {
        Expect::Revision(revision) => Some(signed(revision)),
        Expect::Absent | Expect::Any => None,
    };
    values.extend(expected.as_ref().map(|revision| revision as &dyn ToSql));
    let mut statement = connection.prepare_cached(table.put(write.expect))?;
    let written = statement.query_row(&*values, |row| revision(row, 0));
    Ok(written.optional()?)
}

#[async_trait]
impl RecordEngine for SqliteEngine {
    async fn get(
        &self,
        kind: &'static Kind,
        ids: &[String],
        parts: Parts,
    ) -> Result<Vec<Option<Stored>>, StoreError> {
        let (table, ids) = (self.table(kind)?, ids.to_vec());
        let get = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(table.get(parts))?;
            let found = ids
                .iter()
                .map(|id| statement.query_row([id], stored).optional());
            Ok(found.collect::<Result<_, _>>()?)
        };
        self.threads.read(get).await
    }

    async fn scan(
        &self,
        kind: &'static Kind,
        index: Index,
        range: &Range,
        limit: usize,
        parts: Parts,
    ) -> Result<Vec<Stored>, StoreError> {
        let (table, backwards) = (self.table(kind)?, range.backwards);
        let mut values = Span::new(index, range).places(index);
        values.push(signed(limit as u64).into());
        let scan = move |connection: &Connection| {
            let list = table.list(index, backwards, parts).ok_or(UNDECLARED)?;
            let mut statement = connection.prepare_cached(list)?;
            let found = statement.query_map(rusqlite::params_from_iter(values), stored)?;
            Ok(found.collect::<Result<_, _>>()?)
        };
        self.threads.read(scan).await
    }

    async fn put(&self, write: Write) -> Result<Option<Revision>, StoreError> {
        let table = self.table(write.kind)?;
        let declared = |index: &Index| table.indexes.contains(index);
        if !write.keys.iter().all(|(index, _)| declared(index)) {
            return Err(UNDECLARED);
        }
        self.threads
            .write(move |connection| put(connection, &table, &write))
            .await
    }

    async fn delete(
        &self,
        kind: &'static Kind,
        records: &[(String, Option<Revision>)],
    ) -> Result<u64, StoreError> {
        let (table, records) = (self.table(kind)?, records.to_vec());
        let delete = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(&table.delete)?;
            let mut deleted = 0;
            for (id, revision) in &records {
                deleted += statement.execute(params![id, revision.map(signed)])? as u64;
            }
            Ok(deleted)
        };
        self.threads.write(delete).await
    }

    async fn count(
        &self,
        kind: &'static Kind,
        index: Index,
        range: &Range,
    ) -> Result<u64, StoreError> {
        let table = self.table(kind)?;
        let values = Span::new(index, &range.clone().after(None)).keys(index);
        let count = move |connection: &Connection| {
            let count = table.count(index).ok_or(UNDECLARED)?;
            let mut statement = connection.prepare_cached(count)?;
            let counted: i64 = statement.query_row(values, |row| row.get(0))?;
            Ok(counted.unsigned_abs())
        };
        self.threads.read(count).await
    }

    fn description(&self) -> String {
        format!("sqlite {}", rusqlite::version())
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.threads.ping().await
    }

    async fn clear_traces(&self) -> Result<Option<String>, StoreError> {
        self.threads.clear_traces().await
    }

    async fn close(&self) {
        self.threads.close().await;
    }
}
