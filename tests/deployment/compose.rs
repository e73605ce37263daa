//! The compose files, as `docker compose` reads them: `tests/servers/compose` is the library of the
//! specification, with its schema, merging, extending and checks of references.

use super::*;

/// Each combination of files, with the service that clients connect to.
const PROJECTS: &[(&[&str], &str)] = &[
    (&["docker-compose.yml"], "rollcall"),
    (
        &["docker-compose.yml", "docker-compose.scale.yml"],
        "balancer",
    ),
    (&["docker-compose.redis.yml"], "rollcall"),
];

/// Runs a check on each project, or reports why it is skipped.
fn each_project(test: &str, check: impl Fn(&str, &Value)) {
    let program = std::env::var_os("ROLLCALL_TEST_COMPOSE")
        .map_or_else(|| project(".tools/bin/compose"), PathBuf::from);
    if !program.exists() {
        let why = format!("{} is missing: run `make setup-tests`", program.display());
        return skip::skip(test, &why);
    }
    for (files, _) in PROJECTS {
        let mut load = Command::new(&program);
        load.args(*files).current_dir(project("")).env_clear();
        let loaded = run(&mut load);
        check(&files.join(" + "), &serde_json::from_str(&loaded).unwrap());
    }
}

fn environment(service: &Value) -> BTreeMap<String, String> {
    let variables = members(&service["environment"]);
    variables
        .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
        .collect()
}

/// Returns the volume, and the path on it, of a file in a container.
fn on_volume(service: &Value, file: &str) -> Option<(String, String)> {
    items(&service["volumes"]).find_map(|mount| {
        let rest = file.strip_prefix(string(mount, "target"))?;
        Some((
            string(mount, "source").to_owned(),
            rest.strip_prefix('/')?.to_owned(),
        ))
    })
}

#[test]
fn compose_files_set_only_settings_of_the_program() {
    each_project("settings of compose files", |name, project| {
        let mut settings = image::environment();
        settings.extend(environment(&project["services"]["rollcall"]));
        assert!(settings.len() > 8, "{name}: {settings:?}");
        assert_settings(name, &settings);
    });
}

#[test]
fn every_image_is_pinned_or_built_here() {
    each_project("images of compose files", |name, project| {
        for (service, value) in members(&project["services"]) {
            let image = string(value, "image");
            assert!(
                value["build"].is_object() || pinned(image),
                "{name}: {service}: {image}"
            );
        }
    });
}

#[test]
fn only_the_port_of_the_service_is_published() {
    each_project("published ports", |name, project| {
        let door = PROJECTS
            .iter()
            .find(|(files, _)| files.join(" + ") == name)
            .unwrap()
            .1;
        for (service, value) in members(&project["services"]) {
            let ports: Vec<_> = items(&value["ports"])
                .map(|port| string(port, "published"))
                .collect();
            let expected: &[&str] = match service.as_str() {
                service if service == door => &["10000"],
                "tls" => &["80", "443", "443"],
                _ => &[],
            };
            assert_eq!(ports, expected, "{name}: {service}");
            assert_ne!(value["network_mode"], "host", "{name}: {service}");
        }
        let tls = &project["services"]["tls"];
        assert!(tls.is_null() || tls["profiles"] == serde_json::json!(["tls"]));
    });
}

#[test]
fn every_dependency_has_the_awaited_condition() {
    each_project("what services wait for", |name, project| {
        let services = &project["services"];
        for (service, value) in members(services) {
            for (other, condition) in members(&value["depends_on"]) {
                let other = &services[other];
                assert!(other.is_object(), "{name}: {service}");
                match string(condition, "condition") {
                    "service_started" => {}
                    "service_healthy" => {
                        assert!(
                            items(&other["healthcheck"]["test"]).count() > 1,
                            "{name}: {service}"
                        );
                    }
                    "service_completed_successfully" => assert_eq!(other["restart"], "no"),
                    unknown => panic!("{name}: {service}: {unknown}"),
                }
            }
        }
    });
}

