//! Copies an installation from one store to another, and compares two stores.
//!
//! The target may be empty, or an earlier state of the source, which is then updated. Any other
//! target is refused before anything is written. The audit trail decides, because it is written
//! before every change and never changes itself. If all punches and audit entries of the target are
//! in the source, the target was not in use by itself. For each record that differs or is only in the
//! target, the source's trail must have an entry that the target does not have.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    pin::Pin,
    time::Duration,
};

use async_stream::try_stream;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::personal_data;
use crate::{
    domain::{
        audit::AuditEntry,
        record::{Changes, Key, Kind, OnErase, Record},
    },
    ports::{Expect, Parts, StoreError, Write},
    repositories::{Found, Registered, Repositories},
};

/// Returns the number of records that are written at the same time, so that they share commits and
/// round trips; small for kinds with large records.
pub(super) fn batch_size(kind: &Kind) -> usize {
    kind.page.min(16)
}

/// How often a store that is unavailable is tried, and the pause between two tries: a copy is more
/// load than usual, and a server may be restarting.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);

/// The number of IDs in a refusal.
const IDS_MOST: usize = 5;

/// Why a copy or comparison failed.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The source cannot be read.
    #[error("the source: {0}")]
    Source(StoreError),
    /// The target cannot be read or written.
    #[error("the target: {0}; copied records stay, and the same command continues from there")]
    Target(StoreError),
    /// The source has no records.
    #[error("the source has no records: check its address")]
    Empty,
    /// Jobs that wait in the source would run on neither store, or on both.
    #[error(
        "the source has {0} jobs that have not ended: start the service on it until they have ended, then copy; nothing was written"
    )]
    Unfinished(u64),
    /// A unique value belongs to a record with another ID in the target.
    #[error(
        "{} {id}: one of its unique values belongs to another record of the target; empty the target and copy again",
        .kind.one
    )]
    Taken {
        /// The kind of the record that cannot be written.
        kind: &'static Kind,
        /// Its ID.
        id: String,
    },
    /// The target is not an earlier state of the source.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// Why a target is refused. Nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The target has records that the source does not have, and never had according to its trail.
    #[error(
        "the target has {count} {} that the source does not have ({}): it is another installation, or was in use since it was copied; nothing was written",
        .kind.many(), named(.ids, .count)
    )]
    Foreign {
        /// The kind.
        kind: &'static Kind,
        /// The number of records.
        count: usize,
        /// The first IDs.
        ids: Vec<String>,
    },
    /// A record differs, and the source's trail has no change of it.
    #[error(
        "{} differ in source and target, and the source's audit trail has no change of them: {}; nothing was written. Find out which store is right; if it is the source, empty the target and copy again",
        .kind.many(), named(.ids, .count)
    )]
    Differs {
        /// The kind.
        kind: &'static Kind,
        /// The number of records.
        count: usize,
        /// The first IDs.
        ids: Vec<String>,
    },
}

fn named(ids: &[String], count: &usize) -> String {
    let more = if *count > ids.len() { ", …" } else { "" };
    ids.join(", ") + more
}

/// The number of records of a kind in a store, and their digest.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    /// The number.
    pub count: u64,
    /// Hexadecimal SHA-256 over the lines of all records (`AnyRecord::line`) in the order of their IDs,
    /// each preceded by its length (64 bits, little-endian).
    pub digest: String,
}

/// A kind of records in two stores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// The kind.
    pub kind: &'static Kind,
    /// The source.
    pub source: Tally,
    /// The target.
    pub target: Tally,
}

impl Compared {
    /// Returns whether both stores have the same records.
    pub fn same(&self) -> bool {
        self.source == self.target
    }
}

/// The changes of a kind in the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// The kind.
    pub kind: &'static Kind,
    /// The number of records that the target did not have.
    pub added: u64,
    /// The number of records that had changed in the source.
    pub replaced: u64,
    /// The number of records that the source no longer has.
    pub removed: u64,
}

/// A record with its ID and its line, which are compared.
pub(super) struct Item {
    pub(super) id: String,
    pub(super) line: Vec<u8>,
    pub(super) found: Found,
}

