//! Background tasks: how an instance learns of other instances' enrollments, and the deletion of
//! expired records.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use rollcall::{
    clock::{Clock, SystemClock},
    domain::{
        accounts::{Actor, Session, TokenHash},
        attendance::{KeptAnswer, Origin, RequestKey},
        audit::AuditEntry,
        biometrics::{Embedding, ModelId, Views},
        employees::{Consent, Employee, EmployeeSettings},
        faces::{EnrolledFace, FaceEnrollment, Photo, Template},
        ids::{
            AccountId, AuditId, DeviceId, EmployeeId, InvitationId, JobId, PhotoId, PictureId,
            PunchId, RefusedPunchId, SiteId, TemplateId,
        },
        invitations::{Invitation, Purpose},
        jobs::{Job, JobKind, JobState},
        messages::{Channel, Content, Delivery, DeliveryState},
        pictures::{Picture, Pictured},
        quality::Quality,
        refused_punches::{PunchedWith, RefusalReason, RefusedPunch},
        text::{Code, Email, IdempotencyKey, Name},
    },
    gallery::MemoryGallery,
    ports::Gallery,
    repositories::Repositories,
    service::{
        feed::Feed,
        gallery_loader::{GalleryLoader, OVERLAP},
    },
    storage::memory::{MemoryBus, MemoryEngine},
    vault::Vault,
    workers::retention::{self, Ages, JumpGuard, Purged},
};
use tokio::time::Instant;
use uuid::Uuid;
use zeroize::Zeroizing;

/// A clock that a test sets; IDs and secrets come from the system.
struct TestClock(AtomicI64);

impl TestClock {
    fn advance(&self, by: SignedDuration) {
        self.0.fetch_add(by.as_millis() as i64, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.0.load(Ordering::SeqCst)).unwrap()
    }

    fn id(&self) -> Uuid {
        SystemClock.id()
    }

    fn secret(&self) -> [u8; 32] {
        SystemClock.secret()
    }
}

struct World {
    stores: Repositories,
    clock: Arc<TestClock>,
    vault: Arc<Vault>,
    model: ModelId,
}

/// An instance's gallery.
struct Instance {
    gallery: Arc<dyn Gallery>,
    loader: GalleryLoader,
}

impl World {
    fn new() -> Self {
        Self {
            stores: Repositories::new(Arc::new(MemoryEngine::default())),
            clock: Arc::new(TestClock(AtomicI64::new(1_800_000_000_000))),
            vault: Arc::new(Vault::new(&Zeroizing::new([7; 32]), &[])),
            model: ModelId::new("test"),
        }
    }

    /// Returns an instance that has just started.
    async fn instance(&self) -> Instance {
        let gallery: Arc<dyn Gallery> = Arc::new(MemoryGallery::new(2));
        let loader = GalleryLoader::new(
            self.stores.clone(),
            self.vault.clone(),
            gallery.clone(),
            self.model.clone(),
            Feed::new(Arc::new(MemoryBus::default())),
            self.clock.clone(),
        );
        loader.fill().await.unwrap();
        Instance { gallery, loader }
    }

    /// A template of a person.
    fn template(&self, id: EmployeeId, number: u128) -> Template {
        let embedding = Embedding::normalize(vec![1.0, number as f32]).unwrap();
        Template {
            id: TemplateId::new(self.clock.id()),
            model: self.model.clone(),
            views: Views::All,
            sealed: self
                .vault
                .seal_embedding([number as u8; 12], id, &self.model, &embedding)
                .unwrap(),
            quality: Quality {
                width: 100.0,
                yaw: 0.0,
                pitch: 0.0,
                roll: 0.0,
                sharpness: 100.0,
                brightness: 120.0,
                contrast: 50.0,
                inside: 1.0,
                score: 0.9,
            },
            created_at: self.clock.now(),
            grown: false,
        }
    }

