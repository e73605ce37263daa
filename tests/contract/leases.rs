//! The contract of leases: one holder at a time, a fence that grows with each, and nothing that a
//! holder who is late can do to the next.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::join_all;
use rollcall::{
    clock::{Clock, SystemClock},
    ports::{Lease, LeaseStore, StoreError, Stores},
    service::exclusive::with_lease,
};

use crate::records::at;

/// How many try at once where only one may win.
const RACERS: usize = 40;

fn lease(name: &str, holder: &str, fence: u64, until: i64) -> Lease {
    Lease {
        name: name.to_owned(),
        holder: holder.to_owned(),
        fence,
        until: at(until),
    }
}

/// A name that may not be read as an operator, a pattern or another's key.
const NAME: &str = "camera:1/{$gt}*\"'é";

pub async fn a_lease_is_taken_kept_and_let_go(stores: &Stores) {
    let leases = &stores.leases;
    let first = lease(NAME, "one", 1, 100);
    let take = async |holder: &str, now, until| {
        let taken = leases.take(NAME, holder, at(now), at(until)).await;
        taken.unwrap()
    };
    assert_eq!(take("one", 0, 100).await, Some(first.clone()));
    assert_eq!(take("two", 99, 300).await, None);
    let other = leases.take("camera:1", "two", at(0), at(100)).await;
    assert_eq!(other.unwrap().unwrap().fence, 1, "each name by itself");

    // Whoever has it takes it again, and keeps it, under the same fence.
    assert_eq!(take("one", 50, 200).await, Some(lease(NAME, "one", 1, 200)));
    assert_eq!(leases.keep(&first, at(150), at(300)).await, Ok(true));
    assert_eq!(take("two", 299, 400).await, None);

    assert_eq!(leases.let_go(&first).await, Ok(true));
    assert_eq!(leases.let_go(&first).await, Ok(false), "only once");
    assert_eq!(leases.keep(&first, at(160), at(300)).await, Ok(false));
    let again = take("one", 160, 300).await.unwrap();
    assert_eq!(again.fence, 2, "a new time is a new fence");
    assert_eq!(
        leases.keep(&first, at(170), at(300)).await,
        Ok(false),
        "its first time is over"
    );
    assert_eq!(leases.let_go(&first).await, Ok(false));
    assert_eq!(leases.let_go(&again).await, Ok(true));
    assert_eq!(take("two", 161, 300).await.unwrap().fence, 3);

    let unknown = lease("never taken", "one", 1, 100);
    assert_eq!(leases.keep(&unknown, at(0), at(200)).await, Ok(false));
    assert_eq!(leases.let_go(&unknown).await, Ok(false));
}

pub async fn a_lease_that_ended_is_the_next_ones(stores: &Stores) {
    let leases = &stores.leases;
    let take = async |holder: &str, now, until| {
        let taken = leases.take(NAME, holder, at(now), at(until)).await;
        taken.unwrap()
    };
    let late = take("one", 0, 100).await.unwrap();
    assert_eq!(
        leases.keep(&late, at(100), at(500)).await,
        Ok(false),
        "what is over is not kept, though nobody else has it"
    );
    let next = take("two", 100, 200).await.unwrap();
    assert!(next.fence > late.fence);
    // The first holder was paused, and believes that it is still its.
    assert_eq!(leases.keep(&late, at(99), at(500)).await, Ok(false));
    assert_eq!(leases.let_go(&late).await, Ok(false));
    assert_eq!(take("three", 150, 300).await, None, "it did no harm");
    assert_eq!(leases.keep(&next, at(199), at(400)).await, Ok(true));
    // Not even one that takes its name for its own, since the fence tells.
    let guessed = Lease {
        fence: late.fence,
        ..next.clone()
    };
    assert_eq!(leases.keep(&guessed, at(199), at(900)).await, Ok(false));
    assert_eq!(leases.let_go(&guessed).await, Ok(false));
    let third = take("one", 400, 500).await.unwrap();
    assert!(third.fence > next.fence);
    assert_eq!(leases.let_go(&third).await, Ok(true));
}

