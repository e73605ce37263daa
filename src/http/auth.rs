//! Authentication and permissions. Only the extractor that checked a permission can make an
//! [`Allowed`], so a handler that takes one cannot forget the check.

use std::marker::PhantomData;

use axum::{
    extract::FromRequestParts,
    http::{HeaderValue, header, request::Parts},
};

use super::{
    HttpState,
    problem::{Code, Problem},
    session::Cookies,
};
use crate::domain::{
    accounts::{Account, Actor, Session},
    attendance::Origin,
    devices::Device,
    grants::{Permission, Reach, Scope},
    ids::{ApiTokenId, EmployeeId},
};
use crate::service::tokens;

/// A permission as a type.
pub trait Permit: Send + Sync {
    /// The permission.
    const PERMISSION: Permission;
}

macro_rules! permits {
    ($($(#[$doc:meta])* $name:ident => $permission:ident;)+) => {$(
        $(#[$doc])*
        pub struct $name;

        impl Permit for $name {
            const PERMISSION: Permission = Permission::$permission;
        }
    )+};
}

permits! {
    /// Read employees, punches and templates' descriptions.
    Reading => Read;
    /// See sites, devices, cameras and the state of the service.
    Surveying => Survey;
    /// Add and change employees, rules, plans and leave; correct punches, approve timesheets.
    Correcting => Correct;
    /// Request leave and corrections.
    Requesting => Request;
    /// Invite employees.
    Inviting => Invite;
    /// Enroll faces, delete templates.
    Enrolling => Enroll;
    /// Manage sites, devices, cameras and jobs, delete employees, read the audit trail.
    Administering => Administer;
    /// Identify and verify without a punch.
    Identifying => Identify;
    /// See pictures of punches and of unknown faces.
    Looking => Look;
    /// Punch with a face.
    Punching => Punch;
}

/// The sender of a request.
#[derive(Debug, Clone)]
pub enum Caller {
    /// An account that is signed in.
    Account(Account),
    /// A program with an API token: the account that made it, with the access that the token has.
    Token(Account, ApiTokenId),
    /// A device, identified by its token.
    Device(Device),
}

impl Caller {
    /// Returns the account or device.
    fn origin(&self) -> Origin {
        match self {
            Self::Account(account) | Self::Token(account, _) => Origin::Account(account.id),
            Self::Device(device) => Origin::Device(device.id),
        }
    }

    /// Returns how far a permission reaches; `None` without it. Accounts have those of their
    /// grants. Devices punch and identify everyone who is enrolled, and read no list.
    fn reach(&self, permission: Permission) -> Option<Reach> {
        match self {
            Self::Account(account) | Self::Token(account, _) => account.access.reach(permission),
            Self::Device(_) => Permission::OF_DEVICES
                .contains(&permission)
                .then_some(Reach::Everything),
        }
    }
}

/// Authenticates the sender of a request. Refuses an account that must set up a second factor first.
async fn caller(parts: &mut Parts, state: &HttpState) -> Result<Caller, Problem> {
    let caller = any_caller(parts, state).await?;
    if let Caller::Account(account) | Caller::Token(account, _) = &caller
        && state.app.second_factors.must_set_up(account).await?
    {
        return Err(Problem::new(
            Code::SecondFactorRequired,
            "a role of this account needs a second factor: set one up first",
        ));
    }
    Ok(caller)
}

/// Authenticates the sender of a request. A bearer token counts before a cookie.
async fn any_caller(parts: &mut Parts, state: &HttpState) -> Result<Caller, Problem> {
    if let Some(value) = parts.headers.get(header::AUTHORIZATION) {
        let token = bearer(value).ok_or_else(|| {
            unauthenticated("the Authorization header must be: Bearer TOKEN", true)
        })?;
        if tokens::is_for_api(token) {
            let found = state.app.api_tokens.authenticate(token).await?;
            return found
                .map(|(account, token)| Caller::Token(account, token))
                .ok_or_else(|| {
                    unauthenticated(
                        "the API token is wrong, expired or revoked, or its account is disabled",
                        true,
                    )
                });
        }
        let device = state.app.devices.authenticate(token).await?;
        return device.map(Caller::Device).ok_or_else(|| {
            unauthenticated(
                "no device has this token, or it has ended or was revoked",
                true,
            )
        });
    }
    let cookies = Cookies::from_parts(parts, state);
    let Some(token) = cookies.session() else {
        return Err(unauthenticated(
            "sign in, or send an API token or a device's token",
            false,
        ));
    };
    let found = state.app.accounts.authenticate(token).await?;
    let (account, session) = found.ok_or_else(session_ended)?;
    // For the extractors that need the session itself.
    parts.extensions.insert(session);
    Ok(Caller::Account(account))
}

/// Makes the 401 for a session that ended.
pub fn session_ended() -> Problem {
    unauthenticated("the session has ended: sign in again", false)
}

/// Returns the token of an `Authorization: Bearer` header.
pub fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim())
        .filter(|token| !token.is_empty())
}

