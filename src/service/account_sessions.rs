//! Sessions of accounts: beginning, use, confirmation, end.

use jiff::Timestamp;
use secrecy::SecretString;

use super::{
    account_changes::AccountSettings,
    accounts::{AccountError, Accounts, NewSession, Visitor},
    guesses::Guesser,
    passwords,
    tokens::{self, Token},
};
use crate::{
    domain::{
        accounts::{Account, Actor, Session},
        ids::AccountId,
        text::Name,
    },
    ports::StoreError,
};

/// A new password that a person sets.
pub struct NewPassword {
    /// The present one.
    pub present: SecretString,
    /// The new one.
    pub password: SecretString,
    /// Whether to revoke the API tokens of the account.
    pub revoke_tokens: bool,
}

impl Accounts {
    /// Begins a session of an account whose person proved who they are, at a moment if it is known.
    /// The account must be as it was when they did.
    ///
    /// # Errors
    /// [`AccountError::BadCredentials`] if the account was disabled, removed or got another password
    /// meanwhile, or if all its sessions were ended.
    pub async fn begin_session(
        &self,
        account: Account,
        visitor: Visitor,
        proved_at: Option<Timestamp>,
    ) -> Result<NewSession, AccountError> {
        let (id, now) = (account.id, self.clock.now());
        let Visitor {
            browser,
            token: known,
        } = visitor;
        let detail = Some(match &browser.description {
            Some(description) => format!("from {}, {description}", browser.address),
            None => format!("from {}", browser.address),
        });
        self.audit
            .record(Actor::Account(id), "session.begin", id, detail)
            .await?;
        let signed_in = |stored: Account| {
            proves(&account, &stored).then_some(Account {
                signed_in_at: Some(now),
                ..stored
            })
        };
        let changed = self.stores.accounts.change_if(id, signed_in).await?;
        let changed = changed.ok_or(AccountError::BadCredentials)?;
        let token = Token::mint(&*self.clock);
        let session = Session {
            hash: token.hash(),
            account: id,
            created_at: now,
            expires_at: now.saturating_add(self.rules.session_age).unwrap_or(now),
            used_at: None,
            confirmed_at: proved_at.map(|at| at.min(now)),
            browser: Some(browser),
        };
        let familiar = match known.as_ref().map(Token::hash) {
            Some(token) => self.stores.known_browsers.knows(id, token).await?,
            // The first sign-in of an account surprises nobody.
            None => account.signed_in_at.is_none(),
        };
        let known = self.know_browser(id, known).await?;
        match self.insert_session(&changed, &session).await? {
            true => Ok(NewSession {
                account: changed,
                session,
                token,
                browser: Some(known),
                familiar,
            }),
            false => Err(AccountError::BadCredentials),
        }
    }

    /// Makes an account know a browser, under the token that the browser has or a new one. Several
    /// accounts may know a browser under the same token.
    async fn know_browser(&self, id: AccountId, token: Option<Token>) -> Result<Token, StoreError> {
        let token = token.unwrap_or_else(|| Token::mint(&*self.clock));
        self.stores.known_browsers.add(id, token.hash()).await?;
        Ok(token)
    }

    /// Adds a session of an account. Returns false, without a session, if the account was disabled,
    /// removed or got another password meanwhile, or if all its sessions were ended: that may have
    /// missed this one.
    async fn insert_session(
        &self,
        account: &Account,
        session: &Session,
    ) -> Result<bool, StoreError> {
        self.stores.sessions.insert(session).await?;
        let stored = self.stores.accounts.find(account.id).await?;
        let valid = stored.is_some_and(|stored| proves(account, &stored));
        if !valid {
            self.stores.sessions.delete(session.hash).await?;
        }
        Ok(valid)
    }

    /// Returns the account and the session of a token, and records the use of the session. `None`
    /// if the session has ended or the account is disabled.
    pub async fn authenticate(
        &self,
        token: &str,
    ) -> Result<Option<(Account, Session)>, StoreError> {
        let Some((account, mut session)) = self.present(token).await? else {
            return Ok(None);
        };
        let now = self.clock.now();
        if now.duration_since(session.last_used()) >= Session::USE_PRECISION {
            match self.stores.sessions.touch(session.hash, now, false).await {
                Ok(false) => return Ok(None),
                Ok(true) => session.used_at = Some(now),
                // A store that can be read only must not keep people from reading.
                Err(error) => tracing::debug!(%error, "could not record the use of a session"),
            }
        }
        Ok(Some((account, session)))
    }

    /// Returns the account and the session of a token without recording a use, for streams that
    /// run on.
    pub async fn present(&self, token: &str) -> Result<Option<(Account, Session)>, StoreError> {
        let session = self.stores.sessions.find(tokens::hash(token)).await?;
        let session = session.filter(|session| self.is_open(session));
        let Some(session) = session else {
            return Ok(None);
        };
        let account = self.stores.accounts.find(session.account).await?;
        let account = account.filter(|account| account.active);
        Ok(account.map(|account| (account, session)))
    }

    fn is_open(&self, session: &Session) -> bool {
        session.is_open(self.clock.now(), self.rules.session_idle)
    }

