//! Rollcall: a self-hosted face attendance service.
//!
//! Dependencies point inward: `http` and `workers` call `service`, which knows `repositories`,
//! `ports` and `domain`; `storage`, `vision` and `gallery` implement ports; `boot` is the only
//! module that uses every adapter. `tests/architecture.rs` checks this.

// Not in tests, because the library does not use the dev-dependencies.
#![cfg_attr(not(test), warn(unused_crate_dependencies))]

pub mod app;
pub mod boot;
pub mod cameras;
pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod gallery;
pub mod http;
pub mod http_client;
pub mod identity;
pub mod ports;
pub mod repositories;
pub mod senders;
pub mod service;
pub mod storage;
pub mod telemetry;
pub mod vault;
pub mod vision;
pub mod workers;
