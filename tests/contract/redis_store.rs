//! What is of its own about the records in Redis: what it does when the server cannot take a
//! write, what it makes of damage, and what it says about the server's settings.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rollcall::{
    domain::{accounts::Role, ids::AccountId, text::Email},
    ports::{EmployeeFilter, Page, PunchFilter, RecordKind, StoreError, Stores},
    storage::redis::{Address, records::RedisStore},
};

use crate::{
    lasting_redis,
    outages::{
        BOUND, everything_is_back, everything_is_unavailable_in_time, unavailable, until_it_answers,
    },
    records::*,
    redis_forms::{Watched, cluster, over_tls, url_of_cluster},
    redis_server::RedisServer,
    redis_store,
    site::all,
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

/// Why the store takes no writes.
async fn refusal(stores: &Stores) -> &'static str {
    let one = punch(employee_id(), device_id(), 1, 0);
    match stores.punches.append(&one).await {
        Err(StoreError::Refused(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_server_acknowledges_nothing_says_what_to_do_and_goes_on_when_there_is_room() {
    let server = server_or_skip!("a_full_server", "--maxmemory-policy", "noeviction");
    let stores = Stores::of(redis_store(&server.url()));
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
    (renamed.name, renamed.code) = (name("Anne"), code("E9"));
    for refused in [
        stores.employees.update(&ann, &renamed).await.map(drop),
        stores.employees.insert(&employee("Bob", "E2")).await,
        stores.health.ping().await,
    ] {
        assert!(
            matches!(refused, Err(StoreError::Refused(_))),
            "{refused:?}"
        );
    }
    // Nothing of it was done, what is there can be read, and room can be made.
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
    assert_eq!(stores.employees.update(&ann, &renamed).await, Ok(true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_cannot_save_acknowledges_nothing_and_says_what_to_do() {
    let server = server_or_skip!("a_server_that_cannot_save", "--appendonly", "no");
    let stores = Stores::of(redis_store(&server.url()));
    stores.devices.insert(&device("kept", 7)).await.unwrap();
    server.ask::<redis::Value>(&["CONFIG", "SET", "save", "3600 1"]);
    // A snapshot cannot take the place of a folder that is not empty.
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
    let pinged = stores.health.ping().await;
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
async fn a_replica_is_named_as_such() {
    let server = server_or_skip!("a_replica", "--appendonly", "no");
    let stores = Stores::of(redis_store(&server.url()));
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
async fn damaged_records_are_corrupt_and_harm_no_others() {
    let server = match lasting_redis() {
        Ok(server) => server,
        Err(why) => return skip("damaged_records", &why),
    };
    let stores = Stores::of(redis_store(&server.url()));
    let (ann, bob) = (employee("Ann", "E1"), employee("Bob", "E2"));
    for one in [&ann, &bob] {
        stores.employees.insert(one).await.unwrap();
    }
    let one = punch(ann.id, device_id(), 1, 0);
    stores.punches.append(&one).await.unwrap();
    let key = |rest: &str| format!("{{rollcall}}:{rest}");
    let ann_key = key(&format!("employee:{}", ann.id));
    let punch_key = key(&format!("punch:{}", one.id));

    let json: String = server.ask(&["GET", &punch_key]);
    for (from, to) in [
        ("\"kind\":\"", "\"kind\":\"x"),
        ("\"similarity\":", "\"similarity\":7"),
        ("{", "["),
        ("\"sequence\":", "\"sequence\":-"),
    ] {
        assert!(json.contains(from), "{json}");
        let damaged = json.replacen(from, to, 1);
        server.ask::<redis::Value>(&["SET", &punch_key, &damaged]);
        corrupt(stores.punches.find(one.id).await);
        corrupt(stores.punches.last_written(ann.id).await);
        corrupt(
            stores
                .punches
                .list(&PunchFilter::default(), &first(5))
                .await,
        );
    }
    server.ask::<redis::Value>(&["DEL", &punch_key]);
    assert_eq!(stores.punches.find(one.id).await, Ok(None));
    // An index still knows of it: that is no empty list.
    corrupt(stores.punches.last_written(ann.id).await);

    server.ask::<redis::Value>(&["HSET", &ann_key, "v", "{\"name\":\"Ann\"}"]);
    corrupt(stores.employees.find(ann.id).await);
    corrupt(stores.employees.find_by_code(&ann.code).await);
    server.ask::<redis::Value>(&["DEL", &ann_key]);
    server.ask::<redis::Value>(&["SET", &ann_key, "a text"]);
    corrupt(stores.employees.find(ann.id).await);
    assert_eq!(stores.employees.find(bob.id).await, Ok(Some(bob.clone())));

    // A template that cannot be read can still be deleted for good, with its photo.
    let (templates, photos) = ([template(bob.id, 1)], [photo(bob.id, 1, 9)]);
    stores.templates.insert(&templates, &photos).await.unwrap();
    let template_key = key(&format!("template:{}", templates[0].id));
    server.ask::<redis::Value>(&["HSET", &template_key, "v", "damaged"]);
    corrupt(stores.templates.of_employee(bob.id).await);
    assert_eq!(stores.templates.delete_of(bob.id).await, Ok(1));
    let left: Vec<String> = server.ask(&["KEYS", "{rollcall}:*"]);
    let faces = left
        .iter()
        .filter(|key| key.contains("template") || key.contains("photo"));
    assert_eq!(faces.count(), 0, "{left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_as_documented_and_none_is_left_behind() {
    let server = match lasting_redis() {
        Ok(server) => server,
        Err(why) => return skip("keys_are_as_documented", &why),
    };
    let stores = Stores::of(redis_store(&server.url()));
    let one = account("a@example.org", Role::Admin);
    stores.accounts.insert(&one).await.unwrap();
    let id: String = server.ask(&["GET", "{rollcall}:user_email:a@example.org"]);
    assert_eq!(id, one.id.to_string());
    let user: String = server.ask(&["HGET", &format!("{{rollcall}}:user:{id}"), "v"]);
    assert!(user.contains("\"role\":\"admin\""));
    let counted: u64 = server.ask(&["GET", "{rollcall}:next_user_id"]);
    assert_eq!(counted, 1);
    let mut moved = one.clone();
    moved.email = Email::parse("b@example.org").unwrap();
    stores.accounts.update(&moved).await.unwrap();

    let (ann, device) = (employee("Ann", "E1"), device("door", 3));
    stores.employees.insert(&ann).await.unwrap();
    stores.devices.insert(&device).await.unwrap();
    let mut gone = ann.clone();
    gone.deleted_at = Some(at(1));
    stores.employees.update(&ann, &gone).await.unwrap();
    for seed in 1..=3 {
        let session = session(seed, one.id, i64::from(seed));
        stores.sessions.insert(&session).await.unwrap();
    }
    assert_eq!(stores.sessions.purge(at(1_000_000)).await, Ok(3));
    let mut left: Vec<String> = server.ask(&["KEYS", "*"]);
    left.sort();
    let mut expected = vec![
        "{rollcall}:device:".to_owned() + &device.id.to_string(),
        "{rollcall}:device_token:".to_owned() + &token(3).to_hex(),
        "{rollcall}:devices".to_owned(),
        "{rollcall}:employee:".to_owned() + &ann.id.to_string(),
        "{rollcall}:next_user_id".to_owned(),
        "{rollcall}:schema".to_owned(),
        "{rollcall}:user:".to_owned() + &id,
        "{rollcall}:user_email:b@example.org".to_owned(),
        "{rollcall}:users".to_owned(),
    ];
    expected.sort();
    assert_eq!(left, expected);
    for key in left {
        assert_eq!(server.ask::<i64>(&["TTL", &key]), -1, "{key} expires");
    }
    let listed = stores
        .employees
        .list(&EmployeeFilter::default(), &first(5))
        .await;
    assert_eq!(listed, Ok(vec![]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_installations_and_what_is_cached_keep_apart_on_one_server() {
    let server = match lasting_redis() {
        Ok(server) => server,
        Err(why) => return skip("two_installations", &why),
    };
    let address = Address::parse(&server.url().into(), None, None);
    let other = RedisStore::new(address.unwrap(), "other");
    let (one, other) = (
        Stores::of(redis_store(&server.url())),
        Stores::of(Arc::new(other)),
    );
    one.employees.insert(&employee("Ann", "E1")).await.unwrap();
    other
        .employees
        .insert(&employee("Ann", "E1"))
        .await
        .unwrap();
    assert_eq!(one.settings.claim("a", "1").await, Ok(true));
    assert_eq!(other.settings.claim("a", "2").await, Ok(true));
    assert_eq!(one.settings.get("a").await, Ok(Some("1".to_owned())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_be_lost_is_told_and_nothing_when_nothing_is() {
    let server = match lasting_redis() {
        Ok(server) => server,
        Err(why) => return skip("what_may_be_lost", &why),
    };
    let store = redis_store(&server.url());
    assert_eq!(store.warnings().await, Ok(vec![]));
    for (name, value, word) in [
        ("appendfsync", "everysec", "up to a second"),
        ("appendonly", "no", "keeps nothing on disk"),
        ("save", "3600 1", "snapshots only"),
    ] {
        server.ask::<redis::Value>(&["CONFIG", "SET", name, value]);
        let told = store.warnings().await.unwrap();
        assert!(told.len() == 1 && told[0].contains(word), "{told:?}");
    }
    server.ask::<redis::Value>(&["CONFIG", "SET", "maxmemory", "1gb"]);
    server.ask::<redis::Value>(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let told = store.warnings().await.unwrap();
    assert!(
        told.iter().any(|told| told.contains("allkeys-lru")),
        "{told:?}"
    );

    // Somebody who may not ask for the configuration learns it from elsewhere.
    server.ask::<redis::Value>(&[
        "ACL",
        "SETUSER",
        "site",
        "on",
        ">secret",
        "~{rollcall}:*",
        "+@read",
        "+@write",
        "+@scripting",
        "+@connection",
        "+info",
    ]);
    let port = server.url().replace("redis://", "redis://site:secret@");
    let store = redis_store(&port);
    let told = store.warnings().await.unwrap();
    assert!(
        told.iter().any(|told| told.contains("no append-only file")),
        "{told:?}"
    );
    assert!(
        told.iter().any(|told| told.contains("allkeys-lru")),
        "{told:?}"
    );
    let stores = Stores::of(store.clone());
    let (templates, one) = (
        [template(employee_id(), 1)],
        punch(employee_id(), device_id(), 1, 0),
    );
    stores.templates.insert(&templates, &[]).await.unwrap();
    assert_eq!(
        stores.templates.delete_of(templates[0].employee).await,
        Ok(1)
    );
    assert_eq!(stores.punches.append(&one).await, Ok(()));
    assert_eq!(all(&stores, RecordKind::Punch).await, [one.into()]);
    assert_eq!(stores.health.ping().await, Ok(()));
    server.ask::<redis::Value>(&["ACL", "SETUSER", "site", "-evalsha"]);
    let refused = refusal(&stores).await;
    assert!(refused.contains("NOPERM"), "{refused}");
    server.ask::<redis::Value>(&["ACL", "SETUSER", "site", "-info"]);
    let told = store.warnings().await.unwrap();
    assert!(told[0].contains("does not tell"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_of_another_form_are_left_alone() {
    let server = match lasting_redis() {
        Ok(server) => server,
        Err(why) => return skip("records_of_another_form", &why),
    };
    server.ask::<redis::Value>(&["SET", "{rollcall}:schema", "99"]);
    let store = redis_store(&server.url());
    let Err(StoreError::Corrupt(why)) = store.warnings().await else {
        panic!("it was not refused");
    };
    assert!(
        why.contains("schema version 99, this program knows 1"),
        "{why}"
    );
    let stores = Stores::of(store);
    corrupt(stores.employees.insert(&employee("Ann", "E1")).await);
    let keys: Vec<String> = server.ask(&["KEYS", "*"]);
    assert_eq!(keys, ["{rollcall}:schema"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_redis_is_unavailable_in_time_until_it_goes_on() {
    let server = match lasting_redis() {
        Ok(server) => server,
        Err(why) => return skip("a_frozen_redis", &why),
    };
    let stores = Stores::of(redis_store(&server.url()));
    stores.devices.insert(&device("kept", 7)).await.unwrap();
    server.freeze();
    // The first time on an open connection, then on none.
    for _ in 0..3 {
        everything_is_unavailable_in_time(&stores).await;
    }
    server.thaw();
    let thawed = Instant::now();
    until_it_answers(&stores).await;
    let away = thawed.elapsed();
    assert!(away < Duration::from_millis(1500), "back after {away:?}");
    everything_is_back(&stores).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_redis_is_unavailable_in_time_until_it_is_back() {
    let mut server = match lasting_redis() {
        Ok(server) => server,
        Err(why) => return skip("a_killed_redis", &why),
    };
    let stores = Stores::of(redis_store(&server.url()));
    stores.devices.insert(&device("kept", 7)).await.unwrap();
    for _ in 0..2 {
        server.kill();
        for _ in 0..3 {
            everything_is_unavailable_in_time(&stores).await;
        }
        // Nobody waits for a server that refuses connections.
        let begun = Instant::now();
        unavailable(stores.health.ping().await);
        assert!(begun.elapsed() < BOUND / 4, "{:?}", begun.elapsed());
        server.restart();
        let back = Instant::now();
        until_it_answers(&stores).await;
        assert!(
            back.elapsed() < Duration::from_secs(1),
            "{:?}",
            back.elapsed()
        );
        everything_is_back(&stores).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_cut_are_made_again() {
    let server = match lasting_redis() {
        Ok(server) => server,
        Err(why) => return skip("connections_that_are_cut", &why),
    };
    let stores = Stores::of(redis_store(&server.url()));
    stores.devices.insert(&device("kept", 7)).await.unwrap();
    for _ in 0..10 {
        server.ask::<redis::Value>(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        // Reading is tried again at once, so nobody notices.
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
    let stores = Stores::of(redis_store(&server.url()));
    assert_eq!(stores.health.description(), "redis, not reached yet");
    everything_is_unavailable_in_time(&stores).await;
    server.restart();
    until_it_answers(&stores).await;
    let (ann, bob) = (employee("Ann", "E7"), employee("Bob", "e7"));
    let results = tokio::join!(stores.employees.insert(&ann), stores.employees.insert(&bob));
    assert!(results.0.is_ok() != results.1.is_ok(), "{results:?}");
    let description = stores.health.description();
    assert!(description.starts_with("redis "), "{description}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_are_kept_over_tls_and_over_a_socket() {
    use crate::suite::*;
    // Each on an installation of its own.
    let store = |url: &str, authority: Option<&Vec<u8>>, prefix: &str| {
        let address = Address::parse(&url.into(), None, authority.cloned()).unwrap();
        Stores::of(Arc::new(RedisStore::new(address, prefix)))
    };
    let (_redis, url, authority) = match over_tls() {
        Ok(server) => server,
        Err(why) => return skip("records_are_kept_over_tls", &why),
    };
    let stores = |prefix| store(&url, Some(&authority), prefix);
    of_many_punches_decided_on_one_past_one_is_written(&stores("race")).await;
    punches_are_listed_newest_first_page_by_page(&stores("list")).await;
    // Nobody vouches for it: nothing is said, and nothing written.
    let stranger = store(&url, None, "race").health.ping().await;
    assert!(
        matches!(stranger, Err(StoreError::Unavailable(_))),
        "{stranger:?}"
    );

    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("redis.sock").display().to_string();
    let _redis = server_or_skip!("records_are_kept_over_a_socket", "--unixsocket", &*socket);
    let stores = store(&format!("unix://{socket}?db=3"), None, "race");
    of_many_punches_decided_on_one_past_one_is_written(&stores).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sentinel_leads_to_the_next_master_with_every_punch_that_it_has() {
    let mut watched = match Watched::start(&["--appendonly", "yes"]).await {
        Ok(watched) => watched,
        Err(why) => return skip("records through a Sentinel", &why),
    };
    let stores = Stores::of(redis_store(&watched.url));
    let (ann, door) = (employee_id(), device_id());
    let append = async |sequence: u64| {
        let one = punch(ann, door, sequence, i64::try_from(sequence).unwrap());
        stores.punches.append(&one).await
    };
    for sequence in 1..=50 {
        append(sequence).await.unwrap();
    }
    // Until the replica has them: what is acknowledged and not yet there can be lost, as docs/OPERATIONS.md says.
    let offset = |server: &RedisServer, field: &str| {
        let info: String = server.ask(&["INFO", "replication"]);
        let line = info.lines().find_map(|line| line.strip_prefix(field));
        line.map(|text| text.trim().parse::<u64>().unwrap())
    };
    let written = offset(&watched.master, "master_repl_offset:");
    let begun = Instant::now();
    while offset(&watched.replica, "slave_repl_offset:") < written {
        assert!(begun.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    watched.master.kill();
    let lost = append(51).await;
    assert!(
        matches!(
            lost,
            Err(StoreError::Unavailable(_) | StoreError::Refused(_))
        ),
        "{lost:?}"
    );
    // By itself, as soon as there is a master.
    let begun = Instant::now();
    while let Err(error) = append(51).await {
        assert!(begun.elapsed() < Duration::from_secs(30), "{error}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for sequence in 52..=60 {
        append(sequence).await.unwrap();
    }
    let page = Page {
        after: None,
        limit: 100,
    };
    let all = stores.punches.list(&PunchFilter::default(), &page).await;
    let sequences: Vec<u64> = all.unwrap().iter().rev().map(|one| one.sequence).collect();
    assert_eq!(sequences, (1..=60).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_keeps_the_promises_too() {
    use crate::suite::*;
    let nodes = match cluster().await {
        Ok(nodes) => nodes,
        Err(why) => return skip("a_cluster_keeps_the_promises", &why),
    };
    let url = url_of_cluster(&nodes);
    // Each on an installation of its own: the tags lead to different nodes.
    let stores = |prefix: &str| {
        let address = Address::parse(&url.as_str().into(), None, None).unwrap();
        Stores::of(Arc::new(RedisStore::new(address, prefix)))
    };
    a_code_belongs_to_one_employee_until_deletion(&stores("codes")).await;
    employees_are_listed_by_name_page_by_page(&stores("names")).await;
    an_enrollment_is_written_once_and_whole(&stores("enrollments")).await;
    templates_and_photos_come_back_until_deleted(&stores("templates")).await;
    of_many_punches_decided_on_one_past_one_is_written(&stores("race")).await;
    punches_are_listed_newest_first_page_by_page(&stores("punches")).await;
    sessions_end_one_by_one_by_account_and_by_time(&stores("sessions")).await;
    of_many_claims_one_wins_until_released(&stores("claims")).await;
    everything_is_read_once_and_in_order(&stores("archive")).await;
    a_store_says_what_it_is_and_closes(&stores("health")).await;
    let sizes = nodes.iter().map(|node| node.ask::<u64>(&["DBSIZE"]));
    assert!(sizes.filter(|keys| *keys > 0).count() > 1);
}
