//! Sample records for stores.

use jiff::Timestamp;
use rollcall::{
    domain::{
        accounts::{Account, Actor, Browser, Session, TokenHash},
        api_tokens::ApiToken,
        attendance::{
            ClockSource, Correction, Decision, Evidence, HolidayPart, KeptAnswer, LeavePart,
            Length, Origin, Period, Proof, Punch, PunchKind, RequestKey, RequestedCorrection,
            Rules, TimedPunch,
        },
        balances::{BalanceEntry, BalanceKind},
        biometrics::{ModelId, Similarity, Threshold, Views},
        calendars::CalendarAddress,
        cameras::{Camera, Direction, LookEvery, VisitGap},
        devices::Device,
        employees::{Consent, Employee, EmployeeSettings},
        faces::{EnrolledFace, FaceEnrollment, Photo, Template},
        grants::{Access, Grant, Limit, Permission, Role, Scope},
        ids::{
            AccountId, ApiTokenId, CameraId, CorrectionId, DeviceId, EmployeeId, InvitationId,
            JobId, LeaveKindId, PhotoId, PictureId, PunchId, RefusedPunchId, ShiftKindId, SiteId,
            TemplateId,
        },
        invitations::{Invitation, Purpose},
        jobs::{Job, JobKind, JobState},
        messages::{OldSecret, Topic, Webhook, WebhookSettings, WebhookState, WebhookUrl},
        pictures::{Picture, Pictured},
        plans::{
            Assigned, Assignment, Cycle, Entitlement, Entry, HolidayCalendar, Hundredths, Leave,
            LeaveGrant, LeaveKind, LeaveState, LeaveUnit, NamedHoliday, PayrollLayout, Settings,
            ShiftKind, SiteRules, payroll_layouts,
        },
        punch_credentials::{PunchCredential, StoredBadge, StoredPin},
        quality::Quality,
        refused_punches::{PunchedWith, RefusalReason, RefusedPunch},
        sealed::Sealed,
        second_factors::{Authenticator, Credential, Passkey, SecondFactors},
        single_sign_on::ExternalIdentity,
        sites::{Site, SiteSettings, Zone},
        text::{Code, Email, IdempotencyKey, Name, Reason, SiteName, StreamName},
    },
    ports::Page,
};
use uuid::Uuid;

/// Returns this many milliseconds after a moment that all records are near.
pub fn at(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(1_800_000_000_000 + milliseconds).unwrap()
}

pub fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

pub fn code(text: &str) -> Code {
    Code::parse(text).unwrap()
}

pub fn site_name(text: &str) -> SiteName {
    SiteName::parse(text).unwrap()
}

pub fn site_id() -> SiteId {
    SiteId::new(Uuid::now_v7())
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
        settings: EmployeeSettings::new(name(text), code(number), SiteId::DEFAULT),
        created_at: at(0),
        deleted_at: None,
        erasure_requested_at: None,
    }
}

pub fn consent(recorded_by: Actor) -> Consent {
    Consent {
        at: at(-1),
        recorded_by,
        text: "2026-11".into(),
        given: Default::default(),
    }
}

pub fn sealed(seed: u8, size: usize) -> Sealed {
    Sealed {
        key_id: format!("key-{seed}"),
        nonce: std::array::from_fn(|place| seed.wrapping_add(place as u8)),
        ciphertext: (0..size).map(|place| (place * 31) as u8 ^ seed).collect(),
    }
}

/// Returns a template whose embedding no key opens.
pub fn template(created: i64) -> Template {
    Template {
        id: TemplateId::new(Uuid::now_v7()),
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
        grown: false,
    }
}

/// Returns an API token that may read, with a hash of its own.
pub fn api_token(id: ApiTokenId, account: AccountId, hash: u8) -> ApiToken {
    ApiToken {
        id,
        account,
        name: name("Payroll"),
        token: token(hash),
        limit: Limit::new([Permission::Read].into(), None).unwrap(),
        created_at: at(0),
        expires_at: at(1_000_000),
        revoked_at: None,
    }
}

