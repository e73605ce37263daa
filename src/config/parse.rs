//! Parsers for the text of one setting. `None` means that the text is not accepted.

use std::{net::IpAddr, path::PathBuf, str::FromStr};

use ipnet::IpNet;
use jiff::{SignedDuration, civil::Time};
use secrecy::SecretString;
use url::Url;

use super::{
    CacheFallback, CookieSecure, Destinations, LogFormat, Precision, SameSite, SessionEngine,
    StoreKind, TemplateKeys,
};
use crate::domain::{biometrics::ErrorRate, single_sign_on::GroupRole, sites::Zone, text::Email};

/// Parses any type with a standard parser.
pub(super) fn any<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

pub(super) fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

pub(super) fn secret(text: &str) -> Option<SecretString> {
    Some(text.to_owned().into())
}

pub(super) fn path(text: &str) -> Option<PathBuf> {
    Some(text.into())
}

/// Parses a password. The account's rules are checked when it is used, because an account that
/// exists keeps a shorter one.
pub(super) fn password(text: &str) -> Option<SecretString> {
    (10..=256)
        .contains(&text.chars().count())
        .then(|| text.to_owned().into())
}

/// Parses a passphrase of 12 characters or more. A thief of a backup could guess a shorter one
/// offline.
pub fn passphrase(text: &str) -> Option<SecretString> {
    (text.chars().count() >= 12).then(|| text.to_owned().into())
}

pub(super) fn email(text: &str) -> Option<Email> {
    Email::parse(text).ok()
}

pub(super) fn switch(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "on" | "true" | "yes" | "1" => Some(true),
        "off" | "false" | "no" | "0" => Some(false),
        _ => None,
    }
}

/// Parses a duration: `500ms`, `60s`, `5m`, `12h`, `1h 30m` or `30d`; 0 needs no unit. A day is 24
/// hours.
pub(super) fn duration(text: &str) -> Option<SignedDuration> {
    if text == "0" {
        return Some(SignedDuration::ZERO);
    }
    let days = text.strip_suffix('d').map(str::trim_end);
    if let Some(days) = days.and_then(|days| days.parse::<u16>().ok()) {
        return Some(SignedDuration::from_hours(24 * i64::from(days)));
    }
    let duration: SignedDuration = text.parse().ok()?;
    (!duration.is_negative()).then_some(duration)
}

pub(super) fn longer_than_zero(text: &str) -> Option<SignedDuration> {
    duration(text).filter(SignedDuration::is_positive)
}

/// Parses a duration, or a whole number of seconds.
pub(super) fn age(text: &str) -> Option<SignedDuration> {
    let seconds = || Some(SignedDuration::from_secs(text.parse().ok()?));
    let age = seconds().or_else(|| duration(text))?;
    age.is_positive().then_some(age)
}

/// Parses an age; the inner `None` means off.
pub(super) fn off_or_age(text: &str) -> Option<Option<SignedDuration>> {
    match text {
        "off" | "0" => Some(None),
        text => age(text).map(Some),
    }
}

/// Parses a time without use; the inner `None` means off. The last use is not known to the minute,
/// so a time of few minutes would end sessions that are in use.
pub(super) fn off_or_idle(text: &str) -> Option<Option<SignedDuration>> {
    let idle = off_or_age(text)?;
    let enough = idle.is_none_or(|idle| idle >= SignedDuration::from_mins(10));
    enough.then_some(idle)
}

/// Parses a retention period; the inner `None` means off. The unit is required, because an admin
/// who omits it may mean days, and seconds would delete everything at once.
pub(super) fn off_or_retention(text: &str) -> Option<Option<SignedDuration>> {
    match text {
        "off" | "0" => Some(None),
        text => longer_than_zero(text).map(Some),
    }
}

/// Parses a retention period; the inner `None` means forever.
pub(super) fn forever_or_retention(text: &str) -> Option<Option<SignedDuration>> {
    match text {
        "forever" => Some(None),
        text => longer_than_zero(text).map(Some),
    }
}

/// Parses a time of day such as `04:00`.
pub(super) fn time_of_day(text: &str) -> Option<Time> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |part: &str| (part.len() == 2).then(|| part.parse().ok()).flatten();
    Time::new(number(hours)?, number(minutes)?, 0, 0).ok()
}

