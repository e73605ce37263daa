//! Collects and sends messages, on one instance at a time: the holder of the lease in the store.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use crate::{
    clock::Clock,
    repositories::Leases,
    service::{feed::Feed, leased_work::with_lease, messages::Outbox},
};

/// How long the lease outlives an instance that crashes.
pub const LEASE: Duration = Duration::from_secs(15);
/// How often another instance tries to get it.
const TRY_EVERY: Duration = Duration::from_secs(2);
const NAME: &str = "outbox";

/// Works whenever no other instance does, until the token is canceled.
pub async fn run(
    outbox: Arc<Outbox>,
    leases: Leases,
    clock: Arc<dyn Clock>,
    feed: Feed,
    stop: CancellationToken,
) {
    let holder = clock.id().to_string();
    while !stop.is_cancelled() {
        let mut news = feed.follow();
        let work = async |_: &_| {
            info!("sending messages");
            outbox.work(&mut news, &stop).await;
        };
        let by = (&leases, &*clock);
        if let Err(cause) = with_lease(by, (NAME, &holder), LEASE, work).await {
            debug!(%cause, "could not read the lease of the outbox");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(TRY_EVERY) => {}
        }
    }
}
