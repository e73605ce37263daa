//! Messages to the outside: webhooks, and the deliveries that wait in the outbox or ended there.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use super::{
    accounts::Actor,
    ids::{DeliveryId, EmployeeId, SiteId, WebhookId},
    record::{About, Changes, Index, KeyPart, Keys, Kind, OnErase, Record},
    sealed::{Binding, Sealed, SealedPart},
    text::Name,
    words::words,
};

words! {
    /// What a message reports.
    #[expect(missing_docs, reason = "each is explained by its word")]
    Topic {
        PunchCreated = "punch.created",
        PunchCorrected = "punch.corrected",
        EnrollmentChanged = "enrollment.changed",
        ExceptionFound = "exception.found",
        CorrectionFiled = "correction.filed",
        CorrectionDecided = "correction.decided",
        TimesheetSubmitted = "timesheet.submitted",
        TimesheetApproved = "timesheet.approved",
        TimesheetLocked = "timesheet.locked",
        TimesheetReopened = "timesheet.reopened",
        LeaveRequested = "leave.requested",
        LeaveDecided = "leave.decided",
        DeviceSilent = "device.silent",
        DeviceBack = "device.back",
    }
}

/// The address of a webhook: `http` or `https`, without a user, a password and a fragment.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WebhookUrl(Url);

/// The error for a text that is not the address of a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be a URL such as https://example.org/hook, without user, password and fragment, of at most {} characters",
    WebhookUrl::LONGEST
)]
pub struct NotAWebhookUrl;

impl WebhookUrl {
    /// The most characters.
    pub const LONGEST: usize = 2000;

    /// Parses an address.
    ///
    /// # Errors
    /// When the text is none.
    pub fn parse(text: &str) -> Result<Self, NotAWebhookUrl> {
        let url = Url::parse(text.trim()).map_err(|_| NotAWebhookUrl)?;
        let plain = matches!(url.scheme(), "http" | "https")
            && url.host().is_some()
            && url.username().is_empty()
            && url.password().is_none()
            && url.fragment().is_none()
            && url.as_str().chars().count() <= Self::LONGEST;
        plain.then_some(Self(url)).ok_or(NotAWebhookUrl)
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Returns the host.
    pub fn host(&self) -> Option<Host<&str>> {
        self.0.host()
    }
}

impl TryFrom<String> for WebhookUrl {
    type Error = NotAWebhookUrl;

    fn try_from(text: String) -> Result<Self, NotAWebhookUrl> {
        Self::parse(&text)
    }
}

impl From<WebhookUrl> for String {
    fn from(url: WebhookUrl) -> Self {
        url.0.into()
    }
}

/// Shows the host only, because the path may contain a key.
impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebhookUrl({})", self.0.host_str().unwrap_or_default())
    }
}

/// What an admin edits of a webhook.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WebhookSettings {
    /// The name.
    pub name: Name,
    /// Where messages are sent.
    pub url: WebhookUrl,
    /// What is sent; at least one topic.
    pub topics: Vec<Topic>,
    /// The sites about which is sent; `None` for all.
    pub sites: Option<Vec<SiteId>>,
    /// Whether messages contain the names of employees.
    pub with_names: bool,
}

/// Whether messages are sent to a webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum WebhookState {
    /// They are.
    On,
    /// An admin turned it off.
    Off,
    /// The service turned it off.
    Disabled {
        /// When.
        at: Timestamp,
        /// Why, in English.
        reason: String,
    },
}

impl WebhookState {
    /// Returns the word in the API.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
            Self::Disabled { .. } => "disabled",
        }
    }
}

/// A secret that was replaced, and still signs for a while.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OldSecret {
    /// The secret.
    pub sealed: Sealed,
    /// Until when messages are signed with it, too.
    pub until: Timestamp,
}

/// An address to which the service sends messages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Webhook {
    /// The ID.
    pub id: WebhookId,
    /// The settings, which are stored beside the other fields.
    #[serde(flatten)]
    pub settings: WebhookSettings,
    /// Whether messages are sent.
    #[serde(flatten)]
    pub state: WebhookState,
    /// The secret that signs messages.
    pub secret: Sealed,
    /// The secrets before it, the newest first.
    #[serde(default)]
    pub old_secrets: Vec<OldSecret>,
    /// Who added it.
    pub made_by: Actor,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was turned on last. What happened before is not sent.
    pub since: Timestamp,
}

impl Webhook {
    /// The most webhooks of an installation.
    pub const MOST: usize = 50;
    /// The bytes of a secret.
    pub const SECRET_BYTES: usize = 32;
    /// How long a secret still signs after it was replaced.
    pub const ROTATION: SignedDuration = SignedDuration::from_hours(24);
    /// The most replaced secrets that still sign. If a secret is replaced more often, the receiver
    /// has one of the earlier ones, because it was slow to change it or never got the new one.
    pub const OLD_SECRETS: usize = 3;

