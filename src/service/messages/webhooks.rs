//! Webhooks: adds, changes and removes them, rotates their secrets, and lists their deliveries.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::json;
use tracing::warn;

use super::{
    events::body,
    outcome::Outcome,
    signing::{Secret, sign},
};
use crate::{
    clock::Clock,
    domain::{
        accounts::Actor,
        ids::{DeliveryId, WebhookId},
        messages::{
            Attempt, Channel, Content, Delivery, DeliveryState, Webhook, WebhookSettings,
            WebhookState,
        },
        sealed::{Binding, Sealed},
    },
    ports::{Page, StoreError, WebhookPosting, WebhookRequest},
    repositories::Repositories,
    service::{audit::Audit, sites::Sites},
    vault::{Vault, VaultError},
};

/// Why a request about webhooks failed.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// The webhook does not exist.
    #[error("no such webhook")]
    NotFound,
    /// The delivery does not exist.
    #[error("no such delivery")]
    NoDelivery,
    /// The delivery waits already.
    #[error("the delivery waits for its next attempt already")]
    Waiting,
    /// A site does not exist or was removed.
    #[error("there is no such site: add it first")]
    UnknownSite,
    /// The address cannot be reached from here.
    #[error("{0}")]
    NotAllowed(String),
    /// There are too many webhooks.
    #[error("there are {} webhooks, which is the most", Webhook::MOST)]
    TooMany,
    /// Other requests kept changing the webhook at the same time.
    #[error("other requests are changing this webhook at the same time")]
    Raced,
    /// The secret could not be sealed.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Number of attempts at a change while other requests change the same webhook.
const TRIES: usize = 8;

/// The service for webhooks.
#[derive(derive_new::new)]
pub struct Webhooks {
    stores: Repositories,
    sites: Arc<Sites>,
    posting: Arc<dyn WebhookPosting>,
    vault: Arc<Vault>,
    audit: Audit,
    clock: Arc<dyn Clock>,
}

impl Webhooks {
    /// The most deliveries that are sent again by one request.
    pub const REPLAYED_MOST: usize = 1000;

    /// Returns all webhooks, oldest first.
    pub async fn all(&self) -> Result<Vec<Webhook>, StoreError> {
        self.stores.webhooks.all().await
    }

    /// Returns a webhook.
    pub async fn find(&self, id: WebhookId) -> Result<Webhook, WebhookError> {
        let found = self.stores.webhooks.find(id).await?;
        found.ok_or(WebhookError::NotFound)
    }

    /// Adds a webhook. Returns its secret, which cannot be read again.
    pub async fn add(
        &self,
        actor: Actor,
        settings: WebhookSettings,
        on: bool,
    ) -> Result<(Webhook, Secret), WebhookError> {
        self.check_sites(&settings).await?;
        self.check_address(&settings)?;
        if self.all().await?.len() >= Webhook::MOST {
            return Err(WebhookError::TooMany);
        }
        let (id, secret) = (WebhookId::new(self.clock.id()), Secret::mint(&*self.clock));
        let now = self.clock.now();
        let webhook = Webhook {
            id,
            settings,
            state: match on {
                true => WebhookState::On,
                false => WebhookState::Off,
            },
            secret: self.seal(id, &secret)?,
            old_secrets: Vec::new(),
            made_by: actor,
            created_at: now,
            since: now,
        };
        let detail = webhook.settings.url.host().map(|host| host.to_string());
        self.audit.record(actor, "webhook.add", id, detail).await?;
        self.stores.webhooks.insert(&webhook).await?;
        Ok((webhook, secret))
    }

    fn seal(&self, id: WebhookId, secret: &Secret) -> Result<Sealed, VaultError> {
        let binding = Binding::Webhook(id);
        self.vault
            .seal(self.clock.nonce(), secret.bytes(), &binding)
    }

    /// Returns the secrets that sign at a moment, the newest first.
    fn open_secrets(&self, webhook: &Webhook, now: Timestamp) -> Result<Vec<Secret>, VaultError> {
        let old = webhook.old_secrets.iter().filter(|old| old.until > now);
        let sealed = [&webhook.secret]
            .into_iter()
            .chain(old.map(|old| &old.sealed));
        let open = |sealed: &Sealed| self.vault.open(sealed, &Binding::Webhook(webhook.id));
        sealed
            .map(|one| open(one).map(Secret::from_bytes))
            .collect()
    }

    async fn check_sites(&self, settings: &WebhookSettings) -> Result<(), WebhookError> {
        for site in settings.sites.iter().flatten() {
            if !self.sites.is_present(*site).await? {
                return Err(WebhookError::UnknownSite);
            }
        }
        Ok(())
    }

