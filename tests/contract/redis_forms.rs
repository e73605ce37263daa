//! Redis in every form that a URL can have, with real servers: TLS with a private authority, a user
//! with few permissions, a socket, a Sentinel's master, and a cluster.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rollcall::{
    ports::{BUS_BEGINS, Bus, Cache, Quota, RateLimits, SharedServers},
    storage::{
        degrading::DegradingBus,
        redis::{Address, RedisBus, RedisLocks, RedisServers, Server, Standing},
    },
};
use tokio_util::sync::CancellationToken;

use crate::{
    ports::free_port,
    redis_cluster::{RedisCluster, port},
    redis_server::RedisServer,
    shared::{
        LONG, PATIENCE, a_cache_keeps_finds_and_deletes, a_limit_counts_in_a_window,
        a_lock_has_one_holder, at, degrading, limits, prefix, redis_with, until_up, watch,
    },
    skip::skip,
};

/// Starts a Sentinel that watches the server as `main` and decides alone; returns it with the
/// folder of its settings, which it rewrites.
fn sentinel_of(master: &RedisServer) -> Result<(RedisServer, tempfile::TempDir), String> {
    let settings = tempfile::tempdir().map_err(|error| error.to_string())?;
    let file = settings.path().join("sentinel.conf");
    let text = format!(
        "sentinel monitor main 127.0.0.1 {} 1\n\
         sentinel down-after-milliseconds main 3000\n\
         sentinel failover-timeout main 3000\n",
        port(master)
    );
    std::fs::write(&file, text).map_err(|error| error.to_string())?;
    let sentinel = RedisServer::with(&[&file.display().to_string(), "--sentinel"])?;
    Ok((sentinel, settings))
}

fn address(url: &str, authority: Option<Vec<u8>>) -> Address {
    Address::parse(&url.to_owned().into(), None, authority).unwrap()
}

/// Uses everything that instances share, on one server.
async fn everything(server: &Arc<Server>) {
    a_cache_keeps_finds_and_deletes(&degrading(server)).await;
    a_limit_counts_in_a_window(&limits(server, "one")).await;
    let locks = RedisLocks::new(server.clone(), prefix(), "one".to_owned());
    a_lock_has_one_holder(&locks).await;

    let bus = |name: &str| {
        let bus = RedisBus::new(server.clone(), prefix(), name.to_owned());
        Arc::new(DegradingBus::new(bus))
    };
    let (here, there) = (bus("one"), bus("two"));
    let mut listener = there.subscribe();
    let stop = CancellationToken::new();
    let _stop = stop.clone().drop_guard();
    tokio::spawn(async move { there.listen(stop).await });
    let mut next = async || {
        let next = tokio::time::timeout(PATIENCE, listener.recv());
        next.await.unwrap().unwrap()
    };
    assert_eq!(next().await.topic, BUS_BEGINS);
    here.publish("punch", b"1").await;
    assert_eq!(next().await.payload, b"1");

    let cache = degrading(server);
    cache.set("kind:1", b"1", LONG).await;
    cache.set("kind:2", b"1", LONG).await;
    assert!(server.is_up(), "{:?}", server.standing());
    let servers = RedisServers::new(vec![server.clone()], prefix());
    let facts = servers.facts().await;
    assert!(
        facts
            .iter()
            .all(|one| one.unavailable.is_none() && one.memory > 0),
        "{facts:?}"
    );
    assert!(facts[0].keys.contains(&("kind".to_owned(), 2)), "{facts:?}");
    let found = servers.find("kind:*").await.unwrap().into_iter();
    let keys: Vec<_> = found.map(|found| found.key).collect();
    assert_eq!(keys, ["kind:1", "kind:2"]);
    assert_eq!(servers.delete(&keys).await, Some(2));
}

/// Starts a server with TLS; returns it with its URL and its certificate authority.
pub fn over_tls() -> Result<(RedisServer, String, Vec<u8>), String> {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_pem = authority.self_signed(&key).unwrap().pem();
    let issuer = rcgen::Issuer::new(authority, key);
    let server_key = rcgen::KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let certificate = rcgen::CertificateParams::new(names).unwrap();
    let certificate = certificate.signed_by(&server_key, &issuer).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let (port, certificate) = (free_port(), file("server.pem", &certificate.pem()));
    let arguments = [
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &file("server.key", &server_key.serialize_pem()),
        "--tls-ca-cert-file",
        &file("authority.pem", &authority_pem),
        "--tls-auth-clients",
        "no",
    ];
    let redis = RedisServer::with(&arguments)?;
    let url = format!("rediss://localhost:{port}");
    Ok((redis, url, authority_pem.into_bytes()))
}

