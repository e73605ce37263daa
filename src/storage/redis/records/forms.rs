//! How each record is kept: JSON, with what points to it. Bytes are base64 inside.

use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::plan::{Kept, Ties, member, sortable};
use crate::{
    domain::{
        accounts::{Account, Actor, Session, TokenHash},
        attendance::{ClockSource, Punch, RequestKey},
        audit::AuditEntry,
        biometrics::{ModelId, Similarity, Threshold, Views},
        devices::Device,
        employees::{Consent, Employee},
        ids::{AccountId, AuditId, DeviceId, EmployeeId, PhotoId, TemplateId},
        quality::Quality,
        text::{IdempotencyKey, Name, SiteName},
    },
    ports::{KeptAnswer, Sealed, StoreError, StoredPhoto, StoredTemplate},
    storage::parts::{self, damaged},
};

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

/// Hexadecimal for hashes of tokens.
mod token_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use super::TokenHash;

    pub fn serialize<S: Serializer>(token: &TokenHash, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&token.to_hex())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TokenHash, D::Error> {
        let text = String::deserialize(deserializer)?;
        TokenHash::from_hex(&text).ok_or_else(|| D::Error::custom("no hash"))
    }
}

/// The JSON of something that serialises itself, or through the form of the same fields.
macro_rules! json {
    ($value:expr, $what:literal) => {
        serde_json::to_vec($value).map_err(|_| damaged($what))
    };
    ($value:expr, $what:literal, $Form:ty) => {{
        let mut body = Vec::new();
        <$Form>::serialize($value, &mut serde_json::Serializer::new(&mut body))
            .map(|()| body)
            .map_err(|_| damaged($what))
    }};
}

/// Reads through a form.
macro_rules! from_json {
    ($body:expr, $what:literal, $Form:ty) => {{
        let mut reader = serde_json::Deserializer::from_slice($body);
        <$Form>::deserialize(&mut reader)
            .and_then(|record| reader.end().map(|()| record))
            .map_err(|_| damaged($what))
    }};
}

fn own<T: DeserializeOwned>(body: &[u8], what: &'static str) -> Result<T, StoreError> {
    serde_json::from_slice(body).map_err(|_| damaged(what))
}

/// A device's key for a request, as it stands in keys.
pub(super) fn request_of(device: DeviceId, key: &IdempotencyKey) -> String {
    format!("{device}:{key}")
}

/// What enrollment knows of an employee, kept beside what is edited.
#[derive(Serialize, Deserialize)]
pub(super) struct Enrolled {
    templates: u32,
    consent: Option<Consent>,
}

impl Enrolled {
    pub fn json(templates: u32, consent: Option<&Consent>) -> Result<Vec<u8>, StoreError> {
        let consent = consent.cloned();
        json!(&Self { templates, consent }, "employee consent")
    }
}

impl Kept for Employee {
    const KIND: &str = "employee";

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn ties(&self) -> Result<Ties, StoreError> {
        if self.deleted_at.is_some() {
            return Ok(Ties::default());
        }
        let place = member(&self.name.key(), self.id);
        let mut places = vec![("employees".to_owned(), place.clone())];
        if let Some(site) = &self.site {
            places.push((format!("employees_at:{site}"), place));
        }
        Ok(Ties {
            claims: vec![format!("employee_code:{}", self.code.key())],
            places,
            ..Ties::default()
        })
    }

    fn body(&self) -> Result<Vec<u8>, StoreError> {
        let edited = Self {
            templates: 0,
            consent: None,
            ..self.clone()
        };
        json!(&edited, "employee")
    }

    fn beside(&self) -> Result<Option<Vec<u8>>, StoreError> {
        Enrolled::json(self.templates, self.consent.as_ref()).map(Some)
    }

