//! Devices.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    domain::{
        devices::{CameraUse, Device, DeviceReport, DeviceStatus},
        ids::DeviceId,
        text::{Name, Version},
    },
    http::{
        HttpState,
        auth::{Administering, Allowed, Confirmed, PunchingDevice, Surveying, bearer},
        extract::{Json, Path, Query},
        field_error::FieldError,
        merge_patch::MergePatch,
        page::{List, PageQuery},
        problem::{Fields, Problem},
        views::{
            Created,
            consent::ConsentTextView,
            created,
            devices::KioskCode,
            read_id, read_time,
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
    /// When its token ends; null if it does not. Kiosks renew theirs long before.
    #[schema(format = "date-time")]
    token_expires_at: Option<String>,
    /// When it last sent a request, to within five minutes; null if it never did.
    #[schema(format = "date-time")]
    seen_at: Option<String>,
    /// Whether it is a kiosk that has sent no request for 15 minutes.
    silent: bool,
    /// The state that a kiosk last reported; null for other devices.
    status: Option<DeviceStatusView>,
}

/// The state that a kiosk reported.
#[derive(Serialize, ToSchema)]
#[schema(title = "DeviceStatus")]
pub struct DeviceStatusView {
    /// The version of its page.
    #[schema(example = "0.1.0")]
    version: String,
    /// Saved punches that it has not sent yet.
    unsent: u32,
    /// Saved punches that the service refused.
    refused: u32,
    /// How far its clock is ahead of the service's, milliseconds.
    clock_offset_ms: i64,
    /// `on`, or `off` if its camera shows no pictures.
    #[schema(example = "on")]
    camera: &'static str,
}

impl From<&DeviceStatus> for DeviceStatusView {
    fn from(status: &DeviceStatus) -> Self {
        Self {
            version: status.version.to_string(),
            unsent: status.unsent,
            refused: status.refused,
            clock_offset_ms: status.clock_offset,
            camera: status.camera.as_str(),
        }
    }
}

impl DeviceView {
    fn new(
        device: &Device,
        report: Option<&DeviceReport>,
        sites: &SiteMap,
        now: Timestamp,
    ) -> Self {
        let status = report.and_then(|report| report.status.as_ref());
        Self {
            id: device.id.to_string(),
            settings: device.into(),
            site_name: sites.name(device.site).to_owned(),
            created_at: time(device.created_at),
            token_expires_at: device.expires_at.map(time),
            seen_at: report.map(|report| time(report.seen_at)),
            silent: report.is_some_and(|report| report.silent(now)),
            status: status.map(DeviceStatusView::from),
        }
    }

    /// Returns the view of one device.
    async fn read(device: &Device, state: &HttpState) -> Result<Self, StoreError> {
        let sites = state.app.sites.all().await?;
        let one = std::slice::from_ref(device);
        let reports = state.app.devices.reports(one).await?;
        let report = reports.get(&device.id);
        Ok(Self::new(device, report, &sites, state.clock.now()))
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
)]
pub async fn list_devices(
    allowed: Allowed<Surveying>,
    State(devices): State<Arc<Devices>>,
    State(sites): State<Arc<Sites>>,
    State(state): State<HttpState>,
    Query(query): Query<SiteQuery>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<List<DeviceView>>, Problem> {
    let wanted = page.page()?;
    let found = devices
        .list(allowed.reach(), query.read()?, &wanted.page)
        .await?;
    let (found, next) = wanted.cut(found, |last| last.id)?;
    let (sites, reports) = (sites.all().await?, devices.reports(&found).await?);
    let now = state.clock.now();
    let view = |device: &Device| DeviceView::new(device, reports.get(&device.id), &sites, now);
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
)]
pub async fn create_device(
    allowed: Allowed<Administering>,
    _: Confirmed,
    State(devices): State<Arc<Devices>>,
    State(pairing): State<Arc<Pairing>>,
    State(state): State<HttpState>,
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
        device: DeviceView::read(&device, &state).await?,
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
        (status = 409, description = "`conflict` if other requests keep changing it at the same time"),
    ),
)]
pub async fn update_device(
    allowed: Allowed<Administering>,
    State(devices): State<Arc<Devices>>,
    State(state): State<HttpState>,
    Path(id): Path<DeviceId>,
    Json(patch): Json<DevicePatch>,
) -> Result<axum::Json<DeviceView>, Problem> {
    let changed = devices.change(allowed.actor(), id, |device| {
        patch.apply(&device.into())?.read()
    });
    Ok(axum::Json(DeviceView::read(&changed.await?, &state).await?))
}

