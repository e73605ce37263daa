//! Errors, pages and filters that all queries to a store share, and the port of sessions, which
//! have a cache in front of the store.

use async_trait::async_trait;
use jiff::Timestamp;

use crate::domain::{
    accounts::{Session, TokenHash},
    attendance::{DateRange, Origin},
    grants::Role,
    ids::{AccountId, EmployeeId, SiteId},
    plans::LeaveState,
};

/// The reason why a store failed. A missing record is not an error, but `None`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// A unique value is already taken.
    #[error("a unique value is already taken")]
    Conflict,
    /// The store did not respond in time. Whether it did the work is unknown.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The store refused the request, because of its configuration or a lack of resources. Nothing
    /// was done. The text says what the operator can do, and contains no secrets.
    #[error("the store refuses: {0}")]
    Refused(&'static str),
    /// The store contains a record that was not written like this.
    #[error("the store contains a damaged record: {0}")]
    Corrupt(String),
}

/// The page of a list: at most `limit` items after the cursor.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<C> {
    /// The end of the previous page.
    pub after: Option<C>,
    /// Maximum number of items; at least 1.
    pub limit: usize,
}

/// The employees to list, sorted by lowercase name, then ID. Deleted ones are never listed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EmployeeFilter {
    /// Part of the name or code, case-insensitive.
    pub text: Option<String>,
    /// Only employees of this site.
    pub site: Option<SiteId>,
    /// Only active, or only inactive, employees.
    pub active: Option<bool>,
    /// Only employees with an enrolled face, or only those without one.
    pub enrolled: Option<bool>,
}

/// The accounts to list, sorted by email address.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AccountFilter {
    /// Part of the name or email address, case-insensitive.
    pub text: Option<String>,
    /// Only accounts with a grant of this role.
    pub role: Option<Role>,
    /// Only active, or only disabled, accounts.
    pub active: Option<bool>,
}

/// The punches to list, newest first by time, then ID.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PunchFilter {
    /// Only punches of this employee.
    pub employee: Option<EmployeeId>,
    /// Only punches of this device, camera or account.
    pub origin: Option<Origin>,
    /// Only punches made at this site.
    pub site: Option<SiteId>,
    /// Start, inclusive.
    pub from: Option<Timestamp>,
    /// End, exclusive.
    pub to: Option<Timestamp>,
}

/// The leave to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaveFilter {
    /// Only leave in this state.
    pub state: Option<LeaveState>,
    /// Only leave that covers one of these dates.
    pub within: DateRange,
}

/// A store of sessions.
#[async_trait]
pub trait SessionStore: Send + Sync {
    /// Adds a session.
    async fn insert(&self, session: &Session) -> Result<(), StoreError>;

    /// Returns the session with this hash of its ID, expired or not.
    async fn find(&self, hash: TokenHash) -> Result<Option<Session>, StoreError>;

    /// Returns the sessions of an account, newest first, expired or not.
    async fn list_by_account(&self, account: AccountId) -> Result<Vec<Session>, StoreError>;

    /// Records that a session was used at a moment, and, if `confirmed`, that its person proved who
    /// they are. Returns false if it does not exist; it never adds one that was deleted.
    async fn touch(
        &self,
        hash: TokenHash,
        at: Timestamp,
        confirmed: bool,
    ) -> Result<bool, StoreError>;

    /// Deletes a session; returns false if it did not exist.
    async fn delete(&self, hash: TokenHash) -> Result<bool, StoreError>;

    /// Deletes all sessions of an account; returns how many there were.
    async fn delete_by_account(&self, account: AccountId) -> Result<u64, StoreError>;

    /// Deletes the sessions that expired before a moment; returns how many there were.
    async fn purge(&self, before: Timestamp) -> Result<u64, StoreError>;
}