#[test]
fn every_container_has_minimal_privileges() {
    each_project("rights of containers", |name, project| {
        for (service, value) in members(&project["services"]) {
            let at = format!("{name}: {service}");
            assert_eq!(value["read_only"], true, "{at}");
            assert_eq!(value["cap_drop"], serde_json::json!(["ALL"]), "{at}");
            assert_eq!(value["security_opt"][0], "no-new-privileges:true", "{at}");
            let needed: &[&str] = if ["tls", "balancer"].contains(&service.as_str()) {
                &["NET_BIND_SERVICE"]
            } else {
                &[]
            };
            let added: Vec<_> = items(&value["cap_add"]).filter_map(Value::as_str).collect();
            assert_eq!(added, needed, "{at}");
            assert!(
                string(&value["logging"]["options"], "max-size").ends_with('m'),
                "{at}"
            );
            // Files of the project are read-only.
            for mount in items(&value["volumes"]).filter(|mount| mount["type"] == "bind") {
                assert_eq!(mount["read_only"], true, "{at}: {mount}");
                assert!(Path::new(string(mount, "source")).exists(), "{at}: {mount}");
            }
        }
        for store in ["mongodb", "redis"] {
            let networks = &project["services"][store]["networks"];
            for (network, _) in members(networks) {
                assert_eq!(
                    project["networks"][network]["internal"], true,
                    "{name}: {store}"
                );
            }
        }
    });
}

#[test]
fn no_secret_is_in_a_file_and_each_is_created_for_its_readers() {
    let secrets: BTreeSet<_> = Settings::SECTIONS
        .iter()
        .flat_map(|(_, all)| *all)
        .filter(|variable| variable.secret)
        .map(|variable| variable.name)
        .collect();
    each_project("secrets of compose files", |name, project| {
        let services = &project["services"];
        let maker = &services["secrets"];
        let made: BTreeSet<_> = items(&maker["command"])
            .map(|file| on_volume(maker, file.as_str().unwrap()).unwrap())
            .collect();
        let mut read = BTreeSet::new();
        for (service, value) in members(services) {
            for (variable, path) in environment(value) {
                assert!(
                    !secrets.contains(variable.as_str()),
                    "{name}: {service}: {variable}"
                );
                let file = match variable.as_str() {
                    "CREDENTIALS_DIRECTORY" => format!("{path}/GO2RTC_PASSWORD"),
                    file if file.ends_with("_FILE") => path,
                    _ => continue,
                };
                let place = on_volume(value, &file).expect(&variable);
                assert!(
                    made.contains(&place),
                    "{name}: nothing creates {file} of {service}"
                );
                read.insert(place);
            }
        }
        assert_eq!(read, made, "{name}: some secret is read by nobody");
        // A volume of secrets is mounted only by its readers.
        for (service, value) in members(services).filter(|(service, _)| *service != "secrets") {
            for mount in items(&value["volumes"]) {
                let source = string(mount, "source");
                if source.starts_with("secret-") {
                    assert_eq!(mount["read_only"], true, "{name}: {service}");
                    let used = environment(value)
                        .values()
                        .any(|path| path.starts_with(string(mount, "target")));
                    assert!(used, "{name}: {service} does not read {source}");
                }
            }
        }
    });
}

#[test]
fn the_trusted_proxies_are_the_existing_ones() {
    each_project("trusted proxies", |name, project| {
        let services = &project["services"];
        let mut there: Vec<_> = ["tls", "balancer"]
            .iter()
            .filter_map(|proxy| services[proxy]["networks"]["front"]["ipv4_address"].as_str())
            .collect();
        let believed = services["rollcall"]["environment"]["TRUSTED_PROXIES"].as_str();
        let mut believed: Vec<_> = believed
            .into_iter()
            .flat_map(|all| all.split(", "))
            .collect();
        there.sort_unstable();
        believed.sort_unstable();
        assert_eq!(believed, there, "{name}");
        let pool = &project["networks"]["front"]["ipam"]["config"][0];
        for address in there {
            let address: std::net::IpAddr = address.parse().unwrap();
            let within = |net: &str| string(pool, net).parse::<ipnet::IpNet>().unwrap();
            assert!(within("subnet").contains(&address), "{name}");
            // No other container can get this address by chance.
            assert!(!within("ip_range").contains(&address), "{name}");
        }
    });
}

#[test]
fn a_fresh_clone_needs_no_settings() {
    let settings = read_by_the_program();
    for file in PROJECTS.iter().flat_map(|(files, _)| *files) {
        for rest in text(file).split("${").skip(1) {
            let inner = rest.split('}').next().unwrap();
            let (name, _) = inner.split_once(":-").expect("a variable with a default");
            assert!(
                settings.contains(name) || COMPOSE_OWN.contains(&name),
                "{file}: {name}"
            );
        }
    }
}
