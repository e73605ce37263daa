//! The threads that run SQLite: one for writing, a few for reading, each kind with a bounded queue.
//! Callers wait for their result without blocking the async runtime.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread::{Builder, JoinHandle},
    time::Duration,
};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::schema::{self, OpenError};
use crate::ports::StoreError;

/// How many jobs may wait for a thread.
const QUEUE: usize = 1024;

/// How many writes may share a commit, and so one synchronization of the file.
const BATCH: usize = 64;

/// The number of reading threads.
const READERS: usize = 2;

/// How long a caller waits for its result, including time in the queue and for locks.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_millis(1900);

type Read = Box<dyn FnOnce(&Connection) + Send>;

/// Runs inside the transaction, or receives the reason why there is none. The returned function
/// reports the result after the commit.
type Write = Box<dyn FnOnce(Result<&Connection, StoreError>) -> Acknowledge + Send>;
type Acknowledge = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// The senders of the queues. After they are dropped, a thread ends when its queue is empty.
struct Queues {
    writes: mpsc::Sender<Write>,
    reads: mpsc::Sender<Read>,
}

/// A writing thread and a few reading threads on the same file.
pub(super) struct Threads {
    queues: Mutex<Option<Arc<Queues>>>,
    /// The threads, the writer first. Each returns its connection when it ends.
    running: Mutex<Vec<JoinHandle<Option<Connection>>>>,
}

impl Threads {
    /// Starts the threads. The writer opens the file, and `prepare` creates what must be in it.
    pub async fn start(
        path: &Path,
        prepare: impl Fn(&mut Connection, &Path) -> Result<(), OpenError> + Send + 'static,
    ) -> Result<Self, OpenError> {
        let (writes, jobs) = mpsc::channel(QUEUE);
        let open = move |path: &Path| schema::open_writer(path, prepare);
        let writer = start("sqlite-write", path, open, |connection| {
            write_batches(&connection, jobs);
            connection
        })
        .await?;
        let mut running = vec![writer];
        let (reads, jobs) = mpsc::channel(QUEUE);
        let jobs = Arc::new(Mutex::new(jobs));
        for number in 1..=READERS {
            let (name, jobs) = (format!("sqlite-read-{number}"), jobs.clone());
            let reader = start(&name, path, schema::open_reader, move |connection| {
                read_one_by_one(&connection, &jobs);
                connection
            })
            .await?;
            running.push(reader);
        }
        Ok(Self {
            queues: Mutex::new(Some(Arc::new(Queues { writes, reads }))),
            running: Mutex::new(running),
        })
    }

    /// Runs `work` on a reading connection.
    pub async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let job: Read = Box::new(move |connection| {
            if !answer.is_closed() {
                // Fails if the caller has stopped waiting.
                let _ = answer.send(work(connection));
            }
        });
        let queues = self.queues()?;
        in_time(queues.reads.send(job), answered).await
    }

    /// Runs `work` in a savepoint on the writing connection. Returns after the commit.
    pub async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let job: Write = Box::new(move |connection| {
            let result = match connection {
                Ok(_) if answer.is_closed() => return Box::new(|_| ()),
                Ok(connection) => in_savepoint(connection, work),
                Err(error) => Err(error),
            };
            Box::new(move |committed| {
                let _ = answer.send(committed.and(result));
            })
        });
        let queues = self.queues()?;
        in_time(queues.writes.send(job), answered).await
    }

    /// Checks that the file can be written and read.
    pub async fn ping(&self) -> Result<(), StoreError> {
        // An empty transaction takes the lock, but writes nothing.
        self.write(|_| Ok(())).await?;
        self.read(|_| Ok(())).await
    }

    /// Empties the write-ahead log, which otherwise contains deleted records until it is
    /// overwritten. If a process that reads at the same time prevents this, returns where traces
    /// are left.
    pub async fn clear_traces(&self) -> Result<Option<String>, StoreError> {
        let empty = |connection: &Connection| {
            let prevented: bool =
                connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
            Ok(!prevented)
        };
        let left =
            "the database's -wal file contains it until every process that uses it has stopped";
        Ok(match self.read(empty).await {
            Ok(true) => None,
            Ok(false) | Err(StoreError::Unavailable(_)) => Some(left.to_owned()),
            Err(error) => return Err(error),
        })
    }

    /// Runs everything that is queued, and waits for the threads to end. The writer's connection
    /// is closed last and alone: SQLite moves its log into the file only if the closing connection
    /// is the last one, and two connections that close at once may each see the other.
    pub async fn close(&self) {
        drop(lock(&self.queues).take());
        let running = std::mem::take(&mut *lock(&self.running));
        let joined = tokio::task::spawn_blocking(|| {
            for thread in running.into_iter().rev() {
                if thread.join().is_err() {
                    tracing::error!("a database thread panicked");
                }
            }
        });
        if joined.await.is_err() {
            tracing::error!("could not wait for the database threads to end");
        }
    }

    fn queues(&self) -> Result<Arc<Queues>, StoreError> {
        lock(&self.queues).clone().ok_or_else(stopped)
    }
}

