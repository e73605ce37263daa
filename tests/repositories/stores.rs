//! Empty stores for tests. Tests share the servers, so that a run starts only one of each kind. An
//! error is the reason for skipping the test.

#[path = "../engines/shared.rs"]
mod shared;

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
use uuid::Uuid;

use self::shared::Shared;
use crate::{redis_server::RedisServer, servers::MongoServer};

/// Keeps a store alive until the test ends.
pub type Guard = Box<dyn std::any::Any + Send>;

/// The connection string of a real MongoDB, which tests then use instead of the stand-in.
const MONGO: &str = "MONGODB_TEST_URI";

/// Returns a store in memory.
pub async fn memory() -> Result<(Repositories, Guard), String> {
    let stores = Repositories::new(Arc::new(MemoryEngine::default()));
    Ok((stores, Box::new(())))
}

/// Returns a store on SQLite, in its own folder.
pub async fn sqlite() -> Result<(Repositories, Guard), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let engine = SqliteEngine::open(&folder.path().join("rollcall.db"), KINDS).await;
    let stores = Repositories::new(Arc::new(engine.unwrap()));
    Ok((stores, Box::new(folder)))
}

/// Checks whether [`mongo`] uses a real MongoDB, which finds and changes a document atomically. The
/// stand-in does this in two steps, so several can win a race for one document.
pub fn mongo_is_real() -> bool {
    std::env::var_os(MONGO).is_some()
}

/// Returns a store on MongoDB, in its own database on the server that all tests share.
pub async fn mongo() -> Result<(Repositories, Guard), String> {
    static SERVER: Shared<MongoServer> = Shared::new();
    let name = format!("rollcall_test_{}", Uuid::now_v7().simple());
    let (uri, guard): (_, Guard) = match std::env::var(MONGO) {
        Ok(uri) => (uri.clone(), Box::new(Database(uri, name.clone()))),
        Err(_) => {
            let server = SERVER.get(MongoServer::start)?;
            (server.uri(), Box::new(server))
        }
    };
    let settings = MongoSettings {
        uri: uri.into(),
        database: name,
        app_name: "rollcall-tests".to_owned(),
    };
    let engine = MongoEngine::connect(settings, KINDS).await;
    Ok((Repositories::new(Arc::new(engine.unwrap())), guard))
}

/// A database on an external server, by the server's address and the database's name. It is deleted
/// on drop.
struct Database(String, String);

impl Drop for Database {
    fn drop(&mut self) {
        let (uri, name) = (self.0.clone(), self.1.clone());
        // A runtime cannot wait inside of the test's.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                let client = mongodb::Client::with_uri_str(&uri).await?;
                client.database(&name).drop().await
            })
        });
        let _ = dropped.join();
    }
}

/// Returns a store on Redis, as its own installation on the server that all tests share.
pub async fn redis() -> Result<(Repositories, Guard), String> {
    static SERVER: Shared<RedisServer> = Shared::new();
    let server = SERVER.get(|| RedisServer::with(&[]))?;
    let address = Address::parse(&server.url().into(), None, None).unwrap();
    let engine = RedisEngine::new(address, &Uuid::now_v7().to_string());
    Ok((Repositories::new(Arc::new(engine)), Box::new(server)))
}
