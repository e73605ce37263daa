//! Webhooks: receivers of messages, and the deliveries to them.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    domain::{
        ids::{DeliveryId, WebhookId},
        messages::DeliveryState,
    },
    http::{
        auth::{Administering, Confirmed, InPerson},
        extract::{Json, Path, Query},
        field_error::FieldError,
        merge_patch::MergePatch,
        page::{List, PageQuery},
        problem::{Code, Problem},
        views::{
            Created, created,
            webhooks::{
                DeliveryView, EditableWebhook, ReplayRequest, ReplayedView, SecretView, WebhookView,
            },
        },
    },
    ports::StoreError,
    service::messages::{WebhookError, Webhooks},
};

impl From<WebhookError> for Problem {
    fn from(error: WebhookError) -> Self {
        let text = error.to_string();
        match error {
            WebhookError::NotFound => Self::not_found("webhook"),
            WebhookError::NoDelivery => Self::not_found("delivery"),
            WebhookError::Waiting => Self::new(Code::DeliveryWaiting, text),
            WebhookError::UnknownSite => Self::field("sites", FieldError::UnknownSite),
            WebhookError::NotAllowed(rule) => Self::field("url", FieldError::MustBe { rule }),
            WebhookError::TooMany => Self::new(Code::TooManyWebhooks, text),
            WebhookError::Raced => StoreError::Conflict.into(),
            WebhookError::Vault(error) => Self::internal(error.to_string()),
            WebhookError::Store(error) => error.into(),
        }
    }
}

/// Lists all webhooks.
#[utoipa::path(
    get, path = "/api/webhooks", tag = "webhooks",
    responses((status = 200, description = "All webhooks", body = List<WebhookView>)),
)]
pub async fn list_webhooks(
    _: InPerson<Administering>,
    State(webhooks): State<Arc<Webhooks>>,
) -> Result<axum::Json<List<WebhookView>>, Problem> {
    let items = webhooks.all().await?.iter().map(Into::into).collect();
    Ok(axum::Json(List { items, next: None }))
}

/// Adds a webhook. The secret that signs its messages is returned only once.
#[utoipa::path(
    post, path = "/api/webhooks", tag = "webhooks",
    request_body = EditableWebhook,
    responses(
        (status = 201, description = "Added", body = SecretView),
        (status = 409, description = "`too_many_webhooks`"),
    ),
)]
pub async fn create_webhook(
    InPerson(allowed): InPerson<Administering>,
    _: Confirmed,
    State(webhooks): State<Arc<Webhooks>>,
    Json(new): Json<EditableWebhook>,
) -> Result<Created<SecretView>, Problem> {
    let (settings, on) = new.read()?;
    let (webhook, secret) = webhooks.add(allowed.actor(), settings, on).await?;
    let address = format!("/api/webhooks/{}", webhook.id);
    Ok(created(address, SecretView::new(&webhook, secret.reveal())))
}

/// Returns a webhook.
#[utoipa::path(
    get, path = "/api/webhooks/{id}", tag = "webhooks",
    params(("id" = String, Path, description = "The webhook")),
    responses((status = 200, description = "The webhook", body = WebhookView)),
)]
pub async fn get_webhook(
    _: InPerson<Administering>,
    State(webhooks): State<Arc<Webhooks>>,
    Path(id): Path<WebhookId>,
) -> Result<axum::Json<WebhookView>, Problem> {
    Ok(axum::Json((&webhooks.find(id).await?).into()))
}

/// A change of a webhook.
type WebhookPatch = MergePatch<EditableWebhook>;

/// Changes a webhook. `active: true` turns a disabled one on again.
#[utoipa::path(
    patch, path = "/api/webhooks/{id}", tag = "webhooks",
    params(("id" = String, Path, description = "The webhook")),
    request_body = WebhookPatch,
    responses(
        (status = 200, description = "Changed", body = WebhookView),
        (status = 409, description = "`conflict` if other requests keep changing it at the same time"),
    ),
)]
pub async fn update_webhook(
    InPerson(allowed): InPerson<Administering>,
    _: Confirmed,
    State(webhooks): State<Arc<Webhooks>>,
    Path(id): Path<WebhookId>,
    Json(patch): Json<WebhookPatch>,
) -> Result<axum::Json<WebhookView>, Problem> {
    let changed = webhooks.change(allowed.actor(), id, |webhook| {
        patch.apply(&webhook.into())?.read()
    });
    Ok(axum::Json((&changed.await?).into()))
}

