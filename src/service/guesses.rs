//! Limits on guessing passwords, by account.
//!
//! Browsers in which the person signed in before are counted each by itself; all others share the
//! count of the account. A stranger can use up the latter, but not lock the person out of a browser
//! that they use (OWASP's "device cookies"). Addresses without an account are counted in the same
//! way, so that the answers do not reveal which addresses have one.

use std::{sync::Arc, time::Duration};

use super::tokens;
use crate::{
    domain::{
        accounts::{Session, TokenHash},
        ids::AccountId,
    },
    ports::{Quota, RateLimits},
};

/// Wrong passwords that count together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guesser(String);

impl Guesser {
    /// All browsers that an email address does not know. `address` is normalized.
    pub fn stranger(address: &str) -> Self {
        // Hashed, because it may be long, and no address of a person.
        Self(format!("guess:address:{}", tokens::hash(address)))
    }

    /// One browser that an account knows.
    pub fn browser(account: AccountId, token: TokenHash) -> Self {
        Self(format!("guess:browser:{account}:{token}"))
    }

    /// One session, for its person to confirm who they are.
    pub fn session(session: &Session) -> Self {
        Self(format!("guess:session:{}", session.id()))
    }
}

/// Counts wrong passwords, together with all instances.
#[derive(derive_new::new)]
pub struct Guesses {
    limits: Arc<dyn RateLimits>,
    /// `None` if there is no limit.
    quota: Option<Quota>,
}

impl Guesses {
    /// Counts a try before it is made, so that many at the same time are counted, too.
    ///
    /// # Errors
    /// The time until the next try is allowed.
    pub async fn count(&self, guesser: &Guesser) -> Result<(), Duration> {
        let Some(quota) = self.quota else {
            return Ok(());
        };
        let verdict = self.limits.check(&guesser.0, quota).await;
        match verdict.allowed {
            true => Ok(()),
            false => Err(verdict.reset),
        }
    }

    /// Takes back a try, because it was right.
    pub async fn was_right(&self, guesser: &Guesser) {
        if self.quota.is_some() {
            self.limits.take_back(&guesser.0).await;
        }
    }
}
