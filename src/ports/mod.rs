//! What the services need of the outside: small, object-safe traits that know no backend.

mod shared;
mod stores;
mod vision;

pub use shared::*;
pub use stores::*;
pub use vision::*;