/// Removes a webhook with the list of its deliveries. Messages that wait are not sent.
#[utoipa::path(
    delete, path = "/api/webhooks/{id}", tag = "webhooks",
    params(("id" = String, Path, description = "The webhook")),
    responses((status = 204, description = "Removed")),
)]
pub async fn delete_webhook(
    InPerson(allowed): InPerson<Administering>,
    _: Confirmed,
    State(webhooks): State<Arc<Webhooks>>,
    Path(id): Path<WebhookId>,
) -> Result<StatusCode, Problem> {
    webhooks.remove(allowed.actor(), id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Gives a webhook a new secret, which is returned only once. For 24 hours messages are signed with
/// the one before, too, so that the receiver can change it without losing one. Up to three secrets
/// that were replaced still sign.
#[utoipa::path(
    post, path = "/api/webhooks/{id}/rotate", tag = "webhooks",
    params(("id" = String, Path, description = "The webhook")),
    responses(
        (status = 200, description = "Rotated", body = SecretView),
        (status = 409, description = "`conflict` if other requests keep changing it at the same time"),
    ),
)]
pub async fn rotate_webhook(
    InPerson(allowed): InPerson<Administering>,
    _: Confirmed,
    State(webhooks): State<Arc<Webhooks>>,
    Path(id): Path<WebhookId>,
) -> Result<axum::Json<SecretView>, Problem> {
    let (webhook, secret) = webhooks.rotate(allowed.actor(), id).await?;
    Ok(axum::Json(SecretView::new(&webhook, secret.reveal())))
}

/// Sends a message of the topic `webhook.test` once, also if the webhook is not on, and waits for
/// the answer of the receiver.
#[utoipa::path(
    post, path = "/api/webhooks/{id}/test", tag = "webhooks",
    params(("id" = String, Path, description = "The webhook")),
    responses((status = 200, description = "Sent, with or without success", body = DeliveryView)),
)]
pub async fn test_webhook(
    _: InPerson<Administering>,
    State(webhooks): State<Arc<Webhooks>>,
    Path(id): Path<WebhookId>,
) -> Result<axum::Json<DeliveryView>, Problem> {
    Ok(axum::Json((&webhooks.test(id).await?).into()))
}

/// Which deliveries to list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DeliveryQuery {
    /// Only those that are `waiting`, `delivered` or `failed`.
    state: Option<String>,
}

/// Lists the deliveries to a webhook, newest first. They are kept for seven days after they ended.
#[utoipa::path(
    get, path = "/api/webhooks/{id}/deliveries", tag = "webhooks",
    params(("id" = String, Path, description = "The webhook"), DeliveryQuery, PageQuery),
    responses((status = 200, description = "A page of deliveries", body = List<DeliveryView>)),
)]
pub async fn list_deliveries(
    _: InPerson<Administering>,
    State(webhooks): State<Arc<Webhooks>>,
    Path(id): Path<WebhookId>,
    Query(query): Query<DeliveryQuery>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<List<DeliveryView>>, Problem> {
    let state = query.state.map(|word| DeliveryState::parse(&word));
    let state = state.transpose();
    let state = state.map_err(|error| Problem::field("state", error))?;
    let wanted = page.page()?;
    let found = webhooks.deliveries(id, state, &wanted.page).await?;
    let (found, next) = wanted.cut(found, |last| (last.at, last.id))?;
    let items = found.iter().map(Into::into).collect();
    Ok(axum::Json(List { items, next }))
}

/// Sends the messages that were given up again, oldest first, each with the same `webhook-id`: up to
/// 1000 at once.
#[utoipa::path(
    post, path = "/api/webhooks/{id}/replay", tag = "webhooks",
    params(("id" = String, Path, description = "The webhook")),
    request_body = ReplayRequest,
    responses((status = 200, description = "They wait to be sent", body = ReplayedView)),
)]
pub async fn replay_failed(
    InPerson(allowed): InPerson<Administering>,
    _: Confirmed,
    State(webhooks): State<Arc<Webhooks>>,
    Path(id): Path<WebhookId>,
    Json(request): Json<ReplayRequest>,
) -> Result<axum::Json<ReplayedView>, Problem> {
    let since = request.read()?;
    let replayed = webhooks.replay_failed(allowed.actor(), id, since).await?;
    Ok(axum::Json(ReplayedView { replayed }))
}

/// Sends an ended delivery again, with the same `webhook-id`.
#[utoipa::path(
    post, path = "/api/deliveries/{id}/replay", tag = "webhooks",
    params(("id" = String, Path, description = "The delivery")),
    responses(
        (status = 200, description = "It waits to be sent", body = DeliveryView),
        (status = 409, description = "`delivery_waiting`"),
    ),
)]
pub async fn replay_delivery(
    InPerson(allowed): InPerson<Administering>,
    _: Confirmed,
    State(webhooks): State<Arc<Webhooks>>,
    Path(id): Path<DeliveryId>,
) -> Result<axum::Json<DeliveryView>, Problem> {
    let again = webhooks.replay(allowed.actor(), id).await?;
    Ok(axum::Json((&again).into()))
}
