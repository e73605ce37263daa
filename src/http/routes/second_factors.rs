//! Second factors of the account that is signed in, and the second step of signing in.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode, response::Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    domain::{grants::Role, ids::AccountId, mail::SecurityChange},
    http::{
        HttpState,
        auth::{Administering, Confirmed, InPerson, OwnSession, SettingUp},
        badges,
        extract::{Json, Path},
        field_error::FieldError,
        limits::{MayGuess, problem_with_headers, with_headers},
        problem::{Code, Fields, Problem},
        relying_party::PublicOrigin,
        session::{Cookies, SetCookies},
        views::{
            accounts::{AccountLookup, SessionView},
            second_factors::{ChallengeView, SecondFactorsView},
        },
    },
    service::{
        accounts::Accounts,
        messages::Letters,
        second_factor::{Proof, SecondFactorError, SecondFactorService, SecurityPolicy},
    },
};

impl From<SecondFactorError> for Problem {
    fn from(error: SecondFactorError) -> Self {
        let text = error.to_string();
        match error {
            SecondFactorError::WrongCode | SecondFactorError::WrongPasskey => {
                Self::new(Code::WrongSecondFactor, text)
            }
            SecondFactorError::TooManyPasskeys | SecondFactorError::NoPassword => {
                Self::new(Code::Conflict, text)
            }
            SecondFactorError::SignInExpired => Self::new(Code::SignInExpired, text),
            // Rounded up, so that a client that waits that long is not too early.
            SecondFactorError::TooManyCodes { wait } => {
                Self::new(Code::TooManyRequests, text).retry_after(wait.as_secs() + 1)
            }
            SecondFactorError::NotBegun
            | SecondFactorError::NotFound
            | SecondFactorError::NotLinked => Self::new(Code::NotFound, text),
            SecondFactorError::LastFactor => Self::new(Code::SecondFactorRequired, text),
            SecondFactorError::NoAccount => Self::not_found("account"),
            SecondFactorError::Vault(error) => error.into(),
            SecondFactorError::Store(error) => error.into(),
        }
    }
}

/// Returns the second factors of the account.
#[utoipa::path(
    get, path = "/api/account/second-factor", tag = "session",
    responses((status = 200, description = "The second factors", body = SecondFactorsView)),
)]
pub async fn get_second_factors(
    SettingUp(account): SettingUp,
    State(factors): State<Arc<SecondFactorService>>,
) -> Result<axum::Json<SecondFactorsView>, Problem> {
    Ok(axum::Json(factors.state(&account).await?.into()))
}

/// A new secret for an app that shows one-time codes.
#[derive(Serialize, ToSchema)]
#[schema(title = "TotpSecret")]
pub struct TotpSecretView {
    /// The secret in base32, to be typed into the app.
    #[schema(example = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")]
    secret: String,
    /// The same as an address that opens the app.
    #[schema(
        example = "otpauth://totp/Rollcall:ada%40example.com?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Rollcall"
    )]
    uri: String,
    /// The address as a QR code, an SVG image.
    qr: String,
}

/// Makes a new secret for an app that shows one-time codes (TOTP). It is returned only once, and
/// used after its first code was confirmed within five minutes.
#[utoipa::path(
    post, path = "/api/account/totp", tag = "session",
    responses((status = 201, description = "Made, not yet in use", body = TotpSecretView)),
)]
pub async fn create_totp(
    SettingUp(account): SettingUp,
    _: Confirmed,
    State(factors): State<Arc<SecondFactorService>>,
) -> Result<(StatusCode, axum::Json<TotpSecretView>), Problem> {
    let secret = factors.begin_totp(&account).await?;
    let qr = badges::qr_svg(&secret.uri)
        .ok_or_else(|| Problem::internal("a text too long for a QR code"));
    let view = TotpSecretView {
        qr: qr?,
        secret: secret.text,
        uri: secret.uri,
    };
    Ok((StatusCode::CREATED, axum::Json(view)))
}

/// The first code of an app.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TotpConfirmation {
    /// The six digits that the app shows.
    #[schema(example = "287082")]
    code: String,
}

/// A new set of recovery codes.
#[derive(Serialize, ToSchema)]
#[schema(title = "RecoveryCodes")]
pub struct RecoveryCodesView {
    /// The codes; each signs in once instead of another second factor. They are returned only once.
    #[schema(example = json!(["K7PM-3XQ2-9F4T-0H8W"]))]
    recovery_codes: Vec<String>,
}

