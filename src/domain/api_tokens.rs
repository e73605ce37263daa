//! API tokens: how programs use the API on behalf of the account that made the token.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    accounts::TokenHash,
    grants::Limit,
    ids::{AccountId, ApiTokenId},
    record::{About, Changes, Index, Keys, Kind, Record},
    text::Name,
};

/// An API token.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ApiToken {
    /// The ID.
    pub id: ApiTokenId,
    /// The account that made it, and on whose behalf it acts.
    pub account: AccountId,
    /// What it is for.
    pub name: Name,
    /// The hash of the token.
    pub token: TokenHash,
    /// What it keeps of the access of the account.
    #[serde(flatten)]
    pub limit: Limit,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was revoked. The record stays, because the audit trail shows its name.
    pub revoked_at: Option<Timestamp>,
}

impl fmt::Debug for ApiToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiToken")
            .field("id", &self.id)
            .field("account", &self.account)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl ApiToken {
    /// Tokens by their hash, including revoked ones.
    pub const BY_TOKEN: Index = Index::unique("by_token");
    /// Tokens that are not revoked, by account, oldest first.
    pub const BY_ACCOUNT: Index = Index::ordered("by_account");

    /// The most tokens of an account that are not revoked.
    pub const MOST: u64 = 50;
    /// The days that a token can last.
    pub const MOST_DAYS: u16 = 365;

    /// Checks whether the token can be used.
    pub fn usable(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && now < self.expires_at
    }
}

impl Record for ApiToken {
    const KIND: &'static Kind = &Kind::archived(
        "api_tokens",
        "API token",
        &[Self::BY_TOKEN, Self::BY_ACCOUNT],
    )
    .changing(Changes::Audited);

    type Id = ApiTokenId;

    fn id(&self) -> ApiTokenId {
        self.id
    }

    fn keys(&self, keys: &mut Keys) {
        keys.add(Self::BY_TOKEN, (self.token.to_hex(),));
        if self.revoked_at.is_none() {
            keys.add(Self::BY_ACCOUNT, (self.account.uuid(), self.created_at));
        }
    }

    fn about(&self) -> About {
        About::NoEmployee
    }
}

/// The last use of an API token. It is a record of its own, so that requests do not change the
/// token, of which every change is in the audit trail.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApiTokenUse {
    /// The token.
    pub token: ApiTokenId,
    /// When it was used.
    pub at: Timestamp,
}

impl ApiTokenUse {
    /// How often an instance writes the use of a token at most.
    pub const EVERY: SignedDuration = SignedDuration::from_hours(1);
}

impl Record for ApiTokenUse {
    const KIND: &'static Kind = &Kind::transient("api_token_uses", "use of an API token", &[]);

    type Id = ApiTokenId;

    fn id(&self) -> ApiTokenId {
        self.token
    }

    fn keys(&self, _keys: &mut Keys) {}

    fn about(&self) -> About {
        About::NoEmployee
    }
}
