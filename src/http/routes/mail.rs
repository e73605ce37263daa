//! Which emails an account gets.

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    domain::mail::LetterKind,
    http::{
        auth::SignedIn,
        extract::Json,
        field_error::FieldError,
        problem::{Fields, Problem},
    },
    service::messages::{LetterError, Letters},
};

impl From<LetterError> for Problem {
    fn from(error: LetterError) -> Self {
        match error {
            LetterError::Off | LetterError::Vault(_) => Self::internal(error.to_string()),
            LetterError::Store(error) => error.into(),
        }
    }
}

/// Which emails the account gets.
#[derive(Serialize, ToSchema)]
#[schema(title = "MailPreferences")]
pub struct MailView {
    /// Whether the service sends emails at all.
    available: bool,
    /// The kinds that can be turned off.
    #[schema(example = json!(["missing_out", "waiting", "summary"]))]
    kinds: Vec<&'static str>,
    /// The kinds that are off.
    off: Vec<&'static str>,
}

impl MailView {
    fn new(available: bool, off: &[LetterKind]) -> Self {
        Self {
            available,
            kinds: LetterKind::WORDS.to_vec(),
            off: off.iter().map(|kind| kind.as_str()).collect(),
        }
    }
}

/// Returns which emails the account that is signed in gets. Invitations, links for a new password and
/// warnings about changes of how the account signs in are always sent.
#[utoipa::path(
    get, path = "/api/account/mail", tag = "session",
    responses((status = 200, description = "The emails", body = MailView)),
)]
pub async fn get_mail(
    SignedIn(account): SignedIn,
    State(letters): State<Arc<Letters>>,
) -> Result<axum::Json<MailView>, Problem> {
    let off = letters.off(account.id).await?;
    Ok(axum::Json(MailView::new(letters.is_on(), &off)))
}

/// The emails that an account does not want.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMailPreferences {
    /// The kinds to turn off; the others are on.
    #[schema(example = json!(["summary"]))]
    off: Vec<String>,
}

/// Sets which emails the account that is signed in gets.
#[utoipa::path(
    put, path = "/api/account/mail", tag = "session",
    request_body = NewMailPreferences,
    responses((status = 200, description = "Set", body = MailView)),
)]
pub async fn put_mail(
    SignedIn(account): SignedIn,
    State(letters): State<Arc<Letters>>,
    Json(new): Json<NewMailPreferences>,
) -> Result<axum::Json<MailView>, Problem> {
    let (mut off, mut fields) = (Vec::new(), Fields::default());
    for (place, word) in new.off.iter().enumerate() {
        match LetterKind::parse(word) {
            Some(kind) if off.contains(&kind) => {}
            Some(kind) => off.push(kind),
            None => {
                let values = LetterKind::WORDS.to_vec();
                fields.add(&format!("off[{place}]"), FieldError::NotOneOf { values });
            }
        }
    }
    fields.check()?;
    letters.turn_off(account.id, off.clone()).await?;
    Ok(axum::Json(MailView::new(letters.is_on(), &off)))
}