    /// Checks the present password of a session's account.
    ///
    /// # Errors
    /// [`AccountError::WrongPassword`], and [`AccountError::TooManyGuesses`] before it is checked.
    pub async fn check_password(
        &self,
        account: &Account,
        session: &Session,
        password: SecretString,
    ) -> Result<(), AccountError> {
        let guesser = Guesser::session(session);
        let counted = self.guesses.count(&guesser).await;
        counted.map_err(|wait| AccountError::TooManyGuesses { wait })?;
        match passwords::verify(password, account.password_hash.clone()).await {
            true => {
                self.guesses.was_right(&guesser).await;
                Ok(())
            }
            false => {
                let address = session.browser.as_ref().map(|browser| browser.address);
                let what = match address {
                    Some(address) => format!("password in a session from {address}"),
                    None => "password in a session".to_owned(),
                };
                self.audit.refused(&*self.limits, account.id, &what).await?;
                Err(AccountError::WrongPassword)
            }
        }
    }

    /// Records that the person of a session proved who they are.
    pub async fn confirm_session(&self, session: &Session) -> Result<Session, AccountError> {
        let now = self.clock.now();
        if !self.stores.sessions.touch(session.hash, now, true).await? {
            return Err(AccountError::SessionEnded);
        }
        Ok(Session {
            used_at: Some(now),
            confirmed_at: Some(now),
            ..session.clone()
        })
    }

    /// Checks whether the person of a session proved who they are in the last minutes.
    pub fn is_confirmed(&self, session: &Session) -> bool {
        session.is_confirmed(self.clock.now())
    }

    /// Ends a session, if it exists.
    pub async fn sign_out(&self, token: &str) -> Result<(), StoreError> {
        let hash = tokens::hash(token);
        self.stores.sessions.delete(hash).await.map(drop)
    }

    /// Returns the open sessions of an account, newest first.
    pub async fn sessions(&self, account: AccountId) -> Result<Vec<Session>, StoreError> {
        let mut sessions = self.stores.sessions.list_by_account(account).await?;
        sessions.retain(|session| self.is_open(session));
        Ok(sessions)
    }

    /// Ends the session of an account whose hash begins with `id`. Returns false if there is none.
    pub async fn end_session(&self, account: AccountId, id: &str) -> Result<bool, StoreError> {
        let sessions = self.stores.sessions.list_by_account(account).await?;
        let found = sessions.iter().find(|session| session.id() == id);
        match found {
            Some(session) => {
                let (actor, detail) = (Actor::Account(account), Some(session.id()));
                self.audit
                    .record(actor, "session.end", account, detail)
                    .await?;
                self.stores.sessions.delete(session.hash).await
            }
            None => Ok(false),
        }
    }

    /// Ends all sessions of an account except this one, which gets a new token.
    pub async fn end_other_sessions(
        &self,
        account: &Account,
        session: Session,
    ) -> Result<NewSession, AccountError> {
        let id = account.id;
        self.audit
            .record(Actor::Account(id), "session.end_others", id, None)
            .await?;
        self.renew_session(account.clone(), session).await
    }

    /// Changes the name by which pages address the person.
    pub async fn rename(&self, account: &Account, name: Name) -> Result<Account, AccountError> {
        let actor = Actor::Account(account.id);
        let renamed = |account: &Account| {
            Ok::<_, AccountError>(AccountSettings {
                name: name.clone(),
                ..AccountSettings::of(account)
            })
        };
        self.change(actor, account.id, renamed).await
    }

    /// Sets a new password for a person who knows the present one. All other sessions end, and this
    /// one gets a new token. Links for a new password end, too, and the API tokens of the account if
    /// the person wants that.
    pub async fn change_password(
        &self,
        account: &Account,
        session: Session,
        visitor: Visitor,
        NewPassword {
            present,
            password,
            revoke_tokens,
        }: NewPassword,
    ) -> Result<NewSession, AccountError> {
        self.check_password(account, &session, present).await?;
        let password_hash = self.hash(&account.email, &account.name, password).await?;
        let id = account.id;
        self.audit
            .record(Actor::Account(id), "account.password", id, None)
            .await?;
        let changed = |stored: Account| {
            proves(account, &stored).then(|| Account {
                password_hash: password_hash.clone(),
                ..stored
            })
        };
        let changed = self.stores.accounts.change_if(id, changed).await?;
        let changed = changed.ok_or(AccountError::SessionEnded)?;
        // First what a thief may have.
        let mut new = self.renew_session(changed, session).await?;
        self.stores.known_browsers.remove(id).await?;
        if revoke_tokens {
            self.revoke_tokens(Actor::Account(id), id).await?;
        }
        self.revoke_resets(Actor::Account(id), id).await?;
        let known = self.know_browser(id, visitor.token).await?;
        new.browser = Some(known);
        Ok(new)
    }

    /// Replaces all sessions of an account by this one with a new token. Not every store of sessions
    /// can list all of them, but all can end all of them.
    async fn renew_session(
        &self,
        account: Account,
        session: Session,
    ) -> Result<NewSession, AccountError> {
        let ending = |stored: Account| proves(&account, &stored).then(|| stored.ending_sessions());
        let changed = self.stores.accounts.change_if(account.id, ending).await?;
        let account = changed.ok_or(AccountError::SessionEnded)?;
        self.stores.sessions.delete_by_account(account.id).await?;
        let token = Token::mint(&*self.clock);
        let session = Session {
            hash: token.hash(),
            ..session
        };
        match self.insert_session(&account, &session).await? {
            true => Ok(NewSession {
                account,
                session,
                token,
                browser: None,
                familiar: true,
            }),
            false => Err(AccountError::SessionEnded),
        }
    }
}

/// Checks whether a proof for an account, as it was then, counts for the stored one.
fn proves(account: &Account, stored: &Account) -> bool {
    stored.active
        && stored.password_hash == account.password_hash
        && stored.sessions_ended == account.sessions_ended
}
