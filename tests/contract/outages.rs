//! What happens while the server is away, and after.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rollcall::{
    ports::{StoreError, Stores},
    storage::mongo::{ConnectError, MongoStore},
};

use crate::{mongo_settings, records::*, servers::MongoServer, skip::skip};

/// Within this time a caller has an answer, whatever the server does.
pub const BOUND: Duration = Duration::from_secs(2);

/// Within this time a store whose server is back answers again by itself.
const RECOVERY: Duration = Duration::from_secs(15);

async fn store(server: &MongoServer, database: &str) -> Stores {
    let store = MongoStore::connect(mongo_settings(&server.uri(), database)).await;
    Stores::of(Arc::new(store.unwrap()))
}

/// Waits until the store answers again.
pub async fn until_it_answers(stores: &Stores) {
    let begun = Instant::now();
    while let Err(error) = stores.health.ping().await {
        assert!(begun.elapsed() < RECOVERY, "still away: {error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub fn unavailable<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    assert!(
        matches!(result, Err(StoreError::Unavailable(_))),
        "{result:?}"
    );
}

/// Reads, writes, deletes and pings all say in time that the store is unavailable. Many at once,
/// so that waiting for a connection counts.
pub async fn everything_is_unavailable_in_time(stores: &Stores) {
    let begun = Instant::now();
    let one = punch(employee_id(), device_id(), 1, 0);
    let ann = employee("Ann", "E1");
    tokio::join!(
        async { unavailable(stores.health.ping().await) },
        async { unavailable(stores.punches.append(&one).await) },
        async { unavailable(stores.punches.last_written(one.employee).await) },
        async { unavailable(stores.devices.find_by_token(token(1)).await) },
        async { unavailable(stores.sessions.delete(token(1)).await) },
        async { unavailable(stores.settings.claim("a", "b").await) },
        async { unavailable(stores.templates.mark_changed(one.employee, at(0)).await) },
        async { unavailable(stores.employees.update(&ann, &ann).await) },
        async {
            let many = (0..100).map(|_| stores.employees.find(one.employee));
            for found in futures::future::join_all(many).await {
                unavailable(found);
            }
        },
    );
    assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
}

/// It is a store again: what was there is there, and it can be written.
pub async fn everything_is_back(stores: &Stores) {
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
async fn a_frozen_server_is_unavailable_in_time_until_it_goes_on() {
    let server = server_or_skip!("a_frozen_server");
    let stores = store(&server, "frozen").await;
    stores.devices.insert(&device("kept", 7)).await.unwrap();
    server.freeze();
    // The first time on open connections, then when the driver knows better.
    for _ in 0..3 {
        everything_is_unavailable_in_time(&stores).await;
    }
    server.thaw();
    everything_is_back(&stores).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_is_unavailable_in_time_until_it_is_back() {
    let mut server = server_or_skip!("a_killed_server");
    let stores = store(&server, "killed").await;
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
async fn a_store_starts_without_its_server_and_has_its_indexes_before_the_first_write() {
    let mut server = server_or_skip!("a_store_starts_without_its_server");
    server.kill();
    let begun = Instant::now();
    let stores = store(&server, "late").await;
    assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
    assert_eq!(stores.health.description(), "mongodb, not reached yet");
    everything_is_unavailable_in_time(&stores).await;

    server.restart();
    // No ping first: the first calls are the ones that find it there.
    let begun = Instant::now();
    let (ann, bob) = (employee("Ann", "E7"), employee("Bob", "e7"));
    let results = loop {
        let results = tokio::join!(stores.employees.insert(&ann), stores.employees.insert(&bob));
        let away =
            |result: &Result<(), StoreError>| matches!(result, Err(StoreError::Unavailable(_)));
        if !away(&results.0) && !away(&results.1) {
            break results;
        }
        assert!(begun.elapsed() < RECOVERY, "{results:?}");
    };
    // A try that timed out may have been written, and then both are conflicts.
    let listed = stores.employees.list(&Default::default(), &first(10)).await;
    assert_eq!(listed.unwrap().len(), 1, "{results:?}");
    assert!(stores.health.description().starts_with("mongodb "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_does_not_hold_up_the_start() {
    let server = server_or_skip!("a_frozen_server_does_not_hold_up_the_start");
    server.freeze();
    let begun = Instant::now();
    let stores = store(&server, "cold").await;
    assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
    server.thaw();
    until_it_answers(&stores).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_database_is_refused_and_settings_are_checked() {
    let server = server_or_skip!("a_newer_database");
    let client = mongodb::Client::with_uri_str(server.uri()).await.unwrap();
    client
        .database("newer")
        .collection("meta")
        .insert_one(mongodb::bson::doc! { "_id": "schema", "version": 99_i64 })
        .await
        .unwrap();
    let refused = MongoStore::connect(mongo_settings(&server.uri(), "newer")).await;
    let error = refused.unwrap_err();
    assert!(matches!(error, ConnectError::Newer { found: 99, .. }));
    assert!(
        error
            .to_string()
            .contains("schema version 99, this program knows 1")
    );

    for (uri, database) in [
        ("http://user:secret@host", "a"),
        ("mongodb://", "a"),
        (&server.uri(), ""),
        (&server.uri(), "a.b"),
    ] {
        let refused = MongoStore::connect(mongo_settings(uri, database)).await;
        let error = refused.unwrap_err();
        assert!(
            matches!(error, ConnectError::Settings(_)),
            "{uri} {database}"
        );
        assert!(!error.to_string().contains("secret"));
    }
}
