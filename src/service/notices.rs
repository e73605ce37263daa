//! Notices: what waits for a person. They are no records: each list of them is derived from what is
//! on record when it is read.

use std::{collections::BTreeSet, sync::Arc};

use jiff::SignedDuration;

use super::{
    devices::Devices,
    employees::Employees,
    notice::{Notice, NoticeKind},
    punch_credentials::PunchCredentials,
    timesheets::Timesheets,
    workdays::Workdays,
};
use crate::{
    clock::Clock,
    domain::{
        attendance::Progress,
        grants::Reach,
        messages::{Channel, WebhookState},
        record::Record,
    },
    ports::StoreError,
    repositories::Repositories,
};

/// A letter that was tried and waits for longer than this becomes a notice.
const LETTER_WAITS: SignedDuration = SignedDuration::from_hours(1);

/// How far a caller sees notices.
#[derive(Debug, Clone, Copy)]
pub struct Sees<'a> {
    /// The records of employees.
    pub records: &'a Reach,
    /// The devices.
    pub devices: &'a Reach,
    /// What admins manage.
    pub administers: &'a Reach,
}

/// A reach that covers nothing.
static NOTHING: Reach = Reach::Part {
    sites: BTreeSet::new(),
    own: None,
};

impl Sees<'static> {
    /// All records of employees, and nothing else.
    pub const RECORDS: Self = Self {
        records: &Reach::Everything,
        devices: &NOTHING,
        administers: &NOTHING,
    };
}

/// The service for notices.
#[allow(
    clippy::too_many_arguments,
    reason = "created once, by boot, with everything named"
)]
#[derive(derive_new::new)]
pub struct Notices {
    workdays: Arc<Workdays>,
    timesheets: Arc<Timesheets>,
    credentials: Arc<PunchCredentials>,
    devices: Arc<Devices>,
    stores: Repositories,
    /// Whether there is a mail server.
    mail: bool,
    employees: Arc<Employees>,
    clock: Arc<dyn Clock>,
}

impl Notices {
    /// Returns the notices that a caller sees, longest waiting first.
    pub async fn list(&self, sees: Sees<'_>) -> Result<Vec<Notice>, StoreError> {
        let reach = sees.records;
        let (overdue, waiting, locked, asking, refused, devices) = tokio::try_join!(
            self.workdays.overdue(reach),
            self.timesheets.waiting(reach),
            self.credentials.locked(reach),
            self.employees.asking_for_erasure(reach),
            self.refused(reach),
            self.devices.notices(sees.devices),
        )?;
        let mut notices = devices;
        notices.extend(refused);
        notices.extend(overdue.into_iter().map(|one| Notice {
            day: Some(one.day),
            ..Notice::about(NoticeKind::MissingOut, one.employee, one.ended)
        }));
        let corrections = waiting.corrections.into_iter();
        notices.extend(corrections.map(|(employee, filed)| {
            let since = filed.correction.made_at;
            Notice::about(NoticeKind::Correction, employee, since).with(filed.path)
        }));
        let timesheets = waiting.timesheets.into_iter();
        notices.extend(timesheets.filter_map(|(employee, sheet)| {
            let Progress::Submitted { at, .. } = sheet.progress else {
                return None;
            };
            Some(Notice::about(NoticeKind::Timesheet, employee, at).with(sheet.id()))
        }));
        notices.extend(locked.into_iter().filter_map(|(employee, stored)| {
            let since = stored.pin?.locked_at?;
            Some(Notice::about(NoticeKind::PinLocked, employee, since))
        }));
        notices.extend(asking.into_iter().filter_map(|employee| {
            let since = employee.erasure_requested_at?;
            Some(Notice::about(NoticeKind::ErasureRequest, employee, since))
        }));
        if sees.administers.covers_everything() {
            let webhooks = self.stores.webhooks.all().await?.into_iter();
            notices.extend(webhooks.filter_map(|webhook| {
                let WebhookState::Disabled { at, reason } = webhook.state else {
                    return None;
                };
                let name = webhook.settings.name.to_string();
                Some(Notice {
                    reason: Some(reason),
                    ..Notice::of(NoticeKind::WebhookDisabled, name, at).with(webhook.id)
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
        let waiting = self
            .stores
            .deliveries
            .longest_waiting(Channel::Mail)
            .await?;
        let tried = waiting.into_iter().find(|letter| letter.attempts > 0);
        let now = self.clock.now();
        let late = tried.filter(|letter| now.duration_since(letter.at) > LETTER_WAITS);
        let name = "Mail server".to_owned();
        Ok(late.map(|letter| Notice {
            reason: letter.error,
            ..Notice::of(NoticeKind::MailFailing, name, letter.at)
        }))
    }

    /// Returns the notices about refused punches, with the name of the employee whose staff number
    /// was typed, or of the kiosk.
    async fn refused(&self, reach: &Reach) -> Result<Vec<Notice>, StoreError> {
        let waiting = self.stores.refused_punches.waiting(reach).await?;
        let people: Vec<_> = waiting.iter().filter_map(|one| one.employee).collect();
        let people = self.stores.employees.find_many(&people).await?;
        let mut kiosks: Vec<_> = waiting.iter().map(|one| one.device).collect();
        kiosks.sort_unstable();
        kiosks.dedup();
        let kiosks = self.stores.devices.find_many(&kiosks).await?;
        let kind = NoticeKind::RefusedPunch;
        let notices = waiting.into_iter().map(|one| {
            let person = people.iter().find(|person| Some(person.id) == one.employee);
            let notice = match person {
                Some(person) => Notice::about(kind, person.clone(), one.at),
                None => {
                    let kiosk = kiosks.iter().find(|kiosk| kiosk.id == one.device);
                    let name = kiosk.map(|kiosk| kiosk.name.to_string());
                    Notice::of(kind, name.unwrap_or_default(), one.at)
                }
            };
            notice.with(one.id)
        });
        Ok(notices.collect())
    }
}