    fn read(body: &[u8], beside: Option<&[u8]>) -> Result<Self, StoreError> {
        let edited: Self = own(body, "employee")?;
        let enrolled: Enrolled = own(
            parts::known(beside, "employee enrollment")?,
            "employee enrollment",
        )?;
        Ok(Self {
            templates: enrolled.templates,
            consent: enrolled.consent,
            ..edited
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Sealed")]
struct SealedForm {
    key_id: String,
    #[serde(with = "base64_text")]
    nonce: [u8; 12],
    #[serde(with = "base64_text")]
    ciphertext: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "StoredTemplate")]
struct TemplateForm {
    id: TemplateId,
    employee: EmployeeId,
    model: ModelId,
    views: Views,
    #[serde(with = "SealedForm")]
    sealed: Sealed,
    quality: Quality,
    created_at: Timestamp,
}

impl Kept for StoredTemplate {
    const KIND: &str = "template";

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn ties(&self) -> Result<Ties, StoreError> {
        let place = member(&sortable(self.created_at), self.id);
        Ok(Ties {
            places: vec![
                (format!("templates_of:{}", self.employee), place),
                (format!("templates:{}", self.model), self.id()),
            ],
            ..Ties::default()
        })
    }

    fn body(&self) -> Result<Vec<u8>, StoreError> {
        json!(self, "template", TemplateForm)
    }

    fn read(body: &[u8], _: Option<&[u8]>) -> Result<Self, StoreError> {
        from_json!(body, "template", TemplateForm)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "StoredPhoto")]
struct PhotoForm {
    id: PhotoId,
    employee: EmployeeId,
    #[serde(with = "SealedForm")]
    sealed: Sealed,
    created_at: Timestamp,
}

impl Kept for StoredPhoto {
    const KIND: &str = "photo";

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn ties(&self) -> Result<Ties, StoreError> {
        let place = member(&sortable(self.created_at), self.id);
        Ok(Ties {
            places: vec![(format!("photos_of:{}", self.employee), place)],
            ..Ties::default()
        })
    }

    fn body(&self) -> Result<Vec<u8>, StoreError> {
        json!(self, "photo", PhotoForm)
    }

    fn read(body: &[u8], _: Option<&[u8]>) -> Result<Self, StoreError> {
        from_json!(body, "photo", PhotoForm)
    }
}

/// The beginning of a member that numbers an employee's punches.
fn numbered(sequence: u64) -> String {
    format!("{sequence:016x}")
}

impl Kept for Punch {
    const KIND: &str = "punch";
    const PLAIN: bool = true;

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn ties(&self) -> Result<Ties, StoreError> {
        let number = numbered(self.sequence);
        let numbers = format!("punch_numbers:{}", self.employee);
        let at = member(&sortable(self.at), self.id);
        let request = self.request.as_ref();
        let synchronised = (self.clock == ClockSource::Server).then(|| {
            (
                "synchronised".to_owned(),
                self.at.as_millisecond(),
                self.device.to_string(),
            )
        });
        Ok(Ties {
            claims: request
                .map(|request| format!("punch_request:{}", request_of(self.device, &request.key)))
                .into_iter()
                .collect(),
            places: vec![
                ("punches".to_owned(), at.clone()),
                (format!("punches_of:{}", self.employee), at.clone()),
                (format!("punches_at:{}", self.device), at),
                (
                    "punches_recorded".to_owned(),
                    member(&sortable(self.recorded_at), self.id),
                ),
                (numbers.clone(), member(&number, self.id)),
            ],
            only: vec![(numbers, number)],
            latest: synchronised.into_iter().collect(),
            counters: Vec::new(),
        })
    }

    fn body(&self) -> Result<Vec<u8>, StoreError> {
        json!(self, "punch")
    }

    fn read(body: &[u8], _: Option<&[u8]>) -> Result<Self, StoreError> {
        let punch: Self = own(body, "punch")?;
        let evidence = &punch.evidence;
        parts::known(
            Similarity::new(evidence.similarity.value()),
            "punch similarity",
        )?;
        parts::known(
            Threshold::new(evidence.threshold.value()),
            "punch threshold",
        )?;
        Ok(punch)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "KeptAnswer")]
struct AnswerForm {
    device: DeviceId,
    request: RequestKey,
    answer: String,
    at: Timestamp,
}

impl Kept for KeptAnswer {
    const KIND: &str = "answer";

    fn id(&self) -> String {
        request_of(self.device, &self.request.key)
    }

    fn ties(&self) -> Result<Ties, StoreError> {
        Ok(Ties {
            places: vec![("answers".to_owned(), member(&sortable(self.at), self.id()))],
            ..Ties::default()
        })
    }

    fn body(&self) -> Result<Vec<u8>, StoreError> {
        json!(self, "answer", AnswerForm)
    }

    fn read(body: &[u8], _: Option<&[u8]>) -> Result<Self, StoreError> {
        from_json!(body, "answer", AnswerForm)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Device")]
struct DeviceForm {
    id: DeviceId,
    name: Name,
    site: Option<SiteName>,
    #[serde(with = "token_text")]
    token: TokenHash,
    created_at: Timestamp,
    revoked_at: Option<Timestamp>,
}

impl Kept for Device {
    const KIND: &str = "device";

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn ties(&self) -> Result<Ties, StoreError> {
        let listed = self.revoked_at.is_none();
        Ok(Ties {
            claims: vec![format!("device_token:{}", self.token.to_hex())],
            places: listed
                .then(|| ("devices".to_owned(), self.id()))
                .into_iter()
                .collect(),
            ..Ties::default()
        })
    }

    fn body(&self) -> Result<Vec<u8>, StoreError> {
        json!(self, "device", DeviceForm)
    }

    fn read(body: &[u8], _: Option<&[u8]>) -> Result<Self, StoreError> {
        from_json!(body, "device", DeviceForm)
    }
}

impl Kept for Account {
    const KIND: &str = "user";

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn ties(&self) -> Result<Ties, StoreError> {
        Ok(Ties {
            claims: vec![format!("user_email:{}", self.email)],
            places: vec![("users".to_owned(), self.id())],
            counters: vec!["next_user_id".to_owned()],
            ..Ties::default()
        })
    }

    fn body(&self) -> Result<Vec<u8>, StoreError> {
        json!(self, "account")
    }

    fn read(body: &[u8], _: Option<&[u8]>) -> Result<Self, StoreError> {
        own(body, "account")
    }
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Session")]
struct SessionForm {
    #[serde(with = "token_text")]
    hash: TokenHash,
    account: AccountId,
    created_at: Timestamp,
    expires_at: Timestamp,
}

impl Kept for Session {
    const KIND: &str = "session";

    fn id(&self) -> String {
        self.hash.to_hex()
    }

    fn ties(&self) -> Result<Ties, StoreError> {
        let place = |at| member(&sortable(at), self.hash.to_hex());
        Ok(Ties {
            places: vec![
                (
                    format!("sessions_of:{}", self.account),
                    place(self.created_at),
                ),
                ("sessions_ending".to_owned(), place(self.expires_at)),
            ],
            ..Ties::default()
        })
    }

    fn body(&self) -> Result<Vec<u8>, StoreError> {
        json!(self, "session", SessionForm)
    }

    fn read(body: &[u8], _: Option<&[u8]>) -> Result<Self, StoreError> {
        from_json!(body, "session", SessionForm)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "AuditEntry")]
struct AuditForm {
    id: AuditId,
    at: Timestamp,
    actor: Actor,
    action: String,
    subject: String,
    detail: Option<String>,
}

impl Kept for AuditEntry {
    const KIND: &str = "audit";
    const PLAIN: bool = true;

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn ties(&self) -> Result<Ties, StoreError> {
        Ok(Ties {
            places: vec![(
                "audit_trail".to_owned(),
                member(&sortable(self.at), self.id),
            )],
            ..Ties::default()
        })
    }

    fn body(&self) -> Result<Vec<u8>, StoreError> {
        json!(self, "audit entry", AuditForm)
    }

    fn read(body: &[u8], _: Option<&[u8]>) -> Result<Self, StoreError> {
        from_json!(body, "audit entry", AuditForm)
    }
}