/// Locks a mutex, also after another holder has panicked: its value is always consistent.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn stopped() -> StoreError {
    StoreError::Unavailable("the store has stopped".into())
}

/// Waits for a place in the queue, then for the result.
async fn in_time<T, E>(
    queued: impl Future<Output = Result<(), E>>,
    answered: oneshot::Receiver<Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let answer = async {
        queued.await.map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    };
    tokio::time::timeout(CALL_TIMEOUT, answer)
        .await
        .map_err(|_| StoreError::Unavailable("the database did not respond in time".into()))?
}

/// Starts a thread that opens the file, runs `run`, and returns the connection. Returns after the
/// file is open.
async fn start(
    name: &str,
    path: &Path,
    open: impl FnOnce(&Path) -> Result<Connection, OpenError> + Send + 'static,
    run: impl FnOnce(Connection) -> Connection + Send + 'static,
) -> Result<JoinHandle<Option<Connection>>, OpenError> {
    let path = path.to_owned();
    let (answer, opened) = oneshot::channel();
    let thread = Builder::new()
        .name(name.to_owned())
        .spawn(move || match open(&path) {
            Ok(connection) => answer.send(Ok(())).is_ok().then(|| run(connection)),
            Err(error) => {
                // Fails if the caller has stopped waiting.
                let _ = answer.send(Err(error));
                None
            }
        })
        .map_err(|error| OpenError::Thread(error.to_string()))?;
    opened
        .await
        .unwrap_or_else(|_| Err(OpenError::Thread("it ended immediately".into())))
        .map(|()| thread)
}

fn read_one_by_one(connection: &Connection, jobs: &Mutex<mpsc::Receiver<Read>>) {
    loop {
        // A separate statement, so that the lock is released before the job runs.
        let job = lock(jobs).blocking_recv();
        match job {
            Some(job) => job(connection),
            None => return,
        }
    }
}

fn write_batches(connection: &Connection, mut jobs: mpsc::Receiver<Write>) {
    let mut batch = Vec::with_capacity(BATCH);
    while jobs.blocking_recv_many(&mut batch, BATCH) > 0 {
        let mut acknowledge = Vec::with_capacity(batch.len());
        let mut state = connection
            .execute_batch("BEGIN IMMEDIATE")
            .map_err(StoreError::from);
        for job in batch.drain(..) {
            acknowledge.push(job(state.clone().map(|()| connection)));
            // After some errors, such as a full disk, SQLite itself rolls everything back.
            if state.is_ok() && connection.is_autocommit() {
                state = Err(StoreError::Unavailable(
                    "the transaction was rolled back".into(),
                ));
            }
        }
        let committed = state.and_then(|()| Ok(connection.execute_batch("COMMIT")?));
        if committed.is_err()
            && !connection.is_autocommit()
            && let Err(error) = connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "could not roll back a transaction");
        }
        for acknowledge in acknowledge {
            acknowledge(committed.clone());
        }
    }
}

