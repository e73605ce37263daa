//! Changes of accounts by admins: permissions, the linked employee, disabling and removing. One
//! active admin always remains.
//!
//! Only writes of single records are atomic, so an account that stops being an active admin needs a
//! witness: another active admin, whose record is written unchanged just before. This fails if the
//! witness changed since it was read, and makes every change of the witness fail that began before.
//! Of two admins who end each other's permissions at the same time, at least one therefore fails and
//! reads again. No order of the writes leaves the installation without an admin: each witness was
//! confirmed before it could itself lose its permissions, with a witness confirmed still later, so
//! that the last witness is an admin.

use std::time::Duration;

use super::{
    accounts::{AccountError, Accounts},
    audit::Audit,
    reset_links::revoke_resets,
    sealed_faces::Counts,
};
use crate::{
    domain::{
        accounts::{Account, Actor},
        api_tokens::ApiToken,
        grants::{Access, Reach, Scope},
        ids::AccountId,
        invitations::Invitation,
        mail::MailPreferences,
        record::{Kind, Record},
        second_factors::SecondFactors,
        text::Name,
    },
    ports::{AccountFilter, Page, StoreError},
    repositories::{Repositories, Versioned},
};

/// The settings of an account that admins edit.
#[derive(Debug, Clone, PartialEq)]
pub struct AccountSettings {
    /// The name by which pages address the person.
    pub name: Name,
    /// The permissions and the linked employee.
    pub access: Access,
    /// Whether the person can sign in.
    pub active: bool,
}

impl AccountSettings {
    /// Returns the settings of an account.
    pub fn of(account: &Account) -> Self {
        Self {
            name: account.name.clone(),
            access: account.access.clone(),
            active: account.active,
        }
    }

    fn applied(self, account: &Account) -> Account {
        let Self {
            name,
            access,
            active,
        } = self;
        let account = match account.active && !active {
            true => account.clone().ending_sessions(),
            false => account.clone(),
        };
        Account {
            name,
            access,
            active,
            ..account
        }
    }
}

/// Number of attempts at a change while other requests change the same accounts.
const TRIES: u32 = 10;

impl Accounts {
    /// Returns a page of the accounts that match a filter, sorted by email address.
    pub async fn list(
        &self,
        reach: &Reach,
        filter: &AccountFilter,
        page: &Page<(String, AccountId)>,
    ) -> Result<Vec<Account>, StoreError> {
        self.stores
            .accounts
            .list_by_email(reach, filter, page)
            .await
    }

    /// Returns an account, disabled or not.
    pub async fn find(&self, id: AccountId) -> Result<Account, AccountError> {
        let found = self.stores.accounts.find(id).await?;
        found.ok_or(AccountError::NotFound)
    }

    /// Changes an account to what `edit` returns. If the account is disabled, its sessions end.
    ///
    /// If the account changes at the same moment, `edit` is called again.
    ///
    /// # Errors
    /// [`AccountError::LastAdmin`] if no active admin would remain.
    pub async fn change<E: From<AccountError>>(
        &self,
        actor: Actor,
        id: AccountId,
        edit: impl Fn(&Account) -> Result<AccountSettings, E>,
    ) -> Result<Account, E> {
        for attempt in 0..TRIES {
            let old = self.read(id).await?;
            let new = edit(&old)?.applied(&old);
            if new == *old || self.replace(actor, &old, &new).await? {
                // Also if nothing changed: an earlier attempt may have failed before this.
                self.settle(actor, &old, &new).await?;
                return Ok(new);
            }
            self.pause(attempt).await;
        }
        Err(AccountError::Raced.into())
    }

    /// Removes an account with all that belongs to it. The audit trail keeps its ID. If an earlier
    /// attempt removed only the account, removes the rest.
    ///
    /// # Errors
    /// [`AccountError::LastAdmin`] if no active admin would remain.
    pub async fn remove(&self, actor: Actor, id: AccountId) -> Result<(), AccountError> {
        for attempt in 0..TRIES {
            let old = match self.read(id).await {
                Err(AccountError::NotFound) => {
                    let left = forget(&self.stores, &self.audit, actor, id).await?;
                    return match left.is_empty() {
                        true => Err(AccountError::NotFound),
                        false => Ok(()),
                    };
                }
                read => read?,
            };
            if self.other_admin_remains(&old).await? {
                let detail = Some(old.access.to_string());
                self.audit
                    .record(actor, "account.remove", id, detail)
                    .await?;
                if self.stores.accounts.remove(&old).await? {
                    forget(&self.stores, &self.audit, actor, id).await?;
                    return Ok(());
                }
            }
            self.pause(attempt).await;
        }
        Err(AccountError::Raced)
    }

    async fn read(&self, id: AccountId) -> Result<Versioned<Account>, AccountError> {
        let found = self.stores.accounts.read(id).await?;
        found.ok_or(AccountError::NotFound)
    }

    /// Replaces an account; returns false if other requests changed accounts at the same time.
    async fn replace(
        &self,
        actor: Actor,
        old: &Versioned<Account>,
        new: &Account,
    ) -> Result<bool, AccountError> {
        self.check_access(&old.access, &new.access).await?;
        if !new.is_active_admin() && !self.other_admin_remains(old).await? {
            return Ok(false);
        }
        let detail = Some(changes(old, new));
        self.audit
            .record(actor, "account.change", new.id, detail)
            .await?;
        match self.stores.accounts.swap(old, new.clone()).await {
            Err(StoreError::Conflict) => Err(AccountError::EmployeeTaken),
            swapped => Ok(swapped?),
        }
    }

