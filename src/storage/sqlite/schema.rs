//! Opening the file: permissions, pragmas, migrations.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

/// Every migration, in order; the n-th brings the schema to version n. A migration that has
/// been released is never changed.
const MIGRATIONS: [&str; 9] = [
    include_str!("migrations/0001_initial.sql"),
    include_str!("migrations/0002_recorded.sql"),
    include_str!("migrations/0003_jobs.sql"),
    include_str!("migrations/0004_leases.sql"),
    include_str!("migrations/0005_cache.sql"),
    include_str!("migrations/0006_cameras.sql"),
    include_str!("migrations/0007_pictures.sql"),
    include_str!("migrations/0008_present.sql"),
    include_str!("migrations/0009_viewers.sql"),
];

/// `PRAGMA application_id` of our files: "Roll" in ASCII.
const APPLICATION: i32 = 0x526f_6c6c;

/// How long one connection waits for another's lock; below the 2 s in which a caller wants an answer.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_millis(1500);

/// How often, and how long apart, opening is tried while another process sets the file up:
/// changing the journal mode does not wait for locks.
const OPEN_TRIES: u32 = 100;
const OPEN_PAUSE: Duration = Duration::from_millis(20);

/// Why a database cannot be opened; the messages are for the operator.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Made by a later version of the program.
    #[error(
        "{path} has schema version {found}, this program knows {known}: \
         run the newer program, or restore a backup"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version it has.
        found: i32,
        /// The newest version that this program knows.
        known: i32,
    },
    /// A database of some other program.
    #[error("{0} is a database, but not one of Rollcall")]
    Foreign(PathBuf),
    /// The folder or file cannot be made or opened.
    #[error("{path} cannot be opened: {cause}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        cause: std::io::Error,
    },
    /// SQLite cannot use the file.
    #[error("{path} cannot be used: {cause}")]
    Database {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        cause: rusqlite::Error,
    },
    /// The store's thread did not start.
    #[error("the store's thread could not be started: {0}")]
    Thread(String),
}

