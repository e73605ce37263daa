//! What people can demand by law: a copy of everything that is stored about them, and its erasure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures::{Stream, StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    account_changes,
    audit::Audit,
    sealed_faces::{self, Counts},
};
use crate::{
    clock::Clock,
    domain::{
        accounts::{Account, Actor},
        attendance::Origin,
        employees::Employee,
        ids::{AccountId, CameraId, EmployeeId},
        record::{OnErase, Record},
    },
    ports::{Expect, Parts, StoreError, Write},
    repositories::{Found, Registered, Repositories, contended},
};

/// Why an employee was not erased.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// There is no such employee, and never was.
    #[error("no such employee")]
    NotFound,
    /// Another request wrote a record about the employee during the erasure.
    #[error("another request wrote a record about the person during the erasure: erase them again")]
    Raced,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The result of an erasure.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Erased {
    /// The overwritten fields of the employee's record; empty if the employee was erased before.
    pub replaced: Vec<String>,
    /// The number of deleted records of each kind, and of templates, which are part of a record.
    pub deleted: Counts,
    /// The number of other records of each kind that no longer identify them.
    pub anonymized: Counts,
    /// Where the store's own files may still contain deleted data, for the receipt.
    pub traces: Option<String>,
}

/// The action of an erasure in the audit trail.
pub const ERASED: &str = "employee.erase";

/// The number of names that are read together.
const PAGE: usize = 500;

/// How often anonymizing a record is tried while others change it at the same time.
const TRIES: usize = 32;

/// Returns all records about an employee in pages, kind by kind.
fn pages(
    stores: &Repositories,
    id: EmployeeId,
    parts: Parts,
) -> impl Stream<Item = Result<(&'static Registered, Vec<Found>), StoreError>> {
    let pages = stream::iter(stores.kinds).map(move |registered| {
        let about = registered.about(&*stores.engine, id, parts);
        about.map_ok(move |page| (registered, page))
    });
    pages.flatten()
}

/// Returns all records about an employee, deleted or not. Removes from them what identifies other
/// people and is not needed.
pub async fn records_of(stores: &Repositories, id: EmployeeId) -> Result<Vec<Found>, StoreError> {
    parts_of(stores, id, Parts::Whole).await
}

async fn parts_of(
    stores: &Repositories,
    id: EmployeeId,
    parts: Parts,
) -> Result<Vec<Found>, StoreError> {
    let mut found = Vec::new();
    for registered in stores.kinds {
        let about = registered.about(&*stores.engine, id, parts);
        let mut about = std::pin::pin!(about);
        while let Some(page) = about.try_next().await? {
            found.extend(page);
        }
    }
    for one in &mut found {
        let about = one.record.about();
        for other in about.employees().iter().filter(|other| **other != id) {
            one.record.anonymize(*other);
        }
    }
    Ok(found)
}

/// Counts the records about an employee, without reading any file.
pub async fn count_of(stores: &Repositories, id: EmployeeId) -> Result<Counts, StoreError> {
    let mut counts = Counts::new();
    let mut pages = std::pin::pin!(pages(stores, id, Parts::Body));
    while let Some((registered, page)) = pages.try_next().await? {
        add(&mut counts, registered, page.len() as u64);
    }
    Ok(counts)
}

fn add(counts: &mut Counts, registered: &Registered, count: u64) {
    if count > 0 {
        *counts.entry(registered.kind.name).or_default() += count;
    }
}

/// Returns the device, camera or account from which the JSON of a record says that it came.
pub fn origin_in(json: &Value) -> Option<Origin> {
    let camera = |id| CameraId::deserialize(id).map(Origin::Camera);
    let origin = json.get("origin").map(Origin::deserialize);
    origin.or_else(|| json.get("camera").map(camera))?.ok()
}

/// Returns the names of devices and cameras. The names of accounts are not the employee's data:
/// a copy has their IDs only, as in the audit trail.
async fn origin_names(
    stores: &Repositories,
    origins: BTreeSet<Origin>,
) -> Result<HashMap<Origin, String>, StoreError> {
    let (mut devices, mut cameras) = (Vec::new(), Vec::new());
    for origin in origins {
        match origin {
            Origin::Device(id) => devices.push(id),
            Origin::Camera(id) => cameras.push(id),
            Origin::Account(_) => {}
        }
    }
    let mut names = HashMap::new();
    for ids in devices.chunks(PAGE) {
        let found = stores.devices.find_many(ids).await?.into_iter();
        names.extend(found.map(|one| (Origin::Device(one.id), one.name.into())));
    }
    for ids in cameras.chunks(PAGE) {
        let found = stores.cameras.find_many(ids).await?.into_iter();
        names.extend(found.map(|one| (Origin::Camera(one.id), one.name.into())));
    }
    Ok(names)
}

/// The names that a copy of a person's data has beside IDs.
#[derive(Debug, Default)]
pub struct CopyNames {
    origins: HashMap<Origin, String>,
    sites: HashMap<String, String>,
}

