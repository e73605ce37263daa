//! Adapters for the ports of [`crate::ports`]: the record engines, and what instances share
//! through Redis.

pub mod degrading;
pub mod memory;
pub mod mongo;
pub mod redis;
pub mod sqlite;
