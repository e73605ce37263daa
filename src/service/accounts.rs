//! Accounts: the first admin, signing in and out, sessions.

use std::sync::{Arc, OnceLock};

use argon2::{Argon2, PasswordHasher, PasswordVerifier, password_hash::phc::PasswordHash};
use jiff::SignedDuration;
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::{
    audit::Audit,
    tokens::{self, Token},
};
use crate::{
    clock::Clock,
    domain::{
        accounts::{Account, Actor, Role, Session, TokenHash},
        ids::AccountId,
        text::{Email, Name},
    },
    ports::{Page, StoreError, Stores},
};

/// Why an account request failed.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The e-mail address or the password is wrong, or the account is disabled: never said which.
    #[error("the e-mail address or the password is wrong")]
    BadCredentials,
    /// The set-up token is wrong.
    #[error("the set-up token is wrong: use the link that the service printed when it started")]
    BadSetupToken,
    /// There is an account already.
    #[error("the service is set up already: sign in, or use `rollcall admin create`")]
    AlreadySetUp,
    /// The e-mail address has an account.
    #[error("this e-mail address has an account already")]
    EmailTaken,
    /// There is no such account.
    #[error("no account has this e-mail address")]
    NoAccount,
    /// The password is too short or too long.
    #[error("a password has {PASSWORD_LEAST} to {PASSWORD_MOST} characters")]
    BadPassword,
    /// Hashing failed.
    #[error("the password could not be hashed")]
    Hashing,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Fewest characters of a password (NIST SP 800-63B asks for 8 at least).
pub const PASSWORD_LEAST: usize = 10;
/// Most characters of a password: enough for any phrase, bounded for the hash.
pub const PASSWORD_MOST: usize = 256;

/// The name under which the first account is claimed, see [`crate::ports::SettingStore::claim`].
const SETUP_CLAIM: &str = "setup";

/// How long whoever claimed it may take to make it.
const CLAIMED: SignedDuration = SignedDuration::from_mins(1);

/// How many passwords are hashed at a time, each in 19 MiB.
const HASHED_AT_ONCE: usize = 4;
static HASHING: Semaphore = Semaphore::const_new(HASHED_AT_ONCE);

/// A new account, as asked for.
#[derive(Debug, Clone)]
pub struct NewAccount {
    /// Unique.
    pub email: Email,
    /// How to address them.
    pub name: Name,
    /// 10 to 256 characters.
    pub password: SecretString,
    /// What they may do.
    pub role: Role,
}

/// Accounts and their sessions.
pub struct Accounts {
    stores: Stores,
    audit: Audit,
    clock: Arc<dyn Clock>,
    session_age: SignedDuration,
    setup: OnceLock<TokenHash>,
    /// Verified against when there is no account, so that the time taken tells nothing.
    decoy: OnceLock<String>,
}

impl Accounts {
    /// Over the stores; sessions live for `session_age`.
    pub fn new(
        stores: Stores,
        audit: Audit,
        clock: Arc<dyn Clock>,
        session_age: SignedDuration,
    ) -> Self {
        Self {
            stores,
            audit,
            clock,
            session_age,
            setup: OnceLock::new(),
            decoy: OnceLock::new(),
        }
    }

    /// How long a session lives.
    pub fn session_age(&self) -> SignedDuration {
        self.session_age
    }

    /// Whether nobody has an account yet.
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

    /// Makes the token of the one-time set-up link; only the first call of a process does.
    pub fn offer_setup(&self) -> Option<Token> {
        let token = Token::mint(&*self.clock);
        self.setup.set(token.hash()).ok().map(|()| token)
    }

    /// Makes the first account, an admin, for whoever holds the set-up token, and signs in.
    pub async fn set_up(
        &self,
        token: &str,
        email: Email,
        name: Name,
        password: SecretString,
    ) -> Result<(Account, Token), AccountError> {
        if !self.needs_setup().await? {
            return Err(AccountError::AlreadySetUp);
        }
        let offered = self.setup.get().ok_or(AccountError::BadSetupToken)?;
        if !bool::from(offered.0.ct_eq(&tokens::hash(token).0)) {
            return Err(AccountError::BadSetupToken);
        }
        let account = self
            .create_first(NewAccount {
                email,
                name,
                password,
                role: Role::Admin,
            })
            .await?
            .ok_or(AccountError::AlreadySetUp)?;
        let session = self.open_session(&account).await?;
        Ok((account, session))
    }

    /// Makes the first account; `None` when another instance was faster.
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

    /// Frees the claim of one who was to make the first account, long ago, and did not come to it.
    async fn free_stale_claim(&self) -> Result<(), AccountError> {
        let Some(claim) = self.stores.settings.get(SETUP_CLAIM).await? else {
            return Ok(());
        };
        // Identities hold the time at which they were made.
        let made = Uuid::parse_str(&claim)
            .ok()
            .and_then(|id| id.get_timestamp());
        let seconds = made.map_or(0, |made| made.to_unix().0);
        let age = self.clock.now().as_second() - i64::try_from(seconds).unwrap_or(i64::MAX);
        if age > CLAIMED.as_secs() && self.needs_setup().await? {
            self.stores.settings.release(SETUP_CLAIM).await?;
        }
        Ok(())
    }

    /// Makes an account.
    pub async fn create(&self, actor: Actor, new: NewAccount) -> Result<Account, AccountError> {
        let account = self.prepare(new).await?;
        self.insert(actor, account).await
    }

