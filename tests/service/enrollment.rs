//! Enrollment: only good photos of one person, with consent.

use std::sync::atomic::Ordering;

use rollcall::{
    domain::{
        attendance::Origin,
        biometrics::Views,
        grants::Reach,
        ids::{DeviceId, EmployeeId},
        quality::Flaw,
    },
    ports::{Gallery, SampleError},
    service::{
        enrollment::{EnrollError, EnrollRequest, PhotoFlaw, TEMPLATES_MOST},
        recognition::Verification,
    },
};

use crate::world::{ADMIN, Instance, instance, request, samples, steps};

/// The sender of samples to verify.
const SENDER: Origin = Origin::Device(DeviceId::new(uuid::Uuid::nil()));

fn flaws(photos: &[rollcall::service::enrollment::PhotoVerdict]) -> Vec<Option<&'static str>> {
    photos
        .iter()
        .map(|photo| photo.flaw.as_ref().map(PhotoFlaw::reason))
        .collect()
}

async fn actions(world: &Instance) -> Vec<String> {
    world
        .stores
        .audit
        .latest(100)
        .await
        .unwrap()
        .into_iter()
        .map(|entry| entry.action)
        .collect()
}

#[tokio::test]
async fn templates_are_made_from_the_views_that_the_model_pack_asks_for() {
    let world = instance();
    let views = async |name: &str| {
        let person = world.person(name).await;
        world.enroll(person.id, &[name]).await.unwrap();
        world.face(person.id).await.unwrap().templates[0].views
    };
    assert_eq!(views("ann").await, Views::All);
    world.engine.enrolls_pairs.store(true, Ordering::SeqCst);
    assert_eq!(views("bob").await, Views::Pair);
}

#[tokio::test]
async fn each_photo_gets_a_verdict_and_the_good_ones_are_enrolled() {
    let world = instance();
    let ann = world.person("ann").await;
    let photos = [
        "ann~0.1#1",
        "ann | bob width=100",
        "ann width=38",
        "ann yaw=70",
        "ann sharpness=1",
        "",
        "broken",
        "bob",
        "ann~0.1#2 | bob width=30",
    ];
    let enrollment = world.enroll(ann.id, &photos).await.unwrap();
    assert_eq!(
        flaws(&enrollment.photos),
        [
            None,
            Some("several_faces"),
            Some("too_small"),
            Some("turned_away"),
            Some("blurred"),
            Some("no_face"),
            Some("unreadable"),
            Some("other_person"),
            None,
        ]
    );
    assert_eq!(
        enrollment.photos[2].flaw.as_ref().unwrap().detail(),
        "too small: 38 px, needs 80: come closer"
    );
    assert_eq!(
        enrollment.photos[6].flaw,
        Some(PhotoFlaw::Sample(SampleError::Corrupt))
    );
    assert_eq!(
        (enrollment.person.templates(), world.gallery.people()),
        (2, 1)
    );
    let enrolled = world
        .employees
        .enrolled(&Reach::Everything, ann.id)
        .await
        .unwrap();
    assert_eq!((enrolled.person.templates(), enrolled.photos), (2, 2));
    assert!(enrolled.person.consent().is_some());
}

