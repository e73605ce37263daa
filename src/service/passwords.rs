//! Passwords: which new ones are accepted, and how they and PINs are hashed.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;
use zxcvbn::{Score, zxcvbn};

use crate::domain::text::{Email, Name};

/// Minimum length of a new password in characters. Shorter ones go on working.
pub const PASSWORD_LEAST: usize = 12;
/// Maximum length of a password in characters. It is enough for any phrase and bounds the cost of
/// the hash.
pub const PASSWORD_MOST: usize = 256;

/// The least score of zxcvbn: 3 means that a password takes at least 10^8 guesses. With the limits on
/// guessing, an attacker has about 10^5 guesses a year for an account.
const SCORE_LEAST: Score = Score::Three;

/// The number of characters that are scored. The time grows faster than the length.
const SCORED: usize = 64;

/// The length from which the name or a part of the address must not occur in the password.
const TELLING: usize = 4;

/// The length from which they must not occur with other characters between their letters.
const LONG: usize = 8;

/// Why a new password is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// It is too short or too long.
    #[error("a password has {PASSWORD_LEAST} to {PASSWORD_MOST} characters")]
    Length,
    /// It contains a word that everybody who attacks the account tries first.
    #[error("a password must not contain {0:?}: choose other words")]
    Contains(String),
    /// It is common, or follows a pattern that programs for guessing try early.
    #[error("this password is easy to guess: {0}")]
    Guessable(String),
}

/// Checks a new password of an account.
///
/// # Errors
/// Why it is refused.
pub fn check_password(
    password: &SecretString,
    email: &Email,
    name: &Name,
) -> Result<(), PasswordError> {
    let password = password.expose_secret();
    let length = password.chars().count();
    if !(PASSWORD_LEAST..=PASSWORD_MOST).contains(&length) {
        return Err(PasswordError::Length);
    }
    let lowercase = password.to_lowercase();
    let local = email.as_str().split('@').next().unwrap_or_default();
    let local = local.split('+').next().unwrap_or_default();
    let name = name.key();
    let letters = |text: &str| -> String { text.chars().filter(|c| c.is_alphanumeric()).collect() };
    let together = letters(&lowercase);
    for word in ["rollcall", local, &name] {
        let bare = letters(word);
        let length = bare.chars().count();
        // A long word counts without the characters between its parts, too.
        let inside = lowercase.contains(word) || length >= LONG && together.contains(&bare);
        if length >= TELLING && inside {
            return Err(PasswordError::Contains(word.to_owned()));
        }
    }
    let known = |c: char| !c.is_alphanumeric();
    let mut words: Vec<&str> = email.as_str().split(known).collect();
    words.extend(name.split(known));
    words.push("rollcall");
    let scored: String = password.chars().take(SCORED).collect();
    let estimate = zxcvbn(&scored, &words);
    match estimate.score() >= SCORE_LEAST {
        true => Ok(()),
        false => Err(PasswordError::Guessable(advice(&estimate))),
    }
}

/// Says what is wrong with a password and what helps, in lowercase and without a period.
fn advice(estimate: &zxcvbn::Entropy) -> String {
    let feedback = estimate.feedback();
    let warning = feedback.and_then(zxcvbn::feedback::Feedback::warning);
    let warning = warning.map(|warning| warning.to_string());
    let mut parts: Vec<String> = warning.into_iter().collect();
    parts.push("Use four or more words that do not belong together.".to_owned());
    let parts = parts.iter().map(|part| {
        let part = part.trim_end_matches('.');
        let mut letters = part.chars();
        let first = letters.next().map(|first| first.to_lowercase().to_string());
        first.unwrap_or_default() + letters.as_str()
    });
    parts.collect::<Vec<_>>().join("; ")
}

/// The error for a password or PIN that could not be hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the secret could not be hashed")]
pub struct HashError;

/// The work of a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashCost {
    /// The memory, KiB.
    pub memory: u32,
    /// The number of passes over it.
    pub passes: u32,
}

impl HashCost {
    /// The set of OWASP's recommendations for argon2id with the most memory. All sets take about the
    /// same time here; memory is what makes guessing on graphics cards expensive.
    pub const STRONG: Self = Self {
        memory: 46 * 1024,
        passes: 1,
    };

    /// The least that argon2 can do, for tests.
    pub const LEAST: Self = Self {
        memory: Params::MIN_M_COST,
        passes: Params::MIN_T_COST,
    };

    fn argon2(self) -> Option<Argon2<'static>> {
        let params = Params::new(self.memory, self.passes, 1, None).ok()?;
        Some(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
    }

    /// Checks whether a hash was made with less work, or in another way.
    pub fn exceeds(self, hash: &str) -> bool {
        let Ok(hash) = PasswordHash::new(hash) else {
            return true;
        };
        let params = Params::try_from(&hash).ok();
        let enough =
            |params: &Params| params.m_cost() >= self.memory && params.t_cost() >= self.passes;
        hash.algorithm.as_str() != "argon2id" || !params.as_ref().is_some_and(enough)
    }
}

/// Maximum number of passwords hashed at a time; each takes 46 MiB.
const HASHED_AT_ONCE: usize = 2;
static HASHING: Semaphore = Semaphore::const_new(HASHED_AT_ONCE);