/// Confirms a new secret by its first code: from now on, signing in needs a code. Replaces the app
/// before, and all recovery codes. All other sessions end.
#[utoipa::path(
    post, path = "/api/account/totp/confirm", tag = "session",
    request_body = TotpConfirmation,
    responses(
        (status = 200, description = "In use; sets the cookie `rollcall_session` again", body = RecoveryCodesView),
        (status = 403, description = "`wrong_second_factor`: the code is wrong"),
        (status = 404, description = "`not_found`: no secret was made in the last five minutes"),
    ),
)]
pub async fn confirm_totp(
    SettingUp(account): SettingUp,
    OwnSession(session): OwnSession,
    State(accounts): State<Arc<Accounts>>,
    State(factors): State<Arc<SecondFactorService>>,
    cookies: Cookies,
    Json(confirmation): Json<TotpConfirmation>,
) -> Result<(SetCookies, axum::Json<RecoveryCodesView>), Problem> {
    let recovery_codes = factors.confirm_totp(&account, &confirmation.code).await?;
    let renewed = cookies.renew(&accounts, &account, session, SecurityChange::AppAdded);
    let view = axum::Json(RecoveryCodesView { recovery_codes });
    Ok((renewed.await, view))
}

/// Removes the app that shows one-time codes. All other sessions end.
#[utoipa::path(
    delete, path = "/api/account/totp", tag = "session",
    responses(
        (status = 204, description = "Removed"),
        (status = 403, description = "`second_factor_required`: it is the last one, and the account needs one"),
        (status = 404, description = "`not_found`: there is none"),
    ),
)]
pub async fn delete_totp(
    SettingUp(account): SettingUp,
    OwnSession(session): OwnSession,
    _: Confirmed,
    State(accounts): State<Arc<Accounts>>,
    State(factors): State<Arc<SecondFactorService>>,
    cookies: Cookies,
) -> Result<(StatusCode, SetCookies), Problem> {
    factors.remove_totp(&account).await?;
    let renewed = cookies.renew(&accounts, &account, session, SecurityChange::AppRemoved);
    Ok((StatusCode::NO_CONTENT, renewed.await))
}

/// Replaces all recovery codes. All other sessions end.
#[utoipa::path(
    post, path = "/api/account/recovery-codes", tag = "session",
    responses(
        (status = 201, description = "Replaced", body = RecoveryCodesView),
        (status = 404, description = "`not_found`: the account has no other second factor"),
    ),
)]
pub async fn create_recovery_codes(
    SettingUp(account): SettingUp,
    OwnSession(session): OwnSession,
    _: Confirmed,
    State(accounts): State<Arc<Accounts>>,
    State(factors): State<Arc<SecondFactorService>>,
    cookies: Cookies,
) -> Result<(StatusCode, SetCookies, axum::Json<RecoveryCodesView>), Problem> {
    let recovery_codes = factors.renew_recovery_codes(&account).await?;
    let renewed = cookies.renew(&accounts, &account, session, SecurityChange::RecoveryCodes);
    let view = axum::Json(RecoveryCodesView { recovery_codes });
    Ok((StatusCode::CREATED, renewed.await, view))
}

/// The second step of signing in: the ticket, and one proof.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SecondStep {
    /// The ticket that `POST /api/session` returned.
    ticket: String,
    /// The six digits that the app shows.
    #[schema(example = "287082")]
    code: Option<String>,
    /// A recovery code.
    #[schema(example = "K7PM-3XQ2-9F4T-0H8W")]
    recovery_code: Option<String>,
    /// What `toJSON` of the browser's `PublicKeyCredential` returns.
    #[schema(value_type = Option<Object>)]
    credential: Option<Value>,
}

/// A proof of who the person of a session is: the password, or a ticket with one proof.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Confirmation {
    /// The password. For an account with a second factor, it returns a ticket.
    #[schema(example = "correct horse battery", format = "password")]
    password: Option<String>,
    /// The ticket that the password, or `POST /api/session/passkey/begin`, returned.
    ticket: Option<String>,
    /// The six digits that the app shows.
    #[schema(example = "287082")]
    code: Option<String>,
    /// A recovery code.
    #[schema(example = "K7PM-3XQ2-9F4T-0H8W")]
    recovery_code: Option<String>,
    /// What `toJSON` of the browser's `PublicKeyCredential` returns.
    #[schema(value_type = Option<Object>)]
    credential: Option<Value>,
}

