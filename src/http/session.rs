//! The session cookie.

use std::time::Duration;

use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};
use jiff::SignedDuration;

use super::{Settings, context::Client};
use crate::service::tokens::Token;

/// The name of the cookie.
pub const COOKIE: &str = "rollcall_session";

/// Returns the token that the browser sent.
pub fn token(jar: &CookieJar) -> Option<&str> {
    jar.get(COOKIE).map(Cookie::value)
}

/// Sets the cookie. Scripts and other sites' requests cannot use it, and it is not sent in the
/// clear where TLS is in use.
pub fn begin(
    jar: CookieJar,
    token: &Token,
    age: SignedDuration,
    client: Client,
    settings: &Settings,
) -> CookieJar {
    let age = (!settings.cookies_end_with_browser).then_some(age);
    jar.add(cookie(token.reveal(), age, client, settings))
}

/// Removes the cookie.
pub fn end(jar: CookieJar, client: Client, settings: &Settings) -> CookieJar {
    let mut cookie = cookie("", None, client, settings);
    cookie.make_removal();
    jar.add(cookie)
}

fn cookie(
    value: &str,
    age: Option<SignedDuration>,
    client: Client,
    settings: &Settings,
) -> Cookie<'static> {
    let cookie = Cookie::build((COOKIE, value.to_owned()))
        .path("/")
        .http_only(true)
        .same_site(if settings.strict_cookies {
            SameSite::Strict
        } else {
            SameSite::Lax
        })
        .secure(settings.secure_cookies.unwrap_or(client.tls));
    // With an age that a cookie cannot express, it ends with the browser.
    let age = age
        .and_then(|age| Duration::try_from(age).ok())
        .and_then(|age| age.try_into().ok());
    match age {
        Some(age) => cookie.max_age(age).build(),
        None => cookie.build(),
    }
}
