//! Rollcall: a self-hosted face attendance service.
//!
//! Dependencies point inwards: `http` and `workers` call `service`, which knows only
//! `ports` and `domain`; `storage`, `vision` and `gallery` implement ports; `boot` is the
//! one place that names every adapter. `tests/architecture.rs` holds these arrows.

pub mod app;
pub mod boot;
pub mod cameras;
pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod gallery;
pub mod http;
pub mod ports;
pub mod service;
pub mod storage;
pub mod telemetry;
pub mod vault;
pub mod vision;
pub mod workers;
