//! Ports to the system of record.
//!
//! Every adapter passes the same contract suite (`tests/contract/`). Each method is atomic by
//! itself; nothing needs a transaction over several records. Times have millisecond precision.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Archive, CameraStore, PictureStore};
use crate::domain::{
    accounts::{Account, Session, TokenHash},
    attendance::{Punch, RequestKey},
    audit::AuditEntry,
    biometrics::{ModelId, Views},
    devices::Device,
    employees::{Consent, Employee},
    ids::{AccountId, AuditId, DeviceId, EmployeeId, JobId, PhotoId, PunchId, TemplateId},
    jobs::{Ability, Job},
    quality::Quality,
    text::{Code, Email, IdempotencyKey, SiteName},
};

/// What can go wrong with a store. That something is not there is no error but `None`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// A unique value is taken already.
    #[error("a unique value is taken already")]
    Conflict,
    /// The store does not answer in time; nothing is known of what it did.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The store answers and refuses, because of how it is set up or what it lacks; nothing was
    /// done. The words say what its operator can do, and are fit for everybody.
    #[error("the store refuses: {0}")]
    Refused(&'static str),
    /// The store holds something that cannot be what was written.
    #[error("the store holds a damaged record: {0}")]
    Corrupt(String),
}

/// The page of a list: at most `limit` items after the cursor.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<C> {
    /// Where the last page ended.
    pub after: Option<C>,
    /// How many items at most; at least 1.
    pub limit: usize,
}

/// Which employees to list, sorted by lower-cased name, then identity. Deleted ones never are.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EmployeeFilter {
    /// Part of the name or code, in any case.
    pub text: Option<String>,
    /// Those of one site.
    pub site: Option<SiteName>,
    /// Only active, or only inactive ones.
    pub active: Option<bool>,
}

/// Employees.
#[async_trait]
pub trait EmployeeStore: Send + Sync {
    /// Adds one. [`StoreError::Conflict`] when the code is taken by somebody not deleted.
    async fn insert(&self, employee: &Employee) -> Result<(), StoreError>;

    /// Replaces all of one but its templates and consent, while all of that is as it `was`; false
    /// when it is not, because somebody else changed it or it is not there, and nothing is done.
    /// [`StoreError::Conflict`] as for `insert`. A record with `deleted_at` frees its code.
    async fn update(&self, was: &Employee, is: &Employee) -> Result<bool, StoreError>;

    /// Sets what enrollment knows of one and leaves the rest as it is; false when it is not there.
    async fn set_enrolled(
        &self,
        id: EmployeeId,
        templates: u32,
        consent: Option<&Consent>,
    ) -> Result<bool, StoreError>;

    /// One by identity, deleted or not.
    async fn find(&self, id: EmployeeId) -> Result<Option<Employee>, StoreError>;

    /// One by code (without regard to case), not deleted.
    async fn find_by_code(&self, code: &Code) -> Result<Option<Employee>, StoreError>;

    /// Those of the identities that are there, deleted or not, in any order.
    async fn find_many(&self, ids: &[EmployeeId]) -> Result<Vec<Employee>, StoreError>;

    /// A page; the cursor is the lower-cased name and identity of the last one.
    async fn list(
        &self,
        filter: &EmployeeFilter,
        page: &Page<(String, EmployeeId)>,
    ) -> Result<Vec<Employee>, StoreError>;
}

/// A template as it is stored: sealed, with what is needed to open it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredTemplate {
    /// Identity.
    pub id: TemplateId,
    /// Whose.
    pub employee: EmployeeId,
    /// The embedding space.
    pub model: ModelId,
    /// The views the embedding was made from.
    pub views: Views,
    /// The sealed embedding, see [`crate::vault`].
    pub sealed: Sealed,
    /// What was measured on the photo.
    pub quality: Quality,
    /// When it was enrolled.
    pub created_at: Timestamp,
}

/// Base64 for bytes of any or of one length.
mod base64_text {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(
        bytes: &impl AsRef<[u8]>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub fn deserialize<'de, T: TryFrom<Vec<u8>>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = STANDARD.decode(text).map_err(D::Error::custom)?;
        T::try_from(bytes).map_err(|_| D::Error::custom("another length"))
    }
}