    /// Refuses an address to which no message can ever be sent.
    fn check_address(&self, settings: &WebhookSettings) -> Result<(), WebhookError> {
        let checked = self.posting.check(settings.url.as_str());
        checked.map_err(|error| WebhookError::NotAllowed(error.to_string()))
    }

    /// Changes the settings of a webhook to what `edit` returns, and turns it on or off. What is off
    /// may keep an address that is no longer allowed.
    ///
    /// If the webhook changes at the same moment, `edit` is called again.
    pub async fn change<E: From<WebhookError>>(
        &self,
        actor: Actor,
        id: WebhookId,
        edit: impl Fn(&Webhook) -> Result<(WebhookSettings, bool), E>,
    ) -> Result<Webhook, E> {
        let old = self.find(id).await?;
        let (settings, on) = edit(&old)?;
        self.check_sites(&settings).await?;
        if on || settings.url != old.settings.url {
            self.check_address(&settings)?;
        }
        let detail = match on {
            true => "on",
            false => "off",
        };
        let recorded = self
            .audit
            .record(actor, "webhook.change", id, Some(detail.to_owned()));
        recorded.await.map_err(WebhookError::from)?;
        let now = self.clock.now();
        self.exchange(id, |old| {
            let (settings, on) = edit(old)?;
            let (state, since) = match (on, old.is_on()) {
                (true, true) => (WebhookState::On, old.since),
                (true, false) => (WebhookState::On, now),
                (false, true) => (WebhookState::Off, old.since),
                (false, false) => (old.state.clone(), old.since),
            };
            Ok(Webhook {
                settings,
                state,
                since,
                ..old.clone()
            })
        })
        .await
    }

    /// Removes a webhook with its deliveries.
    pub async fn remove(&self, actor: Actor, id: WebhookId) -> Result<(), WebhookError> {
        self.find(id).await?;
        self.audit.record(actor, "webhook.remove", id, None).await?;
        self.stores.webhooks.remove(id).await?;
        let channel = Channel::Webhook(id);
        self.stores.deliveries.remove_channel(channel).await?;
        Ok(())
    }

    /// Gives a webhook a new secret, which cannot be read again. Those before it sign, too, for
    /// [`Webhook::ROTATION`].
    pub async fn rotate(
        &self,
        actor: Actor,
        id: WebhookId,
    ) -> Result<(Webhook, Secret), WebhookError> {
        self.find(id).await?;
        let secret = Secret::mint(&*self.clock);
        let sealed = self.seal(id, &secret)?;
        self.audit.record(actor, "webhook.rotate", id, None).await?;
        let now = self.clock.now();
        let rotated =
            |old: &Webhook| Ok::<_, WebhookError>(old.clone().rotated(sealed.clone(), now));
        Ok((self.exchange(id, rotated).await?, secret))
    }

    /// Turns a webhook off, because its receiver does not accept messages.
    pub(super) async fn disable(&self, id: WebhookId, reason: &str) -> Result<(), StoreError> {
        let detail = Some(reason.to_owned());
        self.audit
            .record(Actor::System, "webhook.disable", id, detail)
            .await?;
        let at = self.clock.now();
        let disabled = |old: &Webhook| {
            let state = match &old.state {
                WebhookState::On => WebhookState::Disabled {
                    at,
                    reason: reason.to_owned(),
                },
                state => state.clone(),
            };
            Ok::<_, WebhookError>(Webhook {
                state,
                ..old.clone()
            })
        };
        match self.exchange(id, disabled).await {
            Ok(webhook) => {
                let name = &webhook.settings.name;
                warn!(webhook = %id, %name, reason, "disabled a webhook");
                Ok(())
            }
            Err(WebhookError::Store(error)) => Err(error),
            // It was removed, or an admin changes it.
            Err(_) => Ok(()),
        }
    }

    async fn exchange<E: From<WebhookError>>(
        &self,
        id: WebhookId,
        change: impl Fn(&Webhook) -> Result<Webhook, E>,
    ) -> Result<Webhook, E> {
        for _ in 0..TRIES {
            let old = self.find(id).await?;
            let new = change(&old)?;
            let exchanged = self.stores.webhooks.exchange(&old, &new).await;
            if exchanged.map_err(WebhookError::from)? {
                return Ok(new);
            }
        }
        Err(WebhookError::Raced.into())
    }

