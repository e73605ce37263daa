//! Accounts: creates the first admin, signs people in and out, and manages sessions.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use metrics::{Counter, counter};
use secrecy::SecretString;
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::{
    api_tokens,
    audit::Audit,
    guesses::{Guesser, Guesses},
    passwords::{self, HashCost, PasswordError},
    reset_links::revoke_resets,
    tokens::{self, Token},
};
use crate::{
    clock::Clock,
    domain::{
        accounts::{Account, Actor, Browser, Session, TokenHash},
        grants::Access,
        ids::{AccountId, EmployeeId},
        invitations::Invitation,
        text::{Email, Name},
    },
    ports::{Page, Quota, RateLimits, StoreError},
    repositories::Repositories,
};

/// Why an account request failed.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The email address or the password is wrong, or the account is disabled. The error never
    /// reveals which.
    #[error("the email address or the password is wrong")]
    BadCredentials,
    /// The present password is wrong.
    #[error("the password is wrong")]
    WrongPassword,
    /// Too many wrong passwords were tried.
    #[error("too many wrong passwords were tried for this account")]
    TooManyGuesses {
        /// The time until the next try is allowed.
        wait: Duration,
    },
    /// The session ended meanwhile.
    #[error("the session has ended: sign in again")]
    SessionEnded,
    /// The set-up token is wrong, or too old.
    #[error(
        "the set-up link is wrong or older than an hour: restart the service and use the link that it prints"
    )]
    BadSetupToken,
    /// An account already exists.
    #[error("the service is already set up: sign in, or use `rollcall admin add`")]
    AlreadySetUp,
    /// Another account has the email address.
    #[error("this email address already has an account")]
    EmailTaken,
    /// The linked employee does not exist or was deleted.
    #[error("there is no such employee: add the employee first")]
    NoEmployee,
    /// The employee already has an account.
    #[error("this employee already has an account: each employee has at most one")]
    EmployeeTaken,
    /// The account has no permissions left, because its employee was deleted.
    #[error(
        "the employee of this account was deleted, so it has no permissions left: add another account"
    )]
    NoGrant,
    /// There is no account with the ID.
    #[error("no such account")]
    NotFound,
    /// A grant is for a site that does not exist or was removed.
    #[error("there is no such site: choose another one")]
    NoSite,
    /// No active admin would remain.
    #[error("this is the last admin who can sign in: make another account an admin first")]
    LastAdmin,
    /// Other requests kept changing accounts at the same time.
    #[error("other requests are changing this account at the same time")]
    Raced,
    /// No account has the email address.
    #[error("no account has this email address")]
    NoAccount,
    /// The new password is not accepted.
    #[error(transparent)]
    BadPassword(#[from] PasswordError),
    /// Hashing failed.
    #[error("the password could not be hashed")]
    Hashing,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The name of the claim on the first account, see [`crate::repositories::Settings::claim`].
const SETUP_CLAIM: &str = "setup";

/// How long the set-up link is valid.
const SETUP_VALID: SignedDuration = SignedDuration::from_hours(1);

/// How long an instance that claimed the first account may take to create it.
const CLAIM_TIMEOUT: SignedDuration = SignedDuration::from_mins(1);

/// The data of a new account.
#[derive(Debug, Clone)]
pub struct NewAccount {
    /// The email address, unique.
    pub email: Email,
    /// The name by which pages address the person.
    pub name: Name,
    /// The password, see [`check_password`](super::passwords::check_password).
    pub password: SecretString,
    /// The permissions.
    pub access: Access,
}

/// The wrong passwords that an account allows: from all browsers together that it does not know,
/// and from each that it knows.
pub const GUESSES: Quota = Quota {
    most: 10,
    window: Duration::from_hours(1),
};

/// The settings of accounts.
#[derive(Debug, Clone)]
pub struct AccountRules {
    /// How long a session lasts.
    pub session_age: SignedDuration,
    /// How long a session lasts without use; `None` for its whole age.
    pub session_idle: Option<SignedDuration>,
    /// The work of hashing a password.
    pub hash_cost: HashCost,
    /// The wrong passwords that an account allows; `None` for no limit.
    pub guesses: Option<Quota>,
}

/// The browser that sent a request.
#[derive(Debug, Clone)]
pub struct Visitor {
    /// What is shown of it.
    pub browser: Browser,
    /// The token by which accounts know it, if it has one.
    pub token: Option<Token>,
}

/// A session that has just begun, or has got a new token.
#[derive(Debug)]
pub struct NewSession {
    /// The account.
    pub account: Account,
    /// The session.
    pub session: Session,
    /// The token for the cookie.
    pub token: Token,
    /// The token by which the account now knows the browser; `None` if that is as before.
    pub browser: Option<Token>,
    /// Whether the person signed in with this browser before.
    pub familiar: bool,
}

/// The service for accounts and their sessions.
pub struct Accounts {
    pub(super) stores: Repositories,
    pub(super) audit: Audit,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) rules: AccountRules,
    pub(super) guesses: Guesses,
    pub(super) limits: Arc<dyn RateLimits>,
    /// The set-up token, and when it expires.
    setup: OnceLock<(TokenHash, Timestamp)>,
    /// A hash to verify against if there is no account, so that the response time reveals nothing.
    decoy: OnceLock<String>,
}

