//! IDs: one newtype per kind of record, all UUIDv7, so that they sort by time.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps a UUID that the clock created or a store returned.
            pub const fn new(id: Uuid) -> Self {
                Self(id)
            }

            /// Returns the UUID.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    )+};
}

id! {
    /// Names an account.
    AccountId,
    /// Names an API token.
    ApiTokenId,
    /// Names an assignment of shifts to an employee.
    AssignmentId,
    /// Names an entry of the audit trail.
    AuditId,
    /// Names an entry of an employee's balance.
    BalanceEntryId,
    /// Names a camera.
    CameraId,
    /// Names a cycle of shifts.
    CycleId,
    /// Names a correction.
    CorrectionId,
    /// Names a message to the outside, and its delivery.
    DeliveryId,
    /// Names a device.
    DeviceId,
    /// Names an employee.
    EmployeeId,
    /// Names an entitlement of an employee to leave.
    EntitlementId,
    /// Names a calendar of public holidays.
    HolidayCalendarId,
    /// Names an invitation.
    InvitationId,
    /// Names a background job.
    JobId,
    /// Names leave of an employee.
    LeaveId,
    /// Names a kind of leave.
    LeaveKindId,
    /// Names a passkey of an account.
    PasskeyId,
    /// Names a payroll layout.
    PayrollLayoutId,
    /// Names a kept enrollment photo.
    PhotoId,
    /// Names a picture of a punch or of an unknown face.
    PictureId,
    /// Names a punch.
    PunchId,
    /// Names a saved punch that the service refused.
    RefusedPunchId,
    /// Names a kind of shift.
    ShiftKindId,
    /// Names a site.
    SiteId,
    /// Names the rules of a site from a date on.
    SiteRulesId,
    /// Names a stored template.
    TemplateId,
    /// Names a webhook.
    WebhookId,
}

impl SiteId {
    /// The site that every installation has. Its ID is fixed, so that instances that start at the
    /// same moment make one site.
    pub const DEFAULT: Self = Self(Uuid::from_u128(0x0000_0000_0000_7000_8000_0000_0000_0001));
}
