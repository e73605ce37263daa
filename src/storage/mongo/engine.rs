//! The record engine on MongoDB: one collection per kind, one document per record.
//!
//! ```text
//! {_id: ID, rev: 1, v: 1, body: {the record's fields}, blob: bytes, x_by_email: key, …}
//! ```
//!
//! A key that a record lacks is not in its document, so that sparse unique indexes skip it.
//! MongoDB compares texts byte by byte, because there is no collation. Every method takes one
//! round trip, unless writes of one record conflict.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use futures::TryStreamExt;
use jiff::Timestamp;
use mongodb::{
    Collection, IndexModel,
    bson::{Binary, Document, RawDocument, RawDocumentBuf, doc, spec::BinarySubtype},
    error::{Error, ErrorKind},
    options::{IndexOptions, ReturnDocument},
};

use super::{ConnectError, MongoSettings, json, link::Link, schema::Layout};
use crate::{
    domain::record::{Index, Key, Kind},
    ports::{Expect, Parts, Range, RecordEngine, Revision, StoreError, Stored, Write},
};

/// The schema version that this program writes.
const SCHEMA: i64 = 2;

/// The maximum number of documents in one reply.
const BATCH: usize = 100_000;

/// The maximum number of attempts to add or replace a record that others add and delete.
const TRIES: u32 = 3;

/// The code of a failure without a more specific code. FerretDB returns it if an update would
/// duplicate a unique key.
const INTERNAL_ERROR: i32 = 1;

/// A record engine on one MongoDB database.
#[derive(Debug)]
pub struct MongoEngine {
    link: Arc<Link>,
}

impl MongoEngine {
    /// Connects, and creates the indexes of the kinds. If no server answers, still returns an
    /// engine: the first call that reaches a server creates the indexes.
    ///
    /// # Errors
    /// When the settings or the database cannot be used.
    pub async fn connect(
        settings: MongoSettings,
        kinds: &'static [&'static Kind],
    ) -> Result<Self, ConnectError> {
        let indexes = kinds.iter().map(|kind| {
            let indexes = kind.indexes.iter().copied().map(model);
            (kind.name, indexes.collect())
        });
        let layout = Layout {
            version: SCHEMA,
            indexes: indexes.collect(),
        };
        let link = Link::connect(settings, layout).await?;
        Ok(Self { link })
    }

    async fn find(
        &self,
        kind: &'static Kind,
        filter: Document,
        sort: Document,
        limit: usize,
        parts: Parts,
    ) -> Result<Vec<Stored>, StoreError> {
        let found = self.link.call(kind.name, move |collection| async move {
            let mut find = collection
                .find(filter)
                .sort(sort)
                // One more than the limit, so that the server closes the cursor with the reply.
                .batch_size(u32::try_from(limit.saturating_add(1).min(BATCH)).unwrap_or(u32::MAX));
            find = match parts {
                Parts::Head => find.projection(doc! { "rev": 1, "v": 1 }),
                Parts::Body => find.projection(doc! { "rev": 1, "v": 1, "body": 1 }),
                Parts::Whole => find,
            };
            if let Ok(limit) = i64::try_from(limit) {
                find = find.limit(limit);
            }
            Ok(find.await?.try_collect::<Vec<_>>().await?)
        });
        let found = found.await?;
        let read = |document: RawDocumentBuf| {
            stored(&document, parts)
                .ok_or_else(|| StoreError::Corrupt(format!("a damaged {}", kind.one)))
        };
        found.into_iter().map(read).collect()
    }
}

/// Returns the field that holds the keys of an index.
fn field(index: Index) -> String {
    match index {
        Index::ID => "_id".to_owned(),
        index => format!("x_{}", index.name),
    }
}

/// Returns the sort order of an index; direction -1 is descending. A unique index needs no ID to
/// break ties.
fn order(index: Index, direction: i32) -> Document {
    let mut order = doc! { field(index): direction };
    if !index.unique {
        order.insert("_id", direction);
    }
    order
}

