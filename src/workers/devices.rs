//! Watches for kiosks that fall silent.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use metrics::gauge;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::{
    domain::{grants::Reach, ids::DeviceId},
    ports::StoreError,
    service::{
        devices::Devices,
        feed::{Feed, News},
        notice::NoticeKind,
    },
};

/// How often the devices are looked at.
const EVERY: Duration = Duration::from_secs(60);

/// Logs and announces kiosks that fall silent or report again, and keeps their number as a metric,
/// until the token is canceled. Every instance does this: the announcement of one that is late or
/// repeated does no harm.
pub async fn run(devices: Arc<Devices>, feed: Feed, stop: CancellationToken) {
    let mut watch = SilenceWatch::default();
    loop {
        if let Err(cause) = watch.look(&devices, &feed).await {
            debug!(%cause, "could not look for silent devices; retrying in 60s");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// The kiosks that were silent at the last look.
#[derive(Debug, Default)]
pub struct SilenceWatch(BTreeSet<DeviceId>);

impl SilenceWatch {
    /// Looks at all devices.
    pub async fn look(&mut self, devices: &Devices, feed: &Feed) -> Result<(), StoreError> {
        let notices = devices.notices(&Reach::Everything).await?;
        let silent = notices.into_iter();
        let silent = silent.filter(|notice| notice.kind == NoticeKind::DeviceSilent);
        let silent: BTreeSet<_> = silent
            .filter_map(|notice| notice.subject?.parse().ok())
            .collect();
        gauge!("rollcall_devices_silent").set(silent.len() as f64);
        let before = std::mem::replace(&mut self.0, silent);
        for device in self.0.symmetric_difference(&before) {
            match self.0.contains(device) {
                true => warn!(%device, "a kiosk is silent"),
                false => info!(%device, "a kiosk is no longer silent"),
            }
            feed.publish(News::Device(*device)).await;
        }
        Ok(())
    }
}
