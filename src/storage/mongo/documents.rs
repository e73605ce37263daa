//! How each record is kept as a document, and read back with doubt. What may be missing is left
//! out, so that sparse unique indexes do not see it.

use mongodb::bson::{Binary, DateTime, Uuid, spec::BinarySubtype};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    domain::{
        accounts::{Account, Session},
        attendance::{Evidence, Punch, RequestKey},
        audit::AuditEntry,
        biometrics::{ModelId, Similarity, Threshold},
        cameras::{Camera, CameraStatus, Presence, WatchHours},
        devices::Device,
        employees::{Consent, Employee},
        ids::{
            AccountId, AuditId, CameraId, DeviceId, EmployeeId, JobId, PhotoId, PictureId, PunchId,
            TemplateId,
        },
        jobs::Job,
        quality::Quality,
        text::{Email, IdempotencyKey, SiteName},
    },
    ports::{
        GalleryChange, KeptAnswer, PictureKind, Pictured, Sealed, Setting, StoreError, StoredPhoto,
        StoredPicture, StoredTemplate,
    },
    storage::parts,
};

/// A record that is a document of a collection.
pub(super) trait Kept: Sized + 'static {
    /// The collection.
    const COLLECTION: &str;
    /// What the collection holds.
    type Document: Serialize + DeserializeOwned + Send + Sync + Unpin + 'static;

    /// The record as it is kept.
    fn document(&self) -> Result<Self::Document, StoreError>;

    /// Reads a document.
    fn record(document: Self::Document) -> Result<Self, StoreError>;
}

/// An identity as it is kept.
pub(super) fn uuid(id: uuid::Uuid) -> Uuid {
    Uuid::from_bytes(id.into_bytes())
}

/// Bytes as they are kept.
pub(super) fn bytes(value: &[u8]) -> Binary {
    Binary {
        subtype: BinarySubtype::Generic,
        bytes: value.to_owned(),
    }
}

/// Reads an identity.
pub(super) fn id<T>(id: Uuid, wrap: fn(uuid::Uuid) -> T) -> T {
    parts::identity(id.bytes(), wrap)
}

/// A time as it is kept.
pub(super) fn when(at: jiff::Timestamp) -> DateTime {
    DateTime::from_millis(at.as_millisecond())
}

/// Reads a time.
pub(super) fn time(at: DateTime, what: &'static str) -> Result<jiff::Timestamp, StoreError> {
    parts::time(at.timestamp_millis(), what)
}

fn optional_time(
    at: Option<DateTime>,
    what: &'static str,
) -> Result<Option<jiff::Timestamp>, StoreError> {
    at.map(|at| time(at, what)).transpose()
}

fn optional_site(site: Option<String>, what: &'static str) -> Result<Option<SiteName>, StoreError> {
    site.map(|site| parts::text(site, what)).transpose()
}

/// The one field that makes a device's key unique: a sparse index over two fields would take a
/// missing key for one.
pub(super) fn request_of(device: DeviceId, key: &IdempotencyKey) -> String {
    format!("{device}:{key}")
}

/// An employee.
#[derive(Serialize, Deserialize)]
pub(super) struct EmployeeDocument {
    #[serde(rename = "_id")]
    id: Uuid,
    name: String,
    name_key: String,
    code: String,
    /// Lower case; missing once deleted, which frees the code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code_key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    site: Option<String>,
    active: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    consent: Option<ConsentDocument>,
    templates: i64,
    created_at: DateTime,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deleted_at: Option<DateTime>,
}

/// A consent, inside an employee.
#[derive(Serialize, Deserialize)]
pub(super) struct ConsentDocument {
    at: DateTime,
    recorded_by: String,
    text: String,
}

impl ConsentDocument {
    /// The consent as it is kept.
    pub fn of(consent: &Consent) -> Self {
        Self {
            at: when(consent.at),
            recorded_by: consent.recorded_by.to_string(),
            text: consent.text.clone(),
        }
    }

