//! The application cache: typed values, and sessions that are only in a cache.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use rollcall::{
    clock::{Clock, SystemClock},
    domain::{
        accounts::{Session, TokenHash},
        ids::AccountId,
    },
    ports::{Cache, SessionStore, StoreError},
    service::{
        application_cache::AppCache,
        sealed_cache::SealedCache,
        sessions::{CacheSessions, CachedSessions},
    },
    storage::memory::MemoryCache,
    vault::Vault,
};
use zeroize::Zeroizing;

use crate::world::{browser, instance};

const TIME_OUT: Duration = Duration::from_secs(30);

fn cache() -> Arc<dyn Cache> {
    Arc::new(MemoryCache::new(1 << 20))
}

fn over(cache: &Arc<dyn Cache>, alias: &'static str) -> AppCache {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let vault = Arc::new(Vault::new(&Zeroizing::new([7; 32]), &[]));
    let sealed = SealedCache::new("application", cache.clone(), vault, clock);
    AppCache::new(alias, sealed, TIME_OUT)
}

#[tokio::test]
async fn values_are_typed_and_aliases_are_separate() {
    let bytes = cache();
    let (default, session) = (over(&bytes, "default"), over(&bytes, "session"));
    default.set("a", &(1, "one".to_owned())).await;
    session.set("a", &(2, "two".to_owned())).await;
    assert_eq!(default.get("a").await, Some((1, "one".to_owned())));
    assert_eq!(session.get("a").await, Some((2, "two".to_owned())));
    assert_eq!(default.get::<bool>("a").await, None, "of another type");
    assert_eq!(default.get::<i32>("b").await, None);
    let left = bytes.ttl("app:default:a").await.unwrap();
    assert!(left <= TIME_OUT && left > TIME_OUT / 2);
    assert!(default.delete("a").await && !default.delete("a").await);
    assert!(session.get::<(i32, String)>("a").await.is_some());
    default.set("a", &(1, "one".to_owned())).await;

    default.set_for("soon", &1, Duration::from_millis(30)).await;
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert_eq!(default.get::<i32>("soon").await, None);

    // Values that others planted are not read.
    bytes.set("app:default:a", b"planted", TIME_OUT).await;
    assert_eq!(default.get::<(i32, String)>("a").await, None);
}

#[tokio::test]
async fn sessions_only_in_the_cache_end_one_by_one_and_all_at_once() {
    let world = instance();
    let (bytes, store) = (cache(), world.stores.sessions.clone());
    let sessions = || {
        let clock: Arc<dyn Clock> = world.clock.clone();
        CacheSessions::new(over(&bytes, "session"), store.clone(), clock)
    };
    let (one, two) = (sessions(), sessions());
    let account = AccountId::new(SystemClock.id());
    let session = |seed: u8, account| {
        let created_at = Timestamp::from_millisecond(1_768_478_400_000).unwrap();
        Session {
            hash: TokenHash([seed; 32]),
            account,
            created_at,
            expires_at: created_at + SignedDuration::from_hours(8),
            used_at: None,
            confirmed_at: Some(created_at),
            browser: None,
        }
    };
    let [first, second, third] = [1, 2, 3].map(|seed| session(seed, account));
    let other = session(4, AccountId::new(SystemClock.id()));
    for made in [&first, &second, &third, &other] {
        one.insert(made).await.unwrap();
    }
    assert_eq!(two.find(first.hash).await.unwrap(), Some(first.clone()));
    assert_eq!(two.list_by_account(account).await.unwrap().len(), 3);
    assert!(
        store.list_by_account(account).await.unwrap().is_empty(),
        "not in the store"
    );
    assert!(two.delete(first.hash).await.unwrap());
    assert!(!one.delete(first.hash).await.unwrap());
    assert_eq!(one.find(first.hash).await.unwrap(), None);
    assert_eq!(one.list_by_account(account).await.unwrap().len(), 2);

    assert_eq!(two.delete_by_account(account).await.unwrap(), 2);
    assert_eq!(one.find(third.hash).await.unwrap(), None);
    assert!(one.find(other.hash).await.unwrap().is_some());
    // A new sign-in is valid.
    one.insert(&third).await.unwrap();
    assert_eq!(two.find(third.hash).await.unwrap(), Some(third.clone()));

    // The last use is shared, and never brings back a session that ended.
    let used = world.clock.now() + SignedDuration::from_mins(3);
    assert_eq!(two.touch(third.hash, used, true).await, Ok(true));
    let found = one.find(third.hash).await.unwrap().unwrap();
    assert_eq!(
        (found.used_at, found.confirmed_at),
        (Some(used), Some(used))
    );
    assert_eq!(two.touch(second.hash, used, true).await, Ok(false));
    assert_eq!(one.find(second.hash).await, Ok(None));

    // If the mark is lost, or reset by anyone with access to Redis, no ended session becomes valid.
    let mark = format!("app:session:mark:{account}");
    assert!(bytes.exists(&mark).await);
    two.delete_by_account(account).await.unwrap();
    one.insert(&first).await.unwrap();
    bytes.delete(std::slice::from_ref(&mark)).await;
    assert_eq!(one.find(first.hash).await.unwrap(), None);
    bytes.set(&mark, b"0", TIME_OUT).await;
    assert_eq!(one.find(first.hash).await.unwrap(), None);
}

