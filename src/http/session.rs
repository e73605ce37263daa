//! The session cookie, and what a browser says of itself.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, header, request::Parts},
    response::AppendHeaders,
};
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};
use jiff::{SignedDuration, Timestamp};
use tracing::warn;

use super::{HttpState, Settings, context::Client, problem::Problem};
use crate::{
    domain::{
        accounts::{Account, Browser, Session},
        mail::SecurityChange,
    },
    service::{
        accounts::{Accounts, NewSession, Visitor},
        messages::Letters,
        tokens::Token,
    },
};

/// The name of the cookie without TLS.
pub const COOKIE: &str = "rollcall_session";

/// The name over TLS. Browsers accept the prefix only from the host itself over TLS, so no other
/// host of the domain and no attacker in the network can set this cookie.
pub const SECURE_COOKIE: &str = "__Host-rollcall_session";

/// The names of the cookie by which accounts know a browser, without and with TLS.
const KNOWN: [&str; 2] = ["rollcall_browser", "__Host-rollcall_browser"];

/// How long a browser keeps it: the longest time that browsers accept.
const KNOWN_FOR: SignedDuration = SignedDuration::from_hours(400 * 24);

/// The headers that set cookies.
pub type SetCookies = AppendHeaders<Vec<(HeaderName, String)>>;

/// The cookies of a request, and the browser that sent them.
pub struct Cookies {
    jar: CookieJar,
    secure: bool,
    settings: Arc<Settings>,
    letters: Arc<Letters>,
    browser: Browser,
    now: Timestamp,
}

impl Cookies {
    /// Reads the cookies of a request.
    pub fn from_parts(parts: &Parts, state: &HttpState) -> Self {
        let client = Client::from_extensions(&parts.extensions);
        Self {
            jar: CookieJar::from_headers(&parts.headers),
            secure: state.settings.secure_cookies.unwrap_or(client.tls),
            settings: state.settings.clone(),
            letters: state.app.letters.clone(),
            browser: Browser {
                address: client.address,
                description: describe(&parts.headers),
            },
            now: state.clock.now(),
        }
    }

