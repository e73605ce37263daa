//! How often one address may ask and one account may enroll.
//!
//! Addresses are held to a leaky bucket by tower-governor; what a client reads of it are the
//! `RateLimit` and `RateLimit-Policy` headers of draft-ietf-httpapi-ratelimit-headers.
//! Enrollments are few and counted exactly, in a window that slides.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderName, HeaderValue, Method, Response, header},
    response::IntoResponse,
};
use governor::middleware::StateInformationMiddleware;
use jiff::{SignedDuration, Timestamp};
use std::sync::{Mutex, PoisonError};
use tower_governor::{
    GovernorError, GovernorLayer,
    governor::{GovernorConfig, GovernorConfigBuilder},
    key_extractor::KeyExtractor,
};

use super::{
    context::Client,
    problem::{Code, Problem},
};
use crate::domain::accounts::Actor;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// A quota that fills up again evenly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// The most requests at once.
    pub burst: u32,
    /// How long it takes until one more is allowed.
    pub every: Duration,
}

impl Quota {
    /// Seconds in which an empty quota is full again.
    fn window(&self) -> u64 {
        (self.every * self.burst).as_secs_f64().ceil().max(1.0) as u64
    }
}

/// The key of a limit: the client's address as [`Client::key`] cuts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByAddress;

impl KeyExtractor for ByAddress {
    type Key = IpAddr;

    fn extract<T>(&self, request: &axum::http::Request<T>) -> Result<IpAddr, GovernorError> {
        Ok(Client::of(request.extensions()).key())
    }
}

type Config = GovernorConfig<ByAddress, StateInformationMiddleware>;
/// The layer that holds addresses to a quota.
pub type Layer = GovernorLayer<ByAddress, StateInformationMiddleware, Body>;

/// One limit by address.
#[derive(Clone)]
pub struct AddressLimit {
    name: &'static str,
    quota: Quota,
    config: Arc<Config>,
    swept: Arc<(Instant, AtomicU64)>,
}

/// How often addresses that are at rest are forgotten, seconds.
const SWEEP: u64 = 30;

impl AddressLimit {
    /// A limit for all methods, or for some.
    pub fn new(name: &'static str, quota: Quota, methods: Option<Vec<Method>>) -> Self {
        let mut builder = GovernorConfigBuilder::default()
            .key_extractor(ByAddress)
            .use_headers();
        builder
            .period(quota.every.max(Duration::from_nanos(1)))
            .burst_size(quota.burst.max(1));
        if let Some(methods) = methods {
            builder.methods(methods);
        }
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

    /// The layer that enforces it; [`translate`](Self::translate) goes around it.
    pub fn layer(&self) -> Layer {
        let limit = self.clone();
        GovernorLayer::new(self.config.clone()).error_handler(move |error| limit.refuse(error))
    }

    fn refuse(&self, error: GovernorError) -> Response<Body> {
        let GovernorError::TooManyRequests { wait_time, .. } = error else {
            return Problem::internal(error.to_string()).into_response();
        };
        // governor rounds down; whoever waits that long may still be too early.
        let wait = wait_time + 1;
        Problem::new(
            Code::TooManyRequests,
            format!("too many requests from this address: try again in {wait} s"),
        )
        .retry_after(wait)
        .header(RATE_LIMIT_POLICY, self.policy())
        .header(RATE_LIMIT, rate_limit(self.name, 0, wait))
        .into_response()
    }

    fn policy(&self) -> HeaderValue {
        policy(self.name, self.quota.burst, self.quota.window())
    }

    /// Turns governor's own headers into the standard ones, unless a stricter limit further
    /// inside has spoken.
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

    /// Forgets addresses that are at rest, so that memory is bounded by those of half a minute.
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

fn policy(name: &str, quota: u32, window: u64) -> HeaderValue {
    text(format!("\"{name}\";q={quota};w={window}"))
}

fn rate_limit(name: &str, remaining: u32, reset: u64) -> HeaderValue {
    text(format!("\"{name}\";r={remaining};t={reset}"))
}

fn text(value: String) -> HeaderValue {
    HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static(""))
}

/// How many enrollments one account may start in an hour, counted exactly.
#[derive(Debug)]
pub struct EnrollmentLimit {
    most: u32,
    started: Mutex<HashMap<Actor, VecDeque<Timestamp>>>,
}

/// The window of [`EnrollmentLimit`].
const HOUR: SignedDuration = SignedDuration::from_hours(1);

impl EnrollmentLimit {
    /// A limit of `most` an hour; 0 turns it off.
    pub fn new(most: u32) -> Self {
        Self {
            most,
            started: Mutex::default(),
        }
    }

