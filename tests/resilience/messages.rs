//! Messages to webhooks survive `kill -9` between the record and its delivery.

use std::collections::{BTreeSet, HashMap};

use serde_json::json;

use super::*;
use crate::instances::{Servers, figure};
use crate::receiver::{Received, Receiver};

fn punch_of(message: &Received) -> String {
    message.json()["data"]["punch"].as_str().unwrap().to_owned()
}

/// Kills the program right after punches were acknowledged, several times: each of them arrives,
/// with one ID, and those of an employee in order.
async fn nothing_is_lost(environment: Environment, rounds: usize) {
    let receiver = Receiver::start().await;
    let mut environment = environment;
    environment.push(("WEBHOOK_ALLOW", "127.0.0.1".to_owned()));
    let mut service = Service::with(environment).await;
    let admin = service.admin().await;
    let new = json!({ "name": "Payroll", "url": receiver.url(), "topics": ["punch.created"] });
    service.create(&admin, "/api/webhooks", new).await;
    let mut employees = Vec::new();
    for code in ["E1", "E2"] {
        let new = json!({ "name": code, "code": code });
        let employee = service.create(&admin, "/api/employees", new).await;
        employees.push(employee["id"].as_str().unwrap().to_owned());
    }
    let mut made: HashMap<&str, Vec<String>> = HashMap::new();
    for round in 0..rounds {
        let admin = service.admin().await;
        // The last one is acknowledged just before the kill.
        for employee in employees.iter().cycle().take(3 + round) {
            let new = json!({ "employee": employee, "reason": "Kiosk is broken" });
            let answer = service.create(&admin, "/api/punches/manual", new).await;
            let id = answer["punch"]["id"].as_str().unwrap().to_owned();
            made.entry(employee).or_default().push(id);
        }
        service.kill_and_restart().await;
    }
    let all: BTreeSet<String> = made.values().flatten().cloned().collect();
    let arrived = |received: &[Received]| received.iter().map(punch_of).collect::<BTreeSet<_>>();
    let received = receiver.until(|received| arrived(received) == all).await;
    let mut ids: HashMap<String, BTreeSet<String>> = HashMap::new();
    for message in &received {
        let of = ids.entry(punch_of(message)).or_default();
        of.insert(message.id().to_owned());
    }
    assert!(ids.values().all(|ids| ids.len() == 1), "{ids:?}");
    for punches in made.values() {
        let mut order: Vec<_> = received.iter().map(punch_of).collect();
        order.retain(|one| punches.contains(one));
        // A message whose answer was not read before the kill is sent again.
        order.dedup();
        assert_eq!(order, *punches);
    }
}

#[tokio::test]
async fn a_kill_between_punch_and_message_loses_none_on_sqlite() {
    if runtime::missing() {
        return;
    }
    nothing_is_lost(store(None), 4).await;
}

#[tokio::test]
async fn a_kill_between_punch_and_message_loses_none_on_redis() {
    if runtime::missing() {
        return;
    }
    let lasting = &["--appendonly", "yes", "--appendfsync", "always"];
    match redis_server::RedisServer::with(lasting) {
        Ok(server) => {
            let environment = vec![("STORE", "redis".to_owned()), ("REDIS_URL", server.url())];
            nothing_is_lost(environment, 2).await;
        }
        Err(why) => skip::skip("messages on Redis", &why),
    }
}

#[tokio::test]
async fn a_kill_between_punch_and_message_loses_none_on_mongodb() {
    if runtime::missing() {
        return;
    }
    match MongoServer::start() {
        Ok(server) => nothing_is_lost(store(Some(server.uri())), 2).await,
        Err(why) => skip::skip("messages on MongoDB", &why),
    }
}

/// The instance that sends is killed while another one writes punches: that one takes over.
#[tokio::test]
async fn another_instance_sends_what_a_killed_one_did_not() {
    let Some(servers) = Servers::start("messages of two instances") else {
        return;
    };
    let receiver = Receiver::start().await;
    let allowed = [("WEBHOOK_ALLOW", "127.0.0.1")];
    let mut sender = servers.instance(&allowed).await;
    let admin = sender.admin().await;
    let new = json!({ "name": "Payroll", "url": receiver.url(), "topics": ["punch.created"] });
    sender.create(&admin, "/api/webhooks", new).await;
    let new = json!({ "name": "Ann", "code": "E1" });
    let employee = sender.create(&admin, "/api/employees", new).await["id"].clone();
    let other = servers.instance(&allowed).await;
    let admin = other.admin().await;
    let mut made = Vec::new();
    let mut punch = async || {
        let new = json!({ "employee": employee, "reason": "Kiosk is broken" });
        let answer = other.create(&admin, "/api/punches/manual", new).await;
        made.push(answer["punch"]["id"].as_str().unwrap().to_owned());
    };
    punch().await;
    receiver.count(1).await;
    let delivered = "rollcall_deliveries_total{channel=\"webhook\",result=\"delivered\"}";
    let sent = async |instance: &Service| figure(instance, delivered).await;
    while sent(&sender).await == 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(sent(&other).await, 0);
    for number in 0..6 {
        punch().await;
        if number == 2 {
            sender.child.kill().unwrap();
            sender.child.wait().unwrap();
        }
    }
    let all: BTreeSet<String> = made.iter().cloned().collect();
    let arrived = |received: &[Received]| received.iter().map(punch_of).collect::<BTreeSet<_>>();
    let received = receiver.until(|received| arrived(received) == all).await;
    assert!(sent(&other).await > 0);
    let mut order: Vec<_> = received.iter().map(punch_of).collect();
    // A message whose answer the killed instance did not write down is sent again.
    order.dedup();
    assert_eq!(order, made);
}