    fn record(self) -> Result<Consent, StoreError> {
        Ok(Consent {
            at: time(self.at, "employee consent time")?,
            recorded_by: parts::actor(&self.recorded_by, "employee consent author")?,
            text: self.text,
        })
    }
}

impl Kept for Employee {
    const COLLECTION: &str = "employees";
    type Document = EmployeeDocument;

    fn document(&self) -> Result<EmployeeDocument, StoreError> {
        Ok(EmployeeDocument {
            id: uuid(self.id.uuid()),
            name: self.name.as_str().to_owned(),
            name_key: self.name.key(),
            code: self.code.as_str().to_owned(),
            code_key: self.deleted_at.is_none().then(|| self.code.key()),
            site: self.site.clone().map(String::from),
            active: self.active,
            consent: self.consent.as_ref().map(ConsentDocument::of),
            templates: self.templates.into(),
            created_at: when(self.created_at),
            deleted_at: self.deleted_at.map(when),
        })
    }

    fn record(document: EmployeeDocument) -> Result<Self, StoreError> {
        Ok(Self {
            id: id(document.id, EmployeeId::new),
            name: parts::text(document.name, "employee name")?,
            code: parts::text(document.code, "employee code")?,
            site: optional_site(document.site, "employee site")?,
            active: document.active,
            consent: document.consent.map(ConsentDocument::record).transpose()?,
            templates: parts::number(document.templates, "employee templates")?,
            created_at: time(document.created_at, "employee creation time")?,
            deleted_at: optional_time(document.deleted_at, "employee deletion time")?,
        })
    }
}

/// What the vault sealed, inside a template or photo.
#[derive(Serialize, Deserialize)]
pub(super) struct SealedDocument {
    key_id: String,
    nonce: Binary,
    ciphertext: Binary,
}

impl SealedDocument {
    pub fn of(sealed: &Sealed) -> Self {
        let binary = |bytes: &[u8]| Binary {
            subtype: BinarySubtype::Generic,
            bytes: bytes.to_vec(),
        };
        Self {
            key_id: sealed.key_id.clone(),
            nonce: binary(&sealed.nonce),
            ciphertext: binary(&sealed.ciphertext),
        }
    }

    fn record(self, what: &'static str) -> Result<Sealed, StoreError> {
        Ok(Sealed {
            key_id: self.key_id,
            nonce: parts::number(self.nonce.bytes, what)?,
            ciphertext: self.ciphertext.bytes,
        })
    }
}

/// The templates that were enrolled together: one document, so that they appear all or none.
pub(super) struct Enrollment(pub Vec<StoredTemplate>);

impl Enrollment {
    /// The lowest identity of a template in it.
    pub fn first(&self) -> Option<TemplateId> {
        self.0.iter().map(|template| template.id).min()
    }
}

/// An [`Enrollment`] as it is kept.
#[derive(Serialize, Deserialize)]
pub(super) struct EnrollmentDocument {
    /// The lowest identity of a template in it.
    #[serde(rename = "_id")]
    pub first: Uuid,
    /// The highest.
    last: Uuid,
    employee: Uuid,
    models: Vec<String>,
    templates: Vec<TemplateDocument>,
}

/// A template, inside an enrollment.
#[derive(Serialize, Deserialize)]
struct TemplateDocument {
    id: Uuid,
    employee: Uuid,
    model: String,
    views: String,
    sealed: SealedDocument,
    quality: Quality,
    created_at: DateTime,
}

impl TemplateDocument {
    fn of(template: &StoredTemplate) -> Self {
        Self {
            id: uuid(template.id.uuid()),
            employee: uuid(template.employee.uuid()),
            model: template.model.as_str().to_owned(),
            views: parts::word(template.views),
            sealed: SealedDocument::of(&template.sealed),
            quality: template.quality,
            created_at: when(template.created_at),
        }
    }

    fn record(self) -> Result<StoredTemplate, StoreError> {
        Ok(StoredTemplate {
            id: id(self.id, TemplateId::new),
            employee: id(self.employee, EmployeeId::new),
            model: ModelId::new(self.model),
            views: parts::from_word(&self.views, "template views")?,
            sealed: self.sealed.record("template nonce")?,
            quality: self.quality,
            created_at: time(self.created_at, "template creation time")?,
        })
    }
}

