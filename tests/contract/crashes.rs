//! Acknowledged punches survive `kill -9` in the middle of writing, each once.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rollcall::{
    domain::{
        attendance::{Origin, Punch},
        grants::Reach,
        ids::{DeviceId, EmployeeId, PunchId},
    },
    ports::{PunchFilter, StoreError},
    repositories::Repositories,
};
use tokio::task::JoinHandle;

use crate::{
    lasting_redis, mongo, outages::RECOVERY, records::*, redis, redis_server::RedisServer,
    servers::MongoServer, skip::skip, sqlite,
};

/// Number of concurrent writers, each for an employee of its own.
const WRITERS: usize = 8;

/// Number of acknowledgements to wait for before the kill.
const ENOUGH: usize = 200;

/// Contains the path of the database; makes [`child_that_writes_until_it_is_killed`] run.
const CHILD: &str = "ROLLCALL_CONTRACT_CHILD";

/// Precedes each acknowledged ID on the child's standard output.
const ACKNOWLEDGED: &str = "acknowledged ";

/// Writes punches of an employee one after the other, each with a key, until one fails.
async fn write(
    stores: &Repositories,
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

/// Repeats a read while its server, on a busy machine, does not answer within the time of a call.
async fn patiently<T, F: Future<Output = Result<T, StoreError>>>(read: impl Fn() -> F) -> T {
    let begun = Instant::now();
    loop {
        match read().await {
            Err(StoreError::Unavailable(_)) if begun.elapsed() < RECOVERY => {}
            answer => return answer.unwrap(),
        }
    }
}

/// Checks that everything acknowledged before this many kills exists once, and that no sequence
/// number is missing.
async fn check(stores: &Repositories, acknowledged: &BTreeSet<PunchId>, kills: usize) {
    let (filter, page) = (PunchFilter::default(), first(100_000));
    let list = || stores.punches.list(&Reach::Everything, &filter, &page);
    let all = patiently(list).await;
    let found: BTreeSet<_> = all.iter().map(|punch| punch.id).collect();
    assert_eq!(found.len(), all.len(), "a punch exists twice");
    let lost = acknowledged.difference(&found).count();
    assert_eq!(lost, 0, "of {} acknowledged punches", acknowledged.len());
    // At most the last write of each writer was done but not acknowledged.
    assert!(all.len() <= acknowledged.len() + WRITERS * kills);
    let employees: BTreeSet<_> = all.iter().map(|punch| punch.employee).collect();
    for employee in employees {
        let last = patiently(|| stores.punches.last_written(employee)).await;
        let written = all.iter().filter(|punch| punch.employee == employee);
        assert_eq!(written.count() as u64, last.unwrap().sequence);
    }
}

/// Not a test by itself: the body of the process that the next test kills.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_that_writes_until_it_is_killed() {
    let Some(path) = std::env::var_os(CHILD) else {
        return;
    };
    let stores = sqlite(Path::new(&path)).await;
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
    // The second round starts with what the first kill left behind.
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
        // What is left in the pipe after the kill was also acknowledged.
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
        let stores = sqlite(&path).await;
        check(&stores, &acknowledged, round).await;
        stores.engine.close().await;
    }
}

/// Writes from many tasks, kills the server in the middle, restarts it, and checks the records.
async fn a_killed_server_keeps_what_it_acknowledged<S>(
    stores: Repositories,
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
    // On a busy machine, a writer may end because one of its writes took too long.
    while !enough.load(Ordering::SeqCst) && !writers.iter().all(JoinHandle::is_finished) {
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

    // The results of these writes are unknown: a lookup by key finds them, and a retry writes those
    // that are missing.
    for punch in interrupted {
        let key = punch.request.clone().unwrap().key;
        let origin = Origin::Device(device);
        let before = patiently(|| stores.punches.find_by_request(origin, &key)).await;
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
    let stores = mongo(&server, "killed").await;
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
    let stores = redis(&server.url());
    a_killed_server_keeps_what_it_acknowledged(
        stores,
        &mut server,
        RedisServer::kill,
        RedisServer::restart,
    )
    .await;
}
