//! Ports: small, object-safe traits for everything that services need from outside. They know no
//! backend.

mod cameras;
mod identity;
mod messages;
mod pictures;
mod records;
mod shared;
mod stores;
mod vision;

pub use cameras::*;
pub use identity::*;
pub use messages::*;
pub use pictures::*;
pub use records::*;
pub use shared::*;
pub use stores::*;
pub use vision::*;
