//! Stretches of time, and sets of them.

use super::time::Seconds;

/// The time from one instant to another; empty if the end is not later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    pub from: Seconds,
    pub to: Seconds,
}

impl Stretch {
    /// All time.
    pub const ALWAYS: Self = Self::new(Seconds::MIN / 4, Seconds::MAX / 4);

    pub const fn new(from: Seconds, to: Seconds) -> Self {
        Self { from, to }
    }

    /// Returns all time before an instant.
    pub const fn before(at: Seconds) -> Self {
        Self::new(Self::ALWAYS.from, at)
    }

    /// Returns all time from an instant on.
    pub const fn since(at: Seconds) -> Self {
        Self::new(at, Self::ALWAYS.to)
    }

    pub const fn is_empty(self) -> bool {
        self.to <= self.from
    }

    /// Returns the length, 0 if it is empty.
    pub fn length(self) -> Seconds {
        (self.to - self.from).max(0)
    }

    /// Returns the time in both; perhaps empty.
    pub fn and(self, other: Self) -> Self {
        Self::new(self.from.max(other.from), self.to.min(other.to))
    }
}

/// Returns the sum of lengths.
pub(super) fn total(of: &[Stretch]) -> Seconds {
    of.iter().map(|stretch| stretch.length()).sum()
}

/// Returns how much of a stretch lies in some that do not overlap.
pub(super) fn overlap(of: Stretch, with: &[Stretch]) -> Seconds {
    with.iter().map(|other| of.and(*other).length()).sum()
}

/// Takes a stretch off some.
pub(super) fn take_off(from: &mut Vec<Stretch>, off: Stretch) {
    if off.is_empty() || from.iter().all(|stretch| stretch.and(off).is_empty()) {
        return;
    }
    let parts = from.drain(..).flat_map(|stretch| {
        [
            stretch.and(Stretch::before(off.from)),
            stretch.and(Stretch::since(off.to)),
        ]
    });
    let left = parts.filter(|stretch| !stretch.is_empty()).collect();
    *from = left;
}

/// Adds what is not in them yet of a stretch to some that do not overlap.
pub(super) fn put_in(to: &mut Vec<Stretch>, new: Stretch) {
    let mut parts = vec![new];
    for stretch in to.iter() {
        take_off(&mut parts, *stretch);
    }
    to.extend(parts.into_iter().filter(|stretch| !stretch.is_empty()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taking_off_cuts_and_putting_in_counts_once() {
        let mut set = vec![Stretch::new(0, 10), Stretch::new(20, 30)];
        take_off(&mut set, Stretch::new(5, 25));
        assert_eq!(set, [Stretch::new(0, 5), Stretch::new(25, 30)]);
        take_off(&mut set, Stretch::new(9, 3));
        assert_eq!(total(&set), 10);
        put_in(&mut set, Stretch::new(3, 27));
        assert_eq!(total(&set), 30);
        assert_eq!(overlap(Stretch::new(-5, 3), &set), 3);
        put_in(&mut set, Stretch::new(3, 27));
        assert_eq!(total(&set), 30);
    }
}
