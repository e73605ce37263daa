//! Redis for admins and operators: the state of the servers and of Rollcall's caches, with warnings,
//! and the keys, which can be listed and deleted by group or pattern.

use std::sync::Arc;

use crate::{
    ports::{ServerFacts, SharedKey, SharedServers},
    telemetry,
};

/// The share of a server's memory above which an admin is warned, and the share of hits below
/// which they are.
const SHARE: f64 = 0.8;

/// The number of look-ups below which the share of hits means nothing.
const ENOUGH: u64 = 100;

/// Keys that belong together and can be deleted at any time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyGroup {
    /// The name.
    pub name: &'static str,
    /// How its keys begin.
    pub prefixes: &'static [&'static str],
}

/// Every group. Keys outside of them, such as those of locks, are never deleted.
pub const GROUPS: &[KeyGroup] = &[
    KeyGroup {
        name: "images",
        prefixes: &["embedding:", "working:"],
    },
    KeyGroup {
        name: "sessions",
        prefixes: &["session:", "app:session:"],
    },
    KeyGroup {
        name: "limits",
        prefixes: &["limit:"],
    },
    KeyGroup {
        name: "pairings",
        prefixes: &["app:pairing:"],
    },
    KeyGroup {
        name: "overlays",
        prefixes: &["app:overlay:"],
    },
    KeyGroup {
        name: "custom",
        prefixes: &["custom:"],
    },
];

/// What selects keys that can be deleted: `all`, the name of a group, the beginning of a key up to
/// a colon, or a pattern of Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection(Vec<String>);

/// A text that selects no keys.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a group or pattern: name all, {groups}, or a pattern such as 'embedding:*'", groups = group_names())]
pub struct NoSelection(String);

fn group_names() -> String {
    let names: Vec<_> = GROUPS.iter().map(|group| group.name).collect();
    names.join(", ")
}

impl Selection {
    /// Reads a selection.
    ///
    /// # Errors
    /// When no key that can be deleted is selected, because the text is a mistake.
    pub fn parse(text: &str) -> Result<Self, NoSelection> {
        let everything = |prefix: &&str| format!("{prefix}*");
        if text == "all" {
            let prefixes = GROUPS.iter().flat_map(|group| group.prefixes);
            return Ok(Self(prefixes.map(everything).collect()));
        }
        if let Some(group) = GROUPS.iter().find(|group| group.name == text) {
            return Ok(Self(group.prefixes.iter().map(everything).collect()));
        }
        if text.contains(['*', '?', '[']) {
            return Ok(Self(vec![text.to_owned()]));
        }
        if text.ends_with(':') && deletable(text) {
            return Ok(Self(vec![everything(&text)]));
        }
        match deletable(text) {
            true => Ok(Self(vec![text.to_owned()])),
            false => Err(NoSelection(text.to_owned())),
        }
    }
}

/// Returns whether a key is in a group.
fn deletable(key: &str) -> bool {
    let mut prefixes = GROUPS.iter().flat_map(|group| group.prefixes);
    prefixes.any(|prefix| key.starts_with(prefix))
}

/// The look-ups of one cache of this instance.
#[derive(Debug, Clone, PartialEq)]
pub struct CacheFigures {
    /// The name.
    pub name: &'static str,
    /// The number of look-ups that found a value.
    pub hits: u64,
    /// The number of look-ups that found none.
    pub misses: u64,
}

impl CacheFigures {
    /// Returns the share of hits, 0 to 1; `None` before the first look-up.
    pub fn rate(&self) -> Option<f64> {
        let asked = self.hits + self.misses;
        (asked > 0).then(|| self.hits as f64 / asked as f64)
    }
}

/// The state of Redis and of the caches.
#[derive(Debug, Clone, PartialEq)]
pub struct RedisView {
    /// The servers; none if Redis is not used.
    pub servers: Vec<ServerFacts>,
    /// The caches.
    pub caches: Vec<CacheFigures>,
    /// Warnings.
    pub words: Vec<String>,
}

/// The servers that instances share.
#[derive(Clone)]
pub struct Redis(Arc<dyn SharedServers>);

impl Redis {
    /// Makes the service over the servers.
    pub fn new(servers: Arc<dyn SharedServers>) -> Self {
        Self(servers)
    }

    /// Returns the present state.
    pub async fn look(&self) -> RedisView {
        let servers = self.0.facts().await;
        let caches: Vec<CacheFigures> = telemetry::caches()
            .into_iter()
            .map(|(name, hits, misses)| CacheFigures { name, hits, misses })
            .collect();
        let warnings = servers
            .iter()
            .flat_map(server_warnings)
            .chain(caches.iter().filter_map(cache_warning))
            .collect();
        RedisView {
            servers,
            caches,
            words: warnings,
        }
    }

