//! Signals for home automation: who is there, as messages that a broker of MQTT keeps, with the
//! descriptions by which Home Assistant finds them.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};

use crate::{
    clock::Clock,
    domain::{
        attendance::PresenceState,
        cameras::{Camera, CameraState},
        devices::Device,
        grants::Reach,
        ids::SiteId,
        sites::Site,
    },
    ports::{Note, Page, PunchFilter, StoreError},
    repositories::Repositories,
    service::{cameras::every_camera, devices::Devices, sites::Sites, workdays::Workdays},
};

/// The topic that says whether the other ones are up to date.
const AVAILABILITY: &str = "rollcall/status";

/// Makes signals of what is on record.
#[derive(derive_new::new)]
pub struct Signals {
    stores: Repositories,
    sites: Arc<Sites>,
    workdays: Arc<Workdays>,
    devices: Arc<Devices>,
    clock: Arc<dyn Clock>,
}

impl Signals {
    /// Returns the message while the signals are up to date, or are not anymore.
    pub fn available(is: bool) -> Note {
        let payload = if is { "online" } else { "offline" };
        note(AVAILABILITY, payload)
    }

    /// Returns all signals.
    pub async fn all(&self) -> Result<Vec<Note>, StoreError> {
        let sites = self.sites.all().await?;
        let mut present = BTreeMap::<SiteId, BTreeMap<PresenceState, usize>>::new();
        for line in self.workdays.board(&Reach::Everything, None, None).await? {
            let of_site = present.entry(line.employee.site).or_default();
            *of_site.entry(line.presence.state).or_default() += 1;
        }
        let mut notes = Vec::new();
        for site in sites.values() {
            if site.removed_at.is_some() {
                let gone = described(site).map(|(topic, _)| note(topic, ""));
                notes.extend(gone);
                continue;
            }
            let described = described(site).map(|(topic, text)| note(topic, text));
            notes.extend(described);
            let counts = present.remove(&site.id).unwrap_or_default();
            notes.extend(self.of_site(site, &counts).await?);
        }
        let cameras = every_camera(&self.stores.cameras).await?;
        let ids: Vec<_> = cameras.iter().map(|camera| camera.id).collect();
        let reports = self.stores.cameras.statuses(&ids).await?;
        let states: BTreeMap<_, _> = reports.into_iter().collect();
        for camera in &cameras {
            let state = states.get(&camera.id).map(|report| report.state);
            notes.extend(of_camera(camera, state));
        }
        let now = self.clock.now();
        for (device, report) in self.devices.with_reports(&Reach::Everything).await? {
            // Only kiosks report a state; other devices send requests only when they have something.
            if let Some(report) = report.filter(|report| report.status.is_some()) {
                notes.extend(of_kiosk(&device, !report.silent(now)));
            }
        }
        Ok(notes)
    }

    async fn of_site(
        &self,
        site: &Site,
        counts: &BTreeMap<PresenceState, usize>,
    ) -> Result<Vec<Note>, StoreError> {
        let count = |state| counts.get(&state).copied().unwrap_or_default();
        let there = count(PresenceState::Present) + count(PresenceState::OnBreak);
        let by_state = PresenceState::ALL.map(|state| (state.as_str().to_owned(), count(state)));
        let by_state: BTreeMap<_, _> = by_state.into_iter().collect();
        let filter = PunchFilter {
            site: Some(site.id),
            ..PunchFilter::default()
        };
        let first = Page {
            after: None,
            limit: 1,
        };
        let punches = &self.stores.punches;
        let last = punches
            .list(&Reach::Everything, &filter, &first)
            .await?
            .pop();
        let mut details = json!({});
        if let Some(punch) = &last {
            details["kind"] = punch.kind.as_str().into();
            if site.mqtt_names {
                let employee = self.stores.employees.find(punch.employee).await?;
                details["name"] = employee.map(|one| one.name.to_string()).into();
            }
        }
        let last = last.map_or(String::new(), |punch| format!("{:.0}", punch.at));
        let base = base(site);
        Ok(vec![
            note(format!("{base}/present"), there.to_string()),
            note(format!("{base}/presence"), json!(by_state).to_string()),
            note(format!("{base}/last_punch"), last),
            note(format!("{base}/last_punch_details"), details.to_string()),
        ])
    }
}