pub(super) fn zone(text: &str) -> Option<Zone> {
    Zone::parse(text).ok()
}

pub(super) fn rate(text: &str) -> Option<ErrorRate> {
    let rate: f64 = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().ok()? / 100.0,
        None => text.parse().ok()?,
    };
    ErrorRate::new(rate).filter(|rate| (1e-6..=0.1).contains(&rate.value()))
}

/// Parses a number from 0 to 1, both inclusive.
pub(super) fn share(text: &str) -> Option<f32> {
    let share: f32 = text.parse().ok()?;
    (0.0..=1.0).contains(&share).then_some(share)
}

/// Parses a share; the inner `None` means automatic.
pub(super) fn margin(text: &str) -> Option<Option<f32>> {
    if text == "auto" {
        return Some(None);
    }
    share(text).map(Some)
}

/// Parses a number of threads; the inner `None` means automatic.
pub(super) fn threads(text: &str) -> Option<Option<usize>> {
    if text == "auto" {
        return Some(None);
    }
    let threads = text.parse().ok()?;
    (1..=256).contains(&threads).then_some(Some(threads))
}

pub(super) fn count(text: &str) -> Option<usize> {
    any(text).filter(|count| (1..=100_000).contains(count))
}

/// Parses `none`, or networks and addresses separated by commas.
pub(super) fn networks(text: &str) -> Option<Vec<IpNet>> {
    if text == "none" {
        return Some(Vec::new());
    }
    let network = |part: &str| {
        part.parse()
            .ok()
            .or_else(|| part.parse::<IpAddr>().ok().map(IpNet::from))
    };
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(network)
        .collect()
}

/// Parses `none`, or networks, addresses and names of hosts separated by commas.
pub(super) fn destinations(text: &str) -> Option<Destinations> {
    let mut found = Destinations::default();
    if text == "none" {
        return Some(found);
    }
    for part in text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        let plain = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
        match networks(part) {
            Some(mut networks) => found.networks.append(&mut networks),
            None if part.chars().all(plain) => found.hosts.push(part.to_ascii_lowercase()),
            None => return None,
        }
    }
    Some(found)
}

pub(super) fn store(text: &str) -> Option<StoreKind> {
    match text {
        "auto" => Some(StoreKind::Auto),
        "sqlite" => Some(StoreKind::Sqlite),
        "mongodb" => Some(StoreKind::Mongodb),
        "redis" => Some(StoreKind::Redis),
        _ => None,
    }
}

/// Checks that the text is a Redis URL; it is parsed where it is used.
pub(super) fn redis_url(text: &str) -> Option<SecretString> {
    let schemes = ["redis", "rediss", "unix", "redis+unix", "valkey", "valkeys"];
    let (scheme, rest) = text.split_once("://")?;
    let plain = scheme
        .trim_end_matches("+sentinel")
        .trim_end_matches("+cluster");
    (schemes.contains(&plain) && !rest.is_empty()).then(|| text.to_owned().into())
}

/// Checks that the text is the URL of a broker, to which no password is sent in clear unless it says
/// `tls=none`; it is parsed where it is used.
pub(super) fn mqtt_url(text: &str) -> Option<SecretString> {
    let url = Url::parse(text).ok()?;
    let safe = match url.scheme() {
        "mqtt" => url.query() == Some("tls=none"),
        "mqtts" => true,
        _ => return None,
    };
    keeps_password(&url, safe).then(|| text.to_owned().into())
}

/// Checks whether the host of a URL is this machine.
fn is_local(url: &Url) -> bool {
    let local = |host| ["localhost", "127.0.0.1", "[::1]"].contains(&host);
    url.host_str().is_some_and(local)
}

/// Checks that a URL has a host, to which its password is not sent in clear over a network.
fn keeps_password(url: &Url, encrypted: bool) -> bool {
    url.host_str().is_some() && (encrypted || url.password().is_none() || is_local(url))
}

/// Parses an address of e-mail, with or without a name before it: `Rollcall <a@example.org>`.
pub(super) fn mailbox(text: &str) -> Option<String> {
    let address = match text.split_once('<') {
        Some((_, rest)) => rest.strip_suffix('>')?,
        None => text,
    };
    Email::parse(address).ok().map(|_| text.to_owned())
}

