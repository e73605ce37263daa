//! Does background jobs, one at a time on each instance: at once on word of one, and else when
//! the store says that one is due.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::service::{
    feed::{Feed, Following, News},
    jobs::{Jobs, Runner},
};

/// How often the store is asked.
const EVERY: Duration = Duration::from_secs(2);

/// Does what is due until the token is cancelled; a job under way is given back then.
pub async fn run(runner: Arc<Runner>, feed: Feed, stop: CancellationToken) {
    // Followed before the store is asked, so that nothing falls between the two.
    let mut news = feed.follow();
    let mut away = false;
    while !stop.is_cancelled() {
        let found = runner.step(&stop).await;
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
            () = job(&mut news) => {}
        }
    }
}

/// Queues what a change of the model asks for.
pub async fn after_model_change(jobs: Arc<Jobs>) {
    match jobs.reembed_if_changed().await {
        Ok(None) => {}
        Ok(Some(job)) => {
            info!(job = %job.id, "nobody is enrolled under this model: templates are made from kept photos");
        }
        Err(cause) => warn!(%cause, "whether templates are of this model was not found out"),
    }
}

/// Waits for word of a job.
async fn job(news: &mut Following) {
    loop {
        match news.next().await {
            Some(News::Job(_) | News::Missed) => return,
            Some(_) => {}
            // Nobody tells any more: asking goes on.
            None => std::future::pending().await,
        }
    }
}
