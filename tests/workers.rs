//! The standing tasks, on a real store: what one instance learns of another's enrollments, and
//! what is deleted when it had its time.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use jiff::{SignedDuration, Timestamp};
use rollcall::{
    clock::{Clock, SystemClock},
    domain::{
        accounts::{Actor, Session, TokenHash},
        attendance::{PunchSource, RequestKey},
        audit::AuditEntry,
        biometrics::{Embedding, ModelId, Views},
        employees::{Consent, Employee},
        ids::{
            AccountId, AuditId, DeviceId, EmployeeId, JobId, PhotoId, PictureId, PunchId,
            TemplateId,
        },
        jobs::{Job, JobKind, JobState},
        quality::Quality,
        text::{Code, IdempotencyKey, Name},
    },
    gallery::MemoryGallery,
    ports::{Gallery, KeptAnswer, Pictured, StoredPhoto, StoredPicture, StoredTemplate, Stores},
    service::{feed::Feed, references::References},
    storage::{memory::MemoryBus, sqlite::SqliteStore},
    telemetry::Health,
    vault::Vault,
    workers::{
        gallery_sync::{GallerySync, OVERLAP},
        retention::{self, Ages, Purged},
    },
};
use uuid::Uuid;
use zeroize::Zeroizing;

/// A clock that a test sets; identities and secrets are the system's.
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
    stores: Stores,
    clock: Arc<TestClock>,
    vault: Arc<Vault>,
    model: ModelId,
    _folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("rollcall.db"))
            .await
            .unwrap();
        Self {
            stores: Stores::of(Arc::new(store)),
            clock: Arc::new(TestClock(AtomicI64::new(1_800_000_000_000))),
            vault: Arc::new(Vault::new(&Zeroizing::new([7; 32]), &[])),
            model: ModelId::new("test"),
            _folder: folder,
        }
    }

    /// What another instance does to enroll somebody.
    async fn enroll(&self, number: u128) -> EmployeeId {
        let now = self.clock.now();
        let id = EmployeeId::new(Uuid::from_u128(number));
        let employee = Employee {
            id,
            name: Name::parse("Ada").unwrap(),
            code: Code::parse(&number.to_string()).unwrap(),
            site: None,
            active: true,
            consent: Some(Consent {
                at: now,
                recorded_by: Actor::System,
                text: "2026-11".to_owned(),
            }),
            templates: 1,
            created_at: now,
            deleted_at: None,
        };
        let embedding = Embedding::normalise(vec![1.0, number as f32]).unwrap();
        let template = StoredTemplate {
            id: TemplateId::new(self.clock.id()),
            employee: id,
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
            created_at: now,
        };
        self.stores.employees.insert(&employee).await.unwrap();
        self.stores
            .templates
            .insert(&[template], &[])
            .await
            .unwrap();
        self.stores.templates.mark_changed(id, now).await.unwrap();
        id
    }
}

#[tokio::test]
async fn an_instance_learns_of_enrollments_and_deletions_made_elsewhere_once() {
    let world = World::new().await;
    let gallery: Arc<dyn Gallery> = Arc::new(MemoryGallery::new(2));
    let references = Arc::new(References::new(
        world.stores.clone(),
        world.vault.clone(),
        gallery.clone(),
        world.model.clone(),
        Feed::new(Arc::new(MemoryBus::default())),
    ));
    let mut sync = GallerySync::new(
        references,
        world.stores.templates.clone(),
        world.clock.clone(),
        Arc::new(Health::default()),
        world.clock.now(),
    );
    assert_eq!(sync.step().await.unwrap(), 0);

    // Noted by a clock that is behind ours, as that of another machine may be.
    world.clock.advance(-(OVERLAP / 2));
    let ada = world.enroll(1).await;
    world
        .clock
        .advance(OVERLAP / 2 + SignedDuration::from_secs(2));
    assert_eq!(sync.step().await.unwrap(), 1);
    assert!(gallery.find(ada).is_some());
    assert_eq!(sync.step().await.unwrap(), 0, "the same change counts once");

    world.stores.templates.delete_of(ada).await.unwrap();
    world
        .stores
        .templates
        .mark_changed(ada, world.clock.now())
        .await
        .unwrap();
    assert_eq!(sync.step().await.unwrap(), 1);
    assert!(gallery.find(ada).is_none());

    // After a long pause nothing is missed.
    let grace = world.enroll(2).await;
    world.clock.advance(SignedDuration::from_hours(5));
    assert_eq!(sync.step().await.unwrap(), 1);
    assert!(gallery.find(grace).is_some());
    assert_eq!(gallery.people(), 1);
}

