//! Sessions, cached in front of the store: the store decides, and a cached session is trusted for a
//! short time only. With `SESSION_ENGINE=cache`, sessions are in the cache only.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{application_cache::AppCache, sealed_cache::SealedCache};
use crate::{
    clock::Clock,
    domain::{
        accounts::{Session, TokenHash},
        ids::AccountId,
    },
    ports::{SessionStore, StoreError},
};

/// How long a cached session is trusted without asking the store. An instance that cannot reach Redis
/// ends sessions only in the store; the other instances notice within this time.
const TRUSTED: Duration = Duration::from_secs(30);

/// A [`SessionStore`] in front of another.
#[derive(derive_new::new)]
pub struct CachedSessions {
    store: Arc<dyn SessionStore>,
    /// Must have no stand-in, because that would keep sessions that another instance ended.
    cache: SealedCache,
}

impl CachedSessions {
    fn key(hash: TokenHash) -> String {
        format!("session:{}", hash.to_hex())
    }

    async fn withdraw(&self, hash: TokenHash) {
        self.cache.withdraw(&Self::key(hash), TRUSTED).await;
    }
}

#[async_trait]
impl SessionStore for CachedSessions {
    async fn insert(&self, session: &Session) -> Result<(), StoreError> {
        self.store.insert(session).await
    }

    async fn find(&self, hash: TokenHash) -> Result<Option<Session>, StoreError> {
        let key = Self::key(hash);
        let cached = self.cache.get::<Session>(&key).await;
        if let Some(session) = cached.filter(|session| session.hash == hash) {
            return Ok(Some(session));
        }
        let found = self.store.find(hash).await?;
        if let Some(session) = &found {
            self.cache.add(&key, session, TRUSTED).await;
        }
        Ok(found)
    }

    async fn touch(
        &self,
        hash: TokenHash,
        at: Timestamp,
        confirmed: bool,
    ) -> Result<bool, StoreError> {
        let touched = self.store.touch(hash, at, confirmed).await?;
        // Not the new one instead: another instance may end the session at this moment.
        self.withdraw(hash).await;
        Ok(touched)
    }

    async fn list_by_account(&self, account: AccountId) -> Result<Vec<Session>, StoreError> {
        self.store.list_by_account(account).await
    }

    // The store first. A request between the two steps may still find the cached session, before
    // the end of the session is acknowledged.
    async fn delete(&self, hash: TokenHash) -> Result<bool, StoreError> {
        let deleted = self.store.delete(hash).await?;
        self.withdraw(hash).await;
        Ok(deleted)
    }

    async fn delete_by_account(&self, account: AccountId) -> Result<u64, StoreError> {
        let sessions = self.store.list_by_account(account).await?;
        let deleted = self.store.delete_by_account(account).await?;
        for session in sessions {
            self.withdraw(session.hash).await;
        }
        Ok(deleted)
    }

    async fn purge(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.store.purge(before).await
    }
}

/// A session that is only in Redis, with the mark of its account. The mark changes when all sessions
/// of the account end, and when it is lost.
#[derive(Serialize, Deserialize)]
struct Marked(Session, String);

/// The last use of a session that is only in Redis. It is apart from the session, because writing
/// the session could bring back one that ended.
#[derive(Serialize, Deserialize)]
struct LastUse {
    used_at: Option<Timestamp>,
    confirmed_at: Option<Timestamp>,
}

/// A [`SessionStore`] that is only in Redis, and in the store while Redis is unavailable. Emptying
/// Redis signs everybody out. Ending a session fails if other instances could still accept it.
#[derive(derive_new::new)]
pub struct CacheSessions {
    /// A cache without a stand-in, whose default lifetime is that of a session.
    cache: AppCache,
    /// Where sessions are while the cache is unavailable.
    store: Arc<dyn SessionStore>,
    clock: Arc<dyn Clock>,
}

/// How long the mark of an account lives, whatever sessions it has: its loss only signs people out.
const MARKED: Duration = Duration::from_secs(400 * 24 * 3600);

/// The maximum number of sessions in the list of an account; the earliest leave it first.
const LISTED: usize = 100;

impl CacheSessions {
    fn list_key(account: AccountId) -> String {
        format!("of:{account}")
    }

    fn mark_key(account: AccountId) -> String {
        format!("mark:{account}")
    }

    fn use_key(hash: TokenHash) -> String {
        format!("use:{}", hash.to_hex())
    }

    /// Sets a new mark, which ends all sessions with the old one.
    async fn renew_mark(&self, account: AccountId) -> String {
        let mark = self.clock.id().to_string();
        let key = Self::mark_key(account);
        self.cache.set_for(&key, &mark, MARKED).await;
        mark
    }

