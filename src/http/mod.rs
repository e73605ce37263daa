//! The HTTP API and the pages: routes and layers over the services. Handlers extract, call and
//! render; errors become problem details.

mod assets;
mod auth;
mod badges;
mod context;
mod deciding;
mod extract;
mod field_error;
mod json;
mod limits;
mod list_body;
mod live;
mod merge_patch;
mod openapi;
mod page;
mod problem;
mod problems;
mod relying_party;
mod request_timeout;
mod room;
mod router;
mod routes;
mod session;
mod upload;
mod views;

use std::{path::PathBuf, sync::Arc, time::Duration};

use axum::extract::FromRef;
use ipnet::IpNet;
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

pub use assets::{PAGE_LIBRARIES_MISSING, has_page_libraries};
pub use context::address_key;
pub use problem::Code;
pub use request_timeout::BODY_TIMEOUT;
pub use router::{Parts, document, router};

use crate::{
    app::App,
    clock::Clock,
    ports::Quota,
    service::{self, feed::Feed, redis::Redis},
    telemetry,
};
use limits::SharedLimit;

/// The settings of the HTTP layer.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether the service speaks TLS itself.
    pub tls: bool,
    /// Max-age of `Strict-Transport-Security`, which is sent over TLS only; `None` sends none.
    pub hsts: Option<Duration>,
    /// Whether the session cookie is for TLS only; `None` if the request that sets it came over TLS.
    pub secure_cookies: Option<bool>,
    /// Whether browsers leave out the session cookie when another site links here.
    pub strict_cookies: bool,
    /// Whether closing the browser signs out.
    pub cookies_end_with_browser: bool,
    /// The address under which browsers reach the service, without a path; `None` if requests say.
    pub public_url: Option<String>,
    /// Requests a second from one address, with a burst of ten seconds' worth; 0 for no limit.
    pub rate_limit: u32,
    /// Attempts to sign in or set up from one address; `None` for no limit.
    pub sign_in: Option<Quota>,
    /// Pairing codes that one address may request; `None` for no limit.
    pub pairing: Option<Quota>,
    /// Enrollments an hour by one account; 0 for no limit.
    pub enroll_limit: u32,
    /// The most time that a request may take after its last byte arrived.
    pub timeout: Duration,
    /// The most time that a client may send nothing while the service waits for its body.
    pub body_timeout: Duration,
    /// The bearer token for `/metrics`; `None` leaves it open.
    pub metrics_token: Option<SecretString>,
    /// The folder to serve the pages from; `None` for those in the binary.
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
            public_url: None,
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
            body_timeout: BODY_TIMEOUT,
            metrics_token: None,
            static_dir: None,
        }
    }
}

/// The state of handlers.
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
    joins: SharedLimit,
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
    api_tokens: service::api_tokens::ApiTokens,
    second_factors: service::second_factor::SecondFactorService,
    invitations: service::invitations::Invitations,
    password_resets: service::password_resets::PasswordResets,
    employees: service::employees::Employees,
    sites: service::sites::Sites,
    rules: service::site_rules::RulesService,
    shifts: service::catalog::Shifts,
    cycles: service::catalog::Cycles,
    holidays: service::catalog::HolidayCalendars,
    leave_kinds: service::catalog::LeaveKinds,
    payroll_layouts: service::catalog::PayrollLayouts,
    calendars: service::calendars::Calendars,
    assignments: service::assignments::Assignments,
    entitlements: service::entitlements::Entitlements,
    cameras: service::cameras::Cameras,
    devices: service::devices::Devices,
    enrolling: service::enrollment::Enrollments,
    kiosk_enrollments: service::kiosk_enrollment::KioskEnrollments,
    enrollment_limit: service::enrollment_limit::EnrollmentLimit,
    recognition: service::recognition::Recognition,
    ledger: service::punch_ledger::PunchLedger,
    manual_punches: service::manual_punches::ManualPunches,
    workdays: service::workdays::Workdays,
    timesheets: service::timesheets::Timesheets,
    balances: service::balances::Balances,
    exports: service::exports::Exports,
    notices: service::notices::Notices,
    imports: service::imports::Imports,
    face_punches: service::face_punches::FacePunches,
    credential_punches: service::credential_punches::CredentialPunches,
    mistaken_punches: service::mistaken_punches::MistakenPunches,
    refused_punches: service::refused_punches::RefusedPunches,
    punch_credentials: service::punch_credentials::PunchCredentials,
    personal_data: service::personal_data::PersonalData,
    jobs: service::jobs::Jobs,
    pairing: service::pairing::Pairing,
    pictures: service::pictures::Pictures,
    trail: service::audit::Trail,
    webhooks: service::messages::Webhooks,
    letters: service::messages::Letters,
    health: service::health::Health,
}
