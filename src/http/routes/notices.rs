//! Notices: what waits for a person.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
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
    #[schema(example = "missing_out")]
    kind: &'static str,
    /// The ID of the employee.
    #[schema(format = "uuid")]
    employee: String,
    /// The name of the employee.
    #[schema(example = "Grace Hopper")]
    name: String,
    /// Since when it waits; for a missing out, when the shift ended.
    #[schema(format = "date-time")]
    since: String,
    /// The workday without an out.
    #[schema(format = "date")]
    day: Option<String>,
    /// The ID of the correction or the timesheet.
    id: Option<String>,
}

impl From<Notice> for NoticeView {
    fn from(notice: Notice) -> Self {
        Self {
            kind: notice.kind.as_str(),
            employee: notice.employee.id.to_string(),
            name: notice.employee.name.to_string(),
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
    let found = notices.list(allowed.reach()).await?;
    let items = found.into_iter().map(NoticeView::from).collect();
    Ok(axum::Json(List { items, next: None }))
}
