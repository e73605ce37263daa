//! Ports for servers that tests start.

use std::{
    net::TcpListener,
    sync::atomic::{AtomicU16, Ordering},
};

/// Ports that the system gives to nobody who asks for any port, so that they stay free until the
/// server listens, and while it is restarted.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// Returns a port of 127.0.0.1 that nothing listens on, and that this process has not got before.
pub fn free_port() -> u16 {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    // Processes that run at the same time begin at different places.
    let begin = std::process::id().wrapping_mul(97) % u32::from(COUNT);
    loop {
        let number = begin + u32::from(TAKEN.fetch_add(1, Ordering::Relaxed));
        let port = FIRST + (number % u32::from(COUNT)) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
