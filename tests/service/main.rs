//! The services on a store in memory, with an engine that sees the text of a sample.

mod account_changes;
mod accounts;
mod analysis_cache;
mod balances;
mod caching;
mod cameras;
mod employees;
mod enrollment;
mod evaluation;
mod face_punches;
#[path = "../support/failing_engine.rs"]
mod failing_engine;
mod galleries;
mod imports;
mod invitations;
mod jobs;
mod look_alikes;
mod model_change;
mod pictures;
mod punch_credentials;
mod punch_ledger;
mod refused_punches;
#[path = "../support/scripted.rs"]
#[allow(
    dead_code,
    reason = "not every test target scripts pictures and models"
)]
mod scripted;
mod single_sign_on;
mod sites;
mod template_growth;
mod timesheets;
mod world;
