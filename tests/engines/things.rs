//! The kinds of records in the contract, and short ways to write and read them.

use std::time::{Duration, Instant};

use rollcall::{
    domain::record::{Index, Key, KeyParts, Keys, Kind},
    ports::{Expect, Parts, Range, RecordEngine, Revision, StoreError, Stored, Write},
};
use serde_json::{Value, json};

/// How long a server may take to answer a read.
const PATIENCE: Duration = Duration::from_secs(60);

/// A unique index.
pub const CODE: Index = Index::unique("by_code");

/// An ordered index.
pub const OWNER: Index = Index::ordered("by_owner");

/// Another ordered index.
pub const TIME: Index = Index::ordered("by_time");

/// All declared indexes.
pub const INDEXES: [Index; 3] = [CODE, OWNER, TIME];

/// The kind in most tests.
pub static THINGS: Kind = Kind::archived("things", "thing", &INDEXES);

/// A kind with indexes of the same names.
pub static OTHERS: Kind = Kind::transient("other_things", "other thing", &[CODE, TIME]);

/// The kinds that an engine is opened with.
pub static KINDS: &[&Kind] = &[&THINGS, &OTHERS];

/// Returns a new thing without keys and blob, for inserting.
pub fn thing(id: &str) -> Write {
    Write {
        kind: &THINGS,
        id: id.to_owned(),
        version: 1,
        body: json!({ "name": id }).to_string(),
        blob: None,
        keys: Keys::default(),
        expect: Expect::Absent,
    }
}

/// Changes one part of a record to write.
pub trait Change {
    fn of(self, kind: &'static Kind) -> Self;
    fn key(self, index: Index, parts: impl KeyParts) -> Self;
    fn body(self, body: Value) -> Self;
    fn blob(self, blob: &[u8]) -> Self;
    fn expect(self, expect: Expect) -> Self;
}

impl Change for Write {
    fn of(self, kind: &'static Kind) -> Self {
        Self { kind, ..self }
    }

    fn key(mut self, index: Index, parts: impl KeyParts) -> Self {
        self.keys.add(index, parts);
        self
    }

    fn body(self, body: Value) -> Self {
        let body = body.to_string();
        Self { body, ..self }
    }

    fn blob(self, blob: &[u8]) -> Self {
        let blob = Some(blob.to_vec());
        Self { blob, ..self }
    }

    fn expect(self, expect: Expect) -> Self {
        Self { expect, ..self }
    }
}

/// Normalizes the order of members and the whitespace of JSON, because an engine may change both.
pub fn normal(body: &str) -> String {
    if body.is_empty() {
        return String::new();
    }
    let value: Value = serde_json::from_str(body).unwrap();
    value.to_string()
}

/// Returns what an engine returns for a whole record that was written.
pub fn stored(write: &Write, revision: Revision) -> Stored {
    Stored {
        id: write.id.clone(),
        revision,
        version: write.version,
        body: normal(&write.body),
        blob: write.blob.clone(),
    }
}

/// Writes a record; panics if it cannot be written.
pub async fn put(engine: &dyn RecordEngine, write: Write) -> Revision {
    let id = write.id.clone();
    let written = engine.put(write).await.unwrap();
    written.unwrap_or_else(|| panic!("{id:?} was not in the expected revision"))
}

/// Repeats a read while its server, on a busy machine, does not answer within the time of a call.
async fn patiently<T>(read: impl AsyncFn() -> Result<T, StoreError>) -> T {
    let begun = Instant::now();
    loop {
        match read().await {
            Err(StoreError::Unavailable(_)) if begun.elapsed() < PATIENCE => {}
            answer => return answer.unwrap(),
        }
    }
}

/// Reads whole records.
pub async fn get(
    engine: &dyn RecordEngine,
    kind: &'static Kind,
    ids: &[&str],
) -> Vec<Option<Stored>> {
    let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
    let found = patiently(async || engine.get(kind, &ids, Parts::Whole).await).await;
    let normalized = |stored: Stored| Stored {
        body: normal(&stored.body),
        ..stored
    };
    found
        .into_iter()
        .map(|stored| stored.map(normalized))
        .collect()
}

/// Reads a whole thing.
pub async fn get_thing(engine: &dyn RecordEngine, id: &str) -> Option<Stored> {
    get(engine, &THINGS, &[id]).await.remove(0)
}

/// Reads the IDs of all things in a range.
pub async fn ids(engine: &dyn RecordEngine, index: Index, range: &Range) -> Vec<String> {
    let scan = async || {
        let limit = usize::MAX;
        engine.scan(&THINGS, index, range, limit, Parts::Head).await
    };
    ids_of(Ok(patiently(scan).await))
}

/// Returns the IDs of found records.
pub fn ids_of(found: Result<Vec<Stored>, StoreError>) -> Vec<String> {
    found.unwrap().into_iter().map(|stored| stored.id).collect()
}

/// Reads the IDs of all things in a range, page by page. `key` returns the key of a thing in the
/// index.
pub async fn paged_ids(
    engine: &dyn RecordEngine,
    index: Index,
    range: Range,
    limit: usize,
    key: impl Fn(&str) -> Key,
) -> Vec<String> {
    let (mut found, mut range) = (Vec::new(), range);
    loop {
        let page = ids_of(
            engine
                .scan(&THINGS, index, &range, limit, Parts::Head)
                .await,
        );
        assert!(page.len() <= limit);
        let full = page.len() == limit;
        found.extend(page);
        match found.last() {
            Some(last) if full => range = range.after(Some((key(last), last.clone()))),
            _ => return found,
        }
    }
}
