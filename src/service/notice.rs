//! What a notice says. Services make those about their own records; [`notices`](super::notices) lists
//! all.

use jiff::{Timestamp, civil::Date};

use crate::domain::{employees::Employee, words::words};

words! {
    /// What a notice is about.
    NoticeKind {
        /// An employee has not punched out an hour after their shift ended.
        MissingOut = "missing_out",
        /// A correction waits for a decision.
        Correction = "correction",
        /// A timesheet was submitted, and waits for an approval.
        Timesheet = "timesheet",
        /// A PIN was missed too often, and waits to be unlocked.
        PinLocked = "pin_locked",
        /// The service disabled a webhook, because its receiver does not accept messages.
        WebhookDisabled = "webhook_disabled",
        /// The mail server accepts no letters.
        MailFailing = "mail_failing",
        /// An employee asked to be erased.
        ErasureRequest = "erasure_request",
        /// A saved punch was refused when a kiosk delivered it.
        RefusedPunch = "refused_punch",
        /// A kiosk has sent nothing for some time.
        DeviceSilent = "device_silent",
        /// The token of a device ends soon, or has ended. Kiosks renew theirs long before.
        DeviceTokenEnds = "device_token_ends",
    }
}

/// A notice.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// What it is about.
    pub kind: NoticeKind,
    /// The employee whom it concerns, if it concerns one.
    pub employee: Option<Employee>,
    /// The name of the employee, or of what it concerns.
    pub name: String,
    /// Since when it waits. For a missing out, when the shift ended; for a refused punch, when the
    /// person was at the kiosk; for a silent kiosk, its last request.
    pub since: Timestamp,
    /// The workday without an out.
    pub day: Option<Date>,
    /// When the token of the device ends.
    pub ends: Option<Timestamp>,
    /// The ID of the correction, the timesheet, the refused punch, the device or the webhook.
    pub subject: Option<String>,
    /// Why the webhook was disabled, or the mail server accepts nothing.
    pub reason: Option<String>,
}

impl Notice {
    /// Returns a notice about an employee.
    pub(super) fn about(kind: NoticeKind, employee: Employee, since: Timestamp) -> Self {
        Self {
            name: employee.name.to_string(),
            employee: Some(employee),
            ..Self::of(kind, String::new(), since)
        }
    }

    /// Returns a notice about something with a name.
    pub(super) fn of(kind: NoticeKind, name: String, since: Timestamp) -> Self {
        Self {
            kind,
            employee: None,
            name,
            since,
            day: None,
            ends: None,
            subject: None,
            reason: None,
        }
    }

    pub(super) fn with(self, subject: impl ToString) -> Self {
        let subject = Some(subject.to_string());
        Self { subject, ..self }
    }
}
