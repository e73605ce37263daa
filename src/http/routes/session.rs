//! Signing in and out.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    domain::accounts::Session,
    http::{
        auth::{Confirmed, OwnSession, SettingUp, SignedIn, session_ended},
        extract::{Json, Path},
        field_error::FieldError,
        limits::{MayGuess, format_wait, problem_with_headers, with_headers},
        page::List,
        problem::{Code, Problem},
        relying_party::PublicOrigin,
        session::{Cookies, SetCookies},
        views::{
            accounts::{AccountLookup, SessionView},
            second_factors::ChallengeView,
            time,
        },
    },
    ports::StoreError,
    service::{
        accounts::{AccountError, Accounts},
        passwords::{PASSWORD_LEAST, PASSWORD_MOST, PasswordError},
        second_factor::SecondFactorService,
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
            AccountError::WrongPassword => Self::field("password", FieldError::WrongPassword),
            AccountError::TooManyGuesses { wait } => {
                let wait = wait.as_secs() + 1;
                let detail = format!(
                    "{text}: try again in {}, or ask an admin for a link to set a new one",
                    format_wait(wait)
                );
                Self::new(Code::TooManyRequests, detail).retry_after(wait)
            }
            AccountError::SessionEnded => session_ended(),
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
            AccountError::BadPassword(error) => Self::field("password", error),
            AccountError::Hashing => Self::internal(text),
            AccountError::Store(error) => error.into(),
        }
    }
}

impl From<PasswordError> for FieldError {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Length => Self::WrongLength {
                least: PASSWORD_LEAST,
                most: PASSWORD_MOST,
            },
            PasswordError::Contains(word) => Self::PasswordContains { word },
            PasswordError::Guessable(advice) => Self::EasilyGuessed { advice },
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

/// Signs in. An account with a second factor gets a ticket for the second step:
/// `POST /api/session/second-factor`.
#[utoipa::path(
    post, path = "/api/session", tag = "session",
    request_body = Credentials,
    responses(
        (status = 200, description = "Signed in; sets the cookie `rollcall_session`", body = SessionView),
        (status = 202, description = "The password is right, and a second factor is needed", body = ChallengeView),
        (status = 401, description = "`bad_credentials`"),
        (status = 429, description = "`too_many_requests`: this address tried too often, or too many wrong passwords were tried for the account from browsers that never signed in to it"),
    ),
    security(()),
)]
pub async fn create_session(
    MayGuess(limit): MayGuess,
    State(accounts): State<Arc<Accounts>>,
    State(factors): State<Arc<SecondFactorService>>,
    State(lookup): State<AccountLookup>,
    origin: PublicOrigin,
    cookies: Cookies,
    Json(credentials): Json<Credentials>,
) -> Result<Response, Problem> {
    let account = accounts
        .check_credentials(
            &credentials.email,
            credentials.password.into(),
            &cookies.visitor(),
        )
        .await
        .map_err(|error| problem_with_headers(&limit, error.into()))?;
    if let Some(challenge) = factors.challenge(&account, origin.relying_party()).await? {
        let view = axum::Json(ChallengeView::from(&challenge));
        return Ok(with_headers(limit, (StatusCode::ACCEPTED, view)));
    }
    let signed_in = cookies.sign_in(&accounts, account).await;
    let (jar, new) = signed_in.map_err(|problem| problem_with_headers(&limit, problem))?;
    let view = axum::Json(lookup.session(&new.account, &new.session).await?);
    Ok(with_headers(limit, (jar, view)))
}

/// Returns the account that is signed in, and its permissions.
#[utoipa::path(
    get, path = "/api/session", tag = "session",
    responses((status = 200, description = "The account", body = SessionView)),
)]
pub async fn get_session(
    SettingUp(account): SettingUp,
    OwnSession(session): OwnSession,
    State(lookup): State<AccountLookup>,
) -> Result<axum::Json<SessionView>, Problem> {
    Ok(axum::Json(lookup.session(&account, &session).await?))
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
    /// When the session expires, unless it ends earlier without use (`SESSION_IDLE`).
    #[schema(format = DateTime)]
    expires_at: String,
    /// When a request used it last, to within two minutes.
    #[schema(format = DateTime)]
    used_at: String,
    /// The address from which the account signed in.
    #[schema(example = "192.0.2.7")]
    address: Option<String>,
    /// The browser from which the account signed in; null if it is unknown.
    #[schema(example = "Firefox on Windows")]
    browser: Option<String>,
    /// Whether this is the session of the request.
    current: bool,
}

/// Lists the sessions of the account.
#[utoipa::path(
    get, path = "/api/sessions", tag = "session",
    responses((status = 200, description = "The sessions, newest first", body = List<BrowserView>)),
)]
pub async fn list_sessions(
    SignedIn(account): SignedIn,
    OwnSession(own): OwnSession,
    State(accounts): State<Arc<Accounts>>,
) -> Result<axum::Json<List<BrowserView>>, Problem> {
    let view = |session: &Session| {
        let browser = session.browser.as_ref();
        BrowserView {
            id: session.id(),
            created_at: time(session.created_at),
            expires_at: time(session.expires_at),
            used_at: time(session.last_used()),
            address: browser.map(|browser| browser.address.to_string()),
            browser: browser.and_then(|browser| browser.description.clone()),
            current: own.hash == session.hash,
        }
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
    responses((status = 204, description = "Ended")),
)]
pub async fn end_session(
    SignedIn(account): SignedIn,
    _: Confirmed,
    State(accounts): State<Arc<Accounts>>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    if accounts.end_session(account.id, &id).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::not_found("session"))
    }
}

/// Ends all other sessions of the account, on all instances at once.
#[utoipa::path(
    delete, path = "/api/sessions", tag = "session",
    responses((status = 204, description = "Ended; sets the cookie `rollcall_session` again")),
)]
pub async fn end_other_sessions(
    SignedIn(account): SignedIn,
    OwnSession(session): OwnSession,
    _: Confirmed,
    State(accounts): State<Arc<Accounts>>,
    cookies: Cookies,
) -> Result<(StatusCode, SetCookies), Problem> {
    let new = accounts.end_other_sessions(&account, session).await?;
    Ok((StatusCode::NO_CONTENT, cookies.begin(&new)))
}

/// Signs out. Without a session it does nothing.
#[utoipa::path(
    delete, path = "/api/session", tag = "session",
    responses((status = 204, description = "Signed out")),
    security(()),
)]
pub async fn delete_session(
    State(accounts): State<Arc<Accounts>>,
    cookies: Cookies,
) -> Result<(StatusCode, SetCookies), Problem> {
    if let Some(token) = cookies.session() {
        accounts.sign_out(token).await?;
    }
    Ok((StatusCode::NO_CONTENT, cookies.end()))
}
