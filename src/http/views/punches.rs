//! Punches, with the names of their employees and origins.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use axum::extract::FromRef;
use serde::Serialize;
use utoipa::ToSchema;

use super::{number, time, timesheets::CorrectionContext};
use crate::{
    domain::{
        accounts::Actor,
        attendance::{
            ClockError, Correction, Evidence, KindReason, Origin, Proof, Punch, TimedPunch,
        },
        employees::Employee,
        grants::Reach,
        ids::{AccountId, EmployeeId, PunchId},
    },
    http::HttpState,
    ports::StoreError,
    service::{
        accounts::Accounts,
        cameras::Cameras,
        devices::Devices,
        employees::Employees,
        sites::{SiteMap, Sites},
        timesheets::{FiledCorrection, Timesheets},
    },
};

/// What recorded a punch or took a picture.
#[derive(Serialize, ToSchema)]
#[schema(title = "Origin")]
pub struct OriginView {
    /// `device`, `camera` or `account`.
    #[schema(example = "device")]
    kind: &'static str,
    /// The ID of the device, camera or account.
    #[schema(format = "uuid")]
    id: String,
    /// The name of the device, camera or account.
    #[schema(example = "Front door")]
    name: Option<String>,
}

impl OriginView {
    /// Returns an origin with its name.
    pub fn new(origin: Origin, names: &HashMap<Origin, String>) -> Self {
        Self {
            kind: origin.as_str(),
            id: origin.uuid().to_string(),
            name: names.get(&origin).cloned(),
        }
    }
}

/// The numbers of a recognized face.
#[derive(Serialize, ToSchema)]
pub struct FaceNumbers {
    /// The similarity, −1 to 1.
    similarity: f64,
    /// The similarity that was needed.
    threshold: f64,
    /// The lead over the second candidate; null without one.
    margin: Option<f64>,
    /// The probability of a live person; null without a liveness model.
    liveness: Option<f64>,
    /// The embedding model.
    model: String,
    /// The number of frames that were fused.
    frames: u8,
    /// The number of the look.
    look: u8,
}

impl From<&Evidence> for FaceNumbers {
    fn from(evidence: &Evidence) -> Self {
        Self {
            similarity: number(evidence.similarity.value()),
            threshold: number(evidence.threshold.value()),
            margin: evidence.margin.map(number),
            liveness: evidence.liveness.map(number),
            model: evidence.model.to_string(),
            frames: evidence.frames,
            look: evidence.look,
        }
    }
}

/// How the employee of a punch was established.
#[derive(Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[schema(title = "Proof")]
pub enum ProofView {
    /// The face was recognized.
    #[schema(title = "FaceProof")]
    Face(FaceNumbers),
    /// The employee typed their PIN, and the face was that employee's.
    #[schema(title = "FaceAndPinProof")]
    FaceAndPin(FaceNumbers),
    /// The employee held their badge to a reader, and the face was that employee's.
    #[schema(title = "FaceAndBadgeProof")]
    FaceAndBadge(FaceNumbers),
    /// The employee typed their PIN.
    #[schema(title = "PinProof")]
    Pin,
    /// The employee held their badge to a reader.
    #[schema(title = "BadgeProof")]
    Badge,
    /// A user wrote the punch by hand.
    #[schema(title = "ManualProof")]
    Manual {
        /// Why the punch was written by hand.
        reason: String,
    },
    /// The punch comes from another system.
    #[schema(title = "ImportProof")]
    Import,
}

impl From<&Proof> for ProofView {
    fn from(proof: &Proof) -> Self {
        match proof {
            Proof::Face(evidence) => Self::Face(evidence.into()),
            Proof::FaceAndPin(evidence) => Self::FaceAndPin(evidence.into()),
            Proof::FaceAndBadge(evidence) => Self::FaceAndBadge(evidence.into()),
            Proof::Pin => Self::Pin,
            Proof::Badge => Self::Badge,
            Proof::Manual { reason } => Self::Manual {
                reason: reason.to_string(),
            },
            Proof::Import => Self::Import,
        }
    }
}

/// What a correction did to a punch, which itself never changes.
#[derive(Serialize, ToSchema)]
#[serde(tag = "action", rename_all = "snake_case")]
#[schema(title = "Corrected")]
pub enum CorrectedView {
    /// The punch does not count.
    #[schema(title = "Voided")]
    Void,
    /// The punch counts at another time.
    #[schema(title = "Moved")]
    Move {
        /// The time.
        #[schema(format = "date-time")]
        at: String,
    },
}

