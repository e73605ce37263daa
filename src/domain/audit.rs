//! The audit trail: who did what to whom, append-only.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{accounts::Actor, ids::AuditId};

/// One thing that was done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Identity.
    pub id: AuditId,
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub actor: Actor,
    /// What, as `subject.verb`, e.g. `templates.delete`.
    pub action: String,
    /// The identity of what it was done to.
    pub subject: String,
    /// Anything else worth knowing; never a template, a photo or a secret.
    pub detail: Option<String>,
}
