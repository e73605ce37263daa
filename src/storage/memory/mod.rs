//! Adapters in the memory of this process, for when Redis is unavailable or not configured.

mod bus;
mod cache;
mod engine;
mod limits;

pub use bus::MemoryBus;
pub use cache::MemoryCache;
pub use engine::MemoryEngine;
pub use limits::MemoryLimits;
