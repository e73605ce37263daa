//! The audit trail: writes and reads entries.

use std::{
    collections::{BTreeSet, HashMap},
    fmt::Display,
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;

use crate::{
    clock::Clock,
    domain::{
        accounts::Actor,
        audit::AuditEntry,
        grants::Reach,
        ids::{AccountId, ApiTokenId, AuditId, DeviceId},
    },
    ports::{Page, Quota, RateLimits, StoreError},
    repositories::{Accounts, ApiTokens, AuditTrail, Devices, Repositories},
};

/// Writes entries of the audit trail.
#[derive(Clone, derive_new::new)]
pub struct Audit {
    trail: AuditTrail,
    clock: Arc<dyn Clock>,
}

impl Audit {
    /// Writes an entry; `action` has the form `subject.verb`. Callers write it before they act, so that
    /// the trail contains everything that happens.
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
        self.trail.append(&entry).await
    }

    /// Writes that a proof of who the person of an account is was refused, at most once a minute for
    /// each account, so that a stranger cannot fill the store.
    pub async fn refused(
        &self,
        limits: &dyn RateLimits,
        account: AccountId,
        what: &str,
    ) -> Result<(), StoreError> {
        let key = format!("refused:{account}");
        if !limits.check(&key, REFUSED).await.allowed {
            return Ok(());
        }
        let detail = Some(what.to_owned());
        self.record(Actor::System, "session.refused", account, detail)
            .await
    }
}

/// How often an entry about refused proofs of an account is written.
const REFUSED: Quota = Quota {
    most: 1,
    window: Duration::from_mins(1),
};

/// An entry with the name of its actor.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedEntry {
    /// The entry.
    pub entry: AuditEntry,
    /// The present name of the actor: the email address of an account, the name of an API token with
    /// the address of its account, the name of a device.
    pub actor_name: Option<String>,
}

/// Reads the audit trail.
pub struct Trail {
    trail: AuditTrail,
    accounts: Accounts,
    tokens: ApiTokens,
    devices: Devices,
}

impl Trail {
    /// Makes a reader over the repositories.
    pub fn new(stores: &Repositories) -> Self {
        Self {
            trail: stores.audit.clone(),
            accounts: stores.accounts.clone(),
            tokens: stores.api_tokens.clone(),
            devices: stores.devices.clone(),
        }
    }

    /// Returns a page, newest first.
    pub async fn list(
        &self,
        reach: &Reach,
        page: &Page<(Timestamp, AuditId)>,
    ) -> Result<Vec<NamedEntry>, StoreError> {
        let entries = self.trail.list(reach, page).await?;
        let names = self.names(&entries).await?;
        let named = entries.into_iter().map(|entry| NamedEntry {
            actor_name: names.get(&entry.actor).cloned(),
            entry,
        });
        Ok(named.collect())
    }

    /// Returns the names of the actors. The entries of a page have few different actors.
    async fn names(&self, entries: &[AuditEntry]) -> Result<HashMap<Actor, String>, StoreError> {
        let (mut accounts, mut devices) = (BTreeSet::<AccountId>::new(), BTreeSet::new());
        let mut tokens = BTreeSet::new();
        for entry in entries {
            match entry.actor {
                Actor::Account(id) => drop(accounts.insert(id)),
                Actor::Token { account, token } => {
                    accounts.insert(account);
                    tokens.insert(token);
                }
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
        let tokens: Vec<ApiTokenId> = tokens.into_iter().collect();
        for token in self.tokens.find_many(&tokens).await? {
            let (account, name) = (token.account, token.name);
            let name = match names.get(&Actor::Account(account)) {
                Some(email) => format!("{name} of {email}"),
                None => name.to_string(),
            };
            let token = token.id;
            names.insert(Actor::Token { account, token }, name);
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
