//! The contract of the systems of record: one suite, run on every adapter.

mod archive;
mod backup;
mod cameras;
mod copying;
mod crashes;
mod erasure;
#[path = "../support/frozen.rs"]
mod frozen;
mod jobs;
mod leases;
mod locks;
mod outages;
mod pictures;
mod records;
mod redis_forms;
#[path = "../support/redis.rs"]
mod redis_server;
mod redis_store;
mod sealing;
#[path = "../support/servers.rs"]
mod servers;
mod shared;
#[path = "../support/site.rs"]
mod site;
#[path = "../support/skip.rs"]
mod skip;
mod suite;

use std::sync::Arc;

use redis_server::RedisServer;
use rollcall::{
    ports::Stores,
    storage::{
        mongo::{MongoSettings, MongoStore},
        redis::{Address, records::RedisStore},
        sqlite::SqliteStore,
    },
};
use servers::MongoServer;

/// A store of a test's own on SQLite.
async fn sqlite() -> (Stores, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("rollcall.db")).await;
    (Stores::of(Arc::new(store.unwrap())), folder)
}

/// What keeps the database of a test there, and what ends it.
enum Mongo {
    /// A server of the test's own.
    Own(#[expect(dead_code, reason = "the server ends with it")] MongoServer),
    /// A database of the test's own on the server of `MONGODB_TEST_URI`.
    Given(mongodb::Database),
}

impl Mongo {
    async fn end(self) {
        match self {
            Self::Own(_) => {}
            Self::Given(database) => database.drop().await.unwrap(),
        }
    }
}

fn mongo_settings(uri: &str, database: &str) -> MongoSettings {
    MongoSettings {
        uri: uri.into(),
        database: database.to_owned(),
        app_name: "rollcall-tests".to_owned(),
    }
}

/// A store of a test's own on MongoDB; the error says why there is none.
async fn mongo() -> Result<(Stores, Mongo), String> {
    let name = format!("rollcall_test_{}", uuid::Uuid::now_v7().simple());
    let (uri, mongo) = match std::env::var("MONGODB_TEST_URI") {
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
    let store = MongoStore::connect(mongo_settings(&uri, &name)).await;
    Ok((Stores::of(Arc::new(store.unwrap())), mongo))
}

/// A server that writes everything to its disk before it answers.
fn lasting_redis() -> Result<RedisServer, String> {
    RedisServer::with(&["--appendonly", "yes", "--appendfsync", "always"])
}

/// The store on a Redis; not connected yet.
fn redis_store(url: &str) -> Arc<RedisStore> {
    let address = Address::parse(&url.into(), None, None).unwrap();
    Arc::new(RedisStore::new(address, "rollcall"))
}

/// A store of a test's own on Redis; the error says why there is none.
async fn redis() -> Result<(Stores, RedisServer), String> {
    let server = lasting_redis()?;
    Ok((Stores::of(redis_store(&server.url())), server))
}

macro_rules! contract {
    ($($promise:ident)+) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                let (stores, _folder) = super::sqlite().await;
                super::suite::$promise(&stores).await;
            })+
        }

        mod on_mongo {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                match super::mongo().await {
                    Ok((stores, mongo)) => {
                        super::suite::$promise(&stores).await;
                        mongo.end().await;
                    }
                    Err(why) => super::skip::skip(stringify!($promise), &why),
                }
            })+
        }

        mod on_redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                match super::redis().await {
                    Ok((stores, _server)) => super::suite::$promise(&stores).await,
                    Err(why) => super::skip::skip(stringify!($promise), &why),
                }
            })+
        }
    };
}

/// MongoDB finds and changes a document at once. The server that these tests start looks first and changes
/// after, so that only one that is given is held to this.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_change_the_same_one_does() {
    let (stores, _folder) = sqlite().await;
    suite::of_many_who_change_the_same_one_does(&stores).await;
    match redis().await {
        Ok((stores, _server)) => suite::of_many_who_change_the_same_one_does(&stores).await,
        Err(why) => skip::skip("of_many_who_change_the_same_one_does on redis", &why),
    }
    if std::env::var_os("MONGODB_TEST_URI").is_some() {
        let (stores, mongo) = mongo().await.unwrap();
        suite::of_many_who_change_the_same_one_does(&stores).await;
        mongo.end().await;
    }
}

contract! {
    employees_come_back_as_they_were
    a_code_belongs_to_one_employee_until_deletion
    of_many_who_want_a_code_one_gets_it
    an_update_and_an_enrollment_leave_each_other_alone
    nobody_undoes_what_somebody_else_changed_meanwhile
    employees_are_listed_by_name_page_by_page
    employees_are_filtered_by_plain_text_site_and_state
    many_employees_and_devices_are_found_at_once
    templates_and_photos_come_back_until_deleted
    templates_of_some_models_are_kept
    an_enrollment_is_written_once_and_whole
    templates_of_a_model_are_listed_page_by_page
    the_last_change_of_a_place_in_the_gallery_is_told
    punches_come_back_as_they_were
    a_request_key_is_used_once_by_a_device
    of_many_punches_decided_on_one_past_one_is_written
    the_last_punches_are_found
    punches_are_listed_newest_first_page_by_page
    the_punches_of_somebody_erased_are_gone
    somebody_is_erased_and_everybody_else_stays
    answers_are_kept_once_and_forgotten
    devices_are_found_by_token_and_listed_until_revoked
    an_email_address_belongs_to_one_account
    sessions_end_one_by_one_by_account_and_by_time
    the_audit_trail_is_read_newest_first
    of_many_claims_one_wins_until_released
    cameras_come_back_as_they_were
    a_stream_belongs_to_one_camera_until_removal
    of_many_who_want_a_stream_one_gets_it
    a_camera_is_changed_only_as_it_was
    cameras_are_listed_page_by_page_until_removed
    what_is_noted_of_a_camera_replaces_what_was
    pictures_come_back_until_deleted
    pictures_are_listed_by_kind_newest_first
    pictures_of_a_kind_go_when_they_are_old
    jobs_come_back_as_they_were
    a_job_is_claimed_when_it_is_due_the_longest_due_first
    of_many_who_claim_a_job_one_gets_it
    a_job_whose_claimer_died_is_claimed_again
    a_job_that_may_be_there_once_is
    jobs_are_left_to_those_who_can_do_them
    a_job_can_be_ended_whoever_has_it
    jobs_are_listed_newest_first_and_purged_once_ended
    a_lease_is_taken_kept_and_let_go
    a_lease_that_ended_is_the_next_ones
    of_many_who_take_a_lease_one_gets_it
    a_lease_has_one_holder_at_any_time
    work_under_a_lease_is_kept_and_ends_with_it
    a_cache_keeps_its_word_in_the_store
    everything_is_read_once_and_in_order
    reading_ends_however_busy_the_store_is
    a_backup_of_a_store_in_use_fits_together
    what_is_sealed_is_replaced_only_as_it_was
    everything_is_sealed_anew_and_opens
    records_survive_as_json
    enrollments_that_interleave_are_read_in_order
    a_record_is_added_once_and_as_it_is
    a_store_says_what_it_is_and_closes
}
