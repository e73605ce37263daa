//! Copying a whole site from one store to another, and comparing two.
//!
//! The target may be empty, or an earlier state of the source: then it is brought up to date.
//! Anything else is refused before something is written. What tells the two apart is the audit
//! trail, which is written before every change and never changes itself: where the target has
//! all its punches and audit entries from the source, it was not in use by itself; and of what
//! differs, or is only in the target, the source's trail must have news.

use std::{
    collections::{HashMap, HashSet},
    pin::Pin,
    time::Duration,
};

use async_stream::try_stream;
use futures::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::personal_data;
use crate::{
    domain::ids::{EmployeeId, PictureId},
    ports::{KeptAnswer, PictureKind, RecordKind, StoreError, StoredRecord, Stores},
};

/// How many records are written at the same time, so that they share commits and round trips.
/// Photos are large.
pub(super) fn at_once(kind: RecordKind) -> usize {
    match kind {
        RecordKind::Photo => 2,
        _ => 16,
    }
}

/// How often, and how long apart, a store is asked again that does not answer: what is copied is
/// more than a store is used to, and a server may be starting again.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);

/// How many identities a refusal names.
const NAMED: usize = 5;

/// Why a copy or comparison came to no end.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The source cannot be read.
    #[error("the source: {0}")]
    Source(StoreError),
    /// The target cannot be read or written.
    #[error("the target: {0}; what was copied stays, and the same command goes on from there")]
    Target(StoreError),
    /// The source holds nothing at all.
    #[error("the source holds no records: check its address")]
    Empty,
    /// Work that waits in the source would be done by neither store, or by both.
    #[error(
        "the source has {0} jobs that have not ended: start the service on it and let them end, then copy; nothing was written"
    )]
    Unfinished(u64),
    /// The target has a value that must be unique in a record of another identity.
    #[error(
        "{} {id}: a value of it that must be unique belongs to another record of the target; empty the target and copy again",
        .kind.singular()
    )]
    Taken {
        /// The kind of the record that cannot be written.
        kind: RecordKind,
        /// Its identity.
        id: String,
    },
    /// The target is no earlier state of the source.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// Why nothing may be written to a target. Nothing was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It has records that the source does not have, and never had as far as its trail tells.
    #[error(
        "the target holds {count} {} that the source does not have ({}): it is another site, or was in use since it was copied; nothing was written",
        .kind.plural(), named(.ids, .count)
    )]
    Foreign {
        /// Of which kind.
        kind: RecordKind,
        /// How many.
        count: usize,
        /// The first of them.
        ids: Vec<String>,
    },
    /// The same identity stands for something else, and the source's trail tells of no change.
    #[error(
        "{} differ in source and target, and the source has no record of a change: {}; nothing was written. Find out which store is right; if it is the source, empty the target and copy again",
        .kind.plural(), named(.ids, .count)
    )]
    Differs {
        /// Of which kind.
        kind: RecordKind,
        /// How many.
        count: usize,
        /// The first of them.
        ids: Vec<String>,
    },
}

fn named(ids: &[String], count: &usize) -> String {
    let more = if *count > ids.len() { ", …" } else { "" };
    ids.join(", ") + more
}

/// How many records of a kind a store has, and what they are.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    /// How many.
    pub count: u64,
    /// SHA-256 over the [JSON](StoredRecord::json) of all, in the order of their identities, each
    /// with its length before it (64 bits, little-endian). Hexadecimal.
    pub digest: String,
}

/// The same kind of records in two stores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// Which.
    pub kind: RecordKind,
    /// In the source.
    pub source: Tally,
    /// In the target.
    pub target: Tally,
}

impl Compared {
    /// Whether both hold the same.
    pub fn same(&self) -> bool {
        self.source == self.target
    }
}

/// What was written of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// Which.
    pub kind: RecordKind,
    /// Records that the target did not have.
    pub added: u64,
    /// Records that had changed in the source.
    pub replaced: u64,
    /// Records that the source has no more.
    pub removed: u64,
}

