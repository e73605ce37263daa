//! Sessions, cached in front of the store: the store is the truth, and a cached session is
//! believed for a short time only. Or in the cache alone, where that is wanted.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{application_cache::AppCache, sealed_cache::SealedCache};
use crate::{
    clock::Clock,
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

/// A session as it is kept in Redis alone: with the mark that its account had. The account's mark
/// changes when all its sessions end, and when it is lost.
#[derive(Serialize, Deserialize)]
struct Marked(Cached, String);

/// A [`SessionStore`] in Redis alone, and in the store while Redis is away: who empties it signs
/// everybody out, and what cannot be ended for all is not called ended.
pub struct CacheSessions {
    cache: AppCache,
    store: Arc<dyn SessionStore>,
    clock: Arc<dyn Clock>,
}

/// How many sessions of an account are remembered for its list; the earliest leave it first.
const LISTED: usize = 100;

impl CacheSessions {
    /// In a cache without a stand-in, whose time-out is how long a session lives; in the store
    /// while it is away.
    pub fn new(cache: AppCache, store: Arc<dyn SessionStore>, clock: Arc<dyn Clock>) -> Self {
        Self {
            cache,
            store,
            clock,
        }
    }

    fn list_key(account: AccountId) -> String {
        format!("of:{account}")
    }

    fn mark_key(account: AccountId) -> String {
        format!("mark:{account}")
    }

    /// A new mark: every session with another one has ended.
    async fn mark_anew(&self, account: AccountId) -> String {
        let mark = self.clock.id().to_string();
        self.cache.set(&Self::mark_key(account), &mark).await;
        mark
    }

    /// The hashes in an account's list, of those that have not ended by time.
    async fn listed(&self, account: AccountId) -> Vec<(String, i64)> {
        let all: Option<Vec<(String, i64)>> = self.cache.get(&Self::list_key(account)).await;
        let mut all = all.unwrap_or_default();
        let now = self.clock.now().as_millisecond();
        all.retain(|(_, until)| *until > now);
        all
    }

    async fn kept(&self, hash: TokenHash) -> Option<Session> {
        let Marked(cached, mark) = self.cache.get(&hash.to_hex()).await?;
        let session = cached.session(hash)?;
        let present: String = self.cache.get(&Self::mark_key(session.account)).await?;
        (present == mark).then_some(session)
    }

    /// An error, when other instances cannot know of an end.
    fn told(&self) -> Result<(), StoreError> {
        if self.cache.shared() {
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
        let mark_key = Self::mark_key(session.account);
        let mark = match self.cache.get::<String>(&mark_key).await {
            // It lives as long as the session that needs it.
            Some(mark) => {
                self.cache.set(&mark_key, &mark).await;
                mark
            }
            None => self.mark_anew(session.account).await,
        };
        let kept = Marked(Cached::of(session), mark);
        self.cache.set(&session.hash.to_hex(), &kept).await;
        // For the list that people see; what ends all sessions does not stand on it.
        let mut all = self.listed(session.account).await;
        all.push((session.hash.to_hex(), session.expires_at.as_millisecond()));
        let first = all.len().saturating_sub(LISTED);
        let list = Self::list_key(session.account);
        self.cache.set(&list, &all[first..].to_vec()).await;
        match self.kept(session.hash).await {
            Some(_) => Ok(()),
            None => self.store.insert(session).await,
        }
    }

    async fn find(&self, hash: TokenHash) -> Result<Option<Session>, StoreError> {
        match self.kept(hash).await {
            Some(session) => Ok(Some(session)),
            None => self.store.find(hash).await,
        }
    }

    async fn of(&self, account: AccountId) -> Result<Vec<Session>, StoreError> {
        let mut sessions = self.store.of(account).await?;
        let listed = self.listed(account).await;
        let hashes = listed
            .iter()
            .filter_map(|(hex, _)| TokenHash::from_hex(hex));
        let kept = futures::future::join_all(hashes.map(|hash| self.kept(hash))).await;
        sessions.extend(kept.into_iter().flatten());
        sessions.sort_by_key(|session| std::cmp::Reverse(session.created_at));
        Ok(sessions)
    }

    async fn delete(&self, hash: TokenHash) -> Result<bool, StoreError> {
        let stored = self.store.delete(hash).await?;
        if let Some(session) = self.kept(hash).await {
            let mut all = self.listed(session.account).await;
            all.retain(|(hex, _)| *hex != hash.to_hex());
            self.cache.set(&Self::list_key(session.account), &all).await;
        }
        let kept = self.cache.delete(&hash.to_hex()).await;
        // In the store, it was never in Redis.
        if !stored {
            self.told()?;
            if self.kept(hash).await.is_some() {
                return Err(StoreError::Unavailable(
                    "redis did not delete a session".to_owned(),
                ));
            }
        }
        Ok(stored || kept)
    }

    async fn delete_of(&self, account: AccountId) -> Result<u64, StoreError> {
        let stored = self.store.delete_of(account).await?;
        let listed = self.listed(account).await;
        let mark = self.mark_anew(account).await;
        self.told()?;
        if self.cache.get(&Self::mark_key(account)).await != Some(mark) {
            return Err(StoreError::Unavailable(
                "redis did not end the sessions".to_owned(),
            ));
        }
        for (hash, _) in &listed {
            self.cache.delete(hash).await;
        }
        self.cache.delete(&Self::list_key(account)).await;
        Ok(stored + listed.len() as u64)
    }

    async fn purge(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.store.purge(before).await
    }
}
