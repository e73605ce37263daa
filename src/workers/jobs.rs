//! Does background jobs, of each kind one at a time on each instance: at once on word of one, and
//! else when the store says that one is due.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    domain::jobs::JobKind,
    service::{
        feed::{Feed, News},
        jobs::{Jobs, Runner},
    },
};

/// How often the store is asked.
const EVERY: Duration = Duration::from_secs(2);

/// The pause before is looked again for what a change of the model asks for, after a failure.
const AGAIN: Duration = Duration::from_secs(30);

/// What the worker of a kind is called.
pub fn name(kind: JobKind) -> &'static str {
    match kind {
        JobKind::Import => "import jobs",
        JobKind::Reembed => "reembed jobs",
    }
}

/// Does what is due of a kind until the token is cancelled; a job under way is given back then.
pub async fn run(kind: JobKind, runner: Arc<Runner>, feed: Feed, stop: CancellationToken) {
    // Followed before the store is asked, so that nothing falls between the two.
    let mut news = feed.follow();
    let mut away = false;
    while !stop.is_cancelled() {
        let found = runner.step(kind, &stop).await;
        match &found {
            Ok(_) if away => info!("the store tells of jobs again"),
            Err(cause) if !away => warn!(%cause, "the store does not tell of jobs"),
            _ => {}
        }
        away = found.is_err();
        if found == Ok(true) {
            continue;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
            () = news.until(|news| matches!(news, News::Job(_))) => {}
        }
    }
}

/// Queues what a change of the model asks for, as soon as the store lets it.
pub async fn after_model_change(jobs: Arc<Jobs>, stop: CancellationToken) {
    loop {
        match jobs.reembed_if_needed().await {
            Ok(None) => return,
            Ok(Some(job)) => {
                return info!(job = %job.id, "people are enrolled under another model: templates are made from kept photos");
            }
            Err(cause) => {
                warn!(%cause, "whether templates are of this model was not found out: trying again");
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(AGAIN) => {}
        }
    }
}
