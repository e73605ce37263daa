//! Messages inside this process.

use async_trait::async_trait;
use tokio::sync::broadcast;

use crate::ports::{Bus, Message};

/// How many messages a slow subscriber may lag behind before it misses some.
const CAPACITY: usize = 1024;

/// A bus between the tasks of this process.
#[derive(Debug, Clone)]
pub struct MemoryBus(broadcast::Sender<Message>);

impl Default for MemoryBus {
    fn default() -> Self {
        Self(broadcast::Sender::new(CAPACITY))
    }
}

impl MemoryBus {
    /// Sends a message to all subscribers.
    pub fn deliver(&self, message: Message) {
        // Fails only if there is no subscriber.
        let _ = self.0.send(message);
    }
}

#[async_trait]
impl Bus for MemoryBus {
    async fn publish(&self, topic: &str, message: &[u8]) {
        self.deliver(Message {
            topic: topic.to_owned(),
            payload: message.to_owned(),
        });
    }

    fn subscribe(&self) -> broadcast::Receiver<Message> {
        self.0.subscribe()
    }
}