/// AES-256-GCM output; only the vault can make or open one.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// Which key.
    pub key_id: String,
    /// The 96-bit nonce.
    #[serde(with = "base64_text")]
    pub nonce: [u8; 12],
    /// Ciphertext and tag.
    #[serde(with = "base64_text")]
    pub ciphertext: Vec<u8>,
}

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Sealed(key {}, {} bytes)",
            self.key_id,
            self.ciphertext.len()
        )
    }
}

/// An enrollment photo, kept because the site wants it, sealed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredPhoto {
    /// Identity.
    pub id: PhotoId,
    /// Whose.
    pub employee: EmployeeId,
    /// The sealed image file.
    pub sealed: Sealed,
    /// When it was enrolled.
    pub created_at: Timestamp,
}

/// Templates, kept photos, and word of their changes for galleries elsewhere.
#[async_trait]
pub trait TemplateStore: Send + Sync {
    /// Adds templates (and the photos kept with them); none of them exists yet.
    async fn insert(
        &self,
        templates: &[StoredTemplate],
        photos: &[StoredPhoto],
    ) -> Result<(), StoreError>;

    /// All of one employee, oldest first.
    async fn of_employee(&self, employee: EmployeeId) -> Result<Vec<StoredTemplate>, StoreError>;

    /// Kept photos of one employee, oldest first.
    async fn photos_of(&self, employee: EmployeeId) -> Result<Vec<StoredPhoto>, StoreError>;

    /// A page of all templates of a model by identity, to fill a gallery.
    async fn list(
        &self,
        model: &ModelId,
        page: &Page<TemplateId>,
    ) -> Result<Vec<StoredTemplate>, StoreError>;

    /// Deletes the templates of an employee that are of other models than these; how many there
    /// were. Photos stay. Templates that were inserted together are of one model.
    async fn keep_models(
        &self,
        employee: EmployeeId,
        models: &[ModelId],
    ) -> Result<u64, StoreError>;

    /// Replaces what is sealed in a template, while that is sealed as it `was`; false when it is
    /// not, because the template was deleted or sealed anew meanwhile, and nothing is done.
    async fn reseal(&self, was: &StoredTemplate, sealed: &Sealed) -> Result<bool, StoreError>;

    /// The same of a photo.
    async fn reseal_photo(&self, was: &StoredPhoto, sealed: &Sealed) -> Result<bool, StoreError>;

    /// Deletes all templates and photos of an employee for good; how many templates there were.
    async fn delete_of(&self, employee: EmployeeId) -> Result<u64, StoreError>;

    /// Notes that an employee's place in the gallery changed, or is about to.
    async fn mark_changed(&self, employee: EmployeeId, at: Timestamp) -> Result<(), StoreError>;

    /// Whose place changed at or after a moment, each with the last change, in any order.
    async fn changed_since(
        &self,
        at: Timestamp,
    ) -> Result<Vec<(EmployeeId, Timestamp)>, StoreError>;
}

/// Which punches to list, newest first by time, then identity.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PunchFilter {
    /// One employee's.
    pub employee: Option<EmployeeId>,
    /// One device's.
    pub device: Option<DeviceId>,
    /// At or after.
    pub from: Option<Timestamp>,
    /// Before.
    pub to: Option<Timestamp>,
}

/// The answer to a request that wrote no punch, kept so that its retry gets it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeptAnswer {
    /// The device that asked.
    pub device: DeviceId,
    /// Its key and the request it was for.
    pub request: RequestKey,
    /// The answer, JSON.
    pub answer: String,
    /// When it was given.
    pub at: Timestamp,
}

/// Punches: append-only.
#[async_trait]
pub trait PunchStore: Send + Sync {
    /// Writes one, durably: once this returns, no crash loses it. [`StoreError::Conflict`] when
    /// the device used the request key before, or the employee has a punch of this sequence.
    async fn append(&self, punch: &Punch) -> Result<(), StoreError>;

    /// One by identity.
    async fn find(&self, id: PunchId) -> Result<Option<Punch>, StoreError>;

    /// The one that a device's request wrote.
    async fn find_by_request(
        &self,
        device: DeviceId,
        key: &IdempotencyKey,
    ) -> Result<Option<Punch>, StoreError>;

    /// The employee's punch with the highest sequence.
    async fn last_written(&self, employee: EmployeeId) -> Result<Option<Punch>, StoreError>;

