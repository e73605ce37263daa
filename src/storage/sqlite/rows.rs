//! How each record is kept as a row, and read back with doubt.

use rusqlite::{Row, types::Value};

use crate::{
    domain::{
        accounts::{Account, Session},
        attendance::{Evidence, Punch, RequestKey},
        audit::AuditEntry,
        biometrics::{ModelId, Similarity, Threshold},
        cameras::{Camera, CameraStatus, LookEvery, VisitGap},
        devices::Device,
        employees::{Consent, Employee},
        ids::{
            AccountId, AuditId, CameraId, DeviceId, EmployeeId, JobId, PhotoId, PictureId, PunchId,
            TemplateId,
        },
        jobs::Job,
        quality::Quality,
        text::{IdempotencyKey, Name, SiteName},
    },
    ports::{
        GalleryChange, KeptAnswer, PictureKind, Pictured, Sealed, Setting, StoreError, StoredPhoto,
        StoredPicture, StoredTemplate,
    },
    storage::parts,
};

/// A record that is a row of a table.
pub(super) trait Record: Sized {
    /// The table.
    const TABLE: &str;
    /// Its columns; the primary key comes first.
    const COLUMNS: &[&str];
    /// How many columns the primary key has.
    const KEY: usize = 1;
    /// Those that an update leaves as they are.
    const KEPT: &[&str] = &[];

    /// What the columns hold, in their order.
    fn values(&self) -> Result<Vec<Value>, StoreError>;

    /// Reads a row that has all columns.
    fn read(row: &Row<'_>) -> Result<Self, StoreError>;
}

macro_rules! values {
    ($($value:expr),+ $(,)?) => { Ok(vec![$(Value::from($value)),+]) };
}

/// An identity as it is kept.
pub(super) fn blob(id: uuid::Uuid) -> Vec<u8> {
    id.into_bytes().to_vec()
}

/// Reads an identity.
pub(super) fn id<T>(
    row: &Row<'_>,
    column: &str,
    wrap: fn(uuid::Uuid) -> T,
) -> Result<T, StoreError> {
    Ok(parts::identity(row.get(column)?, wrap))
}

fn optional_time(
    row: &Row<'_>,
    column: &str,
    what: &'static str,
) -> Result<Option<jiff::Timestamp>, StoreError> {
    row.get::<_, Option<i64>>(column)?
        .map(|at| parts::time(at, what))
        .transpose()
}

fn optional_site(row: &Row<'_>, what: &'static str) -> Result<Option<SiteName>, StoreError> {
    row.get::<_, Option<String>>("site")?
        .map(|site| parts::text(site, what))
        .transpose()
}

fn site_text(site: &Option<SiteName>) -> Option<String> {
    site.clone().map(String::from)
}

/// When it was given, who recorded it, which text.
pub(super) fn consent_values(consent: Option<&Consent>) -> [Value; 3] {
    [
        consent.map(|consent| consent.at.as_millisecond()).into(),
        consent
            .map(|consent| consent.recorded_by.to_string())
            .into(),
        consent.map(|consent| consent.text.clone()).into(),
    ]
}

impl Record for Employee {
    const TABLE: &str = "employees";
    const COLUMNS: &[&str] = &[
        "id",
        "name",
        "name_key",
        "code",
        "code_key",
        "site",
        "active",
        "consent_at",
        "consent_by",
        "consent_text",
        "templates",
        "created_at",
        "deleted_at",
    ];
    const KEPT: &[&str] = &["consent_at", "consent_by", "consent_text", "templates"];

    fn values(&self) -> Result<Vec<Value>, StoreError> {
        let [consent_at, consent_by, consent_text] = consent_values(self.consent.as_ref());
        values![
            blob(self.id.uuid()),
            self.name.as_str().to_owned(),
            self.name.key(),
            self.code.as_str().to_owned(),
            self.deleted_at.is_none().then(|| self.code.key()),
            site_text(&self.site),
            self.active,
            consent_at,
            consent_by,
            consent_text,
            self.templates,
            self.created_at.as_millisecond(),
            self.deleted_at.map(jiff::Timestamp::as_millisecond),
        ]
    }

