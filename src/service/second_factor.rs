//! Second factors: one-time codes of an app, recovery codes, passkeys, and the second step of signing
//! in. A passkey also signs in alone.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracing::{info, warn};
use zeroize::Zeroizing;

use super::{
    api_tokens,
    application_cache::AppCache,
    audit::Audit,
    tokens::{self, Token},
    typed_codes,
    webauthn::{self, CeremonyError},
};
use crate::{
    clock::Clock,
    domain::{
        accounts::{Account, Actor, TokenHash},
        grants::{Grant, Role},
        ids::{AccountId, PasskeyId},
        sealed::Binding,
        second_factors::{
            Authenticator, PASSKEYS_MOST, Passkey, RelyingParty, SECRET_LENGTH, SecondFactors,
            SharedSecret, check_code,
        },
        text::Name,
    },
    ports::{Quota, RateLimits, StoreError},
    repositories::Repositories,
    vault::{Vault, VaultError},
};

/// How long a sign-in may wait for its second step, and a new secret for its first code.
pub const PATIENCE: Duration = Duration::from_mins(5);

/// How many second factors can be tried with one ticket. Every ticket needs the password.
const BY_TICKET: Quota = Quota {
    most: 5,
    window: PATIENCE,
};

/// How many wrong one-time codes can be tried for an account. Each guess is right with a probability of 3
/// in a million, so an attacker with the password gets in with 1 in 11 000 a day. Recovery codes
/// and passkeys cannot be guessed, so they are not counted: the owner still gets in.
const BY_ACCOUNT: Quota = Quota {
    most: 30,
    window: Duration::from_hours(24),
};

/// Number of recovery codes in a set.
const RECOVERY_CODES: usize = 10;
/// The length of a recovery code. 16 letters are 80 bits, so a fast hash is enough.
const RECOVERY_LENGTH: usize = 16;

/// The name of the setting with the roles that need a second factor.
const POLICY: &str = "security_policy";

/// How long an instance relies on what it read about policy and second factors.
const TRUSTED: SignedDuration = SignedDuration::from_secs(15);

/// Maximum number of accounts that are remembered.
const REMEMBERED: usize = 10_000;

/// Why a request about second factors failed.
#[derive(Debug, thiserror::Error)]
pub enum SecondFactorError {
    /// The code or the proof is wrong, or was used before.
    #[error("the code is wrong or was used before: enter the one that the app shows now")]
    WrongCode,
    /// The sign-in was not begun, took too long, or had too many wrong codes.
    #[error("the sign-in took too long or had too many wrong codes: begin again")]
    SignInExpired,
    /// Too many one-time codes were tried for the account.
    #[error("too many codes were tried: use a recovery code or a passkey, or try again later")]
    TooManyCodes {
        /// The time until another one can be tried.
        wait: Duration,
    },
    /// No secret waits for its first code, or no passkey was begun.
    #[error("it was not begun, or took longer than five minutes: begin again")]
    NotBegun,
    /// The passkey is not valid, or does not answer what was begun.
    #[error("the passkey was not accepted: try again, or use another way to sign in")]
    WrongPasskey,
    /// The account has the most passkeys that it can have.
    #[error("the account has {PASSKEYS_MOST} passkeys: remove one first")]
    TooManyPasskeys,
    /// The account has no password, so its identity provider decides who signs in.
    #[error(
        "this account signs in with the identity provider only: ask an admin for a link to set a password first"
    )]
    NoPassword,
    /// The account does not have this factor.
    #[error("the account does not have this second factor")]
    NotFound,
    /// The account is linked to nobody at the identity provider.
    #[error("the account is not linked to a person at the identity provider")]
    NotLinked,
    /// A role of the account needs a second factor, and this is the last one.
    #[error("a role of this account needs a second factor: add another one first")]
    LastFactor,
    /// There is no such account.
    #[error("no such account")]
    NoAccount,
    /// The secret could not be sealed or opened.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a client can do in the second step of signing in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// A one-time code.
    Code,
    /// A recovery code.
    RecoveryCode,
    /// A passkey.
    Passkey,
}