    /// The employee's latest punch at or before a moment (by time, then sequence).
    async fn last_before(
        &self,
        employee: EmployeeId,
        at: Timestamp,
    ) -> Result<Option<Punch>, StoreError>;

    /// The time of the device's latest punch that carries the server's time.
    async fn last_synchronised(&self, device: DeviceId) -> Result<Option<Timestamp>, StoreError>;

    /// A page; the cursor is the time and identity of the last one.
    async fn list(
        &self,
        filter: &PunchFilter,
        page: &Page<(Timestamp, PunchId)>,
    ) -> Result<Vec<Punch>, StoreError>;

    /// Those recorded at or after a moment, oldest first, at most `limit`.
    async fn recorded_since(&self, from: Timestamp, limit: usize)
    -> Result<Vec<Punch>, StoreError>;

    /// Keeps an answer. [`StoreError::Conflict`] when the device's key has one already.
    async fn keep_answer(&self, answer: &KeptAnswer) -> Result<(), StoreError>;

    /// The answer that was kept for a device's key.
    async fn kept_answer(
        &self,
        device: DeviceId,
        key: &IdempotencyKey,
    ) -> Result<Option<KeptAnswer>, StoreError>;

    /// Forgets kept answers given before a moment; how many.
    async fn forget_answers(&self, before: Timestamp) -> Result<u64, StoreError>;

    /// Forgets the answer that was kept for a device's key; false when there is none.
    async fn forget_answer(
        &self,
        device: DeviceId,
        key: &IdempotencyKey,
    ) -> Result<bool, StoreError>;

    /// Deletes all punches of an employee for good; how many. The one exception to their being
    /// append-only: somebody who is erased.
    async fn erase_of(&self, employee: EmployeeId) -> Result<u64, StoreError>;
}

/// Devices.
#[async_trait]
pub trait DeviceStore: Send + Sync {
    /// Adds one. [`StoreError::Conflict`] when the token hash is taken.
    async fn insert(&self, device: &Device) -> Result<(), StoreError>;

    /// Replaces one; false when it is not there.
    async fn update(&self, device: &Device) -> Result<bool, StoreError>;

    /// One by identity, revoked or not.
    async fn find(&self, id: DeviceId) -> Result<Option<Device>, StoreError>;

    /// One by the hash of its token, revoked or not.
    async fn find_by_token(&self, token: TokenHash) -> Result<Option<Device>, StoreError>;

    /// Those of the identities that are there, in any order.
    async fn find_many(&self, ids: &[DeviceId]) -> Result<Vec<Device>, StoreError>;

    /// A page of those not revoked, by identity.
    async fn list(&self, page: &Page<DeviceId>) -> Result<Vec<Device>, StoreError>;
}

/// Accounts.
#[async_trait]
pub trait AccountStore: Send + Sync {
    /// Adds one. [`StoreError::Conflict`] when the e-mail address is taken.
    async fn insert(&self, account: &Account) -> Result<(), StoreError>;

    /// Replaces one; false when it is not there.
    async fn update(&self, account: &Account) -> Result<bool, StoreError>;

    /// One by identity.
    async fn find(&self, id: AccountId) -> Result<Option<Account>, StoreError>;

    /// One by e-mail address.
    async fn find_by_email(&self, email: &Email) -> Result<Option<Account>, StoreError>;

    /// A page by identity.
    async fn list(&self, page: &Page<AccountId>) -> Result<Vec<Account>, StoreError>;
}

/// Sessions.
#[async_trait]
pub trait SessionStore: Send + Sync {
    /// Adds one.
    async fn insert(&self, session: &Session) -> Result<(), StoreError>;

    /// One by the hash of its id, expired or not.
    async fn find(&self, hash: TokenHash) -> Result<Option<Session>, StoreError>;

    /// Those of an account, the newest first, expired or not.
    async fn of(&self, account: AccountId) -> Result<Vec<Session>, StoreError>;

    /// Ends one; false when it was not there.
    async fn delete(&self, hash: TokenHash) -> Result<bool, StoreError>;

    /// Ends all of an account; how many.
    async fn delete_of(&self, account: AccountId) -> Result<u64, StoreError>;

    /// Deletes those that ended before a moment; how many.
    async fn purge(&self, before: Timestamp) -> Result<u64, StoreError>;
}

