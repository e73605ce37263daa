//! The connection of the records. Unlike a cache, a system of record has nothing to fall back on:
//! callers wait for a connection, but for one and the same, and for a bounded time.

use std::{
    sync::{
        OnceLock, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use redis::{Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult, ScriptInvocation, Value};
use tokio::sync::Mutex;

use crate::{
    ports::StoreError,
    storage::redis::address::{Address, Link, Patience},
};

/// Within this time every caller has an answer.
const PATIENCE: Duration = Duration::from_millis(1900);

/// How long a connection may take, so that a caller who finds none can still use the new one.
const CONNECT: Duration = Duration::from_secs(1);

/// For so long after a connection failed nobody tries another one.
const PAUSE: Duration = Duration::from_millis(250);

/// The form in which records are kept.
const SCHEMA: u32 = 1;

/// What is run.
#[derive(Clone, Copy)]
pub(super) enum Call<'a> {
    /// One command.
    Command(&'a Cmd),
    /// A script.
    Script(&'a ScriptInvocation<'a>),
    /// A script that changes nothing, which may be run twice.
    Reading(&'a ScriptInvocation<'a>),
}

/// One connection that all callers share, made when it is needed and again when it is lost.
pub(super) struct Connection {
    address: Address,
    schema_key: String,
    link: RwLock<Option<(u64, Link)>>,
    made: AtomicU64,
    /// Held while one caller connects; when and why that failed last.
    gate: Mutex<Option<(Instant, StoreError)>>,
    closed: AtomicBool,
    version: OnceLock<String>,
}

impl Connection {
    pub fn new(address: Address, schema_key: String) -> Self {
        Self {
            address,
            schema_key,
            link: RwLock::default(),
            made: AtomicU64::new(0),
            gate: Mutex::default(),
            closed: AtomicBool::new(false),
            version: OnceLock::new(),
        }
    }

    /// The server's version, once it was reached.
    pub fn version(&self) -> Option<&str> {
        self.version.get().map(String::as_str)
    }

    /// Nothing is asked any more.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        *self.link.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Runs something, within the patience.
    pub async fn run<T: FromRedisValue>(&self, call: Call<'_>) -> Result<T, StoreError> {
        let used = AtomicU64::new(0);
        let work = async {
            let mut tries = 0;
            loop {
                tries += 1;
                let (number, mut link) = self.link().await?;
                used.store(number, Ordering::Relaxed);
                // The driver's futures are large, and deep.
                let error = match Box::pin(run_on(&mut link, call)).await {
                    Ok(value) => return Ok(value),
                    Err(error) => error,
                };
                if is_lost(&error) {
                    self.drop_link(number);
                    // The server may have closed a connection that nobody used for long.
                    if tries == 1 && matches!(call, Call::Reading(_)) {
                        continue;
                    }
                }
                return Err(meaning(&error));
            }
        };
        match tokio::time::timeout(PATIENCE, work).await {
            Ok(done) => done,
            Err(_) => {
                self.drop_link(used.load(Ordering::Relaxed));
                Err(late())
            }
        }
    }

    /// Forgets a link, if it is still this one.
    fn drop_link(&self, number: u64) {
        let mut link = self.link.write().unwrap_or_else(PoisonError::into_inner);
        if link.as_ref().is_some_and(|(present, _)| *present == number) {
            *link = None;
        }
    }

    fn present(&self) -> Option<(u64, Link)> {
        self.link
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    async fn link(&self) -> Result<(u64, Link), StoreError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(StoreError::Unavailable("redis was closed".to_owned()));
        }
        if let Some(link) = self.present() {
            return Ok(link);
        }
        let asked = Instant::now();
        let mut failed = self.gate.lock().await;
        if let Some(link) = self.present() {
            return Ok(link);
        }
        if let Some((at, why)) = &*failed
            && (*at > asked || at.elapsed() < PAUSE)
        {
            return Err(why.clone());
        }
        match Box::pin(self.connect()).await {
            Ok(link) => {
                *failed = None;
                let number = self.made.fetch_add(1, Ordering::Relaxed) + 1;
                let mut present = self.link.write().unwrap_or_else(PoisonError::into_inner);
                if !self.closed.load(Ordering::Acquire) {
                    *present = Some((number, link.clone()));
                }
                Ok((number, link))
            }
            Err(error) => {
                *failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    /// Connects and makes sure that the records there are of a form that this program knows.
    async fn connect(&self) -> Result<Link, StoreError> {
        // Answers are waited for by whoever asked.
        let patience = Patience {
            connect: CONNECT,
            command: PATIENCE * 2,
        };
        let make = async {
            let mut link = self.address.connect(patience).await?;
            let schema = self.schema(&mut link).await?;
            if self.version.get().is_none() {
                let info: Value = redis::cmd("INFO")
                    .arg("server")
                    .query_async(&mut link)
                    .await
                    .unwrap_or(Value::Nil);
                let version = text_in(&info, "redis_version:").unwrap_or_else(|| "?".to_owned());
                let _ = self.version.set(version);
            }
            Ok::<_, RedisError>((link, schema))
        };
        let (link, schema) = tokio::time::timeout(CONNECT, make)
            .await
            .map_err(|_| late())?
            .map_err(|error| meaning(&error))?;
        if schema == SCHEMA.to_string() {
            return Ok(link);
        }
        Err(StoreError::Corrupt(format!(
            "the records in redis have schema version {schema}, this program knows {SCHEMA}: run the version that wrote them"
        )))
    }

    /// The version that is written there, or written now.
    async fn schema(&self, link: &mut Link) -> RedisResult<String> {
        let mut get = redis::cmd("GET");
        get.arg(&self.schema_key);
        if let Some(found) = get.query_async::<Option<String>>(link).await? {
            return Ok(found);
        }
        let mut set = redis::cmd("SET");
        set.arg(&self.schema_key).arg(SCHEMA).arg("NX");
        set.query_async::<Option<String>>(link).await?;
        get.query_async(link).await
    }
}

async fn run_on<T: FromRedisValue>(link: &mut Link, call: Call<'_>) -> RedisResult<T> {
    match call {
        Call::Command(command) => command.query_async(link).await,
        Call::Script(script) | Call::Reading(script) => script.invoke_async(link).await,
    }
}

/// A text that follows a word somewhere in an answer, to the end of its line.
pub(super) fn text_in(answer: &Value, word: &str) -> Option<String> {
    match answer {
        Value::Map(pairs) => pairs.iter().find_map(|(_, value)| text_in(value, word)),
        Value::Array(values) => values.iter().find_map(|value| text_in(value, word)),
        other => {
            let text: String = redis::from_redis_value_ref(other).ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix(word))?;
            Some(line.trim().to_owned())
        }
    }
}

fn late() -> StoreError {
    StoreError::Unavailable("redis does not answer in time".to_owned())
}

/// Whether another connection may do better: this one is gone, or leads to a replica now.
fn is_lost(error: &RedisError) -> bool {
    error.is_unrecoverable_error()
        || error.is_io_error()
        || error.is_connection_dropped()
        || matches!(error.code(), Some("READONLY" | "MASTERDOWN"))
}

/// What an error means and what to do about it. The server's own words may hold keys, and so
/// people's addresses: they are not repeated.
fn meaning(error: &RedisError) -> StoreError {
    if matches!(
        error.kind(),
        ErrorKind::UnexpectedReturnType | ErrorKind::Parse
    ) || error.code() == Some("WRONGTYPE")
    {
        return StoreError::Corrupt("a key of another form".to_owned());
    }
    // Before version 7, what stopped a script stands inside the error.
    let inside = |word: &str| error.detail().is_some_and(|detail| detail.contains(word));
    let code = match error.code() {
        Some("ERR") if inside("-OOM") => Some("OOM"),
        Some("ERR") if inside("-MISCONF") => Some("MISCONF"),
        Some("ERR") if inside("-READONLY") => Some("READONLY"),
        code => code,
    };
    StoreError::Refused(match code {
        Some("OOM") => {
            "redis's memory is full (OOM): raise its maxmemory or take other data out of it"
        }
        Some("MISCONF") => {
            "redis cannot write to its disk (MISCONF): free space on it or repair it, then see redis's log"
        }
        Some("READONLY") => {
            "redis is a read-only replica (READONLY): give the address of the primary"
        }
        Some("NOAUTH" | "WRONGPASS") => "redis refuses the user or password: check REDIS_URL",
        Some("NOPERM") => {
            "redis's user may not run a command that records need (NOPERM): docs/REDIS.md lists them"
        }
        Some("NOREPLICAS") => {
            "redis takes no writes without its replicas (NOREPLICAS): bring them back"
        }
        Some("LOADING") => {
            return StoreError::Unavailable("redis is loading its data (LOADING)".to_owned());
        }
        Some(code) => return StoreError::Unavailable(format!("redis answers {code}")),
        None if error.is_timeout() => return late(),
        None => return StoreError::Unavailable(format!("redis: {}", error.category())),
    })
}
