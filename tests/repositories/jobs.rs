//! Background jobs: one worker gets a claim, a worker that lost it changes nothing, and a job whose
//! worker crashed is claimed again.

use std::collections::BTreeSet;

use rollcall::{
    domain::{
        grants::Reach,
        ids::JobId,
        jobs::{Ability, Job, JobState, LEASE},
    },
    ports::StoreError,
    repositories::{Collection, Jobs, Repositories},
    service::jobs::{IMPORT, REEMBED},
};

use crate::{
    pages::all_pages,
    races::{one_wins, race},
    records::{at, first, job},
};

/// The jobs that any instance can run.
fn imports() -> Ability {
    Ability {
        kind: IMPORT,
        payload: None,
    }
}

/// Returns a job as it is found and listed.
fn without_payload(job: &Job) -> Job {
    Job {
        payload: String::new(),
        ..job.clone()
    }
}

/// Returns a job as it is stored, with its payload.
async fn stored(stores: &Repositories, id: JobId) -> Job {
    let jobs = Collection::<Job>::new(stores.engine.clone());
    jobs.get(&id).await.unwrap().unwrap().into_inner()
}

/// Returns the milliseconds after which a claim has expired.
fn past_lease() -> i64 {
    LEASE.as_millis() as i64 + 1
}

async fn found(jobs: &Jobs, id: JobId) -> Job {
    jobs.find(id).await.unwrap().unwrap()
}

