//! Keeps the gallery in sync with enrollments and deletions by other instances, and by commands on
//! the same store.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    service::{
        feed::{Following, News},
        gallery_loader::GalleryLoader,
    },
    telemetry::{Condition, Health},
};

/// How often the store is asked for changes.
pub const EVERY: Duration = Duration::from_secs(2);

/// How often the whole gallery is compared with the store, to find missed changes.
pub const RECONCILE_EVERY: Duration = Duration::from_secs(180);

/// The name of this worker's part of the service, in reports of its health.
pub const PART: &str = "gallery";

/// The worker that loads changes of others.
#[derive(derive_new::new)]
pub struct GallerySync {
    /// Has loaded its gallery already.
    loader: Arc<GalleryLoader>,
    health: Arc<Health>,
}

impl GallerySync {
    /// Loads changes every [`EVERY`], and immediately when one is reported, until the token is
    /// canceled.
    pub async fn run(self, mut news: Following, stop: CancellationToken) {
        let mut tick = tokio::time::interval_at(Instant::now() + EVERY, EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reconciled = Instant::now();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = tick.tick() => {}
                () = news.until(|news| matches!(news, News::Employee(_))) => {}
            }
            let all = reconciled.elapsed() >= RECONCILE_EVERY;
            let synced = match all {
                true => self.loader.reconcile().await,
                false => self.loader.catch_up().await,
            };
            let condition = match synced {
                Ok(_) => Condition::Fine,
                // The service keeps working; it only misses recent enrollments of others.
                Err(cause) => {
                    Condition::Degraded(format!("could not sync with the store: {cause}"))
                }
            };
            if all && condition == Condition::Fine {
                reconciled = Instant::now();
            }
            if self.health.note(PART, condition.clone()) {
                match condition {
                    Condition::Fine => info!("the gallery is in sync with the store"),
                    Condition::Degraded(cause) | Condition::Down(cause) => {
                        warn!("gallery: {cause}");
                    }
                }
            }
        }
    }
}
