//! The services over a real store, with an engine that sees what it is told to.

mod accounts;
mod enrollment;
mod punching;
mod world;