/// Pauses, longer each time, and returns true if another try may succeed.
async fn try_again(error: &StoreError, tries: &mut u32) -> bool {
    *tries += 1;
    let may_succeed = matches!(error, StoreError::Unavailable(_)) && *tries < TRIES;
    if may_succeed {
        tokio::time::sleep(PAUSE * *tries).await;
    }
    may_succeed
}

/// Returns the records of a kind one by one. Fails if the store breaks the promised order, because a
/// comparison would silently be wrong. If the store fails in between, reading continues from there.
pub(super) fn items(
    stores: &Repositories,
    registered: Registered,
) -> BoxStream<'_, Result<Item, StoreError>> {
    let items = try_stream! {
        let (mut last, mut tries): (Option<String>, _) = (None, 0);
        'reading: loop {
            let pages = registered.pages_after(&*stores.engine, last.clone(), Parts::Whole);
            let mut pages = std::pin::pin!(pages);
            while let Some(page) = pages.next().await {
                let page = match page {
                    Err(error) if try_again(&error, &mut tries).await => continue 'reading,
                    page => page?,
                };
                tries = 0;
                for found in page {
                    let id = found.record.id_text();
                    if last.as_ref().is_some_and(|last| *last >= id) {
                        let many = registered.kind.many();
                        Err(StoreError::Corrupt(format!("{many} out of order")))?;
                    }
                    last = Some(id.clone());
                    let line = found.record.line()?;
                    yield Item { id, line, found };
                }
            }
            break;
        }
    };
    items.boxed()
}

/// Writes a record, and tries again while the store is unavailable.
async fn put(target: &Repositories, write: &Write) -> Result<(), StoreError> {
    let mut tries = 0;
    loop {
        match target.engine.put(write.clone()).await {
            // An earlier try without an answer may have added it. A comparison at the end finds out.
            Err(StoreError::Conflict) if tries > 0 && write.expect == Expect::Absent => {
                return Ok(());
            }
            Err(error) if try_again(&error, &mut tries).await => {}
            written => return written.map(drop),
        }
    }
}

/// Adds a record.
///
/// # Errors
/// [`StoreError::Conflict`] when the ID or a unique value is taken.
pub(super) async fn add(target: &Repositories, found: &Found) -> Result<(), StoreError> {
    put(target, &found.record.to_write(Expect::Absent)?).await
}

/// The records of one ID in source and target, of which at least one exists.
type Pair = (Option<Item>, Option<Item>);

/// Returns the records of a kind in both stores side by side, in the order of their IDs.
fn pairs<'a>(
    source: &'a Repositories,
    target: &'a Repositories,
    registered: Registered,
) -> BoxStream<'a, Result<Pair, CopyError>> {
    let pairs = try_stream! {
        let source = items(source, registered).map_err(CopyError::Source);
        let target = items(target, registered).map_err(CopyError::Target);
        let (mut source, mut target) = (source.peekable(), target.peekable());
        loop {
            let mut source = Pin::new(&mut source);
            let mut target = Pin::new(&mut target);
            let order = match (source.as_mut().peek().await, target.as_mut().peek().await) {
                (Some(Ok(one)), Some(Ok(other))) => one.id.cmp(&other.id),
                (Some(_), None) | (Some(Err(_)), _) => std::cmp::Ordering::Less,
                (None, Some(_)) | (_, Some(Err(_))) => std::cmp::Ordering::Greater,
                (None, None) => break,
            };
            let from_source = if order.is_le() { source.try_next().await? } else { None };
            let from_target = if order.is_ge() { target.try_next().await? } else { None };
            yield (from_source, from_target);
        }
    };
    pairs.boxed()
}

/// Counts and digests records of a kind in the order of their IDs.
#[derive(Default)]
pub(super) struct Tallying {
    count: u64,
    hash: Sha256,
}

impl Tallying {
    pub(super) fn add(&mut self, line: &[u8]) {
        self.count += 1;
        self.hash.update((line.len() as u64).to_le_bytes());
        self.hash.update(line);
    }

