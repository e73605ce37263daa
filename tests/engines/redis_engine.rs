//! The Redis engine: failures and refusals of its server, its keys, and the cost of its calls.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{FutureExt, future::join_all};
use rollcall::{
    domain::record::Index,
    ports::{Expect, Parts, Range, RecordEngine, StoreError},
    storage::redis::{Address, RedisEngine},
};
use serde_json::json;

use crate::{
    Opened,
    redis_cluster::RedisCluster,
    redis_server::RedisServer,
    shared::Shared,
    skip::skip,
    things::{CODE, Change, OTHERS, OWNER, THINGS, TIME, get_thing, ids, put, stored, thing},
};

/// Many calls return within this time, whatever the server does: each has 1.9 seconds, and the
/// machine may be busy.
const BOUND: Duration = Duration::from_secs(10);

/// Starts a server that writes to its disk before it acknowledges.
fn durable() -> Result<RedisServer, String> {
    RedisServer::with(&["--appendonly", "yes", "--appendfsync", "always"])
}

fn engine(url: &str, prefix: &str) -> Arc<RedisEngine> {
    let address = Address::parse(&url.into(), None, None).unwrap();
    Arc::new(RedisEngine::new(address, prefix))
}

/// Opens an installation of its own on a server, which runs until the test ends.
fn opened(url: &str, server: impl Send + 'static) -> Opened {
    let prefix = uuid::Uuid::now_v7().to_string();
    Opened {
        engine: engine(url, &prefix),
        other: engine(url, &prefix),
        two_steps: false,
        end: async move { drop(server) }.boxed(),
    }
}

/// Opens an engine on the server that all tests share.
pub async fn on_server() -> Result<Opened, String> {
    static SERVER: Shared<RedisServer> = Shared::new();
    let server = SERVER.get(durable)?;
    Ok(opened(&server.url(), server))
}

/// Opens an engine on the cluster that all tests share.
pub async fn on_cluster() -> Result<Opened, String> {
    static CLUSTER: Shared<RedisCluster> = Shared::new();
    let cluster = CLUSTER.get(RedisCluster::start)?;
    Ok(opened(&cluster.url(), cluster))
}

macro_rules! server_or_skip {
    ($test:literal, $server:expr) => {
        match $server {
            Ok(server) => server,
            Err(why) => return skip($test, &why),
        }
    };
}

/// Returns the installation of a test with its own server.
fn site(server: &RedisServer) -> Arc<RedisEngine> {
    engine(&server.url(), "site")
}

fn all_keys(server: &RedisServer) -> Vec<String> {
    let mut keys: Vec<String> = server.ask(&["KEYS", "*"]);
    keys.sort();
    keys
}

fn set(server: &RedisServer, name: &str, value: &str) {
    server.ask::<redis::Value>(&["CONFIG", "SET", name, value]);
}

fn one(id: &str) -> Vec<(String, Option<u64>)> {
    vec![(id.to_owned(), None)]
}

/// Checks that writes are refused for this reason and change nothing, and that reads work.
async fn refuses_writes(engine: &RedisEngine, reason: &str) {
    let first = thing("one").key(CODE, ("E1",)).key(TIME, (1_u64,));
    let changed = thing("one").key(CODE, ("E2",)).blob(b"blob");
    let refused = [
        engine.put(thing("two").key(CODE, ("E2",))).await.map(drop),
        engine
            .put(changed.clone().expect(Expect::Any))
            .await
            .map(drop),
        engine
            .put(changed.expect(Expect::Revision(1)))
            .await
            .map(drop),
        engine.ping().await,
    ];
    for answer in refused {
        let Err(StoreError::Refused(why)) = answer else {
            panic!("{answer:?}");
        };
        assert!(why.contains(reason), "{why}");
    }
    assert_eq!(get_thing(engine, "one").await, Some(stored(&first, 1)));
    assert_eq!(get_thing(engine, "two").await, None);
    for index in [CODE, TIME, Index::ID] {
        assert_eq!(ids(engine, index, &Range::all()).await, ["one"]);
    }
}