/// A record with its identity and its JSON, by which it is compared.
pub(super) struct Item {
    pub(super) id: String,
    pub(super) json: Vec<u8>,
    pub(super) record: StoredRecord,
}

/// Whether something is worth another try, after a pause that grows.
async fn again(error: &StoreError, tries: &mut u32) -> bool {
    *tries += 1;
    let worth = matches!(error, StoreError::Unavailable(_)) && *tries < TRIES;
    if worth {
        tokio::time::sleep(PAUSE * *tries).await;
    }
    worth
}

/// The records of a kind one by one; an error where a store breaks the promised order, because a
/// comparison would go wrong without a word. A store that fails in between is read again from the
/// start, up to where it was.
pub(super) fn items(stores: &Stores, kind: RecordKind) -> BoxStream<'_, Result<Item, StoreError>> {
    let items = try_stream! {
        let (mut told, mut tries): (Option<String>, _) = (None, 0);
        'reading: loop {
            let mut pages = stores.archive.records(kind);
            let mut last: Option<String> = None;
            while let Some(page) = pages.next().await {
                let page = match page {
                    Err(error) if again(&error, &mut tries).await => continue 'reading,
                    page => page?,
                };
                for record in page {
                    let id = record.id();
                    if last.as_ref().is_some_and(|last| *last >= id) {
                        Err(StoreError::Corrupt(format!("{} out of order", kind.plural())))?;
                    }
                    last = Some(id.clone());
                    if told < last {
                        let json = record.json()?;
                        (told, tries) = (last.clone(), 0);
                        yield Item { id, json, record };
                    }
                }
            }
            break;
        }
    };
    items.boxed()
}

/// Adds a record, however often that takes. After a call that got no answer it may be there
/// already, which a comparison at the end makes sure of.
pub(super) async fn add(target: &Stores, record: &StoredRecord) -> Result<(), StoreError> {
    let mut tries = 0;
    loop {
        match target.add(record).await {
            Err(StoreError::Conflict) if tries > 0 => return Ok(()),
            Err(error) if again(&error, &mut tries).await => {}
            added => return added,
        }
    }
}

/// The records of one identity in source and target; one of them at least is there.
type Pair = (Option<Item>, Option<Item>);

