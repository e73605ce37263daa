//! Imports when the store fails in the middle, and at the same moment.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use rollcall::{
    domain::{
        attendance::Timesheet,
        grants::Reach,
        plans::{Assignment, Leave, LeaveKind, LeaveState, LeaveUnit},
        record::{Index, Kind, Record},
        text::SiteName,
    },
    ports::{Range, StoreError},
    repositories::Collection,
    service::imports::{ImportError, ImportKind, ImportReport},
};

use crate::{
    failing_engine::Call,
    world::{ADMIN, Instance, instance},
};

const PEOPLE: &str = "name,code\nAnn,E1\nBen,E2\n";

async fn import(
    world: &Instance,
    kind: ImportKind,
    list: &str,
) -> Result<ImportReport, ImportError> {
    let imports = &world.imports;
    imports.import(ADMIN, kind, list.as_bytes(), false).await
}

fn report(rows: u64, existing: u64, written: u64) -> ImportReport {
    ImportReport {
        rows,
        existing,
        written,
        errors: Vec::new(),
    }
}

/// Returns an error for the second write of a kind.
pub fn second(of: &'static Kind) -> impl Fn(&'static Kind, Call<'_>) -> Option<StoreError> {
    let writes = AtomicUsize::new(0);
    move |kind, call| {
        let write = matches!(call, Call::Put(_)) && kind == of;
        let second = write && writes.fetch_add(1, Ordering::SeqCst) == 1;
        second.then(|| StoreError::Unavailable("pulled the plug".to_owned()))
    }
}

#[tokio::test]
async fn an_import_that_stops_says_what_is_written_and_is_repeated_without_harm() {
    let world = instance();
    import(&world, ImportKind::Employees, PEOPLE).await.unwrap();
    let list = "code,date,time,kind\nE1,2026-01-05,08:00,in\nE1,2026-01-05,16:00,out\n\
                E2,2026-01-05,08:00,in\nE2,2026-01-05,16:00,out\n";
    let kind = ImportKind::Punches;
    let stopped = |result| match result {
        Err(ImportError::Stopped(report, StoreError::Unavailable(_))) => report,
        other => panic!("{other:?}"),
    };
    world.site.store.fail(second(Timesheet::KIND));
    let found = stopped(import(&world, kind, list).await);
    assert_eq!(found, report(4, 0, 2));

    // Now the answer of a write is lost that was carried out.
    world.site.store.fail(|_, _| None);
    let lost = |kind: &'static Kind, call: Call<'_>| {
        let write = matches!(call, Call::Put(_)) && kind == Timesheet::KIND;
        write.then(|| StoreError::Unavailable("pulled the plug".to_owned()))
    };
    world.site.store.lose_answers(lost);
    let found = stopped(import(&world, kind, list).await);
    assert_eq!(found, report(4, 2, 0));
    world.site.store.lose_answers(|_, _| None);
    let found = import(&world, kind, list).await.unwrap();
    assert_eq!(found, report(4, 4, 0));
    let sheets = Collection::<Timesheet>::new(world.stores.engine.clone());
    let sheets = sheets.all(Index::ID, Range::all()).await.unwrap();
    let counts: Vec<_> = sheets.iter().map(|sheet| sheet.corrections.len()).collect();
    assert_eq!(counts, [2, 2]);
}

#[tokio::test]
async fn the_same_list_at_the_same_moment_is_written_once() {
    let world = Arc::new(instance());
    import(&world, ImportKind::Employees, PEOPLE).await.unwrap();
    let kind = LeaveKind {
        name: SiteName::parse("Vacation").unwrap(),
        paid: true,
        unit: LeaveUnit::Days,
        limited: false,
    };
    let everything = &Reach::Everything;
    world
        .leave_kinds
        .add(everything, ADMIN, kind)
        .await
        .unwrap();
    let leave = "code,kind,from\nE1,Vacation,2026-01-05\nE2,Vacation,2026-01-05\n";
    let free = "code,date,shifts\nE1,2026-01-06,-\nE2,2026-01-06,-\n";
    let lists = [(ImportKind::Leave, leave), (ImportKind::Assignments, free)];
    for (kind, list) in lists {
        let tasks = (0..4).map(|_| {
            let world = world.clone();
            tokio::spawn(async move { import(&world, kind, list).await.unwrap() })
        });
        for one in futures::future::join_all(tasks).await {
            let one = one.unwrap();
            assert_eq!(one.existing + one.written, 2, "{one:?}");
        }
    }
    let engine = &world.stores.engine;
    let all = Range::all();
    for kind in [Leave::KIND, Assignment::KIND] {
        let count = engine.count(kind, Index::ID, &all);
        assert_eq!(count.await, Ok(2), "{}", kind.name);
    }

    // Leave that was taken back is imported again.
    let book = Collection::<Leave>::new(engine.clone());
    let index = Index::ID;
    let one = book.all(index, all.clone()).await.unwrap().remove(0);
    let cancelled = LeaveState::Cancelled;
    let decided = world
        .leave
        .decide(everything, (ADMIN, None), one.id, cancelled);
    decided.await.unwrap();
    let again = import(&world, ImportKind::Leave, leave).await.unwrap();
    assert_eq!(again, report(2, 1, 1));
    let count = engine.count(Leave::KIND, index, &all).await;
    assert_eq!(count, Ok(3));
}
