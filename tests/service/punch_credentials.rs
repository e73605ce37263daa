//! PINs: however many tries come at once, on however many instances, few are compared.

use futures::future::join_all;
use jiff::SignedDuration;
use rollcall::{
    clock::Clock,
    domain::{devices::Device, grants::Reach, punch_credentials::StoredPin, text::Code},
    service::punch_credentials::{CheckError, PinCheck},
};

use crate::world::{ADMIN, Instance, instance};

async fn check(world: &Instance, kiosk: &Device, pin: &str) -> PinCheck {
    let code = Code::parse("ann").unwrap();
    let checked = world
        .punch_credentials
        .check_pin(kiosk, &code, pin.into(), None);
    checked.await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tries_at_once_on_two_instances_are_no_more_than_five() {
    let world = instance();
    let second = world.another();
    let ann = world.person("ann").await;
    let set = world
        .punch_credentials
        .set_pin(&Reach::Everything, ADMIN, ann.id, Some("402817"));
    set.await.unwrap();
    let (kiosk, gate) = (world.kiosk().await, world.kiosk().await);
    // The right one comes after the five that are allowed, at the same moment.
    let wrong = (0..StoredPin::MOST_TRIES).map(|number| {
        let (at, device) = if number % 2 == 0 {
            (&world, &kiosk)
        } else {
            (&second, &gate)
        };
        check(at, device, "402818")
    });
    assert!(join_all(wrong).await.contains(&PinCheck::Locked));
    let many = (0..20).map(|number| {
        let pin = if number == 13 {
            "402817".to_owned()
        } else {
            format!("4028{number:02}")
        };
        let (at, device) = if number % 2 == 0 {
            (&world, &kiosk)
        } else {
            (&second, &gate)
        };
        async move { check(at, device, &pin).await }
    });
    for answer in join_all(many).await {
        assert_eq!(answer, PinCheck::Locked);
    }
    let stored = world.site.records.punch_credentials.find(ann.id).await;
    assert_eq!(
        stored.unwrap().unwrap().pin.unwrap().tries,
        StoredPin::MOST_TRIES
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_guesses_at_once_at_most_five_are_compared() {
    let world = instance();
    let second = world.another();
    let ann = world.person("ann").await;
    let set = world
        .punch_credentials
        .set_pin(&Reach::Everything, ADMIN, ann.id, Some("402817"));
    set.await.unwrap();
    let (kiosk, gate) = (world.kiosk().await, world.kiosk().await);
    let guesses = (0..12).map(|number| {
        let (at, device) = if number % 2 == 0 {
            (&world, &kiosk)
        } else {
            (&second, &gate)
        };
        async move { check(at, device, &format!("4029{number:02}")).await }
    });
    let answers = join_all(guesses).await;
    let compared = answers
        .iter()
        .filter(|answer| **answer == PinCheck::Wrong)
        .count();
    assert_eq!(
        compared,
        usize::from(StoredPin::MOST_TRIES) - 1,
        "and the one that locked it"
    );
    assert!(
        answers
            .iter()
            .all(|answer| !matches!(answer, PinCheck::Right(_)))
    );
}

#[tokio::test]
async fn a_new_pin_during_a_comparison_is_not_forgiven_by_the_old_one() {
    let world = instance();
    let ann = world.person("ann").await;
    let credentials = &world.punch_credentials;
    let set = |pin| credentials.set_pin(&Reach::Everything, ADMIN, ann.id, Some(pin));
    set("402817").await.unwrap();
    let kiosk = world.kiosk().await;
    let (checked, changed) = tokio::join!(check(&world, &kiosk, "402817"), set("915026"));
    changed.unwrap();
    assert!(
        !matches!(check(&world, &kiosk, "402817").await, PinCheck::Right(_)),
        "{checked:?}"
    );
    assert!(matches!(
        check(&world, &kiosk, "915026").await,
        PinCheck::Right(_)
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_guesses_at_once_at_a_device_at_most_twenty_are_compared() {
    let world = instance();
    let kiosk = world.kiosk().await;
    let ann = world.person("ann").await;
    let credentials = &world.punch_credentials;
    let set = credentials.set_pin(&Reach::Everything, ADMIN, ann.id, Some("402817"));
    set.await.unwrap();
    // Right ones do not count.
    for _ in 0..3 {
        assert!(matches!(
            check(&world, &kiosk, "402817").await,
            PinCheck::Right(_)
        ));
    }
    let guess = |number: usize| {
        let code = Code::parse(&format!("unknown {number}")).unwrap();
        let kiosk = &kiosk;
        async move {
            let checked = credentials.check_pin(kiosk, &code, "402818".into(), None);
            checked.await
        }
    };
    let answers = join_all((0..40).map(guess)).await;
    let compared = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(compared, 20);
    let late = answers.iter().filter_map(|answer| answer.as_ref().err());
    assert!(
        late.into_iter()
            .all(|error| matches!(error, CheckError::TooMany { .. }))
    );
}

#[tokio::test]
async fn a_pin_that_was_typed_before_the_present_one_was_set_is_no_try() {
    let world = instance();
    let (kiosk, ann) = (world.kiosk().await, world.person("ann").await);
    let credentials = &world.punch_credentials;
    let typed = world.clock.now();
    world.clock.advance(SignedDuration::from_mins(5));
    let set = credentials.set_pin(&Reach::Everything, ADMIN, ann.id, Some("402817"));
    set.await.unwrap();
    world.clock.advance(SignedDuration::from_mins(5));
    let code = Code::parse("ann").unwrap();
    let late = async |pin: &str, at| {
        let checked = credentials.check_pin(&kiosk, &code, pin.into(), Some(at));
        checked.await.unwrap()
    };
    // More than any limit, and the present PIN cannot be found out in this way.
    for _ in 0..StoredPin::MOST_TRIES + 1 {
        assert_eq!(late("915026", typed).await, PinCheck::Wrong);
        assert_eq!(late("402817", typed).await, PinCheck::Wrong);
    }
    let tries = async || {
        let stored = world.site.records.punch_credentials.find(ann.id).await;
        stored.unwrap().unwrap().pin.unwrap().tries
    };
    assert_eq!(tries().await, 0);
    let after = world.clock.now();
    assert_eq!(late("915026", after).await, PinCheck::Wrong);
    assert_eq!(tries().await, 1);
    assert!(matches!(late("402817", after).await, PinCheck::Right(_)));
}
