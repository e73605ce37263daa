//! A cluster of real servers, which runs for the tests.

use std::time::{Duration, Instant};

use crate::{ports::free_port, redis_server::RedisServer};

/// Three nodes that share the slots.
pub struct RedisCluster {
    /// The nodes.
    pub nodes: Vec<RedisServer>,
}

/// Returns the port of a server.
pub fn port(server: &RedisServer) -> u16 {
    let url = server.url();
    let port = url.trim_end_matches('/').rsplit(':').next();
    port.unwrap().parse().unwrap()
}

impl RedisCluster {
    /// Starts one; the error is the reason for skipping the test.
    pub fn start() -> Result<Self, String> {
        let mut nodes = Vec::new();
        for _ in 0..3 {
            let bus = free_port().to_string();
            nodes.push(RedisServer::with(&[
                "--cluster-enabled",
                "yes",
                "--cluster-port",
                &bus,
                "--cluster-node-timeout",
                "15000",
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
                if begin.elapsed() > Duration::from_secs(90) {
                    return Err(format!("the cluster does not form: {info}"));
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        Ok(Self { nodes })
    }

    /// Returns the URL with all nodes.
    pub fn url(&self) -> String {
        let nodes = self.nodes.iter();
        let hosts = nodes.map(|node| format!("127.0.0.1:{}", port(node)));
        format!("redis+cluster://{}", hosts.collect::<Vec<_>>().join(","))
    }

    /// Checks whether the keys are on more than one node.
    pub fn is_spread(&self) -> bool {
        let sizes = self.nodes.iter().map(|node| node.ask::<u64>(&["DBSIZE"]));
        sizes.filter(|keys| *keys > 0).count() > 1
    }
}
