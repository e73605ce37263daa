//! Timesheets with their corrections, balance entries and entitlements.

use std::collections::BTreeMap;

use jiff::civil::{Date, date};
use rollcall::{
    domain::{
        accounts::Actor,
        attendance::{
            Adjusted, Adjustment, Approval, Correction, DateRange, Decision, Derived, Progress,
            Timesheet,
        },
        balances::{BalanceEntry, BalanceKind},
        grants::Reach,
        ids::EmployeeId,
        plans::{Entitlement, LeaveState},
        record::Record,
    },
    ports::{LeaveFilter, Page, StoreError},
    repositories::{Repositories, Team},
};

use crate::{
    pages::all_pages,
    races::{one_wins, race},
    records::{
        at, balance_entry, correction, employee, employee_id, entitlement, leave, leave_kind,
    },
};

/// Returns a timesheet of a month of 2026.
fn sheet(of: EmployeeId, month: i8) -> Timesheet {
    let from = date(2026, month, 1);
    let to = from.last_of_month();
    Timesheet::new(of, DateRange { from, to })
}

fn locked(sheet: &Timesheet) -> Timesheet {
    let approval = Approval {
        digest: "ab".repeat(32),
        by: Actor::Operator,
        at: at(20),
        figures: Derived::default(),
        settled: vec![Adjustment {
            of: Adjusted::Day(date(2026, 2, 3)),
            worked: 0,
            overtime: 0,
            planned: 0,
            holiday: 0,
            leave: 0,
            // No store may stumble over the names that people chose.
            bands: BTreeMap::from([("Dr. $ 50 %".to_owned(), 60)]),
            leave_by_kind: BTreeMap::new(),
            held: false,
        }],
        overtime: true,
    };
    Timesheet {
        progress: Progress::Locked {
            approval,
            by: Actor::Operator,
            at: at(30),
        },
        ..sheet.clone()
    }
}

fn months(first: i8, last: i8) -> DateRange {
    DateRange {
        from: date(2026, first, 1),
        to: date(2026, last, 28),
    }
}

pub async fn timesheets_are_read_as_written_and_open_until_then(stores: &Repositories) {
    let sheets = &stores.timesheets;
    let (ann, ben) = (employee_id(), employee_id());
    let open = sheet(ann, 3);
    assert_eq!(sheets.find(open.id()).await, Ok(None));

    let mut written = open.clone();
    written.corrections = vec![correction(1), correction(2)];
    assert_eq!(sheets.exchange(&open, &written).await, Ok(true));
    assert_eq!(sheets.find(open.id()).await, Ok(Some(written.clone())));
    let stale = sheets.exchange(&open, &locked(&open)).await;
    assert_eq!(stale, Ok(false), "decided on an open one");
    let closed = locked(&written);
    assert_eq!(sheets.exchange(&written, &closed).await, Ok(true));
    assert_eq!(sheets.find(open.id()).await, Ok(Some(closed)));
    assert_eq!(sheets.find(sheet(ben, 3).id()).await, Ok(None));
}

pub async fn timesheets_are_found_by_employee_period_and_request(stores: &Repositories) {
    let sheets = &stores.timesheets;
    let (ann, ben) = (employee_id(), employee_id());
    let mut written = Vec::new();
    for (of, month, made) in [(ann, 1, 3), (ann, 2, 1), (ann, 4, 5), (ben, 2, 2)] {
        let open = sheet(of, month);
        let mut new = open.clone();
        let mut asked = correction(made);
        if month == 4 {
            asked.decision = Decision::Approved {
                by: Actor::Operator,
                at: at(9),
            };
        }
        new.corrections.push(asked);
        assert_eq!(sheets.exchange(&open, &new).await, Ok(true));
        written.push(new);
    }
    let [january, february, april, of_ben] = &written[..] else {
        unreachable!("four were written");
    };
    let clone = |all: &[&Timesheet]| all.iter().map(|one| (*one).clone()).collect::<Vec<_>>();
    let found = sheets.of_employee(ann, months(1, 2)).await;
    assert_eq!(found, Ok(clone(&[january, february])));
    let found = sheets.of_employee(ann, months(3, 12)).await;
    assert_eq!(found, Ok(clone(&[april])));
    let mut february_of_all = clone(&[february, of_ben]);
    february_of_all.sort_by_key(|one| one.employee);
    assert_eq!(sheets.of_all(months(2, 3)).await, Ok(february_of_all));
    // Without decided ones, by the first request.
    let undecided = clone(&[february, of_ben, january]);
    assert_eq!(sheets.undecided().await, Ok(undecided));
    for limit in [1, 2, 9] {
        let list = async |page| sheets.list_by_employee(ann, &page, |_| true).await;
        let listed = all_pages(limit, list, |one| one.to).await;
        assert_eq!(listed, clone(&[april, february, january]));
    }
    let Correction::Add(added) = april.corrections[0].change else {
        unreachable!("it adds a punch");
    };
    let first = sheets.first_added(ann, date(2026, 12, 31)).await;
    assert_eq!(first, Ok(Some(added.at)));
    assert_eq!(sheets.first_added(ann, date(2026, 3, 31)).await, Ok(None));
    assert_eq!(sheets.first_added(ben, date(2026, 12, 31)).await, Ok(None));
}