impl Kept for Enrollment {
    const COLLECTION: &str = "enrollments";
    type Document = EnrollmentDocument;

    fn document(&self) -> Result<EnrollmentDocument, StoreError> {
        let ids = || self.0.iter().map(|template| template.id.uuid());
        let (Some(first), Some(last), Some(template)) = (ids().min(), ids().max(), self.0.first())
        else {
            return Err(parts::damaged("enrollment without templates"));
        };
        let mut models: Vec<_> = self.0.iter().map(|t| t.model.as_str().to_owned()).collect();
        models.sort();
        models.dedup();
        Ok(EnrollmentDocument {
            first: uuid(first),
            last: uuid(last),
            employee: uuid(template.employee.uuid()),
            models,
            templates: self.0.iter().map(TemplateDocument::of).collect(),
        })
    }

    fn record(document: EnrollmentDocument) -> Result<Self, StoreError> {
        let templates = document.templates.into_iter();
        Ok(Self(
            templates
                .map(TemplateDocument::record)
                .collect::<Result<_, _>>()?,
        ))
    }
}

/// A kept photo.
#[derive(Serialize, Deserialize)]
pub(super) struct PhotoDocument {
    #[serde(rename = "_id")]
    id: Uuid,
    employee: Uuid,
    sealed: SealedDocument,
    created_at: DateTime,
}

impl Kept for StoredPhoto {
    const COLLECTION: &str = "photos";
    type Document = PhotoDocument;

    fn document(&self) -> Result<PhotoDocument, StoreError> {
        Ok(PhotoDocument {
            id: uuid(self.id.uuid()),
            employee: uuid(self.employee.uuid()),
            sealed: SealedDocument::of(&self.sealed),
            created_at: when(self.created_at),
        })
    }

    fn record(document: PhotoDocument) -> Result<Self, StoreError> {
        Ok(Self {
            id: id(document.id, PhotoId::new),
            employee: id(document.employee, EmployeeId::new),
            sealed: document.sealed.record("photo nonce")?,
            created_at: time(document.created_at, "photo creation time")?,
        })
    }
}

/// A picture of a punch or of an unknown face.
#[derive(Serialize, Deserialize)]
pub(super) struct PictureDocument {
    #[serde(rename = "_id")]
    id: Uuid,
    at: DateTime,
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    punch: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    employee: Option<Uuid>,
    source: String,
    device: Uuid,
    sealed: SealedDocument,
}

impl Kept for StoredPicture {
    const COLLECTION: &str = "pictures";
    type Document = PictureDocument;

    fn document(&self) -> Result<PictureDocument, StoreError> {
        let (punch, employee) = parts::of_punch(self.of).unzip();
        Ok(PictureDocument {
            id: uuid(self.id.uuid()),
            at: when(self.at),
            kind: self.of.kind().as_str().to_owned(),
            punch: punch.map(|punch| uuid(punch.uuid())),
            employee: employee.map(|employee| uuid(employee.uuid())),
            source: parts::word(self.source),
            device: uuid(self.device.uuid()),
            sealed: SealedDocument::of(&self.sealed),
        })
    }

    fn record(document: PictureDocument) -> Result<Self, StoreError> {
        let of = match parts::from_word(&document.kind, "picture kind")? {
            PictureKind::Unknown => Pictured::Unknown,
            PictureKind::Punch => Pictured::Punch {
                punch: id(parts::known(document.punch, "picture punch")?, PunchId::new),
                employee: id(
                    parts::known(document.employee, "picture employee")?,
                    EmployeeId::new,
                ),
            },
        };
        Ok(Self {
            id: id(document.id, PictureId::new),
            at: time(document.at, "picture time")?,
            of,
            source: parts::from_word(&document.source, "picture source")?,
            device: id(document.device, DeviceId::new),
            sealed: document.sealed.record("picture nonce")?,
        })
    }
}