/// Makes a 401 with a challenge; `refused` if the request had a token that is not valid (RFC 6750).
pub fn unauthenticated(detail: &str, refused: bool) -> Problem {
    let challenge = if refused {
        "Bearer realm=\"rollcall\", error=\"invalid_token\""
    } else {
        "Bearer realm=\"rollcall\""
    };
    Problem::new(Code::Unauthenticated, detail).header(
        header::WWW_AUTHENTICATE,
        HeaderValue::from_static(challenge),
    )
}

/// Makes the 403 for a device that asks for anything else.
fn forbidden_to_devices() -> Problem {
    Problem::new(Code::Forbidden, "devices may only punch and identify")
}

/// Makes the 403 for a program whose token does not permit something.
fn forbidden_to_token() -> Problem {
    Problem::new(
        Code::Forbidden,
        "the API token does not permit this: make one with the permission, if your account has it",
    )
}

/// Makes the 403 for a program that asks for something that only people do.
fn forbidden_to_programs() -> Problem {
    Problem::new(
        Code::Forbidden,
        "an API token may not do this: sign in with an account",
    )
}

/// Makes the 403 for an account whose grants do not permit something.
fn forbidden_to_roles(account: &Account) -> Problem {
    let mut roles: Vec<_> = account
        .access
        .grants()
        .map(|one| one.role().as_str())
        .collect();
    roles.dedup();
    let detail = match roles[..] {
        [role] => format!("the role {role} does not permit this"),
        _ => format!("the roles {} do not permit this", roles.join(", ")),
    };
    Problem::new(Code::Forbidden, detail)
}

/// Proof that the caller has a permission, and how far it reaches.
pub struct Allowed<P> {
    caller: Caller,
    reach: Reach,
    permit: PhantomData<P>,
}

impl<P> Allowed<P> {
    /// Returns the records that the permission covers. Every list takes it, and what it does not
    /// cover does not exist for the caller.
    pub fn reach(&self) -> &Reach {
        &self.reach
    }

    /// Checks another permission of the caller.
    pub fn permits(&self, permission: Permission) -> bool {
        self.caller.reach(permission).is_some()
    }

    /// Returns the records that another permission of the caller covers; none without it.
    pub fn reach_of(&self, permission: Permission) -> Reach {
        self.caller.reach(permission).unwrap_or_else(Reach::nothing)
    }

    /// Returns the account that is signed in, or that made the API token. Its access is that of the
    /// caller.
    ///
    /// # Errors
    /// If the caller is a device.
    pub fn account(&self) -> Result<&Account, Problem> {
        match &self.caller {
            Caller::Account(account) | Caller::Token(account, _) => Ok(account),
            Caller::Device(_) => Err(forbidden_to_devices()),
        }
    }

    /// Returns the caller as the sender of samples.
    pub fn sender(&self) -> Origin {
        self.caller.origin()
    }

    /// Returns the caller for the audit trail.
    pub fn actor(&self) -> Actor {
        match &self.caller {
            Caller::Account(account) => Actor::Account(account.id),
            Caller::Token(account, token) => Actor::Token {
                account: account.id,
                token: *token,
            },
            Caller::Device(device) => Actor::Device(device.id),
        }
    }
}

impl<P: Permit> FromRequestParts<HttpState> for Allowed<P> {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &HttpState,
    ) -> Result<Self, Self::Rejection> {
        let caller = caller(parts, state).await?;
        match caller.reach(P::PERMISSION) {
            Some(reach) => {
                // For the extractors of uploads, which run later.
                parts.extensions.insert(caller.origin());
                Ok(Self {
                    caller,
                    reach,
                    permit: PhantomData,
                })
            }
            None => Err(match &caller {
                Caller::Account(account) => forbidden_to_roles(account),
                Caller::Token(..) => forbidden_to_token(),
                Caller::Device(_) => forbidden_to_devices(),
            }),
        }
    }
}

/// A permission of a person who is signed in. Programs do not have it, whatever their API token
/// permits: it guards what would give a program more access, or access for longer.
pub struct InPerson<P>(pub Allowed<P>);

