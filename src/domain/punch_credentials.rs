//! What people punch with besides their face: a PIN, which proves who the staff number names, and a
//! badge.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{
    accounts::{Actor, TokenHash},
    ids::EmployeeId,
    record::{About, Changes, Index, Keys, Kind, OnErase, Record},
    text::Code,
};

/// The PIN and the badge of an employee. The record stays without them, so that of two states the
/// later one is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PunchCredential {
    /// The employee.
    pub employee: EmployeeId,
    /// The PIN.
    pub pin: Option<StoredPin>,
    /// The badge.
    pub badge: Option<StoredBadge>,
    /// When the record last changed. It increases with every change.
    pub changed_at: Timestamp,
}

/// The hash of a PIN, and how often it was missed.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredPin {
    /// The argon2id hash, a PHC string.
    pub pin_hash: String,
    /// When it was set.
    pub set_at: Timestamp,
    /// Who set it.
    pub set_by: Actor,
    /// Tries since it was last right, including those that are being compared.
    pub tries: u8,
    /// When the last allowed try began. No further one is compared.
    pub locked_at: Option<Timestamp>,
}

impl fmt::Debug for StoredPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredPin")
            .field("tries", &self.tries)
            .field("locked_at", &self.locked_at)
            .finish_non_exhaustive()
    }
}

impl StoredPin {
    /// The most tries in a row. A person mistypes once or twice; a guesser has 5 of a million.
    pub const MOST_TRIES: u8 = 5;

    /// Returns a PIN that was never tried.
    pub fn new(pin_hash: String, set_at: Timestamp, set_by: Actor) -> Self {
        Self {
            pin_hash,
            set_at,
            set_by,
            tries: 0,
            locked_at: None,
        }
    }

    /// Checks whether no further try is compared.
    pub fn is_locked(&self) -> bool {
        self.locked_at.is_some()
    }

    /// Counts a try before it is compared; `None` if the PIN is locked. Tries are counted first, so
    /// that many at once are not compared before the first miss is known.
    #[must_use]
    pub fn tried(self, now: Timestamp) -> Option<Self> {
        let tries = self.tries.saturating_add(1);
        (!self.is_locked()).then(|| Self {
            tries,
            locked_at: (tries >= Self::MOST_TRIES).then_some(now),
            ..self
        })
    }

    /// Returns the PIN without tries, after one was right or a manager unlocked it.
    #[must_use]
    pub fn unlocked(self) -> Self {
        Self {
            tries: 0,
            locked_at: None,
            ..self
        }
    }
}

/// The hash of the code of a badge.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredBadge {
    /// The hash of the code.
    pub badge_hash: TokenHash,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// Who issued it.
    pub issued_by: Actor,
}

impl fmt::Debug for StoredBadge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredBadge")
            .field("issued_at", &self.issued_at)
            .finish_non_exhaustive()
    }
}

impl PunchCredential {
    /// Records by the hash of their badge.
    pub const BY_BADGE: Index = Index::unique("by_badge");
    /// Records with a locked PIN, by the time of the lock.
    pub const BY_LOCK: Index = Index::ordered("by_lock");
    /// All records, by their last change.
    pub const BY_CHANGE: Index = Index::ordered("by_change");

    /// Returns the record of an employee who has neither a PIN nor a badge.
    pub fn none(employee: EmployeeId, changed_at: Timestamp) -> Self {
        Self {
            employee,
            pin: None,
            badge: None,
            changed_at,
        }
    }
}

impl Record for PunchCredential {
    const KIND: &'static Kind = &Kind::archived(
        "punch_credentials",
        "punch credential",
        &[Self::BY_BADGE, Self::BY_LOCK, Self::BY_CHANGE],
    )
    .changing(Changes::Grows(Self::BY_CHANGE));

    type Id = EmployeeId;

    fn id(&self) -> EmployeeId {
        self.employee
    }

    fn keys(&self, keys: &mut Keys) {
        if let Some(badge) = &self.badge {
            keys.add(Self::BY_BADGE, (badge.badge_hash.to_hex(),));
        }
        if let Some(at) = self.pin.as_ref().and_then(|pin| pin.locked_at) {
            keys.add(Self::BY_LOCK, (at,));
        }
        keys.add(Self::BY_CHANGE, (self.changed_at,));
    }

    fn about(&self) -> About {
        About::employee(self.employee, OnErase::Delete)
    }
}

/// The number of digits of a PIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct PinDigits(u8);