#[tokio::test]
async fn a_cached_session_ends_and_is_confirmed_on_every_instance_at_once() {
    let world = instance();
    let (bytes, store) = (cache(), world.stores.sessions.clone());
    let sessions = || {
        let clock: Arc<dyn Clock> = world.clock.clone();
        let vault = Arc::new(Vault::new(&Zeroizing::new([7; 32]), &[]));
        let sealed = SealedCache::new("sessions", bytes.clone(), vault, clock);
        CachedSessions::new(store.clone(), sealed)
    };
    let (one, two) = (sessions(), sessions());
    let (account, now) = (AccountId::new(SystemClock.id()), world.clock.now());
    let made = Session {
        hash: TokenHash([1; 32]),
        account,
        created_at: now,
        expires_at: now + SignedDuration::from_hours(8),
        used_at: None,
        confirmed_at: None,
        browser: Some(browser()),
    };
    one.insert(&made).await.unwrap();
    for instance in [&one, &two] {
        assert_eq!(instance.find(made.hash).await, Ok(Some(made.clone())));
        assert!(bytes.exists(&format!("session:{}", made.hash)).await);
    }
    let later = now + SignedDuration::from_mins(3);
    assert_eq!(one.touch(made.hash, later, true).await, Ok(true));
    let found = two.find(made.hash).await.unwrap().unwrap();
    assert_eq!(
        (found.used_at, found.confirmed_at),
        (Some(later), Some(later))
    );
    // An earlier use by another instance does not count.
    assert_eq!(two.touch(made.hash, now, false).await, Ok(true));
    let found = two.find(made.hash).await.unwrap().unwrap();
    assert_eq!(
        (found.used_at, found.confirmed_at),
        (Some(later), Some(later))
    );
    assert_eq!(two.delete_by_account(account).await, Ok(1));
    assert_eq!(one.touch(made.hash, later, true).await, Ok(false));
    assert_eq!(one.find(made.hash).await, Ok(None));
}

/// A cache in which all sessions of an account end right after its mark was read.
struct Interrupted {
    cache: Arc<dyn Cache>,
    ending: Mutex<Option<(Arc<CacheSessions>, AccountId)>>,
}

