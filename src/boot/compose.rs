//! Connects the services with each other, for the service, its commands and the tests.

use std::{path::PathBuf, sync::Arc};

use jiff::{SignedDuration, civil::Time};

use crate::{
    app::App,
    clock::Clock,
    domain::biometrics::Policy,
    ports::{
        Cropping, FaceEngine, Gallery, MailSending, MotionSensing, RateLimits, Streams,
        WebhookPosting,
    },
    repositories::{Entries, Repositories},
    service::{
        accounts::{AccountRules, Accounts},
        api_tokens::ApiTokens,
        application_cache::AppCache,
        assignments::Assignments,
        audit::{Audit, Trail},
        balances::Balances,
        calendars::Calendars,
        camera_pipeline::CameraPipeline,
        cameras::{Cameras, Overlays},
        catalog::{Catalog, Checked},
        credential_punches::CredentialPunches,
        devices::Devices,
        employees::Employees,
        enrollment::Enrollments,
        enrollment_limit::EnrollmentLimit,
        entitlements::Entitlements,
        exports::Exports,
        face_punches::FacePunches,
        feed::Feed,
        gallery_loader::GalleryLoader,
        health::Health,
        imports::{ImportParts, Imports},
        invitations::Invitations,
        jobs::Jobs,
        kiosk_enrollment::KioskEnrollments,
        leave::LeaveService,
        manual_punches::ManualPunches,
        messages::{Collector, Courier, Letters, Outbox, Reminders, Signals, Webhooks},
        mistaken_punches::MistakenPunches,
        notices::Notices,
        pairing::Pairing,
        password_resets::PasswordResets,
        personal_data::PersonalData,
        pictures::{Keeps, Pictures},
        plans::Plans,
        probe_builder::ProbeBuilder,
        punch_answers::PunchAnswers,
        punch_credentials::PunchCredentials,
        punch_ledger::{PunchLedger, PunchRules},
        recognition::Recognition,
        refused_punches::RefusedPunches,
        second_factor::SecondFactorService,
        single_sign_on::{SignOnProvider, SingleSignOn},
        site_rules::RulesService,
        sites::{Seed, Sites},
        template_growth::TemplateGrowth,
        timesheets::Timesheets,
        workdays::Workdays,
    },
    vault::Vault,
};

/// The dependencies of the services.
pub struct Parts {
    /// The system of record.
    pub stores: Repositories,
    /// Time and entropy.
    pub clock: Arc<dyn Clock>,
    /// The keys that seal faces.
    pub vault: Arc<Vault>,
    /// The face engine for samples from clients. It may cache analyses, because retries send the
    /// same sample again.
    pub engine: Arc<dyn FaceEngine>,
    /// The face engine for cameras. It caches nothing, because every picture is different.
    pub camera_engine: Arc<dyn FaceEngine>,
    /// The gallery, empty.
    pub gallery: Arc<dyn Gallery>,
    /// The face engine of the previous model with its gallery, empty, during a change of the model.
    pub previous: Option<(Arc<dyn FaceEngine>, Arc<dyn Gallery>)>,
    /// The source of camera streams.
    pub streams: Arc<dyn Streams>,
    /// Detects motion in their pictures.
    pub motion: Arc<dyn MotionSensing>,
    /// Crops pictures of faces.
    pub cropping: Arc<dyn Cropping>,
    /// Sends messages to webhooks.
    pub posting: Arc<dyn WebhookPosting>,
    /// Gives letters to the mail server, if there is one.
    pub mail: Option<Arc<dyn MailSending>>,
    /// Rate limits that all instances share.
    pub limits: Arc<dyn RateLimits>,
    /// Announcements for the other instances.
    pub feed: Feed,
    /// Pairings in progress.
    pub pairings: AppCache,
    /// Sign-ins that wait for their second step.
    pub sign_ins: AppCache,
    /// The identity provider; `None` if none is configured.
    pub sign_on: Option<SignOnProvider>,
    /// Faces that cameras see.
    pub overlays: Overlays,
}

/// The settings of the services.
#[derive(Debug, Clone)]
pub struct Rules {
    /// How strictly faces are recognized.
    pub policy: Policy,
    /// Minimum probability of a live person; `None` only records it.
    pub least_liveness: Option<f32>,
    /// The kinds of pictures that are kept.
    pub keeps: Keeps,
    /// Whether enrollment photos are kept.
    pub keep_photos: bool,
    /// How punches are decided.
    pub punches: PunchRules,
    /// What the default site has when it is made.
    pub seed: Seed,
    /// How sessions of accounts end.
    pub accounts: AccountRules,
    /// Where people find the service.
    pub public_url: Option<String>,
    /// When summaries are written.
    pub summary_at: Time,
    /// How long the token of a device lasts; `None` if it does not end.
    pub device_token_age: Option<SignedDuration>,
    /// The folder of the data, for temporary files.
    pub folder: PathBuf,
}

