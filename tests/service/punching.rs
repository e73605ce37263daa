//! Punching: exactly once, whatever is repeated, and never for somebody who may not.

use futures::future::join_all;
use jiff::SignedDuration;
use rollcall::{
    domain::{
        attendance::{ClockSource, PunchKind},
        biometrics::Look,
        quality::Flaw,
        text::IdempotencyKey,
    },
    ports::{Page, PunchFilter},
    service::{
        employees::EmployeeChange,
        punching::{Outcome, PunchAnswer, PunchError, PunchRequest},
    },
};

use crate::world::{ADMIN, Instance, instance, samples};

fn burst(texts: &[&str]) -> PunchRequest {
    PunchRequest {
        samples: samples(texts),
        kind: None,
        captured_at: None,
        key: None,
        look: Look::FIRST,
    }
}

fn keyed(texts: &[&str], key: &str) -> PunchRequest {
    PunchRequest {
        key: Some(IdempotencyKey::parse(key).unwrap()),
        ..burst(texts)
    }
}

fn kind(answer: &PunchAnswer) -> PunchKind {
    match &answer.outcome {
        Outcome::Punched { punch } => punch.kind,
        other => panic!("no punch but {other:?}"),
    }
}

async fn punches(world: &Instance) -> usize {
    world
        .punching
        .list(
            &PunchFilter::default(),
            &Page {
                after: None,
                limit: 1000,
            },
        )
        .await
        .unwrap()
        .len()
}

fn minutes(count: i64) -> SignedDuration {
    SignedDuration::from_mins(count)
}

#[tokio::test]
async fn somebody_comes_in_is_told_so_and_leaves() {
    let world = instance().await;
    let ann = world.enrolled("ann").await;
    world.enrolled("bob").await;
    let kiosk = world.kiosk().await;
    let arrival = world.punch(&kiosk, burst(&["ann~0.2#a"])).await.unwrap();
    assert_eq!(kind(&arrival), PunchKind::In);
    let numbers = arrival.numbers.unwrap();
    assert!(
        numbers.similarity.value() >= numbers.threshold.value() && numbers.margin.unwrap() > 0.0
    );
    let Outcome::Punched { punch: first } = arrival.outcome else {
        unreachable!()
    };
    assert_eq!(
        (first.employee, first.device, first.sequence),
        (ann.id, kiosk.id, 1)
    );

    world.clock.advance(SignedDuration::from_secs(59));
    let again = world.punch(&kiosk, burst(&["ann~0.2#b"])).await.unwrap();
    assert_eq!(again.outcome, Outcome::Cooldown { punch: first });

    world.clock.advance(SignedDuration::from_secs(1));
    assert_eq!(
        kind(&world.punch(&kiosk, burst(&["ann~0.2#c"])).await.unwrap()),
        PunchKind::Out
    );
    assert_eq!(punches(&world).await, 2);
}

#[tokio::test]
async fn a_key_gets_its_first_answer_whatever_that_was() {
    let world = instance().await;
    world.enrolled("ann").await;
    let kiosk = world.kiosk().await;
    let first = world.punch(&kiosk, keyed(&["ann"], "k1")).await.unwrap();
    let cooldown = world.punch(&kiosk, keyed(&["ann"], "k2")).await.unwrap();
    let nobody = world.punch(&kiosk, keyed(&["eve"], "k3")).await.unwrap();
    let nothing = world.punch(&kiosk, keyed(&[""], "k4")).await.unwrap();
    assert!(matches!(cooldown.outcome, Outcome::Cooldown { .. }));
    assert_eq!(nobody.outcome, Outcome::Nobody { more: false });
    assert_eq!(nothing.outcome, Outcome::NoFace);

    // Long after the cooldown, so that each would now be answered differently.
    world.clock.advance(minutes(90));
    let eve = world.person("eve").await;
    world.enroll(eve.id, &["eve"]).await.unwrap();
    let after_restart = world.another();
    after_restart.references.fill().await.unwrap();
    for (key, texts, expected) in [
        ("k1", ["ann"], &first),
        ("k2", ["ann"], &cooldown),
        ("k3", ["eve"], &nobody),
        ("k4", [""], &nothing),
    ] {
        let replay = after_restart
            .punch(&kiosk, keyed(&texts, key))
            .await
            .unwrap();
        assert!(replay.replayed, "{key}");
        assert_eq!(
            &PunchAnswer {
                replayed: false,
                ..replay
            },
            expected,
            "{key}"
        );
    }
    assert_eq!(punches(&world).await, 1);
}

