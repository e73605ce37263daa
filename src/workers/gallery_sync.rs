//! Keeps the gallery in step with enrollments and deletions made elsewhere: by another
//! instance, or by a command on the same store.

use std::{collections::HashMap, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    clock::Clock,
    domain::ids::EmployeeId,
    ports::{StoreError, TemplateStore},
    service::{
        feed::{Following, News},
        references::{ReferenceError, References},
    },
    telemetry::{Condition, Health},
};

/// How often word of changes is asked for.
pub const EVERY: Duration = Duration::from_secs(2);

/// How far each question reaches back beyond the last: clocks of instances differ, and a change
/// is noted a moment before it is done.
pub const OVERLAP: SignedDuration = SignedDuration::from_secs(60);

/// The part of the service that this worker answers for.
pub const PART: &str = "gallery";

/// What is asked for changes, and what was seen of them.
pub struct GallerySync {
    references: Arc<References>,
    templates: Arc<dyn TemplateStore>,
    clock: Arc<dyn Clock>,
    health: Arc<Health>,
    since: Timestamp,
    seen: HashMap<EmployeeId, Timestamp>,
}

impl GallerySync {
    /// For a gallery that was filled from the store no earlier than `since`.
    pub fn new(
        references: Arc<References>,
        templates: Arc<dyn TemplateStore>,
        clock: Arc<dyn Clock>,
        health: Arc<Health>,
        since: Timestamp,
    ) -> Self {
        Self {
            references,
            templates,
            clock,
            health,
            since,
            seen: HashMap::new(),
        }
    }

    /// Asks every [`EVERY`], and at once on word of a change, until the token is cancelled.
    pub async fn run(mut self, mut news: Following, stop: CancellationToken) {
        let mut tick = tokio::time::interval_at(Instant::now() + EVERY, EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = tick.tick() => {}
                () = news.until(|news| matches!(news, News::Employee(_))) => {}
            }
            let condition = match self.step().await {
                Ok(_) => Condition::Fine,
                // Still fit to serve: it only learns late of what others enroll.
                Err(cause) => Condition::Degraded(format!("not in step with the store: {cause}")),
            };
            if self.health.note(PART, condition.clone()) {
                match condition {
                    Condition::Fine => info!("the gallery is in step with the store"),
                    Condition::Degraded(cause) | Condition::Down(cause) => warn!("{cause}"),
                }
            }
        }
    }

    /// Asks once; how many people were brought up to date. After an error the next step asks
    /// for the same time again.
    pub async fn step(&mut self) -> Result<usize, StoreError> {
        let begin = self.clock.now();
        let from = reach(self.since);
        let mut refreshed = 0;
        for (employee, at) in self.templates.changed_since(from).await? {
            if self.seen.get(&employee).is_some_and(|&seen| seen >= at) {
                continue;
            }
            match self.references.refresh(employee).await {
                Ok(()) => refreshed += 1,
                Err(ReferenceError::Store(cause)) => return Err(cause),
                Err(cause) => error!(%cause, "left out of the gallery"),
            }
            self.seen.insert(employee, at);
        }
        self.since = begin;
        // What lies further back is not answered any more.
        let forget = reach(begin);
        self.seen.retain(|_, at| *at >= forget);
        Ok(refreshed)
    }
}

fn reach(since: Timestamp) -> Timestamp {
    since.checked_sub(OVERLAP).unwrap_or(Timestamp::MIN)
}
