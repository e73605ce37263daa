//! The connection to a Redis that stores records. Unlike a cache, a system of record has no
//! fallback, so callers wait for the connection, with a time limit.

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

/// Time limit for a call.
const PATIENCE: Duration = Duration::from_millis(1900);

/// Time limit for connecting. It leaves time to use the new connection in the same call.
const CONNECT: Duration = Duration::from_secs(1);

/// The pause after a failed attempt to connect.
const PAUSE: Duration = Duration::from_millis(250);

/// A command or script to run.
#[derive(Clone, Copy)]
pub(in crate::storage::redis) enum Call<'a> {
    /// One command.
    Command(&'a Cmd),
    /// A script.
    Script(&'a ScriptInvocation<'a>),
    /// A script that changes nothing and may be run twice.
    Reading(&'a ScriptInvocation<'a>),
}

/// A connection that all callers share. It is opened on first use, and again after it is lost.
pub(in crate::storage::redis) struct Connection {
    address: Address,
    pub(super) schema_key: String,
    schema: u32,
    link: RwLock<Option<(u64, Link)>>,
    made: AtomicU64,
    /// Locked while a caller connects. Contains when and why the last attempt failed.
    gate: Mutex<Option<(Instant, StoreError)>>,
    closed: AtomicBool,
    version: OnceLock<String>,
}

impl Connection {
    /// Creates a closed connection. `schema` is the version of the layout of the records, which is
    /// stored at `schema_key`.
    pub fn new(address: Address, schema_key: String, schema: u32) -> Self {
        Self {
            address,
            schema_key,
            schema,
            link: RwLock::default(),
            made: AtomicU64::new(0),
            gate: Mutex::default(),
            closed: AtomicBool::new(false),
            version: OnceLock::new(),
        }
    }

    /// Returns the server's version; `None` before the first connection.
    pub fn version(&self) -> Option<&str> {
        self.version.get().map(String::as_str)
    }

    /// Closes the connection permanently.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        *self.link.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Runs a call within [`PATIENCE`].
    pub async fn run<T: FromRedisValue>(&self, call: Call<'_>) -> Result<T, StoreError> {
        let used = AtomicU64::new(0);
        let work = async {
            let mut tries = 0;
            loop {
                tries += 1;
                let (number, mut link) = self.link().await?;
                used.store(number, Ordering::Relaxed);
                // The driver's futures are large and deeply nested.
                let error = match Box::pin(run_on(&mut link, call)).await {
                    Ok(value) => return Ok(value),
                    Err(error) => error,
                };
                if is_lost(&error) {
                    self.drop_link(number);
                    // The server may have closed an idle connection.
                    if tries == 1 && matches!(call, Call::Reading(_)) {
                        continue;
                    }
                }
                return Err(store_error(&error));
            }
        };
        match tokio::time::timeout(PATIENCE, work).await {
            Ok(done) => done,
            Err(_) => {
                self.drop_link(used.load(Ordering::Relaxed));
                Err(timeout_error())
            }
        }
    }

    /// Drops the link, unless another caller has replaced it already.
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

    /// Connects, and checks that this program supports the layout of the records.
    async fn connect(&self) -> Result<Link, StoreError> {
        // `run` bounds the time of each command.
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
            .map_err(|_| timeout_error())?
            .map_err(|error| store_error(&error))?;
        if schema == self.schema.to_string() {
            return Ok(link);
        }
        let known = self.schema;
        Err(StoreError::Corrupt(format!(
            "the records in redis have schema version {schema}, but this program knows only {known}: run the version that wrote them"
        )))
    }

    /// Reads the schema version. Writes the current one into an empty database.
    async fn schema(&self, link: &mut Link) -> RedisResult<String> {
        let mut get = redis::cmd("GET");
        get.arg(&self.schema_key);
        if let Some(found) = get.query_async::<Option<String>>(link).await? {
            return Ok(found);
        }
        let mut set = redis::cmd("SET");
        set.arg(&self.schema_key).arg(self.schema).arg("NX");
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

/// Finds the line of a reply that begins with a word, and returns the rest of the line.
pub(super) fn text_in(reply: &Value, word: &str) -> Option<String> {
    match reply {
        Value::Map(pairs) => pairs.iter().find_map(|(_, value)| text_in(value, word)),
        Value::Array(values) => values.iter().find_map(|value| text_in(value, word)),
        other => {
            let text: String = redis::from_redis_value_ref(other).ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix(word))?;
            Some(line.trim().to_owned())
        }
    }
}

fn timeout_error() -> StoreError {
    StoreError::Unavailable("redis does not reply in time".to_owned())
}

/// Checks whether a new connection may work: this one is lost, or its server has become a replica.
fn is_lost(error: &RedisError) -> bool {
    error.is_unrecoverable_error()
        || error.is_io_error()
        || error.is_connection_dropped()
        || matches!(error.code(), Some("READONLY" | "MASTERDOWN"))
}

/// Translates an error, and says what to do about it. The server's own text is left out: it may
/// contain keys, and keys may contain email addresses.
fn store_error(error: &RedisError) -> StoreError {
    if matches!(
        error.kind(),
        ErrorKind::UnexpectedReturnType | ErrorKind::Parse
    ) || error.code() == Some("WRONGTYPE")
    {
        return StoreError::Corrupt("a key of an unexpected type".to_owned());
    }
    // Before version 7, the reason why a script stopped is inside the error's text.
    let inside = |word: &str| error.detail().is_some_and(|detail| detail.contains(word));
    let code = match error.code() {
        Some("ERR") if inside("-OOM") => Some("OOM"),
        Some("ERR") if inside("-MISCONF") => Some("MISCONF"),
        Some("ERR") if inside("-READONLY") => Some("READONLY"),
        code => code,
    };
    StoreError::Refused(match code {
        Some("OOM") => {
            "the memory of redis is full (OOM): raise its maxmemory, or remove other data from it"
        }
        Some("MISCONF") => {
            "redis cannot write to its disk (MISCONF): free space on it or repair it; the log of redis has the cause"
        }
        Some("READONLY") => {
            "redis is a read-only replica (READONLY): set the address of the primary"
        }
        Some("NOAUTH" | "WRONGPASS") => "redis refuses the user name or password: check REDIS_URL",
        Some("NOPERM") => {
            "the redis user lacks the permission for a required command (NOPERM): docs/REDIS.md lists them"
        }
        Some("NOREPLICAS") => {
            "redis accepts no writes without its replicas (NOREPLICAS): restart them"
        }
        Some("LOADING") => {
            return StoreError::Unavailable("redis is loading its data (LOADING)".to_owned());
        }
        Some(code) => return StoreError::Unavailable(format!("redis replies {code}")),
        None if error.is_timeout() => return timeout_error(),
        None => return StoreError::Unavailable(format!("redis: {}", error.category())),
    })
}
