//! PINs: however many tries come at once, on however many instances, few are compared.

use futures::future::join_all;
use rollcall::{
    domain::{devices::Device, grants::Reach, punch_credentials::StoredPin, text::Code},
    service::punch_credentials::PinCheck,
};

use crate::world::{ADMIN, Instance, instance};

async fn check(world: &Instance, kiosk: &Device, pin: &str) -> PinCheck {
    let code = Code::parse("ann").unwrap();
    let checked = world.punch_credentials.check_pin(kiosk, &code, pin.into());
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
