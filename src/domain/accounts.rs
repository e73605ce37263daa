//! Accounts and their sessions.

use std::{fmt, net::IpAddr, str::FromStr};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    grants::{Access, Permission, Role},
    ids::{AccountId, ApiTokenId, DeviceId, EmployeeId},
    record::{About, Changes, Index, Keys, Kind, OnErase, Record},
    text::{Email, Name},
};

/// A person's access to the desk.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// The ID.
    pub id: AccountId,
    /// The email address, unique and in lowercase.
    pub email: Email,
    /// The name by which pages address the person.
    pub name: Name,
    /// The permissions: grants and the linked employee.
    #[serde(flatten)]
    pub access: Access,
    /// An argon2id hash in PHC string form; empty if the account has no password, because its person
    /// signs in with an identity provider.
    pub password_hash: String,
    /// A disabled account cannot sign in, and its sessions are not valid.
    pub active: bool,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its person last signed in; `None` before the first time.
    pub signed_in_at: Option<Timestamp>,
    /// The account that invited its person, if an account did. It chose the address of the link, so
    /// that it may have used the link itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invited_by: Option<AccountId>,
    /// How often all its sessions were ended. A sign-in that began before does not get through.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub sessions_ended: u32,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl Account {
    /// The email address.
    pub const BY_EMAIL: Index = Index::unique("by_email");
    /// The linked employee, who has no other account.
    pub const BY_EMPLOYEE: Index = Index::unique("by_employee");

    /// Checks whether the account is an admin that can sign in.
    pub fn is_active_admin(&self) -> bool {
        self.active && self.access.has_role(Role::Admin)
    }

    /// Checks whether the account can sign in with a password.
    pub fn has_password(&self) -> bool {
        !self.password_hash.is_empty()
    }

    /// Checks whether the account has a permission, whatever its reach.
    pub fn permits(&self, permission: Permission) -> bool {
        self.access.permits(permission)
    }

    /// Returns the account of which all sessions end.
    #[must_use]
    pub fn ending_sessions(self) -> Self {
        Self {
            sessions_ended: self.sessions_ended.wrapping_add(1),
            ..self
        }
    }

    /// Returns the account after its employee was deleted: without access to its own records, and
    /// disabled if it has no other grant. The link stays, so that an erasure finds the account.
    #[must_use]
    pub fn after_deletion(self) -> Self {
        let access = self.access.without_own();
        Self {
            active: self.active && !access.is_empty(),
            access,
            ..self
        }
    }
}

impl Record for Account {
    const KIND: &'static Kind =
        &Kind::archived("accounts", "account", &[Self::BY_EMAIL, Self::BY_EMPLOYEE])
            .changing(Changes::Audited);

    type Id = AccountId;

    fn id(&self) -> AccountId {
        self.id
    }

    fn keys(&self, keys: &mut Keys) {
        keys.add(Self::BY_EMAIL, (self.email.as_str(),));
        if let Some(employee) = self.access.employee() {
            keys.add(Self::BY_EMPLOYEE, (employee.uuid(),));
        }
    }

    /// An account that only reads its employee's own records is deleted with them. One that has
    /// other grants stays, without the link.
    fn about(&self) -> About {
        let Some(employee) = self.access.employee() else {
            return About::NoEmployee;
        };
        let erase = match self.access.clone().unlinked().is_empty() {
            true => OnErase::Delete,
            false => OnErase::Anonymize,
        };
        About::employee(employee, erase)
    }

    fn anonymize(&mut self, employee: EmployeeId) {
        if self.access.employee() == Some(employee) {
            self.access = self.access.clone().unlinked();
        }
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("id", &self.id)
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}

/// The actor of a change, for consents and the audit trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// A signed-in account.
    Account(AccountId),
    /// A program with an API token, on behalf of the account that made it.
    Token {
        /// The account.
        account: AccountId,
        /// The token.
        token: ApiTokenId,
    },
    /// A registered device.
    Device(DeviceId),
    /// A command typed on the server itself.
    Operator,
    /// The service itself.
    System,
}

