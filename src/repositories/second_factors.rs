//! Second factors of accounts.

use std::sync::Arc;

use super::{Collection, Versioned};
use crate::{
    domain::{
        ids::AccountId,
        record::{Index, Key},
        second_factors::SecondFactors,
        single_sign_on::ExternalIdentity,
    },
    ports::{Parts, Range, RecordEngine, StoreError},
};

/// The repository of second factors.
#[derive(Clone)]
pub struct SecondFactorsOfAccounts(Collection<SecondFactors>);

impl SecondFactorsOfAccounts {
    /// Creates the repository on a store.
    pub fn new(engine: Arc<dyn RecordEngine>) -> Self {
        Self(Collection::new(engine))
    }

    /// Returns the second factors of an account; an empty record if none is stored.
    pub async fn of(&self, account: AccountId) -> Result<SecondFactors, StoreError> {
        let found = self.0.get(&account).await?.map(Versioned::into_inner);
        Ok(found.unwrap_or_else(|| SecondFactors::none(account)))
    }

    /// Returns the stored records of accounts.
    pub async fn of_many(&self, accounts: &[AccountId]) -> Result<Vec<SecondFactors>, StoreError> {
        self.0.get_many(accounts).await
    }

    /// Returns those of the account of a person at the identity provider.
    pub async fn find_by_identity(
        &self,
        ExternalIdentity { issuer, subject }: &ExternalIdentity,
    ) -> Result<Option<SecondFactors>, StoreError> {
        let key = Key::new((issuer, subject));
        let found = self.0.find(SecondFactors::BY_IDENTITY, key).await?;
        Ok(found.map(Versioned::into_inner))
    }

    /// Returns all records.
    pub async fn all(&self) -> Result<Vec<SecondFactors>, StoreError> {
        self.0.all(Index::ID, Range::all(), Parts::Body).await
    }

    /// Changes the second factors of an account; retries if others change them at the same time.
    /// `change` returns `None` to leave them unchanged, and so does this.
    pub async fn change(
        &self,
        account: AccountId,
        change: impl FnMut(SecondFactors) -> Option<SecondFactors>,
    ) -> Result<Option<SecondFactors>, StoreError> {
        let absent = SecondFactors::none(account);
        self.0.change_or_insert(&absent, change).await
    }

    /// Deletes the second factors of an account; returns false if there are none.
    pub async fn remove(&self, account: AccountId) -> Result<bool, StoreError> {
        self.0.remove(&account).await
    }
}
