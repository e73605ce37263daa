//! A record engine in memory, for tests. It is also the model that every other engine is compared
//! with.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Bound,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;

use crate::{
    domain::record::{Index, Key, Keys, Kind},
    ports::{Expect, Parts, Range, RecordEngine, Revision, StoreError, Stored, Write},
};

/// Records by ID, and the entries of each index, of one kind.
#[derive(Default)]
struct Table {
    records: BTreeMap<String, (Stored, Keys)>,
    entries: HashMap<Index, BTreeSet<(Key, String)>>,
}

/// A record engine that keeps records in maps, until it is dropped.
#[derive(Default)]
pub struct MemoryEngine {
    tables: Mutex<HashMap<&'static str, Table>>,
}

impl MemoryEngine {
    fn tables(&self) -> MutexGuard<'_, HashMap<&'static str, Table>> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for MemoryEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MemoryEngine")
    }
}

impl Table {
    fn remove(&mut self, id: &str) -> bool {
        let Some((_, keys)) = self.records.remove(id) else {
            return false;
        };
        for (index, key) in keys.iter() {
            if let Some(entries) = self.entries.get_mut(index) {
                entries.remove(&(key.clone(), id.to_owned()));
            }
        }
        true
    }

    fn is_taken(&self, index: Index, key: &Key, id: &str) -> bool {
        let from = (key.clone(), String::new());
        let first = self
            .entries
            .get(&index)
            .and_then(|entries| entries.range(from..).next());
        first.is_some_and(|(other, holder)| other == key && holder != id)
    }

    /// Returns the IDs in a range, in the direction of reading.
    fn ids(&self, index: Index, range: &Range) -> Vec<String> {
        let by_id = index == Index::ID;
        let position = |key: &Key| match by_id {
            true => (Key::default(), key.as_str().to_owned()),
            false => (key.clone(), String::new()),
        };
        let mut low = range
            .from
            .as_ref()
            .map(&position)
            .map_or(Bound::Unbounded, Bound::Included);
        let mut high = range
            .before
            .as_ref()
            .map(&position)
            .map_or(Bound::Unbounded, Bound::Excluded);
        let after = range.after.clone().map(|(key, id)| match by_id {
            true => (Key::default(), id),
            false => (key, id),
        });
        let inside = |place: &(Key, String), low: &Bound<_>, high: &Bound<_>| {
            (match low {
                Bound::Included(low) => place >= low,
                _ => true,
            }) && (match high {
                Bound::Excluded(high) => place < high,
                _ => true,
            })
        };
        if let Some(after) = after {
            if !inside(&after, &low, &high) {
                // A cursor before the range excludes nothing; one behind it excludes everything.
                let before_range = match (range.backwards, &low, &high) {
                    (false, Bound::Included(low), _) => after < *low,
                    (true, _, Bound::Excluded(high)) => after >= *high,
                    _ => false,
                };
                if !before_range {
                    return Vec::new();
                }
            } else if range.backwards {
                high = Bound::Excluded(after);
            } else {
                low = Bound::Excluded(after);
            }
        }
        if is_empty(&low, &high) {
            return Vec::new();
        }
        let ids: Vec<String> = match by_id {
            true => {
                let bound = |bound: Bound<(Key, String)>| bound.map(|(_, id)| id);
                let records = self.records.range((bound(low), bound(high)));
                records.map(|(id, _)| id.clone()).collect()
            }
            false => {
                let entries = self.entries.get(&index);
                let entries = entries
                    .into_iter()
                    .flat_map(|entries| entries.range((low.clone(), high.clone())));
                entries.map(|(_, id)| id.clone()).collect()
            }
        };
        match range.backwards {
            true => ids.into_iter().rev().collect(),
            false => ids,
        }
    }
}

/// Checks whether nothing can be between two bounds. `BTreeMap::range` panics on some of them.
fn is_empty<T: Ord>(low: &Bound<T>, high: &Bound<T>) -> bool {
    match (low, high) {
        (Bound::Included(low) | Bound::Excluded(low), Bound::Excluded(high)) => low >= high,
        _ => false,
    }
}

/// Returns a copy with the requested parts.
fn with_parts(stored: &Stored, parts: Parts) -> Stored {
    Stored {
        id: stored.id.clone(),
        revision: stored.revision,
        version: stored.version,
        body: match parts {
            Parts::Head => String::new(),
            Parts::Body | Parts::Whole => stored.body.clone(),
        },
        blob: stored.blob.clone().filter(|_| parts == Parts::Whole),
    }
}

#[async_trait]
impl RecordEngine for MemoryEngine {
    async fn get(
        &self,
        kind: &'static Kind,
        ids: &[String],
        parts: Parts,
    ) -> Result<Vec<Option<Stored>>, StoreError> {
        let mut tables = self.tables();
        let table = tables.entry(kind.name).or_default();
        let found = ids.iter().map(|id| table.records.get(id));
        Ok(found
            .map(|found| found.map(|(stored, _)| with_parts(stored, parts)))
            .collect())
    }

    async fn scan(
        &self,
        kind: &'static Kind,
        index: Index,
        range: &Range,
        limit: usize,
        parts: Parts,
    ) -> Result<Vec<Stored>, StoreError> {
        let mut tables = self.tables();
        let table = tables.entry(kind.name).or_default();
        let ids = table.ids(index, range).into_iter().take(limit);
        Ok(ids
            .filter_map(|id| table.records.get(&id))
            .map(|(stored, _)| with_parts(stored, parts))
            .collect())
    }

    async fn put(&self, write: Write) -> Result<Option<Revision>, StoreError> {
        let mut tables = self.tables();
        let table = tables.entry(write.kind.name).or_default();
        let present = table
            .records
            .get(&write.id)
            .map(|(stored, _)| stored.revision);
        match (write.expect, present) {
            (Expect::Absent, Some(_)) => return Err(StoreError::Conflict),
            (Expect::Revision(expected), present) if present != Some(expected) => return Ok(None),
            _ => {}
        }
        let is_taken =
            |(index, key): &(Index, Key)| index.unique && table.is_taken(*index, key, &write.id);
        if write.keys.iter().any(is_taken) {
            return Err(StoreError::Conflict);
        }
        table.remove(&write.id);
        for (index, key) in write.keys.iter() {
            let entries = table.entries.entry(*index).or_default();
            entries.insert((key.clone(), write.id.clone()));
        }
        let revision = present.unwrap_or(0) + 1;
        let stored = Stored {
            id: write.id.clone(),
            revision,
            version: write.version,
            body: write.body,
            blob: write.blob,
        };
        table.records.insert(write.id, (stored, write.keys));
        Ok(Some(revision))
    }

    async fn delete(
        &self,
        kind: &'static Kind,
        records: &[(String, Option<Revision>)],
    ) -> Result<u64, StoreError> {
        let mut tables = self.tables();
        let table = tables.entry(kind.name).or_default();
        let mut deleted = 0;
        for (id, revision) in records {
            let present = table.records.get(id).map(|(stored, _)| stored.revision);
            if present.is_some_and(|present| revision.is_none_or(|wanted| wanted == present)) {
                deleted += u64::from(table.remove(id));
            }
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
        let mut tables = self.tables();
        let table = tables.entry(kind.name).or_default();
        Ok(table.ids(index, &range).len() as u64)
    }

    fn description(&self) -> String {
        "memory".to_owned()
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn clear_traces(&self) -> Result<Option<String>, StoreError> {
        Ok(None)
    }

    async fn close(&self) {}
}
