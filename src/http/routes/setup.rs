//! The first admin.

use std::sync::Arc;

use axum::{Extension, extract::State, http::StatusCode, response::Response};
use axum_extra::extract::CookieJar;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::session::SessionView;
use crate::{
    domain::text::{Email, Name},
    http::{
        HttpState,
        context::Client,
        extract::Json,
        limits::{MayGuess, also, with_headers},
        problem::{Fields, Problem},
        session,
    },
    service::accounts::{self, Accounts},
};

/// Whether the service waits for its first admin.
#[derive(Serialize, ToSchema)]
#[schema(title = "Setup")]
pub struct SetupView {
    needed: bool,
}

/// Whether there is no account yet.
#[utoipa::path(
    get, path = "/api/setup", tag = "session",
    responses((status = 200, description = "Whether set-up is needed", body = SetupView)),
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
    /// What follows the `#` in the link.
    token: String,
    /// E-mail address.
    #[schema(example = "ada@example.com")]
    email: String,
    /// How to address them.
    #[schema(example = "Ada")]
    name: String,
    /// 10 to 256 characters.
    #[schema(example = "correct horse battery", format = "password")]
    password: String,
}

/// Makes the first admin and signs in.
#[utoipa::path(
    post, path = "/api/setup", tag = "session",
    request_body = SetupRequest,
    responses(
        (status = 201, description = "Made and signed in; the cookie `rollcall_session` is set", body = SessionView),
        (status = 403, description = "`bad_setup_token`"),
        (status = 409, description = "`already_set_up`"),
    ),
)]
pub async fn create_setup(
    MayGuess(limit): MayGuess,
    State(accounts): State<Arc<Accounts>>,
    State(state): State<HttpState>,
    Extension(client): Extension<Client>,
    jar: CookieJar,
    Json(request): Json<SetupRequest>,
) -> Result<Response, Problem> {
    let mut fields = Fields::default();
    let email = fields.take("email", Email::parse(&request.email));
    let name = fields.take("name", Name::parse(&request.name));
    let password = SecretString::from(request.password);
    let fits = fields.take("password", accounts::check_password(&password));
    let (Some(email), Some(name), Some(())) = (email, name, fits) else {
        return Err(fields.problem());
    };
    let (account, token) = accounts
        .set_up(&request.token, email, name, password)
        .await
        .map_err(|error| also(&limit, error.into()))?;
    let jar = session::begin(jar, &token, accounts.session_age(), client, &state.settings);
    let view = axum::Json(SessionView::from(&account));
    Ok(with_headers(limit, (StatusCode::CREATED, jar, view)))
}
