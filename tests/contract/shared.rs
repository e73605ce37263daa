//! The parts that instances share: the same behavior on Redis, in memory, and on the adapters that
//! fall back from Redis to memory.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures::future::join_all;
use rollcall::{
    clock::{Clock, SystemClock},
    ports::{BUS_BEGINS, Bus, Cache, Message, Quota, RateLimits, SharedKey, SharedServers},
    repositories::Repositories,
    service::store_cache::StoreCache,
    storage::{
        degrading::{DegradingBus, DegradingCache, DegradingLimits},
        memory::{MemoryBus, MemoryCache, MemoryEngine, MemoryLimits},
        redis::{
            Address, Held, LockError, NotANumber, Patience, Prefix, RedisBus, RedisCache,
            RedisLimits, RedisLocks, RedisServers, Server, Standing, Unavailable,
        },
    },
};
use tokio::sync::broadcast::Receiver;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{redis_server::RedisServer, servers::MongoServer, skip::skip};

/// Time limit of a command in these tests: on a busy machine, a healthy Redis may take this long.
const COMMAND: Duration = Duration::from_secs(2);

/// Returns a connection of one instance.
pub fn server(url: &str) -> Arc<Server> {
    at(Address::parse(&url.to_owned().into(), None, None).unwrap())
}

/// Returns a connection to any kind of address.
pub fn at(address: Address) -> Arc<Server> {
    let patience = Patience {
        connect: 2 * COMMAND,
        command: COMMAND,
    };
    let forget = vec![prefix().pattern("session:")];
    Server::new(address, patience, 2, "test:probe".to_owned(), forget)
}

pub fn prefix() -> Prefix {
    Prefix::new("test")
}

/// Returns a connected server, which is watched until the guard is dropped.
async fn watched(redis: &RedisServer) -> (Arc<Server>, DropGuard) {
    watch(server(&redis.url())).await
}

/// Connects, and watches until the guard is dropped.
pub async fn watch(server: Arc<Server>) -> (Arc<Server>, DropGuard) {
    server.try_now().await;
    assert_eq!(server.standing(), Standing::Up);
    let stop = CancellationToken::new();
    let (watcher, token) = (server.clone(), stop.clone());
    tokio::spawn(async move { watcher.watch(token).await });
    (server, stop.drop_guard())
}

fn redis_server(test: &str) -> Option<RedisServer> {
    redis_with(test, &[])
}

pub fn redis_with(test: &str, arguments: &[&str]) -> Option<RedisServer> {
    RedisServer::with(arguments)
        .inspect_err(|why| skip(test, why))
        .ok()
}

