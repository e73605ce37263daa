//! Repositories: typed queries over collections of records, written once for all stores.
//!
//! Each repository answers the queries of services with the indexes that its kind declares. Every
//! method returns a [`StoreError`](crate::ports::StoreError) if the store fails.

#[macro_use]
mod repository;

mod accounts;
mod api_tokens;
mod balances;
mod calendars;
mod cameras;
mod collection;
mod devices;
mod employees;
mod entries;
mod faces;
mod installation;
mod invitations;
mod jobs;
mod messages;
mod pictures;
mod plans;
mod punch_credentials;
mod punches;
mod refused_punches;
mod registry;
mod reindexing;
mod second_factors;
mod sites;
mod timesheets;

use std::sync::Arc;

pub use accounts::{Accounts, AuditTrail, BrowsersOfAccounts, Sessions};
pub use api_tokens::{ApiTokenCursor, ApiTokens};
pub use balances::BalanceEntries;
pub use calendars::CalendarAddresses;
pub use cameras::Cameras;
pub use collection::{Collection, Versioned, contended, cursor, exactly};
pub use devices::Devices;
pub use employees::Employees;
pub use entries::{Entries, EntryCursor};
pub use faces::{FaceEnrollments, Photos};
pub use installation::{Facts, Leases, Settings, StoredCache};
pub use invitations::Invitations;
pub use jobs::Jobs;
pub use messages::{Deliveries, MailPreferenceBook, Webhooks};
pub use pictures::Pictures;
pub use plans::{Assignments, EntitlementBook, LeaveBook, RulesOfSites, Team};
pub use punch_credentials::PunchCredentials;
pub use punches::Punches;
pub use refused_punches::RefusedPunches;
pub use registry::{AnyRecord, Found, KINDS, Registered, Unread, read_line, registered};
pub use reindexing::{outdated, reindex};
pub use second_factors::SecondFactorsOfAccounts;
pub use sites::Sites;
pub use timesheets::Timesheets;

use crate::{
    domain::{
        audit::AuditEntry,
        plans::{Cycle, HolidayCalendar, LeaveKind, PayrollLayout, ShiftKind},
        record::Record,
    },
    ports::{RecordEngine, SessionStore},
};

/// All repositories on one store.
#[derive(Clone)]
pub struct Repositories {
    /// Employees.
    pub employees: Employees,
    /// Consent and templates.
    pub faces: FaceEnrollments,
    /// Kept enrollment photos.
    pub photos: Photos,
    /// Punches, and responses kept for retries.
    pub punches: Punches,
    /// Timesheets, with the corrections of punches.
    pub timesheets: Timesheets,
    /// Entries of balances.
    pub balance_entries: BalanceEntries,
    /// Sites.
    pub sites: Sites,
    /// Rules of sites.
    pub site_rules: RulesOfSites,
    /// Kinds of shifts.
    pub shift_kinds: Entries<ShiftKind>,
    /// Cycles of shifts.
    pub cycles: Entries<Cycle>,
    /// Assignments of shifts to employees.
    pub assignments: Assignments,
    /// Calendars of public holidays.
    pub holiday_calendars: Entries<HolidayCalendar>,
    /// Kinds of leave.
    pub leave_kinds: Entries<LeaveKind>,
    /// Leave.
    pub leave: LeaveBook,
    /// Entitlements to leave.
    pub entitlements: EntitlementBook,
    /// Payroll layouts.
    pub payroll_layouts: Entries<PayrollLayout>,
    /// Addresses of employees' calendars.
    pub calendars: CalendarAddresses,
    /// PINs and badges of employees.
    pub punch_credentials: PunchCredentials,
    /// Invitations.
    pub invitations: Invitations,
    /// Devices.
    pub devices: Devices,
    /// Cameras and their last reported statuses.
    pub cameras: Cameras,
    /// Pictures of punches and of unknown faces.
    pub pictures: Pictures,
    /// Saved punches that the service refused.
    pub refused_punches: RefusedPunches,
    /// Accounts.
    pub accounts: Accounts,
    /// API tokens and their last uses.
    pub api_tokens: ApiTokens,
    /// Second factors of accounts.
    pub second_factors: SecondFactorsOfAccounts,
    /// Sessions.
    pub sessions: Arc<dyn SessionStore>,
    /// Browsers in which people signed in before.
    pub known_browsers: BrowsersOfAccounts,
    /// Background jobs.
    pub jobs: Jobs,
    /// Webhooks.
    pub webhooks: Webhooks,
    /// Letters that accounts do not want.
    pub mail_preferences: MailPreferenceBook,
    /// Messages on their way to webhooks and people.
    pub deliveries: Deliveries,
    /// Leases.
    pub leases: Leases,
    /// The cache of instances that do not share a Redis.
    pub cache: StoredCache,
    /// The audit trail.
    pub audit: AuditTrail,
    /// Facts about the installation.
    pub settings: Settings,
    /// Facts about the store.
    pub facts: Facts,
    /// All kinds of records.
    pub kinds: &'static [Registered],
    /// The store itself.
    pub engine: Arc<dyn RecordEngine>,
}