/// The error for a number of digits that no PIN may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be {} to {}", PinDigits::LEAST, PinDigits::MOST)]
pub struct NoPinDigits;

impl PinDigits {
    /// The fewest digits.
    pub const LEAST: u8 = 4;
    /// The most digits.
    pub const MOST: u8 = 8;

    /// Returns the number.
    pub fn count(self) -> u8 {
        self.0
    }

    /// Checks whether this is the number that a site has if nobody chose one.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for PinDigits {
    fn default() -> Self {
        Self(6)
    }
}

impl TryFrom<u8> for PinDigits {
    type Error = NoPinDigits;

    fn try_from(count: u8) -> Result<Self, NoPinDigits> {
        let possible = (Self::LEAST..=Self::MOST).contains(&count);
        possible.then_some(Self(count)).ok_or(NoPinDigits)
    }
}

impl From<PinDigits> for u8 {
    fn from(digits: PinDigits) -> Self {
        digits.0
    }
}

/// Why a text cannot be the PIN of an employee.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PinError {
    /// It does not have the number of digits that the site wants, or has something else.
    #[error("must have {} digits", .0.count())]
    NotAPin(PinDigits),
    /// It is among the first that a stranger would try.
    #[error("is easy to guess: choose another one")]
    Guessable,
}

/// The PIN of an employee.
#[derive(Clone, PartialEq, Eq)]
pub struct Pin(Zeroizing<String>);

impl Pin {
    /// Checks a PIN for the employee with a code.
    ///
    /// # Errors
    /// If it has another number of digits, or is easy to guess: equal digits, digits in sequence, a
    /// repeated half or pair, or the digits of the employee's code.
    pub fn parse(text: &str, digits: PinDigits, code: &Code) -> Result<Self, PinError> {
        let all_digits = text.bytes().all(|byte| byte.is_ascii_digit());
        if !all_digits || text.len() != usize::from(digits.count()) {
            return Err(PinError::NotAPin(digits));
        }
        match is_guessable(text.as_bytes(), code) {
            true => Err(PinError::Guessable),
            false => Ok(Self(Zeroizing::new(text.to_owned()))),
        }
    }

    /// Makes a PIN of random bytes; `None` if they are too few, or it would be easy to guess.
    pub fn from_random(random: &[u8], digits: PinDigits, code: &Code) -> Option<Self> {
        let text = random_digits(random, usize::from(digits.count()))?;
        Self::parse(&text, digits, code).ok()
    }

    /// Returns the digits, to be shown once.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(…)")
    }
}

/// Checks whether digits are among the first that a stranger would try.
fn is_guessable(pin: &[u8], code: &Code) -> bool {
    let steps = |by: i16| {
        let mut pairs = pin.windows(2);
        pairs.all(|pair| (i16::from(pair[1]) - i16::from(pair[0]) - by).rem_euclid(10) == 0)
    };
    let repeats = |length: usize| pin.chunks(length).all(|one| *one == pin[..length]);
    let of_code: Vec<u8> = code.as_str().bytes().filter(u8::is_ascii_digit).collect();
    let in_code = of_code.windows(pin.len()).any(|part| part == pin);
    let is_code = trimmed(&of_code) == trimmed(pin);
    steps(1) || steps(-1) || (1..=pin.len() / 2).any(repeats) || in_code || is_code
}

/// Returns digits without zeros before them.
fn trimmed(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    &digits[zeros..]
}

/// Returns so many digits, each of them as probable as the others; `None` if there are too few
/// bytes.
fn random_digits(random: &[u8], count: usize) -> Option<Zeroizing<String>> {
    let fair = random.iter().filter(|byte| **byte < 250);
    let digits: Zeroizing<String> = Zeroizing::new(
        fair.take(count)
            .map(|byte| char::from(b'0' + byte % 10))
            .collect(),
    );
    (digits.len() == count).then_some(digits)
}

/// The code of a badge: 30 random digits, 99 bits. Scanners that act as a keyboard type digits the
/// same on most layouts, and Code 128 packs two of them into a symbol.
#[derive(Clone, PartialEq, Eq)]
pub struct BadgeCode(Zeroizing<String>);

impl BadgeCode {
    /// The number of digits.
    pub const DIGITS: usize = 30;

    /// Reads a code as a scanner sends it, or as a person types it with spaces; `None` if it cannot
    /// be one.
    pub fn parse(text: &str) -> Option<Self> {
        let mut digits = Zeroizing::new(String::with_capacity(Self::DIGITS));
        for c in text.chars().filter(|c| !c.is_whitespace() && *c != '-') {
            if !c.is_ascii_digit() || digits.len() == Self::DIGITS {
                return None;
            }
            digits.push(c);
        }
        (digits.len() == Self::DIGITS).then_some(Self(digits))
    }

