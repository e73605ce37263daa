//! Tokens: secrets of browsers, devices and invitations. Only their hash is stored.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::{clock::Clock, domain::accounts::TokenHash};

/// The beginning of API tokens, by which scanners find those that were published by mistake.
const API_PREFIX: &str = "rc_";

/// The length of 32 bytes in base64url.
const LENGTH: usize = 43;

/// Checks whether a token has the form of an API token. The token of a device may begin in the same
/// way by chance, but is shorter.
pub fn is_for_api(token: &str) -> bool {
    let rest = token.strip_prefix(API_PREFIX);
    rest.is_some_and(|rest| rest.len() == LENGTH)
}

/// 256 random bits in base64url: shown once, never stored, never printed.
#[derive(Clone)]
pub struct Token(Zeroizing<String>);

impl Token {
    /// Makes a new token.
    pub fn mint(clock: &dyn Clock) -> Self {
        Self(Zeroizing::new(
            URL_SAFE_NO_PAD.encode(Zeroizing::new(clock.secret()).as_slice()),
        ))
    }

    /// Reads a token that its bearer sent back; `None` if the text is not of the form of tokens.
    pub fn read(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok().map(Zeroizing::new)?;
        (bytes.len() == 32).then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// Makes a new API token.
    pub fn mint_for_api(clock: &dyn Clock) -> Self {
        Self(Zeroizing::new(format!(
            "{API_PREFIX}{}",
            Self::mint(clock).reveal()
        )))
    }

    /// Returns the text for its bearer.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Returns the hash that is stored.
    pub fn hash(&self) -> TokenHash {
        hash(&self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Returns the hash under which a token is stored. A fast hash is enough for 256 random bits, and the
/// duration of a look-up by hash reveals nothing about the token.
pub fn hash(token: &str) -> TokenHash {
    TokenHash(Sha256::digest(token.as_bytes()).into())
}
