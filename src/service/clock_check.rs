//! Compares this machine's clock with the store's clock and with the newest record, because every
//! instance must agree on the time: leases, sessions and punches depend on it.

use jiff::SignedDuration;

use crate::{clock::Clock, ports::StoreError, repositories::Repositories};

/// The difference between two clocks above which the operator gets a warning. Leases last 30
/// seconds, so a few seconds do no harm.
pub const TOLERANCE: SignedDuration = SignedDuration::from_secs(5);

/// What was found out about the clock of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClockCheck {
    /// How far the clock is ahead of the store's; negative if it is behind. `None` if the store has
    /// no clock of its own. Includes half of the time that the store took to answer, at most.
    pub ahead_of_store: Option<SignedDuration>,
    /// How far the clock is behind the newest punch; `None` if it is not.
    pub behind_newest: Option<SignedDuration>,
}

impl ClockCheck {
    /// Compares the clocks.
    pub async fn run(stores: &Repositories, clock: &dyn Clock) -> Result<Self, StoreError> {
        let before = clock.now();
        let store = stores.engine.time().await?;
        let now = clock.now();
        // The store read its clock between the two moments.
        let middle = before + now.duration_since(before) / 2;
        let newest = stores.punches.last_recorded().await?;
        let behind = newest.map(|punch| punch.recorded_at.duration_since(now));
        Ok(Self {
            ahead_of_store: store.map(|store| middle.duration_since(store)),
            behind_newest: behind.filter(|behind| *behind > SignedDuration::ZERO),
        })
    }

    /// Returns a warning for each difference that matters.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Some(ahead) = self.ahead_of_store.filter(|ahead| ahead.abs() > TOLERANCE) {
            let seconds = ahead.abs().as_secs();
            let direction = if ahead.is_positive() {
                "ahead of"
            } else {
                "behind"
            };
            warnings.push(format!(
                "the clock of this machine is {seconds} s {direction} the store's: synchronize both with NTP"
            ));
        }
        if let Some(behind) = self.behind_newest.filter(|behind| *behind > TOLERANCE) {
            let seconds = behind.as_secs();
            warnings.push(format!(
                "the newest punch is {seconds} s in the future: the clock of this machine is behind, or was ahead before: set it"
            ));
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_within_the_tolerance_need_no_warning() {
        let check = |ahead, behind| ClockCheck {
            ahead_of_store: Some(SignedDuration::from_secs(ahead)),
            behind_newest: Some(SignedDuration::from_secs(behind)),
        };
        assert_eq!(check(5, 5).warnings(), Vec::<String>::new());
        assert_eq!(ClockCheck::default().warnings(), Vec::<String>::new());
        let warnings = check(-6, 90).warnings();
        assert!(
            warnings[0].contains("6 s behind the store's"),
            "{warnings:?}"
        );
        assert!(warnings[1].contains("90 s in the future"), "{warnings:?}");
        assert!(check(7, 0).warnings()[0].contains("7 s ahead of the store's"));
    }
}
