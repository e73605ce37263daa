//! Accounts, their sessions, and the audit trail.

use async_trait::async_trait;
use jiff::Timestamp;

use super::Versioned;
use crate::{
    domain::{
        accounts::{Account, Actor, KnownBrowsers, Session, TokenHash},
        audit::AuditEntry,
        grants::Reach,
        ids::{AccountId, AuditId, EmployeeId},
        record::{Index, Key},
        text::Email,
    },
    ports::{AccountFilter, Page, Range, SessionStore, StoreError},
};

repository! {
    /// The repository of accounts. An email address belongs to one account, and so does an employee:
    /// another one is a [`StoreError::Conflict`].
    Accounts(Account): insert, find, find_many, read
}

impl Accounts {
    /// Returns the account with an email address.
    pub async fn find_by_email(&self, email: &Email) -> Result<Option<Account>, StoreError> {
        self.0.find_by(Account::BY_EMAIL, (email.as_str(),)).await
    }

    /// Returns the account that is linked to an employee.
    pub async fn find_by_employee(&self, id: EmployeeId) -> Result<Option<Account>, StoreError> {
        self.0.find_by(Account::BY_EMPLOYEE, (id.uuid(),)).await
    }

    /// Checks whether an actor may be the same person as the one who asked for something: both act
    /// for one account, or the actor invited the person of the account that asked.
    pub async fn may_be_author(&self, actor: Actor, author: Actor) -> Result<bool, StoreError> {
        if author.is_same(actor) {
            return Ok(true);
        }
        let (Some(deciding), Some(asking)) = (actor.account(), author.account()) else {
            return Ok(false);
        };
        let asking = self.find(asking).await?;
        Ok(asking.is_some_and(|account| account.invited_by == Some(deciding)))
    }

    /// Changes an account, retrying while others change it at the same time; `None` if it does
    /// not exist.
    pub async fn change(
        &self,
        id: AccountId,
        change: impl Fn(Account) -> Account,
    ) -> Result<Option<Account>, StoreError> {
        self.0.change(&id, |account| Some(change(account))).await
    }

    /// Changes an account unless `change` returns `None`, as [`change`](Self::change). Returns
    /// `None` if it does not exist or was left unchanged.
    pub async fn change_if(
        &self,
        id: AccountId,
        change: impl Fn(Account) -> Option<Account>,
    ) -> Result<Option<Account>, StoreError> {
        self.0.change(&id, change).await
    }

    /// Replaces an account if it was not changed since it was read; returns false otherwise.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if another account has the email address or the employee.
    pub async fn swap(&self, old: &Versioned<Account>, new: Account) -> Result<bool, StoreError> {
        Ok(self.0.swap(old, new).await?.is_some())
    }

    /// Deletes an account if it was not changed since it was read; returns false otherwise.
    pub async fn remove(&self, old: &Versioned<Account>) -> Result<bool, StoreError> {
        self.0.remove_unchanged(old).await
    }

    /// Returns an active admin other than this account.
    pub async fn find_other_admin(
        &self,
        id: AccountId,
    ) -> Result<Option<Versioned<Account>>, StoreError> {
        let other = |account: &Account| account.id != id && account.is_active_admin();
        loop {
            let found = self.0.filter(Index::ID, Range::all(), 1, other).await?;
            let Some(found) = found.first() else {
                return Ok(None);
            };
            let read = self.read(found.id).await?;
            // It may have changed in between; then there may be another one.
            if let Some(admin) = read.filter(|account| other(account)) {
                return Ok(Some(admin));
            }
        }
    }

    /// Returns a page of the accounts that match a filter, sorted by email address, which is the
    /// cursor with the ID. Accounts belong to no site: a reach of less than everything covers none.
    pub async fn list_by_email(
        &self,
        reach: &Reach,
        filter: &AccountFilter,
        page: &Page<(String, AccountId)>,
    ) -> Result<Vec<Account>, StoreError> {
        if !reach.covers_everything() {
            return Ok(Vec::new());
        }
        let after = page.after.as_ref();
        let range =
            Range::all().after(after.map(|(email, id)| (Key::new((email,)), id.to_string())));
        let text = filter.text.as_ref().map(|text| text.to_lowercase());
        let wanted = |account: &Account| {
            let found = |text: &String| {
                account.email.as_str().contains(text) || account.name.key().contains(text)
            };
            text.as_ref().is_none_or(found)
                && filter.role.is_none_or(|role| account.access.has_role(role))
                && filter.active.is_none_or(|active| account.active == active)
        };
        self.0
            .filter(Account::BY_EMAIL, range, page.limit, wanted)
            .await
    }