    /// Counts one enrollment, and says in headers how many are left; a problem when none is.
    pub fn count(&self, account: Actor, now: Timestamp) -> Result<Vec<RateHeader>, Problem> {
        if self.most == 0 {
            return Ok(Vec::new());
        }
        let mut all = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = |at: &Timestamp| now.duration_since(*at) < HOUR;
        all.retain(|_, times| times.back().is_some_and(recent));
        let times = all.entry(account).or_default();
        while times.front().is_some_and(|at| !recent(at)) {
            times.pop_front();
        }
        let until_free = |oldest: Option<&Timestamp>| {
            let age = oldest.map_or(SignedDuration::ZERO, |&at| now.duration_since(at));
            (HOUR - age).as_secs().max(0).cast_unsigned() + 1
        };
        let policy = policy("enroll", self.most, HOUR.as_secs().cast_unsigned());
        if times.len() >= self.most as usize {
            let wait = until_free(times.front());
            return Err(Problem::new(
                Code::TooManyEnrollments,
                format!(
                    "{} enrollments an hour are allowed (ENROLL_LIMIT): try again in {wait} s",
                    self.most
                ),
            )
            .retry_after(wait)
            .header(RATE_LIMIT_POLICY, policy)
            .header(RATE_LIMIT, rate_limit("enroll", 0, wait)));
        }
        times.push_back(now);
        let left = self.most - times.len() as u32;
        let reset = until_free(times.front());
        Ok(vec![
            (RATE_LIMIT_POLICY, policy),
            (RATE_LIMIT, rate_limit("enroll", left, reset)),
        ])
    }
}

/// A header that tells of a limit.
pub type RateHeader = (HeaderName, HeaderValue);

/// Puts headers on an answer.
pub fn with_headers(headers: Vec<RateHeader>, response: impl IntoResponse) -> Response<Body> {
    let mut response = response.into_response();
    response.headers_mut().extend(headers);
    response
}

/// What a problem says when its answer should tell of a limit, too.
pub fn also(headers: &[RateHeader], problem: Problem) -> Problem {
    headers
        .iter()
        .filter(|(name, _)| name != header::RETRY_AFTER)
        .fold(problem, |problem, (name, value)| {
            problem.header(name.clone(), value.clone())
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::AccountId;

    #[test]
    fn the_enrollment_window_slides_and_counts_each_account_by_itself() {
        let limit = EnrollmentLimit::new(2);
        let account = |n| Actor::Account(AccountId::new(uuid::Uuid::from_u128(n)));
        let at = |minutes| Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes);
        assert!(limit.count(account(1), at(0)).is_ok());
        assert!(limit.count(account(1), at(30)).is_ok());
        let refused = limit.count(account(1), at(59)).unwrap_err();
        assert_eq!(refused.code(), Code::TooManyEnrollments);
        assert!(limit.count(account(2), at(59)).is_ok());
        assert!(limit.count(account(1), at(60)).is_ok());
        assert!(limit.count(account(1), at(61)).is_err());
        assert!(limit.count(account(1), at(90)).is_ok());
    }

    #[test]
    fn accounts_at_rest_are_forgotten() {
        let limit = EnrollmentLimit::new(2);
        let at = |hours| Timestamp::UNIX_EPOCH + SignedDuration::from_hours(hours);
        let account = |n| Actor::Account(AccountId::new(uuid::Uuid::from_u128(n)));
        for n in 0..100 {
            limit.count(account(n), at(0)).unwrap();
        }
        limit.count(account(1), at(2)).unwrap();
        assert_eq!(limit.started.lock().unwrap().len(), 1);
    }
}