#[tokio::test]
async fn what_has_had_its_time_is_deleted_and_nothing_else() {
    let world = World::new().await;
    let (stores, clock) = (&world.stores, &*world.clock);
    let session = |number: u8, hours: i64| Session {
        hash: TokenHash([number; 32]),
        account: AccountId::new(Uuid::from_u128(1)),
        created_at: clock.now() - SignedDuration::from_hours(30),
        expires_at: clock.now() + SignedDuration::from_hours(hours),
    };
    for session in [session(1, -1), session(2, 1)] {
        stores.sessions.insert(&session).await.unwrap();
    }
    let device = DeviceId::new(Uuid::from_u128(1));
    let kept = |key: &str, hours: i64| KeptAnswer {
        device,
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

    let job = |days: i64| Job {
        id: JobId::new(clock.id()),
        kind: JobKind::Reembed,
        payload: String::new(),
        once: None,
        state: JobState::Failed,
        due: None,
        turn: 1,
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

    // A crash between two writes: of Ann there are templates without consent, Bob consents.
    let (ann, bob) = (world.enroll(1).await, world.enroll(2).await);
    stores.employees.set_enrolled(ann, 1, None).await.unwrap();
    // And of Cid, who does not either, a photo alone.
    let cid = world.enroll(3).await;
    stores.templates.delete_of(cid).await.unwrap();
    stores.employees.set_enrolled(cid, 0, None).await.unwrap();
    let photo = StoredPhoto {
        id: PhotoId::new(clock.id()),
        employee: cid,
        sealed: world.vault.seal_photo([1; 12], cid, b"").unwrap(),
        created_at: clock.now(),
    };
    stores.templates.insert(&[], &[photo]).await.unwrap();
    clock.advance(SignedDuration::from_secs(1));
    let ended = clock.now() - SignedDuration::from_secs(1);
    let later = clock.now() + SignedDuration::from_secs(1);
    for (key, until) in [("old", ended), ("new", later)] {
        let values = [(key.to_owned(), b"1".to_vec())];
        stores.cache.put(&values, ended, until).await.unwrap();
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

    let picture = |of, hours: i64| StoredPicture {
        id: PictureId::new(clock.id()),
        at: clock.now() - SignedDuration::from_hours(hours),
        of,
        source: PunchSource::Device,
        device,
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
        let templates = stores.templates.of_employee(id).await.unwrap();
        let employee = stores.employees.find(id).await.unwrap().unwrap();
        assert_eq!((templates.len(), employee.templates), (left, left as u32));
    }
    assert!(stores.templates.photos_of(cid).await.unwrap().is_empty());
    let mut told = stores.templates.changed_since(clock.now()).await.unwrap();
    told.sort();
    let mut gone_from = [(ann, clock.now()), (cid, clock.now())];
    gone_from.sort();
    assert_eq!(told, gone_from, "galleries let go of them");
    assert_eq!(
        purged,
        Purged {
            sessions: 1,
            answers: 1,
            jobs: 1,
            faces: 2,
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
    // Switched off, what was kept until then goes at once.
    let off = Ages {
        unknown_faces: None,
        ..ages
    };
    let purged = retention::purge(stores, clock, off).await.unwrap();
    assert_eq!((purged.punch_pictures, purged.unknown_faces), (0, 1));
    assert_eq!(stores.audit.latest(9).await.unwrap().len(), 1);
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
                .kept_answer(device, &key)
                .await
                .unwrap()
                .is_some(),
            there
        );
    }
    // Kept for ever, and for longer than there has been time.
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
