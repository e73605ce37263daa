//! Rate limits of addresses and accounts.
//!
//! tower-governor limits addresses by a leaky bucket. Clients get the `RateLimit` and
//! `RateLimit-Policy` headers of draft-ietf-httpapi-ratelimit-headers. Enrollments and sign-ins are
//! few; all instances together count them exactly.

use std::{
    fmt,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    extract::{FromRequestParts, Request},
    http::{HeaderName, HeaderValue, Response, header, request::Parts},
    response::IntoResponse,
};
use governor::middleware::StateInformationMiddleware;
use tower_governor::{
    GovernorError, GovernorLayer,
    governor::{GovernorConfig, GovernorConfigBuilder},
    key_extractor::KeyExtractor,
};

use super::{
    HttpState,
    context::Client,
    problem::{Code, Problem},
};
use crate::{
    ports::{self as shared, RateLimits},
    service::invitations::InvitationError,
};

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// A quota that refills evenly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// The most requests at once.
    pub burst: u32,
    /// The time until one more request is allowed.
    pub every: Duration,
}

impl Quota {
    /// Returns the time in which an empty quota refills, seconds.
    fn window(&self) -> u64 {
        (self.every * self.burst).as_secs_f64().ceil().max(1.0) as u64
    }
}

/// Limits by [`Client::key`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByAddress;

impl KeyExtractor for ByAddress {
    type Key = IpAddr;

    fn extract<T>(&self, request: &axum::http::Request<T>) -> Result<IpAddr, GovernorError> {
        Ok(Client::from_extensions(request.extensions()).key())
    }
}

type Config = GovernorConfig<ByAddress, StateInformationMiddleware>;
/// The layer that enforces a limit of addresses.
pub type Layer = GovernorLayer<ByAddress, StateInformationMiddleware, Body>;

/// A limit of each address.
#[derive(Clone)]
pub struct AddressLimit {
    name: &'static str,
    quota: Quota,
    config: Arc<Config>,
    swept: Arc<(Instant, AtomicU64)>,
}

/// How often idle addresses are removed, seconds.
const SWEEP: u64 = 30;

impl AddressLimit {
    /// Makes a limit for all methods.
    pub fn new(name: &'static str, quota: Quota) -> Self {
        let mut builder = GovernorConfigBuilder::default()
            .key_extractor(ByAddress)
            .use_headers();
        builder
            .period(quota.every.max(Duration::from_nanos(1)))
            .burst_size(quota.burst.max(1));
        let config = builder
            .finish()
            .expect("neither the period nor the burst is zero");
        Self {
            name,
            quota,
            config: Arc::new(config),
            swept: Arc::new((Instant::now(), AtomicU64::new(0))),
        }
    }

    /// Returns the layer that enforces the limit; [`translate`](Self::translate) goes around it.
    pub fn layer(&self) -> Layer {
        let limit = self.clone();
        GovernorLayer::new(self.config.clone()).error_handler(move |error| limit.refuse(error))
    }

    fn refuse(&self, error: GovernorError) -> Response<Body> {
        let GovernorError::TooManyRequests { wait_time, .. } = error else {
            return Problem::internal(error.to_string()).into_response();
        };
        // governor rounds down, so a client that waits that long could be too early.
        let wait = wait_time + 1;
        Problem::new(
            Code::TooManyRequests,
            format!(
                "too many requests from this address: try again in {}",
                format_wait(wait)
            ),
        )
        .retry_after(wait)
        .header(RATE_LIMIT_POLICY, self.policy())
        .header(RATE_LIMIT, rate_limit(self.name, 0, wait))
        .into_response()
    }

    fn policy(&self) -> HeaderValue {
        policy(self.name, self.quota.burst, self.quota.window())
    }

    /// Turns governor's headers into the standard ones, unless a stricter limit further inside set
    /// them.
    pub async fn translate(self, request: Request, next: axum::middleware::Next) -> Response<Body> {
        self.sweep();
        let mut response = next.run(request).await;
        let headers = response.headers_mut();
        headers.remove("x-ratelimit-limit");
        headers.remove("x-ratelimit-whitelisted");
        let remaining = headers
            .remove("x-ratelimit-remaining")
            .and_then(|value| value.to_str().ok()?.parse().ok());
        if let (Some(remaining), false) = (remaining, headers.contains_key(RATE_LIMIT)) {
            let used = self.quota.burst.saturating_sub(remaining);
            let reset = (self.quota.every * used).as_secs_f64().ceil() as u64;
            headers.insert(RATE_LIMIT_POLICY, self.policy());
            headers.insert(RATE_LIMIT, rate_limit(self.name, remaining, reset));
        }
        response
    }

    /// Removes idle addresses, so that memory holds only those of the last half minute.
    fn sweep(&self) {
        let (begin, last) = &*self.swept;
        let now = begin.elapsed().as_secs();
        let before = last.load(Ordering::Relaxed);
        let due = now >= before + SWEEP
            && last
                .compare_exchange(before, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if due {
            self.config.limiter().retain_recent();
            self.config.limiter().shrink_to_fit();
        }
    }
}

/// Formats a wait for people, rounded up.
pub(super) fn format_wait(seconds: u64) -> String {
    match seconds {
        0..=1 => "a second".to_owned(),
        2..=90 => format!("{seconds} seconds"),
        91..=5400 => format!("{} minutes", seconds.div_ceil(60)),
        _ => format!("{} hours", seconds.div_ceil(3600)),
    }
}

fn policy(name: &str, quota: u32, window: u64) -> HeaderValue {
    text(format!("\"{name}\";q={quota};w={window}"))
}

fn rate_limit(name: &str, remaining: u32, reset: u64) -> HeaderValue {
    text(format!("\"{name}\";r={remaining};t={reset}"))
}

fn text(value: String) -> HeaderValue {
    HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static(""))
}

