//! Render's blueprint, held to what Render's reference for blueprints says
//! (<https://render.com/docs/blueprint-spec>, read in November 2026) and to the settings.

use super::*;

/// The keys that each type of service accepts, as far as they are useful here; a star marks
/// required ones.
const KEYS: &[(&str, &[&str])] = &[
    (
        "web",
        &[
            "type*",
            "name*",
            "runtime*",
            "plan",
            "region",
            "branch",
            "dockerfilePath",
            "dockerContext",
            "dockerCommand",
            "healthCheckPath",
            "numInstances",
            "scaling",
            "domains",
            "envVars",
            "autoDeployTrigger",
            "maxShutdownDelaySeconds",
            "disk",
            "buildFilter",
            "image",
        ],
    ),
    (
        "pserv",
        &[
            "type*",
            "name*",
            "runtime*",
            "plan",
            "region",
            "branch",
            "dockerfilePath",
            "dockerContext",
            "dockerCommand",
            "numInstances",
            "scaling",
            "envVars",
            "autoDeployTrigger",
            "maxShutdownDelaySeconds",
            "disk",
            "buildFilter",
            "image",
        ],
    ),
    (
        "keyvalue",
        &[
            "type*",
            "name*",
            "ipAllowList*",
            "plan",
            "region",
            "maxmemoryPolicy",
        ],
    ),
];

/// The possible origins of a variable's value; each variable has exactly one.
const ORIGINS: &[&str] = &["value", "generateValue", "sync", "fromService"];

/// The properties of a service that others can refer to.
const PROPERTIES: &[(&str, &[&str])] = &[
    ("web", &["host", "port", "hostport"]),
    ("pserv", &["host", "port", "hostport"]),
    ("keyvalue", &["connectionString", "host", "port"]),
];

const RUNTIMES: &[&str] = &["docker", "image"];

const POLICIES: &[&str] = &[
    "noeviction",
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-random",
    "volatile-lru",
    "volatile-lfu",
    "volatile-random",
    "volatile-ttl",
];

/// Ports that Render reserves in its private networks.
const RESERVED_PORTS: &[&str] = &["18012", "18013", "19099"];

fn of<'a, T: ?Sized>(table: &'a [(&str, &'a T)], key: &str) -> &'a T {
    let row = table.iter().find(|(name, _)| *name == key);
    row.unwrap_or_else(|| panic!("{key} is not in the table")).1
}

fn services(blueprint: &Value) -> Vec<&Value> {
    items(&blueprint["services"]).collect()
}

fn named<'a>(blueprint: &'a Value, name: &str) -> &'a Value {
    let found = services(blueprint)
        .into_iter()
        .find(|service| service["name"] == name);
    found.unwrap_or_else(|| panic!("no service {name}"))
}

#[test]
fn the_blueprint_follows_the_reference_of_render() {
    let blueprint = yaml("render.yaml");
    let top: Vec<_> = members(&blueprint).map(|(key, _)| key.as_str()).collect();
    assert_eq!(top, ["services"]);
    let mut names = BTreeSet::new();
    for service in services(&blueprint) {
        let (kind, name) = (string(service, "type"), string(service, "name"));
        assert!(names.insert(name), "{name} twice");
        let keys = of(KEYS, kind);
        for (key, _) in members(service) {
            let known = keys.iter().any(|known| known.trim_end_matches('*') == key);
            assert!(known, "{name}: {key}");
        }
        for needed in keys.iter().filter_map(|key| key.strip_suffix('*')) {
            assert!(!service[needed].is_null(), "{name} lacks {needed}");
        }
        if let Some(runtime) = service["runtime"].as_str() {
            assert!(RUNTIMES.contains(&runtime), "{name}: {runtime}");
            assert_eq!(runtime == "image", service["image"].is_object(), "{name}");
        }
        if service["image"].is_object() {
            assert!(pinned(string(&service["image"], "url")), "{name}");
        }
        if let Some(file) = service["dockerfilePath"].as_str() {
            assert!(project(file).is_file(), "{name}: {file}");
        }
        if service["disk"].is_object() {
            let disk: Vec<_> = members(&service["disk"])
                .map(|(key, _)| key.as_str())
                .collect();
            assert_eq!(
                BTreeSet::from_iter(disk),
                BTreeSet::from(["name", "mountPath", "sizeGB"])
            );
            assert!(
                string(&service["disk"], "mountPath").starts_with('/'),
                "{name}"
            );
            assert!(
                service["disk"]["sizeGB"]
                    .as_u64()
                    .is_some_and(|size| size > 0),
                "{name}"
            );
            // A service with a disk has one instance, which stops before the next one starts.
            assert!(service["numInstances"].as_u64().unwrap_or(1) == 1, "{name}");
        }
        if let Some(delay) = service["maxShutdownDelaySeconds"].as_u64() {
            assert!((1..=300).contains(&delay), "{name}");
        }
        for variable in items(&service["envVars"]) {
            assert_origin(&blueprint, name, variable);
        }
    }
}

