//! Messages between instances.

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use redis::cmd;
use tokio_util::sync::CancellationToken;

use super::{
    keys::Prefix,
    server::{Away, Server},
};
use crate::{
    ports::{BUS_BEGINS, Message},
    storage::memory::MemoryBus,
};

/// The pause before a lost connection is made again.
const PAUSE: Duration = Duration::from_millis(250);

/// After so many seconds without a word the connection is made anew, unless what one says oneself
/// comes back.
const SILENT: u32 = 8;

/// Publishes, and delivers what others publish to this process.
pub struct RedisBus {
    server: Arc<Server>,
    prefix: Prefix,
    /// What this process said itself comes back from Redis, and is known by this.
    instance: String,
}

impl RedisBus {
    /// Under a prefix of one server; `instance` is different for every process.
    pub fn new(server: Arc<Server>, prefix: Prefix, instance: String) -> Self {
        Self {
            server,
            prefix,
            instance,
        }
    }

    /// Tells the other instances.
    pub async fn publish(&self, topic: &str, message: &[u8]) -> Result<(), Away> {
        let channel = self.prefix.key(&format!("bus:{topic}"));
        let payload = [self.instance.as_bytes(), b"\n", message].concat();
        self.server
            .run(cmd("PUBLISH").arg(channel).arg(payload))
            .await
    }

    /// Delivers what other instances say to `local`, until `stop`; [`BUS_BEGINS`] whenever the
    /// connection stands anew.
    pub async fn listen(&self, local: &MemoryBus, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.hear(local) => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    /// Delivers until the connection is lost.
    async fn hear(&self, local: &MemoryBus) {
        // The breaker's own watcher says whether the server is there.
        if !self.server.is_up() {
            return;
        }
        let patience = self.server.patience();
        let came_back = self.server.return_number();
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
        let begin = self.prefix.key("bus:");
        let mut messages = listener.into_on_message();
        let mut silent = 0;
        loop {
            // A server that hangs says nothing, and neither does a quiet one, nor a connection that
            // somebody in between has dropped. The watcher tells the first; a word to oneself that
            // does not come back, the last.
            let next = tokio::time::timeout(Duration::from_secs(1), messages.next()).await;
            match next {
                Ok(Some(message)) => {
                    silent = 0;
                    let topic = message.get_channel_name().strip_prefix(&begin);
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
                Err(_) if self.server.return_number() != came_back => return,
                Err(_) if self.server.is_up() => {
                    silent += 1;
                    if silent > SILENT {
                        return;
                    }
                    if silent == SILENT - 2 {
                        // Known by its sender, and delivered to nobody.
                        let _ = self.publish("echo", b"").await;
                    }
                }
                Err(_) => return,
            }
        }
    }
}

/// Who said it, and what.
fn split(payload: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = payload.iter().position(|byte| *byte == b'\n')?;
    Some((&payload[..end], &payload[end + 1..]))
}