impl Accounts {
    /// Creates the service.
    pub fn new(
        stores: Repositories,
        audit: Audit,
        clock: Arc<dyn Clock>,
        limits: Arc<dyn RateLimits>,
        rules: AccountRules,
    ) -> Self {
        for result in ["right", "wrong", "refused"] {
            // A counter must exist before its first increase, or Prometheus does not see that one.
            sign_ins(result).increment(0);
        }
        Self {
            stores,
            audit,
            clock,
            guesses: Guesses::new(limits.clone(), rules.guesses),
            limits,
            rules,
            setup: OnceLock::new(),
            decoy: OnceLock::new(),
        }
    }

    /// Checks whether no account exists yet.
    pub async fn needs_setup(&self) -> Result<bool, StoreError> {
        Ok(self
            .stores
            .accounts
            .list(&Page {
                after: None,
                limit: 1,
            })
            .await?
            .is_empty())
    }

    /// Returns a new token for the one-time set-up link on the first call of a process, then
    /// `None`.
    pub fn offer_setup(&self) -> Option<Token> {
        let token = Token::mint(&*self.clock);
        let until = self.clock.now() + SETUP_VALID;
        self.setup.set((token.hash(), until)).ok().map(|()| token)
    }

    /// Creates the first account, an admin, for a caller with the set-up token, and signs in.
    pub async fn set_up(
        &self,
        token: &str,
        email: Email,
        name: Name,
        password: SecretString,
        visitor: Visitor,
    ) -> Result<NewSession, AccountError> {
        if !self.needs_setup().await? {
            return Err(AccountError::AlreadySetUp);
        }
        let (offered, until) = self.setup.get().ok_or(AccountError::BadSetupToken)?;
        let right = bool::from(offered.0.ct_eq(&tokens::hash(token).0));
        if !right || self.clock.now() >= *until {
            return Err(AccountError::BadSetupToken);
        }
        let account = self
            .create_first(NewAccount {
                email,
                name,
                password,
                access: Access::admin(),
            })
            .await?
            .ok_or(AccountError::AlreadySetUp)?;
        let now = self.clock.now();
        self.begin_session(account, visitor, Some(now)).await
    }

    /// Creates the first account. Returns `None` if another instance was faster.
    pub async fn create_first(&self, new: NewAccount) -> Result<Option<Account>, AccountError> {
        let account = self.prepare(new).await?;
        self.free_stale_claim().await?;
        if !self
            .stores
            .settings
            .claim(SETUP_CLAIM, &account.id.to_string())
            .await?
        {
            return Ok(None);
        }
        match self.insert(Actor::System, account).await {
            Ok(account) => Ok(Some(account)),
            Err(error) => {
                self.stores.settings.release(SETUP_CLAIM).await?;
                Err(error)
            }
        }
    }

    /// Releases the claim on the first account if its holder did not create the account in time.
    async fn free_stale_claim(&self) -> Result<(), AccountError> {
        let Some(claim) = self.stores.settings.get(SETUP_CLAIM).await? else {
            return Ok(());
        };
        // The ID in the claim is a UUIDv7, which holds the time of the claim.
        let made = Uuid::parse_str(&claim)
            .ok()
            .and_then(|id| id.get_timestamp());
        let seconds = made.map_or(0, |made| made.to_unix().0);
        let age = self.clock.now().as_second() - i64::try_from(seconds).unwrap_or(i64::MAX);
        if age > CLAIM_TIMEOUT.as_secs() && self.needs_setup().await? {
            self.stores.settings.release(SETUP_CLAIM).await?;
        }
        Ok(())
    }

    /// Adds an account.
    pub async fn create(&self, actor: Actor, new: NewAccount) -> Result<Account, AccountError> {
        self.check_employee(new.access.employee()).await?;
        let account = self.prepare(new).await?;
        self.add_prepared(actor, account).await
    }

