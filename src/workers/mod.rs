//! Background tasks, and the supervisor that owns them.

pub mod cameras;
pub mod devices;
pub mod gallery_sync;
pub mod jobs;
pub mod mqtt;
pub mod outbox;
pub mod retention;
pub mod self_calibration;
pub mod supervisor;

pub use supervisor::Supervisor;
