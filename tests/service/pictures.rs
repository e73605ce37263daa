//! Pictures: kept after the punch and never instead of it, of those who agreed, and of strangers
//! now and then.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use rollcall::{
    clock::Clock,
    domain::{
        biometrics::Look,
        cameras::{Camera, Direction, Glance, LookEvery, VisitGap},
        employees::Consent,
        ids::{CameraId, EmployeeId, PictureId, PunchId},
        text::{Name, StreamName},
        tracking::REMEMBERED,
    },
    ports::*,
    service::{
        pictures::{Keeps, PictureError, UNKNOWN_EVERY},
        probing::Probing,
        punching::{Outcome, PunchRequest},
        watching::{Looked, Watching},
    },
    vault::VaultError,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::world::{ADMIN, Instance, instance, samples};

const BOTH: Keeps = Keeps {
    punches: true,
    unknown: true,
};

fn burst(texts: &[&str], look: Look) -> PunchRequest {
    PunchRequest {
        samples: samples(texts),
        kind: None,
        captured_at: None,
        key: None,
        look,
    }
}

/// Punches, and says which.
async fn punched(world: &Instance, texts: &[&str]) -> PunchId {
    let kiosk = world.kiosk().await;
    let answer = world.punch(&kiosk, burst(texts, Look::FIRST)).await;
    match answer.unwrap().outcome {
        Outcome::Punched { punch } => punch.id,
        other => panic!("no punch but {other:?}"),
    }
}

/// Makes all pictures that are wanted; none is made after that.
async fn made(world: &Instance) {
    let stop = CancellationToken::new();
    stop.cancel();
    world.pictures.work(stop).await;
}

async fn unknown(world: &Instance) -> Vec<StoredPicture> {
    let page = Page {
        after: None,
        limit: 100,
    };
    world.pictures.unknown_faces(&page).await.unwrap()
}

async fn trail(world: &Instance, action: &str) -> Vec<String> {
    let entries = world.stores.audit.latest(100).await.unwrap();
    let entries = entries.into_iter().filter(|entry| entry.action == action);
    entries.map(|entry| entry.subject).collect()
}

#[tokio::test]
async fn the_best_frame_of_a_punch_is_kept_sealed_and_looking_is_noted() {
    let world = instance().await.keeping(BOTH);
    world.enrolled("ann").await;
    let frames = [
        "ann~0.2#a sharpness=90",
        "ann~0.2#b",
        "ann~0.2#c sharpness=80",
    ];
    let punch = punched(&world, &frames).await;
    made(&world).await;
    let stored = world.stores.pictures.of_punch(punch).await.unwrap();
    let stored = stored.unwrap();
    let plain = b"ann~0.2#b";
    let sealed = &stored.sealed.ciphertext;
    assert!(!sealed.windows(plain.len()).any(|bytes| bytes == plain));
    assert!(!format!("{stored:?}").contains("ann~"));
    let found = world.pictures.of_punch(punch).await.unwrap().unwrap();
    let shown = world.pictures.look(ADMIN, &found).await.unwrap();
    assert_eq!(shown.as_slice(), plain);
    assert_eq!(
        trail(&world, "punch_picture.look").await,
        [punch.to_string()]
    );
    // Of somebody else's punch it is worth nothing.
    let forged = StoredPicture {
        id: PictureId::new(Uuid::now_v7()),
        of: Pictured::Punch {
            punch: PunchId::new(Uuid::now_v7()),
            employee: EmployeeId::new(Uuid::now_v7()),
        },
        ..stored
    };
    world.stores.pictures.insert(&forged).await.unwrap();
    let Pictured::Punch { punch, .. } = forged.of else {
        unreachable!()
    };
    let found = world.pictures.of_punch(punch).await.unwrap().unwrap();
    let shown = world.pictures.look(ADMIN, &found).await;
    assert!(matches!(
        shown,
        Err(PictureError::Vault(VaultError::Forged))
    ));
}

#[tokio::test]
async fn nothing_is_kept_unless_the_site_and_the_person_want_it() {
    for (keeps, text, expected) in [
        (Keeps::default(), None, false),
        (BOTH, None, true),
        (BOTH, Some("2026-11.2"), false),
    ] {
        let world = instance().await.keeping(keeps);
        let ann = world.enrolled("ann").await;
        if let Some(text) = text {
            let consent = Consent {
                text: text.to_owned(),
                ..ann.consent.unwrap()
            };
            let set = world
                .stores
                .employees
                .set_enrolled(ann.id, 2, Some(&consent));
            assert_eq!(set.await, Ok(true));
        }
        let punch = punched(&world, &["ann~0.2#a"]).await;
        let kiosk = world.kiosk().await;
        let stranger = world.punch(&kiosk, burst(&["eve#1"], Look::FIRST)).await;
        assert_eq!(stranger.unwrap().outcome.name(), "nobody");
        made(&world).await;
        let kept = world.stores.pictures.of_punch(punch).await.unwrap();
        assert_eq!(kept.is_some(), expected, "{keeps:?} {text:?}");
        assert_eq!(unknown(&world).await.len(), usize::from(keeps.unknown));
    }
}