impl Repositories {
    /// Creates all repositories on a store.
    pub fn new(engine: Arc<dyn RecordEngine>) -> Self {
        Self {
            employees: Employees::new(engine.clone()),
            faces: FaceEnrollments::new(engine.clone()),
            photos: Photos::new(engine.clone()),
            punches: Punches::new(engine.clone()),
            timesheets: Timesheets::new(engine.clone()),
            balance_entries: BalanceEntries::new(engine.clone()),
            sites: Sites::new(engine.clone()),
            site_rules: RulesOfSites::new(engine.clone()),
            shift_kinds: Entries::new(engine.clone()),
            cycles: Entries::new(engine.clone()),
            assignments: Assignments::new(engine.clone()),
            holiday_calendars: Entries::new(engine.clone()),
            leave_kinds: Entries::new(engine.clone()),
            leave: LeaveBook::new(engine.clone()),
            entitlements: EntitlementBook::new(engine.clone()),
            payroll_layouts: Entries::new(engine.clone()),
            calendars: CalendarAddresses::new(engine.clone()),
            punch_credentials: PunchCredentials::new(engine.clone()),
            invitations: Invitations::new(engine.clone()),
            devices: Devices::new(engine.clone()),
            cameras: Cameras::new(engine.clone()),
            pictures: Pictures::new(engine.clone()),
            refused_punches: RefusedPunches::new(engine.clone()),
            accounts: Accounts::new(engine.clone()),
            api_tokens: ApiTokens::new(engine.clone()),
            second_factors: SecondFactorsOfAccounts::new(engine.clone()),
            sessions: Arc::new(Sessions::new(engine.clone())),
            known_browsers: BrowsersOfAccounts::new(engine.clone()),
            jobs: Jobs::new(engine.clone()),
            webhooks: Webhooks::new(engine.clone()),
            mail_preferences: MailPreferenceBook::new(engine.clone()),
            deliveries: Deliveries::new(engine.clone()),
            leases: Leases::new(engine.clone()),
            cache: StoredCache::new(engine.clone()),
            audit: AuditTrail::new(engine.clone()),
            settings: Settings::new(engine.clone()),
            facts: Facts::new(engine.clone()),
            kinds: registered(),
            engine,
        }
    }

    /// Returns the kinds that are part of backups and copies, in the order in which they are
    /// written: a kind follows the kinds that it refers to, and the audit trail comes last.
    pub fn archived(&self) -> Vec<Registered> {
        let archived = self.kinds.iter().filter(|registered| registered.archived());
        let trail = |registered: &&Registered| registered.kind == AuditEntry::KIND;
        let (trail, others): (Vec<_>, Vec<_>) = archived.partition(trail);
        others.into_iter().chain(trail).copied().collect()
    }
}

impl std::fmt::Debug for Repositories {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Repositories({})", self.engine.description())
    }
}
