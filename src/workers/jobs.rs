//! Runs background jobs: for each kind one at a time on each instance, at once when the feed
//! announces a job, and otherwise when the store has one that is due.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::service::{
    feed::{Feed, News},
    jobs::{JobHandler, Jobs, Runner},
};

/// The time between two queries of the store for jobs that are due.
const POLL_EVERY: Duration = Duration::from_secs(2);

/// The pause after a failed check of the templates' model.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// Runs the jobs of a handler that are due, until the token is canceled. A job that runs then is
/// given back.
pub async fn run(
    handler: Arc<dyn JobHandler>,
    runner: Arc<Runner>,
    feed: Feed,
    stop: CancellationToken,
) {
    // Subscribes before the first query, so that no job is missed between the two.
    let mut news = feed.follow();
    let mut failing = false;
    while !stop.is_cancelled() {
        let found = runner.run_next(&*handler, &stop).await;
        match &found {
            Ok(_) if failing => info!("the store is back; looking for jobs again"),
            Err(cause) if !failing => warn!(%cause, "could not look for jobs"),
            _ => {}
        }
        failing = found.is_err();
        if found == Ok(true) {
            continue;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(POLL_EVERY) => {}
            () = news.until(|news| matches!(news, News::Job(_))) => {}
        }
    }
}

/// Queues the job that a change of the model requires, as soon as the store responds.
pub async fn after_model_change(jobs: Arc<Jobs>, stop: CancellationToken) {
    loop {
        match jobs.reembed_if_needed().await {
            Ok(None) => return,
            Ok(Some(job)) => {
                return info!(job = %job.id, "people are enrolled under another model; queued a job that makes templates from stored photos");
            }
            Err(cause) => {
                warn!(%cause, "could not check the templates' model; retrying in 30s");
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(RETRY_AFTER) => {}
        }
    }
}