    /// Returns the webhook with a new secret. Those before it still sign for a while.
    #[must_use]
    pub fn rotated(self, secret: Sealed, now: Timestamp) -> Self {
        let until = now.saturating_add(Self::ROTATION).unwrap_or(now);
        let mut old_secrets = self.old_secrets;
        old_secrets.retain(|old| old.until > now);
        let sealed = self.secret;
        old_secrets.insert(0, OldSecret { sealed, until });
        if old_secrets.len() > Self::OLD_SECRETS {
            // The oldest is the one that the receiver had before all of them.
            old_secrets.remove(Self::OLD_SECRETS - 1);
        }
        Self {
            secret,
            old_secrets,
            ..self
        }
    }

    /// Checks whether messages are sent.
    pub fn is_on(&self) -> bool {
        self.state == WebhookState::On
    }

    /// Checks whether it wants to know something of a site that happened at a moment.
    pub fn wants(&self, topic: Topic, site: SiteId, at: Timestamp) -> bool {
        let settings = &self.settings;
        let sites = settings.sites.as_ref();
        self.is_on()
            && at >= self.since
            && settings.topics.contains(&topic)
            && sites.is_none_or(|sites| sites.contains(&site))
    }
}

impl Record for Webhook {
    const KIND: &'static Kind = &Kind::archived("webhooks", "webhook", &[])
        .changing(Changes::Audited)
        .sealing();

    type Id = WebhookId;

    fn id(&self) -> WebhookId {
        self.id
    }

    fn keys(&self, _keys: &mut Keys) {}

    fn about(&self) -> About {
        About::NoEmployee
    }

    fn sealed(&mut self) -> Vec<SealedPart<'_>> {
        let id = self.id;
        let old = self.old_secrets.iter_mut().map(|old| &mut old.sealed);
        let secrets = [&mut self.secret].into_iter().chain(old);
        let part = |sealed| SealedPart {
            binding: Binding::Webhook(id),
            sealed,
        };
        secrets.map(part).collect()
    }
}

/// Where a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// To a webhook.
    Webhook(WebhookId),
    /// To the mail server.
    Mail,
}

impl Channel {
    /// Returns the word in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::Mail => "mail",
        }
    }
}

impl KeyPart for Channel {
    fn write_part(&self, text: &mut String) {
        text.push_str(self.as_str());
        if let Self::Webhook(id) = self {
            text.push(':');
            id.uuid().write_part(text);
        }
    }
}

/// What a message says.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// The body of a webhook's message.
    Open(String),
    /// A letter: it may contain a link that signs in.
    Sealed(Sealed),
}

words! {
    /// What became of a message.
    DeliveryState {
        /// It waits for its first or its next attempt.
        Waiting = "waiting",
        /// The receiver has it.
        Delivered = "delivered",
        /// It was given up.
        Failed = "failed",
    }
}

/// An attempt to send a message.
#[derive(Debug, Clone, Copy)]
pub struct Attempt {
    /// When it ended.
    pub now: Timestamp,
    /// Since when messages are sent to the receiver.
    pub since: Timestamp,
    /// A random number from 0 to 1, so that attempts of several messages come apart.
    pub jitter: f64,
}

/// A message on its way to one receiver.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// The ID. It follows from the receiver and from what happened, so that nothing is written
    /// twice.
    pub id: DeliveryId,
    /// Where it goes.
    pub channel: Channel,
    /// What must arrive in order: messages of one lane are sent one after the other.
    pub lane: String,
    /// The topic, or the kind of letter.
    pub topic: String,
    /// When it happened.
    pub at: Timestamp,
    /// The order among what happened at the same moment.
    pub sequence: u64,
    /// The employee whom it is about.
    pub employee: Option<EmployeeId>,
    /// What it says.
    pub content: Content,
    /// How long it is tried after the first attempt, in seconds.
    pub patience: u32,
    /// What became of it.
    pub state: DeliveryState,
    /// When it may be sent; `None` after it ended.
    pub due: Option<Timestamp>,
    /// How often it was sent since it was written or replayed.
    pub attempts: u32,
    /// When it was sent first.
    pub first_attempt_at: Option<Timestamp>,
    /// The HTTP status of the last attempt.
    pub status: Option<u16>,
    /// Why the last attempt failed, in English, without secrets.
    pub error: Option<String>,
    /// When it was delivered or given up.
    pub ended_at: Option<Timestamp>,
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("id", &self.id)
            .field("channel", &self.channel)
            .field("topic", &self.topic)
            .field("state", &self.state)
            .field("attempts", &self.attempts)
            .field("status", &self.status)
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

