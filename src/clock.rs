//! Time and entropy, in one place, so that tests can control both.

use jiff::Timestamp;
use uuid::Uuid;

/// The source of the current time, of IDs and of secrets.
pub trait Clock: Send + Sync {
    /// Returns the current time in whole milliseconds, the precision of every store.
    fn now(&self) -> Timestamp;

    /// Returns a new UUIDv7 of the current time.
    fn id(&self) -> Uuid;

    /// Returns 32 unpredictable bytes.
    fn secret(&self) -> [u8; 32];

    /// Returns 96 random bits for one encryption: NIST SP 800-38D allows 2³² of them per key.
    fn nonce(&self) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce.copy_from_slice(&self.secret()[..12]);
        nonce
    }
}

/// The clock of the machine, with the entropy of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the clock and draws entropy"
)]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        whole_milliseconds(Timestamp::now())
    }

    fn id(&self) -> Uuid {
        Uuid::now_v7()
    }

    fn secret(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).expect("the operating system has entropy");
        bytes
    }
}

/// Truncates a time to whole milliseconds, towards the past.
pub fn whole_milliseconds(at: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at)
}
