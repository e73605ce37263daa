//! Pairing a kiosk by a code that it shows.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::Response,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    http::{
        HttpState,
        auth::{Administering, Allowed, bearer, unauthenticated},
        context::Client,
        extract::Json,
        limits::with_headers,
        problem::Problem,
        views::{devices::KioskCode, time},
    },
    service::pairing::{PAIRING, Pairing, Progress},
};

/// A new pairing.
#[derive(Serialize, ToSchema)]
#[schema(title = "Pairing")]
pub struct PairingView {
    /// The code that the kiosk shows and an admin types.
    #[schema(example = "K7PM-3XQ2")]
    code: String,
    /// The bearer token for the progress.
    secret: String,
    /// Seconds until the code expires.
    #[schema(example = 600)]
    expires_in: u64,
}

/// The progress of a pairing.
#[derive(Serialize, ToSchema)]
#[schema(title = "PairingProgress")]
pub struct ProgressView {
    /// Whether an admin has typed the code.
    paired: bool,
    /// The device's token, returned for a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

/// Begins a pairing: returns a code for an admin to send with `POST /api/devices`.
#[utoipa::path(
    post, path = "/api/pairings", tag = "devices",
    responses((status = 201, description = "Begun", body = PairingView)),
    security(()),
)]
pub async fn create_pairing(
    State(state): State<HttpState>,
    State(pairing): State<Arc<Pairing>>,
    axum::Extension(client): axum::Extension<Client>,
) -> Result<Response, Problem> {
    let limit = state.pairings.count(client.key()).await?;
    let offer = pairing.offer(client.address).await;
    let (first, second) = offer.code.split_at(offer.code.len() / 2);
    let view = axum::Json(PairingView {
        code: format!("{first}-{second}"),
        secret: offer.secret.reveal().to_owned(),
        expires_in: PAIRING.as_secs(),
    });
    Ok(with_headers(limit, (StatusCode::CREATED, view)))
}

/// Returns the progress of a pairing; the device's token is returned for a minute.
#[utoipa::path(
    get, path = "/api/pairing", tag = "devices",
    responses(
        (status = 200, description = "Waiting or paired", body = ProgressView),
        (status = 401, description = "`unauthenticated`: the pairing has ended, or the secret is wrong"),
    ),
    security(("pairing" = [])),
)]
pub async fn get_pairing(
    State(pairing): State<Arc<Pairing>>,
    headers: HeaderMap,
) -> Result<axum::Json<ProgressView>, Problem> {
    let secret = headers.get(header::AUTHORIZATION).and_then(bearer);
    let ended = || {
        unauthenticated(
            "send the secret of a pairing that has not ended",
            secret.is_some(),
        )
    };
    match pairing.collect(secret.ok_or_else(ended)?).await {
        Progress::Unknown => Err(ended()),
        Progress::Waiting => Ok(axum::Json(ProgressView {
            paired: false,
            token: None,
        })),
        Progress::Paired(token) => Ok(axum::Json(ProgressView {
            paired: true,
            token: Some(token),
        })),
    }
}

/// The kiosk that shows a code.
#[derive(Serialize, ToSchema)]
#[schema(title = "Asker")]
pub struct AskerView {
    /// The address from which it asked for the code.
    #[schema(example = "192.168.1.20")]
    address: String,
    /// When it asked.
    #[schema(format = "date-time")]
    at: String,
}

/// Returns which kiosk shows a code, so that an admin pairs the one in front of them and not the
/// browser of a stranger who gave them a code. The code stays valid.
#[utoipa::path(
    post, path = "/api/pairings/look", tag = "devices",
    request_body = KioskCode,
    responses((status = 200, description = "The kiosk", body = AskerView)),
)]
pub async fn look_at_pairing(
    _: Allowed<Administering>,
    State(pairing): State<Arc<Pairing>>,
    Json(KioskCode { code }): Json<KioskCode>,
) -> Result<axum::Json<AskerView>, Problem> {
    let asker = pairing.look(&code).await?;
    Ok(axum::Json(AskerView {
        address: asker.address.to_string(),
        at: time(asker.at),
    }))
}