impl Actor {
    /// Returns the kind, as it appears in the API and the store.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Account(_) => "account",
            Self::Token { .. } => "token",
            Self::Device(_) => "device",
            Self::Operator => "operator",
            Self::System => "system",
        }
    }

    /// Returns the ID of an account, also of one that acts through an API token.
    pub fn account(self) -> Option<AccountId> {
        match self {
            Self::Account(account) | Self::Token { account, .. } => Some(account),
            Self::Device(_) | Self::Operator | Self::System => None,
        }
    }

    /// Checks whether two actors are one: an account is one with its API tokens, so that nobody can
    /// request something through a token and approve it in a browser as if they were two people.
    pub fn is_same(self, other: Self) -> bool {
        self == other || (self.account().is_some() && self.account() == other.account())
    }

    /// Returns the ID of an account, API token or device.
    pub fn id(&self) -> Option<Uuid> {
        match self {
            Self::Account(id) => Some(id.uuid()),
            Self::Token { token, .. } => Some(token.uuid()),
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

/// The SHA-256 of a secret, such as a session ID or a device token. Only this hash is stored.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenHash(pub [u8; 32]);

impl TokenHash {
    /// Returns the hash in lower-case hexadecimal, as stores keep it.
    pub fn to_hex(self) -> String {
        hex::encode(self.0)
    }

    /// Parses the result of [`to_hex`](Self::to_hex); `None` if the text is not valid.
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
        text.parse()
    }
}

/// Writes the form that stores keep.
impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl FromStr for TokenHash {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::from_hex(text).ok_or("not a SHA-256 in hexadecimal")
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

/// The browsers in which the person of an account signed in before. Wrong passwords from other
/// browsers do not count against them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KnownBrowsers {
    /// The account.
    pub account: AccountId,
    /// The hashes of the tokens in their cookies, the last used one last.
    pub tokens: Vec<TokenHash>,
}

impl KnownBrowsers {
    /// The most browsers of an account; the one that was not used for the longest time leaves first.
    pub const MOST: usize = 20;

    /// Returns the browsers of an account with this one, as the last used one.
    #[must_use]
    pub fn with(mut self, token: TokenHash) -> Self {
        self.tokens.retain(|known| *known != token);
        self.tokens.push(token);
        let first = self.tokens.len().saturating_sub(Self::MOST);
        self.tokens.drain(..first);
        self
    }
}

impl Record for KnownBrowsers {
    const KIND: &'static Kind = &Kind::transient("known_browsers", "list of known browsers", &[]);

    type Id = AccountId;

    fn id(&self) -> AccountId {
        self.account
    }

    fn keys(&self, _keys: &mut Keys) {}

    fn about(&self) -> About {
        About::NoEmployee
    }
}

/// Where a session began, for its person to recognize it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Browser {
    /// The address of the client.
    pub address: IpAddr,
    /// A short description, such as `Firefox on Windows`; `None` if the program is unknown.
    pub description: Option<String>,
}

/// A signed-in browser.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// The hash of the ID in the cookie.
    pub hash: TokenHash,
    /// The account.
    pub account: AccountId,
    /// When the account signed in.
    pub created_at: Timestamp,
    /// When the session expires.
    pub expires_at: Timestamp,
    /// When a request used it last, to within [`Session::USE_PRECISION`]; `None` after signing in.
    pub used_at: Option<Timestamp>,
    /// When the person last proved who they are.
    pub confirmed_at: Option<Timestamp>,
    /// Where it began.
    pub browser: Option<Browser>,
}

impl Session {
    /// How precisely the last use is known: each is written if it is this long after the one before.
    pub const USE_PRECISION: SignedDuration = SignedDuration::from_mins(2);
    /// How long a proof of who the person is counts for changes that need one.
    pub const CONFIRMED: SignedDuration = SignedDuration::from_mins(15);

    /// Returns when a request used it last.
    pub fn last_used(&self) -> Timestamp {
        self.used_at.unwrap_or(self.created_at)
    }

    /// Checks whether it is valid at a moment. It ends at its expiry, and after `idle` without use.
    pub fn is_open(&self, now: Timestamp, idle: Option<SignedDuration>) -> bool {
        let unused = now.duration_since(self.last_used());
        self.expires_at > now && idle.is_none_or(|idle| unused < idle)
    }

    /// Checks whether its person proved who they are shortly before a moment.
    pub fn is_confirmed(&self, now: Timestamp) -> bool {
        self.confirmed_until().is_some_and(|until| now < until)
    }

    /// Returns until when the last proof counts.
    pub fn confirmed_until(&self) -> Option<Timestamp> {
        let until = |at: Timestamp| at.saturating_add(Self::CONFIRMED).ok();
        self.confirmed_at.and_then(until)
    }

    /// Sessions of an account, oldest first.
    pub const BY_ACCOUNT: Index = Index::ordered("by_account");
    /// Sessions by expiry.
    pub const BY_END: Index = Index::ordered("by_end");

    /// Returns the public ID: the first half of the hash, in hexadecimal. It cannot be used to sign
    /// in.
    pub fn id(&self) -> String {
        self.hash.to_hex()[..32].to_owned()
    }
}

impl Record for Session {
    const KIND: &'static Kind =
        &Kind::transient("sessions", "session", &[Self::BY_ACCOUNT, Self::BY_END])
            .aging(Self::BY_END);

    type Id = TokenHash;

    fn id(&self) -> TokenHash {
        self.hash
    }

    fn keys(&self, keys: &mut Keys) {
        keys.add(Self::BY_ACCOUNT, (self.account.uuid(), self.created_at));
        keys.add(Self::BY_END, (self.expires_at,));
    }

    fn about(&self) -> About {
        About::NoEmployee
    }
}
