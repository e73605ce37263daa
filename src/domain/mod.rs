//! The rules of the trade: pure, synchronous, without I/O.

pub mod accounts;
pub mod attendance;
pub mod audit;
pub mod biometrics;
pub mod cameras;
pub mod devices;
pub mod employees;
pub mod ids;
pub mod jobs;
pub mod quality;
pub mod samples;
pub mod text;
pub mod tracking;
