//! Second factors of accounts.

use crate::{
    domain::{ids::AccountId, second_factors::SecondFactors, single_sign_on::ExternalIdentity},
    ports::StoreError,
};

repository! {
    /// The repository of second factors.
    SecondFactorsOfAccounts(SecondFactors): all, remove
}

impl SecondFactorsOfAccounts {
    /// Returns the second factors of an account; an empty record if none is stored.
    pub async fn of(&self, account: AccountId) -> Result<SecondFactors, StoreError> {
        let found = self.0.find(&account).await?;
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
        self.0
            .find_by(SecondFactors::BY_IDENTITY, (issuer, subject))
            .await
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
}
