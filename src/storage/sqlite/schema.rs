//! Opens the database file: permissions, pragmas, format version.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};

use super::tables::Table;

/// `PRAGMA user_version` of the file. It must increase if older programs can no longer use the
/// file. New kinds and indexes do not change it.
const FORMAT: i32 = 10;

/// `PRAGMA application_id` of the file: "Roll" in ASCII.
const APPLICATION: i32 = 0x526f_6c6c;

/// How long a connection waits for another's lock. Callers give up after
/// [`CALL_TIMEOUT`](super::threads::CALL_TIMEOUT), which is longer.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_millis(1500);

/// How often opening is retried while another process creates the file: changing the journal mode
/// does not wait for locks.
const OPEN_TRIES: u32 = 100;
/// The pause between two attempts to open the file.
const OPEN_PAUSE: Duration = Duration::from_millis(20);

/// Why a database cannot be opened. The messages are for operators.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file was created by a later version of the program.
    #[error(
        "{path} has schema version {found}, but this program knows only {known}: \
         run the newer program, or restore a backup"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version of the file.
        found: i32,
        /// The newest version that this program knows.
        known: i32,
    },
    /// The file was created before the first release.
    #[error(
        "{path} has schema version {found} of a pre-release, which this program cannot read: \
         move it to another folder to start with an empty database"
    )]
    PreRelease {
        /// The file.
        path: PathBuf,
        /// The version of the file.
        found: i32,
    },
    /// The file is a database of another program.
    #[error("{0} is a database of another program: set DATA_DIR to another folder")]
    Foreign(PathBuf),
    /// The folder or file cannot be created or opened.
    #[error("{path} cannot be opened: {cause}")]
    File {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        cause: std::io::Error,
    },
    /// SQLite cannot use the file.
    #[error("{path} cannot be used: {cause}")]
    Database {
        /// The file.
        path: PathBuf,
        /// The error of SQLite.
        cause: rusqlite::Error,
    },
    /// A thread of the store did not start.
    #[error("could not start a thread of the store: {0}")]
    Thread(String),
}

/// Opens the file for writing. Creates the file (mode 0600) and its folder (mode 0700) if they
/// are missing; `prepare` creates what must be in the file.
pub(super) fn open_writer(
    path: &Path,
    prepare: impl Fn(&mut Connection, &Path) -> Result<(), OpenError>,
) -> Result<Connection, OpenError> {
    make_file(path).map_err(|cause| OpenError::File {
        path: path.to_owned(),
        cause,
    })?;
    let mut tries = 0;
    loop {
        let opened = connect(path).and_then(|mut connection| {
            prepare(&mut connection, path)?;
            Ok(connection)
        });
        match opened {
            Err(OpenError::Database { cause, .. }) if busy(&cause) && tries < OPEN_TRIES => {
                tries += 1;
                std::thread::sleep(OPEN_PAUSE);
            }
            opened => return opened,
        }
    }
}

/// Opens a file that [`open_writer`] has prepared, for reading only.
pub(super) fn open_reader(path: &Path) -> Result<Connection, OpenError> {
    let connection = connect(path)?;
    connection
        .pragma_update(None, "query_only", true)
        .map_err(|cause| unusable(path, cause))?;
    Ok(connection)
}

/// Checks whether any process has the file open: only a sole user can leave the WAL mode. The
/// next [`connect`] enters it again.
pub(super) fn in_use(path: &Path) -> Result<bool, OpenError> {
    let leave_wal = || {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        let ours =
            connection.pragma_query_value(None, "application_id", |row| row.get::<_, i32>(0))?;
        if ours == APPLICATION {
            connection.pragma_update(None, "journal_mode", "DELETE")?;
        }
        Ok(())
    };
    match leave_wal() {
        Err(cause) if busy(&cause) => Ok(true),
        leave_wal => leave_wal
            .map(|()| false)
            .map_err(|cause| unusable(path, cause)),
    }
}

pub(super) fn unusable(path: &Path, cause: rusqlite::Error) -> OpenError {
    OpenError::Database {
        path: path.to_owned(),
        cause,
    }
}

fn busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    )
}

fn make_file(path: &Path) -> std::io::Result<()> {
    let mut folder = fs::DirBuilder::new();
    let mut file = fs::OpenOptions::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
        folder.mode(0o700);
        // SQLite gives its -wal and -shm files the mode of the main file.
        file.mode(0o600);
    }
    if let Some(parent) = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    {
        folder.recursive(true).create(parent)?;
    }
    file.append(true).create(true).open(path).map(drop)
}

