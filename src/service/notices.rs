//! Notices: what waits for a person. They are no records: each list of them is derived from what is
//! on record when it is read.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp, civil::Date};

use super::{
    employees::Employees, punch_credentials::PunchCredentials, timesheets::Timesheets,
    workdays::Workdays,
};
use crate::{
    clock::Clock,
    domain::{
        attendance::Progress,
        employees::Employee,
        grants::Reach,
        messages::{Channel, WebhookState},
        record::Record,
    },
    ports::StoreError,
    repositories::{Deliveries, Webhooks},
};

/// A letter that was tried and waits for longer than this becomes a notice.
const LETTER_WAITS: SignedDuration = SignedDuration::from_hours(1);

/// What a notice is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeKind {
    /// An employee has not punched out an hour after their shift ended.
    MissingOut,
    /// A correction waits for a decision.
    Correction,
    /// A timesheet was submitted, and waits for an approval.
    Timesheet,
    /// A PIN was missed too often, and waits to be unlocked.
    PinLocked,
    /// The service disabled a webhook, because its receiver does not accept messages.
    WebhookDisabled,
    /// The mail server accepts no letters.
    MailFailing,
    /// An employee asked to be erased.
    ErasureRequest,
}

impl NoticeKind {
    /// Returns the word in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MissingOut => "missing_out",
            Self::Correction => "correction",
            Self::Timesheet => "timesheet",
            Self::PinLocked => "pin_locked",
            Self::WebhookDisabled => "webhook_disabled",
            Self::MailFailing => "mail_failing",
            Self::ErasureRequest => "erasure_request",
        }
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
    /// Since when it waits. For a missing out, when the shift ended.
    pub since: Timestamp,
    /// The workday without an out.
    pub day: Option<Date>,
    /// The ID of the correction, the timesheet or the webhook.
    pub subject: Option<String>,
    /// Why the webhook was disabled, or the mail server accepts nothing.
    pub reason: Option<String>,
}

/// The service for notices.
pub struct Notices {
    workdays: Arc<Workdays>,
    timesheets: Arc<Timesheets>,
    credentials: Arc<PunchCredentials>,
    webhooks: Webhooks,
    deliveries: Deliveries,
    /// Whether there is a mail server.
    mail: bool,
    employees: Arc<Employees>,
    clock: Arc<dyn Clock>,
}

impl Notices {
    /// Creates the service. `mail` says whether there is a mail server.
    pub fn new(
        workdays: Arc<Workdays>,
        timesheets: Arc<Timesheets>,
        credentials: Arc<PunchCredentials>,
        (webhooks, deliveries): (Webhooks, Deliveries),
        mail: bool,
        employees: Arc<Employees>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            workdays,
            timesheets,
            credentials,
            webhooks,
            deliveries,
            mail,
            employees,
            clock,
        }
    }

    /// Returns the notices about covered employees, longest waiting first; and those about the
    /// service, for a caller who administers everything.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn list(
        &self,
        reach: &Reach,
        administers: &Reach,
    ) -> Result<Vec<Notice>, StoreError> {
        let (overdue, waiting, locked, asking) = tokio::try_join!(
            self.workdays.overdue(reach),
            self.timesheets.waiting(reach),
            self.credentials.locked(reach),
            self.employees.asking_for_erasure(reach),
        )?;
        let mut notices = Vec::new();
        notices.extend(overdue.into_iter().map(|one| Notice {
            kind: NoticeKind::MissingOut,
            name: one.employee.name.to_string(),
            employee: Some(one.employee),
            since: one.ended,
            day: Some(one.day),
            subject: None,
            reason: None,
        }));
        let corrections = waiting.corrections.into_iter();
        notices.extend(corrections.map(|(employee, filed)| Notice {
            kind: NoticeKind::Correction,
            name: employee.name.to_string(),
            employee: Some(employee),
            since: filed.correction.made_at,
            day: None,
            subject: Some(filed.path.to_string()),
            reason: None,
        }));
        let timesheets = waiting.timesheets.into_iter();
        notices.extend(timesheets.filter_map(|(employee, sheet)| {
            let Progress::Submitted { at, .. } = sheet.progress else {
                return None;
            };
            Some(Notice {
                kind: NoticeKind::Timesheet,
                name: employee.name.to_string(),
                employee: Some(employee),
                since: at,
                day: None,
                subject: Some(sheet.id().to_string()),
                reason: None,
            })
        }));
        let locked = locked.into_iter().filter_map(|(employee, stored)| {
            let since = stored.pin?.locked_at?;
            Some(Notice {
                kind: NoticeKind::PinLocked,
                name: employee.name.to_string(),
                employee: Some(employee),
                since,
                day: None,
                subject: None,
                reason: None,
            })
        });
        notices.extend(locked);
        notices.extend(asking.into_iter().filter_map(|employee| {
            Some(Notice {
                kind: NoticeKind::ErasureRequest,
                since: employee.erasure_requested_at?,
                name: employee.name.to_string(),
                employee: Some(employee),
                day: None,
                subject: None,
                reason: None,
            })
        }));
        if administers.covers_everything() {
            let webhooks = self.webhooks.all().await?.into_iter();
            notices.extend(webhooks.filter_map(|webhook| {
                let WebhookState::Disabled { at, reason } = webhook.state else {
                    return None;
                };
                Some(Notice {
                    kind: NoticeKind::WebhookDisabled,
                    name: webhook.settings.name.to_string(),
                    employee: None,
                    since: at,
                    day: None,
                    subject: Some(webhook.id.to_string()),
                    reason: Some(reason),
                })
            }));
            notices.extend(self.failing_mail().await?);
        }
        let id = |notice: &Notice| notice.employee.as_ref().map(|one| one.id);
        notices.sort_by_key(|notice| (notice.since, id(notice)));
        Ok(notices)
    }

    /// Returns a notice if letters have waited for a long time although they were tried.
    async fn failing_mail(&self) -> Result<Option<Notice>, StoreError> {
        if !self.mail {
            return Ok(None);
        }
        let waiting = self.deliveries.longest_waiting(Channel::Mail).await?;
        let tried = waiting.into_iter().find(|letter| letter.attempts > 0);
        let now = self.clock.now();
        let late = tried.filter(|letter| now.duration_since(letter.at) > LETTER_WAITS);
        Ok(late.map(|letter| Notice {
            kind: NoticeKind::MailFailing,
            name: "Mail server".to_owned(),
            employee: None,
            since: letter.at,
            day: None,
            subject: None,
            reason: letter.error,
        }))
    }
}
