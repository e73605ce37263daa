//! API tokens and their last uses.

use std::sync::Arc;

use jiff::Timestamp;

use super::Collection;
use crate::{
    domain::{
        accounts::TokenHash,
        api_tokens::{ApiToken, ApiTokenUse},
        ids::{AccountId, ApiTokenId},
        record::{Index, Key},
    },
    ports::{Page, Range, RecordEngine, StoreError},
};

/// The position of a token in the list of all.
pub type ApiTokenCursor = (AccountId, Timestamp, ApiTokenId);

/// The repository of API tokens.
#[derive(Clone)]
pub struct ApiTokens {
    tokens: Collection<ApiToken>,
    uses: Collection<ApiTokenUse>,
}

impl ApiTokens {
    /// Creates the repository on a store.
    pub fn new(engine: Arc<dyn RecordEngine>) -> Self {
        Self {
            tokens: Collection::new(engine.clone()),
            uses: Collection::new(engine),
        }
    }

    forward!(tokens: ApiToken => insert, find, find_many);

    /// Returns the token with a hash, revoked or not.
    pub async fn find_by_token(&self, token: TokenHash) -> Result<Option<ApiToken>, StoreError> {
        self.tokens
            .find_by(ApiToken::BY_TOKEN, (token.to_hex(),))
            .await
    }

    /// Returns the tokens of an account that are not revoked, oldest first.
    pub async fn list_by_account(&self, account: AccountId) -> Result<Vec<ApiToken>, StoreError> {
        let range = Range::within(Key::new((account.uuid(),)));
        self.tokens.all(ApiToken::BY_ACCOUNT, range).await
    }

    /// Returns how many tokens of an account are not revoked.
    pub async fn count_by_account(&self, account: AccountId) -> Result<u64, StoreError> {
        let range = Range::within(Key::new((account.uuid(),)));
        self.tokens.count(ApiToken::BY_ACCOUNT, &range).await
    }

    /// Returns a page of the tokens of all accounts that are not revoked. Only admins list them.
    pub async fn list(&self, page: &Page<ApiTokenCursor>) -> Result<Vec<ApiToken>, StoreError> {
        let after = page.after.as_ref().map(|(account, created_at, id)| {
            let key = Key::new((account.uuid(), *created_at));
            (key, id.to_string())
        });
        let range = Range::all().after(after);
        self.tokens
            .list(ApiToken::BY_ACCOUNT, &range, page.limit)
            .await
    }

    /// Changes a token, retrying while others change it at the same time; `None` if it does not
    /// exist.
    pub async fn change(
        &self,
        id: ApiTokenId,
        change: impl Fn(ApiToken) -> ApiToken,
    ) -> Result<Option<ApiToken>, StoreError> {
        self.tokens.change(&id, |token| Some(change(token))).await
    }

    /// Returns the tokens of an account, revoked or not. Reads all tokens.
    pub async fn all_by_account(&self, account: AccountId) -> Result<Vec<ApiToken>, StoreError> {
        let all = self.tokens.all(Index::ID, Range::all());
        let mut tokens = all.await?;
        tokens.retain(|token| token.account == account);
        Ok(tokens)
    }

    /// Deletes a token with its last use; returns false if there is none.
    pub async fn remove(&self, id: ApiTokenId) -> Result<bool, StoreError> {
        self.uses.remove(&id).await?;
        self.tokens.remove(&id).await
    }

    /// Returns the last uses of tokens that were used.
    pub async fn uses(&self, ids: &[ApiTokenId]) -> Result<Vec<ApiTokenUse>, StoreError> {
        self.uses.get_many(ids).await
    }

    /// Writes the last use of a token.
    pub async fn used(&self, last: &ApiTokenUse) -> Result<(), StoreError> {
        self.uses.put(last).await
    }
}
