//! The courier: sends the deliveries that are due, and writes down what became of them.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt, stream::FuturesUnordered};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{outcome::Outcome, webhooks::Webhooks};
use crate::{
    clock::Clock,
    domain::messages::{Channel, Delivery, DeliveryState, THREE_DAYS, Webhook},
    ports::StoreError,
    repositories::Repositories,
};

/// The most messages that are sent at a time, and to one receiver.
const AT_ONCE: usize = 32;
const AT_ONCE_TO_ONE: usize = 4;

/// Number of deliveries that are read at a time for one receiver.
const BATCH: usize = 100;

/// How often the store is asked for deliveries that are due.
const POLL: Duration = Duration::from_secs(1);

/// The first and the longest pause of a receiver that does not answer at all; it doubles in
/// between. Meanwhile nothing is sent to it.
const FIRST_REST: SignedDuration = SignedDuration::from_secs(2);
const LONGEST_REST: SignedDuration = SignedDuration::from_mins(5);

/// The pause of a receiver that does not answer.
struct Rest {
    until: Timestamp,
    pause: SignedDuration,
}

/// Sends deliveries.
pub struct Courier {
    stores: Repositories,
    webhooks: Arc<Webhooks>,
    clock: Arc<dyn Clock>,
}

impl Courier {
    /// Creates the courier.
    pub fn new(stores: Repositories, webhooks: Arc<Webhooks>, clock: Arc<dyn Clock>) -> Self {
        Self {
            stores,
            webhooks,
            clock,
        }
    }

    /// Sends what is due until the token is canceled. Only one instance may do this at a time.
    pub async fn work(&self, wake: &Notify, stop: &CancellationToken) {
        let mut under_way = FuturesUnordered::new();
        let mut busy = HashSet::new();
        let mut rests = HashMap::new();
        let mut failing = false;
        while !stop.is_cancelled() {
            let found = self.next(&busy, &rests).await;
            match &found {
                Err(cause) if !failing => warn!(%cause, "could not look for messages to send"),
                Ok(_) if failing => info!("the store is back; sending messages again"),
                _ => {}
            }
            failing = found.is_err();
            for (delivery, webhook) in found.unwrap_or_default() {
                busy.insert((delivery.channel, delivery.lane.clone()));
                under_way.push(self.attempt(delivery, webhook));
            }
            let ended = tokio::select! {
                () = stop.cancelled() => return,
                () = wake.notified() => None,
                () = tokio::time::sleep(POLL) => None,
                Some(ended) = under_way.next() => Some(ended),
            };
            if let Some((delivery, answered)) = ended {
                self.note(&mut rests, delivery.channel, answered);
                busy.remove(&(delivery.channel, delivery.lane));
            }
        }
    }

    /// Returns the deliveries to send now.
    async fn next(
        &self,
        busy: &HashSet<(Channel, String)>,
        rests: &HashMap<Channel, Rest>,
    ) -> Result<Vec<(Delivery, Webhook)>, StoreError> {
        let now = self.clock.now();
        let mut room = AT_ONCE.saturating_sub(busy.len());
        let mut chosen = Vec::new();
        for webhook in self.stores.webhooks.all().await? {
            let channel = Channel::Webhook(webhook.id);
            let sending = busy.iter().filter(|(of, _)| *of == channel).count();
            let rest = rests.get(&channel);
            let mut own = match rest {
                Some(rest) if rest.until > now => 0,
                // One message tells whether it answers again.
                Some(_) => 1_usize.saturating_sub(sending),
                None => AT_ONCE_TO_ONE.saturating_sub(sending),
            };
            if !webhook.is_on() || own.min(room) == 0 {
                continue;
            }
            let mut lanes = HashSet::new();
            for delivery in self.stores.deliveries.due(channel, now, BATCH).await? {
                if own.min(room) == 0 {
                    break;
                }
                let lane = (channel, delivery.lane.clone());
                if busy.contains(&lane) || lanes.contains(&delivery.lane) {
                    continue;
                }
                let head = self.stores.deliveries.head(channel, &delivery.lane).await?;
                let head = head.filter(|head| head.id != delivery.id);
                if let Some(due) = head.as_ref().and_then(|head| head.due) {
                    // An earlier message of the lane failed, and is first.
                    if due > now {
                        let held = |one: Delivery| {
                            let waits = one.state == DeliveryState::Waiting;
                            waits.then_some(Delivery {
                                due: Some(due),
                                ..one
                            })
                        };
                        self.stores.deliveries.change(delivery.id, held).await?;
                        continue;
                    }
                }
                lanes.insert(delivery.lane.clone());
                (own, room) = (own - 1, room - 1);
                chosen.push((head.unwrap_or(delivery), webhook.clone()));
            }
        }
        Ok(chosen)
    }

    /// Sends a message once, and writes down the outcome. Returns whether the receiver answered;
    /// `None` if that says nothing.
    async fn attempt(&self, delivery: Delivery, webhook: Webhook) -> (Delivery, Option<bool>) {
        let outcome = self.webhooks.post(&delivery, &webhook).await;
        debug!(delivery = %delivery.id, webhook = %webhook.id, ?outcome, "sent a message");
        let answered = !matches!(outcome, Outcome::NoAnswer(_));
        match self.settle(&delivery, &webhook, outcome).await {
            Ok(()) => (delivery, Some(answered)),
            Err(cause) => {
                // It will be sent again.
                warn!(%cause, delivery = %delivery.id, "could not write the outcome of a message");
                (delivery, Some(false))
            }
        }
    }

    async fn settle(
        &self,
        sent: &Delivery,
        webhook: &Webhook,
        outcome: Outcome,
    ) -> Result<(), StoreError> {
        let (now, jitter) = (self.clock.now(), f64::from(self.clock.secret()[0]) / 255.0);
        let change = |one| Some(outcome.settle(one, now, jitter));
        let settled = self.stores.deliveries.change(sent.id, change);
        let Some(settled) = settled.await? else {
            return Ok(());
        };
        if matches!(outcome, Outcome::Gone) {
            let reason = "the receiver answered 410: it is gone";
            return self.webhooks.disable(webhook.id, reason).await;
        }
        // A test that is sent again says nothing about the webhook.
        if settled.state == DeliveryState::Failed && settled.patience >= THREE_DAYS {
            warn!(delivery = %sent.id, webhook = %webhook.id, "gave a message up");
            let since = settled.first_attempt_at.unwrap_or(now);
            let channel = settled.channel;
            if !self
                .stores
                .deliveries
                .accepted_since(channel, since)
                .await?
            {
                let reason = "the receiver accepted nothing for three days";
                return self.webhooks.disable(webhook.id, reason).await;
            }
        }
        Ok(())
    }

    /// Lets a receiver rest that does not answer.
    fn note(&self, rests: &mut HashMap<Channel, Rest>, channel: Channel, answered: Option<bool>) {
        match answered {
            None => {}
            Some(true) => drop(rests.remove(&channel)),
            Some(false) => {
                let now = self.clock.now();
                let rest = rests.get(&channel);
                // Messages that were under way together count once.
                if rest.is_some_and(|rest| rest.until > now) {
                    return;
                }
                let pause = rest.map_or(FIRST_REST, |rest| (rest.pause * 2).min(LONGEST_REST));
                let until = now.saturating_add(pause).unwrap_or(now);
                rests.insert(channel, Rest { until, pause });
            }
        }
    }
}
