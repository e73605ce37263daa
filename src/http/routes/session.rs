//! Signing in and out.

use std::sync::Arc;

use axum::{Extension, extract::State, http::StatusCode, response::Response};
use axum_extra::extract::CookieJar;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::time;
use crate::{
    domain::accounts::{Account, Session},
    http::{
        HttpState,
        auth::SignedIn,
        context::Client,
        extract::{Json, Path},
        limits::{MayGuess, also, with_headers},
        page::List,
        problem::Problem,
        session,
    },
    service::{accounts::Accounts, tokens},
};

/// Somebody who signs in.
#[derive(Serialize, ToSchema)]
#[schema(title = "Account")]
pub struct AccountView {
    /// Identity.
    #[schema(format = "uuid", example = "0199f3a0-7c1e-7d5a-9f0e-2b7f6f0c1a2b")]
    id: String,
    /// E-mail address.
    #[schema(example = "ada@example.com")]
    email: String,
    /// How they are addressed.
    #[schema(example = "Ada")]
    name: String,
    /// What they may do: `admin`, `manager` or `viewer`.
    #[schema(example = "admin")]
    role: &'static str,
}

/// Who is signed in.
#[derive(Serialize, ToSchema)]
#[schema(title = "Session")]
pub struct SessionView {
    account: AccountView,
}

impl From<&Account> for SessionView {
    fn from(account: &Account) -> Self {
        Self {
            account: AccountView {
                id: account.id.to_string(),
                email: account.email.to_string(),
                name: account.name.to_string(),
                role: account.role.as_str(),
            },
        }
    }
}

/// E-mail address and password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// E-mail address.
    #[schema(example = "ada@example.com")]
    email: String,
    /// Password.
    #[schema(example = "correct horse battery", format = "password")]
    password: String,
}

/// Signs in.
#[utoipa::path(
    post, path = "/api/session", tag = "session",
    request_body = Credentials,
    responses(
        (status = 200, description = "Signed in; the cookie `rollcall_session` is set", body = SessionView),
        (status = 401, description = "`bad_credentials`"),
    ),
)]
pub async fn create_session(
    MayGuess(limit): MayGuess,
    State(accounts): State<Arc<Accounts>>,
    State(state): State<HttpState>,
    Extension(client): Extension<Client>,
    jar: CookieJar,
    Json(credentials): Json<Credentials>,
) -> Result<Response, Problem> {
    let (account, token) = accounts
        .sign_in(&credentials.email, credentials.password.into())
        .await
        .map_err(|error| also(&limit, error.into()))?;
    if let Some(old) = session::token(&jar) {
        accounts.sign_out(old).await?;
    }
    let jar = session::begin(jar, &token, accounts.session_age(), client, &state.settings);
    let view = axum::Json(SessionView::from(&account));
    Ok(with_headers(limit, (jar, view)))
}

/// Who is signed in.
#[utoipa::path(
    get, path = "/api/session", tag = "session",
    responses((status = 200, description = "Who it is", body = SessionView)),
    security(("session" = [])),
)]
pub async fn get_session(SignedIn(account): SignedIn) -> axum::Json<SessionView> {
    axum::Json((&account).into())
}

/// A signed-in browser.
#[derive(Serialize, ToSchema)]
#[schema(title = "SignedInBrowser")]
pub struct BrowserView {
    /// What it is called; of no use to sign in with.
    #[schema(example = "5f0c3b5c9d6e4f7a8b1c2d3e4f5a6b7c")]
    id: String,
    /// When they signed in.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it ends by itself.
    #[schema(format = DateTime)]
    expires_at: String,
    /// Whether it is the one that asks.
    current: bool,
}

/// Where one is signed in.
#[utoipa::path(
    get, path = "/api/sessions", tag = "session",
    responses((status = 200, description = "The newest first", body = List<BrowserView>)),
    security(("session" = [])),
)]
pub async fn list_sessions(
    SignedIn(account): SignedIn,
    State(accounts): State<Arc<Accounts>>,
    jar: CookieJar,
) -> Result<axum::Json<List<BrowserView>>, Problem> {
    let own = session::token(&jar).map(tokens::hash);
    let view = |session: &Session| BrowserView {
        id: session.id(),
        created_at: time(session.created_at),
        expires_at: time(session.expires_at),
        current: own == Some(session.hash),
    };
    let sessions = accounts.sessions(account.id).await?;
    Ok(axum::Json(List {
        items: sessions.iter().map(view).collect(),
        next: None,
    }))
}

/// Ends one of one's sessions, on every instance at once.
#[utoipa::path(
    delete, path = "/api/sessions/{id}", tag = "session",
    params(("id" = String, Path, description = "The session")),
    responses(
        (status = 204, description = "It has ended"),
        (status = 404, description = "`not_found`"),
    ),
    security(("session" = [])),
)]
pub async fn end_session(
    SignedIn(account): SignedIn,
    State(accounts): State<Arc<Accounts>>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    if accounts.end_session(account.id, &id).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::not_found("session"))
    }
}

/// Signs out. Nothing happens to somebody who is not signed in.
#[utoipa::path(
    delete, path = "/api/session", tag = "session",
    responses((status = 204, description = "Signed out")),
)]
pub async fn delete_session(
    State(accounts): State<Arc<Accounts>>,
    State(state): State<HttpState>,
    Extension(client): Extension<Client>,
    jar: CookieJar,
) -> Result<(StatusCode, CookieJar), Problem> {
    if let Some(token) = session::token(&jar) {
        accounts.sign_out(token).await?;
    }
    let jar = session::end(jar, client, &state.settings);
    Ok((StatusCode::NO_CONTENT, jar))
}
