//! Devices.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    domain::{devices::Device, ids::DeviceId, text::Name},
    http::{
        auth::{Administering, Allowed, Confirmed, PunchingDevice, Surveying},
        extract::{Json, Path, Query},
        field_error::FieldError,
        merge_patch::MergePatch,
        page::{List, PageQuery},
        problem::{Fields, Problem},
        views::{
            Created, created, read_id,
            sites::{SiteQuery, default_site},
            time,
        },
    },
    ports::StoreError,
    service::{
        devices::{DeviceError, DeviceSettings, Devices},
        pairing::{Pairing, PairingError},
        sites::{SiteMap, Sites},
    },
};

impl From<DeviceError> for Problem {
    fn from(error: DeviceError) -> Self {
        match error {
            DeviceError::NotFound => Self::not_found("device"),
            DeviceError::UnknownSite => Self::field("site", FieldError::UnknownSite),
            DeviceError::Raced => StoreError::Conflict.into(),
            DeviceError::Store(error) => error.into(),
        }
    }
}

impl From<PairingError> for Problem {
    fn from(error: PairingError) -> Self {
        match error {
            PairingError::NoSuchCode => Self::field("code", FieldError::UnknownPairingCode),
            PairingError::Device(error) => error.into(),
        }
    }
}

/// The settings of a device.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "DeviceSettings")]
pub struct EditableDevice {
    /// The name, 1 to 120 characters.
    #[schema(example = "Front door")]
    name: String,
    /// The ID of the site where the device is.
    #[serde(default = "default_site")]
    #[schema(format = "uuid", default = default_site)]
    site: String,
}

impl From<&Device> for EditableDevice {
    fn from(device: &Device) -> Self {
        Self {
            name: device.name.to_string(),
            site: device.site.to_string(),
        }
    }
}

impl EditableDevice {
    fn read(self) -> Result<DeviceSettings, Problem> {
        let mut fields = Fields::default();
        let name = fields.required("name", Name::parse(&self.name));
        let site = fields.required("site", read_id(self.site));
        let (Some(name), Some(site)) = (name, site) else {
            return Err(fields.problem());
        };
        Ok(DeviceSettings { name, site })
    }
}

/// A kiosk or a pushing camera.
#[derive(Serialize, ToSchema)]
#[schema(title = "Device")]
pub struct DeviceView {
    /// The ID.
    #[schema(format = "uuid", example = "0199f3a0-7c1e-7d5a-9f0e-2b7f6f0c1a2b")]
    id: String,
    #[serde(flatten)]
    settings: EditableDevice,
    /// The name of the site.
    #[schema(example = "Harbor")]
    site_name: String,
    /// When it was registered.
    #[schema(format = "date-time")]
    created_at: String,
}

impl DeviceView {
    fn new(device: &Device, sites: &SiteMap) -> Self {
        Self {
            id: device.id.to_string(),
            settings: device.into(),
            site_name: sites.name(device.site).to_owned(),
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
    /// The token, returned only once: a client that has it can punch as the device. Left out if
    /// the kiosk that shows the code fetches it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "b64url-of-32-random-bytes")]
    token: Option<String>,
}

/// Lists the devices whose token is valid.
#[utoipa::path(
    get, path = "/api/devices", tag = "devices",
    params(SiteQuery, PageQuery),
    responses((status = 200, description = "A page of devices", body = List<DeviceView>)),
    security(("session" = [])),
)]
pub async fn list_devices(
    allowed: Allowed<Surveying>,
    State(devices): State<Arc<Devices>>,
    State(sites): State<Arc<Sites>>,
    Query(query): Query<SiteQuery>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<List<DeviceView>>, Problem> {
    let wanted = page.page()?;
    let found = devices
        .list(allowed.reach(), query.read()?, &wanted.page)
        .await?;
    let (found, next) = wanted.cut(found, |last| last.id)?;
    let sites = sites.all().await?;
    let view = |device| DeviceView::new(device, &sites);
    let items = found.iter().map(view).collect();
    Ok(axum::Json(List { items, next }))
}

/// A new device.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDevice {
    /// The name, 1 to 120 characters.
    #[schema(example = "Front door")]
    name: String,
    /// The ID of the site where the device is.
    #[serde(default = "default_site")]
    #[schema(format = "uuid", default = default_site)]
    site: String,
    /// The code that the kiosk shows, if the device is to be paired with it.
    #[schema(example = "K7PM-3XQ2")]
    code: Option<String>,
}

