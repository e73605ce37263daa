//! The vault: seals templates and photos with AES-256-GCM, bound to their owners.

use std::{collections::BTreeMap, fmt};

use aes_gcm::{
    Aes256Gcm, Key, KeyInit, Nonce,
    aead::{Aead, Payload},
};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::domain::{
    biometrics::{Embedding, ModelId},
    ids::{EmployeeId, PictureId},
    pictures::{Picture, Pictured},
    sealed::{Binding, Sealed, SealedPart},
};

/// Why a value could not be sealed or opened. A value that fails to authenticate is never returned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// It was sealed with a key that this instance does not have.
    #[error("sealed with key {0}, which this instance does not have: check TEMPLATE_KEY")]
    UnknownKey(String),
    /// It was altered, or moved from another owner.
    #[error("failed to authenticate: it was altered, or moved from another record")]
    Forged,
    /// It was opened, but is not an embedding.
    #[error("opened, but it is not an embedding")]
    NotAnEmbedding,
    /// Sealing failed.
    #[error("could not be sealed")]
    Seal,
}

/// The keys that seal and open templates and photos.
pub struct Vault {
    /// The ID of the key that seals; all keys open.
    sealing: String,
    keys: BTreeMap<String, Aes256Gcm>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Vault(seals with {}, {} keys)",
            self.sealing,
            self.keys.len()
        )
    }
}

impl Vault {
    /// Creates a vault that seals with `key`, and opens with it and the `older` keys.
    pub fn new(key: &Zeroizing<[u8; 32]>, older: &[Zeroizing<[u8; 32]>]) -> Self {
        let keys = older
            .iter()
            .chain([key])
            .map(|key| (key_id(key), Aes256Gcm::new(&Key::<Aes256Gcm>::from(**key))))
            .collect();
        Self {
            sealing: key_id(key),
            keys,
        }
    }

    /// Returns the ID of the key that seals.
    pub fn key_id(&self) -> &str {
        &self.sealing
    }

    /// Returns the IDs of the keys that only open.
    pub fn older_ids(&self) -> Vec<&str> {
        let ids = self.keys.keys().map(String::as_str);
        ids.filter(|id| *id != self.sealing).collect()
    }

    /// Checks whether the vault has the key with this ID.
    pub fn has(&self, key_id: &str) -> bool {
        self.keys.contains_key(key_id)
    }

    /// Seals an embedding for one employee and model.
    pub fn seal_embedding(
        &self,
        nonce: [u8; 12],
        employee: EmployeeId,
        model: &ModelId,
        embedding: &Embedding,
    ) -> Result<Sealed, VaultError> {
        let bytes: Zeroizing<Vec<u8>> = Zeroizing::new(
            embedding
                .as_slice()
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect(),
        );
        self.seal(nonce, &bytes, &Binding::Template(employee, model))
    }

    /// Opens what [`seal_embedding`](Self::seal_embedding) sealed for the same employee and model.
    pub fn open_embedding(
        &self,
        sealed: &Sealed,
        employee: EmployeeId,
        model: &ModelId,
    ) -> Result<Embedding, VaultError> {
        let bytes = self.open(sealed, &Binding::Template(employee, model))?;
        let (values, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(VaultError::NotAnEmbedding);
        }
        let values = values
            .iter()
            .map(|&value| f32::from_le_bytes(value))
            .collect();
        Embedding::normalize(values).ok_or(VaultError::NotAnEmbedding)
    }

    /// Seals a photo for one employee.
    pub fn seal_photo(
        &self,
        nonce: [u8; 12],
        employee: EmployeeId,
        photo: &[u8],
    ) -> Result<Sealed, VaultError> {
        self.seal(nonce, photo, &Binding::Photo(employee))
    }

    /// Opens what [`seal_photo`](Self::seal_photo) sealed for the same employee.
    pub fn open_photo(
        &self,
        sealed: &Sealed,
        employee: EmployeeId,
    ) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        self.open(sealed, &Binding::Photo(employee))
    }

    /// Seals a picture for its ID and the person whom it shows.
    pub fn seal_picture(
        &self,
        nonce: [u8; 12],
        id: PictureId,
        of: Pictured,
        picture: &[u8],
    ) -> Result<Sealed, VaultError> {
        self.seal(nonce, picture, &of.binding(id))
    }

    /// Opens what [`seal_picture`](Self::seal_picture) sealed, if the record is unchanged.
    pub fn open_picture(&self, picture: &Picture) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        self.open(&picture.sealed, &picture.of.binding(picture.id))
    }

    /// Seals a part of a record again with the current key; returns `None` if it already is.
    pub fn reseal(
        &self,
        nonce: [u8; 12],
        part: &SealedPart<'_>,
    ) -> Option<Result<Sealed, VaultError>> {
        let SealedPart { binding, sealed } = part;
        let again = |plain: Zeroizing<Vec<u8>>| self.seal(nonce, &plain, binding);
        self.is_older(sealed)
            .then(|| self.open(sealed, binding).and_then(again))
    }

    /// Checks whether a value was sealed with an older key.
    pub fn is_older(&self, sealed: &Sealed) -> bool {
        sealed.key_id != self.sealing
    }

    /// Seals a value for a cache key; it does not open under another cache key.
    pub fn seal_cached(
        &self,
        nonce: [u8; 12],
        key: &str,
        plain: &[u8],
    ) -> Result<Sealed, VaultError> {
        self.seal(nonce, plain, &Binding::Cached(key))
    }

    /// Opens what [`seal_cached`](Self::seal_cached) sealed for the same key.
    pub fn open_cached(
        &self,
        sealed: &Sealed,
        key: &str,
    ) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        self.open(sealed, &Binding::Cached(key))
    }

    /// Seals bytes for their owner.
    pub fn seal(
        &self,
        nonce: [u8; 12],
        plain: &[u8],
        binding: &Binding<'_>,
    ) -> Result<Sealed, VaultError> {
        let key = self.keys.get(&self.sealing).ok_or(VaultError::Seal)?;
        let binding = binding.to_string();
        let payload = Payload {
            msg: plain,
            aad: binding.as_bytes(),
        };
        let ciphertext = key
            .encrypt(&Nonce::from(nonce), payload)
            .map_err(|_| VaultError::Seal)?;
        Ok(Sealed {
            key_id: self.sealing.clone(),
            nonce,
            ciphertext,
        })
    }

    /// Opens what [`seal`](Self::seal) sealed for the same owner.
    pub fn open(
        &self,
        sealed: &Sealed,
        binding: &Binding<'_>,
    ) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let key = self
            .keys
            .get(&sealed.key_id)
            .ok_or_else(|| VaultError::UnknownKey(sealed.key_id.clone()))?;
        let binding = binding.to_string();
        let payload = Payload {
            msg: &sealed.ciphertext,
            aad: binding.as_bytes(),
        };
        key.decrypt(&Nonce::from(sealed.nonce), payload)
            .map(Zeroizing::new)
            .map_err(|_| VaultError::Forged)
    }
}

