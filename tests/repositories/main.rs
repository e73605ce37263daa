//! The contract of the typed queries, written once and run on several stores.

mod accounts;
mod cameras;
mod devices;
mod employees;
mod faces;
#[path = "../support/frozen.rs"]
mod frozen;
mod hours;
mod jobs;
mod leases;
mod pages;
mod pictures;
#[path = "../support/ports.rs"]
mod ports;
mod punches;
mod races;
mod reach;
#[path = "../support/records.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod records;
#[path = "../support/redis.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod redis_server;
#[path = "../support/servers.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod servers;
mod settings;
mod sites;
#[path = "../support/skip.rs"]
mod skip;
mod stores;
mod timesheets;

/// Texts that a careless query would misinterpret.
const TRICKY: [&str; 10] = [
    r#"{"$gt":""}"#,
    "$where: 1",
    ".*",
    r"a\.c [d]+(e)|^f$ \Q \E",
    "100% _ like",
    "'; DROP TABLE employees; --",
    "Ünïcödé Ñandú",
    "李小龍 👩🏽‍🚀",
    "İstanbul ẞ",
    "null",
];

/// Runs tests on a store, if a condition is met.
macro_rules! hold {
    ($on:ident, $open:path, if $condition:expr; $($topic:ident::$promise:ident)+) => {
        mod $on {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                if !$condition {
                    return;
                }
                match $open().await {
                    Ok((stores, _guard)) => crate::$topic::$promise(&stores).await,
                    Err(why) => crate::skip::skip(concat!(stringify!($on), "::", stringify!($promise)), &why),
                }
            })+
        }
    };
}

/// Runs tests on the stores that need no server.
macro_rules! promises {
    ($($topic:ident::$promise:ident)+) => {
        hold! { on_memory, crate::stores::memory, if true; $($topic::$promise)+ }
        hold! { on_sqlite, crate::stores::sqlite, if true; $($topic::$promise)+ }
    };
}

/// Runs tests on every store.
macro_rules! promises_everywhere {
    ($($topic:ident::$promise:ident)+) => {
        mod everywhere {
            hold! { on_memory, crate::stores::memory, if true; $($topic::$promise)+ }
            hold! { on_sqlite, crate::stores::sqlite, if true; $($topic::$promise)+ }
            hold! { on_redis, crate::stores::redis, if true; $($topic::$promise)+ }
            hold! { on_mongo, crate::stores::mongo, if true; $($topic::$promise)+ }
        }
    };
}

/// Runs tests of races for one record on every store that replaces a record atomically.
macro_rules! promises_of_replacing {
    ($($topic:ident::$promise:ident)+) => {
        mod replacing {
            hold! { on_memory, crate::stores::memory, if true; $($topic::$promise)+ }
            hold! { on_sqlite, crate::stores::sqlite, if true; $($topic::$promise)+ }
            hold! { on_redis, crate::stores::redis, if true; $($topic::$promise)+ }
            hold! { on_mongo, crate::stores::mongo, if crate::stores::mongo_is_real(); $($topic::$promise)+ }
        }
    };
}

promises! {
    employees::employees_are_read_as_written
    employees::an_employee_is_replaced_only_as_it_was_read
    employees::employees_are_filtered_by_plain_text_site_and_state
    employees::many_employees_are_found_at_once
    employees::every_employee_has_a_revision
    faces::a_face_is_kept_until_it_is_deleted
    faces::each_change_of_a_face_is_later_than_the_one_before
    faces::faces_changed_since_a_moment_are_listed_oldest_first
    faces::photos_are_kept_until_they_are_deleted
    punches::punches_are_read_as_written
    punches::a_request_key_is_used_once_by_an_origin
    punches::the_last_punches_are_found
    punches::recorded_punches_are_listed_oldest_first
    punches::the_punches_of_an_erased_employee_are_deleted
    punches::answers_are_kept_until_they_are_deleted
    sites::sites_come_back_as_they_were
    hours::leave_is_found_by_team_state_and_dates
    devices::devices_are_found_by_token_and_listed_until_they_are_revoked
    accounts::accounts_are_found_by_email_and_listed
    accounts::an_employee_has_at_most_one_account
    reach::every_list_holds_only_what_its_reach_covers
    reach::jobs_and_the_audit_trail_are_listed_only_with_everything
    accounts::sessions_end_one_by_one_by_account_and_by_time
    accounts::the_audit_trail_is_read_newest_first
    settings::settings_are_decided_once_until_they_are_released
    cameras::cameras_are_read_as_written
    cameras::a_stream_belongs_to_one_camera_until_it_is_removed
    cameras::a_camera_is_replaced_only_as_it_was_read
    cameras::cameras_are_listed_page_by_page_until_they_are_removed
    cameras::a_report_of_a_camera_replaces_the_last_one
    pictures::pictures_are_kept_until_they_are_deleted
    pictures::pictures_are_listed_by_kind_newest_first
    pictures::old_pictures_of_a_kind_are_purged
    jobs::jobs_are_read_as_written
    jobs::a_job_is_claimed_when_it_is_due_the_longest_due_first
    jobs::a_job_whose_worker_crashed_is_claimed_again
    jobs::workers_claim_only_the_jobs_that_they_can_do
    jobs::a_job_can_be_ended_whichever_worker_has_it
    jobs::jobs_are_listed_newest_first_and_purged_after_their_end
    leases::a_lease_is_taken_extended_and_released
    leases::an_expired_lease_can_be_taken_by_another_holder
    leases::work_under_a_lease_extends_it_and_ends_with_it
}

promises_everywhere! {
    employees::a_code_belongs_to_one_employee_until_deletion
    employees::of_many_employees_with_one_code_one_is_added
    employees::employees_are_listed_by_name_page_by_page
    punches::of_many_punches_decided_on_one_past_one_is_written
    punches::of_many_answers_to_one_request_one_is_kept
    punches::punches_are_listed_newest_first_page_by_page
    accounts::of_many_accounts_with_one_email_one_is_added
    settings::of_many_claims_one_wins
    sites::a_site_name_belongs_to_one_until_it_is_removed
    sites::of_many_sites_with_one_name_one_is_added
    sites::sites_are_listed_by_name_until_they_are_removed
    cameras::of_many_cameras_with_one_stream_one_is_added
    jobs::of_many_jobs_with_the_same_once_one_is_queued
    timesheets::timesheets_are_found_by_their_dates
    hours::timesheets_are_read_as_written_and_open_until_then
    hours::timesheets_are_found_by_employee_period_and_request
    hours::an_employee_has_one_opening_value_at_a_date
    hours::balance_entries_are_listed_by_date
    hours::entitlements_are_listed_by_employee_and_date
}

promises_of_replacing! {
    employees::of_many_who_replace_an_employee_one_wins
    faces::of_many_changes_of_a_face_none_is_lost
    jobs::of_many_workers_one_claims_a_job
    leases::of_many_holders_one_takes_a_lease
    leases::a_lease_has_one_holder_at_any_time
    timesheets::of_many_managers_who_approve_one_wins
    timesheets::of_many_managers_who_lock_one_wins
    timesheets::no_correction_is_lost_and_none_changes_a_locked_timesheet
    hours::of_many_corrections_of_a_timesheet_none_is_lost
    hours::of_a_lock_and_a_correction_one_is_written
}

/// Afterwards, the store is closed, which memory cannot be.
mod closing {
    hold! { on_sqlite, crate::stores::sqlite, if true; leases::no_work_is_done_under_a_lease_of_a_closed_store }
}
