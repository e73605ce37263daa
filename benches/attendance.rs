//! Measures what attendance adds: the board of 1,000 employees, and what it takes to choose the kind
//! of a punch that does not say it. On SQLite and in memory. Everybody works early and late shifts in
//! turn, and has punched four times a day for two weeks.
//!
//! `cargo bench --bench attendance`.

#[path = "../tests/support/records.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod records;

use std::sync::Arc;

use criterion::Criterion;
use futures::{StreamExt, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp, civil};
use rollcall::{
    clock::{Clock, whole_milliseconds},
    domain::{
        attendance::{PunchKind, direction},
        employees::Employee,
        grants::Reach,
        ids::SiteId,
        plans::Assigned,
        sites::Zone,
    },
    ports::{RecordEngine, StoreError},
    repositories::{KINDS, Repositories},
    service::{
        audit::Audit,
        feed::Feed,
        plans::Plans,
        sites::{Seed, Sites},
        workdays::Workdays,
    },
    storage::{
        memory::{MemoryBus, MemoryEngine},
        sqlite::SqliteEngine,
    },
};
use tokio::runtime::Runtime;
use uuid::Uuid;

use records::{assignment, at, cycle, device_id, employee, punch, shift};

const EMPLOYEES: usize = 1_000;
/// Days on which everybody has punched, up to the present one.
const DAYS: u64 = 14;
/// How many records are written at once before the measurement.
const AT_ONCE: usize = 64;
const DAY: i64 = 24 * 3_600_000;
const HOUR: i64 = 3_600_000;

/// A clock that stands still in the middle of the last day.
struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        let noon = at((DAYS as i64 - 1) * DAY) + SignedDuration::from_hours(5);
        whole_milliseconds(noon)
    }

    fn id(&self) -> Uuid {
        Uuid::now_v7()
    }

    fn secret(&self) -> [u8; 32] {
        [7; 32]
    }
}

/// Writes employees with plans and punches, whose kinds alternate.
async fn fill(stores: &Repositories) -> Result<Vec<Employee>, StoreError> {
    let early = shift(SiteId::DEFAULT, "Early", "06:00", "14:00");
    let late = shift(SiteId::DEFAULT, "Late", "14:00", "22:00");
    let weeks: Vec<_> = [early.id; 5]
        .into_iter()
        .map(Some)
        .chain([None, None])
        .chain([late.id; 5].into_iter().map(Some))
        .chain([None, None])
        .collect();
    let cycle = cycle(SiteId::DEFAULT, "Turns", &weeks);
    stores.shift_kinds.insert(&early).await?;
    stores.shift_kinds.insert(&late).await?;
    stores.cycles.insert(&cycle).await?;
    let people: Vec<_> = (0..EMPLOYEES)
        .map(|number| employee(&format!("Person {number:05}"), &format!("P{number}")))
        .collect();
    let (kiosk, plan) = (
        device_id(),
        Assigned::Cycle {
            cycle: cycle.id,
            from: civil::date(2026, 1, 1),
            to: None,
        },
    );
    stream::iter(&people)
        .map(|person| {
            let assigned = assignment(person.id, plan.clone(), 0);
            async move {
                stores.employees.insert(person).await?;
                stores.assignments.insert(&assigned).await?;
                for number in 0..DAYS * 4 {
                    let (day, hour) = ((number / 4) as i64, [0, 4, 5, 8][(number % 4) as usize]);
                    let mut punch = punch(person.id, kiosk, number + 1, day * DAY + hour * HOUR);
                    punch.kind = match number % 2 {
                        0 => PunchKind::In,
                        _ => PunchKind::Out,
                    };
                    stores.punches.append(&punch).await?;
                }
                Ok::<_, StoreError>(())
            }
        })
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await?;
    Ok(people)
}

fn measure(
    criterion: &mut Criterion,
    runtime: &Runtime,
    name: &str,
    engine: Arc<dyn RecordEngine>,
) {
    let stores = Repositories::new(engine);
    let people = runtime.block_on(fill(&stores)).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(Noon);
    let feed = Feed::new(Arc::new(MemoryBus::default()));
    let audit = Audit::new(stores.audit.clone(), clock.clone());
    let seed = Seed {
        zone: Zone::UTC,
        workday_starts: civil::time(4, 0, 0, 0),
    };
    let sites = Sites::new(stores.clone(), seed, audit, clock.clone(), feed.clone());
    let sites = Arc::new(sites);
    let plans = Plans::new(stores.clone(), sites.clone(), clock.clone(), feed);
    let workdays = Workdays::new(stores.clone(), sites, Arc::new(plans), clock.clone());

    let mut group = criterion.benchmark_group(name);
    group.bench_function(format!("the board of {EMPLOYEES} employees"), |b| {
        b.iter(|| {
            let lines = workdays.board(&Reach::Everything, None, None);
            assert_eq!(runtime.block_on(lines).unwrap().len(), EMPLOYEES);
        });
    });
    let one = &people[EMPLOYEES / 2];
    group.bench_function("the kind of a punch", |b| {
        b.iter(|| {
            let now = clock.now();
            let record = runtime.block_on(workdays.on_record_before(one, now));
            let record = record.unwrap();
            let terms = record.plan.terms();
            direction(&record.punches, &record.corrections, terms, now)
        });
    });
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().sample_size(20).configure_from_args();
    let runtime = Runtime::new().unwrap();
    let memory = Arc::new(MemoryEngine::default());
    measure(&mut criterion, &runtime, "memory", memory);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rollcall.db");
    let sqlite = runtime.block_on(SqliteEngine::open(&path, KINDS)).unwrap();
    measure(&mut criterion, &runtime, "sqlite", Arc::new(sqlite));
    criterion.final_summary();
}
