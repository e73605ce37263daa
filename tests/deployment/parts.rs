//! The scripts that start the servers beside Rollcall, and the load balancer, run for real.

use std::{
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    sync::mpsc,
};

use serde_json::json;

use super::*;

const EMAIL: &str = "ada@example.com";
const PASSWORD: &str = "correct horse battery";

fn script(path: &str) -> Command {
    let mut command = Command::new("sh");
    command.arg(project(path));
    command
}

#[test]
fn secrets_are_created_once_and_differ() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let make = || run(script("deploy/secrets.sh").args([file("a"), file("b")]));
    assert_eq!(make().lines().count(), 2);
    let [first, second] = ["a", "b"].map(|name| fs::read_to_string(file(name)).unwrap());
    assert_ne!(first, second);
    for secret in [&first, &second] {
        assert_eq!(secret.len(), 64);
        // It is also a valid template key.
        assert!(rollcall::config::TemplateKeys::parse(secret).is_some());
    }
    let mode = file("a").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o444);
    assert_eq!(make(), "");
    assert_eq!(fs::read_to_string(file("a")).unwrap(), first);
    // A secret that an interrupted start left incomplete is created again.
    fs::remove_file(file("b")).unwrap();
    fs::write(file("b"), "").unwrap();
    assert_eq!(make().lines().count(), 1);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

/// A Redis that is started as in the compose file, with its arguments.
struct Redis {
    _process: Running,
    folder: tempfile::TempDir,
    port: u16,
}