#[tokio::test]
async fn over_tls_with_a_private_authority() {
    let (_redis, url, authority) = match over_tls() {
        Ok(server) => server,
        Err(why) => return skip("Redis over TLS", &why),
    };
    let (server, _guard) = watch(at(address(&url, Some(authority)))).await;
    everything(&server).await;

    let stranger = at(address(&url, None));
    stranger.try_now().await;
    assert!(
        matches!(stranger.standing(), Standing::Down(_)),
        "its certificate is not trusted"
    );
}

#[tokio::test]
async fn as_a_user_with_few_permissions() {
    let arguments = [
        "--user",
        "default",
        "off",
        "--user",
        "worker",
        "on",
        ">secret",
        "~test:*",
        "&test:bus:*",
        "+@all",
        "-@admin",
    ];
    let Some(redis) = redis_with("Redis with an ACL user", &arguments) else {
        return;
    };
    let url = |password: &str| format!("redis://worker:{password}@127.0.0.1:{}", port(&redis));
    let (server, _guard) = watch(at(address(&url("secret"), None))).await;
    everything(&server).await;
    let wrong = at(address(&url("guess"), None));
    wrong.try_now().await;
    assert!(matches!(wrong.standing(), Standing::Down(why) if why.contains("password")));
}

#[tokio::test]
async fn over_a_socket() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("redis.sock").display().to_string();
    let Some(_redis) = redis_with("Redis on a socket", &["--unixsocket", &socket]) else {
        return;
    };
    let (server, _guard) = watch(at(address(&format!("unix://{socket}?db=3"), None))).await;
    everything(&server).await;
}

/// A master with an up-to-date replica, and a Sentinel that watches them.
pub struct Watched {
    /// The first master.
    pub master: RedisServer,
    /// Its replica.
    pub replica: RedisServer,
    /// The URL of the master, through the Sentinel.
    pub url: String,
    _sentinel: (RedisServer, tempfile::TempDir),
}

impl Watched {
    /// Starts them, with additional arguments for both servers.
    pub async fn start(arguments: &[&str]) -> Result<Self, String> {
        let master = RedisServer::with(arguments)?;
        let replica = ["--replicaof", "127.0.0.1", &port(&master).to_string()];
        let replica = RedisServer::with(&[arguments, &replica].concat())?;
        let sentinel = sentinel_of(&master)?;
        let begin = Instant::now();
        loop {
            let known: Vec<redis::Value> = sentinel.0.ask(&["SENTINEL", "REPLICAS", "main"]);
            let info: String = replica.ask(&["INFO", "replication"]);
            if !known.is_empty() && info.contains("master_link_status:up") {
                break;
            }
            assert!(begin.elapsed() < PATIENCE, "no replica");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let url = format!("redis+sentinel://127.0.0.1:{}/main", port(&sentinel.0));
        Ok(Self {
            master,
            replica,
            url,
            _sentinel: sentinel,
        })
    }

    /// Waits until the replica has every write that the master has acknowledged.
    pub fn until_replicated(&self) {
        let offset = |server: &RedisServer, field: &str| {
            let info: String = server.ask(&["INFO", "replication"]);
            let line = info.lines().find_map(|line| line.strip_prefix(field));
            line.map(|text| text.trim().parse::<u64>().unwrap())
        };
        let written = offset(&self.master, "master_repl_offset:");
        let begin = Instant::now();
        while offset(&self.replica, "slave_repl_offset:") < written {
            assert!(begin.elapsed() < PATIENCE);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[tokio::test]
async fn through_a_sentinel_whose_master_fails() {
    let mut watched = match Watched::start(&[]).await {
        Ok(watched) => watched,
        Err(why) => return skip("Redis through a Sentinel", &why),
    };
    let url = watched.url.clone();
    let (server, _guard) = watch(at(address(&url, None))).await;
    everything(&server).await;
    let cache = degrading(&server);
    cache.set("kept", b"1", LONG).await;
    watched.until_replicated();

    watched.master.kill();
    until_up(&server, false).await;
    let five = Quota {
        most: 5,
        window: LONG,
    };
    assert!(
        limits(&server, "one")
            .check("meanwhile", five)
            .await
            .allowed
    );
    until_up(&server, true).await;
    assert_eq!(cache.get("kept").await.as_deref(), Some(&b"1"[..]));
    let role: Vec<redis::Value> = watched.replica.ask(&["ROLE"]);
    assert_eq!(role[0], redis::Value::BulkString(b"master".to_vec()));
    everything(&server).await;
}

#[tokio::test]
async fn in_a_cluster_of_three() {
    let cluster = match RedisCluster::start() {
        Ok(cluster) => cluster,
        Err(why) => return skip("Redis in a cluster", &why),
    };
    let url = cluster.url();
    let (server, _guard) = watch(at(address(&url, None))).await;
    everything(&server).await;
    let facts = RedisServers::new(vec![server.clone()], prefix())
        .facts()
        .await;
    assert_eq!(facts.len(), 3);
    assert!(cluster.is_spread());
}