    /// Sets a new password and ends all sessions of the account.
    pub async fn reset_password(
        &self,
        actor: Actor,
        email: &Email,
        password: SecretString,
    ) -> Result<Account, AccountError> {
        let mut account = self
            .stores
            .accounts
            .find_by_email(email)
            .await?
            .ok_or(AccountError::NoAccount)?;
        account.password_hash = hash_password(password).await?;
        account.active = true;
        self.audit
            .record(actor, "account.reset_password", account.id, None)
            .await?;
        self.stores.accounts.update(&account).await?;
        self.stores.sessions.delete_of(account.id).await?;
        Ok(account)
    }

    /// Signs in: a new session for the right password.
    pub async fn sign_in(
        &self,
        email: &str,
        password: SecretString,
    ) -> Result<(Account, Token), AccountError> {
        let account = match Email::parse(email) {
            Ok(email) => self.stores.accounts.find_by_email(&email).await?,
            Err(_) => None,
        };
        let hash = match &account {
            Some(account) => account.password_hash.clone(),
            None => self.decoy().await?,
        };
        let right = verify_password(password, hash).await;
        let account = account
            .filter(|account| right && account.active)
            .ok_or(AccountError::BadCredentials)?;
        let session = self.open_session(&account).await?;
        // The password may have been reset, and all sessions ended, while it was compared.
        let now = self.stores.accounts.find(account.id).await?;
        if !now.is_some_and(|now| now.active && now.password_hash == account.password_hash) {
            self.stores.sessions.delete(session.hash()).await?;
            return Err(AccountError::BadCredentials);
        }
        Ok((account, session))
    }

    /// Ends a session; nothing happens when there is none.
    pub async fn sign_out(&self, token: &str) -> Result<(), StoreError> {
        self.stores
            .sessions
            .delete(tokens::hash(token))
            .await
            .map(drop)
    }

    /// The sessions of an account that have not ended, the newest first.
    pub async fn sessions(&self, account: AccountId) -> Result<Vec<Session>, StoreError> {
        let mut sessions = self.stores.sessions.of(account).await?;
        let now = self.clock.now();
        sessions.retain(|session| session.expires_at > now);
        Ok(sessions)
    }

    /// Ends one session of an account, known by the beginning of its hash; false when it has
    /// none like that.
    pub async fn end_session(&self, account: AccountId, id: &str) -> Result<bool, StoreError> {
        let sessions = self.stores.sessions.of(account).await?;
        let found = sessions.iter().find(|session| session.id() == id);
        match found {
            Some(session) => self.stores.sessions.delete(session.hash).await,
            None => Ok(false),
        }
    }

    /// Whose session a token is; `None` when it has ended or the account is disabled.
    pub async fn authenticate(&self, token: &str) -> Result<Option<Account>, StoreError> {
        let session = self.stores.sessions.find(tokens::hash(token)).await?;
        let Some(session) = session.filter(|session| session.expires_at > self.clock.now()) else {
            return Ok(None);
        };
        let account = self.stores.accounts.find(session.account).await?;
        Ok(account.filter(|account| account.active))
    }

    async fn prepare(&self, new: NewAccount) -> Result<Account, AccountError> {
        Ok(Account {
            id: AccountId::new(self.clock.id()),
            email: new.email,
            name: new.name,
            role: new.role,
            password_hash: hash_password(new.password).await?,
            active: true,
            created_at: self.clock.now(),
        })
    }

    async fn insert(&self, actor: Actor, account: Account) -> Result<Account, AccountError> {
        let detail = Some(account.role.as_str().to_owned());
        self.audit
            .record(actor, "account.create", account.id, detail)
            .await?;
        match self.stores.accounts.insert(&account).await {
            Ok(()) => Ok(account),
            Err(StoreError::Conflict) => Err(AccountError::EmailTaken),
            Err(error) => Err(error.into()),
        }
    }

    async fn open_session(&self, account: &Account) -> Result<Token, AccountError> {
        let token = Token::mint(&*self.clock);
        let now = self.clock.now();
        let session = Session {
            hash: token.hash(),
            account: account.id,
            created_at: now,
            expires_at: now.saturating_add(self.session_age).unwrap_or(now),
        };
        self.stores.sessions.insert(&session).await?;
        Ok(token)
    }

    async fn decoy(&self) -> Result<String, AccountError> {
        if let Some(hash) = self.decoy.get() {
            return Ok(hash.clone());
        }
        let hash = hash_password(Token::mint(&*self.clock).reveal().into()).await?;
        Ok(self.decoy.get_or_init(|| hash).clone())
    }
}

/// Whether a password is one that accounts may have.
pub fn check_password(password: &SecretString) -> Result<(), AccountError> {
    let length = password.expose_secret().chars().count();
    if (PASSWORD_LEAST..=PASSWORD_MOST).contains(&length) {
        Ok(())
    } else {
        Err(AccountError::BadPassword)
    }
}

/// argon2id with the crate's defaults (19 MiB, 2 passes: OWASP's recommendation), off the async threads.
async fn hash_password(password: SecretString) -> Result<String, AccountError> {
    check_password(&password)?;
    let hash = move || {
        let hash: Result<PasswordHash, _> =
            Argon2::default().hash_password(password.expose_secret().as_bytes());
        hash.map(|hash| hash.to_string())
            .map_err(|_| AccountError::Hashing)
    };
    let _turn = HASHING.acquire().await;
    tokio::task::spawn_blocking(hash)
        .await
        .map_err(|_| AccountError::Hashing)?
}

/// Whether a password is the one of a PHC string; no for a string that is none.
async fn verify_password(password: SecretString, hash: String) -> bool {
    let verify = move || {
        PasswordHash::new(&hash).is_ok_and(|hash| {
            let password = password.expose_secret().as_bytes();
            password.len() <= 4 * PASSWORD_MOST
                && Argon2::default().verify_password(password, &hash).is_ok()
        })
    };
    let _turn = HASHING.acquire().await;
    tokio::task::spawn_blocking(verify).await.unwrap_or(false)
}