    /// Adds an account that [`prepare`](Self::prepare) made. If it is linked to an employee, that
    /// employee must exist. The check is repeated afterwards, because a deletion at the same moment
    /// does not find the account.
    pub(super) async fn add_prepared(
        &self,
        actor: Actor,
        account: Account,
    ) -> Result<Account, AccountError> {
        let employee = account.access.employee();
        self.check_employee(employee).await?;
        self.check_sites(None, &account.access).await?;
        let account = self.insert(actor, account).await?;
        if let Err(error) = self.check_employee(employee).await {
            self.close_unlinked(account.id).await?;
            return Err(error);
        }
        Ok(account)
    }

    /// Checks whether an account with this address and access could be added now.
    pub(super) async fn check_new(
        &self,
        email: &Email,
        access: &Access,
    ) -> Result<(), AccountError> {
        self.check_employee(access.employee()).await?;
        self.check_sites(None, access).await?;
        if self.stores.accounts.find_by_email(email).await?.is_some() {
            return Err(AccountError::EmailTaken);
        }
        if let Some(id) = access.employee()
            && self.stores.accounts.find_by_employee(id).await?.is_some()
        {
            return Err(AccountError::EmployeeTaken);
        }
        Ok(())
    }

    /// Disables an account whose new employee was deleted at the same moment, unless it is an admin.
    pub(super) async fn close_unlinked(&self, id: AccountId) -> Result<(), StoreError> {
        let closed = |account: Account| Account {
            active: account.is_active_admin(),
            ..account.after_deletion()
        };
        self.stores.accounts.change(id, closed).await?;
        Ok(())
    }

    pub(super) async fn check_employee(
        &self,
        employee: Option<EmployeeId>,
    ) -> Result<(), AccountError> {
        let Some(id) = employee else {
            return Ok(());
        };
        let employee = self.stores.employees.find(id).await?;
        match employee.is_some_and(|employee| employee.deleted_at.is_none()) {
            true => Ok(()),
            false => Err(AccountError::NoEmployee),
        }
    }

    /// Sets a new password, ends all sessions of the account and revokes its API tokens. A disabled
    /// account stays disabled.
    pub async fn reset_password(
        &self,
        actor: Actor,
        email: &Email,
        password: SecretString,
    ) -> Result<Account, AccountError> {
        let account = self.stores.accounts.find_by_email(email).await?;
        let account = account.ok_or(AccountError::NoAccount)?;
        if account.access.is_empty() {
            return Err(AccountError::NoGrant);
        }
        let hash = self.hash(&account.email, &account.name, password).await?;
        self.replace_password(actor, &account, hash).await
    }

    /// Sets the hash of a new password, ends all sessions of the account, revokes its API tokens and
    /// other links for a new password, and makes it forget the browsers that it knows.
    pub(super) async fn replace_password(
        &self,
        actor: Actor,
        account: &Account,
        hash: String,
    ) -> Result<Account, AccountError> {
        self.audit
            .record(actor, "account.reset_password", account.id, None)
            .await?;
        let reset = |account: Account| Account {
            password_hash: hash.clone(),
            ..account
        };
        let changed = self.stores.accounts.change(account.id, reset).await?;
        let changed = changed.ok_or(AccountError::NoAccount)?;
        self.stores.sessions.delete_by_account(changed.id).await?;
        self.stores.known_browsers.remove(changed.id).await?;
        self.revoke_tokens(actor, changed.id).await?;
        self.revoke_resets(actor, changed.id).await?;
        Ok(changed)
    }

    /// Revokes all links for a new password of an account, because it has one.
    pub(super) async fn revoke_resets(
        &self,
        actor: Actor,
        account: AccountId,
    ) -> Result<(), StoreError> {
        let all = |_: &Invitation| true;
        revoke_resets(&self.stores, &self.audit, actor, account, all).await?;
        Ok(())
    }

    pub(super) async fn revoke_tokens(
        &self,
        actor: Actor,
        account: AccountId,
    ) -> Result<(), StoreError> {
        let now = self.clock.now();
        api_tokens::revoke_all(&self.stores, &self.audit, actor, account, now).await
    }

    /// Returns the account with this email address and password. Signing in may need a second step.
    ///
    /// # Errors
    /// [`AccountError::BadCredentials`], and [`AccountError::TooManyGuesses`] before it is checked.
    pub async fn check_credentials(
        &self,
        email: &str,
        password: SecretString,
        visitor: &Visitor,
    ) -> Result<Account, AccountError> {
        let (account, address) = match Email::parse(email) {
            Ok(email) => {
                let account = self.stores.accounts.find_by_email(&email).await?;
                (account, email.to_string())
            }
            Err(_) => (None, email.trim().to_lowercase()),
        };
        let guesser = self.guesser(account.as_ref(), &address, visitor).await?;
        if let Err(wait) = self.guesses.count(&guesser).await {
            sign_ins("refused").increment(1);
            return Err(AccountError::TooManyGuesses { wait });
        }
        let hash = match &account {
            Some(account) if account.has_password() => account.password_hash.clone(),
            _ => self.decoy().await?,
        };
        let right = passwords::verify(password.clone(), hash).await;
        let known = account.as_ref().map(|account| account.id.to_string());
        let Some(account) =
            account.filter(|account| right && account.active && account.has_password())
        else {
            sign_ins("wrong").increment(1);
            // Not in the audit trail: the time of a write would tell whether there is an account.
            let (account, address) = (known.as_ref(), &visitor.browser.address);
            tracing::info!(account, %address, "a sign-in was refused");
            return Err(AccountError::BadCredentials);
        };
        self.guesses.was_right(&guesser).await;
        sign_ins("right").increment(1);
        self.strengthen_hash(account, password).await
    }

