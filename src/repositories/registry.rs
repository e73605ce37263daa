//! The list of all kinds of records. Backups, copies, erasure, export, key rotation and checks of a
//! whole store are loops over this list.

use std::{
    any::{Any, TypeId},
    borrow::Cow,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use futures::{Stream, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::collection::exactly;
use crate::{
    domain::{
        accounts::{Account, KnownBrowsers, Session},
        api_tokens::{ApiToken, ApiTokenUse},
        attendance::{KeptAnswer, Punch, Timesheet},
        audit::AuditEntry,
        balances::BalanceEntry,
        calendars::CalendarAddress,
        cameras::{Camera, CameraReport},
        devices::{Device, DeviceReport},
        employees::Employee,
        faces::{FaceEnrollment, Photo},
        ids::EmployeeId,
        installation::{CachedValue, Lease, Setting, StoreFact},
        invitations::Invitation,
        jobs::Job,
        mail::MailPreferences,
        messages::{Delivery, Webhook},
        pictures::Picture,
        plans::{
            Assignment, Cycle, Entitlement, Entry, HolidayCalendar, Leave, LeaveKind,
            PayrollLayout, ShiftKind, SiteRules,
        },
        punch_credentials::PunchCredential,
        record::{About, Index, Key, Keys, Kind, Lifetime, Record},
        refused_punches::RefusedPunch,
        sealed::SealedPart,
        second_factors::SecondFactors,
        sites::Site,
    },
    ports::{Expect, Parts, Range, RecordEngine, StoreError, Stored, Write},
};

/// A kind of record, with operations that do not need its type.
#[derive(Debug, Clone, Copy)]
pub struct Registered {
    /// The kind.
    pub kind: &'static Kind,
    /// The current version of its records.
    pub version: u16,
    read: fn(Stored) -> Result<Box<dyn AnyRecord>, StoreError>,
    keyed_by_employee: fn() -> bool,
}

macro_rules! registry {
    ($($record:ty),+ $(,)?) => {
        /// All kinds, for which stores create tables or collections.
        pub static KINDS: &[&Kind] = &[$(<$record as Record>::KIND),+];

        static REGISTERED: &[Registered] = &[$(Registered::new::<$record>()),+];
    };
}

// In the order in which backups and copies write them: a kind follows the kinds that it refers to.
// The audit trail comes last, because its entries are written before the changes that they report.
registry! {
    StoreFact,
    Setting,
    Account,
        MailPreferences,
        SecondFactors,
    Site,
    SiteRules,
    Entry<ShiftKind>,
    Entry<Cycle>,
    Entry<HolidayCalendar>,
    Entry<LeaveKind>,
    Entry<PayrollLayout>,
    ApiToken,
    Device,
    Camera,
    Employee,
    Assignment,
    Leave,
    Entitlement,
    CalendarAddress,
        Invitation,
        PunchCredential,
    FaceEnrollment,
    Photo,
    Punch,
    Timesheet,
    BalanceEntry,
    Picture,
    RefusedPunch,
    KeptAnswer,
    Webhook,
    Session,
    KnownBrowsers,
    Job,
    Delivery,
    Lease,
    CachedValue,
    CameraReport,
    DeviceReport,
    ApiTokenUse,
    AuditEntry,
}

/// Returns all kinds.
pub fn registered() -> &'static [Registered] {
    REGISTERED
}

/// A record of any kind.
pub trait AnyRecord: Any + Send + Sync {
    /// Returns its kind.
    fn kind_of(&self) -> &'static Kind;

    /// Returns its ID.
    fn id_text(&self) -> String;

    /// Returns whose personal data it is.
    fn about(&self) -> About;

    /// Returns its keys.
    fn all_keys(&self) -> Keys;

    /// Removes everything that identifies an employee.
    fn anonymize(&mut self, employee: EmployeeId);

    /// Returns its sealed parts.
    fn sealed_parts(&mut self) -> Vec<SealedPart<'_>>;

    /// Encodes it for writing.
    ///
    /// # Errors
    /// As for [`Write::from_record`].
    fn to_write(&self, expect: Expect) -> Result<Write, StoreError>;
}

impl<R: Record> AnyRecord for R {
    fn kind_of(&self) -> &'static Kind {
        R::KIND
    }

    fn id_text(&self) -> String {
        self.id().to_string()
    }

    fn about(&self) -> About {
        Record::about(self)
    }

    fn all_keys(&self) -> Keys {
        Keys::from_record(self)
    }

    fn anonymize(&mut self, employee: EmployeeId) {
        Record::anonymize(self, employee);
    }

    fn sealed_parts(&mut self) -> Vec<SealedPart<'_>> {
        self.sealed()
    }

    fn to_write(&self, expect: Expect) -> Result<Write, StoreError> {
        Write::from_record(self, expect)
    }
}

