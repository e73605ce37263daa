//! What runs when Redis is away or was never set: the same ports, for this process alone.

mod bus;
mod cache;
mod limits;
mod locks;

pub use bus::MemoryBus;
pub use cache::MemoryCache;
pub use limits::MemoryLimits;
pub use locks::MemoryLocks;
