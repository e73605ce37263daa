//! Tasks in the background: the supervisor that owns them all, and the standing ones.

pub mod cameras;
pub mod gallery_sync;
pub mod jobs;
pub mod retention;
pub mod supervisor;

pub use supervisor::Supervisor;
