//! Galleries of several instances on one store: each loads what the others enroll and delete.

use std::{sync::Arc, time::Duration};

use jiff::SignedDuration;
use rollcall::{
    domain::{faces::FaceEnrollment, grants::Reach, record::Record},
    ports::Gallery,
    service::{enrollment::EnrollError, gallery_loader::ReferenceError},
    telemetry::Health,
    workers::gallery_sync::{EVERY, GallerySync},
};
use tokio_util::sync::CancellationToken;

use crate::world::{ADMIN, instance, steps};

#[tokio::test(start_paused = true)]
async fn only_one_of_two_instances_enrolls_one_face_for_two_people() {
    for round in 0..12 {
        let one = instance();
        let other = one.another();
        let (ann, twin) = (one.person("ann").await, one.person("twin").await);
        let first = async {
            steps(round / 2 * 4).await;
            one.enroll(ann.id, &["ann~0.1#1"]).await
        };
        let second = other.enroll(twin.id, &["ann~0.1#2"]);
        // Either may be polled first.
        let (first, second) = match round % 2 {
            0 => futures::join!(first, second),
            _ => {
                let (second, first) = futures::join!(second, first);
                (first, second)
            }
        };
        let (winner, loser, refused) = match (first, second) {
            (Ok(_), Err(refused)) => (&ann, &twin, refused),
            (Err(refused), Ok(_)) => (&twin, &ann, refused),
            (first, second) => panic!("round {round}: {first:?}, {second:?}"),
        };
        let EnrollError::Duplicate { other: taken, .. } = refused else {
            panic!("round {round}: {refused:?}")
        };
        assert_eq!(taken.id, winner.id, "round {round}");
        assert!(one.face(winner.id).await.is_some());
        assert_eq!(one.face(loser.id).await, None);
        let photos = one.stores.photos.count_by_employee(loser.id).await;
        assert_eq!(photos, Ok(0), "round {round}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_instance_whose_clock_is_ahead_sees_what_others_change() {
    let world = instance();
    let ann = world.enrolled("ann").await;
    let ahead = world.with_clock(SignedDuration::from_hours(1));
    ahead.loader.fill().await.unwrap();
    let bob = world.enrolled("bob").await;
    assert_eq!(ahead.loader.catch_up().await, Ok(1));
    assert!(ahead.gallery.find(bob.id).is_some());
    world
        .employees
        .delete_face(&Reach::Everything, ADMIN, ann.id)
        .await
        .unwrap();
    assert_eq!(ahead.loader.catch_up().await, Ok(1));
    assert_eq!(ahead.gallery.find(ann.id), None);
    assert_eq!(ahead.loader.catch_up().await, Ok(0));
}

#[tokio::test(start_paused = true)]
async fn an_instance_whose_clock_is_ahead_hides_no_changes_of_others() {
    let world = instance();
    let (reader, ahead) = (
        world.another(),
        world.with_clock(SignedDuration::from_hours(1)),
    );
    let ann = ahead.enrolled("ann").await;
    assert_eq!(reader.loader.catch_up().await, Ok(1));
    let bob = world.enrolled("bob").await;
    assert_eq!(reader.loader.catch_up().await, Ok(1));
    let found = [ann.id, bob.id].map(|id| reader.gallery.find(id).is_some());
    assert_eq!(found, [true, true]);
    world
        .employees
        .delete_face(&Reach::Everything, ADMIN, bob.id)
        .await
        .unwrap();
    assert_eq!(reader.loader.catch_up().await, Ok(1));
    assert_eq!(reader.gallery.find(bob.id), None);
    // As time goes by, the change from the future becomes an ordinary one.
    world.clock.advance(SignedDuration::from_hours(2));
    let cid = world.enrolled("cid").await;
    assert_eq!(reader.loader.catch_up().await, Ok(1));
    assert!(reader.gallery.find(cid.id).is_some());
    assert_eq!(reader.loader.catch_up().await, Ok(0));
}

#[tokio::test(start_paused = true)]
async fn a_full_comparison_finds_missed_changes() {
    let world = instance();
    let (ann, bob) = (world.enrolled("ann").await, world.enrolled("bob").await);
    let other = world.another();
    other.loader.fill().await.unwrap();
    // Stamped long before the newest change that was loaded.
    let behind = world.with_clock(-SignedDuration::from_hours(1));
    let cid = behind.enrolled("cid").await;
    // Only the record of an employee changes.
    let mut inactive = ann.employee.clone();
    inactive.settings.active = false;
    let employees = &world.stores.employees;
    assert_eq!(employees.exchange(&ann, &inactive).await, Ok(true));
    // A whole record is deleted, which no instance does.
    let record = [(bob.id.to_string(), None)];
    let deleted = world.stores.engine.delete(FaceEnrollment::KIND, &record);
    assert_eq!(deleted.await, Ok(1));

    assert_eq!(other.loader.catch_up().await, Ok(0));
    assert_eq!(other.gallery.people(), 2);
    assert_eq!(other.loader.reconcile().await, Ok(2), "cid and ann");
    let found = [ann.id, bob.id, cid.id].map(|id| other.gallery.find(id).is_some());
    assert_eq!(found, [false, false, true]);
    assert_eq!(other.loader.reconcile().await, Ok(0), "nothing has changed");

    // She returns, and again only her record changes.
    assert_eq!(employees.exchange(&inactive, &ann).await, Ok(true));
    assert_eq!(other.loader.catch_up().await, Ok(0));
    assert_eq!(other.loader.reconcile().await, Ok(1));
    assert!(other.gallery.find(ann.id).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_face_that_no_key_opens_is_not_recognized() {
    let world = instance();
    let (ann, bob) = (world.enrolled("ann").await, world.enrolled("bob").await);
    let other = world.another();
    other.loader.fill().await.unwrap();
    assert_eq!(other.gallery.people(), 2);
    world
        .change_face(ann.id, |face| {
            // Sealed with a missing key.
            face.templates[0].sealed.key_id = "lost".to_owned();
        })
        .await;
    assert_eq!(other.loader.catch_up().await, Ok(1));
    let found = [ann.id, bob.id].map(|id| other.gallery.find(id).is_some());
    assert_eq!(found, [false, true]);

    let refreshed = world.loader.refresh(ann.id).await;
    assert!(
        matches!(refreshed, Err(ReferenceError::Sealed { employee, .. }) if employee == ann.id)
    );
    assert_eq!(world.gallery.find(ann.id), None);
}

#[tokio::test(start_paused = true)]
async fn an_enrollment_reaches_the_gallery_of_another_instance_immediately() {
    let world = instance();
    let other = world.another();
    other.loader.fill().await.unwrap();
    let stop = CancellationToken::new();
    let sync = GallerySync::new(other.loader.clone(), Arc::new(Health::default()));
    let running = tokio::spawn(sync.run(world.site.feed.follow(), stop.clone()));
    let ann = world.enrolled("ann").await;
    let begin = tokio::time::Instant::now();
    while other.gallery.find(ann.id).is_none() {
        assert!(begin.elapsed() < EVERY / 2, "it was loaded by the timer");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.cancel();
    running.await.unwrap();
}