    /// Returns a page of accounts, sorted by ID. Only commands on the server list accounts so.
    pub async fn list(&self, page: &Page<AccountId>) -> Result<Vec<Account>, StoreError> {
        let after = page.after.map(|id| (Key::default(), id.to_string()));
        self.0
            .list(Index::ID, &Range::all().after(after), page.limit)
            .await
    }
}

repository! {
    /// The repository of sessions.
    Sessions(Session)
}

#[async_trait]
impl SessionStore for Sessions {
    async fn insert(&self, session: &Session) -> Result<(), StoreError> {
        self.0.insert(session).await
    }

    async fn find(&self, hash: TokenHash) -> Result<Option<Session>, StoreError> {
        self.0.find(&hash).await
    }

    async fn list_by_account(&self, account: AccountId) -> Result<Vec<Session>, StoreError> {
        let range = Range::within(Key::new((account.uuid(),))).backwards();
        self.0.all(Session::BY_ACCOUNT, range).await
    }

    async fn touch(
        &self,
        hash: TokenHash,
        at: Timestamp,
        confirmed: bool,
    ) -> Result<bool, StoreError> {
        let mut fresh = false;
        let touched = |session: Session| {
            // Of requests at the same moment, one writes.
            let recent = Session::USE_PRECISION / 2;
            if !confirmed && at.duration_since(session.last_used()) < recent {
                fresh = true;
                return None;
            }
            Some(Session {
                used_at: session.used_at.max(Some(at)),
                confirmed_at: match confirmed {
                    true => session.confirmed_at.max(Some(at)),
                    false => session.confirmed_at,
                },
                ..session
            })
        };
        let written = self.0.change(&hash, touched).await?.is_some();
        Ok(written || fresh)
    }

    async fn delete(&self, hash: TokenHash) -> Result<bool, StoreError> {
        self.0.remove(&hash).await
    }

    async fn delete_by_account(&self, account: AccountId) -> Result<u64, StoreError> {
        let range = Range::within(Key::new((account.uuid(),)));
        self.0.remove_range(Session::BY_ACCOUNT, range).await
    }

    async fn purge(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.0.purge((), before).await
    }
}

repository! {
    /// The repository of known browsers.
    BrowsersOfAccounts(KnownBrowsers)
}

impl BrowsersOfAccounts {
    /// Checks whether an account knows a browser.
    pub async fn knows(&self, account: AccountId, token: TokenHash) -> Result<bool, StoreError> {
        let found = self.0.get(&account).await?;
        Ok(found.is_some_and(|known| known.tokens.contains(&token)))
    }

    /// Adds a browser of an account.
    pub async fn add(&self, account: AccountId, token: TokenHash) -> Result<(), StoreError> {
        let tokens = Vec::new();
        let absent = KnownBrowsers { account, tokens };
        let with = |known: KnownBrowsers| Some(known.with(token));
        self.0.change_or_insert(&absent, with).await.map(drop)
    }

    /// Forgets all browsers of an account.
    pub async fn remove(&self, account: AccountId) -> Result<(), StoreError> {
        self.0.remove(&account).await.map(drop)
    }
}

repository! {
    /// The repository of the audit trail.
    AuditTrail(AuditEntry): purge
}

impl AuditTrail {
    /// Writes an entry.
    pub async fn append(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        self.0.insert(entry).await
    }

    /// Returns a page of entries, newest first. The cursor is the time and ID of the last entry. The
    /// trail belongs to no site: a reach of less than everything covers none of it.
    pub async fn list(
        &self,
        reach: &Reach,
        page: &Page<(Timestamp, AuditId)>,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        if !reach.covers_everything() {
            return Ok(Vec::new());
        }
        let after = page.after.map(|(at, id)| (Key::new((at,)), id.to_string()));
        let range = Range::all().backwards().after(after);
        self.0.list(AuditEntry::BY_TIME, &range, page.limit).await
    }

    /// Returns a page of the entries from a moment on, oldest first. The cursor is the time and ID of
    /// the last one.
    pub async fn since(
        &self,
        from: Timestamp,
        page: &Page<(Timestamp, AuditId)>,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        let after = page.after.map(|(at, id)| (Key::new((at,)), id.to_string()));
        let range = Range::all().from(Key::new((from,))).after(after);
        self.0.list(AuditEntry::BY_TIME, &range, page.limit).await
    }

    /// Returns the newest entries, newest first.
    pub async fn latest(&self, limit: usize) -> Result<Vec<AuditEntry>, StoreError> {
        let after = None;
        self.list(&Reach::Everything, &Page { after, limit }).await
    }
}
