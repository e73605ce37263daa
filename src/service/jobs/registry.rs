//! The kinds of jobs. A new kind is a file with its [`JobHandler`], and a row here.

use std::sync::Arc;

use super::{
    enroll,
    handler::{JobHandler, JobServices, JobType},
    import, reembed,
};

/// Every kind of jobs that this program runs.
pub static KINDS: &[JobType] = &[import::TYPE, enroll::TYPE, reembed::TYPE];

/// Returns a handler of every kind.
pub fn handlers(services: &JobServices) -> Vec<Arc<dyn JobHandler>> {
    KINDS.iter().map(|kind| (kind.handler)(services)).collect()
}