    /// Makes sure that an active admin remains without this one. Returns false if another request
    /// changed the other admin at the same time.
    async fn other_admin_remains(
        &self,
        account: &Versioned<Account>,
    ) -> Result<bool, AccountError> {
        if !account.is_active_admin() {
            return Ok(true);
        }
        let witness = self.stores.accounts.find_other_admin(account.id).await?;
        let witness = witness.ok_or(AccountError::LastAdmin)?;
        let same = witness.clone().into_inner();
        Ok(self.stores.accounts.swap(&witness, same).await?)
    }

    /// Checks that what an account newly refers to exists.
    async fn check_access(&self, old: &Access, new: &Access) -> Result<(), AccountError> {
        if new.employee() != old.employee() {
            self.check_employee(new.employee()).await?;
        }
        self.check_sites(Some(old), new).await
    }

    /// Checks that the sites of new grants exist.
    pub(super) async fn check_sites(
        &self,
        old: Option<&Access>,
        new: &Access,
    ) -> Result<(), AccountError> {
        let had = |grant| old.is_some_and(|old| old.grants().any(|other| other == grant));
        let site = |scope| match scope {
            Scope::Site(site) => Some(site),
            Scope::Everything | Scope::Own => None,
        };
        let added = new.grants().filter(|grant| !had(*grant));
        let added: Vec<_> = added.filter_map(|grant| site(grant.scope())).collect();
        if added.is_empty() {
            return Ok(());
        }
        let sites = self.stores.sites.all().await?;
        let present = |id| {
            sites
                .iter()
                .any(|site| site.id == id && site.removed_at.is_none())
        };
        match added.into_iter().all(present) {
            true => Ok(()),
            false => Err(AccountError::NoSite),
        }
    }

    /// Does what must follow a change: closes the account if its new employee was deleted at the
    /// same moment, and ends the sessions of a disabled account and its links for a new password.
    async fn settle(&self, actor: Actor, old: &Account, new: &Account) -> Result<(), AccountError> {
        if new.access.employee() != old.access.employee()
            && let Err(error) = self.check_employee(new.access.employee()).await
        {
            self.close_unlinked(new.id).await?;
            return Err(error);
        }
        if !new.active {
            self.stores.sessions.delete_by_account(new.id).await?;
            self.revoke_resets(actor, new.id).await?;
        }
        Ok(())
    }

    /// Waits for a moment, each time longer and by chance, so that requests that disturb each other
    /// do not do so again.
    async fn pause(&self, attempt: u32) {
        let chance = u64::from(self.clock.secret()[0]);
        tokio::time::sleep(Duration::from_millis(chance * u64::from(attempt + 1) / 16)).await;
    }
}

/// Deletes what belongs to an account that is removed: sessions, known browsers, second factors, API
/// tokens, what letters it wants, and links for a new password. Can be repeated. Returns the number of
/// archived records of each kind.
pub async fn forget(
    stores: &Repositories,
    audit: &Audit,
    actor: Actor,
    id: AccountId,
) -> Result<Counts, StoreError> {
    stores.sessions.delete_by_account(id).await?;
    stores.known_browsers.remove(id).await?;
    let mut deleted = Counts::new();
    let mut count = |kind: &Kind, removed: bool| {
        if removed {
            *deleted.entry(kind.name).or_default() += 1;
        }
    };
    for token in stores.api_tokens.all_by_account(id).await? {
        audit
            .record(actor, "api_token.remove", token.id, None)
            .await?;
        count(ApiToken::KIND, stores.api_tokens.remove(token.id).await?);
    }
    for removed in revoke_resets(stores, audit, actor, id, |_| true).await? {
        count(Invitation::KIND, removed);
    }
    // The trail has the removal of the account under the ID of these.
    let removed = stores.second_factors.remove(id).await?;
    count(SecondFactors::KIND, removed);
    let removed = stores.mail_preferences.remove(id).await?;
    count(MailPreferences::KIND, removed);
    Ok(deleted)
}

/// Describes a change for the audit trail, with IDs instead of names.
fn changes(old: &Account, new: &Account) -> String {
    let mut parts = Vec::new();
    if old.name != new.name {
        parts.push("name".to_owned());
    }
    if old.access.employee() != new.access.employee() {
        let id = |access: &Access| {
            access
                .employee()
                .map_or("none".to_owned(), |id| id.to_string())
        };
        parts.push(format!(
            "employee: {} to {}",
            id(&old.access),
            id(&new.access)
        ));
    }
    let grants = |access: &Access| match access.is_empty() {
        true => "nothing".to_owned(),
        false => access.to_string(),
    };
    if !old.access.grants().eq(new.access.grants()) {
        let (old, new) = (grants(&old.access), grants(&new.access));
        parts.push(format!("grants: {old} to {new}"));
    }
    match (old.active, new.active) {
        (true, false) => parts.push("disabled".to_owned()),
        (false, true) => parts.push("enabled".to_owned()),
        _ => {}
    }
    parts.join("; ")
}