/// Returns the ID of a key: the first 8 hexadecimal digits of the SHA-256 of a label and the key,
/// which do not reveal the key.
fn key_id(key: &[u8; 32]) -> String {
    let digest = Sha256::new()
        .chain_update(b"rollcall key id")
        .chain_update(key)
        .finalize();
    hex::encode(&digest[..4])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn employee(number: u128) -> EmployeeId {
        EmployeeId::new(uuid::Uuid::from_u128(number))
    }

    #[test]
    fn opens_only_for_the_same_employee_model_and_key() {
        let vault = Vault::new(&Zeroizing::new([7; 32]), &[]);
        let (model, other) = (ModelId::new("a"), ModelId::new("b"));
        let embedding = Embedding::normalize(vec![3.0, 4.0]).unwrap();
        let sealed = vault
            .seal_embedding([1; 12], employee(1), &model, &embedding)
            .unwrap();
        assert_eq!(
            vault.open_embedding(&sealed, employee(1), &model).unwrap(),
            embedding
        );
        assert_eq!(
            vault.open_embedding(&sealed, employee(2), &model),
            Err(VaultError::Forged)
        );
        assert_eq!(
            vault.open_embedding(&sealed, employee(1), &other),
            Err(VaultError::Forged)
        );
        let mut altered = sealed.clone();
        altered.ciphertext[0] ^= 1;
        assert_eq!(
            vault.open_embedding(&altered, employee(1), &model),
            Err(VaultError::Forged)
        );
        let stranger = Vault::new(&Zeroizing::new([8; 32]), &[]);
        assert_eq!(
            stranger.open_embedding(&sealed, employee(1), &model),
            Err(VaultError::UnknownKey(sealed.key_id.clone()))
        );
        let rotated = Vault::new(&Zeroizing::new([8; 32]), &[Zeroizing::new([7; 32])]);
        assert_eq!(
            rotated
                .open_embedding(&sealed, employee(1), &model)
                .unwrap(),
            embedding
        );
        assert_ne!(rotated.key_id(), vault.key_id());
    }

    #[test]
    fn a_photo_opens_only_for_its_employee() {
        let vault = Vault::new(&Zeroizing::new([7; 32]), &[]);
        let sealed = vault.seal_photo([2; 12], employee(1), b"jpeg").unwrap();
        assert_eq!(
            vault.open_photo(&sealed, employee(1)).unwrap().as_slice(),
            b"jpeg"
        );
        assert_eq!(
            vault.open_photo(&sealed, employee(2)).unwrap_err(),
            VaultError::Forged
        );
    }

    #[test]
    fn a_picture_opens_only_for_the_person_it_shows() {
        use crate::domain::{
            attendance::Origin,
            ids::{DeviceId, PunchId, SiteId},
        };
        let vault = Vault::new(&Zeroizing::new([7; 32]), &[]);
        let number = uuid::Uuid::from_u128;
        let punch = |who| Pictured::Punch {
            punch: PunchId::new(number(5)),
            employee: employee(who),
        };
        let id = PictureId::new(number(1));
        let sealed = vault.seal_picture([2; 12], id, punch(1), b"jpeg").unwrap();
        let stored = |id, of| Picture {
            id,
            at: jiff::Timestamp::UNIX_EPOCH,
            of,
            site: SiteId::DEFAULT,
            origin: Origin::Device(DeviceId::new(number(9))),
            sealed: sealed.clone(),
        };
        let opened = |id, of| vault.open_picture(&stored(id, of));
        assert_eq!(opened(id, punch(1)).unwrap().as_slice(), b"jpeg");
        for forged in [
            stored(id, punch(2)),
            stored(id, Pictured::Unknown),
            stored(PictureId::new(number(2)), punch(1)),
        ] {
            assert_eq!(vault.open_picture(&forged).unwrap_err(), VaultError::Forged);
        }
    }
}
