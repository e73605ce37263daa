//! Telemetry: the log, the metrics, and the health of the service's parts.

use std::{
    collections::BTreeMap,
    io::IsTerminal,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// A directive that overrides the settings: at trace level, this module would log whole addresses,
/// with what people typed into them.
const NO_ADDRESSES: &str = "tower_http::csrf=info";

/// Starts the log on standard error, once per process; a later call has no effect.
pub fn start_log(settings: &Log) {
    let filter = EnvFilter::builder()
        .parse(settings.directives())
        .unwrap_or_else(|_| EnvFilter::new("info"))
        .add_directive(NO_ADDRESSES.parse().expect("the directive is well formed"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    // Fails only if the log was started already.
    let _ = match settings.format {
        LogFormat::Text => log.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
}

/// Buckets of the histograms whose names end in `_seconds`: from a warm stage of the engine to a
/// request that waits for a store.
const SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Installs the recorder for all `metrics` macros; `/metrics` renders the returned handle.
///
/// # Errors
/// Fails if the process has a recorder already.
pub fn start_metrics() -> Result<PrometheusHandle, BuildError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)?
        .install_recorder()
}

/// Records the duration of a stage between the arrival of a sample and its response. The stages of
/// one request add up to nearly all of its time; see load/service.rs.
pub fn stage(name: &'static str, took: Duration) {
    metrics::histogram!("rollcall_stage_seconds", "stage" => name).record(took.as_secs_f64());
}

/// How often histograms are condensed, so that their memory stays bounded.
const UPKEEP: Duration = Duration::from_secs(5);

/// Condenses the metrics until the token is canceled.
pub async fn keep_metrics(metrics: PrometheusHandle, stop: CancellationToken) {
    let mut tick = tokio::time::interval(UPKEEP);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => metrics.run_upkeep(),
        }
    }
}

/// Hits and misses of each cache, by name.
static CACHES: Mutex<BTreeMap<&'static str, (u64, u64)>> = Mutex::new(BTreeMap::new());

/// Counts a hit or a miss of a cache.
pub fn cached(cache: &'static str, hit: bool) {
    let result = if hit { "hit" } else { "miss" };
    metrics::counter!("rollcall_cache_total", "cache" => cache, "result" => result).increment(1);
    let mut caches = CACHES.lock().unwrap_or_else(PoisonError::into_inner);
    let (hits, misses) = caches.entry(cache).or_default();
    *(if hit { hits } else { misses }) += 1;
}

/// Returns the hits and misses of each cache of this process, by name.
pub fn caches() -> Vec<(&'static str, u64, u64)> {
    let caches = CACHES.lock().unwrap_or_else(PoisonError::into_inner);
    caches
        .iter()
        .map(|(name, (hits, misses))| (*name, *hits, *misses))
        .collect()
}

/// The health of a part of the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// It works.
    Fine,
    /// It is unavailable, and the service works without it; contains the cause.
    Degraded(String),
    /// It is unavailable, and so is the service; contains the cause, without secrets.
    Down(String),
}

/// The conditions of the parts that monitor themselves, by name, for `/readyz`.
#[derive(Debug, Default)]
pub struct Health(Mutex<BTreeMap<&'static str, Condition>>);

impl Health {
    /// Records the condition of a part; returns whether it changed.
    pub fn note(&self, part: &'static str, condition: Condition) -> bool {
        let mut parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        parts.insert(part, condition.clone()) != Some(condition)
    }

    /// Returns every part with its condition, by name.
    pub fn parts(&self) -> Vec<(&'static str, Condition)> {
        let parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        parts
            .iter()
            .map(|(part, condition)| (*part, condition.clone()))
            .collect()
    }

    /// Returns whether no part is down.
    pub fn ready(&self) -> bool {
        !self
            .parts()
            .iter()
            .any(|(_, condition)| matches!(condition, Condition::Down(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_is_ready_unless_a_part_is_down() {
        let health = Health::default();
        assert!(health.ready());
        assert!(health.note("cache", Condition::Degraded("unavailable".to_owned())));
        assert!(health.ready());
        assert!(health.note("gallery", Condition::Down("loading".to_owned())));
        assert!(!health.ready());
        assert!(health.note("gallery", Condition::Fine));
        assert!(!health.note("gallery", Condition::Fine), "no change");
        assert!(health.ready());
        let names: Vec<_> = health.parts().into_iter().map(|(part, _)| part).collect();
        assert_eq!(names, ["cache", "gallery"]);
    }
}