    fn read(row: &Row<'_>) -> Result<Self, StoreError> {
        let consent = match optional_time(row, "consent_at", "employee consent time")? {
            None => None,
            Some(at) => Some(Consent {
                at,
                recorded_by: parts::actor(
                    &row.get::<_, String>("consent_by")?,
                    "employee consent author",
                )?,
                text: row.get("consent_text")?,
            }),
        };
        Ok(Self {
            id: id(row, "id", EmployeeId::new)?,
            name: parts::text(row.get("name")?, "employee name")?,
            code: parts::text(row.get("code")?, "employee code")?,
            site: optional_site(row, "employee site")?,
            active: row.get("active")?,
            consent,
            templates: row.get("templates")?,
            created_at: parts::time(row.get("created_at")?, "employee creation time")?,
            deleted_at: optional_time(row, "deleted_at", "employee deletion time")?,
        })
    }
}

fn sealed(row: &Row<'_>) -> Result<Sealed, StoreError> {
    Ok(Sealed {
        key_id: row.get("key_id")?,
        nonce: row.get("nonce")?,
        ciphertext: row.get("ciphertext")?,
    })
}

impl Record for StoredTemplate {
    const TABLE: &str = "templates";
    const COLUMNS: &[&str] = &[
        "id",
        "employee",
        "model",
        "views",
        "key_id",
        "nonce",
        "ciphertext",
        "quality",
        "created_at",
    ];

    fn values(&self) -> Result<Vec<Value>, StoreError> {
        values![
            blob(self.id.uuid()),
            blob(self.employee.uuid()),
            self.model.as_str().to_owned(),
            parts::word(self.views),
            self.sealed.key_id.clone(),
            self.sealed.nonce.to_vec(),
            self.sealed.ciphertext.clone(),
            serde_json::to_string(&self.quality).map_err(|_| parts::damaged("template quality"))?,
            self.created_at.as_millisecond(),
        ]
    }

    fn read(row: &Row<'_>) -> Result<Self, StoreError> {
        let quality: Quality = serde_json::from_str(&row.get::<_, String>("quality")?)
            .map_err(|_| parts::damaged("template quality"))?;
        Ok(Self {
            id: id(row, "id", TemplateId::new)?,
            employee: id(row, "employee", EmployeeId::new)?,
            model: ModelId::new(row.get::<_, String>("model")?),
            views: parts::from_word(&row.get::<_, String>("views")?, "template views")?,
            sealed: sealed(row)?,
            quality,
            created_at: parts::time(row.get("created_at")?, "template creation time")?,
        })
    }
}

impl Record for StoredPhoto {
    const TABLE: &str = "photos";
    const COLUMNS: &[&str] = &[
        "id",
        "employee",
        "key_id",
        "nonce",
        "ciphertext",
        "created_at",
    ];

    fn values(&self) -> Result<Vec<Value>, StoreError> {
        values![
            blob(self.id.uuid()),
            blob(self.employee.uuid()),
            self.sealed.key_id.clone(),
            self.sealed.nonce.to_vec(),
            self.sealed.ciphertext.clone(),
            self.created_at.as_millisecond(),
        ]
    }

    fn read(row: &Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: id(row, "id", PhotoId::new)?,
            employee: id(row, "employee", EmployeeId::new)?,
            sealed: sealed(row)?,
            created_at: parts::time(row.get("created_at")?, "photo creation time")?,
        })
    }
}

impl Record for StoredPicture {
    const TABLE: &str = "pictures";
    const COLUMNS: &[&str] = &[
        "id",
        "at",
        "kind",
        "punch",
        "employee",
        "source",
        "device",
        "key_id",
        "nonce",
        "ciphertext",
    ];

    fn values(&self) -> Result<Vec<Value>, StoreError> {
        let (punch, employee) = parts::of_punch(self.of).unzip();
        values![
            blob(self.id.uuid()),
            self.at.as_millisecond(),
            self.of.kind().as_str().to_owned(),
            punch.map(|punch| blob(punch.uuid())),
            employee.map(|employee| blob(employee.uuid())),
            parts::word(self.source),
            blob(self.device.uuid()),
            self.sealed.key_id.clone(),
            self.sealed.nonce.to_vec(),
            self.sealed.ciphertext.clone(),
        ]
    }

    fn read(row: &Row<'_>) -> Result<Self, StoreError> {
        let of = match parts::from_word(&row.get::<_, String>("kind")?, "picture kind")? {
            PictureKind::Unknown => Pictured::Unknown,
            PictureKind::Punch => Pictured::Punch {
                punch: id(row, "punch", PunchId::new)?,
                employee: id(row, "employee", EmployeeId::new)?,
            },
        };
        Ok(Self {
            id: id(row, "id", PictureId::new)?,
            at: parts::time(row.get("at")?, "picture time")?,
            of,
            source: parts::from_word(&row.get::<_, String>("source")?, "picture source")?,
            device: id(row, "device", DeviceId::new)?,
            sealed: sealed(row)?,
        })
    }
}