fn model(index: Index) -> IndexModel {
    // With the ID in it, a unique index would not be sparse: every record has an ID.
    let unique = IndexOptions::builder().unique(true).sparse(true).build();
    IndexModel::builder()
        .keys(order(index, 1))
        .options(index.unique.then_some(unique))
        .build()
}

/// Returns the filter for a range of an index. The cursor also bounds the key, so that MongoDB
/// starts to read at the cursor.
fn filter(index: Index, range: &Range) -> Document {
    let field = field(index);
    let (strictly, inclusive) = match range.backwards {
        true => ("$lt", "$lte"),
        false => ("$gt", "$gte"),
    };
    // Matches every text, and nothing else: only records in the index.
    let from = range.from.as_ref().map_or("", Key::as_str);
    let mut all = vec![doc! { &field: { "$gte": from } }];
    if let Some(before) = &range.before {
        all.push(doc! { &field: { "$lt": before.as_str() } });
    }
    match &range.after {
        None => {}
        Some((_, id)) if index == Index::ID => all.push(doc! { &field: { strictly: id } }),
        Some((key, id)) => {
            let key = key.as_str();
            all.push(doc! { &field: { inclusive: key } });
            all.push(doc! { "$or": [
                { &field: { strictly: key } },
                { &field: key, "_id": { strictly: id } },
            ] });
        }
    }
    doc! { "$and": all }
}

/// Reads a document; returns `None` if [`fields`] cannot have written it.
fn stored(document: &RawDocument, parts: Parts) -> Option<Stored> {
    let body = match parts {
        Parts::Head => String::new(),
        Parts::Body | Parts::Whole => json::from_bson(document.get("body").ok()??).ok()?,
    };
    let blob = match document.get("blob").ok()? {
        Some(blob) => Some(blob.as_binary()?.bytes.to_vec()),
        None => None,
    };
    Some(Stored {
        id: document.get_str("_id").ok()?.to_owned(),
        revision: document.get_i64("rev").ok()?.try_into().ok()?,
        version: document.get_i32("v").ok()?.try_into().ok()?,
        body,
        blob,
    })
}

/// Returns the fields of a record, except ID and revision.
fn fields(write: &Write) -> Result<Document, StoreError> {
    let body = json::to_bson(&write.body).map_err(|_| {
        StoreError::Corrupt(format!("a {} that MongoDB cannot store", write.kind.one))
    })?;
    let mut fields = doc! { "v": i32::from(write.version), "body": body };
    if let Some(blob) = &write.blob {
        fields.insert(
            "blob",
            Binary {
                subtype: BinarySubtype::Generic,
                bytes: blob.clone(),
            },
        );
    }
    for (index, key) in write.keys.iter() {
        fields.insert(field(*index), key.as_str());
    }
    Ok(fields)
}

/// Returns a filter for other records with one of the same unique keys; `None` if the record has
/// no unique key.
fn rivals(write: &Write) -> Option<Document> {
    let unique = write.keys.iter().filter(|(index, _)| index.unique);
    let same: Vec<_> = unique
        .map(|(index, key)| doc! { field(*index): key.as_str() })
        .collect();
    (!same.is_empty()).then(|| doc! { "_id": { "$ne": &write.id }, "$or": same })
}

/// Translates an error of a replacement. A failure without a specific code is a conflict if a
/// rival exists.
async fn failure(
    collection: &Collection<RawDocumentBuf>,
    rivals: Option<Document>,
    error: Error,
) -> StoreError {
    let internal =
        matches!(&*error.kind, ErrorKind::Command(error) if error.code == INTERNAL_ERROR);
    match rivals {
        Some(rivals) if internal => match collection.find_one(rivals).await {
            Ok(Some(_)) => StoreError::Conflict,
            Ok(None) => error.into(),
            Err(error) => error.into(),
        },
        _ => error.into(),
    }
}

/// Returns the document of a record.
fn document(id: &str, revision: i64, fields: Document) -> Result<RawDocumentBuf, StoreError> {
    let mut document = doc! { "_id": id, "rev": revision };
    document.extend(fields);
    RawDocumentBuf::try_from(document).map_err(|error| Error::from(error).into())
}

