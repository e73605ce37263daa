//! PunchLedger: punches without a picture, exactly once.

use jiff::SignedDuration;
use rollcall::{
    clock::Clock,
    domain::{
        attendance::{Moment, Origin, Proof, Punch, PunchKind, RequestKey},
        grants::Reach,
        ids::{AccountId, CameraId, SiteId},
        text::{IdempotencyKey, Reason},
    },
    ports::{Page, PunchFilter},
    service::{
        clock_check::ClockCheck,
        employees::Person,
        punch_ledger::{LedgerError, NewPunch, PunchPoint, Recorded, Replay},
    },
};
use uuid::Uuid;

use crate::world::{Instance, instance};

fn account() -> PunchPoint {
    PunchPoint {
        origin: Origin::Account(AccountId::new(Uuid::from_u128(7))),
        site: SiteId::DEFAULT,
        gap: SignedDuration::ZERO,
    }
}

fn request(key: &str, fingerprint: &str) -> RequestKey {
    RequestKey {
        key: IdempotencyKey::parse(key).unwrap(),
        fingerprint: fingerprint.to_owned(),
    }
}

/// Records a punch that is made now.
async fn record(
    world: &Instance,
    person: &Person,
    point: &PunchPoint,
    proof: Proof,
    key: Option<&RequestKey>,
) -> Result<Recorded, LedgerError> {
    let new = NewPunch {
        employee: &person.employee,
        point,
        proof,
        moment: Moment::of(world.clock.now(), None, None),
        kind: None,
        request: key,
    };
    world.ledger.record(new, |_| ()).await
}

fn written(recorded: Result<Recorded, LedgerError>) -> Punch {
    match recorded.unwrap() {
        Recorded::Written(punch) => *punch,
        other => panic!("no punch but {other:?}"),
    }
}

#[tokio::test]
async fn a_punch_needs_no_face() {
    let world = instance();
    let ann = world.person("ann").await;
    let proofs = [
        Proof::Manual {
            reason: Reason::parse("Forgot to punch").unwrap(),
        },
        Proof::Pin,
        Proof::Badge,
        Proof::Import,
    ];
    let mut punches = Vec::new();
    for proof in proofs {
        let punch = written(record(&world, &ann, &account(), proof.clone(), None).await);
        assert_eq!(
            (punch.proof.clone(), punch.origin),
            (proof, account().origin)
        );
        assert_eq!(
            world.ledger.find(&Reach::Everything, punch.id).await,
            Ok(Some(punch.clone()))
        );
        punches.push(punch);
        world.clock.advance(SignedDuration::from_mins(2));
    }
    let kinds: Vec<_> = punches.iter().map(|punch| punch.kind).collect();
    let (come, go) = (PunchKind::In, PunchKind::Out);
    assert_eq!(kinds, [come, go, come, go]);
    let filter = PunchFilter {
        origin: Some(account().origin),
        ..PunchFilter::default()
    };
    let page = Page {
        after: None,
        limit: 10,
    };
    punches.reverse();
    assert_eq!(
        world.ledger.list(&Reach::Everything, &filter, &page).await,
        Ok(punches)
    );
}

#[tokio::test]
async fn the_gap_of_a_point_holds_after_its_own_punches_only() {
    let world = instance();
    let ann = world.person("ann").await;
    let gate = PunchPoint {
        origin: Origin::Camera(CameraId::new(Uuid::from_u128(8))),
        site: SiteId::DEFAULT,
        gap: SignedDuration::from_mins(10),
    };
    let first = written(record(&world, &ann, &gate, Proof::Badge, None).await);
    world.clock.advance(SignedDuration::from_mins(5));
    let again = record(&world, &ann, &gate, Proof::Badge, None).await;
    assert_eq!(again.unwrap(), Recorded::Cooldown(Box::new(first)));
    let elsewhere = written(record(&world, &ann, &account(), Proof::Pin, None).await);
    assert_eq!(elsewhere.kind, PunchKind::Out);
    world.clock.advance(SignedDuration::from_secs(61));
    // The last punch was made elsewhere.
    let back = written(record(&world, &ann, &gate, Proof::Badge, None).await);
    assert_eq!(back.kind, PunchKind::In);
}

