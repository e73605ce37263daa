//! The routes, one file per resource.
#![expect(
    unused_qualifications,
    reason = "utoipa's macro repeats the parameters of handlers as paths"
)]

pub mod audit;
pub mod cameras;
pub mod devices;
pub mod employees;
pub mod enroll;
pub mod events;
pub mod health;
pub mod identify;
pub mod jobs;
pub mod pairings;
pub mod pictures;
pub mod punches;
pub mod redis;
pub mod session;
pub mod setup;
pub mod status;
pub mod templates;

/// A time as the API writes it: RFC 3339, UTC, milliseconds.
pub fn time(at: jiff::Timestamp) -> String {
    format!("{at:.3}")
}

/// A number as the API writes it: four decimals tell all that a comparison of faces means.
pub fn number(value: f32) -> f64 {
    (f64::from(value) * 1e4).round() / 1e4
}