    /// Adds an employee, as another instance would.
    async fn employ(&self, number: u128) -> Employee {
        let employee = Employee {
            id: EmployeeId::new(Uuid::from_u128(number)),
            settings: EmployeeSettings::new(
                Name::parse("Ada").unwrap(),
                Code::parse(&number.to_string()).unwrap(),
                SiteId::DEFAULT,
            ),
            created_at: self.clock.now(),
            deleted_at: None,
            erasure_requested_at: None,
        };
        self.stores.employees.insert(&employee).await.unwrap();
        employee
    }

    /// Enrolls the face of an employee, as another instance would.
    async fn enroll_face(&self, id: EmployeeId, number: u128) {
        let now = self.clock.now();
        let face = EnrolledFace {
            consent: Consent {
                at: now,
                recorded_by: Actor::System,
                text: "2026-11".to_owned(),
                given: Default::default(),
            },
            templates: vec![self.template(id, number)],
            look_alikes: Vec::new(),
        };
        let enrolled = |stored: FaceEnrollment| {
            Some(FaceEnrollment {
                face: Some(face.clone()),
                ..stored
            })
        };
        let faces = &self.stores.faces;
        assert!(faces.change(id, now, enrolled).await.unwrap().is_some());
    }

    /// Adds and enrolls an employee, as another instance would.
    async fn enroll(&self, number: u128) -> EmployeeId {
        let id = self.employ(number).await.id;
        self.enroll_face(id, number).await;
        id
    }

    /// Marks an employee as deleted, without further effects.
    async fn delete(&self, employee: &Employee) {
        let mut deleted = employee.clone();
        deleted.settings.active = false;
        deleted.deleted_at = Some(self.clock.now());
        let employees = &self.stores.employees;
        assert_eq!(employees.exchange(employee, &deleted).await, Ok(true));
    }

    /// Stores a photo of an employee, enrolled now.
    async fn photo(&self, employee: EmployeeId) {
        let photo = Photo {
            id: PhotoId::new(self.clock.id()),
            employee,
            sealed: self.vault.seal_photo([1; 12], employee, b"").unwrap(),
            created_at: self.clock.now(),
        };
        self.stores.photos.insert(&photo).await.unwrap();
    }

    async fn photos(&self, of: EmployeeId) -> u64 {
        self.stores.photos.count_by_employee(of).await.unwrap()
    }

    /// Deletes expired records once, with every optional retention enabled.
    async fn purge(&self) -> Purged {
        let ages = Ages {
            punch_pictures: Some(SignedDuration::from_hours(24)),
            ..Ages::default()
        };
        retention::purge(&self.stores, &*self.clock, ages)
            .await
            .unwrap()
    }
}

#[tokio::test]
async fn an_instance_loads_each_change_of_other_instances_once() {
    let world = World::new();
    let Instance { gallery, loader } = world.instance().await;
    assert_eq!(loader.catch_up().await, Ok(0));

    let bob = world.enroll(9).await;
    assert_eq!(loader.catch_up().await, Ok(1));
    assert!(gallery.find(bob).is_some());
    // Written by a clock that is behind the newest change, as on another machine.
    world.clock.advance(-(OVERLAP / 2));
    let ada = world.enroll(1).await;
    world
        .clock
        .advance(OVERLAP / 2 + SignedDuration::from_secs(2));
    assert_eq!(loader.catch_up().await, Ok(1));
    assert!(gallery.find(ada).is_some());
    assert_eq!(
        loader.catch_up().await,
        Ok(0),
        "the same change counts once"
    );

    for id in [ada, bob] {
        let now = world.clock.now();
        assert_eq!(world.stores.faces.forget(id, now).await, Ok(1));
        assert_eq!(loader.catch_up().await, Ok(1));
        assert!(gallery.find(id).is_none());
    }

    // After a long pause, nothing is missed.
    let grace = world.enroll(2).await;
    world.clock.advance(SignedDuration::from_hours(5));
    assert_eq!(loader.catch_up().await, Ok(1));
    assert!(gallery.find(grace).is_some());
    assert_eq!(gallery.people(), 1);
}

