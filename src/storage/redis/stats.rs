//! What servers tell of themselves.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use redis::{Value, cmd};

use super::{
    keys::Prefix,
    server::{Away, Node, Server, Standing},
};
use crate::ports::{ServerFacts, SharedServers};

/// How many slow commands are asked for.
const SLOW: usize = 10;

/// Every Redis that an installation uses.
pub struct RedisServers {
    servers: Vec<Arc<Server>>,
    prefix: Prefix,
}

impl RedisServers {
    /// Over the servers; only keys under the prefix are counted and cleared.
    pub fn new(servers: Vec<Arc<Server>>, prefix: Prefix) -> Self {
        Self { servers, prefix }
    }

    async fn look(&self, server: &Server) -> Result<Vec<ServerFacts>, Away> {
        let infos: Vec<(Option<Node>, String)> = server.everywhere(&cmd("INFO")).await?;
        let mut slow = cmd("SLOWLOG");
        slow.arg("GET").arg(SLOW);
        // Not every user may ask for it.
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
                    .map(|(_, slow)| commands(slow))
                    .unwrap_or_default(),
                ..read(&info)
            })
            .collect();
        let keys = self.keys(server).await?;
        if let Some(first) = facts.first_mut() {
            first.keys = keys;
        }
        Ok(facts)
    }

    async fn keys(&self, server: &Server) -> Result<Vec<(String, u64)>, Away> {
        let mut counts = BTreeMap::new();
        for key in server.scan(&self.prefix.pattern("")).await? {
            let rest = self.prefix.strip(&key).unwrap_or_default();
            let (kind, _) = rest.split_once(':').unwrap_or((rest, ""));
            *counts.entry(kind.to_owned()).or_insert(0) += 1;
        }
        Ok(counts.into_iter().collect())
    }
}

#[async_trait]
impl SharedServers for RedisServers {
    async fn facts(&self) -> Vec<ServerFacts> {
        let mut facts = Vec::new();
        for server in &self.servers {
            match self.look(server).await {
                Ok(found) => facts.extend(found),
                Err(Away) => facts.push(ServerFacts {
                    address: server.address().shown().to_owned(),
                    away: Some(match server.standing() {
                        Standing::Away(why) => why,
                        _ => "it did not answer".to_owned(),
                    }),
                    ..ServerFacts::default()
                }),
            }
        }
        facts
    }

    async fn clear(&self, prefix: &str) -> Option<u64> {
        let mut cleared = 0;
        for server in &self.servers {
            let keys = server.scan(&self.prefix.pattern(prefix)).await.ok()?;
            for key in keys {
                let mut unlink = cmd("UNLINK");
                cleared += server.run::<u64>(unlink.arg(key)).await.ok()?;
            }
        }
        Some(cleared)
    }
}

/// Reads the answer to INFO: lines `name:value`.
fn read(info: &str) -> ServerFacts {
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

/// Reads the answer to SLOWLOG GET: identity, time, microseconds, arguments. Only the command's
/// name is kept, since arguments may be anybody's.
fn commands(slow: &Value) -> Vec<(String, u64)> {
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
