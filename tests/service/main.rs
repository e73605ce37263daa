//! The services over a real store, with an engine that sees what it is told to.

mod accounts;
mod caching;
mod employees;
mod enrollment;
mod jobs;
mod pictures;
mod punching;
mod seen;
mod watching;
mod world;