async fn put_first(engine: &RedisEngine) {
    put(engine, thing("one").key(CODE, ("E1",)).key(TIME, (1_u64,))).await;
}

async fn until_it_answers(engine: &RedisEngine) {
    let begun = Instant::now();
    while let Err(error) = engine.ping().await {
        assert!(begun.elapsed() < Duration::from_secs(60), "{error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_redis_refuses_writes_until_records_are_deleted() {
    let server = server_or_skip!("a_full_redis", durable());
    let engine = site(&server);
    put_first(&engine).await;
    set(&server, "maxmemory", "1");
    refuses_writes(&engine, "OOM").await;
    assert_eq!(engine.delete(&THINGS, &one("one")).await, Ok(1));
    set(&server, "maxmemory", "0");
    put_first(&engine).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_cannot_save_refuses_writes() {
    let server = server_or_skip!("a_redis_that_cannot_save", RedisServer::with(&[]));
    let engine = site(&server);
    put_first(&engine).await;
    set(&server, "save", "3600 1");
    // A snapshot cannot replace a folder that is not empty.
    let folder: Vec<String> = server.ask(&["CONFIG", "GET", "dir"]);
    let snapshot = std::path::Path::new(&folder[1]).join("dump.rdb");
    std::fs::create_dir_all(snapshot.join("in the way")).unwrap();
    server.ask::<redis::Value>(&["BGSAVE"]);
    let begun = Instant::now();
    while engine.ping().await.is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    refuses_writes(&engine, "MISCONF").await;
    std::fs::remove_dir_all(snapshot).unwrap();
    server.ask::<redis::Value>(&["BGSAVE"]);
    until_it_answers(&engine).await;
    put(&*engine, thing("two")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_a_replica_refuses_writes() {
    let server = server_or_skip!("a_redis_that_is_a_replica", RedisServer::with(&[]));
    let engine = site(&server);
    put_first(&engine).await;
    server.ask::<redis::Value>(&["REPLICAOF", "127.0.0.1", "1"]);
    refuses_writes(&engine, "READONLY").await;
    server.ask::<redis::Value>(&["REPLICAOF", "NO", "ONE"]);
    until_it_answers(&engine).await;
    put(&*engine, thing("two")).await;
}

/// Checks that all calls fail in time. Makes many calls at once, so that waiting for a connection
/// counts.
async fn assert_unavailable_in_time(engine: &RedisEngine) {
    let begun = Instant::now();
    let calls = (0..20).map(|number| async move {
        let (id, record) = ([format!("n{number}")], one("one"));
        let (all, limit) = (Range::all(), usize::MAX);
        let answers = tokio::join!(
            engine.ping(),
            engine.get(&THINGS, &id, Parts::Head),
            engine.scan(&THINGS, TIME, &all, limit, Parts::Whole),
            engine.put(thing("new")),
            engine.delete(&OTHERS, &record),
            engine.count(&THINGS, CODE, &all),
        );
        [
            answers.0.err(),
            answers.1.err(),
            answers.2.err(),
            answers.3.err(),
            answers.4.err(),
            answers.5.err(),
        ]
    });
    for error in join_all(calls).await.into_iter().flatten() {
        assert!(
            matches!(error, Some(StoreError::Unavailable(_))),
            "{error:?}"
        );
    }
    assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_hangs_is_unavailable_in_time() {
    let server = server_or_skip!("a_redis_that_hangs", durable());
    let engine = site(&server);
    put_first(&engine).await;
    server.freeze();
    // First on an open connection, then without one.
    for _ in 0..2 {
        assert_unavailable_in_time(&engine).await;
    }
    server.thaw();
    until_it_answers(&engine).await;
    assert!(get_thing(&*engine, "one").await.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_killed_keeps_what_it_acknowledged() {
    let mut server = server_or_skip!("a_redis_that_is_killed", durable());
    let engine = site(&server);
    put_first(&engine).await;
    let (begun, mut begins) = tokio::sync::mpsc::channel(1);
    let writing = tokio::spawn({
        let engine = engine.clone();
        async move {
            let (mut number, mut write) = (0_u64, thing("n"));
            // The last acknowledged write, and a write with an unknown result.
            loop {
                let next = thing("n")
                    .body(json!({ "number": number }))
                    .key(CODE, (number,));
                if engine.put(next.clone().expect(Expect::Any)).await.is_err() {
                    return (stored(&write, number), stored(&next, number + 1));
                }
                (number, write) = (number + 1, next);
                if number == 20 {
                    begun.try_send(()).unwrap();
                }
            }
        }
    });
    begins.recv().await.expect("twenty are acknowledged");
    server.kill();
    let (acknowledged, unknown) = writing.await.unwrap();
    assert_unavailable_in_time(&engine).await;
    server.restart();
    until_it_answers(&engine).await;
    let found = get_thing(&*engine, "n").await.unwrap();
    assert!(found == acknowledged || found == unknown, "{found:?}");
    // The indexes and the record agree.
    assert_eq!(ids(&*engine, CODE, &Range::all()).await.len(), 2);
    assert_eq!(ids(&*engine, Index::ID, &Range::all()).await, ["n", "one"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_are_at_the_documented_keys_of_redis_and_leave_nothing() {
    let server = server_or_skip!("records_are_at_the_documented_keys", durable());
    let engine = site(&server);
    let write = thing("one")
        .key(CODE, ("E1",))
        .key(OWNER, ("ann", 1_u64))
        .blob(b"blob");
    put(&*engine, write.clone()).await;
    put(&*engine, thing("x:by_code")).await;
    let keys = [
        "{site}:schema",
        "{site}:things:one",
        "{site}:things:x:by_code",
        "{site}:things:x:by_owner",
        "{site}:things:x:id",
        "{site}:things:x:x:by_code",
    ];
    assert_eq!(all_keys(&server), keys);
    for key in keys {
        assert_eq!(server.ask::<i64>(&["TTL", key]), -1, "{key} expires");
    }
    let field = |name: &str| server.ask::<String>(&["HGET", "{site}:things:one", name]);
    assert_eq!(
        ["r", "n", "v", "b"].map(field),
        ["1", "1", &write.body, "blob"]
    );
    let entries: serde_json::Value = serde_json::from_str(&field("x")).unwrap();
    let owner = "ann\u{1}0000000000000001";
    assert_eq!(entries, json!({ "by_code": "E1", "by_owner": owner }));
    let members = |index: &str| {
        let key = format!("{{site}}:things:x:{index}");
        server.ask::<Vec<String>>(&["ZRANGE", &key, "0", "-1"])
    };
    assert_eq!(members("by_code"), ["E1\0one"]);
    assert_eq!(members("by_owner"), [format!("{owner}\0one")]);
    assert_eq!(members("id"), ["one", "x:by_code"]);
    // A record without a blob has no field for it.
    put(&*engine, thing("one").expect(Expect::Revision(1))).await;
    assert!(!server.ask::<bool>(&["HEXISTS", "{site}:things:one", "b"]));
    assert_eq!(engine.delete(&THINGS, &one("one")).await, Ok(1));
    assert_eq!(engine.delete(&THINGS, &one("x:by_code")).await, Ok(1));
    assert_eq!(all_keys(&server), ["{site}:schema"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_never_collides_with_an_index_of_redis() {
    let server = server_or_skip!("an_id_is_never_taken_for_an_index", durable());
    let engine = site(&server);
    let names = ["x", "x:", "x:by_code", "x:id", "x:x:by_code", "x:x:id"];
    for id in names {
        put(&*engine, thing(id).key(CODE, (id,))).await;
    }
    assert_eq!(ids(&*engine, CODE, &Range::all()).await, names);
    assert_eq!(ids(&*engine, Index::ID, &Range::all()).await, names);
    for id in names {
        let write = thing(id);
        assert_eq!(get_thing(&*engine, id).await, Some(stored(&write, 1)));
        assert_eq!(engine.delete(&THINGS, &one(id)).await, Ok(1));
    }
    assert_eq!(all_keys(&server), ["{site}:schema"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_records_in_redis_are_reported_and_do_not_affect_others() {
    let server = server_or_skip!("damaged_records", durable());
    let engine = site(&server);
    for id in ["one", "two"] {
        put(&*engine, thing(id).key(TIME, (id,))).await;
    }
    let damages: [&[&str]; 6] = [
        &["HSET", "{site}:things:one", "r", "first"],
        &["HSET", "{site}:things:one", "n", "-1"],
        &["HDEL", "{site}:things:one", "n"],
        &["HDEL", "{site}:things:one", "v"],
        &["DEL", "{site}:things:one"],
        &["SET", "{site}:things:one", "a text"],
    ];
    let asked = ["one".to_owned()];
    for damage in damages {
        server.ask::<redis::Value>(damage);
        let gone = damage[0] == "DEL";
        let found = engine.get(&THINGS, &asked, Parts::Whole).await;
        match found {
            Ok(found) if gone => assert_eq!(found, [None]),
            Err(StoreError::Corrupt(_)) if !gone => {}
            found => panic!("{damage:?}: {found:?}"),
        }
        let listed = engine
            .scan(&THINGS, TIME, &Range::all(), 9, Parts::Body)
            .await;
        assert!(matches!(listed, Err(StoreError::Corrupt(_))), "{listed:?}");
        assert!(get_thing(&*engine, "two").await.is_some());
        // After it is written again, it is intact.
        server.ask::<redis::Value>(&["DEL", "{site}:things:one"]);
        put(&*engine, thing("one").key(TIME, ("one",))).await;
        assert_eq!(ids(&*engine, TIME, &Range::all()).await, ["one", "two"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_of_another_layout_in_redis_are_not_touched() {
    let server = server_or_skip!("records_of_another_layout", durable());
    server.ask::<redis::Value>(&["SET", "{site}:schema", "1"]);
    let engine = site(&server);
    let Err(StoreError::Corrupt(why)) = engine.put(thing("one")).await else {
        panic!("it was written");
    };
    let reason = "schema version 1, but this program knows only 2";
    assert!(why.contains(reason), "{why}");
    assert_eq!(all_keys(&server), ["{site}:schema"]);
}

/// Returns the number of scripts that the server has run, and of bytes that it has sent.
fn effort(server: &RedisServer) -> (u64, u64) {
    let number = |section: &str, begin: &str| {
        let info: String = server.ask(&["INFO", section]);
        let line = info.lines().find_map(|line| line.strip_prefix(begin));
        let digits = line.unwrap_or("0").split(',').next();
        digits.unwrap().parse().unwrap()
    };
    let scripts = number("commandstats", "cmdstat_evalsha:calls=");
    (scripts, number("stats", "total_net_output_bytes:"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_to_redis_make_one_round_trip_and_transfer_only_the_requested_parts() {
    let server = server_or_skip!("calls_make_one_round_trip", durable());
    let engine = site(&server);
    let (all, names) = (Range::all(), ["a", "b", "c"].map(str::to_owned));
    let write = |id: &str| {
        let write = thing(id).body(json!({ "text": "body".repeat(2500) }));
        write.key(TIME, (1_u64,)).blob(&[7; 100_000])
    };
    let head = |found: usize| {
        let engine = engine.clone();
        async move {
            let found_ids = ids(&*engine, TIME, &Range::all()).await;
            assert_eq!(found_ids.len(), found);
        }
    };
    // Redis loads a script at its first call.
    head(0).await;
    engine.get(&THINGS, &names, Parts::Head).await.unwrap();
    engine.count(&THINGS, TIME, &all).await.unwrap();
    put(&*engine, write("a")).await;
    engine.delete(&THINGS, &one("a")).await.unwrap();

    let (begun, _) = effort(&server);
    for name in &names {
        put(&*engine, write(name)).await;
    }
    put(&*engine, write("c").expect(Expect::Any)).await;
    assert_eq!(engine.count(&THINGS, TIME, &all).await, Ok(3));
    let (scripts, mut sent) = effort(&server);
    assert_eq!(scripts, begun + 5);
    for (parts, least, most) in [
        (Parts::Head, 0, 10_000),
        (Parts::Body, 30_000, 60_000),
        (Parts::Whole, 330_000, 400_000),
    ] {
        for scanned in [true, false] {
            let read = match scanned {
                true => engine.scan(&THINGS, TIME, &all, 9, parts).await.map(drop),
                false => engine.get(&THINGS, &names, parts).await.map(drop),
            };
            assert_eq!(read, Ok(()));
            let before = sent;
            (_, sent) = effort(&server);
            let bytes = sent - before;
            assert!(bytes >= least && bytes < most, "{parts:?}: {bytes} bytes");
        }
    }
    let names = ["a", "b", "none"].map(|id| (id.to_owned(), None));
    assert_eq!(engine.delete(&THINGS, &names).await, Ok(2));
    assert_eq!(effort(&server).0, begun + 12);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_ranges_of_redis_are_read_and_deleted_in_batches() {
    let server = server_or_skip!("large_ranges", RedisServer::with(&[]));
    let engine = site(&server);
    let names: Vec<_> = (0..1201).map(|number| format!("n{number:04}")).collect();
    let writes = names.iter().enumerate().map(|(number, id)| {
        let write = thing(id).key(TIME, (number as u64 / 3,));
        engine.put(write)
    });
    for written in join_all(writes).await {
        assert_eq!(written, Ok(Some(1)));
    }
    let mut reversed = names.clone();
    reversed.reverse();
    let (begun, _) = effort(&server);
    for index in [TIME, Index::ID] {
        assert_eq!(ids(&*engine, index, &Range::all()).await, names);
        let backwards = Range::all().backwards();
        assert_eq!(ids(&*engine, index, &backwards).await, reversed);
    }
    // The first call of a script counts twice.
    assert_eq!(effort(&server).0, begun + 4 * 3 + 1);
    let page = engine
        .scan(&THINGS, TIME, &Range::all(), 501, Parts::Body)
        .await;
    assert_eq!(page.unwrap().len(), 501);
    let found = engine.get(&THINGS, &names, Parts::Body).await.unwrap();
    let found = found.into_iter().map(|found| found.unwrap().id);
    assert!(found.eq(names.iter().cloned()));
    let records: Vec<_> = names.into_iter().map(|id| (id, None)).collect();
    assert_eq!(engine.delete(&THINGS, &records).await, Ok(1201));
    assert_eq!(all_keys(&server), ["{site}:schema"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_of_redis_needs_few_permissions() {
    let server = server_or_skip!("a_user_needs_few_rights", durable());
    let rights = "~{site}:* +@read +@write +@scripting +@connection +info";
    let user = ["ACL", "SETUSER", "site", "on", ">secret"];
    let rights: Vec<_> = user.into_iter().chain(rights.split(' ')).collect();
    server.ask::<redis::Value>(&rights);
    let url = server.url().replace("redis://", "redis://site:secret@");
    let engine = engine(&url, "site");
    put_first(&engine).await;
    assert_eq!(ids(&*engine, CODE, &Range::all()).await, ["one"]);
    assert_eq!(engine.count(&THINGS, CODE, &Range::all()).await, Ok(1));
    assert_eq!(engine.delete(&THINGS, &one("one")).await, Ok(1));
    assert_eq!(engine.ping().await, Ok(()));
    assert_eq!(engine.warnings().await, Ok(vec![]));
    server.ask::<redis::Value>(&["ACL", "SETUSER", "site", "-evalsha"]);
    let Err(StoreError::Refused(why)) = engine.put(thing("two")).await else {
        panic!("it was written");
    };
    assert!(why.contains("NOPERM"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn installations_are_distributed_over_a_redis_cluster() {
    let cluster = server_or_skip!("installations_are_spread", RedisCluster::start());
    for number in 0..8 {
        let engine = engine(&cluster.url(), &format!("site{number}"));
        put_first(&engine).await;
        assert_eq!(ids(&*engine, CODE, &Range::all()).await, ["one"]);
    }
    assert!(cluster.is_spread());
}
