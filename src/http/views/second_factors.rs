//! Second factors of accounts, and the second step of signing in.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::time;
use crate::{
    domain::second_factors::Passkey,
    service::second_factor::{Challenge, Method, PATIENCE, State},
};

/// A sign-in that waits for its second step.
#[derive(Serialize, ToSchema)]
#[schema(title = "Challenge")]
pub struct ChallengeView {
    /// The secret to send with the second step, once.
    ticket: String,
    /// What the account can use: `passkey`, `code` (of an app), `recovery_code`.
    #[schema(example = json!(["passkey", "code", "recovery_code"]))]
    methods: Vec<&'static str>,
    /// For a passkey: what `PublicKeyCredential.parseRequestOptionsFromJSON` takes.
    #[schema(value_type = Option<Object>)]
    passkey: Option<Value>,
    /// Seconds until the ticket expires.
    #[schema(example = 300)]
    expires_in: u64,
}

impl From<&Challenge> for ChallengeView {
    fn from(challenge: &Challenge) -> Self {
        let methods = challenge.methods.iter().map(|method| match method {
            Method::Code => "code",
            Method::RecoveryCode => "recovery_code",
            Method::Passkey => "passkey",
        });
        Self {
            ticket: challenge.ticket.reveal().to_owned(),
            methods: methods.collect(),
            passkey: challenge.passkey.clone(),
            expires_in: PATIENCE.as_secs(),
        }
    }
}

/// The second factors of an account.
#[derive(Serialize, ToSchema)]
#[schema(title = "SecondFactors")]
pub struct SecondFactorsView {
    /// Whether a role of the account needs a second factor.
    required: bool,
    /// When the app that shows one-time codes was added; null without one.
    #[schema(format = DateTime)]
    totp: Option<String>,
    /// Number of recovery codes that are left.
    #[schema(example = 10)]
    recovery_codes: usize,
    /// The passkeys.
    passkeys: Vec<PasskeyView>,
}

/// A passkey.
#[derive(Serialize, ToSchema)]
#[schema(title = "Passkey")]
pub struct PasskeyView {
    /// The ID.
    #[schema(format = "uuid", example = "0199f3a0-7c1e-7d5a-9f0e-2b7f6f0c1a2b")]
    id: String,
    /// The name by which its owner knows it.
    #[schema(example = "Phone")]
    name: String,
    /// The host name at which browsers offer it.
    #[schema(example = "rollcall.example.com")]
    host: String,
    /// When it was added.
    #[schema(format = DateTime)]
    added_at: String,
    /// When it was used last; null if never.
    #[schema(format = DateTime)]
    used_at: Option<String>,
}

impl From<&Passkey> for PasskeyView {
    fn from(passkey: &Passkey) -> Self {
        Self {
            id: passkey.id.to_string(),
            name: passkey.name.to_string(),
            host: passkey.credential.rp_id.clone(),
            added_at: time(passkey.added_at),
            used_at: passkey.used_at.map(time),
        }
    }
}

impl From<State> for SecondFactorsView {
    fn from(state: State) -> Self {
        Self {
            required: state.required,
            totp: state.totp.map(time),
            recovery_codes: state.recovery_codes,
            passkeys: state.passkeys.iter().map(PasskeyView::from).collect(),
        }
    }
}
