//! Accounts, what their roles permit, and sessions.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    ids::{AccountId, DeviceId},
    text::{Email, Name},
};

/// Somebody who signs in.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// Identity.
    pub id: AccountId,
    /// Unique, lower-cased.
    pub email: Email,
    /// How they are addressed.
    pub name: Name,
    /// What they may do.
    pub role: Role,
    /// An argon2id hash in PHC string form.
    pub password_hash: String,
    /// A disabled account cannot sign in, and its sessions count for nothing.
    pub active: bool,
    /// When it was made.
    pub created_at: Timestamp,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("id", &self.id)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

/// What an account may do. Devices are no accounts: they may punch and identify, nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything.
    Admin,
    /// Reads, adds and changes employees, looks at kept pictures; enrolls no faces, manages no
    /// devices, cameras or accounts. Nobody corrects a punch yet.
    Manager,
    /// Reads.
    Viewer,
}

/// Something that is allowed or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Read employees, punches, what is enrolled.
    Read,
    /// Add and change employees.
    Correct,
    /// Enroll faces and delete templates.
    Enroll,
    /// Manage devices and accounts, delete employees, override refusals.
    Administer,
    /// Identify and verify without a punch.
    Identify,
    /// Look at pictures of punches and of unknown faces, delete the latter.
    Look,
    /// Punch with a face.
    Punch,
}

impl Role {
    /// Whether the role may do this. Nobody who signs in punches: only devices do.
    pub fn permits(self, permission: Permission) -> bool {
        match permission {
            Permission::Read => true,
            Permission::Correct | Permission::Identify | Permission::Look => {
                matches!(self, Role::Admin | Role::Manager)
            }
            Permission::Enroll | Permission::Administer => self == Role::Admin,
            Permission::Punch => false,
        }
    }

    /// The word for the role in the API and the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Admin => "admin",
            Role::Manager => "manager",
            Role::Viewer => "viewer",
        }
    }
}

/// Who did something, for consent and the audit trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// Somebody who was signed in.
    Account(AccountId),
    /// A registered device.
    Device(DeviceId),
    /// A command typed on the server itself.
    Operator,
    /// The service, by itself.
    System,
}

impl Actor {
    /// The word for its kind, as the API and the store have it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Account(_) => "account",
            Self::Device(_) => "device",
            Self::Operator => "operator",
            Self::System => "system",
        }
    }

    /// The identity of an account or device.
    pub fn id(&self) -> Option<Uuid> {
        match self {
            Self::Account(id) => Some(id.uuid()),
            Self::Device(id) => Some(id.uuid()),
            Self::Operator | Self::System => None,
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.id() {
            Some(id) => write!(f, "{}:{id}", self.kind()),
            None => f.write_str(self.kind()),
        }
    }
}

/// The SHA-256 of a secret that somebody holds (a session id, a device token): the only form that is stored.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenHash(pub [u8; 32]);

impl TokenHash {
    /// Lower-case hexadecimal, the form in which stores keep it.
    pub fn to_hex(self) -> String {
        hex::encode(self.0)
    }

    /// Reads what [`to_hex`](Self::to_hex) wrote; `None` for anything else.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut hash = [0; 32];
        hex::decode_to_slice(text, &mut hash)
            .ok()
            .map(|()| Self(hash))
    }
}

impl From<TokenHash> for String {
    fn from(hash: TokenHash) -> Self {
        hash.to_hex()
    }
}

impl TryFrom<String> for TokenHash {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::from_hex(&text).ok_or("no hash")
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

/// A signed-in browser.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// The hash of the id in the cookie.
    pub hash: TokenHash,
    /// Whose it is.
    pub account: AccountId,
    /// When they signed in.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

impl Session {
    /// What it is called where people see it: the first half of its hash, in hexadecimal. Of no
    /// use to sign in with.
    pub fn id(&self) -> String {
        self.hash.to_hex()[..32].to_owned()
    }
}