impl<P: Permit> FromRequestParts<HttpState> for InPerson<P> {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &HttpState,
    ) -> Result<Self, Self::Rejection> {
        let allowed = Allowed::from_request_parts(parts, state).await?;
        match &allowed.caller {
            Caller::Account(_) => Ok(Self(allowed)),
            Caller::Token(..) => Err(forbidden_to_programs()),
            Caller::Device(_) => Err(forbidden_to_devices()),
        }
    }
}

/// An account that is signed in, of any role.
pub struct SignedIn(pub Account);

impl FromRequestParts<HttpState> for SignedIn {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &HttpState,
    ) -> Result<Self, Self::Rejection> {
        match caller(parts, state).await? {
            Caller::Account(account) => Ok(Self(account)),
            Caller::Token(..) => Err(forbidden_to_programs()),
            Caller::Device(_) => Err(forbidden_to_devices()),
        }
    }
}

/// An account that is signed in, also one that must set up a second factor first.
pub struct SettingUp(pub Account);

impl FromRequestParts<HttpState> for SettingUp {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &HttpState,
    ) -> Result<Self, Self::Rejection> {
        match any_caller(parts, state).await? {
            Caller::Account(account) => Ok(Self(account)),
            Caller::Token(..) => Err(forbidden_to_token()),
            Caller::Device(_) => Err(forbidden_to_devices()),
        }
    }
}

/// The session of the request.
pub struct OwnSession(pub Session);

impl FromRequestParts<HttpState> for OwnSession {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &HttpState,
    ) -> Result<Self, Self::Rejection> {
        if let Some(session) = parts.extensions.get::<Session>() {
            return Ok(Self(session.clone()));
        }
        let refused = match caller(parts, state).await? {
            Caller::Token(..) => forbidden_to_programs(),
            Caller::Account(_) | Caller::Device(_) => forbidden_to_devices(),
        };
        let session = parts.extensions.get::<Session>().cloned();
        session.map(Self).ok_or(refused)
    }
}

/// Proof that the person of the session proved who they are in the last minutes, for changes that
/// another person at an unattended browser must not make.
pub struct Confirmed;

impl FromRequestParts<HttpState> for Confirmed {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &HttpState,
    ) -> Result<Self, Self::Rejection> {
        let OwnSession(session) = OwnSession::from_request_parts(parts, state).await?;
        match state.app.accounts.is_confirmed(&session) {
            true => Ok(Self),
            false => Err(Problem::new(
                Code::ConfirmationRequired,
                "confirm that it is you at POST /api/session/confirm, then repeat the request",
            )),
        }
    }
}

/// As [`Confirmed`], for changes that programs may make, too: their API token is the proof.
pub struct ConfirmedUnlessProgram;

impl FromRequestParts<HttpState> for ConfirmedUnlessProgram {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &HttpState,
    ) -> Result<Self, Self::Rejection> {
        if !parts.headers.contains_key(header::AUTHORIZATION) {
            Confirmed::from_request_parts(parts, state).await?;
        }
        Ok(Self)
    }
}

/// A device that may punch.
pub struct PunchingDevice(pub Device);

impl FromRequestParts<HttpState> for PunchingDevice {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &HttpState,
    ) -> Result<Self, Self::Rejection> {
        match Allowed::<Punching>::from_request_parts(parts, state)
            .await?
            .caller
        {
            Caller::Device(device) => Ok(Self(device)),
            Caller::Account(_) | Caller::Token(..) => {
                Err(Problem::new(Code::Forbidden, "only devices may punch"))
            }
        }
    }
}

/// An account that is signed in and belongs to an employee, whatever its grants. It covers that
/// employee only.
pub struct Own {
    /// The account.
    pub account: Account,
    /// The employee.
    pub employee: EmployeeId,
    /// The employee's own records.
    pub reach: Reach,
}

impl Own {
    /// Returns the caller for the audit trail.
    pub fn actor(&self) -> Actor {
        Actor::Account(self.account.id)
    }
}

impl FromRequestParts<HttpState> for Own {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &HttpState,
    ) -> Result<Self, Self::Rejection> {
        let SignedIn(account) = SignedIn::from_request_parts(parts, state).await?;
        let Some(employee) = account.access.employee() else {
            return Err(Problem::new(
                Code::NotFound,
                "this account belongs to no employee",
            ));
        };
        Ok(Self {
            reach: Reach::of(Scope::Own, Some(employee)),
            account,
            employee,
        })
    }
}
