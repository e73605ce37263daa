//! Messages between instances.

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use redis::cmd;
use tokio_util::sync::CancellationToken;

use super::{
    keys::Prefix,
    server::{Server, Unavailable},
};
use crate::{
    ports::{BUS_BEGINS, Message},
    storage::memory::MemoryBus,
};

/// The pause before reconnecting.
const PAUSE: Duration = Duration::from_millis(250);

/// Seconds without a message after which the connection is replaced. Shortly before, the process
/// sends a message to itself to check the connection.
const MAX_SILENCE: u32 = 8;

/// Publishes messages, and delivers the messages of other instances to this process.
#[derive(derive_new::new)]
pub struct RedisBus {
    server: Arc<Server>,
    prefix: Prefix,
    /// Unique to this process. Identifies its own messages, which also come back from Redis.
    instance: String,
}

impl RedisBus {
    /// Sends a message to the other instances.
    pub async fn publish(&self, topic: &str, message: &[u8]) -> Result<(), Unavailable> {
        let channel = self.prefix.key(&format!("bus:{topic}"));
        let payload = [self.instance.as_bytes(), b"\n", message].concat();
        self.server
            .run(cmd("PUBLISH").arg(channel).arg(payload))
            .await
    }

    /// Delivers messages of other instances to `local`, until `stop`. Delivers [`BUS_BEGINS`] after
    /// each connect, because messages may have been missed before.
    pub async fn listen(&self, local: &MemoryBus, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.deliver_until_lost(local) => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    /// Delivers messages until the connection is lost.
    async fn deliver_until_lost(&self, local: &MemoryBus) {
        // The watcher of the circuit breaker finds out when the server is available.
        if !self.server.is_up() {
            return;
        }
        let patience = self.server.patience();
        let connection_number = self.server.return_number();
        let Ok(mut listener) = self.server.address().listen(patience).await else {
            return;
        };
        let subscribed = listener.psubscribe(self.prefix.pattern("bus:"));
        let subscribed = tokio::time::timeout(patience.connect, subscribed).await;
        if !matches!(subscribed, Ok(Ok(()))) {
            return;
        }
        local.deliver(Message {
            topic: BUS_BEGINS.to_owned(),
            payload: vec![0; 16],
        });
        let channel_prefix = self.prefix.key("bus:");
        let mut messages = listener.into_on_message();
        let mut silent = 0;
        loop {
            // Silence has three causes: no messages, a server that hangs, or a connection that was
            // dropped on the way. The watcher detects a hanging server. A message to this process
            // that does not come back reveals a dropped connection.
            let next = tokio::time::timeout(Duration::from_secs(1), messages.next()).await;
            match next {
                Ok(Some(message)) => {
                    silent = 0;
                    let topic = message.get_channel_name().strip_prefix(&channel_prefix);
                    let parts = split(message.get_payload_bytes());
                    if let (Some(topic), Some((from, payload))) = (topic, parts)
                        && from != self.instance.as_bytes()
                    {
                        local.deliver(Message {
                            topic: topic.to_owned(),
                            payload: payload.to_owned(),
                        });
                    }
                }
                Ok(None) => return,
                Err(_) if self.server.return_number() != connection_number => return,
                Err(_) if self.server.is_up() => {
                    silent += 1;
                    if silent > MAX_SILENCE {
                        return;
                    }
                    if silent == MAX_SILENCE - 2 {
                        // Ignored when it comes back, because this process is its sender.
                        let _ = self.publish("echo", b"").await;
                    }
                }
                Err(_) => return,
            }
        }
    }
}

/// Splits a payload into sender and message.
fn split(payload: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = payload.iter().position(|byte| *byte == b'\n')?;
    Some((&payload[..end], &payload[end + 1..]))
}
