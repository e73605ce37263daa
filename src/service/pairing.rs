//! Pairs a kiosk by a short code: the kiosk shows it, an admin types it, and the kiosk collects its
//! token. A pairing is not a record, because it ends within minutes.

use std::{future::Future, net::IpAddr, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    application_cache::AppCache,
    devices::{DeviceError, DeviceSettings, Devices},
    tokens::{self, Token},
    typed_codes,
};
use crate::{
    clock::Clock,
    domain::{accounts::Actor, devices::Device, ids::DeviceId},
};

/// How long a code can be used.
pub const PAIRING: Duration = Duration::from_mins(10);

/// How long a token can be collected after it was collected first.
const COLLECTED: Duration = Duration::from_mins(1);

/// The length of a code. Eight letters are 40 bits, too many to guess in ten minutes.
const LENGTH: usize = 8;

/// Why a kiosk was not paired.
#[derive(Debug, thiserror::Error)]
pub enum PairingError {
    /// No kiosk shows this code.
    #[error("no kiosk shows this code now: read it again, or add the device without a code")]
    NoSuchCode,
    /// The device cannot be registered.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

/// A pairing for a kiosk.
#[derive(Debug)]
pub struct Offer {
    /// The code that the kiosk shows.
    pub code: String,
    /// The secret with which the kiosk collects its token.
    pub secret: Token,
}

/// The progress of a pairing.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// No admin has typed the code yet.
    Waiting,
    /// The token of the device, for a minute.
    Paired(String),
    /// The pairing has expired or never existed.
    Unknown,
}

/// The kiosk that asked for a code, so that an admin can tell it from one of a stranger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asker {
    /// Its address.
    pub address: IpAddr,
    /// When it asked.
    pub at: Timestamp,
}

/// A pairing in the cache, under the hash of its secret.
#[derive(Serialize, Deserialize)]
struct Pending {
    asker: Asker,
    token: Option<String>,
    collected: bool,
}

/// Pairs kiosks.
#[derive(derive_new::new)]
pub struct Pairing {
    /// Its default lifetime is [`PAIRING`].
    cache: AppCache,
    devices: Arc<Devices>,
    clock: Arc<dyn Clock>,
}

impl Pairing {
    /// Begins a pairing for a kiosk at an address.
    pub async fn offer(&self, address: IpAddr) -> Offer {
        let code = typed_codes::mint(&*self.clock, LENGTH);
        let secret = Token::mint(&*self.clock);
        let hash = secret.hash().to_hex();
        let at = self.clock.now();
        let pairing = Pending {
            asker: Asker { address, at },
            token: None,
            collected: false,
        };
        self.cache.set(&format!("secret:{hash}"), &pairing).await;
        self.cache.set(&format!("code:{code}"), &hash).await;
        Offer { code, secret }
    }

    /// Returns the progress of a pairing by its secret. A token can be collected for a minute, in case
    /// a response is lost.
    pub async fn collect(&self, secret: &str) -> Progress {
        let key = format!("secret:{}", tokens::hash(secret).to_hex());
        match self.cache.get::<Pending>(&key).await {
            None => Progress::Unknown,
            Some(Pending {
                asker,
                token: Some(token),
                collected,
            }) => {
                if !collected {
                    let pairing = Pending {
                        asker,
                        token: Some(token.clone()),
                        collected: true,
                    };
                    self.cache.set_for(&key, &pairing, COLLECTED).await;
                }
                Progress::Paired(token)
            }
            Some(_) => Progress::Waiting,
        }
    }

    /// Returns the kiosk that shows a code. The code stays valid.
    ///
    /// # Errors
    /// When no kiosk shows the code.
    pub async fn look(&self, code: &str) -> Result<Asker, PairingError> {
        let code = typed_codes::normalize(code);
        let hash: Option<String> = self.cache.get(&format!("code:{code}")).await;
        let hash = hash.ok_or(PairingError::NoSuchCode)?;
        let pairing: Option<Pending> = self.cache.get(&format!("secret:{hash}")).await;
        Ok(pairing.ok_or(PairingError::NoSuchCode)?.asker)
    }

    /// Registers the kiosk that shows a code.
    ///
    /// # Errors
    /// When no kiosk shows the code, or the store fails; then nothing was registered.
    pub async fn register(
        &self,
        actor: Actor,
        code: &str,
        new: DeviceSettings,
    ) -> Result<Device, PairingError> {
        self.pair(code, self.devices.register(actor, new)).await
    }

    /// Makes the kiosk that shows a code an existing device, in place of the one that was.
    ///
    /// # Errors
    /// When no kiosk shows the code, there is no such device, or the store fails; then the device
    /// keeps its token.
    pub async fn replace(
        &self,
        actor: Actor,
        code: &str,
        device: DeviceId,
    ) -> Result<Device, PairingError> {
        self.pair(code, self.devices.replace_token(actor, device))
            .await
    }

    /// Gives the kiosk that shows a code the token that `make` makes.
    async fn pair(
        &self,
        code: &str,
        make: impl Future<Output = Result<(Device, Token), DeviceError>>,
    ) -> Result<Device, PairingError> {
        let code_key = format!("code:{}", typed_codes::normalize(code));
        let asker = self.look(code).await?;
        let hash: Option<String> = self.cache.get(&code_key).await;
        let hash = hash.ok_or(PairingError::NoSuchCode)?;
        // If two admins type the code at the same time, one of them pairs the kiosk.
        if !self.cache.delete(&code_key).await {
            return Err(PairingError::NoSuchCode);
        }
        let (device, token) = match make.await {
            Ok(made) => made,
            Err(error) => {
                // The code may be typed again.
                self.cache.set(&code_key, &hash).await;
                return Err(error.into());
            }
        };
        let pairing = Pending {
            asker,
            token: Some(token.reveal().to_owned()),
            collected: false,
        };
        self.cache.set(&format!("secret:{hash}"), &pairing).await;
        Ok(device)
    }
}
