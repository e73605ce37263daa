//! What people can demand by law: a copy of everything that is stored about them, and its erasure.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use futures::{Stream, StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{
    account_changes,
    audit::Audit,
    consent_texts,
    sealed_faces::{self, Counts},
    unseal::{Inside, unseal},
};
use crate::{
    clock::Clock,
    domain::{
        accounts::{Account, Actor},
        attendance::Origin,
        audit::AuditEntry,
        employees::Employee,
        faces::Photo,
        ids::{AccountId, CameraId, EmployeeId},
        mail::MailPreferences,
        pictures::Picture,
        record::{OnErase, Record},
        sealed::{Binding, Sealed},
        second_factors::SecondFactors,
    },
    ports::{Expect, Parts, StoreError, Write},
    repositories::{Found, Registered, Repositories, contended},
    vault::Vault,
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
    let accounts = found
        .iter()
        .filter_map(|one| one.record.downcast::<Account>());
    let accounts: Vec<_> = accounts.map(|account| account.id).collect();
    for account in accounts {
        found.extend(of_account(stores, id, account).await?);
    }
    for one in &mut found {
        let about = one.record.about();
        for other in about.employees().iter().filter(|other| **other != id) {
            one.record.anonymize(*other);
        }
    }
    Ok(found)
}

/// Returns what belongs to the account of an employee: how it signs in, where it is signed in, its
/// API tokens, what letters it wants, and its entries in the audit trail that do not name the
/// employee. An erasure deletes it, except for the trail, together with the account.
async fn of_account(
    stores: &Repositories,
    employee: EmployeeId,
    account: AccountId,
) -> Result<Vec<Found>, StoreError> {
    let mut found = Vec::new();
    let ids = [account.to_string()];
    for registered in stores.kinds {
        if [SecondFactors::KIND, MailPreferences::KIND].contains(&registered.kind) {
            let of_account = registered.get(&*stores.engine, &ids, Parts::Body);
            found.extend(of_account.await?);
        }
        if registered.kind == AuditEntry::KIND {
            // The trail has no index, and names accounts by their IDs as it names employees.
            let account = EmployeeId::new(account.uuid());
            let about = registered.about(&*stores.engine, account, Parts::Body);
            let mut about = std::pin::pin!(about);
            while let Some(page) = about.try_next().await? {
                let unnamed = |one: &Found| !one.record.about().includes(employee);
                found.extend(page.into_iter().filter(unnamed));
            }
        }
    }
    let tokens = stores.api_tokens.all_by_account(account).await?;
    let ids: Vec<_> = tokens.iter().map(|token| token.id).collect();
    let uses = stores.api_tokens.uses(&ids).await?;
    let sessions = stores.sessions.list_by_account(account).await?;
    found.extend(tokens.into_iter().map(Found::new));
    found.extend(uses.into_iter().map(Found::new));
    found.extend(sessions.into_iter().map(Found::new));
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
fn origin_in(json: &Value) -> Option<Origin> {
    let camera = |id| CameraId::deserialize(id).map(Origin::Camera);
    let origin = json.get("origin").map(Origin::deserialize);
    origin.or_else(|| json.get("camera").map(camera))?.ok()
}

/// Returns the version of the text of the consent in a record.
fn consent_in(json: &Value) -> Option<&str> {
    json.pointer("/face/consent/text")?.as_str()
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

/// The names that a copy of a person's data has beside IDs, and the texts beside versions.
#[derive(Debug, Default)]
pub struct CopyNames {
    origins: HashMap<Origin, String>,
    sites: HashMap<String, String>,
    consents: HashMap<String, String>,
}

impl CopyNames {
    /// Returns what some records refer to.
    pub async fn of<'a>(
        stores: &Repositories,
        records: impl Iterator<Item = &'a Value>,
    ) -> Result<Self, StoreError> {
        let (mut origins, mut versions) = (BTreeSet::new(), BTreeSet::new());
        for record in records {
            origins.extend(origin_in(record));
            versions.extend(consent_in(record).map(str::to_owned));
        }
        let origins = origin_names(stores, origins).await?;
        let sites = stores.sites.all().await?.into_iter();
        let sites = sites.map(|site| (site.id.to_string(), site.settings.name.into()));
        let mut consents = HashMap::new();
        for version in versions {
            let text = consent_texts::find(stores, &version).await?;
            consents.extend(text.map(|text| (version, text)));
        }
        Ok(Self {
            origins,
            sites: sites.collect(),
            consents,
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

    /// Adds the names and texts to a record, and removes hashes of secrets from it. They are of no use
    /// to the person, but of some to a thief of the copy.
    pub fn complete(&self, record: &mut Value) {
        let origin = origin_in(record).map(|_| self.origin(record).map(str::to_owned));
        let site = self.site(record).map(str::to_owned);
        let wording = consent_in(record).map(|version| json!(self.consents.get(version)));
        let consent = record.pointer_mut("/face/consent");
        if let Some((consent, wording)) = consent.and_then(Value::as_object_mut).zip(wording) {
            consent.insert("wording".to_owned(), wording);
        }
        let Some(fields) = record.as_object_mut() else {
            return;
        };
        fields.remove("password_hash");
        // Of sessions, links and tokens; the token of a use is an ID.
        for name in ["hash", "token"] {
            let hash = |value: &Value| value.as_str().is_some_and(|text| text.len() == 64);
            if fields.get(name).is_some_and(hash) {
                fields.remove(name);
            }
        }
        if let Some(codes) = fields.get_mut("recovery_codes") {
            *codes = json!(codes.as_array().map_or(0, Vec::len));
        }
        let passkeys = fields.get_mut("passkeys").and_then(Value::as_array_mut);
        for passkey in passkeys.into_iter().flatten() {
            if let Some(fields) = passkey.as_object_mut() {
                fields.remove("credential");
            }
        }
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

/// Replaces the value that was sealed with a nonce with another member.
///
/// # Errors
/// When the sealed value is damaged.
pub fn replace_sealed(
    json: &mut Value,
    sealed: &Sealed,
    member: &str,
    opened: &Value,
) -> Result<(), StoreError> {
    let value = serde_json::to_value(sealed)
        .map_err(|error| StoreError::Corrupt(format!("a sealed value: {error}")))?;
    replace(json, &value["nonce"], member, opened);
    Ok(())
}

fn replace(json: &mut Value, nonce: &Value, member: &str, opened: &Value) {
    match json {
        Value::Object(fields) => {
            let mut entries = fields.iter();
            let sealed = entries.find(|(_, value)| value.get("nonce") == Some(nonce));
            match sealed.map(|(name, _)| name.clone()) {
                Some(name) => {
                    fields.remove(&name);
                    fields.insert(member.to_owned(), opened.clone());
                }
                None => fields
                    .values_mut()
                    .for_each(|value| replace(value, nonce, member, opened)),
            }
        }
        Value::Array(values) => values
            .iter_mut()
            .for_each(|value| replace(value, nonce, member, opened)),
        _ => {}
    }
}

/// Returns the file extension of an image, by its first bytes.
pub fn extension(bytes: &[u8]) -> &'static str {
    match bytes {
        [0xff, 0xd8, ..] => "jpg",
        [0x89, b'P', ..] => "png",
        [b'R', b'I', b'F', b'F', ..] => "webp",
        _ => "bin",
    }
}

/// The service for people who ask for their own data.
#[derive(derive_new::new)]
pub struct PersonalData {
    stores: Repositories,
    vault: Arc<Vault>,
    audit: Audit,
}

impl PersonalData {
    /// Returns the text of a version of the consent; `None` if it is not known.
    pub async fn consent_text(&self, version: &str) -> Result<Option<String>, StoreError> {
        consent_texts::find(&self.stores, version).await
    }

    /// Returns all records about an employee by the names of their kinds, with the numbers of
    /// templates. Photos and pictures are represented by what `link` returns for their kind and ID.
    /// Secrets and the content of letters are left out.
    pub async fn export(
        &self,
        actor: Actor,
        id: EmployeeId,
        link: impl Fn(&str, &str) -> String,
    ) -> Result<BTreeMap<&'static str, Vec<Value>>, StoreError> {
        let mut records = Vec::new();
        for mut found in parts_of(&self.stores, id, Parts::Body).await? {
            let write = found.record.to_write(Expect::Absent)?;
            let mut record: Value = serde_json::from_str(&write.body)
                .map_err(|error| StoreError::Corrupt(format!("a {}: {error}", write.kind.one)))?;
            let file = json!(link(write.kind.name, &found.record.id_text()));
            for part in found.record.sealed_parts() {
                let (member, opened) = match part.binding {
                    Binding::Template(..) => match unseal(&part, Some(&*self.vault)) {
                        Inside::Numbers(numbers) => ("numbers", json!(numbers)),
                        Inside::File(_) | Inside::Unopened => ("opened", json!(false)),
                    },
                    Binding::Photo(_) | Binding::PunchPicture(..) => ("file", file.clone()),
                    Binding::UnknownFace(_)
                    | Binding::OneTimeCodes(_)
                    | Binding::Cached(_)
                    | Binding::Webhook(_)
                    | Binding::Message(_) => ("left_out", json!(true)),
                };
                replace_sealed(&mut record, part.sealed, member, &opened)?;
            }
            records.push((write.kind.name, record));
        }
        let json = records.iter().map(|(_, record)| record);
        let names = CopyNames::of(&self.stores, json).await?;
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

    /// Returns a kept photo of an employee, or a picture of one of their punches; `None` if there is
    /// none, or no key opens it.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn file(
        &self,
        actor: Actor,
        employee: EmployeeId,
        (kind, id): (&str, &str),
    ) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let images = [Photo::KIND, Picture::KIND];
        let image = |one: &&Registered| one.kind.name == kind && images.contains(&one.kind);
        let Some(registered) = self.stores.kinds.iter().find(image) else {
            return Ok(None);
        };
        let ids = [id.to_owned()];
        let found = registered
            .get(&*self.stores.engine, &ids, Parts::Whole)
            .await?;
        let found = found.into_iter().next();
        let Some(mut found) = found.filter(|one| one.record.about().includes(employee)) else {
            return Ok(None);
        };
        let detail = Some(format!("{} {id}", registered.kind.one));
        self.audit
            .record(actor, "employee.export", employee, detail)
            .await?;
        let mut parts = found.record.sealed_parts().into_iter();
        Ok(
            match parts.next().map(|part| unseal(&part, Some(&*self.vault))) {
                Some(Inside::File(bytes)) => Some(bytes),
                Some(Inside::Numbers(_) | Inside::Unopened) | None => None,
            },
        )
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
