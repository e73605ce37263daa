//! Connects to a broker of MQTT 3.1.1.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use rumqttc::{
    AsyncClient, ConnectionError, Event, EventLoop, LastWill, MqttOptions, NetworkOptions, Packet,
    QoS, TlsConfiguration, Transport,
};
use url::Url;

use crate::{
    http_client::Trust,
    ports::{Broker, BrokerError, BrokerSession, Note},
};

/// How often the broker hears from the client, at least.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// How long connecting may take, and publishing.
const CONNECT: Duration = Duration::from_secs(10);
const PUBLISH: Duration = Duration::from_secs(30);

/// Most bytes of a packet.
const PACKET_MOST: usize = 256 << 10;

/// Messages that wait in the client.
const WAITING: usize = 100;

/// A broker.
pub struct MqttBroker {
    options: MqttOptions,
}

impl MqttBroker {
    /// Reads the address, without connecting: `mqtt://` or `mqtts://`, with user and password. `id`
    /// is the name of the client, of which the broker accepts one connection.
    ///
    /// # Errors
    /// When the URL is invalid. The text does not contain it.
    pub fn new(url: &str, id: &str, trust: &Trust) -> Result<Self, String> {
        let invalid = || "MQTT_URL must be mqtts://user:password@host:port, or mqtt://".to_owned();
        let url = Url::parse(url).map_err(|_| invalid())?;
        let tls = match url.scheme() {
            "mqtt" => false,
            "mqtts" => true,
            _ => return Err(invalid()),
        };
        let host = url.host_str().ok_or_else(invalid)?;
        // The brackets of an IPv6 address belong to the URL.
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = url.port().unwrap_or(if tls { 8883 } else { 1883 });
        let mut options = MqttOptions::new(id, host, port);
        options.set_keep_alive(KEEP_ALIVE);
        options.set_clean_session(true);
        options.set_max_packet_size(PACKET_MOST, PACKET_MOST);
        if !url.username().is_empty() {
            let plain = |text: &str| {
                let decoded = form_urlencoded::parse(text.replace('+', "%2B").as_bytes())
                    .next()
                    .map(|(text, _)| text.into_owned());
                decoded.unwrap_or_default()
            };
            let password = url.password().unwrap_or_default();
            options.set_credentials(plain(url.username()), plain(password));
        }
        if tls {
            let config = Arc::new(trust.tls());
            options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(config)));
        }
        Ok(Self { options })
    }
}

#[async_trait]
impl Broker for MqttBroker {
    async fn connect(&self, will: Note) -> Result<Box<dyn BrokerSession>, BrokerError> {
        let mut options = self.options.clone();
        options.set_last_will(LastWill::new(
            will.topic,
            will.payload,
            QoS::AtLeastOnce,
            true,
        ));
        let (client, mut events) = AsyncClient::new(options, WAITING);
        let mut network = NetworkOptions::new();
        network.set_connection_timeout(CONNECT.as_secs());
        events.set_network_options(network);
        let connected = async {
            loop {
                if let Event::Incoming(Packet::ConnAck(_)) =
                    events.poll().await.map_err(|error| broken(&error))?
                {
                    return Ok(());
                }
            }
        };
        within(CONNECT * 2, connected).await?;
        Ok(Box::new(Session { client, events }))
    }
}

/// Waits for a result for a limited time.
async fn within<T>(
    most: Duration,
    result: impl Future<Output = Result<T, BrokerError>>,
) -> Result<T, BrokerError> {
    tokio::time::timeout(most, result)
        .await
        .unwrap_or_else(|_| Err(BrokerError("the broker did not answer in time".to_owned())))
}

/// Says why a connection is broken, without the address.
fn broken(error: &ConnectionError) -> BrokerError {
    BrokerError(match error {
        ConnectionError::ConnectionRefused(code) => {
            format!("the broker refuses the client: {code:?}")
        }
        ConnectionError::NetworkTimeout | ConnectionError::FlushTimeout => {
            "the broker did not answer in time".to_owned()
        }
        ConnectionError::Tls(_) => "the certificate of the broker is not accepted".to_owned(),
        _ => "the connection to the broker broke".to_owned(),
    })
}

/// A connection. If it breaks, it is not used again: the client would connect without the state.
struct Session {
    client: AsyncClient,
    events: EventLoop,
}

#[async_trait]
impl BrokerSession for Session {
    async fn publish(&mut self, notes: Vec<Note>) -> Result<(), BrokerError> {
        let publish = async {
            for batch in notes.chunks(WAITING / 2) {
                for note in batch {
                    let (topic, payload) = (note.topic.clone(), note.payload.clone());
                    let queued = self
                        .client
                        .try_publish(topic, QoS::AtLeastOnce, true, payload);
                    queued.map_err(|_| BrokerError("too many messages wait".to_owned()))?;
                }
                let mut missing = batch.len();
                while missing > 0 {
                    let event = self.events.poll().await.map_err(|error| broken(&error))?;
                    missing -= usize::from(matches!(event, Event::Incoming(Packet::PubAck(_))));
                }
            }
            Ok(())
        };
        within(PUBLISH, publish).await
    }

    async fn lost(&mut self) -> BrokerError {
        loop {
            if let Err(error) = self.events.poll().await {
                return broken(&error);
            }
        }
    }

    async fn close(mut self: Box<Self>) {
        if self.client.try_disconnect().is_ok() {
            let flushed = async { while self.events.poll().await.is_ok() {} };
            // The broker closes the connection.
            let _ = tokio::time::timeout(Duration::from_millis(300), flushed).await;
        }
    }
}
