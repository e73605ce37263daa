//! A change of the model: both models answer until everyone is enrolled under the new one.

use jiff::SignedDuration;
use rollcall::{
    domain::{attendance::Origin, grants::Reach},
    ports::Gallery,
    service::{
        face_punches::{Outcome, PunchRequest},
        recognition::{RecognitionError, Verification},
    },
};

use crate::world::{ADMIN, Instance, instance, samples};

async fn outcome(world: &Instance, frame: &str) -> Outcome {
    let kiosk = world.kiosk().await;
    world.clock.advance(SignedDuration::from_mins(10));
    let request = PunchRequest {
        samples: samples(&[frame]),
        kind: None,
        capture: None,
        key: None,
        look: rollcall::domain::biometrics::Look::FIRST,
        instead_of: None,
    };
    world.punch(&kiosk, request).await.unwrap().outcome
}

/// Returns the name and the model of the person who punches with a frame.
async fn punch(world: &Instance, frame: &str) -> Option<(String, String)> {
    let Outcome::Punched { punch } = outcome(world, frame).await else {
        return None;
    };
    let person = world.employees.find(&Reach::Everything, punch.employee);
    let model = punch.proof.evidence().unwrap().model.to_string();
    Some((person.await.unwrap().name.as_str().to_owned(), model))
}

async fn catch_up(world: &Instance) {
    world.loader.catch_up().await.unwrap();
    let previous = world.previous_loader.as_ref().unwrap();
    previous.catch_up().await.unwrap();
}

#[tokio::test]
async fn both_models_answer_until_everyone_is_enrolled_again() {
    let before = instance();
    let (ann, _) = (before.enrolled("ann").await, before.enrolled("bob").await);
    let world = before.after("new");
    catch_up(&world).await;
    assert_eq!((world.gallery.people(), world.loader.outdated()), (0, 2));
    let answer = |name: &str, model: &str| Some((name.to_owned(), model.to_owned()));
    assert_eq!(punch(&world, "ann").await, answer("ann", "scripted"));
    assert_eq!(punch(&world, "zoe").await, None);

    // Close under the previous model: the kiosk tries again.
    let close = outcome(&world, "ann~0.48#far").await;
    assert!(
        matches!(close, Outcome::Nobody { more: true, .. }),
        "{close:?}"
    );

    // Enrolled again, she is recognized with the new model only.
    let photos = ["ann~0.1#3", "ann~0.1#4"];
    world.enroll(ann.id, &photos).await.unwrap();
    catch_up(&world).await;
    assert_eq!((world.gallery.people(), world.loader.outdated()), (1, 1));
    assert_eq!(punch(&world, "ann").await, answer("ann", "new"));
    assert_eq!(punch(&world, "bob").await, answer("bob", "scripted"));

    // Without the new template, the old one does not count again: the face was deleted.
    world
        .employees
        .delete_face(&Reach::Everything, ADMIN, ann.id)
        .await
        .unwrap();
    catch_up(&world).await;
    assert_eq!(punch(&world, "ann").await, None);
    assert_eq!(world.loader.outdated(), 1);
}

#[tokio::test]
async fn a_person_is_verified_with_the_model_of_their_templates() {
    let before = instance();
    let (ann, bob) = (before.enrolled("ann").await, before.enrolled("bob").await);
    let nobody = before.person("cy").await;
    let world = before.after("new");
    world
        .enroll(bob.id, &["bob~0.1#3", "bob~0.1#4"])
        .await
        .unwrap();
    catch_up(&world).await;
    let kiosk = Origin::Device(world.kiosk().await.id);
    for (person, frame, expected) in [
        (&ann, "ann", true),
        (&ann, "bob", false),
        (&bob, "bob", true),
        (&bob, "ann", false),
    ] {
        let verified = world
            .recognition
            .verify(person.id, samples(&[frame]), kiosk);
        let Verification::Compared { same, .. } = verified.await.unwrap() else {
            panic!("not compared")
        };
        assert_eq!(same, expected, "{frame}");
    }
    let verified = world
        .recognition
        .verify(nobody.id, samples(&["cy"]), kiosk)
        .await;
    assert!(matches!(verified, Err(RecognitionError::NotEnrolled)));
}
