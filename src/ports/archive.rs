//! Everything that a system of record holds, one kind after the other: what copies and archives
//! of a whole site stand on.

use std::io;

use futures::stream::BoxStream;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::ser::{CompactFormatter, Formatter};

use super::{
    KeptAnswer, Pictured, Sealed, StoreError, StoredPhoto, StoredPicture, StoredTemplate, Stores,
};
use crate::domain::{
    accounts::Account, attendance::Punch, audit::AuditEntry, cameras::Camera, devices::Device,
    employees::Employee, ids::EmployeeId,
};

/// The kinds of records. Sessions are none of them: people sign in again. Neither are jobs: one
/// that waits in two stores would be done twice, once for each, so that a site is moved when all
/// have ended; and what they did is in the records and the audit trail. Nor are leases: they are
/// of the instances that use the one store. Nor is what is cached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordKind {
    /// Who signs in, with their password hashes.
    Account,
    /// Devices, revoked ones too.
    Device,
    /// Cameras, removed ones too.
    Camera,
    /// Employees, deleted ones too.
    Employee,
    /// Sealed templates.
    Template,
    /// Sealed photos that the site keeps.
    Photo,
    /// When each employee's place in the gallery last changed.
    GalleryChange,
    /// Punches.
    Punch,
    /// Sealed pictures that the site keeps of punches and of unknown faces.
    Picture,
    /// Answers kept for retries.
    Answer,
    /// Facts about the installation.
    Setting,
    /// The audit trail.
    Audit,
}

impl RecordKind {
    /// Every kind, in an order in which they may be written. The audit trail comes last: what it
    /// tells of was written before.
    pub const ALL: [Self; 12] = [
        Self::Account,
        Self::Device,
        Self::Camera,
        Self::Employee,
        Self::Template,
        Self::Photo,
        Self::GalleryChange,
        Self::Punch,
        Self::Picture,
        Self::Answer,
        Self::Setting,
        Self::Audit,
    ];

    /// What people call several of them.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Account => "accounts",
            Self::Device => "devices",
            Self::Camera => "cameras",
            Self::Employee => "employees",
            Self::Template => "templates",
            Self::Photo => "photos",
            Self::GalleryChange => "gallery changes",
            Self::Punch => "punches",
            Self::Picture => "pictures",
            Self::Answer => "kept answers",
            Self::Setting => "settings",
            Self::Audit => "audit entries",
        }
    }

    /// What people call one of them.
    pub fn singular(self) -> &'static str {
        match self {
            Self::Punch => "punch",
            Self::Audit => "audit entry",
            kind => kind.plural().trim_end_matches('s'),
        }
    }
}

/// When an employee's place in the gallery last changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GalleryChange {
    /// Whose.
    pub employee: EmployeeId,
    /// When.
    pub at: Timestamp,
}

/// A fact about the installation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// A record of any kind, as every store gives it back. What is sealed and hashed in it stays so.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "record", rename_all = "snake_case")]
#[expect(missing_docs, reason = "each holds what its name says")]
pub enum StoredRecord {
    Account(Account),
    Device(Device),
    Camera(Camera),
    Employee(Employee),
    Template(StoredTemplate),
    Photo(StoredPhoto),
    GalleryChange(GalleryChange),
    Punch(Box<Punch>),
    Picture(StoredPicture),
    Answer(KeptAnswer),
    Setting(Setting),
    Audit(AuditEntry),
}

impl StoredRecord {
    /// Its kind.
    pub fn kind(&self) -> RecordKind {
        match self {
            Self::Account(_) => RecordKind::Account,
            Self::Device(_) => RecordKind::Device,
            Self::Camera(_) => RecordKind::Camera,
            Self::Employee(_) => RecordKind::Employee,
            Self::Template(_) => RecordKind::Template,
            Self::Photo(_) => RecordKind::Photo,
            Self::GalleryChange(_) => RecordKind::GalleryChange,
            Self::Punch(_) => RecordKind::Punch,
            Self::Picture(_) => RecordKind::Picture,
            Self::Answer(_) => RecordKind::Answer,
            Self::Setting(_) => RecordKind::Setting,
            Self::Audit(_) => RecordKind::Audit,
        }
    }

    /// What names it among those of its kind.
    pub fn id(&self) -> String {
        match self {
            Self::Account(account) => account.id.to_string(),
            Self::Device(device) => device.id.to_string(),
            Self::Camera(camera) => camera.id.to_string(),
            Self::Employee(employee) => employee.id.to_string(),
            Self::Template(template) => template.id.to_string(),
            Self::Photo(photo) => photo.id.to_string(),
            Self::GalleryChange(change) => change.employee.to_string(),
            Self::Punch(punch) => punch.id.to_string(),
            Self::Picture(picture) => picture.id.to_string(),
            Self::Answer(answer) => format!("{}:{}", answer.device, answer.request.key),
            Self::Setting(setting) => setting.name.clone(),
            Self::Audit(entry) => entry.id.to_string(),
        }
    }