impl CorrectedView {
    fn new(correction: &Correction) -> Option<Self> {
        match correction {
            Correction::Add(_) => None,
            Correction::Void { .. } => Some(Self::Void),
            Correction::Move { at, .. } => Some(Self::Move { at: time(*at) }),
        }
    }
}

/// A clock event.
#[derive(Serialize, ToSchema)]
#[schema(title = "Punch")]
pub struct PunchView {
    /// The ID.
    #[schema(format = "uuid", example = "0199f3a0-7c1e-7d5a-9f0e-2b7f6f0c1a2b")]
    id: String,
    /// The ID of the employee.
    #[schema(format = "uuid")]
    employee: String,
    /// The name of the employee.
    #[schema(example = "Grace Hopper")]
    pub name: Option<String>,
    /// Whether the employee was deleted after the punch.
    employee_deleted: bool,
    /// `in`, `out`, `break_start` or `break_end`.
    #[schema(example = "in")]
    kind: &'static str,
    /// The time that counts.
    #[schema(format = "date-time", example = "2026-11-21T07:58:12.345Z")]
    at: String,
    /// When the server recorded it.
    #[schema(format = "date-time")]
    recorded_at: String,
    /// The clock from which `at` comes: `server`, or `device` for a punch that was captured
    /// offline.
    #[schema(example = "server")]
    clock: &'static str,
    /// When the device claims to have captured the punch offline, whether that time counts or not.
    #[schema(format = "date-time")]
    captured_at: Option<String>,
    /// Why the claimed time is doubtful: `future`, `too_old`, or `before_last` (before a punch that
    /// the device sent at once). A doubtful punch does not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    doubt: Option<&'static str>,
    /// Why the punch has its kind, if the person did not choose it: `away`, `too_long_ago`,
    /// `next_shift`, `on_break` or `present`.
    #[serde(skip_serializing_if = "Option::is_none")]
    kind_reason: Option<&'static str>,
    /// The business date.
    #[schema(format = "date", example = "2026-11-21")]
    workday: String,
    /// The ID of the site where the punch was made.
    #[schema(format = "uuid")]
    site: String,
    /// The name of the site.
    #[schema(example = "Harbor")]
    site_name: String,
    /// The time zone of the site, in which people read the time of the punch.
    #[schema(example = "Europe/Berlin")]
    zone: Option<String>,
    /// What recorded the punch.
    origin: OriginView,
    /// How the employee was established.
    proof: ProofView,
    /// The correction that voids or moves it and counts: an approved one, or one of a person who said
    /// "Not me". Only in lists and when one punch is read.
    #[serde(skip_serializing_if = "Option::is_none")]
    corrected: Option<CorrectedView>,
}

/// Looks up the names of employees, sites, devices, cameras and accounts.
#[derive(Clone)]
pub struct NameLookup {
    employees: Arc<Employees>,
    sites: Arc<Sites>,
    devices: Arc<Devices>,
    cameras: Arc<Cameras>,
    accounts: Arc<Accounts>,
    timesheets: Arc<Timesheets>,
}

impl FromRef<HttpState> for NameLookup {
    fn from_ref(state: &HttpState) -> Self {
        Self {
            employees: state.app.employees.clone(),
            sites: state.app.sites.clone(),
            devices: state.app.devices.clone(),
            cameras: state.app.cameras.clone(),
            accounts: state.app.accounts.clone(),
            timesheets: state.app.timesheets.clone(),
        }
    }
}

impl NameLookup {
    /// Returns the names of origins.
    pub async fn origins(
        &self,
        origins: impl Iterator<Item = Origin>,
    ) -> Result<HashMap<Origin, String>, StoreError> {
        let (mut devices, mut cameras, mut accounts) = (Vec::new(), Vec::new(), Vec::new());
        for origin in origins.collect::<BTreeSet<_>>() {
            match origin {
                Origin::Device(id) => devices.push(id),
                Origin::Camera(id) => cameras.push(id),
                Origin::Account(id) => accounts.push(id),
            }
        }
        let devices = self.devices.find_many(&devices).await?.into_iter();
        let cameras = self.cameras.find_many(&cameras).await?.into_iter();
        let accounts = self.accounts.find_many(&accounts).await?.into_iter();
        let devices = devices.map(|one| (Origin::Device(one.id), one.name.into()));
        let cameras = cameras.map(|one| (Origin::Camera(one.id), one.name.into()));
        let accounts = accounts.map(|one| (Origin::Account(one.id), one.name.into()));
        Ok(devices.chain(cameras).chain(accounts).collect())
    }

    /// Returns the sites.
    pub async fn sites(&self) -> Result<Arc<SiteMap>, StoreError> {
        self.sites.all().await
    }

