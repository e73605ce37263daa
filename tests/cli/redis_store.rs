//! The service and `doctor`, with all records in Redis.

use super::*;
use crate::{redis_server::RedisServer, skip::skip};

const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const EMAIL: &str = "ada@example.org";
const PASSWORD: &str = "correct horse battery";

/// Returns the response of the service to a signed-in client.
fn ask(service: &Service, cookie: &str, path: &str) -> Value {
    let answer = Service::client()
        .get(format!("http://127.0.0.1:{}{path}", service.port))
        .header("cookie", cookie)
        .send()
        .unwrap();
    assert_eq!(answer.status().as_u16(), 200, "{path}");
    answer.json().unwrap()
}

fn send(service: &Service, cookie: &str, path: &str, body: Value) -> (u16, Value) {
    let answer = Service::client()
        .post(format!("http://127.0.0.1:{}{path}", service.port))
        .header("cookie", cookie)
        .json(&body)
        .send()
        .unwrap();
    (answer.status().as_u16(), answer.json().unwrap_or_default())
}

#[test]
fn an_installation_in_redis_survives_restarts_of_the_service_and_redis() {
    if runtime::missing() {
        return;
    }
    let arguments = ["--appendonly", "yes", "--appendfsync", "always"];
    let mut redis = match RedisServer::with(&arguments) {
        Ok(redis) => redis,
        Err(why) => return skip("a site in Redis", &why),
    };
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("data");
    let url = redis.url();
    // On a busy machine, Redis may take longer than the default limit for a cache.
    let settings = [
        ("STORE", "redis"),
        ("REDIS_URL", url.as_str()),
        ("TEMPLATE_KEY", KEY),
        ("REDIS_COMMAND_TIMEOUT", "3000"),
    ];
    let doctor = || {
        let mut doctor = rollcall(&folder, &["doctor"]);
        run(doctor.envs(settings).env("PORT", "0"))
    };
    let (code, out, err) = doctor();
    assert_eq!(code, 0, "{out}{err}");
    let store = out.lines().find(|line| line.contains("store")).unwrap();
    assert!(store.contains("redis "), "{out}");

    let service = Service::start(&folder, &settings);
    let link = service.link.clone().expect("there is no account yet");
    let token = link.split_once("/setup#").unwrap().1;
    let first =
        serde_json::json!({"token": token, "name": "Ada", "email": EMAIL, "password": PASSWORD});
    let (status, answer) = send(&service, "", "/api/setup", first);
    assert!((200..300).contains(&status), "{status} {answer}");
    let (status, cookie) = service.sign_in(EMAIL, PASSWORD);
    assert_eq!(status, 200);
    let person = serde_json::json!({"name": "Grace Hopper", "code": "7"});
    let (status, person) = send(&service, &cookie, "/api/employees", person);
    assert_eq!(status, 201, "{person}");
    let ready: Value = serde_json::from_str(&service.get("/readyz").1).unwrap();
    assert_eq!(ready["checks"]["store"]["state"], "ok", "{ready}");
    assert!(
        !folder.join("rollcall.db").exists() && !folder.join("template.key").exists(),
        "the file system is unused"
    );

    // Both are killed, without a chance to finish anything.
    drop(service);
    redis.kill();
    redis.restart();
    let admin = [("ADMIN_EMAIL", EMAIL), ("ADMIN_PASSWORD", PASSWORD)];
    let settings = [&settings[..], &admin].concat();
    let service = Service::start(&folder, &settings);
    let all = ask(&service, &cookie, "/api/employees");
    assert_eq!(all["items"][0]["id"], person["id"], "{all}");
    assert_eq!(all["items"].as_array().unwrap().len(), 1);
    assert_eq!(service.sign_in(EMAIL, PASSWORD).0, 200);
    assert_eq!(service.stop(), 0);

    // Doctor reports problems with the settings of this Redis.
    redis.ask::<()>(&["CONFIG", "SET", "appendonly", "no"]);
    redis.ask::<()>(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    redis.ask::<()>(&["CONFIG", "SET", "maxmemory", "100mb"]);
    let (_, out, _) = doctor();
    let store = out.lines().find(|line| line.contains("store")).unwrap();
    assert!(store.contains("evict"), "{out}");
}