/// When an employee's place in the gallery last changed.
#[derive(Serialize, Deserialize)]
pub(super) struct ChangeDocument {
    #[serde(rename = "_id")]
    employee: Uuid,
    at: DateTime,
}

impl Kept for GalleryChange {
    const COLLECTION: &str = "gallery_changes";
    type Document = ChangeDocument;

    fn document(&self) -> Result<ChangeDocument, StoreError> {
        Ok(ChangeDocument {
            employee: uuid(self.employee.uuid()),
            at: when(self.at),
        })
    }

    fn record(document: ChangeDocument) -> Result<Self, StoreError> {
        Ok(Self {
            employee: id(document.employee, EmployeeId::new),
            at: time(document.at, "gallery change time")?,
        })
    }
}

/// A punch.
#[derive(Serialize, Deserialize)]
pub(super) struct PunchDocument {
    #[serde(rename = "_id")]
    id: Uuid,
    employee: Uuid,
    kind: String,
    at: DateTime,
    recorded_at: DateTime,
    clock: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    captured_at: Option<DateTime>,
    workday: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    site: Option<String>,
    source: String,
    device: Uuid,
    evidence: EvidenceDocument,
    /// See [`request_of`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request_of: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request: Option<RequestDocument>,
    sequence: i64,
}

/// The numbers behind a punch, inside it.
#[derive(Serialize, Deserialize)]
struct EvidenceDocument {
    similarity: f32,
    threshold: f32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    margin: Option<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    liveness: Option<f32>,
    model: String,
    frames: i32,
    look: i32,
}

/// A request's key, inside a punch or a kept answer.
#[derive(Serialize, Deserialize)]
struct RequestDocument {
    key: String,
    fingerprint: String,
}

impl RequestDocument {
    fn of(request: &RequestKey) -> Self {
        Self {
            key: request.key.as_str().to_owned(),
            fingerprint: request.fingerprint.clone(),
        }
    }

    fn record(self, what: &'static str) -> Result<RequestKey, StoreError> {
        Ok(RequestKey {
            key: parts::text(self.key, what)?,
            fingerprint: self.fingerprint,
        })
    }
}

impl Kept for Punch {
    const COLLECTION: &str = "punches";
    type Document = PunchDocument;

    fn document(&self) -> Result<PunchDocument, StoreError> {
        let request = self.request.as_ref();
        Ok(PunchDocument {
            id: uuid(self.id.uuid()),
            employee: uuid(self.employee.uuid()),
            kind: parts::word(self.kind),
            at: when(self.at),
            recorded_at: when(self.recorded_at),
            clock: parts::word(self.clock),
            captured_at: self.captured_at.map(when),
            workday: self.workday.to_string(),
            site: self.site.clone().map(String::from),
            source: parts::word(self.source),
            device: uuid(self.device.uuid()),
            evidence: EvidenceDocument {
                similarity: self.evidence.similarity.value(),
                threshold: self.evidence.threshold.value(),
                margin: self.evidence.margin,
                liveness: self.evidence.liveness,
                model: self.evidence.model.as_str().to_owned(),
                frames: self.evidence.frames.into(),
                look: self.evidence.look.into(),
            },
            request_of: request.map(|request| request_of(self.device, &request.key)),
            request: request.map(RequestDocument::of),
            sequence: parts::number(self.sequence, "punch sequence")?,
        })
    }

    fn record(document: PunchDocument) -> Result<Self, StoreError> {
        let evidence = document.evidence;
        Ok(Self {
            id: id(document.id, PunchId::new),
            employee: id(document.employee, EmployeeId::new),
            kind: parts::from_word(&document.kind, "punch kind")?,
            at: time(document.at, "punch time")?,
            recorded_at: time(document.recorded_at, "punch recording time")?,
            clock: parts::from_word(&document.clock, "punch clock")?,
            captured_at: optional_time(document.captured_at, "punch capture time")?,
            workday: parts::date(&document.workday, "punch workday")?,
            site: optional_site(document.site, "punch site")?,
            source: parts::from_word(&document.source, "punch source")?,
            device: id(document.device, DeviceId::new),
            evidence: Evidence {
                similarity: parts::known(Similarity::new(evidence.similarity), "punch similarity")?,
                threshold: parts::known(Threshold::new(evidence.threshold), "punch threshold")?,
                margin: evidence.margin,
                liveness: evidence.liveness,
                model: ModelId::new(evidence.model),
                frames: parts::number(evidence.frames, "punch frames")?,
                look: parts::number(evidence.look, "punch look")?,
            },
            request: document
                .request
                .map(|request| request.record("punch request key"))
                .transpose()?,
            sequence: parts::number(document.sequence, "punch sequence")?,
        })
    }
}

