//! What happens while the server is unavailable, and after it is back.

use std::time::{Duration, Instant};

use rollcall::{
    domain::grants::Reach,
    ports::StoreError,
    repositories::{KINDS, Repositories},
    storage::mongo::{ConnectError, MongoEngine},
};

use crate::{mongo, mongo_settings, records::*, servers::MongoServer, skip::skip};

/// Many calls return within this time, whatever the state of the server: each has 1.9 seconds, and
/// the machine may be busy. The drivers alone would wait for half a minute.
pub const BOUND: Duration = Duration::from_secs(10);

/// A store works again within this time after its server is back.
pub const RECOVERY: Duration = Duration::from_secs(60);

/// Waits until the store works again.
pub async fn until_it_answers(stores: &Repositories) {
    let begun = Instant::now();
    while let Err(error) = stores.engine.ping().await {
        assert!(begun.elapsed() < RECOVERY, "still unavailable: {error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub fn unavailable<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    assert!(
        matches!(result, Err(StoreError::Unavailable(_))),
        "{result:?}"
    );
}

/// Checks that reads, writes, deletes and pings all fail in time. Makes many calls at once, so that
/// waiting for a connection counts.
pub async fn everything_is_unavailable_in_time(stores: &Repositories) {
    let begun = Instant::now();
    let one = punch(employee_id(), device_id(), 1, 0);
    let ann = employee("Ann", "E1");
    tokio::join!(
        async { unavailable(stores.engine.ping().await) },
        async { unavailable(stores.punches.append(&one).await) },
        async { unavailable(stores.punches.last_written(one.employee).await) },
        async { unavailable(stores.devices.find_by_token(token(1)).await) },
        async { unavailable(stores.sessions.delete(token(1)).await) },
        async { unavailable(stores.settings.claim("a", "b").await) },
        async { unavailable(stores.faces.change(one.employee, at(0), Some).await) },
        async { unavailable(stores.employees.exchange(&ann, &ann).await) },
        async {
            let many = (0..100).map(|_| stores.employees.find(one.employee));
            for found in futures::future::join_all(many).await {
                unavailable(found);
            }
        },
    );
    assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
}

/// Checks that the records still exist, and that the store accepts writes.
pub async fn everything_is_back(stores: &Repositories) {
    until_it_answers(stores).await;
    let found = stores.devices.find_by_token(token(7)).await.unwrap();
    assert_eq!(found.unwrap().name, name("kept"));
    let one = punch(employee_id(), device_id(), 1, 0);
    stores.punches.append(&one).await.unwrap();
    let last = stores.punches.last_written(one.employee).await;
    assert_eq!(last, Ok(Some(one)));
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
async fn a_frozen_server_is_unavailable_in_time_until_it_is_resumed() {
    let server = server_or_skip!("a_frozen_server");
    let stores = mongo(&server, "frozen").await;
    stores.devices.insert(&device("kept", 7)).await.unwrap();
    server.freeze();
    // First with open connections, then when the driver knows that the server is gone.
    for _ in 0..3 {
        everything_is_unavailable_in_time(&stores).await;
    }
    server.thaw();
    everything_is_back(&stores).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_is_unavailable_in_time_until_it_is_restarted() {
    let mut server = server_or_skip!("a_killed_server");
    let stores = mongo(&server, "killed").await;
    stores.devices.insert(&device("kept", 7)).await.unwrap();
    for _ in 0..2 {
        server.kill();
        for _ in 0..2 {
            everything_is_unavailable_in_time(&stores).await;
        }
        server.restart();
        everything_is_back(&stores).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_starts_without_its_server_and_creates_its_indexes_before_the_first_write() {
    let mut server = server_or_skip!("a_store_starts_without_its_server");
    server.kill();
    let begun = Instant::now();
    let stores = mongo(&server, "late").await;
    assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
    assert_eq!(stores.engine.description(), "mongodb, not reached yet");
    everything_is_unavailable_in_time(&stores).await;

    server.restart();
    // No ping: the first calls are the ones that find the server.
    let begun = Instant::now();
    let (ann, bob) = (employee("Ann", "E7"), employee("Bob", "e7"));
    let results = loop {
        let results = tokio::join!(stores.employees.insert(&ann), stores.employees.insert(&bob));
        let unavailable =
            |result: &Result<(), StoreError>| matches!(result, Err(StoreError::Unavailable(_)));
        if !unavailable(&results.0) && !unavailable(&results.1) {
            break results;
        }
        assert!(begun.elapsed() < RECOVERY, "{results:?}");
    };
    // An attempt that timed out may have been written; then both are conflicts.
    let listed = stores
        .employees
        .list(&Reach::Everything, &Default::default(), &first(10))
        .await;
    assert_eq!(listed.unwrap().len(), 1, "{results:?}");
    assert!(stores.engine.description().starts_with("mongodb "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_does_not_delay_the_start() {
    let server = server_or_skip!("a_frozen_server_does_not_hold_up_the_start");
    server.freeze();
    let begun = Instant::now();
    let stores = mongo(&server, "cold").await;
    assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
    server.thaw();
    until_it_answers(&stores).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_of_another_version_is_refused_and_settings_are_checked() {
    let server = server_or_skip!("a_database_of_another_version");
    let client = mongodb::Client::with_uri_str(server.uri()).await.unwrap();
    for (name, version, reason) in [
        (
            "newer",
            99_i64,
            "schema version 99, but this program knows only 2",
        ),
        (
            "older",
            1,
            "schema version 1, but this program reads only 2",
        ),
    ] {
        let meta = client.database(name).collection("meta");
        let schema = mongodb::bson::doc! { "_id": "schema", "version": version };
        meta.insert_one(schema).await.unwrap();
        let settings = mongo_settings(&server.uri(), name);
        let refused = MongoEngine::connect(settings, KINDS).await;
        let error = refused.unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
        let names = client.database(name).list_collection_names().await;
        assert_eq!(names.unwrap(), ["meta"], "nothing is created");
    }

    for (uri, database) in [
        ("http://user:secret@host", "a"),
        ("mongodb://", "a"),
        (&server.uri(), ""),
        (&server.uri(), "a.b"),
    ] {
        let refused = MongoEngine::connect(mongo_settings(uri, database), KINDS).await;
        let error = refused.unwrap_err();
        assert!(
            matches!(error, ConnectError::Settings(_)),
            "{uri} {database}"
        );
        assert!(!error.to_string().contains("secret"));
    }
}