#[tokio::test]
async fn nothing_is_enrolled_without_consent_photos_and_an_employee() {
    let world = instance();
    let ann = world.person("ann").await;
    let without = EnrollRequest {
        consent: None,
        ..request(ann.id, &["ann"])
    };
    assert!(matches!(
        world
            .enrolling
            .enroll(&Reach::Everything, ADMIN, without)
            .await,
        Err(EnrollError::NoConsent)
    ));
    assert!(matches!(
        world.enroll(ann.id, &[]).await,
        Err(EnrollError::PhotoCount)
    ));
    assert!(matches!(
        world.enroll(ann.id, &["ann"; 11]).await,
        Err(EnrollError::PhotoCount)
    ));
    let nobody = EmployeeId::new(uuid::Uuid::from_u128(1));
    assert!(matches!(
        world.enroll(nobody, &["ann"]).await,
        Err(EnrollError::NotFound)
    ));
    let refused = world.enroll(ann.id, &["", "ann width=10"]).await;
    let Err(EnrollError::NoUsablePhoto(photos)) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(flaws(&photos), [Some("no_face"), Some("too_small")]);
    let inactive = world.change(ann.id, |settings| settings.active = false);
    inactive.await.unwrap();
    assert!(matches!(
        world.enroll(ann.id, &["ann"]).await,
        Err(EnrollError::Inactive)
    ));
    assert_eq!(world.gallery.people(), 0);
    let enrolled = world
        .employees
        .enrolled(&Reach::Everything, ann.id)
        .await
        .unwrap();
    assert_eq!((enrolled.person.templates(), enrolled.photos), (0, 0));
    assert!(enrolled.person.consent().is_none());
}

#[tokio::test]
async fn photos_of_two_people_need_a_majority() {
    let world = instance();
    let ann = world.person("ann").await;
    let tie = world.enroll(ann.id, &["ann", "bob"]).await;
    let Err(EnrollError::NoUsablePhoto(photos)) = tie else {
        panic!("{tie:?}")
    };
    assert!(
        photos
            .iter()
            .all(|photo| photo.flaw == Some(PhotoFlaw::Face(Flaw::OtherPerson)))
    );
    let majority = world
        .enroll(ann.id, &["bob", "ann~0.2#1", "ann~0.2#2"])
        .await
        .unwrap();
    assert_eq!(flaws(&majority.photos), [Some("other_person"), None, None]);
    // From then on, the enrolled face decides, whatever most photos show.
    let later = world
        .enroll(ann.id, &["bob~0.1#1", "bob~0.1#2", "ann~0.2#3"])
        .await
        .unwrap();
    assert_eq!(
        flaws(&later.photos),
        [Some("other_person"), Some("other_person"), None]
    );
    assert_eq!(later.person.templates(), 3);
}