pub async fn jobs_are_read_as_written(stores: &Repositories) {
    let jobs = &stores.jobs;
    assert_eq!(jobs.find(job(0).id).await, Ok(None));
    let mut long = job(0);
    long.payload = "é,1\n".repeat(200_000);
    long.total = i64::MAX as u64;
    for job in [job(0), long] {
        jobs.insert(&job).await.unwrap();
        assert_eq!(jobs.insert(&job).await, Err(StoreError::Conflict));
        assert!(found(jobs, job.id).await == without_payload(&job));
        assert!(stored(stores, job.id).await == job);
        let claimed = jobs.claim(&imports(), at(1)).await.unwrap().unwrap();
        assert!(claimed == job.clone().claimed(at(1)));
        assert!(found(jobs, job.id).await == without_payload(&claimed));

        let mut further = claimed.extended(at(5));
        further.done = 3;
        further.result = Some(r#"{"a":"\"'\u0000"}"#.to_owned());
        further.error = Some("not yet".to_owned());
        assert_eq!(jobs.update(&further).await, Ok(true));
        assert!(found(jobs, job.id).await == without_payload(&further));

        let done = further.finished(at(9));
        assert_eq!(jobs.update(&done).await, Ok(true));
        let read = found(jobs, job.id).await;
        assert!(read == done, "{read:?}");
        assert_eq!(read.payload, "");
        let payload = stored(stores, job.id).await.payload;
        assert_eq!(payload, "", "the payload is deleted");
    }
}

pub async fn a_job_is_claimed_when_it_is_due_the_longest_due_first(stores: &Repositories) {
    let jobs = &stores.jobs;
    let (late, early, future) = (job(20), job(10), job(1000));
    for job in [&late, &early, &future] {
        jobs.insert(job).await.unwrap();
    }
    assert_eq!(jobs.unfinished().await, Ok(3));
    assert_eq!(jobs.claim(&imports(), at(9)).await, Ok(None));
    let claim = async |moment| {
        jobs.claim(&imports(), at(moment))
            .await
            .unwrap()
            .map(|job| job.id)
    };
    assert_eq!(claim(20).await, Some(early.id));
    assert_eq!(claim(20).await, Some(late.id));
    assert_eq!(claim(999).await, None);
    assert_eq!(claim(1000).await, Some(future.id));

    // Queued again, it waits for its time.
    let held = found(jobs, late.id).await;
    let again = held.failed("no luck".to_owned(), at(1000));
    assert_eq!(jobs.update(&again).await, Ok(true));
    let due = again.due.unwrap().as_millisecond() - at(0).as_millisecond();
    assert!(due > 1000);
    assert_eq!(claim(due - 1).await, None);
    let back = jobs.claim(&imports(), at(due)).await.unwrap().unwrap();
    assert_eq!(back.id, late.id);
    assert_eq!(
        (back.claims, back.attempts, back.payload),
        (2, 2, late.payload)
    );
}

pub async fn of_many_workers_one_claims_a_job(stores: &Repositories) {
    let queued: Vec<Job> = (0..5).map(job).collect();
    for job in &queued {
        stores.jobs.insert(job).await.unwrap();
    }
    let mut gone = BTreeSet::new();
    // A worker that loses every race may get none, and then asks again.
    for _ in 0..50 {
        let claims = race(|_| {
            let jobs = stores.jobs.clone();
            async move { jobs.claim(&imports(), at(100)).await.unwrap() }
        });
        for job in claims.await.into_iter().flatten() {
            assert_eq!(job.claims, 1);
            assert!(gone.insert(job.id), "claimed twice");
        }
        if gone.len() == queued.len() {
            break;
        }
    }
    assert_eq!(gone, queued.iter().map(|job| job.id).collect());
}

pub async fn a_job_whose_worker_crashed_is_claimed_again(stores: &Repositories) {
    let jobs = &stores.jobs;
    let one = job(0);
    jobs.insert(&one).await.unwrap();
    let mut dead = jobs.claim(&imports(), at(0)).await.unwrap().unwrap();
    dead.done = 4;
    let dead = dead.extended(at(10));
    assert_eq!(jobs.update(&dead).await, Ok(true));
    assert_eq!(
        jobs.claim(&imports(), at(past_lease())).await,
        Ok(None),
        "progress extends the lease"
    );
    let again = 10 + past_lease();
    let heir = jobs.claim(&imports(), at(again)).await.unwrap().unwrap();
    assert_eq!((heir.id, heir.claims, heir.attempts), (one.id, 2, 2));
    assert_eq!(
        (heir.done, &heir.payload),
        (4, &one.payload),
        "it continues from there"
    );

    // The first worker was only paused, and can no longer change the job.
    for late in [
        dead.clone().extended(at(again)),
        dead.clone().given_back(at(again)),
        dead.clone().failed("late".to_owned(), at(again)),
        dead.finished(at(again)),
    ] {
        assert_eq!(jobs.update(&late).await, Ok(false));
        assert!(found(jobs, one.id).await == without_payload(&heir));
    }
    // After it is given back, any worker can continue immediately; the one that gave it back no
    // longer has it.
    let back = heir.clone().given_back(at(again));
    assert_eq!(jobs.update(&back).await, Ok(true));
    assert_eq!(
        jobs.update(&heir.clone().finished(at(again))).await,
        Ok(false)
    );
    let third = jobs.claim(&imports(), at(again)).await.unwrap().unwrap();
    assert_eq!((third.claims, third.attempts, third.done), (3, 2, 4));
    assert_eq!(
        jobs.update(&third.clone().finished(at(again))).await,
        Ok(true)
    );
    assert_eq!(jobs.update(&third).await, Ok(false), "it has ended");
    assert_eq!(
        jobs.claim(&imports(), at(i64::from(u32::MAX))).await,
        Ok(None)
    );
}

pub async fn of_many_jobs_with_the_same_once_one_is_queued(stores: &Repositories) {
    let once = || Job {
        once: Some("a:* {$gt}".to_owned()),
        ..job(0)
    };
    let answers = race(|_| {
        let (jobs, job) = (stores.jobs.clone(), once());
        async move { jobs.insert(&job).await }
    });
    one_wins(&answers.await);
    // Jobs with other values do not conflict.
    stores.jobs.insert(&job(50)).await.unwrap();
    stores.jobs.insert(&job(50)).await.unwrap();

    let claimed = stores.jobs.claim(&imports(), at(1)).await.unwrap().unwrap();
    let waiting = claimed.failed("no".to_owned(), at(1));
    assert_eq!(stores.jobs.update(&waiting).await, Ok(true));
    assert_eq!(stores.jobs.insert(&once()).await, Err(StoreError::Conflict));
    // Two other jobs were due earlier.
    let mut claimed = None;
    for _ in 0..3 {
        claimed = stores
            .jobs
            .claim(&imports(), waiting.due.unwrap())
            .await
            .unwrap();
    }
    let claimed = claimed.unwrap();
    assert_eq!(claimed.id, waiting.id);
    let done = claimed.finished(at(2));
    assert_eq!(stores.jobs.update(&done).await, Ok(true));
    stores.jobs.insert(&once()).await.unwrap();
}

pub async fn jobs_are_listed_newest_first_and_purged_after_their_end(stores: &Repositories) {
    let jobs = &stores.jobs;
    let all: Vec<Job> = (0..7).map(job).collect();
    for job in all.iter().rev() {
        jobs.insert(job).await.unwrap();
    }
    let newest: Vec<JobId> = all.iter().rev().map(|job| job.id).collect();
    for limit in [1, 3, 7] {
        let list = async |page| jobs.list(&Reach::Everything, &page).await;
        let listed = all_pages(limit, list, |job| job.id).await;
        assert!(listed.iter().all(|job| job.payload.is_empty()));
        let listed: Vec<JobId> = listed.iter().map(|job| job.id).collect();
        assert_eq!(listed, newest, "pages of {limit}");
    }

    // One done early, one failed late, one running; the others wait.
    let mut claimed = Vec::new();
    for _ in 0..3 {
        claimed.push(jobs.claim(&imports(), at(10)).await.unwrap().unwrap());
    }
    let running = claimed.pop().unwrap();
    let failed = claimed.pop().unwrap().given_up("no".to_owned(), at(200));
    let done = claimed.pop().unwrap().finished(at(100));
    assert_eq!(jobs.update(&failed).await, Ok(true));
    assert_eq!(jobs.update(&done).await, Ok(true));
    assert_eq!(jobs.unfinished().await, Ok(5));
    assert_eq!(jobs.purge(at(100)).await, Ok(0), "they are too recent");
    assert_eq!(jobs.purge(at(101)).await, Ok(1));
    assert_eq!(jobs.find(done.id).await, Ok(None));
    assert_eq!(jobs.purge(at(i64::from(u32::MAX))).await, Ok(1));
    assert_eq!(
        jobs.list(&Reach::Everything, &first(100))
            .await
            .unwrap()
            .len(),
        5
    );
    assert_eq!(
        jobs.update(&running.clone().extended(at(11))).await,
        Ok(true)
    );
    assert_eq!(jobs.unfinished().await, Ok(5));
}

pub async fn workers_claim_only_the_jobs_that_they_can_do(stores: &Repositories) {
    let jobs = &stores.jobs;
    let of = |kind, payload: &str, due| Job {
        kind,
        payload: payload.to_owned(),
        ..job(due)
    };
    // Many jobs that no worker here can run were due earlier.
    for number in 0..20 {
        let other = of(REEMBED, "another model", number);
        jobs.insert(&other).await.unwrap();
    }
    let ours = of(REEMBED, "a:* {$gt} model", 30);
    let list = of(IMPORT, "another model", 40);
    for job in [&ours, &list] {
        jobs.insert(job).await.unwrap();
    }
    let ability = |payload: &str| Ability {
        kind: REEMBED,
        payload: Some(payload.to_owned()),
    };
    assert_eq!(jobs.claim(&ability("a model"), at(50)).await, Ok(None));
    let claimed = jobs.claim(&ability(&ours.payload), at(50)).await.unwrap();
    let claimed = claimed.unwrap();
    assert_eq!((claimed.id, &claimed.payload), (ours.id, &ours.payload));
    let imported = jobs.claim(&imports(), at(50)).await.unwrap().unwrap();
    assert_eq!(imported.id, list.id);
    // A worker that crashed is followed by one that can run the same jobs.
    let late = at(50 + past_lease());
    assert_eq!(jobs.claim(&ability("a model"), late).await, Ok(None));
    let heir = jobs.claim(&ability(&ours.payload), late).await.unwrap();
    assert_eq!(heir.map(|job| (job.id, job.claims)), Some((ours.id, 2)));
}

pub async fn a_job_can_be_ended_whichever_worker_has_it(stores: &Repositories) {
    let jobs = &stores.jobs;
    let (mut held, waiting) = (job(0), job(10));
    held.once = Some("held".to_owned());
    jobs.insert(&held).await.unwrap();
    jobs.insert(&waiting).await.unwrap();
    let mut claimed = jobs.claim(&imports(), at(1)).await.unwrap().unwrap();
    claimed = claimed.advanced(3, 7, None).extended(at(2));
    assert_eq!(jobs.update(&claimed).await, Ok(true));
    for id in [held.id, waiting.id] {
        let ended = found(jobs, id).await.cancelled(at(20));
        assert_eq!(jobs.end(&ended).await, Ok(true));
        assert!(found(jobs, id).await == ended);
        assert_eq!(ended.state, JobState::Cancelled);
        assert_eq!(jobs.end(&ended).await, Ok(false), "it has ended");
    }
    // Its worker can no longer change it, and another job with the same `once` may be queued.
    for late in [claimed.clone().extended(at(30)), claimed.finished(at(30))] {
        assert_eq!(jobs.update(&late).await, Ok(false));
    }
    assert_eq!(
        jobs.claim(&imports(), at(i64::from(u32::MAX))).await,
        Ok(None)
    );
    assert_eq!(jobs.unfinished().await, Ok(0));
    let again = Job {
        once: held.once,
        ..job(40)
    };
    jobs.insert(&again).await.unwrap();
    assert_eq!(
        jobs.end(&job(50).cancelled(at(60))).await,
        Ok(false),
        "it does not exist"
    );
    assert_eq!(jobs.purge(at(21)).await, Ok(2));
}
