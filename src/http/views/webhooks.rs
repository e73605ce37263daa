//! Webhooks and their deliveries.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    domain::{
        ids::SiteId,
        messages::{Content, Delivery, Topic, Webhook, WebhookSettings, WebhookState, WebhookUrl},
        text::Name,
    },
    http::{
        field_error::FieldError,
        problem::{Fields, Problem},
        views::{read_id, read_time, time},
    },
};

/// The settings of a webhook.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "WebhookSettings")]
pub struct EditableWebhook {
    /// The name, 1 to 120 characters.
    #[schema(example = "Payroll")]
    name: String,
    /// Where messages are sent with POST: `http` or `https`, at most 2000 characters.
    #[schema(format = "uri", example = "https://example.org/rollcall")]
    url: String,
    /// What is sent.
    #[schema(min_items = 1, example = json!(["punch.created"]))]
    topics: Vec<String>,
    /// The IDs of the sites about which is sent; null for all.
    #[serde(default)]
    sites: Option<Vec<String>>,
    /// Whether messages contain the names of employees.
    #[serde(default)]
    #[schema(default = false)]
    with_names: bool,
    /// Whether messages are sent. What happens while it is off is not sent later.
    #[serde(default = "on")]
    #[schema(default = true)]
    active: bool,
}

fn on() -> bool {
    true
}

impl From<&Webhook> for EditableWebhook {
    fn from(webhook: &Webhook) -> Self {
        let settings = &webhook.settings;
        let sites = settings.sites.as_ref();
        let topics = settings.topics.iter();
        Self {
            name: settings.name.to_string(),
            url: settings.url.as_str().to_owned(),
            topics: topics.map(|topic| topic.as_str().to_owned()).collect(),
            sites: sites.map(|sites| sites.iter().map(ToString::to_string).collect()),
            with_names: settings.with_names,
            active: webhook.is_on(),
        }
    }
}

/// The most sites of a webhook.
const SITES_MOST: usize = 100;

impl EditableWebhook {
    /// Checks the settings; also returns whether the webhook is on.
    ///
    /// # Errors
    /// The fields that are not valid.
    pub fn read(self) -> Result<(WebhookSettings, bool), Problem> {
        let mut fields = Fields::default();
        let name = fields.required("name", Name::parse(&self.name));
        let url = WebhookUrl::parse(&self.url).map_err(|error| FieldError::MustBe {
            rule: error.to_string(),
        });
        let url = fields.required("url", url);
        let mut topics = Vec::new();
        for (place, word) in self.topics.iter().enumerate() {
            match Topic::parse(word) {
                Ok(topic) if topics.contains(&topic) => {}
                Ok(topic) => topics.push(topic),
                Err(error) => fields.add(&format!("topics[{place}]"), error),
            }
        }
        if self.topics.is_empty() {
            let (least, most) = (1, Topic::ALL.len());
            fields.add("topics", FieldError::WrongCount { least, most });
        }
        let sites = self.sites.map(|sites| {
            if !(1..=SITES_MOST).contains(&sites.len()) {
                let (least, most) = (1, SITES_MOST);
                fields.add("sites", FieldError::WrongCount { least, most });
            }
            let mut read = Vec::<SiteId>::new();
            for (place, id) in sites.into_iter().take(SITES_MOST).enumerate() {
                let field = format!("sites[{place}]");
                read.extend(fields.required(&field, read_id::<SiteId>(id)));
            }
            read
        });
        let (Some(name), Some(url)) = (name, url) else {
            return Err(fields.problem());
        };
        fields.check()?;
        let settings = WebhookSettings {
            name,
            url,
            topics,
            sites,
            with_names: self.with_names,
        };
        Ok((settings, self.active))
    }
}

