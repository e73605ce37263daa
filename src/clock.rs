//! Time and entropy, in one place, so that tests can hold both.

use jiff::Timestamp;
use uuid::Uuid;

/// Where every "now", every identity and every secret comes from.
pub trait Clock: Send + Sync {
    /// The current time, whole milliseconds: what every store keeps.
    fn now(&self) -> Timestamp;

    /// A new UUIDv7 of the current time.
    fn id(&self) -> Uuid;

    /// 32 bytes nobody can guess.
    fn secret(&self) -> [u8; 32];

    /// 96 random bits to seal one thing with: NIST SP 800-38D allows 2³² of them a key.
    fn nonce(&self) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce.copy_from_slice(&self.secret()[..12]);
        nonce
    }
}

/// The clock of the machine and the entropy of the operating system.
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

/// Cuts a time to whole milliseconds, towards the past.
pub fn whole_milliseconds(at: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at)
}
