//! The contract of record engines, written once and run on each engine.

mod crashes;
#[path = "../support/frozen.rs"]
mod frozen;
mod model;
mod mongo;
#[path = "../support/ports.rs"]
mod ports;
mod promises;
#[path = "../support/redis_cluster.rs"]
mod redis_cluster;
mod redis_engine;
#[path = "../support/redis.rs"]
mod redis_server;
#[path = "../support/servers.rs"]
mod servers;
mod shared;
#[path = "../support/skip.rs"]
mod skip;
mod things;

use std::sync::Arc;

use futures::{FutureExt, future::BoxFuture};
use rollcall::{
    ports::RecordEngine,
    storage::{memory::MemoryEngine, sqlite::SqliteEngine},
};

/// An empty engine for one test, prepared for [`things::KINDS`].
pub struct Opened {
    /// The engine.
    pub engine: Arc<dyn RecordEngine>,
    /// Another handle to the same records, as another instance would open it.
    pub other: Arc<dyn RecordEngine>,
    /// Whether the server first reads and then writes a record, in two steps, while the real server
    /// does both atomically. Such a server is excluded from tests of races.
    pub two_steps: bool,
    /// Owns the server or folder of the engine, and removes it after a passed test. After a failed
    /// test, it is dropped instead.
    pub end: BoxFuture<'static, ()>,
}

async fn memory() -> Result<Opened, String> {
    let engine = Arc::new(MemoryEngine::default());
    Ok(Opened {
        engine: engine.clone(),
        other: engine,
        two_steps: false,
        end: async {}.boxed(),
    })
}

async fn sqlite() -> Result<Opened, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let path = folder.path().join("rollcall.db");
    let open = async || SqliteEngine::open(&path, things::KINDS).await.unwrap();
    let (engine, other) = (open().await, open().await);
    Ok(Opened {
        engine: Arc::new(engine),
        other: Arc::new(other),
        two_steps: false,
        end: async move { drop(folder) }.boxed(),
    })
}

macro_rules! hold {
    ($module:ident, $open:path: $($promise:ident)+) => {
        mod $module {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                match $open().await {
                    Ok(opened) => {
                        crate::promises::$promise(&opened).await;
                        opened.end.await;
                    }
                    Err(why) => crate::skip::skip(concat!(stringify!($module), "::", stringify!($promise)), &why),
                }
            })+
        }
    };
}

/// Runs each test of the contract on each engine.
macro_rules! promises {
    ($($promise:ident)+) => {
        hold! { on_memory, crate::memory: $($promise)+ }
        hold! { on_sqlite, crate::sqlite: $($promise)+ }
        hold! { on_mongo, crate::mongo::open: $($promise)+ }
        hold! { on_redis, crate::redis_engine::on_server: $($promise)+ }
        hold! { on_a_redis_cluster, crate::redis_engine::on_cluster: $($promise)+ }
    };
}

promises! {
    a_record_is_read_as_written
    texts_are_read_as_written
    numbers_and_nested_values_are_read_as_written
    long_bodies_and_blobs_are_read_as_written
    records_are_read_in_the_order_of_their_ids
    only_the_requested_parts_are_read
    a_record_is_inserted_once
    each_write_counts_the_revision
    a_record_is_replaced_only_in_its_revision
    a_replaced_record_keeps_no_blob
    a_unique_key_belongs_to_one_record
    a_record_may_keep_its_unique_key
    unique_keys_are_free_after_they_are_removed
    kinds_and_indexes_are_separate
    a_record_without_a_key_is_not_in_the_index
    of_many_inserts_with_one_unique_key_one_wins
    of_many_inserts_with_one_id_one_wins
    of_many_swaps_of_one_revision_one_wins
    of_many_replacements_none_is_lost
    keys_are_in_the_order_of_their_bytes
    records_with_one_key_are_in_the_order_of_their_ids
    a_range_begins_at_a_key_and_ends_before_another
    the_parts_of_a_key_bound_a_range
    pages_contain_everything_once
    pages_contain_stable_records_once_during_writes
    a_page_continues_after_a_deleted_record
    records_are_counted_without_cursor_and_direction
    many_records_are_deleted_at_once
    records_are_deleted_only_in_their_revision
    another_handle_immediately_reads_acknowledged_writes
    an_engine_describes_itself_and_closes
    a_history_has_the_results_of_the_memory_engine
}
