//! What instances share for a while: the same behaviour on Redis, in memory, and on the one that
//! takes the second while the first is away.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::join_all;
use rollcall::{
    clock::{Clock, SystemClock},
    ports::{BUS_BEGINS, Bus, Cache, Locks, Message, Quota, RateLimits, Stores},
    service::{exclusive::with_lock, store_cache::StoreCache},
    storage::{
        degrading::{DegradingBus, DegradingCache, DegradingLimits, StrictLocks},
        memory::{MemoryBus, MemoryCache, MemoryLimits, MemoryLocks},
        redis::{
            Address, Patience, Prefix, RedisBus, RedisCache, RedisLimits, RedisLocks, Server,
            Standing,
        },
    },
};
use tokio::sync::broadcast::Receiver;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{redis_server::RedisServer, skip::skip};

/// How long one command may take here before Redis counts as away.
const COMMAND: Duration = Duration::from_millis(100);

/// A connection of one instance.
pub fn server(url: &str) -> Arc<Server> {
    at(Address::parse(&url.to_owned().into(), None, None).unwrap())
}

/// The same, of any form.
pub fn at(address: Address) -> Arc<Server> {
    let patience = Patience {
        connect: Duration::from_millis(500),
        command: COMMAND,
    };
    let forget = vec![prefix().pattern("session:")];
    Server::new(address, patience, 2, "test:probe".to_owned(), forget)
}

pub fn prefix() -> Prefix {
    Prefix::new("test")
}

/// One that is connected and watched until the token is dropped.
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

