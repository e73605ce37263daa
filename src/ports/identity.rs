//! The port for an identity provider, which signs people in for the service.

use async_trait::async_trait;
use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

/// What the service must keep until a browser comes back from the provider.
#[derive(Clone, Serialize, Deserialize)]
pub struct PendingSignIn {
    /// Identifies the sign-in in the address to which the browser returns.
    pub state: String,
    /// Identifies the sign-in in the provider's token.
    pub nonce: String,
    /// The secret that proves to the provider that the same client asks for the token (PKCE).
    pub verifier: String,
}

/// A person, as the provider describes them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProvidedIdentity {
    /// The provider.
    pub issuer: String,
    /// The person's ID at the provider, which never changes.
    pub subject: String,
    /// The email address.
    pub email: Option<String>,
    /// Whether the provider verified the email address.
    pub email_verified: bool,
    /// The name.
    pub name: Option<String>,
    /// The groups.
    pub groups: Vec<String>,
    /// When the person proved to the provider who they are; `None` if the provider does not say.
    pub proved_at: Option<Timestamp>,
}

/// Why a provider did not sign a person in. The texts are for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// The provider cannot be reached, or is not configured as the service expects.
    #[error("the identity provider is unavailable: {0}")]
    Unavailable(String),
    /// The provider refused the code, or its answer is not valid.
    #[error("the identity provider's answer was refused: {0}")]
    Refused(String),
}

/// An identity provider.
#[async_trait]
pub trait IdentityProvider: Send + Sync {
    /// Begins a sign-in. Returns the address of the provider for the browser, which then returns to
    /// `redirect`, and what is needed then. If `again`, the provider must ask the person for a proof
    /// of who they are, although they are signed in there.
    async fn begin(
        &self,
        redirect: &str,
        again: bool,
    ) -> Result<(String, PendingSignIn), ProviderError>;

    /// Exchanges the code that the browser brought for the identity of the person.
    async fn finish(
        &self,
        redirect: &str,
        code: SecretString,
        pending: &PendingSignIn,
    ) -> Result<ProvidedIdentity, ProviderError>;
}
