//! The audit trail, to be read.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::time;
use crate::{
    http::{
        auth::{Administering, Allowed},
        extract::Query,
        page::{List, PageQuery},
        problem::Problem,
    },
    service::audit::{Told, Trail},
};

/// Who did something.
#[derive(Serialize, ToSchema)]
#[schema(title = "Actor")]
pub struct ActorView {
    /// `account`: somebody who was signed in; `device`; `operator`: a command typed on the server;
    /// `system`: the service by itself.
    #[schema(example = "account")]
    kind: &'static str,
    /// The account or device.
    #[schema(format = "uuid", example = "0199f3a0-7c1e-7d5a-9f0e-2b7f6f0c1a2b")]
    id: Option<String>,
    /// What it is called today: the account's e-mail address, or the device's name; null when it
    /// is not there any more.
    #[schema(example = "admin@example.org")]
    name: Option<String>,
}

/// One thing that was done.
#[derive(Serialize, ToSchema)]
#[schema(title = "AuditEntry")]
pub struct AuditView {
    /// Identity.
    #[schema(format = "uuid", example = "0199f3a0-7c1e-7d5a-9f0e-2b7f6f0c1a2b")]
    id: String,
    /// When.
    #[schema(format = "date-time")]
    at: String,
    /// By whom.
    actor: ActorView,
    /// What.
    #[schema(example = "employee.add")]
    action: String,
    /// The identity of what it was done to.
    #[schema(example = "0199f3a0-7c1e-7d5a-9f0e-2b7f6f0c1a2b")]
    subject: String,
    /// What else is worth knowing.
    detail: Option<String>,
}

impl From<Told> for AuditView {
    fn from(Told { entry, actor_name }: Told) -> Self {
        Self {
            id: entry.id.to_string(),
            at: time(entry.at),
            actor: ActorView {
                kind: entry.actor.kind(),
                id: entry.actor.id().map(|id| id.to_string()),
                name: actor_name,
            },
            action: entry.action,
            subject: entry.subject,
            detail: entry.detail,
        }
    }
}

/// Lists who did what to whom, newest first. Each entry was written before the act (the digest of an erasure: after it), which may
/// have failed afterwards.
#[utoipa::path(
    get, path = "/api/audit", tag = "service",
    params(PageQuery),
    responses((status = 200, description = "A page of the audit trail", body = List<AuditView>)),
    security(("session" = [])),
)]
pub async fn list_audit(
    _: Allowed<Administering>,
    State(trail): State<Arc<Trail>>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<List<AuditView>>, Problem> {
    let wanted = page.page()?;
    let found = trail.list(&wanted.page).await?;
    let (found, next) = wanted.cut(found, |last| (last.entry.at, last.entry.id))?;
    let items = found.into_iter().map(Into::into).collect();
    Ok(axum::Json(List { items, next }))
}
