//! Servers that the tests of a run share.

use std::sync::{Arc, Mutex, PoisonError, Weak};

/// A server for a `static`. The first test that needs it starts it, and it ends with the last test
/// that holds it. A server in the `static` itself would never be dropped, and would outlive the
/// run. Tests run in parallel, so that nearly all of them share one server.
pub struct Shared<S>(Mutex<Weak<S>>);

impl<S> Shared<S> {
    /// Returns a server that is not running yet.
    pub const fn new() -> Self {
        Self(Mutex::new(Weak::new()))
    }

    /// Returns the running server, or starts it; the error is the reason for skipping the test.
    pub fn get(&self, start: impl FnOnce() -> Result<S, String>) -> Result<Arc<S>, String> {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = running.upgrade() {
            return Ok(server);
        }
        let server = Arc::new(start()?);
        *running = Arc::downgrade(&server);
        Ok(server)
    }
}
