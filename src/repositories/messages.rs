//! Webhooks, and the deliveries in the outbox.

use jiff::Timestamp;

use crate::{
    domain::{
        ids::DeliveryId,
        mail::MailPreferences,
        messages::{Channel, Delivery, DeliveryState, Webhook},
        record::Key,
    },
    ports::{Page, Range, StoreError},
};

repository! {
    /// The repository of webhooks. There are few, so they are read together.
    Webhooks(Webhook): insert, find, all, exchange, remove
}

repository! {
    /// The repository of the letters that accounts do not want.
    MailPreferenceBook(MailPreferences): find, put, remove
}

repository! {
    /// The repository of deliveries.
    Deliveries(Delivery): find, purge
}

impl Deliveries {
    /// Adds a delivery; returns false if it exists.
    pub async fn add(&self, delivery: &Delivery) -> Result<bool, StoreError> {
        self.0.insert_new(delivery).await
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
}
