//! Values that the vault has sealed, and the owners that they are bound to.

use serde::{Deserialize, Serialize};

use super::{
    biometrics::ModelId,
    ids::{AccountId, DeliveryId, EmployeeId, PictureId, PunchId, WebhookId},
};

/// A value sealed with AES-256-GCM; only the vault can create and open it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// The ID of the key.
    pub key_id: String,
    /// The 96-bit nonce.
    #[serde(with = "base64_text")]
    pub nonce: [u8; 12],
    /// Ciphertext and tag. Empty in the JSON of a record whose blob it is.
    #[serde(with = "base64_text")]
    pub ciphertext: Vec<u8>,
}

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bytes = self.ciphertext.len();
        write!(f, "Sealed(key {}, {bytes} bytes)", self.key_id)
    }
}

/// The owner of a sealed value. A value that was moved to another owner does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binding<'a> {
    /// An embedding of an employee.
    Template(EmployeeId, &'a ModelId),
    /// An enrollment photo of an employee.
    Photo(EmployeeId),
    /// A picture of an unknown face.
    UnknownFace(PictureId),
    /// A picture of a punch of an employee.
    PunchPicture(PictureId, PunchId, EmployeeId),
    /// The secret of an account's one-time codes.
    OneTimeCodes(AccountId),
    /// A value that is cached under this key.
    Cached(&'a str),
    /// The secret with which a webhook's messages are signed.
    Webhook(WebhookId),
    /// The content of a message.
    Message(DeliveryId),
}

impl std::fmt::Display for Binding<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Template(employee, model) => write!(f, "template:{employee}:{model}"),
            Self::Photo(employee) => write!(f, "photo:{employee}"),
            Self::UnknownFace(id) => write!(f, "picture:{id}"),
            Self::PunchPicture(id, punch, employee) => {
                write!(f, "picture:{id}:{punch}:{employee}")
            }
            Self::OneTimeCodes(account) => write!(f, "one-time codes:{account}"),
            Self::Cached(key) => write!(f, "cache:{key}"),
            Self::Webhook(id) => write!(f, "webhook:{id}"),
            Self::Message(id) => write!(f, "message:{id}"),
        }
    }
}

/// A sealed part of a record.
#[derive(Debug)]
pub struct SealedPart<'a> {
    /// Its owner.
    pub binding: Binding<'a>,
    /// The sealed value.
    pub sealed: &'a mut Sealed,
}

/// Serializes bytes as base64, of variable or fixed length.
pub(super) mod base64_text {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(
        bytes: &impl AsRef<[u8]>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub fn deserialize<'de, T: TryFrom<Vec<u8>>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = STANDARD.decode(text).map_err(D::Error::custom)?;
        T::try_from(bytes).map_err(|_| D::Error::custom("wrong length"))
    }
}
