//! Redis: what instances share for a while, and the system of record without a file system.

mod address;
mod bus;
mod cache;
mod keys;
mod limits;
mod locks;
pub mod records;
mod server;
mod stats;

pub use address::{Address, AddressError, Patience};
pub use bus::RedisBus;
pub use cache::RedisCache;
pub use keys::Prefix;
pub use limits::RedisLimits;
pub use locks::RedisLocks;
pub use server::{Away, Server, Standing};
pub use stats::RedisServers;
