//! Second factors of accounts, and the second step of signing in.

use serde::Serialize;
use utoipa::ToSchema;

use super::time;
use crate::service::second_factor::{Challenge, Method, PATIENCE, State};

/// A sign-in that waits for its second step.
#[derive(Serialize, ToSchema)]
#[schema(title = "Challenge")]
pub struct ChallengeView {
    /// The secret to send with the second step, once.
    ticket: String,
    /// What the account can use: `code` (of an app), `recovery_code`.
    #[schema(example = json!(["code", "recovery_code"]))]
    methods: Vec<&'static str>,
    /// Seconds until the ticket expires.
    #[schema(example = 300)]
    expires_in: u64,
}

impl From<&Challenge> for ChallengeView {
    fn from(challenge: &Challenge) -> Self {
        let methods = challenge.methods.iter().map(|method| match method {
            Method::Code => "code",
            Method::RecoveryCode => "recovery_code",
        });
        Self {
            ticket: challenge.ticket.reveal().to_owned(),
            methods: methods.collect(),
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
}

impl From<State> for SecondFactorsView {
    fn from(state: State) -> Self {
        Self {
            required: state.required,
            totp: state.totp.map(time),
            recovery_codes: state.recovery_codes,
        }
    }
}
