//! Adapters that send messages to receivers outside.

mod allowed;
mod webhooks;

pub use allowed::Allowed;
pub use webhooks::WebhookSender;
