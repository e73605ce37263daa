//! Who asks, and whether they may. [`Allowed`] can only be made by the extractor that checked
//! the permission, so a handler that takes one cannot forget to.

use std::marker::PhantomData;

use axum::{
    extract::FromRequestParts,
    http::{HeaderValue, header, request::Parts},
};
use axum_extra::extract::CookieJar;

use super::{
    HttpState,
    problem::{Code, Problem},
    session,
};
use crate::domain::{
    accounts::{Account, Actor, Permission},
    devices::Device,
};

/// Something that is allowed or not, as a type.
pub trait Permit: Send + Sync {
    /// Which permission.
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
    /// Read employees, punches, what is enrolled.
    Reading => Read;
    /// Add and change employees.
    Correcting => Correct;
    /// Enroll faces, delete templates.
    Enrolling => Enroll;
    /// Manage devices, delete employees.
    Administering => Administer;
    /// Identify and verify without a punch.
    Identifying => Identify;
    /// Look at pictures of punches and of unknown faces.
    Looking => Look;
    /// Punch with a face.
    Punching => Punch;
}

/// Who sent a request.
#[derive(Debug, Clone)]
pub enum Caller {
    /// Somebody who is signed in.
    Account(Account),
    /// A device, by its token.
    Device(Device),
}

impl Caller {
    /// Devices may punch and identify, nothing else; accounts what their role says.
    fn permits(&self, permission: Permission) -> bool {
        match self {
            Self::Account(account) => account.role.permits(permission),
            Self::Device(_) => matches!(permission, Permission::Punch | Permission::Identify),
        }
    }
}

/// Finds out who sent the request: a bearer token counts before a cookie.
async fn caller(parts: &mut Parts, state: &HttpState) -> Result<Caller, Problem> {
    if let Some(value) = parts.headers.get(header::AUTHORIZATION) {
        let token = bearer(value).ok_or_else(|| {
            unauthenticated("the Authorization header must read: Bearer TOKEN", true)
        })?;
        let device = state.app.devices.authenticate(token).await?;
        return device
            .map(Caller::Device)
            .ok_or_else(|| unauthenticated("no device has this token, or it was withdrawn", true));
    }
    let jar = CookieJar::from_headers(&parts.headers);
    let Some(token) = session::token(&jar) else {
        return Err(unauthenticated(
            "sign in, or send the token of a device",
            false,
        ));
    };
    let account = state.app.accounts.authenticate(token).await?;
    account
        .map(Caller::Account)
        .ok_or_else(|| unauthenticated("the session has ended: sign in again", false))
}

/// The token of an `Authorization: Bearer` header.
pub fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim())
        .filter(|token| !token.is_empty())
}

/// Says how to authenticate; `refused` when a token was there and is no good (RFC 6750).
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

/// What a device is told that wants more.
fn only_punches() -> Problem {
    Problem::new(Code::Forbidden, "devices may only punch and identify")
}

/// Proof that the caller has a permission.
pub struct Allowed<P> {
    caller: Caller,
    permit: PhantomData<P>,
}

impl<P> Allowed<P> {
    /// Whether the caller may do something else besides.
    pub fn permits(&self, permission: Permission) -> bool {
        self.caller.permits(permission)
    }

    /// Who is signed in.
    ///
    /// # Errors
    /// When it is a device.
    pub fn account(&self) -> Result<&Account, Problem> {
        match &self.caller {
            Caller::Account(account) => Ok(account),
            Caller::Device(_) => Err(only_punches()),
        }
    }

    /// Who, for the audit trail.
    pub fn actor(&self) -> Actor {
        match &self.caller {
            Caller::Account(account) => Actor::Account(account.id),
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
        if !caller.permits(P::PERMISSION) {
            let detail = match &caller {
                Caller::Account(account) => {
                    format!("the role {} does not permit this", account.role.as_str())
                }
                Caller::Device(_) => "devices may only punch and identify".to_owned(),
            };
            return Err(Problem::new(Code::Forbidden, detail));
        }
        Ok(Self {
            caller,
            permit: PhantomData,
        })
    }
}

/// Somebody signed in, whatever their role.
pub struct SignedIn(pub Account);

impl FromRequestParts<HttpState> for SignedIn {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &HttpState,
    ) -> Result<Self, Self::Rejection> {
        match caller(parts, state).await? {
            Caller::Account(account) => Ok(Self(account)),
            Caller::Device(_) => Err(only_punches()),
        }
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
            Caller::Account(_) => Err(Problem::new(Code::Forbidden, "only devices punch")),
        }
    }
}