/// The pauses after the first, the second and further failed attempts, in seconds; the last one
/// repeats.
pub const PAUSES: [i64; 10] = [
    5,
    30,
    2 * 60,
    5 * 60,
    15 * 60,
    30 * 60,
    3600,
    2 * 3600,
    4 * 3600,
    8 * 3600,
];

/// How long webhooks and notices are tried.
pub const THREE_DAYS: u32 = 3 * 24 * 3600;

/// How long a delivery that was never ended is kept.
const WAITS_MOST: SignedDuration = SignedDuration::from_hours(30 * 24);

/// How long a delivery is kept after it ended.
pub const DELIVERIES_KEPT: SignedDuration = SignedDuration::from_hours(7 * 24);

impl Delivery {
    /// Deliveries of a channel that wait, by the time of their next attempt.
    pub const QUEUE: Index = Index::ordered("queue");
    /// Deliveries of a lane that wait, in order.
    pub const LANE: Index = Index::ordered("lane");
    /// Deliveries of a channel that wait, by the time of what happened.
    pub const BY_WAIT: Index = Index::ordered("by_wait");
    /// Deliveries of a channel, by the time of what happened.
    pub const BY_CHANNEL: Index = Index::ordered("by_channel");
    /// Deliveries about an employee.
    pub const BY_EMPLOYEE: Index = Index::ordered("by_employee");
    /// All deliveries, by the time after which retention counts.
    pub const BY_AGE: Index = Index::ordered("by_age");

    /// Returns the delivery after the receiver accepted it.
    #[must_use]
    pub fn delivered(self, now: Timestamp, status: Option<u16>) -> Self {
        Self {
            status,
            error: None,
            ..self.tried(now).ended(DeliveryState::Delivered, now)
        }
    }

    /// Returns the delivery after a failed attempt: it waits for the next one, or is given up.
    /// Full jitter shortens the pause by a fifth.
    #[must_use]
    pub fn failed(
        self,
        Attempt { now, since, jitter }: Attempt,
        status: Option<u16>,
        error: String,
    ) -> Self {
        let tried = Self {
            status,
            error: Some(error),
            ..self.tried(now)
        };
        let until = tried
            .patient_since(since)
            .unwrap_or(now)
            .saturating_add(SignedDuration::from_secs(tried.patience.into()))
            .unwrap_or(now);
        if now >= until {
            return tried.ended(DeliveryState::Failed, now);
        }
        let place = (tried.attempts as usize).clamp(1, PAUSES.len()) - 1;
        let pause = PAUSES[place] as f64 * (1.0 - 0.2 * jitter.clamp(0.0, 1.0));
        let due = now.saturating_add(SignedDuration::from_millis((pause * 1000.0) as i64));
        Self {
            due: Some(due.unwrap_or(until).min(until)),
            ..tried
        }
    }

    /// Returns the delivery given up without another attempt.
    #[must_use]
    pub fn given_up(self, now: Timestamp, error: String) -> Self {
        Self {
            error: Some(error),
            ..self.ended(DeliveryState::Failed, now)
        }
    }

    /// Returns the delivery as it is sent again, from the first attempt on.
    #[must_use]
    pub fn replayed(self, now: Timestamp) -> Self {
        Self {
            state: DeliveryState::Waiting,
            due: Some(now),
            attempts: 0,
            first_attempt_at: None,
            ended_at: None,
            ..self
        }
    }

    /// Returns since when it is tried: from its first attempt on, but not while its receiver, which
    /// is on `since` a moment, was off. `None` before the first attempt.
    pub fn patient_since(&self, since: Timestamp) -> Option<Timestamp> {
        self.first_attempt_at.map(|first| first.max(since))
    }

    fn tried(self, now: Timestamp) -> Self {
        Self {
            attempts: self.attempts.saturating_add(1),
            first_attempt_at: self.first_attempt_at.or(Some(now)),
            ..self
        }
    }

    fn ended(self, state: DeliveryState, now: Timestamp) -> Self {
        Self {
            state,
            due: None,
            ended_at: Some(now),
            ..self
        }
    }
}