pub async fn of_many_corrections_of_a_timesheet_none_is_lost(stores: &Repositories) {
    let open = sheet(employee_id(), 3);
    let answers = race(|number| {
        let (sheets, open) = (stores.timesheets.clone(), open.clone());
        async move {
            // Fewer than could all find the record changed each time.
            if number >= 12 {
                return Ok(());
            }
            let changed = sheets.change(&open, |sheet| {
                sheet.correct(correction(number as i64), false).unwrap();
                Ok::<_, StoreError>(())
            });
            changed.await.map(drop)
        }
    });
    assert!(answers.await.iter().all(Result::is_ok));
    let sheet = stores.timesheets.find(open.id()).await.unwrap();
    assert_eq!(sheet.unwrap().corrections.len(), 12);
}

pub async fn of_a_lock_and_a_correction_one_is_written(stores: &Repositories) {
    let open = sheet(employee_id(), 3);
    let mut corrected = open.clone();
    corrected.corrections.push(correction(1));
    let news = [locked(&open), corrected];
    let answers = race(|number| {
        let (sheets, old) = (stores.timesheets.clone(), open.clone());
        let new = news[number % 2].clone();
        async move {
            match sheets.exchange(&old, &new).await {
                Ok(true) => Ok(()),
                Ok(false) => Err(StoreError::Conflict),
                Err(error) => Err(error),
            }
        }
    });
    one_wins(&answers.await);
    let kept = stores.timesheets.find(open.id()).await.unwrap();
    assert!(news.contains(&kept.unwrap()));
}

pub async fn an_employee_has_one_opening_value_at_a_date(stores: &Repositories) {
    let entries = &stores.balance_entries;
    let (ann, ben, day) = (employee_id(), employee_id(), date(2026, 1, 1));
    let opening = |of, date| balance_entry(of, date, BalanceKind::Opening, 1);
    let first = opening(ann, day);
    entries.insert(&first).await.unwrap();
    let again = entries.insert(&opening(ann, day)).await;
    assert_eq!(again, Err(StoreError::Conflict));
    for other in [
        opening(ben, day),
        opening(ann, date(2026, 1, 2)),
        balance_entry(ann, day, BalanceKind::Manual, 2),
        balance_entry(ann, day, BalanceKind::Manual, 3),
    ] {
        entries.insert(&other).await.unwrap();
        assert_eq!(entries.find(other.id).await, Ok(Some(other)));
    }
    assert_eq!(entries.remove(first.id).await, Ok(true));
    assert_eq!(entries.remove(first.id).await, Ok(false));
    entries.insert(&opening(ann, day)).await.unwrap();
}

pub async fn balance_entries_are_listed_by_date(stores: &Repositories) {
    let entries = &stores.balance_entries;
    let (ann, ben) = (employee_id(), employee_id());
    let mut all = Vec::new();
    for (number, day) in [5, 1, 3, 3].into_iter().enumerate() {
        let date = date(2026, 3, day);
        let made = number as i64;
        all.push(balance_entry(ann, date, BalanceKind::Payout, made));
    }
    let other = balance_entry(ben, date(2026, 3, 2), BalanceKind::Payout, 0);
    for entry in all.iter().chain([&other]) {
        entries.insert(entry).await.unwrap();
    }
    all.sort_by_key(|entry| (entry.date, entry.id));
    let until = entries.until(ann, date(2026, 3, 3)).await;
    assert_eq!(until, Ok(all[..3].to_vec()));
    let cursor = |entry: &BalanceEntry| (entry.date, entry.id);
    for limit in [1, 3, 9] {
        let list = async |page: Page<(Date, _)>| entries.list(ann, &page).await;
        let listed = all_pages(limit, list, cursor).await;
        assert!(listed.iter().eq(all.iter().rev()), "pages of {limit}");
    }
}

