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
        notice::Notice,
        notices::{Notices, Sees},
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
    /// erased; `refused_punch`: a saved punch was refused when a kiosk delivered it; for admins,
    /// `webhook_disabled`: the service disabled it; `mail_failing`: the mail server has accepted no
    /// email for an hour.
    #[schema(example = "missing_out")]
    kind: &'static str,
    /// The ID of the employee; null for a device, a webhook or the mail server, and for a refused punch
    /// without a staff number.
    #[schema(format = "uuid")]
    employee: Option<String>,
    /// The name of the employee, device or webhook; `Mail server`.
    #[schema(example = "Grace Hopper")]
    name: String,
    /// Since when it waits; for a missing out, when the shift ended; for a refused punch, when the
    /// person was at the kiosk; for a silent kiosk, when it was last seen.
    #[schema(format = "date-time")]
    since: String,
    /// The workday without an out.
    #[schema(format = "date")]
    day: Option<String>,
    /// When the token of the device ends.
    #[schema(format = "date-time")]
    ends: Option<String>,
    /// The ID of the correction, the timesheet, the refused punch, the device or the webhook.
    id: Option<String>,
    /// Why the service disabled the webhook, or emails are not sent.
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
            ends: notice.ends.map(time),
            id: notice.subject,
            reason: notice.reason,
        }
    }
}

/// Lists what waits for a person, longest waiting first: missing outs, requested corrections,
/// submitted timesheets, locked PINs, refused punches, and people who asked to be erased; for accounts
/// that may survey, silent kiosks and tokens that end soon; for admins, disabled webhooks and a mail
/// server that accepts no emails. A notice ends when its cause does.
#[utoipa::path(
    get, path = "/api/notices", tag = "attendance",
    responses((status = 200, description = "All notices", body = List<NoticeView>)),
)]
pub async fn list_notices(
    allowed: Allowed<Reading>,
    State(notices): State<Arc<Notices>>,
) -> Result<axum::Json<List<NoticeView>>, Problem> {
    let surveyed = allowed.reach_of(Permission::Survey);
    let administers = allowed.reach_of(Permission::Administer);
    let sees = Sees {
        records: allowed.reach(),
        devices: &surveyed,
        administers: &administers,
    };
    let found = notices.list(sees).await?.into_iter();
    let items = found.map(NoticeView::from).collect();
    Ok(axum::Json(List { items, next: None }))
}
