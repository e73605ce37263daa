//! Enrollment: only good photos of the one person who agreed.

use rollcall::{
    domain::{ids::EmployeeId, quality::Flaw},
    ports::{Gallery, SampleError},
    service::{
        employees::EmployeeChange,
        enrollment::{EnrollError, EnrollRequest, PhotoFlaw, TEMPLATES_MOST},
        identification::Verification,
    },
};

use crate::world::{ADMIN, Instance, instance, request, samples};

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
async fn each_photo_gets_a_verdict_and_the_good_ones_are_enrolled() {
    let world = instance().await;
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
        (enrollment.employee.templates, world.gallery.people()),
        (2, 1)
    );
    let enrolled = world.employees.enrolled(ann.id).await.unwrap();
    assert_eq!((enrolled.templates.len(), enrolled.photos), (2, 2));
    assert!(enrolled.employee.consent.is_some());
}

#[tokio::test]
async fn nothing_is_enrolled_without_consent_photos_or_a_person() {
    let world = instance().await;
    let ann = world.person("ann").await;
    let without = EnrollRequest {
        consent: false,
        ..request(ann.id, &["ann"])
    };
    assert!(matches!(
        world.enrolling.enroll(ADMIN, without).await,
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
    let inactive = EmployeeChange {
        active: Some(false),
        ..EmployeeChange::default()
    };
    world
        .employees
        .change(ADMIN, ann.id, inactive)
        .await
        .unwrap();
    assert!(matches!(
        world.enroll(ann.id, &["ann"]).await,
        Err(EnrollError::Inactive)
    ));
    assert_eq!(world.gallery.people(), 0);
    assert!(
        world
            .employees
            .enrolled(ann.id)
            .await
            .unwrap()
            .templates
            .is_empty()
    );
}

#[tokio::test]
async fn photos_of_two_people_need_a_majority() {
    let world = instance().await;
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
    // Whoever is enrolled decides from then on, whatever most photos show.
    let later = world
        .enroll(ann.id, &["bob~0.1#1", "bob~0.1#2", "ann~0.2#3"])
        .await
        .unwrap();
    assert_eq!(
        flaws(&later.photos),
        [Some("other_person"), Some("other_person"), None]
    );
    assert_eq!(later.employee.templates, 3);
}

#[tokio::test]
async fn a_face_belongs_to_one_employee_unless_an_admin_insists() {
    let world = instance().await;
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
    world.enrolling.enroll(ADMIN, insisting).await.unwrap();
    assert!(
        actions(&world)
            .await
            .contains(&"templates.override".to_owned())
    );
    // More photos of the same person for the same employee are no duplicate of themselves.
    let solo = world.enrolled("solo").await;
    world.enroll(solo.id, &["solo~0.15#7"]).await.unwrap();
}

#[tokio::test]
async fn templates_are_bounded() {
    let world = instance().await;
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
    // Those of another model do not count.
    let other = world.of_model("another");
    other.enroll(ann.id, &["ann"]).await.unwrap();
}

#[tokio::test]
async fn a_deleted_face_is_gone_and_so_is_the_consent() {
    let world = instance().await;
    let ann = world.enrolled("ann").await;
    world.employees.delete_face(ADMIN, ann.id).await.unwrap();
    // The clock stood still all the while; word of the end still comes after that of the beginning.
    let now = rollcall::clock::Clock::now(&*world.clock);
    let changes = world.stores.templates.changed_since(now).await.unwrap();
    assert!(changes.iter().any(|(id, at)| *id == ann.id && *at > now));
    let enrolled = world.employees.enrolled(ann.id).await.unwrap();
    assert_eq!(
        (
            enrolled.templates.len(),
            enrolled.photos,
            world.gallery.people()
        ),
        (0, 0, 0)
    );
    assert_eq!(
        (enrolled.employee.templates, enrolled.employee.consent),
        (0, None)
    );
    assert!(
        actions(&world)
            .await
            .contains(&"templates.delete".to_owned())
    );
}

#[tokio::test]
async fn an_instance_that_starts_knows_everybody_and_a_forged_template_nobody() {
    let world = instance().await;
    let (ann, bob) = (world.enrolled("ann").await, world.enrolled("bob").await);
    let mut stolen = world.stores.templates.of_employee(bob.id).await.unwrap();
    world.stores.templates.delete_of(ann.id).await.unwrap();
    for template in &mut stolen {
        // Bob's template under Ann's name.
        template.id = rollcall::domain::ids::TemplateId::new(uuid::Uuid::now_v7());
        template.employee = ann.id;
    }
    world.stores.templates.insert(&stolen, &[]).await.unwrap();
    let fresh = world.another();
    let filled = fresh.references.fill().await.unwrap();
    assert_eq!((filled.people, filled.damaged), (1, 1));
    assert!(fresh.gallery.find(ann.id).is_none() && fresh.gallery.find(bob.id).is_some());
}

#[tokio::test]
async fn verification_holds_a_claim_against_the_store() {
    let world = instance().await;
    let ann = world.enrolled("ann").await;
    let unseen = world.another();
    for at in [&world, &unseen] {
        for (frame, expected) in [("ann~0.2#x", true), ("bob", false)] {
            let verification = at
                .identifying
                .verify(ann.id, samples(&[frame]))
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
        .identifying
        .verify(ann.id, samples(&["ann width=9"]))
        .await
        .unwrap();
    assert!(matches!(
        unusable,
        Verification::Unusable(Flaw::TooSmall { .. })
    ));
}

/// Whichever comes first, somebody who is deleted leaves no template behind.
#[tokio::test]
async fn a_deletion_in_the_middle_of_an_enrollment_leaves_nothing() {
    let world = instance().await;
    let (mut enrolled, mut refused) = (0, 0);
    for round in 0..40u32 {
        let ann = world.person(&format!("ann{round}")).await;
        let photos = [format!("ann{round}~0.1#1"), format!("ann{round}~0.1#2")];
        let photos = [photos[0].as_str(), photos[1].as_str()];
        let delete = async {
            // A little later each time, so that it falls into every step of the enrollment.
            tokio::time::sleep(std::time::Duration::from_micros(u64::from(round) * 150)).await;
            world.employees.delete(ADMIN, ann.id).await.unwrap();
        };
        let (result, ()) = futures::join!(world.enroll(ann.id, &photos), delete);
        match result {
            Ok(_) => enrolled += 1,
            Err(EnrollError::NotFound) => refused += 1,
            Err(other) => panic!("{other}"),
        }
        let left = world.stores.templates.of_employee(ann.id).await.unwrap();
        assert!(left.is_empty(), "round {round}: {} templates", left.len());
        assert_eq!(world.gallery.find(ann.id), None, "round {round}");
    }
    assert_eq!(enrolled + refused, 40);
}
