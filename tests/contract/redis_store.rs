//! Records in Redis: what happens if the server cannot accept writes, if records are damaged, and
//! if connections are lost, over every kind of connection; and the warnings about the server's
//! settings.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rollcall::{
    domain::{
        attendance::{DateRange, Punch, Timesheet},
        grants::Reach,
        ids::AccountId,
    },
    ports::{Page, PunchFilter, StoreError},
    repositories::Repositories,
    storage::redis::{Address, RedisEngine},
};

use crate::{
    lasting_redis,
    outages::{
        BOUND, RECOVERY, everything_is_back, everything_is_unavailable_in_time, unavailable,
        until_it_answers,
    },
    records::*,
    redis, redis_engine,
    redis_forms::{Watched, over_tls},
    redis_server::RedisServer,
    skip::skip,
};

macro_rules! server_or_skip {
    ($test:literal, $($argument:expr),*) => {
        match RedisServer::with(&[$($argument),*]) {
            Ok(server) => server,
            Err(why) => return skip($test, &why),
        }
    };
}

fn corrupt<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::Corrupt(_))), "{result:?}");
}

/// Returns the reason why the store refuses writes.
async fn refusal(stores: &Repositories) -> &'static str {
    let one = punch(employee_id(), device_id(), 1, 0);
    match stores.punches.append(&one).await {
        Err(StoreError::Refused(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_server_acknowledges_nothing_explains_why_and_recovers_after_deletions() {
    let server = server_or_skip!("a_full_server", "--maxmemory-policy", "noeviction");
    let stores = redis(&server.url());
    let (ann, device) = (employee("Ann", "E1"), device_id());
    stores.employees.insert(&ann).await.unwrap();
    let first_punch = punch(ann.id, device, 1, 0);
    stores.punches.append(&first_punch).await.unwrap();
    stores
        .sessions
        .insert(&session(1, AccountId::new(uuid::Uuid::now_v7()), 10))
        .await
        .unwrap();

    server.ask::<redis::Value>(&["CONFIG", "SET", "maxmemory", "1"]);
    let next = punch(ann.id, device, 2, 1);
    let refused = stores.punches.append(&next).await;
    let Err(StoreError::Refused(why)) = refused else {
        panic!("{refused:?}");
    };
    assert!(why.contains("OOM") && why.contains("maxmemory"), "{why}");
    let mut renamed = ann.clone();
    (renamed.settings.name, renamed.settings.code) = (name("Anne"), code("E9"));
    for refused in [
        stores.employees.exchange(&ann, &renamed).await.map(drop),
        stores.employees.insert(&employee("Bob", "E2")).await,
        stores.engine.ping().await,
    ] {
        assert!(
            matches!(refused, Err(StoreError::Refused(_))),
            "{refused:?}"
        );
    }
    // Nothing was written, records can be read, and deleting records makes space.
    assert_eq!(stores.punches.find(next.id).await, Ok(None));
    let last = stores.punches.last_written(ann.id).await;
    assert_eq!(last, Ok(Some(first_punch)));
    assert_eq!(
        stores.employees.find_by_code(&ann.code).await,
        Ok(Some(ann.clone()))
    );
    assert_eq!(stores.employees.find_by_code(&renamed.code).await, Ok(None));
    assert_eq!(stores.sessions.delete(token(1)).await, Ok(true));

    server.ask::<redis::Value>(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(stores.punches.append(&next).await, Ok(()));
    assert_eq!(stores.employees.exchange(&ann, &renamed).await, Ok(true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_cannot_save_acknowledges_nothing_and_explains_why() {
    let server = server_or_skip!("a_server_that_cannot_save", "--appendonly", "no");
    let stores = redis(&server.url());
    stores.devices.insert(&device("kept", 7)).await.unwrap();
    server.ask::<redis::Value>(&["CONFIG", "SET", "save", "3600 1"]);
    // A snapshot cannot replace a folder that is not empty.
    let folder: Vec<String> = server.ask(&["CONFIG", "GET", "dir"]);
    let snapshot = std::path::Path::new(&folder[1]).join("dump.rdb");
    std::fs::create_dir_all(snapshot.join("in the way")).unwrap();
    server.ask::<redis::Value>(&["BGSAVE"]);
    let why = loop {
        let one = punch(employee_id(), device_id(), 1, 0);
        match stores.punches.append(&one).await {
            Ok(()) => tokio::time::sleep(Duration::from_millis(20)).await,
            Err(StoreError::Refused(why)) => break why,
            other => panic!("{other:?}"),
        }
    };
    assert!(why.contains("MISCONF") && why.contains("disk"), "{why}");
    let pinged = stores.engine.ping().await;
    assert_eq!(pinged, Err(StoreError::Refused(why)));
    let found = stores.devices.find_by_token(token(7)).await;
    assert_eq!(found.unwrap().unwrap().name, name("kept"));

    std::fs::remove_dir_all(snapshot).unwrap();
    server.ask::<redis::Value>(&["BGSAVE"]);
    until_it_answers(&stores).await;
    let one = punch(employee_id(), device_id(), 1, 0);
    assert_eq!(stores.punches.append(&one).await, Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_is_reported_as_such() {
    let server = server_or_skip!("a_replica", "--appendonly", "no");
    let stores = redis(&server.url());
    stores.devices.insert(&device("kept", 7)).await.unwrap();
    server.ask::<redis::Value>(&["REPLICAOF", "127.0.0.1", "1"]);
    let why = refusal(&stores).await;
    assert!(why.contains("READONLY"), "{why}");
    server.ask::<redis::Value>(&["REPLICAOF", "NO", "ONE"]);
    until_it_answers(&stores).await;
    let found = stores.devices.find_by_token(token(7)).await;
    assert_eq!(found.unwrap().unwrap().name, name("kept"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_records_are_reported_and_do_not_affect_others() {
    let server = match lasting_redis() {
        Ok(server) => server,
        Err(why) => return skip("damaged_records", &why),
    };
    let stores = redis(&server.url());
    let (ann, bob) = (employee("Ann", "E1"), employee("Bob", "E2"));
    for one in [&ann, &bob] {
        stores.employees.insert(one).await.unwrap();
    }
    let one = punch(ann.id, device_id(), 1, 0);
    stores.punches.append(&one).await.unwrap();
    let key = |rest: &str| format!("{{rollcall}}:{rest}");
    let ann_key = key(&format!("employees:{}", ann.id));
    let punch_key = key(&format!("punches:{}", one.id));

    let json: String = server.ask(&["HGET", &punch_key, "v"]);
    for (from, to) in [
        ("\"kind\":\"", "\"kind\":\"x"),
        ("\"similarity\":", "\"similarity\":7"),
        ("{", "["),
        ("\"sequence\":", "\"sequence\":-"),
    ] {
        assert!(json.contains(from), "{json}");
        let damaged = json.replacen(from, to, 1);
        server.ask::<redis::Value>(&["HSET", &punch_key, "v", &damaged]);
        corrupt(stores.punches.find(one.id).await);
        corrupt(stores.punches.last_written(ann.id).await);
        let page = first(5);
        corrupt(
            stores
                .punches
                .list(&Reach::Everything, &PunchFilter::default(), &page)
                .await,
        );
    }
    server.ask::<redis::Value>(&["DEL", &punch_key]);
    assert_eq!(stores.punches.find(one.id).await, Ok(None));
    // It is still in an index, so the list is not empty.
    corrupt(stores.punches.last_written(ann.id).await);

    server.ask::<redis::Value>(&["HSET", &ann_key, "v", "{\"name\":\"Ann\"}"]);
    corrupt(stores.employees.find(ann.id).await);
    corrupt(stores.employees.find_by_code(&ann.code).await);
    // The record of another employee, at the key of this one.
    let bob_key = key(&format!("employees:{}", bob.id));
    let of_bob: String = server.ask(&["HGET", &bob_key, "v"]);
    server.ask::<redis::Value>(&["HSET", &ann_key, "v", &of_bob]);
    corrupt(stores.employees.find(ann.id).await);
    server.ask::<redis::Value>(&["DEL", &ann_key]);
    server.ask::<redis::Value>(&["SET", &ann_key, "a text"]);
    corrupt(stores.employees.find(ann.id).await);
    assert_eq!(stores.employees.find(bob.id).await, Ok(Some(bob.clone())));

    // A photo that cannot be read can still be permanently deleted.
    let photo = photo(bob.id, 1, 9);
    stores.photos.insert(&photo).await.unwrap();
    let photo_key = key(&format!("photos:{}", photo.id));
    server.ask::<redis::Value>(&["HSET", &photo_key, "v", "damaged"]);
    corrupt(stores.photos.list_by_employee(bob.id).await);
    assert_eq!(stores.photos.delete_by_employee(bob.id).await, Ok(1));
    let left: Vec<String> = server.ask(&["KEYS", "{rollcall}:photos:*"]);
    assert_eq!(left, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_installations_on_one_server_are_separate() {
    let server = match lasting_redis() {
        Ok(server) => server,
        Err(why) => return skip("two_installations", &why),
    };
    let address = Address::parse(&server.url().into(), None, None);
    let other = RedisEngine::new(address.unwrap(), "other");
    let (one, other) = (redis(&server.url()), Repositories::new(Arc::new(other)));
    one.employees.insert(&employee("Ann", "E1")).await.unwrap();
    other
        .employees
        .insert(&employee("Ann", "E1"))
        .await
        .unwrap();
    assert_eq!(one.settings.claim("a", "1").await, Ok(true));
    assert_eq!(other.settings.claim("a", "2").await, Ok(true));
    assert_eq!(one.settings.get("a").await, Ok(Some("1".to_owned())));
    let listed = other
        .employees
        .list(&Reach::Everything, &Default::default(), &first(5))
        .await;
    assert_eq!(listed.unwrap().len(), 1);
}

/// An earlier setup had the key `timesheet:user:1`; docs/REDIS.md says what replaces it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_timesheets_of_an_employee_are_at_the_documented_keys() {
    let server = match lasting_redis() {
        Ok(server) => server,
        Err(why) => return skip("the_timesheets_of_an_employee", &why),
    };
    let stores = redis(&server.url());
    let (ann, ben) = (employee_id(), employee_id());
    for (of, month) in [(ann, 3), (ben, 3), (ann, 4)] {
        let from = jiff::civil::date(2026, month, 1);
        let to = from.last_of_month();
        let open = Timesheet::new(of, DateRange { from, to });
        let mut corrected = open.clone();
        corrected.corrections.push(correction(1));
        let written = stores.timesheets.exchange(&open, &corrected).await;
        assert_eq!(written, Ok(true));
    }
    let record = format!("{{rollcall}}:timesheets:{ann}:2026-03-01");
    let record = server.ask::<String>(&["HGET", &record, "v"]);
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    assert_eq!(record["employee"], ann.to_string());
    assert_eq!(record["corrections"].as_array().unwrap().len(), 1);
    let hex = ann.uuid().simple();
    let found = server.ask::<Vec<String>>(&[
        "ZRANGEBYLEX",
        "{rollcall}:timesheets:x:by_employee",
        &format!("[{hex}"),
        &format!("({hex}\\xff"),
    ]);
    let ids = found
        .iter()
        .map(|member| member.split('\0').nth(1).unwrap());
    let expected = ["2026-03-01", "2026-04-01"].map(|date| format!("{ann}:{date}"));
    assert!(ids.eq(&expected), "{found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_are_warned_about_settings_that_lose_records() {
    let server = match lasting_redis() {
        Ok(server) => server,
        Err(why) => return skip("what_may_be_lost", &why),
    };
    let engine = redis_engine(&server.url());
    assert_eq!(engine.warnings().await, Ok(vec![]));
    for (name, value, word) in [
        ("appendfsync", "everysec", "up to a second"),
        ("appendonly", "no", "stores nothing on disk"),
        ("save", "3600 1", "only snapshots"),
    ] {
        server.ask::<redis::Value>(&["CONFIG", "SET", name, value]);
        let warnings = engine.warnings().await.unwrap();
        let [warning] = &warnings[..] else {
            panic!("{warnings:?}");
        };
        assert!(warning.contains(word), "{warning}");
    }
    server.ask::<redis::Value>(&["CONFIG", "SET", "maxmemory", "1gb"]);
    server.ask::<redis::Value>(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let warnings = engine.warnings().await.unwrap().join("\n");
    assert!(warnings.contains("allkeys-lru"), "{warnings}");

    // If the user may not read the configuration, the warnings come from INFO.
    let rights = "~{rollcall}:* +@read +@write +@scripting +@connection +info";
    let user = ["ACL", "SETUSER", "site", "on", ">secret"];
    let rights: Vec<_> = user.into_iter().chain(rights.split(' ')).collect();
    server.ask::<redis::Value>(&rights);
    let url = server.url().replace("redis://", "redis://site:secret@");
    let engine = Arc::new(redis_engine(&url));
    let warnings = engine.warnings().await.unwrap().join("\n");
    assert!(warnings.contains("no append-only file"), "{warnings}");
    assert!(warnings.contains("allkeys-lru"), "{warnings}");

    // These permissions are sufficient for records.
    let stores = Repositories::new(engine.clone());
    let one = punch(employee_id(), device_id(), 1, 0);
    assert_eq!(stores.punches.append(&one).await, Ok(()));
    let last = stores.punches.last_written(one.employee).await;
    assert_eq!(last, Ok(Some(one.clone())));
    let deleted = stores.punches.delete_by_employee(one.employee).await;
    assert_eq!(deleted, Ok(1));
    assert_eq!(stores.engine.ping().await, Ok(()));
    server.ask::<redis::Value>(&["ACL", "SETUSER", "site", "-evalsha"]);
    let refused = refusal(&stores).await;
    assert!(refused.contains("NOPERM"), "{refused}");
    server.ask::<redis::Value>(&["ACL", "SETUSER", "site", "-info"]);
    let warnings = engine.warnings().await.unwrap();
    assert!(warnings[0].contains("does not report"), "{warnings:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_of_another_layout_are_not_touched() {
    let server = match lasting_redis() {
        Ok(server) => server,
        Err(why) => return skip("records_of_another_layout", &why),
    };
    server.ask::<redis::Value>(&["SET", "{rollcall}:schema", "99"]);
    let engine = redis_engine(&server.url());
    let Err(StoreError::Corrupt(why)) = engine.warnings().await else {
        panic!("it was not refused");
    };
    assert!(
        why.contains("schema version 99, but this program knows only 2"),
        "{why}"
    );
    let stores = Repositories::new(Arc::new(engine));
    corrupt(stores.employees.insert(&employee("Ann", "E1")).await);
    let keys: Vec<String> = server.ask(&["KEYS", "*"]);
    assert_eq!(keys, ["{rollcall}:schema"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_redis_is_unavailable_in_time_until_it_is_resumed() {
    let server = match lasting_redis() {
        Ok(server) => server,
        Err(why) => return skip("a_frozen_redis", &why),
    };
    let stores = redis(&server.url());
    stores.devices.insert(&device("kept", 7)).await.unwrap();
    server.freeze();
    // First with an open connection, then without one.
    for _ in 0..3 {
        everything_is_unavailable_in_time(&stores).await;
    }
    server.thaw();
    everything_is_back(&stores).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_redis_is_unavailable_in_time_until_it_is_restarted() {
    let mut server = match lasting_redis() {
        Ok(server) => server,
        Err(why) => return skip("a_killed_redis", &why),
    };
    let stores = redis(&server.url());
    stores.devices.insert(&device("kept", 7)).await.unwrap();
    for _ in 0..2 {
        server.kill();
        for _ in 0..3 {
            everything_is_unavailable_in_time(&stores).await;
        }
        // No caller waits for a server that refuses connections.
        let begun = Instant::now();
        for _ in 0..10 {
            unavailable(stores.engine.ping().await);
        }
        assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
        server.restart();
        everything_is_back(&stores).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_connections_are_opened_again() {
    let server = match lasting_redis() {
        Ok(server) => server,
        Err(why) => return skip("connections_that_are_cut", &why),
    };
    let stores = redis(&server.url());
    stores.devices.insert(&device("kept", 7)).await.unwrap();
    for _ in 0..10 {
        server.ask::<redis::Value>(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        // Reads are retried immediately, so that no caller notices.
        let found = stores.devices.find_by_token(token(7)).await.unwrap();
        assert_eq!(found.unwrap().name, name("kept"));
        server.ask::<redis::Value>(&["SCRIPT", "FLUSH"]);
        let one = punch(employee_id(), device_id(), 1, 0);
        assert_eq!(stores.punches.append(&one).await, Ok(()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_store_starts_without_its_server() {
    let mut server = match lasting_redis() {
        Ok(server) => server,
        Err(why) => return skip("a_redis_store_starts_without_its_server", &why),
    };
    server.kill();
    let stores = redis(&server.url());
    assert_eq!(stores.engine.description(), "redis, not reached yet");
    everything_is_unavailable_in_time(&stores).await;
    server.restart();
    until_it_answers(&stores).await;
    let (ann, bob) = (employee("Ann", "E7"), employee("Bob", "e7"));
    let results = tokio::join!(stores.employees.insert(&ann), stores.employees.insert(&bob));
    assert!(results.0.is_ok() != results.1.is_ok(), "{results:?}");
    let description = stores.engine.description();
    assert!(description.starts_with("redis "), "{description}");
}

/// Checks that of many punches decided on the same past, only one is written, and that all are
/// found page by page.
async fn assert_punches_are_kept(stores: &Repositories) {
    let (ann, door) = (employee_id(), device_id());
    let mut written = Vec::new();
    for sequence in 1..=5 {
        let moment = i64::try_from(sequence).unwrap();
        let racers: Vec<Punch> = (0..20)
            .map(|_| punch(ann, door, sequence, moment))
            .collect();
        let appended = racers.iter().map(|one| stores.punches.append(one));
        let answers = futures::future::join_all(appended).await;
        let won = answers.iter().filter(|answer| answer.is_ok()).count();
        let lost = |answer: &&Result<(), _>| **answer == Err(StoreError::Conflict);
        let lost = answers.iter().filter(lost).count();
        assert_eq!((won, lost), (1, 19), "{answers:?}");
        let winner = answers.iter().position(Result::is_ok).unwrap();
        written.insert(0, racers[winner].clone());
    }
    let filter = PunchFilter::default();
    let page = stores
        .punches
        .list(&Reach::Everything, &filter, &first(2))
        .await
        .unwrap();
    assert_eq!(page, written[..2]);
    let last = (page[1].at, page[1].id);
    let rest = stores
        .punches
        .list(&Reach::Everything, &filter, &after(last, 9))
        .await;
    assert_eq!(rest.unwrap(), written[2..]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_are_kept_over_tls_and_over_a_socket() {
    // Each form uses its own installation.
    let store = |url: &str, authority: Option<&Vec<u8>>, prefix: &str| {
        let address = Address::parse(&url.into(), None, authority.cloned()).unwrap();
        Repositories::new(Arc::new(RedisEngine::new(address, prefix)))
    };
    let (_redis, url, authority) = match over_tls() {
        Ok(server) => server,
        Err(why) => return skip("records_are_kept_over_tls", &why),
    };
    assert_punches_are_kept(&store(&url, Some(&authority), "one")).await;
    assert_punches_are_kept(&store(&url, Some(&authority), "two")).await;
    // Without the authority, the certificate is not trusted and nothing is sent.
    let stranger = store(&url, None, "one").engine.ping().await;
    assert!(
        matches!(stranger, Err(StoreError::Unavailable(_))),
        "{stranger:?}"
    );

    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("redis.sock").display().to_string();
    let _redis = server_or_skip!("records_are_kept_over_a_socket", "--unixsocket", &*socket);
    assert_punches_are_kept(&store(&format!("unix://{socket}?db=3"), None, "one")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sentinel_leads_to_the_next_master_with_all_replicated_punches() {
    let mut watched = match Watched::start(&["--appendonly", "yes"]).await {
        Ok(watched) => watched,
        Err(why) => return skip("records through a Sentinel", &why),
    };
    let stores = redis(&watched.url);
    let (ann, door) = (employee_id(), device_id());
    let append = async |sequence: u64| {
        let one = punch(ann, door, sequence, i64::try_from(sequence).unwrap());
        stores.punches.append(&one).await
    };
    for sequence in 1..=50 {
        append(sequence).await.unwrap();
    }
    // Waits for the replica: acknowledged records that are not replicated can be lost, as
    // docs/OPERATIONS.md explains.
    watched.until_replicated();

    watched.master.kill();
    let lost = append(51).await;
    assert!(
        matches!(
            lost,
            Err(StoreError::Unavailable(_) | StoreError::Refused(_))
        ),
        "{lost:?}"
    );
    // Recovers on its own, as soon as there is a master.
    let begun = Instant::now();
    while let Err(error) = append(51).await {
        assert!(begun.elapsed() < RECOVERY, "{error}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for sequence in 52..=60 {
        append(sequence).await.unwrap();
    }
    let page = Page {
        after: None,
        limit: 100,
    };
    let all = stores
        .punches
        .list(&Reach::Everything, &PunchFilter::default(), &page)
        .await;
    let sequences: Vec<u64> = all.unwrap().iter().rev().map(|one| one.sequence).collect();
    assert_eq!(sequences, (1..=60).collect::<Vec<_>>());
}
