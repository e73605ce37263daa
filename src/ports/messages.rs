//! The ports to receivers outside: webhooks and the mail server.

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

/// Sends messages to webhooks.
#[async_trait]
pub trait WebhookPosting: Send + Sync {
    /// Sends a message, and returns the HTTP status of the answer. Follows no redirect.
    ///
    /// # Errors
    /// When there is no answer in time, or the address is not allowed.
    async fn post(&self, request: WebhookRequest) -> Result<u16, PostError>;
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
    /// The mail server refused it for now, or cannot be used as configured.
    #[error("{0}")]
    Refused(String),
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
