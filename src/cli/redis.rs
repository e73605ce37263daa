//! `rollcall redis`: shows the state of Redis, lists and deletes cached keys, and gives an operator
//! keys, counters and locks of their own.

use std::{
    io::{IsTerminal, Write, stdin, stdout},
    process::{Child, ExitCode, ExitStatus},
    sync::Arc,
    time::Duration,
};

use clap::{Args, Subcommand};

use super::{Failure, Signals};
use crate::{
    boot::{Custom, Shared},
    clock::{Clock, SystemClock},
    config::Settings,
    ports::{ServerFacts, SharedKey},
    service::redis::{Redis, RedisView, Selection},
    storage::redis::{LockError, NotANumber, Unavailable},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show servers, memory, keys and warnings
    Stats {
        /// Refresh every two seconds until interrupted
        #[arg(long)]
        watch: bool,
    },
    /// List keys with the rest of their lifetime
    Keys {
        /// A pattern of Redis, without the installation's prefix
        #[arg(default_value = "*")]
        pattern: String,
    },
    /// Delete cached keys by group or pattern
    Clear {
        /// all, images, sessions, limits, pairings, overlays, custom, or a pattern such as
        /// 'embedding:*' or 'session:'
        #[arg(required = true)]
        what: Vec<String>,
        /// Do not ask for confirmation
        #[arg(long)]
        yes: bool,
    },
    /// Print the values of custom keys
    ///
    /// With several keys, prints a line with the key, a tab and the value for each. Exits with 1 if
    /// a key does not exist. Custom keys are apart from those of the service.
    Get {
        #[arg(required = true)]
        keys: Vec<String>,
    },
    /// Set custom keys
    Set {
        /// Keys with their values
        #[arg(required = true, value_name = "KEY=VALUE", value_parser = assignment)]
        values: Vec<(String, String)>,
        #[command(flatten)]
        life: Life,
    },
    /// Delete custom keys
    Delete {
        #[arg(required = true)]
        keys: Vec<String>,
    },
    /// Add to a custom counter and print the sum
    Count {
        key: String,
        /// What to add; negative numbers count down
        #[arg(long, default_value_t = 1, allow_negative_numbers = true)]
        by: i64,
        #[command(flatten)]
        life: Life,
    },
    /// Give a custom key another lifetime
    Expire {
        key: String,
        #[command(flatten)]
        life: Life,
    },
    /// Run a command while holding a lock, on one machine at a time
    ///
    /// Exits with the code of the command; with 75 if another process holds the lock. Kills the
    /// command if the lock is lost. The command gets ROLLCALL_FENCE, a number that grows with every
    /// holder.
    Lock(Lock),
}

#[derive(Debug, Args)]
pub(super) struct Life {
    /// Lifetime in seconds; a counter gets it when it is created
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    ttl: u64,
}

impl Life {
    fn ttl(&self) -> Duration {
        Duration::from_secs(self.ttl)
    }
}

#[derive(Debug, Args)]
pub(super) struct Lock {
    name: String,
    /// Seconds after which the lock ends if this process dies
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    lease: u64,
    /// Seconds to wait for the lock
    #[arg(long, default_value_t = 0)]
    wait: u64,
    /// The command with its arguments, after --
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

/// How often `--watch` refreshes.
const EVERY: Duration = Duration::from_secs(2);

/// How often a waiting process tries to get a lock, and looks whether its command has ended.
const LOCK_POLL: Duration = Duration::from_millis(50);

/// How long a command may take to end after a signal.
const END_PATIENCE: Duration = Duration::from_secs(5);

/// The exit code if another process holds the lock: EX_TEMPFAIL of sysexits.h.
const TRY_LATER: u8 = 75;

fn assignment(text: &str) -> Result<(String, String), &'static str> {
    let (key, value) = text.split_once('=').ok_or("must be KEY=VALUE")?;
    match key.is_empty() {
        true => Err("must begin with a key"),
        false => Ok((key.to_owned(), value.to_owned())),
    }
}