/// Waits until the instance sees Redis so.
pub async fn until_up(server: &Server, up: bool) -> Duration {
    let begin = Instant::now();
    while server.is_up() != up {
        assert!(begin.elapsed() < Duration::from_secs(10), "{server:?}");
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
pub const LONG: Duration = Duration::from_secs(60);

pub async fn a_cache_keeps_finds_counts_and_forgets(cache: &dyn Cache) {
    assert_eq!(cache.get("a:1").await, None);
    cache.set("a:1", b"one", LONG).await;
    assert_eq!(cache.get("a:1").await.as_deref(), Some(&b"one"[..]));
    assert!(cache.exists("a:1").await && !cache.exists("a:2").await);
    let left = cache.ttl("a:1").await.unwrap();
    assert!(left <= LONG && left > LONG / 2, "{left:?}");

    assert!(!cache.add("a:1", b"other", LONG).await);
    assert!(cache.add("a:2", b"two", LONG).await);
    let keys = ["a:1", "a:x", "a:2"].map(str::to_owned);
    let found = cache.get_many(&keys).await;
    assert_eq!(found, [Some(b"one".to_vec()), None, Some(b"two".to_vec())]);

    assert_eq!(cache.increment("n", 5, LONG).await, 5);
    assert_eq!(cache.increment("n", -7, LONG).await, -2);
    assert!(cache.ttl("n").await.is_some());
    assert_eq!(cache.delete(&["n".to_owned()]).await, 1);

    let many = [
        ("a*:1".to_owned(), vec![1]),
        ("b:1".to_owned(), vec![0; 300]),
    ];
    cache.set_many(&many, LONG).await;
    assert_eq!(cache.clear("a*").await, 1, "a star is only a star");
    assert_eq!(cache.clear("a:").await, 2);
    assert_eq!(cache.get("a:1").await, None);
    assert_eq!(cache.get("b:1").await, Some(vec![0; 300]));
    let gone = ["b:1", "b:2"].map(str::to_owned);
    assert_eq!(cache.delete(&gone).await, 1);

    cache.set("short", b"1", SHORT).await;
    assert!(cache.exists("short").await);
    tokio::time::sleep(2 * SHORT).await;
    assert_eq!(cache.get("short").await, None);
    assert!(cache.add("short", b"2", SHORT).await, "its place is free");
}

#[tokio::test]
async fn a_cache_keeps_its_word_in_memory() {
    a_cache_keeps_finds_counts_and_forgets(&MemoryCache::new(1 << 20)).await;
}

/// The cache of an instance in a store.
fn in_store(stores: &Stores) -> Arc<dyn Cache> {
    let cache = StoreCache::new(stores.cache.clone(), Arc::new(SystemClock));
    Arc::new(cache)
}

/// Two instances on one store share what is cached and what is forgotten. A store that is away is
/// an empty cache.
pub async fn a_cache_keeps_its_word_in_the_store(stores: &Stores) {
    let (here, there) = (in_store(stores), in_store(stores));
    a_cache_keeps_finds_counts_and_forgets(&*here).await;
    // That left one value, and one that ends soon.
    assert!(here.clear("").await >= 1);

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
    assert_eq!(here.increment("n", 2, LONG).await, 2);
    assert_eq!(there.increment("n", 3, LONG).await, 5);
    assert_eq!(here.clear("").await, 3, "once, often, n");

    // What ended is deleted for good, what did not is kept.
    here.set("kept", b"1", LONG).await;
    here.set("short", b"1", Duration::from_millis(1)).await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    stores.cache.purge(SystemClock.now()).await.unwrap();
    assert_eq!(stores.cache.purge(SystemClock.now()).await, Ok(0));
    assert!(there.exists("kept").await && !there.exists("short").await);

    stores.health.close().await;
    assert_eq!(here.get_many(&["kept".to_owned()]).await, [None]);
    here.set("kept", b"2", LONG).await;
    assert!(!here.add("new", b"1", LONG).await);
    assert_eq!(here.increment("n", 4, LONG).await, 4);
    assert_eq!(here.clear("").await, 0);
}

/// While Redis is away, instances that fall back on one store still see each other's values.
#[tokio::test]
async fn without_redis_a_store_stands_in_for_all_instances() {
    let Some(mut redis) = redis_server("a store that stands in for Redis") else {
        return;
    };
    let (stores, _folder) = crate::sqlite().await;
    let ((one, _guard), (two, _other)) = (watched(&redis).await, watched(&redis).await);
    let over = |server: &Arc<Server>| {
        let redis = RedisCache::new(server.clone(), prefix());
        DegradingCache::new(redis, Some(in_store(&stores)))
    };
    let (here, there) = (over(&one), over(&two));
    a_cache_keeps_finds_counts_and_forgets(&here).await;
    assert!(here.shared());
    redis.kill();
    until_up(&one, false).await;
    until_up(&two, false).await;
    assert!(!here.shared(), "who still sees Redis does not hear of it");
    here.set("a", b"1", LONG).await;
    assert_eq!(there.get("a").await.as_deref(), Some(&b"1"[..]));
    assert_eq!(there.delete(&["a".to_owned()]).await, 1);
    assert_eq!(here.get("a").await, None);
    a_cache_keeps_finds_counts_and_forgets(&there).await;
}

#[tokio::test]
async fn a_cache_keeps_its_word_on_redis_and_without_it() {
    let test = "a cache on Redis";
    let Some(mut redis) = redis_server(test) else {
        return;
    };
    let (server, _guard) = watched(&redis).await;
    let cache = degrading(&server);
    a_cache_keeps_finds_counts_and_forgets(&cache).await;
    let left: Vec<String> = redis.ask(&["KEYS", "*"]);
    for key in left {
        let ttl: i64 = redis.ask(&["PTTL", &key]);
        assert!(key.starts_with("test:") && ttl > 0, "{key} lives {ttl}");
    }
    redis.kill();
    until_up(&server, false).await;
    a_cache_keeps_finds_counts_and_forgets(&cache).await;
}

#[tokio::test]
async fn a_cache_without_a_stand_in_is_empty_while_redis_is_away() {
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
    assert_eq!(
        cache.get_many(&["a".to_owned(), "b".to_owned()]).await,
        [None, None]
    );
}

/// What a session's end could not withdraw is not believed when Redis comes back with it.
#[tokio::test]
async fn what_redis_brings_back_of_sessions_is_forgotten_before_it_is_believed() {
    let arguments = ["--appendonly", "yes", "--appendfsync", "always"];
    let Some(mut redis) = redis_with("sessions after a restart", &arguments) else {
        return;
    };
    let (server, _guard) = watched(&redis).await;
    let cache = DegradingCache::new(RedisCache::new(server.clone(), prefix()), None);
    // More of them than are taken out at once.
    let many: Vec<_> = (0..1200)
        .map(|number| (format!("session:{number}"), b"signed in".to_vec()))
        .collect();
    for some in many.chunks(100) {
        cache.set_many(some, LONG).await;
    }
    let there: Vec<String> = redis.ask(&["KEYS", "test:session:*"]);
    assert_eq!(there.len(), many.len());
    cache.set("embedding:1", b"kept", LONG).await;
    redis.kill();
    until_up(&server, false).await;
    redis.restart();
    until_up(&server, true).await;
    let left: Vec<String> = redis.ask(&["KEYS", "test:session:*"]);
    assert!(left.is_empty(), "{} are left", left.len());
    assert!(
        cache.exists("embedding:1").await,
        "only sessions are forgotten"
    );
}

pub async fn a_limit_counts_in_a_window(limits: &dyn RateLimits) {
    let quota = Quota {
        most: 3,
        window: Duration::from_millis(400),
    };
    for left in [2, 1, 0] {
        let verdict = limits.check("k", quota).await;
        assert!(verdict.allowed);
        assert_eq!(verdict.remaining, left);
        assert!(verdict.reset <= quota.window);
    }
    let refused = limits.check("k", quota).await;
    assert!(!refused.allowed && refused.remaining == 0);
    assert!(limits.check("other", quota).await.allowed);
    tokio::time::sleep(refused.reset + Duration::from_millis(20)).await;
    assert!(
        limits.check("k", quota).await.allowed,
        "the first is forgotten"
    );
}

#[tokio::test]
async fn a_limit_keeps_its_word_in_memory() {
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
async fn two_instances_count_together_and_exactly() {
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

    // A Redis that forgets everything lets nobody through who was refused here.
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
    // Nor does one that is gone.
    redis.kill();
    until_up(&one, false).await;
    let five_more = join_all((0..9).map(|_| instances[0].check("new", five))).await;
    assert_eq!(
        five_more.iter().filter(|verdict| verdict.allowed).count(),
        5
    );
}

pub async fn a_lock_has_one_holder(locks: &dyn Locks) {
    let lease = Duration::from_millis(500);
    let first = locks.acquire("import", lease).await.unwrap();
    assert_eq!(locks.acquire("import", lease).await, None);
    assert!(locks.acquire("other", lease).await.is_some());
    tokio::time::sleep(lease / 2).await;
    assert!(locks.extend(&first, lease).await);
    tokio::time::sleep(lease / 2 + Duration::from_millis(20)).await;
    assert_eq!(
        locks.acquire("import", lease).await,
        None,
        "it was extended"
    );
    tokio::time::sleep(lease).await;
    // The first holder was paused past its lease: the lock is another's now.
    let second = locks.acquire("import", lease).await.unwrap();
    assert!(second.fence > first.fence);
    assert!(!locks.extend(&first, lease).await);
    assert!(!locks.release(&first).await);
    assert_eq!(locks.acquire("import", lease).await, None);
    assert!(locks.release(&second).await);
    assert!(!locks.release(&second).await);
    let third = locks.acquire("import", lease).await.unwrap();
    assert!(third.fence > second.fence);
}

#[tokio::test]
async fn a_lock_keeps_its_word_in_memory() {
    a_lock_has_one_holder(&MemoryLocks::default()).await;
}

#[tokio::test]
async fn a_lock_keeps_its_word_on_redis_and_is_never_assumed() {
    let Some(mut redis) = redis_server("locks on Redis") else {
        return;
    };
    let ((one, _guard), (two, _other)) = (watched(&redis).await, watched(&redis).await);
    let locks = |server: &Arc<Server>, name: &str| {
        StrictLocks::new(RedisLocks::new(server.clone(), prefix(), name.to_owned()))
    };
    let (here, there) = (locks(&one, "one"), locks(&two, "two"));
    a_lock_has_one_holder(&here).await;

    let held = here.acquire("camera", LONG).await.unwrap();
    assert_eq!(there.acquire("camera", LONG).await, None);
    assert!(
        !there
            .release(&rollcall::ports::Held {
                token: "guess".to_owned(),
                ..held.clone()
            })
            .await
    );
    // A Redis that forgot everything gives the lock away, but with a higher fence.
    redis.ask::<()>(&["FLUSHALL"]);
    let taken = there.acquire("camera", LONG).await.unwrap();
    assert!(taken.fence > held.fence);
    assert!(!here.extend(&held, LONG).await, "the first holder is told");

    let tries = join_all((0..20).map(|n| {
        let locks = if n % 2 == 0 { &here } else { &there };
        locks.acquire("many", LONG)
    }));
    assert_eq!(tries.await.into_iter().flatten().count(), 1);
    redis.kill();
    assert_eq!(here.acquire("free", LONG).await, None);
    assert!(!there.extend(&taken, LONG).await);
}

/// The next message, which comes within seconds.
async fn soon(listener: &mut Receiver<Message>) -> Message {
    let next = tokio::time::timeout(Duration::from_secs(5), listener.recv());
    next.await.unwrap().unwrap()
}

/// A holder that was paused past its lease ends its work instead of acting beside the next.
#[tokio::test]
async fn no_two_holders_act() {
    let Some(redis) = redis_server("work under a lock") else {
        return;
    };
    let ((one, _guard), (two, _other)) = (watched(&redis).await, watched(&redis).await);
    let locks = |server: &Arc<Server>, name: &str| {
        StrictLocks::new(RedisLocks::new(server.clone(), prefix(), name.to_owned()))
    };
    let (here, there) = (locks(&one, "one"), locks(&two, "two"));
    let lease = Duration::from_millis(500);
    let acting = std::sync::atomic::AtomicUsize::new(0);
    let act = async || {
        let others = acting.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        assert_eq!(others, 0, "two act at once");
        tokio::time::sleep(Duration::from_millis(5)).await;
        acting.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
    };
    let rounds = async |locks: &StrictLocks| {
        let mut done = 0;
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(1) {
            let did = with_lock(locks, "work", lease, async |_| act().await).await;
            done += usize::from(did.is_some());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        done
    };
    let (mine, theirs) = futures::join!(rounds(&here), rounds(&there));
    assert!(mine > 5 && theirs > 5, "{mine} and {theirs} rounds");

    // Long work keeps its lock, and is dropped when Redis forgets who has it.
    let long = with_lock(&here, "long", lease, async |held| {
        tokio::time::sleep(lease * 3).await;
        held.fence
    });
    let other = async {
        tokio::time::sleep(lease * 2).await;
        there.acquire("long", lease).await
    };
    let (fence, other) = futures::join!(long, other);
    assert_eq!(other, None);
    let long = with_lock(&here, "long", lease, async |held| {
        assert!(Some(held.fence) > fence);
        std::future::pending::<()>().await;
    });
    let forget = async {
        tokio::time::sleep(lease).await;
        redis.ask::<()>(&["FLUSHALL"]);
    };
    let (long, ()) = futures::join!(long, forget);
    assert_eq!(long, None);
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
    // Each says when it hears the others.
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
    // Without Redis, this instance's listeners still hear; with it again, everybody's.
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
async fn messages_in_one_process_reach_its_listeners() {
    let bus = MemoryBus::default();
    let mut listener = bus.subscribe();
    bus.publish("punches", b"1").await;
    assert_eq!(listener.recv().await.unwrap().payload, b"1");
}

/// How long a call takes.
async fn timed<T>(work: impl Future<Output = T>) -> Duration {
    let begin = Instant::now();
    work.await;
    begin.elapsed()
}

#[tokio::test]
async fn a_frozen_redis_costs_one_caller_its_patience_and_nobody_else_anything() {
    let Some(redis) = redis_server("a frozen Redis") else {
        return;
    };
    let (server, _guard) = watched(&redis).await;
    let cache = degrading(&server);
    redis.freeze();
    let first = timed(cache.get("a")).await;
    assert!(first < COMMAND * 3, "{first:?}");
    until_up(&server, false).await;
    for _ in 0..20 {
        let later = timed(cache.get("a")).await;
        assert!(later < COMMAND / 2, "{later:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    redis.thaw();
    let back = until_up(&server, true).await;
    assert!(back < Duration::from_secs(2), "{back:?}");
}

#[tokio::test]
async fn a_redis_that_takes_no_writes_counts_as_away_and_says_why() {
    let Some(redis) = redis_server("a Redis without writes") else {
        return;
    };
    let (server, _guard) = watched(&redis).await;
    let cache = degrading(&server);
    let away = async |why: &str| {
        until_up(&server, false).await;
        cache.set("a", b"1", LONG).await;
        assert_eq!(cache.get("a").await.as_deref(), Some(&b"1"[..]));
        // The first thing that is noticed may be a connection that ends.
        let begin = Instant::now();
        loop {
            match server.standing() {
                Standing::Away(said) if said.contains(why) => break,
                standing => assert!(begin.elapsed().as_secs() < 5, "{standing:?}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    redis.ask::<()>(&["REPLICAOF", "127.0.0.1", "1"]);
    away("READONLY").await;
    redis.ask::<()>(&["REPLICAOF", "NO", "ONE"]);
    until_up(&server, true).await;

    redis.ask::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
    away("OOM").await;
    redis.ask::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
    until_up(&server, true).await;

    redis.ask::<()>(&["CONFIG", "SET", "requirepass", "secret"]);
    // Connections that are signed in stay so; new ones are refused.
    let with_password = redis.url().replace("redis://", "redis://:secret@");
    let client = redis::Client::open(with_password).unwrap();
    let mut connection = client.get_connection().unwrap();
    let mut kill = redis::cmd("CLIENT");
    kill.arg(&["KILL", "TYPE", "normal"])
        .exec(&mut connection)
        .unwrap();
    away("password").await;
}

#[tokio::test]
async fn connections_that_are_reset_come_back() {
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
async fn a_redis_that_was_never_there_costs_nothing() {
    let server = server("redis://127.0.0.1:1/");
    let cache = degrading(&server);
    assert_eq!(server.standing(), Standing::Unknown);
    cache.set("a", b"1", LONG).await;
    assert_eq!(cache.get("a").await.as_deref(), Some(&b"1"[..]));
    server.try_now().await;
    assert!(matches!(server.standing(), Standing::Away(_)));
    assert!(timed(cache.get("a")).await < COMMAND / 2);
}