#[tokio::test]
async fn a_face_belongs_to_one_employee_unless_an_admin_overrides() {
    let world = instance();
    let ann = world.enrolled("ann").await;
    let twin = world.person("twin").await;
    let refused = world.enroll(twin.id, &["ann~0.15#9"]).await;
    let Err(EnrollError::Duplicate { other, .. }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(other.id, ann.id);
    assert!(
        !actions(&world)
            .await
            .contains(&"templates.override".to_owned())
    );
    let insisting = EnrollRequest {
        override_duplicate: true,
        ..request(twin.id, &["ann~0.15#9"])
    };
    world
        .enrolling
        .enroll(&Reach::Everything, ADMIN, insisting)
        .await
        .unwrap();
    assert_eq!(world.face(twin.id).await.unwrap().look_alikes, [ann.id]);
    assert!(
        actions(&world)
            .await
            .contains(&"templates.override".to_owned())
    );
    // More photos of the same employee are not duplicates of their own face.
    let solo = world.enrolled("solo").await;
    world.enroll(solo.id, &["solo~0.15#7"]).await.unwrap();
}

#[tokio::test]
async fn templates_are_bounded() {
    let world = instance();
    let ann = world.person("ann").await;
    for round in 0..TEMPLATES_MOST / 10 {
        let photos: Vec<String> = (0..10)
            .map(|number| format!("ann~0.1#{round}-{number}"))
            .collect();
        world
            .enroll(
                ann.id,
                &photos.iter().map(String::as_str).collect::<Vec<_>>(),
            )
            .await
            .unwrap();
    }
    assert!(matches!(
        world.enroll(ann.id, &["ann"]).await,
        Err(EnrollError::Full)
    ));
    // Templates of another model do not count.
    let other = world.of_model("another");
    other.enroll(ann.id, &["ann"]).await.unwrap();
}

#[tokio::test]
async fn deleting_a_face_deletes_the_consent() {
    let world = instance();
    let ann = world.enrolled("ann").await;
    world
        .employees
        .delete_face(&Reach::Everything, ADMIN, ann.id)
        .await
        .unwrap();
    // The clock stands still; the deletion still comes after the enrollment.
    let now = rollcall::clock::Clock::now(&*world.clock);
    let left = world.stores.faces.find(ann.id).await.unwrap().unwrap();
    assert!(left.face.is_none() && left.changed_at > now);
    let enrolled = world
        .employees
        .enrolled(&Reach::Everything, ann.id)
        .await
        .unwrap();
    assert_eq!(
        (
            enrolled.person.templates(),
            enrolled.person.consent(),
            enrolled.photos,
            world.gallery.people()
        ),
        (0, None, 0, 0)
    );
    assert!(
        actions(&world)
            .await
            .contains(&"templates.delete".to_owned())
    );
}

#[tokio::test]
async fn a_new_instance_recognizes_everybody_but_no_forged_template() {
    let world = instance();
    let (ann, bob) = (world.enrolled("ann").await, world.enrolled("bob").await);
    let stolen = world.face(bob.id).await.unwrap().templates;
    // Bob's templates under Ann's name.
    world
        .change_face(ann.id, |face| face.templates.clone_from(&stolen))
        .await;
    let fresh = world.another();
    let filled = fresh.loader.fill().await.unwrap();
    assert_eq!((filled.people, filled.damaged), (1, 1));
    assert!(fresh.gallery.find(ann.id).is_none() && fresh.gallery.find(bob.id).is_some());
}

#[tokio::test]
async fn verification_checks_a_claim_against_the_store() {
    let world = instance();
    let ann = world.enrolled("ann").await;
    let unseen = world.another();
    for at in [&world, &unseen] {
        for (frame, expected) in [("ann~0.2#x", true), ("bob", false)] {
            let verification = at
                .recognition
                .verify(ann.id, samples(&[frame]), SENDER)
                .await
                .unwrap();
            let Verification::Compared {
                same,
                similarity,
                threshold,
            } = verification
            else {
                panic!()
            };
            assert_eq!(same, expected);
            assert_eq!(similarity.value() >= threshold.value(), expected);
        }
    }
    let unusable = world
        .recognition
        .verify(ann.id, samples(&["ann width=9"]), SENDER)
        .await
        .unwrap();
    assert!(matches!(
        unusable,
        Verification::Unusable(Flaw::TooSmall { .. })
    ));
}

/// Whichever comes first, a deleted employee leaves no template behind.
#[tokio::test]
async fn a_deletion_in_the_middle_of_an_enrollment_leaves_nothing() {
    let world = instance();
    // More rounds than both have steps. The first deletions end before the enrollment begins.
    const ROUNDS: usize = 160;
    const HEAD_START: usize = 40;
    let (mut enrolled, mut refused) = (0, 0);
    for round in 0..ROUNDS {
        let ann = world.person(&format!("ann{round}")).await;
        let photos = [format!("ann{round}~0.1#1"), format!("ann{round}~0.1#2")];
        let photos = [photos[0].as_str(), photos[1].as_str()];
        let delete = async {
            // A little later in each round, so that it happens at every step of the enrollment.
            steps(round).await;
            world
                .employees
                .delete(&Reach::Everything, ADMIN, ann.id)
                .await
                .unwrap();
        };
        let enroll = async {
            steps(HEAD_START).await;
            world.enroll(ann.id, &photos).await
        };
        let (result, ()) = futures::join!(enroll, delete);
        match result {
            Ok(_) => enrolled += 1,
            Err(EnrollError::NotFound) => refused += 1,
            Err(other) => panic!("{other}"),
        }
        assert_eq!(world.face(ann.id).await, None, "round {round}");
        let photos = world.stores.photos.count_by_employee(ann.id).await;
        assert_eq!(photos, Ok(0), "round {round}");
        assert_eq!(world.gallery.find(ann.id), None, "round {round}");
    }
    assert!(
        enrolled > 0 && refused > 0,
        "{enrolled} enrolled, {refused} refused"
    );
}
