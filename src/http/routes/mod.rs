//! The routes, one file per resource. Routes do not use each other: what they share is in `views`.
#![expect(
    unused_qualifications,
    reason = "utoipa's macro repeats the parameters of handlers as paths"
)]

pub mod accounts;
pub mod assignments;
pub mod audit;
pub mod balances;
pub mod calendars;
pub mod camera_pictures;
pub mod cameras;
pub mod catalog;
pub mod devices;
pub mod employees;
pub mod enroll;
pub mod enrollment_limit;
pub mod entitlements;
pub mod events;
pub mod exports;
pub mod health;
pub mod identify;
pub mod imports;
pub mod invitations;
pub mod jobs;
pub mod kiosk_enrollment;
pub mod leave;
pub mod mail;
pub mod me;
pub mod notices;
pub mod pairings;
pub mod passkeys;
pub mod password_resets;
pub mod pictures;
pub mod punch_credentials;
pub mod punches;
pub mod redis;
pub mod refused_punches;
pub mod rules;
pub mod second_factors;
pub mod session;
pub mod setup;
pub mod single_sign_on;
pub mod sites;
pub mod status;
pub mod templates;
pub mod timesheets;
pub mod tokens;
pub mod webhooks;
pub mod workdays;