/// A kept answer.
#[derive(Serialize, Deserialize)]
pub(super) struct AnswerDocument {
    /// See [`request_of`].
    #[serde(rename = "_id")]
    request_of: String,
    device: Uuid,
    request: RequestDocument,
    answer: String,
    at: DateTime,
}

impl Kept for KeptAnswer {
    const COLLECTION: &str = "kept_answers";
    type Document = AnswerDocument;

    fn document(&self) -> Result<AnswerDocument, StoreError> {
        Ok(AnswerDocument {
            request_of: request_of(self.device, &self.request.key),
            device: uuid(self.device.uuid()),
            request: RequestDocument::of(&self.request),
            answer: self.answer.clone(),
            at: when(self.at),
        })
    }

    fn record(document: AnswerDocument) -> Result<Self, StoreError> {
        Ok(Self {
            device: id(document.device, DeviceId::new),
            request: document.request.record("answer request key")?,
            answer: document.answer,
            at: time(document.at, "answer time")?,
        })
    }
}

/// A device.
#[derive(Serialize, Deserialize)]
pub(super) struct DeviceDocument {
    #[serde(rename = "_id")]
    id: Uuid,
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    site: Option<String>,
    token: String,
    created_at: DateTime,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revoked_at: Option<DateTime>,
}

impl Kept for Device {
    const COLLECTION: &str = "devices";
    type Document = DeviceDocument;

    fn document(&self) -> Result<DeviceDocument, StoreError> {
        Ok(DeviceDocument {
            id: uuid(self.id.uuid()),
            name: self.name.as_str().to_owned(),
            site: self.site.clone().map(String::from),
            token: self.token.to_hex(),
            created_at: when(self.created_at),
            revoked_at: self.revoked_at.map(when),
        })
    }

    fn record(document: DeviceDocument) -> Result<Self, StoreError> {
        Ok(Self {
            id: id(document.id, DeviceId::new),
            name: parts::text(document.name, "device name")?,
            site: optional_site(document.site, "device site")?,
            token: parts::token(&document.token, "device token")?,
            created_at: time(document.created_at, "device creation time")?,
            revoked_at: optional_time(document.revoked_at, "device revocation time")?,
        })
    }
}

/// An account.
#[derive(Serialize, Deserialize)]
pub(super) struct AccountDocument {
    #[serde(rename = "_id")]
    id: Uuid,
    email: String,
    name: String,
    role: String,
    password_hash: String,
    active: bool,
    created_at: DateTime,
}

impl Kept for Account {
    const COLLECTION: &str = "accounts";
    type Document = AccountDocument;

    fn document(&self) -> Result<AccountDocument, StoreError> {
        Ok(AccountDocument {
            id: uuid(self.id.uuid()),
            email: self.email.as_str().to_owned(),
            name: self.name.as_str().to_owned(),
            role: parts::word(self.role),
            password_hash: self.password_hash.clone(),
            active: self.active,
            created_at: when(self.created_at),
        })
    }

    fn record(document: AccountDocument) -> Result<Self, StoreError> {
        Ok(Self {
            id: id(document.id, AccountId::new),
            email: parts::text(document.email, "account email")?,
            name: parts::text(document.name, "account name")?,
            role: parts::from_word(&document.role, "account role")?,
            password_hash: document.password_hash,
            active: document.active,
            created_at: time(document.created_at, "account creation time")?,
        })
    }
}

/// A session.
#[derive(Serialize, Deserialize)]
pub(super) struct SessionDocument {
    #[serde(rename = "_id")]
    hash: String,
    account: Uuid,
    created_at: DateTime,
    expires_at: DateTime,
}

