//! The first admin.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode, response::Response};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    domain::text::{Email, Name},
    http::{
        extract::Json,
        limits::{MayGuess, problem_with_headers, with_headers},
        problem::{Fields, Problem},
        session::Cookies,
        views::accounts::{AccountLookup, SessionView},
    },
    service::{accounts::Accounts, passwords::check_password},
};

/// Whether the service waits for its first admin.
#[derive(Serialize, ToSchema)]
#[schema(title = "Setup")]
pub struct SetupView {
    /// Whether there is no account yet.
    needed: bool,
}

/// Reports whether the service needs its first admin.
#[utoipa::path(
    get, path = "/api/setup", tag = "session",
    responses((status = 200, description = "Whether set-up is needed", body = SetupView)),
    security(()),
)]
pub async fn get_setup(
    State(accounts): State<Arc<Accounts>>,
) -> Result<axum::Json<SetupView>, Problem> {
    let needed = accounts.needs_setup().await?;
    Ok(axum::Json(SetupView { needed }))
}

/// The first admin, with the token of the link that the service printed when it started.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetupRequest {
    /// The part of the link after `#`.
    token: String,
    /// The email address.
    #[schema(example = "ada@example.com")]
    email: String,
    /// The name by which pages address the person.
    #[schema(example = "Ada")]
    name: String,
    /// 12 to 256 characters that are not easy to guess.
    #[schema(example = "correct horse battery", format = "password")]
    password: String,
}

impl SetupRequest {
    fn read(self) -> Result<(String, Email, Name, SecretString), Problem> {
        let mut fields = Fields::default();
        let email = fields.required("email", Email::parse(&self.email));
        let name = fields.required("name", Name::parse(&self.name));
        let password = SecretString::from(self.password);
        let (Some(email), Some(name)) = (email, name) else {
            return Err(fields.problem());
        };
        let fits = check_password(&password, &email, &name);
        fits.map_err(|error| Problem::field("password", error))?;
        Ok((self.token, email, name, password))
    }
}

/// Creates the first admin and signs in.
#[utoipa::path(
    post, path = "/api/setup", tag = "session",
    request_body = SetupRequest,
    responses(
        (status = 201, description = "Created and signed in; sets the cookie `rollcall_session`", body = SessionView),
        (status = 403, description = "`bad_setup_token`"),
        (status = 409, description = "`already_set_up`"),
    ),
    security(()),
)]
pub async fn create_setup(
    MayGuess(limit): MayGuess,
    State(accounts): State<Arc<Accounts>>,
    State(lookup): State<AccountLookup>,
    cookies: Cookies,
    Json(request): Json<SetupRequest>,
) -> Result<Response, Problem> {
    let (setup_token, email, name, password) = request.read()?;
    let new = accounts
        .set_up(&setup_token, email, name, password, cookies.visitor())
        .await
        .map_err(|error| problem_with_headers(&limit, error.into()))?;
    let jar = cookies.begin(&new);
    let view = axum::Json(lookup.session(&new.account, &new.session).await?);
    Ok(with_headers(limit, (StatusCode::CREATED, jar, view)))
}
