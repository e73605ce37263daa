//! The collector: writes deliveries for what happened, each once, whatever crashes in between.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::events::{self, Event, Finder, Near, SETTLES};
use crate::{
    clock::Clock,
    domain::{
        audit::AuditEntry,
        grants::Reach,
        ids::{DeliveryId, DeviceId, WebhookId},
        messages::{Channel, Content, Delivery, DeliveryState, THREE_DAYS, Topic, Webhook},
    },
    ports::{Page, StoreError},
    repositories::Repositories,
    service::{
        devices::Devices,
        sites::{SiteMap, Sites},
        workdays::Workdays,
    },
};

/// The name of the fact with the moment until which everything has been collected.
const FACT: &str = "outbox.collected";

/// The name of the fact with the kiosks that are silent.
const SILENT_FACT: &str = "outbox.silent_devices";

/// How far back a look goes that follows another one: records become visible in another order than
/// that of their times.
const LOOK_BACK: SignedDuration = SignedDuration::from_secs(3);

/// How far back a sweep goes: longer than any write of a record may take, and than the clocks of
/// instances differ.
pub const SWEEP_BACK: SignedDuration = SETTLES;

/// How often a sweep is made.
const SWEEP_EVERY: SignedDuration = SignedDuration::from_secs(30);

/// How often missing outs are looked for.
const EXCEPTIONS_EVERY: SignedDuration = SignedDuration::from_mins(5);

/// A missing out becomes a message only within this time.
const EXCEPTIONS_REPORTED: SignedDuration = SignedDuration::from_hours(24);

/// How often kiosks are looked at.
const DEVICES_EVERY: SignedDuration = SignedDuration::from_secs(30);

/// How long a kiosk is found silent before it becomes a message: after an outage of the service or
/// its store, kiosks need a moment to report.
const SILENT_FOR: SignedDuration = SignedDuration::from_mins(2);

/// Number of records in a page.
const PAGE: usize = 500;

/// What the collector remembers while it holds the lease. Only the moment of the last sweep is
/// stored; the rest saves work.
#[derive(Debug)]
pub struct Memory {
    swept: Timestamp,
    looked: Option<Timestamp>,
    exceptions: Option<Timestamp>,
    devices: Option<Timestamp>,
    /// The webhooks of the last look.
    webhooks: HashSet<WebhookId>,
    /// What was handled, and when.
    handled: HashMap<String, Timestamp>,
}

/// The silence of a kiosk.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Silence {
    /// When it was last seen.
    seen_at: Timestamp,
    /// When a look found it silent.
    found_at: Timestamp,
    /// Whether that has become a message.
    reported: bool,
}

/// Writes deliveries.
#[derive(derive_new::new)]
pub struct Collector {
    stores: Repositories,
    sites: Arc<Sites>,
    workdays: Arc<Workdays>,
    devices: Arc<Devices>,
    clock: Arc<dyn Clock>,
}

/// One look at the records.
struct Look<'a> {
    webhooks: &'a [Webhook],
    sites: Arc<SiteMap>,
    finder: Finder<'a>,
    from: Timestamp,
    now: Timestamp,
    /// What happened, in the order in which it was found.
    events: Vec<Event>,
    handled: Vec<String>,
}

impl Collector {
    /// Begins where the last holder of the lease ended; on a new store, now.
    pub async fn begin(&self) -> Result<Memory, StoreError> {
        let stored = self.stores.facts.get(FACT).await?;
        let swept = match stored.and_then(|text| text.parse().ok()) {
            Some(swept) => swept,
            None => {
                let now = self.clock.now();
                self.stores.facts.set(FACT, &now.to_string()).await?;
                now
            }
        };
        Ok(Memory {
            swept,
            looked: None,
            exceptions: None,
            devices: None,
            webhooks: HashSet::new(),
            handled: HashMap::new(),
        })
    }