fn request(row: &Row<'_>, what: &'static str) -> Result<Option<RequestKey>, StoreError> {
    let Some(key) = row.get::<_, Option<String>>("request_key")? else {
        return Ok(None);
    };
    Ok(Some(RequestKey {
        key: parts::text::<IdempotencyKey>(key, what)?,
        fingerprint: row.get("fingerprint")?,
    }))
}

impl Record for Punch {
    const TABLE: &str = "punches";
    const COLUMNS: &[&str] = &[
        "id",
        "employee",
        "kind",
        "at",
        "recorded_at",
        "clock",
        "captured_at",
        "workday",
        "site",
        "source",
        "device",
        "similarity",
        "threshold",
        "margin",
        "liveness",
        "model",
        "frames",
        "look",
        "request_key",
        "fingerprint",
        "sequence",
    ];

    fn values(&self) -> Result<Vec<Value>, StoreError> {
        let request = self.request.as_ref();
        values![
            blob(self.id.uuid()),
            blob(self.employee.uuid()),
            self.kind.as_str().to_owned(),
            self.at.as_millisecond(),
            self.recorded_at.as_millisecond(),
            parts::word(self.clock),
            self.captured_at.map(jiff::Timestamp::as_millisecond),
            self.workday.to_string(),
            site_text(&self.site),
            parts::word(self.source),
            blob(self.device.uuid()),
            self.evidence.similarity.value(),
            self.evidence.threshold.value(),
            self.evidence.margin,
            self.evidence.liveness,
            self.evidence.model.as_str().to_owned(),
            self.evidence.frames,
            self.evidence.look,
            request.map(|request| request.key.as_str().to_owned()),
            request.map(|request| request.fingerprint.clone()),
            parts::number::<u64, i64>(self.sequence, "punch sequence")?,
        ]
    }

    fn read(row: &Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: id(row, "id", PunchId::new)?,
            employee: id(row, "employee", EmployeeId::new)?,
            kind: parts::from_word(&row.get::<_, String>("kind")?, "punch kind")?,
            at: parts::time(row.get("at")?, "punch time")?,
            recorded_at: parts::time(row.get("recorded_at")?, "punch recording time")?,
            clock: parts::from_word(&row.get::<_, String>("clock")?, "punch clock")?,
            captured_at: optional_time(row, "captured_at", "punch capture time")?,
            workday: parts::date(&row.get::<_, String>("workday")?, "punch workday")?,
            site: optional_site(row, "punch site")?,
            source: parts::from_word(&row.get::<_, String>("source")?, "punch source")?,
            device: id(row, "device", DeviceId::new)?,
            evidence: Evidence {
                similarity: parts::known(
                    Similarity::new(row.get("similarity")?),
                    "punch similarity",
                )?,
                threshold: parts::known(Threshold::new(row.get("threshold")?), "punch threshold")?,
                margin: row.get("margin")?,
                liveness: row.get("liveness")?,
                model: ModelId::new(row.get::<_, String>("model")?),
                frames: row.get("frames")?,
                look: row.get("look")?,
            },
            request: request(row, "punch request key")?,
            sequence: parts::number::<i64, u64>(row.get("sequence")?, "punch sequence")?,
        })
    }
}

impl Record for KeptAnswer {
    const TABLE: &str = "kept_answers";
    const COLUMNS: &[&str] = &["device", "request_key", "fingerprint", "answer", "at"];
    const KEY: usize = 2;

    fn values(&self) -> Result<Vec<Value>, StoreError> {
        values![
            blob(self.device.uuid()),
            self.request.key.as_str().to_owned(),
            self.request.fingerprint.clone(),
            self.answer.clone(),
            self.at.as_millisecond(),
        ]
    }

    fn read(row: &Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            device: id(row, "device", DeviceId::new)?,
            request: parts::known(request(row, "answer request key")?, "answer request key")?,
            answer: row.get("answer")?,
            at: parts::time(row.get("at")?, "answer time")?,
        })
    }
}

impl Record for Device {
    const TABLE: &str = "devices";
    const COLUMNS: &[&str] = &["id", "name", "site", "token", "created_at", "revoked_at"];

    fn values(&self) -> Result<Vec<Value>, StoreError> {
        values![
            blob(self.id.uuid()),
            self.name.as_str().to_owned(),
            site_text(&self.site),
            self.token.to_hex(),
            self.created_at.as_millisecond(),
            self.revoked_at.map(jiff::Timestamp::as_millisecond),
        ]
    }

