//! Leases: one holder at a time, a fence that grows with each holder, and no harm by a late holder.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::join_all;
use rollcall::{
    clock::{Clock, SystemClock},
    domain::installation::Lease,
    ports::StoreError,
    repositories::Repositories,
    service::leased_work::with_lease,
};

use crate::{races::race, records::at};

fn lease(name: &str, holder: &str, fence: u64, until: i64) -> Lease {
    Lease {
        name: name.to_owned(),
        holder: holder.to_owned(),
        fence,
        until: at(until),
    }
}

/// A name that must not be read as an operator, a pattern or another key.
const NAME: &str = "camera:1/{$gt}*\"'é";

pub async fn a_lease_is_taken_extended_and_released(stores: &Repositories) {
    let leases = &stores.leases;
    let first = lease(NAME, "one", 1, 100);
    let take = async |holder: &str, now, until| {
        let taken = leases.take(NAME, holder, at(now), at(until)).await;
        taken.unwrap()
    };
    assert_eq!(take("one", 0, 100).await, Some(first.clone()));
    assert_eq!(take("two", 99, 300).await, None);
    let other = leases.take("camera:1", "two", at(0), at(100)).await;
    assert_eq!(
        other.unwrap().unwrap().fence,
        1,
        "each name has its own lease"
    );

    // Its holder takes it again, and extends it, with the same fence.
    assert_eq!(take("one", 50, 200).await, Some(lease(NAME, "one", 1, 200)));
    assert_eq!(leases.extend(&first, at(150), at(300)).await, Ok(true));
    assert_eq!(take("two", 299, 400).await, None);

    assert_eq!(leases.release(&first).await, Ok(true));
    assert_eq!(leases.release(&first).await, Ok(false), "only once");
    assert_eq!(leases.extend(&first, at(160), at(300)).await, Ok(false));
    let again = take("one", 160, 300).await.unwrap();
    assert_eq!(again.fence, 2, "each new lease has a new fence");
    assert_eq!(
        leases.extend(&first, at(170), at(300)).await,
        Ok(false),
        "its first lease is over"
    );
    assert_eq!(leases.release(&first).await, Ok(false));
    assert_eq!(leases.release(&again).await, Ok(true));
    assert_eq!(take("two", 161, 300).await.unwrap().fence, 3);

    let unknown = lease("never taken", "one", 1, 100);
    assert_eq!(leases.extend(&unknown, at(0), at(200)).await, Ok(false));
    assert_eq!(leases.release(&unknown).await, Ok(false));
}

pub async fn an_expired_lease_can_be_taken_by_another_holder(stores: &Repositories) {
    let leases = &stores.leases;
    let take = async |holder: &str, now, until| {
        let taken = leases.take(NAME, holder, at(now), at(until)).await;
        taken.unwrap()
    };
    let late = take("one", 0, 100).await.unwrap();
    assert_eq!(
        leases.extend(&late, at(100), at(500)).await,
        Ok(false),
        "a lease that is over is not extended, although no one else has it"
    );
    let next = take("two", 100, 200).await.unwrap();
    assert!(next.fence > late.fence);
    // The first holder was paused, and believes that it still has the lease.
    assert_eq!(leases.extend(&late, at(99), at(500)).await, Ok(false));
    assert_eq!(leases.release(&late).await, Ok(false));
    assert_eq!(take("three", 150, 300).await, None, "it changed nothing");
    assert_eq!(leases.extend(&next, at(199), at(400)).await, Ok(true));
    // The same holds if it uses the other holder's name, because the fence differs.
    let guessed = Lease {
        fence: late.fence,
        ..next.clone()
    };
    assert_eq!(leases.extend(&guessed, at(199), at(900)).await, Ok(false));
    assert_eq!(leases.release(&guessed).await, Ok(false));
    let third = take("one", 400, 500).await.unwrap();
    assert!(third.fence > next.fence);
    assert_eq!(leases.release(&third).await, Ok(true));
}

pub async fn of_many_holders_one_takes_a_lease(stores: &Repositories) {
    let mut highest = 0;
    for round in 0..5 {
        let now = round * 100;
        let taken = race(|number| {
            let (leases, holder) = (stores.leases.clone(), format!("{round}-{number}"));
            async move {
                let taken = leases.take(NAME, &holder, at(now), at(now + 100)).await;
                taken.unwrap()
            }
        });
        let taken: Vec<Lease> = taken.await.into_iter().flatten().collect();
        let [lease] = &taken[..] else {
            panic!("{} have it in round {round}", taken.len());
        };
        assert!(lease.fence > highest);
        highest = lease.fence;
        let extended = stores.leases.extend(lease, at(now + 1), at(now + 100));
        assert_eq!(extended.await, Ok(true));
    }
}

/// While some extend and release it, others take it: two never have it at once.
pub async fn a_lease_has_one_holder_at_any_time(stores: &Repositories) {
    const LENGTH: Duration = Duration::from_secs(60);
    let had = Arc::new(std::sync::Mutex::new((None::<String>, BTreeSet::new())));
    let begun = Instant::now();
    let workers = (0..8).map(|number| {
        let (leases, had) = (stores.leases.clone(), had.clone());
        let holder = format!("holder-{number}");
        tokio::spawn(async move {
            let mut times = 0;
            // Long enough for some of them, however slow the store is.
            let enough = || had.lock().unwrap().1.len() > 5;
            while begun.elapsed() < Duration::from_millis(1500) || !enough() {
                assert!(begun.elapsed() < Duration::from_secs(60));
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
                    assert!(had.1.insert(lease.fence), "each holder has its own fence");
                }
                let now = SystemClock.now();
                assert_eq!(leases.extend(&lease, now, now + LENGTH).await, Ok(true));
                had.lock().unwrap().0 = None;
                assert_eq!(leases.release(&lease).await, Ok(true));
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
}

pub async fn work_under_a_lease_extends_it_and_ends_with_it(stores: &Repositories) {
    // Long enough that a busy machine extends it in time.
    const LENGTH: Duration = Duration::from_secs(3);
    let by = (&stores.leases, &SystemClock as &dyn Clock);
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

    // It is released when the work is done, so that others need not wait.
    let next = with_lease(by, (NAME, "two"), LENGTH, async |lease| lease.clone()).await;
    let next = next.unwrap().unwrap();
    assert_eq!(next.fence, 2);

    // When the lease is lost, the work stops.
    let lost = with_lease(by, (NAME, "one"), LENGTH, async |lease| {
        assert_eq!(stores.leases.release(lease).await, Ok(true));
        std::future::pending::<()>().await;
    });
    let lost = tokio::time::timeout(20 * LENGTH, lost).await;
    assert_eq!(lost.unwrap(), Ok(None));
}

pub async fn no_work_is_done_under_a_lease_of_a_closed_store(stores: &Repositories) {
    let by = (&stores.leases, &SystemClock as &dyn Clock);
    stores.engine.close().await;
    let closed = with_lease(by, (NAME, "one"), Duration::from_secs(1), async |_| ()).await;
    assert!(
        matches!(closed, Err(StoreError::Unavailable(_))),
        "{closed:?}"
    );
}