    /// Looks for what happened since the last look, and writes deliveries for it. Returns how many
    /// were written.
    pub async fn collect(&self, memory: &mut Memory) -> Result<u64, StoreError> {
        let now = self.clock.now();
        let since = |at: Timestamp| now.duration_since(at);
        let last = memory.looked.filter(|_| {
            since(memory.swept) < SWEEP_EVERY && since(memory.swept) >= SignedDuration::ZERO
        });
        let from = match last {
            Some(looked) => back(looked.min(now), LOOK_BACK),
            None => back(memory.swept.min(now), SWEEP_BACK),
        };
        let webhooks = self.stores.webhooks.all().await?;
        self.remove_orphans(&webhooks, memory).await?;
        let mut look = Look {
            webhooks: &webhooks,
            sites: self.sites.all().await?,
            finder: Finder::new(&self.stores),
            from,
            now,
            events: Vec::new(),
            handled: Vec::new(),
        };
        if look.wanted(&[Topic::PunchCreated]) {
            self.collect_punches(&mut look, memory).await?;
        }
        if look.wanted(&Topic::ALL[1..]) {
            self.collect_changes(&mut look, memory).await?;
        }
        // Also if the clock was set back.
        let due = |at: Option<Timestamp>, every| {
            at.is_none_or(|at| !(SignedDuration::ZERO..every).contains(&since(at)))
        };
        if due(memory.exceptions, EXCEPTIONS_EVERY) && look.wanted(&[Topic::ExceptionFound]) {
            self.collect_exceptions(&mut look).await?;
            memory.exceptions = Some(now);
        }
        let mut devices = None;
        if due(memory.devices, DEVICES_EVERY) {
            devices = Some(self.collect_devices(&mut look).await?);
        }
        let added = self.deliver(&mut look).await?;
        if let Some(silent) = devices {
            self.remember_silent(&silent).await?;
            memory.devices = Some(now);
        }
        if last.is_none() {
            self.measure(&webhooks, now).await?;
        }
        // What a webhook that was added meanwhile missed is looked at again.
        if self.stores.webhooks.all().await? == webhooks {
            let handled = look.handled.into_iter().map(|key| (key, now));
            memory.handled.extend(handled);
            memory.looked = Some(now);
            if last.is_none() {
                self.stores.facts.set(FACT, &now.to_string()).await?;
                memory.swept = now;
                memory.handled.retain(|_, at| since(*at) < SWEEP_BACK * 2);
            }
        }
        Ok(added)
    }

    /// Deletes the deliveries to webhooks that were removed during the last look, which may have
    /// written more of them.
    async fn remove_orphans(
        &self,
        webhooks: &[Webhook],
        memory: &mut Memory,
    ) -> Result<(), StoreError> {
        let present: HashSet<_> = webhooks.iter().map(|webhook| webhook.id).collect();
        for gone in memory.webhooks.difference(&present) {
            let channel = Channel::Webhook(*gone);
            self.stores.deliveries.remove_channel(channel).await?;
        }
        memory.webhooks = present;
        Ok(())
    }

    /// Measures what waits for receivers that are on.
    async fn measure(&self, webhooks: &[Webhook], now: Timestamp) -> Result<(), StoreError> {
        let (mut waiting, mut oldest) = (0, now);
        let on = webhooks.iter().filter(|webhook| webhook.is_on());
        let on = on.map(|webhook| Channel::Webhook(webhook.id));
        for channel in on.chain([Channel::Mail]) {
            let (count, first) = self.stores.deliveries.waiting(channel).await?;
            waiting += count;
            oldest = oldest.min(first.unwrap_or(now));
        }
        measured(waiting, now.duration_since(oldest));
        Ok(())
    }