    /// Returns with whom a visitor's wrong passwords count.
    async fn guesser(
        &self,
        account: Option<&Account>,
        address: &str,
        visitor: &Visitor,
    ) -> Result<Guesser, StoreError> {
        let Some(token) = visitor.token.as_ref().map(Token::hash) else {
            return Ok(Guesser::stranger(address));
        };
        // Without an account, too, so that the time reveals nothing.
        let id = account.map_or(AccountId::new(Uuid::nil()), |account| account.id);
        Ok(match self.stores.known_browsers.knows(id, token).await? {
            true => Guesser::browser(id, token),
            false => Guesser::stranger(address),
        })
    }

    /// Returns the accounts with these IDs, including disabled ones. IDs without an account are
    /// left out.
    pub async fn find_many(&self, ids: &[AccountId]) -> Result<Vec<Account>, StoreError> {
        self.stores.accounts.find_many(ids).await
    }

    /// Makes an account with a checked password, without adding it.
    pub(super) async fn prepare(&self, new: NewAccount) -> Result<Account, AccountError> {
        let password_hash = self.hash(&new.email, &new.name, new.password).await?;
        Ok(Account {
            id: AccountId::new(self.clock.id()),
            email: new.email,
            name: new.name,
            access: new.access,
            password_hash,
            active: true,
            created_at: self.clock.now(),
            signed_in_at: None,
            invited_by: None,
            sessions_ended: 0,
        })
    }

    async fn insert(&self, actor: Actor, account: Account) -> Result<Account, AccountError> {
        let mut detail = account.access.to_string();
        if let Some(inviter) = account.invited_by {
            detail = format!("{detail}; invited by account:{inviter}");
        }
        self.audit
            .record(actor, "account.create", account.id, Some(detail))
            .await?;
        match self.stores.accounts.insert(&account).await {
            Ok(()) => Ok(account),
            Err(StoreError::Conflict) => {
                let same = self.stores.accounts.find_by_email(&account.email).await?;
                Err(match same {
                    Some(_) => AccountError::EmailTaken,
                    None => AccountError::EmployeeTaken,
                })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Checks and hashes a new password of an account.
    pub(super) async fn hash(
        &self,
        email: &Email,
        name: &Name,
        password: SecretString,
    ) -> Result<String, AccountError> {
        let (email, name) = (email.clone(), name.clone());
        let hash = passwords::hash_new(password, email, name, self.rules.hash_cost).await?;
        hash.ok_or(AccountError::Hashing)
    }

    /// Hashes the password of an account again if the stored hash was made with less work. Does
    /// nothing if another request changes the password at the same moment. Returns the account.
    async fn strengthen_hash(
        &self,
        account: Account,
        password: SecretString,
    ) -> Result<Account, AccountError> {
        let cost = self.rules.hash_cost;
        if !cost.exceeds(&account.password_hash) {
            return Ok(account);
        }
        let hash = passwords::hash(password, cost).await;
        let hash = hash.ok_or(AccountError::Hashing)?;
        self.audit
            .record(Actor::System, "account.hash_again", account.id, None)
            .await?;
        let again = |stored: Account| {
            (stored.password_hash == account.password_hash).then(|| Account {
                password_hash: hash.clone(),
                ..stored
            })
        };
        let changed = self.stores.accounts.change_if(account.id, again).await?;
        // Another password ended this sign-in; the session notices.
        Ok(changed.unwrap_or(account))
    }

    async fn decoy(&self) -> Result<String, AccountError> {
        if let Some(hash) = self.decoy.get() {
            return Ok(hash.clone());
        }
        let secret = Token::mint(&*self.clock).reveal().into();
        let hash = passwords::hash(secret, self.rules.hash_cost).await;
        let hash = hash.ok_or(AccountError::Hashing)?;
        Ok(self.decoy.get_or_init(|| hash).clone())
    }
}

/// Returns the counter of sign-ins with a result.
fn sign_ins(result: &'static str) -> Counter {
    counter!("rollcall_sign_ins_total", "result" => result)
}
