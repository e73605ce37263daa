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

use super::{letters::Letters, outcome::Outcome, webhooks::Webhooks};
use crate::{
    clock::Clock,
    domain::{
        ids::DeliveryId,
        messages::{Attempt, Channel, Content, Delivery, DeliveryState, THREE_DAYS, Webhook},
    },
    ports::{MailSending, Page, StoreError},
    repositories::Repositories,
};

/// The most messages that are sent to one receiver at a time. The first is always possible, so that
/// slow receivers hold up no other one; the further ones of all receivers share these slots.
const AT_ONCE: usize = 4;
const SHARED: usize = 24;

/// Number of deliveries that are read at a time for one receiver.
const BATCH: usize = 100;

/// How often the store is asked for deliveries that are due.
const POLL: Duration = Duration::from_secs(1);

/// The first and the longest pause of a receiver that does not answer at all, or that says that it is
/// busy; it doubles in between. Meanwhile nothing is sent to it.
const FIRST_REST: SignedDuration = SignedDuration::from_secs(2);
const LONGEST_REST: SignedDuration = SignedDuration::from_mins(5);

/// The pause of a receiver.
struct Rest {
    began: Timestamp,
    until: Timestamp,
    pause: SignedDuration,
}

/// The receiver of a delivery.
#[derive(Clone)]
enum Receiver {
    Webhook(Box<Webhook>),
    Mail(Arc<dyn MailSending>),
}

impl Receiver {
    /// Returns since when messages are sent to it.
    fn since(&self) -> Timestamp {
        match self {
            Self::Webhook(webhook) => webhook.since,
            Self::Mail(_) => Timestamp::MIN,
        }
    }
}

/// Returns how many more messages may be sent to a receiver, to which some are under way, if the
/// receivers have room for further ones.
fn free_slots(sending: usize, rest: Option<&Rest>, now: Timestamp, room: usize) -> usize {
    match rest {
        Some(rest) if rest.until > now => 0,
        // One message shows whether it answers again.
        Some(_) => 1_usize.saturating_sub(sending),
        None => (AT_ONCE.saturating_sub(sending)).min(room + usize::from(sending == 0)),
    }
}

/// Sends deliveries.
#[derive(derive_new::new)]
pub struct Courier {
    stores: Repositories,
    webhooks: Arc<Webhooks>,
    letters: Arc<Letters>,
    mail: Option<Arc<dyn MailSending>>,
    clock: Arc<dyn Clock>,
}

impl Courier {
    /// Sends what is due until the token is canceled. Only one instance may do this at a time.
    pub async fn work(&self, wake: &Notify, stop: &CancellationToken) {
        let mut under_way = FuturesUnordered::new();
        let mut busy = HashSet::new();
        let mut rests = HashMap::new();
        let mut failing = false;
        while !stop.is_cancelled() {
            let found = self.next(&busy, &mut rests).await;
            match &found {
                Err(cause) if !failing => warn!(%cause, "could not look for messages to send"),
                Ok(_) if failing => info!("the store is back; sending messages again"),
                _ => {}
            }
            failing = found.is_err();
            for (delivery, receiver) in found.unwrap_or_default() {
                busy.insert((delivery.channel, delivery.lane.clone()));
                under_way.push(self.attempt(delivery, receiver));
            }
            let ended = tokio::select! {
                () = stop.cancelled() => return,
                () = wake.notified() => None,
                () = tokio::time::sleep(POLL) => None,
                Some(ended) = under_way.next() => Some(ended),
            };
            if let Some((delivery, rest)) = ended {
                self.rest(&mut rests, delivery.channel, rest);
                busy.remove(&(delivery.channel, delivery.lane));
            }
        }
    }

    /// Returns the deliveries to send now.
    async fn next(
        &self,
        busy: &HashSet<(Channel, String)>,
        rests: &mut HashMap<Channel, Rest>,
    ) -> Result<Vec<(Delivery, Receiver)>, StoreError> {
        let now = self.clock.now();
        let mut sending = HashMap::<Channel, usize>::new();
        for (channel, _) in busy {
            *sending.entry(*channel).or_default() += 1;
        }
        let mut room = SHARED.saturating_sub(busy.len() - sending.len());
        // People wait for letters.
        let mail = self.mail.iter().cloned();
        let mail = mail.map(|mail| (Channel::Mail, Receiver::Mail(mail)));
        let webhooks = self.stores.webhooks.all().await?.into_iter();
        let webhooks = webhooks.filter(Webhook::is_on).map(|webhook| {
            let channel = Channel::Webhook(webhook.id);
            (channel, Receiver::Webhook(Box::new(webhook)))
        });
        let mut chosen = Vec::new();
        for (channel, receiver) in mail.chain(webhooks) {
            let sending = sending.get(&channel).copied().unwrap_or_default();
            // A webhook that was turned on again does not rest.
            if rests
                .get(&channel)
                .is_some_and(|rest| rest.began < receiver.since())
            {
                rests.remove(&channel);
            }
            let slots = free_slots(sending, rests.get(&channel), now, room);
            let found = self.choose(channel, slots, busy, now).await?;
            room -= (sending + found.len()).saturating_sub(sending.max(1));
            let found = found.into_iter().map(|one| (one, receiver.clone()));
            chosen.extend(found);
        }
        Ok(chosen)
    }