impl SecondStep {
    fn proof(&self) -> Result<Proof<'_>, Problem> {
        let excluded = |field, by| Err(Problem::field(field, FieldError::Excluded { by }));
        match (&self.code, &self.recovery_code, &self.credential) {
            (Some(code), None, None) => Ok(Proof::Code(code)),
            (None, Some(code), None) => Ok(Proof::RecoveryCode(code)),
            (None, None, Some(response)) => Ok(Proof::Passkey(response)),
            (None, None, None) => Err(Problem::field("code", FieldError::Required)),
            (Some(_), Some(_), _) => excluded("recovery_code", "code"),
            (Some(_), None, Some(_)) => excluded("credential", "code"),
            (None, Some(_), Some(_)) => excluded("credential", "recovery_code"),
        }
    }
}

/// Takes the second step of signing in.
#[utoipa::path(
    post, path = "/api/session/second-factor", tag = "session",
    request_body = SecondStep,
    responses(
        (status = 200, description = "Signed in; sets the cookie `rollcall_session`", body = SessionView),
        (status = 403, description = "`wrong_second_factor`, or `sign_in_expired`: begin again with the password"),
    ),
    security(()),
)]
pub async fn create_second_step(
    MayGuess(limit): MayGuess,
    State(factors): State<Arc<SecondFactorService>>,
    State(lookup): State<AccountLookup>,
    State(accounts): State<Arc<Accounts>>,
    cookies: Cookies,
    Json(step): Json<SecondStep>,
) -> Result<Response, Problem> {
    let account = factors.answer(&step.ticket, step.proof()?).await;
    let account = account.map_err(|error| problem_with_headers(&limit, error.into()))?;
    let (jar, new) = cookies.sign_in(&accounts, account).await?;
    let view = axum::Json(lookup.session(&new.account, &new.session).await?);
    Ok(with_headers(limit, (jar, view)))
}

/// Proves again who the person of the session is. For 15 minutes, the session may then make changes
/// that answer `confirmation_required` otherwise. Signing in counts as well, with an identity provider
/// only if it says when the person proved it. `GET /api/session/oidc?confirm=true` confirms with the
/// provider.
#[utoipa::path(
    post, path = "/api/session/confirm", tag = "session",
    request_body = Confirmation,
    responses(
        (status = 200, description = "Confirmed", body = SessionView),
        (status = 202, description = "The password is right, and a second factor is needed", body = ChallengeView),
        (status = 403, description = "`wrong_second_factor`, or `sign_in_expired`: begin again"),
        (status = 422, description = "`invalid`: the password is wrong"),
    ),
)]
pub async fn confirm_session(
    SettingUp(account): SettingUp,
    OwnSession(session): OwnSession,
    MayGuess(limit): MayGuess,
    State(state): State<HttpState>,
    State(lookup): State<AccountLookup>,
    origin: PublicOrigin,
    Json(confirmation): Json<Confirmation>,
) -> Result<Response, Problem> {
    let (accounts, factors) = (&state.app.accounts, &state.app.second_factors);
    let limited = |problem| problem_with_headers(&limit, problem);
    let Confirmation {
        password,
        ticket,
        code,
        recovery_code,
        credential,
    } = confirmation;
    match (password, ticket) {
        (None, None) => return Err(Problem::field("password", FieldError::Required)),
        (Some(_), Some(_)) => {
            let by = "password";
            return Err(Problem::field("ticket", FieldError::Excluded { by }));
        }
        (Some(password), None) => {
            let checked = accounts.check_password(&account, &session, password.into());
            checked.await.map_err(|error| limited(error.into()))?;
            if let Some(challenge) = factors.challenge(&account, origin.relying_party()).await? {
                let view = axum::Json(ChallengeView::from(&challenge));
                return Ok(with_headers(limit, (StatusCode::ACCEPTED, view)));
            }
        }
        (None, Some(ticket)) => {
            let step = SecondStep {
                ticket,
                code,
                recovery_code,
                credential,
            };
            let proved = factors.prove(&account, &step.ticket, step.proof()?);
            proved.await.map_err(|error| limited(error.into()))?;
        }
    }
    let confirmed = accounts.confirm_session(&session).await;
    let session = confirmed.map_err(|error| limited(error.into()))?;
    let view = axum::Json(lookup.session(&account, &session).await?);
    Ok(with_headers(limit, view))
}

