//! The application: all services, shared.

use std::sync::Arc;

use crate::service::{
    accounts::Accounts,
    api_tokens::ApiTokens,
    assignments::Assignments,
    audit::Trail,
    balances::Balances,
    calendars::Calendars,
    cameras::Cameras,
    catalog::{Cycles, HolidayCalendars, LeaveKinds, PayrollLayouts, Shifts},
    credential_punches::CredentialPunches,
    devices::Devices,
    employees::Employees,
    enrollment::Enrollments,
    enrollment_limit::EnrollmentLimit,
    entitlements::Entitlements,
    exports::Exports,
    face_punches::FacePunches,
    health::Health,
    imports::Imports,
    invitations::Invitations,
    jobs::Jobs,
    kiosk_enrollment::KioskEnrollments,
    leave::LeaveService,
    manual_punches::ManualPunches,
    messages::{Letters, Webhooks},
    mistaken_punches::MistakenPunches,
    notices::Notices,
    pairing::Pairing,
    password_resets::PasswordResets,
    personal_data::PersonalData,
    pictures::Pictures,
    plans::Plans,
    punch_credentials::PunchCredentials,
    punch_ledger::PunchLedger,
    recognition::Recognition,
    refused_punches::RefusedPunches,
    second_factor::SecondFactorService,
    single_sign_on::SingleSignOn,
    site_rules::RulesService,
    sites::Sites,
    template_growth::TemplateGrowth,
    timesheets::Timesheets,
    workdays::Workdays,
};

/// The services that handlers and commands use.
#[derive(Clone)]
pub struct App {
    /// Accounts, signing in and out, and the first admin.
    pub accounts: Arc<Accounts>,
    /// API tokens, by which programs act on behalf of accounts.
    pub api_tokens: Arc<ApiTokens>,
    /// Second factors of accounts.
    pub second_factors: Arc<SecondFactorService>,
    /// Links with which people create an account, enroll their face or set a password.
    pub invitations: Arc<Invitations>,
    /// Links for a new password by email.
    pub password_resets: Arc<PasswordResets>,
    /// Signing in with an identity provider; `None` if none is configured.
    pub single_sign_on: Option<Arc<SingleSignOn>>,
    /// Employees and their enrolled faces.
    pub employees: Arc<Employees>,
    /// Places where people work.
    pub sites: Arc<Sites>,
    /// What is planned for employees and what excuses them.
    pub plans: Arc<Plans>,
    /// Rules of sites.
    pub rules: Arc<RulesService>,
    /// Kinds of shifts.
    pub shifts: Arc<Shifts>,
    /// Cycles of shifts.
    pub cycles: Arc<Cycles>,
    /// Calendars of public holidays.
    pub holidays: Arc<HolidayCalendars>,
    /// Kinds of leave.
    pub leave_kinds: Arc<LeaveKinds>,
    /// Layouts of payroll files.
    pub payroll_layouts: Arc<PayrollLayouts>,
    /// Calendars for calendar programs.
    pub calendars: Arc<Calendars>,
    /// Assignments of shifts to employees.
    pub assignments: Arc<Assignments>,
    /// Leave of employees.
    pub leave: Arc<LeaveService>,
    /// Entitlements to leave, and what is left of them.
    pub entitlements: Arc<Entitlements>,
    /// Cameras that the service watches.
    pub cameras: Arc<Cameras>,
    /// Kiosks and pushing cameras.
    pub devices: Arc<Devices>,
    /// Pairing of kiosks by code.
    pub pairing: Arc<Pairing>,
    /// Enrollment of faces.
    pub enrolling: Arc<Enrollments>,
    /// Consent and enrollment at kiosks.
    pub kiosk_enrollments: Arc<KioskEnrollments>,
    /// The lift of the limit on enrollments.
    pub enrollment_limit: Arc<EnrollmentLimit>,
    /// Identifying and verifying people.
    pub recognition: Arc<Recognition>,
    /// Recording, finding and listing punches.
    pub ledger: Arc<PunchLedger>,
    /// Deriving workdays, and who is there.
    pub workdays: Arc<Workdays>,
    /// Punches that a manager writes by hand.
    pub manual_punches: Arc<ManualPunches>,
    /// Corrections, approval and lock.
    pub timesheets: Arc<Timesheets>,
    /// Balances and the entries beside days.
    pub balances: Arc<Balances>,
    /// Attendance as tables.
    pub exports: Arc<Exports>,
    /// Letters by e-mail.
    pub letters: Arc<Letters>,
    /// Receivers of messages.
    pub webhooks: Arc<Webhooks>,
    /// What waits for a person.
    pub notices: Arc<Notices>,
    /// Recording punches of faces.
    pub face_punches: Arc<FacePunches>,
    /// Recording punches with PINs and badges.
    pub credential_punches: Arc<CredentialPunches>,
    /// Taking back punches of other people.
    pub mistaken_punches: Arc<MistakenPunches>,
    /// Saved punches that the service refused.
    pub refused_punches: Arc<RefusedPunches>,
    /// PINs and badges.
    pub punch_credentials: Arc<PunchCredentials>,
    /// Copies of people's own data.
    pub personal_data: Arc<PersonalData>,
    /// Pictures of punches and of unknown faces.
    pub pictures: Arc<Pictures>,
    /// Templates from the faces of clear punches.
    pub growth: Arc<TemplateGrowth>,
    /// Imports of lists.
    pub imports: Arc<Imports>,
    /// Background jobs.
    pub jobs: Arc<Jobs>,
    /// The audit trail.
    pub trail: Arc<Trail>,
    /// The health of the service and its dependencies.
    pub health: Arc<Health>,
}