pub async fn entitlements_are_listed_by_employee_and_date(stores: &Repositories) {
    let book = &stores.entitlements;
    let (ann, ben, cem) = (
        employee("Ann", "A"),
        employee("Ben", "B"),
        employee("Cem", "C"),
    );
    let kind = leave_kind("Vacation").id;
    let mut all = Vec::new();
    for person in [&ben, &ann, &cem] {
        for year in [2027, 2026] {
            let one = entitlement(person.id, kind, year);
            book.insert(&one).await.unwrap();
            assert_eq!(book.find(one.id).await, Ok(Some(one.clone())));
            all.push(one);
        }
    }
    all.sort_by_key(|one| (one.employee, one.grant.from));
    let of_ann: Vec<_> = all
        .iter()
        .filter(|one| one.employee == ann.id)
        .cloned()
        .collect();
    assert_eq!(book.of(ann.id).await, Ok(of_ann.clone()));
    assert_eq!(book.any_of(kind).await, Ok(true));
    assert_eq!(book.any_of(leave_kind("Other").id).await, Ok(false));

    let team = Team::new(&Reach::Everything, [&ann, &ben]);
    let year = DateRange {
        from: date(2026, 12, 31),
        to: date(2026, 12, 31),
    };
    let cursor = |one: &Entitlement| (one.employee, one.grant.from, one.id);
    for limit in [1, 2, 9] {
        let list = async |page| book.list(&team, year, &page).await;
        let listed = all_pages(limit, list, cursor).await;
        let wanted =
            |one: &&Entitlement| one.employee != cem.id && one.grant.from == date(2026, 1, 1);
        assert!(
            listed.iter().eq(all.iter().filter(wanted)),
            "pages of {limit}"
        );
    }
    let mut more = of_ann[0].clone();
    more.grant.to = date(2026, 6, 30);
    assert_eq!(book.exchange(&of_ann[0], &more).await, Ok(true));
    assert_eq!(book.exchange(&of_ann[0], &more).await, Ok(false));
    assert_eq!(book.remove(more.id).await, Ok(true));
    assert_eq!(book.of(ann.id).await, Ok(of_ann[1..].to_vec()));
}

pub async fn leave_is_found_by_team_state_and_dates(stores: &Repositories) {
    let book = &stores.leave;
    let (ann, ben) = (employee("Ann", "A"), employee("Ben", "B"));
    let day = |day| date(2026, 3, day);
    let mut first = leave(ann.id, day(9), 3);
    first.to = day(12);
    let second = leave(ann.id, day(2), 4);
    let mut other = leave(ben.id, day(10), 1);
    other.state = LeaveState::Approved;
    for one in [&first, &second, &other] {
        book.insert(one).await.unwrap();
    }
    let both = Team::new(&Reach::Everything, [&ann, &ben]);
    let only = Team::new(&Reach::Everything, [&ann]);
    let within = |from, to| DateRange {
        from: day(from),
        to: day(to),
    };
    // In the order in which it was made.
    let found = book.covering(&both, within(11, 11)).await;
    assert_eq!(found, Ok(vec![first.clone()]));
    let found = book.covering(&both, within(10, 31)).await;
    assert_eq!(found, Ok(vec![other.clone(), first.clone()]));
    let found = book.covering(&only, within(1, 31)).await;
    assert_eq!(found, Ok(vec![first.clone(), second.clone()]));
    let filter = |state| LeaveFilter {
        state,
        within: within(1, 31),
    };
    for limit in [1, 9] {
        let requested = filter(Some(LeaveState::Requested));
        let list = async |page| book.list(&both, requested, &page).await;
        let listed = all_pages(limit, list, Clone::clone).await;
        assert_eq!(listed, [first.clone(), second.clone()]);
        let list = async |page| book.list(&only, filter(None), &page).await;
        let listed = all_pages(limit, list, Clone::clone).await;
        assert_eq!(listed, [second.clone(), first.clone()], "by date");
    }
    let mut approved = first.clone();
    approved.state = LeaveState::Approved;
    assert_eq!(book.exchange(&first, &approved).await, Ok(true));
    assert_eq!(book.exchange(&first, &approved).await, Ok(false));
    assert_eq!(book.find(first.id).await, Ok(Some(approved)));
}
