//! The append-only audit trail: who did what to whom.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    accounts::Actor,
    ids::{AuditId, EmployeeId},
    record::{About, Index, Keys, Kind, OnErase, Record, uuids_in},
};

/// An entry of the audit trail.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// The ID.
    pub id: AuditId,
    /// When it was done.
    pub at: Timestamp,
    /// Who did it.
    pub actor: Actor,
    /// What was done, as `subject.verb`, such as `templates.delete`.
    pub action: String,
    /// The ID of the subject.
    pub subject: String,
    /// Details; never a template, a photo or a secret.
    pub detail: Option<String>,
}

impl AuditEntry {
    /// All entries, by time.
    pub const BY_TIME: Index = Index::ordered("by_time");
}

impl Record for AuditEntry {
    const KIND: &'static Kind =
        &Kind::archived("audit_entries", "audit entry", &[Self::BY_TIME]).aging(Self::BY_TIME);

    type Id = AuditId;

    fn id(&self) -> AuditId {
        self.id
    }

    fn keys(&self, keys: &mut Keys) {
        keys.add(Self::BY_TIME, (self.at,));
    }

    /// An entry identifies people only by ID, in its subject and its detail.
    fn about(&self) -> About {
        let texts = [Some(&self.subject), self.detail.as_ref()];
        let ids = texts.into_iter().flatten().flat_map(|text| uuids_in(text));
        About::Employees {
            ids: ids.map(EmployeeId::new).collect(),
            erase: OnErase::Keep,
        }
    }
}
