//! App: the services behind `Arc`, nothing else.

use std::sync::Arc;

use crate::service::{
    accounts::Accounts, audit::Trail, cameras::Cameras, devices::Devices, employees::Employees,
    enrollment::Enrolling, health::Health, identification::Identifying, jobs::Jobs,
    pairing::Pairing, pictures::Pictures, punching::Punching,
};

/// Every use case that somebody outside can ask for.
#[derive(Clone)]
pub struct App {
    /// Signing in and out, the first admin.
    pub accounts: Arc<Accounts>,
    /// People and what is enrolled of them.
    pub employees: Arc<Employees>,
    /// Cameras that the service watches.
    pub cameras: Arc<Cameras>,
    /// Kiosks and pushing cameras.
    pub devices: Arc<Devices>,
    /// Pairing kiosks by a code.
    pub pairing: Arc<Pairing>,
    /// Making templates.
    pub enrolling: Arc<Enrolling>,
    /// Who is this, is this them.
    pub identifying: Arc<Identifying>,
    /// Recording punches.
    pub punching: Arc<Punching>,
    /// Pictures of punches and of unknown faces.
    pub pictures: Arc<Pictures>,
    /// Background jobs.
    pub jobs: Arc<Jobs>,
    /// Who did what.
    pub trail: Arc<Trail>,
    /// How the service and what it stands on are.
    pub health: Arc<Health>,
}
