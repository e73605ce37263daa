//! Invitations.

use jiff::Timestamp;

use super::Versioned;
use crate::{
    domain::{
        accounts::TokenHash,
        ids::{AccountId, InvitationId},
        invitations::{Invitation, Purpose},
        record::Key,
    },
    ports::{Page, Range, StoreError},
};

repository! {
    /// The repository of invitations.
    Invitations(Invitation): insert, read, swap
}

impl Invitations {
    /// Returns the invitation with the hash of a token.
    pub async fn find_by_token(
        &self,
        token: TokenHash,
    ) -> Result<Option<Versioned<Invitation>>, StoreError> {
        self.0.get_by(Invitation::BY_TOKEN, (token.to_hex(),)).await
    }

    /// Deletes an invitation if it was not changed since it was read; returns false otherwise.
    pub async fn remove(&self, old: &Versioned<Invitation>) -> Result<bool, StoreError> {
        self.0.remove_unchanged(old).await
    }

    /// Returns a page of invitations: those that expire last come first. The expiry and the ID are
    /// the cursor. The service leaves out those that the caller may not see.
    pub async fn list(
        &self,
        page: &Page<(Timestamp, InvitationId)>,
    ) -> Result<Vec<Invitation>, StoreError> {
        let after = page
            .after
            .map(|(end, id)| (Key::new((end,)), id.to_string()));
        let range = Range::all().backwards().after(after);
        self.0.list(Invitation::BY_END, &range, page.limit).await
    }

    /// Returns the links for a new password of an account. Reads all invitations.
    pub async fn resets(&self, account: AccountId) -> Result<Vec<Invitation>, StoreError> {
        let all = self.0.all(Invitation::BY_END, Range::all());
        let mut resets = all.await?;
        resets.retain(
            |one| matches!(one.purpose, Purpose::Reset { account: of, .. } if of == account),
        );
        Ok(resets)
    }

    /// Deletes an invitation, whatever its revision; returns false if there is none.
    pub async fn delete(&self, id: InvitationId) -> Result<bool, StoreError> {
        self.0.remove(&id).await
    }

    /// Returns invitations that expired before a moment, at most `limit`.
    pub async fn expired(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<Invitation>, StoreError> {
        let range = Range::all().before(Key::new((before,)));
        self.0.list(Invitation::BY_END, &range, limit).await
    }
}
