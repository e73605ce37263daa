//! Pictures of punches: kept after the punch and never instead of it, only with consent; and
//! rate-limited pictures of strangers.

use jiff::SignedDuration;
use rollcall::{
    domain::{
        attendance::Origin,
        biometrics::Look,
        grants::Reach,
        ids::{EmployeeId, PictureId, PunchId},
        pictures::{Picture, PictureKind, Pictured},
        record::Record,
        tracking::REMEMBERED,
    },
    ports::{Page, Sample, StoreError},
    service::{
        camera_pipeline::Looked,
        face_punches::{Outcome, PunchRequest},
        pictures::{Keeps, PictureError, UNKNOWN_EVERY},
    },
    vault::VaultError,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    failing_engine::Call,
    world::{ADMIN, Instance, instance, samples},
};

const BOTH: Keeps = Keeps {
    punches: true,
    unknown: true,
};

fn burst(texts: &[&str], look: Look) -> PunchRequest {
    PunchRequest {
        samples: samples(texts),
        kind: None,
        capture: None,
        key: None,
        look,
        instead_of: None,
    }
}

/// Punches; returns the ID.
async fn punched(world: &Instance, texts: &[&str]) -> PunchId {
    let kiosk = world.kiosk().await;
    let answer = world.punch(&kiosk, burst(texts, Look::FIRST)).await;
    match answer.unwrap().outcome {
        Outcome::Punched { punch } => punch.id,
        other => panic!("no punch but {other:?}"),
    }
}

/// Creates all pictures that are due.
async fn made(world: &Instance) {
    let stop = CancellationToken::new();
    stop.cancel();
    world.pictures.work(stop).await;
}

async fn unknown(world: &Instance) -> Vec<Picture> {
    let page = Page {
        after: None,
        limit: 100,
    };
    world
        .pictures
        .unknown_faces(&Reach::Everything, &page)
        .await
        .unwrap()
}

async fn trail(world: &Instance, action: &str) -> Vec<String> {
    let entries = world.stores.audit.latest(100).await.unwrap();
    let entries = entries.into_iter().filter(|entry| entry.action == action);
    entries.map(|entry| entry.subject).collect()
}