impl Kept for Session {
    const COLLECTION: &str = "sessions";
    type Document = SessionDocument;

    fn document(&self) -> Result<SessionDocument, StoreError> {
        Ok(SessionDocument {
            hash: self.hash.to_hex(),
            account: uuid(self.account.uuid()),
            created_at: when(self.created_at),
            expires_at: when(self.expires_at),
        })
    }

    fn record(document: SessionDocument) -> Result<Self, StoreError> {
        Ok(Self {
            hash: parts::token(&document.hash, "session hash")?,
            account: id(document.account, AccountId::new),
            created_at: time(document.created_at, "session creation time")?,
            expires_at: time(document.expires_at, "session expiry time")?,
        })
    }
}

/// An entry of the audit trail.
#[derive(Serialize, Deserialize)]
pub(super) struct AuditDocument {
    #[serde(rename = "_id")]
    id: Uuid,
    at: DateTime,
    actor: String,
    action: String,
    subject: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

impl Kept for AuditEntry {
    const COLLECTION: &str = "audit";
    type Document = AuditDocument;

    fn document(&self) -> Result<AuditDocument, StoreError> {
        Ok(AuditDocument {
            id: uuid(self.id.uuid()),
            at: when(self.at),
            actor: self.actor.to_string(),
            action: self.action.clone(),
            subject: self.subject.clone(),
            detail: self.detail.clone(),
        })
    }

    fn record(document: AuditDocument) -> Result<Self, StoreError> {
        Ok(Self {
            id: id(document.id, AuditId::new),
            at: time(document.at, "audit time")?,
            actor: parts::actor(&document.actor, "audit actor")?,
            action: document.action,
            subject: document.subject,
            detail: document.detail,
        })
    }
}

/// A camera.
#[derive(Serialize, Deserialize)]
pub(super) struct CameraDocument {
    #[serde(rename = "_id")]
    id: Uuid,
    name: String,
    stream: String,
    /// The stream; missing once removed, which frees it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stream_key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    site: Option<String>,
    direction: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hours: Option<WatchHours>,
    every_ms: i64,
    visit_s: i64,
    active: bool,
    created_at: DateTime,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    removed_at: Option<DateTime>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    viewers: Option<Vec<Email>>,
}

impl Kept for Camera {
    const COLLECTION: &str = "cameras";
    type Document = CameraDocument;

    fn document(&self) -> Result<CameraDocument, StoreError> {
        let stream = self.stream.as_str().to_owned();
        Ok(CameraDocument {
            id: uuid(self.id.uuid()),
            name: self.name.as_str().to_owned(),
            stream_key: self.removed_at.is_none().then(|| stream.clone()),
            stream,
            site: self.site.clone().map(String::from),
            direction: parts::word(self.direction),
            hours: self.hours.clone(),
            every_ms: self.every.value().into(),
            visit_s: self.visit.value().into(),
            active: self.active,
            created_at: when(self.created_at),
            removed_at: self.removed_at.map(when),
            viewers: self.viewers.clone(),
        })
    }

    fn record(document: CameraDocument) -> Result<Self, StoreError> {
        let every: u32 = parts::number(document.every_ms, "camera rate")?;
        let visit: u32 = parts::number(document.visit_s, "camera visit")?;
        Ok(Self {
            id: id(document.id, CameraId::new),
            name: parts::text(document.name, "camera name")?,
            stream: parts::text(document.stream, "camera stream")?,
            site: optional_site(document.site, "camera site")?,
            direction: parts::from_word(&document.direction, "camera direction")?,
            hours: document.hours.map(parts::hours).transpose()?,
            every: parts::number(every, "camera rate")?,
            visit: parts::number(visit, "camera visit")?,
            active: document.active,
            created_at: time(document.created_at, "camera creation time")?,
            removed_at: optional_time(document.removed_at, "camera removal time")?,
            viewers: document.viewers,
        })
    }
}

/// How a camera is.
#[derive(Serialize, Deserialize)]
pub(super) struct CameraStateDocument {
    #[serde(rename = "_id")]
    id: Uuid,
    state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
    since: DateTime,
    told_at: DateTime,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    present: Vec<PresenceDocument>,
}

/// Somebody whom a camera saw.
#[derive(Serialize, Deserialize)]
struct PresenceDocument {
    employee: Uuid,
    last: DateTime,
}

fn present(noted: &Presence) -> PresenceDocument {
    PresenceDocument {
        employee: uuid(noted.employee.uuid()),
        last: when(noted.last),
    }
}

impl Kept for (CameraId, CameraStatus) {
    const COLLECTION: &str = "camera_states";
    type Document = CameraStateDocument;