/// Both stores' records of a kind side by side, in the order of their identities.
fn pairs<'a>(
    source: &'a Stores,
    target: &'a Stores,
    kind: RecordKind,
) -> BoxStream<'a, Result<Pair, CopyError>> {
    let pairs = try_stream! {
        let mut source = items(source, kind).map_err(CopyError::Source).peekable();
        let mut target = items(target, kind).map_err(CopyError::Target).peekable();
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

/// Counts and digests records of a kind in the order in which they are added.
#[derive(Default)]
pub(super) struct Tallying {
    count: u64,
    hash: Sha256,
}

impl Tallying {
    pub(super) fn add(&mut self, json: &[u8]) {
        self.count += 1;
        self.hash.update((json.len() as u64).to_le_bytes());
        self.hash.update(json);
    }

    pub(super) fn end(self) -> Tally {
        Tally {
            count: self.count,
            digest: hex::encode(self.hash.finalize()),
        }
    }
}

/// Compares two stores by reading all of both: one line for each kind.
///
/// # Errors
/// When one cannot be read, or the source holds nothing.
pub async fn compare(source: &Stores, target: &Stores) -> Result<Vec<Compared>, CopyError> {
    let mut compared = Vec::new();
    for kind in RecordKind::ALL {
        let (mut here, mut there) = (Tallying::default(), Tallying::default());
        let mut pairs = pairs(source, target, kind);
        while let Some(pair) = pairs.try_next().await? {
            for (tallying, item) in [(&mut here, pair.0), (&mut there, pair.1)] {
                if let Some(item) = item {
                    tallying.add(&item.json);
                }
            }
        }
        let (source, target) = (here.end(), there.end());
        compared.push(Compared {
            kind,
            source,
            target,
        });
    }
    if compared.iter().all(|kind| kind.source.count == 0) {
        return Err(CopyError::Empty);
    }
    Ok(compared)
}

/// What stands against a copy, or has to be done before it: all records of the target that are
/// not the source's.
#[derive(Default)]
struct Found {
    /// In both stores, and different: the source's, and the time of the target's where it counts.
    differing: Vec<(StoredRecord, Option<Timestamp>)>,
    /// In the target alone.
    extra: Vec<StoredRecord>,
    /// What the source's trail has news of.
    news: HashSet<String>,
    /// Employees of whom that news is that they were erased.
    erased: HashSet<String>,
    /// The time of the source's oldest record of everything that retention takes out.
    oldest: HashMap<Aged, Timestamp>,
    any: bool,
}

/// What is done to the target before records are added.
#[derive(Debug, Default, PartialEq)]
struct Plan {
    replace: Vec<StoredRecord>,
    /// Those whose templates and photos are deleted; what the source has of them is added again.
    clear: HashSet<EmployeeId>,
    clear_records: u64,
    /// What is from before this moment is forgotten, as in the source.
    forget: HashMap<Aged, Timestamp>,
    /// Pictures that were deleted in the source.
    pictures: Vec<PictureId>,
    /// How many pictures, kept answers and audit entries that makes.
    forget_records: HashMap<RecordKind, u64>,
    /// Those whose punches are deleted, because they were erased in the source.
    erase: HashSet<EmployeeId>,
    erase_records: u64,
    /// Answers that name somebody erased.
    erase_answers: Vec<KeptAnswer>,
}

async fn look(source: &Stores, target: &Stores) -> Result<Found, CopyError> {
    let mut found = Found::default();
    for kind in RecordKind::ALL {
        let mut pairs = pairs(source, target, kind);
        while let Some(pair) = pairs.try_next().await? {
            if let (Some(one), _) = &pair {
                found.any = true;
                if let Some((aged, at)) = aged(&one.record) {
                    let oldest = found.oldest.entry(aged).or_insert(at);
                    *oldest = (*oldest).min(at);
                }
            }
            match pair {
                (Some(one), None) => {
                    if let StoredRecord::Audit(entry) = one.record {
                        if entry.action == personal_data::ERASED {
                            found.erased.insert(entry.subject.clone());
                        }
                        found.news.insert(entry.subject);
                    }
                }
                (None, Some(other)) => found.extra.push(other.record),
                (Some(one), Some(other)) if one.json != other.json => {
                    let at = match &other.record {
                        StoredRecord::GalleryChange(change) => Some(change.at),
                        _ => None,
                    };
                    found.differing.push((one.record, at));
                }
                _ => {}
            }
        }
        // Of other kinds nothing may be left over, and reading on would not change the answer.
        let explained = matches!(
            kind,
            RecordKind::Template
                | RecordKind::Photo
                | RecordKind::Punch
                | RecordKind::Picture
                | RecordKind::Answer
                | RecordKind::Audit
        );
        let foreign = found.extra.last().is_some_and(|extra| extra.kind() == kind);
        if foreign && !explained && found.any {
            break;
        }
    }
    Ok(found)
}

/// What retention takes out when it is old; pictures of each kind have an age of their own.
type Aged = (RecordKind, Option<PictureKind>);

/// What a record is to retention, and its time.
fn aged(record: &StoredRecord) -> Option<(Aged, Timestamp)> {
    let (of, at) = match record {
        StoredRecord::Picture(picture) => (Some(picture.of.kind()), picture.at),
        StoredRecord::Answer(answer) => (None, answer.at),
        StoredRecord::Audit(entry) => (None, entry.at),
        _ => return None,
    };
    Some(((record.kind(), of), at))
}

/// Whether the target is an earlier state of the source, and how it is brought up to date.
fn decide(found: Found) -> Result<Plan, Refusal> {
    let mut plan = Plan::default();
    let mut foreign = Vec::new();
    for record in found.extra {
        let told = found.news.contains(&record.subject());
        match &record {
            StoredRecord::Template(template) if told => {
                plan.clear.insert(template.employee);
                plan.clear_records += 1;
            }
            StoredRecord::Photo(photo) if told => {
                plan.clear.insert(photo.employee);
                plan.clear_records += 1;
            }
            StoredRecord::Picture(picture) if told => {
                plan.pictures.push(picture.id);
                *plan.forget_records.entry(record.kind()).or_default() += 1;
            }
            StoredRecord::Answer(answer)
                if found.erased.iter().any(|id| answer.answer.contains(id)) =>
            {
                plan.erase_answers.push(answer.clone());
            }
            StoredRecord::Punch(punch) if found.erased.contains(&punch.employee.to_string()) => {
                plan.erase.insert(punch.employee);
                plan.erase_records += 1;
            }
            _ => {
                let oldest = |aged: &Aged| {
                    // Where none is left all were old; a trail without any entry is no trail.
                    let none = (record.kind() != RecordKind::Audit).then_some(Timestamp::MAX);
                    found.oldest.get(aged).copied().or(none)
                };
                let old = aged(&record)
                    .and_then(|(aged, at)| Some((aged, at, oldest(&aged)?)))
                    .filter(|(_, at, oldest)| at < oldest);
                match old {
                    // Retention has taken it out of the source.
                    Some((aged, _, oldest)) => {
                        plan.forget.insert(aged, oldest);
                        *plan.forget_records.entry(record.kind()).or_default() += 1;
                    }
                    None => foreign.push(record),
                }
            }
        }
    }
    if let Some((kind, count, ids)) = first_kind(&foreign) {
        return Err(Refusal::Foreign { kind, count, ids });
    }
    let mut differing = Vec::new();
    for (record, at) in found.differing {
        let newer = match &record {
            StoredRecord::Account(_)
            | StoredRecord::Device(_)
            | StoredRecord::Camera(_)
            | StoredRecord::Employee(_) => found.news.contains(&record.subject()),
            StoredRecord::GalleryChange(change) => at.is_some_and(|at| at < change.at),
            _ => false,
        };
        if newer {
            plan.replace.push(record);
        } else {
            differing.push(record);
        }
    }
    match first_kind(&differing) {
        Some((kind, count, ids)) => Err(Refusal::Differs { kind, count, ids }),
        None => Ok(plan),
    }
}

/// The first kind among some records, how many there are of it, and the first identities.
fn first_kind(records: &[StoredRecord]) -> Option<(RecordKind, usize, Vec<String>)> {
    let kind = records.first()?.kind();
    let same = || records.iter().filter(|record| record.kind() == kind);
    let ids = same().take(NAMED).map(StoredRecord::id).collect();
    Some((kind, same().count(), ids))
}

/// Copies what the target lacks, and brings it up to date with what changed in the source. Tells
/// of each kind when it is done. Nobody else may write to either store meanwhile.
///
/// # Errors
/// When a store fails, or the target is no earlier state of the source. What was written until
/// then stays; copying again goes on from there.
pub async fn copy(
    source: &Stores,
    target: &Stores,
    mut done: impl FnMut(Copied),
) -> Result<(), CopyError> {
    let unfinished = source.jobs.unfinished().await;
    match unfinished.map_err(CopyError::Source)? {
        0 => {}
        count => return Err(CopyError::Unfinished(count)),
    }
    let found = look(source, target).await?;
    if !found.any {
        return Err(CopyError::Empty);
    }
    let plan = decide(found)?;
    for employee in &plan.clear {
        let cleared = target.templates.delete_of(*employee).await;
        cleared.map_err(CopyError::Target)?;
    }
    for id in &plan.pictures {
        let deleted = target.pictures.delete(*id).await;
        deleted.map_err(CopyError::Target)?;
    }
    for (aged, before) in &plan.forget {
        let forgotten = match aged {
            (_, Some(kind)) => target.pictures.purge(*kind, *before).await,
            (RecordKind::Audit, None) => target.audit.purge(*before).await,
            (_, None) => target.punches.forget_answers(*before).await,
        };
        forgotten.map_err(CopyError::Target)?;
    }
    for answer in &plan.erase_answers {
        let key = &answer.request.key;
        let forgotten = target.punches.forget_answer(answer.device, key).await;
        forgotten.map_err(CopyError::Target)?;
    }
    for employee in &plan.erase {
        let erased = target.punches.erase_of(*employee).await;
        erased.map_err(CopyError::Target)?;
    }
    for kind in RecordKind::ALL {
        let changed: Vec<_> = plan
            .replace
            .iter()
            .filter(|one| one.kind() == kind)
            .collect();
        let replaced = changed.len() as u64;
        replace(target, changed).await?;
        let added = add_missing(source, target, kind).await?;
        let forgotten = |kind| plan.forget_records.get(&kind).copied().unwrap_or(0);
        let removed = match kind {
            RecordKind::Template => plan.clear_records,
            RecordKind::Answer => forgotten(kind) + plan.erase_answers.len() as u64,
            RecordKind::Punch => plan.erase_records,
            kind => forgotten(kind),
        };
        done(Copied {
            kind,
            added,
            replaced,
            removed,
        });
    }
    Ok(())
}

/// Writes those records of a kind that the target lacks; how many. They are read while they are
/// written, which the order allows: whatever is added comes before what is read next.
async fn add_missing(source: &Stores, target: &Stores, kind: RecordKind) -> Result<u64, CopyError> {
    let missing = pairs(source, target, kind).try_filter_map(|pair| async move {
        Ok(match pair {
            (Some(one), None) => Some(one),
            _ => None,
        })
    });
    let writes = missing.map_ok(|one| async move {
        let added = add(target, &one.record).await;
        added.map_err(|error| match error {
            StoreError::Conflict => CopyError::Taken { kind, id: one.id },
            error => CopyError::Target(error),
        })
    });
    let written = writes.try_buffer_unordered(at_once(kind));
    written
        .try_fold(0, |count, ()| async move { Ok(count + 1) })
        .await
}

/// Puts the source's records in the place of the target's. One may wait for a unique value that
/// another one gives up, so those that meet a conflict are tried again as long as any succeeds.
async fn replace(target: &Stores, mut records: Vec<&StoredRecord>) -> Result<(), CopyError> {
    while !records.is_empty() {
        let tried: Vec<_> = stream::iter(records.iter().copied())
            .then(|record| async move { (record, replace_one(target, record).await) })
            .collect()
            .await;
        let (before, mut waiting) = (records.len(), Vec::new());
        for (record, result) in tried {
            match result {
                Ok(()) => {}
                Err(StoreError::Conflict) => waiting.push(record),
                Err(error) => return Err(CopyError::Target(error)),
            }
        }
        if let Some(stuck) = waiting.first().filter(|_| waiting.len() == before) {
            return Err(CopyError::Taken {
                kind: stuck.kind(),
                id: stuck.id(),
            });
        }
        records = waiting;
    }
    Ok(())
}

async fn replace_one(target: &Stores, record: &StoredRecord) -> Result<(), StoreError> {
    match record {
        StoredRecord::Account(account) => target.accounts.update(account).await.map(drop),
        StoredRecord::Device(device) => target.devices.update(device).await.map(drop),
        StoredRecord::Camera(camera) => {
            if let Some(was) = target.cameras.find(camera.id).await? {
                target.cameras.update(&was, camera).await?;
            }
            Ok(())
        }
        StoredRecord::Employee(employee) => {
            let (id, consent) = (employee.id, employee.consent.as_ref());
            if let Some(was) = target.employees.find(id).await? {
                target.employees.update(&was, employee).await?;
            }
            let enrolled = target
                .employees
                .set_enrolled(id, employee.templates, consent);
            enrolled.await.map(drop)
        }
        // Of two changes the later one stays.
        record => target.add(record).await,
    }
}
