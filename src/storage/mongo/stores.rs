//! The ports on MongoDB. Filters are built of typed values: a text stays a text, whatever
//! operators are in it.

use async_trait::async_trait;
use futures::TryStreamExt;
use jiff::Timestamp;
use mongodb::{
    Collection,
    bson::{Bson, Document, Uuid, doc, serialize_to_document},
    error::{Error, ErrorKind},
    results::UpdateResult,
};
use serde::de::DeserializeOwned;

use super::{
    MongoStore, PATIENCE,
    documents::{ConsentDocument, Enrollment, Kept, SealedDocument, request_of, uuid, when},
    within,
};
use crate::{
    domain::{
        accounts::{Account, Session, TokenHash},
        attendance::{ClockSource, Punch},
        audit::AuditEntry,
        biometrics::ModelId,
        devices::Device,
        employees::{Consent, Employee},
        ids::{AccountId, AuditId, DeviceId, EmployeeId, PunchId, TemplateId},
        text::{Code, Email, IdempotencyKey},
    },
    ports::*,
    storage::parts,
};

/// A serialisation that fails is a record that cannot be kept.
fn unkept(_: mongodb::bson::error::Error) -> StoreError {
    parts::damaged("a record that is no document")
}

/// A pattern that matches the text and nothing else.
fn literal(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii_punctuation() {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

/// At least one: a limit of 0 means "all" to MongoDB.
pub(super) fn limit_of(limit: usize) -> i64 {
    i64::try_from(limit.max(1)).unwrap_or(i64::MAX)
}

/// A range of times inside a filter, if it is bounded.
fn range(bounds: [(&str, Option<Timestamp>); 2]) -> Option<Document> {
    let range: Document = bounds
        .into_iter()
        .filter_map(|(operator, at)| Some((operator.to_owned(), Bson::DateTime(when(at?)))))
        .collect();
    (!range.is_empty()).then_some(range)
}

/// What MongoDB calls a failure that it has no better code for. FerretDB answers so when an
/// update meets a unique value that is taken.
const INTERNAL_ERROR: i32 = 1;

/// Finds another record than `id` with the same unique value.
pub(super) fn rival_of(id: Uuid, field: &str, value: impl Into<Bson>) -> Document {
    doc! { "_id": { "$ne": id }, field: value.into() }
}

/// Whether an update found its document. A failure without a code of its own is a conflict when
/// there is a rival.
async fn matched<D: DeserializeOwned + Send + Sync>(
    collection: &Collection<D>,
    rival: Document,
    result: Result<UpdateResult, Error>,
) -> Result<bool, StoreError> {
    let internal = |error: &Error| matches!(&*error.kind, ErrorKind::Command(error) if error.code == INTERNAL_ERROR);
    match result {
        Ok(result) => Ok(result.matched_count == 1),
        Err(error) if internal(&error) && collection.find_one(rival).await?.is_some() => {
            Err(StoreError::Conflict)
        }
        Err(error) => Err(error.into()),
    }
}

/// What comes after a record of this time and identity in a list that begins with the newest.
pub(super) fn older_than(at: Timestamp, id: uuid::Uuid) -> Vec<Document> {
    let at = when(at);
    vec![
        doc! { "at": { "$lt": at } },
        doc! { "at": at, "_id": { "$lt": uuid(id) } },
    ]
}

impl MongoStore {
    pub(super) async fn insert_record<K: Kept + Sync>(&self, record: &K) -> Result<(), StoreError> {
        let document = record.document()?;
        let link = self.link.clone();
        let call = async move {
            link.collection::<K>().await?.insert_one(document).await?;
            Ok(())
        };
        within(PATIENCE, call).await
    }

    /// Replaces a record; `rival` finds another one with its unique value.
    async fn replace_record<K: Kept + Sync>(
        &self,
        id: Uuid,
        rival: Document,
        record: &K,
    ) -> Result<bool, StoreError> {
        let document = record.document()?;
        let link = self.link.clone();
        let call = async move {
            let collection = link.collection::<K>().await?;
            let replaced = collection.replace_one(doc! { "_id": id }, document).await;
            matched(&collection, rival, replaced).await
        };
        within(PATIENCE, call).await
    }

    /// Changes the record that the filter finds; `rival` finds another one with the unique value
    /// that is set.
    async fn change_record<K: Kept>(
        &self,
        filter: Document,
        rival: Document,
        change: Document,
    ) -> Result<bool, StoreError> {
        let link = self.link.clone();
        let call = async move {
            let collection = link.collection::<K>().await?;
            let updated = collection.update_one(filter, change).await;
            matched(&collection, rival, updated).await
        };
        within(PATIENCE, call).await
    }

    /// Replaces the sealing at a path of a document while it is as it was. No two have the same
    /// nonce.
    pub(super) async fn exchange_sealed<K: Kept>(
        &self,
        mut filter: Document,
        path: &str,
        (was, is): (&Sealed, &Sealed),
    ) -> Result<bool, StoreError> {
        let sealed = |sealed| serialize_to_document(&SealedDocument::of(sealed)).map_err(unkept);
        filter.insert(format!("{path}.nonce"), sealed(was)?.get("nonce").cloned());
        let mut change = Document::new();
        change.insert(path, sealed(is)?);
        // Nothing unique is set, so there is no rival.
        let rival = doc! { "_id": Bson::Null };
        self.change_record::<K>(filter, rival, doc! { "$set": change })
            .await
    }

    /// Replaces what is still as it was, but for the fields in `kept`; those in `optional` may
    /// be missing.
    pub(super) async fn exchange_record<K: Kept>(
        &self,
        (was, is): (&K, &K),
        (kept, optional): (&[&str], &[&str]),
        rival: Document,
    ) -> Result<bool, StoreError> {
        let replaced = |record: &K| {
            let mut document = serialize_to_document(&record.document()?).map_err(unkept)?;
            let id = document.remove("_id");
            for kept in kept {
                document.remove(kept);
            }
            Ok::<_, StoreError>((id, document))
        };
        let ((id, mut still), (_, set)) = (replaced(was)?, replaced(is)?);
        let mut unset = Document::new();
        for optional in optional {
            if !set.contains_key(optional) {
                unset.insert(*optional, "");
            }
            // What is missing equals null.
            still.entry((*optional).to_owned()).or_insert(Bson::Null);
        }
        still.insert("_id", id);
        let mut change = doc! { "$set": set };
        if !unset.is_empty() {
            change.insert("$unset", unset);
        }
        self.change_record::<K>(still, rival, change).await
    }

    pub(super) async fn select<K: Kept>(
        &self,
        filter: Document,
        sort: Document,
        limit: Option<usize>,
    ) -> Result<Vec<K>, StoreError> {
        let link = self.link.clone();
        let call = async move {
            let collection = link.collection::<K>().await?;
            let mut find = collection.find(filter).sort(sort);
            if let Some(limit) = limit {
                find = find.limit(limit_of(limit));
            }
            Ok(find.await?.try_collect::<Vec<_>>().await?)
        };
        let documents = within(PATIENCE, call).await?;
        documents.into_iter().map(K::record).collect()
    }

    pub(super) async fn select_one<K: Kept>(
        &self,
        filter: Document,
        sort: Document,
    ) -> Result<Option<K>, StoreError> {
        Ok(self.select(filter, sort, Some(1)).await?.pop())
    }

    /// All records with one of the identities.
    pub(super) async fn select_among<K: Kept>(
        &self,
        ids: impl Iterator<Item = uuid::Uuid>,
    ) -> Result<Vec<K>, StoreError> {
        let ids: Vec<_> = ids.map(uuid).collect();
        self.select(doc! { "_id": { "$in": ids } }, doc! {}, None)
            .await
    }

    pub(super) async fn delete_where<K: Kept>(&self, filter: Document) -> Result<u64, StoreError> {
        let link = self.link.clone();
        let call = async move {
            let collection = link.collection::<K>().await?;
            Ok(collection.delete_many(filter).await?.deleted_count)
        };
        within(PATIENCE, call).await
    }
}

#[async_trait]
impl EmployeeStore for MongoStore {
    async fn insert(&self, employee: &Employee) -> Result<(), StoreError> {
        self.insert_record(employee).await
    }

    async fn update(&self, was: &Employee, is: &Employee) -> Result<bool, StoreError> {
        let rival = rival_of(uuid(is.id.uuid()), "code_key", is.code.key());
        let fields: (&[_], &[_]) = (
            &["templates", "consent"],
            &["code_key", "site", "deleted_at"],
        );
        self.exchange_record((was, is), fields, rival).await
    }

    async fn set_enrolled(
        &self,
        id: EmployeeId,
        templates: u32,
        consent: Option<&Consent>,
    ) -> Result<bool, StoreError> {
        let templates = i64::from(templates);
        let change = match consent {
            Some(consent) => {
                let consent =
                    serialize_to_document(&ConsentDocument::of(consent)).map_err(unkept)?;
                doc! { "$set": { "templates": templates, "consent": consent } }
            }
            None => doc! { "$set": { "templates": templates }, "$unset": { "consent": "" } },
        };
        // Nothing unique is set, so there is no rival.
        let filter = doc! { "_id": uuid(id.uuid()) };
        self.change_record::<Employee>(filter, doc! { "_id": Bson::Null }, change)
            .await
    }

    async fn find(&self, id: EmployeeId) -> Result<Option<Employee>, StoreError> {
        self.select_one(doc! { "_id": uuid(id.uuid()) }, doc! {})
            .await
    }

    async fn find_by_code(&self, code: &Code) -> Result<Option<Employee>, StoreError> {
        self.select_one(doc! { "code_key": code.key() }, doc! {})
            .await
    }

    async fn find_many(&self, ids: &[EmployeeId]) -> Result<Vec<Employee>, StoreError> {
        self.select_among(ids.iter().map(|id| id.uuid())).await
    }

    async fn list(
        &self,
        filter: &EmployeeFilter,
        page: &Page<(String, EmployeeId)>,
    ) -> Result<Vec<Employee>, StoreError> {
        let mut wanted = vec![doc! { "deleted_at": Bson::Null }];
        if let Some(text) = &filter.text {
            if text.contains('\0') {
                // No name or code has one, and no pattern may.
                return Ok(Vec::new());
            }
            let pattern = literal(&text.to_lowercase());
            wanted.push(doc! { "$or": [
                { "name_key": { "$regex": &pattern } },
                { "code_key": { "$regex": &pattern } },
            ] });
        }
        if let Some(site) = &filter.site {
            wanted.push(doc! { "site": site.as_str() });
        }
        if let Some(active) = filter.active {
            wanted.push(doc! { "active": active });
        }
        if let Some((name, id)) = &page.after {
            wanted.push(doc! { "$or": [
                { "name_key": { "$gt": name } },
                { "name_key": name, "_id": { "$gt": uuid(id.uuid()) } },
            ] });
        }
        let order = doc! { "name_key": 1, "_id": 1 };
        self.select(doc! { "$and": wanted }, order, Some(page.limit))
            .await
    }
}

/// The templates that one page of enrollments holds for certain.
///
/// Enrollments are sorted by their first template, but two made at once may interleave: what
/// comes before the first template of an enrollment not fetched (`bound`) is complete.
fn certain(
    enrollments: Vec<Enrollment>,
    model: &ModelId,
    after: Option<TemplateId>,
    bound: Option<TemplateId>,
) -> Vec<StoredTemplate> {
    let mut templates: Vec<_> = enrollments
        .into_iter()
        .flat_map(|enrollment| enrollment.0)
        .filter(|template| {
            template.model == *model
                && after.is_none_or(|after| template.id > after)
                && bound.is_none_or(|bound| template.id < bound)
        })
        .collect();
    templates.sort_by_key(|template| template.id);
    templates
}

#[async_trait]
impl TemplateStore for MongoStore {
    async fn insert(
        &self,
        templates: &[StoredTemplate],
        photos: &[StoredPhoto],
    ) -> Result<(), StoreError> {
        // Photos first: without templates they mean nothing, and a retry finds them there.
        if !photos.is_empty() {
            let documents: Vec<_> = photos
                .iter()
                .map(Kept::document)
                .collect::<Result<_, _>>()?;
            let link = self.link.clone();
            let call = async move {
                let collection = link.collection::<StoredPhoto>().await?;
                collection.insert_many(documents).ordered(false).await?;
                Ok(())
            };
            match within(PATIENCE, call).await {
                Ok(()) | Err(StoreError::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
        if templates.is_empty() {
            return Ok(());
        }
        self.insert_record(&Enrollment(templates.to_vec())).await
    }

    async fn of_employee(&self, employee: EmployeeId) -> Result<Vec<StoredTemplate>, StoreError> {
        let filter = doc! { "employee": uuid(employee.uuid()) };
        let found: Vec<Enrollment> = self.select(filter, doc! {}, None).await?;
        let mut templates: Vec<_> = found.into_iter().flat_map(|found| found.0).collect();
        templates.sort_by_key(|template| (template.created_at, template.id));
        Ok(templates)
    }

    async fn photos_of(&self, employee: EmployeeId) -> Result<Vec<StoredPhoto>, StoreError> {
        let filter = doc! { "employee": uuid(employee.uuid()) };
        let mut photos: Vec<StoredPhoto> = self.select(filter, doc! {}, None).await?;
        photos.sort_by_key(|photo| (photo.created_at, photo.id));
        Ok(photos)
    }

    async fn list(
        &self,
        model: &ModelId,
        page: &Page<TemplateId>,
    ) -> Result<Vec<StoredTemplate>, StoreError> {
        let mut filter = doc! { "models": model.as_str() };
        if let Some(after) = page.after {
            filter.insert("last", doc! { "$gt": uuid(after.uuid()) });
        }
        // Each enrollment holds a template, so this many are enough but in rare cases.
        let mut fetch = page.limit;
        loop {
            let mut found: Vec<Enrollment> = self
                .select(
                    filter.clone(),
                    doc! { "_id": 1 },
                    Some(fetch.saturating_add(1)),
                )
                .await?;
            let bound = (found.len() > fetch).then(|| found.pop()).flatten();
            let bound = bound.and_then(|next| next.0.iter().map(|template| template.id).min());
            let mut templates = certain(found, model, page.after, bound);
            if templates.is_empty() && bound.is_some() {
                fetch = fetch.saturating_mul(4);
                continue;
            }
            templates.truncate(page.limit);
            return Ok(templates);
        }
    }

    async fn keep_models(
        &self,
        employee: EmployeeId,
        models: &[ModelId],
    ) -> Result<u64, StoreError> {
        let models: Vec<_> = models.iter().map(ModelId::as_str).collect();
        // All templates of one enrollment are of one model.
        let others = doc! { "employee": uuid(employee.uuid()), "models": { "$nin": models } };
        let found: Vec<Enrollment> = self.select(others.clone(), doc! {}, None).await?;
        self.delete_where::<Enrollment>(others).await?;
        Ok(found.iter().map(|found| found.0.len() as u64).sum())
    }

    async fn reseal(&self, was: &StoredTemplate, sealed: &Sealed) -> Result<bool, StoreError> {
        let of_employee = doc! { "employee": uuid(was.employee.uuid()) };
        let found: Vec<Enrollment> = self.select(of_employee, doc! {}, None).await?;
        let place = found.iter().find_map(|found| {
            let same = |one: &StoredTemplate| one.id == was.id && one.sealed == was.sealed;
            Some((found.first()?, found.0.iter().position(same)?))
        });
        let Some((first, place)) = place else {
            return Ok(false);
        };
        // An enrollment is never written again: its templates stay where they are in it.
        let path = format!("templates.{place}.sealed");
        let filter = doc! { "_id": uuid(first.uuid()) };
        self.exchange_sealed::<Enrollment>(filter, &path, (&was.sealed, sealed))
            .await
    }

    async fn reseal_photo(&self, was: &StoredPhoto, sealed: &Sealed) -> Result<bool, StoreError> {
        let filter = doc! { "_id": uuid(was.id.uuid()) };
        self.exchange_sealed::<StoredPhoto>(filter, "sealed", (&was.sealed, sealed))
            .await
    }

    async fn delete_of(&self, employee: EmployeeId) -> Result<u64, StoreError> {
        let filter = doc! { "employee": uuid(employee.uuid()) };
        // The templates last: a call that was cut short is repeated and counts them still.
        self.delete_where::<StoredPhoto>(filter.clone()).await?;
        let templates = self.of_employee(employee).await?.len();
        self.delete_where::<Enrollment>(filter).await?;
        Ok(templates as u64)
    }

    async fn mark_changed(&self, employee: EmployeeId, at: Timestamp) -> Result<(), StoreError> {
        let link = self.link.clone();
        let call = async move {
            link.collection::<GalleryChange>()
                .await?
                .update_one(
                    doc! { "_id": uuid(employee.uuid()) },
                    doc! { "$max": { "at": when(at) } },
                )
                .upsert(true)
                .await?;
            Ok(())
        };
        within(PATIENCE, call).await
    }

    async fn changed_since(
        &self,
        at: Timestamp,
    ) -> Result<Vec<(EmployeeId, Timestamp)>, StoreError> {
        let filter = doc! { "at": { "$gte": when(at) } };
        let found: Vec<GalleryChange> = self.select(filter, doc! {}, None).await?;
        Ok(found
            .into_iter()
            .map(|change| (change.employee, change.at))
            .collect())
    }
}

#[async_trait]
impl PunchStore for MongoStore {
    async fn append(&self, punch: &Punch) -> Result<(), StoreError> {
        self.insert_record(punch).await
    }

    async fn find(&self, id: PunchId) -> Result<Option<Punch>, StoreError> {
        self.select_one(doc! { "_id": uuid(id.uuid()) }, doc! {})
            .await
    }

    async fn find_by_request(
        &self,
        device: DeviceId,
        key: &IdempotencyKey,
    ) -> Result<Option<Punch>, StoreError> {
        self.select_one(doc! { "request_of": request_of(device, key) }, doc! {})
            .await
    }

    async fn last_written(&self, employee: EmployeeId) -> Result<Option<Punch>, StoreError> {
        self.select_one(
            doc! { "employee": uuid(employee.uuid()) },
            doc! { "sequence": -1 },
        )
        .await
    }

    async fn last_before(
        &self,
        employee: EmployeeId,
        at: Timestamp,
    ) -> Result<Option<Punch>, StoreError> {
        self.select_one(
            doc! { "employee": uuid(employee.uuid()), "at": { "$lte": when(at) } },
            doc! { "at": -1, "sequence": -1 },
        )
        .await
    }

    async fn last_synchronised(&self, device: DeviceId) -> Result<Option<Timestamp>, StoreError> {
        let last: Option<Punch> = self
            .select_one(
                doc! { "device": uuid(device.uuid()), "clock": parts::word(ClockSource::Server) },
                doc! { "at": -1 },
            )
            .await?;
        Ok(last.map(|punch| punch.at))
    }

    async fn list(
        &self,
        filter: &PunchFilter,
        page: &Page<(Timestamp, PunchId)>,
    ) -> Result<Vec<Punch>, StoreError> {
        let mut wanted = Document::new();
        if let Some(employee) = filter.employee {
            wanted.insert("employee", uuid(employee.uuid()));
        }
        if let Some(device) = filter.device {
            wanted.insert("device", uuid(device.uuid()));
        }
        if let Some(range) = range([("$gte", filter.from), ("$lt", filter.to)]) {
            wanted.insert("at", range);
        }
        if let Some((at, id)) = page.after {
            wanted.insert("$or", older_than(at, id.uuid()));
        }
        let order = doc! { "at": -1, "_id": -1 };
        self.select(wanted, order, Some(page.limit)).await
    }

    async fn recorded_since(
        &self,
        from: Timestamp,
        limit: usize,
    ) -> Result<Vec<Punch>, StoreError> {
        let order = doc! { "recorded_at": 1, "_id": 1 };
        self.select(
            doc! { "recorded_at": { "$gte": when(from) } },
            order,
            Some(limit),
        )
        .await
    }

    async fn keep_answer(&self, answer: &KeptAnswer) -> Result<(), StoreError> {
        self.insert_record(answer).await
    }

    async fn kept_answer(
        &self,
        device: DeviceId,
        key: &IdempotencyKey,
    ) -> Result<Option<KeptAnswer>, StoreError> {
        self.select_one(doc! { "_id": request_of(device, key) }, doc! {})
            .await
    }

    async fn forget_answers(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.delete_where::<KeptAnswer>(doc! { "at": { "$lt": when(before) } })
            .await
    }

    async fn forget_answer(
        &self,
        device: DeviceId,
        key: &IdempotencyKey,
    ) -> Result<bool, StoreError> {
        let kept = doc! { "_id": request_of(device, key) };
        Ok(self.delete_where::<KeptAnswer>(kept).await? > 0)
    }

    async fn erase_of(&self, employee: EmployeeId) -> Result<u64, StoreError> {
        self.delete_where::<Punch>(doc! { "employee": uuid(employee.uuid()) })
            .await
    }
}

#[async_trait]
impl DeviceStore for MongoStore {
    async fn insert(&self, device: &Device) -> Result<(), StoreError> {
        self.insert_record(device).await
    }

    async fn update(&self, device: &Device) -> Result<bool, StoreError> {
        let id = uuid(device.id.uuid());
        let rival = rival_of(id, "token", device.token.to_hex());
        self.replace_record(id, rival, device).await
    }

    async fn find(&self, id: DeviceId) -> Result<Option<Device>, StoreError> {
        self.select_one(doc! { "_id": uuid(id.uuid()) }, doc! {})
            .await
    }

    async fn find_by_token(&self, token: TokenHash) -> Result<Option<Device>, StoreError> {
        self.select_one(doc! { "token": token.to_hex() }, doc! {})
            .await
    }

    async fn find_many(&self, ids: &[DeviceId]) -> Result<Vec<Device>, StoreError> {
        self.select_among(ids.iter().map(|id| id.uuid())).await
    }

    async fn list(&self, page: &Page<DeviceId>) -> Result<Vec<Device>, StoreError> {
        let mut filter = doc! { "revoked_at": Bson::Null };
        if let Some(after) = page.after {
            filter.insert("_id", doc! { "$gt": uuid(after.uuid()) });
        }
        self.select(filter, doc! { "_id": 1 }, Some(page.limit))
            .await
    }
}

#[async_trait]
impl AccountStore for MongoStore {
    async fn insert(&self, account: &Account) -> Result<(), StoreError> {
        self.insert_record(account).await
    }

    async fn update(&self, account: &Account) -> Result<bool, StoreError> {
        let id = uuid(account.id.uuid());
        let rival = rival_of(id, "email", account.email.as_str());
        self.replace_record(id, rival, account).await
    }

    async fn find(&self, id: AccountId) -> Result<Option<Account>, StoreError> {
        self.select_one(doc! { "_id": uuid(id.uuid()) }, doc! {})
            .await
    }

    async fn find_by_email(&self, email: &Email) -> Result<Option<Account>, StoreError> {
        self.select_one(doc! { "email": email.as_str() }, doc! {})
            .await
    }

    async fn list(&self, page: &Page<AccountId>) -> Result<Vec<Account>, StoreError> {
        let filter = match page.after {
            Some(after) => doc! { "_id": { "$gt": uuid(after.uuid()) } },
            None => doc! {},
        };
        self.select(filter, doc! { "_id": 1 }, Some(page.limit))
            .await
    }
}

#[async_trait]
impl SessionStore for MongoStore {
    async fn insert(&self, session: &Session) -> Result<(), StoreError> {
        self.insert_record(session).await
    }

    async fn find(&self, hash: TokenHash) -> Result<Option<Session>, StoreError> {
        self.select_one(doc! { "_id": hash.to_hex() }, doc! {})
            .await
    }

    async fn of(&self, account: AccountId) -> Result<Vec<Session>, StoreError> {
        let order = doc! { "created_at": -1, "_id": 1 };
        self.select(doc! { "account": uuid(account.uuid()) }, order, None)
            .await
    }

    async fn delete(&self, hash: TokenHash) -> Result<bool, StoreError> {
        let deleted = self
            .delete_where::<Session>(doc! { "_id": hash.to_hex() })
            .await?;
        Ok(deleted == 1)
    }

    async fn delete_of(&self, account: AccountId) -> Result<u64, StoreError> {
        self.delete_where::<Session>(doc! { "account": uuid(account.uuid()) })
            .await
    }

    async fn purge(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.delete_where::<Session>(doc! { "expires_at": { "$lt": when(before) } })
            .await
    }
}

#[async_trait]
impl AuditStore for MongoStore {
    async fn append(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        self.insert_record(entry).await
    }

    async fn list(&self, page: &Page<(Timestamp, AuditId)>) -> Result<Vec<AuditEntry>, StoreError> {
        let mut wanted = doc! {};
        if let Some((at, id)) = page.after {
            wanted.insert("$or", older_than(at, id.uuid()));
        }
        let order = doc! { "at": -1, "_id": -1 };
        self.select(wanted, order, Some(page.limit)).await
    }

    async fn purge(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.delete_where::<AuditEntry>(doc! { "at": { "$lt": when(before) } })
            .await
    }
}

#[async_trait]
impl SettingStore for MongoStore {
    async fn get(&self, name: &str) -> Result<Option<String>, StoreError> {
        let found: Option<Setting> = self.select_one(doc! { "_id": name }, doc! {}).await?;
        Ok(found.map(|setting| setting.value))
    }

    async fn claim(&self, name: &str, value: &str) -> Result<bool, StoreError> {
        let setting = Setting {
            name: name.to_owned(),
            value: value.to_owned(),
        };
        match self.insert_record(&setting).await {
            Ok(()) => Ok(true),
            Err(StoreError::Conflict) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn release(&self, name: &str) -> Result<(), StoreError> {
        let deleted = self.delete_where::<Setting>(doc! { "_id": name }).await;
        deleted.map(drop)
    }
}

#[async_trait]
impl StoreHealth for MongoStore {
    fn description(&self) -> String {
        match self.link.version.get() {
            Some(version) => format!("mongodb {version}"),
            None => "mongodb, not reached yet".to_owned(),
        }
    }

    async fn ping(&self) -> Result<(), StoreError> {
        let link = self.link.clone();
        let call = async move {
            link.database()
                .await?
                .run_command(doc! { "ping": 1 })
                .await?;
            Ok(())
        };
        within(PATIENCE, call).await
    }

    async fn clear_traces(&self) -> Result<Option<String>, StoreError> {
        let left = "MongoDB's oplog and journal hold it until they are written over";
        Ok(Some(left.to_owned()))
    }

    async fn close(&self) {
        let Some(client) = self.link.client.get().cloned() else {
            return;
        };
        let closed = async move {
            client.shutdown().await;
            Ok(())
        };
        if let Err(error) = within(PATIENCE, closed).await {
            tracing::warn!(%error, "mongodb's connections did not close in time");
        }
    }
}