    /// Returns the mark of an account, and makes one if it has none. Never writes a mark again that it
    /// has read: if all sessions ended in between, that would bring them back.
    async fn mark(&self, account: AccountId) -> Option<String> {
        let key = Self::mark_key(account);
        if let Some(mark) = self.cache.get(&key).await {
            return Some(mark);
        }
        let mark = self.clock.id().to_string();
        self.cache.add_for(&key, &mark, MARKED).await;
        self.cache.get(&key).await
    }

    /// Returns the hashes in the list of an account, with the ends of their sessions, without expired
    /// ones.
    async fn listed(&self, account: AccountId) -> Vec<(String, i64)> {
        let all: Option<Vec<(String, i64)>> = self.cache.get(&Self::list_key(account)).await;
        let mut all = all.unwrap_or_default();
        let now = self.clock.now().as_millisecond();
        all.retain(|(_, until)| *until > now);
        all
    }

    async fn cached(&self, hash: TokenHash) -> Option<Session> {
        let Marked(session, mark) = self.cache.get(&hash.to_hex()).await?;
        let present: String = self.cache.get(&Self::mark_key(session.account)).await?;
        if present != mark || session.hash != hash {
            return None;
        }
        let last: Option<LastUse> = self.cache.get(&Self::use_key(hash)).await;
        Some(match last {
            Some(last) => Session {
                used_at: session.used_at.max(last.used_at),
                confirmed_at: session.confirmed_at.max(last.confirmed_at),
                ..session
            },
            None => session,
        })
    }

    /// Fails if other instances cannot learn that a session ended.
    fn check_shared(&self) -> Result<(), StoreError> {
        if self.cache.shared() {
            Ok(())
        } else {
            Err(StoreError::Unavailable(
                "redis is unavailable, and SESSION_ENGINE=cache keeps sessions there".to_owned(),
            ))
        }
    }
}

#[async_trait]
impl SessionStore for CacheSessions {
    async fn insert(&self, session: &Session) -> Result<(), StoreError> {
        let Some(mark) = self.mark(session.account).await else {
            return self.store.insert(session).await;
        };
        let marked = Marked(session.clone(), mark);
        self.cache.set(&session.hash.to_hex(), &marked).await;
        // Only for the list of sessions; ending all sessions does not depend on it.
        let mut all = self.listed(session.account).await;
        all.push((session.hash.to_hex(), session.expires_at.as_millisecond()));
        let first = all.len().saturating_sub(LISTED);
        let list = Self::list_key(session.account);
        self.cache.set(&list, &all[first..].to_vec()).await;
        match self.cached(session.hash).await {
            Some(_) => Ok(()),
            None => self.store.insert(session).await,
        }
    }

    async fn find(&self, hash: TokenHash) -> Result<Option<Session>, StoreError> {
        match self.cached(hash).await {
            Some(session) => Ok(Some(session)),
            None => self.store.find(hash).await,
        }
    }

    async fn list_by_account(&self, account: AccountId) -> Result<Vec<Session>, StoreError> {
        let mut sessions = self.store.list_by_account(account).await?;
        let listed = self.listed(account).await;
        let hashes = listed
            .iter()
            .filter_map(|(hex, _)| TokenHash::from_hex(hex));
        let cached = futures::future::join_all(hashes.map(|hash| self.cached(hash))).await;
        sessions.extend(cached.into_iter().flatten());
        sessions.sort_by_key(|session| std::cmp::Reverse(session.created_at));
        Ok(sessions)
    }

    async fn touch(
        &self,
        hash: TokenHash,
        at: Timestamp,
        confirmed: bool,
    ) -> Result<bool, StoreError> {
        let Some(session) = self.cached(hash).await else {
            return self.store.touch(hash, at, confirmed).await;
        };
        let last = LastUse {
            used_at: session.used_at.max(Some(at)),
            confirmed_at: match confirmed {
                true => session.confirmed_at.max(Some(at)),
                false => session.confirmed_at,
            },
        };
        self.cache.set(&Self::use_key(hash), &last).await;
        Ok(true)
    }

    async fn delete(&self, hash: TokenHash) -> Result<bool, StoreError> {
        let stored = self.store.delete(hash).await?;
        if let Some(session) = self.cached(hash).await {
            let mut all = self.listed(session.account).await;
            all.retain(|(hex, _)| *hex != hash.to_hex());
            self.cache.set(&Self::list_key(session.account), &all).await;
        }
        let cached = self.cache.delete(&hash.to_hex()).await;
        self.cache.delete(&Self::use_key(hash)).await;
        // A session that was in the store was never in Redis.
        if !stored {
            self.check_shared()?;
            if self.cached(hash).await.is_some() {
                return Err(StoreError::Unavailable(
                    "redis did not delete a session".to_owned(),
                ));
            }
        }
        Ok(stored || cached)
    }

    async fn delete_by_account(&self, account: AccountId) -> Result<u64, StoreError> {
        let stored = self.store.delete_by_account(account).await?;
        let listed = self.listed(account).await;
        let mark = self.renew_mark(account).await;
        self.check_shared()?;
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