#[tokio::test]
async fn the_cooldown_holds_after_a_punch_that_waited_for_the_store() {
    let world = instance();
    let ann = world.person("ann").await;
    let early = world.clock.now();
    world.clock.advance(SignedDuration::from_mins(5));
    let latest = written(record(&world, &ann, &account(), Proof::Pin, None).await);
    world.clock.advance(SignedDuration::from_secs(10));
    let waited = NewPunch {
        employee: &ann.employee,
        point: &account(),
        proof: Proof::Badge,
        moment: Moment::of(early, None, None),
        kind: None,
        request: None,
    };
    written(world.ledger.record(waited, |_| ()).await);
    world.clock.advance(SignedDuration::from_secs(10));
    let again = record(&world, &ann, &account(), Proof::Pin, None).await;
    assert_eq!(again.unwrap(), Recorded::Cooldown(Box::new(latest)));
}

#[tokio::test]
async fn a_retry_gets_the_first_punch_and_another_request_is_refused() {
    let world = instance();
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let key = request("k", "a");
    let point = account();
    let first = written(record(&world, &ann, &point, Proof::Pin, Some(&key)).await);
    let replay = Replay::Punch(Box::new(first.clone()));
    assert_eq!(
        world.ledger.replay(point.origin, &key).await.unwrap(),
        Some(replay.clone())
    );
    // Within the cooldown and after it, without asking for a replay first.
    for minutes in [0, 5] {
        world.clock.advance(SignedDuration::from_mins(minutes));
        let again = record(&world, &ann, &point, Proof::Pin, Some(&key)).await;
        assert_eq!(again.unwrap(), Recorded::Replayed(replay.clone()));
    }
    let other = record(&world, &bob, &point, Proof::Pin, Some(&request("k", "b"))).await;
    assert!(matches!(other, Err(LedgerError::KeyReused)), "{other:?}");
    // The same key of another origin is another request.
    let elsewhere = PunchPoint {
        origin: Origin::Account(AccountId::new(Uuid::from_u128(9))),
        ..point
    };
    written(record(&world, &bob, &elsewhere, Proof::Pin, Some(&key)).await);
}

#[tokio::test]
async fn of_two_answers_to_one_request_the_first_is_kept() {
    let world = instance();
    let (origin, key) = (account().origin, request("k", "a"));
    let keep = |text: &str| {
        let now = world.clock.now();
        world.ledger.keep(origin, key.clone(), text.to_owned(), now)
    };
    assert_eq!(keep("wrong PIN").await.unwrap(), None);
    let first = Some(Replay::Answer("wrong PIN".to_owned()));
    assert_eq!(keep("no such PIN").await.unwrap(), first);
    assert_eq!(world.ledger.replay(origin, &key).await.unwrap(), first);
    let reused = world.ledger.replay(origin, &request("k", "b")).await;
    assert!(matches!(reused, Err(LedgerError::KeyReused)), "{reused:?}");
}

#[tokio::test]
async fn a_punch_is_reported_before_the_feed_announces_it() {
    let world = instance();
    let ann = world.person("ann").await;
    let mut following = world.site.feed.follow();
    let mut reported = None;
    let new = NewPunch {
        employee: &ann.employee,
        point: &account(),
        proof: Proof::Badge,
        moment: Moment::of(world.clock.now(), None, None),
        kind: Some(PunchKind::BreakStart),
        request: None,
    };
    let note = |punch: &Punch| reported = Some(punch.clone());
    let recorded = world.ledger.record(new, note).await;
    let punch = written(recorded);
    assert_eq!(reported, Some(punch.clone()));
    assert_eq!(punch.kind, PunchKind::BreakStart);
    let news = rollcall::service::feed::News::Punch(punch.id);
    assert_eq!(following.next().await, Some(news));
}

#[tokio::test]
async fn a_clock_behind_the_newest_punch_is_noticed() {
    let world = instance();
    let check = async || ClockCheck::run(&world.stores, &*world.clock).await.unwrap();
    assert_eq!(check().await, ClockCheck::default());
    let ann = world.person("ann").await;
    written(record(&world, &ann, &account(), Proof::Import, None).await);
    assert_eq!(check().await, ClockCheck::default());
    world.clock.advance(SignedDuration::from_mins(-90));
    let found = check().await;
    assert_eq!(found.behind_newest, Some(SignedDuration::from_mins(90)));
    assert!(found.warnings()[0].contains("5400 s in the future"));
}
