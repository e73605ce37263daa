//! The contract of background jobs: one claimer wins, whoever lost the claim changes nothing,
//! and a job whose claimer died is claimed again.

use std::{collections::BTreeSet, sync::Arc};

use futures::future::join_all;
use rollcall::{
    domain::{
        accounts::Actor,
        ids::{AccountId, JobId},
        jobs::{Ability, Job, JobKind, JobState, LEASE},
    },
    ports::{JobStore, StoreError, Stores},
};
use uuid::Uuid;

use crate::records::{after, at, first};

pub fn job(due: i64) -> Job {
    Job {
        id: JobId::new(Uuid::now_v7()),
        kind: JobKind::Import,
        payload: "name,code\n\"Ünïcödé\n👩🏽‍🚀\",\0{$gt:1}".to_owned(),
        once: None,
        state: JobState::Queued,
        due: Some(at(due)),
        turn: 0,
        attempts: 0,
        done: 0,
        total: 7,
        result: None,
        error: None,
        created_by: Actor::Account(AccountId::new(Uuid::now_v7())),
        created_at: at(due),
        finished_at: None,
    }
}

/// What any instance can do.
pub fn imports() -> Ability {
    Ability {
        kind: JobKind::Import,
        payload: None,
    }
}

/// As it is told of.
fn told(job: &Job) -> Job {
    Job {
        payload: String::new(),
        ..job.clone()
    }
}

/// Milliseconds after which a claim of a moment has run out.
fn past_lease() -> i64 {
    LEASE.as_millis() as i64 + 1
}

async fn there(jobs: &Arc<dyn JobStore>, id: JobId) -> Job {
    jobs.find(id).await.unwrap().unwrap()
}