/// Revokes a device's token permanently. The device's name stays in old punches.
#[utoipa::path(
    delete, path = "/api/devices/{id}", tag = "devices",
    params(("id" = String, Path, description = "The device")),
    responses(
        (status = 204, description = "Revoked"),
        (status = 409, description = "`conflict` if other requests keep changing it at the same time"),
    ),
)]
pub async fn delete_device(
    allowed: Allowed<Administering>,
    State(devices): State<Arc<Devices>>,
    Path(id): Path<DeviceId>,
) -> Result<StatusCode, Problem> {
    devices.revoke(allowed.actor(), id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The device of the token, with what its site asks for.
#[derive(Serialize, ToSchema)]
#[schema(title = "OwnDevice")]
pub struct OwnDeviceView {
    #[serde(flatten)]
    device: DeviceView,
    /// The version of the service, which is that of the pages that it serves now.
    #[schema(example = "0.1.0")]
    service_version: &'static str,
    /// The time zone of the site, in which the device shows times.
    #[schema(example = "Europe/Berlin")]
    zone: Option<String>,
    /// Whether a face alone is not enough to punch: the person also types a PIN, or shows a badge.
    face_and_pin: bool,
    /// Whether people of the site can enroll their face at the device, and withdraw.
    kiosk_enrollment: bool,
    /// What people consent to by enrolling their face; null if they cannot at the device.
    consent: Option<ConsentTextView>,
    /// Whether the installation keeps unknown faces, so that a refused punch of a face may have a
    /// frame.
    keeps_unknown_faces: bool,
}

/// Returns the device of the token. A kiosk checks its pairing with this.
#[utoipa::path(
    get, path = "/api/device", tag = "devices",
    responses((status = 200, description = "The device", body = OwnDeviceView)),
    security(("device" = [])),
)]
pub async fn get_own_device(
    PunchingDevice(device): PunchingDevice,
    State(state): State<HttpState>,
) -> Result<axum::Json<OwnDeviceView>, Problem> {
    let sites = state.app.sites.all().await?;
    let site = sites.or_default(device.site);
    let kiosk_enrollment = site.is_some_and(|site| site.kiosk_enrollment);
    Ok(axum::Json(OwnDeviceView {
        zone: sites.zone(device.site),
        face_and_pin: site.is_some_and(|site| site.face_and_pin),
        kiosk_enrollment,
        consent: kiosk_enrollment.then(ConsentTextView::current),
        keeps_unknown_faces: state.app.pictures.keeps().unknown,
        device: DeviceView::read(&device, &state).await?,
        service_version: env!("CARGO_PKG_VERSION"),
    }))
}

/// Makes the kiosk that shows a code this device: after a new browser, a new tablet or a lost token.
/// The name, the site and the punches of the device stay; its earlier token is not valid anymore.
#[utoipa::path(
    post, path = "/api/devices/{id}/pair", tag = "devices",
    params(("id" = String, Path, description = "The device")),
    request_body = KioskCode,
    responses(
        (status = 200, description = "Paired", body = DeviceView),
        (status = 409, description = "`conflict` if other requests keep changing it at the same time"),
    ),
)]
pub async fn pair_device(
    allowed: Allowed<Administering>,
    _: Confirmed,
    State(pairing): State<Arc<Pairing>>,
    State(state): State<HttpState>,
    Path(id): Path<DeviceId>,
    Json(KioskCode { code }): Json<KioskCode>,
) -> Result<axum::Json<DeviceView>, Problem> {
    let device = pairing.replace(allowed.actor(), &code, id).await?;
    Ok(axum::Json(DeviceView::read(&device, &state).await?))
}