    pub(super) fn end(self) -> Tally {
        Tally {
            count: self.count,
            digest: hex::encode(self.hash.finalize()),
        }
    }
}

/// Compares two stores by reading both completely. Returns one item for each kind.
///
/// # Errors
/// When a store cannot be read, or the source has no records.
pub async fn compare(
    source: &Repositories,
    target: &Repositories,
) -> Result<Vec<Compared>, CopyError> {
    let mut compared = Vec::new();
    for registered in source.archived() {
        let (mut here, mut there) = (Tallying::default(), Tallying::default());
        let mut pairs = pairs(source, target, registered);
        while let Some(pair) = pairs.try_next().await? {
            for (tallying, item) in [(&mut here, pair.0), (&mut there, pair.1)] {
                if let Some(item) = item {
                    tallying.add(&item.line);
                }
            }
        }
        compared.push(Compared {
            kind: registered.kind,
            source: here.end(),
            target: there.end(),
        });
    }
    if compared.iter().all(|kind| kind.source.count == 0) {
        return Err(CopyError::Empty);
    }
    Ok(compared)
}

/// A record of the target that the source does not have in this state, with what may explain that.
struct Other {
    kind: &'static Kind,
    id: String,
    /// The ID of its employee, or else its own.
    subject: String,
    /// The employees whose erasure deletes it.
    erased_with: Vec<String>,
    /// Whether the growing index shows that the source changed it.
    grown: bool,
    /// Whether nobody changed it since the service made it: it has no key in the growing index. It
    /// contains nothing that could be lost.
    untouched: bool,
    /// How retention sees it, and the text of its moment.
    age: Option<(Aged, String)>,
}

