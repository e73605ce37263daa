//! Links for a new password by email, for people who cannot sign in.

use std::sync::Arc;

use axum::{Extension, extract::State, http::StatusCode, response::Response};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    domain::text::Email,
    http::{
        context::Client,
        extract::Json,
        limits::{MayGuess, problem_with_headers, with_headers},
        problem::{Code, Problem},
    },
    service::password_resets::{PasswordResetError, PasswordResets},
};

impl From<PasswordResetError> for Problem {
    fn from(error: PasswordResetError) -> Self {
        let text = error.to_string();
        match error {
            PasswordResetError::NoMail => Self::new(Code::MailUnavailable, text),
            PasswordResetError::NotQueued(_) => Self::new(Code::NotReady, text).retry_after(60),
            PasswordResetError::Invitation(error) => error.into(),
            PasswordResetError::Letter(error) => error.into(),
            PasswordResetError::Store(error) => error.into(),
        }
    }
}

/// The account whose password was forgotten.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ForgottenPassword {
    /// The email address.
    #[schema(example = "ada@example.com")]
    email: String,
}

/// Sends a link for a new password, valid for 24 hours, to the account with this email address. Needs
/// no session. The answer is the same if there is no such account, if it is disabled or has no
/// password, and if it got three links in the last hour or six in the last day. A new link ends the
/// one before.
#[utoipa::path(
    post, path = "/api/password-resets", tag = "session",
    request_body = ForgottenPassword,
    responses(
        (status = 202, description = "Taken; it says nothing about whether there is such an account"),
        (status = 409, description = "`mail_unavailable`: ask an admin for a link"),
        (status = 429, description = "`too_many_requests`: this address tried too often"),
        (status = 503, description = "`not_ready`: too many requests wait"),
    ),
    security(()),
)]
pub async fn request_password_reset(
    MayGuess(limit): MayGuess,
    Extension(client): Extension<Client>,
    State(resets): State<Arc<PasswordResets>>,
    Json(forgotten): Json<ForgottenPassword>,
) -> Result<Response, Problem> {
    let email = Email::parse(&forgotten.email).map_err(|error| Problem::field("email", error))?;
    let requested = resets.request(email, client.address);
    requested.map_err(|error| problem_with_headers(&limit, error.into()))?;
    Ok(with_headers(limit, StatusCode::ACCEPTED))
}