    /// Returns deliveries of a channel that are due, each the first of a lane that is not busy.
    async fn choose(
        &self,
        channel: Channel,
        slots: usize,
        busy: &HashSet<(Channel, String)>,
        now: Timestamp,
    ) -> Result<Vec<Delivery>, StoreError> {
        let (mut chosen, mut held, mut after) = (Vec::new(), 0, None);
        // The lanes that were looked at, with the time until which an earlier message that failed
        // holds back the later ones.
        let mut lanes = HashMap::<String, Option<Timestamp>>::new();
        while chosen.len() < slots {
            let page = Page {
                after,
                limit: BATCH,
            };
            let due = self.stores.deliveries.due(channel, now, &page).await?;
            let full = due.len() == BATCH;
            after = due.last().and_then(|last| Some((last.due?, last.id)));
            for delivery in due {
                let lane = (channel, delivery.lane);
                if chosen.len() == slots || busy.contains(&lane) {
                    continue;
                }
                let lane = lane.1;
                let until = match lanes.get(&lane) {
                    Some(until) => *until,
                    None => {
                        let head = self.stores.deliveries.head(channel, &lane).await?;
                        let until = head.as_ref().and_then(|head| head.due);
                        let until = until.filter(|due| *due > now);
                        if until.is_none() {
                            chosen.extend(head);
                        }
                        lanes.insert(lane, until);
                        until
                    }
                };
                // Not all at once: a lane may be long.
                if let Some(due) = until.filter(|_| held < BATCH) {
                    self.hold_back(delivery.id, due).await?;
                    held += 1;
                }
            }
            if !full {
                break;
            }
        }
        Ok(chosen)
    }

    /// Lets a message wait as long as an earlier one of its lane.
    async fn hold_back(&self, id: DeliveryId, due: Timestamp) -> Result<(), StoreError> {
        let held = |one: Delivery| {
            let waits = one.state == DeliveryState::Waiting;
            waits.then_some(Delivery {
                due: Some(due),
                ..one
            })
        };
        self.stores.deliveries.change(id, held).await.map(drop)
    }

    /// Sends a message once, and writes down the outcome. Returns how long the receiver must rest at
    /// least, if it must.
    async fn attempt(
        &self,
        delivery: Delivery,
        to: Receiver,
    ) -> (Delivery, Option<SignedDuration>) {
        let outcome = match &to {
            Receiver::Webhook(webhook) => self.webhooks.post(&delivery, webhook).await,
            Receiver::Mail(mail) => self.mail(&delivery, &**mail).await,
        };
        debug!(delivery = %delivery.id, channel = ?delivery.channel, ?outcome, "sent a message");
        let rest = outcome.rest();
        match self.settle(&delivery, outcome, to.since()).await {
            Ok(()) => (delivery, rest),
            Err(cause) => {
                // It will be sent again.
                warn!(%cause, delivery = %delivery.id, "could not write the outcome of a message");
                (delivery, Some(SignedDuration::ZERO))
            }
        }
    }

    /// Gives a letter to the mail server.
    async fn mail(&self, delivery: &Delivery, mail: &dyn MailSending) -> Outcome {
        let letter = match &delivery.content {
            Content::Sealed(sealed) => self.letters.open(delivery.id, sealed),
            Content::Open(_) => None,
        };
        let outcome = match letter {
            Some(letter) => {
                let id = delivery.id.to_string();
                Outcome::of_mail(mail.send(&id, &letter).await)
            }
            None => Outcome::Rejected("the letter cannot be decrypted".to_owned()),
        };
        outcome.counted(delivery.channel)
    }

    /// Writes the outcome down, and disables a webhook that does not accept messages. The receiver
    /// is on since a moment.
    async fn settle(
        &self,
        sent: &Delivery,
        outcome: Outcome,
        since: Timestamp,
    ) -> Result<(), StoreError> {
        let attempt = Attempt {
            now: self.clock.now(),
            since,
            jitter: f64::from(self.clock.secret()[0]) / 255.0,
        };
        // Another instance may have settled it, while this one still waited for the answer.
        let change = |one: Delivery| {
            let waits = one.state == DeliveryState::Waiting;
            waits.then(|| outcome.settle(one, attempt))
        };
        let settled = self.stores.deliveries.change(sent.id, change);
        let Some(settled) = settled.await? else {
            return Ok(());
        };
        if settled.state == DeliveryState::Failed {
            warn!(delivery = %sent.id, topic = sent.topic, "gave a message up");
        }
        let Channel::Webhook(webhook) = settled.channel else {
            return Ok(());
        };
        if matches!(outcome, Outcome::Gone) {
            let reason = "the receiver answered 410: it is gone";
            return self.webhooks.disable(webhook, reason).await;
        }
        // A test that is sent again says nothing about the webhook.
        if settled.state == DeliveryState::Failed && settled.patience >= THREE_DAYS {
            let since = settled.patient_since(since).unwrap_or(attempt.now);
            let channel = settled.channel;
            if !self
                .stores
                .deliveries
                .accepted_since(channel, since)
                .await?
            {
                let reason = "the receiver accepted nothing for three days";
                return self.webhooks.disable(webhook, reason).await;
            }
        }
        Ok(())
    }

    /// Lets a receiver rest that takes no messages, for at least some time; `None` ends its rest.
    fn rest(
        &self,
        rests: &mut HashMap<Channel, Rest>,
        channel: Channel,
        least: Option<SignedDuration>,
    ) {
        let Some(least) = least else {
            rests.remove(&channel);
            return;
        };
        let now = self.clock.now();
        let rest = rests.get(&channel);
        // Messages that were under way together count once.
        if rest.is_some_and(|rest| rest.until > now) {
            return;
        }
        let pause = rest.map_or(FIRST_REST, |rest| rest.pause * 2);
        let pause = pause.max(least).min(LONGEST_REST);
        let until = now.saturating_add(pause).unwrap_or(now);
        let began = now;
        rests.insert(
            channel,
            Rest {
                began,
                until,
                pause,
            },
        );
    }
}