    fn read(row: &Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: id(row, "id", DeviceId::new)?,
            name: parts::text::<Name>(row.get("name")?, "device name")?,
            site: optional_site(row, "device site")?,
            token: parts::token(&row.get::<_, String>("token")?, "device token")?,
            created_at: parts::time(row.get("created_at")?, "device creation time")?,
            revoked_at: optional_time(row, "revoked_at", "device revocation time")?,
        })
    }
}

impl Record for Camera {
    const TABLE: &str = "cameras";
    const COLUMNS: &[&str] = &[
        "id",
        "name",
        "stream",
        "site",
        "direction",
        "hours",
        "every_ms",
        "visit_s",
        "active",
        "created_at",
        "removed_at",
        "viewers",
    ];

    fn values(&self) -> Result<Vec<Value>, StoreError> {
        let viewers = self.viewers.as_ref().map(serde_json::to_string).transpose();
        let hours = self.hours.as_ref().map(serde_json::to_string).transpose();
        values![
            blob(self.id.uuid()),
            self.name.as_str().to_owned(),
            self.stream.as_str().to_owned(),
            site_text(&self.site),
            self.direction.as_str().to_owned(),
            hours.map_err(|_| parts::damaged("camera hours"))?,
            self.every.value(),
            self.visit.value(),
            self.active,
            self.created_at.as_millisecond(),
            self.removed_at.map(jiff::Timestamp::as_millisecond),
            viewers.map_err(|_| parts::damaged("camera viewers"))?,
        ]
    }

    fn read(row: &Row<'_>) -> Result<Self, StoreError> {
        let viewers: Option<String> = row.get("viewers")?;
        let viewers = viewers.as_deref().map(serde_json::from_str).transpose();
        let hours = row.get::<_, Option<String>>("hours")?.map(|hours| {
            let hours = serde_json::from_str(&hours);
            parts::hours(hours.map_err(|_| parts::damaged("camera hours"))?)
        });
        Ok(Self {
            id: id(row, "id", CameraId::new)?,
            name: parts::text(row.get("name")?, "camera name")?,
            stream: parts::text(row.get("stream")?, "camera stream")?,
            site: optional_site(row, "camera site")?,
            direction: parts::from_word(&row.get::<_, String>("direction")?, "camera direction")?,
            hours: hours.transpose()?,
            every: parts::known(LookEvery::new(row.get("every_ms")?), "camera rate")?,
            visit: parts::known(VisitGap::new(row.get("visit_s")?), "camera visit")?,
            active: row.get("active")?,
            created_at: parts::time(row.get("created_at")?, "camera creation time")?,
            removed_at: optional_time(row, "removed_at", "camera removal time")?,
            viewers: viewers.map_err(|_| parts::damaged("camera viewers"))?,
        })
    }
}

impl Record for (CameraId, CameraStatus) {
    const TABLE: &str = "camera_states";
    const COLUMNS: &[&str] = &["id", "state", "cause", "since", "told_at", "present"];

    fn values(&self) -> Result<Vec<Value>, StoreError> {
        let (id, status) = self;
        let present = serde_json::to_string(&status.present);
        values![
            blob(id.uuid()),
            status.state.as_str().to_owned(),
            status.cause.clone(),
            status.since.as_millisecond(),
            status.told_at.as_millisecond(),
            present.map_err(|_| parts::damaged("camera presence"))?,
        ]
    }

    fn read(row: &Row<'_>) -> Result<Self, StoreError> {
        let present: Option<String> = row.get("present")?;
        let present = present
            .as_deref()
            .map_or(Ok(Vec::new()), serde_json::from_str);
        let status = CameraStatus {
            state: parts::from_word(&row.get::<_, String>("state")?, "camera state")?,
            cause: row.get("cause")?,
            since: parts::time(row.get("since")?, "camera state time")?,
            told_at: parts::time(row.get("told_at")?, "camera state time")?,
            present: present.map_err(|_| parts::damaged("camera presence"))?,
        };
        Ok((id(row, "id", CameraId::new)?, status))
    }
}

impl Record for Account {
    const TABLE: &str = "accounts";
    const COLUMNS: &[&str] = &[
        "id",
        "email",
        "name",
        "role",
        "password_hash",
        "active",
        "created_at",
    ];

    fn values(&self) -> Result<Vec<Value>, StoreError> {
        values![
            blob(self.id.uuid()),
            self.email.as_str().to_owned(),
            self.name.as_str().to_owned(),
            self.role.as_str().to_owned(),
            self.password_hash.clone(),
            self.active,
            self.created_at.as_millisecond(),
        ]
    }

