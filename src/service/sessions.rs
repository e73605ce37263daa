//! Sessions, cached in front of the store: the store is the truth, and a cached session is
//! believed for a short time only. Or in the cache alone, where that is wanted.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{application_cache::AppCache, sealed_cache::SealedCache};
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

/// A session as it is kept where the cache is all there is: with the number of times that all
/// sessions of its account had been ended before.
#[derive(Serialize, Deserialize)]
struct Alone(Cached, i64);

/// A [`SessionStore`] in the cache alone: who empties it signs everybody out. While its server is
/// away, people sign in at this instance anew, and what cannot be ended for all is not called
/// ended.
pub struct CacheSessions(AppCache);

/// How long is remembered how often all sessions of an account were ended. When it is forgotten,
/// they end once more.
const ENDINGS: Duration = Duration::from_hours(24 * 400);

impl CacheSessions {
    /// In a cache.
    pub fn new(cache: AppCache) -> Self {
        Self(cache)
    }

    fn list_key(account: AccountId) -> String {
        format!("of:{account}")
    }

    async fn endings(&self, account: AccountId, more: i64) -> i64 {
        let key = format!("endings:{account}");
        self.0.increment(&key, more, ENDINGS).await
    }

    /// An error, when other instances cannot know of an end.
    fn told(&self) -> Result<(), StoreError> {
        if self.0.shared() {
            Ok(())
        } else {
            Err(StoreError::Unavailable(
                "redis is away, and SESSION_ENGINE=cache keeps sessions there".to_owned(),
            ))
        }
    }
}

#[async_trait]
impl SessionStore for CacheSessions {
    async fn insert(&self, session: &Session) -> Result<(), StoreError> {
        let endings = self.endings(session.account, 0).await;
        let kept = Alone(Cached::of(session), endings);
        let left = session.expires_at.duration_since(session.created_at);
        let ttl = Duration::try_from(left).unwrap_or_default();
        self.0.set_for(&session.hash.to_hex(), &kept, ttl).await;
        // For the list that people see; what ends all sessions does not stand on it.
        let list = Self::list_key(session.account);
        let mut all: Vec<String> = self.0.get(&list).await.unwrap_or_default();
        all.push(session.hash.to_hex());
        self.0.set(&list, &all).await;
        Ok(())
    }

    async fn find(&self, hash: TokenHash) -> Result<Option<Session>, StoreError> {
        let Some(Alone(cached, endings)) = self.0.get(&hash.to_hex()).await else {
            return Ok(None);
        };
        let session = cached.session(hash);
        let Some(session) = session else {
            return Ok(None);
        };
        let now = self.endings(session.account, 0).await;
        Ok((now == endings).then_some(session))
    }

    async fn of(&self, account: AccountId) -> Result<Vec<Session>, StoreError> {
        let all: Vec<String> = self
            .0
            .get(&Self::list_key(account))
            .await
            .unwrap_or_default();
        let mut sessions = Vec::new();
        for hash in all.iter().rev().filter_map(|hex| TokenHash::from_hex(hex)) {
            sessions.extend(self.find(hash).await?);
        }
        Ok(sessions)
    }

    async fn delete(&self, hash: TokenHash) -> Result<bool, StoreError> {
        let was = self.0.delete(&hash.to_hex()).await;
        self.told()?;
        Ok(was)
    }

    async fn delete_of(&self, account: AccountId) -> Result<u64, StoreError> {
        let ended = self.of(account).await?.len() as u64;
        self.endings(account, 1).await;
        self.told()?;
        Ok(ended)
    }

    async fn purge(&self, _: Timestamp) -> Result<u64, StoreError> {
        Ok(0)
    }
}
