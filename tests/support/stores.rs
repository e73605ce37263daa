//! Empty stores of each kind for tests. An error is the reason for skipping the test.

use std::sync::Arc;

use rollcall::{
    repositories::{KINDS, Repositories},
    storage::{
        memory::MemoryEngine,
        mongo::{MongoEngine, MongoSettings},
        redis::{Address, RedisEngine},
        sqlite::SqliteEngine,
    },
};
use tempfile::TempDir;

use crate::{redis_server::RedisServer, servers::MongoServer};

/// A store, and what keeps it alive.
pub struct Opened<K> {
    pub stores: Repositories,
    pub keeper: K,
}

/// Keeps a database on MongoDB alive.
pub enum Mongo {
    /// A server of this test.
    Own(MongoServer),
    /// A database of this test on the server of `MONGODB_TEST_URI`.
    Given(mongodb::Database),
}

impl Mongo {
    /// Removes the database. It stays if the test fails.
    pub async fn end(self) {
        match self {
            Self::Own(server) => drop(server),
            Self::Given(database) => database.drop().await.unwrap(),
        }
    }
}

/// Returns a store in memory.
pub fn memory() -> Repositories {
    Repositories::new(Arc::new(MemoryEngine::default()))
}

/// Returns a store on SQLite, in its own folder.
pub async fn sqlite() -> Opened<TempDir> {
    let keeper = tempfile::tempdir().unwrap();
    let engine = SqliteEngine::open(&keeper.path().join("rollcall.db"), KINDS).await;
    let stores = Repositories::new(Arc::new(engine.unwrap()));
    Opened { stores, keeper }
}

/// Returns a store on its own Redis, which writes everything to its disk before it replies.
pub async fn redis() -> Result<Opened<RedisServer>, String> {
    let keeper = RedisServer::with(&["--appendonly", "yes", "--appendfsync", "always"])?;
    let address = Address::parse(&keeper.url().into(), None, None).unwrap();
    let stores = Repositories::new(Arc::new(RedisEngine::new(address, "rollcall")));
    Ok(Opened { stores, keeper })
}

/// Returns a store on MongoDB, in its own database.
pub async fn mongo() -> Result<Opened<Mongo>, String> {
    let name = format!("rollcall_test_{}", uuid::Uuid::now_v7().simple());
    let (uri, keeper) = match std::env::var("MONGODB_TEST_URI") {
        Ok(uri) => {
            let client = mongodb::Client::with_uri_str(&uri).await;
            let database = client.map_err(|error| error.to_string())?.database(&name);
            (uri, Mongo::Given(database))
        }
        Err(_) => {
            let server = MongoServer::start()?;
            (server.uri(), Mongo::Own(server))
        }
    };
    let settings = MongoSettings {
        uri: uri.into(),
        database: name,
        app_name: "rollcall-tests".to_owned(),
    };
    let engine = MongoEngine::connect(settings, KINDS).await.unwrap();
    let stores = Repositories::new(Arc::new(engine));
    Ok(Opened { stores, keeper })
}
