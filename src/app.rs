//! The application: all services, shared.

use std::sync::Arc;

use crate::service::{
    accounts::Accounts, audit::Trail, cameras::Cameras, devices::Devices, employees::Employees,
    enrollment::Enrollments, face_punches::FacePunches, health::Health, jobs::Jobs,
    pairing::Pairing, pictures::Pictures, punch_ledger::PunchLedger, recognition::Recognition,
    sites::Sites, template_growth::TemplateGrowth,
};

/// The services that handlers and commands use.
#[derive(Clone)]
pub struct App {
    /// Accounts, signing in and out, and the first admin.
    pub accounts: Arc<Accounts>,
    /// Employees and their enrolled faces.
    pub employees: Arc<Employees>,
    /// Places where people work.
    pub sites: Arc<Sites>,
    /// Cameras that the service watches.
    pub cameras: Arc<Cameras>,
    /// Kiosks and pushing cameras.
    pub devices: Arc<Devices>,
    /// Pairing of kiosks by code.
    pub pairing: Arc<Pairing>,
    /// Enrollment of faces.
    pub enrolling: Arc<Enrollments>,
    /// Identifying and verifying people.
    pub recognition: Arc<Recognition>,
    /// Recording, finding and listing punches.
    pub ledger: Arc<PunchLedger>,
    /// Recording punches of faces.
    pub face_punches: Arc<FacePunches>,
    /// Pictures of punches and of unknown faces.
    pub pictures: Arc<Pictures>,
    /// Templates from the faces of clear punches.
    pub growth: Arc<TemplateGrowth>,
    /// Background jobs.
    pub jobs: Arc<Jobs>,
    /// The audit trail.
    pub trail: Arc<Trail>,
    /// The health of the service and its dependencies.
    pub health: Arc<Health>,
}
