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
    service::notices::{Notice, Notices},
};

/// Something that waits for a person.
#[derive(Serialize, ToSchema)]
#[schema(title = "Notice")]
pub struct NoticeView {
    /// `missing_out`: no out an hour after the shift ended; `correction`: it was requested;
    /// `timesheet`: it was submitted; `pin_locked`: a PIN was missed 5 times in a row.
    /// `timesheet`: it was submitted; for admins, `webhook_disabled`: the service disabled it.
    #[schema(example = "missing_out")]
    kind: &'static str,
    /// The ID of the employee; null for `webhook_disabled`.
    #[schema(format = "uuid")]
    employee: Option<String>,
    /// The name of the employee or the webhook.
    #[schema(example = "Grace Hopper")]
    name: String,
    /// Since when it waits; for a missing out, when the shift ended.
    #[schema(format = "date-time")]
    since: String,
    /// The workday without an out.
    #[schema(format = "date")]
    day: Option<String>,
    /// The ID of the correction, the timesheet or the webhook.
    id: Option<String>,
}

impl From<Notice> for NoticeView {
    fn from(notice: Notice) -> Self {
        Self {
            kind: notice.kind.as_str(),
            employee: notice.employee.map(|employee| employee.id.to_string()),
            name: notice.name,
            since: time(notice.since),
            day: notice.day.map(|day| day.to_string()),
            id: notice.subject,
        }
    }
}

/// Lists what waits for a person, longest waiting first: missing outs, requested corrections,
/// submitted timesheets and locked PINs. Nothing is stored for it, and a notice ends when its cause does.
#[utoipa::path(
    get, path = "/api/notices", tag = "attendance",
    responses((status = 200, description = "All notices", body = List<NoticeView>)),
    security(("session" = [])),
)]
pub async fn list_notices(
    allowed: Allowed<Reading>,
    State(notices): State<Arc<Notices>>,
) -> Result<axum::Json<List<NoticeView>>, Problem> {
    let administers = allowed.reach_of(Permission::Administer);
    let found = notices.list(allowed.reach(), &administers).await?;
    let items = found.into_iter().map(NoticeView::from).collect();
    Ok(axum::Json(List { items, next: None }))
}
