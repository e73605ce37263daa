//! What the services need of the outside: small, object-safe traits that know no backend.

mod stores;
mod vision;

pub use stores::*;
pub use vision::*;