    fn document(&self) -> Result<CameraStateDocument, StoreError> {
        let (id, status) = self;
        Ok(CameraStateDocument {
            id: uuid(id.uuid()),
            state: parts::word(status.state),
            cause: status.cause.clone(),
            since: when(status.since),
            told_at: when(status.told_at),
            present: status.present.iter().map(present).collect(),
        })
    }

    fn record(document: CameraStateDocument) -> Result<Self, StoreError> {
        let present = document.present.into_iter().map(|noted| {
            Ok(Presence {
                employee: id(noted.employee, EmployeeId::new),
                last: time(noted.last, "camera presence time")?,
            })
        });
        let status = CameraStatus {
            state: parts::from_word(&document.state, "camera state")?,
            cause: document.cause,
            since: time(document.since, "camera state time")?,
            told_at: time(document.told_at, "camera state time")?,
            present: present.collect::<Result<_, StoreError>>()?,
        };
        Ok((id(document.id, CameraId::new), status))
    }
}

/// A background job.
#[derive(Serialize, Deserialize)]
pub(super) struct JobDocument {
    #[serde(rename = "_id")]
    id: Uuid,
    kind: String,
    /// Left out where nobody needs it.
    #[serde(default)]
    payload: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    once: Option<String>,
    state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    due: Option<DateTime>,
    turn: i64,
    attempts: i64,
    done: i64,
    total: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    result: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    created_by: String,
    created_at: DateTime,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    finished_at: Option<DateTime>,
}

impl Kept for Job {
    const COLLECTION: &str = "jobs";
    type Document = JobDocument;

    fn document(&self) -> Result<JobDocument, StoreError> {
        Ok(JobDocument {
            id: uuid(self.id.uuid()),
            kind: self.kind.as_str().to_owned(),
            payload: self.payload.clone(),
            once: self.once.clone(),
            state: self.state.as_str().to_owned(),
            due: self.due.map(when),
            turn: self.turn.into(),
            attempts: self.attempts.into(),
            done: parts::number(self.done, "job progress")?,
            total: parts::number(self.total, "job progress")?,
            result: self.result.clone(),
            error: self.error.clone(),
            created_by: self.created_by.to_string(),
            created_at: when(self.created_at),
            finished_at: self.finished_at.map(when),
        })
    }

    fn record(document: JobDocument) -> Result<Self, StoreError> {
        Ok(Self {
            id: id(document.id, JobId::new),
            kind: parts::from_word(&document.kind, "job kind")?,
            payload: document.payload,
            once: document.once,
            state: parts::from_word(&document.state, "job state")?,
            due: optional_time(document.due, "job time")?,
            turn: parts::number(document.turn, "job turn")?,
            attempts: parts::number(document.attempts, "job attempts")?,
            done: parts::number(document.done, "job progress")?,
            total: parts::number(document.total, "job progress")?,
            result: document.result,
            error: document.error,
            created_by: parts::actor(&document.created_by, "job author")?,
            created_at: time(document.created_at, "job creation time")?,
            finished_at: optional_time(document.finished_at, "job end")?,
        })
    }
}

/// Somebody's claim of a job: the unique identity lets one win.
pub(super) struct Turn {
    /// Which job.
    pub job: JobId,
    /// Which claim of it.
    pub turn: u32,
    /// When.
    pub at: jiff::Timestamp,
}

/// A [`Turn`] as it is kept.
#[derive(Serialize, Deserialize)]
pub(super) struct TurnDocument {
    /// Job and turn.
    #[serde(rename = "_id")]
    key: String,
    job: Uuid,
    turn: i64,
    at: DateTime,
}

impl Kept for Turn {
    const COLLECTION: &str = "job_turns";
    type Document = TurnDocument;

