//! `rollcall store copy`, between real stores.

use std::sync::Arc;

use rollcall::{
    domain::{
        attendance::Punch,
        record::{Index, Record},
    },
    ports::{Range, RecordEngine},
    repositories::{KINDS, Repositories},
    storage::{
        redis::{Address, RedisEngine},
        sqlite::SqliteEngine,
    },
};

use super::*;
use crate::{
    installation::{Installation, audit, fill, installation_with, overwrite},
    records::{name, punch},
    redis_server::RedisServer,
    servers::MongoServer,
    skip::skip,
};

/// Works on the stores of a folder, then closes them.
pub async fn on_sqlite(folder: &Path, work: impl AsyncFnOnce(&Repositories)) {
    let engine = SqliteEngine::open(&folder.join("rollcall.db"), KINDS).await;
    let stores = Repositories::new(Arc::new(engine.unwrap()));
    work(&stores).await;
    stores.engine.close().await;
}

/// Returns a folder with the SQLite store of an installation with this many punches.
pub async fn filled(punches: u64) -> (TempDir, Installation) {
    let folder = tempfile::tempdir().unwrap();
    let installation = installation_with(punches);
    on_sqlite(folder.path(), async |stores| {
        fill(stores, &installation.records).await;
    })
    .await;
    (folder, installation)
}

fn sqlite(folder: &TempDir) -> String {
    format!("sqlite://{}", folder.path().display())
}

pub fn copy(from: &str, to: &str, more: &[&str]) -> Command {
    let mut arguments = vec!["store", "copy", "--from", from, "--to", to];
    arguments.extend(more);
    rollcall(Path::new("never made"), &arguments)
}

/// Returns the total number of added, replaced and removed records in the output of a copy.
fn copied(out: &str) -> u64 {
    let numbers = out.lines().filter(|line| line.ends_with(" removed"));
    numbers
        .flat_map(|line| line.split(|c: char| !c.is_ascii_digit()))
        .filter_map(|number| number.parse::<u64>().ok())
        .sum()
}

/// Returns the digest of each kind.
fn digests(out: &str) -> Vec<&str> {
    let digests: Vec<_> = out
        .split_whitespace()
        .filter(|word| word.len() == 64 && word.chars().all(|c| c.is_ascii_hexdigit()))
        .collect();
    assert_eq!(digests.len(), 31, "{out}");
    digests
}

pub fn redis() -> Result<RedisServer, String> {
    RedisServer::with(&["--appendonly", "yes"])
}

