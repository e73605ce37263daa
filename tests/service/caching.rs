//! What the application remembers: right after every change, and never longer than it may.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use rollcall::{
    clock::{Clock, SystemClock},
    domain::{
        accounts::{Session, TokenHash},
        ids::AccountId,
    },
    ports::{Cache, EmployeeFilter, EmployeeStore, Page, SessionStore, StoreError},
    service::{
        application_cache::AppCache, cached_lists::CachedEmployees, sealed_cache::SealedCache,
        sessions::CacheSessions,
    },
    storage::memory::MemoryCache,
    vault::Vault,
};
use zeroize::Zeroizing;

use crate::world::{instance, person};

const TIME_OUT: Duration = Duration::from_secs(30);

fn cache() -> Arc<dyn Cache> {
    Arc::new(MemoryCache::new(1 << 20))
}

fn over(cache: &Arc<dyn Cache>, alias: &'static str) -> AppCache {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let vault = Arc::new(Vault::new(&Zeroizing::new([7; 32]), &[]));
    let sealed = SealedCache::new("application", cache.clone(), vault, clock.clone());
    AppCache::new(alias, sealed, clock, TIME_OUT)
}

#[tokio::test]
async fn values_are_typed_and_aliases_apart() {
    let bytes = cache();
    let (default, session) = (over(&bytes, "default"), over(&bytes, "session"));
    default.set("a", &(1, "one".to_owned())).await;
    session.set("a", &(2, "two".to_owned())).await;
    assert_eq!(default.get("a").await, Some((1, "one".to_owned())));
    assert_eq!(session.get("a").await, Some((2, "two".to_owned())));
    assert_eq!(default.get::<bool>("a").await, None, "of another type");
    assert!(default.exists("a").await && !default.exists("b").await);
    assert!(default.ttl("a").await.is_some_and(|left| left <= TIME_OUT));

    default.set_many(&[("n1", 1), ("n2", 2), ("m", 3)]).await;
    let many: Vec<Option<i32>> = default.get_many(&["n2", "x", "n1"]).await;
    assert_eq!(many, [Some(2), None, Some(1)]);
    assert_eq!(default.clear("n").await, 2);
    assert_eq!(default.get::<i32>("m").await, Some(3));
    assert!(default.delete("m").await && !default.delete("m").await);
    assert_eq!(default.increment("count", 2, TIME_OUT).await, 2);
    assert_eq!(default.increment("count", -1, TIME_OUT).await, 1);

    default.set_for("soon", &1, Duration::from_millis(30)).await;
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert_eq!(default.get::<i32>("soon").await, None);

    // What somebody else put there is not read.
    bytes.set("app:default:a", b"planted", TIME_OUT).await;
    assert_eq!(default.get::<(i32, String)>("a").await, None);

    let dummy = AppCache::dummy();
    dummy.set("a", &1).await;
    assert_eq!(dummy.get::<i32>("a").await, None);
}

#[tokio::test]
async fn a_group_is_forgotten_at_once_and_what_is_made_of_the_past_is_not_found() {
    let bytes = cache();
    let (one, two) = (over(&bytes, "default"), over(&bytes, "default"));
    let ask = async |cache: &AppCache, value: i32| -> i32 {
        let compute = async { Ok::<_, StoreError>(value) };
        cache.in_group("numbers", "a", compute).await.unwrap()
    };
    assert_eq!(ask(&one, 1).await, 1);
    assert_eq!(ask(&two, 2).await, 1, "remembered for both");
    two.forget("numbers").await;
    assert_eq!(ask(&one, 3).await, 3);

    let failed: Result<i32, _> = one
        .in_group("numbers", "b", async { Err(StoreError::Conflict) })
        .await;
    assert_eq!(failed, Err(StoreError::Conflict));
    let slow = one.in_group("numbers", "c", async {
        // Changed while this was made of what was.
        two.forget("numbers").await;
        Ok::<_, StoreError>(4)
    });
    assert_eq!(slow.await, Ok(4));
    let fresh = two.in_group("numbers", "c", async { Ok::<_, StoreError>(5) });
    assert_eq!(fresh.await, Ok(5));
}