#[async_trait]
impl Cache for Interrupted {
    async fn get(&self, key: &str) -> Option<Vec<u8>> {
        let value = self.cache.get(key).await;
        if key.contains(":mark:") {
            let ending = self.ending.lock().unwrap().take();
            if let Some((sessions, account)) = ending {
                sessions.delete_by_account(account).await.unwrap();
            }
        }
        value
    }
    async fn set(&self, key: &str, value: &[u8], ttl: Duration) {
        self.cache.set(key, value, ttl).await;
    }
    async fn add(&self, key: &str, value: &[u8], ttl: Duration) -> bool {
        self.cache.add(key, value, ttl).await
    }
    async fn delete(&self, keys: &[String]) -> u64 {
        self.cache.delete(keys).await
    }
    async fn clear(&self, prefix: &str) {
        self.cache.clear(prefix).await;
    }
    async fn ttl(&self, key: &str) -> Option<Duration> {
        self.cache.ttl(key).await
    }
}

#[tokio::test]
async fn a_sign_in_brings_back_no_session_that_ends_at_the_same_moment() {
    let world = instance();
    let (bytes, store) = (cache(), world.stores.sessions.clone());
    let sessions = |cache: &Arc<dyn Cache>| {
        let clock: Arc<dyn Clock> = world.clock.clone();
        Arc::new(CacheSessions::new(
            over(cache, "session"),
            store.clone(),
            clock,
        ))
    };
    let one = sessions(&bytes);
    let account = AccountId::new(SystemClock.id());
    let created_at = world.clock.now();
    let session = |seed| Session {
        hash: TokenHash([seed; 32]),
        account,
        created_at,
        expires_at: created_at + SignedDuration::from_hours(8),
        used_at: None,
        confirmed_at: Some(created_at),
        browser: None,
    };
    let (stolen, new) = (session(1), session(2));
    one.insert(&stolen).await.unwrap();
    // Two sign-ins at once can leave a session out of the list.
    bytes.delete(&[format!("app:session:of:{account}")]).await;
    let interrupted: Arc<dyn Cache> = Arc::new(Interrupted {
        cache: bytes.clone(),
        ending: Mutex::new(Some((one.clone(), account))),
    });
    sessions(&interrupted).insert(&new).await.unwrap();
    assert_eq!(one.find(stolen.hash).await, Ok(None));
    assert_eq!(one.find(new.hash).await, Ok(Some(new)));
}

/// A cache while Redis is unavailable: it stores nothing, and reports that it is not shared.
struct Gone;

#[async_trait]
impl Cache for Gone {
    async fn get(&self, _: &str) -> Option<Vec<u8>> {
        None
    }
    async fn set(&self, _: &str, _: &[u8], _: Duration) {}
    async fn add(&self, _: &str, _: &[u8], _: Duration) -> bool {
        false
    }
    async fn delete(&self, _: &[String]) -> u64 {
        0
    }
    async fn clear(&self, _: &str) {}
    async fn ttl(&self, _: &str) -> Option<Duration> {
        None
    }
    fn shared(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn without_the_cache_sessions_are_in_the_store_and_no_end_is_falsely_claimed() {
    let world = instance();
    let store = world.stores.sessions.clone();
    let gone: Arc<dyn Cache> = Arc::new(Gone);
    let clock: Arc<dyn Clock> = world.clock.clone();
    let sessions = CacheSessions::new(over(&gone, "session"), store.clone(), clock);
    let account = AccountId::new(SystemClock.id());
    let created_at = world.clock.now();
    let made = Session {
        hash: TokenHash([1; 32]),
        account,
        created_at,
        expires_at: created_at + SignedDuration::from_hours(8),
        used_at: None,
        confirmed_at: Some(created_at),
        browser: None,
    };
    sessions.insert(&made).await.unwrap();
    assert_eq!(store.find(made.hash).await.unwrap(), Some(made.clone()));
    assert_eq!(sessions.find(made.hash).await.unwrap(), Some(made.clone()));
    assert_eq!(sessions.list_by_account(account).await.unwrap().len(), 1);
    assert!(sessions.delete(made.hash).await.unwrap());
    let elsewhere = sessions.delete(TokenHash([2; 32])).await;
    assert!(matches!(elsewhere, Err(StoreError::Unavailable(_))));
    let all = sessions.delete_by_account(account).await;
    assert!(matches!(all, Err(StoreError::Unavailable(_))));
}