/// Returns an update that adds or replaces a record, whatever its revision.
fn replacement(write: &Write, fields: Document) -> Document {
    let mut unset = Document::new();
    for index in write.kind.indexes {
        unset.insert(field(*index), "");
    }
    unset.insert("blob", "");
    for field in fields.keys() {
        unset.remove(field);
    }
    let mut change = doc! { "$set": fields, "$inc": { "rev": 1_i64 } };
    if !unset.is_empty() {
        change.insert("$unset", unset);
    }
    change
}

#[async_trait]
impl RecordEngine for MongoEngine {
    async fn get(
        &self,
        kind: &'static Kind,
        ids: &[String],
        parts: Parts,
    ) -> Result<Vec<Option<Stored>>, StoreError> {
        let filter = match ids {
            [] => return Ok(Vec::new()),
            [id] => doc! { "_id": id },
            ids => doc! { "_id": { "$in": ids } },
        };
        let found = self.find(kind, filter, doc! {}, ids.len(), parts).await?;
        let found: HashMap<_, _> = found.into_iter().map(|one| (one.id.clone(), one)).collect();
        Ok(ids.iter().map(|id| found.get(id).cloned()).collect())
    }

    async fn scan(
        &self,
        kind: &'static Kind,
        index: Index,
        range: &Range,
        limit: usize,
        parts: Parts,
    ) -> Result<Vec<Stored>, StoreError> {
        if limit == 0 {
            // To MongoDB, 0 means no limit.
            return Ok(Vec::new());
        }
        let sort = order(index, if range.backwards { -1 } else { 1 });
        self.find(kind, filter(index, range), sort, limit, parts)
            .await
    }

    async fn put(&self, write: Write) -> Result<Option<Revision>, StoreError> {
        let fields = fields(&write)?;
        let (collection, id, rivals) = (write.kind.name, &write.id, rivals(&write));
        match write.expect {
            Expect::Absent => {
                let document = document(id, 1, fields)?;
                self.link
                    .call(collection, |collection| async move {
                        collection.insert_one(document).await?;
                        Ok(Some(1))
                    })
                    .await
            }
            Expect::Revision(revision) => {
                let Ok(old) = i64::try_from(revision) else {
                    return Ok(None);
                };
                let filter = doc! { "_id": id, "rev": old };
                let document = document(id, old.saturating_add(1), fields)?;
                self.link
                    .call(collection, move |collection| async move {
                        match collection.replace_one(filter, document).await {
                            Ok(done) => Ok((done.matched_count > 0).then_some(revision + 1)),
                            Err(error) => Err(failure(&collection, rivals, error).await),
                        }
                    })
                    .await
            }
            Expect::Any => {
                let (filter, change) = (doc! { "_id": id }, replacement(&write, fields));
                self.link
                    .call(collection, |collection| async move {
                        replace_or_insert(&collection, filter, change, rivals).await
                    })
                    .await
                    .map(Some)
            }
        }
    }

    async fn delete(
        &self,
        kind: &'static Kind,
        records: &[(String, Option<Revision>)],
    ) -> Result<u64, StoreError> {
        let (mut any, mut all) = (Vec::new(), Vec::new());
        for (id, revision) in records {
            match revision.map(i64::try_from) {
                None => any.push(id.as_str()),
                Some(Ok(revision)) => all.push(doc! { "_id": id, "rev": revision }),
                Some(Err(_)) => {}
            }
        }
        match any[..] {
            [] => {}
            [id] => all.push(doc! { "_id": id }),
            _ => all.push(doc! { "_id": { "$in": any } }),
        }
        let one = records.len() == 1;
        let filter = match all.len() {
            0 => return Ok(0),
            1 => all.remove(0),
            _ => doc! { "$or": all },
        };
        self.link
            .call(kind.name, move |collection| async move {
                let deleted = match one {
                    // The driver retries this one after a failover, but not `delete_many`.
                    true => collection.delete_one(filter).await?,
                    false => collection.delete_many(filter).await?,
                };
                Ok(deleted.deleted_count)
            })
            .await
    }

