//! Signals for home automation, with a real broker.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::SignedDuration;
use rollcall::{
    clock::Clock,
    domain::cameras::{CameraState, CameraStatus},
    http_client::Trust,
    ports::Broker,
    senders::MqttBroker,
    service::{feed::News, messages::Signals},
};
use serde_json::{Value, json};

use crate::{
    app::{TestApp, streams::Does},
    node::NodeServer,
    skip::skip,
};

fn broker(port: u16, password: &str) -> Arc<dyn Broker> {
    let url = format!("mqtt://rollcall:{password}@127.0.0.1:{port}");
    Arc::new(MqttBroker::new(&url, "rollcall-test", &Trust::default()).unwrap())
}

/// Returns the last message of each topic.
fn kept(lines: &[Value]) -> BTreeMap<&str, &str> {
    let messages = lines.iter().filter(|line| line["retain"] == true);
    messages
        .map(|line| {
            (
                line["topic"].as_str().unwrap(),
                line["payload"].as_str().unwrap(),
            )
        })
        .collect()
}

const SITE: &str = "00000000-0000-7000-8000-000000000001";

#[tokio::test]
async fn home_assistant_learns_who_is_there_and_of_the_end() {
    let server = match NodeServer::start("mqtt.mjs", 0) {
        Ok(server) => server,
        Err(why) => return skip("signals", &why),
    };
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let ann = admin.add_employee("Ann", "E7").await;
    let yard = admin.add_site("Yard", "UTC").await;
    let stop = app.publish_signals(broker(server.port, "s3cret"));
    let present = format!("rollcall/site/{SITE}/present");
    let has = |lines: &[Value], topic: &str, payload: &str| {
        kept(lines).get(topic).is_some_and(|kept| *kept == payload)
    };
    let lines = server
        .until(|lines| has(lines, "rollcall/status", "online"))
        .await;
    assert!(has(&lines, &present, "0"));
    let node = SITE.replace('-', "");
    let config = format!("homeassistant/sensor/rollcall_{node}/present/config");
    let described: Value = serde_json::from_str(kept(&lines)[config.as_str()]).unwrap();
    assert_eq!(described["state_topic"], present.as_str());
    assert_eq!(described["availability_topic"], "rollcall/status");
    assert_eq!(described["device"]["name"], "Rollcall Main site");
    assert_eq!(described["state_class"], "measurement");

    let punch = json!({ "employee": ann, "kind": "in", "reason": "Kiosk is broken" });
    admin.post("/api/punches/manual", punch).await.expect(201);
    server.until(|lines| has(lines, &present, "1")).await;
    let details = format!("rollcall/site/{SITE}/last_punch_details");
    let arrived = |lines: &[Value]| has(lines, &details, r#"{"kind":"in"}"#);
    let lines = server.until(arrived).await;
    assert!(!lines.iter().any(|line| line.to_string().contains("Ann")));
    // Only what changed is published again.
    let configs = lines.iter().filter(|line| line["topic"] == config.as_str());
    assert_eq!(configs.count(), 1);
    let path = format!("/api/sites/{SITE}");
    admin
        .patch(&path, json!({ "mqtt_names": true }))
        .await
        .expect(200);
    server
        .until(|lines| has(lines, &details, r#"{"kind":"in","name":"Ann"}"#))
        .await;
    // What is removed is removed there.
    admin
        .delete(&format!("/api/sites/{yard}"))
        .await
        .expect(204);
    let gone = format!(
        "homeassistant/sensor/rollcall_{}/present/config",
        yard.replace('-', "")
    );
    server.until(|lines| has(lines, &gone, "")).await;

    stop.cancel();
    server
        .until(|lines| has(lines, "rollcall/status", "offline"))
        .await;
}

#[tokio::test]
async fn home_assistant_learns_the_states_of_cameras_and_kiosks() {
    let server = match NodeServer::start("mqtt.mjs", 0) {
        Ok(server) => server,
        Err(why) => return skip("signals", &why),
    };
    let app = TestApp::start().await;
    app.streams.has("gate", Does::Nothing);
    let admin = app.admin().await;
    let new = json!({ "name": "Gate", "stream": "gate", "viewers": null });
    let camera = admin.post("/api/cameras", new).await.expect(201)["id"].clone();
    let camera = camera.as_str().unwrap();
    let (kiosk, pushing) = (app.kiosk().await, app.kiosk().await);
    let report = async || {
        let now = app.clock.now().to_string();
        let body = json!({ "version": "0.1.0", "unsent": 0, "camera": "on", "now": now });
        let answer = kiosk.client.post("/api/device/status", body).await;
        answer.expect(200);
    };
    report().await;
    pushing.client.get("/api/device").await.expect(200);
    app.publish_signals(broker(server.port, "s3cret"));
    let until = async |topic: &str, payload: &str| {
        let has = |lines: &[Value]| kept(lines).get(topic) == Some(&payload);
        server.until(has).await
    };
    let state = format!("rollcall/camera/{camera}/state");
    let connected = format!("rollcall/device/{}/connected", kiosk.id);
    until(&state, "unknown").await;
    let lines = until(&connected, "ON").await;
    let described = |kind: &str, id: &str, name: &str| -> Value {
        let node = format!("rollcall_{}", id.replace('-', ""));
        let config = format!("homeassistant/{kind}/{node}/{name}/config");
        serde_json::from_str(kept(&lines)[config.as_str()]).unwrap()
    };
    let of_camera = described("sensor", camera, "state");
    assert_eq!(of_camera["state_topic"], state.as_str());
    assert_eq!(of_camera["device"]["name"], "Rollcall Gate");
    let of_kiosk = described("binary_sensor", &kiosk.id, "connected");
    assert_eq!(of_kiosk["state_topic"], connected.as_str());
    assert_eq!(of_kiosk["device_class"], "connectivity");
    assert_eq!(of_kiosk["device"]["name"], "Rollcall Front door");
    // A device that reports no state sends requests only when there is something to send.
    assert!(
        !lines
            .iter()
            .any(|line| line.to_string().contains(&pushing.id))
    );

    let now = app.clock.now();
    let status = CameraStatus {
        state: CameraState::Dark,
        cause: None,
        since: now,
        reported_at: now,
        present: Vec::new(),
    };
    let id = camera.parse().unwrap();
    app.stores.cameras.report(id, &status).await.unwrap();
    app.clock.advance(SignedDuration::from_mins(16));
    app.feed.publish(News::Camera(id)).await;
    until(&state, "dark").await;
    until(&connected, "OFF").await;
    report().await;
    app.feed
        .publish(News::Device(kiosk.id.parse().unwrap()))
        .await;
    until(&connected, "ON").await;
    let admin = app.admin().await;
    admin
        .delete(&format!("/api/devices/{}", kiosk.id))
        .await
        .expect(204);
    until(&connected, "").await;
}

#[tokio::test]
async fn the_late_will_of_another_instance_does_not_last() {
    let server = match NodeServer::start("mqtt.mjs", 0) {
        Ok(server) => server,
        Err(why) => return skip("signals", &why),
    };
    let url = format!("mqtt://rollcall:s3cret@127.0.0.1:{}", server.port);
    let other = MqttBroker::new(&url, "rollcall-other", &Trust::default()).unwrap();
    let will = Signals::available(false);
    let other = other.connect(will).await.unwrap();
    let app = TestApp::start().await;
    let site = SITE.parse().unwrap();
    app.publish_signals(broker(server.port, "s3cret"));
    let status =
        |lines: &[Value], payload: &str| kept(lines).get("rollcall/status") == Some(&payload);
    server.until(|lines| status(lines, "online")).await;
    // Its connection breaks without a word.
    drop(other);
    server.until(|lines| status(lines, "offline")).await;
    app.feed.publish(News::Site(site)).await;
    server.until(|lines| status(lines, "online")).await;
}

#[tokio::test]
async fn everything_is_published_again_after_the_broker_was_down() {
    let server = match NodeServer::start("mqtt.mjs", 0) {
        Ok(server) => server,
        Err(why) => return skip("signals", &why),
    };
    let wrong = broker(server.port, "wrong");
    let will = rollcall::ports::Note {
        topic: "rollcall/status".to_owned(),
        payload: "offline".to_owned(),
    };
    let refused = wrong.connect(will).await.err().unwrap().to_string();
    assert!(
        refused.contains("refuses") && !refused.contains("wrong"),
        "{refused}"
    );
    let app = TestApp::start().await;
    app.publish_signals(broker(server.port, "s3cret"));
    let online = |lines: &[Value]| kept(lines).get("rollcall/status") == Some(&"online");
    let before = server.until(online).await;
    let port = server.kill();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let server = NodeServer::start("mqtt.mjs", port).unwrap();
    let after = server.until(online).await;
    assert_eq!(kept(&after), kept(&before));
}
