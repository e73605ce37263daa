//! Passkeys of the account that is signed in, and signing in with a passkey alone.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode, response::Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    domain::{ids::PasskeyId, mail::SecurityChange, text::Name},
    http::{
        auth::{Confirmed, OwnSession, SettingUp},
        extract::{Json, Path},
        limits::{MayGuess, with_headers},
        problem::{Fields, Problem},
        relying_party::PublicOrigin,
        session::{Cookies, SetCookies},
        views::{
            accounts::{AccountLookup, SessionView},
            second_factors::PasskeyView,
        },
    },
    service::{
        accounts::Accounts,
        second_factor::{PATIENCE, SecondFactorService},
    },
};

/// The beginning of a registration.
#[derive(Serialize, ToSchema)]
#[schema(title = "PasskeyOptions")]
pub struct OptionsView {
    /// What `PublicKeyCredential.parseCreationOptionsFromJSON` takes.
    #[schema(value_type = Object)]
    options: Value,
}

/// Begins to add a passkey. The browser must make it within five minutes.
#[utoipa::path(
    post, path = "/api/account/passkeys/begin", tag = "session",
    responses(
        (status = 200, description = "Begun", body = OptionsView),
        (status = 409, description = "`passkeys_unavailable`: browsers offer no passkeys at this address; `conflict`: the account has the most passkeys, or no password"),
    ),
)]
pub async fn begin_passkey(
    SettingUp(account): SettingUp,
    _: Confirmed,
    State(factors): State<Arc<SecondFactorService>>,
    origin: PublicOrigin,
) -> Result<axum::Json<OptionsView>, Problem> {
    let party = origin.require_relying_party()?;
    let options = factors.begin_passkey(&account, party).await?;
    Ok(axum::Json(OptionsView { options }))
}

/// A passkey that the browser made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPasskey {
    /// The name by which its owner knows it, 1 to 120 characters.
    #[schema(example = "Phone")]
    name: String,
    /// What `toJSON` of the browser's `PublicKeyCredential` returns.
    #[schema(value_type = Object)]
    credential: Value,
}

/// A passkey that was added.
#[derive(Serialize, ToSchema)]
#[schema(title = "AddedPasskey")]
pub struct AddedPasskeyView {
    /// The passkey.
    passkey: PasskeyView,
    /// Ten recovery codes, which are returned only once; null if the account has some.
    recovery_codes: Option<Vec<String>>,
}

/// Adds a passkey, which signs in alone, and as the second step after the password. All other sessions
/// end.
#[utoipa::path(
    post, path = "/api/account/passkeys", tag = "session",
    request_body = NewPasskey,
    responses(
        (status = 201, description = "Added; sets the cookie `rollcall_session` again", body = AddedPasskeyView),
        (status = 403, description = "`wrong_second_factor`: it is not valid, or does not answer what was begun"),
        (status = 404, description = "`not_found`: none was begun in the last five minutes"),
    ),
)]
pub async fn create_passkey(
    SettingUp(account): SettingUp,
    OwnSession(session): OwnSession,
    State(accounts): State<Arc<Accounts>>,
    State(factors): State<Arc<SecondFactorService>>,
    cookies: Cookies,
    Json(new): Json<NewPasskey>,
) -> Result<(StatusCode, SetCookies, axum::Json<AddedPasskeyView>), Problem> {
    let name = read_name(&new.name)?;
    let added = factors.add_passkey(&account, name, &new.credential).await?;
    let (passkey, recovery_codes) = added;
    let view = AddedPasskeyView {
        passkey: (&passkey).into(),
        recovery_codes,
    };
    let renewed = cookies.renew(&accounts, &account, session, SecurityChange::PasskeyAdded);
    Ok((StatusCode::CREATED, renewed.await, axum::Json(view)))
}

fn read_name(name: &str) -> Result<Name, Problem> {
    let mut fields = Fields::default();
    let name = fields.required("name", Name::parse(name));
    name.ok_or_else(|| fields.problem())
}

/// A new name of a passkey.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasskeyName {
    /// The name, 1 to 120 characters.
    #[schema(example = "Phone")]
    name: String,
}

