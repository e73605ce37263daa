//! Employees: the people whose presence is recorded, and their consent.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    accounts::Actor,
    ids::EmployeeId,
    text::{Code, Name, SiteName},
};

/// The person whose presence is recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Employee {
    /// Identity.
    pub id: EmployeeId,
    /// What the kiosk greets them by.
    pub name: Name,
    /// Unique among those not deleted, without regard to case.
    pub code: Code,
    /// Where they usually work.
    pub site: Option<SiteName>,
    /// Inactive people are not identified and cannot punch.
    pub active: bool,
    /// The consent under which their face was enrolled; gone when it is withdrawn.
    pub consent: Option<Consent>,
    /// How many templates are enrolled.
    pub templates: u32,
    /// When the record was made.
    pub created_at: Timestamp,
    /// When they were deleted: out of every list, kept as the name behind old punches.
    pub deleted_at: Option<Timestamp>,
}

impl Employee {
    /// Whether a face of theirs is enrolled.
    pub fn enrolled(&self) -> bool {
        self.templates > 0
    }

    /// Whether they may be identified and punch.
    pub fn present(&self) -> bool {
        self.active && self.deleted_at.is_none()
    }

    /// Whether they agreed to pictures of their punches.
    pub fn consents_to_pictures(&self) -> bool {
        let consent = self.consent.as_ref();
        consent.is_some_and(|consent| COVERS_PICTURES.contains(&consent.text.as_str()))
    }
}

/// Who agreed to having a face enrolled, when, and to which text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Consent {
    /// When it was given.
    pub at: Timestamp,
    /// Who recorded it.
    pub recorded_by: Actor,
    /// The version of the text that was agreed to.
    pub text: String,
}

/// What somebody agrees to whose face is enrolled, as every page shows it; docs/PRIVACY.md has
/// it too, and a test holds the two together.
pub const CONSENT_TEXT: &str = "I agree that photos of my face are turned into numbers that recognise me, to record when I come and go. The numbers, and where this site keeps them the photos and a small picture of each punch, are stored encrypted on the employer's own system, are used for nothing else, are not passed on, and are deleted when I ask for it or leave. I can withdraw this consent at any time, without giving reasons and without disadvantage, and then punch in another way.";

/// The version of that text: another one whenever the text changes.
pub const CONSENT_VERSION: &str = "2026-11.3";

/// The versions that speak of pictures of punches: of whoever agreed to another one, none is kept.
const COVERS_PICTURES: [&str; 1] = ["2026-11.3"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_present_text_covers_what_may_be_kept() {
        assert!(COVERS_PICTURES.contains(&CONSENT_VERSION));
        assert!(CONSENT_TEXT.contains("picture of each punch"));
    }
}