    async fn count(
        &self,
        kind: &'static Kind,
        index: Index,
        range: &Range,
    ) -> Result<u64, StoreError> {
        let filter = filter(index, &range.clone().after(None));
        self.link
            .call(kind.name, |collection| async move {
                Ok(collection.count_documents(filter).await?)
            })
            .await
    }

    fn description(&self) -> String {
        self.link.description()
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.link.ping().await
    }

    async fn time(&self) -> Result<Option<Timestamp>, StoreError> {
        self.link.time().await.map(Some)
    }

    async fn clear_traces(&self) -> Result<Option<String>, StoreError> {
        let left = "MongoDB's oplog and journal contain it until they are overwritten";
        Ok(Some(left.to_owned()))
    }

    async fn close(&self) {
        self.link.close().await;
    }
}

/// Adds or replaces a record and returns its new revision.
async fn replace_or_insert(
    collection: &Collection<RawDocumentBuf>,
    filter: Document,
    change: Document,
    rivals: Option<Document>,
) -> Result<Revision, StoreError> {
    let mut tries = 0;
    loop {
        tries += 1;
        // The reply repeats the record, because FerretDB does not support a projection here.
        let replaced = collection
            .find_one_and_update(filter.clone(), change.clone())
            .upsert(true)
            .return_document(ReturnDocument::After)
            .await;
        let error = match replaced {
            Ok(document) => {
                let revision = document.and_then(|document| document.get_i64("rev").ok());
                return revision
                    .and_then(|revision| revision.try_into().ok())
                    .ok_or_else(|| StoreError::Corrupt("a document without its revision".into()));
            }
            Err(error) => failure(collection, rivals.clone(), error).await,
        };
        // If two callers add a record at once, one of them may get a conflict.
        if error != StoreError::Conflict || tries == TRIES {
            return Err(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use mongodb::bson::Bson;

    use super::*;
    use crate::domain::{attendance::Punch, record::Record};

    fn key(parts: &str) -> Key {
        Key::from_text(parts.replace('/', "\u{1}"))
    }

    /// Collects the names of the fields that a filter compares.
    fn fields_of<'a>(filter: &'a Document, seen: &mut BTreeSet<&'a str>) {
        for (name, value) in filter {
            match value {
                Bson::Array(branches) if name.starts_with('$') => {
                    for branch in branches {
                        fields_of(branch.as_document().unwrap(), seen);
                    }
                }
                _ => {
                    seen.insert(name);
                }
            }
        }
    }

    /// Checks that one index of the kind answers a query in its order, and reads only the range
    /// and, before a cursor, only records with the same key.
    fn assert_served_by_index(kind: &Kind, filter: &Document, sort: &Document) {
        let (first, direction) = sort.iter().next().unwrap();
        let indexes = kind.indexes.iter().map(|index| model(*index).keys);
        let ids = doc! { "_id": 1 };
        let index = indexes
            .chain([ids])
            .find(|index| {
                let sorted: Vec<_> = index.keys().collect();
                sort.keys().eq(sorted) && sort.values().all(|other| other == direction)
            })
            .unwrap_or_else(|| panic!("no index sorts by {sort}"));
        let mut compared = BTreeSet::new();
        fields_of(filter, &mut compared);
        // Every index orders by ID: an index without it has one record per key.
        compared.remove("_id");
        assert!(compared.iter().all(|field| index.contains_key(field)));
        // A bound on the first field, at the top level of the filter, is where reading starts.
        let bounds: Vec<_> = filter.get_array("$and").unwrap().iter().collect();
        let bound = |operators: &[&str]| {
            bounds.iter().any(|bound| {
                let bound = bound.as_document().unwrap().get_document(first);
                bound.is_ok_and(|bound| operators.iter().any(|it| bound.contains_key(it)))
            })
        };
        assert!(bound(&["$gt", "$gte"]), "{filter}");
    }

    #[test]
    fn every_query_of_a_punch_is_answered_by_an_index() {
        let within = |prefix| Range::within(key(prefix));
        let last = Some((key("e/8"), "id".to_owned()));
        let queries = [
            // The punch of a request, by a unique key.
            (
                Punch::BY_REQUEST,
                Range::all().from(key("d/k")).before(key("d/k/")),
                doc! { "$and": [
                    { "x_by_request": { "$gte": "d\u{1}k" } },
                    { "x_by_request": { "$lt": "d\u{1}k\u{1}" } },
                ] },
                doc! { "x_by_request": 1 },
            ),
            // An employee's last written punch, and the last before a moment.
            (
                Punch::BY_SEQUENCE,
                within("e").backwards(),
                doc! { "$and": [
                    { "x_by_sequence": { "$gte": "e" } },
                    { "x_by_sequence": { "$lt": "e\u{2}" } },
                ] },
                doc! { "x_by_sequence": -1 },
            ),
            (
                Punch::BY_EMPLOYEE,
                Range::all().from(key("e")).before(key("e/9")).backwards(),
                doc! { "$and": [
                    { "x_by_employee": { "$gte": "e" } },
                    { "x_by_employee": { "$lt": "e\u{1}9" } },
                ] },
                doc! { "x_by_employee": -1, "_id": -1 },
            ),
            // When the device last sent punches.
            (
                Punch::SYNCHRONIZED,
                within("d").backwards(),
                doc! { "$and": [
                    { "x_synchronized": { "$gte": "d" } },
                    { "x_synchronized": { "$lt": "d\u{2}" } },
                ] },
                doc! { "x_synchronized": -1, "_id": -1 },
            ),
            // A page of an employee's punches, the newest first.
            (
                Punch::BY_EMPLOYEE,
                within("e").backwards().after(last.clone()),
                doc! { "$and": [
                    { "x_by_employee": { "$gte": "e" } },
                    { "x_by_employee": { "$lt": "e\u{2}" } },
                    { "x_by_employee": { "$lte": "e\u{1}8" } },
                    { "$or": [
                        { "x_by_employee": { "$lt": "e\u{1}8" } },
                        { "x_by_employee": "e\u{1}8", "_id": { "$lt": "id" } },
                    ] },
                ] },
                doc! { "x_by_employee": -1, "_id": -1 },
            ),
            // A page of all punches by time, the oldest first.
            (
                Punch::BY_RECORDING,
                Range::all().from(key("7")).after(last.clone()),
                doc! { "$and": [
                    { "x_by_recording": { "$gte": "7" } },
                    { "x_by_recording": { "$gte": "e\u{1}8" } },
                    { "$or": [
                        { "x_by_recording": { "$gt": "e\u{1}8" } },
                        { "x_by_recording": "e\u{1}8", "_id": { "$gt": "id" } },
                    ] },
                ] },
                doc! { "x_by_recording": 1, "_id": 1 },
            ),
            // A page of a backup.
            (
                Index::ID,
                Range::all().after(last),
                doc! { "$and": [
                    { "_id": { "$gte": "" } },
                    { "_id": { "$gt": "id" } },
                ] },
                doc! { "_id": 1 },
            ),
        ];
        for (index, range, wanted, sort) in queries {
            assert_eq!(filter(index, &range), wanted);
            assert_eq!(order(index, if range.backwards { -1 } else { 1 }), sort);
            assert_served_by_index(Punch::KIND, &wanted, &sort);
        }
    }

    #[test]
    fn indexes_are_plain_or_unique_and_sparse() {
        let unique = model(Punch::BY_REQUEST);
        assert_eq!(unique.keys, doc! { "x_by_request": 1 });
        let options = unique.options.unwrap();
        assert_eq!((options.unique, options.sparse), (Some(true), Some(true)));
        let ordered = model(Punch::BY_TIME);
        assert_eq!(ordered.keys, doc! { "x_by_time": 1, "_id": 1 });
        assert!(ordered.options.is_none());
    }
}