    fn read(row: &Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: id(row, "id", AccountId::new)?,
            email: parts::text(row.get("email")?, "account email")?,
            name: parts::text(row.get("name")?, "account name")?,
            role: parts::from_word(&row.get::<_, String>("role")?, "account role")?,
            password_hash: row.get("password_hash")?,
            active: row.get("active")?,
            created_at: parts::time(row.get("created_at")?, "account creation time")?,
        })
    }
}

impl Record for Session {
    const TABLE: &str = "sessions";
    const COLUMNS: &[&str] = &["hash", "account", "created_at", "expires_at"];

    fn values(&self) -> Result<Vec<Value>, StoreError> {
        values![
            self.hash.to_hex(),
            blob(self.account.uuid()),
            self.created_at.as_millisecond(),
            self.expires_at.as_millisecond(),
        ]
    }

    fn read(row: &Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            hash: parts::token(&row.get::<_, String>("hash")?, "session hash")?,
            account: id(row, "account", AccountId::new)?,
            created_at: parts::time(row.get("created_at")?, "session creation time")?,
            expires_at: parts::time(row.get("expires_at")?, "session expiry time")?,
        })
    }
}

impl Record for AuditEntry {
    const TABLE: &str = "audit";
    const COLUMNS: &[&str] = &["id", "at", "actor", "action", "subject", "detail"];

    fn values(&self) -> Result<Vec<Value>, StoreError> {
        values![
            blob(self.id.uuid()),
            self.at.as_millisecond(),
            self.actor.to_string(),
            self.action.clone(),
            self.subject.clone(),
            self.detail.clone(),
        ]
    }

    fn read(row: &Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: id(row, "id", AuditId::new)?,
            at: parts::time(row.get("at")?, "audit time")?,
            actor: parts::actor(&row.get::<_, String>("actor")?, "audit actor")?,
            action: row.get("action")?,
            subject: row.get("subject")?,
            detail: row.get("detail")?,
        })
    }
}

impl Record for Job {
    const TABLE: &str = "jobs";
    const COLUMNS: &[&str] = &[
        "id",
        "kind",
        "payload",
        "once",
        "state",
        "due",
        "turn",
        "attempts",
        "done",
        "total",
        "result",
        "error",
        "created_by",
        "created_at",
        "finished_at",
    ];
    const KEPT: &[&str] = &["payload"];

    fn values(&self) -> Result<Vec<Value>, StoreError> {
        values![
            blob(self.id.uuid()),
            self.kind.as_str().to_owned(),
            self.payload.clone(),
            self.once.clone(),
            self.state.as_str().to_owned(),
            self.due.map(jiff::Timestamp::as_millisecond),
            self.turn,
            self.attempts,
            parts::number::<u64, i64>(self.done, "job progress")?,
            parts::number::<u64, i64>(self.total, "job progress")?,
            self.result.clone(),
            self.error.clone(),
            self.created_by.to_string(),
            self.created_at.as_millisecond(),
            self.finished_at.map(jiff::Timestamp::as_millisecond),
        ]
    }

    fn read(row: &Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: id(row, "id", JobId::new)?,
            kind: parts::from_word(&row.get::<_, String>("kind")?, "job kind")?,
            payload: row.get("payload")?,
            once: row.get("once")?,
            state: parts::from_word(&row.get::<_, String>("state")?, "job state")?,
            due: optional_time(row, "due", "job time")?,
            turn: row.get("turn")?,
            attempts: row.get("attempts")?,
            done: parts::number::<i64, u64>(row.get("done")?, "job progress")?,
            total: parts::number::<i64, u64>(row.get("total")?, "job progress")?,
            result: row.get("result")?,
            error: row.get("error")?,
            created_by: parts::actor(&row.get::<_, String>("created_by")?, "job author")?,
            created_at: parts::time(row.get("created_at")?, "job creation time")?,
            finished_at: optional_time(row, "finished_at", "job end")?,
        })
    }
}

impl Record for GalleryChange {
    const TABLE: &str = "gallery_changes";
    const COLUMNS: &[&str] = &["employee", "at"];

    fn values(&self) -> Result<Vec<Value>, StoreError> {
        values![blob(self.employee.uuid()), self.at.as_millisecond()]
    }

    fn read(row: &Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            employee: id(row, "employee", EmployeeId::new)?,
            at: parts::time(row.get("at")?, "gallery change time")?,
        })
    }
}

impl Record for Setting {
    const TABLE: &str = "settings";
    const COLUMNS: &[&str] = &["name", "value"];

    fn values(&self) -> Result<Vec<Value>, StoreError> {
        values![self.name.clone(), self.value.clone()]
    }

    fn read(row: &Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            name: row.get("name")?,
            value: row.get("value")?,
        })
    }
}
