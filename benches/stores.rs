//! Measures what a kiosk and an admin wait for in a store: writing a punch, finding one by its
//! request, 10,000 employees as one page and by the hundred, and the punches of one employee's
//! year. On SQLite, on a Redis that writes every punch to the disk before it answers, and in
//! memory.
//!
//! `cargo bench --bench stores`. Without a `redis-server` that part is skipped.

#[path = "../tests/support/frozen.rs"]
mod frozen;
#[path = "../tests/support/ports.rs"]
mod ports;
#[path = "../tests/support/records.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod records;
#[path = "../tests/support/redis.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod redis_server;

use std::{cell::Cell, sync::Arc};

use criterion::Criterion;
use futures::{StreamExt, TryStreamExt, stream};
use rollcall::{
    domain::{
        attendance::{Origin, Punch},
        grants::Reach,
    },
    ports::{EmployeeFilter, PunchFilter, RecordEngine},
    repositories::{KINDS, Repositories},
    storage::{
        memory::MemoryEngine,
        redis::{Address, RedisEngine},
        sqlite::SqliteEngine,
    },
};
use tokio::runtime::Runtime;

use records::{after, device_id, employee, employee_id, first, key, punch, request};
use redis_server::RedisServer;

const EMPLOYEES: usize = 10_000;
const PAGE: usize = 100;
/// Punches of an employee in a year: four on each of 250 days.
const YEAR: u64 = 1_000;
/// How many records are written at once before the measurement.
const AT_ONCE: usize = 64;
/// Milliseconds from punch to punch.
const EVERY: i64 = 2 * 3_600_000;

fn measure(
    criterion: &mut Criterion,
    runtime: &Runtime,
    name: &str,
    engine: Arc<dyn RecordEngine>,
) {
    let stores = Repositories::new(engine);
    let (one, other, kiosk) = (employee_id(), employee_id(), device_id());
    let keyed = |employee, number: u64| Punch {
        request: Some(request(&format!("{employee}-{number}"))),
        ..punch(employee, kiosk, number, number as i64 * EVERY)
    };
    let filled = async {
        stream::iter(0..EMPLOYEES)
            .map(|number| {
                let person = employee(&format!("Person {number:05}"), &format!("P{number}"));
                let stores = &stores;
                async move { stores.employees.insert(&person).await }
            })
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>()
            .await?;
        stream::iter(1..=YEAR)
            .map(|number| {
                let (punch, stores) = (keyed(one, number), &stores);
                async move { stores.punches.append(&punch).await }
            })
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>()
            .await
    };
    runtime.block_on(filled).unwrap();

    let mut group = criterion.benchmark_group(name);
    let number = Cell::new(0);
    group.bench_function("append a punch", |b| {
        b.iter(|| {
            number.set(number.get() + 1);
            let punch = keyed(other, number.get());
            runtime.block_on(stores.punches.append(&punch)).unwrap();
        });
    });
    let wanted = key(&format!("{one}-{}", YEAR / 2));
    group.bench_function("find a punch by its request", |b| {
        b.iter(|| {
            let found = stores
                .punches
                .find_by_request(Origin::Device(kiosk), &wanted);
            assert!(runtime.block_on(found).unwrap().is_some());
        });
    });
    let everyone = EmployeeFilter::default();
    let half = first(EMPLOYEES / 2);
    let half = runtime.block_on(stores.employees.list(&Reach::Everything, &everyone, &half));
    let half = half.unwrap();
    let last = half.last().unwrap();
    let page = after((last.name.key(), last.id), PAGE);
    group.bench_function(format!("{PAGE} of {EMPLOYEES} employees"), |b| {
        b.iter(|| {
            let found = stores.employees.list(&Reach::Everything, &everyone, &page);
            assert_eq!(runtime.block_on(found).unwrap().len(), PAGE);
        });
    });
    let all = first(EMPLOYEES);
    group.bench_function(format!("{EMPLOYEES} employees"), |b| {
        b.iter(|| {
            let found = stores.employees.list(&Reach::Everything, &everyone, &all);
            assert_eq!(runtime.block_on(found).unwrap().len(), EMPLOYEES);
        });
    });
    let year = PunchFilter {
        employee: Some(one),
        ..PunchFilter::default()
    };
    let whole = first(YEAR as usize);
    group.bench_function(format!("{YEAR} punches of an employee"), |b| {
        b.iter(|| {
            let found = stores.punches.list(&Reach::Everything, &year, &whole);
            assert_eq!(runtime.block_on(found).unwrap().len(), whole.limit);
        });
    });
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().sample_size(30).configure_from_args();
    let runtime = Runtime::new().unwrap();

    measure(
        &mut criterion,
        &runtime,
        "memory",
        Arc::new(MemoryEngine::default()),
    );

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rollcall.db");
    let sqlite = runtime.block_on(SqliteEngine::open(&path, KINDS)).unwrap();
    measure(&mut criterion, &runtime, "sqlite", Arc::new(sqlite));

    match RedisServer::with(&["--appendonly", "yes", "--appendfsync", "always"]) {
        Ok(server) => {
            let address = Address::parse(&server.url().into(), None, None).unwrap();
            let redis = RedisEngine::new(address, "bench");
            measure(&mut criterion, &runtime, "redis", Arc::new(redis));
        }
        Err(why) => println!("skipped: redis, because {why}"),
    }
    criterion.final_summary();
}
