//! The face pipeline: decode → detect → align → quality → liveness → embed, behind a bounded
//! engine.
//!
//! No model name is hard-coded: a [`pack::Pack`] describes its files and their inputs, [`runtime`]
//! runs them, [`pipeline`] processes one sample on one thread, and [`engine`] puts a bounded queue
//! in front of several pipelines.

pub mod align;
pub mod calibrate;
pub mod catalog;
pub mod crop;
pub mod decode;
pub mod detect;
pub mod embed;
pub mod engine;
pub mod face_quality;
pub mod liveness;
pub mod motion;
pub mod pack;
pub mod pipeline;
mod queue;
pub mod runtime;
mod tensor;

pub use crop::Cropper;
pub use decode::reduced_photo;
pub use engine::{Engine, EngineOptions, EngineStartError, PrecisionChoice, cpu_quota};
pub use motion::MotionSensor;
pub use pack::{Pack, PackError};
pub use runtime::{Runtime, RuntimeError};