    async fn collect_punches(
        &self,
        look: &mut Look<'_>,
        memory: &Memory,
    ) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let page = Page { after, limit: PAGE };
            let punches = self.stores.punches.recorded_from(look.from, &page).await?;
            let full = punches.len() == PAGE;
            after = punches.last().map(|last| (last.recorded_at, last.id));
            let new = |id| !memory.handled.contains_key(&format!("punch:{id}"));
            let punches: Vec<_> = punches.into_iter().filter(|one| new(one.id)).collect();
            look.finder
                .load(punches.iter().map(|one| one.employee))
                .await?;
            for punch in &punches {
                // Without the record of the employee, they were erased.
                if let Some(employee) = look.finder.employee(punch.employee).await? {
                    look.events.push(events::of_punch(punch, employee));
                }
            }
            if !full {
                return Ok(());
            }
        }
    }

    async fn collect_changes(
        &self,
        look: &mut Look<'_>,
        memory: &Memory,
    ) -> Result<(), StoreError> {
        let (mut after, mut entries) = (None, Vec::<AuditEntry>::new());
        loop {
            let page = Page { after, limit: PAGE };
            let found = self.stores.audit.since(look.from, &page).await?;
            after = found.last().map(|last| (last.at, last.id));
            let full = found.len() == PAGE;
            entries.extend(
                found
                    .into_iter()
                    .filter(|one| events::is_reported(&one.action)),
            );
            if !full {
                break;
            }
        }
        let mut followers = HashMap::new();
        let next = entries.iter().rev().map(|entry| {
            let about = (entry.subject.as_str(), events::is_about_face(&entry.action));
            followers.insert(about, entry.at)
        });
        let next: Vec<_> = next.collect();
        let mut done = HashMap::new();
        for (entry, next) in entries.iter().zip(next.into_iter().rev()) {
            let same = (entry.subject.as_str(), entry.action.as_str(), entry.actor);
            let before = done.insert(same, entry.at);
            let key = format!("entry:{}", entry.id);
            if memory.handled.contains_key(&key) {
                continue;
            }
            // If nothing happened yet, the next look asks again, until the entry is too old.
            let near = Near { before, next };
            if let Some(events) = look.finder.find(entry, near).await? {
                look.events.extend(events);
                look.handled.push(key);
            }
        }
        Ok(())
    }

    async fn collect_exceptions(&self, look: &mut Look<'_>) -> Result<(), StoreError> {
        let overdue = self.workdays.overdue(&Reach::Everything).await?.into_iter();
        let recent = overdue.filter(|one| look.now.duration_since(one.ended) < EXCEPTIONS_REPORTED);
        let events = recent.map(|one| events::of_missing_out(one.employee, one.day, one.ended));
        look.events.extend(events);
        Ok(())
    }

    /// Collects kiosks that fell silent and those that report again. Returns those that are silent,
    /// for [`remember_silent`](Self::remember_silent).
    async fn collect_devices(
        &self,
        look: &mut Look<'_>,
    ) -> Result<BTreeMap<DeviceId, Silence>, StoreError> {
        let stored = self.stores.facts.get(SILENT_FACT).await?;
        let stored = stored.and_then(|text| serde_json::from_str(&text).ok());
        let before: BTreeMap<DeviceId, Silence> = stored.unwrap_or_default();
        let mut silent = BTreeMap::new();
        for (device, report) in self.devices.with_reports(&Reach::Everything).await? {
            let Some(report) = report else { continue };
            let known = before.get(&device.id).copied();
            if report.silent(look.now) {
                let mut silence = known.unwrap_or(Silence {
                    seen_at: report.seen_at,
                    found_at: look.now,
                    reported: false,
                });
                let lasts = look.now.duration_since(silence.found_at) >= SILENT_FOR;
                let id = device.id;
                if lasts && !silence.reported {
                    silence.reported = true;
                    look.events.push(events::of_silent_device(device, &report));
                }
                silent.insert(id, silence);
            } else if let Some(silence) = known.filter(|silence| silence.reported) {
                let back = events::of_device_back(device, &report, silence.seen_at);
                look.events.push(back);
            }
        }
        Ok(silent)
    }

    /// Writes which kiosks are silent and which of them were reported, because what a kiosk reports
    /// says nothing about the time before.
    async fn remember_silent(
        &self,
        silent: &BTreeMap<DeviceId, Silence>,
    ) -> Result<(), StoreError> {
        let text = serde_json::to_string(silent)
            .map_err(|_| StoreError::Corrupt("a fact cannot be encoded".to_owned()))?;
        let stored = self.stores.facts.get(SILENT_FACT).await?;
        if stored.as_deref().unwrap_or("{}") == text {
            return Ok(());
        }
        self.stores.facts.set(SILENT_FACT, &text).await
    }

    /// Writes the deliveries of what was found, unless they exist; returns how many. The courier
    /// works meanwhile, so the earliest event is first.
    async fn deliver(&self, look: &mut Look<'_>) -> Result<u64, StoreError> {
        let mut added = 0;
        look.events.sort_by_key(|event| (event.at, event.sequence));
        for event in look.events.drain(..) {
            for webhook in look.webhooks {
                if webhook.wants(event.topic, event.site, event.at) {
                    let delivery = delivery(webhook, &event, &look.sites, look.now);
                    added += u64::from(self.stores.deliveries.add(&delivery).await?);
                }
            }
            look.handled.push(event.key);
        }
        Ok(added)
    }
}

impl Look<'_> {
    fn wanted(&self, topics: &[Topic]) -> bool {
        let mut on = self.webhooks.iter().filter(|one| one.is_on());
        on.any(|one| {
            one.settings
                .topics
                .iter()
                .any(|topic| topics.contains(topic))
        })
    }
}

/// Sets the metrics of what waits.
pub(super) fn measured(waiting: u64, oldest: SignedDuration) {
    metrics::gauge!("rollcall_deliveries_waiting").set(waiting as f64);
    metrics::gauge!("rollcall_deliveries_oldest_seconds").set(oldest.as_secs_f64());
}

fn back(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_sub(by).unwrap_or(Timestamp::MIN)
}

/// Returns the delivery of an event to a webhook. Its ID follows from both.
fn delivery(webhook: &Webhook, event: &Event, sites: &SiteMap, now: Timestamp) -> Delivery {
    Delivery {
        id: id_of(&webhook.id.to_string(), &event.key),
        channel: Channel::Webhook(webhook.id),
        lane: event.subject.lane(),
        topic: event.topic.as_str().to_owned(),
        at: event.at,
        sequence: event.sequence,
        employee: event.subject.employee(),
        content: Content::Open(event.body(webhook, sites)),
        patience: THREE_DAYS,
        state: DeliveryState::Waiting,
        due: Some(now),
        attempts: 0,
        first_attempt_at: None,
        status: None,
        error: None,
        ended_at: None,
    }
}

/// Returns the ID of a delivery: the same for the same receiver and cause.
pub(super) fn id_of(receiver: &str, cause: &str) -> DeliveryId {
    let digest = Sha256::new()
        .chain_update(receiver)
        .chain_update([0])
        .chain_update(cause)
        .finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    DeliveryId::new(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}
