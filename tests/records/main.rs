//! Everything that follows from the declarations of records, for all kinds: backups, copies,
//! erasure, export, key rotation and reindexing.

/// Runs tests on every store.
macro_rules! on_each_store {
    ($($promise:ident)+) => {$(
        mod $promise {
            use crate::{skip::skip, stores};

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_memory() {
                super::$promise(&stores::memory()).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_sqlite() {
                super::$promise(&stores::sqlite().await.stores).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_redis() {
                match stores::redis().await {
                    Ok(opened) => super::$promise(&opened.stores).await,
                    Err(why) => skip(concat!(stringify!($promise), "::on_redis"), &why),
                }
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_mongo() {
                match stores::mongo().await {
                    Ok(opened) => {
                        super::$promise(&opened.stores).await;
                        opened.keeper.end().await;
                    }
                    Err(why) => skip(concat!(stringify!($promise), "::on_mongo"), &why),
                }
            }
        }
    )+};
}

mod backups;
mod copies;
mod erasure;
mod fixtures;
#[path = "../support/frozen.rs"]
mod frozen;
#[path = "../support/installation.rs"]
mod installation;
mod key_rotation;
mod new_kind;
#[path = "../support/ports.rs"]
mod ports;
#[path = "../support/records.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod records;
#[path = "../support/redis.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod redis_server;
mod reindexing;
#[path = "../support/servers.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod servers;
#[path = "../support/skip.rs"]
mod skip;
#[path = "../support/stores.rs"]
mod stores;