/// Does work with passwords on a blocking thread, not too much at a time. `None` if it panicked.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let _turn = HASHING.acquire().await;
    tokio::task::spawn_blocking(work).await.ok()
}

/// Checks and hashes a new password of an account. `None` if hashing failed.
pub(super) async fn hash_new(
    password: SecretString,
    email: Email,
    name: Name,
    cost: HashCost,
) -> Result<Option<String>, PasswordError> {
    let work = move || {
        check_password(&password, &email, &name)?;
        Ok(hash_with(&password, cost))
    };
    blocking(work).await.unwrap_or(Ok(None))
}

/// Hashes a password that was accepted before. `None` if hashing failed.
pub(super) async fn hash(password: SecretString, cost: HashCost) -> Option<String> {
    blocking(move || hash_with(&password, cost)).await?
}

fn hash_with(password: &SecretString, cost: HashCost) -> Option<String> {
    let argon2 = cost.argon2()?;
    let hash: Result<PasswordHash, _> = argon2.hash_password(password.expose_secret().as_bytes());
    hash.ok().map(|hash| hash.to_string())
}

/// Checks a password against a PHC string, with the work that the string says. Returns false if the
/// string is not valid.
pub(super) async fn verify(password: SecretString, hash: String) -> bool {
    let work = move || {
        PasswordHash::new(&hash).is_ok_and(|hash| {
            let password = password.expose_secret().as_bytes();
            password.len() <= 4 * PASSWORD_MOST
                && Argon2::default().verify_password(password, &hash).is_ok()
        })
    };
    blocking(work).await.unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(password: &str) -> Result<(), PasswordError> {
        let email = Email::parse("grace.hopper@navy.example").unwrap();
        let name = Name::parse("Grace Brewster Hopper").unwrap();
        check_password(&password.into(), &email, &name)
    }

    #[test]
    fn phrases_and_random_passwords_are_accepted() {
        for password in [
            "correct horse battery",
            "a long pass phrase",
            "vK7#pQ2!xR9z",
            "Zwölf Boxkämpfer jagen Viktor",
            "дождь лампа восемь кит",
            &"lamp river ".repeat(23),
        ] {
            assert_eq!(check(password), Ok(()), "{password}");
        }
    }

    #[test]
    fn passwords_that_are_guessed_early_are_refused_with_advice() {
        for password in [
            "passwordpassword",
            "password1234",
            "Password2026!",
            "123456789012",
            "qwertyuiop123",
            "aaaaaaaaaaaaaaaa",
            "abcabcabcabcabc",
            "iloveyouiloveyou",
            "brewsterhopper",
        ] {
            let refused = check(password);
            let Err(PasswordError::Guessable(advice)) = refused else {
                panic!("{password}: {refused:?}");
            };
            assert!(
                advice.contains("four or more words"),
                "{password}: {advice}"
            );
            assert!(!advice.ends_with('.'), "{advice}");
        }
    }

    #[test]
    fn length_address_and_product_are_checked() {
        assert_eq!(check("vK7#pQ2!xR9"), Err(PasswordError::Length));
        assert_eq!(check(&"lamp river ".repeat(24)), Err(PasswordError::Length));
        let contains = |word: &str| Err(PasswordError::Contains(word.to_owned()));
        assert_eq!(check("blue RollCall umbrella"), contains("rollcall"));
        assert_eq!(check("my grace.hopper umbrella"), contains("grace.hopper"));
        let email = Email::parse("office@example.org").unwrap();
        let name = Name::parse("Mia Manager").unwrap();
        for password in ["Mia Manager 2026!", "xx-miamanager-1906-xx"] {
            let checked = check_password(&password.into(), &email, &name);
            assert_eq!(checked, contains("mia manager"), "{password}");
        }
        // A short part of an address is in many words.
        let (email, name) = (Email::parse("al@b.example"), Name::parse("Al"));
        let accepted = check_password(
            &"metal otter umbrella".into(),
            &email.unwrap(),
            &name.unwrap(),
        );
        assert_eq!(accepted, Ok(()));
    }

    #[test]
    fn long_passwords_are_scored_in_bounded_time() {
        let begin = std::time::Instant::now();
        for password in ["a".repeat(256), "aA1!".repeat(64), "password".repeat(32)] {
            let _ = check(&password);
        }
        let took = begin.elapsed();
        assert!(took.as_secs() < 5, "{took:?}");
    }

    #[test]
    fn a_hash_with_less_work_is_made_again() {
        let hash = |memory, passes| {
            hash_with(&"correct horse battery".into(), HashCost { memory, passes }).unwrap()
        };
        let cost = HashCost {
            memory: 64,
            passes: 2,
        };
        for (memory, passes, again) in [
            (64, 2, false),
            (128, 3, false),
            (32, 2, true),
            (64, 1, true),
        ] {
            assert_eq!(cost.exceeds(&hash(memory, passes)), again);
        }
        assert!(cost.exceeds("$argon2i$v=19$m=64,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2g"));
        assert!(cost.exceeds("nonsense"));
    }
}