/// The audit trail.
#[async_trait]
pub trait AuditStore: Send + Sync {
    /// Writes one entry.
    async fn append(&self, entry: &AuditEntry) -> Result<(), StoreError>;

    /// A page, newest first; the cursor is time and identity of the last one.
    async fn list(&self, page: &Page<(Timestamp, AuditId)>) -> Result<Vec<AuditEntry>, StoreError>;

    /// The newest entries, newest first.
    async fn latest(&self, limit: usize) -> Result<Vec<AuditEntry>, StoreError> {
        let after = None;
        self.list(&Page { after, limit }).await
    }

    /// Deletes those from before a moment; how many.
    async fn purge(&self, before: Timestamp) -> Result<u64, StoreError>;
}

/// Background jobs: queued, claimed by one at a time, never lost.
///
/// A claim is the job's [turn](Job::turn). Of the states in [`crate::domain::jobs`] the store
/// decides none; it keeps to it that of many who claim one wins, and that only the last winner
/// changes the job.
#[async_trait]
pub trait JobStore: Send + Sync {
    /// Queues one, durably. [`StoreError::Conflict`] when the identity is taken, or when a job
    /// that has not ended has the same `once`.
    async fn insert(&self, job: &Job) -> Result<(), StoreError>;

    /// Claims, of the jobs that somebody can do, the one that is due the longest at a moment, whether it waited for its time or
    /// whoever had it let the lease run out: [`Job::claimed`]. Of any number who claim at once
    /// each job goes to one; who meets others all the time may get `None` although one is due.
    async fn claim(&self, ability: &Ability, now: Timestamp) -> Result<Option<Job>, StoreError>;

    /// Replaces all of one but its payload, which is emptied when the job has ended, while it is
    /// running in the same turn; false when it is not, because the claim was lost, and nothing is
    /// done.
    async fn update(&self, job: &Job) -> Result<bool, StoreError>;

    /// Replaces one that has not ended by how it ended, whoever has it; false when it has ended or
    /// is not there.
    async fn end(&self, job: &Job) -> Result<bool, StoreError>;

    /// One by identity, without its payload.
    async fn find(&self, id: JobId) -> Result<Option<Job>, StoreError>;

    /// A page, newest first by identity, without payloads.
    async fn list(&self, page: &Page<JobId>) -> Result<Vec<Job>, StoreError>;

    /// How many have not ended.
    async fn unfinished(&self) -> Result<u64, StoreError>;

    /// Deletes those that ended before a moment; how many.
    async fn purge(&self, before: Timestamp) -> Result<u64, StoreError>;
}

/// A name that one instance has for a while, so that it alone does what must be single.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// What it is for.
    pub name: String,
    /// Who has it, one of a kind for each instance.
    pub holder: String,
    /// The fencing token: it grows with every new holder, so that whoever was paused past the
    /// end is told from the next.
    pub fence: u64,
    /// When it ends, unless it is kept.
    pub until: Timestamp,
}

