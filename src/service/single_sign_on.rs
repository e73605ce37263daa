//! Single sign-on: signs people in who proved to an identity provider who they are.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use super::{
    account_changes::{AccountSettings, forget},
    accounts::{AccountError, Accounts},
    application_cache::AppCache,
    audit::Audit,
    tokens,
};
use crate::{
    clock::Clock,
    domain::{
        accounts::{Account, Actor},
        grants::{Access, Grant, Role, Scope},
        ids::AccountId,
        second_factors::SecondFactors,
        single_sign_on::{ExternalIdentity, GroupRole},
        text::{Email, Name},
    },
    ports::{IdentityProvider, PendingSignIn, ProvidedIdentity, ProviderError, StoreError},
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

/// How far the provider's clock may be from this one.
const CLOCKS: SignedDuration = SignedDuration::from_mins(1);

/// A sign-in in the cache, under the hash of its state.
#[derive(Serialize, Deserialize)]
struct Begun {
    pending: PendingSignIn,
    /// When a person began to confirm who they are; `None` for signing in.
    confirming: Option<Timestamp>,
}

/// A person who came back from the provider.
#[derive(Debug)]
pub struct SignedOn {
    /// Their account.
    pub account: Account,
    /// When they proved to the provider who they are; `None` if it does not say. The provider may
    /// have remembered them since.
    pub proved_at: Option<Timestamp>,
}

/// The service for single sign-on.
pub struct SingleSignOn {
    provider: Arc<dyn IdentityProvider>,
    /// The name of the provider on the sign-in page.
    name: String,
    /// What groups may do; `None` if grants do not follow groups.
    roles: Option<Vec<GroupRole>>,
    accounts: Arc<Accounts>,
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
        accounts: Arc<Accounts>,
        stores: Repositories,
        cache: AppCache,
        audit: Audit,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            provider,
            name,
            roles,
            accounts,
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
    /// the browser must have when it returns to `redirect`. If `confirm`, the provider must ask for a
    /// new proof of who the person is.
    ///
    /// # Errors
    /// If the provider is unavailable.
    pub async fn begin(
        &self,
        redirect: &str,
        confirm: bool,
    ) -> Result<(String, String), SignOnError> {
        let confirming = confirm.then(|| self.clock.now());
        let (address, pending) = self.provider.begin(redirect, confirm).await?;
        let state = pending.state.clone();
        let begun = Begun {
            pending,
            confirming,
        };
        self.cache.set(&key(&state), &begun).await;
        Ok((address, state))
    }

    /// Finishes a sign-in: returns the account of the person. `begun` is the state that the browser
    /// has, `state` the one in the address.
    ///
    /// # Errors
    /// If the person may not sign in, did not begin the sign-in in this browser, or should have given
    /// a new proof and did not.
    pub async fn finish(
        &self,
        redirect: &str,
        begun: Option<&str>,
        state: &str,
        code: SecretString,
    ) -> Result<SignedOn, SignOnError> {
        if begun != Some(state) {
            return Err(SignOnError::Expired);
        }
        let known: Option<Begun> = self.cache.get(&key(state)).await;
        let Begun {
            pending,
            confirming,
        } = known.ok_or(SignOnError::Expired)?;
        if !self.cache.delete(&key(state)).await {
            return Err(SignOnError::Expired);
        }
        let person = self.provider.finish(redirect, code, &pending).await?;
        let now = self.clock.now();
        let proved_at = person.proved_at.filter(|at| *at <= now + CLOCKS);
        if confirming.is_some_and(|since| proved_at.is_none_or(|at| at < since - CLOCKS)) {
            let why = "it does not say that the person proved again who they are (auth_time)";
            return Err(ProviderError::Refused(why.to_owned()).into());
        }
        let account = self.account(&person).await?;
        let account = self.follow_groups(account, &person).await?;
        if !account.active {
            return Err(SignOnError::Disabled);
        }
        if account.access.is_empty() {
            self.end_access(account.id).await?;
            return Err(SignOnError::NoAccess);
        }
        Ok(SignedOn { account, proved_at })
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
            let audit = &self.audit;
            audit
                .record(Actor::System, "account.unlink", factors.account, None)
                .await?;
            forget(&self.stores, audit, Actor::System, factors.account).await?;
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

    /// Ends the sessions and API tokens of an account to which nothing is granted any more.
    async fn end_access(&self, id: AccountId) -> Result<(), StoreError> {
        self.stores.sessions.delete_by_account(id).await?;
        self.accounts.revoke_tokens(Actor::System, id).await
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
            sessions_ended: 0,
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
        let Some(grants) = self.grants(&person.groups).await? else {
            return Ok(account);
        };
        let admin = Grant::new(Role::Admin, Scope::Everything).ok();
        let follow = async |stays: Option<Grant>| {
            let edit = |account: &Account| {
                let kept = |grant: &Grant| grant.scope() == Scope::Own || Some(*grant) == stays;
                let kept = account.access.grants().filter(kept);
                let grants = grants.iter().copied().chain(kept);
                Ok(AccountSettings {
                    access: account.access.clone().with_grants(grants),
                    ..AccountSettings::of(account)
                })
            };
            self.accounts.change(Actor::System, account.id, edit).await
        };
        let changed = match follow(None).await {
            Err(AccountError::LastAdmin) => {
                warn!(account = %account.id, "the last admin stays one, although no group says so");
                follow(admin).await
            }
            changed => changed,
        };
        changed.map_err(|error| match error {
            AccountError::NotFound => SignOnError::Disabled,
            AccountError::Store(error) => error.into(),
            // Other requests change the account, or a site of the groups, at the same moment.
            _ => StoreError::Conflict.into(),
        })
    }
}

fn key(state: &str) -> String {
    format!("sign-on:{}", tokens::hash(state))
}
