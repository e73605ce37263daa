//! Tests of the face pipeline on real photos: the whole path from bytes to embeddings, and its
//! robustness.

mod accuracy;
mod engine;
mod golden;
mod liveness;
mod margins;
mod quick_look;
#[path = "../support/runtime.rs"]
mod runtime;
mod samples;
#[path = "../support/skip.rs"]
mod skip;
mod support;
