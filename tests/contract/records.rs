//! Records to store.

use jiff::Timestamp;
use rollcall::{
    domain::{
        accounts::{Account, Actor, Role, Session, TokenHash},
        attendance::{ClockSource, Evidence, Punch, PunchKind, PunchSource, RequestKey},
        biometrics::{ModelId, Similarity, Threshold, Views},
        cameras::{Camera, Direction, LookEvery, VisitGap},
        devices::Device,
        employees::{Consent, Employee},
        ids::{AccountId, CameraId, DeviceId, EmployeeId, PhotoId, PictureId, PunchId, TemplateId},
        quality::Quality,
        text::{Code, Email, IdempotencyKey, Name, SiteName, StreamName},
    },
    ports::{KeptAnswer, Page, Pictured, Sealed, StoredPhoto, StoredPicture, StoredTemplate},
};
use uuid::Uuid;

/// Noon of the first day, and so many milliseconds.
pub fn at(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(1_800_000_000_000 + milliseconds).unwrap()
}

pub fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

pub fn code(text: &str) -> Code {
    Code::parse(text).unwrap()
}

pub fn site(text: &str) -> SiteName {
    SiteName::parse(text).unwrap()
}

pub fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::parse(text).unwrap()
}

pub fn employee_id() -> EmployeeId {
    EmployeeId::new(Uuid::now_v7())
}

pub fn device_id() -> DeviceId {
    DeviceId::new(Uuid::now_v7())
}

pub fn camera_id() -> CameraId {
    CameraId::new(Uuid::now_v7())
}

pub fn first<C>(limit: usize) -> Page<C> {
    Page { after: None, limit }
}

pub fn after<C>(cursor: C, limit: usize) -> Page<C> {
    Page {
        after: Some(cursor),
        limit,
    }
}

pub fn employee(text: &str, number: &str) -> Employee {
    Employee {
        id: employee_id(),
        name: name(text),
        code: code(number),
        site: None,
        active: true,
        consent: None,
        templates: 0,
        created_at: at(0),
        deleted_at: None,
    }
}

pub fn consent(recorded_by: Actor) -> Consent {
    Consent {
        at: at(-1),
        recorded_by,
        text: "2026-11".into(),
    }
}

pub fn sealed(seed: u8, size: usize) -> Sealed {
    Sealed {
        key_id: format!("key-{seed}"),
        nonce: std::array::from_fn(|place| seed.wrapping_add(place as u8)),
        ciphertext: (0..size).map(|place| (place * 31) as u8 ^ seed).collect(),
    }
}

pub fn template(employee: EmployeeId, created: i64) -> StoredTemplate {
    StoredTemplate {
        id: TemplateId::new(Uuid::now_v7()),
        employee,
        model: ModelId::new("space"),
        views: Views::All,
        sealed: sealed(created as u8, 2064),
        quality: Quality {
            width: 123.4,
            yaw: -12.5,
            pitch: 3.1,
            roll: -0.0,
            sharpness: 1234.567,
            brightness: 127.1,
            contrast: f32::MIN_POSITIVE,
            inside: 1.0,
            score: 0.987_654_3,
        },
        created_at: at(created),
    }
}

pub fn photo(employee: EmployeeId, created: i64, size: usize) -> StoredPhoto {
    StoredPhoto {
        id: PhotoId::new(Uuid::now_v7()),
        employee,
        sealed: sealed(created as u8, size),
        created_at: at(created),
    }
}

pub fn picture(of: Pictured, taken: i64) -> StoredPicture {
    StoredPicture {
        id: PictureId::new(Uuid::now_v7()),
        at: at(taken),
        of,
        source: PunchSource::Device,
        device: device_id(),
        sealed: sealed(taken as u8, 15_000),
    }
}

pub fn punch(employee: EmployeeId, device: DeviceId, sequence: u64, moment: i64) -> Punch {
    Punch {
        id: PunchId::new(Uuid::now_v7()),
        employee,
        kind: PunchKind::In,
        at: at(moment),
        recorded_at: at(moment + 7),
        clock: ClockSource::Server,
        captured_at: None,
        workday: "2027-01-15".parse().unwrap(),
        site: None,
        source: PunchSource::Device,
        device,
        evidence: Evidence {
            similarity: Similarity::new(0.612_345_7).unwrap(),
            threshold: Threshold::new(0.43).unwrap(),
            margin: None,
            liveness: None,
            model: ModelId::new("space"),
            frames: 1,
            look: 1,
        },
        request: None,
        sequence,
    }
}

pub fn request(text: &str) -> RequestKey {
    RequestKey {
        key: key(text),
        fingerprint: "ab".repeat(32),
    }
}

pub fn answer(device: DeviceId, text: &str, given: i64) -> KeptAnswer {
    KeptAnswer {
        device,
        request: request(text),
        answer: r#"{"outcome":"nobody","similarity":0.1}"#.into(),
        at: at(given),
    }
}

pub fn token(seed: u8) -> TokenHash {
    TokenHash([seed; 32])
}

pub fn device(text: &str, seed: u8) -> Device {
    Device {
        id: device_id(),
        name: name(text),
        site: None,
        token: token(seed),
        created_at: at(0),
        revoked_at: None,
    }
}

pub fn camera(stream: &str) -> Camera {
    Camera {
        id: camera_id(),
        name: name("Front door"),
        stream: StreamName::parse(stream).unwrap(),
        site: None,
        direction: Direction::default(),
        hours: None,
        every: LookEvery::default(),
        visit: VisitGap::default(),
        active: true,
        created_at: at(0),
        removed_at: None,
        viewers: None,
    }
}

pub fn account(email: &str, role: Role) -> Account {
    Account {
        id: AccountId::new(Uuid::now_v7()),
        email: Email::parse(email).unwrap(),
        name: name("Ann"),
        role,
        password_hash: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA".into(),
        active: true,
        created_at: at(0),
    }
}

pub fn session(seed: u8, account: AccountId, expires: i64) -> Session {
    Session {
        hash: token(seed),
        account,
        created_at: at(0),
        expires_at: at(expires),
    }
}