pub async fn of_many_who_take_a_lease_one_gets_it(stores: &Stores) {
    let mut highest = 0;
    for round in 0..5 {
        let now = round * 100;
        let takes = (0..RACERS).map(|number| {
            let leases: Arc<dyn LeaseStore> = stores.leases.clone();
            let holder = format!("{round}-{number}");
            tokio::spawn(async move {
                leases
                    .take(NAME, &holder, at(now), at(now + 100))
                    .await
                    .unwrap()
            })
        });
        let taken: Vec<Lease> = join_all(takes)
            .await
            .into_iter()
            .filter_map(Result::unwrap)
            .collect();
        let [lease] = &taken[..] else {
            panic!("{} got it in round {round}", taken.len());
        };
        assert!(lease.fence > highest);
        highest = lease.fence;
        assert_eq!(
            stores.leases.keep(lease, at(now + 1), at(now + 100)).await,
            Ok(true)
        );
    }
}

/// While some keep and let go, others take: no two have it at once, whatever overtakes what.
pub async fn a_lease_has_one_holder_at_any_time(stores: &Stores) {
    const LENGTH: Duration = Duration::from_secs(5);
    let had = Arc::new(std::sync::Mutex::new((None::<String>, BTreeSet::new())));
    let begun = Instant::now();
    let workers = (0..8).map(|number| {
        let (leases, had) = (stores.leases.clone(), had.clone());
        let holder = format!("holder-{number}");
        tokio::spawn(async move {
            let mut times = 0;
            while begun.elapsed() < Duration::from_millis(1500) {
                let now = SystemClock.now();
                let taken = leases.take(NAME, &holder, now, now + LENGTH).await.unwrap();
                let Some(lease) = taken else {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    continue;
                };
                times += 1;
                {
                    let mut had = had.lock().unwrap();
                    assert_eq!(had.0.replace(holder.clone()), None, "two at once");
                    assert!(had.1.insert(lease.fence), "a fence of its own");
                }
                let now = SystemClock.now();
                assert_eq!(leases.keep(&lease, now, now + LENGTH).await, Ok(true));
                had.lock().unwrap().0 = None;
                assert_eq!(leases.let_go(&lease).await, Ok(true));
            }
            times
        })
    });
    let times: Vec<usize> = join_all(workers)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let (holder, fences) = &*had.lock().unwrap();
    assert_eq!(*holder, None);
    assert_eq!(fences.len(), times.iter().sum::<usize>());
    assert!(fences.len() > 5, "{times:?}");
}

/// What is done under a lease is done by one at a time, keeps it as long as it takes, and ends
/// when it is lost.
pub async fn work_under_a_lease_is_kept_and_ends_with_it(stores: &Stores) {
    const LENGTH: Duration = Duration::from_millis(600);
    let by = (&*stores.leases, &SystemClock as &dyn Clock);
    let long = with_lease(by, (NAME, "one"), LENGTH, async |lease| {
        tokio::time::sleep(2 * LENGTH).await;
        lease.fence
    });
    let meanwhile = async {
        tokio::time::sleep(LENGTH + LENGTH / 2).await;
        with_lease(by, (NAME, "two"), LENGTH, async |_| ()).await
    };
    let (done, meanwhile) = futures::join!(long, meanwhile);
    assert_eq!((done, meanwhile), (Ok(Some(1)), Ok(None)));

    // Let go when it is done, others need not wait.
    let next = with_lease(by, (NAME, "two"), LENGTH, async |lease| lease.clone()).await;
    let next = next.unwrap().unwrap();
    assert_eq!(next.fence, 2);

    // Whose lease is taken away stops.
    let lost = with_lease(by, (NAME, "one"), LENGTH, async |lease| {
        assert_eq!(stores.leases.let_go(lease).await, Ok(true));
        std::future::pending::<()>().await;
    });
    let lost = tokio::time::timeout(2 * LENGTH, lost).await;
    assert_eq!(lost.unwrap(), Ok(None));

    // Nobody works under what no store vouches for.
    stores.health.close().await;
    let closed = with_lease(by, (NAME, "one"), LENGTH, async |_| ()).await;
    assert!(
        matches!(closed, Err(StoreError::Unavailable(_))),
        "{closed:?}"
    );
}
