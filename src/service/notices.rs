//! Notices: what waits for a person. They are no records: each list of them is derived from what is
//! on record when it is read.

use std::sync::Arc;

use jiff::{Timestamp, civil::Date};

use super::{punch_credentials::PunchCredentials, timesheets::Timesheets, workdays::Workdays};
use crate::{
    domain::{attendance::Progress, employees::Employee, grants::Reach, record::Record},
    ports::StoreError,
};

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
}

impl NoticeKind {
    /// Returns the word in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MissingOut => "missing_out",
            Self::Correction => "correction",
            Self::Timesheet => "timesheet",
            Self::PinLocked => "pin_locked",
        }
    }
}

/// A notice.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// What it is about.
    pub kind: NoticeKind,
    /// The employee whom it concerns.
    pub employee: Employee,
    /// Since when it waits. For a missing out, when the shift ended.
    pub since: Timestamp,
    /// The workday without an out.
    pub day: Option<Date>,
    /// The ID of the correction or the timesheet.
    pub subject: Option<String>,
}

/// The service for notices.
pub struct Notices {
    workdays: Arc<Workdays>,
    timesheets: Arc<Timesheets>,
    credentials: Arc<PunchCredentials>,
}

impl Notices {
    /// Creates the service.
    pub fn new(
        workdays: Arc<Workdays>,
        timesheets: Arc<Timesheets>,
        credentials: Arc<PunchCredentials>,
    ) -> Self {
        Self {
            workdays,
            timesheets,
            credentials,
        }
    }

    /// Returns the notices about covered employees, longest waiting first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn list(&self, reach: &Reach) -> Result<Vec<Notice>, StoreError> {
        let (overdue, waiting, locked) = tokio::try_join!(
            self.workdays.overdue(reach),
            self.timesheets.waiting(reach),
            self.credentials.locked(reach),
        )?;
        let mut notices = Vec::new();
        notices.extend(overdue.into_iter().map(|one| Notice {
            kind: NoticeKind::MissingOut,
            employee: one.employee,
            since: one.ended,
            day: Some(one.day),
            subject: None,
        }));
        let corrections = waiting.corrections.into_iter();
        notices.extend(corrections.map(|(employee, filed)| Notice {
            kind: NoticeKind::Correction,
            employee,
            since: filed.correction.made_at,
            day: None,
            subject: Some(filed.path.to_string()),
        }));
        let timesheets = waiting.timesheets.into_iter();
        notices.extend(timesheets.filter_map(|(employee, sheet)| {
            let Progress::Submitted { at, .. } = sheet.progress else {
                return None;
            };
            Some(Notice {
                kind: NoticeKind::Timesheet,
                employee,
                since: at,
                day: None,
                subject: Some(sheet.id().to_string()),
            })
        }));
        let locked = locked.into_iter().filter_map(|(employee, stored)| {
            let since = stored.pin?.locked_at?;
            Some(Notice {
                kind: NoticeKind::PinLocked,
                employee,
                since,
                day: None,
                subject: None,
            })
        });
        notices.extend(locked);
        notices.sort_by_key(|notice| (notice.since, notice.employee.id));
        Ok(notices)
    }
}