/// Applies all changes of a job or none, independently of the other jobs in the transaction.
fn in_savepoint<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let run = |sql: &str| connection.prepare_cached(sql)?.execute([]).map(drop);
    run("SAVEPOINT job")?;
    let result = work(connection);
    if connection.is_autocommit() {
        return result;
    }
    if result.is_err() {
        run("ROLLBACK TO job")?;
    }
    run("RELEASE job")?;
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &'static str) -> impl FnOnce(&Connection) -> Result<(), StoreError> {
        move |connection| {
            connection.execute("INSERT INTO notes VALUES (?1)", [name])?;
            Ok(())
        }
    }

    async fn names(threads: &Threads) -> Vec<String> {
        let read = |connection: &Connection| {
            let mut statement = connection.prepare("SELECT name FROM notes ORDER BY name")?;
            let names = statement.query_map([], |row| row.get(0))?;
            Ok(names.collect::<Result<_, _>>()?)
        };
        threads.read(read).await.unwrap()
    }

    fn prepare(connection: &mut Connection, _: &Path) -> Result<(), OpenError> {
        let notes = "CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY)";
        connection.execute_batch(notes).unwrap();
        Ok(())
    }

    async fn fresh() -> (tempfile::TempDir, Threads) {
        let folder = tempfile::tempdir().unwrap();
        let threads = Threads::start(&folder.path().join("test.db"), prepare)
            .await
            .unwrap();
        (folder, threads)
    }

    #[tokio::test]
    async fn one_conflict_does_not_fail_the_others_of_a_batch() {
        let (_folder, threads) = fresh().await;
        let (release, held) = std::sync::mpsc::channel();
        let hold = move |connection: &Connection| {
            set("a")(connection)?;
            held.recv().unwrap();
            Ok(())
        };
        // While the first holds the thread, the others queue up and become one batch.
        let half = |connection: &Connection| {
            set("half")(connection)?;
            set("a")(connection)
        };
        let results = tokio::join!(
            threads.write(hold),
            threads.write(set("b")),
            threads.write(half),
            threads.write(set("c")),
            async { release.send(()).unwrap() },
        );
        let conflict = Err(StoreError::Conflict);
        assert_eq!(results, (Ok(()), Ok(()), conflict, Ok(()), ()));
        assert_eq!(names(&threads).await, ["a", "b", "c"]);
    }

    #[tokio::test]
    async fn a_lost_transaction_is_acknowledged_to_no_caller() {
        let (_folder, threads) = fresh().await;
        let (release, held) = std::sync::mpsc::channel();
        let hold = move |_: &Connection| {
            held.recv().unwrap();
            Ok(())
        };
        let lose = |connection: &Connection| {
            connection.execute_batch("ROLLBACK")?;
            Ok(())
        };
        let (_, before, lost, after, ()) = tokio::join!(
            threads.write(hold),
            threads.write(set("before")),
            threads.write(lose),
            threads.write(set("after")),
            async { release.send(()).unwrap() },
        );
        for result in [before, lost, after] {
            assert!(
                matches!(result, Err(StoreError::Unavailable(_))),
                "{result:?}"
            );
        }
        assert!(names(&threads).await.is_empty());
        assert_eq!(threads.write(set("next")).await, Ok(()));
    }

    #[tokio::test]
    async fn a_write_whose_caller_has_gone_is_skipped() {
        let (_folder, threads) = fresh().await;
        let (release, held) = std::sync::mpsc::channel();
        let hold = move |_: &Connection| {
            held.recv().unwrap();
            Ok(())
        };
        let left = async {
            let _ =
                tokio::time::timeout(Duration::from_millis(50), threads.write(set("left"))).await;
            release.send(()).unwrap();
        };
        let (lock, ()) = tokio::join!(threads.write(hold), left);
        assert_eq!(lock, Ok(()));
        assert_eq!(threads.write(set("stayed")).await, Ok(()));
        assert_eq!(names(&threads).await, ["stayed"]);
    }

    #[tokio::test]
    async fn the_wait_for_the_lock_of_another_process_is_bounded() {
        let (folder, threads) = fresh().await;
        let other = schema::open_writer(&folder.path().join("test.db"), prepare).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let begun = std::time::Instant::now();
        let result = threads.write(set("a")).await;
        assert!(
            matches!(result, Err(StoreError::Unavailable(_))),
            "{result:?}"
        );
        assert!(begun.elapsed() < Duration::from_secs(30));
        assert!(names(&threads).await.is_empty(), "reading goes on");
        let freed = tokio::task::spawn_blocking(move || {
            std::thread::sleep(Duration::from_millis(300));
            other.execute_batch("COMMIT").unwrap();
        });
        assert_eq!(threads.write(set("b")).await, Ok(()));
        freed.await.unwrap();
    }

    #[tokio::test]
    async fn closing_finishes_queued_writes() {
        let (folder, threads) = fresh().await;
        let (written, ()) = tokio::join!(threads.write(set("a")), threads.close());
        assert_eq!(written, Ok(()));
        assert_eq!(threads.write(set("b")).await, Err(stopped()));
        assert!(
            !folder.path().join("test.db-wal").exists(),
            "the log was moved into the file"
        );
    }
}
