//! Checks whether the settings of a Redis can lose acknowledged records, and explains to operators
//! what to change.

use std::collections::HashMap;

use redis::{Value, cmd};

use super::link::{Call, Connection, text_in};
use crate::ports::StoreError;

/// The settings that decide whether records can be lost.
const SETTINGS: [&str; 5] = [
    "appendonly",
    "appendfsync",
    "save",
    "maxmemory",
    "maxmemory-policy",
];

/// The oldest version that has all commands of the scripts.
const OLDEST: (u32, u32) = (6, 2);

/// Returns warnings for the operator: which records may be lost, and when.
///
/// # Errors
/// When the server does not answer, or is too old.
pub(in crate::storage::redis) async fn warnings(
    connection: &Connection,
) -> Result<Vec<String>, StoreError> {
    let mut reach = cmd("EXISTS");
    reach.arg(&connection.schema_key);
    connection.run::<Value>(Call::Command(&reach)).await?;
    if let Some(version) = connection.version()
        && is_too_old(version)
    {
        let (major, minor) = OLDEST;
        return Err(StoreError::Corrupt(format!(
            "redis {version} is too old to store records: upgrade it to {major}.{minor} or newer"
        )));
    }
    Ok(problems(&settings(connection).await?))
}

/// Reads the settings with `CONFIG GET`; if that is refused, from `INFO`.
async fn settings(connection: &Connection) -> Result<HashMap<String, String>, StoreError> {
    let mut settings = HashMap::new();
    for name in SETTINGS {
        let mut get = cmd("CONFIG");
        get.arg("GET").arg(name);
        // The user may lack the permission, and hosted servers do not have the command.
        if let Ok(reply) = connection.run::<Value>(Call::Command(&get)).await
            && let Some(value) = value_in(&reply, name)
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
        let mut info = cmd("INFO");
        let info = connection
            .run::<Value>(Call::Command(info.arg(section)))
            .await;
        if let Some(value) = info.ok().and_then(|info| text_in(&info, word)) {
            settings.insert(name.to_owned(), value);
        }
    }
    Ok(settings)
}

fn is_too_old(version: &str) -> bool {
    let mut numbers = version.split('.').map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) < OLDEST,
        _ => false,
    }
}

/// Finds the value of a name in a reply to `CONFIG GET`. The reply is a list of names and values,
/// or a map; in a cluster, there is one per node.
fn value_in(reply: &Value, name: &str) -> Option<String> {
    let text = |value: &Value| redis::from_redis_value_ref::<String>(value).ok();
    match reply {
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

/// Explains which settings can lose records.
fn problems(settings: &HashMap<String, String>) -> Vec<String> {
    let get = |name: &str| settings.get(name).map(String::as_str);
    let mut problems = Vec::new();
    match (get("appendonly"), get("save"), get("appendfsync")) {
        (None, _, _) => problems.push(
            "redis does not report whether it stores its data on disk: make sure that it has appendonly yes, or a restart loses all records".to_owned(),
        ),
        (Some("yes" | "1"), _, Some("always") | None) => {}
        (Some("yes" | "1"), _, Some(fsync)) => problems.push(format!(
            "redis has appendfsync {fsync}: {} of acknowledged punches can be lost if it or its machine fails; set appendfsync always to lose none",
            if fsync == "everysec" { "up to a second" } else { "half a minute or more" },
        )),
        (Some(_), Some(""), _) => problems.push(
            "redis stores nothing on disk (no appendonly, no save): a restart loses all records; set appendonly yes and appendfsync always".to_owned(),
        ),
        (Some(_), Some(save), _) => problems.push(format!(
            "redis saves only snapshots (save {save}): records after the last snapshot are lost if it fails; set appendonly yes and appendfsync always"
        )),
        (Some(_), None, _) => problems.push(
            "redis has no append-only file: records after its last snapshot are lost if it fails; set appendonly yes and appendfsync always".to_owned(),
        ),
    }
    let limited = get("maxmemory").is_some_and(|limit| limit != "0");
    if let Some(policy) = get("maxmemory-policy").filter(|policy| *policy != "noeviction")
        && limited
    {
        problems.push(format!(
            "redis may evict records when its memory is full (maxmemory-policy {policy}): set maxmemory-policy noeviction"
        ));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warned(settings: &[(&str, &str)]) -> String {
        let settings = settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        problems(&settings.collect()).join("\n")
    }

    #[test]
    fn safe_settings_give_no_warning() {
        let safe = [
            ("appendonly", "yes"),
            ("appendfsync", "always"),
            ("save", ""),
            ("maxmemory", "100mb"),
            ("maxmemory-policy", "noeviction"),
        ];
        assert_eq!(warned(&safe), "");
        // Without a limit, the policy has no effect.
        let unlimited = [
            ("appendonly", "yes"),
            ("appendfsync", "always"),
            ("maxmemory", "0"),
            ("maxmemory-policy", "allkeys-lru"),
        ];
        assert_eq!(warned(&unlimited), "");
    }

    #[test]
    fn every_way_to_lose_records_is_named() {
        assert!(warned(&[]).contains("does not report"));
        assert!(warned(&[("appendonly", "no"), ("save", "")]).contains("stores nothing on disk"));
        assert!(warned(&[("appendonly", "no"), ("save", "3600 1")]).contains("only snapshots"));
        assert!(warned(&[("appendonly", "0")]).contains("no append-only file"));
        let each_second = warned(&[("appendonly", "yes"), ("appendfsync", "everysec")]);
        assert!(each_second.contains("up to a second"), "{each_second}");
        let evicts = [
            ("appendonly", "yes"),
            ("appendfsync", "always"),
            ("maxmemory", "1"),
            ("maxmemory-policy", "allkeys-lru"),
        ];
        assert!(warned(&evicts).contains("allkeys-lru"));
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
    fn replies_of_every_protocol_and_of_clusters_are_read() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let list = Value::Array(vec![text("save"), text("")]);
        let map = Value::Map(vec![(text("save"), text(""))]);
        let nodes = Value::Map(vec![(text("node:1"), list.clone())]);
        for reply in [list, map, nodes] {
            assert_eq!(value_in(&reply, "save").as_deref(), Some(""));
            assert_eq!(value_in(&reply, "maxmemory"), None);
        }
    }
}
