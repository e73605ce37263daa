//! Use cases: each a struct with its ports, each with one error enum.

pub mod accounts;
pub mod application_cache;
pub mod audit;
pub mod cached_lists;
pub mod cameras;
pub mod copying;
pub mod devices;
pub mod employees;
pub mod enrollment;
pub mod exclusive;
pub mod faces;
pub mod feed;
pub mod health;
pub mod identification;
pub mod jobs;
pub mod pairing;
pub mod probing;
pub mod punching;
pub mod redis;
pub mod references;
pub mod sealed_cache;
pub mod seen;
pub mod sessions;
pub mod store_cache;
pub mod tokens;
pub mod watching;