/// Returns the enrollment of an employee with this many templates.
pub fn face(employee: EmployeeId, templates: i64, changed: i64) -> FaceEnrollment {
    FaceEnrollment {
        employee,
        face: Some(EnrolledFace {
            consent: consent(Actor::Operator),
            templates: (0..templates).map(template).collect(),
            look_alikes: Vec::new(),
        }),
        changed_at: at(changed),
    }
}

pub fn photo(employee: EmployeeId, created: i64, size: usize) -> Photo {
    Photo {
        id: PhotoId::new(Uuid::now_v7()),
        employee,
        sealed: sealed(created as u8, size),
        created_at: at(created),
    }
}

pub fn picture(of: Pictured, taken: i64) -> Picture {
    Picture {
        id: PictureId::new(Uuid::now_v7()),
        at: at(taken),
        of,
        site: SiteId::DEFAULT,
        origin: Origin::Device(device_id()),
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
        doubt: None,
        kind_reason: None,
        workday: "2027-01-15".parse().unwrap(),
        site: SiteId::DEFAULT,
        origin: Origin::Device(device),
        proof: Proof::Face(evidence()),
        request: None,
        sequence,
    }
}

pub fn evidence() -> Evidence {
    Evidence {
        similarity: Similarity::new(0.612_345_7).unwrap(),
        threshold: Threshold::new(0.43).unwrap(),
        margin: None,
        liveness: None,
        model: ModelId::new("space"),
        frames: 1,
        look: 1,
        digests: Vec::new(),
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
        origin: Origin::Device(device),
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
        site: SiteId::DEFAULT,
        token: token(seed),
        expires_at: Some(at(1_000_000)),
        old_token: None,
        created_at: at(0),
        revoked_at: None,
    }
}

/// A site in Berlin that an admin added.
pub fn site(text: &str) -> Site {
    Site {
        id: site_id(),
        settings: SiteSettings::new(
            site_name(text),
            Zone::parse("Europe/Berlin").unwrap(),
            jiff::civil::time(4, 30, 0, 0),
        ),
        created_at: at(0),
        changed_at: Some(at(0)),
        removed_at: None,
    }
}

pub fn camera(stream: &str) -> Camera {
    Camera {
        id: camera_id(),
        name: name("Front door"),
        stream: StreamName::parse(stream).unwrap(),
        site: SiteId::DEFAULT,
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
        access: Access::new(None, [Grant::new(role, Scope::Everything).unwrap()]).unwrap(),
        password_hash: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA".into(),
        active: true,
        created_at: at(0),
        signed_in_at: Some(at(1)),
        invited_by: Some(AccountId::new(Uuid::now_v7())),
        sessions_ended: 0,
    }
}

pub fn session(seed: u8, account: AccountId, expires: i64) -> Session {
    Session {
        hash: token(seed),
        account,
        created_at: at(0),
        expires_at: at(expires),
        used_at: Some(at(1)),
        confirmed_at: Some(at(0)),
        browser: Some(Browser {
            address: [192, 0, 2, 7].into(),
            description: Some("Firefox on Windows".into()),
        }),
    }
}

/// Returns a correction that adds an in on 2026-03-02, which nobody has decided on.
pub fn correction(made: i64) -> RequestedCorrection {
    let id = Uuid::now_v7();
    RequestedCorrection {
        id: CorrectionId::new(id),
        change: Correction::Add(TimedPunch {
            id: PunchId::new(id),
            kind: PunchKind::In,
            at: "2026-03-02T08:00:00Z".parse().unwrap(),
        }),
        reason: Reason::parse("Forgot to punch").unwrap(),
        made_by: Actor::Operator,
        made_at: at(made),
        decision: Decision::Requested,
        provisional: false,
    }
}

/// Returns a queued import.
pub fn job(due: i64) -> Job {
    Job {
        id: JobId::new(Uuid::now_v7()),
        kind: JobKind::new("import"),
        payload: "name,code\n\"Ünïcödé\n👩🏽‍🚀\",\0{$gt:1}".to_owned(),
        once: None,
        state: JobState::Queued,
        due: Some(at(due)),
        claims: 0,
        attempts: 0,
        done: 0,
        total: 7,
        result: None,
        error: None,
        created_by: Actor::Account(AccountId::new(Uuid::now_v7())),
        created_at: at(due),
        finished_at: None,
    }
}