/// Returns the token of a request that a device sent.
fn token_of(headers: &HeaderMap) -> &str {
    let token = headers.get(header::AUTHORIZATION).and_then(bearer);
    token.unwrap_or_default()
}

/// A new token of a device.
#[derive(Serialize, ToSchema)]
#[schema(title = "RenewedToken")]
pub struct RenewedView {
    /// The token.
    #[schema(example = "b64url-of-32-random-bytes")]
    token: String,
    /// When it ends; null if it does not.
    #[schema(format = "date-time")]
    expires_at: Option<String>,
}

/// Gives the device of the token a new one. The present token stays valid until the new one is used,
/// so that a device that does not get the answer can ask again.
#[utoipa::path(
    post, path = "/api/device/token", tag = "devices",
    responses(
        (status = 200, description = "Renewed", body = RenewedView),
        (status = 409, description = "`conflict` if other requests keep changing the device at the same time"),
    ),
    security(("device" = [])),
)]
pub async fn renew_device_token(
    PunchingDevice(device): PunchingDevice,
    State(devices): State<Arc<Devices>>,
    headers: HeaderMap,
) -> Result<axum::Json<RenewedView>, Problem> {
    let (device, token) = devices.renew_token(device.id, token_of(&headers)).await?;
    Ok(axum::Json(RenewedView {
        token: token.reveal().to_owned(),
        expires_at: device.expires_at.map(time),
    }))
}

/// The state of a kiosk.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KioskStatus {
    /// The version of its page, 1 to 64 characters.
    #[schema(example = "0.1.0")]
    version: String,
    /// Saved punches that it has not sent yet.
    unsent: u32,
    /// Saved punches that the service refused.
    #[serde(default)]
    refused: u32,
    /// The time by its clock.
    #[schema(format = "date-time")]
    now: String,
    /// `on`, or `off` if its camera shows no pictures.
    #[schema(example = "on")]
    camera: String,
}

/// What a kiosk should do.
#[derive(Serialize, ToSchema)]
#[schema(title = "StatusAnswer")]
pub struct StatusAnswer {
    /// Whether to renew the token now, with `POST /api/device/token`.
    renew_token: bool,
    /// The version of the service.
    #[schema(example = "0.1.0")]
    version: &'static str,
}

/// Takes the state of a kiosk, which reports it every minute. `GET /api/devices` shows it, and
/// `GET /api/notices` has a notice when a kiosk is silent for 15 minutes.
#[utoipa::path(
    post, path = "/api/device/status", tag = "devices",
    request_body = KioskStatus,
    responses((status = 200, description = "Taken", body = StatusAnswer)),
    security(("device" = [])),
)]
pub async fn report_device_status(
    PunchingDevice(device): PunchingDevice,
    State(devices): State<Arc<Devices>>,
    State(state): State<HttpState>,
    headers: HeaderMap,
    Json(status): Json<KioskStatus>,
) -> Result<axum::Json<StatusAnswer>, Problem> {
    let mut fields = Fields::default();
    let version = fields.required("version", Version::parse(&status.version));
    let now = fields.required("now", read_time(status.now));
    let camera = fields.required("camera", CameraUse::parse(&status.camera));
    let (Some(version), Some(now), Some(camera)) = (version, now, camera) else {
        return Err(fields.problem());
    };
    let offset = now.duration_since(state.clock.now()).as_millis();
    let status = DeviceStatus {
        version,
        unsent: status.unsent,
        refused: status.refused,
        clock_offset: i64::try_from(offset).unwrap_or(i64::MAX),
        camera,
    };
    devices.report(device.id, status).await?;
    Ok(axum::Json(StatusAnswer {
        renew_token: devices.should_renew(&device, token_of(&headers)),
        version: env!("CARGO_PKG_VERSION"),
    }))
}