    /// Returns the keys that match a pattern; `None` if a server is unavailable.
    pub async fn find(&self, pattern: &str) -> Option<Vec<SharedKey>> {
        self.0.find(pattern).await
    }

    /// Returns the keys of selections that can be deleted, each once; `None` if a server is
    /// unavailable.
    pub async fn select(&self, selections: &[Selection]) -> Option<Vec<String>> {
        let mut keys = Vec::new();
        for pattern in selections.iter().flat_map(|Selection(patterns)| patterns) {
            let found = self.0.find(pattern).await?;
            keys.extend(found.into_iter().map(|found| found.key));
        }
        keys.retain(|key| deletable(key));
        keys.sort();
        keys.dedup();
        Some(keys)
    }

    /// Deletes keys and returns how many there were; `None` if a server is unavailable.
    pub async fn delete(&self, keys: &[String]) -> Option<u64> {
        self.0.delete(keys).await
    }
}

fn server_warnings(server: &ServerFacts) -> Vec<String> {
    let address = &server.address;
    let mut warnings = Vec::new();
    if let Some(why) = &server.unavailable {
        warnings.push(format!(
            "{address} is unavailable: {why}; the instances share nothing there"
        ));
        return warnings;
    }
    if server.memory_limit == 0 {
        warnings.push(format!(
            "{address} has no memory limit: set maxmemory, so that it cannot use all memory of the machine"
        ));
    } else if server.memory as f64 > server.memory_limit as f64 * SHARE {
        warnings.push(format!(
            "{address} uses more than 80 % of its memory: raise maxmemory"
        ));
    }
    if server.evicted > 0 {
        warnings.push(format!(
            "{address} has evicted {} keys: raise maxmemory",
            server.evicted
        ));
    }
    warnings
}

fn cache_warning(cache: &CacheFigures) -> Option<String> {
    let rate = cache.rate()?;
    let known = cache.hits + cache.misses >= ENOUGH && rate < SHARE;
    // Other caches rarely have hits: kiosks seldom send the same bytes twice.
    let expected = cache.name == "sessions";
    (known && expected).then(|| {
        format!(
            "the cache {} has only {:.0} hits in 100 look-ups",
            cache.name,
            rate * 100.0
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_selected_by_group_beginning_or_pattern() {
        let patterns = |text| Selection::parse(text).map(|Selection(patterns)| patterns);
        assert_eq!(patterns("images").unwrap(), ["embedding:*", "working:*"]);
        assert_eq!(patterns("limit:").unwrap(), ["limit:*"]);
        assert_eq!(patterns("custom:a").unwrap(), ["custom:a"]);
        assert_eq!(patterns("*:7?").unwrap(), ["*:7?"]);
        assert_eq!(patterns("all").unwrap().len(), 8);
        for mistake in ["", "image", "lock:", "fence:{a}", "embedding"] {
            let error = patterns(mistake).unwrap_err().to_string();
            assert!(error.contains("all, images, sessions"), "{error}");
        }
    }

    #[test]
    fn locks_and_other_keys_are_in_no_group() {
        assert!(deletable("app:pairing:code:1") && deletable("custom:"));
        for key in [
            "lock:{a}",
            "fence:{a}",
            "probe:1",
            "app:other:1",
            "x:limit:",
        ] {
            assert!(!deletable(key), "{key}");
        }
    }

    fn server(memory: u64, memory_limit: u64) -> ServerFacts {
        ServerFacts {
            address: "cache:6379/0".to_owned(),
            memory,
            memory_limit,
            ..ServerFacts::default()
        }
    }

    #[test]
    fn a_server_with_too_little_memory_is_warned_about() {
        assert!(server_warnings(&server(80, 100)).is_empty());
        assert!(server_warnings(&server(81, 100))[0].contains("80 %"));
        assert!(server_warnings(&server(1, 0))[0].contains("no memory limit"));
        let evicting = ServerFacts {
            evicted: 3,
            ..server(1, 100)
        };
        assert!(server_warnings(&evicting)[0].contains("3 keys"));
    }

    #[test]
    fn a_session_cache_with_few_hits_is_warned_about() {
        let cache = |name, hits, misses| CacheFigures { name, hits, misses };
        assert!(
            cache_warning(&cache("sessions", 79, 21))
                .unwrap()
                .contains("79")
        );
        assert_eq!(cache_warning(&cache("sessions", 80, 20)), None);
        assert_eq!(cache_warning(&cache("sessions", 1, 50)), None, "too early");
        assert_eq!(cache_warning(&cache("embeddings", 0, 500)), None);
    }
}
