//! The public address of the service: as `PUBLIC_URL` says, or as the request says. Passkeys and
//! identity providers are bound to it.

use std::convert::Infallible;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts, uri::Authority},
};

use super::{
    HttpState,
    context::Client,
    problem::{Code, Problem},
};
use crate::domain::second_factors::RelyingParty;

/// The origin under which the browser of a request reaches the service, such as
/// `https://rollcall.example.com`.
///
/// Without `PUBLIC_URL` it follows from the `Host` of the request, and from the `Origin` if that has
/// the same host, which the layer against requests from other sites checks. A request with a wrong
/// host only harms itself: browsers use passkeys only at the host for which they were made, and a
/// provider returns only to the addresses that it knows.
pub struct PublicOrigin(Option<String>);

impl FromRequestParts<HttpState> for PublicOrigin {
    type Rejection = Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &HttpState,
    ) -> Result<Self, Self::Rejection> {
        if let Some(origin) = &state.settings.public_url {
            return Ok(Self(Some(origin.clone())));
        }
        let tls = Client::from_extensions(&parts.extensions).tls;
        let host = text(&parts.headers, header::HOST);
        let host = host.or(parts.uri.authority().map(Authority::as_str));
        let Some(host) = host else {
            return Ok(Self(None));
        };
        let origin = text(&parts.headers, header::ORIGIN);
        let same = |origin: &&str| {
            let authority = origin.split_once("://").map(|(_, authority)| authority);
            authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
        };
        let origin = origin.filter(same).map(str::to_owned);
        let scheme = if tls { "https" } else { "http" };
        Ok(Self(Some(
            origin.unwrap_or_else(|| format!("{scheme}://{host}")),
        )))
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

impl PublicOrigin {
    /// Returns the address of a path of the service.
    pub fn address(&self, path: &str) -> String {
        let origin = self.0.as_deref().unwrap_or_default();
        format!("{origin}{path}")
    }

    /// Returns the service as passkeys know it; `None` if its address has no host name, such as an
    /// IP address, or is not secure. Browsers offer no passkeys there.
    pub fn relying_party(&self) -> Option<RelyingParty> {
        let url = url::Url::parse(self.0.as_deref()?).ok()?;
        let id = url.domain()?.to_owned();
        let secure = url.scheme() == "https" || id == "localhost" || id.ends_with(".localhost");
        secure.then(|| RelyingParty {
            id,
            origin: url.origin().ascii_serialization(),
        })
    }

    /// Returns the service as passkeys know it.
    ///
    /// # Errors
    /// If browsers offer no passkeys at this address.
    pub fn require_relying_party(&self) -> Result<RelyingParty, Problem> {
        self.relying_party().ok_or_else(|| {
            Problem::new(
                Code::PasskeysUnavailable,
                "browsers offer passkeys only over https, at a host name: open the service there, and set PUBLIC_URL behind a proxy",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passkeys_need_a_host_name_and_https() {
        let party = |origin: &str| {
            let party = PublicOrigin(Some(origin.to_owned())).relying_party();
            party.map(|party| (party.id, party.origin))
        };
        let known = |id: &str, origin: &str| Some((id.to_owned(), origin.to_owned()));
        assert_eq!(
            party("https://Rollcall.example.com:443"),
            known("rollcall.example.com", "https://rollcall.example.com")
        );
        assert_eq!(
            party("http://localhost:8080"),
            known("localhost", "http://localhost:8080")
        );
        for none in [
            "http://rollcall.example.com",
            "https://192.0.2.1",
            "https://[::1]",
            "nonsense",
            "",
        ] {
            assert_eq!(party(none), None, "{none}");
        }
    }
}