pub(super) fn run(settings: &Settings, command: Command) -> Result<ExitCode, Failure> {
    super::block_on(async {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let shared = Shared::new(&settings.redis, &clock, None).map_err(refused)?;
        let Some(custom) = shared.custom.clone() else {
            return Err(Failure::Refused(
                "Redis is not configured: set REDIS_URL or REDIS_HOST".to_owned(),
            ));
        };
        shared.connect().await;
        let redis = shared.redis();
        match command {
            Command::Stats { watch: false } => {
                let view = redis.look().await;
                show(&view);
                Ok(
                    match view
                        .servers
                        .iter()
                        .all(|server| server.unavailable.is_none())
                    {
                        true => ExitCode::SUCCESS,
                        false => ExitCode::FAILURE,
                    },
                )
            }
            Command::Stats { watch: true } => watch(&shared, &redis).await,
            Command::Keys { pattern } => {
                let keys = redis.find(&pattern).await.ok_or_else(unavailable)?;
                keys.iter().for_each(show_key);
                Ok(ExitCode::SUCCESS)
            }
            Command::Clear { what, yes } => clear(&redis, &what, yes).await,
            Command::Lock(lock) => run_locked(&custom, &lock).await,
            Command::Get { .. }
            | Command::Set { .. }
            | Command::Delete { .. }
            | Command::Count { .. }
            | Command::Expire { .. } => change(&custom, command).await,
        }
    })
}

fn refused(error: impl std::fmt::Display) -> Failure {
    Failure::Refused(error.to_string())
}

fn unavailable() -> Failure {
    refused(LockError::Unavailable)
}

async fn watch(shared: &Shared, redis: &Redis) -> Result<ExitCode, Failure> {
    loop {
        show(&redis.look().await);
        println!();
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return Ok(ExitCode::SUCCESS),
            () = tokio::time::sleep(EVERY) => shared.connect().await,
        }
    }
}

async fn clear(redis: &Redis, what: &[String], yes: bool) -> Result<ExitCode, Failure> {
    let selections = what.iter().map(|text| Selection::parse(text));
    let selections: Vec<_> = selections.collect::<Result<_, _>>().map_err(refused)?;
    let keys = redis.select(&selections).await.ok_or_else(unavailable)?;
    if !keys.is_empty() && !yes && !confirmed(keys.len())? {
        return Err(refused("nothing was deleted"));
    }
    let deleted = redis.delete(&keys).await.ok_or_else(unavailable)?;
    println!("deleted {deleted} keys");
    Ok(ExitCode::SUCCESS)
}

/// Asks on the terminal whether to delete keys.
fn confirmed(keys: usize) -> Result<bool, Failure> {
    if !stdin().is_terminal() {
        return Err(refused(format_args!(
            "{keys} keys match: add --yes to delete them"
        )));
    }
    print!("Delete {keys} keys? [y/N] ");
    stdout().flush()?;
    let mut answer = String::new();
    stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Reads or changes custom keys.
async fn change(custom: &Custom, command: Command) -> Result<ExitCode, Failure> {
    let missing = |key: &str| refused(format_args!("there is no key {key}"));
    let away = |Unavailable| unavailable();
    let keys = &custom.keys;
    match command {
        Command::Get { keys: wanted } => {
            let values = keys.get_many(&wanted).await.map_err(away)?;
            let mut out = stdout().lock();
            for (key, value) in wanted.iter().zip(&values) {
                let Some(value) = value else { continue };
                if wanted.len() > 1 {
                    write!(out, "{key}\t")?;
                }
                out.write_all(value)?;
                writeln!(out)?;
            }
            let lacks = wanted
                .iter()
                .zip(&values)
                .find(|(_, value)| value.is_none());
            lacks.map_or(Ok(()), |(key, _)| Err(missing(key)))?;
        }
        Command::Set { values, life } => {
            let values = values.into_iter();
            let values: Vec<_> = values.map(|(key, text)| (key, text.into_bytes())).collect();
            keys.set_many(&values, life.ttl()).await.map_err(away)?;
        }
        Command::Delete { keys: wanted } => {
            let deleted = keys.delete(&wanted).await.map_err(away)?;
            println!("deleted {deleted} keys");
        }
        Command::Count { key, by, life } => {
            let sum = keys.increment(&key, by, life.ttl()).await.map_err(away)?;
            let sum = sum.map_err(|NotANumber| {
                refused(format_args!(
                    "the value of {key} is not a number, or the sum is too large"
                ))
            })?;
            println!("{sum}");
        }
        Command::Expire { key, life } => {
            if !keys.expire(&key, life.ttl()).await.map_err(away)? {
                return Err(missing(&key));
            }
        }
        Command::Stats { .. } | Command::Keys { .. } | Command::Clear { .. } | Command::Lock(_) => {
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A command that is killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Fails if the command has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    async fn wait(&mut self) -> std::io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status);
            }
            tokio::time::sleep(LOCK_POLL).await;
        }
    }
}

