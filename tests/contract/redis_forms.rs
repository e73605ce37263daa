//! Redis in every form that a URL can name, each with real servers: TLS with an authority of its
//! own, a user with few rights, a socket, a Sentinel's master, a cluster.

use std::{
    net::TcpListener,
    sync::Arc,
    time::{Duration, Instant},
};

use rollcall::{
    ports::{BUS_BEGINS, Bus, Cache, Quota, RateLimits, SharedServers},
    storage::{
        degrading::{DegradingBus, StrictLocks},
        redis::{Address, RedisBus, RedisLocks, RedisServers, Server, Standing},
    },
};
use tokio_util::sync::CancellationToken;

use crate::{
    redis_server::RedisServer,
    shared::{
        LONG, a_cache_keeps_finds_counts_and_forgets, a_limit_counts_in_a_window,
        a_lock_has_one_holder, at, degrading, limits, prefix, redis_with, until_up, watch,
    },
    skip::skip,
};

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn port(redis: &RedisServer) -> u16 {
    let url = redis.url();
    let port = url.trim_end_matches('/').rsplit(':').next();
    port.unwrap().parse().unwrap()
}

/// A Sentinel that watches the server as `main`, and decides alone; with the folder of its
/// settings, to which it writes.
fn sentinel_of(master: &RedisServer) -> Result<(RedisServer, tempfile::TempDir), String> {
    let settings = tempfile::tempdir().map_err(|error| error.to_string())?;
    let file = settings.path().join("sentinel.conf");
    let text = format!(
        "sentinel monitor main 127.0.0.1 {} 1\n\
         sentinel down-after-milliseconds main 500\n\
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

/// Everything that instances share, on one server.
async fn everything(server: &Arc<Server>) {
    a_cache_keeps_finds_counts_and_forgets(&degrading(server)).await;
    a_limit_counts_in_a_window(&limits(server, "one")).await;
    let locks = RedisLocks::new(server.clone(), prefix(), "one".to_owned());
    a_lock_has_one_holder(&StrictLocks::new(locks)).await;

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
        let next = tokio::time::timeout(Duration::from_secs(10), listener.recv());
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
        facts.iter().all(|one| one.away.is_none() && one.memory > 0),
        "{facts:?}"
    );
    assert!(facts[0].keys.contains(&("kind".to_owned(), 2)), "{facts:?}");
    assert_eq!(servers.clear("kind:").await, Some(2));
}

/// A server over TLS, its URL, and the authority that vouches for it.
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
async fn over_tls_with_an_authority_of_its_own() {
    let (_redis, url, authority) = match over_tls() {
        Ok(server) => server,
        Err(why) => return skip("Redis over TLS", &why),
    };
    let (server, _guard) = watch(at(address(&url, Some(authority)))).await;
    everything(&server).await;

    let stranger = at(address(&url, None));
    stranger.try_now().await;
    assert!(
        matches!(stranger.standing(), Standing::Away(_)),
        "nobody vouches for it"
    );
}

#[tokio::test]
async fn as_a_user_with_few_rights() {
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
    assert!(matches!(wrong.standing(), Standing::Away(why) if why.contains("password")));
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

/// A master with a replica that is up to date, and a Sentinel that watches them.
pub struct Watched {
    /// The first master.
    pub master: RedisServer,
    /// Its replica.
    pub replica: RedisServer,
    /// Where the Sentinel is asked for the master.
    pub url: String,
    _sentinel: (RedisServer, tempfile::TempDir),
}

impl Watched {
    /// Starts them, with these arguments for both servers.
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
            assert!(begin.elapsed() < Duration::from_secs(20), "no replica");
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
}

#[tokio::test]
async fn through_a_sentinel_whose_master_dies() {
    let mut watched = match Watched::start(&[]).await {
        Ok(watched) => watched,
        Err(why) => return skip("Redis through a Sentinel", &why),
    };
    let url = watched.url.clone();
    let (server, _guard) = watch(at(address(&url, None))).await;
    everything(&server).await;
    let cache = degrading(&server);
    cache.set("kept", b"1", LONG).await;
    tokio::time::sleep(Duration::from_millis(300)).await;

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
    let begin = Instant::now();
    while !server.is_up() {
        assert!(
            begin.elapsed() < Duration::from_secs(30),
            "{:?}",
            server.standing()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(cache.get("kept").await.as_deref(), Some(&b"1"[..]));
    let role: Vec<redis::Value> = watched.replica.ask(&["ROLE"]);
    assert_eq!(role[0], redis::Value::BulkString(b"master".to_vec()));
    everything(&server).await;
}

/// Three nodes that share the slots.
pub async fn cluster() -> Result<Vec<RedisServer>, String> {
    let mut nodes = Vec::new();
    for _ in 0..3 {
        let bus = free_port().to_string();
        nodes.push(RedisServer::with(&[
            "--cluster-enabled",
            "yes",
            "--cluster-port",
            &bus,
            "--cluster-node-timeout",
            "3000",
        ])?);
    }
    let slots = [("0", "5460"), ("5461", "10922"), ("10923", "16383")];
    for (node, (first, last)) in nodes.iter().zip(slots) {
        node.ask::<()>(&["CLUSTER", "ADDSLOTSRANGE", first, last]);
    }
    for node in &nodes[1..] {
        let bus: Vec<String> = node.ask(&["CONFIG", "GET", "cluster-port"]);
        let port = port(node).to_string();
        nodes[0].ask::<()>(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus[1]]);
    }
    let begin = Instant::now();
    for node in &nodes {
        loop {
            let info: String = node.ask(&["CLUSTER", "INFO"]);
            let known: String = node.ask(&["CLUSTER", "NODES"]);
            if info.contains("cluster_state:ok") && known.matches("connected").count() == 3 {
                break;
            }
            if begin.elapsed() > Duration::from_secs(30) {
                return Err(format!("the cluster does not form: {info}"));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    Ok(nodes)
}

/// All of its nodes.
pub fn url_of_cluster(nodes: &[RedisServer]) -> String {
    let hosts = nodes.iter().map(|node| format!("127.0.0.1:{}", port(node)));
    format!("redis+cluster://{}", hosts.collect::<Vec<_>>().join(","))
}

#[tokio::test]
async fn in_a_cluster_of_three() {
    let nodes = match cluster().await {
        Ok(nodes) => nodes,
        Err(why) => return skip("Redis in a cluster", &why),
    };
    let url = url_of_cluster(&nodes);
    let (server, _guard) = watch(at(address(&url, None))).await;
    everything(&server).await;
    let facts = RedisServers::new(vec![server.clone()], prefix())
        .facts()
        .await;
    assert_eq!(facts.len(), 3);
    let sizes = nodes.iter().map(|node| node.ask::<u64>(&["DBSIZE"]));
    assert!(
        sizes.filter(|keys| *keys > 0).count() > 1,
        "keys are spread"
    );
}