#[tokio::test]
async fn only_expired_records_are_deleted() {
    let world = World::new();
    let (stores, clock) = (&world.stores, &*world.clock);
    let session = |number: u8, hours: i64| Session {
        hash: TokenHash([number; 32]),
        account: AccountId::new(Uuid::from_u128(1)),
        created_at: clock.now() - SignedDuration::from_hours(30),
        expires_at: clock.now() + SignedDuration::from_hours(hours),
        used_at: None,
        confirmed_at: Some(clock.now()),
        browser: None,
    };
    for session in [session(1, -1), session(2, 1)] {
        stores.sessions.insert(&session).await.unwrap();
    }
    // An invitation stays for a while after it expired, because it can be sent again.
    for (number, days) in [(1, -29), (2, -31), (3, 7)] {
        let expires_at = clock.now() + SignedDuration::from_hours(24 * days);
        let account = AccountId::new(Uuid::from_u128(1));
        let invitation = Invitation {
            id: InvitationId::new(Uuid::from_u128(number)),
            token: TokenHash([number as u8; 32]),
            purpose: Purpose::Reset {
                account,
                email: Email::parse("a@b.example").unwrap(),
            },
            made_by: Actor::Operator,
            made_at: expires_at,
            expires_at,
            claimed_until: None,
            tries: 0,
        };
        stores.invitations.insert(&invitation).await.unwrap();
    }
    let origin = Origin::Device(DeviceId::new(Uuid::from_u128(1)));
    let kept = |key: &str, hours: i64| KeptAnswer {
        origin,
        request: RequestKey {
            key: IdempotencyKey::parse(key).unwrap(),
            fingerprint: "00".repeat(32),
        },
        answer: "{}".to_owned(),
        at: clock.now() - SignedDuration::from_hours(hours),
    };
    for answer in [kept("old", 25), kept("new", 23)] {
        stores.punches.keep_answer(&answer).await.unwrap();
    }

    let refused = |days: i64| RefusedPunch {
        id: RefusedPunchId::new(clock.id()),
        device: DeviceId::new(Uuid::from_u128(1)),
        site: SiteId::DEFAULT,
        key: IdempotencyKey::parse(&days.to_string()).unwrap(),
        with: PunchedWith::Badge,
        reason: RefusalReason::UnknownBadge,
        at: clock.now(),
        received_at: clock.now() - SignedDuration::from_hours(days * 24),
        employee: None,
        code: None,
        picture: None,
        resolution: None,
    };
    for one in [refused(91), refused(89)] {
        stores.refused_punches.insert(&one).await.unwrap();
    }

    let job = |days: i64| Job {
        id: JobId::new(clock.id()),
        kind: JobKind::new("reembed"),
        payload: String::new(),
        once: None,
        state: JobState::Failed,
        due: None,
        claims: 1,
        attempts: 1,
        done: 0,
        total: 0,
        result: None,
        error: None,
        created_by: Actor::System,
        created_at: clock.now() - SignedDuration::from_hours(30 * 24),
        finished_at: Some(clock.now() - SignedDuration::from_hours(days * 24)),
    };
    let waiting = Job {
        state: JobState::Queued,
        due: Some(clock.now()),
        finished_at: None,
        ..job(0)
    };
    let jobs = [job(15), job(13), waiting];
    for job in &jobs {
        stores.jobs.insert(job).await.unwrap();
    }

    let delivery = |days: i64| Delivery {
        id: clock.id().into(),
        channel: Channel::Mail,
        lane: String::new(),
        topic: "reset".to_owned(),
        at: clock.now() - SignedDuration::from_hours(29 * 24),
        sequence: 0,
        employee: None,
        content: Content::Open("{}".to_owned()),
        patience: 0,
        state: DeliveryState::Delivered,
        due: None,
        attempts: 1,
        first_attempt_at: None,
        status: None,
        error: None,
        ended_at: Some(clock.now() - SignedDuration::from_hours(days * 24)),
    };
    let waiting = Delivery {
        state: DeliveryState::Waiting,
        due: Some(clock.now()),
        ended_at: None,
        ..delivery(0)
    };
    for delivery in [delivery(8), delivery(6), waiting] {
        stores.deliveries.add(&delivery).await.unwrap();
    }

    // An instance crashed while it deleted Ann, before it deleted her face. Bob exists.
    let ann = world.employ(1).await;
    world.enroll_face(ann.id, 1).await;
    world.photo(ann.id).await;
    world.delete(&ann).await;
    let (ann, bob) = (ann.id, world.enroll(2).await);
    world.photo(bob).await;
    clock.advance(SignedDuration::from_secs(1));
    let ended = clock.now() - SignedDuration::from_secs(1);
    let later = clock.now() + SignedDuration::from_secs(1);
    for (key, until) in [("old", ended), ("new", later)] {
        stores.cache.put(key, b"1", until).await.unwrap();
    }

    let entry = |days: i64| AuditEntry {
        id: AuditId::new(clock.id()),
        at: clock.now() - SignedDuration::from_hours(days * 24),
        actor: Actor::System,
        action: "templates.delete".to_owned(),
        subject: ann.to_string(),
        detail: None,
    };
    for entry in [entry(31), entry(29)] {
        stores.audit.append(&entry).await.unwrap();
    }

    let picture = |of, hours: i64| Picture {
        id: PictureId::new(clock.id()),
        at: clock.now() - SignedDuration::from_hours(hours),
        of,
        site: SiteId::DEFAULT,
        origin,
        sealed: world.vault.seal_cached([1; 12], "", b"").unwrap(),
    };
    let of = |employee| Pictured::Punch {
        punch: PunchId::new(clock.id()),
        employee,
    };
    let kept = [picture(of(bob), 23), picture(Pictured::Unknown, 47)];
    let gone = [
        picture(of(bob), 25),
        picture(of(ann), 1),
        picture(Pictured::Unknown, 49),
    ];
    for picture in kept.iter().chain(&gone) {
        stores.pictures.insert(picture).await.unwrap();
    }

    let ages = Ages {
        audit: Some(SignedDuration::from_hours(30 * 24)),
        punch_pictures: Some(SignedDuration::from_hours(24)),
        unknown_faces: Some(SignedDuration::from_hours(48)),
    };
    let purged = retention::purge(stores, clock, ages).await.unwrap();
    for (id, left) in [(ann, 0), (bob, 1)] {
        let enrollment = stores.faces.find(id).await.unwrap().unwrap();
        assert_eq!(enrollment.templates().len(), left);
        assert_eq!(enrollment.consent().is_some(), left == 1);
        assert_eq!(world.photos(id).await, left as u64);
    }
    let changed = stores.faces.changed_since(clock.now()).await.unwrap();
    let changed: Vec<_> = changed.iter().map(|one| one.employee).collect();
    assert_eq!(changed, [ann], "galleries notice the deletion");
    assert_eq!(
        purged,
        Purged {
            invitations: 1,
            sessions: 1,
            answers: 1,
            refused_punches: 1,
            jobs: 1,
            deliveries: 1,
            faces: 1,
            cached: 1,
            audit: 1,
            punch_pictures: 1,
            unknown_faces: 1,
        }
    );
    for (picture, there) in kept
        .iter()
        .map(|one| (one, true))
        .chain(gone.iter().map(|one| (one, false)))
    {
        let found = stores.pictures.find(picture.id).await.unwrap();
        assert_eq!(found.is_some(), there, "{:?}", picture.of);
    }
    // If keeping is turned off, everything that was kept is deleted immediately.
    let off = Ages {
        unknown_faces: None,
        ..ages
    };
    let purged = retention::purge(stores, clock, off).await.unwrap();
    assert_eq!((purged.punch_pictures, purged.unknown_faces), (0, 1));
    let trail = stores.audit.latest(9).await.unwrap();
    assert_eq!(trail.len(), 2);
    // Written by the deletion itself, with the ID of the invitation.
    let expired = (trail[0].action.as_str(), trail[0].subject.clone());
    let id = InvitationId::new(Uuid::from_u128(2));
    assert_eq!(expired, ("invitation.expire", id.to_string()));
    for (job, there) in jobs.iter().zip([false, true, true]) {
        assert_eq!(stores.jobs.find(job.id).await.unwrap().is_some(), there);
    }
    assert!(
        stores
            .sessions
            .find(TokenHash([1; 32]))
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        stores
            .sessions
            .find(TokenHash([2; 32]))
            .await
            .unwrap()
            .is_some()
    );
    for (key, there) in [("old", false), ("new", true)] {
        let key = IdempotencyKey::parse(key).unwrap();
        assert_eq!(
            stores
                .punches
                .kept_answer(origin, &key)
                .await
                .unwrap()
                .is_some(),
            there
        );
    }
    // Kept forever, and for longer than the range of timestamps.
    clock.advance(SignedDuration::from_hours(1_000_000));
    for audit in [None, Some(SignedDuration::from_hours(1 << 40))] {
        let ages = Ages {
            audit,
            ..Ages::default()
        };
        let purged = retention::purge(stores, clock, ages).await;
        assert_eq!(purged.unwrap().audit, 0);
    }
}

