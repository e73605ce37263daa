//! Refused punches that are added while the store fails or the process ends.

use jiff::SignedDuration;
use rollcall::{
    clock::Clock,
    domain::{
        attendance::{Capture, PunchKind, Timesheet},
        grants::Reach,
        ids::{EmployeeId, RefusedPunchId},
        record::{Kind, Record},
        refused_punches::{PunchedWith, RefusalReason, RefusedPunch},
        text::{IdempotencyKey, Reason},
    },
    ports::{Page, StoreError},
    service::{
        refused_punches::{HandedOver, ResolveError},
        timesheets::{FiledCorrection, TimesheetError},
    },
};

use crate::{
    failing_engine::Call,
    imports::second,
    timesheets::ADMIN,
    world::{Instance, instance},
};

async fn refused(world: &Instance, key: &str) -> RefusedPunchId {
    let new = HandedOver {
        key: IdempotencyKey::parse(key).unwrap(),
        with: PunchedWith::Pin,
        reason: RefusalReason::WrongPin,
        capture: Capture {
            at: world.clock.now() - SignedDuration::from_hours(1),
            sent_at: None,
        },
        code: None,
        frame: None,
    };
    let kiosk = world.kiosk().await;
    world.refused_punches.take(&kiosk, new).await.unwrap().0
}

async fn add(
    world: &Instance,
    id: RefusedPunchId,
    to: EmployeeId,
) -> Result<FiledCorrection, ResolveError> {
    let reason = Reason::parse("Typed the old PIN").unwrap();
    let to = (to, PunchKind::In);
    world
        .refused_punches
        .add(ADMIN, id, to, reason, false)
        .await
}

/// Returns how many refused punches wait, and how many corrections were made of an employee.
async fn counts(world: &Instance, employee: EmployeeId) -> (usize, usize) {
    let page = Page {
        after: None,
        limit: 10,
    };
    let everything = Reach::Everything;
    let refused = &world.refused_punches;
    let waiting = refused.list(&everything, None, false, &page).await.unwrap();
    let page = Page {
        after: None,
        limit: 10,
    };
    let corrections = world
        .timesheets
        .corrections(&everything, Some(employee), "approved", &page);
    (waiting.len(), corrections.await.unwrap().len())
}

fn pulled(of: &'static Kind) -> impl Fn(&'static Kind, Call<'_>) -> Option<StoreError> {
    move |kind, call| {
        let write = matches!(call, Call::Put(_)) && kind == of;
        write.then(|| StoreError::Unavailable("pulled the plug".to_owned()))
    }
}

#[tokio::test]
async fn a_punch_whose_correction_was_not_made_can_be_added_again() {
    let world = instance();
    let (ann, bob) = (world.person("ann").await.id, world.person("bob").await.id);
    let id = refused(&world, "k1").await;
    world.site.store.fail(pulled(Timesheet::KIND));
    let failed = add(&world, id, ann).await;
    let Err(ResolveError::Timesheet(TimesheetError::Store(_))) = failed else {
        panic!("{failed:?}");
    };
    world.site.store.fail(|_, _| None);
    assert_eq!(counts(&world, ann).await, (1, 0));
    // For another manager, the first one may still be at it.
    let early = add(&world, id, bob).await;
    assert!(matches!(early, Err(ResolveError::BeingAdded)), "{early:?}");
    world.clock.advance(SignedDuration::from_mins(1));
    add(&world, id, bob).await.unwrap();
    assert_eq!(
        (counts(&world, ann).await, counts(&world, bob).await),
        ((0, 0), (0, 1))
    );
}

#[tokio::test]
async fn a_punch_whose_correction_was_made_is_not_added_twice() {
    let world = instance();
    let (ann, bob) = (world.person("ann").await.id, world.person("bob").await.id);
    let id = refused(&world, "k1").await;
    // The correction is made, and then the store fails.
    world.site.store.fail(second(RefusedPunch::KIND));
    let failed = add(&world, id, ann).await;
    assert!(matches!(failed, Err(ResolveError::Store(_))), "{failed:?}");
    world.site.store.fail(|_, _| None);
    assert_eq!(counts(&world, ann).await, (1, 1));
    world.clock.advance(SignedDuration::from_mins(5));
    let again = add(&world, id, bob).await;
    assert!(matches!(again, Err(ResolveError::Resolved)), "{again:?}");
    assert_eq!(
        (counts(&world, ann).await, counts(&world, bob).await),
        ((0, 1), (0, 0))
    );

    // The answer of the store is lost.
    let id = refused(&world, "k2").await;
    world.site.store.lose_answers(pulled(Timesheet::KIND));
    let lost = add(&world, id, bob).await;
    assert!(matches!(lost, Err(ResolveError::Timesheet(_))), "{lost:?}");
    world.site.store.lose_answers(|_, _| None);
    let again = add(&world, id, bob).await;
    assert!(matches!(again, Err(ResolveError::Resolved)), "{again:?}");
    assert_eq!(counts(&world, bob).await, (0, 1));
}
