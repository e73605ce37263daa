//! Redis, for admins.

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
    /// Whether all servers respond; false without Redis.
    connected: bool,
    /// The servers; none if Redis is not used.
    servers: Vec<ServerView>,
    /// The caches of this instance since it started.
    caches: Vec<CacheView>,
    /// What an admin should look at.
    words: Vec<String>,
}

/// A server.
#[derive(Serialize, ToSchema)]
#[schema(title = "RedisServer")]
pub struct ServerView {
    /// The address.
    #[schema(example = "redis:6379/0")]
    address: String,
    /// Whether it responds.
    connected: bool,
    /// Why it does not respond.
    #[serde(skip_serializing_if = "Option::is_none")]
    unavailable: Option<String>,
    /// The version.
    #[schema(example = "7.0.15")]
    version: Option<String>,
    /// `master` or `slave`, as Redis reports it.
    role: Option<String>,
    /// Bytes in use.
    memory: u64,
    /// The most bytes; 0 for no limit.
    memory_limit: u64,
    /// The eviction policy.
    #[schema(example = "allkeys-lru")]
    policy: Option<String>,
    /// Whether it keeps an append-only file.
    persistent: Option<bool>,
    /// Connected clients.
    clients: u64,
    /// Evicted keys.
    evicted: u64,
    /// The service's keys by kind.
    keys: Vec<KeyView>,
    /// The slowest recent commands.
    slow: Vec<SlowView>,
    /// The median latency of the service's last commands, microseconds.
    latency_p50: Option<u64>,
    /// The 99th percentile of their latency, microseconds.
    latency_p99: Option<u64>,
}

/// The number of keys of a kind.
#[derive(Serialize, ToSchema)]
#[schema(title = "RedisKeys")]
pub struct KeyView {
    /// The kind.
    #[schema(example = "embedding")]
    kind: String,
    /// The number.
    count: u64,
}

/// A slow command.
#[derive(Serialize, ToSchema)]
#[schema(title = "SlowCommand")]
pub struct SlowView {
    /// The command.
    #[schema(example = "SET")]
    command: String,
    /// The time that it took, microseconds.
    microseconds: u64,
}

/// A cache.
#[derive(Serialize, ToSchema)]
#[schema(title = "Cache")]
pub struct CacheView {
    /// The name.
    #[schema(example = "embeddings")]
    name: &'static str,
    /// Look-ups that found a value.
    hits: u64,
    /// Look-ups that found none.
    misses: u64,
    /// The share of hits, 0 to 1.
    rate: Option<f64>,
}

impl From<RedisView> for View {
    fn from(view: RedisView) -> Self {
        let up = view
            .servers
            .iter()
            .all(|server| server.unavailable.is_none());
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
            connected: facts.unavailable.is_none(),
            unavailable: facts.unavailable,
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

/// Returns the state of Redis: servers, caches, and what an admin should look at.
#[utoipa::path(
    get, path = "/api/redis", tag = "service",
    responses((status = 200, description = "The state of Redis", body = View)),
)]
pub async fn get_redis(_: Allowed<Administering>, State(redis): State<Redis>) -> axum::Json<View> {
    axum::Json(redis.look().await.into())
}