    fn document(&self) -> Result<TurnDocument, StoreError> {
        Ok(TurnDocument {
            key: format!("{}:{}", self.job, self.turn),
            job: uuid(self.job.uuid()),
            turn: self.turn.into(),
            at: when(self.at),
        })
    }

    fn record(document: TurnDocument) -> Result<Self, StoreError> {
        Ok(Self {
            job: id(document.job, JobId::new),
            turn: parts::number(document.turn, "job turn")?,
            at: time(document.at, "job turn")?,
        })
    }
}

/// One of the changes of a lease: the unique identity lets one come after each.
#[derive(Clone)]
pub(super) struct LeaseChange {
    /// Whose.
    pub name: String,
    /// Which of its changes.
    pub number: u64,
    /// Who has it from now on; nobody when it was let go.
    pub holder: Option<String>,
    /// The holder's fence.
    pub fence: u64,
    /// When it ends.
    pub until: jiff::Timestamp,
}

/// A [`LeaseChange`] as it is kept.
#[derive(Serialize, Deserialize)]
pub(super) struct LeaseChangeDocument {
    /// Name and number.
    #[serde(rename = "_id")]
    key: String,
    name: String,
    number: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    holder: Option<String>,
    fence: i64,
    until: DateTime,
}

impl Kept for LeaseChange {
    const COLLECTION: &str = "lease_changes";
    type Document = LeaseChangeDocument;

    fn document(&self) -> Result<LeaseChangeDocument, StoreError> {
        Ok(LeaseChangeDocument {
            key: format!("{}:{}", self.name, self.number),
            name: self.name.clone(),
            number: parts::number(self.number, "number of a lease's change")?,
            holder: self.holder.clone(),
            fence: parts::number(self.fence, "fence")?,
            until: when(self.until),
        })
    }

    fn record(document: LeaseChangeDocument) -> Result<Self, StoreError> {
        Ok(Self {
            name: document.name,
            number: parts::number(document.number, "number of a lease's change")?,
            holder: document.holder,
            fence: parts::number(document.fence, "fence")?,
            until: time(document.until, "end of a lease")?,
        })
    }
}

/// A value that is cached for a while.
pub(super) struct Cached {
    /// Its key.
    pub key: String,
    /// The bytes.
    pub value: Vec<u8>,
    /// When it ends.
    pub until: jiff::Timestamp,
}

/// A [`Cached`] value as it is kept.
#[derive(Serialize, Deserialize)]
pub(super) struct CachedDocument {
    #[serde(rename = "_id")]
    key: String,
    value: Binary,
    until: DateTime,
}

impl Kept for Cached {
    const COLLECTION: &str = "cache";
    type Document = CachedDocument;

    fn document(&self) -> Result<CachedDocument, StoreError> {
        Ok(CachedDocument {
            key: self.key.clone(),
            value: bytes(&self.value),
            until: when(self.until),
        })
    }

    fn record(document: CachedDocument) -> Result<Self, StoreError> {
        Ok(Self {
            key: document.key,
            value: document.value.bytes,
            until: time(document.until, "end of a cached value")?,
        })
    }
}

/// A fact about the installation.
#[derive(Serialize, Deserialize)]
pub(super) struct SettingDocument {
    #[serde(rename = "_id")]
    name: String,
    value: String,
}

impl Kept for Setting {
    const COLLECTION: &str = "settings";
    type Document = SettingDocument;

    fn document(&self) -> Result<SettingDocument, StoreError> {
        Ok(SettingDocument {
            name: self.name.clone(),
            value: self.value.clone(),
        })
    }

    fn record(document: SettingDocument) -> Result<Self, StoreError> {
        Ok(Self {
            name: document.name,
            value: document.value,
        })
    }
}
