//! Employees: the people whose presence is recorded, and their consents.

use std::ops::Deref;

use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Serialize};

use super::{
    accounts::Actor,
    attendance::Employment,
    grants::{Place, Placed},
    ids::{EmployeeId, SiteId},
    record::{About, Changes, Index, Keys, Kind, OnErase, Record},
    text::{Code, Name},
};

/// The settings of an employee, which admins and managers edit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EmployeeSettings {
    /// The name, with which the kiosk greets the person.
    pub name: Name,
    /// The code, unique among employees who are not deleted, without regard to case.
    pub code: Code,
    /// The site where the person usually works.
    pub site: SiteId,
    /// Whether the person is active. Inactive people are not identified and cannot punch.
    pub active: bool,
    /// The first date on which the person works here; without one, always.
    pub employed_from: Option<Date>,
    /// The last date, not before the first one; without one, forever.
    pub employed_until: Option<Date>,
}

impl EmployeeSettings {
    /// Returns the settings of a new, active employee.
    pub fn new(name: Name, code: Code, site: SiteId) -> Self {
        Self {
            name,
            code,
            site,
            active: true,
            employed_from: None,
            employed_until: None,
        }
    }

    /// Returns the dates between which the person works here.
    pub fn employment(&self) -> Employment {
        Employment {
            from: self.employed_from,
            to: self.employed_until,
        }
    }
}

/// A person whose presence is recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Employee {
    /// The ID.
    pub id: EmployeeId,
    /// The settings, which are stored beside the other fields.
    #[serde(flatten)]
    pub settings: EmployeeSettings,
    /// When the record was created.
    pub created_at: Timestamp,
    /// When the employee was deleted. The record stays, because old punches
    /// show the name of their employee.
    pub deleted_at: Option<Timestamp>,
    /// When the person asked that everything about them is erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erasure_requested_at: Option<Timestamp>,
}

impl Deref for Employee {
    type Target = EmployeeSettings;

    fn deref(&self) -> &EmployeeSettings {
        &self.settings
    }
}

impl Employee {
    /// Checks whether the person may be identified and punch.
    pub fn present(&self) -> bool {
        self.active && self.deleted_at.is_none()
    }

    /// Employees who are not deleted, by lowercase code.
    pub const BY_CODE: Index = Index::unique("by_code");
    /// Employees who are not deleted, by lowercase name.
    pub const BY_NAME: Index = Index::ordered("by_name");
    /// Employees who are not deleted and asked to be erased, by the time of that.
    pub const BY_ERASURE_REQUEST: Index = Index::ordered("by_erasure_request");
}

impl Placed for Employee {
    fn place(&self) -> Place {
        Place {
            site: self.site,
            employee: Some(self.id),
        }
    }
}

impl Record for Employee {
    const KIND: &'static Kind = &Kind::archived(
        "employees",
        "employee",
        &[Self::BY_CODE, Self::BY_NAME, Self::BY_ERASURE_REQUEST],
    )
    .changing(Changes::Audited);

    type Id = EmployeeId;

    fn id(&self) -> EmployeeId {
        self.id
    }

    fn keys(&self, keys: &mut Keys) {
        if self.deleted_at.is_none() {
            keys.add(Self::BY_CODE, (self.code.key(),));
            keys.add(Self::BY_NAME, (self.name.key(),));
            if let Some(at) = self.erasure_requested_at {
                keys.add(Self::BY_ERASURE_REQUEST, (at,));
            }
        }
    }

    fn about(&self) -> About {
        About::employee(self.id, OnErase::Anonymize)
    }

    fn anonymize(&mut self, _employee: EmployeeId) {
        // Lists every field, so that a new one is not forgotten here.
        let Self {
            id,
            settings,
            created_at: _,
            deleted_at: _,
            erasure_requested_at,
        } = self;
        *erasure_requested_at = None;
        *settings = EmployeeSettings {
            name: Name::erased(),
            code: Code::erased(*id),
            site: SiteId::DEFAULT,
            active: false,
            employed_from: None,
            employed_until: None,
        };
    }
}

/// A consent to the enrollment of a face.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Consent {
    /// When it was given.
    pub at: Timestamp,
    /// The actor who recorded it.
    pub recorded_by: Actor,
    /// The version of the consent text.
    pub text: String,
    /// How the person gave it.
    #[serde(default, skip_serializing_if = "ConsentGiven::is_stated")]
    pub given: ConsentGiven,
}

/// How a person gave a consent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum ConsentGiven {
    /// The actor who recorded it states that the person agreed.
    #[default]
    Stated,
    /// The person agreed on their own device, with an invitation.
    Invitation,
    /// The person agreed at a kiosk.
    Kiosk,
    /// The person signed a sheet.
    Sheet {
        /// The date on the sheet.
        signed_on: Date,
    },
}

impl ConsentGiven {
    /// Returns the word in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stated => "stated",
            Self::Invitation => "invitation",
            Self::Kiosk => "kiosk",
            Self::Sheet { .. } => "sheet",
        }
    }

    /// Returns the date on the sheet.
    pub fn signed_on(self) -> Option<Date> {
        match self {
            Self::Sheet { signed_on } => Some(signed_on),
            Self::Stated | Self::Invitation | Self::Kiosk => None,
        }
    }

    /// Checks whether only the actor states it.
    pub fn is_stated(&self) -> bool {
        *self == Self::Stated
    }
}

impl Consent {
    /// Checks whether the consent covers pictures of punches.
    pub fn covers_pictures(&self) -> bool {
        COVERS_PICTURES.contains(&self.text.as_str())
    }

    /// Checks whether the consent covers templates from punches.
    pub fn covers_growth(&self) -> bool {
        COVERS_GROWTH.contains(&self.text.as_str())
    }
}

/// The text that a person consents to before the face is enrolled. All pages show it. A test checks
/// that docs/PRIVACY.md has the same text.
pub const CONSENT_TEXT: &str = "I agree that photos of my face are turned into numbers that recognize me, to record when I come and go. Where this site does so, clear pictures of my punches improve the numbers. The numbers, and where this site keeps them the photos and a small picture of each punch, are stored encrypted on the employer's own system, are used for nothing else, are not passed on, and are deleted when I ask for it or leave. I can withdraw this consent at any time, without giving reasons and without disadvantage, and then punch in another way.";

/// The version of the text. It must change whenever the text changes: the store keeps the text of
/// each version, and the service does not start with another text of a version that is kept.
pub const CONSENT_VERSION: &str = "2026-11.5";

/// The versions of the text that mention pictures of punches. For other consents, no pictures are
/// kept.
const COVERS_PICTURES: [&str; 2] = ["2026-11.4", "2026-11.5"];

/// The versions of the text that mention templates from punches. For other consents, none are made.
const COVERS_GROWTH: [&str; 1] = ["2026-11.5"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_present_text_covers_what_may_be_kept() {
        assert!(COVERS_PICTURES.contains(&CONSENT_VERSION));
        assert!(CONSENT_TEXT.contains("picture of each punch"));
        assert!(COVERS_GROWTH.contains(&CONSENT_VERSION));
        assert!(CONSENT_TEXT.contains("pictures of my punches improve"));
    }
}
