//! The audit trail: writing it, and reading it.

use std::{
    collections::{BTreeSet, HashMap},
    fmt::Display,
    sync::Arc,
};

use jiff::Timestamp;

use crate::{
    clock::Clock,
    domain::{
        accounts::Actor,
        audit::AuditEntry,
        ids::{AccountId, AuditId, DeviceId},
    },
    ports::{AccountStore, AuditStore, DeviceStore, Page, StoreError, Stores},
};

/// Writes who did what.
#[derive(Clone)]
pub struct Audit {
    store: Arc<dyn AuditStore>,
    clock: Arc<dyn Clock>,
}

impl Audit {
    /// Over a store.
    pub fn new(store: Arc<dyn AuditStore>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }

    /// Writes one entry; `action` reads `subject.verb`. Written before the act, so that
    /// nothing happens that the trail does not know of.
    pub async fn record(
        &self,
        actor: Actor,
        action: &str,
        subject: impl Display,
        detail: Option<String>,
    ) -> Result<(), StoreError> {
        let entry = AuditEntry {
            id: AuditId::new(self.clock.id()),
            at: self.clock.now(),
            actor,
            action: action.to_owned(),
            subject: subject.to_string(),
            detail,
        };
        self.store.append(&entry).await
    }
}

/// An entry of the trail, for people to read.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// The entry.
    pub entry: AuditEntry,
    /// What its actor is called today: the e-mail address of an account, the name of a device.
    pub actor_name: Option<String>,
}

/// Reads who did what.
pub struct Trail {
    store: Arc<dyn AuditStore>,
    accounts: Arc<dyn AccountStore>,
    devices: Arc<dyn DeviceStore>,
}

impl Trail {
    /// Over stores.
    pub fn new(stores: &Stores) -> Self {
        Self {
            store: stores.audit.clone(),
            accounts: stores.accounts.clone(),
            devices: stores.devices.clone(),
        }
    }

    /// A page, newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn list(&self, page: &Page<(Timestamp, AuditId)>) -> Result<Vec<Told>, StoreError> {
        let entries = self.store.list(page).await?;
        let names = self.names(&entries).await?;
        let told = entries.into_iter().map(|entry| Told {
            actor_name: names.get(&entry.actor).cloned(),
            entry,
        });
        Ok(told.collect())
    }

    /// What those are called who did something; few accounts and devices do all that a page tells.
    async fn names(&self, entries: &[AuditEntry]) -> Result<HashMap<Actor, String>, StoreError> {
        let (mut accounts, mut devices) = (BTreeSet::<AccountId>::new(), BTreeSet::new());
        for entry in entries {
            match entry.actor {
                Actor::Account(id) => drop(accounts.insert(id)),
                Actor::Device(id) => drop(devices.insert(id)),
                Actor::Operator | Actor::System => {}
            }
        }
        let mut names = HashMap::new();
        for id in accounts {
            if let Some(account) = self.accounts.find(id).await? {
                names.insert(Actor::Account(id), account.email.to_string());
            }
        }
        let devices: Vec<DeviceId> = devices.into_iter().collect();
        if !devices.is_empty() {
            let devices = self.devices.find_many(&devices).await?;
            names.extend(
                devices
                    .into_iter()
                    .map(|device| (Actor::Device(device.id), device.name.to_string())),
            );
        }
        Ok(names)
    }
}