    /// Sends a message now that only tests whether the receiver accepts it, whether the webhook is
    /// on or not. Returns the delivery with the outcome.
    pub async fn test(&self, id: WebhookId) -> Result<Delivery, WebhookError> {
        let webhook = self.find(id).await?;
        let (delivery, now) = (DeliveryId::new(self.clock.id()), self.clock.now());
        let data = json!({ "webhook": { "id": id, "name": webhook.settings.name } });
        let delivery = Delivery {
            id: delivery,
            channel: Channel::Webhook(id),
            lane: format!("test:{delivery}"),
            topic: TEST.to_owned(),
            at: now,
            sequence: 0,
            employee: None,
            content: Content::Open(body(TEST, now, &data)),
            patience: 0,
            state: DeliveryState::Waiting,
            due: Some(now),
            attempts: 0,
            first_attempt_at: None,
            status: None,
            error: None,
            ended_at: None,
        };
        let outcome = self.post(&delivery, &webhook).await;
        let attempt = Attempt {
            now: self.clock.now(),
            since: now,
            jitter: 0.0,
        };
        let ended = outcome.settle(delivery, attempt);
        self.stores.deliveries.add(&ended).await?;
        Ok(ended)
    }

    /// Sends a message once.
    pub(super) async fn post(&self, delivery: &Delivery, webhook: &Webhook) -> Outcome {
        let outcome = match self.request(delivery, webhook) {
            Ok(request) => Outcome::of(self.posting.post(request).await),
            Err(why) => Outcome::Refused(None, why),
        };
        outcome.counted(delivery.channel)
    }

    /// Returns the request of a message, signed now.
    fn request(&self, delivery: &Delivery, webhook: &Webhook) -> Result<WebhookRequest, String> {
        let now = self.clock.now();
        let secrets: Vec<Secret> = self
            .open_secrets(webhook, now)
            .map_err(|_| "its secret cannot be decrypted: rotate it".to_owned())?;
        let Content::Open(body) = &delivery.content else {
            return Err("it is no message for a webhook".to_owned());
        };
        let (id, seconds) = (delivery.id.to_string(), now.as_second());
        let signature = sign(&secrets, &id, seconds, body);
        Ok(WebhookRequest {
            url: webhook.settings.url.as_str().to_owned(),
            headers: vec![
                ("content-type", "application/json".to_owned()),
                ("webhook-id", id),
                ("webhook-timestamp", seconds.to_string()),
                ("webhook-signature", signature),
            ],
            body: body.clone(),
        })
    }

    /// Returns a page of the deliveries to a webhook, newest first; only those in a state, if one
    /// is given.
    pub async fn deliveries(
        &self,
        id: WebhookId,
        state: Option<DeliveryState>,
        page: &Page<(Timestamp, DeliveryId)>,
    ) -> Result<Vec<Delivery>, WebhookError> {
        self.find(id).await?;
        let channel = Channel::Webhook(id);
        Ok(self.stores.deliveries.list(channel, state, page).await?)
    }

    /// Sends an ended delivery to its webhook again, with the same ID.
    pub async fn replay(&self, actor: Actor, id: DeliveryId) -> Result<Delivery, WebhookError> {
        let found = self.stores.deliveries.find(id).await?;
        let found = found.ok_or(WebhookError::NoDelivery)?;
        let Channel::Webhook(webhook) = found.channel else {
            return Err(WebhookError::NoDelivery);
        };
        self.find(webhook).await?;
        let detail = Some(format!("delivery {id}"));
        self.audit
            .record(actor, "webhook.replay", webhook, detail)
            .await?;
        let now = self.clock.now();
        let again = self.stores.deliveries.change(id, |one| {
            (one.state != DeliveryState::Waiting).then(|| one.replayed(now))
        });
        again.await?.ok_or(WebhookError::Waiting)
    }

    /// Sends what was given up of what happened since a moment again, oldest first, up to
    /// [`REPLAYED_MOST`](Self::REPLAYED_MOST). Returns how many wait now.
    pub async fn replay_failed(
        &self,
        actor: Actor,
        id: WebhookId,
        since: Timestamp,
    ) -> Result<usize, WebhookError> {
        self.find(id).await?;
        let detail = Some(format!("failed since {since}"));
        self.audit
            .record(actor, "webhook.replay", id, detail)
            .await?;
        let (channel, deliveries) = (Channel::Webhook(id), &self.stores.deliveries);
        let failed = deliveries.failed_since(channel, since, Self::REPLAYED_MOST);
        let (now, mut replayed) = (self.clock.now(), 0);
        for one in failed.await? {
            let again =
                |one: Delivery| (one.state == DeliveryState::Failed).then(|| one.replayed(now));
            replayed += usize::from(deliveries.change(one.id, again).await?.is_some());
        }
        Ok(replayed)
    }
}

/// The topic of a message that only tests.
const TEST: &str = "webhook.test";