#[tokio::test]
async fn a_deleted_face_takes_its_pictures_along_also_those_under_way() {
    let world = instance().await.keeping(BOTH);
    let ann = world.enrolled("ann").await;
    let before = punched(&world, &["ann~0.2#a"]).await;
    made(&world).await;
    assert!(
        world
            .stores
            .pictures
            .of_punch(before)
            .await
            .unwrap()
            .is_some()
    );
    world.employees.delete_face(ADMIN, ann.id).await.unwrap();
    assert_eq!(world.stores.pictures.of_punch(before).await, Ok(None));

    // Punched, and the face is deleted before the picture is made.
    let world = instance().await.keeping(BOTH);
    let ann = world.enrolled("ann").await;
    let punch = punched(&world, &["ann~0.2#b"]).await;
    world.employees.delete(ADMIN, ann.id).await.unwrap();
    made(&world).await;
    assert_eq!(world.stores.pictures.of_punch(punch).await, Ok(None));
}

/// A store that has no room for pictures.
struct Full(Arc<dyn PictureStore>);

#[async_trait]
impl PictureStore for Full {
    async fn insert(&self, _: &StoredPicture) -> Result<(), StoreError> {
        Err(StoreError::Refused("it is full"))
    }
    async fn find(&self, id: PictureId) -> Result<Option<StoredPicture>, StoreError> {
        self.0.find(id).await
    }
    async fn of_punch(&self, punch: PunchId) -> Result<Option<StoredPicture>, StoreError> {
        self.0.of_punch(punch).await
    }
    async fn list(
        &self,
        kind: PictureKind,
        page: &Page<(Timestamp, PictureId)>,
    ) -> Result<Vec<StoredPicture>, StoreError> {
        self.0.list(kind, page).await
    }
    async fn reseal(&self, was: &StoredPicture, sealed: &Sealed) -> Result<bool, StoreError> {
        self.0.reseal(was, sealed).await
    }
    async fn delete(&self, id: PictureId) -> Result<bool, StoreError> {
        self.0.delete(id).await
    }
    async fn delete_of(&self, employee: EmployeeId) -> Result<u64, StoreError> {
        self.0.delete_of(employee).await
    }
    async fn purge(&self, kind: PictureKind, before: Timestamp) -> Result<u64, StoreError> {
        self.0.purge(kind, before).await
    }
}

#[tokio::test]
async fn a_picture_that_cannot_be_kept_costs_no_punch() {
    let world = instance().await.keeping(BOTH);
    world.enrolled("ann").await;
    let mut stores = world.stores.clone();
    stores.pictures = Arc::new(Full(stores.pictures));
    let full = world.on(stores).keeping(BOTH);
    full.references.fill().await.unwrap();
    let punch = punched(&full, &["ann~0.2#a"]).await;
    made(&full).await;
    assert!(full.punching.find(punch).await.unwrap().is_some());
    assert_eq!(full.stores.pictures.of_punch(punch).await, Ok(None));
    // Whoever makes them has stopped: the next punch is written all the same.
    full.clock.advance(SignedDuration::from_mins(5));
    let next = punched(&full, &["ann~0.2#b"]).await;
    assert!(full.punching.find(next).await.unwrap().is_some());
}

#[tokio::test]
async fn a_stranger_who_stands_there_is_kept_once_a_minute_and_device() {
    let world = instance().await.keeping(BOTH);
    world.enrolled("ann").await;
    let (one, other) = (world.kiosk().await, world.kiosk().await);
    let more = burst(&["eve#1"], Look::FIRST);
    for _ in 0..5 {
        world.punch(&one, more.clone()).await.unwrap();
    }
    world.punch(&other, more.clone()).await.unwrap();
    // Not good enough, and nobody at all: there is nothing to keep.
    for poor in ["eve#1 sharpness=1", ""] {
        world
            .punch(&one, burst(&[poor], Look::FIRST))
            .await
            .unwrap();
    }
    made(&world).await;
    let faces = unknown(&world).await;
    assert_eq!(faces.len(), 2);
    assert!(faces.iter().any(|face| face.device == one.id));
    let found = world.pictures.unknown_face(faces[0].id).await.unwrap();
    let shown = world.pictures.look(ADMIN, &found.unwrap()).await;
    assert_eq!(shown.unwrap().as_slice(), b"eve#1");
    assert_eq!(
        world.pictures.delete_unknown(ADMIN, faces[0].id).await,
        Ok(true)
    );
    assert_eq!(
        world.pictures.delete_unknown(ADMIN, faces[0].id).await,
        Ok(false)
    );
    assert_eq!(unknown(&world).await, faces[1..]);
    let id = [faces[0].id.to_string()];
    assert_eq!(trail(&world, "unknown_face.look").await, id);
    assert_eq!(trail(&world, "unknown_face.delete").await, id);
}