    fn name(&self) -> &'static str {
        match self.secure {
            true => SECURE_COOKIE,
            false => COOKIE,
        }
    }

    /// Returns the session token that the browser sent. Over TLS, only the cookie with the prefix
    /// counts.
    pub fn session(&self) -> Option<&str> {
        self.jar.get(self.name()).map(Cookie::value)
    }

    /// Returns the browser.
    pub fn visitor(&self) -> Visitor {
        let known = self.jar.get(KNOWN[usize::from(self.secure)]);
        Visitor {
            browser: self.browser.clone(),
            token: known.and_then(|cookie| Token::read(cookie.value())),
        }
    }

    /// Signs in to an account whose person has just proved who they are. Ends the session that the
    /// browser had.
    pub async fn sign_in(
        self,
        accounts: &Accounts,
        account: Account,
    ) -> Result<(SetCookies, NewSession), Problem> {
        let now = self.now;
        self.sign_in_since(accounts, account, Some(now)).await
    }

    /// Signs in to an account whose person proved at a moment who they are; `None` if it is unknown.
    pub async fn sign_in_since(
        self,
        accounts: &Accounts,
        account: Account,
        proved_at: Option<Timestamp>,
    ) -> Result<(SetCookies, NewSession), Problem> {
        let begun = accounts.begin_session(account, self.visitor(), proved_at);
        let new = begun.await?;
        if !new.familiar {
            let (address, browser) = (self.browser.address.to_string(), &self.browser.description);
            let browser = browser.as_deref().unwrap_or("unknown");
            let written = self.letters.sign_in(&new.account, &address, browser).await;
            if let Err(error) = written {
                warn!(%error, "could not write a letter about a sign-in");
            }
        }
        if let Some(old) = self.session() {
            accounts.sign_out(old).await?;
        }
        Ok((self.begin(&new), new))
    }

    /// Writes to the person of an account about a change of how they sign in, and ends all other
    /// sessions. The change is made already and may have made recovery codes that are shown only now,
    /// so that a failure here is logged and not returned.
    pub async fn renew(
        self,
        accounts: &Accounts,
        account: &Account,
        session: Session,
        change: SecurityChange,
    ) -> SetCookies {
        self.letters.security(account, change).await;
        match accounts.end_other_sessions(account, session).await {
            Ok(new) => self.begin(&new),
            Err(error) => {
                warn!(%error, account = %account.id, "could not end the other sessions of an account");
                set([])
            }
        }
    }

    /// Sets the cookie of a session, and the one by which its account knows the browser. Scripts and
    /// other sites' requests cannot use them, and they are not sent in the clear where TLS is in use.
    pub fn begin(self, new: &NewSession) -> SetCookies {
        let age = new.session.expires_at.duration_since(self.now);
        let age = (!self.settings.cookies_end_with_browser).then_some(age);
        let session = self.cookie(self.name(), new.token.reveal(), age);
        let known = KNOWN[usize::from(self.secure)];
        let browser = new.browser.as_ref();
        let browser = browser.map(|token| self.cookie(known, token.reveal(), Some(KNOWN_FOR)));
        set([session].into_iter().chain(browser))
    }

    /// Removes the cookie of the session.
    pub fn end(self) -> SetCookies {
        let mut cookie = self.cookie(self.name(), "", None);
        cookie.make_removal();
        set([cookie])
    }

    fn cookie(
        &self,
        name: &'static str,
        value: &str,
        age: Option<SignedDuration>,
    ) -> Cookie<'static> {
        let cookie = Cookie::build((name, value.to_owned()))
            .path("/")
            .http_only(true)
            .same_site(if self.settings.strict_cookies {
                SameSite::Strict
            } else {
                SameSite::Lax
            })
            .secure(self.secure);
        // With an age that a cookie cannot express, it ends with the browser.
        let age = age
            .and_then(|age| Duration::try_from(age).ok())
            .and_then(|age| age.try_into().ok());
        match age {
            Some(age) => cookie.max_age(age).build(),
            None => cookie.build(),
        }
    }
}

impl FromRequestParts<HttpState> for Cookies {
    type Rejection = Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &HttpState,
    ) -> Result<Self, Self::Rejection> {
        Ok(Self::from_parts(parts, state))
    }
}

fn set(cookies: impl IntoIterator<Item = Cookie<'static>>) -> SetCookies {
    let headers = cookies.into_iter();
    AppendHeaders(
        headers
            .map(|one| (header::SET_COOKIE, one.to_string()))
            .collect(),
    )
}

/// Words in `User-Agent` and the programs that send them. Programs also name those that they are
/// derived from, so the first one counts.
const PROGRAMS: [(&str, &str); 10] = [
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
    ("curl/", "curl"),
    ("python", "Python"),
];

/// The same for systems.
const SYSTEMS: [(&str, &str); 7] = [
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("CrOS", "ChromeOS"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
];

/// Describes the program that sent a request, such as `Firefox on Windows`.
fn describe(headers: &HeaderMap) -> Option<String> {
    let agent = headers.get(header::USER_AGENT)?.to_str().ok()?;
    let first = |words: &[(&str, &'static str)]| {
        let found = words.iter().find(|(word, _)| agent.contains(word));
        found.map(|(_, name)| *name)
    };
    match (first(&PROGRAMS), first(&SYSTEMS)) {
        (Some(program), Some(system)) => Some(format!("{program} on {system}")),
        (program, system) => program.or(system).map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_described_in_few_words() {
        for (agent, expected) in [
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0",
                Some("Firefox on Windows"),
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15",
                Some("Safari on macOS"),
            ),
            (
                "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36",
                Some("Chrome on Android"),
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0",
                Some("Edge on Windows"),
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/142.0 Mobile/15E148 Safari/604.1",
                Some("Chrome on iPhone"),
            ),
            ("curl/8.5.0", Some("curl")),
            ("<script>alert(1)</script>", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::USER_AGENT, agent.parse().unwrap());
            assert_eq!(describe(&headers).as_deref(), expected, "{agent}");
        }
        assert_eq!(describe(&HeaderMap::new()), None);
    }
}