#[tokio::test]
async fn a_list_is_remembered_until_somebody_changes_it_anywhere() {
    let world = instance().await;
    let (bytes, store) = (cache(), world.stores.employees.clone());
    let one = CachedEmployees::new(store.clone(), over(&bytes, "default"));
    let two = CachedEmployees::new(store.clone(), over(&bytes, "default"));
    let count = async |of: &CachedEmployees, text: Option<&str>| {
        let filter = EmployeeFilter {
            text: text.map(str::to_owned),
            ..EmployeeFilter::default()
        };
        let page = Page {
            after: None,
            limit: 10,
        };
        of.list(&filter, &page).await.unwrap().len()
    };
    assert_eq!(count(&one, None).await, 0);
    let ann = person("ann");
    one.insert(&ann).await.unwrap();
    assert_eq!((count(&one, None).await, count(&two, None).await), (1, 1));
    // Behind its back: it is remembered indeed.
    store.insert(&person("bob")).await.unwrap();
    assert_eq!(count(&two, None).await, 1);
    assert_eq!(count(&two, Some("bob")).await, 1, "another question");
    assert!(two.set_enrolled(ann.id, 2, None).await.unwrap());
    assert_eq!(count(&one, None).await, 2);
    let mut gone = ann.clone();
    gone.templates = 2;
    gone.deleted_at = Some(ann.created_at);
    assert!(one.update(&ann, &gone).await.unwrap());
    assert_eq!(count(&two, None).await, 1);
}

#[tokio::test]
async fn sessions_in_the_cache_alone_end_one_by_one_and_all_at_once() {
    let world = instance().await;
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
        }
    };
    let [first, second, third] = [1, 2, 3].map(|seed| session(seed, account));
    let other = session(4, AccountId::new(SystemClock.id()));
    for made in [&first, &second, &third, &other] {
        one.insert(made).await.unwrap();
    }
    assert_eq!(two.find(first.hash).await.unwrap(), Some(first.clone()));
    assert_eq!(two.of(account).await.unwrap().len(), 3);
    assert!(
        store.of(account).await.unwrap().is_empty(),
        "not in the store"
    );
    assert!(two.delete(first.hash).await.unwrap());
    assert!(!one.delete(first.hash).await.unwrap());
    assert_eq!(one.find(first.hash).await.unwrap(), None);
    assert_eq!(one.of(account).await.unwrap().len(), 2);

    assert_eq!(two.delete_of(account).await.unwrap(), 2);
    assert_eq!(one.find(third.hash).await.unwrap(), None);
    assert!(one.find(other.hash).await.unwrap().is_some());
    // Whoever signs in again is in.
    one.insert(&third).await.unwrap();
    assert_eq!(two.find(third.hash).await.unwrap(), Some(third));

    // A mark that is lost, or reset by whoever can write to Redis, brings nobody back.
    let mark = format!("app:session:mark:{account}");
    assert!(bytes.exists(&mark).await);
    two.delete_of(account).await.unwrap();
    one.insert(&first).await.unwrap();
    bytes.delete(std::slice::from_ref(&mark)).await;
    assert_eq!(one.find(first.hash).await.unwrap(), None);
    bytes.set(&mark, b"0", TIME_OUT).await;
    assert_eq!(one.find(first.hash).await.unwrap(), None);
}

/// A cache as it is while Redis is away: it takes nothing, and says so.
struct Gone;

#[async_trait]
impl Cache for Gone {
    async fn get(&self, _: &str) -> Option<Vec<u8>> {
        None
    }
    async fn get_many(&self, keys: &[String]) -> Vec<Option<Vec<u8>>> {
        vec![None; keys.len()]
    }
    async fn set(&self, _: &str, _: &[u8], _: Duration) {}
    async fn set_many(&self, _: &[(String, Vec<u8>)], _: Duration) {}
    async fn add(&self, _: &str, _: &[u8], _: Duration) -> bool {
        false
    }
    async fn delete(&self, _: &[String]) -> u64 {
        0
    }
    async fn clear(&self, _: &str) -> u64 {
        0
    }
    async fn increment(&self, _: &str, _: i64, _: Duration) -> i64 {
        0
    }
    async fn ttl(&self, _: &str) -> Option<Duration> {
        None
    }
    fn shared(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn without_the_cache_sessions_are_in_the_store_and_no_end_is_claimed_that_is_none() {
    let world = instance().await;
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
    };
    sessions.insert(&made).await.unwrap();
    assert_eq!(store.find(made.hash).await.unwrap(), Some(made.clone()));
    assert_eq!(sessions.find(made.hash).await.unwrap(), Some(made.clone()));
    assert_eq!(sessions.of(account).await.unwrap().len(), 1);
    assert!(sessions.delete(made.hash).await.unwrap());
    let elsewhere = sessions.delete(TokenHash([2; 32])).await;
    assert!(matches!(elsewhere, Err(StoreError::Unavailable(_))));
    let all = sessions.delete_of(account).await;
    assert!(matches!(all, Err(StoreError::Unavailable(_))));
}
