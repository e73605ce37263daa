//! Messages to the outside. The collector turns what is on record into deliveries, the courier
//! sends those that are due, and webhooks are managed here. ADR 17 says how nothing is lost.

mod collector;
mod courier;
mod events;
mod letters;
mod outbox;
mod outcome;
mod reminders;
mod signals;
mod signing;
mod webhooks;

pub use collector::Collector;
pub use courier::Courier;
pub use letters::{LetterError, Letters};
pub use outbox::Outbox;
pub use reminders::Reminders;
pub use signals::Signals;
pub use signing::{Secret, sign};
pub use webhooks::{WebhookError, Webhooks};