/// Opens a connection. With synchronous commits, acknowledged writes survive a power failure.
/// Deleted content is overwritten, so that no trace of a deleted face is left in the file.
fn connect(path: &Path) -> Result<Connection, OpenError> {
    let open = || {
        let connection = Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "fullfsync", true)?;
        connection.pragma_update(None, "secure_delete", true)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        connection.set_prepared_statement_cache_capacity(256);
        Ok(connection)
    };
    open().map_err(|cause| unusable(path, cause))
}

/// Begins the transaction that prepares a file, so that only one of several processes does it.
/// Also returns the version of the file, which is 0 if the file is new.
pub(super) fn begin<'c>(
    connection: &'c mut Connection,
    path: &Path,
    known: i32,
) -> Result<(Transaction<'c>, i32), OpenError> {
    let failed = |cause| unusable(path, cause);
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(failed)?;
    let pragma = |sql: &str| transaction.query_row(sql, [], |row| row.get::<_, i32>(0));
    let application = pragma("PRAGMA application_id").map_err(failed)?;
    let found = pragma("PRAGMA user_version").map_err(failed)?;
    let tables = pragma("SELECT count(*) FROM sqlite_schema").map_err(failed)?;
    if application != APPLICATION && (tables > 0 || application != 0) {
        return Err(OpenError::Foreign(path.to_owned()));
    }
    if found > known || found < 0 {
        return Err(OpenError::Newer {
            path: path.to_owned(),
            found,
            known,
        });
    }
    Ok((transaction, found))
}

/// Sets the version of a file and commits its preparation.
pub(super) fn finish(
    transaction: Transaction<'_>,
    path: &Path,
    version: i32,
) -> Result<(), OpenError> {
    transaction
        .pragma_update(None, "user_version", version)
        .and_then(|()| transaction.pragma_update(None, "application_id", APPLICATION))
        .and_then(|()| transaction.commit())
        .map_err(|cause| unusable(path, cause))
}