impl dyn AnyRecord {
    /// Returns the record if it has this type.
    pub fn downcast<R: Record>(&self) -> Option<&R> {
        let any: &dyn Any = self;
        any.downcast_ref()
    }

    /// Returns the form that backups contain and copies compare: JSON without whitespace, which is
    /// the same for every store. Negative zeros become positive, because not every store preserves
    /// their sign.
    ///
    /// # Errors
    /// As for [`Write::from_record`].
    pub fn line(&self) -> Result<Vec<u8>, StoreError> {
        let write = self.to_write(Expect::Absent)?;
        let damaged = || StoreError::Corrupt(format!("a damaged {}", write.kind.one));
        let mut record: Value = serde_json::from_str(&write.body).map_err(|_| damaged())?;
        unsign_zeros(&mut record);
        let line = Line {
            kind: write.kind.name.into(),
            version: write.version,
            record,
            blob: write.blob.map(|blob| STANDARD.encode(blob)),
        };
        serde_json::to_vec(&line).map_err(|_| damaged())
    }
}

fn unsign_zeros(value: &mut Value) {
    match value {
        Value::Number(number) if number.as_f64() == Some(0.0) && !number.is_u64() => {
            *value = 0.0.into();
        }
        Value::Array(values) => values.iter_mut().for_each(unsign_zeros),
        Value::Object(fields) => fields.values_mut().for_each(unsign_zeros),
        _ => {}
    }
}

/// A record of any kind, as a line of a backup.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    kind: Cow<'a, str>,
    version: u16,
    record: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    blob: Option<String>,
}

/// Why a line cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unread {
    /// It is not a line of a backup.
    NoRecord,
    /// This program does not know its kind, its version or some of its fields, which would be lost.
    /// Contains the name of the kind.
    Newer(String),
}

/// Reads a line that `line` of [`AnyRecord`] wrote. Refuses unknown fields, so that
/// nothing is lost.
///
/// # Errors
/// When it is not a line of a backup, or a newer program wrote it.
pub fn read_line(kinds: &[Registered], line: &[u8]) -> Result<Box<dyn AnyRecord>, Unread> {
    let parsed: Line<'_> = serde_json::from_slice(line).map_err(|_| Unread::NoRecord)?;
    let newer = || Unread::Newer(parsed.kind.to_string());
    let registered = kinds.iter().find(|other| other.kind.name == parsed.kind);
    let registered = registered.ok_or_else(newer)?;
    if parsed.version > registered.version {
        return Err(newer());
    }
    let blob = parsed.blob.as_ref().map(|blob| STANDARD.decode(blob));
    let stored = Stored {
        id: String::new(),
        revision: 1,
        version: parsed.version,
        body: parsed.record.to_string(),
        blob: blob.transpose().map_err(|_| Unread::NoRecord)?,
    };
    let record = registered.read(stored).map_err(|_| Unread::NoRecord)?;
    if parsed.version < registered.version {
        return Ok(record);
    }
    let again = record.line().map_err(|_| Unread::NoRecord)?;
    if again == line {
        return Ok(record);
    }
    let again: Line<'_> = serde_json::from_slice(&again).map_err(|_| Unread::NoRecord)?;
    match contains(&again.record, &parsed.record) && again.blob == parsed.blob {
        true => Ok(record),
        false => Err(newer()),
    }
}

/// Checks whether `whole` contains everything in `part`.
fn contains(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => part
            .iter()
            .all(|(name, part)| whole.get(name).is_some_and(|whole| contains(whole, part))),
        (Value::Array(whole), Value::Array(part)) => {
            whole.len() == part.len()
                && whole
                    .iter()
                    .zip(part)
                    .all(|(one, other)| contains(one, other))
        }
        (whole, part) => whole == part,
    }
}

impl Registered {
    /// Registers a kind.
    pub const fn new<R: Record>() -> Self {
        Self {
            kind: R::KIND,
            version: R::VERSION,
            read: |stored| Ok(Box::new(stored.read::<R>()?)),
            keyed_by_employee: || TypeId::of::<R::Id>() == TypeId::of::<EmployeeId>(),
        }
    }