    /// Its JSON, byte by byte the same from whichever store it was read: the sign of a zero,
    /// which not every store keeps, is left out.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when a store gave something that no JSON can hold.
    pub fn json(&self) -> Result<Vec<u8>, StoreError> {
        let mut json = Vec::new();
        let mut writer = serde_json::Serializer::with_formatter(&mut json, UnsignedZero);
        match self.serialize(&mut writer) {
            Ok(()) => Ok(json),
            Err(_) => Err(StoreError::Corrupt(self.kind().singular().to_owned())),
        }
    }

    /// What is sealed in it, if anything is.
    pub fn sealed(&self) -> Option<&Sealed> {
        match self {
            Self::Template(template) => Some(&template.sealed),
            Self::Photo(photo) => Some(&photo.sealed),
            Self::Picture(picture) => Some(&picture.sealed),
            _ => None,
        }
    }

    /// The identity under which the audit trail tells of its changes: for what belongs to an
    /// employee that employee's, else its own.
    pub fn subject(&self) -> String {
        match self {
            Self::Template(template) => template.employee.to_string(),
            Self::Photo(photo) => photo.employee.to_string(),
            Self::Picture(StoredPicture {
                of: Pictured::Punch { employee, .. },
                ..
            }) => employee.to_string(),
            record => record.id(),
        }
    }
}

/// JSON without white space, where minus zero is zero.
struct UnsignedZero;

impl Formatter for UnsignedZero {
    fn write_f32<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: f32) -> io::Result<()> {
        CompactFormatter.write_f32(writer, value + 0.0)
    }
}

macro_rules! from {
    ($($kind:ident($record:ty)),+ $(,)?) => {$(
        impl From<$record> for StoredRecord {
            fn from(record: $record) -> Self {
                Self::$kind(record.into())
            }
        }
    )+};
}

from! {
    Account(Account),
    Device(Device),
    Camera(Camera),
    Employee(Employee),
    Template(StoredTemplate),
    Photo(StoredPhoto),
    GalleryChange(GalleryChange),
    Punch(Punch),
    Picture(StoredPicture),
    Answer(KeptAnswer),
    Setting(Setting),
    Audit(AuditEntry),
}

/// Reading everything that a store holds.
pub trait Archive: Send + Sync {
    /// All records of a kind, also those that no list shows, in pages of any length, each record
    /// once, in the order of the bytes of [`StoredRecord::id`]. What is written meanwhile may be
    /// among them or not, and keeps it from ending only if more than a page of
    /// [`records_in_page`] is written for each page that is read.
    fn records(&self, kind: RecordKind) -> BoxStream<'_, Result<Vec<StoredRecord>, StoreError>>;
}

/// How many records of a kind a page holds. Photos are large, and stores have to answer in 2
/// seconds, also over a slow network.
pub fn records_in_page(kind: RecordKind) -> usize {
    match kind {
        RecordKind::Photo => 2,
        RecordKind::Picture => 50,
        _ => 500,
    }
}

impl Stores {
    /// Replaces what is sealed in a record, while that is sealed as it `was`; false when it is
    /// not, because the record was deleted or sealed anew meanwhile, or has nothing sealed in it.
    /// Then nothing is done.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn reseal(&self, was: &StoredRecord, sealed: &Sealed) -> Result<bool, StoreError> {
        match was {
            StoredRecord::Template(was) => self.templates.reseal(was, sealed).await,
            StoredRecord::Photo(was) => self.templates.reseal_photo(was, sealed).await,
            StoredRecord::Picture(was) => self.pictures.reseal(was, sealed).await,
            _ => Ok(false),
        }
    }

    /// Adds a record exactly as it is, with its identity and times.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when it is there, or when another one has a value that must be
    /// unique. Not of gallery changes, where the later one stays, and of photos that are there,
    /// which may stay as they are.
    pub async fn add(&self, record: &StoredRecord) -> Result<(), StoreError> {
        match record {
            StoredRecord::Account(account) => self.accounts.insert(account).await,
            StoredRecord::Device(device) => self.devices.insert(device).await,
            StoredRecord::Camera(camera) => self.cameras.insert(camera).await,
            StoredRecord::Employee(employee) => self.employees.insert(employee).await,
            StoredRecord::Template(template) => {
                let templates = std::slice::from_ref(template);
                self.templates.insert(templates, &[]).await
            }
            StoredRecord::Photo(photo) => {
                let photos = std::slice::from_ref(photo);
                self.templates.insert(&[], photos).await
            }
            StoredRecord::GalleryChange(change) => {
                self.templates
                    .mark_changed(change.employee, change.at)
                    .await
            }
            StoredRecord::Punch(punch) => self.punches.append(punch).await,
            StoredRecord::Picture(picture) => self.pictures.insert(picture).await,
            StoredRecord::Answer(answer) => self.punches.keep_answer(answer).await,
            StoredRecord::Setting(setting) => {
                let claimed = self.settings.claim(&setting.name, &setting.value).await?;
                claimed.then_some(()).ok_or(StoreError::Conflict)
            }
            StoredRecord::Audit(entry) => self.audit.append(entry).await,
        }
    }
}
