//! Measures an export of 1,000 employees with 31 days each, and how much memory it needs: workdays
//! as a workbook, as CSV and as JSON, from SQLite.
//!
//! `cargo bench --bench exports`. It fails if the memory grows by 64 MB or more, or with the number
//! of rows.

#[path = "../tests/support/records.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod records;

use std::{fs, io::Read, path::PathBuf, sync::Arc, time::Instant};

use futures::{StreamExt, TryStreamExt, stream};
use jiff::{Timestamp, civil::date};
use rollcall::{
    clock::{Clock, SystemClock},
    domain::{
        accounts::Actor,
        attendance::{DateRange, Punch, PunchKind},
        grants::Reach,
        ids::SiteId,
        sites::Zone,
    },
    repositories::{KINDS, Repositories},
    service::{
        audit::Audit,
        balances::Balances,
        exports::{
            Exports, Selection, Table, What,
            table::{CsvStyle, TextFormat, TextWriter},
            workbook,
        },
        feed::Feed,
        plans::Plans,
        sites::{Seed, Sites},
        workdays::Workdays,
    },
    storage::{memory::MemoryBus, sqlite::SqliteEngine},
};
use tokio::runtime::Runtime;

use records::{device_id, employee, punch};

const EMPLOYEES: usize = 1000;
const DAYS: u64 = 31;
const ROUNDS: usize = 5;
const MOST_GROWTH: u64 = 64 << 10;

/// Writes employees with four punches on each day of March 2026.
async fn fill(stores: &Repositories) {
    let kiosk = device_id();
    let midnight: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
    let people = (0..EMPLOYEES).map(|number| {
        let person = employee(&format!("Person {number:05}"), &format!("P{number}"));
        let punches = (0..DAYS * 4).map({
            let id = person.id;
            move |number| {
                let (kind, minutes) = match number % 4 {
                    0 => (PunchKind::In, 8 * 60),
                    1 => (PunchKind::BreakStart, 12 * 60),
                    2 => (PunchKind::BreakEnd, 12 * 60 + 30),
                    _ => (PunchKind::Out, 16 * 60 + 40),
                };
                let minutes = (number / 4 * 24 * 60 + minutes) as i64;
                Punch {
                    kind,
                    at: midnight + jiff::SignedDuration::from_mins(minutes),
                    ..punch(id, kiosk, number + 1, 0)
                }
            }
        });
        (person, punches.collect::<Vec<_>>())
    });
    for (person, punches) in people {
        stores.employees.insert(&person).await.unwrap();
        let written =
            stream::iter(punches).map(|punch| async move { stores.punches.append(&punch).await });
        written
            .buffer_unordered(64)
            .try_collect::<()>()
            .await
            .unwrap();
    }
}

fn exports(stores: &Repositories, folder: PathBuf) -> Arc<Exports> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let audit = Audit::new(stores.audit.clone(), clock.clone());
    let seed = Seed {
        zone: Zone::parse("Europe/Berlin").unwrap(),
        workday_starts: jiff::civil::time(4, 0, 0, 0),
    };
    let feed = Feed::new(Arc::new(MemoryBus::default()));
    let sites = Sites::new(
        stores.clone(),
        seed,
        audit.clone(),
        clock.clone(),
        feed.clone(),
    );
    let sites = Arc::new(sites);
    let plans = Plans::new(stores.clone(), sites.clone(), clock.clone(), feed);
    let plans = Arc::new(plans);
    let workdays = Workdays::new(stores.clone(), sites.clone(), plans.clone(), clock.clone());
    let workdays = Arc::new(workdays);
    let balances = Balances::new(stores.clone(), workdays.clone(), audit.clone(), clock);
    let balances = Arc::new(balances);
    Arc::new(Exports::new(
        stores.clone(),
        workdays,
        balances,
        plans,
        sites,
        audit,
        folder,
    ))
}

async fn begin(exports: &Arc<Exports>, days: i8) -> Table {
    let selection = Selection {
        range: DateRange {
            from: date(2026, 3, 1),
            to: date(2026, 3, days),
        },
        site: None::<SiteId>,
        employee: None,
        approved_only: false,
    };
    let reach = &Reach::Everything;
    let begun = exports.begin(Actor::Operator, reach, What::Days, selection, "bench");
    begun.await.unwrap()
}

async fn as_workbook(exports: &Arc<Exports>, days: i8) -> usize {
    let table = begin(exports, days).await;
    let mut file = workbook::write(table, "Days", None, exports.folder())
        .await
        .unwrap();
    let (mut size, mut buffer) = (0, vec![0; 1 << 16]);
    loop {
        match file.read(&mut buffer).unwrap() {
            0 => return size,
            read => size += read,
        }
    }
}

async fn as_text(exports: &Arc<Exports>, days: i8, format: TextFormat) -> usize {
    let Table { columns, mut pages } = begin(exports, days).await;
    let mut writer = TextWriter::new(columns, format);
    let mut size = writer.begin().unwrap().len();
    while let Some(rows) = pages.try_next().await.unwrap() {
        size += writer.rows(&rows).unwrap().len();
    }
    size + writer.end().len()
}

/// The resident memory, and the most since the last reset, KiB.
fn memory() -> (u64, u64) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.unwrap_or_default()
    };
    (field("VmRSS:"), field("VmHWM:"))
}

/// Returns by how much the memory grows during an export, KiB.
async fn growth(exports: &Arc<Exports>, days: i8) -> u64 {
    // Resets the peak to the present.
    let _ = fs::write("/proc/self/clear_refs", "5");
    let (before, _) = memory();
    as_workbook(exports, days).await;
    let (_, peak) = memory();
    peak.saturating_sub(before)
}

fn main() {
    let runtime = Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rollcall.db");
    runtime.block_on(async {
        let engine = SqliteEngine::open(&path, KINDS).await.unwrap();
        let stores = Repositories::new(Arc::new(engine));
        fill(&stores).await;
        let exports = exports(&stores, folder.path().to_owned());
        let (few, many) = (
            growth(&exports, 3).await,
            growth(&exports, DAYS as i8).await,
        );
        println!("memory growth: {few} KiB for 3,000 rows, {many} KiB for 31,000 rows");
        assert!(many < MOST_GROWTH, "an export needs too much memory");
        for (name, format) in [
            ("xlsx", None),
            ("csv", Some(TextFormat::Csv(CsvStyle::default()))),
            ("json", Some(TextFormat::Json)),
        ] {
            let mut best = f64::MAX;
            let mut size = 0;
            for _ in 0..ROUNDS {
                let started = Instant::now();
                size = match format {
                    None => as_workbook(&exports, DAYS as i8).await,
                    Some(format) => as_text(&exports, DAYS as i8, format).await,
                };
                best = best.min(started.elapsed().as_secs_f64());
            }
            println!("{EMPLOYEES} employees x {DAYS} days as {name}: {best:.2} s, {size} bytes");
        }
    });
}