impl CopyNames {
    /// Returns the names of these devices and cameras, and of all sites.
    pub async fn of(stores: &Repositories, origins: BTreeSet<Origin>) -> Result<Self, StoreError> {
        let origins = origin_names(stores, origins).await?;
        let sites = stores.sites.all().await?.into_iter();
        let sites = sites.map(|site| (site.id.to_string(), site.name.into()));
        Ok(Self {
            origins,
            sites: sites.collect(),
        })
    }

    /// Returns the name of the device or camera of a record.
    pub fn origin(&self, record: &Value) -> Option<&str> {
        let name = self.origins.get(&origin_in(record)?);
        name.map(String::as_str)
    }

    /// Returns the name of the site of a record.
    pub fn site(&self, record: &Value) -> Option<&str> {
        let name = self.sites.get(record["site"].as_str()?);
        name.map(String::as_str)
    }

    /// Adds the names to a record, and removes hashes of secrets from it. They are of no use to the
    /// person, but of some to a thief of the copy.
    pub fn complete(&self, record: &mut Value) {
        let origin = origin_in(record).map(|_| self.origin(record).map(str::to_owned));
        let site = self.site(record).map(str::to_owned);
        let Some(fields) = record.as_object_mut() else {
            return;
        };
        fields.remove("password_hash");
        for (part, hash) in [("pin", "pin_hash"), ("badge", "badge_hash")] {
            let part = fields.get_mut(part).and_then(Value::as_object_mut);
            part.and_then(|part| part.remove(hash));
        }
        if let Some(name) = origin {
            fields.insert("origin_name".to_owned(), json!(name));
        }
        if let Some(name) = site {
            fields.insert("site_name".to_owned(), json!(name));
        }
    }
}

/// Replaces sealed values by `"left_out": true`.
fn leave_out_sealed(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let sealed =
                |value: &Value| value.get("nonce").is_some() && value.get("key_id").is_some();
            let before = fields.len();
            fields.retain(|_, value| !sealed(value));
            if fields.len() < before {
                fields.insert("left_out".to_owned(), Value::Bool(true));
            }
            fields.values_mut().for_each(leave_out_sealed);
        }
        Value::Array(values) => values.iter_mut().for_each(leave_out_sealed),
        _ => {}
    }
}

/// The service for people who ask for their own data.
#[derive(derive_new::new)]
pub struct PersonalData {
    stores: Repositories,
    audit: Audit,
}

impl PersonalData {
    /// Returns all records about an employee by the names of their kinds, without the numbers of
    /// templates, photos and pictures, which only a command on the server copies.
    pub async fn export(
        &self,
        actor: Actor,
        id: EmployeeId,
    ) -> Result<BTreeMap<&'static str, Vec<Value>>, StoreError> {
        let mut records = Vec::new();
        for found in parts_of(&self.stores, id, Parts::Body).await? {
            let write = found.record.to_write(Expect::Absent)?;
            let mut record: Value = serde_json::from_str(&write.body)
                .map_err(|error| StoreError::Corrupt(format!("a {}: {error}", write.kind.one)))?;
            leave_out_sealed(&mut record);
            records.push((write.kind.name, record));
        }
        let origins = records.iter().filter_map(|(_, record)| origin_in(record));
        let origins = origins.collect();
        let names = CopyNames::of(&self.stores, origins).await?;
        let mut kinds: BTreeMap<_, Vec<Value>> = BTreeMap::new();
        for (kind, mut record) in records {
            names.complete(&mut record);
            kinds.entry(kind).or_default().push(record);
        }
        self.audit
            .record(actor, "employee.export", id, None)
            .await?;
        Ok(kinds)
    }
}

