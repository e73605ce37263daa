//! API tokens: makes, lists and revokes them, and authenticates programs by them.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use jiff::{SignedDuration, Timestamp};
use tracing::debug;

use super::{
    audit::Audit,
    sites::Sites,
    tokens::{self, Token},
};
use crate::{
    clock::Clock,
    domain::{
        accounts::{Account, Actor},
        api_tokens::{ApiToken, ApiTokenUse},
        grants::{Limit, LimitError, Permission, Reach},
        ids::{AccountId, ApiTokenId, SiteId},
        text::Name,
    },
    ports::{Page, StoreError},
    repositories::{ApiTokenCursor, Repositories},
};

/// Why a request about API tokens failed.
#[derive(Debug, thiserror::Error)]
pub enum ApiTokenError {
    /// There is no such token, or it was revoked.
    #[error("no such token")]
    NotFound,
    /// The account does not have a permission.
    #[error("the account does not have the permission {0}")]
    NotPermitted(Permission),
    /// The permissions and sites do not fit together.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// A site does not exist, or the account does not cover it.
    #[error("there is no such site: {0}")]
    UnknownSite(SiteId),
    /// The account has too many tokens.
    #[error("an account has at most {most} API tokens: revoke one first", most = ApiToken::MOST)]
    TooMany,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A token to make.
#[derive(Debug, Clone)]
pub struct NewApiToken {
    /// What it is for.
    pub name: Name,
    /// The permissions.
    pub permissions: BTreeSet<Permission>,
    /// The sites; `None` for everything that the account covers.
    pub sites: Option<BTreeSet<SiteId>>,
    /// How many days it lasts, 1 to [`ApiToken::MOST_DAYS`].
    pub days: u16,
}

/// A token with the address of its account and its last use.
#[derive(Debug, Clone, PartialEq)]
pub struct ListedApiToken {
    /// The token.
    pub token: ApiToken,
    /// The email address of the account; `None` if it no longer exists.
    pub email: Option<String>,
    /// The last use, within [`ApiTokenUse::EVERY`].
    pub used_at: Option<Timestamp>,
}

/// The service for API tokens.
#[derive(derive_new::new)]
pub struct ApiTokens {
    stores: Repositories,
    sites: Arc<Sites>,
    audit: Audit,
    clock: Arc<dyn Clock>,
    /// When this instance last wrote the use of each token.
    #[new(default)]
    written: Mutex<HashMap<ApiTokenId, Timestamp>>,
}

impl ApiTokens {
    /// Makes a token of an account. The token cannot be read again.
    ///
    /// # Errors
    /// If the account does not have what the token would have, or has too many tokens.
    pub async fn make(
        &self,
        account: &Account,
        new: NewApiToken,
    ) -> Result<(ListedApiToken, Token), ApiTokenError> {
        let mut missing = new.permissions.iter();
        if let Some(missing) = missing.find(|one| !account.permits(**one)) {
            return Err(ApiTokenError::NotPermitted(*missing));
        }
        for site in new.sites.iter().flatten() {
            self.check_site(account, &new.permissions, *site).await?;
        }
        let limit = Limit::new(new.permissions, new.sites)?;
        let stored = &self.stores.api_tokens;
        if stored.count_by_account(account.id).await? >= ApiToken::MOST {
            return Err(ApiTokenError::TooMany);
        }
        let (now, secret) = (self.clock.now(), Token::mint_for_api(&*self.clock));
        let token = ApiToken {
            id: ApiTokenId::new(self.clock.id()),
            account: account.id,
            name: new.name,
            token: secret.hash(),
            limit,
            created_at: now,
            expires_at: now + SignedDuration::from_hours(24 * i64::from(new.days)),
            revoked_at: None,
        };
        let detail = format!("{} until {}", token.limit, token.expires_at);
        let (actor, action) = (Actor::Account(account.id), "api_token.make");
        let audit = &self.audit;
        audit.record(actor, action, token.id, Some(detail)).await?;
        stored.insert(&token).await?;
        // Other requests may have made some at the same moment: rather too few than too many stay.
        if stored.count_by_account(account.id).await? > ApiToken::MOST {
            stored.remove(token.id).await?;
            return Err(ApiTokenError::TooMany);
        }
        let made = ListedApiToken {
            token,
            email: Some(account.email.to_string()),
            used_at: None,
        };
        Ok((made, secret))
    }

    /// Checks that every permission of an account covers a site.
    async fn check_site(
        &self,
        account: &Account,
        permissions: &BTreeSet<Permission>,
        site: SiteId,
    ) -> Result<(), ApiTokenError> {
        let covers = |permission: &Permission| {
            let reach = account.access.reach(*permission);
            reach.is_some_and(|reach| reach.covers_site(site))
        };
        match permissions.iter().all(covers) && self.sites.is_present(site).await? {
            true => Ok(()),
            false => Err(ApiTokenError::UnknownSite(site)),
        }
    }

