//! The ports to receivers outside: webhooks.

use async_trait::async_trait;

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