/// Sees nothing move.
struct Still;

#[async_trait]
impl Glancing for Still {
    async fn glance(&self, _: Sample) -> Result<Glance, SampleError> {
        Ok(Glance::new([100; Glance::CELLS]))
    }
}

fn watching(world: &Instance) -> Watching {
    Watching::new(
        world.engine.clone(),
        Arc::new(Still),
        Arc::new(Probing::new(world.engine.clone(), Some(0.5)).with_stills(true)),
        world.punching.clone(),
        world.clock.clone(),
    )
}

fn camera(created_at: Timestamp) -> Camera {
    Camera {
        id: CameraId::new(Uuid::now_v7()),
        name: Name::parse("Hall").unwrap(),
        stream: StreamName::parse("hall").unwrap(),
        site: None,
        direction: Direction::default(),
        hours: None,
        every: LookEvery::default(),
        visit: VisitGap::default(),
        active: true,
        created_at,
        removed_at: None,
        viewers: None,
    }
}

#[tokio::test]
async fn whose_face_is_deleted_is_nobody_also_while_they_stay_in_view() {
    let world = instance().await;
    let ann = world.enrolled("ann").await;
    let watching = watching(&world);
    let mut watch = watching.begin(camera(world.clock.now()), &[]);
    let mut number = 0;
    let mut look = async || {
        let mut last = None;
        for _ in 0..30 {
            number += 1;
            let text = format!("ann~0.2#{number}");
            world.clock.advance(SignedDuration::from_millis(200));
            let picture = Sample::new(text.into_bytes());
            if let Looked::Faces(view) = watching.look(&mut watch, picture).await.looked {
                last = Some(view.faces[0].1);
            }
        }
        last.unwrap()
    };
    assert_eq!(look().await, Some(ann.id));
    world.employees.delete_face(ADMIN, ann.id).await.unwrap();
    assert_eq!(look().await, None);
    let photos = ["ann~0.1#3", "ann~0.1#4"];
    let other = world.person("anna").await.id;
    world.enroll(other, &photos).await.unwrap();
    assert_eq!(look().await, None, "strangers have had their looks");
    world.clock.advance(REMEMBERED);
    assert_eq!(look().await, Some(other));
}

#[tokio::test]
async fn a_camera_keeps_one_picture_of_a_stranger_who_passed_and_none_of_who_is_known() {
    let world = instance().await.keeping(BOTH);
    world.enrolled("ann").await;
    let watching = watching(&world);
    let mut watch = watching.begin(camera(world.clock.now()), &[]);
    let (pictures, stop) = (world.pictures.clone(), CancellationToken::new());
    let making = tokio::spawn({
        let stop = stop.clone();
        async move { pictures.work(stop).await }
    });
    for (who, pictures) in [("eve", 30), ("", 20), ("ann", 30), ("", 20)] {
        for number in 0..pictures {
            let text = match who {
                "" => String::new(),
                who => format!("{who}~0.2#{number}"),
            };
            world.clock.advance(SignedDuration::from_millis(200));
            watching
                .look(&mut watch, Sample::new(text.into_bytes()))
                .await;
        }
        // The next one is not left out because another one was before the camera just now.
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        world.clock.advance(UNKNOWN_EVERY.try_into().unwrap());
    }
    assert!(watching.write_waiting().await);
    stop.cancel();
    making.await.unwrap();
    let faces = unknown(&world).await;
    assert_eq!(faces.len(), 1);
    let found = world.pictures.unknown_face(faces[0].id).await.unwrap();
    let shown = world.pictures.look(ADMIN, &found.unwrap()).await;
    assert!(shown.unwrap().starts_with(b"eve~0.2#"));
    let page = Page {
        after: None,
        limit: 10,
    };
    let kept = world.stores.pictures.list(PictureKind::Punch, &page).await;
    assert_eq!(kept.unwrap().len(), 1, "of Ann's punch");
}