/// Removes all second factors of an account, for a person who lost them, ends its sessions and revokes
/// its API tokens.
#[utoipa::path(
    delete, path = "/api/accounts/{id}/second-factor", tag = "session",
    params(("id" = String, Path, description = "The account")),
    responses(
        (status = 204, description = "Removed"),
        (status = 404, description = "`not_found`: there is no such account, or it has no second factor"),
    ),
)]
pub async fn reset_second_factors(
    InPerson(allowed): InPerson<Administering>,
    _: Confirmed,
    State(accounts): State<Arc<Accounts>>,
    State(factors): State<Arc<SecondFactorService>>,
    State(letters): State<Arc<Letters>>,
    Path(id): Path<AccountId>,
) -> Result<StatusCode, Problem> {
    factors.reset(allowed.actor(), id).await?;
    let account = accounts.find(id).await?;
    letters
        .security(&account, SecurityChange::FactorsRemoved)
        .await;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends the link of an account to a person at the identity provider, ends its sessions and revokes its
/// API tokens. The next person with the address of the account at the provider is linked to it.
#[utoipa::path(
    delete, path = "/api/accounts/{id}/identity", tag = "session",
    params(("id" = String, Path, description = "The account")),
    responses(
        (status = 204, description = "Ended"),
        (status = 404, description = "`not_found`: there is no such account, or it is not linked"),
    ),
)]
pub async fn unlink_identity(
    InPerson(allowed): InPerson<Administering>,
    _: Confirmed,
    State(accounts): State<Arc<Accounts>>,
    State(factors): State<Arc<SecondFactorService>>,
    State(letters): State<Arc<Letters>>,
    Path(id): Path<AccountId>,
) -> Result<StatusCode, Problem> {
    factors.unlink(allowed.actor(), id).await?;
    let account = accounts.find(id).await?;
    letters.security(&account, SecurityChange::Unlinked).await;
    Ok(StatusCode::NO_CONTENT)
}

/// What accounts must have.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "SecurityPolicy")]
pub struct SecurityPolicyView {
    /// The roles that need a second factor: `admin`, `manager`, `viewer`, `employee`.
    #[schema(example = json!(["admin", "manager"]))]
    second_factor_required: Vec<String>,
}

impl From<&SecurityPolicy> for SecurityPolicyView {
    fn from(policy: &SecurityPolicy) -> Self {
        let roles = policy.second_factor_required.iter();
        Self {
            second_factor_required: roles.map(ToString::to_string).collect(),
        }
    }
}

impl SecurityPolicyView {
    fn read(&self) -> Result<SecurityPolicy, Problem> {
        let (mut fields, mut roles) = (Fields::default(), Vec::new());
        for (place, word) in self.second_factor_required.iter().enumerate() {
            match Role::parse(word) {
                Ok(role) if roles.contains(&role) => {}
                Ok(role) => roles.push(role),
                Err(error) => fields.add(&format!("second_factor_required[{place}]"), error),
            }
        }
        fields.check()?;
        Ok(SecurityPolicy {
            second_factor_required: roles,
        })
    }
}

/// Returns which roles need a second factor.
#[utoipa::path(
    get, path = "/api/security-policy", tag = "session",
    responses((status = 200, description = "The policy", body = SecurityPolicyView)),
)]
pub async fn get_security_policy(
    _: InPerson<Administering>,
    State(factors): State<Arc<SecondFactorService>>,
) -> Result<axum::Json<SecurityPolicyView>, Problem> {
    let policy = factors.policy().await?;
    Ok(axum::Json((&policy).into()))
}

/// Changes which roles need a second factor. An account of these roles that has none can only set
/// one up.
#[utoipa::path(
    put, path = "/api/security-policy", tag = "session",
    request_body = SecurityPolicyView,
    responses((status = 200, description = "Changed", body = SecurityPolicyView)),
)]
pub async fn put_security_policy(
    InPerson(allowed): InPerson<Administering>,
    _: Confirmed,
    State(factors): State<Arc<SecondFactorService>>,
    Json(view): Json<SecurityPolicyView>,
) -> Result<axum::Json<SecurityPolicyView>, Problem> {
    let policy = view.read()?;
    factors.set_policy(allowed.actor(), &policy).await?;
    Ok(axum::Json((&policy).into()))
}