impl Record for Delivery {
    const KIND: &'static Kind = &Kind::transient(
        "deliveries",
        "delivery",
        &[
            Self::QUEUE,
            Self::LANE,
            Self::BY_WAIT,
            Self::BY_CHANNEL,
            Self::BY_EMPLOYEE,
            Self::BY_AGE,
        ],
    )
    .aging(Self::BY_AGE)
    .sealing();

    type Id = DeliveryId;

    fn id(&self) -> DeliveryId {
        self.id
    }

    fn keys(&self, keys: &mut Keys) {
        if let Some(due) = self.due {
            keys.add(Self::QUEUE, (self.channel, due));
            let lane = (self.channel, &self.lane, self.at, self.sequence);
            keys.add(Self::LANE, lane);
            keys.add(Self::BY_WAIT, (self.channel, self.at));
        }
        keys.add(Self::BY_CHANNEL, (self.channel, self.at));
        if let Some(employee) = self.employee {
            keys.add(Self::BY_EMPLOYEE, (employee.uuid(), self.at));
        }
        let waits = WAITS_MOST - DELIVERIES_KEPT;
        let age = self.ended_at.or(self.at.checked_add(waits).ok());
        keys.add(Self::BY_AGE, (age.unwrap_or(self.at),));
    }

    /// A message contains the code and perhaps the name of the employee.
    fn about(&self) -> About {
        About::Employees {
            ids: self.employee.into_iter().collect(),
            erase: OnErase::Delete,
        }
    }

    fn sealed(&mut self) -> Vec<SealedPart<'_>> {
        let binding = Binding::Message(self.id);
        match &mut self.content {
            Content::Open(_) => Vec::new(),
            Content::Sealed(sealed) => vec![SealedPart { binding, sealed }],
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn delivery() -> Delivery {
        Delivery {
            id: Uuid::nil().into(),
            channel: Channel::Mail,
            lane: String::new(),
            topic: "reset".to_owned(),
            at: Timestamp::UNIX_EPOCH,
            sequence: 0,
            employee: None,
            content: Content::Open("{}".to_owned()),
            patience: THREE_DAYS,
            state: DeliveryState::Waiting,
            due: Some(Timestamp::UNIX_EPOCH),
            attempts: 0,
            first_attempt_at: None,
            status: None,
            error: None,
            ended_at: None,
        }
    }

    /// Fails until it is given up; returns the number of attempts, and how long it took.
    fn exhausted(patience: u32, jitter: f64) -> (u32, SignedDuration) {
        let begin = Timestamp::UNIX_EPOCH;
        let mut one = Delivery {
            patience,
            ..delivery()
        };
        while let Some(due) = one.due {
            let attempt = Attempt {
                now: due,
                since: Timestamp::MIN,
                jitter,
            };
            one = one.failed(attempt, Some(500), "500".to_owned());
        }
        assert_eq!(one.state, DeliveryState::Failed);
        (one.attempts, one.ended_at.unwrap().duration_since(begin))
    }

    #[test]
    fn a_message_is_tried_for_three_days_and_the_pauses_grow() {
        for (jitter, attempts) in [(0.0, 19), (1.0, 21)] {
            let (tried, took) = exhausted(THREE_DAYS, jitter);
            assert_eq!((tried, took.as_hours()), (attempts, 72), "{jitter}");
        }
        let (tried, took) = exhausted(3600, 0.0);
        assert_eq!((tried, took.as_mins()), (8, 60));
        assert!(PAUSES.is_sorted());
    }

    #[test]
    fn the_time_in_which_the_receiver_was_off_does_not_count() {
        let at = |hours| Timestamp::UNIX_EPOCH + SignedDuration::from_hours(hours);
        let fail = |one: Delivery, hours, since| {
            let attempt = Attempt {
                now: at(hours),
                since: at(since),
                jitter: 0.0,
            };
            one.failed(attempt, Some(500), "500".to_owned())
        };
        let tried = fail(delivery(), 0, 0);
        assert_eq!(fail(tried.clone(), 96, 0).state, DeliveryState::Failed);
        let waiting = fail(tried, 96, 95);
        assert_eq!(waiting.state, DeliveryState::Waiting);
        assert_eq!(fail(waiting, 95 + 72, 95).state, DeliveryState::Failed);
    }

    #[test]
    fn every_topic_and_state_is_read_as_it_is_written() {
        for topic in Topic::ALL {
            assert_eq!(Topic::parse(topic.as_str()), Ok(topic));
            let json = serde_json::to_string(&topic).unwrap();
            assert_eq!(json, format!("{:?}", topic.as_str()));
        }
        for &word in DeliveryState::WORDS {
            let state = DeliveryState::parse(word).unwrap();
            assert_eq!(state.as_str(), word);
            assert_eq!(serde_json::to_string(&state).unwrap(), format!("{word:?}"));
        }
    }

    #[test]
    fn only_plain_addresses_are_accepted() {
        for text in ["https://example.org/hook?x=1", "http://10.0.0.1:8080"] {
            assert!(WebhookUrl::parse(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "example.org",
            "ftp://example.org",
            "file:///etc/passwd",
            "https://user@example.org/",
            "https://user:word@example.org/",
            "https://example.org/#key",
            "https://",
        ] {
            assert_eq!(WebhookUrl::parse(text), Err(NotAWebhookUrl), "{text}");
        }
        let debug = format!("{:?}", WebhookUrl::parse("https://a.org/key").unwrap());
        assert_eq!(debug, "WebhookUrl(a.org)");
    }
}