/// Creates missing tables, and changes existing ones to match their declarations.
pub(super) fn prepare(
    connection: &mut Connection,
    path: &Path,
    tables: &[Arc<Table>],
) -> Result<(), OpenError> {
    let (transaction, found) = begin(connection, path, FORMAT)?;
    if (1..FORMAT).contains(&found) {
        let path = path.to_owned();
        return Err(OpenError::PreRelease { path, found });
    }
    for table in tables {
        table
            .prepare(&transaction)
            .map_err(|cause| unusable(path, cause))?;
    }
    if found == FORMAT {
        return transaction.commit().map_err(|cause| unusable(path, cause));
    }
    finish(transaction, path, FORMAT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::record::{Index, Kind};

    static NOTES: Kind = Kind::archived("notes", "note", &[]);

    const INSERT: &str = "INSERT INTO notes (id, revision, version, body) VALUES ('a', 1, 1, 'b')";

    fn open(path: &Path) -> Result<Connection, OpenError> {
        open_with(path, &NOTES)
    }

    fn open_with(path: &Path, kind: &'static Kind) -> Result<Connection, OpenError> {
        let tables = [Arc::new(Table::new(kind))];
        open_writer(path, |connection, path| prepare(connection, path, &tables))
    }

    fn fresh() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new").join("rollcall.db");
        (folder, path)
    }

    #[test]
    fn a_new_file_is_private_and_safe() {
        let (_folder, path) = fresh();
        let connection = open(&path).unwrap();
        let pragma = |name| {
            connection
                .pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0))
                .unwrap()
        };
        assert_eq!(pragma("journal_mode"), "wal".to_owned().into());
        assert_eq!(pragma("synchronous"), 2.into(), "FULL");
        assert_eq!(pragma("secure_delete"), 1.into());
        assert_eq!(pragma("user_version"), FORMAT.into());
        assert_eq!(pragma("application_id"), APPLICATION.into());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(path.parent().unwrap()), 0o700);
            assert_eq!(mode(&path), 0o600);
            assert_eq!(mode(&path.with_extension("db-wal")), 0o600);
        }
    }

    #[test]
    fn opening_again_changes_nothing() {
        let (_folder, path) = fresh();
        let connection = open(&path).unwrap();
        connection.execute(INSERT, []).unwrap();
        let schema = |connection: &Connection| {
            connection.pragma_query_value(None, "schema_version", |row| row.get::<_, i64>(0))
        };
        let made = schema(&connection);
        drop(connection);
        let connection = open(&path).unwrap();
        assert_eq!(schema(&connection), made);
        let log = fs::metadata(path.with_extension("db-wal")).unwrap();
        assert_eq!(log.len(), 0, "nothing was written");
        let read = "SELECT body FROM notes";
        let read = open_reader(&path)
            .unwrap()
            .query_one(read, [], |row| row.get(0));
        assert_eq!(read, Ok("b".to_owned()));
    }

    #[test]
    fn indexes_follow_their_declarations() {
        const BY_TIME: Index = Index::ordered("by_time");
        const BY_NAME: Index = Index::ordered("by_name");
        const BY_ONE_NAME: Index = Index::unique("by_name");
        static ORDERED: Kind = Kind::archived("notes", "note", &[BY_TIME, BY_NAME]);
        static UNIQUE: Kind = Kind::archived("notes", "note", &[BY_ONE_NAME]);

        let (_folder, path) = fresh();
        open(&path).unwrap().execute(INSERT, []).unwrap();
        let indexes = |connection: &Connection| {
            let sql = "SELECT group_concat(name, ' ' ORDER BY name) FROM sqlite_schema \
                       WHERE type = 'index' AND sql IS NOT NULL";
            let names = connection.query_one(sql, [], |row| row.get::<_, Option<String>>(0));
            names.unwrap().unwrap_or_default()
        };
        let connection = open_with(&path, &ORDERED).unwrap();
        assert_eq!(indexes(&connection), "notes_by_name notes_by_time");
        let set = "UPDATE notes SET x_by_time = 't', x_by_name = 'n'";
        assert_eq!(
            connection.execute(set, []),
            Ok(1),
            "the existing record is still there"
        );
        connection
            .execute(&INSERT.replace("'a'", "'aa'"), [])
            .unwrap();
        drop(connection);

        let connection = open_with(&path, &UNIQUE).unwrap();
        assert_eq!(indexes(&connection), "notes_by_name");
        let again = "UPDATE notes SET x_by_name = 'n'";
        assert!(connection.execute(again, []).is_err(), "it is unique now");
        let columns = connection
            .prepare("SELECT * FROM notes")
            .unwrap()
            .column_count();
        assert_eq!(columns, 6, "keys that are not declared are gone");
        drop(connection);
        assert_eq!(indexes(&open(&path).unwrap()), "");
    }

    #[test]
    fn a_process_with_the_file_open_is_detected_and_not_disturbed() {
        let (_folder, path) = fresh();
        let writer = open(&path).unwrap();
        writer.execute(INSERT, []).unwrap();
        let reader = open_reader(&path).unwrap();
        assert!(in_use(&path).unwrap());
        drop(writer);
        assert!(in_use(&path).unwrap(), "a reader counts too");
        let count = "SELECT count(*) FROM notes";
        let count = |connection: &Connection| connection.query_row(count, [], |row| row.get(0));
        assert_eq!(count(&reader), Ok(1));
        drop(reader);
        assert!(!in_use(&path).unwrap());
        let writer = open(&path).unwrap();
        assert_eq!(count(&writer), Ok(1));
        let mode = writer.pragma_query_value(None, "journal_mode", |row| row.get(0));
        assert_eq!(mode, Ok("wal".to_owned()));
    }

    #[test]
    fn several_threads_can_open_a_new_file_at_once() {
        let (_folder, path) = fresh();
        std::thread::scope(|scope| {
            let opening: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| open(&path).map(drop)))
                .collect();
            for opened in opening {
                opened.join().unwrap().unwrap();
            }
        });
    }

    #[test]
    fn newer_and_older_databases_are_refused() {
        let (_folder, path) = fresh();
        let connection = open(&path).unwrap();
        for (version, words) in [
            (99, "schema version 99, but this program knows only 10"),
            (-1, "schema version -1, but this program knows only 10"),
            (9, "schema version 9 of a pre-release"),
            (1, "schema version 1 of a pre-release"),
        ] {
            connection
                .pragma_update(None, "user_version", version)
                .unwrap();
            let error = open(&path).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn other_databases_and_files_are_refused() {
        let (_folder, path) = fresh();
        make_file(&path).unwrap();
        let connection = Connection::open(&path).unwrap();
        connection
            .execute_batch("CREATE TABLE songs (title)")
            .unwrap();
        drop(connection);
        assert!(matches!(open(&path), Err(OpenError::Foreign(_))));

        let text = path.with_file_name("letter.txt");
        fs::write(&text, "dear sir or madam, ".repeat(100)).unwrap();
        assert!(matches!(open(&text), Err(OpenError::Database { .. })));
        assert!(matches!(
            open(path.parent().unwrap()),
            Err(OpenError::File { .. })
        ));
    }
}
