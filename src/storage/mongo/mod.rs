//! The system of record on MongoDB.
//!
//! It needs only single-document atomicity and plain unique indexes. Writes wait for a majority
//! and the journal, and reads return only what a majority has, so that a retried request is never
//! answered with a write that a failover rolls back. Every call has a time limit. The driver
//! reconnects on its own.

mod engine;
mod json;
mod link;
mod schema;

use mongodb::{
    error::{Error, ErrorKind, WriteFailure},
    options::ConnectionString,
};
use secrecy::{ExposeSecret, SecretString};

pub use engine::MongoEngine;

use crate::ports::StoreError;

/// How to reach a server.
#[derive(Debug, Clone)]
pub struct MongoSettings {
    /// The connection string. Its options apply, except read concern and write concern.
    pub uri: SecretString,
    /// The name of the database.
    pub database: String,
    /// The name of this client in the server's logs.
    pub app_name: String,
}

/// Returns the database in a connection string, if it has one.
pub fn database_in(uri: &SecretString) -> Option<String> {
    ConnectionString::parse(uri.expose_secret())
        .ok()?
        .default_database
}

/// Why the store cannot be used at all. An unreachable server is not a reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The connection string or the database name is invalid; the message does not repeat it.
    #[error("the MongoDB settings are invalid: {0}")]
    Settings(&'static str),
    /// The database was created by a later version of the program.
    #[error(
        "the database has schema version {found}, but this program knows only {known}: \
         run the newer program, or restore a backup"
    )]
    Newer {
        /// The version of the database.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// The database was created by an earlier version, which stored records differently.
    #[error(
        "the database has schema version {found}, but this program reads only {known}: \
         use an empty database"
    )]
    Older {
        /// The version of the database.
        found: i64,
        /// The version that this program knows.
        known: i64,
    },
}

/// The code of a duplicate key.
const DUPLICATE: i32 = 11000;

/// Keeps only codes and kinds: the driver's messages may contain records.
impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        let unavailable = |what: &str| Self::Unavailable(format!("mongodb: {what}"));
        match error.kind.as_ref() {
            ErrorKind::Write(WriteFailure::WriteError(error)) if error.code == DUPLICATE => {
                Self::Conflict
            }
            ErrorKind::Command(error) if error.code == DUPLICATE => Self::Conflict,
            ErrorKind::Write(WriteFailure::WriteError(error)) => {
                unavailable(&format!("write error {}", error.code))
            }
            ErrorKind::Write(WriteFailure::WriteConcernError(error)) => unavailable(&format!(
                "not acknowledged, {} {}",
                error.code, error.code_name
            )),
            ErrorKind::Command(error) => unavailable(&format!(
                "command failed, {} {}",
                error.code, error.code_name
            )),
            ErrorKind::InsertMany(failed) => {
                let errors = failed.write_errors.as_deref().unwrap_or_default();
                if failed.write_concern_error.is_none()
                    && !errors.is_empty()
                    && errors.iter().all(|error| error.code == DUPLICATE)
                {
                    Self::Conflict
                } else {
                    unavailable("some documents were not written")
                }
            }
            ErrorKind::BsonDeserialization(_) | ErrorKind::Bson(_) => {
                Self::Corrupt("a document of an unexpected shape".into())
            }
            ErrorKind::Authentication { .. } => unavailable("the user or password was refused"),
            ErrorKind::DnsResolve { .. } => unavailable("the host name could not be resolved"),
            ErrorKind::Io(error) => unavailable(&format!("i/o error, {}", error.kind())),
            ErrorKind::ServerSelection { .. } => unavailable("no server can be reached"),
            ErrorKind::ConnectionPoolCleared { .. } => unavailable("the connection was lost"),
            ErrorKind::Shutdown => unavailable("the store is closed"),
            ErrorKind::InvalidTlsConfig { .. } => unavailable("the TLS settings are invalid"),
            ErrorKind::IncompatibleServer { .. } => unavailable("the server is too old"),
            ErrorKind::InvalidResponse { .. } => unavailable("an invalid reply"),
            _ => unavailable("the driver failed"),
        }
    }
}
