//! Acknowledged records survive `kill -9` in the middle of writing.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
};

use futures::future::join_all;
use rollcall::{
    domain::record::Index,
    ports::{Range, RecordEngine, StoreError},
    storage::sqlite::SqliteEngine,
};

use crate::things::{CODE, Change, KINDS, TIME, ids, thing};

/// Number of concurrent writers.
const WRITERS: u64 = 8;

/// Number of acknowledgements to wait for before each kill.
const ENOUGH: usize = 200;

/// Contains the path of the database; makes [`child_that_writes_until_it_is_killed`] run.
const CHILD: &str = "ROLLCALL_ENGINES_CHILD";

/// Precedes each acknowledged ID on the child's standard output.
const ACKNOWLEDGED: &str = "acknowledged ";

/// Writes things with keys one after the other, until one fails.
async fn write(
    engine: &dyn RecordEngine,
    writer: &str,
    acknowledge: impl Fn(&str),
) -> (String, StoreError) {
    for number in 0_u64.. {
        let id = format!("{writer}-{number:06}");
        let write = thing(&id).key(CODE, (&id,)).key(TIME, (number,));
        match engine.put(write).await {
            Ok(_) => acknowledge(&id),
            Err(error) => return (id, error),
        }
    }
    unreachable!()
}

/// Checks that everything acknowledged before this many kills exists, in every index.
async fn check(engine: &dyn RecordEngine, acknowledged: &BTreeSet<String>, kills: usize) {
    let found = ids(engine, Index::ID, &Range::all()).await;
    let there: BTreeSet<_> = found.iter().cloned().collect();
    let lost = acknowledged.difference(&there).count();
    assert_eq!(lost, 0, "of {} acknowledged", acknowledged.len());
    // At most the last write of each writer was done but not acknowledged.
    assert!(there.len() <= acknowledged.len() + WRITERS as usize * kills);
    assert_eq!(ids(engine, CODE, &Range::all()).await, found);
    let timed = ids(engine, TIME, &Range::all()).await;
    assert_eq!(timed.into_iter().collect::<BTreeSet<_>>(), there);
}

/// Not a test by itself: the body of the process that the next test kills.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_that_writes_until_it_is_killed() {
    let Some(path) = std::env::var_os(CHILD) else {
        return;
    };
    let engine = SqliteEngine::open(Path::new(&path), KINDS).await.unwrap();
    let process = std::process::id();
    let writers = (0..WRITERS).map(|number| {
        let engine = &engine;
        async move {
            write(engine, &format!("{process}-{number}"), |id| {
                let mut out = std::io::stdout().lock();
                writeln!(out, "\n{ACKNOWLEDGED}{id}").unwrap();
                out.flush().unwrap();
            })
            .await
        }
    });
    let failed = join_all(writers).await;
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
                acknowledged.insert(id.to_owned());
                if acknowledged.len() == ENOUGH * round {
                    child.kill().unwrap();
                }
            }
        }
        let ended = child.wait().unwrap();
        assert!(!ended.success());
        assert!(acknowledged.len() >= ENOUGH * round, "{ended}");
        let engine = SqliteEngine::open(&path, KINDS).await.unwrap();
        check(&engine, &acknowledged, round).await;
        engine.close().await;
    }
}
