//! What was acknowledged survives `kill -9` in the middle of writing, once.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rollcall::{
    domain::{
        attendance::Punch,
        ids::{DeviceId, EmployeeId, PunchId},
    },
    ports::{PunchFilter, StoreError, Stores},
    storage::{mongo::MongoStore, sqlite::SqliteStore},
};

use crate::{
    lasting_redis, mongo_settings, records::*, redis_server::RedisServer, redis_store,
    servers::MongoServer, skip::skip,
};

/// How many write at the same time, each for an employee of its own.
const WRITERS: usize = 8;

/// How many acknowledgements to wait for before the kill.
const ENOUGH: usize = 200;

/// Names the database file, and makes [`child_that_writes_until_it_is_killed`] do so.
const CHILD: &str = "ROLLCALL_CONTRACT_CHILD";

/// Comes before each acknowledged identity on the child's standard output.
const ACKNOWLEDGED: &str = "acknowledged ";

/// Writes the employee's punches one after the other, each with a key, until one fails.
async fn write(
    stores: &Stores,
    employee: EmployeeId,
    device: DeviceId,
    acknowledge: impl Fn(PunchId),
) -> (Punch, StoreError) {
    let mut sequence = 0;
    loop {
        sequence += 1;
        let mut one = punch(employee, device, sequence, sequence as i64);
        one.request = Some(request(&format!("{employee}-{sequence}")));
        match stores.punches.append(&one).await {
            Ok(()) => acknowledge(one.id),
            Err(error) => return (one, error),
        }
    }
}

/// Holds the store to what was acknowledged before so many kills: all there, nothing twice, no sequence left out.
async fn check(stores: &Stores, acknowledged: &BTreeSet<PunchId>, kills: usize) {
    let all = stores
        .punches
        .list(&PunchFilter::default(), &first(100_000))
        .await
        .unwrap();
    let found: BTreeSet<_> = all.iter().map(|punch| punch.id).collect();
    assert_eq!(found.len(), all.len(), "a punch is there twice");
    let lost = acknowledged.difference(&found).count();
    assert_eq!(lost, 0, "of {} acknowledged punches", acknowledged.len());
    // At most the last write of each writer was made and not acknowledged.
    assert!(all.len() <= acknowledged.len() + WRITERS * kills);
    for punch in &all {
        let last = stores.punches.last_written(punch.employee).await.unwrap();
        let written = all.iter().filter(|other| other.employee == punch.employee);
        assert_eq!(written.count() as u64, last.unwrap().sequence);
    }
}

/// Not a test by itself: the body of the process that the next one kills.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_that_writes_until_it_is_killed() {
    let Some(path) = std::env::var_os(CHILD) else {
        return;
    };
    let store = SqliteStore::open(Path::new(&path)).await.unwrap();
    let stores = Stores::of(Arc::new(store));
    let device = device_id();
    let writers = (0..WRITERS).map(|_| {
        write(&stores, employee_id(), device, |id| {
            let mut out = std::io::stdout().lock();
            writeln!(out, "\n{ACKNOWLEDGED}{id}").unwrap();
            out.flush().unwrap();
        })
    });
    let failed = futures::future::join_all(writers).await;
    panic!("writing failed before the kill: {failed:?}");
}

#[tokio::test]
async fn sqlite_keeps_what_it_acknowledged_when_its_process_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rollcall.db");
    let mut acknowledged = BTreeSet::new();
    // The second round begins on what the first kill left behind.
    for round in 1..=2 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "--nocapture",
                "crashes::child_that_writes_until_it_is_killed",
            ])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        // What the pipe still holds after the kill was acknowledged too.
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            if let Some(id) = line.unwrap().strip_prefix(ACKNOWLEDGED) {
                acknowledged.insert(id.parse().unwrap());
                if acknowledged.len() == ENOUGH * round {
                    child.kill().unwrap();
                }
            }
        }
        let ended = child.wait().unwrap();
        assert!(!ended.success());
        assert!(acknowledged.len() >= ENOUGH * round, "{ended}");
        let stores = Stores::of(Arc::new(SqliteStore::open(&path).await.unwrap()));
        check(&stores, &acknowledged, round).await;
        stores.health.close().await;
    }
}

/// Writes from many places, kills the server in the middle of it, brings it back, and holds it to
/// what it acknowledged.
async fn a_killed_server_keeps_what_it_acknowledged<S>(
    stores: Stores,
    server: &mut S,
    kill: fn(&mut S),
    restart: fn(&mut S),
) {
    let acknowledged = Arc::new(Mutex::new(BTreeSet::new()));
    let device = device_id();
    let enough = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let (stores, acknowledged, enough) =
                (stores.clone(), acknowledged.clone(), enough.clone());
            tokio::spawn(async move {
                write(&stores, employee_id(), device, |id| {
                    let mut acknowledged = acknowledged.lock().unwrap();
                    acknowledged.insert(id);
                    enough.store(acknowledged.len() >= ENOUGH, Ordering::SeqCst);
                })
                .await
            })
        })
        .collect();
    while !enough.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    kill(server);
    let mut interrupted = Vec::new();
    for writer in writers {
        let (punch, error) = writer.await.unwrap();
        assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
        interrupted.push(punch);
    }
    restart(server);
    crate::outages::until_it_answers(&stores).await;
    let acknowledged = acknowledged.lock().unwrap().clone();
    check(&stores, &acknowledged, 1).await;

    // Nothing was known of these: the key tells, and a retry writes what is missing.
    for punch in interrupted {
        let key = punch.request.clone().unwrap().key;
        let before = stores.punches.find_by_request(device, &key).await.unwrap();
        let retried = stores.punches.append(&punch).await;
        match before {
            Some(before) => {
                assert_eq!(before, punch);
                assert_eq!(retried, Err(StoreError::Conflict));
            }
            None => assert_eq!(retried, Ok(())),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mongo_keeps_what_it_acknowledged_when_the_server_is_killed() {
    let mut server = match MongoServer::start() {
        Ok(server) => server,
        Err(why) => return skip("mongo_keeps_what_it_acknowledged", &why),
    };
    let store = MongoStore::connect(mongo_settings(&server.uri(), "killed")).await;
    let stores = Stores::of(Arc::new(store.unwrap()));
    a_killed_server_keeps_what_it_acknowledged(
        stores,
        &mut server,
        MongoServer::kill,
        MongoServer::restart,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_keeps_what_it_acknowledged_when_the_server_is_killed() {
    let mut server = match lasting_redis() {
        Ok(server) => server,
        Err(why) => return skip("redis_keeps_what_it_acknowledged", &why),
    };
    let stores = Stores::of(redis_store(&server.url()));
    a_killed_server_keeps_what_it_acknowledged(
        stores,
        &mut server,
        RedisServer::kill,
        RedisServer::restart,
    )
    .await;
}
