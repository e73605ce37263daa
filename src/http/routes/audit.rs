//! The audit trail.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    http::{
        auth::{Administering, Allowed},
        extract::Query,
        page::{List, PageQuery},
        problem::Problem,
        views::time,
    },
    service::audit::{NamedEntry, Trail},
};

/// The actor of an audit entry.
#[derive(Serialize, ToSchema)]
#[schema(title = "Actor")]
pub struct ActorView {
    /// `account` that was signed in, `token` (a program with an API token), `device`, `operator` (a command on the server) or `system` (the
    /// service itself).
    #[schema(example = "account")]
    kind: &'static str,
    /// The ID of the account, API token or device.
    #[schema(format = "uuid", example = "0199f3a0-7c1e-7d5a-9f0e-2b7f6f0c1a2b")]
    id: Option<String>,
    /// The present email address of the account, name of the API token and address of its account, or
    /// name of the device; null if it no longer exists.
    #[schema(example = "admin@example.org")]
    name: Option<String>,
}

/// An audit entry.
#[derive(Serialize, ToSchema)]
#[schema(title = "AuditEntry")]
pub struct AuditView {
    /// The ID.
    #[schema(format = "uuid", example = "0199f3a0-7c1e-7d5a-9f0e-2b7f6f0c1a2b")]
    id: String,
    /// When the entry was written.
    #[schema(format = "date-time")]
    at: String,
    /// The actor.
    actor: ActorView,
    /// The action.
    #[schema(example = "employee.add")]
    action: String,
    /// The ID of the record concerned.
    #[schema(example = "0199f3a0-7c1e-7d5a-9f0e-2b7f6f0c1a2b")]
    subject: String,
    /// More information.
    detail: Option<String>,
}

impl From<NamedEntry> for AuditView {
    fn from(NamedEntry { entry, actor_name }: NamedEntry) -> Self {
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

/// Lists the entries of the audit trail, newest first.
///
/// Each entry is written before the action, which may have failed afterwards. Only the digest of an
/// erasure is written after it.
#[utoipa::path(
    get, path = "/api/audit", tag = "service",
    params(PageQuery),
    responses((status = 200, description = "A page of the audit trail", body = List<AuditView>)),
)]
pub async fn list_audit(
    allowed: Allowed<Administering>,
    State(trail): State<Arc<Trail>>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<List<AuditView>>, Problem> {
    let wanted = page.page()?;
    let found = trail.list(allowed.reach(), &wanted.page).await?;
    let (found, next) = wanted.cut(found, |last| (last.entry.at, last.entry.id))?;
    let items = found.into_iter().map(Into::into).collect();
    Ok(axum::Json(List { items, next }))
}
