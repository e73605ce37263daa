//! Single sign-on: signs people in who proved to an identity provider who they are.

use std::sync::Arc;

use secrecy::SecretString;
use tracing::{info, warn};

use super::{application_cache::AppCache, audit::Audit, tokens};
use crate::{
    clock::Clock,
    domain::{
        accounts::{Account, Actor},
        grants::{Access, Grant, Permission, Role, Scope},
        ids::AccountId,
        second_factors::SecondFactors,
        single_sign_on::{ExternalIdentity, GroupRole},
        text::{Email, Name},
    },
    ports::{IdentityProvider, Page, PendingSignIn, ProvidedIdentity, ProviderError, StoreError},
    repositories::Repositories,
};

/// Why a person was not signed in.
#[derive(Debug, thiserror::Error)]
pub enum SignOnError {
    /// The provider is unavailable, or refused.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The sign-in was begun by another browser, took too long, or is already finished.
    #[error("the sign-in was begun by another browser, took too long, or is already finished")]
    Expired,
    /// The provider did not verify the email address, which must be known the first time.
    #[error("the identity provider gave no verified email address")]
    EmailNotVerified,
    /// No group of the person has a role, and no account has their email address.
    #[error("no account has this email address, and no group of the person has a role")]
    NoAccess,
    /// The account with the email address belongs to another person at the provider.
    #[error("the account belongs to another person at the identity provider")]
    OtherPerson,
    /// The account is disabled.
    #[error("the account is disabled")]
    Disabled,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Number of accounts that are read together.
const PAGE: usize = 500;

/// The service for single sign-on.
pub struct SingleSignOn {
    provider: Arc<dyn IdentityProvider>,
    /// The name of the provider on the sign-in page.
    name: String,
    /// What groups may do; `None` if grants do not follow groups.
    roles: Option<Vec<GroupRole>>,
    stores: Repositories,
    cache: AppCache,
    audit: Audit,
    clock: Arc<dyn Clock>,
}

/// The provider with its settings.
#[derive(Clone)]
pub struct SignOnProvider {
    /// The provider.
    pub provider: Arc<dyn IdentityProvider>,
    /// Its name on the sign-in page.
    pub name: String,
    /// What groups may do; `None` if grants do not follow groups.
    pub roles: Option<Vec<GroupRole>>,
}

impl SingleSignOn {
    /// Creates the service over a cache whose default lifetime is that of a sign-in.
    pub fn new(
        SignOnProvider {
            provider,
            name,
            roles,
        }: SignOnProvider,
        stores: Repositories,
        cache: AppCache,
        audit: Audit,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            provider,
            name,
            roles,
            stores,
            cache,
            audit,
            clock,
        }
    }

    /// Returns the name of the provider.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Begins a sign-in. Returns the address of the provider for the browser, and the state that
    /// the browser must have when it returns to `redirect`.
    ///
    /// # Errors
    /// If the provider is unavailable.
    pub async fn begin(&self, redirect: &str) -> Result<(String, String), SignOnError> {
        let (address, pending) = self.provider.begin(redirect).await?;
        let state = pending.state.clone();
        self.cache.set(&key(&state), &pending).await;
        Ok((address, state))
    }

    /// Finishes a sign-in: returns the account of the person. `begun` is the state that the browser
    /// has, `state` the one in the address.
    ///
    /// # Errors
    /// If the person may not sign in, or did not begin the sign-in in this browser.
    pub async fn finish(
        &self,
        redirect: &str,
        begun: Option<&str>,
        state: &str,
        code: SecretString,
    ) -> Result<Account, SignOnError> {
        if begun != Some(state) {
            return Err(SignOnError::Expired);
        }
        let pending: Option<PendingSignIn> = self.cache.get(&key(state)).await;
        let pending = pending.ok_or(SignOnError::Expired)?;
        if !self.cache.delete(&key(state)).await {
            return Err(SignOnError::Expired);
        }
        let person = self.provider.finish(redirect, code, &pending).await?;
        let account = self.account(&person).await?;
        let account = self.follow_groups(account, &person).await?;
        if !account.active {
            return Err(SignOnError::Disabled);
        }
        if account.access.is_empty() {
            return Err(SignOnError::NoAccess);
        }
        Ok(account)
    }

    /// Finds the account of a person: by their ID at the provider, the first time by their email
    /// address. Creates one if a group of theirs has a role.
    async fn account(&self, person: &ProvidedIdentity) -> Result<Account, SignOnError> {
        let identity = ExternalIdentity {
            issuer: person.issuer.clone(),
            subject: person.subject.clone(),
        };
        let linked = self
            .stores
            .second_factors
            .find_by_identity(&identity)
            .await?;
        if let Some(factors) = linked {
            if let Some(account) = self.stores.accounts.find(factors.account).await? {
                return Ok(account);
            }
            // The account was deleted. Its person may get another one.
            self.unlink(factors.account).await?;
        }
        let email = person.email.as_deref().map(Email::parse);
        let Some(Ok(email)) = email.filter(|_| person.email_verified) else {
            return Err(SignOnError::EmailNotVerified);
        };
        let present = self.stores.accounts.find_by_email(&email).await?;
        let account = match present {
            Some(account) => account,
            None => self.create(email, person).await?,
        };
        self.link(account.id, &identity).await?;
        Ok(account)
    }

