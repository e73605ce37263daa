//! The outbox: collects and sends, on one instance at a time.

use std::time::Duration;

use jiff::SignedDuration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    collector::{Collector, measured},
    courier::Courier,
    reminders::{Reminders, Written},
};
use crate::service::feed::{Following, News};

/// How often the records are looked at without news.
const POLL: Duration = Duration::from_secs(2);

/// How long news are gathered, so that many of them cost one look.
const GATHER: Duration = Duration::from_millis(100);

/// Clears the metrics when the work ends.
struct Ended;

impl Drop for Ended {
    fn drop(&mut self) {
        measured(0, SignedDuration::ZERO);
    }
}

/// Collects and sends messages.
#[derive(derive_new::new)]
pub struct Outbox {
    collector: Collector,
    reminders: Reminders,
    courier: Courier,
    #[new(default)]
    wake: Notify,
}

impl Outbox {
    /// Collects and sends until the token is canceled. Only the holder of the lease may do this.
    pub async fn work(&self, news: &mut Following, stop: &CancellationToken) {
        // Another instance reports what waits from now on.
        let _ended = Ended;
        tokio::join!(
            self.collect(news, stop),
            self.courier.work(&self.wake, stop)
        );
    }

    async fn collect(&self, news: &mut Following, stop: &CancellationToken) {
        let (mut memory, mut written, mut failing) = (None, Written::default(), false);
        while !stop.is_cancelled() {
            let collected = async {
                let memory = match &mut memory {
                    Some(memory) => memory,
                    none => none.insert(self.collector.begin().await?),
                };
                self.collector.collect(memory).await
            };
            let collected = collected.await;
            match &collected {
                Ok(0) => {}
                Ok(_) => self.wake.notify_one(),
                Err(cause) if !failing => warn!(%cause, "could not collect messages"),
                Err(_) => {}
            }
            if failing && collected.is_ok() {
                info!("the store is back; collecting messages again");
            }
            failing = collected.is_err();
            match self.reminders.remind(&mut written).await {
                Err(cause) if !failing => warn!(%cause, "could not write letters"),
                _ => {}
            }
            let matters = |news| {
                matches!(
                    news,
                    News::Punch(_) | News::Employee(_) | News::Plan(_) | News::Timesheet(_)
                )
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(POLL) => {}
                () = news.until(matters) => tokio::time::sleep(GATHER).await,
            }
        }
    }
}
