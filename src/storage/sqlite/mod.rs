//! The embedded system of record: one SQLite file, no server. Other processes (the command
//! line beside a running service) may use the same file at the same time.

mod archive;
mod cache;
mod cameras;
mod leases;
mod pictures;
mod rows;
mod schema;
mod stores;
mod threads;

use std::path::Path;

use rusqlite::{Connection, ErrorCode, ffi};

pub use schema::OpenError;
use threads::Threads;

use crate::ports::StoreError;

/// Every port on one SQLite file. Writes that come in at the same time share a commit; each is
/// acknowledged after the file was synchronised.
pub struct SqliteStore {
    threads: Threads,
}

impl SqliteStore {
    /// Opens the file, makes it and its folder when missing (modes 0600 and 0700), and brings
    /// the schema up to date.
    pub async fn open(path: &Path) -> Result<Self, OpenError> {
        Ok(Self {
            threads: Threads::start(path).await?,
        })
    }

    /// Whether any process has the file open, which is there.
    pub fn in_use(path: &Path) -> Result<bool, OpenError> {
        schema::in_use(path)
    }
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SqliteStore")
    }
}

/// SQLite's messages name tables and columns, not what is in them.
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
            | Error::InvalidColumnType(..) => Self::Corrupt("a column of another type".into()),
            _ => Self::Unavailable(error.to_string()),
        }
    }
}

/// Reads the rows of a query.
fn rows_of<T>(
    connection: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
    read: impl Fn(&rusqlite::Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}