/// Returns the rules of a site from 2026-01-01 on, with a tolerance of five minutes.
pub fn site_rules(site: SiteId) -> SiteRules {
    SiteRules {
        id: Uuid::now_v7().into(),
        site,
        from: jiff::civil::date(2026, 1, 1),
        rules: Rules {
            grace_late: Length::minutes(5),
            ..Rules::default()
        },
        period: Period::Month,
        two_weeks_from: None,
        four_eyes: false,
        overtime_approval: false,
    }
}

/// Returns an entry that is not removed.
pub fn entry<S: Settings>(settings: S) -> Entry<S> {
    Entry {
        id: Uuid::now_v7().into(),
        settings,
        removed_at: None,
    }
}

pub fn shift(site: SiteId, name: &str, from: &str, to: &str) -> Entry<ShiftKind> {
    let times = serde_json::json!({ "from": from, "to": to });
    entry(ShiftKind {
        site,
        name: site_name(name),
        shift: serde_json::from_value(times).unwrap(),
    })
}

/// Returns a cycle that starts on Monday, 2027-01-04.
pub fn cycle(site: SiteId, name: &str, shifts: &[Option<ShiftKindId>]) -> Entry<Cycle> {
    entry(Cycle {
        site,
        name: site_name(name),
        starts: jiff::civil::date(2027, 1, 4),
        shifts: shifts.to_vec(),
    })
}

/// Returns a calendar with 2027-01-06 as a holiday.
pub fn holidays(name: &str, sites: &[SiteId]) -> Entry<HolidayCalendar> {
    entry(HolidayCalendar {
        name: site_name(name),
        sites: sites.to_vec(),
        days: vec![NamedHoliday {
            day: jiff::civil::date(2027, 1, 6),
            part: HolidayPart::Whole,
            name: site_name("Epiphany"),
        }],
    })
}

pub fn leave_kind(name: &str) -> Entry<LeaveKind> {
    entry(LeaveKind {
        name: site_name(name),
        paid: true,
        unit: LeaveUnit::Days,
        limited: false,
    })
}

/// Returns a webhook for every topic, whose secrets no key opens.
pub fn webhook(text: &str) -> Webhook {
    Webhook {
        id: Uuid::now_v7().into(),
        settings: WebhookSettings {
            name: name(text),
            url: WebhookUrl::parse("https://example.org/hook").unwrap(),
            topics: Topic::ALL.to_vec(),
            sites: None,
            with_names: false,
        },
        state: WebhookState::On,
        secret: sealed(1, 48),
        old_secrets: vec![OldSecret {
            sealed: sealed(2, 48),
            until: at(24 * 3_600_000),
        }],
        made_by: Actor::Operator,
        created_at: at(0),
        since: at(0),
    }
}

/// Returns the layout of an example.
pub fn payroll_layout(name: &str) -> Entry<PayrollLayout> {
    entry(PayrollLayout {
        name: site_name(name),
        layout: payroll_layouts::examples()[0].layout.clone(),
    })
}

/// Returns a saved punch with a PIN that the service refused.
pub fn refused_punch(device: DeviceId, employee: Option<EmployeeId>, seed: i64) -> RefusedPunch {
    RefusedPunch {
        id: RefusedPunchId::new(Uuid::now_v7()),
        device,
        site: SiteId::DEFAULT,
        key: IdempotencyKey::parse(&format!("refused-{seed}")).unwrap(),
        with: PunchedWith::Pin,
        reason: RefusalReason::WrongPin,
        at: at(seed),
        received_at: at(seed + 60),
        employee,
        code: None,
        picture: None,
        resolution: None,
    }
}

