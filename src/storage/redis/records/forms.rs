//! How each record is kept: JSON, with what points to it. Bytes are base64 inside.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    jobs,
    plan::{Kept, Ties, member, sortable},
};
use crate::{
    domain::{
        accounts::{Account, Session},
        attendance::{ClockSource, Punch},
        audit::AuditEntry,
        biometrics::{Similarity, Threshold},
        cameras::{Camera, CameraStatus},
        devices::Device,
        employees::{Consent, Employee},
        ids::{CameraId, DeviceId, EmployeeId},
        jobs::Job,
        text::IdempotencyKey,
    },
    ports::{KeptAnswer, StoreError, StoredPhoto, StoredPicture, StoredTemplate},
    storage::parts::{self, damaged},
};

/// The JSON of a record.
fn json(value: &impl Serialize, what: &'static str) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|_| damaged(what))
}

pub(super) fn own<T: DeserializeOwned>(body: &[u8], what: &'static str) -> Result<T, StoreError> {
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
        json(&Self { templates, consent }, "employee consent")
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
        json(&edited, "employee")
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
        json(self, "template")
    }

    fn read(body: &[u8], _: Option<&[u8]>) -> Result<Self, StoreError> {
        own(body, "template")
    }
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
        json(self, "photo")
    }

    fn read(body: &[u8], _: Option<&[u8]>) -> Result<Self, StoreError> {
        own(body, "photo")
    }
}

/// The index of an employee's pictures.
pub(super) fn pictures_of(employee: EmployeeId) -> String {
    format!("pictures_of:{employee}")
}

impl Kept for StoredPicture {
    const KIND: &str = "picture";

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn ties(&self) -> Result<Ties, StoreError> {
        let place = member(&sortable(self.at), self.id);
        let kind = self.of.kind().as_str();
        let mut ties = Ties {
            places: vec![(format!("pictures:{kind}"), place.clone())],
            ..Ties::default()
        };
        if let Some((punch, employee)) = parts::of_punch(self.of) {
            ties.claims.push(format!("picture_of_punch:{punch}"));
            ties.places.push((pictures_of(employee), place));
        }
        Ok(ties)
    }

    fn body(&self) -> Result<Vec<u8>, StoreError> {
        json(self, "picture")
    }

    fn read(body: &[u8], _: Option<&[u8]>) -> Result<Self, StoreError> {
        own(body, "picture")
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
        json(self, "punch")
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
        json(self, "answer")
    }

    fn read(body: &[u8], _: Option<&[u8]>) -> Result<Self, StoreError> {
        own(body, "answer")
    }
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
        json(self, "device")
    }

    fn read(body: &[u8], _: Option<&[u8]>) -> Result<Self, StoreError> {
        own(body, "device")
    }
}

impl Kept for Camera {
    const KIND: &str = "camera";

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn ties(&self) -> Result<Ties, StoreError> {
        if self.removed_at.is_some() {
            return Ok(Ties::default());
        }
        Ok(Ties {
            claims: vec![format!("camera_stream:{}", self.stream)],
            places: vec![("cameras".to_owned(), self.id())],
            ..Ties::default()
        })
    }

    fn body(&self) -> Result<Vec<u8>, StoreError> {
        json(self, "camera")
    }

    fn read(body: &[u8], _: Option<&[u8]>) -> Result<Self, StoreError> {
        let camera: Self = own(body, "camera")?;
        camera.hours.clone().map(parts::hours).transpose()?;
        Ok(camera)
    }
}

/// What was last said of a camera; nothing points to it.
impl Kept for (CameraId, CameraStatus) {
    const KIND: &str = "camera_state";
    const PLAIN: bool = true;

    fn id(&self) -> String {
        self.0.to_string()
    }

    fn ties(&self) -> Result<Ties, StoreError> {
        Ok(Ties::default())
    }

    fn body(&self) -> Result<Vec<u8>, StoreError> {
        json(self, "camera state")
    }

    fn read(body: &[u8], _: Option<&[u8]>) -> Result<Self, StoreError> {
        own(body, "camera state")
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
        json(self, "account")
    }

    fn read(body: &[u8], _: Option<&[u8]>) -> Result<Self, StoreError> {
        own(body, "account")
    }
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
        json(self, "session")
    }

    fn read(body: &[u8], _: Option<&[u8]>) -> Result<Self, StoreError> {
        own(body, "session")
    }
}

impl Kept for Job {
    const KIND: &str = "job";

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn ties(&self) -> Result<Ties, StoreError> {
        let mut places = vec![("jobs".to_owned(), self.id())];
        for (index, at) in [
            (jobs::DUE.to_owned(), self.due),
            (jobs::due_of(self.kind), self.due),
            (jobs::FINISHED.to_owned(), self.finished_at),
        ] {
            let place = at.map(|at| (index, member(&sortable(at), self.id)));
            places.extend(place);
        }
        let once = self.once.as_ref().map(|once| format!("job_once:{once}"));
        Ok(Ties {
            claims: once.into_iter().collect(),
            places,
            ..Ties::default()
        })
    }

    fn body(&self) -> Result<Vec<u8>, StoreError> {
        let told = Self {
            payload: String::new(),
            ..self.clone()
        };
        json(&told, "job")
    }

    fn beside(&self) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(Some(self.payload.clone().into_bytes()))
    }

    fn beside_anew(&self) -> Option<Vec<u8>> {
        self.ended().then(Vec::new)
    }

    fn read(body: &[u8], beside: Option<&[u8]>) -> Result<Self, StoreError> {
        let payload = parts::known(beside, "job payload")?.to_vec();
        Ok(Self {
            payload: String::from_utf8(payload).map_err(|_| damaged("job payload"))?,
            ..own(body, "job")?
        })
    }
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
        json(self, "audit entry")
    }

    fn read(body: &[u8], _: Option<&[u8]>) -> Result<Self, StoreError> {
        own(body, "audit entry")
    }
}
