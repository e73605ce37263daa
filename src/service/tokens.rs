//! Tokens: secrets that a browser, a device or an invitation carries. Only their hash is stored.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::{clock::Clock, domain::accounts::TokenHash};

/// 256 random bits in base64url: shown once, never stored, never printed.
#[derive(Clone)]
pub struct Token(Zeroizing<String>);

impl Token {
    /// Makes a new one.
    pub fn mint(clock: &dyn Clock) -> Self {
        Self(Zeroizing::new(
            URL_SAFE_NO_PAD.encode(Zeroizing::new(clock.secret()).as_slice()),
        ))
    }

    /// The text to hand over.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is stored of it.
    pub fn hash(&self) -> TokenHash {
        hash(&self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// The hash under which a presented token would be stored. A fast hash is enough for 256
/// random bits, and looking it up tells nothing of them by its timing.
pub fn hash(token: &str) -> TokenHash {
    TokenHash(Sha256::digest(token.as_bytes()).into())
}
