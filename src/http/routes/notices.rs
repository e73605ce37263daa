//! Notices: what waits for a person.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    domain::grants::Permission,
    http::{
        auth::{Allowed, Reading},
        page::List,
        problem::Problem,
        views::time,
    },
    service::{
        devices::{DeviceNotice, Devices},
        notices::{Notice, Notices},
    },
};

/// Something that waits for a person.
#[derive(Serialize, ToSchema)]
#[schema(title = "Notice")]
pub struct NoticeView {
    /// `missing_out`: no out an hour after the shift ended; `correction`: it was requested;
    /// `timesheet`: it was submitted; `pin_locked`: a PIN was missed 5 times in a row;
    /// `device_silent`: a kiosk has sent no request for 15 minutes; `device_token_ends`: the token
    /// of a device ends within 30 days, or has ended; `erasure_request`: an employee asked to be
    /// erased; for admins, `webhook_disabled`: the service disabled it; `mail_failing`: the mail
    /// server has accepted no letter for an hour.
    #[schema(example = "missing_out")]
    kind: &'static str,
    /// The ID of the employee; null for a device, a webhook or the mail server.
    #[schema(format = "uuid")]
    employee: Option<String>,
    /// The name of the employee, device or webhook; `Mail server`.
    #[schema(example = "Grace Hopper")]
    name: String,
    /// Since when it waits; for a missing out, when the shift ended; for a silent kiosk, when it was
    /// last seen.
    #[schema(format = "date-time")]
    since: String,
    /// The workday without an out.
    #[schema(format = "date")]
    day: Option<String>,
    /// When the token of the device ends.
    #[schema(format = "date-time")]
    ends: Option<String>,
    /// The ID of the correction, the timesheet, the device or the webhook.
    id: Option<String>,
    /// Why the service disabled the webhook, or letters are not sent.
    #[schema(example = "the mail server answered 535")]
    reason: Option<String>,
}

impl From<Notice> for NoticeView {
    fn from(notice: Notice) -> Self {
        Self {
            kind: notice.kind.as_str(),
            employee: notice.employee.map(|employee| employee.id.to_string()),
            name: notice.name,
            since: time(notice.since),
            day: notice.day.map(|day| day.to_string()),
            ends: None,
            id: notice.subject,
            reason: notice.reason,
        }
    }
}

impl From<DeviceNotice> for NoticeView {
    fn from(notice: DeviceNotice) -> Self {
        Self {
            kind: notice.kind.as_str(),
            employee: None,
            name: notice.device.name.to_string(),
            since: time(notice.since),
            day: None,
            ends: notice.ends.map(time),
            id: Some(notice.device.id.to_string()),
            reason: None,
        }
    }
}

/// Lists what waits for a person, longest waiting first: missing outs, requested corrections,
/// submitted timesheets, locked PINs, and people who asked to be erased; for accounts that may
/// survey, silent kiosks and tokens that end soon; for admins, disabled webhooks and a mail server
/// that accepts no letters. Nothing is stored for it, and a notice ends when its cause does.
#[utoipa::path(
    get, path = "/api/notices", tag = "attendance",
    responses((status = 200, description = "All notices", body = List<NoticeView>)),
    security(("session" = [])),
)]
pub async fn list_notices(
    allowed: Allowed<Reading>,
    State(notices): State<Arc<Notices>>,
    State(devices): State<Arc<Devices>>,
) -> Result<axum::Json<List<NoticeView>>, Problem> {
    let administers = allowed.reach_of(Permission::Administer);
    let surveyed = allowed.reach_of(Permission::Survey);
    let (found, of_devices) = tokio::try_join!(
        notices.list(allowed.reach(), &administers),
        devices.notices(&surveyed)
    )?;
    let mut items: Vec<NoticeView> = found.into_iter().map(NoticeView::from).collect();
    items.extend(of_devices.into_iter().map(NoticeView::from));
    // Times of one form sort as texts.
    items.sort_by(|one, other| one.since.cmp(&other.since));
    Ok(axum::Json(List { items, next: None }))
}
