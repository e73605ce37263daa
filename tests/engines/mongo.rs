//! MongoDB: databases for the contract, and tests that only concern MongoDB.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{
    FutureExt,
    future::{BoxFuture, join_all},
};
use mongodb::{
    Client, Database,
    bson::{Document, doc},
};
use rollcall::{
    domain::record::{Index, Kind},
    ports::{Expect, Parts, Range, RecordEngine, StoreError},
    storage::mongo::{ConnectError, MongoEngine, MongoSettings},
};
use serde_json::json;

use crate::{
    Opened,
    servers::MongoServer,
    shared::Shared,
    skip::skip,
    things::{CODE, Change, KINDS, THINGS, TIME, get_thing, put, stored, thing},
};

/// Many calls return within this time, whatever the server does: each has 1.9 seconds, and the
/// machine may be busy. The driver alone would wait for half a minute.
const BOUND: Duration = Duration::from_secs(10);

/// An engine works again within this time after its server is back.
const RECOVERY: Duration = Duration::from_secs(60);

static SERVER: Shared<MongoServer> = Shared::new();

fn settings(uri: &str, database: &str) -> MongoSettings {
    MongoSettings {
        uri: uri.into(),
        database: database.to_owned(),
        app_name: "rollcall-tests".to_owned(),
    }
}

async fn connect(uri: &str, database: &str) -> MongoEngine {
    let engine = MongoEngine::connect(settings(uri, database), KINDS).await;
    engine.unwrap()
}

async fn database(uri: &str, name: &str) -> Result<Database, String> {
    let client = Client::with_uri_str(uri).await;
    Ok(client.map_err(|error| error.to_string())?.database(name))
}

/// Opens a database of its own, on the server of `MONGODB_TEST_URI` or on the server that all tests
/// of this run share.
pub async fn open() -> Result<Opened, String> {
    let name = format!("rollcall_test_{}", uuid::Uuid::now_v7().simple());
    let given = std::env::var("MONGODB_TEST_URI").ok();
    let (uri, end): (String, BoxFuture<'static, ()>) = match &given {
        Some(uri) => {
            let database = database(uri, &name).await?;
            let end = async move { database.drop().await.unwrap() };
            (uri.clone(), end.boxed())
        }
        None => {
            let server = SERVER.get(MongoServer::start)?;
            (server.uri(), async move { drop(server) }.boxed())
        }
    };
    Ok(Opened {
        engine: Arc::new(connect(&uri, &name).await),
        other: Arc::new(connect(&uri, &name).await),
        two_steps: given.is_none(),
        end,
    })
}

