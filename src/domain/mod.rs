//! The domain: pure types and rules of attendance and biometrics, without I/O and async.

pub mod accounts;
pub mod attendance;
pub mod audit;
pub mod balances;
pub mod biometrics;
pub mod cameras;
pub mod devices;
pub mod employees;
pub mod faces;
pub mod geometry;
pub mod grants;
pub mod ids;
pub mod installation;
pub mod jobs;
pub mod pictures;
pub mod plans;
pub mod quality;
pub mod record;
pub mod samples;
pub mod sealed;
pub mod self_calibration;
pub mod sites;
pub mod template_growth;
pub mod text;
pub mod tracking;
