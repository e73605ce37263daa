//! Locks between processes: a protected resource has one holder at a time, even if a holder is
//! paused in the middle of its work and continues after its lease.

use std::{
    io::{BufRead, BufReader, PipeReader, PipeWriter, Write},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rollcall::storage::redis::{Held, RedisLocks};

use crate::{
    redis_server::RedisServer,
    shared::{prefix, redis_with, server, watch},
};

/// Contains the URL of the Redis; makes [`child_that_works_under_the_lock`] run.
const CHILD: &str = "ROLLCALL_LOCK_CHILD";
const LEASE: Duration = Duration::from_secs(1);
/// Number of writes of one holder, and the time between them.
const PARTS: usize = 4;
const APART: Duration = Duration::from_millis(25);
const WRITE: &str = "write ";
/// Maximum time of every wait.
const PATIENCE: Duration = Duration::from_secs(60);

/// Not a test by itself: the body of the processes of the next test. Each write is a line with the
/// fence of its lock.
#[tokio::test]
async fn child_that_works_under_the_lock() {
    let Ok(url) = std::env::var(CHILD) else {
        return;
    };
    let (server, _guard) = watch(server(&url)).await;
    let name = std::process::id().to_string();
    let locks = RedisLocks::new(server, prefix(), name.clone());
    let work = async |held: &Held| {
        for part in 0..PARTS {
            let mut out = std::io::stdout().lock();
            let line = format!("\n{WRITE}{name} {} {part}\n", held.fence);
            out.write_all(line.as_bytes()).unwrap();
            out.flush().unwrap();
            drop(out);
            tokio::time::sleep(APART).await;
        }
    };
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        // The other process may hold it, or this one may have lost it.
        let _ = locks.with_lock("resource", LEASE, work).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A write, as it arrived at the resource.
#[derive(Debug, Clone, PartialEq)]
struct Arrived {
    by: u32,
    fence: u64,
    part: usize,
    taken: bool,
}

/// The protected resource: it refuses writes with a lower fence than it has already seen.
#[derive(Default)]
struct Resource {
    highest: u64,
    all: Vec<Arrived>,
}

/// Starts the thread that reads the writes from a pipe. All processes write into the same one, so
/// that writes arrive in the order in which they were made.
fn read(pipe: PipeReader, resource: Arc<Mutex<Resource>>) -> JoinHandle<()> {
    let lines = BufReader::new(pipe).lines();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let Some(write) = line.strip_prefix(WRITE) else {
                continue;
            };
            let numbers: Vec<u64> = write.split(' ').map(|one| one.parse().unwrap()).collect();
            let [by, fence, part] = numbers[..] else {
                panic!("{write}");
            };
            let mut resource = resource.lock().unwrap();
            let taken = fence >= resource.highest;
            resource.highest = resource.highest.max(fence);
            resource.all.push(Arrived {
                by: by as u32,
                fence,
                part: part as usize,
                taken,
            });
        }
    })
}

/// A process that works under the lock; killed when dropped.
struct Worker(Child);

impl Worker {
    fn start(redis: &RedisServer, pipe: &PipeWriter) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture"])
            .arg("locks::child_that_works_under_the_lock")
            .env(CHILD, redis.url())
            .stdout(pipe.try_clone().unwrap())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        Self(child)
    }

    fn signal(&self, signal: &str) {
        let kill = format!("kill -{signal} {}", self.0.id());
        assert!(
            Command::new("sh")
                .args(["-c", &kill])
                .status()
                .unwrap()
                .success()
        );
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until the writes that arrived satisfy a condition, and returns them.
fn until(resource: &Mutex<Resource>, so: impl Fn(&[Arrived]) -> bool) -> Vec<Arrived> {
    let begun = Instant::now();
    loop {
        let all = resource.lock().unwrap().all.clone();
        if so(&all) {
            return all;
        }
        assert!(begun.elapsed() < PATIENCE, "{all:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Counts the holders that finished their work.
fn whole(all: &[Arrived], by: u32) -> usize {
    let ends = |write: &&Arrived| write.by == by && write.part == PARTS - 1 && write.taken;
    all.iter().filter(ends).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_processes_only_one_acts_even_if_a_holder_is_paused() {
    let Some(redis) = redis_with("locks between processes", &[]) else {
        return;
    };
    let resource = Arc::new(Mutex::new(Resource::default()));
    let (reader, writer) = std::io::pipe().unwrap();
    let reading = read(reader, resource.clone());
    let [one, two] = [(); 2].map(|()| Worker::start(&redis, &writer));
    drop(writer);
    let (a, b) = (one.0.id(), two.0.id());

    // Both act, but never at once: without a pause, no write is refused, and none is between those
    // of another holder.
    let all = until(&resource, |all| whole(all, a) >= 5 && whole(all, b) >= 5);
    assert!(all.iter().all(|write| write.taken), "{all:?}");
    let holders = all.chunk_by(|before, after| before.fence == after.fence);
    for holder in holders {
        let parts: Vec<_> = holder.iter().map(|write| write.part).collect();
        assert!(holder.iter().all(|write| write.by == holder[0].by));
        // The last holder may not have finished.
        assert_eq!(parts, (0..parts.len()).collect::<Vec<_>>());
    }

    // Pauses the first process in the middle of its work.
    let before = all.len();
    let all = until(&resource, |all| {
        all.len() > before
            && all
                .last()
                .is_some_and(|last| last.by == a && last.part == 1)
    });
    one.signal("STOP");
    let stopped = all.last().unwrap().fence;
    // The second process gets the lock after the lease has expired, with a higher fence.
    let all = until(&resource, |all| {
        all.last()
            .is_some_and(|last| last.by == b && last.fence > stopped)
    });
    let taken_over = all.last().unwrap().fence;
    assert!(taken_over > stopped);
    until(&resource, |all| whole(all, b) >= 8);

    // The first process continues: it abandons its work, and whatever it writes before it notices
    // is refused.
    let before = resource.lock().unwrap().all.len();
    one.signal("CONT");
    let recovered = |all: &[Arrived]| {
        all.iter()
            .any(|write| write.by == a && write.fence > taken_over && write.part == PARTS - 1)
    };
    let all = until(&resource, recovered);
    let late = all[before..].iter().filter(|write| write.fence == stopped);
    for write in late {
        assert!(!write.taken, "{write:?} came after {taken_over}");
    }
    // No accepted write came after a write of a later holder.
    let taken = all.iter().filter(|write| write.taken);
    assert!(taken.is_sorted_by_key(|write| write.fence));
    drop((one, two));
    reading.join().unwrap();
}