    /// Checks whether the kind is part of backups and copies.
    pub fn archived(&self) -> bool {
        self.kind.lifetime == Lifetime::Archived
    }

    /// Decodes a record of this kind.
    ///
    /// # Errors
    /// As for [`Stored::read`].
    pub fn read(&self, stored: Stored) -> Result<Box<dyn AnyRecord>, StoreError> {
        (self.read)(stored)
    }

    /// Returns the index of the records about an employee, if there is one.
    fn by_employee(&self) -> Option<Index> {
        let mut indexes = self.kind.indexes.iter().copied();
        match (self.keyed_by_employee)() {
            true => Some(Index::ID),
            false => indexes.find(|index| index.name == "by_employee"),
        }
    }

    /// Reads records by ID, omitting those that do not exist.
    ///
    /// # Errors
    /// When the store fails or a record is damaged.
    pub async fn get(
        &self,
        engine: &dyn RecordEngine,
        ids: &[String],
        parts: Parts,
    ) -> Result<Vec<Found>, StoreError> {
        let found = engine.get(self.kind, ids, parts).await?;
        let found = found.into_iter().flatten();
        found.map(|stored| self.found(stored)).collect()
    }

    fn found(&self, stored: Stored) -> Result<Found, StoreError> {
        let revision = stored.revision;
        let record = self.read(stored)?;
        Ok(Found { record, revision })
    }

    /// Streams all records of this kind in pages, sorted by ID, each once. May or may not include
    /// records that are written at the same time.
    pub fn pages<'a>(
        &'a self,
        engine: &'a dyn RecordEngine,
        parts: Parts,
    ) -> impl Stream<Item = Result<Vec<Found>, StoreError>> + Send + 'a {
        self.pages_after(engine, None, parts)
    }

    /// Streams the pages after a record.
    pub fn pages_after<'a>(
        &'a self,
        engine: &'a dyn RecordEngine,
        id: Option<String>,
        parts: Parts,
    ) -> impl Stream<Item = Result<Vec<Found>, StoreError>> + Send + 'a {
        let after = id.map(|id| (Key::default(), id));
        self.range(engine, Index::ID, Range::all().after(after), parts)
    }

    /// Streams the records about an employee.
    pub fn about<'a>(
        &'a self,
        engine: &'a dyn RecordEngine,
        employee: EmployeeId,
        parts: Parts,
    ) -> impl Stream<Item = Result<Vec<Found>, StoreError>> + Send + 'a {
        let (index, range) = match self.by_employee() {
            Some(Index::ID) => {
                let id = Key::from_text(employee.to_string());
                (Index::ID, exactly(id))
            }
            Some(index) => (index, Range::within(Key::new((employee.uuid(),)))),
            None => (Index::ID, Range::all()),
        };
        self.range(engine, index, range, parts).map_ok(move |page| {
            let about = |found: &Found| found.record.about().includes(employee);
            page.into_iter().filter(about).collect()
        })
    }

    fn range<'a>(
        &'a self,
        engine: &'a dyn RecordEngine,
        index: Index,
        range: Range,
        parts: Parts,
    ) -> impl Stream<Item = Result<Vec<Found>, StoreError>> + Send + 'a {
        let limit = self.kind.page;
        stream::try_unfold(Some(range), move |range| async move {
            let Some(range) = range else {
                return Ok(None);
            };
            let page = engine.scan(self.kind, index, &range, limit, parts).await?;
            let full = page.len() == limit;
            let found = page.into_iter().map(|stored| self.found(stored));
            let found: Vec<Found> = found.collect::<Result<_, StoreError>>()?;
            // A page that is not full is the last one. Otherwise, reading might never end while
            // records are written as fast as they are read.
            let last = found.last().filter(|_| full);
            let next = last.map(|last| {
                let keys = last.record.all_keys();
                let key = keys.get(index).cloned().unwrap_or_default();
                range.after(Some((key, last.record.id_text())))
            });
            Ok((!found.is_empty()).then_some((found, next)))
        })
    }
}

/// A record of any kind, with the revision in which it was read.
pub struct Found {
    /// The record.
    pub record: Box<dyn AnyRecord>,
    /// Its revision.
    pub revision: u64,
}

impl Found {
    /// Returns a record for which the revision does not matter.
    pub fn new<R: Record>(record: R) -> Self {
        Self {
            record: Box::new(record),
            revision: 0,
        }
    }
}
