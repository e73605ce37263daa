//! Publishes signals for home automation, on one instance at a time: the holder of the lease in the
//! store.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::{
    clock::Clock,
    domain::tracking::back_off,
    ports::{Broker, BrokerError, BrokerSession, Note},
    repositories::Leases,
    service::{
        feed::{Feed, Following, News},
        leased_work::with_lease,
        messages::Signals,
    },
};

/// How long the lease outlives an instance that crashes.
const LEASE: Duration = Duration::from_secs(15);
/// How often another instance tries to get it.
const TRY_EVERY: Duration = Duration::from_secs(2);
const NAME: &str = "mqtt";

/// How often signals are made without news: people become late without a punch.
const EVERY: Duration = Duration::from_secs(60);

/// How long news are gathered at least, and in times of how long the signals took to make: many
/// punches at once must not keep the machine busy.
const GATHER: Duration = Duration::from_millis(500);
const REST: u32 = 20;

/// The dependencies of the worker.
pub struct MqttContext {
    /// The broker.
    pub broker: Arc<dyn Broker>,
    /// What is published.
    pub signals: Signals,
    /// Leases.
    pub leases: Leases,
    /// Announcements of changes.
    pub feed: Feed,
    /// Time and entropy.
    pub clock: Arc<dyn Clock>,
}

/// Publishes whenever no other instance does, until the token is canceled.
pub async fn run(context: Arc<MqttContext>, stop: CancellationToken) {
    let holder = context.clock.id().to_string();
    while !stop.is_cancelled() {
        let work = async |_: &_| connected(&context, &stop).await;
        let by = (&context.leases, &*context.clock);
        if let Err(cause) = with_lease(by, (NAME, &holder), LEASE, work).await {
            debug!(%cause, "could not read the lease of the signals");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(TRY_EVERY) => {}
        }
    }
}

/// Keeps a connection, and connects again when it is lost.
async fn connected(context: &MqttContext, stop: &CancellationToken) {
    let mut failures = 0_u32;
    while !stop.is_cancelled() {
        let will = Signals::available(false);
        let cause = tokio::select! {
            () = stop.cancelled() => return,
            session = context.broker.connect(will) => match session {
                Ok(session) => {
                    info!("connected to the broker of MQTT");
                    failures = 0;
                    match publish(context, session, stop).await {
                        Ok(()) => return,
                        Err(cause) => cause,
                    }
                }
                Err(cause) => cause,
            },
        };
        failures = failures.saturating_add(1);
        if failures == 1 {
            warn!(%cause, "no signals are published; trying again");
        }
        let jitter = f64::from(context.clock.secret()[0]) / 255.0;
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(back_off(failures, jitter)) => {}
        }
    }
}

/// Publishes everything, and then what changes, until the connection is lost or the token is
/// canceled.
async fn publish(
    context: &MqttContext,
    mut session: Box<dyn BrokerSession>,
    stop: &CancellationToken,
) -> Result<(), BrokerError> {
    let mut news = context.feed.follow();
    let mut published = BTreeMap::new();
    loop {
        let begin = Instant::now();
        match context.signals.all().await {
            Ok(notes) => {
                let mut changed = Vec::new();
                let present: BTreeSet<_> = notes.iter().map(|note| note.topic.clone()).collect();
                for note in notes {
                    if published.get(&note.topic) != Some(&note.payload) {
                        published.insert(note.topic.clone(), note.payload.clone());
                        changed.push(note);
                    }
                }
                // What is not there anymore is removed from the broker.
                let gone: Vec<_> = published
                    .keys()
                    .filter(|topic| !present.contains(*topic))
                    .cloned()
                    .collect();
                for topic in gone {
                    published.remove(&topic);
                    let payload = String::new();
                    changed.push(Note { topic, payload });
                }
                // Each time, because the broker may publish the will of an instance that is gone
                // only after this one has connected.
                changed.push(Signals::available(true));
                session.publish(changed).await?;
            }
            // The signals stay as they are; the next look is soon.
            Err(cause) => debug!(%cause, "could not make signals"),
        }
        let gather = GATHER.max(begin.elapsed() * REST).min(EVERY);
        tokio::select! {
            () = stop.cancelled() => {
                let gone = vec![Signals::available(false)];
                // Without it, the broker publishes the will.
                if session.publish(gone).await.is_ok() {
                    session.close().await;
                }
                return Ok(());
            }
            cause = session.lost() => return Err(cause),
            () = next(&mut news, gather) => {}
        }
    }
}

/// Waits until there may be something new.
async fn next(news: &mut Following, gather: Duration) {
    let matters = |news| {
        matches!(
            news,
            News::Punch(_)
                | News::Employee(_)
                | News::Site(_)
                | News::Camera(_)
                | News::Device(_)
                | News::Plan(_)
                | News::Timesheet(_)
        )
    };
    tokio::select! {
        () = tokio::time::sleep(EVERY) => {}
        () = news.until(matters) => tokio::time::sleep(gather).await,
    }
}
