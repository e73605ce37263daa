//! The context of every request: its ID, the real client, and whether it came over TLS.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    time::Instant,
};

use axum::{
    extract::{ConnectInfo, MatchedPath, Request, State},
    http::{Extensions, HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::Response,
};
use ipnet::IpNet;
use tracing::{Instrument, info, info_span};

use super::HttpState;

/// The header with the ID of a request.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The ID of a request: the client's if it sent a valid one, else a new one.
#[derive(Debug, Clone)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// Returns the ID that [`add_context`] gave the request.
    pub fn from_extensions(extensions: &Extensions) -> Self {
        extensions
            .get::<Self>()
            .cloned()
            .unwrap_or(Self(HeaderValue::from_static("none")))
    }

    /// Reads a client's ID: 1 to 64 letters, digits, `.`, `_` and `-`.
    fn accept(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get(REQUEST_ID)?;
        let allowed = |c: &u8| c.is_ascii_alphanumeric() || b"._-".contains(c);
        let fine = (1..=64).contains(&value.len()) && value.as_bytes().iter().all(allowed);
        fine.then(|| Self(value.clone()))
    }

    /// Returns the ID as text.
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

/// The real sender of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// The address; behind trusted proxies, the one that they report.
    pub address: IpAddr,
    /// Whether the request came over TLS, to the service or to a trusted proxy that reports it.
    pub tls: bool,
}

impl Client {
    /// The client of a request that came over no socket.
    const UNKNOWN: Self = Self {
        address: IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        tls: false,
    };

    /// Returns the client that [`add_context`] found.
    pub fn from_extensions(extensions: &Extensions) -> Self {
        extensions.get().copied().unwrap_or(Self::UNKNOWN)
    }

    /// Walks `X-Forwarded-For` from the right while the hop is a trusted proxy: clients can forge
    /// what is further left.
    fn resolve(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Self {
        let trusts = |address: &IpAddr| trusted.iter().any(|net| net.contains(address));
        let mut client = Self {
            address: peer.to_canonical(),
            tls: false,
        };
        if !trusts(&client.address) {
            return client;
        }
        client.tls = last(headers, "x-forwarded-proto")
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
        let hops: Vec<&str> = headers
            .get_all("x-forwarded-for")
            .iter()
            .flat_map(|value| value.to_str().unwrap_or_default().split(','))
            .collect();
        for hop in hops.into_iter().rev() {
            let Some(address) = parse_hop(hop.trim()) else {
                break;
            };
            client.address = address;
            if !trusts(&address) {
                break;
            }
        }
        client
    }

    /// Returns the key for limits: an IPv4 address, or the /64 that an IPv6 customer has at least.
    pub fn key(&self) -> IpAddr {
        address_key(self.address)
    }
}

/// Returns the key of an address for limits, see [`Client::key`].
pub fn address_key(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let network = u128::from(address) & (u128::MAX << 64);
            IpAddr::V6(network.into())
        }
    }
}

/// Returns the last entry of a comma-separated header: the one of the nearest proxy.
fn last<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let value = headers.get_all(name).iter().next_back()?.to_str().ok()?;
    value.rsplit(',').next().map(str::trim)
}