/// A receiver of messages.
#[derive(Serialize, ToSchema)]
#[schema(title = "Webhook")]
pub struct WebhookView {
    /// The ID.
    #[schema(format = "uuid", example = "0199f3a0-7c1e-7d5a-9f0e-2b7f6f0c1a2b")]
    id: String,
    #[serde(flatten)]
    settings: EditableWebhook,
    /// `on`; `off`: an admin turned it off; `disabled`: the service did.
    #[schema(example = "on")]
    state: &'static str,
    /// Why the service disabled it.
    #[schema(example = "the receiver accepted nothing for three days")]
    disabled_reason: Option<String>,
    /// When the service disabled it.
    #[schema(format = "date-time")]
    disabled_at: Option<String>,
    /// Until when secrets before the present one sign, too.
    #[schema(format = "date-time")]
    old_secret_until: Option<String>,
    /// When it was added.
    #[schema(format = "date-time")]
    created_at: String,
}

impl From<&Webhook> for WebhookView {
    fn from(webhook: &Webhook) -> Self {
        let (reason, at) = match &webhook.state {
            WebhookState::Disabled { at, reason } => (Some(reason.clone()), Some(time(*at))),
            WebhookState::On | WebhookState::Off => (None, None),
        };
        Self {
            id: webhook.id.to_string(),
            settings: webhook.into(),
            state: webhook.state.as_str(),
            disabled_reason: reason,
            disabled_at: at,
            old_secret_until: webhook.old_secrets.first().map(|old| time(old.until)),
            created_at: time(webhook.created_at),
        }
    }
}

/// A webhook with a new secret.
#[derive(Serialize, ToSchema)]
#[schema(title = "WebhookWithSecret")]
pub struct SecretView {
    #[serde(flatten)]
    webhook: WebhookView,
    /// The secret that signs messages, returned only once.
    #[schema(example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    secret: String,
}

impl SecretView {
    /// Makes the view.
    pub fn new(webhook: &Webhook, secret: String) -> Self {
        Self {
            webhook: webhook.into(),
            secret,
        }
    }
}

/// What to send again.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "Replay")]
pub struct ReplayRequest {
    /// Only what happened since then; null for all that is kept.
    #[serde(default)]
    #[schema(format = "date-time")]
    since: Option<String>,
}

impl ReplayRequest {
    /// Returns since when.
    ///
    /// # Errors
    /// When it is not a moment.
    pub fn read(self) -> Result<Timestamp, Problem> {
        let since = self.since.map(read_time).transpose();
        let since = since.map_err(|error| Problem::field("since", error))?;
        Ok(since.unwrap_or_default().max(Timestamp::UNIX_EPOCH))
    }
}

/// How many messages are sent again.
#[derive(Serialize, ToSchema)]
#[schema(title = "Replayed")]
pub struct ReplayedView {
    /// How many wait to be sent. If it is 1000, ask again for further ones.
    pub replayed: usize,
}

/// A message to a webhook.
#[derive(Serialize, ToSchema)]
#[schema(title = "Delivery")]
pub struct DeliveryView {
    /// The ID, which is also the header `webhook-id`.
    #[schema(format = "uuid")]
    id: String,
    /// The topic; `webhook.test` for a test.
    #[schema(example = "punch.created")]
    topic: String,
    /// When it happened.
    #[schema(format = "date-time")]
    at: String,
    /// `waiting`, `delivered` or `failed`.
    #[schema(example = "delivered")]
    state: &'static str,
    /// How often it was sent.
    attempts: u32,
    /// When it is sent next.
    #[schema(format = "date-time")]
    next_attempt_at: Option<String>,
    /// The HTTP status of the last answer.
    #[schema(example = 200)]
    status: Option<u16>,
    /// Why the last attempt failed.
    error: Option<String>,
    /// When it was delivered or given up.
    #[schema(format = "date-time")]
    ended_at: Option<String>,
    /// The body.
    body: Option<String>,
}

impl From<&Delivery> for DeliveryView {
    fn from(delivery: &Delivery) -> Self {
        Self {
            id: delivery.id.to_string(),
            topic: delivery.topic.clone(),
            at: time(delivery.at),
            state: delivery.state.as_str(),
            attempts: delivery.attempts,
            next_attempt_at: delivery.due.map(time),
            status: delivery.status,
            error: delivery.error.clone(),
            ended_at: delivery.ended_at.map(time),
            body: match &delivery.content {
                Content::Open(body) => Some(body.clone()),
                Content::Sealed(_) => None,
            },
        }
    }
}
