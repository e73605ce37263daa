//! Facts that servers report about themselves, and the keys that they contain.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::future::try_join_all;
use redis::{Value, cmd};

use super::{
    keys::Prefix,
    server::{Node, Server, Standing, Unavailable},
};
use crate::ports::{ServerFacts, SharedKey, SharedServers};

/// The maximum number of slow commands in a report.
const SLOW: usize = 10;

/// The number of keys that one round trip reads or deletes.
const TOGETHER: usize = 256;

/// The Redis servers of an installation.
#[derive(derive_new::new)]
pub struct RedisServers {
    servers: Vec<Arc<Server>>,
    prefix: Prefix,
}

impl RedisServers {
    async fn facts_of(&self, server: &Server) -> Result<Vec<ServerFacts>, Unavailable> {
        let infos: Vec<(Option<Node>, String)> = server.everywhere(&cmd("INFO")).await?;
        let mut slow = cmd("SLOWLOG");
        slow.arg("GET").arg(SLOW);
        // The user may lack the permission.
        let slow = server.everywhere::<Value>(&slow).await.unwrap_or_default();
        let mut facts: Vec<ServerFacts> = infos
            .into_iter()
            .map(|(node, info)| ServerFacts {
                address: node.as_ref().map_or_else(
                    || server.address().shown().to_owned(),
                    |Node { host, port }| format!("{host}:{port}"),
                ),
                latency: server.latency(),
                slow: slow
                    .iter()
                    .find(|(other, _)| *other == node)
                    .map(|(_, slow)| parse_slow_log(slow))
                    .unwrap_or_default(),
                ..parse_info(&info)
            })
            .collect();
        let keys = self.keys(server).await?;
        if let Some(first) = facts.first_mut() {
            first.keys = keys;
        }
        Ok(facts)
    }

    async fn keys(&self, server: &Server) -> Result<Vec<(String, u64)>, Unavailable> {
        let mut counts = BTreeMap::new();
        for key in server.scan(&self.prefix.pattern("")).await? {
            let rest = self.prefix.strip(&key).unwrap_or_default();
            let (kind, _) = rest.split_once(':').unwrap_or((rest, ""));
            *counts.entry(kind.to_owned()).or_insert(0) += 1;
        }
        Ok(counts.into_iter().collect())
    }
}

/// Returns the rest of a key's life, which is `None` if it does not expire; `None` without the key.
async fn ttl(server: &Server, key: &str) -> Result<Option<Option<Duration>>, Unavailable> {
    let left: i64 = server.run(cmd("PTTL").arg(key)).await?;
    Ok(match left {
        -2 => None,
        -1 => Some(None),
        left => Some(Some(Duration::from_millis(left.unsigned_abs()))),
    })
}

#[async_trait]
impl SharedServers for RedisServers {
    async fn facts(&self) -> Vec<ServerFacts> {
        let mut facts = Vec::new();
        for server in &self.servers {
            match self.facts_of(server).await {
                Ok(found) => facts.extend(found),
                Err(Unavailable) => facts.push(ServerFacts {
                    address: server.address().shown().to_owned(),
                    unavailable: Some(match server.standing() {
                        Standing::Down(why) => why,
                        _ => "it did not reply".to_owned(),
                    }),
                    ..ServerFacts::default()
                }),
            }
        }
        facts
    }

    async fn find(&self, pattern: &str) -> Option<Vec<SharedKey>> {
        let mut found = Vec::new();
        for server in &self.servers {
            let keys = server.scan(&self.prefix.glob(pattern)).await.ok()?;
            for keys in keys.chunks(TOGETHER) {
                let ttls = keys.iter().map(|key| ttl(server, key));
                for (key, ttl) in keys.iter().zip(try_join_all(ttls).await.ok()?) {
                    let rest = self.prefix.strip(key).map(str::to_owned);
                    // A key may have expired since the scan.
                    if let (Some(key), Some(ttl)) = (rest, ttl) {
                        found.push(SharedKey { key, ttl });
                    }
                }
            }
        }
        found.sort();
        Some(found)
    }

    async fn delete(&self, keys: &[String]) -> Option<u64> {
        let mut deleted = 0;
        let keys: Vec<_> = keys.iter().map(|key| self.prefix.key(key)).collect();
        for server in &self.servers {
            for keys in keys.chunks(TOGETHER) {
                let mut unlink = cmd("UNLINK");
                deleted += server.run::<u64>(unlink.arg(keys)).await.ok()?;
            }
        }
        Some(deleted)
    }
}

/// Parses the reply to INFO, which has lines `name:value`.
fn parse_info(info: &str) -> ServerFacts {
    let values: BTreeMap<&str, &str> = info
        .lines()
        .filter_map(|line| line.trim_end().split_once(':'))
        .collect();
    let text = |name| values.get(name).map(|value: &&str| (*value).to_owned());
    let number = |name| values.get(name).and_then(|value| value.parse().ok());
    ServerFacts {
        version: text("redis_version"),
        role: text("role"),
        memory: number("used_memory").unwrap_or(0),
        memory_limit: number("maxmemory").unwrap_or(0),
        policy: text("maxmemory_policy"),
        persistent: number("aof_enabled").map(|on| on == 1),
        clients: number("connected_clients").unwrap_or(0),
        evicted: number("evicted_keys").unwrap_or(0),
        reads: (
            number("keyspace_hits").unwrap_or(0),
            number("keyspace_misses").unwrap_or(0),
        ),
        ..ServerFacts::default()
    }
}

/// Parses the reply to SLOWLOG GET: ID, time, microseconds, arguments. Keeps only the name of the
/// command, because arguments may contain personal data.
fn parse_slow_log(slow: &Value) -> Vec<(String, u64)> {
    let Value::Array(entries) = slow else {
        return Vec::new();
    };
    let command = |entry: &Value| {
        let Value::Array(fields) = entry else {
            return None;
        };
        let took: u64 = redis::from_redis_value_ref(fields.get(2)?).ok()?;
        let Value::Array(arguments) = fields.get(3)? else {
            return None;
        };
        let name: String = redis::from_redis_value_ref(arguments.first()?).ok()?;
        Some((name.to_uppercase(), took))
    };
    entries.iter().filter_map(command).collect()
}