/// Renames a passkey.
#[utoipa::path(
    patch, path = "/api/account/passkeys/{id}", tag = "session",
    params(("id" = String, Path, description = "The passkey")),
    request_body = PasskeyName,
    responses((status = 200, description = "Renamed", body = PasskeyView)),
)]
pub async fn update_passkey(
    SettingUp(account): SettingUp,
    State(factors): State<Arc<SecondFactorService>>,
    Path(id): Path<PasskeyId>,
    Json(change): Json<PasskeyName>,
) -> Result<axum::Json<PasskeyView>, Problem> {
    let name = read_name(&change.name)?;
    let passkey = factors.rename_passkey(&account, id, &name).await?;
    Ok(axum::Json((&passkey).into()))
}

/// Removes a passkey. All other sessions end.
#[utoipa::path(
    delete, path = "/api/account/passkeys/{id}", tag = "session",
    params(("id" = String, Path, description = "The passkey")),
    responses(
        (status = 204, description = "Removed"),
        (status = 403, description = "`second_factor_required`: it is the last second factor, and the account needs one"),
    ),
)]
pub async fn delete_passkey(
    SettingUp(account): SettingUp,
    OwnSession(session): OwnSession,
    _: Confirmed,
    State(accounts): State<Arc<Accounts>>,
    State(factors): State<Arc<SecondFactorService>>,
    cookies: Cookies,
    Path(id): Path<PasskeyId>,
) -> Result<(StatusCode, SetCookies), Problem> {
    factors.remove_passkey(&account, id).await?;
    let change = SecurityChange::PasskeyRemoved;
    let renewed = cookies.renew(&accounts, &account, session, change);
    Ok((StatusCode::NO_CONTENT, renewed.await))
}

/// The beginning of signing in with a passkey.
#[derive(Serialize, ToSchema)]
#[schema(title = "PasskeyChallenge")]
pub struct PasskeyChallengeView {
    /// The secret to send with the response, once.
    ticket: String,
    /// What `PublicKeyCredential.parseRequestOptionsFromJSON` takes.
    #[schema(value_type = Object)]
    options: Value,
    /// Seconds until the ticket expires.
    #[schema(example = 300)]
    expires_in: u64,
}

/// Begins to sign in with a passkey alone: the browser asks which one.
#[utoipa::path(
    post, path = "/api/session/passkey/begin", tag = "session",
    responses(
        (status = 200, description = "Begun", body = PasskeyChallengeView),
        (status = 409, description = "`passkeys_unavailable`: browsers offer no passkeys at this address"),
    ),
    security(()),
)]
pub async fn begin_passkey_sign_in(
    MayGuess(limit): MayGuess,
    State(factors): State<Arc<SecondFactorService>>,
    origin: PublicOrigin,
) -> Result<Response, Problem> {
    let party = origin.require_relying_party()?;
    let (options, ticket) = factors.begin_passkey_sign_in(party).await?;
    let view = axum::Json(PasskeyChallengeView {
        ticket: ticket.reveal().to_owned(),
        options,
        expires_in: PATIENCE.as_secs(),
    });
    Ok(with_headers(limit, view))
}

/// The response of a passkey.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasskeySignIn {
    /// The ticket that `POST /api/session/passkey/begin` returned.
    ticket: String,
    /// What `toJSON` of the browser's `PublicKeyCredential` returns.
    #[schema(value_type = Object)]
    credential: Value,
}

/// Signs in with a passkey alone: it verified its user, so no password is needed.
#[utoipa::path(
    post, path = "/api/session/passkey", tag = "session",
    request_body = PasskeySignIn,
    responses(
        (status = 200, description = "Signed in; sets the cookie `rollcall_session`", body = SessionView),
        (status = 403, description = "`wrong_second_factor`: no account has the passkey, or its response is not valid; `sign_in_expired`: begin again"),
    ),
    security(()),
)]
pub async fn create_passkey_session(
    State(factors): State<Arc<SecondFactorService>>,
    State(lookup): State<AccountLookup>,
    State(accounts): State<Arc<Accounts>>,
    cookies: Cookies,
    Json(sign_in): Json<PasskeySignIn>,
) -> Result<(SetCookies, axum::Json<SessionView>), Problem> {
    let account = factors.passkey_sign_in(&sign_in.ticket, &sign_in.credential);
    let account = account.await?;
    let (jar, new) = cookies.sign_in(&accounts, account).await?;
    Ok((
        jar,
        axum::Json(lookup.session(&new.account, &new.session).await?),
    ))
}