/// Records that retention deletes by one age: the name of a kind, and the part of its index that has
/// an age of its own.
type Aged = (&'static str, String);

/// Returns how retention sees a record; `None` if it never deletes it.
fn aged(kind: &Kind, found: &Found) -> Option<(Aged, String)> {
    let keys = found.record.all_keys();
    let key = keys.get(kind.ages?)?.as_str();
    let (before, moment) = Key::split_last(key);
    Some(((kind.name, before.to_owned()), moment.to_owned()))
}

impl Other {
    /// Describes a record of the target, with that of the source if there is one.
    fn new(kind: &'static Kind, source: Option<&Item>, target: &Item) -> Self {
        let about = target.found.record.about();
        let subject = match about.employees() {
            [employee] => employee.to_string(),
            _ => target.id.clone(),
        };
        let erased_with = match about.on_erase() {
            Some(OnErase::Delete | OnErase::DeleteAttendance) => about.employees(),
            None | Some(OnErase::Anonymize | OnErase::Keep) => &[],
        };
        let erased_with = erased_with.iter().map(ToString::to_string).collect();
        let (grown, untouched) = match kind.changes {
            Changes::Grows(index) => {
                let key = |item: &Item| item.found.record.all_keys().get(index).cloned();
                let (old, new) = (key(target), source.and_then(key));
                (new > old, old.is_none())
            }
            Changes::Never | Changes::Audited | Changes::Deleted => (false, false),
        };
        Self {
            kind,
            id: target.id.clone(),
            subject,
            erased_with,
            grown,
            untouched,
            age: aged(kind, &target.found),
        }
    }
}

/// The differences of a target from its source.
#[derive(Default)]
struct Difference {
    /// The records that differ.
    differing: Vec<Other>,
    /// The records that are only in the target.
    extra: Vec<Other>,
    /// The subjects of those entries of the source's trail that the target does not have.
    news: HashSet<String>,
    /// The employees who were erased according to those entries.
    erased: HashSet<String>,
    /// The moment of the source's oldest record of each kind that retention deletes.
    oldest: HashMap<Aged, String>,
    /// Whether the source has any records.
    any: bool,
}

impl Difference {
    async fn between(source: &Repositories, target: &Repositories) -> Result<Self, CopyError> {
        let mut difference = Self::default();
        for registered in source.archived() {
            let kind = registered.kind;
            let mut pairs = pairs(source, target, registered);
            while let Some(pair) = pairs.try_next().await? {
                if let (Some(one), _) = &pair {
                    difference.note(kind, one, pair.1.is_none());
                }
                match &pair {
                    (None, Some(other)) => {
                        difference.extra.push(Other::new(kind, None, other));
                    }
                    (Some(one), Some(other)) if one.line != other.line => {
                        difference
                            .differing
                            .push(Other::new(kind, Some(one), other));
                    }
                    _ => {}
                }
            }
        }
        Ok(difference)
    }

    /// Takes a record of the source into account.
    fn note(&mut self, kind: &'static Kind, item: &Item, new: bool) {
        self.any = true;
        if let Some((aged, moment)) = aged(kind, &item.found) {
            let oldest = self.oldest.entry(aged).or_insert_with(|| moment.clone());
            if moment < *oldest {
                *oldest = moment;
            }
        }
        let Some(entry) = item.found.record.downcast::<AuditEntry>() else {
            return;
        };
        if new {
            if entry.action == personal_data::ERASED {
                self.erased.insert(entry.subject.clone());
            }
            self.news.insert(entry.subject.clone());
        }
    }

    /// Returns whether the source's trail has an entry for a record: under the ID of its employee, or
    /// under its own, as for a new password of an employee's account.
    fn audited(&self, other: &Other) -> bool {
        self.news.contains(&other.subject) || self.news.contains(&other.id)
    }

    /// Returns whether a record that differs was changed in the source.
    fn changed(&self, other: &Other) -> bool {
        match other.kind.changes {
            Changes::Audited => self.audited(other),
            Changes::Grows(_) => other.grown || other.untouched,
            Changes::Never | Changes::Deleted => false,
        }
    }

    /// Returns whether a record that is only in the target was deleted in the source.
    fn deleted(&self, other: &Other) -> bool {
        let audited = match other.kind.changes {
            Changes::Audited | Changes::Deleted => self.audited(other),
            Changes::Grows(_) => other.untouched,
            Changes::Never => false,
        };
        let mut erased_with = other.erased_with.iter();
        audited || erased_with.any(|id| self.erased.contains(id)) || self.old(other)
    }

    /// Returns whether retention has deleted a record in the source, because it is older than all
    /// that are left there. If none are left, all were old. An empty audit trail proves nothing,
    /// however.
    fn old(&self, other: &Other) -> bool {
        let Some((aged, moment)) = &other.age else {
            return false;
        };
        match self.oldest.get(aged) {
            Some(oldest) => moment < oldest,
            None => other.kind != AuditEntry::KIND,
        }
    }
}

/// The changes to the target before records are added: kinds and IDs.
#[derive(Debug, Default, PartialEq)]
struct Plan {
    /// The records that the source has in a later state.
    replace: BTreeSet<(&'static str, String)>,
    /// The records that were deleted in the source.
    remove: BTreeSet<(&'static str, String)>,
}

impl Plan {
    /// Decides whether the target is an earlier state of the source, and how it is updated.
    fn new(difference: &Difference) -> Result<Self, Refusal> {
        let (removed, foreign): (Vec<_>, Vec<_>) = difference
            .extra
            .iter()
            .partition(|other| difference.deleted(other));
        if let Some((kind, count, ids)) = first_kind(&foreign) {
            return Err(Refusal::Foreign { kind, count, ids });
        }
        let (replaced, differing): (Vec<_>, Vec<_>) = difference
            .differing
            .iter()
            .partition(|other| difference.changed(other));
        if let Some((kind, count, ids)) = first_kind(&differing) {
            return Err(Refusal::Differs { kind, count, ids });
        }
        let names = |others: Vec<&Other>| {
            let names = others.into_iter();
            names
                .map(|other| (other.kind.name, other.id.clone()))
                .collect()
        };
        Ok(Self {
            replace: names(replaced),
            remove: names(removed),
        })
    }
}

/// Returns the first kind among some records, the number of its records, and their first IDs.
fn first_kind(records: &[&Other]) -> Option<(&'static Kind, usize, Vec<String>)> {
    let kind = records.first()?.kind;
    let same = || records.iter().filter(|record| record.kind == kind);
    let ids = same()
        .take(IDS_MOST)
        .map(|record| record.id.clone())
        .collect();
    Some((kind, same().count(), ids))
}

/// Returns the IDs of a kind.
fn ids_of(names: &BTreeSet<(&'static str, String)>, kind: &Kind) -> Vec<String> {
    let of_kind = names.iter().filter(|(name, _)| *name == kind.name);
    of_kind.map(|(_, id)| id.clone()).collect()
}

/// Copies the records that the target lacks, and applies the changes of the source. Calls `done` after
/// each kind. Nothing else may write to either store at the same time.
///
/// # Errors
/// When a store fails, or the target is not an earlier state of the source. Written records stay, and
/// the next copy continues from there.
pub async fn copy(
    source: &Repositories,
    target: &Repositories,
    mut done: impl FnMut(Copied),
) -> Result<(), CopyError> {
    let unfinished = source.jobs.unfinished().await;
    match unfinished.map_err(CopyError::Source)? {
        0 => {}
        count => return Err(CopyError::Unfinished(count)),
    }
    let difference = Difference::between(source, target).await?;
    if !difference.any {
        return Err(CopyError::Empty);
    }
    let plan = Plan::new(&difference)?;
    drop(difference);
    let mut removed = HashMap::new();
    for registered in source.archived() {
        let ids = ids_of(&plan.remove, registered.kind);
        removed.insert(registered.kind.name, ids.len() as u64);
        for ids in ids.chunks(registered.kind.page) {
            let records: Vec<_> = ids.iter().map(|id| (id.clone(), None)).collect();
            let deleted = target.engine.delete(registered.kind, &records).await;
            deleted.map_err(CopyError::Target)?;
        }
    }
    for registered in source.archived() {
        let changed = ids_of(&plan.replace, registered.kind);
        let replaced = changed.len() as u64;
        replace(source, target, registered, changed).await?;
        let added = add_missing(source, target, registered).await?;
        done(Copied {
            kind: registered.kind,
            added,
            replaced,
            removed: removed.get(registered.kind.name).copied().unwrap_or(0),
        });
    }
    Ok(())
}

/// Writes the records of a kind that the target lacks, and returns their number. Reads while it
/// writes, which the order allows: an added record is before those that are read next.
async fn add_missing(
    source: &Repositories,
    target: &Repositories,
    registered: Registered,
) -> Result<u64, CopyError> {
    let kind = registered.kind;
    let missing = pairs(source, target, registered).try_filter_map(|pair| async move {
        Ok(match pair {
            (Some(one), None) => Some(one),
            _ => None,
        })
    });
    let writes = missing.map_ok(|one| async move {
        let added = add(target, &one.found).await;
        added.map_err(|error| match error {
            StoreError::Conflict => CopyError::Taken { kind, id: one.id },
            error => CopyError::Target(error),
        })
    });
    let written = writes.try_buffer_unordered(batch_size(kind));
    written
        .try_fold(0, |count, ()| async move { Ok(count + 1) })
        .await
}

/// Replaces records of the target by those of the source. A record may need a unique value that
/// another one still has, so those with a conflict are tried again while any succeeds.
async fn replace(
    source: &Repositories,
    target: &Repositories,
    registered: Registered,
    mut ids: Vec<String>,
) -> Result<(), CopyError> {
    let kind = registered.kind;
    while !ids.is_empty() {
        let (before, mut waiting) = (ids.len(), Vec::new());
        for ids in ids.chunks(kind.page) {
            let found = registered.get(&*source.engine, ids, Parts::Whole).await;
            for found in found.map_err(CopyError::Source)? {
                let write = found.record.to_write(Expect::Any);
                match put(target, &write.map_err(CopyError::Source)?).await {
                    Ok(()) => {}
                    Err(StoreError::Conflict) => waiting.push(found.record.id_text()),
                    Err(error) => return Err(CopyError::Target(error)),
                }
            }
        }
        if let Some(id) = waiting.first().filter(|_| waiting.len() == before) {
            let id = id.clone();
            return Err(CopyError::Taken { kind, id });
        }
        ids = waiting;
    }
    Ok(())
}
