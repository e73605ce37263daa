//! Sessions, cached in front of the store: the store is the truth, and a cached session is
//! believed for a short time only.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::sealed_cache::SealedCache;
use crate::{
    domain::{
        accounts::{Session, TokenHash},
        ids::AccountId,
    },
    ports::{SessionStore, StoreError},
};

/// How long a cached session is believed without asking the store. An instance that is cut off
/// from Redis ends sessions in the store alone; others, who still see Redis, notice within this.
const BELIEVED: Duration = Duration::from_secs(30);

/// A session as it is cached: account, begin and end in Unix milliseconds.
#[derive(Serialize, Deserialize)]
struct Cached(u128, i64, i64);

impl Cached {
    fn of(session: &Session) -> Self {
        Self(
            session.account.uuid().as_u128(),
            session.created_at.as_millisecond(),
            session.expires_at.as_millisecond(),
        )
    }

    fn session(self, hash: TokenHash) -> Option<Session> {
        let Self(account, created_at, expires_at) = self;
        Some(Session {
            hash,
            account: AccountId::new(Uuid::from_u128(account)),
            created_at: Timestamp::from_millisecond(created_at).ok()?,
            expires_at: Timestamp::from_millisecond(expires_at).ok()?,
        })
    }
}

/// A [`SessionStore`] in front of another.
pub struct CachedSessions {
    store: Arc<dyn SessionStore>,
    cache: SealedCache,
}

impl CachedSessions {
    /// Over the store; `cache` must have no stand-in that outlives a withdrawal elsewhere.
    pub fn new(store: Arc<dyn SessionStore>, cache: SealedCache) -> Self {
        Self { store, cache }
    }

    fn key(hash: TokenHash) -> String {
        format!("session:{}", hash.to_hex())
    }

    async fn withdraw(&self, hash: TokenHash) {
        self.cache.withdraw(&Self::key(hash), BELIEVED).await;
    }
}

#[async_trait]
impl SessionStore for CachedSessions {
    async fn insert(&self, session: &Session) -> Result<(), StoreError> {
        self.store.insert(session).await
    }

    async fn find(&self, hash: TokenHash) -> Result<Option<Session>, StoreError> {
        let key = Self::key(hash);
        let cached = self.cache.get::<Cached>(&key).await;
        if let Some(session) = cached.and_then(|cached| cached.session(hash)) {
            return Ok(Some(session));
        }
        let found = self.store.find(hash).await?;
        if let Some(session) = &found {
            self.cache.add(&key, &Cached::of(session), BELIEVED).await;
        }
        Ok(found)
    }

    async fn of(&self, account: AccountId) -> Result<Vec<Session>, StoreError> {
        self.store.of(account).await
    }

    // The store first: whoever asks between the two is told the truth by one of them at most
    // once more, and before the end is acknowledged.
    async fn delete(&self, hash: TokenHash) -> Result<bool, StoreError> {
        let deleted = self.store.delete(hash).await?;
        self.withdraw(hash).await;
        Ok(deleted)
    }

    async fn delete_of(&self, account: AccountId) -> Result<u64, StoreError> {
        let sessions = self.store.of(account).await?;
        let deleted = self.store.delete_of(account).await?;
        for session in sessions {
            self.withdraw(session.hash).await;
        }
        Ok(deleted)
    }

    async fn purge(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.store.purge(before).await
    }
}