impl Redis {
    fn start(compose_file: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let password = folder.path().join("password");
        run(script("deploy/secrets.sh").arg(&password));
        let compose = yaml(compose_file);
        let arguments: Vec<_> = items(&compose["services"]["redis"]["command"])
            .map(|argument| argument.as_str().unwrap())
            .map(|argument| match argument {
                "/data" => folder.path().to_str().unwrap().to_owned(),
                other => other.to_owned(),
            })
            .collect();
        assert!(arguments.len() > 4, "{arguments:?}");
        let port = free_port();
        let process = script("deploy/redis/start.sh")
            .args(arguments)
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .env("REDIS_PASSWORD_FILE", &password)
            .env("TMPDIR", folder.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let redis = Self {
            _process: Running(process),
            folder,
            port,
        };
        let healthy = eventually(PATIENCE, || redis.healthy().then_some(()));
        assert!(healthy.is_some(), "redis-server did not become healthy");
        redis
    }

    fn password_file(&self) -> PathBuf {
        self.folder.path().join("password")
    }

    /// Runs the health check of the compose file, with the port.
    fn healthy(&self) -> bool {
        let client = self.folder.path().join("redis-cli");
        let wrapper = format!("#!/bin/sh\nexec \"$REAL_CLI\" -p {} \"$@\"\n", self.port);
        fs::write(&client, wrapper).unwrap();
        fs::set_permissions(&client, fs::Permissions::from_mode(0o755)).unwrap();
        let path = std::env::var("PATH").unwrap();
        let real = run(Command::new("sh").args(["-c", "command -v redis-cli"]));
        script("deploy/redis/health.sh")
            .env("REDIS_PASSWORD_FILE", self.password_file())
            .env("PATH", format!("{}:{path}", self.folder.path().display()))
            .env("REAL_CLI", real.trim())
            .stderr(Stdio::null())
            .status()
            .unwrap()
            .success()
    }

    fn ask(&self, password: Option<&str>, command: &[&str]) -> String {
        let mut client = Command::new("redis-cli");
        client.args(["-p", &self.port.to_string()]).args(command);
        if let Some(password) = password {
            client.env("REDISCLI_AUTH", password);
        }
        String::from_utf8(client.output().unwrap().stdout).unwrap()
    }
}

#[test]
fn redis_starts_as_in_the_compose_files_with_its_password() {
    if !have("redis-server") {
        return skip::skip("redis of the compose files", "redis-server is missing");
    }
    for (file, expected) in [
        (
            "docker-compose.yml",
            ["everysec", "allkeys-lru", "268435456"],
        ),
        (
            "docker-compose.redis.yml",
            ["always", "noeviction", "1073741824"],
        ),
    ] {
        let redis = Redis::start(file);
        let password = fs::read_to_string(redis.password_file()).unwrap();
        assert!(redis.ask(None, &["ping"]).contains("NOAUTH"), "{file}");
        let settings = ["appendfsync", "maxmemory-policy", "maxmemory"];
        for (name, value) in settings.into_iter().zip(expected) {
            let reply = redis.ask(Some(&password), &["config", "get", name]);
            assert_eq!(reply.lines().nth(1), Some(value), "{file}: {name}");
        }
        let aof = redis.ask(Some(&password), &["config", "get", "appendonly"]);
        assert_eq!(aof.lines().nth(1), Some("yes"), "{file}");
        // No process argument contains the password.
        let pid = redis._process.0.id();
        let arguments = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
        assert!(!arguments.contains(&password), "{file}");
    }
}

/// mongod is not available here, so this only checks the order of the commands.
#[test]
fn mongodb_is_initiated_once_and_its_users_are_created() {
    if !have("node") {
        return skip::skip("MongoDB's start", "node is missing");
    }
    let folder = tempfile::tempdir().unwrap();
    for (file, secret) in [("root", "r00t"), ("service", "s3rvice")] {
        fs::write(folder.path().join(file), secret).unwrap();
    }
    // A stand-in for mongosh, with a server that becomes primary on the third attempt.
    let stand_in = r#"
        const server = { set: false, tries: 0, users: {}, asked: [] };
        const admin = {
            auth(user, password) {
                if (server.users[user] !== password) throw new Error("Authentication failed");
                return { ok: 1 };
            },
            hello() {
                if (server.tries++ < 1) throw new Error("connection refused");
                return { setName: server.set && "rollcall", isWritablePrimary: server.set && server.tries > 6 };
            },
            adminCommand(command) {
                server.set = true;
                server.asked.push(command.replSetInitiate.members[0].host);
            },
            createUser({ user, pwd, roles }) {
                server.users[user] = pwd;
                server.asked.push([user, JSON.stringify(roles)].join(" "));
            },
        };
        globalThis.connect = () => admin;
        globalThis.sleep = () => {};
        globalThis.print = (line) => server.asked.push(line);
        globalThis.require = require;
        const script = require("fs").readFileSync(process.argv[1], "utf8");
        require("vm").runInThisContext(`(function () { ${script}\n})`)();
        require("vm").runInThisContext(`(function () { ${script}\n})`)();
        console.log(server.asked.join("\n"));
    "#;
    let output = run(Command::new("node")
        .args(["-e", stand_in])
        .arg(project("deploy/mongodb/initiate.js"))
        .env("MONGODB_ROOT_PASSWORD_FILE", folder.path().join("root"))
        .env("MONGODB_PASSWORD_FILE", folder.path().join("service")));
    let output: Vec<_> = output
        .lines()
        .filter(|line| !line.starts_with("waiting"))
        .collect();
    assert_eq!(
        output,
        [
            "mongodb:27017",
            "root [\"root\"]",
            "rollcall [{\"role\":\"readWrite\",\"db\":\"rollcall\"}]",
        ]
    );
}

/// Two instances at two addresses with one name, like replicas of a compose service, behind the
/// shipped Caddyfile, with the Redis of the compose file.
#[test]
fn the_balancer_distributes_requests_streams_events_and_skips_failed_instances() {
    const TEST: &str = "the balancer";
    for program in ["caddy", "redis-server"] {
        if !have(program) {
            return skip::skip(TEST, &format!("{program} is missing"));
        }
    }
    if runtime::missing() {
        return;
    }
    let mut trial = Command::new("unshare");
    if !trial
        .args(["--mount", "true"])
        .status()
        .is_ok_and(|status| status.success())
    {
        return skip::skip(TEST, "adding host names needs root here");
    }
    let redis = Redis::start("docker-compose.redis.yml");
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let key = "ab".repeat(32);
    let mut instances: Vec<_> = ["127.0.0.1", "127.0.0.2"]
        .into_iter()
        .map(|host| {
            let child = Command::new(env!("CARGO_BIN_EXE_rollcall"))
                .arg("serve")
                .current_dir(project(""))
                .env("HOST", host)
                .env("PORT", port.to_string())
                .env("DATA_DIR", folder.path().join(host))
                .env("STORE", "redis")
                .env("REDIS_HOST", "127.0.0.1")
                .env("REDIS_PORT", redis.port.to_string())
                // On a busy machine, Redis may take longer than the default limit.
                .env("REDIS_COMMAND_TIMEOUT", "3000")
                .env("REDIS_PASSWORD_FILE", redis.password_file())
                .env("TEMPLATE_KEY", &key)
                .env("ENGINE_THREADS", "1")
                .env("ADMIN_EMAIL", EMAIL)
                .env("ADMIN_PASSWORD", PASSWORD)
                .env("TRUSTED_PROXIES", "127.0.0.0/8")
                .env("LOG_LEVEL", "warn")
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
            let url = format!("http://{host}:{port}/readyz");
            let ready = eventually(PATIENCE, || {
                status(&url, None).filter(|status| *status == 200)
            });
            assert!(ready.is_some(), "{host} is not ready");
            Running(child)
        })
        .collect();

    let hosts = folder.path().join("hosts");
    fs::write(&hosts, "127.0.0.1 rollcall\n127.0.0.2 rollcall\n").unwrap();
    let door = free_port();
    let _balancer = Running(
        Command::new("unshare")
            .args(["--mount", "sh", "-c"])
            .arg("mount --bind \"$0\" /etc/hosts && exec caddy run --adapter caddyfile --config \"$1\"")
            .args([&hosts, &project("deploy/Caddyfile")])
            .env("ROLLCALL_SITE", format!("http://127.0.0.1:{door}"))
            .env("ROLLCALL_UPSTREAM_PORT", port.to_string())
            .env("XDG_DATA_HOME", folder.path())
            .env("XDG_CONFIG_HOME", folder.path())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let url = format!("http://127.0.0.1:{door}");
    let up = eventually(PATIENCE, || status(&format!("{url}/healthz"), None));
    assert_eq!(up, Some(200));

    let client = || {
        let client = http_client::blocking().timeout(PATIENCE);
        client.build().unwrap()
    };
    let signed_in = client()
        .post(format!("{url}/api/session"))
        .json(&json!({"email": EMAIL, "password": PASSWORD}))
        .send()
        .unwrap();
    assert!(signed_in.status().is_success(), "{signed_in:?}");
    let cookie = signed_in.headers()["set-cookie"].to_str().unwrap();
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let session = || {
        let request = client().get(format!("{url}/api/session"));
        request
            .header("cookie", &cookie)
            .send()
            .map(|answer| answer.status().as_u16())
    };
    for _ in 0..20 {
        assert_eq!(
            session().unwrap(),
            200,
            "a session is valid on every instance"
        );
    }
    let counted = |host: &str| {
        let metrics = client().get(format!("http://{host}:{port}/metrics")).send();
        let metrics = metrics.unwrap().text().unwrap();
        metrics.contains("route=\"/api/session\"")
    };
    assert!(
        counted("127.0.0.1") && counted("127.0.0.2"),
        "one instance got all requests"
    );

    // A stream of events reports what happens on any instance.
    let (sender, events) = mpsc::channel();
    let stream = client()
        .get(format!("{url}/api/events"))
        .header("cookie", &cookie)
        .send()
        .unwrap();
    assert_eq!(stream.status().as_u16(), 200);
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines() {
            let Ok(line) = line else { break };
            let _ = sender.send(line);
        }
    });
    let added = client()
        .post(format!("{url}/api/devices"))
        .header("cookie", &cookie)
        .json(&json!({"name": "Front door"}))
        .send()
        .unwrap();
    assert!(added.status().is_success(), "{added:?}");
    let event = eventually(PATIENCE, || {
        events
            .try_iter()
            .find(|line| line.starts_with("event:") && line.ends_with("device"))
    });
    assert!(event.is_some(), "the event did not arrive");

    instances.pop();
    for _ in 0..20 {
        assert_eq!(session().unwrap(), 200, "the other instance responds");
    }
}