    /// Makes a code of random bytes; `None` if they are too few.
    pub fn from_random(random: &[u8]) -> Option<Self> {
        random_digits(random, Self::DIGITS).map(Self)
    }

    /// Returns the digits, for the badge and to be hashed.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for BadgeCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BadgeCode(…)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn code(text: &str) -> Code {
        Code::parse(text).unwrap()
    }

    fn digits(count: u8) -> PinDigits {
        count.try_into().unwrap()
    }

    #[test]
    fn a_pin_has_the_digits_of_the_site_and_is_not_the_first_guess() {
        let six = PinDigits::default();
        assert_eq!(
            Pin::parse("402817", six, &code("E7")).unwrap().reveal(),
            "402817"
        );
        for text in [
            "",
            "40281",
            "4028171",
            "40281x",
            "４０２８１７",
            "+40281",
            " 402817",
        ] {
            let refused = Pin::parse(text, six, &code("E7"));
            assert_eq!(refused, Err(PinError::NotAPin(six)), "{text}");
        }
        for text in [
            "111111", "123456", "654321", "789012", "210987", "121212", "123123", "004711",
        ] {
            let refused = Pin::parse(text, six, &code("4711"));
            assert_eq!(refused, Err(PinError::Guessable), "{text}");
        }
        for number in ["402817", "E402817", "E-4028-17", "9402817"] {
            let refused = Pin::parse("402817", six, &code(number));
            assert_eq!(refused, Err(PinError::Guessable), "{number}");
        }
        for text in ["0000", "1234", "4711"] {
            let refused = Pin::parse(text, digits(4), &code("4711"));
            assert_eq!(refused, Err(PinError::Guessable), "{text}");
        }
        assert!(Pin::parse("1235", digits(4), &code("4711")).is_ok());
        assert_eq!(PinDigits::try_from(3), Err(NoPinDigits));
        assert_eq!(PinDigits::try_from(9), Err(NoPinDigits));
    }

    #[test]
    fn the_fifth_try_locks_unless_it_is_right() {
        let at = Timestamp::UNIX_EPOCH;
        let mut pin = StoredPin::new("hash".to_owned(), at, Actor::Operator);
        for tries in 1..=StoredPin::MOST_TRIES {
            assert!(!pin.is_locked());
            pin = pin.tried(at).unwrap();
            assert_eq!(pin.tries, tries);
        }
        assert!(pin.is_locked());
        assert_eq!(pin.clone().tried(at), None);
        let again = pin.unlocked();
        assert_eq!((again.tries, again.is_locked()), (0, false));
    }

    #[test]
    fn secrets_are_not_printed() {
        let pin = Pin::parse("402817", PinDigits::default(), &code("E7")).unwrap();
        let badge = BadgeCode::parse(&"402817".repeat(5)).unwrap();
        let stored = StoredPin::new(
            "$argon2id$".to_owned(),
            Timestamp::UNIX_EPOCH,
            Actor::System,
        );
        let printed = format!("{pin:?} {badge:?} {stored:?}");
        assert!(
            !printed.contains("402817") && !printed.contains("argon2"),
            "{printed}"
        );
    }

    proptest! {
        #[test]
        fn a_random_pin_is_one_that_a_person_could_set(random: [u8; 32], count in 4u8..=8) {
            if let Some(pin) = Pin::from_random(&random, digits(count), &code("4711")) {
                prop_assert_eq!(Pin::parse(pin.reveal(), digits(count), &code("4711")), Ok(pin));
            }
        }

        #[test]
        fn a_badge_is_read_however_it_is_spaced(random: [u8; 64], every in 1usize..10) {
            let badge = BadgeCode::from_random(&random);
            prop_assume!(badge.is_some());
            let badge = badge.unwrap();
            let spaced: Vec<String> = badge.reveal().as_bytes().chunks(every)
                .map(|part| String::from_utf8_lossy(part).into_owned()).collect();
            prop_assert_eq!(BadgeCode::parse(&spaced.join(" ")), Some(badge.clone()));
            prop_assert_eq!(BadgeCode::parse(&(spaced.join("-") + "\r\n")), Some(badge.clone()));
            prop_assert_eq!(BadgeCode::parse(&(badge.reveal().to_owned() + "1")), None);
        }
    }
}