pub async fn jobs_come_back_as_they_were(stores: &Stores) {
    let jobs = &stores.jobs;
    assert_eq!(jobs.find(job(0).id).await, Ok(None));
    let mut long = job(0);
    long.payload = "é,1\n".repeat(200_000);
    long.total = i64::MAX as u64;
    for job in [job(0), long] {
        jobs.insert(&job).await.unwrap();
        assert_eq!(jobs.insert(&job).await, Err(StoreError::Conflict));
        assert!(there(jobs, job.id).await == told(&job));
        let claimed = jobs.claim(&imports(), at(1)).await.unwrap().unwrap();
        assert!(claimed == job.clone().claimed(at(1)));
        assert!(there(jobs, job.id).await == told(&claimed));

        let mut further = claimed.progressed(at(5));
        further.done = 3;
        further.result = Some(r#"{"a":"\"'\u0000"}"#.to_owned());
        further.error = Some("not yet".to_owned());
        assert_eq!(jobs.update(&further).await, Ok(true));
        assert!(there(jobs, job.id).await == told(&further));

        let done = further.finished(at(9));
        assert_eq!(jobs.update(&done).await, Ok(true));
        let read = there(jobs, job.id).await;
        assert!(read == done, "{read:?}");
        assert_eq!(read.payload, "", "nothing of it is kept");
    }
}

pub async fn a_job_is_claimed_when_it_is_due_the_longest_due_first(stores: &Stores) {
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
    let held = there(jobs, late.id).await;
    let again = held.failed("no luck".to_owned(), at(1000));
    assert_eq!(jobs.update(&again).await, Ok(true));
    let due = again.due.unwrap().as_millisecond() - at(0).as_millisecond();
    assert!(due > 1000);
    assert_eq!(claim(due - 1).await, None);
    let back = jobs.claim(&imports(), at(due)).await.unwrap().unwrap();
    assert_eq!(back.id, late.id);
    assert_eq!(
        (back.turn, back.attempts, back.payload),
        (2, 2, late.payload)
    );
}

pub async fn of_many_who_claim_a_job_one_gets_it(stores: &Stores) {
    let queued: Vec<Job> = (0..5).map(job).collect();
    for job in &queued {
        stores.jobs.insert(job).await.unwrap();
    }
    let mut gone = BTreeSet::new();
    // Whoever meets others all the time may get nothing: they ask again.
    for _ in 0..50 {
        let claims = (0..20).map(|_| {
            let jobs = stores.jobs.clone();
            tokio::spawn(async move { jobs.claim(&imports(), at(100)).await.unwrap() })
        });
        for claimed in join_all(claims).await {
            if let Some(job) = claimed.unwrap() {
                assert_eq!(job.turn, 1);
                assert!(gone.insert(job.id), "claimed twice");
            }
        }
        if gone.len() == queued.len() {
            break;
        }
    }
    assert_eq!(gone, queued.iter().map(|job| job.id).collect());
}

pub async fn a_job_whose_claimer_died_is_claimed_again(stores: &Stores) {
    let jobs = &stores.jobs;
    let one = job(0);
    jobs.insert(&one).await.unwrap();
    let mut dead = jobs.claim(&imports(), at(0)).await.unwrap().unwrap();
    dead.done = 4;
    let dead = dead.progressed(at(10));
    assert_eq!(jobs.update(&dead).await, Ok(true));
    assert_eq!(
        jobs.claim(&imports(), at(past_lease())).await,
        Ok(None),
        "progress extends the lease"
    );
    let again = 10 + past_lease();
    let heir = jobs.claim(&imports(), at(again)).await.unwrap().unwrap();
    assert_eq!((heir.id, heir.turn, heir.attempts), (one.id, 2, 2));
    assert_eq!(
        (heir.done, &heir.payload),
        (4, &one.payload),
        "it goes on from there"
    );

    // The first one was only paused: it changes nothing any more, in whatever way.
    for late in [
        dead.clone().progressed(at(again)),
        dead.clone().given_back(at(again)),
        dead.clone().failed("late".to_owned(), at(again)),
        dead.finished(at(again)),
    ] {
        assert_eq!(jobs.update(&late).await, Ok(false));
        assert!(there(jobs, one.id).await == told(&heir));
    }
    // Given back, anybody goes on at once; whoever gave it back has it no more.
    let back = heir.clone().given_back(at(again));
    assert_eq!(jobs.update(&back).await, Ok(true));
    assert_eq!(
        jobs.update(&heir.clone().finished(at(again))).await,
        Ok(false)
    );
    let third = jobs.claim(&imports(), at(again)).await.unwrap().unwrap();
    assert_eq!((third.turn, third.attempts, third.done), (3, 2, 4));
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

pub async fn a_job_that_may_be_there_once_is(stores: &Stores) {
    let once = || Job {
        once: Some("a:* {$gt}".to_owned()),
        ..job(0)
    };
    let all: Vec<Job> = (0..20).map(|_| once()).collect();
    let tries = all.iter().map(|job| {
        let (jobs, job) = (stores.jobs.clone(), job.clone());
        tokio::spawn(async move { jobs.insert(&job).await })
    });
    let results: Vec<_> = join_all(tries)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert!(
        results
            .iter()
            .flat_map(|result| result.as_ref().err())
            .all(|e| *e == StoreError::Conflict)
    );
    // Jobs without are not in each other's way.
    stores.jobs.insert(&job(50)).await.unwrap();
    stores.jobs.insert(&job(50)).await.unwrap();

    let claimed = stores.jobs.claim(&imports(), at(1)).await.unwrap().unwrap();
    let waiting = claimed.failed("no".to_owned(), at(1));
    assert_eq!(stores.jobs.update(&waiting).await, Ok(true));
    assert_eq!(stores.jobs.insert(&once()).await, Err(StoreError::Conflict));
    // The two others were due before.
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

pub async fn jobs_are_listed_newest_first_and_purged_once_ended(stores: &Stores) {
    let jobs = &stores.jobs;
    let all: Vec<Job> = (0..7).map(job).collect();
    for job in all.iter().rev() {
        jobs.insert(job).await.unwrap();
    }
    let newest: Vec<JobId> = all.iter().rev().map(|job| job.id).collect();
    let mut listed = Vec::new();
    let mut page = first(3);
    loop {
        let some = jobs.list(&page).await.unwrap();
        listed.extend(some.iter().map(|job| job.id));
        match some.last() {
            Some(last) if some.len() == 3 => page = after(last.id, 3),
            _ => break,
        }
    }
    assert_eq!(listed, newest);

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
    assert_eq!(jobs.purge(at(100)).await, Ok(0), "not before its time");
    assert_eq!(jobs.purge(at(101)).await, Ok(1));
    assert_eq!(jobs.find(done.id).await, Ok(None));
    assert_eq!(jobs.purge(at(i64::from(u32::MAX))).await, Ok(1));
    assert_eq!(jobs.list(&first(100)).await.unwrap().len(), 5);
    assert_eq!(
        jobs.update(&running.clone().progressed(at(11))).await,
        Ok(true)
    );
    assert_eq!(jobs.unfinished().await, Ok(5));
}

pub async fn jobs_are_left_to_those_who_can_do_them(stores: &Stores) {
    let jobs = &stores.jobs;
    let of = |kind, payload: &str, due| Job {
        kind,
        payload: payload.to_owned(),
        ..job(due)
    };
    // Many that nobody here can do were due before.
    for number in 0..20 {
        let other = of(JobKind::Reembed, "another model", number);
        jobs.insert(&other).await.unwrap();
    }
    let ours = of(JobKind::Reembed, "a:* {$gt} model", 30);
    let list = of(JobKind::Import, "another model", 40);
    for job in [&ours, &list] {
        jobs.insert(job).await.unwrap();
    }
    let ability = |payload: &str| Ability {
        kind: JobKind::Reembed,
        payload: Some(payload.to_owned()),
    };
    assert_eq!(jobs.claim(&ability("a model"), at(50)).await, Ok(None));
    let claimed = jobs.claim(&ability(&ours.payload), at(50)).await.unwrap();
    let claimed = claimed.unwrap();
    assert_eq!((claimed.id, &claimed.payload), (ours.id, &ours.payload));
    let imported = jobs.claim(&imports(), at(50)).await.unwrap().unwrap();
    assert_eq!(imported.id, list.id);
    // Whoever died is followed by somebody who can do the same.
    let late = at(50 + past_lease());
    assert_eq!(jobs.claim(&ability("a model"), late).await, Ok(None));
    let heir = jobs.claim(&ability(&ours.payload), late).await.unwrap();
    assert_eq!(heir.map(|job| (job.id, job.turn)), Some((ours.id, 2)));
}

pub async fn a_job_can_be_ended_whoever_has_it(stores: &Stores) {
    let jobs = &stores.jobs;
    let (mut held, waiting) = (job(0), job(10));
    held.once = Some("held".to_owned());
    jobs.insert(&held).await.unwrap();
    jobs.insert(&waiting).await.unwrap();
    let mut claimed = jobs.claim(&imports(), at(1)).await.unwrap().unwrap();
    claimed = claimed.advanced(3, 7, None).progressed(at(2));
    assert_eq!(jobs.update(&claimed).await, Ok(true));
    for id in [held.id, waiting.id] {
        let ended = there(jobs, id).await.cancelled(at(20));
        assert_eq!(jobs.end(&ended).await, Ok(true));
        assert!(there(jobs, id).await == ended);
        assert_eq!(ended.state, JobState::Cancelled);
        assert_eq!(jobs.end(&ended).await, Ok(false), "it has ended");
    }
    // Who had it changes nothing any more; what there may be once may be queued again.
    for late in [claimed.clone().progressed(at(30)), claimed.finished(at(30))] {
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
        "not there"
    );
    assert_eq!(jobs.purge(at(21)).await, Ok(2));
}