#[tokio::test]
async fn a_key_is_for_one_request_of_one_device() {
    let world = instance().await;
    world.enrolled("ann").await;
    world.enrolled("bob").await;
    let (kiosk, other) = (world.kiosk().await, world.kiosk().await);
    world.punch(&kiosk, keyed(&["ann"], "k")).await.unwrap();
    let reused = world.punch(&kiosk, keyed(&["bob"], "k")).await;
    assert!(matches!(reused, Err(PunchError::KeyReused)));
    world.punch(&kiosk, keyed(&["eve"], "n")).await.unwrap();
    let reused = world.punch(&kiosk, keyed(&["bob"], "n")).await;
    assert!(matches!(reused, Err(PunchError::KeyReused)));
    assert_eq!(
        kind(&world.punch(&other, keyed(&["bob"], "k")).await.unwrap()),
        PunchKind::In
    );
}

#[tokio::test]
async fn of_many_at_once_on_two_instances_one_punch_is_written() {
    let world = instance().await;
    world.enrolled("ann").await;
    let second = world.another();
    second.references.fill().await.unwrap();
    let kiosk = world.kiosk().await;
    let attempts = (0..40).map(|number| {
        let at = if number % 2 == 0 { &world } else { &second };
        at.punch(&kiosk, burst(&["ann"]))
    });
    let answers: Vec<_> = join_all(attempts)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let written = answers
        .iter()
        .filter(|answer| matches!(answer.outcome, Outcome::Punched { .. }))
        .count();
    assert_eq!((written, punches(&world).await), (1, 1));
    assert!(answers.iter().all(|a| matches!(
        a.outcome,
        Outcome::Punched { .. } | Outcome::Cooldown { .. }
    )));
}

#[tokio::test]
async fn of_many_retries_at_once_all_get_the_same_punch() {
    let world = instance().await;
    world.enrolled("ann").await;
    let second = world.another();
    second.references.fill().await.unwrap();
    let kiosk = world.kiosk().await;
    let attempts = (0..40).map(|number| {
        let at = if number % 2 == 0 { &world } else { &second };
        at.punch(&kiosk, keyed(&["ann"], "retry"))
    });
    let answers: Vec<_> = join_all(attempts)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let Outcome::Punched { punch: first } = &answers[0].outcome else {
        panic!("{:?}", answers[0])
    };
    for answer in &answers {
        assert_eq!(
            answer.outcome,
            Outcome::Punched {
                punch: first.clone()
            }
        );
    }
    assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);
    assert_eq!(punches(&world).await, 1);
}

#[tokio::test]
async fn a_burst_is_of_one_person_and_its_good_frames() {
    let world = instance().await;
    world.enrolled("ann").await;
    world.enrolled("bob").await;
    let kiosk = world.kiosk().await;
    let mixed = burst(&[
        "ann~0.05#1",
        "bob sharpness=20",
        "",
        "ann~0.05#2",
        "ann width=20",
    ]);
    let answer = world.punch(&kiosk, mixed).await.unwrap();
    let Outcome::Punched { punch } = answer.outcome else {
        panic!("{answer:?}")
    };
    assert_eq!(punch.evidence.frames, 2);
    assert_eq!(
        world
            .employees
            .find(punch.employee)
            .await
            .unwrap()
            .name
            .as_str(),
        "ann"
    );
}

#[tokio::test]
async fn what_is_wrong_with_a_picture_is_told() {
    let world = instance().await;
    world.enrolled("ann").await;
    let kiosk = world.kiosk().await;
    for (frames, expected) in [
        (
            &["", "ann width=30"][..],
            Outcome::PoorQuality {
                flaw: Flaw::TooSmall {
                    width: 30,
                    needs: 48,
                },
            },
        ),
        (
            &["ann yaw=80"],
            Outcome::PoorQuality {
                flaw: Flaw::TurnedAway,
            },
        ),
        (&["ann live=0.9", "ann live=0.05"], Outcome::Attack),
        (&["", ""], Outcome::NoFace),
    ] {
        assert_eq!(
            world.punch(&kiosk, burst(frames)).await.unwrap().outcome,
            expected
        );
    }
    assert_eq!(punches(&world).await, 0);
}