#[tokio::test]
async fn photos_without_a_face_are_deleted_after_an_hour() {
    let world = World::new();
    // For Cid, an instance deleted the face and crashed before it deleted the photos. For Dan, it
    // wrote the photos and crashed before it wrote the face.
    let (cid, dan) = (world.enroll(3).await, world.employ(4).await.id);
    world.photo(cid).await;
    let forgotten = world.stores.faces.forget(cid, world.clock.now());
    assert_eq!(forgotten.await, Ok(1));
    world.photo(dan).await;
    let ann = world.enroll(1).await;
    world.photo(ann).await;
    assert_eq!(
        world.purge().await.faces,
        0,
        "an enrollment may be in progress"
    );

    world.clock.advance(SignedDuration::from_mins(59));
    // Eve's face is not written yet.
    let eve = world.employ(5).await.id;
    world.photo(eve).await;
    world.clock.advance(SignedDuration::from_mins(2));
    assert_eq!(world.purge().await.faces, 2);
    for (id, left) in [(cid, 0), (dan, 0), (ann, 1), (eve, 1)] {
        assert_eq!(world.photos(id).await, left, "{id}");
    }
}

#[tokio::test]
async fn the_face_of_a_deleted_employee_is_deleted_immediately() {
    let world = World::new();
    let left = world.employ(1).await;
    world.enroll_face(left.id, 1).await;
    world.photo(left.id).await;
    world.delete(&left).await;
    // An employee without any record.
    let gone = EmployeeId::new(Uuid::from_u128(2));
    world.enroll_face(gone, 2).await;
    let inactive = world.employ(3).await;
    world.enroll_face(inactive.id, 3).await;
    let mut off = inactive.clone();
    off.settings.active = false;
    let employees = &world.stores.employees;
    assert_eq!(employees.exchange(&inactive, &off).await, Ok(true));

    assert_eq!(world.purge().await.faces, 2);
    for (id, stays) in [(left.id, false), (gone, false), (inactive.id, true)] {
        let enrollment = world.stores.faces.find(id).await.unwrap().unwrap();
        assert_eq!(enrollment.face.is_some(), stays, "{id}");
    }
    assert_eq!(world.photos(left.id).await, 0);
    assert_eq!(world.purge().await.faces, 0);
}

#[test]
fn a_clock_that_jumps_forward_deletes_nothing_for_a_day() {
    let (mut guard, begin) = (JumpGuard::default(), Instant::now());
    let last = Timestamp::UNIX_EPOCH;
    let mut permits = |days: i64, hours: u64| {
        let now = last + SignedDuration::from_hours(24 * days);
        guard.permits(now, begin + Duration::from_secs(3600 * hours), Some(last))
    };
    assert!(permits(2, 0), "a weekend without the service");
    assert!(!permits(400, 1));
    assert!(!permits(400, 24));
    assert!(permits(1, 24), "the clock was set right");
    assert!(!permits(400, 25), "another jump is another day");
    assert!(!permits(400, 48));
    assert!(permits(401, 49), "the service was off for more than a year");
    assert!(guard.permits(last, begin, None), "a new installation");
}
