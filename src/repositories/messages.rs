//! Webhooks, and the deliveries in the outbox.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Collection, Versioned};
use crate::{
    domain::{
        ids::{AccountId, DeliveryId, WebhookId},
        mail::MailPreferences,
        messages::{Channel, Delivery, DeliveryState, Webhook},
        record::{Index, Key},
    },
    ports::{Page, Parts, Range, RecordEngine, StoreError},
};

/// The repository of webhooks. There are few, so they are read together.
#[derive(Clone)]
pub struct Webhooks(Collection<Webhook>);

impl Webhooks {
    /// Creates the repository on a store.
    pub fn new(engine: Arc<dyn RecordEngine>) -> Self {
        Self(Collection::new(engine))
    }

    /// Adds a webhook.
    pub async fn insert(&self, webhook: &Webhook) -> Result<(), StoreError> {
        self.0.insert(webhook).await
    }

    /// Returns a webhook.
    pub async fn find(&self, id: WebhookId) -> Result<Option<Webhook>, StoreError> {
        Ok(self.0.get(&id).await?.map(Versioned::into_inner))
    }

    /// Returns all webhooks, oldest first.
    pub async fn all(&self) -> Result<Vec<Webhook>, StoreError> {
        self.0.all(Index::ID, Range::all(), Parts::Body).await
    }

    /// Replaces a webhook if it equals `old`; otherwise changes nothing and returns false.
    pub async fn exchange(&self, old: &Webhook, new: &Webhook) -> Result<bool, StoreError> {
        self.0.exchange(old, new).await
    }

    /// Deletes a webhook; returns false if it did not exist.
    pub async fn remove(&self, id: WebhookId) -> Result<bool, StoreError> {
        self.0.remove(&id).await
    }
}

/// The repository of the letters that accounts do not want.
#[derive(Clone)]
pub struct MailPreferenceBook(Collection<MailPreferences>);

impl MailPreferenceBook {
    /// Creates the repository on a store.
    pub fn new(engine: Arc<dyn RecordEngine>) -> Self {
        Self(Collection::new(engine))
    }

    /// Returns those of an account.
    pub async fn find(&self, account: AccountId) -> Result<Option<MailPreferences>, StoreError> {
        Ok(self.0.get(&account).await?.map(Versioned::into_inner))
    }

    /// Adds or replaces those of an account.
    pub async fn put(&self, preferences: &MailPreferences) -> Result<(), StoreError> {
        self.0.put(preferences).await
    }

    /// Deletes those of an account; returns false if there are none.
    pub async fn remove(&self, account: AccountId) -> Result<bool, StoreError> {
        self.0.remove(&account).await
    }
}

/// The repository of deliveries.
#[derive(Clone)]
pub struct Deliveries(Collection<Delivery>);

impl Deliveries {
    /// Creates the repository on a store.
    pub fn new(engine: Arc<dyn RecordEngine>) -> Self {
        Self(Collection::new(engine))
    }

    /// Adds a delivery; returns false if it exists.
    pub async fn add(&self, delivery: &Delivery) -> Result<bool, StoreError> {
        match self.0.insert(delivery).await {
            Ok(()) => Ok(true),
            Err(StoreError::Conflict) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Returns a delivery.
    pub async fn find(&self, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
        Ok(self.0.get(&id).await?.map(Versioned::into_inner))
    }

    /// Returns a page of the deliveries of a channel that are due, longest due first. The cursor is
    /// the due time and ID of the last one.
    pub async fn due(
        &self,
        channel: Channel,
        now: Timestamp,
        page: &Page<(Timestamp, DeliveryId)>,
    ) -> Result<Vec<Delivery>, StoreError> {
        let end = Key::new((channel, now)).end();
        let after = page
            .after
            .map(|(due, id)| (Key::new((channel, due)), id.to_string()));
        let range = Range::within(Key::new((channel,))).before(end).after(after);
        self.0.list(Delivery::QUEUE, &range, page.limit).await
    }

    /// Returns the first delivery of a lane that waits.
    pub async fn head(&self, channel: Channel, lane: &str) -> Result<Option<Delivery>, StoreError> {
        let range = Range::within(Key::new((channel, lane)));
        self.0.first(Delivery::LANE, &range).await
    }

    /// Changes a delivery; `None` if it does not exist or `change` leaves it as it is.
    pub async fn change(
        &self,
        id: DeliveryId,
        change: impl FnMut(Delivery) -> Option<Delivery>,
    ) -> Result<Option<Delivery>, StoreError> {
        self.0.change(&id, change).await
    }

    /// Returns a page of the deliveries of a channel, newest first; only those in a state, if one is
    /// given. The cursor is the time and ID of the last one.
    pub async fn list(
        &self,
        channel: Channel,
        state: Option<DeliveryState>,
        page: &Page<(Timestamp, DeliveryId)>,
    ) -> Result<Vec<Delivery>, StoreError> {
        let after = page
            .after
            .map(|(at, id)| (Key::new((channel, at)), id.to_string()));
        let range = Range::within(Key::new((channel,))).backwards().after(after);
        let wanted = |one: &Delivery| state.is_none_or(|state| one.state == state);
        self.0
            .filter(Delivery::BY_CHANNEL, range, page.limit, wanted)
            .await
    }

    /// Returns the deliveries of a channel that were given up, other than tests, of what happened since
    /// a moment, oldest first.
    pub async fn failed_since(
        &self,
        channel: Channel,
        since: Timestamp,
        limit: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        let range = Range::within(Key::new((channel,))).from(Key::new((channel, since)));
        let wanted = |one: &Delivery| one.state == DeliveryState::Failed && one.patience > 0;
        self.0
            .filter(Delivery::BY_CHANNEL, range, limit, wanted)
            .await
    }

    /// Checks whether a channel accepted something other than a test after a moment.
    pub async fn accepted_since(
        &self,
        channel: Channel,
        since: Timestamp,
    ) -> Result<bool, StoreError> {
        let range = Range::within(Key::new((channel,))).backwards();
        let wanted = |one: &Delivery| {
            one.state == DeliveryState::Delivered
                && one.patience > 0
                && one.ended_at.is_some_and(|at| at >= since)
        };
        let found = self
            .0
            .filter(Delivery::BY_CHANNEL, range, 1, wanted)
            .await?;
        Ok(!found.is_empty())
    }

    /// Returns the number of deliveries of a channel that wait, and when the oldest of them
    /// happened.
    pub async fn waiting(&self, channel: Channel) -> Result<(u64, Option<Timestamp>), StoreError> {
        let range = Range::within(Key::new((channel,)));
        let count = self.0.count(Delivery::BY_WAIT, &range).await?;
        let first = match count {
            0 => None,
            _ => self.0.first(Delivery::BY_WAIT, &range).await?,
        };
        Ok((count, first.map(|first| first.at)))
    }

    /// Returns the deliveries of a channel that wait for the longest time; not all of them.
    pub async fn longest_waiting(&self, channel: Channel) -> Result<Vec<Delivery>, StoreError> {
        let range = Range::within(Key::new((channel,)));
        self.0.list(Delivery::BY_WAIT, &range, 20).await
    }

    /// Deletes the deliveries of a channel; returns how many there were.
    pub async fn remove_channel(&self, channel: Channel) -> Result<u64, StoreError> {
        let range = Range::within(Key::new((channel,)));
        self.0.remove_range(Delivery::BY_CHANNEL, range).await
    }

    /// Deletes the deliveries that ended before a moment, or never will; returns how many there
    /// were.
    pub async fn purge(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.0.purge((), before).await
    }
}