    /// Returns the names of the accounts among actors.
    pub async fn accounts(
        &self,
        actors: impl Iterator<Item = Actor>,
    ) -> Result<HashMap<AccountId, String>, StoreError> {
        let ids: BTreeSet<_> = actors.filter_map(Actor::account).collect();
        let ids: Vec<_> = ids.into_iter().collect();
        let accounts = self.accounts.find_many(&ids).await?.into_iter();
        Ok(accounts.map(|one| (one.id, one.name.into())).collect())
    }

    /// Returns what a list of corrections shows beside them. `old` has the punches that they void
    /// or move.
    pub async fn corrections(
        &self,
        filed: &[FiledCorrection],
        old: HashMap<PunchId, TimedPunch>,
    ) -> Result<CorrectionContext, StoreError> {
        let employees = filed.iter().map(|one| one.path.timesheet.employee);
        let employees: BTreeSet<_> = employees.collect();
        let employees: Vec<_> = employees.into_iter().collect();
        let employees = self.employees.find_many(&employees).await?.into_iter();
        let actors = filed.iter().map(|one| one.correction.made_by);
        Ok(CorrectionContext {
            employees: employees.map(|one| (one.id, one)).collect(),
            sites: self.sites.all().await?,
            accounts: self.accounts(actors).await?,
            old,
        })
    }

    /// Returns a punch with the names of its employee and origin; `None` if there is no punch.
    pub async fn view(&self, punch: Option<&Punch>) -> Result<Option<PunchView>, StoreError> {
        let punch = punch.map(std::slice::from_ref).unwrap_or_default();
        Ok(self.views(punch).await?.pop())
    }

    /// Returns punches with the names of their employees and origins.
    pub async fn views(&self, punches: &[Punch]) -> Result<Vec<PunchView>, StoreError> {
        let employees = self.employees_of(punches).await?;
        self.named(punches, employees).await
    }

    /// Returns punches with names, and with what corrections did to those of covered employees.
    pub async fn corrected_views(
        &self,
        punches: &[Punch],
        reach: &Reach,
    ) -> Result<Vec<PunchView>, StoreError> {
        let employees = self.employees_of(punches).await?;
        // The timesheet of a visitor is for the managers of their own site.
        let covered = employees.iter().filter(|one| reach.covers(*one));
        let covered: Vec<_> = covered.cloned().collect();
        let corrected = self.timesheets.corrected(punches, &covered).await?;
        let mut views = self.named(punches, employees).await?;
        for (punch, view) in punches.iter().zip(&mut views) {
            view.corrected = corrected.get(&punch.id).and_then(CorrectedView::new);
        }
        Ok(views)
    }

    async fn employees_of(&self, punches: &[Punch]) -> Result<Vec<Employee>, StoreError> {
        let mut employees: Vec<_> = punches.iter().map(|punch| punch.employee).collect();
        employees.sort_unstable();
        employees.dedup();
        self.employees.find_many(&employees).await
    }

    async fn named(
        &self,
        punches: &[Punch],
        employees: Vec<Employee>,
    ) -> Result<Vec<PunchView>, StoreError> {
        let origins = self.origins(punches.iter().map(|one| one.origin)).await?;
        let employees = employees.into_iter().map(|one| (one.id, one)).collect();
        let sites = self.sites.all().await?;
        let view = |punch| view(punch, &employees, &sites, &origins);
        Ok(punches.iter().map(view).collect())
    }
}

fn view(
    punch: &Punch,
    employees: &HashMap<EmployeeId, Employee>,
    sites: &SiteMap,
    origins: &HashMap<Origin, String>,
) -> PunchView {
    let employee = employees.get(&punch.employee);
    PunchView {
        id: punch.id.to_string(),
        employee: punch.employee.to_string(),
        name: employee.map(|employee| employee.name.to_string()),
        employee_deleted: employee.is_none_or(|employee| employee.deleted_at.is_some()),
        kind: punch.kind.as_str(),
        at: time(punch.at),
        recorded_at: time(punch.recorded_at),
        clock: punch.clock.as_str(),
        captured_at: punch.captured_at.map(time),
        doubt: punch.doubt.map(ClockError::as_str),
        kind_reason: punch.kind_reason.map(KindReason::as_str),
        workday: punch.workday.to_string(),
        site: punch.site.to_string(),
        site_name: sites.name(punch.site).to_owned(),
        zone: sites.zone(punch.site),
        origin: OriginView::new(punch.origin, origins),
        proof: (&punch.proof).into(),
        corrected: None,
    }
}
