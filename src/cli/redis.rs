//! `rollcall redis`: what Redis is doing, and taking cached things out of it.

use std::{process::ExitCode, sync::Arc, time::Duration};

use clap::Subcommand;

use super::Failure;
use crate::{
    boot::Shared,
    clock::{Clock, SystemClock},
    config::Settings,
    ports::ServerFacts,
    service::redis::{Redis, RedisView},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show servers, memory, keys and what should be looked at
    Stats {
        /// Show it again every two seconds, until interrupted
        #[arg(long)]
        watch: bool,
    },
    /// Take out every key that begins so, such as embedding: or session:
    Clear {
        /// embedding:, session:, limit: or working:, and more of a key if wanted
        prefix: String,
    },
}

/// What may be taken out by hand: whatever is made again by itself.
const CLEARABLE: [&str; 4] = ["embedding:", "session:", "limit:", "working:"];

/// How often `--watch` looks.
const EVERY: Duration = Duration::from_secs(2);

pub(super) fn run(settings: &Settings, command: Command) -> Result<ExitCode, Failure> {
    super::block_on(async {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let shared = Shared::new(&settings.redis, &clock, None).map_err(refused)?;
        if shared.servers.is_empty() {
            return Err(Failure::Refused(
                "no Redis is set: REDIS_URL or REDIS_HOST names it".to_owned(),
            ));
        }
        shared.connect().await;
        let redis = shared.redis();
        match command {
            Command::Stats { watch: false } => {
                let view = redis.look().await;
                show(&view);
                Ok(
                    match view.servers.iter().all(|server| server.away.is_none()) {
                        true => ExitCode::SUCCESS,
                        false => ExitCode::FAILURE,
                    },
                )
            }
            Command::Stats { watch: true } => watch(&shared, &redis).await,
            Command::Clear { prefix } => clear(&redis, &prefix).await,
        }
    })
}

fn refused(error: impl std::fmt::Display) -> Failure {
    Failure::Refused(error.to_string())
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

async fn clear(redis: &Redis, prefix: &str) -> Result<ExitCode, Failure> {
    if !CLEARABLE.iter().any(|known| prefix.starts_with(known)) {
        return Err(Failure::Refused(format!(
            "{prefix:?} may not be cleared; what begins with {} may",
            CLEARABLE.join(", ")
        )));
    }
    let cleared = redis.clear(prefix).await;
    let cleared = cleared.ok_or_else(|| refused("Redis is away: see `rollcall redis stats`"))?;
    println!("{cleared} keys are gone");
    Ok(ExitCode::SUCCESS)
}

fn show(view: &RedisView) {
    view.servers.iter().for_each(show_server);
    for word in &view.words {
        println!("! {word}");
    }
}

fn show_server(server: &ServerFacts) {
    println!("{}", server.address);
    if let Some(why) = &server.away {
        println!("  away: {why}");
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
