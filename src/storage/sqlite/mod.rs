//! The embedded system of record: one SQLite file, no server. Other processes, such as the command
//! line beside a running service, may use the same file at the same time.

mod engine;
mod schema;
mod tables;
mod threads;

use rusqlite::{ErrorCode, ffi};

pub use engine::SqliteEngine;
pub use schema::OpenError;

use crate::ports::StoreError;

/// SQLite's messages are safe to pass on: they name tables and columns, not values.
impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::Error;
        match &error {
            Error::SqliteFailure(failure, _) => match failure.code {
                ErrorCode::ConstraintViolation
                    if matches!(
                        failure.extended_code,
                        ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY
                    ) =>
                {
                    Self::Conflict
                }
                ErrorCode::ConstraintViolation
                | ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase => Self::Corrupt(error.to_string()),
                ErrorCode::DiskFull => {
                    Self::Refused("the disk of DATA_DIR is full: free space on it")
                }
                ErrorCode::ReadOnly => {
                    Self::Refused("DATA_DIR cannot be written: check its owner and mount")
                }
                _ => Self::Unavailable(error.to_string()),
            },
            Error::FromSqlConversionFailure(..)
            | Error::IntegralValueOutOfRange(..)
            | Error::Utf8Error(..)
            | Error::InvalidColumnType(..) => {
                Self::Corrupt("a column of an unexpected type".into())
            }
            _ => Self::Unavailable(error.to_string()),
        }
    }
}