/// Makes the folder (mode 0700) and the file (mode 0600) when they are missing, opens the file
/// for writing and brings its schema up to date.
pub(super) fn open_writer(path: &Path) -> Result<Connection, OpenError> {
    make_file(path).map_err(|cause| OpenError::File {
        path: path.to_owned(),
        cause,
    })?;
    let mut tries = 0;
    loop {
        let opened = connect(path).and_then(|mut connection| {
            migrate(&mut connection, path)?;
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

/// Opens a file that [`open_writer`] prepared, to read it beside the writer.
pub(super) fn open_reader(path: &Path) -> Result<Connection, OpenError> {
    let connection = connect(path)?;
    connection
        .pragma_update(None, "query_only", true)
        .map_err(|cause| unusable(path, cause))?;
    Ok(connection)
}

/// Whether anybody has the file open: the journal mode can be left only by the one who is alone.
/// Whoever opens it next enters it again.
pub(super) fn in_use(path: &Path) -> Result<bool, OpenError> {
    let alone = || {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        let ours =
            connection.pragma_query_value(None, "application_id", |row| row.get::<_, i32>(0))?;
        if ours == APPLICATION {
            connection.pragma_update(None, "journal_mode", "DELETE")?;
        }
        Ok(())
    };
    match alone() {
        Err(cause) if busy(&cause) => Ok(true),
        alone => alone.map(|()| false).map_err(|cause| unusable(path, cause)),
    }
}

fn unusable(path: &Path, cause: rusqlite::Error) -> OpenError {
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

/// Opens a connection. Full synchronous commits: what was acknowledged survives a power cut.
/// Deleted content is overwritten, because a deleted face must be gone.
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
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(connection)
    };
    open().map_err(|cause| unusable(path, cause))
}

/// Applies what is missing, in one transaction, so that of two processes one does it.
fn migrate(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let failed = |cause| unusable(path, cause);
    let known = MIGRATIONS.len() as i32;
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(failed)?;
    let fact = |sql: &str| transaction.query_row(sql, [], |row| row.get::<_, i32>(0));
    let application = fact("PRAGMA application_id").map_err(failed)?;
    let found = fact("PRAGMA user_version").map_err(failed)?;
    let tables = fact("SELECT count(*) FROM sqlite_schema").map_err(failed)?;
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
    if found == known {
        return Ok(());
    }
    for migration in &MIGRATIONS[found as usize..] {
        transaction.execute_batch(migration).map_err(failed)?;
    }
    transaction
        .pragma_update(None, "user_version", known)
        .and_then(|()| transaction.pragma_update(None, "application_id", APPLICATION))
        .and_then(|()| transaction.commit())
        .map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new").join("rollcall.db");
        (folder, path)
    }

    #[test]
    fn a_new_file_is_private_and_safe() {
        let (_folder, path) = fresh();
        let connection = open_writer(&path).unwrap();
        let fact = |name| {
            connection
                .pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0))
                .unwrap()
        };
        assert_eq!(fact("journal_mode"), "wal".to_owned().into());
        assert_eq!(fact("synchronous"), 2.into(), "FULL");
        assert_eq!(fact("secure_delete"), 1.into());
        assert_eq!(fact("user_version"), (MIGRATIONS.len() as i64).into());
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
        drop(open_writer(&path).unwrap());
        let connection = open_writer(&path).unwrap();
        connection
            .execute("INSERT INTO settings VALUES ('a', 'b')", [])
            .unwrap();
        assert_eq!(
            open_reader(&path)
                .unwrap()
                .query_row("SELECT value FROM settings", [], |row| row
                    .get::<_, String>(0)),
            Ok("b".to_owned())
        );
    }

    #[test]
    fn whoever_has_the_file_open_is_seen_and_not_disturbed() {
        let (_folder, path) = fresh();
        let writer = open_writer(&path).unwrap();
        let insert = "INSERT INTO settings VALUES ('a', 'b')";
        writer.execute(insert, []).unwrap();
        let reader = open_reader(&path).unwrap();
        assert!(in_use(&path).unwrap());
        drop(writer);
        assert!(in_use(&path).unwrap(), "a reader is somebody, too");
        let count = "SELECT count(*) FROM settings";
        let count = |connection: &Connection| connection.query_row(count, [], |row| row.get(0));
        assert_eq!(count(&reader), Ok(1));
        drop(reader);
        assert!(!in_use(&path).unwrap());
        let writer = open_writer(&path).unwrap();
        assert_eq!(count(&writer), Ok(1));
        let mode = writer.pragma_query_value(None, "journal_mode", |row| row.get(0));
        assert_eq!(mode, Ok("wal".to_owned()));
    }

    #[test]
    fn many_may_open_a_new_file_at_once() {
        let (_folder, path) = fresh();
        std::thread::scope(|scope| {
            let opening: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| open_writer(&path).map(drop)))
                .collect();
            for opened in opening {
                opened.join().unwrap().unwrap();
            }
        });
    }

    #[test]
    fn a_newer_database_is_refused_in_plain_words() {
        let (_folder, path) = fresh();
        let connection = open_writer(&path).unwrap();
        connection.pragma_update(None, "user_version", 99).unwrap();
        drop(connection);
        let error = open_writer(&path).unwrap_err();
        assert!(matches!(error, OpenError::Newer { found: 99, .. }));
        assert!(error.to_string().contains(&format!(
            "schema version 99, this program knows {}",
            MIGRATIONS.len()
        )));
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
        assert!(matches!(open_writer(&path), Err(OpenError::Foreign(_))));

        let text = path.with_file_name("letter.txt");
        fs::write(&text, "dear sir or madam, ".repeat(100)).unwrap();
        assert!(matches!(
            open_writer(&text),
            Err(OpenError::Database { .. })
        ));
        assert!(matches!(
            open_writer(path.parent().unwrap()),
            Err(OpenError::File { .. })
        ));
    }
}