/// Returns an invitation to an account of an employee, who also enrolls their own face.
pub fn invitation(employee: EmployeeId, seed: u8) -> Invitation {
    let own = Grant::new(Role::Employee, Scope::Own).unwrap();
    Invitation {
        id: InvitationId::new(Uuid::now_v7()),
        token: token(seed),
        purpose: Purpose::Account {
            email: Email::parse("ann@example.org").unwrap(),
            name: name("Ann"),
            access: Access::new(Some(employee), [own]).unwrap(),
            enroll: true,
        },
        made_by: Actor::Operator,
        made_at: at(5),
        expires_at: at(7 * 24 * 3_600_000),
        claimed_until: None,
        tries: 1,
    }
}

pub fn calendar_address(employee: EmployeeId, seed: u8) -> CalendarAddress {
    CalendarAddress {
        employee,
        token: token(seed),
        made_at: at(0),
        made_by: Actor::Operator,
    }
}

/// Returns a PIN that no one knows, and a badge.
pub fn punch_credential(employee: EmployeeId, seed: u8) -> PunchCredential {
    PunchCredential {
        employee,
        pin: Some(StoredPin::new(
            "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA".to_owned(),
            at(0),
            Actor::Operator,
        )),
        badge: Some(StoredBadge {
            badge_hash: token(seed),
            issued_at: at(0),
            issued_by: Actor::Operator,
        }),
        changed_at: at(0),
    }
}

/// Returns second factors with this many recovery codes, whose secret no key opens.
pub fn second_factors(account: AccountId, codes: u8) -> SecondFactors {
    SecondFactors {
        account,
        totp: Some(Authenticator {
            secret: sealed(codes, 36),
            added_at: at(0),
            last_step: 60_000_000,
        }),
        recovery_codes: (0..codes).map(token).collect(),
        passkeys: vec![Passkey {
            id: Uuid::now_v7().into(),
            name: name("Phone"),
            credential: Credential {
                rp_id: "rollcall.example.org".to_owned(),
                id: vec![codes; 16],
                transports: 32,
                key: vec![1, codes],
                state: vec![1; 7],
            },
            added_at: at(0),
            used_at: None,
        }],
        identity: Some(ExternalIdentity {
            issuer: "https://login.example.org".to_owned(),
            subject: account.to_string(),
        }),
    }
}

pub fn assignment(employee: EmployeeId, plan: Assigned, made: i64) -> Assignment {
    Assignment {
        id: Uuid::now_v7().into(),
        employee,
        plan,
        made_at: at(made),
        made_by: Actor::Operator,
    }
}

/// Returns an opening value or a change of a balance of one hour.
pub fn balance_entry(
    employee: EmployeeId,
    date: jiff::civil::Date,
    kind: BalanceKind,
    made: i64,
) -> BalanceEntry {
    BalanceEntry {
        id: Uuid::now_v7().into(),
        employee,
        date,
        kind,
        seconds: 3600,
        reason: Reason::parse("Old system").unwrap(),
        made_by: Actor::Operator,
        made_at: at(made),
    }
}

/// Returns an entitlement to 30 days in a year.
pub fn entitlement(employee: EmployeeId, kind: LeaveKindId, year: i16) -> Entitlement {
    Entitlement {
        id: Uuid::now_v7().into(),
        employee,
        kind,
        grant: LeaveGrant {
            from: jiff::civil::date(year, 1, 1),
            to: jiff::civil::date(year, 12, 31),
            amount: Hundredths::from_number(30.0).unwrap(),
            carried: Hundredths::from_number(2.5).unwrap(),
        },
        made_at: at(1),
        made_by: Actor::Operator,
    }
}

/// Returns a request for a day of leave, of a kind that does not exist.
pub fn leave(employee: EmployeeId, day: jiff::civil::Date, made: i64) -> Leave {
    Leave {
        id: Uuid::now_v7().into(),
        employee,
        kind: Uuid::now_v7().into(),
        from: day,
        to: day,
        part: LeavePart::Whole,
        state: LeaveState::Requested,
        reason: None,
        made_at: at(made),
        made_by: Actor::Operator,
        decided_by: None,
        decided_at: None,
    }
}