fn assert_origin(blueprint: &Value, service: &str, variable: &Value) {
    let key = string(variable, "key");
    let origins = ORIGINS
        .iter()
        .filter(|origin| !variable[**origin].is_null());
    assert_eq!(origins.count(), 1, "{service}: {key}");
    assert_eq!(members(variable).count(), 2, "{service}: {key}");
    assert!(
        variable["value"].is_null() || variable["value"].is_string(),
        "{service}: {key}"
    );
    assert!(variable["generateValue"].is_null() || variable["generateValue"] == true);
    assert!(variable["sync"].is_null() || variable["sync"] == false);
    let from = &variable["fromService"];
    if from.is_object() {
        let other = named(blueprint, string(from, "name"));
        assert_eq!(other["type"], from["type"], "{service}: {key}");
        match (from["property"].as_str(), from["envVarKey"].as_str()) {
            (Some(property), None) => {
                let known = of(PROPERTIES, string(from, "type"));
                assert!(known.contains(&property), "{service}: {key}");
            }
            (None, Some(copied)) => {
                let theirs = items(&other["envVars"]).any(|each| each["key"] == copied);
                assert!(
                    theirs,
                    "{service}: {key} copies {copied}, which does not exist"
                );
            }
            _ => panic!("{service}: {key} must name a property or a variable"),
        }
    }
}

#[test]
fn only_the_service_is_public() {
    let blueprint = yaml("render.yaml");
    let web: Vec<_> = services(&blueprint)
        .into_iter()
        .filter(|service| service["type"] == "web")
        .collect();
    assert_eq!(web.len(), 1);
    assert_eq!(web[0]["runtime"], "docker");
    assert_eq!(web[0]["healthCheckPath"], "/healthz");
    for service in services(&blueprint) {
        if service["type"] == "keyvalue" {
            assert_eq!(service["ipAllowList"], Value::Array(Vec::new()));
            assert!(POLICIES.contains(&string(service, "maxmemoryPolicy")));
        }
        assert_eq!(service["region"], web[0]["region"], "one private network");
    }
}

#[test]
fn every_variable_of_the_service_is_a_setting() {
    let blueprint = yaml("render.yaml");
    let web = services(&blueprint)
        .into_iter()
        .find(|service| service["type"] == "web");
    let mut settings = image::environment();
    for variable in items(&web.unwrap()["envVars"]) {
        let key = string(variable, "key");
        let from = &variable["fromService"];
        let value = match variable["value"].as_str() {
            Some(value) => value.to_owned(),
            // A value as Render would generate it: 256 bits in base64, or the form of a property.
            None if variable["generateValue"] == true => {
                "q83vASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4k=".to_owned()
            }
            None if key == "PUBLIC_URL" => "https://rollcall.onrender.com".to_owned(),
            None => match from["property"].as_str() {
                Some("connectionString") => "redis://red-abc:6379".to_owned(),
                Some("port") => "27017".to_owned(),
                Some(_) => "rollcall-mongodb-abc".to_owned(),
                None => "q83vASNFZ4mrze8B".to_owned(),
            },
        };
        settings.insert(key.to_owned(), value);
    }
    assert!(settings.contains_key("TEMPLATE_KEY") && settings.contains_key("MONGODB_PASSWORD"));
    assert_eq!(settings["HOST"], "0.0.0.0");
    assert!(!RESERVED_PORTS.contains(&settings["PORT"].as_str()));
    assert_settings("render.yaml", &settings);
}
