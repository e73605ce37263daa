//! The ports to receivers outside: webhooks, the mail server and a broker of MQTT.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

/// A message to a webhook, signed.
#[derive(Clone)]
pub struct WebhookRequest {
    /// The address.
    pub url: String,
    /// The headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body, JSON.
    pub body: String,
}

/// Why a receiver did not answer. The texts contain no secrets and no URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PostError {
    /// The address is not allowed.
    #[error("{0}")]
    Refused(String),
    /// There was no answer.
    #[error("{0}")]
    NoAnswer(String),
}

/// The answer of a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PostAnswer {
    /// The HTTP status.
    pub status: u16,
    /// For how many seconds the receiver wants no other message (`Retry-After`).
    pub retry_after: Option<u32>,
}

/// Sends messages to webhooks.
#[async_trait]
pub trait WebhookPosting: Send + Sync {
    /// Checks an address that is written in a URL. A name is checked when it is resolved.
    ///
    /// # Errors
    /// When the address is not allowed.
    fn check(&self, url: &str) -> Result<(), PostError>;

    /// Sends a message, and returns the answer. Follows no redirect.
    ///
    /// # Errors
    /// When there is no answer in time, or the address is not allowed.
    async fn post(&self, request: WebhookRequest) -> Result<PostAnswer, PostError>;
}

/// A letter to one person.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// The address.
    pub to: String,
    /// The name of the person.
    pub name: String,
    /// The subject.
    pub subject: String,
    /// The text.
    pub text: String,
    /// The same in HTML.
    pub html: String,
}

/// Why a letter was not sent. The texts contain no address and no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// The mail server does not accept this letter, and will not.
    #[error("{0}")]
    Rejected(String),
    /// The mail server refused this letter for now.
    #[error("{0}")]
    Refused(String),
    /// The mail server accepts no letter now, or cannot be used as configured.
    #[error("{0}")]
    Unusable(String),
    /// The mail server did not answer.
    #[error("{0}")]
    NoAnswer(String),
}

/// Sends letters.
#[async_trait]
pub trait MailSending: Send + Sync {
    /// Gives a letter to the mail server; `id` is unique and stays the same when it is sent again.
    ///
    /// # Errors
    /// When the server did not accept it.
    async fn send(&self, id: &str, letter: &Letter) -> Result<(), MailError>;

    /// Checks whether the mail server answers.
    ///
    /// # Errors
    /// When it does not.
    async fn check(&self) -> Result<(), MailError>;
}

/// A message that the broker keeps for later subscribers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    /// The topic.
    pub topic: String,
    /// The payload; an empty one removes the message from the broker.
    pub payload: String,
}

/// Why a broker cannot be used. The text contains no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BrokerError(pub String);

/// Connects to a broker of MQTT.
#[async_trait]
pub trait Broker: Send + Sync {
    /// Connects. If the connection is lost later, the broker publishes `will`.
    ///
    /// # Errors
    /// When the broker does not answer or refuses the client.
    async fn connect(&self, will: Note) -> Result<Box<dyn BrokerSession>, BrokerError>;
}

/// A connection to a broker.
#[async_trait]
pub trait BrokerSession: Send {
    /// Publishes messages, and waits until the broker has them.
    ///
    /// # Errors
    /// When the connection is lost.
    async fn publish(&mut self, notes: Vec<Note>) -> Result<(), BrokerError>;

    /// Keeps the connection alive until it is lost.
    async fn lost(&mut self) -> BrokerError;

    /// Ends the connection, so that the broker does not publish the will.
    async fn close(self: Box<Self>);
}