#[tokio::test]
async fn a_later_look_is_held_to_more_and_the_last_asks_for_no_other() {
    let world = instance().await;
    world.enrolled("ann").await;
    let kiosk = world.kiosk().await;
    let mut thresholds = Vec::new();
    for number in 1..=3 {
        let look = Look::new(number).unwrap();
        let request = PunchRequest {
            look,
            ..burst(&["ann~0.48#far"])
        };
        let answer = world.punch(&kiosk, request).await.unwrap();
        thresholds.push(answer.numbers.unwrap().threshold.value());
        assert_eq!(
            answer.outcome,
            Outcome::Nobody { more: number < 3 },
            "look {number}"
        );
    }
    assert!(
        thresholds.is_sorted() && thresholds[0] < thresholds[2],
        "{thresholds:?}"
    );
}

#[tokio::test]
async fn who_may_not_punch_is_nobody_even_to_a_gallery_that_lags() {
    let world = instance().await;
    let kiosk = world.kiosk().await;
    let (left, faceless, gone) = (
        world.enrolled("ann").await,
        world.enrolled("bob").await,
        world.enrolled("cy").await,
    );
    let lagging = world.another();
    lagging.references.fill().await.unwrap();
    let inactive = EmployeeChange {
        active: Some(false),
        ..EmployeeChange::default()
    };
    world
        .employees
        .change(ADMIN, left.id, inactive)
        .await
        .unwrap();
    world
        .employees
        .delete_face(ADMIN, faceless.id)
        .await
        .unwrap();
    world.employees.delete(ADMIN, gone.id).await.unwrap();
    for name in ["ann", "bob", "cy"] {
        assert_eq!(rollcall::ports::Gallery::people(&*lagging.gallery), 3);
        for at in [&world, &lagging] {
            let answer = at.punch(&kiosk, burst(&[name])).await.unwrap();
            assert!(
                matches!(answer.outcome, Outcome::Nobody { .. }),
                "{name}: {answer:?}"
            );
        }
    }
    let active = EmployeeChange {
        active: Some(true),
        ..EmployeeChange::default()
    };
    world
        .employees
        .change(ADMIN, left.id, active)
        .await
        .unwrap();
    assert_eq!(
        kind(&world.punch(&kiosk, burst(&["ann"])).await.unwrap()),
        PunchKind::In
    );
}

#[tokio::test]
async fn offline_captures_take_their_place_and_are_marked() {
    let world = instance().await;
    world.enrolled("ann").await;
    let kiosk = world.kiosk().await;
    let now = rollcall::clock::Clock::now(&*world.clock);
    let offline = |back: i64| PunchRequest {
        captured_at: Some(now - minutes(back)),
        ..burst(&["ann"])
    };
    let answer = world.punch(&kiosk, offline(240)).await.unwrap();
    let Outcome::Punched { punch } = answer.outcome else {
        panic!("{answer:?}")
    };
    assert_eq!(
        (punch.at, punch.clock, punch.kind),
        (now - minutes(240), ClockSource::Device, PunchKind::In)
    );
    assert_eq!(punch.recorded_at, now);
    // Flushed out of order: an out at noon, then a break that began before it.
    assert_eq!(
        kind(&world.punch(&kiosk, offline(5)).await.unwrap()),
        PunchKind::Out
    );
    let mut pause = offline(100);
    pause.kind = Some(PunchKind::BreakStart);
    assert_eq!(
        kind(&world.punch(&kiosk, pause).await.unwrap()),
        PunchKind::BreakStart
    );
    // Half a minute before the out that is there: the same visit.
    let mut echo = offline(5);
    echo.captured_at = echo
        .captured_at
        .map(|at| at - SignedDuration::from_secs(30));
    assert!(matches!(
        world.punch(&kiosk, echo).await.unwrap().outcome,
        Outcome::Cooldown { .. }
    ));

    // A live punch; what this device claims to have captured before it gets the server's time.
    world.clock.advance(minutes(10));
    world.punch(&kiosk, burst(&["ann"])).await.unwrap();
    world.clock.advance(minutes(10));
    let late = world.punch(&kiosk, offline(60)).await.unwrap();
    let Outcome::Punched { punch } = late.outcome else {
        panic!("{late:?}")
    };
    assert_eq!(
        (punch.clock, punch.at),
        (ClockSource::Server, now + minutes(20))
    );
    assert_eq!(punch.captured_at, Some(now - minutes(60)));
}