#[tokio::test(start_paused = true)]
async fn the_best_frame_of_a_punch_is_kept_sealed_and_viewing_is_audited() {
    let world = instance().keeping(BOTH);
    world.enrolled("ann").await;
    let frames = [
        // Without a face in the first frame, a quick look does not suffice.
        "",
        "ann~0.2#a sharpness=90",
        "ann~0.2#b",
        "ann~0.2#c sharpness=80",
    ];
    let punch = punched(&world, &frames).await;
    made(&world).await;
    let stored = world.stores.pictures.find_by_punch(punch).await.unwrap();
    let stored = stored.unwrap();
    let plain = b"ann~0.2#b";
    let sealed = &stored.sealed.ciphertext;
    assert!(!sealed.windows(plain.len()).any(|bytes| bytes == plain));
    assert!(!format!("{stored:?}").contains("ann~"));
    let found = world
        .pictures
        .find_by_punch(&Reach::Everything, punch)
        .await
        .unwrap()
        .unwrap();
    let shown = world.pictures.look(ADMIN, &found).await.unwrap();
    assert_eq!(shown.as_slice(), plain);
    assert_eq!(
        trail(&world, "punch_picture.look").await,
        [punch.to_string()]
    );
    // It does not open for a punch of another person.
    let forged = Picture {
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
    let found = world
        .pictures
        .find_by_punch(&Reach::Everything, punch)
        .await
        .unwrap()
        .unwrap();
    let shown = world.pictures.look(ADMIN, &found).await;
    assert!(matches!(
        shown,
        Err(PictureError::Vault(VaultError::Forged))
    ));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_kept_without_the_setting_and_the_consent() {
    for (keeps, text, expected) in [
        (Keeps::default(), None, false),
        (BOTH, None, true),
        (BOTH, Some("2026-11.2"), false),
    ] {
        let world = instance().keeping(keeps);
        let ann = world.enrolled("ann").await;
        if let Some(text) = text {
            world
                .change_face(ann.id, |face| face.consent.text = text.to_owned())
                .await;
        }
        let punch = punched(&world, &["ann~0.2#a"]).await;
        let kiosk = world.kiosk().await;
        let stranger = world.punch(&kiosk, burst(&["eve#1"], Look::FIRST)).await;
        assert_eq!(stranger.unwrap().outcome.name(), "nobody");
        made(&world).await;
        let kept = world.stores.pictures.find_by_punch(punch).await.unwrap();
        assert_eq!(kept.is_some(), expected, "{keeps:?} {text:?}");
        assert_eq!(unknown(&world).await.len(), usize::from(keeps.unknown));
    }
}

#[tokio::test(start_paused = true)]
async fn deleting_a_face_deletes_its_pictures_also_pending_ones() {
    let world = instance().keeping(BOTH);
    let ann = world.enrolled("ann").await;
    let before = punched(&world, &["ann~0.2#a"]).await;
    made(&world).await;
    assert!(
        world
            .stores
            .pictures
            .find_by_punch(before)
            .await
            .unwrap()
            .is_some()
    );
    world
        .employees
        .delete_face(&Reach::Everything, ADMIN, ann.id)
        .await
        .unwrap();
    assert_eq!(world.stores.pictures.find_by_punch(before).await, Ok(None));

    // Punched, and the face is deleted before the picture is created.
    let world = instance().keeping(BOTH);
    let ann = world.enrolled("ann").await;
    let punch = punched(&world, &["ann~0.2#b"]).await;
    world
        .employees
        .delete(&Reach::Everything, ADMIN, ann.id)
        .await
        .unwrap();
    made(&world).await;
    assert_eq!(world.stores.pictures.find_by_punch(punch).await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn a_picture_that_cannot_be_kept_costs_no_punch() {
    let full = instance().keeping(BOTH);
    full.enrolled("ann").await;
    full.site.store.fail(|kind, call| {
        let picture = kind == Picture::KIND && matches!(call, Call::Put(_));
        picture.then_some(StoreError::Refused("it is full"))
    });
    let punch = punched(&full, &["ann~0.2#a"]).await;
    made(&full).await;
    let found = full.ledger.find(&Reach::Everything, punch).await;
    assert!(found.unwrap().is_some());
    assert_eq!(full.stores.pictures.find_by_punch(punch).await, Ok(None));
    // The worker has stopped: the next punch is still written.
    full.clock.advance(SignedDuration::from_mins(5));
    let next = punched(&full, &["ann~0.2#b"]).await;
    let found = full.ledger.find(&Reach::Everything, next).await;
    assert!(found.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_stranger_is_kept_once_per_minute_and_device() {
    let world = instance().keeping(BOTH);
    world.enrolled("ann").await;
    let (one, other) = (world.kiosk().await, world.kiosk().await);
    let more = burst(&["eve#1"], Look::FIRST);
    for _ in 0..5 {
        world.punch(&one, more.clone()).await.unwrap();
    }
    world.punch(&other, more.clone()).await.unwrap();
    // A poor picture, and one without a person: there is nothing to keep.
    for poor in ["eve#1 sharpness=1", ""] {
        world
            .punch(&one, burst(&[poor], Look::FIRST))
            .await
            .unwrap();
    }
    made(&world).await;
    let faces = unknown(&world).await;
    assert_eq!(faces.len(), 2);
    assert!(
        faces
            .iter()
            .any(|face| face.origin == Origin::Device(one.id))
    );
    let found = world
        .pictures
        .unknown_face(&Reach::Everything, faces[0].id)
        .await
        .unwrap();
    let shown = world.pictures.look(ADMIN, &found.unwrap()).await;
    assert_eq!(shown.unwrap().as_slice(), b"eve#1");
    assert_eq!(
        world
            .pictures
            .delete_unknown(&Reach::Everything, ADMIN, faces[0].id)
            .await,
        Ok(true)
    );
    assert_eq!(
        world
            .pictures
            .delete_unknown(&Reach::Everything, ADMIN, faces[0].id)
            .await,
        Ok(false)
    );
    assert_eq!(unknown(&world).await, faces[1..]);
    let id = [faces[0].id.to_string()];
    assert_eq!(trail(&world, "unknown_face.look").await, id);
    assert_eq!(trail(&world, "unknown_face.delete").await, id);
}

#[tokio::test(start_paused = true)]
async fn a_person_whose_face_is_deleted_becomes_nobody_while_in_view() {
    let world = instance();
    let ann = world.enrolled("ann").await;
    let watching = &world.watching;
    let mut watch = watching.begin(world.camera("hall"), &[]);
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
    world
        .employees
        .delete_face(&Reach::Everything, ADMIN, ann.id)
        .await
        .unwrap();
    assert_eq!(look().await, None);
    let photos = ["ann~0.1#3", "ann~0.1#4"];
    let other = world.person("anna").await.id;
    world.enroll(other, &photos).await.unwrap();
    assert_eq!(look().await, None, "strangers have had their looks");
    world.clock.advance(REMEMBERED);
    assert_eq!(look().await, Some(other));
}

#[tokio::test(start_paused = true)]
async fn a_camera_keeps_one_picture_of_a_passing_stranger_and_none_of_employees() {
    let world = instance().keeping(BOTH);
    world.enrolled("ann").await;
    let watching = &world.watching;
    let mut watch = watching.begin(world.camera("hall"), &[]);
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
        // The next stranger is kept, although another one has just passed.
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        world.clock.advance(UNKNOWN_EVERY.try_into().unwrap());
    }
    assert!(watching.write_waiting().await);
    stop.cancel();
    making.await.unwrap();
    let faces = unknown(&world).await;
    assert_eq!(faces.len(), 1);
    let found = world
        .pictures
        .unknown_face(&Reach::Everything, faces[0].id)
        .await
        .unwrap();
    let shown = world.pictures.look(ADMIN, &found.unwrap()).await;
    assert!(shown.unwrap().starts_with(b"eve~0.2#"));
    let page = Page {
        after: None,
        limit: 10,
    };
    let kept = world
        .stores
        .pictures
        .list(&Reach::Everything, PictureKind::Punch, &page)
        .await;
    assert_eq!(kept.unwrap().len(), 1, "of Ann's punch");
}