fn note(topic: impl Into<String>, payload: impl Into<String>) -> Note {
    Note {
        topic: topic.into(),
        payload: payload.into(),
    }
}

fn base(site: &Site) -> String {
    format!("rollcall/site/{}", site.id)
}

/// Adds what every description has.
fn description(unique: &str, device: Value, more: Value) -> String {
    let mut text = json!({
        "unique_id": unique,
        "availability_topic": AVAILABILITY,
        "device": device,
        "origin": { "name": "Rollcall", "sw_version": env!("CARGO_PKG_VERSION") },
    });
    if let (Some(text), Value::Object(more)) = (text.as_object_mut(), more) {
        text.extend(more);
    }
    text.to_string()
}

/// Returns the descriptions of the signals of a site: topics and payloads.
fn described(site: &Site) -> [(String, String); 2] {
    let (base, node) = (base(site), format!("rollcall_{}", site.id.uuid().simple()));
    let device = json!({
        "identifiers": [node],
        "name": format!("Rollcall {}", site.name),
        "manufacturer": "Rollcall",
        "model": "Site",
    });
    let present = json!({
        "name": "People present",
        "icon": "mdi:account-group",
        "state_class": "measurement",
        "state_topic": format!("{base}/present"),
        "json_attributes_topic": format!("{base}/presence"),
    });
    let last = json!({
        "name": "Last punch",
        "device_class": "timestamp",
        "state_topic": format!("{base}/last_punch"),
        "json_attributes_topic": format!("{base}/last_punch_details"),
    });
    [("present", present), ("last_punch", last)].map(|(name, more)| {
        let text = description(&format!("{node}_{name}"), device.clone(), more);
        (format!("homeassistant/sensor/{node}/{name}/config"), text)
    })
}

/// Returns the description and the state of a camera.
fn of_camera(camera: &Camera, state: Option<CameraState>) -> [Note; 2] {
    let node = format!("rollcall_{}", camera.id.uuid().simple());
    let device = json!({
        "identifiers": [node],
        "name": format!("Rollcall {}", camera.name),
        "manufacturer": "Rollcall",
        "model": "Camera",
        "via_device": format!("rollcall_{}", camera.site.uuid().simple()),
    });
    let topic = format!("rollcall/camera/{}/state", camera.id);
    let config = format!("homeassistant/sensor/{node}/state/config");
    let more = json!({ "name": "State", "icon": "mdi:cctv", "state_topic": topic });
    let text = description(&format!("{node}_state"), device, more);
    let state = match camera.active {
        true => state.map_or("unknown", CameraState::as_str),
        false => "off",
    };
    [note(config, text), note(topic, state)]
}

/// Returns the description of a kiosk, and whether it is connected.
fn of_kiosk(device: &Device, connected: bool) -> [Note; 2] {
    let node = format!("rollcall_{}", device.id.uuid().simple());
    let about = json!({
        "identifiers": [node],
        "name": format!("Rollcall {}", device.name),
        "manufacturer": "Rollcall",
        "model": "Kiosk",
        "via_device": format!("rollcall_{}", device.site.uuid().simple()),
    });
    let topic = format!("rollcall/device/{}/connected", device.id);
    let config = format!("homeassistant/binary_sensor/{node}/connected/config");
    let more = json!({
        "name": "Connected",
        "device_class": "connectivity",
        "state_topic": topic,
    });
    let text = description(&format!("{node}_connected"), about, more);
    let state = if connected { "ON" } else { "OFF" };
    [note(config, text), note(topic, state)]
}
