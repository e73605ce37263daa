//! Pairing a kiosk by a short code: the kiosk shows it, an admin types it, and the kiosk fetches its
//! token. Nothing of it is a record: it is over in minutes, or was never.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    application_cache::AppCache,
    devices::Devices,
    tokens::{self, Token},
};
use crate::{
    clock::Clock,
    domain::{
        accounts::Actor,
        devices::Device,
        text::{Name, SiteName},
    },
    ports::StoreError,
};

/// How long a code can be used.
pub const PAIRING: Duration = Duration::from_mins(10);

/// How long a token is told after it was told first.
const TOLD: Duration = Duration::from_mins(1);

/// Crockford's base 32: no letter that is taken for a digit or another one.
const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Eight letters are 40 bits, of which nobody guesses one in ten minutes.
const LENGTH: usize = 8;

/// Why a kiosk was not paired.
#[derive(Debug, thiserror::Error)]
pub enum PairingError {
    /// No kiosk shows this code.
    #[error("no kiosk shows this code now: read it again, or add the device without a code")]
    NoSuchCode,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a kiosk gets that wants to be paired.
#[derive(Debug)]
pub struct Offer {
    /// What it shows.
    pub code: String,
    /// What it proves with that it is the one that shows it.
    pub secret: Token,
}

/// How far a pairing is.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nobody has typed the code yet.
    Waiting,
    /// The device's token, told for a minute.
    Paired(String),
    /// It is over, or was never.
    Unknown,
}

/// A pairing as it is kept, under the hash of its secret.
#[derive(Serialize, Deserialize)]
struct Kept {
    token: Option<String>,
    told: bool,
}

/// Pairings.
pub struct Pairing {
    cache: AppCache,
    devices: Arc<Devices>,
    clock: Arc<dyn Clock>,
}

impl Pairing {
    /// In a cache whose time-out is [`PAIRING`].
    pub fn new(cache: AppCache, devices: Arc<Devices>, clock: Arc<dyn Clock>) -> Self {
        Self {
            cache,
            devices,
            clock,
        }
    }

    /// A code for a kiosk to show.
    pub async fn offer(&self) -> Offer {
        let random = self.clock.secret();
        let letter = |byte: &u8| char::from(LETTERS[usize::from(byte % 32)]);
        let code: String = random[..LENGTH].iter().map(letter).collect();
        let secret = Token::mint(&*self.clock);
        let hash = secret.hash().to_hex();
        let kept = Kept {
            token: None,
            told: false,
        };
        self.cache.set(&format!("secret:{hash}"), &kept).await;
        self.cache.set(&format!("code:{code}"), &hash).await;
        Offer { code, secret }
    }

    /// How far the pairing is whose secret this is; a token is told for a minute, in case an
    /// answer is lost on its way.
    pub async fn collect(&self, secret: &str) -> Progress {
        let key = format!("secret:{}", tokens::hash(secret).to_hex());
        match self.cache.get::<Kept>(&key).await {
            None => Progress::Unknown,
            Some(Kept {
                token: Some(token),
                told,
            }) => {
                if !told {
                    let kept = Kept {
                        token: Some(token.clone()),
                        told: true,
                    };
                    self.cache.set_for(&key, &kept, TOLD).await;
                }
                Progress::Paired(token)
            }
            Some(_) => Progress::Waiting,
        }
    }

    /// Registers the kiosk that shows a code.
    ///
    /// # Errors
    /// When none shows it, or the store fails; then nothing was registered.
    pub async fn register(
        &self,
        actor: Actor,
        code: &str,
        name: Name,
        site: Option<SiteName>,
    ) -> Result<Device, PairingError> {
        let code = spoken(code);
        let code_key = format!("code:{code}");
        let hash: Option<String> = self.cache.get(&code_key).await;
        let hash = hash.ok_or(PairingError::NoSuchCode)?;
        // Typed once: of two admins, one pairs it.
        if !self.cache.delete(&code_key).await {
            return Err(PairingError::NoSuchCode);
        }
        let (device, token) = match self.devices.register(actor, name, site).await {
            Ok(registered) => registered,
            Err(error) => {
                // The code may be typed again.
                self.cache.set(&code_key, &hash).await;
                return Err(error.into());
            }
        };
        let kept = Kept {
            token: Some(token.reveal().to_owned()),
            told: false,
        };
        self.cache.set(&format!("secret:{hash}"), &kept).await;
        Ok(device)
    }
}

/// A code as people type it: in any case, with spaces and hyphens, with the letters that Crockford's
/// alphabet leaves out for the digits they look like.
fn spoken(code: &str) -> String {
    let letters = code.chars().filter(|letter| letter.is_alphanumeric());
    letters
        .map(|letter| match letter.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            letter => letter,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_as_people_type_them() {
        assert_eq!(spoken("k7pm-3xq2"), "K7PM3XQ2");
        assert_eq!(spoken(" KoIL 3xq2 "), "K0113XQ2");
    }
}