/// Checks that the text is the URL of a mail server, to which no password is sent in clear; it is
/// parsed where it is used.
pub(super) fn smtp_url(text: &str) -> Option<SecretString> {
    let url = Url::parse(text).ok()?;
    let encrypted = match url.scheme() {
        "smtp" => {
            let tls = url.query_pairs().find(|(name, _)| name == "tls");
            tls.is_some_and(|(_, value)| value == "required")
        }
        "smtps" => true,
        _ => return None,
    };
    keeps_password(&url, encrypted).then(|| text.to_owned().into())
}

pub(super) fn database(text: &str) -> Option<i64> {
    any(text).filter(|number| (0..=100_000).contains(number))
}

pub(super) fn millis(text: &str) -> Option<u64> {
    any(text).filter(|millis| (1..=60_000).contains(millis))
}

/// Parses a key prefix without the special characters of patterns and hash tags.
pub(super) fn prefix(text: &str) -> Option<String> {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    text.chars().all(plain).then(|| text.to_owned())
}

/// Parses a switch, which Django's name for a cache without values turns off, too.
pub(super) fn caching(text: &str) -> Option<bool> {
    match text {
        "dummy" | "django.core.cache.backends.dummy.DummyCache" => Some(false),
        text => switch(text),
    }
}

pub(super) fn cache_fallback(text: &str) -> Option<CacheFallback> {
    match text {
        "memory" => Some(CacheFallback::Memory),
        "store" => Some(CacheFallback::Store),
        _ => None,
    }
}

pub(super) fn session_engine(text: &str) -> Option<SessionEngine> {
    // Also accepts the names of Django's engines.
    match text.rsplit('.').next()? {
        "cached_db" => Some(SessionEngine::CachedDb),
        "cache" => Some(SessionEngine::Cache),
        "db" => Some(SessionEngine::Db),
        _ => None,
    }
}

pub(super) fn precision(text: &str) -> Option<Precision> {
    match text {
        "auto" => Some(Precision::Auto),
        "fp" => Some(Precision::Fp),
        "int8" => Some(Precision::Int8),
        _ => None,
    }
}

pub(super) fn cookie_secure(text: &str) -> Option<CookieSecure> {
    if text == "auto" {
        return Some(CookieSecure::Auto);
    }
    switch(text).map(|on| {
        if on {
            CookieSecure::On
        } else {
            CookieSecure::Off
        }
    })
}

pub(super) fn same_site(text: &str) -> Option<SameSite> {
    match text.to_ascii_lowercase().as_str() {
        "lax" => Some(SameSite::Lax),
        "strict" => Some(SameSite::Strict),
        _ => None,
    }
}

pub(super) fn log_format(text: &str) -> Option<LogFormat> {
    match text {
        "text" => Some(LogFormat::Text),
        "json" => Some(LogFormat::Json),
        _ => None,
    }
}

/// Checks a level, or directives such as `info,rollcall=debug`.
pub(super) fn log_level(text: &str) -> Option<String> {
    tracing_subscriber::EnvFilter::builder()
        .parse(text)
        .ok()
        .map(|_| text.to_owned())
}

/// Parses the address of a service, without user, path and query. Returns it as browsers write an
/// origin.
pub(super) fn origin(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    let bare = bare && url.username().is_empty() && url.password().is_none();
    let web = ["http", "https"].contains(&url.scheme()) && url.has_host();
    (bare && web).then(|| url.origin().ascii_serialization())
}

/// Parses the address of an identity provider. It must be encrypted, unless it is on this machine.
pub(super) fn issuer(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let secure = url.scheme() == "https" || (url.scheme() == "http" && is_local(&url));
    let bare = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    // Not normalized, because tokens must have the same text.
    (secure && bare).then(|| text.to_owned())
}

pub(super) fn group_roles(text: &str) -> Option<Vec<GroupRole>> {
    GroupRole::parse_list(text)
}

pub(super) fn template_keys(text: &str) -> Option<TemplateKeys> {
    TemplateKeys::parse(text)
}

/// Parses an HTTP URL without user and password, which have settings of their own that are not
/// shown.
pub(super) fn http_url(text: &str) -> Option<String> {
    let rest = text.strip_prefix("http://")?;
    let fits = !rest.is_empty() && !rest.contains(['@', '?', '#']);
    (fits && !rest.contains(char::is_whitespace)).then(|| text.trim_end_matches('/').to_owned())
}
