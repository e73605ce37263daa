//! What the services need of the outside: small, object-safe traits that know no backend.

mod archive;
mod cameras;
mod pictures;
mod shared;
mod stores;
mod vision;

pub use archive::*;
pub use cameras::*;
pub use pictures::*;
pub use shared::*;
pub use stores::*;
pub use vision::*;