/// Permanently deletes the enrollment of an employee, all other records about them that need not stay
/// and, optionally, their attendance. Removes name and code from what stays, so that no list shows
/// them. An employee who was erased before, or only in part, is erased again.
///
/// The audit trail gets its entry first. The entry stays, and has only the employee's ID.
///
/// # Errors
/// When there is no such employee, when another request writes a record about them at the same
/// time, or when the store fails. What was erased before the error stays erased.
pub async fn erase(
    stores: &Repositories,
    audit: &Audit,
    clock: &dyn Clock,
    id: EmployeeId,
    with_attendance: bool,
) -> Result<Erased, EraseError> {
    let Some(old) = stores.employees.find(id).await? else {
        return Err(EraseError::NotFound);
    };
    let detail = with_attendance.then(|| "with punches".to_owned());
    audit.record(Actor::Operator, ERASED, id, detail).await?;
    let mut new = old.clone();
    new.anonymize(id);
    let (before, after) = (fields(&old)?, fields(&new)?);
    let replaced = before
        .into_iter()
        .filter(|(name, value)| after.get(name) != Some(value));
    let mut erased = Erased {
        replaced: replaced.map(|(name, _)| name).collect(),
        ..Erased::default()
    };
    new.deleted_at = old.deleted_at.or_else(|| Some(clock.now()));
    // From now on they cannot be enrolled and cannot punch, and all instances learn about it.
    if !stores.employees.exchange(&old, &new).await? {
        return Err(EraseError::Raced);
    }
    erased.deleted = sealed_faces::forget(stores, clock, id).await?;
    let mut first = std::pin::pin!(pages(stores, id, Parts::Body));
    while let Some((registered, page)) = first.try_next().await? {
        let mut delete = Vec::new();
        for found in page {
            match fate(&found, with_attendance) {
                Fate::Delete => delete.push((found.record.id_text(), None)),
                Fate::Anonymize => {
                    let changed = anonymize(stores, registered, found, id).await?;
                    add(&mut erased.anonymized, registered, u64::from(changed));
                }
                Fate::Keep => {}
            }
        }
        if !delete.is_empty() {
            if registered.kind == Account::KIND {
                forget_accounts(stores, audit, &delete, &mut erased.deleted).await?;
            }
            let deleted = stores.engine.delete(registered.kind, &delete).await?;
            add(&mut erased.deleted, registered, deleted);
        }
    }
    if written_meanwhile(stores, id, with_attendance).await? {
        return Err(EraseError::Raced);
    }
    // The person is erased even if this fails.
    let cleared = stores.engine.clear_traces().await;
    erased.traces = cleared.unwrap_or_else(|cause| Some(format!("the store's own files: {cause}")));
    Ok(erased)
}

/// Deletes what belongs to accounts that are erased.
async fn forget_accounts(
    stores: &Repositories,
    audit: &Audit,
    accounts: &[(String, Option<u64>)],
    deleted: &mut Counts,
) -> Result<(), StoreError> {
    for (id, _) in accounts {
        let Ok(id) = id.parse::<AccountId>() else {
            continue;
        };
        audit
            .record(Actor::Operator, "account.remove", id, None)
            .await?;
        let forgotten = account_changes::forget(stores, audit, Actor::Operator, id);
        for (kind, count) in forgotten.await? {
            *deleted.entry(kind).or_default() += count;
        }
    }
    Ok(())
}

/// Returns the stored fields of an employee's record.
fn fields(employee: &Employee) -> Result<BTreeMap<String, Value>, StoreError> {
    let write = Write::from_record(employee, Expect::Absent)?;
    serde_json::from_str(&write.body)
        .map_err(|error| StoreError::Corrupt(format!("an employee: {error}")))
}

/// What an erasure does with a record.
enum Fate {
    Delete,
    Anonymize,
    Keep,
}

fn fate(found: &Found, with_attendance: bool) -> Fate {
    match found.record.about().on_erase() {
        Some(OnErase::Delete) => Fate::Delete,
        Some(OnErase::DeleteAttendance) if with_attendance => Fate::Delete,
        Some(OnErase::Anonymize) => Fate::Anonymize,
        None | Some(OnErase::Keep | OnErase::DeleteAttendance) => Fate::Keep,
    }
}

/// Returns the write that anonymizes a record; `None` if the record does not identify the employee.
fn anonymizing_write(found: &mut Found, id: EmployeeId) -> Result<Option<Write>, StoreError> {
    let expect = Expect::Revision(found.revision);
    let before = found.record.to_write(expect)?;
    found.record.anonymize(id);
    let after = found.record.to_write(expect)?;
    Ok((after != before).then_some(after))
}

/// Removes what identifies an employee from a record that stays, also while others change it.
/// Returns whether there was anything to remove.
async fn anonymize(
    stores: &Repositories,
    registered: &Registered,
    found: Found,
    id: EmployeeId,
) -> Result<bool, StoreError> {
    let name = found.record.id_text();
    for _ in 0..TRIES {
        // The whole record, because it is replaced as a whole.
        let ids = std::slice::from_ref(&name);
        let present = registered.get(&*stores.engine, ids, Parts::Whole).await?;
        let Some(mut present) = present.into_iter().next() else {
            return Ok(false);
        };
        let Some(write) = anonymizing_write(&mut present, id)? else {
            return Ok(false);
        };
        if stores.engine.put(write).await?.is_some() {
            return Ok(true);
        }
    }
    Err(contended(registered.kind))
}

/// Returns whether there is a record about an employee that an erasure must not leave. Records of
/// kinds that are not archived, such as a camera's last report, are ignored: they expire.
async fn written_meanwhile(
    stores: &Repositories,
    id: EmployeeId,
    with_attendance: bool,
) -> Result<bool, StoreError> {
    let mut left = std::pin::pin!(pages(stores, id, Parts::Body));
    while let Some((registered, page)) = left.try_next().await? {
        for mut found in page.into_iter().filter(|_| registered.archived()) {
            let late = match fate(&found, with_attendance) {
                Fate::Delete => true,
                Fate::Anonymize => anonymizing_write(&mut found, id)?.is_some(),
                Fate::Keep => false,
            };
            if late {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Returns the hexadecimal SHA-256, as receipts and the audit trail quote it.
pub fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
