//! The eyes: decode → detect → align → quality → liveness → embed, behind a bounded engine.
//!
//! No model is known by name here: a [`pack::Pack`] says what its files are and how they are
//! fed, [`runtime`] runs them, [`pipeline`] does one sample on one thread, and [`engine`] puts a
//! bounded queue in front of several of those.

pub mod align;
pub mod calibrate;
pub mod catalogue;
pub mod cut;
pub mod decode;
pub mod detect;
pub mod embed;
pub mod engine;
pub mod glance;
pub mod liveness;
pub mod measure;
pub mod pack;
pub mod pipeline;
pub mod runtime;
mod tensor;

pub use cut::Cutter;
pub use engine::{Engine, EngineOptions, EngineStartError, PrecisionChoice, cpu_quota};
pub use glance::Glancer;
pub use pack::{Pack, PackError};
pub use runtime::{Runtime, RuntimeError};
