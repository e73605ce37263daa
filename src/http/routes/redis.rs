//! What admins see of Redis.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    http::auth::{Administering, Allowed},
    ports::ServerFacts,
    service::redis::{CacheFigures, Redis, RedisView},
};

/// Redis as this instance sees it.
#[derive(Serialize, ToSchema)]
#[schema(title = "Redis")]
pub struct View {
    /// Whether every server is up; false without Redis.
    connected: bool,
    /// Each server; none where Redis is not used.
    servers: Vec<ServerView>,
    /// The caches of this instance since it started.
    caches: Vec<CacheView>,
    /// What should be looked at.
    words: Vec<String>,
}

/// One server.
#[derive(Serialize, ToSchema)]
#[schema(title = "RedisServer")]
pub struct ServerView {
    /// Where it is.
    #[schema(example = "redis:6379/0")]
    address: String,
    connected: bool,
    /// Why it is away.
    #[serde(skip_serializing_if = "Option::is_none")]
    away: Option<String>,
    #[schema(example = "7.0.15")]
    version: Option<String>,
    /// `master` or `slave`, as it calls itself.
    role: Option<String>,
    /// Bytes in use.
    memory: u64,
    /// Bytes that it may use; 0 for no limit.
    memory_limit: u64,
    /// What it does when memory is full.
    #[schema(example = "allkeys-lru")]
    policy: Option<String>,
    /// Whether it keeps an append-only file.
    persistent: Option<bool>,
    /// Connected clients.
    clients: u64,
    /// Keys that had to go for others.
    evicted: u64,
    /// Our keys, by kind.
    keys: Vec<KeyView>,
    /// The slowest commands that it remembers.
    slow: Vec<SlowView>,
    /// Half of our last commands took less, microseconds.
    latency_p50: Option<u64>,
    /// 99 of 100 took less, microseconds.
    latency_p99: Option<u64>,
}

/// How many keys of a kind there are.
#[derive(Serialize, ToSchema)]
#[schema(title = "RedisKeys")]
pub struct KeyView {
    #[schema(example = "embedding")]
    kind: String,
    count: u64,
}

/// A slow command.
#[derive(Serialize, ToSchema)]
#[schema(title = "SlowCommand")]
pub struct SlowView {
    #[schema(example = "SET")]
    command: String,
    microseconds: u64,
}

/// One cache.
#[derive(Serialize, ToSchema)]
#[schema(title = "Cache")]
pub struct CacheView {
    #[schema(example = "embeddings")]
    name: &'static str,
    hits: u64,
    misses: u64,
    /// Share of questions that were answered, 0 to 1.
    rate: Option<f64>,
}

impl From<RedisView> for View {
    fn from(view: RedisView) -> Self {
        let up = view.servers.iter().all(|server| server.away.is_none());
        Self {
            connected: up && !view.servers.is_empty(),
            servers: view.servers.into_iter().map(ServerView::from).collect(),
            caches: view.caches.iter().map(CacheView::from).collect(),
            words: view.words,
        }
    }
}

impl From<ServerFacts> for ServerView {
    fn from(facts: ServerFacts) -> Self {
        let (latency_p50, latency_p99) = facts.latency.unzip();
        let keys = facts.keys.into_iter();
        let slow = facts.slow.into_iter();
        Self {
            address: facts.address,
            connected: facts.away.is_none(),
            away: facts.away,
            version: facts.version,
            role: facts.role,
            memory: facts.memory,
            memory_limit: facts.memory_limit,
            policy: facts.policy,
            persistent: facts.persistent,
            clients: facts.clients,
            evicted: facts.evicted,
            keys: keys.map(|(kind, count)| KeyView { kind, count }).collect(),
            slow: slow
                .map(|(command, microseconds)| SlowView {
                    command,
                    microseconds,
                })
                .collect(),
            latency_p50,
            latency_p99,
        }
    }
}

impl From<&CacheFigures> for CacheView {
    fn from(cache: &CacheFigures) -> Self {
        Self {
            name: cache.name,
            hits: cache.hits,
            misses: cache.misses,
            rate: cache.rate(),
        }
    }
}

/// Redis: servers, caches, and what should be looked at.
#[utoipa::path(
    get, path = "/api/redis", tag = "service",
    responses((status = 200, description = "What is known of it", body = View)),
    security(("session" = [])),
)]
pub async fn get_redis(_: Allowed<Administering>, State(redis): State<Redis>) -> axum::Json<View> {
    axum::Json(redis.look().await.into())
}