/// A sign-in that waits for its second step.
pub struct Challenge {
    /// The secret with which the second step is taken.
    pub ticket: Token,
    /// The factors that the account has.
    pub methods: Vec<Method>,
    /// The options for the browser, if a passkey can be used at this address.
    pub passkey: Option<Value>,
}

/// A proof of a second factor.
pub enum Proof<'a> {
    /// A one-time code.
    Code(&'a str),
    /// A recovery code.
    RecoveryCode(&'a str),
    /// The response of a passkey.
    Passkey(&'a Value),
}

/// What an account knows of its second factors.
#[derive(Clone, PartialEq)]
pub struct State {
    /// Whether an app shows one-time codes, and since when.
    pub totp: Option<Timestamp>,
    /// Number of recovery codes that are left.
    pub recovery_codes: usize,
    /// The passkeys.
    pub passkeys: Vec<Passkey>,
    /// Whether a role of the account needs a second factor.
    pub required: bool,
}

/// A sign-in in the cache, under the hash of its ticket.
#[derive(Serialize, Deserialize)]
struct Pending {
    account: AccountId,
    /// The hash of the password's hash: a new password ends the sign-in.
    password: TokenHash,
    /// What a passkey must answer.
    passkey: Option<Ceremony>,
}

/// A passkey ceremony in the cache.
#[derive(Serialize, Deserialize)]
struct Ceremony {
    party: RelyingParty,
    state: Vec<u8>,
}

/// Which roles need a second factor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecurityPolicy {
    /// The roles, each once.
    pub second_factor_required: Vec<Role>,
}

impl SecurityPolicy {
    /// Checks whether an account needs a second factor. An account without a password does not:
    /// its identity provider asks for one.
    fn requires(&self, account: &Account) -> bool {
        let mut roles = account.access.grants().map(Grant::role);
        let needs = roles.any(|role| self.second_factor_required.contains(&role));
        needs && account.has_password()
    }

    fn parse(text: &str) -> Self {
        let known = |word: &str| Role::parse(word).ok();
        Self {
            second_factor_required: text.split(',').filter_map(known).collect(),
        }
    }

    fn text(&self) -> String {
        let roles = self.second_factor_required.iter();
        roles
            .map(|role| role.as_str())
            .collect::<Vec<_>>()
            .join(",")
    }
}

/// What an instance read a short time ago.
#[derive(Default)]
struct Remembered {
    policy: Option<(Timestamp, SecurityPolicy)>,
    /// Accounts that have a second factor.
    protected: HashMap<AccountId, Timestamp>,
}

/// The service for second factors.
#[derive(derive_new::new)]
pub struct SecondFactorService {
    stores: Repositories,
    vault: Arc<Vault>,
    /// Its default lifetime is [`PATIENCE`].
    cache: AppCache,
    limits: Arc<dyn RateLimits>,
    audit: Audit,
    clock: Arc<dyn Clock>,
    #[new(default)]
    remembered: Mutex<Remembered>,
}

impl SecondFactorService {
    /// Returns the second factors of an account.
    pub async fn state(&self, account: &Account) -> Result<State, StoreError> {
        let factors = self.stores.second_factors.of(account.id).await?;
        Ok(State {
            totp: factors.totp.map(|totp| totp.added_at),
            recovery_codes: factors.recovery_codes.len(),
            passkeys: factors.passkeys,
            required: self.policy().await?.requires(account),
        })
    }

    /// Returns what these accounts sign in with besides their passwords, by account.
    pub async fn of_many(
        &self,
        ids: &[AccountId],
    ) -> Result<HashMap<AccountId, SecondFactors>, StoreError> {
        let found = self.stores.second_factors.of_many(ids).await?.into_iter();
        Ok(found.map(|factors| (factors.account, factors)).collect())
    }

    /// Makes a new secret for an app that shows one-time codes. It is used after
    /// [`confirm_totp`](Self::confirm_totp).
    ///
    /// # Errors
    /// [`SecondFactorError::NotBegun`] if the secret cannot be formatted.
    pub async fn begin_totp(&self, account: &Account) -> Result<SharedSecret, SecondFactorError> {
        let random = Zeroizing::new(self.clock.secret());
        let secret = &random[..SECRET_LENGTH];
        let shared = SharedSecret::new(secret, account.email.as_str());
        let shared = shared.ok_or(SecondFactorError::NotBegun)?;
        self.cache.set(&totp_key(account.id), &secret).await;
        Ok(shared)
    }

    /// Begins to use the new secret, whose first code proves that the app has it, instead of the
    /// secret before. Returns a new set of recovery codes.
    ///
    /// # Errors
    /// If no secret was made within [`PATIENCE`], the code is wrong, or the store fails.
    pub async fn confirm_totp(
        &self,
        account: &Account,
        code: &str,
    ) -> Result<Vec<String>, SecondFactorError> {
        let key = totp_key(account.id);
        let secret: Option<Vec<u8>> = self.cache.get(&key).await;
        let secret = Zeroizing::new(secret.ok_or(SecondFactorError::NotBegun)?);
        let now = self.clock.now();
        let last_step = check_code(&secret, code, now).ok_or(SecondFactorError::WrongCode)?;
        let binding = Binding::OneTimeCodes(account.id);
        let totp = Authenticator {
            secret: self.vault.seal(self.clock.nonce(), &secret, &binding)?,
            added_at: now,
            last_step,
        };
        let (codes, hashes) = self.recovery_codes();
        self.record(account.id, "add", "one-time codes").await?;
        let add = |factors| {
            Some(SecondFactors {
                totp: Some(totp.clone()),
                recovery_codes: hashes.clone(),
                ..factors
            })
        };
        self.stores.second_factors.change(account.id, add).await?;
        self.cache.delete(&key).await;
        Ok(codes)
    }

    /// Removes the app that shows one-time codes, and the recovery codes if nothing else is left.
    ///
    /// # Errors
    /// If there is none, or if it is the last factor of an account that needs one.
    pub async fn remove_totp(&self, account: &Account) -> Result<(), SecondFactorError> {
        self.remove(account, "one-time codes", |factors| {
            factors.totp.is_some().then_some(SecondFactors {
                totp: None,
                ..factors
            })
        })
        .await
    }

    /// Begins to add a passkey. Returns the options for the browser.
    ///
    /// # Errors
    /// If the account has the most passkeys or no password, or the store fails.
    pub async fn begin_passkey(
        &self,
        account: &Account,
        party: RelyingParty,
    ) -> Result<Value, SecondFactorError> {
        // A passkey would sign in a person whom the provider does not know any more.
        if !account.has_password() {
            return Err(SecondFactorError::NoPassword);
        }
        let factors = self.stores.second_factors.of(account.id).await?;
        if factors.passkeys.len() >= PASSKEYS_MOST {
            return Err(SecondFactorError::TooManyPasskeys);
        }
        let present: Vec<_> = factors.credentials(&party.id).collect();
        let begun = webauthn::begin_registration(&party, account, &present).map_err(refused)?;
        let state = begun.state;
        let ceremony = Ceremony { party, state };
        self.cache.set(&passkey_key(account.id), &ceremony).await;
        Ok(begun.options)
    }

    /// Adds the passkey that the browser made. Returns it, and a new set of recovery codes if the
    /// account has none.
    ///
    /// # Errors
    /// If it was not begun, or the response is not valid.
    pub async fn add_passkey(
        &self,
        account: &Account,
        name: Name,
        response: &Value,
    ) -> Result<(Passkey, Option<Vec<String>>), SecondFactorError> {
        let key = passkey_key(account.id);
        let ceremony: Option<Ceremony> = self.cache.get(&key).await;
        let Ceremony { party, state } = ceremony.ok_or(SecondFactorError::NotBegun)?;
        if !self.cache.delete(&key).await {
            return Err(SecondFactorError::NotBegun);
        }
        let credential = webauthn::finish_registration(&party, &state, response);
        let passkey = Passkey {
            id: PasskeyId::new(self.clock.id()),
            name,
            credential: credential.map_err(refused)?,
            added_at: self.clock.now(),
            used_at: None,
        };
        let (codes, hashes) = self.recovery_codes();
        let what = format!("passkey {}", passkey.id);
        self.record(account.id, "add", &what).await?;
        let mut first = false;
        let add = |mut factors: SecondFactors| {
            let full = factors.passkeys.len() >= PASSKEYS_MOST;
            if full || factors.passkey(&passkey.credential.id).is_some() {
                return None;
            }
            factors.passkeys.push(passkey.clone());
            first = factors.recovery_codes.is_empty();
            if first {
                factors.recovery_codes.clone_from(&hashes);
            }
            Some(factors)
        };
        let added = self.stores.second_factors.change(account.id, add).await?;
        added.ok_or(SecondFactorError::TooManyPasskeys)?;
        Ok((passkey, first.then_some(codes)))
    }

    /// Renames a passkey. Returns it.
    ///
    /// # Errors
    /// If there is no such passkey.
    pub async fn rename_passkey(
        &self,
        account: &Account,
        id: PasskeyId,
        name: &Name,
    ) -> Result<Passkey, SecondFactorError> {
        self.record(account.id, "rename", &format!("passkey {id}"))
            .await?;
        let rename = |mut factors: SecondFactors| {
            let passkey = factors.passkeys.iter_mut().find(|one| one.id == id)?;
            passkey.name = name.clone();
            Some(factors)
        };
        let renamed = self.stores.second_factors.change(account.id, rename);
        let passkeys = renamed.await?.map_or_else(Vec::new, |all| all.passkeys);
        let mut passkeys = passkeys.into_iter();
        let renamed = passkeys.find(|one| one.id == id);
        renamed.ok_or(SecondFactorError::NotFound)
    }

    /// Removes a passkey, and the recovery codes if nothing else is left.
    ///
    /// # Errors
    /// If there is no such passkey, or it is the last factor of an account that needs one.
    pub async fn remove_passkey(
        &self,
        account: &Account,
        id: PasskeyId,
    ) -> Result<(), SecondFactorError> {
        self.remove(account, &format!("passkey {id}"), |mut factors| {
            let at = factors.passkeys.iter().position(|one| one.id == id)?;
            factors.passkeys.remove(at);
            Some(factors)
        })
        .await
    }

    /// Begins to sign in with a passkey alone. Returns the options for the browser, and the secret
    /// that belongs to them.
    ///
    /// # Errors
    /// If the name of the service is not a host name.
    pub async fn begin_passkey_sign_in(
        &self,
        party: RelyingParty,
    ) -> Result<(Value, Token), SecondFactorError> {
        let begun = webauthn::begin_sign_in(&party).map_err(refused)?;
        let ticket = Token::mint(&*self.clock);
        let state = begun.state;
        let ceremony = Ceremony { party, state };
        self.cache.set(&sign_in_key(ticket.hash()), &ceremony).await;
        Ok((begun.options, ticket))
    }

    /// Signs in with a passkey alone: returns its account. The ticket is used then.
    ///
    /// # Errors
    /// If the sign-in was not begun, or the passkey is not valid.
    pub async fn passkey_sign_in(
        &self,
        ticket: &str,
        response: &Value,
    ) -> Result<Account, SecondFactorError> {
        let key = sign_in_key(tokens::hash(ticket));
        let ceremony: Option<Ceremony> = self.cache.get(&key).await;
        let Ceremony { party, state } = ceremony.ok_or(SecondFactorError::SignInExpired)?;
        if !self.cache.delete(&key).await {
            return Err(SecondFactorError::SignInExpired);
        }
        let (id, credential) = webauthn::claimed(response).map_err(refused)?;
        let account = self.stores.accounts.find(id).await?;
        let account = account.filter(|account| account.active && account.has_password());
        let account = account.ok_or(SecondFactorError::WrongPasskey)?;
        let factors = self.stores.second_factors.of(id).await?;
        let passkey = factors.passkey(&credential);
        let passkey = passkey.ok_or(SecondFactorError::WrongPasskey)?;
        let owner = (id, &passkey.credential);
        let new = webauthn::finish_sign_in(&party, &state, owner, response);
        self.use_passkey(id, passkey, new.map_err(refused)?).await?;
        Ok(account)
    }

    /// Writes the new state of a passkey after a use. Fails if another request used it meanwhile,
    /// and it counts its signatures.
    async fn use_passkey(
        &self,
        id: AccountId,
        passkey: &Passkey,
        state: Vec<u8>,
    ) -> Result<(), SecondFactorError> {
        self.record(id, "use", &format!("passkey {}", passkey.id))
            .await?;
        let now = self.clock.now();
        let used = |mut factors: SecondFactors| {
            let mut passkeys = factors.passkeys.iter_mut();
            let stored = passkeys.find(|one| one.id == passkey.id)?;
            if stored.credential.state != passkey.credential.state {
                return None;
            }
            stored.credential.state.clone_from(&state);
            stored.used_at = Some(now);
            Some(factors)
        };
        let used = self.stores.second_factors.change(id, used).await?;
        used.map(drop).ok_or(SecondFactorError::WrongPasskey)
    }

    /// Removes a factor: `without` returns the rest, or `None` if there is nothing to remove.
    async fn remove(
        &self,
        account: &Account,
        what: &str,
        without: impl Fn(SecondFactors) -> Option<SecondFactors>,
    ) -> Result<(), SecondFactorError> {
        let present = self.stores.second_factors.of(account.id).await?;
        let rest = without(present).ok_or(SecondFactorError::NotFound)?;
        if !rest.has_primary() && self.policy().await?.requires(account) {
            return Err(SecondFactorError::LastFactor);
        }
        self.record(account.id, "remove", what).await?;
        let remove = |factors| without(factors).map(SecondFactors::tidied);
        let removed = self
            .stores
            .second_factors
            .change(account.id, remove)
            .await?;
        self.forget(account.id);
        removed.map(drop).ok_or(SecondFactorError::NotFound)
    }

    /// Replaces all recovery codes of an account that has a second factor.
    ///
    /// # Errors
    /// [`SecondFactorError::NotFound`] without another second factor.
    pub async fn renew_recovery_codes(
        &self,
        account: &Account,
    ) -> Result<Vec<String>, SecondFactorError> {
        let present = self.stores.second_factors.of(account.id).await?;
        if !present.has_primary() {
            return Err(SecondFactorError::NotFound);
        }
        let (codes, hashes) = self.recovery_codes();
        self.record(account.id, "add", "recovery codes").await?;
        let renew = |factors: SecondFactors| {
            factors.has_primary().then(|| SecondFactors {
                recovery_codes: hashes.clone(),
                ..factors
            })
        };
        let renewed = self.stores.second_factors.change(account.id, renew).await?;
        renewed.map(|_| codes).ok_or(SecondFactorError::NotFound)
    }

    /// Returns a new set of recovery codes as people see them, and their hashes.
    fn recovery_codes(&self) -> (Vec<String>, Vec<TokenHash>) {
        let new = (0..RECOVERY_CODES).map(|_| typed_codes::mint(&*self.clock, RECOVERY_LENGTH));
        let new: Vec<String> = new.collect();
        let hashes = new.iter().map(|code| tokens::hash(code)).collect();
        let groups = |code: String| {
            let groups: Vec<_> = (0..RECOVERY_LENGTH / 4)
                .map(|group| &code[4 * group..4 * group + 4])
                .collect();
            groups.join("-")
        };
        (new.into_iter().map(groups).collect(), hashes)
    }

    /// Removes all second factors of an account, for a person who lost them, ends the sessions of the
    /// account, and revokes its API tokens.
    ///
    /// # Errors
    /// If there is no such account, or it has no second factor.
    pub async fn reset(&self, actor: Actor, account: AccountId) -> Result<(), SecondFactorError> {
        let now = self.clock.now();
        reset(&self.stores, &self.audit, actor, account, now).await?;
        self.forget(account);
        Ok(())
    }

    /// Ends the link of an account to a person at the identity provider, as [`unlink`].
    ///
    /// # Errors
    /// If there is no such account, or it is not linked.
    pub async fn unlink(&self, actor: Actor, account: AccountId) -> Result<(), SecondFactorError> {
        unlink(&self.stores, &self.audit, actor, account, self.clock.now()).await
    }

    /// Begins the second step for an account whose password was right; `None` if the account needs
    /// none. `party` is the service at this address, if browsers accept passkeys there.
    pub async fn challenge(
        &self,
        account: &Account,
        party: Option<RelyingParty>,
    ) -> Result<Option<Challenge>, SecondFactorError> {
        let factors = self.stores.second_factors.of(account.id).await?;
        if !factors.required() {
            return Ok(None);
        }
        let ticket = Token::mint(&*self.clock);
        let (mut passkey, mut options) = (None, None);
        if let Some(party) = party {
            let credentials: Vec<_> = factors.credentials(&party.id).collect();
            if !credentials.is_empty() {
                let begun = webauthn::begin_second_step(&party, &credentials).map_err(refused)?;
                options = Some(begun.options);
                let state = begun.state;
                passkey = Some(Ceremony { party, state });
            }
        }
        let pending = Pending {
            account: account.id,
            password: tokens::hash(&account.password_hash),
            passkey,
        };
        self.cache.set(&ticket_key(ticket.hash()), &pending).await;
        let code = factors.totp.map(|_| Method::Code);
        let recovery = (!factors.recovery_codes.is_empty()).then_some(Method::RecoveryCode);
        Ok(Some(Challenge {
            ticket,
            methods: [options.as_ref().map(|_| Method::Passkey), code, recovery]
                .into_iter()
                .flatten()
                .collect(),
            passkey: options,
        }))
    }

    /// Takes the second step: returns the account if the proof is right. The ticket is used then.
    ///
    /// # Errors
    /// If the ticket is not valid (any more), or the proof is wrong.
    pub async fn answer(
        &self,
        ticket: &str,
        proof: Proof<'_>,
    ) -> Result<Account, SecondFactorError> {
        let hash = tokens::hash(ticket);
        let key = ticket_key(hash);
        let pending: Option<Pending> = self.cache.get(&key).await;
        let pending = pending.ok_or(SecondFactorError::SignInExpired)?;
        let tries = format!("second-factor-ticket:{hash}");
        if !self.limits.check(&tries, BY_TICKET).await.allowed {
            self.cache.delete(&key).await;
            return Err(SecondFactorError::SignInExpired);
        }
        let account = self.stores.accounts.find(pending.account).await?;
        let account = account
            .filter(|account| account.active)
            .filter(|account| tokens::hash(&account.password_hash) == pending.password)
            .ok_or(SecondFactorError::SignInExpired)?;
        let (proved, what) = match proof {
            Proof::Code(code) => (self.use_code(account.id, code).await, "one-time code"),
            Proof::RecoveryCode(code) => {
                let proved = self.use_recovery_code(account.id, code).await;
                (proved, "recovery code")
            }
            Proof::Passkey(response) => {
                let ceremony = pending.passkey.ok_or(SecondFactorError::WrongPasskey)?;
                let proved = self.answer_passkey(account.id, &ceremony, response).await;
                (proved, "passkey")
            }
        };
        if let Err(SecondFactorError::WrongCode | SecondFactorError::WrongPasskey) = &proved {
            self.audit.refused(&*self.limits, account.id, what).await?;
        }
        proved?;
        // Of two requests at once, one has the ticket.
        if !self.cache.delete(&key).await {
            return Err(SecondFactorError::SignInExpired);
        }
        Ok(account)
    }

    /// Accepts a proof of who the person of an account is: the second step after the password, or a
    /// passkey alone. The ticket is that of the one or the other, and is used then.
    ///
    /// # Errors
    /// If the ticket is not valid (any more), the proof is wrong, or belongs to another account.
    pub async fn prove(
        &self,
        account: &Account,
        ticket: &str,
        proof: Proof<'_>,
    ) -> Result<(), SecondFactorError> {
        let key = ticket_key(tokens::hash(ticket));
        let second_step: Option<Pending> = self.cache.get(&key).await;
        let proved = match proof {
            Proof::Passkey(response) if second_step.is_none() => {
                self.passkey_sign_in(ticket, response).await?
            }
            proof => self.answer(ticket, proof).await?,
        };
        match proved.id == account.id {
            true => Ok(()),
            false => Err(SecondFactorError::WrongPasskey),
        }
    }

    /// Accepts a one-time code. Codes of this and earlier time steps are not accepted again.
    async fn use_code(&self, id: AccountId, code: &str) -> Result<(), SecondFactorError> {
        let tries = format!("second-factor:{id}");
        let verdict = self.limits.check(&tries, BY_ACCOUNT).await;
        if !verdict.allowed {
            warn!(account = %id, "too many one-time codes were tried with the right password");
            let wait = verdict.reset;
            return Err(SecondFactorError::TooManyCodes { wait });
        }
        let factors = self.stores.second_factors.of(id).await?;
        let totp = factors.totp.ok_or(SecondFactorError::WrongCode)?;
        let secret = self.vault.open(&totp.secret, &Binding::OneTimeCodes(id))?;
        let step = check_code(&secret, code, self.clock.now());
        let step = step.filter(|step| *step > totp.last_step);
        let step = step.ok_or(SecondFactorError::WrongCode)?;
        self.record(id, "use", "one-time code").await?;
        let added_at = totp.added_at;
        let used = |mut factors: SecondFactors| {
            let totp = factors.totp.as_mut()?;
            let fresh = totp.added_at == added_at && step > totp.last_step;
            totp.last_step = step;
            fresh.then_some(factors)
        };
        let used = self.stores.second_factors.change(id, used).await?;
        used.ok_or(SecondFactorError::WrongCode)?;
        // Only wrong ones count, or a person who signs in often is locked out.
        self.limits.take_back(&tries).await;
        Ok(())
    }

    /// Accepts the response of a passkey in the second step.
    async fn answer_passkey(
        &self,
        id: AccountId,
        Ceremony { party, state }: &Ceremony,
        response: &Value,
    ) -> Result<(), SecondFactorError> {
        let credential = webauthn::used(response).map_err(refused)?;
        let factors = self.stores.second_factors.of(id).await?;
        let passkey = factors.passkey(&credential);
        let passkey = passkey.ok_or(SecondFactorError::WrongPasskey)?;
        let owner = (id, &passkey.credential);
        let new = webauthn::finish_second_step(party, state, owner, response);
        self.use_passkey(id, passkey, new.map_err(refused)?).await
    }

    /// Accepts a recovery code, once.
    async fn use_recovery_code(&self, id: AccountId, code: &str) -> Result<(), SecondFactorError> {
        let hash = tokens::hash(&typed_codes::normalize(code));
        let factors = self.stores.second_factors.of(id).await?;
        if !factors.recovery_codes.contains(&hash) {
            return Err(SecondFactorError::WrongCode);
        }
        self.record(id, "use", "recovery code").await?;
        let used = |mut factors: SecondFactors| {
            let at = factors
                .recovery_codes
                .iter()
                .position(|code| *code == hash)?;
            factors.recovery_codes.remove(at);
            Some(factors)
        };
        let used = self.stores.second_factors.change(id, used).await?;
        used.map(drop).ok_or(SecondFactorError::WrongCode)
    }

    /// Writes an entry of the audit trail about an account's own factor.
    async fn record(&self, id: AccountId, verb: &str, what: &str) -> Result<(), StoreError> {
        let action = format!("second_factor.{verb}");
        let detail = Some(what.to_owned());
        self.audit
            .record(Actor::Account(id), &action, id, detail)
            .await
    }

    /// Returns which roles need a second factor.
    pub async fn policy(&self) -> Result<SecurityPolicy, StoreError> {
        let now = self.clock.now();
        if let Some((read, policy)) = &self.remembered().policy
            && now.duration_since(*read) < TRUSTED
        {
            return Ok(policy.clone());
        }
        let text = self.stores.settings.get(POLICY).await?;
        let policy = SecurityPolicy::parse(text.as_deref().unwrap_or_default());
        self.remembered().policy = Some((now, policy.clone()));
        Ok(policy)
    }

    /// Changes which roles need a second factor. The other instances follow within [`TRUSTED`].
    pub async fn set_policy(&self, actor: Actor, new: &SecurityPolicy) -> Result<(), StoreError> {
        let roles = match new.second_factor_required.is_empty() {
            true => "second factor required for no role".to_owned(),
            false => format!("second factor required for {}", new.text()),
        };
        self.audit
            .record(actor, "security_policy.change", POLICY, Some(roles))
            .await?;
        self.stores.settings.put(POLICY, &new.text()).await?;
        self.remembered().policy = None;
        Ok(())
    }

    /// Checks whether an account must set up a second factor before it can do anything else. Reads
    /// the store at most every [`TRUSTED`], and for accounts without a second factor that need one.
    pub async fn must_set_up(&self, account: &Account) -> Result<bool, StoreError> {
        if !self.policy().await?.requires(account) {
            return Ok(false);
        }
        let now = self.clock.now();
        let read = self.remembered().protected.get(&account.id).copied();
        if read.is_some_and(|read| now.duration_since(read) < TRUSTED) {
            return Ok(false);
        }
        let factors = self.stores.second_factors.of(account.id).await?;
        if factors.has_primary() {
            let protected = &mut self.remembered().protected;
            if protected.len() >= REMEMBERED {
                protected.clear();
            }
            protected.insert(account.id, now);
        }
        Ok(!factors.has_primary())
    }

    fn forget(&self, account: AccountId) {
        self.remembered().protected.remove(&account);
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, Remembered> {
        self.remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Logs why a passkey was refused. The client does not get the reason.
fn refused(cause: CeremonyError) -> SecondFactorError {
    info!(%cause, "a passkey was refused");
    SecondFactorError::WrongPasskey
}

fn passkey_key(account: AccountId) -> String {
    format!("passkey:{account}")
}

fn sign_in_key(hash: TokenHash) -> String {
    format!("passkey-sign-in:{hash}")
}

fn totp_key(account: AccountId) -> String {
    format!("totp:{account}")
}

fn ticket_key(hash: TokenHash) -> String {
    format!("ticket:{hash}")
}

/// Removes all second factors of an account, ends its sessions and revokes its API tokens, for
/// commands and the service.
///
/// # Errors
/// If there is no such account, or it has no second factor.
pub async fn reset(
    stores: &Repositories,
    audit: &Audit,
    actor: Actor,
    account: AccountId,
    now: Timestamp,
) -> Result<(), SecondFactorError> {
    if !factors_of(stores, account).await?.required() {
        return Err(SecondFactorError::NotFound);
    }
    audit
        .record(actor, "second_factor.reset", account, None)
        .await?;
    let none = |factors: SecondFactors| Some(factors.reset());
    stores.second_factors.change(account, none).await?;
    end_access(stores, audit, actor, account, now).await
}

/// Ends the link of an account to a person at the identity provider, ends its sessions and revokes its
/// API tokens, for commands and the service. The next person with the address at the provider gets the
/// account.
///
/// # Errors
/// If there is no such account, or it is not linked.
pub async fn unlink(
    stores: &Repositories,
    audit: &Audit,
    actor: Actor,
    account: AccountId,
    now: Timestamp,
) -> Result<(), SecondFactorError> {
    if factors_of(stores, account).await?.identity.is_none() {
        return Err(SecondFactorError::NotLinked);
    }
    audit.record(actor, "account.unlink", account, None).await?;
    let none = |factors: SecondFactors| {
        Some(SecondFactors {
            identity: None,
            ..factors
        })
    };
    stores.second_factors.change(account, none).await?;
    end_access(stores, audit, actor, account, now).await
}

/// Returns the second factors of an account, which must exist.
async fn factors_of(
    stores: &Repositories,
    account: AccountId,
) -> Result<SecondFactors, SecondFactorError> {
    let found = stores.accounts.find(account).await?;
    found.ok_or(SecondFactorError::NoAccount)?;
    Ok(stores.second_factors.of(account).await?)
}

/// Ends the sessions and API tokens of an account, which a wrong person may have.
async fn end_access(
    stores: &Repositories,
    audit: &Audit,
    actor: Actor,
    account: AccountId,
    now: Timestamp,
) -> Result<(), SecondFactorError> {
    stores
        .accounts
        .change(account, Account::ending_sessions)
        .await?;
    stores.sessions.delete_by_account(account).await?;
    api_tokens::revoke_all(stores, audit, actor, account, now).await?;
    Ok(())
}