/// Reads an address as proxies write them: with or without a port, IPv6 in brackets or not.
fn parse_hop(hop: &str) -> Option<IpAddr> {
    hop.parse()
        .ok()
        .or_else(|| hop.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
        .or_else(|| {
            let inner = hop.strip_prefix('[')?.strip_suffix(']')?;
            inner.parse().ok()
        })
        .map(|address| address.to_canonical())
}

/// Gives the request an ID and a client, and logs and counts the response. It is the outermost
/// layer. Neither the query nor a header of the request is logged.
pub async fn add_context(
    State(state): State<HttpState>,
    mut request: Request,
    next: Next,
) -> Response {
    let begin = Instant::now();
    let id = RequestId::accept(request.headers())
        .or_else(|| {
            let id = state.clock.id().to_string();
            HeaderValue::try_from(id).ok().map(RequestId)
        })
        .unwrap_or_else(|| RequestId::from_extensions(&Extensions::new()));
    let client = request
        .extensions()
        .get::<ConnectInfo<SocketAddr>>()
        .map_or(Client::UNKNOWN, |ConnectInfo(peer)| {
            let trusted = &state.settings.trusted_proxies;
            let client = Client::resolve(peer.ip(), request.headers(), trusted);
            let tls = client.tls || state.settings.tls;
            Client { tls, ..client }
        });
    request.extensions_mut().insert(id.clone());
    request.extensions_mut().insert(client);

    let method = request.method().clone();
    // The pattern of the address, not the address itself: metrics get few values, and the log gets
    // no text from strangers.
    let route = request.extensions().get::<MatchedPath>().map_or_else(
        || "unmatched".to_owned(),
        |matched| matched.as_str().to_owned(),
    );
    let span = info_span!("request", id = id.as_str(), %method, route, client = %client.address);
    // A made-up method must not make a new metric.
    let method = match method.as_str() {
        known @ ("GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS") => known,
        _ => "OTHER",
    };
    let labels = [("method", method.to_owned()), ("route", route)];
    let answered = |status: StatusCode| {
        let [method, route] = labels.clone();
        let labels = [method, route, ("status", status.as_u16().to_string())];
        metrics::counter!("rollcall_http_requests_total", &labels)
    };
    // Exists with 0 before the first fault, so that the fault is an increase.
    answered(StatusCode::INTERNAL_SERVER_ERROR).increment(0);
    let mut response = next.run(request).instrument(span.clone()).await;

    let status = response.status();
    let took = begin.elapsed();
    span.in_scope(|| {
        info!(
            status = status.as_u16(),
            ms = took.as_micros() as f64 / 1000.0,
            "answered"
        );
    });
    metrics::histogram!("rollcall_http_request_seconds", &labels).record(took);
    answered(status).increment(1);
    response.headers_mut().insert(REQUEST_ID, id.0);
    if state.stopping.is_cancelled() {
        // The client sends its next request on another connection, to another instance.
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(peer: &str, forwarded: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        let trusted = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        Client::resolve(peer.parse().unwrap(), &headers, &trusted)
            .address
            .to_string()
    }

    #[test]
    fn only_the_nearest_hop_that_is_not_a_trusted_proxy_is_the_client() {
        assert_eq!(resolve("198.51.100.7", &["203.0.113.9"]), "198.51.100.7");
        assert_eq!(resolve("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(resolve("10.0.0.1", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(
            resolve("10.0.0.1", &["1.2.3.4, 203.0.113.9, 10.0.0.2"]),
            "203.0.113.9"
        );
        assert_eq!(
            resolve("10.0.0.1", &["1.2.3.4", "203.0.113.9:4711"]),
            "203.0.113.9"
        );
        assert_eq!(resolve("fd00::1", &["[2001:db8::1]:80"]), "2001:db8::1");
        assert_eq!(resolve("::ffff:10.0.0.1", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(resolve("10.0.0.1", &["1.2.3.4, nonsense"]), "10.0.0.1");
    }

    #[test]
    fn an_ipv6_network_is_one_key() {
        let key = |text: &str| {
            let address = text.parse().unwrap();
            Client {
                address,
                tls: false,
            }
            .key()
        };
        assert_eq!(key("2001:db8:0:1::1"), key("2001:db8:0:1:ffff::2"));
        assert_ne!(key("2001:db8:0:1::1"), key("2001:db8:0:2::1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
    }

    #[test]
    fn request_ids_that_are_not_valid_are_replaced() {
        let accepts = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, text.parse().unwrap());
            RequestId::accept(&headers).is_some()
        };
        assert!(accepts("0199-abc.DEF_1"));
        assert!(!accepts(""));
        assert!(!accepts("a b"));
        assert!(!accepts("a\"injected\""));
        assert!(!accepts(&"x".repeat(65)));
    }
}
