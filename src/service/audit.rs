//! Writing the audit trail.

use std::{fmt::Display, sync::Arc};

use crate::{
    clock::Clock,
    domain::{accounts::Actor, audit::AuditEntry, ids::AuditId},
    ports::{AuditStore, StoreError},
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
