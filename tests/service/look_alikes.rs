//! Look-alikes: between people with matching faces, of whom an admin enrolled one anyway, only a clear
//! lead decides.

use jiff::SignedDuration;
use rollcall::{
    clock::Clock,
    domain::{
        biometrics::{Look, NobodyReason},
        grants::Reach,
        ids::EmployeeId,
    },
    ports::{Gallery, Sample},
    service::{
        employees::Person,
        enrollment::EnrollRequest,
        face_punches::{Outcome, PunchRequest},
    },
};

use crate::world::{ADMIN, Instance, instance, request, samples};

/// A face that is like Ann's, but clearly another one.
const LIKE_ANN: &str = "ann~0.44#other";

/// Enrolls a person whose face is taken for another one's.
async fn enrolled_anyway(world: &Instance, name: &str, photos: &[&str]) -> Person {
    let person = world.person(name).await;
    let insisting = EnrollRequest {
        override_duplicate: true,
        ..request(person.id, photos)
    };
    let enrolled = world
        .enrolling
        .enroll(&Reach::Everything, ADMIN, insisting)
        .await;
    enrolled.unwrap().person
}

/// Returns who punches with these frames, at the last look.
async fn who(world: &Instance, frames: &[&str]) -> Result<EmployeeId, NobodyReason> {
    let kiosk = world.kiosk().await;
    let punch = PunchRequest {
        samples: samples(frames),
        kind: None,
        capture: None,
        key: None,
        look: Look::LAST,
        instead_of: None,
    };
    match world.punch(&kiosk, punch).await.unwrap().outcome {
        Outcome::Punched { punch } | Outcome::Cooldown { punch } => Ok(punch.employee),
        Outcome::Nobody { reason, .. } => Err(reason),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_hair_never_decides_between_two_people_with_one_face() {
    let world = instance();
    let ann = world.enrolled("ann").await;
    let twin = enrolled_anyway(&world, "twin", &["ann~0.1#3", "ann~0.1#4"]).await;
    for frame in ["ann", "ann~0.1#1", "ann~0.1#4", "ann~0.1#9"] {
        assert_eq!(
            who(&world, &[frame]).await,
            Err(NobodyReason::LookAlike),
            "{frame}"
        );
    }
    // Without the other one's face there is nothing to confuse.
    world
        .employees
        .delete_face(&Reach::Everything, ADMIN, ann.id)
        .await
        .unwrap();
    assert_eq!(who(&world, &["ann~0.1#4"]).await, Ok(twin.id));
    let left = world.site.records.faces.find(twin.id).await.unwrap();
    assert!(left.unwrap().look_alikes().is_empty(), "no trace is left");
}

#[tokio::test]
async fn a_clear_lead_distinguishes_look_alikes_on_every_instance() {
    let world = instance();
    let second = world.another();
    let ann = world.enrolled("ann").await;
    second.loader.fill().await.unwrap();
    let bob = enrolled_anyway(&world, "bob", &[LIKE_ANN]).await;
    second.loader.catch_up().await.unwrap();
    for at in [&world, &second] {
        let kept = at.gallery.find(bob.id).unwrap().look_alikes;
        assert_eq!(kept, [ann.id]);
        assert_eq!(who(at, &["ann"]).await, Ok(ann.id));
        assert_eq!(who(at, &[LIKE_ANN]).await, Ok(bob.id));
        // Half of each: that could be both.
        let between = who(at, &["", "ann", LIKE_ANN]).await;
        assert_eq!(between, Err(NobodyReason::LookAlike));
    }
    // Without that record, the better one counts.
    world
        .change_face(bob.id, |face| face.look_alikes.clear())
        .await;
    second.loader.catch_up().await.unwrap();
    assert!(who(&second, &["", "ann", LIKE_ANN]).await.is_ok());
}

#[tokio::test]
async fn everybody_for_whom_a_face_is_taken_is_a_look_alike() {
    let world = instance();
    let ann = world.enrolled("ann").await;
    let bob = enrolled_anyway(&world, "bob", &["ann~0.1#3"]).await;
    let cy = enrolled_anyway(&world, "cy", &["ann~0.1#5"]).await;
    let mut look_alikes = world.face(cy.id).await.unwrap().look_alikes;
    look_alikes.sort_unstable();
    assert_eq!(look_alikes, [ann.id, bob.id]);
    // Once more: each is kept once.
    let insisting = EnrollRequest {
        override_duplicate: true,
        ..request(cy.id, &["ann~0.1#6"])
    };
    world
        .enrolling
        .enroll(&Reach::Everything, ADMIN, insisting)
        .await
        .unwrap();
    assert_eq!(world.face(cy.id).await.unwrap().look_alikes.len(), 2);
}

#[tokio::test]
async fn who_became_active_again_with_an_override_has_a_look_alike() {
    let world = instance();
    let ann = world.enrolled("ann").await;
    world
        .change(ann.id, |settings| settings.active = false)
        .await
        .unwrap();
    // While Ann is inactive, nobody has her face.
    let bob = world.person("bob").await;
    world.enroll(bob.id, &["ann~0.1#3"]).await.unwrap();
    assert_eq!(who(&world, &["ann"]).await, Ok(bob.id));
    let back = world.change_with(ann.id, true, |settings| settings.active = true);
    assert!(back.await.unwrap().active);
    assert_eq!(who(&world, &["ann"]).await, Err(NobodyReason::LookAlike));
}

#[tokio::test]
async fn a_camera_punches_for_no_look_alike() {
    let world = instance();
    world.enrolled("ann").await;
    enrolled_anyway(&world, "twin", &["ann~0.1#3", "ann~0.1#4"]).await;
    let bob = world.enrolled("bob").await;
    let mut watch = world.watching.begin(world.camera("hall"), &[]);
    for (name, expected) in [("ann", None), ("bob", Some(bob.id))] {
        for number in 0..12 {
            world.clock.advance(SignedDuration::from_secs(1));
            let picture = Sample::new(format!("{name}~0.1#{number}").into_bytes());
            world.watching.look(&mut watch, picture).await;
        }
        // The camera loses sight of them.
        world.watching.lost(&mut watch);
        let present = watch.present(world.clock.now());
        let present: Vec<_> = present.iter().map(|one| one.employee).collect();
        assert_eq!(present, Vec::from_iter(expected), "{name}");
        let waiting = world.watching.unwritten().len();
        assert_eq!(waiting, present.len(), "{name}");
    }
}

#[tokio::test]
async fn look_alikes_are_not_told_apart_by_two_models() {
    let before = instance();
    before.enrolled("ann").await;
    let twin = enrolled_anyway(&before, "twin", &["ann~0.1#3", "ann~0.1#4"]).await;
    // Only the twin has a template of the new model.
    let world = before.after("new");
    world.enroll(twin.id, &["ann~0.1#5"]).await.unwrap();
    for loader in std::iter::once(&world.loader).chain(&world.previous_loader) {
        loader.catch_up().await.unwrap();
    }
    assert_eq!(world.gallery.people(), 1);
    for frame in ["ann", "ann~0.1#3", "ann~0.1#5"] {
        let found = who(&world, &[frame]).await;
        assert_eq!(found, Err(NobodyReason::LookAlike), "{frame}");
    }
}
