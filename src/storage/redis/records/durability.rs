//! Whether a Redis keeps what it acknowledged: what its settings say, in words for people.

use std::collections::HashMap;

use redis::{Value, cmd};

use super::{RedisStore, link::text_in};
use crate::ports::StoreError;

/// The settings that decide.
const SETTINGS: [&str; 5] = [
    "appendonly",
    "appendfsync",
    "save",
    "maxmemory",
    "maxmemory-policy",
];

/// The least version: what the scripts use is known since then.
const LEAST: (u32, u32) = (6, 2);

impl RedisStore {
    /// What somebody should know who keeps records in this Redis: what may be lost, and when.
    /// Nothing when all is well.
    ///
    /// # Errors
    /// When the server does not answer, or is too old.
    pub async fn warnings(&self) -> Result<Vec<String>, StoreError> {
        self.command::<Value>(cmd("EXISTS").arg(self.keys.key("schema")))
            .await?;
        if let Some(version) = self.connection.version()
            && is_too_old(version)
        {
            let (major, minor) = LEAST;
            return Err(StoreError::Corrupt(format!(
                "redis {version} is too old for records: {major}.{minor} is needed"
            )));
        }
        Ok(complaints(&self.server_settings().await?))
    }

    /// The settings as far as the server tells them: asked directly, else from what INFO says.
    async fn server_settings(&self) -> Result<HashMap<String, String>, StoreError> {
        let mut settings = HashMap::new();
        for name in SETTINGS {
            let mut get = cmd("CONFIG");
            get.arg("GET").arg(name);
            // The user may not be allowed to, and hosted servers do not know it.
            if let Ok(answer) = self.command::<Value>(&get).await
                && let Some(value) = value_in(&answer, name)
            {
                settings.insert(name.to_owned(), value);
            }
        }
        if !settings.is_empty() {
            return Ok(settings);
        }
        for (section, word, name) in [
            ("persistence", "aof_enabled:", "appendonly"),
            ("memory", "maxmemory:", "maxmemory"),
            ("memory", "maxmemory_policy:", "maxmemory-policy"),
        ] {
            let info = self.command::<Value>(cmd("INFO").arg(section)).await;
            if let Some(value) = info.ok().and_then(|info| text_in(&info, word)) {
                settings.insert(name.to_owned(), value);
            }
        }
        Ok(settings)
    }
}

fn is_too_old(version: &str) -> bool {
    let mut numbers = version.split('.').map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) < LEAST,
        _ => false,
    }
}

/// What follows a name in an answer of CONFIG GET, which is a list of names and values, or a map,
/// and in a cluster one of them for each node.
fn value_in(answer: &Value, name: &str) -> Option<String> {
    let text = |value: &Value| redis::from_redis_value_ref::<String>(value).ok();
    match answer {
        Value::Map(pairs) => pairs.iter().find_map(|(key, value)| {
            if text(key).as_deref() == Some(name) {
                text(value)
            } else {
                value_in(value, name)
            }
        }),
        Value::Array(values) => match &values[..] {
            [key, value] if text(key).as_deref() == Some(name) => text(value),
            values => values.iter().find_map(|value| value_in(value, name)),
        },
        _ => None,
    }
}

fn complaints(settings: &HashMap<String, String>) -> Vec<String> {
    let get = |name: &str| settings.get(name).map(String::as_str);
    let mut complaints = Vec::new();
    match (get("appendonly"), get("save"), get("appendfsync")) {
        (None, _, _) => complaints.push(
            "redis does not tell whether it keeps its data on disk: make sure that it has appendonly yes, or a restart loses all records".to_owned(),
        ),
        (Some("yes" | "1"), _, Some("always") | None) => {}
        (Some("yes" | "1"), _, Some(fsync)) => complaints.push(format!(
            "redis has appendfsync {fsync}: {} of acknowledged punches can be lost when it or its machine fails; with appendfsync always none is",
            if fsync == "everysec" { "up to a second" } else { "half a minute or more" },
        )),
        (Some(_), Some(""), _) => complaints.push(
            "redis keeps nothing on disk (no appendonly, no save): a restart of it loses all records; set appendonly yes and appendfsync always".to_owned(),
        ),
        (Some(_), Some(save), _) => complaints.push(format!(
            "redis saves snapshots only (save {save}): what was acknowledged after the last one is lost when it fails; set appendonly yes and appendfsync always"
        )),
        (Some(_), None, _) => complaints.push(
            "redis has no append-only file: what was acknowledged after its last snapshot is lost when it fails; set appendonly yes and appendfsync always".to_owned(),
        ),
    }
    let limited = get("maxmemory").is_some_and(|limit| limit != "0");
    if let Some(policy) = get("maxmemory-policy").filter(|policy| *policy != "noeviction")
        && limited
    {
        complaints.push(format!(
            "redis may throw records away when its memory is full (maxmemory-policy {policy}): set maxmemory-policy noeviction"
        ));
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(settings: &[(&str, &str)]) -> String {
        let settings = settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        complaints(&settings.collect()).join("\n")
    }

    #[test]
    fn a_server_that_keeps_everything_gives_no_cause_for_complaint() {
        let safe = [
            ("appendonly", "yes"),
            ("appendfsync", "always"),
            ("save", ""),
            ("maxmemory", "100mb"),
            ("maxmemory-policy", "noeviction"),
        ];
        assert_eq!(told(&safe), "");
        // Without a limit the policy never comes into play.
        let unlimited = [
            ("appendonly", "yes"),
            ("appendfsync", "always"),
            ("maxmemory", "0"),
            ("maxmemory-policy", "allkeys-lru"),
        ];
        assert_eq!(told(&unlimited), "");
    }

    #[test]
    fn what_may_be_lost_is_told() {
        assert!(told(&[]).contains("does not tell"));
        assert!(told(&[("appendonly", "no"), ("save", "")]).contains("keeps nothing on disk"));
        assert!(told(&[("appendonly", "no"), ("save", "3600 1")]).contains("snapshots only"));
        assert!(told(&[("appendonly", "0")]).contains("no append-only file"));
        let each_second = told(&[("appendonly", "yes"), ("appendfsync", "everysec")]);
        assert!(each_second.contains("up to a second"), "{each_second}");
        let evicts = [
            ("appendonly", "yes"),
            ("appendfsync", "always"),
            ("maxmemory", "1"),
            ("maxmemory-policy", "allkeys-lru"),
        ];
        assert!(told(&evicts).contains("allkeys-lru"));
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        for (version, old) in [
            ("5.0.14", true),
            ("6.0", true),
            ("6.2.0", false),
            ("7.0.15", false),
            ("10.1", false),
            ("?", false),
        ] {
            assert_eq!(is_too_old(version), old, "{version}");
        }
    }

    #[test]
    fn answers_of_every_protocol_and_of_clusters_are_read() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let list = Value::Array(vec![text("save"), text("")]);
        let map = Value::Map(vec![(text("save"), text(""))]);
        let nodes = Value::Map(vec![(text("node:1"), list.clone())]);
        for answer in [list, map, nodes] {
            assert_eq!(value_in(&answer, "save").as_deref(), Some(""));
            assert_eq!(value_in(&answer, "maxmemory"), None);
        }
    }
}
