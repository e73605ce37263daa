//! Devices, accounts, sessions, the audit trail, facts about the installation, and the store as
//! a whole.

use std::fmt::Display;

use async_trait::async_trait;
use jiff::Timestamp;
use redis::cmd;

use super::{
    RedisStore,
    plan::{Kept, Range, member, record_key, sortable},
    scripts,
};
use crate::{
    domain::{
        accounts::{Account, Session, TokenHash},
        audit::AuditEntry,
        devices::Device,
        ids::{AccountId, AuditId, DeviceId},
        text::Email,
    },
    ports::{
        AccountStore, AuditStore, DeviceStore, Page, SessionStore, SettingStore, StoreError,
        StoreHealth,
    },
};

pub(super) fn page_after(id: Option<impl ToString>) -> Range {
    match id {
        Some(after) => Range::all().after(&after.to_string()),
        None => Range::all(),
    }
}

/// The range of an index by time, newest first, after an entry of it.
pub(super) fn back_after(last: Option<(Timestamp, impl Display)>) -> Range {
    match last {
        Some((at, id)) => Range::back().after(&member(&sortable(at), id)),
        None => Range::back(),
    }
}

#[async_trait]
impl DeviceStore for RedisStore {
    async fn insert(&self, device: &Device) -> Result<(), StoreError> {
        self.insert_record(device).await
    }

    async fn update(&self, device: &Device) -> Result<bool, StoreError> {
        self.replace_record(device).await
    }

    async fn find(&self, id: DeviceId) -> Result<Option<Device>, StoreError> {
        self.fetch_one(id.to_string()).await
    }

    async fn find_by_token(&self, token: TokenHash) -> Result<Option<Device>, StoreError> {
        self.fetch_by(&format!("device_token:{}", token.to_hex()))
            .await
    }

    async fn find_many(&self, ids: &[DeviceId]) -> Result<Vec<Device>, StoreError> {
        self.fetch(ids.iter().map(ToString::to_string)).await
    }

    async fn list(&self, page: &Page<DeviceId>) -> Result<Vec<Device>, StoreError> {
        self.select("devices", &page_after(page.after), page.limit)
            .await
    }
}

#[async_trait]
impl AccountStore for RedisStore {
    async fn insert(&self, account: &Account) -> Result<(), StoreError> {
        self.insert_record(account).await
    }

    async fn update(&self, account: &Account) -> Result<bool, StoreError> {
        self.replace_record(account).await
    }

    async fn find(&self, id: AccountId) -> Result<Option<Account>, StoreError> {
        self.fetch_one(id.to_string()).await
    }

    async fn find_by_email(&self, email: &Email) -> Result<Option<Account>, StoreError> {
        self.fetch_by(&format!("user_email:{email}")).await
    }

    async fn list(&self, page: &Page<AccountId>) -> Result<Vec<Account>, StoreError> {
        self.select("users", &page_after(page.after), page.limit)
            .await
    }
}

#[async_trait]
impl SessionStore for RedisStore {
    async fn insert(&self, session: &Session) -> Result<(), StoreError> {
        self.insert_record(session).await
    }

    async fn find(&self, hash: TokenHash) -> Result<Option<Session>, StoreError> {
        self.fetch_one(hash.to_hex()).await
    }

    async fn of(&self, account: AccountId) -> Result<Vec<Session>, StoreError> {
        let mut sessions: Vec<Session> = self.select_all(&format!("sessions_of:{account}")).await?;
        sessions.sort_by_key(|session| (std::cmp::Reverse(session.created_at), session.hash.0));
        Ok(sessions)
    }

    async fn delete(&self, hash: TokenHash) -> Result<bool, StoreError> {
        let keys = [record_key::<Session>(&self.keys, &hash.to_hex())];
        self.script(&scripts::DROP_ONE, &keys, &[], false).await
    }

    async fn delete_of(&self, account: AccountId) -> Result<u64, StoreError> {
        let indexes = [(format!("sessions_of:{account}"), Session::KIND)];
        self.drop_of(&indexes, "+", -1).await
    }

    async fn purge(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.drop_before::<Session>("sessions_ending", before).await
    }
}

#[async_trait]
impl AuditStore for RedisStore {
    async fn append(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        self.insert_record(entry).await
    }

    async fn list(&self, page: &Page<(Timestamp, AuditId)>) -> Result<Vec<AuditEntry>, StoreError> {
        let range = back_after(page.after);
        self.select("audit_trail", &range, page.limit).await
    }

    async fn purge(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.drop_before::<AuditEntry>("audit_trail", before).await
    }
}

impl RedisStore {
    pub(super) fn setting(&self, name: &str) -> String {
        self.keys.key(&format!("setting:{name}"))
    }
}

#[async_trait]
impl SettingStore for RedisStore {
    async fn get(&self, name: &str) -> Result<Option<String>, StoreError> {
        self.command(cmd("GET").arg(self.setting(name))).await
    }

    async fn claim(&self, name: &str, value: &str) -> Result<bool, StoreError> {
        let mut set = cmd("SET");
        set.arg(self.setting(name)).arg(value).arg("NX");
        let set: Option<String> = self.command(&set).await?;
        Ok(set.is_some())
    }

    async fn release(&self, name: &str) -> Result<(), StoreError> {
        let deleted: Result<i64, _> = self.command(cmd("DEL").arg(self.setting(name))).await;
        deleted.map(drop)
    }
}

#[async_trait]
impl StoreHealth for RedisStore {
    fn description(&self) -> String {
        match self.connection.version() {
            Some(version) => format!("redis {version}"),
            None => "redis, not reached yet".to_owned(),
        }
    }

    /// Writes: a server that is full, cannot save or is a replica answers to less.
    async fn ping(&self) -> Result<(), StoreError> {
        let mut set = cmd("SET");
        set.arg(self.keys.key("probe")).arg(1).arg("PX").arg(60_000);
        self.command(&set).await
    }

    async fn clear_traces(&self) -> Result<Option<String>, StoreError> {
        let left = "Redis' files hold it until it writes them anew (BGREWRITEAOF, BGSAVE)";
        Ok(Some(left.to_owned()))
    }

    async fn close(&self) {
        self.connection.close();
    }
}
