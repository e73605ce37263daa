//! Deletes what has had its time: ended sessions, kept answers that no retry asks for any more,
//! jobs that ended long ago, what was cached in the store, what a crash left of faces without
//! consent, and what a site keeps for so long only.

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    clock::Clock,
    domain::employees::Employee,
    ports::{CacheStore, Lease, PictureKind, RecordKind, StoreError, StoredRecord, Stores},
    service::exclusive::with_lease,
};

/// How often it is looked for; the first time soon after the start.
const EVERY: Duration = Duration::from_secs(3600);
const FIRST: Duration = Duration::from_secs(60);

/// How long the answer to a request that wrote no punch is kept for its retry.
pub const ANSWERS_KEPT: SignedDuration = SignedDuration::from_hours(24);

/// How long what became of a job can be read.
pub const JOBS_KEPT: SignedDuration = SignedDuration::from_hours(14 * 24);

/// How long a site keeps what it may choose of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ages {
    /// Entries of the audit trail; `None` for ever.
    pub audit: Option<SignedDuration>,
    /// Pictures of punches; `None` when none are kept.
    pub punch_pictures: Option<SignedDuration>,
    /// Unknown faces; `None` when none are kept.
    pub unknown_faces: Option<SignedDuration>,
}

/// How much was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Purged {
    /// Sessions that had ended.
    pub sessions: u64,
    /// Kept answers.
    pub answers: u64,
    /// Jobs that had ended.
    pub jobs: u64,
    /// People of whom templates had been left without their consent, by a crash between two
    /// writes.
    pub faces: u64,
    /// What was cached in the store and had ended.
    pub cached: u64,
    /// Entries of the audit trail.
    pub audit: u64,
    /// Pictures of punches.
    pub punch_pictures: u64,
    /// Unknown faces.
    pub unknown_faces: u64,
}

/// How long the lease outlives an instance that dies.
const LEASE: Duration = Duration::from_secs(30);
const NAME: &str = "retention";

/// Looks for what has had its time, every hour until the token is cancelled, on one instance at
/// a time: that which has the lease in the store.
pub async fn run(stores: Stores, clock: Arc<dyn Clock>, ages: Ages, stop: CancellationToken) {
    let here = clock.id().to_string();
    let mut tick = tokio::time::interval_at(Instant::now() + FIRST, EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        let by = (&*stores.leases, &*clock);
        let work = async |_: &Lease| purge(&stores, &*clock, ages).await;
        match with_lease(by, (NAME, &here), LEASE, work).await {
            Ok(None) => {}
            Ok(Some(Ok(purged))) if purged == Purged::default() => {}
            Ok(Some(Ok(purged))) => info!(
                sessions = purged.sessions,
                answers = purged.answers,
                jobs = purged.jobs,
                faces = purged.faces,
                cached = purged.cached,
                audit = purged.audit,
                punch_pictures = purged.punch_pictures,
                unknown_faces = purged.unknown_faces,
                "deleted what had its time"
            ),
            Ok(Some(Err(cause))) | Err(cause) => {
                warn!(%cause, "could not delete what had its time; trying again in an hour");
            }
        }
    }
}

/// How often what is cached in the store is looked over: lists are there for seconds.
const SWEEP: Duration = Duration::from_secs(60);

/// Deletes what has ended in the store's cache until the token is cancelled. On every instance:
/// what is deleted twice is deleted.
pub async fn sweep(cache: Arc<dyn CacheStore>, clock: Arc<dyn Clock>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(SWEEP) => {}
        }
        if let Err(cause) = cache.purge(clock.now()).await {
            warn!(%cause, "could not delete what had ended in the store's cache");
        }
    }
}

/// The moment before which things had their time. Ages that reach back past the beginning of time
/// are for ever.
fn since(now: Timestamp, age: SignedDuration) -> Timestamp {
    now.checked_sub(age).unwrap_or(Timestamp::MIN)
}

/// Deletes once.
pub async fn purge(stores: &Stores, clock: &dyn Clock, ages: Ages) -> Result<Purged, StoreError> {
    let now = clock.now();
    let sessions = stores.sessions.purge(now).await?;
    let answers = stores.punches.forget_answers(since(now, ANSWERS_KEPT));
    let answers = answers.await?;
    let jobs = stores.jobs.purge(since(now, JOBS_KEPT)).await?;
    let faces = forget_leftovers(stores, clock).await?;
    let cached = stores.cache.purge(now).await?;
    let audit = match ages.audit {
        Some(age) => stores.audit.purge(since(now, age)).await?,
        None => 0,
    };
    // What is not kept any more goes at once, however old it is.
    let pictures = async |kind, age: Option<SignedDuration>| {
        let before = age.map_or(Timestamp::MAX, |age| since(now, age));
        stores.pictures.purge(kind, before).await
    };
    let punch_pictures = pictures(PictureKind::Punch, ages.punch_pictures).await?;
    let unknown_faces = pictures(PictureKind::Unknown, ages.unknown_faces).await?;
    Ok(Purged {
        sessions,
        answers,
        jobs,
        faces,
        cached,
        audit,
        punch_pictures,
        unknown_faces,
    })
}

/// Whether nothing of a face may be kept.
fn withdrawn(employee: &Employee) -> bool {
    employee.consent.is_none() || employee.deleted_at.is_some()
}

/// Deletes templates and pictures of people who do not consent, or are deleted; of how many there
/// were templates.
async fn forget_leftovers(stores: &Stores, clock: &dyn Clock) -> Result<u64, StoreError> {
    let mut faces = 0;
    let mut pages = stores.archive.records(RecordKind::Employee);
    while let Some(page) = pages.next().await {
        for record in page? {
            let StoredRecord::Employee(employee) = record else {
                continue;
            };
            let (id, templates) = (employee.id, &stores.templates);
            if !withdrawn(&employee) {
                continue;
            }
            stores.pictures.delete_of(id).await?;
            let kept = !templates.of_employee(id).await?.is_empty()
                || !templates.photos_of(id).await?.is_empty();
            if !kept {
                continue;
            }
            // Consent is written before templates are: whoever is enrolled just now has it.
            if !stores
                .employees
                .find(id)
                .await?
                .is_some_and(|now| withdrawn(&now))
            {
                continue;
            }
            templates.delete_of(id).await?;
            stores.employees.set_enrolled(id, 0, None).await?;
            templates.mark_changed(id, clock.now()).await?;
            faces += 1;
        }
    }
    Ok(faces)
}
