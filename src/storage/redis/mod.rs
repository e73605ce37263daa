//! Redis: cache, limits, locks and messages that instances share, and a record engine for
//! installations without a file system.

mod address;
mod bus;
mod cache;
mod engine;
mod keys;
mod limits;
mod locks;
mod server;
mod stats;

pub use address::{Address, AddressError, Patience};
pub use bus::RedisBus;
pub use cache::{NotANumber, RedisCache};
pub use engine::RedisEngine;
pub use keys::Prefix;
pub use limits::RedisLimits;
pub use locks::{Held, LockError, RedisLocks};
pub use server::{Server, Standing, Unavailable};
pub use stats::RedisServers;
