//! Background jobs: queueing, listing and running them.
//!
//! A job is stored before any worker learns about it, and so is its progress. If a worker crashes,
//! another one continues after the last stored progress. Every kind of job can therefore repeat
//! its last steps without harm.

mod enroll;
mod handler;
mod import;
pub mod list;
mod queue;
mod reembed;
mod registry;
mod runner;

pub use enroll::{
    ENROLL, EnrollResult, PHOTO_BYTES_MOST, PhotoFile, QueueError, RefusedPhoto, new_enrollment,
};
pub use handler::{Interruption, JobHandler, JobRun, JobServices, JobType, NewJob};
pub use import::{BYTES_MOST, IMPORT, ImportResult, Refusal, new_import};
pub use list::ListError;
pub use queue::{JobError, Jobs, UNFINISHED_MOST};
pub use reembed::{REEMBED, ReembedResult};
pub use registry::{KINDS, handlers};
pub use runner::Runner;
