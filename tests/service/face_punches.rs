//! Punches of faces: exactly once, whatever is repeated, and only for people who may punch.

use futures::future::join_all;
use jiff::SignedDuration;
use rollcall::{
    domain::{
        attendance::{Capture, ClockError, ClockSource, Origin, Proof, PunchKind},
        biometrics::{Look, NobodyReason, Views},
        grants::Reach,
        quality::Flaw,
        text::IdempotencyKey,
    },
    ports::{Page, PunchFilter},
    service::{
        face_punches::{Outcome, PunchAnswer, PunchError, PunchRequest},
        punch_answers::KEPT,
        punch_ledger::LedgerError,
    },
};

use crate::world::{ADMIN, Instance, instance, samples};

fn burst(texts: &[&str]) -> PunchRequest {
    PunchRequest {
        samples: samples(texts),
        kind: None,
        capture: None,
        key: None,
        look: Look::FIRST,
        instead_of: None,
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

fn unknown(more: bool) -> Outcome {
    let reason = NobodyReason::Unknown;
    Outcome::Nobody { reason, more }
}

async fn punches(world: &Instance) -> usize {
    world
        .ledger
        .list(
            &Reach::Everything,
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
async fn a_person_comes_in_and_leaves() {
    let world = instance();
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
        (first.employee, first.origin, first.sequence),
        (ann.id, Origin::Device(kiosk.id), 1)
    );
    assert!(matches!(first.proof, Proof::Face(_)));

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
async fn a_device_cannot_fill_the_store_with_answers() {
    let world = instance();
    world.enrolled("ann").await;
    let kiosk = world.kiosk().await;
    let origin = Origin::Device(kiosk.id);
    let send = async |number: u64| {
        let key = format!("k{number}");
        let answer = world.punch(&kiosk, keyed(&["eve"], &key)).await.unwrap();
        assert_eq!(answer.outcome, unknown(false));
        let key = IdempotencyKey::parse(&key).unwrap();
        let kept = world.stores.punches.kept_answer(origin, &key).await;
        kept.unwrap().is_some()
    };
    let most = u64::from(KEPT.most);
    for number in 0..most {
        assert!(send(number).await, "{number}");
    }
    assert!(!send(most).await);
    // Its punches are still answered once.
    let first = world.punch(&kiosk, keyed(&["ann"], "ann")).await.unwrap();
    let again = world.punch(&kiosk, keyed(&["ann"], "ann")).await.unwrap();
    assert_eq!((first.replayed, again.replayed), (false, true));
    world.clock.advance(minutes(60));
    assert!(send(most + 1).await);
}

#[tokio::test]
async fn a_key_gets_its_first_response_again() {
    let world = instance();
    world.enrolled("ann").await;
    let kiosk = world.kiosk().await;
    let first = world.punch(&kiosk, keyed(&["ann"], "k1")).await.unwrap();
    let cooldown = world.punch(&kiosk, keyed(&["ann"], "k2")).await.unwrap();
    let nobody = world.punch(&kiosk, keyed(&["eve"], "k3")).await.unwrap();
    let nothing = world.punch(&kiosk, keyed(&[""], "k4")).await.unwrap();
    // Another look at the same picture finds the same, so this answer takes no room in the store.
    let origin = Origin::Device(kiosk.id);
    let kept = async |key: &str| {
        let key = IdempotencyKey::parse(key).unwrap();
        let kept = world.stores.punches.kept_answer(origin, &key).await;
        kept.unwrap().is_some()
    };
    assert!(kept("k3").await && !kept("k4").await);
    assert!(matches!(cooldown.outcome, Outcome::Cooldown { .. }));
    assert_eq!(nobody.outcome, unknown(false));
    assert_eq!(nothing.outcome, Outcome::NoFace);

    // Long after the cooldown, so that each request would now get another response.
    world.clock.advance(minutes(90));
    let eve = world.person("eve").await;
    world.enroll(eve.id, &["eve"]).await.unwrap();
    let after_restart = world.another();
    after_restart.loader.fill().await.unwrap();
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
        assert_eq!(replay.replayed, key != "k4", "{key}");
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
    let world = instance();
    world.enrolled("ann").await;
    world.enrolled("bob").await;
    let (kiosk, other) = (world.kiosk().await, world.kiosk().await);
    world.punch(&kiosk, keyed(&["ann"], "k")).await.unwrap();
    let reused = world.punch(&kiosk, keyed(&["bob"], "k")).await;
    assert!(matches!(
        reused,
        Err(PunchError::Ledger(LedgerError::KeyReused))
    ));
    world.punch(&kiosk, keyed(&["eve"], "n")).await.unwrap();
    let reused = world.punch(&kiosk, keyed(&["bob"], "n")).await;
    assert!(matches!(
        reused,
        Err(PunchError::Ledger(LedgerError::KeyReused))
    ));
    assert_eq!(
        kind(&world.punch(&other, keyed(&["bob"], "k")).await.unwrap()),
        PunchKind::In
    );
}

#[tokio::test]
async fn concurrent_requests_on_two_instances_write_one_punch() {
    let world = instance();
    world.enrolled("ann").await;
    let second = world.another();
    second.loader.fill().await.unwrap();
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
async fn concurrent_retries_all_get_the_same_punch() {
    let world = instance();
    world.enrolled("ann").await;
    let second = world.another();
    second.loader.fill().await.unwrap();
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
    let world = instance();
    world.enrolled("ann").await;
    world.enrolled("bob").await;
    let kiosk = world.kiosk().await;
    let mixed = burst(&[
        "",
        "ann~0.05#1",
        "bob sharpness=20",
        "ann~0.05#2",
        "ann width=20",
    ]);
    let answer = world.punch(&kiosk, mixed).await.unwrap();
    let Outcome::Punched { punch } = answer.outcome else {
        panic!("{answer:?}")
    };
    assert_eq!(punch.proof.evidence().unwrap().frames, 2);
    assert_eq!(
        world
            .employees
            .find(&Reach::Everything, punch.employee)
            .await
            .unwrap()
            .name
            .as_str(),
        "ann"
    );
}

#[tokio::test]
async fn frames_are_analyzed_in_full_only_if_a_quick_look_does_not_suffice() {
    let world = instance();
    world.enrolled("ann").await;
    let kiosk = world.kiosk().await;
    for (frames, full) in [
        (&["ann~0.1#1", "ann~0.1#2", "ann~0.1#3"][..], 0),
        (&["ann~0.1#4"], 0),
        // A stranger, who is not even close.
        (&["zoe"], 0),
        // Close, or without a face at first: all frames count.
        (&["ann~0.48#far"], 1),
        (&["zoe", "ann", "ann~0.1#5"], 3),
        (&["", "ann~0.1#6"], 2),
    ] {
        world.engine.works.lock().unwrap().clear();
        world.punch(&kiosk, burst(frames)).await.unwrap();
        let works = world.engine.works.lock().unwrap();
        let views = |wanted| works.iter().filter(|work| work.views == wanted).count();
        let found = (views(Views::One), views(Views::Pair));
        assert_eq!(found, (1, full), "{frames:?}");
    }
}

#[tokio::test]
async fn the_flaw_of_a_picture_is_reported() {
    let world = instance();
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
        (&["ann live=0.05", "ann live=0.9"], Outcome::Attack),
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
async fn later_attempts_are_stricter_and_the_last_asks_for_no_other() {
    let world = instance();
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
        assert_eq!(answer.outcome, unknown(number < 3), "look {number}");
    }
    assert!(
        thresholds.is_sorted() && thresholds[0] < thresholds[2],
        "{thresholds:?}"
    );
}

#[tokio::test]
async fn people_who_may_not_punch_are_nobody_even_in_an_outdated_gallery() {
    let world = instance();
    let kiosk = world.kiosk().await;
    let (left, faceless, gone) = (
        world.enrolled("ann").await,
        world.enrolled("bob").await,
        world.enrolled("cy").await,
    );
    let lagging = world.another();
    lagging.loader.fill().await.unwrap();
    let inactive = world.change(left.id, |settings| settings.active = false);
    inactive.await.unwrap();
    world
        .employees
        .delete_face(&Reach::Everything, ADMIN, faceless.id)
        .await
        .unwrap();
    world
        .employees
        .delete(&Reach::Everything, ADMIN, gone.id)
        .await
        .unwrap();
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
    let active = world.change(left.id, |settings| settings.active = true);
    active.await.unwrap();
    assert_eq!(
        kind(&world.punch(&kiosk, burst(&["ann"])).await.unwrap()),
        PunchKind::In
    );
}

#[tokio::test]
async fn offline_captures_are_ordered_by_time_and_marked() {
    let world = instance();
    world.enrolled("ann").await;
    let kiosk = world.kiosk().await;
    let now = rollcall::clock::Clock::now(&*world.clock);
    let offline = |back: i64| PunchRequest {
        capture: Some(Capture {
            at: now - minutes(back),
            sent_at: None,
        }),
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
    // Sent out of order: an out at noon, then a break that began before it.
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
    // Half a minute before the existing out: the same visit.
    let mut echo = offline(5);
    echo.capture = echo.capture.map(|capture| Capture {
        at: capture.at - SignedDuration::from_secs(30),
        ..capture
    });
    assert!(matches!(
        world.punch(&kiosk, echo).await.unwrap().outcome,
        Outcome::Cooldown { .. }
    ));

    // After a live punch, captures of this device that claim an earlier time are doubtful.
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
    assert_eq!(punch.doubt, Some(ClockError::BeforeLast));
}

#[tokio::test]
async fn a_late_delivery_never_turns_an_arrival_into_a_departure() {
    let world = instance();
    world.enrolled("ann").await;
    let kiosk = world.kiosk().await;
    let now = rollcall::clock::Clock::now(&*world.clock);
    let at = now - minutes(73 * 60);
    let punched = async |capture| {
        let request = PunchRequest {
            capture,
            ..burst(&["ann"])
        };
        match world.punch(&kiosk, request).await.unwrap().outcome {
            Outcome::Punched { punch } => punch,
            other => panic!("{other:?}"),
        }
    };
    let too_old = punched(Some(Capture { at, sent_at: None })).await;
    assert_eq!((too_old.at, too_old.doubt), (at, Some(ClockError::TooOld)));
    world.clock.advance(minutes(6));
    assert_eq!(punched(None).await.kind, PunchKind::In);

    // A clock that is 47 minutes slow, at a kiosk that says when it sends: out 5 minutes ago.
    world.clock.advance(minutes(8 * 60));
    let slow = rollcall::clock::Clock::now(&*world.clock) - minutes(47);
    let capture = Capture {
        at: slow - minutes(5),
        sent_at: Some(slow),
    };
    let punch = punched(Some(capture)).await;
    assert_eq!((punch.kind, punch.doubt), (PunchKind::Out, None));
    assert_eq!(punch.at, slow + minutes(42));
}