/// Waits until the instance sees Redis as available or unavailable.
pub async fn until_up(server: &Server, up: bool) -> Duration {
    let begin = Instant::now();
    while server.is_up() != up {
        assert!(begin.elapsed() < PATIENCE, "{server:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    begin.elapsed()
}

pub fn degrading(server: &Arc<Server>) -> DegradingCache {
    DegradingCache::new(
        RedisCache::new(server.clone(), prefix()),
        Some(Arc::new(MemoryCache::new(1 << 20))),
    )
}

const SHORT: Duration = Duration::from_millis(150);
pub const LONG: Duration = Duration::from_mins(10);

/// Maximum time of every wait.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until a condition holds.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let begin = Instant::now();
    while !holds().await {
        assert!(begin.elapsed() < PATIENCE, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub async fn a_cache_keeps_finds_and_deletes(cache: &dyn Cache) {
    assert_eq!(cache.get("a:1").await, None);
    cache.set("a:1", b"one", LONG).await;
    assert_eq!(cache.get("a:1").await.as_deref(), Some(&b"one"[..]));
    assert!(cache.exists("a:1").await && !cache.exists("a:2").await);
    let left = cache.ttl("a:1").await.unwrap();
    assert!(left <= LONG && left > LONG / 2, "{left:?}");

    assert!(!cache.add("a:1", b"other", LONG).await);
    assert!(cache.add("a:2", b"two", LONG).await);
    assert_eq!(cache.get("a:2").await.as_deref(), Some(&b"two"[..]));
    cache.set("b:1", &[0; 300], LONG).await;
    let gone = ["a:1", "a:2", "a:3"].map(str::to_owned);
    assert_eq!(cache.delete(&gone).await, 2);
    assert_eq!(cache.get("a:1").await, None);
    assert_eq!(cache.get("b:1").await, Some(vec![0; 300]));
    assert_eq!(cache.delete(&["b:1".to_owned()]).await, 1);
    for key in ["c:1", "c:2", "c", "d:c:1"] {
        cache.set(key, b"1", LONG).await;
    }
    cache.clear("c:").await;
    let kept = ["c", "d:c:1"].map(str::to_owned);
    assert!(!cache.exists("c:1").await && !cache.exists("c:2").await);
    assert_eq!(cache.delete(&kept).await, 2);

    let begin = Instant::now();
    cache.set("short", b"1", SHORT).await;
    assert!(cache.exists("short").await || begin.elapsed() > SHORT);
    until("the value expires", async || {
        cache.get("short").await.is_none()
    })
    .await;
    assert!(begin.elapsed() > SHORT / 2, "{:?}", begin.elapsed());
    assert!(cache.add("short", b"2", LONG).await);
    assert_eq!(cache.delete(&["short".to_owned()]).await, 1);
}

#[tokio::test]
async fn a_cache_in_memory_keeps_its_contract() {
    a_cache_keeps_finds_and_deletes(&MemoryCache::new(1 << 20)).await;
}

/// Returns the cache of an instance in a store.
fn in_store(stores: &Repositories) -> Arc<dyn Cache> {
    let cache = StoreCache::new(stores.cache.clone(), Arc::new(SystemClock));
    Arc::new(cache)
}

/// Two instances on one store share cached values and deletions.
async fn a_cache_in_a_store_is_shared(stores: &Repositories) {
    let (here, there) = (in_store(stores), in_store(stores));
    a_cache_keeps_finds_and_deletes(&*here).await;
    here.set("app:1", b"here", LONG).await;
    assert_eq!(there.get("app:1").await.as_deref(), Some(&b"here"[..]));
    assert!(!there.add("app:1", b"there", LONG).await);
    let at = |number: u8| match number.is_multiple_of(2) {
        true => &here,
        false => &there,
    };
    let adds = (0..20).map(|number| async move { at(number).add("once", &[number], LONG).await });
    let added = join_all(adds).await;
    assert_eq!(added.into_iter().filter(|added| *added).count(), 1);
    let sets = (0..20).map(|number| async move { at(number).set("often", &[number], LONG).await });
    join_all(sets).await;
    let last = here.get("often").await;
    assert!(last.is_some());
    assert_eq!(there.get("often").await, last);
    assert_eq!(there.delete(&["app:1".to_owned()]).await, 1);
    assert_eq!(here.get("app:1").await, None);
    let both = ["once", "often"].map(str::to_owned);
    assert_eq!(here.delete(&both).await, 2);

    // Expired values are permanently deleted, others are kept.
    here.set("kept", b"1", LONG).await;
    here.set("short", b"1", Duration::from_millis(1)).await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    stores.cache.purge(SystemClock.now()).await.unwrap();
    assert_eq!(stores.cache.purge(SystemClock.now()).await, Ok(0));
    assert!(there.exists("kept").await && !there.exists("short").await);
}

/// A store that is unavailable acts as an empty cache.
async fn a_cache_is_empty_after_closing(stores: &Repositories) {
    let cache = in_store(stores);
    cache.set("kept", b"1", LONG).await;
    stores.engine.close().await;
    assert_eq!(cache.get("kept").await, None);
    cache.set("kept", b"2", LONG).await;
    assert!(!cache.add("new", b"1", LONG).await);
    assert_eq!(cache.delete(&["kept".to_owned()]).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cache_in_a_store_keeps_its_contract() {
    let memory = Repositories::new(Arc::new(MemoryEngine::default()));
    a_cache_in_a_store_is_shared(&memory).await;
    let folder = tempfile::tempdir().unwrap();
    let sqlite = crate::sqlite(&folder.path().join("rollcall.db")).await;
    a_cache_in_a_store_is_shared(&sqlite).await;
    a_cache_is_empty_after_closing(&sqlite).await;
    if let Some(server) = redis_server("a cache in a store on Redis") {
        let redis = crate::redis(&server.url());
        a_cache_in_a_store_is_shared(&redis).await;
        a_cache_is_empty_after_closing(&redis).await;
    }
    match MongoServer::start() {
        Ok(server) => {
            let mongo = crate::mongo(&server, "cache").await;
            a_cache_in_a_store_is_shared(&mongo).await;
            a_cache_is_empty_after_closing(&mongo).await;
        }
        Err(why) => skip("a cache in a store on MongoDB", &why),
    }
}

/// While Redis is unavailable, instances that fall back on one store still share their values.
#[tokio::test]
async fn without_redis_the_store_is_the_fallback_of_all_instances() {
    let Some(mut redis) = redis_server("a store that stands in for Redis") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let stores = crate::sqlite(&folder.path().join("rollcall.db")).await;
    let ((one, _guard), (two, _other)) = (watched(&redis).await, watched(&redis).await);
    let over = |server: &Arc<Server>| {
        let redis = RedisCache::new(server.clone(), prefix());
        DegradingCache::new(redis, Some(in_store(&stores)))
    };
    let (here, there) = (over(&one), over(&two));
    a_cache_keeps_finds_and_deletes(&here).await;
    assert!(here.shared());
    redis.kill();
    until_up(&one, false).await;
    until_up(&two, false).await;
    assert!(
        !here.shared(),
        "an instance that still reaches Redis does not see it"
    );
    here.set("a", b"1", LONG).await;
    assert_eq!(there.get("a").await.as_deref(), Some(&b"1"[..]));
    assert_eq!(there.delete(&["a".to_owned()]).await, 1);
    assert_eq!(here.get("a").await, None);
    a_cache_keeps_finds_and_deletes(&there).await;
}

#[tokio::test]
async fn a_cache_keeps_its_contract_with_redis_and_without_it() {
    let test = "a cache on Redis";
    let Some(mut redis) = redis_server(test) else {
        return;
    };
    let (server, _guard) = watched(&redis).await;
    let cache = degrading(&server);
    a_cache_keeps_finds_and_deletes(&cache).await;
    cache.set("left", b"1", LONG).await;
    cache.add("added", b"1", LONG).await;
    let left: Vec<String> = redis.ask(&["KEYS", "*"]);
    assert!(left.len() >= 2, "{left:?}");
    for key in left {
        let ttl: i64 = redis.ask(&["PTTL", &key]);
        assert!(key.starts_with("test:") && ttl > 0, "{key} lives {ttl}");
    }
    redis.kill();
    until_up(&server, false).await;
    a_cache_keeps_finds_and_deletes(&cache).await;
}

#[tokio::test]
async fn a_cache_without_a_fallback_is_empty_while_redis_is_unavailable() {
    let Some(mut redis) = redis_server("a cache without a stand-in") else {
        return;
    };
    let (server, _guard) = watched(&redis).await;
    let cache = DegradingCache::new(RedisCache::new(server.clone(), prefix()), None);
    cache.set("session:1", b"here", LONG).await;
    assert!(cache.exists("session:1").await);
    redis.kill();
    assert_eq!(cache.get("session:1").await, None);
    cache.set("session:1", b"here", LONG).await;
    assert_eq!(cache.get("session:1").await, None);
    assert!(!cache.exists("session:1").await);
}

/// Cached sessions that could not be invalidated while Redis was unavailable are deleted when it is
/// back, and whatever else was to be deleted.
#[tokio::test]
async fn cached_sessions_are_deleted_before_a_redis_that_is_back_is_used() {
    let arguments = ["--appendonly", "yes", "--appendfsync", "always"];
    let Some(mut redis) = redis_with("sessions after a restart", &arguments) else {
        return;
    };
    let (server, _guard) = watched(&redis).await;
    let cache = DegradingCache::new(RedisCache::new(server.clone(), prefix()), None);
    // More than one batch of deletions.
    let many: Vec<_> = (0..1200)
        .map(|number| (format!("session:{number}"), b"signed in".to_vec()))
        .collect();
    let redis_cache = RedisCache::new(server.clone(), prefix());
    for some in many.chunks(100) {
        redis_cache.set_many(some, LONG).await.unwrap();
    }
    let there: Vec<String> = redis.ask(&["KEYS", "test:session:*"]);
    assert_eq!(there.len(), many.len());
    cache.set("embedding:1", b"kept", LONG).await;
    cache.set("deleted:1", b"not kept", LONG).await;
    redis.kill();
    until_up(&server, false).await;
    cache.clear("deleted:").await;
    redis.restart();
    until_up(&server, true).await;
    let left: Vec<String> = redis.ask(&["KEYS", "test:session:*"]);
    assert!(left.is_empty(), "{} are left", left.len());
    assert!(
        !cache.exists("deleted:1").await,
        "it was to be deleted meanwhile"
    );
    assert!(cache.exists("embedding:1").await, "nothing else is deleted");
}

pub async fn a_limit_counts_in_a_window(limits: &dyn RateLimits) {
    let three = Quota {
        most: 3,
        window: LONG,
    };
    // Keys that an earlier call on the same server has not used.
    let [key, other, short] = [(); 3].map(|()| uuid::Uuid::now_v7().to_string());
    for left in [2, 1, 0] {
        let verdict = limits.check(&key, three).await;
        assert!(verdict.allowed);
        assert_eq!(verdict.remaining, left);
        assert!(verdict.reset <= three.window);
    }
    let refused = limits.check(&key, three).await;
    assert!(!refused.allowed && refused.remaining == 0);
    assert!(limits.check(&other, three).await.allowed);
    // A use that is taken back makes room for one more.
    limits.take_back(&key).await;
    assert!(limits.check(&key, three).await.allowed);
    assert!(!limits.check(&key, three).await.allowed);
    limits.take_back("never used").await;

    let one = Quota {
        most: 1,
        window: SHORT,
    };
    let begin = Instant::now();
    assert!(limits.check(&short, one).await.allowed);
    until("the use expires", async || {
        limits.check(&short, one).await.allowed
    })
    .await;
    assert!(begin.elapsed() > SHORT / 2, "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_limit_in_memory_keeps_its_contract() {
    a_limit_counts_in_a_window(&MemoryLimits::default()).await;
}

pub fn limits(server: &Arc<Server>, instance: &str) -> DegradingLimits {
    DegradingLimits::new(RedisLimits::new(
        server.clone(),
        prefix(),
        instance.to_owned(),
    ))
}

#[tokio::test]
async fn two_instances_count_together_exactly() {
    let Some(mut redis) = redis_server("limits on Redis") else {
        return;
    };
    let ((one, _guard), (two, _other)) = (watched(&redis).await, watched(&redis).await);
    let instances = [limits(&one, "one"), limits(&two, "two")];
    a_limit_counts_in_a_window(&instances[0]).await;

    let five = Quota {
        most: 5,
        window: Duration::from_hours(1),
    };
    let tries = (0..50).map(|n| instances[n % 2].check("enroll", five));
    let allowed = join_all(tries).await;
    assert_eq!(allowed.iter().filter(|verdict| verdict.allowed).count(), 5);
    let ttl: i64 = redis.ask(&["PTTL", "test:limit:enroll"]);
    assert!(ttl > 3_500_000, "{ttl}");

    // A Redis that has lost its data does not allow uses that this instance has already counted.
    let used_here = |verdicts: &[_], instance: usize| {
        let mine = verdicts.iter().skip(instance).step_by(2);
        mine.filter(|verdict: &&rollcall::ports::Verdict| verdict.allowed)
            .count()
    };
    let counts = [used_here(&allowed, 0), used_here(&allowed, 1)];
    redis.ask::<()>(&["FLUSHALL"]);
    for (limits, used) in instances.iter().zip(counts) {
        let mut more = 0;
        while limits.check("enroll", five).await.allowed {
            more += 1;
        }
        assert!(more + used <= 5, "{used} before, {more} after");
    }
    // The same holds for a Redis that is gone.
    redis.kill();
    until_up(&one, false).await;
    let five_more = join_all((0..9).map(|_| instances[0].check("new", five))).await;
    assert_eq!(
        five_more.iter().filter(|verdict| verdict.allowed).count(),
        5
    );
}

/// Takes a lock; `None` if another holder has it.
async fn acquire(locks: &RedisLocks, name: &str, lease: Duration) -> Option<Held> {
    locks.acquire(name, lease).await.unwrap()
}

pub async fn a_lock_has_one_holder(locks: &RedisLocks) {
    let first = acquire(locks, "import", LONG).await.unwrap();
    assert_eq!(acquire(locks, "import", LONG).await, None);
    let other = acquire(locks, "other", LONG).await.unwrap();
    assert_eq!(locks.extend(&first, LONG).await, Ok(true));
    assert_eq!(acquire(locks, "import", LONG).await, None);
    // Its lease ends, as after a pause of the holder: now another one has the lock.
    let begin = Instant::now();
    assert_eq!(locks.extend(&first, SHORT).await, Ok(true));
    let mut second = None;
    until("the lease ends", async || {
        second = acquire(locks, "import", LONG).await;
        second.is_some()
    })
    .await;
    assert!(begin.elapsed() > SHORT / 2, "{:?}", begin.elapsed());
    let second = second.unwrap();
    assert!(second.fence > first.fence);
    assert_eq!(locks.extend(&first, LONG).await, Ok(false));
    assert_eq!(locks.release(&first).await, Ok(false));
    assert_eq!(acquire(locks, "import", LONG).await, None);
    assert_eq!(locks.release(&second).await, Ok(true));
    assert_eq!(locks.release(&second).await, Ok(false));
    let third = acquire(locks, "import", LONG).await.unwrap();
    assert!(third.fence > second.fence);
    // For the next caller with the same server.
    for held in [&third, &other] {
        assert_eq!(locks.release(held).await, Ok(true));
    }
}

#[tokio::test]
async fn a_lock_on_redis_is_never_assumed() {
    let Some(mut redis) = redis_server("locks on Redis") else {
        return;
    };
    let ((one, _guard), (two, _other)) = (watched(&redis).await, watched(&redis).await);
    let locks = |server: &Arc<Server>, name: &str| {
        RedisLocks::new(server.clone(), prefix(), name.to_owned())
    };
    let (here, there) = (locks(&one, "one"), locks(&two, "two"));
    a_lock_has_one_holder(&here).await;

    let held = acquire(&here, "camera", LONG).await.unwrap();
    assert_eq!(acquire(&there, "camera", LONG).await, None);
    let guess = Held {
        token: "guess".to_owned(),
        ..held.clone()
    };
    assert_eq!(there.release(&guess).await, Ok(false));
    // A Redis that has lost its data gives the lock to another holder, but with a higher fence.
    redis.ask::<()>(&["FLUSHALL"]);
    let taken = acquire(&there, "camera", LONG).await.unwrap();
    assert!(taken.fence > held.fence);
    let extended = here.extend(&held, LONG).await;
    assert_eq!(extended, Ok(false), "the first holder notices");

    let tries = join_all((0..20).map(|n| {
        let locks = if n % 2 == 0 { &here } else { &there };
        acquire(locks, "many", LONG)
    }));
    assert_eq!(tries.await.into_iter().flatten().count(), 1);
    redis.kill();
    assert_eq!(here.acquire("free", LONG).await, Err(Unavailable));
    assert_eq!(there.extend(&taken, LONG).await, Err(Unavailable));
    let work = here.with_lock("free", LONG, async |_| panic!("nobody may begin"));
    assert_eq!(work.await, Err(LockError::Unavailable));
}

/// What an operator does with keys of their own: several at once, counters, lifetimes, patterns.
#[tokio::test]
async fn custom_keys_are_set_counted_found_and_deleted() {
    let Some(redis) = redis_server("custom keys on Redis") else {
        return;
    };
    let (server, _guard) = watched(&redis).await;
    let keys = RedisCache::new(server.clone(), Prefix::new("test:custom"));
    let values = [("a".to_owned(), vec![1]), ("b*".to_owned(), vec![0; 300])];
    keys.set_many(&values, LONG).await.unwrap();
    let wanted = ["b*", "x", "a"].map(str::to_owned);
    let found = keys.get_many(&wanted).await.unwrap();
    assert_eq!(found, [Some(vec![0; 300]), None, Some(vec![1])]);

    assert_eq!(keys.increment("n", 5, LONG).await, Ok(Ok(5)));
    assert_eq!(keys.increment("n", -7, SHORT).await, Ok(Ok(-2)));
    let left = keys.ttl("n").await.unwrap().unwrap();
    assert!(left > LONG / 2, "a counter keeps its lifetime: {left:?}");
    assert_eq!(keys.increment("a", 1, LONG).await, Ok(Err(NotANumber)));
    assert_eq!(
        keys.increment("n", i64::MIN, LONG).await,
        Ok(Err(NotANumber))
    );
    assert!(server.is_up(), "a refused number is no failure of Redis");
    assert_eq!(keys.expire("x", SHORT).await, Ok(false));

    RedisCache::new(server.clone(), prefix())
        .set("limit:b", b"1", LONG)
        .await
        .unwrap();
    redis.ask::<()>(&["SET", "test:limit:forever", "1"]);
    redis.ask::<()>(&["SET", "{test}:custom:record", "1"]);
    let servers = RedisServers::new(vec![server], prefix());
    let found = async |pattern| {
        let keys = servers.find(pattern).await.unwrap().into_iter();
        keys.map(|found| found.key).collect::<Vec<_>>()
    };
    assert_eq!(
        found("custom:*").await,
        ["custom:a", "custom:b*", "custom:n"]
    );
    assert_eq!(found("custom:?").await, ["custom:a", "custom:n"]);
    assert_eq!(found("*:b*").await, ["custom:b*", "limit:b"]);
    let forever = SharedKey {
        key: "limit:forever".to_owned(),
        ttl: None,
    };
    assert_eq!(servers.find("limit:f*").await, Some(vec![forever]));
    assert_eq!(keys.expire("n", SHORT).await, Ok(true));
    until("the counter expires", async || {
        !found("custom:n").await.contains(&"custom:n".to_owned())
    })
    .await;
    let both = ["custom:a", "custom:b*", "custom:n"].map(str::to_owned);
    assert_eq!(servers.delete(&both).await, Some(2), "one has expired");
    assert_eq!(found("*:*").await, ["limit:b", "limit:forever"]);
}

/// Returns the next message, which must come within seconds.
async fn soon(listener: &mut Receiver<Message>) -> Message {
    let next = tokio::time::timeout(PATIENCE, listener.recv());
    next.await.unwrap().unwrap()
}

/// A lease that a busy machine extends in time.
const LEASE: Duration = Duration::from_secs(3);

/// A holder that was paused past its lease stops its work instead of acting beside the next holder.
#[tokio::test]
async fn no_two_holders_act() {
    let Some(redis) = redis_server("work under a lock") else {
        return;
    };
    let ((one, _guard), (two, _other)) = (watched(&redis).await, watched(&redis).await);
    let locks = |server: &Arc<Server>, name: &str| {
        RedisLocks::new(server.clone(), prefix(), name.to_owned())
    };
    let (here, there) = (locks(&one, "one"), locks(&two, "two"));
    let acting = tokio::sync::Mutex::new(());
    let act = async || {
        // Released also if the work is dropped.
        let _alone = acting.try_lock().expect("two act at once");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let done = [(); 2].map(|()| AtomicUsize::new(0));
    let enough = || done.iter().all(|one| one.load(Ordering::SeqCst) > 5);
    let rounds = async |locks: &RedisLocks, mine: usize| {
        let begin = Instant::now();
        while !enough() {
            assert!(begin.elapsed() < PATIENCE, "{done:?} rounds");
            let did = locks.with_lock("work", LEASE, async |_| act().await).await;
            done[mine].fetch_add(usize::from(did.is_ok()), Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    futures::join!(rounds(&here, 0), rounds(&there, 1));

    // Long work keeps its lock, and is dropped if Redis forgets its holder.
    let long = here.with_lock("long", LEASE, async |held| {
        tokio::time::sleep(LEASE * 2).await;
        held.fence
    });
    let other = async {
        tokio::time::sleep(LEASE + LEASE / 2).await;
        there.with_lock("long", LEASE, async |_| ()).await
    };
    let (fence, other) = futures::join!(long, other);
    assert_eq!(other, Err(LockError::Taken));
    let long = here.with_lock("long", LEASE, async |held| {
        assert!(held.fence > fence.unwrap());
        redis.ask::<()>(&["FLUSHALL"]);
        std::future::pending::<()>().await;
    });
    assert_eq!(long.await, Err(LockError::Lost));
}

#[tokio::test]
async fn a_message_reaches_every_instance_once() {
    let Some(mut redis) = redis_server("a bus on Redis") else {
        return;
    };
    let ((one, _guard), (two, _other)) = (watched(&redis).await, watched(&redis).await);
    let bus = |server: &Arc<Server>, name: &str| {
        Arc::new(DegradingBus::new(RedisBus::new(
            server.clone(),
            prefix(),
            name.to_owned(),
        )))
    };
    let (here, there) = (bus(&one, "one"), bus(&two, "two"));
    let stop = CancellationToken::new();
    let _stop = stop.clone().drop_guard();
    let mut listeners = [here.subscribe(), there.subscribe()];
    for bus in [&here, &there] {
        let (bus, stop) = (bus.clone(), stop.clone());
        tokio::spawn(async move { bus.listen(stop).await });
    }
    // Each instance reports when it receives messages from others.
    let begins = async |listeners: &mut [Receiver<Message>; 2]| {
        for listener in listeners {
            assert_eq!(soon(listener).await.topic, BUS_BEGINS);
        }
    };
    begins(&mut listeners).await;
    here.publish("punches", b"line\nbreak").await;
    there.publish("devices", b"").await;
    for listener in &mut listeners {
        let mut topics = Vec::new();
        for _ in 0..2 {
            let message = soon(listener).await;
            if message.topic == "punches" {
                assert_eq!(message.payload, b"line\nbreak");
            }
            topics.push(message.topic);
        }
        topics.sort();
        assert_eq!(topics, ["devices", "punches"]);
    }
    // Without Redis, subscribers of this instance still receive messages; with Redis again, all of
    // them do.
    redis.kill();
    until_up(&one, false).await;
    here.publish("punches", b"alone").await;
    assert_eq!(soon(&mut listeners[0]).await.payload, b"alone");
    redis.restart();
    until_up(&one, true).await;
    until_up(&two, true).await;
    begins(&mut listeners).await;
    here.publish("punches", b"together").await;
    for listener in &mut listeners {
        assert_eq!(soon(listener).await.payload, b"together");
        assert!(listener.try_recv().is_err(), "once");
    }
}

#[tokio::test]
async fn messages_in_one_process_reach_its_subscribers() {
    let bus = MemoryBus::default();
    let mut listener = bus.subscribe();
    bus.publish("punches", b"1").await;
    assert_eq!(listener.recv().await.unwrap().payload, b"1");
}

/// Returns how long a call takes.
async fn timed<T>(work: impl Future<Output = T>) -> Duration {
    let begin = Instant::now();
    work.await;
    begin.elapsed()
}

#[tokio::test]
async fn a_frozen_redis_delays_one_caller_and_no_other() {
    let Some(redis) = redis_server("a frozen Redis") else {
        return;
    };
    let (server, _guard) = watched(&redis).await;
    let cache = degrading(&server);
    redis.freeze();
    let first = timed(cache.get("a")).await;
    assert!(first < COMMAND * 5, "{first:?}");
    until_up(&server, false).await;
    // If each of them waited, they would take ten times as long.
    let later = timed(async {
        for _ in 0..20 {
            cache.get("a").await;
        }
    })
    .await;
    assert!(later < COMMAND * 2, "{later:?}");
    redis.thaw();
    until_up(&server, true).await;
}

#[tokio::test]
async fn a_redis_that_refuses_writes_counts_as_unavailable_with_the_reason() {
    let Some(redis) = redis_server("a Redis without writes") else {
        return;
    };
    let (server, _guard) = watched(&redis).await;
    let cache = degrading(&server);
    let expect_down = async |why: &str| {
        until_up(&server, false).await;
        cache.set("a", b"1", LONG).await;
        assert_eq!(cache.get("a").await.as_deref(), Some(&b"1"[..]));
        // The first failure may be a lost connection.
        let begin = Instant::now();
        loop {
            match server.standing() {
                Standing::Down(reason) if reason.contains(why) => break,
                standing => assert!(begin.elapsed() < PATIENCE, "{standing:?}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    redis.ask::<()>(&["REPLICAOF", "127.0.0.1", "1"]);
    expect_down("READONLY").await;
    redis.ask::<()>(&["REPLICAOF", "NO", "ONE"]);
    until_up(&server, true).await;

    redis.ask::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
    expect_down("OOM").await;
    redis.ask::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
    until_up(&server, true).await;

    redis.ask::<()>(&["CONFIG", "SET", "requirepass", "secret"]);
    // Authenticated connections stay authenticated; new ones are refused.
    let with_password = redis.url().replace("redis://", "redis://:secret@");
    let client = redis::Client::open(with_password).unwrap();
    let mut connection = client.get_connection().unwrap();
    let mut kill = redis::cmd("CLIENT");
    kill.arg(&["KILL", "TYPE", "normal"])
        .exec(&mut connection)
        .unwrap();
    expect_down("password").await;
}

#[tokio::test]
async fn reset_connections_are_opened_again() {
    let Some(redis) = redis_server("connections that are reset") else {
        return;
    };
    let (server, _guard) = watched(&redis).await;
    let cache = degrading(&server);
    for _ in 0..5 {
        redis.ask::<u64>(&["CLIENT", "KILL", "TYPE", "normal"]);
        cache.set("a", b"1", LONG).await;
        until_up(&server, true).await;
    }
    cache.set("a", b"2", LONG).await;
    assert_eq!(cache.get("a").await.as_deref(), Some(&b"2"[..]));
}

#[tokio::test]
async fn a_redis_that_was_never_reachable_causes_no_delay() {
    let server = server("redis://127.0.0.1:1/");
    let cache = degrading(&server);
    assert_eq!(server.standing(), Standing::Unknown);
    cache.set("a", b"1", LONG).await;
    assert_eq!(cache.get("a").await.as_deref(), Some(&b"1"[..]));
    server.try_now().await;
    assert!(matches!(server.standing(), Standing::Down(_)));
    assert!(timed(cache.get("a")).await < COMMAND / 2);
}
