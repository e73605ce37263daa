//! Running balances, and the entries beside days.

use std::collections::BTreeMap;

use jiff::{
    SignedDuration,
    civil::{Date, date},
};
use rollcall::{
    domain::{
        attendance::{DateRange, PunchKind},
        balances::{BalanceKind, RunningBalance},
        grants::Reach,
        ids::EmployeeId,
        text::Reason,
    },
    ports::Page,
    service::{
        balances::{BalanceError, NewBalanceEntry},
        timesheets::{By, Change, NewCorrection},
    },
};

use crate::{
    timesheets::{ADMIN, add, at, correction, days, locked, punched, sheet_from, worked},
    world::{Instance, instance},
};

const HOUR: i64 = 3600;

fn entry(kind: BalanceKind, date: Date, hours: i64) -> NewBalanceEntry {
    NewBalanceEntry {
        date,
        kind,
        seconds: hours * HOUR,
        reason: Reason::parse("Old system").unwrap(),
    }
}

/// Returns the hours at the start of a range, at the end of each day that is over, and at the end.
async fn hours(world: &Instance, of: EmployeeId, range: DateRange) -> (i64, Vec<i64>, i64) {
    let found = world.balances.days(&Reach::Everything, of, range).await;
    let (_, RunningBalance { start, days, end }) = found.unwrap();
    let days = days.into_values().map(|seconds| seconds / HOUR);
    (start / HOUR, days.collect(), end / HOUR)
}

#[tokio::test]
async fn a_running_balance_has_days_and_entries() {
    let world = instance();
    let ann = worked(&world).await;
    let range = days("12-01", "12-04");
    assert_eq!(hours(&world, ann, range).await, (0, vec![0, 8, 8, 8], 8));
    assert_eq!(hours(&world, ann, days("12-04", "12-04")).await.0, 8);

    let balances = &world.balances;
    let third = date(2025, 12, 3);
    let add = async |new| balances.add(ADMIN, ann, new).await;
    let payout = add(entry(BalanceKind::Payout, third, -3)).await.unwrap();
    assert_eq!(hours(&world, ann, range).await, (0, vec![0, 8, 5, 5], 5));
    let opening = add(entry(BalanceKind::Opening, third, 100)).await.unwrap();
    let expected = (0, vec![0, 8, 97, 97], 97);
    assert_eq!(hours(&world, ann, range).await, expected);
    // What was before the opening value does not count.
    let later = days("12-03", "12-04");
    assert_eq!(hours(&world, ann, later).await, (100, vec![97, 97], 97));
    let again = add(entry(BalanceKind::Opening, third, 5)).await;
    assert!(matches!(again, Err(BalanceError::Opened)), "{again:?}");

    let page = Page {
        after: None,
        limit: 9,
    };
    let listed = balances.list(&Reach::Everything, ann, &page).await.unwrap();
    assert_eq!(listed.len(), 2);
    balances.remove(ADMIN, opening.id).await.unwrap();
    let again = balances.remove(ADMIN, opening.id).await;
    assert!(matches!(again, Err(BalanceError::NotFound)), "{again:?}");
    balances.remove(ADMIN, payout.id).await.unwrap();
    assert_eq!(hours(&world, ann, range).await.2, 8);
    let nobody = balances.list(&Reach::nothing(), ann, &page).await;
    assert!(matches!(nobody, Err(BalanceError::NoEmployee)));
}

#[tokio::test]
async fn days_count_from_the_first_punch_until_yesterday() {
    let world = instance();
    let ann = worked(&world).await;
    // Today is 2026-01-15.
    let today = |clock: &str| format!("2026-01-15T{clock}:00Z").parse().unwrap();
    let punches = [
        (PunchKind::In, today("06:00")),
        (PunchKind::Out, today("08:00")),
    ];
    punched(&world, ann, &punches).await;
    let range = DateRange {
        from: date(2026, 1, 14),
        to: date(2026, 1, 16),
    };
    assert_eq!(hours(&world, ann, range).await, (8, vec![8], 8));
    // Punches that were added for earlier days count, too.
    for (kind, clock) in [(PunchKind::In, "08:00"), (PunchKind::Out, "10:00")] {
        let new = add(kind, at("11-03", clock));
        world.timesheets.correct(ADMIN, ann, new).await.unwrap();
    }
    assert_eq!(hours(&world, ann, range).await.0, 10);
    // Without any punch, nothing counts but entries.
    let ben = world.person("Ben").await.employee.id;
    let new = entry(BalanceKind::Manual, date(2026, 1, 2), 4);
    world.balances.add(ADMIN, ben, new).await.unwrap();
    assert_eq!(hours(&world, ben, range).await, (4, vec![4], 4));
}

