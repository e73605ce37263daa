//! The lift of the limit on enrollments: for the first day of an installation, when many people are
//! enrolled, an admin lifts it for a while.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::audit::Audit;
use crate::{
    clock::Clock,
    domain::{accounts::Actor, ids::AccountId, text::Email},
    ports::StoreError,
    repositories::Repositories,
};

/// How long the limit is lifted.
pub const LIFTED: SignedDuration = SignedDuration::from_hours(24);

/// The name of the fact in the store.
const FACT: &str = "enrollment limit lifted";

/// The subject of the entries in the audit trail.
const SUBJECT: &str = "enrollment limit";

/// A lift of the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lift {
    /// When it ends.
    pub until: Timestamp,
    /// The admin who lifted the limit.
    pub by: AccountId,
}

/// The service for the limit on enrollments. Its state is in the store, so that all instances agree.
#[derive(derive_new::new)]
pub struct EnrollmentLimit {
    stores: Repositories,
    audit: Audit,
    clock: Arc<dyn Clock>,
}

impl EnrollmentLimit {
    /// Returns the lift that holds now; `None` if the limit counts.
    pub async fn lift(&self) -> Result<Option<Lift>, StoreError> {
        let Some(value) = self.stores.facts.get(FACT).await? else {
            return Ok(None);
        };
        // A value that this version cannot read does not lift the limit.
        let lift: Option<Lift> = serde_json::from_str(&value).ok();
        Ok(lift.filter(|lift| self.clock.now() < lift.until))
    }

    /// Lifts the limit of every account for [`LIFTED`], from now on.
    pub async fn begin(&self, by: AccountId) -> Result<Lift, StoreError> {
        let until = self.clock.now() + LIFTED;
        let lift = Lift { until, by };
        let (actor, detail) = (Actor::Account(by), Some(format!("until {until}")));
        self.audit
            .record(actor, "enrollment_limit.lift", SUBJECT, detail)
            .await?;
        let value =
            serde_json::to_string(&lift).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        self.stores.facts.set(FACT, &value).await?;
        Ok(lift)
    }

    /// Ends the lift; the limit counts again.
    pub async fn end(&self, by: AccountId) -> Result<(), StoreError> {
        let actor = Actor::Account(by);
        self.audit
            .record(actor, "enrollment_limit.restore", SUBJECT, None)
            .await?;
        self.stores.facts.remove(FACT).await
    }

    /// Returns the address of the admin who lifted the limit; `None` if the account no longer exists.
    pub async fn lifted_by(&self, lift: &Lift) -> Result<Option<Email>, StoreError> {
        let account = self.stores.accounts.find(lift.by).await?;
        Ok(account.map(|account| account.email))
    }
}
