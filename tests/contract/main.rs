//! Tests on real servers: what instances share, and what happens to records while servers are
//! frozen, killed, full or unreachable.

mod crashes;
#[path = "../support/frozen.rs"]
mod frozen;
mod locks;
mod outages;
#[path = "../support/ports.rs"]
mod ports;
#[path = "../support/records.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod records;
#[path = "../support/redis_cluster.rs"]
mod redis_cluster;
mod redis_forms;
#[path = "../support/redis.rs"]
mod redis_server;
mod redis_store;
#[path = "../support/servers.rs"]
mod servers;
mod shared;
#[path = "../support/skip.rs"]
mod skip;

use std::{path::Path, sync::Arc};

use redis_server::RedisServer;
use rollcall::{
    repositories::{KINDS, Repositories},
    storage::{
        mongo::{MongoEngine, MongoSettings},
        redis::{Address, RedisEngine},
        sqlite::SqliteEngine,
    },
};
use servers::MongoServer;

async fn sqlite(path: &Path) -> Repositories {
    let engine = SqliteEngine::open(path, KINDS).await;
    Repositories::new(Arc::new(engine.unwrap()))
}

fn mongo_settings(uri: &str, database: &str) -> MongoSettings {
    MongoSettings {
        uri: uri.into(),
        database: database.to_owned(),
        app_name: "rollcall-tests".to_owned(),
    }
}

async fn mongo(server: &MongoServer, database: &str) -> Repositories {
    let engine = MongoEngine::connect(mongo_settings(&server.uri(), database), KINDS).await;
    Repositories::new(Arc::new(engine.unwrap()))
}

/// Starts a Redis that writes everything to its disk before it replies.
fn lasting_redis() -> Result<RedisServer, String> {
    RedisServer::with(&["--appendonly", "yes", "--appendfsync", "always"])
}

fn redis_engine(url: &str) -> RedisEngine {
    let address = Address::parse(&url.into(), None, None).unwrap();
    RedisEngine::new(address, "rollcall")
}

/// Returns records on a Redis, without connecting.
fn redis(url: &str) -> Repositories {
    Repositories::new(Arc::new(redis_engine(url)))
}