macro_rules! server_or_skip {
    ($test:literal) => {
        match MongoServer::start() {
            Ok(server) => server,
            Err(why) => return skip($test, &why),
        }
    };
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_has_the_fields_of_its_record() {
    let server = server_or_skip!("a_document_has_what_its_record_has");
    let engine = connect(&server.uri(), "shape").await;
    let collection = database(&server.uri(), "shape").await.unwrap();
    let collection = collection.collection::<Document>("things");
    let full = thing("one")
        .key(CODE, ("e1",))
        .key(TIME, (7_u64,))
        .body(json!({ "name": "Ann", "shifts": [1, 2.5], "site": null }))
        .blob(&[1, 2]);
    put(&engine, full).await;
    let mut found = collection.find_one(doc! {}).await.unwrap().unwrap();
    let blob = found.remove("blob").unwrap();
    assert!(matches!(blob, mongodb::bson::Bson::Binary(blob) if blob.bytes == [1, 2]));
    assert_eq!(
        found,
        doc! {
            "_id": "one",
            "rev": 1_i64,
            "v": 1,
            "body": { "name": "Ann", "shifts": [1_i64, 2.5], "site": null },
            "x_by_code": "e1",
            "x_by_time": "0000000000000007",
        }
    );
    // Either way of replacing it removes the fields that it no longer has.
    for (expect, revision) in [(Expect::Revision(1), 2_i64), (Expect::Any, 3)] {
        let lost = thing("one").key(TIME, (8_u64,)).expect(expect);
        put(&engine, lost).await;
        let found = collection.find_one(doc! {}).await.unwrap().unwrap();
        let mut fields: Vec<_> = found.keys().collect();
        fields.sort();
        assert_eq!(fields, ["_id", "body", "rev", "v", "x_by_time"]);
        assert_eq!(found.get_i64("rev").unwrap(), revision);
        put(&engine, thing("two").key(CODE, ("e1",))).await;
        engine
            .delete(&THINGS, &[("two".to_owned(), None)])
            .await
            .unwrap();
    }
}

/// The kind of the things before it had all its indexes.
static EARLIER: &[&Kind] = &[&Kind::archived("things", "thing", &[CODE])];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_index_of_a_kind_is_created_when_the_database_is_opened() {
    let server = server_or_skip!("an_index_that_a_kind_gained");
    let (uri, name) = (server.uri(), "gained");
    let indexes = async || {
        let database = database(&uri, name).await.unwrap();
        let things = database.collection::<Document>("things");
        things.list_index_names().await.unwrap()
    };
    let engine = MongoEngine::connect(settings(&uri, name), EARLIER).await;
    put(&engine.unwrap(), thing("one").key(CODE, ("a",))).await;
    assert_eq!(indexes().await, ["_id_", "x_by_code_1"]);
    let engine = connect(&uri, name).await;
    let made = [
        "_id_",
        "x_by_code_1",
        "x_by_owner_1__id_1",
        "x_by_time_1__id_1",
    ];
    assert_eq!(indexes().await, made);
    // The record is in the index after it is written again.
    put(
        &engine,
        thing("one").key(TIME, (1_u64,)).expect(Expect::Any),
    )
    .await;
    assert_eq!(engine.count(&THINGS, TIME, &Range::all()).await, Ok(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_of_an_unexpected_shape_is_damaged() {
    let server = server_or_skip!("a_document_of_another_shape_is_damaged");
    let engine = connect(&server.uri(), "damaged").await;
    let collection = database(&server.uri(), "damaged").await.unwrap();
    let collection = collection.collection::<Document>("things");
    for (number, document) in [
        doc! { "rev": 1_i64, "v": 1 },
        doc! { "rev": "1", "v": 1, "body": {} },
        doc! { "rev": 1_i64, "v": 70_000, "body": {} },
        doc! { "rev": 1_i64, "v": 1, "body": {}, "blob": "text" },
    ]
    .into_iter()
    .enumerate()
    {
        let id = number.to_string();
        let mut document = document;
        document.insert("_id", &id);
        collection.insert_one(document).await.unwrap();
        let found = engine.get(&THINGS, &[id], Parts::Whole).await;
        assert_eq!(found, Err(StoreError::Corrupt("a damaged thing".into())));
    }
    // Values that BSON cannot represent are refused before anything is written.
    let refused = engine
        .put(thing("large").body(json!({ "n": u64::MAX })))
        .await;
    assert!(
        matches!(refused, Err(StoreError::Corrupt(_))),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_of_another_version_is_refused_and_settings_are_checked() {
    let server = server_or_skip!("a_database_of_another_version");
    let connected = async |uri: &str, name: &str| {
        let engine = MongoEngine::connect(settings(uri, name), KINDS).await;
        engine.map(drop).unwrap_err()
    };
    for (name, version) in [("newer", 99_i64), ("older", 1)] {
        let meta = database(&server.uri(), name).await.unwrap();
        meta.collection("meta")
            .insert_one(doc! { "_id": "schema", "version": version })
            .await
            .unwrap();
        let error = connected(&server.uri(), name).await;
        let (newer, older) = (
            matches!(error, ConnectError::Newer { found: 99, .. }),
            matches!(error, ConnectError::Older { found: 1, .. }),
        );
        assert_eq!((newer, older), (name == "newer", name == "older"));
        let begins = format!("the database has schema version {version}, but this program ");
        assert!(error.to_string().starts_with(&begins), "{error}");
    }
    for (uri, name) in [
        ("http://user:secret@host", "a"),
        ("mongodb://", "a"),
        (&server.uri(), ""),
        (&server.uri(), "a.b"),
    ] {
        let error = connected(uri, name).await;
        assert!(matches!(error, ConnectError::Settings(_)), "{uri} {name}");
        assert!(!error.to_string().contains("secret"));
    }
}

fn unavailable<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    assert!(
        matches!(result, Err(StoreError::Unavailable(_))),
        "{result:?}"
    );
}

/// Checks that every call fails in time. Makes many calls at once, so that waiting for a connection
/// counts.
async fn everything_is_unavailable_in_time(engine: &MongoEngine) {
    let begun = Instant::now();
    let (ids, all) = (["kept".to_owned()], Range::all());
    let write = |expect| engine.put(thing("other").key(CODE, ("o",)).expect(expect));
    tokio::join!(
        async { unavailable(engine.ping().await) },
        async { unavailable(write(Expect::Absent).await) },
        async { unavailable(write(Expect::Revision(9)).await) },
        async { unavailable(engine.put(thing("any").expect(Expect::Any)).await) },
        async { unavailable(engine.delete(&THINGS, &[("other".into(), None)]).await) },
        async { unavailable(engine.count(&THINGS, TIME, &all).await) },
        async { unavailable(engine.scan(&THINGS, CODE, &all, 9, Parts::Whole).await) },
        async {
            let many = (0..100).map(|_| engine.get(&THINGS, &ids, Parts::Body));
            for found in join_all(many).await {
                unavailable(found);
            }
        },
    );
    assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
}

async fn until_it_answers(engine: &MongoEngine) {
    let begun = Instant::now();
    while let Err(error) = engine.ping().await {
        assert!(begun.elapsed() < RECOVERY, "still unavailable: {error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Checks that the records still exist, and that the engine accepts writes.
async fn everything_is_back(engine: &MongoEngine, again: &str) {
    until_it_answers(engine).await;
    let kept = thing("kept").key(CODE, ("k",));
    assert_eq!(get_thing(engine, "kept").await, Some(stored(&kept, 1)));
    put(engine, thing(again)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_is_unavailable_in_time_until_it_is_resumed() {
    let server = server_or_skip!("a_frozen_server");
    let engine = connect(&server.uri(), "frozen").await;
    put(&engine, thing("kept").key(CODE, ("k",))).await;
    server.freeze();
    // First with open connections, then when the driver knows that the server is gone.
    for _ in 0..3 {
        everything_is_unavailable_in_time(&engine).await;
    }
    server.thaw();
    everything_is_back(&engine, "again").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_is_unavailable_in_time_until_it_is_restarted() {
    let mut server = server_or_skip!("a_killed_server");
    let engine = connect(&server.uri(), "killed").await;
    put(&engine, thing("kept").key(CODE, ("k",))).await;
    for again in ["first", "second"] {
        server.kill();
        for _ in 0..2 {
            everything_is_unavailable_in_time(&engine).await;
        }
        server.restart();
        everything_is_back(&engine, again).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_starts_without_its_server_and_creates_its_indexes_before_the_first_write() {
    let mut server = server_or_skip!("an_engine_starts_without_its_server");
    server.kill();
    let begun = Instant::now();
    let engine = connect(&server.uri(), "late").await;
    assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
    assert_eq!(engine.description(), "mongodb, not reached yet");
    everything_is_unavailable_in_time(&engine).await;

    server.restart();
    // No ping: the first calls are the ones that find the server.
    let begun = Instant::now();
    let results = loop {
        let write = |id| engine.put(thing(id).key(CODE, ("e7",)));
        let results = tokio::join!(write("ann"), write("bob"));
        let failed =
            |result: &Result<_, StoreError>| matches!(result, Err(StoreError::Unavailable(_)));
        if !failed(&results.0) && !failed(&results.1) {
            break results;
        }
        assert!(begun.elapsed() < RECOVERY, "{results:?}");
    };
    // An attempt that timed out may have been written; then both are conflicts.
    let count = engine.count(&THINGS, Index::ID, &Range::all()).await;
    assert_eq!(count, Ok(1), "{results:?}");
    assert!(engine.description().starts_with("mongodb "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_does_not_delay_the_start() {
    let server = server_or_skip!("a_frozen_server_does_not_hold_up_the_start");
    server.freeze();
    let begun = Instant::now();
    let engine = connect(&server.uri(), "cold").await;
    assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
    server.thaw();
    until_it_answers(&engine).await;
}