async fn run_locked(custom: &Custom, lock: &Lock) -> Result<ExitCode, Failure> {
    let Some((program, arguments)) = lock.command.split_first() else {
        return Err(refused("name a command after --"));
    };
    let mut signals = Signals::new()?;
    let begun = tokio::time::Instant::now();
    let mut work = async |fence: u64| -> std::io::Result<ExitStatus> {
        let mut command = std::process::Command::new(program);
        command
            .args(arguments)
            .env("ROLLCALL_FENCE", fence.to_string());
        let mut running = Running(command.spawn()?);
        tokio::select! {
            ended = running.wait() => return ended,
            () = signals.next() => {}
        }
        // A terminal sends the signal to the command, too.
        let ended = tokio::time::timeout(END_PATIENCE, running.wait()).await;
        ended.unwrap_or(Err(std::io::ErrorKind::Interrupted.into()))
    };
    let lease = Duration::from_secs(lock.lease);
    loop {
        let done = custom
            .locks
            .with_lock(&lock.name, lease, async |held| work(held.fence).await);
        match done.await {
            Ok(status) => {
                let status = status.map_err(|cause| refused(format_args!("{program}: {cause}")))?;
                let code = status.code().and_then(|code| u8::try_from(code).ok());
                return Ok(code.map_or(ExitCode::FAILURE, ExitCode::from));
            }
            Err(LockError::Taken) if begun.elapsed() < Duration::from_secs(lock.wait) => {
                tokio::time::sleep(LOCK_POLL).await;
            }
            Err(LockError::Taken) => {
                eprintln!("rollcall: another process holds the lock {}", lock.name);
                return Ok(ExitCode::from(TRY_LATER));
            }
            Err(LockError::Lost) => {
                return Err(refused("the lock was lost, and the command was killed"));
            }
            Err(LockError::Unavailable) => return Err(unavailable()),
        }
    }
}

fn show_key(SharedKey { key, ttl }: &SharedKey) {
    match ttl {
        Some(ttl) => println!("{:>10}  {key}", format!("{}s", ttl.as_secs())),
        None => println!("{:>10}  {key}", "-"),
    }
}

fn show(view: &RedisView) {
    view.servers.iter().for_each(show_server);
    for word in &view.words {
        println!("! {word}");
    }
}

fn show_server(server: &ServerFacts) {
    println!("{}", server.address);
    if let Some(why) = &server.unavailable {
        println!("  unavailable: {why}");
        return;
    }
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".to_owned());
    println!(
        "  version {}, {}",
        text(&server.version),
        text(&server.role)
    );
    let limit = match server.memory_limit {
        0 => "no limit".to_owned(),
        limit => format!("of {} MiB", limit >> 20),
    };
    println!(
        "  memory {:.1} MiB, {limit}, {}, {} evicted",
        server.memory as f64 / f64::from(1 << 20),
        text(&server.policy),
        server.evicted
    );
    let persistent = match server.persistent {
        Some(true) => "append-only file",
        Some(false) => "no append-only file",
        None => "persistence unknown",
    };
    let (hits, misses) = server.reads;
    println!(
        "  {} clients, {persistent}, {hits} reads found a key, {misses} did not",
        server.clients
    );
    for (kind, count) in &server.keys {
        println!("  {count:>8} {kind}");
    }
    for (command, took) in &server.slow {
        println!("  slow: {command}, {took} µs");
    }
}
