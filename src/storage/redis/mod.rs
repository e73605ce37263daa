//! Redis: what instances share for a while.

mod address;
mod server;

pub use address::{Address, AddressError, Patience};
pub use server::{Away, Server, Standing};
