//! Adapters that send messages to receivers outside.

mod allowed;
mod mail;
mod webhooks;

pub use allowed::Allowed;
pub use mail::MailSender;
pub use webhooks::WebhookSender;
