//! The systems of record, each behind all the ports of [`crate::ports`].

pub mod mongo;
mod parts;
pub mod redis;
pub mod sqlite;
