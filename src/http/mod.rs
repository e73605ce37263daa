//! The HTTP API and the pages: routes and layers over the services. Handlers extract, call,
//! render; errors become answers in `problem` and nowhere else.

mod assets;
mod auth;
mod context;
mod extract;
mod limits;
mod openapi;
mod page;
mod problem;
mod router;
mod routes;
mod session;
mod upload;

use std::{path::PathBuf, sync::Arc, time::Duration};

use axum::extract::FromRef;
use ipnet::IpNet;
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

pub use problem::Code;
pub use router::{Parts, document, router};

use crate::{
    app::App,
    clock::Clock,
    ports::Quota,
    service::{self, feed::Feed, redis::Redis},
    telemetry,
};
use limits::SharedLimit;

/// What the HTTP layer can be told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether the service speaks TLS itself.
    pub tls: bool,
    /// How long browsers shall come back over TLS only; they are told over TLS.
    pub hsts: Option<Duration>,
    /// Whether the session cookie is for TLS only; `None`: when the request came over TLS.
    pub secure_cookies: Option<bool>,
    /// Whether the session cookie stays away when another site links here.
    pub strict_cookies: bool,
    /// Whether closing the browser signs out.
    pub cookies_end_with_browser: bool,
    /// Requests a second for one address, with a burst of ten seconds' worth; 0 for no limit.
    pub rate_limit: u32,
    /// Attempts to sign in or to set up for one address; `None` for no limit.
    pub sign_in: Option<Quota>,
    /// Codes that one address may ask for to pair kiosks with; `None` for no limit.
    pub pairing: Option<Quota>,
    /// Enrollments an hour for one account; 0 for no limit.
    pub enroll_limit: u32,
    /// How long a request may take, with everything.
    pub timeout: Duration,
    /// What `/metrics` asks for as bearer token; `None` leaves it open.
    pub metrics_token: Option<SecretString>,
    /// A folder to serve the pages from instead of those in the binary.
    pub static_dir: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            trusted_proxies: Vec::new(),
            tls: false,
            hsts: None,
            secure_cookies: None,
            strict_cookies: false,
            cookies_end_with_browser: false,
            rate_limit: 50,
            sign_in: Some(Quota {
                most: 10,
                window: Duration::from_mins(1),
            }),
            pairing: Some(Quota {
                most: 10,
                window: Duration::from_mins(1),
            }),
            enroll_limit: 5,
            timeout: Duration::from_secs(30),
            metrics_token: None,
            static_dir: None,
        }
    }
}

/// What handlers may ask for.
#[derive(Clone)]
struct HttpState {
    app: App,
    settings: Arc<Settings>,
    clock: Arc<dyn Clock>,
    health: Arc<telemetry::Health>,
    metrics: Arc<dyn Fn() -> String + Send + Sync>,
    feed: Feed,
    redis: Redis,
    stopping: CancellationToken,
    enrollments: SharedLimit,
    sign_ins: SharedLimit,
    pairings: SharedLimit,
}

impl FromRef<HttpState> for Feed {
    fn from_ref(state: &HttpState) -> Self {
        state.feed.clone()
    }
}

impl FromRef<HttpState> for Redis {
    fn from_ref(state: &HttpState) -> Self {
        state.redis.clone()
    }
}

macro_rules! services {
    ($($field:ident: $service:ty),+ $(,)?) => {$(
        impl FromRef<HttpState> for Arc<$service> {
            fn from_ref(state: &HttpState) -> Self {
                state.app.$field.clone()
            }
        }
    )+};
}

services! {
    accounts: service::accounts::Accounts,
    employees: service::employees::Employees,
    cameras: service::cameras::Cameras,
    devices: service::devices::Devices,
    enrolling: service::enrollment::Enrolling,
    identifying: service::identification::Identifying,
    punching: service::punching::Punching,
    jobs: service::jobs::Jobs,
    pairing: service::pairing::Pairing,
    pictures: service::pictures::Pictures,
    trail: service::audit::Trail,
    health: service::health::Health,
}