    /// Returns the tokens of an account that are not revoked, oldest first.
    pub async fn list_own(&self, account: &Account) -> Result<Vec<ListedApiToken>, StoreError> {
        let tokens = self.stores.api_tokens.list_by_account(account.id).await?;
        self.listed(tokens).await
    }

    /// Returns a page of the tokens of all accounts that are not revoked. Only a reach of everything
    /// covers them.
    pub async fn list(
        &self,
        reach: &Reach,
        page: &Page<ApiTokenCursor>,
    ) -> Result<Vec<ListedApiToken>, StoreError> {
        match reach.covers_everything() {
            true => self.listed(self.stores.api_tokens.list(page).await?).await,
            false => Ok(Vec::new()),
        }
    }

    async fn listed(&self, tokens: Vec<ApiToken>) -> Result<Vec<ListedApiToken>, StoreError> {
        let ids: Vec<_> = tokens.iter().map(|token| token.id).collect();
        let accounts: BTreeSet<_> = tokens.iter().map(|token| token.account).collect();
        let accounts: Vec<_> = accounts.into_iter().collect();
        let (uses, accounts) = tokio::try_join!(
            self.stores.api_tokens.uses(&ids),
            self.stores.accounts.find_many(&accounts),
        )?;
        let uses: HashMap<_, _> = uses.into_iter().map(|one| (one.token, one.at)).collect();
        let emails: HashMap<_, _> = accounts
            .into_iter()
            .map(|account| (account.id, account.email.to_string()))
            .collect();
        let listed = tokens.into_iter().map(|token| ListedApiToken {
            email: emails.get(&token.account).cloned(),
            used_at: uses.get(&token.id).copied(),
            token,
        });
        Ok(listed.collect())
    }

    /// Revokes a token of the account; admins revoke every token.
    ///
    /// # Errors
    /// [`ApiTokenError::NotFound`] if there is none.
    pub async fn revoke(&self, account: &Account, id: ApiTokenId) -> Result<(), ApiTokenError> {
        let stored = &self.stores.api_tokens;
        let theirs = |token: &ApiToken| {
            token.account == account.id || account.permits(Permission::Administer)
        };
        let found = stored.find(id).await?.filter(theirs);
        if found.is_none_or(|token| token.revoked_at.is_some()) {
            return Err(ApiTokenError::NotFound);
        }
        let (actor, action) = (Actor::Account(account.id), "api_token.revoke");
        self.audit.record(actor, action, id, None).await?;
        stored.change(id, revoked(self.clock.now())).await?;
        Ok(())
    }

    /// Returns the account of a token, with the access that the token has now; `None` if the token
    /// is unknown, expired or revoked, or if the account is disabled.
    pub async fn authenticate(
        &self,
        token: &str,
    ) -> Result<Option<(Account, ApiTokenId)>, StoreError> {
        let now = self.clock.now();
        let found = self.stores.api_tokens.find_by_token(tokens::hash(token));
        let Some(token) = found.await?.filter(|token| token.usable(now)) else {
            return Ok(None);
        };
        let account = self.stores.accounts.find(token.account).await?;
        let Some(account) = account.filter(|account| account.active) else {
            return Ok(None);
        };
        self.write_use(token.id, now).await;
        let access = account.access.limited(token.limit);
        Ok(Some((Account { access, ..account }, token.id)))
    }

    /// Writes that a token is used, unless this instance did so lately.
    async fn write_use(&self, token: ApiTokenId, now: Timestamp) {
        {
            let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
            let last = written.get(&token);
            if last.is_some_and(|last| now.duration_since(*last) < ApiTokenUse::EVERY) {
                return;
            }
            written.insert(token, now);
        }
        let last = ApiTokenUse { token, at: now };
        // The next use is written in an hour, whether this write succeeds or not.
        if let Err(cause) = self.stores.api_tokens.used(&last).await {
            debug!(%token, %cause, "could not write the use of an API token");
        }
    }
}

fn revoked(now: Timestamp) -> impl Fn(ApiToken) -> ApiToken {
    move |token| ApiToken {
        revoked_at: token.revoked_at.or(Some(now)),
        ..token
    }
}

/// Revokes all tokens of an account.
pub async fn revoke_all(
    stores: &Repositories,
    audit: &Audit,
    actor: Actor,
    account: AccountId,
    now: Timestamp,
) -> Result<(), StoreError> {
    for token in stores.api_tokens.list_by_account(account).await? {
        audit
            .record(actor, "api_token.revoke", token.id, None)
            .await?;
        stores.api_tokens.change(token.id, revoked(now)).await?;
    }
    Ok(())
}