/// A limit that all instances count together, exactly, in a sliding window.
#[derive(Clone)]
pub struct SharedLimit {
    name: &'static str,
    refusal: Code,
    /// What is limited, after a number. It mentions the setting if only admins see it.
    what: &'static str,
    /// What else helps than to wait.
    remedy: &'static str,
    quota: Option<shared::Quota>,
    limits: Arc<dyn RateLimits>,
}

impl SharedLimit {
    /// Limits the enrollments that one account starts in an hour; 0 for no limit.
    pub fn enrollments(most: u32, limits: Arc<dyn RateLimits>) -> Self {
        Self {
            name: "enroll",
            refusal: Code::TooManyEnrollments,
            what: "enrollments an hour are allowed (ENROLL_LIMIT)",
            remedy: ", or lift the limit for 24 hours as an admin, on the page People or with POST /api/enrollment-limit/lift",
            quota: (most > 0).then_some(shared::Quota {
                most,
                window: Duration::from_hours(1),
            }),
            limits,
        }
    }

    /// Limits the passwords and set-up tokens that one address tries; `None` for no limit.
    pub fn sign_ins(quota: Option<shared::Quota>, limits: Arc<dyn RateLimits>) -> Self {
        Self {
            name: "sign-in",
            refusal: Code::TooManyRequests,
            what: "attempts a minute are allowed from one address",
            remedy: "",
            quota,
            limits,
        }
    }

    /// Limits the tokens of links that are not valid; `None` for no limit.
    pub fn joins(quota: Option<shared::Quota>, limits: Arc<dyn RateLimits>) -> Self {
        Self {
            name: "join",
            refusal: Code::TooManyRequests,
            what: "links a minute that cannot be used are allowed from one address",
            remedy: "",
            quota,
            limits,
        }
    }

    /// Limits the pairing codes that one address requests; `None` for no limit.
    pub fn pairings(quota: Option<shared::Quota>, limits: Arc<dyn RateLimits>) -> Self {
        Self {
            name: "pair",
            refusal: Code::TooManyRequests,
            what: "codes a minute are allowed for one address",
            remedy: "",
            quota,
            limits,
        }
    }

    /// Returns the most uses within the window; `None` for no limit.
    pub fn most(&self) -> Option<u32> {
        self.quota.map(|quota| quota.most)
    }

    /// Takes back a use that was counted, because nothing came of it. Until then it counts, so that
    /// requests at the same time cannot exceed the limit.
    pub async fn take_back(&self, who: impl fmt::Display) {
        if self.quota.is_some() {
            self.limits.take_back(&format!("{}:{who}", self.name)).await;
        }
    }

    /// Counts one use and returns headers with the uses left; a problem if there are none.
    pub async fn count(&self, who: impl fmt::Display) -> Result<Vec<RateHeader>, Problem> {
        let Some(quota) = self.quota else {
            return Ok(Vec::new());
        };
        let verdict = self
            .limits
            .check(&format!("{}:{who}", self.name), quota)
            .await;
        // Rounded up, so that a client that waits that long is not too early.
        let reset = verdict.reset.as_secs() + 1;
        let headers = [
            (
                RATE_LIMIT_POLICY,
                policy(self.name, quota.most, quota.window.as_secs()),
            ),
            (RATE_LIMIT, rate_limit(self.name, verdict.remaining, reset)),
        ];
        if verdict.allowed {
            return Ok(headers.into());
        }
        let detail = format!(
            "{} {}: try again in {}{}",
            quota.most,
            self.what,
            format_wait(reset),
            self.remedy,
        );
        let problem = Problem::new(self.refusal, detail).retry_after(reset);
        Err(headers.into_iter().fold(problem, |problem, (name, value)| {
            problem.header(name, value)
        }))
    }
}

/// Proof that an address may try a password or set-up token once more, with the headers of the limit.
pub struct MayGuess(pub Vec<RateHeader>);

impl FromRequestParts<HttpState> for MayGuess {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &HttpState,
    ) -> Result<Self, Self::Rejection> {
        let address = Client::from_extensions(&parts.extensions).key();
        state.sign_ins.count(address).await.map(Self)
    }
}

/// Proof that an address may send the token of a link. It counts only if the link cannot be used,
/// because many people may join from the address of one office.
pub struct MayJoin {
    limit: SharedLimit,
    address: IpAddr,
}

impl MayJoin {
    /// Returns the result, and forgets the try unless the link cannot be used.
    pub async fn unless_ended<T>(&self, result: Result<T, InvitationError>) -> Result<T, Problem> {
        if !matches!(result, Err(InvitationError::Ended)) {
            self.limit.take_back(self.address).await;
        }
        Ok(result?)
    }
}

impl FromRequestParts<HttpState> for MayJoin {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &HttpState,
    ) -> Result<Self, Self::Rejection> {
        let address = Client::from_extensions(&parts.extensions).key();
        let limit = state.joins.clone();
        limit.count(address).await?;
        Ok(Self { limit, address })
    }
}

/// A header of a limit.
pub type RateHeader = (HeaderName, HeaderValue);

/// Adds headers to a response.
pub fn with_headers(headers: Vec<RateHeader>, response: impl IntoResponse) -> Response<Body> {
    let mut response = response.into_response();
    response.headers_mut().extend(headers);
    response
}

/// Adds the headers of a limit to a problem.
pub fn problem_with_headers(headers: &[RateHeader], problem: Problem) -> Problem {
    headers
        .iter()
        .filter(|(name, _)| name != header::RETRY_AFTER)
        .fold(problem, |problem, (name, value)| {
            problem.header(name.clone(), value.clone())
        })
}
