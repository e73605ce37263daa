//! Signing in and out.

use std::sync::Arc;

use axum::{
    Extension,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use axum_extra::extract::CookieJar;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    domain::accounts::Session,
    http::{
        HttpState,
        auth::SignedIn,
        context::Client,
        extract::{Json, Path},
        field_error::FieldError,
        limits::{MayGuess, problem_with_headers, with_headers},
        page::List,
        problem::{Code, Problem},
        session,
        views::{
            accounts::{AccountLookup, SessionView},
            time,
        },
    },
    ports::StoreError,
    service::{
        accounts::{AccountError, Accounts, PASSWORD_LEAST, PASSWORD_MOST},
        tokens,
    },
};

impl From<AccountError> for Problem {
    fn from(error: AccountError) -> Self {
        let text = error.to_string();
        match error {
            AccountError::BadCredentials => Self::new(Code::BadCredentials, text).header(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"rollcall\""),
            ),
            AccountError::BadSetupToken => Self::new(Code::BadSetupToken, text),
            AccountError::AlreadySetUp => Self::new(Code::AlreadySetUp, text),
            AccountError::EmailTaken | AccountError::EmployeeTaken | AccountError::NoGrant => {
                Self::new(Code::Conflict, text)
            }
            AccountError::NoAccount => Self::new(Code::NotFound, text),
            AccountError::NotFound => Self::not_found("account"),
            AccountError::NoEmployee => Self::field("employee", FieldError::UnknownEmployee),
            AccountError::NoSite => Self::field("grants", FieldError::UnknownSite),
            AccountError::LastAdmin => Self::new(Code::LastAdmin, text),
            AccountError::Raced => StoreError::Conflict.into(),
            AccountError::BadPassword => Self::field(
                "password",
                FieldError::WrongLength {
                    least: PASSWORD_LEAST,
                    most: PASSWORD_MOST,
                },
            ),
            AccountError::Hashing => Self::internal(text),
            AccountError::Store(error) => error.into(),
        }
    }
}

/// Email address and password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// The email address.
    #[schema(example = "ada@example.com")]
    email: String,
    /// The password.
    #[schema(example = "correct horse battery", format = "password")]
    password: String,
}

/// Signs in.
#[utoipa::path(
    post, path = "/api/session", tag = "session",
    request_body = Credentials,
    responses(
        (status = 200, description = "Signed in; sets the cookie `rollcall_session`", body = SessionView),
        (status = 401, description = "`bad_credentials`"),
    ),
)]
pub async fn create_session(
    MayGuess(limit): MayGuess,
    State(accounts): State<Arc<Accounts>>,
    State(lookup): State<AccountLookup>,
    State(state): State<HttpState>,
    Extension(client): Extension<Client>,
    jar: CookieJar,
    Json(credentials): Json<Credentials>,
) -> Result<Response, Problem> {
    let (account, token) = accounts
        .sign_in(&credentials.email, credentials.password.into())
        .await
        .map_err(|error| problem_with_headers(&limit, error.into()))?;
    if let Some(old) = session::token(&jar) {
        accounts.sign_out(old).await?;
    }
    let jar = session::begin(jar, &token, accounts.session_age(), client, &state.settings);
    let view = axum::Json(lookup.session(&account).await?);
    Ok(with_headers(limit, (jar, view)))
}

/// Returns the account that is signed in, and its permissions.
#[utoipa::path(
    get, path = "/api/session", tag = "session",
    responses((status = 200, description = "The account", body = SessionView)),
    security(("session" = [])),
)]
pub async fn get_session(
    SignedIn(account): SignedIn,
    State(lookup): State<AccountLookup>,
) -> Result<axum::Json<SessionView>, Problem> {
    Ok(axum::Json(lookup.session(&account).await?))
}

/// A browser that is signed in.
#[derive(Serialize, ToSchema)]
#[schema(title = "SignedInBrowser")]
pub struct BrowserView {
    /// The ID of the session; it is not its token.
    #[schema(example = "5f0c3b5c9d6e4f7a8b1c2d3e4f5a6b7c")]
    id: String,
    /// When the account signed in.
    #[schema(format = DateTime)]
    created_at: String,
    /// When the session expires.
    #[schema(format = DateTime)]
    expires_at: String,
    /// Whether this is the session of the request.
    current: bool,
}

/// Lists the sessions of the account.
#[utoipa::path(
    get, path = "/api/sessions", tag = "session",
    responses((status = 200, description = "The sessions, newest first", body = List<BrowserView>)),
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

/// Ends a session of the account, on all instances at once.
#[utoipa::path(
    delete, path = "/api/sessions/{id}", tag = "session",
    params(("id" = String, Path, description = "The session")),
    responses(
        (status = 204, description = "Ended"),
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

/// Signs out. Without a session it does nothing.
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
