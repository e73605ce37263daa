//! The systems of record, each behind all the ports of [`crate::ports`], and what instances
//! share for a while.

pub mod degrading;
pub mod memory;
pub mod mongo;
mod parts;
pub mod redis;
pub mod sqlite;