#[tokio::test]
async fn a_locked_period_keeps_its_entries_and_counts_with_its_adjustments() {
    let world = instance();
    let ann = worked(&world).await;
    let (balances, day) = (&world.balances, date(2025, 12, 31));
    let old = entry(BalanceKind::Manual, day, 2);
    let old = balances.add(ADMIN, ann, old).await.unwrap();
    locked(&world, ann).await;
    let new = entry(BalanceKind::Payout, day, -1);
    let refused = balances.add(ADMIN, ann, new).await;
    assert!(matches!(refused, Err(BalanceError::Locked(at)) if at == day));
    let refused = balances.remove(ADMIN, old.id).await;
    assert!(matches!(refused, Err(BalanceError::Locked(_))));
    let next = entry(BalanceKind::Payout, date(2026, 1, 1), -1);
    balances.add(ADMIN, ann, next).await.unwrap();

    let new_year = days("12-31", "12-31");
    assert_eq!(hours(&world, ann, new_year).await, (8, vec![10], 10));
    let out = world.stores.punches.last_written(ann).await.unwrap();
    let punch = out.unwrap().id;
    let adjust = async |change| {
        let new = NewCorrection {
            adjust: true,
            ..correction(change)
        };
        world.timesheets.correct(ADMIN, ann, new).await.unwrap();
    };
    let earlier = at("12-02", "15:00");
    adjust(Change::Move { punch, at: earlier }).await;
    assert_eq!(hours(&world, ann, new_year).await, (7, vec![9], 9));
    // The adjustment of a day without an out is held, so what was approved counts.
    adjust(Change::Void { punch }).await;
    assert_eq!(hours(&world, ann, new_year).await, (8, vec![10], 10));
}

#[tokio::test]
async fn what_was_settled_counts_although_the_day_is_held_later() {
    let world = instance();
    let ann = worked(&world).await;
    locked(&world, ann).await;
    let out = world.stores.punches.last_written(ann).await.unwrap();
    let punch = out.unwrap().id;
    let adjust = async |change| {
        let new = NewCorrection {
            adjust: true,
            ..correction(change)
        };
        world.timesheets.correct(ADMIN, ann, new).await.unwrap();
    };
    let earlier = at("12-02", "15:00");
    adjust(Change::Move { punch, at: earlier }).await;
    // The approval of January settles it.
    world.clock.advance(SignedDuration::from_hours(20 * 24));
    let january = sheet_from(ann, date(2026, 1, 1));
    let sheets = &world.timesheets;
    let digest = sheets.find(&Reach::Everything, january).await.unwrap();
    let digest = digest.digest;
    let approved = sheets.approve(ADMIN, january, &digest, None).await;
    approved.unwrap();
    adjust(Change::Void { punch }).await;
    let new_year = days("12-31", "12-31");
    assert_eq!(hours(&world, ann, new_year).await, (7, vec![7], 7));
}

#[tokio::test]
async fn nobody_changes_their_own_balance() {
    let world = instance();
    let ann = worked(&world).await;
    let manager = By {
        own: Some(ann),
        ..ADMIN
    };
    let new = entry(BalanceKind::Manual, date(2025, 12, 3), 5);
    let refused = world.balances.add(manager, ann, new.clone()).await;
    assert!(matches!(refused, Err(BalanceError::OwnHours)));
    let made = world.balances.add(ADMIN, ann, new).await.unwrap();
    let refused = world.balances.remove(manager, made.id).await;
    assert!(matches!(refused, Err(BalanceError::OwnHours)));
    let range = days("12-01", "12-04");
    let found = world.balances.days(&Reach::Everything, ann, range).await;
    let of_days: BTreeMap<_, _> = found.unwrap().1.days;
    assert_eq!(of_days[&date(2025, 12, 3)], 13 * HOUR);
}