/// Registers a device. Its token is returned only once, or given to the kiosk that shows the code.
#[utoipa::path(
    post, path = "/api/devices", tag = "devices",
    request_body = NewDevice,
    responses((status = 201, description = "Registered", body = RegisteredView)),
    security(("session" = [])),
)]
pub async fn create_device(
    allowed: Allowed<Administering>,
    _: Confirmed,
    State(devices): State<Arc<Devices>>,
    State(pairing): State<Arc<Pairing>>,
    State(sites): State<Arc<Sites>>,
    Json(new): Json<NewDevice>,
) -> Result<Created<RegisteredView>, Problem> {
    let NewDevice { name, site, code } = new;
    let new = EditableDevice { name, site }.read()?;
    let (device, token) = match &code {
        Some(code) => (pairing.register(allowed.actor(), code, new).await?, None),
        None => {
            let (device, token) = devices.register(allowed.actor(), new).await?;
            (device, Some(token.reveal().to_owned()))
        }
    };
    let address = format!("/api/devices/{}", device.id);
    let view = RegisteredView {
        device: DeviceView::new(&device, &*sites.all().await?),
        token,
    };
    Ok(created(address, view))
}

/// A change of a device.
type DevicePatch = MergePatch<EditableDevice>;

/// Renames a device, or moves it to another site. Its token stays valid.
#[utoipa::path(
    patch, path = "/api/devices/{id}", tag = "devices",
    params(("id" = String, Path, description = "The device")),
    request_body = DevicePatch,
    responses(
        (status = 200, description = "Changed", body = DeviceView),
        (status = 404, description = "`not_found`"),
        (status = 409, description = "`conflict` if other requests keep changing it at the same time"),
    ),
    security(("session" = [])),
)]
pub async fn update_device(
    allowed: Allowed<Administering>,
    State(devices): State<Arc<Devices>>,
    State(sites): State<Arc<Sites>>,
    Path(id): Path<DeviceId>,
    Json(patch): Json<DevicePatch>,
) -> Result<axum::Json<DeviceView>, Problem> {
    let changed = devices.change(allowed.actor(), id, |device| {
        patch.apply(&device.into())?.read()
    });
    let (device, sites) = (changed.await?, sites.all().await?);
    Ok(axum::Json(DeviceView::new(&device, &sites)))
}

/// Revokes a device's token permanently. The device's name stays in old punches.
#[utoipa::path(
    delete, path = "/api/devices/{id}", tag = "devices",
    params(("id" = String, Path, description = "The device")),
    responses(
        (status = 204, description = "Revoked"),
        (status = 404, description = "`not_found`"),
        (status = 409, description = "`conflict` if other requests keep changing it at the same time"),
    ),
    security(("session" = [])),
)]
pub async fn delete_device(
    allowed: Allowed<Administering>,
    State(devices): State<Arc<Devices>>,
    Path(id): Path<DeviceId>,
) -> Result<StatusCode, Problem> {
    devices.revoke(allowed.actor(), id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Returns the device of the token. A kiosk checks its pairing with this.
#[utoipa::path(
    get, path = "/api/device", tag = "devices",
    responses((status = 200, description = "The device", body = DeviceView)),
    security(("device" = [])),
)]
pub async fn get_own_device(
    PunchingDevice(device): PunchingDevice,
    State(sites): State<Arc<Sites>>,
) -> Result<axum::Json<DeviceView>, Problem> {
    let sites = sites.all().await?;
    Ok(axum::Json(DeviceView::new(&device, &sites)))
}