    /// Links an account to a person at the provider.
    async fn link(&self, id: AccountId, identity: &ExternalIdentity) -> Result<(), SignOnError> {
        let present = self.stores.second_factors.of(id).await?;
        if present.identity.is_some_and(|other| other != *identity) {
            return Err(SignOnError::OtherPerson);
        }
        let audit = &self.audit;
        audit
            .record(Actor::System, "account.link", id, None)
            .await?;
        let link = |factors: SecondFactors| {
            let free = factors.identity.as_ref().is_none_or(|one| one == identity);
            free.then(|| SecondFactors {
                identity: Some(identity.clone()),
                ..factors
            })
        };
        let linked = self.stores.second_factors.change(id, link).await?;
        linked.map(drop).ok_or(SignOnError::OtherPerson)
    }

    async fn unlink(&self, id: AccountId) -> Result<(), StoreError> {
        let audit = &self.audit;
        audit
            .record(Actor::System, "account.unlink", id, None)
            .await?;
        self.stores.second_factors.remove(id).await.map(drop)
    }

    /// Creates an account without a password for a person of whom a group has a role.
    async fn create(
        &self,
        email: Email,
        person: &ProvidedIdentity,
    ) -> Result<Account, SignOnError> {
        let grants = self.grants(&person.groups).await?;
        let access = Access::new(None, grants.into_iter().flatten());
        let access = access.map_err(|_| SignOnError::NoAccess)?;
        let local = email.as_str().split('@').next().unwrap_or_default();
        let name = person.name.as_deref().map(Name::parse);
        let name = name
            .and_then(Result::ok)
            .or_else(|| Name::parse(local).ok());
        let account = Account {
            id: AccountId::new(self.clock.id()),
            name: name.ok_or(SignOnError::EmailNotVerified)?,
            email,
            access,
            password_hash: String::new(),
            active: true,
            created_at: self.clock.now(),
            signed_in_at: None,
            invited_by: None,
        };
        let detail = Some(account.access.to_string());
        let audit = &self.audit;
        audit
            .record(Actor::System, "account.create", account.id, detail)
            .await?;
        self.stores.accounts.insert(&account).await?;
        info!(account = %account.id, "created an account for a person of the identity provider");
        Ok(account)
    }

    /// Returns the grants of groups; `None` if grants do not follow groups.
    async fn grants(&self, groups: &[String]) -> Result<Option<Vec<Grant>>, StoreError> {
        let Some(roles) = &self.roles else {
            return Ok(None);
        };
        let mut grants = Vec::new();
        for rule in roles.iter().filter(|rule| groups.contains(&rule.group)) {
            let scope = match &rule.site {
                None => Scope::Everything,
                Some(name) => match self.stores.sites.find_by_name(name).await? {
                    Some(site) => Scope::Site(site.id),
                    None => {
                        warn!(site = %name, "OIDC_ROLES has a site that does not exist");
                        continue;
                    }
                },
            };
            // The parser allows only roles that fit their scope.
            grants.extend(Grant::new(rule.role, scope));
        }
        Ok(Some(grants))
    }

    /// Gives an account the grants of its person's groups, beside that of own records. The last
    /// admin stays one.
    async fn follow_groups(
        &self,
        account: Account,
        person: &ProvidedIdentity,
    ) -> Result<Account, SignOnError> {
        let Some(mut grants) = self.grants(&person.groups).await? else {
            return Ok(account);
        };
        let own = account
            .access
            .grants()
            .filter(|grant| grant.scope() == Scope::Own);
        grants.extend(own);
        let mut access = account.access.clone().with_grants(grants);
        if account.permits(Permission::Administer)
            && !access.permits(Permission::Administer)
            && !self.other_admin(account.id).await?
        {
            warn!(account = %account.id, "the last admin stays one, although no group says so");
            let admin = Grant::new(Role::Admin, Scope::Everything);
            access = access
                .clone()
                .with_grants(access.grants().chain(admin.ok()));
        }
        if access == account.access {
            return Ok(account);
        }
        let detail = Some(format!("groups: {access}"));
        let audit = &self.audit;
        audit
            .record(Actor::System, "account.grant", account.id, detail)
            .await?;
        let follow = |account: Account| Account {
            access: access.clone(),
            ..account
        };
        let changed = self.stores.accounts.change(account.id, follow).await?;
        changed.ok_or(SignOnError::Disabled)
    }

    /// Checks whether there is another active admin.
    async fn other_admin(&self, id: AccountId) -> Result<bool, StoreError> {
        let mut page = Page {
            after: None,
            limit: PAGE,
        };
        loop {
            let accounts = self.stores.accounts.list(&page).await?;
            let mut others = accounts
                .iter()
                .filter(|other| other.id != id && other.active);
            if others.any(|other| other.permits(Permission::Administer)) {
                return Ok(true);
            }
            page.after = accounts.last().map(|last| last.id);
            if accounts.len() < PAGE {
                return Ok(false);
            }
        }
    }
}

fn key(state: &str) -> String {
    format!("sign-on:{}", tokens::hash(state))
}
