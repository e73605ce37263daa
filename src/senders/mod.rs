//! Adapters that send messages to receivers outside.

mod allowed;
mod mail;
mod mqtt;
mod webhooks;

pub use allowed::Allowed;
pub use mail::MailSender;
pub use mqtt::MqttBroker;
pub use webhooks::WebhookSender;