/// Leases: of any number of instances that want a name, one has it at a time, whether or not
/// there is anything but the store.
///
/// Times are those of the instances' clocks, which must not differ by much of a lease. A holder
/// counts its lease as over at its end by its own clock, whatever the store says.
#[async_trait]
pub trait LeaseStore: Send + Sync {
    /// Takes the name until a moment after `now`; `None` when somebody else's lease lasts past
    /// `now`. Whoever has it takes it again under the same fence. Of those who take a free name
    /// at once one gets it; who meets others all the time may get `None`.
    async fn take(
        &self,
        name: &str,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Lease>, StoreError>;

    /// Lets it last until another moment; false when it was over, or is somebody else's: its
    /// holder must stop at once.
    async fn keep(
        &self,
        lease: &Lease,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Frees the name; false when it was let go before, or is somebody else's.
    async fn let_go(&self, lease: &Lease) -> Result<bool, StoreError>;
}

/// Cached bytes by key for a while, for instances that share no Redis. They are no records: what
/// is put in may be gone at any moment. What has ended is not found any more.
#[async_trait]
pub trait CacheStore: Send + Sync {
    /// The values of keys, in their order.
    async fn get(
        &self,
        keys: &[String],
        now: Timestamp,
    ) -> Result<Vec<Option<Vec<u8>>>, StoreError>;

    /// Puts values that end at a moment.
    async fn put(
        &self,
        values: &[(String, Vec<u8>)],
        now: Timestamp,
        until: Timestamp,
    ) -> Result<(), StoreError>;

    /// Puts a value only where there is none; whether it was put.
    async fn add(
        &self,
        key: &str,
        value: &[u8],
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Takes values out; how many were there.
    async fn delete(&self, keys: &[String], now: Timestamp) -> Result<u64, StoreError>;

    /// Takes out every key that begins so; how many there were.
    async fn clear(&self, prefix: &str, now: Timestamp) -> Result<u64, StoreError>;

    /// Adds to a number, which begins at 0 and then ends at a moment; what it is now.
    async fn increment(
        &self,
        key: &str,
        by: i64,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<i64, StoreError>;

    /// When the value ends; `None` without one.
    async fn ends(&self, key: &str, now: Timestamp) -> Result<Option<Timestamp>, StoreError>;

    /// Deletes what ended by a moment, where the store does not do so by itself; how many.
    async fn purge(&self, by: Timestamp) -> Result<u64, StoreError>;
}

/// Facts about the whole installation, by name.
#[async_trait]
pub trait SettingStore: Send + Sync {
    /// The value.
    async fn get(&self, name: &str) -> Result<Option<String>, StoreError>;

    /// Sets the value if there is none yet; false when there was one. Of any number of
    /// instances that try at once, one wins.
    async fn claim(&self, name: &str, value: &str) -> Result<bool, StoreError>;

    /// Removes the value.
    async fn release(&self, name: &str) -> Result<(), StoreError>;
}

/// The store as a whole.
#[async_trait]
pub trait StoreHealth: Send + Sync {
    /// What it is, for start-up and readiness: `sqlite 3.50` or `mongodb 7.0`; no secrets.
    fn description(&self) -> String;

    /// Whether it answers, within 2 seconds.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Takes away what deleted records left outside of the records themselves, as far as it can;
    /// tells where some of it may be still, for people.
    async fn clear_traces(&self) -> Result<Option<String>, StoreError>;

    /// Finishes writing and closes; nothing is asked of it afterwards.
    async fn close(&self);
}

/// Everything a system of record has to offer.
#[derive(Clone)]
pub struct Stores {
    /// Employees.
    pub employees: Arc<dyn EmployeeStore>,
    /// Templates and photos.
    pub templates: Arc<dyn TemplateStore>,
    /// Punches.
    pub punches: Arc<dyn PunchStore>,
    /// Devices.
    pub devices: Arc<dyn DeviceStore>,
    /// Cameras.
    pub cameras: Arc<dyn CameraStore>,
    /// Pictures of punches and of unknown faces.
    pub pictures: Arc<dyn PictureStore>,
    /// Accounts.
    pub accounts: Arc<dyn AccountStore>,
    /// Sessions.
    pub sessions: Arc<dyn SessionStore>,
    /// Background jobs.
    pub jobs: Arc<dyn JobStore>,
    /// Leases.
    pub leases: Arc<dyn LeaseStore>,
    /// What is cached for instances that share no Redis.
    pub cache: Arc<dyn CacheStore>,
    /// The audit trail.
    pub audit: Arc<dyn AuditStore>,
    /// Facts about the installation.
    pub settings: Arc<dyn SettingStore>,
    /// Everything at once.
    pub archive: Arc<dyn Archive>,
    /// The store as a whole.
    pub health: Arc<dyn StoreHealth>,
}

impl Stores {
    /// The same adapter behind every port.
    pub fn of<S>(store: Arc<S>) -> Self
    where
        S: EmployeeStore
            + TemplateStore
            + PunchStore
            + DeviceStore
            + CameraStore
            + PictureStore
            + AccountStore
            + SessionStore
            + JobStore
            + LeaseStore
            + CacheStore
            + AuditStore
            + SettingStore
            + Archive
            + StoreHealth
            + 'static,
    {
        Self {
            employees: store.clone(),
            templates: store.clone(),
            punches: store.clone(),
            devices: store.clone(),
            cameras: store.clone(),
            pictures: store.clone(),
            accounts: store.clone(),
            sessions: store.clone(),
            jobs: store.clone(),
            leases: store.clone(),
            cache: store.clone(),
            audit: store.clone(),
            settings: store.clone(),
            archive: store.clone(),
            health: store,
        }
    }
}
