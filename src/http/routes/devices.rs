//! Devices.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{StatusCode, header},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    employees::{Created, parse_site},
    time,
};
use crate::{
    domain::{devices::Device, ids::DeviceId, text::Name},
    http::{
        auth::{Administering, Allowed, PunchingDevice, Reading},
        extract::{Json, Path, Query},
        page::{List, PageQuery},
        problem::{Fields, Problem},
    },
    service::{devices::Devices, pairing::Pairing},
};

/// A kiosk or a pushing camera.
#[derive(Serialize, ToSchema)]
#[schema(title = "Device")]
pub struct DeviceView {
    /// Identity.
    #[schema(format = "uuid", example = "0199f3a0-7c1e-7d5a-9f0e-2b7f6f0c1a2b")]
    id: String,
    /// What people call it.
    #[schema(example = "Front door")]
    name: String,
    /// Where it stands.
    #[schema(example = "Harbour")]
    site: Option<String>,
    /// When it was registered.
    #[schema(format = "date-time")]
    created_at: String,
}

impl From<&Device> for DeviceView {
    fn from(device: &Device) -> Self {
        Self {
            id: device.id.to_string(),
            name: device.name.to_string(),
            site: device.site.as_ref().map(ToString::to_string),
            created_at: time(device.created_at),
        }
    }
}

/// A device with its token.
#[derive(Serialize, ToSchema)]
#[schema(title = "NewDevice")]
pub struct RegisteredView {
    #[serde(flatten)]
    device: DeviceView,
    /// Shown this once: whoever holds it can punch as the device. Left out when the kiosk that
    /// showed the code fetches it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "b64url-of-32-random-bytes")]
    token: Option<String>,
}

/// Lists devices whose token is valid.
#[utoipa::path(
    get, path = "/api/devices", tag = "devices",
    params(PageQuery),
    responses((status = 200, description = "A page of devices", body = List<DeviceView>)),
    security(("session" = [])),
)]
pub async fn list_devices(
    _: Allowed<Reading>,
    State(devices): State<Arc<Devices>>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<List<DeviceView>>, Problem> {
    let wanted = page.page()?;
    let found = devices.list(&wanted.page).await?;
    let (found, next) = wanted.cut(found, |last| last.id)?;
    let items = found.iter().map(Into::into).collect();
    Ok(axum::Json(List { items, next }))
}

/// A new device.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDevice {
    /// 1 to 120 characters.
    #[schema(example = "Front door")]
    name: String,
    /// Where it stands; 1 to 64 characters.
    #[schema(example = "Harbour")]
    site: Option<String>,
    /// The code that the kiosk shows, when it shall be paired by that.
    #[schema(example = "K7PM-3XQ2")]
    code: Option<String>,
}

/// Registers a device. Its token is shown this once, or given to the kiosk that shows the code.
#[utoipa::path(
    post, path = "/api/devices", tag = "devices",
    request_body = NewDevice,
    responses((status = 201, description = "Registered", body = RegisteredView)),
    security(("session" = [])),
)]
pub async fn create_device(
    allowed: Allowed<Administering>,
    State(devices): State<Arc<Devices>>,
    State(pairing): State<Arc<Pairing>>,
    Json(new): Json<NewDevice>,
) -> Result<Created<RegisteredView>, Problem> {
    let mut fields = Fields::default();
    let name = fields.take("name", Name::parse(&new.name));
    let site = fields.take("site", parse_site(new.site.as_deref()));
    let (Some(name), Some(site)) = (name, site) else {
        return Err(fields.problem());
    };
    let (device, token) = match &new.code {
        Some(code) => {
            let paired = pairing.register(allowed.actor(), code, name, site).await;
            (paired?, None)
        }
        None => {
            let (device, token) = devices.register(allowed.actor(), name, site).await?;
            (device, Some(token.reveal().to_owned()))
        }
    };
    let location = format!("/api/devices/{}", device.id);
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, location)],
        axum::Json(RegisteredView {
            device: (&device).into(),
            token,
        }),
    ))
}

/// Withdraws a device's token for good. Its name stays behind old punches.
#[utoipa::path(
    delete, path = "/api/devices/{id}", tag = "devices",
    params(("id" = String, Path, description = "The device")),
    responses(
        (status = 204, description = "Withdrawn"),
        (status = 404, description = "`not_found`"),
    ),
    security(("session" = [])),
)]
pub async fn delete_device(
    allowed: Allowed<Administering>,
    State(devices): State<Arc<Devices>>,
    Path(id): Path<DeviceId>,
) -> Result<StatusCode, Problem> {
    match devices.revoke(allowed.actor(), id).await? {
        Some(_) => Ok(StatusCode::NO_CONTENT),
        None => Err(Problem::not_found("device")),
    }
}

/// Which device the token belongs to: how a kiosk checks its pairing.
#[utoipa::path(
    get, path = "/api/device", tag = "devices",
    responses((status = 200, description = "The device", body = DeviceView)),
    security(("device" = [])),
)]
pub async fn get_own_device(PunchingDevice(device): PunchingDevice) -> axum::Json<DeviceView> {
    axum::Json((&device).into())
}
