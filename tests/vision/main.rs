//! The eyes on real photos: the whole path from bytes to embeddings, and what it must withstand.

mod accuracy;
mod engine;
mod golden;
mod liveness;
mod samples;
mod support;
