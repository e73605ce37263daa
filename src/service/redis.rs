//! What an admin is told of Redis: the servers, our caches, and a word where one is needed.

use std::sync::Arc;

use crate::{
    ports::{ServerFacts, SharedServers},
    telemetry,
};

/// How full a server's memory may be, and how often a cache should find something.
const SHARE: f64 = 0.8;

/// Fewer questions than this say nothing about a cache.
const ENOUGH: u64 = 100;

/// How one cache of this instance does.
#[derive(Debug, Clone, PartialEq)]
pub struct CacheFigures {
    /// Its name.
    pub name: &'static str,
    /// How often something was found.
    pub hits: u64,
    /// How often it was not.
    pub misses: u64,
}

impl CacheFigures {
    /// The share of questions that were answered, 0..1; `None` before the first.
    pub fn rate(&self) -> Option<f64> {
        let asked = self.hits + self.misses;
        (asked > 0).then(|| self.hits as f64 / asked as f64)
    }
}

/// Everything that is known.
#[derive(Debug, Clone, PartialEq)]
pub struct RedisView {
    /// Each server; none where Redis is not used.
    pub servers: Vec<ServerFacts>,
    /// Each cache.
    pub caches: Vec<CacheFigures>,
    /// What should be looked at, in words.
    pub words: Vec<String>,
}

/// Looks at Redis.
#[derive(Clone)]
pub struct Redis(Arc<dyn SharedServers>);

impl Redis {
    /// Over the servers.
    pub fn new(servers: Arc<dyn SharedServers>) -> Self {
        Self(servers)
    }

    /// What is known now.
    pub async fn look(&self) -> RedisView {
        let servers = self.0.facts().await;
        let caches: Vec<CacheFigures> = telemetry::caches()
            .into_iter()
            .map(|(name, hits, misses)| CacheFigures { name, hits, misses })
            .collect();
        let words = servers
            .iter()
            .flat_map(server_words)
            .chain(caches.iter().filter_map(cache_word))
            .collect();
        RedisView {
            servers,
            caches,
            words,
        }
    }

    /// Takes out what begins so; how many keys, `None` when a server is away.
    pub async fn clear(&self, prefix: &str) -> Option<u64> {
        self.0.clear(prefix).await
    }
}

fn server_words(server: &ServerFacts) -> Vec<String> {
    let address = &server.address;
    let mut words = Vec::new();
    if let Some(why) = &server.away {
        words.push(format!(
            "{address} is away: {why}; each instance keeps to itself"
        ));
        return words;
    }
    if server.memory_limit == 0 {
        words.push(format!(
            "{address} has no memory limit: set maxmemory, so that it cannot take the whole machine"
        ));
    } else if server.memory as f64 > server.memory_limit as f64 * SHARE {
        words.push(format!(
            "{address} uses more than 80 % of its memory: raise maxmemory"
        ));
    }
    if server.evicted > 0 {
        words.push(format!(
            "{address} had to evict {} keys: raise maxmemory",
            server.evicted
        ));
    }
    words
}

fn cache_word(cache: &CacheFigures) -> Option<String> {
    let rate = cache.rate()?;
    let known = cache.hits + cache.misses >= ENOUGH && rate < SHARE;
    // Faces are new by nature: kiosks seldom send the same bytes twice.
    let expected = cache.name == "sessions";
    (known && expected).then(|| {
        format!(
            "the cache {} finds something {:.0} times in 100 only",
            cache.name,
            rate * 100.0
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(memory: u64, memory_limit: u64) -> ServerFacts {
        ServerFacts {
            address: "cache:6379/0".to_owned(),
            memory,
            memory_limit,
            ..ServerFacts::default()
        }
    }

    #[test]
    fn a_word_is_said_where_memory_is_short_and_nowhere_else() {
        assert!(server_words(&server(80, 100)).is_empty());
        assert!(server_words(&server(81, 100))[0].contains("80 %"));
        assert!(server_words(&server(1, 0))[0].contains("no memory limit"));
        let evicting = ServerFacts {
            evicted: 3,
            ..server(1, 100)
        };
        assert!(server_words(&evicting)[0].contains("3 keys"));
    }

    #[test]
    fn a_word_is_said_of_a_session_cache_that_seldom_finds_anything() {
        let cache = |name, hits, misses| CacheFigures { name, hits, misses };
        assert!(
            cache_word(&cache("sessions", 79, 21))
                .unwrap()
                .contains("79")
        );
        assert_eq!(cache_word(&cache("sessions", 80, 20)), None);
        assert_eq!(cache_word(&cache("sessions", 1, 50)), None, "too early");
        assert_eq!(cache_word(&cache("embeddings", 0, 500)), None);
    }
}