/// Returns the number of punches on a Redis.
pub async fn punches_on(redis: &RedisServer) -> u64 {
    let address = Address::parse(&redis.url().into(), None, None).unwrap();
    let engine = RedisEngine::new(address, "rollcall");
    let count = engine.count(Punch::KIND, Index::ID, &Range::all()).await;
    engine.close().await;
    count.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_installation_is_moved_through_all_stores() {
    let (redis, mongo) = match (redis(), MongoServer::start()) {
        (Ok(redis), Ok(mongo)) => (redis, mongo),
        (Err(why), _) | (_, Err(why)) => return skip("a_site_is_moved", &why),
    };
    let (first, installation) = filled(300).await;
    let last = tempfile::tempdir().unwrap();
    let places = [
        sqlite(&first),
        format!("{}3", redis.url()),
        format!("{}moved", mongo.uri()),
        format!("{}/", sqlite(&last)),
    ];
    let mut before: Option<String> = None;
    for pair in places.windows(2) {
        let (code, out, err) = run(&mut copy(&pair[0], &pair[1], &[]));
        assert_eq!(code, 0, "{out}{err}");
        assert_eq!(copied(&out), installation.records.len() as u64, "{out}");
        assert!(out.contains("TEMPLATE_KEY"), "{out}");
        if let Some(before) = &before {
            assert_eq!(digests(before), digests(&out));
        }
        // The second time there is nothing to copy, and the check finds no difference.
        let (code, again, _) = run(&mut copy(&pair[0], &pair[1], &[]));
        assert_eq!((code, copied(&again)), (0, 0), "{again}");
        let (code, checked, _) = run(&mut copy(&pair[0], &pair[1], &["--check"]));
        assert!(code == 0 && !checked.contains("added"), "{checked}");
        assert_eq!(digests(&out), digests(&checked));
        before = Some(out);
    }
    on_sqlite(last.path(), async |stores| {
        let found = stores.employees.find(installation.ann.id).await.unwrap();
        assert_eq!(found, Some(installation.ann));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_records_are_copied_and_changes_in_the_target_are_reported() {
    let (source, installation) = filled(20).await;
    let target = tempfile::tempdir().unwrap();
    let (from, to) = (sqlite(&source), sqlite(&target));
    // A check creates nothing.
    let missing = format!("{to}/");
    let (code, _, err) = run(&mut copy(&from, &missing, &["--check"]));
    assert!(code == 1 && err.contains("no database"), "{err}");
    assert!(!target.path().join("rollcall.db").exists());

    let place = format!("{to}/rollcall.db");
    let (code, out, err) = run(&mut copy(&from, &place, &[]));
    assert_eq!(code, 0, "{out}{err}");

    let mut ann = installation.ann.clone();
    ann.settings.name = name("Anna");
    on_sqlite(source.path(), async |stores| {
        let news = punch(installation.ann.id, installation.kiosk.id, 21, 21);
        stores.punches.append(&news).await.unwrap();
        let entry = audit("employee.change", ann.id, 90);
        stores.audit.append(&entry).await.unwrap();
        overwrite(stores, &ann).await;
    })
    .await;
    let (code, out, err) = run(&mut copy(&from, &to, &["--check"]));
    assert!(code == 1 && err.contains("the stores differ"), "{out}{err}");
    assert_eq!(out.matches("differs from").count(), 3, "{out}");
    let (code, out, err) = run(&mut copy(&from, &to, &[]));
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(copied(&out), 3, "a punch, an entry, an employee: {out}");

    // An operator changes a record of the target by hand.
    ann.settings.name = name("Ann");
    on_sqlite(target.path(), async |stores| {
        overwrite(stores, &ann).await;
    })
    .await;
    let (code, out, err) = run(&mut copy(&from, &to, &[]));
    let explained = err.contains("employees differ") && err.contains(&ann.id.to_string());
    assert!(code == 1 && explained, "{out}{err}");

    // Another installation, and a target that was in use.
    let (other, _) = filled(1).await;
    let (code, out, err) = run(&mut copy(&sqlite(&other), &to, &[]));
    assert!(
        code == 1 && err.contains("another installation"),
        "{out}{err}"
    );
    let empty = tempfile::tempdir().unwrap();
    on_sqlite(empty.path(), async |stores| {
        let used = audit("employee.add", installation.ann.id, 91);
        stores.audit.append(&used).await.unwrap();
    })
    .await;
    let (code, out, err) = run(&mut copy(&from, &sqlite(&empty), &[]));
    assert!(
        code == 1 && err.contains("nothing was written"),
        "{out}{err}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_copy_continues_where_it_stopped() {
    let redis = match redis() {
        Ok(redis) => redis,
        Err(why) => return skip("a_copy_that_is_killed", &why),
    };
    let (source, installation) = filled(4000).await;
    let (from, to) = (sqlite(&source), redis.url());
    let written = async || punches_on(&redis).await;
    // It may end before anyone can look: then it begins again.
    let (mut kills, mut before, mut tries) = (0, 0, 0..10);
    loop {
        let mut child = copy(&from, &to, &[])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while written().await < before + 300 && child.try_wait().unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        child.kill().unwrap();
        kills += u32::from(!child.wait().unwrap().success());
        before = written().await;
        if before == 4000 {
            assert!(tries.next().is_some(), "it always ends before the kill");
            redis.ask::<()>(&["FLUSHALL"]);
            (kills, before) = (0, 0);
        } else if before > 1200 {
            break;
        }
    }
    assert!(kills > 0, "{before} punches");
    let (code, out, err) = run(&mut copy(&from, &to, &[]));
    assert_eq!(code, 0, "{out}{err}");
    assert!(copied(&out) < installation.records.len() as u64, "{out}");
    assert_eq!(written().await, 4000);
}

#[test]
fn people_and_kiosks_keep_working_on_the_new_store() {
    if runtime::missing() {
        return;
    }
    let redis = match redis() {
        Ok(redis) => redis,
        Err(why) => return skip("people_and_kiosks_go_on", &why),
    };
    let source = tempfile::tempdir().unwrap();
    let create = ["admin", "add", "a@example.org", "--password-stdin"];
    let (code, _, err) = with_input(rollcall(source.path(), &create), "the first password\n");
    assert_eq!(code, 0, "{err}");
    let (code, out, err) = run(&mut copy(&sqlite(&source), &redis.url(), &[]));
    assert_eq!(code, 0, "{out}{err}");
    let target = tempfile::tempdir().unwrap();
    let url = redis.url();
    let settings = [
        ("STORE", "redis"),
        ("REDIS_URL", url.as_str()),
        ("ADMIN_EMAIL", ""),
    ];
    let service = Service::start(target.path(), &settings);
    assert_eq!(
        service.sign_in("a@example.org", "the first password").0,
        200
    );
    assert_eq!(service.stop(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passwords_in_urls_are_never_shown() {
    let (source, _) = filled(1).await;
    let target = tempfile::tempdir().unwrap();
    let (from, to) = (sqlite(&source), sqlite(&target));
    for url in [
        "redis://user:hunter2@127.0.0.1:1/x",
        "redis+sentinel://:hunter2@127.0.0.1:1/",
        "mongodb://user:hunter2@[/db",
        "mysql://user:hunter2@127.0.0.1/db",
        "hunter2",
        "sqlite:",
    ] {
        for (from, to, argument) in [(url, to.as_str(), "--from"), (from.as_str(), url, "--to")] {
            for more in [&[][..], &["--check"], &["--not-an-argument"]] {
                let (code, out, err) = run(&mut copy(from, to, more));
                assert_ne!(code, 0, "{url}");
                assert!(!(out + &err).contains("hunter2"), "{err}");
            }
            let mut by_name = copy("env:THE_SOURCE", "env:THE_TARGET", &[]);
            let (code, out, err) = run(by_name.env("THE_SOURCE", from).env("THE_TARGET", to));
            assert!(code == 1 && err.contains(argument), "{err}");
            assert!(!(out + &err).contains("hunter2"), "{err}");
        }
    }
    let made = target.path().join("rollcall.db").exists();
    assert!(!made, "nothing is created if the source is invalid");
    let (code, _, err) = run(&mut copy("env:UNSET", &from, &[]));
    assert!(code == 1 && err.contains("UNSET is not set"), "{err}");
    let (code, _, err) = run(&mut copy(&from, &from, &[]));
    assert!(code == 1 && err.contains("the same store"), "{err}");
    let help = ["store", "copy", "--help"];
    let (code, help, _) = run(&mut rollcall(source.path(), &help));
    assert!(
        code == 0 && help.contains("Stop the service first"),
        "{help}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn urls_come_from_the_environment_too() {
    let (source, installation) = filled(3).await;
    let target = tempfile::tempdir().unwrap();
    let mut by_name = copy("env:OLD", "env:NEW", &[]);
    let (code, out, err) = run(by_name
        .env("OLD", sqlite(&source))
        .env("NEW", sqlite(&target)));
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(copied(&out), installation.records.len() as u64);
}