/// The services, and further parts that the workers need.
pub struct Composed {
    /// The services.
    pub app: App,
    /// Loads the gallery from the store.
    pub loader: Arc<GalleryLoader>,
    /// Loads the gallery of the previous model.
    pub previous_loader: Option<Arc<GalleryLoader>>,
    /// Analyzes the pictures of cameras.
    pub pipeline: Arc<CameraPipeline>,
    /// Collects and sends messages.
    pub outbox: Arc<Outbox>,
    /// Signals for home automation.
    pub signals: Signals,
    /// The audit trail.
    pub audit: Audit,
}

/// Creates a service on clones of its parts.
macro_rules! service {
    ($service:ident: $($part:expr),+) => {
        Arc::new($service::new($($part.clone()),+))
    };
}

/// Creates the services. The gallery is empty until [`GalleryLoader::fill`].
pub fn compose(parts: Parts, rules: Rules) -> Composed {
    let Parts {
        stores,
        clock,
        vault,
        engine,
        camera_engine,
        gallery,
        previous,
        streams,
        motion,
        cropping,
        posting,
        mail,
        limits,
        feed,
        pairings,
        sign_ins,
        sign_on,
        overlays,
    } = parts;
    let audit = Audit::new(stores.audit.clone(), clock.clone());
    let sign_on_cache = sign_ins.clone();
    let second_factors =
        service!(SecondFactorService: stores, vault, sign_ins, limits, audit, clock);
    let model = engine.model().clone();
    let loader = GalleryLoader::new(
        stores.clone(),
        vault.clone(),
        gallery.clone(),
        model.clone(),
        feed.clone(),
        clock.clone(),
    );
    let loader = Arc::new(loader.with_engine(engine.clone()));
    let probes = service!(ProbeBuilder: engine, rules.least_liveness);
    let pictures = service!(Pictures: stores, vault, cropping, limits, audit, clock, rules.keeps);
    let mut recognition = Recognition::new(
        probes.clone(),
        gallery.clone(),
        loader.clone(),
        rules.policy,
        audit.clone(),
    );
    let mut previous_loader = None;
    if let Some((engine, gallery)) = previous {
        let loader = GalleryLoader::new(
            stores.clone(),
            vault.clone(),
            gallery.clone(),
            engine.model().clone(),
            feed.clone(),
            clock.clone(),
        );
        let loader = Arc::new(loader.without_people_of(model.clone()));
        let probes = ProbeBuilder::new(engine, rules.least_liveness);
        recognition = recognition.with_previous(Recognition::new(
            Arc::new(probes),
            gallery,
            loader.clone(),
            rules.policy,
            audit.clone(),
        ));
        previous_loader = Some(loader);
    }
    let recognition = Arc::new(recognition);
    let sites = service!(Sites: stores, rules.seed, audit, clock, feed);
    let plans = service!(Plans: stores, sites, clock, feed);
    let parts = (&plans, &sites, &audit, &clock);
    let holidays = catalog(&stores.holiday_calendars, parts);
    let devices =
        service!(Devices: stores.devices, sites, audit, clock, feed, rules.device_token_age);
    let workdays = service!(Workdays: stores, sites, plans, clock);
    let ledger = service!(PunchLedger: stores, sites, workdays, clock, rules.punches, feed);
    let webhooks = service!(Webhooks: stores, sites, posting, vault, audit, clock);
    let letters = Arc::new(Letters::new(
        stores.clone(),
        vault.clone(),
        audit.clone(),
        clock.clone(),
        (mail.is_some(), rules.public_url),
    ));
    let enrollments = service!(
        Enrollments: stores, engine, recognition, loader, vault, audit, clock, rules.keep_photos
    );
    let growth =
        service!(TemplateGrowth: stores, enrollments, recognition, loader, sites, audit, clock);
    let timesheets = service!(Timesheets: stores, workdays, audit, clock, feed);
    let mistaken_punches =
        service!(MistakenPunches: stores, timesheets, loader, limits, audit, clock);
    let refused_punches =
        service!(RefusedPunches: stores, engine, pictures, timesheets, audit, clock, feed);
    let answers = service!(PunchAnswers: ledger, mistaken_punches, pictures, growth, limits, clock);
    let face_punches = service!(FacePunches: stores, recognition, answers, sites, pictures, clock);
    let punch_credentials = service!(PunchCredentials: stores, sites, limits, audit, clock);
    let credential_punches =
        service!(CredentialPunches: punch_credentials, recognition, answers, sites, clock);
    let employees = service!(Employees: stores, loader, recognition, sites, audit, clock);
    let shifts = catalog(&stores.shift_kinds, parts);
    let importing = ImportParts {
        employees: employees.clone(),
        sites: sites.clone(),
        plans: plans.clone(),
        shifts: shifts.clone(),
        holidays: holidays.clone(),
        workdays: workdays.clone(),
    };
    let imports = Imports::new(stores.clone(), importing, audit.clone(), clock.clone());
    let entitlements = service!(Entitlements: stores, plans, audit, clock);
    let balances = service!(Balances: stores, workdays, audit, clock);
    let accounts = service!(Accounts: stores, audit, clock, limits, rules.accounts);
    let single_sign_on = sign_on.map(|provider| {
        let (accounts, stores) = (accounts.clone(), stores.clone());
        let (audit, clock) = (audit.clone(), clock.clone());
        let service = SingleSignOn::new(provider, accounts, stores, sign_on_cache, audit, clock);
        Arc::new(service)
    });
    let notices = Arc::new(Notices::new(
        workdays.clone(),
        timesheets.clone(),
        punch_credentials.clone(),
        devices.clone(),
        stores.clone(),
        mail.is_some(),
        employees.clone(),
        clock.clone(),
    ));
    let outbox = Outbox::new(
        Collector::new(
            stores.clone(),
            sites.clone(),
            workdays.clone(),
            devices.clone(),
            clock.clone(),
        ),
        Reminders::new(
            stores.clone(),
            sites.clone(),
            notices.clone(),
            letters.clone(),
            clock.clone(),
            rules.summary_at,
        ),
        Courier::new(
            stores.clone(),
            webhooks.clone(),
            letters.clone(),
            mail,
            clock.clone(),
        ),
    );
    let kiosk_enrollments =
        service!(KioskEnrollments: punch_credentials, enrollments, employees, sites);
    let signals = Signals::new(
        stores.clone(),
        sites.clone(),
        workdays.clone(),
        devices.clone(),
        clock.clone(),
    );
    let invitations = service!(Invitations: stores, accounts, audit, clock);
    let password_resets = service!(PasswordResets: stores, invitations, letters, limits, audit);
    let app = App {
        invitations,
        password_resets,
        api_tokens: service!(ApiTokens: stores, sites, audit, clock),
        second_factors,
        accounts,
        single_sign_on,
        cameras: Arc::new(Cameras::new(
            (stores.cameras.clone(), stores.accounts.clone()),
            streams,
            sites.clone(),
            overlays,
            audit.clone(),
            clock.clone(),
            feed.clone(),
        )),
        employees: employees.clone(),
        rules: service!(RulesService: stores.site_rules, sites, audit, clock, feed),
        shifts,
        cycles: catalog(&stores.cycles, parts),
        calendars: service!(Calendars: stores, plans, holidays, audit, clock),
        holidays,
        leave_kinds: catalog(&stores.leave_kinds, parts),
        payroll_layouts: catalog(&stores.payroll_layouts, parts),
        assignments: service!(Assignments: stores, plans, audit, clock),
        leave: service!(LeaveService: stores, plans, entitlements, audit, clock),
        entitlements,
        exports: service!(Exports: stores, workdays, balances, plans, sites, audit, rules.folder),
        imports: Arc::new(imports),
        plans,
        sites,
        pairing: service!(Pairing: pairings, devices, clock),
        devices,
        kiosk_enrollments,
        enrolling: enrollments,
        enrollment_limit: service!(EnrollmentLimit: stores, audit, clock),
        manual_punches: service!(ManualPunches: stores, ledger, audit, clock),
        ledger,
        balances,
        notices,
        timesheets,
        webhooks,
        letters,
        workdays,
        face_punches: face_punches.clone(),
        credential_punches,
        personal_data: service!(PersonalData: stores, vault, audit),
        mistaken_punches,
        refused_punches,
        punch_credentials: punch_credentials.clone(),
        pictures,
        growth,
        recognition: recognition.clone(),
        jobs: service!(Jobs: stores, model, audit, clock, feed),
        trail: Arc::new(Trail::new(&stores)),
        health: service!(Health: stores.engine, engine, gallery, loader),
    };
    let pipeline = CameraPipeline::new(
        camera_engine,
        motion,
        probes,
        recognition,
        face_punches,
        clock,
    );
    Composed {
        app,
        loader,
        previous_loader,
        pipeline: Arc::new(pipeline),
        outbox: Arc::new(outbox),
        signals,
        audit,
    }
}

/// Creates the service for a kind of entry.
fn catalog<S: Checked>(
    entries: &Entries<S>,
    (plans, sites, audit, clock): (&Arc<Plans>, &Arc<Sites>, &Audit, &Arc<dyn Clock>),
) -> Arc<Catalog<S>> {
    service!(Catalog: entries, plans, sites, audit, clock)
}
