//! The systems of record, each behind all the ports of [`crate::ports`].

mod parts;
pub mod sqlite;
