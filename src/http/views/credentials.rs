//! PINs and badges, without their secrets.

use serde::Serialize;
use utoipa::ToSchema;

use super::time;
use crate::domain::punch_credentials::{PunchCredential, StoredPin};

/// The PIN of an employee.
#[derive(Serialize, ToSchema)]
#[schema(title = "Pin")]
pub struct PinView {
    /// When it was set.
    #[schema(format = "date-time")]
    set_at: String,
    /// The number of wrong tries since it was last right.
    wrong_tries: u8,
    /// When it was locked after 5 wrong tries; null if it can be used.
    #[schema(format = "date-time")]
    locked_at: Option<String>,
}

impl From<&StoredPin> for PinView {
    fn from(pin: &StoredPin) -> Self {
        Self {
            set_at: time(pin.set_at),
            wrong_tries: pin.tries,
            locked_at: pin.locked_at.map(time),
        }
    }
}

/// The badge of an employee.
#[derive(Serialize, ToSchema)]
#[schema(title = "Badge")]
pub struct BadgeView {
    /// When it was issued.
    #[schema(format = "date-time")]
    issued_at: String,
}

/// What an employee can punch with besides the face.
#[derive(Serialize, ToSchema)]
#[schema(title = "PunchCredentials")]
pub struct CredentialsView {
    /// The PIN; null without one.
    pin: Option<PinView>,
    /// The badge; null without one.
    badge: Option<BadgeView>,
}

impl From<&PunchCredential> for CredentialsView {
    fn from(stored: &PunchCredential) -> Self {
        Self {
            pin: stored.pin.as_ref().map(PinView::from),
            badge: stored.badge.as_ref().map(|badge| BadgeView {
                issued_at: time(badge.issued_at),
            }),
        }
    }
}

/// What one of several employees can punch with besides the face.
#[derive(Serialize, ToSchema)]
#[schema(title = "CredentialsOfEmployee")]
pub struct ListedCredentialsView {
    /// The ID of the employee.
    #[schema(format = "uuid")]
    employee: String,
    /// The PIN and the badge.
    #[serde(flatten)]
    credentials: CredentialsView,
}

impl From<&PunchCredential> for ListedCredentialsView {
    fn from(stored: &PunchCredential) -> Self {
        Self {
            employee: stored.employee.to_string(),
            credentials: stored.into(),
        }
    }
}
